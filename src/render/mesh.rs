//! A body's surface in levels of detail, and the bodies of people made of it.
//!
//! Far from the camera a triangle is smaller than a pixel, and a software renderer takes as long over it as over a large one. Levels
//! are made by edge collapse under a quadric error bound (Garland and Heckbert, 1997), as meshoptimizer does it: each is a part of the
//! body's vertices, so that all of them are skinned alike.

use glam::Vec3A;
use meshopt::{SimplifyOptions, simplify_decoder};
use thiserror::Error;

use super::tone::{Tone, tones};
use crate::body::{Bend, Body, Role};

/// How far from the body's surface, metres, each coarser level may be.
const ERRORS: [f32; 3] = [0.0005, 0.0015, 0.005];
/// A mesh of fewer triangles has one level.
const LEAST_FACES: usize = 1000;

/// Faces of a body and how its vertices follow its joints.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MeshData {
    /// At rest, metres: what errors of levels are measured on.
    pub vertices: Vec<[f32; 3]>,
    /// Triangles as vertex indices, counter-clockwise seen from outside in axes where that gives outward normals by
    /// `(b - a) x (c - a)`.
    pub faces: Vec<[u32; 3]>,
    /// Up to four joints for each vertex.
    pub skin_indices: Vec<[u32; 4]>,
    /// Their weights; should sum to one (are normalised).
    pub skin_weights: Vec<[f32; 4]>,
    /// What each joint is. Without them the body has one tone all over.
    pub roles: Vec<Role>,
    /// Parent of each joint, before it in the list; none for the root.
    pub parents: Vec<Option<usize>>,
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
pub(super) struct Edge {
    pub ends: [u32; 2],
    pub faces: [u32; 2],
}

impl From<&Body> for MeshData {
    fn from(body: &Body) -> Self {
        Self {
            vertices: body.vertices.clone(),
            faces: body.faces.clone(),
            skin_indices: body.skin_indices.clone(),
            skin_weights: body.skin_weights.clone(),
            roles: body.roles.clone(),
            parents: body.parents.clone(),
        }
    }
}

/// A checked mesh, shared by all people and jobs.
pub struct Mesh {
    /// The finest first, which is the body's own.
    levels: Vec<Level>,
    pub(super) joints: usize,
}

/// A surface of some of the body's vertices, as others see it.
#[derive(Debug, Clone, Copy)]
pub struct PartialSurface<'a> {
    /// Which of the body's vertices, in rising order.
    pub vertices: &'a [u32],
    /// Triangles as indices into these.
    pub faces: &'a [[u32; 3]],
    /// Four joints a vertex.
    pub skin_indices: &'a [[u32; 4]],
    /// Their weights, summing to one.
    pub skin_weights: &'a [[f32; 4]],
    /// What tells the parts of the body apart, four numbers a vertex of -127 to 127 (`tone.rs`).
    pub tones: &'a [[i8; 4]],
}

/// A surface of some of the body's vertices.
pub(super) struct Level {
    /// Which of the body's, in rising order.
    vertices: Vec<u32>,
    /// How far it is from the body's surface, metres.
    error: f32,
    pub faces: Vec<[u32; 3]>,
    pub edges: Vec<Edge>,
    pub skin_indices: Vec<[u32; 4]>,
    pub skin_weights: Vec<[f32; 4]>,
    pub tones: Vec<Tone>,
}

impl Mesh {
    /// Checks the lists against each other, finds the edges and makes the levels of detail.
    ///
    /// # Errors
    /// When the lists do not fit together.
    pub fn new(mut data: MeshData) -> Result<Self, MeshError> {
        let expected = data.skin_indices.len();
        for (what, found) in
            [("the list of skin weights", data.skin_weights.len()), ("the list of vertices", data.vertices.len())]
        {
            if found != expected {
                return Err(MeshError::Length { what, found, expected });
            }
        }
        if let Some(face) = data.faces.iter().position(|f| f.iter().any(|&v| v as usize >= expected)) {
            return Err(MeshError::Face { face, vertices: expected });
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
        let tones = tones(&data);
        let mut levels = vec![Level::new(&data, &tones, &data.faces, 0.0)];
        let is_finite = data.vertices.iter().flatten().all(|v| v.is_finite());
        if is_finite && data.faces.len() >= LEAST_FACES {
            let indices = data.faces.as_flattened();
            levels.extend(ERRORS.into_iter().map(|error| {
                let options = SimplifyOptions::ErrorAbsolute;
                let kept = simplify_decoder(indices, &data.vertices, 0, error, options, None);
                Level::new(&data, &tones, kept.as_chunks().0, error)
            }));
        }
        Ok(Self { levels, joints })
    }

    /// Number of vertices of the body.
    pub fn vertices(&self) -> usize {
        self.levels[0].vertices.len()
    }

    /// Number of triangles of the body.
    pub fn faces(&self) -> usize {
        self.levels[0].faces.len()
    }

    /// The coarsest surface that is nowhere further from the body than `tolerance` (metres).
    pub fn surface(&self, tolerance: f32) -> PartialSurface<'_> {
        let Level { vertices, faces, skin_indices, skin_weights, tones, .. } = self.level(tolerance).1;
        PartialSurface { vertices, faces, skin_indices, skin_weights, tones }
    }

    /// The coarsest level that is nowhere further from the body than `tolerance` (metres), and which it is.
    pub(super) fn level(&self, tolerance: f32) -> (usize, &Level) {
        let fine = self.levels.iter().rposition(|level| level.error <= tolerance).unwrap_or(0);
        (fine, &self.levels[fine])
    }
}

impl Level {
    fn new(data: &MeshData, tones: &[Tone], faces: &[[u32; 3]], error: f32) -> Self {
        let is_body = error == 0.0;
        let mut is_used = vec![is_body; data.vertices.len()];
        faces.iter().flatten().for_each(|&v| is_used[v as usize] = true);
        let vertices: Vec<u32> = (0..is_used.len() as u32).filter(|&v| is_used[v as usize]).collect();
        let mut index = vec![0; is_used.len()];
        vertices.iter().zip(0..).for_each(|(&v, i)| index[v as usize] = i);
        let faces: Vec<[u32; 3]> = faces.iter().map(|face| face.map(|v| index[v as usize])).collect();
        Self {
            error,
            edges: edges(&faces),
            faces,
            skin_indices: vertices.iter().map(|&v| data.skin_indices[v as usize]).collect(),
            skin_weights: vertices.iter().map(|&v| data.skin_weights[v as usize]).collect(),
            tones: vertices.iter().map(|&v| tones[v as usize]).collect(),
            vertices,
        }
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
    /// As many as the mesh has.
    levels: Vec<Surface>,
}

/// Unit normals of vertices.
fn normals(vertices: &[Vec3A], faces: &[[u32; 3]]) -> Vec<Vec3A> {
    let mut normals = vec![Vec3A::ZERO; vertices.len()];
    for f in faces {
        let [a, b, c] = f.map(|v| vertices[v as usize]);
        // Not normalised: larger faces weigh more.
        let n = (b - a).cross(c - a);
        f.iter().for_each(|&v| normals[v as usize] += n);
    }
    normals.iter_mut().for_each(|n| *n = n.normalize_or_zero());
    normals
}

/// A level of a shape.
pub(super) struct Surface {
    pub vertices: Vec<Vec3A>,
    pub normals: Vec<Vec3A>,
}

impl Surface {
    /// As a pose changes it before it follows the joints; `level` is its level.
    pub(super) fn bent(&self, level: &Level, bend: &Bend<'_>) -> Self {
        let moved = |(at, &v): (&Vec3A, &u32)| *at + bend.of(v as usize);
        let vertices: Vec<Vec3A> = self.vertices.iter().zip(&level.vertices).map(moved).collect();
        Self { normals: normals(&vertices, &level.faces), vertices }
    }
}

impl Shape {
    /// From rest-pose vertices in metres, camera axes.
    ///
    /// # Errors
    /// When the mesh has not as many.
    pub fn new(mesh: &Mesh, shaped_vertices: &[[f32; 3]]) -> Result<Self, MeshError> {
        Self::dressed(mesh, shaped_vertices, 0.0)
    }

    /// The same body with a layer of this thickness (metres) round it.
    ///
    /// # Errors
    /// When the mesh has not as many vertices.
    pub fn dressed(mesh: &Mesh, shaped_vertices: &[[f32; 3]], thickness: f32) -> Result<Self, MeshError> {
        let expected = mesh.vertices();
        if shaped_vertices.len() != expected {
            let found = shaped_vertices.len();
            return Err(MeshError::Length { what: "a person's list of vertices", found, expected });
        }
        let mut vertices: Vec<Vec3A> = shaped_vertices.iter().map(|&v| Vec3A::from(v)).collect();
        let normals = normals(&vertices, &mesh.levels[0].faces);
        vertices.iter_mut().zip(&normals).for_each(|(v, n)| *v += *n * thickness);
        let part = |of: &[Vec3A], level: &Level| level.vertices.iter().map(|&v| of[v as usize]).collect();
        let surface = |level: &Level| Surface { vertices: part(&vertices, level), normals: part(&normals, level) };
        Ok(Self { levels: mesh.levels.iter().map(surface).collect() })
    }

    /// Whether it was made of this mesh: then it has its levels.
    pub(super) fn is_of(&self, mesh: &Mesh) -> bool {
        let counts = self.levels.iter().map(|surface| surface.vertices.len());
        counts.eq(mesh.levels.iter().map(|level| level.vertices.len()))
    }

    /// The level of this index in the mesh.
    pub(super) fn level(&self, index: usize) -> &Surface {
        &self.levels[index]
    }

    pub(super) fn vertices(&self) -> usize {
        self.levels[0].vertices.len()
    }
}
