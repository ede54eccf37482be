//! Descriptions of the user's own networks, `models/networks/NAME.toml`: what a network is shown, and what its outputs mean
//! (docs/networks.md has all keys).

use std::path::{Path, PathBuf};

use serde::Deserialize;

mod input;
mod outputs;

pub use input::{Beyond, Colors, Crop, Detect, Fit, Frames, Input, Layout};
pub use outputs::{
    Align, BoxFormat, Boxes, Cam, CamFormat, Joints, KeyPointFormat, KeyPoints2d, Lengths, Named, Outputs, PointSet,
    Points, PoseOutput, RotationFormat, ScoreFormat, Scores, Units, Vertices,
};

use super::{ModelName, Models};
use crate::toml_text::{self, Mistake};

/// Largest side of an input, pixels.
const LARGEST: usize = 4096;
/// Largest batch, and most pixels of all its pictures.
const LARGEST_BATCH: usize = 256;
const MOST_PIXELS: usize = 64_000_000;
/// Names that mean something else.
const RESERVED: [&str; 5] = ["lite", "full", "heavy", "auto", "default"];

/// Why a description cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DescriptionError {
    /// There is none of this name.
    #[error(
        "there is no network \"{name}\" ({}): meshreel's own models are lite, full, heavy and auto, its own detector is default, and `meshreel models list` shows yours",
        path.display()
    )]
    Missing {
        /// Its name.
        name: String,
        /// Where it would be.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The description.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something in it is wrong.
    #[error(transparent)]
    Wrong(#[from] Mistake),
    /// Its parts do not go together.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The description.
        path: PathBuf,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// It is of a network for something else.
    #[error("the network \"{name}\" is a {is}; {instead}")]
    Purpose {
        /// Its name.
        name: String,
        /// What it is.
        is: &'static str,
        /// What to do.
        instead: &'static str,
    },
    /// Another body is asked for than the network drives.
    #[error(
        "the network \"{name}\" drives the body \"{body}\", and the body \"{asked}\" is asked for; leave out one of them"
    )]
    OtherBody {
        /// The network's name.
        name: String,
        /// The body that it drives.
        body: String,
        /// The other.
        asked: String,
    },
}

/// What a network is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It sees people in a picture.
    Detector,
    /// It sees the key points of one person.
    KeyPoints,
    /// It gives the pose of a body, or its vertices.
    Body,
}

impl Purpose {
    /// For messages.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Detector => "person detector",
            Self::KeyPoints => "key point network",
            Self::Body => "body network",
        }
    }
}

/// A network of the user's own, as its description has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkDescription {
    /// Its name: that of the description's file.
    #[serde(skip)]
    pub name: ModelName,
    /// The description's file.
    #[serde(skip)]
    pub path: PathBuf,
    /// For lists and reports.
    #[serde(default)]
    pub licence: String,
    /// The ONNX file; relative to the description once read.
    #[serde(default)]
    pub file: PathBuf,
    /// The body that a body network drives.
    #[serde(default)]
    pub body: Option<ModelName>,
    /// Crops that it may be shown at a time.
    #[serde(default = "one")]
    pub batch: usize,
    /// Which frames it is shown.
    #[serde(default)]
    pub frames: Frames,
    /// Whether the fit goes on from its estimate.
    #[serde(default)]
    pub refine: bool,
    /// Scales the widths of the smoothing of its poses over time; 0 turns it off.
    #[serde(default = "usual")]
    pub smoothing: f64,
    /// What it is shown.
    pub input: Input,
    /// Which part of the picture.
    #[serde(default)]
    pub crop: Crop,
    /// What a detector's boxes mean.
    #[serde(default)]
    pub detect: Detect,
    /// What its outputs mean.
    pub outputs: Outputs,
}

impl NetworkDescription {
    /// Reads and checks a description.
    ///
    /// # Errors
    /// When it is not there, or something in it is wrong.
    pub fn load(models: &Models, name: ModelName) -> Result<Self, DescriptionError> {
        let path = models.network_description(name);
        let text = std::fs::read_to_string(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => DescriptionError::Missing { name: name.to_string(), path: path.clone() },
            _ => DescriptionError::Read { path: path.clone(), source },
        })?;
        Self::parse(&text, name, &path)
    }

    /// The description with this text.
    fn parse(text: &str, name: ModelName, path: &Path) -> Result<Self, DescriptionError> {
        let mut read: Self = toml_text::parse(text, path)?;
        let invalid = |reason: String| DescriptionError::Invalid { path: path.to_owned(), reason };
        if RESERVED.contains(&name.as_str()) {
            return Err(invalid(format!(
                "\"{name}\" is a name of meshreel's own; call the description something else"
            )));
        }
        let said: toml::Table = toml_text::parse(text, path)?;
        let file = match read.file.as_os_str().is_empty() {
            true => PathBuf::from(format!("{name}.onnx")),
            false => std::mem::take(&mut read.file),
        };
        (read.name, read.path, read.file) = (name, path.to_owned(), path.with_file_name("").join(file));
        read.check().and_then(|()| read.check_needed(&said)).map_err(invalid)?;
        Ok(read)
    }

    /// What the network is for.
    pub fn purpose(&self) -> Purpose {
        let Outputs { boxes, pose, vertices, .. } = &self.outputs;
        match (boxes, pose, vertices) {
            (Some(_), ..) => Purpose::Detector,
            (None, None, None) => Purpose::KeyPoints,
            _ => Purpose::Body,
        }
    }

    /// Names of all outputs that are used, with the key that names each.
    pub fn output_names(&self) -> Vec<(&'static str, &str)> {
        let Outputs { boxes, scores, labels, keypoints2d, joints, confidence, pose, betas, vertices, cam } =
            &self.outputs;
        let mut all = Vec::new();
        all.extend(boxes.iter().map(|o| ("boxes", &*o.name)));
        all.extend(scores.iter().map(|o| ("scores", &*o.name)));
        all.extend(labels.iter().map(|o| ("labels", &*o.name)));
        all.extend(keypoints2d.iter().flat_map(KeyPoints2d::names).map(|name| ("keypoints2d", name)));
        all.extend(joints.iter().map(|o| ("joints", &*o.name)));
        all.extend(confidence.iter().map(|o| ("confidence", &*o.name)));
        all.extend(pose.iter().flat_map(PoseOutput::names).map(|name| ("pose", name)));
        all.extend(betas.iter().map(|o| ("betas", &*o.name)));
        all.extend(vertices.iter().map(|o| ("vertices", &*o.name)));
        all.extend(cam.iter().map(|o| ("cam", &*o.name)));
        all
    }

    /// Whether all that is `said` is used, by the keys that are there.
    fn check_needed(&self, said: &toml::Table) -> Result<(), String> {
        let (is_detector, is_body) = (self.purpose() == Purpose::Detector, self.purpose() == Purpose::Body);
        let of_outputs = |output: &str, key: &str| {
            let output = said.get("outputs").and_then(|outputs| outputs.get(output));
            output.is_some_and(|output| output.get(key).is_some())
        };
        let format = self.outputs.keypoints2d.as_ref().map(|points| points.format);
        let has_confidence = self.outputs.confidence.is_some();
        let needless = [
            (!is_detector && said.contains_key("detect"), "[detect] is of person detectors"),
            (is_detector && said.contains_key("crop"), "[crop] is of networks that see one person"),
            (is_detector && said.contains_key("batch"), "`batch` is of networks that see one person"),
            (
                is_detector && has_confidence,
                "[outputs.confidence] is of networks that see one person; boxes have [outputs.scores]",
            ),
            (
                !is_body && said.contains_key("smoothing"),
                "`smoothing` is of networks with [outputs.pose] or [outputs.vertices]",
            ),
            (
                format != Some(KeyPointFormat::SimCC) && of_outputs("keypoints2d", "split"),
                "`split` is of the format \"simcc\"",
            ),
            (
                format != Some(KeyPointFormat::Heatmaps) && of_outputs("keypoints2d", "align"),
                "`align` is of the format \"heatmaps\"",
            ),
            (
                format != Some(KeyPointFormat::Coordinates) && of_outputs("keypoints2d", "units"),
                "`units` of key points is of the format \"coordinates\"",
            ),
        ];
        match needless.into_iter().find(|(is_needless, _)| *is_needless) {
            Some((_, reason)) => Err(format!("{reason}; leave it out")),
            None => Ok(()),
        }
    }

    /// Whether its parts go together.
    fn check(&self) -> Result<(), String> {
        let Outputs { boxes, scores, labels, keypoints2d, joints, pose, betas, vertices, cam, .. } = &self.outputs;
        let [width, height] = self.input.size;
        let wrong = |is_wrong: bool, reason: &str| if is_wrong { Err(reason.to_owned()) } else { Ok(()) };
        let of_person = keypoints2d.is_some() || joints.is_some() || pose.is_some() || vertices.is_some();
        let size = format!("`input.size` is {width} x {height}; sides have 8 to {LARGEST} pixels");
        wrong(![width, height].iter().all(|side| (8..=LARGEST).contains(side)), &size)?;
        let numbers = self.input.mean.iter().chain(&self.input.std).chain([&self.input.scale]);
        let is_usable = numbers.into_iter().all(|v| v.is_finite()) && self.input.std.iter().all(|&v| v > 0.0);
        wrong(!is_usable, "`input.scale`, `mean` and `std` are numbers, and those of `std` above 0")?;
        let batch = format!("`batch` is 1 to {LARGEST_BATCH}");
        wrong(!(1..=LARGEST_BATCH).contains(&self.batch), &batch)?;
        let most = format!("`batch` times `input.size` is more than {MOST_PIXELS} pixels");
        wrong(self.batch * width * height > MOST_PIXELS, &most)?;
        wrong(!(0.0..=10.0).contains(&self.smoothing), "`smoothing` is 0 to 10")?;
        wrong(!(0.2..=10.0).contains(&self.crop.scale), "`crop.scale` is 0.2 to 10")?;
        wrong(self.crop.aspect.is_some_and(|a| !(0.1..=10.0).contains(&a)), "`crop.aspect` is 0.1 to 10")?;
        let shares = [Some(self.detect.threshold), self.detect.nms].into_iter().flatten();
        wrong(shares.into_iter().any(|v| !(0.0..=1.0).contains(&v)), "`detect.threshold` and `nms` are 0 to 1")?;
        wrong(
            boxes.is_none() && !of_person,
            "nothing it gives is used: it needs one of [outputs.boxes], [outputs.keypoints2d], [outputs.joints], [outputs.pose] and [outputs.vertices]",
        )?;
        wrong(
            boxes.is_some() && of_person,
            "[outputs.boxes] is of a person detector, which has no outputs of one person",
        )?;
        wrong(
            boxes.is_none() && (scores.is_some() || labels.is_some() || self.input.sizes.is_some()),
            "[outputs.scores], [outputs.labels] and `input.sizes` are of person detectors, which have [outputs.boxes]",
        )?;
        if let Some(boxes) = boxes {
            let is_fit = matches!(boxes.units, Units::Pixels | Units::Unit);
            wrong(!is_fit, "`units` of boxes are \"pixels\" or \"unit\"")?;
            let is_yolox = boxes.format == BoxFormat::Yolox;
            wrong(is_yolox && scores.is_some(), "boxes of the format \"yolox\" have their scores beside them")?;
            wrong(
                is_yolox && (!width.is_multiple_of(32) || !height.is_multiple_of(32)),
                "inputs of networks with boxes of the format \"yolox\" have sides that are multiples of 32",
            )?;
        }
        let is_body = pose.is_some() || vertices.is_some();
        wrong(
            is_body && self.body.is_none(),
            "a network with `pose` or `vertices` needs `body`, the name of the body that they are of",
        )?;
        wrong(!is_body && self.body.is_some(), "`body` is of networks with [outputs.pose] or [outputs.vertices]")?;
        wrong(
            pose.is_some() && vertices.is_some(),
            "where there is [outputs.pose], [outputs.vertices] is not used: leave one of them out",
        )?;
        wrong(pose.is_none() && betas.is_some(), "[outputs.betas] needs [outputs.pose]")?;
        wrong(!is_body && cam.is_some(), "[outputs.cam] needs [outputs.pose] or [outputs.vertices]")?;
        wrong(!is_body && self.refine, "`refine` is of networks with [outputs.pose] or [outputs.vertices]")?;
        if let Some(pose) = pose {
            wrong(pose.names().is_empty(), "[outputs.pose] needs `name`, or `names`")?;
        }
        if let Some(points) = keypoints2d {
            let (count, is_simcc) = (points.names().len(), points.format == KeyPointFormat::SimCC);
            wrong(
                is_simcc && count != 2,
                "[outputs.keypoints2d] of the format \"simcc\" needs `names`, those of the outputs for x and for y",
            )?;
            wrong(!is_simcc && count != 1, "[outputs.keypoints2d] needs `name`, that of the output")?;
            wrong(!(points.split > 0.0 && points.split < 100.0), "`split` is above 0 and below 100")?;
        }
        if let Some(cam) = cam {
            wrong(!(cam.focal > 1.0 && cam.focal < 1e6), "`focal` is above 1 and below 1000000 pixels")?;
        }
        Ok(())
    }
}

fn one() -> usize {
    1
}

fn usual() -> f64 {
    1.0
}
