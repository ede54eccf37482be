//! People over time: from single pictures to one track a person, in four stages.
//!
//! 1. `detect`, with `covered`, `behind` and `doubt`: everybody who can be found on a keyframe -> [`Candidates`]
//! 2. `associate`: which of them is which of those tracked -> [`Keyframe`]
//! 3. `refine`, `between`: the frames between two keyframes -> [`TrackletObservation`]s
//! 4. `link`: which tracklets of the whole clip are one person -> [`Track`]s
//!
//! The first three share a [`Tracker`], which goes from keyframe to keyframe. Where several trackers went through a stretch of the clip
//! each, what they saw is put together before the fourth ([`Sightings`], in `stretches`). A [`Stabilizer`] follows the camera, so that places in
//! different frames can be compared.

mod assignment;
mod associate;
mod behind;
mod between;
mod camera;
mod covered;
mod detect;
mod detections;
mod doubt;
mod gaps;
mod left_right;
mod link;
mod meetings;
mod outliers;
mod presence;
mod refine;
mod similarity;
mod stretches;
#[cfg(test)]
pub(crate) mod synthetic;
#[cfg(test)]
mod tests;
mod tiles;
mod track_state;
mod tracker;

pub use associate::{Keyframe, KeyframePerson};
pub use between::{Between, LooksBetween};
pub use camera::{Stabilizer, Trajectory};
pub use detect::{Candidates, Search, TOLERANCE};
pub use link::link;
pub use refine::{PredictedRegion, TrackletObservation, heavy_landmarks, is_heavy_due};
pub use stretches::Sightings;
pub use tracker::Tracker;

use crate::pose::Landmarks;
use crate::pose::own::BodyEstimate;

/// One person in one frame of their track.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackFrame {
    /// From the network that looks at every frame.
    pub landmarks: Landmarks,
    /// From the heavy network, where it was asked as well (`--model auto`).
    pub heavy_landmarks: Option<Box<Landmarks>>,
    /// The body that a network of the user's own gives.
    pub estimate: Option<Box<BodyEstimate>>,
    /// The identity is doubtful here: this person and another could have been exchanged.
    pub uncertain: bool,
    /// Whether nobody looked at them in this frame: the landmarks lie between those before and after.
    pub is_interpolated: bool,
}

/// One person through the clip.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// From 1, in order of first appearance.
    pub id: u32,
    /// Index of the first frame in which the person is.
    pub first_frame: u64,
    /// One entry a frame from `first_frame` on; `None` where the person was not found (at most a second at a stretch).
    pub frames: Vec<Option<TrackFrame>>,
}
