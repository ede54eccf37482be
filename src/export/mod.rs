//! The motion of a clip as files that other programs open.

mod header;
mod motion;

pub use header::{BodyInfo, Clock, Header, MeshInfo, PersonInfo, Pinhole, Video};
pub use motion::{MotionWriter, Person};
