//! Made-up people for the tests of this folder.

use crate::pose::{Landmark, Landmarks};

/// A person facing the camera, arms a little out: `hips` is the middle of the hips, `height` in pixels.
pub fn person(hips: [f32; 2], height: f32) -> Landmarks {
    // Half width and height above the hips, in heights; the left side of a person facing us is on the right.
    let place = |i: usize| -> [f32; 2] {
        let side = if i % 2 == 1 { 1.0 } else { -1.0 };
        let [x, y] = match i {
            0 => return [0.0, -0.38],
            1..=3 => return [0.02, -0.40],
            4..=6 => return [-0.02, -0.40],
            7 | 8 => [0.04, -0.39],
            9 | 10 => [0.02, -0.36],
            11 | 12 => [0.11, -0.29],
            13 | 14 => [0.16, -0.14],
            15 | 16 => [0.18, 0.0],
            17..=22 => [0.19, 0.04],
            23 | 24 => [0.06, 0.0],
            25 | 26 => [0.07, 0.25],
            27 | 28 => [0.07, 0.48],
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
    }
}
