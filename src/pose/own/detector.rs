//! A person detector of the user's own.

use std::sync::Arc;

use glam::{DAffine2, DMat2, DVec2, Vec2};

use super::crop::{add, border};
use super::points::{probability, shape_of};
use super::{Outputs, OwnNetwork};
use crate::models::NetworkDescription;
use crate::models::description::{BoxFormat, Detect, Fit, ScoreFormat};
use crate::pose::person_detector::{best, best_within, down};
use crate::pose::{PersonDetection, Picture, PoseError, Runtime, Tile};

/// Sides of the cells of YOLOX's three heads, in its input's pixels.
const STRIDES: [usize; 3] = [8, 16, 32];

/// Boxes of a tile that are looked at, the best: more are no people.
const MOST: usize = 300;

/// A person detector of one worker.
pub struct OwnDetector {
    network: OwnNetwork,
    pixels: Vec<f32>,
}

impl OwnDetector {
    /// Opens it, and compares it with its description.
    ///
    /// # Errors
    /// As of [`OwnNetwork::new`].
    pub fn new(runtime: &Runtime, description: &Arc<NetworkDescription>) -> Result<Self, PoseError> {
        Ok(Self { network: OwnNetwork::new(runtime, description)?, pixels: Vec::new() })
    }

    /// Whether it is the detector of a description as its files are now.
    pub fn is_of(&self, description: &NetworkDescription) -> bool {
        self.network.is_of(description)
    }

    /// People in a tile, best first.
    ///
    /// # Errors
    /// When the network fails, or its outputs have other shapes than the description says.
    pub fn detect(&mut self, picture: &Picture<'_>, tile: Tile) -> Result<Vec<PersonDetection>, PoseError> {
        let (outputs, to_display) = self.look(picture, tile)?;
        let description = self.network.description.clone();
        let boxes = boxes(&description, &outputs).map_err(|reason| super::misfit(&description, reason))?;
        let found = boxes.into_iter().map(|([x0, y0, x1, y1], score)| {
            let [a, b] = [[x0, y0], [x1, y1]].map(|corner| to_display.transform_point2(Vec2::from(corner).as_dvec2()));
            let [low, high] = [a.min(b).as_vec2(), a.max(b).as_vec2()];
            PersonDetection { bounds: [low.x, low.y, high.x, high.y], score, quarter_turns: tile.quarter_turns }
        });
        let mut found: Vec<PersonDetection> = found.collect();
        found.retain(|detection| !tile.cuts(detection, picture.geometry.display));
        // Boxes of one person that overlap much would be two people to the tracker, whatever the network did about them.
        Ok(best(match description.detect.nms {
            Some(overlap) => best_within(found, overlap),
            None => found,
        }))
    }

    /// Its outputs for a tile, and the way from its input's pixels to displayed ones (corners to corners).
    ///
    /// # Errors
    /// As of [`Self::detect`].
    pub fn look(&mut self, picture: &Picture<'_>, tile: Tile) -> Result<(Outputs, DAffine2), PoseError> {
        let description = self.network.description.clone();
        let (size, Detect { fit, beyond, .. }) = (description.input.size, &description.detect);
        let [columns, rows] = size.map(|side| side as f64);
        let [width, height] = tile.turned_size();
        // Displayed pixels to a pixel of the input, and where in it the tile's middle is.
        let (scale, middle) = match fit {
            Fit::Stretch => (DVec2::new(width / columns, height / rows), DVec2::new(columns, rows) / 2.0),
            // At the top left, as YOLOX was trained.
            Fit::Letterbox => {
                let scale = (width / columns).max(height / rows);
                (DVec2::splat(scale), DVec2::new(width, height) / scale / 2.0)
            }
        };
        let at = DVec2::new(tile.x + tile.width / 2.0, tile.y + tile.height / 2.0);
        let down = down(tile.quarter_turns);
        let turn = DMat2::from_cols(DVec2::new(down.y, -down.x), down) * DMat2::from_diagonal(scale);
        let to_display = DAffine2::from_mat2_translation(turn, at - turn * middle);
        let grid = DAffine2::from_translation(DVec2::splat(-0.5)) * to_display;
        picture.shrink(grid, size, border(*beyond), &mut self.pixels);
        let mut filled = Vec::new();
        add(&self.pixels, size, &description.input, &mut filled);
        Ok((self.network.run(&mut filled, 1)?, to_display))
    }
}

/// Left, top, right and bottom of people in pixels of the input, and their scores.
fn boxes(description: &NetworkDescription, outputs: &Outputs) -> Result<Vec<([f32; 4], f32)>, String> {
    let (said, detect) = (&description.outputs, &description.detect);
    let (Some(boxes), Some(part)) = (&said.boxes, outputs.part("boxes", 0)) else { return Ok(Vec::new()) };
    let &[count, each] = part.shape else { return Err(shape_of(outputs, "boxes", "boxes, numbers of each")) };
    if count == 0 {
        return Ok(Vec::new());
    }
    let size = description.input.size;
    let is_yolox = boxes.format == BoxFormat::Yolox;
    let cells: Vec<[f32; 3]> = if is_yolox { cells(size) } else { Vec::new() };
    if is_yolox && (count != cells.len() || each <= 5 + detect.person) {
        return Err(shape_of(outputs, "boxes", &format!("{}, 5 and the classes", cells.len())));
    }
    if each < 4 || (!is_yolox && said.scores.is_none() && each < 5) {
        return Err(shape_of(outputs, "boxes", "boxes, 4 (and the score, where there is no [outputs.scores])"));
    }
    let scores = outputs.part("scores", 0);
    let labels = outputs.part("labels", 0);
    // Of a score for each class that of people counts; of a score for each box its class says whose it is.
    let classes = scores.map_or(1, |scores| scores.values.len() / count);
    if scores.is_some_and(|scores| scores.values.len() != count * classes || classes == 0)
        || (classes > 1 && classes <= detect.person)
    {
        return Err(shape_of(outputs, "scores", &format!("{count} or {count}, classes")));
    }
    if labels.is_some_and(|labels| labels.values.len() != count) {
        return Err(shape_of(outputs, "labels", &count.to_string()));
    }
    let format = said.scores.as_ref().map_or(ScoreFormat::Probability, |scores| scores.format);
    let mut found = Vec::new();
    for (index, numbers) in part.values.chunks_exact(each).enumerate() {
        let score = match &scores {
            _ if is_yolox => numbers[4] * numbers[5 + detect.person],
            Some(scores) if classes > 1 => probability(format, scores.values[index * classes + detect.person]),
            Some(scores) => probability(format, scores.values[index]),
            None => numbers[4],
        };
        let is_person = labels.is_none_or(|labels| labels.values[index] == detect.person as f32);
        if score.is_nan() || score < detect.threshold || !is_person {
            continue;
        }
        let &[a, b, c, d, ..] = numbers else { continue };
        let in_pixels = |n: [f32; 4]| [0, 1, 2, 3].map(|i| boxes.units.to_pixels(n[i], size[i % 2]));
        let around = |x: f32, y: f32, width: f32, height: f32| {
            [x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0]
        };
        let sides = match boxes.format {
            BoxFormat::Xyxy => in_pixels([a, b, c, d]),
            BoxFormat::Cxcywh => {
                let [x, y, width, height] = in_pixels([a, b, c, d]);
                around(x, y, width, height)
            }
            BoxFormat::Yolox => {
                let [x, y, stride] = cells[index];
                around((x + a) * stride, (y + b) * stride, c.exp() * stride, d.exp() * stride)
            }
        };
        let is_box = sides.iter().all(|v| v.is_finite()) && sides[0] < sides[2] && sides[1] < sides[3];
        if is_box {
            found.push((sides, score.min(1.0)));
        }
    }
    found.sort_by(|a: &([f32; 4], f32), b| b.1.total_cmp(&a.1));
    found.truncate(MOST);
    Ok(found)
}

/// Column, row and side of YOLOX's cells (Ge et al., *YOLOX: Exceeding YOLO Series in 2021*).
fn cells([columns, rows]: [usize; 2]) -> Vec<[f32; 3]> {
    let of_stride = |stride: usize| {
        let across = columns / stride;
        (0..across * (rows / stride)).map(move |i| [(i % across) as f32, (i / across) as f32, stride as f32])
    };
    STRIDES.into_iter().flat_map(of_stride).collect()
}
