//! Pose directions: how the surface of a body changes with the bending of its joints, beyond what skinning does (Loper et al. 2015,
//! *SMPL: A Skinned Multi-Person Linear Model*, equation 9).
//!
//! A vertex at rest is moved by the sum over all joints but the root of their rotation matrix less the identity, entry by entry, times a
//! direction. The directions of a vertex lie together in memory, so that the few vertices of a coarse surface cost little.

use glam::{DMat3, DQuat, Vec3A};

/// Entries of a rotation matrix.
const ENTRIES: usize = 9;
/// Products that are summed side by side, which processors do at once.
const LANES: usize = 8;
/// A joint none of whose entries differs by more than this from being at rest changes nothing: the directions of real bodies are less than
/// a tenth of a metre, so that this is a micrometre.
const AT_REST: f64 = 1e-5;

/// The directions of all vertices of a body.
#[derive(Debug, Clone, PartialEq)]
pub struct PoseDirections {
    /// For each vertex those along x, then y, then z, each filled up with zeros to a whole number of [`LANES`].
    rows: Vec<f32>,
    /// Numbers in each of these.
    stride: usize,
    joints: usize,
}

/// How one pose changes the surface at rest.
#[derive(Debug, Clone)]
pub struct Bend<'a> {
    directions: &'a PoseDirections,
    /// Of the rotation matrices, as far as joints are bent at all; a whole number of [`LANES`].
    entries: Vec<f32>,
}

impl PoseDirections {
    /// Number of directions of a body with so many joints.
    pub fn count(joints: usize) -> usize {
        ENTRIES * joints.saturating_sub(1)
    }

    /// From [`Self::count`] lists of one direction a vertex: for each joint but the root, for each entry of its rotation matrix, row by row.
    pub(super) fn new(lists: &[[f32; 3]], vertices: usize, joints: usize) -> Self {
        let stride = Self::count(joints).next_multiple_of(LANES);
        let mut rows = vec![0.0; vertices * 3 * stride];
        for (entry, list) in lists.chunks_exact(vertices.max(1)).enumerate() {
            for (vertex, direction) in list.iter().enumerate() {
                for (axis, &amount) in direction.iter().enumerate() {
                    rows[(vertex * 3 + axis) * stride + entry] = amount;
                }
            }
        }
        Self { rows, stride, joints }
    }

    /// For joints with these rotations relative to their parents.
    pub(super) fn bend(&self, rotations: &[DQuat]) -> Bend<'_> {
        let mut entries = Vec::with_capacity(self.stride);
        let mut bent = 0;
        for &rotation in rotations.iter().take(self.joints).skip(1) {
            let change = DMat3::from_quat(rotation) - DMat3::IDENTITY;
            let rows = change.transpose().to_cols_array();
            let is_bent = rows.iter().any(|entry| entry.abs() > AT_REST);
            entries.extend(rows.map(|entry| if is_bent { entry as f32 } else { 0.0 }));
            if is_bent {
                bent = entries.len();
            }
        }
        entries.truncate(bent);
        entries.resize(bent.next_multiple_of(LANES), 0.0);
        Bend { directions: self, entries }
    }
}

impl Bend<'_> {
    /// What is added to a vertex at rest, metres.
    pub fn of(&self, vertex: usize) -> Vec3A {
        let stride = self.directions.stride;
        let rows = &self.directions.rows[vertex * 3 * stride..][..3 * stride];
        Vec3A::from_array([0, 1, 2].map(|axis| dot(&rows[axis * stride..], &self.entries)))
    }
}

/// Sum of products as far as the second list goes, which has a whole number of [`LANES`].
fn dot(row: &[f32], entries: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    for (a, b) in row.as_chunks::<LANES>().0.iter().zip(entries.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bend_is_the_sum_of_all_directions() {
        let (vertices, joints) = (5, 4);
        let lists: Vec<[f32; 3]> = (0..PoseDirections::count(joints) * vertices)
            .map(|i| [i as f32 * 1e-3, (i as f32).sin(), 0.5 - i as f32 * 1e-4])
            .collect();
        let directions = PoseDirections::new(&lists, vertices, joints);
        // The last joint is at rest.
        let turned = DQuat::from_rotation_x(0.4) * DQuat::from_rotation_z(-1.1);
        let rotations = [DQuat::from_rotation_y(2.0), turned, DQuat::from_rotation_y(0.3), DQuat::IDENTITY];
        let bend = directions.bend(&rotations);
        assert_eq!(bend.entries.len(), 24, "of two joints, filled up");
        for vertex in 0..vertices {
            let mut sum = [0.0; 3];
            for joint in 1..joints {
                let matrix = DMat3::from_quat(rotations[joint]);
                for entry in 0..ENTRIES {
                    let (row, column) = (entry / 3, entry % 3);
                    let amount = matrix.row(row)[column] - if row == column { 1.0 } else { 0.0 };
                    let direction = lists[((joint - 1) * ENTRIES + entry) * vertices + vertex];
                    (0..3).for_each(|axis| sum[axis] += amount * f64::from(direction[axis]));
                }
            }
            let found = bend.of(vertex).to_array();
            assert!((0..3).all(|axis| (f64::from(found[axis]) - sum[axis]).abs() < 1e-5), "{found:?}, not {sum:?}");
        }
        let at_rest = directions.bend(&[DQuat::IDENTITY; 4]);
        assert!(at_rest.entries.is_empty() && at_rest.of(3) == Vec3A::ZERO);
    }
}
