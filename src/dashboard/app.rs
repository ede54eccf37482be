//! What the dashboard shows and what keys do to it. Nothing here draws or waits: what has to happen outside is given back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::Rect;
use ratatui_image::picker::{Picker, ProtocolType};
use ratatui_image::protocol::Protocol;

use super::keys::{Action, Keys, Pane};
use super::theme::Theme;
use crate::log::Line;
use crate::pipeline::Phase;
use crate::queue::{Flow, Order, Place, Row, State};
use crate::service::{Answer, AtWork, ChartOf, Look, Picture, Request, Shown, Snapshot};
use crate::text::printable;

/// Lines of the log that are kept.
const LINES: usize = 5000;

/// What has to happen outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The engine is asked for something.
    Ask(Request),
    /// A text goes to the clipboard of the terminal's machine.
    Copy(String),
    /// Back to the shell for a while.
    Suspend,
    /// The end of the dashboard.
    Leave,
}

/// What lies over the panes.
#[derive(Debug, Clone, PartialEq)]
pub enum Popup {
    /// What the keys do; lines scrolled.
    Help(usize),
    /// All that is known of a job; lines scrolled.
    Details(i64, usize),
    /// A question, and what is asked for when it is answered with yes.
    Confirm(String, Vec<Request>),
    /// A text is being typed.
    Typing(Typing, String),
}

/// What a typed text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typing {
    /// Which jobs are shown.
    Filter,
    /// A file to be processed.
    Add,
}

/// The order of jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// As they come: those at work, those that wait by their turn, those that ended, latest first.
    Turn,
    /// By name.
    Name,
    /// By state.
    State,
    /// The newest first.
    Age,
    /// Those at work first, by their frames a second.
    Speed,
}

impl Sort {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Sort::Turn => "turn",
            Sort::Name => "name",
            Sort::State => "state",
            Sort::Age => "age",
            Sort::Speed => "fps",
        }
    }

    fn next(self) -> Self {
        match self {
            Sort::Turn => Sort::Name,
            Sort::Name => Sort::State,
            Sort::State => Sort::Age,
            Sort::Age => Sort::Speed,
            Sort::Speed => Sort::Turn,
        }
    }
}

/// How a message is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// It was done.
    Good,
    /// It was not.
    Bad,
}

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

/// Which lines of the log are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogView {
    /// Lines scrolled up from the end.
    pub back: usize,
    /// Only warnings and errors.
    pub only_warnings: bool,
    /// Only those about the selected job.
    pub one_job: bool,
}

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
    pub fn look(&self, columns: usize) -> Look {
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
        Look { jobs_seen: self.version, filter: self.filter.clone(), log_seen, chart, detail, preview }
    }

    /// Whether a pane was on the screen when that was drawn last.
    fn is_shown(&self, pane: Pane) -> bool {
        self.places.iter().any(|(shown, _)| *shown == pane)
    }

    /// The job whose frames are shown: the selected one, or else one that is at work.
    pub fn charted(&self) -> Option<i64> {
        self.selected.or_else(|| self.snapshot.as_ref()?.at_work.first().map(|job| job.id))
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
        let is_done = |id: &i64| self.rows.iter().any(|row| row.id == *id && row.state == State::Done);
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
                    State::Running => 0,
                    State::Queued | State::Paused => 1,
                    State::Done | State::Failed | State::Cancelled => 2,
                };
                self.rows.sort_by_key(rank);
            }
            Sort::Name => self.rows.sort_by_key(name),
            Sort::State => self.rows.sort_by_key(|row| State::ALL.iter().position(|state| *state == row.state)),
            Sort::Age => self.rows.sort_by_key(|row| std::cmp::Reverse(row.added)),
            Sort::Speed => {
                let at_work = self.snapshot.iter().flat_map(|snapshot| &snapshot.at_work);
                let speeds: BTreeMap<i64, f32> = at_work.map(|job| (job.id, job.fps)).collect();
                let speed = |row: &Row| speeds.get(&row.id).copied().unwrap_or(-1.0);
                self.rows.sort_by(|a, b| speed(b).total_cmp(&speed(a)));
            }
        }
    }

    /// What a key does.
    pub fn press(&mut self, key: KeyEvent) -> Vec<Effect> {
        if key.kind == KeyEventKind::Release {
            return Vec::new();
        }
        self.message = None;
        if let Some(popup) = self.popup.take() {
            return self.press_in(popup, key);
        }
        if key.code == KeyCode::Esc {
            self.marked.clear();
            self.filter.clear();
            self.version = None;
            return Vec::new();
        }
        let Some(entry) = self.keys.action(key, self.pane) else { return Vec::new() };
        if entry.changes && self.read_only {
            self.message = Some(("this dashboard is for looking only".into(), Tone::Bad));
            return Vec::new();
        }
        self.act(entry.action)
    }

    fn press_in(&mut self, popup: Popup, key: KeyEvent) -> Vec<Effect> {
        let leaves =
            matches!(key.code, KeyCode::Esc | KeyCode::Char('q')) || key.modifiers.contains(KeyModifiers::CONTROL);
        match popup {
            Popup::Help(at) | Popup::Details(_, at) => {
                let at = match key.code {
                    KeyCode::Up | KeyCode::Char('k') => at.saturating_sub(1),
                    KeyCode::Down | KeyCode::Char('j') => at + 1,
                    KeyCode::PageUp => at.saturating_sub(10),
                    KeyCode::PageDown => at + 10,
                    _ => return Vec::new(),
                };
                self.popup = Some(match popup {
                    Popup::Details(id, _) => Popup::Details(id, at),
                    _ => Popup::Help(at),
                });
                Vec::new()
            }
            Popup::Confirm(_, requests) if matches!(key.code, KeyCode::Char('y' | 'Y') | KeyCode::Enter) => {
                requests.into_iter().map(Effect::Ask).collect()
            }
            Popup::Confirm(..) => Vec::new(),
            Popup::Typing(..) if leaves && key.code != KeyCode::Char('q') => Vec::new(),
            Popup::Typing(what, mut text) => {
                match key.code {
                    KeyCode::Enter => return self.typed(what, text),
                    KeyCode::Backspace => drop(text.pop()),
                    KeyCode::Tab if what == Typing::Add => text = completed(&text),
                    KeyCode::Char(letter) => text.push(letter),
                    _ => {}
                }
                if what == Typing::Filter {
                    self.filter.clone_from(&text);
                    self.version = None;
                }
                self.popup = Some(Popup::Typing(what, text));
                Vec::new()
            }
        }
    }

    /// What pasted text does: it is typed where text is typed, and is no key anywhere.
    pub fn paste(&mut self, text: &str) {
        let Some(Popup::Typing(what, typed)) = &mut self.popup else {
            let why = "pasted text ignored; press / or a first";
            self.message = Some((why.into(), Tone::Bad));
            return;
        };
        // The first line of several: a name that goes on in the next one is none.
        let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        typed.extend(line.chars().filter(|c| !c.is_control()));
        if *what == Typing::Filter {
            self.filter.clone_from(typed);
            self.version = None;
        }
    }

    fn typed(&mut self, what: Typing, text: String) -> Vec<Effect> {
        match what {
            Typing::Filter => Vec::new(),
            Typing::Add if text.is_empty() => Vec::new(),
            Typing::Add => {
                let path = std::path::absolute(expanded(&text)).unwrap_or_else(|_| expanded(&text));
                vec![Effect::Ask(Request::Add { path: path.to_string_lossy().into_owned() })]
            }
        }
    }

    /// What the mouse does.
    pub fn point(&mut self, event: MouseEvent) {
        let inside = |place: &Rect| place.contains((event.column, event.row).into());
        let Some((pane, place)) = self.places.iter().find(|(_, place)| inside(place)).copied() else { return };
        match event.kind {
            MouseEventKind::Down(MouseButton::Left) => {
                self.pane = pane;
                // The border and the names of the columns.
                let line = event.row.checked_sub(place.y + 2).map(usize::from);
                if let (Pane::Jobs, Some(row)) = (pane, line.and_then(|line| self.rows.get(self.first_row + line))) {
                    (self.selected, self.is_chosen) = (Some(row.id), true);
                }
            }
            MouseEventKind::ScrollUp => self.scroll(pane, -3),
            MouseEventKind::ScrollDown => self.scroll(pane, 3),
            _ => {}
        }
    }

    fn scroll(&mut self, pane: Pane, by: isize) {
        match pane {
            Pane::Jobs => {
                let at = self.rows.iter().position(|row| Some(row.id) == self.selected).unwrap_or(0);
                let last = self.rows.len().saturating_sub(1);
                self.selected = self.rows.get(at.saturating_add_signed(by).min(last)).map(|row| row.id);
                self.is_chosen = true;
                self.frames = FramesView { zoom: self.frames.zoom, ..FramesView::default() };
            }
            Pane::Log => {
                let last = self.shown_lines().len().saturating_sub(1);
                self.log.back = self.log.back.saturating_add_signed(-by).min(last);
            }
            Pane::Frames => {
                let count =
                    self.snapshot.as_ref().and_then(|s| s.chart.as_ref()).map_or(0, |chart| chart.slowest.len());
                self.frames.pointed = self.frames.pointed.saturating_add_signed(by).min(count.saturating_sub(1));
            }
            Pane::Pipeline | Pane::Render | Pane::Preview => {}
        }
    }

    fn act(&mut self, action: Action) -> Vec<Effect> {
        let page = isize::try_from(self.page).unwrap_or(10);
        match action {
            Action::Up => self.scroll(self.pane, -1),
            Action::Down => self.scroll(self.pane, 1),
            Action::PageUp => self.scroll(self.pane, -page),
            Action::PageDown => self.scroll(self.pane, page),
            Action::First => self.scroll(self.pane, isize::MIN / 2),
            Action::Last => self.scroll(self.pane, isize::MAX / 2),
            Action::NextPane | Action::PreviousPane => {
                let at = Pane::ALL.iter().position(|pane| *pane == self.pane).unwrap_or(0);
                let step = if action == Action::NextPane { 1 } else { Pane::ALL.len() - 1 };
                self.pane = Pane::ALL[(at + step) % Pane::ALL.len()];
            }
            Action::Jobs => self.pane = Pane::Jobs,
            Action::Pipeline => self.pane = Pane::Pipeline,
            Action::Render => self.pane = Pane::Render,
            Action::Frames => self.pane = Pane::Frames,
            Action::Log => self.pane = Pane::Log,
            Action::PreviewPane => (self.pane, self.has_preview) = (Pane::Preview, true),
            Action::Preview => {
                self.has_preview = !self.has_preview;
                let is_seen = self.is_shown(Pane::Preview);
                match self.has_preview {
                    // On a small screen it needs the place of another.
                    true if self.places.len() < Pane::ALL.len() - 1 => self.pane = Pane::Preview,
                    false if is_seen && self.pane == Pane::Preview => self.pane = Pane::Jobs,
                    _ => {}
                }
            }
            Action::Sort => {
                self.sort = self.sort.next();
                // In the engine's own order again first.
                self.version = None;
                self.order_rows();
            }
            Action::Mark => {
                if let Some(id) = self.selected {
                    if !self.marked.remove(&id) {
                        self.marked.insert(id);
                    }
                    self.scroll(Pane::Jobs, 1);
                }
            }
            Action::Filter => self.popup = Some(Popup::Typing(Typing::Filter, self.filter.clone())),
            Action::Add => self.popup = Some(Popup::Typing(Typing::Add, String::new())),
            Action::Details => self.popup = self.selected.map(|id| Popup::Details(id, 0)),
            Action::Help => self.popup = Some(Popup::Help(0)),
            Action::Freeze => self.is_frozen = !self.is_frozen,
            Action::Level => self.log = LogView { only_warnings: !self.log.only_warnings, back: 0, ..self.log },
            Action::OneJob => self.log = LogView { one_job: !self.log.one_job, back: 0, ..self.log },
            Action::Earlier | Action::Later | Action::ZoomIn | Action::ZoomOut => self.turn_chart(action),
            Action::Suspend => return vec![Effect::Suspend],
            Action::Leave => return vec![Effect::Leave],
            Action::Output => return self.tell_output(),
            Action::Stop => {
                let text = "Stop the engine? What is at work goes on at its next start.";
                self.popup = Some(Popup::Confirm(text.into(), vec![Request::Stop { drain: false }]));
            }
            Action::Pause
            | Action::PauseAll
            | Action::Drain
            | Action::Raise
            | Action::Lower
            | Action::MoveUp
            | Action::MoveDown
            | Action::Cancel
            | Action::Retry
            | Action::Undo => return self.order(action),
        }
        Vec::new()
    }

    fn tell_output(&mut self) -> Vec<Effect> {
        let Some(row) = self.row() else { return Vec::new() };
        let path = row.video.to_string_lossy().into_owned();
        if path.is_empty() {
            self.message = Some(("it was never taken, so there is no result".into(), Tone::Bad));
            return Vec::new();
        }
        self.message = Some((format!("result: {}", printable(&path)), Tone::Good));
        vec![Effect::Copy(path)]
    }

    fn turn_chart(&mut self, action: Action) {
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

    /// The marked jobs, or else the selected one.
    fn meant(&self) -> Vec<&Row> {
        match self.marked.is_empty() {
            true => self.row().into_iter().collect(),
            false => self.rows.iter().filter(|row| self.marked.contains(&row.id)).collect(),
        }
    }

    fn order(&mut self, action: Action) -> Vec<Effect> {
        let rows = self.meant();
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let one = |order: Order, jobs: Vec<i64>| Request::Order { order, jobs };
        let split =
            |state: fn(State) -> bool| rows.iter().filter(|row| state(row.state)).map(|row| row.id).collect::<Vec<_>>();
        let (mut requests, mut undo) = (Vec::new(), Vec::new());
        match action {
            Action::Pause => {
                let (paused, others) = (split(|s| s == State::Paused), split(|s| s != State::Paused));
                // Several at once all go the same way.
                match others.is_empty() {
                    true => {
                        requests.push(one(Order::Resume, paused.clone()));
                        undo.push(one(Order::Pause { until: None }, paused));
                    }
                    false => {
                        requests.push(one(Order::Pause { until: None }, others.clone()));
                        undo.push(one(Order::Resume, others));
                    }
                }
            }
            Action::Raise | Action::Lower => {
                let step = if action == Action::Raise { 1 } else { -1 };
                for row in &rows {
                    requests.push(one(Order::Priority(row.priority.saturating_add(step)), vec![row.id]));
                    undo.push(one(Order::Priority(row.priority), vec![row.id]));
                }
            }
            Action::MoveUp => requests.extend(ids.iter().map(|&id| one(Order::Move(Place::Up), vec![id]))),
            Action::MoveDown => requests.extend(ids.iter().rev().map(|&id| one(Order::Move(Place::Down), vec![id]))),
            Action::Retry => requests.push(one(Order::Retry, ids)),
            Action::PauseAll => {
                let flow = self.snapshot.as_ref().map_or(Flow::Go, |snapshot| snapshot.flow);
                let next = if flow == Flow::Go { Flow::Pause { until: None } } else { Flow::Go };
                requests.push(Request::Flow(next));
                undo.push(Request::Flow(flow));
            }
            Action::Drain => {
                let flow = self.snapshot.as_ref().map_or(Flow::Go, |snapshot| snapshot.flow);
                requests.push(Request::Flow(if flow == Flow::Drain { Flow::Go } else { Flow::Drain }));
                undo.push(Request::Flow(flow));
            }
            Action::Undo => {
                requests = std::mem::take(&mut self.undo);
                if requests.is_empty() {
                    self.message = Some(("there is nothing to undo".into(), Tone::Bad));
                }
                return requests.into_iter().map(Effect::Ask).collect();
            }
            Action::Cancel => {
                let text = match &rows[..] {
                    [] => return Vec::new(),
                    [row] => format!("Cancel job {} ({})?", row.id, name(row)),
                    rows => format!("Cancel {} jobs?", rows.len()),
                };
                self.popup = Some(Popup::Confirm(text, vec![one(Order::Cancel, ids)]));
                return Vec::new();
            }
            _ => {}
        }
        requests.retain(|request| !matches!(request, Request::Order { jobs, .. } if jobs.is_empty()));
        if !undo.is_empty() {
            self.undo = undo;
        }
        requests.into_iter().map(Effect::Ask).collect()
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

fn expanded(text: &str) -> std::path::PathBuf {
    match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => text.into(),
    }
}

/// The text with as much added as all files agree on that begin so.
fn completed(text: &str) -> String {
    let path = expanded(text);
    let (folder, begin) = match text.ends_with('/') {
        true => (path.as_path(), String::new()),
        false => {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            (path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")), name)
        }
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let is_folder = entry.path().is_dir();
            let fits = name.starts_with(&begin) && (!name.starts_with('.') || begin.starts_with('.'));
            fits.then(|| if is_folder { name + "/" } else { name })
        })
        .collect();
    names.sort();
    let Some(first) = names.first() else { return text.into() };
    let common = names.iter().fold(first.as_str(), |common, name| {
        let same = common.char_indices().zip(name.chars()).find(|((_, a), b)| a != b).map(|((at, _), _)| at);
        &common[..same.unwrap_or(common.len().min(name.len()))]
    });
    // A name that the text does not end with is one that the path was brought to ("a/." to "a").
    text.strip_suffix(&begin).map_or_else(|| text.into(), |folder| format!("{folder}{common}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_completed_as_far_as_they_agree() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["clip one.mp4", "clip two.mp4", "other.mov", ".clip"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        let at = |name: &str| format!("{}/{name}", folder.path().display());
        assert_eq!(completed(&at("cl")), at("clip "));
        assert_eq!(completed(&at("clip t")), at("clip two.mp4"));
        assert_eq!(completed(&at("su")), at("sub/"));
        assert_eq!(completed(&at("nothing")), at("nothing"));
        std::fs::create_dir(folder.path().join("日本")).unwrap();
        for text in ["日本/.", "日", "日本/..", "日本/"] {
            let before = at(text);
            assert!(completed(&before).starts_with(&before), "{text}");
        }
    }

    #[test]
    fn lines_of_the_log_know_their_job() {
        let line = |job: Option<i64>, text: &str| Line { number: 1, time: 0, level: 3, job, text: text.into() };
        assert!(is_about(&line(Some(7), "a: done"), 7) && is_about(&line(None, "a.mp4: queued as job 7"), 7));
        assert!(!is_about(&line(None, "job 71: the pause is over"), 7) && !is_about(&line(None, "clip 7.mp4"), 7));
    }
}
