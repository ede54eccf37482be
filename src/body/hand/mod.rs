//! Hands: the fingers of a body (`model`).
//!
//! The body is fitted without its fingers ([`super::Body::fitted_joints`]); they are added to its poses afterwards.

mod model;

pub use model::HandModel;

use super::model::Body;
use super::rest::SIDES;
use glam::DQuat;

/// Both hands of a body of some shape, as far as it has fingers.
pub fn hands(body: &Body, shape: &[f64]) -> Vec<HandModel> {
    SIDES.iter().filter_map(|&side| HandModel::new(body, shape, side)).collect()
}

/// The rotations of all joints, given those that the body was fitted with: the fingers at ease.
pub fn at_ease(body: &Body, hands: &[HandModel], mut rotations: Vec<DQuat>) -> Vec<DQuat> {
    rotations.resize(body.joint_count(), DQuat::IDENTITY);
    if rotations.len() > body.fitted_joints() {
        hands.iter().for_each(|hand| hand.put(&hand.relaxed(), &mut rotations));
    }
    rotations
}
