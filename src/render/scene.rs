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

use super::mesh::{Level, Mesh, MeshError, Shape, Surface};
use super::tone::Tone;
use super::{Sketch, Style};
use crate::body::{Bend, Camera};
use crate::geometry::{Geometry, Rect};

/// Nearest distance that is drawn, in metres.
pub(super) const NEAR: f32 = 0.05;
/// How far off a coarser surface may be, in coded pixels.
const TOLERANCE: f32 = 0.15;
/// One vertex of the coarsest surface in so many is enough to tell how near a body is.
const DISTANCE_STEP: usize = 16;

/// One person in one frame.
#[derive(Clone, Copy)]
pub struct Person<'a> {
    /// The body at rest.
    pub shape: &'a Shape,
    /// How the pose changes the body at rest before it follows the joints; for bodies with pose directions.
    pub bend: Option<&'a Bend<'a>>,
    /// Skinning matrices, row-major 3x4, rest -> camera space (metres).
    pub joints: &'a [[f32; 12]],
    /// How well each joint's segment was seen, 0..=1.
    pub confidence: &'a [f32],
    /// R'G'B' in 0..=1.
    pub color: [f32; 3],
}

/// What OpenGL is given for a vertex.
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct Vertex {
    /// Homogeneous coded pixel: `(x w, y w, w)` with `w` the distance in metres.
    pub place: [f32; 3],
    /// Unit normal and the confidence, times 32767.
    pub normal: [i16; 4],
    /// R'G'B' and coverage.
    pub color: [u8; 4],
    /// Times 127.
    pub tone: Tone,
}

/// Everything there is to draw in one frame.
pub struct Scene {
    pub(super) vertices: Vec<Vertex>,
    /// Triangles of what is drawn first, flat, without depth.
    pub(super) under: Vec<[u32; 3]>,
    /// Triangles towards the camera.
    pub(super) solid: Vec<[u32; 3]>,
    /// Triangles of the outline's fringe.
    pub(super) fringe: Vec<[u32; 3]>,
    /// Triangles of what is drawn last, flat, without depth.
    pub(super) over: Vec<[u32; 3]>,
    pub(super) style: Style,
    /// Width of a coded pixel at a distance of one metre, metres.
    pub(super) pixel_slope: f32,
    /// Of the bodies, 0..=1.
    pub(super) opacity: f32,
    bounds: Bounds,
    geometry: Geometry,
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
        let (to_coded, _) = projection(camera, geometry);
        let mut scene = Self { pixel_slope: 1.0 / pixels_per_slope(to_coded), ..Self::empty(geometry, style) };
        for person in people {
            for (what, found) in
                [("a person's list of joints", person.joints.len()), ("a person's confidence", person.confidence.len())]
            {
                if found < mesh.joints {
                    return Err(MeshError::Length { what, found, expected: mesh.joints });
                }
            }
            if !person.shape.is_of(mesh) {
                let found = person.shape.vertices();
                return Err(MeshError::Length { what: "a person's shape", found, expected: mesh.vertices() });
            }
            scene.add(mesh, person, camera, geometry);
        }
        Ok(scene)
    }

    /// Nobody.
    pub fn empty(geometry: &Geometry, style: Style) -> Self {
        Self {
            vertices: Vec::new(),
            under: Vec::new(),
            solid: Vec::new(),
            fringe: Vec::new(),
            over: Vec::new(),
            style,
            opacity: 1.0,
            pixel_slope: 1.0,
            bounds: Bounds { low: Vec2::INFINITY, high: Vec2::NEG_INFINITY },
            geometry: *geometry,
            people: 0,
            faces: 0,
            body_vertices: 0,
        }
    }

    /// With bodies of this opacity, 0..=1.
    #[must_use]
    pub fn with_opacity(self, opacity: f32) -> Self {
        Self { opacity: if opacity.is_finite() { opacity.clamp(0.0, 1.0) } else { 1.0 }, ..self }
    }

    /// With a flat drawing behind all bodies.
    #[must_use]
    pub fn with_under(mut self, sketch: &Sketch) -> Self {
        let triangles = self.add_sketch(sketch);
        self.under.extend(triangles);
        self
    }

    /// With a flat drawing over all bodies.
    #[must_use]
    pub fn with_over(mut self, sketch: &Sketch) -> Self {
        let triangles = self.add_sketch(sketch);
        self.over.extend(triangles);
        self
    }

    fn add_sketch(&mut self, sketch: &Sketch) -> Vec<[u32; 3]> {
        let (vertices, triangles) = sketch.coded(&self.geometry, self.vertices.len() as u32);
        for vertex in &vertices {
            let at = Vec2::new(vertex.place[0], vertex.place[1]);
            self.bounds.low = self.bounds.low.min(at);
            self.bounds.high = self.bounds.high.max(at);
        }
        self.vertices.extend(vertices);
        triangles
    }

    /// The rectangle of coded pixels that will be drawn; empty when nobody is in the picture.
    pub fn rect(&self) -> Rect {
        pixels(&self.bounds, self.geometry.coded)
    }

    /// `[people, vertices, faces]` of the bodies in the picture.
    pub fn counts(&self) -> [usize; 3] {
        [self.people, self.body_vertices, self.faces]
    }

    fn add(&mut self, mesh: &Mesh, person: &Person<'_>, camera: &Camera, geometry: &Geometry) {
        if person.joints.iter().flatten().any(|v| !v.is_finite()) {
            return;
        }
        let joints: Vec<(Affine3A, f32)> =
            person.joints.iter().map(affine).zip(person.confidence.iter().copied()).collect();
        let (to_coded, normal_to_coded) = projection(camera, geometry);
        let rgb = person.color.map(|c| (c.clamp(0.0, 1.0) * 255.0).round() as u8);
        let (index, level) = mesh.level(tolerance(mesh, person, &joints, to_coded));
        let bent = person.bend.map(|bend| person.shape.level(index).bent(level, bend));
        let surface = bent.as_ref().unwrap_or_else(|| person.shape.level(index));
        let first = self.vertices.len() as u32;
        let mut behind = false;
        let mut before = false;
        let mut own = Bounds { low: Vec2::INFINITY, high: Vec2::NEG_INFINITY };
        for (v, (indices, weights)) in level.skin_indices.iter().zip(&level.skin_weights).enumerate() {
            let (point, normal, confidence) = skin(surface, v, indices, weights, &joints);
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
                tone: level.tones[v],
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
        self.bounds.low = self.bounds.low.min(own.low);
        self.bounds.high = self.bounds.high.max(own.high);
        self.people += 1;
        self.body_vertices += level.skin_indices.len();
        self.faces += level.faces.len();

        let flip = to_coded.determinant() < 0.0;
        let front: Vec<bool> = level.faces.iter().map(|f| self.faces_camera(f.map(|v| first + v), flip)).collect();
        let facing = level.faces.iter().zip(&front).filter(|(_, front)| **front);
        self.solid.extend(facing.map(|(f, _)| f.map(|v| first + v)));
        self.add_fringe(level, &front, first, normal_to_coded);
    }

    /// The sign of the triple product of homogeneous points is that of the projected area, behind the camera too.
    fn faces_camera(&self, face: [u32; 3], flip: bool) -> bool {
        let [a, b, c] = face.map(|v| Vec3::from(self.vertices[v as usize].place));
        (a.dot((b - a).cross(c - a)) < 0.0) != flip
    }

    fn add_fringe(&mut self, level: &Level, front: &[bool], first: u32, normal_to_coded: glam::Mat2) {
        const NONE: u32 = u32::MAX;
        let mut outer = vec![NONE; level.skin_indices.len()];
        for edge in &level.edges {
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

/// How far (metres) a person's surface may be from the body's so that nobody sees it.
fn tolerance(mesh: &Mesh, person: &Person<'_>, joints: &[(Affine3A, f32)], to_coded: Mat3A) -> f32 {
    let (index, level) = mesh.level(f32::INFINITY);
    let surface = person.shape.level(index);
    let skinned = level.skin_indices.iter().zip(&level.skin_weights).enumerate().step_by(DISTANCE_STEP);
    let distances = skinned.map(|(v, (indices, weights))| skin(surface, v, indices, weights, joints).0.z);
    TOLERANCE * distances.fold(f32::INFINITY, f32::min).max(0.0) / pixels_per_slope(to_coded)
}

/// Coded pixels that are between two points one metre apart at a distance of one metre.
fn pixels_per_slope(to_coded: Mat3A) -> f32 {
    to_coded.x_axis.length().max(to_coded.y_axis.length())
}

/// Linear blend skinning of one vertex: place, unit normal, confidence.
fn skin(
    surface: &Surface,
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
        point += m.transform_point3a(surface.vertices[v]) * weight;
        normal += m.matrix3 * surface.normals[v] * weight;
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
