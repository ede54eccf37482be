//! Detector, landmarks and the choice of regions on the sample clip, against MediaPipe's own results.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use meshreel::{
    geometry::{Geometry, Orientation},
    media::{Color, Frame, Layout, Matrix, Range},
    models::Models,
    pose::{Detection, Device, Found, Network, Picture, PoseError, Runtime, Sight, Window, Work, Worker},
    track::{Keyframe, Observation, Scout, Seen, TOLERANCE, Track, link, regions_between, repair_sides, settle},
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

fn people(worker: &mut Worker, picture: &Picture<'_>, window: Window) -> Vec<Detection> {
    match worker.perform(picture, &Work::Detect(window)).unwrap() {
        Found::People(people) => people,
        Found::Person(_) => unreachable!(),
    }
}

fn look(worker: &mut Worker, picture: &Picture<'_>, work: Work) -> Result<Option<Sight>, PoseError> {
    worker.perform(picture, &work).map(|found| match found {
        Found::Person(sight) => sight,
        Found::People(_) => unreachable!(),
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
        let work = Work::Look { region: best.region(), network: Network::Full, tolerance: f64::INFINITY };
        let found = look(&mut worker, &picture, work).unwrap().unwrap().landmarks;
        let points: Vec<[f32; 4]> = serde_json::from_value(sample["points"].clone()).unwrap();
        let world: Vec<[f32; 3]> = serde_json::from_value(sample["world"].clone()).unwrap();
        let joints = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28];
        let mean = |error: &dyn Fn(usize) -> f32| joints.iter().map(|&i: &usize| error(i)).sum::<f32>() / 12.0;
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
fn a_missing_network_says_what_to_do() {
    let models = Models::new(root().join("models"));
    let runtime = Runtime::load(&models.runtime(), Device::Cpu).unwrap();
    let error = Worker::new(runtime, Models::new("/nowhere")).open(Network::Lite).unwrap_err().to_string();
    assert!(error.contains("/nowhere/pose_landmark_lite.onnx") && error.contains("make setup"), "{error}");
}

/// Runs the scout and everything between its keyframes over a clip, as the pipeline does, in one thread.
fn follow(
    path: &Path,
    size: [u32; 2],
    fps: f64,
    frames: usize,
    network: Network,
    opinions: bool,
) -> (Vec<Track>, Cost) {
    let geometry = Geometry::new(size, 1.0, Orientation::default());
    let mut worker = worker();
    let mut scout = Scout::new(fps, size, network, opinions);
    let mut seen = Vec::new();
    let mut cost = Cost::default();
    let mut before: Option<Keyframe> = None;
    let mut waiting: Vec<Frame> = Vec::new();
    let mut perform = |frame: &Frame, work: Work| {
        match work {
            Work::Detect(_) => cost.windows += 1,
            Work::Look { network: Network::Heavy, .. } => cost.opinions += 1,
            Work::Look { .. } => cost.looks += 1,
        }
        worker.perform(&Picture { frame, geometry: &geometry, color: COLOR }, &work)
    };
    let mut between = |waiting: &mut Vec<Frame>,
                       before: &Option<Keyframe>,
                       after: Option<&Keyframe>,
                       seen: &mut Vec<Seen>,
                       perform: &mut dyn FnMut(&Frame, Work) -> Result<Found, PoseError>| {
        for frame in waiting.drain(..) {
            let Some(before) = before else { continue };
            let regions = regions_between(before, after, frame.index);
            let looked = regions.into_iter().map(|(tracklet, region)| {
                let Found::Person(sight) =
                    perform(&frame, Work::Look { region, network, tolerance: TOLERANCE }).unwrap()
                else {
                    unreachable!()
                };
                (tracklet, region, sight)
            });
            let people = settle(size, looked.collect());
            seen.extend(people.into_iter().map(|(tracklet, sight)| Seen {
                frame: frame.index,
                tracklet,
                sight,
                second_opinion: None,
            }));
        }
    };
    let mut count = 0;
    for frame in Clip::open(path, size, 0).take(frames) {
        count += 1;
        if frame.index != scout.next_keyframe() {
            waiting.push(frame);
            continue;
        }
        let mut run = |work: Vec<Work>| work.into_iter().map(|w| perform(&frame, w)).collect::<Result<Vec<_>, _>>();
        let keyframe = scout.keyframe(frame.index, &mut run).unwrap();
        between(&mut waiting, &before, Some(&keyframe), &mut seen, &mut perform);
        seen.extend(keyframe.people.iter().map(|p| Seen {
            frame: keyframe.index,
            tracklet: p.tracklet,
            sight: p.sight.clone(),
            second_opinion: p.second_opinion.clone(),
        }));
        before = Some(keyframe);
    }
    between(&mut waiting, &before, None, &mut seen, &mut perform);
    cost.frames = count;
    let mut tracks = link(seen, fps);
    for track in &mut tracks {
        let mended = repair_sides(track);
        eprintln!("track {} mended {mended}", track.id);
    }
    (tracks, cost)
}

#[derive(Debug, Default)]
struct Cost {
    frames: usize,
    windows: usize,
    looks: usize,
    opinions: usize,
}

#[test]
fn both_people_of_the_sample_clip_are_followed_and_nobody_else() {
    let (tracks, cost) = follow(&sample_clip(), [1768, 994], 30.0, 60, Network::Lite, false);
    eprintln!("{cost:?}");
    assert_eq!(tracks.len(), 2);
    for track in &tracks {
        assert!(track.first_frame <= 1 && track.observations.iter().flatten().count() >= 57, "track {}", track.id);
    }
}

/// `CLIP=file SIZE=1280x720 FPS=50 OUT=tracks.json cargo test --release --test pose dump -- --ignored --nocapture`
#[test]
#[ignore = "for looking at a clip"]
fn dump_tracks() {
    let var = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("set {name}"));
    let size: Vec<u32> = var("SIZE").split('x').map(|v| v.parse().unwrap()).collect();
    let fps: f64 = var("FPS").parse().unwrap();
    let start = std::time::Instant::now();
    let (tracks, cost) = follow(Path::new(&var("CLIP")), [size[0], size[1]], fps, usize::MAX, Network::Full, true);
    eprintln!("{cost:?}, {:.1} s, {} tracks", start.elapsed().as_secs_f64(), tracks.len());
    let rows: Vec<_> = tracks
        .iter()
        .map(|t| {
            let points =
                |o: &Observation| o.landmarks.points.iter().map(|p| [p.x, p.y, p.visibility]).collect::<Vec<_>>();
            let frames: Vec<_> = t
                .observations
                .iter()
                .map(|o| {
                    o.as_ref().map(|o| serde_json::json!({"u": o.uncertain, "s": o.landmarks.score, "p": points(o)}))
                })
                .collect();
            serde_json::json!({"id": t.id, "first": t.first_frame, "frames": frames})
        })
        .collect();
    std::fs::write(var("OUT"), serde_json::to_string(&rows).unwrap()).unwrap();
}
#[test]
#[ignore = "probe"]
fn probe() {
    let var = |name: &str| std::env::var(name).unwrap();
    let size: Vec<u32> = var("SIZE").split('x').map(|v| v.parse().unwrap()).collect();
    let size = [size[0], size[1]];
    let geometry = Geometry::new(size, 1.0, Orientation::default());
    let mut worker = worker();
    for f in var("FRAMES").split(',') {
        let frame = Clip::open(Path::new(&var("CLIP")), size, f.parse().unwrap()).next().unwrap();
        let picture = Picture { frame: &frame, geometry: &geometry, color: COLOR };
        for parts in 1..=3 {
            let windows = if parts == 1 { vec![Window::whole(size)] } else { Window::tiles(size, parts) };
            for w in windows {
                for d in people(&mut worker, &picture, w) {
                    let r = d.region();
                    print!(
                        "f{f} p{parts} det {:.2} at {:.0},{:.0} side {:.0} rot {:.2}",
                        d.score, r.center.x, r.center.y, r.side, r.rotation
                    );
                    for tolerance in [9e9, 0.08] {
                        match look(&mut worker, &picture, Work::Look { region: r, network: Network::Full, tolerance })
                            .unwrap()
                        {
                            Some(s) => {
                                let o = s.landmarks.region();
                                print!(
                                    "   -> {:.2} tv {:.2} at {:.0},{:.0} side {:.0} rot {:.2}",
                                    s.landmarks.score,
                                    s.landmarks.torso_visibility(),
                                    o.center.x,
                                    o.center.y,
                                    o.side,
                                    o.rotation
                                )
                            }
                            None => print!("   -> nobody"),
                        }
                    }
                    println!();
                }
            }
        }
    }
}
