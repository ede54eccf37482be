//! The first three stages of tracking together, on pictures in which made-up networks see made-up people.

use std::f64::consts::FRAC_PI_2;

use glam::DVec2;

use super::between::{Between, without_doubles};
use super::detect::{Candidate, Find, around, keep_best};
use super::detections::DetectedPersons;
use super::refine::regions_between;
use super::similarity::is_duplicate;
use super::tiles::Orientations;
use super::{Keyframe, PredictedRegion, Tracker, Trajectory, synthetic};
use crate::models::Network;
use crate::pose::skeleton::{LEFT_ELBOW, LEFT_INDEX, LEFT_PINKY, LEFT_THUMB, LEFT_WRIST};
use crate::pose::{
    Answer, AppearanceHistogram, Landmarks, MaskedRegion, Observation, PersonDetection, Query, RotatedRegion, Tile,
    wrap_angle,
};

const DISPLAY: [u32; 2] = [1280, 720];
const HEIGHT: f32 = 400.0;

fn seen(x: f32, height: f32, score: f32) -> Observation {
    let landmarks = Landmarks { score, ..synthetic::person([x, 360.0], height) };
    Observation { landmarks, appearance: AppearanceHistogram::of_colour([90, 100, 200]) }
}

fn detection(x: f32, height: f32) -> PersonDetection {
    PersonDetection { bounds: seen(x, height, 1.0).landmarks.bounds(), score: 0.5, quarter_turns: 0 }
}

/// A picture in which the person detector sees `detections` and the landmark network the nearest of `people`.
fn answer(
    detections: &[PersonDetection],
    people: &[Observation],
    asked: &mut Vec<Query>,
    queries: Vec<Query>,
) -> Vec<Answer> {
    let found = queries.iter().map(|query| match query {
        Query::DetectPersons(tile) if *tile != Tile::whole(DISPLAY) && !tile.is_coarse => {
            Answer::PersonDetections(Vec::new())
        }
        Query::DetectPersons(_) => Answer::PersonDetections(detections.to_vec()),
        Query::DetectRegions(_) => Answer::RegionDetections(Vec::new()),
        Query::Landmarks { at: MaskedRegion { region, .. }, .. } => {
            let far = |s: &Observation| s.landmarks.region().center.distance(region.center);
            let nearest = people.iter().min_by(|a, b| far(a).total_cmp(&far(b)));
            Answer::Observation(nearest.filter(|s| far(s) < 0.5 * region.side).cloned())
        }
    });
    let found = found.collect();
    asked.extend(queries);
    found
}

/// Goes through the stages of one keyframe with these answers.
fn on_keyframe(
    tracker: &mut Tracker,
    index: u64,
    trajectory: &Trajectory,
    answers: &mut dyn FnMut(Vec<Query>) -> Vec<Answer>,
) -> Keyframe {
    let mut search = tracker.search(index, trajectory);
    while let Some(queries) = search.queries() {
        search.answer(answers(queries));
    }
    let candidates = search.finish();
    tracker.associate(candidates)
}

fn keyframe(
    tracker: &mut Tracker,
    index: u64,
    detections: &[PersonDetection],
    people: &[Observation],
) -> (Keyframe, Vec<Query>) {
    let mut asked = Vec::new();
    let keyframe = on_keyframe(tracker, index, &Trajectory::default(), &mut |queries| {
        answer(detections, people, &mut asked, queries)
    });
    (keyframe, asked)
}

#[test]
fn whom_the_detector_sees_is_looked_at_and_followed() {
    let mut tracker = Tracker::new(30.0, DISPLAY, Network::Full, false);
    for (round, index) in [0, 6, 12].into_iter().enumerate() {
        let x = 400.0 + 2.0 * index as f32;
        let (found, asked) =
            keyframe(&mut tracker, index, &[detection(x, HEIGHT)], &[seen(x, HEIGHT, 1.0), seen(900.0, HEIGHT, 1.0)]);
        let people: Vec<(u32, Option<bool>)> = found.people.iter().map(|p| (p.tracklet, p.is_detected)).collect();
        assert_eq!(people, [(0, Some(true))], "frame {index}");
        let is_look = |w: &&Query| match w {
            Query::Landmarks { at, network, .. } => *network == Network::Full && at.hidden.is_empty(),
            _ => false,
        };
        let regions = asked.iter().filter(is_look).count();
        assert_eq!(regions, 1, "known or new, one look does in round {round}");
    }
}

#[test]
fn blurred_people_count_where_the_detector_sees_them_and_only_there() {
    for (detections, people) in [(vec![detection(400.0, HEIGHT)], 1), (vec![], 0)] {
        let mut tracker = Tracker::new(30.0, DISPLAY, Network::Full, false);
        keyframe(&mut tracker, 0, &[detection(400.0, HEIGHT)], &[seen(400.0, HEIGHT, 0.3)]);
        let (found, _) = keyframe(&mut tracker, 6, &detections, &[seen(402.0, HEIGHT, 0.3)]);
        assert_eq!(found.people.len(), people);
    }
}

/// The person turned clockwise about their hips.
fn turned_person(x: f32, angle: f64) -> Observation {
    let sight = seen(x, HEIGHT, 1.0);
    let upright = sight.landmarks.region();
    let turned = RotatedRegion { rotation: wrap_angle(angle), ..upright };
    Observation { landmarks: sight.landmarks.carried(&upright, &turned), ..sight }
}

#[test]
fn who_turns_head_over_heels_is_followed_on_more_keyframes() {
    // Nothing but what is turned as the region is, by 50 degrees or less, is recognised.
    let looked = |person: &Observation, region: &RotatedRegion| {
        let off = wrap_angle(person.landmarks.region().rotation - region.rotation).abs();
        Answer::Observation((off < 0.87).then(|| person.clone()))
    };
    let mut tracker = Tracker::new(30.0, DISPLAY, Network::Full, false);
    let (mut index, mut keyframes) = (0, Vec::new());
    while index < 90 {
        // From the 30th frame on two turns in a second and a half.
        let angle = if index < 30 { 0.0 } else { 0.28 * (index - 30).min(45) as f64 };
        let person = turned_person(400.0, angle);
        let mut run = |queries: Vec<Query>| -> Vec<Answer> {
            let answer = |query: &Query| match query {
                Query::DetectPersons(_) => Answer::PersonDetections(Vec::from([detection(400.0, HEIGHT)])),
                Query::DetectRegions(_) => Answer::RegionDetections(Vec::new()),
                Query::Landmarks { at, .. } => looked(&person, &at.region),
            };
            queries.iter().map(answer).collect::<Vec<_>>()
        };
        let found = on_keyframe(&mut tracker, index, &Trajectory::default(), &mut run);
        let people: Vec<u32> = found.people.iter().map(|p| p.tracklet).collect();
        assert_eq!(people, [0], "frame {index}, turned by {angle}");
        let off = found.people[0].observation.landmarks.region().rotation - angle;
        assert!(wrap_angle(off).abs() < 1e-3);
        keyframes.push(index);
        index = tracker.next_keyframe();
    }
    let within = |range: std::ops::Range<u64>| keyframes.iter().filter(|i| range.contains(i)).count();
    assert_eq!((within(0..30), within(36..75)), (5, 20), "{keyframes:?}");
}

#[test]
fn where_people_lie_the_detector_is_shown_the_picture_turned() {
    for (turn, score, is_found) in [(1, 0.6, true), (3, 0.6, true), (2, 0.6, true), (1, 0.4, false)] {
        let person = turned_person(400.0, f64::from(turn) * FRAC_PI_2);
        let detection = PersonDetection { bounds: person.landmarks.bounds(), score, quarter_turns: turn };
        let mut tracker = Tracker::new(30.0, DISPLAY, Network::Full, false);
        for index in [0, 6, 12, 18] {
            let mut regions = Vec::new();
            let mut run = |queries: Vec<Query>| -> Vec<Answer> {
                regions.extend(
                    queries.iter().filter_map(|w| if let Query::DetectPersons(tile) = w { Some(*tile) } else { None }),
                );
                let answer = |query: &Query| match query {
                    Query::DetectPersons(tile) if tile.quarter_turns == turn && tile.width > 1000.0 => {
                        Answer::PersonDetections(vec![detection])
                    }
                    Query::DetectPersons(_) => Answer::PersonDetections(Vec::new()),
                    Query::DetectRegions(_) => Answer::RegionDetections(Vec::new()),
                    // Too faint a detection is nobody unless two networks agree.
                    Query::Landmarks { network: Network::Heavy, .. } if !is_found => Answer::Observation(None),
                    Query::Landmarks { at, .. } => {
                        let off = wrap_angle(at.region.rotation - detection.rotation()).abs();
                        Answer::Observation((off < 0.87).then(|| person.clone()))
                    }
                };
                queries.iter().map(answer).collect::<Vec<_>>()
            };
            let found = on_keyframe(&mut tracker, index, &Trajectory::default(), &mut run);
            let detections: Vec<Option<bool>> = found.people.iter().map(|p| p.is_detected).collect();
            assert_eq!(detections, if is_found { vec![Some(true)] } else { vec![] }, "frame {index}, turned by {turn}");
            let whole = regions.iter().filter(|tile| tile.width > 1000.0);
            let turns: Vec<u8> = whole.map(|tile| tile.quarter_turns).collect();
            assert!(!is_found || turns.contains(&turn) && turns.contains(&0), "frame {index}: {turns:?}");
        }
    }
}

#[test]
fn parts_of_the_picture_take_turns_while_people_are_small() {
    // The whole picture rests while a part is looked at, once somebody large has been seen for long enough.
    for (height, count, whole, parts) in [(400.0, 1, 20 - 9, 10), (120.0, 1, 20, 20), (120.0, 4, 20, 20 * (4 + 1))] {
        let places = || (0..count).map(|i| 400.0 + 120.0 * i as f32);
        let (detections, people): (Vec<_>, Vec<_>) =
            places().map(|x| (detection(x, height), seen(x, height, 1.0))).unzip();
        let mut tracker = Tracker::new(30.0, DISPLAY, Network::Full, false);
        let (_, first) = keyframe(&mut tracker, 0, &detections, &people);
        let count_finds = |asked: &[Query], turned: bool| {
            asked
                .iter()
                .filter(|w| matches!(w, Query::DetectPersons(tile) if (tile.quarter_turns != 0) == turned))
                .count()
        };
        assert_eq!(count_finds(&first, false), if height < 200.0 { 1 + 4 + 16 } else { 1 + 4 });
        assert_eq!(count_finds(&first, true), 3, "whoever lies on either side or hangs head down");
        let later: Vec<_> = (1..=20).flat_map(|i| keyframe(&mut tracker, 6 * i, &detections, &people).1).collect();
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
        let mut tracker = Tracker::new(30.0, DISPLAY, Network::Full, false);
        let detections: Vec<PersonDetection> =
            people.iter().map(|&(x, height, score)| PersonDetection { score, ..detection(x, height) }).collect();
        let people: Vec<Observation> = people.iter().map(|&(x, height, _)| seen(x, height, 1.0)).collect();
        let (_, asked) = keyframe(&mut tracker, 0, &detections, &people);
        let within = |w: Query| match w {
            Query::Landmarks { at, network: Network::Full, .. } if at.hidden.is_empty() => Some(at.within),
            _ => None,
        };
        asked.into_iter().filter_map(within).collect::<Vec<_>>()
    };
    let (left, right, far) = ((400.0, HEIGHT, 0.5), (520.0, HEIGHT, 0.5), (900.0, HEIGHT, 0.5));
    let seen = |(x, height, _)| Some(around(detection(x, height).bounds));
    assert_eq!(shown(&[left, far]), [None, None]);
    assert_eq!(shown(&[left, right, far]), [seen(left), seen(right), None]);
    let small = (900.0, 120.0, 0.5);
    assert_eq!(shown(&[small]), [seen(small)], "a crowd may be behind them");
    assert_eq!(shown(&[(900.0, 120.0, 0.35)]), [None], "a bag, perhaps");
}

#[test]
fn who_is_not_seen_alone_is_looked_at_among_the_others_but_must_be_just_there() {
    for (aside, is_found) in [(4.0, true), (40.0, false)] {
        let mut tracker = Tracker::new(30.0, DISPLAY, Network::Full, false);
        let mut regions = Vec::new();
        let mut run = |queries: Vec<Query>| {
            let answer = |query: &Query| match query {
                Query::DetectPersons(_) => Answer::PersonDetections(vec![detection(900.0, 120.0)]),
                Query::DetectRegions(_) => Answer::RegionDetections(Vec::new()),
                Query::Landmarks { at, .. } => {
                    let is_alone = at.within.is_some();
                    regions.push(is_alone);
                    Answer::Observation((!is_alone).then(|| seen(900.0 + aside, 120.0, 1.0)))
                }
            };
            queries.iter().map(answer).collect::<Vec<_>>()
        };
        let found = on_keyframe(&mut tracker, 0, &Trajectory::default(), &mut run);
        assert_eq!((regions, found.people.len()), (vec![true, false], usize::from(is_found)));
    }
}

#[test]
fn small_people_are_seen_alone_between_keyframes_that_have_them_detected() {
    let mut tracker = Tracker::new(30.0, DISPLAY, Network::Full, false);
    let people = [seen(900.0, 120.0, 1.0)];
    let (before, _) = keyframe(&mut tracker, 0, &[detection(900.0, 120.0)], &people);
    for (detections, is_alone) in [(vec![detection(900.0, 120.0)], true), (vec![], false)] {
        let (after, _) = keyframe(&mut tracker.clone(), 6, &detections, &people);
        let expected = regions_between([&before, &after], 2, tracker.display, &Trajectory::default());
        let within = is_alone.then(|| around(people[0].landmarks.bounds()));
        assert_eq!(expected.iter().map(|e| e.at.within).collect::<Vec<_>>(), [within]);
    }
}

/// Somebody whose left hand swings up and down twice a second, by so many pixels, in front of a camera that pans.
fn swinging(frame: u64, swing: f32, trajectory: &Trajectory) -> Observation {
    let mut person = seen(400.0, HEIGHT, 1.0);
    let up = swing * (frame as f32 / 15.0 * std::f32::consts::TAU).sin();
    for point in [LEFT_WRIST, LEFT_INDEX, LEFT_PINKY, LEFT_THUMB] {
        person.landmarks.points[point].y -= up;
    }
    person.landmarks.shift(trajectory.moved(0, frame));
    person
}

/// The frames between two keyframes in which somebody was looked at, and all that linking makes of them.
fn looked_at(fps: f64, frames: [u64; 3], is_there: bool, swing: f32) -> (Vec<u64>, Between) {
    let trajectory = Trajectory::of((0..100).map(|frame| DVec2::new(3.0 * f64::from(frame), 0.0)).collect());
    let mut tracker = Tracker::new(fps, DISPLAY, Network::Full, false);
    let keyframes = frames.map(|frame| {
        let person = swinging(frame, swing, &trajectory);
        let detections = [PersonDetection { bounds: person.landmarks.bounds(), score: 0.5, quarter_turns: 0 }];
        on_keyframe(&mut tracker, frame, &trajectory, &mut |queries| {
            answer(&detections, std::slice::from_ref(&person), &mut Vec::new(), queries)
        })
    });
    let [earlier, before, after] = &keyframes;
    let between = before.index + tracker.stride()..after.index;
    let between = between.step_by(tracker.stride() as usize);
    let frames: Vec<u64> = between.clone().collect();
    let mut looks = tracker.looks_between(Some(earlier), [before, after], between, &trajectory, false);
    let mut looked = Vec::new();
    loop {
        let queries = looks.queries();
        if queries.is_empty() {
            break;
        }
        let look = |(frame, _): &(usize, PredictedRegion)| {
            looked.push(frames[*frame]);
            is_there.then(|| swinging(frames[*frame], swing, &trajectory))
        };
        looks.answer(queries.iter().map(look).collect());
    }
    looked.sort_unstable();
    (looked, looks.resolve())
}

#[test]
fn people_are_looked_at_as_often_as_their_motion_asks_for() {
    let (looked, between) = looked_at(30.0, [0, 6, 12], true, 0.0);
    assert_eq!(
        (looked, between.skipped),
        (vec![], vec![(0, vec![7, 8, 9, 10, 11])]),
        "who stands still is seen on keyframes"
    );
    let (looked, between) = looked_at(30.0, [0, 6, 12], true, 0.2 * HEIGHT);
    assert_eq!((looked, between.skipped), (vec![7, 9, 10], vec![(0, vec![11])]), "a hand that swings is followed");
    let (looked, between) = looked_at(30.0, [0, 6, 12], true, 0.05 * HEIGHT);
    assert_eq!((looked, between.skipped), (vec![9], vec![(0, vec![10, 11])]), "a small movement is looked at once");
    assert_eq!(between.observations[&9][0].skipped, [7, 8]);
    let (looked, between) = looked_at(30.0, [0, 6, 12], false, 0.05 * HEIGHT);
    assert_eq!((looked, between.observations.len()), (vec![7, 8, 9, 10, 11], 0), "who is lost is looked for");
}

#[test]
fn more_frames_a_second_are_not_looked_at_more_often() {
    let strides =
        [24.0, 30.0, 50.0, 60.0, 120.0, 240.0].map(|fps| Tracker::new(fps, DISPLAY, Network::Full, false).stride());
    assert_eq!(strides, [1, 1, 2, 2, 5, 10]);
    let (looked, between) = looked_at(240.0, [0, 48, 96], true, 0.2 * HEIGHT);
    assert_eq!(looked, [58, 68, 78, 88], "every tenth frame");
    assert_eq!(between.skipped, [(0, (89..96).collect())]);
}

#[test]
fn people_are_where_the_scene_takes_them() {
    // The camera is jerked up after the fourth frame, by more than a person's width aside, and back before the ninth.
    let jerk = |frame: u64| if (5..9).contains(&frame) { DVec2::new(150.0, 60.0) } else { DVec2::ZERO };
    let trajectory = Trajectory::of((0..20).map(jerk).collect());
    let at = |frame: u64| {
        let mut sight = seen(400.0 + 2.0 * frame as f32, HEIGHT, 1.0);
        sight.landmarks.shift(jerk(frame));
        sight
    };
    let mut tracker = Tracker::new(30.0, DISPLAY, Network::Full, false);
    let mut keyframes = Vec::new();
    for index in [0, 6, 12] {
        let person = at(index);
        let detections = [PersonDetection { bounds: person.landmarks.bounds(), score: 0.5, quarter_turns: 0 }];
        let mut run = |queries: Vec<Query>| {
            // The network sees nobody who is as far off as the camera was jerked.
            let near = |at: &MaskedRegion| at.region.difference(&person.landmarks.region()) < 0.2;
            let answer = |query: &Query| match query {
                Query::DetectPersons(_) => Answer::PersonDetections(detections.to_vec()),
                Query::DetectRegions(_) => Answer::RegionDetections(Vec::new()),
                Query::Landmarks { at, .. } => Answer::Observation(near(at).then(|| person.clone())),
            };
            queries.iter().map(answer).collect::<Vec<_>>()
        };
        keyframes.push(on_keyframe(&mut tracker, index, &trajectory, &mut run));
    }
    let velocities: Vec<DVec2> = keyframes.iter().map(|k| k.people[0].velocity).collect();
    assert!(keyframes.iter().all(|k| k.people.len() == 1 && k.people[0].tracklet == 0));
    assert!(velocities[1..].iter().all(|v| v.distance(DVec2::new(2.0, 0.0)) < 1e-3), "{velocities:?}");
    for frame in 1..6 {
        let expected = regions_between([&keyframes[0], &keyframes[1]], frame, tracker.display, &trajectory);
        let off = expected[0].at.region.center - at(frame).landmarks.region().center;
        assert!(off.length() < 1e-3, "frame {frame}: {off}");
    }
}

#[test]
fn people_in_each_others_way_are_two_where_two_are_detected() {
    // Half a shoulder's width apart: without detections of their own one person seen twice.
    let people = [seen(400.0, HEIGHT, 1.0), seen(440.0, HEIGHT, 0.9)];
    let [left, top, right, bottom] = people[0].landmarks.bounds();
    let middle = (left + right) / 2.0;
    let half = |left, right| PersonDetection { bounds: [left, top, right, bottom], score: 0.5, quarter_turns: 0 };
    let both = [half(left, middle + 20.0), half(middle + 20.0, right + 40.0)];
    assert!(is_duplicate(&people[0].landmarks, &people[1].landmarks));
    let orientations = || Orientations { usual: vec![0], are_guessed: true };
    for (detections, count) in [(both.to_vec(), 2), (both[..1].to_vec(), 1), (Vec::new(), 1)] {
        let detections = DetectedPersons::new(DISPLAY, orientations(), vec![Tile::whole(DISPLAY)], detections);
        let finds = people.iter().map(|sight| Candidate {
            find: Find { observation: sight.clone(), is_behind: false, is_masked: false, is_agreed: false },
            rank: sight.landmarks.score,
            must_be: None,
            is_new: true,
        });
        assert_eq!(keep_best(finds.collect(), &detections).len(), count);
    }
    let expected = |sight: &Observation, is_certain| PredictedRegion {
        tracklet: 0,
        at: sight.landmarks.region().into(),
        is_on_both: true,
        is_detected: true,
        is_detected_on_both: is_certain,
    };
    for (is_certain, count) in [(true, 2), (false, 1)] {
        let expected = people.each_ref().map(|sight| expected(sight, is_certain));
        let found: Vec<_> = expected.iter().zip(&people).collect();
        assert_eq!(without_doubles(3, &found).len(), count);
    }
}

#[test]
fn whoever_is_covered_is_looked_for_with_those_in_front_painted_over() {
    let mut tracker = Tracker::new(30.0, DISPLAY, Network::Full, false);
    let front = |x: f32| seen(x, 1.2 * HEIGHT, 1.0);
    let behind = seen(500.0, HEIGHT, 0.9);
    let mut keyframes = Vec::new();
    // One comes in from the side and stops in front of the other: there the person detector sees one, and so does the network.
    for (n, x) in [900.0, 840.0, 780.0, 720.0, 660.0, 600.0, 580.0, 570.0, 565.0].into_iter().enumerate() {
        let is_covered = x < 620.0;
        let both = [front(x), behind.clone()];
        let detected: Vec<_> = both[..if is_covered { 1 } else { 2 }].iter().map(|o| o.landmarks.bounds()).collect();
        let mut run = |queries: Vec<Query>| {
            let answer = |query: &Query| match query {
                Query::DetectPersons(_) => {
                    let of = |&bounds: &[f32; 4]| PersonDetection { bounds, score: 0.5, quarter_turns: 0 };
                    Answer::PersonDetections(detected.iter().map(of).collect())
                }
                Query::DetectRegions(_) => Answer::RegionDetections(Vec::new()),
                Query::Landmarks { at, .. } => {
                    let is_behind = at.region.center.x < if is_covered { f64::MIN } else { 600.0 };
                    let nearest = if is_behind || !at.hidden.is_empty() { &both[1] } else { &both[0] };
                    Answer::Observation(Some(nearest.clone()))
                }
            };
            queries.iter().map(answer).collect::<Vec<_>>()
        };
        keyframes.push(on_keyframe(&mut tracker, 6 * n as u64, &Trajectory::default(), &mut run));
    }
    for keyframe in &keyframes {
        let people: Vec<_> = keyframe.people.iter().map(|p| p.observation.landmarks.score).collect();
        assert_eq!(people.len(), 2, "frame {}: {people:?}", keyframe.index);
    }
    let [before, last] = [&keyframes[7], &keyframes[8]];
    let found = last.people.iter().find(|person| person.is_behind).expect("one is behind");
    assert_eq!((found.observation.landmarks.score, found.is_detected), (0.9, None));
    assert!(keyframes[0].people.iter().all(|person| !person.is_behind));
    for expected in regions_between([before, last], 45, tracker.display, &Trajectory::default()) {
        assert_eq!(expected.at.hidden.len(), usize::from(expected.tracklet == found.tracklet));
    }
    let heavy = last.people.iter().map(|person| match last.heavy_query(person, DISPLAY) {
        Query::Landmarks { at, .. } => at.hidden.len(),
        _ => 0,
    });
    assert_eq!(heavy.sum::<usize>(), 1);
}

/// A picture in which one person is seen, in front, and where they are painted over what is `behind` them.
fn one_in_front(front: &Observation, behind: &Option<Observation>, queries: &[Query]) -> Vec<Answer> {
    let answer = |query: &Query| match query {
        Query::DetectPersons(_) => {
            let bounds = front.landmarks.bounds();
            Answer::PersonDetections(vec![PersonDetection { bounds, score: 0.5, quarter_turns: 0 }])
        }
        Query::DetectRegions(_) => Answer::RegionDetections(Vec::new()),
        Query::Landmarks { at, .. } if at.hidden.is_empty() => Answer::Observation(Some(front.clone())),
        Query::Landmarks { .. } => Answer::Observation(behind.clone()),
    };
    queries.iter().map(answer).collect()
}

#[test]
fn whoever_is_covered_from_the_start_is_found_and_waited_for_while_nothing_is_to_be_seen() {
    let front = seen(560.0, 1.2 * HEIGHT, 1.0);
    let behind = seen(500.0, HEIGHT, 0.9);
    // Part of the one in front, which the network takes for somebody.
    let part = seen(530.0, 0.5 * HEIGHT, 0.6);
    let mut tracker = Tracker::new(30.0, DISPLAY, Network::Full, false);
    let mut on = |index: u64, is_behind: Option<&Observation>| {
        let is_behind = is_behind.cloned();
        let mut answers = |queries: Vec<Query>| one_in_front(&front, &is_behind, &queries);
        let keyframe = on_keyframe(&mut tracker, index, &Trajectory::default(), &mut answers);
        keyframe.people.iter().map(|p| (p.tracklet, p.is_behind)).collect::<Vec<_>>()
    };
    let both = [(0, false), (1, true)];
    assert_eq!(on(0, Some(&behind)), both);
    assert_eq!(on(6, Some(&part)), both[..1]);
    assert_eq!(on(12, None), both[..1]);
    assert_eq!(on(18, None), both[..1]);
    assert_eq!(on(27, Some(&behind)), both, "0.9 s later");
    assert_eq!(on(33, Some(&behind)), both);
}

#[test]
fn nobody_is_looked_for_behind_one_person_more_often_than_every_second() {
    let mut tracker = Tracker::new(30.0, DISPLAY, Network::Full, false);
    let front = seen(560.0, HEIGHT, 1.0);
    let mut looks = Vec::new();
    for index in (0..=60).step_by(6) {
        on_keyframe(&mut tracker, index, &Trajectory::default(), &mut |queries: Vec<Query>| {
            let is_behind = |q: &Query| matches!(q, Query::Landmarks { at, .. } if !at.hidden.is_empty());
            looks.extend(queries.iter().filter(|q| is_behind(q)).map(|_| index));
            one_in_front(&front, &None, &queries)
        });
    }
    assert_eq!(looks, [0, 30, 60]);
}

#[test]
fn two_people_who_are_found_as_one_are_looked_at_in_their_own_boxes() {
    let mut tracker = Tracker::new(30.0, DISPLAY, Network::Full, false);
    let (left, right) = (seen(400.0, HEIGHT, 1.0), seen(620.0, HEIGHT, 1.0));
    let detections = [detection(400.0, HEIGHT), detection(620.0, HEIGHT)];
    let (before, _) = keyframe(&mut tracker, 0, &detections, &[left.clone(), right.clone()]);
    // Then the one on the left gets an arm of the other, unless nothing but their own box is to be seen.
    let mut mixed = left.clone();
    for arm in [LEFT_ELBOW, LEFT_WRIST, LEFT_INDEX] {
        mixed.landmarks.points[arm] = right.landmarks.points[arm];
    }
    let mut run = |queries: Vec<Query>| {
        let answer = |query: &Query| match query {
            Query::DetectPersons(_) => Answer::PersonDetections(detections.to_vec()),
            Query::DetectRegions(_) => Answer::RegionDetections(Vec::new()),
            Query::Landmarks { at, .. } if at.region.center.x > 500.0 => Answer::Observation(Some(right.clone())),
            Query::Landmarks { at, .. } => {
                Answer::Observation(Some(if at.within.is_some() { &left } else { &mixed }.clone()))
            }
        };
        queries.iter().map(answer).collect::<Vec<_>>()
    };
    let after = on_keyframe(&mut tracker, 6, &Trajectory::default(), &mut run);
    assert_eq!(after.people.len(), 2);
    assert_eq!(after.people[0].observation, left);
    assert_eq!(
        after.people.iter().map(|p| (p.is_masked, p.is_behind)).collect::<Vec<_>>(),
        [(true, false), (false, false)]
    );
    let between = regions_between([&before, &after], 3, tracker.display, &Trajectory::default());
    assert_eq!(between.iter().map(|p| p.at.within.is_some()).collect::<Vec<_>>(), [true, false]);
}
