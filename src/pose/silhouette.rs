//! About where somebody's body is in the picture. It is greyed where a landmark network is to see the person behind: the network was made for
//! one person and takes the most prominent one.

use glam::{DMat2, DVec2};

use super::skeleton::*;
use super::{Landmarks, RotatedRegion};

/// A limb is a capsule round a bone: the bone's ends and the capsule's radius over the body's measure. Measured on people of several shapes; wide
/// enough to hide clothes, and no wider, since what is hidden is missing of the person behind.
const LIMBS: [([usize; 2], f64); 14] = [
    ([LEFT_SHOULDER, LEFT_ELBOW], 0.105),
    ([RIGHT_SHOULDER, RIGHT_ELBOW], 0.105),
    ([LEFT_ELBOW, LEFT_WRIST], 0.095),
    ([RIGHT_ELBOW, RIGHT_WRIST], 0.095),
    ([LEFT_WRIST, LEFT_INDEX], 0.1),
    ([RIGHT_WRIST, RIGHT_INDEX], 0.1),
    ([LEFT_HIP, LEFT_KNEE], 0.15),
    ([RIGHT_HIP, RIGHT_KNEE], 0.15),
    ([LEFT_KNEE, LEFT_ANKLE], 0.11),
    ([RIGHT_KNEE, RIGHT_ANKLE], 0.11),
    ([LEFT_ANKLE, LEFT_TOES], 0.1),
    ([RIGHT_ANKLE, RIGHT_TOES], 0.1),
    ([LEFT_HEEL, LEFT_TOES], 0.1),
    ([RIGHT_HEEL, RIGHT_TOES], 0.1),
];
/// The torso is filled by capsules along its edges and diagonals.
const TRUNK: [[usize; 2]; 6] = [
    [LEFT_SHOULDER, LEFT_HIP],
    [RIGHT_SHOULDER, RIGHT_HIP],
    [LEFT_SHOULDER, RIGHT_HIP],
    [RIGHT_SHOULDER, LEFT_HIP],
    [LEFT_SHOULDER, RIGHT_SHOULDER],
    [LEFT_HIP, RIGHT_HIP],
];
const TRUNK_RADIUS: f64 = 0.16;
/// The neck, and the head round the middle of the ears.
const NECK_RADIUS: f64 = 0.13;
const HEAD_RADIUS: f64 = 0.24;
/// The body's measure is the length of the torso, or so much of the height of the joints where the torso leans towards the camera.
const LEAST_TORSO: f64 = 0.25;
/// What the landmark network is shown instead.
const GREY: f32 = 114.0 / 255.0;

/// The landmarks' places, displayed pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Silhouette([DVec2; LANDMARKS]);

impl Silhouette {
    /// Of somebody who was found.
    pub fn of(landmarks: &Landmarks) -> Self {
        Self(std::array::from_fn(|i| landmarks.at(i)))
    }

    /// Ends and radius of the capsules that it consists of, displayed pixels.
    fn capsules(&self) -> impl Iterator<Item = ([DVec2; 2], f64)> {
        let at = |i: usize| self.0[i];
        let middle = |[left, right]: Pair| at(left).midpoint(at(right));
        let (shoulders, hips, ears) = (middle(SHOULDERS), middle(HIPS), middle(EARS));
        let heights = JOINTS.iter().map(|&i| at(i).y);
        let (low, high) = heights.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), y| (l.min(y), h.max(y)));
        let measure = shoulders.distance(hips).max(LEAST_TORSO * (high - low));
        let limbs = LIMBS.into_iter().map(move |([a, b], radius)| ([at(a), at(b)], radius));
        let trunk = TRUNK.into_iter().map(move |[a, b]| ([at(a), at(b)], TRUNK_RADIUS));
        let head = [([shoulders, ears], NECK_RADIUS), ([ears, ears], HEAD_RADIUS)];
        limbs.chain(trunk).chain(head).map(move |(ends, radius)| (ends, radius * measure))
    }

    /// Greys it in a crop of `region` (`size * size * 3`, colours of 0..=1).
    pub(super) fn hide(&self, region: &RotatedRegion, size: usize, crop: &mut [f32]) {
        let scale = size as f64 / region.side;
        let turn = DMat2::from_angle(-region.rotation) * scale;
        let to_crop = |point: DVec2| turn * (point - region.center) + DVec2::splat(0.5 * size as f64);
        for (ends, radius) in self.capsules() {
            let ([a, b], radius) = (ends.map(to_crop), radius * scale);
            if !(a.is_finite() && b.is_finite()) {
                continue;
            }
            let (low, high) = (a.min(b) - radius, a.max(b) + radius);
            let span = |low: f64, high: f64| {
                low.ceil().clamp(0.0, size as f64) as usize..(high.floor() + 1.0).clamp(0.0, size as f64) as usize
            };
            let along = b - a;
            for y in span(low.y, high.y) {
                for x in span(low.x, high.x) {
                    let from_a = DVec2::new(x as f64, y as f64) - a;
                    let share = (from_a.dot(along) / along.length_squared().max(1e-6)).clamp(0.0, 1.0);
                    if from_a.distance(along * share) < radius {
                        crop[(y * size + x) * 3..][..3].fill(GREY);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pose::Landmark;

    #[test]
    fn a_body_is_hidden_and_what_is_beside_it_is_not() {
        // A doll 200 pixels tall that stands in the middle of the picture, arms hanging.
        let mut points = [Landmark { x: 100.0, y: 30.0, ..Landmark::default() }; LANDMARKS];
        for (pair, x, y) in [(SHOULDERS, 25.0, 60.0), (HIPS, 15.0, 120.0), (KNEES, 15.0, 160.0), (ANKLES, 15.0, 195.0)]
        {
            for (point, side) in pair.into_iter().zip([1.0, -1.0]) {
                points[point] = Landmark { x: 100.0 + side * x, y, ..Landmark::default() };
            }
        }
        for (first, shoulder) in [(LEFT_ELBOW, LEFT_SHOULDER), (RIGHT_ELBOW, RIGHT_SHOULDER)] {
            for (point, y) in [(first, 90.0), (first + 2, 115.0), (first + 4, 120.0), (first + 6, 120.0)] {
                points[point] = Landmark { y, ..points[shoulder] };
            }
        }
        for (foot, ankle) in [(LEFT_HEEL, LEFT_ANKLE), (RIGHT_HEEL, RIGHT_ANKLE)] {
            (points[foot], points[foot + 2]) = (points[ankle], points[ankle]);
        }
        let circle = [[100.0, 120.0], [100.0, 20.0]];
        let body = Silhouette::of(&Landmarks {
            score: 1.0,
            points,
            circle,
            world: [[0.0; 3]; LANDMARKS],
            hands: Default::default(),
        });
        for rotation in [0.0, 1.0] {
            let region = RotatedRegion { center: DVec2::new(100.0, 110.0), side: 256.0, rotation };
            let mut crop = vec![1.0; 256 * 256 * 3];
            body.hide(&region, 256, &mut crop);
            let is_hidden = |x: f64, y: f64| {
                let at = DMat2::from_angle(-rotation) * (DVec2::new(x, y) - region.center) + DVec2::splat(128.0);
                crop[(at.y.round() as usize * 256 + at.x.round() as usize) * 3] != 1.0
            };
            for (x, y) in [(100.0, 90.0), (115.0, 170.0), (100.0, 30.0), (126.0, 100.0)] {
                assert!(is_hidden(x, y), "{x} {y}");
            }
            for (x, y) in [(150.0, 90.0), (100.0, 180.0), (100.0, 5.0), (50.0, 160.0)] {
                assert!(!is_hidden(x, y), "{x} {y}");
            }
        }
    }
}
