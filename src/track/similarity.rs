//! How alike two finds are: shared by the scout (from keyframe to keyframe) and by linking (over the whole clip).

use glam::DVec2;

use crate::pose::skeleton::{ANKLES, BONES, HIPS, JOINTS, KNEES, NOSE, SHOULDERS, TORSO, mirrored};
use crate::pose::{Landmarks, RotatedRegion, wrap_angle};

/// Mean distance of the joints over the smaller body's extent, whichever way round left and right are.
/// `shift` (pixels) is added to the first.
pub(super) fn pose_distance(a: &Landmarks, b: &Landmarks, shift: [f32; 2]) -> f64 {
    side_distance(a, b, shift, &|i| i).min(side_distance(a, b, shift, &mirrored))
}

/// The same with left and right as they are named.
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

/// The greatest of the distances of nose, shoulders and ankles over the smaller body's extent, pairs by their middles.
fn ends_distance(a: &Landmarks, b: &Landmarks) -> f64 {
    let middle_off = |pair| a.middle(pair).distance(b.middle(pair));
    let off = [a.at(NOSE).distance(b.at(NOSE)), middle_off(SHOULDERS), middle_off(ANKLES)];
    off.into_iter().fold(0.0, f64::max) / f64::from(a.extent().min(b.extent()))
}

/// [`pose_distance`] of two finds in one picture below which they are of one person for certain.
const ONE_POSE: f64 = 0.1;

/// Whether two finds in one picture are the same person seen twice. Two people side by side differ by more.
pub(super) fn is_duplicate(a: &Landmarks, b: &Landmarks) -> bool {
    let pose = pose_distance(a, b, [0.0; 2]);
    let (ra, rb) = (a.region(), b.region());
    pose < ONE_POSE
        || ends_distance(a, b) < 0.1
        || (pose < 0.22 && ra.center.distance(rb.center) < 0.1 * ra.side.min(rb.side))
}

/// Whether two finds are so much alike that they are of one person even where two are seen.
pub(super) fn is_one_pose(a: &Landmarks, b: &Landmarks) -> bool {
    pose_distance(a, b, [0.0; 2]) < ONE_POSE
}

/// Whether a find is another person's legs taken for a whole body: its shoulders at their hips, its hips at their
/// knees and its feet at their feet.
pub(super) fn is_legs_of(found: &Landmarks, person: &Landmarks) -> bool {
    let [shoulders, hips, feet] = [SHOULDERS, HIPS, ANKLES].map(|pair| found.middle(pair));
    let [theirs, their_hips, their_knees, their_feet] =
        [SHOULDERS, HIPS, KNEES, ANKLES].map(|pair| person.middle(pair));
    let near = 0.45 * theirs.distance(their_hips).max(their_hips.distance(their_knees));
    shoulders.distance(their_hips) < near && hips.distance(their_knees) < near && feet.distance(their_feet) < 1.5 * near
}

/// Whether a find lies on another person: upside down on them, or with nearly every joint on one of their bones.
fn is_drawn_on(found: &Landmarks, person: &Landmarks) -> bool {
    let extent = f64::from(person.extent());
    let off_bone = |p: DVec2| {
        let to_bone = |[a, b]: [usize; 2]| {
            let (a, b) = (person.at(a), person.at(b));
            let along = ((p - a).dot(b - a) / (b - a).length_squared().max(1e-6)).clamp(0.0, 1.0);
            p.distance(a.lerp(b, along))
        };
        BONES.iter().map(|&bone| to_bone(bone)).fold(f64::INFINITY, f64::min)
    };
    let on = |joints: &[usize], reach: f64| {
        joints.iter().filter(|&&i| off_bone(found.at(i)) < reach * extent).count() as f64 / joints.len() as f64
    };
    let turned = wrap_angle(found.region().rotation - person.region().rotation).abs() > 1.6;
    on(&JOINTS, 0.05) >= 0.8 || (turned && on(&TORSO, 0.1) >= 0.5)
}

/// Of two finds in one picture: whether `found` is no person of its own beside the better `person`.
pub(super) fn is_shadow_of(found: &Landmarks, person: &Landmarks) -> bool {
    is_duplicate(found, person) || is_legs_of(found, person) || is_drawn_on(found, person)
}

/// Mean [`visibility`] below which there is nobody, but a texture that is taken for a person now and then.
pub(super) const MIN_VISIBILITY: f32 = 0.7;

/// Probability of a person times the mean visibility of those joints that lie in the picture.
pub(super) fn visibility(landmarks: &Landmarks, display: [u32; 2]) -> f32 {
    let [w, h] = display.map(|v| v as f32);
    let joints = JOINTS.map(|i| landmarks.points[i]);
    let inside = joints.iter().filter(|p| (0.0..w).contains(&p.x) && (0.0..h).contains(&p.y));
    let (count, sum) = inside.fold((0.0, 0.0), |(count, sum), p| (count + 1.0, sum + p.visibility));
    landmarks.score * sum / f32::max(count, 1.0)
}

/// Least side of a person's region over the shorter side of the picture: those further away are a crowd's texture.
const SMALLEST: f64 = 0.11;

/// Least probability of somebody where the finder sees a figure.
const MIN_SCORE_OF_FIGURE: f32 = 0.15;
/// Least probability of somebody where it does not.
const MIN_SCORE: f32 = 0.5;

/// Side of a person's region over the shorter side of the picture below which they are in the background: fewer frames
/// are looked at and fewer questions asked.
const SMALL: f64 = 0.3;

/// Whether a person is so small in the picture that a rough look does.
pub(super) fn is_small(region: &RotatedRegion, display: [u32; 2]) -> bool {
    region.side < SMALL * f64::from(display[0].min(display[1]))
}

/// Whether the numbers can be a person at all (statues, trees and clothes on the grass often cannot); `is_figure`: where the finder sees one.
pub(super) fn is_plausible(landmarks: &Landmarks, display: [u32; 2], was_detected: bool) -> bool {
    let region = landmarks.region();
    let (shoulders, hips) = (landmarks.middle(SHOULDERS), landmarks.middle(HIPS));
    let torso = shoulders.distance(hips) / region.side.max(1.0);
    let [w, h] = display.map(f64::from);
    let inside = |c: DVec2| (-0.1 * w..1.1 * w).contains(&c.x) && (-0.1 * h..1.25 * h).contains(&c.y);
    landmarks.score >= if was_detected { MIN_SCORE_OF_FIGURE } else { MIN_SCORE }
        && landmarks.torso_visibility() >= 0.5
        && region.is_usable()
        && region.side >= (SMALLEST * w.min(h)).max(24.0)
        && region.side <= 4.0 * w.max(h)
        && (0.04..0.6).contains(&torso)
        && inside(hips)
        && inside(shoulders)
}

/// |ln| of the ratio of the sides.
pub(super) fn size_difference(a: &RotatedRegion, b: &RotatedRegion) -> f64 {
    (a.side.max(1.0) / b.side.max(1.0)).ln().abs()
}
