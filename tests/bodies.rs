//! A made-up body in SMPL's layout and size, from its file to the video: `tests/bodies/make_smpl.py` makes it.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use common::{ffmpeg, meshreel_with, motion, names, run, sample, succeed, with_models};
use glam::{DQuat, DVec3};
use meshreel::body::{Body, Pose};

/// Numbers of a pose: a rotation vector for each joint, and the shape.
const POSE: usize = 24 * 3 + 10;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder with the files of the made-up body, with a folder of models into which its npz file was imported as `made-up`, and with a
/// configuration that names it. One for all tests.
static PLACE: LazyLock<PathBuf> = LazyLock::new(|| {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bodies");
    with_models(&place);
    // The package smplx takes the place of the formula where somebody names a Python that has it.
    let built = Path::new(env!("CARGO_MANIFEST_DIR"));
    let smplx = std::env::var_os("MESHREEL_SMPLX_PYTHON");
    let mut python = Command::new(smplx.clone().unwrap_or_else(|| built.join("models/.venv/bin/python").into()));
    python.arg(built.join("tests/bodies/make_smpl.py")).arg(built.join("models/body.safetensors")).arg(&place);
    succeed(python.args(smplx.map(|_| "--smplx")));
    let output = import(&place, "made-up.npz", "made-up");
    assert!(output.status.success(), "{}", text(&output.stderr));
    place
});

fn import(place: &Path, file: &str, name: &str) -> Output {
    run(meshreel_with(place).args(["models", "import-smpl", file, "-o", name, "--overwrite"]))
}

fn floats(path: &Path) -> Vec<f64> {
    let bytes = std::fs::read(path).unwrap();
    bytes.as_chunks::<8>().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()
}

/// Vertices of the body in the axes of SMPL, for a rotation vector for each joint and a shape.
fn vertices(body: &Body, root: DVec3, numbers: &[f64]) -> Vec<DVec3> {
    let (vectors, shape) = numbers.split_at(POSE - 10);
    let turned = |v: &[f64; 3]| DQuat::from_scaled_axis(DVec3::new(v[0], -v[1], -v[2]));
    let rotations = vectors.as_chunks::<3>().0.iter().map(turned).collect();
    // The root joint moves with the shape, which the file's axes have and meshreel's have not.
    let root = root + body.rest_joints(shape)[0];
    let pose = Pose { position: root, rotations, confidence: Vec::new() };
    let back = |v: [f32; 3]| DVec3::new(v[0].into(), -f64::from(v[1]), -f64::from(v[2]));
    body.posed_vertices(&pose, shape).into_iter().map(back).collect()
}

#[test]
fn an_imported_body_has_its_vertices_where_the_published_formula_has_them() {
    let place = &*PLACE;
    let body = Body::load(&place.join("models/bodies/made-up.safetensors")).unwrap();
    assert_eq!((body.vertices.len(), body.faces.len(), body.joint_count(), body.shapes), (6890, 13776, 24, 10));
    assert_eq!(body.pose_directions(), 207);
    // Where `make_smpl.py` has the root joint, in meshreel's axes.
    let root = DVec3::new(-0.002, 0.22, -0.03);
    let expected = floats(&place.join("vertices.f64"));
    let mut farthest: f64 = 0.0;
    for (numbers, expected) in floats(&place.join("poses.f64")).chunks(POSE).zip(expected.chunks(6890 * 3)) {
        let found = vertices(&body, root, numbers);
        for (found, &expected) in found.iter().zip(expected.as_chunks::<3>().0) {
            farthest = farthest.max(found.distance(DVec3::from(expected)));
        }
    }
    println!("at most {farthest:.2e} m off");
    assert!(farthest < 1e-4 && expected.len() == 10 * 6890 * 3, "{farthest} m off");
}

#[test]
fn npz_and_pickles_of_old_and_new_programs_are_the_same_body() {
    let place = &*PLACE;
    let imported = |name: &str| Body::load(&place.join(format!("models/bodies/{name}.safetensors"))).unwrap();
    let expected = imported("made-up");
    for file in names(place).into_iter().filter(|name| name.ends_with(".pkl")) {
        let output = import(place, &file, "pickled");
        assert!(output.status.success(), "{file}: {}", text(&output.stderr));
        let said = text(&output.stdout);
        assert!(said.contains("207 pose directions") && said.contains("0.00"), "{said}");
        let body = imported("pickled");
        let is_same =
            body.posed_vertices(&bent(&body), &[1.0; 10]) == expected.posed_vertices(&bent(&body), &[1.0; 10]);
        assert!(is_same && body.joint_names == expected.joint_names, "{file}");
        assert!(body.licence.contains(&file), "{}", body.licence);
    }
}

fn bent(body: &Body) -> Pose {
    let rotations = (0..body.joint_count()).map(|joint| DQuat::from_rotation_x(0.1 * joint as f64)).collect();
    Pose { position: DVec3::new(0.0, 0.0, 4.0), rotations, confidence: Vec::new() }
}

#[test]
fn a_pickle_that_is_a_program_is_refused_and_does_nothing() {
    let place = &*PLACE;
    let trace = place.join("executed");
    let shell = format!("cposix\nsystem\n(S'touch {}'\ntR.", trace.display());
    let hidden = format!("(dp0\nS'v_template'\nc__builtin__\neval\n(S'open(\"{}\", \"w\")'\ntRs.", trace.display());
    for (program, name) in [(shell, "posix.system"), (hidden, "__builtin__.eval")] {
        std::fs::write(place.join("program.pickle"), program).unwrap();
        let output = import(place, "program.pickle", "program");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(said.contains(name) && said.contains("nothing of it was executed"), "{said}");
    }
    assert!(!trace.exists() && !place.join("models/bodies/program.safetensors").exists());
}

#[test]
fn bodies_with_fingers_are_fitted_and_exported() {
    let place = &*PLACE;
    let clip = place.join("fingers.mp4");
    ffmpeg("-i {} -frames:v 8 -c:v libx264 -preset ultrafast -an {}", &[&sample(), &clip]);
    let built = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (like, joints) in [("smplh", 52), ("smplx", 55)] {
        let mut python = Command::new(built.join("models/.venv/bin/python"));
        python.arg(built.join("tests/bodies/make_smpl.py")).arg(built.join("models/body.safetensors"));
        let output = run(python.arg(place).args(["--like", like]));
        assert!(output.status.success(), "{}", text(&output.stderr));
        let output = import(place, &format!("{like}.npz"), like);
        assert!(output.status.success() && text(&output.stdout).contains(&format!("{joints} joints")));
        let output = run(meshreel_with(place)
            .args(["process", "fingers.mp4", "-o", like, "--body", like, "--model", "lite"])
            .args(["--formats", "glb,bvh,trc,mot,c3d,npz,csv"]));
        assert!(output.status.success(), "{}", text(&output.stderr));
        let bvh = std::fs::read_to_string(place.join(like).join("fingers.p1.bvh")).unwrap();
        assert!(bvh.contains("JOINT LeftHandIndex3") && bvh.contains("JOINT RightToeBase"));
    }
}

#[test]
fn an_imported_body_goes_all_the_way_to_the_video() {
    let place = &*PLACE;
    let clip = place.join("short.mp4");
    ffmpeg("-i {} -t 1 -c:v libx264 -preset ultrafast -an {}", &[&sample(), &clip]);
    let missing = run(meshreel_with(place).args(["process", "short.mp4", "--body", "nobody"]));
    let said = text(&missing.stderr);
    assert!(!missing.status.success() && said.contains("\"nobody\"") && said.contains("import-smpl"), "{said}");
    let output = run(meshreel_with(place)
        .args(["process", "short.mp4", "-o", "out", "--body", "made-up", "--workers", "2"])
        .args(["--formats", "glb,bvh,trc,mot,c3d,npz,csv,coco,openpose", "--report"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(place.join("out/short.report.json")).unwrap()).unwrap();
    assert_eq!((report["body"].as_str(), report["people"].as_u64()), (Some("made-up"), Some(1)), "{report}");
    assert!(report["body_licence"].as_str().unwrap().contains("made-up.npz"));
    assert!(report["warnings"].to_string().contains("linear skinning"), "{report}");
    let lines = motion(&place.join("out/short.motion.jsonl"));
    let header = &lines[0]["body"];
    assert_eq!((header["name"].as_str(), header["joints"].as_array().unwrap().len()), (Some("made-up"), 24));
    assert!(report["bodies"].as_u64().unwrap() >= 25, "{report}");
    let glb = std::fs::read(place.join("out/short.glb")).unwrap();
    assert!(glb.windows(13).any(|bytes| bytes == b"\"copyright\":\""));
    let csv = std::fs::read_to_string(place.join("out/short.csv")).unwrap();
    assert!(csv.lines().next().unwrap().contains("made-up"), "{}", csv.lines().next().unwrap());
    // Drawn again it is the same body, be another one in the configuration or not.
    let again = run(meshreel_with(place)
        .args(["render", "short.mp4", "--motion", "out/short.motion.jsonl", "-o", "again"])
        .args(["--style", "mask"]));
    assert!(again.status.success(), "{}", text(&again.stderr));
    // A body that is no longer there is asked for.
    let (there, away) = (place.join("models/bodies/gone.safetensors"), place.join("gone.safetensors"));
    std::fs::copy(place.join("models/bodies/made-up.safetensors"), &there).unwrap();
    let output =
        run(meshreel_with(place).args(["process", "short.mp4", "-o", "gone", "--body", "gone", "--model", "lite"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    std::fs::rename(&there, &away).unwrap();
    let output = run(meshreel_with(place).args([
        "render",
        "short.mp4",
        "--motion",
        "gone/short.motion.jsonl",
        "-o",
        "gone-again",
    ]));
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("import-smpl FILE -o gone"), "{said}");
    let note = run(meshreel_with(place).args(["export", "out/short.motion.jsonl", "-f", "glb", "-o", "noted"]));
    assert!(text(&note.stdout).contains("linear skinning"), "{}{}", text(&note.stdout), text(&note.stderr));
    let list = text(&run(meshreel_with(place).args(["models", "list"])).stdout);
    assert!(list.contains("made-up") && list.contains("6890 vertices") && list.contains("CC0-1.0"), "{list}");
}
