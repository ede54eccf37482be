//! What the fit is given for one frame: landmarks in the picture and in metres, and how far to trust each.

use super::Camera;
use super::initial::Points;
use super::model::Body;
use super::opinion::Corrected;
use crate::pose::LANDMARKS;
use glam::{DQuat, DVec2, DVec3};

/// How much a landmark counts: those the body has at nearly the same place as the network count in full.
const TRUST: [f64; LANDMARKS] = {
    let mut trust = [1.0; LANDMARKS];
    let mut i = 0;
    while i < LANDMARKS {
        trust[i] = match i {
            0 | 7 | 8 | 29..=32 => 0.6,
            23 | 24 => 0.7,
            19 | 20 => 0.5,
            1..=6 | 17 | 18 => 0.4,
            21 | 22 => 0.3,
            _ => 1.0,
        };
        i += 1;
    }
    trust
};

/// Least visibility a landmark is given: a hidden one is still a guess of some worth.
const LEAST_VISIBILITY: f64 = 0.05;

/// The landmarks that the body has a key point for.
#[derive(Debug, Clone)]
pub struct LandmarkSet {
    /// BlazePose's index of each.
    pub landmarks: Vec<usize>,
    /// The body's key point of each.
    pub keypoints: Vec<usize>,
    /// Where the two hips are in the lists.
    pub hips: [usize; 2],
}

impl LandmarkSet {
    /// Those of a body.
    pub fn new(body: &Body) -> Self {
        let (landmarks, keypoints): (Vec<usize>, Vec<usize>) =
            body.blazepose33.iter().enumerate().filter_map(|(i, k)| k.map(|k| (i, k))).unzip();
        let at = |landmark| landmarks.iter().position(|&l| l == landmark).unwrap_or(0);
        let hips = [at(23), at(24)];
        Self { landmarks, keypoints, hips }
    }
}

/// One frame's landmarks; lists in the order of a [`LandmarkSet`].
#[derive(Debug, Clone)]
pub struct Evidence {
    /// Displayed pixels.
    pub pixels: Vec<DVec2>,
    /// Metres, camera axes, relative to the middle of the hips.
    pub world: Vec<DVec3>,
    /// Visibility times trust.
    pub weights: Vec<f64>,
    /// Diagonal of the landmarks' box in pixels: what errors in the picture are measured against.
    pub scale: f64,
    /// All 33 world landmarks, camera axes.
    pub points: Points,
    /// All 33 visibilities.
    pub visibility: [f64; LANDMARKS],
}

impl Evidence {
    /// Nothing seen at all.
    pub fn none(set: &LandmarkSet) -> Self {
        let count = set.landmarks.len();
        Self {
            pixels: vec![DVec2::ZERO; count],
            world: vec![DVec3::ZERO; count],
            weights: vec![0.0; count],
            scale: 1.0,
            points: [DVec3::ZERO; LANDMARKS],
            visibility: [0.0; LANDMARKS],
        }
    }

    /// None when the numbers are not usable.
    pub fn new(set: &LandmarkSet, camera: &Camera, seen: &Corrected) -> Option<Self> {
        let Corrected { pixels, world, visibility } = seen.clone();
        // The network sees a crop as if a camera looked straight at it, so its axes are turned from the camera's towards the viewing
        // ray. Only sideways: up and down it assumes people upright (on clips with people above the camera, turning that way as
        // well raises the residuals and makes standing people lean).
        let torso = (pixels[11] + pixels[12] + pixels[23] + pixels[24]) / 4.0;
        let aside = (torso.x - camera.center[0]) / camera.focal[0];
        let to_camera = DQuat::from_rotation_y(aside.atan());
        let points = world.map(|p| to_camera * p);
        let usable = pixels.iter().all(|p| p.is_finite() && p.length() < 1e6)
            && points.iter().all(|p| p.is_finite() && p.length() < 100.0)
            && visibility.iter().all(|v| v.is_finite());
        if !usable {
            return None;
        }
        let low = pixels.iter().copied().fold(DVec2::INFINITY, DVec2::min);
        let high = pixels.iter().copied().fold(DVec2::NEG_INFINITY, DVec2::max);
        let pick = |i: usize| set.landmarks[i];
        let count = set.landmarks.len();
        let hips = (points[23] + points[24]) / 2.0;
        Some(Self {
            pixels: (0..count).map(|i| pixels[pick(i)]).collect(),
            world: (0..count).map(|i| points[pick(i)] - hips).collect(),
            weights: (0..count).map(|i| visibility[pick(i)].max(LEAST_VISIBILITY) * TRUST[pick(i)]).collect(),
            scale: (high - low).length().max(20.0),
            points,
            visibility,
        })
    }
}
