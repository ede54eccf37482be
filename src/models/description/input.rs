//! What a network of the user's own is shown.

use serde::{Deserialize, Deserializer, de::Error as _};

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

fn unit() -> f32 {
    1.0
}

fn ones() -> [f32; 3] {
    [1.0; 3]
}
