//! The decode thread of either pass.

use std::sync::atomic::{AtomicBool, Ordering};

use flume::Sender;

use super::JobError;
use crate::media::{Decoder, Frame};
use crate::telemetry::{Stage, Timings};

/// Sends every frame in order until the end, an error, a stop, or the receiver is gone; gives the decoder back for what
/// it knows of losses. Dropping the sender tells the receiver that this was all.
pub fn decode(
    mut decoder: Decoder,
    frames: Sender<Frame>,
    stop: &AtomicBool,
    timings: &Timings,
) -> Result<Decoder, JobError> {
    // Relaxed: the flag carries no data, and a frame later is early enough.
    while !stop.load(Ordering::Relaxed) {
        let Some(frame) = timings.time(Stage::Decode, || decoder.next())? else {
            return Ok(decoder);
        };
        if frames.send(frame).is_err() {
            // The receiver failed and tells why itself.
            return Ok(decoder);
        }
    }
    Err(JobError::Stopped)
}
