//! People who come so close to each other that one may have been taken for the other. Where their clothes say so they are exchanged back,
//! and where those cannot tell they are marked uncertain.

use std::collections::btree_map::Range;
use std::iter::Peekable;
use std::ops::{self, RangeInclusive};

use super::TrackletObservation;
use super::link::{Person, appearance_of, landmarks};
use super::presence::{Presence, span};
use super::similarity::size_difference;
use crate::control::{Proceed, Stopped};
use crate::pose::{AppearanceHistogram, RotatedRegion};

/// Distance of their hips, over the smaller region's side, within which two people meet.
const MEETING: f64 = 0.16;
/// The same while one of them is not observed: somebody who is hidden may come out anywhere near.
const MEETING_HIDDEN: f64 = 2.0 * MEETING;
/// Difference in size, |ln| of the ratio of the regions' sides (a factor of 1.65), beyond which two people are too unlike to be exchanged.
const MAX_SIZE: f64 = 0.5;
/// How much better one pairing of appearances must be than the other to be believed: sum of two differences, 0..=2.
const CLEAR: f64 = 0.12;
/// Observations that it takes to know somebody's appearance before or after a meeting.
const ENOUGH: usize = 3;

/// First and last frame of a stretch.
pub(super) type Stretch = [u64; 2];

/// The stretches in which two people are too close to be told apart by their places. In a frame in which only one of them is observed the
/// other counts as where they were last, for up to `gap` frames. Stretches less than half of that apart are one.
fn meetings(a: &Person, b: &Person, gap: u64) -> Vec<Stretch> {
    let (Some(ends_a), Some(ends_b)) = (span(a), span(b)) else { return Vec::new() };
    // Frames in which each of them is there or was a moment ago.
    let frames = *ends_a.start().max(ends_b.start())..=ends_a.end().min(ends_b.end()).saturating_add(gap);
    if frames.is_empty() {
        return Vec::new();
    }
    let mut walks = [a, b].map(|person| Walk::new(person, &frames));
    let mut stretches: Vec<Stretch> = Vec::new();
    while let Some(frame) = walks.iter_mut().filter_map(Walk::next_frame).min() {
        let [Some((ra, seen_a)), Some((rb, seen_b))] = walks.each_mut().map(|walk| walk.place(frame, gap)) else {
            continue;
        };
        let reach = if seen_a && seen_b { MEETING } else { MEETING_HIDDEN };
        if ra.center.distance(rb.center) > reach * ra.side.min(rb.side) || size_difference(&ra, &rb) > MAX_SIZE {
            continue;
        }
        match stretches.last_mut() {
            Some(stretch) if frame - stretch[1] <= gap / 2 => stretch[1] = frame,
            _ => stretches.push([frame; 2]),
        }
    }
    stretches
}

/// Goes through the observations of one person, frame by frame.
struct Walk<'a> {
    ahead: Peekable<Range<'a, u64, Box<TrackletObservation>>>,
    /// Frame and region of the last observation so far.
    last: Option<(u64, RotatedRegion)>,
}

impl<'a> Walk<'a> {
    fn new(person: &'a Person, frames: &RangeInclusive<u64>) -> Self {
        let last = person.range(..*frames.start()).next_back().map(|(&frame, seen)| (frame, landmarks(seen).region()));
        Self { ahead: person.range(frames.clone()).peekable(), last }
    }

    /// The next frame with an observation.
    fn next_frame(&mut self) -> Option<u64> {
        self.ahead.peek().map(|(frame, _)| **frame)
    }

    /// Where the person is in a frame, and whether they are observed in it; `None` if they were not observed for more than `gap` frames. The
    /// frame is not before that of the last call and not after that of the next observation.
    fn place(&mut self, frame: u64, gap: u64) -> Option<(RotatedRegion, bool)> {
        if let Some((&frame, seen)) = self.ahead.next_if(|(next, _)| **next == frame) {
            self.last = Some((frame, landmarks(seen).region()));
        }
        let (last, region) = self.last?;
        (frame - last <= gap).then_some((region, last == frame))
    }
}

/// The appearance of two people before and after they met; `None` where there is too little of them.
struct Appearances {
    before: [Option<AppearanceHistogram>; 2],
    after: [Option<AppearanceHistogram>; 2],
}

/// What can be said of two people who met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Each is who they were.
    Kept,
    /// Each goes on as the other.
    Exchanged,
    /// Either is possible.
    Uncertain,
}

impl Appearances {
    /// In the `gap` frames before and after a meeting.
    fn of(people: [&Person; 2], [first, last]: Stretch, gap: u64) -> Self {
        let mean = |person: &Person, frames: ops::Range<u64>| {
            let range = person.range(frames);
            let looks = range.clone().filter(|(_, one)| !one.is_interpolated).count();
            (looks >= ENOUGH).then(|| appearance_of(range.map(|(_, one)| one)))
        };
        Self {
            before: people.map(|person| mean(person, first.saturating_sub(gap)..first)),
            after: people.map(|person| mean(person, last + 1..last + gap + 1)),
        }
    }

    fn verdict(&self) -> Verdict {
        let Self { before: [Some(a0), Some(b0)], after: [Some(a1), Some(b1)] } = self else {
            // One was not there before or after: nobody to be exchanged with, unless one took the place of the other, who looked alike.
            let [Some(a), Some(b)] = &self.before else { return Verdict::Kept };
            return if a.distance(b) < CLEAR { Verdict::Uncertain } else { Verdict::Kept };
        };
        let kept = a0.distance(a1) + b0.distance(b1);
        let exchanged = a0.distance(b1) + b0.distance(a1);
        if exchanged + CLEAR < kept {
            Verdict::Exchanged
        } else if kept + CLEAR > exchanged {
            Verdict::Uncertain
        } else {
            Verdict::Kept
        }
    }
}

/// Checks two people wherever they met.
fn check_pair(people: &mut [Person], [i, j]: [usize; 2], gap: u64, uncertain: &mut [Vec<Stretch>]) {
    for meeting in meetings(&people[i], &people[j], gap) {
        match Appearances::of([&people[i], &people[j]], meeting, gap).verdict() {
            Verdict::Kept => {}
            Verdict::Uncertain => [i, j].into_iter().for_each(|person| uncertain[person].push(meeting)),
            Verdict::Exchanged => {
                let [_, last] = meeting;
                let [tail_i, tail_j] = [i, j].map(|person| people[person].split_off(&(last + 1)));
                people[i].extend(tail_j);
                people[j].extend(tail_i);
            }
        }
    }
}

/// Checks everybody who met, and exchanges back those who were clearly exchanged, from the end of the meeting on. `gap`: frames of the
/// longest gap in a person. Gives for each person the stretches in which they may have been exchanged, and how many pairs of people were
/// compared: those who are there at about the same time.
///
/// # Errors
/// [`Stopped`] when `proceed`, which is called for each pair, says so.
pub(super) fn check_meetings(
    people: &mut [Person],
    gap: u64,
    proceed: Proceed<'_>,
) -> Result<(Vec<Vec<Stretch>>, usize), Stopped> {
    let mut uncertain = vec![Vec::new(); people.len()];
    // For a while after they were last observed people still meet others.
    let reach = |person: &Person| span(person).map(|span| *span.start()..=span.end().saturating_add(gap));
    let mut presence = Presence::new(people.iter().map(reach), gap);
    let others = |presence: &Presence, person: &Person, among: ops::Range<usize>| {
        reach(person).map_or_else(Vec::new, |reach| presence.others(reach, among)).into_iter()
    };
    let mut compared = 0;
    for j in 0..people.len() {
        let mut left = others(&presence, &people[j], 0..j);
        while let Some(i) = left.next() {
            proceed()?;
            compared += 1;
            let before = [i, j].map(|person| reach(&people[person]));
            check_pair(people, [i, j], gap, &mut uncertain);
            let after = [i, j].map(|person| reach(&people[person]));
            if after != before {
                // Both are there at other times now, and perhaps with others.
                for (person, (before, after)) in [i, j].into_iter().zip(before.into_iter().zip(after)) {
                    presence.change(person, before, after);
                }
                left = others(&presence, &people[j], i + 1..j);
            }
        }
    }
    Ok((uncertain, compared))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::never_stopped;
    use crate::pose::Observation;
    use crate::track::synthetic;

    const GAP: u64 = 25;

    /// People in three colours who cross a small picture, some of whom go on as another at times.
    fn crowd(seed: usize) -> Vec<Person> {
        let noise = |i: usize| (((i + 1000 * seed) as f64 * 12.9898).sin() * 43758.5453).fract().abs();
        let walk = |n: usize| -> Person {
            let (first, frames) = ((400.0 * noise(7 * n)) as u64, 40 + (120.0 * noise(7 * n + 1)) as u64);
            let (x, speed) = (300.0 * noise(7 * n + 2), 4.0 * noise(7 * n + 3) - 2.0);
            let other_from = first + (frames as f64 * noise(7 * n + 4)) as u64;
            let colours =
                [5, 6].map(|k| [[90, 100, 200], [60, 200, 110], [160, 90, 90]][(3.0 * noise(7 * n + k)) as usize]);
            let one = |frame: u64| {
                let place = [(x + speed * (frame - first) as f64) as f32, 200.0];
                let colour = colours[usize::from(frame >= other_from)];
                let appearance = AppearanceHistogram::of_colour(colour);
                let observation = Observation { landmarks: synthetic::person(place, 150.0), appearance };
                Box::new(TrackletObservation::new(frame, n as u32, observation))
            };
            (first..first + frames).map(|frame| (frame, one(frame))).collect()
        };
        (0..30).map(walk).collect()
    }

    #[test]
    fn comparing_those_near_in_time_finds_what_comparing_all_finds() {
        let mut exchanged = 0;
        for seed in 0..6 {
            let (mut all, mut near) = (crowd(seed), crowd(seed));
            let mut uncertain = vec![Vec::new(); all.len()];
            for j in 0..all.len() {
                (0..j).for_each(|i| check_pair(&mut all, [i, j], GAP, &mut uncertain));
            }
            let (uncertain_near, compared) = check_meetings(&mut near, GAP, &never_stopped).unwrap();
            assert_eq!((&near, uncertain_near), (&all, uncertain));
            assert!(compared < 30 * 29 / 2);
            exchanged += crowd(seed).iter().zip(&near).filter(|(before, after)| span(before) != span(after)).count();
        }
        assert!(exchanged > 5, "{exchanged}");
    }
}
