//! Descriptions of the user's own networks, `models/networks/NAME.toml`: what a network is shown, and what its outputs mean
//! (docs/models.md has all keys).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{ModelName, Models};
use crate::toml_text;

/// Largest side of an input, pixels.
const LARGEST: usize = 4096;
/// Largest batch.
const LARGEST_BATCH: usize = 256;

/// Why a description cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DescriptionError {
    /// There is none of this name.
    #[error(
        "there is no network \"{name}\" ({}); `meshreel models list` shows those that there are, docs/models.md how to describe one",
        path.display()
    )]
    Missing {
        /// Its name.
        name: ModelName,
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
    #[error("{}:{line}: {message}", path.display())]
    Wrong {
        /// The description.
        path: PathBuf,
        /// Line of the mistake, from 1.
        line: usize,
        /// What is wrong and what would be right.
        message: String,
    },
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
        name: ModelName,
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
        name: ModelName,
        /// The body that it drives.
        body: ModelName,
        /// The other.
        asked: ModelName,
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

/// Which frames a network is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Frames {
    /// All in which somebody is found.
    #[default]
    All,
    /// Keyframes, about five a second.
    Keyframes,
}

/// What a network is shown.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Name of the input; the only one where it is not said.
    #[serde(default)]
    pub name: Option<String>,
    /// Width and height, pixels.
    pub size: [usize; 2],
    /// Order of the axes.
    #[serde(default)]
    pub layout: Layout,
    /// Order of the colours.
    #[serde(default)]
    pub colors: Colors,
    /// Colours run from 0 to this, ...
    #[serde(default = "unit")]
    pub scale: f32,
    /// ... less this, ...
    #[serde(default)]
    pub mean: [f32; 3],
    /// ... over this.
    #[serde(default = "ones")]
    pub std: [f32; 3],
    /// Name of a second input that wants the input's width and height.
    #[serde(default)]
    pub sizes: Option<String>,
}

/// Order of an input's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Pictures, colours, rows, columns.
    #[default]
    Nchw,
    /// Pictures, rows, columns, colours.
    Nhwc,
}

/// Order of colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colors {
    /// Red first.
    #[default]
    Rgb,
    /// Blue first.
    Bgr,
}

/// Which part of the picture a network is shown for a person.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Crop {
    /// The person's box is made so much larger.
    pub scale: f64,
    /// Width over height that the box gets before; the input's where it is not said.
    pub aspect: Option<f64>,
    /// What lies beyond the picture.
    pub beyond: Beyond,
    /// Whether the crop stays upright where the person does not.
    pub upright: bool,
}

impl Default for Crop {
    fn default() -> Self {
        Self { scale: 1.25, aspect: None, beyond: Beyond::Colour(0.0), upright: false }
    }
}

/// What lies beyond the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Beyond {
    /// This in every channel, 0 to 1.
    Colour(f32),
    /// The picture's outermost pixels.
    Edge,
}

impl<'de> Deserialize<'de> for Beyond {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Said {
            Number(f32),
            Word(String),
        }
        match Said::deserialize(input) {
            Ok(Said::Number(colour)) if (0.0..=1.0).contains(&colour) => Ok(Self::Colour(colour)),
            Ok(Said::Word(word)) if word == "edge" => Ok(Self::Edge),
            _ => Err(D::Error::custom("`beyond` is a colour from 0 to 1, or \"edge\"")),
        }
    }
}

/// What a detector's boxes mean.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Detect {
    /// How a picture of another shape than the input is shown.
    pub fit: Fit,
    /// What lies beyond it.
    pub beyond: Beyond,
    /// The class of people.
    pub person: usize,
    /// Score from which a box counts.
    pub threshold: f32,
    /// Overlap from which the weaker of two boxes goes.
    pub nms: Option<f32>,
}

impl Default for Detect {
    fn default() -> Self {
        Self { fit: Fit::Letterbox, beyond: Beyond::Colour(114.0 / 255.0), person: 0, threshold: 0.3, nms: None }
    }
}

/// How a picture of another shape than the input is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// It keeps its shape.
    Letterbox,
    /// It takes the input's.
    Stretch,
}

/// The outputs that are used, by what they mean.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outputs {
    /// Boxes around people.
    pub boxes: Option<Boxes>,
    /// Their scores.
    pub scores: Option<Scores>,
    /// Their classes.
    pub labels: Option<Named>,
    /// Key points in the crop.
    pub keypoints2d: Option<KeyPoints2d>,
    /// Key points in metres.
    pub joints: Option<Joints>,
    /// How sure the network is of a person, or of each key point.
    pub confidence: Option<Scores>,
    /// Rotations of joints.
    pub pose: Option<PoseOutput>,
    /// Coefficients of the shape.
    pub betas: Option<Named>,
    /// The body's surface.
    pub vertices: Option<Vertices>,
    /// Where the body is.
    pub cam: Option<Cam>,
}

/// An output whose meaning is plain.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// The output's name.
    pub name: String,
}

/// Boxes around people.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boxes {
    /// The output's name.
    pub name: String,
    /// What its numbers are.
    pub format: BoxFormat,
    /// In which units.
    #[serde(default)]
    pub units: Units,
}

/// What the numbers of a box are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BoxFormat {
    /// Left, top, right, bottom.
    Xyxy,
    /// Middle, width and height.
    Cxcywh,
    /// YOLOX's, before its decoding.
    Yolox,
}

/// Units of places in an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Units {
    /// Its pixels.
    #[default]
    Pixels,
    /// 0 to 1.
    Unit,
    /// -1 to 1.
    Centered,
    /// -0.5 to 0.5.
    Half,
}

impl Units {
    /// In pixels, along an axis of so many.
    pub fn to_pixels(self, value: f32, pixels: usize) -> f32 {
        let pixels = pixels as f32;
        match self {
            Self::Pixels => value,
            Self::Unit => value * pixels,
            Self::Centered => (value + 1.0) / 2.0 * pixels,
            Self::Half => (value + 0.5) * pixels,
        }
    }
}

/// Probabilities.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scores {
    /// The output's name.
    pub name: String,
    /// What its numbers are.
    #[serde(default)]
    pub format: ScoreFormat,
}

/// What scores are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoreFormat {
    /// 0 to 1.
    #[default]
    Probability,
    /// Before the sigmoid.
    Logits,
}

/// Key points in the crop.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPoints2d {
    /// The output's name, ...
    #[serde(default)]
    pub name: Option<String>,
    /// ... or those of several.
    #[serde(default)]
    pub names: Vec<String>,
    /// What its numbers are.
    pub format: KeyPointFormat,
    /// In which units coordinates are.
    #[serde(default)]
    pub units: Units,
    /// Bins a pixel of the input (SimCC).
    #[serde(default = "two")]
    pub split: f32,
    /// How the pixels of heat maps lie in the input.
    #[serde(default)]
    pub align: Align,
    /// Which points they are.
    pub points: Points,
}

impl KeyPoints2d {
    /// Names of the outputs.
    pub fn names(&self) -> Vec<&str> {
        names(self.name.as_ref(), &self.names)
    }
}

/// How key points are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyPointFormat {
    /// Their places.
    Coordinates,
    /// A picture of each.
    Heatmaps,
    /// A histogram of each along either axis (Li et al., *SimCC*, 2022).
    SimCC,
}

/// How the pixels of a heat map lie in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Align {
    /// Pixel i of W is i/W of the input's width (SimpleBaseline, HRNet).
    #[default]
    Edges,
    /// It is (i + 1/2)/W (CenterNet, MoveNet).
    Centers,
    /// The middles of the first and of the last pixel are those of the input's (Huang et al., *The Devil is in the Details*, 2020: UDP;
    /// ViTPose).
    Corners,
}

/// Key points by name, in the order of an output.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Points {
    /// A known set.
    Set(PointSet),
    /// Any; those that are not known are left out.
    Names(Vec<String>),
}

/// A known set of key points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PointSet {
    /// COCO's 17.
    Coco17,
    /// The 133 of COCO-WholeBody.
    Coco133,
    /// BlazePose's 33.
    BlazePose33,
}

/// Key points in metres.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Joints {
    /// The output's name.
    pub name: String,
    /// Which points they are.
    pub points: Points,
    /// In which units.
    #[serde(default)]
    pub units: Lengths,
}

/// Units of lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lengths {
    /// Metres.
    #[default]
    Metres,
    /// Thousandths of them.
    Millimetres,
}

impl Lengths {
    /// What one of them is in metres.
    pub fn metres(self) -> f64 {
        match self {
            Self::Metres => 1.0,
            Self::Millimetres => 1e-3,
        }
    }
}

/// Rotations of joints.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoseOutput {
    /// The output's name, ...
    #[serde(default)]
    pub name: Option<String>,
    /// ... or those of several that follow each other.
    #[serde(default)]
    pub names: Vec<String>,
    /// What its numbers are.
    pub format: RotationFormat,
    /// Whether the root's is among them.
    #[serde(default = "yes")]
    pub root: bool,
}

impl PoseOutput {
    /// Names of the outputs.
    pub fn names(&self) -> Vec<&str> {
        names(self.name.as_ref(), &self.names)
    }
}

/// How rotations are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RotationFormat {
    /// 3x3, row by row.
    Matrices,
    /// Axis times angle, radians.
    AxisAngle,
    /// Two columns of the matrix, one after the other (Zhou et al. 2019).
    #[serde(rename = "6d")]
    Columns,
    /// The two columns row by row.
    #[serde(rename = "6d-interleaved")]
    Interleaved,
    /// Two rows of the matrix, one after the other.
    #[serde(rename = "6d-rows")]
    Rows,
}

impl RotationFormat {
    /// Numbers of a rotation.
    pub fn numbers(self) -> usize {
        match self {
            Self::Matrices => 9,
            Self::AxisAngle => 3,
            Self::Columns | Self::Interleaved | Self::Rows => 6,
        }
    }
}

/// The body's surface.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vertices {
    /// The output's name.
    pub name: String,
    /// In which units.
    #[serde(default)]
    pub units: Lengths,
}

/// Where the body is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cam {
    /// The output's name.
    pub name: String,
    /// What its numbers are.
    #[serde(default)]
    pub format: CamFormat,
    /// Focal length of the crop's camera, pixels of the input.
    pub focal: f64,
}

/// How a place is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CamFormat {
    /// Scale and shift in the crop.
    #[default]
    WeakPerspective,
    /// Metres in the crop's camera.
    Translation,
}

impl NetworkDescription {
    /// Reads and checks a description.
    ///
    /// # Errors
    /// When it is not there, or something in it is wrong.
    pub fn load(models: &Models, name: ModelName) -> Result<Self, DescriptionError> {
        let path = models.network_description(name);
        let text = std::fs::read_to_string(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => DescriptionError::Missing { name, path: path.clone() },
            _ => DescriptionError::Read { path: path.clone(), source },
        })?;
        Self::parse(&text, name, &path)
    }

    /// The description with this text.
    fn parse(text: &str, name: ModelName, path: &Path) -> Result<Self, DescriptionError> {
        let mut read: Self = toml_text::parse(text).map_err(|at| DescriptionError::Wrong {
            path: path.to_owned(),
            line: at.line,
            message: at.message,
        })?;
        let file = match read.file.as_os_str().is_empty() {
            true => PathBuf::from(format!("{name}.onnx")),
            false => std::mem::take(&mut read.file),
        };
        (read.name, read.path, read.file) = (name, path.to_owned(), path.with_file_name("").join(file));
        match read.check() {
            Ok(()) => Ok(read),
            Err(reason) => Err(DescriptionError::Invalid { path: path.to_owned(), reason }),
        }
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

/// One name, or several.
fn names<'a>(one: Option<&'a String>, several: &'a [String]) -> Vec<&'a str> {
    one.into_iter().chain(several).map(String::as_str).collect()
}

fn one() -> usize {
    1
}

fn usual() -> f64 {
    1.0
}

fn unit() -> f32 {
    1.0
}

fn two() -> f32 {
    2.0
}

fn ones() -> [f32; 3] {
    [1.0; 3]
}

fn yes() -> bool {
    true
}
