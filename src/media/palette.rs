//! The colours of a GIF: chosen by median cut (Heckbert, 1982), mixed by ordered dithering.

use ffmpeg::format::Pixel;
use ffmpeg::frame::Video;
use ffmpeg_next as ffmpeg;

use super::Thumbnail;

/// Entries of a GIF's palette.
const ENTRIES: usize = 256;
/// Colours. The last entry is transparent: the encoder writes it for what is as in the picture before, which takes few bytes.
const COLORS: usize = ENTRIES - 1;
/// Bits of each of red, green and blue that colours are told apart by.
const BITS: u32 = 5;
/// Sides of a cube of such colours.
const CELLS: usize = 1 << (3 * BITS);
/// One pixel in so many is looked at.
const STEP: usize = 3;
/// Thresholds of ordered dithering (Bayer, 1973), of 16.
const THRESHOLDS: [[i32; 4]; 4] = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]];
/// By how much dithering moves a component at most, of 255.
const SPREAD: i32 = 12;

/// Colours, and which of them is nearest to any.
pub(super) struct Palette {
    colors: Vec<[u8; 3]>,
    nearest: Vec<u8>,
}

/// How often each colour was seen.
pub(super) struct Colors(Vec<u32>);

impl Default for Colors {
    fn default() -> Self {
        Self(vec![0; CELLS])
    }
}

impl Colors {
    /// Looks at a picture in R, G, B.
    pub fn add(&mut self, rgb: &[u8]) {
        for pixel in rgb.as_chunks::<3>().0.iter().step_by(STEP) {
            self.0[cell(pixel.map(i32::from))] += 1;
        }
    }

    /// The colours that stand for them.
    pub fn palette(self) -> Palette {
        let cells: Vec<(usize, u32)> = self.0.into_iter().enumerate().filter(|(_, count)| *count > 0).collect();
        let mut boxes = vec![cells];
        while boxes.len() < COLORS {
            // The box whose colours are spread most, weighted by how often they are seen.
            let spread = |cells: &Vec<(usize, u32)>| {
                let (_, width) = widest(cells);
                f64::from(width) * cells.iter().map(|(_, count)| f64::from(*count)).sum::<f64>().sqrt()
            };
            let largest = (0..boxes.len()).max_by(|&a, &b| spread(&boxes[a]).total_cmp(&spread(&boxes[b])));
            let Some(largest) = largest.filter(|&at| boxes[at].len() > 1) else { break };
            let mut cells = boxes.swap_remove(largest);
            let (axis, _) = widest(&cells);
            cells.sort_unstable_by_key(|(cell, _)| color(*cell)[axis]);
            let half = cells.iter().map(|(_, count)| u64::from(*count)).sum::<u64>() / 2;
            let mut sum = 0;
            let middle = cells.iter().position(|(_, count)| {
                sum += u64::from(*count);
                sum > half
            });
            let rest = cells.split_off(middle.unwrap_or(1).clamp(1, cells.len() - 1));
            boxes.extend([cells, rest]);
        }
        let colors: Vec<[u8; 3]> = boxes.iter().filter(|cells| !cells.is_empty()).map(|cells| mean(cells)).collect();
        let nearest = (0..CELLS).map(|cell| nearest(&colors, color(cell)) as u8).collect();
        Palette { colors, nearest }
    }
}

impl Palette {
    /// A picture in these colours.
    pub fn picture(&self, small: &Thumbnail) -> Video {
        let mut picture = Video::new(Pixel::PAL8, small.width, small.height);
        let stride = picture.stride(0);
        let width = small.width as usize;
        let lines = picture.data_mut(0).chunks_mut(stride).zip(small.rgb.chunks(3 * width)).enumerate();
        for (y, (line, rgb)) in lines {
            for (x, (index, pixel)) in line.iter_mut().zip(rgb.as_chunks::<3>().0).enumerate() {
                let moved = (THRESHOLDS[y % 4][x % 4] * 2 - 15) * SPREAD / 32;
                *index = self.nearest[cell(pixel.map(|v| i32::from(v) + moved))];
            }
        }
        // SAFETY: the second plane of a paletted picture is 256 numbers of four bytes, A, R, G, B from the highest.
        let palette = unsafe { std::slice::from_raw_parts_mut((*picture.as_mut_ptr()).data[1].cast::<u32>(), ENTRIES) };
        palette.fill(0xff00_0000);
        palette[COLORS] = 0;
        for (entry, [r, g, b]) in palette.iter_mut().zip(&self.colors) {
            *entry = u32::from_be_bytes([255, *r, *g, *b]);
        }
        picture
    }
}

fn cell(rgb: [i32; 3]) -> usize {
    rgb.into_iter().fold(0, |cell, v| cell << BITS | (v.clamp(0, 255) >> (8 - BITS)) as usize)
}

/// The middle of a cell, of 255.
fn color(cell: usize) -> [i32; 3] {
    let mask = (1 << BITS) - 1;
    [2, 1, 0].map(|i| {
        let v = (cell >> (i * BITS) & mask) as i32;
        (v * 255 + mask as i32 / 2) / mask as i32
    })
}

/// The axis along which colours are spread most, and how far.
fn widest(cells: &[(usize, u32)]) -> (usize, i32) {
    let (mut low, mut high) = ([i32::MAX; 3], [i32::MIN; 3]);
    for (cell, _) in cells {
        for (axis, v) in color(*cell).into_iter().enumerate() {
            low[axis] = low[axis].min(v);
            high[axis] = high[axis].max(v);
        }
    }
    let width = |axis: usize| high[axis].saturating_sub(low[axis]).max(0);
    (0..3).map(|axis| (axis, width(axis))).max_by_key(|(_, width)| *width).unwrap_or_default()
}

fn mean(cells: &[(usize, u32)]) -> [u8; 3] {
    let total: u64 = cells.iter().map(|(_, count)| u64::from(*count)).sum();
    [0, 1, 2].map(|axis| {
        let sum: u64 = cells.iter().map(|(cell, count)| color(*cell)[axis] as u64 * u64::from(*count)).sum();
        (sum / total.max(1)) as u8
    })
}

fn nearest(colors: &[[u8; 3]], [r, g, b]: [i32; 3]) -> usize {
    // Green is seen best, blue least.
    let off = |color: &[u8; 3]| {
        let d = [r - i32::from(color[0]), g - i32::from(color[1]), b - i32::from(color[2])];
        3 * d[0] * d[0] + 6 * d[1] * d[1] + d[2] * d[2]
    };
    (0..colors.len()).min_by_key(|&at| off(&colors[at])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_few_colours_keeps_them() {
        let rgb: Vec<u8> = (0..400).flat_map(|i| if i % 5 == 0 { [200, 30, 30] } else { [20, 20, 220] }).collect();
        let mut colors = Colors::default();
        colors.add(&rgb);
        let palette = colors.palette();
        for color in [[200, 30, 30], [20, 20, 220]] {
            let index = usize::from(palette.nearest[cell(color.map(i32::from))]);
            let found = palette.colors[index];
            assert!(found.iter().zip(color).all(|(a, b)| a.abs_diff(b) <= 8), "{found:?}");
        }
        // No picture at all.
        assert!(Colors::default().palette().colors.is_empty());
    }
}
