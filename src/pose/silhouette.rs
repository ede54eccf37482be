//! About where somebody's body is in the picture. It is painted over where a landmark network is to see the person behind: the network was made for
//! one person and takes the most prominent one. What is painted is what lies left and right of it, since the network takes a grey shape of a
//! person for a person, too (docs/accuracy.md).

use glam::{DMat2, DVec2};

use super::skeleton::*;
use super::{Landmarks, RotatedRegion};
use crate::geometry::distance_from_segment;

/// A limb is a capsule round a bone: the bone's ends and the capsule's radius over the body's measure. Measured on people of several shapes; wide
/// enough to hide clothes, and no wider, since what is hidden is missing of the person behind.
const LIMBS: [([usize; 2], f64); 14] = [
    ([LEFT_SHOULDER, LEFT_ELBOW], 0.13),
    ([RIGHT_SHOULDER, RIGHT_ELBOW], 0.13),
    ([LEFT_ELBOW, LEFT_WRIST], 0.12),
    ([RIGHT_ELBOW, RIGHT_WRIST], 0.12),
    ([LEFT_WRIST, LEFT_INDEX], 0.125),
    ([RIGHT_WRIST, RIGHT_INDEX], 0.125),
    ([LEFT_HIP, LEFT_KNEE], 0.19),
    ([RIGHT_HIP, RIGHT_KNEE], 0.19),
    ([LEFT_KNEE, LEFT_ANKLE], 0.14),
    ([RIGHT_KNEE, RIGHT_ANKLE], 0.14),
    ([LEFT_ANKLE, LEFT_TOES], 0.125),
    ([RIGHT_ANKLE, RIGHT_TOES], 0.125),
    ([LEFT_HEEL, LEFT_TOES], 0.125),
    ([RIGHT_HEEL, RIGHT_TOES], 0.125),
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
const TRUNK_RADIUS: f64 = 0.2;
/// The neck, and the head round the middle of the ears.
const NECK_RADIUS: f64 = 0.16;
const HEAD_RADIUS: f64 = 0.3;
/// The body's measure is the length of the torso, or so much of the height of the joints where the torso leans towards the camera.
const LEAST_TORSO: f64 = 0.25;
/// Where a row has nothing else.
const GREY: f32 = 0.5;

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

    /// Whether a point, displayed pixels, lies in it.
    pub(super) fn contains(&self, point: DVec2) -> bool {
        self.capsules().any(|(ends, radius)| distance_from_segment(point, ends) < radius)
    }

    /// Marks it in a crop of `region` that is `size` pixels wide and high.
    fn mark(&self, region: &RotatedRegion, size: usize, marked: &mut [bool]) {
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
            for y in span(low.y, high.y) {
                for x in span(low.x, high.x) {
                    marked[y * size + x] |= distance_from_segment(DVec2::new(x as f64, y as f64), [a, b]) < radius;
                }
            }
        }
    }
}

/// Paints over some bodies in a crop of `region` (`size * size * 3`): in each row the colours go straight from what is left of them to what is right.
pub(super) fn hide(bodies: &[Silhouette], region: &RotatedRegion, size: usize, crop: &mut [f32]) {
    if bodies.is_empty() {
        return;
    }
    let mut marked = vec![false; size * size];
    bodies.iter().for_each(|body| body.mark(region, size, &mut marked));
    for (row, marked) in crop.chunks_exact_mut(size * 3).zip(marked.chunks_exact(size)) {
        let mut first = 0;
        while first < size {
            let count = marked[first..].iter().take_while(|&&is_marked| is_marked).count();
            let end = first + count;
            let colour = |row: &[f32], x: usize| [row[3 * x], row[3 * x + 1], row[3 * x + 2]];
            let left = first.checked_sub(1).map(|x| colour(row, x));
            let right = (end < size).then(|| colour(row, end));
            let [from, to] = match (left, right) {
                (Some(left), Some(right)) => [left, right],
                (Some(one), None) | (None, Some(one)) => [one; 2],
                (None, None) => [[GREY; 3]; 2],
            };
            for x in first..end {
                let share = (x + 1 - first) as f32 / (count + 1) as f32;
                for channel in 0..3 {
                    row[3 * x + channel] = from[channel] + share * (to[channel] - from[channel]);
                }
            }
            first = end + 1;
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
            let mut marked = vec![false; 256 * 256];
            body.mark(&region, 256, &mut marked);
            let is_hidden = |x: f64, y: f64| {
                let at = DMat2::from_angle(-rotation) * (DVec2::new(x, y) - region.center) + DVec2::splat(128.0);
                marked[at.y.round() as usize * 256 + at.x.round() as usize]
            };
            for (x, y) in [(100.0, 90.0), (115.0, 170.0), (100.0, 30.0), (126.0, 100.0)] {
                assert!(is_hidden(x, y) && body.contains(DVec2::new(x, y)), "{x} {y}");
            }
            for (x, y) in [(150.0, 90.0), (100.0, 180.0), (100.0, 5.0), (50.0, 160.0)] {
                assert!(!is_hidden(x, y) && !body.contains(DVec2::new(x, y)), "{x} {y}");
            }
        }
    }

    #[test]
    fn what_is_hidden_looks_like_what_is_beside_it() {
        let mut points = [Landmark { x: 4.0, y: 4.0, ..Landmark::default() }; LANDMARKS];
        // All in one place but for the shoulders, which give the body its measure.
        SHOULDERS.into_iter().for_each(|i| points[i].y = -6.0);
        let landmarks = Landmarks {
            score: 1.0,
            points,
            circle: [[4.0, 4.0]; 2],
            world: [[0.0; 3]; LANDMARKS],
            hands: [None, None],
        };
        let region = RotatedRegion { center: DVec2::splat(4.0), side: 8.0, rotation: 0.0 };
        let ramp: Vec<f32> = (0..8 * 8 * 3).map(|i| (i / 3 % 8) as f32).collect();
        let mut crop = ramp.clone();
        let mut marked = [false; 64];
        Silhouette::of(&landmarks).mark(&region, 8, &mut marked);
        for (pixel, _) in crop.chunks_exact_mut(3).zip(marked).filter(|(_, is_marked)| *is_marked) {
            pixel.fill(100.0);
        }
        assert_ne!(crop, ramp);
        hide(&[Silhouette::of(&landmarks)], &region, 8, &mut crop);
        assert!(crop.iter().zip(&ramp).all(|(a, b)| (a - b).abs() < 1e-5), "{crop:?}");
    }
}
