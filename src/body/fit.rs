//! Fits a body to a person's whole track: one shape, a pose a frame.
//!
//! The track is known as a whole, so nothing is causal: the shape comes from the best frames, each pose leans on both its
//! neighbours, gaps are bridged from both sides, and smoothing has no lag. The recipe: a forward pass (each frame
//! starts at the one before), a backward sweep with both neighbours (Gauss-Seidel over the whole track), smoothing, and last
//! feet that stand still are held where they are.

use super::evidence::{Evidence, LandmarkSet};
use super::initial::{self, Points};
use super::kinematics::Skeleton;
use super::model::Body;
use super::solve::{Context, Planted, Solver, State};
use super::stance::{self, Footing};
use super::{Camera, FittedPose, FittedTrack, Pose, confidence, opinion, smooth};
use crate::track::Track;
use glam::{DQuat, DVec2, DVec3};
use nalgebra::{DMatrix, DVector};

/// How to fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitOptions {
    /// Scales the widths of the smoothing over time; 1 is usual, 0 turns it off.
    pub smoothing: f64,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self { smoothing: 1.0 }
    }
}

/// Frames the shape is estimated from.
const SHAPE_FRAMES: usize = 16;
/// Rounds of pose, then shape.
const SHAPE_ROUNDS: usize = 3;
/// Standard deviation of a joint's rotation from one frame to the next at 60 frames a second, radians.
const ROTATION_STEP: f64 = 0.12;
/// Standard deviation of the position from its expectation, at 60 frames a second, metres.
const POSITION_STEP: DVec3 = DVec3::new(0.05, 0.05, 0.10);
/// How much of its velocity a body is expected to keep.
const INERTIA: f64 = 0.8;
/// Reach ([`Solver::set_reach`]) of the search for a body that moved far.
const WIDE: f64 = 8.0;
/// Frames further apart than this do not know about each other, seconds.
const MEMORY: f64 = 0.5;

/// How far holding a foot may turn a joint, radians, and move the body, metres (standard deviations).
const HOLD_ROTATION: f64 = 0.03;
const HOLD_POSITION: f64 = 0.01;

/// One frame with what is known of it.
struct Seen {
    /// Index into the track's observations.
    index: usize,
    time: f64,
    evidence: Evidence,
}

/// Fits `body` to a track. `times` are the seconds of the video's frames from its first (index = frame number); frames beyond its end
/// are taken to follow at its last step.
pub fn fit_track(body: &Body, camera: &Camera, times: &[f64], track: &Track, options: FitOptions) -> FittedTrack {
    let set = LandmarkSet::new(body);
    let all_times: Vec<f64> =
        (0..track.observations.len()).map(|i| time_of(times, track.first_frame as usize + i)).collect();
    let corrected = opinion::correct(&all_times, &track.observations);
    let seen: Vec<Seen> = corrected
        .iter()
        .enumerate()
        .filter_map(|(index, c)| {
            let evidence = Evidence::new(&set, camera, c.as_ref()?)?;
            Some(Seen { index, time: all_times[index], evidence })
        })
        .collect();
    let shape = estimate_shape(body, camera, &set, &seen);
    if seen.is_empty() {
        return FittedTrack { id: track.id, first_frame: track.first_frame, shape, poses: Vec::new() };
    }
    let mut solver = Solver::new(*camera, Skeleton::new(body, &shape), &set);
    let mut states = forward(&mut solver, camera, &seen);
    refine(&mut solver, &seen, &mut states);
    let bridged = bridge(&all_times, &seen, &states);
    let mut smoothed = smooth::smooth(&all_times, &bridged, options.smoothing);
    let planted = find_stance(&mut solver, camera, &set, &all_times, &smoothed);
    for (state, planted) in smoothed.iter_mut().zip(planted) {
        hold(&mut solver, &set, state, planted);
    }

    let mut visibility = vec![None; all_times.len()];
    for s in &seen {
        visibility[s.index] = Some(s.evidence.visibility);
    }
    let confidence = confidence::joint_confidence(body, &all_times, &visibility);
    let poses = smoothed
        .into_iter()
        .zip(confidence)
        .zip(track.observations.iter().zip(visibility))
        .map(|((state, confidence), (observation, visibility))| FittedPose {
            pose: Pose { position: state.position, rotations: state.rotations, confidence },
            score: match (observation, visibility) {
                (Some(o), Some(v)) => confidence::person_score(&v, o.landmarks.score),
                _ => 0.0,
            },
            uncertain: observation.as_ref().is_some_and(|o| o.uncertain),
        })
        .collect();
    FittedTrack { id: track.id, first_frame: track.first_frame, shape, poses }
}

/// Which heels and toes stand still in each frame, and where.
fn find_stance(
    solver: &mut Solver,
    camera: &Camera,
    set: &LandmarkSet,
    times: &[f64],
    states: &[State],
) -> Vec<Vec<Planted>> {
    let places: Vec<Vec<DVec3>> = states
        .iter()
        .map(|state| solver.landmarks(&state.rotations).iter().map(|p| *p + state.position).collect())
        .collect();
    let pixels: Vec<Vec<DVec2>> =
        places.iter().map(|list| list.iter().map(|&p| DVec2::from_array(camera.project(p))).collect()).collect();
    let frames: Vec<Footing> = times
        .iter()
        .zip(places.iter().zip(&pixels))
        .map(|(&time, (places, pixels))| Footing { time, places, pixels })
        .collect();
    stance::planted(set, &frames)
}

/// Moves a smoothed pose as little as possible so that planted feet stay where they are.
fn hold(solver: &mut Solver, set: &LandmarkSet, state: &mut State, planted: Vec<Planted>) {
    if planted.is_empty() {
        return;
    }
    let smoothed = state.clone();
    let context = Context {
        neighbours: vec![(&smoothed.rotations, HOLD_ROTATION.powi(-2))],
        position: Some((smoothed.position, DVec3::splat(HOLD_POSITION.powi(-2)))),
        planted,
    };
    solver.solve(state, &Evidence::none(set), &context, 2);
}

fn time_of(times: &[f64], frame: usize) -> f64 {
    match times {
        [.., before, last] if frame >= times.len() => last + (last - before) * (frame + 1 - times.len()) as f64,
        _ => times.get(frame).copied().unwrap_or(frame as f64 / 30.0),
    }
}

/// Closed-form start of one frame.
fn start(solver: &mut Solver, camera: &Camera, rest: &Points, evidence: &Evidence) -> State {
    let rotations = initial::pose_from_world(solver.skeleton().body(), rest, &evidence.points);
    let points = solver.landmarks(&rotations);
    let position = initial::position(camera, points, &evidence.pixels, &evidence.weights).unwrap_or_else(|| {
        // From the size alone: a standing person's box has a diagonal of about 1.8 m.
        let z = (camera.focal[0] * 1.8 / evidence.scale).clamp(0.5, 500.0);
        let middle = evidence.pixels.iter().sum::<DVec2>() / evidence.pixels.len() as f64;
        let aside = (middle - DVec2::from_array(camera.center)) * z;
        DVec3::new(aside.x / camera.focal[0], aside.y / camera.focal[1], z)
    });
    State { rotations, position }
}

/// The shape that explains a dozen or so well-seen frames spread over the track.
fn estimate_shape(body: &Body, camera: &Camera, set: &LandmarkSet, seen: &[Seen]) -> Vec<f64> {
    let chosen = shape_frames(seen);
    let worlds: Vec<Points> = chosen.iter().map(|&i| seen[i].evidence.points).collect();
    let mut shape = initial::shape_from_bones(body, &worlds);
    if chosen.is_empty() || body.shapes == 0 {
        return shape;
    }
    let mut states: Vec<Option<State>> = vec![None; chosen.len()];
    for _ in 0..SHAPE_ROUNDS {
        let skeleton = Skeleton::new(body, &shape);
        let rest = initial::rest_points(&skeleton);
        let mut solver = Solver::new(*camera, skeleton, set);
        let mut normal = DMatrix::<f64>::identity(body.shapes, body.shapes);
        let mut gradient = DVector::from_column_slice(&shape);
        for (&i, state) in chosen.iter().zip(&mut states) {
            let evidence = &seen[i].evidence;
            let mut at = state.take().unwrap_or_else(|| start(&mut solver, camera, &rest, evidence));
            solver.solve(&mut at, evidence, &Context::default(), 6);
            if let Some(part) = solver.shape_normal(&at, evidence) {
                normal += part.normal;
                gradient += part.gradient;
            }
            *state = Some(at);
        }
        if let Some(factor) = normal.cholesky() {
            let step = factor.solve(&gradient);
            for (value, step) in shape.iter_mut().zip(step.iter()) {
                *value = (*value - step).clamp(-4.0, 4.0);
            }
        }
    }
    shape
}

/// The best-seen frame of each of as many equal stretches of the track.
fn shape_frames(seen: &[Seen]) -> Vec<usize> {
    let count = SHAPE_FRAMES.min(seen.len());
    let quality = |i: usize| seen[i].evidence.weights.iter().sum::<f64>();
    (0..count)
        .filter_map(|n| {
            let stretch = n * seen.len() / count..(n + 1) * seen.len() / count;
            stretch.max_by(|&a, &b| quality(a).total_cmp(&quality(b)).then(b.cmp(&a)))
        })
        .collect()
}

/// One over the variance of a step that takes `seconds`.
fn rotation_precision(seconds: f64) -> f64 {
    (ROTATION_STEP * 60.0 * seconds.max(1e-3)).powi(-2)
}

fn position_precision(seconds: f64) -> DVec3 {
    let sigma = POSITION_STEP * (60.0 * seconds.max(1e-3));
    (sigma * sigma).recip()
}

fn forward(solver: &mut Solver, camera: &Camera, seen: &[Seen]) -> Vec<State> {
    let rest = initial::rest_points(solver.skeleton());
    let mut states: Vec<State> = Vec::with_capacity(seen.len());
    for (i, frame) in seen.iter().enumerate() {
        let before = i.checked_sub(1).filter(|&b| frame.time - seen[b].time <= MEMORY);
        let Some(b) = before else {
            let mut state = start(solver, camera, &rest, &frame.evidence);
            solver.solve(&mut state, &frame.evidence, &Context::default(), 10);
            states.push(state);
            continue;
        };
        let step = frame.time - seen[b].time;
        let velocity = match b.checked_sub(1) {
            Some(a) if seen[b].time - seen[a].time <= MEMORY && seen[b].time > seen[a].time => {
                (states[b].position - states[a].position) / (seen[b].time - seen[a].time)
            }
            _ => DVec3::ZERO,
        };
        let expected = states[b].position + velocity * (INERTIA * step);
        let context = Context {
            neighbours: vec![(&states[b].rotations, rotation_precision(step))],
            position: Some((expected, position_precision(step))),
            planted: Vec::new(),
        };
        // Usually the frame before is the better start, but not when the body moved far since.
        let mut near = states[b].clone();
        solver.solve(&mut near, &frame.evidence, &context, 5);
        solver.set_reach(WIDE);
        let mut far = start(solver, camera, &rest, &frame.evidence);
        if solver.cost(&near, &frame.evidence, &context) < solver.cost(&far, &frame.evidence, &context) {
            far = near.clone();
        }
        solver.solve(&mut far, &frame.evidence, &context, 3);
        solver.set_reach(1.0);
        solver.solve(&mut far, &frame.evidence, &context, 5);
        // Where the body was expected has no say here: once lost, it would stay lost.
        let free = Context { position: None, ..context };
        let cost = |solver: &mut Solver, state: &State| solver.cost(state, &frame.evidence, &free);
        let state = if cost(solver, &near) <= cost(solver, &far) { near } else { far };
        states.push(state);
    }
    states
}

/// Solves each frame again, given both its neighbours, from the last to the first.
fn refine(solver: &mut Solver, seen: &[Seen], states: &mut [State]) {
    for i in (0..seen.len()).rev() {
        let near = |n: &usize| *n < seen.len() && (seen[*n].time - seen[i].time).abs() <= MEMORY;
        let neighbours: Vec<usize> = [i.checked_sub(1), Some(i + 1)].into_iter().flatten().filter(near).collect();
        let mut state = states[i].clone();
        let step = |n: usize| (seen[n].time - seen[i].time).abs();
        let position = match neighbours[..] {
            [a, b] => {
                let part = step(a) / (step(a) + step(b)).max(1e-9);
                let middle = states[a].position.lerp(states[b].position, part);
                Some((middle, position_precision(step(a).min(step(b)))))
            }
            [a] => Some((states[a].position, position_precision(step(a)))),
            _ => None,
        };
        let context = Context {
            neighbours: neighbours.iter().map(|&n| (&states[n].rotations[..], rotation_precision(step(n)))).collect(),
            position,
            planted: Vec::new(),
        };
        solver.solve(&mut state, &seen[i].evidence, &context, 3);
        states[i] = state;
    }
}

/// A state for every frame of the track: those not seen lie between their neighbours, or are as the nearest at the ends.
fn bridge(times: &[f64], seen: &[Seen], states: &[State]) -> Vec<State> {
    let mut after = 0;
    times
        .iter()
        .enumerate()
        .map(|(index, &time)| {
            while after < seen.len() && seen[after].index < index {
                after += 1;
            }
            match (after.checked_sub(1), seen.get(after)) {
                (_, Some(s)) if s.index == index => states[after].clone(),
                (None, _) => states[0].clone(),
                (Some(b), None) => states[b].clone(),
                (Some(b), Some(s)) => {
                    let part = ((time - seen[b].time) / (s.time - seen[b].time).max(1e-9)).clamp(0.0, 1.0);
                    between(&states[b], &states[after], part)
                }
            }
        })
        .collect()
}

fn between(a: &State, b: &State, part: f64) -> State {
    let rotations = a.rotations.iter().zip(&b.rotations).map(|(p, &q)| slerp(*p, q, part)).collect();
    State { rotations, position: a.position.lerp(b.position, part) }
}

fn slerp(a: DQuat, b: DQuat, part: f64) -> DQuat {
    (a * super::rotation::exp(super::rotation::log(a.inverse() * b) * part)).normalize()
}
