//! Between the passes: from the track of each person to their body, of one shape and posed in each frame.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::{Job, JobError, join, spawn};
use crate::body::{Body, Camera, FitOptions, FittedTrack, fit_track};
use crate::control::{Stopped, proceed};
use crate::memory;
use crate::telemetry::Stage;
use crate::track::Track;

/// Fits a body to every track, several at a time. `times`: seconds of every frame of the clip.
///
/// Consumes the tracks, each as large as what it becomes, one by one: a long clip has many.
///
/// # Errors
/// [`JobError::Stopped`] when the job is to stop, [`JobError::Internal`] when a thread cannot be started or panics.
pub fn solve(
    job: &Job,
    body: &Body,
    camera: &Camera,
    times: &[f64],
    tracks: Vec<Track>,
    options: FitOptions,
) -> Result<Vec<FittedTrack>, JobError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(tracks.len());
    let fitted = Mutex::new(Vec::with_capacity(tracks.len()));
    let tracks = Mutex::new(tracks.into_iter());
    let next = || tracks.lock().unwrap_or_else(PoisonError::into_inner).next();
    let fit_all = || -> Result<(), JobError> {
        while let Some(track) = next() {
            let start = Instant::now();
            let go_on = || proceed(job.course);
            let result =
                fit_track(body, camera, times, &track, options, &go_on).map_err(|Stopped| JobError::Stopped)?;
            let frames = track.frames.len().max(1) as u32;
            let each = start.elapsed() / frames;
            let first = track.first_frame;
            (0..u64::from(frames)).for_each(|frame| job.timings.record(Stage::Fit, first + frame, each));
            fitted.lock().unwrap_or_else(PoisonError::into_inner).push(result);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| spawn(scope, "fit", fit_all)).collect();
        // Each is waited for, whatever became of the others.
        let ended: Vec<_> = started.into_iter().map(|thread| thread.and_then(join)).collect();
        ended.into_iter().collect::<Result<(), JobError>>()
    })?;
    memory::give_back();
    let mut fitted = fitted.into_inner().unwrap_or_else(PoisonError::into_inner);
    fitted.retain(|track| !track.poses.is_empty());
    fitted.sort_by_key(|track| track.id);
    Ok(fitted)
}
