//! Where people are in a picture, and where their 33 BlazePose landmarks are.
//!
//! Everything here is stateless: a picture and a region in, numbers out. What belongs to whom over time is `track`.

mod appearance;
mod crop;
mod landmarker;
mod landmarks;
mod optimized;
mod person_detector;
mod query;
mod region;
mod region_detector;
mod runtime;
pub mod skeleton;
mod worker;

pub use appearance::AppearanceHistogram;
pub use crop::Picture;
pub use landmarker::Landmarker;
pub use landmarks::{Landmark, Landmarks};
pub use person_detector::{PersonDetection, PersonDetector, Tile};
pub(crate) use person_detector::{best, overlap};
pub use query::{Answer, Observation, Query};
pub use region::{MaskedRegion, RotatedRegion, wrap_angle};
pub use region_detector::{RegionDetection, RegionDetector, Window, merge};
pub use runtime::{Device, GPU_MEND, PoseError, Runtime};
pub use skeleton::LANDMARKS;
pub use worker::Worker;
