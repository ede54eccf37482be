//! What people look like: the colours of their clothes, by which they are told apart.

use glam::DVec2;
use serde::{Deserialize, Serialize};

use super::skeleton::{HIPS, KNEES, Pair, SHOULDERS};
use super::{Landmarks, Picture, Silhouette};

/// Bins for each of Y, Cb and Cr.
const BINS: usize = 6;
/// Samples along each side of the part of the body that is sampled.
const GRID: usize = 8;
/// Where the samples begin and over what length they are spread, as shares of its sides: near the edges the background shows.
const INNER: [f64; 2] = [0.15, 0.7];
/// Samples of a part that are not covered by others, below which its colours are not known.
const FEWEST_SAMPLES: usize = GRID * GRID / 8;
/// Difference of two people of whom nothing can be compared: somewhat unlike, so that one takes the other's place only where all else agrees.
const UNKNOWN: f64 = 0.4;
/// Cb and Cr seldom leave 64..192, so their bins lie in these levels.
const CHROMA: [f32; 2] = [80.0, 176.0];

/// Colour histograms of torso and thighs, which mostly show clothes: they tell people apart.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct AppearanceHistogram {
    /// For torso and thighs: the bins of Y, Cb, Cr, each three adding up to about 255. All are 0 where the colours of the part are not known.
    parts: [Part; 2],
}

type Part = [u8; 3 * BINS];

impl AppearanceHistogram {
    /// Samples the picture between shoulders, hips and knees, where nobody in front covers them.
    pub(super) fn new(picture: &Picture<'_>, landmarks: &Landmarks, in_front: &[Silhouette]) -> Self {
        let corners = |[a, b]: Pair, [c, d]: Pair| [a, b, c, d].map(|i| landmarks.at(i));
        let torso = histogram(picture, corners(SHOULDERS, HIPS), in_front);
        let thighs = histogram(picture, corners(HIPS, KNEES), in_front);
        Self { parts: [torso, thighs] }
    }

    /// The histogram of a body of one colour (for tests).
    pub fn of_colour(yuv: [u8; 3]) -> Self {
        let mut bins = [0.0; 3 * BINS];
        add(&mut bins, yuv.map(f32::from));
        Self { parts: [bins.map(|v| (v * 255.0).round() as u8); 2] }
    }

    /// 0 for the same colours, 1 for nothing in common; 0.4 where nothing can be compared.
    pub fn distance(&self, other: &AppearanceHistogram) -> f64 {
        self.known_distance(other).unwrap_or(UNKNOWN)
    }

    /// The same in those parts that are known of both; `None` where there are none.
    pub fn known_distance(&self, other: &AppearanceHistogram) -> Option<f64> {
        let pairs = self.parts.iter().zip(&other.parts).filter(|(a, b)| is_known(a) && is_known(b));
        let (mut total, mut known) = (0, 0);
        for (a, b) in pairs {
            total += a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
            known += 1;
        }
        (known > 0).then(|| f64::from(total) / f64::from(known * 255 * 2 * 3))
    }

    /// The mean of several histograms, of each part over those in which it is known.
    pub fn mean<'a>(histograms: impl Iterator<Item = &'a AppearanceHistogram>) -> AppearanceHistogram {
        let mut sums = [([0u32; 3 * BINS], 0u32); 2];
        for appearance in histograms {
            for ((sum, count), part) in sums.iter_mut().zip(&appearance.parts).filter(|(_, part)| is_known(part)) {
                sum.iter_mut().zip(part).for_each(|(s, &v)| *s += u32::from(v));
                *count += 1;
            }
        }
        Self { parts: sums.map(|(sum, count)| sum.map(|s| (s / count.max(1)) as u8)) }
    }
}

fn is_known(part: &Part) -> bool {
    part.iter().any(|&v| v > 0)
}

/// Adds a sample: each channel is split between its two nearest bins.
fn add(bins: &mut [f32; 3 * BINS], yuv: [f32; 3]) {
    for (channel, value) in yuv.into_iter().enumerate() {
        let unit = if channel == 0 { value / 255.0 } else { (value - CHROMA[0]) / (CHROMA[1] - CHROMA[0]) };
        let position = unit.clamp(0.0, 1.0) * (BINS - 1) as f32;
        let (first, share) = (position as usize, position.fract());
        bins[channel * BINS + first] += 1.0 - share;
        if first + 1 < BINS {
            bins[channel * BINS + first + 1] += share;
        }
    }
}

/// Histogram of the inner part of a quadrilateral (two upper corners, two lower ones), without what is covered by somebody in front.
fn histogram(picture: &Picture<'_>, [a, b, c, d]: [DVec2; 4], in_front: &[Silhouette]) -> Part {
    let (mut bins, mut count) = ([0.0; 3 * BINS], 0);
    let inner = |i: usize| INNER[0] + INNER[1] * (i as f64 + 0.5) / GRID as f64;
    for (row, column) in (0..GRID * GRID).map(|i| (inner(i / GRID), inner(i % GRID))) {
        let at = a.lerp(b, column).lerp(c.lerp(d, column), row);
        if !in_front.iter().any(|body| body.contains(at)) {
            add(&mut bins, picture.yuv_at(at));
            count += 1;
        }
    }
    if count < FEWEST_SAMPLES {
        return [0; 3 * BINS];
    }
    bins.map(|v| (v * 255.0 / count as f32).round().min(255.0) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Geometry, Orientation};
    use crate::media::{Color, Frame, Layout, Matrix, Range};
    use crate::track::synthetic;

    const SIZE: [u32; 2] = [200, 240];

    /// How somebody looks whose clothes are bright, with the dark `in_front` of them.
    fn look(landmarks: &Landmarks, in_front: &[Silhouette], knows_who_is_in_front: bool) -> AppearanceHistogram {
        let [width, height] = SIZE.map(|v| v as usize);
        let at = |i: usize| DVec2::new((i % width) as f64 + 0.5, (i / width) as f64 + 0.5);
        let is_covered = |i: usize| in_front.iter().any(|body| body.contains(at(i)));
        let mut data: Vec<u8> = (0..width * height).map(|i| if is_covered(i) { 40 } else { 200 }).collect();
        data.resize(width * height * 3 / 2, 128);
        let layout = Layout { depth: 8, chroma_shift_x: 1, chroma_shift_y: 1 };
        let frame = Frame::from_planes(SIZE, layout, &data, 0, 0.0).unwrap();
        let geometry = Geometry::new(SIZE, 1.0, Orientation::default());
        let color = Color { matrix: Matrix::Bt709, range: Range::Full };
        let picture = Picture { frame: &frame, geometry: &geometry, color };
        AppearanceHistogram::new(&picture, landmarks, if knows_who_is_in_front { in_front } else { &[] })
    }

    #[test]
    fn clothes_are_told_by_what_nobody_covers() {
        let person = synthetic::person([100.0, 120.0], 200.0);
        let alone = look(&person, &[], true);
        let beside = [Silhouette::of(&synthetic::person([70.0, 120.0], 200.0))];
        assert!(look(&person, &beside, false).distance(&alone) > 0.15);
        assert!(look(&person, &beside, true).distance(&alone) < 0.02);
        let all_over = [90.0, 100.0, 110.0].map(|x| Silhouette::of(&synthetic::person([x, 120.0], 200.0)));
        let hidden = look(&person, &all_over, true);
        assert_eq!(hidden, AppearanceHistogram::default(), "nothing is known");
        assert_eq!(hidden.distance(&alone), UNKNOWN);
        assert_eq!(AppearanceHistogram::mean([alone, hidden].iter()), alone);
    }
}
