//! What a job needs while somebody works on it, apart from what it is.

use std::path::Path;
use std::sync::Arc;

use super::Event;
use crate::control::{Control, Stopped, proceed};
use crate::telemetry::Timings;

/// Whether several processes work on a job, with one checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Nobody else does.
    All,
    /// Helpers may; this one makes the results.
    First,
    /// This one helps. It begins at the end of the clip, the first one at its beginning.
    Helper {
        /// Its number among those who help.
        number: usize,
        /// How many they are.
        of: usize,
    },
}

impl Share {
    /// Whether others may be at work.
    pub fn is_shared(self) -> bool {
        self != Self::All
    }

    /// In which order so many pieces of work are taken. Everybody goes through all of them, since any of the others may be lost, and leaves
    /// out those that are done.
    pub fn order(self, count: usize) -> Vec<usize> {
        match self {
            Self::All | Self::First => (0..count).collect(),
            Self::Helper { number, of } => {
                let (own, others): (Vec<_>, Vec<_>) = (0..count).partition(|at| at % of.max(1) == number);
                own.into_iter().rev().chain(others.into_iter().rev()).collect()
            }
        }
    }
}

/// What a job needs while somebody works on it.
pub struct JobContext<'a> {
    /// Where what is done is written down, to go on from when the process dies; it is the caller's to remove. `None`: beside
    /// the results while they are made.
    pub checkpoint: Option<&'a Path>,
    /// Where its times go.
    pub timings: Arc<Timings>,
    /// Who works on it.
    pub share: Share,
    /// Its priority as it began: higher comes first.
    pub priority: i64,
    /// Asked often whether the job goes on.
    pub control: &'a (dyn Fn() -> Control + Sync),
    /// Hears of everything that happens; called from the job's threads.
    pub events: &'a (dyn Fn(Event) + Sync),
}

impl JobContext<'_> {
    /// Waits while the job is held.
    ///
    /// # Errors
    /// [`Stopped`] once it is to stop.
    pub fn proceed(&self) -> Result<(), Stopped> {
        proceed(self.control)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_share_a_clip_begin_in_different_places() {
        assert_eq!(Share::First.order(5), [0, 1, 2, 3, 4]);
        assert_eq!(Share::Helper { number: 0, of: 2 }.order(5), [4, 2, 0, 3, 1]);
        assert_eq!(Share::Helper { number: 1, of: 2 }.order(5), [3, 1, 4, 2, 0]);
    }
}
