//! What happens to a job while somebody works on it.

use serde::{Deserialize, Serialize};

use super::{Placement, Report};

/// Which pass a job is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Finding people and their landmarks.
    Observe,
    /// Drawing the bodies and writing the video.
    Draw,
    /// The same where there is no other pass.
    Redraw,
    /// Writing what is made of the motion and of the video, after the passes.
    Export,
}

impl Phase {
    /// Frames that are done when `done` of `total` are through this pass: half of a frame is done in each of two.
    pub fn frames_done(self, done: u64, total: Option<u64>) -> f64 {
        match self {
            Phase::Observe => done as f64 / 2.0,
            Phase::Draw => (total.unwrap_or(done) + done) as f64 / 2.0,
            Phase::Redraw | Phase::Export => done as f64,
        }
    }

    /// The same as a share of all, 0..=1.
    pub fn share(self, done: u64, total: Option<u64>) -> f64 {
        let total = total.unwrap_or(0).max(done).max(1);
        self.frames_done(done, Some(total)) / total as f64
    }

    /// From [`Phase::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        [Phase::Observe, Phase::Draw, Phase::Redraw, Phase::Export].into_iter().find(|phase| phase.name() == name)
    }

    /// For programs.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Observe => "observe",
            Phase::Draw => "draw",
            Phase::Redraw => "redraw",
            Phase::Export => "export",
        }
    }

    /// For people.
    pub fn verb(self) -> &'static str {
        match self {
            Phase::Observe => "analysing",
            Phase::Draw | Phase::Redraw => "drawing",
            Phase::Export => "exporting",
        }
    }
}

/// What happens to a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A frame is through a pass.
    Progress {
        /// Which pass.
        phase: Phase,
        /// Frames through it.
        done: u64,
        /// Frames in the video, as far as known.
        total: Option<u64>,
        /// People in the clip (when drawing) or in view (when observing).
        people: usize,
    },
    /// Something the user should know.
    Warning(String),
    /// Something for the job's log, such as where it is worked on.
    Note(String),
    /// Its clip has so many stretches, which several may work on at the same time.
    Stretches(usize),
    /// Where it is worked on, if not in this process; `None`: nowhere any more.
    Placed(Option<Placement>),
    /// The results are in place.
    Done(Box<Report>),
    /// There are no results, and this is why.
    Failed(String),
}
