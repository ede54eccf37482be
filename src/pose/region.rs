//! The part of the picture that a landmark network looks at: a square, turned as the person is, of which a part may be masked.

use glam::DVec2;
use serde::{Deserialize, Serialize};

use super::Silhouette;

/// A rotated square round a person, in displayed pixels: what a landmark network looks at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RotatedRegion {
    /// Middle of the square (the middle of the hips).
    pub center: DVec2,
    /// Side length in pixels.
    pub side: f64,
    /// Clockwise rotation (y down) in radians, 0 for an upright person.
    pub rotation: f64,
}

/// Where a landmark network looks for one person.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskedRegion {
    /// The square that the network is shown.
    pub region: RotatedRegion,
    /// Where others stand too near: left, top, right and bottom of what may be seen, displayed pixels. The rest is greyed, because the
    /// network, which is made for one person alone, finds the most prominent one in the region.
    pub within: Option<[f32; 4]>,
    /// People in front, who are painted over for the same reason.
    pub hidden: Vec<Silhouette>,
}

impl From<RotatedRegion> for MaskedRegion {
    fn from(region: RotatedRegion) -> Self {
        Self { region, within: None, hidden: Vec::new() }
    }
}

impl RotatedRegion {
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
    pub fn difference(&self, other: &RotatedRegion) -> f64 {
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
