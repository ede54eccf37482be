//! Who works on jobs. A file for each: this process (`local`), and the nodes of a Slurm cluster (`slurm`).

mod local;
pub mod slurm;

use std::sync::Arc;

pub use local::Local;

use crate::job::{Failure, JobContext, JobSpec, JobState, Report};
use crate::telemetry::Live;

/// Works on jobs, several at a time if it is called so.
pub trait Executor: Sync {
    /// Works on one job until its results are in place, or it is clear that there will be none. What happens meanwhile is told to the
    /// context, whoever does the work.
    ///
    /// # Errors
    /// Why there are no results.
    fn work(&self, spec: &JobSpec, context: &JobContext<'_>) -> Result<Report, Failure>;

    /// Whether jobs are worked on in this process, which one of them may bring down.
    fn is_here(&self) -> bool {
        true
    }

    /// Forgets what it keeps of jobs that are over, and ends what is done for those that are not to be worked on; `state` tells what a job is
    /// at. Called whenever that may have changed. Jobs that [`Executor::work`] is at work on are its own.
    fn tidy(&self, _state: &dyn Fn(i64) -> Option<JobState>) {}

    /// What was done in the last seconds.
    fn live(&self) -> &Arc<Live>;

    /// Where the networks run, for people.
    fn inference(&self) -> &str;

    /// What draws, for people.
    fn renderer(&self) -> &str;
}
