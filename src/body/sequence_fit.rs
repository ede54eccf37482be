//! Sequence fit: the poses of a whole track from what was measured in each frame, before smoothing.
//!
//! 1. A forward pass fits each frame, beginning with the pose of the frame before ([`forward`]).
//! 2. Where the body lost its way, it is begun anew from nothing ([`start_anew`]).
//! 3. A backward sweep fits each frame again, now given both its neighbours ([`refine`]): one sweep of Gauss-Seidel over the track.

use super::Camera;
use super::initial::{self, Points};
use super::levenberg_marquardt::{Context, Solver, State, turn_cost};
use super::measurement::Measurement;
use crate::control::{Proceed, Stopped};
use glam::{DQuat, DVec2, DVec3};

/// How far a joint turns in a 60th of a second: standard deviation, radians.
const ROTATION_STEP: f64 = 0.12;
/// How far the position is from its expectation after a 60th of a second: standard deviation along x, y and z, metres.
const POSITION_STEP: DVec3 = DVec3::new(0.05, 0.05, 0.10);
/// Share of its velocity that a body is expected to keep.
const INERTIA: f64 = 0.8;
/// Reach of the solver ([`Solver::set_reach`]) in the search for a body that moved far.
const WIDE: f64 = 8.0;
/// Seconds in which the steps from frame to frame are independent of each other. Whoever was not seen for longer may have gone on in one direction.
const INDEPENDENT: f64 = 0.25;
/// Seconds beyond which frames do not lean on each other.
const MEMORY: f64 = 0.5;
/// A pose whose cost is so many times what is usual in its track may be wrong.
const LOST: f64 = 1.8;
/// Steps of the solver that begins with nothing.
const START_STEPS: usize = 10;
/// Steps of the solver that begins with the frame before.
const FOLLOW_STEPS: usize = 5;
/// Steps of the solver with a wide reach, and of the backward sweep.
const FEW_STEPS: usize = 3;
/// Diagonal of the box around a person who stands, metres.
const STANDING: f64 = 1.8;
/// Nearest and farthest that such a box may be, metres.
const DEPTHS: [f64; 2] = [0.5, 500.0];

/// One frame with what is known of it.
pub struct MeasuredFrame {
    /// Index into the track's observations.
    pub index: usize,
    /// Seconds.
    pub time: f64,
    /// What the body is fitted to.
    pub measurement: Measurement,
}

/// Poses of a track, one for each frame seen.
///
/// # Errors
/// [`Stopped`] when `proceed`, which is called for each frame, says so.
pub fn fit_sequence(
    solver: &mut Solver,
    camera: &Camera,
    measured: &[MeasuredFrame],
    proceed: Proceed<'_>,
) -> Result<Vec<State>, Stopped> {
    let mut states = forward(solver, camera, measured, proceed)?;
    start_anew(solver, camera, measured, &mut states, proceed)?;
    refine(solver, measured, &mut states, proceed)?;
    Ok(states)
}

/// Closed-form start of one frame: from the world landmarks as they are, or with the depths that the lifter gives them, whichever is likelier.
pub fn start(solver: &mut Solver, camera: &Camera, rest: &Points, measurement: &Measurement) -> State {
    let mut from = |points: &Points| {
        let rotations = initial::pose_from_world(solver.skeleton().body(), rest, points);
        let state = place(solver, camera, rotations, measurement);
        (solver.cost(&state, measurement, &Context::default()), state)
    };
    let plain = from(&measurement.points);
    let leaned = measurement.lifted.as_ref().map(|lifted| from(&lifted.leaned(&measurement.points)));
    match leaned {
        Some((cost, state)) if cost < plain.0 => state,
        _ => plain.1,
    }
}

/// A pose from nothing, and its cost: the likeliest of several starts (the closed form from the world landmarks, with the depths that the lifter gives them,
/// and either with near and far exchanged), each solved at once and with a wide reach first. Whoever stands is right from any start; who does a split is not.
pub fn begin(solver: &mut Solver, camera: &Camera, rest: &Points, measurement: &Measurement) -> (State, f64) {
    let leaned = measurement.lifted.as_ref().map(|lifted| lifted.leaned(&measurement.points));
    let mirrored = |points: &Points| points.map(|p| p * DVec3::new(1.0, 1.0, -1.0));
    let told = [Some(measurement.points), leaned].into_iter().flatten();
    let starts: Vec<Points> = told.flat_map(|points| [points, mirrored(&points)]).collect();
    let alone = Context::default();
    let mut best: Option<(State, f64)> = None;
    for points in &starts {
        let rotations = initial::pose_from_world(solver.skeleton().body(), rest, points);
        let placed = place(solver, camera, rotations, measurement);
        for reach in [1.0, WIDE] {
            let mut state = placed.clone();
            if reach > 1.0 {
                solver.set_reach(reach);
                solver.solve(&mut state, measurement, &alone, START_STEPS);
                solver.set_reach(1.0);
            }
            let cost = solver.solve(&mut state, measurement, &alone, START_STEPS);
            if best.as_ref().is_none_or(|(_, least)| cost < *least) {
                best = Some((state, cost));
            }
        }
    }
    best.unwrap_or_else(|| (start(solver, camera, rest, measurement), f64::INFINITY))
}

/// A pose, put where it is seen.
fn place(solver: &mut Solver, camera: &Camera, rotations: Vec<DQuat>, measurement: &Measurement) -> State {
    let points = solver.landmarks(&rotations);
    let position = initial::position(camera, points, &measurement.pixels, &measurement.weights).unwrap_or_else(|| {
        // From the size alone.
        let z = (camera.focal[0] * STANDING / measurement.scale).clamp(DEPTHS[0], DEPTHS[1]);
        let middle = measurement.pixels.iter().sum::<DVec2>() / measurement.pixels.len() as f64;
        let aside = (middle - DVec2::from_array(camera.center)) * z;
        DVec3::new(aside.x / camera.focal[0], aside.y / camera.focal[1], z)
    });
    State { rotations, position }
}

/// From one measured frame to another.
struct Step {
    /// Seconds.
    time: f64,
    /// Steps from frame to frame that are independent of each other, so that their variances add up.
    frames: f64,
}

impl Step {
    fn between(a: &MeasuredFrame, b: &MeasuredFrame) -> Self {
        let time = (a.time - b.time).abs();
        let frames = a.index.abs_diff(b.index).max(1) as f64;
        Self { time, frames: frames * (INDEPENDENT / time.max(1e-3)).min(1.0) }
    }

    /// Standard deviations of a 60th of a second to one over the variance of all this.
    fn precision(&self, sigma: DVec3) -> DVec3 {
        let sigma = sigma * (60.0 * self.time.max(1e-3) / self.frames);
        (sigma * sigma * self.frames).recip()
    }

    fn rotation_precision(&self) -> f64 {
        self.precision(DVec3::splat(ROTATION_STEP)).x
    }

    fn position_precision(&self) -> DVec3 {
        self.precision(POSITION_STEP)
    }
}

/// Each frame from the one before.
fn forward(
    solver: &mut Solver,
    camera: &Camera,
    measured: &[MeasuredFrame],
    proceed: Proceed<'_>,
) -> Result<Vec<State>, Stopped> {
    let rest = initial::rest_points(solver.skeleton());
    let mut states: Vec<State> = Vec::with_capacity(measured.len());
    // The last frame on which the body was elsewhere than expected: its way there is no velocity.
    let mut arrived = 0;
    for (i, frame) in measured.iter().enumerate() {
        proceed()?;
        let before = i.checked_sub(1).filter(|&b| frame.time - measured[b].time <= MEMORY);
        let Some(b) = before else {
            let measurement = &frame.measurement;
            states.push(if i == 0 {
                begin(solver, camera, &rest, measurement).0
            } else {
                let mut state = start(solver, camera, &rest, measurement);
                solver.solve(&mut state, measurement, &Context::default(), START_STEPS);
                state
            });
            continue;
        };
        let step = Step::between(&measured[b], frame);
        let velocity = match b.checked_sub(1) {
            Some(a)
                if b > arrived
                    && measured[b].time - measured[a].time <= MEMORY
                    && measured[b].time > measured[a].time =>
            {
                (states[b].position - states[a].position) / (measured[b].time - measured[a].time)
            }
            _ => DVec3::ZERO,
        };
        let expected = states[b].position + velocity * (INERTIA * step.time);
        let context = Context {
            neighbours: vec![(&states[b].rotations, step.rotation_precision())],
            position: Some((expected, step.position_precision())),
            contacts: Vec::new(),
        };
        // Usually the frame before is the better start, but not when the body moved far since.
        let mut near = states[b].clone();
        solver.solve(&mut near, &frame.measurement, &context, FOLLOW_STEPS);
        solver.set_reach(WIDE);
        let mut far = start(solver, camera, &rest, &frame.measurement);
        if solver.cost(&near, &frame.measurement, &context) < solver.cost(&far, &frame.measurement, &context) {
            far = near.clone();
        }
        solver.solve(&mut far, &frame.measurement, &context, FEW_STEPS);
        solver.set_reach(1.0);
        solver.solve(&mut far, &frame.measurement, &context, FOLLOW_STEPS);
        // Where the body was expected has no say here: once lost, it would stay lost.
        let free = Context { position: None, ..context };
        let cost = |solver: &mut Solver, state: &State| solver.cost(state, &frame.measurement, &free);
        let mut state = if cost(solver, &near) <= cost(solver, &far) { near } else { far };
        if solver.is_elsewhere(&state, &frame.measurement) {
            state = place(solver, camera, state.rotations, &frame.measurement);
            solver.solve(&mut state, &frame.measurement, &free, START_STEPS);
            arrived = i;
        }
        states.push(state);
    }
    Ok(states)
}

/// Solves each frame again, given both its neighbours, from the last to the first.
fn refine(
    solver: &mut Solver,
    measured: &[MeasuredFrame],
    states: &mut [State],
    proceed: Proceed<'_>,
) -> Result<(), Stopped> {
    for i in (0..measured.len()).rev() {
        proceed()?;
        let near = |n: &usize| *n < measured.len() && (measured[*n].time - measured[i].time).abs() <= MEMORY;
        let neighbours: Vec<usize> = [i.checked_sub(1), Some(i + 1)].into_iter().flatten().filter(near).collect();
        let mut state = states[i].clone();
        let step = |n: usize| Step::between(&measured[n], &measured[i]);
        let position = match neighbours[..] {
            [a, b] => {
                let [before, after] = [a, b].map(|n| step(n).time);
                let part = before / (before + after).max(1e-9);
                let middle = states[a].position.lerp(states[b].position, part);
                let nearer = if before <= after { a } else { b };
                Some((middle, step(nearer).position_precision()))
            }
            [a] => Some((states[a].position, step(a).position_precision())),
            _ => None,
        };
        let context = Context {
            neighbours: neighbours.iter().map(|&n| (&states[n].rotations[..], step(n).rotation_precision())).collect(),
            position,
            contacts: Vec::new(),
        };
        solver.solve(&mut state, &measured[i].measurement, &context, FEW_STEPS);
        states[i] = state;
    }
    Ok(())
}

/// Mends wrong turns: someone who turns round faster than the forward pass follows is given a body that is twisted or
/// faces the wrong way, until they turn back. In each stretch that is badly explained a body is started from nothing
/// where that helps most and followed both ways for as long as it explains the frames better; it is kept where
/// the whole, with the turns into it and out of it, is likelier.
fn start_anew(
    solver: &mut Solver,
    camera: &Camera,
    measured: &[MeasuredFrame],
    states: &mut [State],
    proceed: Proceed<'_>,
) -> Result<(), Stopped> {
    proceed()?;
    let alone = Context::default();
    let rest = initial::rest_points(solver.skeleton());
    let mut costs: Vec<f64> =
        measured.iter().zip(&*states).map(|(s, state)| solver.cost(state, &s.measurement, &alone)).collect();
    let mut sorted = costs.clone();
    let middle = sorted.len() / 2;
    let usual = *sorted.select_nth_unstable_by(middle, f64::total_cmp).1;
    let mut next = 0;
    while let Some(first) = (next..measured.len()).find(|&i| costs[i] > LOST * usual) {
        let end = (first..measured.len()).find(|&i| costs[i] <= LOST * usual).unwrap_or(measured.len());
        next = end;
        let mut best: Option<(usize, State, f64)> = None;
        for i in first..end {
            proceed()?;
            let measurement = &measured[i].measurement;
            let mut state = start(solver, camera, &rest, measurement);
            let cost = solver.solve(&mut state, measurement, &alone, START_STEPS);
            let helps_more =
                |best: &(usize, State, f64)| (cost - costs[i]).total_cmp(&(best.2 - costs[best.0])).is_lt();
            if best.as_ref().is_none_or(helps_more) {
                best = Some((i, state, cost));
            }
        }
        // Where that helps most, from all starts.
        let best = best.map(|(i, state, cost)| {
            let (other, other_cost) = begin(solver, camera, &rest, &measured[i].measurement);
            if other_cost < cost { (i, other, other_cost) } else { (i, state, cost) }
        });
        let Some((seed, state, cost)) = best.filter(|(i, _, cost)| *cost < costs[*i]) else { continue };
        let (before, before_costs) = follow_from(solver, measured, &costs, (seed, &state), (0..seed).rev(), proceed)?;
        let (after, after_costs) =
            follow_from(solver, measured, &costs, (seed, &state), seed + 1..measured.len(), proceed)?;
        let from = seed - before.len();
        let new: Vec<State> = before.into_iter().rev().chain([state]).chain(after).collect();
        let new_costs: Vec<f64> = before_costs.into_iter().rev().chain([cost]).chain(after_costs).collect();
        let to = from + new.len();
        let (old, new_or_old) = (|i: usize| &states[i], |i: usize| new.get(i.wrapping_sub(from)).unwrap_or(&states[i]));
        // With the turns into the stretch and out of it.
        let joints = from.max(1)..(to + 1).min(measured.len());
        let old_turns: f64 = joints.clone().map(|i| turn(measured, i, old(i - 1), old(i))).sum();
        let new_turns: f64 = joints.map(|i| turn(measured, i, new_or_old(i - 1), new_or_old(i))).sum();
        let [old_cost, new_cost] = [&costs[from..to], &new_costs].map(|costs| costs.iter().sum::<f64>());
        if new_cost + new_turns < old_cost + old_turns {
            states[from..to].clone_from_slice(&new);
            costs[from..to].copy_from_slice(&new_costs);
            next = next.max(to);
        }
    }
    Ok(())
}

/// Follows a body from a frame along `frames` for as long as it explains them better than the `costs` of those there
/// are. Gives poses and costs in the order of `frames`.
fn follow_from(
    solver: &mut Solver,
    measured: &[MeasuredFrame],
    costs: &[f64],
    (mut last, state): (usize, &State),
    frames: impl Iterator<Item = usize>,
    proceed: Proceed<'_>,
) -> Result<(Vec<State>, Vec<f64>), Stopped> {
    let mut state = state.clone();
    let (mut states, mut new_costs) = (Vec::new(), Vec::new());
    for i in frames {
        proceed()?;
        let step = Step::between(&measured[last], &measured[i]);
        if step.time > MEMORY {
            break;
        }
        let neighbour = state.clone();
        let context = Context {
            neighbours: vec![(&neighbour.rotations, step.rotation_precision())],
            position: Some((neighbour.position, step.position_precision())),
            contacts: Vec::new(),
        };
        solver.solve(&mut state, &measured[i].measurement, &context, FOLLOW_STEPS);
        let cost = solver.cost(&state, &measured[i].measurement, &Context::default());
        if cost >= costs[i] {
            break;
        }
        states.push(state.clone());
        new_costs.push(cost);
        last = i;
    }
    Ok((states, new_costs))
}

/// What it costs to turn from one pose to the next.
fn turn(measured: &[MeasuredFrame], index: usize, before: &State, after: &State) -> f64 {
    let step = Step::between(&measured[index - 1], &measured[index]);
    if step.time > MEMORY { 0.0 } else { turn_cost(&before.rotations, &after.rotations, step.rotation_precision()) }
}
