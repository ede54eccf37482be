//! One person whom the scout follows from keyframe to keyframe: where they should be next, which way round, and what fits them.

use glam::DVec2;
use serde::{Deserialize, Serialize};

use super::likeness::{MIN_CLARITY, clarity, is_small, pose_distance, size_difference};
use crate::pose::{Landmarks, Look, Region, Sight, wrap_angle};

/// Radians a second from which on somebody turns head over heels, and is looked at more often.
const TURNING: f64 = 0.7;
/// Seconds after they were last seen to turn for which those who are not upright again are taken to be turning.
const HELD: f64 = 0.3;
/// Whoever is turned by more (radians) does not stand.
const DOWN: f64 = 0.8;
/// Radians that a prediction turns a person at most.
const MOST_TURNED: f64 = 1.2;
/// Whoever is turned by more (radians) may be about to turn further.
const LEANING: f64 = 0.4;
/// Score below which somebody known for long is looked for the other ways round.
const POOR: f32 = 0.6;
/// Radians between the ways round in which one who turns is looked at.
const STEP: f64 = std::f64::consts::FRAC_PI_4;
/// Keyframes on which somebody must have been seen, clearly enough for identity, to be worth looking for: textures are taken
/// for people now and then, and soon lost again.
const PROVEN: u32 = 4;

/// A person the scout is following.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Known {
    pub tracklet: u32,
    /// Index of the keyframe on which they were last found.
    pub frame: u64,
    /// What was found then, moved as the scene has in the picture since.
    pub sight: Sight,
    /// Displayed pixels a frame, beside what the scene moves.
    pub velocity: DVec2,
    /// Radians a frame, clockwise.
    spin: f64,
    /// Index of the keyframe on which they were last found to be turning head over heels.
    turned: Option<u64>,
    /// Slowly changing mean of the clothes.
    pub look: Look,
    pub last_opinion: Option<u64>,
    /// Keyframes with the person.
    sightings: u32,
    /// Slowly changing mean of [`clarity`].
    clarity: f32,
    /// Whether they were ever seen on enough keyframes and clearly enough to be a person rather than a texture.
    pub is_proven: bool,
    /// Whether the finder saw them when it last looked.
    pub is_figure: bool,
}

impl Known {
    /// Somebody who was found for the first time.
    pub fn new(tracklet: u32, frame: u64, sight: Sight, display: [u32; 2]) -> Self {
        Self {
            tracklet,
            frame,
            velocity: DVec2::ZERO,
            spin: 0.0,
            turned: None,
            look: sight.look,
            last_opinion: None,
            sightings: 1,
            clarity: clarity(&sight.landmarks, display),
            is_proven: false,
            is_figure: false,
            sight,
        }
    }

    /// The person is found again.
    pub fn see(&mut self, frame: u64, sight: Sight, fps: f64, display: [u32; 2]) {
        let (before, now) = (self.region(), sight.landmarks.region());
        let frames = (frame - self.frame).max(1) as f64;
        let step = (now.center - before.center) / frames;
        self.velocity = if self.velocity == DVec2::ZERO { step } else { self.velocity.lerp(step, 0.7) };
        self.spin += 0.6 * (wrap_angle(now.rotation - before.rotation) / frames - self.spin);
        if self.spin.abs() * fps > TURNING {
            self.turned = Some(frame);
        }
        self.look = Look::mean([&self.look, &self.look, &self.look, &sight.look].into_iter());
        self.sightings += 1;
        self.clarity += 0.25 * (clarity(&sight.landmarks, display) - self.clarity);
        self.is_proven |= self.sightings >= PROVEN && self.clarity >= MIN_CLARITY;
        (self.frame, self.sight) = (frame, sight);
    }

    /// The scene, and the person with it, shows up elsewhere in the picture.
    pub fn carry(&mut self, by: DVec2) {
        self.sight.landmarks.shift(by);
    }

    /// Where they were last found.
    pub fn region(&self) -> Region {
        self.sight.landmarks.region()
    }

    pub fn is_worth_finding(&self, display: [u32; 2]) -> bool {
        self.is_proven && !is_small(&self.region(), display)
    }

    /// Where the person should be at a frame.
    pub fn predict(&self, frame: u64) -> Region {
        let frames = (frame - self.frame) as f64;
        let region = self.region();
        let center = region.center + self.velocity * frames;
        let turned = (self.spin * frames).clamp(-MOST_TURNED, MOST_TURNED);
        Region { center, rotation: wrap_angle(region.rotation + turned), ..region }
    }

    /// Whether the person is turning head over heels, or was a moment ago and is not upright again: they are seen wrongly now and
    /// then, as if they had stopped.
    pub fn is_turning(&self, fps: f64, display: [u32; 2]) -> bool {
        let is_down = self.region().rotation.abs() > DOWN;
        let is_recent = |turned| self.frame == turned || (is_down && (self.frame - turned) as f64 <= HELD * fps);
        self.is_worth_finding(display) && self.turned.is_some_and(is_recent)
    }

    /// Whether the person is turning, or leans so far that they may be about to.
    pub fn may_turn(&self, predicted: &Region, fps: f64, display: [u32; 2]) -> bool {
        let leans = self.is_worth_finding(display) && predicted.rotation.abs() > LEANING;
        leans || self.is_turning(fps, display)
    }

    /// Where to look for the person: where they should be, and who may turn also turned further and turned less.
    pub fn guesses(&self, predicted: Region, fps: f64, display: [u32; 2]) -> Vec<Region> {
        if self.may_turn(&predicted, fps, display) { turned(predicted, &[0.0, STEP, -STEP]) } else { vec![predicted] }
    }

    /// What was last seen of the person, as it should be at `predicted`.
    pub fn carried(&self, predicted: &Region) -> Landmarks {
        self.sight.landmarks.carried(&self.region(), predicted)
    }

    /// Where else to look for the person when that found little of them.
    pub fn other_ways(&self, predicted: &Region, seen: Option<&Sight>, display: [u32; 2]) -> Vec<Region> {
        let is_seen = seen.is_some_and(|s| s.landmarks.score >= POOR);
        if is_seen || !self.is_worth_finding(display) || is_leaving(predicted, display) {
            return Vec::new();
        }
        turned(*predicted, &[2.0 * STEP, -2.0 * STEP, 4.0 * STEP])
    }

    /// How well a find fits the person at `predicted`, on the scale of [`Landmarks::quality`].
    pub fn fits(&self, predicted: &Region, sight: &Sight) -> f32 {
        let off = pose_distance(&self.carried(predicted), &sight.landmarks, [0.0; 2]).min(0.7);
        let grown = size_difference(predicted, &sight.landmarks.region());
        sight.landmarks.score - 1.0 + sight.landmarks.quality_at(predicted.rotation) - (off + grown) as f32
    }
}

/// Whether much of whoever is in the region may be outside the picture.
fn is_leaving(region: &Region, display: [u32; 2]) -> bool {
    let (size, margin) = (DVec2::from(display.map(f64::from)), DVec2::splat(0.25 * region.side));
    region.center.cmplt(margin).any() || region.center.cmpgt(size - margin).any()
}

/// The region turned further by each of these angles.
fn turned(region: Region, turns: &[f64]) -> Vec<Region> {
    let turn = |by| Region { rotation: wrap_angle(region.rotation + by), ..region };
    turns.iter().map(turn).collect()
}
