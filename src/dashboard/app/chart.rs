//! Which frames of which job the chart of times shows.

use super::App;
use crate::dashboard::keys::Action;

/// Which part of a clip's frames is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FramesView {
    /// First frame; the end is followed when there is none.
    pub from: Option<u64>,
    /// Frames in a column, as a power of two; all frames when there is none.
    pub zoom: Option<u32>,
    /// Which of the slowest frames is pointed at.
    pub pointed: usize,
}
impl App {
    /// The job whose frames are shown: the selected one, or else one that is at work.
    pub fn charted(&self) -> Option<i64> {
        self.selected.or_else(|| self.snapshot.as_ref()?.at_work.first().map(|job| job.id))
    }
    /// Moves and zooms it.
    pub(super) fn turn_chart(&mut self, action: Action) {
        let Some(chart) = self.snapshot.as_ref().and_then(|snapshot| snapshot.chart.as_ref()) else { return };
        let shown = chart.per_column * chart.columns.len().max(1) as u64;
        let last = chart.frames.saturating_sub(shown);
        let zoom = chart.per_column.max(1).ilog2();
        match action {
            Action::Earlier => self.frames.from = Some(chart.from.saturating_sub((shown / 4).max(1))),
            Action::Later => {
                let from = chart.from + (shown / 4).max(1);
                // At the end it follows again.
                self.frames.from = (from < last).then_some(from);
            }
            Action::ZoomIn => {
                // The slowest frame that is pointed at stays in view.
                let at = chart.slowest.get(self.frames.pointed).map_or(chart.from, |(frame, _)| *frame);
                self.frames.from = Some(at.saturating_sub(shown / 4));
                self.frames.zoom = Some(zoom.saturating_sub(1));
            }
            _ => {
                self.frames.zoom = (shown < chart.frames).then_some(zoom + 1);
                self.frames.from = self.frames.zoom.and(self.frames.from);
            }
        }
    }
}
