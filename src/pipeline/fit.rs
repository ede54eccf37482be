//! Between the passes: from the track of each person to their body, of one shape and posed in each frame.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::{Job, JobError, join, spawn};
use crate::body::{Body, Camera, FitOptions, FittedTrack, fit_track};
use crate::memory;
use crate::telemetry::Stage;
use crate::thread::locked;
use crate::track::Track;

/// Fits a body to every track, several at a time. `times`: seconds of every frame of the clip.
///
/// Consumes the tracks, each as large as what it becomes, one by one: a long clip has many.
///
/// # Errors
/// [`JobError::Stopped`] when the job is to stop, [`JobError::Internal`] when a thread cannot be started or panics.
pub fn fit(
    job: &Job,
    body: &Body,
    camera: &Camera,
    times: &[f64],
    tracks: Vec<Track>,
    options: FitOptions,
) -> Result<Vec<FittedTrack>, JobError> {
    let threads = crate::thread::cores().min(tracks.len());
    let fitted = Mutex::new(Vec::with_capacity(tracks.len()));
    let tracks = Mutex::new(tracks.into_iter());
    let next = || locked(&tracks).next();
    let fit_all = || -> Result<(), JobError> {
        while let Some(track) = next() {
            let start = Instant::now();
            let go_on = || job.context.proceed();
            let result = fit_track(body, camera, times, &track, options, &go_on)?;
            let frames = track.frames.len().max(1) as u32;
            let each = start.elapsed() / frames;
            let first = track.first_frame;
            (0..u64::from(frames)).for_each(|frame| job.context.timings.record(Stage::Fit, first + frame, each));
            locked(&fitted).push(result);
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

/// Frames of a person that are written down as one piece, some megabytes.
const PIECE: usize = 1000;

/// Fitted people in pieces, for the checkpoint.
pub fn pieces(fitted: &[FittedTrack]) -> impl Iterator<Item = FittedTrack> + '_ {
    fitted.iter().flat_map(|person| {
        person.poses.chunks(PIECE).enumerate().map(|(at, poses)| FittedTrack {
            id: person.id,
            first_frame: person.first_frame + (at * PIECE) as u64,
            shape: person.shape.clone(),
            poses: poses.to_vec(),
        })
    })
}

/// Fitted people from their pieces.
pub fn joined(pieces: Vec<FittedTrack>) -> Vec<FittedTrack> {
    let mut people: Vec<FittedTrack> = Vec::new();
    for piece in pieces {
        match people.last_mut() {
            Some(person) if person.id == piece.id => person.poses.extend(piece.poses),
            _ => people.push(piece),
        }
    }
    people
}
