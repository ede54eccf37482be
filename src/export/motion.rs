//! The motion file: a header line, then one JSON line per frame, also for frames with nobody in them.
//!
//! Numbers are rounded (pixels to 1/100, metres to 1/10 mm) so that files stay small and the same on every run.

use std::io::{self, Write};

use glam::{DQuat, DVec3};
use serde::{Deserialize, Serialize};

use super::header::Header;

/// One person in one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// The same for the same person through the clip.
    pub id: u32,
    /// x, y, width, height of the drawn body in displayed pixels.
    pub bounds: [f64; 4],
    /// How much of the person was seen, 0..=1.
    pub score: f64,
    /// Two people could have been swapped here.
    pub uncertain: bool,
    /// The pose may be wrong.
    pub doubtful: bool,
    /// COCO-17 key points of the fitted body in displayed pixels, and how well each was seen (0..=1).
    pub keypoints: [([f64; 2], f64); 17],
    /// The same points in metres, camera axes.
    pub joints: [DVec3; 17],
    /// Further points of the body ([`Header::extra_keypoints`]), the same way.
    pub extra: Vec<DVec3>,
    /// Root joint in metres, camera axes.
    pub position: DVec3,
    /// Rotation of each joint relative to its parent.
    pub rotations: Vec<DQuat>,
    /// Coefficients of the body's shape.
    pub shape: Vec<f64>,
    /// How surely the left and the right hand was seen, 0..=1; 0 where its fingers are not measured.
    pub hands: [f64; 2],
}

/// Writes the lines in order.
pub struct MotionWriter<W> {
    out: W,
    frame: u64,
}

impl<W: Write> MotionWriter<W> {
    /// Writes the header line.
    pub fn new(mut out: W, header: &Header) -> io::Result<Self> {
        out.write_all(header.line()?.as_bytes())?;
        Ok(Self { out, frame: 0 })
    }

    /// Writes the next frame's line; `time` in seconds since the first frame. `is_corrupt`: frames that it builds on are missing.
    pub fn write(&mut self, time: f64, people: &[Person], is_corrupt: bool) -> io::Result<()> {
        let people = people.iter().map(PersonRow::new).collect();
        let row = Row { frame: self.frame, time: round(time, 6), corrupt: is_corrupt, people };
        serde_json::to_writer(&mut self.out, &row)?;
        self.out.write_all(b"\n")?;
        self.frame += 1;
        Ok(())
    }

    /// Hands on what is buffered.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A line for a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its number, from 0.
    pub frame: u64,
    /// Seconds since the first frame.
    pub time: f64,
    /// Frames that it builds on are missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub corrupt: bool,
    /// Who is in it.
    pub people: Vec<PersonRow>,
}

/// A person in it, as [`Person`], rounded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PersonRow {
    /// As in the header.
    pub id: u32,
    /// x, y, width, height in displayed pixels.
    #[serde(rename = "box")]
    pub bounds: [f64; 4],
    /// How much was seen, 0..=1.
    pub score: f64,
    /// Whether this could be somebody else, or the pose may be wrong.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncertain: bool,
    /// Which of the two. Files of earlier versions do not say: there it is the identity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<Doubt>,
    /// x, y (displayed pixels) and confidence of COCO's points.
    pub keypoints2d: [[f64; 3]; 17],
    /// The same in metres, camera axes.
    pub joints3d: [[f64; 3]; 17],
    /// The header's extra key points, metres.
    pub extra3d: Vec<[f64; 3]>,
    /// The root joint.
    pub root: Root,
    /// w, x, y, z of each joint relative to its parent.
    pub rotations: Vec<[f64; 4]>,
    /// Coefficients of the body's shape.
    pub shape: Vec<f64>,
    /// Of the left and the right hand how surely it was seen, 0..=1. Where it is 0 the fingers are not measured.
    #[serde(default, skip_serializing_if = "are_not_seen")]
    pub hands: [f64; 2],
}

/// What may be wrong of a person in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Doubt {
    /// Who it is: two people could have been swapped.
    Identity,
    /// How they stand.
    Pose,
}

/// Whether neither hand was seen.
fn are_not_seen(hands: &[f64; 2]) -> bool {
    *hands == [0.0; 2]
}

/// The root joint of a person in a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Root {
    /// Metres, camera axes.
    pub position: [f64; 3],
}

impl PersonRow {
    /// Whether two people could have been swapped.
    pub fn may_be_another(&self) -> bool {
        self.uncertain && (self.doubts.is_empty() || self.doubts.contains(&Doubt::Identity))
    }

    /// Whether the pose may be wrong.
    pub fn is_doubtful(&self) -> bool {
        self.doubts.contains(&Doubt::Pose)
    }

    fn new(person: &Person) -> Self {
        let metres = |p: DVec3| p.to_array().map(|v| round(v, 4));
        let doubts = [(person.uncertain, Doubt::Identity), (person.doubtful, Doubt::Pose)];
        let doubts = doubts.into_iter().filter_map(|(is_so, doubt)| is_so.then_some(doubt)).collect();
        Self {
            id: person.id,
            bounds: person.bounds.map(|v| round(v, 2)),
            score: round(person.score, 3),
            uncertain: person.uncertain || person.doubtful,
            doubts,
            keypoints2d: person.keypoints.map(|([x, y], c)| [round(x, 2), round(y, 2), round(c, 3)]),
            joints3d: person.joints.map(metres),
            extra3d: person.extra.iter().copied().map(metres).collect(),
            root: Root { position: metres(person.position) },
            rotations: person.rotations.iter().map(|q| [q.w, q.x, q.y, q.z].map(|v| round(v, 5))).collect(),
            shape: person.shape.iter().map(|v| round(*v, 4)).collect(),
            hands: person.hands.map(|v| round(v, 3)),
        }
    }
}

/// Rounds to a number of decimals; never gives -0.
pub(super) fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale + 0.0
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::header::{BodyInfo, Clock, MeshInfo, PersonInfo, VERSION, Video};
    use super::*;
    use crate::body::{Camera, World};

    /// Of a clip with person 3, whose body is a single joint.
    pub fn header() -> Header {
        Header {
            meshreel: VERSION,
            video: Video { path: "a.mp4".into(), width: 64, height: 48, fps: 29.97, frames: 3 },
            clock: Clock::new(0.5, -0.25),
            body: BodyInfo {
                name: "test".into(),
                licence: "CC0-1.0".into(),
                joints: vec!["root".into()],
                parents: vec![-1],
                pose_directions: 0,
            },
            camera: Camera { focal: [64.0, 64.0], center: [31.5, 23.5] }.into(),
            keypoints: "coco17".into(),
            extra_keypoints: vec!["left_heel".into()],
            world: World::UNKNOWN,
            people: vec![PersonInfo {
                id: 3,
                first_frame: 1,
                last_frame: 1,
                frames: 1,
                color: [0.5; 3],
                shape: vec![0.0],
                rest: vec![DVec3::ZERO],
                head_top: DVec3::NEG_Y,
                soles: [[DVec3::Y; 2]; 2],
            }],
            mesh: MeshInfo::default(),
        }
    }

    /// Person 3 in a frame.
    pub fn person() -> Person {
        Person {
            id: 3,
            bounds: [1.234, 2.0, 3.0, 4.0],
            score: 0.5,
            uncertain: true,
            doubtful: true,
            keypoints: [([1.0 / 3.0, -0.0], 1.0); 17],
            joints: [DVec3::new(0.12345, 0.0, 2.0); 17],
            extra: vec![DVec3::Y],
            position: DVec3::Z,
            rotations: vec![DQuat::IDENTITY],
            shape: vec![-0.00001],
            hands: [0.0, 0.98765],
        }
    }

    #[test]
    fn lines_are_as_the_contract_says() {
        let mut header = header();
        header.video.path = "a \"b\".mp4".into();
        let mut text = Vec::new();
        let mut writer = MotionWriter::new(&mut text, &header).unwrap();
        writer.write(0.0, &[], false).unwrap();
        writer.write(0.0333667, &[person()], false).unwrap();
        writer.write(0.0667333, &[], true).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0]["meshreel"], VERSION);
        assert_eq!(lines[0]["video"]["path"], "a \"b\".mp4");
        assert_eq!(lines[1], serde_json::json!({"frame": 0, "time": 0.0, "people": []}));
        assert_eq!(
            lines[0]["clock"],
            serde_json::json!({"zero": "first frame", "video_start": 0.5, "source_start": -0.25})
        );
        assert_eq!(lines[3], serde_json::json!({"frame": 2, "time": 0.066733, "corrupt": true, "people": []}));
        let p = &lines[2]["people"][0];
        assert_eq!(p["box"], serde_json::json!([1.23, 2.0, 3.0, 4.0]));
        assert_eq!(p["keypoints2d"][16], serde_json::json!([0.33, 0.0, 1.0]));
        assert_eq!(p["joints3d"][0], serde_json::json!([0.1235, 0.0, 2.0]));
        assert_eq!(p["rotations"][0], serde_json::json!([1.0, 0.0, 0.0, 0.0]));
        assert_eq!(p["uncertain"], true);
        assert_eq!(p["doubts"], serde_json::json!(["identity", "pose"]));
        assert_eq!(p["shape"], serde_json::json!([0.0]));
        assert_eq!(p["hands"], serde_json::json!([0.0, 0.988]));
        assert!(!text.contains("-0.0"), "{text}");
    }

    #[test]
    fn the_header_is_written_again_in_its_place() {
        let mut header = header();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = MotionWriter::new(file.as_file_mut(), &header).unwrap();
        writer.write(0.0, &[], false).unwrap();
        let read = || std::fs::read_to_string(file.path()).unwrap();
        let before = read();
        for start in [0.023, -1234567.123456, 3.0] {
            header.clock.video_start = start;
            header.rewrite(file.as_file()).unwrap();
            let (lines, length) = (read(), before.len());
            let lines: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
            assert_eq!((lines[0]["clock"]["video_start"].as_f64(), read().len()), (Some(start), length));
            assert_eq!(lines[1]["frame"], 0);
        }
    }
}
