//! The decode thread of either pass.

use std::time::Instant;

use flume::Sender;

use super::{Job, JobError};
use crate::media::{Decoder, Frame};
use crate::telemetry::{Buffer, Stage, Timings};

/// Sends every frame from number `from` on in order until the end, an error, a stop, or the receiver is gone; gives the
/// decoder back for what it knows of losses. Dropping the sender tells the receiver that this was all.
///
/// The frames before are decoded as well: what a damaged file or an odd clock makes of a frame depends on all before it.
pub fn decode(
    mut decoder: Decoder,
    from: u64,
    frames: Sender<Frame>,
    job: &Job<'_>,
    timings: &Timings,
) -> Result<Decoder, JobError> {
    loop {
        job.context.proceed()?;
        let start = Instant::now();
        let Some(frame) = decoder.next()? else { return Ok(decoder) };
        timings.record(Stage::Decode, frame.index, start.elapsed());
        timings.live().fill(Buffer::Decoded, frames.len(), frames.capacity().unwrap_or(0));
        if frame.index >= from && frames.send(frame).is_err() {
            // The receiver failed and tells why itself.
            return Ok(decoder);
        }
    }
}
