//! What the finder looks at on each keyframe, and what the figures it sees there say of people.

use serde::{Deserialize, Serialize};

use super::assignment::assign;
use crate::pose::{Figure, Landmarks, View, best, overlap, wrap_angle};

/// Rows and columns of the parts of the picture that are looked at beside the whole.
const PARTS: u32 = 2;
const CLOSEST_PARTS: u32 = 4;
/// Keyframes from one part to the next, where nobody small is known.
const SELDOM: u64 = 2;
/// Keyframes from one other way round to the next, where somebody is known.
const OTHER_WAYS: u64 = 10;
/// Small people from which on they are a crowd.
const CROWD: usize = 4;
/// The other ways round in which people are looked for, by quarter turns clockwise: lying on either side, head down.
const WAYS: [u8; 3] = [1, 3, 2];
/// Score from which on a figure is one even where another one, turned otherwise, overlaps it by more than this.
const CLEAR_SCORE: f32 = 0.5;
const CROSSING: f32 = 0.1;
/// Score of a figure that is turned otherwise than those known, and what it must be clearer by than one on the same place that is not.
const UNUSUAL_SCORE: f32 = 0.65;
const CLEARER: f32 = 0.2;
/// Score from which on a figure is somebody for certain, and may be looked at alone: below it may be a bag.
pub(super) const CERTAIN_SCORE: f32 = 0.4;
/// Whoever is turned by less (radians) from a figure is turned as it is.
pub(super) const SAME_WAY: f64 = 0.6;
/// Overlap of somebody's landmarks with a figure above which it is theirs.
pub(super) const SAME: f32 = 0.4;
/// The same, above which there is no doubt about it.
const CLEAR: f32 = 0.6;

/// The ways round in which those known are.
pub(super) struct Ways {
    /// Quarter turns clockwise, that of most people first; 0 is always among them.
    pub usual: Vec<u8>,
    /// Whether nobody is known for sure.
    pub are_guessed: bool,
}

/// The parts of the picture, and the ways round, are looked at one after the other.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Rounds {
    keyframes: u64,
}

/// The whole picture for people who are turned.
fn turned(display: [u32; 2], quarter_turns: u8) -> View {
    View { quarter_turns, ..View::whole(display) }
}

impl Rounds {
    /// On the first keyframe: the whole picture, also for people who lie or hang in it, and its larger parts.
    pub fn first(display: [u32; 2]) -> Vec<View> {
        let whole = [View::whole(display)].into_iter().chain(WAYS.map(|turn| turned(display, turn)));
        whole.chain(View::parts(display, PARTS)).collect()
    }

    /// And the smaller ones as well, where the first look found somebody small.
    pub fn closer(seen: &Figures) -> Vec<View> {
        let is_small = |f: &Figure| !turned(seen.display, f.quarter_turns).shows(f.bounds);
        let is_needed = seen.found.iter().any(is_small);
        if is_needed { View::parts(seen.display, CLOSEST_PARTS).collect() } else { Vec::new() }
    }

    /// Later: the whole picture, as closely as those known (their bounds) need and turned each way round that they are (`ways`, that of most
    /// people first). Its parts take turns: one a keyframe while small people are known, else one now and then; in a crowd of small people
    /// all larger parts and one of the smaller. So do the other ways round: one a keyframe while the ways are guessed,
    /// else one now and then. Where all is well (`is_calm`), the whole picture rests while a part is looked at.
    pub fn next(&mut self, display: [u32; 2], known: &[[f32; 4]], ways: &Ways, is_calm: bool) -> Vec<View> {
        let Ways { usual, are_guessed } = ways;
        let way = usual.first().copied().unwrap_or(0);
        let shows = |is_coarse| {
            move |&b: &[f32; 4]| usual.iter().any(|&turn| View { is_coarse, ..turned(display, turn) }.shows(b))
        };
        let is_coarse = known.iter().all(shows(true));
        let mut views: Vec<View> = usual.iter().map(|&turn| View { is_coarse, ..turned(display, turn) }).collect();
        let parts = |parts| View::parts(display, parts).map(move |part| View { quarter_turns: way, ..part });
        let (large, small) = (parts(PARTS), parts(CLOSEST_PARTS));
        self.keyframes += 1;
        let others = if *are_guessed { SELDOM } else { OTHER_WAYS };
        // Never on the keyframes on which a part is looked at now and then.
        let beside = self.keyframes + 1;
        if beside.is_multiple_of(others) {
            let turn = WAYS[(beside / others) as usize % WAYS.len()];
            views.extend((!usual.contains(&turn)).then(|| View { is_coarse: true, ..turned(display, turn) }));
        }
        let (round, parts): (u64, Vec<View>) = match known.iter().filter(|&b| !shows(false)(b)).count() {
            CROWD.. => {
                views.extend(large);
                (self.keyframes, small.collect())
            }
            0 if !self.keyframes.is_multiple_of(SELDOM) => return views,
            0 => {
                if is_calm {
                    views.clear();
                }
                (self.keyframes / SELDOM, large.chain(small).collect())
            }
            _ => (self.keyframes, large.chain(small).collect()),
        };
        views.extend(parts.get(round as usize % parts.len().max(1)));
        views
    }
}

/// The figures in one picture, and where they were looked for.
pub(super) struct Figures {
    display: [u32; 2],
    ways: Ways,
    views: Vec<View>,
    found: Vec<Figure>,
}

impl Figures {
    /// Of the views that were looked at and everything found in them; most people are turned one of these `ways`.
    pub fn new(display: [u32; 2], ways: Ways, views: Vec<View>, found: Vec<Figure>) -> Self {
        let mut figures = Self { display, ways, views: Vec::new(), found: Vec::new() };
        figures.add(views, found);
        figures
    }

    /// More views of the same picture.
    pub fn add(&mut self, views: Vec<View>, mut found: Vec<Figure>) {
        self.views.extend(views);
        found.append(&mut self.found);
        let (mut usual, mut unusual): (Vec<Figure>, Vec<Figure>) =
            found.iter().partition(|f| self.ways.usual.contains(&f.quarter_turns));
        let is_first = self.ways.are_guessed && usual.iter().all(|f| f.score < CLEAR_SCORE);
        let least = if is_first { CLEAR_SCORE } else { UNUSUAL_SCORE };
        let beats = |f: &Figure, u: &Figure| overlap(&u.bounds, &f.bounds) <= SAME || u.score + CLEARER < f.score;
        unusual.retain(|f| f.score >= least && usual.iter().all(|u| beats(f, u)));
        let clear: Vec<Figure> = usual.iter().chain(&unusual).filter(|f| f.score >= CLEAR_SCORE).copied().collect();
        let crosses =
            |f: &Figure, c: &Figure| c.quarter_turns != f.quarter_turns && overlap(&c.bounds, &f.bounds) > CROSSING;
        usual.retain(|f| f.score >= CLEAR_SCORE || !clear.iter().any(|c| crosses(f, c)));
        usual.append(&mut unusual);
        self.found = best(usual);
    }

    /// How well the best figure covers somebody, 0..=1.
    pub fn share(&self, landmarks: &Landmarks) -> f32 {
        self.best(landmarks).map_or(0.0, |(share, _)| share)
    }

    /// Radians by which the figure of somebody is turned; 0 where there is none.
    pub fn rotation(&self, landmarks: &Landmarks) -> f64 {
        self.best(landmarks).filter(|(share, _)| *share > SAME).map_or(0.0, |(_, figure)| figure.rotation())
    }

    /// The figure that covers somebody best, and how well.
    fn best(&self, landmarks: &Landmarks) -> Option<(f32, &Figure)> {
        let bounds = landmarks.visible_bounds(self.display);
        let shares = self.found.iter().map(|f| (overlap(&bounds, &f.bounds), f));
        shares.max_by(|(a, _), (b, _)| a.total_cmp(b))
    }

    /// Whether there is a figure where somebody is; `before` where the finder did not look closely enough to say no.
    pub fn has(&self, landmarks: &Landmarks, before: bool) -> bool {
        self.share(landmarks) > SAME || (before && !self.is_looked_at(landmarks))
    }

    /// The same, beyond doubt: they are turned as it is, too.
    pub fn has_clearly(&self, landmarks: &Landmarks, before: bool) -> bool {
        let is_same_way = wrap_angle(landmarks.region().rotation - self.rotation(landmarks)).abs() < SAME_WAY;
        let is_covered = match self.share(landmarks) {
            share if share > SAME => share > CLEAR,
            _ => before && !self.is_looked_at(landmarks),
        };
        is_same_way && is_covered
    }

    /// Those that are not clearly of any of these people, best first.
    pub fn of_others<'a>(&'a self, people: impl Iterator<Item = &'a Landmarks>) -> impl Iterator<Item = &'a Figure> {
        let bounds: Vec<[f32; 4]> = people.map(|l| l.visible_bounds(self.display)).collect();
        self.found.iter().filter(move |figure| bounds.iter().all(|b| overlap(b, &figure.bounds) <= CLEAR))
    }

    /// Whether somebody has a clear figure of their own, which is not another body's: then they are two people, however close they are.
    pub fn is_beside(&self, found: &Landmarks, other: &Landmarks) -> bool {
        let own = self.best(found).filter(|(share, figure)| *share > SAME && figure.score >= CERTAIN_SCORE);
        own.is_some_and(|(_, figure)| overlap(&figure.bounds, &other.visible_bounds(self.display)) < SAME)
    }

    /// Whether another figure touches this one.
    pub fn is_crowded(&self, figure: &Figure) -> bool {
        let touches = |other: &Figure| overlap(&figure.bounds, &other.bounds) > 0.0;
        self.found.iter().any(|other| other != figure && touches(other))
    }

    /// For each of these people whether they have a figure, and each figure one person, whom it covers best; `None` for people where
    /// the finder did not look closely enough.
    pub fn give<'a>(&self, people: impl Iterator<Item = &'a Landmarks>) -> Vec<Option<bool>> {
        let people: Vec<&Landmarks> = people.collect();
        let cost = |landmarks: &Landmarks, figure: &Figure| {
            let share = overlap(&landmarks.visible_bounds(self.display), &figure.bounds);
            (share > SAME).then_some(f64::from(1.0 - share))
        };
        let costs: Vec<Vec<_>> =
            people.iter().map(|person| self.found.iter().map(|figure| cost(person, figure)).collect()).collect();
        let given = assign(&costs, self.found.len(), 1.0).into_iter().zip(people);
        given
            .map(|(figure, person)| (figure.is_some() || self.is_looked_at(person)).then_some(figure.is_some()))
            .collect()
    }

    fn is_looked_at(&self, landmarks: &Landmarks) -> bool {
        let bounds = landmarks.visible_bounds(self.display);
        self.views.iter().any(|view| view.shows(bounds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::synthetic;

    const DISPLAY: [u32; 2] = [1280, 720];

    fn ways() -> Ways {
        Ways { usual: vec![0], are_guessed: true }
    }

    #[test]
    fn a_figure_is_of_one_person_only() {
        let people = [430.0, 402.0].map(|x| synthetic::person([x, 360.0], 400.0));
        let bounds = synthetic::person([400.0, 360.0], 400.0).bounds();
        let figures = Figures::new(
            DISPLAY,
            ways(),
            vec![View::whole(DISPLAY)],
            vec![Figure { bounds, score: 0.5, quarter_turns: 0 }],
        );
        assert_eq!(figures.give(people.iter()), [Some(false), Some(true)]);
        assert!(people.iter().all(|p| figures.has(p, false)), "either could be the one");
    }

    #[test]
    fn what_was_not_looked_at_closely_stays_as_it_was() {
        let small = synthetic::person([400.0, 260.0], 80.0);
        for (views, expected) in [(vec![View::whole(DISPLAY)], None), (View::parts(DISPLAY, 4).collect(), Some(false))]
        {
            let figures = Figures::new(DISPLAY, ways(), views, Vec::new());
            assert_eq!(figures.give([&small].into_iter()), [expected]);
            for before in [false, true] {
                let is_seen = before && expected.is_none();
                assert_eq!((figures.has(&small, before), figures.has_clearly(&small, before)), (is_seen, is_seen));
            }
        }
    }
}
