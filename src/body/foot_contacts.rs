//! Foot contacts: where a heel or the tip of a foot rests in the picture it is held in space as well.

use super::levenberg_marquardt::FootContact;
use super::measurement::LandmarkSet;
use crate::control::{Proceed, Stopped};
use crate::pose::skeleton::FEET;
use glam::{DVec2, DVec3};

/// Speed in the picture, person sizes a second, below which a point rests: about 0.3 m/s.
const STILL: f64 = 0.16;
/// Seconds to either side over which speed is measured.
const SPEED_WINDOW: f64 = 0.05;
/// Seconds for which a point must rest to be held.
const LEAST_REST: f64 = 0.12;
/// A resting point is held at its mean over this time (standard deviation of a Gaussian, seconds), so that a slow camera can still carry
/// it along.
const HOLD: f64 = 0.35;
/// Standard deviations beyond which a Gaussian is 0 in double precision: exp(-39^2 / 2) is less than the smallest positive number.
const NOTHING: f64 = 39.0;
/// Seconds over which a point is taken hold of, and let go of.
const GRIP: f64 = 0.15;
/// How firmly it is held: standard deviation along x, y and z, metres.
const SIGMA: DVec3 = DVec3::splat(0.005);

/// One frame of a fitted track, lists in the order of the landmark set.
pub struct FootFrame<'a> {
    /// Seconds.
    pub time: f64,
    /// Landmarks in camera axes, metres.
    pub places: &'a [DVec3],
    /// The same in the picture.
    pub pixels: &'a [DVec2],
}

impl FootFrame<'_> {
    /// The person's size in pixels: the diagonal of the landmarks' box.
    fn size(&self) -> f64 {
        let low = self.pixels.iter().copied().fold(DVec2::INFINITY, DVec2::min);
        let high = self.pixels.iter().copied().fold(DVec2::NEG_INFINITY, DVec2::max);
        (high - low).length().max(1.0)
    }
}

/// For each frame the landmarks that are held, where and how firmly.
///
/// # Errors
/// [`Stopped`] when `proceed`, which is called for each frame, says so.
pub fn foot_contacts(
    set: &LandmarkSet,
    frames: &[FootFrame],
    proceed: Proceed<'_>,
) -> Result<Vec<Vec<FootContact>>, Stopped> {
    let mut held = vec![Vec::new(); frames.len()];
    for landmark in FEET {
        let Some(at) = set.landmarks.iter().position(|&l| l == landmark) else { continue };
        let still: Vec<bool> = (0..frames.len()).map(|i| speed(frames, i, at).is_some_and(|s| s < STILL)).collect();
        proceed()?;
        let mut first = 0;
        while first < frames.len() {
            if !still[first] {
                first += 1;
                continue;
            }
            let mut last = first;
            while last + 1 < frames.len() && still[last + 1] && frames[last + 1].time - frames[last].time < LEAST_REST {
                last += 1;
            }
            if frames[last].time - frames[first].time >= LEAST_REST {
                for i in first..=last {
                    proceed()?;
                    let edge = (frames[i].time - frames[first].time).min(frames[last].time - frames[i].time);
                    let grip = ((edge + 0.01) / GRIP).min(1.0).powi(2);
                    let place = mean_place(&frames[first..=last], frames[i].time, at);
                    held[i].push((at, place, grip / (SIGMA * SIGMA)));
                }
            }
            first = last + 1;
        }
    }
    Ok(held)
}

/// Person sizes a second; none where there is nothing to compare with.
fn speed(frames: &[FootFrame], i: usize, at: usize) -> Option<f64> {
    let near = |n: &usize| (frames[*n].time - frames[i].time).abs() <= SPEED_WINDOW;
    let before = (0..i).rev().take_while(near).last().or(i.checked_sub(1)).unwrap_or(i);
    let after = (i + 1..frames.len()).take_while(near).last().unwrap_or((i + 1).min(frames.len() - 1));
    let seconds = frames[after].time - frames[before].time;
    if seconds <= 0.0 || seconds > 6.0 * SPEED_WINDOW {
        return None;
    }
    Some(frames[after].pixels[at].distance(frames[before].pixels[at]) / seconds / frames[i].size())
}

fn mean_place(frames: &[FootFrame], time: f64, at: usize) -> DVec3 {
    // Frames further away than this weigh nothing at all, to the last bit: somebody may stand there for hours.
    let first = frames.partition_point(|frame| frame.time < time - NOTHING * HOLD);
    let (mut sum, mut total) = (DVec3::ZERO, 0.0);
    for frame in frames[first..].iter().take_while(|frame| frame.time <= time + NOTHING * HOLD) {
        let t = (frame.time - time) / HOLD;
        let weight = (-t * t / 2.0).exp();
        sum += frame.places[at] * weight;
        total += weight;
    }
    sum / total.max(1e-12)
}
