//! Files beside the video: the motion (`NAME.motion.jsonl`) and the report (`NAME.report.json`).

mod motion;
mod report;

pub use motion::{Header, MotionWriter, Person};
pub use report::{Report, stages};
