//! Which poses and which surface of the bodies are in a page.

use super::RATE;
use crate::export::{MeshInfo, Selection, Surface};
use crate::render::{Mesh, MeshData};

/// Most poses over all people: each is about 340 bytes.
const MOST_POSES: usize = 24_000;
/// With more people than that, their surface is coarser.
const MANY: usize = 16;
/// How far a coarse surface may be from the fine one, metres.
const COARSE: f32 = 0.005;

/// The poses that are in the page.
pub struct Keys {
    /// For each person some of their rows.
    pub rows: Vec<Vec<usize>>,
    /// One frame in so many.
    pub stride: usize,
}

/// The poses of the first `shown` seconds, at least one of everybody: those of every so many frames, and the first and last before and after somebody is away.
pub fn keys(selection: &Selection<'_>, shown: f64) -> Keys {
    let clip = selection.clip;
    let inside = |person: usize| {
        let rows = 0..selection.people[person].rows.len();
        rows.take_while(move |&row| clip.times[selection.frame_of(person, row)] < shown)
    };
    let people = 0..selection.people.len();
    let all: usize = people.clone().map(|person| inside(person).count()).sum();
    let by_rate = (clip.header.video.fps / RATE - 0.01).ceil().max(1.0) as usize;
    let stride = by_rate.max(all.div_ceil(MOST_POSES));
    let of = |person: usize| {
        let frames: Vec<usize> = inside(person).map(|row| selection.frame_of(person, row)).collect();
        let is_end = |row: usize| {
            let before = row.checked_sub(1).map(|row| frames[row] + 1);
            before != Some(frames[row]) || frames.get(row + 1) != Some(&(frames[row] + 1))
        };
        let rows: Vec<usize> =
            (0..frames.len()).filter(|&row| frames[row].is_multiple_of(stride) || is_end(row)).collect();
        // Who comes later is not seen, but programs want a pose of everybody.
        if rows.is_empty() { vec![0] } else { rows }
    };
    Keys { rows: people.map(of).collect(), stride }
}

/// The surface that all people have, with what tells its parts apart; nothing where the motion file's does not do for that.
pub fn surface(selection: &Selection<'_>) -> Option<Surface> {
    let header = &selection.clip.header;
    let person = selection.people.first()?;
    let data = MeshData {
        vertices: header.mesh.of_shape(&person.info.shape),
        faces: header.mesh.faces.iter().map(|face| face.map(u32::from)).collect(),
        skin_indices: header.mesh.skin_indices.iter().map(|joints| joints.map(u32::from)).collect(),
        skin_weights: header.mesh.skin_weights.iter().map(|weights| weights.map(|w| f32::from(w) / 255.0)).collect(),
        roles: person.rest.roles.clone(),
        parents: person.rest.parents.clone(),
    };
    let mesh = Mesh::new(data).ok()?;
    let surface = mesh.surface(if selection.people.len() > MANY { COARSE } else { 0.0 });
    Some(Surface {
        kept: surface.vertices.to_vec(),
        mesh: MeshInfo::new(surface.faces, surface.skin_indices, surface.skin_weights)?,
        tones: surface.tones.to_vec(),
    })
}
