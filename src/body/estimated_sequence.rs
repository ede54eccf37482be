//! The poses of a track whose bodies a network of the user's own gives.

use glam::DVec3;

use super::fit::between;
use super::kinematics::Skeleton;
use super::levenberg_marquardt::{Context, Solver, State};
use super::measurement::LandmarkSet;
use super::sequence_fit::MeasuredFrame;
use super::{Body, Camera};
use crate::control::{Proceed, Stopped};
use crate::pose::own::BodyEstimate;
use crate::track::TrackFrame;

/// How far a joint is from the network's estimate: standard deviation, radians.
const ROTATION_SIGMA: f64 = 0.15;
/// How far the body is from where the network says, across the picture and in depth, over its distance.
const POSITION_SIGMA: DVec3 = DVec3::new(0.05, 0.05, 0.1);
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
            let taller = height(&shape) / height(&estimate.shape).max(LEAST_HEIGHT);
            State { rotations: estimate.rotations.clone(), position: estimate.position * taller }
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

    /// A pose for each measured frame that lies on the points in the picture and stays near the estimate. The landmark network's depth has no
    /// say.
    ///
    /// # Errors
    /// [`Stopped`] when `proceed`, which is called for each frame, says so.
    pub fn refined(
        &self,
        body: &Body,
        camera: &Camera,
        set: &LandmarkSet,
        times: &[f64],
        measured: &[MeasuredFrame],
        proceed: Proceed<'_>,
    ) -> Result<Vec<State>, Stopped> {
        let flat = LandmarkSet { links: Vec::new(), ..set.clone() };
        let mut solver = Solver::new(*camera, Skeleton::new(body, &self.shape), &flat);
        let mut states = Vec::with_capacity(measured.len());
        for frame in measured {
            proceed()?;
            let Some(estimate) = self.guess(times, frame.index) else { continue };
            let sigma = POSITION_SIGMA * estimate.position.z.max(0.1);
            let context = Context {
                neighbours: vec![(&estimate.rotations, ROTATION_SIGMA.powi(-2))],
                position: Some((estimate.position, (sigma * sigma).recip())),
                contacts: Vec::new(),
            };
            let mut state = estimate.clone();
            solver.solve(&mut state, &frame.measurement, &context, STEPS);
            states.push(state);
        }
        Ok(states)
    }

    /// The estimate of a frame, or what lies between those before and after; at the ends the nearest.
    fn guess(&self, times: &[f64], index: usize) -> Option<State> {
        let before = (0..=index).rev().find(|&i| self.has(i));
        let after = (index..self.states.len()).find(|&i| self.has(i));
        let (Some(a), Some(b)) = (before.or(after), after.or(before)) else { return None };
        let part = ((times[index] - times[a]) / (times[b] - times[a]).max(1e-9)).clamp(0.0, 1.0);
        Some(between(&self.at(a)?, &self.at(b)?, part))
    }
}
