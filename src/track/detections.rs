//! What the person detector says of one keyframe: where it sees people, and whom of those tracked it sees.

use super::assignment::assign;
use super::tiles::Orientations;
use crate::pose::{Landmarks, PersonDetection, Tile, area, best, overlap, shared, wrap_angle};

/// Score from which on a detection is kept although another one, in another orientation, crosses it.
const CLEAR_SCORE: f32 = 0.5;
/// Overlap (intersection over union) with a clear detection in another orientation above which a weak one goes: it is part of the same
/// body.
const CROSSING: f32 = 0.1;
/// Score that a detection needs in an orientation in which nobody is tracked. Boxes are taken for people who lie on them with 0.6 and less,
/// and somebody who stands gets up to 0.66 head down (docs/accuracy.md), hence also the next.
const UNUSUAL_SCORE: f32 = 0.65;
/// How much greater its score must be than that of a detection in a usual orientation in the same place.
const UNUSUAL_ADVANTAGE: f32 = 0.2;
/// Score from which on a detection is certainly of a person: below it, it may be of a bag, in which the landmark network sees somebody when it
/// is shown nothing else (docs/accuracy.md).
pub(super) const CERTAIN_SCORE: f32 = 0.4;
/// Angle in radians (34 degrees) within which a person and a detection have the same orientation; detections know quarter turns only.
pub(super) const SAME_ORIENTATION: f64 = 0.6;
/// Overlap (intersection over union) of a person's landmarks with a detection above which it is of them.
pub(super) const SAME_PERSON: f32 = 0.4;
/// The same, above which there is no doubt about it.
pub(super) const CLEARLY_SAME_PERSON: f32 = 0.6;
/// Share of a detection that is most of it.
const MOST: f32 = 0.5;

/// The people whom the person detector sees on one keyframe, and the tiles of the picture that it was shown.
pub(super) struct DetectedPersons {
    display: [u32; 2],
    orientations: Orientations,
    tiles: Vec<Tile>,
    persons: Vec<PersonDetection>,
    /// Everything that was detected, in whatever orientation, best first.
    faint: Vec<PersonDetection>,
}

impl DetectedPersons {
    /// From everything that was detected in some tiles of a picture of the size `display`, where most people have one of the
    /// `orientations`.
    pub fn new(display: [u32; 2], orientations: Orientations, tiles: Vec<Tile>, found: Vec<PersonDetection>) -> Self {
        let mut detections = Self { display, orientations, tiles: Vec::new(), persons: Vec::new(), faint: Vec::new() };
        detections.add(tiles, found);
        detections
    }

    /// Adds what was detected in more tiles of the same picture.
    pub fn add(&mut self, tiles: Vec<Tile>, mut found: Vec<PersonDetection>) {
        self.tiles.extend(tiles);
        self.faint.extend(&found);
        self.faint.sort_by(|a, b| b.score.total_cmp(&a.score));
        found.append(&mut self.persons);
        let (mut usual, mut unusual): (Vec<PersonDetection>, Vec<PersonDetection>) =
            found.iter().partition(|d| self.orientations.usual.contains(&d.quarter_turns));
        let is_first = self.orientations.are_guessed && usual.iter().all(|d| d.score < CLEAR_SCORE);
        let least = if is_first { CLEAR_SCORE } else { UNUSUAL_SCORE };
        let is_better = |d: &PersonDetection, than: &PersonDetection| {
            overlap(&d.bounds, &than.bounds) <= SAME_PERSON || than.score + UNUSUAL_ADVANTAGE < d.score
        };
        unusual.retain(|d| d.score >= least && usual.iter().all(|other| is_better(d, other)));
        let clear: Vec<PersonDetection> =
            usual.iter().chain(&unusual).filter(|d| d.score >= CLEAR_SCORE).copied().collect();
        let crosses = |d: &PersonDetection, other: &PersonDetection| {
            other.quarter_turns != d.quarter_turns && overlap(&other.bounds, &d.bounds) > CROSSING
        };
        usual.retain(|d| d.score >= CLEAR_SCORE || !clear.iter().any(|other| crosses(d, other)));
        usual.append(&mut unusual);
        self.persons = best(usual);
    }

    /// Everybody who was detected, best first.
    pub fn persons(&self) -> &[PersonDetection] {
        &self.persons
    }

    /// Everything that was detected, also what is too faint for its orientation to be somebody.
    pub fn faint(&self) -> &[PersonDetection] {
        &self.faint
    }

    /// The detection of somebody.
    pub fn of(&self, landmarks: &Landmarks) -> Option<&PersonDetection> {
        self.best(landmarks).filter(|(coverage, _)| *coverage > SAME_PERSON).map(|(_, detection)| detection)
    }

    /// Size of the picture.
    pub fn display(&self) -> [u32; 2] {
        self.display
    }

    /// How well the best detection covers somebody, 0..=1 (intersection over union).
    pub fn coverage(&self, landmarks: &Landmarks) -> f32 {
        self.best(landmarks).map_or(0.0, |(coverage, _)| coverage)
    }

    /// Radians by which the detection of somebody is turned; 0 where there is none.
    pub fn rotation(&self, landmarks: &Landmarks) -> f64 {
        self.of(landmarks).map_or(0.0, PersonDetection::rotation)
    }

    /// The detection that covers somebody best, and how well.
    fn best(&self, landmarks: &Landmarks) -> Option<(f32, &PersonDetection)> {
        let bounds = landmarks.visible_bounds(self.display);
        let coverages = self.persons.iter().map(|d| (overlap(&bounds, &d.bounds), d));
        coverages.max_by(|(a, _), (b, _)| a.total_cmp(b))
    }

    /// Whether somebody is detected; the answer is `before` where the detector was not shown them closely enough to say no.
    pub fn has(&self, landmarks: &Landmarks, before: bool) -> bool {
        self.coverage(landmarks) > SAME_PERSON || (before && !self.was_shown(landmarks))
    }

    /// Whether somebody is detected beyond doubt, and has the orientation of the detection; `before` as for [`Self::has`].
    pub fn has_clearly(&self, landmarks: &Landmarks, before: bool) -> bool {
        let turned = wrap_angle(landmarks.region().rotation - self.rotation(landmarks)).abs();
        let is_covered = match self.coverage(landmarks) {
            coverage if coverage > SAME_PERSON => coverage > CLEARLY_SAME_PERSON,
            _ => before && !self.was_shown(landmarks),
        };
        turned < SAME_ORIENTATION && is_covered
    }

    /// The detections that overlap with none of these people by more than `same` (intersection over union), best first.
    pub fn of_others<'a>(
        &'a self,
        people: impl Iterator<Item = &'a Landmarks>,
        same: f32,
    ) -> impl Iterator<Item = &'a PersonDetection> {
        let bounds: Vec<[f32; 4]> = people.map(|l| l.visible_bounds(self.display)).collect();
        let is_theirs = move |d: &PersonDetection| bounds.iter().any(|b| overlap(b, &d.bounds) > same);
        self.persons.iter().filter(move |d| !is_theirs(d))
    }

    /// Whether somebody has a certain detection of their own, which does not cover the other: then they are two people, however close
    /// they are.
    pub fn is_beside(&self, found: &Landmarks, other: &Landmarks) -> bool {
        let own = self.best(found).filter(|(coverage, d)| *coverage > SAME_PERSON && d.score >= CERTAIN_SCORE);
        own.is_some_and(|(_, d)| overlap(&d.bounds, &other.visible_bounds(self.display)) < SAME_PERSON)
    }

    /// The certain detection of whoever has these bounds.
    pub fn certain(&self, bounds: &[f32; 4]) -> Option<&PersonDetection> {
        let certain = self.persons.iter().filter(|d| d.score >= CERTAIN_SCORE);
        let coverages =
            certain.map(|d| (overlap(bounds, &d.bounds), d)).filter(|(coverage, _)| *coverage > SAME_PERSON);
        coverages.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, d)| d)
    }

    /// Whether these bounds have most of another certain detection in them beside somebody's `own`.
    pub fn has_another(&self, own: &PersonDetection, bounds: &[f32; 4]) -> bool {
        let mut others = self.persons.iter().filter(|d| d.score >= CERTAIN_SCORE);
        others.any(|d| {
            overlap(&d.bounds, &own.bounds) < SAME_PERSON && shared(&d.bounds, bounds) > MOST * area(&d.bounds)
        })
    }

    /// Whether another detection touches this one.
    pub fn is_crowded(&self, detection: &PersonDetection) -> bool {
        let touches = |other: &PersonDetection| overlap(&detection.bounds, &other.bounds) > 0.0;
        self.persons.iter().any(|other| other != detection && touches(other))
    }

    /// For each of these people, and whether they are behind others, whether they are detected, where each detection is of one person only: whom it
    /// covers best, but rather of somebody in front. `None` for people whom the detector was not shown closely enough to say no.
    pub fn share_out<'a>(&self, people: impl Iterator<Item = (&'a Landmarks, bool)>) -> Vec<Option<bool>> {
        let people: Vec<(&Landmarks, bool)> = people.collect();
        let cost = |&(landmarks, is_behind): &(&Landmarks, bool), detection: &PersonDetection| {
            let coverage = overlap(&landmarks.visible_bounds(self.display), &detection.bounds);
            let behind = if is_behind { 1.0 } else { 0.0 };
            (coverage > SAME_PERSON).then_some(f64::from(1.0 - coverage) + behind)
        };
        let costs: Vec<Vec<_>> =
            people.iter().map(|person| self.persons.iter().map(|d| cost(person, d)).collect()).collect();
        let assigned = assign(&costs, self.persons.len(), 2.0).into_iter().zip(people);
        assigned.map(|(own, (person, _))| (own.is_some() || self.was_shown(person)).then_some(own.is_some())).collect()
    }

    /// Whether some tile showed somebody whole and large enough to be detected.
    fn was_shown(&self, landmarks: &Landmarks) -> bool {
        let bounds = landmarks.visible_bounds(self.display);
        self.tiles.iter().any(|tile| tile.shows(bounds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::synthetic;

    const DISPLAY: [u32; 2] = [1280, 720];

    fn orientations() -> Orientations {
        Orientations { usual: vec![0], are_guessed: true }
    }

    #[test]
    fn a_detection_is_of_one_person_only() {
        let people = [430.0, 402.0].map(|x| synthetic::person([x, 360.0], 400.0));
        let bounds = synthetic::person([400.0, 360.0], 400.0).bounds();
        let detection = PersonDetection { bounds, score: 0.5, quarter_turns: 0 };
        let detected = DetectedPersons::new(DISPLAY, orientations(), vec![Tile::whole(DISPLAY)], vec![detection]);
        let shared_out = |is_behind: [bool; 2]| detected.share_out(people.iter().zip(is_behind));
        assert_eq!(shared_out([false; 2]), [Some(false), Some(true)]);
        assert_eq!(shared_out([true; 2]), [Some(false), Some(true)]);
        assert_eq!(shared_out([false, true]), [Some(true), Some(false)], "of the one in front");
        assert!(people.iter().all(|p| detected.has(p, false)), "either could be the one");
    }

    #[test]
    fn of_two_orientations_in_one_place_the_usual_one_stays_unless_the_other_is_much_clearer() {
        let bounds = synthetic::person([400.0, 360.0], 400.0).bounds();
        let kept = |usual: f32, unusual: f32| {
            let of = |score, quarter_turns| PersonDetection { bounds, score, quarter_turns };
            let found = vec![of(usual, 0), of(unusual, 1)];
            let detected = DetectedPersons::new(DISPLAY, orientations(), vec![Tile::whole(DISPLAY)], found);
            detected.persons().iter().map(|d| d.quarter_turns).collect::<Vec<_>>()
        };
        assert_eq!((kept(0.4, 0.9), kept(0.6, 0.9)), (vec![1], vec![1]));
        assert_eq!((kept(0.6, 0.7), kept(0.9, 0.6)), (vec![0], vec![0]));
    }

    #[test]
    fn what_was_not_shown_closely_stays_as_it_was() {
        let small = synthetic::person([400.0, 260.0], 80.0);
        for (tiles, expected) in [(vec![Tile::whole(DISPLAY)], None), (Tile::grid(DISPLAY, 4).collect(), Some(false))] {
            let detected = DetectedPersons::new(DISPLAY, orientations(), tiles, Vec::new());
            assert_eq!(detected.share_out([(&small, false)].into_iter()), [expected]);
            for before in [false, true] {
                let is_seen = before && expected.is_none();
                assert_eq!((detected.has(&small, before), detected.has_clearly(&small, before)), (is_seen, is_seen));
            }
        }
    }
}
