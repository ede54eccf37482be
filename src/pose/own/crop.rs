//! The part of the picture that a network of the user's own is shown, for one person.

use glam::{DAffine2, DMat2, DVec2};

use crate::geometry::quarter_turns;
use crate::models::NetworkDescription;
use crate::models::description::{Beyond, Colors, Input, Layout};
use crate::pose::crop::{Border, Picture};
use crate::pose::skeleton::{ANKLES, LANDMARKS, SHOULDERS};
use crate::pose::{Landmarks, wrap_angle};

/// How far the body reaches beyond its landmarks, over the height of their box: above the eyes, below the toes, and beside the hands.
const ABOVE: f64 = 0.08;
const BELOW: f64 = 0.02;
const BESIDE: f64 = 0.03;
/// Smallest box, displayed pixels.
const SMALLEST: f64 = 8.0;
/// Distance of shoulders and ankles over the landmarks' extent below which it does not say which way the body is turned: somebody who
/// bends down or sits is shown as they are.
const LONG: f64 = 0.35;
/// Displayed pixels to a pixel of the input from which on several places of the picture are looked at for each.
const COARSE: f64 = 2.0;

/// A rectangle of the picture that becomes a network's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PersonCrop {
    /// Its middle, displayed pixels.
    pub center: DVec2,
    /// Displayed pixels to a pixel of the input.
    pub scale: f64,
    /// Clockwise (y down), radians.
    pub rotation: f64,
    /// Width and height of the input, pixels.
    pub size: [usize; 2],
}

impl PersonCrop {
    /// For the person with these landmarks in a picture of this size.
    pub fn new(description: &NetworkDescription, landmarks: &Landmarks, display: [u32; 2]) -> Self {
        let rotation = if description.crop.upright { 0.0 } else { turned(landmarks) };
        let (center, [width, height]) = person_box(landmarks, rotation, display);
        let size = description.input.size;
        let of_input = size[0] as f64 / size[1] as f64;
        let [width, height] = widened([width, height], description.crop.aspect.unwrap_or(of_input));
        let [width, _] = widened([width * description.crop.scale, height * description.crop.scale], of_input);
        Self { center, scale: width / size[0] as f64, rotation, size }
    }

    /// From pixels of the input to displayed ones; whole numbers are the middles of pixels in both.
    pub fn to_display(&self) -> DAffine2 {
        let half = DVec2::new(self.size[0] as f64, self.size[1] as f64) / 2.0;
        DAffine2::from_translation(self.center)
            * DAffine2::from_mat2(DMat2::from_angle(self.rotation) * self.scale)
            * DAffine2::from_translation(-half)
    }

    /// Its corners in displayed pixels, in turn.
    pub fn corners(&self) -> [DVec2; 4] {
        let [width, height] = self.size.map(|side| side as f64);
        let to_display = self.to_display();
        [[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]]
            .map(|corner| to_display.transform_point2(DVec2::from(corner)))
    }

    /// Adds what the network is shown to `filled`.
    pub(super) fn fill(&self, picture: &Picture<'_>, description: &NetworkDescription, filled: &mut Vec<f32>) {
        let border = border(description.crop.beyond);
        // Neighbouring places are averaged where a pixel of the input is large, as training pipelines blur before they shrink.
        let each = if self.scale >= COARSE { (self.scale / COARSE).round().clamp(2.0, 4.0) as usize } else { 1 };
        let size = self.size.map(|side| side * each);
        let finer = DAffine2::from_scale(DVec2::splat(1.0 / each as f64));
        let shift = DAffine2::from_translation(DVec2::splat(0.5 * (1.0 / each as f64 - 1.0)));
        let mut pixels = Vec::new();
        picture.sample_grid(self.to_display() * shift * finer, size, border, &mut pixels);
        add(&shrunk(&pixels, self.size, each), self.size, &description.input, filled);
    }
}

/// The mean of `each` times `each` pixels (R'G'B').
fn shrunk(pixels: &[f32], [columns, rows]: [usize; 2], each: usize) -> Vec<f32> {
    if each == 1 {
        return pixels.to_vec();
    }
    let mut sums = vec![0.0; columns * rows * 3];
    let share = 1.0 / (each * each) as f32;
    for (row, line) in pixels.chunks_exact(columns * each * 3).enumerate() {
        let into = &mut sums[row / each * columns * 3..][..columns * 3];
        for (column, pixel) in line.chunks_exact(3).enumerate() {
            for (sum, value) in into[column / each * 3..][..3].iter_mut().zip(pixel) {
                *sum += share * value;
            }
        }
    }
    sums
}

/// What lies beyond the picture.
pub(super) fn border(beyond: Beyond) -> Border {
    match beyond {
        Beyond::Colour(colour) => Border::Fill(colour),
        Beyond::Edge => Border::Replicate,
    }
}

/// Adds pixels (R'G'B' of 0..=1, row by row) to `filled` as a network wants them.
pub(super) fn add(pixels: &[f32], [width, height]: [usize; 2], input: &Input, filled: &mut Vec<f32>) {
    let from = match input.colors {
        Colors::Rgb => [0, 1, 2],
        Colors::Bgr => [2, 1, 0],
    };
    let value =
        |pixel: &[f32], channel: usize| (pixel[from[channel]] * input.scale - input.mean[channel]) / input.std[channel];
    filled.reserve(width * height * 3);
    match input.layout {
        Layout::Nhwc => filled.extend(pixels.chunks_exact(3).flat_map(|pixel| [0, 1, 2].map(|c| value(pixel, c)))),
        Layout::Nchw => {
            (0..3).for_each(|channel| filled.extend(pixels.chunks_exact(3).map(|pixel| value(pixel, channel))));
        }
    }
}

/// How far a body is turned in the picture, in quarter turns: networks know people head up.
fn turned(landmarks: &Landmarks) -> f64 {
    let up = landmarks.middle(SHOULDERS) - landmarks.middle(ANKLES);
    if up.length() < LONG * f64::from(landmarks.extent()) {
        return 0.0;
    }
    let angle = f64::atan2(up.x, -up.y);
    wrap_angle(f64::from(quarter_turns(angle)) * std::f64::consts::FRAC_PI_2)
}

/// The box around what is in the picture of a person, as it would stand if the picture were turned by `rotation`: its middle in displayed
/// pixels, and width and height.
fn person_box(landmarks: &Landmarks, rotation: f64, display: [u32; 2]) -> (DVec2, [f64; 2]) {
    let upright = DMat2::from_angle(-rotation);
    let around = |points: &mut dyn Iterator<Item = DVec2>| {
        let start = [DVec2::INFINITY, DVec2::NEG_INFINITY];
        points.map(|point| upright * point).fold(start, |[low, high], p| [low.min(p), high.max(p)])
    };
    let [low, high] = around(&mut (0..LANDMARKS).map(|i| landmarks.at(i)));
    let height = (high - low).y.max((high - low).x / 2.0);
    let (low, high) = (low - DVec2::new(BESIDE, ABOVE) * height, high + DVec2::new(BESIDE, BELOW) * height);
    // What is outside the picture was not seen, and a person detector would not see it either.
    let last = DVec2::new(f64::from(display[0]), f64::from(display[1])) - DVec2::ONE;
    let [first, last] = around(&mut [DVec2::ZERO, last].into_iter());
    let (low, high) = (low.clamp(first, last), high.clamp(first, last));
    let size = (high - low).max(DVec2::splat(SMALLEST));
    (DMat2::from_angle(rotation) * low.midpoint(high), size.to_array())
}

/// A box made wider or taller, so that it has this width over its height.
fn widened([width, height]: [f64; 2], aspect: f64) -> [f64; 2] {
    if width > aspect * height { [width, width / aspect] } else { [height * aspect, height] }
}
