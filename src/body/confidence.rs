//! How well each part of a body was seen.

use super::model::Body;
use super::smooth::kernel;
use crate::control::{Proceed, Stopped};
use crate::pose::skeleton::{BELOW_HEAD, JOINTS, LANDMARKS, is_left};

/// Visibility is averaged over this time (standard deviation of a Gaussian, seconds), so that parts do not flicker.
const SECONDS: f64 = 0.10;
/// A landmark belongs to a joint that carries more than this share of it.
const LEAST_SHARE: f64 = 0.05;
/// A joint lies on both sides of the body if each side has more than this share of its landmarks.
const BOTH_SIDES: f64 = 0.2;

/// For each frame the confidence of each joint, 0..=1, from each frame's visibilities (none where the person was not found).
///
/// # Errors
/// [`Stopped`] when `proceed`, which is called for each frame, says so.
pub fn joint_confidence(
    body: &Body,
    times: &[f64],
    visibility: &[Option<[f64; LANDMARKS]>],
    proceed: Proceed<'_>,
) -> Result<Vec<Vec<f32>>, Stopped> {
    let shares = shares(body);
    let raw: Vec<Vec<f64>> = visibility
        .iter()
        .map(|seen| {
            let one = |share: &Vec<(usize, f64)>| {
                let Some(v) = seen else { return 0.0 };
                // The trunk hides its own far side: it is as well seen as its nearer half.
                let sides = [false, true].map(|left| {
                    let of_side = || share.iter().filter(move |(l, _)| BELOW_HEAD.contains(l) && is_left(*l) == left);
                    let weight: f64 = of_side().map(|s| s.1).sum();
                    (weight, of_side().map(|&(l, w)| w * v[l]).sum::<f64>())
                });
                if sides.iter().all(|(weight, _)| *weight > BOTH_SIDES) {
                    return sides.map(|(weight, sum)| sum / weight).into_iter().fold(0.0, f64::max);
                }
                share.iter().map(|&(l, w)| w * v[l]).sum()
            };
            shares.iter().map(one).collect()
        })
        .collect();
    (0..times.len())
        .map(|i| {
            proceed()?;
            let kernel = kernel(times, i, SECONDS, 0);
            let mean = |j: usize| kernel.iter().map(|&(n, w)| w * raw[n][j]).sum::<f64>();
            Ok((0..shares.len()).map(|j| mean(j).clamp(0.0, 1.0) as f32).collect())
        })
        .collect()
}

/// How much of a person was seen in a frame, 0..=1.
pub fn person_score(visibility: &[f64; LANDMARKS], found: f32) -> f32 {
    let mean = JOINTS.iter().map(|&i| visibility[i]).sum::<f64>() / JOINTS.len() as f64;
    (mean as f32 * found.clamp(0.0, 1.0)).clamp(0.0, 1.0)
}

/// For each joint the landmarks on its segment and their weights, summing to 1: those whose key points its skin carries.
fn shares(body: &Body) -> Vec<Vec<(usize, f64)>> {
    let mut shares: Vec<Vec<(usize, f64)>> = vec![Vec::new(); body.joint_count()];
    for (landmark, keypoint) in body.blazepose33.iter().enumerate() {
        let Some(keypoint) = keypoint else { continue };
        for moment in &body.moments[*keypoint] {
            if moment.weight > LEAST_SHARE {
                shares[moment.joint].push((landmark, moment.weight));
            }
        }
    }
    for share in &mut shares {
        let sum: f64 = share.iter().map(|s| s.1).sum();
        share.iter_mut().for_each(|s| s.1 /= sum);
    }
    // Joints without landmarks (spine, clavicle) are as well seen as what hangs on them, or as what they hang on.
    for j in (0..shares.len()).rev() {
        if let Some(parent) = body.parents[j]
            && shares[parent].is_empty()
            && !shares[j].is_empty()
        {
            shares[parent] = shares[j].clone();
        }
    }
    for j in 0..shares.len() {
        if let (Some(parent), true) = (body.parents[j], shares[j].is_empty()) {
            shares[j] = shares[parent].clone();
        }
    }
    shares
}
