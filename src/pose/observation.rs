//! What was observed of one person in one picture.
//!
//! What a network says of a person beside the body points, such as points of hands or face, is a further field here with its part in the
//! methods; tracking moves and interpolates observations as a whole and does not notice.

use glam::DVec2;
use serde::{Deserialize, Serialize};

use super::{AppearanceHistogram, Landmarks};

/// One person as observed in one picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Body points.
    pub landmarks: Landmarks,
    /// Colours of the clothes.
    pub appearance: AppearanceHistogram,
}

impl Observation {
    /// Probability of a person below which nobody is there. (MediaPipe asks for 0.5; blurred and half hidden people have less.)
    pub const MIN_SCORE: f32 = 0.15;

    /// Moves the person this many displayed pixels to the right and down.
    pub fn shift(&mut self, by: DVec2) {
        self.landmarks.shift(by);
    }

    /// Exchanges left and right.
    pub fn mirror(&mut self) {
        self.landmarks.mirror();
    }

    /// The person on the straight way to another observation of them: `share` 0 is this one, 1 the other. They look as in this one.
    pub fn between(&self, other: &Self, share: f32) -> Self {
        Self { landmarks: self.landmarks.between(&other.landmarks, share), appearance: self.appearance }
    }
}
