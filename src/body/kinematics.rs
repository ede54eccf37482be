//! Where joints and key points are for a pose, and how they move with it.
//!
//! Key points are linear in the skinned vertices, so a few moments per joint (see [`super::model`]) replace the vertices:
//! a key point is the sum over joints of `G_b P_kb + c_kb (p_b - G_b J_b)`, where `G` and `p` are a joint's rotation and
//! position, `J` its position at rest, `P` and `c` the key point's moments.

use super::model::Body;
use super::rotation::cross_matrix;
use super::{Camera, Pose};
use crate::pose::skeleton::LANDMARKS;
use glam::{DMat3, DQuat, DVec3, Vec3A, Vec4};

/// A body of one shape, ready for posing.
#[derive(Debug, Clone)]
pub struct Skeleton<'a> {
    body: &'a Body,
    /// Joints at rest.
    joints: Vec<DVec3>,
    /// For each key point `(joint, weight, point)`.
    moments: Vec<Vec<(usize, f64, DVec3)>>,
}

/// A posed skeleton, the root joint at the origin.
#[derive(Debug, Clone, Default)]
pub struct Posed {
    /// Rotation of each joint against the camera axes.
    pub rotations: Vec<DMat3>,
    /// Position of each joint relative to the root.
    pub positions: Vec<DVec3>,
    /// `p - G J`: what skinning adds after rotating.
    offsets: Vec<DVec3>,
}

/// A key point's derivative by the rotation vector of one joint (right-multiplied, in the joint's own axes).
pub type JointDerivative = (usize, DMat3);

impl<'a> Skeleton<'a> {
    /// Missing shape coefficients count as 0.
    pub fn new(body: &'a Body, shape: &[f64]) -> Self {
        let joints = body.rest_joints(shape);
        let shaped =
            |plain: DVec3, dirs: &[DVec3]| dirs.iter().zip(shape).fold(plain, |sum, (d, &amount)| sum + *d * amount);
        let moments = body
            .moments
            .iter()
            .map(|list| list.iter().map(|m| (m.joint, m.weight, shaped(m.point, &m.shape))).collect())
            .collect();
        Self { body, joints, moments }
    }

    /// The body without its shape.
    pub fn body(&self) -> &'a Body {
        self.body
    }

    /// Position of a key point at rest, metres.
    pub fn keypoint_at_rest(&self, keypoint: usize) -> DVec3 {
        self.moments[keypoint].iter().map(|&(_, _, point)| point).sum()
    }

    /// Poses the skeleton by rotations relative to the parents: all joints, or the first of them ([`Body::fitted_joints`]).
    pub fn pose(&self, rotations: &[DQuat], posed: &mut Posed) {
        posed.rotations.clear();
        posed.positions.clear();
        posed.offsets.clear();
        for (j, (&rest, &local)) in self.joints.iter().zip(rotations).enumerate() {
            let local = DMat3::from_quat(local);
            let (rotation, position) = match self.body.parents[j] {
                None => (local, DVec3::ZERO),
                Some(p) => {
                    (posed.rotations[p] * local, posed.positions[p] + posed.rotations[p] * (rest - self.joints[p]))
                }
            };
            posed.rotations.push(rotation);
            posed.positions.push(position);
            posed.offsets.push(position - rotation * rest);
        }
    }

    /// Position of a key point relative to the root joint.
    pub fn keypoint(&self, posed: &Posed, keypoint: usize) -> DVec3 {
        self.moments[keypoint]
            .iter()
            .map(|&(b, weight, point)| posed.rotations[b] * point + posed.offsets[b] * weight)
            .sum()
    }

    /// Derivatives of a key point by the joints that move it, ascending, appended to `derivatives`.
    pub fn keypoint_derivatives(&self, posed: &Posed, keypoint: usize, derivatives: &mut Vec<JointDerivative>) {
        let start = derivatives.len();
        // Sums over the joint and all below it: of the moved points, and of the weights.
        let movers = &self.body.movers[keypoint];
        for &j in movers {
            let (mut sum, mut weights) = (DVec3::ZERO, 0.0);
            for &(b, weight, point) in &self.moments[keypoint] {
                if self.is_at_or_below(b, j) {
                    sum += posed.rotations[b] * point + posed.offsets[b] * weight;
                    weights += weight;
                }
            }
            let lever = sum - posed.positions[j] * weights;
            derivatives.push((j, cross_matrix(-lever) * posed.rotations[j]));
        }
        debug_assert_eq!(derivatives.len() - start, movers.len());
    }

    fn is_at_or_below(&self, joint: usize, ancestor: usize) -> bool {
        let mut at = joint;
        while at > ancestor {
            match self.body.parents[at] {
                Some(p) => at = p,
                None => return false,
            }
        }
        at == ancestor
    }

    /// Derivatives of all posed joints' positions by each shape coefficient: `[shape][joint]`.
    pub fn joint_shape_derivatives(&self, posed: &Posed) -> Vec<Vec<DVec3>> {
        let derive = |direction: &Vec<DVec3>| {
            let mut moved: Vec<DVec3> = Vec::with_capacity(direction.len());
            for j in 0..posed.rotations.len() {
                let d = match self.body.parents[j] {
                    None => DVec3::ZERO,
                    Some(p) => moved[p] + posed.rotations[p] * (direction[j] - direction[p]),
                };
                moved.push(d);
            }
            moved
        };
        self.body.joints_shape.iter().map(derive).collect()
    }

    /// Derivatives of a key point by each shape coefficient; `joints` as from [`Self::joint_shape_derivatives`].
    pub fn keypoint_shape_derivatives(&self, posed: &Posed, keypoint: usize, joints: &[Vec<DVec3>]) -> Vec<DVec3> {
        let one = |s: usize| {
            let part = |m: &super::model::Moment| {
                let (b, g) = (m.joint, posed.rotations[m.joint]);
                g * m.shape[s] + (joints[s][b] - g * self.body.joints_shape[s][b]) * m.weight
            };
            self.body.moments[keypoint].iter().map(part).sum()
        };
        (0..joints.len()).map(one).collect()
    }
}

impl Body {
    /// For each joint the rows of the 3x4 matrix that takes a vertex at rest (of this shape) to camera axes, for linear blend
    /// skinning.
    pub fn joint_transforms(&self, pose: &Pose, shape: &[f64]) -> Vec<[[f32; 4]; 3]> {
        let posed = self.posed(pose, shape).1;
        let rows = |(g, o): (&DMat3, &DVec3)| {
            let at = *o + pose.position;
            [0, 1, 2].map(|i| {
                let r = g.row(i);
                [r.x as f32, r.y as f32, r.z as f32, at[i] as f32]
            })
        };
        posed.rotations.iter().zip(&posed.offsets).map(rows).collect()
    }

    /// All vertices in camera axes, metres.
    pub fn posed_vertices(&self, pose: &Pose, shape: &[f64]) -> Vec<[f32; 3]> {
        let joints = self.joint_transforms(pose, shape);
        let bend = self.bend(pose);
        let place = |(v, rest): (usize, [f32; 3])| {
            let rest = Vec3A::from(rest) + bend.as_ref().map_or(Vec3A::ZERO, |bend| bend.of(v));
            let rest = rest.extend(1.0);
            let mut at = [0.0; 3];
            for (&joint, &weight) in self.skin_indices[v].iter().zip(&self.skin_weights[v]) {
                let rows = joints[joint as usize].map(Vec4::from);
                (0..3).for_each(|axis| at[axis] += weight * rows[axis].dot(rest));
            }
            at
        };
        self.shaped_vertices(shape).into_iter().enumerate().map(place).collect()
    }

    /// Key points by their indices, in camera axes, metres.
    pub fn keypoints_at(&self, indices: &[usize], pose: &Pose, shape: &[f64]) -> Vec<DVec3> {
        let (skeleton, posed) = self.posed(pose, shape);
        indices.iter().map(|&k| skeleton.keypoint(&posed, k) + pose.position).collect()
    }

    /// The 17 COCO key points in camera axes, metres.
    pub fn keypoints_coco(&self, pose: &Pose, shape: &[f64]) -> [DVec3; 17] {
        let (skeleton, posed) = self.posed(pose, shape);
        self.coco17.map(|k| skeleton.keypoint(&posed, k) + pose.position)
    }

    /// The 17 COCO key points in displayed pixels.
    pub fn keypoints_coco_projected(&self, camera: &Camera, pose: &Pose, shape: &[f64]) -> [[f64; 2]; 17] {
        self.keypoints_coco(pose, shape).map(|p| camera.project(p))
    }

    /// Of BlazePose's landmarks those that the body has, in camera axes, metres.
    pub fn landmarks(&self, pose: &Pose, shape: &[f64]) -> [Option<DVec3>; LANDMARKS] {
        let (skeleton, posed) = self.posed(pose, shape);
        self.blazepose33.map(|point| Some(skeleton.keypoint(&posed, point?) + pose.position))
    }

    fn posed(&self, pose: &Pose, shape: &[f64]) -> (Skeleton<'_>, Posed) {
        let skeleton = Skeleton::new(self, shape);
        let mut posed = Posed::default();
        skeleton.pose(&pose.rotations, &mut posed);
        (skeleton, posed)
    }
}
