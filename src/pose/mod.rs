//! Where people are in a picture, and where their 33 BlazePose landmarks are.
//!
//! Everything here is stateless: a picture and a region in, numbers out. What belongs to whom over time is `track`.

mod crop;
mod detector;
mod finder;
mod landmarker;
mod optimized;
mod runtime;
mod worker;

pub use crop::Picture;
pub use detector::{Detection, Detector, Window, merge};
pub use finder::{Figure, Finder, View};
pub(crate) use finder::{best, overlap};
pub use landmarker::Landmarker;
pub use runtime::{Device, GPU_MEND, PoseError, Runtime};
pub use worker::{Found, Look, Sight, Work, Worker};

use glam::{DMat2, DVec2};
use serde::{Deserialize, Serialize};
use serde_big_array::BigArray;

/// A rotated square round a person, in displayed pixels: what a landmark network looks at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// Middle of the square (the middle of the hips).
    pub center: DVec2,
    /// Side length in pixels.
    pub side: f64,
    /// Clockwise rotation (y down) in radians, 0 for an upright person.
    pub rotation: f64,
}

/// Where to look for one person.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spot {
    /// What the network is shown.
    pub region: Region,
    /// Where others stand too near: left, top, right and bottom of what may be seen, in displayed pixels. The rest is greyed, because
    /// the network, made for one person alone, looks at the most prominent one in the region.
    pub within: Option<[f32; 4]>,
}

impl From<Region> for Spot {
    fn from(region: Region) -> Self {
        Self { region, within: None }
    }
}

impl Region {
    /// The square that MediaPipe looks at for a person: `center` between the hips, `rim` on the circle round the whole
    /// body above the head, both in displayed pixels; a quarter larger than that circle.
    pub fn from_circle(center: [f32; 2], rim: [f32; 2]) -> Self {
        let [center, rim] = [center, rim].map(|p| DVec2::new(f64::from(p[0]), f64::from(p[1])));
        let up = rim - center;
        let turn = std::f64::consts::FRAC_PI_2 - f64::atan2(-up.y, up.x);
        Self { center, side: 2.5 * up.length(), rotation: wrap_angle(turn) }
    }

    /// Whether a crop of this square can be taken at all.
    pub fn is_usable(&self) -> bool {
        self.center.is_finite() && self.rotation.is_finite() && self.side.is_finite() && self.side >= 8.0
    }

    /// How far another square is from this one: distance of the centres and difference of the sides, over the smaller
    /// side, and the difference of the angles in radians; the largest of the three.
    pub fn difference(&self, other: &Region) -> f64 {
        let smaller = self.side.min(other.side).max(1.0);
        let centers = self.center.distance(other.center) / smaller;
        let sides = (self.side - other.side).abs() / smaller;
        centers.max(sides).max(wrap_angle(self.rotation - other.rotation).abs())
    }
}

/// The same angle in (-pi, pi].
pub fn wrap_angle(angle: f64) -> f64 {
    use std::f64::consts::PI;
    angle - 2.0 * PI * ((angle + PI) / (2.0 * PI)).floor()
}

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

/// Number of BlazePose body landmarks.
pub const LANDMARKS: usize = 33;

/// BlazePose indices of shoulders, elbows, wrists, hips, knees and ankles.
pub const JOINTS: [usize; 12] = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28];

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
}

impl Landmarks {
    /// The region that the landmarks themselves ask for.
    pub fn region(&self) -> Region {
        Region::from_circle(self.circle[0], self.circle[1])
    }

    /// Mean visibility of shoulders and hips.
    pub fn torso_visibility(&self) -> f32 {
        [11, 12, 23, 24].iter().map(|&i: &usize| self.points[i].visibility).sum::<f32>() / 4.0
    }

    /// How much of a person a find is; the better of two finds of one person is kept. The networks were made for people
    /// who stand: what they find lying is more often a mistake (for one who lies, all finds do).
    pub fn quality(&self) -> f32 {
        self.quality_at(0.0)
    }

    /// The same for one who should be turned by `rotation` (radians).
    pub fn quality_at(&self, rotation: f64) -> f32 {
        let turned = wrap_angle(self.region().rotation - rotation).abs();
        self.score + self.torso_visibility() - 0.25 * turned as f32
    }

    /// The same body moved, turned and scaled in the picture as `from` must be to become `to`; depth and world stay.
    pub fn carried(&self, from: &Region, to: &Region) -> Self {
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
        carried
    }

    /// Moves the body this many displayed pixels to the right and down.
    pub fn shift(&mut self, by: DVec2) {
        let by = by.as_vec2();
        self.points.iter_mut().for_each(|p| (p.x, p.y) = (p.x + by.x, p.y + by.y));
        self.circle.iter_mut().for_each(|p| *p = [p[0] + by.x, p[1] + by.y]);
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
        let from = Region { center: DVec2::new(100.0, 200.0), side: 80.0, rotation: 0.3 };
        let to = Region { center: DVec2::new(30.0, 50.0), side: 40.0, rotation: -2.0 };
        let up = DMat2::from_angle(from.rotation) * DVec2::new(0.0, -from.side / 2.5);
        let circle = [from.center, from.center + up].map(|p| p.as_vec2().to_array());
        let points = [Landmark { x: 100.0, y: 240.0, ..Landmark::default() }; LANDMARKS];
        let landmarks = Landmarks { score: 1.0, points, circle, world: [[0.0; 3]; LANDMARKS] };
        assert!(landmarks.region().difference(&from) < 1e-5);
        let carried = landmarks.carried(&from, &to);
        assert!(carried.region().difference(&to) < 1e-5);
        // 40 pixels below the hips before; half as far now, turned by -2.3.
        let expected = to.center + DMat2::from_angle(-2.3) * DVec2::new(0.0, 20.0);
        let found = DVec2::new(f64::from(carried.points[7].x), f64::from(carried.points[7].y));
        assert!(found.distance(expected) < 1e-4);
        assert!((landmarks.quality_at(0.3) - landmarks.score).abs() < 1e-6);
        assert!(landmarks.quality() < landmarks.quality_at(0.3));
    }
}
