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
}

impl Executor for Local {
    fn work(&self, spec: &JobSpec, context: &JobContext<'_>) -> Result<Report, Failure> {
        // A defect that one video brings to light is no reason to end all jobs.
        catch_unwind(AssertUnwindSafe(|| self.0.process(spec, context))).map_or_else(
            |_| Err(Failure { reason: "internal error: the job panicked".into(), kind: FailureKind::Permanent }),
            |result| result.map_err(Failure::from),
        )
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
