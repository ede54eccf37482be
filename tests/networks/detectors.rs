//! Boxes of person detectors, in every format.

use std::sync::Arc;

use meshreel::models::NetworkDescription;
use meshreel::pose::{Answer, PersonDetection, Picture, Query, Tile, Worker};

use crate::canvas::{COLOR, Canvas, geometry};
use crate::{CASES, cases, described, read, worker};

fn detect(
    worker: &mut Worker,
    network: &Arc<NetworkDescription>,
    picture: Picture<'_>,
    tile: Tile,
) -> Vec<PersonDetection> {
    match worker.answer(Some(network), &[(picture, Query::DetectPersons(tile))]).unwrap().remove(0) {
        Answer::PersonDetections(found) => found,
        other => unreachable!("{other:?}"),
    }
}

/// The largest difference of two boxes' sides.
fn off(found: &PersonDetection, expected: [usize; 4]) -> f32 {
    found.bounds.iter().zip(expected).map(|(a, b)| (a - b as f32).abs()).fold(0.0, f32::max)
}

#[test]
fn boxes_of_every_format_are_where_the_person_is() {
    let about = &CASES["rectangles"];
    let (size, person, other): ([u32; 2], [usize; 4], [usize; 4]) =
        (read(about, "display"), read(about, "person"), read(about, "other"));
    let geometry = geometry(size);
    let grey = [0.4; 3];
    let mut canvas = Canvas::new(size, grey);
    canvas.rectangle(person, [1.0, 0.0, 1.0]);
    canvas.rectangle(other, [0.0, 1.0, 0.0]);
    let (there, empty) = (canvas.frame(), Canvas::new(size, grey).frame());
    let picture = |frame| Picture { frame, geometry: &geometry, color: COLOR };
    let whole = Tile::whole(size);
    // Parts of the picture that hold the person, of other shapes; and where people lie or hang head down.
    let part = Tile { x: 90.0, y: 20.0, width: 150.0, height: 216.0, ..whole };
    let mut tiles = vec![whole, part, Tile { x: 30.0, width: 310.0, y: 60.0, height: 140.0, ..whole }];
    tiles.extend((1..4).map(|quarter_turns| Tile { quarter_turns, ..whole }));
    tiles.extend((1..4).map(|quarter_turns| Tile { quarter_turns, ..part }));
    let (mut worker, mut wrong) = (worker(), Vec::new());
    for (name, case) in cases("detectors") {
        let network = described(name);
        let (boxes, score): (usize, f32) = (read(case, "boxes"), read(case, "score"));
        let tolerance = case["tolerance"].as_f64().unwrap_or(1e-3) as f32;
        let mut worst = 0.0_f32;
        for &tile in &tiles {
            let found = detect(&mut worker, &network, picture(&there), tile);
            let Some(best) = found.first().filter(|_| found.len() == boxes) else {
                if found.len() != boxes {
                    wrong.push(format!("{name}: {found:?} in {tile:?}"));
                }
                continue;
            };
            let off = off(best, person);
            let is_right =
                off < 0.2 && (best.score - score).abs() < tolerance && best.quarter_turns == tile.quarter_turns;
            if !is_right {
                wrong.push(format!("{name}: {best:?} in {tile:?}"));
            }
            worst = worst.max(off);
        }
        println!("{name}: {worst:.3} pixels");
        // Nobody is there; and who is cut by the edge of a tile is left to the next one.
        let cut = Tile { x: 0.0, y: 0.0, width: 165.0, height: 240.0, ..whole };
        for found in
            [(&empty, whole), (&there, cut)].map(|(frame, tile)| detect(&mut worker, &network, picture(frame), tile))
        {
            if !found.is_empty() {
                wrong.push(format!("{name}: {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn detectors_are_shown_the_picture_in_the_corner_and_what_is_beyond() {
    let (size, green) = ([400, 240], 0.7);
    let (frame, geometry) = (Canvas::new(size, [0.2, green, 0.1]).frame(), geometry(size));
    let picture = Picture { frame: &frame, geometry: &geometry, color: COLOR };
    let mut worker = worker();
    for (name, case) in cases("corners") {
        let mut found = detect(&mut worker, &described(name), picture, Tile::whole(size));
        found.sort_by(|a, b| a.bounds[0].total_cmp(&b.bounds[0]));
        let scores: Vec<f32> = found.iter().map(|detection| detection.score).collect();
        let last = case["last"].as_f64().map_or(green, |last| last as f32);
        let [a, b] = scores[..] else { panic!("{name}: {found:?}") };
        assert!((a - green).abs() < 0.01 && (b - last).abs() < 0.01, "{name}: {scores:?}, and not {green} and {last}");
    }
}
