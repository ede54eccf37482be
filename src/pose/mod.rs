//! Where people are in a picture, and where their 33 BlazePose landmarks are.
//!
//! Everything here is stateless: a picture and a region in, numbers out. What belongs to whom over time is `track`.

mod crop;
mod detector;
mod finder;
mod landmarker;
mod landmarks;
mod optimized;
mod region;
mod runtime;
pub mod skeleton;
mod worker;

pub use crop::Picture;
pub use detector::{Detection, Detector, Window, merge};
pub use finder::{Figure, Finder, View};
pub(crate) use finder::{best, overlap};
pub use landmarker::Landmarker;
pub use landmarks::{Landmark, Landmarks};
pub use region::{Region, Spot, wrap_angle};
pub use runtime::{Device, GPU_MEND, PoseError, Runtime};
pub use skeleton::LANDMARKS;
pub use worker::{Found, Look, Sight, Work, Worker};
