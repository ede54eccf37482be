//! TRC (Motion Analysis' track row column): marker positions in metres, a file a person, as OpenSim and Pose2Sim read it.
//!
//! Cells are separated by tabs. Who is not seen has `nan` in every cell: OpenSim refuses a row that ends with blanks.

use std::io::Write;

use super::Options;
use super::error::ExportError;
use super::names::markers;
use super::output::Output;
use super::selection::Selection;
use super::steady::{Steady, Timeline};

/// Writes `NAME.pID.trc` for each person.
pub fn write(selection: &Selection<'_>, options: &Options, output: &mut Output<'_>) -> Result<(), ExportError> {
    let markers = markers(selection, options.markers);
    let timeline = Timeline::of(selection, "trc", markers.len() * 30, false)?;
    for (index, person) in selection.people.iter().enumerate() {
        let ending = format!("p{}.trc", person.info.id);
        let steady = Steady::new(selection, timeline, index);
        let range = steady.range();
        output.file(&ending, |output, out| {
            let name = format!("{}.{ending}", super::csv::plain(&output.stem()));
            writeln!(out, "PathFileType\t4\t(X/Y/Z)\t{name}")?;
            writeln!(
                out,
                "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames"
            )?;
            let (rate, frames) = (timeline.rate, range.len());
            writeln!(
                out,
                "{rate:.6}\t{rate:.6}\t{frames}\t{}\tm\t{rate:.6}\t{}\t{frames}",
                markers.len(),
                range.start
            )?;
            let names: Vec<String> = markers.iter().map(|marker| format!("{}\t\t", marker.name)).collect();
            writeln!(out, "Frame#\tTime\t{}", names.join("\t"))?;
            let axes: Vec<String> = (1..=markers.len()).map(|n| format!("X{n}\tY{n}\tZ{n}")).collect();
            writeln!(out, "\t\t{}\n", axes.join("\t"))?;
            for frame in steady {
                output.proceed()?;
                let (frame, sample) = frame?;
                write!(out, "{frame}\t{:.6}", timeline.time(frame))?;
                for marker in &markers {
                    match sample.as_ref().and_then(|sample| marker.point(sample)) {
                        Some(p) => write!(out, "\t{:.6}\t{:.6}\t{:.6}", p.x, p.y, p.z)?,
                        None => write!(out, "\tnan\tnan\tnan")?,
                    }
                }
                writeln!(out)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}
