//! Takes out the frames in which the network saw something else than the person for a moment.

use super::Track;
use crate::pose::{Landmarks, skeleton::JOINTS};

/// An outlier is so many frames long at most: what takes longer a person can really have done.
const LONGEST: usize = 2;
/// Mean distance of an outlier's joints from where the frames before and after place them, over the body's extent: at least this.
const FAR: f32 = 0.07;
/// The same distance over that which the body moved from the frame before to the frame after: at least this.
const SUDDEN: f32 = 2.0;

/// Takes out the frames that lie far from what the frames before and after agree on: the fit bridges a gap better than it follows an
/// outlier. Gives how many there were.
pub fn drop_outliers(track: &mut Track) -> usize {
    let mut dropped = 0;
    for length in 1..=LONGEST {
        for first in 1..track.frames.len().saturating_sub(length) {
            let landmarks = |i: usize| track.frames[i].as_ref().map(|o| &o.landmarks);
            let (Some(before), Some(after)) = (landmarks(first - 1), landmarks(first + length)) else { continue };
            let moved = distance(before, before, after, 1.0);
            let is_outlier = |i: usize| {
                let share = (i + 1 - first) as f32 / (length + 1) as f32;
                landmarks(i).is_some_and(|found| {
                    let off = distance(found, before, after, share);
                    off > FAR && off > SUDDEN * moved
                })
            };
            // A body that a network gives does not follow from these landmarks.
            let is_body = |i: usize| track.frames[i].as_ref().is_some_and(|frame| frame.estimate.is_some());
            if (first..first + length).all(|i| is_outlier(i) && !is_body(i)) {
                track.frames[first..first + length].fill(None);
                dropped += length;
            }
        }
    }
    dropped
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
    use crate::track::{TrackFrame, synthetic};

    fn track(middles: &[f32]) -> Track {
        let seen = |&x: &f32| {
            let landmarks = synthetic::person([x, 200.0], 150.0);
            Some(TrackFrame { landmarks, heavy_landmarks: None, estimate: None, uncertain: false })
        };
        Track { id: 1, first_frame: 0, frames: middles.iter().map(seen).collect() }
    }

    #[test]
    fn what_jumps_away_and_back_is_taken_out() {
        let mut jumping = track(&[100.0, 102.0, 180.0, 106.0, 108.0, 30.0, 31.0, 114.0, 116.0]);
        assert_eq!(drop_outliers(&mut jumping), 3);
        let gone: Vec<usize> = (0..9).filter(|&i| jumping.frames[i].is_none()).collect();
        assert_eq!(gone, [2, 5, 6]);
    }

    #[test]
    fn fast_motion_and_a_jump_that_lasts_stay() {
        let mut fast = track(&[100.0, 140.0, 180.0, 220.0, 260.0]);
        let mut turning = track(&[100.0, 130.0, 150.0, 140.0, 110.0, 80.0]);
        let mut lasting = track(&[100.0, 100.0, 200.0, 200.0, 200.0, 200.0]);
        assert_eq!(drop_outliers(&mut fast) + drop_outliers(&mut turning) + drop_outliers(&mut lasting), 0);
    }
}
