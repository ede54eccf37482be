//! Putting an [`Overlay`] into a frame's own YUV planes. Samples that no drawn pixel touches stay as the decoder gave them.
//!
//! With premultiplied colour `c`, opacity `a` and the affine map `m c + a o` to code values, every sample becomes
//! `v (1 - a) + m c + a o`. Chroma uses the mean of `c` and `a` over the luma samples it covers.

use super::Overlay;
use crate::geometry::Rect;
use crate::media::{Color, Frame, Layout, PlaneMut};

/// Blends `overlay`, moved by so many coded pixels, into `frame`.
pub fn blend(frame: &mut Frame, overlay: &Overlay, moved: [u32; 2], color: Color) {
    let Some(rect) = inside(overlay, moved, frame.size()) else { return };
    frame.make_writable();
    let layout = frame.layout();
    let rows = color.rgb_to_yuv(layout.depth).map(Weights::new);
    let spans = opaque_spans(overlay, rect);
    luma(frame.plane_mut(0), layout, overlay, rect, &spans, rows[0]);
    chroma(frame, overlay, rect, &spans, [rows[1], rows[2]]);
}

/// Fills a rectangle of coded pixels with one colour, R'G'B' in 0..=1. Chroma that it shares with pixels outside is filled as well.
pub fn fill(frame: &mut Frame, rect: Rect, rgb: [f32; 3], color: Color) {
    frame.make_writable();
    let layout = frame.layout();
    for (index, row) in color.rgb_to_yuv(layout.depth).iter().enumerate() {
        let value = (row[0] * rgb[0] + row[1] * rgb[1] + row[2] * rgb[2] + row[3]).round() as u16;
        each_line(frame, index, rect, |line| match layout.bytes_per_sample() {
            1 => line.fill(value as u8),
            _ => line.as_chunks_mut::<2>().0.fill(value.to_ne_bytes()),
        });
    }
}

/// Darkens a rectangle of coded pixels: by 0 nothing changes, by 1 it becomes black.
pub fn dim(frame: &mut Frame, rect: Rect, by: f32, color: Color) {
    if by.is_nan() || by <= 0.0 {
        return;
    }
    frame.make_writable();
    let layout = frame.layout();
    let keep = 1.0 - by.min(1.0);
    for (index, row) in color.rgb_to_yuv(layout.depth).iter().enumerate() {
        let black = row[3];
        let dimmed = |value: u16| (black + (f32::from(value) - black) * keep).round() as u16;
        let table: [u8; 256] = std::array::from_fn(|value| dimmed(value as u16) as u8);
        each_line(frame, index, rect, |line| match layout.bytes_per_sample() {
            1 => line.iter_mut().for_each(|sample| *sample = table[usize::from(*sample)]),
            _ => {
                let samples = line.as_chunks_mut::<2>().0;
                samples.iter_mut().for_each(|s| *s = dimmed(u16::from_ne_bytes(*s)).to_ne_bytes());
            }
        });
    }
}

/// Shows `change` each row of samples of a plane that lie in a rectangle of coded pixels.
fn each_line(frame: &mut Frame, index: usize, rect: Rect, mut change: impl FnMut(&mut [u8])) {
    let layout = frame.layout();
    let shifts = match index {
        0 => [0, 0],
        _ => [layout.chroma_shift_x, layout.chroma_shift_y],
    };
    let plane = frame.plane_mut(index);
    let ends = [rect.x.saturating_add(rect.width), rect.y.saturating_add(rect.height)];
    let [from_x, from_y] = [rect.x >> shifts[0], rect.y >> shifts[1]].map(|v| v as usize);
    let to = |axis: usize, most: usize| (ends[axis].div_ceil(1 << shifts[axis]) as usize).min(most);
    let (to_x, to_y) = (to(0, plane.width), to(1, plane.height));
    let bytes = layout.bytes_per_sample();
    let lines = plane.data.chunks_mut(plane.stride.max(1)).take(to_y).skip(from_y);
    lines.filter_map(|line| line.get_mut(from_x * bytes..to_x.max(from_x) * bytes)).for_each(&mut change);
}

/// One row of the colour matrix for premultiplied components in 0..=255.
#[derive(Clone, Copy)]
struct Weights {
    rgba: [f32; 4],
    alpha: f32,
}

impl Weights {
    fn new(row: [f32; 4]) -> Self {
        Self { rgba: row.map(|v| v / 255.0), alpha: 1.0 / 255.0 }
    }

    /// The new value of a sample under a premultiplied pixel, in 0..=max.
    #[inline(always)]
    fn apply(self, value: f32, [r, g, b, a]: [f32; 4], max: f32) -> u32 {
        let [wr, wg, wb, wa] = self.rgba;
        let blended = value * (1.0 - self.alpha * a) + (wr * r + wg * g + wb * b + wa * a);
        // Adding 2^23 leaves the rounded integer in the low bits: faster than a cast that must check for every float.
        (blended.clamp(0.0, max) + 8_388_608.0).to_bits()
    }
}

/// As floats, by shifts of a whole pixel, which compilers turn into vector code.
#[inline(always)]
fn components(pixel: &[u8; 4]) -> [f32; 4] {
    let bits = u32::from_le_bytes(*pixel);
    [0, 8, 16, 24].map(|shift| ((bits >> shift) & 255) as i32 as f32)
}

/// The part of the overlay inside the picture; `None` when empty or when the pixels do not fill the rectangle.
fn inside(overlay: &Overlay, moved: [u32; 2], size: [u32; 2]) -> Option<Rect> {
    let Rect { x, y, width, height } = overlay.rect;
    let (x, y) = (x.saturating_add(moved[0]), y.saturating_add(moved[1]));
    if overlay.rgba.len() != width as usize * height as usize * 4 {
        return None;
    }
    let width = width.min(size[0].saturating_sub(x));
    let height = height.min(size[1].saturating_sub(y));
    (width > 0 && height > 0).then_some(Rect { x, y, width, height })
}

fn overlay_row(overlay: &Overlay, row: usize) -> &[[u8; 4]] {
    let width = overlay.rect.width as usize;
    let (pixels, _) = overlay.rgba[row * width * 4..(row + 1) * width * 4].as_chunks::<4>();
    pixels
}

/// First and one past the last pixel of each row of `rect` that is not fully transparent; twice the same where all are.
fn opaque_spans(overlay: &Overlay, rect: Rect) -> Vec<[usize; 2]> {
    (0..rect.height as usize)
        .map(|row| {
            let pixels = &overlay_row(overlay, row)[..rect.width as usize];
            let first = pixels.iter().position(|p| p[3] != 0);
            let last = pixels.iter().rposition(|p| p[3] != 0);
            first.zip(last).map_or([0, 0], |(first, last)| [first, last + 1])
        })
        .collect()
}

fn luma(plane: PlaneMut<'_>, layout: Layout, overlay: &Overlay, rect: Rect, spans: &[[usize; 2]], weights: Weights) {
    let bytes = layout.bytes_per_sample();
    let max = ((1u32 << layout.depth) - 1) as f32;
    let lines = plane.data.chunks_mut(plane.stride.max(1)).skip(rect.y as usize).take(rect.height as usize);
    for (row, (line, &[first, end])) in lines.zip(spans).enumerate() {
        if first == end {
            continue;
        }
        let pixels = &overlay_row(overlay, row)[first..end];
        let from = (rect.x as usize + first) * bytes;
        let Some(samples) = line.get_mut(from..from + pixels.len() * bytes) else { continue };
        if bytes == 1 {
            for (sample, pixel) in samples.iter_mut().zip(pixels) {
                *sample = weights.apply(f32::from(*sample), components(pixel), max) as u8;
            }
        } else {
            let (samples, _) = samples.as_chunks_mut::<2>();
            for (sample, pixel) in samples.iter_mut().zip(pixels) {
                let value = f32::from(u16::from_ne_bytes(*sample));
                *sample = (weights.apply(value, components(pixel), max) as u16).to_ne_bytes();
            }
        }
    }
}

/// Line by line, so that the means of a line are still in the cache for the second plane.
fn chroma(frame: &mut Frame, overlay: &Overlay, rect: Rect, spans: &[[usize; 2]], weights: [Weights; 2]) {
    let (layout, size) = (frame.layout(), frame.size().map(|v| v as usize));
    let (sx, sy) = (usize::from(layout.chroma_shift_x), usize::from(layout.chroma_shift_y));
    let (top, bottom) = (rect.y as usize, (rect.y + rect.height) as usize);
    let mut means = vec![[0.0f32; 4]; (rect.width as usize >> sx) + 2];
    for line in top >> sy..=(bottom - 1) >> sy {
        let lumas = (line << sy).max(top)..((line + 1) << sy).min(bottom);
        let spans = &spans[lumas.start - top..lumas.end - top];
        let opaque = spans.iter().copied().filter(|[first, end]| first < end);
        let Some([first, end]) = opaque.reduce(|a, b| [a[0].min(b[0]), a[1].max(b[1])]) else { continue };
        let first = (rect.x as usize + first) >> sx;
        let end = ((rect.x as usize + end - 1) >> sx) + 1;
        let means = &mut means[..end - first];
        means.fill([0.0; 4]);
        for (row, &[from, to]) in (lumas.start - top..).zip(spans) {
            if from < to {
                add_row(means, &overlay_row(overlay, row)[from..to], rect.x as usize + from - (first << sx), sx);
            }
        }
        // Samples at an odd right or bottom border cover fewer luma samples.
        let rows = (size[1] - (line << sy)).min(1 << sy);
        let scale = |columns: usize| 1.0 / (rows * columns) as f32;
        let whole = means.len() - usize::from(end << sx > size[0]);
        means[..whole].iter_mut().flatten().for_each(|v| *v *= scale(1 << sx));
        means[whole..].iter_mut().flatten().for_each(|v| *v *= scale(size[0] - ((end - 1) << sx)));
        for (plane, weights) in [1, 2].into_iter().zip(weights) {
            blend_line(frame.plane_mut(plane), layout, line, first, means, weights);
        }
    }
}

/// Adds a row of pixels, of which the first lies `from` luma samples right of the first sum, to sums over `1 << shift` of them.
fn add_row(sums: &mut [[f32; 4]], pixels: &[[u8; 4]], from: usize, shift: usize) {
    // Pixels up to the first whole chroma sample, then groups that share one.
    let (head, whole) = pixels.split_at((from.wrapping_neg() & ((1 << shift) - 1)).min(pixels.len()));
    head.iter().for_each(|p| add(&mut sums[from >> shift], p));
    let sums = &mut sums[(from + head.len()) >> shift..];
    if shift == 1 {
        let (pairs, last) = whole.as_chunks::<2>();
        for (sum, [p, q]) in sums.iter_mut().zip(pairs) {
            for c in 0..4 {
                sum[c] += f32::from(u16::from(p[c]) + u16::from(q[c]));
            }
        }
        last.iter().for_each(|p| add(&mut sums[pairs.len()], p));
    } else {
        for (sum, group) in sums.iter_mut().zip(whole.chunks(1 << shift)) {
            group.iter().for_each(|p| add(sum, p));
        }
    }
}

#[inline(always)]
fn add(sum: &mut [f32; 4], pixel: &[u8; 4]) {
    sum.iter_mut().zip(pixel).for_each(|(s, &p)| *s += f32::from(p));
}

fn blend_line(plane: PlaneMut<'_>, layout: Layout, line: usize, first: usize, means: &[[f32; 4]], weights: Weights) {
    let bytes = layout.bytes_per_sample();
    let max = ((1u32 << layout.depth) - 1) as f32;
    let from = line * plane.stride + first * bytes;
    let Some(samples) = plane.data.get_mut(from..from + means.len() * bytes) else { return };
    if bytes == 1 {
        for (sample, &mean) in samples.iter_mut().zip(means) {
            *sample = weights.apply(f32::from(*sample), mean, max) as u8;
        }
    } else {
        let (samples, _) = samples.as_chunks_mut::<2>();
        for (sample, &mean) in samples.iter_mut().zip(means) {
            let value = f32::from(u16::from_ne_bytes(*sample));
            *sample = (weights.apply(value, mean, max) as u16).to_ne_bytes();
        }
    }
}
