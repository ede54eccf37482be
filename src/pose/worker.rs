//! The stateless work of detection workers: a picture and a [`Work`] in, a [`Found`] out, whoever does it.

use crate::models::Network;
use std::collections::BTreeMap;

use glam::DVec2;
use serde::{Deserialize, Serialize};

use super::{
    Detection, Detector, Device, Figure, Finder, Landmarker, Landmarks, Picture, PoseError, Runtime, Spot, View,
    Window, optimized,
    skeleton::{HIPS, KNEES, Pair, SHOULDERS},
};
use crate::models::Models;

/// One expensive question about one picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Work {
    /// Who is in this view?
    Find(View),
    /// Who is in this window, and how do they stand?
    Detect(Window),
    /// Who is in this spot? Looks again, at the region that the landmarks ask for, when that is more than `tolerance`
    /// away ([`super::Region::difference`]).
    Look {
        /// Where.
        spot: Spot,
        /// With which network.
        network: Network,
        /// Use `f64::INFINITY` to look once.
        tolerance: f64,
    },
}

impl Work {
    /// Whether both are looks with the same network: it can be shown both at once.
    pub fn is_batched_with(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Look { network: a, .. }, Self::Look { network: b, .. }) if a == b)
    }
}

/// The answer to a [`Work`].
#[allow(clippy::large_enum_variant)] // few exist at a time, and most are persons
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// To [`Work::Find`].
    Figures(Vec<Figure>),
    /// To [`Work::Detect`].
    People(Vec<Detection>),
    /// To [`Work::Look`]; `None` when nobody is there.
    Person(Option<Sight>),
}

/// One person in one picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sight {
    /// Body points.
    pub landmarks: Landmarks,
    /// Colours of the clothes.
    pub look: Look,
}

/// Bins for each of Y, Cb and Cr.
const BINS: usize = 6;

/// Colour histograms of torso and thighs, to tell people apart.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Look {
    /// For torso and thighs: the bins of Y, Cb, Cr, each three adding up to about 255.
    parts: [[u8; 3 * BINS]; 2],
}

impl Look {
    /// Samples the clothes between shoulders, hips and knees.
    fn new(picture: &Picture<'_>, landmarks: &Landmarks) -> Self {
        let corners = |[a, b]: Pair, [c, d]: Pair| [a, b, c, d].map(|i| landmarks.at(i));
        let torso = histogram(picture, corners(SHOULDERS, HIPS));
        let thighs = histogram(picture, corners(HIPS, KNEES));
        Self { parts: [torso, thighs] }
    }

    /// A look whose every sample had this colour (for tests of what uses looks).
    pub fn of_colour(yuv: [u8; 3]) -> Self {
        let mut bins = [0.0; 3 * BINS];
        add(&mut bins, yuv.map(f32::from));
        Self { parts: [bins.map(|v| (v * 255.0).round() as u8); 2] }
    }

    /// 0 for the same colours, 1 for nothing in common.
    pub fn distance(&self, other: &Look) -> f64 {
        let total: u32 = self
            .parts
            .as_flattened()
            .iter()
            .zip(other.parts.as_flattened())
            .map(|(a, b)| u32::from(a.abs_diff(*b)))
            .sum();
        f64::from(total) / f64::from(255u32 * 2 * 2 * 3)
    }

    /// The mean of several looks.
    pub fn mean<'a>(looks: impl Iterator<Item = &'a Look>) -> Look {
        let (mut sum, mut count) = ([0u32; 6 * BINS], 0u32);
        for look in looks {
            sum.iter_mut().zip(look.parts.as_flattened()).for_each(|(s, &v)| *s += u32::from(v));
            count += 1;
        }
        let mut mean = Look::default();
        mean.parts.as_flattened_mut().iter_mut().zip(sum).for_each(|(m, s)| *m = (s / count.max(1)) as u8);
        mean
    }
}

/// Splits each channel between its two nearest bins. Chroma seldom leaves 64..192, so its bins lie there.
fn add(bins: &mut [f32; 3 * BINS], yuv: [f32; 3]) {
    for (channel, value) in yuv.into_iter().enumerate() {
        let unit = if channel == 0 { value / 255.0 } else { (value - 80.0) / 96.0 };
        let position = unit.clamp(0.0, 1.0) * (BINS - 1) as f32;
        let (first, share) = (position as usize, position.fract());
        bins[channel * BINS + first] += 1.0 - share;
        if first + 1 < BINS {
            bins[channel * BINS + first + 1] += share;
        }
    }
}

/// Histogram of the inner part of a quadrilateral (two upper corners, two lower ones).
fn histogram(picture: &Picture<'_>, [a, b, c, d]: [DVec2; 4]) -> [u8; 3 * BINS] {
    const GRID: usize = 8;
    let mut bins = [0.0; 3 * BINS];
    let inner = |i: usize| 0.15 + 0.7 * (i as f64 + 0.5) / GRID as f64;
    for (row, column) in (0..GRID * GRID).map(|i| (inner(i / GRID), inner(i % GRID))) {
        add(&mut bins, picture.yuv_at(a.lerp(b, column).lerp(c.lerp(d, column), row)));
    }
    bins.map(|v| (v * 255.0 / (GRID * GRID) as f32).round().min(255.0) as u8)
}

/// The networks of one worker thread.
pub struct Worker {
    runtime: Runtime,
    models: Models,
    finder: Option<Finder>,
    detector: Option<Detector>,
    landmarkers: BTreeMap<Network, Landmarker>,
}

impl Worker {
    /// Networks are opened when they are first asked for.
    pub fn new(runtime: Runtime, models: Models) -> Self {
        Self { runtime, models, finder: None, detector: None, landmarkers: BTreeMap::new() }
    }

    /// Looks that are answered at a time ([`Runtime::batch`]).
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

    /// Whether closing would give memory back: networks are open, and not on a GPU, where they take seconds to open and hold
    /// little of this machine's memory.
    pub fn is_worth_closing(&self) -> bool {
        let is_open = self.finder.is_some() || self.detector.is_some() || !self.landmarkers.is_empty();
        is_open && self.runtime.device() == Device::Cpu
    }

    /// Closes the networks until they are needed again, and gives their memory back to the system.
    pub fn close(&mut self) {
        (self.finder, self.detector) = (None, None);
        self.landmarkers.clear();
        optimized::forget();
        crate::memory::give_back();
    }

    fn landmarker(&mut self, network: Network) -> Result<&mut Landmarker, PoseError> {
        use std::collections::btree_map::Entry;
        match self.landmarkers.entry(network) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let model = self.models.landmarker(network);
                Ok(entry.insert(Landmarker::new(&self.runtime, &model, self.runtime.batch())?))
            }
        }
    }

    /// Answers questions, in their order; looks with one network that follow each other are batched ([`Runtime::batch`]).
    ///
    /// # Errors
    /// When a network cannot be opened or fails.
    pub fn perform(&mut self, questions: &[(Picture<'_>, Work)]) -> Result<Vec<Found>, PoseError> {
        let mut found = Vec::with_capacity(questions.len());
        for alike in questions.chunk_by(|(_, a), (_, b)| a.is_batched_with(b)) {
            let (picture, work) = &alike[0];
            match *work {
                Work::Find(view) => {
                    let finder = match &mut self.finder {
                        Some(finder) => finder,
                        none => none.insert(Finder::new(&self.runtime, &self.models.finder())?),
                    };
                    found.push(Found::Figures(finder.find(picture, view)?));
                }
                Work::Detect(window) => {
                    let detector = match &mut self.detector {
                        Some(detector) => detector,
                        none => none.insert(Detector::new(&self.runtime, &self.models.detector())?),
                    };
                    found.push(Found::People(detector.detect(picture, window)?));
                }
                Work::Look { network, .. } => found.extend(self.look(alike, network)?),
            }
        }
        Ok(found)
    }

    /// Answers [`Work::Look`]s with one network.
    fn look(&mut self, questions: &[(Picture<'_>, Work)], network: Network) -> Result<Vec<Found>, PoseError> {
        let asked: Vec<(Picture<'_>, Spot, f64)> = questions
            .iter()
            .filter_map(|(picture, work)| match *work {
                Work::Look { spot, tolerance, .. } => Some((*picture, spot, tolerance)),
                Work::Find(_) | Work::Detect(_) => None,
            })
            .collect();
        let landmarker = self.landmarker(network)?;
        let spots: Vec<_> = asked.iter().map(|&(picture, spot, _)| (picture, spot)).collect();
        let mut found = landmarker.landmarks(&spots)?;
        let is_off = |(index, landmarks): (usize, &Option<Landmarks>)| {
            let (picture, spot, tolerance) = asked[index];
            let landmarks = landmarks.as_ref().filter(|l| l.score >= Sight::MIN_SCORE)?;
            let own = landmarks.region();
            (own.is_usable() && spot.region.difference(&own) > tolerance)
                .then_some((index, (picture, Spot { region: own, ..spot })))
        };
        let (indices, again): (Vec<usize>, Vec<_>) = found.iter().enumerate().filter_map(is_off).unzip();
        for (index, second) in indices.into_iter().zip(landmarker.landmarks(&again)?) {
            // The second look may lose the person (the first was at the edge of its region): keep the better.
            let quality = |l: &Landmarks| l.quality_at(asked[index].1.region.rotation);
            let first = found[index].as_ref().map_or(0.0, quality);
            if second.as_ref().is_some_and(|s| s.score >= Sight::MIN_SCORE && quality(s) + SECOND_LOOK_BONUS >= first) {
                found[index] = second;
            }
        }
        let sight = |(landmarks, (picture, ..)): (Option<Landmarks>, (Picture<'_>, Spot, f64))| {
            let landmarks = landmarks.filter(|l| l.score >= Sight::MIN_SCORE)?;
            Some(Sight { look: Look::new(&picture, &landmarks), landmarks })
        };
        Ok(found.into_iter().zip(asked).map(|each| Found::Person(sight(each))).collect())
    }
}

/// A second look is at a better placed region.
const SECOND_LOOK_BONUS: f32 = 0.1;

impl Sight {
    /// Below this probability nobody is there. (MediaPipe asks for 0.5; blurred and half hidden people have less.)
    pub const MIN_SCORE: f32 = 0.15;
}
