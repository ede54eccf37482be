//! Between stages 3 and 4 of tracking: what was observed of a clip in stretches, by a tracker each, becomes one.
//!
//! Two stretches that follow each other share some frames: the earlier one goes on beyond the place where the later one begins, until the
//! later one's tracker knows who is there. In these frames the observations of the earlier count, since its tracker has known everybody for
//! long, and after them those of the later. Its tracklets are those of the same people in the earlier one where both saw them in the same
//! frames, and get those numbers. Whoever was seen by one of them only is left to `link`, which joins broken tracklets anyway.
//!
//! All of this goes by the observations alone, in the order of the frames, so that it does not matter who observed which stretch when.

use std::collections::BTreeMap;

use super::assignment::assign;
use super::similarity::pose_distance;
use super::{TrackletObservation, Trajectory};
use crate::pose::Observation;

/// Greatest cost of a pair of tracklets that are one person: beyond it they stay two.
const MOST_COST: f64 = 0.6;
/// What a difference of appearance (0..=1) costs, where a region's side of distance costs 1, and a body's extent of difference in pose. Both
/// saw the same picture: clothes tell apart those who stand in one place.
const APPEARANCE_COST: f64 = 0.5;
/// Frames between two observations of somebody, at most, for their place between them to be known where they were not skipped on purpose.
const NEAR: u64 = 12;

/// Everybody who was observed in a clip or in a stretch of it, and how the camera moved.
pub struct Sightings {
    /// By frame.
    pub observations: BTreeMap<u64, Vec<TrackletObservation>>,
    /// Where the scene is in the picture, for every frame.
    pub trajectory: Trajectory,
    /// All tracklets have lower numbers.
    free: u32,
}

/// The observations of some tracklets, each by frame.
type Tracklets<'o> = BTreeMap<u32, BTreeMap<u64, &'o TrackletObservation>>;

impl Sightings {
    /// Of one tracker.
    pub fn new(observations: BTreeMap<u64, Vec<TrackletObservation>>, trajectory: Trajectory) -> Self {
        let free = observations.values().flatten().map(|one| one.tracklet + 1).max().unwrap_or(0);
        Self { observations, trajectory, free }
    }

    /// Goes on with the next stretch, which counts from frame `from` on. It has seen the last frames before that as well, and this one none
    /// after it.
    pub fn go_on_with(&mut self, mut next: Self, from: u64) {
        let later = next.observations.split_off(&from);
        let mut numbers = self.numbers_for(&next, from);
        for (frame, mut all) in later {
            for one in &mut all {
                one.tracklet = *numbers.entry(one.tracklet).or_insert_with(|| {
                    self.free += 1;
                    self.free - 1
                });
            }
            self.observations.insert(frame, all);
        }
        self.trajectory.go_on_with(&next.trajectory);
    }

    /// The numbers of this one's tracklets for those of the next one who are the same people. `next`: what it saw before frame `from`.
    fn numbers_for(&self, next: &Self, from: u64) -> BTreeMap<u32, u32> {
        let Some((&first, _)) = next.observations.first_key_value() else { return BTreeMap::new() };
        let known = tracklets(self.observations.range((2 * first).saturating_sub(from)..from));
        let new = tracklets(next.observations.iter());
        let costs_of = |new| known.values().map(|known| cost(known, new)).collect();
        let costs: Vec<Vec<Option<f64>>> = new.values().map(costs_of).collect();
        let pairs = new.keys().zip(assign(&costs, known.len(), MOST_COST));
        let known: Vec<u32> = known.keys().copied().collect();
        pairs.filter_map(|(&new, column)| Some((new, *known.get(column?)?))).collect()
    }
}

fn tracklets<'o>(frames: impl Iterator<Item = (&'o u64, &'o Vec<TrackletObservation>)>) -> Tracklets<'o> {
    let mut tracklets = Tracklets::new();
    for one in frames.flat_map(|(_, all)| all) {
        tracklets.entry(one.tracklet).or_default().insert(one.frame, one);
    }
    tracklets
}

/// What it costs to take two tracklets for one person: how far they are apart where both are known, the later frames counting more, since
/// the numbers are for what comes after them. `None` where they are never there at the same time.
fn cost(known: &BTreeMap<u64, &TrackletObservation>, new: &BTreeMap<u64, &TrackletObservation>) -> Option<f64> {
    let (mut sum, mut weights) = (0.0, 0.0);
    for ((&frame, new), weight) in new.iter().zip(1..) {
        if let Some(known) = at(known, frame) {
            sum += f64::from(weight) * difference(&known, &new.observation);
            weights += f64::from(weight);
        }
    }
    (weights > 0.0).then(|| sum / weights)
}

/// Somebody in a frame, or on the straight way between two observations near it.
fn at(known: &BTreeMap<u64, &TrackletObservation>, frame: u64) -> Option<Observation> {
    let (&before, first) = known.range(..=frame).next_back()?;
    if before == frame {
        return Some(first.observation.clone());
    }
    let (&after, second) = known.range(frame..).next()?;
    let share = (frame - before) as f32 / (after - before) as f32;
    (after - before <= NEAR.max(second.skipped.len() as u64 + 1))
        .then(|| first.observation.between(&second.observation, share))
}

/// How different two observations in one picture are.
fn difference(a: &Observation, b: &Observation) -> f64 {
    let [here, there] = [a, b].map(|one| one.landmarks.region());
    let distance = here.center.distance(there.center) / here.side.min(there.side).max(1.0);
    let pose = pose_distance(&a.landmarks, &b.landmarks, [0.0; 2]);
    distance + pose + APPEARANCE_COST * a.appearance.distance(&b.appearance)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ops::Range;

    use glam::DVec2;

    use super::*;
    use crate::control::never_stopped;
    use crate::track::{Track, link, synthetic};

    const DISPLAY: [u32; 2] = [1280, 720];
    const RED: [u8; 3] = [90, 100, 200];
    const BLUE: [u8; 3] = [60, 200, 110];
    /// Frames of the clip, the one at which the second stretch begins, and the one from which on it counts.
    const FRAMES: u64 = 200;
    const CUT: u64 = 100;
    const FROM: u64 = 119;

    /// Somebody: where they are in the picture in each frame, and what they wear.
    type Walker = (fn(u64) -> f32, [u8; 3]);

    fn seen(frame: u64, tracklet: u32, x: f32, colour: [u8; 3]) -> TrackletObservation {
        TrackletObservation { is_detected: Some(true), ..synthetic::seen(frame, tracklet, [x, 360.0], 400.0, colour) }
    }

    /// What a tracker sees of people in some frames, in the first ones on keyframes only, and where the camera is.
    fn stretch(frames: Range<u64>, people: &[(u32, Walker)], place: fn(u64) -> f64) -> Sightings {
        let mut trajectory = Trajectory::from(frames.start);
        frames.clone().for_each(|frame| trajectory.push(DVec2::new(place(frame) - place(frames.start), 0.0)));
        let is_seen = |frame: &u64| *frame >= FROM || frames.start == 0 || (frame - frames.start).is_multiple_of(6);
        let all = |frame: u64| {
            let at = |(tracklet, (x, colour)): &(u32, Walker)| {
                let x = x(frame) + place(frame) as f32;
                (0.0..1280.0).contains(&x).then(|| seen(frame, *tracklet, x, *colour))
            };
            (frame, people.iter().filter_map(at).collect())
        };
        Sightings::new(frames.clone().filter(is_seen).map(all).collect(), trajectory)
    }

    fn still(_: u64) -> f64 {
        0.0
    }

    /// Two stretches that see these people, in another order each, become one; and that is linked.
    fn joined(people: &[Walker], place: fn(u64) -> f64) -> (Sightings, Vec<Track>) {
        let numbered = people.iter().zip(0..).map(|(&walker, number)| (number, walker));
        let mut first = stretch(0..FROM, &numbered.clone().collect::<Vec<_>>(), place);
        let turned: Vec<(u32, Walker)> = numbered.map(|(number, walker)| (7 - number, walker)).collect();
        first.go_on_with(stretch(CUT..FRAMES, &turned, place), FROM);
        let all = first.observations.values().flatten().cloned().collect::<Vec<_>>();
        let tracks = link(all, &BTreeSet::new(), 30.0, DISPLAY, &first.trajectory, &never_stopped).unwrap();
        (first, tracks)
    }

    fn numbers(sightings: &Sightings, frame: u64) -> Vec<u32> {
        sightings.observations[&frame].iter().map(|one| one.tracklet).collect()
    }

    #[test]
    fn people_who_walk_through_the_cut_keep_their_numbers() {
        let people: [Walker; 2] = [(|f| 100.0 + 2.0 * f as f32, RED), (|f| 700.0 + f as f32, RED)];
        let (sightings, tracks) = joined(&people, still);
        assert_eq!((numbers(&sightings, FROM - 1), numbers(&sightings, FROM)), (vec![0, 1], vec![0, 1]));
        assert!(tracks.len() == 2 && tracks.iter().all(|track| track.frames.len() == FRAMES as usize));
        // Every frame is there once, and is the one stretch's or the other's.
        assert!(sightings.observations.values().all(|all| all.len() == 2));
        assert_eq!(sightings.observations.len() as u64, FRAMES);
    }

    #[test]
    fn who_crosses_there_is_told_apart() {
        // In the middle of the shared frames they are in one place.
        let people: [Walker; 2] =
            [(|f| 640.0 + 6.0 * (f as f32 - 109.0), RED), (|f| 640.0 - 6.0 * (f as f32 - 109.0), BLUE)];
        let (sightings, _) = joined(&people, still);
        assert_eq!(numbers(&sightings, FRAMES - 1), [0, 1]);
        // In the same clothes the later frames tell.
        let alike = people.map(|(x, _)| (x, RED));
        assert_eq!(numbers(&joined(&alike, still).0, FRAMES - 1), [0, 1]);
    }

    #[test]
    fn a_camera_that_pans_there_goes_on() {
        fn pan(frame: u64) -> f64 {
            1.5 * frame as f64
        }
        let (sightings, tracks) = joined(&[(|_| 300.0, RED)], pan);
        let places = sightings.trajectory.places();
        assert_eq!(places.len() as u64, FRAMES);
        let is_right = |(frame, place): (u64, &DVec2)| place.distance(DVec2::new(pan(frame), 0.0)) < 1e-9;
        assert!((0..).zip(places).all(is_right), "{places:?}");
        assert_eq!((tracks.len(), tracks[0].frames.len() as u64), (1, FRAMES));
    }

    #[test]
    fn who_comes_in_or_leaves_there_is_somebody_else() {
        // One leaves to the left and one comes in from the right.
        let people: [Walker; 2] = [(|f| 1100.0 - 10.0 * f as f32, RED), (|f| 1400.0 - 10.0 * (f as f32 - 100.0), RED)];
        let (sightings, tracks) = joined(&people, still);
        assert_eq!(numbers(&sightings, CUT), [0]);
        // Both saw who came in.
        assert_eq!((numbers(&sightings, FROM - 1), numbers(&sightings, FROM)), (vec![1], vec![1]));
        assert_eq!(tracks.len(), 2);
        // Whoever only the later one has seen gets a number that nobody had.
        let mut first = stretch(0..FROM, &[(3, people[0])], still);
        first.go_on_with(stretch(CUT..FRAMES, &[(0, people[1]), (1, (|_| 500.0, BLUE))], still), FROM);
        assert_eq!(numbers(&first, FROM), [4, 5]);
    }

    #[test]
    fn nobody_there_is_nobody() {
        let (sightings, tracks) = joined(&[], still);
        assert!(tracks.is_empty() && sightings.observations.values().all(Vec::is_empty));
        assert_eq!(sightings.trajectory.places().len() as u64, FRAMES);
    }
}
