//! The body fit on the real body model.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

use glam::{DQuat, DVec3};
use meshreel::body::{self, Body, Camera, FitOptions, FittedPose, FittedTrack, Pose, Posed, Skeleton};
use meshreel::control::{Stopped, never_stopped};
use meshreel::pose::{Landmark, Landmarks};
use meshreel::track::{Track, TrackFrame};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

fn body() -> Body {
    Body::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/body.safetensors")).expect("`make setup` builds it")
}

/// Fits without being stopped.
fn fit_track(body: &Body, camera: &Camera, times: &[f64], track: &Track, options: FitOptions) -> FittedTrack {
    body::fit_track(body, camera, times, track, options, &never_stopped).unwrap()
}

/// Reproducible numbers in -1..1.
fn noise(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

fn some_rotations(body: &Body, seed: u64, size: f64) -> Vec<DQuat> {
    let mut next = noise(seed);
    (0..body.joint_count()).map(|_| DQuat::from_scaled_axis(DVec3::new(next(), next(), next()) * size)).collect()
}

fn some_shape(body: &Body, seed: u64) -> Vec<f64> {
    let mut next = noise(seed);
    (0..body.shapes).map(|_| next()).collect()
}

#[test]
fn keypoint_derivatives_agree_with_differences() {
    let body = body();
    let shape = some_shape(&body, 1);
    let skeleton = Skeleton::new(&body, &shape);
    let rotations = some_rotations(&body, 2, 0.8);
    let (mut posed, mut moved) = (Posed::default(), Posed::default());
    let step = 1e-5;
    for k in 0..body.keypoint_names.len() {
        skeleton.pose(&rotations, &mut posed);
        let mut derivatives = Vec::new();
        skeleton.keypoint_derivatives(&posed, k, &mut derivatives);
        for j in 0..body.joint_count() {
            let analytic = derivatives.iter().find(|(i, _)| *i == j).map(|(_, d)| *d).unwrap_or_default();
            let analytic = if derivatives.iter().any(|(i, _)| *i == j) { analytic } else { glam::DMat3::ZERO };
            for axis in 0..3 {
                let mut side = |sign: f64| {
                    let mut turned = rotations.clone();
                    turned[j] *= DQuat::from_scaled_axis(DVec3::AXES[axis] * (sign * step));
                    skeleton.pose(&turned, &mut moved);
                    skeleton.keypoint(&moved, k)
                };
                let numeric = (side(1.0) - side(-1.0)) / (2.0 * step);
                let off = (numeric - analytic.col(axis)).length();
                assert!(off < 1e-6, "{} by {} axis {axis}: {off}", body.keypoint_names[k], body.joint_names[j]);
            }
        }
    }
}

#[test]
fn shape_derivatives_agree_with_differences() {
    let body = body();
    let shape = some_shape(&body, 3);
    let rotations = some_rotations(&body, 4, 0.8);
    let at = |shape: &[f64], k: usize| {
        let skeleton = Skeleton::new(&body, shape);
        let mut posed = Posed::default();
        skeleton.pose(&rotations, &mut posed);
        skeleton.keypoint(&posed, k)
    };
    let skeleton = Skeleton::new(&body, &shape);
    let mut posed = Posed::default();
    skeleton.pose(&rotations, &mut posed);
    let joints = skeleton.joint_shape_derivatives(&posed);
    for k in 0..body.keypoint_names.len() {
        let analytic = skeleton.keypoint_shape_derivatives(&posed, k, &joints);
        for s in 0..body.shapes {
            let side = |sign: f64| {
                let mut moved = shape.clone();
                moved[s] += sign * 1e-4;
                at(&moved, k)
            };
            let numeric = (side(1.0) - side(-1.0)) / 2e-4;
            assert!((numeric - analytic[s]).length() < 1e-6, "{} by shape {s}", body.keypoint_names[k]);
        }
    }
}

#[test]
fn keypoint_moments_and_joint_transforms_agree() {
    // Key points that hang on one joint alone move rigidly with it, so the renderer's matrices must take them along.
    let body = body();
    let shape = some_shape(&body, 5);
    let pose = Pose {
        position: DVec3::new(0.3, -0.1, 4.0),
        rotations: some_rotations(&body, 6, 0.5),
        confidence: vec![1.0; body.joint_count()],
    };
    let transforms = body.joint_transforms(&pose, &shape);
    let vertices = body.shaped_vertices(&shape);
    let skinned: Vec<DVec3> = vertices
        .iter()
        .zip(body.skin_indices.iter().zip(&body.skin_weights))
        .map(|(v, (joints, weights))| {
            let mut at = DVec3::ZERO;
            for (&j, &w) in joints.iter().zip(weights) {
                let row = |r: [f32; 4]| f64::from(w * (r[0] * v[0] + r[1] * v[1] + r[2] * v[2] + r[3]));
                let [x, y, z] = transforms[j as usize].map(row);
                at += DVec3::new(x, y, z);
            }
            at
        })
        .collect();
    // Each key point lies inside or on the skin near it, and the body is of human size.
    for (k, point) in body.keypoints_coco(&pose, &shape).into_iter().enumerate() {
        let nearest = skinned.iter().map(|v| v.distance(point)).fold(f64::INFINITY, f64::min);
        assert!(nearest < 0.12, "key point {k} is {nearest} m from the skin");
    }
    // The nose is on the skin whatever the pose: its vertices are among those drawn.
    let nose = body.keypoints_coco(&pose, &shape)[0];
    let nearest = skinned.iter().map(|v| v.distance(nose)).fold(f64::INFINITY, f64::min);
    assert!(nearest < 0.015, "{nearest}");
}

/// A walk past the camera: a body of some shape whose limbs swing.
fn walk(body: &Body, frames: usize) -> (Vec<f64>, Vec<Pose>, Vec<f64>) {
    let times: Vec<f64> = (0..frames).map(|i| i as f64 / 30.0).collect();
    let joint = |name: &str| body.joint_names.iter().position(|n| n == name).expect("a MakeHuman joint");
    let poses = times
        .iter()
        .map(|t| {
            let mut rotations = vec![DQuat::IDENTITY; body.joint_count()];
            let swing = (t * 6.0).sin();
            let mut set = |name: &str, x: f64, y: f64, z: f64| {
                rotations[joint(name)] = DQuat::from_scaled_axis(DVec3::new(x, y, z));
            };
            set("root", 0.05, 0.6 + 0.3 * (t * 1.5).sin(), 0.0);
            set("upperleg01.L", 0.4 * swing - 0.2, 0.0, 0.0);
            set("upperleg01.R", -0.4 * swing - 0.2, 0.0, 0.0);
            set("lowerleg01.L", 0.5 + 0.4 * swing, 0.0, 0.0);
            set("lowerleg01.R", 0.5 - 0.4 * swing, 0.0, 0.0);
            set("upperarm01.L", -0.4 * swing, 0.0, 0.4);
            set("upperarm01.R", 0.4 * swing, 0.0, -0.4);
            set("head", 0.1, 0.3 * swing, 0.0);
            let position = DVec3::new(-0.8 + 0.5 * t, -0.1, 4.0 + 0.2 * t);
            Pose { position, rotations, confidence: vec![1.0; body.joint_count()] }
        })
        .collect();
    let shape = (0..body.shapes).map(|s| if s == 0 { 0.8 } else { 0.2 }).collect();
    (times, poses, shape)
}

/// What ideal networks would say, plus noise: in the picture (pixels) and in metres.
fn observe(
    body: &Body,
    camera: &Camera,
    pose: &Pose,
    shape: &[f64],
    noise: &mut impl FnMut() -> f64,
    size: f64,
) -> Landmarks {
    let skeleton = Skeleton::new(body, shape);
    let mut posed = Posed::default();
    skeleton.pose(&pose.rotations, &mut posed);
    let at = body.blazepose33.map(|k| k.map(|k| skeleton.keypoint(&posed, k)));
    let hips = (at[23].expect("hip") + at[24].expect("hip")) / 2.0;
    let place = hips + pose.position;
    let ray = DQuat::from_rotation_y(-(place.x / place.z).atan());
    Landmarks {
        score: 0.99,
        points: at.map(|p| {
            let [x, y] = p.map_or([0.0; 2], |p| camera.project(p + pose.position));
            Landmark {
                x: (x + size * 4.0 * noise()) as f32,
                y: (y + size * 4.0 * noise()) as f32,
                z: 0.0,
                visibility: if p.is_some() { 0.95 } else { 0.0 },
                presence: 1.0,
            }
        }),
        circle: [[0.0; 2]; 2],
        world: at.map(|p| {
            let p = ray * (p.unwrap_or(hips) - hips) + DVec3::new(noise(), noise(), 2.0 * noise()) * (size * 0.03);
            p.to_array().map(|v| v as f32)
        }),
        hands: [None, None],
    }
}

/// Height of a body of some shape, metres.
fn height(body: &Body, shape: &[f64]) -> f64 {
    let (plain, added) = body.stature();
    plain + added.iter().zip(shape).map(|(a, s)| a * s).sum::<f64>()
}

/// Who is fitted is known to be as tall as this shape.
fn as_tall_as(body: &Body, shape: &[f64]) -> FitOptions {
    FitOptions { stature: height(body, shape), ..FitOptions::default() }
}

fn track_of(landmarks: Vec<Option<Landmarks>>) -> Track {
    let frames = landmarks
        .into_iter()
        .map(|l| {
            l.map(|landmarks| TrackFrame {
                landmarks,
                heavy_landmarks: None,
                estimate: None,
                uncertain: false,
                is_interpolated: false,
            })
        })
        .collect();
    Track { id: 7, first_frame: 0, frames }
}

/// Mean distance of the key points (shoulders to ankles), hips aligned, metres.
fn error(body: &Body, fitted: &FittedTrack, truth: &[Pose], shape: &[f64], frames: std::ops::Range<usize>) -> f64 {
    let centred = |pose: &Pose, shape: &[f64]| {
        let points = body.keypoints_coco(pose, shape);
        let hips = (points[11] + points[12]) / 2.0;
        points.map(|p| p - hips)
    };
    let count = frames.len() as f64;
    let one = |i: usize| {
        let (a, b) = (centred(&fitted.poses[i].pose, &fitted.shape), centred(&truth[i], shape));
        (5..17).map(|k| a[k].distance(b[k])).sum::<f64>() / 12.0
    };
    frames.map(one).sum::<f64>() / count
}

#[test]
fn a_walk_is_recovered_from_noisy_landmarks_and_smoothly() {
    let body = body();
    let camera = Camera::guess([1280, 720]);
    let (times, truth, shape) = walk(&body, 60);
    let mut next = noise(8);
    let seen = truth.iter().map(|p| Some(observe(&body, &camera, p, &shape, &mut next, 1.0))).collect();
    let track = track_of(seen);
    let fitted = fit_track(&body, &camera, &times, &track, as_tall_as(&body, &shape));
    assert_eq!((fitted.id, fitted.poses.len()), (7, 60));
    let off = error(&body, &fitted, &truth, &shape, 0..60);
    assert!(off < 0.03, "mean joint error {off} m");
    let places: Vec<_> = fitted.poses.iter().map(|p| body.keypoints_coco(&p.pose, &fitted.shape)).collect();
    let shake = |w: &[[DVec3; 17]]| (5..17).map(|k| (w[2][k] - w[1][k] * 2.0 + w[0][k]).length()).sum::<f64>() / 12.0;
    let shaking = places.windows(3).map(shake).sum::<f64>() / 58.0;
    assert!(shaking < 0.012, "mean acceleration {shaking} m/frame^2");
    assert!(fitted.poses.iter().all(|p| p.score > 0.9 && p.pose.confidence.iter().all(|&c| c > 0.8)));
    // The same again gives the same, to the bit.
    assert_eq!(fitted, fit_track(&body, &camera, &times, &track, as_tall_as(&body, &shape)));
}

#[test]
fn a_fit_is_stopped_wherever_it_is() {
    let body = body();
    let camera = Camera::guess([1280, 720]);
    let (times, truth, shape) = walk(&body, 20);
    let mut next = noise(8);
    let track = track_of(truth.iter().map(|p| Some(observe(&body, &camera, p, &shape, &mut next, 1.0))).collect());
    let fit = |last: usize| {
        let calls = AtomicUsize::new(0);
        let proceed = || if calls.fetch_add(1, Ordering::Relaxed) < last { Ok(()) } else { Err(Stopped) };
        let fitted = body::fit_track(&body, &camera, &times, &track, FitOptions::default(), &proceed);
        (fitted.map(drop), calls.into_inner())
    };
    let (whole, calls) = fit(usize::MAX);
    assert_eq!(whole, Ok(()));
    assert!(calls > 8 * 20, "at least once a frame in each of its loops: {calls}");
    for last in (0..calls).step_by(17) {
        assert_eq!(fit(last), (Err(Stopped), last + 1));
    }
}

#[test]
fn people_are_as_tall_as_they_are_said_to_be_and_stand_where_they_then_would() {
    let body = body();
    let camera = Camera::guess([1280, 720]);
    let (times, truth, shape) = walk(&body, 20);
    let mut next = noise(8);
    let track = track_of(truth.iter().map(|p| Some(observe(&body, &camera, p, &shape, &mut next, 0.5))).collect());
    let fit = |stature| fit_track(&body, &camera, &times, &track, FitOptions { stature, ..FitOptions::default() });
    let (child, adult) = (fit(1.2), fit(1.8));
    assert!((height(&body, &child.shape) - 1.2).abs() < 0.06, "{}", height(&body, &child.shape));
    assert!((height(&body, &adult.shape) - 1.8).abs() < 0.06, "{}", height(&body, &adult.shape));
    // Two thirds as large is two thirds as far away: the picture is the same.
    let [near, far] = [&child, &adult].map(|t| t.poses[10].pose.position.z);
    assert!((far / near - 1.5).abs() < 0.1, "{near} {far}");
    for (a, b) in child.poses.iter().zip(&adult.poses) {
        let [a, b] = [(a, &child), (b, &adult)].map(|(p, t)| body.keypoints_coco_projected(&camera, &p.pose, &t.shape));
        let off = a.iter().zip(b).map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1])).sum::<f64>() / 17.0;
        assert!(off < 4.0, "{off} pixels apart");
    }
}

#[test]
fn a_body_that_was_left_behind_is_put_where_it_is_seen() {
    let body = body();
    let camera = Camera::guess([1280, 720]);
    let (times, mut truth, shape) = walk(&body, 40);
    // Somebody far away, and the camera is knocked: further than a body can move.
    for (i, pose) in truth.iter_mut().enumerate() {
        pose.position = if i < 10 { DVec3::new(-3.0, -0.1, 20.0) } else { DVec3::new(1.0, 1.5, 20.0) };
    }
    let mut next = noise(5);
    let seen = truth.iter().map(|p| Some(observe(&body, &camera, p, &shape, &mut next, 1.0))).collect();
    let fitted = fit_track(&body, &camera, &times, &track_of(seen), as_tall_as(&body, &shape));
    for i in [5, 15, 25, 39] {
        let [x, y] = camera.project(fitted.poses[i].pose.position);
        let [tx, ty] = camera.project(truth[i].position);
        assert!((x - tx).hypot(y - ty) < 25.0, "frame {i}: {x} {y}, not {tx} {ty}");
    }
}

#[test]
fn a_gap_is_bridged_from_both_sides_without_confidence() {
    let body = body();
    let camera = Camera::guess([1280, 720]);
    let (times, truth, shape) = walk(&body, 60);
    let mut next = noise(9);
    let seen = truth
        .iter()
        .enumerate()
        .map(|(i, p)| (!(25..32).contains(&i)).then(|| observe(&body, &camera, p, &shape, &mut next, 0.5)))
        .collect();
    let fitted = fit_track(&body, &camera, &times, &track_of(seen), as_tall_as(&body, &shape));
    let off = error(&body, &fitted, &truth, &shape, 25..32);
    assert!(off < 0.06, "{off}");
    assert!(fitted.poses[28].score == 0.0 && fitted.poses[28].pose.confidence.iter().all(|&c| c < 0.6));
    assert!(fitted.poses[10].pose.confidence.iter().all(|&c| c > 0.8));
    let step = |i: usize| (fitted.poses[i].pose.position - fitted.poses[i - 1].pose.position).length();
    assert!((1..60).all(|i| step(i) < 0.12), "the body jumps");
}

#[test]
fn a_hidden_arm_has_low_confidence_and_is_not_torn_away_by_wild_landmarks() {
    let body = body();
    let camera = Camera::guess([1280, 720]);
    let (times, truth, shape) = walk(&body, 30);
    let mut next = noise(10);
    let seen = truth
        .iter()
        .map(|p| {
            let mut l = observe(&body, &camera, p, &shape, &mut next, 0.5);
            for i in [14, 16, 18, 20, 22] {
                l.points[i].visibility = 0.02;
                l.points[i].x += (300.0 * next()) as f32;
                l.points[i].y += (300.0 * next()) as f32;
            }
            Some(l)
        })
        .collect();
    let fitted = fit_track(&body, &camera, &times, &track_of(seen), FitOptions::default());
    let joint = |name: &str| body.joint_names.iter().position(|n| n == name).expect("a MakeHuman joint");
    let confidence = &fitted.poses[15].pose.confidence;
    assert!(confidence[joint("lowerarm01.R")] < 0.2 && confidence[joint("lowerarm01.L")] > 0.8);
    let elsewhere = [5, 7, 9, 11, 12, 13, 14, 15, 16];
    let places = |p: &Pose, s: &[f64]| body.keypoints_coco_projected(&camera, p, s);
    for (fitted_pose, truth) in fitted.poses.iter().zip(&truth) {
        let (a, b) = (places(&fitted_pose.pose, &fitted.shape), places(truth, &shape));
        for k in elsewhere {
            let off = (a[k][0] - b[k][0]).hypot(a[k][1] - b[k][1]);
            assert!(off < 15.0, "key point {k} is {off} pixels off");
        }
    }
}

#[test]
fn a_standing_foot_does_not_slide() {
    let body = body();
    let camera = Camera::guess([1280, 720]);
    let (_, truth, shape) = walk(&body, 1);
    let times: Vec<f64> = (0..60).map(|i| f64::from(i) / 30.0).collect();
    let mut next = noise(11);
    let seen = times.iter().map(|_| Some(observe(&body, &camera, &truth[0], &shape, &mut next, 1.0))).collect();
    let fitted = fit_track(&body, &camera, &times, &track_of(seen), FitOptions::default());
    let ankles: Vec<DVec3> = fitted.poses.iter().map(|p| body.keypoints_coco(&p.pose, &fitted.shape)[15]).collect();
    let slide = ankles.windows(2).map(|w| w[0].distance(w[1])).sum::<f64>() / 59.0;
    assert!(slide < 0.003, "{slide} m a frame");
}

#[test]
fn odd_tracks_do_not_panic() {
    let body = body();
    let camera = Camera::guess([640, 480]);
    let (times, truth, shape) = walk(&body, 4);
    let good = observe(&body, &camera, &truth[0], &shape, &mut noise(12), 1.0);
    let fit = |landmarks, times: &[f64]| fit_track(&body, &camera, times, &track_of(landmarks), FitOptions::default());
    assert!(fit(vec![], &times).poses.is_empty());
    assert!(fit(vec![None, None], &times).poses.is_empty());
    assert_eq!(fit(vec![None, Some(good.clone()), None], &times).poses.len(), 3);
    // Fewer times than frames, and times that stand still.
    assert_eq!(fit(vec![Some(good.clone()); 9], &[]).poses.len(), 9);
    let still = fit(vec![Some(good.clone()); 9], &[0.5; 9]);
    assert!(still.poses.iter().all(|p| p.pose.position.is_finite()));
    let mut broken = good.clone();
    broken.points[3].x = f32::NAN;
    let mut far = good.clone();
    far.points.iter_mut().for_each(|p| (p.x, p.y) = (50_000.0, -70_000.0));
    let mut flat = good.clone();
    flat.points = [Landmark::default(); 33];
    flat.world = [[0.0; 3]; 33];
    for odd in [broken, far, flat] {
        let fitted = fit(vec![Some(good.clone()), Some(odd.clone()), Some(odd), Some(good.clone())], &times);
        assert_eq!(fitted.poses.len(), 4);
        let fine = |p: &FittedPose| p.pose.position.is_finite() && p.pose.rotations.iter().all(|q| q.is_finite());
        assert!(fitted.poses.iter().all(fine));
    }
}
