//! The motion file: a header line, then one JSON line per frame, also for frames with nobody in them.
//!
//! Numbers are rounded (pixels to 1/100, metres to 1/10 mm) so that files stay small and the same on every run.

use std::io::{self, Write};

use glam::{DQuat, DVec3};
use serde::Serialize;

use crate::body::Camera;

/// Characters of a number of seconds with six decimals.
const LONGEST_NUMBER: usize = 24;

/// What the first line tells.
#[derive(Debug)]
pub struct Header<'a> {
    /// The source video, as it was named.
    pub path: &'a str,
    /// Width and height of the displayed picture.
    pub display: [u32; 2],
    /// Average frames a second.
    pub fps: f64,
    /// Time stamp of the first frame in the result, seconds: what has to be added to the times in the rows.
    pub video_start: f64,
    /// The same in the source.
    pub source_start: f64,
    /// Frames in the video (and lines that follow).
    pub frames: u64,
    /// Name of the body model.
    pub body: &'a str,
    /// Names of its joints.
    pub joints: &'a [String],
    /// Parent of each joint, -1 for the root.
    pub parents: Vec<i64>,
    /// The camera the body was fitted with.
    pub camera: Camera,
}

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
    /// COCO-17 key points of the fitted body in displayed pixels, and how well each was seen (0..=1).
    pub keypoints: [([f64; 2], f64); 17],
    /// The same points in metres, camera axes.
    pub joints: [DVec3; 17],
    /// Root joint in metres, camera axes.
    pub position: DVec3,
    /// Rotation of each joint relative to its parent.
    pub rotations: Vec<DQuat>,
    /// Coefficients of the body's shape.
    pub shape: Vec<f64>,
}

/// Writes the lines in order.
pub struct MotionWriter<W> {
    out: W,
    frame: u64,
}

impl Header<'_> {
    /// The line, filled with blanks so that it can be written again with another number in it.
    fn line(&self) -> String {
        let Camera { focal, center } = self.camera;
        let text = serde_json::json!({
            "meshreel": 1,
            "video": {
                "path": self.path,
                "width": self.display[0],
                "height": self.display[1],
                "fps": round(self.fps, 4),
                "frames": self.frames,
            },
            "clock": {
                "zero": "first frame",
                "video_start": round(self.video_start, 6),
                "source_start": round(self.source_start, 6),
            },
            "body": { "name": self.body, "joints": self.joints, "parents": self.parents },
            "camera": { "fx": focal[0], "fy": focal[1], "cx": center[0], "cy": center[1] },
            "keypoints": "coco17",
        })
        .to_string();
        let number = serde_json::json!(round(self.video_start, 6)).to_string().len();
        text + &" ".repeat(LONGEST_NUMBER.saturating_sub(number)) + "\n"
    }

    /// Writes the line once more over the one that a file begins with.
    ///
    /// # Errors
    /// Those of the system.
    pub fn rewrite(&self, file: &std::fs::File) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        file.write_all_at(self.line().as_bytes(), 0)
    }
}

impl<W: Write> MotionWriter<W> {
    /// Writes the header line.
    pub fn new(mut out: W, header: &Header) -> io::Result<Self> {
        out.write_all(header.line().as_bytes())?;
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

#[derive(Serialize)]
struct Row {
    frame: u64,
    time: f64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    corrupt: bool,
    people: Vec<PersonRow>,
}

#[derive(Serialize)]
struct PersonRow {
    id: u32,
    #[serde(rename = "box")]
    bounds: [f64; 4],
    score: f64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    uncertain: bool,
    keypoints2d: [[f64; 3]; 17],
    joints3d: [[f64; 3]; 17],
    root: Root,
    rotations: Vec<[f64; 4]>,
    shape: Vec<f64>,
}

#[derive(Serialize)]
struct Root {
    position: [f64; 3],
}

impl PersonRow {
    fn new(person: &Person) -> Self {
        let metres = |p: DVec3| p.to_array().map(|v| round(v, 4));
        Self {
            id: person.id,
            bounds: person.bounds.map(|v| round(v, 2)),
            score: round(person.score, 3),
            uncertain: person.uncertain,
            keypoints2d: person.keypoints.map(|([x, y], c)| [round(x, 2), round(y, 2), round(c, 3)]),
            joints3d: person.joints.map(metres),
            root: Root { position: metres(person.position) },
            rotations: person.rotations.iter().map(|q| [q.w, q.x, q.y, q.z].map(|v| round(v, 5))).collect(),
            shape: person.shape.iter().map(|v| round(*v, 4)).collect(),
        }
    }
}

/// Rounds to a number of decimals; never gives -0.
fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_the_contract_says() {
        let header = Header {
            path: "a \"b\".mp4",
            display: [64, 48],
            fps: 29.97003,
            video_start: 0.5,
            source_start: -0.25,
            frames: 3,
            body: "test",
            joints: &["root".to_owned()],
            parents: vec![-1],
            camera: Camera { focal: [64.0, 64.0], center: [31.5, 23.5] },
        };
        let person = Person {
            id: 3,
            bounds: [1.234, 2.0, 3.0, 4.0],
            score: 0.5,
            uncertain: true,
            keypoints: [([1.0 / 3.0, -0.0], 1.0); 17],
            joints: [DVec3::new(0.12345, 0.0, 2.0); 17],
            position: DVec3::Z,
            rotations: vec![DQuat::IDENTITY],
            shape: vec![-0.00001],
        };
        let mut text = Vec::new();
        let mut writer = MotionWriter::new(&mut text, &header).unwrap();
        writer.write(0.0, &[], false).unwrap();
        writer.write(0.0333667, &[person], false).unwrap();
        writer.write(0.0667333, &[], true).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0]["meshreel"], 1);
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
        assert_eq!(p["shape"], serde_json::json!([0.0]));
        assert!(!text.contains("-0.0"), "{text}");
    }

    #[test]
    fn the_header_is_written_again_in_its_place() {
        let mut header = Header {
            path: "a.mp4",
            display: [64, 48],
            fps: 25.0,
            video_start: 0.0,
            source_start: 0.0,
            frames: 0,
            body: "test",
            joints: &[],
            parents: vec![],
            camera: Camera { focal: [64.0, 64.0], center: [31.5, 23.5] },
        };
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = MotionWriter::new(file.as_file_mut(), &header).unwrap();
        writer.write(0.0, &[], false).unwrap();
        let read = || std::fs::read_to_string(file.path()).unwrap();
        let before = read();
        for start in [0.023, -1234567.123456, 3.0] {
            header.video_start = start;
            header.rewrite(file.as_file()).unwrap();
            let (lines, length) = (read(), before.len());
            let lines: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
            assert_eq!((lines[0]["clock"]["video_start"].as_f64(), read().len()), (Some(start), length));
            assert_eq!(lines[1]["frame"], 0);
        }
    }
}
