//! The motion of a clip as files that other programs open.
//!
//! ```text
//! FittedPeople -> MotionWriter -> NAME.motion.jsonl -> MotionReader -> Clip (rows at random) -> Selection (people, axes) -> a file a format
//! ```
//!
//! Each format is a file of this folder and a line of `Format::write`. All of them are made of the motion file alone.

mod angles;
mod blender;
mod bvh;
mod c3d;
mod clip;
mod coco;
mod csv;
mod error;
mod glb;
mod header;
mod image_angles;
mod mot;
mod motion;
mod names;
mod npz;
mod openpose;
mod output;
mod reader;
mod selection;
mod steady;
mod trc;

use std::ffi::OsStr;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use angles::{Continuous, JointAngles, NAMES as ANGLE_NAMES};
pub use clip::Clip;
pub use error::ExportError;
pub use glb::{Detail, Surface};
pub use header::{BodyInfo, Clock, Direction, Header, MeshInfo, PersonInfo, Pinhole, VERSION, Video};
pub use motion::{MotionWriter, Person, PersonRow, Row};
pub use names::{JointNames, MarkerSet};
pub use openpose::{is_folder, remove_folder};
pub use output::{
    Content, LockedFolder, Made, PREFIX, is_being_written, is_signed, own_prefix, prefix_of, publish, sign,
};
pub use reader::MotionReader;
pub use selection::{Axes, Frame, Heading, Placement, Sample, Selection};

use crate::control::Proceed;
use output::Output;

/// A kind of file that motion is exported to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// glTF: all people with their bodies, and the camera; with a script for Blender
    Glb,
    /// Motion capture for animation programs, a file a person
    Bvh,
    /// Marker positions for OpenSim, a file a person
    Trc,
    /// Joint angles for OpenSim, a file a person, and angles in the picture as Sports2D has them
    Mot,
    /// Marker positions for biomechanics programs, a file a person
    C3d,
    /// Arrays for NumPy
    Npz,
    /// Tables for spreadsheets: a row a point, and a row a frame with joint angles
    Csv,
    /// Key points as COCO's tools read them
    Coco,
    /// Key points as OpenPose writes them, a file a frame
    Openpose,
}

/// Some formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Formats(u16);

/// What may be chosen of how files are written.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Options {
    /// Which markers trc, c3d and openpose have.
    pub markers: MarkerSet,
    /// How joints are called in glb and bvh.
    pub names: JointNames,
    /// Unit of lengths in bvh.
    pub scale: Scale,
    /// The pose that a bvh begins with.
    pub rest: Rest,
    /// Whether every bvh has as many frames as the clip.
    pub full_length: bool,
    /// How often it is decided which way a person faces in the picture, for the angles in it.
    pub facing: Facing,
}

/// Unit of lengths in bvh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Scale {
    /// Metres
    M,
    /// Centimetres, as most programs expect
    #[default]
    Cm,
}

/// The pose in which a bvh's skeleton is at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Rest {
    /// Arms stretched to the sides
    #[default]
    T,
    /// The body's own: arms hanging at an angle
    A,
}

/// How often it is decided which way a person faces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Facing {
    /// Once: angles do not jump
    #[default]
    Clip,
    /// In every frame
    Frame,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 9] =
        [Self::Glb, Self::Bvh, Self::Trc, Self::Mot, Self::C3d, Self::Npz, Self::Csv, Self::Coco, Self::Openpose];

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Glb => "glb",
            Self::Bvh => "bvh",
            Self::Trc => "trc",
            Self::Mot => "mot",
            Self::C3d => "c3d",
            Self::Npz => "npz",
            Self::Csv => "csv",
            Self::Coco => "coco",
            Self::Openpose => "openpose",
        }
    }

    /// Endings of the files that it writes, where they do not depend on who is in the clip.
    pub fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Glb => &["glb", "blender.py"],
            Self::Npz => &["npz"],
            Self::Csv => &["csv", "wide.csv"],
            Self::Coco => &["coco.json", "coco.images.json"],
            Self::Openpose => &["openpose"],
            Self::Bvh | Self::Trc | Self::Mot | Self::C3d => &[],
        }
    }

    /// Whether a file or folder with this ending may be one that it writes.
    pub fn makes(self, ending: &str) -> bool {
        if !self.is_by_person() {
            return self.endings().contains(&ending);
        }
        let is_number = |text: &str, letter: char| {
            let digits = text.strip_prefix(letter).unwrap_or_default();
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        let parts: Vec<&str> = ending.split('.').collect();
        match parts[..] {
            [person, last] => is_number(person, 'p') && last == self.name(),
            [person, "angles2d", "mot"] => is_number(person, 'p') && self == Self::Mot,
            [person, from, "bvh"] => is_number(person, 'p') && is_number(from, 'f') && self == Self::Bvh,
            _ => false,
        }
    }

    /// Whether each person has a file of their own.
    pub fn is_by_person(self) -> bool {
        matches!(self, Self::Bvh | Self::Trc | Self::Mot | Self::C3d)
    }

    fn write(self, selection: &Selection<'_>, options: &Options, output: &mut Output<'_>) -> Result<(), ExportError> {
        match self {
            Self::Glb => glb::write(selection, options, output),
            Self::Bvh => bvh::write(selection, options, output),
            Self::Trc => trc::write(selection, options, output),
            Self::Mot => mot::write(selection, options, output),
            Self::C3d => c3d::write(selection, options, output),
            Self::Npz => npz::write(selection, output),
            Self::Csv => csv::write(selection, output),
            Self::Coco => coco::write(selection, output),
            Self::Openpose => openpose::write(selection, options, output),
        }
    }
}

impl Formats {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In the order of [`Format::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Format> {
        Format::ALL.into_iter().filter(move |format| self.0 & (1 << *format as u16) != 0)
    }
}

impl FromIterator<Format> for Formats {
    fn from_iter<T: IntoIterator<Item = Format>>(formats: T) -> Self {
        Self(formats.into_iter().fold(0, |all, format| all | 1 << format as u16))
    }
}

impl Serialize for Formats {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Formats {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Vec::<Format>::deserialize(from)?.into_iter().collect())
    }
}

/// What the user should know of the surface in these formats, where the body is one that skinning alone does not give.
pub fn skinning_note(header: &Header, formats: Formats) -> Option<&'static str> {
    let is_meant = header.body.pose_directions > 0 && formats.iter().any(|format| format == Format::Glb);
    is_meant.then_some(
        "the surface in the glb file follows the joints by linear skinning alone: what the body's pose directions add at bent joints, some millimetres, has no place in the format",
    )
}

/// Writes the selection in each of the formats into temporary files of `folder`, for results that are called `stem`. `begins` is told of each format.
///
/// # Errors
/// When something cannot be written, or `proceed` says that the work ends.
pub fn export(
    selection: &Selection<'_>,
    formats: Formats,
    options: &Options,
    folder: &Path,
    stem: &OsStr,
    begins: &dyn Fn(Format),
    proceed: Proceed<'_>,
) -> Result<Vec<Made>, ExportError> {
    let mut output = Output::new(folder, stem, proceed);
    for format in formats.iter() {
        begins(format);
        format.write(selection, options, &mut output)?;
    }
    Ok(output.made())
}

/// Writes a glb of less detail into a temporary file of `folder`.
///
/// # Errors
/// When it cannot be written, or `proceed` says that the work ends.
pub fn small_glb(
    selection: &Selection<'_>,
    detail: &Detail<'_>,
    folder: &Path,
    proceed: Proceed<'_>,
) -> Result<Option<tempfile::TempPath>, ExportError> {
    let mut output = Output::new(folder, OsStr::new("page"), proceed);
    glb::write_detail(selection, &Options::default(), detail, &mut output)?;
    let file = |made: Made| if let Content::File(file) = made.content { Some(file) } else { None };
    Ok(output.made().pop().and_then(file))
}

#[cfg(test)]
mod tests {
    use super::motion::tests::{header, person};
    use super::*;
    use crate::control::never_stopped;

    /// What the formats say to a clip with frames at these times (seconds) and people in its first and last one.
    fn said(times: &[f64], rate: f64, people: u32, format: Format) -> Result<Vec<Made>, String> {
        let folder = tempfile::tempdir().unwrap();
        let motion = folder.path().join("a.motion.jsonl");
        let mut header = header();
        (header.video.frames, header.video.fps) = (times.len() as u64, rate);
        header.people = (0..people).map(|id| PersonInfo { id, ..header.people[0].clone() }).collect();
        let all: Vec<Person> = (0..people).map(|id| Person { id, ..person() }).collect();
        let mut writer = MotionWriter::new(std::fs::File::create(&motion).unwrap(), &header).unwrap();
        for (frame, time) in times.iter().enumerate() {
            writer.write(*time, if frame == 0 || frame + 1 == times.len() { &all } else { &[] }, false).unwrap();
        }
        let clip = Clip::read(&motion, folder.path(), &mut |_, _| Ok(())).unwrap();
        let selection =
            Selection::new(&clip, &[], Frame::default(), Heading::default(), Placement::default(), &never_stopped)
                .unwrap();
        let one = [format].into_iter().collect();
        export(&selection, one, &Options::default(), folder.path(), OsStr::new("a"), &|_| (), &never_stopped)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_small_motion_file_does_not_fill_a_disk() {
        let uneven = [0.0, 0.04, 1e6];
        for format in [Format::Bvh, Format::Trc, Format::Mot, Format::C3d] {
            let error = said(&uneven, 1e4, 1, format).err().unwrap_or_default();
            assert!(error.contains("3 frames are so uneven") && error.contains("take glb"), "{format:?}: {error}");
        }
        for format in [Format::Glb, Format::Npz, Format::Csv] {
            assert_eq!(said(&uneven, 1e4, 1, format).map(|_| ()), Ok(()));
        }
        // Of 3,000 people each is there twice in 3,000 frames.
        let times: Vec<f64> = (0..3000).map(|frame| f64::from(frame) / 25.0).collect();
        for format in [Format::Npz, Format::Trc] {
            let error = said(&times, 25.0, 3000, format).err().unwrap_or_default();
            assert!(error.contains("3000 people who are absent so often") && error.contains("take csv"), "{error}");
        }
        assert_eq!(said(&times, 25.0, 3000, Format::Csv).map(|_| ()), Ok(()));
        assert_eq!(said(&times, 25.0, 3, Format::Npz).map(|_| ()), Ok(()));
    }
}
