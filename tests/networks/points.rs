//! What networks are shown, and where key points are that they see.

use glam::DVec2;
use meshreel::pose::own::{PersonCrop, SeenPoints};

use crate::canvas::{COLOR, Canvas, Person, geometry};
use crate::{CASES, cases, described, models, read, worker};
use meshreel::pose::Picture;

/// Metres from mark A to B (`METRES` in `smpl.py`).
const METRES: f64 = 0.6;

#[test]
fn key_points_are_where_the_network_sees_them() {
    let (people, nobody) = (Person::all(), Person::unmarked());
    let (mut worker, mut wrong) = (worker(), Vec::new());
    for (name, case) in cases("points") {
        let description = described(name);
        // Several at a time, the one without marks among them.
        let mut shown: Vec<_> = people.iter().map(Person::shown).collect();
        shown.insert(2, nobody.shown());
        let mut answers = worker.look(&description, &shown).unwrap();
        assert_eq!(answers.len(), people.len() + 1, "{name}");
        assert_eq!(answers.remove(2).and_then(|answer| answer.points), None, "{name}: nobody");
        let mut worst = [0.0_f64; 3];
        for (person, answer) in people.iter().zip(answers) {
            let answer = answer.unwrap_or_else(|| panic!("{name}: somebody is not seen"));
            assert_eq!(answer.body, None);
            let off = off(person, &answer.points.unwrap(), case);
            worst = std::array::from_fn(|i| worst[i].max(off[i]));
        }
        let [pixels, metres, confidence] = worst;
        println!("{name}: {pixels:.3} px, {metres:.5} m, {confidence:.4}");
        let least = case["confidence_tolerance"].as_f64().unwrap_or(0.01);
        if !(pixels < 0.1 && metres < 1e-3 && confidence < least) {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// How far points are from where they should be: displayed pixels, metres, and confidence.
fn off(person: &Person, points: &SeenPoints, case: &serde_json::Value) -> [f64; 3] {
    let [along, across, confidence, depth]: [Vec<f64>; 4] =
        ["along", "across", "confidence", "depth"].map(|key| read(case, key));
    let indices: Vec<usize> = read(case, "indices");
    let [is_flat, is_metric] =
        [("flat", true), ("metric", false)].map(|(key, usual)| case[key].as_bool().unwrap_or(usual));
    let none = Vec::new();
    let [in_picture, in_metres]: [Vec<usize>; 2] = [
        points.pixels.iter().map(|pixel| pixel.landmark).collect(),
        points.world.iter().map(|(landmark, _)| *landmark).collect(),
    ];
    assert_eq!(&in_picture, if is_flat { &indices } else { &none });
    assert_eq!(&in_metres, if is_metric { &indices } else { &none });
    let (a, b) = (DVec2::from(person.a), DVec2::from(person.b));
    let mut worst = [0.0_f64; 3];
    for k in 0..indices.len() {
        let way = along[k] * (b - a) + across[k] * (b - a).perp();
        if is_flat {
            let [x, y] = points.pixels[k].at.map(f64::from);
            worst[0] = worst[0].max((a + way).distance(DVec2::new(x, y)));
            let expected = case["same_confidence"].as_f64().unwrap_or(confidence[k]);
            worst[2] = worst[2].max((f64::from(points.pixels[k].confidence) - expected).abs());
        }
        if is_metric {
            let [x, y, z] = points.world[k].1.map(f64::from);
            let metres = way * METRES / a.distance(b);
            worst[1] = worst[1].max(metres.distance(DVec2::new(x, y)).max((depth[k] - z).abs()));
        }
    }
    worst
}

#[test]
fn inputs_are_filled_as_the_description_says() {
    let colour = [0.8, 0.5, 0.1];
    let (frame, geometry) = (Canvas::new([1200, 900], colour).frame(), geometry([1200, 900]));
    let picture = Picture { frame: &frame, geometry: &geometry, color: COLOR };
    // Somebody who stands well inside the picture, so that nothing beyond it is shown.
    let mut landmarks = Person::all()[0].landmarks.clone();
    landmarks.shift(DVec2::new(400.0, 150.0));
    let mut worker = worker();
    for (name, case) in cases("inputs") {
        let answers = worker.look(&described(name), &[(picture, &landmarks)]).unwrap();
        let found = answers[0].as_ref().unwrap().points.as_ref().unwrap().world[0].1;
        let (order, scale): ([usize; 3], f32) = (read(case, "order"), read(case, "scale"));
        let (mean, std): ([f32; 3], [f32; 3]) = (read(case, "mean"), read(case, "std"));
        for channel in 0..3 {
            let expected = (colour[order[channel]] * scale - mean[channel]) / std[channel];
            let off = (found[channel] - expected) * std[channel] / scale;
            assert!(off.abs() < 0.005, "{name}: {found:?}, and not {expected} in channel {channel}");
        }
    }
    assert!(CASES["inputs"].as_array().unwrap().len() >= 5);
}

#[test]
fn beyond_the_picture_is_what_the_description_says() {
    let colour = [0.8, 0.5, 0.1];
    let (frame, geometry) = (Canvas::new([720, 640], colour).frame(), geometry([720, 640]));
    let picture = Picture { frame: &frame, geometry: &geometry, color: COLOR };
    // Somebody of whom the picture ends near the middle.
    let mut landmarks = Person::all()[0].landmarks.clone();
    landmarks.shift(DVec2::new(-180.0, 0.0));
    let mut worker = worker();
    let [edge, white, black] = ["beyond-edge", "beyond-white", "beyond-black"].map(|name| {
        let answers = worker.look(&described(name), &[(picture, &landmarks)]).unwrap();
        answers[0].as_ref().unwrap().points.as_ref().unwrap().world[0].1
    });
    for channel in 0..3 {
        assert!((edge[channel] - colour[channel]).abs() < 0.005, "{edge:?}");
        let outside = white[channel] - black[channel];
        assert!((0.2..0.6).contains(&outside), "{white:?} {black:?}");
        assert!((black[channel] - (1.0 - outside) * colour[channel]).abs() < 0.01, "{white:?} {black:?}");
    }
}

#[test]
fn crops_have_the_size_and_turn_that_the_description_says() {
    let people = Person::all();
    let text = std::fs::read_to_string(models().own_networks().join("mean-plain.toml")).unwrap();
    let crop = |person: usize, size: [usize; 2], lines: &str| {
        let text = text.replace("[64, 96]", &format!("{size:?}")) + &format!("[crop]\n{lines}\n");
        std::fs::write(models().own_networks().join("cropped.toml"), text).unwrap();
        PersonCrop::new(&described("cropped"), &people[person].landmarks, [720, 640])
    };
    let sides = |crop: PersonCrop| crop.size.map(|side| side as f64 * crop.scale);
    // The person's own box is the crop of an input of about its shape.
    let landmarks = &people[0].landmarks;
    let [left, top, right, bottom] = landmarks.bounds().map(f64::from);
    let [_, height] = sides(crop(0, [128, 256], "scale = 1.0"));
    assert!((1.0..1.2).contains(&(height / (bottom - top))), "{height}");
    assert!(height / 2.0 > right - left, "somebody who stands");
    // Scale, then width over height, then the shape of the input.
    for (size, lines, expected) in [
        ([256, 256], "scale = 1.0", [1.0, 1.0]),
        ([256, 256], "", [1.25, 1.25]),
        ([256, 256], "scale = 1.0\naspect = 0.75", [1.0, 1.0]),
        ([256, 256], "scale = 1.6\naspect = 0.75", [1.6, 1.6]),
        ([256, 256], "scale = 1.0\naspect = 1.5", [1.5, 1.5]),
        ([192, 256], "scale = 1.25", [0.75 * 1.25, 1.25]),
        ([192, 256], "scale = 1.0\naspect = 1.0", [1.0, 4.0 / 3.0]),
        ([288, 384], "scale = 1.0\naspect = 0.5", [0.75, 1.0]),
    ] {
        let found = sides(crop(0, size, lines)).map(|side| side / height);
        let off = (found[0] - expected[0]).abs().max((found[1] - expected[1]).abs());
        assert!(off < 1e-6, "{size:?} {lines}: {found:?}, and not {expected:?}");
    }
    for (person, degrees) in [(0, 0.0), (1, 0.0), (2, 90.0), (3, -90.0), (4, 180.0)] {
        let turned = crop(person, [192, 256], "scale = 1.0");
        assert!((turned.rotation.to_degrees().abs() - f64::abs(degrees)).abs() < 1e-6, "{turned:?}");
        assert!(degrees.abs() == 180.0 || turned.rotation.to_degrees() * degrees >= 0.0, "{turned:?}");
        // All of the person is in it, and head up.
        let [width, height] = turned.size.map(|side| side as f64);
        let inside = |k: usize| turned.to_display().inverse().transform_point2(people[person].landmarks.at(k));
        assert!((0..33).map(inside).all(|p| (0.0..width).contains(&p.x) && (0.0..height).contains(&p.y)));
        assert!(inside(0).y < 0.2 * height && inside(27).y > 0.8 * height);
        assert_eq!(crop(person, [192, 256], "upright = true").rotation, 0.0);
    }
}
