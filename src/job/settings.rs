//! How a job is done. What the configuration, a preset file, the command line and a watched folder may each say of it is one
//! list: [`Overrides`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::range::{self, DIM, OPACITY, STATURE, ranged};
use super::{Also, Labels, Layout, Looks, View, Views};
use crate::body;
use crate::export::{Format, Formats};
use crate::media::{CONTAINERS, EncodeSettings};
use crate::models::ModelName;

/// Ending of the name of the page to look at.
pub const PAGE: &str = "report.html";

/// Which networks look at a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// Fastest, least accurate.
    Lite,
    /// The standard network on every frame.
    Full,
    /// The most accurate network on every frame, about four times the cost of full.
    Heavy,
    /// Full on every frame, heavy on some and wherever left and right are in doubt.
    Auto,
    /// Full on every frame, and a network of the user's own.
    Own(ModelName),
}

impl Model {
    /// Those that come with the program, by name.
    const BUILT_IN: [(&str, Self); 4] =
        [("lite", Self::Lite), ("full", Self::Full), ("heavy", Self::Heavy), ("auto", Self::Auto)];
}

impl FromStr for Model {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Self::BUILT_IN.iter().find(|(name, _)| *name == text) {
            Some((_, model)) => Ok(*model),
            None => Ok(Self::Own(text.parse()?)),
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(name) => name.fmt(f),
            built_in => f.pad(Self::BUILT_IN.iter().find(|(_, model)| model == built_in).map_or("", |(name, _)| name)),
        }
    }
}

impl Serialize for Model {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Model {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        text.parse().map_err(|rule| serde::de::Error::custom(format!("\"{text}\" is no name: {rule}")))
    }
}

/// Whether the fingers of hands are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Hands {
    /// They are not: hands are drawn half open.
    Off,
    /// They are where a hand is large enough to see them.
    #[default]
    Auto,
    /// They are on all hands, however small.
    On,
}

/// Everything that the results of a job depend on, beside its video and the program. What an earlier version did not know of is as it is
/// by default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobSettings {
    /// Which networks look at a person.
    pub model: Model,
    /// Which network finds people.
    pub detector: ModelName,
    /// Which body is fitted to people and drawn.
    pub body: ModelName,
    /// What is drawn.
    pub style: Looks,
    /// Further views.
    pub views: Views,
    /// Where they are.
    pub layout: Layout,
    /// Opacity of the mesh, 0 (invisible) to 1.
    pub opacity: f32,
    /// How much darker the video is behind the bodies, 0 (as it was) to 1 (black).
    pub dim: f32,
    /// What is written beside people.
    pub labels: Labels,
    /// Small animated pictures of the result.
    pub also: Also,
    /// How the output video is written.
    pub encode: Encode,
    /// How tall people are taken to be, metres.
    pub stature: f64,
    /// Whether the fingers of hands are looked for.
    pub hands: Hands,
    /// What the motion is exported to, beside the motion file.
    pub formats: Formats,
    /// Whether a page to look at is made.
    pub report: bool,
    /// Whether the source may be a picture, or a folder of numbered ones, of which so many are shown a second.
    pub pictures: Option<f64>,
}

impl Default for JobSettings {
    fn default() -> Self {
        Self {
            model: Model::Auto,
            detector: ModelName::default(),
            body: ModelName::default(),
            style: Looks::default(),
            views: Views::default(),
            layout: Layout::Beside,
            opacity: 0.8,
            dim: 0.0,
            labels: Labels::None,
            also: Also::default(),
            encode: Encode::default(),
            stature: body::STATURE,
            hands: Hands::Auto,
            formats: Formats::NONE,
            report: false,
            pictures: None,
        }
    }
}

impl JobSettings {
    /// Whether a job with these settings may leave a file or folder with this ending, beside report, motion and video.
    pub fn makes(&self, ending: &str, container: &str) -> bool {
        let is_view = |view: View| self.layout == Layout::Files && ending == view.ending(container);
        self.formats.iter().any(|format| format.makes(ending))
            || self.also.iter().any(|sharing| ending == sharing.ending())
            || self.views.iter().any(is_view)
            || self.report && ending == PAGE
    }

    /// These settings, but for what is said otherwise.
    #[must_use]
    pub fn with(self, overrides: &Overrides) -> Self {
        let Overrides { model, detector, body, stature, hands, formats, look } = *overrides;
        let LookOverrides { style, views, layout, opacity, dim, labels, also, report } = look;
        Self {
            model: model.unwrap_or(self.model),
            detector: detector.unwrap_or(self.detector),
            body: body.unwrap_or(self.body),
            style: style.unwrap_or(self.style),
            views: views.unwrap_or(self.views),
            layout: layout.unwrap_or(self.layout),
            opacity: opacity.unwrap_or(self.opacity),
            dim: dim.unwrap_or(self.dim),
            labels: labels.unwrap_or(self.labels),
            also: also.unwrap_or(self.also),
            stature: stature.unwrap_or(self.stature),
            hands: hands.unwrap_or(self.hands),
            formats: formats.unwrap_or(self.formats),
            report: report.unwrap_or(self.report),
            encode: self.encode,
            pictures: self.pictures,
        }
    }
}

/// Settings that may be said in several places, where they are said. The command line reads it as it is; structures of
/// configuration files have its fields by `with_overrides`.
#[derive(Debug, Clone, Copy, PartialEq, Default, clap::Args)]
pub struct Overrides {
    /// Which network finds the body points: lite, full, heavy (faster to more accurate), auto, or one of your own by name
    #[arg(long, value_name = "NAME")]
    pub model: Option<Model>,
    /// Which network finds people: "default", or a person detector of your own
    #[arg(long, value_name = "NAME")]
    pub detector: Option<ModelName>,
    /// Which body: "default", or one that `meshreel models import-smpl` has imported
    #[arg(long, value_name = "NAME")]
    pub body: Option<ModelName>,
    /// Height of the people in metres, which sets the scale of the motion
    #[arg(long, value_name = "METRES", value_parser = |text: &str| range::typed(text, &STATURE))]
    pub stature: Option<f64>,
    /// Whether to look for the fingers of hands: auto: of those that are large enough
    #[arg(long, value_name = "HANDS")]
    pub hands: Option<Hands>,
    /// Also export the motion, in formats separated by commas: glb, bvh, trc, mot, c3d, npz, csv, coco, openpose
    #[arg(long, value_name = "FORMATS", value_parser = typed_formats)]
    pub formats: Option<Formats>,
    /// What is said of the pictures.
    #[command(flatten)]
    pub look: LookOverrides,
}

/// Those of [`Overrides`] that the pictures alone follow from: also a motion file that is drawn again takes them.
#[derive(Debug, Clone, Copy, PartialEq, Default, clap::Args)]
pub struct LookOverrides {
    /// What to draw: one of overlay, mesh, mask, depth and normals, or skeleton, or both with a comma between
    #[arg(long, value_name = "LOOK,...", value_parser = Looks::typed)]
    pub style: Option<Looks>,
    /// Further views of the motion: side, top, turntable
    #[arg(long, value_name = "VIEW,...", value_parser = Views::typed)]
    pub views: Option<Views>,
    /// Where further views are: beside the original in the same picture, or in files of their own
    #[arg(long)]
    pub layout: Option<Layout>,
    /// Opacity of the mesh, from 0 (invisible) to 1 (hides the person)
    #[arg(long, value_name = "OPACITY", value_parser = |text: &str| range::typed(text, &OPACITY))]
    pub opacity: Option<f32>,
    /// How much darker the video is behind the bodies, from 0 (as it was) to 1 (black)
    #[arg(long, value_name = "DIM", value_parser = |text: &str| range::typed(text, &DIM))]
    pub dim: Option<f32>,
    /// Write each person's id above the head; angles: those of elbows and knees as well (after the file names, or as --labels=id)
    #[arg(long, value_name = "LABELS", num_args = 0..=1, default_missing_value = "id")]
    pub labels: Option<Labels>,
    /// Also make a small animated picture for sharing, of the first 20 seconds: gif, webp
    #[arg(long, value_name = "KIND,...", value_parser = Also::typed)]
    pub also: Option<Also>,
    /// Also make a page to look at and to send to others: video, bodies and joint angles in one file, NAME.report.html
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub report: Option<bool>,
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
            detector: self.detector.or(other.detector),
            body: self.body.or(other.body),
            stature: self.stature.or(other.stature),
            hands: self.hands.or(other.hands),
            formats: self.formats.or(other.formats),
            look: self.look.or(other.look),
        }
    }
}

impl LookOverrides {
    /// What this says, and where it says nothing, what `other` does.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            style: self.style.or(other.style),
            views: self.views.or(other.views),
            layout: self.layout.or(other.layout),
            opacity: self.opacity.or(other.opacity),
            dim: self.dim.or(other.dim),
            labels: self.labels.or(other.labels),
            also: self.also.or(other.also),
            report: self.report.or(other.report),
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
            /// Which networks look at a person.
            #[serde(default)]
            pub model: Option<$crate::job::Model>,
            /// Which network finds people.
            #[serde(default)]
            pub detector: Option<$crate::models::ModelName>,
            /// Which body is fitted to people and drawn.
            #[serde(default)]
            pub body: Option<$crate::models::ModelName>,
            /// What is drawn.
            #[serde(default)]
            pub style: Option<$crate::job::Looks>,
            /// Further views.
            #[serde(default)]
            pub views: Option<$crate::job::Views>,
            /// Where they are.
            #[serde(default)]
            pub layout: Option<$crate::job::Layout>,
            /// Opacity of the mesh, 0 (invisible) to 1.
            #[serde(default, deserialize_with = "crate::job::range::opacity")]
            pub opacity: Option<f32>,
            /// How much darker the video is behind the bodies, 0 to 1.
            #[serde(default, deserialize_with = "crate::job::range::dim")]
            pub dim: Option<f32>,
            /// What is written beside people.
            #[serde(default)]
            pub labels: Option<$crate::job::Labels>,
            /// Small animated pictures of the result.
            #[serde(default)]
            pub also: Option<$crate::job::Also>,
            /// How tall people are taken to be, metres.
            #[serde(default, deserialize_with = "crate::job::range::stature")]
            pub stature: Option<f64>,
            /// Whether the fingers of hands are looked for.
            #[serde(default)]
            pub hands: Option<$crate::job::Hands>,
            /// What the motion is exported to.
            #[serde(default)]
            pub formats: Option<$crate::export::Formats>,
            /// Whether a page to look at is made.
            #[serde(default)]
            pub report: Option<bool>,
        }

        impl $name {
            /// What it says of how jobs are done.
            pub fn overrides(&self) -> $crate::job::Overrides {
                let Self { model, detector, body, stature, hands, formats, .. } = *self;
                let Self { style, views, layout, opacity, dim, labels, also, report, .. } = *self;
                let look = $crate::job::LookOverrides { style, views, layout, opacity, dim, labels, also, report };
                $crate::job::Overrides { model, detector, body, stature, hands, formats, look }
            }

            /// Makes it say this.
            pub fn set_overrides(&mut self, overrides: $crate::job::Overrides) {
                let $crate::job::Overrides { model, detector, body, stature, hands, formats, look } = overrides;
                (self.model, self.detector, self.body) = (model, detector, body);
                (self.stature, self.hands, self.formats) = (stature, hands, formats);
                let $crate::job::LookOverrides { style, views, layout, opacity, dim, labels, also, report } = look;
                (self.style, self.views, self.layout, self.opacity) = (style, views, layout, opacity);
                (self.dim, self.labels, self.also, self.report) = (dim, labels, also, report);
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

/// Quality of a picture that is compressed with loss.
const STILL_QUALITY: i64 = 10;
/// Threads of an encoder, whatever the machine is like: what x264 and x265 make depends on it in the last bits. Four keep up with a clip
/// of one stretch; of a longer one several are compressed at the same time.
const ENCODER_THREADS: usize = 4;
/// Pictures a second, where there is one.
const STILL_RATE: f64 = 25.0;

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

impl JobSettings {
    /// For a picture: the result is one, too, of the ending and by the encoder that [`crate::media::still_result`] names.
    #[must_use]
    pub fn for_still(self, (ending, codec): (&str, &str)) -> Self {
        let encode = Encode {
            container: ending.into(),
            codec: codec.into(),
            crf: STILL_QUALITY,
            pixel_format: String::new(),
            ..self.encode
        };
        Self { encode, pictures: Some(STILL_RATE), ..self }
    }

    /// For a folder of numbered pictures that are shown so many a second. Pictures have more colour than most players show of a video.
    #[must_use]
    pub fn for_folder(self, rate: f64) -> Self {
        let mut encode = self.encode;
        if encode.pixel_format.is_empty() {
            encode.pixel_format = "yuv420p".into();
        }
        Self { encode, pictures: Some(rate), ..self }
    }
}

impl Encode {
    /// Frames in a segment of a video.
    pub fn segment_frames(&self, frame_rate: f64) -> u64 {
        ((self.segment * frame_rate).round() as u64).clamp(1, 100_000)
    }

    /// As the encoder takes them.
    pub fn settings(&self) -> EncodeSettings {
        EncodeSettings {
            codec: self.codec.clone(),
            preset: self.preset.clone(),
            crf: u32::try_from(self.crf).unwrap_or_default(),
            pixel_format: Some(self.pixel_format.clone()).filter(|name| !name.is_empty()),
            threads: ENCODER_THREADS,
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
        let look = LookOverrides { opacity: Some(0.2), ..LookOverrides::default() };
        let far = Overrides { model: Some(Model::Lite), look, ..Overrides::default() };
        let near = Overrides { model: Some(Model::Heavy), stature: Some(1.5), ..Overrides::default() };
        let settings = JobSettings::default().with(&near.or(far));
        assert_eq!((settings.model, settings.opacity, settings.stature), (Model::Heavy, 0.2, 1.5));
        assert_eq!(settings.style, Looks::default());
    }
}
