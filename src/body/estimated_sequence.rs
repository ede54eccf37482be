//! The poses of a track whose bodies a network of the user's own gives.

use glam::DVec3;

use super::fit::between;
use super::kinematics::Skeleton;
use super::levenberg_marquardt::{Context, Solver, State};
use super::measurement::LandmarkSet;
use super::sequence_fit::{MeasuredFrame, fit_sequence};
use super::{Body, Camera};
use crate::control::{Proceed, Stopped};
use crate::pose::own::BodyEstimate;
use crate::track::TrackFrame;

/// How far a joint is from the network's estimate: standard deviation, radians.
const ROTATION_SIGMA: f64 = 0.15;
/// How far the body is from where the network says, across the picture and in depth, over its distance.
const POSITION_SIGMA: DVec3 = DVec3::new(0.05, 0.05, 0.1);
/// Seconds from the nearest estimate beyond which a frame is fitted without one.
const FAR: f64 = 0.5;
/// Steps of the solver.
const STEPS: usize = 5;
/// Height in metres that a body is taken to have at least.
const LEAST_HEIGHT: f64 = 0.3;

/// The bodies that a network gave in some frames of a track, made those of one person: of one shape.
pub struct Estimated {
    /// Coefficients.
    shape: Vec<f64>,
    /// One entry a frame.
    states: Vec<Option<State>>,
}

impl Estimated {
    /// Those of a track; nothing where there are none.
    ///
    /// Each coefficient of the shape is the median of all frames': a person has one shape, and a network may be far off in a frame. Where a frame's own
    /// shape is taller or smaller, the body is moved along the line of sight, so that it is as large in the picture as before.
    pub fn new(body: &Body, frames: &[Option<TrackFrame>]) -> Option<Self> {
        let estimates: Vec<Option<&BodyEstimate>> =
            frames.iter().map(|frame| frame.as_ref()?.estimate.as_deref()).collect();
        let all: Vec<&BodyEstimate> = estimates.iter().flatten().copied().collect();
        if all.is_empty() {
            return None;
        }
        let median = |coefficient: usize| {
            let mut values: Vec<f64> = all.iter().filter_map(|e| e.shape.get(coefficient).copied()).collect();
            let middle = values.len() / 2;
            if values.is_empty() { 0.0 } else { *values.select_nth_unstable_by(middle, f64::total_cmp).1 }
        };
        let shape: Vec<f64> = (0..body.shapes).map(median).collect();
        let (plain, added) = body.stature();
        let height = |shape: &[f64]| plain + added.iter().zip(shape).map(|(added, amount)| added * amount).sum::<f64>();
        let state = |estimate: &BodyEstimate| {
            let taller = height(&shape).max(LEAST_HEIGHT) / height(&estimate.shape).max(LEAST_HEIGHT);
            let fitted = body.fitted_joints().min(estimate.rotations.len());
            State { rotations: estimate.rotations[..fitted].to_vec(), position: estimate.position * taller }
        };
        let states = estimates.into_iter().map(|estimate| estimate.map(state)).collect();
        Some(Self { shape, states })
    }

    /// Whether there is one in a frame.
    pub fn has(&self, index: usize) -> bool {
        self.states[index].is_some()
    }

    /// That of a frame.
    pub fn at(&self, index: usize) -> Option<State> {
        self.states[index].clone()
    }

    /// The person's shape.
    pub fn shape(&self) -> &[f64] {
        &self.shape
    }

    /// A pose for the measured frames that one is known for, and these frames. Those far from any estimate are fitted as without a network, in the
    /// person's shape; those between estimates are left out, to be interpolated.
    ///
    /// Given `refined`, the points to be fitted to, there is a pose for all of them: it lies on the points in the picture and stays near the
    /// estimate. The landmark network's depth has no say.
    ///
    /// # Errors
    /// [`Stopped`] when `proceed`, which is called for each frame, says so.
    pub fn fit(
        &self,
        solver: &mut Solver,
        camera: &Camera,
        refined: Option<&LandmarkSet>,
        times: &[f64],
        measured: Vec<MeasuredFrame>,
        proceed: Proceed<'_>,
    ) -> Result<(Vec<MeasuredFrame>, Vec<State>), Stopped> {
        let around = self.around();
        let seconds = |index: usize| {
            let [before, after] = around[index].map(|other| other.map(|other| (times[index] - times[other]).abs()));
            before.unwrap_or(f64::INFINITY).min(after.unwrap_or(f64::INFINITY))
        };
        let (near, far): (Vec<_>, Vec<_>) = measured.into_iter().partition(|frame| seconds(frame.index) <= FAR);
        let unaided = match far.is_empty() {
            true => Vec::new(),
            false => fit_sequence(solver, camera, &far, proceed)?,
        };
        let mut all: Vec<(MeasuredFrame, State)> = far.into_iter().zip(unaided).collect();
        let flat = refined.map(|set| LandmarkSet { links: Vec::new(), ..set.clone() });
        let mut flat_solver =
            flat.as_ref().map(|flat| Solver::new(*camera, Skeleton::new(solver.skeleton().body(), &self.shape), flat));
        for frame in near {
            proceed()?;
            let state = match &mut flat_solver {
                Some(solver) => self.guess(&around, times, frame.index).map(|guess| refine(solver, guess, &frame)),
                None => self.at(frame.index),
            };
            all.extend(state.map(|state| (frame, state)));
        }
        all.sort_by_key(|(frame, _)| frame.index);
        Ok(all.into_iter().unzip())
    }

    /// For each frame the nearest before and after it that have an estimate: itself, where it has one.
    fn around(&self) -> Vec<[Option<usize>; 2]> {
        let mut around = vec![[None; 2]; self.states.len()];
        let (mut before, mut after) = (None, None);
        for index in 0..around.len() {
            before = if self.has(index) { Some(index) } else { before };
            around[index][0] = before;
            let from_end = around.len() - 1 - index;
            after = if self.has(from_end) { Some(from_end) } else { after };
            around[from_end][1] = after;
        }
        around
    }

    /// The estimate of a frame, or what lies between those before and after; at the ends the nearest.
    fn guess(&self, around: &[[Option<usize>; 2]], times: &[f64], index: usize) -> Option<State> {
        let [before, after] = around[index];
        let (Some(a), Some(b)) = (before.or(after), after.or(before)) else { return None };
        let part = ((times[index] - times[a]) / (times[b] - times[a]).max(1e-9)).clamp(0.0, 1.0);
        Some(between(&self.at(a)?, &self.at(b)?, part))
    }
}

/// A body moved onto the points in the picture, and kept near to where it is.
fn refine(solver: &mut Solver, estimate: State, frame: &MeasuredFrame) -> State {
    let sigma = POSITION_SIGMA * estimate.position.z.max(0.1);
    let context = Context {
        neighbours: vec![(&estimate.rotations, ROTATION_SIGMA.powi(-2))],
        position: Some((estimate.position, (sigma * sigma).recip())),
        contacts: Vec::new(),
    };
    let mut state = estimate.clone();
    solver.solve(&mut state, &frame.measurement, &context, STEPS);
    state
}
