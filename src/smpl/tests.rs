//! A made-up body of SMPL's layout with a handful of vertices, as npz file.

use std::io::{Cursor, Write};

use zip::write::{SimpleFileOptions, ZipWriter};

use super::*;

const VERTICES: usize = 60;
const JOINTS: usize = 24;
/// SMPL's.
const PARENTS: [f64; JOINTS] = [
    -1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 9.0, 9.0, 12.0, 13.0, 14.0, 16.0, 17.0, 18.0,
    19.0, 20.0, 21.0,
];

/// Numbers from -1 to 1, the same each time.
fn numbers(seed: u64, count: usize) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1 << 30) - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// `influences`: joints that a vertex follows.
fn archive(influences: usize, method: zip::CompressionMethod) -> Vec<u8> {
    let mut weights = vec![0.0; VERTICES * JOINTS];
    let mut regressor = vec![0.0; JOINTS * VERTICES];
    for vertex in 0..VERTICES {
        for i in 0..influences {
            weights[vertex * JOINTS + (vertex + 5 * i) % JOINTS] = 1.0 / influences as f64;
        }
    }
    for joint in 0..JOINTS {
        regressor[joint * VERTICES + joint] = 0.25;
        regressor[joint * VERTICES + joint + 30] = 0.75;
    }
    let tree: Vec<f64> = PARENTS.iter().copied().chain((0..JOINTS).map(|joint| joint as f64)).collect();
    let faces: Vec<f64> = (0..VERTICES - 2).flat_map(|v| [v, v + 1, v + 2]).map(|v| v as f64).collect();
    let scaled = |seed, count, scale: f64| numbers(seed, count).into_iter().map(|n| n * scale).collect::<Vec<f64>>();
    let arrays: [(&str, &[usize], Vec<f64>); 7] = [
        ("v_template", &[VERTICES, 3], numbers(1, VERTICES * 3)),
        ("f", &[VERTICES - 2, 3], faces),
        ("shapedirs", &[VERTICES, 3, 12], scaled(2, VERTICES * 36, 0.03)),
        ("posedirs", &[VERTICES, 3, 207], scaled(3, VERTICES * 3 * 207, 0.02)),
        ("J_regressor", &[JOINTS, VERTICES], regressor),
        ("weights", &[VERTICES, JOINTS], weights),
        ("kintree_table", &[2, JOINTS], tree),
    ];
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, shape, numbers) in arrays {
        zip.start_file(format!("{name}.npy"), SimpleFileOptions::default().compression_method(method)).unwrap();
        let shape: Vec<String> = shape.iter().map(|length| format!("{length},")).collect();
        let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({}), }}\n", shape.concat());
        zip.write_all(b"\x93NUMPY\x01\x00").unwrap();
        zip.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
        zip.write_all(header.as_bytes()).unwrap();
        numbers.iter().for_each(|number| zip.write_all(&number.to_le_bytes()).unwrap());
    }
    zip.finish().unwrap().into_inner()
}

/// A folder with a file of the body and one with bodies, and a table that says where key points are.
fn folder(archive: &[u8]) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (file, bodies) = (folder.path().join("made-up.npz"), folder.path().join("bodies"));
    std::fs::create_dir(&bodies).unwrap();
    std::fs::write(&file, archive).unwrap();
    let points: Vec<String> = needed().zip(3..).map(|(name, vertex)| format!("{name} = {vertex}")).collect();
    let table =
        format!("licence = \"nobody's\"\n[points]\n{}\n", points.join("\n").replace("nose = 3", "nose = [3, 4]"));
    std::fs::write(bodies.join("tiny.toml"), table).unwrap();
    (folder, file, bodies)
}

fn name() -> ModelName {
    "tiny".parse().unwrap()
}

#[test]
fn an_imported_body_is_where_the_published_formula_has_it() {
    for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
        let (_folder, file, bodies) = folder(&archive(4, method));
        let imported = import(&file, &bodies, name(), false).unwrap();
        assert!(imported.off < 2e-6, "{} m off", imported.off);
        let body = Body::load(&imported.path).unwrap();
        assert_eq!((body.name.as_str(), body.licence.as_str(), body.shapes), ("tiny", "nobody's", 10));
        let lines = imported.to_string();
        assert!(lines.contains("207 pose directions") && !lines.contains("largest weight"), "{lines}");
        let error = import(&file, &bodies, name(), false).unwrap_err();
        assert!(error.to_string().contains("--overwrite"), "{error}");
        assert!(import(&file, &bodies, name(), true).is_ok());
    }
}

#[test]
fn joints_that_are_left_out_are_told_of() {
    let (_folder, file, bodies) = folder(&archive(6, zip::CompressionMethod::Stored));
    let imported = import(&file, &bodies, name(), false).unwrap();
    let lines = imported.to_string();
    assert!(
        imported.off > 1e-3 && lines.contains("of up to 6 joints") && lines.contains("more than a tenth"),
        "{lines}"
    );
}

#[test]
fn key_points_that_are_at_joints_are_there_in_every_pose() {
    let (_folder, file, bodies) = folder(&archive(4, zip::CompressionMethod::Stored));
    let body = Body::load(&import(&file, &bodies, name(), false).unwrap().path).unwrap();
    let joint = body.joint_names.iter().position(|name| name == "left_knee").unwrap();
    for (rotations, shape) in formula::random_poses(JOINTS, 10, 3) {
        let skeleton = crate::body::RestSkeleton::of(&body, &shape);
        let mut posed = Vec::new();
        let root = glam::DVec3::new(0.3, -0.2, 4.0);
        skeleton.pose(root, &rotations, &mut posed);
        let pose = crate::body::Pose { position: root, rotations, confidence: Vec::new() };
        let knee = body.keypoints_coco(&pose, &shape)[13];
        assert!(knee.distance(posed[joint].position) < 1e-6, "{knee}, not {}", posed[joint].position);
    }
}

#[test]
fn what_is_unknown_about_a_body_is_asked_for() {
    let (_folder, file, bodies) = folder(&archive(4, zip::CompressionMethod::Stored));
    std::fs::write(bodies.join("tiny.toml"), "[points]\nnose = 3\nleft_eye = 60\n").unwrap();
    let message = import(&file, &bodies, name(), false).unwrap_err().to_string();
    assert!(
        message.contains("tiny.toml") && message.contains("[points]") && message.contains("left_heel = 0"),
        "{message}"
    );
    assert!(message.contains("left_eye = 0") && !message.contains("nose = 0"), "{message}");
    std::fs::write(bodies.join("tiny.toml"), "point = 1\n").unwrap();
    let message = import(&file, &bodies, name(), false).unwrap_err().to_string();
    assert!(message.contains("unknown setting `point`; did you mean `points`?"), "{message}");
}

#[test]
fn damaged_files_are_refused() {
    let whole = archive(4, zip::CompressionMethod::Stored);
    let (_folder, file, bodies) = folder(&whole);
    for length in [0, 3, 100, whole.len() / 2, whole.len() - 5] {
        std::fs::write(&file, &whole[..length]).unwrap();
        let error = import(&file, &bodies, name(), false).unwrap_err();
        assert!(matches!(error, ImportError::Invalid { .. }), "{error}");
    }
    for at in (0..whole.len()).step_by(997) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        std::fs::write(&file, damaged).unwrap();
        // Checksums find it, where it matters at all.
        let _ = import(&file, &bodies, name(), true);
    }
    std::fs::write(&file, b"cos\nsystem\n(S'touch made-by-a-pickle'\ntR.").unwrap();
    let message = import(&file, &bodies, name(), true).unwrap_err().to_string();
    assert!(message.contains("`os.system`") && message.contains("nothing of it was executed"), "{message}");
}
