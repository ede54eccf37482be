//! What tells the parts of a body apart in a picture: seams at the joints, limbs in two tones, a dark back, left and right.
//!
//! A seam is a plane cut where the skin goes over from one joint to the next. Each vertex holds how far it is from the nearest, with
//! a sign that changes at every seam. Between vertices that is interpolated and only then made a tone (by the fragment shader),
//! so that a seam is as straight, sharp and wide on a coarse surface as on a fine one.

use glam::Vec3A;

use super::mesh::MeshData;
use crate::body::{Role, Side};

/// Of a vertex; each from -127 to 127:
/// - millimetres to the nearest seam, negative on every second part of the body: upper arm, hand, thigh, foot, head,
/// - millimetres to where arms and legs begin, negative on them,
/// - how much it faces back at rest,
/// - whether it is on the left (127) or the right (-127) arm or leg.
pub(super) type Tone = [i8; 4];

/// Of a body whose joints are not known.
pub(super) const PLAIN: Tone = [127, 127, -127, 0];
/// Largest distance that is told, metres.
const REACH: f32 = 0.127;
/// Nearer than the first to where the skin goes over, the cut alone counts; further than the second, only where the skin goes over.
const CUT: [f32; 2] = [0.03, 0.06];
/// How often each vertex is averaged with its neighbours, so that the place where the skin goes over is not ragged.
const SEAM_ROUNDS: usize = 16;
/// The same for the line between front and back.
const BACK_ROUNDS: usize = 12;

/// Where one part of the body begins.
struct Seam {
    /// The seam nearer to the trunk, if there is one.
    inner: Option<usize>,
    role: Role,
    /// How much of each vertex's weight is on this side of the seam's joint.
    beyond: Vec<f32>,
    /// Where that is a half: a line on the surface.
    line: Vec<[Vec3A; 2]>,
    /// A point of the plane nearest to the line, and its normal.
    cut: [Vec3A; 2],
}

/// The tones of all vertices. Those of a mesh without roles are plain.
pub(super) fn tones(data: &MeshData) -> Vec<Tone> {
    let count = data.vertices.len();
    let vertices: Vec<Vec3A> = data.vertices.iter().map(|&v| Vec3A::from(v)).collect();
    if !vertices.iter().all(|v| v.is_finite()) {
        return vec![PLAIN; count];
    }
    let seams = seams(data, &vertices);
    if seams.is_empty() {
        return vec![PLAIN; count];
    }
    let mut back: Vec<f32> = normals(data, &vertices).iter().map(|normal| normal.z).collect();
    smooth(&data.faces, &mut back, BACK_ROUNDS);
    (0..count)
        .map(|v| {
            let part = part(&seams, v);
            let bounds = (0..seams.len()).filter(|&s| Some(s) == part || seams[s].inner == part);
            let mut distances = [REACH; 2];
            for seam in bounds.map(|s| &seams[s]) {
                let distance = seam.distance(vertices[v], seam.beyond[v] > 0.5);
                distances[0] = distances[0].min(distance);
                if seam.begins_limb() {
                    distances[1] = distances[1].min(distance);
                }
            }
            let around = std::iter::successors(part, |&s| seams[s].inner);
            let (depth, side) =
                around.fold((0, None), |(depth, side), s| (depth + 1, side.or_else(|| side_of(seams[s].role))));
            let seam = if depth % 2 == 1 { -distances[0] } else { distances[0] };
            let limb = if side.is_some() { -distances[1] } else { distances[1] };
            let side = side.map_or(0.0, |side| side.sign() as f32);
            [seam / REACH, limb / REACH, back[v], side].map(|value| (value.clamp(-1.0, 1.0) * 127.0).round() as i8)
        })
        .collect()
}

fn side_of(role: Role) -> Option<Side> {
    match role {
        Role::UpperArm(side)
        | Role::LowerArm(side)
        | Role::Hand(side)
        | Role::UpperLeg(side)
        | Role::LowerLeg(side)
        | Role::Foot(side) => Some(side),
        _ => None,
    }
}

/// The seam behind which a vertex is; none on the trunk.
fn part(seams: &[Seam], v: usize) -> Option<usize> {
    // An outer seam comes after its inner one.
    seams.iter().rposition(|seam| seam.beyond[v] > 0.5)
}

/// The seams of a body, each after its inner one.
fn seams(data: &MeshData, vertices: &[Vec3A]) -> Vec<Seam> {
    let mut seams: Vec<Seam> = Vec::new();
    let mut joints: Vec<usize> = Vec::new();
    let parent = |joint: usize| data.parents.get(joint).copied().flatten().filter(|&parent| parent < joint);
    for (joint, &role) in data.roles.iter().enumerate() {
        if role != Role::Neck && side_of(role).is_none() {
            continue;
        }
        let ancestors = |joint: usize| std::iter::successors(Some(joint), |&joint| parent(joint));
        let inner = ancestors(joint).skip(1).find_map(|a| joints.iter().position(|&j| j == a));
        let is_beyond: Vec<bool> = (0..data.roles.len()).map(|other| ancestors(other).any(|a| a == joint)).collect();
        let skin = data.skin_indices.iter().zip(&data.skin_weights);
        let mut beyond: Vec<f32> = skin
            .map(|(indices, weights)| {
                let is_beyond = |index: u32| is_beyond.get(index as usize).is_some_and(|&b| b);
                indices.iter().zip(weights).filter(|(index, _)| is_beyond(**index)).map(|(_, weight)| weight).sum()
            })
            .collect();
        smooth(&data.faces, &mut beyond, SEAM_ROUNDS);
        let line: Vec<_> = data.faces.iter().filter_map(|&face| crossing(face, &beyond, vertices)).collect();
        let cut = plane(&line);
        seams.push(Seam { inner, role, beyond, line, cut });
        joints.push(joint);
    }
    seams
}

/// The line across a triangle where a quantity of its corners is a half, with more of it on the left.
fn crossing(face: [u32; 3], quantity: &[f32], vertices: &[Vec3A]) -> Option<[Vec3A; 2]> {
    let [a, b, c] = face.map(|v| v as usize);
    let mut points = [(a, b), (b, c), (c, a)].into_iter().filter_map(|(from, to)| {
        let (low, high) = (quantity[from] - 0.5, quantity[to] - 0.5);
        ((low > 0.0) != (high > 0.0)).then(|| vertices[from].lerp(vertices[to], low / (low - high)))
    });
    let ends = [points.next()?, points.next()?];
    // The corners come counter-clockwise: the line goes out through the edge along which the quantity rises.
    let rises = if (quantity[a] > 0.5) == (quantity[b] > 0.5) { quantity[b] <= 0.5 } else { quantity[a] <= 0.5 };
    Some(if rises { [ends[1], ends[0]] } else { ends })
}

/// The middle of a closed line and the normal of the area in it, to the side where there is more of the quantity it was made from.
fn plane(line: &[[Vec3A; 2]]) -> [Vec3A; 2] {
    let length = |&[from, to]: &[Vec3A; 2]| from.distance(to);
    let total: f32 = line.iter().map(length).sum();
    let middle: Vec3A = line.iter().map(|ends| (ends[0] + ends[1]) * (0.5 * length(ends))).sum();
    let middle = middle / total.max(f32::MIN_POSITIVE);
    let area: Vec3A = line.iter().map(|&[from, to]| (from - middle).cross(to - middle)).sum();
    [middle, area.normalize_or_zero()]
}

impl Seam {
    fn begins_limb(&self) -> bool {
        matches!(self.role, Role::UpperArm(_) | Role::UpperLeg(_))
    }

    /// From a point to the seam, metres; negative for points near it that are not on the side of the cut where their skin is; infinite
    /// where there is no seam.
    fn distance(&self, point: Vec3A, is_beyond: bool) -> f32 {
        let [middle, normal] = self.cut;
        let beyond = (point - middle).dot(normal);
        let to_cut = if is_beyond { beyond } else { -beyond };
        let to_line = self.distance_to_line(point);
        let share = ((to_line - CUT[0]) / (CUT[1] - CUT[0])).clamp(0.0, 1.0);
        if share == 1.0 { to_line } else { to_cut + (to_line - to_cut) * share }
    }

    /// Straight from a point to the line, metres; infinite where the line is empty.
    fn distance_to_line(&self, point: Vec3A) -> f32 {
        let squares = self.line.iter().map(|&[from, to]| {
            let along = to - from;
            let share = (point - from).dot(along) / along.length_squared().max(f32::MIN_POSITIVE);
            (from + along * share.clamp(0.0, 1.0)).distance_squared(point)
        });
        squares.fold(f32::INFINITY, f32::min).sqrt()
    }
}

/// Unit normals of the vertices.
fn normals(data: &MeshData, vertices: &[Vec3A]) -> Vec<Vec3A> {
    let mut normals = vec![Vec3A::ZERO; vertices.len()];
    for face in &data.faces {
        let [a, b, c] = face.map(|v| vertices[v as usize]);
        let normal = (b - a).cross(c - a);
        face.iter().for_each(|&v| normals[v as usize] += normal);
    }
    normals.iter_mut().for_each(|normal| *normal = normal.normalize_or_zero());
    normals
}

/// Averages a quantity of the vertices with that of their neighbours, `rounds` times.
fn smooth(faces: &[[u32; 3]], quantity: &mut [f32], rounds: usize) {
    for _ in 0..rounds {
        // Each neighbour is seen from the two faces at their edge.
        let mut sums: Vec<(f32, f32)> = quantity.iter().map(|&value| (2.0 * value, 2.0)).collect();
        for face in faces {
            let total: f32 = face.iter().map(|&v| quantity[v as usize]).sum();
            for &v in face {
                let sum = &mut sums[v as usize];
                *sum = (sum.0 + total - quantity[v as usize], sum.1 + 2.0);
            }
        }
        quantity.iter_mut().zip(sums).for_each(|(value, (sum, weight))| *value = sum / weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe down the y axis from -0.6 to 0.6 m: trunk, from -0.3 m on upper arm, from 0.3 m on lower arm. Its skin goes over from
    /// one to the next within 8 cm, and not all round at the same height.
    fn pipe(rows: u32) -> MeshData {
        const AROUND: u32 = 24;
        let mut data = MeshData {
            roles: vec![Role::Root, Role::UpperArm(Side::Left), Role::LowerArm(Side::Left)],
            parents: vec![None, Some(0), Some(1)],
            ..MeshData::default()
        };
        for row in 0..=rows {
            let y = -0.6 + 1.2 * row as f32 / rows as f32;
            for i in 0..AROUND {
                let turn = std::f32::consts::TAU * i as f32 / AROUND as f32;
                data.vertices.push([0.05 * turn.cos(), y, 0.05 * turn.sin()]);
                let ragged = if i % 2 == 0 { 0.01 } else { -0.01 };
                let share = |joint: f32| ((y + ragged - joint) / 0.08 + 0.5).clamp(0.0, 1.0);
                let (upper, lower) = (share(-0.3), share(0.3));
                data.skin_indices.push([0, 1, 2, 0]);
                data.skin_weights.push([1.0 - upper, upper - lower, lower, 0.0]);
            }
        }
        for row in 0..rows {
            for i in 0..AROUND {
                let [a, b] = [i, (i + 1) % AROUND].map(|i| row * AROUND + i);
                data.faces.extend([[a, a + AROUND, b], [b, a + AROUND, b + AROUND]]);
            }
        }
        data
    }

    #[test]
    fn a_seam_is_a_straight_cut_where_the_skin_goes_over() {
        for rows in [40, 80] {
            let data = pipe(rows);
            for (vertex, tone) in data.vertices.iter().zip(tones(&data)) {
                let y = vertex[1];
                // Positive on the trunk, negative on the upper arm, positive on the lower arm.
                let seam = (0.3 - y.abs()) * -1000.0;
                let expected = seam.clamp(-127.0, 127.0);
                assert!((f32::from(tone[0]) - expected).abs() < 4.0, "{rows} rows, at {y}: {tone:?}, not {expected}");
                let limb = (-(y + 0.3) * 1000.0).clamp(-127.0, 127.0);
                assert!((f32::from(tone[1]) - limb).abs() < 4.0, "{rows} rows, at {y}: {tone:?}, not {limb}");
                assert_eq!(tone[3], if y.abs() < 0.2 || y > 0.4 { 127 } else { tone[3] }, "a left arm");
                let is_between = vertex[2].abs() < 0.02 || y.abs() > 0.55;
                assert!(is_between || f32::from(tone[2]) * vertex[2] > 0.0, "at {vertex:?}: {tone:?}");
            }
        }
    }

    #[test]
    fn a_body_without_roles_has_one_tone() {
        let data = MeshData { roles: Vec::new(), parents: Vec::new(), ..pipe(8) };
        assert!(tones(&data).into_iter().all(|tone| tone == PLAIN));
    }
}
