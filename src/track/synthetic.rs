//! Made-up people for the tests of this folder.

use super::TrackletObservation;
use crate::pose::skeleton::*;
use crate::pose::{AppearanceHistogram, Landmark, Landmarks, Observation};

/// Such a [`person`] in clothes of one colour, as a tracker has seen them between keyframes.
pub fn seen(frame: u64, tracklet: u32, hips: [f32; 2], height: f32, colour: [u8; 3]) -> TrackletObservation {
    let appearance = AppearanceHistogram::of_colour(colour);
    TrackletObservation::new(frame, tracklet, Observation { landmarks: person(hips, height), appearance })
}

/// A person facing the camera, arms a little out: `hips` is the middle of the hips, `height` in pixels.
pub fn person(hips: [f32; 2], height: f32) -> Landmarks {
    // Half width and height above the hips, in heights; the left side of a person facing us is on the right.
    let place = |i: usize| -> [f32; 2] {
        let side = if is_left(i) { 1.0 } else { -1.0 };
        let [x, y] = match i {
            NOSE => return [0.0, -0.38],
            LEFT_EYE_INNER..=RIGHT_EYE_OUTER => [0.02, -0.40],
            LEFT_EAR | RIGHT_EAR => [0.04, -0.39],
            LEFT_MOUTH | RIGHT_MOUTH => [0.02, -0.36],
            LEFT_SHOULDER | RIGHT_SHOULDER => [0.11, -0.29],
            LEFT_ELBOW | RIGHT_ELBOW => [0.16, -0.14],
            LEFT_WRIST | RIGHT_WRIST => [0.18, 0.0],
            LEFT_PINKY..=RIGHT_THUMB => [0.19, 0.04],
            LEFT_HIP | RIGHT_HIP => [0.06, 0.0],
            LEFT_KNEE | RIGHT_KNEE => [0.07, 0.25],
            LEFT_ANKLE | RIGHT_ANKLE => [0.07, 0.48],
            _ => [0.08, 0.50],
        };
        [side * x, y]
    };
    Landmarks {
        score: 0.99,
        points: std::array::from_fn(|i| {
            let [x, y] = place(i);
            Landmark { x: hips[0] + height * x, y: hips[1] + height * y, z: 0.0, visibility: 0.95, presence: 0.99 }
        }),
        circle: [hips, [hips[0], hips[1] - 0.58 * height]],
        world: std::array::from_fn(|i| [1.7 * place(i)[0], 1.7 * place(i)[1], 0.0]),
        hands: [None, None],
    }
}
