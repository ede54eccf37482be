//! Fits a body to a person's whole track: one shape, a pose a frame.
//!
//! The track is known as a whole, so nothing is causal: the shape comes from the best frames, each pose leans on both its
//! neighbours, gaps are bridged from both sides, and smoothing has no lag. The steps of [`fit_track`], a file each:
//!
//! 1. `heavy_landmarks`: the landmarks of each frame, corrected by the heavy network's; `lifter`: what their motion says about depth ->
//!    `measurement`: what the fit is given;
//! 2. the shape, from some frames that show the person best (`levenberg_marquardt` fits one frame's pose);
//! 3. `sequence_fit`: a pose for each look at the person, in which neighbours agree; the frames between are interpolated on a curve through these. Where a network
//!    of the user's own gives bodies, shape and poses come from it (`estimated_sequence`);
//! 4. `smooth`: smoothing over time;
//! 5. `foot_contacts`: feet that rest are held where they are;
//! 6. `hand`: the fingers, and a little turn of the wrists;
//! 7. `confidence`: how well each part of the body was seen, and `doubt`: where the pose may be wrong.

use super::estimated_sequence::Estimated;
use super::foot_contacts::{self, FootFrame};
use super::initial;
use super::kinematics::Skeleton;
use super::levenberg_marquardt::{Context, FootContact, Solver, State};
use super::measurement::{LandmarkSet, Measurement};
use super::model::Body;
use super::sequence_fit::{MeasuredFrame, begin, fit_sequence, start};
use super::{
    Camera, FittedPose, FittedTrack, Pose, confidence, doubt, hand, heavy_landmarks, lifter, rotation, smooth,
};
use crate::control::{Proceed, Stopped};
use crate::curve;
use crate::track::Track;
use glam::{DQuat, DVec2, DVec3};
use nalgebra::{DMatrix, DVector};

/// How to fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitOptions {
    /// Scales the widths of the smoothing over time; 1 is usual, 0 turns it off.
    pub smoothing: f64,
    /// How tall people are taken to be, metres; a network that gives bodies says so itself.
    pub stature: f64,
    /// Whether the bodies that a network gives are fitted to the points in the picture.
    pub refine: bool,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self { smoothing: 1.0, stature: STATURE, refine: false }
    }
}

/// Mean height of an adult, metres: between the world's 1.65 (men 1.71, women 1.59) and the richer countries' 1.72 (NCD Risk Factor
/// Collaboration, *eLife* 2016).
pub const STATURE: f64 = 1.70;
/// How far a body's height may be from what it is taken to be: standard deviation, metres. One camera cannot tell size from distance: left to itself the
/// fit would read size from perspective, and so from the guessed focal length.
const STATURE_SIGMA: f64 = 0.02;
/// Frames the shape is estimated from.
const SHAPE_FRAMES: usize = 24;
/// The shape is estimated in so many rounds, each for the poses of the one before.
const SHAPE_ROUNDS: usize = 4;
/// Frames up to which each is begun from all starts to find the shape.
const FEW: usize = 4;
/// Steps of the solver for the poses in each round.
const SHAPE_STEPS: usize = 3;
/// The shape's coefficients stay within this, either way.
const MOST_SHAPE: f64 = 4.0;
/// How far holding a foot may turn a joint: standard deviation, radians.
const HOLD_ROTATION: f64 = 0.03;
/// How far it may move the body: standard deviation, metres.
const HOLD_POSITION: f64 = 0.01;
/// Seconds between two frames that were measured up to which the way from one to the other is curved as the motion is. Over longer ones nothing is
/// known of it.
const CURVED: f64 = 0.25;
/// Steps of the solver for holding feet.
const HOLD_STEPS: usize = 2;

/// Fits `body` to a track. `times` are the seconds of the video's frames from its first (index = frame number); frames beyond its end
/// are taken to follow at its last step.
///
/// # Errors
/// [`Stopped`] when `proceed`, which is called every few milliseconds, says so.
pub fn fit_track(
    body: &Body,
    camera: &Camera,
    times: &[f64],
    track: &Track,
    options: FitOptions,
    proceed: Proceed<'_>,
) -> Result<FittedTrack, Stopped> {
    proceed()?;
    let set = LandmarkSet::new(body);
    let all_times: Vec<f64> = (0..track.frames.len()).map(|i| time_of(times, track.first_frame as usize + i)).collect();
    let mut corrected = heavy_landmarks::correct(&all_times, &track.frames, proceed)?;
    let seen_hands = hand::seen(&track.frames);
    hand::correct(&all_times, &mut corrected, &seen_hands);
    let estimated = Estimated::new(body, &track.frames);
    let mut lifted = match estimated {
        Some(_) => vec![None; corrected.len()],
        None => lifter::lift(camera, &all_times, &corrected, proceed)?,
    };
    let mut measured: Vec<MeasuredFrame> = Vec::new();
    for (index, corrected) in corrected.iter().enumerate() {
        proceed()?;
        let Some(measurement) = corrected.as_ref().and_then(|seen| Measurement::new(&set, camera, seen)) else {
            continue;
        };
        let measurement = Measurement { lifted: lifted[index].take(), ..measurement };
        measured.push(MeasuredFrame { index, time: all_times[index], measurement });
    }
    let mut visibility = vec![None; all_times.len()];
    for s in &measured {
        visibility[s.index] = Some(s.measurement.visibility);
    }
    // What is interpolated says nothing that the looks around it do not say: the poses there are interpolated instead. A network's bodies are fitted to
    // each frame by itself.
    let is_look = |s: &mut MeasuredFrame| track.frames[s.index].as_ref().is_some_and(|frame| !frame.is_interpolated);
    let mut looks: Vec<MeasuredFrame> = Vec::new();
    let mut between = measured;
    match &estimated {
        Some(_) => std::mem::swap(&mut looks, &mut between),
        None => looks.extend(between.extract_if(.., is_look)),
    }
    let shape = match &estimated {
        Some(estimated) => estimated.shape().to_vec(),
        None => estimate_shape(body, camera, &set, &looks, options.stature, proceed)?,
    };
    if looks.is_empty() {
        return Ok(FittedTrack { id: track.id, first_frame: track.first_frame, shape, poses: Vec::new() });
    }
    let mut solver = Solver::new(*camera, Skeleton::new(body, &shape), &set);
    let states = match &estimated {
        Some(estimated) => {
            let refined = options.refine.then_some(&set);
            let (followed, states) = estimated.fit(&mut solver, camera, refined, &all_times, looks, proceed)?;
            looks = followed;
            states
        }
        None => fit_sequence(&mut solver, camera, &looks, proceed)?,
    };
    let bridged = bridge(&all_times, &looks, &states);
    let mut smoothed = smooth::smooth(&all_times, &bridged, options.smoothing, proceed)?;
    // Whoever wants a network's poses as they are wants them so.
    if estimated.is_none() || options.smoothing > 0.0 {
        let contacts = find_contacts(&mut solver, camera, &set, &all_times, &smoothed, proceed)?;
        for (state, contacts) in smoothed.iter_mut().zip(contacts) {
            proceed()?;
            hold(&mut solver, &set, state, contacts);
        }
    }

    // How far a network's body is from these landmarks says nothing where it was not fitted to them.
    let is_fitted = estimated.is_none() || options.refine;
    let compared = looks.iter().chain(&between).filter(|_| is_fitted);
    let off = doubt::off(camera, &mut solver, compared, &smoothed, proceed)?;
    let doubtful = doubt::doubtful(&all_times, &track.frames, &off, proceed)?;
    let hands = hand::fit(body, &shape, camera, &all_times, &smoothed, &seen_hands, proceed)?;
    let confidence = confidence::joint_confidence(body, &all_times, &visibility, proceed)?;
    let poses = smoothed
        .into_iter()
        .zip(confidence)
        .zip(track.frames.iter().zip(visibility))
        .enumerate()
        .map(|(index, ((state, confidence), (observation, visibility)))| FittedPose {
            pose: Pose { position: state.position, rotations: hands.put(body, index, state.rotations), confidence },
            score: match (observation, visibility) {
                (Some(o), Some(v)) => confidence::person_score(&v, o.landmarks.score),
                _ => 0.0,
            },
            uncertain: observation.as_ref().is_some_and(|o| o.uncertain),
            doubtful: doubtful[index],
            hands: hands.seen[index],
        })
        .collect();
    Ok(FittedTrack { id: track.id, first_frame: track.first_frame, shape, poses })
}

/// Which heels and toes stand still in each frame, and where.
fn find_contacts(
    solver: &mut Solver,
    camera: &Camera,
    set: &LandmarkSet,
    times: &[f64],
    states: &[State],
    proceed: Proceed<'_>,
) -> Result<Vec<Vec<FootContact>>, Stopped> {
    let mut places: Vec<Vec<DVec3>> = Vec::with_capacity(states.len());
    for state in states {
        proceed()?;
        places.push(solver.landmarks(&state.rotations).iter().map(|p| *p + state.position).collect());
    }
    let pixels: Vec<Vec<DVec2>> =
        places.iter().map(|list| list.iter().map(|&p| DVec2::from_array(camera.project(p))).collect()).collect();
    let frames: Vec<FootFrame> = times
        .iter()
        .zip(places.iter().zip(&pixels))
        .map(|(&time, (places, pixels))| FootFrame { time, places, pixels })
        .collect();
    foot_contacts::foot_contacts(set, &frames, proceed)
}

/// Moves a smoothed pose as little as possible so that feet in contact stay where they are.
fn hold(solver: &mut Solver, set: &LandmarkSet, state: &mut State, contacts: Vec<FootContact>) {
    if contacts.is_empty() {
        return;
    }
    let smoothed = state.clone();
    let context = Context {
        neighbours: vec![(&smoothed.rotations, HOLD_ROTATION.powi(-2))],
        position: Some((smoothed.position, DVec3::splat(HOLD_POSITION.powi(-2)))),
        contacts,
    };
    solver.solve(state, &Measurement::none(set), &context, HOLD_STEPS);
}

fn time_of(times: &[f64], frame: usize) -> f64 {
    match times {
        [.., before, last] if frame >= times.len() => last + (last - before) * (frame + 1 - times.len()) as f64,
        _ => times.get(frame).copied().unwrap_or(frame as f64 / 30.0),
    }
}

/// The shape that explains some well-seen frames spread over the track, for somebody about this tall.
fn estimate_shape(
    body: &Body,
    camera: &Camera,
    set: &LandmarkSet,
    measured: &[MeasuredFrame],
    stature: f64,
    proceed: Proceed<'_>,
) -> Result<Vec<f64>, Stopped> {
    let chosen = shape_frames(measured);
    let mut shape = vec![0.0; body.shapes];
    if chosen.is_empty() || body.shapes == 0 {
        return Ok(shape);
    }
    let (plain_stature, added) = body.stature();
    let added = DVector::from_vec(added);
    let mut states: Vec<Option<State>> = vec![None; chosen.len()];
    for _ in 0..SHAPE_ROUNDS {
        let skeleton = Skeleton::new(body, &shape);
        let rest = initial::rest_points(&skeleton);
        let mut solver = Solver::new(*camera, skeleton, set);
        let mut gradient = DVector::from_column_slice(&shape);
        let excess = plain_stature + added.dot(&gradient) - stature;
        let precision = STATURE_SIGMA.powi(-2);
        let mut normal = DMatrix::identity(body.shapes, body.shapes) + &added * added.transpose() * precision;
        gradient += &added * (excess * precision);
        for (&i, state) in chosen.iter().zip(&mut states) {
            proceed()?;
            let measurement = &measured[i].measurement;
            // Of many frames a few wrong poses do no harm.
            let mut at = state.take().unwrap_or_else(|| match chosen.len() {
                ..=FEW => begin(&mut solver, camera, &rest, measurement).0,
                _ => start(&mut solver, camera, &rest, measurement),
            });
            solver.solve(&mut at, measurement, &Context::default(), SHAPE_STEPS);
            if let Some(part) = solver.shape_normal(&at, measurement) {
                normal += part.normal;
                gradient += part.gradient;
            }
            *state = Some(at);
        }
        if let Some(factor) = normal.cholesky() {
            let step = factor.solve(&gradient);
            for (value, step) in shape.iter_mut().zip(step.iter()) {
                *value = (*value - step).clamp(-MOST_SHAPE, MOST_SHAPE);
            }
        }
    }
    Ok(shape)
}

/// The best-seen frame of each of as many equal stretches of the track.
fn shape_frames(measured: &[MeasuredFrame]) -> Vec<usize> {
    let count = SHAPE_FRAMES.min(measured.len());
    let quality = |i: usize| measured[i].measurement.weights.iter().sum::<f64>();
    (0..count)
        .filter_map(|n| {
            let stretch = n * measured.len() / count..(n + 1) * measured.len() / count;
            stretch.max_by(|&a, &b| quality(a).total_cmp(&quality(b)).then(b.cmp(&a)))
        })
        .collect()
}

/// A state for every frame of the track: those not measured lie between their neighbours, or are as the nearest at the ends.
fn bridge(times: &[f64], measured: &[MeasuredFrame], states: &[State]) -> Vec<State> {
    let moments: Vec<f64> = measured.iter().map(|s| s.time).collect();
    let mut after = 0;
    times
        .iter()
        .enumerate()
        .map(|(index, &time)| {
            while after < measured.len() && measured[after].index < index {
                after += 1;
            }
            match (after.checked_sub(1), measured.get(after)) {
                (_, Some(s)) if s.index == index => states[after].clone(),
                (None, _) => states[0].clone(),
                (Some(b), None) => states[b].clone(),
                (Some(b), Some(s)) => {
                    let part = ((time - measured[b].time) / (s.time - measured[b].time).max(1e-9)).clamp(0.0, 1.0);
                    if s.time - measured[b].time > CURVED {
                        return between(&states[b], &states[after], part);
                    }
                    let [before, next] = curve::neighbours(&moments, b);
                    let around = [before, Some(b), Some(after), next];
                    let weights = curve::weights(around.map(|i| i.map(|i| moments[i])), part);
                    on_curve(around.map(|i| i.map(|i| &states[i])), weights, &states[b])
                }
            }
        })
        .collect()
}

/// The state on a curve through others, which count by these weights; `near` is one of them.
fn on_curve(states: [Option<&State>; 4], weights: [f64; 4], near: &State) -> State {
    let counted = || states.iter().zip(weights).filter_map(|(state, weight)| Some(((*state)?, weight)));
    let turned = |(joint, &from): (usize, &DQuat)| {
        let back = from.inverse();
        let turn: DVec3 = counted().map(|(state, weight)| rotation::log(back * state.rotations[joint]) * weight).sum();
        (from * rotation::exp(turn)).normalize()
    };
    State {
        rotations: near.rotations.iter().enumerate().map(turned).collect(),
        position: counted().map(|(state, weight)| state.position * weight).sum(),
    }
}

/// The state on the way from one to another.
pub(super) fn between(a: &State, b: &State, part: f64) -> State {
    let rotations = a.rotations.iter().zip(&b.rotations).map(|(p, &q)| slerp(*p, q, part)).collect();
    State { rotations, position: a.position.lerp(b.position, part) }
}

fn slerp(a: DQuat, b: DQuat, part: f64) -> DQuat {
    (a * rotation::exp(rotation::log(a.inverse() * b) * part)).normalize()
}
