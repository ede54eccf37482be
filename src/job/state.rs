//! How a job stands, and what its video looked like.

use serde::{Deserialize, Serialize};

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for its turn, or for the time of its next try.
    Queued,
    /// A runner has it: it is at work, or held while others go before it.
    Running,
    /// Waits because the user said so: until they resume it, or the time of the pause is over.
    Paused,
    /// Results are in place.
    Done,
    /// Given up, with a reason.
    Failed,
    /// Given up because the user said so.
    Cancelled,
}

impl JobState {
    /// All of them.
    pub const ALL: [JobState; 6] =
        [JobState::Queued, JobState::Running, JobState::Paused, JobState::Done, JobState::Failed, JobState::Cancelled];

    /// As stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            JobState::Queued => "queued",
            JobState::Running => "running",
            JobState::Paused => "paused",
            JobState::Done => "done",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more becomes of the job by itself.
    pub fn is_over(self) -> bool {
        matches!(self, JobState::Done | JobState::Failed | JobState::Cancelled)
    }

    /// From [`JobState::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// What a file looked like: enough to notice that it is another one now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
