//! Left and right: the network now and then exchanges them for a stretch of frames; this finds and mends those.
//!
//! A two-state Viterbi over the track (as found, or exchanged): the cheapest sequence of states by the motion of the
//! joints from frame to frame, the heavy network's opinion where there is one, and a small cost for "exchanged".

use super::{
    Observation, Track,
    likeness::{mirror, mirrored},
};
use crate::pose::Landmarks;

/// Shoulders to wrists, hips to toes: the points that an exchange moves.
const LIMBS: [usize; 16] = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32];
/// Motion beyond this share of the person's extent says no more than this much.
const MOTION_LIMIT: f32 = 0.15;
/// Cost of a frame labelled "exchanged" on no evidence, and what a visible face adds: then the network is seldom wrong.
const EXCHANGED: f32 = 0.001;
const EXCHANGED_WITH_FACE: f32 = 0.003;
/// The heavy network's word against the motion of one frame.
const OPINION_WEIGHT: f32 = 4.0;

/// Exchanges left and right, in the picture and in the world, where the whole track says they are confused. Second
/// opinions are left as they are. Returns the number of frames changed.
pub fn repair_sides(track: &mut Track) -> usize {
    let seen: Vec<&mut Observation> = track.observations.iter_mut().flatten().collect();
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
        let (kept, exchanged) = (distance(last, next, false, scale), distance(last, next, true, scale));
        let step = [[kept, exchanged], [exchanged, kept]];
        let own = unary(pair[1], scale);
        let best = [0, 1].map(|to: usize| {
            let from = [0, 1].map(|from: usize| costs[from] + step[from][to]);
            if from[1] < from[0] { (1, from[1] + own[to]) } else { (0, from[0] + own[to]) }
        });
        came_from.push(best.map(|(from, _)| from));
        costs = best.map(|(_, cost)| cost);
    }
    let mut state = usize::from(costs[1] < costs[0]);
    let mut changed = 0;
    for (index, observation) in seen.into_iter().enumerate().rev() {
        if state == 1 {
            mirror(&mut observation.landmarks);
            changed += 1;
        }
        if index > 0 {
            state = came_from[index - 1][state];
        }
    }
    changed
}

/// Cost of the two states on the frame's own evidence.
fn unary(observation: &Observation, scale: f32) -> [f32; 2] {
    let found = &observation.landmarks;
    let face = found.points[..9].iter().map(|p| p.visibility).sum::<f32>() / 9.0;
    let mut costs = [0.0, EXCHANGED + EXCHANGED_WITH_FACE * face];
    if let Some(opinion) = &observation.second_opinion {
        costs[0] += OPINION_WEIGHT * distance(opinion, found, false, scale);
        costs[1] += OPINION_WEIGHT * distance(opinion, found, true, scale);
    }
    costs
}

/// Robust mean distance of the limbs over `scale`, weighted by visibility; with `exchanged`, one body is mirrored.
fn distance(a: &Landmarks, b: &Landmarks, exchanged: bool, scale: f32) -> f32 {
    let (mut sum, mut total) = (0.0, 1e-6);
    for i in LIMBS {
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
                mirror(&mut landmarks);
            }
            Some(Observation { landmarks, second_opinion: None, uncertain: false })
        };
        Track { id: 1, first_frame: 0, observations: (0..30).map(observation).collect() }
    }

    #[test]
    fn an_exchanged_stretch_is_mended_in_picture_and_world() {
        let mut mended = track(10..18);
        assert_eq!(repair_sides(&mut mended), 8);
        assert_eq!(mended, track(0..0));
    }

    #[test]
    fn one_opinion_mends_a_track_that_is_exchanged_throughout() {
        let mut mended = track(0..30);
        let truth = track(0..0).observations[12].take().unwrap().landmarks;
        mended.observations[12].as_mut().unwrap().second_opinion = Some(Box::new(truth));
        assert_eq!(repair_sides(&mut mended), 30);
    }

    #[test]
    fn a_good_track_and_an_empty_one_are_left_alone() {
        let mut good = track(0..0);
        good.observations[5] = None;
        assert_eq!(repair_sides(&mut good), 0);
        assert_eq!(repair_sides(&mut Track { id: 1, first_frame: 0, observations: vec![] }), 0);
    }
}
