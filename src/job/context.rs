//! What a job needs while somebody works on it, apart from what it is.

use std::path::Path;
use std::sync::Arc;

use super::Event;
use crate::control::{Control, Stopped, proceed};
use crate::telemetry::Timings;

/// What a job needs while somebody works on it.
pub struct JobContext<'a> {
    /// Where what is done is written down, to go on from when the process dies; it is the caller's to remove. `None`: beside
    /// the results while they are made.
    pub checkpoint: Option<&'a Path>,
    /// Where its times go.
    pub timings: Arc<Timings>,
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
