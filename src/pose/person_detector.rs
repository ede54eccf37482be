//! The person detector: finds people of any size and posture with NanoDet (Rangi Lyu, 2020, github.com/RangiLyu/nanodet).
//!
//! It gives boxes around what is visible of people, and no pose. It sees crowds and people half hidden, which the BlazePose region detector
//! was not made for.

use std::{f64::consts::FRAC_PI_2, path::Path};

use glam::{DAffine2, DMat2, DVec2, Vec2};

use super::{
    PoseError, RotatedRegion, Runtime,
    crop::{Border, Picture},
    runtime::{Opened, output},
    wrap_angle,
};

/// Sides of the cells of the network's three heads, in its input's pixels.
const STRIDES: [usize; 3] = [8, 16, 32];
/// The input's sides are multiples of this.
const MULTIPLE: f64 = 32.0;
/// Pixels of the input, whatever its shape.
const AREA: f64 = 416.0 * 256.0;
/// Pixels of the input for a coarse tile.
const COARSE_AREA: f64 = 320.0 * 192.0;
/// Fewest and most [`MULTIPLE`]s of a side of the input.
const SIDES: [f64; 2] = [4.0, 26.0];
/// Score below which a box is nobody.
const MIN_SCORE: f32 = 0.3;
/// Overlap (intersection over union) above which two boxes are of one person.
const SAME: f32 = 0.6;
/// What the network was shown in training beside pictures of another shape than its input, 0..=1.
const GREY: f32 = 114.0 / 255.0;
/// Displayed pixels to a pixel of the input below which a tile only magnifies.
const FINEST: f64 = 0.5;
/// Height in pixels of the input from which on people are found most times.
const VISIBLE: f64 = 64.0;
/// Pixels of the input within which a box reaches the edge of a tile.
const EDGE: f64 = 2.0;
/// Distance from one tile of a grid to the next over the tile's side: they overlap by a quarter.
const TILE_STEP: f64 = 0.75;
/// Distance of the hips from the top of the head, over the body's height.
const HIPS: f64 = 0.52;
/// Side of a person's region over their height, roughly.
const SIDE_PER_HEIGHT: f64 = 1.45;

/// A part of the picture, or all of it, as it is shown to the person detector: a rectangle of displayed pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tile {
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
    /// Whether it is shown in half the pixels, which takes half the time.
    pub is_coarse: bool,
    /// Quarter turns (0..=3) clockwise of the people who are looked for: the network knows them head up.
    pub quarter_turns: u8,
}

impl Tile {
    /// The whole picture.
    pub fn whole([width, height]: [u32; 2]) -> Self {
        Self { x: 0.0, y: 0.0, width: f64::from(width), height: f64::from(height), is_coarse: false, quarter_turns: 0 }
    }

    /// `parts` times `parts` tiles that cover the picture and overlap by a quarter; none where they would only magnify.
    pub fn grid(display: [u32; 2], parts: u32) -> impl Iterator<Item = Self> {
        let [width, height] = display.map(f64::from);
        let share = 1.0 / (1.0 + TILE_STEP * f64::from(parts - 1));
        let step = TILE_STEP * share;
        let tile = move |i: u32| Self {
            x: f64::from(i % parts) * step * width,
            y: f64::from(i / parts) * step * height,
            width: share * width,
            height: share * height,
            is_coarse: false,
            quarter_turns: 0,
        };
        (0..parts * parts).map(tile).filter(|tile| tile.scale() >= FINEST)
    }

    /// Displayed pixels to a pixel of the network's input.
    fn scale(&self) -> f64 {
        let ([columns, rows], [width, height]) = (input_size(self), self.turned_size());
        (width / columns as f64).max(height / rows as f64)
    }

    /// Whether people who lie are looked for.
    fn is_lying(&self) -> bool {
        !self.quarter_turns.is_multiple_of(2)
    }

    /// Width and height as the network is shown them.
    pub(super) fn turned_size(&self) -> [f64; 2] {
        if self.is_lying() { [self.height, self.width] } else { [self.width, self.height] }
    }

    /// Whether somebody with these bounds is whole in the tile, and large enough there to be found.
    pub fn shows(&self, [left, top, right, bottom]: [f32; 4]) -> bool {
        let [left, top, right, bottom] = [left, top, right, bottom].map(f64::from);
        let is_inside =
            left >= self.x && right <= self.x + self.width && top >= self.y && bottom <= self.y + self.height;
        let tall = if self.is_lying() { right - left } else { bottom - top };
        is_inside && tall >= VISIBLE * self.scale()
    }

    /// Whether a detection reaches the edge of the tile where the picture goes on: then it may be part of a person.
    pub(super) fn cuts(&self, detection: &PersonDetection, display: [u32; 2]) -> bool {
        let [width, height] = display.map(f64::from);
        let margin = EDGE * self.scale();
        let [left, top, right, bottom] = detection.bounds.map(f64::from);
        let (end_x, end_y) = (self.x + self.width, self.y + self.height);
        (self.x > 0.0 && left < self.x + margin)
            || (self.y > 0.0 && top < self.y + margin)
            || (end_x < width && right > end_x - margin)
            || (end_y < height && bottom > end_y - margin)
    }
}

/// What is visible of one person.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PersonDetection {
    /// Left, top, right, bottom in displayed pixels.
    pub bounds: [f32; 4],
    /// Probability.
    pub score: f32,
    /// Quarter turns (0..=3) clockwise from standing, as the tile was in which they were found.
    pub quarter_turns: u8,
}

impl PersonDetection {
    /// Where the landmark network should look if all of a person is in the box, stretched out along it.
    pub fn region(&self) -> RotatedRegion {
        let [left, top, right, bottom] = self.bounds.map(f64::from);
        let size = DVec2::new(right - left, bottom - top);
        let down = down(self.quarter_turns);
        let center = DVec2::new(left, top).midpoint(DVec2::new(right, bottom)) + (HIPS - 0.5) * down * size;
        RotatedRegion { center, side: SIDE_PER_HEIGHT * size.max_element(), rotation: self.rotation() }
    }

    /// Radians clockwise from standing, -π..=π.
    pub fn rotation(&self) -> f64 {
        wrap_angle(f64::from(self.quarter_turns) * FRAC_PI_2)
    }
}

/// From head to feet in the picture.
pub(super) fn down(quarter_turns: u8) -> DVec2 {
    (0..quarter_turns).fold(DVec2::Y, |down, _| down.perp())
}

/// Area of a box: left, top, right and bottom.
pub(crate) fn area([left, top, right, bottom]: &[f32; 4]) -> f32 {
    (right - left).max(0.0) * (bottom - top).max(0.0)
}

/// Area that two boxes share.
pub(crate) fn shared(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    area(&[a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])])
}

/// Intersection over union of two boxes.
pub(crate) fn overlap(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let shared = shared(a, b);
    shared / (area(a) + area(b) - shared).max(1e-6)
}

/// Width and height of the network's input for a tile: its shape as nearly as the multiples allow.
fn input_size(tile: &Tile) -> [usize; 2] {
    let area = if tile.is_coarse { COARSE_AREA } else { AREA };
    let scale = (area / (tile.width * tile.height)).sqrt();
    // A narrow strip is shown with empty space beside it rather than in ever more pixels.
    tile.turned_size().map(|side| ((side * scale / MULTIPLE).round().clamp(SIDES[0], SIDES[1]) * MULTIPLE) as usize)
}

/// The person detector of one worker.
pub struct PersonDetector {
    network: Opened,
    input: Vec<f32>,
}

impl PersonDetector {
    /// Opens the network.
    ///
    /// # Errors
    /// When the file is missing or is not a network.
    pub fn new(runtime: &Runtime, model: &Path) -> Result<Self, PoseError> {
        Ok(Self { network: runtime.open(model)?, input: Vec::new() })
    }

    /// People in a tile, best first.
    ///
    /// # Errors
    /// When the network fails.
    pub fn detect(&mut self, picture: &Picture<'_>, tile: Tile) -> Result<Vec<PersonDetection>, PoseError> {
        let ([columns, rows], scale) = (input_size(&tile), tile.scale());
        let middle = DVec2::new(tile.x + tile.width / 2.0, tile.y + tile.height / 2.0);
        let (down, half) = (down(tile.quarter_turns), DVec2::new(columns as f64, rows as f64) / 2.0);
        let turn = DMat2::from_cols(DVec2::new(down.y, -down.x), down);
        // From corners of input pixels to those of displayed ones.
        let to_display = DAffine2::from_mat2_translation(turn * scale, middle - turn * half * scale);
        picture.shrink(
            DAffine2::from_translation(DVec2::splat(-0.5)) * to_display,
            [columns, rows],
            Border::Fill(GREY),
            &mut self.input,
        );
        let cells: usize = STRIDES.iter().map(|s| (columns / s) * (rows / s)).sum();
        let found = self.network.run([1, rows, columns, 3], &self.input, |outputs| {
            let (scores, distances) = (output(outputs, "scores", cells)?, output(outputs, "distances", cells * 4)?);
            Ok(boxes(scores, distances, [columns, rows]))
        })?;
        let mut found: Vec<PersonDetection> = found
            .into_iter()
            .map(|([x0, y0, x1, y1], score)| {
                let [a, b] =
                    [[x0, y0], [x1, y1]].map(|corner| to_display.transform_point2(Vec2::from(corner).as_dvec2()));
                let [low, high] = [a.min(b).as_vec2(), a.max(b).as_vec2()];
                PersonDetection { bounds: [low.x, low.y, high.x, high.y], score, quarter_turns: tile.quarter_turns }
            })
            .collect();
        found.retain(|detection| !tile.cuts(detection, picture.geometry.display));
        Ok(best(found))
    }
}

/// Left, top, right and bottom of boxes in the input, which has this size, and their scores.
fn boxes(scores: &[f32], distances: &[f32], [columns, rows]: [usize; 2]) -> Vec<([f32; 4], f32)> {
    let centers = STRIDES.into_iter().flat_map(|stride| {
        let across = columns / stride;
        (0..across * (rows / stride)).map(move |i| (stride as f32, [i % across, i / across].map(|v| v as f32 + 0.5)))
    });
    let mut found = Vec::new();
    for ((&score, sides), (stride, [x, y])) in scores.iter().zip(distances.chunks_exact(4)).zip(centers) {
        if score.is_nan() || score < MIN_SCORE || !sides.iter().all(|v| v.is_finite()) {
            continue;
        }
        found.push(([x - sides[0], y - sides[1], x + sides[2], y + sides[3]].map(|v| v * stride), score));
    }
    found
}

/// Non-maximum suppression, of one tile's detections or of several tiles'. Best first.
pub fn best(found: Vec<PersonDetection>) -> Vec<PersonDetection> {
    best_within(found, SAME)
}

/// The same for boxes that overlap by more than `same`.
pub(super) fn best_within(mut found: Vec<PersonDetection>, same: f32) -> Vec<PersonDetection> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<PersonDetection> = Vec::new();
    for detection in found {
        if kept.iter().all(|k| overlap(&k.bounds, &detection.bounds) <= same) {
            kept.push(detection);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_has_the_shape_of_the_tile() {
        let size = |w: u32, h: u32| input_size(&Tile::whole([w, h]));
        assert_eq!(size(1920, 1080), [448, 256]);
        assert_eq!(size(1080, 1920), [256, 448]);
        assert_eq!(size(500, 500), [320, 320]);
        assert_eq!(size(10, 10_000), [128, 832]);
        let whole = Tile::whole([1920, 1080]);
        assert_eq!(input_size(&Tile { is_coarse: true, ..whole }), [320, 192]);
        assert_eq!(input_size(&Tile { quarter_turns: 3, ..whole }), [256, 448]);
    }

    #[test]
    fn parts_cover_the_picture_and_show_whole_people_only() {
        let display = [1280, 720];
        let shown = |bounds| Tile::grid(display, 2).map(|q| q.shows(bounds)).collect::<Vec<_>>();
        assert_eq!(shown([10.0, 10.0, 50.0, 130.0]), [true, false, false, false]);
        assert_eq!(shown([600.0, 300.0, 650.0, 420.0]), [false; 4], "each would cut it");
        assert_eq!(shown([1200.0, 590.0, 1270.0, 719.0]), [false, false, false, true]);
        assert!(!Tile::whole(display).shows([10.0, 10.0, 50.0, 130.0]), "too small there");
        let lying = Tile { quarter_turns: 1, ..Tile::whole(display) };
        assert!(lying.shows([10.0, 10.0, 400.0, 90.0]) && !lying.shows([10.0, 10.0, 90.0, 400.0]));
        let last = Tile::grid(display, 4).last().unwrap();
        assert!((last.x + last.width - 1280.0).abs() < 1e-9 && (last.y + last.height - 720.0).abs() < 1e-9);
        assert_eq!(Tile::grid([320, 240], 4).count(), 0, "they would only magnify");
        let first = Tile::grid(display, 2).next().unwrap();
        let cut = |bounds| first.cuts(&PersonDetection { bounds, score: 1.0, quarter_turns: 0 }, display);
        assert!(cut([600.0, 10.0, 730.0, 110.0]) && !cut([0.0, 0.0, 40.0, 110.0]));
    }

    #[test]
    fn of_boxes_that_overlap_the_best_stays() {
        let at = |x: f32, score: f32| PersonDetection { bounds: [x, 0.0, x + 10.0, 20.0], score, quarter_turns: 0 };
        assert_eq!(best(vec![at(1.0, 0.5), at(0.0, 0.9), at(6.0, 0.6)]), [at(0.0, 0.9), at(6.0, 0.6)]);
    }

    #[test]
    fn an_upright_person_fits_the_region() {
        let detection = PersonDetection { bounds: [90.0, 0.0, 110.0, 100.0], score: 1.0, quarter_turns: 0 };
        let region = detection.region();
        assert_eq!((region.center, region.rotation), (DVec2::new(100.0, 52.0), 0.0));
        assert!(region.side > 120.0 && region.side < 160.0);

        // Head to the right: the hips are a little left of the middle.
        let lying = PersonDetection { bounds: [0.0, 90.0, 100.0, 110.0], score: 1.0, quarter_turns: 1 }.region();
        assert_eq!((lying.center, lying.rotation, lying.side), (DVec2::new(48.0, 100.0), FRAC_PI_2, region.side));
        let hanging = PersonDetection { quarter_turns: 2, ..detection }.region();
        assert_eq!(hanging.center, DVec2::new(100.0, 48.0));
    }
}
