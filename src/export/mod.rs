//! The motion of a clip as files that other programs open.

mod motion;

pub use motion::{Header, MotionWriter, Person};
