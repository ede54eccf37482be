//! NumPy's archive of arrays (`.npz`): a ZIP file with an `.npy` file for each. Loads without pickles.
//!
//! `T` frames, `P` people, `J` joints. What is not there is NaN. The form of `.npy` files is that of NumPy's NEP 1, version 1.0.

use std::io::{Seek, Write};

use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::error::ExportError;
use super::output::Output;
use super::selection::{Sample, Selection};

/// What an array has for a person in a frame, its numbers.
type Numbers = fn(&Sample) -> Vec<f64>;

/// Arrays `[T, P, ...]`: name, what follows the first two dimensions, and the numbers.
fn arrays(joints: usize, keypoints: usize) -> [(&'static str, Vec<usize>, Numbers); 10] {
    [
        ("joints3d", vec![17, 3], |s| s.points[..17].iter().flat_map(|p| p.to_array()).collect()),
        ("keypoints3d", vec![keypoints, 3], |s| s.points.iter().flat_map(|p| p.to_array()).collect()),
        ("keypoints2d", vec![17, 3], |s| s.pixels[..17].as_flattened().to_vec()),
        ("rotations", vec![joints, 4], |s| s.rotations.iter().flat_map(|q| [q.w, q.x, q.y, q.z]).collect()),
        ("root", vec![3], |s| s.root.to_array().to_vec()),
        ("box", vec![4], |s| s.bounds.to_vec()),
        ("score", vec![], |s| vec![s.score]),
        ("hands", vec![2], |s| s.hands.to_vec()),
        ("floor_shift", vec![], |s| vec![s.shift]),
        ("head_top", vec![3], |s| s.head_top.0.to_array().to_vec()),
    ]
}

/// Writes `NAME.npz`.
pub fn write(selection: &Selection<'_>, output: &mut Output<'_>) -> Result<(), ExportError> {
    let all = arrays(selection.clip.header.body.joints.len(), selection.names.len());
    let numbers: usize = all.iter().map(|(_, tail, _)| tail.iter().product::<usize>()).sum();
    let rows = selection.clip.times.len().saturating_mul(selection.people.len());
    selection.check_room("npz", rows, numbers * size_of::<f32>() + 2)?;
    output.file("npz", |output, out| {
        let mut archive = Archive { zip: ZipWriter::new(out) };
        let header = &selection.clip.header;
        let (times, people) = (&selection.clip.times, &selection.people);
        let (t, p, joints) = (times.len(), people.len(), header.body.joints.len());
        for (name, tail, numbers) in all {
            let width = tail.iter().product();
            archive.begin(name, "<f4", &[&[t, p], &tail[..]].concat())?;
            let mut row = vec![f32::NAN; p * width];
            // Of the two quaternions of a rotation the one that is nearer to the frame before.
            let mut before = vec![Vec::<f64>::new(); if name == "rotations" { p } else { 0 }];
            for frame in 0..t {
                output.proceed()?;
                row.fill(f32::NAN);
                for (person, at) in selection.in_frame(frame) {
                    let mut numbers = numbers(&selection.sample(person, at)?);
                    if let Some(before) = before.get_mut(person) {
                        align(&mut numbers, before);
                        before.clone_from(&numbers);
                    }
                    row[person * width..][..width].iter_mut().zip(numbers).for_each(|(to, from)| *to = from as f32);
                }
                archive.zip.write_all(bytemuck::cast_slice(&row))?;
            }
        }
        archive.begin("visible", "|b1", &[t, p])?;
        flags(selection, output, &mut archive, |_| Ok(true))?;
        archive.begin("uncertain", "|b1", &[t, p])?;
        flags(selection, output, &mut archive, |(person, at)| Ok(selection.sample(person, at)?.uncertain))?;

        let info = || people.iter().map(|person| person.info);
        archive.whole("ids", &info().map(|person| i64::from(person.id)).collect::<Vec<_>>())?;
        archive.floats("time", &[t], times)?;
        archive.floats("fps", &[], &[header.video.fps])?;
        archive.whole("parents", &header.body.parents)?;
        let rest: Vec<f64> = people.iter().flat_map(|p| p.rest.joints.iter().flat_map(|j| j.to_array())).collect();
        archive.floats("rest", &[p, joints, 3], &rest)?;
        let shapes = info().map(|person| person.shape.len()).max().unwrap_or(0);
        let shape: Vec<f64> =
            info().flat_map(|person| (0..shapes).map(|i| person.shape.get(i).copied().unwrap_or(f64::NAN))).collect();
        archive.floats("shape", &[p, shapes], &shape)?;
        let camera = header.camera;
        let k = [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0];
        archive.floats("camera_K", &[3, 3], &k)?;
        let (m, o) = (selection.axes.matrix(), selection.axes.offset);
        let row = |i: usize| [m.row(i).x, m.row(i).y, m.row(i).z, o[i]];
        archive.floats("world_from_camera", &[4, 4], &[row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]].concat())?;
        archive.floats("up_sigma_deg", &[], &[selection.axes.world.sigma_deg.unwrap_or(f64::NAN)])?;
        archive.texts("frame", None, &[selection.axes.frame_name()])?;
        archive.texts("up_source", None, &[selection.axes.source_name()])?;
        archive.texts("body", None, &[&header.body.name])?;
        archive.texts("body_licence", None, &[&header.body.licence])?;
        archive.texts("joint_names", Some(joints), &texts(&header.body.joints))?;
        archive.texts("keypoint_names", Some(selection.names.len()), &texts(&selection.names))?;
        archive.zip.finish().map_err(std::io::Error::from)?;
        Ok(())
    })
}

/// Turns the sign of quaternions that are nearer to those `before` then.
fn align(quaternions: &mut [f64], before: &[f64]) {
    for (now, before) in quaternions.chunks_exact_mut(4).zip(before.chunks_exact(4)) {
        if now.iter().zip(before).map(|(a, b)| a * b).sum::<f64>() < 0.0 {
            now.iter_mut().for_each(|number| *number = -*number);
        }
    }
}

fn texts(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// A byte for each frame and person: 0 where they are not there.
fn flags<W: Write + Seek>(
    selection: &Selection<'_>,
    output: &Output<'_>,
    archive: &mut Archive<W>,
    flag: impl Fn((usize, usize)) -> Result<bool, ExportError>,
) -> Result<(), ExportError> {
    let mut row = vec![0u8; selection.people.len()];
    for frame in 0..selection.clip.times.len() {
        output.proceed()?;
        row.fill(0);
        for (person, at) in selection.in_frame(frame) {
            row[person] = flag((person, at))?.into();
        }
        archive.zip.write_all(&row)?;
    }
    Ok(())
}

struct Archive<W: Write + Seek> {
    zip: ZipWriter<W>,
}

impl<W: Write + Seek> Archive<W> {
    /// Begins an array; its numbers follow.
    fn begin(&mut self, name: &str, kind: &str, shape: &[usize]) -> Result<(), ExportError> {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
        self.zip.start_file(format!("{name}.npy"), options).map_err(std::io::Error::from)?;
        let sides: Vec<String> = shape.iter().map(|side| format!("{side},")).collect();
        let about = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}), }}", sides.join(" "));
        // With ten bytes before it and a line break, a multiple of 64.
        let length = (about.len() + 11).next_multiple_of(64) - 10;
        self.zip.write_all(b"\x93NUMPY\x01\x00")?;
        self.zip.write_all(&(length as u16).to_le_bytes())?;
        Ok(writeln!(self.zip, "{about:<width$}", width = length - 1)?)
    }

    fn floats(&mut self, name: &str, shape: &[usize], numbers: &[f64]) -> Result<(), ExportError> {
        self.begin(name, "<f8", shape)?;
        Ok(numbers.iter().try_for_each(|number| self.zip.write_all(&number.to_le_bytes()))?)
    }

    fn whole(&mut self, name: &str, numbers: &[i64]) -> Result<(), ExportError> {
        self.begin(name, "<i8", &[numbers.len()])?;
        Ok(numbers.iter().try_for_each(|number| self.zip.write_all(&number.to_le_bytes()))?)
    }

    /// Texts as NumPy has them: of one length, each character in four bytes. `count` is none for a single text.
    fn texts(&mut self, name: &str, count: Option<usize>, texts: &[&str]) -> Result<(), ExportError> {
        let length = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
        self.begin(name, &format!("<U{length}"), &count.into_iter().collect::<Vec<_>>())?;
        for text in texts {
            for code in text.chars().map(u32::from).chain(std::iter::repeat(0)).take(length) {
                self.zip.write_all(&code.to_le_bytes())?;
            }
        }
        Ok(())
    }
}
