//! What a network of the user's own says of a picture, drawn into it.

use std::collections::BTreeSet;
use std::path::Path;

use glam::DVec2;

use super::CheckError;
use super::look::{Scene, Seen, pose};
use crate::body::{FittedPose, FittedTrack, World};
use crate::job::JobSettings;
use crate::media::Thumbnail;
use crate::pipeline::JobError;
use crate::pipeline::bodies::LoadedBody;
use crate::pipeline::fitted_people::FittedPeople;
use crate::pipeline::picture::{Composition, Pictures};
use crate::render::RenderThread;

/// What the network was shown.
const CROP: [u8; 3] = [255, 255, 255];
/// A key point of which it is sure, and one of which it is not.
const SURE: [u8; 3] = [255, 220, 0];
const UNSURE: [u8; 3] = [255, 60, 60];
/// A person whom a detector sees, and one whom meshreel's own sees.
const DETECTED: [u8; 3] = [255, 220, 0];
const KNOWN: [u8; 3] = [120, 170, 255];
/// Confidence from which on a key point counts as sure.
const CONFIDENT: f32 = 0.5;

/// Draws bodies, key points, crops and boxes into the picture, and writes it as PNG.
pub fn draw(scene: Scene, seen: &Seen, body: Option<&LoadedBody>, output: &Path) -> Result<(), CheckError> {
    let write = |reason: String| CheckError::Write { path: output.to_owned(), reason };
    let known = if seen.crops.is_empty() { scene.detections.clone() } else { Vec::new() };
    let picture = with_bodies(scene, seen, body)?;
    let thick = (picture.width.max(picture.height) / 600).max(1);
    let mut canvas = Canvas { picture, thick };
    let box_of = |[left, top, right, bottom]: [f32; 4]| {
        [[left, top], [right, top], [right, bottom], [left, bottom]].map(|p| DVec2::new(p[0].into(), p[1].into()))
    };
    known.iter().for_each(|person| canvas.outline(box_of(person.bounds), KNOWN));
    seen.detections.iter().for_each(|person| canvas.outline(box_of(person.bounds), DETECTED));
    seen.crops.iter().for_each(|crop| canvas.outline(crop.corners(), CROP));
    for &(at, confidence) in &seen.points {
        canvas.dot(at, 2 * canvas.thick, if confidence >= CONFIDENT { SURE } else { UNSURE });
    }
    let Thumbnail { width, height, rgb } = canvas.picture;
    let file = std::fs::File::create(output).map_err(|error| write(error.to_string()))?;
    let mut encoder = png::Encoder::new(std::io::BufWriter::new(file), width, height);
    encoder.set_color(png::ColorType::Rgb);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(&rgb)?;
        writer.finish()
    });
    written.map_err(|error| write(error.to_string()))
}

/// The picture as it is shown, with the bodies that the network gives.
fn with_bodies(scene: Scene, seen: &Seen, body: Option<&LoadedBody>) -> Result<Thumbnail, CheckError> {
    let longest = u32::MAX;
    let (Some(loaded), false) = (body, seen.bodies.is_empty()) else {
        return Ok(Thumbnail::new(&scene.frame, &scene.info, longest)?);
    };
    let track = |(id, estimate): (u32, &crate::pose::own::BodyEstimate)| FittedTrack {
        id,
        first_frame: 0,
        shape: estimate.shape.clone(),
        poses: vec![FittedPose {
            pose: pose(estimate),
            score: 1.0,
            uncertain: false,
            doubtful: false,
            hands: [0.0; 2],
        }],
    };
    let tracks: Vec<FittedTrack> = (1..).zip(&seen.bodies).map(track).collect();
    let (camera, info) = (scene.camera(), scene.info.clone());
    let people = FittedPeople::new(&loaded.body, &loaded.mesh, camera, &tracks, BTreeSet::new());
    let settings = JobSettings::default();
    let composition = Composition::new(&settings, &info);
    let render = RenderThread::start()?;
    let drawn = || -> Result<_, JobError> {
        let mut pictures = Pictures::new(&composition, &people, &World::UNKNOWN, &info);
        let drawn = pictures.ask(0, 0.0, &render.renderer())?.wait()?;
        composition.compose(scene.frame, &drawn)
    };
    let frame = drawn().map_err(|error| CheckError::Drawing(error.to_string()))?;
    Ok(Thumbnail::new(&frame, &info, longest)?)
}

/// A picture that lines and dots are put into.
struct Canvas {
    picture: Thumbnail,
    /// Pixels.
    thick: u32,
}

impl Canvas {
    fn dot(&mut self, at: DVec2, radius: u32, color: [u8; 3]) {
        let Thumbnail { width, height, rgb } = &mut self.picture;
        let reach = f64::from(radius);
        let columns = (at.x - reach).max(0.0) as u32..=(at.x + reach).clamp(0.0, f64::from(*width)) as u32;
        for x in columns.filter(|x| x < width) {
            for y in (at.y - reach).max(0.0) as u32..=(at.y + reach).clamp(0.0, f64::from(*height)) as u32 {
                if y < *height && DVec2::new(x.into(), y.into()).distance(at) <= reach {
                    rgb[3 * (y * *width + x) as usize..][..3].copy_from_slice(&color);
                }
            }
        }
    }

    fn outline(&mut self, corners: [DVec2; 4], color: [u8; 3]) {
        let size = f64::from(self.picture.width.max(self.picture.height));
        for (i, &from) in corners.iter().enumerate() {
            let to = corners[(i + 1) % corners.len()];
            // What lies far outside is not drawn, however long it is.
            let steps = from.distance(to).min(4.0 * size).ceil().max(1.0) as u32;
            (0..=steps).for_each(|step| {
                self.dot(from.lerp(to, f64::from(step) / f64::from(steps)), self.thick.div_ceil(2), color);
            });
        }
    }
}
