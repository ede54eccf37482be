//! Stage 1 of tracking: everybody who can be found on a keyframe.
//!
//! A search is a few rounds of queries, where each round follows from the answers to the one before:
//!
//! 1. the person detector on some tiles of the picture, and landmarks where those tracked should be;
//! 2. the person detector on smaller tiles (only where nothing is known of the picture yet);
//! 3. landmarks of those tracked in other orientations, where little of them was found;
//! 4. landmarks of those tracked whom others cover, with those in front painted over;
//! 5. the BlazePose region detector around those tracked whom the person detector does not see;
//! 6. landmarks wherever a detector sees somebody who is not found yet;
//! 7. the same without the mask, for those who were not found with it;
//! 8. the same with those painted over who were found in front, for those who were not found without;
//! 9. thorough looks at whoever is new and may be seen wrongly (`doubt`);
//! 10. looks behind large people (`behind`).
//!
//! What rounds 4, 8 and 10 ask about people who are covered by others is in `covered`. What was found more than once is reduced to the best. The result, [`Candidates`], goes to [`super::Tracker::associate`].

use super::behind::LooksBehind;
use super::detections::{CERTAIN_SCORE, CLEARLY_SAME_PERSON, DetectedPersons, SAME_ORIENTATION, SAME_PERSON};
use super::doubt::{Doubts, Verdict};
use super::similarity::{is_one_pose, is_plausible, is_shadow_of, is_small, size_difference};
use super::tiles::{Orientations, TileSchedule};
use super::track_state::TrackletState;
use super::tracker::Tracker;
use crate::pose::{
    Answer, Landmarks, MaskedRegion, Observation, PersonDetection, Query, RegionDetection, RotatedRegion, Tile, Window,
    overlap, shared, wrap_angle,
};

/// New regions that are looked at on one keyframe, best first: more are not people but a crowd that cannot be told apart.
pub(super) const MOST_NEW: usize = 32;
/// What full agreement with a person detection is worth, on the scale of [`crate::pose::Landmarks::quality`].
const DETECTION_BONUS: f32 = 0.5;
/// How far off the region of a tracked person may be before it is looked at again ([`RotatedRegion::difference`]).
pub const TOLERANCE: f64 = 0.15;
/// The same for the region of a detection.
const DETECTION_TOLERANCE: f64 = 0.08;
/// What an observation in the region of somebody known for long is better by than one from elsewhere, on the same scale.
const TRACKED_BONUS: f32 = 0.05;
/// How much may be seen around the box of a detection, over its height.
const MARGIN: f32 = 0.1;
/// Overlap (intersection over union) with a detection above which what was found without a mask is that person. With the mask, where nobody
/// else is to be seen, [`SAME_PERSON`] is enough; without a mask, five people in a hundred fewer kept their identity with that (docs/accuracy.md).
const SAME_PERSON_UNMASKED: f32 = 0.55;
/// Distance over the side of a person's region within which an observation lies on them.
const ON_PERSON: f64 = 0.35;
/// Side of the window in which the region detector looks for a person, over the side of their region.
const WINDOW: f64 = 1.6;
/// Distance over the smaller region's side within which two regions show the same. It is small, so that a person who stands half behind
/// another is still looked at.
const SAME_PLACE: f64 = 0.12;
/// How much the sides of such regions differ at most (|ln| of their ratio).
const SAME_SIZE: f64 = 0.45;

/// Somebody found on a keyframe.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Find {
    pub observation: Observation,
    /// Whether those in front were painted over for it.
    pub is_behind: bool,
    /// Whether only their own box was shown, because two people were found as one.
    pub is_masked: bool,
    /// Whether two networks see them alike.
    pub is_agreed: bool,
}

/// A find that may be one of several of the same person.
pub(super) struct Candidate {
    pub find: Find,
    /// The better of two observations of one person has the greater.
    pub rank: f32,
    /// Index of the tracked person, turning head over heels, whom this must be.
    pub must_be: Option<usize>,
    /// Whether it was found where nobody was tracked.
    pub is_new: bool,
}

/// Everybody found on one keyframe, each once: what [`super::Tracker::associate`] is given.
pub struct Candidates {
    /// Index of the keyframe.
    pub(super) frame: u64,
    /// Where those tracked should be, in their order.
    pub(super) predicted: Vec<RotatedRegion>,
    /// Best first.
    pub(super) finds: Vec<Find>,
    /// What the person detector saw.
    pub(super) detections: DetectedPersons,
}

/// What is asked in a round, and what its answers need.
enum Round {
    /// See 1. above: where to look for each of those tracked.
    Tracked { tiles: Vec<Tile>, guesses: Vec<Vec<RotatedRegion>> },
    /// See 2.: what was found of those tracked in the first round waits.
    SmallerTiles { tiles: Vec<Tile>, guesses: Vec<Vec<RotatedRegion>>, found: Vec<Option<Observation>> },
    /// See 3.: what was found of those tracked so far.
    OtherOrientations { guesses: Vec<Vec<RotatedRegion>>, found: Vec<Option<Candidate>> },
    /// See 4.: those who are covered, by their index, and what was found of all so far.
    Covered { regions: Vec<(usize, MaskedRegion)>, found: Vec<Option<Candidate>> },
    /// See 5.
    Windows { windows: Vec<Window> },
    /// See 6.
    New { regions: Vec<MaskedRegion> },
    /// See 7.
    Unmasked { regions: Vec<MaskedRegion>, found: Vec<Option<Observation>> },
    /// See 8.
    NewCovered { regions: Vec<(PersonDetection, MaskedRegion)> },
    /// See 9.
    Doubt { doubts: Doubts },
    /// See 10.
    Behind { looks: LooksBehind },
    /// All is asked.
    Done,
}

/// The search for people on one keyframe.
pub struct Search<'t> {
    pub(super) tracker: &'t Tracker,
    frame: u64,
    pub(super) predicted: Vec<RotatedRegion>,
    pub(super) detections: DetectedPersons,
    pub(super) candidates: Vec<Candidate>,
    /// Whether somebody is looked for behind all large people, not only behind new ones and near those who are lost.
    pub(super) looks_behind_all: bool,
    round: Round,
}

impl<'t> Search<'t> {
    pub(super) fn new(
        tracker: &'t Tracker,
        frame: u64,
        orientations: Orientations,
        tiles: Vec<Tile>,
        looks_behind_all: bool,
    ) -> Self {
        let predicted: Vec<RotatedRegion> =
            tracker.states.iter().map(|state| state.predict(frame, tracker.fps)).collect();
        let guesses = |(state, &at): (&TrackletState, &RotatedRegion)| state.guesses(at, tracker.fps, tracker.display);
        let guesses = tracker.states.iter().zip(&predicted).map(guesses).collect();
        Self {
            tracker,
            frame,
            predicted,
            detections: DetectedPersons::new(tracker.display, orientations, Vec::new(), Vec::new()),
            candidates: Vec::new(),
            looks_behind_all,
            round: Round::Tracked { tiles, guesses },
        }
    }

    /// The queries of the next round, all of one picture; `None` when the search is over. Their answers, in the same order, are for
    /// [`Search::answer`].
    pub fn queries(&mut self) -> Option<Vec<Query>> {
        while !matches!(self.round, Round::Done) {
            let queries = self.round.queries(self.tracker);
            if !queries.is_empty() {
                return Some(queries);
            }
            match std::mem::replace(&mut self.round, Round::Done) {
                Round::Doubt { doubts } => {
                    self.take_verdicts(doubts.verdicts());
                    self.candidates = keep_best(std::mem::take(&mut self.candidates), &self.detections);
                    self.round = Round::Behind { looks: self.behind_large_people() };
                }
                Round::Behind { looks } => self.take_behind(looks),
                round => {
                    self.round = round;
                    self.answer(Vec::new());
                }
            }
        }
        None
    }

    /// Takes the answers to a round's queries.
    pub fn answer(&mut self, answers: Vec<Answer>) {
        let Answers { persons, regions: region_detections, observations } = Answers::from(answers);
        self.round = match std::mem::replace(&mut self.round, Round::Done) {
            Round::Tracked { tiles, guesses } => {
                self.detections.add(tiles, persons);
                let tiles = if self.tracker.starts_over { TileSchedule::closer(&self.detections) } else { Vec::new() };
                Round::SmallerTiles { tiles, guesses, found: observations }
            }
            Round::SmallerTiles { tiles, guesses, found } => {
                self.detections.add(tiles, persons);
                let nobody = self.predicted.iter().map(|_| None).collect();
                let found = self.best_of_tracked(nobody, &guesses, found);
                Round::OtherOrientations { guesses: self.other_orientations(&found), found }
            }
            Round::OtherOrientations { guesses, found } => {
                let found = self.best_of_tracked(found, &guesses, observations);
                Round::Covered { regions: self.covered(&found), found }
            }
            Round::Covered { regions, mut found } => {
                for ((person, at), observation) in regions.into_iter().zip(observations) {
                    self.take_covered(person, &at, observation, &mut found);
                }
                self.forget_parts_of_others(&mut found);
                let windows = self.windows(&found);
                self.candidates = keep_best(found.into_iter().flatten().collect(), &self.detections);
                Round::Windows { windows }
            }
            Round::Windows { .. } => Round::New { regions: self.new_regions(region_detections) },
            Round::New { regions } => {
                let is_missed = |(region, found): &(&MaskedRegion, &Option<Observation>)| {
                    let is_found = |o: &Observation| self.covers(region, o) > SAME_PERSON && self.is_somebody(o);
                    region.within.is_some() && !found.as_ref().is_some_and(is_found)
                };
                let missed = regions.iter().zip(&observations).filter(is_missed);
                Round::Unmasked { regions: missed.map(|(region, _)| region.clone()).collect(), found: observations }
            }
            Round::Unmasked { regions, found } => {
                let is_there = |(region, found): (&MaskedRegion, Option<Observation>)| {
                    found.filter(|o| self.covers(region, o) > SAME_PERSON_UNMASKED)
                };
                let again = regions.iter().zip(observations).map(is_there);
                let all = found.into_iter().chain(again).flatten().filter(|o| self.is_somebody(o));
                let all: Vec<Candidate> = all.map(|o| self.rank(Find::seen(o), None)).collect();
                self.candidates.extend(all);
                Round::NewCovered { regions: self.new_covered() }
            }
            Round::NewCovered { regions } => {
                let is_known =
                    |o: &Observation| self.candidates.iter().any(|known| is_shadow_of(&o.landmarks, known.landmarks()));
                let covers = |detection: &PersonDetection, found: &Observation| {
                    overlap(&found.landmarks.visible_bounds(self.tracker.display), &detection.bounds)
                };
                let is_there = |((detection, _), found): (&(PersonDetection, MaskedRegion), Option<Observation>)| {
                    found.filter(|o| covers(detection, o) > SAME_PERSON && self.is_somebody(o) && !is_known(o))
                };
                let found: Vec<Observation> = regions.iter().zip(observations).filter_map(is_there).collect();
                let behind = found.into_iter().map(|o| Find { is_behind: true, ..Find::seen(o) });
                let all: Vec<Candidate> = behind.map(|find| self.rank(find, None)).collect();
                self.candidates.extend(all);
                self.candidates = keep_best(std::mem::take(&mut self.candidates), &self.detections);
                Round::Doubt { doubts: self.doubts() }
            }
            Round::Doubt { mut doubts } => {
                doubts.answer(observations);
                Round::Doubt { doubts }
            }
            Round::Behind { mut looks } => {
                looks.answer(observations);
                Round::Behind { looks }
            }
            Round::Done => Round::Done,
        };
    }

    /// Everybody who was found.
    pub fn finish(self) -> Candidates {
        let kept = keep_best(self.candidates, &self.detections);
        Candidates {
            frame: self.frame,
            predicted: self.predicted,
            finds: kept.into_iter().map(|candidate| candidate.find).collect(),
            detections: self.detections,
        }
    }

    /// For each of those tracked the best of what was found of them before (`so_far`) and of the new observations `found`: as many as they
    /// have `guesses`, in that order.
    fn best_of_tracked(
        &self,
        so_far: Vec<Option<Candidate>>,
        guesses: &[Vec<RotatedRegion>],
        found: Vec<Option<Observation>>,
    ) -> Vec<Option<Candidate>> {
        let mut found = found.into_iter();
        let best = |(person, so_far): (usize, Option<Candidate>)| {
            let own: Vec<Observation> = found.by_ref().take(guesses[person].len()).flatten().collect();
            let is_plausible = |o: &Observation| {
                let is_detected = self.detections.has(&o.landmarks, self.tracker.states[person].was_detected);
                is_plausible(&o.landmarks, self.tracker.display, is_detected)
            };
            let own = own.into_iter().filter(is_plausible).map(|o| self.rank(Find::seen(o), Some(person)));
            own.chain(so_far).max_by(|a, b| a.rank.total_cmp(&b.rank))
        };
        so_far.into_iter().enumerate().map(best).collect()
    }

    /// For each of those tracked in which other orientations to look for them.
    fn other_orientations(&self, found: &[Option<Candidate>]) -> Vec<Vec<RotatedRegion>> {
        let people = self.tracker.states.iter().zip(&self.predicted).zip(found);
        let guesses = |((state, at), found): ((&TrackletState, &RotatedRegion), &Option<Candidate>)| {
            state.other_orientations(at, found.as_ref().map(|c| &c.find.observation), self.tracker.display)
        };
        people.map(guesses).collect()
    }

    /// Whom to look at thoroughly.
    fn doubts(&self) -> Doubts {
        let Tracker { network, display, starts_over, .. } = *self.tracker;
        // Among others who are certainly there, each of the networks may take another of them.
        let is_among_others = |c: &Candidate| {
            let own = self.detections.of(c.landmarks());
            let mut others = self.candidates.iter().filter_map(|other| self.detections.of(other.landmarks()));
            own.is_some_and(|own| {
                others.any(|other| {
                    other != own && other.score >= CERTAIN_SCORE && shared(&own.bounds, &other.bounds) > 0.0
                })
            })
        };
        let is_in_doubt = |c: &Candidate| c.is_new && c.must_be.is_none() && !c.find.is_behind && !is_among_others(c);
        let new = self.candidates.iter().enumerate().filter(|(_, c)| is_in_doubt(c));
        let found: Vec<&Landmarks> = self.candidates.iter().map(Candidate::landmarks).collect();
        let new = new.map(|(index, candidate)| (index, &candidate.find.observation));
        Doubts::new(network, display, new, starts_over, &found, &self.detections)
    }

    fn take_verdicts(&mut self, verdicts: Vec<Verdict>) {
        for verdict in verdicts {
            match verdict {
                // At the start only: later on, what the detector does not see while others are about is nobody, more often than not.
                Verdict::Agreed(index) => self.candidates[index].find.is_agreed = self.tracker.starts_over,
                Verdict::Replaced(index, observation) => {
                    let find = Find { is_agreed: true, ..Find::seen(observation) };
                    self.candidates[index] = self.rank(find, None);
                }
                Verdict::Found(observation) => {
                    let candidate = self.rank(Find { is_agreed: true, ..Find::seen(observation) }, None);
                    self.candidates.push(candidate);
                }
            }
        }
    }

    /// Windows for those tracked whom the person detector does not clearly see where they were `found`: where the prediction was off, or
    /// they do not stand upright, the region detector brings the body back.
    fn windows(&self, found: &[Option<Candidate>]) -> Vec<Window> {
        let is_clear = |state: &TrackletState, candidate: &Candidate| {
            self.detections.has_clearly(candidate.landmarks(), state.was_detected)
        };
        let doubtful = self.tracker.states.iter().zip(&self.predicted).zip(found).filter(|((state, _), found)| {
            state.is_worth_finding(self.tracker.display) && !found.as_ref().is_some_and(|c| is_clear(state, c))
        });
        let window = |((state, predicted), _): ((&TrackletState, &RotatedRegion), _)| {
            let center = state.region().center.midpoint(predicted.center);
            let side = WINDOW * state.region().side;
            Window { x: center.x - side / 2.0, y: center.y - side / 2.0, side }
        };
        doubtful.map(window).collect()
    }

    /// Where either detector sees somebody who is not among the candidates so far.
    fn new_regions(&self, mut region_detections: Vec<RegionDetection>) -> Vec<MaskedRegion> {
        region_detections.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut new: Vec<MaskedRegion> = Vec::new();
        for region in region_detections.iter().map(RegionDetection::region) {
            let found = self.candidates.iter().map(|candidate| candidate.landmarks().region());
            let mut others = found.chain(new.iter().map(|other| other.region));
            if region.is_usable() && !others.any(|other| is_same_place(&other, &region)) {
                new.push(region.into());
            }
        }
        for detection in
            self.detections.of_others(self.candidates.iter().map(Candidate::landmarks), CLEARLY_SAME_PERSON)
        {
            let region = detection.region();
            if region.is_usable() && !new.iter().any(|other| is_same_place(&other.region, &region)) {
                new.push(MaskedRegion { region, within: self.mask(detection, &region), hidden: Vec::new() });
            }
        }
        new.truncate(MOST_NEW);
        new
    }

    /// What may be seen around a detection. Whoever stands alone and is large is seen as they are; so is what may be a bag, which would be
    /// taken for a person where nothing else is to be seen.
    fn mask(&self, detection: &PersonDetection, region: &RotatedRegion) -> Option<[f32; 4]> {
        let is_alone = !self.detections.is_crowded(detection) && !is_small(region, self.tracker.display);
        let is_certain = detection.score >= CERTAIN_SCORE;
        (is_certain && !is_alone).then(|| around(detection.bounds))
    }

    /// Whether what was found where nobody was tracked can be a person.
    fn is_somebody(&self, found: &Observation) -> bool {
        is_plausible(&found.landmarks, self.tracker.display, self.detections.has(&found.landmarks, false))
    }

    /// How well what was found covers what may be seen of whoever is there.
    fn covers(&self, region: &MaskedRegion, found: &Observation) -> f32 {
        let bounds = found.landmarks.visible_bounds(self.tracker.display);
        region.within.map_or(1.0, |within| overlap(&bounds, &within))
    }

    /// Ranks what was found: where somebody `tracked` should be, or where nobody was. On somebody who turns head over heels there is
    /// nobody else, but perhaps the same body in the wrong orientation.
    pub(super) fn rank(&self, find: Find, tracked: Option<usize>) -> Candidate {
        let Tracker { states, fps, display, .. } = self.tracker;
        let observation = &find.observation;
        let center = observation.landmarks.region().center;
        let is_on = |&i: &usize| {
            let (predicted, last) = (&self.predicted[i], states[i].region());
            let off = predicted.center.distance(center).min(last.center.distance(center));
            off < ON_PERSON * predicted.side
        };
        let may_turn = |&i: &usize| states[i].may_turn(&self.predicted[i], *fps, *display);
        let must_be = match tracked {
            Some(i) => Some(i).filter(may_turn),
            None => (0..states.len()).find(|i| may_turn(i) && is_on(i)),
        };
        let quality = match must_be {
            Some(i) => states[i].fits(&self.predicted[i], observation),
            None => observation.landmarks.quality_at(self.detections.rotation(&observation.landmarks)),
        };
        // One body that is found in two regions belongs to the person who has been known for long.
        let bonus = if tracked.is_some_and(|i| states[i].is_proven) { TRACKED_BONUS } else { 0.0 };
        let rank = quality + bonus + DETECTION_BONUS * self.detections.coverage(&observation.landmarks);
        Candidate { rank, must_be, is_new: tracked.is_none(), find }
    }
}

impl Find {
    /// Somebody who was found as they are.
    pub(super) fn seen(observation: Observation) -> Self {
        Self { observation, is_behind: false, is_masked: false, is_agreed: false }
    }
}

impl Candidate {
    pub(super) fn landmarks(&self) -> &Landmarks {
        &self.find.observation.landmarks
    }
}

impl Round {
    fn queries(&mut self, tracker: &Tracker) -> Vec<Query> {
        let landmarks = |at: MaskedRegion, tolerance| Query::Landmarks { at, network: tracker.network, tolerance };
        let guesses = |guesses: &[Vec<RotatedRegion>]| -> Vec<Query> {
            guesses.iter().flatten().map(|&region| landmarks(region.into(), TOLERANCE)).collect()
        };
        let tiles = |tiles: &[Tile]| -> Vec<Query> { tiles.iter().copied().map(Query::DetectPersons).collect() };
        match self {
            Self::Tracked { tiles: all, guesses: regions } => [tiles(all), guesses(regions)].concat(),
            Self::SmallerTiles { tiles: all, .. } => tiles(all),
            Self::OtherOrientations { guesses: regions, .. } => guesses(regions),
            Self::Windows { windows } => windows.iter().copied().map(Query::DetectRegions).collect(),
            Self::Covered { regions, .. } => regions.iter().map(|(_, at)| landmarks(at.clone(), TOLERANCE)).collect(),
            Self::New { regions } => regions.iter().map(|at| landmarks(at.clone(), DETECTION_TOLERANCE)).collect(),
            Self::NewCovered { regions } => {
                regions.iter().map(|(_, at)| landmarks(at.clone(), DETECTION_TOLERANCE)).collect()
            }
            Self::Unmasked { regions, .. } => {
                regions.iter().map(|at| landmarks(at.region.into(), DETECTION_TOLERANCE)).collect()
            }
            Self::Doubt { doubts } => doubts.queries(),
            Self::Behind { looks } => looks.queries(),
            Self::Done => Vec::new(),
        }
    }
}

/// All but the best of several candidates that are one person go.
pub(super) fn keep_best(mut candidates: Vec<Candidate>, detections: &DetectedPersons) -> Vec<Candidate> {
    candidates.sort_by(|a, b| b.rank.total_cmp(&a.rank));
    let mut kept: Vec<Candidate> = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let is_same = |better: &Candidate| {
            let (found, other) = (candidate.landmarks(), better.landmarks());
            if detections.is_beside(found, other) || candidate.find.is_behind != better.find.is_behind {
                return is_one_pose(found, other);
            }
            (candidate.must_be.is_some() && candidate.must_be == better.must_be) || is_shadow_of(found, other)
        };
        if !kept.iter().any(is_same) {
            kept.push(candidate);
        }
    }
    kept
}

/// Answers by their kind, each in the order of the queries.
#[derive(Default)]
struct Answers {
    persons: Vec<PersonDetection>,
    regions: Vec<RegionDetection>,
    observations: Vec<Option<Observation>>,
}

impl From<Vec<Answer>> for Answers {
    fn from(all: Vec<Answer>) -> Self {
        let mut answers = Self::default();
        for answer in all {
            match answer {
                Answer::PersonDetections(persons) => answers.persons.extend(persons),
                Answer::RegionDetections(regions) => answers.regions.extend(regions),
                Answer::Observation(observation) => answers.observations.push(observation),
            }
        }
        answers
    }
}

/// Whether a region need not be looked at, because it shows the same as another.
fn is_same_place(known: &RotatedRegion, new: &RotatedRegion) -> bool {
    known.center.distance(new.center) < SAME_PLACE * known.side.min(new.side)
        && size_difference(known, new) < SAME_SIZE
        && wrap_angle(known.rotation - new.rotation).abs() < SAME_ORIENTATION
}

/// Somewhat more than a box: what may be seen of whoever is in it.
pub(super) fn around([left, top, right, bottom]: [f32; 4]) -> [f32; 4] {
    let margin = MARGIN * (bottom - top);
    [left - margin, top - margin, right + margin, bottom + margin]
}
