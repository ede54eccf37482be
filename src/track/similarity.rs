//! How similar two observations are, and whether an observation can be a person at all. Both tracking (from keyframe to keyframe) and
//! linking (over the whole clip) use it.
//!
//! Distances in the picture are divided by the body's extent, the diagonal of the box around its points, or by the side of its region.

use std::ops::Range;

use glam::DVec2;

use crate::geometry::distance_from_segment;
use crate::pose::skeleton::{ANKLES, ARMS, BONES, HIPS, JOINTS, KNEES, LOWER_BODY, NOSE, SHOULDERS, TORSO, mirrored};
use crate::pose::{Landmarks, RotatedRegion, wrap_angle};

/// [`pose_distance`] of two observations in one picture below which they are certainly of one person.
const ONE_POSE: f64 = 0.1;
/// The same below which they are of one person if their regions lie on each other: their centres within [`ONE_CENTER`] of the smaller side.
const SIMILAR_POSE: f64 = 0.22;
const ONE_CENTER: f64 = 0.1;
/// [`ends_distance`] of two observations below which they are of one person.
const SAME_ENDS: f64 = 0.1;
/// Visibility from which on a joint can be seen.
const SEEN: f32 = 0.5;
/// How near the pairs of points must be for legs that were taken for a whole body, over the longer of torso and thighs; feet may be further
/// apart by a factor.
const LEGS_NEAR: f64 = 0.45;
const FEET_FACTOR: f64 = 1.5;
/// Distance of a joint from another person's bone, over their extent, within which it lies on it; and the share of joints that do on
/// somebody who is drawn on another person.
const ON_BONE: f64 = 0.05;
const ON_BONES: f64 = 0.8;
/// The same for shoulders and hips of somebody who is drawn upside down on another person.
const ON_BONE_UPSIDE_DOWN: f64 = 0.1;
const ON_BONES_UPSIDE_DOWN: f64 = 0.5;
/// Radians (92 degrees) beyond which one person is upside down against another.
const UPSIDE_DOWN: f64 = 1.6;

/// Mean [`visibility`] below which there is nobody, but a texture that is taken for a person now and then. On three clips real people had
/// 0.76 and more, textures 0.66 and less (docs/accuracy.md).
pub(super) const MIN_VISIBILITY: f32 = 0.7;
/// Side of a person's region over the shorter side of the picture below which they are small, and in the background: between
/// keyframes they are looked at once at most, and the heavy network is not asked.
const SMALL: f64 = 0.3;

/// The same from which on they are large.
pub(super) const LARGE: f64 = 0.5;

/// Least side of a person's region over the shorter side of the picture: whoever is further away is a crowd's texture.
const SMALLEST: f64 = 0.11;
/// Least side of a person's region in displayed pixels.
const FEWEST_PIXELS: f64 = 24.0;
/// Greatest side of a person's region over the longer side of the picture.
const LARGEST: f64 = 4.0;
/// Least probability of somebody whom the person detector sees.
const MIN_SCORE_DETECTED: f32 = 0.15;
/// Least probability of somebody whom it does not see.
const MIN_SCORE: f32 = 0.5;
/// Least mean visibility of shoulders and hips.
const MIN_TORSO_VISIBILITY: f32 = 0.5;
/// Length of the torso in the picture over the region's side, less for somebody who bends towards the camera.
const TORSO_LENGTH: std::ops::Range<f64> = 0.04..0.6;
/// Where shoulders and hips may lie, over the picture's width and height: somebody who comes close is cut off below.
const INSIDE: [std::ops::Range<f64>; 2] = [-0.1..1.1, -0.1..1.25];
/// How far down the hips of somebody whom the person detector sees may lie, over the picture's height: of head and shoulders alone, far below it.
const LOWEST_HIPS: f64 = 2.2;

/// Mean distance of the joints over the smaller body's extent, with left and right as they are named or exchanged, whichever is less. The
/// first body is shifted by `shift` pixels.
pub(super) fn pose_distance(a: &Landmarks, b: &Landmarks, shift: [f32; 2]) -> f64 {
    side_distance(a, b, shift, &|i| i).min(side_distance(a, b, shift, &mirrored))
}

/// [`pose_distance`] with left and right as they are named.
pub(super) fn same_side_distance(a: &Landmarks, b: &Landmarks) -> f64 {
    side_distance(a, b, [0.0; 2], &|i| i)
}

fn side_distance(a: &Landmarks, b: &Landmarks, shift: [f32; 2], other: &dyn Fn(usize) -> usize) -> f64 {
    let off = |&i: &usize| {
        let (p, q) = (a.points[i], b.points[other(i)]);
        (p.x + shift[0] - q.x).hypot(p.y + shift[1] - q.y)
    };
    f64::from(JOINTS.iter().map(off).sum::<f32>() / JOINTS.len() as f32 / a.extent().min(b.extent()))
}

/// A body with left and right as in another of the same person. The network exchanges arms and legs together, or one of them alone.
pub(super) fn sided(landmarks: &Landmarks, as_in: &Landmarks) -> Landmarks {
    let is_exchanged = |half: Range<usize>| {
        let off = |named: &dyn Fn(usize) -> usize| -> f64 {
            half.clone().map(|i| as_in.at(i).distance(landmarks.at(named(i)))).sum()
        };
        off(&mirrored) < off(&|i| i)
    };
    let mut sided = landmarks.clone();
    match [is_exchanged(ARMS), is_exchanged(LOWER_BODY)] {
        [true, true] => sided.mirror(),
        [arms, legs] if arms || legs => sided.mirror_half(arms),
        _ => {}
    }
    sided
}

/// The greatest distance of a joint that can be seen, over the smaller body's extent, with left and right of arms and of legs as they are named or
/// exchanged, whichever is less.
pub(super) fn joints_off(found: &Landmarks, other: &Landmarks) -> f64 {
    let other = sided(other, found);
    let seen = JOINTS.iter().filter(|&&i| found.points[i].visibility > SEEN);
    let distances = seen.map(|&i| found.at(i).distance(other.at(i)));
    distances.fold(0.0, f64::max) / f64::from(found.extent().min(other.extent()))
}

/// The greatest of the distances of the noses, the middles of the shoulders and the middles of the ankles, over the smaller body's extent.
fn ends_distance(a: &Landmarks, b: &Landmarks) -> f64 {
    let middle_off = |pair| a.middle(pair).distance(b.middle(pair));
    let off = [a.at(NOSE).distance(b.at(NOSE)), middle_off(SHOULDERS), middle_off(ANKLES)];
    off.into_iter().fold(0.0, f64::max) / f64::from(a.extent().min(b.extent()))
}

/// Whether two observations in one picture are the same person seen twice. Two people side by side differ by more.
pub(super) fn is_duplicate(a: &Landmarks, b: &Landmarks) -> bool {
    let pose = pose_distance(a, b, [0.0; 2]);
    let (ra, rb) = (a.region(), b.region());
    pose < ONE_POSE
        || ends_distance(a, b) < SAME_ENDS
        || (pose < SIMILAR_POSE && ra.center.distance(rb.center) < ONE_CENTER * ra.side.min(rb.side))
}

/// Whether two observations are so similar that they are of one person even where two are detected.
pub(super) fn is_one_pose(a: &Landmarks, b: &Landmarks) -> bool {
    pose_distance(a, b, [0.0; 2]) < ONE_POSE
}

/// Whether an observation is another person's legs taken for a whole body: its shoulders are at their hips, its hips at their knees and
/// its feet at their feet.
pub(super) fn is_legs_of(found: &Landmarks, person: &Landmarks) -> bool {
    let [shoulders, hips, feet] = [SHOULDERS, HIPS, ANKLES].map(|pair| found.middle(pair));
    let [theirs, their_hips, their_knees, their_feet] =
        [SHOULDERS, HIPS, KNEES, ANKLES].map(|pair| person.middle(pair));
    let near = LEGS_NEAR * theirs.distance(their_hips).max(their_hips.distance(their_knees));
    shoulders.distance(their_hips) < near
        && hips.distance(their_knees) < near
        && feet.distance(their_feet) < FEET_FACTOR * near
}

/// Whether an observation lies on another person: nearly every joint is on one of their bones, or it is upside down on their torso.
fn is_drawn_on(found: &Landmarks, person: &Landmarks) -> bool {
    let extent = f64::from(person.extent());
    let off_bone = |p: DVec2| {
        BONES.iter().map(|&bone| distance_from_segment(p, bone.map(|i| person.at(i)))).fold(f64::INFINITY, f64::min)
    };
    let on = |joints: &[usize], reach: f64| {
        joints.iter().filter(|&&i| off_bone(found.at(i)) < reach * extent).count() as f64 / joints.len() as f64
    };
    let turned = wrap_angle(found.region().rotation - person.region().rotation).abs() > UPSIDE_DOWN;
    on(&JOINTS, ON_BONE) >= ON_BONES || (turned && on(&TORSO, ON_BONE_UPSIDE_DOWN) >= ON_BONES_UPSIDE_DOWN)
}

/// Of two observations in one picture: whether `found` is no person of its own beside the better `person`.
pub(super) fn is_shadow_of(found: &Landmarks, person: &Landmarks) -> bool {
    is_duplicate(found, person) || is_legs_of(found, person) || is_drawn_on(found, person)
}

/// How visible a person is, 0..=1: the probability of a person times the mean visibility of those joints that lie in the picture.
pub(super) fn visibility(landmarks: &Landmarks, display: [u32; 2]) -> f32 {
    let [w, h] = display.map(|v| v as f32);
    let joints = JOINTS.map(|i| landmarks.points[i]);
    let inside = joints.iter().filter(|p| (0.0..w).contains(&p.x) && (0.0..h).contains(&p.y));
    let (count, sum) = inside.fold((0.0, 0.0), |(count, sum), p| (count + 1.0, sum + p.visibility));
    landmarks.score * sum / f32::max(count, 1.0)
}

/// Whether a person is so small in the picture that they are observed in some frames only.
pub(super) fn is_small(region: &RotatedRegion, display: [u32; 2]) -> bool {
    region.side < SMALL * f64::from(display[0].min(display[1]))
}

/// Whether a person fills a good part of the picture.
pub(super) fn is_large(region: &RotatedRegion, display: [u32; 2]) -> bool {
    region.side >= LARGE * f64::from(display[0].min(display[1]))
}

/// Whether what the landmark network found can be a person at all: what it finds on statues, trees and clothes on the grass often cannot.
/// `is_detected`: the person detector sees them.
pub(super) fn is_plausible(landmarks: &Landmarks, display: [u32; 2], is_detected: bool) -> bool {
    let region = landmarks.region();
    let (shoulders, hips) = (landmarks.middle(SHOULDERS), landmarks.middle(HIPS));
    let torso = shoulders.distance(hips) / region.side.max(1.0);
    let [w, h] = display.map(f64::from);
    let [across, down] = INSIDE;
    let lowest_hips = if is_detected { LOWEST_HIPS } else { down.end };
    let inside = |c: DVec2, lowest: f64| {
        (across.start * w..across.end * w).contains(&c.x) && (down.start * h..lowest * h).contains(&c.y)
    };
    landmarks.score >= if is_detected { MIN_SCORE_DETECTED } else { MIN_SCORE }
        && landmarks.torso_visibility() >= MIN_TORSO_VISIBILITY
        && region.is_usable()
        && region.side >= (SMALLEST * w.min(h)).max(FEWEST_PIXELS)
        && region.side <= LARGEST * w.max(h)
        && TORSO_LENGTH.contains(&torso)
        && inside(hips, lowest_hips)
        && inside(shoulders, down.end)
}

/// Difference in size: |ln| of the ratio of the regions' sides.
pub(super) fn size_difference(a: &RotatedRegion, b: &RotatedRegion) -> f64 {
    (a.side.max(1.0) / b.side.max(1.0)).ln().abs()
}
