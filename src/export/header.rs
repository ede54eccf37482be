//! The first line of a motion file: everything that holds for the whole clip.

use std::io;

use base64::engine::general_purpose::STANDARD;
use glam::DVec3;
use serde::{Deserialize, Serialize};

use super::motion::round;
use crate::body::{Camera, RestSkeleton, World};

/// Version of the motion file.
pub const VERSION: u32 = 1;
/// Characters of a number of seconds with six decimals.
const LONGEST_NUMBER: usize = 24;

/// What the first line tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the file.
    pub meshreel: u32,
    /// The video that the motion was found in.
    pub video: Video,
    /// What the times of the rows count from.
    pub clock: Clock,
    /// The body that was fitted.
    pub body: BodyInfo,
    /// The camera it was fitted with.
    pub camera: Pinhole,
    /// What the rows' `keypoints2d` and `joints3d` are: `coco17`.
    pub keypoints: String,
    /// Names of the points in the rows' `extra3d`.
    pub extra_keypoints: Vec<String>,
    /// Up and the floor, camera axes.
    pub world: World,
    /// Everybody in the clip.
    pub people: Vec<PersonInfo>,
    /// The surface that all people share.
    pub mesh: MeshInfo,
}

/// The source video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Video {
    /// As it was named.
    pub path: String,
    /// Width of the displayed picture.
    pub width: u32,
    /// Its height.
    pub height: u32,
    /// Average frames a second.
    pub fps: f64,
    /// Frames in the video, and rows that follow.
    pub frames: u64,
}

/// What the times of the rows count from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    /// Always `first frame`.
    pub zero: String,
    /// Time stamp of the first frame in the result, seconds: what has to be added to the times in the rows.
    pub video_start: f64,
    /// The same in the source.
    pub source_start: f64,
}

/// The body's skeleton.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BodyInfo {
    /// Name of the body.
    pub name: String,
    /// Its licence.
    pub licence: String,
    /// Names of its joints.
    pub joints: Vec<String>,
    /// Parent of each joint, -1 for the root.
    pub parents: Vec<i64>,
    /// How many directions its surface has in which bent joints move it: what linear skinning of [`Header::mesh`] does not do.
    #[serde(default, skip_serializing_if = "is_none")]
    pub pose_directions: usize,
}

/// Whether there is none of something.
fn is_none(count: &usize) -> bool {
    *count == 0
}

/// A pinhole camera, in displayed pixels; the centre of the top-left pixel is (0, 0).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pinhole {
    /// Focal length along x.
    pub fx: f64,
    /// Focal length along y.
    pub fy: f64,
    /// Principal point, x.
    pub cx: f64,
    /// Principal point, y.
    pub cy: f64,
}

/// Somebody in the clip, at rest. Axes as the camera's: x to the person's left, y down, the front towards -z; metres.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PersonInfo {
    /// As in the rows.
    pub id: u32,
    /// The first frame with them.
    pub first_frame: u64,
    /// The last one.
    pub last_frame: u64,
    /// Rows with them.
    pub frames: u64,
    /// R'G'B' in 0..=1 in which they are drawn.
    pub color: [f32; 3],
    /// Coefficients of the body's shape.
    pub shape: Vec<f64>,
    /// The joints at rest.
    pub rest: Vec<DVec3>,
    /// The highest point of the head.
    pub head_top: DVec3,
    /// Points on the floor: below heel and toes of the left, then of the right foot.
    pub soles: [[DVec3; 2]; 2],
}

/// A surface, how it follows the joints, and how it depends on a person's shape.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MeshInfo {
    /// Number of vertices.
    pub vertices: usize,
    /// Triangles as vertex indices, counter-clockwise from outside in camera axes.
    #[serde(with = "shorts")]
    pub faces: Vec<[u16; 3]>,
    /// Four joints a vertex; 0 where the weight is 0.
    #[serde(with = "bytes")]
    pub skin_indices: Vec<[u8; 4]>,
    /// Their weights, of 255 altogether.
    #[serde(with = "bytes")]
    pub skin_weights: Vec<[u8; 4]>,
    /// Vertices at rest of somebody all whose coefficients are 0, metres.
    #[serde(with = "floats")]
    pub mean: Vec<[f32; 3]>,
    /// What each coefficient of a person's shape adds to them.
    pub directions: Vec<Direction>,
}

/// How vertices move with a coefficient of the body's shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Direction {
    /// Length of a step, metres.
    pub unit: f64,
    /// Steps along x, y, z for each vertex.
    #[serde(with = "steps")]
    pub steps: Vec<[i16; 3]>,
}

impl From<Camera> for Pinhole {
    fn from(Camera { focal: [fx, fy], center: [cx, cy] }: Camera) -> Self {
        Self { fx, fy, cx, cy }
    }
}

impl From<Pinhole> for Camera {
    fn from(Pinhole { fx, fy, cx, cy }: Pinhole) -> Self {
        Self { focal: [fx, fy], center: [cx, cy] }
    }
}

impl MeshInfo {
    /// A surface with at most 65,536 vertices and 256 joints; `None` for a larger one.
    pub fn new(faces: &[[u32; 3]], skin_indices: &[[u32; 4]], skin_weights: &[[f32; 4]]) -> Option<Self> {
        let faces = faces.iter().map(|face| short(*face)).collect::<Option<_>>()?;
        let skin = skin_indices.iter().zip(skin_weights).map(|(indices, weights)| {
            let weights = parts(*weights);
            let mut narrow = [0; 4];
            for i in 0..4 {
                narrow[i] = if weights[i] == 0 { 0 } else { u8::try_from(indices[i]).ok()? };
            }
            Some((narrow, weights))
        });
        let (skin_indices, skin_weights): (Vec<_>, Vec<_>) = skin.collect::<Option<Vec<_>>>()?.into_iter().unzip();
        Some(Self { vertices: skin_indices.len(), faces, skin_indices, skin_weights, ..Self::default() })
    }

    /// With vertices at rest, and what each coefficient of a shape adds to them (metres).
    #[must_use]
    pub fn at_rest(self, mean: Vec<[f32; 3]>, directions: &[Vec<[f32; 3]>]) -> Self {
        Self { mean, directions: directions.iter().map(|direction| Direction::new(direction)).collect(), ..self }
    }

    /// Vertices at rest of somebody of this shape, metres. Missing coefficients count as 0.
    pub fn of_shape(&self, shape: &[f64]) -> Vec<[f32; 3]> {
        let place = |(v, mean): (usize, &[f32; 3])| {
            let add = |sum: DVec3, (direction, &amount): (&Direction, &f64)| {
                sum + DVec3::from(direction.steps[v].map(f64::from)) * (direction.unit * amount)
            };
            let mean = DVec3::from(mean.map(f64::from));
            self.directions.iter().zip(shape).fold(mean, add).as_vec3().to_array()
        };
        self.mean.iter().enumerate().map(place).collect()
    }
}

impl Direction {
    /// In the smallest steps that reach.
    fn new(direction: &[[f32; 3]]) -> Self {
        let largest = direction.iter().flatten().fold(0.0, |largest: f32, number| largest.max(number.abs()));
        let unit = f64::from(largest) / f64::from(i16::MAX);
        let step = |number: f32| if unit > 0.0 { (f64::from(number) / unit).round() as i16 } else { 0 };
        Self { unit, steps: direction.iter().map(|vertex| vertex.map(step)).collect() }
    }
}

fn short([a, b, c]: [u32; 3]) -> Option<[u16; 3]> {
    Some([a.try_into().ok()?, b.try_into().ok()?, c.try_into().ok()?])
}

/// Weights that sum to 1 in parts of 255, which sum to 255.
fn parts(weights: [f32; 4]) -> [u8; 4] {
    let mut parts = weights.map(|weight| (weight.clamp(0.0, 1.0) * 255.0).round() as u8);
    let largest = (0..4).max_by(|&a, &b| weights[a].total_cmp(&weights[b])).unwrap_or(0);
    let others: u32 = (0..4).filter(|&i| i != largest).map(|i| u32::from(parts[i])).sum();
    parts[largest] = 255_u32.saturating_sub(others) as u8;
    parts
}

impl Header {
    /// The line, filled with blanks so that it can be written again with another number in it.
    pub(super) fn line(&self) -> io::Result<String> {
        let mut line = serde_json::to_string(self)?;
        let number = serde_json::to_string(&self.clock.video_start)?.len();
        line.extend(std::iter::repeat_n(' ', LONGEST_NUMBER.saturating_sub(number)));
        line.push('\n');
        Ok(line)
    }

    /// Writes the line once more over the one that a file begins with.
    ///
    /// # Errors
    /// Those of the system.
    pub fn rewrite(&self, file: &std::fs::File) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        file.write_all_at(self.line()?.as_bytes(), 0)
    }

    /// The skeleton of a person at rest.
    pub fn skeleton(&self, person: &PersonInfo) -> RestSkeleton {
        let parents = self.body.parents.iter().map(|&parent| usize::try_from(parent).ok()).collect();
        RestSkeleton::named(&self.body.joints, parents, person.rest.clone(), person.soles)
    }
}

impl Clock {
    /// From time stamps in seconds.
    pub fn new(video_start: f64, source_start: f64) -> Self {
        Self { zero: "first frame".into(), video_start: round(video_start, 6), source_start: round(source_start, 6) }
    }
}

/// Declares how lists of small arrays are written: as base64 of their bytes, little-endian.
macro_rules! packed {
    ($name:ident, $number:ty, $count:literal) => {
        mod $name {
            use base64::Engine as _;

            use super::STANDARD;
            use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

            pub fn serialize<S: Serializer>(list: &[[$number; $count]], to: S) -> Result<S::Ok, S::Error> {
                let bytes: Vec<u8> = list.as_flattened().iter().flat_map(|number| number.to_le_bytes()).collect();
                to.serialize_str(&STANDARD.encode(bytes))
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<[$number; $count]>, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(from)?;
                let bytes = STANDARD.decode(text.as_bytes()).map_err(D::Error::custom)?;
                let (numbers, rest) = bytes.as_chunks::<{ size_of::<$number>() }>();
                let numbers: Vec<$number> = numbers.iter().map(|&bytes| <$number>::from_le_bytes(bytes)).collect();
                let (list, more) = numbers.as_chunks::<$count>();
                match rest.is_empty() && more.is_empty() {
                    true => Ok(list.to_vec()),
                    false => {
                        Err(D::Error::custom(format!("{} bytes are no list of {} numbers each", bytes.len(), $count)))
                    }
                }
            }
        }
    };
}
packed!(floats, f32, 3);
packed!(shorts, u16, 3);
packed!(steps, i16, 3);
packed!(bytes, u8, 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_whole_in_parts() {
        for weights in [
            [0.25; 4],
            [1.0, 0.0, 0.0, 0.0],
            [0.4, 0.3, 0.2, 0.1],
            [0.333, 0.333, 0.334, 0.0],
            [0.001, 0.002, 0.997, 0.0],
        ] {
            assert_eq!(parts(weights).into_iter().map(u32::from).sum::<u32>(), 255, "{weights:?}");
        }
        let mesh = MeshInfo::new(&[[0, 0, 0]], &[[7, 3, 2, 9]], &[[1.0, 0.0, 0.0, 0.0]]).unwrap();
        assert_eq!((mesh.skin_indices[0], mesh.skin_weights[0]), ([7, 0, 0, 0], [255, 0, 0, 0]));
        assert_eq!(MeshInfo::new(&[[0, 70_000, 0]], &[], &[]), None);
    }

    #[test]
    fn vertices_follow_from_a_shape() {
        let mean = vec![[0.1, -0.8, 0.2], [0.3, 0.7, 0.0]];
        let directions = [vec![[0.2, -0.1, 0.013], [0.0001, 0.0, -0.2]], vec![[0.0; 3]; 2]];
        let mesh = MeshInfo::default().at_rest(mean.clone(), &directions);
        let mesh: MeshInfo = serde_json::from_str(&serde_json::to_string(&mesh).unwrap()).unwrap();
        assert_eq!(mesh.of_shape(&[]), mean);
        // At the ends of what a fit gives: 4.
        for (v, found) in mesh.of_shape(&[-4.0, 4.0]).into_iter().enumerate() {
            for axis in 0..3 {
                let wanted = mean[v][axis] - 4.0 * directions[0][v][axis];
                assert!((found[axis] - wanted).abs() < 0.00002, "{found:?}");
            }
        }
    }
}
