//! Interpolates people in frames in which they were skipped on purpose, and small people in frames in which they were not found.

use super::TrackletObservation;
use super::link::Person;
use super::similarity::{is_small, pose_distance, same_side_distance};
use crate::pose::{Landmarks, Observation};

/// Adds the frames in which a person was skipped ([`TrackletObservation::skipped`]): they lie on a curve through what was observed before and
/// after, in the scene.
pub(super) fn interpolate_skipped(person: &mut Person) {
    let all: Vec<&TrackletObservation> = person.values().map(Box::as_ref).collect();
    let mut missing = Vec::new();
    for (i, pair) in all.windows(2).enumerate() {
        let (last, next) = (pair[0], pair[1]);
        if !next.skipped.is_empty() {
            let neighbours = [i.checked_sub(1).and_then(|before| all.get(before)), all.get(i + 2)];
            let skipped = next.skipped.iter().copied().filter(|frame| (last.frame + 1..next.frame).contains(frame));
            missing.extend(between([last, next], neighbours.map(Option::<&&_>::copied), skipped));
        }
    }
    person.extend(missing.into_iter().map(|seen| (seen.frame, Box::new(seen))));
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

/// A body with left and right as in another of the same person. They may be exchanged in one of them: the repair comes later, and sees it better if
/// the frames between are not a mixture of both.
fn sided(landmarks: &Landmarks, as_in: &Landmarks) -> Landmarks {
    let mut sided = landmarks.clone();
    if same_side_distance(as_in, landmarks) > pose_distance(as_in, landmarks, [0.0; 2]) {
        sided.mirror();
    }
    sided
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
        .map(|(one, near)| one.map(|one| (one.frame as f32, sided(&one.observation.landmarks, near))));
    let [first, end] = [last.frame, next.frame].map(|frame| frame as f32);
    let bodies = [before.as_ref().map_or(a, |(_, body)| body), a, &b, after.as_ref().map_or(&b, |(_, body)| body)];
    let observation = |frame: u64| {
        let share = (frame as f32 - first) / (end - first);
        let times =
            [before.as_ref().map(|(time, _)| *time), Some(first), Some(end), after.as_ref().map(|(time, _)| *time)];
        let landmarks = Landmarks::on_curve(bodies, curve(times, share), share);
        Observation { landmarks, appearance: last.observation.appearance }
    };
    let seen = |frame| TrackletObservation {
        frame,
        tracklet: last.tracklet,
        observation: observation(frame),
        heavy_landmarks: None,
        seen_points: None,
        estimate: None,
        is_detected: None,
        is_behind: last.is_behind && next.is_behind,
        skipped: Vec::new(),
    };
    frames.map(seen).collect()
}

/// What each of four points at these times counts in a point that is the given share of the way from the second to the third: on the cubic curve whose
/// direction in those two is that of the parabola through them and their neighbours. Where one neighbour is missing the curve is the parabola through
/// the other three, where both are it is straight.
fn curve([before, first, last, after]: [Option<f32>; 4], share: f32) -> [f32; 4] {
    let (Some(first), Some(last)) = (first, last) else { return [0.0; 4] };
    let length = last - first;
    // Directions are steps over `length`, as weights of the four points.
    let straight = [0.0, -1.0, 1.0, 0.0];
    let parabola = |outer_step: [f32; 4], far: f32| {
        let [outer, inner] = [length * length / (far * (far + length)), far / (far + length)];
        std::array::from_fn::<f32, 4, _>(|i| outer * outer_step[i] + inner * straight[i])
    };
    let leaving = before.map(|time| parabola([-1.0, 1.0, 0.0, 0.0], first - time));
    let arriving = after.map(|time| parabola([0.0, 0.0, -1.0, 1.0], time - last));
    let opposite = |direction: [f32; 4]| std::array::from_fn(|i| 2.0 * straight[i] - direction[i]);
    let [leaving, arriving] = match (leaving, arriving) {
        (Some(leaving), Some(arriving)) => [leaving, arriving],
        (Some(leaving), None) => [leaving, opposite(leaving)],
        (None, Some(arriving)) => [opposite(arriving), arriving],
        (None, None) => [straight; 2],
    };
    let (s, s2, s3) = (share, share * share, share * share * share);
    let [start, out, end, into] = [2.0 * s3 - 3.0 * s2 + 1.0, s3 - 2.0 * s2 + s, 3.0 * s2 - 2.0 * s3, s3 - s2];
    let ends = [0.0, start, end, 0.0];
    std::array::from_fn(|i| ends[i] + out * leaving[i] + into * arriving[i])
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
        // Looked at every fourth frame, and once at every frame: uneven steps must not matter.
        let x_of = |frame: u64| 100.0 + 0.5 * (frame as f32 - 8.0).powi(2);
        let looks = [(0, 0), (4, 3), (5, 0), (6, 0), (10, 3), (14, 3), (18, 3)];
        let mut filled = person(looks.map(|(frame, skipped)| seen(frame, skipped, x_of(frame), 300.0)));
        interpolate_skipped(&mut filled);
        assert_eq!(filled.len(), 19);
        for (frame, one) in &filled {
            let off = (one.observation.landmarks.circle[0][0] - x_of(*frame)).abs();
            assert!(off < 1e-3, "frame {frame}: {off} pixels off");
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
