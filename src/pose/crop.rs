//! What a network sees: a square of the displayed picture, or all of it shrunk, sampled straight from the frame's planar YUV; and the shrunk
//! luma by which the camera is followed.
//!
//! The convention for squares is MediaPipe's: bilinear, no half-pixel offset, so that crop pixel (u, v) of an n x n crop looks at
//! `center + R * (u * side / n - side / 2)`. Minified crops are not prefiltered, as MediaPipe's are not.

use glam::{DAffine2, DMat2, DVec2};

use super::RotatedRegion;
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

/// Coordinates of samples are fixed-point numbers with so many bits after the point.
const FRACTION_BITS: u32 = 32;
/// Bits of the weights in bilinear interpolation.
const WEIGHT_BITS: u32 = 14;
/// Coordinates of samples, and steps from one to the next, lie in this range, so that nothing overflows.
const FARTHEST: f64 = 1e8;
const LONGEST_STEP: f64 = 1e5;

/// Reads one sample of a row.
trait Sample {
    fn at(row: &[u8], index: usize) -> f32;

    /// As it is stored. `index` counts samples.
    fn whole(samples: &[u8], index: usize) -> i64;

    /// Bytes of a sample.
    const BYTES: usize;

    /// Adds `weight` times each sample of a row to `sum`.
    fn add_row(row: &[u8], weight: f32, sum: &mut [f32]);
}

struct Byte;
impl Sample for Byte {
    const BYTES: usize = 1;

    #[inline(always)]
    fn whole(samples: &[u8], index: usize) -> i64 {
        i64::from(samples[index])
    }

    #[inline(always)]
    fn at(row: &[u8], index: usize) -> f32 {
        f32::from(row[index])
    }

    fn add_row(row: &[u8], weight: f32, sum: &mut [f32]) {
        sum.iter_mut().zip(row).for_each(|(sum, &v)| *sum += weight * f32::from(v));
    }
}

struct Word;
impl Sample for Word {
    const BYTES: usize = 2;

    #[inline(always)]
    fn whole(samples: &[u8], index: usize) -> i64 {
        i64::from(u16::from_ne_bytes([samples[2 * index], samples[2 * index + 1]]))
    }

    #[inline(always)]
    fn at(row: &[u8], index: usize) -> f32 {
        f32::from(u16::from_ne_bytes([row[2 * index], row[2 * index + 1]]))
    }

    fn add_row(row: &[u8], weight: f32, sum: &mut [f32]) {
        let samples = row.as_chunks().0.iter().map(|&bytes| f32::from(u16::from_ne_bytes(bytes)));
        sum.iter_mut().zip(samples).for_each(|(sum, v)| *sum += weight * v);
    }
}

/// The two neighbours of a coordinate and how far it is towards the second; clamped to the plane.
#[inline(always)]
fn neighbours(position: f32, last: f32) -> (usize, usize, f32) {
    let clamped = position.max(0.0).min(last);
    let first = clamped as u32 as usize;
    (first, (first + 1).min(last as u32 as usize), clamped - first as f32)
}

/// A number of samples as a fixed-point number.
fn fixed(value: f64, most: f64) -> i64 {
    (value.clamp(-most, most) * (1_u64 << FRACTION_BITS) as f64) as i64
}

/// Planes of one size that are interpolated bilinearly at fixed-point coordinates of luma samples.
struct Raster {
    /// Samples from row to row.
    stride: usize,
    /// Coordinates of the last column and row.
    last: [i64; 2],
    /// Bits by which a plane is smaller than luma.
    shifts: [u8; 2],
    /// Coordinates of its first sample in luma samples.
    first: [i64; 2],
}

/// The four samples around a place, and what they count.
struct Neighbours {
    /// Index of the upper left one, and of the one below it.
    rows: [usize; 2],
    /// From these to the next on the right.
    right: usize,
    /// What the right ones and the lower ones count, of 2 to the power of [`WEIGHT_BITS`].
    weights: [i64; 2],
}

impl Raster {
    fn new<S: Sample>(plane: &Plane<'_>, shifts: [u8; 2], first: [f64; 2]) -> Self {
        let last = [plane.width, plane.height].map(|count| ((count - 1) as i64) << FRACTION_BITS);
        Self { stride: plane.stride / S::BYTES, last, shifts, first: first.map(|place| fixed(place, FARTHEST)) }
    }

    #[inline(always)]
    fn around(&self, x: i64, y: i64) -> Neighbours {
        let x = ((x - self.first[0]) >> self.shifts[0]).clamp(0, self.last[0]);
        let y = ((y - self.first[1]) >> self.shifts[1]).clamp(0, self.last[1]);
        let weight = |place: i64| (place >> (FRACTION_BITS - WEIGHT_BITS)) & ((1 << WEIGHT_BITS) - 1);
        let top = (y >> FRACTION_BITS) as usize * self.stride + (x >> FRACTION_BITS) as usize;
        // In the last column and row the neighbour counts nothing, and there is none.
        let below = if y < self.last[1] { self.stride } else { 0 };
        Neighbours { rows: [top, top + below], right: usize::from(x < self.last[0]), weights: [weight(x), weight(y)] }
    }
}

impl Neighbours {
    /// Their mean, times 2 to the power of twice [`WEIGHT_BITS`].
    #[inline(always)]
    fn mean<S: Sample>(&self, samples: &[u8]) -> f32 {
        let [across, down] = self.weights;
        let [top, bottom] = self.rows.map(|left| {
            let (left, right) = (S::whole(samples, left), S::whole(samples, left + self.right));
            (left << WEIGHT_BITS) + across * (right - left)
        });
        ((top << WEIGHT_BITS) + down * (bottom - top)) as f32
    }
}

/// How much of a bilinear sample at a coordinate comes from inside the picture.
fn inside(position: f32, last: f32) -> f32 {
    (position + 1.0).min(last + 1.0 - position).clamp(0.0, 1.0)
}

/// Along one axis: which samples make a pixel of the grid, and with what weights.
struct Taps {
    /// The first sample of each, and where its weights begin.
    starts: Vec<(usize, usize)>,
    weights: Vec<f32>,
    totals: Vec<f32>,
}

impl Taps {
    /// For `count` pixels of `each` places; `at` gives a place's two neighbours and its weight.
    fn new(count: usize, each: usize, at: impl Fn(usize) -> ((usize, usize, f32), f32)) -> Self {
        let mut taps =
            Self { starts: Vec::with_capacity(count + 1), weights: Vec::new(), totals: Vec::with_capacity(count) };
        for pixel in 0..count {
            let places: Vec<_> = (pixel * each..(pixel + 1) * each).map(&at).collect();
            let first = places.iter().map(|((first, ..), _)| *first).min().unwrap_or(0);
            let end = places.iter().map(|((_, second, _), _)| second + 1).max().unwrap_or(0);
            let begin = taps.weights.len();
            taps.starts.push((first, begin));
            taps.weights.resize(begin + end - first, 0.0);
            for ((a, b, share), weight) in &places {
                taps.weights[begin + a - first] += (1.0 - share) * weight;
                taps.weights[begin + b - first] += share * weight;
            }
            taps.totals.push(places.iter().map(|(_, weight)| weight).sum());
        }
        taps.starts.push((0, taps.weights.len()));
        taps
    }

    /// First sample of a pixel, and the weights from there on.
    fn of(&self, pixel: usize) -> (usize, &[f32]) {
        let (first, begin) = self.starts[pixel];
        (first, &self.weights[begin..self.starts[pixel + 1].1])
    }

    /// Sum of a pixel's weights: less than one where it lies partly outside.
    fn total(&self, pixel: usize) -> f32 {
        self.totals[pixel]
    }

    fn sum(&self, pixel: usize, samples: &[f32]) -> f32 {
        let (first, weights) = self.of(pixel);
        weights.iter().zip(&samples[first..]).map(|(weight, sample)| weight * sample).sum()
    }

    /// The rows of a plane that make a row of pixels, in `sum`.
    fn sum_rows<S: Sample>(&self, pixel: usize, plane: &Plane<'_>, sum: &mut [f32]) {
        sum.fill(0.0);
        let (first, weights) = self.of(pixel);
        for (row, &weight) in weights.iter().enumerate() {
            if weight != 0.0 {
                S::add_row(&plane.data[(first + row) * plane.stride..], weight, sum);
            }
        }
    }
}

/// A grid of pixels laid over the coded picture: the places that each pixel looks at.
struct Grid {
    map: DAffine2,
    /// Places across a pixel.
    each: usize,
    /// Whether the grid's rows run along the columns of the coded picture: it is shown lying.
    lies: bool,
    /// Pixels along the rows and along the columns of the coded picture.
    counts: [usize; 2],
}

impl Grid {
    /// `to_display` as for [`Picture::shrink`].
    fn new(geometry: &Geometry, to_display: DAffine2, size: [usize; 2]) -> Self {
        let scale = to_display.matrix2.x_axis.length();
        let each = ((scale / BILINEAR_REACH).round() as usize).clamp(1, MOST_SAMPLES);
        let map = geometry.to_coded
            * to_display
            * DAffine2::from_scale(DVec2::splat(1.0 / each as f64))
            * DAffine2::from_translation(DVec2::splat(0.5));
        let lies = map.matrix2.x_axis.x.abs() < map.matrix2.x_axis.y.abs();
        Self { map, each, lies, counts: if lies { [size[1], size[0]] } else { size } }
    }

    /// The samples of a plane along an axis of the coded picture (0: a row's). `siting` as from [`Picture::siting`]; `whole`:
    /// samples of luma along the axis, beyond which everything fades.
    fn taps(&self, axis: usize, (scale, shift): (f32, f32), samples: usize, whole: Option<usize>) -> Taps {
        let matrix = self.map.matrix2;
        let axes = if self.lies { [matrix.y_axis.x, matrix.x_axis.y] } else { [matrix.x_axis.x, matrix.y_axis.y] };
        let share = 1.0 / self.each as f32;
        Taps::new(self.counts[axis], self.each, |k| {
            let place = self.map.translation[axis] as f32 + axes[axis] as f32 * k as f32;
            let weight = whole.map_or(share, |whole| share * inside(place, (whole - 1) as f32));
            (neighbours((place - shift) * scale, (samples - 1) as f32), weight)
        })
    }

    /// Column and row in the grid of the `a`-th pixel along the coded picture's rows and `b`-th along its columns.
    fn pixel(&self, a: usize, b: usize) -> (usize, usize) {
        if self.lies { (b, a) } else { (a, b) }
    }
}

/// Greys what lies outside `bounds` (left, top, right, bottom of displayed pixels) in a crop of `region` with colours of 0..=1.
pub(super) fn grey_outside(bounds: [f32; 4], region: &RotatedRegion, size: usize, crop: &mut [f32]) {
    let turn = DMat2::from_angle(region.rotation) * (region.side / size as f64);
    let [left, top, right, bottom] = bounds.map(f64::from);
    let step = turn.x_axis;
    for (v, row) in crop.chunks_exact_mut(size * 3).enumerate() {
        let start = region.center + turn * (DVec2::new(0.0, v as f64) - 0.5 * size as f64);
        // The columns of this row that lie inside are those between two.
        let [mut first, mut end] = [0.0, size as f64];
        for (start, step, low, high) in [(start.x, step.x, left, right), (start.y, step.y, top, bottom)] {
            if step.abs() < 1e-9 {
                if !(low..=high).contains(&start) {
                    end = 0.0;
                }
            } else {
                let [a, b] = [(low - start) / step, (high - start) / step];
                first = first.max(a.min(b).ceil());
                end = end.min(a.max(b).floor() + 1.0);
            }
        }
        let end = (end.max(0.0) as usize).min(size);
        let first = (first as usize).min(end);
        row[..first * 3].fill(0.5);
        row[end * 3..].fill(0.5);
    }
}

impl Picture<'_> {
    /// Adds the square `region` to `out` (`size * size * 3`, row by row, R'G'B'); colours run from `low` to `high`.
    pub(super) fn crop(
        &self,
        region: &RotatedRegion,
        size: usize,
        border: Border,
        [low, high]: [f32; 2],
        out: &mut Vec<f32>,
    ) {
        let turn = DMat2::from_angle(region.rotation);
        let to_display = DAffine2::from_translation(region.center)
            * DAffine2::from_mat2(turn * (region.side / size as f64))
            * DAffine2::from_translation(DVec2::splat(-0.5 * size as f64));
        let begin = out.len();
        self.sample_grid(to_display, [size; 2], border, out);
        if [low, high] != [0.0, 1.0] {
            out[begin..].iter_mut().for_each(|v| *v = low + (high - low) * *v);
        }
    }

    /// Adds what lies at each whole coordinate of a grid to `out` (rows x columns x 3, R'G'B' of 0..=1). `to_display` brings these
    /// coordinates to displayed pixels, of which whole ones are the middles.
    pub(super) fn sample_grid(&self, to_display: DAffine2, size: [usize; 2], border: Border, out: &mut Vec<f32>) {
        let begin = out.len();
        out.resize(begin + size[0] * size[1] * 3, 0.0);
        if [0, 1, 2].map(|i| self.frame.plane(i)).iter().any(|p| p.width == 0 || p.height == 0) {
            return;
        }
        let map = self.geometry.to_coded * to_display;
        if self.frame.layout().depth > 8 {
            self.sample::<Word>(map, size, border, &mut out[begin..]);
        } else {
            self.sample::<Byte>(map, size, border, &mut out[begin..]);
        }
    }

    /// Fills `out` (rows x columns x 3, R'G'B' of 0..=1) with what lies under each pixel of a grid, the mean of several places where
    /// the grid's pixels are large. `to_display` brings the corners of the grid's pixels to displayed ones; it may scale and
    /// shift.
    pub(super) fn shrink(&self, to_display: DAffine2, size: [usize; 2], border: Border, out: &mut Vec<f32>) {
        out.clear();
        out.resize(size[0] * size[1] * 3, 0.0);
        if [0, 1, 2].map(|i| self.frame.plane(i)).iter().any(|p| p.width == 0 || p.height == 0) {
            return;
        }
        if self.frame.layout().depth > 8 {
            self.shrink_separably::<Word>(to_display, size, border, out);
        } else {
            self.shrink_separably::<Byte>(to_display, size, border, out);
        }
    }

    /// The luma (of 0..=255) of what [`Picture::shrink`] looks at.
    pub(crate) fn shrink_luma(&self, to_display: DAffine2, size: [usize; 2]) -> Vec<u8> {
        if self.frame.layout().depth > 8 {
            self.shrink_luma_of::<Word>(to_display, size)
        } else {
            self.shrink_luma_of::<Byte>(to_display, size)
        }
    }

    fn shrink_luma_of<S: Sample>(&self, to_display: DAffine2, size: [usize; 2]) -> Vec<u8> {
        let grid = Grid::new(self.geometry, to_display, size);
        let plane = self.frame.plane(0);
        let mut levels = vec![0; size[0] * size[1]];
        if plane.width == 0 || plane.height == 0 {
            return levels;
        }
        let taps = [0, 1].map(|axis| grid.taps(axis, (1.0, 0.0), [plane.width, plane.height][axis], None));
        let to_byte = 1.0 / f32::from(1_u16 << (self.frame.layout().depth - 8));
        let mut sum = vec![0.0; plane.width];
        for b in 0..grid.counts[1] {
            taps[1].sum_rows::<S>(b, &plane, &mut sum);
            for a in 0..grid.counts[0] {
                let (u, v) = grid.pixel(a, b);
                levels[v * size[0] + u] = (to_byte * taps[0].sum(a, &sum) + 0.5) as u8;
            }
        }
        levels
    }

    /// All of it is linear but for a last clamp, and the two directions are independent: rows are summed first, then columns.
    fn shrink_separably<S: Sample>(&self, to_display: DAffine2, size: [usize; 2], border: Border, out: &mut [f32]) {
        let grid = Grid::new(self.geometry, to_display, size);
        let fades = matches!(border, Border::Fill(_));
        let siting = self.siting();
        let taps = [0, 1, 2].map(|i| {
            let plane = self.frame.plane(i);
            let whole = [self.frame.plane(0).width, self.frame.plane(0).height];
            [0, 1].map(|axis| {
                let siting = if i == 0 { (1.0, 0.0) } else { siting[axis] };
                grid.taps(axis, siting, [plane.width, plane.height][axis], fades.then(|| whole[axis]))
            })
        });
        let matrix = self.color.yuv_to_rgb(self.frame.layout().depth);
        let beyond = if let Border::Fill(colour) = border { colour } else { 0.0 };
        let mut sums = [0, 1, 2].map(|i| vec![0.0; self.frame.plane(i).width]);
        for b in 0..grid.counts[1] {
            for (i, sum) in sums.iter_mut().enumerate() {
                taps[i][1].sum_rows::<S>(b, &self.frame.plane(i), sum);
            }
            for a in 0..grid.counts[0] {
                let [luma, cb, cr] = [0, 1, 2].map(|i| taps[i][0].sum(a, &sums[i]));
                let cover = taps[0][0].total(a) * taps[0][1].total(b);
                let (u, v) = grid.pixel(a, b);
                for (value, row) in out[(v * size[0] + u) * 3..][..3].iter_mut().zip(&matrix) {
                    let colour = row[0] * luma + row[1] * cb + row[2] * cr + row[3] * cover;
                    *value = colour.clamp(0.0, cover) + (1.0 - cover) * beyond;
                }
            }
        }
    }

    /// For each axis of the chroma planes: samples a luma sample, and the place of the first chroma sample in luma samples.
    /// Chroma is sited left: in line with even columns, halfway between the rows of a pair (MPEG-2 and H.264 default).
    fn siting(&self) -> [(f32, f32); 2] {
        let layout = self.frame.layout();
        let [x, y] = [layout.chroma_shift_x, layout.chroma_shift_y].map(|s| 1.0 / f32::from(1u8 << s));
        [(x, 0.0), (y, if layout.chroma_shift_y > 0 { 0.5 } else { 0.0 })]
    }

    /// Fills `out` with the colour (R'G'B' of 0..=1) at each whole coordinate of a grid, row by row. `map` brings these to samples of luma.
    fn sample<S: Sample>(&self, map: DAffine2, [columns, rows]: [usize; 2], border: Border, out: &mut [f32]) {
        let layout = self.frame.layout();
        let shifts = [layout.chroma_shift_x, layout.chroma_shift_y];
        let first = self.siting().map(|(_, first)| f64::from(first));
        let planes = [0, 1, 2].map(|i| self.frame.plane(i));
        let luma = Raster::new::<S>(&planes[0], [0; 2], [0.0; 2]);
        let chroma = Raster::new::<S>(&planes[1], shifts, first);
        let to_sample = 1.0 / (1_u32 << (2 * WEIGHT_BITS)) as f32;
        let matrix = self.color.yuv_to_rgb(layout.depth).map(|[y, cb, cr, whole]| {
            let [y, cb, cr] = [y, cb, cr].map(|weight| weight * to_sample);
            [y, cb, cr, whole]
        });
        let step = map.matrix2.x_axis;
        let [step_x, step_y] = step.to_array().map(|step| fixed(step, LONGEST_STEP));
        for (v, row) in out.chunks_exact_mut(columns * 3).take(rows).enumerate() {
            let start = map.transform_point2(DVec2::new(0.0, v as f64));
            let [mut x, mut y] = start.to_array().map(|place| fixed(place, FARTHEST));
            for pixel in row.as_chunks_mut::<3>().0 {
                let luma = luma.around(x, y).mean::<S>(planes[0].data);
                let chroma = chroma.around(x, y);
                let [cb, cr] = [1, 2].map(|i| chroma.mean::<S>(planes[i].data));
                *pixel = matrix.map(|row| (row[0] * luma + row[1] * cb + row[2] * cr + row[3]).clamp(0.0, 1.0));
                (x, y) = (x + step_x, y + step_y);
            }
            if let Border::Fill(colour) = border {
                // What bilinear interpolation with this colour beyond the last pixel comes to.
                let last = [planes[0].width, planes[0].height].map(|count| (count - 1) as f32);
                for (u, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                    let place = (start + step * u as f64).as_vec2();
                    let cover = inside(place.x, last[0]) * inside(place.y, last[1]);
                    pixel.iter_mut().for_each(|v| *v = cover * *v + (1.0 - cover) * colour);
                }
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

    fn crop(frame: &Frame, geometry: &Geometry, region: RotatedRegion, size: usize, border: Border) -> Vec<f32> {
        let mut out = Vec::new();
        Picture { frame, geometry, color: COLOR }.crop(&region, size, border, [0.0, 1.0], &mut out);
        out
    }

    #[test]
    fn every_layout_samples_the_same_picture_without_a_half_pixel_offset() {
        let geometry = Geometry::new([16, 12], 1.0, Orientation::default());
        let region = RotatedRegion { center: DVec2::new(6.5, 5.25), side: 4.0, rotation: 0.0 };
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
            RotatedRegion { center: DVec2::new(8.0, 6.0), side: 4.0, rotation: quarter },
            4,
            Border::Replicate,
        );
        // Turned clockwise, the crop's x axis is the picture's y axis, and its y axis points to the picture's left.
        let expected = |u: f32, v: f32| (10.0 * (8.0 - (v - 2.0)) + 6.0 + (u - 2.0)) / 255.0;
        assert!((out[0] - expected(0.0, 0.0)).abs() < 1e-3);
        assert!((out[(3 * 4 + 1) * 3] - expected(1.0, 3.0)).abs() < 1e-3);
    }

    #[test]
    fn only_what_is_within_is_seen() {
        let region = RotatedRegion { center: DVec2::new(8.0, 6.0), side: 8.0, rotation: std::f64::consts::FRAC_PI_2 };
        let mut crop = vec![1.0; 8 * 8 * 3];
        // Turned by a quarter, the crop's columns are the picture's rows from 2 on, its rows the picture's columns from 12 down.
        grey_outside([7.0, 0.0, 9.0, 5.0], &region, 8, &mut crop);
        let seen: Vec<usize> = (0..64).filter(|i| crop[i * 3] == 1.0).collect();
        let expected: Vec<usize> = (3..6).flat_map(|row| (0..4).map(move |column| row * 8 + column)).collect();
        assert_eq!(seen, expected);
        assert!(crop.iter().all(|&v| v == 1.0 || v == 0.5));
    }

    #[test]
    fn outside_is_replicated_or_black() {
        let geometry = Geometry::new([16, 12], 1.0, Orientation::default());
        let frame = ramp(Layout { depth: 8, chroma_shift_x: 1, chroma_shift_y: 1 });
        let region = RotatedRegion { center: DVec2::new(14.5, 6.0), side: 4.0, rotation: 0.0 };
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
        let region = RotatedRegion { center: DVec2::new(2.0, 3.0), side: 2.0, rotation: 0.0 };
        let out = crop(&frame, &geometry, region, 2, Border::Replicate);
        let coded = geometry.to_coded.transform_point2(DVec2::new(1.0, 2.0));
        assert!((out[0] - ((10.0 * coded.x + coded.y) / 255.0) as f32).abs() < 1e-3);
    }

    /// Mean of places, each sampled by itself.
    fn shrunk_one_by_one(picture: &Picture<'_>, to_display: DAffine2, size: [usize; 2], border: Border) -> Vec<f32> {
        let each = ((to_display.matrix2.x_axis.length() / BILINEAR_REACH).round() as usize).clamp(1, MOST_SAMPLES);
        let map = to_display
            * DAffine2::from_scale(DVec2::splat(1.0 / each as f64))
            * DAffine2::from_translation(DVec2::splat(0.5));
        let (mut out, mut places) = (vec![0.0; size[0] * size[1] * 3], Vec::new());
        picture.sample_grid(map, size.map(|n| n * each), border, &mut places);
        for (at, colour) in places.as_chunks::<3>().0.iter().enumerate() {
            let (x, y) = (at % (size[0] * each) / each, at / (size[0] * each) / each);
            let pixel = &mut out[(y * size[0] + x) * 3..][..3];
            pixel.iter_mut().zip(colour).for_each(|(sum, v)| *sum += v / (each * each) as f32);
        }
        out
    }

    #[test]
    fn a_shrunk_picture_is_the_mean_of_its_places_however_it_lies() {
        let mut worst = 0.0f32;
        for (depth, chroma_shift_x, chroma_shift_y) in [(8, 1, 1), (10, 1, 0), (8, 0, 0)] {
            let layout = Layout { depth, chroma_shift_x, chroma_shift_y };
            let (w, h) = (46usize, 30usize);
            let chroma = (w >> chroma_shift_x) * (h >> chroma_shift_y);
            let mut data = Vec::new();
            let mut push =
                |v: usize| if depth > 8 { data.extend((v as u16 * 4).to_ne_bytes()) } else { data.push(v as u8) };
            (0..w * h).for_each(|i| push(60 + i * i * 31 % 120));
            (0..2 * chroma).for_each(|i| push(118 + i * i * 17 % 20));
            let frame = Frame::from_planes([w as u32, h as u32], layout, &data, 0, 0.0).unwrap();
            for (quarter_turns, mirrored) in (0..4).flat_map(|turns| [(turns, false), (turns, true)]) {
                let geometry = Geometry::new([w as u32, h as u32], 1.25, Orientation { quarter_turns, mirrored });
                let picture = Picture { frame: &frame, geometry: &geometry, color: COLOR };
                for scale in [0.5, 1.7, 3.9, 11.0] {
                    let to_display =
                        DAffine2::from_translation(DVec2::new(-1.3, -0.6)) * DAffine2::from_scale(DVec2::splat(scale));
                    for border in [Border::Replicate, Border::Fill(0.4)] {
                        let (size, mut out) = ([13, 9], Vec::new());
                        picture.shrink(to_display, size, border, &mut out);
                        let expected = shrunk_one_by_one(&picture, to_display, size, border);
                        let off = out.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                        worst = worst.max(off);
                        assert!(out.iter().any(|&v| v > 0.41), "there is something to see");
                        if border == Border::Replicate {
                            let levels = picture.shrink_luma(to_display, size);
                            for (level, c) in levels.iter().zip(out.as_chunks::<3>().0) {
                                let luma = 255.0 * (0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]);
                                assert!((f32::from(*level) - luma).abs() < 1.0, "{depth} bit: {level}, not {luma}");
                            }
                        }
                    }
                }
            }
        }
        assert!(worst < 1e-4, "{worst}");
    }
}
