//! The body: its mesh, skeleton and shape (`model`), and fitting it to what was seen of a person (`fit`).
//!
//! Camera axes everywhere: x right, y down, z away from the camera, metres. At rest the body faces the camera (its front
//! is towards -z, its left side towards +x).

mod confidence;
mod doubt;
mod estimate;
mod estimated_sequence;
mod fit;
mod foot_contacts;
mod hand;
mod heavy_landmarks;
mod initial;
mod joint_priors;
mod kinematics;
mod levenberg_marquardt;
mod lifter;
mod measurement;
mod model;
mod pose_directions;
mod rest;
mod rotation;
mod sequence_fit;
mod smooth;
mod surface_fit;
mod world;

pub use estimate::Estimator;
pub use fit::{FitOptions, STATURE, fit_track};
pub use joint_priors::{FingerJoint, Role, Side, role};
pub use kinematics::{JointDerivative, Posed, Skeleton};
pub use model::{Body, BodyError};
pub use pose_directions::{Bend, PoseDirections};
pub use rest::{PosedJoint, RestSkeleton, SIDES};
pub use rotation::between;
pub use world::{Stance, Standing, UPRIGHT_CAMERA, UpSource, World, floor_shift};

use crate::pose::HANDS;
use glam::{DQuat, DVec3};
use serde::{Deserialize, Serialize};

/// A pinhole camera without distortion, in displayed pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    /// Focal lengths in pixels.
    pub focal: [f64; 2],
    /// Principal point in pixels.
    pub center: [f64; 2],
}

impl Camera {
    /// A camera with a horizontal field of view typical of video (focal length = the longer side).
    pub fn guess(display: [u32; 2]) -> Self {
        let [w, h] = display.map(f64::from);
        let f = w.max(h);
        Self { focal: [f, f], center: [(w - 1.0) / 2.0, (h - 1.0) / 2.0] }
    }

    /// Displayed pixel of a point in camera axes (z > 0).
    pub fn project(&self, p: DVec3) -> [f64; 2] {
        [self.focal[0] * p.x / p.z + self.center[0], self.focal[1] * p.y / p.z + self.center[1]]
    }
}

/// Where a body stands and how it is bent in one frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pose {
    /// Position of the root joint in camera axes, metres.
    pub position: DVec3,
    /// Rotation of each joint relative to its parent (the root's relative to the camera axes).
    pub rotations: Vec<DQuat>,
    /// How well each joint's segment was seen, 0..=1; drawn paler when low.
    pub confidence: Vec<f32>,
}

/// One person's body through the clip. Stored and read back it is the same to the last bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FittedTrack {
    /// As [`crate::track::Track::id`].
    pub id: u32,
    /// As [`crate::track::Track::first_frame`].
    pub first_frame: u64,
    /// Coefficients of the model's shape directions, constant over the clip.
    pub shape: Vec<f64>,
    /// One pose a frame from `first_frame` on.
    pub poses: Vec<FittedPose>,
}

/// One frame of a [`FittedTrack`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FittedPose {
    /// The body.
    pub pose: Pose,
    /// How much of the person was seen, 0..=1 (0: bridged between neighbours).
    pub score: f32,
    /// See [`crate::track::TrackFrame::uncertain`].
    pub uncertain: bool,
    /// Whether the pose may be wrong: networks see different bodies, or the body is not where it is seen.
    pub doubtful: bool,
    /// How surely the left and the right hand was seen, 0..=1; 0 where its fingers were not looked for or not found.
    pub hands: [f32; HANDS],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_of_a_fitted_person_is_read_back_to_the_last_bit() {
        let odd = |i: u32| f64::from(i).sqrt() / 3.0 - 1e-300;
        let pose = Pose {
            position: DVec3::new(odd(2), -0.0, odd(5)),
            rotations: vec![DQuat::from_xyzw(odd(3), odd(7), f64::MIN_POSITIVE, odd(11)); 3],
            confidence: vec![0.1, f32::MIN_POSITIVE, 1.0],
        };
        let fitted = FittedPose { pose, score: 0.7, uncertain: true, doubtful: false, hands: [0.0, 0.9] };
        let track = FittedTrack { id: 7, first_frame: 1 << 40, shape: vec![odd(13); 4], poses: vec![fitted; 2] };
        let bytes = postcard::to_allocvec(&track).unwrap();
        let read: FittedTrack = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(read, track);
        assert_eq!(read.poses[0].pose.position.y.to_bits(), (-0.0_f64).to_bits());
    }
}
