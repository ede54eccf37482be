//! Bodies of the SMPL family, from the files that their makers give to those who have a licence, into meshreel's layout
//! ([`crate::body::Body`]).

mod arrays;
mod formula;
mod keypoints;
mod npz;
mod objects;
mod pickle;
mod source;
mod write;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::body::Body;
use crate::models::ModelName;
use crate::toml_text::{self, Mistake};
use keypoints::{SkinPoints, joint_names, key_points, needed, skin_points};
use source::Source;

/// Joints that each vertex follows at most.
const INFLUENCES: usize = 4;
/// Poses at random in which it is measured what leaving out the other joints changes.
const POSES: usize = 10;
/// Surfaces that are no further apart count as the same, metres.
const SAME: f64 = 1e-4;

/// Why a file was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It cannot be used.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// What the user says of its body is wrong.
    #[error(transparent)]
    Table(#[from] Mistake),
    /// Something is unknown about its body that the user can say.
    #[error("{}: {reason}; write into {}:\n{wanted}", path.display(), table.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What is unknown.
        reason: String,
        /// Where to say it.
        table: PathBuf,
        /// What to say there.
        wanted: String,
    },
    /// There is a body of this name.
    #[error("there is a body \"{name}\" already ({}); give another name with -o, or replace it with --overwrite", path.display())]
    Taken {
        /// Its name.
        name: ModelName,
        /// Its file.
        path: PathBuf,
    },
    /// The result cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// `NAME.toml`: what the user says of a body.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Table {
    /// A line about its licence.
    licence: Option<String>,
    /// A name for each joint.
    joints: Option<Vec<String>>,
    /// Points on the skin: a vertex, or several in whose middle the point is.
    points: std::collections::BTreeMap<String, Vertices>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Vertices {
    One(u32),
    Several(Vec<u32>),
}

/// What was imported.
#[derive(Debug)]
pub struct Imported {
    /// The file that was written.
    pub path: PathBuf,
    /// Name of the body.
    pub name: ModelName,
    /// The line about its licence.
    pub licence: String,
    vertices: usize,
    faces: usize,
    joints: usize,
    shapes: usize,
    bends: usize,
    /// Most joints that a vertex follows in the file.
    influences: usize,
    /// How far a vertex is from the published formula in poses and shapes at random at most, metres.
    off: f64,
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, name, licence, vertices, faces, joints, shapes, bends, influences, off } = self;
        writeln!(
            f,
            "{name}: {vertices} vertices, {faces} faces, {joints} joints, {shapes} shape directions, {bends} pose directions"
        )?;
        writeln!(f, "licence: {licence}")?;
        if *influences > INFLUENCES {
            writeln!(
                f,
                "of up to {influences} joints that a vertex follows, the {INFLUENCES} of the largest weight are kept"
            )?;
        }
        let note = if *off > SAME { ": more than a tenth of a millimetre" } else { "" };
        writeln!(
            f,
            "at most {:.4} mm from the published formula in {POSES} poses and shapes at random{note}",
            off * 1e3
        )?;
        write!(f, "written to {}; use it with --body {name}", path.display())
    }
}

/// Imports a file as the body `name` into the folder `bodies`, where a table `name.toml` may say more about it.
///
/// # Errors
/// When it is no body of the family, or cannot be written.
pub fn import(file: &Path, bodies: &Path, name: ModelName, overwrite: bool) -> Result<Imported, ImportError> {
    let path = bodies.join(format!("{name}.safetensors"));
    if path.exists() && !overwrite {
        return Err(ImportError::Taken { name, path });
    }
    let invalid = |reason: String| ImportError::Invalid { path: file.to_owned(), reason };
    let table_path = bodies.join(format!("{name}.toml"));
    let table = read_table(&table_path)?;
    let source = Source::read(file).map_err(invalid)?;
    let unknown = |reason: String, wanted: String| ImportError::Unknown {
        path: file.to_owned(),
        reason,
        table: table_path.clone(),
        wanted,
    };
    let (vertices, joints) = (source.vertex_count(), source.joint_count());
    let names = match table.joints {
        Some(names) if names.len() == joints => names,
        Some(names) => return Err(invalid(format!("it has {joints} joints, and {} names {}", table_path.display(), names.len()))),
        None => joint_names(joints).ok_or_else(|| {
            let wanted = format!(
                "joints = [\"pelvis\", \"left_hip\", ...]  # {joints} names; SMPL's where they are the same: left_knee, spine1, left_wrist"
            );
            unknown(format!("it has {joints} joints, and SMPL has 24, SMPL-H 52, SMPL-X 55"), wanted)
        })?,
    };
    let mut skin = skin_points(vertices).unwrap_or_default();
    skin.extend(table.points.into_iter().map(|(name, vertices)| {
        let vertices = match vertices {
            Vertices::One(vertex) => vec![vertex],
            Vertices::Several(vertices) => vertices,
        };
        (name, vertices)
    }));
    check_points(&skin, vertices).map_err(|(reason, wanted)| unknown(reason, wanted))?;
    let points = key_points(&names, &skin).map_err(|reason| {
        unknown(
            reason,
            "joints = [...]  # with SMPL's names for hips, knees, ankles, shoulders, elbows and wrists".into(),
        )
    })?;
    let given = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let licence = table.licence.unwrap_or_else(|| {
        format!("licensed by its makers (SMPL: Max-Planck-Gesellschaft), under the terms that came with {given}; not to be passed on")
    });
    let (bytes, influences) = write::file(&source, &names, &points, name, &licence).map_err(invalid)?;
    let body = Body::parse(&bytes).map_err(invalid)?;
    let off = farthest_off(&source, &body);
    write_whole(&path, &bytes).map_err(|source| ImportError::Write { path: path.clone(), source })?;
    Ok(Imported {
        path,
        name,
        licence,
        vertices,
        faces: source.faces.len(),
        joints,
        shapes: source.shape_dirs.len(),
        bends: source.pose_dirs.len(),
        influences,
        off,
    })
}

fn read_table(path: &Path) -> Result<Table, ImportError> {
    let invalid = |reason: String| ImportError::Invalid { path: path.to_owned(), reason };
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Table::default()),
        Err(error) => Err(invalid(error.to_string())),
        Ok(text) => Ok(toml_text::parse(&text, path)?),
    }
}

/// Whether all points on the skin are known and there; if not, what is wrong and what to write into the table.
fn check_points(skin: &SkinPoints, vertices: usize) -> Result<(), (String, String)> {
    let is_there = |name: &String| {
        skin.get(name).is_some_and(|list| !list.is_empty() && list.iter().all(|&v| (v as usize) < vertices))
    };
    let missing: Vec<String> = needed().filter(|name| !is_there(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let reason = format!(
        "key points on a mesh of {vertices} vertices are not known (SMPL and SMPL-H have 6890, SMPL-X has 10475)"
    );
    let lines = missing.iter().map(|name| format!("{name} = 0"));
    let about = "[points]  # for each the index of its vertex, below ";
    let wanted =
        std::iter::once(format!("{about}{vertices}, or a list of them; of fingers and toes the tips")).chain(lines);
    Err((reason, wanted.collect::<Vec<_>>().join("\n")))
}

/// How far the body is from the published formula of its source at most, metres.
fn farthest_off(source: &Source, body: &Body) -> f64 {
    use crate::body::Pose;
    use glam::{DQuat, DVec3};
    let mut farthest: f64 = 0.0;
    for (rotations, shape) in formula::random_poses(source.joint_count(), source.shape_dirs.len(), POSES) {
        let published = formula::posed(source, &rotations, &shape, &source.weights);
        // Half a turn about x takes the file's axes into meshreel's, and back.
        let turned = |q: &DQuat| DQuat::from_xyzw(q.x, -q.y, -q.z, q.w);
        let root = source.regressed_root(&shape);
        let position = DVec3::new(root.x, -root.y, -root.z);
        let pose = Pose { position, rotations: rotations.iter().map(turned).collect(), confidence: Vec::new() };
        for (at, published) in body.posed_vertices(&pose, &shape).into_iter().zip(published) {
            let [x, y, z] = at.map(f64::from);
            farthest = farthest.max(DVec3::new(x, -y, -z).distance(published));
        }
    }
    farthest
}

/// Writes a file that is there as a whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests;
