//! Which of the hands that the hand network found are a person's own left and right one, and what they tell the fit of the body.

use super::super::heavy_landmarks::Corrected;
use crate::pose::skeleton::{self, SidePoints};
use crate::pose::{HAND_POINTS, HANDS, Hand};
use crate::track::TrackFrame;
use glam::{DVec2, DVec3};

/// Probability from which on a hand is one.
const LEAST_PRESENCE: f32 = 0.5;
/// Probability below which a hand is of the other side. Of small hands the network often does not know.
const LEAST_SIDE: f32 = 0.1;
/// Distance of its wrist from the body's, over the diagonal of the box around its points, beyond which a hand is somebody else's.
const FAR: f64 = 0.6;
/// Mean distance of their points, over the same, below which two hands are one.
const SAME: f64 = 0.3;

/// For each frame of a track the left and the right hand, where they were seen.
pub type SeenOfTrack<'t> = Vec<[Option<&'t Hand>; HANDS]>;

/// The points of the body that a hand has, too, and which of its points they are.
fn shared(side: &SidePoints) -> [(usize, usize); 4] {
    let [little, index] = side.knuckles;
    [(side.arm[2], 0), (index, 5), (little, 17), (side.thumb, 2)]
}

/// The person's own hands in each frame.
pub fn seen(frames: &[Option<TrackFrame>]) -> SeenOfTrack<'_> {
    frames.iter().map(|frame| frame.as_ref().map_or([None, None], own)).collect()
}

fn own(frame: &TrackFrame) -> [Option<&Hand>; HANDS] {
    let landmarks = &frame.landmarks;
    let mut hands: [Option<&Hand>; HANDS] = std::array::from_fn(|side| {
        let hand = landmarks.hands[side].as_deref()?;
        let wrist = landmarks.at([skeleton::LEFT_WRIST, skeleton::RIGHT_WRIST][side]);
        let is_near = hand.at(0).distance(wrist) < FAR * hand.extent();
        (hand.presence >= LEAST_PRESENCE && of_side(hand, side) >= LEAST_SIDE && is_near).then_some(hand)
    });
    if let [Some(left), Some(right)] = hands {
        let apart: f64 = (0..HAND_POINTS).map(|i| left.at(i).distance(right.at(i))).sum();
        if apart < SAME * HAND_POINTS as f64 * left.extent().max(right.extent()) {
            hands[usize::from(of_side(left, 0) >= of_side(right, 1))] = None;
        }
    }
    hands
}

/// Probability that a hand is of that side.
fn of_side(hand: &Hand, side: usize) -> f32 {
    if side == 0 { 1.0 - hand.right } else { hand.right }
}

/// Puts wrists and knuckles where the hand network saw them: in the picture, and in metres as seen from the wrist.
pub fn correct(corrected: &mut Corrected, hands: &[Option<&Hand>; HANDS]) {
    for (side, hand) in [skeleton::LEFT, skeleton::RIGHT].iter().zip(hands) {
        let Some(hand) = hand else { continue };
        let wrist = side.arm[2];
        let world = |point: usize| DVec3::from_array(hand.world[point].map(f64::from));
        for (landmark, point) in shared(side) {
            if landmark == wrist {
                corrected.pixels[wrist] = DVec2::midpoint(corrected.pixels[wrist], hand.at(0));
            } else {
                corrected.pixels[landmark] = hand.at(point);
                corrected.world[landmark] = corrected.world[wrist] + world(point) - world(0);
            }
        }
    }
}
