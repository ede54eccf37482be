//! The lifter: what the motion of key points in the picture over nearly a second says about the depth of each bone.
//!
//! A network of our own, trained on motion capture (`models/train`), sees nothing but the points in the picture: so what it says is
//! independent of the landmark networks' own depth. It gives each bone two hypotheses, since a limb that leans towards the camera and one
//! that leans away look the same in a frame, each with how likely it is and how far it may be off.

mod network;
mod window;

pub use window::lift;

use super::initial::Points;
use crate::pose::skeleton::*;
use glam::DVec3;

/// Ends of a bone: the middles of two landmarks each, BlazePose's indices, from first to second.
type Ends = [[usize; 2]; 2];

/// The bones, in the network's order.
const BONES: [Ends; network::BONES] = [
    [[RIGHT_HIP; 2], [LEFT_HIP; 2]],
    [[RIGHT_SHOULDER; 2], [LEFT_SHOULDER; 2]],
    [HIPS, SHOULDERS],
    [SHOULDERS, EARS],
    [[LEFT_SHOULDER; 2], [LEFT_ELBOW; 2]],
    [[RIGHT_SHOULDER; 2], [RIGHT_ELBOW; 2]],
    [[LEFT_ELBOW; 2], [LEFT_WRIST; 2]],
    [[RIGHT_ELBOW; 2], [RIGHT_WRIST; 2]],
    [[LEFT_HIP; 2], [LEFT_KNEE; 2]],
    [[RIGHT_HIP; 2], [RIGHT_KNEE; 2]],
    [[LEFT_KNEE; 2], [LEFT_ANKLE; 2]],
    [[RIGHT_KNEE; 2], [RIGHT_ANKLE; 2]],
    [[LEFT_ANKLE; 2], [LEFT_TOES; 2]],
    [[RIGHT_ANKLE; 2], [RIGHT_TOES; 2]],
];

/// The first of the bones that are part of a limb.
const LIMBS: usize = 4;
/// The first of the two feet.
const FEET: usize = 12;
/// Greatest depth over its length that a bone is given at the start.
const STEEPEST: f64 = 0.95;

/// A bone by places in a [`LandmarkSet`].
#[derive(Debug, Clone)]
pub struct Bone {
    /// Landmarks of the set and their parts: the vector along the bone is the sum. The last two are its beginning.
    pub parts: [(usize, f64); 4],
}

impl Bone {
    /// The bones that are fitted to, whose points a set has, each with its place in the network's answer. Feet are not among them: the recordings
    /// know little of them, and feet that lean with each frame's answer do not rest.
    pub fn all(landmarks: &[usize]) -> Vec<(usize, Self)> {
        let at = |landmark: usize| landmarks.iter().position(|&l| l == landmark);
        let bone = |(index, [from, to]): (usize, &Ends)| {
            let parts = [(at(to[0])?, 0.5), (at(to[1])?, 0.5), (at(from[0])?, -0.5), (at(from[1])?, -0.5)];
            Some((index, Self { parts }))
        };
        BONES[..FEET].iter().enumerate().filter_map(bone).collect()
    }

    /// The vector along it.
    pub fn of(&self, points: &[DVec3]) -> DVec3 {
        self.parts.iter().map(|&(i, part)| points[i] * part).sum()
    }
}

/// What is known of a bone's depth over its length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Depth {
    /// Two hypotheses.
    pub hypotheses: [Hypothesis; 2],
}

/// A Laplace distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hypothesis {
    /// Depth over length: positive where the bone's end is farther from the camera than its beginning.
    pub depth: f32,
    /// Mean distance from there.
    pub scale: f32,
    /// How likely the hypothesis is, 0..=1.
    pub share: f32,
}

/// What the lifter says of one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Lifted {
    /// The direction along which depth counts: towards the middle of the hips, camera axes, length 1.
    pub axis: DVec3,
    /// Of each bone of the network.
    pub depths: [Depth; network::BONES],
}

impl Lifted {
    /// Points (BlazePose's, metres) whose bones are as deep as is likeliest. Lengths stay, and points that hang on others go with them.
    pub fn leaned(&self, points: &Points) -> Points {
        let mut moves = [DVec3::ZERO; LANDMARKS];
        let turned = |bone: usize| {
            let [from, to] = BONES[bone].map(|[a, b]| points[a].midpoint(points[b]));
            let along = to - from;
            let length = along.length();
            let depth = self.depths[bone].likeliest().clamp(-STEEPEST, STEEPEST);
            let across = (along - self.axis * along.dot(self.axis)).normalize_or_zero();
            (across * (1.0 - depth * depth).sqrt() + self.axis * depth) * length - along
        };
        let [hips, shoulders, torso, neck] = [0, 1, 2, 3].map(turned);
        [moves[LEFT_HIP], moves[RIGHT_HIP]] = [hips / 2.0, -hips / 2.0];
        [moves[LEFT_SHOULDER], moves[RIGHT_SHOULDER]] = [torso + shoulders / 2.0, torso - shoulders / 2.0];
        HEAD.for_each(|i| moves[i] = torso + neck);
        for (bone, [from, to]) in BONES.iter().enumerate().skip(LIMBS) {
            moves[to[0]] = moves[from[0]] + turned(bone);
        }
        for i in (LEFT_PINKY..=RIGHT_THUMB).chain(LEFT_HEEL..=RIGHT_HEEL) {
            moves[i] = moves[parent(i)[0]];
        }
        std::array::from_fn(|i| points[i] + moves[i])
    }
}

impl Depth {
    /// The depth of the likelier hypothesis.
    fn likeliest(&self) -> f64 {
        let [a, b] = self.hypotheses;
        f64::from(if a.share / a.scale >= b.share / b.scale { a.depth } else { b.depth })
    }
}
