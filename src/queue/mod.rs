//! The queue of jobs: what was dropped, what became of it, and what comes next. It outlives the program.

mod store;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use store::{Claim, NewJob, Queue, QueueError, Row};

/// What a file looked like when it was taken: enough to notice that it is another one now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Time of the last change, nanoseconds since 1970.
    pub modified: i64,
}

impl Stamp {
    /// Of a file's metadata.
    pub fn of(metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let modified = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        Self { size: metadata.len(), modified }
    }
}

/// What a job is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waits for its turn, or for the time of its next try.
    Queued,
    /// Being processed.
    Running,
    /// Waits for the user.
    Paused,
    /// Results are in place.
    Done,
    /// Given up, with a reason.
    Failed,
    /// Given up because the user said so.
    Cancelled,
}

impl State {
    /// All of them.
    pub const ALL: [State; 6] =
        [State::Queued, State::Running, State::Paused, State::Done, State::Failed, State::Cancelled];

    /// As stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Running => "running",
            State::Paused => "paused",
            State::Done => "done",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// What the user wants of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Wait.
    Pause,
    /// Go on after a pause.
    Resume,
    /// Give it up.
    Cancel,
    /// Try again what was given up, or now rather than later.
    Retry,
    /// Higher comes first.
    Priority(i64),
}

/// Milliseconds since 1970.
pub type Millis = i64;

/// Now, as the queue counts time.
pub fn now() -> Millis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The queue's file in the state folder.
pub fn file(state: &std::path::Path) -> PathBuf {
    state.join("queue.sqlite")
}
