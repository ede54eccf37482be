//! The curve on which something moves between two moments at which it was seen, given where it was before and after: what bodies follow
//! between the looks at them, both in the picture and as poses.

/// What each of four points at these times counts in a point that is the given share of the way from the second to the third: on the cubic curve whose
/// direction in those two is that of the parabola through them and their neighbours. Where one neighbour is missing the curve is the parabola through
/// the other three, where both are it is straight.
pub fn weights([before, first, last, after]: [Option<f64>; 4], share: f64) -> [f64; 4] {
    let (Some(first), Some(last)) = (first, last) else { return [0.0; 4] };
    let length = last - first;
    // Directions are steps over `length`, as weights of the four points.
    let straight = [0.0, -1.0, 1.0, 0.0];
    let parabola = |outer_step: [f64; 4], far: f64| {
        let [outer, inner] = [length * length / (far * (far + length)), far / (far + length)];
        std::array::from_fn::<f64, 4, _>(|i| outer * outer_step[i] + inner * straight[i])
    };
    let leaving = before.map(|time| parabola([-1.0, 1.0, 0.0, 0.0], first - time));
    let arriving = after.map(|time| parabola([0.0, 0.0, -1.0, 1.0], time - last));
    let opposite = |direction: [f64; 4]| std::array::from_fn(|i| 2.0 * straight[i] - direction[i]);
    let [leaving, arriving] = match (leaving, arriving) {
        (Some(leaving), Some(arriving)) => [leaving, arriving],
        (Some(leaving), None) => [leaving, opposite(leaving)],
        (None, Some(arriving)) => [opposite(arriving), arriving],
        (None, None) => [straight; 2],
    };
    let (s, s2, s3) = (share, share * share, share * share * share);
    let [start, out, end, into] = [2.0 * s3 - 3.0 * s2 + 1.0, s3 - 2.0 * s2 + s, 3.0 * s2 - 2.0 * s3, s3 - s2];
    let ends = [0.0, start, end, 0.0];
    std::array::from_fn(|i| ends[i] + out * leaving[i] + into * arriving[i])
}

/// Of moments in order, which one before the given one and which one after the next the curve between these two takes its directions from: the nearest that
/// are at least half as far away as they are from each other. The noise of a moment that is much nearer would be carried far out.
pub fn neighbours(times: &[f64], first: usize) -> [Option<usize>; 2] {
    let near = (times[first + 1] - times[first]) / 2.0;
    [
        (0..first).rev().find(|&i| times[first] - times[i] >= near),
        (first + 2..times.len()).find(|&i| times[i] - times[first + 1] >= near),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOKS: [f64; 7] = [0.0, 4.0, 5.0, 6.0, 10.0, 14.0, 18.0];

    /// Where something is at a moment, given where it was at those of [`LOOKS`].
    fn at(place: impl Fn(f64) -> f64, moment: f64) -> f64 {
        let first = LOOKS.windows(2).position(|pair| (pair[0]..=pair[1]).contains(&moment)).unwrap();
        let [before, after] = neighbours(&LOOKS, first);
        let times = [before, Some(first), Some(first + 1), after].map(|i| i.map(|i| LOOKS[i]));
        let weights = weights(times, (moment - LOOKS[first]) / (LOOKS[first + 1] - LOOKS[first]));
        times.iter().zip(weights).map(|(time, weight)| weight * time.map_or(0.0, &place)).sum()
    }

    #[test]
    fn a_parabola_is_followed_whatever_the_steps() {
        let place = |t: f64| 100.0 + 0.5 * (t - 8.0).powi(2);
        (0..=180).map(|t| f64::from(t) / 10.0).for_each(|t| assert!((at(place, t) - place(t)).abs() < 1e-9, "{t}"));
    }

    #[test]
    fn what_two_near_moments_disagree_about_does_not_carry_the_curve_away() {
        // At one moment something is seen by 1 off. Were the curve's directions taken from the nearest moments, it would go to -0.8 and 1.6.
        for off in &LOOKS[1..6] {
            let place = |t: f64| if t == *off { 1.0 } else { 0.0 };
            let moments = (0..=180).map(|t| f64::from(t) / 10.0);
            moments.for_each(|t| assert!((-0.34..=1.2).contains(&at(place, t)), "{off} {t}: {}", at(place, t)));
        }
    }
}
