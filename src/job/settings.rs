//! How a job is done. What the configuration, a preset file, the command line and a watched folder may each say of it is one
//! list: [`Overrides`].

use serde::{Deserialize, Deserializer, Serialize};

use super::range::{self, OPACITY, STATURE, ranged};
use crate::body;
use crate::export::{Format, Formats};
use crate::media::{CONTAINERS, EncodeSettings};

/// Which landmark networks look at a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// Fastest, least accurate.
    Lite,
    /// The standard network on every frame.
    Full,
    /// The most accurate network on every frame, about four times the cost of full.
    Heavy,
    /// Full on every frame, heavy on some and wherever left and right are in doubt.
    Auto,
}

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// A shaded body over the video.
    Overlay,
    /// White silhouettes on black.
    Mask,
}

/// Everything that the results of a job depend on, beside its video and the program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSettings {
    /// Which landmark networks.
    pub model: Model,
    /// What is drawn.
    pub style: Style,
    /// Opacity of the mesh, 0 (invisible) to 1.
    pub opacity: f32,
    /// How the output video is written.
    pub encode: Encode,
    /// How tall people are taken to be, metres.
    pub stature: f64,
    /// What the motion is exported to, beside the motion file.
    #[serde(default)]
    pub formats: Formats,
}

impl Default for JobSettings {
    fn default() -> Self {
        Self {
            model: Model::Auto,
            style: Style::Overlay,
            opacity: 0.8,
            encode: Encode::default(),
            stature: body::STATURE,
            formats: Formats::NONE,
        }
    }
}

impl JobSettings {
    /// These settings, but for what is said otherwise.
    #[must_use]
    pub fn with(self, overrides: &Overrides) -> Self {
        let Overrides { model, style, opacity, stature, formats } = *overrides;
        Self {
            model: model.unwrap_or(self.model),
            style: style.unwrap_or(self.style),
            opacity: opacity.unwrap_or(self.opacity),
            stature: stature.unwrap_or(self.stature),
            formats: formats.unwrap_or(self.formats),
            encode: self.encode,
        }
    }
}

/// Settings that may be said in several places, where they are said. The command line reads it as it is; structures of
/// configuration files have its fields by `with_overrides`.
#[derive(Debug, Clone, Copy, PartialEq, Default, clap::Args)]
pub struct Overrides {
    /// Which network finds the body points: faster or more accurate
    #[arg(long)]
    pub model: Option<Model>,
    /// What to draw
    #[arg(long)]
    pub style: Option<Style>,
    /// Opacity of the mesh, from 0 (invisible) to 1 (hides the person)
    #[arg(long, value_name = "OPACITY", value_parser = |text: &str| range::typed(text, &OPACITY))]
    pub opacity: Option<f32>,
    /// Height of the people in metres, which sets the scale of the motion
    #[arg(long, value_name = "METRES", value_parser = |text: &str| range::typed(text, &STATURE))]
    pub stature: Option<f64>,
    /// Also export the motion, in formats separated by commas: glb, bvh, trc, mot, c3d, npz, csv, coco, openpose
    #[arg(long, value_name = "FORMATS", value_parser = typed_formats)]
    pub formats: Option<Formats>,
}

/// A list of formats as it is typed.
fn typed_formats(text: &str) -> Result<Formats, String> {
    let format = |name: &str| <Format as clap::ValueEnum>::from_str(name.trim(), true);
    let unknown = |_| {
        let known: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
        format!("formats are {}, separated by commas", known.join(", "))
    };
    text.split(',').filter(|name| !name.trim().is_empty()).map(format).collect::<Result<_, _>>().map_err(unknown)
}

impl Overrides {
    /// What this says, and where it says nothing, what `other` does.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            model: self.model.or(other.model),
            style: self.style.or(other.style),
            opacity: self.opacity.or(other.opacity),
            stature: self.stature.or(other.stature),
            formats: self.formats.or(other.formats),
        }
    }
}

/// Adds the fields of [`Overrides`] to a structure that is read from a configuration file. (Serde's `flatten` would do that, too, but
/// would then take unknown names without a word.)
macro_rules! with_overrides {
    ($(#[$about:meta])* pub struct $name:ident { $($fields:tt)* }) => {
        $(#[$about])*
        pub struct $name {
            $($fields)*
            /// Which landmark networks.
            #[serde(default)]
            pub model: Option<$crate::job::Model>,
            /// What is drawn.
            #[serde(default)]
            pub style: Option<$crate::job::Style>,
            /// Opacity of the mesh, 0 (invisible) to 1.
            #[serde(default, deserialize_with = "crate::job::range::opacity")]
            pub opacity: Option<f32>,
            /// How tall people are taken to be, metres.
            #[serde(default, deserialize_with = "crate::job::range::stature")]
            pub stature: Option<f64>,
            /// What the motion is exported to.
            #[serde(default)]
            pub formats: Option<$crate::export::Formats>,
        }

        impl $name {
            /// What it says of how jobs are done.
            pub fn overrides(&self) -> $crate::job::Overrides {
                let Self { model, style, opacity, stature, formats, .. } = *self;
                $crate::job::Overrides { model, style, opacity, stature, formats }
            }

            /// Makes it say this.
            pub fn set_overrides(&mut self, overrides: $crate::job::Overrides) {
                let $crate::job::Overrides { model, style, opacity, stature, formats } = overrides;
                (self.model, self.style, self.opacity, self.stature) = (model, style, opacity, stature);
                self.formats = formats;
            }
        }
    };
}
pub(crate) use with_overrides;

/// `[encode]`: how the output video is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Encode {
    /// An FFmpeg video encoder by name.
    pub codec: String,
    /// The encoder's speed preset.
    pub preset: String,
    /// Constant rate factor: lower is better and larger.
    #[serde(deserialize_with = "crf")]
    pub crf: i64,
    /// Container, as the extension of the output file.
    #[serde(deserialize_with = "container")]
    pub container: String,
    /// Seconds of video that are finished and kept together; what is lost when the process dies is less.
    #[serde(deserialize_with = "segment")]
    pub segment: f64,
    /// FFmpeg's name of the pixel format of the result, such as `yuv420p`, which every player shows; empty: as the source.
    pub pixel_format: String,
}

ranged! {
    crf: i64 = 0..=63;
    segment: f64 = 0.1..=3600.0;
}

impl Default for Encode {
    fn default() -> Self {
        Self {
            codec: "libx264".into(),
            preset: "veryfast".into(),
            crf: 20,
            container: "mp4".into(),
            segment: 5.0,
            pixel_format: String::new(),
        }
    }
}

impl Encode {
    /// Frames in a segment of a video.
    pub fn segment_frames(&self, frame_rate: f64) -> u64 {
        ((self.segment * frame_rate).round() as u64).clamp(1, 100_000)
    }

    /// As the encoder takes them.
    pub fn settings(&self) -> EncodeSettings {
        // Frames that are compressed at the same time wait for each other: with half as many threads more, x264 keeps the cores busy.
        let threads = std::thread::available_parallelism().map_or(0, |n| n.get() + n.get().div_ceil(2));
        EncodeSettings {
            codec: self.codec.clone(),
            preset: self.preset.clone(),
            crf: u32::try_from(self.crf).unwrap_or_default(),
            pixel_format: Some(self.pixel_format.clone()).filter(|name| !name.is_empty()),
            threads,
        }
    }
}

fn container<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let name = String::deserialize(input)?;
    match CONTAINERS.contains(&&*name) {
        true => Ok(name),
        false => Err(serde::de::Error::custom(format!(
            "container is \"{name}\"; it must be one of {}",
            CONTAINERS.join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_counts() {
        let far = Overrides { model: Some(Model::Lite), opacity: Some(0.2), ..Overrides::default() };
        let near = Overrides { model: Some(Model::Heavy), stature: Some(1.5), ..Overrides::default() };
        let settings = JobSettings::default().with(&near.or(far));
        assert_eq!((settings.model, settings.opacity, settings.stature), (Model::Heavy, 0.2, 1.5));
        assert_eq!(settings.style, Style::Overlay);
    }
}
