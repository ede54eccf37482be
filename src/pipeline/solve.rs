//! Between the passes: from what was seen in each frame to one body a person, posed in each frame.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::{Job, JobError};
use crate::body::{Body, Camera, FitOptions, FittedTrack, fit_track};
use crate::memory;
use crate::telemetry::Stage;
use crate::track::Track;

/// Fits a body to every track, several at a time. `times`: seconds of every frame of the clip.
///
/// Consumes the tracks, each as large as what it becomes, one by one: a long clip has many.
pub fn solve(
    job: &Job<'_>,
    body: &Body,
    camera: &Camera,
    times: &[f64],
    tracks: Vec<Track>,
    options: FitOptions,
) -> Result<Vec<FittedTrack>, JobError> {
    let timings = &job.context.timings;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(tracks.len());
    let fitted = Mutex::new(Vec::with_capacity(tracks.len()));
    let tracks = Mutex::new(tracks.into_iter());
    let next = || tracks.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let (Ok(()), Some(track)) = (job.context.proceed(), next()) {
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
    job.context.proceed()?;
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
