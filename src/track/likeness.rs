//! How alike two finds are: shared by the scout (from keyframe to keyframe) and by identity (over the whole clip).

use glam::DVec2;
use pathfinding::{kuhn_munkres::kuhn_munkres_min, matrix::Matrix};

use crate::pose::{JOINTS, LANDMARKS, Landmarks, Region, wrap_angle};

/// Hips and what hangs from them come after everything else.
const FIRST_OF_LEGS: usize = 23;

/// BlazePose index of the same point on the other side of the body.
pub(super) fn mirrored(index: usize) -> usize {
    match index {
        0 => 0,
        1..=3 => index + 3,
        4..=6 => index - 3,
        _ if index % 2 == 1 => index + 1,
        _ => index - 1,
    }
}

/// The same body with left and right exchanged, in the picture and in the world.
pub(super) fn mirror(landmarks: &mut Landmarks) {
    let (points, world) = (landmarks.points, landmarks.world);
    for i in 0..LANDMARKS {
        landmarks.points[i] = points[mirrored(i)];
        landmarks.world[i] = world[mirrored(i)];
    }
}

/// The same body with left and right arm exchanged, or else the legs; the face goes with the arms.
pub(super) fn mirror_half(landmarks: &mut Landmarks, arms: bool) {
    let whole = landmarks.clone();
    mirror(landmarks);
    let kept = if arms { FIRST_OF_LEGS..LANDMARKS } else { 0..FIRST_OF_LEGS };
    landmarks.points[kept.clone()].copy_from_slice(&whole.points[kept.clone()]);
    landmarks.world[kept.clone()].copy_from_slice(&whole.world[kept]);
}

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
    let nose = |l: &Landmarks| DVec2::new(f64::from(l.points[0].x), f64::from(l.points[0].y));
    let off = [nose(a).distance(nose(b)), middle(a, 11).distance(middle(b, 11)), middle(a, 27).distance(middle(b, 27))];
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
    let [shoulders, hips, feet] = [middle(found, 11), middle(found, 23), middle(found, 27)];
    let [theirs, their_hips, their_knees, their_feet] = [11, 23, 25, 27].map(|i| middle(person, i));
    let near = 0.45 * theirs.distance(their_hips).max(their_hips.distance(their_knees));
    shoulders.distance(their_hips) < near && hips.distance(their_knees) < near && feet.distance(their_feet) < 1.5 * near
}

/// The lines of the body, as pairs of points.
const BONES: [[usize; 2]; 14] = [
    [11, 12],
    [23, 24],
    [11, 23],
    [12, 24],
    [11, 24],
    [12, 23],
    [11, 13],
    [13, 15],
    [12, 14],
    [14, 16],
    [23, 25],
    [25, 27],
    [24, 26],
    [26, 28],
];

/// Whether a find lies on another person: upside down on them, or with nearly every joint on one of their bones.
fn is_drawn_on(found: &Landmarks, person: &Landmarks) -> bool {
    let at = |l: &Landmarks, i: usize| DVec2::new(f64::from(l.points[i].x), f64::from(l.points[i].y));
    let extent = f64::from(person.extent());
    let off_bone = |p: DVec2| {
        let to_bone = |[a, b]: [usize; 2]| {
            let (a, b) = (at(person, a), at(person, b));
            let along = ((p - a).dot(b - a) / (b - a).length_squared().max(1e-6)).clamp(0.0, 1.0);
            p.distance(a.lerp(b, along))
        };
        BONES.iter().map(|&bone| to_bone(bone)).fold(f64::INFINITY, f64::min)
    };
    let on = |joints: &[usize], reach: f64| {
        joints.iter().filter(|&&i| off_bone(at(found, i)) < reach * extent).count() as f64 / joints.len() as f64
    };
    let turned = wrap_angle(found.region().rotation - person.region().rotation).abs() > 1.6;
    on(&JOINTS, 0.05) >= 0.8 || (turned && on(&[11, 12, 23, 24], 0.1) >= 0.5)
}

/// Of two finds in one picture: whether `found` is no person of its own beside the better `person`.
pub(super) fn is_shadow_of(found: &Landmarks, person: &Landmarks) -> bool {
    is_duplicate(found, person) || is_legs_of(found, person) || is_drawn_on(found, person)
}

/// Halfway between a left point and its right counterpart, displayed pixels.
fn middle(landmarks: &Landmarks, left: usize) -> DVec2 {
    let p = |i: usize| DVec2::new(f64::from(landmarks.points[i].x), f64::from(landmarks.points[i].y));
    (p(left) + p(left + 1)) / 2.0
}

/// Mean [`clarity`] below which there is nobody, but a texture that is taken for a person now and then.
pub(super) const MIN_CLARITY: f32 = 0.7;

/// Probability of a person times the mean visibility of those joints that lie in the picture.
pub(super) fn clarity(landmarks: &Landmarks, display: [u32; 2]) -> f32 {
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
pub(super) fn is_small(region: &Region, display: [u32; 2]) -> bool {
    region.side < SMALL * f64::from(display[0].min(display[1]))
}

/// Whether the numbers can be a person at all (statues, trees and clothes on the grass often cannot); `is_figure`: where the finder sees one.
pub(super) fn is_plausible(landmarks: &Landmarks, display: [u32; 2], is_figure: bool) -> bool {
    let region = landmarks.region();
    let (shoulders, hips) = (middle(landmarks, 11), middle(landmarks, 23));
    let torso = shoulders.distance(hips) / region.side.max(1.0);
    let [w, h] = display.map(f64::from);
    let inside = |c: DVec2| (-0.1 * w..1.1 * w).contains(&c.x) && (-0.1 * h..1.25 * h).contains(&c.y);
    landmarks.score >= if is_figure { MIN_SCORE_OF_FIGURE } else { MIN_SCORE }
        && landmarks.torso_visibility() >= 0.5
        && region.is_usable()
        && region.side >= (SMALLEST * w.min(h)).max(24.0)
        && region.side <= 4.0 * w.max(h)
        && (0.04..0.6).contains(&torso)
        && inside(hips)
        && inside(shoulders)
}

/// |ln| of the ratio of the sides.
pub(super) fn size_difference(a: &Region, b: &Region) -> f64 {
    (a.side.max(1.0) / b.side.max(1.0)).ln().abs()
}

/// Pairs rows with columns at the least total cost; a row or column stays alone rather than pay more than `limit`.
/// `None` costs are forbidden. Returns the column of each row.
pub(super) fn assign(costs: &[Vec<Option<f64>>], columns: usize, limit: f64) -> Vec<Option<usize>> {
    let rows = costs.len();
    if rows == 0 || columns == 0 {
        return vec![None; rows];
    }
    let units = |cost: f64| (cost * 1e4).round() as i64;
    let weights = Matrix::from_fn(rows, columns + rows, |(row, column)| {
        let cost = if column < columns { costs[row][column] } else { Some(limit) };
        cost.filter(|c| c.is_finite() && *c <= limit).map_or(units(limit) * 1000 + 1, units)
    });
    let (_, chosen) = kuhn_munkres_min(&weights);
    chosen.into_iter().map(|c| (c < columns).then_some(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirroring_twice_is_nothing() {
        assert!((0..LANDMARKS).all(|i| mirrored(mirrored(i)) == i));
        assert_eq!((mirrored(2), mirrored(7), mirrored(11), mirrored(32)), (5, 8, 12, 31));
    }

    #[test]
    fn assignment_is_global_and_leaves_bad_pairs_alone() {
        // Greedy would take (0, 0) first and leave row 1 with nothing.
        let costs = vec![vec![Some(0.1), Some(0.2)], vec![Some(0.15), None]];
        assert_eq!(assign(&costs, 2, 1.0), [Some(1), Some(0)]);
        assert_eq!(assign(&[vec![Some(2.0)]], 1, 1.0), [None]);
        assert_eq!(assign(&[vec![], vec![]], 0, 1.0), [None, None]);
    }
}
