//! What is measured of a person in one frame, for the fit: landmarks in the picture and in metres, and how far to trust each.

use super::Camera;
use super::heavy_landmarks::Corrected;
use super::initial::{self, Points};
use super::kinematics::Skeleton;
use super::lifter::{Bone, Lifted};
use super::model::Body;
use crate::pose::skeleton::*;
use glam::{DQuat, DVec2, DVec3};

/// Weight of each landmark: those that the body has at nearly the same place as the network count in full.
const TRUST: [f64; LANDMARKS] = {
    let mut trust = [1.0; LANDMARKS];
    let mut i = 0;
    while i < LANDMARKS {
        trust[i] = match i {
            NOSE | LEFT_EAR | RIGHT_EAR | LEFT_HEEL..=RIGHT_TOES => 0.6,
            LEFT_HIP | RIGHT_HIP => 0.7,
            LEFT_INDEX | RIGHT_INDEX => 0.5,
            LEFT_EYE_INNER..=RIGHT_EYE_OUTER | LEFT_PINKY | RIGHT_PINKY => 0.4,
            LEFT_THUMB | RIGHT_THUMB => 0.3,
            _ => 1.0,
        };
        i += 1;
    }
    trust
};

/// Least visibility that a landmark is given: the network's guess of a hidden one is still worth something.
const LEAST_VISIBILITY: f64 = 0.05;
/// The same outside the picture: there it is not. Legs that the picture cuts off hang as legs do.
const LEAST_OUTSIDE: f64 = 0.002;

/// Standard deviation of a link between world landmarks: metres, and share of its length.
///
/// The network's errors in depth add up along a limb, so each landmark is measured from the one that it hangs on: an arm
/// says nothing about how far the trunk leans. Limbs come out a tenth to a fifth too short, which is why lengths count little.
const LINK_SIGMA: [f64; 2] = [0.03, 0.6];
/// Least size of a person in the picture, displayed pixels: errors are measured against it.
const SMALLEST: f64 = 20.0;
/// Numbers beyond these are no landmarks: displayed pixels, and metres.
const FARTHEST_PIXEL: f64 = 1e6;
const FARTHEST_METRE: f64 = 100.0;

/// One landmark as seen from the landmark (or the middle of the two) that it hangs on. Indices are places in the set.
#[derive(Debug, Clone)]
pub struct Link {
    /// The landmark.
    pub to: usize,
    /// Where it hangs.
    pub from: [usize; 2],
    /// Standard deviation, metres.
    pub sigma: f64,
}

impl Link {
    /// The vector along the link.
    pub fn of(&self, points: &[DVec3]) -> DVec3 {
        points[self.to] - points[self.from[0]].midpoint(points[self.from[1]])
    }
}

/// The landmarks that the body has a key point for.
#[derive(Debug, Clone)]
pub struct LandmarkSet {
    /// BlazePose's index of each.
    pub landmarks: Vec<usize>,
    /// The body's key point of each.
    pub keypoints: Vec<usize>,
    /// How they hang together.
    pub links: Vec<Link>,
    /// Bones between them whose depth the lifter tells, with their places in its answer.
    pub bones: Vec<(usize, Bone)>,
}

impl LandmarkSet {
    /// Those of a body.
    pub fn new(body: &Body) -> Self {
        let (landmarks, keypoints): (Vec<usize>, Vec<usize>) =
            body.blazepose33.iter().enumerate().filter_map(|(i, k)| k.map(|k| (i, k))).unzip();
        let at = |landmark| landmarks.iter().position(|&l| l == landmark).unwrap_or(0);
        let rest = initial::rest_points(&Skeleton::new(body, &[]));
        let link = |&landmark: &usize| {
            let from = parent(landmark);
            let length = rest[landmark].distance(rest[from[0]].midpoint(rest[from[1]]));
            Link { to: at(landmark), from: from.map(at), sigma: LINK_SIGMA[0] + LINK_SIGMA[1] * length }
        };
        let links = landmarks.iter().map(link).collect();
        let bones = Bone::all(&landmarks);
        Self { landmarks, keypoints, links, bones }
    }
}

/// One frame's landmarks; lists in the order of a [`LandmarkSet`].
#[derive(Debug, Clone)]
pub struct Measurement {
    /// Displayed pixels.
    pub pixels: Vec<DVec2>,
    /// Metres, camera axes, along each of the set's links.
    pub world: Vec<DVec3>,
    /// Visibility times trust.
    pub weights: Vec<f64>,
    /// Diagonal of the landmarks' box in pixels: what errors in the picture are measured against.
    pub scale: f64,
    /// All 33 world landmarks, camera axes.
    pub points: Points,
    /// All 33 visibilities.
    pub visibility: [f64; LANDMARKS],
    /// What the lifter says, if it was asked.
    pub lifted: Option<Lifted>,
}

/// From the axes of world landmarks to the camera's, for somebody who is seen there.
///
/// The network sees a crop as if a camera looked straight at it, so its axes are turned from the camera's towards the viewing ray. Only sideways: up
/// and down it assumes people upright (on clips with people above the camera, turning that way as well raises the residuals and makes standing
/// people lean).
pub fn to_camera(camera: &Camera, pixels: &[DVec2; LANDMARKS]) -> DQuat {
    let torso = TORSO.map(|i| pixels[i]).into_iter().sum::<DVec2>() / TORSO.len() as f64;
    let aside = (torso.x - camera.center[0]) / camera.focal[0];
    DQuat::from_rotation_y(aside.atan())
}

impl Measurement {
    /// Nothing seen at all.
    pub fn none(set: &LandmarkSet) -> Self {
        let count = set.landmarks.len();
        Self {
            pixels: vec![DVec2::ZERO; count],
            world: vec![DVec3::ZERO; set.links.len()],
            weights: vec![0.0; count],
            scale: 1.0,
            points: [DVec3::ZERO; LANDMARKS],
            visibility: [0.0; LANDMARKS],
            lifted: None,
        }
    }

    /// None when the numbers are not usable.
    pub fn new(set: &LandmarkSet, camera: &Camera, seen: &Corrected) -> Option<Self> {
        let Corrected { pixels, world, visibility } = seen.clone();
        let to_camera = to_camera(camera, &pixels);
        let points = world.map(|p| to_camera * p);
        let usable = pixels.iter().all(|p| p.is_finite() && p.length() < FARTHEST_PIXEL)
            && points.iter().all(|p| p.is_finite() && p.length() < FARTHEST_METRE)
            && visibility.iter().all(|v| v.is_finite());
        if !usable {
            return None;
        }
        let low = pixels.iter().copied().fold(DVec2::INFINITY, DVec2::min);
        let high = pixels.iter().copied().fold(DVec2::NEG_INFINITY, DVec2::max);
        let edge = DVec2::from_array(camera.center) * 2.0;
        let is_inside = |p: DVec2| p.cmpge(DVec2::ZERO).all() && p.cmple(edge).all();
        let least = |p: DVec2| if is_inside(p) { LEAST_VISIBILITY } else { LEAST_OUTSIDE };
        let picked: Vec<DVec3> = set.landmarks.iter().map(|&l| points[l]).collect();
        Some(Self {
            pixels: set.landmarks.iter().map(|&l| pixels[l]).collect(),
            world: set.links.iter().map(|link| link.of(&picked)).collect(),
            weights: set.landmarks.iter().map(|&l| visibility[l].max(least(pixels[l])) * TRUST[l]).collect(),
            scale: (high - low).length().max(SMALLEST),
            points,
            visibility,
            lifted: None,
        })
    }
}
