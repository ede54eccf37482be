//! Whether a finished file holds what was written to it.

use std::path::Path;

use ffmpeg_next::ffi::AVPacketSideDataType as Kind;

use super::av::{open_input, stream_side_data};
use super::{EncodeSettings, MediaError, VideoInfo, Written, light};

/// What a finished file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// Time stamp of the first frame, seconds.
    pub start: f64,
    /// What of the source's video the container does not hold, in sentences.
    pub lost: Vec<String>,
}

/// Reads all packets of the file's video and compares their number and length.
pub fn verify(
    path: &Path,
    source: &VideoInfo,
    settings: &EncodeSettings,
    written: &Written,
) -> Result<Verified, MediaError> {
    let wrong = |reason: String| MediaError::Verify { path: path.to_owned(), reason };
    let mut input = open_input(path).map_err(|error| wrong(error.to_string()))?;
    let container = path.extension().unwrap_or_default().to_string_lossy();
    let Some((index, time_base, lost)) = input.streams().best(ffmpeg_next::media::Type::Video).map(|stream| {
        let lost = lost(source, settings, &container, |kind| stream_side_data(&stream, kind).is_some());
        (stream.index(), f64::from(stream.time_base()), lost)
    }) else {
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
    // AVI begins at zero: a picture that begins later has its first frame there, and the others where they belong.
    let lasts = |expected: f64| (duration - expected).abs() <= slack;
    if frames > 0 && !lasts(written.duration) && lasts(written.start + written.duration) {
        return Ok(Verified { start: written.start, lost });
    }
    if frames > 0 && !lasts(written.duration) {
        return Err(wrong(format!("it lasts {duration:.2} instead of {:.2} seconds", written.duration)));
    }
    Ok(Verified { start: if frames > 0 { start as f64 * time_base } else { 0.0 }, lost })
}

/// Side data of the source's video that is in the result neither by the container's means nor by the encoder's.
fn lost(source: &VideoInfo, settings: &EncodeSettings, container: &str, has: impl Fn(Kind) -> bool) -> Vec<String> {
    let sentence = |kind: Kind| match kind {
        Kind::AV_PKT_DATA_MASTERING_DISPLAY_METADATA | Kind::AV_PKT_DATA_CONTENT_LIGHT_LEVEL
            if source.source.tags.is_hdr() && !light::is_written_by(&settings.codec, &source.source.side_data) =>
        {
            Some(format!(
                "HDR10's light metadata is lost, in part at least: {} or '{container}' files do not take it",
                settings.codec
            ))
        }
        Kind::AV_PKT_DATA_STEREO3D => {
            Some(format!("'{container}' files do not say that a picture is made of two for both eyes; that is lost"))
        }
        Kind::AV_PKT_DATA_SPHERICAL => {
            Some(format!("'{container}' files do not say that a picture is a panorama; that is lost"))
        }
        _ => None,
    };
    let kinds = source.source.side_data.iter().map(|(kind, _)| *kind);
    let mut lost: Vec<String> = kinds.filter(|kind| !has(*kind)).filter_map(sentence).collect();
    lost.dedup();
    lost
}
