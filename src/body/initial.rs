//! A closed-form start for the fit: pose from world landmarks, position from the picture.

use super::Camera;
use super::joint_priors::{Role, Side};
use super::kinematics::{Posed, Skeleton};
use super::model::Body;
use super::rotation::{between, clamp, exp, frame, log};
use crate::pose::skeleton::{self, EARS, HIPS, LANDMARKS, NOSE, Pair, SHOULDERS};
use glam::{DMat3, DQuat, DVec2, DVec3};

/// Sine of the bend of an elbow or a knee from which on the plane of the bend tells the limb's twist, and over which further range of the
/// sine it comes to be believed in full.
const BENT: [f64; 2] = [0.25, 0.35];
/// How far it twists a limb at most, radians.
const MOST_TWIST: f64 = 1.5;
/// How far a hand turns at the wrist at most, radians.
const MOST_HAND: f64 = 1.2;
/// How far a foot turns at the ankle at most, radians.
const MOST_FOOT: f64 = 0.9;
/// Nearest and farthest that a body may be, metres.
const DEPTHS: [f64; 2] = [0.3, 1000.0];
/// Determinant below which a position cannot be told.
const LEAST_DETERMINANT: f64 = 1e-12;

/// Points in BlazePose's order.
pub type Points = [DVec3; LANDMARKS];

/// The body's own landmarks at rest; those it lacks are at the origin.
pub fn rest_points(skeleton: &Skeleton) -> Points {
    points(skeleton, &vec![DQuat::IDENTITY; skeleton.body().fitted_joints()])
}

/// The same in a pose, relative to the root joint.
pub fn points(skeleton: &Skeleton, rotations: &[DQuat]) -> Points {
    let mut posed = Posed::default();
    skeleton.pose(rotations, &mut posed);
    skeleton.body().blazepose33.map(|k| k.map_or(DVec3::ZERO, |k| skeleton.keypoint(&posed, k)))
}

/// Rotations that bring the limbs' directions at rest to those of the landmarks.
pub fn pose_from_world(body: &Body, rest: &Points, world: &Points) -> Vec<DQuat> {
    let mut rotations = vec![DQuat::IDENTITY; body.fitted_joints()];
    let mut set = |role: Role, rotation: DQuat| {
        if let Some(j) = body.joint(role) {
            rotations[j] = rotation;
        }
    };
    let middle = |p: &Points, [left, right]: Pair| (p[left] + p[right]) / 2.0;
    let across = |p: &Points, [left, right]: Pair| p[left] - p[right];
    let up = |p: &Points| middle(p, SHOULDERS) - middle(p, HIPS);
    // What turns a frame of the body at rest to the same frame of the landmarks.
    let turned = |of: &dyn Fn(&Points) -> Option<DQuat>| Some(of(world)? * of(rest)?.inverse());
    let pelvis = turned(&|p| frame(across(p, HIPS), up(p))).unwrap_or(DQuat::IDENTITY);
    let chest = turned(&|p| frame(across(p, SHOULDERS), up(p))).unwrap_or(pelvis);
    set(Role::Root, pelvis);
    let skull = turned(&|p| frame(across(p, EARS), middle(p, EARS) - p[NOSE])).unwrap_or(chest);
    let half = exp(log(chest.inverse() * skull) / 2.0);
    set(Role::Neck, half);
    set(Role::Head, half);

    for (side, at) in [(Side::Left, skeleton::LEFT), (Side::Right, skeleton::RIGHT)] {
        let ([shoulder, elbow, wrist], [little, index], [heel, toes]) = (at.arm, at.knuckles, at.foot);
        let upper_arm = rest[elbow] - rest[shoulder];
        let elbow_axis = upper_arm.normalize_or_zero().cross(DVec3::NEG_Z);
        let (upper, lower) = hinged(chest, rest, world, at.arm, elbow_axis);
        set(Role::UpperArm(side), chest.inverse() * upper);
        set(Role::LowerArm(side), upper.inverse() * lower);
        let palm = |p: &Points| frame((p[index] + p[little]) / 2.0 - p[wrist], p[index] - p[little]);
        if let Some(hand) = turned(&palm) {
            set(Role::Hand(side), clamp(lower.inverse() * hand, MOST_HAND));
        }
        let (thigh, shank) = hinged(pelvis, rest, world, at.leg, DVec3::X);
        set(Role::UpperLeg(side), pelvis.inverse() * thigh);
        set(Role::LowerLeg(side), thigh.inverse() * shank);
        let foot = between(shank * (rest[toes] - rest[heel]), world[toes] - world[heel]);
        set(Role::Foot(side), clamp(shank.inverse() * foot * shank, MOST_FOOT));
    }
    let spine: Vec<usize> = (0..body.fitted_joints()).filter(|&j| body.roles[j] == Role::Spine).collect();
    let share = exp(log(pelvis.inverse() * chest) / spine.len().max(1) as f64);
    for j in spine {
        rotations[j] = share;
    }
    rotations
}

/// Rotations against the camera axes of a limb's upper and lower part. Where it is bent, the plane of the bend tells the twist.
fn hinged(parent: DQuat, rest: &Points, world: &Points, [a, b, c]: [usize; 3], axis: DVec3) -> (DQuat, DQuat) {
    let (upper, lower) = (world[b] - world[a], world[c] - world[b]);
    let mut rotation = between(parent * (rest[b] - rest[a]), upper) * parent;
    let normal = upper.cross(lower);
    let sine = normal.length() / (upper.length() * lower.length()).max(1e-9);
    if sine > BENT[0] {
        let along = upper.normalize_or_zero();
        let hinge = rotation * axis;
        let hinge = hinge - along * along.dot(hinge);
        let angle = hinge.cross(normal).dot(along).atan2(hinge.dot(normal)).clamp(-MOST_TWIST, MOST_TWIST);
        rotation = exp(along * (angle * ((sine - BENT[0]) / BENT[1]).min(1.0))) * rotation;
    }
    (rotation, between(rotation * (rest[c] - rest[b]), lower) * rotation)
}

/// The position whose projection of `points` (relative to it) is nearest to `pixels` in the weighted least-squares sense; none
/// where that would be behind the camera.
pub fn position(camera: &Camera, points: &[DVec3], pixels: &[DVec2], weights: &[f64]) -> Option<DVec3> {
    let (mut normal, mut right) = (DMat3::ZERO, DVec3::ZERO);
    for ((p, u), &w) in points.iter().zip(pixels).zip(weights) {
        for (axis, pick) in [DVec3::X, DVec3::Y].into_iter().enumerate() {
            let n = (u[axis] - camera.center[axis]) / camera.focal[axis];
            let row = pick - DVec3::Z * n;
            let residual = n * p.z - p[axis];
            normal += DMat3::from_cols(row * row.x, row * row.y, row * row.z) * w;
            right += row * (residual * w);
        }
    }
    let found = (normal.determinant().abs() > LEAST_DETERMINANT).then(|| normal.inverse() * right)?;
    (found.is_finite() && found.z > DEPTHS[0] && found.z < DEPTHS[1]).then_some(found)
}
