//! Angles over time: smoothed where they were measured, and coming to be at ease where they were not.
//!
//! Each angle is taken for an Ornstein-Uhlenbeck process around its value at ease. What is likeliest given all measurements, those after a frame
//! included, follows from one tridiagonal system (the smoother of Kalman and Rauch-Tung-Striebel in another form).

/// How far an angle is from ease: standard deviation, radians.
const SPREAD: f64 = 0.5;
/// Seconds after which it is forgotten to 1/e.
const MEMORY: f64 = 0.6;
/// How far off a measurement is: standard deviation, radians.
const NOISE: f64 = 0.25;

/// For each frame `count` values, given what was measured in some frames, with how certain that is (0 to 1). At ease they are 0.
pub fn settle(times: &[f64], measured: &[Option<(Vec<f64>, f64)>], count: usize) -> Vec<Vec<f64>> {
    let frames = times.len();
    let mut values = vec![vec![0.0; count]; frames];
    if measured.iter().all(Option::is_none) {
        return values;
    }
    // The system: `diagonal` and, between a frame and the next, `-beside`.
    let mut diagonal = vec![0.0; frames];
    let mut beside = vec![0.0; frames];
    for (frame, measured) in measured.iter().enumerate() {
        if frame == 0 {
            diagonal[0] += SPREAD.powi(-2);
        } else {
            let kept = (-(times[frame] - times[frame - 1]).max(1e-3) / MEMORY).exp();
            let precision = 1.0 / (SPREAD * SPREAD * (1.0 - kept * kept));
            diagonal[frame - 1] += kept * kept * precision;
            diagonal[frame] += precision;
            beside[frame - 1] = kept * precision;
        }
        if let Some((measured, certainty)) = measured {
            let precision = certainty / (NOISE * NOISE);
            diagonal[frame] += precision;
            values[frame].iter_mut().zip(measured).for_each(|(value, measured)| *value = measured * precision);
        }
    }
    // Thomas's algorithm.
    for frame in 1..frames {
        let share = beside[frame - 1] / diagonal[frame - 1];
        diagonal[frame] -= share * beside[frame - 1];
        let (before, after) = values.split_at_mut(frame);
        after[0].iter_mut().zip(&before[frame - 1]).for_each(|(value, before)| *value += share * before);
    }
    for frame in (0..frames).rev() {
        let (here, later) = values.split_at_mut(frame + 1);
        for (n, value) in here[frame].iter_mut().enumerate() {
            let pull = later.first().map_or(0.0, |later| beside[frame] * later[n]);
            *value = (*value + pull) / diagonal[frame];
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_stays_and_what_is_not_comes_to_ease_without_a_jump() {
        let times: Vec<f64> = (0..120).map(|i| f64::from(i) / 30.0).collect();
        let measured: Vec<_> = (0..120).map(|i| (i < 40).then(|| (vec![1.0, -0.5], 0.9))).collect();
        let values = settle(&times, &measured, 2);
        assert!((values[20][0] - 1.0).abs() < 0.05 && (values[20][1] + 0.5).abs() < 0.05, "{:?}", values[20]);
        assert!(values[119][0].abs() < 0.1, "{:?}", values[119]);
        assert!(values.windows(2).all(|pair| (pair[0][0] - pair[1][0]).abs() < 0.07), "{values:?}");
        assert_eq!(settle(&times, &vec![None; 120], 2), vec![vec![0.0; 2]; 120]);
    }

    #[test]
    fn noise_is_damped() {
        let times: Vec<f64> = (0..100).map(|i| f64::from(i) / 30.0).collect();
        let noise = |i: usize| ((i as f64 * 12.9898).sin() * 43758.5453).fract() * 0.3;
        let measured: Vec<_> = (0..100).map(|i| Some((vec![noise(i)], 1.0))).collect();
        let shake = |x: &dyn Fn(usize) -> f64| (1..99).map(|i| (x(i + 1) - 2.0 * x(i) + x(i - 1)).abs()).sum::<f64>();
        let values = settle(&times, &measured, 1);
        assert!(shake(&|i| values[i][0]) < 0.35 * shake(&noise));
    }
}
