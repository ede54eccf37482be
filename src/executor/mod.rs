//! Who works on jobs. A file for each: this process (`local`), and whatever comes to work on them elsewhere.

mod local;

use std::sync::Arc;

pub use local::Local;

use crate::job::{Failure, JobContext, JobSpec, Report};
use crate::telemetry::Live;

/// Works on jobs, several at a time if it is called so.
pub trait Executor: Sync {
    /// Works on one job until its results are in place, or it is clear that there will be none. What happens meanwhile is told to the
    /// context, whoever does the work.
    ///
    /// # Errors
    /// Why there are no results.
    fn work(&self, spec: &JobSpec, context: &JobContext<'_>) -> Result<Report, Failure>;

    /// What was done in the last seconds.
    fn live(&self) -> &Arc<Live>;

    /// Where the networks run, for people.
    fn inference(&self) -> &str;

    /// What draws, for people.
    fn renderer(&self) -> &str;
}
