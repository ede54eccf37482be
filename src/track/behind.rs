//! Looks behind large people.
//!
//! Two large people who overlap are one to the person detector as often as not, and one to the landmark network always: it takes the one in front, or
//! makes a body of both. So whoever is half hidden from their first frame on, or was lost behind somebody, is looked for in the place of those
//! who are found, with these painted over:
//!
//! 1. the landmark network looks at the place of each large person;
//! 2. where it sees somebody, it looks again, in the region that the first look asks for;
//! 3. the other network looks there, too. A body that both see alike is somebody's: of 29 such bodies 25 were where the person behind was, and in 720 looks
//!    at 240 people with nobody behind them there was none that was nobody's (docs/accuracy.md).

use super::doubt::{AGREED_ON_NOBODY, CERTAIN};
use super::similarity::{is_large, is_plausible, same_side_distance};
use crate::models::Network;
use crate::pose::{MaskedRegion, Observation, Query};

/// Least probability of somebody in the first look.
const SEEN: f32 = 0.5;

/// A place to look at, and what was found there.
struct Place {
    at: MaskedRegion,
    found: Option<Observation>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    First,
    Second,
    Other,
    Done,
}

/// The looks behind some people on one keyframe.
pub(super) struct LooksBehind {
    display: [u32; 2],
    network: Network,
    places: Vec<Place>,
    stage: Stage,
}

impl LooksBehind {
    /// `places`: where to look, with those painted over who are found there. `network`: the landmark network that is asked about everybody.
    pub fn new(network: Network, display: [u32; 2], places: impl Iterator<Item = MaskedRegion>) -> Self {
        let places = places.map(|at| Place { at, found: None }).collect();
        Self { display, network, places, stage: Stage::First }
    }

    /// What to ask next; nothing when all is known.
    pub fn queries(&mut self) -> Vec<Query> {
        let network = match self.stage {
            Stage::First | Stage::Second => self.network,
            Stage::Other => self.network.other(),
            Stage::Done => return Vec::new(),
        };
        let query = |place: &Place| Query::Landmarks { at: place.at.clone(), network, tolerance: f64::INFINITY };
        self.places.iter().map(query).collect()
    }

    /// Takes the answers to [`Self::queries`], in their order.
    pub fn answer(&mut self, answers: Vec<Option<Observation>>) {
        let (stage, display) = (self.stage, self.display);
        let mut answers = answers.into_iter();
        self.places.retain_mut(|place| {
            let Some(answer) = answers.next().flatten() else { return false };
            let score = answer.landmarks.score;
            match (stage, &place.found) {
                (Stage::First, _) => {
                    place.at.region = answer.landmarks.region();
                    score >= SEEN && place.at.region.is_usable()
                }
                (Stage::Second, _) => {
                    place.at.region = answer.landmarks.region();
                    let is_possible =
                        is_large(&place.at.region, display) && is_plausible(&answer.landmarks, display, true);
                    place.found = Some(answer);
                    score >= CERTAIN && is_possible
                }
                (Stage::Other, Some(found)) => {
                    score >= CERTAIN && same_side_distance(&found.landmarks, &answer.landmarks) < AGREED_ON_NOBODY
                }
                (Stage::Other, None) | (Stage::Done, _) => false,
            }
        });
        self.stage = match stage {
            Stage::First => Stage::Second,
            Stage::Second => Stage::Other,
            Stage::Other | Stage::Done => Stage::Done,
        };
    }

    /// Those who are there.
    pub fn found(self) -> impl Iterator<Item = Observation> {
        self.places.into_iter().filter_map(|place| place.found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::*;
    use crate::pose::{AppearanceHistogram, Silhouette};

    const DISPLAY: [u32; 2] = [1280, 720];

    fn person(x: f32) -> Observation {
        let appearance = AppearanceHistogram::of_colour([90, 100, 200]);
        Observation { landmarks: synthetic::person([x, 330.0], 500.0), appearance }
    }

    /// What is found behind somebody where the networks say so, and how often they were asked.
    fn look(sees: impl Fn(Network) -> Option<Observation>) -> (Vec<Observation>, usize) {
        let front = person(640.0).landmarks;
        let at = MaskedRegion { region: front.region(), within: None, hidden: vec![Silhouette::of(&front)] };
        let mut looks = LooksBehind::new(Network::Full, DISPLAY, [at].into_iter());
        let mut asked = 0;
        loop {
            let queries = looks.queries();
            if queries.is_empty() {
                return (looks.found().collect(), asked);
            }
            asked += queries.len();
            let answer = |query: &Query| match query {
                Query::Landmarks { at, network, .. } => {
                    assert_eq!(at.hidden, [Silhouette::of(&front)]);
                    sees(*network)
                }
                Query::DetectPersons(_) | Query::DetectRegions(_) => None,
            };
            looks.answer(queries.iter().map(answer).collect());
        }
    }

    #[test]
    fn whom_both_networks_see_alike_is_there() {
        let (found, asked) = look(|_| Some(person(700.0)));
        assert_eq!((found, asked), (vec![person(700.0)], 3));
    }

    #[test]
    fn nobody_is_there_where_the_networks_differ_or_see_nobody() {
        let (found, asked) = look(|network| Some(person(if network == Network::Full { 700.0 } else { 780.0 })));
        assert_eq!((found, asked), (vec![], 3));
        assert_eq!(look(|_| None), (vec![], 1), "the dear network is not asked in vain");
        let mut faint = person(700.0);
        faint.landmarks.score = 0.4;
        assert_eq!(look(|_| Some(faint.clone())), (vec![], 1));
    }
}
