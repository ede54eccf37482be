//! Tables for spreadsheets and statistics: comma-separated, UTF-8, a decimal point. The first line is a comment that says which axes points are in.
//!
//! `NAME.csv` has a row for each point of each person in each frame; `NAME.wide.csv` one for each person and frame, with the joint angles. Who is
//! not seen has no row. A cell is empty where something is not defined.

use std::fs::File;
use std::io::{BufWriter, Write};

use glam::DVec3;

use super::angles::{Continuous, JointAngles, NAMES};
use super::error::ExportError;
use super::output::Output;
use super::selection::{Frame, Selection};
use crate::text::printable;

/// Writes `NAME.csv` and `NAME.wide.csv`.
pub fn write(selection: &Selection<'_>, output: &mut Output<'_>) -> Result<(), ExportError> {
    output.file("csv", |output, out| tidy(selection, output, out))?;
    output.file("wide.csv", |output, out| wide(selection, output, out))
}

fn comment(selection: &Selection<'_>, out: &mut BufWriter<File>) -> Result<(), ExportError> {
    let axes = &selection.axes;
    let frame = match axes.frame {
        Frame::World => "world: y up and the floor at 0",
        Frame::Camera => "camera: y up in the picture and z towards the camera",
    };
    write!(out, "# meshreel; metres; frame {frame}; up from {}", axes.source_name())?;
    if let Some(sigma) = axes.world.sigma_deg {
        write!(out, " +- {sigma:.1} degrees")?;
    }
    let body = &selection.clip.header.body;
    writeln!(out, "; body {} ({})", printable(&body.name), printable(&body.licence))?;
    Ok(())
}

fn tidy(selection: &Selection<'_>, output: &Output<'_>, out: &mut BufWriter<File>) -> Result<(), ExportError> {
    comment(selection, out)?;
    writeln!(out, "frame,time,id,joint,x,y,z,px,py,confidence")?;
    for frame in 0..selection.clip.times.len() {
        output.proceed()?;
        for (person, at) in selection.in_frame(frame) {
            let sample = selection.sample(person, at)?;
            let (id, time) = (selection.people[person].info.id, sample.time);
            for ((name, p), [px, py, confidence]) in selection.names.iter().zip(&sample.points).zip(&sample.pixels) {
                let DVec3 { x, y, z } = p;
                let name = plain(name);
                writeln!(out, "{frame},{time:.6},{id},{name},{x:.5},{y:.5},{z:.5},{px:.2},{py:.2},{confidence:.3}")?;
            }
        }
    }
    Ok(())
}

fn wide(selection: &Selection<'_>, output: &Output<'_>, out: &mut BufWriter<File>) -> Result<(), ExportError> {
    comment(selection, out)?;
    write!(out, "frame,time,id,score,uncertain,root_x,root_y,root_z")?;
    for name in &selection.names {
        let name = plain(name);
        write!(out, ",{name}_x,{name}_y,{name}_z,{name}_px,{name}_py,{name}_confidence")?;
    }
    writeln!(out, ",{}", NAMES.join(","))?;
    let angles = JointAngles::new(&selection.names);
    let mut continuous = vec![Continuous::default(); selection.people.len()];
    for frame in 0..selection.clip.times.len() {
        output.proceed()?;
        for (person, at) in selection.in_frame(frame) {
            let sample = selection.sample(person, at)?;
            let (id, DVec3 { x, y, z }) = (selection.people[person].info.id, sample.root);
            let (score, uncertain) = (sample.score, u8::from(sample.uncertain));
            write!(out, "{frame},{:.6},{id},{score:.3},{uncertain},{x:.5},{y:.5},{z:.5}", sample.time)?;
            for (DVec3 { x, y, z }, [px, py, confidence]) in sample.points.iter().zip(&sample.pixels) {
                write!(out, ",{x:.5},{y:.5},{z:.5},{px:.2},{py:.2},{confidence:.3}")?;
            }
            for angle in continuous[person].next(frame, angles.of(&sample, DVec3::Y)) {
                match angle.is_nan() {
                    true => write!(out, ",")?,
                    false => write!(out, ",{angle:.3}")?,
                }
            }
            writeln!(out)?;
        }
    }
    Ok(())
}

/// A name without what ends a cell or a line.
pub(super) fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_control() || matches!(c, ',' | '"' | ';') { '_' } else { c }).collect()
}
