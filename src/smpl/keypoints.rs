//! Where the key points of SMPL's bodies are: at joints, and at vertices that are known for each topology.
//!
//! The indices are published facts of SMPL's and SMPL-X's meshes and stand in many projects, among them smplx (`vertex_ids.py`).

use std::collections::BTreeMap;

use crate::pose::skeleton::{COCO_NAMES, NAMES};

/// A point of the body as a mixture of others.
pub type Mixture = Vec<(Part, f64)>;

/// What key points are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A joint.
    Joint(usize),
    /// A vertex.
    Vertex(u32),
}

/// Points on the skin, by name.
pub type SkinPoints = BTreeMap<String, Vec<u32>>;

/// Names of points on the skin, without those of the right side.
const SKIN: [&str; 9] = [
    "nose",
    "left_eye",
    "left_ear",
    "left_thumb",
    "left_index",
    "left_pinky",
    "left_big_toe",
    "left_small_toe",
    "left_heel",
];

/// Vertices of SMPL and SMPL-H for [`SKIN`], left and right; thumb, index and pinky are the tips of the fingers.
const SMPL: [[u32; 2]; 9] = [
    [332, 332],
    [2800, 6260],
    [583, 4071],
    [2746, 6191],
    [2319, 5782],
    [2673, 6133],
    [3216, 6617],
    [3226, 6624],
    [3387, 6787],
];

/// The same of SMPL-X.
const SMPLX: [[u32; 2]; 9] = [
    [9120, 9120],
    [9448, 9929],
    [6, 616],
    [5361, 8079],
    [4933, 7669],
    [5286, 8022],
    [5770, 8463],
    [5780, 8474],
    [8846, 8635],
];

/// Joints of SMPL, SMPL-H and SMPL-X alike.
const BODY_JOINTS: [&str; 22] = [
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
];
/// Fingers of SMPL-H and SMPL-X, three joints each.
const FINGERS: [&str; 5] = ["index", "middle", "pinky", "ring", "thumb"];

/// Where pose networks see a point, as a mixture of points that lie elsewhere; those of the default body (`models/build/body.py`), as far
/// as the points are the same ones.
const SEEN: [(&str, &[(&str, f64)]); 4] = [
    ("ear", &[("ear", 0.7), ("nose", 0.3)]),
    ("pinky", &[("pinky", 0.8), ("index", 0.2)]),
    ("thumb", &[("thumb", 0.6), ("index", 0.4)]),
    ("big_toe", &[("big_toe", 0.74), ("small_toe", 0.2), ("heel", 0.06)]),
];

/// Key points of a body.
pub struct KeyPoints {
    /// Names.
    pub names: Vec<String>,
    /// What each is made of.
    pub mixtures: Vec<Mixture>,
    /// COCO's 17 of them.
    pub coco17: Vec<usize>,
    /// BlazePose's 33; -1 where there is none.
    pub blazepose33: Vec<i64>,
}

/// The joints' names of a body of this family with so many; `None` for others.
pub fn joint_names(joints: usize) -> Option<Vec<String>> {
    let mut names: Vec<String> = BODY_JOINTS.map(str::to_owned).into();
    match joints {
        24 => names.extend(["left_hand", "right_hand"].map(str::to_owned)),
        52 | 55 => {
            if joints == 55 {
                names.extend(["jaw", "left_eye_joint", "right_eye_joint"].map(str::to_owned));
            }
            for side in ["left", "right"] {
                names.extend(FINGERS.iter().flat_map(|finger| (1..=3).map(move |i| format!("{side}_{finger}{i}"))));
            }
        }
        _ => return None,
    }
    Some(names)
}

/// The points on the skin of a mesh with so many vertices; `None` where its topology is not known.
pub fn skin_points(vertices: usize) -> Option<SkinPoints> {
    let table = match vertices {
        6890 => SMPL,
        10475 => SMPLX,
        _ => return None,
    };
    let mut points = SkinPoints::new();
    for (name, [left, right]) in SKIN.iter().zip(table) {
        points.insert((*name).to_owned(), vec![left]);
        points.insert(name.replace("left_", "right_"), vec![right]);
    }
    Some(points)
}

/// Names of all points on the skin that are needed.
pub fn needed() -> impl Iterator<Item = String> {
    SKIN.iter().flat_map(|name| {
        let right = name.replace("left_", "right_");
        [Some((*name).to_owned()), (right != *name).then_some(right)].into_iter().flatten()
    })
}

/// The key points of a body with joints of these names.
///
/// # Errors
/// When a joint or a point on the skin is missing.
pub fn key_points(joints: &[String], skin: &SkinPoints) -> Result<KeyPoints, String> {
    let plain = |name: &str| -> Result<Mixture, String> {
        let joint = |name: &str| joints.iter().position(|known| known == name);
        let on_skin = || -> Option<Mixture> {
            let vertices = skin.get(name).filter(|vertices| !vertices.is_empty())?;
            Some(vertices.iter().map(|&v| (Part::Vertex(v), 1.0 / vertices.len() as f64)).collect())
        };
        let missing = || format!("it has no joint or point on the skin called `{name}`");
        let (side, part) = name.split_once('_').unwrap_or(("", name));
        // BlazePose sees the knuckle at which a finger begins: a joint, or half-way from the wrist to the finger's tip.
        let knuckle = match part {
            "index" | "pinky" => Some(format!("{name}1")),
            "thumb" => Some(format!("{name}2")),
            _ => None,
        };
        if let Some(knuckle) = knuckle {
            if let Some(joint) = joint(&knuckle) {
                return Ok(vec![(Part::Joint(joint), 1.0)]);
            }
            let wrist = joint(&format!("{side}_wrist")).ok_or_else(missing)?;
            let tip = on_skin().ok_or_else(missing)?.into_iter().map(|(part, share)| (part, share / 2.0));
            return Ok(tip.chain([(Part::Joint(wrist), 0.5)]).collect());
        }
        on_skin().or_else(|| Some(vec![(Part::Joint(joint(name)?), 1.0)])).ok_or_else(missing)
    };
    let seen = |name: &str| -> Result<Mixture, String> {
        let (side, part) = name.split_once('_').unwrap_or(("", name));
        let Some((_, shares)) = SEEN.iter().find(|(known, _)| *known == part) else { return plain(name) };
        let mut mixture = Mixture::new();
        for (other, share) in *shares {
            let other = if *other == "nose" { (*other).to_owned() } else { format!("{side}_{other}") };
            mixture.extend(plain(&other)?.into_iter().map(|(part, weight)| (part, weight * share)));
        }
        Ok(mixture)
    };
    let is_dispensable = |name: &str| name.ends_with("_inner") || name.ends_with("_outer") || name.starts_with("mouth");
    let mut names: Vec<String> =
        NAMES.iter().filter(|name| !is_dispensable(name)).map(|&name| name.to_owned()).collect();
    names.extend(["left_small_toe", "right_small_toe"].map(str::to_owned));
    let place = |landmark: &str| names.iter().position(|name| name == landmark);
    let blazepose33 = NAMES.iter().map(|name| place(name).map_or(-1, |at| at as i64)).collect();
    let coco17 = COCO_NAMES.iter().filter_map(|name| place(name)).collect();
    let mixtures = names.iter().map(|name| seen(name)).collect::<Result<_, _>>()?;
    Ok(KeyPoints { names, mixtures, coco17, blazepose33 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{Role, Side};

    #[test]
    fn all_bodies_of_the_family_have_all_key_points() {
        for (vertices, joints) in [(6890, 24), (6890, 52), (10475, 55)] {
            let names = joint_names(joints).unwrap();
            assert_eq!(names.len(), joints);
            let points = key_points(&names, &skin_points(vertices).unwrap()).unwrap();
            assert_eq!((points.coco17.len(), points.names.len()), (17, 29));
            for (name, mixture) in points.names.iter().zip(&points.mixtures) {
                let sum: f64 = mixture.iter().map(|(_, share)| share).sum();
                assert!((sum - 1.0).abs() < 1e-12, "{name}");
            }
            let roles: Vec<Role> = names.iter().map(|name| crate::body::role(name)).collect();
            for role in [Role::Root, Role::Neck, Role::Head, Role::Hand(Side::Left), Role::Foot(Side::Right)] {
                assert_eq!(roles.iter().filter(|&&found| found == role).count(), 1, "{role:?} of {joints} joints");
            }
        }
        assert!(joint_names(23).is_none() && skin_points(6891).is_none());
    }
}
