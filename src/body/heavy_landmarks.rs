//! Uses the heavy network's landmarks, which are better and there for some frames only, to correct the frames between.
//!
//! The error in metres of the network that looks at every frame is mostly one of depth and depends on the pose, so it changes slowly. In
//! frames that both networks saw, the difference between them is measured, and this difference is added to the other network's landmarks
//! in the frames between. It is predicted as a constant for the track plus a part that is forgotten over a fraction of a second: simple
//! kriging with an exponential covariance, for which the nearest measurement on either side is enough. In the picture the networks differ
//! by noise rather than bias, so there only frames very near a measured one are corrected.

use super::initial::Points;
use crate::control::{Proceed, Stopped};
use crate::pose::Landmarks;
use crate::pose::skeleton::{BELOW_HEAD, LANDMARKS};
use crate::track::TrackFrame;
use glam::{DVec2, DVec3};

/// Seconds after which a difference in metres is forgotten to 1/e.
const WORLD_MEMORY: f64 = 0.30;
/// Seconds after which a difference in the picture is.
const PIXEL_MEMORY: f64 = 0.10;
/// Number of measured differences at which the track's constant difference is believed by half.
const CONSTANT_PRIOR: f64 = 4.0;
/// Difference in the picture, over the person's size, beyond which the networks disagree about a landmark below the head.
const DISAGREEMENT: f64 = 0.15;
/// If they disagree about more landmarks than this, they saw different things.
const MOST_DISAGREEMENTS: usize = 6;
/// Distance over the person's size from where the looks before and after have a point, beyond which the heavy network may be wrong for
/// once.
const STRAY: f64 = 0.08;
/// It is if that is also so many times the other network's distance.
const STRAY_FACTOR: f64 = 2.0;
/// Seconds within which these looks must be: the time from one keyframe to the next, and a little.
const STRAY_REACH: f64 = 0.21;

/// One frame's landmarks after correction.
#[derive(Debug, Clone)]
pub struct Corrected {
    /// Displayed pixels.
    pub pixels: [DVec2; LANDMARKS],
    /// Metres.
    pub world: Points,
    /// 0..=1.
    pub visibility: [f64; LANDMARKS],
}

/// What the heavy network's landmarks are minus the other's in one frame.
struct HeavyDifference {
    /// Seconds.
    time: f64,
    /// Index into the track's frames.
    index: usize,
    /// Metres.
    world: Points,
    /// Displayed pixels.
    pixels: [DVec2; LANDMARKS],
}

/// Landmarks as they are.
fn plain(seen: &Landmarks) -> Corrected {
    Corrected {
        pixels: seen.points.map(|p| DVec2::new(f64::from(p.x), f64::from(p.y))),
        world: seen.world.map(|p| DVec3::from_array(p.map(f64::from))),
        visibility: seen.points.map(|p| f64::from(p.visibility).clamp(0.0, 1.0)),
    }
}

/// The heavy network's landmarks of a frame, without its strays; `None` where it was not asked.
fn heavy(times: &[f64], frames: &[Option<TrackFrame>], index: usize) -> Option<Corrected> {
    let seen = frames[index].as_ref()?;
    let (other, mut heavy) = (plain(&seen.landmarks), plain(seen.heavy_landmarks.as_ref()?));
    let look = |i: usize| {
        let frame = frames[i].as_ref().filter(|frame| !frame.is_interpolated)?;
        Some((times[i], plain(&frame.landmarks)))
    };
    let is_near = |i: &usize| (times[*i] - times[index]).abs() < STRAY_REACH;
    let before = (0..index).rev().take_while(is_near).find_map(look);
    let after = (index + 1..frames.len()).take_while(is_near).find_map(look);
    let (Some((start, before)), Some((end, after))) = (before, after) else { return Some(heavy) };
    let share = (times[index] - start) / (end - start).max(1e-9);
    let reach = STRAY * size(&other.pixels);
    for i in 0..LANDMARKS {
        let way = before.pixels[i].lerp(after.pixels[i], share);
        let [off, usual] = [&heavy, &other].map(|c| c.pixels[i].distance(way));
        if off > reach && off > STRAY_FACTOR * usual {
            (heavy.pixels[i], heavy.world[i]) = (other.pixels[i], other.world[i]);
        }
    }
    Some(heavy)
}

/// The corrected landmarks of every frame in which the person was found. `times`: seconds of each frame.
///
/// # Errors
/// [`Stopped`] when `proceed`, which is called for each frame, says so.
pub fn correct(
    times: &[f64],
    frames: &[Option<TrackFrame>],
    proceed: Proceed<'_>,
) -> Result<Vec<Option<Corrected>>, Stopped> {
    let mut differences: Vec<HeavyDifference> = Vec::new();
    for index in 0..frames.len() {
        proceed()?;
        let found = || {
            let o = frames[index].as_ref()?;
            let (first, second) = (plain(&o.landmarks), heavy(times, frames, index)?);
            let difference = |i: usize| second.pixels[i] - first.pixels[i];
            let size = size(&second.pixels);
            let apart = BELOW_HEAD.filter(|&i| difference(i).length() > DISAGREEMENT * size).count();
            let world: Points = std::array::from_fn(|i| second.world[i] - first.world[i]);
            let usable = apart <= MOST_DISAGREEMENTS && size.is_finite() && world.iter().all(|d| d.is_finite());
            usable.then(|| HeavyDifference {
                time: times[index],
                index,
                world,
                pixels: std::array::from_fn(difference),
            })
        };
        differences.extend(found());
    }
    let trust = differences.len() as f64 / (differences.len() as f64 + CONSTANT_PRIOR);
    let constant: Points = std::array::from_fn(|i| {
        let mut values: Vec<DVec3> = differences.iter().map(|o| o.world[i]).collect();
        median(&mut values) * trust
    });
    let mut after = 0;
    let mut corrected_of = |index: usize, o: &Option<TrackFrame>| {
        let o = o.as_ref()?;
        while after < differences.len() && differences[after].index < index {
            after += 1;
        }
        // The heavy network's landmarks stand where there are any.
        if differences.get(after).is_some_and(|o| o.index == index) {
            return heavy(times, frames, index);
        }
        let mut corrected = plain(&o.landmarks);
        let around = [after.checked_sub(1), Some(after)].map(|i| i.and_then(|i| differences.get(i)));
        let distance = around.map(|o| o.map_or(f64::INFINITY, |o| (o.time - times[index]).abs()));
        let world = weights(distance.map(|d| d / WORLD_MEMORY));
        let pixel = weights(distance.map(|d| d / PIXEL_MEMORY));
        corrected.world.iter_mut().zip(&constant).for_each(|(p, c)| *p += *c);
        for (n, measured) in around.into_iter().enumerate() {
            let Some(measured) = measured else { continue };
            for (i, c) in constant.iter().enumerate() {
                corrected.world[i] += (measured.world[i] - *c) * world[n];
                corrected.pixels[i] += measured.pixels[i] * pixel[n];
            }
        }
        Some(corrected)
    };
    let each = frames.iter().enumerate().map(|(index, o)| {
        proceed()?;
        Ok(corrected_of(index, o))
    });
    each.collect()
}

/// Simple kriging weights of a known value before and one after, at these distances in units of the memory, for the exponential
/// covariance exp(-distance). (Cressie, *Statistics for Spatial Data*, 1993.)
fn weights([before, after]: [f64; 2]) -> [f64; 2] {
    let (a, b) = ((-before).exp(), (-after).exp());
    let both = a * b;
    let scale = 1.0 / (1.0 - both * both).max(1e-9);
    [(a - b * both) * scale, (b - a * both) * scale]
}

/// The person's size in the picture: the diagonal of the box around all landmarks, displayed pixels.
fn size(pixels: &[DVec2]) -> f64 {
    let low = pixels.iter().copied().fold(DVec2::INFINITY, DVec2::min);
    let high = pixels.iter().copied().fold(DVec2::NEG_INFINITY, DVec2::max);
    (high - low).length()
}

/// The median of each coordinate.
fn median(values: &mut [DVec3]) -> DVec3 {
    if values.is_empty() {
        return DVec3::ZERO;
    }
    let mut middle = DVec3::ZERO;
    for axis in 0..3 {
        values.sort_by(|a, b| a[axis].total_cmp(&b[axis]));
        middle[axis] = values[values.len() / 2][axis];
    }
    middle
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::never_stopped;
    use crate::pose::Landmark;

    fn seen(depth: f32) -> Landmarks {
        let points =
            std::array::from_fn(|i| Landmark { x: i as f32 * 9.0, y: 7.0, visibility: 1.0, ..Default::default() });
        Landmarks {
            score: 1.0,
            points,
            circle: [[0.0; 2]; 2],
            world: [[0.0, 0.0, depth]; LANDMARKS],
            hands: [None, None],
        }
    }

    #[test]
    fn a_bias_is_removed_between_heavy_frames() {
        let times: Vec<f64> = (0..31).map(|i| f64::from(i) / 30.0).collect();
        let frames: Vec<Option<TrackFrame>> = (0..31)
            .map(|i| {
                let second = (i % 10 == 0).then(|| Box::new(seen(0.3)));
                Some(TrackFrame {
                    landmarks: seen(0.1),
                    heavy_landmarks: second,
                    estimate: None,
                    uncertain: false,
                    is_interpolated: false,
                })
            })
            .collect();
        let corrected = correct(&times, &frames, &never_stopped).unwrap();
        for (i, c) in corrected.iter().enumerate() {
            let z = c.as_ref().map(|c| c.world[5].z).unwrap_or_default();
            assert!((z - 0.3).abs() < 0.06, "frame {i}: {z}");
        }
    }

    #[test]
    fn without_heavy_landmarks_nothing_changes() {
        let frames = vec![
            None,
            Some(TrackFrame {
                landmarks: seen(0.1),
                heavy_landmarks: None,
                estimate: None,
                uncertain: false,
                is_interpolated: false,
            }),
        ];
        let corrected = correct(&[0.0, 0.1], &frames, &never_stopped).unwrap();
        assert!(corrected[0].is_none());
        assert!((corrected[1].as_ref().map(|c| c.world[3].z).unwrap_or_default() - 0.1).abs() < 1e-6);
    }
}
