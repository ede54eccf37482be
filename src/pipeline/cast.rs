//! The people of a clip once they are solved: who is in a frame, how to draw them, what the motion file says of them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use glam::{Mat4, Vec3, Vec4};

use crate::body::{Body, Camera, FittedPose, FittedTrack};
use crate::export;
use crate::geometry::Geometry;
use crate::render::{self, Mesh, MeshError, Scene, Shape, Style};

/// R'G'B' of people by id: light, of even brightness, told apart by most kinds of colour vision (after Okabe and Ito's
/// palette, lightened).
const COLORS: [[f32; 3]; 8] = [
    [0.45, 0.72, 0.95],
    [0.98, 0.70, 0.35],
    [0.40, 0.82, 0.68],
    [0.93, 0.62, 0.80],
    [0.95, 0.90, 0.45],
    [0.65, 0.62, 0.95],
    [0.95, 0.55, 0.45],
    [0.75, 0.80, 0.85],
];

/// One vertex in so many is enough to find a body's bounds.
const BOUNDS_STEP: usize = 7;

/// The people of a clip, ready to be drawn.
pub struct Cast<'a> {
    body: &'a Body,
    camera: Camera,
    people: Vec<Member<'a>>,
    mesh: &'a Mesh,
}

/// Thickness in metres of what people wear, or of their hair: the body is fitted to joints, and its bare skin lies that far
/// inside what is seen.
const CLOTHES: f32 = 0.006;

struct Member<'a> {
    track: &'a FittedTrack,
    /// Every so manieth vertex at rest ([`BOUNDS_STEP`]).
    rest: Vec<[f32; 3]>,
}

/// Makes the scenes of a clip, frame after frame. Has the shapes of those in the picture only, a megabyte each: a long clip has many people.
pub struct Scenes<'c> {
    cast: &'c Cast<'c>,
    /// By the person's id.
    shapes: BTreeMap<u32, Shape>,
}

/// Someone in one frame.
struct Appearance<'a> {
    member: &'a Member<'a>,
    fitted: &'a FittedPose,
    joints: Vec<[f32; 12]>,
}

impl<'a> Cast<'a> {
    /// Of these `people`; `mesh` is the body's.
    pub fn new(body: &'a Body, mesh: &'a Mesh, camera: Camera, people: &'a [FittedTrack]) -> Self {
        let member = |track: &'a FittedTrack| {
            let rest = body.shaped_vertices(&track.shape).into_iter().step_by(BOUNDS_STEP).collect();
            Member { track, rest }
        };
        Self { body, camera, people: people.iter().map(member).collect(), mesh }
    }

    /// How they were filmed.
    pub fn camera(&self) -> Camera {
        self.camera
    }

    /// How many there are in the whole clip.
    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// What the motion file says of a frame.
    pub fn rows(&self, index: u64) -> Vec<export::Person> {
        self.appearances(index).map(|appearance| self.row(&appearance)).collect()
    }

    fn appearances(&self, index: u64) -> impl Iterator<Item = Appearance<'_>> {
        self.people.iter().filter_map(move |member| self.appearance(member, index))
    }

    fn appearance<'s>(&'s self, member: &'s Member<'a>, index: u64) -> Option<Appearance<'s>> {
        let offset = index.checked_sub(member.track.first_frame)?;
        let fitted = member.track.poses.get(usize::try_from(offset).ok()?)?;
        let joints = self.body.joint_transforms(&fitted.pose, &member.track.shape);
        let flat = |rows: &[[f32; 4]; 3]| std::array::from_fn(|i| rows[i / 4][i % 4]);
        Some(Appearance { member, fitted, joints: joints.iter().map(flat).collect() })
    }

    fn row(&self, appearance: &Appearance) -> export::Person {
        let Appearance { member, fitted, .. } = appearance;
        let pose = &fitted.pose;
        let joints = self.body.keypoints_coco(pose, &member.track.shape);
        let keypoints = std::array::from_fn(|i| {
            (self.camera.project(joints[i]), f64::from(self.keypoint_confidence(fitted, self.body.coco17[i])))
        });
        export::Person {
            id: member.track.id,
            bounds: self.bounds(appearance),
            score: fitted.score.into(),
            uncertain: fitted.uncertain,
            keypoints,
            joints,
            position: pose.position,
            rotations: pose.rotations.clone(),
            shape: member.track.shape.clone(),
        }
    }

    /// As well as the joint that moves the key point most was seen.
    fn keypoint_confidence(&self, fitted: &FittedPose, keypoint: usize) -> f32 {
        let joint = self.body.keypoint_joint(keypoint);
        fitted.pose.confidence.get(joint).copied().unwrap_or(0.0)
    }

    /// x, y, width, height of the body in displayed pixels.
    fn bounds(&self, appearance: &Appearance) -> [f64; 4] {
        let matrices: Vec<Mat4> = appearance
            .joints
            .iter()
            .map(|m| {
                Mat4::from_cols_array(&[
                    m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8], m[9], m[10], m[11], 0.0, 0.0, 0.0, 1.0,
                ])
                .transpose()
            })
            .collect();
        let (mut low, mut high) = ([f64::MAX; 2], [f64::MIN; 2]);
        let skin = self.body.skin_indices.iter().zip(&self.body.skin_weights).step_by(BOUNDS_STEP);
        for (rest, (indices, weights)) in appearance.member.rest.iter().zip(skin) {
            let rest = Vec3::from_array(*rest).extend(1.0);
            let part = |(joint, weight): (&u32, &f32)| matrices[*joint as usize] * rest * *weight;
            let point: Vec4 = indices.iter().zip(weights).map(part).sum();
            let pixel = self.camera.project(point.truncate().max(Vec3::new(f32::MIN, f32::MIN, 0.05)).as_dvec3());
            for axis in 0..2 {
                low[axis] = low[axis].min(pixel[axis]);
                high[axis] = high[axis].max(pixel[axis]);
            }
        }
        [low[0], low[1], high[0] - low[0], high[1] - low[1]]
    }
}

impl<'c> Scenes<'c> {
    /// Of everybody in a clip.
    pub fn new(cast: &'c Cast<'c>) -> Self {
        Self { cast, shapes: BTreeMap::new() }
    }

    /// The scene to draw for a frame.
    ///
    /// # Errors
    /// When the body does not fit its mesh.
    pub fn make(&mut self, index: u64, geometry: &Geometry, style: Style) -> Result<Scene, MeshError> {
        let cast = self.cast;
        let appearances: Vec<Appearance> = cast.appearances(index).collect();
        self.shapes.retain(|id, _| appearances.iter().any(|appearance| appearance.member.track.id == *id));
        for track in appearances.iter().map(|appearance| appearance.member.track) {
            if let Entry::Vacant(place) = self.shapes.entry(track.id) {
                place.insert(Shape::dressed(cast.mesh, &cast.body.shaped_vertices(&track.shape), CLOTHES)?);
            }
        }
        let people: Vec<render::Person> = appearances
            .iter()
            .map(|Appearance { member, fitted, joints }| {
                let id = member.track.id;
                let color = COLORS[(id.saturating_sub(1) as usize) % COLORS.len()];
                render::Person { shape: &self.shapes[&id], joints, confidence: &fitted.pose.confidence, color }
            })
            .collect();
        Scene::build(cast.mesh, &people, &cast.camera, geometry, style)
    }
}
