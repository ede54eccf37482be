//! Reads motion files, line by line: the one place that says what may be in them. They may be damaged, or made by anybody.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::ExportError;
use super::header::{Header, VERSION};
use super::motion::{PersonRow, Row};

/// Longest line that is read: a frame with some thousand people, or the header of a hundred thousand.
const LONGEST_LINE: usize = 1 << 28;
/// More joints, key points or shape directions than that are a damaged file.
const MOST_PARTS: usize = 256;
/// What no number of a motion file is beyond. Nobody is further away, in metres.
const MOST_METRES: f64 = 1e6;
/// In pixels: somebody just in front of the camera is far outside the picture.
const MOST_PIXELS: f64 = 1e9;
/// Shortest focal length.
const LEAST_FOCAL: f64 = 1e-3;
/// In seconds: thirty years.
const MOST_SECONDS: f64 = 1e9;
/// Letters of a name.
const LONGEST_NAME: usize = 200;
/// Coefficients of the body's shape.
const MOST_SHAPE: f64 = 1e3;
/// Frames a second.
const MOST_RATE: f64 = 1e4;
/// How much longer or shorter than 1 a rotation's quaternion may be: its numbers are rounded.
const ROUNDED: f64 = 0.01;

/// A motion file while it is read.
pub struct MotionReader {
    path: PathBuf,
    lines: BufReader<File>,
    line: Vec<u8>,
    /// Number of the line that was read last, from 1.
    number: u64,
    /// Bytes that were read, and all.
    bytes: [u64; 2],
    header: Header,
    /// Where everybody is in the header, by their ids.
    places: HashMap<u32, usize>,
    /// For each person of the header the frame after the last one with them.
    seen: Vec<u64>,
    frames: u64,
    time: f64,
}

/// What tells whether the rest of a header can be understood.
#[derive(Deserialize)]
struct Version {
    meshreel: u64,
}

impl MotionReader {
    /// Opens a motion file and reads its header.
    ///
    /// # Errors
    /// When it cannot be read, or is not as it should be.
    pub fn open(path: &Path) -> Result<Self, ExportError> {
        let unreadable = |source| ExportError::Read { path: path.to_owned(), source };
        // A pipe would never open.
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        let file = if metadata.is_file() { Some(File::open(path).map_err(unreadable)?) } else { None };
        let Some(file) = file else {
            return Err(ExportError::NoMotion { path: path.to_owned(), reason: "it is no file".into() });
        };
        let mut lines = BufReader::with_capacity(1 << 16, file);
        let mut line = Vec::new();
        let read = next_line(&mut lines, &mut line).map_err(unreadable)? as u64;
        let header = header(path, &line)?;
        let wrong = |reason| ExportError::Line { path: path.to_owned(), line: 1, reason };
        check(&header).map_err(wrong)?;
        let mut places = HashMap::new();
        for (place, person) in header.people.iter().enumerate() {
            if places.insert(person.id, place).is_some() {
                return Err(wrong(format!("person {} is in it twice", person.id)));
            }
        }
        Ok(Self {
            path: path.to_owned(),
            lines,
            line,
            number: 1,
            bytes: [read, metadata.len()],
            seen: vec![0; header.people.len()],
            header,
            places,
            frames: 0,
            time: -MOST_SECONDS,
        })
    }

    /// The first line.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Gives the header away.
    pub fn into_header(self) -> Header {
        self.header
    }

    /// The header, and what follows the lines that were read.
    pub fn into_rest(self) -> (Header, impl BufRead) {
        (self.header, self.lines)
    }

    /// Where somebody is among the header's people.
    pub fn place(&self, id: u32) -> Option<usize> {
        self.places.get(&id).copied()
    }

    /// Bytes that were read, and all of the file.
    pub fn bytes(&self) -> [u64; 2] {
        self.bytes
    }

    /// The line of the next frame; `None` after the last one. All numbers in it are sensible.
    ///
    /// # Errors
    /// When it cannot be read, or is not as it should be.
    pub fn next_row(&mut self) -> Result<Option<Row>, ExportError> {
        self.line.clear();
        let read = next_line(&mut self.lines, &mut self.line)
            .map_err(|source| ExportError::Read { path: self.path.clone(), source })?;
        if read == 0 {
            return match self.frames == self.header.video.frames {
                true => Ok(None),
                false => {
                    let (found, told) = (self.frames, self.header.video.frames);
                    Err(self.wrong(format!("{found} frames follow the header, which speaks of {told}")))
                }
            };
        }
        self.bytes[0] += read as u64;
        self.number += 1;
        let row =
            serde_json::from_slice(&self.line).map_err(|error| self.wrong(format!("it is no frame ({error})")))?;
        self.check(&row).map_err(|reason| self.wrong(reason))?;
        Ok(Some(row))
    }

    /// That something is wrong with the line that was read last.
    pub fn wrong(&self, reason: String) -> ExportError {
        ExportError::Line { path: self.path.clone(), line: self.number, reason }
    }

    fn check(&mut self, row: &Row) -> Result<(), String> {
        if row.frame != self.frames {
            return Err(format!("it is frame {}, and {} was to follow", row.frame, self.frames));
        }
        // Two may have the same: times are rounded.
        if !(self.time..=MOST_SECONDS).contains(&row.time) {
            return Err(format!("its time, {} s, is before that of the last frame, or years away", row.time));
        }
        self.time = row.time;
        self.frames += 1;
        for person in &row.people {
            let Some(place) = self.place(person.id) else {
                return Err(format!("the header knows no person {}", person.id));
            };
            if std::mem::replace(&mut self.seen[place], self.frames) == self.frames {
                return Err(format!("person {} is in it twice", person.id));
            }
            self.check_person(person).map_err(|reason| format!("person {} has {reason}", person.id))?;
        }
        Ok(())
    }

    fn check_person(&self, person: &PersonRow) -> Result<(), String> {
        let joints = &self.header.body.joints;
        if person.rotations.len() != joints.len() {
            return Err(format!("{} rotations", person.rotations.len()));
        }
        if person.extra3d.len() != self.header.extra_keypoints.len() {
            return Err(format!("{} extra key points", person.extra3d.len()));
        }
        let points = |points: &'_ [[f64; 3]]| points.as_flattened().to_vec();
        for (name, numbers, most) in [
            ("box", person.bounds.to_vec(), MOST_PIXELS),
            ("score", vec![person.score], MOST_SHAPE),
            ("hands", person.hands.to_vec(), MOST_SHAPE),
            ("keypoints2d", points(&person.keypoints2d), MOST_PIXELS),
            ("joints3d", points(&person.joints3d), MOST_METRES),
            ("extra3d", points(&person.extra3d), MOST_METRES),
            ("root", person.root.position.to_vec(), MOST_METRES),
            ("shape", person.shape.clone(), MOST_SHAPE),
        ] {
            within(name, numbers, most)?;
        }
        for (joint, rotation) in joints.iter().zip(&person.rotations) {
            let length = rotation.iter().map(|number| number * number).sum::<f64>().sqrt();
            if !((1.0 - ROUNDED)..=(1.0 + ROUNDED)).contains(&length) {
                return Err(format!(
                    "a rotation of {joint} that is no rotation: {rotation:?} has the length {length:.3}, not 1"
                ));
            }
        }
        Ok(())
    }
}

/// That numbers are not absurd.
fn within(name: &str, numbers: impl IntoIterator<Item = f64>, most: f64) -> Result<(), String> {
    // What is no number is not within.
    match numbers.into_iter().find(|number| !(-most..=most).contains(number)) {
        Some(number) => Err(format!("{number:e} in its {name}, where nothing is beyond {most:e}")),
        None => Ok(()),
    }
}

/// Bytes of the next line, which is appended.
fn next_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    let bytes = io::Read::take(&mut *lines, LONGEST_LINE as u64).read_until(b'\n', line)?;
    match bytes == LONGEST_LINE {
        true => Err(io::Error::new(io::ErrorKind::InvalidData, "a line of it is longer than any of a motion file")),
        false => Ok(bytes),
    }
}

fn header(path: &Path, line: &[u8]) -> Result<Header, ExportError> {
    let none = |reason: &str| ExportError::NoMotion { path: path.to_owned(), reason: reason.into() };
    let version = match serde_json::from_slice::<Version>(line) {
        Ok(Version { meshreel }) => meshreel,
        Err(error) if error.is_data() => return Err(none("its first line is no header")),
        Err(error) if error.is_eof() && line.starts_with(b"{\"meshreel\"") => {
            return Err(ExportError::Line { path: path.to_owned(), line: 1, reason: "the header ends early".into() });
        }
        Err(_) => return Err(none("its first line is no JSON")),
    };
    let other = |reason| ExportError::OtherVersion { path: path.to_owned(), reason };
    if version != u64::from(VERSION) {
        return Err(other(format!("its version is {version}")));
    }
    serde_json::from_slice(line).map_err(|error| match error.to_string() {
        // Fields are added to the header without another version.
        reason if reason.starts_with("missing field") => other(reason),
        reason => {
            ExportError::Line { path: path.to_owned(), line: 1, reason: format!("it is no whole header ({reason})") }
        }
    })
}

/// Whether the parts of a header fit together.
fn check(header: &Header) -> Result<(), String> {
    let joints = header.body.joints.len();
    if joints == 0 || joints > MOST_PARTS || header.body.parents.len() != joints {
        return Err(format!("its body has {joints} joints and {} parents", header.body.parents.len()));
    }
    let is_tree = |(j, &parent): (usize, &i64)| if j == 0 { parent == -1 } else { (0..j as i64).contains(&parent) };
    if !header.body.parents.iter().enumerate().all(is_tree) {
        return Err("its joints are not in the order of their parents".into());
    }
    if header.extra_keypoints.len() > MOST_PARTS {
        return Err(format!("it has {} extra key points", header.extra_keypoints.len()));
    }
    let names = header.body.joints.iter().chain(&header.extra_keypoints).chain([&header.body.name]);
    if let Some(name) = names.into_iter().find(|name| name.len() > LONGEST_NAME) {
        return Err(format!("a joint, key point or body in it has a name of {} letters", name.len()));
    }
    let video = &header.video;
    if video.width == 0 || video.height == 0 {
        return Err("its video has no size".into());
    }
    if !(video.fps > 0.0 && video.fps <= MOST_RATE) {
        return Err(format!("its video has {:?} frames a second", video.fps));
    }
    let camera = &header.camera;
    if ![camera.fx, camera.fy].iter().all(|f| *f > LEAST_FOCAL) {
        return Err("its camera has no focal length".into());
    }
    within("camera", [camera.fx, camera.fy, camera.cx, camera.cy], MOST_PIXELS)?;
    let up = header.world.up.length();
    if !((1.0 - ROUNDED)..=(1.0 + ROUNDED)).contains(&up) {
        return Err("its up has no direction".into());
    }
    within("floor", header.world.floor, MOST_METRES)?;
    check_mesh(header)?;
    for person in &header.people {
        let points = person.rest.iter().chain(person.soles.as_flattened()).chain([&person.head_top]);
        let damaged = |reason: String| format!("its person {} has {reason}", person.id);
        if person.rest.len() != joints {
            return Err(damaged(format!("{} joints", person.rest.len())));
        }
        within("rest, soles or head_top", points.flat_map(|point| point.to_array()), MOST_METRES).map_err(damaged)?;
        within("shape", person.shape.iter().copied(), MOST_SHAPE).map_err(damaged)?;
        if !person.color.iter().all(|part| (0.0..=1.0).contains(part)) {
            return Err(damaged(format!("the colour {:?}", person.color)));
        }
        if person.shape.len() > MOST_PARTS {
            return Err(damaged(format!("{} coefficients of its shape", person.shape.len())));
        }
    }
    Ok(())
}

fn check_mesh(header: &Header) -> Result<(), String> {
    let mesh = &header.mesh;
    let is_vertex = |&v: &u16| usize::from(v) < mesh.vertices;
    let is_whole = mesh.skin_indices.len() == mesh.vertices
        && mesh.skin_weights.len() == mesh.vertices
        && mesh.faces.iter().flatten().all(is_vertex)
        && mesh.skin_indices.iter().flatten().all(|&j| usize::from(j) < header.body.joints.len())
        && mesh.mean.len() == mesh.vertices
        && mesh.directions.len() <= MOST_PARTS
        && mesh.directions.iter().all(|direction| direction.steps.len() == mesh.vertices);
    if !is_whole {
        return Err("its mesh does not fit together".into());
    }
    let numbers = mesh.mean.iter().flatten().map(|number| f64::from(*number));
    within("mesh", numbers.chain(mesh.directions.iter().map(|direction| direction.unit)), MOST_METRES)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::super::motion::MotionWriter;
    use super::super::motion::tests::{header, person};
    use super::*;
    use serde_json::Value;

    /// What is said of a file of two frames whose lines were changed.
    fn said(change: impl FnOnce(&mut [Value; 3])) -> String {
        let mut header = header();
        header.video.frames = 2;
        let mut text = Vec::new();
        let mut writer = MotionWriter::new(&mut text, &header).unwrap();
        for frame in 0..2 {
            writer.write(f64::from(frame) * 0.04, &[person()], false).unwrap();
        }
        let lines = text.split(|byte| *byte == b'\n').take(3);
        let mut lines: [Value; 3] =
            lines.map(|line| serde_json::from_slice(line).unwrap()).collect::<Vec<_>>().try_into().unwrap();
        change(&mut lines);
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut text = String::new();
        lines.iter().for_each(|line| writeln!(text, "{line}").unwrap());
        std::fs::write(file.path(), text).unwrap();
        let read = || -> Result<(), ExportError> {
            let mut reader = MotionReader::open(file.path())?;
            while reader.next_row()?.is_some() {}
            Ok(())
        };
        read().map_or_else(|error| error.to_string(), |()| "whole".into())
    }

    #[test]
    fn what_is_absurd_is_refused_by_name() {
        assert_eq!(said(|_| {}), "whole");
        let row = |name: &'static str, value: Value| said(move |lines| lines[2]["people"][0][name] = value);
        let says = |said: String, what: &str| assert!(said.contains(what), "{said:?} does not say {what:?}");
        says(row("rotations", serde_json::json!([[0, 0, 0, 0]])), ":3: person 3 has a rotation of root");
        says(row("rotations", serde_json::json!([[0.9, 0, 0, 0]])), "length 0.900");
        says(row("rotations", serde_json::json!([])), "0 rotations");
        assert_eq!(row("rotations", serde_json::json!([[0.6, 0.801, 0, 0]])), "whole");
        says(row("root", serde_json::json!({"position": [0, 0, 1e7]})), "person 3 has 1e7 in its root");
        says(row("box", serde_json::json!([0, -1e12, 1, 1])), "-1e12 in its box");
        says(row("extra3d", serde_json::json!([[1e300, 0, 0]])), "1e300 in its extra3d");
        says(row("shape", serde_json::json!([1e5])), "in its shape");
        says(said(|lines| lines[2]["time"] = 1e10.into()), "its time, 10000000000 s");
        says(said(|lines| lines[2]["time"] = (-0.1).into()), "is before");
        assert_eq!(said(|lines| lines[2]["time"] = 0.0.into()), "whole", "times are rounded");
        says(said(|lines| lines[2]["people"][0]["id"] = 9.into()), "knows no person 9");
        says(said(|lines| lines[2]["people"] = Value::from(vec![lines[2]["people"][0].clone(); 2])), "in it twice");

        let video = |name: &'static str, value: Value| said(move |lines| lines[0]["video"][name] = value);
        says(video("fps", 1e300.into()), ":1: its video has 1e300 frames a second");
        says(video("fps", 10_001.into()), "damaged");
        says(video("frames", 3.into()), "2 frames follow");
        let damaged = said(|lines| lines[0]["people"][0]["rest"] = "none".into());
        assert!(damaged.contains("is damaged") && !damaged.contains("another version"), "{damaged}");
        says(said(|lines| lines[0]["people"][0]["head_top"] = serde_json::json!([0, 1e30, 0])), "person 3 has 1e30");
        says(said(|lines| lines[0]["people"] = Value::from(vec![lines[0]["people"][0].clone(); 2])), "in it twice");
        says(said(|lines| lines[0]["meshreel"] = 2.into()), "another version");
        says(said(|lines| drop(lines[0].as_object_mut().unwrap().remove("world"))), "missing field `world`");
        says(said(|lines| lines[0] = Value::from("a")), "no header");
    }
}
