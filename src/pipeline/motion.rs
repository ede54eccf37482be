//! The motion file of a clip.

use std::fs::File;
use std::io::{self, BufWriter};

use super::cast::Cast;
use super::{Course, Job, JobError};
use crate::body::Body;
use crate::export::{Header, MotionWriter};
use crate::media::VideoInfo;

/// What is in a motion file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// People, over all frames.
    pub bodies: u64,
    /// Frames in which an identity is uncertain.
    pub uncertain_frames: u64,
}

/// Writes the motion of `cast` for frames at these `times` (seconds).
pub fn write_motion(
    job: &Job,
    info: &VideoInfo,
    body: &Body,
    cast: &Cast,
    times: &[f64],
    file: &File,
) -> Result<Counts, JobError> {
    let unwritable = |source: io::Error| JobError::Output { path: job.outputs.motion.clone(), source };
    let header = Header {
        path: &job.source.to_string_lossy(),
        display: info.geometry.display,
        fps: info.frame_rate,
        frames: times.len() as u64,
        body: &body.name,
        joints: &body.joint_names,
        parents: body.parents.iter().map(|p| p.map_or(-1, |p| p as i64)).collect(),
        camera: cast.camera(),
    };
    let mut writer = MotionWriter::new(BufWriter::new(file), &header).map_err(unwritable)?;
    let mut counts = Counts::default();
    for (frame, time) in times.iter().enumerate() {
        if (job.course)() == Course::Stop {
            return Err(JobError::Stopped);
        }
        let people = cast.rows(frame as u64);
        writer.write(*time, &people).map_err(unwritable)?;
        counts.bodies += people.len() as u64;
        counts.uncertain_frames += u64::from(people.iter().any(|p| p.uncertain));
    }
    writer.flush().map_err(unwritable)?;
    Ok(counts)
}
