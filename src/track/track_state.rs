//! What the tracker remembers of one person: where they should be on the next keyframe, in which orientation, and which observation fits
//! them.

use glam::DVec2;
use serde::{Deserialize, Serialize};

use super::similarity::{MIN_VISIBILITY, is_small, pose_distance, size_difference, visibility};
use crate::pose::{AppearanceHistogram, Landmarks, Observation, RotatedRegion, wrap_angle};

/// Turning speed, radians a second (40 degrees), from which on somebody turns head over heels and is looked at on more keyframes. With 57
/// degrees more of them were lost in turns (docs/accuracy.md).
const TURNING: f64 = 0.7;
/// Seconds for which somebody who was turning, and is not upright yet, is still taken to be turning: in the middle of a turn the network now
/// and then sees them as if they had stopped.
const TURNING_HELD: f64 = 0.3;
/// Seconds for which somebody who is not observed any more moves and turns on as before, but two frames at least; then they stay where they are.
const KEPT_MOVING: f64 = 0.5;
/// Angle from upright in radians (46 degrees) beyond which nobody stands.
const DOWN: f64 = 0.8;
/// How far a prediction turns a person at most, radians: the turning speed is measured with noise.
const MOST_TURNED: f64 = 1.2;
/// Angle from upright in radians (23 degrees) beyond which somebody may be about to turn further.
const LEANING: f64 = 0.4;
/// Probability of a person below which somebody tracked for long is looked for in other orientations.
const POOR_SCORE: f32 = 0.6;
/// Radians between the orientations that are tried: the landmark network recognises bodies that are turned by somewhat more than this.
const TURN_STEP: f64 = std::f64::consts::FRAC_PI_4;
/// Keyframes on which somebody must have been observed before they count as a person: textures are taken for people now and then,
/// and are soon lost again.
const PROVEN: u32 = 4;
/// How much of the last step goes into the velocity, the rest is the velocity before.
const VELOCITY_GAIN: f64 = 0.7;
/// The same for the turning speed.
const SPIN_GAIN: f64 = 0.6;
/// The same for the mean visibility.
const VISIBILITY_GAIN: f32 = 0.25;

/// A person whom the tracker follows.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct TrackletState {
    /// Number of their tracklet.
    pub tracklet: u32,
    /// Index of the keyframe on which they were last observed.
    pub frame: u64,
    /// What was observed then, shifted as the scene has shifted in the picture since.
    pub observation: Observation,
    /// Displayed pixels a frame, apart from the scene's shift.
    pub velocity: DVec2,
    /// Radians a frame, clockwise.
    spin: f64,
    /// Index of the keyframe on which they were last seen to turn head over heels.
    turned: Option<u64>,
    /// Slowly changing mean of their appearance.
    pub appearance: AppearanceHistogram,
    /// Index of the keyframe on which the heavy network was last asked about them.
    pub last_heavy: Option<u64>,
    /// Keyframes on which they were observed.
    observed: u32,
    /// Slowly changing mean of [`visibility`].
    visibility: f32,
    /// Whether they were ever observed on enough keyframes and visible enough to be a person rather than a texture.
    pub is_proven: bool,
    /// Whether the person detector saw them when it was last shown them.
    pub was_detected: bool,
    /// Whether they were last found behind others.
    pub is_behind: bool,
    /// Whether two networks saw them alike when they were found.
    pub is_agreed: bool,
}

impl TrackletState {
    /// Somebody who is observed for the first time.
    pub fn new(tracklet: u32, frame: u64, observation: Observation, display: [u32; 2]) -> Self {
        Self {
            tracklet,
            frame,
            velocity: DVec2::ZERO,
            spin: 0.0,
            turned: None,
            appearance: observation.appearance,
            last_heavy: None,
            observed: 1,
            visibility: visibility(&observation.landmarks, display),
            is_proven: false,
            was_detected: false,
            is_behind: false,
            is_agreed: false,
            observation,
        }
    }

    /// The person is observed again.
    pub fn update(&mut self, frame: u64, observation: Observation, fps: f64, display: [u32; 2]) {
        let (before, now) = (self.region(), observation.landmarks.region());
        let frames = (frame - self.frame).max(1) as f64;
        let step = (now.center - before.center) / frames;
        self.velocity = if self.velocity == DVec2::ZERO { step } else { self.velocity.lerp(step, VELOCITY_GAIN) };
        self.spin += SPIN_GAIN * (wrap_angle(now.rotation - before.rotation) / frames - self.spin);
        if self.spin.abs() * fps > TURNING {
            self.turned = Some(frame);
        }
        let (mean, new) = (&self.appearance, &observation.appearance);
        self.appearance = AppearanceHistogram::mean([mean, mean, mean, new].into_iter());
        self.observed += 1;
        self.visibility += VISIBILITY_GAIN * (visibility(&observation.landmarks, display) - self.visibility);
        self.is_proven |= self.observed >= PROVEN && self.visibility >= MIN_VISIBILITY;
        (self.frame, self.observation) = (frame, observation);
    }

    /// The scene has shifted in the picture, and the person with it.
    pub fn shift(&mut self, by: DVec2) {
        self.observation.shift(by);
    }

    /// Where they were last observed.
    pub fn region(&self) -> RotatedRegion {
        self.observation.landmarks.region()
    }

    /// Whether they are a person for sure, and large enough in the picture for extra work when they are lost.
    pub fn is_worth_finding(&self, display: [u32; 2]) -> bool {
        self.is_proven && !is_small(&self.region(), display)
    }

    /// Where the person should be in a frame.
    pub fn predict(&self, frame: u64, fps: f64) -> RotatedRegion {
        let frames = ((frame - self.frame) as f64).min((KEPT_MOVING * fps).max(2.0));
        let region = self.region();
        let center = region.center + self.velocity * frames;
        let turned = (self.spin * frames).clamp(-MOST_TURNED, MOST_TURNED);
        RotatedRegion { center, rotation: wrap_angle(region.rotation + turned), ..region }
    }

    /// Whether the person is turning head over heels, or was a moment ago and is not upright again. In the midst of a turn the network
    /// now and then sees them wrongly, as if they had stopped.
    pub fn is_turning(&self, fps: f64, display: [u32; 2]) -> bool {
        let is_down = self.region().rotation.abs() > DOWN;
        let is_recent =
            |turned| self.frame == turned || (is_down && (self.frame - turned) as f64 <= TURNING_HELD * fps);
        self.is_worth_finding(display) && self.turned.is_some_and(is_recent)
    }

    /// Whether the person neither leans nor turns.
    pub fn is_upright(&self) -> bool {
        self.region().rotation.abs() < LEANING
    }

    /// Whether the person is turning, or leans so far that they may be about to.
    pub fn may_turn(&self, predicted: &RotatedRegion, fps: f64, display: [u32; 2]) -> bool {
        let leans = self.is_worth_finding(display) && predicted.rotation.abs() > LEANING;
        leans || self.is_turning(fps, display)
    }

    /// Where to look for the person: at the predicted region, and for somebody who may turn also in that region turned a step further
    /// and a step back.
    pub fn guesses(&self, predicted: RotatedRegion, fps: f64, display: [u32; 2]) -> Vec<RotatedRegion> {
        let turns = [0.0, TURN_STEP, -TURN_STEP];
        if self.may_turn(&predicted, fps, display) { turned(predicted, &turns) } else { vec![predicted] }
    }

    /// What was last observed of the person, moved to where they are predicted.
    pub fn moved_to(&self, predicted: &RotatedRegion) -> Landmarks {
        self.observation.landmarks.carried(&self.region(), predicted)
    }

    /// In which other orientations to look for the person when little of them was found (`found`) in those of [`Self::guesses`].
    pub fn other_orientations(
        &self,
        predicted: &RotatedRegion,
        found: Option<&Observation>,
        display: [u32; 2],
    ) -> Vec<RotatedRegion> {
        let is_found = found.is_some_and(|found| found.landmarks.score >= POOR_SCORE);
        if is_found || !self.is_worth_finding(display) || is_leaving(predicted, display) {
            return Vec::new();
        }
        turned(*predicted, &[2.0 * TURN_STEP, -2.0 * TURN_STEP, 4.0 * TURN_STEP])
    }

    /// How well an observation fits the person at `predicted`, on the scale of [`Landmarks::quality`].
    pub fn fits(&self, predicted: &RotatedRegion, found: &Observation) -> f32 {
        let off = pose_distance(&self.moved_to(predicted), &found.landmarks, [0.0; 2]).min(0.7);
        let grown = size_difference(predicted, &found.landmarks.region());
        found.landmarks.score - 1.0 + found.landmarks.quality_at(predicted.rotation) - (off + grown) as f32
    }
}

/// Whether much of whoever is in the region may be outside the picture: the region's centre is within a quarter of its side of the edge.
fn is_leaving(region: &RotatedRegion, display: [u32; 2]) -> bool {
    let (size, margin) = (DVec2::from(display.map(f64::from)), DVec2::splat(0.25 * region.side));
    region.center.cmplt(margin).any() || region.center.cmpgt(size - margin).any()
}

/// The region turned further by each of these angles (radians).
fn turned(region: RotatedRegion, turns: &[f64]) -> Vec<RotatedRegion> {
    let turn = |by| RotatedRegion { rotation: wrap_angle(region.rotation + by), ..region };
    turns.iter().map(turn).collect()
}
