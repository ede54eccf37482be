//! Fits one hand in one frame by damped least squares: the fingers' angles, and a little turn of the wrist, against the points that the hand network saw.
//!
//! The arm holds the hand where the body was fitted. It is some pixels off, and so is the hand's size in the picture: a shift that is found with
//! the angles, and then forgotten, takes that up. In the picture the points say where fingers are; the network's metres say which way they go in depth.

use super::super::Camera;
use super::super::rotation::{exp, frame, log};
use super::model::{FINGERS, HandModel, SEGMENTS};
use crate::pose::{HAND_POINTS, Hand};
use glam::{DMat3, DQuat, DVec2, DVec3};
use nalgebra::{DMatrix, DVector};

/// How far a point is off in the picture: standard deviation over the diagonal of the box around all points.
const PIXEL_SIGMA: f64 = 0.03;
/// How far a bone's direction in metres is off: standard deviation, radians.
const BONE_SIGMA: f64 = 0.35;
/// How far the wrist is turned from where the body has it: standard deviation, radians.
const WRIST_SIGMA: f64 = 0.3;
/// How far the hand is from where the body has it, across the line of sight (metres) and along it (over its distance).
const SHIFT_SIGMA: [f64; 2] = [0.03, 0.15];
/// The last joint of a finger bends about so much with the one before it, and how far it is from that, radians.
const TOGETHER: f64 = 0.6;
const TOGETHER_SIGMA: f64 = 0.15;
/// How far beyond its range an angle may be: standard deviation, radians.
const LIMIT_SIGMA: f64 = 0.05;
/// Steps of the solver, and when it is done, radians.
const STEPS: usize = 8;
const DONE: f64 = 2e-3;
/// Damping at the start, and what it is multiplied by after a step that helps, and after one that does not.
const DAMPING: f64 = 1e-2;
const LESS: f64 = 0.3;
const MORE: f64 = 6.0;

/// What is found of a hand.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// In the order of [`HandModel::angles`], radians.
    pub angles: Vec<f64>,
    /// How the wrist is turned from where the body has it, relative to its own axes.
    pub wrist: DQuat,
}

/// Where the body has a wrist.
#[derive(Debug, Clone, Copy)]
pub struct Arm {
    /// Camera axes, metres.
    pub position: DVec3,
    /// Against the camera axes.
    pub rotation: DQuat,
}

/// A hand that is being fitted.
pub struct Solver<'a> {
    model: &'a HandModel,
    camera: &'a Camera,
    /// The point that each point hangs on.
    parents: [usize; HAND_POINTS],
    /// Length of the bone to each point, metres.
    lengths: [f64; HAND_POINTS],
}

/// The unknowns.
#[derive(Clone)]
struct State {
    angles: Vec<f64>,
    wrist: DQuat,
    shift: DVec3,
}

impl State {
    fn of(hand: &Fitted) -> Self {
        Self { angles: hand.angles.clone(), wrist: hand.wrist, shift: DVec3::ZERO }
    }
}

/// The hand posed: where its points are, and what each angle turns them about.
struct Posed {
    points: [DVec3; HAND_POINTS],
    /// For each angle its axis, camera axes, and the joint that it is of.
    axes: Vec<(DVec3, DVec3)>,
    hand: DMat3,
}

/// Normal equations while they are summed.
struct Normal {
    matrix: DMatrix<f64>,
    gradient: DVector<f64>,
    cost: f64,
}

impl Normal {
    fn new(count: usize) -> Self {
        Self { matrix: DMatrix::zeros(count, count), gradient: DVector::zeros(count), cost: 0.0 }
    }

    /// Adds a residual (in standard deviations) and its derivatives by some unknowns, which ascend.
    fn add(&mut self, residual: f64, derivatives: &[(usize, f64)]) {
        self.cost += residual * residual;
        for (n, &(a, da)) in derivatives.iter().enumerate() {
            self.gradient[a] += da * residual;
            for &(b, db) in &derivatives[..=n] {
                self.matrix[(a, b)] += da * db;
            }
        }
    }
}

impl<'a> Solver<'a> {
    /// For a hand.
    pub fn new(model: &'a HandModel, camera: &'a Camera) -> Self {
        let parents = std::array::from_fn(|i| if i == 0 || (i - 1) % 4 == 0 { 0 } else { i - 1 });
        let lengths = std::array::from_fn(|i: usize| model.points[i].distance(model.points[parents[i]]).max(1e-3));
        Self { model, camera, parents, lengths }
    }

    /// The hand that was seen on an arm. `before`: that of a frame shortly before and one over the variance of what changes since, if there is one.
    pub fn solve(&self, arm: &Arm, seen: &Hand, before: Option<(&Fitted, f64)>) -> Fitted {
        let anew = Fitted { angles: self.angles_of(seen), wrist: DQuat::IDENTITY };
        let starts = [Some(&anew), before.map(|(before, _)| before)];
        let solved = starts.into_iter().flatten().map(|start| self.solve_from(start, arm, seen, before));
        let (state, _) = solved.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_else(|| (State::of(&anew), 0.0));
        let clamped = self.model.angles.iter().zip(state.angles);
        let angles = clamped.map(|(angle, value)| value.clamp(angle.range[0], angle.range[1])).collect();
        Fitted { angles, wrist: state.wrist }
    }

    /// Improves a hand; gives the cost as well.
    fn solve_from(&self, start: &Fitted, arm: &Arm, seen: &Hand, before: Option<(&Fitted, f64)>) -> (State, f64) {
        let mut state = State::of(start);
        let mut normal = self.build(&state, arm, seen, before);
        let mut damping = DAMPING;
        for _ in 0..STEPS {
            let Some((next, step)) = self.step(&state, &normal, damping) else { break };
            let next_normal = self.build(&next, arm, seen, before);
            if next_normal.cost < normal.cost {
                (state, normal) = (next, next_normal);
                damping *= LESS;
                if step < DONE {
                    break;
                }
            } else {
                damping *= MORE;
            }
        }
        (state, normal.cost)
    }

    /// The angles by the directions of the bones in metres alone: where the search begins. A finger that is bent far would not be found from
    /// one that is straight.
    fn angles_of(&self, seen: &Hand) -> Vec<f64> {
        let rest = &self.model.points;
        let world = |i: usize| DVec3::from_array(seen.world[i].map(f64::from));
        let palm = |at: &dyn Fn(usize) -> DVec3| frame(at(5) - at(17), at(9) - at(0));
        let (Some(seen_palm), Some(rest_palm)) = (palm(&world), palm(&|i| rest[i])) else {
            return self.model.relaxed();
        };
        let mut turn = DQuat::IDENTITY;
        let mut angles: Vec<f64> = Vec::with_capacity(self.model.angles.len());
        for angle in &self.model.angles {
            let at = 1 + 4 * angle.joint.finger + angle.joint.segment;
            let before = angles.len().checked_sub(1).map(|before| self.model.angles[before].joint.finger);
            if before != Some(angle.joint.finger) {
                turn = seen_palm * rest_palm.inverse();
            }
            let aside = |v: DVec3| v - angle.axis * angle.axis.dot(v);
            let bone = aside(rest[at + 1] - rest[at]);
            let to = aside(turn.inverse() * (world(at + 1) - world(at)));
            // A bone does not tell how it is turned about itself.
            let turned = if bone.length() < 1e-3 * self.lengths[at + 1] {
                angle.relaxed
            } else {
                bone.cross(to).dot(angle.axis).atan2(bone.dot(to))
            };
            let value = turned.clamp(angle.range[0], angle.range[1]);
            turn *= exp(angle.axis * value);
            angles.push(value);
        }
        angles
    }

    /// Where the points of a hand are without any shift, camera axes, metres.
    pub fn points(&self, arm: &Arm, hand: &Fitted) -> [DVec3; HAND_POINTS] {
        self.pose(&State::of(hand), arm).points
    }

    fn step(&self, state: &State, normal: &Normal, damping: f64) -> Option<(State, f64)> {
        let mut damped = normal.matrix.clone();
        for i in 0..damped.nrows() {
            damped[(i, i)] *= 1.0 + damping;
        }
        let step = -damped.cholesky()?.solve(&normal.gradient);
        let count = state.angles.len();
        let vector = |at: usize| DVec3::new(step[at], step[at + 1], step[at + 2]);
        let next = State {
            angles: state.angles.iter().zip(step.iter()).map(|(angle, step)| angle + step).collect(),
            wrist: (state.wrist * exp(vector(count))).normalize(),
            shift: state.shift + vector(count + 3),
        };
        let is_finite = next.wrist.is_finite() && next.shift.is_finite() && next.angles.iter().all(|a| a.is_finite());
        is_finite.then_some((next, step.amax()))
    }

    fn pose(&self, state: &State, arm: &Arm) -> Posed {
        let model = self.model;
        let hand = arm.rotation * state.wrist;
        let place = arm.position + state.shift;
        let mut points = [place; HAND_POINTS];
        let mut axes = Vec::with_capacity(model.angles.len());
        let mut next = 0;
        for finger in 0..FINGERS {
            let (mut turn, mut at, mut rest) = (hand, place, model.points[0]);
            for segment in 0..SEGMENTS {
                let point = 1 + 4 * finger + segment;
                at += turn * (model.points[point] - rest);
                rest = model.points[point];
                points[point] = at;
                while let Some(angle) = model.angles.get(next)
                    && (angle.joint.finger, angle.joint.segment) == (finger, segment)
                {
                    axes.push((turn * angle.axis, at));
                    turn *= exp(angle.axis * state.angles[next]);
                    next += 1;
                }
            }
            let tip = 4 + 4 * finger;
            points[tip] = at + turn * (model.points[tip] - rest);
        }
        Posed { points, axes, hand: DMat3::from_quat(hand) }
    }

    /// Derivatives of a point by the unknowns that move it.
    fn derivatives(&self, posed: &Posed, point: usize, derivatives: &mut Vec<(usize, DVec3)>) {
        derivatives.clear();
        let at = posed.points[point];
        if let Some((finger, along)) = HandModel::finger_of(point) {
            for (i, (angle, &(axis, joint))) in self.model.angles.iter().zip(&posed.axes).enumerate() {
                if angle.joint.finger == finger && angle.joint.segment < along {
                    derivatives.push((i, axis.cross(at - joint)));
                }
            }
        }
        let count = self.model.angles.len();
        for i in 0..3 {
            derivatives.push((count + i, posed.hand.col(i).cross(at - posed.points[0])));
        }
    }

    fn build(&self, state: &State, arm: &Arm, seen: &Hand, before: Option<(&Fitted, f64)>) -> Normal {
        let count = self.model.angles.len();
        let posed = self.pose(state, arm);
        let mut normal = Normal::new(count + 6);
        let all: Vec<Vec<(usize, DVec3)>> = (0..HAND_POINTS)
            .map(|point| {
                let mut list = Vec::new();
                self.derivatives(&posed, point, &mut list);
                list
            })
            .collect();
        self.add_pixels(&mut normal, &posed, &all, seen);
        self.add_bones(&mut normal, &posed, &all, arm, seen);
        let mut rest =
            |residual: f64, sigma: f64, unknown: usize| normal.add(residual / sigma, &[(unknown, 1.0 / sigma)]);
        for (i, (angle, &value)) in self.model.angles.iter().zip(&state.angles).enumerate() {
            rest(value - angle.relaxed, angle.sigma, i);
            let beyond = value - value.clamp(angle.range[0], angle.range[1]);
            if beyond != 0.0 {
                rest(beyond, LIMIT_SIGMA, i);
            }
        }
        let turned = log(state.wrist);
        for i in 0..3 {
            rest(turned[i], WRIST_SIGMA, count + i);
        }
        if let Some((before, precision)) = before {
            let sigma = precision.powf(-0.5);
            for (i, (value, before)) in state.angles.iter().zip(&before.angles).enumerate() {
                rest(value - before, sigma, i);
            }
            let turned = log(before.wrist.inverse() * state.wrist);
            (0..3).for_each(|i| rest(turned[i], sigma, count + i));
        }
        let along = arm.position.normalize_or(DVec3::Z);
        let across = along.any_orthonormal_vector();
        let far = SHIFT_SIGMA[1] * arm.position.length().max(0.1);
        for (axis, sigma) in [(along, far), (across, SHIFT_SIGMA[0]), (along.cross(across), SHIFT_SIGMA[0])] {
            let derivatives = [0, 1, 2].map(|i| (count + 3 + i, axis[i] / sigma));
            normal.add(state.shift.dot(axis) / sigma, &derivatives);
        }
        self.add_together(&mut normal, state);
        normal
    }

    /// The points in the picture.
    fn add_pixels(&self, normal: &mut Normal, posed: &Posed, all: &[Vec<(usize, DVec3)>], seen: &Hand) {
        let count = self.model.angles.len();
        let sigma = PIXEL_SIGMA * seen.extent().max(1.0);
        let [fx, fy] = self.camera.focal;
        for (point, list) in all.iter().enumerate() {
            let p = posed.points[point];
            let z = p.z.max(0.1);
            let pixel = DVec2::new(fx * p.x, fy * p.y) / z + DVec2::from_array(self.camera.center);
            let error = (pixel - seen.at(point)) / sigma;
            let rows =
                [DVec3::new(fx, 0.0, -fx * p.x / z), DVec3::new(0.0, fy, -fy * p.y / z)].map(|row| row / (z * sigma));
            for (row, residual) in rows.into_iter().zip(error.to_array()) {
                let mut derivatives: Vec<(usize, f64)> = list.iter().map(|&(i, d)| (i, row.dot(d))).collect();
                derivatives.extend((0..3).map(|i| (count + 3 + i, row[i])));
                normal.add(residual, &derivatives);
            }
        }
    }

    /// The directions of the bones in metres.
    fn add_bones(&self, normal: &mut Normal, posed: &Posed, all: &[Vec<(usize, DVec3)>], arm: &Arm, seen: &Hand) {
        // The network sees a crop as if a camera looked straight at it.
        let to_camera = DQuat::from_rotation_arc(DVec3::Z, arm.position.normalize_or(DVec3::Z));
        let world = |i: usize| DVec3::from_array(seen.world[i].map(f64::from));
        for point in 1..HAND_POINTS {
            let parent = self.parents[point];
            let Some(direction) = (to_camera * (world(point) - world(parent))).try_normalize() else { continue };
            let sigma = BONE_SIGMA * self.lengths[point];
            let off = posed.points[point] - posed.points[parent] - direction * self.lengths[point];
            for i in 0..3 {
                let of_parent = |unknown: usize| {
                    all[parent].iter().find(|(other, _)| *other == unknown).map_or(DVec3::ZERO, |(_, d)| *d)
                };
                let derivatives: Vec<(usize, f64)> =
                    all[point].iter().map(|&(j, d)| (j, (d - of_parent(j))[i] / sigma)).collect();
                normal.add(off[i] / sigma, &derivatives);
            }
        }
    }

    /// The last two joints of a finger bend together.
    fn add_together(&self, normal: &mut Normal, state: &State) {
        for (i, pair) in self.model.angles.windows(2).enumerate() {
            let [middle, last] = pair else { continue };
            if middle.joint.finger > 0 && middle.joint.segment == 1 && last.joint.segment == 2 {
                let expected = last.relaxed + TOGETHER * (state.angles[i] - middle.relaxed);
                let residual = (state.angles[i + 1] - expected) / TOGETHER_SIGMA;
                normal.add(residual, &[(i, -TOGETHER / TOGETHER_SIGMA), (i + 1, 1.0 / TOGETHER_SIGMA)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::super::joint_priors::Side;
    use super::*;
    use crate::body::Body;

    const ARM: Arm = Arm { position: DVec3::new(0.3, -0.2, 2.0), rotation: DQuat::IDENTITY };

    fn model() -> HandModel {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/body.safetensors");
        let body = Body::load(&path).expect("`make setup` builds it");
        assert_eq!((body.fitted_joints(), body.joint_count()), (20, 50));
        HandModel::new(&body, &[], Side::Right).expect("it has fingers")
    }

    /// Reproducible numbers in -1..1.
    fn noise(i: usize) -> f64 {
        ((i as f64 * 12.9898).sin() * 43758.5453).fract()
    }

    /// What the network would see of a hand.
    fn seen(camera: &Camera, points: &[DVec3; HAND_POINTS]) -> Hand {
        let ray = DQuat::from_rotation_arc(ARM.position.normalize(), DVec3::Z);
        Hand {
            points: points.map(|p| camera.project(p).map(|v| v as f32)),
            world: points.map(|p| (ray * (p - points[0])).as_vec3().to_array()),
            presence: 0.9,
            right: 0.9,
        }
    }

    #[test]
    fn the_fingers_of_a_fist_and_of_a_pointing_hand_are_found() {
        let (model, camera) = (model(), Camera::guess([1280, 720]));
        let solver = Solver::new(&model, &camera);
        for pointing in [false, true] {
            let bent = |angle: &super::super::model::Angle| match (angle.joint.finger, angle.range[1] > 0.7) {
                (1, true) if pointing => 0.0,
                (1.., true) => 1.1,
                _ => angle.relaxed,
            };
            let angles: Vec<f64> = model.angles.iter().map(bent).collect();
            let truth = Fitted { angles, wrist: exp(DVec3::new(0.1, -0.1, 0.05)) };
            let hand = seen(&camera, &solver.points(&ARM, &truth));
            let found = solver.solve(&ARM, &hand, None);
            let off = |i: usize| (found.angles[i] - truth.angles[i]).abs();
            let mean = (0..model.angles.len()).map(off).sum::<f64>() / model.angles.len() as f64;
            assert!(mean < 0.12, "{mean} radians off: {:?}", found.angles);
            let places = solver.points(&ARM, &found);
            let pixels: Vec<f64> =
                (0..HAND_POINTS).map(|i| DVec2::from_array(camera.project(places[i])).distance(hand.at(i))).collect();
            assert!(pixels.iter().sum::<f64>() < 0.05 * hand.extent() * HAND_POINTS as f64, "{pixels:?}");
        }
    }

    #[test]
    fn angles_stay_in_their_ranges() {
        let (model, camera) = (model(), Camera::guess([1280, 720]));
        let solver = Solver::new(&model, &camera);
        let scattered =
            std::array::from_fn(|i| ARM.position + DVec3::new(noise(i), noise(i + 30), noise(i + 60)) * 0.1);
        let found = solver.solve(&ARM, &seen(&camera, &scattered), None);
        for (angle, value) in model.angles.iter().zip(&found.angles) {
            assert!((angle.range[0]..=angle.range[1]).contains(value), "{angle:?}: {value}");
        }
        assert!(found.wrist.is_finite());
    }

    #[test]
    fn the_gradient_agrees_with_differences_of_the_cost() {
        let (model, camera) = (model(), Camera::guess([1280, 720]));
        let solver = Solver::new(&model, &camera);
        let truth = Fitted { angles: model.relaxed(), wrist: DQuat::IDENTITY };
        let hand = seen(&camera, &solver.points(&ARM, &truth));
        let count = model.angles.len();
        let angles: Vec<f64> = model.angles.iter().enumerate().map(|(i, a)| a.relaxed + 0.5 * noise(i)).collect();
        let state = State { angles, wrist: exp(DVec3::new(0.2, -0.1, 0.3)), shift: DVec3::new(0.01, -0.02, 0.1) };
        let cost = |state: &State| solver.build(state, &ARM, &hand, Some((&truth, 20.0))).cost;
        let normal = solver.build(&state, &ARM, &hand, Some((&truth, 20.0)));
        let size = 2.0 * normal.gradient.amax();
        for i in 0..count + 6 {
            let moved = |step: f64| {
                let mut moved = state.clone();
                match i {
                    _ if i < count => moved.angles[i] += step,
                    _ if i < count + 3 => moved.wrist *= exp(DVec3::AXES[i - count] * step),
                    _ => moved.shift += DVec3::AXES[i - count - 3] * step,
                }
                cost(&moved)
            };
            let numeric = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            let found = 2.0 * normal.gradient[i];
            // What the turn of the wrist costs is derived for small turns.
            let near = if (count..count + 3).contains(&i) { 0.05 } else { 1e-4 };
            assert!((numeric - found).abs() < near * size, "{i}: {numeric} {found}");
        }
    }
}
