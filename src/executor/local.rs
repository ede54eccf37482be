//! Jobs worked on by this process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Executor;
use crate::config::Config;
use crate::job::{Failure, FailureKind, JobContext, JobSpec, Report};
use crate::pipeline::{Pipeline, StartError};
use crate::telemetry::Live;

/// This process, with everything that its jobs share.
pub struct Local(Pipeline);

impl Local {
    /// Loads networks and body, and starts the threads that jobs share.
    ///
    /// # Errors
    /// When no job could be worked on.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        Pipeline::start(config).map(Self)
    }

    /// Helps with a job that another process works on, until there is nothing left to help with. Whether there was anything.
    ///
    /// # Errors
    /// Why it cannot help any more.
    pub fn help(&self, spec: &JobSpec, context: &JobContext<'_>) -> Result<bool, Failure> {
        unless_panicked(|| self.0.help(spec, context).map_err(Failure::from))
    }
}

/// A defect that one video brings to light is no reason to end all jobs.
fn unless_panicked<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let panicked = |_| Err(Failure { reason: "internal error: the job panicked".into(), kind: FailureKind::Permanent });
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(panicked)
}

impl Executor for Local {
    fn work(&self, spec: &JobSpec, context: &JobContext<'_>) -> Result<Report, Failure> {
        unless_panicked(|| self.0.process(spec, context).map_err(Failure::from))
    }

    fn live(&self) -> &Arc<Live> {
        self.0.live()
    }

    fn inference(&self) -> &str {
        self.0.inference()
    }

    fn renderer(&self) -> &str {
        &self.0.renderer().renderer
    }
}
