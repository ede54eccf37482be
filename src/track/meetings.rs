//! People who come so close that one may have been taken for the other: exchanged back where their clothes say so, marked where those cannot
//! tell.

use std::collections::btree_map::Range;
use std::iter::Peekable;
use std::ops::RangeInclusive;

use super::TrackletObservation;
use super::link::{Person, appearance_of, marks};
use super::presence::{Presence, span};
use super::similarity::size_difference;
use crate::control::{Proceed, Stopped};
use crate::pose::{AppearanceHistogram, RotatedRegion};

/// Hips closer than this share of the smaller region's side: the people meet.
const MEETING: f64 = 0.16;
/// How much better one pairing of clothes must be than the other to be believed.
const CLEAR_LOOK: f64 = 0.12;

/// First and last frame.
pub(super) type Stretch = [u64; 2];

/// First and last frame of each stretch in which two people are too close to be told apart by place. A frame in which
/// only one of them is seen counts by where the other was last seen.
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
        // Somebody who is hidden may come out anywhere near.
        let reach = if seen_a && seen_b { MEETING } else { 2.0 * MEETING };
        if ra.center.distance(rb.center) > reach * ra.side.min(rb.side) || size_difference(&ra, &rb) > 0.5 {
            continue;
        }
        match stretches.last_mut() {
            Some(stretch) if frame - stretch[1] <= gap / 2 => stretch[1] = frame,
            _ => stretches.push([frame; 2]),
        }
    }
    stretches
}

/// Goes through the finds of one person, frame by frame.
struct Walk<'a> {
    ahead: Peekable<Range<'a, u64, Box<TrackletObservation>>>,
    /// The last find so far.
    last: Option<(u64, RotatedRegion)>,
}

impl<'a> Walk<'a> {
    fn new(person: &'a Person, frames: &RangeInclusive<u64>) -> Self {
        let last = person.range(..*frames.start()).next_back().map(|(&frame, seen)| (frame, marks(seen).region()));
        Self { ahead: person.range(frames.clone()).peekable(), last }
    }

    /// The next frame with a find.
    fn next_frame(&mut self) -> Option<u64> {
        self.ahead.peek().map(|(frame, _)| **frame)
    }

    /// Where the person is in a frame, not before that of the last call and not after the next find's; and whether they were found in it.
    /// `None` if they were not found for more than `gap` frames.
    fn place(&mut self, frame: u64, gap: u64) -> Option<(RotatedRegion, bool)> {
        if let Some((&frame, seen)) = self.ahead.next_if(|(next, _)| **next == frame) {
            self.last = Some((frame, marks(seen).region()));
        }
        let (last, region) = self.last?;
        (frame - last <= gap).then_some((region, last == frame))
    }
}

/// For each person, the stretches in which they may have been exchanged with another. Where the clothes clearly say
/// that two people were exchanged, the later parts are exchanged back. Gives also how many pairs of people were compared: those who
/// were there at once, or one after the other within `gap` frames.
pub(super) fn check_meetings(
    people: &mut [Person],
    gap: u64,
    proceed: Proceed<'_>,
) -> Result<(Vec<Vec<Stretch>>, usize), Stopped> {
    let mut doubts = vec![Vec::new(); people.len()];
    let reach = |person: &Person| span(person).map(|span| *span.start()..=span.end().saturating_add(gap));
    let mut presence = Presence::new(people.iter().map(reach), gap);
    let mut compared = 0;
    for j in 0..people.len() {
        let mut others = reach(&people[j]).map_or_else(Vec::new, |reach| presence.others(reach, 0..j)).into_iter();
        while let Some(i) = others.next() {
            proceed()?;
            compared += 1;
            let before = [i, j].map(|person| reach(&people[person]));
            for [first, last] in meetings(&people[i], &people[j], gap) {
                let before = |p: &Person| -> Option<AppearanceHistogram> {
                    let range = p.range(first.saturating_sub(gap)..first);
                    (range.clone().count() >= 3).then(|| appearance_of(range.map(|(_, s)| s)))
                };
                let after = |p: &Person| -> Option<AppearanceHistogram> {
                    let range = p.range(last + 1..=last + gap);
                    (range.clone().count() >= 3).then(|| appearance_of(range.map(|(_, s)| s)))
                };
                let looks = (before(&people[i]), before(&people[j]), after(&people[i]), after(&people[j]));
                let (Some(a0), Some(b0), Some(a1), Some(b1)) = looks else {
                    // One was not there before or after: nobody to be exchanged with, unless one took the other's place.
                    if let (Some(a0), Some(b0)) = (looks.0, looks.1)
                        && a0.distance(&b0) < CLEAR_LOOK
                    {
                        doubts[i].push([first, last]);
                        doubts[j].push([first, last]);
                    }
                    continue;
                };
                let kept = a0.distance(&a1) + b0.distance(&b1);
                let exchanged = a0.distance(&b1) + b0.distance(&a1);
                if exchanged + CLEAR_LOOK < kept {
                    let tail_i = people[i].split_off(&(last + 1));
                    let tail_j = people[j].split_off(&(last + 1));
                    people[i].extend(tail_j);
                    people[j].extend(tail_i);
                } else if kept + CLEAR_LOOK > exchanged {
                    doubts[i].push([first, last]);
                    doubts[j].push([first, last]);
                }
            }
            let after = [i, j].map(|person| reach(&people[person]));
            if after != before {
                // Either is there at other times now: with others, perhaps.
                for (person, (before, after)) in [i, j].into_iter().zip(before.into_iter().zip(after.clone())) {
                    presence.change(person, before, after);
                }
                let [_, own] = after;
                others = own.map_or_else(Vec::new, |reach| presence.others(reach, i + 1..j)).into_iter();
            }
        }
    }
    Ok((doubts, compared))
}
