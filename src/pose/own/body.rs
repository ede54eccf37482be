//! The body of a person as a network of the user's own gives it, in the terms of the network: SMPL's axes, and a camera that looks straight at
//! the crop. `body::Estimator` turns it into a pose in the clip's camera.

use glam::{DMat3, DQuat, DVec3};
use serde::{Deserialize, Serialize};

use super::points::{probability, shape_of};
use super::{Outputs, PersonCrop};
use crate::models::NetworkDescription;
use crate::models::description::{CamFormat, RotationFormat};

/// How far a row of a matrix may be from length 1, or two of them from a right angle, for it to be a rotation.
const SKEWED: f64 = 0.2;
/// Coefficients of a shape stay within this, either way: beyond it a body is none.
pub const MOST_SHAPE: f64 = 10.0;
/// Confidence below which a network did not see the person.
const SEEN: f32 = 0.15;

/// One person's body. The crop's camera has its axes x right, y down, z away, and looks at the crop's middle.
#[derive(Debug, Clone, PartialEq)]
pub struct BodyOutput {
    /// Rotations of joints relative to their parents, in the axes of the body's own file; the first is the root's in the crop's camera,
    /// where there is one. Empty where the network gives vertices.
    pub rotations: Vec<DQuat>,
    /// Whether the root's is among them.
    pub has_root: bool,
    /// Coefficients of the shape.
    pub betas: Vec<f64>,
    /// The body's vertices, metres, in the crop's camera but for [`Self::translation`]; empty where the network gives rotations.
    pub vertices: Vec<[f32; 3]>,
    /// Where the origin of the body's own file is, metres, in the crop's camera; nothing where the network does not say.
    pub translation: Option<DVec3>,
    /// Focal length of the crop's camera in displayed pixels, where there is a translation.
    pub focal: f64,
    /// What the network was shown.
    pub crop: PersonCrop,
}

/// The same in the clip's camera: a pose of one of the program's bodies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BodyEstimate {
    /// Rotation of each joint relative to its parent (the root's relative to the camera axes).
    pub rotations: Vec<DQuat>,
    /// Position of the root joint, camera axes, metres.
    pub position: DVec3,
    /// Coefficients of the shape.
    pub shape: Vec<f64>,
}

/// What the outputs say of the body in one crop; nothing where they are no usable numbers, or the network did not see the person.
///
/// # Errors
/// When outputs have other shapes than the description says.
pub(super) fn read(
    description: &NetworkDescription,
    outputs: &Outputs,
    index: usize,
    crop: &PersonCrop,
) -> Result<Option<BodyOutput>, String> {
    let said = &description.outputs;
    if said.pose.is_none() && said.vertices.is_none() {
        return Ok(None);
    }
    let of_person = outputs.part("confidence", index).filter(|part| part.values.len() == 1);
    if let (Some(scores), Some(part)) = (&said.confidence, of_person) {
        let confidence = probability(scores.format, part.values[0]);
        if confidence.is_nan() || confidence < SEEN {
            return Ok(None);
        }
    }
    let mut rotations = Vec::new();
    if let Some(pose) = &said.pose {
        let numbers: Vec<f64> =
            outputs.parts("pose", index).flat_map(|part| part.values).map(|&v| f64::from(v)).collect();
        let each = pose.format.numbers();
        if numbers.is_empty() || !numbers.len().is_multiple_of(each) {
            return Err(shape_of(outputs, "pose", &format!("joints times {each} numbers")));
        }
        let read: Option<Vec<DQuat>> = numbers.chunks_exact(each).map(|joint| rotation(pose.format, joint)).collect();
        let Some(read) = read else { return Ok(None) };
        rotations = read;
    }
    let mut vertices = Vec::new();
    if let (Some(said), Some(part)) = (&said.vertices, outputs.part("vertices", index)) {
        let (all, rest) = part.values.as_chunks::<3>();
        if all.is_empty() || !rest.is_empty() {
            return Err(shape_of(outputs, "vertices", "vertices, 3"));
        }
        let metres = said.units.metres() as f32;
        vertices = all.iter().map(|vertex| vertex.map(|v| v * metres)).collect();
    }
    let betas: Vec<f64> = outputs
        .part("betas", index)
        .map_or(Vec::new(), |part| part.values.iter().map(|&v| f64::from(v).clamp(-MOST_SHAPE, MOST_SHAPE)).collect());
    let mut translation = None;
    if let (Some(cam), Some(part)) = (&said.cam, outputs.part("cam", index)) {
        let &[a, b, c] = part.values else { return Err(shape_of(outputs, "cam", "3")) };
        let [a, b, c] = [a, b, c].map(f64::from);
        let place = match cam.format {
            CamFormat::WeakPerspective => {
                let side = description.input.size[0].max(description.input.size[1]) as f64;
                DVec3::new(b, c, 2.0 * cam.focal / (side * a))
            }
            CamFormat::Translation => DVec3::new(a, b, c),
        };
        // Behind the camera, or no number: the network does not know.
        if !(place.is_finite() && place.z > 0.0) {
            return Ok(None);
        }
        translation = Some(place);
    }
    let numbers = vertices.as_flattened().iter().map(|&v| f64::from(v)).chain(betas.iter().copied());
    if !numbers.into_iter().all(f64::is_finite) {
        return Ok(None);
    }
    let has_root = said.pose.as_ref().is_some_and(|pose| pose.root);
    let focal = said.cam.as_ref().map_or(1.0, |cam| cam.focal) * crop.scale;
    Ok(Some(BodyOutput { rotations, has_root, betas, vertices, translation, focal, crop: *crop }))
}

/// A rotation; nothing where the numbers are none.
fn rotation(format: RotationFormat, n: &[f64]) -> Option<DQuat> {
    if !n.iter().all(|v| v.is_finite()) {
        return None;
    }
    let vector = |i: usize, step: usize| DVec3::new(n[i], n[i + step], n[i + 2 * step]);
    let matrix = match format {
        RotationFormat::AxisAngle => return Some(DQuat::from_scaled_axis(vector(0, 1))),
        RotationFormat::Matrices => {
            let columns = [0, 1, 2].map(|i| vector(i, 3));
            let [x, y, z] = columns;
            let off = columns.map(|c| (c.length() - 1.0).abs()).into_iter().chain([x.dot(y), y.dot(z), z.dot(x)]);
            if off.into_iter().any(|v| v.abs() > SKEWED) || x.cross(y).dot(z) < 0.0 {
                return None;
            }
            orthonormal(x, y)?
        }
        RotationFormat::Columns => orthonormal(vector(0, 1), vector(3, 1))?,
        RotationFormat::Interleaved => orthonormal(vector(0, 2), vector(1, 2))?,
        RotationFormat::Rows => orthonormal(vector(0, 1), vector(3, 1))?.transpose(),
    };
    Some(DQuat::from_mat3(&matrix).normalize())
}

/// The rotation whose first two columns these are, made perpendicular and of length 1 by Gram and Schmidt.
fn orthonormal(first: DVec3, second: DVec3) -> Option<DMat3> {
    let x = first.try_normalize()?;
    let y = (second - x * x.dot(second)).try_normalize()?;
    Some(DMat3::from_cols(x, y, x.cross(y)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_gives_the_same_rotation() {
        let expected = DQuat::from_scaled_axis(DVec3::new(0.4, -1.1, 0.7));
        let m = DMat3::from_quat(expected);
        let (x, y) = (m.x_axis, m.y_axis);
        let rows = m.transpose();
        let flat = |vectors: &[DVec3]| vectors.iter().flat_map(|v| v.to_array()).collect::<Vec<f64>>();
        let cases = [
            (RotationFormat::AxisAngle, vec![0.4, -1.1, 0.7]),
            (RotationFormat::Matrices, flat(&[rows.x_axis, rows.y_axis, rows.z_axis])),
            (RotationFormat::Columns, flat(&[x * 2.0, y + x * 0.3])),
            (RotationFormat::Interleaved, vec![x.x, y.x, x.y, y.y, x.z, y.z]),
            (RotationFormat::Rows, flat(&[rows.x_axis, rows.y_axis])),
        ];
        for (format, numbers) in cases {
            assert_eq!(numbers.len(), format.numbers());
            let found = rotation(format, &numbers).unwrap();
            assert!(found.angle_between(expected) < 1e-6, "{format:?}");
        }
    }

    #[test]
    fn what_is_no_rotation_is_refused() {
        let mirrored = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0];
        let skewed = [1.0, 0.5, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        for numbers in [mirrored, skewed, [f64::NAN; 9], [0.0; 9]] {
            assert_eq!(rotation(RotationFormat::Matrices, &numbers), None, "{numbers:?}");
        }
        assert_eq!(rotation(RotationFormat::Columns, &[0.0; 6]), None);
    }
}
