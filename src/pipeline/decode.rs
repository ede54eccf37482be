//! The decode thread of either pass.

use crate::control::Control;
use std::time::{Duration, Instant};

use flume::Sender;

use super::JobError;
use crate::media::{Decoder, Frame};
use crate::telemetry::{Buffer, Stage, Timings};

/// How soon a job that waits notices that it may go on.
const NAP: Duration = Duration::from_millis(50);

/// Sends every frame from number `from` on in order until the end, an error, a stop, or the receiver is gone; gives the
/// decoder back for what it knows of losses. Dropping the sender tells the receiver that this was all.
///
/// The frames before are decoded as well: what a damaged file or an odd clock makes of a frame depends on all before it.
pub fn decode(
    mut decoder: Decoder,
    from: u64,
    frames: Sender<Frame>,
    course: &(dyn Fn() -> Control + Sync),
    timings: &Timings,
) -> Result<Decoder, JobError> {
    loop {
        match course() {
            Control::Go => {}
            Control::Hold => {
                std::thread::sleep(NAP);
                continue;
            }
            Control::Stop => return Err(JobError::Stopped),
        }
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
