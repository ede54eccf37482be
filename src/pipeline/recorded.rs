//! People as a motion file has them: what `render` draws again.
//!
//! The file is read line by line; what is kept of it is what the fit would have given.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use glam::{DQuat, DVec3};
use serde::Deserialize;

use crate::body::{Body, Camera, FittedPose, FittedTrack, Pose, World};
use crate::control::Stopped;

/// A motion file that was read.
pub struct Recorded {
    /// Width and height of the displayed picture of the video that it is of.
    pub size: [u32; 2],
    /// Frames of that video.
    pub frames: u64,
    /// When each is shown, seconds since the first.
    pub times: Vec<f64>,
    /// How it was filmed.
    pub camera: Camera,
    /// Up and the floor.
    pub world: World,
    /// Everybody, in the order of their ids.
    pub people: Vec<FittedTrack>,
    /// Frames that show nothing one can rely on.
    pub corrupt: BTreeSet<u64>,
    /// Frames in which a person is not there, by their id, though there before and after.
    pub absent: BTreeSet<(u32, u64)>,
}

/// Why a motion file cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line of it makes no sense.
    #[error("{}:{line}: {reason}; name a motion file of this version of meshreel (NAME.motion.jsonl), or process the video again", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// It is of another video.
    #[error("{}: this is the motion of another video: {reason}", path.display())]
    OfAnother {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// It is to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// What is needed of the first line.
#[derive(Deserialize)]
struct Header {
    meshreel: u32,
    video: Video,
    body: BodyInfo,
    camera: Pinhole,
    world: World,
}

#[derive(Deserialize)]
struct Video {
    width: u32,
    height: u32,
    frames: u64,
}

#[derive(Deserialize)]
struct BodyInfo {
    name: String,
    joints: Vec<String>,
}

#[derive(Deserialize)]
struct Pinhole {
    fx: f64,
    fy: f64,
    cx: f64,
    cy: f64,
}

/// What is needed of a frame's line.
#[derive(Deserialize)]
struct Row {
    frame: u64,
    time: f64,
    #[serde(default)]
    corrupt: bool,
    people: Vec<Person>,
}

#[derive(Deserialize)]
struct Person {
    id: u32,
    score: f32,
    #[serde(default)]
    uncertain: bool,
    keypoints2d: [[f64; 3]; 17],
    root: Root,
    rotations: Vec<[f64; 4]>,
    shape: Vec<f64>,
}

#[derive(Deserialize)]
struct Root {
    position: DVec3,
}

impl Recorded {
    /// Reads a motion file of people with this body; `go_on` is asked often.
    pub fn read(path: &Path, body: &Body, go_on: &dyn Fn() -> Result<(), Stopped>) -> Result<Self, RecordedError> {
        let unreadable = |source| RecordedError::Read { path: path.to_owned(), source };
        let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(unreadable)?);
        let mut text = Vec::new();
        let mut number = 0;
        let mut recorded = None;
        let mut tracks = BTreeMap::new();
        loop {
            go_on()?;
            text.clear();
            number += 1;
            let wrong = |reason: String| RecordedError::Line { path: path.to_owned(), line: number, reason };
            let is_end = file.read_until(b'\n', &mut text).map_err(unreadable)? == 0;
            match &mut recorded {
                None => recorded = Some(Self::begin(&text, body).map_err(wrong)?),
                Some(recorded) if is_end => {
                    if number - 2 != recorded.frames {
                        return Err(wrong(format!("the file ends here, and was to have {} frames", recorded.frames)));
                    }
                    break;
                }
                Some(recorded) => recorded.add(&text, number - 2, body, &mut tracks).map_err(wrong)?,
            }
        }
        // The loop ends with a header.
        let mut recorded = recorded.ok_or_else(|| unreadable(io::ErrorKind::UnexpectedEof.into()))?;
        recorded.people = tracks.into_values().collect();
        Ok(recorded)
    }

    fn begin(text: &[u8], body: &Body) -> Result<Self, String> {
        let header: Header = serde_json::from_slice(text).map_err(|error| format!("no header ({error})"))?;
        if header.meshreel != 1 {
            return Err(format!("the file is of version {}, and this program knows version 1", header.meshreel));
        }
        if header.body.name != body.name || header.body.joints != body.joint_names {
            return Err(format!(
                "the people have the body \"{}\", and this program draws \"{}\"",
                header.body.name, body.name
            ));
        }
        let Video { width, height, frames } = header.video;
        let Pinhole { fx, fy, cx, cy } = header.camera;
        if ![fx, fy, cx, cy].iter().all(|v| v.is_finite()) || fx <= 0.0 || fy <= 0.0 {
            return Err("the camera makes no sense".into());
        }
        Ok(Self {
            size: [width, height],
            frames,
            times: Vec::new(),
            camera: Camera { focal: [fx, fy], center: [cx, cy] },
            world: header.world,
            people: Vec::new(),
            corrupt: BTreeSet::new(),
            absent: BTreeSet::new(),
        })
    }

    fn add(
        &mut self,
        text: &[u8],
        frame: u64,
        body: &Body,
        tracks: &mut BTreeMap<u32, FittedTrack>,
    ) -> Result<(), String> {
        let row: Row = serde_json::from_slice(text).map_err(|error| format!("no frame ({error})"))?;
        if row.frame != frame {
            return Err(format!("frame {} where frame {frame} was to follow", row.frame));
        }
        self.times.push(row.time);
        if row.corrupt {
            self.corrupt.insert(frame);
        }
        for person in row.people {
            if person.rotations.len() != body.joint_count() {
                return Err(format!("person {} has {} joints", person.id, person.rotations.len()));
            }
            let id = person.id;
            let new = || FittedTrack { id, first_frame: frame, shape: person.shape.clone(), poses: Vec::new() };
            let track = tracks.entry(id).or_insert_with(new);
            if track.shape != person.shape {
                return Err(format!("person {id} has another shape than before"));
            }
            let pose = posed(&person, body);
            let due = track.first_frame + track.poses.len() as u64;
            if frame < due {
                return Err(format!("person {id} is there twice"));
            }
            for missing in due..frame {
                track.poses.push(pose.clone());
                self.absent.insert((id, missing));
            }
            track.poses.push(pose);
        }
        Ok(())
    }

    /// Frames that a motion has people in, over all of them, and frames in which somebody is uncertain.
    pub fn counts(&self) -> [u64; 2] {
        let mut uncertain = BTreeSet::new();
        let mut bodies = 0;
        for track in &self.people {
            for (frame, pose) in (track.first_frame..).zip(&track.poses) {
                if !self.absent.contains(&(track.id, frame)) {
                    bodies += 1;
                    if pose.uncertain {
                        uncertain.insert(frame);
                    }
                }
            }
        }
        [bodies, uncertain.len() as u64]
    }
}

fn posed(person: &Person, body: &Body) -> FittedPose {
    // Five decimals are a little more or less than a unit.
    let rotation = |[w, x, y, z]: &[f64; 4]| match DQuat::from_xyzw(*x, *y, *z, *w) {
        rotation if rotation.length_squared() > 0.5 => rotation.normalize(),
        _ => DQuat::IDENTITY,
    };
    let rotations = person.rotations.iter().map(rotation).collect();
    let pose = Pose { position: person.root.position, rotations, confidence: confidence(person, body) };
    FittedPose { pose, score: person.score, uncertain: person.uncertain }
}

/// How well each joint's segment was seen, which the file says of key points: as well as the key point that moves with it, else as the
/// joint that it hangs on, or that hangs on it.
fn confidence(person: &Person, body: &Body) -> Vec<f32> {
    let mut seen = vec![None; body.joint_count()];
    for (keypoint, [.., confidence]) in body.coco17.iter().zip(&person.keypoints2d) {
        seen[body.keypoint_joint(*keypoint)] = Some(*confidence as f32);
    }
    for joint in (0..seen.len()).rev() {
        if let (Some(parent), true) = (body.parents[joint], seen[joint].is_some()) {
            seen[parent] = seen[parent].or(seen[joint]);
        }
    }
    for joint in 0..seen.len() {
        seen[joint] = seen[joint].or_else(|| seen[body.parents[joint]?]);
    }
    seen.into_iter().map(|confidence| confidence.unwrap_or(1.0)).collect()
}
