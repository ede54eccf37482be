//! `meshreel process` from the command line to the files it leaves.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{ffmpeg, ffprobe, meshreel, motion, names, run, sample, stream_md5};
use serde_json::Value;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Some seconds of the sample clip with both people in it, re-encoded so that it starts at its first frame.
fn short_sample(folder: &Path, seconds: f64) -> std::path::PathBuf {
    let path = folder.join("short.mp4");
    ffmpeg(
        &format!("-ss 2 -i {{}} -t {seconds} -c:v libx264 -preset ultrafast -crf 12 -c:a copy {{}}"),
        &[&sample(), &path],
    );
    path
}

#[test]
fn the_sample_clip_comes_out_whole() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(meshreel(folder.path()).arg("process").arg(sample()).args(["-o", "out"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = folder.path().join("out");
    assert_eq!(names(&out), ["demo.motion.jsonl", "demo.mp4", "demo.report.json"]);

    let entries = "-count_packets -select_streams v -show_entries stream=width,height,nb_read_packets,avg_frame_rate,color_space,color_range -of compact";
    assert_eq!(ffprobe(entries, &out.join("demo.mp4")), ffprobe(entries, &sample()));
    assert_eq!(stream_md5(&out.join("demo.mp4"), "a:0", true), stream_md5(&sample(), "a:0", true));

    let rows = motion(&out.join("demo.motion.jsonl"));
    assert_eq!(rows[0]["meshreel"], 1);
    assert_eq!(rows[0]["video"]["frames"], 230);
    assert_eq!(rows.len(), 231);
    let mut frames_of = BTreeMap::new();
    for (index, row) in rows[1..].iter().enumerate() {
        assert_eq!(row["frame"], index);
        for person in row["people"].as_array().unwrap() {
            *frames_of.entry(person["id"].as_u64().unwrap()).or_insert(0) += 1;
            assert_eq!(person["keypoints2d"].as_array().unwrap().len(), 17);
            assert_eq!(
                person["rotations"].as_array().unwrap().len(),
                rows[0]["body"]["joints"].as_array().unwrap().len()
            );
        }
    }
    // Two people, one id each, as long as they are in the picture (the second walks in at frame 43); nobody in the tree.
    assert_eq!(frames_of.keys().copied().collect::<Vec<u64>>(), [1, 2], "{frames_of:?}");
    assert!(frames_of[&1] >= 222 && frames_of[&2] >= 165, "{frames_of:?}");

    // In the middle of the somersault the man's nose is below his hips.
    for row in &rows[1..][169..=175] {
        let man = row["people"].as_array().unwrap().iter().find(|p| p["id"] == 1).unwrap();
        let y = |keypoint: usize| man["keypoints2d"][keypoint][1].as_f64().unwrap();
        assert!(y(0) > f64::midpoint(y(11), y(12)) + 20.0, "frame {}", row["frame"]);
    }

    let report: Value = serde_json::from_slice(&std::fs::read(out.join("demo.report.json")).unwrap()).unwrap();
    assert_eq!(report["frames"], 230);
    assert_eq!(report["people"], 2);
    assert!(report["stages"]["render_wait"]["p95_ms"].is_number());
    assert_eq!(report["stages"]["decode"]["count"], 2 * 230, "each frame in both passes");
}

#[test]
fn the_motion_does_not_depend_on_the_number_of_workers() {
    let folder = tempfile::tempdir().unwrap();
    let clip = short_sample(folder.path(), 1.5);
    let mut results = Vec::new();
    for workers in ["1", "2", "5", "2"] {
        let output = run(meshreel(folder.path()).arg("process").arg(&clip).args(["-o", "out", "--workers", workers]));
        assert!(output.status.success(), "{}", text(&output.stderr));
        results.push(std::fs::read(folder.path().join("out/short.motion.jsonl")).unwrap());
    }
    assert!(text(&results[0]).contains("\"id\":2"), "both people are found");
    assert!(results.iter().all(|r| *r == results[0]));
}

#[test]
fn a_picture_that_lies_on_its_side_shows_the_same_people() {
    let folder = tempfile::tempdir().unwrap();
    let [upright, lying] = ["upright.mp4", "lying.mp4"].map(|name| folder.path().join(name));
    let scaled = "-ss 2 -i {} -t 1.5 -an -c:v libx264 -preset ultrafast -crf 12 -vf scale=1280:720";
    ffmpeg(&format!("{scaled} {{}}"), &[&sample(), &upright]);
    ffmpeg(&format!("{scaled},transpose=clock {{}}"), &[&sample(), &lying]);
    let output = run(meshreel(folder.path()).arg("process").args([&upright, &lying]).args(["-o", "out"]));
    assert!(output.status.success(), "{}", text(&output.stderr));

    let rows = |name: &str| motion(&folder.path().join("out").join(name));
    for (upright, lying) in rows("upright.motion.jsonl")[1..].iter().zip(&rows("lying.motion.jsonl")[1..]) {
        let [upright, lying] = [upright, lying].map(|row| row["people"].as_array().unwrap());
        assert_eq!(upright.len(), lying.len(), "{lying:?}");
        let at = |point: &Value| [0, 1].map(|axis| point[axis].as_f64().unwrap());
        for person in upright {
            let off = |other: &Value| {
                let points = |p: &Value| p["keypoints2d"].as_array().unwrap().iter().map(at).collect::<Vec<_>>();
                let apart =
                    |([x, y], [turned_x, turned_y]): ([f64; 2], [f64; 2])| (turned_y - x).hypot(719.0 - turned_x - y);
                points(person).into_iter().zip(points(other)).map(apart).sum::<f64>() / 17.0
            };
            let height = person["box"][3].as_f64().unwrap();
            let nearest = lying.iter().map(off).fold(f64::INFINITY, f64::min);
            assert!(nearest < 0.1 * height, "{nearest} pixels off");
        }
    }
}

/// A still of the sample clip, filtered so, and the only person in it: where each of COCO's points is.
fn only_person(folder: &Path, name: &str, frame: u32, filters: &str) -> Vec<[f64; 2]> {
    let picture = folder.join(format!("{name}.png"));
    ffmpeg(&format!("-i {{}} -vf select=eq(n\\,{frame}),{filters} -frames:v 1 {{}}"), &[&sample(), &picture]);
    let output = run(meshreel(folder).arg("process").arg(&picture).args(["-o", "out"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let rows = motion(&folder.join(format!("out/{name}.motion.jsonl")));
    let people = rows[1]["people"].as_array().unwrap();
    assert_eq!(people.len(), 1, "{name}: {}", text(&output.stderr));
    let at = |point: &Value| [0, 1].map(|axis| point[axis].as_f64().unwrap());
    people[0]["keypoints2d"].as_array().unwrap().iter().map(at).collect()
}

#[test]
fn of_head_and_shoulders_the_rest_hangs_below_the_picture() {
    let folder = tempfile::tempdir().unwrap();
    let points = only_person(folder.path(), "shoulders", 20, "crop=220:130:530:60,scale=1200:-2");
    let [nose, shoulders, hips, ankles] = [&points[..1], &points[5..7], &points[11..13], &points[15..17]];
    assert!((485.0..685.0).contains(&nose[0][0]) && (150.0..350.0).contains(&nose[0][1]), "{nose:?}");
    assert!(shoulders.iter().all(|[_, y]| (300.0..650.0).contains(y)), "{shoulders:?}");
    assert!(hips.iter().chain(ankles).all(|[_, y]| *y > 700.0), "{points:?}");
}

#[test]
fn somebody_who_hangs_askew_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let filters = "crop=420:470:420:10,rotate=3*PI/4:ow=600:oh=600,scale=1000:-2";
    let points = only_person(folder.path(), "askew", 60, filters);
    let middle = |a: usize, b: usize| [0, 1].map(|axis| (points[a][axis] + points[b][axis]) / 2.0);
    let (shoulders, feet) = (middle(5, 6), middle(15, 16));
    assert!(shoulders[0] > 480.0 && shoulders[1] > 430.0 && feet[0] < 450.0 && feet[1] < 450.0, "{points:?}");
}

#[test]
fn one_frame_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("one.mp4");
    ffmpeg("-ss 3 -i {} -frames:v 1 -an -c:v libx264 -pix_fmt yuv420p {}", &[&sample(), &clip]);
    let output = run(meshreel(folder.path()).arg("process").arg(&clip).args(["-o", "out"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let rows = motion(&folder.path().join("out/one.motion.jsonl"));
    assert_eq!(rows.len(), 2, "the header and a frame");
    assert_eq!(rows[1]["people"].as_array().unwrap().len(), 2);
}

#[test]
fn nobody_in_the_picture_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("empty.mkv");
    ffmpeg("-f lavfi -i testsrc2=s=320x240:r=25:d=1 -c:v libx264 -qp 0 {}", &[&clip]);
    std::fs::write(folder.path().join("c.toml"), "[encode]\ncodec = \"ffv1\"\ncontainer = \"mkv\"\n").unwrap();
    let output = run(meshreel(folder.path()).args(["process", "--config", "c.toml"]).arg(&clip).args(["-o", "out"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("nobody"), "{}", text(&output.stderr));
    let result = folder.path().join("out/empty.mkv");
    // Encoded without loss, the video is the same to the last bit.
    assert_eq!(stream_md5(&result, "v", false), stream_md5(&clip, "v", false));
    let rows = motion(&folder.path().join("out/empty.motion.jsonl"));
    assert_eq!(rows.len(), 26);
    assert!(rows[1..].iter().all(|row| row["people"].as_array().unwrap().is_empty()));
}

#[test]
fn only_pixels_of_the_mesh_change() {
    let folder = tempfile::tempdir().unwrap();
    let clip = short_sample(folder.path(), 0.4);
    std::fs::write(folder.path().join("c.toml"), "[encode]\ncodec = \"ffv1\"\ncontainer = \"mkv\"\n").unwrap();
    let output = run(meshreel(folder.path()).args(["process", "--config", "c.toml"]).arg(&clip).args(["-o", "out"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let raw = |path: &Path| {
        let raw = folder.path().join("raw");
        ffmpeg("-i {} -f rawvideo -pix_fmt yuv420p {}", &[path, &raw]);
        std::fs::read(raw).unwrap()
    };
    let (before, after) = (raw(&clip), raw(&folder.path().join("out/short.mkv")));
    let rows = motion(&folder.path().join("out/short.motion.jsonl"));
    let (width, height) = (1768, 994);
    let frame_bytes = width * height * 3 / 2;
    assert_eq!(before.len(), after.len());
    let mut changed = 0;
    for (index, row) in rows[1..].iter().enumerate() {
        let boxes: Vec<Vec<f64>> = row["people"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["box"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect())
            .collect();
        let at = index * frame_bytes;
        for pixel in 0..width * height {
            if before[at + pixel] != after[at + pixel] {
                changed += 1;
                let (x, y) = ((pixel % width) as f64, (pixel / width) as f64);
                // The boxes are of the vertices; edges are antialiased into the neighbouring pixels.
                let inside = boxes
                    .iter()
                    .any(|b| x > b[0] - 8.0 && y > b[1] - 8.0 && x < b[0] + b[2] + 8.0 && y < b[1] + b[3] + 8.0);
                assert!(inside, "frame {index}: pixel {x},{y} changed outside {boxes:?}");
            }
        }
    }
    assert!(changed > 10_000, "something was drawn");
}

#[test]
fn a_bad_file_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good.mp4");
    ffmpeg("-f lavfi -i testsrc2=s=160x120:r=10:d=0.5 -pix_fmt yuv420p {}", &[&good]);
    std::fs::write(folder.path().join("bad\x1b[2J.mp4"), "this is not a video").unwrap();
    let output =
        run(meshreel(folder.path()).args(["process", "bad\x1b[2J.mp4", "missing.mp4", "good.mp4", "-o", "out"]));
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("2 of 3 files failed") && stderr.contains("missing.mp4"), "{stderr}");
    assert!(!stderr.contains('\x1b'), "escape sequences of file names must not reach the terminal: {stderr:?}");
    assert_eq!(names(&folder.path().join("out")), ["good.motion.jsonl", "good.mp4", "good.report.json"]);
}

#[test]
fn wrong_usage_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("c.toml"), "opactiy = 1\n").unwrap();
    for arguments in [
        &["process"][..],
        &["process", "a", "--opacity", "2"],
        &["process", "a", "--stature", "17"],
        &["process", "a", "--config", "c.toml"],
        &["prozess"],
    ] {
        let output = run(meshreel(folder.path()).args(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn the_result_never_replaces_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("a.mp4");
    ffmpeg("-f lavfi -i testsrc2=s=160x120:r=10:d=0.5 -pix_fmt yuv420p {}", &[&clip]);
    let before = std::fs::read(&clip).unwrap();
    let output = run(meshreel(folder.path()).args(["process", "a.mp4", "-o", "."]));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("overwrite"), "{}", text(&output.stderr));
    assert_eq!(std::fs::read(&clip).unwrap(), before);

    // Nor do the further files that it leaves.
    let gif = folder.path().join("b.gif");
    ffmpeg("-f lavfi -i testsrc2=s=160x120:r=10:d=0.5 {}", &[&gif]);
    let before = std::fs::read(&gif).unwrap();
    for overwrite in [&[][..], &["--overwrite"]] {
        let arguments = ["process", "b.gif", "-o", ".", "--also", "gif"];
        let output = run(meshreel(folder.path()).args(arguments).args(overwrite));
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("overwrite the video itself"), "{}", text(&output.stderr));
        assert_eq!(std::fs::read(&gif).unwrap(), before);
    }
}

/// A clip of half a second that is processed in a moment.
fn small(path: &Path) {
    ffmpeg("-f lavfi -i testsrc2=s=320x180:r=10:d=0.5 -pix_fmt yuv420p {}", &[path]);
}

#[test]
fn files_that_meshreel_did_not_make_are_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["clip.mov", "motion.mov", "report.mov", "folder.mov", "link.mov", "good.mov"] {
        small(&at(name));
    }
    for name in ["clip.mp4", "motion.motion.jsonl", "report.report.json"] {
        std::fs::write(at(name), "mine").unwrap();
    }
    std::fs::create_dir(at("folder.mp4")).unwrap();
    std::fs::write(at("precious"), "mine").unwrap();
    std::os::unix::fs::symlink("precious", at("link.mp4")).unwrap();
    let before = names(folder.path());
    let process = |arguments: &[&str]| {
        let output = run(meshreel(folder.path()).args(["process", "-o", ".", "--model", "lite"]).args(arguments));
        (output.status.code(), text(&output.stderr))
    };
    let all = ["clip.mov", "motion.mov", "report.mov", "folder.mov", "link.mov", "good.mov"];
    let (code, said) = process(&all);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("5 of 6 files failed"), "{said}");
    for name in ["clip.mp4", "motion.motion.jsonl", "report.report.json", "folder.mp4", "link.mp4"] {
        let line = said.lines().find(|line| line.contains(name)).unwrap();
        assert_eq!(line.contains("--overwrite"), name != "folder.mp4", "{line}");
    }
    for name in ["clip.mp4", "motion.motion.jsonl", "report.report.json", "precious"] {
        assert_eq!(std::fs::read_to_string(at(name)).unwrap(), "mine");
    }
    assert_eq!(names(folder.path()).len(), before.len() + 3, "only good.mov has results: {said}");

    // Its own results are replaced, by whatever way the same video is named; those of another video of that name are not.
    let report = || serde_json::from_slice::<Value>(&std::fs::read(at("good.report.json")).unwrap()).unwrap();
    let whole = |name: &str| at(name).canonicalize().unwrap().to_string_lossy().into_owned();
    assert_eq!(report()["source"].as_str().unwrap(), whole("good.mov"));
    assert_eq!(report()["output"].as_str().unwrap(), whole("good.mp4"));
    std::fs::create_dir(at("sub")).unwrap();
    for same in ["./good.mov", "sub/../good.mov", &whole("good.mov")] {
        let (code, said) = process(&[same]);
        assert_eq!(code, Some(0), "{same}: {said}");
    }
    std::fs::copy(at("good.mov"), at("sub/good.mov")).unwrap();
    let (code, said) = process(&["sub/good.mov"]);
    assert!(code == Some(1) && said.contains("good.mp4 is there already"), "{said}");

    let (code, said) = process(&["--overwrite", "clip.mov", "motion.mov", "report.mov", "link.mov", "sub/good.mov"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(std::fs::read_to_string(at("precious")).unwrap(), "mine", "a link is replaced, not what it points to");
    let (code, said) = process(&["--overwrite", "folder.mov"]);
    assert!(code == Some(1) && at("folder.mp4").is_dir(), "{said}");
}

#[test]
fn each_line_names_its_file_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    small(&at("whole.mp4"));
    let bytes = std::fs::read(at("whole.mp4")).unwrap();
    std::fs::write(at("truncated.mp4"), &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(at("text.mp4"), "this is no video").unwrap();
    std::fs::write(at("empty.mp4"), "").unwrap();
    std::fs::write(at("list.mp4"), "ffconcat version 1.0\nfile 'whole.mp4'\n").unwrap();
    ffmpeg("-f lavfi -i sine=d=0.5 {}", &[&at("sound.mp4")]);
    std::fs::create_dir(at("folder.mp4")).unwrap();
    let broken = ["truncated.mp4", "text.mp4", "empty.mp4", "list.mp4", "sound.mp4", "folder.mp4", "missing.mp4"];
    for name in broken {
        let output = run(meshreel(folder.path()).args(["process", "-o", "out", name]));
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        assert!(said.starts_with(&format!("{name}: ")) && said.matches(name).count() == 1, "{said}");
    }
    assert_eq!(names(&at("out")), [""; 0]);
}

#[test]
fn a_signal_leaves_nothing_behind() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let mut child = meshreel(folder.path())
        .arg("process")
        .arg(sample())
        .args(["-o", "out", "--progress", "json"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut signalled = false;
    for line in lines {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if !signalled && event["event"] == "progress" {
            assert!(common::signal("-INT", child.id()));
            signalled = true;
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(names(&folder.path().join("out")), [""; 0]);
}

#[test]
fn mask_is_white_on_black() {
    let folder = tempfile::tempdir().unwrap();
    let clip = short_sample(folder.path(), 0.3);
    let output = run(meshreel(folder.path()).args(["process", "--style", "mask"]).arg(&clip).args(["-o", "out"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let raw = folder.path().join("raw");
    ffmpeg(
        "-i {} -vf scale=1768:994:out_range=pc -f rawvideo -pix_fmt gray {}",
        &[&folder.path().join("out/short.mp4"), &raw],
    );
    let samples = std::fs::read(raw).unwrap();
    let black = samples.iter().filter(|&&v| v < 8).count();
    let white = samples.iter().filter(|&&v| v > 247).count();
    assert!(white * 200 > samples.len(), "{white} of {} are white", samples.len());
    assert!((black + white) * 100 > samples.len() * 97, "{black} black and {white} white of {}", samples.len());
}

#[test]
fn verbose_logs_each_render() {
    let folder = tempfile::tempdir().unwrap();
    let clip = short_sample(folder.path(), 0.3);
    let output = run(meshreel(folder.path()).args(["process", "-v"]).arg(&clip).args(["-o", "out"]));
    let stderr = text(&output.stderr);
    let line = stderr.lines().find(|l| l.contains("frame 0: render start, ")).unwrap_or_else(|| panic!("{stderr}"));
    assert!(line.contains(" vertices ") && line.contains(" faces, waited ") && line.ends_with(" ms"), "{line}");
    assert!(stderr.contains("frame 0: rendered in "), "{stderr}");
    assert!(stderr.contains("batch from frame 0: "), "{stderr}");
}
