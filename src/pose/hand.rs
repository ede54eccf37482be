//! Hands: where to look for them, and MediaPipe's hand network, which finds 21 points of the hand in a square.
//!
//! The first square is placed by the body points of wrist and knuckles. These are some pixels off, and the network is sure of a hand only where
//! it fills the square as it was trained. So the points that it finds place a second square, and it is shown that one as well, unless
//! it saw no hand at all in the first. (MediaPipe's own graph asks a network of its own for the second square.)

use std::path::Path;

use glam::{DMat2, DVec2};
use ort::session::SessionOutputs;
use serde::{Deserialize, Serialize};
use serde_big_array::BigArray;

use super::crop::{Border, Picture};
use super::runtime::{Opened, output};
use super::skeleton::{self, SidePoints};
use super::{Landmarks, PoseError, RotatedRegion, Runtime, wrap_angle};

/// Points of a hand: the wrist, then four of each finger from the palm to the tip, the thumb's first.
pub const HAND_POINTS: usize = 21;
/// The left and the right one.
pub const HANDS: usize = 2;

/// What was seen of a person's left and right hand.
pub type SeenHands = [Option<Box<Hand>>; HANDS];

/// Side of the network's input in pixels.
const SIZE: usize = 224;
/// Side of the first square over the distance from the wrist to the middle of the knuckles, which is its middle. (MediaPipe's square, which is larger and
/// further out, is made for its other network: the hand network is sure of a hand in 9% of these on the sample clip, and in 52% of ours.)
const FIRST_SIDE: f64 = 3.5;
/// Least side of it over the length of the hand: also of one that points at the camera.
const LEAST_SIDE: f64 = 1.2;
/// Side of the second square over that of the box around the points of the palm and the first finger joints, and how far it is moved towards the
/// fingers, over the same (as in MediaPipe's `hand_landmark_landmarks_to_roi`).
const SECOND_SIDE: f64 = 2.0;
const SECOND_SHIFT: f64 = 0.1;
/// The points that place the second square.
const PALM: [usize; 12] = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18];
/// The network is asked once where its square is that near to the second ([`RotatedRegion::difference`]).
const TOLERANCE: f64 = 0.1;
/// Probability of a hand in the first square below which there is none in the second either.
const FIRST_PRESENCE: f32 = 0.1;
/// Length of a hand over the distance from the wrist to the middle of the knuckles, and over that from the elbow to the wrist.
const OF_PALM: f64 = 2.0;
const OF_FOREARM: f64 = 0.7;
/// Hands are looked at by themselves from this length on, pixels.
const LEAST_LENGTH: f64 = 40.0;
/// And where the wrist's probability of being seen is at least this.
const LEAST_VISIBILITY: f32 = 0.3;

/// What the hand network saw of one hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hand {
    /// Displayed pixels.
    #[serde(with = "BigArray")]
    pub points: [[f32; 2]; HAND_POINTS],
    /// Metres, camera axes (x right, y down, z away), origin in the middle of the palm; the size is that of an average hand.
    #[serde(with = "BigArray")]
    pub world: [[f32; 3]; HAND_POINTS],
    /// Probability that there is a hand.
    pub presence: f32,
    /// Probability that it is a right one.
    pub right: f32,
}

impl Hand {
    /// The hand on the straight way to another: `share` 0 is this one, 1 the other.
    pub fn between(&self, other: &Self, share: f32) -> Self {
        let lerp = |a: f32, b: f32| a + share * (b - a);
        let between = |a: &[[f32; 3]], b: &[[f32; 3]], i: usize| std::array::from_fn(|k| lerp(a[i][k], b[i][k]));
        Self {
            points: std::array::from_fn(|i| std::array::from_fn(|k| lerp(self.points[i][k], other.points[i][k]))),
            world: std::array::from_fn(|i| between(&self.world, &other.world, i)),
            presence: self.presence.min(other.presence),
            right: lerp(self.right, other.right),
        }
    }

    /// Where a point is, displayed pixels.
    pub fn at(&self, point: usize) -> DVec2 {
        let [x, y] = self.points[point].map(f64::from);
        DVec2::new(x, y)
    }

    /// Diagonal of the box around all points, pixels.
    pub fn extent(&self) -> f64 {
        let low = (0..HAND_POINTS).map(|i| self.at(i)).fold(DVec2::INFINITY, DVec2::min);
        let high = (0..HAND_POINTS).map(|i| self.at(i)).fold(DVec2::NEG_INFINITY, DVec2::max);
        (high - low).length()
    }

    /// The square that the points ask for.
    fn region(&self) -> RotatedRegion {
        let fingers = (self.at(6) + self.at(14)) / 2.0;
        let rotation = upright(self.at(0), (fingers + self.at(10)) / 2.0);
        let turn = DMat2::from_angle(rotation);
        let palm = || PALM.iter().map(|&i| turn.transpose() * self.at(i));
        let low = palm().fold(DVec2::INFINITY, DVec2::min);
        let high = palm().fold(DVec2::NEG_INFINITY, DVec2::max);
        let middle = low.midpoint(high) - DVec2::new(0.0, SECOND_SHIFT * (high.y - low.y));
        RotatedRegion { center: turn * middle, side: SECOND_SIDE * (high - low).max_element(), rotation }
    }
}

/// Clockwise rotation (y down) of a square in which `tip` is straight above `wrist`, radians.
fn upright(wrist: DVec2, tip: DVec2) -> f64 {
    let up = tip - wrist;
    wrap_angle(std::f64::consts::FRAC_PI_2 - f64::atan2(-up.y, up.x))
}

/// Where the network looks first for a person's left and right hand; nowhere where a hand is outside the picture, or, `only_large`, where
/// it is small or hidden.
pub fn first_regions(landmarks: &Landmarks, display: [u32; 2], only_large: bool) -> [Option<RotatedRegion>; HANDS] {
    [skeleton::LEFT, skeleton::RIGHT].map(|side| first_region(landmarks, &side, display, only_large))
}

fn first_region(
    landmarks: &Landmarks,
    side: &SidePoints,
    display: [u32; 2],
    only_large: bool,
) -> Option<RotatedRegion> {
    let [_, elbow, wrist] = side.arm;
    let [little, index] = side.knuckles;
    let from = landmarks.at(wrist);
    // Nearer to the index finger, as the middle finger is.
    let knuckles = landmarks.at(index).lerp(landmarks.at(little), 1.0 / 3.0);
    let palm = from.distance(knuckles);
    let length = (OF_PALM * palm).max(OF_FOREARM * from.distance(landmarks.at(elbow)));
    let [width, height] = display.map(f64::from);
    let is_inside = (0.0..width).contains(&knuckles.x) && (0.0..height).contains(&knuckles.y);
    let is_large = length >= LEAST_LENGTH && landmarks.points[wrist].visibility >= LEAST_VISIBILITY;
    let side = (FIRST_SIDE * palm).max(LEAST_SIDE * length);
    let region = RotatedRegion { center: knuckles, side, rotation: upright(from, knuckles) };
    (is_inside && (is_large || !only_large) && region.is_usable()).then_some(region)
}

/// The hand network of one worker.
pub struct HandLandmarker {
    network: Opened,
    /// Pictures at a time, at most.
    batch: usize,
    input: Vec<f32>,
}

impl HandLandmarker {
    /// Opens the network, to be shown up to `batch` pictures at a time.
    ///
    /// # Errors
    /// When the file is missing or is not a network.
    pub fn new(runtime: &Runtime, model: &Path, batch: usize) -> Result<Self, PoseError> {
        let network = runtime.open(model)?;
        network.prepare([1, SIZE, SIZE, 3])?;
        Ok(Self { network, batch: batch.max(1), input: Vec::new() })
    }

    /// The hand that is looked for in each square, which only places the first look; `None` where there is hardly one.
    ///
    /// # Errors
    /// When the network fails.
    pub fn hands(&mut self, regions: &[(Picture<'_>, RotatedRegion)]) -> Result<Vec<Option<Hand>>, PoseError> {
        let mut found = self.look(regions)?;
        for hand in &mut found {
            *hand = hand.take().filter(|hand| hand.presence >= FIRST_PRESENCE);
        }
        let again = |(index, hand): (usize, &Option<Hand>)| {
            let (picture, first) = regions[index];
            let second = hand.as_ref()?.region();
            let is_off = second.is_usable() && first.difference(&second) > TOLERANCE;
            is_off.then_some((index, (picture, second)))
        };
        let (indices, again): (Vec<usize>, Vec<_>) = found.iter().enumerate().filter_map(again).unzip();
        for (index, second) in indices.into_iter().zip(self.look(&again)?) {
            if second.as_ref().map(|hand| hand.presence) >= found[index].as_ref().map(|hand| hand.presence) {
                found[index] = second;
            }
        }
        Ok(found)
    }

    /// What the network says of each square; `None` where that is not usable numbers.
    fn look(&mut self, regions: &[(Picture<'_>, RotatedRegion)]) -> Result<Vec<Option<Hand>>, PoseError> {
        let mut found = Vec::with_capacity(regions.len());
        for batch in regions.chunks(self.batch) {
            self.input.clear();
            for (picture, region) in batch {
                picture.crop(region, SIZE, Border::Replicate, [0.0, 1.0], &mut self.input);
            }
            // A GPU prepares itself for each new number of pictures: there are two.
            let count = if batch.len() == 1 { 1 } else { self.batch };
            self.input.resize(count * SIZE * SIZE * 3, 0.0);
            let read = |outputs: &SessionOutputs<'_>| {
                let points = output(outputs, "points", count * HAND_POINTS * 3)?;
                let world = output(outputs, "world_points", count * HAND_POINTS * 3)?;
                let presence = output(outputs, "presence", count)?;
                let right = output(outputs, "handedness", count)?;
                let each = points.chunks_exact(HAND_POINTS * 3).zip(world.chunks_exact(HAND_POINTS * 3));
                let hands = each.zip(presence.iter().zip(right)).zip(batch);
                found.extend(hands.map(|(((points, world), (&presence, &right)), (_, region))| {
                    hand(region, points, world, presence, right)
                }));
                Ok(())
            };
            self.network.run([count, SIZE, SIZE, 3], &self.input, read)?;
        }
        Ok(found)
    }
}

/// What the network's numbers for a square mean: `points` in the crop's pixels, `world` in metres, three for each point.
fn hand(region: &RotatedRegion, points: &[f32], world: &[f32], presence: f32, right: f32) -> Option<Hand> {
    if !points.iter().chain(world).chain([&presence, &right]).all(|v| v.is_finite()) {
        return None;
    }
    let turn = DMat2::from_angle(region.rotation);
    let pair = |numbers: &[f32], i: usize| DVec2::new(f64::from(numbers[3 * i]), f64::from(numbers[3 * i + 1]));
    Some(Hand {
        points: std::array::from_fn(|i| {
            let from_middle = pair(points, i) / SIZE as f64 - DVec2::splat(0.5);
            (region.center + turn * (from_middle * region.side)).as_vec2().to_array()
        }),
        world: std::array::from_fn(|i| {
            let aside = (turn * pair(world, i)).as_vec2();
            [aside.x, aside.y, world[3 * i + 2]]
        }),
        presence,
        right,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flat hand whose fingers point up, 100 pixels long and as wide as long, and the square that its points ask for.
    fn flat() -> Hand {
        let place = |i: usize| match i {
            0 => [50.0, 100.0],
            _ => [((i - 1) / 4) as f32 * 25.0, 60.0 - 20.0 * ((i - 1) % 4) as f32],
        };
        let points = std::array::from_fn(place);
        Hand { points, world: [[0.0; 3]; HAND_POINTS], presence: 0.5, right: 0.9 }
    }

    #[test]
    fn a_hand_asks_for_a_square_that_turns_with_it() {
        let hand = flat();
        let region = hand.region();
        assert!(region.rotation.abs() < 1e-6 && (region.side - 200.0).abs() < 1e-3, "{region:?}");
        assert!((region.center - DVec2::new(50.0, 60.0 - 8.0)).length() < 1e-3, "{region:?}");
        let turn = DMat2::from_angle(2.0);
        let turned = Hand {
            points: hand.points.map(|p| (turn * DVec2::new(f64::from(p[0]), f64::from(p[1]))).as_vec2().to_array()),
            ..hand
        };
        let expected = RotatedRegion { center: turn * region.center, rotation: 2.0, ..region };
        assert!(turned.region().difference(&expected) < 1e-4, "{:?}", turned.region());
    }

    #[test]
    fn the_networks_numbers_are_brought_into_the_picture() {
        let region =
            RotatedRegion { center: DVec2::new(300.0, 200.0), side: 100.0, rotation: std::f64::consts::FRAC_PI_2 };
        let mut points = vec![112.0; HAND_POINTS * 3];
        // The fingers' side of the crop points to the right in the picture.
        points[1] = 0.0;
        let mut world = vec![0.0; HAND_POINTS * 3];
        (world[1], world[2]) = (-0.1, -0.03);
        let hand = hand(&region, &points, &world, 0.8, 0.1).unwrap();
        assert!((hand.at(0) - DVec2::new(350.0, 200.0)).length() < 1e-3, "{:?}", hand.at(0));
        assert!((hand.world[0][0] - 0.1).abs() < 1e-6 && (hand.world[0][2] + 0.03).abs() < 1e-6, "{:?}", hand.world[0]);
        points[5] = f32::NAN;
        assert_eq!(super::hand(&region, &points, &world, 0.8, 0.1), None);
    }
}
