//! What a page says in numbers and words: who was in view when, the curves of the joint angles, and what was done.

use serde::Serialize;

use super::embed::base64_numbers;
use super::{LONGEST, PageError, Subject};
use crate::control::Proceed;
use crate::export::{ANGLE_NAMES, Continuous, JointAngles, Selection};
use crate::job::{JobSettings, Report};
use crate::media;

/// Angles of a person in a frame.
const ANGLES: usize = ANGLE_NAMES.len();
/// Frames of which a curve has every value; of more it has the least and the greatest of every few.
const MOST_FRAMES: usize = 2000;
/// Most rows of which all people's curves have every value.
const MOST_ROWS: usize = 60_000;
/// With fewer poses a second, somebody may wonder.
const FEW_POSES: f64 = 20.0;
/// What stands for no angle. Others are in tenths of a degree.
const ABSENT: i16 = i16::MIN;

/// All of it.
#[derive(Serialize)]
pub struct Data {
    name: String,
    /// Names of source and result.
    source: String,
    result: String,
    width: u32,
    height: u32,
    frame_rate: f64,
    frames: usize,
    /// Seconds of the clip, and of what is shown of it.
    duration: f64,
    shown: f64,
    has_video: bool,
    /// Poses a second, on the whole.
    poses_rate: f64,
    /// Where up and the floor come from.
    up: &'static str,
    has_floor: bool,
    /// Frames to a value of a curve, and the times of these values (seconds, `f32` in base64).
    step: usize,
    times: String,
    angles: [&'static str; ANGLES],
    people: Vec<PersonData>,
    notes: Vec<String>,
    report: Report,
    settings: JobSettings,
    versions: Versions,
}

#[derive(Serialize)]
struct PersonData {
    id: u32,
    color: String,
    /// Seconds in view, times the height in the picture as a part of the picture's: who is meant first.
    prominence: f64,
    /// Seconds from and to which they are in view, and could be somebody else.
    seen: Vec<[f64; 2]>,
    uncertain: Vec<[f64; 2]>,
    /// The least and the greatest value of each angle over the clip, degrees.
    ranges: [Option<[f64; 2]>; ANGLES],
    /// The first value of the curves, of all in the clip.
    from: usize,
    /// For each value the angles in tenths of a degree (`i16` in base64), the least, and with steps of several frames then the greatest of each.
    values: String,
}

#[derive(Serialize)]
struct Versions {
    meshreel: &'static str,
    ffmpeg: String,
}

/// What the reader should know of the page itself.
pub struct Notes(Vec<String>);

impl Notes {
    /// Of a clip of which so many seconds are shown.
    pub fn new(duration: f64, shown: f64) -> Self {
        let mut notes = Self(Vec::new());
        if shown < duration {
            notes.0.push(format!(
                "The clip is {:.0} minutes long: video and bodies of the first {:.0} are in this page, the curves of all of it.",
                duration / 60.0,
                LONGEST / 60.0
            ));
        }
        notes
    }

    /// Why there is no video.
    pub fn without_video(&mut self, reason: String) {
        self.0.push(format!("There is no video in this page: {reason}."));
    }

    /// That the bodies move in so few poses a second.
    pub fn poses(&mut self, rate: f64) {
        if rate < FEW_POSES {
            self.0.push(format!("The bodies have {rate:.0} poses a second in this page; those between are blended."));
        }
    }
}

/// Values of a person's curves while they are collected.
struct Curves {
    step: usize,
    from: usize,
    /// The least and greatest of each angle in each step.
    values: Vec<[[f64; 2]; ANGLES]>,
    ranges: [Option<[f64; 2]>; ANGLES],
}

impl Curves {
    fn add(&mut self, frame: usize, angles: [f64; ANGLES]) {
        let at = frame / self.step;
        if self.values.is_empty() {
            self.from = at;
        }
        self.values.resize(at - self.from + 1, [[f64::NAN; 2]; ANGLES]);
        for (i, angle) in angles.into_iter().enumerate().filter(|(_, angle)| angle.is_finite()) {
            let value = &mut self.values[at - self.from][i];
            // A comparison with what is not there yet gives the angle.
            *value = [value[0].min(angle), value[1].max(angle)];
            let [least, greatest] = self.ranges[i].unwrap_or([angle; 2]);
            self.ranges[i] = Some([least.min(angle), greatest.max(angle)]);
        }
    }

    fn encoded(&self) -> String {
        let tenths = |angle: f64| if angle.is_nan() { ABSENT } else { ((angle * 10.0).round() as i16).max(ABSENT + 1) };
        let ends = if self.step > 1 { 2 } else { 1 };
        let numbers = self.values.iter().flat_map(move |value| {
            (0..ends).flat_map(move |end| value.iter().map(move |ends| tenths(ends[end]).to_le_bytes()))
        });
        base64_numbers(numbers)
    }
}

/// Collects the data of a page.
pub fn collect(
    subject: &Subject<'_>,
    selection: &Selection<'_>,
    [duration, shown]: [f64; 2],
    poses_rate: f64,
    has_video: bool,
    notes: Notes,
    proceed: Proceed<'_>,
) -> Result<Data, PageError> {
    let clip = selection.clip;
    let (video, axes) = (&clip.header.video, &selection.axes);
    let frames = clip.times.len();
    let rows: usize = selection.people.iter().map(|person| person.rows.len()).sum();
    let step = match frames <= MOST_FRAMES && rows <= MOST_ROWS {
        true => 1,
        // Two values a step.
        false => (2 * frames).div_ceil(MOST_FRAMES).max((2 * rows).div_ceil(MOST_ROWS)),
    };
    let times = clip.times.iter().step_by(step).map(|&time| (time as f32).to_le_bytes());
    let people = 0..selection.people.len();
    let people = people.map(|person| of_person(selection, person, step, proceed)).collect::<Result<_, _>>()?;
    Ok(Data {
        name: subject.name.to_owned(),
        source: file_name(&subject.report.source),
        result: file_name(&subject.report.output),
        width: video.width,
        height: video.height,
        frame_rate: video.fps,
        frames,
        duration,
        shown,
        has_video,
        poses_rate,
        up: axes.source_name(),
        has_floor: axes.frame_name() == "world" && axes.world.floor.is_some(),
        step,
        times: base64_numbers(times),
        angles: ANGLE_NAMES,
        people,
        notes: notes.0,
        // Where files lie here is nobody's business whom the page is sent to.
        report: Report {
            source: file_name(&subject.report.source),
            output: file_name(&subject.report.output),
            ..subject.report.clone()
        },
        settings: subject.settings.clone(),
        versions: Versions { meshreel: env!("CARGO_PKG_VERSION"), ffmpeg: media::version() },
    })
}

fn of_person(
    selection: &Selection<'_>,
    person: usize,
    step: usize,
    proceed: Proceed<'_>,
) -> Result<PersonData, PageError> {
    let (who, clip) = (&selection.people[person], selection.clip);
    let angles = JointAngles::new(&selection.names);
    let mut continuous = Continuous::default();
    let mut curves = Curves { step, from: 0, values: Vec::new(), ranges: [None; ANGLES] };
    let mut heights = 0.0;
    let (mut seen, mut uncertain) = (Spans::default(), Spans::default());
    for row in 0..who.rows.len() {
        proceed()?;
        let frame = selection.frame_of(person, row);
        let sample = selection.sample(person, row)?;
        heights += sample.bounds[3];
        curves.add(frame, continuous.next(frame, angles.of(&sample, glam::DVec3::Y)));
        seen.add(frame);
        if sample.uncertain {
            uncertain.add(frame);
        }
    }
    let video = &clip.header.video;
    let end = |frame: usize| clip.times[frame] + 1.0 / video.fps;
    let seconds = |spans: Spans| {
        let span = |[from, to]: [usize; 2]| [clip.times[from], end(to)].map(|time| (time * 1000.0).round() / 1000.0);
        spans.0.into_iter().map(span).collect()
    };
    let [r, g, b] = who.info.color.map(|part| (part.clamp(0.0, 1.0) * 255.0).round() as u8);
    let values = curves.encoded();
    Ok(PersonData {
        id: who.info.id,
        color: format!("#{r:02x}{g:02x}{b:02x}"),
        prominence: heights / f64::from(video.height) / video.fps,
        seen: seconds(seen),
        uncertain: seconds(uncertain),
        ranges: curves.ranges,
        from: curves.from,
        values,
    })
}

/// Frames one after the other, as the first and the last of them.
#[derive(Default)]
struct Spans(Vec<[usize; 2]>);

impl Spans {
    fn add(&mut self, frame: usize) {
        match self.0.last_mut() {
            Some([_, last]) if *last + 1 == frame => *last = frame,
            _ => self.0.push([frame; 2]),
        }
    }
}

fn file_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_keeps_its_peaks() {
        for step in [1, 4] {
            let mut curves = Curves { step, from: 0, values: Vec::new(), ranges: [None; ANGLES] };
            // Somebody comes at frame 9, is away from 20 to 29, and bends a knee at 13 for one frame.
            for frame in (9..20).chain(30..40) {
                let mut angles = [f64::NAN; ANGLES];
                angles[2] = if frame == 13 { 90.04 } else { -1.0 };
                curves.add(frame, angles);
            }
            assert_eq!(curves.from, 9 / step);
            assert_eq!(curves.values.len(), 39 / step - 9 / step + 1);
            assert_eq!((curves.ranges[2], curves.ranges[0]), (Some([-1.0, 90.04]), None));
            let at = |frame: usize| curves.values[frame / step - curves.from][2];
            assert_eq!(at(13)[1], 90.04);
            assert!(at(25)[0].is_nan());
        }
        let one = Curves { step: 2, from: 0, values: vec![[[f64::NAN; 2]; ANGLES]], ranges: [None; ANGLES] };
        assert_eq!(one.encoded(), base64_numbers([ABSENT; 2 * ANGLES].into_iter().map(i16::to_le_bytes)));
    }
}
