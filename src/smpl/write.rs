//! A body's file in meshreel's layout (`body/model.rs`).

use std::collections::HashMap;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::INFLUENCES;
use super::keypoints::{KeyPoints, Part};
use super::source::Source;
use crate::models::ModelName;

/// Where a key point's vertices are, summed up for each joint that moves them.
struct Moments {
    /// [K, J].
    weights: Vec<f64>,
    /// [K, J, 3].
    points: Vec<f64>,
    /// For each shape direction [K, J, 3].
    shapes: Vec<Vec<f64>>,
}

/// The file of a body, and how many joints a vertex follows in the source at most.
///
/// # Errors
/// When it cannot be put together.
pub fn file(
    source: &Source,
    joint_names: &[String],
    points: &KeyPoints,
    name: ModelName,
    licence: &str,
) -> Result<(Vec<u8>, usize), String> {
    let (vertices, joints, shapes) = (source.vertex_count(), source.joint_count(), source.shape_dirs.len());
    let keypoints = points.names.len();
    let at_rest = source.regressed(&source.vertices);
    let root = [at_rest[0], at_rest[1], at_rest[2]];
    let from_root =
        |list: &[f64]| list.iter().zip(root.iter().cycle()).map(|(at, root)| at - root).collect::<Vec<f64>>();
    let (rest, at_rest) = (from_root(&source.vertices), from_root(&at_rest));
    let joint_dirs: Vec<Vec<f64>> = source.shape_dirs.iter().map(|direction| source.regressed(direction)).collect();
    let (skin_indices, skin_weights, influences) = strongest(source)?;
    let moments = moments(source, points, &rest, &at_rest, &joint_dirs);
    // The entries of a matrix in the file's axes are those in meshreel's, with the sign of half a turn about x on either side.
    let bends: Vec<u8> = source
        .pose_dirs
        .iter()
        .enumerate()
        .flat_map(|(i, direction)| {
            let sign = if (i % 9 / 3 == 0) == (i % 3 == 0) { 1.0 } else { -1.0 };
            turned(direction, sign)
        })
        .collect();
    let all = |lists: &[Vec<f64>]| lists.iter().flat_map(|list| turned(list, 1.0)).collect::<Vec<u8>>();
    let parents = source.parents.iter().map(|parent| parent.map_or(-1, |parent| parent as i32));
    let mut tensors = vec![
        ("vertices", Dtype::F32, vec![vertices, 3], turned(&rest, 1.0)),
        (
            "faces",
            Dtype::U32,
            vec![source.faces.len(), 3],
            source.faces.iter().flatten().flat_map(|v| v.to_le_bytes()).collect(),
        ),
        ("shape_dirs", Dtype::F32, vec![shapes, vertices, 3], all(&source.shape_dirs)),
        ("joints", Dtype::F32, vec![joints, 3], turned(&at_rest, 1.0)),
        ("joints_shape", Dtype::F32, vec![shapes, joints, 3], all(&joint_dirs)),
        ("parents", Dtype::I32, vec![joints], parents.flat_map(i32::to_le_bytes).collect()),
        ("skin_indices", Dtype::U32, vec![vertices, INFLUENCES], skin_indices),
        ("skin_weights", Dtype::F32, vec![vertices, INFLUENCES], skin_weights),
        (
            "keypoint_weights",
            Dtype::F32,
            vec![keypoints, joints],
            moments.weights.iter().flat_map(|&weight| (weight as f32).to_le_bytes()).collect(),
        ),
        ("keypoint_points", Dtype::F32, vec![keypoints, joints, 3], turned(&moments.points, 1.0)),
        ("keypoint_shape", Dtype::F32, vec![shapes, keypoints, joints, 3], all(&moments.shapes)),
    ];
    if !bends.is_empty() {
        tensors.push(("pose_dirs", Dtype::F32, vec![source.pose_dirs.len(), vertices, 3], bends));
    }
    let list = |list: serde_json::Value| list.to_string();
    let metadata: HashMap<String, String> = [
        ("format", "meshreel-body 1".to_owned()),
        ("name", name.to_string()),
        ("licence", licence.to_owned()),
        ("joint_names", list(joint_names.into())),
        ("keypoint_names", list(points.names.clone().into())),
        ("coco17", list(points.coco17.clone().into())),
        ("blazepose33", list(points.blazepose33.clone().into())),
        ("file_origin", list(vec![root[0], -root[1], -root[2]].into())),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    let views =
        tensors.iter().map(|(name, dtype, shape, data)| Ok((*name, TensorView::new(*dtype, shape.clone(), data)?)));
    let views: Result<Vec<_>, safetensors::SafeTensorError> = views.collect();
    let bytes = views.and_then(|views| safetensors::serialize(views, Some(metadata)));
    Ok((bytes.map_err(|error| error.to_string())?, influences))
}

/// Vectors in meshreel's axes, times `sign`, as bytes: half a turn about x from the file's, where y is up and the body faces z.
fn turned(vectors: &[f64], sign: f64) -> Vec<u8> {
    let axes = [sign, -sign, -sign];
    vectors.iter().zip(axes.iter().cycle()).flat_map(|(number, sign)| ((number * sign) as f32).to_le_bytes()).collect()
}

/// For each vertex the joints of the largest weights and these, scaled to sum to one; and how many joints there are for a vertex at most.
fn strongest(source: &Source) -> Result<(Vec<u8>, Vec<u8>, usize), String> {
    let (mut indices, mut weights, mut influences) = (Vec::new(), Vec::new(), 0);
    for (vertex, row) in source.weights.chunks_exact(source.joint_count()).enumerate() {
        let mut order: Vec<usize> = (0..row.len()).filter(|&joint| row[joint] != 0.0).collect();
        influences = influences.max(order.len());
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
        order.truncate(INFLUENCES);
        let sum: f64 = order.iter().map(|&joint| row[joint]).sum();
        if sum < 0.5 || order.iter().any(|&joint| row[joint] < 0.0) {
            return Err(format!("its `weights` of vertex {vertex} are not positive, or do not sum to 1"));
        }
        for place in 0..INFLUENCES {
            let (joint, weight) = order.get(place).map_or((0, 0.0), |&joint| (joint, row[joint] / sum));
            indices.extend((joint as u32).to_le_bytes());
            weights.extend((weight as f32).to_le_bytes());
        }
    }
    Ok((indices, weights, influences))
}

/// `rest`, `at_rest`: vertices and joints from the root joint; `joint_dirs`: joints for each shape direction.
fn moments(source: &Source, points: &KeyPoints, rest: &[f64], at_rest: &[f64], joint_dirs: &[Vec<f64>]) -> Moments {
    let (joints, shapes) = (source.joint_count(), source.shape_dirs.len());
    let size = points.mixtures.len() * joints;
    let mut moments =
        Moments { weights: vec![0.0; size], points: vec![0.0; 3 * size], shapes: vec![vec![0.0; 3 * size]; shapes] };
    for (keypoint, mixture) in points.mixtures.iter().enumerate() {
        let mut add = |joint: usize, weight: f64, (vertices, at, dirs): (&[f64], usize, &[Vec<f64>])| {
            let i = keypoint * joints + joint;
            moments.weights[i] += weight;
            for axis in 0..3 {
                moments.points[3 * i + axis] += weight * vertices[3 * at + axis];
                for (sum, direction) in moments.shapes.iter_mut().zip(dirs) {
                    sum[3 * i + axis] += weight * direction[3 * at + axis];
                }
            }
        };
        for &(part, share) in mixture {
            match part {
                // A joint moves with its own segment and with its parent's alike.
                Part::Joint(joint) => {
                    let parent = source.parents[joint].unwrap_or(joint);
                    add(joint, share / 2.0, (at_rest, joint, joint_dirs));
                    add(parent, share / 2.0, (at_rest, joint, joint_dirs));
                }
                Part::Vertex(vertex) => {
                    let vertex = vertex as usize;
                    let row = &source.weights[vertex * joints..][..joints];
                    for (joint, &weight) in row.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
                        add(joint, share * weight, (rest, vertex, &source.shape_dirs));
                    }
                }
            }
        }
    }
    moments
}
