//! The queue of jobs: what was dropped, what became of it, and what comes next. It outlives the program.

mod history;
mod ingest;
mod life;
mod orders;
mod schema;
mod store;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::clock::{self, Millis};

pub use history::{Entry, Row};
pub use ingest::NewJob;
pub use life::Claim;
pub use store::{Queue, QueueError};

/// What the user wants of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Wait: for a time, or for the user.
    Pause {
        /// When the pause ends by itself.
        until: Option<Millis>,
    },
    /// Go on after a pause.
    Resume,
    /// Give it up.
    Cancel,
    /// Try again what was given up, or now rather than later.
    Retry,
    /// Higher comes first.
    Priority(i64),
    /// Among those of the same priority.
    Move(Place),
}

impl Order {
    /// The order to a job, for the logs.
    pub fn said_of(self, id: i64) -> String {
        match self {
            Order::Pause { until: None } => format!("pause job {id}"),
            Order::Pause { until: Some(until) } => format!("pause job {id} until {}", clock::local(until)),
            Order::Resume => format!("resume job {id}"),
            Order::Cancel => format!("cancel job {id}"),
            Order::Retry => format!("try job {id} again"),
            Order::Priority(value) => format!("give job {id} priority {value}"),
            Order::Move(place) => format!("move job {id} {}", place.name()),
        }
    }
}

/// Where a job goes among those of its priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Before all others.
    First,
    /// Before the one that is before it.
    Up,
    /// After the one that is after it.
    Down,
    /// After all others.
    Last,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Place::First => "first",
            Place::Up => "up",
            Place::Down => "down",
            Place::Last => "last",
        }
    }
}

/// How the queue as a whole is worked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueMode {
    /// Jobs begin as their turns come.
    Go,
    /// What is at work is finished, and nothing is begun.
    Drain,
    /// Everything waits where it is.
    Pause {
        /// When the pause ends by itself.
        until: Option<Millis>,
    },
}

/// The queue's file in the state folder.
pub fn file(state: &std::path::Path) -> PathBuf {
    state.join("queue.sqlite")
}
