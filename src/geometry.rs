//! The one coordinate system of pictures, and how it maps to the samples a decoder gives.
//!
//! Everything outside `media` speaks in **displayed pixels**: the picture as a viewer sees it, after rotation
//! metadata and with square pixels. The centre of the top-left pixel is (0, 0), x to the right, y down (the convention of
//! the BlazePose networks; OpenGL window coordinates are this plus one half).
//! **Coded pixels** are the samples of the luma plane, same convention. Chroma coordinates are derived from coded ones
//! where they are needed.

use glam::{DAffine2, DMat2, DVec2};

/// The number of clockwise quarter turns (0..=3) nearest to an angle in radians.
pub fn quarter_turns(angle: f64) -> u8 {
    (angle / std::f64::consts::FRAC_PI_2).round().rem_euclid(4.0) as u8
}

/// Distance of a point from the straight line that ends in two others.
pub fn distance_from_segment(point: DVec2, [a, b]: [DVec2; 2]) -> f64 {
    let (along, from_a) = (b - a, point - a);
    let share = (from_a.dot(along) / along.length_squared().max(1e-6)).clamp(0.0, 1.0);
    point.distance(a + along * share)
}

/// Quarter turns and mirroring that bring the coded picture to the displayed one, as in a container's display matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Orientation {
    /// Clockwise quarter turns (0..=3) a player applies to the coded picture (after `mirrored`).
    pub quarter_turns: u8,
    /// Whether the coded picture is flipped left to right before it is turned.
    pub mirrored: bool,
}

/// Size of the coded and of the displayed picture, and the map between them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometry {
    /// Width and height of the luma plane.
    pub coded: [u32; 2],
    /// Width and height of the displayed picture in square pixels.
    pub display: [u32; 2],
    /// Displayed pixel -> coded pixel.
    pub to_coded: DAffine2,
}

impl Geometry {
    /// `sample_aspect` is the width of a sample over its height (1.0 when unknown). The displayed picture keeps the
    /// coded height (before turning) and scales the width.
    pub fn new(coded: [u32; 2], sample_aspect: f64, orientation: Orientation) -> Self {
        let sar = if sample_aspect.is_finite() && sample_aspect > 0.0 { sample_aspect } else { 1.0 };
        let [w, h] = coded.map(f64::from);
        let square = [(w * sar).round().max(1.0), h];
        let turned = orientation.quarter_turns % 2 == 1;
        let display = if turned { [square[1], square[0]] } else { square };
        // Work with pixel edges as integers (corner coordinates), then shift by half a pixel on both sides.
        let half = DAffine2::from_translation(DVec2::splat(0.5));
        let to_unit = DAffine2::from_scale(DVec2::new(1.0 / display[0], 1.0 / display[1]));
        let about_centre = |m: DMat2| {
            DAffine2::from_translation(DVec2::splat(0.5))
                * DAffine2::from_mat2(m)
                * DAffine2::from_translation(DVec2::splat(-0.5))
        };
        // A clockwise quarter turn (y down) maps (x, y) to (-y, x); here its inverse, displayed -> coded.
        let mut back = DMat2::IDENTITY;
        for _ in 0..orientation.quarter_turns % 4 {
            back = DMat2::from_cols(DVec2::new(0.0, -1.0), DVec2::new(1.0, 0.0)) * back;
        }
        if orientation.mirrored {
            back = DMat2::from_diagonal(DVec2::new(-1.0, 1.0)) * back;
        }
        let to_coded = half.inverse() * DAffine2::from_scale(DVec2::new(w, h)) * about_centre(back) * to_unit * half;
        Self { coded, display: [display[0] as u32, display[1] as u32], to_coded }
    }
}

/// An axis-aligned rectangle of whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width; zero when empty.
    pub width: u32,
    /// Height; zero when empty.
    pub height: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upright_is_identity() {
        let g = Geometry::new([640, 480], 1.0, Orientation::default());
        assert_eq!(g.display, [640, 480]);
        let p = DVec2::new(12.0, 34.0);
        assert!((g.to_coded.transform_point2(p) - p).length() < 1e-9);
    }

    #[test]
    fn quarter_turn_clockwise_puts_the_coded_left_bottom_corner_top_left() {
        let g = Geometry::new([640, 480], 1.0, Orientation { quarter_turns: 1, mirrored: false });
        assert_eq!(g.display, [480, 640]);
        let top_left = g.to_coded.transform_point2(DVec2::ZERO);
        assert!((top_left - DVec2::new(0.0, 479.0)).length() < 1e-9, "{top_left}");
        let top_right = g.to_coded.transform_point2(DVec2::new(479.0, 0.0));
        assert!((top_right - DVec2::new(0.0, 0.0)).length() < 1e-9, "{top_right}");
    }

    #[test]
    fn wide_samples_widen_the_displayed_picture() {
        let g = Geometry::new([720, 576], 64.0 / 45.0, Orientation::default());
        assert_eq!(g.display, [1024, 576]);
        let right = g.to_coded.transform_point2(DVec2::new(1023.5, 0.0));
        assert!((right.x - 719.5).abs() < 1e-9, "{right}");
    }

    #[test]
    fn mirroring_swaps_left_and_right() {
        let g = Geometry::new([10, 4], 1.0, Orientation { quarter_turns: 0, mirrored: true });
        assert!((g.to_coded.transform_point2(DVec2::ZERO) - DVec2::new(9.0, 0.0)).length() < 1e-9);
    }
}
