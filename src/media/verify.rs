//! Whether a finished file holds what was written to it.

use std::path::Path;

use ffmpeg_next::ffi::AVFieldOrder::{AV_FIELD_PROGRESSIVE, AV_FIELD_UNKNOWN};
use ffmpeg_next::ffi::AVPacketSideDataType as Kind;

use super::av::stream_side_data;
use super::description::Description;
use super::{EncodeSettings, MediaError, VideoInfo, Written, light, pictures};

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
    let mut input = pictures::open_beside(path, source.source.pictures).map_err(|error| wrong(error.to_string()))?;
    let container = path.extension().unwrap_or_default().to_string_lossy();
    let Some((index, time_base, mut lost)) = input.streams().best(ffmpeg_next::media::Type::Video).map(|stream| {
        let mut lost = lost(source, settings, &container, |kind| stream_side_data(&stream, kind).is_some());
        // SAFETY: a number of a live stream.
        let order = unsafe { (*stream.parameters().as_ptr()).field_order };
        if source.interlaced && matches!(order, AV_FIELD_UNKNOWN | AV_FIELD_PROGRESSIVE) {
            lost.push(format!(
                "'{container}' files do not say here that pictures are made of two fields; that is lost"
            ));
        }
        (stream.index(), f64::from(stream.time_base()), lost)
    }) else {
        return Err(wrong("it has no video".into()));
    };
    let mut described = Description::of(&input, index);
    let (mut frames, mut start, mut end) = (0u64, i64::MAX, i64::MIN);
    for (stream, packet) in input.packets() {
        // AVI and ASF know only when a frame is decoded.
        let stamp = packet.pts().or(packet.dts()).unwrap_or(0);
        let ends = stamp.saturating_add(packet.duration());
        if stream.index() == index {
            frames += 1;
            (start, end) = (start.min(stamp), end.max(ends));
        } else if let Some(other) = described.streams.get_mut(stream.index()) {
            let [begins, ends] = [stamp, ends].map(|t| t as f64 * f64::from(stream.time_base()));
            other.extend(begins, ends);
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
    let start = match frames {
        0 => 0.0,
        _ if lasts(written.duration) => start as f64 * time_base,
        _ if lasts(written.start + written.duration) => written.start,
        _ => return Err(wrong(format!("it lasts {duration:.2} instead of {:.2} seconds", written.duration))),
    };
    described.streams.remove(index);
    described.count_from(start);
    lost.extend(written.described.lost_in(&described, &container));
    Ok(Verified { start, lost })
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
