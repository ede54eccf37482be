//! Left and right: the network now and then exchanges them for a stretch of frames; this finds and mends those.
//!
//! A Viterbi over the track. The network exchanges arms and legs together or one of them alone, so that there are four
//! states. The cheapest sequence of them is by the motion of the joints from frame to frame, the heavy network's opinion
//! where there is one, and small costs for "exchanged" and for a twisted body.

use std::ops::Range;

use super::{Track, TrackFrame};
use crate::pose::Landmarks;
use crate::pose::skeleton::{ARMS, EYES_AND_EARS, LOWER_BODY, mirrored};

/// The points that an exchange moves: shoulders to wrists, hips to toes.
const HALVES: [Range<usize>; 2] = [ARMS, LOWER_BODY];
/// Motion beyond this share of the person's extent says no more than this much.
const MOTION_LIMIT: f32 = 0.15;
/// Cost of a frame labelled "exchanged" on no evidence, and what a visible face adds: then the network is seldom wrong.
const EXCHANGED: f32 = 0.001;
const EXCHANGED_WITH_FACE: f32 = 0.003;
/// Cost of a frame in which the network exchanged one half of the body only.
const TWISTED: f32 = 0.02;
/// The heavy network's word against the motion of one frame: less than the two steps that a frame exchanged by mistake
/// costs, so that its own mistakes pass.
const OPINION_WEIGHT: f32 = 1.0;

/// Whether arms and legs are exchanged.
type State = [bool; 2];
const STATES: [State; 4] = [[false, false], [true, true], [true, false], [false, true]];

/// Exchanges left and right, in the picture and in the world, where the whole track says they are confused. Second
/// opinions are left as they are. Returns the number of frames changed.
pub fn repair_left_right(track: &mut Track) -> usize {
    let seen: Vec<&mut TrackFrame> = track.frames.iter_mut().flatten().collect();
    if seen.is_empty() {
        return 0;
    }
    let mut extents: Vec<f32> = seen.iter().map(|o| o.landmarks.extent()).collect();
    let middle = extents.len() / 2;
    let scale = *extents.select_nth_unstable_by(middle, f32::total_cmp).1;

    let mut costs = unary(seen[0], scale);
    let mut came_from = Vec::with_capacity(seen.len());
    for pair in seen.windows(2) {
        let (last, next) = (&pair[0].landmarks, &pair[1].landmarks);
        let moved =
            HALVES.map(|half| [false, true].map(|exchanged| distance(last, next, half.clone(), exchanged, scale)));
        let step = |from: State, to: State| (0..2).map(|h| moved[h][usize::from(from[h] != to[h])]).sum::<f32>();
        let own = unary(pair[1], scale);
        let best: [(usize, f32); 4] = std::array::from_fn(|to| {
            let from = |from: usize| (from, costs[from] + step(STATES[from], STATES[to]) + own[to]);
            (1..4).map(from).fold(from(0), |best, other| if other.1 < best.1 { other } else { best })
        });
        came_from.push(best.map(|(from, _)| from));
        costs = best.map(|(_, cost)| cost);
    }
    let mut state = (1..4).fold(0, |best, other| if costs[other] < costs[best] { other } else { best });
    let mut changed = 0;
    for (index, observation) in seen.into_iter().enumerate().rev() {
        match STATES[state] {
            [true, true] => observation.landmarks.mirror(),
            [arms, legs] if arms || legs => observation.landmarks.mirror_half(arms),
            _ => {}
        }
        changed += usize::from(state != 0);
        if index > 0 {
            state = came_from[index - 1][state];
        }
    }
    changed
}

/// Cost of the states on the frame's own evidence.
fn unary(observation: &TrackFrame, scale: f32) -> [f32; 4] {
    let found = &observation.landmarks;
    let face = found.points[EYES_AND_EARS].iter().map(|p| p.visibility).sum::<f32>() / EYES_AND_EARS.len() as f32;
    STATES.map(|state| {
        let exchanged = state.iter().filter(|&&e| e).count() as f32;
        let mut cost = exchanged * (EXCHANGED + EXCHANGED_WITH_FACE * face);
        if state[0] != state[1] {
            cost += TWISTED;
        }
        if let Some(opinion) = &observation.heavy_landmarks {
            let off = |h: usize| distance(opinion, found, HALVES[h].clone(), state[h], scale);
            cost += OPINION_WEIGHT * (off(0) + off(1));
        }
        cost
    })
}

/// Robust mean distance of some points over `scale`, weighted by visibility; with `exchanged`, one body is mirrored.
fn distance(a: &Landmarks, b: &Landmarks, points: Range<usize>, exchanged: bool, scale: f32) -> f32 {
    let (mut sum, mut total) = (0.0, 1e-6);
    for i in points {
        let (p, q) = (a.points[i], b.points[if exchanged { mirrored(i) } else { i }]);
        let weight = p.visibility.min(q.visibility);
        sum += weight * ((p.x - q.x).hypot(p.y - q.y) / scale).min(MOTION_LIMIT);
        total += weight;
    }
    sum / total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::synthetic;

    fn track(exchanged: std::ops::Range<usize>) -> Track {
        let observation = |i: usize| {
            let mut landmarks = synthetic::person([100.0 + i as f32, 200.0], 100.0);
            if exchanged.contains(&i) {
                landmarks.mirror();
            }
            Some(TrackFrame { landmarks, heavy_landmarks: None, uncertain: false })
        };
        Track { id: 1, first_frame: 0, frames: (0..30).map(observation).collect() }
    }

    #[test]
    fn an_exchanged_stretch_is_mended_in_picture_and_world() {
        let mut mended = track(10..18);
        assert_eq!(repair_left_right(&mut mended), 8);
        assert_eq!(mended, track(0..0));
    }

    #[test]
    fn arms_exchanged_alone_are_mended_alone() {
        let mut mended = track(0..0);
        for i in 10..18 {
            mended.frames[i].as_mut().unwrap().landmarks.mirror_half(true);
        }
        assert_eq!(repair_left_right(&mut mended), 8);
        assert_eq!(mended, track(0..0));
    }

    #[test]
    fn one_mistaken_opinion_exchanges_nothing() {
        let mut good = track(0..0);
        for frame in [2, 12, 22] {
            let observation = good.frames[frame].as_mut().unwrap();
            let mut opinion = observation.landmarks.clone();
            if frame == 12 {
                opinion.mirror();
            }
            observation.heavy_landmarks = Some(Box::new(opinion));
        }
        assert_eq!(repair_left_right(&mut good), 0);
    }

    #[test]
    fn one_opinion_mends_a_track_that_is_exchanged_throughout() {
        let mut mended = track(0..30);
        let truth = track(0..0).frames[12].take().unwrap().landmarks;
        mended.frames[12].as_mut().unwrap().heavy_landmarks = Some(Box::new(truth));
        assert_eq!(repair_left_right(&mut mended), 30);
    }

    #[test]
    fn a_good_track_and_an_empty_one_are_left_alone() {
        let mut good = track(0..0);
        good.frames[5] = None;
        assert_eq!(repair_left_right(&mut good), 0);
        assert_eq!(repair_left_right(&mut Track { id: 1, first_frame: 0, frames: vec![] }), 0);
    }
}
