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

/// Key points in BlazePose's order, those that the network knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeenPoints {
    /// Index of each.
    pub indices: Vec<usize>,
    /// Displayed pixels; empty where the network gives none.
    pub pixels: Vec<[f32; 2]>,
    /// Probability that the point is where it is said to be, 0..=1.
    pub confidence: Vec<f32>,
    /// Metres, camera axes; empty where the network gives none.
    pub world: Vec<[f32; 3]>,
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
    let places = match &said.keypoints2d {
        None => None,
        Some(points) => Some(places(points, outputs, index, crop)?),
    };
    let set = match (&said.keypoints2d, &said.joints) {
        (Some(points), _) => &points.points,
        (None, Some(joints)) => &joints.points,
        (None, None) => return Ok(None),
    };
    let landmarks = landmarks_of(set);
    let mut confidence: Vec<f32> = match &places {
        Some(places) => places.iter().map(|(_, confidence)| *confidence).collect(),
        None => vec![1.0; landmarks.len()],
    };
    if let (Some(scores), Some(part)) = (&said.confidence, outputs.part("confidence", index)) {
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
    let world = match &said.joints {
        None => None,
        Some(joints) => {
            let named = landmarks_of(&joints.points);
            let part = outputs.part("joints", index).filter(|part| part.values.len() == 3 * named.len());
            let part = part.ok_or_else(|| shape_of(outputs, "joints", &format!("{}, 3", named.len())))?;
            let turn = DMat2::from_angle(crop.rotation) * joints.units.metres();
            let place = |p: &[f32; 3]| {
                let xy = turn * DVec2::new(f64::from(p[0]), f64::from(p[1]));
                [xy.x as f32, xy.y as f32, p[2] * joints.units.metres() as f32]
            };
            let mut world = [None; LANDMARKS];
            for (landmark, place) in named.iter().zip(part.values.as_chunks::<3>().0.iter().map(place)) {
                landmark.map(|l| world[l] = Some(place));
            }
            Some(world)
        }
    };
    let is_usable = |values: &[f32]| values.iter().all(|v| v.is_finite());
    let mut seen = SeenPoints { indices: vec![], pixels: vec![], confidence: vec![], world: vec![] };
    for (point, landmark) in landmarks.iter().enumerate() {
        let Some(landmark) = *landmark else { continue };
        let at = places.as_ref().map(|places| places[point].0);
        let metres = world.as_ref().map(|world| world[landmark]);
        let is_known = metres.is_none_or(|place| place.is_some_and(|place| is_usable(&place)));
        if !is_known || !is_usable(&at.unwrap_or_default()) || !confidence[point].is_finite() {
            continue;
        }
        seen.indices.push(landmark);
        seen.pixels.extend(at);
        seen.confidence.push(confidence[point].clamp(0.0, 1.0));
        seen.world.extend(metres.flatten());
    }
    let mean = seen.confidence.iter().sum::<f32>() / seen.confidence.len().max(1) as f32;
    Ok((mean >= SEEN).then_some(seen))
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
                if part.values.len() != count * bins {
                    return Err(wrong(&format!(
                        "{count}, {} and {count}, {} (points, and `split` times the input's sides)",
                        sizes[0], sizes[1]
                    )));
                }
            }
            let axis = |part: &Part<'_>, bins: usize| {
                part.values.chunks_exact(bins).map(|row| peak(row, |v| v)).collect::<Vec<_>>()
            };
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
                        Align::Centers => (place[axis] + 0.5) * input / map,
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

/// Where a row of numbers is largest, between its entries by the parabola through the neighbours of `of` it; and the largest.
fn peak(row: &[f32], of: impl Fn(f32) -> f32) -> (f32, f32) {
    let largest = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(i, _)| i);
    let value = row.get(largest).copied().unwrap_or(f32::NAN);
    let beside = |i: usize| row.get(i).copied().map(&of);
    let shift = match (largest.checked_sub(1).and_then(beside), beside(largest + 1)) {
        (Some(before), Some(after)) => vertex(before, of(value), after),
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
        let row: Vec<f32> = (0..20).map(bell(7.3)).collect();
        let (at, height) = peak(&row, f32::ln);
        assert!((at - 7.3).abs() < 1e-3 && (height - bell(7.3)(7)).abs() < 1e-6);
        let map: Vec<f32> = (0..12 * 20).map(|i| bell(4.6)(i / 20) * bell(11.2)(i % 20)).collect();
        let ([x, y], _) = hottest(&map, 20);
        assert!((x - 11.2).abs() < 1e-3 && (y - 4.6).abs() < 1e-3);
        assert_eq!(peak(&[3.0, 1.0], |v| v), (0.0, 3.0), "at the edge");
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
