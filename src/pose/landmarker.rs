//! The BlazePose landmark network: 33 body points of the person in a region.

use std::path::Path;

use super::{
    Landmark, Landmarks, MaskedRegion, PoseError, RotatedRegion, Runtime,
    crop::{Border, Picture, grey_outside},
    runtime::{Opened, output, sigmoid},
    silhouette::hide,
    skeleton::LANDMARKS,
};
use glam::{DMat2, DVec2};
use ort::session::SessionOutputs;

/// Side of the network's input in pixels.
const SIZE: usize = 256;
/// The body points, the two points of the circle, and four the published graphs do not use.
const POINTS: usize = LANDMARKS + 6;
/// The two points of the circle round the body: its middle between the hips, and one on its rim above the head.
const CIRCLE: [usize; 2] = [LANDMARKS, LANDMARKS + 1];
/// Side of a heat map in its pixels.
const HEAT: usize = 64;
/// A point is refined by its heat map in a window that reaches so many pixels to each side, 9 x 9 (as MediaPipe's
/// `RefineLandmarksFromHeatmapCalculator` does it).
const REACH: i32 = 4;
/// Probability that the hottest pixel in the window must have.
const MIN_HEAT: f32 = 0.5;

/// A landmark network of one worker.
pub struct Landmarker {
    network: Opened,
    /// Pictures at a time, at most.
    batch: usize,
    input: Vec<f32>,
}

impl Landmarker {
    /// Opens the network, to be shown up to `batch` pictures at a time.
    ///
    /// # Errors
    /// When the file is missing or is not a network.
    pub fn new(runtime: &Runtime, model: &Path, batch: usize) -> Result<Self, PoseError> {
        let network = runtime.open(model)?;
        network.prepare([1, SIZE, SIZE, 3])?;
        Ok(Self { network, batch: batch.max(1), input: Vec::new() })
    }

    /// The person in each region; `None` when the region or the network's answer is not usable numbers.
    ///
    /// # Errors
    /// When the network fails.
    pub fn landmarks(&mut self, regions: &[(Picture<'_>, MaskedRegion)]) -> Result<Vec<Option<Landmarks>>, PoseError> {
        let mut found = vec![None; regions.len()];
        let usable: Vec<usize> = (0..regions.len()).filter(|&i| regions[i].1.region.is_usable()).collect();
        for batch in usable.chunks(self.batch) {
            self.input.clear();
            for (picture, MaskedRegion { region, within, hidden }) in batch.iter().map(|&i| &regions[i]) {
                let start = self.input.len();
                picture.crop(region, SIZE, Border::Replicate, [0.0, 1.0], &mut self.input);
                if let Some(bounds) = within {
                    grey_outside(*bounds, region, SIZE, &mut self.input[start..]);
                }
                hide(hidden, region, SIZE, &mut self.input[start..]);
            }
            // A GPU prepares itself for each new number of pictures: there are two.
            let count = if batch.len() == 1 { 1 } else { self.batch };
            self.input.resize(count * SIZE * SIZE * 3, 0.0);
            let read = |outputs: &SessionOutputs<'_>| {
                let all = Answers {
                    points: output(outputs, "landmarks", count * POINTS * 5)?,
                    flag: output(outputs, "pose_flag", count)?,
                    heat: output(outputs, "heatmap", count * HEAT * HEAT * POINTS)?,
                    world: output(outputs, "world_landmarks", count * POINTS * 3)?,
                };
                batch.iter().enumerate().for_each(|(k, &i)| found[i] = all.of(k).landmarks(&regions[i].1.region));
                Ok(())
            };
            self.network.run([count, SIZE, SIZE, 3], &self.input, read)?;
        }
        Ok(found)
    }
}

/// What the network says of one or more crops.
struct Answers<'a> {
    /// [POINTS, 5] each: x, y, z in the crop's pixels, visibility and presence before the sigmoid.
    points: &'a [f32],
    /// 1 each: the probability that somebody is there.
    flag: &'a [f32],
    /// [HEAT, HEAT, POINTS] each.
    heat: &'a [f32],
    /// [POINTS, 3] each, metres.
    world: &'a [f32],
}

impl Answers<'_> {
    /// Those to the `k`th crop.
    fn of(&self, k: usize) -> Self {
        let part = |size: usize| k * size..(k + 1) * size;
        Self {
            points: &self.points[part(POINTS * 5)],
            flag: &self.flag[part(1)],
            heat: &self.heat[part(HEAT * HEAT * POINTS)],
            world: &self.world[part(POINTS * 3)],
        }
    }

    /// For one crop, of `region`.
    fn landmarks(&self, region: &RotatedRegion) -> Option<Landmarks> {
        let Answers { points: raw, flag, heat, world: raw_world } = *self;
        if !raw.iter().chain(flag).chain(raw_world).all(|v| v.is_finite()) {
            return None;
        }
        let turn = DMat2::from_angle(region.rotation);
        let place = |index: usize| {
            let p = &raw[index * 5..][..2];
            let [x, y] = refine([p[0] / SIZE as f32, p[1] / SIZE as f32], heat, index);
            let from_middle = DVec2::new(f64::from(x) - 0.5, f64::from(y) - 0.5);
            (region.center + turn * (from_middle * region.side)).as_vec2()
        };
        let points = std::array::from_fn::<_, LANDMARKS, _>(|i| {
            let (p, rest) = (place(i), &raw[i * 5 + 2..][..3]);
            let z = rest[0] / SIZE as f32 * region.side as f32;
            Landmark { x: p.x, y: p.y, z, visibility: sigmoid(rest[1]), presence: sigmoid(rest[2]) }
        });
        let world = std::array::from_fn(|i| {
            let w = &raw_world[i * 3..][..3];
            let xy = turn * DVec2::new(f64::from(w[0]), f64::from(w[1]));
            [xy.x as f32, xy.y as f32, w[2]]
        });
        Some(Landmarks {
            score: flag[0],
            points,
            circle: CIRCLE.map(|i| place(i).to_array()),
            world,
            hands: [None, None],
        })
    }
}

/// Moves a point (0..=1 of the crop) to the centre of mass of its heat map nearby, where that is hot.
fn refine(point: [f32; 2], heat: &[f32], index: usize) -> [f32; 2] {
    let [column, row] = point.map(|v| (v * HEAT as f32) as i32);
    let inside = 0..HEAT as i32;
    if point.iter().any(|&v| v < 0.0) || !inside.contains(&column) || !inside.contains(&row) {
        return point;
    }
    let (mut hottest, mut sum, mut sum_x, mut sum_y) = (0.0f32, 0.0f32, 0.0f32, 0.0f32);
    for y in (row - REACH).max(0)..=(row + REACH).min(HEAT as i32 - 1) {
        for x in (column - REACH).max(0)..=(column + REACH).min(HEAT as i32 - 1) {
            let weight = sigmoid(heat[(y as usize * HEAT + x as usize) * POINTS + index]);
            hottest = hottest.max(weight);
            sum += weight;
            sum_x += weight * x as f32;
            sum_y += weight * y as f32;
        }
    }
    if hottest < MIN_HEAT { point } else { [sum_x / sum / HEAT as f32, sum_y / sum / HEAT as f32] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hot_spot_pulls_its_point_and_a_cold_map_leaves_it() {
        let mut heat = vec![-20.0; HEAT * HEAT * POINTS];
        let point = [30.5 / 64.0, 40.5 / 64.0];
        assert_eq!(refine(point, &heat, 7), point);
        heat[(42 * HEAT + 33) * POINTS + 7] = 10.0;
        let [x, y] = refine(point, &heat, 7);
        assert!((x - 33.0 / 64.0).abs() < 1e-4 && (y - 42.0 / 64.0).abs() < 1e-4);
        assert_eq!(refine(point, &heat, 8), point, "another point's map is cold");
        assert_eq!(refine([1.2, 0.5], &heat, 7), [1.2, 0.5], "outside the crop");
    }
}
