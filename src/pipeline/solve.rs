//! Between the passes: from what was seen in each frame to one body a person, posed in each frame.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::body::{Body, Camera, FitOptions, FittedTrack, fit_track};
use crate::telemetry::{Stage, Timings};
use crate::track::Track;

/// Fits a body to every track, several at a time. `times`: seconds of every frame of the clip.
pub fn solve(body: &Body, camera: &Camera, times: &[f64], tracks: &[Track], timings: &Timings) -> Vec<FittedTrack> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(tracks.len());
    let next = AtomicUsize::new(0);
    let fitted = Mutex::new(Vec::with_capacity(tracks.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                // Relaxed: only the counter itself is shared; the scope's end orders everything else.
                while let Some(track) = tracks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    let result = fit_track(body, camera, times, track, FitOptions::default());
                    let frames = track.observations.len().max(1) as u32;
                    let each = start.elapsed() / frames;
                    let first = track.first_frame;
                    (0..u64::from(frames)).for_each(|frame| timings.record(Stage::Fit, first + frame, each));
                    fitted.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(result);
                }
            });
        }
    });
    let mut fitted = fitted.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    fitted.retain(|track| !track.poses.is_empty());
    fitted.sort_by_key(|track| track.id);
    fitted
}
