//! The part of the search on a keyframe that is about people who are covered by others.

use glam::DVec2;

use super::associate::SAME_APPEARANCE;
use super::behind::LooksBehind;
use super::detect::{Candidate, Find, MOST_NEW, Search, around};
use super::detections::SAME_PERSON;
use super::similarity::{is_large, is_one_pose, is_plausible, is_shadow_of, is_small};
use super::track_state::TrackletState;
use super::tracker::Tracker;
use crate::pose::{Landmarks, MaskedRegion, Observation, PersonDetection, RotatedRegion, Silhouette, area, shared};

/// How well somebody who was behind others must fit ([`TrackletState::fits`]), where the person detector does not see them clearly: what fits less is taken
/// for parts of those in front.
const LEAST_FIT: f32 = 0.7;
/// Share of somebody's bounds that another's must share to cover them.
const LEAST_COVERED: f32 = 0.05;
/// Area of somebody's bounds over another's below which they are too far away to cover them.
const LEAST_SIZE: f32 = 0.25;
/// People behind whom somebody is looked for on one keyframe, at most.
const MOST_BEHIND: usize = 4;

impl Search<'_> {
    /// Where to look again for those tracked on whom somebody lies in the picture who fits their own place better, or was in front before: they
    /// may be behind, and the network may have taken the other for them. Or what was found of them may be a body made of two people's limbs, where the
    /// person detector sees both: then only their own box is shown.
    pub(super) fn covered(&self, found: &[Option<Candidate>]) -> Vec<(usize, MaskedRegion)> {
        let display = self.tracker.display;
        let all = || self.tracker.states.iter().zip(&self.predicted);
        let fits = all().zip(found).map(|((state, predicted), found)| {
            found.as_ref().map_or(f32::MIN, |c| state.fits(predicted, &c.find.observation))
        });
        let fits: Vec<f32> = fits.collect();
        let behind = all().enumerate().filter_map(|(person, (state, &region))| {
            if is_small(&region, display) || !region.is_usable() {
                return None;
            }
            let bounds = state.moved_to(&region).bounds();
            let was_behind = |person: usize| self.tracker.states[person].is_behind;
            let is_in_front = |(other, _): &(usize, &Landmarks)| {
                let fits_better = fits[*other] > fits[person];
                let is_as_before = was_behind(person) && !was_behind(*other);
                *other != person && (is_as_before || (fits_better && was_behind(person) == was_behind(*other)))
            };
            let others = found.iter().enumerate().filter_map(|(other, c)| Some((other, c.as_ref()?.landmarks())));
            let hidden = in_front(&bounds, others.filter(is_in_front).map(|(_, landmarks)| landmarks), display);
            let is_mixed = |own: &&PersonDetection| {
                let found = found[person].as_ref().map(|c| c.landmarks().visible_bounds(display));
                found.is_some_and(|found| self.detections.has_another(own, &found))
            };
            let own = self.detections.certain(&bounds).filter(|_| is_large(&region, display)).filter(is_mixed);
            let at = MaskedRegion { region, within: own.map(|own| around(own.bounds)), hidden };
            (at.within.is_some() || !at.hidden.is_empty()).then_some((person, at))
        });
        behind.collect()
    }

    /// Of somebody tracked there is also what was found with those in front painted over: it counts where it fits them better, or where what was
    /// found before is somebody else.
    pub(super) fn take_covered(
        &self,
        person: usize,
        at: &MaskedRegion,
        observation: Option<Observation>,
        found: &mut [Option<Candidate>],
    ) {
        let (state, predicted) = (&self.tracker.states[person], &self.predicted[person]);
        let others = found.iter().enumerate().filter(|(other, _)| *other != person);
        let others: Vec<&Landmarks> = others.filter_map(|(_, c)| Some(c.as_ref()?.landmarks())).collect();
        let is_other = |landmarks: &Landmarks| others.iter().any(|other| is_shadow_of(landmarks, other));
        let was_other = found[person].as_ref().is_some_and(|before| is_other(before.landmarks()));
        let is_detected = |o: &Observation| self.detections.has(&o.landmarks, state.was_detected || state.is_proven);
        // Whoever lies on one of those who were hidden is no mistake, as long as it is not just their pose.
        let is_known = |found: &Landmarks, other: &Landmarks| match at.hidden.contains(&Silhouette::of(other)) {
            true => is_one_pose(found, other),
            false => is_shadow_of(found, other),
        };
        let is_possible = |o: &Observation| {
            is_plausible(&o.landmarks, self.tracker.display, is_detected(o))
                && state.appearance.known_distance(&o.appearance).is_none_or(|unlike| unlike < SAME_APPEARANCE)
                && !others.iter().any(|other| is_known(&o.landmarks, other))
        };
        let Some(observation) = observation.filter(is_possible) else { return };
        let fits = |o: &Observation| state.fits(predicted, o);
        let is_better = |before: &Candidate| was_other || fits(&observation) > fits(&before.find.observation);
        if found[person].as_ref().is_none_or(is_better) {
            let is_masked = at.within.is_some();
            let find = Find { is_behind: !at.hidden.is_empty(), is_masked, ..Find::seen(observation) };
            found[person] = Some(self.rank(find, Some(person)));
        }
    }

    /// Of those who were behind others, what does not fit them is no find: they are lost for now.
    pub(super) fn forget_parts_of_others(&self, found: &mut [Option<Candidate>]) {
        for ((state, predicted), found) in self.tracker.states.iter().zip(&self.predicted).zip(found) {
            let is_part = |c: &Candidate| {
                state.fits(predicted, &c.find.observation) < LEAST_FIT
                    && c.must_be.is_none()
                    && !self.detections.has_clearly(c.landmarks(), false)
            };
            if state.is_behind && found.as_ref().is_some_and(is_part) {
                *found = None;
            }
        }
    }

    /// Where somebody is detected whom the network did not find: those who were found there, painted over.
    pub(super) fn new_covered(&self) -> Vec<(PersonDetection, MaskedRegion)> {
        let display = self.tracker.display;
        let best: Vec<&Landmarks> = self.candidates.iter().map(Candidate::landmarks).collect();
        let missed = self.detections.of_others(best.iter().copied(), SAME_PERSON).filter_map(|detection| {
            let region = detection.region();
            let hidden = in_front(&detection.bounds, best.iter().copied(), display);
            let is_asked = region.is_usable() && !is_small(&region, display) && !hidden.is_empty();
            let at = MaskedRegion { region, within: Some(around(detection.bounds)), hidden };
            is_asked.then_some((*detection, at))
        });
        missed.take(MOST_NEW).collect()
    }

    /// Where somebody may be behind large people: in their places, with everybody who was found there painted over. Whoever turns head over heels may
    /// have been seen the wrong way round, and would be found behind themselves.
    pub(super) fn behind_large_people(&self) -> LooksBehind {
        let Tracker { network, display, last_keyframe, .. } = *self.tracker;
        let people = self.tracker.states.iter().zip(&self.predicted);
        let is_lost = |state: &TrackletState| last_keyframe.is_some_and(|last| self.tracker.is_lost(state, last));
        let lost: Vec<DVec2> = people.filter(|(state, _)| is_lost(state)).map(|(_, at)| at.center).collect();
        let place = |region: RotatedRegion| {
            let is_near = |c: &&Candidate| c.landmarks().region().center.distance(region.center) < region.side;
            let hidden = self.candidates.iter().filter(is_near).map(|c| Silhouette::of(c.landmarks())).collect();
            MaskedRegion { region, within: None, hidden }
        };
        let is_near_lost = |region: RotatedRegion| lost.iter().any(|at| at.distance(region.center) < region.side / 2.0);
        let is_asked = |c: &&Candidate| {
            let is_due = c.is_new || self.looks_behind_all || is_near_lost(c.landmarks().region());
            is_due && !c.find.is_behind && c.must_be.is_none()
        };
        let regions = self.candidates.iter().filter(is_asked).map(|c| c.landmarks().region());
        let large = regions.filter(|region| region.is_usable() && is_large(region, display));
        LooksBehind::new(network, display, large.take(MOST_BEHIND).map(place))
    }

    /// Of those found behind others those are new who are covered and not known yet.
    pub(super) fn take_behind(&mut self, looks: LooksBehind) {
        let display = self.tracker.display;
        for found in looks.found() {
            let known = || self.candidates.iter().map(Candidate::landmarks);
            let is_covered = !in_front(&found.landmarks.bounds(), known(), display).is_empty();
            if is_covered && !known().any(|known| is_shadow_of(&found.landmarks, known)) {
                let is_agreed = self.tracker.starts_over;
                let find = Find { is_behind: true, is_agreed, ..Find::seen(found) };
                self.candidates.push(self.rank(find, None));
            }
        }
    }
}

/// Of some people those who may cover a good part of somebody within `bounds` (left, top, right and bottom): large ones, and not those who are much
/// smaller, since they are farther away. (Of crowds of small people too little would be left.)
pub(super) fn in_front<'l>(
    bounds: &[f32; 4],
    people: impl Iterator<Item = &'l Landmarks>,
    display: [u32; 2],
) -> Vec<Silhouette> {
    let covers = |landmarks: &&Landmarks| {
        let other = landmarks.bounds();
        shared(bounds, &other) > LEAST_COVERED * area(bounds)
            && area(&other) > LEAST_SIZE * area(bounds)
            && is_large(&landmarks.region(), display)
    };
    people.filter(covers).map(Silhouette::of).collect()
}
