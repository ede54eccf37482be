//! The decode thread of either pass.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use flume::Sender;

use super::{Job, JobError};
use crate::media::{Decoder, Frame, Stretches, VideoInfo};
use crate::telemetry::{Buffer, Stage, Timings};

/// Number of the first damaged frame where there is none.
pub const WHOLE: u64 = u64::MAX;

/// What is decoded for a pass.
pub struct Passage<'a> {
    /// Frames that are wanted, by number; the decoder begins at or before the first of them.
    pub frames: Range<u64>,
    /// Seconds of the clip's first frames, as far as they are known.
    pub times: &'a [f64],
    /// The first frame at which something is known not to be whole or not in order; set before that frame is sent. [`WHOLE`] until then.
    pub damaged_from: &'a AtomicU64,
    /// Whether all frames to the end of the file are wanted once there is one.
    pub goes_on: bool,
    /// Set when nobody wants more frames.
    pub is_over: &'a AtomicBool,
}

/// Where in a job's video a decoder may begin.
pub fn stretches(job: &Job<'_>, info: &VideoInfo) -> Result<Stretches, JobError> {
    let stretches = Stretches::find(info, &|| job.context.proceed())?;
    // Short clips are one stretch anyway.
    if let Some(why) = stretches.why_one().filter(|_| !info.duration.is_some_and(Stretches::is_one)) {
        tracing::info!("{}: the clip is one stretch: {why}", job.name());
    }
    Ok(stretches)
}

/// Takes a decoder that has given nothing yet to the last place before a frame from which on it gives the same frames as from the
/// beginning. `times`: of the clip's first frames, seconds.
pub fn forward(decoder: Decoder, stretches: &Stretches, frame: u64, times: &[f64]) -> Result<Decoder, JobError> {
    let known = (times.len() as u64).saturating_sub(1);
    match stretches.before(frame.min(known)) {
        Some(begin) if begin.frame > 0 && times.get(begin.frame as usize) == Some(&begin.time) => {
            Ok(decoder.begin_at(begin)?)
        }
        _ => Ok(decoder),
    }
}

/// Sends the frames that are wanted in order until the last of them, the end, an error, a stop, or the receiver is gone; gives the
/// decoder back for what it knows of losses. Dropping the sender tells the receiver that this was all.
///
/// What a damaged file or an odd clock makes of a frame depends on all before it. So a decoder that began in the middle is used only as
/// long as all is in order; as soon as it is not, the frames from there on are decoded from the beginning.
pub fn decode(
    mut decoder: Decoder,
    passage: Passage<'_>,
    frames: Sender<Frame>,
    job: &Job<'_>,
    timings: &Timings,
) -> Result<Decoder, JobError> {
    let Passage { frames: Range { start: mut from, end }, times, damaged_from, goes_on, is_over } = passage;
    let ahead = frames.clone();
    let _queue = timings.live().queue(Buffer::Decoded, frames.capacity().unwrap_or(0), move || ahead.len());
    let is_damaged = || damaged_from.load(Ordering::Acquire) != WHOLE;
    loop {
        job.context.proceed()?;
        let start = Instant::now();
        let at = decoder.frames();
        let is_through = at >= end && !(goes_on && is_damaged());
        if is_through || is_over.load(Ordering::Acquire) || frames.is_disconnected() {
            return Ok(decoder);
        }
        let frame = decoder.next()?;
        let is_as_known = match &frame {
            Some(frame) => times.get(frame.index as usize).is_none_or(|time| *time == frame.time),
            None => at >= times.len() as u64,
        };
        if !(decoder.is_sound() && is_as_known) {
            damaged_from.fetch_min(at, Ordering::AcqRel);
        }
        if decoder.is_inside() && is_damaged() {
            tracing::info!("{}: not all is in order at frame {at}; decoded from the beginning", job.name());
            (decoder, from) = (decoder.begin_again()?, from.max(at));
            continue;
        }
        let Some(frame) = frame else { return Ok(decoder) };
        timings.record(Stage::Decode, frame.index, start.elapsed());
        if frame.index >= from && frames.send(frame).is_err() {
            // The receiver failed and tells why itself.
            return Ok(decoder);
        }
    }
}
