//! Checks people who are found for the first time: does a second network see the same body? If not, they are looked at again from all sides. So are, at
//! the start, places where somebody may be whom nothing else found.
//!
//! The landmark network knows people who stand, whole, in their square. It sees somebody upright, with full confidence, in one who hangs head down, and
//! squeezes a whole body into a half-length shot. What gives it away is another network: where both see the same body, it is the right one (of 765 looks at
//! people in odd poses those in which the networks differed by less than 5 % of the body's size were right 91 % of the time, the others 6 %;
//! docs/accuracy.md). So:
//!
//! 1. the other network looks at everybody who is new and not small. Whom both see alike needs no more;
//! 2. the others are looked at from eight ways round, and as the upper part of a body where the picture's edge cuts them off. So is, where nothing is known
//!    of the picture yet, each place where the person detector sees somebody faintly;
//! 3. each of these looks is followed by a second one, in the region that the first asks for;
//! 4. the other network looks at the few bodies that changed least. The one on which both agree best is kept.

use glam::DVec2;

use super::detections::{DetectedPersons, SAME_PERSON};
use super::similarity::{is_plausible, is_small, same_side_distance};
use crate::geometry::quarter_turns;
use crate::models::Network;
use crate::pose::skeleton::{ANKLES, JOINTS, KNEES};
use crate::pose::{
    Landmarks, MaskedRegion, Observation, PersonDetection, Query, RotatedRegion, area, overlap, shared, wrap_angle,
};

/// Share of the smaller of two boxes beyond which both are of one person.
const MOST: f32 = 0.6;
/// Overlap (intersection over union) of two faint detections beyond which they are of one person.
const SAME_PLACE: f32 = 0.5;
/// Most people who are checked on one keyframe, and most who are looked at from all sides.
const MOST_CHECKED: usize = 6;
const MOST_DOUBTED: usize = 4;
/// Mean distance of the joints over the body's size up to which two networks agree about somebody whole, and about somebody whom the picture's edge cuts off.
const AGREED: f64 = 0.05;
const AGREED_CUT: f64 = 0.035;
/// The same for a body in a place where nobody was found before, and for one that takes another's place.
pub(super) const AGREED_ON_NOBODY: f64 = 0.06;
const AGREED_INSTEAD: f64 = 0.08;
/// Least probability of such a body, to both networks.
pub(super) const CERTAIN: f32 = 0.8;
/// How much better the networks must agree about a body than about the one that was found before.
const GAIN: f64 = 0.01;
/// Added to the disagreement, in proportion, where knees and ankles should be visible and are not, of somebody whom the picture's edge may cut off: the
/// network squeezed a whole body into half of one.
const SQUEEZED: f64 = 0.15;
/// Ways round.
const WAYS: usize = 8;
/// Bodies of one place that the other network is asked about.
const COMPARED: usize = 3;
/// Height of a body over that of what the picture's edge leaves of it: whole legs, half of them, or arms may be missing.
const CUT_OFF: [f64; 3] = [1.5, 2.2, 3.2];
/// Distance from the picture's edge, over its shorter side, within which a box reaches it.
const EDGE: f64 = 0.015;
/// Weights of visibility, of the change from look to look or network to network, and of how far the points in the picture are from those in metres, where a
/// network's probability of a person counts 1.
const VISIBLE: f64 = 0.5;
const CHANGE: f64 = 4.0;
const INCONSISTENT: f64 = 2.0;

/// One look at a place.
#[derive(Default)]
struct Look {
    first: Option<Observation>,
    second: Option<Observation>,
    other: Option<Observation>,
}

/// Somebody in doubt.
struct Place {
    /// Index of the candidate, and what was found; `None` where nobody was.
    known: Option<(usize, Observation)>,
    /// How far the networks are from each other about what was found.
    off: f64,
    /// Where they are, displayed pixels, and how many quarter turns they are turned at a guess.
    bounds: [f32; 4],
    quarter_turns: u8,
    /// What may be seen around them.
    within: Option<[f32; 4]>,
    looks: Vec<Look>,
}

#[derive(PartialEq)]
enum Stage {
    /// The other network looks at whoever was found.
    Check,
    /// First looks at the places in doubt.
    First,
    /// Second looks, where the first ones ask for them.
    Second,
    /// The other network looks at the best of these.
    Other,
    /// All is known.
    Done,
}

/// What became of a candidate, or where there is a new one.
pub(super) enum Verdict {
    /// Both networks see the candidate of this index alike.
    Agreed(usize),
    /// The candidate of this index is seen so.
    Replaced(usize, Observation),
    /// Somebody nobody found before.
    Found(Observation),
}

/// The thorough looks on one keyframe.
pub(super) struct Doubts {
    display: [u32; 2],
    network: Network,
    places: Vec<Place>,
    stage: Stage,
    verdicts: Vec<Verdict>,
}

impl Doubts {
    /// `found`: those found anew, by the index of the candidate. With `is_start` those whom the detector sees faintly are looked at as well; `everybody`:
    /// observed on it already.
    pub fn new<'l>(
        network: Network,
        display: [u32; 2],
        found: impl Iterator<Item = (usize, &'l Observation)>,
        is_start: bool,
        everybody: &[&Landmarks],
        detections: &DetectedPersons,
    ) -> Self {
        let is_large_enough = |region: &RotatedRegion| region.is_usable() && !is_small(region, display);
        let mut places: Vec<Place> = found
            .filter(|(_, observation)| is_large_enough(&observation.landmarks.region()))
            .take(MOST_CHECKED)
            .map(|(index, observation)| {
                let own = observation.landmarks.visible_bounds(display);
                let detection = detections.of(&observation.landmarks);
                let within = detection.filter(|d| detections.is_crowded(d)).map(|d| super::detect::around(d.bounds));
                let quarter_turns = quarter_turns(observation.landmarks.region().rotation);
                let bounds = detection.map_or(own, |d| d.bounds);
                let known = Some((index, observation.clone()));
                Place { known, off: f64::INFINITY, bounds, quarter_turns, within, looks: Vec::new() }
            })
            .collect();
        if is_start {
            let bounds: Vec<[f32; 4]> = everybody.iter().map(|l| l.visible_bounds(display)).collect();
            for faint in detections.faint() {
                let is_seen = |b: &[f32; 4]| {
                    overlap(b, &faint.bounds) > SAME_PERSON
                        || shared(b, &faint.bounds) > MOST * area(&faint.bounds).min(area(b))
                };
                let is_taken =
                    places.iter().any(|p| p.known.is_none() && overlap(&p.bounds, &faint.bounds) > SAME_PLACE);
                if is_large_enough(&faint.region()) && !bounds.iter().any(is_seen) && !is_taken {
                    let PersonDetection { bounds, quarter_turns, .. } = *faint;
                    let looks = Vec::new();
                    places.push(Place { known: None, off: f64::INFINITY, bounds, quarter_turns, within: None, looks });
                }
            }
        }
        Self { display, network, places, stage: Stage::Check, verdicts: Vec::new() }
    }

    /// What to ask next; nothing when all is known.
    pub fn queries(&mut self) -> Vec<Query> {
        while self.stage != Stage::Done {
            let queries = self.stage_queries();
            if !queries.is_empty() {
                return queries;
            }
            self.answer(Vec::new());
        }
        Vec::new()
    }

    /// What became of everybody.
    pub fn verdicts(self) -> Vec<Verdict> {
        self.verdicts
    }

    fn stage_queries(&self) -> Vec<Query> {
        let ask = |place: &Place, region: RotatedRegion, network| Query::Landmarks {
            at: MaskedRegion { region, within: place.within, hidden: Vec::new() },
            network,
            tolerance: f64::INFINITY,
        };
        let places = self.places.iter();
        match self.stage {
            Stage::Check => places
                .filter_map(|p| Some(ask(p, p.known.as_ref()?.1.landmarks.region(), self.network.other())))
                .collect(),
            Stage::First => places
                .flat_map(|p| guesses(p, self.display).into_iter().map(move |at| (p, at)))
                .map(|(p, at)| ask(p, at, self.network))
                .collect(),
            Stage::Second => places
                .flat_map(|p| p.looks.iter().filter_map(move |look| Some((p, look.first.as_ref()?.landmarks.region()))))
                .map(|(p, at)| ask(p, at, self.network))
                .collect(),
            Stage::Other => places
                .flat_map(|p| {
                    p.looks.iter().filter_map(move |look| Some((p, look.second.as_ref()?.landmarks.region())))
                })
                .map(|(p, at)| ask(p, at, self.network.other()))
                .collect(),
            Stage::Done => Vec::new(),
        }
    }

    /// Takes the answers to [`Self::queries`], in their order.
    pub fn answer(&mut self, answers: Vec<Option<Observation>>) {
        let display = self.display;
        let mut answers = answers.into_iter();
        let is_usable = |o: &Observation| o.landmarks.region().is_usable();
        match self.stage {
            Stage::Check => {
                for place in &mut self.places {
                    let Some((index, found)) = &place.known else { continue };
                    if let Some(other) = answers.next().flatten() {
                        place.off = place.disagreement(&found.landmarks, &other.landmarks, display);
                    }
                    if place.off < place.limit(display) {
                        self.verdicts.push(Verdict::Agreed(*index));
                    }
                }
                self.places.retain(|place| place.known.is_none() || place.off >= place.limit(display));
                self.places.truncate(MOST_DOUBTED);
                self.stage = Stage::First;
            }
            Stage::First => {
                for place in &mut self.places {
                    let count = guesses(place, display).len();
                    let first = answers.by_ref().take(count).map(|o| o.filter(is_usable));
                    place.looks = first.map(|first| Look { first, ..Look::default() }).collect();
                }
                self.stage = Stage::Second;
            }
            Stage::Second => {
                for place in &mut self.places {
                    place.looks.retain(|look| look.first.is_some());
                    for look in &mut place.looks {
                        look.second = answers.next().flatten().filter(is_usable);
                    }
                    let bounds = place.bounds;
                    let is_there =
                        |o: &Observation| overlap(&o.landmarks.visible_bounds(display), &bounds) > SAME_PERSON;
                    place.looks.retain(|look| look.second.as_ref().is_some_and(is_there));
                    let mut looks = std::mem::take(&mut place.looks);
                    let score = |look: &Look| place.score(look.first.as_ref(), look.second.as_ref(), display);
                    looks.sort_by(|a, b| score(b).total_cmp(&score(a)));
                    looks.truncate(COMPARED);
                    place.looks = looks;
                }
                self.stage = Stage::Other;
            }
            Stage::Other => {
                for place in &mut self.places {
                    for look in &mut place.looks {
                        look.other = answers.next().flatten();
                    }
                }
                let verdicts: Vec<Verdict> =
                    self.places.iter_mut().filter_map(|place| place.verdict(display)).collect();
                self.verdicts.extend(verdicts);
                self.stage = Stage::Done;
            }
            Stage::Done => {}
        }
    }
}

impl Place {
    /// Whether the picture's edge may have cut off their legs.
    fn is_cut(&self, display: [u32; 2]) -> bool {
        cut_edges(&self.bounds, display).contains(&self.quarter_turns)
    }

    /// How far the networks may be from each other about somebody who is not in doubt.
    fn limit(&self, display: [u32; 2]) -> f64 {
        if self.is_cut(display) { AGREED_CUT } else { AGREED }
    }

    /// How far two networks are from each other, the latter of which knows better what is to be seen.
    fn disagreement(&self, one: &Landmarks, other: &Landmarks, display: [u32; 2]) -> f64 {
        let is_cut = self.is_cut(display);
        same_side_distance(one, other) + if is_cut { SQUEEZED * squeezed(other, display) } else { 0.0 }
    }

    /// How likely it is that the later look shows somebody as they are.
    fn score(&self, before: Option<&Observation>, after: Option<&Observation>, display: [u32; 2]) -> f64 {
        let (Some(before), Some(after)) = (before, after) else { return f64::MIN };
        let (before, after) = (&before.landmarks, &after.landmarks);
        let seen = |l: &Landmarks| {
            let visible = JOINTS.iter().map(|&i| f64::from(l.points[i].visibility)).sum::<f64>() / JOINTS.len() as f64;
            f64::from(l.score) + VISIBLE * visible
        };
        let change = self.disagreement(before, after, display);
        seen(before) + seen(after) - CHANGE * change - INCONSISTENT * inconsistency(after)
    }

    /// What was found here in the end.
    fn verdict(&mut self, display: [u32; 2]) -> Option<Verdict> {
        let looks = std::mem::take(&mut self.looks);
        let score = |look: &Look| self.score(look.second.as_ref(), look.other.as_ref(), display);
        let looks = looks.into_iter().filter(|look| look.other.is_some());
        let best = looks.max_by(|a, b| score(a).total_cmp(&score(b)))?;
        let (found, other) = (best.second?, best.other?);
        if !is_plausible(&found.landmarks, display, true) {
            return None;
        }
        let off = self.disagreement(&found.landmarks, &other.landmarks, display);
        match &self.known {
            Some((index, _)) => {
                (off < AGREED_INSTEAD && off + GAIN < self.off).then_some(Verdict::Replaced(*index, found))
            }
            None => {
                let is_certain = found.landmarks.score.min(other.landmarks.score) >= CERTAIN;
                (is_certain && off < AGREED_ON_NOBODY).then_some(Verdict::Found(found))
            }
        }
    }
}

/// Share of knees and ankles that are in the picture and cannot be seen.
fn squeezed(landmarks: &Landmarks, display: [u32; 2]) -> f64 {
    let [width, height] = display.map(f64::from);
    let unseen = KNEES.iter().chain(&ANKLES).map(|&i| {
        let at = landmarks.at(i);
        let is_inside = (0.0..width).contains(&at.x) && (0.0..height).contains(&at.y);
        if is_inside { 1.0 - f64::from(landmarks.points[i].visibility) } else { 0.0 }
    });
    unseen.sum::<f64>() / 4.0
}

/// Mean distance of the joints in the picture from those in metres, put over them as well as can be, over the body's size. A network that knows a pose says
/// the same of it in both.
fn inconsistency(landmarks: &Landmarks) -> f64 {
    let mean = |values: [DVec2; JOINTS.len()]| values.iter().sum::<DVec2>() / JOINTS.len() as f64;
    let pixels = JOINTS.map(|i| landmarks.at(i));
    let metres = JOINTS.map(|i| DVec2::new(f64::from(landmarks.world[i][0]), f64::from(landmarks.world[i][1])));
    let (middle, origin) = (mean(pixels), mean(metres));
    let pairs = || pixels.iter().zip(&metres).map(|(p, m)| (*p - middle, *m - origin));
    let square = pairs().map(|(_, m)| m.length_squared()).sum::<f64>().max(1e-9);
    let scale = pairs().map(|(p, m)| p.dot(m)).sum::<f64>() / square;
    pairs().map(|(p, m)| p.distance(m * scale)).sum::<f64>() / JOINTS.len() as f64 / f64::from(landmarks.extent())
}

/// The quarter turns of those whose feet the picture's edge may have cut off from a box.
fn cut_edges(&[left, top, right, bottom]: &[f32; 4], display: [u32; 2]) -> Vec<u8> {
    let [width, height] = display.map(|side| side as f32);
    let margin = EDGE as f32 * width.min(height);
    let reaches = [bottom > height - margin, left < margin, top < margin, right > width - margin];
    (0..4).filter(|&turns| reaches[usize::from(turns)]).collect()
}

/// Where to look for somebody.
fn guesses(place: &Place, display: [u32; 2]) -> Vec<RotatedRegion> {
    let whole = PersonDetection { bounds: place.bounds, score: 1.0, quarter_turns: 0 };
    let way = |n: usize| {
        let rotation = wrap_angle(n as f64 * std::f64::consts::TAU / WAYS as f64);
        RotatedRegion { rotation, ..whole.region() }
    };
    let mut all: Vec<RotatedRegion> = (0..WAYS).map(way).collect();
    if cut_edges(&place.bounds, display).contains(&place.quarter_turns) {
        all.extend(CUT_OFF.map(|times| {
            let [left, top, right, bottom] = place.bounds;
            let (more_across, more_down) =
                ((times as f32 - 1.0) * (right - left), (times as f32 - 1.0) * (bottom - top));
            let bounds = match place.quarter_turns {
                0 => [left, top, right, bottom + more_down],
                1 => [left - more_across, top, right, bottom],
                2 => [left, top - more_down, right, bottom],
                _ => [left, top, right + more_across, bottom],
            };
            PersonDetection { bounds, score: 1.0, quarter_turns: place.quarter_turns }.region()
        }));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::super::tiles::Orientations;
    use super::*;
    use crate::pose::AppearanceHistogram;

    const DISPLAY: [u32; 2] = [1280, 720];

    fn seen(landmarks: Landmarks) -> Observation {
        Observation { landmarks, appearance: AppearanceHistogram::of_colour([90, 100, 200]) }
    }

    fn upright(hips: [f32; 2], height: f32) -> Observation {
        seen(synthetic::person(hips, height))
    }

    /// Somebody who lies with the head to the right.
    fn lying() -> Observation {
        let landmarks = synthetic::person([640.0, 360.0], 400.0);
        let from = landmarks.region();
        let mut carried = landmarks.carried(&from, &RotatedRegion { rotation: std::f64::consts::FRAC_PI_2, ..from });
        carried.world = carried.world.map(|[x, y, z]| [-y, x, z]);
        seen(carried)
    }

    fn detections(of: &Observation, score: f32) -> DetectedPersons {
        let detection = PersonDetection { bounds: of.landmarks.bounds(), score, quarter_turns: 0 };
        let orientations = Orientations { usual: vec![0], are_guessed: true };
        DetectedPersons::new(DISPLAY, orientations, Vec::new(), vec![detection])
    }

    /// Goes through the rounds with networks that answer so; gives the verdicts, and how often they were asked.
    fn look(
        mut doubts: Doubts,
        sees: impl Fn(&RotatedRegion, Network) -> Option<Observation>,
    ) -> (Vec<Verdict>, usize) {
        let mut asked = 0;
        loop {
            let queries = doubts.queries();
            if queries.is_empty() {
                return (doubts.verdicts(), asked);
            }
            asked += queries.len();
            let answer = |query: &Query| match query {
                Query::Landmarks { at, network, .. } => sees(&at.region, *network),
                Query::DetectPersons(_) | Query::DetectRegions(_) => None,
            };
            doubts.answer(queries.iter().map(answer).collect());
        }
    }

    /// Two networks that know somebody who lies from about their own orientation, and elsewhere see somebody upright, each elsewhere.
    fn know_only_lying(at: &RotatedRegion, network: Network) -> Option<Observation> {
        let is_turned = wrap_angle(at.rotation - std::f64::consts::FRAC_PI_2).abs() < 0.6;
        let mistaken = if network == Network::Full { [600.0, 380.0] } else { [680.0, 330.0] };
        Some(if is_turned { lying() } else { upright(mistaken, 300.0) })
    }

    #[test]
    fn whom_both_networks_see_alike_is_asked_about_once() {
        let person = upright([640.0, 330.0], 500.0);
        let detections = detections(&person, 0.8);
        let found = [&person.landmarks];
        let doubts = Doubts::new(Network::Full, DISPLAY, [(3, &person)].into_iter(), true, &found, &detections);
        let (verdicts, asked) = look(doubts, |_, _| Some(person.clone()));
        assert!(matches!(verdicts[..], [Verdict::Agreed(3)]) && asked == 1);
    }

    #[test]
    fn somebody_who_lies_and_was_seen_the_wrong_way_round_is_seen_as_they_are() {
        let mut mistaken = lying();
        let region = mistaken.landmarks.region();
        let other_way = RotatedRegion { rotation: region.rotation + std::f64::consts::PI, ..region };
        mistaken.landmarks = mistaken.landmarks.carried(&region, &other_way);
        let detections = detections(&lying(), 0.6);
        let found = [&mistaken.landmarks];
        let doubts = Doubts::new(Network::Full, DISPLAY, [(0, &mistaken)].into_iter(), false, &found, &detections);
        let (verdicts, _) = look(doubts, know_only_lying);
        let [Verdict::Replaced(0, found)] = &verdicts[..] else { panic!("{} verdicts", verdicts.len()) };
        assert!(same_side_distance(&found.landmarks, &lying().landmarks) < 0.01);
    }

    #[test]
    fn at_the_start_a_faint_detection_is_somebody_where_the_networks_agree_and_nobody_elsewhere() {
        let faint = detections(&lying(), 0.35);
        let new = |is_start| Doubts::new(Network::Full, DISPLAY, [].into_iter(), is_start, &[], &faint);
        assert!(matches!(look(new(true), know_only_lying).0[..], [Verdict::Found(_)]));
        assert_eq!(look(new(false), know_only_lying).1, 0, "later on nobody is asked");
        let disagree = |_: &RotatedRegion, network: Network| {
            Some(upright(if network == Network::Full { [600.0, 380.0] } else { [680.0, 330.0] }, 300.0))
        };
        assert!(look(new(true), disagree).0.is_empty());
    }

    #[test]
    fn whom_the_edge_cuts_off_is_looked_at_as_part_of_a_larger_body() {
        let place = |bottom: f32| Place {
            known: None,
            off: f64::INFINITY,
            bounds: [500.0, 200.0, 800.0, bottom],
            quarter_turns: 0,
            within: None,
            looks: Vec::new(),
        };
        assert_eq!(guesses(&place(600.0), DISPLAY).len(), WAYS);
        let cut = guesses(&place(720.0), DISPLAY);
        assert_eq!(cut.len(), WAYS + CUT_OFF.len());
        assert!(cut[WAYS..].windows(2).all(|pair| pair[0].side < pair[1].side && pair[0].center.y < pair[1].center.y));
        let squeezed_in = |hips: f32| squeezed(&synthetic::person([640.0, hips], 300.0), DISPLAY);
        assert!(squeezed_in(500.0) < 0.1, "they are to be seen");
        let mut unseen = synthetic::person([640.0, 500.0], 300.0);
        unseen.points.iter_mut().for_each(|point| point.visibility = 0.0);
        assert_eq!(squeezed(&unseen, DISPLAY), 1.0);
        unseen.shift(DVec2::new(0.0, 600.0));
        assert_eq!(squeezed(&unseen, DISPLAY), 0.0, "outside the picture nothing is to be seen");
    }
}
