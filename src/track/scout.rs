//! Who is where on keyframes: asks the detector and the landmark network, and gives each person a tracklet number.
//!
//! The scout sees keyframes in order and is the only state of the observing pass; the expensive questions leave it as
//! [`Work`] in batches whose order and executor do not matter. Between keyframes, [`regions_between`] says where to look.

use glam::DVec2;
use serde::{Deserialize, Serialize};

use super::likeness::{
    MIN_CLARITY, assign, clarity, is_duplicate, is_plausible, is_shadow_of, pose_distance, size_difference,
};
use crate::pose::{Detection, Found, Landmarks, Look, Network, Region, Sight, Window, Work, wrap_angle};

/// One person on a keyframe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tracked {
    /// Number of the tracklet: an unbroken stretch of one person.
    pub tracklet: u32,
    /// What was seen.
    pub sight: Sight,
    /// From the heavy network, where it was asked.
    pub second_opinion: Option<Box<Landmarks>>,
    /// Motion of the region's centre, displayed pixels a frame.
    pub velocity: DVec2,
}

/// Everyone on one keyframe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Keyframe {
    /// Index of the frame.
    pub index: u64,
    /// In order of tracklet number.
    pub people: Vec<Tracked>,
}

/// A person the scout is following.
#[derive(Clone, Serialize, Deserialize)]
struct Known {
    tracklet: u32,
    frame: u64,
    region: Region,
    velocity: DVec2,
    sight: Sight,
    /// Slowly changing mean of the clothes.
    look: Look,
    last_opinion: Option<u64>,
    /// Keyframes with the person.
    sightings: u32,
    /// Slowly changing mean of [`clarity`].
    clarity: f32,
}

impl Known {
    fn is_worth_finding(&self) -> bool {
        self.sightings >= PROVEN && self.clarity >= MIN_CLARITY
    }

    /// Where the person should be at a frame.
    fn predict(&self, frame: u64) -> Region {
        let center = self.region.center + self.velocity * (frame - self.frame) as f64;
        Region { center, ..self.region }
    }
}

/// A person must be at least this much of a window's side for the detector to be likely to find them.
const FINDABLE: f64 = 0.35;
/// Side of a region over the height of the person in it, roughly.
const SIDE_PER_HEIGHT: f64 = 1.45;
const FINEST_TILES: u32 = 4;
/// Detections looked at in one keyframe, best first: more are not people but a crowd that cannot be told apart.
const MOST_NEW: usize = 32;
/// How far off a region may be before it is looked at again ([`Region::difference`]).
pub const TOLERANCE: f64 = 0.25;
const DETECTION_TOLERANCE: f64 = 0.08;
/// Seconds between second opinions on a person who is in no doubt.
const OPINION_INTERVAL: f64 = 0.4;
/// Keyframes on which somebody must have been seen, clearly enough for identity, to be worth looking for: textures are taken
/// for people now and then, and soon lost again.
const PROVEN: u32 = 4;
/// Seconds in which all windows that are needed for the smallest person known get their turn.
const ROUND: f64 = 1.0;
/// Seconds from one to the next of the other windows.
const SELDOM: f64 = 0.2;
/// What a find in the region of somebody known for long is better by than one from elsewhere ([`Landmarks::quality`]).
const KNOWN_BONUS: f32 = 0.05;
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
    /// Windows of the two lists that were due so far, taken in turns.
    turn: [f64; 2],
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
            turn: [0.0; 2],
        }
    }

    /// Frames between keyframes (about 0.2 s) while everybody is in sight.
    fn interval(&self) -> u64 {
        ((self.fps * 0.2).round() as u64).clamp(1, 12)
    }

    /// Index of the frame that should be the next keyframe, 0 at first; sooner than usual while somebody is lost.
    pub fn next_keyframe(&self) -> u64 {
        let Some(last) = self.last_keyframe else { return 0 };
        let lost = self.known.iter().any(|k| k.frame != last && k.is_worth_finding());
        last + if lost { self.interval().div_ceil(3) } else { self.interval() }
    }

    /// Looks at a keyframe. `run` answers questions about its picture, in order; it is called at most three times.
    ///
    /// # Errors
    /// Those of `run`.
    pub fn keyframe<E>(
        &mut self,
        index: u64,
        run: &mut dyn FnMut(Vec<Work>) -> Result<Vec<Found>, E>,
    ) -> Result<Keyframe, E> {
        // Nobody is followed through more than half a second of not being seen; longer gaps are identity's business.
        let patience = (self.fps * 0.5).max(2.0 * self.interval() as f64) as u64;
        self.known.retain(|k| index - k.frame <= patience);

        let windows = self.windows(index);
        let predicted: Vec<Region> = self.known.iter().map(|k| k.predict(index)).collect();
        let ask = |region: Region, tolerance: f64| Work::Look { region, network: self.network, tolerance };
        let mut work: Vec<Work> = windows.into_iter().map(Work::Detect).collect();
        // Everyone is also looked for anew: where the prediction is off, the detector brings the body back.
        let followed = self.known.iter().filter(|k| k.is_worth_finding());
        work.extend(followed.map(|k| {
            let center = k.region.center.midpoint(k.predict(index).center);
            let side = SEARCH * k.region.side;
            Work::Detect(Window { x: center.x - side / 2.0, y: center.y - side / 2.0, side })
        }));
        work.extend(predicted.iter().map(|&r| ask(r, TOLERANCE)));
        let mut detections = Vec::new();
        let mut looked: Vec<Option<Sight>> = Vec::new();
        sort_answers(run(work)?, &mut detections, &mut looked);
        // One find in two regions belongs to the person who has been known for long.
        let bonus = self.known.iter().map(|k| if k.is_worth_finding() { KNOWN_BONUS } else { 0.0 });
        let found = looked.into_iter().zip(bonus).filter_map(|(sight, bonus)| Some((sight?, bonus)));
        let mut sights = self.keep_people(found.collect());

        let mut fresh: Vec<Detection> = Vec::new();
        detections.sort_by(|a, b| b.score.total_cmp(&a.score));
        for detection in detections {
            let region = detection.region();
            let known = sights.iter().map(|(s, _)| s.landmarks.region()).chain(fresh.iter().map(Detection::region));
            if region.is_usable() && !{ known }.any(|k| is_same_place(&k, &region)) {
                fresh.push(detection);
            }
        }
        fresh.truncate(MOST_NEW);
        if !fresh.is_empty() {
            let work = fresh.iter().map(|d| ask(d.region(), DETECTION_TOLERANCE)).collect();
            let mut looked = Vec::new();
            sort_answers(run(work)?, &mut Vec::new(), &mut looked);
            sights.extend(looked.into_iter().flatten().map(|sight| (sight, 0.0)));
            sights = self.keep_people(sights);
        }

        let sights = sights.into_iter().map(|(sight, _)| sight).collect();
        let mut people = self.assign(index, &predicted, sights);
        self.ask_second_opinions(index, &mut people, run)?;
        people.sort_by_key(|p| p.tracklet);
        self.last_keyframe = Some(index);
        Ok(Keyframe { index, people })
    }

    /// The whole frame always; at the first keyframe every tile; then the tiles that people as small as those known
    /// need in turns, and the others slowly, by the time that went by.
    fn windows(&mut self, index: u64) -> Vec<Window> {
        let longer = f64::from(self.display[0].max(self.display[1]));
        let people = self.known.iter().filter(|k| k.is_worth_finding());
        let smallest = people.map(|k| k.region.side / SIDE_PER_HEIGHT).fold(f64::INFINITY, f64::min);
        let needed = if smallest.is_finite() { (FINDABLE * longer / smallest).ceil() as u32 } else { 2 };
        let tiles = |parts: std::ops::RangeInclusive<u32>| -> Vec<Window> {
            // Tiles of less than half the network's input only magnify.
            parts.filter(|&p| longer / f64::from(p) >= 112.0).flat_map(|p| Window::tiles(self.display, p)).collect()
        };
        let needed = needed.clamp(1, FINEST_TILES);
        let mut windows = vec![Window::whole(self.display)];
        let Some(last) = self.last_keyframe else {
            windows.extend(tiles(2..=FINEST_TILES));
            return windows;
        };
        let seconds = (index - last) as f64 / self.fps;
        let (often, seldom) = (tiles(2..=needed), tiles(needed + 1..=FINEST_TILES));
        let due = [often.len() as f64 * seconds / ROUND, seconds / SELDOM];
        for ((list, due), turn) in [often, seldom].into_iter().zip(due).zip(&mut self.turn) {
            let from = *turn as usize;
            *turn += due;
            if !list.is_empty() {
                windows.extend((from..*turn as usize).map(|i| list[i % list.len()]));
            }
        }
        windows
    }

    /// Drops what is nobody and all but the best of several finds of one person; each comes with a bonus to its quality.
    fn keep_people(&self, mut sights: Vec<(Sight, f32)>) -> Vec<(Sight, f32)> {
        sights.retain(|(s, _)| is_plausible(&s.landmarks, self.display));
        let rank = |(sight, bonus): &(Sight, f32)| sight.landmarks.quality() + bonus;
        sights.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
        let mut kept: Vec<(Sight, f32)> = Vec::with_capacity(sights.len());
        for (sight, bonus) in sights {
            if !kept.iter().any(|(k, _)| is_shadow_of(&sight.landmarks, &k.landmarks)) {
                kept.push((sight, bonus));
            }
        }
        kept
    }

    /// Gives the finds to those known, all at once and at the least total cost; who is left over is new.
    ///
    /// In a second round, people and finds that are left over go together where place and size agree although the clothes do not:
    /// someone who bends over or turns round is seen from a new side. With the first round's they do not compete, so
    /// that nobody takes the place of a neighbour in other clothes.
    fn assign(&mut self, index: u64, predicted: &[Region], sights: Vec<Sight>) -> Vec<Tracked> {
        let interval = self.interval();
        let cost = |known: &Known, predicted: &Region, sight: &Sight, second: bool| {
            let region = sight.landmarks.region();
            let missed = ((index - known.frame) as f64 / interval as f64 - 1.0).max(0.0);
            // Someone who lands or stops is where they were rather than where they were going.
            let nearest = predicted.center.distance(region.center).min(known.region.center.distance(region.center));
            let distance = nearest / predicted.side.min(region.side);
            let size = size_difference(predicted, &region);
            let look = known.look.distance(&sight.look);
            let shift = (predicted.center - known.region.center).as_vec2().to_array();
            let pose = pose_distance(&known.sight.landmarks, &sight.landmarks, shift);
            let possible = if second {
                distance < 0.25 && size < 0.35 && look < 0.55
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
                free.then(|| cost(&self.known[known], &predicted[known], &sights[sight], second)).flatten()
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
            let region = sight.landmarks.region();
            let clarity = clarity(&sight.landmarks, self.display);
            let (tracklet, velocity) = match owner.map(|i| &mut self.known[i]) {
                Some(known) => {
                    let step = (region.center - known.region.center) / (index - known.frame).max(1) as f64;
                    known.velocity = if known.velocity == DVec2::ZERO { step } else { known.velocity.lerp(step, 0.7) };
                    known.look = Look::mean([&known.look, &known.look, &known.look, &sight.look].into_iter());
                    known.sightings += 1;
                    known.clarity += 0.25 * (clarity - known.clarity);
                    (known.frame, known.region, known.sight) = (index, region, sight.clone());
                    (known.tracklet, known.velocity)
                }
                None => {
                    let tracklet = self.next_tracklet;
                    self.next_tracklet += 1;
                    self.known.push(Known {
                        tracklet,
                        frame: index,
                        region,
                        velocity: DVec2::ZERO,
                        look: sight.look,
                        sight: sight.clone(),
                        last_opinion: None,
                        sightings: 1,
                        clarity,
                    });
                    (tracklet, DVec2::ZERO)
                }
            };
            people.push(Tracked { tracklet, sight, second_opinion: None, velocity });
        }
        people
    }

    fn ask_second_opinions<E>(
        &mut self,
        index: u64,
        people: &mut [Tracked],
        run: &mut dyn FnMut(Vec<Work>) -> Result<Vec<Found>, E>,
    ) -> Result<(), E> {
        if !self.second_opinions {
            return Ok(());
        }
        let mut asked = Vec::new();
        for (i, person) in people.iter().enumerate() {
            let Some(known) = self.known.iter_mut().find(|k| k.tracklet == person.tracklet) else { continue };
            let since = known.last_opinion.map(|last| (index - last) as f64 / self.fps);
            if wants_second_opinion(since, &person.sight.landmarks) {
                known.last_opinion = Some(index);
                asked.push(i);
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        let work = asked.iter().map(|&i| Work::Look {
            region: people[i].sight.landmarks.region(),
            network: Network::Heavy,
            tolerance: f64::INFINITY,
        });
        for (&i, found) in asked.iter().zip(run(work.collect())?) {
            let Found::Person(Some(sight)) = found else { continue };
            if pose_distance(&people[i].sight.landmarks, &sight.landmarks, [0.0; 2]) < 0.2 {
                people[i].second_opinion = Some(Box::new(sight.landmarks));
            }
        }
        Ok(())
    }
}

/// Whether the heavy network should look at a person on this keyframe: every 0.4 s, and on each keyframe
/// where left and right are in doubt (the face is hidden, or the body is seen from the side so that shoulders or hips
/// lie over each other) and the last opinion is more than half that old. `since` is seconds, `None` for never.
pub fn wants_second_opinion(since: Option<f64>, landmarks: &Landmarks) -> bool {
    let Some(since) = since else { return true };
    let slack = 1e-6;
    since + slack >= OPINION_INTERVAL || (is_doubtful(landmarks) && since + slack >= OPINION_INTERVAL / 2.0)
}

/// Whether left and right are easily confused in this picture.
fn is_doubtful(landmarks: &Landmarks) -> bool {
    let face = landmarks.points[..11].iter().map(|p| p.visibility).sum::<f32>() / 11.0;
    let across = |a: usize, b: usize| landmarks.points[a].x - landmarks.points[b].x;
    let (shoulders, hips) = (across(11, 12), across(23, 24));
    face < 0.5 || shoulders * hips < 0.0 || shoulders.abs() < 0.04 * landmarks.extent()
}

fn sort_answers(found: Vec<Found>, detections: &mut Vec<Detection>, looked: &mut Vec<Option<Sight>>) {
    for answer in found {
        match answer {
            Found::People(people) => detections.extend(people),
            Found::Person(person) => looked.push(person),
        }
    }
}

/// Whether a detection need not be looked at, because somebody is known to be just there. Close, so that a person
/// standing half behind another is still looked at.
fn is_same_place(known: &Region, new: &Region) -> bool {
    known.center.distance(new.center) < 0.12 * known.side.min(new.side) && size_difference(known, new) < 0.45
}

/// Where a tracklet should be on a frame between keyframes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// Number of the tracklet.
    pub tracklet: u32,
    /// Where to look.
    pub region: Region,
    /// Whether the keyframes on both sides have the person.
    pub is_sure: bool,
}

/// Where to look at a frame between two keyframes (or after the last): the tracklets of either and their regions,
/// interpolated where both have the person, else moved on from the one that has. In order of tracklet number.
pub fn regions_between(before: &Keyframe, after: Option<&Keyframe>, frame: u64) -> Vec<Expected> {
    let moved = |person: &Tracked, from: u64| {
        let region = person.sight.landmarks.region();
        Region { center: region.center + person.velocity * (frame as f64 - from as f64), ..region }
    };
    let partner = |people: &[Tracked], tracklet: u32| people.iter().position(|p| p.tracklet == tracklet);
    let mut regions = Vec::new();
    for person in &before.people {
        let other = after.and_then(|k| partner(&k.people, person.tracklet).map(|i| (k.index, &k.people[i])));
        let region = match other {
            Some((index, next)) => {
                let share = (frame - before.index) as f64 / (index - before.index).max(1) as f64;
                interpolate(&person.sight.landmarks.region(), &next.sight.landmarks.region(), share)
            }
            None => moved(person, before.index),
        };
        regions.push(Expected { tracklet: person.tracklet, region, is_sure: other.is_some() });
    }
    if let Some(after) = after {
        let new = after.people.iter().filter(|p| partner(&before.people, p.tracklet).is_none());
        regions.extend(new.map(|p| Expected { tracklet: p.tracklet, region: moved(p, after.index), is_sure: false }));
    }
    regions.sort_by_key(|expected| expected.tracklet);
    regions
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
            let sight = sight.filter(|s| is_plausible(&s.landmarks, display))?;
            let (region, own) = (expected.region, sight.landmarks.region());
            let off = region.center.distance(own.center) / region.side.min(own.side);
            (off < 0.35 && size_difference(&region, &own) < 0.6).then_some((expected, sight, off))
        })
        .collect();
    let is_lesser = |i: usize| {
        let rank = |n: usize| (!found[n].0.is_sure, found[n].2, n);
        found.iter().enumerate().any(|(j, other)| {
            let (a, b) = (&found[i].1.landmarks, &other.1.landmarks);
            j != i && ((rank(j) < rank(i) && is_duplicate(a, b)) || (a.quality() < b.quality() && is_shadow_of(a, b)))
        })
    };
    let keep: Vec<bool> = (0..found.len()).map(|i| !is_lesser(i)).collect();
    let kept = found.into_iter().zip(keep).filter(|(_, keep)| *keep);
    kept.map(|((expected, sight, _), _)| (expected.tracklet, sight)).collect()
}
