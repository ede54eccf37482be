//! `meshreel export` and `[output] formats`: what other programs read.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod common;

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{ffmpeg, meshreel, names, run, sample};

const ALL: &str = "glb,bvh,trc,mot,c3d,npz,csv,coco,openpose";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The folder with other programs' readers, which set-up for tests fills.
fn readers() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers");
    assert!(folder.join(".venv").is_dir(), "{} has no .venv; run `make setup-tests`", folder.display());
    folder
}

fn python(script: &str) -> Command {
    let mut command = Command::new(readers().join(".venv/bin/python"));
    command.arg(readers().join(script)).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Has the independent readers look at what was exported of a motion file.
fn check(folder: &Path, motion: &Path) {
    let output = run(python("check.py").arg(folder).arg(motion));
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

fn export(folder: &Path, motion: &str, arguments: &[&str]) -> Output {
    run(meshreel(folder).args(["export", motion]).args(arguments))
}

#[test]
fn other_programs_read_the_motion_of_hard_clips() {
    let folder = tempfile::tempdir().unwrap();
    let made = run(python("make_motion.py").arg(folder.path()));
    assert!(made.status.success(), "{}", text(&made.stderr));
    let motions: Vec<String> =
        names(folder.path()).into_iter().filter(|name| name.ends_with(".motion.jsonl")).collect();
    assert!(motions.len() >= 8, "{motions:?}");
    for motion in motions {
        let output = export(folder.path(), &motion, &["--format", ALL, "-o", "out"]);
        assert!(output.status.success(), "{motion}: {}", text(&output.stderr));
        check(&folder.path().join("out"), &folder.path().join(&motion));
    }
    let left = names(&folder.path().join("out")).into_iter().find(|name| name.starts_with('.'));
    assert_eq!(left, None, "nothing is left half-written");
}

#[test]
fn a_job_exports_what_its_settings_say_in_the_same_step() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("short.mp4");
    ffmpeg("-ss 1 -i {} -t 1.2 -an -c:v libx264 -preset ultrafast -crf 12 {}", &[&sample(), &clip]);
    let out = folder.path().join("out");
    let process = |arguments: &[&str]| {
        let output = run(meshreel(folder.path()).arg("process").arg(&clip).args(["-o", "out"]).args(arguments));
        (output.status.code(), text(&output.stderr))
    };
    assert_eq!(process(&["--formats", ALL]).0, Some(0));
    check(&out, &out.join("short.motion.jsonl"));
    let own = ["short.motion.jsonl", "short.mp4", "short.report.json"];
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join(own[2])).unwrap()).unwrap();
    let listed: Vec<&str> = report["exports"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let mut all: Vec<String> = listed.iter().chain(&own).map(|name| (*name).to_owned()).collect();
    all.sort();
    assert_eq!(names(&out), all, "all that is there is listed");
    assert!(listed.contains(&"short.openpose") && listed.contains(&"short.p1.bvh"), "{listed:?}");

    // Earlier exports are replaced, and those that are not asked for any more go.
    std::fs::write(folder.path().join("c.toml"), "[output]\nformats = [\"glb\", \"openpose\"]\n").unwrap();
    let keypoints = |frame: u32| out.join(format!("short.openpose/short_{frame:012}_keypoints.json"));
    std::fs::write(out.join("short.openpose/notes.txt"), "mine").unwrap();
    std::fs::write(keypoints(999), "of a longer clip").unwrap();
    let (code, error) = process(&["--config", "c.toml"]);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(std::fs::read_to_string(out.join("short.openpose/notes.txt")).unwrap(), "mine");
    assert!(keypoints(0).is_file() && !keypoints(999).exists());
    assert_eq!(
        names(&out),
        ["short.blender.py", "short.glb", "short.motion.jsonl", "short.mp4", "short.openpose", "short.report.json"]
    );

    // Somebody else's file is not.
    std::fs::write(out.join("short.npz"), "mine").unwrap();
    let (code, error) = process(&["--formats", "npz"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("short.npz is there already"), "{error}");
    assert_eq!(std::fs::read_to_string(out.join("short.npz")).unwrap(), "mine");
    assert!(out.join("short.glb").is_file());

    // Of a folder that is not made any more, what others put there stays.
    assert_eq!(process(&["--formats", "csv"]).0, Some(0));
    assert!(!out.join("short.glb").exists() && out.join("short.wide.csv").is_file());
    assert_eq!(names(&out.join("short.openpose")), ["notes.txt"]);
    // Without a report that names it, it is somebody else's; what it holds stays whatever was asked for.
    assert_eq!(process(&["--formats", "openpose"]).0, Some(1));
    assert_eq!(process(&["--formats", "openpose", "--overwrite"]).0, Some(0));
    assert!(out.join("short.openpose/notes.txt").is_file() && keypoints(0).is_file());

    // Drawn again, the exports stay with their motion, and go with another one.
    let render = |motion: &Path| {
        let output =
            run(meshreel(folder.path()).arg("render").arg(&clip).arg("--motion").arg(motion).args(["-o", "out"]));
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    let motion = out.join("short.motion.jsonl");
    let other = folder.path().join("other.motion.jsonl");
    let told = std::fs::read_to_string(&motion).unwrap();
    std::fs::write(&other, told.replacen("\"score\":", "\"score\":0.5,\"was\":", 1)).unwrap();
    render(&motion);
    assert!(keypoints(0).is_file());
    let said = render(&other);
    assert!(said.contains("are removed: short.openpose"), "{said}");
    assert!(!keypoints(0).exists());
}

#[test]
fn exports_take_no_place_that_is_not_theirs() {
    let folder = tempfile::tempdir().unwrap();
    assert!(run(python("make_motion.py").arg(folder.path())).status.success());
    let at = |name: &str| folder.path().join(name);
    let told = |arguments: &[&str]| {
        let output = export(folder.path(), "walk.motion.jsonl", arguments);
        (output.status.code().unwrap(), text(&output.stderr))
    };
    std::fs::create_dir(at("walk.openpose")).unwrap();
    std::fs::write(at("walk.openpose/notes.txt"), "mine").unwrap();
    let (code, error) = told(&["--format", "openpose"]);
    assert!(code == 1 && error.contains("replace it with --overwrite"), "{error}");
    assert_eq!(told(&["--format", "openpose", "--overwrite"]).0, 0);
    assert_eq!(std::fs::read_to_string(at("walk.openpose/notes.txt")).unwrap(), "mine");
    assert!(at("walk.openpose/walk_000000000000_keypoints.json").is_file());
    std::fs::create_dir(at("walk.glb")).unwrap();
    let (code, error) = told(&["--format", "glb", "--overwrite"]);
    assert!(code == 1 && !error.contains("--overwrite") && at("walk.glb").is_dir(), "{error}");

    for (arguments, said) in [
        (&["--format", "glb", "-o", "we.csv"][..], "names no glb file; end it in .glb"),
        (&["--format", "coco", "-o", "we.csv"], "end it in .json"),
        (&["--format", "csv", "-o", "a.gltf"], "end it in .csv"),
        (&["--format", "csv", "-o", "walk.motion.jsonl"], "end it in .csv"),
        (&["--format", "csv", "-o", "-"], "neither a file nor a folder"),
        (&["--format", "csv", "-o", "/dev/null"], "neither a file nor a folder"),
    ] {
        let (code, error) = told(arguments);
        assert!(code == 2 && error.contains(said), "{arguments:?}: {code} {error}");
    }
    assert_eq!(told(&["--format", "coco", "-o", "a.coco.json"]).0, 0);
    assert!(at("a.coco.json").is_file() && at("a.coco.images.json").is_file());
    assert_eq!(told(&["--format", "csv", "-o", "out.txt/"]).0, 0);
    assert!(at("out.txt/walk.csv").is_file());
    // A pipe is no motion.
    assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    assert_eq!(export(folder.path(), "pipe", &["--format", "csv"]).status.code(), Some(1));
    // A motion file by another name is not written over, and no folder is left where nothing was exported.
    std::fs::copy(at("walk.motion.jsonl"), at("moves.csv")).unwrap();
    let output = export(folder.path(), "moves.csv", &["--format", "csv", "--overwrite"]);
    assert!(text(&output.stderr).contains("overwrite the motion file itself"), "{}", text(&output.stderr));
    std::fs::write(at("bad.motion.jsonl"), "{}").unwrap();
    assert_eq!(export(folder.path(), "bad.motion.jsonl", &["--format", "csv", "-o", "new"]).status.code(), Some(1));
    assert!(!at("new").exists());
    // Names need not be of any alphabet.
    let name = std::ffi::OsStr::from_bytes(b"a\xff.motion.jsonl");
    std::fs::copy(at("walk.motion.jsonl"), folder.path().join(name)).unwrap();
    let output = run(meshreel(folder.path()).arg("export").arg(name).args(["--format", "csv"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(folder.path().join(std::ffi::OsStr::from_bytes(b"a\xff.wide.csv")).is_file());
}

#[test]
fn exports_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    assert!(run(python("make_motion.py").arg(folder.path())).status.success());
    let refused = |motion: &str, arguments: &[&str]| {
        let output = export(folder.path(), motion, arguments);
        (output.status.code().unwrap(), text(&output.stderr))
    };
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("old.motion.jsonl"), "{\"meshreel\":1,\"video\":{}}\n").unwrap();
    std::fs::write(at("later.motion.jsonl"), "{\"meshreel\":3}\n").unwrap();
    std::fs::write(at("video.mp4"), [0u8; 100]).unwrap();
    for (name, said) in [
        ("none.motion.jsonl", "No such file"),
        ("old.motion.jsonl", "another version"),
        ("later.motion.jsonl", "its version is 3"),
        ("video.mp4", "is no motion file"),
        (".", "is no motion file"),
    ] {
        let (code, error) = refused(name, &["--format", "glb"]);
        assert!(code == 1 && error.contains(said), "{name}: {code} {error}");
    }
    // Cut short, or with a line that was changed.
    let whole = std::fs::read_to_string(at("walk.motion.jsonl")).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let cut = lines[..20].join("\n");
    for (damaged, said) in [
        (cut.clone(), "19 frames follow the header"),
        (cut + "\n{\"frame\": 19, \"ti", ":21: it is no frame"),
        (whole.replacen("\"frame\": 5,", "\"frame\": 6,", 1), ":7: it is frame 6"),
        (whole.replacen("\"id\": 1,", "\"id\": 77,", 3), "knows no person"),
        (whole.replacen("\"fps\": 29.97", "\"fps\": 1e300, \"was\": 29.97", 1), ":1: its video has"),
        (whole.replacen("\"parents\": [", "\"parents\": [\"none\", ", 1), ":1: it is no whole header"),
    ] {
        std::fs::write(at("damaged.motion.jsonl"), damaged).unwrap();
        let (code, error) = refused("damaged.motion.jsonl", &["--format", "csv"]);
        assert!(code == 1 && error.contains(said), "{said}: {code} {error}");
    }
    for (arguments, said) in [
        (&["--format", "glb", "--person", "9"][..], "there is no person 9 in the clip; there are 1, 2"),
        (&["--format", "bvh", "-o", "a.bvh"], "choose one with --person"),
        (&["--format", "bvh,glb", "-o", "a.glb"], "several formats"),
        (&["--format", "fbx"], "invalid value 'fbx'"),
        (&["--format", "glb", "--camera-pitch", "nan"], "from -180 to 180"),
    ] {
        let (code, error) = refused("walk.motion.jsonl", arguments);
        assert!(code == 2 && error.contains(said), "{arguments:?}: {code} {error}");
    }
    assert!(
        names(folder.path())
            .iter()
            .all(|name| name.ends_with("jsonl") || name.ends_with("json") || name == "video.mp4")
    );

    // One person in one file, never over another one without being told.
    let one = ["--format", "bvh", "--person", "1", "-o", "one.bvh"];
    assert_eq!(refused("walk.motion.jsonl", &one).0, 0);
    std::fs::write(at("one.bvh"), "mine").unwrap();
    let (code, error) = refused("walk.motion.jsonl", &one);
    assert!(code == 1 && error.contains("--overwrite"), "{error}");
    assert_eq!(std::fs::read_to_string(at("one.bvh")).unwrap(), "mine");
    assert_eq!(refused("walk.motion.jsonl", &[&one[..], &["--overwrite"]].concat()).0, 0);
    assert!(std::fs::read_to_string(at("one.bvh")).unwrap().starts_with("HIERARCHY"));
}

#[test]
fn the_user_says_where_the_camera_is() {
    let folder = tempfile::tempdir().unwrap();
    assert!(run(python("make_motion.py").arg(folder.path())).status.success());
    let head = |arguments: &[&str]| {
        let output =
            export(folder.path(), "unknown.motion.jsonl", &[&["--format", "csv", "--overwrite"], arguments].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let table = std::fs::read_to_string(folder.path().join("unknown.csv")).unwrap();
        (table.lines().next().unwrap().to_owned(), text(&output.stdout))
    };
    let (comment, said) = head(&[]);
    assert!(comment.contains("frame camera") && said.contains("--camera-pitch"), "{comment} {said}");
    let (comment, said) = head(&["--camera-pitch", "-12.5", "--floor", "1.4"]);
    assert!(comment.contains("frame world") && comment.contains("up from user"), "{comment}");
    assert!(!said.contains("--camera-pitch"), "{said}");
}

/// Runs a script for Blender with a stand-in for it, and says which files it opens.
const STAND_IN: &str = r#"
import os, runpy, sys
from unittest.mock import MagicMock

bpy = sys.modules["bpy"] = MagicMock()
bpy.context.scene.objects = [MagicMock(type="CAMERA")]
script = sys.argv[1]
sys.argv[1:] = []
runpy.run_path(script)
opened = [bpy.ops.import_scene.gltf.call_args.kwargs["filepath"], bpy.data.movieclips.load.call_args.args[0]]
assert all(os.path.isfile(path) for path in opened), opened
print([os.fsencode(os.path.basename(path)) for path in opened])
"#;

#[test]
fn blender_opens_files_whose_names_are_no_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    assert!(run(python("make_motion.py").arg(folder.path())).status.success());
    let at = |name: &[u8]| folder.path().join(OsStr::from_bytes(name));
    // In the motion file the video's name is text, with a mark for what is none.
    let motion = std::fs::read_to_string(at(b"photo.motion.jsonl")).unwrap();
    let motion = motion.replacen("synthetic.mp4", "v\u{fffd}[1].mp4", 1);
    std::fs::write(at(b"a\xfd.motion.jsonl"), motion).unwrap();
    std::fs::write(at(b"v\xfe[1].mp4"), "").unwrap();
    let mut export = meshreel(folder.path());
    export.arg("export").arg(at(b"a\xfd.motion.jsonl")).args(["--format", "glb", "-o"]);
    let output = run(export.arg(at(b"b\xff.glb")));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output =
        run(Command::new(readers().join(".venv/bin/python")).args(["-c", STAND_IN]).arg(at(b"b\xff.blender.py")));
    assert_eq!(text(&output.stdout).trim(), r"[b'b\xff.glb', b'v\xfe[1].mp4']", "{}", text(&output.stderr));
}
