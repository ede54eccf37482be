//! Interpolates small people in frames in which they were skipped on purpose, and in frames in which they were not found: they move on a
//! straight line in the scene.

use super::{
    TrackletObservation,
    link::Person,
    similarity::{is_small, pose_distance, same_side_distance},
};

/// How often in a second small people are observed: a dozen of them would otherwise cost ten times what the person in front does.
const OBSERVED_A_SECOND: f64 = 12.5;

/// Small people are observed in frames whose number is a multiple of this.
pub(super) fn small_person_interval(fps: f64) -> u64 {
    ((fps / OBSERVED_A_SECOND) as u64).max(1)
}

/// Adds the frames in which a small person was skipped: those between observations that are at most `interval` frames apart.
pub(super) fn interpolate_skipped(person: &mut Person, interval: u64, display: [u32; 2]) {
    let missing = gaps(person, display).filter(|(last, next)| next.frame - last.frame <= interval);
    let missing: Vec<TrackletObservation> = missing.flat_map(|(last, next)| between(last, next)).collect();
    person.extend(missing.into_iter().map(|seen| (seen.frame, Box::new(seen))));
}

/// Adds the frames in which a small person was not found; their points have no visibility.
pub(super) fn interpolate_lost(person: &mut Person, display: [u32; 2]) {
    let missing = gaps(person, display).flat_map(|(last, next)| between(last, next));
    let hidden = missing.map(|mut seen| {
        seen.observation.landmarks.points.iter_mut().for_each(|p| p.visibility = 0.0);
        seen
    });
    let missing: Vec<TrackletObservation> = hidden.collect();
    person.extend(missing.into_iter().map(|seen| (seen.frame, Box::new(seen))));
}

/// Pairs of observations of a small person with frames between them.
fn gaps(
    person: &Person,
    display: [u32; 2],
) -> impl Iterator<Item = (&Box<TrackletObservation>, &Box<TrackletObservation>)> {
    let is_small = move |seen: &TrackletObservation| is_small(&seen.observation.landmarks.region(), display);
    let pairs = person.values().zip(person.values().skip(1));
    pairs.filter(move |(last, next)| next.frame - last.frame > 1 && is_small(last) && is_small(next))
}

/// The frames between two observations of one person.
fn between(
    last: &TrackletObservation,
    next: &TrackletObservation,
) -> impl Iterator<Item = TrackletObservation> + use<> {
    let a = last.observation.clone();
    let mut b = next.observation.clone();
    // Left and right may be exchanged in one of them. The repair comes later, and sees it better if the frames between are not a mixture
    // of both.
    if same_side_distance(&a.landmarks, &b.landmarks) > pose_distance(&a.landmarks, &b.landmarks, [0.0; 2]) {
        b.mirror();
    }
    let (tracklet, first, frames) = (last.tracklet, last.frame, next.frame - last.frame);
    let is_behind = last.is_behind && next.is_behind;
    (1..frames).map(move |i| TrackletObservation {
        frame: first + i,
        tracklet,
        observation: a.between(&b, i as f32 / frames as f32),
        heavy_landmarks: None,
        seen_points: None,
        estimate: None,
        is_detected: None,
        is_behind,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pose::Observation;
    use crate::pose::skeleton::{LEFT_SHOULDER, RIGHT_SHOULDER};
    use crate::{pose::AppearanceHistogram, track::synthetic};

    const DISPLAY: [u32; 2] = [1280, 720];

    fn seen(frame: u64, x: f32, height: f32, exchanged: bool) -> (u64, Box<TrackletObservation>) {
        let mut landmarks = synthetic::person([x, 200.0], height);
        if exchanged {
            landmarks.mirror();
        }
        let observation = Observation { landmarks, appearance: AppearanceHistogram::default() };
        (
            frame,
            Box::new(TrackletObservation {
                frame,
                tracklet: 3,
                observation,
                heavy_landmarks: None,
                seen_points: None,
                estimate: None,
                is_detected: Some(true),
                is_behind: false,
            }),
        )
    }

    #[test]
    fn small_people_are_moved_on_between_looks() {
        let mut filled = Person::from([seen(0, 100.0, 80.0, false), seen(4, 108.0, 80.0, true)]);
        interpolate_skipped(&mut filled, 4, DISPLAY);
        let places: Vec<(u64, f32)> =
            filled.values().map(|s| (s.frame, s.observation.landmarks.points[LEFT_SHOULDER].x)).collect();
        let first = synthetic::person([100.0, 200.0], 80.0).points;
        let expected: Vec<(u64, f32)> = (0..4).map(|i| (i, first[LEFT_SHOULDER].x + 2.0 * i as f32)).collect();
        assert_eq!(places[..4], expected, "with the labels of the observation before");
        assert_eq!(places[4], (4, first[RIGHT_SHOULDER].x + 8.0));
    }

    #[test]
    fn who_was_lost_is_there_unseen() {
        let mut person = Person::from([seen(3, 103.0, 80.0, false), seen(18, 118.0, 80.0, false)]);
        interpolate_lost(&mut person, DISPLAY);
        assert_eq!(person.keys().copied().collect::<Vec<_>>(), (3..=18).collect::<Vec<_>>());
        for (frame, one) in &person {
            let (found, truth) =
                (one.observation.landmarks.points[LEFT_SHOULDER], seen(0, 100.0 + *frame as f32, 80.0, false).1);
            assert!((found.x - truth.observation.landmarks.points[LEFT_SHOULDER].x).abs() < 0.01, "frame {frame}");
            assert_eq!(found.visibility == 0.0, (4..18).contains(frame));
        }
    }

    #[test]
    fn those_who_were_lost_and_large_people_are_not() {
        for (height, frame) in [(80.0, 5), (300.0, 4)] {
            let person = Person::from([seen(0, 100.0, height, false), seen(frame, 108.0, height, false)]);
            let mut filled = person.clone();
            interpolate_skipped(&mut filled, 4, DISPLAY);
            assert_eq!(filled, person);
        }
    }
}
