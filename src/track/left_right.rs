//! Left/right repair: the network now and then exchanges left and right for a stretch of frames, and this exchanges them back.
//!
//! The network exchanges arms and legs together or one of them alone, so that each look is in one of four states. The likeliest sequence
//! of states over all looks at a person is found by dynamic programming (Viterbi 1967), where costs come from the motion of the joints from look to
//! look, from the heavy network's landmarks where there are any, and from how seldom each state is.

use std::ops::Range;

use super::TrackletObservation;
use super::link::Person;
use crate::pose::Landmarks;
use crate::pose::skeleton::{ARMS, EYES_AND_EARS, LOWER_BODY, mirrored};

/// The points that are exchanged together: shoulders to wrists, hips to toes.
const HALVES: [Range<usize>; 2] = [ARMS, LOWER_BODY];
/// A point that moves further than this, over the person's extent, counts as if it had moved just so far.
const MOTION_LIMIT: f32 = 0.15;
/// Cost of a look in which one half is exchanged. Like all costs it is a motion over the person's extent.
const EXCHANGED: f32 = 0.001;
/// What a visible face adds to it: then the network is seldom wrong.
const EXCHANGED_WITH_FACE: f32 = 0.003;
/// What is added for a look in which only one of the halves is exchanged.
const TWISTED: f32 = 0.02;
/// Weight of the distance from the heavy network's landmarks against the motion from one look to the next. One look in which the heavy
/// network is wrong must weigh less than the exchange there and the exchange back.
const HEAVY_WEIGHT: f32 = 1.0;

/// Whether arms and legs are exchanged.
type State = [bool; 2];
const STATES: [State; 4] = [[false, false], [true, true], [true, false], [false, true]];

/// Exchanges left and right, in the picture and in the world, where all looks at a person together say that the network confused them. The heavy
/// network's landmarks stay as they are, and so do frames that are interpolated. Gives the number of looks changed.
pub(super) fn repair_left_right(person: &mut Person) -> usize {
    let looks: Vec<&mut TrackletObservation> =
        person.values_mut().map(Box::as_mut).filter(|one| !one.is_interpolated).collect();
    if looks.is_empty() {
        return 0;
    }
    let mut extents: Vec<f32> = looks.iter().map(|look| look.observation.landmarks.extent()).collect();
    let middle = extents.len() / 2;
    let scale = *extents.select_nth_unstable_by(middle, f32::total_cmp).1;

    let mut costs = unary(looks[0], scale);
    let mut came_from = Vec::with_capacity(looks.len());
    for pair in looks.windows(2) {
        let (last, next) = (&pair[0].observation.landmarks, &pair[1].observation.landmarks);
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
    for (index, look) in looks.into_iter().enumerate().rev() {
        match STATES[state] {
            [true, true] => look.observation.landmarks.mirror(),
            [arms, legs] if arms || legs => look.observation.landmarks.mirror_half(arms),
            _ => {}
        }
        changed += usize::from(state != 0);
        if index > 0 {
            state = came_from[index - 1][state];
        }
    }
    changed
}

/// Cost of the states of one look by itself.
fn unary(look: &TrackletObservation, scale: f32) -> [f32; 4] {
    let found = &look.observation.landmarks;
    let face = found.points[EYES_AND_EARS].iter().map(|p| p.visibility).sum::<f32>() / EYES_AND_EARS.len() as f32;
    STATES.map(|state| {
        let exchanged = state.iter().filter(|&&e| e).count() as f32;
        let mut cost = exchanged * (EXCHANGED + EXCHANGED_WITH_FACE * face);
        if state[0] != state[1] {
            cost += TWISTED;
        }
        if let Some(heavy) = &look.heavy_landmarks {
            let off = |h: usize| distance(heavy, found, HALVES[h].clone(), state[h], scale);
            cost += HEAVY_WEIGHT * (off(0) + off(1));
        }
        cost
    })
}

/// Mean distance of some points over `scale` (pixels), weighted by visibility, each at most [`MOTION_LIMIT`]; with `exchanged`, one of
/// the bodies is mirrored.
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

    /// Somebody who is looked at in 30 frames, with left and right exchanged in some.
    fn person(exchanged: Range<u64>) -> Person {
        let look = |frame: u64| {
            let mut one = synthetic::seen(frame, 1, [100.0 + frame as f32, 200.0], 100.0, [0; 3]);
            if exchanged.contains(&frame) {
                one.observation.landmarks.mirror();
            }
            (frame, Box::new(one))
        };
        (0..30).map(look).collect()
    }

    fn landmarks(person: &mut Person, frame: u64) -> &mut Landmarks {
        &mut person.get_mut(&frame).unwrap().observation.landmarks
    }

    #[test]
    fn an_exchanged_stretch_is_mended_in_picture_and_world() {
        let mut mended = person(10..18);
        assert_eq!(repair_left_right(&mut mended), 8);
        assert_eq!(mended, person(0..0));
    }

    #[test]
    fn arms_exchanged_alone_are_mended_alone() {
        let mut mended = person(0..0);
        (10..18).for_each(|frame| landmarks(&mut mended, frame).mirror_half(true));
        assert_eq!(repair_left_right(&mut mended), 8);
        assert_eq!(mended, person(0..0));
    }

    #[test]
    fn one_mistake_of_the_heavy_network_exchanges_nothing() {
        let mut good = person(0..0);
        for frame in [2, 12, 22] {
            let mut heavy = landmarks(&mut good, frame).clone();
            if frame == 12 {
                heavy.mirror();
            }
            good.get_mut(&frame).unwrap().heavy_landmarks = Some(Box::new(heavy));
        }
        assert_eq!(repair_left_right(&mut good), 0);
    }

    #[test]
    fn one_answer_of_the_heavy_network_mends_a_person_who_is_exchanged_throughout() {
        let mut mended = person(0..30);
        let truth = landmarks(&mut person(0..0), 12).clone();
        mended.get_mut(&12).unwrap().heavy_landmarks = Some(Box::new(truth));
        assert_eq!(repair_left_right(&mut mended), 30);
    }

    #[test]
    fn what_is_interpolated_has_no_say() {
        let mut mended = person(10..18);
        mended.values_mut().filter(|one| one.frame % 3 != 0).for_each(|one| one.is_interpolated = true);
        assert_eq!(repair_left_right(&mut mended), 2, "frames 12 and 15");
    }

    #[test]
    fn a_good_person_and_an_empty_one_are_left_alone() {
        let mut good = person(0..0);
        good.remove(&5);
        assert_eq!(repair_left_right(&mut good), 0);
        assert_eq!(repair_left_right(&mut Person::new()), 0);
    }
}
