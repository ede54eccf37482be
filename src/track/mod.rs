//! People over time: which finds belong to one person, and which of a person's labels are left and which right; and how the camera
//! that sees them moves.

mod assignment;
mod camera;
mod figures;
mod fill;
mod glitches;
mod known;
mod likeness;
mod link;
mod meetings;
mod presence;
mod scout;
mod sides;
#[cfg(test)]
mod synthetic;

pub use camera::{Stabilizer, Trajectory};
pub use glitches::drop_glitches;
pub use link::{Seen, link};
pub use scout::{Expected, Keyframe, Scout, TOLERANCE, Tracked, settle, wants_second_opinion};
pub use sides::repair_sides;

use crate::pose::Landmarks;

/// What was seen of one person in one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// From the network that looks at every frame.
    pub landmarks: Landmarks,
    /// From the heavy network, where it was asked as well (`--model auto`).
    pub second_opinion: Option<Box<Landmarks>>,
    /// The identity is doubtful here: this person and another could have been swapped.
    pub uncertain: bool,
}

/// One person through the clip.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// From 1, in order of first appearance.
    pub id: u32,
    /// Index of the first frame with an observation.
    pub first_frame: u64,
    /// One entry a frame from `first_frame` on; `None` where the person was not found (at most a second at a stretch).
    pub observations: Vec<Option<Observation>>,
}
