//! The arrays of an SMPL file, by their names in it, checked against each other.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use glam::DVec3;

use super::arrays::Array;
use super::{npz, objects, pickle};

/// Largest file, bytes: four times that of the largest SMPL-X.
const LARGEST: u64 = 2 << 30;
/// Shape directions that are kept: the first are those of the largest differences between people.
const SHAPES: usize = 10;

/// A body of the SMPL family as its file has it: its axes, all skin weights. Lists of vectors have three numbers for each.
pub struct Source {
    /// Template, metres, [V, 3].
    pub vertices: Vec<f64>,
    /// Triangles.
    pub faces: Vec<[u32; 3]>,
    /// For each shape direction [V, 3].
    pub shape_dirs: Vec<Vec<f64>>,
    /// For each pose direction [V, 3]; none where the file has none.
    pub pose_dirs: Vec<Vec<f64>>,
    /// [J, V].
    pub joint_regressor: Vec<f64>,
    /// [V, J].
    pub weights: Vec<f64>,
    /// Parent of each joint; none for the root, which is the first.
    pub parents: Vec<Option<usize>>,
}

/// Where arrays are looked up by their names.
trait Names {
    fn array(&mut self, name: &str) -> Result<Option<Array>, String>;
}

impl<R: Read + Seek> Names for zip::ZipArchive<R> {
    fn array(&mut self, name: &str) -> Result<Option<Array>, String> {
        npz::array(self, name)
    }
}

impl Names for pickle::Pickle<'_> {
    fn array(&mut self, name: &str) -> Result<Option<Array>, String> {
        let Some(id) = self.value(self.root, name) else { return Ok(None) };
        objects::array(self, id).map(Some).map_err(|reason| format!("its `{name}` cannot be read: {reason}"))
    }
}

impl Source {
    /// Reads a file: an archive of NumPy's or a pickle, which its first bytes tell.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let unreadable = |error: std::io::Error| format!("it cannot be read ({error})");
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        // A pipe would never open.
        if !metadata.is_file() {
            return Err("it is no file".into());
        }
        let length = metadata.len();
        if length > LARGEST {
            return Err(format!("it has {} MB, more than any body", length >> 20));
        }
        let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
        let mut start = [0; 4];
        let found = file.read(&mut start).map_err(unreadable)?;
        file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
        if start[..found].starts_with(b"PK\x03\x04") {
            let mut archive =
                zip::ZipArchive::new(file).map_err(|error| format!("it is no whole npz file ({error})"))?;
            return Self::collect(&mut archive);
        }
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes).map_err(unreadable)?;
        let mut pickle = pickle::read(&bytes)
            .map_err(|reason| format!("it is no npz file, and no pickle that can be read: {reason}"))?;
        Self::collect(&mut pickle)
    }

    fn collect(names: &mut impl Names) -> Result<Self, String> {
        let mut array = |name: &str, shape: &[Option<usize>]| {
            let array = names.array(name)?.ok_or_else(|| format!("it has no `{name}`, which every SMPL body has"))?;
            checked(array, name, shape)
        };
        let template = array("v_template", &[None, Some(3)])?;
        let count = template.shape[0];
        let regressor = array("J_regressor", &[None, Some(count)])?;
        let joints = regressor.shape[0];
        if !(1..=256).contains(&joints) || !(3..=100_000).contains(&count) {
            return Err(format!("it has {count} vertices and {joints} joints; expected 3 to 100000 and 1 to 256"));
        }
        let weights = array("weights", &[Some(count), Some(joints)])?;
        let faces = array("f", &[None, Some(3)])?;
        let tree = array("kintree_table", &[Some(2), Some(joints)])?;
        let shapes = array("shapedirs", &[Some(count), Some(3), None])?;
        let bends = match names.array("posedirs")? {
            Some(bends) => {
                columns(&checked(bends, "posedirs", &[Some(count), Some(3), Some(9 * (joints - 1))])?, usize::MAX)
            }
            None => Vec::new(),
        };
        Ok(Self {
            vertices: template.numbers,
            faces: faces_of(&faces, count)?,
            shape_dirs: columns(&shapes, SHAPES),
            pose_dirs: bends,
            joint_regressor: regressor.numbers,
            weights: weights.numbers,
            parents: parents(&tree.numbers[..joints])?,
        })
    }

    /// Number of vertices.
    pub fn vertex_count(&self) -> usize {
        self.vertices.len() / 3
    }

    /// Number of joints.
    pub fn joint_count(&self) -> usize {
        self.parents.len()
    }

    /// The root joint of a shape, metres.
    pub fn regressed_root(&self, shape: &[f64]) -> DVec3 {
        let root = |vertices: &[f64]| {
            let row = &self.joint_regressor[..self.vertex_count()];
            let sum = |sum: DVec3, (vertex, &weight): (&[f64; 3], &f64)| sum + DVec3::from(*vertex) * weight;
            vertices.as_chunks::<3>().0.iter().zip(row).fold(DVec3::ZERO, sum)
        };
        let add = |sum: DVec3, (direction, &amount): (&Vec<f64>, &f64)| sum + root(direction) * amount;
        self.shape_dirs.iter().zip(shape).fold(root(&self.vertices), add)
    }

    /// The joints that the regressor finds among vertices, or their directions among those: [J, 3].
    pub fn regressed(&self, vertices: &[f64]) -> Vec<f64> {
        let count = self.vertex_count();
        let mut joints = vec![0.0; 3 * self.joint_count()];
        for (joint, row) in joints.chunks_exact_mut(3).zip(self.joint_regressor.chunks_exact(count)) {
            for (vertex, &weight) in vertices.chunks_exact(3).zip(row) {
                (0..3).for_each(|axis| joint[axis] += weight * vertex[axis]);
            }
        }
        joints
    }
}

/// An array whose lengths are as given (`None`: any) and whose numbers are numbers.
fn checked(array: Array, name: &str, shape: &[Option<usize>]) -> Result<Array, String> {
    let fits =
        array.shape.len() == shape.len() && array.shape.iter().zip(shape).all(|(&a, b)| b.is_none_or(|b| a == b));
    if !fits {
        let wanted: Vec<String> =
            shape.iter().map(|length| length.map_or("any".into(), |length| length.to_string())).collect();
        return Err(format!("its `{name}` has the shape {:?}, expected [{}]", array.shape, wanted.join(", ")));
    }
    match array.numbers.iter().find(|number| !number.is_finite()) {
        Some(number) => Err(format!("its `{name}` has the value {number}")),
        None => Ok(array),
    }
}

/// Of an array [V, 3, N] the first directions, [V, 3] each.
fn columns(array: &Array, most: usize) -> Vec<Vec<f64>> {
    let length = array.shape[2];
    (0..length.min(most))
        .map(|column| array.numbers.iter().skip(column).step_by(length.max(1)).copied().collect())
        .collect()
}

fn faces_of(faces: &Array, count: usize) -> Result<Vec<[u32; 3]>, String> {
    let index = |number: &f64| (*number >= 0.0 && *number < count as f64).then_some(*number as u32);
    let face = |corners: &[f64; 3]| -> Option<[u32; 3]> {
        let [a, b, c] = corners;
        Some([index(a)?, index(b)?, index(c)?])
    };
    let faces: Option<Vec<_>> = faces.numbers.as_chunks::<3>().0.iter().map(face).collect();
    faces.ok_or_else(|| format!("its `f` names vertices beyond the {count} that there are"))
}

/// The root's parent is -1, be it written without sign.
fn parents(row: &[f64]) -> Result<Vec<Option<usize>>, String> {
    let parent = |(joint, &number): (usize, &f64)| match joint {
        0 => Ok(None),
        _ if number >= 0.0 && number < joint as f64 => Ok(Some(number as usize)),
        _ => Err(format!(
            "its `kintree_table` gives joint {joint} the parent {number}; parents come before their children"
        )),
    };
    row.iter().enumerate().map(parent).collect()
}
