//! Whether a finished file holds what was written to it.

use std::path::Path;

use super::av::open_input;
use super::{MediaError, Written};

/// Reads all packets of the file's video and compares their number and length.
pub fn verify(path: &Path, written: &Written) -> Result<(), MediaError> {
    let wrong = |reason: String| MediaError::Verify { path: path.to_owned(), reason };
    let mut input = open_input(path).map_err(|error| wrong(error.to_string()))?;
    let Some((index, time_base)) = input
        .streams()
        .best(ffmpeg_next::media::Type::Video)
        .map(|stream| (stream.index(), f64::from(stream.time_base())))
    else {
        return Err(wrong("it has no video".into()));
    };
    let (mut frames, mut start, mut end) = (0u64, i64::MAX, i64::MIN);
    for (stream, packet) in input.packets() {
        if stream.index() == index {
            frames += 1;
            // AVI and ASF know only when a frame is decoded.
            let stamp = packet.pts().or(packet.dts()).unwrap_or(0);
            (start, end) = (start.min(stamp), end.max(stamp + packet.duration()));
        }
    }
    if frames != written.frames {
        return Err(wrong(format!("it holds {frames} of {} frames", written.frames)));
    }
    let duration = end.saturating_sub(start) as f64 * time_base;
    // Containers round each stamp, and the last frame's length is a guess in some.
    let slack = 0.1 + 2.0 * written.duration / written.frames.max(1) as f64;
    if frames > 0 && (duration - written.duration).abs() > slack {
        return Err(wrong(format!("it lasts {duration:.2} instead of {:.2} seconds", written.duration)));
    }
    Ok(())
}
