//! Stage 3 of tracking: the people of the frames between two keyframes, and what the heavy network adds on some keyframes.
//!
//! For each frame between, [`regions_between`] says where everybody should be; in which of them who is looked at is told in
//! [`super::between`]. On keyframes [`heavy_landmarks`] checks the heavy network's answers. All that was observed goes to [`super::link()`].

use serde::{Deserialize, Serialize};

use super::associate::{Keyframe, KeyframePerson};
use super::camera::Trajectory;
use super::covered::in_front;
use super::detect::{TOLERANCE, around};
use super::gaps::on_the_way;
use super::similarity::{is_small, pose_distance};
use crate::models::Network;
use crate::pose::own::{BodyEstimate, SeenPoints};
use crate::pose::skeleton::{HEAD, HIPS, Pair, SHOULDERS};
use crate::pose::{Landmarks, MaskedRegion, Observation, Query, RotatedRegion, wrap_angle};
use glam::DVec2;

/// Seconds from one question to the heavy network about a person to the next. Asked twice as often it gives hardly better motion
/// (docs/performance.md).
const HEAVY_INTERVAL: f64 = 0.8;
/// Visibility of the head, in the mean of its points, below which left and right are in doubt: somebody is seen from behind.
const FACE_HIDDEN: f32 = 0.5;
/// Distance of the shoulders across the picture, over the body's extent, below which somebody is seen from the side.
const SIDEWAYS: f32 = 0.04;
/// [`pose_distance`] beyond which the two networks saw two people.
const OTHER_PERSON: f64 = 0.2;

/// One observation of one tracklet: what linking is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrackletObservation {
    /// Index of the frame.
    pub frame: u64,
    /// The tracker's number.
    pub tracklet: u32,
    /// What was observed.
    pub observation: Observation,
    /// What the heavy network says, where it was asked.
    pub heavy_landmarks: Option<Box<Landmarks>>,
    /// Where a network of the user's own sees the key points, in the frame's own pixels.
    pub seen_points: Option<Box<SeenPoints>>,
    /// The body that a network of the user's own gives.
    pub estimate: Option<Box<BodyEstimate>>,
    /// Whether the person detector saw them; `None` where it was not shown them (closely enough), as between keyframes.
    pub is_detected: Option<bool>,
    /// Whether those in front of them were painted over to find them.
    pub is_behind: bool,
    /// Frames since the last observation in which nobody looked for the person, on purpose. Linking fills in those that follow a look that found them.
    /// Frames that follow a look that missed them are not listed: nothing is known of those.
    pub skipped: Vec<u64>,
    /// Whether nobody looked: it lies between what was observed before and after.
    pub is_interpolated: bool,
}

impl TrackletObservation {
    /// What was observed of a tracklet in a frame, where nothing else is known.
    pub fn new(frame: u64, tracklet: u32, observation: Observation) -> Self {
        Self {
            frame,
            tracklet,
            observation,
            heavy_landmarks: None,
            seen_points: None,
            estimate: None,
            is_detected: None,
            is_behind: false,
            skipped: Vec::new(),
            is_interpolated: false,
        }
    }
}

/// Where a tracklet should be in a frame between keyframes.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictedRegion {
    /// Number of the tracklet.
    pub tracklet: u32,
    /// Where to look.
    pub at: MaskedRegion,
    /// Whether the person is on the keyframes on both sides.
    pub is_on_both: bool,
    /// Whether the person detector saw them on one of the two.
    pub is_detected: bool,
    /// Whether it did on both.
    pub is_detected_on_both: bool,
}

impl PredictedRegion {
    /// What to ask of this frame.
    pub fn query(&self, network: Network) -> Query {
        Query::Landmarks { at: self.at.clone(), network, tolerance: TOLERANCE }
    }
}

impl Keyframe {
    /// Whoever has this tracklet on it.
    pub(super) fn person(&self, tracklet: u32) -> Option<&KeyframePerson> {
        self.people.iter().find(|person| person.tracklet == tracklet)
    }

    /// What to ask the heavy network about one of the people, in a picture of this size.
    pub fn heavy_query(&self, person: &KeyframePerson, display: [u32; 2]) -> Query {
        let region = person.observation.landmarks.region();
        let at = MaskedRegion { region, within: None, hidden: self.in_front(person, display) };
        Query::Landmarks { at, network: Network::Heavy, tolerance: f64::INFINITY }
    }

    /// What was observed on it, for linking.
    pub fn observations(&self) -> Vec<TrackletObservation> {
        let one = |person: &KeyframePerson| TrackletObservation {
            is_detected: person.is_detected,
            is_behind: person.is_behind,
            ..TrackletObservation::new(self.index, person.tracklet, person.observation.clone())
        };
        self.people.iter().map(one).collect()
    }
}

/// Where everybody should be in a frame between two keyframes, in order of tracklet number: interpolated in the scene where both have the person, else
/// moved on from the one that has. `display`: size of the picture, displayed pixels.
pub(super) fn regions_between(
    [before, after]: [&Keyframe; 2],
    frame: u64,
    display: [u32; 2],
    trajectory: &Trajectory,
) -> Vec<PredictedRegion> {
    let moved_on = |person: &KeyframePerson, from: u64| {
        let region = person.observation.landmarks.region();
        let center = region.center + person.velocity * (frame as f64 - from as f64) + trajectory.moved(from, frame);
        RotatedRegion { center, ..region }
    };
    let mut predicted = Vec::new();
    for person in &before.people {
        let later = after.person(person.tracklet);
        let is_detected_on_both =
            later.is_some_and(|later| [person, later].iter().all(|p| p.is_detected == Some(true)));
        let at = match later {
            Some(later) => {
                let share = (frame - before.index) as f64 / (after.index - before.index).max(1) as f64;
                let shift = trajectory.off_straight(before.index, after.index, frame);
                let [a, b] = [person, later].map(|p| p.observation.landmarks.region());
                let mut region = interpolate(&a, &b, share);
                region.center += shift;
                let [a, b] = [person, later].map(|p| p.observation.landmarks.bounds());
                let bounds = std::array::from_fn(|i| a[i] + share as f32 * (b[i] - a[i]) + shift[i % 2] as f32);
                // Where the detector does not see them, somebody might be found only because nothing else is to be seen.
                let is_mixed = person.is_masked || later.is_masked;
                let is_masked = is_detected_on_both && (is_small(&region, display) || is_mixed);
                let hidden = match person.is_behind || later.is_behind {
                    true => {
                        let others = others_between([before, after], person.tracklet, share, shift);
                        in_front(&bounds, others.iter(), display)
                    }
                    false => Vec::new(),
                };
                MaskedRegion { region, within: is_masked.then(|| around(bounds)), hidden }
            }
            None => MaskedRegion {
                region: moved_on(person, before.index),
                within: None,
                hidden: before.in_front(person, display),
            },
        };
        predicted.push(PredictedRegion {
            tracklet: person.tracklet,
            at,
            is_on_both: later.is_some(),
            is_detected: person.was_detected || later.is_some_and(|later| later.was_detected),
            is_detected_on_both,
        });
    }
    let new = after.people.iter().filter(|p| before.person(p.tracklet).is_none());
    predicted.extend(new.map(|person| PredictedRegion {
        tracklet: person.tracklet,
        at: MaskedRegion {
            region: moved_on(person, after.index),
            within: None,
            hidden: after.in_front(person, display),
        },
        is_on_both: false,
        is_detected: person.was_detected,
        is_detected_on_both: false,
    }));
    predicted.sort_by_key(|p| p.tracklet);
    predicted
}

/// Those who are on both keyframes and not behind others there, on the way from one to the other.
fn others_between(keyframes: [&Keyframe; 2], tracklet: u32, share: f64, shift: DVec2) -> Vec<Landmarks> {
    let is_in_front = |other: &&KeyframePerson| other.tracklet != tracklet && !other.is_behind;
    let between = |other: &KeyframePerson| {
        let later = keyframes[1].person(other.tracklet).filter(is_in_front)?;
        let mut landmarks = on_the_way(&other.observation.landmarks, &later.observation.landmarks, share as f32);
        landmarks.shift(shift);
        Some(landmarks)
    };
    keyframes[0].people.iter().filter(is_in_front).filter_map(between).collect()
}

fn interpolate(a: &RotatedRegion, b: &RotatedRegion, share: f64) -> RotatedRegion {
    RotatedRegion {
        center: a.center.lerp(b.center, share),
        side: a.side + share * (b.side - a.side),
        rotation: wrap_angle(a.rotation + share * wrap_angle(b.rotation - a.rotation)),
    }
}

/// The heavy network's answer about a person, if it is of the same person as the other network's landmarks.
pub fn heavy_landmarks(landmarks: &Landmarks, answer: Option<Observation>) -> Option<Box<Landmarks>> {
    let heavy = answer?.landmarks;
    (pose_distance(landmarks, &heavy, [0.0; 2]) < OTHER_PERSON).then(|| Box::new(heavy))
}

/// Whether the heavy network should be asked about a person on this keyframe, `since` seconds after the last time (`None`: never yet): every
/// 0.8 s, and after half of that where left and right are in doubt.
pub fn is_heavy_due(since: Option<f64>, landmarks: &Landmarks) -> bool {
    let Some(since) = since else { return true };
    // Frame times are rounded.
    let since = since + 1e-6;
    since >= HEAVY_INTERVAL || (is_side_in_doubt(landmarks) && since >= HEAVY_INTERVAL / 2.0)
}

/// Whether left and right are easily confused in this picture: the face is hidden, or the body is seen from the side, so that shoulders
/// or hips lie over each other.
fn is_side_in_doubt(landmarks: &Landmarks) -> bool {
    let face = landmarks.points[HEAD].iter().map(|p| p.visibility).sum::<f32>() / HEAD.len() as f32;
    let across = |[left, right]: Pair| landmarks.points[left].x - landmarks.points[right].x;
    let (shoulders, hips) = (across(SHOULDERS), across(HIPS));
    face < FACE_HIDDEN || shoulders * hips < 0.0 || shoulders.abs() < SIDEWAYS * landmarks.extent()
}
