//! Key points as OpenPose writes them, a JSON file a frame in a folder: what Pose2Sim takes of each camera, to put several cameras together.
//!
//! Points are in the order of Halpe-26, which begins with COCO's 17; a point that the body lacks is (0, 0) with confidence 0, as OpenPose has it. Hands
//! have 21 points where they were seen, and none elsewhere.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use super::Options;
use super::error::ExportError;
use super::names::{hand, keypoints};
use super::output::Output;
use super::selection::Selection;

/// Ending of the folder's name.
const ENDING: &str = "openpose";
/// What the names of its files end with.
const FILE: &str = "_keypoints.json";

/// Whether a result with this name is a folder.
pub fn is_folder(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == ENDING)
}

/// Removes the files of key points from a folder that was written, and the folder, where nothing else is in it.
///
/// # Errors
/// Those of the system.
pub fn remove_folder(folder: &Path) -> io::Result<()> {
    for name in frames(folder)? {
        std::fs::remove_file(folder.join(name))?;
    }
    match std::fs::remove_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        done => done,
    }
}

/// Moves the files of key points from one folder to another, whose own they replace. Whatever else lies there stays.
pub(super) fn move_files(from: &Path, to: &Path) -> io::Result<()> {
    let mut left = frames(to)?;
    let names: Vec<OsString> =
        std::fs::read_dir(from)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
    if names.iter().any(|name| to.join(name).is_dir()) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    for name in names {
        std::fs::rename(from.join(&name), to.join(&name))?;
        left.remove(&name);
    }
    left.iter().try_for_each(|name| std::fs::remove_file(to.join(name)))
}

/// The files of key points in a folder.
fn frames(folder: &Path) -> io::Result<BTreeSet<OsString>> {
    let stem = folder.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder)? {
        let (entry, name) = entry.map(|entry| (entry.file_type(), entry.file_name()))?;
        if entry?.is_file() && is_of_frame(&name.to_string_lossy(), &stem) {
            names.insert(name);
        }
    }
    Ok(names)
}

/// Whether this is the name of a frame's file: `STEM_000000000012_keypoints.json`.
fn is_of_frame(name: &str, stem: &str) -> bool {
    let number = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('_')?.strip_suffix(FILE));
    number.is_some_and(|number| number.len() >= 12 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Writes the folder `NAME.openpose`.
pub fn write(selection: &Selection<'_>, options: &Options, output: &mut Output<'_>) -> Result<(), ExportError> {
    let points = keypoints(selection, options.markers);
    let hands = ["left", "right"].map(|side| hand(selection, side));
    let round = |value: f64| (value * 1000.0).round() / 1000.0;
    output.folder(ENDING, |output, folder| {
        for frame in 0..selection.clip.times.len() {
            output.proceed()?;
            let mut people = Vec::new();
            for (person, at) in selection.in_frame(frame) {
                let sample = selection.sample(person, at)?;
                let pixels = points.iter().flat_map(|point| point.pixel(&sample).unwrap_or_default());
                // Where a hand was not seen its fingers are not measured.
                let [left, right] = [0, 1].map(|side| {
                    let seen = sample.hands[side];
                    let points = hands[side].iter().filter(|_| seen > 0.0);
                    let pixels =
                        points.flat_map(|point| point.pixel(&sample).map_or([0.0; 3], |[x, y, _]| [x, y, seen]));
                    pixels.map(round).collect::<Vec<_>>()
                });
                people.push(json!({
                    "person_id": [selection.people[person].info.id],
                    "pose_keypoints_2d": pixels.map(round).collect::<Vec<_>>(),
                    "face_keypoints_2d": [],
                    "hand_left_keypoints_2d": left,
                    "hand_right_keypoints_2d": right,
                    "pose_keypoints_3d": [],
                    "face_keypoints_3d": [],
                    "hand_left_keypoints_3d": [],
                    "hand_right_keypoints_3d": [],
                }));
            }
            let name = folder.join(format!("{}_{frame:012}{FILE}", output.stem()));
            let mut file = std::fs::File::create_new(name)?;
            file.write_all(json!({ "version": 1.3, "people": people }).to_string().as_bytes())?;
        }
        Ok(())
    })
}
