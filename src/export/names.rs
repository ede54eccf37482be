//! What joints and markers are called in other programs.

use super::selection::{Sample, Selection};
use crate::body::{FingerJoint, Role, Side};
use glam::DVec3;

/// Names of joints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum JointNames {
    /// Those of Mixamo and HumanIK: Hips, Spine, LeftArm, ...
    #[default]
    Mixamo,
    /// Those of the body itself
    Makehuman,
    /// Those of VRM: hips, spine, leftUpperArm, ...
    Vrm,
}

/// A name for each joint: no two are the same, none has a dot.
pub fn joint_names(selection: &Selection<'_>, names: JointNames) -> Vec<String> {
    let Some(person) = selection.people.first() else { return Vec::new() };
    let own = &selection.clip.header.body.joints;
    let mut spines = 0;
    let mut given: Vec<String> = Vec::new();
    for (role, own) in person.rest.roles.iter().zip(own) {
        let plain = own.replace('.', "_");
        let name = match names {
            JointNames::Makehuman => plain.clone(),
            JointNames::Mixamo | JointNames::Vrm => {
                let number = if *role == Role::Spine {
                    spines += 1;
                    spines
                } else {
                    0
                };
                known(*role, number, names).or_else(|| small(own, names)).unwrap_or_else(|| plain.clone())
            }
        };
        // A second joint of the same role goes by its own name.
        given.push(if given.contains(&name) { plain } else { name });
    }
    given
}

fn known(role: Role, spine: usize, names: JointNames) -> Option<String> {
    let is_vrm = names == JointNames::Vrm;
    let sided = |side: Side, mixamo: &str, vrm: &str| {
        let (mixamo_side, vrm_side) = if side == Side::Left { ("Left", "left") } else { ("Right", "right") };
        if is_vrm { format!("{vrm_side}{vrm}") } else { format!("{mixamo_side}{mixamo}") }
    };
    let plain = |mixamo: &str, vrm: &str| if is_vrm { vrm.to_owned() } else { mixamo.to_owned() };
    Some(match role {
        Role::Root => plain("Hips", "hips"),
        Role::Spine => match spine {
            1 => plain("Spine", "spine"),
            2 => plain("Spine1", "chest"),
            3 => plain("Spine2", "upperChest"),
            _ => return None,
        },
        Role::Neck => plain("Neck", "neck"),
        Role::Head => plain("Head", "head"),
        Role::Clavicle(side) => sided(side, "Shoulder", "Shoulder"),
        Role::UpperArm(side) => sided(side, "Arm", "UpperArm"),
        Role::LowerArm(side) => sided(side, "ForeArm", "LowerArm"),
        Role::Hand(side) => sided(side, "Hand", "Hand"),
        Role::UpperLeg(side) => sided(side, "UpLeg", "UpperLeg"),
        Role::LowerLeg(side) => sided(side, "Leg", "LowerLeg"),
        Role::Foot(side) => sided(side, "Foot", "Foot"),
        Role::Finger(side, FingerJoint { finger, segment }) => {
            let (mixamo, vrm) = FINGERS[finger];
            let part = if finger == 0 { THUMB_PARTS[segment] } else { FINGER_PARTS[segment] };
            sided(side, &format!("Hand{mixamo}{}", segment + 1), &format!("{vrm}{part}"))
        }
        Role::Other => return None,
    })
}

/// Fingers in Mixamo's and in VRM's words, the thumb first.
const FINGERS: [(&str, &str); 5] =
    [("Thumb", "Thumb"), ("Index", "Index"), ("Middle", "Middle"), ("Ring", "Ring"), ("Pinky", "Little")];
/// VRM's words for a finger's joints, from the palm on; the thumb has others.
const FINGER_PARTS: [&str; 3] = ["Proximal", "Intermediate", "Distal"];
const THUMB_PARTS: [&str; 3] = ["Metacarpal", "Proximal", "Distal"];

/// What toes, eyes and jaw of SMPL's bodies are called.
fn small(own: &str, names: JointNames) -> Option<String> {
    let is_vrm = names == JointNames::Vrm;
    let (side, part) = own.split_once('_').unwrap_or(("", own));
    let (mixamo_side, vrm_side) = match side {
        "left" => ("Left", "left"),
        "right" => ("Right", "right"),
        "" if own == "jaw" && is_vrm => return Some("jaw".into()),
        _ => return None,
    };
    let pick = |mixamo: &str, vrm: &str| {
        Some(if is_vrm { format!("{vrm_side}{vrm}") } else { format!("{mixamo_side}{mixamo}") })
    };
    match part {
        "foot" => pick("ToeBase", "Toes"),
        "eye_joint" => pick("Eye", "Eye"),
        _ => None,
    }
}

/// A set of markers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum MarkerSet {
    /// The 22 of Pose2Sim's Halpe-26 model, with feet, neck, hip and head
    #[default]
    Halpe26,
    /// COCO's 17
    Coco17,
}

/// A marker: a point of the body, the middle of two, or the top of the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// What it is called.
    pub name: String,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Of [`Sample::points`].
    Point(usize),
    Middle(usize, usize),
    HeadTop,
    /// The body has no such point.
    Missing,
}

/// Pose2Sim's markers of its Halpe-26 model in its order (`Pose2Sim/skeletons.py`, HALPE_26), and the body's points: one, or two in whose middle
/// a marker is.
const HALPE: [(&str, [&str; 2]); 22] = [
    ("Hip", ["left_hip", "right_hip"]),
    ("RHip", ["right_hip"; 2]),
    ("RKnee", ["right_knee"; 2]),
    ("RAnkle", ["right_ankle"; 2]),
    ("RBigToe", ["right_big_toe"; 2]),
    ("RSmallToe", ["right_small_toe"; 2]),
    ("RHeel", ["right_heel"; 2]),
    ("LHip", ["left_hip"; 2]),
    ("LKnee", ["left_knee"; 2]),
    ("LAnkle", ["left_ankle"; 2]),
    ("LBigToe", ["left_big_toe"; 2]),
    ("LSmallToe", ["left_small_toe"; 2]),
    ("LHeel", ["left_heel"; 2]),
    ("Neck", ["left_shoulder", "right_shoulder"]),
    ("Head", ["head_top"; 2]),
    ("Nose", ["nose"; 2]),
    ("RShoulder", ["right_shoulder"; 2]),
    ("RElbow", ["right_elbow"; 2]),
    ("RWrist", ["right_wrist"; 2]),
    ("LShoulder", ["left_shoulder"; 2]),
    ("LElbow", ["left_elbow"; 2]),
    ("LWrist", ["left_wrist"; 2]),
];

/// The 26 points of Halpe-26 (Fang et al., *AlphaPose*, 2022) after COCO's 17.
const HALPE_AFTER_COCO: [(&str, [&str; 2]); 9] = [
    ("Head", ["head_top"; 2]),
    ("Neck", ["left_shoulder", "right_shoulder"]),
    ("Hip", ["left_hip", "right_hip"]),
    ("LBigToe", ["left_big_toe"; 2]),
    ("RBigToe", ["right_big_toe"; 2]),
    ("LSmallToe", ["left_small_toe"; 2]),
    ("RSmallToe", ["right_small_toe"; 2]),
    ("LHeel", ["left_heel"; 2]),
    ("RHeel", ["right_heel"; 2]),
];

/// The markers of a set.
pub fn markers(selection: &Selection<'_>, set: MarkerSet) -> Vec<Marker> {
    match set {
        MarkerSet::Halpe26 => HALPE.iter().map(|(name, from)| marker(selection, name, *from)).collect(),
        MarkerSet::Coco17 => coco(selection).collect(),
    }
}

/// The key points of a set in the order of pose networks.
pub fn keypoints(selection: &Selection<'_>, set: MarkerSet) -> Vec<Marker> {
    let more = HALPE_AFTER_COCO.iter().map(|(name, from)| marker(selection, name, *from));
    match set {
        MarkerSet::Halpe26 => coco(selection).chain(more).collect(),
        MarkerSet::Coco17 => coco(selection).collect(),
    }
}

/// The 21 points of a hand (`left` or `right`) in the order of hand networks: the wrist, then four of each finger, the thumb's first. None of
/// a body that has no fingers.
pub fn hand(selection: &Selection<'_>, side: &str) -> Vec<Marker> {
    let fingers = ["index", "middle", "ring", "pinky"].into_iter();
    let parts = fingers.flat_map(|finger| ["mcp", "pip", "dip", "tip"].map(|part| format!("{side}_{finger}_{part}")));
    let thumb = ["cmc", "mcp", "ip", "tip"].map(|part| format!("{side}_thumb_{part}"));
    let names = [format!("{side}_wrist")].into_iter().chain(thumb).chain(parts);
    let markers: Vec<Marker> = names.map(|name| marker(selection, &name, [&name, &name])).collect();
    if markers.iter().any(|marker| marker.place == Place::Missing) { Vec::new() } else { markers }
}

/// A marker of its own for each name of a body's point.
pub fn marker(selection: &Selection<'_>, name: &str, [a, b]: [&str; 2]) -> Marker {
    let index = |name: &str| selection.names.iter().position(|known| known == name);
    let place = match (index(a), index(b)) {
        _ if a == "head_top" => Place::HeadTop,
        (Some(a), Some(b)) if a == b => Place::Point(a),
        (Some(a), Some(b)) => Place::Middle(a, b),
        _ => Place::Missing,
    };
    Marker { name: name.to_owned(), place }
}

/// COCO's points, named as Pose2Sim does: RShoulder, LEye.
fn coco<'s>(selection: &'s Selection<'_>) -> impl Iterator<Item = Marker> + 's {
    selection.names[..17].iter().map(|name| {
        let (side, part) = match name.split_once('_') {
            Some(("left", part)) => ("L", part),
            Some(("right", part)) => ("R", part),
            _ => ("", &name[..]),
        };
        let mut letters = part.chars();
        let capital = letters.next().map(|first| first.to_ascii_uppercase());
        let short: String = side.chars().chain(capital).chain(letters).collect();
        marker(selection, &short, [name, name])
    })
}

impl Marker {
    /// Metres; `None` where the body has no such point.
    pub fn point(&self, sample: &Sample) -> Option<DVec3> {
        match self.place {
            Place::Point(i) => sample.points.get(i).copied(),
            Place::Middle(a, b) => Some(sample.points.get(a)?.midpoint(*sample.points.get(b)?)),
            Place::HeadTop => Some(sample.head_top.0),
            Place::Missing => None,
        }
    }

    /// Displayed pixels and confidence.
    pub fn pixel(&self, sample: &Sample) -> Option<[f64; 3]> {
        match self.place {
            Place::Point(i) => sample.pixels.get(i).copied(),
            Place::Middle(a, b) => {
                let (a, b) = (sample.pixels.get(a)?, sample.pixels.get(b)?);
                Some([f64::midpoint(a[0], b[0]), f64::midpoint(a[1], b[1]), a[2].min(b[2])])
            }
            Place::HeadTop => Some(sample.head_top.1),
            Place::Missing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::role;

    #[test]
    fn small_joints_of_smpl_have_names_elsewhere() {
        let both = |own: &str| {
            let name = |names| known(role(own), 0, names).or_else(|| small(own, names)).unwrap_or_default();
            [JointNames::Mixamo, JointNames::Vrm].map(name)
        };
        assert_eq!(both("left_foot"), ["LeftToeBase", "leftToes"]);
        assert_eq!(both("finger2-1.L"), ["LeftHandIndex1", "leftIndexProximal"]);
        assert_eq!(both("right_pinky2"), ["RightHandPinky2", "rightLittleIntermediate"]);
        assert_eq!(both("left_thumb1"), ["LeftHandThumb1", "leftThumbMetacarpal"]);
        assert_eq!(both("jaw"), ["", "jaw"]);
        for own in [
            "left_hand",
            "left_index4",
            "left_é",
            "left_é1",
            "finger2-4.L",
            "finger6-1.R",
            "finger0-1.R",
            "finger2-1",
            "index1",
            "left_",
        ] {
            assert_eq!(both(own), ["", ""], "{own}");
        }
    }
}
