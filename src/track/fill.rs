//! The frames on which people in the background were not looked at on purpose.

use std::collections::BTreeMap;

use super::{
    identity::Seen,
    likeness::{is_small, mirror, pose_distance, same_side_distance},
};
use crate::pose::{LANDMARKS, Landmark, Landmarks, Sight};

/// Adds, between finds of small people that are at most `steps` frames apart, what lies between them.
pub fn fill(seen: Vec<Seen>, steps: u64, display: [u32; 2]) -> Vec<Seen> {
    let mut tracklets: BTreeMap<u32, BTreeMap<u64, Seen>> = BTreeMap::new();
    for one in seen {
        tracklets.entry(one.tracklet).or_default().insert(one.frame, one);
    }
    let mut all = Vec::new();
    for finds in tracklets.into_values() {
        let mut last: Option<Seen> = None;
        for next in finds.into_values() {
            if let Some(last) = last.filter(|last| (2..=steps).contains(&(next.frame - last.frame))) {
                let marks = |seen: &Seen| seen.sight.landmarks.region();
                if is_small(&marks(&last), display) && is_small(&marks(&next), display) {
                    all.extend(between(&last, &next));
                }
            }
            last = Some(next.clone());
            all.push(next);
        }
    }
    all
}

/// The frames between two finds of one person.
fn between(last: &Seen, next: &Seen) -> impl Iterator<Item = Seen> {
    let a = last.sight.landmarks.clone();
    let mut b = next.sight.landmarks.clone();
    // Left and right may be exchanged in one of them: who mends that sees it better between whole frames.
    if same_side_distance(&a, &b) > pose_distance(&a, &b, [0.0; 2]) {
        mirror(&mut b);
    }
    let (tracklet, look, first, frames) = (last.tracklet, last.sight.look, last.frame, next.frame - last.frame);
    (1..frames).map(move |i| {
        let landmarks = mix(&a, &b, i as f32 / frames as f32);
        Seen { frame: first + i, tracklet, sight: Sight { landmarks, look }, second_opinion: None, figure: None }
    })
}

fn mix(a: &Landmarks, b: &Landmarks, share: f32) -> Landmarks {
    let lerp = |a: f32, b: f32| a + share * (b - a);
    Landmarks {
        score: a.score.min(b.score),
        points: std::array::from_fn::<_, LANDMARKS, _>(|i| {
            let (a, b) = (a.points[i], b.points[i]);
            Landmark {
                x: lerp(a.x, b.x),
                y: lerp(a.y, b.y),
                z: lerp(a.z, b.z),
                visibility: lerp(a.visibility, b.visibility),
                presence: lerp(a.presence, b.presence),
            }
        }),
        circle: std::array::from_fn(|i| std::array::from_fn(|k| lerp(a.circle[i][k], b.circle[i][k]))),
        world: std::array::from_fn(|i| std::array::from_fn(|k| lerp(a.world[i][k], b.world[i][k]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{pose::Look, track::synthetic};

    const DISPLAY: [u32; 2] = [1280, 720];

    fn seen(frame: u64, x: f32, height: f32, exchanged: bool) -> Seen {
        let mut landmarks = synthetic::person([x, 200.0], height);
        if exchanged {
            mirror(&mut landmarks);
        }
        let sight = Sight { landmarks, look: Look::default() };
        Seen { frame, tracklet: 3, sight, second_opinion: None, figure: Some(0.5) }
    }

    #[test]
    fn small_people_are_moved_on_between_looks() {
        let filled = fill(vec![seen(0, 100.0, 80.0, false), seen(4, 108.0, 80.0, true)], 4, DISPLAY);
        let places: Vec<(u64, f32)> = filled.iter().map(|s| (s.frame, s.sight.landmarks.points[11].x)).collect();
        let first = synthetic::person([100.0, 200.0], 80.0).points;
        let expected: Vec<(u64, f32)> = (0..4).map(|i| (i, first[11].x + 2.0 * i as f32)).collect();
        assert_eq!(places[..4], expected, "with the labels of the find before");
        assert_eq!(places[4], (4, first[12].x + 8.0));
    }

    #[test]
    fn those_who_were_lost_and_large_people_are_not() {
        for (height, frame) in [(80.0, 5), (300.0, 4)] {
            let finds = vec![seen(0, 100.0, height, false), seen(frame, 108.0, height, false)];
            assert_eq!(fill(finds.clone(), 4, DISPLAY), finds);
        }
    }
}
