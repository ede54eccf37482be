//! The frames on which people in the background were not looked at on purpose, and those on which they were not found.

use glam::Vec2;

use super::{
    identity::{Person, Seen},
    likeness::{is_small, mirror, pose_distance, same_side_distance},
};
use crate::pose::{LANDMARKS, Landmark, Landmarks, Sight};

/// Looks a second at people in the background.
const LOOKS: f64 = 12.5;

/// Frames from one look at people in the background to the next.
pub(super) fn steps(fps: f64) -> u64 {
    ((fps / LOOKS) as u64).max(1)
}

/// Adds, between finds of a small person that are at most `steps` frames apart, what lies between them.
pub(super) fn fill(person: &mut Person, steps: u64, display: [u32; 2]) {
    let missing = gaps(person, display).filter(|(last, next)| next.frame - last.frame <= steps);
    let missing: Vec<Seen> = missing.flat_map(|(last, next)| between(last, next)).collect();
    person.extend(missing.into_iter().map(|seen| (seen.frame, seen)));
}

/// Adds what lies in all other gaps, where the person was not found: nothing of it counts as seen. They move with the picture, which
/// is a better guess than any where the camera is held by hand: a body that goes on as before soon hangs in the air.
pub(super) fn bridge(person: &mut Person, motion: &Motion, display: [u32; 2]) {
    let missing = gaps(person, display).flat_map(|(last, next)| {
        let (first, end) = (last.frame, next.frame);
        between(last, next).map(move |mut seen| {
            let off = motion.off_straight(first, end, seen.frame);
            let landmarks = &mut seen.sight.landmarks;
            landmarks.points.iter_mut().for_each(|p| (p.x, p.y, p.visibility) = (p.x + off.x, p.y + off.y, 0.0));
            landmarks.circle.iter_mut().for_each(|p| *p = [p[0] + off.x, p[1] + off.y]);
            seen
        })
    });
    let missing: Vec<Seen> = missing.collect();
    person.extend(missing.into_iter().map(|seen| (seen.frame, seen)));
}

/// How the picture moves: by how much most people do from a frame to the next, added up from the first one on.
pub(super) struct Motion(Vec<Vec2>);

/// Fewer people than this say nothing about the camera.
const FEW: usize = 4;

impl Motion {
    /// Of everybody, over this many frames.
    pub fn of(people: &[Person], frames: u64) -> Self {
        let mut steps: Vec<Vec<Vec2>> = vec![Vec::new(); frames as usize];
        let hips = |seen: &Seen| Vec2::from(seen.sight.landmarks.circle[0]);
        for (last, next) in people.iter().flat_map(|p| p.values().zip(p.values().skip(1))) {
            if next.frame == last.frame + 1
                && let Some(steps) = steps.get_mut(next.frame as usize)
            {
                steps.push(hips(next) - hips(last));
            }
        }
        let mut sum = Vec2::ZERO;
        let places = steps.into_iter().map(|steps| {
            if steps.len() >= FEW {
                sum += Vec2::new(median(steps.iter().map(|s| s.x)), median(steps.iter().map(|s| s.y)));
            }
            sum
        });
        Self(places.collect())
    }

    /// How far the picture is, at a frame, from where it would be if it went straight from `first` to `last`.
    fn off_straight(&self, first: u64, last: u64, frame: u64) -> Vec2 {
        let at = |frame: u64| self.0.get(frame as usize).copied().unwrap_or_default();
        let share = (frame - first) as f32 / (last - first).max(1) as f32;
        at(frame) - at(first).lerp(at(last), share)
    }
}

fn median(values: impl Iterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Finds of a small person with frames between them.
fn gaps(person: &Person, display: [u32; 2]) -> impl Iterator<Item = (&Seen, &Seen)> {
    let is_small = move |seen: &Seen| is_small(&seen.sight.landmarks.region(), display);
    let pairs = person.values().zip(person.values().skip(1));
    pairs.filter(move |(last, next)| next.frame - last.frame > 1 && is_small(last) && is_small(next))
}

/// The frames between two finds of one person.
fn between(last: &Seen, next: &Seen) -> impl Iterator<Item = Seen> + use<> {
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

    fn seen(frame: u64, x: f32, height: f32, exchanged: bool) -> (u64, Seen) {
        let mut landmarks = synthetic::person([x, 200.0], height);
        if exchanged {
            mirror(&mut landmarks);
        }
        let sight = Sight { landmarks, look: Look::default() };
        (frame, Seen { frame, tracklet: 3, sight, second_opinion: None, figure: Some(true) })
    }

    #[test]
    fn small_people_are_moved_on_between_looks() {
        let mut filled = Person::from([seen(0, 100.0, 80.0, false), seen(4, 108.0, 80.0, true)]);
        fill(&mut filled, 4, DISPLAY);
        let places: Vec<(u64, f32)> = filled.values().map(|s| (s.frame, s.sight.landmarks.points[11].x)).collect();
        let first = synthetic::person([100.0, 200.0], 80.0).points;
        let expected: Vec<(u64, f32)> = (0..4).map(|i| (i, first[11].x + 2.0 * i as f32)).collect();
        assert_eq!(places[..4], expected, "with the labels of the find before");
        assert_eq!(places[4], (4, first[12].x + 8.0));
    }

    #[test]
    fn who_was_lost_moves_with_the_picture_unseen() {
        // The camera is jerked down for a moment: everybody's feet go up by 30 pixels and come back.
        let jerk = |frame: u64| if (8..14).contains(&frame) { -30.0 } else { 0.0 };
        let walk = |x: f32, frames: &[u64]| -> Person {
            let find = |&frame: &u64| {
                let mut one = seen(frame, x + frame as f32, 80.0, false).1;
                let landmarks = &mut one.sight.landmarks;
                landmarks.points.iter_mut().for_each(|p| p.y += jerk(frame));
                landmarks.circle.iter_mut().for_each(|p| p[1] += jerk(frame));
                (frame, one)
            };
            frames.iter().map(find).collect()
        };
        let all: Vec<u64> = (0..20).collect();
        let others: Vec<Person> = (0..4).map(|i| walk(200.0 * i as f32, &all)).collect();
        let truth = walk(100.0, &all);
        let mut person = walk(100.0, &[0, 1, 2, 3, 18, 19]);
        bridge(&mut person, &Motion::of(&others, 20), DISPLAY);
        assert_eq!(person.keys().copied().collect::<Vec<_>>(), all);
        for (frame, one) in &person {
            let (found, expected) = (one.sight.landmarks.points[11], truth[frame].sight.landmarks.points[11]);
            assert!((found.x - expected.x).hypot(found.y - expected.y) < 0.01, "frame {frame}");
            assert_eq!(found.visibility == 0.0, (4..18).contains(frame));
        }
        // Few people say nothing about the camera.
        let mut person = walk(100.0, &[0, 18]);
        bridge(&mut person, &Motion::of(&others[..3], 20), DISPLAY);
        assert!((person[&10].sight.landmarks.points[11].y - person[&0].sight.landmarks.points[11].y).abs() < 0.01);
    }

    #[test]
    fn those_who_were_lost_and_large_people_are_not() {
        for (height, frame) in [(80.0, 5), (300.0, 4)] {
            let finds = Person::from([seen(0, 100.0, height, false), seen(frame, 108.0, height, false)]);
            let mut filled = finds.clone();
            fill(&mut filled, 4, DISPLAY);
            assert_eq!(filled, finds);
        }
    }
}
