//! Stage 2 of tracking: which of those found on a keyframe is which of those tracked, and who is new.

use glam::DVec2;
use serde::{Deserialize, Serialize};

use super::assignment::assign;
use super::covered::in_front;
use super::detect::{Candidates, Find};
use super::detections::DetectedPersons;
use super::refine::is_heavy_due;
use super::similarity::{is_small, pose_distance, size_difference};
use super::track_state::TrackletState;
use super::tracker::Tracker;
use crate::pose::{Landmarks, Observation, RotatedRegion, Silhouette};

/// Greatest cost of an observation for a tracked person: beyond it the one is new and the other lost.
const MOST_COST: f64 = 1.6;
/// What a difference in size (|ln| of the ratio) and in appearance (0..=1) costs, where one region's side of distance costs 1.
const SIZE_COST: f64 = 0.5;
const APPEARANCE_COST: f64 = 1.5;
/// Most that a difference in pose costs: people move.
const MOST_POSE_COST: f64 = 0.5;

/// Keyframes missed up to which somebody may have moved farther: later they are where they were, or behind others.
const MOST_MISSED: f64 = 1.5;

/// How far an observation may be from a tracked person.
struct Gate {
    /// Distance from where they are predicted, or were, over the smaller region's side.
    distance: f64,
    /// What is added to it for each keyframe on which they were missed.
    distance_per_missed: f64,
    /// |ln| of the ratio of the regions' sides.
    size: f64,
    /// Difference of appearance, 0..=1.
    appearance: f64,
    /// The same for somebody who turns head over heels, and is lit from another side each moment.
    turning_appearance: f64,
}

/// Difference of appearance (0..=1) below which two observations are in the same clothes.
pub(super) const SAME_APPEARANCE: f64 = 0.36;
/// Round 1: in the same clothes, people may have moved far.
const SAME_CLOTHES: Gate = Gate {
    distance: 0.6,
    distance_per_missed: 0.2,
    size: 0.8,
    appearance: SAME_APPEARANCE,
    turning_appearance: SAME_APPEARANCE,
};
/// Round 2: just there, they may look different, since somebody who bends over or turns round is seen from a new side.
const SAME_PLACE: Gate =
    Gate { distance: 0.25, distance_per_missed: 0.0, size: 0.35, appearance: 0.55, turning_appearance: 0.8 };

/// One person on a keyframe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyframePerson {
    /// Number of the tracklet: an unbroken stretch of one person.
    pub tracklet: u32,
    /// What was observed.
    pub observation: Observation,
    /// Whether the heavy network is to be asked about them, too ([`Keyframe::heavy_query`]).
    pub needs_heavy: bool,
    /// Motion of the region's centre in the scene, displayed pixels a frame.
    pub velocity: DVec2,
    /// Whether the person detector sees them; `None` where it was not shown them closely enough to say no.
    pub is_detected: Option<bool>,
    /// The same, or what it said when it was last shown them.
    pub was_detected: bool,
    /// Whether those in front of them were painted over to find them.
    pub is_behind: bool,
    /// Whether only their own box was shown to find them, because two people were found as one.
    pub is_masked: bool,
}

/// Everyone on one keyframe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Keyframe {
    /// Index of the frame.
    pub index: u64,
    /// In order of tracklet number.
    pub people: Vec<KeyframePerson>,
}

impl Keyframe {
    /// Those who cover one of the people, if they were found behind others.
    pub(super) fn in_front(&self, person: &KeyframePerson, display: [u32; 2]) -> Vec<Silhouette> {
        if !person.is_behind {
            return Vec::new();
        }
        let bounds = person.observation.landmarks.bounds();
        let others = self.people.iter().filter(|other| other.tracklet != person.tracklet && !other.is_behind);
        in_front(&bounds, others.map(|other| &other.observation.landmarks), display)
    }
}

impl Tracker {
    /// Makes those found on a keyframe the people tracked, or new ones.
    pub fn associate(&mut self, candidates: Candidates) -> Keyframe {
        let Candidates { frame, predicted, finds, detections } = candidates;
        let owners = self.owners(frame, &predicted, &finds);
        let mut people = self.update_states(frame, finds, owners);
        self.mark_detected(&mut people, &detections);
        self.mark_heavy(frame, &mut people);
        people.sort_by_key(|person| person.tracklet);
        self.end_keyframe(Keyframe { index: frame, people })
    }

    /// For each observation the index of the tracked person whose it is.
    ///
    /// In each of two rounds all are assigned at once and at the least total cost. The second is for people and observations that are left
    /// over from the first; the two rounds' pairs do not compete, so that nobody takes the place of a neighbour in other clothes.
    fn owners(&self, frame: u64, predicted: &[RotatedRegion], finds: &[Find]) -> Vec<Option<usize>> {
        let moved: Vec<Landmarks> = self.states.iter().zip(predicted).map(|(s, at)| s.moved_to(at)).collect();
        let cost = |person: usize, found: &Observation, gate: &Gate| {
            let (state, predicted) = (&self.states[person], &predicted[person]);
            let region = found.landmarks.region();
            let missed = ((frame - state.frame) as f64 / self.interval() as f64 - 1.0).clamp(0.0, MOST_MISSED);
            // Someone who lands or stops is where they were rather than where they were going.
            let nearest = predicted.center.distance(region.center).min(state.region().center.distance(region.center));
            let distance = nearest / predicted.side.min(region.side);
            let size = size_difference(predicted, &region);
            let appearance = state.appearance.distance(&found.appearance);
            let pose = pose_distance(&moved[person], &found.landmarks, [0.0; 2]);
            let most_unlike = match state.is_turning(self.fps, self.display) {
                true => gate.turning_appearance,
                false => gate.appearance,
            };
            let is_possible = distance < gate.distance + gate.distance_per_missed * missed
                && size < gate.size
                && appearance < most_unlike;
            let cost = distance + SIZE_COST * size + pose.min(MOST_POSE_COST) + APPEARANCE_COST * appearance;
            is_possible.then_some(cost)
        };
        let mut owners: Vec<Option<usize>> = vec![None; finds.len()];
        for round in [SAME_CLOTHES, SAME_PLACE] {
            let taken = owners.clone();
            let cost = |person: usize, found: usize| {
                let is_free = taken[found].is_none() && !taken.contains(&Some(person));
                is_free.then(|| cost(person, &finds[found].observation, &round)).flatten()
            };
            let costs: Vec<Vec<Option<f64>>> = (0..self.states.len())
                .map(|person| (0..finds.len()).map(|found| cost(person, found)).collect())
                .collect();
            for (person, found) in assign(&costs, finds.len(), MOST_COST).into_iter().enumerate() {
                if let Some(found) = found {
                    owners[found] = Some(person);
                }
            }
        }
        owners
    }

    /// Those found become what is known of their owners, or new states.
    fn update_states(&mut self, frame: u64, finds: Vec<Find>, owners: Vec<Option<usize>>) -> Vec<KeyframePerson> {
        let mut people = Vec::with_capacity(finds.len());
        for (Find { observation, is_behind, is_masked, is_agreed }, owner) in finds.into_iter().zip(owners) {
            let (tracklet, velocity) = match owner.map(|person| &mut self.states[person]) {
                Some(state) => {
                    state.update(frame, observation.clone(), self.fps, self.display);
                    (state.is_behind, state.is_agreed) = (is_behind, state.is_agreed || is_agreed);
                    (state.tracklet, state.velocity)
                }
                None => {
                    let tracklet = self.next_tracklet;
                    self.next_tracklet += 1;
                    let mut state = TrackletState::new(tracklet, frame, observation.clone(), self.display);
                    (state.is_behind, state.is_agreed) = (is_behind, is_agreed);
                    self.states.push(state);
                    (tracklet, DVec2::ZERO)
                }
            };
            people.push(KeyframePerson {
                tracklet,
                observation,
                needs_heavy: false,
                velocity,
                is_detected: None,
                was_detected: false,
                is_behind,
                is_masked,
            });
        }
        people
    }

    /// Marks whom the person detector sees.
    fn mark_detected(&mut self, people: &mut [KeyframePerson], detections: &DetectedPersons) {
        let shared_out = detections.share_out(people.iter().map(|p| (&p.observation.landmarks, p.is_behind)));
        for (person, is_detected) in people.iter_mut().zip(shared_out) {
            // Whom others cover the detector does not tell from them, and odd poses it does not know: that it says nothing says nothing.
            let is_agreed = self.states.iter().any(|state| state.tracklet == person.tracklet && state.is_agreed);
            let is_detected = is_detected.filter(|&is_detected| is_detected || !(person.is_behind || is_agreed));
            person.is_detected = is_detected;
            if let Some(state) = self.state_mut(person.tracklet) {
                state.was_detected = is_detected.unwrap_or(state.was_detected);
                person.was_detected = state.was_detected;
            }
        }
    }

    /// Marks about whom the heavy network is to be asked.
    fn mark_heavy(&mut self, frame: u64, people: &mut [KeyframePerson]) {
        if !self.uses_heavy {
            return;
        }
        let (fps, display) = (self.fps, self.display);
        for person in people {
            let Some(state) = self.state_mut(person.tracklet) else { continue };
            if is_small(&state.region(), display) {
                continue;
            }
            let since = state.last_heavy.map(|last| (frame - last) as f64 / fps);
            if is_heavy_due(since, &person.observation.landmarks) {
                state.last_heavy = Some(frame);
                person.needs_heavy = true;
            }
        }
    }
}
