//! Where people are in a picture, and where their 33 BlazePose landmarks are.
//!
//! Three kinds of networks answer three kinds of [`Query`] about a [`Picture`]: the person detector sees people in a [`Tile`], the BlazePose
//! region detector sees how they are turned in a [`Window`], and a landmark network sees the body points of the person in a
//! [`MaskedRegion`]. A network for hands is shown those of people whose landmarks are known ([`Worker::hands`]). Everything here is stateless. What belongs to whom over time is `track`.

mod appearance;
mod crop;
mod hand;
mod landmarker;
mod landmarks;
mod observation;
mod optimized;
pub mod own;
mod person_detector;
mod query;
mod region;
mod region_detector;
mod runtime;
mod silhouette;
pub mod skeleton;
mod worker;

pub use appearance::AppearanceHistogram;
pub use crop::Picture;
pub use hand::{HAND_POINTS, HANDS, Hand, SeenHands, first_regions};
pub use landmarker::Landmarker;
pub use landmarks::{Landmark, Landmarks};
pub use observation::Observation;
pub use person_detector::{PersonDetection, PersonDetector, Tile};
pub(crate) use person_detector::{area, best, overlap, shared};
pub use query::{Answer, Query};
pub use region::{MaskedRegion, RotatedRegion, wrap_angle};
pub use region_detector::{RegionDetection, RegionDetector, Window, merge};
pub use runtime::{Device, GPU_MEND, PoseError, Runtime};
pub use silhouette::Silhouette;
pub use skeleton::LANDMARKS;
pub use worker::Worker;
