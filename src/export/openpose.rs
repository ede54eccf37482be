//! Key points as OpenPose writes them, a JSON file a frame in a folder: what Pose2Sim takes of each camera, to put several cameras together.
//!
//! Points are in the order of Halpe-26, which begins with COCO's 17; a point that the body lacks is (0, 0) with confidence 0, as OpenPose has it.

use std::io::Write;

use serde_json::json;

use super::Options;
use super::error::ExportError;
use super::names::keypoints;
use super::output::Output;
use super::selection::Selection;

/// Writes the folder `NAME.openpose`.
pub fn write(selection: &Selection<'_>, options: &Options, output: &mut Output<'_>) -> Result<(), ExportError> {
    let points = keypoints(selection, options.markers);
    let round = |value: f64| (value * 1000.0).round() / 1000.0;
    output.folder("openpose", |output, folder| {
        for frame in 0..selection.clip.times.len() {
            output.proceed()?;
            let mut people = Vec::new();
            for (person, at) in selection.in_frame(frame) {
                let sample = selection.sample(person, at)?;
                let pixels = points.iter().flat_map(|point| point.pixel(&sample).unwrap_or_default());
                people.push(json!({
                    "person_id": [selection.people[person].info.id],
                    "pose_keypoints_2d": pixels.map(round).collect::<Vec<_>>(),
                    "face_keypoints_2d": [],
                    "hand_left_keypoints_2d": [],
                    "hand_right_keypoints_2d": [],
                    "pose_keypoints_3d": [],
                    "face_keypoints_3d": [],
                    "hand_left_keypoints_3d": [],
                    "hand_right_keypoints_3d": [],
                }));
            }
            let name = folder.join(format!("{}_{frame:012}_keypoints.json", output.stem()));
            let mut file = std::fs::File::create_new(name)?;
            file.write_all(json!({ "version": 1.3, "people": people }).to_string().as_bytes())?;
        }
        Ok(())
    })
}
