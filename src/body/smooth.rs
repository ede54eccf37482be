//! Zero-phase smoothing over time: each frame becomes the value of a local polynomial fitted to its neighbours on both sides.

use super::levenberg_marquardt::State;
use super::rotation::{exp, log};
use crate::control::{Proceed, Stopped};
use glam::DVec3;

/// Standard deviation of the Gaussian, seconds, for rotations and the direction to the root joint.
const MOTION_SECONDS: f64 = 0.045;
/// The same for the root joint's depth, which is by far the noisiest and changes slowly.
const DEPTH_SECONDS: f64 = 0.12;
/// Neighbours further away than this many standard deviations do not count.
const REACH: f64 = 3.0;

/// Neighbours of one moment and their weights (summing to 1) for smoothing with a local polynomial of `order` (0, 1 or 2), Gaussian
/// weights of width `sigma` seconds. Order 2 leaves peaks and turns where they are.
pub fn kernel(times: &[f64], center: usize, sigma: f64, order: usize) -> Vec<(usize, f64)> {
    let near = |i: &usize| (times[*i] - times[center]).abs() <= REACH * sigma;
    let first = (0..center).rev().take_while(near).last().unwrap_or(center);
    let last = (center..times.len()).take_while(near).last().unwrap_or(center);
    let raw: Vec<(usize, f64, f64)> = (first..=last)
        .map(|i| {
            let t = (times[i] - times[center]) / sigma;
            (i, t, (-t * t / 2.0).exp())
        })
        .collect();
    let moment = |p: i32| raw.iter().map(|&(_, t, w)| w * t.powi(p)).sum::<f64>();
    let m: [f64; 5] = std::array::from_fn(|p| moment(p as i32));
    // First row of the inverse of the moment matrix [m_(i+j)].
    let order = order.min(raw.len().saturating_sub(2));
    let row = match order {
        0 => [1.0 / m[0], 0.0, 0.0],
        1 => {
            let d = m[0] * m[2] - m[1] * m[1];
            [m[2] / d, -m[1] / d, 0.0]
        }
        _ => {
            let (a, b, c) = (m[2] * m[4] - m[3] * m[3], m[2] * m[3] - m[1] * m[4], m[1] * m[3] - m[2] * m[2]);
            let d = m[0] * a + m[1] * b + m[2] * c;
            [a / d, b / d, c / d]
        }
    };
    if !row.iter().all(|v| v.is_finite()) {
        return vec![(center, 1.0)];
    }
    raw.into_iter().map(|(i, t, w)| (i, w * (row[0] + row[1] * t + row[2] * t * t))).collect()
}

/// Smooths rotations and positions; `strength` scales the widths (0: as they are).
///
/// # Errors
/// [`Stopped`] when `proceed`, which is called for each frame, says so.
pub fn smooth(times: &[f64], states: &[State], strength: f64, proceed: Proceed<'_>) -> Result<Vec<State>, Stopped> {
    if strength <= 0.0 {
        return Ok(states.to_vec());
    }
    let bearing = |s: &State| DVec3::new(s.position.x / s.position.z, s.position.y / s.position.z, s.position.z.ln());
    let all_ahead = states.iter().all(|s| s.position.z > 1e-3);
    (0..states.len())
        .map(|i| {
            proceed()?;
            let center = &states[i];
            let motion = kernel(times, i, MOTION_SECONDS * strength, 2);
            let rotations = center
                .rotations
                .iter()
                .enumerate()
                .map(|(j, &q)| {
                    let back = q.inverse();
                    let mean: DVec3 = motion.iter().map(|&(n, w)| log(back * states[n].rotations[j]) * w).sum();
                    (q * exp(mean)).normalize()
                })
                .collect();
            let position = if all_ahead {
                let aside: DVec3 = motion.iter().map(|&(n, w)| bearing(&states[n]) * w).sum();
                let depth = kernel(times, i, DEPTH_SECONDS * strength, 2);
                let z = depth.iter().map(|&(n, w)| bearing(&states[n]).z * w).sum::<f64>().exp();
                DVec3::new(aside.x * z, aside.y * z, z)
            } else {
                motion.iter().map(|&(n, w)| states[n].position * w).sum()
            };
            Ok(State { rotations, position })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parabola_passes_unchanged_also_at_the_ends_and_with_uneven_times() {
        let times: Vec<f64> = (0..20).map(|i| f64::from(i) * 0.03 + f64::from(i % 3) * 0.004).collect();
        let value = |t: f64| 1.0 - 2.0 * t + 3.0 * t * t;
        for center in 0..times.len() {
            let kernel = kernel(&times, center, 0.04, 2);
            let smoothed: f64 = kernel.iter().map(|&(i, w)| w * value(times[i])).sum();
            assert!((smoothed - value(times[center])).abs() < 1e-9, "{center}");
        }
    }

    #[test]
    fn noise_is_damped() {
        let times: Vec<f64> = (0..40).map(|i| f64::from(i) / 60.0).collect();
        let kernel = kernel(&times, 20, 0.03, 2);
        let power: f64 = kernel.iter().map(|(_, w)| w * w).sum();
        assert!(power < 0.4, "{power}");
    }
}
