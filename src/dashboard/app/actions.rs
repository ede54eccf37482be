//! What keys, pasted text and the mouse do. Nothing here waits: what has to happen outside is given back.

use ratatui::crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::Rect;

use super::completion::{completed, expanded};
use super::{App, FramesView, LogView, Popup, Tone, Typing, name};
use crate::dashboard::keys::{Action, Pane};
use crate::job::JobState;
use crate::queue::{Order, Place, QueueMode, Row};
use crate::service::Request;
use crate::text::printable;

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
    Quit,
}
impl App {
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
            self.message = Some(("this dashboard is read-only".into(), Tone::Bad));
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
            Popup::Typing(what, _) if leaves && key.code != KeyCode::Char('q') => {
                if what == Typing::Filter {
                    self.filter.clear();
                    self.version = None;
                }
                Vec::new()
            }
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
            let why = "pasted text is ignored here; press / or a first";
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
            Action::Quit => return vec![Effect::Quit],
            Action::Output => return self.tell_output(),
            Action::Stop => {
                let text = "Stop the engine? Unfinished jobs continue at its next start.";
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
            self.message = Some(("this job has no result: its file was not accepted".into(), Tone::Bad));
            return Vec::new();
        }
        self.message = Some((format!("result: {}", printable(&path)), Tone::Good));
        vec![Effect::Copy(path)]
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
        let split = |state: fn(JobState) -> bool| {
            rows.iter().filter(|row| state(row.state)).map(|row| row.id).collect::<Vec<_>>()
        };
        let (mut requests, mut undo) = (Vec::new(), Vec::new());
        match action {
            Action::Pause => {
                let (paused, others) = (split(|s| s == JobState::Paused), split(|s| s != JobState::Paused));
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
                let mode = self.snapshot.as_ref().map_or(QueueMode::Go, |snapshot| snapshot.mode);
                let next = if mode == QueueMode::Go { QueueMode::Pause { until: None } } else { QueueMode::Go };
                requests.push(Request::Mode(next));
                undo.push(Request::Mode(mode));
            }
            Action::Drain => {
                let mode = self.snapshot.as_ref().map_or(QueueMode::Go, |snapshot| snapshot.mode);
                requests.push(Request::Mode(if mode == QueueMode::Drain { QueueMode::Go } else { QueueMode::Drain }));
                undo.push(Request::Mode(mode));
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
