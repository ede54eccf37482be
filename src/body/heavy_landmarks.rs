//! Uses a better network's landmarks on some frames to correct the frames between.
//!
//! The every-frame network's error in metres is mostly depth and depends on the pose, so it changes slowly: what the
//! better network says minus what the other says, where both looked, is carried to the frames between. It is
//! predicted as a constant for the track plus a part that is forgotten over a fraction of a second (simple kriging with an exponential
//! covariance, which between two opinions needs those two only). In the picture the networks differ by noise rather than bias, so
//! there only frames very near an opinion are corrected.

use super::initial::Points;
use crate::control::{Proceed, Stopped};
use crate::pose::Landmarks;
use crate::pose::skeleton::{BELOW_HEAD, LANDMARKS};
use crate::track::TrackFrame;
use glam::{DVec2, DVec3};

/// Seconds after which the difference in metres is forgotten to 1/e.
const WORLD_MEMORY: f64 = 0.30;
/// The same for the difference in the picture.
const PIXEL_MEMORY: f64 = 0.10;
/// How many opinions it takes for the track's constant difference to be believed by half.
const CONSTANT_PRIOR: f64 = 4.0;
/// A difference in the picture beyond this part of the person's size on many landmarks means the two saw different things.
const DISAGREEMENT: f64 = 0.15;

/// Where the better network puts a point this part of the person's size off from where the frames before and after have
/// it, and the other network does not, the better one is wrong for once.
const STRAY: f64 = 0.08;

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

/// A frame where both networks looked.
struct HeavyDifference {
    time: f64,
    index: usize,
    world: Points,
    pixels: [DVec2; LANDMARKS],
}

fn plain(seen: &Landmarks) -> Corrected {
    Corrected {
        pixels: seen.points.map(|p| DVec2::new(f64::from(p.x), f64::from(p.y))),
        world: seen.world.map(|p| DVec3::from_array(p.map(f64::from))),
        visibility: seen.points.map(|p| f64::from(p.visibility).clamp(0.0, 1.0)),
    }
}

/// What the better network says of a frame, without its strays.
fn opinion(frames: &[Option<TrackFrame>], index: usize) -> Option<Corrected> {
    let seen = frames[index].as_ref()?;
    let (first, mut second) = (plain(&seen.landmarks), plain(seen.heavy_landmarks.as_ref()?));
    let around = |i: Option<usize>| Some(plain(&frames.get(i?)?.as_ref()?.landmarks));
    let (Some(before), Some(after)) = (around(index.checked_sub(1)), around(Some(index + 1))) else {
        return Some(second);
    };
    let reach = STRAY * size(&first.pixels);
    for i in 0..LANDMARKS {
        let middle = before.pixels[i].midpoint(after.pixels[i]);
        let [off, usual] = [&second, &first].map(|c| c.pixels[i].distance(middle));
        if off > reach && off > 2.0 * usual {
            (second.pixels[i], second.world[i]) = (first.pixels[i], first.world[i]);
        }
    }
    Some(second)
}

/// Landmarks of every frame that has any; `times` in seconds, one an observation.
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
            let (first, second) = (plain(&o.landmarks), opinion(frames, index)?);
            let difference = |i: usize| second.pixels[i] - first.pixels[i];
            let size = size(&second.pixels);
            let apart = BELOW_HEAD.filter(|&i| difference(i).length() > DISAGREEMENT * size).count();
            let world: Points = std::array::from_fn(|i| second.world[i] - first.world[i]);
            let usable = apart <= 6 && size.is_finite() && world.iter().all(|d| d.is_finite());
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
        // The better network's word stands where there is one.
        if differences.get(after).is_some_and(|o| o.index == index) {
            return opinion(frames, index);
        }
        let mut corrected = plain(&o.landmarks);
        let around = [after.checked_sub(1), Some(after)].map(|i| i.and_then(|i| differences.get(i)));
        let distance = around.map(|o| o.map_or(f64::INFINITY, |o| (o.time - times[index]).abs()));
        let world = weights(distance.map(|d| d / WORLD_MEMORY));
        let pixel = weights(distance.map(|d| d / PIXEL_MEMORY));
        corrected.world.iter_mut().zip(&constant).for_each(|(p, c)| *p += *c);
        for (n, opinion) in around.into_iter().enumerate() {
            let Some(opinion) = opinion else { continue };
            for (i, c) in constant.iter().enumerate() {
                corrected.world[i] += (opinion.world[i] - *c) * world[n];
                corrected.pixels[i] += opinion.pixels[i] * pixel[n];
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

/// Simple kriging weights of two known values on either side, at distances in units of the memory.
fn weights([before, after]: [f64; 2]) -> [f64; 2] {
    let (a, b) = ((-before).exp(), (-after).exp());
    let both = a * b;
    let scale = 1.0 / (1.0 - both * both).max(1e-9);
    [(a - b * both) * scale, (b - a * both) * scale]
}

fn size(pixels: &[DVec2]) -> f64 {
    let low = pixels.iter().copied().fold(DVec2::INFINITY, DVec2::min);
    let high = pixels.iter().copied().fold(DVec2::NEG_INFINITY, DVec2::max);
    (high - low).length()
}

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
        Landmarks { score: 1.0, points, circle: [[0.0; 2]; 2], world: [[0.0, 0.0, depth]; LANDMARKS] }
    }

    #[test]
    fn a_bias_is_removed_between_opinions() {
        let times: Vec<f64> = (0..31).map(|i| f64::from(i) / 30.0).collect();
        let frames: Vec<Option<TrackFrame>> = (0..31)
            .map(|i| {
                let second = (i % 10 == 0).then(|| Box::new(seen(0.3)));
                Some(TrackFrame { landmarks: seen(0.1), heavy_landmarks: second, uncertain: false })
            })
            .collect();
        let corrected = correct(&times, &frames, &never_stopped).unwrap();
        for (i, c) in corrected.iter().enumerate() {
            let z = c.as_ref().map(|c| c.world[5].z).unwrap_or_default();
            assert!((z - 0.3).abs() < 0.06, "frame {i}: {z}");
        }
    }

    #[test]
    fn without_opinions_nothing_changes() {
        let frames = vec![None, Some(TrackFrame { landmarks: seen(0.1), heavy_landmarks: None, uncertain: false })];
        let corrected = correct(&[0.0, 0.1], &frames, &never_stopped).unwrap();
        assert!(corrected[0].is_none());
        assert!((corrected[1].as_ref().map(|c| c.world[3].z).unwrap_or_default() - 0.1).abs() < 1e-6);
    }
}
