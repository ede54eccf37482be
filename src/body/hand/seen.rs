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

/// Seconds between two frames in which a hand was seen up to which it was seen in those between as well.
const BETWEEN: f64 = 0.25;
/// Points that a hand shares with the body.
const SHARED: usize = 4;

/// For each frame of a track the left and the right hand, where they were seen.
pub type SeenOfTrack<'t> = Vec<[Option<&'t Hand>; HANDS]>;

/// The points of the body that a hand has, too, and which of its points they are.
fn shared(side: &SidePoints) -> [(usize, usize); SHARED] {
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

/// Puts wrists and knuckles where the hand network saw them: in the picture, and in metres as seen from the wrist. Between two frames in which a
/// hand was seen what it changes is interpolated: it is not looked at in every frame. `times`: seconds of each frame.
pub fn correct(times: &[f64], corrected: &mut [Option<Corrected>], seen: &SeenOfTrack<'_>) {
    for (number, side) in [skeleton::LEFT, skeleton::RIGHT].iter().enumerate() {
        let mut last: Option<(usize, Change)> = None;
        for frame in 0..times.len() {
            let Some((hand, body)) = seen[frame][number].zip(corrected[frame].as_ref()) else { continue };
            let change = change(side, body, hand);
            if let Some((before, earlier)) = &last
                && times[frame] - times[*before] <= BETWEEN
            {
                for between in before + 1..frame {
                    let share = (times[between] - times[*before]) / (times[frame] - times[*before]).max(1e-9);
                    let mixed = std::array::from_fn(|i| {
                        let ((pixels, world), (later_pixels, later_world)) = (earlier[i], change[i]);
                        (pixels.lerp(later_pixels, share), world.lerp(later_world, share))
                    });
                    put(side, &mut corrected[between], &mixed);
                }
            }
            put(side, &mut corrected[frame], &change);
            last = Some((frame, change));
        }
    }
}

/// What is added to the points that a hand shares with the body: displayed pixels, and metres.
type Change = [(DVec2, DVec3); SHARED];

fn change(side: &SidePoints, body: &Corrected, hand: &Hand) -> Change {
    let wrist = side.arm[2];
    let world = |point: usize| DVec3::from_array(hand.world[point].map(f64::from));
    shared(side).map(|(landmark, point)| {
        let pixels = hand.at(point) - body.pixels[landmark];
        if landmark == wrist {
            // Both see it as well.
            return (pixels / 2.0, DVec3::ZERO);
        }
        (pixels, body.world[wrist] + world(point) - world(0) - body.world[landmark])
    })
}

fn put(side: &SidePoints, body: &mut Option<Corrected>, change: &Change) {
    if let Some(body) = body {
        for ((landmark, _), (pixels, world)) in shared(side).into_iter().zip(change) {
            body.pixels[landmark] += *pixels;
            body.world[landmark] += *world;
        }
    }
}
