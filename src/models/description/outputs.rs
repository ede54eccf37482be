//! What the outputs of a network of the user's own mean.

use serde::{Deserialize, Deserializer, de::Error as _};

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
#[derive(Debug, Clone, PartialEq)]
pub enum Points {
    /// A known set.
    Set(PointSet),
    /// Any; those that are not known are left out.
    Names(Vec<String>),
}

impl<'de> Deserialize<'de> for Points {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Said {
            Set(PointSet),
            Names(Vec<String>),
        }
        match Said::deserialize(input) {
            Ok(Said::Set(set)) => Ok(Self::Set(set)),
            Ok(Said::Names(names)) if !names.is_empty() => Ok(Self::Names(names)),
            _ => Err(D::Error::custom(
                "`points` is \"coco17\", \"coco133\", \"blazepose33\", or a list with a name for each point",
            )),
        }
    }
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

/// One name, or several.
fn names<'a>(one: Option<&'a String>, several: &'a [String]) -> Vec<&'a str> {
    one.into_iter().chain(several).map(String::as_str).collect()
}

fn two() -> f32 {
    2.0
}

fn yes() -> bool {
    true
}
