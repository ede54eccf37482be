//! Stage 4 of tracking: which tracklets of the whole clip are one person, and which are nobody.
//!
//! [`link`] goes through these steps, each on the result of the one before:
//!
//! 1. frames in which people were skipped are interpolated (`gaps`), and tracklets are cut where they pause for too long;
//! 2. where two tracklets follow one person at the same time, one of them loses those frames ([`drop_doubles`]);
//! 3. stray observations at the ends of tracklets go ([`trim`]);
//! 4. tracklets that were broken for at most a second are joined, all at once and at the least cost ([`join`]);
//! 5. people who met are checked by their clothes (`meetings`): where those say that they were exchanged they are exchanged back, and
//!    where those cannot tell they are marked uncertain;
//! 6. whoever is no person goes ([`is_person`]);
//! 7. left and right are exchanged back where the network confused them ([`repair_left_right`]), and what it saw wrongly for a moment is taken out
//!    ([`drop_outliers`]); frames between looks are interpolated anew from what is left, so that no mistake stays in them;
//! 8. what is missing of small people is interpolated, and the people are numbered.
//!
//! All of it happens in the first frame's picture, as if the camera stood still.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use glam::DVec2;

use super::assignment::assign_sparse;
use super::camera::Trajectory;
use super::gaps::{interpolate_again, interpolate_lost, interpolate_skipped};
use super::left_right::repair_left_right;
use super::meetings::{Stretch, check_meetings};
use super::outliers::drop_outliers;
use super::presence::{Presence, span};
use super::similarity::{LARGE, MIN_VISIBILITY, is_one_pose, is_shadow_of, pose_distance, size_difference, visibility};
use super::{Track, TrackFrame, TrackletObservation};
use crate::control::{Proceed, Stopped};
use crate::pose::{AppearanceHistogram, Landmarks, RotatedRegion};

/// Seconds for which a person may be gone and still be the same. Clothes are compared for as long before and after a meeting.
pub(super) const LONGEST_GAP: f64 = 1.0;
/// Stray observations are separated from all others by this part of [`LONGEST_GAP`].
const STRAY_GAPS: u64 = 5;
/// Fewer observations than this, separated from all others, are not where a person begins or ends, unless the clip itself is hardly longer.
const FEW: usize = 3;

/// Greatest difference of appearance (0..=1) between two tracklets of one person.
const MAX_UNLIKE: f64 = 0.45;
/// The same between tracklets that overlap in time.
const MAX_UNLIKE_OVERLAP: f64 = 0.25;
/// Greatest difference of their sizes, |ln| of the ratio of the regions' sides (a factor of 1.65).
const MAX_SIZE: f64 = 0.5;
/// How far the later tracklet may begin from where the earlier one leads, over the smaller region's side: at once, after the longest gap in
/// addition, and in the same clothes in addition, since somebody who tucks up and rolls has other hips within a few frames.
const OFF: f64 = 0.4;
const OFF_AFTER_GAP: f64 = 0.5;
const OFF_SAME_CLOTHES: f64 = 0.2;
/// What differences cost where a region's side of distance costs 1: |ln| of the sizes, appearance and pose (at most [`MAX_POSE`] of it).
const SIZE_COST: f64 = 0.5;
const APPEARANCE_COST: f64 = 1.5;
const POSE_COST: f64 = 0.5;
const MAX_POSE: f64 = 0.4;
/// Greatest cost of a pair: beyond it two tracklets stay two people.
const MOST_COST: f64 = 1.2;
/// Frames at the end of a tracklet from which its motion and its appearance there are taken.
const MOTION_FRAMES: usize = 8;
const APPEARANCE_FRAMES: usize = 15;

/// Tracks shorter than this, in seconds and in frames, are mistakes, unless the clip itself is hardly longer.
const SHORTEST: f64 = 0.5;
const SHORTEST_FRAMES: usize = 15;
/// Least mean [`visibility`] of somebody large, who is hardly a texture, and often half outside; of others: [`MIN_VISIBILITY`].
const MIN_VISIBILITY_LARGE: f32 = 0.5;
/// Least mean visibility of people who are certainly there, but blurred or half hidden.
const MIN_VISIBILITY_BLURRED: f32 = 0.3;
/// Of the keyframes on which the person detector was shown somebody, the share on which it saw them: below this there is nobody, but a
/// net, a tree, or a body made of two people's limbs (docs/accuracy.md, as for the next three).
const MIN_SUPPORT: f32 = 0.4;
/// From this on, on at least so many keyframes, there is somebody for certain: they may be blurred, half hidden or only just come in.
const MIN_SUPPORT_CERTAIN: f32 = 0.6;
const MIN_SHOWN: u32 = 3;
/// From so many keyframes on the landmark network need have found them now and then only, since others are in the way.
const MANY_SHOWN: u32 = 6;
/// Share of a track's frames in which a person must have been found.
const MIN_FOUND: f32 = 0.33;
/// The same for blurred people.
const MIN_FOUND_BLURRED: f32 = 0.5;

/// Frames that are gone through between two calls of a [`Proceed`]: milliseconds of work.
const FRAMES_AT_A_TIME: usize = 4096;

/// A person in the making, at first one tracklet: their observations by frame. They are boxed, because a map keeps room for nearly twice
/// as many values as it has.
pub(super) type Person = BTreeMap<u64, Box<TrackletObservation>>;

/// Links everything that was observed in a clip to one track a person. The order of `observations` does not matter. `corrupt`: frames in
/// which nobody could be observed. `fps`: frames a second. `display`: size of the picture, displayed pixels.
///
/// # Errors
/// [`Stopped`] when `proceed`, which is called every few milliseconds, says so.
pub fn link(
    observations: impl IntoIterator<Item = TrackletObservation>,
    corrupt: &BTreeSet<u64>,
    fps: f64,
    display: [u32; 2],
    trajectory: &Trajectory,
    proceed: Proceed<'_>,
) -> Result<Vec<Track>, Stopped> {
    let (tracks, compared) = link_counted(observations, corrupt, fps, display, trajectory, proceed)?;
    let Compared { doubles, joins, meetings } = compared;
    tracing::debug!(
        "linked {} people; pairs compared: {doubles} as one person followed twice, {joins} as the parts of one, {meetings} who may have met",
        tracks.len()
    );
    Ok(tracks)
}

/// How many pairs of people were compared: only those near in time, so that an hour does not cost more than its minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Compared {
    /// As one person followed twice.
    doubles: usize,
    /// As the end and the beginning of one person.
    joins: usize,
    /// As two who met.
    meetings: usize,
}

/// [`link`], and how many pairs were compared.
fn link_counted(
    observations: impl IntoIterator<Item = TrackletObservation>,
    corrupt: &BTreeSet<u64>,
    fps: f64,
    display: [u32; 2],
    trajectory: &Trajectory,
    proceed: Proceed<'_>,
) -> Result<(Vec<Track>, Compared), Stopped> {
    let mut tracklets: BTreeMap<u32, Person> = BTreeMap::new();
    let mut last_frame = 0;
    for (n, mut one) in observations.into_iter().enumerate() {
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
        interpolate_skipped(person);
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
        if is_person(&person, shortest, display, trajectory, proceed)? {
            take_seen_points(&mut person);
            repair_left_right(&mut person);
            drop_outliers(&mut person, fps);
            interpolate_again(&mut person);
            interpolate_lost(&mut person, display);
            tracks.extend(into_track(person, &doubts, trajectory, proceed)?);
        }
    }
    let left = |t: &Track| t.frames.iter().flatten().next().map_or(0.0, |o| o.landmarks.circle[0][0]);
    tracks.sort_by(|a, b| a.first_frame.cmp(&b.first_frame).then(left(a).total_cmp(&left(b))));
    for (track, id) in tracks.iter_mut().zip(1..) {
        track.id = id;
    }
    Ok((tracks, Compared { doubles, joins, meetings }))
}

/// Who is a person, and who is who, was told by what was found; where the points are is told by who sees them best.
fn take_seen_points(person: &mut Person) {
    for one in person.values_mut() {
        if let Some(seen) = &one.seen_points {
            one.observation.landmarks.take(seen);
        }
    }
}

/// Cuts a person where they are gone for longer than `gap` frames.
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

/// Drops stray observations, fewer than `few`, before and after all others; where there are no others, everything.
fn trim(person: Person, gap: u64, few: usize) -> Option<Person> {
    let mut parts = split(person, (gap / STRAY_GAPS).max(1));
    let is_enough = |part: &Person| part.len() >= few;
    let first = parts.iter().position(is_enough)?;
    let last = parts.iter().rposition(is_enough)?;
    Some(parts.drain(first..=last).flatten().collect())
}

/// Moves what was observed this many displayed pixels to the right and down.
fn shift(one: &mut TrackletObservation, by: DVec2) {
    one.observation.shift(by);
    if let Some(heavy) = &mut one.heavy_landmarks {
        heavy.shift(by);
    }
}

/// The body points of an observation.
pub(super) fn landmarks(one: &TrackletObservation) -> &Landmarks {
    &one.observation.landmarks
}

/// Whether the worse of two observations in one picture is no person of its own. Whoever was found with the other painted over is one unless they are the
/// same.
fn is_double(a: &TrackletObservation, b: &TrackletObservation) -> bool {
    let is_behind = a.is_behind != b.is_behind;
    let (a, b) = (landmarks(a), landmarks(b));
    if is_behind {
        return is_one_pose(a, b);
    }
    if a.quality() < b.quality() { is_shadow_of(a, b) } else { is_shadow_of(b, a) }
}

/// Where two people are observed as one in frames that they share, the one with fewer frames loses those. Gives how many pairs were
/// compared: those who are there at about the same time.
fn drop_doubles(people: &mut Vec<Person>, gap: u64, proceed: Proceed<'_>) -> Result<usize, Stopped> {
    // Frames are only taken away: two who are not there at the same time now never will be.
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
                if people[j].get(frame).is_some_and(|other| is_double(one, other)) {
                    double.push(*frame);
                }
            }
            if double.is_empty() {
                continue;
            }
            let rank = |p: &Person| (p.len(), p.values().map(|s| landmarks(s).quality()).sum::<f32>());
            let (a, b) = (rank(&people[i]), rank(&people[j]));
            let lesser = if a.0 < b.0 || (a.0 == b.0 && a.1 <= b.1) { i } else { j };
            double.iter().for_each(|f| drop(people[lesser].remove(f)));
        }
    }
    people.retain(|p| !p.is_empty());
    Ok(compared)
}

/// Frame, region and velocity (pixels a frame) at one end of a person, from the few frames nearest to it.
fn end_motion(person: &Person, at_end: bool) -> Option<(u64, RotatedRegion, DVec2)> {
    let nearest: Vec<&Box<TrackletObservation>> = if at_end {
        person.values().rev().take(MOTION_FRAMES).collect()
    } else {
        person.values().take(MOTION_FRAMES).collect()
    };
    let (first, last) = (nearest.first()?, nearest.last()?);
    let (here, there) = (landmarks(first).region(), landmarks(last).region());
    let frames = first.frame as f64 - last.frame as f64;
    let velocity = if frames == 0.0 { DVec2::ZERO } else { (here.center - there.center) / frames };
    Some((first.frame, here, velocity))
}

/// Mean appearance in those of some observations in which somebody looked.
pub(super) fn appearance_of<'a>(all: impl Iterator<Item = &'a Box<TrackletObservation>>) -> AppearanceHistogram {
    AppearanceHistogram::mean(all.filter(|one| !one.is_interpolated).map(|one| &one.observation.appearance))
}

/// Frames around one in which another person's place counts as theirs at the same time.
const SAME_TIME: u64 = 3;
/// Distance over the smaller region's side within which two people are in one place.
const ONE_PLACE: f64 = 0.5;

/// Whether two people are in one place throughout these frames, and the person detector never sees two.
fn are_in_one_place(a: &Person, b: &Person, frames: RangeInclusive<u64>) -> bool {
    let is_detected = |one: &TrackletObservation| one.is_detected == Some(true);
    let is_near = |one: &TrackletObservation| {
        let here = landmarks(one).region();
        b.range(one.frame.saturating_sub(SAME_TIME)..=one.frame + SAME_TIME).any(|(_, other)| {
            let there = landmarks(other).region();
            here.center.distance(there.center) < ONE_PLACE * here.side.min(there.side)
        })
    };
    a.range(frames).all(|(frame, one)| {
        is_near(one) && !one.is_behind && !(is_detected(one) && b.get(frame).is_some_and(|other| is_detected(other)))
    })
}

/// What it costs to take `b` for the later part of `a`, where the longest gap is `gap` frames; `None` if it cannot be.
fn join_cost(a: &Person, b: &Person, gap: u64) -> Option<f64> {
    let (end, from, leaving) = end_motion(a, true)?;
    let (start, to, arriving) = end_motion(b, false)?;
    // Two tracklets of one person may overlap a little, since each is looked for up to the next keyframe. They may overlap for longer if
    // they are in one place and the person detector never sees both.
    let is_overlap = start + gap / 4 < end;
    if start > end + gap
        || (is_overlap && (start + gap < end || !are_in_one_place(a, b, start..=end)))
        || b.keys().next_back()? <= &end
        || a.keys().next()? >= &start
    {
        return None;
    }
    let frames = start as f64 - end as f64;
    // What happened in the gap is guessed in four ways: the mean of both ends' velocities, no motion, and either end's velocity. The
    // latter two do not count if they disagree by more than a region's side: nobody turns back on the way.
    let side = from.side.min(to.side);
    let is_steady = leaving.distance(arriving) * frames.abs() < side;
    let ends = [leaving, arriving].into_iter().filter(|_| is_steady);
    let off = [(leaving + arriving) / 2.0, DVec2::ZERO]
        .into_iter()
        .chain(ends)
        .map(|velocity| (from.center + velocity * frames).distance(to.center) / side)
        .fold(f64::INFINITY, f64::min);
    let size = size_difference(&from, &to);
    let appearance = appearance_of(a.values().rev().take(APPEARANCE_FRAMES))
        .distance(&appearance_of(b.values().take(APPEARANCE_FRAMES)));
    let (last, first) = (a.values().next_back()?, b.values().next()?);
    let shift = (to.center - from.center).as_vec2().to_array();
    let pose = pose_distance(landmarks(last), landmarks(first), shift).min(MAX_POSE);
    let share = frames.abs() / gap as f64;
    if is_overlap {
        return (appearance < MAX_UNLIKE_OVERLAP).then_some(APPEARANCE_COST * appearance + POSE_COST * pose);
    }
    let alike = 1.0 - appearance / MAX_UNLIKE;
    let is_possible =
        off < OFF + OFF_AFTER_GAP * share + OFF_SAME_CLOTHES * alike && size < MAX_SIZE && appearance < MAX_UNLIKE;
    is_possible.then_some(off + SIZE_COST * size + APPEARANCE_COST * appearance + POSE_COST * pose)
}

/// Joins each end to the beginning, at most `gap` frames later, that is most likely the same person's. Gives the whole people, and how many
/// pairs of end and beginning were compared: those that are near in time.
fn join(people: Vec<Person>, gap: u64, proceed: Proceed<'_>) -> Result<(Vec<Person>, usize), Stopped> {
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
        costs.extend(near.into_iter().filter_map(|j| Some((i, j, join_cost(a, &people[j], gap)?))));
    }
    let next = assign_sparse(people.len(), people.len(), &costs, MOST_COST);
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

/// Whether somebody is there for long enough (frames), and surely enough on the whole, to be a person. Whom the person detector sees at
/// most times need not be clearly visible, and whom it hardly ever sees is nobody.
fn is_person(
    person: &Person,
    shortest: usize,
    display: [u32; 2],
    trajectory: &Trajectory,
    proceed: Proceed<'_>,
) -> Result<bool, Stopped> {
    let (Some(first), Some(last)) = (person.keys().next(), person.keys().next_back()) else { return Ok(false) };
    let count = person.len() as f32;
    let visibility_of = |s: &TrackletObservation| {
        let mut in_the_picture = landmarks(s).clone();
        in_the_picture.shift(trajectory.moved(0, s.frame));
        visibility(&in_the_picture, display)
    };
    let mut clear = 0.0;
    for (n, one) in person.values().enumerate() {
        if n.is_multiple_of(FRAMES_AT_A_TIME) {
            proceed()?;
        }
        clear += visibility_of(one);
    }
    let clear: f32 = clear / count;
    let side = person.values().map(|s| landmarks(s).region().side).sum::<f64>() / f64::from(count);
    let is_large = side > LARGE * f64::from(display[0].min(display[1]));
    let found = count / (last - first + 1) as f32;
    let (shown, detected) =
        person.values().filter_map(|s| s.is_detected).fold((0, 0), |(n, m), f| (n + 1, m + u32::from(f)));
    let support = detected as f32 / f32::max(shown as f32, 1.0);
    if shown > 0 && support < MIN_SUPPORT {
        return Ok(false);
    }
    let is_certain = support >= MIN_SUPPORT_CERTAIN && shown >= MIN_SHOWN;
    let is_clear = clear >= if is_large { MIN_VISIBILITY_LARGE } else { MIN_VISIBILITY } && found >= MIN_FOUND;
    let is_blurred = is_certain
        && clear >= MIN_VISIBILITY_BLURRED
        && found >= if shown >= MANY_SHOWN { MIN_FOUND } else { MIN_FOUND_BLURRED };
    let length = if is_certain { (last - first + 1) as usize } else { person.len() };
    Ok(length >= shortest && (is_clear || is_blurred))
}

/// The track of a person, in each frame's own picture; `doubts`: stretches in which they are uncertain.
fn into_track(
    person: Person,
    doubts: &[Stretch],
    trajectory: &Trajectory,
    proceed: Proceed<'_>,
) -> Result<Option<Track>, Stopped> {
    let Some((first, last)) = span(&person).map(RangeInclusive::into_inner) else { return Ok(None) };
    let mut frames: Vec<Option<TrackFrame>> = vec![None; (last - first) as usize + 1];
    for (n, (frame, mut one)) in person.into_iter().enumerate() {
        if n.is_multiple_of(FRAMES_AT_A_TIME) {
            proceed()?;
        }
        shift(&mut one, trajectory.moved(0, frame));
        frames[(frame - first) as usize] = Some(TrackFrame {
            landmarks: one.observation.landmarks,
            heavy_landmarks: one.heavy_landmarks,
            estimate: one.estimate,
            uncertain: false,
            is_interpolated: one.is_interpolated,
        });
    }
    for frame in doubts.iter().flat_map(|[from, to]| *from.max(&first)..=*to.min(&last)) {
        if let Some(frame) = &mut frames[(frame - first) as usize] {
            frame.uncertain = true;
        }
    }
    Ok(Some(Track { id: 0, first_frame: first, frames }))
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
        synthetic::seen(frame, tracklet, [x, 200.0], 150.0, colour)
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
    fn stray_observations_at_the_ends_do_not_make_two_of_one() {
        // Before the first is lost for good nothing is taken for somebody, and so there is before the second begins.
        let stray = [seen(0, 75, 500.0, RED), seen(1, 51, 300.0, RED)];
        let observations = [&walk(0, 0..60, 100.0, 1.0, RED)[..], &walk(1, 62..100, 100.0, 1.0, RED), &stray].concat();
        let tracks = persons(observations);
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
        // The tracker took the one for the other when they met at frame 50.
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
    fn flashes_and_doubtful_observations_are_nobody() {
        let mut observations = walk(0, 0..60, 100.0, 0.0, RED);
        observations.extend(walk(1, 10..20, 600.0, 0.0, BLUE));
        let mut tree = walk(2, 0..60, 900.0, 0.0, BLUE);
        tree.iter_mut().for_each(|s| s.observation.landmarks.score = 0.6);
        observations.extend(tree);
        let tracks = persons(observations);
        assert_eq!(tracks.len(), 1);
        assert_eq!(x_of(&tracks[0], 0), 100.0);
    }

    #[test]
    fn one_person_in_two_poses_is_one_where_the_detector_sees_one() {
        // For half a second the network sees somebody both upright and half as tall.
        for (is_second_detected, people) in [(false, 1), (true, 2)] {
            let mut observations = walk(0, 0..60, 100.0, 1.0, RED);
            observations.extend((45..100).map(|f| {
                let landmarks = synthetic::person([100.0 + f as f32, 240.0], 80.0);
                let observation = Observation { landmarks, appearance: AppearanceHistogram::of_colour(RED) };
                TrackletObservation::new(f, 1, observation)
            }));
            for one in observations.iter_mut().filter(|one| one.frame % 5 == 0) {
                let is_second = one.tracklet == 1 && one.frame < 60;
                one.is_detected = Some(!is_second || is_second_detected);
            }
            let tracks = persons(observations);
            assert_eq!(tracks.len(), people);
            assert_eq!(tracks[0].frames.len(), if people == 1 { 100 } else { 60 });
        }
    }

    #[test]
    fn the_detector_decides_where_visibility_does_not() {
        let walk = |tracklet, x: f32, score: f32, detection: bool| {
            let mut observations = walk(tracklet, 0..60, x, 0.0, RED);
            for one in &mut observations {
                one.observation.landmarks.score = score;
                one.is_detected = (one.frame % 6 == 0).then_some(detection);
            }
            observations
        };
        let observations = [walk(0, 100.0, 0.4, true), walk(1, 500.0, 0.99, false), walk(2, 900.0, 0.2, true)].concat();
        let tracks = persons(observations);
        assert_eq!(tracks.iter().map(|t| x_of(t, 0)).collect::<Vec<_>>(), [100.0]);
    }

    #[test]
    fn whom_the_detector_sees_all_the_time_need_be_found_now_and_then_only() {
        for (detections, people) in [(true, 1), (false, 0)] {
            let mut observations = walk(0, 0..120, 100.0, 0.0, RED);
            observations.retain(|one| one.frame % 10 < 4);
            for one in &mut observations {
                one.observation.landmarks.score = 0.5;
                // Detected on every second keyframe only, they are as likely nobody.
                one.is_detected = (one.frame % 10 == 0).then_some(detections || one.frame % 20 == 0);
            }
            assert_eq!(persons(observations).len(), people);
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
        let observations =
            [walk(7, 20..60, 100.0, 0.0, RED), walk(3, 0..60, 900.0, 0.0, RED), walk(5, 0..60, 500.0, 0.0, BLUE)];
        let tracks = persons(observations.concat());
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
