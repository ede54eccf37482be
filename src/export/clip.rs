//! A motion file that was read: its header, and its rows by frame and by person.
//!
//! The rows lie in a temporary file, all of one length, so that any of them is read at once and a clip of hours takes a few megabytes of
//! memory.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use glam::{DQuat, DVec3};

use super::error::ExportError;
use super::header::Header;
use super::motion::PersonRow;
use super::reader::MotionReader;

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
    /// How surely the left and the right hand was seen, 0..=1.
    pub hands: [f64; 2],
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
        let mut reader = MotionReader::open(path)?;
        let file = tempfile::tempfile_in(folder).map_err(ExportError::write(folder))?;
        let mut spool = BufWriter::with_capacity(1 << 16, file.try_clone().map_err(ExportError::write(folder))?);
        let mut of_person = vec![Vec::new(); reader.header().people.len()];
        let (mut times, mut starts, mut rows) = (Vec::new(), vec![0], Vec::new());
        while let Some(row) = reader.next_row()? {
            for person in &row.people {
                let Some(place) = reader.place(person.id) else { continue };
                spool.write_all(bytemuck::cast_slice(&numbers(person))).map_err(ExportError::write(folder))?;
                of_person[place].push(rows.len());
                rows.push((row.frame as u32, place as u32));
            }
            times.push(row.time);
            starts.push(rows.len());
            if times.len().is_multiple_of(64) {
                let [read, all] = reader.bytes();
                progress(read, all)?;
            }
        }
        spool.flush().map_err(ExportError::write(folder))?;
        let header = reader.into_header();
        Ok(Self { width: width(&header), header, times, starts, of_person, rows, spool: file })
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
            hands: [next(), next()],
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

/// Numbers in a row of the temporary file.
fn width(header: &Header) -> usize {
    4 + 4 + 17 * 3 + (17 + header.extra_keypoints.len()) * 3 + 3 + header.body.joints.len() * 4
}

fn numbers(person: &PersonRow) -> Vec<f64> {
    let [left, right] = person.hands;
    let flags = [person.score, f64::from(u8::from(person.uncertain)), left, right];
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
