//! A motion file that was read: its header, and its rows by frame and by person.
//!
//! The rows lie in a temporary file, all of one length, so that any of them is read at once and a clip of hours takes a few megabytes of
//! memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use glam::{DQuat, DVec3};

use super::error::ExportError;
use super::header::{Header, VERSION};
use super::motion::{PersonRow, Row};

/// Longest line that is read: a frame with some thousand people.
const LONGEST_LINE: usize = 1 << 28;
/// More people or joints than that are a damaged file.
const MOST_JOINTS: usize = 256;

/// A motion file that was read.
pub struct Clip {
    /// Its first line.
    pub header: Header,
    /// Time of each frame, seconds since the first.
    pub times: Vec<f64>,
    /// For each frame its first row, and where the last one ends.
    starts: Vec<usize>,
    /// For each person of the header their rows, in order.
    of_person: Vec<Vec<usize>>,
    /// For each row its frame and who it is, as an index into the header's people.
    rows: Vec<(u32, u32)>,
    spool: File,
    width: usize,
}

/// A person in a frame, as the file has it: camera axes, metres, displayed pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Raw {
    /// x, y, width, height.
    pub bounds: [f64; 4],
    /// How much was seen, 0..=1.
    pub score: f64,
    /// Whether this could be somebody else.
    pub uncertain: bool,
    /// x, y and confidence of COCO's 17 points.
    pub keypoints2d: [[f64; 3]; 17],
    /// COCO's 17 points, then the header's extra ones.
    pub points: Vec<DVec3>,
    /// The root joint.
    pub root: DVec3,
    /// Of each joint relative to its parent.
    pub rotations: Vec<DQuat>,
}

impl Clip {
    /// Reads a motion file; rows go into a temporary file in `folder`. `progress` is told of bytes that were read and of all bytes, and ends the
    /// reading by an error.
    ///
    /// # Errors
    /// When it cannot be read, or is not as it should be.
    pub fn read(
        path: &Path,
        folder: &Path,
        progress: &mut dyn FnMut(u64, u64) -> Result<(), ExportError>,
    ) -> Result<Self, ExportError> {
        let unreadable = |source| ExportError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(ExportError::NoMotion { path: path.to_owned(), reason: "it is no file".into() });
        }
        let mut lines = BufReader::with_capacity(1 << 16, file);
        let mut line = Vec::new();
        let mut read = next_line(&mut lines, &mut line).map_err(unreadable)? as u64;
        let header = header(path, &line)?;
        let spool = tempfile::tempfile_in(folder).map_err(ExportError::write(folder))?;
        let mut clip = Self {
            width: width(&header),
            of_person: vec![Vec::new(); header.people.len()],
            header,
            times: Vec::new(),
            starts: vec![0],
            rows: Vec::new(),
            spool,
        };
        let spool = clip.spool.try_clone().map_err(ExportError::write(folder))?;
        let mut spool = BufWriter::with_capacity(1 << 16, spool);
        let mut number = 1;
        loop {
            line.clear();
            match next_line(&mut lines, &mut line).map_err(unreadable)? {
                0 => break,
                bytes => read += bytes as u64,
            }
            number += 1;
            let wrong = |reason: String| ExportError::Line { path: path.to_owned(), line: number, reason };
            let row: Row = serde_json::from_slice(&line).map_err(|e| wrong(format!("it is no frame ({e})")))?;
            clip.add(&row, &mut spool).map_err(|refused| match refused {
                Refused::Wrong(reason) => wrong(reason),
                Refused::Unwritten(source) => ExportError::write(folder)(source),
            })?;
            if clip.times.len().is_multiple_of(64) {
                progress(read, metadata.len())?;
            }
        }
        spool.flush().map_err(ExportError::write(folder))?;
        if clip.times.len() as u64 != clip.header.video.frames {
            let reason =
                format!("{} frames follow the header, which speaks of {}", clip.times.len(), clip.header.video.frames);
            return Err(ExportError::Line { path: path.to_owned(), line: number, reason });
        }
        Ok(clip)
    }

    fn add(&mut self, row: &Row, spool: &mut impl Write) -> Result<(), Refused> {
        let wrong = |reason: String| Err(Refused::Wrong(reason));
        if row.frame != self.times.len() as u64 {
            return wrong(format!("it is frame {}, and {} was to follow", row.frame, self.times.len()));
        }
        if !row.time.is_finite() || self.times.last().is_some_and(|last| row.time <= *last) {
            return wrong(format!("its time, {}, is not after that of the frame before", row.time));
        }
        self.times.push(row.time);
        let frame = row.frame as u32;
        for person in &row.people {
            let Some(index) = self.header.people.iter().position(|known| known.id == person.id) else {
                return wrong(format!("the header knows no person {}", person.id));
            };
            if self.of_person[index].last().is_some_and(|&last| self.rows[last].0 == frame) {
                return wrong(format!("person {} is in it twice", person.id));
            }
            if person.rotations.len() != self.header.body.joints.len() {
                return wrong(format!("person {} has {} rotations", person.id, person.rotations.len()));
            }
            if person.extra3d.len() != self.header.extra_keypoints.len() {
                return wrong(format!("person {} has {} extra key points", person.id, person.extra3d.len()));
            }
            let numbers = numbers(person);
            if numbers.iter().any(|number| !number.is_finite()) {
                return wrong(format!("person {} has a number that is too large", person.id));
            }
            spool.write_all(bytemuck::cast_slice(&numbers)).map_err(Refused::Unwritten)?;
            self.of_person[index].push(self.rows.len());
            self.rows.push((frame, index as u32));
        }
        self.starts.push(self.rows.len());
        Ok(())
    }

    /// Rows of a frame.
    pub fn rows_in(&self, frame: usize) -> std::ops::Range<usize> {
        self.starts[frame]..self.starts[frame + 1]
    }

    /// Rows of a person of the header, in order.
    pub fn rows_of(&self, person: usize) -> &[usize] {
        &self.of_person[person]
    }

    /// How many rows there are.
    pub fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// Frame of a row, and who is in it, as an index into the header's people.
    pub fn place(&self, row: usize) -> (usize, usize) {
        (self.rows[row].0 as usize, self.rows[row].1 as usize)
    }

    /// Reads a row.
    ///
    /// # Errors
    /// Those of the system.
    pub fn raw(&self, row: usize) -> io::Result<Raw> {
        let mut numbers = vec![0f64; self.width];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut numbers);
        self.spool.read_exact_at(bytes, (row * self.width * size_of::<f64>()) as u64)?;
        let mut numbers = numbers.into_iter();
        let mut next = || numbers.next().unwrap_or(0.0);
        let points = 17 + self.header.extra_keypoints.len();
        Ok(Raw {
            bounds: std::array::from_fn(|_| next()),
            score: next(),
            uncertain: next() != 0.0,
            keypoints2d: std::array::from_fn(|_| std::array::from_fn(|_| next())),
            points: (0..points).map(|_| DVec3::new(next(), next(), next())).collect(),
            root: DVec3::new(next(), next(), next()),
            rotations: (0..self.header.body.joints.len())
                .map(|_| {
                    let [w, x, y, z] = std::array::from_fn(|_| next());
                    // Five decimals are a little more or less than a unit.
                    DQuat::from_xyzw(x, y, z, w).normalize()
                })
                .collect(),
        })
    }
}

/// Why a row was not taken.
enum Refused {
    Wrong(String),
    Unwritten(io::Error),
}

/// Bytes of the next line, which is appended.
fn next_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    let bytes = io::Read::take(&mut *lines, LONGEST_LINE as u64).read_until(b'\n', line)?;
    match bytes == LONGEST_LINE {
        true => Err(io::Error::other("a line of it is longer than any of a motion file")),
        false => Ok(bytes),
    }
}

fn header(path: &Path, line: &[u8]) -> Result<Header, ExportError> {
    let none = |reason: String| ExportError::NoMotion { path: path.to_owned(), reason };
    let other = |reason: String| ExportError::OtherVersion { path: path.to_owned(), reason };
    let value: serde_json::Value =
        serde_json::from_slice(line).map_err(|_| none("its first line is no JSON".into()))?;
    match value.get("meshreel").and_then(serde_json::Value::as_u64) {
        None => return Err(none("its first line is no header".into())),
        Some(version) if version != u64::from(VERSION) => return Err(other(format!("its version is {version}"))),
        Some(_) => {}
    }
    let header: Header = serde_json::from_value(value).map_err(|error| other(error.to_string()))?;
    check(&header).map_err(none)?;
    Ok(header)
}

/// Whether the parts of a header fit together.
fn check(header: &Header) -> Result<(), String> {
    let joints = header.body.joints.len();
    if joints == 0 || joints > MOST_JOINTS || header.body.parents.len() != joints {
        return Err(format!("its body has {joints} joints and {} parents", header.body.parents.len()));
    }
    let is_tree = |(j, &parent): (usize, &i64)| if j == 0 { parent == -1 } else { (0..j as i64).contains(&parent) };
    if !header.body.parents.iter().enumerate().all(is_tree) {
        return Err("its joints are not in the order of their parents".into());
    }
    if !(header.video.fps.is_finite() && header.video.fps > 0.0) || header.video.width == 0 || header.video.height == 0
    {
        return Err("its video has no size or no frame rate".into());
    }
    if ![header.camera.fx, header.camera.fy].iter().all(|f| f.is_finite() && *f > 0.0) {
        return Err("its camera has no focal length".into());
    }
    let mesh = &header.mesh;
    let is_vertex = |&v: &u16| usize::from(v) < mesh.vertices;
    let is_whole = mesh.skin_indices.len() == mesh.vertices
        && mesh.skin_weights.len() == mesh.vertices
        && mesh.faces.iter().flatten().all(is_vertex)
        && mesh.skin_indices.iter().flatten().all(|&j| usize::from(j) < joints);
    if !is_whole {
        return Err("its mesh does not fit together".into());
    }
    for person in &header.people {
        let points = person.rest.iter().chain(person.soles.as_flattened()).chain([&person.head_top]);
        let is_finite = points.into_iter().all(|point| point.is_finite())
            && person.vertices.iter().flatten().all(|number| number.is_finite());
        if person.rest.len() != joints || person.vertices.len() != mesh.vertices || !is_finite {
            return Err(format!("its person {} does not fit to its body", person.id));
        }
    }
    match header.world.up.is_normalized() || header.world.up.length() > 0.99 && header.world.up.length() < 1.01 {
        true => Ok(()),
        false => Err("its up has no direction".into()),
    }
}

/// Numbers in a row of the temporary file.
fn width(header: &Header) -> usize {
    4 + 2 + 17 * 3 + (17 + header.extra_keypoints.len()) * 3 + 3 + header.body.joints.len() * 4
}

fn numbers(person: &PersonRow) -> Vec<f64> {
    let flags = [person.score, f64::from(u8::from(person.uncertain))];
    let lists = [
        &person.bounds[..],
        &flags,
        person.keypoints2d.as_flattened(),
        person.joints3d.as_flattened(),
        person.extra3d.as_flattened(),
        &person.root.position,
        person.rotations.as_flattened(),
    ];
    lists.into_iter().flatten().copied().collect()
}
