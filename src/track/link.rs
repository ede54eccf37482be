//! Who is who over the whole clip: joins the scout's tracklets to persons, and drops what is nobody.
//!
//! Steps, each on the result of the one before: tracklets of one person seen double are reduced to one; tracklets broken
//! for at most a second are joined (all at once, at the least cost); people who met are checked by their clothes, mended
//! when those say they were exchanged and marked uncertain when those cannot tell; false finds are dropped; what is
//! missing of small people is filled in; the rest is numbered.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::assignment::assign_sparse;
use super::camera::Trajectory;
use super::gaps::{interpolate_lost, interpolate_skipped, small_person_interval};
use super::meetings::check_meetings;
use super::presence::{Presence, span};
use super::similarity::{MIN_VISIBILITY, is_shadow_of, pose_distance, size_difference, visibility};
use super::{Track, TrackFrame, TrackletObservation};
use crate::control::{Proceed, Stopped};
use crate::pose::{AppearanceHistogram, Landmarks, RotatedRegion};
use glam::DVec2;

/// Seconds a person may be gone and still be the same; also how long before and after a meeting clothes are compared.
const LONGEST_GAP: f64 = 1.0;
/// Shorter tracks, in seconds and in frames, are false finds (unless the clip itself is hardly longer).
const SHORTEST: f64 = 0.5;
const SHORTEST_FRAMES: usize = 15;
/// Least mean visibility of a person who fills the picture so far (side of the region over the picture's shorter side) that they are
/// hardly a texture, only half hidden; others: [`MIN_VISIBILITY`].
const MIN_VISIBILITY_LARGE: f32 = 0.5;
const LARGE: f64 = 0.5;
/// Share of the keyframes on which the finder looked at somebody and saw a figure: below it there is nobody.
const MIN_SUPPORT: f32 = 0.4;
/// And from which on, after so many looks, there is somebody for certain, who may be blurred, half hidden or only just come in.
const MIN_SUPPORT_CERTAIN: f32 = 0.6;
const MIN_LOOKS: u32 = 3;
/// After many looks they are there even where the landmark network found them now and then only: others are in the way.
const MANY_LOOKS: u32 = 6;
/// Least visibility of blurred people.
const MIN_VISIBILITY_BLURRED: f32 = 0.3;
/// Share of a track's frames in which the person must have been found, and blurred people.
const MIN_FOUND: f32 = 0.33;
const MIN_FOUND_BLURRED: f32 = 0.5;

/// A person in the making: finds by frame.
/// (Boxed, because a map keeps room for nearly twice as many values as it has.)
pub(super) type Person = BTreeMap<u64, Box<TrackletObservation>>;

/// Frames that are gone through between two calls of a [`Proceed`]: milliseconds of work.
const FRAMES_AT_A_TIME: usize = 4096;

/// Persons from everything that was seen; the order of `seen` does not matter. `corrupt`: frames in which nobody could
/// be seen. `display`: size of the picture.
///
/// Everything is linked in the first frame's picture, as if the camera stood still.
///
/// # Errors
/// [`Stopped`] when `proceed` says so.
pub fn link(
    seen: impl IntoIterator<Item = TrackletObservation>,
    corrupt: &BTreeSet<u64>,
    fps: f64,
    display: [u32; 2],
    trajectory: &Trajectory,
    proceed: Proceed<'_>,
) -> Result<Vec<Track>, Stopped> {
    let (tracks, compared) = link_counted(seen, corrupt, fps, display, trajectory, proceed)?;
    tracing::debug!("{} people, {compared:?}", tracks.len());
    Ok(tracks)
}

/// How many pairs of people were compared: only those near in time, so that an hour does not cost more than its minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Compared {
    doubles: usize,
    joins: usize,
    meetings: usize,
}

fn link_counted(
    seen: impl IntoIterator<Item = TrackletObservation>,
    corrupt: &BTreeSet<u64>,
    fps: f64,
    display: [u32; 2],
    trajectory: &Trajectory,
    proceed: Proceed<'_>,
) -> Result<(Vec<Track>, Compared), Stopped> {
    let fps = if fps.is_finite() && fps > 0.0 { fps } else { 25.0 };
    let mut tracklets: BTreeMap<u32, Person> = BTreeMap::new();
    let mut last_frame = 0;
    for (n, mut one) in seen.into_iter().enumerate() {
        if n.is_multiple_of(FRAMES_AT_A_TIME) {
            proceed()?;
        }
        last_frame = last_frame.max(one.frame);
        let by = trajectory.moved(one.frame, 0);
        shift(&mut one, by);
        tracklets.entry(one.tracklet).or_default().insert(one.frame, Box::new(one));
    }
    for person in tracklets.values_mut() {
        proceed()?;
        interpolate_skipped(person, small_person_interval(fps), display);
    }
    let gap = (LONGEST_GAP * fps).round().max(1.0) as u64;
    let mut people: Vec<Person> = tracklets.into_values().flat_map(|p| split(p, gap)).collect();
    let doubles = drop_doubles(&mut people, gap, proceed)?;
    let half_the_clip = (last_frame as usize + 1 - corrupt.range(..=last_frame).count()).div_ceil(2);
    let few = FEW.min(half_the_clip);
    let people = people.into_iter().filter_map(|person| trim(person, gap, few)).collect();
    let (mut people, joins) = join(people, gap, proceed)?;
    let (doubts, meetings) = check_meetings(&mut people, gap, proceed)?;
    let shortest = ((SHORTEST * fps).round() as usize).max(SHORTEST_FRAMES).min(half_the_clip);
    let mut tracks: Vec<Track> = Vec::new();
    for (mut person, doubts) in people.into_iter().zip(doubts) {
        proceed()?;
        if is_person(&person, shortest, display, trajectory) {
            proceed()?;
            interpolate_lost(&mut person, display);
            tracks.extend(into_track(person, &doubts, trajectory));
        }
    }
    let left = |t: &Track| t.frames.iter().flatten().next().map_or(0.0, |o| o.landmarks.circle[0][0]);
    tracks.sort_by(|a, b| a.first_frame.cmp(&b.first_frame).then(left(a).total_cmp(&left(b))));
    for (track, id) in tracks.iter_mut().zip(1..) {
        track.id = id;
    }
    Ok((tracks, Compared { doubles, joins, meetings }))
}

/// Cuts where the person is gone for longer than `gap` frames.
fn split(person: Person, gap: u64) -> Vec<Person> {
    let mut parts: Vec<Person> = Vec::new();
    let mut last = None;
    for (frame, one) in person {
        match (last, parts.last_mut()) {
            (Some(last), Some(part)) if frame - last <= gap => {
                part.insert(frame, one);
            }
            _ => parts.push(BTreeMap::from([(frame, one)])),
        }
        last = Some(frame);
    }
    parts
}

/// Fewer finds than this, away from all others by a fifth of a gap, are not where a person begins or ends (unless the clip itself
/// is hardly longer).
const FEW: usize = 3;

/// Drops stray finds, fewer than `few`, before and after all others; where there are no others, everything.
fn trim(person: Person, gap: u64, few: usize) -> Option<Person> {
    let mut parts = split(person, (gap / 5).max(1));
    let is_enough = |part: &Person| part.len() >= few;
    let first = parts.iter().position(is_enough)?;
    let last = parts.iter().rposition(is_enough)?;
    Some(parts.drain(first..=last).flatten().collect())
}

/// Moves what was seen this many displayed pixels to the right and down.
fn shift(seen: &mut TrackletObservation, by: DVec2) {
    seen.observation.landmarks.shift(by);
    if let Some(opinion) = &mut seen.heavy_landmarks {
        opinion.shift(by);
    }
}

pub(super) fn marks(seen: &TrackletObservation) -> &Landmarks {
    &seen.observation.landmarks
}

/// Whether the worse of two finds in one picture is no person of its own.
fn is_double(a: &Landmarks, b: &Landmarks) -> bool {
    if a.quality() < b.quality() { is_shadow_of(a, b) } else { is_shadow_of(b, a) }
}

/// Where two people are the same find in most of the frames they share, the shorter loses those frames. Gives how many pairs of people
/// were compared: those who were there at once.
fn drop_doubles(people: &mut Vec<Person>, gap: u64, proceed: Proceed<'_>) -> Result<usize, Stopped> {
    // Frames are only taken away: whoever is not there at the same time now never will be.
    let presence = Presence::new(people.iter().map(span), gap);
    let mut compared = 0;
    for i in 0..people.len() {
        let Some(whole) = span(&people[i]) else { continue };
        for j in presence.others(whole, 0..i) {
            let (Some(own), Some(other)) = (span(&people[i]), span(&people[j])) else { continue };
            compared += 1;
            let shared = *own.start().max(other.start())..=*own.end().min(other.end());
            if shared.is_empty() {
                continue;
            }
            let mut double = Vec::new();
            for (n, (frame, one)) in people[i].range(shared).enumerate() {
                if n.is_multiple_of(FRAMES_AT_A_TIME) {
                    proceed()?;
                }
                if people[j].get(frame).is_some_and(|other| is_double(marks(one), marks(other))) {
                    double.push(*frame);
                }
            }
            if double.is_empty() {
                continue;
            }
            let rank = |p: &Person| (p.len(), p.values().map(|s| marks(s).quality()).sum::<f32>());
            let (a, b) = (rank(&people[i]), rank(&people[j]));
            let lesser = if a.0 < b.0 || (a.0 == b.0 && a.1 <= b.1) { i } else { j };
            double.iter().for_each(|f| drop(people[lesser].remove(f)));
        }
    }
    people.retain(|p| !p.is_empty());
    Ok(compared)
}

/// Centre and velocity (pixels a frame) at one end of a person, from the nearest few frames.
fn end_motion(person: &Person, at_end: bool) -> Option<(u64, RotatedRegion, DVec2)> {
    let nearest: Vec<&Box<TrackletObservation>> =
        if at_end { person.values().rev().take(8).collect() } else { person.values().take(8).collect() };
    let (first, last) = (nearest.first()?, nearest.last()?);
    let (here, there) = (marks(first).region(), marks(last).region());
    let frames = first.frame as f64 - last.frame as f64;
    let velocity = if frames == 0.0 { DVec2::ZERO } else { (here.center - there.center) / frames };
    Some((first.frame, here, velocity))
}

/// Mean of the clothes in some finds.
pub(super) fn appearance_of<'a>(seen: impl Iterator<Item = &'a Box<TrackletObservation>>) -> AppearanceHistogram {
    AppearanceHistogram::mean(seen.map(|s| &s.observation.appearance))
}

/// Greatest difference of clothes between two parts of one person, and between parts that overlap in time.
const MAX_UNLIKE: f64 = 0.45;
const MAX_UNLIKE_OVERLAP: f64 = 0.25;

/// Whether two people are always close to each other in these frames, and the finder never sees two.
fn are_in_one_place(a: &Person, b: &Person, frames: RangeInclusive<u64>) -> bool {
    let was_detected = |seen: &TrackletObservation| seen.is_detected == Some(true);
    let is_near = |one: &TrackletObservation| {
        let here = marks(one).region();
        b.range(one.frame.saturating_sub(3)..=one.frame + 3).any(|(_, other)| {
            let there = marks(other).region();
            here.center.distance(there.center) < 0.5 * here.side.min(there.side)
        })
    };
    a.range(frames).all(|(frame, one)| {
        is_near(one) && !(was_detected(one) && b.get(frame).is_some_and(|other| was_detected(other)))
    })
}

/// Joins ends to beginnings at most `gap` frames later.
/// Gives the whole people, and how many pairs of end and beginning were compared: those that are near in time.
fn join(people: Vec<Person>, gap: u64, proceed: Proceed<'_>) -> Result<(Vec<Person>, usize), Stopped> {
    let cost = |a: &Person, b: &Person| -> Option<f64> {
        let (end, from, leaving) = end_motion(a, true)?;
        let (start, to, arriving) = end_motion(b, false)?;
        // Two tracklets of one person may overlap a little: each is tried up to the next keyframe. For longer, if they
        // are in one place and the finder never sees both.
        let is_overlap = start + gap / 4 < end;
        if start > end + gap
            || (is_overlap && (start + gap < end || !are_in_one_place(a, b, start..=end)))
            || b.keys().next_back()? <= &end
            || a.keys().next()? >= &start
        {
            return None;
        }
        let frames = start as f64 - end as f64;
        // Either end's motion may be the better guess of what happened unseen, and so may standing still. Nobody turns back on the way.
        let side = from.side.min(to.side);
        let is_steady = leaving.distance(arriving) * frames.abs() < side;
        let ends = [leaving, arriving].into_iter().filter(|_| is_steady);
        let off = [(leaving + arriving) / 2.0, DVec2::ZERO]
            .into_iter()
            .chain(ends)
            .map(|velocity| (from.center + velocity * frames).distance(to.center) / side)
            .fold(f64::INFINITY, f64::min);
        let size = size_difference(&from, &to);
        let appearance = appearance_of(a.values().rev().take(15)).distance(&appearance_of(b.values().take(15)));
        let (last, first) = (a.values().next_back()?, b.values().next()?);
        let shift = (to.center - from.center).as_vec2().to_array();
        let pose = pose_distance(marks(last), marks(first), shift).min(0.4);
        let share = frames.abs() / gap as f64;
        if is_overlap {
            return (appearance < MAX_UNLIKE_OVERLAP).then_some(1.5 * appearance + 0.5 * pose);
        }
        // Who wears the same may have moved further: somebody who tucks up and rolls has other hips within a few frames.
        let alike = 1.0 - appearance / MAX_UNLIKE;
        (off < 0.4 + 0.5 * share + 0.2 * alike && size < 0.5 && appearance < MAX_UNLIKE)
            .then_some(off + 0.5 * size + 1.5 * appearance + 0.5 * pose)
    };
    let mut starts: Vec<(u64, usize)> =
        people.iter().enumerate().filter_map(|(i, person)| Some((*person.keys().next()?, i))).collect();
    starts.sort_unstable();
    let (mut costs, mut compared) = (Vec::new(), 0);
    for (i, a) in people.iter().enumerate() {
        proceed()?;
        let Some(&end) = a.keys().next_back() else { continue };
        let first = starts.partition_point(|(start, _)| start + gap < end);
        let mut near: Vec<usize> =
            starts[first..].iter().take_while(|(start, _)| *start <= end + gap).map(|(_, b)| *b).collect();
        near.sort_unstable();
        compared += near.len();
        costs.extend(near.into_iter().filter_map(|j| Some((i, j, cost(a, &people[j])?))));
    }
    let next = assign_sparse(people.len(), people.len(), &costs, 1.2);
    let mut has_earlier = vec![false; people.len()];
    next.iter().flatten().for_each(|&i| has_earlier[i] = true);
    let mut people: Vec<Option<Person>> = people.into_iter().map(Some).collect();
    let mut joined = Vec::new();
    for start in (0..people.len()).filter(|&i| !has_earlier[i]) {
        let mut whole = Person::new();
        let mut at = Some(start);
        while let Some(part) = at {
            let later = people[part].take().unwrap_or_default();
            if let Some((&start, _)) = later.first_key_value() {
                whole.split_off(&start);
            }
            whole.extend(later);
            at = next[part];
        }
        joined.push(whole);
    }
    Ok((joined, compared))
}

/// Long enough, and sure enough on the whole, to be a person: whom the finder sees at most times need not be clear, and whom
/// it hardly ever sees is nobody.
fn is_person(person: &Person, shortest: usize, display: [u32; 2], trajectory: &Trajectory) -> bool {
    let (Some(first), Some(last)) = (person.keys().next(), person.keys().next_back()) else { return false };
    let count = person.len() as f32;
    let visibility_of = |s: &TrackletObservation| {
        let mut in_the_picture = marks(s).clone();
        in_the_picture.shift(trajectory.moved(0, s.frame));
        visibility(&in_the_picture, display)
    };
    let clear = person.values().map(|one| visibility_of(one)).sum::<f32>() / count;
    let side = person.values().map(|s| marks(s).region().side).sum::<f64>() / f64::from(count);
    let is_large = side > LARGE * f64::from(display[0].min(display[1]));
    let found = count / (last - first + 1) as f32;
    let (looks, detections) =
        person.values().filter_map(|s| s.is_detected).fold((0, 0), |(n, m), f| (n + 1, m + u32::from(f)));
    let support = detections as f32 / f32::max(looks as f32, 1.0);
    if looks > 0 && support < MIN_SUPPORT {
        return false;
    }
    let is_certain = support >= MIN_SUPPORT_CERTAIN && looks >= MIN_LOOKS;
    let is_clear = clear >= if is_large { MIN_VISIBILITY_LARGE } else { MIN_VISIBILITY } && found >= MIN_FOUND;
    let is_blurred = is_certain
        && clear >= MIN_VISIBILITY_BLURRED
        && found >= if looks >= MANY_LOOKS { MIN_FOUND } else { MIN_FOUND_BLURRED };
    let length = if is_certain { (last - first + 1) as usize } else { person.len() };
    length >= shortest && (is_clear || is_blurred)
}

fn into_track(person: Person, doubts: &[[u64; 2]], trajectory: &Trajectory) -> Option<Track> {
    let (&first, &last) = (person.keys().next()?, person.keys().next_back()?);
    let mut frames: Vec<Option<TrackFrame>> = vec![None; (last - first) as usize + 1];
    for (frame, mut seen) in person {
        shift(&mut seen, trajectory.moved(0, frame));
        frames[(frame - first) as usize] = Some(TrackFrame {
            landmarks: seen.observation.landmarks,
            heavy_landmarks: seen.heavy_landmarks,
            uncertain: doubts.iter().any(|[from, to]| (*from..=*to).contains(&frame)),
        });
    }
    Some(Track { id: 0, first_frame: first, frames })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::never_stopped;
    use crate::pose::Observation;
    use crate::track::synthetic;

    const DISPLAY: [u32; 2] = [1280, 720];
    const RED: [u8; 3] = [90, 100, 200];
    const BLUE: [u8; 3] = [60, 200, 110];

    /// Links what a camera on a tripod saw.
    fn persons(seen: Vec<TrackletObservation>) -> Vec<Track> {
        link(seen, &BTreeSet::new(), 30.0, DISPLAY, &Trajectory::default(), &never_stopped).unwrap()
    }

    fn seen(tracklet: u32, frame: u64, x: f32, colour: [u8; 3]) -> TrackletObservation {
        let observation = Observation {
            landmarks: synthetic::person([x, 200.0], 150.0),
            appearance: AppearanceHistogram::of_colour(colour),
        };
        TrackletObservation { frame, tracklet, observation, heavy_landmarks: None, is_detected: None }
    }

    fn walk(
        tracklet: u32,
        frames: std::ops::Range<u64>,
        x0: f32,
        speed: f32,
        colour: [u8; 3],
    ) -> Vec<TrackletObservation> {
        frames.map(|f| seen(tracklet, f, x0 + speed * f as f32, colour)).collect()
    }

    fn x_of(track: &Track, frame: u64) -> f32 {
        track.frames[(frame - track.first_frame) as usize].as_ref().unwrap().landmarks.circle[0][0]
    }

    #[test]
    fn a_short_gap_is_joined_and_a_long_one_is_not() {
        let broken = |gap: u64| [walk(0, 0..40, 100.0, 3.0, RED), walk(1, 40 + gap..100, 100.0, 3.0, RED)].concat();
        let one = persons(broken(15));
        assert_eq!(one.len(), 1);
        assert_eq!((one[0].id, one[0].frames.len()), (1, 100));
        assert_eq!(one[0].frames.iter().filter(|o| o.is_none()).count(), 15);
        assert_eq!(persons(broken(31)).len(), 2, "gone for more than a second");
    }

    #[test]
    fn stray_finds_at_the_ends_do_not_make_two_of_one() {
        // Before the first is lost for good there is a find of nothing, and so there is before the second begins.
        let stray = [seen(0, 75, 500.0, RED), seen(1, 51, 300.0, RED)];
        let finds = [&walk(0, 0..60, 100.0, 1.0, RED)[..], &walk(1, 62..100, 100.0, 1.0, RED), &stray].concat();
        let tracks = persons(finds);
        assert_eq!(tracks.len(), 1);
        assert_eq!(tracks[0].frames.len(), 100);
        assert_eq!((x_of(&tracks[0], 51), x_of(&tracks[0], 75)), (151.0, 175.0));
    }

    #[test]
    fn a_leap_is_one_person_where_the_clothes_are_the_same() {
        let side = synthetic::person([100.0, 200.0], 150.0).region().side as f32;
        let leap =
            |colour| [walk(0, 0..40, 100.0, 0.0, RED), walk(1, 42..100, 100.0 + 0.55 * side, 0.0, colour)].concat();
        assert_eq!(persons(leap(RED)).len(), 1);
        assert_eq!(persons(leap([110, 110, 190])).len(), 2, "somebody else is as near");
    }

    #[test]
    fn who_comes_from_where_another_went_is_not_the_same() {
        let gone = walk(0, 0..40, 1200.0, -10.0, RED);
        for (start, speed, people) in [(1200.0, -10.0, 1), (-100.0, 10.0, 2)] {
            let come = walk(1, 65..120, start, speed, RED);
            assert_eq!(x_of(&persons(come.clone())[0], 65), 550.0);
            let tracks = persons([gone.clone(), come].concat());
            assert_eq!(tracks.len(), people, "{speed} pixels a frame");
        }
    }

    #[test]
    fn people_who_cross_keep_their_ids_when_their_clothes_differ() {
        // The scout took the one for the other when they met at frame 50.
        let wrong = [
            walk(0, 0..50, 100.0, 4.0, RED),
            walk(1, 0..50, 500.0, -4.0, BLUE),
            walk(0, 52..100, 500.0, -4.0, BLUE),
            walk(1, 52..100, 100.0, 4.0, RED),
        ];
        let tracks = persons(wrong.concat());
        assert_eq!(tracks.len(), 2);
        assert_eq!((x_of(&tracks[0], 0), x_of(&tracks[0], 99)), (100.0, 496.0));
        assert!(tracks.iter().all(|t| t.frames.iter().flatten().all(|o| !o.uncertain)));
    }

    #[test]
    fn people_alike_who_cross_are_uncertain_there_and_only_there() {
        let tracks = persons([walk(0, 0..100, 100.0, 4.0, RED), walk(1, 0..100, 500.0, -4.0, RED)].concat());
        assert_eq!(tracks.len(), 2);
        for track in &tracks {
            let doubt = |f: usize| track.frames[f].as_ref().is_none_or(|o| o.uncertain);
            assert!(doubt(50) && !doubt(10) && !doubt(90));
        }
    }

    #[test]
    fn flashes_and_doubtful_finds_are_nobody() {
        let mut finds = walk(0, 0..60, 100.0, 0.0, RED);
        finds.extend(walk(1, 10..20, 600.0, 0.0, BLUE));
        let mut tree = walk(2, 0..60, 900.0, 0.0, BLUE);
        tree.iter_mut().for_each(|s| s.observation.landmarks.score = 0.6);
        finds.extend(tree);
        let tracks = persons(finds);
        assert_eq!(tracks.len(), 1);
        assert_eq!(x_of(&tracks[0], 0), 100.0);
    }

    #[test]
    fn one_person_in_two_poses_is_one_where_the_finder_sees_one() {
        // For half a second the network sees somebody both upright and half as tall.
        for (second_figure, people) in [(false, 1), (true, 2)] {
            let mut finds = walk(0, 0..60, 100.0, 1.0, RED);
            finds.extend((45..100).map(|f| {
                let landmarks = synthetic::person([100.0 + f as f32, 240.0], 80.0);
                let observation = Observation { landmarks, appearance: AppearanceHistogram::of_colour(RED) };
                TrackletObservation { frame: f, tracklet: 1, observation, heavy_landmarks: None, is_detected: None }
            }));
            for one in finds.iter_mut().filter(|one| one.frame % 5 == 0) {
                let is_second = one.tracklet == 1 && one.frame < 60;
                one.is_detected = Some(!is_second || second_figure);
            }
            let tracks = persons(finds);
            assert_eq!(tracks.len(), people);
            assert_eq!(tracks[0].frames.len(), if people == 1 { 100 } else { 60 });
        }
    }

    #[test]
    fn the_finder_decides_where_clarity_does_not() {
        let walk = |tracklet, x: f32, score: f32, detection: bool| {
            let mut finds = walk(tracklet, 0..60, x, 0.0, RED);
            for one in &mut finds {
                one.observation.landmarks.score = score;
                one.is_detected = (one.frame % 6 == 0).then_some(detection);
            }
            finds
        };
        let finds = [walk(0, 100.0, 0.4, true), walk(1, 500.0, 0.99, false), walk(2, 900.0, 0.2, true)].concat();
        let tracks = persons(finds);
        assert_eq!(tracks.iter().map(|t| x_of(t, 0)).collect::<Vec<_>>(), [100.0]);
    }

    #[test]
    fn whom_the_finder_sees_all_the_time_need_be_found_now_and_then_only() {
        for (detections, people) in [(true, 1), (false, 0)] {
            let mut finds = walk(0, 0..120, 100.0, 0.0, RED);
            finds.retain(|one| one.frame % 10 < 4);
            for one in &mut finds {
                one.observation.landmarks.score = 0.5;
                // Without figures on every second keyframe they are as likely nobody.
                one.is_detected = (one.frame % 10 == 0).then_some(detections || one.frame % 20 == 0);
            }
            assert_eq!(persons(finds).len(), people);
        }
    }

    #[test]
    fn a_person_followed_twice_is_one() {
        let tracks = persons([walk(0, 0..60, 100.0, 1.0, RED), walk(1, 20..50, 104.0, 1.0, RED)].concat());
        assert_eq!(tracks.len(), 1);
        assert_eq!(tracks[0].frames.len(), 60);
    }

    #[test]
    fn ids_follow_first_appearance_then_left_to_right() {
        let finds =
            [walk(7, 20..60, 100.0, 0.0, RED), walk(3, 0..60, 900.0, 0.0, RED), walk(5, 0..60, 500.0, 0.0, BLUE)];
        let tracks = persons(finds.concat());
        let places: Vec<(u32, f32)> = tracks.iter().map(|t| (t.id, x_of(t, 30))).collect();
        assert_eq!(places, [(1, 500.0), (2, 900.0), (3, 100.0)]);
        assert!(persons(Vec::new()).is_empty());
    }

    /// Two hours at 25 frames a second in which somebody new comes into the picture every 36 frames and stays for 30 to 59.
    fn two_hours() -> impl Iterator<Item = TrackletObservation> {
        let stay = |n: u64| 30 + n * 7 % 30;
        let visit = move |n: u64| (36 * n..36 * n + stay(n)).map(move |frame| (n, frame));
        (0..5000).flat_map(visit).map(|(n, frame)| {
            let colour = [60 + (n % 5) as u8 * 30, 100 + (n % 3) as u8 * 40, 180];
            seen(n as u32, frame, 100.0 + 250.0 * (n % 4) as f32 + (frame - 36 * n) as f32, colour)
        })
    }

    #[test]
    fn people_are_compared_with_those_near_in_time_only() {
        let link = |proceed: Proceed<'_>| {
            link_counted(two_hours(), &BTreeSet::new(), 25.0, DISPLAY, &Trajectory::default(), proceed)
        };
        let (people, compared) = link(&never_stopped).map(|(tracks, compared)| (tracks.len(), compared)).unwrap();
        assert_eq!(people, 5000);
        let Compared { doubles, joins, meetings } = compared;
        assert!([doubles, joins, meetings].iter().all(|pairs| (4000..25_000).contains(pairs)), "{compared:?}");
        let calls = std::sync::atomic::AtomicUsize::new(0);
        let stop = || {
            let call = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if call < 12_000 { Ok(()) } else { Err(Stopped) }
        };
        assert_eq!(link(&stop).unwrap_err(), Stopped);
    }
}
