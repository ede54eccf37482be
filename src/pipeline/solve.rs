//! Between the passes: from what was seen in each frame to one body a person, posed in each frame.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::body::{Body, Camera, FitOptions, FittedTrack, fit_track};
use crate::memory;
use crate::telemetry::{Stage, Timings};
use crate::track::Track;

/// Fits a body to every track, several at a time. `times`: seconds of every frame of the clip.
///
/// Consumes the tracks, each as large as what it becomes, one by one: a long clip has many.
pub fn solve(
    body: &Body,
    camera: &Camera,
    times: &[f64],
    tracks: Vec<Track>,
    options: FitOptions,
    timings: &Timings,
) -> Vec<FittedTrack> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(tracks.len());
    let fitted = Mutex::new(Vec::with_capacity(tracks.len()));
    let tracks = Mutex::new(tracks.into_iter());
    let next = || tracks.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(track) = next() {
                    let start = Instant::now();
                    let result = fit_track(body, camera, times, &track, options);
                    let frames = track.observations.len().max(1) as u32;
                    let each = start.elapsed() / frames;
                    let first = track.first_frame;
                    (0..u64::from(frames)).for_each(|frame| timings.record(Stage::Fit, first + frame, each));
                    fitted.lock().unwrap_or_else(PoisonError::into_inner).push(result);
                }
            });
        }
    });
    memory::give_back();
    let mut fitted = fitted.into_inner().unwrap_or_else(PoisonError::into_inner);
    fitted.retain(|track| !track.poses.is_empty());
    fitted.sort_by_key(|track| track.id);
    fitted
}
