//! In which frames a pose may be wrong.
//!
//! Two things tell. Where the heavy network looked as well (`--model auto`), it and the other one see different bodies: a pose that the networks do not know
//! each of them guesses in its own way. Or the body that was fitted is not where the landmarks are, since no body can be.

use super::Camera;
use super::levenberg_marquardt::{Solver, State};
use super::sequence_fit::MeasuredFrame;
use crate::control::{Proceed, Stopped};
use crate::pose::Landmarks;
use crate::pose::skeleton::JOINTS;
use crate::track::TrackFrame;
use glam::DVec2;

/// Mean distance of the joints that both networks see, over the person's size, beyond which they see different bodies.
const DIFFERENT: f64 = 0.05;
/// Mean distance of the landmarks from the body's, by weight and over the person's size, beyond which the body is not as it is seen.
const OFF: f64 = 0.03;
/// Visibility from which on a network sees a joint, and how many joints both must see to be compared.
const SEEN: f32 = 0.3;
const FEWEST: usize = 3;
/// Seconds for which a look of the heavy network says something about the frames around it.
const REACH: f64 = 0.5;

/// How far the landmarks of each frame are from those of the body, by weight, over the person's size; by the index of the frame, for frames that were
/// measured.
///
/// # Errors
/// [`Stopped`] when `proceed`, which is called for each frame, says so.
pub fn off<'m>(
    camera: &Camera,
    solver: &mut Solver,
    measured: impl Iterator<Item = &'m MeasuredFrame>,
    states: &[State],
    proceed: Proceed<'_>,
) -> Result<Vec<Option<f64>>, Stopped> {
    let mut off = vec![None; states.len()];
    for MeasuredFrame { index, measurement, .. } in measured {
        proceed()?;
        let state = &states[*index];
        let points = solver.landmarks(&state.rotations);
        let mut sum = [0.0, 0.0];
        for ((&point, &pixel), &weight) in points.iter().zip(&measurement.pixels).zip(&measurement.weights) {
            let there = DVec2::from_array(camera.project(point + state.position));
            sum[0] += weight * there.distance(pixel).min(measurement.scale);
            sum[1] += weight;
        }
        off[*index] = Some(sum[0] / sum[1].max(1e-9) / measurement.scale);
    }
    Ok(off)
}

/// Whether the pose may be wrong, for each frame. `off`: as from [`off`].
///
/// # Errors
/// [`Stopped`] when `proceed`, which is called for each frame, says so.
pub fn doubtful(
    times: &[f64],
    frames: &[Option<TrackFrame>],
    off: &[Option<f64>],
    proceed: Proceed<'_>,
) -> Result<Vec<bool>, Stopped> {
    let mut looks: Vec<(usize, bool)> = Vec::new();
    for (index, frame) in frames.iter().enumerate() {
        let Some(frame) = frame else { continue };
        let difference = frame.heavy_landmarks.as_ref().and_then(|heavy| difference(&frame.landmarks, heavy));
        looks.extend(difference.map(|difference| (index, difference > DIFFERENT)));
    }
    let mut next = 0;
    let mut doubtful = Vec::with_capacity(frames.len());
    for index in 0..frames.len() {
        proceed()?;
        while next < looks.len() && looks[next].0 < index {
            next += 1;
        }
        let around = [next.checked_sub(1).and_then(|i| looks.get(i)), looks.get(next)];
        let away = |look: &&&(usize, bool)| (times[look.0] - times[index]).abs();
        let nearest = around.iter().flatten().min_by(|a, b| away(a).total_cmp(&away(b)));
        let is_different = nearest.is_some_and(|look| look.1 && away(&look) <= REACH);
        doubtful.push(is_different || off[index].is_some_and(|off| off > OFF));
    }
    Ok(doubtful)
}

/// How different two networks see somebody, over their size; `None` where too little of them is to be seen.
fn difference(a: &Landmarks, b: &Landmarks) -> Option<f64> {
    let seen = JOINTS.iter().filter(|&&i| a.points[i].visibility.min(b.points[i].visibility) > SEEN);
    let off: Vec<f64> = seen.map(|&i| a.at(i).distance(b.at(i))).collect();
    let size = f64::from(a.extent().min(b.extent()));
    (off.len() >= FEWEST).then(|| off.iter().sum::<f64>() / off.len() as f64 / size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::never_stopped;
    use crate::pose::Landmark;
    use crate::pose::skeleton::LANDMARKS;

    fn seen(shift: f32) -> Landmarks {
        let point = |i: usize| Landmark {
            x: 100.0 + 7.0 * (i % 5) as f32 + shift,
            y: 80.0 + 6.0 * i as f32,
            visibility: 0.9,
            ..Landmark::default()
        };
        Landmarks {
            score: 1.0,
            points: std::array::from_fn(point),
            circle: [[0.0; 2]; 2],
            world: [[0.0; 3]; LANDMARKS],
            hands: [None, None],
        }
    }

    #[test]
    fn a_pose_is_doubtful_where_the_networks_differ_or_the_body_is_off() {
        let times: Vec<f64> = (0..60).map(|i| f64::from(i) / 30.0).collect();
        let frames: Vec<Option<TrackFrame>> = (0..60)
            .map(|i| {
                let heavy_landmarks = match i {
                    10 => Some(Box::new(seen(2.0))),
                    41 => Some(Box::new(seen(60.0))),
                    _ => None,
                };
                Some(TrackFrame {
                    landmarks: seen(0.0),
                    heavy_landmarks,
                    estimate: None,
                    uncertain: false,
                    is_interpolated: false,
                })
            })
            .collect();
        let mut off = vec![Some(0.01); 60];
        off[3] = Some(0.2);
        let doubtful = doubtful(&times, &frames, &off, &never_stopped).unwrap();
        let marked: Vec<usize> = (0..56).filter(|&i| doubtful[i]).collect();
        assert!(!doubtful[58] && !doubtful[59]);
        // The nearer of the two looks counts, for half a second.
        let expected: Vec<usize> = [3].into_iter().chain(26..=55).collect();
        assert_eq!(marked, expected);
    }
}
