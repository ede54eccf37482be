//! Geometry of a frame, on the requester's thread: skinning, projection to the coded raster, which triangles face the
//! camera, and the outline.
//!
//! This happens on the CPU because three things need every skinned vertex before anything is drawn: the exact rectangle
//! to draw, the list of faces towards the camera (half the work for a software renderer), and the outline. It costs less
//! than a millisecond a person and keeps the one render thread short.
//!
//! Antialiasing is geometric: the surface is moved half a pixel inwards along its normals, and a fringe one pixel
//! wide, whose coverage falls from one to zero, is put round every outline, also where a body hides another or itself.

use glam::{Affine3A, DAffine2, DMat2, Mat3A, Vec2, Vec3, Vec3A};
use thiserror::Error;

use super::Style;
use crate::body::Camera;
use crate::geometry::{Geometry, Rect};

/// Nearest distance that is drawn, in metres.
pub(super) const NEAR: f32 = 0.05;

/// Faces of a body and how its vertices follow its joints.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MeshData {
    /// Triangles as vertex indices, counter-clockwise seen from outside in axes where that gives outward normals by
    /// `(b - a) x (c - a)`.
    pub faces: Vec<[u32; 3]>,
    /// Up to four joints for each vertex.
    pub skin_indices: Vec<[u32; 4]>,
    /// Their weights; should sum to one (are normalised).
    pub skin_weights: Vec<[f32; 4]>,
}

/// A mesh or a person's data that does not fit together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MeshError {
    /// A face names a vertex that is not there.
    #[error(
        "the body's mesh is damaged: face {face} names a vertex beyond the {vertices} there are; build the models again"
    )]
    Face {
        /// Index of the face.
        face: usize,
        /// Number of vertices.
        vertices: usize,
    },
    /// Two lists that belong together have different lengths.
    #[error("the body's mesh is damaged: {what} has {found} entries, {expected} were expected; build the models again")]
    Length {
        /// Which list.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length it should have.
        expected: usize,
    },
}

/// An edge and the two faces it divides; a border edge names the same face twice.
struct Edge {
    ends: [u32; 2],
    faces: [u32; 2],
}

/// A checked mesh, shared by all people and jobs.
pub struct Mesh {
    data: MeshData,
    edges: Vec<Edge>,
    joints: usize,
}

impl Mesh {
    /// Checks the lists against each other and finds the edges.
    pub fn new(mut data: MeshData) -> Result<Self, MeshError> {
        let vertices = data.skin_indices.len();
        if data.skin_weights.len() != vertices {
            let found = data.skin_weights.len();
            return Err(MeshError::Length { what: "the list of skin weights", found, expected: vertices });
        }
        if let Some(face) = data.faces.iter().position(|f| f.iter().any(|&v| v as usize >= vertices)) {
            return Err(MeshError::Face { face, vertices });
        }
        for weights in &mut data.skin_weights {
            let sum: f32 = weights.iter().sum();
            if sum.is_finite() && sum > 0.0 {
                weights.iter_mut().for_each(|w| *w /= sum);
            } else {
                *weights = [1.0, 0.0, 0.0, 0.0];
            }
        }
        let joints = data.skin_indices.iter().flatten().max().map_or(0, |&j| j as usize + 1);
        let edges = edges(&data.faces);
        Ok(Self { data, edges, joints })
    }

    /// Number of vertices.
    pub fn vertices(&self) -> usize {
        self.data.skin_indices.len()
    }

    /// Number of triangles.
    pub fn faces(&self) -> usize {
        self.data.faces.len()
    }
}

fn edges(faces: &[[u32; 3]]) -> Vec<Edge> {
    let mut halves: Vec<([u32; 2], u32)> = Vec::with_capacity(faces.len() * 3);
    for (i, f) in faces.iter().enumerate() {
        for (a, b) in [(f[0], f[1]), (f[1], f[2]), (f[2], f[0])] {
            halves.push(([a.min(b), a.max(b)], i as u32));
        }
    }
    halves.sort_unstable();
    halves
        .chunk_by(|a, b| a.0 == b.0)
        .map(|same| Edge { ends: same[0].0, faces: [same[0].1, same[same.len() - 1].1] })
        .collect()
}

/// One person's body at rest: constant over a clip.
pub struct Shape {
    vertices: Vec<Vec3A>,
    normals: Vec<Vec3A>,
}

impl Shape {
    /// From rest-pose vertices in metres, camera axes.
    pub fn new(mesh: &Mesh, shaped_vertices: &[[f32; 3]]) -> Result<Self, MeshError> {
        let expected = mesh.vertices();
        if shaped_vertices.len() != expected {
            let found = shaped_vertices.len();
            return Err(MeshError::Length { what: "a person's list of vertices", found, expected });
        }
        let vertices: Vec<Vec3A> = shaped_vertices.iter().map(|&v| Vec3A::from(v)).collect();
        let mut normals = vec![Vec3A::ZERO; expected];
        for f in &mesh.data.faces {
            let [a, b, c] = f.map(|v| vertices[v as usize]);
            // Not normalised: larger faces weigh more.
            let n = (b - a).cross(c - a);
            f.iter().for_each(|&v| normals[v as usize] += n);
        }
        normals.iter_mut().for_each(|n| *n = n.normalize_or_zero());
        Ok(Self { vertices, normals })
    }

    /// The same body with a layer of this thickness (metres) round it.
    pub fn dressed(mut self, thickness: f32) -> Self {
        self.vertices.iter_mut().zip(&self.normals).for_each(|(v, n)| *v += *n * thickness);
        self
    }
}

/// One person in one frame.
#[derive(Clone, Copy)]
pub struct Person<'a> {
    /// The body at rest.
    pub shape: &'a Shape,
    /// Skinning matrices, row-major 3x4, rest -> camera space (metres).
    pub joints: &'a [[f32; 12]],
    /// How well each joint's segment was seen, 0..=1.
    pub confidence: &'a [f32],
    /// R'G'B' in 0..=1.
    pub color: [f32; 3],
}

/// What OpenGL is given for a vertex.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Vertex {
    /// Homogeneous coded pixel: `(x w, y w, w)` with `w` the distance in metres.
    pub place: [f32; 3],
    /// Unit normal and the confidence, times 32767.
    pub normal: [i16; 4],
    /// R'G'B' and coverage.
    pub color: [u8; 4],
}

/// Everything there is to draw in one frame.
#[derive(Default)]
pub struct Scene {
    pub(super) vertices: Vec<Vertex>,
    /// Triangles towards the camera.
    pub(super) solid: Vec<[u32; 3]>,
    /// Triangles of the outline's fringe.
    pub(super) fringe: Vec<[u32; 3]>,
    pub(super) rect: Rect,
    pub(super) style: Style,
    people: usize,
    faces: usize,
    body_vertices: usize,
}

/// Bounds while they grow, in coded pixels.
struct Bounds {
    low: Vec2,
    high: Vec2,
}

impl Scene {
    /// Bends, places and projects people. Entries of `joints` that are missing or not finite make that person invisible.
    pub fn build(
        mesh: &Mesh,
        people: &[Person<'_>],
        camera: &Camera,
        geometry: &Geometry,
        style: Style,
    ) -> Result<Self, MeshError> {
        let mut scene = Self { style, ..Self::default() };
        let mut bounds = Bounds { low: Vec2::INFINITY, high: Vec2::NEG_INFINITY };
        for person in people {
            for (what, found) in
                [("a person's list of joints", person.joints.len()), ("a person's confidence", person.confidence.len())]
            {
                if found < mesh.joints {
                    return Err(MeshError::Length { what, found, expected: mesh.joints });
                }
            }
            if person.shape.vertices.len() != mesh.vertices() {
                let found = person.shape.vertices.len();
                return Err(MeshError::Length { what: "a person's shape", found, expected: mesh.vertices() });
            }
            scene.add(mesh, person, camera, geometry, &mut bounds);
        }
        scene.rect = pixels(&bounds, geometry.coded);
        Ok(scene)
    }

    /// The rectangle of coded pixels that will be drawn; empty when nobody is in the picture.
    pub fn rect(&self) -> Rect {
        self.rect
    }

    /// `[people, vertices, faces]` of the bodies in the picture.
    pub fn counts(&self) -> [usize; 3] {
        [self.people, self.body_vertices, self.faces]
    }

    fn add(&mut self, mesh: &Mesh, person: &Person<'_>, camera: &Camera, geometry: &Geometry, bounds: &mut Bounds) {
        if person.joints.iter().flatten().any(|v| !v.is_finite()) {
            return;
        }
        let joints: Vec<(Affine3A, f32)> =
            person.joints.iter().map(affine).zip(person.confidence.iter().copied()).collect();
        let (to_coded, normal_to_coded) = projection(camera, geometry);
        let rgb = person.color.map(|c| (c.clamp(0.0, 1.0) * 255.0).round() as u8);
        let first = self.vertices.len() as u32;
        let mut behind = false;
        let mut before = false;
        let mut own = Bounds { low: Vec2::INFINITY, high: Vec2::NEG_INFINITY };
        for (v, (indices, weights)) in mesh.data.skin_indices.iter().zip(&mesh.data.skin_weights).enumerate() {
            let (point, normal, confidence) = skin(person.shape, v, indices, weights, &joints);
            let mut place = to_coded * point;
            if place.z > NEAR {
                before = true;
                // Half a coded pixel inwards where the surface turns away from the camera.
                let slant = normal.truncate().length();
                let outward = (normal_to_coded * normal.truncate()).normalize_or_zero();
                let shift = outward * (0.5 * slant * place.z);
                place.x -= shift.x;
                place.y -= shift.y;
                let pixel = Vec2::new(place.x, place.y) / place.z;
                own.low = own.low.min(pixel);
                own.high = own.high.max(pixel);
            } else {
                behind = true;
            }
            let n = (normal * 32767.0).to_array().map(|c| c as i16);
            let confidence = (confidence.clamp(0.0, 1.0) * 32767.0) as i16;
            self.vertices.push(Vertex {
                place: place.to_array(),
                normal: [n[0], n[1], n[2], confidence],
                color: [rgb[0], rgb[1], rgb[2], 255],
            });
        }
        let size = Vec2::new(geometry.coded[0] as f32, geometry.coded[1] as f32);
        if before && behind {
            // The image of a body that reaches behind the camera is unbounded.
            own = Bounds { low: Vec2::ZERO, high: size };
        }
        let outside = own.high.cmplt(Vec2::splat(-1.5)).any() || own.low.cmpgt(size + 0.5).any();
        if !before || outside {
            self.vertices.truncate(first as usize);
            return;
        }
        bounds.low = bounds.low.min(own.low);
        bounds.high = bounds.high.max(own.high);
        self.people += 1;
        self.body_vertices += mesh.vertices();
        self.faces += mesh.faces();

        let flip = to_coded.determinant() < 0.0;
        let front: Vec<bool> = mesh.data.faces.iter().map(|f| self.faces_camera(f.map(|v| first + v), flip)).collect();
        let facing = mesh.data.faces.iter().zip(&front).filter(|(_, front)| **front);
        self.solid.extend(facing.map(|(f, _)| f.map(|v| first + v)));
        self.add_fringe(mesh, &front, first, normal_to_coded);
    }

    /// The sign of the triple product of homogeneous points is that of the projected area, behind the camera too.
    fn faces_camera(&self, face: [u32; 3], flip: bool) -> bool {
        let [a, b, c] = face.map(|v| Vec3::from(self.vertices[v as usize].place));
        (a.dot((b - a).cross(c - a)) < 0.0) != flip
    }

    fn add_fringe(&mut self, mesh: &Mesh, front: &[bool], first: u32, normal_to_coded: glam::Mat2) {
        const NONE: u32 = u32::MAX;
        let mut outer = vec![NONE; mesh.vertices()];
        for edge in &mesh.edges {
            let [f, g] = edge.faces.map(|f| front[f as usize]);
            let border = edge.faces[0] == edge.faces[1];
            if !(f != g || border && f) {
                continue;
            }
            let [a, b] = edge.ends.map(|v| first + v);
            if [a, b].iter().any(|&v| self.vertices[v as usize].place[2] <= NEAR) {
                continue;
            }
            let [oa, ob] = edge.ends.map(|v| {
                let slot = &mut outer[v as usize];
                if *slot == NONE {
                    *slot = self.vertices.len() as u32;
                    let mut vertex = self.vertices[(first + v) as usize];
                    let normal = Vec2::new(f32::from(vertex.normal[0]), f32::from(vertex.normal[1]));
                    let shift = (normal_to_coded * normal).normalize_or_zero() * vertex.place[2];
                    vertex.place[0] += shift.x;
                    vertex.place[1] += shift.y;
                    vertex.color[3] = 0;
                    self.vertices.push(vertex);
                }
                *slot
            });
            self.fringe.extend([[a, b, ob], [a, ob, oa]]);
        }
    }
}

fn affine(m: &[f32; 12]) -> Affine3A {
    Affine3A {
        matrix3: Mat3A::from_cols(
            Vec3A::new(m[0], m[4], m[8]),
            Vec3A::new(m[1], m[5], m[9]),
            Vec3A::new(m[2], m[6], m[10]),
        ),
        translation: Vec3A::new(m[3], m[7], m[11]),
    }
}

/// Linear blend skinning of one vertex: place, unit normal, confidence.
fn skin(
    shape: &Shape,
    v: usize,
    indices: &[u32; 4],
    weights: &[f32; 4],
    joints: &[(Affine3A, f32)],
) -> (Vec3A, Vec3A, f32) {
    let mut point = Vec3A::ZERO;
    let mut normal = Vec3A::ZERO;
    let mut confidence = 0.0;
    for (&index, &weight) in indices.iter().zip(weights) {
        if weight == 0.0 {
            continue;
        }
        let (m, seen) = &joints[index as usize];
        point += m.transform_point3a(shape.vertices[v]) * weight;
        normal += m.matrix3 * shape.normals[v] * weight;
        confidence += seen * weight;
    }
    (point, normal.normalize_or_zero(), confidence)
}

/// Camera space -> homogeneous coded pixel, and image normals -> directions in coded pixels.
fn projection(camera: &Camera, geometry: &Geometry) -> (Mat3A, glam::Mat2) {
    let a: DAffine2 = geometry.to_coded;
    let focal = DMat2::from_diagonal(camera.focal.into());
    let linear = a.matrix2 * focal;
    let center = a.transform_point2(camera.center.into());
    let to_coded = Mat3A::from_cols(
        Vec3A::new(linear.x_axis.x as f32, linear.x_axis.y as f32, 0.0),
        Vec3A::new(linear.y_axis.x as f32, linear.y_axis.y as f32, 0.0),
        Vec3A::new(center.x as f32, center.y as f32, 1.0),
    );
    let inverse_transpose = linear.inverse().transpose();
    (to_coded, inverse_transpose.as_mat2())
}

/// The whole pixels that `bounds` and the fringe may touch, inside the picture.
fn pixels(bounds: &Bounds, coded: [u32; 2]) -> Rect {
    if bounds.low.cmpgt(bounds.high).any() {
        return Rect::default();
    }
    let size = Vec2::new(coded[0] as f32, coded[1] as f32);
    // One pixel of fringe and one against rounding.
    let low = (bounds.low - 2.0).floor().clamp(Vec2::ZERO, size).as_uvec2();
    let high = (bounds.high + 3.0).ceil().clamp(Vec2::ZERO, size).as_uvec2();
    if low.x >= high.x || low.y >= high.y {
        return Rect::default();
    }
    Rect { x: low.x, y: low.y, width: high.x - low.x, height: high.y - low.y }
}
