//! Who is where on keyframes: asks the finder, the detector and the landmark network, and gives each person a tracklet
//! number.
//!
//! The scout sees keyframes in order and is the only state of the observing pass; the expensive questions leave it as
//! [`Work`] in batches whose order and executor do not matter. Between keyframes, [`Scout::expected`] says where to look.

use crate::models::Network;
use glam::DVec2;
use serde::{Deserialize, Serialize};

use super::assignment::assign;
use super::camera::Trajectory;
use super::figures::{CERTAIN_SCORE, Figures, Rounds, SAME, SAME_WAY, Ways};
use super::fill;
use super::known::Known;
use super::likeness::{
    is_duplicate, is_one_pose, is_plausible, is_shadow_of, is_small, pose_distance, size_difference,
};
use crate::geometry::quarter_turns;
use crate::pose::skeleton::{HEAD, HIPS, Pair, SHOULDERS};
use crate::pose::{Detection, Figure, Found, Landmarks, Region, Sight, Spot, View, Window, Work, overlap, wrap_angle};

/// One person on a keyframe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tracked {
    /// Number of the tracklet: an unbroken stretch of one person.
    pub tracklet: u32,
    /// What was seen.
    pub sight: Sight,
    /// Whether the heavy network should be asked about them ([`Tracked::question`]).
    pub is_in_doubt: bool,
    /// Motion of the region's centre in the scene, displayed pixels a frame.
    pub velocity: DVec2,
    /// Whether the finder sees them; `None` where it did not look closely enough to say no.
    pub figure: Option<bool>,
    /// The same, or what it said when it last looked.
    pub is_figure: bool,
}

impl Tracked {
    /// What to ask for a second opinion.
    pub fn question(&self) -> Work {
        let spot = self.sight.landmarks.region().into();
        Work::Look { spot, network: Network::Heavy, tolerance: f64::INFINITY }
    }

    /// The answer, if it is of the same person.
    pub fn opinion(first: &Landmarks, answer: Option<Sight>) -> Option<Box<Landmarks>> {
        let second = answer?.landmarks;
        (pose_distance(first, &second, [0.0; 2]) < SAME_PERSON).then(|| Box::new(second))
    }
}

/// Everyone on one keyframe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Keyframe {
    /// Index of the frame.
    pub index: u64,
    /// In order of tracklet number.
    pub people: Vec<Tracked>,
}

/// Detections looked at in one keyframe, best first: more are not people but a crowd that cannot be told apart.
const MOST_NEW: usize = 32;
/// What agreement with a figure is worth ([`Landmarks::quality`]).
const FIGURE_BONUS: f32 = 0.5;
/// How far off a region may be before it is looked at again ([`Region::difference`]).
pub const TOLERANCE: f64 = 0.15;
const DETECTION_TOLERANCE: f64 = 0.08;
/// Seconds between second opinions on a person who is in no doubt.
const OPINION_INTERVAL: f64 = 0.8;
/// What a find in the region of somebody known for long is better by than one from elsewhere ([`Landmarks::quality`]).
const KNOWN_BONUS: f32 = 0.05;
/// Two opinions that are further apart ([`pose_distance`]) are of two people.
const SAME_PERSON: f64 = 0.2;
/// What may be seen round a figure, over its height.
const MARGIN: f32 = 0.1;
/// Overlap with a figure above which what was found among others is just there ([`SAME`]: where nothing else was to be seen).
const JUST_THERE: f32 = 0.55;
/// Distance over the side of a person's region within which finds are on them.
const ON: f64 = 0.35;
/// Of this many people one must be turned some way for the finder to look at each picture that way: in crowds somebody is taken for
/// lying now and then.
const FAIR_SHARE: usize = 4;
/// Side of the window in which a person is looked for, over the side of their region.
const SEARCH: f64 = 1.6;

/// Finds people on keyframes and follows them from one to the next.
#[derive(Clone, Serialize, Deserialize)]
pub struct Scout {
    fps: f64,
    display: [u32; 2],
    network: Network,
    second_opinions: bool,
    known: Vec<Known>,
    next_tracklet: u32,
    last_keyframe: Option<u64>,
    /// Whether nothing is known of the picture: at the beginning, and after frames that were corrupt.
    begins: bool,
    /// Index of the frame in which the finder last looked.
    last_find: u64,
    rounds: Rounds,
}

impl Scout {
    /// `network` looks at everyone; with `second_opinions` the heavy one does too, now and then
    /// ([`wants_second_opinion`]).
    pub fn new(fps: f64, display: [u32; 2], network: Network, second_opinions: bool) -> Self {
        let fps = if fps.is_finite() && fps > 0.0 { fps } else { 25.0 };
        Self {
            fps,
            display,
            network,
            second_opinions: second_opinions && network != Network::Heavy,
            known: Vec::new(),
            next_tracklet: 0,
            last_keyframe: None,
            begins: true,
            last_find: 0,
            rounds: Rounds::default(),
        }
    }

    /// Frames between keyframes (about 0.2 s) while everybody is in sight.
    fn interval(&self) -> u64 {
        ((self.fps * 0.2).round() as u64).clamp(1, 12)
    }

    /// Frames are corrupt: the next one that is not is a keyframe, and the whole of it is searched.
    pub fn begin_anew(&mut self) {
        self.begins = true;
    }

    /// Index of the frame that should be the next keyframe, 0 at a beginning; sooner than usual while somebody is lost or turns.
    pub fn next_keyframe(&self) -> u64 {
        let Some(last) = self.last_keyframe.filter(|_| !self.begins) else { return 0 };
        let is_any = |is: &dyn Fn(&Known) -> bool| self.known.iter().any(is);
        let is_turning = is_any(&|k| k.is_turning(self.fps, self.display));
        // Among small people those who turn are mistakes more often than not, and each keyframe is dear.
        let share = if is_turning && !is_any(&|k| is_small(&k.region(), self.display)) {
            5
        } else if is_turning || is_any(&|k| self.is_lost(k, last)) {
            3
        } else {
            1
        };
        last + self.interval().div_ceil(share)
    }

    /// Whether somebody worth finding was not found on the last keyframe.
    fn is_lost(&self, known: &Known, last: u64) -> bool {
        known.frame != last && known.is_worth_finding(self.display)
    }

    /// Where to look at a frame between two keyframes.
    pub fn expected(&self, before: &Keyframe, after: &Keyframe, frame: u64, trajectory: &Trajectory) -> Vec<Expected> {
        let mut expected = expected_between(before, after, frame, self.display, trajectory);
        let is_time = frame.is_multiple_of(fill::steps(self.fps));
        expected.retain(|e| is_time || !is_small(&e.spot.region, self.display));
        expected
    }

    /// Looks at a keyframe; the trajectory reaches as far. `run` answers questions about its picture, in order; it is called a few
    /// times.
    ///
    /// # Errors
    /// Those of `run`.
    pub fn keyframe<E>(
        &mut self,
        index: u64,
        trajectory: &Trajectory,
        run: &mut dyn FnMut(Vec<Work>) -> Result<Vec<Found>, E>,
    ) -> Result<Keyframe, E> {
        // Nobody is followed through more than half a second of not being seen; longer gaps are identity's business.
        let patience = (self.fps * 0.5).max(2.0 * self.interval() as f64) as u64;
        self.known.retain(|k| index - k.frame <= patience);
        let shift = trajectory.moved(self.last_keyframe.unwrap_or(index), index);
        self.known.iter_mut().for_each(|k| k.carry(shift));

        let predicted: Vec<Region> = self.known.iter().map(|k| k.predict(index)).collect();
        let ways = self.ways();
        let views = self.views(index, &ways);
        let mut work: Vec<Work> = views.iter().copied().map(Work::Find).collect();
        let ask = |spot: Spot, tolerance: f64| Work::Look { spot, network: self.network, tolerance };
        let guesses = self.known.iter().zip(&predicted);
        let guesses: Vec<_> = guesses.map(|(k, &at)| k.guesses(at, self.fps, self.display)).collect();
        work.extend(guesses.iter().flatten().map(|&r| ask(r.into(), TOLERANCE)));
        let Answers { figures, looked, .. } = Answers::from(run(work)?);
        let mut figures = Figures::new(self.display, ways, views, figures);
        if self.begins {
            let closer = Rounds::closer(&figures);
            let answers = Answers::from(run(closer.iter().copied().map(Work::Find).collect())?);
            figures.add(closer, answers.figures);
        }

        let nobody = predicted.iter().map(|_| None).collect();
        let seen = self.choose(&predicted, &figures, nobody, &guesses, looked);
        let others = self.known.iter().zip(&predicted).zip(&seen);
        let others: Vec<_> =
            others.map(|((k, at), seen)| k.other_ways(at, seen.as_ref().map(|f| &f.sight), self.display)).collect();
        let work = others.iter().flatten().map(|&r| ask(r.into(), TOLERANCE)).collect();
        let looked = Answers::from(run(work)?).looked;
        let seen = self.choose(&predicted, &figures, seen, &others, looked);
        let windows = self.windows(&predicted, &seen, &figures);
        let mut finds = keep_best(seen.into_iter().flatten().collect(), &figures);

        let mut detections = Answers::from(run(windows)?).detections;
        detections.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut fresh: Vec<Spot> = Vec::new();
        for region in detections.iter().map(Detection::region) {
            let known = finds.iter().map(|f| f.sight.landmarks.region());
            let mut known = known.chain(fresh.iter().map(|f| f.region));
            if region.is_usable() && !known.any(|k| is_same_place(&k, &region)) {
                fresh.push(region.into());
            }
        }
        for figure in figures.of_others(finds.iter().map(|f| &f.sight.landmarks)) {
            let region = figure.region();
            if region.is_usable() && !fresh.iter().any(|k| is_same_place(&k.region, &region)) {
                let is_alone = !figures.is_crowded(figure) && !is_small(&region, self.display);
                let is_clear = figure.score >= CERTAIN_SCORE;
                fresh.push(Spot { region, within: (is_clear && !is_alone).then(|| around(figure.bounds)) });
            }
        }
        fresh.truncate(MOST_NEW);
        let mut look = |spots: &[Spot]| {
            let work = spots.iter().map(|&spot| ask(spot, DETECTION_TOLERANCE)).collect();
            Ok(Answers::from(run(work)?).looked)
        };
        let mut found = look(&fresh)?;
        // Whom the network does not see alone it may see among the others.
        let is_missed = |(spot, found): &(&Spot, &Option<Sight>)| {
            let is_seen = |s: &Sight| self.covers(spot, s) > SAME && self.is_somebody(s, &figures);
            spot.within.is_some() && !found.as_ref().is_some_and(is_seen)
        };
        let missed: Vec<Spot> = fresh.iter().zip(&found).filter(is_missed).map(|(spot, _)| *spot).collect();
        let again = look(&missed.iter().map(|spot| spot.region.into()).collect::<Vec<_>>())?;
        let is_there = |(spot, found): (&Spot, Option<Sight>)| found.filter(|s| self.covers(spot, s) > JUST_THERE);
        found.extend(missed.iter().zip(again).map(is_there));
        let found = found.into_iter().flatten().filter(|s| self.is_somebody(s, &figures));
        finds.extend(found.map(|sight| self.find(sight, None, &predicted, &figures)));

        let sights = keep_best(finds, &figures).into_iter().map(|find| find.sight).collect();
        let mut people = self.assign(index, &predicted, sights);
        self.give_figures(&mut people, &figures);
        self.doubt(index, &mut people);
        people.sort_by_key(|p| p.tracklet);
        (self.last_keyframe, self.begins) = (Some(index), false);
        Ok(Keyframe { index, people })
    }

    /// Whether what was found where nobody was known can be a person.
    fn is_somebody(&self, sight: &Sight, figures: &Figures) -> bool {
        is_plausible(&sight.landmarks, self.display, figures.has(&sight.landmarks, false))
    }

    /// How well what was found covers what might be seen of whoever is there.
    fn covers(&self, spot: &Spot, sight: &Sight) -> f32 {
        spot.within.map_or(1.0, |within| overlap(&sight.landmarks.visible_bounds(self.display), &within))
    }

    /// What the finder looks at on this keyframe: nothing on those that there are only because somebody turns, unless small people,
    /// who are seldom seen, are about.
    fn views(&mut self, index: u64, ways: &Ways) -> Vec<View> {
        let Some(last) = self.last_keyframe.filter(|_| !self.begins) else {
            self.last_find = index;
            return Rounds::first(self.display);
        };
        let is_needed = |k: &Known| self.is_lost(k, last) || is_small(&k.region(), self.display);
        if !self.known.iter().any(is_needed) && index - self.last_find < self.interval() {
            return Vec::new();
        }
        self.last_find = index;
        let is_well = |k: &Known| k.is_proven && k.is_figure && !self.is_lost(k, last);
        let is_calm = !self.known.is_empty() && self.known.iter().all(is_well);
        let known = self.known.iter().filter(|k| k.is_figure);
        let known: Vec<_> = known.map(|k| k.sight.landmarks.visible_bounds(self.display)).collect();
        self.rounds.next(self.display, &known, ways, is_calm)
    }

    /// The ways round in which a fair share of those known are.
    fn ways(&self) -> Ways {
        let are_guessed = !self.known.iter().any(|k| k.is_proven);
        let mut people = [1_usize, 0, 0, 0];
        for known in self.known.iter().filter(|k| k.is_proven || are_guessed) {
            people[usize::from(quarter_turns(known.region().rotation))] += 2;
        }
        let fair = people.iter().sum::<usize>() / FAIR_SHARE;
        let mut usual: Vec<u8> = (0..4).filter(|&turns| turns == 0 || people[usize::from(turns)] > fair).collect();
        usual.sort_by_key(|&turns| std::cmp::Reverse(people[usize::from(turns)]));
        Ways { usual, are_guessed }
    }

    /// Of what was `seen` of each of those known before, and was now found where they were `guessed` to be, what fits them best.
    fn choose(
        &self,
        predicted: &[Region],
        figures: &Figures,
        seen: Vec<Option<Find>>,
        guessed: &[Vec<Region>],
        looked: Vec<Option<Sight>>,
    ) -> Vec<Option<Find>> {
        let mut looked = looked.into_iter();
        let best = |(known, seen): (usize, Option<Find>)| {
            let found: Vec<Sight> = looked.by_ref().take(guessed[known].len()).flatten().collect();
            let is_figure = |s: &Sight| figures.has(&s.landmarks, self.known[known].is_figure);
            let found = found.into_iter().filter(|s| is_plausible(&s.landmarks, self.display, is_figure(s)));
            let found = found.map(|sight| self.find(sight, Some(known), predicted, figures));
            found.chain(seen).max_by(|a, b| a.rank.total_cmp(&b.rank))
        };
        seen.into_iter().enumerate().map(best).collect()
    }

    /// Ranks what was found: where `known` should be, or where nobody was known. On somebody who turns head over heels there is nobody
    /// else, but perhaps the same body seen the wrong way round.
    fn find(&self, sight: Sight, known: Option<usize>, predicted: &[Region], figures: &Figures) -> Find {
        let center = sight.landmarks.region().center;
        let is_on = |&i: &usize| {
            let off = predicted[i].center.distance(center).min(self.known[i].region().center.distance(center));
            off < ON * predicted[i].side
        };
        let may_turn = |&i: &usize| self.known[i].may_turn(&predicted[i], self.fps, self.display);
        let on = match known {
            Some(i) => Some(i).filter(may_turn),
            None => (0..self.known.len()).find(|i| may_turn(i) && is_on(i)),
        };
        let quality = match on {
            Some(i) => self.known[i].fits(&predicted[i], &sight),
            None => sight.landmarks.quality_at(figures.rotation(&sight.landmarks)),
        };
        // One find in two regions belongs to the person who has been known for long.
        let bonus = if known.is_some_and(|i| self.known[i].is_proven) { KNOWN_BONUS } else { 0.0 };
        Find { rank: quality + bonus + FIGURE_BONUS * figures.share(&sight.landmarks), on, sight }
    }

    /// Whom the finder does not see where they are (`seen`, of those known), and who does not stand upright, is also looked
    /// for anew: where the prediction is off, the detector brings the body back.
    fn windows(&self, predicted: &[Region], seen: &[Option<Find>], figures: &Figures) -> Vec<Work> {
        let is_clear =
            |known: &Known, Find { sight, .. }: &Find| figures.has_clearly(&sight.landmarks, known.is_figure);
        let doubtful = self.known.iter().zip(predicted).zip(seen).filter(|((known, _), find)| {
            known.is_worth_finding(self.display) && !find.as_ref().is_some_and(|f| is_clear(known, f))
        });
        let window = |((known, predicted), _): ((&Known, &Region), _)| {
            let center = known.region().center.midpoint(predicted.center);
            let side = SEARCH * known.region().side;
            Work::Detect(Window { x: center.x - side / 2.0, y: center.y - side / 2.0, side })
        };
        doubtful.map(window).collect()
    }

    fn give_figures(&mut self, people: &mut [Tracked], figures: &Figures) {
        let given = figures.give(people.iter().map(|p| &p.sight.landmarks));
        for (person, figure) in people.iter_mut().zip(given) {
            person.figure = figure;
            if let Some(known) = self.known.iter_mut().find(|k| k.tracklet == person.tracklet) {
                known.is_figure = figure.unwrap_or(known.is_figure);
                person.is_figure = known.is_figure;
            }
        }
    }

    /// Gives the finds to those known, all at once and at the least total cost; who is left over is new.
    ///
    /// In a second round, people and finds that are left over go together where place and size agree although the clothes do not:
    /// someone who bends over or turns round is seen from a new side. With the first round's they do not compete, so
    /// that nobody takes the place of a neighbour in other clothes.
    fn assign(&mut self, index: u64, predicted: &[Region], sights: Vec<Sight>) -> Vec<Tracked> {
        let interval = self.interval();
        let expected: Vec<Landmarks> = self.known.iter().zip(predicted).map(|(k, at)| k.carried(at)).collect();
        let cost = |i: usize, sight: &Sight, second: bool| {
            let (known, predicted) = (&self.known[i], &predicted[i]);
            let region = sight.landmarks.region();
            let missed = ((index - known.frame) as f64 / interval as f64 - 1.0).max(0.0);
            // Someone who lands or stops is where they were rather than where they were going.
            let nearest = predicted.center.distance(region.center).min(known.region().center.distance(region.center));
            let distance = nearest / predicted.side.min(region.side);
            let size = size_difference(predicted, &region);
            let look = known.look.distance(&sight.look);
            let pose = pose_distance(&expected[i], &sight.landmarks, [0.0; 2]);
            // Whoever turns is lit from another side each moment.
            let unlike = if known.is_turning(self.fps, self.display) { 0.8 } else { 0.55 };
            let possible = if second {
                distance < 0.25 && size < 0.35 && look < unlike
            } else {
                distance < 0.6 + 0.2 * missed && size < 0.8 && look < 0.36
            };
            possible.then_some(distance + 0.5 * size + pose.min(0.5) + 1.5 * look)
        };
        let mut owner: Vec<Option<usize>> = vec![None; sights.len()];
        for second in [false, true] {
            let taken = owner.clone();
            let cost = |known: usize, sight: usize| {
                let free = taken[sight].is_none() && !taken.contains(&Some(known));
                free.then(|| cost(known, &sights[sight], second)).flatten()
            };
            let costs: Vec<Vec<Option<f64>>> = (0..self.known.len())
                .map(|known| (0..sights.len()).map(|sight| cost(known, sight)).collect())
                .collect();
            for (known, sight) in assign(&costs, sights.len(), 1.6).into_iter().enumerate() {
                if let Some(sight) = sight {
                    owner[sight] = Some(known);
                }
            }
        }
        let mut people = Vec::with_capacity(sights.len());
        for (sight, owner) in sights.into_iter().zip(owner) {
            let (tracklet, velocity) = match owner.map(|i| &mut self.known[i]) {
                Some(known) => {
                    known.see(index, sight.clone(), self.fps, self.display);
                    (known.tracklet, known.velocity)
                }
                None => {
                    let tracklet = self.next_tracklet;
                    self.next_tracklet += 1;
                    self.known.push(Known::new(tracklet, index, sight.clone(), self.display));
                    (tracklet, DVec2::ZERO)
                }
            };
            people.push(Tracked { tracklet, sight, is_in_doubt: false, velocity, figure: None, is_figure: false });
        }
        people
    }

    /// Marks whom the heavy network should look at too.
    fn doubt(&mut self, index: u64, people: &mut [Tracked]) {
        if !self.second_opinions {
            return;
        }
        for person in people {
            let Some(known) = self.known.iter_mut().find(|k| k.tracklet == person.tracklet) else { continue };
            if is_small(&known.region(), self.display) {
                continue;
            }
            let since = known.last_opinion.map(|last| (index - last) as f64 / self.fps);
            if wants_second_opinion(since, &person.sight.landmarks) {
                known.last_opinion = Some(index);
                person.is_in_doubt = true;
            }
        }
    }
}

/// Whether the heavy network should look at a person on this keyframe: every 0.8 s, and on a keyframe
/// where left and right are in doubt (the face is hidden, or the body is seen from the side so that shoulders or hips
/// lie over each other) and the last opinion is more than half that old. `since` is seconds, `None` for never.
pub fn wants_second_opinion(since: Option<f64>, landmarks: &Landmarks) -> bool {
    let Some(since) = since else { return true };
    let slack = 1e-6;
    since + slack >= OPINION_INTERVAL || (is_doubtful(landmarks) && since + slack >= OPINION_INTERVAL / 2.0)
}

/// Whether left and right are easily confused in this picture.
fn is_doubtful(landmarks: &Landmarks) -> bool {
    let face = landmarks.points[HEAD].iter().map(|p| p.visibility).sum::<f32>() / HEAD.len() as f32;
    let across = |[left, right]: Pair| landmarks.points[left].x - landmarks.points[right].x;
    let (shoulders, hips) = (across(SHOULDERS), across(HIPS));
    face < 0.5 || shoulders * hips < 0.0 || shoulders.abs() < 0.04 * landmarks.extent()
}

/// Somebody found on a keyframe.
struct Find {
    sight: Sight,
    /// The better of two finds of one person has the greater.
    rank: f32,
    /// Index of the person known to turn head over heels whom this must be.
    on: Option<usize>,
}

/// All but the best of several finds of one person go.
fn keep_best(mut finds: Vec<Find>, figures: &Figures) -> Vec<Find> {
    finds.sort_by(|a, b| b.rank.total_cmp(&a.rank));
    let mut kept: Vec<Find> = Vec::with_capacity(finds.len());
    for find in finds {
        let is_same = |k: &Find| {
            let (found, better) = (&find.sight.landmarks, &k.sight.landmarks);
            if figures.is_beside(found, better) {
                return is_one_pose(found, better);
            }
            (find.on.is_some() && find.on == k.on) || is_shadow_of(found, better)
        };
        if !kept.iter().any(is_same) {
            kept.push(find);
        }
    }
    kept
}

/// Answers by their kind, each in the order of the questions.
#[derive(Default)]
struct Answers {
    figures: Vec<Figure>,
    detections: Vec<Detection>,
    looked: Vec<Option<Sight>>,
}

impl From<Vec<Found>> for Answers {
    fn from(found: Vec<Found>) -> Self {
        let mut answers = Self::default();
        for answer in found {
            match answer {
                Found::Figures(figures) => answers.figures.extend(figures),
                Found::People(people) => answers.detections.extend(people),
                Found::Person(person) => answers.looked.push(person),
            }
        }
        answers
    }
}

/// Whether a detection need not be looked at, because somebody is known to be just there. Close, so that a person
/// standing half behind another is still looked at.
fn is_same_place(known: &Region, new: &Region) -> bool {
    known.center.distance(new.center) < 0.12 * known.side.min(new.side)
        && size_difference(known, new) < 0.45
        && wrap_angle(known.rotation - new.rotation).abs() < SAME_WAY
}

/// Where a tracklet should be on a frame between keyframes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// Number of the tracklet.
    pub tracklet: u32,
    /// Where to look.
    pub spot: Spot,
    /// Whether the keyframes on both sides have the person.
    pub is_sure: bool,
    /// Whether the finder saw a figure there on one of them.
    pub is_figure: bool,
    /// Whether it did on both.
    pub is_certain: bool,
}

/// Somewhat more than a box: what may be seen of whoever is in it.
fn around([left, top, right, bottom]: [f32; 4]) -> [f32; 4] {
    let margin = MARGIN * (bottom - top);
    [left - margin, top - margin, right + margin, bottom + margin]
}

/// The tracklets of either of two keyframes and where to look for them at a frame between, interpolated in the scene where both have
/// the person, else moved on from the one that has. In order of tracklet number.
fn expected_between(
    before: &Keyframe,
    after: &Keyframe,
    frame: u64,
    display: [u32; 2],
    trajectory: &Trajectory,
) -> Vec<Expected> {
    let moved = |person: &Tracked, from: u64| {
        let region = person.sight.landmarks.region();
        let center = region.center + person.velocity * (frame as f64 - from as f64) + trajectory.moved(from, frame);
        Region { center, ..region }
    };
    let partner = |people: &[Tracked], tracklet: u32| people.iter().position(|p| p.tracklet == tracklet);
    let mut expected = Vec::new();
    for person in &before.people {
        let other = partner(&after.people, person.tracklet).map(|i| (after.index, &after.people[i]));
        let is_certain = other.is_some_and(|(_, next)| [person, next].iter().all(|p| p.figure == Some(true)));
        let spot = match other {
            Some((index, next)) => {
                let share = (frame - before.index) as f64 / (index - before.index).max(1) as f64;
                let shift = trajectory.off_straight(before.index, after.index, frame);
                let mut region = interpolate(&person.sight.landmarks.region(), &next.sight.landmarks.region(), share);
                region.center += shift;
                let [a, b] = [person, next].map(|p| p.sight.landmarks.bounds());
                let bounds = std::array::from_fn(|i| a[i] + share as f32 * (b[i] - a[i]) + shift[i % 2] as f32);
                // Without a figure on both sides somebody might be found because nothing else is to be seen.
                Spot { region, within: (is_certain && is_small(&region, display)).then(|| around(bounds)) }
            }
            None => moved(person, before.index).into(),
        };
        let is_figure = person.is_figure || other.is_some_and(|(_, next)| next.is_figure);
        expected.push(Expected { tracklet: person.tracklet, spot, is_sure: other.is_some(), is_figure, is_certain });
    }
    let new = after.people.iter().filter(|p| partner(&before.people, p.tracklet).is_none());
    expected.extend(new.map(|p| {
        let (spot, is_figure) = (moved(p, after.index).into(), p.is_figure);
        Expected { tracklet: p.tracklet, spot, is_sure: false, is_figure, is_certain: false }
    }));
    expected.sort_by_key(|expected| expected.tracklet);
    expected
}

fn interpolate(a: &Region, b: &Region, share: f64) -> Region {
    Region {
        center: a.center.lerp(b.center, share),
        side: a.side + share * (b.side - a.side),
        rotation: wrap_angle(a.rotation + share * wrap_angle(b.rotation - a.rotation)),
    }
}

/// The people of a frame between keyframes, from what was found where each was expected: without those who are not
/// where they were looked for (a neighbour was found instead) and without doubles, of which those whom both keyframes have
/// are kept, then those nearest to where they were expected. Keeps the order.
pub fn settle(display: [u32; 2], looked: Vec<(Expected, Option<Sight>)>) -> Vec<(u32, Sight)> {
    let found: Vec<(Expected, Sight, f64)> = looked
        .into_iter()
        .filter_map(|(expected, sight)| {
            let sight = sight.filter(|s| is_plausible(&s.landmarks, display, expected.is_figure))?;
            let (region, own) = (expected.spot.region, sight.landmarks.region());
            let off = region.center.distance(own.center) / region.side.min(own.side);
            (off < 0.35 && size_difference(&region, &own) < 0.6).then_some((expected, sight, off))
        })
        .collect();
    let is_lesser = |i: usize| {
        let rank = |n: usize| (!found[n].0.is_sure, found[n].2, n);
        found.iter().enumerate().any(|(j, other)| {
            let (a, b) = (&found[i].1.landmarks, &other.1.landmarks);
            if found[i].0.is_certain && other.0.is_certain {
                return rank(j) < rank(i) && is_one_pose(a, b);
            }
            j != i && ((rank(j) < rank(i) && is_duplicate(a, b)) || (a.quality() < b.quality() && is_shadow_of(a, b)))
        })
    };
    let keep: Vec<bool> = (0..found.len()).map(|i| !is_lesser(i)).collect();
    let kept = found.into_iter().zip(keep).filter(|(_, keep)| *keep);
    kept.map(|((expected, sight, _), _)| (expected.tracklet, sight)).collect()
}

#[cfg(test)]
mod tests {
    use std::f64::consts::FRAC_PI_2;

    use super::*;
    use crate::pose::Look;
    use crate::track::synthetic;

    const DISPLAY: [u32; 2] = [1280, 720];
    const HEIGHT: f32 = 400.0;

    fn sight(x: f32, height: f32, score: f32) -> Sight {
        let landmarks = Landmarks { score, ..synthetic::person([x, 360.0], height) };
        Sight { landmarks, look: Look::of_colour([90, 100, 200]) }
    }

    fn figure(x: f32, height: f32) -> Figure {
        Figure { bounds: sight(x, height, 1.0).landmarks.bounds(), score: 0.5, quarter_turns: 0 }
    }

    /// A picture in which the finder sees `figures` and the landmark network the nearest of `people`.
    fn answer(figures: &[Figure], people: &[Sight], asked: &mut Vec<Work>, work: Vec<Work>) -> Vec<Found> {
        let found = work.iter().map(|work| match work {
            Work::Find(view) if *view != View::whole(DISPLAY) && !view.is_coarse => Found::Figures(Vec::new()),
            Work::Find(_) => Found::Figures(figures.to_vec()),
            Work::Detect(_) => Found::People(Vec::new()),
            Work::Look { spot: Spot { region, .. }, .. } => {
                let far = |s: &Sight| s.landmarks.region().center.distance(region.center);
                let nearest = people.iter().min_by(|a, b| far(a).total_cmp(&far(b)));
                Found::Person(nearest.filter(|s| far(s) < 0.5 * region.side).cloned())
            }
        });
        let found = found.collect();
        asked.extend(work);
        found
    }

    fn keyframe(scout: &mut Scout, index: u64, figures: &[Figure], people: &[Sight]) -> (Keyframe, Vec<Work>) {
        let mut asked = Vec::new();
        let keyframe = scout.keyframe(index, &Trajectory::default(), &mut |work| {
            Ok::<_, ()>(answer(figures, people, &mut asked, work))
        });
        (keyframe.unwrap(), asked)
    }

    #[test]
    fn whom_the_finder_sees_is_looked_at_and_followed() {
        let mut scout = Scout::new(30.0, DISPLAY, Network::Full, false);
        for (round, index) in [0, 6, 12].into_iter().enumerate() {
            let x = 400.0 + 2.0 * index as f32;
            let (found, asked) =
                keyframe(&mut scout, index, &[figure(x, HEIGHT)], &[sight(x, HEIGHT, 1.0), sight(900.0, HEIGHT, 1.0)]);
            let people: Vec<(u32, Option<bool>)> = found.people.iter().map(|p| (p.tracklet, p.figure)).collect();
            assert_eq!(people, [(0, Some(true))], "frame {index}");
            let looks = asked.iter().filter(|w| matches!(w, Work::Look { .. })).count();
            assert_eq!(looks, 1, "known or new, one look does in round {round}");
        }
    }

    #[test]
    fn blurred_people_count_where_the_finder_sees_them_and_only_there() {
        for (figures, people) in [(vec![figure(400.0, HEIGHT)], 1), (vec![], 0)] {
            let mut scout = Scout::new(30.0, DISPLAY, Network::Full, false);
            keyframe(&mut scout, 0, &[figure(400.0, HEIGHT)], &[sight(400.0, HEIGHT, 0.3)]);
            let (found, _) = keyframe(&mut scout, 6, &figures, &[sight(402.0, HEIGHT, 0.3)]);
            assert_eq!(found.people.len(), people);
        }
    }

    /// The person turned clockwise about their hips.
    fn turned_person(x: f32, angle: f64) -> Sight {
        let sight = sight(x, HEIGHT, 1.0);
        let upright = sight.landmarks.region();
        let turned = Region { rotation: wrap_angle(angle), ..upright };
        Sight { landmarks: sight.landmarks.carried(&upright, &turned), ..sight }
    }

    #[test]
    fn who_turns_head_over_heels_is_followed_on_more_keyframes() {
        // Nothing but what is turned as the region is, by 50 degrees or less, is recognised.
        let looked = |person: &Sight, region: &Region| {
            let off = wrap_angle(person.landmarks.region().rotation - region.rotation).abs();
            Found::Person((off < 0.87).then(|| person.clone()))
        };
        let mut scout = Scout::new(30.0, DISPLAY, Network::Full, false);
        let (mut index, mut keyframes) = (0, Vec::new());
        while index < 90 {
            // From the 30th frame on two turns in a second and a half.
            let angle = if index < 30 { 0.0 } else { 0.28 * (index - 30).min(45) as f64 };
            let person = turned_person(400.0, angle);
            let mut run = |work: Vec<Work>| -> Result<Vec<Found>, ()> {
                let answer = |work: &Work| match work {
                    Work::Find(_) => Found::Figures(Vec::from([figure(400.0, HEIGHT)])),
                    Work::Detect(_) => Found::People(Vec::new()),
                    Work::Look { spot, .. } => looked(&person, &spot.region),
                };
                Ok(work.iter().map(answer).collect())
            };
            let found = scout.keyframe(index, &Trajectory::default(), &mut run).unwrap();
            let people: Vec<u32> = found.people.iter().map(|p| p.tracklet).collect();
            assert_eq!(people, [0], "frame {index}, turned by {angle}");
            let off = found.people[0].sight.landmarks.region().rotation - angle;
            assert!(wrap_angle(off).abs() < 1e-3);
            keyframes.push(index);
            index = scout.next_keyframe();
        }
        let within = |range: std::ops::Range<u64>| keyframes.iter().filter(|i| range.contains(i)).count();
        assert_eq!((within(0..30), within(36..75)), (5, 20), "{keyframes:?}");
    }

    #[test]
    fn where_people_lie_the_finder_looks_at_the_picture_turned() {
        for (turn, score, is_found) in [(1, 0.6, true), (3, 0.6, true), (2, 0.6, true), (1, 0.4, false)] {
            let person = turned_person(400.0, f64::from(turn) * FRAC_PI_2);
            let figure = Figure { bounds: person.landmarks.bounds(), score, quarter_turns: turn };
            let mut scout = Scout::new(30.0, DISPLAY, Network::Full, false);
            for index in [0, 6, 12, 18] {
                let mut looks = Vec::new();
                let mut run = |work: Vec<Work>| -> Result<Vec<Found>, ()> {
                    looks.extend(work.iter().filter_map(|w| if let Work::Find(view) = w { Some(*view) } else { None }));
                    let answer = |work: &Work| match work {
                        Work::Find(view) if view.quarter_turns == turn && view.width > 1000.0 => {
                            Found::Figures(vec![figure])
                        }
                        Work::Find(_) => Found::Figures(Vec::new()),
                        Work::Detect(_) => Found::People(Vec::new()),
                        Work::Look { spot, .. } => {
                            let off = wrap_angle(spot.region.rotation - figure.rotation()).abs();
                            Found::Person((off < 0.87).then(|| person.clone()))
                        }
                    };
                    Ok(work.iter().map(answer).collect())
                };
                let found = scout.keyframe(index, &Trajectory::default(), &mut run).unwrap();
                let figures: Vec<Option<bool>> = found.people.iter().map(|p| p.figure).collect();
                assert_eq!(
                    figures,
                    if is_found { vec![Some(true)] } else { vec![] },
                    "frame {index}, turned by {turn}"
                );
                let whole = looks.iter().filter(|view| view.width > 1000.0);
                let turns: Vec<u8> = whole.map(|view| view.quarter_turns).collect();
                assert!(!is_found || turns.contains(&turn) && turns.contains(&0), "frame {index}: {turns:?}");
            }
        }
    }

    #[test]
    fn parts_of_the_picture_take_turns_while_people_are_small() {
        // The whole picture rests while a part is looked at, once somebody large has been seen for long enough.
        for (height, count, whole, parts) in [(400.0, 1, 20 - 9, 10), (120.0, 1, 20, 20), (120.0, 4, 20, 20 * (4 + 1))]
        {
            let places = || (0..count).map(|i| 400.0 + 120.0 * i as f32);
            let (figures, people): (Vec<_>, Vec<_>) =
                places().map(|x| (figure(x, height), sight(x, height, 1.0))).unzip();
            let mut scout = Scout::new(30.0, DISPLAY, Network::Full, false);
            let (_, first) = keyframe(&mut scout, 0, &figures, &people);
            let count_finds = |asked: &[Work], turned: bool| {
                asked.iter().filter(|w| matches!(w, Work::Find(view) if (view.quarter_turns != 0) == turned)).count()
            };
            assert_eq!(count_finds(&first, false), if height < 200.0 { 1 + 4 + 16 } else { 1 + 4 });
            assert_eq!(count_finds(&first, true), 3, "whoever lies on either side or hangs head down");
            let later: Vec<_> = (1..=20).flat_map(|i| keyframe(&mut scout, 6 * i, &figures, &people).1).collect();
            assert_eq!(count_finds(&later, false), whole + parts, "{count} people {height} pixels tall");
            assert_eq!(
                count_finds(&later, true),
                2 + 2,
                "every other time while nobody is known for sure, later now and then"
            );
        }
    }

    #[test]
    fn who_stands_alone_is_looked_at_as_they_are_and_who_does_not_without_the_others() {
        let shown = |people: &[(f32, f32, f32)]| {
            let mut scout = Scout::new(30.0, DISPLAY, Network::Full, false);
            let figures: Vec<Figure> =
                people.iter().map(|&(x, height, score)| Figure { score, ..figure(x, height) }).collect();
            let people: Vec<Sight> = people.iter().map(|&(x, height, _)| sight(x, height, 1.0)).collect();
            let (_, asked) = keyframe(&mut scout, 0, &figures, &people);
            let within = |w: Work| if let Work::Look { spot, .. } = w { Some(spot.within) } else { None };
            asked.into_iter().filter_map(within).collect::<Vec<_>>()
        };
        let (left, right, far) = ((400.0, HEIGHT, 0.5), (520.0, HEIGHT, 0.5), (900.0, HEIGHT, 0.5));
        let seen = |(x, height, _)| Some(around(figure(x, height).bounds));
        assert_eq!(shown(&[left, far]), [None, None]);
        assert_eq!(shown(&[left, right, far]), [seen(left), seen(right), None]);
        let small = (900.0, 120.0, 0.5);
        assert_eq!(shown(&[small]), [seen(small)], "a crowd may be behind them");
        assert_eq!(shown(&[(900.0, 120.0, 0.35)]), [None], "a bag, perhaps");
    }

    #[test]
    fn who_is_not_seen_alone_is_looked_at_among_the_others_but_must_be_just_there() {
        for (aside, is_found) in [(4.0, true), (40.0, false)] {
            let mut scout = Scout::new(30.0, DISPLAY, Network::Full, false);
            let mut looks = Vec::new();
            let mut run = |work: Vec<Work>| {
                let answer = |work: &Work| match work {
                    Work::Find(_) => Found::Figures(vec![figure(900.0, 120.0)]),
                    Work::Detect(_) => Found::People(Vec::new()),
                    Work::Look { spot, .. } => {
                        let is_alone = spot.within.is_some();
                        looks.push(is_alone);
                        Found::Person((!is_alone).then(|| sight(900.0 + aside, 120.0, 1.0)))
                    }
                };
                Ok::<_, ()>(work.iter().map(answer).collect())
            };
            let found = scout.keyframe(0, &Trajectory::default(), &mut run).unwrap();
            assert_eq!((looks, found.people.len()), (vec![true, false], usize::from(is_found)));
        }
    }

    #[test]
    fn small_people_are_seen_alone_between_keyframes_that_have_their_figure() {
        let mut scout = Scout::new(30.0, DISPLAY, Network::Full, false);
        let people = [sight(900.0, 120.0, 1.0)];
        let (before, _) = keyframe(&mut scout, 0, &[figure(900.0, 120.0)], &people);
        for (figures, is_alone) in [(vec![figure(900.0, 120.0)], true), (vec![], false)] {
            let (after, _) = keyframe(&mut scout.clone(), 6, &figures, &people);
            let expected = scout.expected(&before, &after, 2, &Trajectory::default());
            let within = is_alone.then(|| around(people[0].landmarks.bounds()));
            assert_eq!(expected.iter().map(|e| e.spot.within).collect::<Vec<_>>(), [within]);
        }
    }

    #[test]
    fn between_keyframes_small_people_are_looked_at_now_and_then() {
        let mut scout = Scout::new(50.0, DISPLAY, Network::Full, false);
        let figures = [figure(300.0, HEIGHT), figure(900.0, 120.0)];
        let people = [sight(300.0, HEIGHT, 1.0), sight(900.0, 120.0, 1.0)];
        let (before, _) = keyframe(&mut scout, 0, &figures, &people);
        let (after, _) = keyframe(&mut scout, 10, &figures, &people);
        let still = Trajectory::default();
        let looked: Vec<usize> = (1..10).map(|frame| scout.expected(&before, &after, frame, &still).len()).collect();
        assert_eq!((fill::steps(50.0), looked), (4, vec![1, 1, 1, 2, 1, 1, 1, 2, 1]));
    }

    #[test]
    fn people_are_where_the_scene_takes_them() {
        // The camera is jerked up after the fourth frame, by more than a person's width aside, and back before the ninth.
        let jerk = |frame: u64| if (5..9).contains(&frame) { DVec2::new(150.0, 60.0) } else { DVec2::ZERO };
        let trajectory = Trajectory::of((0..20).map(jerk).collect());
        let at = |frame: u64| {
            let mut sight = sight(400.0 + 2.0 * frame as f32, HEIGHT, 1.0);
            sight.landmarks.shift(jerk(frame));
            sight
        };
        let mut scout = Scout::new(30.0, DISPLAY, Network::Full, false);
        let mut keyframes = Vec::new();
        for index in [0, 6, 12] {
            let person = at(index);
            let figures = [Figure { bounds: person.landmarks.bounds(), score: 0.5, quarter_turns: 0 }];
            let mut run = |work: Vec<Work>| {
                // The network sees nobody who is as far off as the camera was jerked.
                let near = |spot: &Spot| spot.region.difference(&person.landmarks.region()) < 0.2;
                let answer = |work: &Work| match work {
                    Work::Find(_) => Found::Figures(figures.to_vec()),
                    Work::Detect(_) => Found::People(Vec::new()),
                    Work::Look { spot, .. } => Found::Person(near(spot).then(|| person.clone())),
                };
                Ok::<_, ()>(work.iter().map(answer).collect())
            };
            keyframes.push(scout.keyframe(index, &trajectory, &mut run).unwrap());
        }
        let velocities: Vec<DVec2> = keyframes.iter().map(|k| k.people[0].velocity).collect();
        assert!(keyframes.iter().all(|k| k.people.len() == 1 && k.people[0].tracklet == 0));
        assert!(velocities[1..].iter().all(|v| v.distance(DVec2::new(2.0, 0.0)) < 1e-3), "{velocities:?}");
        for frame in 1..6 {
            let expected = scout.expected(&keyframes[0], &keyframes[1], frame, &trajectory);
            let off = expected[0].spot.region.center - at(frame).landmarks.region().center;
            assert!(off.length() < 1e-3, "frame {frame}: {off}");
        }
    }

    #[test]
    fn people_in_each_others_way_are_two_where_there_are_two_figures() {
        // Half a shoulder's width apart: without figures of their own one person seen twice.
        let people = [sight(400.0, HEIGHT, 1.0), sight(440.0, HEIGHT, 0.9)];
        let [left, top, right, bottom] = people[0].landmarks.bounds();
        let middle = (left + right) / 2.0;
        let half = |left, right| Figure { bounds: [left, top, right, bottom], score: 0.5, quarter_turns: 0 };
        let both = [half(left, middle + 20.0), half(middle + 20.0, right + 40.0)];
        assert!(is_duplicate(&people[0].landmarks, &people[1].landmarks));
        let ways = || Ways { usual: vec![0], are_guessed: true };
        for (figures, count) in [(both.to_vec(), 2), (both[..1].to_vec(), 1), (Vec::new(), 1)] {
            let figures = Figures::new(DISPLAY, ways(), vec![View::whole(DISPLAY)], figures);
            let finds = people.iter().map(|sight| Find { sight: sight.clone(), rank: sight.landmarks.score, on: None });
            assert_eq!(keep_best(finds.collect(), &figures).len(), count);
        }
        let expected = |sight: &Sight, is_certain| Expected {
            tracklet: 0,
            spot: sight.landmarks.region().into(),
            is_sure: true,
            is_figure: true,
            is_certain,
        };
        for (is_certain, count) in [(true, 2), (false, 1)] {
            let looked = people.iter().map(|sight| (expected(sight, is_certain), Some(sight.clone())));
            assert_eq!(settle(DISPLAY, looked.collect()).len(), count);
        }
    }
}
