//! The parts of the dashboard's state that say how it is looked at.

use crate::service::Request;

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
            Sort::Turn => "queue order",
            Sort::Name => "name",
            Sort::State => "state",
            Sort::Age => "age",
            Sort::Speed => "fps",
        }
    }

    /// The one that follows.
    pub fn next(self) -> Self {
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
