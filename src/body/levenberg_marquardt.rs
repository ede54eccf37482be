//! Fits one frame's pose by damped least squares (Levenberg 1944, Marquardt 1963): joint rotations and position against what was
//! measured, the joint priors, and what other frames say.
//!
//! The cost is twice a negative log-likelihood: each term is a difference over its standard deviation, squared. Unknowns are a
//! right-multiplied rotation vector for each joint and the root's position, `3 J + 3` numbers. A key point hangs on few joints, so the
//! normal equations are summed in 3x3 blocks over those only. `J` are the joints that the body is fitted with ([`Body::fitted_joints`]).

use super::Camera;
use super::kinematics::{JointDerivative, Posed, Skeleton};
use super::lifter::{Bone, Depth, Lifted};
use super::measurement::{LandmarkSet, Link, Measurement};
use super::rotation::{exp, log};
use glam::{DMat3, DQuat, DVec2, DVec3};
use nalgebra::{DMatrix, DVector};

/// How far a landmark is off in the picture: standard deviation over the person's size.
const PIXEL_SIGMA: f64 = 0.012;
/// Distance over the person's size well beyond which a landmark no longer pulls (the robust loss of Geman and McClure 1985).
const PIXEL_ROBUST: f64 = 0.04;
/// A body is elsewhere than it is seen if this share of the landmarks, by weight, no longer pulls.
const ELSEWHERE: f64 = 0.75;
/// Weight of the world landmarks for the shape over that for the pose: they say little about lengths.
const WORLD_FOR_SHAPE: f64 = 0.1;
/// Depth in metres at which points nearer than that, or behind the camera, are taken to be.
const NEAREST: f64 = 0.2;
/// The solver is done when no rotation (radians) and no position (metres) changes by more than this.
const STEP_DONE: f64 = 1e-3;
/// It is also done when the cost falls by less than this share.
const COST_DONE: f64 = 1e-4;
/// Damping at the start: share of the normal equations' diagonal that is added to it.
const FIRST_DAMPING: f64 = 1e-3;
/// Least damping.
const LEAST_DAMPING: f64 = 1e-6;
/// The damping is divided by this after a step that lowers the cost.
const LESS_DAMPING: f64 = 5.0;
/// It is multiplied by this after one that does not, and the step is tried again, so many times in all.
const MORE_DAMPING: f64 = 8.0;
const TRIES: usize = 4;
/// Added to the diagonal so that it can be inverted where nothing was measured: for a step, and for the shape.
const RIDGE: f64 = 1e-9;
const SHAPE_RIDGE: f64 = 1e-6;
/// The lifter's scales are multiplied by this: real points are worse than those that it was trained with.
const DEPTH_STRETCH: f64 = 2.0;
/// Weight of what the lifter says: neighbouring frames show it much the same, so that its errors are theirs, too.
const DEPTH_WEIGHT: f64 = 0.5;
/// How likely a bone's depth is none that the lifter thinks of.
const DEPTH_OUTLIER: f64 = 0.05;
/// Over which distance its distributions' tips are rounded, over their scale.
const DEPTH_ROUND: f64 = 0.5;
/// Least length of a bone, metres.
const LEAST_LENGTH: f64 = 0.01;
/// The root's standard deviation over time over that of the other joints: it is stiffer.
const ROOT_STIFFNESS: f64 = 0.7;

/// A body's pose in one frame while it is being fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Of each joint that the body is fitted with, relative to its parent.
    pub rotations: Vec<DQuat>,
    /// Of the root joint, camera axes, metres.
    pub position: DVec3,
}

/// A landmark that is held: its index in the set, where (camera axes, metres), and one over the variances.
pub type FootContact = (usize, DVec3, DVec3);

/// What other frames say about this one.
#[derive(Debug, Clone, Default)]
pub struct Context<'a> {
    /// Rotations of a neighbouring frame, and one over the variance of the difference.
    pub neighbours: Vec<(&'a [DQuat], f64)>,
    /// Expected position of the root joint, and one over its variances.
    pub position: Option<(DVec3, DVec3)>,
    /// Landmarks that are held.
    pub contacts: Vec<FootContact>,
}

/// Solves frames one after another without allocating for each.
pub struct Solver<'a> {
    camera: Camera,
    skeleton: Skeleton<'a>,
    set: &'a LandmarkSet,
    posed: Posed,
    points: Vec<DVec3>,
    derivatives: Vec<JointDerivative>,
    starts: Vec<usize>,
    by_joint: Vec<DMat3>,
    link: Vec<JointDerivative>,
    /// Lengths of the set's bones, metres.
    lengths: Vec<f64>,
    normal: DMatrix<f64>,
    gradient: DVector<f64>,
    /// Factor on [`PIXEL_ROBUST`].
    reach: f64,
}

/// The part of the normal equations that the shape adds, after eliminating the pose.
pub struct ShapeNormal {
    /// `S x S`.
    pub normal: DMatrix<f64>,
    /// `S`.
    pub gradient: DVector<f64>,
}

/// Normal equations of the shape and its mixed terms with the pose, while they are summed.
struct ShapeParts {
    mixed: DMatrix<f64>,
    normal: DMatrix<f64>,
    gradient: DVector<f64>,
}

impl ShapeParts {
    /// Adds a vector's terms, given its derivatives by joints and shape.
    fn add(&mut self, by_joint: &[JointDerivative], by_shape: &[DVec3], information: DMat3, pull: DVec3) {
        for (s, &d) in by_shape.iter().enumerate() {
            let weighted = information * d;
            self.gradient[s] += d.dot(pull);
            for (r, &other) in by_shape.iter().enumerate() {
                self.normal[(r, s)] += other.dot(weighted);
            }
            for &(j, derivative) in by_joint {
                add_vector_to(&mut self.mixed, j, s, derivative.transpose() * weighted);
            }
        }
    }
}

/// Weights of one landmark's terms at the current state.
struct LandmarkTerm {
    /// Derivative of the pixel by the point: two rows.
    rows: [DVec3; 2],
    error: DVec2,
    weight: f64,
}

impl<'a> Solver<'a> {
    /// For one shape of a body.
    pub fn new(camera: Camera, skeleton: Skeleton<'a>, set: &'a LandmarkSet) -> Self {
        let joints = skeleton.body().fitted_joints();
        let unknowns = 3 * joints + 3;
        let mut solver = Self {
            camera,
            skeleton,
            set,
            posed: Posed::default(),
            points: Vec::new(),
            derivatives: Vec::new(),
            starts: Vec::new(),
            by_joint: vec![DMat3::ZERO; joints],
            link: Vec::new(),
            lengths: Vec::new(),
            normal: DMatrix::zeros(unknowns, unknowns),
            gradient: DVector::zeros(unknowns),
            reach: 1.0,
        };
        let rest = solver.landmarks(&vec![DQuat::IDENTITY; joints]);
        solver.lengths = set.bones.iter().map(|(_, bone)| bone.of(rest).length().max(LEAST_LENGTH)).collect();
        solver
    }

    /// How far off a landmark may be in the picture and still pull, as a multiple of the usual: begin wide, then narrow,
    /// where the start may be far off (graduated non-convexity, Blake and Zisserman 1987).
    pub fn set_reach(&mut self, reach: f64) {
        self.reach = reach;
    }

    /// The skeleton in use.
    pub fn skeleton(&self) -> &Skeleton<'a> {
        &self.skeleton
    }

    /// Landmarks of a state relative to the root joint, in the set's order.
    pub fn landmarks(&mut self, rotations: &[DQuat]) -> &[DVec3] {
        self.skeleton.pose(rotations, &mut self.posed);
        self.points.clear();
        self.points.extend(self.set.keypoints.iter().map(|&k| self.skeleton.keypoint(&self.posed, k)));
        &self.points
    }

    /// Improves `state` in at most `iterations` steps; returns the cost.
    pub fn solve(&mut self, state: &mut State, measurement: &Measurement, context: &Context, iterations: usize) -> f64 {
        let mut damping = FIRST_DAMPING;
        let mut cost = self.cost(state, measurement, context);
        for _ in 0..iterations {
            self.build(state, measurement, context);
            let mut accepted = None;
            for _ in 0..TRIES {
                if let Some((next, step)) = self.step(state, damping) {
                    let next_cost = self.cost(&next, measurement, context);
                    if next_cost < cost {
                        damping = (damping / LESS_DAMPING).max(LEAST_DAMPING);
                        accepted = Some((next, next_cost, step));
                        break;
                    }
                }
                damping *= MORE_DAMPING;
            }
            let Some((next, next_cost, step)) = accepted else { break };
            let fell = cost - next_cost;
            *state = next;
            cost = next_cost;
            if step < STEP_DONE || fell < COST_DONE * cost {
                break;
            }
        }
        cost
    }

    /// The state after one step with this damping, and the largest change of any unknown; `None` if it cannot be computed.
    fn step(&self, state: &State, damping: f64) -> Option<(State, f64)> {
        let mut damped = self.normal.clone();
        for i in 0..damped.nrows() {
            damped[(i, i)] += damping * damped[(i, i)] + RIDGE;
        }
        let step = -damped.cholesky()?.solve(&self.gradient);
        let joints = state.rotations.len();
        let vector = |i: usize| DVec3::new(step[3 * i], step[3 * i + 1], step[3 * i + 2]);
        let rotations = state.rotations.iter().enumerate().map(|(j, &q)| (q * exp(vector(j))).normalize()).collect();
        let next = State { rotations, position: state.position + vector(joints) };
        let finite = next.position.is_finite() && next.rotations.iter().all(|q| q.is_finite());
        finite.then(|| (next, step.amax()))
    }

    /// The weights of a landmark at `point` (camera axes, metres).
    fn term(&self, point: DVec3, measurement: &Measurement, i: usize) -> LandmarkTerm {
        let z = point.z.max(NEAREST);
        let [fx, fy] = self.camera.focal;
        let pixel = DVec2::new(fx * point.x, fy * point.y) / z + DVec2::from_array(self.camera.center);
        let error = pixel - measurement.pixels[i];
        let robust = (self.reach * PIXEL_ROBUST * measurement.scale).powi(2);
        let sigma = PIXEL_SIGMA * measurement.scale;
        let falloff = 1.0 / (1.0 + error.length_squared() / robust).powi(2);
        let rows = [DVec3::new(fx, 0.0, -fx * point.x / z) / z, DVec3::new(0.0, fy, -fy * point.y / z) / z];
        LandmarkTerm { rows, error, weight: measurement.weights[i] * falloff / (sigma * sigma) }
    }

    /// How much of the landmarks, by weight, is too far off in the picture to pull: each counts between 0 (in its place) and its weight.
    fn out_of_reach(&self, state: &State, measurement: &Measurement) -> f64 {
        let robust = (self.reach * PIXEL_ROBUST * measurement.scale).powi(2);
        let one = |(i, &point): (usize, &DVec3)| {
            let error = self.term(point + state.position, measurement, i).error.length_squared();
            measurement.weights[i] * error / (robust + error)
        };
        self.points.iter().enumerate().map(one).sum()
    }

    /// Whether a body is not where it is seen at all: hardly a landmark is near enough to pull at it.
    pub fn is_elsewhere(&mut self, state: &State, measurement: &Measurement) -> bool {
        self.landmarks(&state.rotations);
        self.out_of_reach(state, measurement) > ELSEWHERE * measurement.weights.iter().sum::<f64>()
    }

    /// Twice the negative log-likelihood.
    pub fn cost(&mut self, state: &State, measurement: &Measurement, context: &Context) -> f64 {
        self.landmarks(&state.rotations);
        let mut cost = self.out_of_reach(state, measurement) * (self.reach * PIXEL_ROBUST / PIXEL_SIGMA).powi(2);
        for (link, &seen) in self.set.links.iter().zip(&measurement.world) {
            cost += link_precision(link, measurement) * (link.of(&self.points) - seen).length_squared();
        }
        for (n, bone, axis, depth) in bones(self.set, measurement) {
            cost += depth_term(depth, bone.of(&self.points).dot(axis) / self.lengths[n]).0;
        }
        for &(i, place, precision) in &context.contacts {
            let away = self.points[i] + state.position - place;
            cost += (away * away * precision).element_sum();
        }
        for (&q, prior) in state.rotations.iter().zip(&self.skeleton.body().priors) {
            cost += prior.cost(q);
        }
        for &(rotations, precision) in &context.neighbours {
            cost += turn_cost(rotations, &state.rotations, precision);
        }
        if let Some((place, precision)) = context.position {
            let away = state.position - place;
            cost += (away * away * precision).element_sum();
        }
        cost
    }

    /// Gauss-Newton normal equations (lower triangle) and half the gradient of the cost.
    fn build(&mut self, state: &State, measurement: &Measurement, context: &Context) {
        self.landmarks(&state.rotations);
        self.normal.fill(0.0);
        self.gradient.fill(0.0);
        let joints = state.rotations.len();
        self.derive_landmarks();
        for i in 0..self.points.len() {
            let (information, pull) = self.absolute_terms(state, measurement, context, i);
            let list = &self.derivatives[self.starts[i]..self.starts[i + 1]];
            for (n, &(a, da)) in list.iter().enumerate() {
                let weighted = information * da;
                for &(b, db) in &list[..=n] {
                    add_block(&mut self.normal, a, b, weighted.transpose() * db);
                }
                add_block(&mut self.normal, joints, a, weighted);
                add_vector(&mut self.gradient, a, da.transpose() * pull);
            }
            add_block(&mut self.normal, joints, joints, information);
            add_vector(&mut self.gradient, joints, pull);
        }
        for (link, &seen) in self.set.links.iter().zip(&measurement.world) {
            let precision = link_precision(link, measurement);
            let pull = (link.of(&self.points) - seen) * precision;
            self.derive_link(link);
            for (n, &(a, da)) in self.link.iter().enumerate() {
                let weighted = da.transpose() * precision;
                for &(b, db) in &self.link[..=n] {
                    add_block(&mut self.normal, a, b, weighted * db);
                }
                add_vector(&mut self.gradient, a, da.transpose() * pull);
            }
        }
        for (n, bone, axis, depth) in bones(self.set, measurement) {
            let length = self.lengths[n];
            let (_, precision, pull) = depth_term(depth, bone.of(&self.points).dot(axis) / length);
            self.derive_between(&bone.parts);
            let rows: Vec<(usize, DVec3)> =
                self.link.iter().map(|&(j, d)| (j, d.transpose() * axis / length)).collect();
            for (n, &(a, da)) in rows.iter().enumerate() {
                for &(b, db) in &rows[..=n] {
                    add_block(&mut self.normal, a, b, outer(da, db) * precision);
                }
                add_vector(&mut self.gradient, a, da * pull);
            }
        }
        for (j, (&q, prior)) in state.rotations.iter().zip(&self.skeleton.body().priors).enumerate() {
            let (mut block, mut pull) = (DMat3::ZERO, DVec3::ZERO);
            prior.terms(q, |residual, d| {
                block += outer(d, d);
                pull += d * residual;
            });
            for &(rotations, precision) in &context.neighbours {
                let precision = joint_precision(j, precision);
                block += DMat3::from_diagonal(DVec3::splat(precision));
                pull += log(rotations[j].inverse() * q) * precision;
            }
            add_block(&mut self.normal, j, j, block);
            add_vector(&mut self.gradient, j, pull);
        }
        if let Some((place, precision)) = context.position {
            add_block(&mut self.normal, joints, joints, DMat3::from_diagonal(precision));
            add_vector(&mut self.gradient, joints, precision * (state.position - place));
        }
    }

    fn derive_landmarks(&mut self) {
        self.derivatives.clear();
        self.starts.clear();
        for &k in &self.set.keypoints {
            self.starts.push(self.derivatives.len());
            self.skeleton.keypoint_derivatives(&self.posed, k, &mut self.derivatives);
        }
        self.starts.push(self.derivatives.len());
    }

    /// Derivatives of a link by the joints that turn it, ascending. (Joints below both of its ends carry it along.)
    fn derive_link(&mut self, link: &Link) {
        self.derive_between(&[(link.to, 1.0), (link.from[0], -0.5), (link.from[1], -0.5)]);
    }

    /// The same of the sum of some parts of points.
    fn derive_between(&mut self, parts: &[(usize, f64)]) {
        self.by_joint.fill(DMat3::ZERO);
        for &(point, part) in parts {
            for &(j, d) in &self.derivatives[self.starts[point]..self.starts[point + 1]] {
                self.by_joint[j] += d * part;
            }
        }
        let turning = self.by_joint.iter().copied().enumerate().filter(|(_, d)| *d != DMat3::ZERO);
        self.link.clear();
        self.link.extend(turning);
    }

    /// Terms on a landmark's place against the camera: from the picture, and from being held.
    fn absolute_terms(&self, state: &State, measurement: &Measurement, context: &Context, i: usize) -> (DMat3, DVec3) {
        let place = self.points[i] + state.position;
        let t = self.term(place, measurement, i);
        let mut information = (outer(t.rows[0], t.rows[0]) + outer(t.rows[1], t.rows[1])) * t.weight;
        let mut pull = (t.rows[0] * t.error.x + t.rows[1] * t.error.y) * t.weight;
        for &(landmark, anchor, precision) in &context.contacts {
            if landmark == i {
                information += DMat3::from_diagonal(precision);
                pull += precision * (place - anchor);
            }
        }
        (information, pull)
    }

    /// What this frame says about the shape, its pose being free (Schur complement of the pose).
    pub fn shape_normal(&mut self, state: &State, measurement: &Measurement) -> Option<ShapeNormal> {
        let context = Context::default();
        self.build(state, measurement, &context);
        let shapes = self.skeleton.body().shapes;
        let unknowns = self.normal.nrows();
        let joints = state.rotations.len();
        let joint_derivatives = self.skeleton.joint_shape_derivatives(&self.posed);
        let by_shape: Vec<Vec<DVec3>> = self
            .set
            .keypoints
            .iter()
            .map(|&k| self.skeleton.keypoint_shape_derivatives(&self.posed, k, &joint_derivatives))
            .collect();
        let mut parts = ShapeParts {
            mixed: DMatrix::zeros(unknowns, shapes),
            normal: DMatrix::zeros(shapes, shapes),
            gradient: DVector::zeros(shapes),
        };
        for (i, by_shape) in by_shape.iter().enumerate() {
            let (information, pull) = self.absolute_terms(state, measurement, &context, i);
            parts.add(&self.derivatives[self.starts[i]..self.starts[i + 1]], by_shape, information, pull);
            for (s, &d) in by_shape.iter().enumerate() {
                add_vector_to(&mut parts.mixed, joints, s, information * d);
            }
        }
        for (link, &seen) in self.set.links.iter().zip(&measurement.world) {
            let precision = link_precision(link, measurement) * WORLD_FOR_SHAPE;
            let pull = (link.of(&self.points) - seen) * precision;
            self.derive_link(link);
            let [to, a, b] = [link.to, link.from[0], link.from[1]].map(|i| &by_shape[i]);
            let by_shape: Vec<DVec3> = (0..shapes).map(|s| to[s] - a[s].midpoint(b[s])).collect();
            parts.add(&self.link, &by_shape, DMat3::IDENTITY * precision, pull);
        }
        let ShapeParts { mixed, mut normal, mut gradient } = parts;
        for i in 0..unknowns {
            self.normal[(i, i)] += SHAPE_RIDGE;
        }
        let factor = self.normal.clone().cholesky()?;
        let eliminated = factor.solve(&mixed);
        normal -= mixed.tr_mul(&eliminated);
        gradient -= eliminated.tr_mul(&self.gradient);
        Some(ShapeNormal { normal, gradient })
    }
}

/// Cost of the rotations between two poses; `precision` is one over the variance of a joint's.
pub fn turn_cost(from: &[DQuat], to: &[DQuat], precision: f64) -> f64 {
    let turned =
        |(j, (a, b)): (usize, (&DQuat, &DQuat))| joint_precision(j, precision) * log(a.inverse() * *b).length_squared();
    from.iter().zip(to).enumerate().map(turned).sum()
}

fn joint_precision(joint: usize, precision: f64) -> f64 {
    if joint == 0 { precision / (ROOT_STIFFNESS * ROOT_STIFFNESS) } else { precision }
}

/// What the lifter says of each bone: its place in the set, the bone, the axis of depth, and its depth along that.
fn bones<'a>(
    set: &'a LandmarkSet,
    measurement: &'a Measurement,
) -> impl Iterator<Item = (usize, &'a Bone, DVec3, &'a Depth)> {
    let of_set = |lifted: &'a Lifted| {
        let bones = set.bones.iter().enumerate();
        bones.map(|(n, (index, bone))| (n, bone, lifted.axis, &lifted.depths[*index]))
    };
    measurement.lifted.iter().flat_map(of_set)
}

/// Twice the negative log-likelihood of a bone whose depth over its length is `value` (less what it is at the likeliest), and its part in
/// the normal equations: precision, and precision times difference.
///
/// Each hypothesis is a Laplace distribution, whose tip is rounded so that it can be derived, and beside both anything may be so.
fn depth_term(depth: &Depth, value: f64) -> (f64, f64, f64) {
    let (mut likelihood, mut most, mut precision, mut pull) = (DEPTH_OUTLIER / 2.0, DEPTH_OUTLIER / 2.0, 0.0, 0.0);
    for hypothesis in &depth.hypotheses {
        let scale = f64::from(hypothesis.scale) * DEPTH_STRETCH;
        let height = (1.0 - DEPTH_OUTLIER) * f64::from(hypothesis.share) / (2.0 * scale);
        let off = value - f64::from(hypothesis.depth);
        let rounded = (off * off + (DEPTH_ROUND * scale).powi(2)).sqrt();
        let here = height * (DEPTH_ROUND - rounded / scale).exp();
        let weight = here / (scale * rounded);
        likelihood += here;
        most += height;
        precision += weight;
        pull += weight * off;
    }
    (
        2.0 * DEPTH_WEIGHT * (most / likelihood).ln(),
        DEPTH_WEIGHT * precision / likelihood,
        DEPTH_WEIGHT * pull / likelihood,
    )
}

/// One over the variance of a link as seen.
fn link_precision(link: &Link, measurement: &Measurement) -> f64 {
    measurement.weights[link.to] / (link.sigma * link.sigma)
}

fn outer(a: DVec3, b: DVec3) -> DMat3 {
    DMat3::from_cols(a * b.x, a * b.y, a * b.z)
}

fn add_block(matrix: &mut DMatrix<f64>, row: usize, column: usize, block: DMat3) {
    for c in 0..3 {
        for r in 0..3 {
            matrix[(3 * row + r, 3 * column + c)] += block.col(c)[r];
        }
    }
}

fn add_vector_to(matrix: &mut DMatrix<f64>, row: usize, column: usize, v: DVec3) {
    for i in 0..3 {
        matrix[(3 * row + i, column)] += v[i];
    }
}

fn add_vector(vector: &mut DVector<f64>, at: usize, v: DVec3) {
    for i in 0..3 {
        vector[3 * at + i] += v[i];
    }
}

#[cfg(test)]
mod tests {
    use super::super::heavy_landmarks::Corrected;
    use super::super::initial::Points;
    use super::super::lifter::Hypothesis;
    use super::super::model::Body;
    use super::*;
    use crate::pose::LANDMARKS;
    use std::path::Path;

    /// Reproducible numbers in -1..1.
    fn noise(i: usize) -> f64 {
        ((i as f64 * 12.9898).sin() * 43758.5453).fract()
    }

    fn vector(i: usize) -> DVec3 {
        DVec3::new(noise(3 * i), noise(3 * i + 1), noise(3 * i + 2))
    }

    #[test]
    fn the_gradient_agrees_with_differences_of_the_cost() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/body.safetensors");
        let body = Body::load(&path).expect("`make setup` builds it");
        let camera = Camera::guess([1280, 720]);
        let set = LandmarkSet::new(&body);
        let joints = body.fitted_joints();
        let world: Points = std::array::from_fn(|i| vector(i + 50) * 0.8);
        let seen = Corrected {
            pixels: std::array::from_fn(|i| DVec2::new(640.0 + 90.0 * noise(i), 360.0 + 200.0 * noise(i + 40))),
            world,
            visibility: [0.8; LANDMARKS],
        };
        let hypothesis = |i: usize| Hypothesis { depth: noise(i) as f32, scale: 0.2, share: 0.5 };
        let lifted = Lifted {
            axis: DVec3::new(0.1, -0.2, 1.0).normalize(),
            depths: std::array::from_fn(|i| Depth { hypotheses: [hypothesis(i + 7), hypothesis(i + 70)] }),
        };
        let measurement = Measurement::new(&set, &camera, &seen).expect("finite");
        let measurement = Measurement { lifted: Some(lifted), ..measurement };
        let rotations: Vec<DQuat> = (0..joints).map(|j| exp(vector(j + 100))).collect();
        let near: Vec<DQuat> = (0..joints).map(|j| rotations[j] * exp(vector(j + 150) * 0.2)).collect();
        let state = State { rotations, position: DVec3::new(0.1, 0.2, 3.5) };
        let context = Context {
            neighbours: vec![(&near, 40.0)],
            position: Some((DVec3::new(0.0, 0.3, 3.3), DVec3::new(100.0, 80.0, 30.0))),
            contacts: vec![(12, DVec3::new(0.3, 0.4, 3.0), DVec3::new(500.0, 400.0, 300.0))],
        };
        let mut solver = Solver::new(camera, Skeleton::new(&body, &vec![0.3; body.shapes]), &set);
        solver.build(&state, &measurement, &context);
        let gradient = solver.gradient.clone() * 2.0;
        let size = gradient.amax();
        for i in 0..3 * joints + 3 {
            let mut side = |step: f64| {
                let mut moved = state.clone();
                let v = DVec3::AXES[i % 3] * step;
                match moved.rotations.get_mut(i / 3) {
                    Some(q) => *q *= exp(v),
                    None => moved.position += v,
                }
                solver.cost(&moved, &measurement, &context)
            };
            let numeric = (side(1e-6) - side(-1e-6)) / 2e-6;
            assert!((numeric - gradient[i]).abs() < 1e-5 * size, "{i}: {numeric} {}", gradient[i]);
        }
    }
}
