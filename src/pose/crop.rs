//! What a network sees: a square of the displayed picture, or all of it shrunk, sampled straight from the frame's planar YUV.
//!
//! The convention for squares is MediaPipe's: bilinear, no half-pixel offset, so that crop pixel (u, v) of an n x n crop looks at
//! `center + R * (u * side / n - side / 2)`. Minified crops are not prefiltered, as MediaPipe's are not.

use glam::{DAffine2, DMat2, DVec2};

use super::Region;
use crate::{
    geometry::Geometry,
    media::{Color, Frame, Plane},
};

/// A frame and all that is needed to look at it in displayed pixels and RGB.
#[derive(Clone, Copy)]
pub struct Picture<'a> {
    /// The samples.
    pub frame: &'a Frame,
    /// Displayed pixels to samples.
    pub geometry: &'a Geometry,
    /// What the samples mean.
    pub color: Color,
}

/// What lies outside the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Border {
    /// The nearest pixel of the picture.
    Replicate,
    /// This, of 0..=1, in every channel.
    Fill(f32),
}

/// Pixels that bilinear interpolation at one place takes in well enough.
const BILINEAR_REACH: f64 = 2.0;
/// Samples across a pixel of a shrunk picture, at most.
const MOST_SAMPLES: usize = 4;

/// Reads one sample of a row.
trait Sample {
    fn at(row: &[u8], index: usize) -> f32;
}

struct Byte;
impl Sample for Byte {
    #[inline(always)]
    fn at(row: &[u8], index: usize) -> f32 {
        f32::from(row[index])
    }
}

struct Word;
impl Sample for Word {
    #[inline(always)]
    fn at(row: &[u8], index: usize) -> f32 {
        f32::from(u16::from_ne_bytes([row[2 * index], row[2 * index + 1]]))
    }
}

/// The two neighbours of a coordinate and how far it is towards the second; clamped to the plane.
#[inline(always)]
fn neighbours(position: f32, last: f32) -> (usize, usize, f32) {
    let clamped = position.max(0.0).min(last);
    let first = clamped as u32 as usize;
    (first, (first + 1).min(last as u32 as usize), clamped - first as f32)
}

#[inline(always)]
fn bilinear<S: Sample>(plane: &Plane<'_>, (x0, x1, fx): (usize, usize, f32), (y0, y1, fy): (usize, usize, f32)) -> f32 {
    let (top, bottom) = (&plane.data[y0 * plane.stride..], &plane.data[y1 * plane.stride..]);
    let a = S::at(top, x0);
    let a = a + fx * (S::at(top, x1) - a);
    let b = S::at(bottom, x0);
    let b = b + fx * (S::at(bottom, x1) - b);
    a + fy * (b - a)
}

impl Picture<'_> {
    /// Adds the square `region` to `out` (`size * size * 3`, row by row, R'G'B'); colours run from `low` to `high`.
    pub(super) fn crop(&self, region: &Region, size: usize, border: Border, [low, high]: [f32; 2], out: &mut Vec<f32>) {
        out.reserve(size * size * 3);
        let turn = DMat2::from_angle(region.rotation);
        let to_display = DAffine2::from_translation(region.center)
            * DAffine2::from_mat2(turn * (region.side / size as f64))
            * DAffine2::from_translation(DVec2::splat(-0.5 * size as f64));
        let to_coded = self.geometry.to_coded * to_display;
        let emit = |colour: [f32; 3]| out.extend(colour.map(|v| low + (high - low) * v));
        self.sample_any(to_coded, [size; 2], border, emit);
    }

    /// Fills `out` (rows x columns x 3, R'G'B' of 0..=1) with what lies under each pixel of a grid, the mean of several places where
    /// the grid's pixels are large. `to_display` brings the corners of the grid's pixels to displayed ones.
    pub(super) fn shrink(&self, to_display: DAffine2, [columns, rows]: [usize; 2], border: Border, out: &mut Vec<f32>) {
        let scale = to_display.matrix2.x_axis.length();
        let each = ((scale / BILINEAR_REACH).round() as usize).clamp(1, MOST_SAMPLES);
        let to_coded = self.geometry.to_coded
            * to_display
            * DAffine2::from_scale(DVec2::splat(1.0 / each as f64))
            * DAffine2::from_translation(DVec2::splat(0.5));
        let share = 1.0 / (each * each) as f32;
        out.clear();
        out.resize(columns * rows * 3, 0.0);
        let (wide, mut at) = (columns * each, 0);
        self.sample_any(to_coded, [wide, rows * each], border, |colour| {
            let (x, y) = (at % wide / each, at / wide / each);
            at += 1;
            let pixel = &mut out[(y * columns + x) * 3..][..3];
            pixel.iter_mut().zip(colour).for_each(|(sum, v)| *sum += share * v);
        });
    }

    /// Gives `emit` the colour (R'G'B' of 0..=1) at each whole coordinate of a grid, row by row.
    fn sample_any(&self, to_coded: DAffine2, size: [usize; 2], border: Border, emit: impl FnMut([f32; 3])) {
        if self.frame.layout().depth > 8 {
            self.sample::<Word>(to_coded, size, border, emit);
        } else {
            self.sample::<Byte>(to_coded, size, border, emit);
        }
    }

    fn sample<S: Sample>(
        &self,
        map: DAffine2,
        [columns, rows]: [usize; 2],
        border: Border,
        mut emit: impl FnMut([f32; 3]),
    ) {
        let planes = [0, 1, 2].map(|i| self.frame.plane(i));
        if planes.iter().any(|p| p.width == 0 || p.height == 0) {
            (0..columns * rows).for_each(|_| emit([0.0; 3]));
            return;
        }
        let layout = self.frame.layout();
        let matrix = self.color.yuv_to_rgb(layout.depth);
        let last = |n: usize| (n - 1) as f32;
        let luma_last = [last(planes[0].width), last(planes[0].height)];
        let chroma_last = [last(planes[1].width), last(planes[1].height)];
        // Chroma is sited left: in line with even columns, halfway between the rows of a pair (MPEG-2 and H.264 default).
        let chroma_scale = [layout.chroma_shift_x, layout.chroma_shift_y].map(|s| 1.0 / f32::from(1u8 << s));
        let chroma_y_shift = if layout.chroma_shift_y > 0 { 0.5 } else { 0.0 };
        let step = map.matrix2.x_axis.as_vec2();
        for v in 0..rows {
            let start = map.transform_point2(DVec2::new(0.0, v as f64)).as_vec2();
            for u in 0..columns {
                let (x, y) = (start.x + step.x * u as f32, start.y + step.y * u as f32);
                let luma = bilinear::<S>(&planes[0], neighbours(x, luma_last[0]), neighbours(y, luma_last[1]));
                let cx = neighbours(x * chroma_scale[0], chroma_last[0]);
                let cy = neighbours((y - chroma_y_shift) * chroma_scale[1], chroma_last[1]);
                let (b, r) = (bilinear::<S>(&planes[1], cx, cy), bilinear::<S>(&planes[2], cx, cy));
                let (cover, beyond) = match border {
                    Border::Replicate => (1.0, 0.0),
                    // What bilinear interpolation with this colour beyond the last pixel comes to.
                    Border::Fill(colour) => {
                        let inside = |p: f32, last: f32| (p + 1.0).min(last + 1.0 - p).clamp(0.0, 1.0);
                        let cover = inside(x, luma_last[0]) * inside(y, luma_last[1]);
                        (cover, (1.0 - cover) * colour)
                    }
                };
                emit(matrix.map(|row| {
                    let value = (row[0] * luma + row[1] * b + row[2] * r + row[3]).clamp(0.0, 1.0);
                    cover * value + beyond
                }));
            }
        }
    }

    /// Y, Cb and Cr at a displayed pixel, each 0..=255 whatever the depth (the nearest samples).
    pub(super) fn yuv_at(&self, point: DVec2) -> [f32; 3] {
        let layout = self.frame.layout();
        let p = self.geometry.to_coded.transform_point2(point);
        let scale = 1.0 / f32::from(1u16 << (layout.depth - 8));
        [0, 1, 2].map(|i| {
            let plane = self.frame.plane(i);
            let (sx, sy) = if i == 0 { (0, 0) } else { (layout.chroma_shift_x, layout.chroma_shift_y) };
            let index =
                |v: f64, shift: u8, len: usize| ((v.max(0.0) + 0.5) as usize >> shift).min(len.saturating_sub(1));
            let (x, y) = (index(p.x, sx, plane.width), index(p.y, sy, plane.height));
            let row = plane.data.get(y * plane.stride..).unwrap_or(&[]);
            if row.len() < (x + 1) * layout.bytes_per_sample() {
                return 0.0;
            }
            scale * if layout.depth > 8 { Word::at(row, x) } else { Byte::at(row, x) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        geometry::Orientation,
        media::{Layout, Matrix, Range},
    };

    const COLOR: Color = Color { matrix: Matrix::Bt709, range: Range::Full };

    /// Luma is `10 x + y` (8 bit) or four times that (10 bit), chroma neutral.
    fn ramp(layout: Layout) -> Frame {
        let (w, h) = (16usize, 12usize);
        let (cw, ch) = (w >> layout.chroma_shift_x, h >> layout.chroma_shift_y);
        let mut data = Vec::new();
        let mut push = |v: u16| {
            if layout.depth > 8 { data.extend((v * 4).to_ne_bytes()) } else { data.push(v as u8) }
        };
        (0..w * h).for_each(|i| push((10 * (i % w) + i / w) as u16));
        (0..2 * cw * ch).for_each(|_| push(128));
        Frame::from_planes([w as u32, h as u32], layout, &data, 0, 0.0).unwrap()
    }

    fn crop(frame: &Frame, geometry: &Geometry, region: Region, size: usize, border: Border) -> Vec<f32> {
        let mut out = Vec::new();
        Picture { frame, geometry, color: COLOR }.crop(&region, size, border, [0.0, 1.0], &mut out);
        out
    }

    #[test]
    fn every_layout_samples_the_same_picture_without_a_half_pixel_offset() {
        let geometry = Geometry::new([16, 12], 1.0, Orientation::default());
        let region = Region { center: DVec2::new(6.5, 5.25), side: 4.0, rotation: 0.0 };
        for (depth, tolerance) in [(8, 1e-3), (10, 2e-2)] {
            for (chroma_shift_x, chroma_shift_y) in [(1, 1), (1, 0), (0, 0)] {
                let frame = ramp(Layout { depth, chroma_shift_x, chroma_shift_y });
                let out = crop(&frame, &geometry, region, 4, Border::Replicate);
                for v in 0..4 {
                    for u in 0..4 {
                        let expected = (10.0 * (4.5 + u as f32) + 3.25 + v as f32) / 255.0;
                        assert!((out[(v * 4 + u) * 3] - expected).abs() < tolerance, "{depth} {u} {v}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_turned_region_turns_the_crop() {
        let geometry = Geometry::new([16, 12], 1.0, Orientation::default());
        let frame = ramp(Layout { depth: 8, chroma_shift_x: 1, chroma_shift_y: 1 });
        let quarter = std::f64::consts::FRAC_PI_2;
        let out = crop(
            &frame,
            &geometry,
            Region { center: DVec2::new(8.0, 6.0), side: 4.0, rotation: quarter },
            4,
            Border::Replicate,
        );
        // Turned clockwise, the crop's x axis is the picture's y axis, and its y axis points to the picture's left.
        let expected = |u: f32, v: f32| (10.0 * (8.0 - (v - 2.0)) + 6.0 + (u - 2.0)) / 255.0;
        assert!((out[0] - expected(0.0, 0.0)).abs() < 1e-3);
        assert!((out[(3 * 4 + 1) * 3] - expected(1.0, 3.0)).abs() < 1e-3);
    }

    #[test]
    fn outside_is_replicated_or_black() {
        let geometry = Geometry::new([16, 12], 1.0, Orientation::default());
        let frame = ramp(Layout { depth: 8, chroma_shift_x: 1, chroma_shift_y: 1 });
        let region = Region { center: DVec2::new(14.5, 6.0), side: 4.0, rotation: 0.0 };
        let replicated = crop(&frame, &geometry, region, 4, Border::Replicate);
        let black = crop(&frame, &geometry, region, 4, Border::Fill(0.0));
        let edge = (150.0 + 6.0) / 255.0;
        assert!((replicated[(2 * 4 + 3) * 3] - edge).abs() < 1e-3);
        assert!((black[(2 * 4 + 3) * 3] - edge / 2.0).abs() < 1e-3, "half a pixel outside is half black");
    }

    #[test]
    fn displayed_pixels_follow_the_orientation() {
        let geometry = Geometry::new([16, 12], 1.0, Orientation { quarter_turns: 1, mirrored: false });
        let frame = ramp(Layout { depth: 8, chroma_shift_x: 1, chroma_shift_y: 1 });
        let region = Region { center: DVec2::new(2.0, 3.0), side: 2.0, rotation: 0.0 };
        let out = crop(&frame, &geometry, region, 2, Border::Replicate);
        let coded = geometry.to_coded.transform_point2(DVec2::new(1.0, 2.0));
        assert!((out[0] - ((10.0 * coded.x + coded.y) / 255.0) as f32).abs() < 1e-3);
    }
}
