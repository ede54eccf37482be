//! The body's file: mesh, skeleton, shape directions and key points, read from `body.safetensors` and checked.
//!
//! The file may be the user's own (SMPL fits the layout), so every number is checked and every error says what is wrong.
//! The layout (`S` shape directions, `V` vertices, `T` triangles, `J` joints, `K` key points; metres; the root joint of the
//! plain shape at the origin, rest axes as in [`super`]):
//!
//! | tensor | type, shape | |
//! |---|---|---|
//! | `vertices` | f32 `[V,3]` | plain shape at rest |
//! | `faces` | u32 `[T,3]` | |
//! | `shape_dirs` | f32 `[S,V,3]` | added to the vertices, times the shape's coefficients |
//! | `pose_dirs` | f32 `[P,V,3]`, optional | added to the vertices, times the entries (row by row) of the rotation matrices of all joints but the root less the identity, `P = 9 (J-1)` |
//! | `joints`, `joints_shape` | f32 `[J,3]`, `[S,J,3]` | rest positions |
//! | `parents` | i32 `[J]` | -1 for the root; parents before children |
//! | `skin_indices`, `skin_weights` | u32, f32 `[V,4]` | linear blend skinning |
//! | `keypoint_weights` | f32 `[K,J]` | sum over vertices of regressor times skin weight |
//! | `keypoint_points`, `keypoint_shape` | f32 `[K,J,3]`, `[S,K,J,3]` | the same times the vertex, or its shape direction |
//!
//! Metadata: `format` = `meshreel-body 1`, `name`, `licence`, and as JSON lists `joint_names`, `keypoint_names`, `coco17`
//! and `blazepose33` (key point indices; -1 in the latter where there is none); of bodies of the SMPL family `file_origin`, a JSON list too.

use super::Pose;
use super::joint_priors::{JointPrior, Role, role};
use super::pose_directions::{Bend, PoseDirections};
use crate::models::ModelName;
use crate::pose::skeleton::{self, LANDMARKS};
use glam::{DQuat, DVec3};
use safetensors::{Dtype, SafeTensors};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// BlazePose landmarks the fit cannot do without: nose, ears, and everything from the shoulders down but the thumbs.
fn needed() -> impl Iterator<Item = usize> {
    let is_dispensable = |i: &usize| {
        use skeleton::*;
        matches!(*i, LEFT_EYE_INNER..=RIGHT_EYE_OUTER | LEFT_MOUTH | RIGHT_MOUTH | LEFT_THUMB | RIGHT_THUMB)
    };
    (0..LANDMARKS).filter(move |i| !is_dispensable(i))
}

/// Why a body file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The file cannot be read.
    #[error("cannot read the body model {path}: {source}; run `make setup` to build it")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no body of this name.
    #[error(
        "there is no body \"{name}\" ({}); `meshreel models list` shows those that there are, `meshreel models import-smpl FILE -o {name}` imports it",
        path.display()
    )]
    Missing {
        /// Its name.
        name: ModelName,
        /// Where it would be.
        path: PathBuf,
    },
    /// The file's content is not as it should be.
    #[error("the body model {path} cannot be used: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// A joint's part of a key point.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Moment {
    pub joint: usize,
    /// Sum of regressor times skin weight.
    pub weight: f64,
    /// Sum of regressor times skin weight times vertex, plain shape.
    pub point: DVec3,
    /// The same for each shape direction.
    pub shape: Vec<DVec3>,
}

/// A body: see the module's description for the tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    /// What the body is called in motion files.
    pub name: String,
    /// Its licence, for display.
    pub licence: String,
    /// One name a joint.
    pub joint_names: Vec<String>,
    /// Parent of each joint; `None` for the root, which is joint 0.
    pub parents: Vec<Option<usize>>,
    /// Vertices of the plain shape at rest, metres.
    pub vertices: Vec<[f32; 3]>,
    /// Vertex indices of the triangles.
    pub faces: Vec<[u32; 3]>,
    /// Four joints a vertex.
    pub skin_indices: Vec<[u32; 4]>,
    /// Their weights, summing to 1.
    pub skin_weights: Vec<[f32; 4]>,
    /// Number of shape directions.
    pub shapes: usize,
    /// One name a key point.
    pub keypoint_names: Vec<String>,
    /// Key points in COCO's order.
    pub coco17: [usize; 17],
    /// Key points in BlazePose's order.
    pub blazepose33: [Option<usize>; LANDMARKS],
    /// What each joint is.
    pub roles: Vec<Role>,
    /// For a body of the SMPL family, where the root joint of the plain shape is in its own file, but in this program's axes, metres.
    pub file_origin: Option<DVec3>,
    fitted_joints: usize,
    shape_dirs: Vec<[f32; 3]>,
    pose_dirs: Option<PoseDirections>,
    pub(super) joints: Vec<DVec3>,
    pub(super) joints_shape: Vec<Vec<DVec3>>,
    pub(super) moments: Vec<Vec<Moment>>,
    /// For each key point the joints that move it, ascending.
    pub(super) movers: Vec<Vec<usize>>,
    pub(super) priors: Vec<JointPrior>,
}

impl Body {
    /// Reads and checks a body file.
    ///
    /// # Errors
    /// When the file cannot be read or anything in it is not as the layout says.
    pub fn load(path: &Path) -> Result<Self, BodyError> {
        let bytes = std::fs::read(path).map_err(|source| BodyError::Read { path: path.into(), source })?;
        Self::parse(&bytes).map_err(|reason| BodyError::Invalid { path: path.into(), reason })
    }

    /// Height in metres of the plain shape at rest, and how much each shape direction adds to it.
    pub fn stature(&self) -> (f64, Vec<f64>) {
        let count = self.vertices.len();
        let lower = |a: &usize, b: &usize| self.vertices[*a][1].total_cmp(&self.vertices[*b][1]);
        let (top, sole) = ((0..count).min_by(lower).unwrap_or(0), (0..count).max_by(lower).unwrap_or(0));
        let height = |of: &[[f32; 3]]| f64::from(of[sole][1]) - f64::from(of[top][1]);
        (height(&self.vertices), self.shape_directions().map(height).collect())
    }

    /// Number of joints.
    pub fn joint_count(&self) -> usize {
        self.parents.len()
    }

    /// How many joints, the first ones, the body is fitted with: all, or all but the fingers where these come last and no point that
    /// the fit is given hangs on them. They are fitted apart, so that they cost nothing where no hand is seen.
    pub fn fitted_joints(&self) -> usize {
        self.fitted_joints
    }

    /// The joint with this role, if there is one (the first, where there are several).
    pub fn joint(&self, role: Role) -> Option<usize> {
        self.roles.iter().position(|&r| r == role)
    }

    /// The joint that moves a key point most.
    pub fn keypoint_joint(&self, keypoint: usize) -> usize {
        let heaviest = self.moments[keypoint].iter().max_by(|a, b| a.weight.total_cmp(&b.weight));
        heaviest.map_or(0, |moment| moment.joint)
    }

    /// Joints at rest of a shape, metres. Missing coefficients count as 0.
    pub fn rest_joints(&self, shape: &[f64]) -> Vec<DVec3> {
        let mut joints = self.joints.clone();
        for (direction, &amount) in self.joints_shape.iter().zip(shape) {
            joints.iter_mut().zip(direction).for_each(|(joint, d)| *joint += *d * amount);
        }
        joints
    }

    /// Points on the floor when a body of this shape stands at rest, metres: below heel and tip of the left, then of the right foot.
    pub fn soles(&self, shape: &[f64]) -> [[DVec3; 2]; 2] {
        let rest = self.rest_joints(shape);
        let vertices = self.shaped_vertices(shape);
        let lowest = vertices.iter().map(|v| f64::from(v[1])).fold(f64::NEG_INFINITY, f64::max);
        let points = [[skeleton::LEFT_HEEL, skeleton::LEFT_TOES], [skeleton::RIGHT_HEEL, skeleton::RIGHT_TOES]];
        points.map(|foot| {
            foot.map(|landmark| {
                // The model was refused if it lacked one of these.
                let at = self.blazepose33[landmark].map_or(rest[0], |keypoint| self.rest_keypoint(keypoint, shape));
                DVec3::new(at.x, lowest, at.z)
            })
        })
    }

    /// A key point at rest of a shape, metres.
    fn rest_keypoint(&self, keypoint: usize, shape: &[f64]) -> DVec3 {
        let moved = |m: &Moment| m.shape.iter().zip(shape).fold(m.point, |sum, (d, &amount)| sum + *d * amount);
        self.moments[keypoint].iter().map(moved).sum()
    }

    /// Vertices at rest of a shape, metres. Missing coefficients count as 0.
    pub fn shaped_vertices(&self, shape: &[f64]) -> Vec<[f32; 3]> {
        let mut vertices = self.vertices.clone();
        for (direction, &amount) in self.shape_directions().zip(shape) {
            let amount = amount as f32;
            for (v, d) in vertices.iter_mut().zip(direction) {
                for i in 0..3 {
                    v[i] += amount * d[i];
                }
            }
        }
        vertices
    }

    /// For each coefficient of a shape what it adds to the vertices, metres.
    pub fn shape_directions(&self) -> impl Iterator<Item = &[[f32; 3]]> {
        self.shape_dirs.chunks_exact(self.vertices.len())
    }

    /// Number of pose directions.
    pub fn pose_directions(&self) -> usize {
        self.pose_dirs.as_ref().map_or(0, |_| PoseDirections::count(self.joint_count()))
    }

    /// How a pose changes the vertices at rest before they follow the joints; nothing for a body whose skin does no more than that.
    pub fn bend(&self, pose: &Pose) -> Option<Bend<'_>> {
        self.bend_of(&pose.rotations)
    }

    /// The same for rotations relative to the parents.
    pub(super) fn bend_of(&self, rotations: &[DQuat]) -> Option<Bend<'_>> {
        Some(self.pose_dirs.as_ref()?.bend(rotations))
    }

    /// The root joint of a shape in the coordinates of the file that the body was imported from, but in this program's axes, metres.
    pub(super) fn root_in_file(&self, shape: &[f64]) -> DVec3 {
        let moved = self.joints_shape.iter().zip(shape).map(|(direction, &amount)| direction[0] * amount);
        self.file_origin.unwrap_or_default() + self.joints[0] + moved.sum::<DVec3>()
    }

    /// Checks the content of a body file.
    ///
    /// # Errors
    /// What is not as the layout says.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) =
            SafeTensors::read_metadata(bytes).map_err(|e| format!("it is not a safetensors file ({e})"))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| format!("it is not a safetensors file ({e})"))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let format = text(&metadata, "format")?;
        if format != "meshreel-body 1" {
            return Err(format!("its format is `{format}`, expected `meshreel-body 1`"));
        }
        let file = File { tensors, metadata };

        let vertices = file.triples("vertices", &[None])?;
        let count = vertices.len();
        let parents = file.integers::<i32>("parents", &[None], i32::from_le_bytes)?;
        let joint_count = parents.len();
        if count == 0 || joint_count == 0 || count > 1_000_000 || joint_count > 256 {
            return Err(format!("{count} vertices and {joint_count} joints; expected 1 to 1000000 and 1 to 256"));
        }
        let joints = vectors(&file.triples("joints", &[Some(joint_count)])?);
        let shape_dirs = file.triples("shape_dirs", &[None, Some(count)])?;
        let shapes = shape_dirs.len() / count;
        if shapes > 400 {
            return Err(format!("{shapes} shape directions; expected at most 400"));
        }
        let joints_shape = vectors(&file.triples("joints_shape", &[Some(shapes), Some(joint_count)])?);
        let joints_shape = (0..shapes).map(|s| joints_shape[s * joint_count..][..joint_count].to_vec()).collect();
        let pose_dirs = match file.has("pose_dirs") {
            false => None,
            true => {
                let lists = file.triples("pose_dirs", &[Some(PoseDirections::count(joint_count)), Some(count)])?;
                Some(PoseDirections::new(&lists, count, joint_count))
            }
        };

        let parents = parents
            .iter()
            .enumerate()
            .map(|(j, &p)| match (j, p) {
                (0, -1) => Ok(None),
                (1.., p) if p >= 0 && (p as usize) < j => Ok(Some(p as usize)),
                _ => Err(format!(
                    "`parents`[{j}] is {p}: joint 0 must be the root (-1) and parents come before children"
                )),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let joint_names = file.names("joint_names", joint_count)?;

        let faces: Vec<[u32; 3]> = groups(&file.integers("faces", &[None, Some(3)], u32::from_le_bytes)?);
        if let Some(face) = faces.iter().find(|f| f.iter().any(|&i| i as usize >= count)) {
            return Err(format!("`faces` has {face:?}, but there are {count} vertices"));
        }
        let skin_indices: Vec<[u32; 4]> =
            groups(&file.integers("skin_indices", &[Some(count), Some(4)], u32::from_le_bytes)?);
        if let Some(row) = skin_indices.iter().find(|r| r.iter().any(|&j| j as usize >= joint_count)) {
            return Err(format!("`skin_indices` has {row:?}, but there are {joint_count} joints"));
        }
        let skin_weights: Vec<[f32; 4]> = groups(&file.floats("skin_weights", &[Some(count), Some(4)])?);
        let well = |r: &[f32; 4]| r.iter().all(|&w| w >= -1e-6) && (r.iter().sum::<f32>() - 1.0).abs() < 1e-3;
        if let Some(row) = skin_weights.iter().find(|r| !well(r)) {
            return Err(format!("`skin_weights` has {row:?}: weights must be positive and sum to 1"));
        }

        let weights = file.floats("keypoint_weights", &[None, Some(joint_count)])?;
        let keypoints = weights.len() / joint_count;
        let points = vectors(&file.triples("keypoint_points", &[Some(keypoints), Some(joint_count)])?);
        let point_shapes =
            vectors(&file.triples("keypoint_shape", &[Some(shapes), Some(keypoints), Some(joint_count)])?);
        let keypoint_names = file.names("keypoint_names", keypoints)?;
        for k in 0..keypoints {
            let sum: f32 = weights[k * joint_count..][..joint_count].iter().sum();
            if (sum - 1.0).abs() > 1e-2 {
                return Err(format!("`keypoint_weights` of {} sum to {sum}, expected 1", keypoint_names[k]));
            }
        }
        let moments: Vec<Vec<Moment>> = (0..keypoints)
            .map(|k| {
                (0..joint_count)
                    .map(|j| (j, k * joint_count + j))
                    .filter(|&(_, i)| weights[i].abs() > 1e-6 || points[i].length() > 1e-6)
                    .map(|(joint, i)| Moment {
                        joint,
                        weight: f64::from(weights[i]),
                        point: points[i],
                        shape: (0..shapes).map(|s| point_shapes[s * keypoints * joint_count + i]).collect(),
                    })
                    .collect()
            })
            .collect();
        let movers: Vec<Vec<usize>> = moments.iter().map(|m| ancestors(m.iter().map(|m| m.joint), &parents)).collect();

        let index = |name: &str, length: usize| -> Result<Vec<Option<usize>>, String> {
            let list: Vec<i64> = file.json(name)?;
            if list.len() != length {
                return Err(format!("metadata `{name}` has {} entries, expected {length}", list.len()));
            }
            list.into_iter()
                .map(|i| match usize::try_from(i) {
                    Ok(i) if i < keypoints => Ok(Some(i)),
                    Err(_) if i == -1 => Ok(None),
                    _ => Err(format!("metadata `{name}` refers to key point {i}, but there are {keypoints}")),
                })
                .collect()
        };
        let mut blazepose33 = [None; LANDMARKS];
        blazepose33.copy_from_slice(&index("blazepose33", LANDMARKS)?);
        if let Some(missing) = needed().find(|&i| blazepose33[i].is_none()) {
            return Err(format!("metadata `blazepose33` has no key point for landmark {missing}, which the fit needs"));
        }
        let mut coco17 = [0; 17];
        for (slot, i) in coco17.iter_mut().zip(index("coco17", 17)?) {
            *slot = i.ok_or("metadata `coco17` lacks a key point")?;
        }

        let file_origin = match file.metadata.contains_key("file_origin") {
            true => Some(DVec3::from_array(file.json("file_origin")?)).filter(|origin| origin.is_finite()),
            false => None,
        };
        let roles: Vec<Role> = joint_names.iter().map(|n| role(n)).collect();
        let priors = joint_priors(&roles, &parents, &joints);
        let fitted = coco17.iter().copied().chain(blazepose33.iter().copied().flatten());
        let fitted_joints = joints_of_fit(&roles, fitted.map(|keypoint: usize| &movers[keypoint]));
        Ok(Self {
            name: text(&file.metadata, "name")?.to_owned(),
            licence: text(&file.metadata, "licence")?.to_owned(),
            joint_names,
            parents,
            vertices,
            faces,
            skin_indices,
            skin_weights,
            shapes,
            keypoint_names,
            coco17,
            blazepose33,
            fitted_joints,
            roles,
            file_origin,
            shape_dirs,
            pose_dirs,
            joints,
            joints_shape,
            moments,
            movers,
            priors,
        })
    }
}

/// See [`Body::fitted_joints`]; `movers` are the joints that move each point which the fit is given.
fn joints_of_fit<'m>(roles: &[Role], movers: impl Iterator<Item = &'m Vec<usize>>) -> usize {
    let is_finger = |role: &&Role| matches!(role, Role::Finger(..));
    let others = roles.len() - roles.iter().rev().take_while(is_finger).count();
    let is_needed = movers.flatten().any(|&joint| joint >= others);
    if is_needed || roles[..others].iter().any(|role| is_finger(&role)) { roles.len() } else { others }
}

/// All of `joints` and their ancestors, ascending.
pub(super) fn ancestors(joints: impl Iterator<Item = usize>, parents: &[Option<usize>]) -> Vec<usize> {
    let mut all = vec![false; parents.len()];
    for joint in joints {
        let mut at = Some(joint);
        while let Some(j) = at {
            all[j] = true;
            at = parents[j];
        }
    }
    (0..all.len()).filter(|&j| all[j]).collect()
}

/// Limits and preferences of each joint; a limb points from its joint to the first child.
fn joint_priors(roles: &[Role], parents: &[Option<usize>], joints: &[DVec3]) -> Vec<JointPrior> {
    let bone = |j: usize| {
        let child = parents.iter().position(|&p| p == Some(j));
        child.and_then(|c| (joints[c] - joints[j]).try_normalize()).unwrap_or(DVec3::Y)
    };
    (0..roles.len()).map(|j| JointPrior::new(roles[j], bone(j), parents[j].map_or(DVec3::Y, bone))).collect()
}

fn vectors(triples: &[[f32; 3]]) -> Vec<DVec3> {
    triples.iter().map(|t| DVec3::from_array(t.map(f64::from))).collect()
}

fn groups<T: Copy + Default, const N: usize>(flat: &[T]) -> Vec<[T; N]> {
    flat.as_chunks::<N>().0.to_vec()
}

fn text<'a>(metadata: &'a HashMap<String, String>, name: &str) -> Result<&'a str, String> {
    metadata.get(name).map(String::as_str).ok_or_else(|| format!("its metadata lacks `{name}`"))
}

struct File<'a> {
    tensors: SafeTensors<'a>,
    metadata: HashMap<String, String>,
}

impl File<'_> {
    fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, String> {
        serde_json::from_str(text(&self.metadata, name)?)
            .map_err(|e| format!("metadata `{name}` is not as expected: {e}"))
    }

    fn names(&self, name: &str, count: usize) -> Result<Vec<String>, String> {
        let names: Vec<String> = self.json(name)?;
        if names.len() == count {
            Ok(names)
        } else {
            Err(format!("metadata `{name}` has {} names, expected {count}", names.len()))
        }
    }

    /// Little-endian four-byte numbers of a tensor whose shape is as given (`None`: any length).
    fn numbers<T>(
        &self,
        name: &str,
        dtype: Dtype,
        shape: &[Option<usize>],
        convert: fn([u8; 4]) -> T,
    ) -> Result<Vec<T>, String> {
        let tensor = self.tensors.tensor(name).map_err(|_| format!("it has no tensor `{name}`"))?;
        let fits = tensor.shape().len() == shape.len()
            && tensor.shape().iter().zip(shape).all(|(&a, b)| b.is_none_or(|b| a == b));
        if tensor.dtype() != dtype || !fits {
            let wanted: Vec<String> = shape.iter().map(|s| s.map_or("any".into(), |s| s.to_string())).collect();
            return Err(format!(
                "`{name}` is {:?} {:?}, expected {dtype:?} [{}]",
                tensor.dtype(),
                tensor.shape(),
                wanted.join(", ")
            ));
        }
        Ok(tensor.data().as_chunks::<4>().0.iter().map(|&b| convert(b)).collect())
    }

    fn integers<T: IntegerTensor>(
        &self,
        name: &str,
        shape: &[Option<usize>],
        convert: fn([u8; 4]) -> T,
    ) -> Result<Vec<T>, String> {
        self.numbers(name, T::DTYPE, shape, convert)
    }

    fn floats(&self, name: &str, shape: &[Option<usize>]) -> Result<Vec<f32>, String> {
        let values = self.numbers(name, Dtype::F32, shape, f32::from_le_bytes)?;
        match values.iter().position(|v| !v.is_finite() || v.abs() > 1e4) {
            Some(i) => Err(format!("`{name}` has the value {} at position {i}", values[i])),
            None => Ok(values),
        }
    }

    fn triples(&self, name: &str, shape: &[Option<usize>]) -> Result<Vec<[f32; 3]>, String> {
        let shape: Vec<Option<usize>> = shape.iter().copied().chain([Some(3)]).collect();
        Ok(groups(&self.floats(name, &shape)?))
    }
}

/// Integer types a tensor may have.
trait IntegerTensor {
    const DTYPE: Dtype;
}

impl IntegerTensor for i32 {
    const DTYPE: Dtype = Dtype::I32;
}

impl IntegerTensor for u32 {
    const DTYPE: Dtype = Dtype::U32;
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    type Tensors = HashMap<&'static str, (Dtype, Vec<usize>, Vec<u8>)>;

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    /// Two joints, three vertices, one triangle, one shape, one key point: in SMPL's manner, with pose directions.
    fn tiny() -> (Tensors, HashMap<String, String>) {
        let integers = |values: &[i32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let tensors: Tensors = HashMap::from([
            ("vertices", (Dtype::F32, vec![3, 3], floats(&[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))),
            ("faces", (Dtype::U32, vec![1, 3], integers(&[0, 1, 2]))),
            ("shape_dirs", (Dtype::F32, vec![1, 3, 3], floats(&[0.5; 9]))),
            ("pose_dirs", (Dtype::F32, vec![9, 3, 3], floats(&[0.0; 81]))),
            ("joints", (Dtype::F32, vec![2, 3], floats(&[0.0, 0.0, 0.0, 0.0, 0.5, 0.0]))),
            ("joints_shape", (Dtype::F32, vec![1, 2, 3], floats(&[0.0; 6]))),
            ("parents", (Dtype::I32, vec![2], integers(&[-1, 0]))),
            ("skin_indices", (Dtype::U32, vec![3, 4], integers(&[0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]))),
            ("skin_weights", (Dtype::F32, vec![3, 4], floats(&[0.5, 0.5, 0.0, 0.0].repeat(3)))),
            ("keypoint_weights", (Dtype::F32, vec![1, 2], floats(&[0.5, 0.5]))),
            ("keypoint_points", (Dtype::F32, vec![1, 2, 3], floats(&[0.1; 6]))),
            ("keypoint_shape", (Dtype::F32, vec![1, 1, 2, 3], floats(&[0.1; 6]))),
        ]);
        let zeros = |n: usize| format!("[{}]", vec!["0"; n].join(","));
        let metadata = [
            ("format", "meshreel-body 1".to_owned()),
            ("name", "tiny".to_owned()),
            ("licence", "none".to_owned()),
            ("joint_names", r#"["pelvis","left_hip"]"#.to_owned()),
            ("keypoint_names", r#"["all"]"#.to_owned()),
            ("coco17", zeros(17)),
            ("blazepose33", zeros(33)),
        ];
        (tensors, metadata.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
    }

    fn file((tensors, metadata): (Tensors, HashMap<String, String>)) -> Vec<u8> {
        let views: Vec<(&str, TensorView)> = tensors
            .iter()
            .map(|(name, (dtype, shape, data))| {
                (*name, TensorView::new(*dtype, shape.clone(), data).expect("a tensor"))
            })
            .collect();
        safetensors::serialize(views, Some(metadata)).expect("a file")
    }

    #[test]
    fn a_small_body_is_read() {
        let body = Body::parse(&file(tiny())).expect("valid");
        assert_eq!((body.joint_count(), body.shapes, body.faces.len()), (2, 1, 1));
        assert_eq!(body.roles[1], Role::UpperLeg(super::super::Side::Left));
        assert_eq!(body.shaped_vertices(&[2.0])[1], [2.0, 1.0, 1.0]);
    }

    #[test]
    fn errors_say_what_is_wrong() {
        type Change = fn(&mut Tensors, &mut HashMap<String, String>);
        let cases: [(Change, &str); 11] = [
            (|t, _| drop(t.remove("faces")), "no tensor `faces`"),
            (|t, _| t.get_mut("faces").unwrap().2[0] = 9, "`faces` has [9, 1, 2]"),
            (|t, _| t.get_mut("parents").unwrap().2[4] = 1, "`parents`[1] is 1"),
            (|t, _| t.get_mut("vertices").unwrap().2[..4].copy_from_slice(&f32::NAN.to_le_bytes()), "NaN"),
            (|t, _| t.get_mut("skin_indices").unwrap().2[0] = 7, "there are 2 joints"),
            (|t, _| t.get_mut("skin_weights").unwrap().2[..4].copy_from_slice(&0.9f32.to_le_bytes()), "sum to 1"),
            (|t, _| t.get_mut("pose_dirs").unwrap().1 = vec![3, 9, 3], "expected F32 [9, 3, 3]"),
            (
                |t, _| t.get_mut("keypoint_weights").unwrap().2[..4].copy_from_slice(&0.1f32.to_le_bytes()),
                "of all sum to",
            ),
            (|_, m| drop(m.insert("format".into(), "other".into())), "its format is `other`"),
            (|_, m| drop(m.insert("coco17".into(), "[1]".into())), "`coco17` has 1 entries"),
            (|_, m| drop(m.insert("blazepose33".into(), format!("[{}]", vec!["-1"; 33].join(",")))), "landmark 0"),
        ];
        for (change, expected) in cases {
            let (mut tensors, mut metadata) = tiny();
            change(&mut tensors, &mut metadata);
            let message = Body::parse(&file((tensors, metadata))).expect_err(expected);
            assert!(message.contains(expected), "`{message}` should contain `{expected}`");
        }
    }

    #[test]
    fn damaged_files_are_refused() {
        let whole = file(tiny());
        for length in (0..whole.len()).step_by(37) {
            assert!(Body::parse(&whole[..length]).is_err(), "{length} bytes");
        }
        let missing = Body::load(Path::new("no/such/body.safetensors")).expect_err("missing");
        assert!(missing.to_string().contains("no/such/body.safetensors") && missing.to_string().contains("make setup"));
    }
}
