//! Interpolates people in frames in which they were skipped on purpose, and small people in frames in which they were not found.

use std::collections::BTreeSet;

use super::TrackletObservation;
use super::link::Person;
use super::similarity::{is_small, sided};
use crate::curve;
use crate::pose::{Landmarks, Observation};

/// Adds the frames in which a person was skipped ([`TrackletObservation::skipped`]): they lie on a curve through what was observed before and
/// after, in the scene.
pub(super) fn interpolate_skipped(person: &mut Person) {
    interpolate(person, |last, next| {
        let between = last.frame + 1..next.frame;
        next.skipped.iter().copied().filter(|frame| between.contains(frame)).collect()
    });
}

/// Interpolates all frames anew that were interpolated before, after what was observed has changed.
pub(super) fn interpolate_again(person: &mut Person) {
    let before: BTreeSet<u64> = person.values().filter(|one| one.is_interpolated).map(|one| one.frame).collect();
    person.retain(|frame, _| !before.contains(frame));
    interpolate(person, |last, next| before.range(last.frame + 1..next.frame).copied().collect());
}

/// Adds frames between each two looks: those that `missing` gives.
fn interpolate(person: &mut Person, missing: impl Fn(&TrackletObservation, &TrackletObservation) -> Vec<u64>) {
    let looks: Vec<&TrackletObservation> = person.values().map(Box::as_ref).collect();
    let times: Vec<f64> = looks.iter().map(|look| look.frame as f64).collect();
    let mut found = Vec::new();
    for (i, pair) in looks.windows(2).enumerate() {
        let (last, next) = (pair[0], pair[1]);
        let frames = missing(last, next);
        if !frames.is_empty() {
            let around = curve::neighbours(&times, i).map(|look| look.map(|look| looks[look]));
            found.extend(between([last, next], around, frames.into_iter()));
        }
    }
    person.extend(found.into_iter().map(|seen| (seen.frame, Box::new(seen))));
}

/// Adds the frames in which a small person was not found; their points have no visibility.
pub(super) fn interpolate_lost(person: &mut Person, display: [u32; 2]) {
    let is_small = |seen: &TrackletObservation| is_small(&seen.observation.landmarks.region(), display);
    let pairs = person.values().zip(person.values().skip(1));
    let lost = pairs.filter(|(last, next)| next.frame - last.frame > 1 && is_small(last) && is_small(next));
    let missing = lost.flat_map(|(last, next)| between([last, next], [None, None], last.frame + 1..next.frame));
    let hidden = missing.map(|mut seen| {
        seen.observation.landmarks.points.iter_mut().for_each(|p| p.visibility = 0.0);
        seen
    });
    let missing: Vec<TrackletObservation> = hidden.collect();
    person.extend(missing.into_iter().map(|seen| (seen.frame, Box::new(seen))));
}

/// The body on the straight way from one observation of a person to another.
pub(super) fn on_the_way(a: &Landmarks, b: &Landmarks, share: f32) -> Landmarks {
    a.between(&sided(b, a), share)
}

/// Some of the frames between two observations of one person, on a curve through them which comes from the observation before these and goes on to the
/// one after, where there are such.
fn between(
    [last, next]: [&TrackletObservation; 2],
    [before, after]: [Option<&TrackletObservation>; 2],
    frames: impl Iterator<Item = u64>,
) -> Vec<TrackletObservation> {
    let a = &last.observation.landmarks;
    let b = sided(&next.observation.landmarks, a);
    let [before, after] = [(before, a), (after, &b)]
        .map(|(one, near)| one.map(|one| (one.frame as f64, sided(&one.observation.landmarks, near))));
    let [first, end] = [last.frame, next.frame].map(|frame| frame as f64);
    let bodies = [before.as_ref().map_or(a, |(_, body)| body), a, &b, after.as_ref().map_or(&b, |(_, body)| body)];
    let observation = |frame: u64| {
        let share = (frame as f64 - first) / (end - first);
        let times =
            [before.as_ref().map(|(time, _)| *time), Some(first), Some(end), after.as_ref().map(|(time, _)| *time)];
        let weights = curve::weights(times, share).map(|weight| weight as f32);
        let landmarks = Landmarks::on_curve(bodies, weights, share as f32);
        Observation { landmarks, appearance: last.observation.appearance }
    };
    let seen = |frame| TrackletObservation {
        is_behind: last.is_behind && next.is_behind,
        is_interpolated: true,
        ..TrackletObservation::new(frame, last.tracklet, observation(frame))
    };
    frames.map(seen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pose::AppearanceHistogram;
    use crate::pose::skeleton::{LEFT_SHOULDER, RIGHT_SHOULDER};
    use crate::track::synthetic;

    const DISPLAY: [u32; 2] = [1280, 720];

    /// Somebody of this height, after so many frames in which they were not looked for.
    fn seen(frame: u64, skipped: u64, x: f32, height: f32) -> TrackletObservation {
        let skipped = (frame - skipped..frame).collect();
        let landmarks = synthetic::person([x, 200.0], height);
        let observation = Observation { landmarks, appearance: AppearanceHistogram::default() };
        TrackletObservation { observation, skipped, ..synthetic::seen(frame, 3, [x, 200.0], height, [0; 3]) }
    }

    fn person(all: impl IntoIterator<Item = TrackletObservation>) -> Person {
        all.into_iter().map(|one| (one.frame, Box::new(one))).collect()
    }

    #[test]
    fn people_are_moved_on_between_looks() {
        let mut exchanged = seen(4, 3, 108.0, 80.0);
        exchanged.observation.mirror();
        let mut filled = person([seen(0, 0, 100.0, 80.0), exchanged]);
        interpolate_skipped(&mut filled);
        let places: Vec<(u64, f32)> =
            filled.values().map(|s| (s.frame, s.observation.landmarks.points[LEFT_SHOULDER].x)).collect();
        let first = synthetic::person([100.0, 200.0], 80.0).points;
        let expected: Vec<(u64, f32)> = (0..4).map(|i| (i, first[LEFT_SHOULDER].x + 2.0 * i as f32)).collect();
        assert_eq!(places[..4], expected, "with the labels of the observation before");
        assert_eq!(places[4], (4, first[RIGHT_SHOULDER].x + 8.0));
    }

    #[test]
    fn the_way_between_looks_bends_as_the_motion_does() {
        let x_of = |frame: u64| 100.0 + 0.5 * (frame as f32 - 8.0).powi(2);
        let looks = [(0, 0), (4, 3), (8, 3), (12, 3)];
        let mut filled = person(looks.map(|(frame, skipped)| seen(frame, skipped, x_of(frame), 300.0)));
        interpolate_skipped(&mut filled);
        assert_eq!(filled.len(), 13);
        for (frame, one) in &filled {
            let off = (one.observation.landmarks.circle[0][0] - x_of(*frame)).abs();
            assert!(off < 1e-3, "frame {frame}: {off} pixels off");
            assert_eq!(one.is_interpolated, frame % 4 != 0);
        }
    }

    #[test]
    fn who_was_lost_is_there_unseen() {
        let mut person = person([seen(3, 0, 103.0, 80.0), seen(18, 0, 118.0, 80.0)]);
        interpolate_lost(&mut person, DISPLAY);
        assert_eq!(person.keys().copied().collect::<Vec<_>>(), (3..=18).collect::<Vec<_>>());
        for (frame, one) in &person {
            let (found, truth) =
                (one.observation.landmarks.points[LEFT_SHOULDER], seen(0, 0, 100.0 + *frame as f32, 80.0));
            assert!((found.x - truth.observation.landmarks.points[LEFT_SHOULDER].x).abs() < 0.01, "frame {frame}");
            assert_eq!(found.visibility == 0.0, (4..18).contains(frame));
        }
    }

    #[test]
    fn those_who_were_looked_for_and_not_found_are_not_made_up() {
        let lost = person([seen(0, 0, 100.0, 300.0), seen(5, 0, 108.0, 300.0)]);
        let mut filled = lost.clone();
        interpolate_skipped(&mut filled);
        interpolate_lost(&mut filled, DISPLAY);
        assert_eq!(filled, lost);
    }
}
