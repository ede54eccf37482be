//! Fits the body to landmarks from a file and prints the motion: for measuring the fit without the networks.
//!
//! `fit_landmarks BODY.safetensors LANDMARKS.json > MOTION.json`, where LANDMARKS is
//! `{"display": [w, h], "frames": [null | {"time": s, "points": [[x, y, z, visibility, presence] x33], "world": [[x, y, z] x33],
//! "second": null | {"points", "world"}}]}`.

use anyhow::{Context, Result};
use meshreel::body::{Body, Camera, FitOptions, fit_track};
use meshreel::control::never_stopped;
use meshreel::pose::{LANDMARKS, Landmark, Landmarks};
use meshreel::track::{Track, TrackFrame};
use serde_json::{Value, json};

fn landmarks(frame: &Value) -> Result<Landmarks> {
    let points: Vec<[f32; 5]> = serde_json::from_value(frame["points"].clone())?;
    let world: Vec<[f32; 3]> = serde_json::from_value(frame["world"].clone())?;
    let points: Vec<Landmark> =
        points.into_iter().map(|[x, y, z, visibility, presence]| Landmark { x, y, z, visibility, presence }).collect();
    let count = || format!("expected {LANDMARKS} points");
    Ok(Landmarks {
        score: 1.0,
        points: points.try_into().ok().with_context(count)?,
        circle: [[0.0; 2]; 2],
        world: world.try_into().ok().with_context(count)?,
        hands: [None, None],
    })
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let body = Body::load(arguments.next().context("which body?")?.as_ref())?;
    let input: Value = serde_json::from_slice(&std::fs::read(arguments.next().context("which landmarks?")?)?)?;
    let smoothing = arguments.next().map_or(Ok(1.0), |s| s.parse())?;
    let display: [u32; 2] = serde_json::from_value(input["display"].clone())?;
    let frames = input["frames"].as_array().context("no frames")?;
    let times: Vec<f64> = frames.iter().map(|f| f["time"].as_f64().unwrap_or(0.0)).collect();
    let track_frames = frames
        .iter()
        .map(|f| {
            if f["points"].is_null() {
                return Ok(None);
            }
            let second = if f["second"].is_null() { None } else { Some(Box::new(landmarks(&f["second"])?)) };
            Ok(Some(TrackFrame { landmarks: landmarks(f)?, heavy_landmarks: second, estimate: None, uncertain: false }))
        })
        .collect::<Result<Vec<_>>>()?;
    let track = Track { id: 1, first_frame: 0, frames: track_frames };
    let camera = Camera::guess(display);
    let started = std::time::Instant::now();
    let options = FitOptions { smoothing, ..FitOptions::default() };
    let fitted = fit_track(&body, &camera, &times, &track, options, &never_stopped)?;
    eprintln!("{:.3} ms a frame", started.elapsed().as_secs_f64() * 1e3 / frames.len() as f64);
    let rows: Vec<Value> = fitted
        .poses
        .iter()
        .map(|p| {
            let rotations: Vec<[f64; 4]> = p.pose.rotations.iter().map(|q| [q.w, q.x, q.y, q.z]).collect();
            json!({
                "keypoints2d": body.keypoints_coco_projected(&camera, &p.pose, &fitted.shape),
                "joints3d": body.keypoints_coco(&p.pose, &fitted.shape).map(|p| p.to_array()),
                "rotations": rotations,
                "position": p.pose.position.to_array(),
                "confidence": p.pose.confidence,
                "score": p.score,
            })
        })
        .collect();
    println!("{}", json!({ "shape": fitted.shape, "poses": rows }));
    Ok(())
}
