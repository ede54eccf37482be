//! Stage 3 of tracking, second half: who is looked at in which of the frames between two keyframes.
//!
//! Nothing that a body does from one frame to the next is news, so people are looked at as often as their motion asks for ([`LooksBetween`]):
//! in the middle first, and wherever a look finds them off the way between the looks before and after it, in the middles of both halves again.
//! Who moves evenly from keyframe to keyframe is not looked at between them at all, who is small in the middle only. In all other frames people are
//! interpolated (`gaps`). Which frames these are depends on the clip alone. [`LooksBetween::resolve`] makes observations of tracklets of what was
//! found.

use std::collections::BTreeMap;

use glam::DVec2;

use super::TrackletObservation;
use super::associate::Keyframe;
use super::camera::Trajectory;
use super::gaps::on_the_way;
use super::refine::{PredictedRegion, regions_between};
use super::similarity::{is_duplicate, is_one_pose, is_plausible, is_shadow_of, is_small, joints_off, size_difference};
use super::tracker::Tracker;
use crate::pose::{Landmarks, MaskedRegion, Observation};

/// Distance from where somebody was predicted, over the smaller region's side, beyond which a neighbour was found instead.
const NEIGHBOUR: f64 = 0.35;
/// The same for the difference in size (|ln| of the ratio of the sides).
const NEIGHBOUR_SIZE: f64 = 0.6;
/// How far a joint may be off the way between the looks before and after, over the body's extent, where nobody need look closer.
const OFF_THE_WAY: f64 = 0.04;
/// How far a joint may be off the straight way between two keyframes, as it is accelerated, over the body's extent, where nobody need look between them.
const STEADY: f64 = 0.008;

/// The looks at everybody in the frames between two keyframes. Ask [`Self::queries`], give [`Self::answer`], until there are no more.
#[derive(Debug, Clone)]
pub struct LooksBetween {
    display: [u32; 2],
    /// Indices of the frames that may be looked at, in order, with the keyframes at both ends.
    frames: Vec<u64>,
    /// How the scene moves from each of them to the first, displayed pixels.
    back: Vec<DVec2>,
    /// In order of tracklet number.
    people: Vec<Looks>,
}

/// The looks at one person. Places are those in [`LooksBetween::frames`].
#[derive(Debug, Clone)]
struct Looks {
    /// Where they should be, by place: as many as there are frames between.
    predicted: Vec<PredictedRegion>,
    /// What was found, by place; a place that is missing was not looked at. On keyframes as well, for those who are on both.
    found: BTreeMap<usize, Option<Observation>>,
    /// Places to look at next, each with those of the looks before and after it.
    open: Vec<[usize; 3]>,
    /// Whether they are looked at again before and after a look that finds them off the way.
    may_look_closer: bool,
}

/// What was observed between two keyframes.
#[derive(Debug, Default)]
pub struct Between {
    /// By frame.
    pub observations: BTreeMap<u64, Vec<TrackletObservation>>,
    /// For the observations on the later keyframe, by tracklet: [`TrackletObservation::skipped`].
    pub skipped: Vec<(u32, Vec<u64>)>,
}

impl Tracker {
    /// The looks in some of the frames between two keyframes, of these indices. `earlier`: the keyframe before those, where there is one. With `all`
    /// everybody is looked at in all of the frames.
    pub fn looks_between(
        &self,
        earlier: Option<&Keyframe>,
        [before, after]: [&Keyframe; 2],
        frames: impl Iterator<Item = u64>,
        trajectory: &Trajectory,
        all: bool,
    ) -> LooksBetween {
        let frames: Vec<u64> = std::iter::once(before.index).chain(frames).chain([after.index]).collect();
        let back = frames.iter().map(|&frame| trajectory.moved(frame, before.index)).collect();
        let mut people: BTreeMap<u32, Vec<PredictedRegion>> = BTreeMap::new();
        for &frame in &frames[1..frames.len() - 1] {
            for predicted in regions_between([before, after], frame, self.display, trajectory) {
                people.entry(predicted.tracklet).or_default().push(predicted);
            }
        }
        let on =
            |keyframe: &Keyframe, tracklet: u32| keyframe.person(tracklet).map(|person| person.observation.clone());
        let looks = |(tracklet, predicted): (u32, Vec<PredictedRegion>)| {
            let last = predicted.len() + 1;
            let ends = [on(before, tracklet), on(after, tracklet)];
            let is_on_both = ends.iter().all(Option::is_some);
            let is_small = predicted.iter().all(|p| is_small(&p.at.region, self.display));
            let asks_all = all || !(is_on_both || is_small);
            let is_steady = || earlier.is_some_and(|earlier| is_steady([earlier, before, after], tracklet, trajectory));
            let open = match asks_all {
                true => (1..last).map(|place| [0, place, last]).collect(),
                false if is_on_both && !is_small && is_steady() => Vec::new(),
                false => middle(0, last).collect(),
            };
            let found = [0, last].into_iter().zip(ends).filter(|(_, end)| end.is_some()).collect();
            Looks { predicted, found, open, may_look_closer: is_on_both && !asks_all && !is_small }
        };
        LooksBetween { display: self.display, frames, back, people: people.into_iter().map(looks).collect() }
    }
}

/// Whether somebody moves so evenly over three keyframes that there is nothing to see between the last two: as they are accelerated, no joint is
/// off the straight way there by more than [`STEADY`].
fn is_steady(keyframes: [&Keyframe; 3], tracklet: u32, trajectory: &Trajectory) -> bool {
    let in_scene = |keyframe: &Keyframe| {
        let mut landmarks = keyframe.person(tracklet)?.observation.landmarks.clone();
        landmarks.shift(trajectory.moved(keyframe.index, keyframes[1].index));
        Some(landmarks)
    };
    let [Some(a), Some(b), Some(c)] = keyframes.map(in_scene) else { return false };
    let [first, second] = [1, 2].map(|k| (keyframes[k].index - keyframes[k - 1].index) as f32);
    // Were the motion even, the last would be there.
    let goes_on = on_the_way(&a, &b, 1.0 + second / first);
    let off = joints_off(&c, &goes_on);
    // In the middle of a path that bends by so much at its end.
    off * f64::from(second / (first + second)) / 4.0 < STEADY
}

/// The place halfway between two places, where there is one, with them.
fn middle(before: usize, after: usize) -> impl Iterator<Item = [usize; 3]> {
    (after - before > 1).then_some([before, (before + after) / 2, after]).into_iter()
}

impl LooksBetween {
    /// Where to look next: positions among the frames between the keyframes, and what to look for there. Nowhere at the end.
    pub fn queries(&self) -> Vec<(usize, PredictedRegion)> {
        let of = |looks: &Looks| {
            let query = |&at: &[usize; 3]| (at[1] - 1, self.predicted(looks, at));
            looks.open.iter().map(query).collect::<Vec<_>>()
        };
        self.people.iter().flat_map(of).collect()
    }

    /// Where somebody should be at a place: what was found before and after it tells that better than the keyframes do.
    fn predicted(&self, looks: &Looks, [before, place, after]: [usize; 3]) -> PredictedRegion {
        let mut predicted = looks.predicted[place - 1].clone();
        if predicted.at.within.is_none()
            && predicted.at.hidden.is_empty()
            && let Some(mut way) = self.way(looks, [before, place, after])
        {
            way.shift(-self.back[place]);
            predicted.at = MaskedRegion::from(way.region());
        }
        predicted
    }

    /// The body at a place on the straight way from one look to another, in the scene as it lies in the first frame.
    fn way(&self, looks: &Looks, [before, place, after]: [usize; 3]) -> Option<Landmarks> {
        let [a, b] = [before, after].map(|place| self.in_scene(looks, place));
        let [from, at, to] = [before, place, after].map(|place| self.frames[place] as f32);
        Some(on_the_way(&a?, &b?, (at - from) / (to - from)))
    }

    /// What was found at a place, in the scene as it lies in the first frame.
    fn in_scene(&self, looks: &Looks, place: usize) -> Option<Landmarks> {
        let mut landmarks = looks.found.get(&place)?.as_ref()?.landmarks.clone();
        landmarks.shift(self.back[place]);
        Some(landmarks)
    }

    /// Takes the answers to the queries, in their order.
    pub fn answer(&mut self, answers: Vec<Option<Observation>>) {
        let mut answers = answers.into_iter();
        for person in 0..self.people.len() {
            for at in std::mem::take(&mut self.people[person].open) {
                let [before, place, after] = at;
                let found = answers.next().flatten().filter(|found| self.is_there(&self.people[person], place, found));
                self.people[person].found.insert(place, found);
                let looks = &self.people[person];
                if looks.may_look_closer && !self.is_on_the_way(looks, at) {
                    let closer = middle(before, place).chain(middle(place, after));
                    self.people[person].open.extend(closer);
                }
            }
        }
    }

    /// Whether somebody who was found can be the one who was looked for, rather than a neighbour.
    fn is_there(&self, looks: &Looks, place: usize, found: &Observation) -> bool {
        let predicted = &looks.predicted[place - 1];
        let (region, own) = (predicted.at.region, found.landmarks.region());
        is_plausible(&found.landmarks, self.display, predicted.is_detected)
            && distance(predicted, found) < NEIGHBOUR
            && size_difference(&region, &own) < NEIGHBOUR_SIZE
    }

    /// Whether somebody was found on the way between the looks before and after.
    fn is_on_the_way(&self, looks: &Looks, at: [usize; 3]) -> bool {
        let off = self.way(looks, at).zip(self.in_scene(looks, at[1])).map(|(way, found)| joints_off(&found, &way));
        off.is_some_and(|off| off < OFF_THE_WAY)
    }

    /// Everybody who was found: the position among the frames between the keyframes, the tracklet, and what was observed. In order of tracklets,
    /// and of the frames of each.
    pub fn found(&mut self) -> impl Iterator<Item = (usize, u32, &mut Observation)> {
        let frames = 1..self.frames.len() - 1;
        self.people.iter_mut().flat_map(move |looks| {
            let tracklet = looks.predicted.first().map_or(0, |predicted| predicted.tracklet);
            let between = looks.found.range_mut(frames.clone());
            between.filter_map(move |(&place, found)| Some((place - 1, tracklet, found.as_mut()?)))
        })
    }

    /// Index of the keyframe before.
    pub fn first(&self) -> u64 {
        self.frames[0]
    }

    /// Index of the keyframe after.
    pub fn last(&self) -> u64 {
        self.frames[self.frames.len() - 1]
    }

    /// What was observed. Of several observations of one person in a frame those stay that are on both keyframes, then those nearest to where
    /// they were predicted.
    pub fn resolve(self) -> Between {
        let mut between = Between::default();
        for (place, &frame) in self.frames.iter().enumerate().take(self.frames.len() - 1).skip(1) {
            let found: Vec<(&PredictedRegion, &Observation)> = self
                .people
                .iter()
                .filter_map(|looks| Some((&looks.predicted[place - 1], looks.found.get(&place)?.as_ref()?)))
                .collect();
            if !found.is_empty() {
                between.observations.insert(frame, without_doubles(frame, &found));
            }
        }
        for looks in &self.people {
            let Some(tracklet) = looks.predicted.first().map(|predicted| predicted.tracklet) else { continue };
            let is_end = |place: usize| place == 0 || place + 1 == self.frames.len();
            let mut before = None;
            let mut skipped = Vec::new();
            for &place in looks.found.keys() {
                let frame = self.frames[place];
                skipped.extend(before.into_iter().flat_map(|before| before + 1..frame));
                let found = between.observed(frame, tracklet);
                before = (found.is_some() || is_end(place)).then_some(frame);
                match found {
                    Some(one) => one.skipped = std::mem::take(&mut skipped),
                    None if place > 0 && is_end(place) => {
                        between.skipped.push((tracklet, std::mem::take(&mut skipped)))
                    }
                    None => {}
                }
            }
        }
        between
    }
}

impl Between {
    /// What was observed of a tracklet in a frame.
    fn observed(&mut self, frame: u64, tracklet: u32) -> Option<&mut TrackletObservation> {
        self.observations.get_mut(&frame)?.iter_mut().find(|one| one.tracklet == tracklet)
    }
}

/// Distance from where somebody was predicted, over the smaller region's side.
fn distance(predicted: &PredictedRegion, found: &Observation) -> f64 {
    let (region, own) = (predicted.at.region, found.landmarks.region());
    region.center.distance(own.center) / region.side.min(own.side)
}

/// The people who were found in a frame between keyframes, each once.
pub(super) fn without_doubles(frame: u64, found: &[(&PredictedRegion, &Observation)]) -> Vec<TrackletObservation> {
    let is_double = |i: usize| {
        let rank = |n: usize| (!found[n].0.is_on_both, distance(found[n].0, found[n].1), n);
        found.iter().enumerate().any(|(j, other)| {
            let (a, b) = (&found[i].1.landmarks, &other.1.landmarks);
            let is_behind = |n: usize| !found[n].0.at.hidden.is_empty();
            if (found[i].0.is_detected_on_both && other.0.is_detected_on_both) || is_behind(i) != is_behind(j) {
                return rank(j) < rank(i) && is_one_pose(a, b);
            }
            j != i && ((rank(j) < rank(i) && is_duplicate(a, b)) || (a.quality() < b.quality() && is_shadow_of(a, b)))
        })
    };
    let kept = (0..found.len()).filter(|&i| !is_double(i)).map(|i| found[i]);
    kept.map(|(predicted, observation)| TrackletObservation {
        is_behind: !predicted.at.hidden.is_empty(),
        ..TrackletObservation::new(frame, predicted.tracklet, observation.clone())
    })
    .collect()
}
