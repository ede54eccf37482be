//! C3D (Motion Lab Systems, *The C3D File Format*): marker positions in millimetres as numbers with a point, a file a person.
//!
//! Blocks of 512 bytes: a header, parameters, then four numbers for each point and frame: x, y, z, and the residual, which is -1 where the point
//! was not seen. Frames are counted from 1; a file begins with the first frame of the person.

use std::fs::File;
use std::io::{BufWriter, Write};

use super::Options;
use super::error::ExportError;
use super::names::markers;
use super::output::Output;
use super::selection::Selection;
use super::steady::{Steady, Timeline};

const BLOCK: usize = 512;
/// The largest number of frames that the header can say.
const LONGEST: usize = 65_535;
/// Marks the byte order of Intel's processors.
const INTEL: u8 = 84;
/// Millimetres in a metre.
const MILLIMETRES: f64 = 1000.0;

/// What a parameter holds.
enum Value<'a> {
    /// Texts of one length.
    Texts(&'a [String]),
    Text(&'a str),
    Whole(&'a [u16]),
    Number(f32),
}

/// Parameters while they are put together.
#[derive(Default)]
struct Parameters(Vec<u8>);

impl Parameters {
    fn group(&mut self, id: u8, name: &str) {
        self.0.push(name.len() as u8);
        self.0.push(id.wrapping_neg());
        self.0.extend(name.bytes());
        // To the next record from here on: this number, and the length of no description.
        self.0.extend(3_u16.to_le_bytes());
        self.0.push(0);
    }

    fn add(&mut self, group: u8, name: &str, value: &Value<'_>) {
        let mut data = Vec::new();
        let (kind, dimensions): (i8, Vec<u8>) = match value {
            Value::Texts(texts) => {
                let length = texts.iter().map(|text| text.len()).max().unwrap_or(0);
                texts.iter().for_each(|text| data.extend(format!("{text:length$}").bytes()));
                (-1, vec![length as u8, texts.len() as u8])
            }
            Value::Text(text) => {
                data.extend(text.bytes().take(127));
                (-1, vec![data.len() as u8])
            }
            Value::Whole(numbers) => {
                numbers.iter().for_each(|number| data.extend(number.to_le_bytes()));
                (2, if numbers.len() == 1 { Vec::new() } else { vec![numbers.len() as u8] })
            }
            Value::Number(number) => {
                data.extend(number.to_le_bytes());
                (4, Vec::new())
            }
        };
        self.0.push(name.len() as u8);
        self.0.push(group);
        self.0.extend(name.bytes());
        let length = 2 + 2 + dimensions.len() + data.len() + 1;
        self.0.extend((length as u16).to_le_bytes());
        self.0.push(kind.to_le_bytes()[0]);
        self.0.push(dimensions.len() as u8);
        self.0.extend(dimensions);
        self.0.extend(data);
        self.0.push(0);
    }
}

/// Writes `NAME.pID.c3d` for each person.
pub fn write(selection: &Selection<'_>, options: &Options, output: &mut Output<'_>) -> Result<(), ExportError> {
    let markers = markers(selection, options.markers);
    let timeline = Timeline::of(selection, "c3d", markers.len() * 16, false)?;
    let names: Vec<String> = markers.iter().map(|marker| marker.name.clone()).collect();
    for (index, person) in selection.people.iter().enumerate() {
        let steady = Steady::new(selection, timeline, index);
        let range = steady.range();
        output.file(&format!("p{}.c3d", person.info.id), |output, out| {
            head(out, selection, &names, timeline.rate, range)?;
            for frame in steady {
                output.proceed()?;
                let sample = frame?.1;
                for marker in &markers {
                    let point = sample.as_ref().and_then(|sample| marker.point(sample));
                    let numbers = match point {
                        Some(p) => [p.x * MILLIMETRES, p.y * MILLIMETRES, p.z * MILLIMETRES, 0.0],
                        None => [0.0, 0.0, 0.0, -1.0],
                    };
                    for number in numbers {
                        out.write_all(&(number as f32).to_le_bytes())?;
                    }
                }
            }
            // The last block is whole.
            let bytes = markers.len() * 16 * Steady::new(selection, timeline, index).range().len();
            Ok(out.write_all(&vec![0; bytes.next_multiple_of(BLOCK) - bytes])?)
        })?;
    }
    Ok(())
}

fn head(
    out: &mut BufWriter<File>,
    selection: &Selection<'_>,
    names: &[String],
    rate: f64,
    range: std::ops::Range<usize>,
) -> Result<(), ExportError> {
    let axes = &selection.axes;
    let short = |number: usize| number.min(LONGEST) as u16;
    let halves = |number: usize| [number as u16, (number >> 16) as u16];
    let parameters = |data_start: u16| {
        let mut all = Parameters::default();
        all.group(1, "POINT");
        all.add(1, "USED", &Value::Whole(&[names.len() as u16]));
        all.add(1, "SCALE", &Value::Number(-1.0));
        all.add(1, "RATE", &Value::Number(rate as f32));
        all.add(1, "DATA_START", &Value::Whole(&[data_start]));
        all.add(1, "FRAMES", &Value::Whole(&[short(range.len())]));
        all.add(1, "UNITS", &Value::Text("mm"));
        all.add(1, "LABELS", &Value::Texts(names));
        all.add(1, "DESCRIPTIONS", &Value::Texts(names));
        all.add(1, "X_SCREEN", &Value::Text("+X"));
        all.add(1, "Y_SCREEN", &Value::Text("+Y"));
        all.group(2, "ANALOG");
        all.add(2, "USED", &Value::Whole(&[0]));
        all.add(2, "RATE", &Value::Number(0.0));
        all.add(2, "GEN_SCALE", &Value::Number(1.0));
        all.group(3, "TRIAL");
        all.add(3, "ACTUAL_START_FIELD", &Value::Whole(&halves(range.start + 1)));
        all.add(3, "ACTUAL_END_FIELD", &Value::Whole(&halves(range.end)));
        all.add(3, "CAMERA_RATE", &Value::Number(rate as f32));
        all.group(4, "MANUFACTURER");
        all.add(4, "COMPANY", &Value::Text("meshreel"));
        all.add(4, "SOFTWARE", &Value::Text(concat!("meshreel ", env!("CARGO_PKG_VERSION"))));
        all.group(5, "MESHREEL");
        all.add(5, "FRAME", &Value::Text(axes.frame_name()));
        all.add(5, "UP_SOURCE", &Value::Text(axes.source_name()));
        all.add(5, "UP_SIGMA", &Value::Number(axes.world.sigma_deg.map_or(f32::NAN, |sigma| sigma as f32)));
        all.0
    };
    // Their length does not depend on where the data begins; two bytes end them.
    let blocks = (4 + parameters(0).len() + 2).div_ceil(BLOCK);
    let data_start = 2 + blocks;

    let mut header = vec![0u8; BLOCK];
    header[..2].copy_from_slice(&[2, 0x50]);
    let mut word = |at: usize, bytes: &[u8]| header[2 * (at - 1)..][..bytes.len()].copy_from_slice(bytes);
    word(2, &(names.len() as u16).to_le_bytes());
    word(4, &short(range.start + 1).to_le_bytes());
    word(5, &short(range.end).to_le_bytes());
    word(7, &(-1.0_f32).to_le_bytes());
    word(9, &(data_start as u16).to_le_bytes());
    word(11, &(rate as f32).to_le_bytes());
    out.write_all(&header)?;

    let mut section = vec![1, 0x50, blocks as u8, INTEL];
    section.extend(parameters(data_start as u16));
    section.resize(blocks * BLOCK, 0);
    Ok(out.write_all(&section)?)
}
