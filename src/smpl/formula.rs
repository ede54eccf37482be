//! SMPL's surface by its published formula, number by number (Loper et al. 2015, *SMPL: A Skinned Multi-Person Linear Model*, equations
//! 2 to 10). It is what imported bodies are measured against.

use glam::{DMat3, DQuat, DVec3};

use super::source::Source;

/// All vertices of a body in the file's own axes, metres, for rotations of joints relative to their parents, a shape, and skin weights
/// ([V, J]).
pub fn posed(source: &Source, rotations: &[DQuat], shape: &[f64], weights: &[f64]) -> Vec<DVec3> {
    let joints = source.joint_count();
    let mut rest = source.vertices.clone();
    let mut add = |direction: &[f64], amount: f64| rest.iter_mut().zip(direction).for_each(|(at, d)| *at += amount * d);
    source.shape_dirs.iter().zip(shape).for_each(|(direction, &amount)| add(direction, amount));
    let shaped = rest.clone();
    let mut add = |direction: &[f64], amount: f64| rest.iter_mut().zip(direction).for_each(|(at, d)| *at += amount * d);
    for (i, direction) in source.pose_dirs.iter().enumerate() {
        let (joint, row, column) = (i / 9 + 1, i % 9 / 3, i % 3);
        let change = DMat3::from_quat(rotations[joint]).row(row)[column] - if row == column { 1.0 } else { 0.0 };
        add(direction, change);
    }
    let at_rest: Vec<DVec3> = source.regressed(&shaped).as_chunks::<3>().0.iter().map(|&p| DVec3::from(p)).collect();
    let mut turned: Vec<(DMat3, DVec3)> = Vec::with_capacity(joints);
    for joint in 0..joints {
        let own = DMat3::from_quat(rotations[joint]);
        turned.push(match source.parents[joint] {
            None => (own, at_rest[joint]),
            Some(parent) => {
                let (rotation, place) = turned[parent];
                (rotation * own, place + rotation * (at_rest[joint] - at_rest[parent]))
            }
        });
    }
    let vertex = |(vertex, weights): (&[f64; 3], &[f64])| -> DVec3 {
        let vertex = DVec3::from(*vertex);
        let part = |((&weight, &(rotation, place)), &rest): ((&f64, &(DMat3, DVec3)), &DVec3)| {
            if weight == 0.0 { DVec3::ZERO } else { (rotation * (vertex - rest) + place) * weight }
        };
        weights.iter().zip(&turned).zip(&at_rest).map(part).sum()
    };
    rest.as_chunks::<3>().0.iter().zip(weights.chunks_exact(joints)).map(vertex).collect()
}

/// Poses and shapes at random, the same each time: joints turn by up to about half a right angle.
pub fn random_poses(joints: usize, shapes: usize, count: usize) -> Vec<(Vec<DQuat>, Vec<f64>)> {
    let mut state = 0_u64;
    // From -1 to 1; the constants are Knuth's.
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    let mut pose = || {
        let rotations =
            (0..joints).map(|_| DQuat::from_scaled_axis(DVec3::new(random(), random(), random()) * 0.6)).collect();
        (rotations, (0..shapes).map(|_| 2.0 * random()).collect())
    };
    (0..count).map(|_| pose()).collect()
}
