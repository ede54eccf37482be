//! The hand of a body: its joints and points, how each joint turns, how far, and how it is at ease.
//!
//! Ranges of motion are those of Norkin and White, *Measurement of Joint Motion*: the first finger joints 90 degrees, the second 100, the last 90,
//! widened a little.

use super::super::joint_priors::{FingerJoint, Role, Side};
use super::super::kinematics::Skeleton;
use super::super::model::Body;
use super::super::rotation::exp;
use crate::pose::HAND_POINTS;
use glam::{DQuat, DVec3};

/// Fingers of a hand, and joints of each.
pub const FINGERS: usize = 5;
pub const SEGMENTS: usize = 3;
/// How the tips of fingers are called among the body's key points, after the side.
const TIPS: [&str; FINGERS] = ["thumb_tip", "index_tip", "middle_tip", "ring_tip", "pinky_tip"];

/// An angle of a finger's joint.
#[derive(Debug, Clone, PartialEq)]
pub struct Angle {
    /// The finger, 0 being the thumb, and its joint, 0 being at the palm.
    pub joint: FingerJoint,
    /// About what it turns, in the axes at rest.
    pub axis: DVec3,
    /// Smallest and largest, radians; 0 is at rest.
    pub range: [f64; 2],
    /// At ease, radians.
    pub relaxed: f64,
    /// How far it usually is from that: standard deviation, radians.
    pub sigma: f64,
}

/// One hand of a body of some shape.
#[derive(Debug, Clone, PartialEq)]
pub struct HandModel {
    /// The body's joint at the wrist.
    pub wrist: usize,
    /// The body's joints of each finger.
    pub joints: [[usize; SEGMENTS]; FINGERS],
    /// The 21 points at rest in the order of MediaPipe: the wrist, then the joints and the tip of each finger; metres.
    pub points: [DVec3; HAND_POINTS],
    /// What can be turned; those of one joint follow each other, and are applied in this order.
    pub angles: Vec<Angle>,
}

impl HandModel {
    /// The hand on one side; none of a body that has no fingers, or does not say where they end.
    pub fn new(body: &Body, shape: &[f64], side: Side) -> Option<Self> {
        let wrist = body.joint(Role::Hand(side))?;
        let mut joints = [[0; SEGMENTS]; FINGERS];
        for (finger, list) in joints.iter_mut().enumerate() {
            for (segment, joint) in list.iter_mut().enumerate() {
                *joint = body.joint(Role::Finger(side, FingerJoint { finger, segment }))?;
            }
        }
        let skeleton = Skeleton::new(body, shape);
        let rest = body.rest_joints(shape);
        let mut points = [rest[wrist]; HAND_POINTS];
        for (finger, list) in joints.iter().enumerate() {
            for (segment, &joint) in list.iter().enumerate() {
                points[1 + 4 * finger + segment] = rest[joint];
            }
            let name = format!("{}_{}", if side == Side::Left { "left" } else { "right" }, TIPS[finger]);
            let tip = body.keypoint_names.iter().position(|known| *known == name)?;
            points[4 + 4 * finger] = skeleton.keypoint_at_rest(tip);
        }
        Some(Self { wrist, joints, angles: angles(&points, side), points })
    }

    /// The joint that each point hangs on, and the point's place among the fingers; none for the wrist.
    pub fn finger_of(point: usize) -> Option<(usize, usize)> {
        point.checked_sub(1).map(|n| (n / 4, n % 4))
    }

    /// All angles at ease.
    pub fn relaxed(&self) -> Vec<f64> {
        self.angles.iter().map(|angle| angle.relaxed).collect()
    }

    /// Rotation of each joint relative to its parent.
    pub fn rotations(&self, angles: &[f64]) -> [[DQuat; SEGMENTS]; FINGERS] {
        let mut rotations = [[DQuat::IDENTITY; SEGMENTS]; FINGERS];
        for (angle, &value) in self.angles.iter().zip(angles) {
            let FingerJoint { finger, segment } = angle.joint;
            rotations[finger][segment] *= exp(angle.axis * value);
        }
        rotations
    }

    /// Puts the fingers of a pose's `rotations` (one for each joint of the body).
    pub fn put(&self, angles: &[f64], rotations: &mut [DQuat]) {
        for (joints, turned) in self.joints.iter().zip(self.rotations(angles)) {
            joints.iter().zip(turned).for_each(|(&joint, q)| rotations[joint] = q);
        }
    }
}

/// Angles of a finger whose points at rest are known.
fn angles(points: &[DVec3; HAND_POINTS], side: Side) -> Vec<Angle> {
    let along = points[9] - points[0];
    let across = points[5] - points[17];
    // Out of the palm.
    let palm = (along.cross(across) * side.sign()).normalize_or(DVec3::Z);
    let mut angles = Vec::new();
    let mut add = |finger, segment, axis: DVec3, range, relaxed, sigma| {
        let joint = FingerJoint { finger, segment };
        angles.push(Angle { joint, axis: axis.normalize_or(DVec3::X), range, relaxed, sigma });
    };
    // The thumb is bent at rest: in the plane in which it bends.
    let [root, first, last] = [points[2] - points[1], points[3] - points[2], points[4] - points[3]];
    let bend = root.cross(first + last);
    let aside = bend.cross(root);
    add(0, 0, bend, [-0.6, 0.8], 0.05, 0.3);
    add(0, 0, aside, [-0.6, 0.6], 0.0, 0.3);
    add(0, 0, root, [-0.4, 0.4], 0.0, 0.12);
    add(0, 1, bend, [-0.4, 0.9], 0.1, 0.3);
    add(0, 2, bend, [-0.5, 1.2], 0.15, 0.4);
    for finger in 1..FINGERS {
        let at = 1 + 4 * finger;
        let bone = points[at + 3] - points[at];
        let bend = bone.cross(palm);
        let aside = bend.cross(bone);
        // Little fingers are bent more than index fingers.
        let more = 0.05 * (finger - 1) as f64;
        add(finger, 0, bend, [-0.6, 1.6], 0.15 + more, 0.6);
        add(finger, 0, aside, [-0.4, 0.4], 0.0, 0.12);
        add(finger, 1, bend, [-0.25, 1.8], 0.3 + more, 0.6);
        add(finger, 2, bend, [-0.25, 1.5], 0.15 + more, 0.35);
    }
    angles
}
