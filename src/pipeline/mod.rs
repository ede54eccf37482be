//! One job: a video in, the video with meshes and its motion out.
//!
//! Two passes over the file. `observe` decodes it and observes people in every frame; then the whole clip is known at once, `link` makes
//! one track a person of it, and `solve` fits a body to each; `draw` decodes the file again, draws the bodies into it and compresses it; in
//! the end all is put into one file. Both passes stream through bounded queues,
//! and write down in the `journal` what they have done; what is kept of a whole clip in memory is about a kilobyte per
//! person and frame.

mod answer;
mod decode;
mod draw;
mod engine;
mod fitted_people;
mod journal;
mod link;
mod motion;
mod observe;
mod outputs;
mod pool;
mod solve;

use std::path::Path;
use std::sync::Arc;
use std::thread::{Builder, Scope, ScopedJoinHandle};

pub use engine::{Engine, StartError, runtime_library};
pub use journal::frames_written_down;
pub use outputs::{OutputPaths, remove_leftovers};

use serde::{Deserialize, Serialize};

use crate::config::{Encode, Limits, Model, Style};
use crate::control::Control;
use crate::export::Report;
use crate::media::VideoInfo;
use crate::telemetry::Timings;

/// Which pass a job is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Finding people and their landmarks.
    Observe,
    /// Drawing the bodies and writing the video.
    Draw,
}

impl Phase {
    /// Frames that are done when `done` of `total` are through this pass: half of a frame is done in each.
    pub fn frames_done(self, done: u64, total: Option<u64>) -> f64 {
        match self {
            Phase::Observe => done as f64 / 2.0,
            Phase::Draw => (total.unwrap_or(done) + done) as f64 / 2.0,
        }
    }

    /// The same as a share of all, 0..=1.
    pub fn share(self, done: u64, total: Option<u64>) -> f64 {
        let total = total.unwrap_or(0).max(done).max(1);
        self.frames_done(done, Some(total)) / total as f64
    }

    /// From [`Phase::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        [Phase::Observe, Phase::Draw].into_iter().find(|phase| phase.name() == name)
    }

    /// For programs.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Observe => "observe",
            Phase::Draw => "draw",
        }
    }

    /// For people.
    pub fn verb(self) -> &'static str {
        match self {
            Phase::Observe => "watching",
            Phase::Draw => "drawing",
        }
    }
}

/// What happens to a job.
#[derive(Debug)]
pub enum Event {
    /// A frame is through a pass.
    Progress {
        /// Which pass.
        phase: Phase,
        /// Frames through it.
        done: u64,
        /// Frames in the video, as far as known.
        total: Option<u64>,
        /// People in the clip (when drawing) or in view (when watching).
        people: usize,
    },
    /// Something the user should know.
    Warning(String),
    /// The results are in place.
    Done(Box<Report>),
    /// There are no results, and this is why.
    Failed(String),
}

/// One video to process.
pub struct Job<'a> {
    /// The video.
    pub source: &'a Path,
    /// Where the results go.
    pub outputs: OutputPaths,
    /// Whatever lies there is replaced, not only earlier results of the same video.
    pub overwrite: bool,
    /// How.
    pub settings: JobSettings,
    /// Where what is done is written down, to go on from when the process dies; it is the caller's to remove. `None`: beside
    /// the results while they are made.
    pub journal: Option<&'a Path>,
    /// Where its times go.
    pub timings: Arc<Timings>,
    /// Asked before each frame whether the job goes on.
    pub course: &'a (dyn Fn() -> Control + Sync),
    /// Hears of everything that happens; called from the job's threads.
    pub events: &'a (dyn Fn(Event) + Sync),
}

/// The part of the configuration that one job depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSettings {
    /// Which landmark networks.
    pub model: Model,
    /// What is drawn.
    pub style: Style,
    /// Opacity of the mesh, 0..=1.
    pub opacity: f32,
    /// How the output video is written.
    pub encode: Encode,
    /// How tall people are taken to be, metres.
    pub stature: f64,
}

/// Why a job has no results.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The video cannot be read or written.
    #[error(transparent)]
    Media(#[from] crate::media::MediaError),
    /// Nothing can be drawn.
    #[error(transparent)]
    Render(#[from] crate::render::RenderError),
    /// A network failed.
    #[error(transparent)]
    Pose(#[from] crate::pose::PoseError),
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
    Journal(#[from] journal::JournalError),
    /// There is something in the place of a result.
    #[error(
        "{} is there already, and meshreel did not make it from this video; move it away, let the results go into another folder, or replace it with `meshreel process --overwrite`",
        path.display()
    )]
    Taken {
        /// The file.
        path: std::path::PathBuf,
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
    /// The user ended it.
    #[error("stopped")]
    Stopped,
}

impl JobError {
    /// Whether trying again is pointless: the video itself is the trouble. What the system did to a job may pass.
    pub fn is_permanent(&self) -> bool {
        match self {
            _ if self.is_disk_full() => false,
            Self::Media(error) => error.is_permanent(),
            Self::Taken { .. } | Self::OverSource | Self::Limit { .. } | Self::Internal(_) => true,
            Self::Render(_)
            | Self::Pose(_)
            | Self::Worker(_)
            | Self::Output { .. }
            | Self::Journal(_)
            | Self::Changed
            | Self::Stopped => false,
        }
    }

    /// Whether there is no room for the results, or for what is done of them.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Media(error) => error.is_disk_full(),
            Self::Output { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            Self::Journal(error) => error.is_disk_full(),
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
    let started = Builder::new().name(stage.into()).spawn_scoped(scope, work);
    started.map_err(|error| JobError::Internal(format!("cannot start the {stage} thread: {error}")))
}

/// Waits for a thread of a job; its panic fails that job alone.
fn join<T>(thread: ScopedJoinHandle<'_, Result<T, JobError>>) -> Result<T, JobError> {
    let name = thread.thread().name().unwrap_or("unnamed").to_owned();
    thread.join().unwrap_or_else(|_| Err(JobError::Internal(format!("the {name} thread panicked"))))
}
