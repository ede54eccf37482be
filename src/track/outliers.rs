//! Takes out the looks in which the network saw something else than the person for a moment.

use super::link::Person;
use crate::pose::{Landmarks, skeleton::JOINTS};

/// An outlier is so many looks long at most: what takes longer a person can really have done.
const LONGEST: usize = 2;
/// Most seconds from the look before an outlier to the one after it.
const LONGEST_TIME: f64 = 0.2;
/// Mean distance of an outlier's joints from where the looks before and after place them, over the body's extent: at least this.
const FAR: f32 = 0.07;
/// The same distance over that which the body moved from the look before to the look after: at least this.
const SUDDEN: f32 = 2.0;

/// Takes out the looks that lie far from what the looks before and after agree on: the fit bridges a gap better than it follows an
/// outlier. Frames that are interpolated vouch for nothing. Gives how many there were. `fps`: frames a second.
pub(super) fn drop_outliers(person: &mut Person, fps: f64) -> usize {
    let mut looks: Vec<u64> = person.values().filter(|one| !one.is_interpolated).map(|one| one.frame).collect();
    let count = looks.len();
    let landmarks = |frame: u64| &person[&frame].observation.landmarks;
    for length in 1..=LONGEST {
        let longest = ((LONGEST_TIME * fps).round() as u64).max(length as u64 + 1);
        let mut first = 1;
        while first + length < looks.len() {
            let [before, after] = [looks[first - 1], looks[first + length]];
            let moved = distance(landmarks(before), landmarks(before), landmarks(after), 1.0);
            let is_outlier = |frame: &u64| {
                // A body that a network gives does not follow from these landmarks.
                let is_body = person[frame].estimate.is_some();
                let share = (frame - before) as f32 / (after - before) as f32;
                let off = distance(landmarks(*frame), landmarks(before), landmarks(after), share);
                !is_body && off > FAR && off > SUDDEN * moved
            };
            let these = first..first + length;
            if after - before <= longest && looks[these.clone()].iter().all(is_outlier) {
                looks.drain(these);
            } else {
                first += 1;
            }
        }
    }
    person.retain(|frame, one| one.is_interpolated || looks.binary_search(frame).is_ok());
    count - looks.len()
}

/// Mean distance of the joints from a point on the way from `before` to `after`, over the larger extent.
fn distance(found: &Landmarks, before: &Landmarks, after: &Landmarks, share: f32) -> f32 {
    let off = |i: usize| {
        let (f, a, b) = (found.points[i], before.points[i], after.points[i]);
        (f.x - a.x - share * (b.x - a.x)).hypot(f.y - a.y - share * (b.y - a.y))
    };
    JOINTS.iter().map(|&i| off(i)).sum::<f32>() / JOINTS.len() as f32 / before.extent().max(after.extent())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::gaps::{interpolate_again, interpolate_skipped};
    use crate::track::synthetic;

    const FPS: f64 = 30.0;

    /// Somebody who was looked at in every so many frames.
    fn person(step: u64, middles: &[f32]) -> Person {
        let seen = |(n, &x): (u64, &f32)| {
            let mut one = synthetic::seen(step * n, 1, [x, 200.0], 150.0, [0; 3]);
            one.skipped = (step * n.saturating_sub(1) + 1..step * n).collect();
            (one.frame, Box::new(one))
        };
        (0..).zip(middles).map(seen).collect()
    }

    #[test]
    fn what_jumps_away_and_back_is_taken_out() {
        let mut jumping = person(1, &[100.0, 102.0, 180.0, 106.0, 108.0, 30.0, 31.0, 114.0, 116.0]);
        assert_eq!(drop_outliers(&mut jumping, FPS), 3);
        assert_eq!(jumping.keys().copied().collect::<Vec<_>>(), [0, 1, 3, 4, 7, 8]);
    }

    #[test]
    fn what_was_interpolated_through_an_outlier_goes_with_it() {
        let mut jumping = person(3, &[100.0, 106.0, 180.0, 118.0, 124.0]);
        interpolate_skipped(&mut jumping);
        assert_eq!(drop_outliers(&mut jumping, FPS), 1);
        interpolate_again(&mut jumping);
        assert_eq!(jumping.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]);
        for (frame, one) in &jumping {
            let off = one.observation.landmarks.circle[0][0] - (100.0 + 2.0 * *frame as f32);
            assert!(off.abs() < 0.01, "frame {frame}: {off} pixels off");
        }
    }

    #[test]
    fn looks_that_are_far_apart_in_time_say_nothing_of_each_other() {
        assert_eq!(drop_outliers(&mut person(4, &[100.0, 102.0, 180.0, 106.0, 108.0]), FPS), 0);
    }

    #[test]
    fn fast_motion_and_a_jump_that_lasts_stay() {
        let mut fast = person(1, &[100.0, 140.0, 180.0, 220.0, 260.0]);
        let mut turning = person(1, &[100.0, 130.0, 150.0, 140.0, 110.0, 80.0]);
        let mut lasting = person(1, &[100.0, 100.0, 200.0, 200.0, 200.0, 200.0]);
        let dropped = [&mut fast, &mut turning, &mut lasting].map(|person| drop_outliers(person, FPS));
        assert_eq!(dropped, [0; 3]);
    }
}
