//! The people in a picture, and what a network of the user's own says of them.

use std::sync::Arc;

use glam::{DVec2, DVec3};

use super::{CheckError, WRONG, numbers};
use crate::body::{Camera, Estimator, STATURE};
use crate::media::{Frame, VideoInfo};
use crate::models::{Models, Network, NetworkDescription, Purpose};
use crate::pipeline::bodies::LoadedBody;
use crate::pose::own::{BodyEstimate, Outputs, OwnDetector, OwnNetwork, PersonCrop, SeenPoints};
use crate::pose::skeleton::JOINTS;
use crate::pose::{Landmarks, PersonDetection, PersonDetector, Picture, PoseError, Runtime, Tile, Worker, overlap};
use crate::track::{Tracker, Trajectory};

/// Visibility below which a joint is not compared.
const VISIBLE: f32 = 0.5;
/// Distance of an answer from what meshreel sees, over a person's size, that is more than usual.
const UNUSUAL: f64 = 0.08;
/// People who are looked at, the largest.
const MOST: usize = 3;
/// Size over that of the largest person below which people are not looked at.
const LARGE: f32 = 0.4;
/// Overlap from which on two boxes are of the same person.
const SAME: f32 = 0.45;
/// Frames a second of the video that a picture is taken for.
const FRAME_RATE: f64 = 25.0;

/// A picture with the people whom meshreel finds in it.
pub struct Scene {
    /// The picture.
    pub frame: Frame,
    /// What is known of it.
    pub info: VideoInfo,
    /// Landmarks of each person, the largest first.
    pub people: Vec<Landmarks>,
    /// What meshreel's own person detector sees in the whole picture.
    pub detections: Vec<PersonDetection>,
    runtime: Runtime,
}

/// What a network says of a scene.
#[derive(Default)]
pub struct Seen {
    /// How far it is from what meshreel sees: distance of the joints over the person's size, or for detectors one less the overlap of the
    /// boxes; the mean. One where it sees nothing.
    pub off: f64,
    /// Its outputs, in lines.
    pub numbers: Vec<String>,
    /// Whether all scores are from 0 to 1.
    pub are_probabilities: bool,
    /// What it was shown of each person.
    pub crops: Vec<PersonCrop>,
    /// Key points in displayed pixels, with their confidence, that it gives itself.
    pub points: Vec<(DVec2, f32)>,
    /// Bodies that it gives itself.
    pub bodies: Vec<BodyEstimate>,
    /// What a detector sees.
    pub detections: Vec<PersonDetection>,
    /// People of whom it says nothing.
    pub missed: usize,
    /// People whom meshreel sees.
    pub known: usize,
}

impl Scene {
    /// Finds the people in a picture.
    pub fn new(runtime: &Runtime, models: &Models, frame: Frame, info: VideoInfo) -> Result<Self, CheckError> {
        let mut scene = Self { frame, info, people: Vec::new(), detections: Vec::new(), runtime: runtime.clone() };
        let mut worker = Worker::new(runtime.clone(), models.clone());
        let display = scene.info.geometry.display;
        let mut tracker = Tracker::new(FRAME_RATE, display, Network::Full, false);
        let mut search = tracker.search(0, &Trajectory::of(vec![DVec2::ZERO]));
        while let Some(queries) = search.queries() {
            let asked: Vec<_> = queries.into_iter().map(|query| (scene.picture(), query)).collect();
            search.answer(worker.answer(None, &asked)?);
        }
        let found = tracker_people(search.finish(), &mut tracker);
        let mut detector = PersonDetector::new(runtime, &models.person_detector())?;
        scene.detections = detector.detect(&scene.picture(), Tile::whole(display))?;
        scene.people = found;
        scene.people.sort_by(|a, b| b.extent().total_cmp(&a.extent()));
        scene.people.truncate(MOST);
        let largest = scene.people.first().map_or(0.0, Landmarks::extent);
        scene.people.retain(|person| person.extent() >= LARGE * largest);
        Ok(scene)
    }

    /// For networks.
    pub fn picture(&self) -> Picture<'_> {
        Picture { frame: &self.frame, geometry: &self.info.geometry, color: self.info.color }
    }

    /// How it was taken.
    pub fn camera(&self) -> Camera {
        Camera::guess(self.info.geometry.display)
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty() && self.detections.is_empty()
    }

    /// Its size, and how many are in it, in words.
    pub fn found(&self) -> String {
        let ([width, height], count) = (self.info.geometry.display, self.people.len());
        format!("{width}x{height}, {count} {}", if count == 1 { "person" } else { "people" })
    }

    /// What a network says of it, read as a description says.
    pub fn look(
        &self,
        network: &mut OwnNetwork,
        description: &Arc<NetworkDescription>,
        body: Option<&LoadedBody>,
    ) -> Result<Seen, CheckError> {
        match description.purpose() {
            Purpose::Detector => self.detect(description),
            Purpose::KeyPoints | Purpose::Body => self.ask(network, description, body),
        }
    }

    fn detect(&self, description: &Arc<NetworkDescription>) -> Result<Seen, CheckError> {
        let mut detector = OwnDetector::new(&self.runtime, description)?;
        let tile = Tile::whole(self.info.geometry.display);
        let (outputs, _) = detector.look(&self.picture(), tile)?;
        let (numbers, are_probabilities) = described(&outputs);
        let detections = detector.detect(&self.picture(), tile)?;
        let best = |known: &PersonDetection| {
            detections.iter().map(|found| overlap(&known.bounds, &found.bounds)).fold(0.0, f32::max)
        };
        let shared: f32 = self.detections.iter().map(best).sum();
        let off = 1.0 - f64::from(shared) / self.detections.len().max(1) as f64;
        let missed = self.detections.iter().filter(|known| best(known) < SAME).count();
        let known = self.detections.len();
        Ok(Seen { off, numbers, are_probabilities, detections, missed, known, ..Seen::default() })
    }

    fn ask(
        &self,
        network: &mut OwnNetwork,
        description: &Arc<NetworkDescription>,
        body: Option<&LoadedBody>,
    ) -> Result<Seen, CheckError> {
        network.describe(description.clone());
        let display = self.info.geometry.display;
        let has_vertices = description.outputs.vertices.is_some();
        let estimator = body.map(|loaded| (loaded, Estimator::new(&loaded.body, self.camera(), has_vertices)));
        let crops: Vec<_> = self.people.iter().map(|person| PersonCrop::new(description, person, display)).collect();
        let mut seen = Seen::default();
        for (at, (person, crop)) in self.people.iter().zip(&crops).enumerate() {
            let outputs = network.run_crops(&[(self.picture(), *crop)])?;
            if at == 0 {
                (seen.numbers, seen.are_probabilities) = described(&outputs);
            }
            let answer = network.answer(&outputs, 0, crop)?;
            let points = answer.as_ref().and_then(|answer| answer.points.as_ref());
            let output = answer.as_ref().and_then(|answer| answer.body.as_ref());
            let misfit = |reason| PoseError::Misfit {
                description: description.path.clone(),
                file: description.file.clone(),
                reason,
            };
            let estimate = match (&estimator, output) {
                (Some((loaded, estimator)), Some(output)) => {
                    estimator.estimate(&loaded.body, output, person).map_err(misfit)?
                }
                _ => None,
            };
            // What the network says is compared where it says something.
            let mut found = [None; crate::pose::LANDMARKS];
            for point in points.iter().flat_map(|points| &points.pixels) {
                let at = DVec2::new(f64::from(point.at[0]), f64::from(point.at[1]));
                found[point.landmark] = Some(at);
                seen.points.push((at, point.confidence));
            }
            if let (Some(estimate), Some(loaded)) = (&estimate, body) {
                let pose = pose(estimate);
                let placed = loaded.body.landmarks(&pose, &estimate.shape);
                let pixel = |p: DVec3| DVec2::from(self.camera().project(p));
                found = placed.map(|place| place.filter(|p| p.z > 0.0).map(pixel));
            }
            let has_said = points.is_some() || estimate.is_some();
            seen.missed += usize::from(!has_said);
            seen.off += match points.filter(|points| points.pixels.is_empty() && estimate.is_none()) {
                Some(points) => distance_in_metres(person, points),
                None => distance(person, &found),
            };
            seen.bodies.extend(estimate);
        }
        seen.off /= self.people.len().max(1) as f64;
        seen.crops = crops;
        seen.known = self.people.len();
        Ok(seen)
    }
}

/// Outputs in lines, and whether all scores are from 0 to 1.
fn described(outputs: &Outputs) -> (Vec<String>, bool) {
    let lines = outputs.all().map(|(key, name, tensor)| numbers(key, &name, tensor)).collect();
    let mut scores = outputs.all().filter(|(key, ..)| ["scores", "confidence"].contains(key));
    (lines, scores.all(|(_, _, tensor)| tensor.values.iter().all(|v| (0.0..=1.0).contains(v))))
}

/// Landmarks of those who were found.
fn tracker_people(candidates: crate::track::Candidates, tracker: &mut Tracker) -> Vec<Landmarks> {
    let keyframe = tracker.associate(candidates);
    keyframe.observations().into_iter().map(|one| one.observation.landmarks).collect()
}

/// For drawing.
pub fn pose(estimate: &BodyEstimate) -> crate::body::Pose {
    crate::body::Pose {
        position: estimate.position,
        rotations: estimate.rotations.clone(),
        confidence: vec![1.0; estimate.rotations.len()],
    }
}

/// Mean distance of the visible joints over the person's size, at most 1; 1 where there are none.
fn distance(person: &Landmarks, found: &[Option<DVec2>]) -> f64 {
    let visible = JOINTS.iter().filter(|&&joint| person.points[joint].visibility >= VISIBLE);
    let off: Vec<f64> = visible
        .filter_map(|&joint| Some(found[joint]?.distance(person.at(joint)) / f64::from(person.extent())))
        .collect();
    if off.is_empty() { 1.0 } else { (off.iter().sum::<f64>() / off.len() as f64).min(1.0) }
}

/// The same in metres, over a person's height.
fn distance_in_metres(person: &Landmarks, points: &SeenPoints) -> f64 {
    let mut moved = person.clone();
    moved.take(points);
    let off = points.world.iter().map(|&(landmark, _)| {
        let [a, b] = [&moved, person].map(|landmarks| DVec3::from(landmarks.world[landmark].map(f64::from)));
        a.distance(b) / STATURE
    });
    (off.sum::<f64>() / points.world.len().max(1) as f64).min(1.0)
}

impl Seen {
    /// Whether it is so far from what meshreel sees that something must be wrong.
    pub fn is_wrong(&self, purpose: Purpose) -> bool {
        match purpose {
            // Detectors differ in how sure they are; most people should be seen.
            Purpose::Detector => 2 * self.missed > self.known,
            Purpose::KeyPoints | Purpose::Body => self.off >= WRONG,
        }
    }

    /// How near it is, in words.
    pub fn verdict(&self, purpose: Purpose) -> String {
        let Self { missed, known, .. } = *self;
        match purpose {
            Purpose::Detector => {
                let best = self.detections.iter().map(|found| found.score).fold(0.0, f32::max);
                let scores = if best > 0.0 { format!("; its best score is {best:.2}") } else { String::new() };
                format!("it sees {} of the {known} people whom meshreel's own detector sees{scores}", known - missed)
            }
            Purpose::KeyPoints | Purpose::Body if missed == known => {
                format!("it says nothing usable of the {known} people whom it was shown")
            }
            Purpose::KeyPoints | Purpose::Body => {
                let percent = 100.0 * self.off;
                let silent = if missed > 0 { format!("; it says nothing usable of {missed}") } else { String::new() };
                let more = if self.off >= UNUSUAL { ": look at the picture that is drawn" } else { "" };
                format!(
                    "its joints are {percent:.1} % of a person's size from those that meshreel's own network sees (up to 5 % is usual{more}){silent}"
                )
            }
        }
    }
}
