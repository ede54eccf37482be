//! RegionDetector and landmarks on the sample clip, against MediaPipe's own results.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use meshreel::models::Network;
use meshreel::{
    geometry::{Geometry, Orientation},
    media::{Color, Frame, Layout, Matrix, Range},
    models::Models,
    pose::{
        Answer, Device, Landmarker, MaskedRegion, Observation, PersonDetection, Picture, PoseError, Query,
        RegionDetection, RotatedRegion, Runtime, Tile, Window, Worker,
        skeleton::{JOINTS, LEFT_WRIST, TORSO},
    },
};

const COLOR: Color = Color { matrix: Matrix::Bt709, range: Range::Limited };
const LAYOUT: Layout = Layout { depth: 8, chroma_shift_x: 1, chroma_shift_y: 1 };

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sample_clip() -> PathBuf {
    root().join("fixtures/media/demo.mp4")
}

fn worker() -> Worker {
    let models = Models::new(root().join("models"));
    let runtime = Runtime::load(&models.runtime(), Device::Cpu).expect("run `make setup`");
    Worker::new(runtime, models)
}

/// Raw frames of a clip from an `ffmpeg` process.
struct Clip {
    child: Child,
    size: [u32; 2],
    next: u64,
}

impl Clip {
    /// Starts at frame `first`.
    fn open(path: &Path, size: [u32; 2], first: u64) -> Self {
        let child = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(path)
            .args([
                "-vf",
                &format!("select=gte(n\\,{first})"),
                "-vsync",
                "0",
                "-f",
                "rawvideo",
                "-pix_fmt",
                "yuv420p",
                "-",
            ])
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .expect("ffmpeg runs");
        Self { child, size, next: first }
    }
}

impl Iterator for Clip {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        let [w, h] = self.size.map(|v| v as usize);
        let mut data = vec![0; w * h + 2 * w.div_ceil(2) * h.div_ceil(2)];
        self.child.stdout.as_mut()?.read_exact(&mut data).ok()?;
        self.next += 1;
        Frame::from_planes(self.size, LAYOUT, &data, self.next - 1, 0.0)
    }
}

impl Drop for Clip {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(worker: &mut Worker, picture: &Picture<'_>, query: Query) -> Result<Answer, PoseError> {
    worker.answer(None, &[(*picture, query)]).map(|mut found| found.remove(0))
}

fn people(worker: &mut Worker, picture: &Picture<'_>, window: Window) -> Vec<RegionDetection> {
    match ask(worker, picture, Query::DetectRegions(window)).unwrap() {
        Answer::RegionDetections(people) => people,
        other => unreachable!("{other:?}"),
    }
}

fn observe(worker: &mut Worker, picture: &Picture<'_>, query: Query) -> Result<Option<Observation>, PoseError> {
    ask(worker, picture, query).map(|found| match found {
        Answer::Observation(observation) => observation,
        other => unreachable!("{other:?}"),
    })
}

#[test]
fn agrees_with_mediapipe() {
    let text = std::fs::read_to_string(root().join("fixtures/pose_reference.json")).unwrap();
    let reference: serde_json::Value = serde_json::from_str(&text).unwrap();
    let size: [u32; 2] = serde_json::from_value(reference["size"].clone()).unwrap();
    let geometry = Geometry::new(size, 1.0, Orientation::default());
    let mut worker = worker();
    let samples = reference["samples"].as_array().unwrap();
    let mut total = 0.0;
    for sample in samples {
        let frame = Clip::open(&sample_clip(), size, sample["frame"].as_u64().unwrap()).next().unwrap();
        let picture = Picture { frame: &frame, geometry: &geometry, color: COLOR };
        let [x, y, side]: [f64; 3] = serde_json::from_value(sample["window"].clone()).unwrap();
        let best = people(&mut worker, &picture, Window { x, y, side })[0];
        let query = Query::Landmarks { at: best.region().into(), network: Network::Full, tolerance: f64::INFINITY };
        let found = observe(&mut worker, &picture, query).unwrap().unwrap().landmarks;
        let points: Vec<[f32; 4]> = serde_json::from_value(sample["points"].clone()).unwrap();
        let world: Vec<[f32; 3]> = serde_json::from_value(sample["world"].clone()).unwrap();
        let mean = |error: &dyn Fn(usize) -> f32| JOINTS.iter().map(|&i| error(i)).sum::<f32>() / JOINTS.len() as f32;
        let pixels = mean(&|i| (points[i][0] - found.points[i].x).hypot(points[i][1] - found.points[i].y));
        let metres = mean(&|i| (0..3).map(|k| (world[i][k] - found.world[i][k]).powi(2)).sum::<f32>().sqrt());
        let visibility = mean(&|i| (points[i][3] - found.points[i].visibility).abs());
        eprintln!("frame {}: {pixels:.2} px, {:.1} mm, visibility {visibility:.3}", frame.index, 1e3 * metres);
        assert!(pixels <= 1.0 && metres <= 12e-3 && visibility <= 0.02, "frame {}", frame.index);
        total += metres;
    }
    let mean = total / samples.len() as f32;
    assert!(mean <= 5e-3, "{mean} m");
}

#[test]
fn of_two_people_the_one_who_may_be_seen_is_found() {
    let size = [1768, 994];
    let frame = Clip::open(&sample_clip(), size, 120).next().unwrap();
    let picture = Picture { frame: &frame, geometry: &Geometry::new(size, 1.0, Orientation::default()), color: COLOR };
    let mut worker = worker();
    let region = RotatedRegion { center: (790.0, 510.0).into(), side: 1000.0, rotation: 0.0 };
    for [left, top, right, bottom] in [[600.0, 50.0, 830.0, 490.0], [680.0, 490.0, 980.0, 970.0]] {
        let at = MaskedRegion { region, within: Some([left, top, right, bottom]), hidden: Vec::new() };
        let query = Query::Landmarks { at, network: Network::Full, tolerance: f64::INFINITY };
        let found = observe(&mut worker, &picture, query).unwrap().expect("somebody").landmarks;
        let is_within = |&i: &usize| {
            let p = found.points[i];
            (left..right).contains(&p.x) && (top..bottom).contains(&p.y)
        };
        assert!(TORSO.iter().all(is_within), "{:?}", found.bounds());
        assert!((found.bounds()[3] - found.bounds()[1]) > 0.6 * (bottom - top));
    }
}

#[test]
fn the_fingers_of_a_large_hand_are_seen() {
    let size = [1768, 994];
    let geometry = Geometry::new(size, 1.0, Orientation::default());
    let frame = Clip::open(&sample_clip(), size, 156).next().unwrap();
    let picture = Picture { frame: &frame, geometry: &geometry, color: COLOR };
    let mut worker = worker();
    let at = RotatedRegion { center: (455.0, 740.0).into(), side: 560.0, rotation: 0.0 }.into();
    let query = Query::Landmarks { at, network: Network::Full, tolerance: 0.1 };
    let walking = observe(&mut worker, &picture, query).unwrap().expect("she walks there").landmarks;
    let small = walking.carried(&walking.region(), &RotatedRegion { side: 200.0, ..walking.region() });
    let mut seen = worker.hands(&[(picture, &walking), (picture, &small)], true).unwrap();
    assert_eq!(seen.pop().unwrap(), [None, None], "small hands are not looked at");
    let left = seen.pop().unwrap()[0].take().expect("her left hand is in front of the wall");
    assert!(left.presence > 0.9 && left.right < 0.3, "{left:?}");
    let [wrist, middle] = [0, 12].map(|i| left.at(i));
    assert!(
        wrist.distance(walking.at(LEFT_WRIST)) < 15.0 && (25.0..70.0).contains(&wrist.distance(middle)),
        "{left:?}"
    );
    assert!(left.points.iter().all(|p| (500.0..620.0).contains(&p[0]) && (680.0..790.0).contains(&p[1])), "{left:?}");
}

#[test]
fn several_pictures_at_a_time_are_seen_as_one_by_one() {
    let size = [1768, 994];
    let geometry = Geometry::new(size, 1.0, Orientation::default());
    let frames: Vec<Frame> = [60, 61, 90].map(|i| Clip::open(&sample_clip(), size, i).next().unwrap()).into();
    let regions = [(1400.0, 740.0), (620.0, 260.0)].map(|(x, y)| RotatedRegion {
        center: (x, y).into(),
        side: 560.0,
        rotation: 0.0,
    });
    let broken = RotatedRegion { side: f64::NAN, ..regions[0] };
    let questions: Vec<_> = frames
        .iter()
        .map(|frame| Picture { frame, geometry: &geometry, color: COLOR })
        .flat_map(|picture| [regions[0], broken, regions[1]].map(|region| (picture, region.into())))
        .collect();
    let models = Models::new(root().join("models"));
    let runtime = Runtime::load(&models.runtime(), Device::Cpu).unwrap();
    let mut found = [1, 4].map(|batch| {
        let mut landmarker = Landmarker::new(&runtime, &models.landmarker(Network::Lite), batch).unwrap();
        landmarker.landmarks(&questions).unwrap().into_iter()
    });
    for (index, (one, many)) in found[0].clone().zip(&mut found[1]).enumerate() {
        assert_eq!(one.is_none(), index % 3 == 1, "picture {index}");
        let Some((one, many)) = one.zip(many) else { continue };
        assert!((one.score - many.score).abs() < 1e-4);
        for (a, b) in one.points.iter().zip(&many.points) {
            assert!((a.x - b.x).hypot(a.y - b.y) < 0.05, "picture {index}: {a:?} {b:?}");
        }
    }
}

#[test]
fn finds_the_same_figures_as_the_original() {
    // By the network's authors' pre- and post-processing (in Python, with OpenCV's area averaging) on the same input size.
    let expected = [
        (60, [([1304.0, 540.0, 1504.0, 930.0], 0.729), ([509.0, 60.0, 735.0, 465.0], 0.608)]),
        (90, [([1070.0, 517.0, 1188.0, 935.0], 0.726), ([580.0, 56.0, 712.0, 454.0], 0.696)]),
    ];
    let size = [1768, 994];
    let geometry = Geometry::new(size, 1.0, Orientation::default());
    let mut worker = worker();
    for (index, boxes) in expected {
        let frame = Clip::open(&sample_clip(), size, index).next().unwrap();
        let picture = Picture { frame: &frame, geometry: &geometry, color: COLOR };
        let Answer::PersonDetections(figures) =
            ask(&mut worker, &picture, Query::DetectPersons(Tile::whole(size))).unwrap()
        else {
            unreachable!()
        };
        let sure: Vec<_> = figures.iter().filter(|f| f.score >= 0.45).collect();
        assert_eq!(sure.len(), boxes.len(), "frame {index}: {figures:?}");
        for (bounds, score) in boxes {
            let off =
                |f: &&&PersonDetection| f.bounds.iter().zip(bounds).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let nearest = sure.iter().min_by(|a, b| off(a).total_cmp(&off(b))).unwrap();
            assert!(off(&nearest) < 12.0 && (nearest.score - score).abs() < 0.06, "frame {index}: {nearest:?}");
        }
    }
}

#[test]
fn a_missing_network_says_what_to_do() {
    let models = Models::new(root().join("models"));
    let runtime = Runtime::load(&models.runtime(), Device::Cpu).unwrap();
    let error = Worker::new(runtime, Models::new("/nowhere")).open(Network::Lite).unwrap_err().to_string();
    assert!(error.contains("/nowhere/pose_landmark_lite.onnx") && error.contains("make setup"), "{error}");
}
