//! Whole clips: a network that knows the pose from the marks in the picture, from the command to the video and the motion file.

use serde_json::Value;

use crate::common::{ffprobe, meshreel_with, motion, run, succeed};
use crate::{PLACE, json, read};

/// Joints of a clip's person in each frame of a motion file: those of COCO's points that are joints of the body.
struct Found {
    /// Small people who move slowly are not looked at in every frame.
    is_seen: bool,
    root: [f64; 3],
    metres: Vec<[f64; 3]>,
    pixels: Vec<[f64; 2]>,
}

/// Processes a clip with networks (`--model`, and what follows); the people in each frame, and the report.
fn process(clip: &str, networks: &[&str]) -> (Vec<Vec<Found>>, Value) {
    let place = &*PLACE;
    let folder = format!("{clip}-{}", networks.join(""));
    succeed(meshreel_with(place).args(["process", &format!("{clip}.mp4"), "-o", &folder, "--model"]).args(networks));
    let person = |person: &Value| {
        let (joints, points): (Vec<[f64; 3]>, Vec<[f64; 3]>) = (read(person, "joints3d"), read(person, "keypoints2d"));
        let pixels = points[5..].iter().map(|&[x, y, _]| [x, y]).collect();
        let (root, is_seen) = (read(&person["root"], "position"), read::<f64>(person, "score") > 0.0);
        Found { is_seen, root, metres: joints[5..].to_vec(), pixels }
    };
    let frame = |row: &Value| row["people"].as_array().unwrap().iter().map(person).collect();
    let frames = motion(&place.join(&folder).join(format!("{clip}.motion.jsonl")))[1..].iter().map(frame).collect();
    (frames, json(&place.join(&folder).join(format!("{clip}.report.json"))))
}

/// The same where there is one person in every frame.
fn process_one(clip: &str, networks: &[&str]) -> (Vec<Found>, Value) {
    let (frames, report) = process(clip, networks);
    let one = |mut people: Vec<Found>| people.pop().filter(|_| people.is_empty()).unwrap();
    (frames.into_iter().map(one).collect(), report)
}

fn distance<const N: usize>(a: [f64; N], b: [f64; N]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

fn less(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|i| a[i] - b[i])
}

/// For each frame how far the joints are from where they should be, relative to the root joint (metres), and in the picture (pixels).
fn off(clip: &str, found: &[Found]) -> Vec<[f64; 2]> {
    let about = json(&PLACE.join("clip.json"));
    let joints: Vec<Vec<[f64; 3]>> = read(&about[clip], "joints");
    let pixels: Vec<Vec<[f64; 2]>> = read(&about[clip], "pixels");
    let chosen: Vec<usize> = read(&about, "coco_joints");
    assert_eq!((found.len(), chosen.len()), (joints.len(), 12));
    let frame = |(n, found): (usize, &Found)| {
        let each = |(k, &joint): (usize, &usize)| {
            let metres = distance(less(found.metres[k], found.root), less(joints[n][joint], joints[n][0]));
            [metres, distance(found.pixels[k], pixels[n][joint])]
        };
        chosen
            .iter()
            .enumerate()
            .map(each)
            .fold([0.0_f64; 2], |[a, b], [metres, pixels]| [a.max(metres), b.max(pixels)])
    };
    found.iter().enumerate().map(frame).collect()
}

fn largest(off: &[[f64; 2]], axis: usize) -> f64 {
    off.iter().map(|off| off[axis]).fold(0.0, f64::max)
}

#[test]
fn a_known_pose_comes_out_of_the_clip_whatever_the_crop() {
    for (clip, network) in [
        ("standing", "clip"),
        ("standing", "clip-tight"),
        ("standing", "clip-wide"),
        ("lying", "clip"),
        ("lying", "clip-upright"),
    ] {
        let (found, report) = process_one(clip, &[network]);
        let off = off(clip, &found);
        let (seen, between): (Vec<_>, Vec<_>) = found.iter().zip(&off).partition(|(found, _)| found.is_seen);
        let largest = |of: &[(&Found, &[f64; 2])], axis: usize| of.iter().map(|(_, off)| off[axis]).fold(0.0, f64::max);
        let (metres, pixels) = (largest(&seen, 0), largest(&seen, 1));
        println!("{clip} by {network}: {:.2} mm, {pixels:.2} px, {} between", metres * 1e3, between.len());
        assert!(metres < 2e-3 && pixels < 1.0 && seen.len() > 3 * between.len(), "{clip} by {network}: {off:?}");
        assert!(largest(&between, 0) < 5e-3 && largest(&between, 1) < 2.0, "{clip} by {network}: {off:?}");
        let own = &report["networks"][0];
        assert_eq!((own["name"].as_str(), own["licence"].as_str()), (Some(network), Some("made up; for tests only")));
        assert_eq!((report["model"].as_str(), report["body"].as_str()), (Some(network), Some("made-up")));
        assert_eq!((report["people"].as_u64(), report["bodies"].as_u64()), (Some(1), Some(found.len() as u64)));
        let video = PLACE.join(format!("{clip}-{network}/{clip}.mp4"));
        let counted =
            ffprobe("-count_frames -select_streams v -show_entries stream=nb_read_frames -of csv=p=0", &video);
        assert_eq!(counted.trim(), found.len().to_string());
    }
}

#[test]
fn between_keyframes_the_body_is_interpolated() {
    let (found, _) = process_one("standing", &["clip-keyframes"]);
    let off = off("standing", &found);
    let exact = off.iter().filter(|[metres, pixels]| *metres < 2e-3 && *pixels < 1.0).count();
    println!("{exact} of {}, at most {:.1} mm, {:.1} px", off.len(), largest(&off, 0) * 1e3, largest(&off, 1));
    assert!((4..off.len() / 2).contains(&exact), "{off:?}");
    assert!(largest(&off, 0) < 0.03 && largest(&off, 1) < 12.0, "{off:?}");
}

#[test]
fn a_refined_body_stays_near_and_is_nearer_to_the_person() {
    let (plain, _) = process_one("standing", &["clip"]);
    let (refined, _) = process_one("standing", &["clip-refine"]);
    // Where MediaPipe's own programs see shoulders, elbows, wrists, hips, knees and ankles in the first frame; the clip begins 440 pixels
    // further to the right.
    let reference = json(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/pose_reference.json")));
    let points: Vec<[f64; 4]> = read(&reference["samples"][0], "points");
    let person: Vec<[f64; 2]> =
        [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28].map(|i: usize| [points[i][0] - 440.0, points[i][1]]).to_vec();
    let apart = |found: &Found, others: &[[f64; 2]]| {
        found.pixels.iter().zip(others).map(|(&a, &b)| distance(a, b)).sum::<f64>() / person.len() as f64
    };
    let (before, after) = (apart(&plain[0], &person), apart(&refined[0], &person));
    println!("{before:.1} px from the person, refined {after:.1} px");
    assert!(after < 0.6 * before && after < 15.0, "{before} px from the person, refined {after} px");
    for (a, b) in plain.iter().zip(&refined) {
        let (moved, away) = (distance(a.root, b.root), apart(a, &b.pixels));
        assert!(moved < 0.12 * a.root[2] && (1.0..80.0).contains(&away), "{moved} m, {away} px");
    }
}

#[test]
fn detectors_and_key_points_of_ones_own_lead_to_the_body() {
    let (found, report) = process_one("standing", &["clip-points", "--detector", "clip-detector"]);
    let used: Vec<[String; 2]> = report["networks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|own| ["name", "licence"].map(|key| own[key].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(used, [["clip-points", "made up too"], ["clip-detector", "seen by nobody"]]);
    assert_ne!(report["body"], "made-up");
    // The network says that the person stands with hanging arms, which they do in the first frame alone.
    let points: Vec<Vec<[f64; 2]>> = read(&json(&PLACE.join("clip.json")), "points");
    for (n, (found, points)) in found.iter().zip(&points).enumerate() {
        let points = [0, 1, 2, 3, 4, 5, 12, 13, 14, 15, 16, 17].map(|k: usize| points[k]);
        let away = found.pixels.iter().zip(points).map(|(&a, b)| distance(a, b)).sum::<f64>() / 12.0;
        assert!(away < 8.0, "frame {n}: {away} px");
    }
    let (found, report) = process("standing", &["clip-points", "--detector", "clip-blind"]);
    assert!(report["people"] == 0 && found.iter().all(Vec::is_empty), "{report}");
}

#[test]
fn vertices_alone_are_drawn_and_exported_and_the_report_says_what_they_became() {
    let (found, report) = process_one("standing", &["vertices", "--formats", "glb,npz"]);
    assert_eq!((report["body"].as_str(), report["bodies"].as_u64()), (Some("made-up"), Some(found.len() as u64)));
    let warnings: Vec<String> = read(&report, "warnings");
    assert!(warnings.iter().any(|text| text.contains("gives vertices and no pose")), "{warnings:?}");
    let folder = PLACE.join("standing-vertices--formatsglb,npz");
    assert!(["mp4", "glb", "npz"].iter().all(|ending| folder.join(format!("standing.{ending}")).is_file()));
    // Hips and shoulders are where they are in the clip; the network's knee and elbow do not move.
    let about = json(&PLACE.join("clip.json"));
    let (joints, chosen): (Vec<Vec<[f64; 3]>>, Vec<usize>) =
        (read(&about["standing"], "joints"), read(&about, "coco_joints"));
    for (n, found) in found.iter().enumerate().filter(|(_, found)| found.is_seen) {
        for k in [0, 1, 6, 7] {
            let expected = less(joints[n][chosen[k]], joints[n][0]);
            let away = distance(less(found.metres[k], found.root), expected);
            assert!(away < 4e-3, "frame {n}, joint {k}: {away} m");
        }
    }
}

#[test]
fn the_body_that_a_network_drives_is_not_another() {
    let output = run(meshreel_with(&PLACE).args(["process", "standing.mp4", "--model", "clip", "--body", "other"]));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("made-up") && said.contains("other"), "{said}");
}
