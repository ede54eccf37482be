//! Motion at a constant frame rate, for formats that know no time stamps.
//!
//! Where every frame is within half a frame of where a constant rate has it, frames are taken as they are. Else positions are mixed linearly
//! and rotations by the shortest way (slerp) between neighbouring frames of the video, but never across a frame in which somebody is absent.

use super::error::ExportError;
use super::selection::{Sample, Selection};

/// What rounding may make of equal times, in frames.
const EQUAL: f64 = 1e-3;
/// A clip may become so many times longer by a constant rate, and so many frames more.
const LONGER: usize = 16;
const MORE: usize = 10_000;

/// Frames at a constant rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timeline {
    /// Frames a second.
    pub rate: f64,
    /// How many there are.
    pub frames: usize,
    /// Whether they are those of the clip.
    pub is_direct: bool,
}

impl Timeline {
    /// For frames at these times (seconds since the first), at their average rate.
    pub fn new(times: &[f64], rate: f64) -> Self {
        let is_direct = times.iter().zip(0u32..).all(|(time, i)| (time * rate - f64::from(i)).abs() <= 0.5);
        let frames = match times.last() {
            Some(last) if !is_direct => (last * rate + EQUAL).floor() as usize + 1,
            _ => times.len(),
        };
        Self { rate, frames, is_direct }
    }

    /// Of a selection's clip, for files of `format` with so many bytes for each frame of a person, whether they are seen in it or not. `is_full`:
    /// also before they come and after they have gone.
    pub fn of(
        selection: &Selection<'_>,
        format: &'static str,
        row_bytes: usize,
        is_full: bool,
    ) -> Result<Self, ExportError> {
        let clip = selection.clip;
        let timeline = Self::new(&clip.times, clip.header.video.fps);
        let (there, made) = (clip.times.len(), timeline.frames);
        if made > there.saturating_mul(LONGER).saturating_add(MORE) {
            return Err(ExportError::TooLarge {
                format,
                what: format!(
                    "a clip whose {there} frames are so uneven that they would become {made} at its {} frames a second",
                    timeline.rate
                ),
                instead: "take glb, npz or csv, which keep the time of each frame",
            });
        }
        let rows = |person| if is_full { made } else { Steady::new(selection, timeline, person).range().len() };
        selection.check_room(format, (0..selection.people.len()).map(rows).sum(), row_bytes)?;
        Ok(timeline)
    }

    /// Seconds since the first frame.
    pub fn time(&self, frame: usize) -> f64 {
        frame as f64 / self.rate
    }
}

/// A person's samples, frame after frame of a timeline, from the first to the last in which they are seen.
pub struct Steady<'s, 'a> {
    selection: &'s Selection<'a>,
    timeline: Timeline,
    person: usize,
    next: usize,
    end: usize,
    /// The rows before and after the next frame that were read, by their places among the person's.
    read: [Option<(usize, Sample)>; 2],
    row: usize,
}

impl<'s, 'a> Steady<'s, 'a> {
    /// Of a person of the selection.
    pub fn new(selection: &'s Selection<'a>, timeline: Timeline, person: usize) -> Self {
        let rows = selection.people[person].rows.len();
        let at = |row: usize| Self::place(selection, timeline, person, row);
        let (first, last) = match rows {
            0 => (0.0, -1.0),
            _ => ((at(0) - 0.5 - EQUAL).ceil(), (at(rows - 1) + 0.5 + EQUAL).floor()),
        };
        let end = ((last + 1.0).max(0.0) as usize).min(timeline.frames.max(1));
        let next = (first.max(0.0) as usize).min(end.saturating_sub(1));
        Self { selection, timeline, person, next, end, read: [None, None], row: 0 }
    }

    /// The frames with the person: from the first to one past the last.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.next..self.end
    }

    /// Where a row is, in frames of the timeline.
    fn place(selection: &Selection<'_>, timeline: Timeline, person: usize, row: usize) -> f64 {
        let frame = selection.frame_of(person, row);
        match timeline.is_direct {
            true => frame as f64,
            false => selection.clip.times[frame] * timeline.rate,
        }
    }

    fn sample(&mut self, row: usize) -> Result<Sample, ExportError> {
        if let Some((_, sample)) = self.read.iter().flatten().find(|(read, _)| *read == row) {
            return Ok(sample.clone());
        }
        let sample = self.selection.sample(self.person, row)?;
        self.read.swap(0, 1);
        self.read[1] = Some((row, sample.clone()));
        Ok(sample)
    }

    /// The sample at a frame of the timeline; `None` where the person is not seen.
    fn at(&mut self, frame: usize) -> Result<Option<Sample>, ExportError> {
        let rows = self.selection.people[self.person].rows.len();
        let place = |row: usize| Self::place(self.selection, self.timeline, self.person, row);
        let here = frame as f64;
        // The last row that is not after the frame.
        while self.row + 1 < rows && place(self.row + 1) <= here + EQUAL {
            self.row += 1;
        }
        let row = self.row;
        let before = place(row);
        if (before - here).abs() <= EQUAL {
            return self.sample(row).map(Some);
        }
        if self.timeline.is_direct {
            return Ok(None);
        }
        let frame_of = |row: usize| self.selection.frame_of(self.person, row);
        if row + 1 < rows && before < here {
            let after = place(row + 1);
            if frame_of(row + 1) == frame_of(row) + 1 {
                let (a, b) = (self.sample(row)?, self.sample(row + 1)?);
                return Ok(Some(a.mixed(&b, (here - before) / (after - before))));
            }
            if after - here <= 0.5 + EQUAL {
                return self.sample(row + 1).map(Some);
            }
        }
        match (before - here).abs() <= 0.5 + EQUAL {
            true => self.sample(row).map(Some),
            false => Ok(None),
        }
    }
}

impl Iterator for Steady<'_, '_> {
    type Item = Result<(usize, Option<Sample>), ExportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let frame = self.next;
        self.next += 1;
        Some(self.at(frame).map(|sample| (frame, sample)))
    }
}

impl Sample {
    /// Between two samples: this one at 0, the other at 1.
    fn mixed(&self, other: &Self, share: f64) -> Self {
        let mix = |a: f64, b: f64| a + (b - a) * share;
        let pixel = |a: &[f64; 3], b: &[f64; 3]| std::array::from_fn(|i| mix(a[i], b[i]));
        Self {
            time: mix(self.time, other.time),
            bounds: std::array::from_fn(|i| mix(self.bounds[i], other.bounds[i])),
            score: mix(self.score, other.score),
            uncertain: self.uncertain || other.uncertain,
            hands: std::array::from_fn(|i| mix(self.hands[i], other.hands[i])),
            shift: mix(self.shift, other.shift),
            points: self.points.iter().zip(&other.points).map(|(a, b)| a.lerp(*b, share)).collect(),
            pixels: self.pixels.iter().zip(&other.pixels).map(|(a, b)| pixel(a, b)).collect(),
            head_top: (self.head_top.0.lerp(other.head_top.0, share), pixel(&self.head_top.1, &other.head_top.1)),
            root: self.root.lerp(other.root, share),
            rotations: self.rotations.iter().zip(&other.rotations).map(|(a, b)| a.slerp(*b, share)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_times_that_are_off_by_half_a_frame_are_resampled() {
        let rate = 30_000.0 / 1001.0;
        let steady: Vec<f64> = (0..100).map(|i| (f64::from(i) / rate * 1e3).round() / 1e3).collect();
        assert_eq!(Timeline::new(&steady, rate), Timeline { rate, frames: 100, is_direct: true });
        let late: Vec<f64> = steady.iter().map(|time| if *time > 1.0 { time + 0.5 } else { *time }).collect();
        let timeline = Timeline::new(&late, rate);
        assert!(!timeline.is_direct && timeline.frames == ((steady[99] + 0.5) * rate) as usize + 1, "{timeline:?}");
        assert_eq!(Timeline::new(&[], 25.0).frames, 0);
        // The largest that a motion file can have.
        assert_eq!(Timeline::new(&[0.0, 1e9], 1e4).frames, 10_000_000_000_001);
    }
}
