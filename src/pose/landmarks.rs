//! The body points that a landmark network finds, and how they are moved, turned, mirrored and interpolated.
//!
//! Whatever is done to all points of a person is done here: a network that gives more of them (as that of hands does) adds a field to
//! [`Landmarks`] and its part to these methods, and nothing elsewhere changes.

use glam::{DMat2, DVec2};
use serde::{Deserialize, Serialize};
use serde_big_array::BigArray;

use super::own::{SeenPixel, SeenPoints};
use super::skeleton::{self, LANDMARKS, mirrored};
use super::{RotatedRegion, SeenHands, wrap_angle};

/// Points of another network change sides where that makes their distance from those found here this much smaller.
const EXCHANGED: f64 = 0.6;

/// One of the 33 body points in the picture.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Landmark {
    /// Displayed pixels.
    pub x: f32,
    /// Displayed pixels.
    pub y: f32,
    /// Pixels; negative is nearer to the camera than the hips.
    pub z: f32,
    /// Probability that the point is in the picture and not hidden.
    pub visibility: f32,
    /// Probability that the point is in the picture.
    pub presence: f32,
}

/// What a landmark network found in one region of one picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Landmarks {
    /// Probability that there is a person.
    pub score: f32,
    /// Body points in displayed pixels, in BlazePose order.
    #[serde(with = "BigArray")]
    pub points: [Landmark; LANDMARKS],
    /// The auxiliary points 33 (middle of the hips) and 34 (on the circle round the body), displayed pixels.
    pub circle: [[f32; 2]; 2],
    /// Metres, camera axes (x right, y down, z away), origin between the hips.
    #[serde(with = "BigArray")]
    pub world: [[f32; 3]; LANDMARKS],
    /// The left and the right hand, where they were looked at and seen.
    pub hands: SeenHands,
}

impl Landmarks {
    /// The region that the landmarks themselves ask for.
    pub fn region(&self) -> RotatedRegion {
        RotatedRegion::from_circle(self.circle[0], self.circle[1])
    }

    /// Where a point is, displayed pixels.
    pub fn at(&self, point: usize) -> DVec2 {
        DVec2::new(f64::from(self.points[point].x), f64::from(self.points[point].y))
    }

    /// Halfway between a left point and its right counterpart, displayed pixels.
    pub fn middle(&self, [left, right]: skeleton::Pair) -> DVec2 {
        (self.at(left) + self.at(right)) / 2.0
    }

    /// Exchanges left and right, in the picture and in the world.
    pub fn mirror(&mut self) {
        let (points, world) = (self.points, self.world);
        for i in 0..LANDMARKS {
            self.points[i] = points[mirrored(i)];
            self.world[i] = world[mirrored(i)];
        }
        self.hands.swap(0, 1);
    }

    /// Exchanges the left and the right arm, or else the legs; the face goes with the arms.
    pub fn mirror_half(&mut self, arms: bool) {
        let whole = self.clone();
        self.mirror();
        let kept = if arms { skeleton::LOWER_BODY } else { 0..skeleton::LOWER_BODY.start };
        self.points[kept.clone()].copy_from_slice(&whole.points[kept.clone()]);
        self.world[kept.clone()].copy_from_slice(&whole.world[kept]);
        if !arms {
            self.hands = whole.hands;
        }
    }

    /// The body on the straight way to another: `share` 0 is this one, 1 the other.
    pub fn between(&self, other: &Self, share: f32) -> Self {
        let lerp = |a: f32, b: f32| a + share * (b - a);
        Self {
            score: self.score.min(other.score),
            points: std::array::from_fn::<_, LANDMARKS, _>(|i| {
                let (a, b) = (self.points[i], other.points[i]);
                Landmark {
                    x: lerp(a.x, b.x),
                    y: lerp(a.y, b.y),
                    z: lerp(a.z, b.z),
                    visibility: lerp(a.visibility, b.visibility),
                    presence: lerp(a.presence, b.presence),
                }
            }),
            circle: std::array::from_fn(|i| std::array::from_fn(|k| lerp(self.circle[i][k], other.circle[i][k]))),
            world: std::array::from_fn(|i| std::array::from_fn(|k| lerp(self.world[i][k], other.world[i][k]))),
            hands: std::array::from_fn(|side| {
                let (a, b) = (self.hands[side].as_ref()?, other.hands[side].as_ref()?);
                Some(Box::new(a.between(b, share)))
            }),
        }
    }

    /// The body on a curve through four of them, between the second and the third: `share` 0 is the second, 1 the third. The weights say what each
    /// of them counts in where its points are.
    pub fn on_curve(bodies: [&Self; 4], weights: [f32; 4], share: f32) -> Self {
        let mix =
            |value: &dyn Fn(&Self) -> f32| bodies.iter().zip(weights).map(|(body, w)| w * value(body)).sum::<f32>();
        let mut mixed = bodies[1].between(bodies[2], share);
        for (i, point) in mixed.points.iter_mut().enumerate() {
            point.x = mix(&|body| body.points[i].x);
            point.y = mix(&|body| body.points[i].y);
            point.z = mix(&|body| body.points[i].z);
        }
        mixed.circle = std::array::from_fn(|i| std::array::from_fn(|k| mix(&|body| body.circle[i][k])));
        mixed.world = std::array::from_fn(|i| std::array::from_fn(|k| mix(&|body| body.world[i][k])));
        mixed
    }

    /// Mean visibility of shoulders and hips.
    pub fn torso_visibility(&self) -> f32 {
        skeleton::TORSO.iter().map(|&i| self.points[i].visibility).sum::<f32>() / 4.0
    }

    /// How much of a person this is; the better of two observations of one person is kept. The networks were made for people who stand:
    /// what they find lying is more often a mistake. (Of somebody who lies, all observations lie.)
    pub fn quality(&self) -> f32 {
        self.quality_at(0.0)
    }

    /// The same for one who should be turned by `rotation` (radians).
    pub fn quality_at(&self, rotation: f64) -> f32 {
        let turned = wrap_angle(self.region().rotation - rotation).abs();
        self.score + self.torso_visibility() - 0.25 * turned as f32
    }

    /// The same body moved, turned and scaled in the picture as `from` must be to become `to`; depth and world stay.
    pub fn carried(&self, from: &RotatedRegion, to: &RotatedRegion) -> Self {
        let turn = DMat2::from_angle(to.rotation - from.rotation) * (to.side / from.side.max(1.0));
        let carry = |[x, y]: [f32; 2]| {
            let from_middle = DVec2::new(f64::from(x), f64::from(y)) - from.center;
            (to.center + turn * from_middle).as_vec2().to_array()
        };
        let mut carried = self.clone();
        for point in &mut carried.points {
            [point.x, point.y] = carry([point.x, point.y]);
        }
        carried.circle = carried.circle.map(carry);
        for hand in carried.hands.iter_mut().flatten() {
            hand.points = hand.points.map(carry);
        }
        carried
    }

    /// Puts the points where another network sees them. Those that it does not know follow the point that they hang on.
    ///
    /// Networks of single pictures exchange left and right from time to time. Where the points lie much nearer to those that were found here
    /// when arms or legs change sides, they do: who is tracked has sides that agree over time.
    pub fn take(&mut self, seen: &SeenPoints) {
        let (points, world) = (self.points, self.world);
        let seen = &self.sided(seen);
        let mut is_known = [false; LANDMARKS];
        for &SeenPixel { landmark, at: [x, y], confidence } in &seen.pixels {
            is_known[landmark] = true;
            let presence = points[landmark].presence.max(confidence);
            self.points[landmark] = Landmark { x, y, z: points[landmark].z, visibility: confidence, presence };
        }
        let follow = |is_known: &[bool; LANDMARKS]| {
            let known = *is_known;
            (0..LANDMARKS).filter_map(move |point| {
                let near = skeleton::near(point).filter(|&near| !known[point] && known[near])?;
                Some((point, near))
            })
        };
        for (point, near) in follow(&is_known) {
            let [x, y] = [self.points[near].x - points[near].x, self.points[near].y - points[near].y];
            (self.points[point].x, self.points[point].y) = (points[point].x + x, points[point].y + y);
        }
        // Metres from an origin of the network's own: its points are put where the same points are here, the hips if it knows them.
        let hips: Vec<_> = seen.world.iter().filter(|(landmark, _)| skeleton::HIPS.contains(landmark)).collect();
        let shared: Vec<_> = if hips.len() == 2 { hips } else { seen.world.iter().collect() };
        let origin: [f32; 3] = std::array::from_fn(|axis| {
            let off = |(landmark, place): &&(usize, [f32; 3])| world[*landmark][axis] - place[axis];
            shared.iter().map(off).sum::<f32>() / shared.len().max(1) as f32
        });
        let mut is_known = [false; LANDMARKS];
        for &(landmark, place) in &seen.world {
            is_known[landmark] = true;
            self.world[landmark] = std::array::from_fn(|axis| place[axis] + origin[axis]);
        }
        for (point, near) in follow(&is_known) {
            let moved = std::array::from_fn(|axis| world[point][axis] + self.world[near][axis] - world[near][axis]);
            self.world[point] = moved;
        }
    }

    /// The points with their sides as here.
    fn sided(&self, seen: &SeenPoints) -> SeenPoints {
        let mut sided = seen.clone();
        for half in [skeleton::ARMS, skeleton::LOWER_BODY] {
            let off = |is_exchanged: bool| {
                let of_half = seen.pixels.iter().filter(|pixel| half.contains(&pixel.landmark));
                let distance = |pixel: &SeenPixel| {
                    let here = if is_exchanged { mirrored(pixel.landmark) } else { pixel.landmark };
                    let [x, y] = pixel.at.map(f64::from);
                    self.at(here).distance(DVec2::new(x, y)) * f64::from(pixel.confidence)
                };
                of_half.map(distance).sum::<f64>()
            };
            // The head goes with the arms, as everywhere.
            let belongs = |landmark: usize| (landmark >= skeleton::LOWER_BODY.start) == (half == skeleton::LOWER_BODY);
            if off(true) < EXCHANGED * off(false) {
                let side = |landmark: &mut usize| {
                    *landmark = if belongs(*landmark) { mirrored(*landmark) } else { *landmark };
                };
                sided.pixels.iter_mut().for_each(|pixel| side(&mut pixel.landmark));
                sided.world.iter_mut().for_each(|(landmark, _)| side(landmark));
            }
        }
        sided
    }

    /// Moves the body this many displayed pixels to the right and down.
    pub fn shift(&mut self, by: DVec2) {
        let by = by.as_vec2();
        self.points.iter_mut().for_each(|p| (p.x, p.y) = (p.x + by.x, p.y + by.y));
        self.circle.iter_mut().for_each(|p| *p = [p[0] + by.x, p[1] + by.y]);
        let hands = self.hands.iter_mut().flatten();
        hands.for_each(|hand| hand.points.iter_mut().for_each(|p| *p = [p[0] + by.x, p[1] + by.y]));
    }

    /// Left, top, right and bottom of the box round all points, displayed pixels.
    pub fn bounds(&self) -> [f32; 4] {
        self.points.iter().fold([f32::MAX, f32::MAX, f32::MIN, f32::MIN], |b, p| {
            [b[0].min(p.x), b[1].min(p.y), b[2].max(p.x), b[3].max(p.y)]
        })
    }

    /// [`Landmarks::bounds`], as far as they lie in a picture of this size.
    pub fn visible_bounds(&self, display: [u32; 2]) -> [f32; 4] {
        let [width, height] = display.map(|v| v as f32);
        let [x0, y0, x1, y1] = self.bounds();
        [x0.clamp(0.0, width), y0.clamp(0.0, height), x1.clamp(0.0, width), y1.clamp(0.0, height)]
    }

    /// Diagonal of [`Landmarks::bounds`]: the scale of the person in pixels.
    pub fn extent(&self) -> f32 {
        let [x0, y0, x1, y1] = self.bounds();
        (x1 - x0).hypot(y1 - y0).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carried_landmarks_ask_for_the_region_they_were_carried_to() {
        let from = RotatedRegion { center: DVec2::new(100.0, 200.0), side: 80.0, rotation: 0.3 };
        let to = RotatedRegion { center: DVec2::new(30.0, 50.0), side: 40.0, rotation: -2.0 };
        let up = DMat2::from_angle(from.rotation) * DVec2::new(0.0, -from.side / 2.5);
        let circle = [from.center, from.center + up].map(|p| p.as_vec2().to_array());
        let points = [Landmark { x: 100.0, y: 240.0, ..Landmark::default() }; LANDMARKS];
        let landmarks = Landmarks { score: 1.0, points, circle, world: [[0.0; 3]; LANDMARKS], hands: [None, None] };
        assert!(landmarks.region().difference(&from) < 1e-5);
        let carried = landmarks.carried(&from, &to);
        assert!(carried.region().difference(&to) < 1e-5);
        // 40 pixels below the hips before; half as far now, turned by -2.3.
        let expected = to.center + DMat2::from_angle(-2.3) * DVec2::new(0.0, 20.0);
        let found = DVec2::new(
            f64::from(carried.points[skeleton::LEFT_EAR].x),
            f64::from(carried.points[skeleton::LEFT_EAR].y),
        );
        assert!(found.distance(expected) < 1e-4);
        assert!((landmarks.quality_at(0.3) - landmarks.score).abs() < 1e-6);
        assert!(landmarks.quality() < landmarks.quality_at(0.3));
    }
}
