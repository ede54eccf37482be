//! Hands: the fingers of a body, fitted to what the hand network saw of them.
//!
//! The body is fitted without its fingers ([`super::Body::fitted_joints`]), but with the wrists and knuckles that the hand network saw
//! ([`correct`]), which sees them better than the one for bodies. Then each hand is fitted on the arm that holds it ([`fit`]):
//!
//! 1. `seen`: which of the hands that were found are this person's left and right one;
//! 2. `solve`: the fingers of each frame in which a hand was seen;
//! 3. `settle`: smoothed over time. Where a hand was not seen its fingers come to be at ease within a second, and the wrist as the body has it;
//! 4. `model`: what a hand is, and how its joints turn.

mod model;
mod seen;
mod settle;
mod solve;

pub use model::HandModel;
pub use seen::{SeenOfTrack, correct, seen};

use super::Camera;
use super::joint_priors::Side;
use super::kinematics::{Posed, Skeleton};
use super::levenberg_marquardt::State;
use super::model::Body;
use super::rest::SIDES;
use super::rotation::{exp, log};
use crate::control::{Proceed, Stopped};
use crate::pose::{HAND_POINTS, HANDS, Hand};
use glam::{DQuat, DVec2, DVec3};
use solve::{Arm, Fitted, Solver};

/// Seconds within which a hand is begun from how it was before.
const MEMORY: f64 = 0.25;
/// How far an angle turns in a 60th of a second: standard deviation, radians.
const STEP: f64 = 0.15;

/// The hands of a person in all frames of a track.
pub struct FittedHands {
    models: Vec<HandModel>,
    /// For each model and frame the angles and the turn of the wrist.
    hands: Vec<Vec<Fitted>>,
    /// For each frame how surely the left and the right hand was seen; 0 where it was not.
    pub seen: Vec<[f32; HANDS]>,
}

impl FittedHands {
    /// The rotations of all joints in a frame, given those that the body was fitted with.
    pub fn put(&self, body: &Body, frame: usize, mut rotations: Vec<DQuat>) -> Vec<DQuat> {
        // A body whose fingers were fitted with the rest of it keeps them.
        if rotations.len() == body.joint_count() {
            return rotations;
        }
        rotations.resize(body.joint_count(), DQuat::IDENTITY);
        for (model, hands) in self.models.iter().zip(&self.hands) {
            rotations[model.wrist] = (rotations[model.wrist] * hands[frame].wrist).normalize();
            model.put(&hands[frame].angles, &mut rotations);
        }
        rotations
    }
}

/// Fits the hands that were `seen` on the arms of `states`, a body of some shape in each frame. `times`: seconds of each frame.
///
/// # Errors
/// [`Stopped`] when `proceed`, which is called for each frame, says so.
pub fn fit(
    body: &Body,
    shape: &[f64],
    camera: &Camera,
    times: &[f64],
    states: &[State],
    seen: &SeenOfTrack<'_>,
    proceed: Proceed<'_>,
) -> Result<FittedHands, Stopped> {
    let mut fitted = FittedHands { models: Vec::new(), hands: Vec::new(), seen: vec![[0.0; HANDS]; times.len()] };
    if body.fitted_joints() == body.joint_count() {
        return Ok(fitted);
    }
    let skeleton = Skeleton::new(body, shape);
    let mut posed = Posed::default();
    for (number, &side) in SIDES.iter().enumerate() {
        let Some(model) = HandModel::new(body, shape, side) else { continue };
        let solver = Solver::new(&model, camera);
        let mut found: Vec<Option<(Fitted, f64)>> = vec![None; times.len()];
        let mut arms: Vec<Option<Arm>> = vec![None; times.len()];
        let mut last: Option<usize> = None;
        for (frame, state) in states.iter().enumerate() {
            proceed()?;
            let Some(hand) = seen[frame][number] else { continue };
            skeleton.pose(&state.rotations, &mut posed);
            let arm = Arm {
                position: state.position + posed.positions[model.wrist],
                rotation: DQuat::from_mat3(&posed.rotations[model.wrist]),
            };
            let near = last.filter(|&last| times[frame] - times[last] <= MEMORY);
            let before = near.and_then(|last| {
                let step = STEP * 60.0 * (times[frame] - times[last]).max(1e-3);
                found[last].as_ref().map(|(hand, _)| (hand, step.powi(-2)))
            });
            let hand_there = solver.solve(&arm, hand, before);
            fitted.seen[frame][number] = hand.presence;
            found[frame] = Some((hand_there, f64::from(hand.presence)));
            arms[frame] = Some(arm);
            last = Some(frame);
        }
        let relaxed = model.relaxed();
        let values = |(hand, certainty): &(Fitted, f64)| {
            let angles = hand.angles.iter().zip(&relaxed).map(|(angle, relaxed)| angle - relaxed);
            (angles.chain(log(hand.wrist).to_array()).collect::<Vec<f64>>(), *certainty)
        };
        let measured: Vec<_> = found.iter().map(|found| found.as_ref().map(values)).collect();
        let settled = settle::settle(times, &measured, relaxed.len() + 3);
        let hands: Vec<Fitted> = settled
            .into_iter()
            .map(|values| {
                let (angles, wrist) = values.split_at(relaxed.len());
                Fitted {
                    angles: angles.iter().zip(&relaxed).map(|(angle, relaxed)| angle + relaxed).collect(),
                    wrist: exp(DVec3::from_slice(wrist)),
                }
            })
            .collect();
        let errors = (0..times.len()).filter_map(|frame| {
            let (arm, seen) = (arms[frame].as_ref()?, seen[frame][number]?);
            Some(Error::of(camera, seen, &solver.points(arm, &hands[frame])))
        });
        tell(side, errors.collect());
        fitted.hands.push(hands);
        fitted.models.push(model);
    }
    Ok(fitted)
}

/// How far a fitted hand is from what was seen of it in a frame, displayed pixels.
struct Error {
    /// Mean of the points.
    whole: f64,
    /// The same, where the hand is moved so that the means of the points agree: what the arm's place has no part in.
    shape: f64,
    /// Diagonal of the box around the points.
    extent: f64,
}

impl Error {
    fn of(camera: &Camera, seen: &Hand, points: &[DVec3; HAND_POINTS]) -> Self {
        let off: [DVec2; HAND_POINTS] =
            std::array::from_fn(|i| DVec2::from_array(camera.project(points[i])) - seen.at(i));
        let mean = off.iter().sum::<DVec2>() / HAND_POINTS as f64;
        let length = |shift: DVec2| off.iter().map(|off| (*off - shift).length()).sum::<f64>() / HAND_POINTS as f64;
        Self { whole: length(DVec2::ZERO), shape: length(mean), extent: seen.extent() }
    }
}

/// Writes into the log how well the hands of one side were fitted.
fn tell(side: Side, mut errors: Vec<Error>) {
    if errors.is_empty() {
        return;
    }
    let mut median = |of: fn(&Error) -> f64| {
        let middle = errors.len() / 2;
        of(errors.select_nth_unstable_by(middle, |a, b| of(a).total_cmp(&of(b))).1)
    };
    let (extent, whole, shape) = (median(|e| e.extent), median(|e| e.whole), median(|e| e.shape));
    tracing::debug!(
        "{side:?} hand: seen in {} frames, {extent:.0} pixels large; its points are {whole:.1} pixels off, {shape:.1} with the hand in its place",
        errors.len()
    );
}
