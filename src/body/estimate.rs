//! From what a network of the user's own says of a body (`pose::own`) to a pose in the clip's camera.
//!
//! The network sees a crop as if a camera looked straight at it, with a focal length of its own. In the clip's camera the root joint is where it is
//! seen, as far away as makes the body as large as in the crop: `z = Z f / (F k)`, for the depth `Z` and the focal length `F` (pixels of the input)
//! of the crop's camera, the clip's focal length `f`, and `k` displayed pixels to a pixel of the input. There it is turned so that it is seen from
//! the same side: the rotation against the line of sight to the root joint is the same in both cameras, so that the crop leaves no trace. Where the
//! network does not say where the body is, the line to the crop's middle takes its place. (HMR and its successors place bodies by the same rule, in
//! a camera with so long a focal length that the direction does not matter: Kolotouros et al., *SPIN*, 2019; Goel et al., *Humans in 4D*, 2023.)
//!
//! SMPL's files have y up and the body facing z; those of this program y down and the body facing -z: half a turn about x.

use std::f64::consts::PI;

use glam::{DQuat, DVec2, DVec3};

use super::initial::{self, Points};
use super::kinematics::{Posed, Skeleton};
use super::measurement::to_camera;
use super::surface_fit::SurfaceFit;
use super::{Body, Camera};
use crate::pose::Landmarks;
use crate::pose::own::{BodyEstimate, BodyOutput};
use crate::pose::skeleton::LANDMARKS;

/// Joints of a network that leaves out the fingers, jaw and eyes of a body that has them.
const WITHOUT_HANDS: usize = 22;
/// Nearest and farthest that a body may be, metres.
const DEPTHS: [f64; 2] = [0.2, 1000.0];

/// Makes poses of one body, in one clip's camera.
pub struct Estimator {
    camera: Camera,
    /// For networks that give vertices.
    surface: Option<SurfaceFit>,
}

impl Estimator {
    /// For a network that gives vertices (`has_vertices`), or rotations.
    pub fn new(body: &Body, camera: Camera, has_vertices: bool) -> Self {
        Self { camera, surface: has_vertices.then(|| SurfaceFit::new(body)) }
    }

    /// A body's pose; nothing where the numbers make none. `landmarks` are those that were found of the person: they say what the network does not.
    ///
    /// # Errors
    /// When the network's numbers are of another body.
    pub fn estimate(
        &self,
        body: &Body,
        output: &BodyOutput,
        landmarks: &Landmarks,
    ) -> Result<Option<BodyEstimate>, String> {
        let found = match &self.surface {
            Some(surface) => {
                surface.pose(body, &output.vertices)?.map(|fitted| (fitted.rotations, fitted.shape, fitted.root))
            }
            None => {
                let rotations = in_own_axes(body, output)?;
                let mut shape = output.betas.clone();
                shape.resize(body.shapes, 0.0);
                // Where the root is before the translation: the root's rotation is about it.
                let root = to_file(body, body.root_in_file(&shape));
                Some((rotations, shape, root))
            }
        };
        let Some((mut rotations, shape, root)) = found else { return Ok(None) };
        let turn = DQuat::from_rotation_z(output.crop.rotation);
        let has_root = output.has_root || self.surface.is_some();
        let skeleton = Skeleton::new(body, &shape);
        let in_crop = output.translation.map(|translation| root + translation);
        let placed = in_crop.and_then(|in_crop| Some((in_crop, self.placed(output, in_crop)?)));
        rotations[0] = match (has_root, placed) {
            (true, Some((in_crop, position))) => {
                line_of_sight(position) * turn * line_of_sight(in_crop).inverse() * rotations[0]
            }
            (true, None) => {
                let middle = (output.crop.center - DVec2::from(self.camera.center)) / DVec2::from(self.camera.focal);
                line_of_sight(middle.extend(1.0)) * turn * rotations[0]
            }
            (false, _) => {
                let to_camera = to_camera(&self.camera, &std::array::from_fn(|i| landmarks.at(i)));
                let world: Points = landmarks.world.map(|p| to_camera * DVec3::from(p.map(f64::from)));
                // The trunk is turned as it is bent.
                initial::pose_from_world(body, &initial::points(&skeleton, &rotations), &world)[0]
            }
        };
        let position = match in_crop {
            Some(_) => placed.map(|(_, position)| position),
            None => self.seen(&skeleton, &rotations, landmarks),
        };
        let is_usable = rotations.iter().all(|q| q.is_finite()) && shape.iter().all(|v| v.is_finite());
        let position = position.filter(|p| (DEPTHS[0]..DEPTHS[1]).contains(&p.z));
        Ok(position.filter(|p| p.is_finite() && is_usable).map(|position| BodyEstimate { rotations, position, shape }))
    }

    /// The root joint, given where it is in the crop's camera.
    fn placed(&self, output: &BodyOutput, root: DVec3) -> Option<DVec3> {
        if root.z <= 0.0 {
            return None;
        }
        // Displayed pixels, for a focal length in displayed pixels.
        let turned = glam::DMat2::from_angle(output.crop.rotation) * root.truncate();
        let pixel = output.crop.center + turned * (output.focal / root.z);
        let focal = DVec2::from(self.camera.focal);
        let z = root.z * focal.y / output.focal;
        Some(((pixel - DVec2::from(self.camera.center)) / focal * z).extend(z))
    }

    /// The root joint, so that the body's points lie on the landmarks in the picture.
    fn seen(&self, skeleton: &Skeleton<'_>, rotations: &[DQuat], landmarks: &Landmarks) -> Option<DVec3> {
        let mut posed = Posed::default();
        skeleton.pose(rotations, &mut posed);
        let known = |i: usize| Some((i, skeleton.keypoint(&posed, skeleton.body().blazepose33[i]?)));
        let (indices, points): (Vec<usize>, Vec<DVec3>) = (0..LANDMARKS).filter_map(known).unzip();
        let pixels: Vec<DVec2> = indices.iter().map(|&i| landmarks.at(i)).collect();
        let weights: Vec<f64> = indices.iter().map(|&i| f64::from(landmarks.points[i].visibility)).collect();
        initial::position(&self.camera, &points, &pixels, &weights)
    }
}

/// The least rotation that brings the camera's axis to the direction of a point.
fn line_of_sight(to: DVec3) -> DQuat {
    DQuat::from_rotation_arc(DVec3::Z, to.normalize_or(DVec3::Z))
}

/// Half a turn about x, from the axes of SMPL's files and back.
fn half_turn() -> DQuat {
    DQuat::from_rotation_x(PI)
}

/// A vector of the program's axes in those of the body's own file.
fn to_file(body: &Body, v: DVec3) -> DVec3 {
    if body.file_origin.is_some() { DVec3::new(v.x, -v.y, -v.z) } else { v }
}

/// A network's rotations as this program has them: all of the body's joints, the root's first.
fn in_own_axes(body: &Body, output: &BodyOutput) -> Result<Vec<DQuat>, String> {
    let (joints, given) = (body.joint_count(), output.rotations.len() + usize::from(!output.has_root));
    let is_without_hands = given == body.fitted_joints() || (given == WITHOUT_HANDS && joints > 2 * WITHOUT_HANDS);
    if given != joints && !is_without_hands {
        let root = if output.has_root { "with the root's" } else { "without the root's" };
        return Err(format!(
            "its pose has {} rotations ({root}), and the body \"{}\" has {joints} joints",
            output.rotations.len(),
            body.name
        ));
    }
    let half = half_turn();
    let turned = |q: DQuat| if body.file_origin.is_some() { half * q * half.inverse() } else { q };
    let mut rotations = Vec::with_capacity(joints);
    if !output.has_root {
        rotations.push(DQuat::IDENTITY);
    }
    rotations.extend(output.rotations.iter().map(|&q| turned(q)));
    if let Some(&root) = output.rotations.first().filter(|_| output.has_root) {
        // The crop's camera has this program's axes, and only the body's own are turned.
        rotations[0] = if body.file_origin.is_some() { root * half.inverse() } else { root };
    }
    rotations.resize(joints, DQuat::IDENTITY);
    Ok(rotations)
}
