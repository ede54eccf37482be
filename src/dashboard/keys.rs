//! What can be done, and with which key: the one table that input, help and hints are made from.

use std::collections::BTreeMap;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A part of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pane {
    /// The queue.
    Jobs,
    /// The stages.
    Pipeline,
    /// The render thread and who waits for it.
    Render,
    /// Times of each frame of a job.
    Frames,
    /// What the engine says.
    Log,
    /// The latest picture of a job.
    Preview,
}

impl Pane {
    /// All, in the order of their numbers.
    pub const ALL: [Pane; 6] = [Pane::Jobs, Pane::Pipeline, Pane::Render, Pane::Frames, Pane::Log, Pane::Preview];

    /// Its title.
    pub fn title(self) -> &'static str {
        match self {
            Pane::Jobs => "Jobs",
            Pane::Pipeline => "Pipeline",
            Pane::Render => "Render lock",
            Pane::Frames => "Frames",
            Pane::Log => "Log",
            Pane::Preview => "Preview",
        }
    }
}

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // the table says what each does
pub enum Action {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Pause,
    PauseAll,
    Raise,
    Lower,
    MoveUp,
    MoveDown,
    Cancel,
    Retry,
    Details,
    Add,
    Output,
    Filter,
    Sort,
    Mark,
    Undo,
    Drain,
    NextPane,
    PreviousPane,
    Jobs,
    Pipeline,
    Render,
    Frames,
    Log,
    PreviewPane,
    Preview,
    Earlier,
    Later,
    ZoomIn,
    ZoomOut,
    Level,
    OneJob,
    Freeze,
    Help,
    Suspend,
    Stop,
    Quit,
}

/// Where an action works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Everywhere.
    Anywhere,
    /// In one pane.
    In(Pane),
    /// In lists.
    Lists,
}

/// A line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// What is done.
    pub action: Action,
    /// Its name in the configuration.
    pub name: &'static str,
    /// Its keys, unless the configuration names others.
    pub keys: &'static [&'static str],
    /// Where it works.
    pub place: Place,
    /// Whether it changes something: not for onlookers.
    pub changes: bool,
    /// What it does.
    pub help: &'static str,
}

const fn entry(
    action: Action,
    name: &'static str,
    keys: &'static [&'static str],
    place: Place,
    changes: bool,
    help: &'static str,
) -> Entry {
    Entry { action, name, keys, place, changes, help }
}

/// The table.
pub const TABLE: [Entry; 42] = {
    use Action::*;
    const JOBS: Place = Place::In(Pane::Jobs);
    const FRAMES: Place = Place::In(Pane::Frames);
    const LOG: Place = Place::In(Pane::Log);
    [
        entry(Pause, "pause", &["space"], JOBS, true, "pause or resume the job"),
        entry(Cancel, "cancel", &["c"], JOBS, true, "cancel the job (asks first)"),
        entry(Retry, "retry", &["r"], JOBS, true, "retry the job"),
        entry(Raise, "raise", &["+", "="], JOBS, true, "raise the priority"),
        entry(Lower, "lower", &["-"], JOBS, true, "lower the priority"),
        entry(MoveUp, "move_up", &["K"], JOBS, true, "move up among the jobs of the same priority"),
        entry(MoveDown, "move_down", &["J"], JOBS, true, "move down among the jobs of the same priority"),
        entry(Details, "details", &["enter"], JOBS, false, "show all details of the job"),
        entry(Output, "output", &["o"], JOBS, false, "show the path of the result, and copy it"),
        entry(Filter, "filter", &["/"], JOBS, false, "show only jobs whose names contain a text"),
        entry(Sort, "sort", &["s"], JOBS, false, "sort by queue order, name, state, age or fps"),
        entry(Mark, "mark", &["v"], JOBS, false, "mark or unmark the job, to act on several at once"),
        entry(Undo, "undo", &["u"], JOBS, true, "undo the last pause or change of priority"),
        entry(Add, "add", &["a"], JOBS, true, "add a file by its path"),
        entry(PauseAll, "pause_all", &["P"], Place::Anywhere, true, "pause or resume everything"),
        entry(Drain, "drain", &["d"], Place::Anywhere, true, "finish the running jobs, but start no new ones"),
        entry(Earlier, "earlier", &["left", "h"], FRAMES, false, "earlier frames"),
        entry(Later, "later", &["right", "l"], FRAMES, false, "later frames"),
        entry(ZoomIn, "zoom_in", &["+", "="], FRAMES, false, "zoom in: fewer frames, in more detail"),
        entry(ZoomOut, "zoom_out", &["-"], FRAMES, false, "zoom out: more frames"),
        entry(Level, "level", &["t"], LOG, false, "show only warnings and errors, or everything"),
        entry(OneJob, "one_job", &["j"], LOG, false, "show only the selected job's lines, or everything"),
        entry(Up, "up", &["up", "k"], Place::Lists, false, "up"),
        entry(Down, "down", &["down", "j"], Place::Lists, false, "down"),
        entry(PageUp, "page_up", &["pageup"], Place::Lists, false, "a page up"),
        entry(PageDown, "page_down", &["pagedown"], Place::Lists, false, "a page down"),
        entry(First, "first", &["home", "g"], Place::Lists, false, "go to the first"),
        entry(Last, "last", &["end", "G"], Place::Lists, false, "go to the last"),
        entry(NextPane, "next_pane", &["tab"], Place::Anywhere, false, "next pane"),
        entry(PreviousPane, "previous_pane", &["backtab"], Place::Anywhere, false, "previous pane"),
        entry(Jobs, "jobs", &["1"], Place::Anywhere, false, "go to the jobs"),
        entry(Pipeline, "pipeline", &["2"], Place::Anywhere, false, "go to the pipeline"),
        entry(Render, "render", &["3"], Place::Anywhere, false, "go to the render lock"),
        entry(Frames, "frames", &["4"], Place::Anywhere, false, "go to the frames"),
        entry(Log, "log", &["5"], Place::Anywhere, false, "go to the log"),
        entry(PreviewPane, "preview_pane", &["6"], Place::Anywhere, false, "go to the preview"),
        entry(Preview, "preview", &["p"], Place::Anywhere, false, "show or hide pictures of the selected job"),
        entry(Freeze, "freeze", &["f"], Place::Anywhere, false, "freeze or unfreeze the view (work continues)"),
        entry(Help, "help", &["?"], Place::Anywhere, false, "show this help"),
        entry(Suspend, "suspend", &["ctrl-z"], Place::Anywhere, false, "suspend to the shell (fg returns)"),
        entry(Stop, "stop", &["S"], Place::Anywhere, true, "stop the engine (asks first)"),
        entry(Quit, "quit", &["q", "ctrl-c"], Place::Anywhere, false, "quit the dashboard; the engine keeps running"),
    ]
};

/// Which keys do what, by the table and the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keys {
    others: BTreeMap<String, Vec<String>>,
}

impl Keys {
    /// With the keys that the configuration names.
    ///
    /// # Errors
    /// A sentence, when it names what is no action.
    pub fn new(others: BTreeMap<String, Vec<String>>) -> Result<Self, String> {
        for (name, keys) in &others {
            if !TABLE.iter().any(|entry| entry.name == name) {
                let names: Vec<&str> = TABLE.iter().map(|entry| entry.name).collect();
                return Err(format!("[keys] {name}: there is no such action (there are: {})", names.join(", ")));
            }
            if let Some(wrong) = keys.iter().find(|key| !is_key(key)) {
                return Err(format!(
                    "[keys] {name}: {wrong:?} is no key; one is a letter, \"space\", \"ctrl-x\", \"f5\", ..."
                ));
            }
        }
        Ok(Self { others })
    }

    /// The keys of an action, as they are written.
    pub fn of(&self, entry: &Entry) -> Vec<&str> {
        match self.others.get(entry.name) {
            Some(keys) => keys.iter().map(String::as_str).collect(),
            None => entry.keys.to_vec(),
        }
    }

    /// What a key does in a pane. What works in that pane alone goes first.
    pub fn action(&self, event: KeyEvent, pane: Pane) -> Option<Entry> {
        let name = name_of(event)?;
        let fits = |place: fn(Pane) -> [Place; 2]| {
            let places = place(pane);
            TABLE.iter().find(|entry| places.contains(&entry.place) && self.of(entry).contains(&name.as_str())).copied()
        };
        fits(|pane| [Place::In(pane); 2]).or_else(|| fits(|_| [Place::Lists, Place::Anywhere]))
    }
}

/// How a key is written.
fn name_of(event: KeyEvent) -> Option<String> {
    let name = match event.code {
        KeyCode::Char(' ') => "space".into(),
        KeyCode::Char(letter) => letter.to_string(),
        KeyCode::Enter => "enter".into(),
        KeyCode::Tab => "tab".into(),
        KeyCode::BackTab => "backtab".into(),
        KeyCode::Esc => "esc".into(),
        KeyCode::Up => "up".into(),
        KeyCode::Down => "down".into(),
        KeyCode::Left => "left".into(),
        KeyCode::Right => "right".into(),
        KeyCode::PageUp => "pageup".into(),
        KeyCode::PageDown => "pagedown".into(),
        KeyCode::Home => "home".into(),
        KeyCode::End => "end".into(),
        KeyCode::Delete => "delete".into(),
        KeyCode::F(number) => format!("f{number}"),
        _ => return None,
    };
    Some(if event.modifiers.contains(KeyModifiers::CONTROL) { format!("ctrl-{name}") } else { name })
}

fn is_key(text: &str) -> bool {
    const NAMED: [&str; 14] = [
        "space", "enter", "tab", "backtab", "esc", "up", "down", "left", "right", "pageup", "pagedown", "home", "end",
        "delete",
    ];
    let plain = text.strip_prefix("ctrl-").unwrap_or(text);
    let is_function =
        || plain.strip_prefix('f').and_then(|n| n.parse::<u8>().ok()).is_some_and(|n| (1..=24).contains(&n));
    plain.chars().count() == 1 || NAMED.contains(&plain) || is_function()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_what_the_table_says_in_their_place_and_can_be_changed() {
        let press = |letter: char| KeyEvent::new(KeyCode::Char(letter), KeyModifiers::NONE);
        let keys = Keys::default();
        let action = |keys: &Keys, letter: char, pane: Pane| keys.action(press(letter), pane).map(|entry| entry.action);
        assert_eq!(action(&keys, '+', Pane::Jobs), Some(Action::Raise));
        assert_eq!(action(&keys, '+', Pane::Frames), Some(Action::ZoomIn));
        assert_eq!(action(&keys, '+', Pane::Log), None);
        assert_eq!(action(&keys, 'j', Pane::Jobs), Some(Action::Down));
        assert_eq!(action(&keys, 'j', Pane::Log), Some(Action::OneJob));
        assert_eq!(action(&keys, 'q', Pane::Log), Some(Action::Quit));

        let other = |name: &str, key: &str| BTreeMap::from([(name.to_owned(), vec![key.to_owned()])]);
        let keys = Keys::new(other("quit", "x")).unwrap();
        assert_eq!((action(&keys, 'x', Pane::Jobs), action(&keys, 'q', Pane::Jobs)), (Some(Action::Quit), None));
        assert!(Keys::new(other("exit", "x")).unwrap_err().contains("there is no such action"));
        assert!(Keys::new(other("quit", "meta")).unwrap_err().contains("is no key"));
        assert!(Keys::new(other("quit", "f5")).is_ok() && Keys::new(other("quit", "ctrl-x")).is_ok());

        // No two actions have one key in one place.
        for pane in Pane::ALL {
            let here = TABLE.iter().filter(|entry| entry.place == Place::In(pane)).flat_map(|entry| entry.keys);
            let mut here: Vec<_> = here.collect();
            let count = here.len();
            here.sort();
            here.dedup();
            assert_eq!(here.len(), count, "{pane:?}");
        }
    }
}
