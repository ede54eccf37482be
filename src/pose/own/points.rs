//! Key points of a person as a network of the user's own sees them, in BlazePose's order.

use glam::{DMat2, DVec2};
use serde::{Deserialize, Serialize};

use super::{Outputs, Part, PersonCrop};
use crate::models::NetworkDescription;
use crate::models::description::{Align, KeyPointFormat, KeyPoints2d, PointSet, Points, ScoreFormat};
use crate::pose::runtime::sigmoid;
use crate::pose::skeleton::*;

/// Mean confidence below which a network did not see the person.
const SEEN: f32 = 0.15;
/// Points of COCO-WholeBody before its face, hands: 17 of the body, 6 of the feet, 68 of the face, 21 of each hand (Jin et al.,
/// *Whole-Body Human Pose Estimation in the Wild*, 2020).
const FACE: usize = 23;
const LEFT_HAND: usize = 91;
const RIGHT_HAND: usize = 112;

/// Key points as a network sees them, those that it knows, as BlazePose's landmarks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SeenPoints {
    /// In the picture.
    pub pixels: Vec<SeenPixel>,
    /// In metres: index of the landmark, and its place along the camera axes, whatever the origin.
    pub world: Vec<(usize, [f32; 3])>,
}

/// A key point in the picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SeenPixel {
    /// Index of the landmark.
    pub landmark: usize,
    /// Displayed pixels.
    pub at: [f32; 2],
    /// Probability that it is there, 0..=1.
    pub confidence: f32,
}

/// For each point of a network's the BlazePose landmark that it is.
pub(super) fn landmarks_of(points: &Points) -> Vec<Option<usize>> {
    match points {
        Points::Set(PointSet::Coco17) => COCO.map(Some).to_vec(),
        Points::Set(PointSet::BlazePose33) => (0..LANDMARKS).map(Some).collect(),
        Points::Set(PointSet::Coco133) => {
            let mut all = vec![None; 133];
            // Big toe, small toe and heel, of the left foot and then of the right.
            let feet = [(17, LEFT_TOES), (19, LEFT_HEEL), (20, RIGHT_TOES), (22, RIGHT_HEEL)];
            // Corners of eyes and mouth (the face's points are in the order of the iBUG 68).
            let eyes = [(36, RIGHT_EYE_OUTER), (39, RIGHT_EYE_INNER), (42, LEFT_EYE_INNER), (45, LEFT_EYE_OUTER)];
            let mouth = [(48, RIGHT_MOUTH), (54, LEFT_MOUTH)];
            let face = eyes.into_iter().chain(mouth).map(|(point, landmark)| (FACE + point, landmark));
            // Knuckles of thumb, index and little finger.
            let hand =
                |first: usize, knuckles: [usize; 3]| [2, 5, 17].map(|point| first + point).into_iter().zip(knuckles);
            let left = hand(LEFT_HAND, [LEFT_THUMB, LEFT_INDEX, LEFT_PINKY]);
            let right = hand(RIGHT_HAND, [RIGHT_THUMB, RIGHT_INDEX, RIGHT_PINKY]);
            let body = COCO.into_iter().enumerate();
            for (point, landmark) in body.chain(feet).chain(face).chain(left).chain(right) {
                all[point] = Some(landmark);
            }
            all
        }
        Points::Names(names) => {
            let known = |name: &String| NAMES.iter().position(|known| known == name);
            names.iter().map(known).collect()
        }
    }
}

/// Whether points of networks are named by names that are known; names that are not are left out.
///
/// # Errors
/// When none is.
pub(super) fn known(description: &NetworkDescription) -> Result<(), String> {
    let outputs = &description.outputs;
    let all = outputs.keypoints2d.iter().map(|o| &o.points).chain(outputs.joints.iter().map(|o| &o.points));
    for points in all {
        if landmarks_of(points).iter().all(Option::is_none) {
            return Err(format!("none of the names in `points` is known; known are {}", NAMES.join(", ")));
        }
    }
    Ok(())
}

/// What the outputs say of one crop's key points; nothing where the network gives none, or did not see the person.
///
/// # Errors
/// When outputs have other shapes than the description says.
pub(super) fn read(
    description: &NetworkDescription,
    outputs: &Outputs,
    index: usize,
    crop: &PersonCrop,
) -> Result<Option<SeenPoints>, String> {
    let said = &description.outputs;
    if said.keypoints2d.is_none() && said.joints.is_none() {
        return Ok(None);
    }
    let mut seen = SeenPoints::default();
    let mut certain: Vec<f32> = Vec::new();
    let scores = said.confidence.as_ref().zip(outputs.part("confidence", index));
    if let Some(points) = &said.keypoints2d {
        let landmarks = landmarks_of(&points.points);
        let places = places(points, outputs, index, crop)?;
        let mut confidence: Vec<f32> = places.iter().map(|(_, confidence)| *confidence).collect();
        if let Some((scores, part)) = scores {
            let all = part.values.iter().map(|&v| probability(scores.format, v));
            match part.values.len() {
                1 => all.for_each(|one| confidence.fill(one)),
                count if count == landmarks.len() => confidence = all.collect(),
                count => {
                    return Err(format!(
                        "its output `{}` has {count} numbers for a person; expected one, or one for each of the {} points",
                        scores.name,
                        landmarks.len()
                    ));
                }
            }
        }
        for ((landmark, (at, _)), confidence) in landmarks.into_iter().zip(places).zip(confidence) {
            let is_usable = at.iter().all(|v| v.is_finite()) && confidence.is_finite();
            if let Some(landmark) = landmark.filter(|_| is_usable) {
                seen.pixels.push(SeenPixel { landmark, at, confidence: confidence.clamp(0.0, 1.0) });
            }
        }
        certain.extend(seen.pixels.iter().map(|pixel| pixel.confidence));
    } else if let Some((scores, part)) = scores {
        certain.extend(part.values.iter().map(|&v| probability(scores.format, v)).filter(|v| v.is_finite()));
    }
    if let Some(joints) = &said.joints {
        let landmarks = landmarks_of(&joints.points);
        let part = outputs.part("joints", index).filter(|part| part.values.len() == 3 * landmarks.len());
        let part = part.ok_or_else(|| shape_of(outputs, "joints", &format!("{}, 3", landmarks.len())))?;
        let turn = DMat2::from_angle(crop.rotation) * joints.units.metres();
        for (landmark, p) in landmarks.into_iter().zip(part.values.as_chunks::<3>().0) {
            let xy = turn * DVec2::new(f64::from(p[0]), f64::from(p[1]));
            let place = [xy.x as f32, xy.y as f32, p[2] * joints.units.metres() as f32];
            if let Some(landmark) = landmark.filter(|_| place.iter().all(|v| v.is_finite())) {
                seen.world.push((landmark, place));
            }
        }
    }
    let mean = certain.iter().sum::<f32>() / certain.len().max(1) as f32;
    let is_seen = (certain.is_empty() && said.keypoints2d.is_none()) || mean >= SEEN;
    let is_there = !seen.pixels.is_empty() || !seen.world.is_empty();
    Ok((is_seen && is_there).then_some(seen))
}

/// Where each point of the network's is, displayed pixels, and how sure it is.
fn places(
    points: &KeyPoints2d,
    outputs: &Outputs,
    index: usize,
    crop: &PersonCrop,
) -> Result<Vec<([f32; 2], f32)>, String> {
    let count = landmarks_of(&points.points).len();
    let parts: Vec<Part<'_>> = outputs.parts("keypoints2d", index).collect();
    let wrong = |expected: &str| shape_of(outputs, "keypoints2d", expected);
    let in_input: Vec<([f32; 2], f32)> = match (points.format, &parts[..]) {
        (KeyPointFormat::SimCC, [x, y]) => {
            let sizes = crop.size.map(|side| (side as f32 * points.split).round() as usize);
            for (part, bins) in [(x, sizes[0]), (y, sizes[1])] {
                if bins == 0 || part.values.len() != count * bins {
                    return Err(wrong(&format!(
                        "{count}, {} and {count}, {} (points, and `split` times the input's sides)",
                        sizes[0], sizes[1]
                    )));
                }
            }
            let axis = |part: &Part<'_>, bins: usize| part.values.chunks_exact(bins).map(peak).collect::<Vec<_>>();
            let place = |((x, certain_x), (y, certain_y)): ((f32, f32), (f32, f32))| {
                ([x / points.split, y / points.split], certain_x.min(certain_y))
            };
            axis(x, sizes[0]).into_iter().zip(axis(y, sizes[1])).map(place).collect()
        }
        (KeyPointFormat::Heatmaps, [maps]) => {
            let &[found, rows, columns] = maps.shape else { return Err(wrong(&format!("{count}, rows, columns"))) };
            if found != count || rows == 0 || columns == 0 {
                return Err(wrong(&format!("{count}, rows, columns")));
            }
            let map_sides = [columns, rows];
            let to_input = |place: [f32; 2]| {
                [0, 1].map(|axis| {
                    let (input, map) = (crop.size[axis] as f32, map_sides[axis] as f32);
                    match points.align {
                        Align::Edges => place[axis] * input / map,
                        Align::Centers => (place[axis] + 0.5) * input / map - 0.5,
                        Align::Corners => place[axis] * (input - 1.0) / (map - 1.0).max(1.0),
                    }
                })
            };
            let place = |map: &[f32]| {
                let (place, certain) = hottest(map, columns);
                (to_input(place), certain)
            };
            maps.values.chunks_exact(rows * columns).map(place).collect()
        }
        (KeyPointFormat::Coordinates, [part]) => {
            let each = part.values.len() / count;
            if each < 2 || part.values.len() != count * each {
                return Err(wrong(&format!("{count}, 2 or more")));
            }
            let place = |p: &[f32]| {
                let place = [0, 1].map(|axis| points.units.to_pixels(p[axis], crop.size[axis]));
                (place, if each == 3 { p[2] } else { 1.0 })
            };
            part.values.chunks_exact(each).map(place).collect()
        }
        _ => return Err(wrong("other outputs")),
    };
    let to_display = crop.to_display();
    let placed = |(place, certain): ([f32; 2], f32)| {
        let [x, y] = place.map(f64::from);
        (to_display.transform_point2(DVec2::new(x, y)).as_vec2().to_array(), certain)
    };
    Ok(in_input.into_iter().map(placed).collect())
}

/// Where a row of numbers is largest, between its entries by the parabola through the neighbours; and the largest. (SimCC's networks are trained
/// so that the exponential of the row is a bell.)
fn peak(row: &[f32]) -> (f32, f32) {
    let largest = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(i, _)| i);
    let value = row.get(largest).copied().unwrap_or(f32::NAN);
    let shift = match (largest.checked_sub(1).and_then(|before| row.get(before)), row.get(largest + 1)) {
        (Some(&before), Some(&after)) => vertex(before, value, after),
        _ => 0.0,
    };
    (largest as f32 + shift, value)
}

/// How far from the middle of three numbers their parabola is highest.
fn vertex(before: f32, middle: f32, after: f32) -> f32 {
    let bend = before - 2.0 * middle + after;
    let shift = if bend < 0.0 { 0.5 * (before - after) / bend } else { 0.0 };
    if shift.is_finite() { shift.clamp(-0.5, 0.5) } else { 0.0 }
}

/// Column and row where a heat map is hottest, between its pixels, and how hot it is there. Heat maps are bells, whose logarithm is a
/// parabola.
fn hottest(map: &[f32], columns: usize) -> ([f32; 2], f32) {
    let log = |v: f32| v.max(1e-6).ln();
    let largest = map.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(i, _)| i);
    let (row, column) = (largest / columns, largest % columns);
    let at = |row: Option<usize>, column: Option<usize>| {
        let (row, column) = (row?, column.filter(|&c| c < columns)?);
        map.get(row * columns + column).copied().map(log)
    };
    let along = |before: Option<f32>, after: Option<f32>| match (before, after) {
        (Some(before), Some(after)) => vertex(before, log(map[largest]), after),
        _ => 0.0,
    };
    let x = along(at(Some(row), column.checked_sub(1)), at(Some(row), Some(column + 1)));
    let y = along(at(row.checked_sub(1), Some(column)), at(Some(row + 1), Some(column)));
    ([column as f32 + x, row as f32 + y], map[largest])
}

/// A score as a probability.
pub(super) fn probability(format: ScoreFormat, value: f32) -> f32 {
    match format {
        ScoreFormat::Probability => value,
        ScoreFormat::Logits => sigmoid(value),
    }
}

/// That outputs have another shape than they should: `expected` without the first axis.
pub(super) fn shape_of(outputs: &Outputs, key: &str, expected: &str) -> String {
    let found: Vec<String> = outputs
        .all()
        .filter(|(of, ..)| *of == key)
        .map(|(_, name, tensor)| format!("`{name}` {:?}", tensor.shape))
        .collect();
    format!("[outputs.{key}] is {}; expected [B, {expected}] for what the description says", found.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_lie_between_the_entries() {
        let bell = |at: f32| move |i: usize| (-(i as f32 - at).powi(2) / 8.0).exp();
        let row: Vec<f32> = (0..20).map(|i| bell(7.3)(i).ln()).collect();
        let (at, height) = peak(&row);
        assert!((at - 7.3).abs() < 1e-3 && (height - bell(7.3)(7).ln()).abs() < 1e-6);
        let map: Vec<f32> = (0..12 * 20).map(|i| bell(4.6)(i / 20) * bell(11.2)(i % 20)).collect();
        let ([x, y], _) = hottest(&map, 20);
        assert!((x - 11.2).abs() < 1e-3 && (y - 4.6).abs() < 1e-3);
        assert_eq!(peak(&[3.0, 1.0]), (0.0, 3.0), "at the edge");
        assert_eq!(hottest(&[0.0; 6], 3).0, [2.0, 1.0], "a flat map has no middle");
    }

    #[test]
    fn left_and_right_are_the_persons_own_in_every_set() {
        let body = landmarks_of(&Points::Set(PointSet::Coco133));
        for (left, right) in [(5, 6), (9, 10), (15, 16), (17, 20), (19, 22), (91 + 5, 112 + 5), (23 + 45, 23 + 36)] {
            assert_eq!(body[left].map(mirrored), body[right], "{left} and {right}");
        }
        assert_eq!(body.iter().flatten().count(), 17 + 4 + 6 + 6);
        let named = ["left_knee", "tail", "nose"].map(str::to_owned).to_vec();
        assert_eq!(landmarks_of(&Points::Names(named)), [Some(LEFT_KNEE), None, Some(NOSE)]);
        assert_eq!(landmarks_of(&Points::Set(PointSet::Coco17))[5], Some(LEFT_SHOULDER));
    }
}
