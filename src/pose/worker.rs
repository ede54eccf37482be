//! The stateless work of detection workers: pictures and queries in, answers out, whoever does it.

use std::collections::{BTreeMap, btree_map::Entry};
use std::sync::Arc;

use super::hand::HandLandmarker;
use super::own::{OwnAnswer, OwnDetector, OwnNetwork};
use super::{
    Answer, AppearanceHistogram, Device, Landmarker, Landmarks, MaskedRegion, Observation, PersonDetector, Picture,
    PoseError, Query, RegionDetector, Runtime, SeenHands, first_regions, optimized,
};
use crate::models::{ModelName, Models, Network, NetworkDescription, Purpose};

/// What the second of two looks at a person is better by, on the scale of [`Landmarks::quality`]: its region is placed better.
const SECOND_LOOK_BONUS: f32 = 0.1;

/// The networks of one worker thread.
pub struct Worker {
    runtime: Runtime,
    models: Models,
    person_detector: Option<PersonDetector>,
    region_detector: Option<RegionDetector>,
    landmarkers: BTreeMap<Network, Landmarker>,
    hand_landmarker: Option<HandLandmarker>,
    /// The user's own that were asked about people.
    own: BTreeMap<ModelName, OwnNetwork>,
    /// The user's own person detectors that were asked.
    own_detectors: BTreeMap<ModelName, OwnDetector>,
}

impl Worker {
    /// Networks are opened when they are first asked for.
    pub fn new(runtime: Runtime, models: Models) -> Self {
        Self {
            runtime,
            models,
            person_detector: None,
            region_detector: None,
            landmarkers: BTreeMap::new(),
            hand_landmarker: None,
            own: BTreeMap::new(),
            own_detectors: BTreeMap::new(),
        }
    }

    /// Regions that a landmark network is best shown at a time ([`Runtime::batch`]).
    pub fn batch(&self) -> usize {
        self.runtime.batch()
    }

    /// Opens a network now, so that the first picture does not wait for it (and a missing file is noticed early).
    ///
    /// # Errors
    /// When the file is missing or is not a network.
    pub fn open(&mut self, network: Network) -> Result<(), PoseError> {
        self.landmarker(network).map(|_| ())
    }

    /// The same for a network of the user's own.
    ///
    /// # Errors
    /// When its file is missing or no network, or does not fit its description.
    pub fn open_own(&mut self, description: &Arc<NetworkDescription>) -> Result<(), PoseError> {
        match description.purpose() {
            Purpose::Detector => self.own_detector(description).map(|_| ()),
            Purpose::KeyPoints | Purpose::Body => self.own_network(description).map(|_| ()),
        }
    }

    /// Whether closing would give memory back: networks are open, and not on a GPU, where they take seconds to open and hold
    /// little of this machine's memory.
    pub fn is_worth_closing(&self) -> bool {
        let own = self.own.len() + self.own_detectors.len();
        let detectors = self.person_detector.is_some() || self.region_detector.is_some();
        let landmarkers = self.hand_landmarker.is_some() || !self.landmarkers.is_empty();
        let is_open = detectors || landmarkers || own > 0;
        is_open && self.runtime.device() == Device::Cpu
    }

    /// What a network of the user's own says of people, given the landmarks that were found of each.
    ///
    /// # Errors
    /// When it cannot be opened, does not fit its description, or fails.
    pub fn look(
        &mut self,
        description: &Arc<NetworkDescription>,
        people: &[(Picture<'_>, &Landmarks)],
    ) -> Result<Vec<Option<OwnAnswer>>, PoseError> {
        self.own_network(description)?.look(people)
    }

    fn own_network(&mut self, description: &Arc<NetworkDescription>) -> Result<&mut OwnNetwork, PoseError> {
        self.own.retain(|name, own| *name != description.name || own.is_of(description));
        match self.own.entry(description.name) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => Ok(entry.insert(OwnNetwork::new(&self.runtime, description)?)),
        }
    }

    fn person_detector(&mut self) -> Result<&mut PersonDetector, PoseError> {
        match &mut self.person_detector {
            Some(detector) => Ok(detector),
            none => Ok(none.insert(PersonDetector::new(&self.runtime, &self.models.person_detector())?)),
        }
    }

    fn own_detector(&mut self, description: &Arc<NetworkDescription>) -> Result<&mut OwnDetector, PoseError> {
        self.own_detectors.retain(|name, own| *name != description.name || own.is_of(description));
        match self.own_detectors.entry(description.name) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => Ok(entry.insert(OwnDetector::new(&self.runtime, description)?)),
        }
    }

    /// Closes the networks until they are needed again, and gives their memory back to the system.
    pub fn close(&mut self) {
        (self.person_detector, self.region_detector, self.hand_landmarker) = (None, None, None);
        self.own.clear();
        self.own_detectors.clear();
        self.runtime.close_large();
        self.landmarkers.clear();
        optimized::forget();
        crate::memory::give_back();
    }

    fn landmarker(&mut self, network: Network) -> Result<&mut Landmarker, PoseError> {
        match self.landmarkers.entry(network) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let model = self.models.landmarker(network);
                Ok(entry.insert(Landmarker::new(&self.runtime, &model, self.runtime.batch())?))
            }
        }
    }

    /// What is seen of the hands of people whose landmarks are known: of all that are in the picture, or, `only_large`, of those that
    /// are large enough.
    ///
    /// # Errors
    /// When the network cannot be opened or fails.
    pub fn hands(
        &mut self,
        people: &[(Picture<'_>, &Landmarks)],
        only_large: bool,
    ) -> Result<Vec<SeenHands>, PoseError> {
        let mut places = Vec::new();
        let mut regions = Vec::new();
        for (person, (picture, landmarks)) in people.iter().enumerate() {
            for (side, region) in first_regions(landmarks, picture.geometry.display, only_large).into_iter().enumerate()
            {
                if let Some(region) = region {
                    places.push((person, side));
                    regions.push((*picture, region));
                }
            }
        }
        let mut hands: Vec<SeenHands> = people.iter().map(|_| [None, None]).collect();
        if regions.is_empty() {
            return Ok(hands);
        }
        let landmarker = match &mut self.hand_landmarker {
            Some(landmarker) => landmarker,
            none => {
                let batch = self.runtime.batch();
                none.insert(HandLandmarker::new(&self.runtime, &self.models.hand_landmarker(), batch)?)
            }
        };
        for ((person, side), hand) in places.into_iter().zip(landmarker.hands(&regions)?) {
            hands[person][side] = hand.map(Box::new);
        }
        Ok(hands)
    }

    /// Answers queries, in their order. Those for one landmark network that follow each other are answered in batches
    /// ([`Runtime::batch`]). Persons are detected by `detector`, where there is one of the user's own.
    ///
    /// # Errors
    /// When a network cannot be opened or fails.
    pub fn answer(
        &mut self,
        detector: Option<&Arc<NetworkDescription>>,
        queries: &[(Picture<'_>, Query)],
    ) -> Result<Vec<Answer>, PoseError> {
        let mut answers = Vec::with_capacity(queries.len());
        for alike in queries.chunk_by(|(_, a), (_, b)| a.is_batched_with(b)) {
            let (picture, query) = &alike[0];
            match *query {
                Query::DetectPersons(tile) => {
                    let found = match detector {
                        Some(own) => self.own_detector(own)?.detect(picture, tile)?,
                        None => self.person_detector()?.detect(picture, tile)?,
                    };
                    answers.push(Answer::PersonDetections(found));
                }
                Query::DetectRegions(window) => {
                    let detector = match &mut self.region_detector {
                        Some(detector) => detector,
                        none => none.insert(RegionDetector::new(&self.runtime, &self.models.region_detector())?),
                    };
                    answers.push(Answer::RegionDetections(detector.detect(picture, window)?));
                }
                Query::Landmarks { network, .. } => answers.extend(self.observe(alike, network)?),
            }
        }
        Ok(answers)
    }

    /// Answers [`Query::Landmarks`]s with one network.
    fn observe(&mut self, queries: &[(Picture<'_>, Query)], network: Network) -> Result<Vec<Answer>, PoseError> {
        let asked: Vec<(Picture<'_>, MaskedRegion, f64)> = queries
            .iter()
            .filter_map(|(picture, query)| match query {
                Query::Landmarks { at, tolerance, .. } => Some((*picture, at.clone(), *tolerance)),
                Query::DetectPersons(_) | Query::DetectRegions(_) => None,
            })
            .collect();
        let landmarker = self.landmarker(network)?;
        let regions: Vec<_> = asked.iter().map(|(picture, at, _)| (*picture, at.clone())).collect();
        let mut found = landmarker.landmarks(&regions)?;
        let is_off = |(index, landmarks): (usize, &Option<Landmarks>)| {
            let (picture, at, tolerance) = &asked[index];
            let landmarks = landmarks.as_ref().filter(|l| l.score >= Observation::MIN_SCORE)?;
            let own = landmarks.region();
            (own.is_usable() && at.region.difference(&own) > *tolerance)
                .then(|| (index, (*picture, MaskedRegion { region: own, ..at.clone() })))
        };
        let (indices, again): (Vec<usize>, Vec<_>) = found.iter().enumerate().filter_map(is_off).unzip();
        for (index, second) in indices.into_iter().zip(landmarker.landmarks(&again)?) {
            // The second look may lose the person (the first was at the edge of its region): keep the better.
            let quality = |l: &Landmarks| l.quality_at(asked[index].1.region.rotation);
            let first = found[index].as_ref().map_or(0.0, quality);
            if second
                .as_ref()
                .is_some_and(|s| s.score >= Observation::MIN_SCORE && quality(s) + SECOND_LOOK_BONUS >= first)
            {
                found[index] = second;
            }
        }
        let observation = |(landmarks, (picture, at, _)): (Option<Landmarks>, (Picture<'_>, MaskedRegion, f64))| {
            let landmarks = landmarks.filter(|l| l.score >= Observation::MIN_SCORE)?;
            Some(Observation { appearance: AppearanceHistogram::new(&picture, &landmarks, &at.hidden), landmarks })
        };
        Ok(found.into_iter().zip(asked).map(|each| Answer::Observation(observation(each))).collect())
    }
}
