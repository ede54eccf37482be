//! One job: a video in, the video with meshes and its motion out.
//!
//! Two passes over the file. `observe` decodes it and observes people in every frame; then the whole clip is known at once, `link` makes
//! one track a person of it, and `fit` fits a body to each; `draw` decodes the file again, draws the bodies into it and compresses it; in
//! the end all is put into one file. Both passes go by stretches of the clip, of which several are under way at the same time (`room`). They
//! stream through bounded queues, and write down in the `checkpoint` what they have done; what is kept of a whole clip in memory is about a
//! kilobyte per person and frame.

mod answer;
mod bodies;
mod check;
mod checkpoint;
mod course;
mod decode;
mod draw;
mod engine;
mod exports;
mod figure;
mod fit;
mod fitted_people;
mod link;
mod motion;
mod observe;
mod outputs;
mod own_networks;
mod picture;
mod pool;
mod recorded;
mod room;
mod shot;
mod studio;

use std::path::Path;
use std::thread::{Scope, ScopedJoinHandle};

pub use check::{CheckError, about, check};
pub use checkpoint::frames_written_down;
pub use engine::{Pipeline, runtime_library};
pub use outputs::{remove_leftovers, remove_leftovers_of};
pub use studio::{Redrawing, StartError, Studio};

use crate::config::Limits;
use crate::control::{Control, Stopped};
use crate::export::ExportError;
use crate::job::{Event, Failure, FailureKind, JobContext, JobSettings, JobSpec};
use crate::media::{ShareError, VideoInfo};
use crate::pose::PoseError;
use crate::render::RenderError;
use crate::text::printable;
use crate::thread;

/// The job that the threads of the pipeline work on.
struct Job<'a> {
    spec: &'a JobSpec,
    context: &'a JobContext<'a>,
}

impl Job<'_> {
    fn source(&self) -> &Path {
        &self.spec.source
    }

    fn settings(&self) -> &JobSettings {
        &self.spec.settings
    }

    /// For messages.
    fn name(&self) -> String {
        printable(&self.spec.source.to_string_lossy())
    }

    /// Tells whoever listens.
    fn tell(&self, event: Event) {
        (self.context.events)(event);
    }

    fn is_stopped(&self) -> bool {
        matches!((self.context.control)(), Control::Stop | Control::Leave)
    }
}

/// Why a job has no results.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The video cannot be read or written.
    #[error(transparent)]
    Media(#[from] crate::media::MediaError),
    /// Nothing can be drawn.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A network failed.
    #[error(transparent)]
    Pose(#[from] PoseError),
    /// A worker thread failed.
    #[error(transparent)]
    Worker(#[from] pool::WorkerLost),
    /// A result file cannot be written.
    #[error("{}: {source}", path.display())]
    Output {
        /// The file or folder.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The motion cannot be read or exported.
    #[error(transparent)]
    Export(ExportError),
    /// More than the configuration allows.
    #[error("{what}, and the limit is {limit} ([limits] in the configuration)")]
    Limit {
        /// What is too long or large.
        what: String,
        /// The limit.
        limit: String,
    },
    /// What is done cannot be written down.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::CheckpointError),
    /// The body that is asked for cannot be used.
    #[error(transparent)]
    Body(#[from] crate::body::BodyError),
    /// A network of the user's own cannot be used.
    #[error(transparent)]
    Network(#[from] crate::models::DescriptionError),
    /// A motion file cannot be drawn.
    #[error(transparent)]
    Motion(#[from] recorded::RecordedError),
    /// There is something in the place of a result.
    #[error(
        "{} is there already, and no report says that meshreel made it from this video; move it away{}",
        path.display(),
        if *overwrite || path.symlink_metadata().is_ok_and(|there| there.is_dir()) {
            ", or let the results go into another folder"
        } else {
            ", let the results go into another folder, or replace it with `meshreel process --overwrite`"
        }
    )]
    Taken {
        /// The file.
        path: std::path::PathBuf,
        /// Whether it would have been replaced, had it been a file when the job began.
        overwrite: bool,
    },
    /// The result would replace its own source.
    #[error("the result would overwrite the video itself; name another folder with -o")]
    OverSource,
    /// The file is not the same in the second pass.
    #[error("the video changed while it was being processed; process it again when it is at rest")]
    Changed,
    /// A thread of the job itself failed: a defect of meshreel.
    #[error("internal error: {0}; please report it with the video, if you can share it")]
    Internal(String),
    /// The system gives no thread.
    #[error(transparent)]
    Thread(std::io::Error),
    /// The user ended it.
    #[error("stopped")]
    Stopped,
}

impl From<ShareError> for JobError {
    fn from(error: ShareError) -> Self {
        match error {
            ShareError::Media(error) => error.into(),
            ShareError::Stopped(stopped) => stopped.into(),
        }
    }
}

impl From<Stopped> for JobError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<ExportError> for JobError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Stopped(_) => Self::Stopped,
            other => Self::Export(other),
        }
    }
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        let kind = match &error {
            JobError::Stopped => FailureKind::Stopped,
            JobError::Checkpoint(_) if error.is_disk_full() => FailureKind::CheckpointFull,
            _ if error.is_disk_full() => FailureKind::OutputFull,
            _ if error.is_permanent() => FailureKind::Permanent,
            _ => FailureKind::Passing,
        };
        Self { reason: error.to_string(), kind }
    }
}

impl JobError {
    /// Whether trying again is pointless: the video itself is the trouble. What the system did to a job may pass.
    fn is_permanent(&self) -> bool {
        match self {
            _ if self.is_disk_full() => false,
            Self::Media(error) => error.is_permanent(),
            Self::Export(error) => error.is_permanent(),
            Self::Render(RenderError::TooLarge { .. })
            | Self::Taken { .. }
            | Self::OverSource
            | Self::Limit { .. }
            | Self::Body(_)
            | Self::Network(_)
            | Self::Pose(PoseError::Misfit { .. } | PoseError::OwnUnusable { .. })
            | Self::Motion(_)
            | Self::Internal(_) => true,
            Self::Render(_)
            | Self::Pose(_)
            | Self::Worker(_)
            | Self::Output { .. }
            | Self::Checkpoint(_)
            | Self::Changed
            | Self::Thread(_)
            | Self::Stopped => false,
        }
    }

    /// Whether there is no room for the results, or for what is done of them.
    fn is_disk_full(&self) -> bool {
        match self {
            Self::Media(error) => error.is_disk_full(),
            Self::Output { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            Self::Export(error) => error.is_disk_full(),
            Self::Checkpoint(error) => error.is_disk_full(),
            _ => false,
        }
    }
}

/// Whether a video may be processed.
///
/// # Errors
/// [`JobError::Limit`] when it may not.
pub fn check_limits(limits: &Limits, info: &VideoInfo) -> Result<(), JobError> {
    let megabytes = std::fs::metadata(&info.path).map_or(0, |metadata| metadata.len().div_ceil(1_000_000));
    if limits.megabytes > 0 && megabytes > limits.megabytes {
        let limit = format!("{} MB", limits.megabytes);
        return Err(JobError::Limit { what: format!("the file has {megabytes} MB"), limit });
    }
    check_length(limits, info.duration.unwrap_or(0.0))?;
    let [width, height] = info.geometry.coded;
    match limits.pixels {
        0 => Ok(()),
        limit if u64::from(width) * u64::from(height) <= limit => Ok(()),
        limit => {
            Err(JobError::Limit { what: format!("its frames have {width}x{height} pixels"), limit: limit.to_string() })
        }
    }
}

/// Whether a video may be so long. Containers do not always say how long theirs is, and some say less than it is.
fn check_length(limits: &Limits, seconds: f64) -> Result<(), JobError> {
    match limits.seconds > 0.0 && seconds > limits.seconds {
        false => Ok(()),
        true => {
            let limit = format!("{} s", limits.seconds);
            Err(JobError::Limit { what: format!("it is longer than {:.0} s", seconds.floor()), limit })
        }
    }
}

/// Starts a thread of a job, named after its stage.
fn spawn<'scope, 'env, T: Send + 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    stage: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, JobError> {
    thread::spawn_scoped(scope, stage, work).map_err(JobError::Thread)
}

/// Waits for a thread of a job; its panic fails that job alone.
fn join<T>(thread: ScopedJoinHandle<'_, Result<T, JobError>>) -> Result<T, JobError> {
    let name = thread.thread().name().unwrap_or("unnamed").to_owned();
    thread.join().unwrap_or_else(|_| Err(JobError::Internal(format!("the {name} thread panicked"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_for_a_job_knows_what_follows_from_its_failure() {
        let kind = |error: JobError| Failure::from(error).kind;
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(kind(JobError::Stopped), FailureKind::Stopped);
        assert_eq!(kind(JobError::OverSource), FailureKind::Permanent);
        assert_eq!(kind(JobError::Changed), FailureKind::Passing);
        assert_eq!(kind(JobError::Output { path: "a".into(), source: full() }), FailureKind::OutputFull);
        // The same picture is too large at every try; a device that is lost may come back.
        let too_large = RenderError::TooLarge { size: [20_000, 16], largest: 16_384 };
        assert_eq!(kind(too_large.into()), FailureKind::Permanent);
        assert_eq!(kind(RenderError::Lost("reset").into()), FailureKind::Passing);
        // So is a damaged motion file; a disk that cannot be read may be there again.
        let damaged = ExportError::Line { path: "a".into(), line: 2, reason: "it is no frame".into() };
        assert_eq!(kind(damaged.into()), FailureKind::Permanent);
        let none = ExportError::NoPerson { id: 1, there: "nobody is in it".into() };
        assert_eq!(kind(none.into()), FailureKind::Permanent);
        assert_eq!(kind(ExportError::Read { path: "a".into(), source: full() }.into()), FailureKind::Passing);
        assert_eq!(kind(ExportError::Write { path: "a".into(), source: full() }.into()), FailureKind::OutputFull);
    }
}
