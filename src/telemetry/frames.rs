//! The times of every frame of one job, by stage: what a chart over the whole clip shows.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::Stage;

/// Stages of the data flow.
const STAGES: usize = Stage::ALL.len();
/// A time is kept in two bytes: so many microseconds a step, up to 3.2 s.
const STEP: u128 = 50;

/// Times of each frame, 16 bytes a frame.
#[derive(Debug, Default)]
pub struct FrameTimes(Vec<[u16; STAGES]>);

/// Part of a clip, made narrow enough for a chart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Chart {
    /// Frames of the clip that have times.
    pub frames: u64,
    /// The first frame shown.
    pub from: u64,
    /// Frames in a column.
    pub per_column: u64,
    /// Milliseconds a frame of each stage ([`Stage::ALL`]), of the slowest frame in each column.
    pub columns: Vec<[f32; STAGES]>,
    /// The slowest frames of the part and their milliseconds, the slowest first.
    pub slowest: Vec<(u64, f32)>,
}

impl FrameTimes {
    /// Adds to a frame's time of a stage.
    pub fn add(&mut self, frame: u64, stage: Stage, time: Duration) {
        let Ok(frame) = usize::try_from(frame) else { return };
        if self.0.len() <= frame {
            self.0.resize(frame + 1, [0; STAGES]);
        }
        let steps = u16::try_from(time.as_micros() / STEP).unwrap_or(u16::MAX);
        let sum = &mut self.0[frame][stage as usize];
        *sum = sum.saturating_add(steps);
    }

    /// `count` frames from `from` on in at most `columns` columns, with the `slowest` frames.
    pub fn chart(&self, from: u64, count: u64, columns: usize, slowest: usize) -> Chart {
        let (from, count) = (from.min(self.0.len() as u64), count.max(1));
        let part = &self.0[from as usize..(from.saturating_add(count)).min(self.0.len() as u64) as usize];
        let per_column = count.div_ceil(columns.max(1) as u64).max(1);
        let ms = |steps: u16| f32::from(steps) * STEP as f32 / 1000.0;
        let total = |frame: &[u16; STAGES]| frame.iter().map(|&steps| u32::from(steps)).sum::<u32>();
        let columns = part.chunks(per_column as usize).map(|chunk| {
            // Outliers are what is looked for: a mean would hide them.
            let worst = chunk.iter().max_by_key(|frame| total(frame)).copied().unwrap_or_default();
            worst.map(ms)
        });
        let mut order: Vec<(u64, f32)> =
            part.iter().enumerate().map(|(at, frame)| (from + at as u64, frame.iter().map(|&s| ms(s)).sum())).collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        order.truncate(slowest);
        Chart { frames: self.0.len() as u64, from, per_column, columns: columns.collect(), slowest: order }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_keep_the_outliers() {
        let mut times = FrameTimes::default();
        for frame in 0..10 {
            times.add(frame, Stage::Decode, Duration::from_millis(1));
            times.add(frame, Stage::Render, Duration::from_millis(if frame == 6 { 20 } else { 2 }));
        }
        let chart = times.chart(0, 10, 5, 2);
        assert_eq!((chart.frames, chart.per_column, chart.columns.len()), (10, 2, 5));
        assert_eq!((chart.columns[3][Stage::Render as usize], chart.columns[0][Stage::Render as usize]), (20.0, 2.0));
        assert_eq!(chart.slowest, [(6, 21.0), (0, 3.0)]);
        let chart = times.chart(8, 100, 5, 0);
        assert_eq!((chart.columns.len(), chart.per_column, chart.from), (1, 20, 8));
        assert!(times.chart(50, 10, 5, 3).columns.is_empty());
    }
}
