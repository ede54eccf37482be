//! The report: what was done to one video, how long each stage took, and what the user should know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::telemetry::{Stage, Summary, Timings};

/// `NAME.report.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this file's layout.
    pub meshreel: u32,
    /// The source video, from the root on.
    pub source: String,
    /// The video that was written, from the root on.
    pub output: String,
    /// Names of the files and folders beside it that the motion was exported to.
    #[serde(default)]
    pub exports: Vec<String>,
    /// Frames written.
    pub frames: u64,
    /// People with a mesh, over the whole clip.
    pub people: usize,
    /// Meshes drawn, over all frames.
    pub bodies: u64,
    /// Frames in which somebody is uncertain: who they are, or how they stand.
    pub uncertain_frames: u64,
    /// Of these, frames in which somebody's pose may be wrong.
    #[serde(default)]
    pub doubtful_frames: u64,
    /// Wall time from opening the source to the finished output.
    pub seconds: f64,
    /// Frames a second end to end.
    pub fps: f64,
    /// `--model`.
    pub model: String,
    /// Networks of the user's own that were asked.
    #[serde(default)]
    pub networks: Vec<OwnNetwork>,
    /// Where the networks ran.
    pub inference: String,
    /// What drew the meshes.
    pub renderer: String,
    /// Name of the body that people have; empty in reports of earlier versions.
    #[serde(default)]
    pub body: String,
    /// Its licence.
    #[serde(default)]
    pub body_licence: String,
    /// What could not be decoded; empty when all was.
    pub lost: Vec<String>,
    /// What else the user should know.
    pub warnings: Vec<String>,
    /// Times of each stage, in the order of the data flow.
    pub stages: BTreeMap<Stage, Summary>,
}

/// A network of the user's own that was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OwnNetwork {
    /// Its name.
    pub name: String,
    /// The licence of its weights, as its description has it.
    pub licence: String,
}

/// The figures of every stage.
pub fn stages(timings: &Timings) -> BTreeMap<Stage, Summary> {
    Stage::ALL.into_iter().map(|stage| (stage, timings.summary(stage))).collect()
}
