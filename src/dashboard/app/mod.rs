//! What the dashboard shows, and what keys do to it. Nothing here draws or waits.

mod actions;
mod chart;
mod completion;
mod view_state;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use ratatui::layout::Rect;
use ratatui_image::picker::{Picker, ProtocolType};
use ratatui_image::protocol::Protocol;

pub use self::actions::Effect;
pub use self::chart::FramesView;
pub use self::view_state::{LogView, Popup, Sort, Tone, Typing};
use super::keys::{Keys, Pane};
use super::theme::Theme;
use crate::job::JobState;
use crate::job::Phase;
use crate::log::Line;
use crate::queue::Row;
use crate::service::{Answer, AtWork, ChartOf, Picture, Request, Shown, Snapshot, SnapshotRequest};
use crate::text::printable;

/// Lines of the log that are kept.
const LINES: usize = 5000;

/// All that is drawn.
pub struct App {
    /// How things look.
    pub theme: Theme,
    /// What keys do.
    pub keys: Keys,
    /// Nothing can be changed.
    pub read_only: bool,
    /// The engine as last seen.
    pub snapshot: Option<Snapshot>,
    /// Its jobs, in the order shown.
    pub rows: Vec<Row>,
    /// What it said.
    pub lines: VecDeque<Line>,
    /// Why it cannot be seen.
    pub trouble: Option<String>,
    /// Where keys go.
    pub pane: Pane,
    /// Number of the selected job.
    pub selected: Option<i64>,
    /// Whether it was the user who selected it.
    is_chosen: bool,
    /// Jobs that something is done with at once.
    pub marked: BTreeSet<i64>,
    /// Only jobs with this in their names.
    pub filter: String,
    /// The order of jobs.
    pub sort: Sort,
    /// The view does not change.
    pub is_frozen: bool,
    /// What lies over the panes.
    pub popup: Option<Popup>,
    /// What became of the last key.
    pub message: Option<(String, Tone)>,
    /// Part of the frames.
    pub frames: FramesView,
    /// Part of the log.
    pub log: LogView,
    /// Pictures are shown.
    pub has_preview: bool,
    /// The latest picture.
    pub picture: Option<Picture>,
    /// How the terminal shows pictures.
    pub picker: Picker,
    /// The picture in the terminal's way, of which job and frame, for which place.
    pub shown_picture: Option<((i64, Shown, Rect), Protocol)>,
    /// Where each pane was drawn last, for the mouse, with the number of the first row of the jobs.
    pub places: Vec<(Pane, Rect)>,
    /// First job on the screen.
    pub first_row: usize,
    /// The job of the latest picture, and when that came.
    pictured: Option<(i64, Instant)>,
    version: Option<u64>,
    undo: Vec<Request>,
    /// Jobs above and below that fit a page.
    page: usize,
}

impl App {
    /// Before anything was seen.
    pub fn new(theme: Theme, keys: Keys, read_only: bool) -> Self {
        Self {
            has_preview: false,
            picture: None,
            pictured: None,
            picker: Picker::halfblocks(),
            shown_picture: None,
            theme,
            keys,
            read_only,
            snapshot: None,
            rows: Vec::new(),
            lines: VecDeque::new(),
            trouble: None,
            pane: Pane::Jobs,
            selected: None,
            is_chosen: false,
            marked: BTreeSet::new(),
            filter: String::new(),
            sort: Sort::Turn,
            is_frozen: false,
            popup: None,
            message: None,
            frames: FramesView::default(),
            log: LogView::default(),
            places: Vec::new(),
            first_row: 0,
            version: None,
            undo: Vec::new(),
            page: 10,
        }
    }

    /// What to look at next, of what is on the screen; `columns` fit into the chart of frames.
    pub fn look(&self, columns: usize) -> SnapshotRequest {
        let detail = if let Some(Popup::Details(id, _)) = self.popup { Some(id) } else { None };
        let chart = self.charted().filter(|_| columns > 0).map(|job| {
            let all = self.snapshot.as_ref().and_then(|s| s.chart.as_ref()).map_or(0, |chart| chart.frames).max(1);
            let count = self.frames.zoom.map_or(all, |zoom| (columns as u64) << zoom);
            let from = self.frames.from.unwrap_or_else(|| all.saturating_sub(count));
            ChartOf { job, from, count, columns }
        });
        let log_seen = match self.is_shown(Pane::Log) {
            true => self.lines.back().map_or(0, |line| line.number),
            // What is not on the screen is asked for when it comes there.
            false => u64::MAX,
        };
        let known = |job: i64| self.picture.as_ref().filter(|picture| picture.job == job).map(|picture| picture.shown);
        let is_due =
            self.pictured.is_none_or(|(job, when)| Some(job) != self.previewed() || when.elapsed() >= self.pause());
        let preview = self.previewed().filter(|_| self.is_shown(Pane::Preview) && is_due).map(|job| (job, known(job)));
        SnapshotRequest { jobs_seen: self.version, filter: self.filter.clone(), log_seen, chart, detail, preview }
    }

    /// Whether a pane was on the screen when that was drawn last.
    fn is_shown(&self, pane: Pane) -> bool {
        self.places.iter().any(|(shown, _)| *shown == pane)
    }

    /// Between two pictures. Half blocks cost the terminal about 40 bytes a cell.
    fn pause(&self) -> Duration {
        match self.picker.protocol_type() {
            ProtocolType::Halfblocks => Duration::from_secs(6),
            _ => Duration::from_secs(2),
        }
    }

    /// The job of which pictures are shown: the selected one if it is at work or done, or else one that is at work.
    pub fn previewed(&self) -> Option<i64> {
        let at_work = &self.snapshot.as_ref()?.at_work;
        let is_done = |id: &i64| self.rows.iter().any(|row| row.id == *id && row.state == JobState::Done);
        let selected = self.selected.filter(|id| at_work.iter().any(|job| job.id == *id) || is_done(id));
        let drawn = || at_work.iter().find(|job| job.phase == Phase::Draw).or(at_work.first()).map(|job| job.id);
        selected.or_else(drawn)
    }

    /// Takes over what was seen.
    pub fn see(&mut self, mut snapshot: Snapshot) {
        self.trouble = None;
        if self.snapshot.as_ref().is_some_and(|before| (before.pid, before.since) != (snapshot.pid, snapshot.since)) {
            // Another engine numbers its lines from the beginning.
            self.lines.clear();
            self.version = None;
        }
        if let Some((version, rows)) = snapshot.jobs.take() {
            self.version = Some(version);
            self.rows = rows;
            self.order_rows();
            let there: BTreeSet<i64> = self.rows.iter().map(|row| row.id).collect();
            self.marked.retain(|id| there.contains(id));
            // Nobody looks at what is over while something is at work, unless they chose to.
            let is_worth_it = |row: &Row| self.is_chosen || !row.state.is_over();
            if !self.row().is_some_and(is_worth_it) {
                self.selected = self.rows.first().map(|row| row.id);
            }
        }
        if let Some(picture) = snapshot.preview.take() {
            self.pictured = Some((picture.job, Instant::now()));
            self.picture = Some(picture);
        }
        let known = self.lines.back().map_or(0, |line| line.number);
        let new = snapshot.log.drain(..).filter(|line| line.number > known);
        let before = self.lines.len();
        self.lines.extend(new);
        if self.log.back > 0 {
            // Who reads further up stays there.
            self.log.back += self.lines.len() - before;
        }
        while self.lines.len() > LINES {
            self.lines.pop_front();
        }
        self.snapshot = Some(snapshot);
        if self.sort == Sort::Speed {
            self.order_rows();
        }
    }

    /// The engine cannot be seen.
    pub fn lose(&mut self, why: String) {
        self.trouble = Some(why);
        self.version = None;
    }

    /// The engine's answer to what was asked.
    pub fn answered(&mut self, answer: Result<Answer, String>) {
        self.message = Some(match answer {
            Err(why) => (why, Tone::Bad),
            Ok(answer) if !answer.refused.is_empty() => (answer.refused.join("; "), Tone::Bad),
            Ok(answer) => (answer.done.join("; "), Tone::Good),
        });
    }

    /// The selected row.
    pub fn row(&self) -> Option<&Row> {
        self.rows.iter().find(|row| Some(row.id) == self.selected)
    }

    /// How far a job in hand is.
    pub fn at_work(&self, id: i64) -> Option<&AtWork> {
        self.snapshot.as_ref()?.at_work.iter().find(|job| job.id == id)
    }

    /// Lines of the log that are to be shown.
    pub fn shown_lines(&self) -> Vec<&Line> {
        let job = self.selected.filter(|_| self.log.one_job);
        let fits =
            |line: &&Line| (!self.log.only_warnings || line.level <= 2) && job.is_none_or(|id| is_about(line, id));
        self.lines.iter().filter(fits).collect()
    }

    /// How many rows a page of the focused list has.
    pub fn set_page(&mut self, rows: usize) {
        self.page = rows.max(1);
    }

    fn order_rows(&mut self) {
        let name = |row: &Row| row.source.file_name().map(|name| name.to_string_lossy().to_lowercase());
        match self.sort {
            Sort::Turn => {
                let rank = |row: &Row| match row.state {
                    JobState::Running => 0,
                    JobState::Queued | JobState::Paused => 1,
                    JobState::Done | JobState::Failed | JobState::Cancelled => 2,
                };
                self.rows.sort_by_key(rank);
            }
            Sort::Name => self.rows.sort_by_key(name),
            Sort::State => self.rows.sort_by_key(|row| JobState::ALL.iter().position(|state| *state == row.state)),
            Sort::Age => self.rows.sort_by_key(|row| std::cmp::Reverse(row.added)),
            Sort::Speed => {
                let at_work = self.snapshot.iter().flat_map(|snapshot| &snapshot.at_work);
                let speeds: BTreeMap<i64, f32> = at_work.map(|job| (job.id, job.fps)).collect();
                let speed = |row: &Row| speeds.get(&row.id).copied().unwrap_or(-1.0);
                self.rows.sort_by(|a, b| speed(b).total_cmp(&speed(a)));
            }
        }
    }
}

/// A job's name as it is shown.
pub fn name(row: &Row) -> String {
    let name = row.source.file_name().unwrap_or(row.source.as_os_str());
    printable(&name.to_string_lossy())
}
fn is_about(line: &Line, id: i64) -> bool {
    line.job == Some(id)
        || line.text.split(|c: char| !c.is_alphanumeric()).any({
            let mut after_job = false;
            move |word| {
                let found = after_job && word.parse() == Ok(id);
                after_job = word == "job";
                found
            }
        })
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_log_know_their_job() {
        let line = |job: Option<i64>, text: &str| Line { number: 1, time: 0, level: 3, job, text: text.into() };
        assert!(is_about(&line(Some(7), "a: done"), 7) && is_about(&line(None, "a.mp4: queued as job 7"), 7));
        assert!(!is_about(&line(None, "job 71: the pause is over"), 7) && !is_about(&line(None, "clip 7.mp4"), 7));
    }
}
