//! The pose and shape whose surface lies nearest to given vertices, for networks that give nothing else.
//!
//! Each joint begins with the rotation that brings the vertices that follow it to where they are given (Kabsch 1976); a few steps of Gauss and
//! Newton then fit all rotations, the shape and the place together.

use glam::{DMat3, DQuat, DVec3};
use nalgebra::{DMatrix, DVector, Matrix3};

use super::Body;
use super::kinematics::{Posed, Skeleton};
use super::model::{Moment, ancestors};
use super::rotation::exp;
use crate::pose::own::MOST_SHAPE;

/// Vertices that are used for each joint, at most.
const EACH: usize = 16;
/// Steps.
const STEPS: usize = 6;
/// One over the variances that keep apart what the vertices do not tell: of a rotation (radians) in a step, and of a coefficient of the shape.
const ROTATION_PRECISION: f64 = 1e-4;
const SHAPE_PRECISION: f64 = 1e-4;
/// Steps end when nothing changes by more than this.
const DONE: f64 = 1e-6;

/// A pose, a shape, and where the root joint is (metres).
pub struct Fitted {
    /// Of each joint relative to its parent.
    pub rotations: Vec<DQuat>,
    /// Coefficients.
    pub shape: Vec<f64>,
    /// In the axes of the vertices.
    pub root: DVec3,
}

/// What is known of a body before any vertices are.
pub struct SurfaceFit {
    /// The body with the used vertices as its key points.
    body: Body,
    /// Their indices.
    vertices: Vec<usize>,
    /// For each joint the used vertices (places in the list) that follow it most.
    followers: Vec<Vec<usize>>,
}

impl SurfaceFit {
    /// For a body.
    pub fn new(body: &Body) -> Self {
        let joints = body.joint_count();
        let mut of_joint: Vec<Vec<usize>> = vec![Vec::new(); joints];
        for (vertex, (indices, weights)) in body.skin_indices.iter().zip(&body.skin_weights).enumerate() {
            let heaviest = indices.iter().zip(weights).max_by(|a, b| a.1.total_cmp(b.1));
            if let Some((&joint, _)) = heaviest {
                of_joint[joint as usize].push(vertex);
            }
        }
        let (mut vertices, mut followers) = (Vec::new(), Vec::with_capacity(joints));
        for all in of_joint {
            let step = all.len().div_ceil(EACH).max(1);
            let used: Vec<usize> = all.into_iter().step_by(step).collect();
            followers.push((vertices.len()..vertices.len() + used.len()).collect());
            vertices.extend(used);
        }
        let directions: Vec<&[[f32; 3]]> = body.shape_directions().collect();
        let moments: Vec<Vec<Moment>> = vertices
            .iter()
            .map(|&v| {
                let parts = body.skin_indices[v].iter().zip(&body.skin_weights[v]).filter(|(_, weight)| **weight > 0.0);
                let part = |(&joint, &weight): (&u32, &f32)| Moment {
                    joint: joint as usize,
                    weight: f64::from(weight),
                    point: vector(body.vertices[v]) * f64::from(weight),
                    shape: directions.iter().map(|list| vector(list[v]) * f64::from(weight)).collect(),
                };
                parts.map(part).collect()
            })
            .collect();
        let movers = moments.iter().map(|m| ancestors(m.iter().map(|m| m.joint), &body.parents)).collect();
        let mut by_vertices = body.clone();
        (by_vertices.moments, by_vertices.movers) = (moments, movers);
        Self { body: by_vertices, vertices, followers }
    }

    /// The pose of given vertices (metres, any place); nothing where they make none.
    ///
    /// # Errors
    /// When there are not as many as the body has.
    pub fn pose(&self, body: &Body, given: &[[f32; 3]]) -> Result<Option<Fitted>, String> {
        if given.len() != body.vertices.len() {
            return Err(format!(
                "it gives {} vertices, and the body \"{}\" has {}",
                given.len(),
                body.name,
                body.vertices.len()
            ));
        }
        let target: Vec<DVec3> = self.vertices.iter().map(|&v| vector(given[v])).collect();
        let mut rotations = self.start(body, &target);
        let mut shape = vec![0.0; body.shapes];
        let mut posed = Posed::default();
        let skeleton = Skeleton::new(&self.body, &shape);
        skeleton.pose(&rotations, &mut posed);
        let mean = |points: &mut dyn Iterator<Item = DVec3>| points.sum::<DVec3>() / target.len().max(1) as f64;
        let mut root =
            mean(&mut target.iter().copied()) - mean(&mut (0..target.len()).map(|k| skeleton.keypoint(&posed, k)));
        for _ in 0..STEPS {
            let Some(step) = self.step(&rotations, &shape, root, &target) else { return Ok(None) };
            let joints = rotations.len();
            let part = |i: usize| DVec3::new(step[3 * i], step[3 * i + 1], step[3 * i + 2]);
            rotations.iter_mut().enumerate().for_each(|(j, q)| *q = (*q * exp(part(j))).normalize());
            root += part(joints);
            let moved = |s: usize, amount: f64| (amount + step[3 * joints + 3 + s]).clamp(-MOST_SHAPE, MOST_SHAPE);
            shape.iter_mut().enumerate().for_each(|(s, amount)| *amount = moved(s, *amount));
            if step.amax() < DONE {
                break;
            }
        }
        let is_usable = root.is_finite() && rotations.iter().all(|q| q.is_finite());
        Ok(is_usable.then_some(Fitted { rotations, shape, root }))
    }

    /// Rotations of the joints, each by the vertices that follow it.
    fn start(&self, body: &Body, target: &[DVec3]) -> Vec<DQuat> {
        let mut global: Vec<DQuat> = Vec::with_capacity(body.joint_count());
        for (joint, followers) in self.followers.iter().enumerate() {
            let parent = body.parents[joint].map_or(DQuat::IDENTITY, |parent| global[parent]);
            let rest = |k: usize| vector(body.vertices[self.vertices[k]]);
            let turned = if followers.len() < 3 { None } else { turn(followers.iter().map(|&k| (rest(k), target[k]))) };
            global.push(turned.unwrap_or(parent));
        }
        let local = |joint: usize| match body.parents[joint] {
            Some(parent) => (global[parent].inverse() * global[joint]).normalize(),
            None => global[joint],
        };
        (0..global.len()).map(local).collect()
    }

    /// A step of Gauss and Newton: rotation vectors of the joints, the root's way, and the shape's coefficients.
    fn step(&self, rotations: &[DQuat], shape: &[f64], root: DVec3, target: &[DVec3]) -> Option<DVector<f64>> {
        let (joints, shapes) = (rotations.len(), shape.len());
        let skeleton = Skeleton::new(&self.body, shape);
        let mut posed = Posed::default();
        skeleton.pose(rotations, &mut posed);
        let by_shape = skeleton.joint_shape_derivatives(&posed);
        let bend = self.body.bend_of(rotations);
        let unknowns = 3 * joints + 3 + shapes;
        let mut jacobian = DMatrix::zeros(3 * target.len(), unknowns);
        let mut off = DVector::zeros(3 * target.len());
        let mut derivatives = Vec::new();
        for (k, &target) in target.iter().enumerate() {
            let v = self.vertices[k];
            // What bending adds follows the joints like the vertex itself.
            let bent = bend.as_ref().map_or(DVec3::ZERO, |bend| {
                let added = bend.of(v).as_dvec3();
                let parts = self.body.skin_indices[v].iter().zip(&self.body.skin_weights[v]);
                parts.map(|(&joint, &weight)| posed.rotations[joint as usize] * added * f64::from(weight)).sum()
            });
            let miss = target - (skeleton.keypoint(&posed, k) + bent + root);
            derivatives.clear();
            skeleton.keypoint_derivatives(&posed, k, &mut derivatives);
            for axis in 0..3 {
                let row = 3 * k + axis;
                off[row] = miss[axis];
                jacobian[(row, 3 * joints + axis)] = 1.0;
                for (joint, d) in &derivatives {
                    (0..3).for_each(|c| jacobian[(row, 3 * joint + c)] = d.col(c)[axis]);
                }
            }
            for (s, d) in skeleton.keypoint_shape_derivatives(&posed, k, &by_shape).into_iter().enumerate() {
                (0..3).for_each(|axis| jacobian[(3 * k + axis, 3 * joints + 3 + s)] = d[axis]);
            }
        }
        let mut normal = jacobian.tr_mul(&jacobian);
        let mut right = jacobian.tr_mul(&off);
        for i in 0..3 * joints {
            normal[(i, i)] += ROTATION_PRECISION;
        }
        for (s, amount) in shape.iter().enumerate() {
            let i = 3 * joints + 3 + s;
            normal[(i, i)] += SHAPE_PRECISION;
            right[i] -= SHAPE_PRECISION * amount;
        }
        Some(normal.cholesky()?.solve(&right))
    }
}

fn vector(v: [f32; 3]) -> DVec3 {
    DVec3::from(v.map(f64::from))
}

/// The rotation that brings some points nearest to others, each about their middle (Kabsch, *A solution for the best rotation to relate two
/// sets of vectors*, 1976).
fn turn(pairs: impl Iterator<Item = (DVec3, DVec3)> + Clone) -> Option<DQuat> {
    let count = pairs.clone().count() as f64;
    let [from, to] = pairs.clone().fold([DVec3::ZERO; 2], |[a, b], (p, q)| [a + p / count, b + q / count]);
    let mut covariance = Matrix3::<f64>::zeros();
    for (p, q) in pairs {
        let (p, q) = (p - from, q - to);
        for row in 0..3 {
            for column in 0..3 {
                covariance[(row, column)] += q[row] * p[column];
            }
        }
    }
    let svd = covariance.svd(true, true);
    let (u, v_t) = (svd.u?, svd.v_t?);
    let mut signs = Matrix3::<f64>::identity();
    signs[(2, 2)] = (u * v_t).determinant().signum();
    let r = u * signs * v_t;
    let columns = [0, 1, 2].map(|c| DVec3::new(r[(0, c)], r[(1, c)], r[(2, c)]));
    let rotation = DQuat::from_mat3(&DMat3::from_cols(columns[0], columns[1], columns[2]));
    rotation.is_finite().then(|| rotation.normalize())
}
