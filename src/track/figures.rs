//! What the finder looks at on each keyframe, and what the figures it sees there say of people.

use serde::{Deserialize, Serialize};

use super::likeness::assign;
use crate::pose::{Figure, Landmarks, View, best, overlap};

/// Rows and columns of the parts of the picture that are looked at beside the whole.
const PARTS: u32 = 2;
const CLOSEST_PARTS: u32 = 4;
/// Keyframes from one part to the next, where nobody small is known.
const SELDOM: u64 = 2;
/// Small people from which on they are a crowd.
const CROWD: usize = 4;
/// Overlap of somebody's landmarks with a figure above which it is theirs.
const SAME: f32 = 0.4;
/// The same, above which there is no doubt about it.
const CLEAR: f32 = 0.6;

/// The turns that the parts of the picture take.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Turns {
    keyframes: u64,
}

impl Turns {
    /// On the first keyframe: the whole picture and its larger parts.
    pub fn first(display: [u32; 2]) -> Vec<View> {
        [View::whole(display)].into_iter().chain(View::parts(display, PARTS)).collect()
    }

    /// And the smaller ones as well, where the first look found somebody small.
    pub fn closer(seen: &Figures) -> Vec<View> {
        let whole = View::whole(seen.display);
        let is_needed = seen.found.iter().any(|f| !whole.shows(f.bounds));
        if is_needed { View::parts(seen.display, CLOSEST_PARTS).collect() } else { Vec::new() }
    }

    /// Later: the whole picture, as closely as those known (their bounds) need. Its parts take turns: one a keyframe while small people
    /// are known, else one now and then; in a crowd of small people all larger parts and one of the smaller.
    pub fn next(&mut self, display: [u32; 2], known: &[[f32; 4]]) -> Vec<View> {
        let whole = View::whole(display);
        let coarse = View { is_coarse: true, ..whole };
        let mut views = vec![if known.iter().all(|&b| coarse.shows(b)) { coarse } else { whole }];
        let (large, small) = (View::parts(display, PARTS), View::parts(display, CLOSEST_PARTS));
        self.keyframes += 1;
        let (turn, parts): (u64, Vec<View>) = match known.iter().filter(|&&b| !whole.shows(b)).count() {
            CROWD.. => {
                views.extend(large);
                (self.keyframes, small.collect())
            }
            0 if !self.keyframes.is_multiple_of(SELDOM) => return views,
            0 => (self.keyframes / SELDOM, large.chain(small).collect()),
            _ => (self.keyframes, large.chain(small).collect()),
        };
        views.extend(parts.get(turn as usize % parts.len().max(1)));
        views
    }
}

/// The figures in one picture, and where they were looked for.
pub(super) struct Figures {
    display: [u32; 2],
    views: Vec<View>,
    found: Vec<Figure>,
}

impl Figures {
    /// Of the views that were looked at and everything found in them.
    pub fn new(display: [u32; 2], views: Vec<View>, found: Vec<Figure>) -> Self {
        Self { display, views, found: best(found) }
    }

    /// More views of the same picture.
    pub fn add(&mut self, views: Vec<View>, found: Vec<Figure>) {
        self.views.extend(views);
        self.found = best([std::mem::take(&mut self.found), found].concat());
    }

    /// How well the best figure covers somebody, 0..=1.
    pub fn share(&self, landmarks: &Landmarks) -> f32 {
        let bounds = landmarks.visible_bounds(self.display);
        self.found.iter().map(|f| overlap(&bounds, &f.bounds)).fold(0.0, f32::max)
    }

    /// Whether there is a figure where somebody is; `before` where the finder did not look closely enough to say no.
    pub fn has(&self, landmarks: &Landmarks, before: bool) -> bool {
        self.share(landmarks) > SAME || (before && !self.is_looked_at(landmarks))
    }

    /// The same, beyond doubt.
    pub fn has_clearly(&self, landmarks: &Landmarks, before: bool) -> bool {
        match self.share(landmarks) {
            share if share > SAME => share > CLEAR,
            _ => before && !self.is_looked_at(landmarks),
        }
    }

    /// Those that are not clearly of any of these people, best first.
    pub fn of_others<'a>(&'a self, people: impl Iterator<Item = &'a Landmarks>) -> impl Iterator<Item = &'a Figure> {
        let bounds: Vec<[f32; 4]> = people.map(|l| l.visible_bounds(self.display)).collect();
        self.found.iter().filter(move |figure| bounds.iter().all(|b| overlap(b, &figure.bounds) <= CLEAR))
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

    #[test]
    fn a_figure_is_of_one_person_only() {
        let people = [430.0, 402.0].map(|x| synthetic::person([x, 360.0], 400.0));
        let bounds = synthetic::person([400.0, 360.0], 400.0).bounds();
        let figures = Figures::new(DISPLAY, vec![View::whole(DISPLAY)], vec![Figure { bounds, score: 0.5 }]);
        assert_eq!(figures.give(people.iter()), [Some(false), Some(true)]);
        assert!(people.iter().all(|p| figures.has(p, false)), "either could be the one");
    }

    #[test]
    fn what_was_not_looked_at_closely_stays_as_it_was() {
        let small = synthetic::person([400.0, 260.0], 80.0);
        for (views, expected) in [(vec![View::whole(DISPLAY)], None), (View::parts(DISPLAY, 4).collect(), Some(false))]
        {
            let figures = Figures::new(DISPLAY, views, Vec::new());
            assert_eq!(figures.give([&small].into_iter()), [expected]);
            for before in [false, true] {
                let is_seen = before && expected.is_none();
                assert_eq!((figures.has(&small, before), figures.has_clearly(&small, before)), (is_seen, is_seen));
            }
        }
    }
}
