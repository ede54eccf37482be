//! Key points as the tools of COCO read them: `NAME.coco.json` has the results, `NAME.coco.images.json` the pictures and the category they refer to.
//!
//! The number of a picture is that of its frame. Pixels are counted from the centre of the top-left one.

use std::io::Write;

use serde_json::json;

use super::error::ExportError;
use super::output::Output;
use super::selection::Selection;
use crate::pose::skeleton::COCO_NAMES;

/// COCO's lines between key points, counted from 1.
const SKELETON: [[u32; 2]; 19] = [
    [16, 14],
    [14, 12],
    [17, 15],
    [15, 13],
    [12, 13],
    [6, 12],
    [7, 13],
    [6, 7],
    [6, 8],
    [7, 9],
    [8, 10],
    [9, 11],
    [2, 3],
    [1, 2],
    [1, 3],
    [2, 4],
    [3, 5],
    [4, 6],
    [5, 7],
];

/// Writes both files.
pub fn write(selection: &Selection<'_>, output: &mut Output<'_>) -> Result<(), ExportError> {
    let frames = selection.clip.times.len();
    output.file("coco.json", |output, out| {
        write!(out, "[")?;
        let mut separator = "\n";
        for frame in 0..frames {
            output.proceed()?;
            for (person, at) in selection.in_frame(frame) {
                let sample = selection.sample(person, at)?;
                let round = |value: f64| (value * 1000.0).round() / 1000.0;
                let keypoints: Vec<f64> = sample.pixels[..17].as_flattened().iter().map(|v| round(*v)).collect();
                let result = json!({
                    "image_id": frame,
                    "category_id": 1,
                    "keypoints": keypoints,
                    "score": round(sample.score),
                    "bbox": sample.bounds.map(round),
                    "track_id": selection.people[person].info.id,
                });
                write!(out, "{separator}{result}")?;
                separator = ",\n";
            }
        }
        Ok(writeln!(out, "\n]")?)
    })?;
    output.file("coco.images.json", |output, out| {
        let video = &selection.clip.header.video;
        let category = json!({ "id": 1, "name": "person", "keypoints": COCO_NAMES, "skeleton": SKELETON });
        let about = json!({ "description": "made by meshreel", "video": video.path });
        write!(out, "{{\"info\": {about}, \"categories\": [{category}], \"annotations\": [], \"images\": [")?;
        for (frame, time) in selection.clip.times.iter().enumerate() {
            output.proceed()?;
            let name = format!("{}_{frame:012}.jpg", output.stem());
            let (width, height) = (video.width, video.height);
            let image = json!({ "id": frame, "width": width, "height": height, "file_name": name, "time": time });
            write!(out, "{}{image}", if frame == 0 { "\n" } else { ",\n" })?;
        }
        Ok(writeln!(out, "\n]}}")?)
    })
}
