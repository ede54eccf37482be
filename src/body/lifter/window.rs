//! Windows of key points for the network, and its answers as the fit takes them. `models/train/scenes.py` makes the same of recordings.

use super::network::{BONES, FRAME_INPUTS, FRAMES, NETWORK, OUTPUTS, POINTS, Window};
use super::{Depth, Hypothesis, Lifted};
use crate::body::Camera;
use crate::body::heavy_landmarks::Corrected;
use crate::control::{Proceed, Stopped};
use crate::pose::skeleton::*;
use glam::{DQuat, DVec2, DVec3};

/// Seconds between two frames of a window.
const STEP: f64 = 1.0 / 30.0;
/// Frames that are further apart than this, in seconds, have nothing known between them.
const LONGEST_GAP: f64 = 0.17;
/// Windows that are shown at once.
const BATCH: usize = 16;
/// Least and greatest scale of a hypothesis.
const SCALES: [f32; 2] = [0.02, 0.7];
/// Least size of a person and least depth of a ray, over the distance.
const LEAST_SIZE: f64 = 1e-4;
const LEAST_DEPTH: f64 = 0.1;
/// Places of the hips among the points.
const HIP_POINTS: [usize; 2] = [6, 7];
/// The middle frame of a window.
const MIDDLE: usize = FRAMES / 2;

/// The points of a frame as rays (x / z, y / z) and how sure each is, 0..=1.
#[derive(Debug, Clone, Copy)]
struct Seen {
    rays: [DVec2; POINTS],
    confidence: [f64; POINTS],
}

impl Seen {
    const NOTHING: Self = Self { rays: [DVec2::ZERO; POINTS], confidence: [0.0; POINTS] };

    fn new(camera: &Camera, seen: &Corrected) -> Self {
        let pair = |i: usize| match i {
            12 => EARS,
            13 => [LEFT_TOES; 2],
            14 => [RIGHT_TOES; 2],
            _ => [JOINTS[i]; 2],
        };
        let ray = |[a, b]: Pair| {
            (seen.pixels[a].midpoint(seen.pixels[b]) - DVec2::from_array(camera.center))
                / DVec2::from_array(camera.focal)
        };
        Self {
            rays: std::array::from_fn(|i| ray(pair(i))),
            confidence: std::array::from_fn(|i| {
                let [a, b] = pair(i);
                seen.visibility[a].midpoint(seen.visibility[b])
            }),
        }
    }

    fn between(&self, other: &Self, part: f64) -> Self {
        Self {
            rays: std::array::from_fn(|i| self.rays[i].lerp(other.rays[i], part)),
            confidence: std::array::from_fn(|i| self.confidence[i] + (other.confidence[i] - self.confidence[i]) * part),
        }
    }
}

/// What the lifter says of each frame in which the person was seen. `times`: seconds of each frame.
///
/// # Errors
/// [`Stopped`] when `proceed`, which is called for every few frames, says so.
pub fn lift(
    camera: &Camera,
    times: &[f64],
    frames: &[Option<Corrected>],
    proceed: Proceed<'_>,
) -> Result<Vec<Option<Lifted>>, Stopped> {
    let usable = |seen: &Seen| seen.rays.iter().all(|p| p.is_finite()) && seen.confidence.iter().all(|c| c.is_finite());
    let seen: Vec<(usize, f64, Seen)> = times
        .iter()
        .zip(frames)
        .enumerate()
        .filter_map(|(index, (&time, frame))| Some((index, time, Seen::new(camera, frame.as_ref()?))))
        .filter(|(_, _, seen)| usable(seen))
        .collect();
    let mut lifted = vec![None; frames.len()];
    let middles: Vec<usize> = (0..seen.len()).collect();
    for batch in middles.chunks(BATCH) {
        proceed()?;
        let (axes, windows): (Vec<DVec3>, Vec<Window>) =
            batch.iter().map(|&middle| window(&around(&seen, middle))).unzip();
        for ((&middle, axis), answer) in batch.iter().zip(axes).zip(NETWORK.answer(&windows)) {
            lifted[seen[middle].0] = Some(Lifted { axis, depths: depths(&answer) });
        }
    }
    Ok(lifted)
}

/// What is seen around a frame: at its ends the track stands still, and in its gaps nothing is seen.
fn around(seen: &[(usize, f64, Seen)], middle: usize) -> [Seen; FRAMES] {
    let last = seen.len() - 1;
    let mut before = middle;
    let mut at = |offset: f64| {
        let time = (seen[middle].1 + offset).clamp(seen[0].1, seen[last].1);
        while before > 0 && seen[before].1 > time {
            before -= 1;
        }
        while before < last && seen[before + 1].1 <= time {
            before += 1;
        }
        let after = (before + 1).min(last);
        let (from, to) = (&seen[before], &seen[after]);
        let apart = to.1 - from.1;
        let part = if apart > 0.0 { ((time - from.1) / apart).clamp(0.0, 1.0) } else { 0.0 };
        let nearest = apart * part.min(1.0 - part);
        match part {
            _ if apart <= LONGEST_GAP => from.2.between(&to.2, part),
            _ if nearest > STEP / 2.0 => Seen::NOTHING,
            part if part < 0.5 => from.2,
            _ => to.2,
        }
    };
    std::array::from_fn(|frame| at((frame as f64 - MIDDLE as f64) * STEP))
}

/// What the network is shown, turned so that the middle of the hips in the middle frame lies on the camera's axis; and where that is.
fn window(seen: &[Seen; FRAMES]) -> (DVec3, Window) {
    let [left, right] = HIP_POINTS.map(|i| seen[MIDDLE].rays[i]);
    let axis = left.midpoint(right).extend(1.0).normalize();
    let turn = DQuat::from_rotation_arc(axis, DVec3::Z);
    let plane = |ray: DVec2| {
        let ray = turn * ray.extend(1.0);
        ray.truncate() / ray.z.max(LEAST_DEPTH)
    };
    let places = seen.map(|frame| frame.rays.map(plane));
    let (mut spread, mut weights) = (0.0, 0.0);
    for (places, frame) in places.iter().zip(seen) {
        let weight: f64 = frame.confidence.iter().sum();
        let sum: DVec2 = places.iter().zip(&frame.confidence).map(|(&p, &c)| p * c).sum();
        let center = sum / weight.max(1e-6);
        spread += places.iter().zip(&frame.confidence).map(|(&p, &c)| (p - center).length_squared() * c).sum::<f64>();
        weights += weight;
    }
    let size = (spread / weights.max(1e-6)).sqrt().max(LEAST_SIZE);
    let mut frames = Box::new([0.0; FRAMES * FRAME_INPUTS]);
    for ((inputs, places), frame) in frames.chunks_exact_mut(FRAME_INPUTS).zip(&places).zip(seen) {
        for (i, (&place, &confidence)) in places.iter().zip(&frame.confidence).enumerate() {
            let place = place / size * confidence;
            inputs[3 * i] = place.x as f32;
            inputs[3 * i + 1] = place.y as f32;
            inputs[3 * i + 2] = (confidence - 0.5) as f32;
        }
    }
    (axis, Window { frames, size: (6.0 * size).ln() as f32 })
}

/// The network's answer by bones.
fn depths(answer: &[f32; OUTPUTS]) -> [Depth; BONES] {
    std::array::from_fn(|bone| {
        let value = |kind: usize| answer[kind * BONES + bone];
        let first = 1.0 / (1.0 + (-value(4)).exp());
        let hypothesis = |which: usize, share: f32| Hypothesis {
            depth: value(which),
            scale: value(2 + which).exp().clamp(SCALES[0], SCALES[1]),
            share,
        };
        Depth { hypotheses: [hypothesis(0, first), hypothesis(1, 1.0 - first)] }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Example {
        rays: Vec<Vec<[f64; 2]>>,
        confidence: Vec<Vec<f64>>,
        outputs: Vec<f32>,
    }

    #[test]
    fn it_answers_what_it_answered_where_it_was_trained() {
        let examples: Vec<Example> =
            serde_json::from_str(include_str!("../../../models/lifter/examples.json")).expect("written by train.py");
        let windows: Vec<Window> = examples
            .iter()
            .map(|example| {
                let seen = |frame: usize| Seen {
                    rays: std::array::from_fn(|i| DVec2::from_array(example.rays[frame][i])),
                    confidence: std::array::from_fn(|i| example.confidence[frame][i]),
                };
                window(&std::array::from_fn(seen)).1
            })
            .collect();
        let together = NETWORK.answer(&windows);
        assert!(!together.is_empty());
        for ((example, window), answer) in examples.iter().zip(&windows).zip(&together) {
            for (ours, theirs) in answer.iter().zip(&example.outputs) {
                assert!((ours - theirs).abs() < 2e-3, "{ours} {theirs}");
            }
            assert_eq!(NETWORK.answer(std::slice::from_ref(window))[0], *answer, "it depends on the other windows");
        }
    }

    fn at(index: usize, time: f64) -> (usize, f64, Seen) {
        (index, time, Seen { rays: [DVec2::splat(time); POINTS], confidence: [1.0; POINTS] })
    }

    #[test]
    fn a_window_is_in_steps_of_a_thirtieth_whatever_the_frame_rate() {
        for rate in [24.0, 30.0, 50.0, 60.0, 240.0] {
            let seen: Vec<_> = (0..1000).map(|i| at(i, i as f64 / rate)).collect();
            let middle = 500;
            for (i, frame) in around(&seen, middle).iter().enumerate() {
                let time = 500.0 / rate + (i as f64 - 13.0) / 30.0;
                assert!((frame.rays[0].x - time).abs() < 1e-9, "{rate}: {} {time}", frame.rays[0].x);
            }
        }
    }

    #[test]
    fn ends_stand_still_and_nothing_is_known_in_gaps() {
        let seen: Vec<_> = (0..60).filter(|i| !(20..30).contains(i)).map(|i| at(i, i as f64 / 30.0)).collect();
        let first = around(&seen, 0);
        assert!((0..=13).all(|i| first[i].rays[3].x == 0.0 && first[i].confidence[3] == 1.0));
        let about = around(&seen, seen.iter().position(|s| s.0 == 19).unwrap());
        let known: Vec<bool> = about.iter().map(|frame| frame.confidence[0] > 0.0).collect();
        assert!(
            known[..14].iter().all(|k| *k) && known[14..24].iter().all(|k| !k) && known[24..].iter().all(|k| *k),
            "{known:?}"
        );
    }
}
