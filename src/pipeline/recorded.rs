//! People as a motion file has them: what `render` draws again, as the fit would have given it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glam::{DQuat, DVec3};

use super::JobError;
use super::bodies::{Bodies, LoadedBody};
use super::motion::Counts;
use crate::body::{Body, FittedPose, FittedTrack, Pose};
use crate::control::Proceed;
use crate::export::{Header, MotionReader, PersonRow};
use crate::models::ModelName;

/// Most frames in which people are absent between others: so many for each in which somebody is there, and so many more. A hundred bytes each.
const ABSENT: usize = 8;
const MORE_ABSENT: usize = 1_000_000;

/// A motion file that was read.
pub struct Recorded {
    /// The body of its people.
    pub body: Arc<LoadedBody>,
    /// Its first line.
    pub header: Header,
    /// When each frame is shown, seconds since the first.
    pub times: Vec<f64>,
    /// Everybody, in the header's order.
    pub people: Vec<FittedTrack>,
    /// Frames that show nothing one can rely on.
    pub corrupt: BTreeSet<u64>,
    /// Frames in which a person is not there, by their id, though there before and after.
    pub absent: BTreeSet<(u32, u64)>,
}

/// Why a motion file cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
    /// Its people have another body.
    #[error(
        "{}: the people have the body \"{found}\", {why}; process the video again{}",
        path.display(),
        if found.parse::<ModelName>().is_ok() { format!(", or import it with `meshreel models import-smpl FILE -o {found}`") } else { String::new() }
    )]
    OtherBody {
        /// The file.
        path: PathBuf,
        /// Name of its body.
        found: String,
        /// Why it cannot be drawn.
        why: &'static str,
    },
    /// It is of another video.
    #[error("{}: this is the motion of another video: {reason}", path.display())]
    OfAnother {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
}

impl Recorded {
    /// Reads a motion file of people who have one of these bodies; `proceed` is asked often.
    pub fn read(path: &Path, bodies: &Bodies, proceed: Proceed<'_>) -> Result<Self, JobError> {
        let mut reader = MotionReader::open(path)?;
        let header = reader.header();
        let other = |why| RecordedError::OtherBody { path: path.to_owned(), found: header.body.name.clone(), why };
        let loaded = bodies.called(&header.body.name)?.ok_or_else(|| other("which is not here"))?;
        let body = &loaded.body;
        if header.body.joints != body.joint_names || header.mesh.directions.len() != body.shapes {
            return Err(other("and what is called so here is another one").into());
        }
        let new = |id: u32| FittedTrack { id, first_frame: 0, shape: Vec::new(), poses: Vec::new() };
        let mut people: Vec<FittedTrack> = header.people.iter().map(|person| new(person.id)).collect();
        let (mut times, mut corrupt, mut absent) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let mut there = 0;
        while let Some(row) = reader.next_row()? {
            proceed()?;
            times.push(row.time);
            if row.corrupt {
                corrupt.insert(row.frame);
            }
            for person in &row.people {
                let Some(track) = reader.place(person.id).map(|place| &mut people[place]) else { continue };
                if track.poses.is_empty() {
                    (track.first_frame, track.shape) = (row.frame, person.shape.clone());
                }
                if track.shape != person.shape {
                    return Err(reader.wrong(format!("person {} has another shape than before", person.id)).into());
                }
                there += 1;
                let due = track.first_frame + track.poses.len() as u64;
                if absent.len() + (row.frame - due) as usize > there * ABSENT + MORE_ABSENT {
                    return Err(reader.wrong("people are absent from most frames up to here".into()).into());
                }
                let fitted = posed(person, body);
                for missing in due..row.frame {
                    // Nothing of it is used but where it is.
                    let pose = Pose { rotations: Vec::new(), confidence: Vec::new(), ..fitted.pose };
                    track.poses.push(FittedPose { pose, ..fitted });
                    absent.insert((person.id, missing));
                }
                track.poses.push(fitted);
            }
        }
        people.retain(|track| !track.poses.is_empty());
        Ok(Self { body: loaded, header: reader.into_header(), times, people, corrupt, absent })
    }

    /// What is in it.
    pub fn counts(&self) -> Counts {
        let mut by_frame: BTreeMap<u64, Vec<(bool, bool)>> = BTreeMap::new();
        for track in &self.people {
            for (frame, pose) in (track.first_frame..).zip(&track.poses) {
                if !self.absent.contains(&(track.id, frame)) {
                    by_frame.entry(frame).or_default().push((pose.uncertain, pose.doubtful));
                }
            }
        }
        let mut counts = Counts::default();
        by_frame.into_values().for_each(|people| counts.add(people.into_iter()));
        counts
    }
}

fn posed(person: &PersonRow, body: &Body) -> FittedPose {
    // Five decimals are a little more or less than a unit.
    let rotation = |[w, x, y, z]: &[f64; 4]| DQuat::from_xyzw(*x, *y, *z, *w).normalize();
    let rotations = person.rotations.iter().map(rotation).collect();
    let position = DVec3::from(person.root.position);
    let pose = Pose { position, rotations, confidence: confidence(person, body) };
    let (hands, doubtful) = (person.hands.map(|seen| seen as f32), person.is_doubtful());
    FittedPose { pose, score: person.score as f32, uncertain: person.may_be_another(), doubtful, hands }
}

/// How well each joint's segment was seen, which the file says of key points: as well as the key point that moves with it, else as the
/// joint that it hangs on, or that hangs on it.
fn confidence(person: &PersonRow, body: &Body) -> Vec<f32> {
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
