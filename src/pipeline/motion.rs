//! The motion file of a clip.

use std::fs::File;
use std::io::{self, BufWriter};

use super::fitted_people::FittedPeople;
use super::{Job, JobError};
use crate::export::{BodyInfo, Clock, Header, MotionWriter, VERSION, Video};
use crate::media::VideoInfo;
use crate::render::MeshError;

/// How far, as a share, the real frame rate may be from the container's for that to stand: times are rounded.
const AS_TOLD: f64 = 0.002;

/// What is in a motion file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// People, over all frames.
    pub bodies: u64,
    /// Frames in which somebody is uncertain: who they are, or how they stand.
    pub uncertain_frames: u64,
    /// Frames in which two people could have been swapped.
    pub swapped_frames: u64,
    /// Frames in which a pose may be wrong.
    pub doubtful_frames: u64,
    /// Poses that may be wrong, over all people and frames.
    pub doubtful_poses: u64,
}

impl Counts {
    /// Adds a frame: of each person in it whether they could be another, and whether their pose may be wrong.
    pub fn add(&mut self, people: impl Iterator<Item = (bool, bool)>) {
        let (mut swapped, mut doubtful) = (false, false);
        for (may_be_another, is_doubtful) in people {
            self.bodies += 1;
            self.doubtful_poses += u64::from(is_doubtful);
            swapped |= may_be_another;
            doubtful |= is_doubtful;
        }
        self.swapped_frames += u64::from(swapped);
        self.doubtful_frames += u64::from(doubtful);
        self.uncertain_frames += u64::from(swapped || doubtful);
    }
}

/// The first line of the motion file for frames at these `times` (seconds).
pub fn header(path: &str, info: &VideoInfo, people: &FittedPeople, times: &[f64]) -> Result<Header, MeshError> {
    let [width, height] = info.geometry.display;
    let fps = frame_rate(info.frame_rate, times);
    let body = people.body();
    let (mesh, everybody) = people.at_rest()?;
    Ok(Header {
        meshreel: VERSION,
        video: Video { path: path.into(), width, height, fps, frames: times.len() as u64 },
        clock: Clock::new(info.start(), info.source_start),
        body: BodyInfo {
            name: body.name.clone(),
            licence: body.licence.clone(),
            joints: body.joint_names.clone(),
            parents: body.parents.iter().map(|p| p.map_or(-1, |p| p as i64)).collect(),
            pose_directions: body.pose_directions(),
        },
        camera: people.camera().into(),
        keypoints: "coco17".into(),
        extra_keypoints: people.extra_keypoints(),
        world: people.world(times),
        people: everybody,
        mesh,
    })
}

/// Writes the motion of the fitted people for frames at these `times` (seconds).
pub fn write_motion(
    job: &Job,
    header: &Header,
    people: &FittedPeople,
    times: &[f64],
    file: &File,
) -> Result<Counts, JobError> {
    let unwritable = |source: io::Error| JobError::Output { path: job.spec.outputs.motion(), source };
    let mut writer = MotionWriter::new(BufWriter::new(file), header).map_err(unwritable)?;
    let mut counts = Counts::default();
    for (frame, time) in times.iter().enumerate() {
        job.context.proceed()?;
        let rows = people.rows(frame as u64);
        writer.write(*time, &rows, people.is_corrupt(frame as u64)).map_err(unwritable)?;
        counts.add(rows.iter().map(|p| (p.uncertain, p.doubtful)));
    }
    writer.flush().map_err(unwritable)?;
    Ok(counts)
}

/// Average frames a second: the container's word where the frames bear it out, else what their times say.
fn frame_rate(told: f64, times: &[f64]) -> f64 {
    let [first, .., last] = times else { return told };
    let real = (times.len() - 1) as f64 / (last - first);
    if !real.is_finite() || (real / told - 1.0).abs() < AS_TOLD { told } else { real }
}

#[cfg(test)]
mod tests {
    use super::frame_rate;

    #[test]
    fn the_frame_rate_is_that_of_the_frames() {
        let told = 30_000.0 / 1001.0;
        let constant: Vec<f64> = (0..60).map(|i| (f64::from(i) / told * 1000.0).round() / 1000.0).collect();
        assert_eq!(frame_rate(told, &constant), told);
        let sparse: Vec<f64> = (0..14).map(|i| f64::from(i) / 13.0).collect();
        assert!((frame_rate(30.0, &sparse) - 13.0).abs() < 1e-9);
        assert_eq!([frame_rate(25.0, &[0.0]), frame_rate(25.0, &[])], [25.0, 25.0]);
    }
}
