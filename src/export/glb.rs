//! glTF 2.0 in one file (`.glb`): everybody's body and motion, and the camera.
//!
//! Y up, right-handed, metres, facing +z. All people are in one animation: of several, programs play the first and leave the others at rest. A
//! person who is not seen has scale 0, by a STEP channel. Nothing is measured between frames, so that programs mix neighbouring ones (LINEAR).
//! Format: Khronos Group, *glTF 2.0 Specification*.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Write};

use glam::{DQuat, DVec3, Vec3};
use serde_json::{Value, json};

use super::error::ExportError;
use super::header::{MeshInfo, PersonInfo};
use super::names::joint_names;
use super::output::{Output, Strip};
use super::selection::Selection;
use super::{Options, blender};
use crate::body::UPRIGHT_CAMERA;

const FLOAT: u32 = 5126;
const UNSIGNED_SHORT: u32 = 5123;
const UNSIGNED_BYTE: u32 = 5121;
const BYTE: u32 = 5120;
const VERTEX_DATA: u32 = 34962;
const INDEX_DATA: u32 = 34963;
/// Most joints of all people: their names and places are put together in memory, some kilobytes each.
const MOST_JOINTS: usize = 400_000;
/// Chunks of a file: its structure, and its numbers.
const JSON_CHUNK: u32 = 0x4E4F_534A;
const BINARY_CHUNK: u32 = 0x004E_4942;
/// The name of the file's form.
const MAGIC: u32 = 0x4654_6C67;

/// How much of the motion is written.
pub struct Detail<'d> {
    /// Another surface than the motion file's.
    pub surface: Option<&'d Surface>,
    /// For each person of the selection the rows that are written, in order; without it all of them.
    pub rows: Option<&'d [Vec<usize>]>,
}

/// A surface of some of the vertices of a motion file.
pub struct Surface {
    /// Which of them, in rising order.
    pub kept: Vec<u32>,
    /// Its faces, and how they follow the joints.
    pub mesh: MeshInfo,
    /// Four numbers a vertex that tell the parts of the body apart: the attribute `_TONE`.
    pub tones: Vec<[i8; 4]>,
}

impl Detail<'_> {
    /// Everything.
    const FULL: Self = Self { surface: None, rows: None };

    fn mesh<'m>(&'m self, selection: &'m Selection<'_>) -> &'m MeshInfo {
        self.surface.map_or(&selection.clip.header.mesh, |surface| &surface.mesh)
    }

    /// Those of the person's vertices that are written.
    fn pick(&self, all: Vec<Vec3>) -> Vec<Vec3> {
        match self.surface {
            Some(surface) => surface.kept.iter().map(|&v| all[v as usize]).collect(),
            None => all,
        }
    }

    fn rows<'r>(&'r self, selection: &Selection<'_>, person: usize) -> Cow<'r, [usize]> {
        match self.rows {
            Some(rows) => Cow::Borrowed(&rows[person]),
            None => Cow::Owned((0..selection.people[person].rows.len()).collect()),
        }
    }
}

/// Where numbers lie in the binary chunk.
#[derive(Default)]
struct Layout {
    views: Vec<Value>,
    accessors: Vec<Value>,
    bytes: u64,
}

impl Layout {
    /// Room for numbers; gives the index of their accessor and where they begin.
    fn add(&mut self, count: usize, kind: &str, component: u32, bytes: usize, target: Option<u32>) -> (usize, u64) {
        let at = self.bytes;
        let length = (count * bytes) as u64;
        let mut view = json!({ "buffer": 0, "byteOffset": at, "byteLength": length });
        if let Some(target) = target {
            view["target"] = target.into();
        }
        self.views.push(view);
        let view = self.views.len() - 1;
        self.accessors.push(json!({ "bufferView": view, "componentType": component, "count": count, "type": kind }));
        self.bytes += length.next_multiple_of(4);
        (self.accessors.len() - 1, at)
    }
}

/// Where the numbers of one person go.
struct Places {
    positions: u64,
    normals: u64,
    binds: u64,
    times: u64,
    /// The times themselves, seconds.
    seconds: Vec<f32>,
    roots: u64,
    rotations: Vec<u64>,
    /// Times and values of being seen; none where they are always.
    seen: Option<(u64, u64)>,
    switches: Vec<(f32, f32)>,
}

/// Writes `NAME.glb` and `NAME.blender.py`.
pub fn write(selection: &Selection<'_>, options: &Options, output: &mut Output<'_>) -> Result<(), ExportError> {
    write_detail(selection, options, &Detail::FULL, output)?;
    blender::write(selection, output)
}

/// Writes `NAME.glb`.
pub fn write_detail(
    selection: &Selection<'_>,
    options: &Options,
    detail: &Detail<'_>,
    output: &mut Output<'_>,
) -> Result<(), ExportError> {
    let people = selection.people.len();
    if people.saturating_mul(selection.clip.header.body.joints.len()) > MOST_JOINTS {
        return Err(ExportError::TooLarge {
            format: "glb",
            what: format!("{people} people"),
            instead: "export fewer at a time with --person",
        });
    }
    let mut layout = Layout::default();
    let mut document = Document::new(selection, options, detail);
    let shared = document.shared(&mut layout);
    let large = || ExportError::TooLarge {
        format: "glb",
        what: "more than 4 GB".into(),
        instead: "export fewer people at a time with --person",
    };
    // Before anything is worked out: positions and normals.
    let surfaces = (people as u64).saturating_mul(24 * detail.mesh(selection).vertices as u64);
    if surfaces > u64::from(u32::MAX) {
        return Err(large());
    }
    let mut places = Vec::new();
    for person in 0..people {
        output.proceed()?;
        places.push(document.person(person, &shared, &mut layout));
    }
    if layout.bytes + (1 << 26) > u64::from(u32::MAX) {
        return Err(large());
    }
    let text = document.finish(&layout)?;
    output.file("glb", |output, out| {
        let start = begin(out, &text, layout.bytes)?;
        out.flush()?;
        let file = out.get_ref().try_clone()?;
        file.set_len(start + layout.bytes)?;
        if !places.is_empty() {
            shared.fill(detail.mesh(selection), detail, &file, start)?;
        }
        for (person, places) in places.iter().enumerate() {
            places.fill(selection, detail, person, &file, start, output)?;
        }
        Ok(())
    })
}

/// Writes all but the numbers, and gives the byte at which they begin.
fn begin(out: &mut BufWriter<File>, text: &[u8], bytes: u64) -> Result<u64, ExportError> {
    let padded = text.len().next_multiple_of(4);
    // An empty chunk of numbers is left out.
    let numbers = if bytes > 0 { 8 + bytes } else { 0 };
    let total = 12 + 8 + padded as u64 + numbers;
    for number in [MAGIC, 2, total as u32, padded as u32, JSON_CHUNK] {
        out.write_all(&number.to_le_bytes())?;
    }
    out.write_all(text)?;
    out.write_all(&b"   "[..padded - text.len()])?;
    if bytes > 0 {
        out.write_all(&(bytes as u32).to_le_bytes())?;
        out.write_all(&BINARY_CHUNK.to_le_bytes())?;
    }
    Ok(total - bytes)
}

/// What all people share: faces and how vertices follow joints.
struct Shared {
    faces: (usize, u64),
    joints: (usize, u64),
    weights: (usize, u64),
    tones: Option<(usize, u64)>,
}

impl Shared {
    fn fill(&self, mesh: &MeshInfo, detail: &Detail<'_>, file: &File, start: u64) -> Result<(), ExportError> {
        use std::os::unix::fs::FileExt;
        // A triangle is counter-clockwise from outside: in camera axes the same way as in these, which are turned, not mirrored.
        let faces: Vec<u8> = mesh.faces.as_flattened().iter().flat_map(|index| index.to_le_bytes()).collect();
        file.write_all_at(&faces, start + self.faces.1)?;
        // The format wants joint 0 where there is no weight.
        let of = |(indices, weights): (&[u8; 4], &[u8; 4])| -> [u8; 4] {
            std::array::from_fn(|i| if weights[i] == 0 { 0 } else { indices[i] })
        };
        let joints: Vec<[u8; 4]> = mesh.skin_indices.iter().zip(&mesh.skin_weights).map(of).collect();
        file.write_all_at(joints.as_flattened(), start + self.joints.1)?;
        file.write_all_at(mesh.skin_weights.as_flattened(), start + self.weights.1)?;
        if let (Some((_, at)), Some(surface)) = (self.tones, detail.surface) {
            file.write_all_at(bytemuck::cast_slice(&surface.tones), start + at)?;
        }
        Ok(())
    }
}

/// The structure while it grows.
struct Document<'s, 'a> {
    selection: &'s Selection<'a>,
    detail: &'s Detail<'s>,
    /// Time of each frame, seconds.
    times: Vec<f32>,
    names: Vec<String>,
    nodes: Vec<Value>,
    roots: Vec<usize>,
    skins: Vec<Value>,
    meshes: Vec<Value>,
    materials: Vec<Value>,
    channels: Vec<Value>,
    samplers: Vec<Value>,
}

impl<'s, 'a> Document<'s, 'a> {
    fn new(selection: &'s Selection<'a>, options: &Options, detail: &'s Detail<'s>) -> Self {
        let names = joint_names(selection, options.names);
        let axes = &selection.axes;
        let camera = json!({
            "name": "camera",
            "camera": 0,
            "translation": array(axes.offset),
            "rotation": quaternion(axes.tilt),
        });
        Self {
            selection,
            detail,
            times: rising(&selection.clip.times),
            names,
            nodes: vec![camera],
            roots: vec![0],
            skins: Vec::new(),
            meshes: Vec::new(),
            materials: Vec::new(),
            channels: Vec::new(),
            samplers: Vec::new(),
        }
    }

    fn shared(&mut self, layout: &mut Layout) -> Shared {
        let mesh = self.detail.mesh(self.selection);
        if self.selection.people.is_empty() {
            return Shared { faces: (0, 0), joints: (0, 0), weights: (0, 0), tones: None };
        }
        Shared {
            faces: layout.add(mesh.faces.len() * 3, "SCALAR", UNSIGNED_SHORT, 2, Some(INDEX_DATA)),
            joints: layout.add(mesh.vertices, "VEC4", UNSIGNED_BYTE, 4, Some(VERTEX_DATA)),
            weights: {
                let weights = layout.add(mesh.vertices, "VEC4", UNSIGNED_BYTE, 4, Some(VERTEX_DATA));
                layout.accessors[weights.0]["normalized"] = true.into();
                weights
            },
            tones: self.detail.surface.map(|_| {
                let tones = layout.add(mesh.vertices, "VEC4", BYTE, 4, Some(VERTEX_DATA));
                layout.accessors[tones.0]["normalized"] = true.into();
                tones
            }),
        }
    }

    /// Adds a person: nodes, mesh, skin and channels.
    fn person(&mut self, index: usize, shared: &Shared, layout: &mut Layout) -> Places {
        let person = &self.selection.people[index];
        let (id, mesh) = (person.info.id, self.detail.mesh(self.selection));
        let joints = person.rest.joints.len();
        let is_alone = self.selection.people.len() == 1;
        let (low, high) = bounds(&self.detail.pick(vertices(self.selection, person.info)));

        let positions = layout.add(mesh.vertices, "VEC3", FLOAT, 12, Some(VERTEX_DATA));
        layout.accessors[positions.0]["min"] = json!(low.to_array());
        layout.accessors[positions.0]["max"] = json!(high.to_array());
        let normals = layout.add(mesh.vertices, "VEC3", FLOAT, 12, Some(VERTEX_DATA));
        let binds = layout.add(joints, "MAT4", FLOAT, 64, None);

        let node = self.nodes.len();
        let children = |parent: usize| -> Vec<usize> {
            (0..joints).filter(|&j| person.rest.parents[j] == Some(parent)).map(|j| node + 1 + j).collect()
        };
        self.nodes.push(json!({ "name": format!("person_{id}"), "children": [node + 1] }));
        for j in 0..joints {
            let at = person.rest.joints[j] - person.rest.parents[j].map_or(DVec3::ZERO, |p| person.rest.joints[p]);
            let name = if is_alone { self.names[j].clone() } else { format!("p{id}_{}", self.names[j]) };
            let mut joint = json!({ "name": name, "translation": array(at), "rotation": [0.0, 0.0, 0.0, 1.0] });
            let below = children(j);
            if !below.is_empty() {
                joint["children"] = json!(below);
            }
            self.nodes.push(joint);
        }
        self.roots.push(node);
        let body = self.nodes.len();
        self.nodes.push(json!({ "name": format!("body_{id}"), "mesh": index, "skin": index }));
        self.roots.push(body);
        self.skins.push(json!({
            "name": format!("person_{id}"),
            "joints": (node + 1..node + 1 + joints).collect::<Vec<_>>(),
            "skeleton": node + 1,
            "inverseBindMatrices": binds.0,
        }));
        self.materials.push(json!({
            "name": format!("person_{id}"),
            "pbrMetallicRoughness": {
                // Colours are linear here; 2.2 stands for the screen's curve.
                "baseColorFactor": [person.info.color[0].powf(2.2), person.info.color[1].powf(2.2), person.info.color[2].powf(2.2), 1.0],
                "metallicFactor": 0.0,
                "roughnessFactor": 0.8,
            },
        }));
        let mut attributes = json!({ "POSITION": positions.0, "NORMAL": normals.0, "JOINTS_0": shared.joints.0, "WEIGHTS_0": shared.weights.0 });
        if let Some((tones, _)) = shared.tones {
            attributes["_TONE"] = tones.into();
        }
        self.meshes.push(json!({
            "name": format!("body_{id}"),
            "primitives": [{
                "attributes": attributes,
                "indices": shared.faces.0,
                "material": index,
            }],
        }));
        let rows = self.detail.rows(self.selection, index);
        let frames = rows.len();
        let times = layout.add(frames, "SCALAR", FLOAT, 4, None);
        let seconds: Vec<f32> = rows.iter().map(|&row| self.times[self.selection.frame_of(index, row)]).collect();
        if frames > 0 {
            layout.accessors[times.0]["min"] = json!([seconds[0]]);
            layout.accessors[times.0]["max"] = json!([seconds[frames - 1]]);
        }
        let roots = layout.add(frames, "VEC3", FLOAT, 12, None);
        self.channel(node + 1, "translation", times.0, roots.0, "LINEAR");
        let mut rotations = Vec::with_capacity(joints);
        for j in 0..joints {
            let rotation = layout.add(frames, "VEC4", FLOAT, 16, None);
            self.channel(node + 1 + j, "rotation", times.0, rotation.0, "LINEAR");
            rotations.push(rotation.1);
        }
        let switches = self.switches(index);
        let seen = (switches.len() > 1).then(|| {
            let times = layout.add(switches.len(), "SCALAR", FLOAT, 4, None);
            layout.accessors[times.0]["min"] = json!([switches[0].0]);
            layout.accessors[times.0]["max"] = json!([switches[switches.len() - 1].0]);
            let scales = layout.add(switches.len(), "VEC3", FLOAT, 12, None);
            self.channel(node, "scale", times.0, scales.0, "STEP");
            (times.1, scales.1)
        });
        Places {
            positions: positions.1,
            normals: normals.1,
            binds: binds.1,
            times: times.1,
            seconds,
            roots: roots.1,
            rotations,
            seen,
            switches,
        }
    }

    fn channel(&mut self, node: usize, path: &str, input: usize, output: usize, interpolation: &str) {
        self.samplers.push(json!({ "input": input, "output": output, "interpolation": interpolation }));
        let sampler = self.samplers.len() - 1;
        self.channels.push(json!({ "sampler": sampler, "target": { "node": node, "path": path } }));
    }

    /// When a person comes (1) and goes (0), seconds.
    fn switches(&self, person: usize) -> Vec<(f32, f32)> {
        let times = &self.times;
        let frames = (0..self.selection.people[person].rows.len()).map(|row| self.selection.frame_of(person, row));
        let mut switches: Vec<(f32, f32)> = Vec::new();
        let mut expected = 0;
        for frame in frames {
            if frame != expected {
                switches.push((times[expected], 0.0));
            }
            if frame != expected || switches.is_empty() {
                switches.push((times[frame], 1.0));
            }
            expected = frame + 1;
        }
        if expected < times.len() {
            switches.push((times[expected], 0.0));
        }
        switches
    }

    fn finish(self, layout: &Layout) -> Result<Vec<u8>, ExportError> {
        let selection = self.selection;
        let header = &selection.clip.header;
        let (video, camera, axes) = (&header.video, &header.camera, &selection.axes);
        let mut document = json!({
            "asset": {
                "version": "2.0",
                "copyright": format!("body {}: {}", header.body.name, header.body.licence),
                "generator": concat!("meshreel ", env!("CARGO_PKG_VERSION")),
                "extras": {
                    "video": video.path,
                    "fps": video.fps,
                    "frame": axes.frame_name(),
                    "up_source": axes.source_name(),
                    "up_sigma_deg": axes.world.sigma_deg,
                    "camera_above_floor": axes.world.floor,
                    "body": header.body.name,
                    "body_licence": header.body.licence,
                },
            },
            "scene": 0,
            "scenes": [{ "nodes": self.roots }],
            "nodes": self.nodes,
            "cameras": [{
                "type": "perspective",
                "perspective": {
                    "yfov": 2.0 * (f64::from(video.height) / 2.0 / camera.fy).atan(),
                    "aspectRatio": (f64::from(video.width) / camera.fx) / (f64::from(video.height) / camera.fy),
                    "znear": 0.05,
                    "zfar": 1000.0,
                },
            }],
        });
        if !selection.people.is_empty() {
            document["meshes"] = self.meshes.into();
            document["skins"] = self.skins.into();
            document["materials"] = self.materials.into();
            document["animations"] =
                json!([{ "name": "motion", "channels": self.channels, "samplers": self.samplers }]);
            document["accessors"] = json!(layout.accessors);
            document["bufferViews"] = json!(layout.views);
            document["buffers"] = json!([{ "byteLength": layout.bytes }]);
        }
        serde_json::to_vec(&document).map_err(|error| ExportError::from(std::io::Error::other(error)))
    }
}

impl Places {
    fn fill(
        &self,
        selection: &Selection<'_>,
        detail: &Detail<'_>,
        index: usize,
        file: &File,
        start: u64,
        output: &Output<'_>,
    ) -> Result<(), ExportError> {
        let strip = |at: u64| Strip::new(file, start + at);
        let person = &selection.people[index];
        let vertices = vertices(selection, person.info);
        let normals = normals(&vertices, &selection.clip.header.mesh.faces);
        strip(self.positions)?.all(detail.pick(vertices).iter().flat_map(|v| v.to_array()))?;
        strip(self.normals)?.all(detail.pick(normals).iter().flat_map(|v| v.to_array()))?;
        let bind = |joint: &DVec3| {
            let [x, y, z] = (-*joint).as_vec3().to_array();
            [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, x, y, z, 1.0]
        };
        strip(self.binds)?.all(person.rest.joints.iter().flat_map(bind))?;
        if let Some((times, scales)) = self.seen {
            strip(times)?.all(self.switches.iter().map(|(time, _)| *time))?;
            strip(scales)?.all(self.switches.iter().flat_map(|(_, scale)| [*scale; 3]))?;
        }
        strip(self.times)?.all(self.seconds.iter().copied())?;
        let mut roots = strip(self.roots)?;
        let mut rotations = self.rotations.iter().map(|&at| strip(at)).collect::<Result<Vec<_>, _>>()?;
        let mut before: Vec<DQuat> = Vec::new();
        for &row in detail.rows(selection, index).iter() {
            output.proceed()?;
            let mut sample = selection.sample(index, row)?;
            roots.write(&sample.root.as_vec3().to_array())?;
            for (j, strip) in rotations.iter_mut().enumerate() {
                let q = &mut sample.rotations[j];
                // Of the two quaternions of a rotation the one that is nearer to the frame before.
                if before.get(j).is_some_and(|before| before.dot(*q) < 0.0) {
                    *q = -*q;
                }
                strip.write(&q.as_quat().normalize().to_array())?;
            }
            before = sample.rotations;
        }
        rotations.iter_mut().chain([&mut roots]).try_for_each(Strip::flush)?;
        Ok(())
    }
}

impl Strip {
    /// Writes all that there is.
    fn all(mut self, numbers: impl Iterator<Item = f32>) -> std::io::Result<()> {
        for number in numbers {
            self.write(&[number])?;
        }
        self.flush()
    }
}

/// Somebody's vertices at rest with y up.
fn vertices(selection: &Selection<'_>, person: &PersonInfo) -> Vec<Vec3> {
    let vertices = selection.clip.header.mesh.of_shape(&person.shape);
    vertices.into_iter().map(|v| (UPRIGHT_CAMERA * Vec3::from(v).as_dvec3()).as_vec3()).collect()
}

/// Times of frames as glTF wants them: each after the one before, also where the motion file, or single precision, has two of them the same.
fn rising(times: &[f64]) -> Vec<f32> {
    let mut last = f32::NEG_INFINITY;
    let mut next = |time: &f64| {
        last = (*time as f32).max(last.next_up());
        last
    };
    times.iter().map(&mut next).collect()
}

fn bounds(vertices: &[Vec3]) -> (Vec3, Vec3) {
    let first = vertices.first().copied().unwrap_or_default();
    vertices.iter().fold((first, first), |(low, high), &v| (low.min(v), high.max(v)))
}

/// Unit normals: means of the faces round a vertex, larger ones counting more.
fn normals(vertices: &[Vec3], faces: &[[u16; 3]]) -> Vec<Vec3> {
    let mut normals = vec![Vec3::ZERO; vertices.len()];
    for face in faces {
        let [a, b, c] = face.map(|v| vertices[usize::from(v)]);
        let normal = (b - a).cross(c - a);
        face.iter().for_each(|&v| normals[usize::from(v)] += normal);
    }
    // A vertex of no face points up: the format wants unit vectors.
    normals.into_iter().map(|normal| normal.try_normalize().unwrap_or(Vec3::Y)).collect()
}

fn array(v: DVec3) -> [f64; 3] {
    v.to_array()
}

fn quaternion(q: DQuat) -> [f64; 4] {
    q.to_array()
}
