//! The BlazePose region detector: finds people in a square window of the picture, and the region that the landmark network should look at
//! (MediaPipe `pose_detection`, whose graph the constants are from).

use std::path::Path;

use glam::DVec2;

use super::{
    PoseError, RotatedRegion, Runtime,
    crop::{Border, Picture},
    person_detector::overlap,
    runtime::{Opened, output, sigmoid},
};

/// Side of the network's input in pixels.
const SIZE: usize = 224;
/// Anchors, each of which may be a person: 28 x 28 x 2 + 14 x 14 x 2 + 7 x 7 x 6.
const ANCHORS: usize = 2254;
/// Numbers for each anchor: centre and size of a box, and four key points.
const VALUES: usize = 12;
/// Probability below which an anchor is nobody.
const MIN_SCORE: f32 = 0.5;
/// Overlap (intersection over union) above which two boxes are of one person.
const MIN_OVERLAP: f32 = 0.3;

/// A square of displayed pixels that the detector is shown; it may reach beyond the picture, which is black there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width and height.
    pub side: f64,
}

/// One person as the region detector sees them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RegionDetection {
    /// Left, top, right, bottom of face and shoulders, displayed pixels.
    pub bounds: [f32; 4],
    /// Middle of the hips, a point on the circle around the whole body, and the same for the upper body; displayed pixels.
    pub keypoints: [[f32; 2]; 4],
    /// Probability.
    pub score: f32,
}

impl RegionDetection {
    /// Where the landmark network should look.
    pub fn region(&self) -> RotatedRegion {
        RotatedRegion::from_circle(self.keypoints[0], self.keypoints[1])
    }

    /// Moves box and key points towards those of another by a share of the way.
    fn blend(&mut self, other: &RegionDetection, share: f32) {
        let mix = |a: &mut f32, b: f32| *a += share * (b - *a);
        self.bounds.iter_mut().zip(other.bounds).for_each(|(a, b)| mix(a, b));
        self.keypoints.as_flattened_mut().iter_mut().zip(other.keypoints.as_flattened()).for_each(|(a, b)| mix(a, *b));
    }
}

/// Weighted non-maximum suppression as MediaPipe does it: each group that overlaps its best member becomes the mean of
/// its members, weighted by score, with the best score. Best first.
pub fn merge(mut found: Vec<RegionDetection>) -> Vec<RegionDetection> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept = Vec::new();
    while let Some(best) = found.first().copied() {
        let mut mean = best;
        let mut total = best.score;
        let mut first = true;
        found.retain(|d| {
            let same = first || overlap(&best.bounds, &d.bounds) > MIN_OVERLAP;
            if same && !first {
                total += d.score;
                mean.blend(d, d.score / total);
            }
            first = false;
            !same
        });
        kept.push(mean);
    }
    kept
}

/// Centres of the anchors, 0..=1 of the window: SSD with strides 8, 16, 32 (three layers), two anchors a cell and layer.
fn anchors() -> Vec<[f32; 2]> {
    let mut all = Vec::with_capacity(ANCHORS);
    for (cells, each) in [(28, 2), (14, 2), (7, 6)] {
        for y in 0..cells {
            for x in 0..cells {
                let center = [x, y].map(|v| (v as f32 + 0.5) / cells as f32);
                all.extend(std::iter::repeat_n(center, each));
            }
        }
    }
    all
}

/// The detector network of one worker.
pub struct RegionDetector {
    network: Opened,
    anchors: Vec<[f32; 2]>,
    input: Vec<f32>,
}

impl RegionDetector {
    /// Opens the network.
    ///
    /// # Errors
    /// When the file is missing or is not a network.
    pub fn new(runtime: &Runtime, model: &Path) -> Result<Self, PoseError> {
        Ok(Self { network: runtime.open(model)?, anchors: anchors(), input: Vec::new() })
    }

    /// People in one window, best first.
    ///
    /// # Errors
    /// When the network fails.
    pub fn detect(&mut self, picture: &Picture<'_>, window: Window) -> Result<Vec<RegionDetection>, PoseError> {
        let half = DVec2::splat(window.side / 2.0);
        let square = RotatedRegion { center: DVec2::new(window.x, window.y) + half, side: window.side, rotation: 0.0 };
        self.input.clear();
        picture.crop(&square, SIZE, Border::Fill(0.0), [-1.0, 1.0], &mut self.input);
        let anchors = &self.anchors;
        let found = self.network.run([1, SIZE, SIZE, 3], &self.input, |outputs| {
            let (boxes, scores) = (output(outputs, "boxes", ANCHORS * VALUES)?, output(outputs, "scores", ANCHORS)?);
            let each = scores.iter().zip(boxes.chunks_exact(VALUES)).zip(anchors);
            Ok(each.filter_map(|((&score, raw), &anchor)| detection(sigmoid(score), raw, anchor, &window)).collect())
        })?;
        Ok(merge(found))
    }
}

/// What an anchor says: [`VALUES`] numbers in the input's pixels, relative to it.
fn detection(score: f32, raw: &[f32], anchor: [f32; 2], window: &Window) -> Option<RegionDetection> {
    let side = window.side as f32;
    let place = |x: f32, y: f32| [window.x as f32 + side * x, window.y as f32 + side * y];
    let point = |i: usize| [raw[i] / SIZE as f32 + anchor[0], raw[i + 1] / SIZE as f32 + anchor[1]];
    if score < MIN_SCORE || !raw.iter().all(|v| v.is_finite()) {
        return None;
    }
    let ([x, y], w, h) = (point(0), raw[2] / SIZE as f32 / 2.0, raw[3] / SIZE as f32 / 2.0);
    let ([left, top], [right, bottom]) = (place(x - w, y - h), place(x + w, y + h));
    let keypoints = [4, 6, 8, 10].map(point).map(|[x, y]| place(x, y));
    Some(RegionDetection { bounds: [left, top, right, bottom], keypoints, score })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_an_anchor_for_every_output() {
        let all = anchors();
        assert_eq!(all.len(), ANCHORS);
        assert_eq!(all[0], [0.5 / 28.0, 0.5 / 28.0]);
        assert_eq!(all[ANCHORS - 1], [6.5 / 7.0, 6.5 / 7.0]);
    }

    #[test]
    fn overlapping_finds_become_their_weighted_mean() {
        let at =
            |x: f32, score: f32| RegionDetection { bounds: [x, 0.0, x + 10.0, 10.0], keypoints: [[x; 2]; 4], score };
        let merged = merge(vec![at(2.0, 0.5), at(0.0, 1.0), at(50.0, 0.7)]);
        assert_eq!(merged.len(), 2);
        assert!((merged[0].keypoints[0][0] - 2.0 / 3.0).abs() < 1e-5);
        assert_eq!((merged[0].score, merged[1].score), (1.0, 0.7));
    }
}
