//! MOT (OpenSim's motion): joint angles in degrees over time, two files a person. `NAME.pID.mot` has angles in space ([`super::angles`]),
//! `NAME.pID.angles2d.mot` those in the picture ([`super::image_angles`]).
//!
//! Frames in which the person is not seen have no row: OpenSim reads times as they are, but its older readers end at the first `nan`.

use std::fs::File;
use std::io::{BufWriter, Write};

use glam::DVec3;

use super::angles::{Continuous, JointAngles, NAMES};
use super::error::ExportError;
use super::image_angles::ImageAngles;
use super::output::Output;
use super::selection::Selection;
use super::steady::{Steady, Timeline};
use super::{Facing, Options};

/// Writes both files for each person.
pub fn write(selection: &Selection<'_>, options: &Options, output: &mut Output<'_>) -> Result<(), ExportError> {
    // Frames without the person take no room.
    let timeline = Timeline::of(selection, "mot", 0, false)?;
    let in_space = JointAngles::new(&selection.names);
    let in_picture = ImageAngles::new(selection);
    for (index, person) in selection.people.iter().enumerate() {
        let id = person.info.id;
        let mut rows = 0;
        let mut faces = 0.0;
        for frame in Steady::new(selection, timeline, index) {
            output.proceed()?;
            if let Some(sample) = frame?.1 {
                rows += 1;
                faces += in_picture.facing(&sample);
            }
        }
        output.file(&format!("p{id}.mot"), |output, out| {
            head(out, selection, rows, NAMES.into_iter())?;
            let mut continuous = Continuous::default();
            for frame in Steady::new(selection, timeline, index) {
                output.proceed()?;
                let (frame, sample) = frame?;
                if let Some(sample) = sample {
                    let angles = continuous.next(frame, in_space.of(&sample, DVec3::Y));
                    row(out, timeline.time(frame), angles.into_iter())?;
                }
            }
            Ok(())
        })?;
        output.file(&format!("p{id}.angles2d.mot"), |output, out| {
            head(out, selection, rows, in_picture.names())?;
            for frame in Steady::new(selection, timeline, index) {
                output.proceed()?;
                let (frame, sample) = frame?;
                if let Some(sample) = sample {
                    let is_left = match options.facing {
                        Facing::Clip => faces < 0.0,
                        Facing::Frame => in_picture.facing(&sample) < 0.0,
                    };
                    row(out, timeline.time(frame), in_picture.of(&sample, is_left))?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn head<'n>(
    out: &mut BufWriter<File>,
    selection: &Selection<'_>,
    rows: usize,
    names: impl Iterator<Item = &'n str>,
) -> Result<(), ExportError> {
    let names: Vec<&str> = names.collect();
    writeln!(out, "Coordinates\nversion=1\nnRows={rows}\nnColumns={}\ninDegrees=yes", names.len() + 1)?;
    writeln!(out, "frame={}\nup_source={}", selection.axes.frame_name(), selection.axes.source_name())?;
    Ok(writeln!(out, "\nendheader\ntime\t{}", names.join("\t"))?)
}

fn row(out: &mut BufWriter<File>, time: f64, angles: impl Iterator<Item = f64>) -> Result<(), ExportError> {
    write!(out, "{time:.6}")?;
    for angle in angles {
        match angle.is_nan() {
            true => write!(out, "\tnan")?,
            false => write!(out, "\t{angle:.5}")?,
        }
    }
    Ok(writeln!(out)?)
}
