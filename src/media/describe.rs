//! What a file and its first frame tell of the video.

use std::path::Path;

use ffmpeg::codec::Context;
use ffmpeg::ffi;
use ffmpeg::format::context::Input;
use ffmpeg::frame::Video;
use ffmpeg_next as ffmpeg;

use super::av::{self, ColorTags};
use super::convert::{self, Converter};
use super::probe::{SideData, Source, VideoInfo, orientation};
use super::{MediaError, version};
use crate::geometry::{Geometry, Orientation};

/// What the file and its first frame tell, and the converter that all frames need, if any.
pub(super) fn describe(
    path: &Path,
    input: &mut Input,
    index: usize,
    context: &Context,
    first: &Video,
) -> Result<(VideoInfo, Option<Converter>), MediaError> {
    let mut warnings = Vec::new();
    let count = |kind| input.streams().filter(|s| s.parameters().medium() == kind).count();
    let (audio_streams, subtitle_streams) = (count(ffmpeg::media::Type::Audio), count(ffmpeg::media::Type::Subtitle));
    let container = input.format().name().to_owned();
    // SAFETY: all pointers belong to the open input; the call only reads.
    let (sample_aspect, shift, parameters) = unsafe {
        let ctx = input.as_mut_ptr();
        let s = *(*ctx).streams.add(index);
        let aspect = ffi::av_guess_sample_aspect_ratio(ctx, s, first.as_ptr().cast_mut());
        let anywhere = (*(*ctx).iformat).flags & ffi::AVFMT_TS_DISCONT != 0;
        let start = (*ctx).start_time;
        let shift = if anywhere && start != ffi::AV_NOPTS_VALUE { start.saturating_neg() } else { 0 };
        (aspect, shift, (*s).codecpar)
    };
    let Some(stream) = input.stream(index) else { return Err(MediaError::NoVideo { path: path.to_owned() }) };
    let mut tags = ColorTags::read(first, parameters);
    let coded = [first.width(), first.height()];
    let original = first.format();
    let mut pixel = original;
    let mut converter = None;
    if let Some(plain) = convert::without_j(original) {
        pixel = plain;
        tags.range = ColorTags::FULL;
    } else if convert::planar_layout(original).is_none() {
        pixel = convert::nearest_planar(original);
        converter = Some(Converter::new(pixel, coded[0], coded[1]));
        if convert::is_rgb(original) {
            tags.space = ColorTags::SPACE_BT709;
            tags.range = ColorTags::LIMITED;
        } else if convert::is_gray(original) && tags.range == 0 {
            tags.range = ColorTags::FULL;
        }
        warnings.push(format!(
            "frames are converted from {} to {}, the nearest planar YUV format",
            convert::name(original),
            convert::name(pixel)
        ));
    }
    if tags.space == ColorTags::SPACE_RGB {
        tags.space = ColorTags::UNSPECIFIED;
    }
    let layout = convert::planar_layout(pixel).ok_or_else(|| MediaError::Undecodable {
        path: path.to_owned(),
        what: format!("{} frames", convert::name(original)),
        reason: "there is no planar YUV format near it".to_owned(),
    })?;
    let side_data = whole_stream_side_data(&stream, first);
    warnings.extend(what_is_lost(&stream, first));
    let is_matrix = |k: &ffi::AVPacketSideDataType| *k == ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX;
    let mut turn = Orientation::default();
    if let Some((_, matrix)) = side_data.iter().find(|(k, _)| is_matrix(k))
        && let Some((found, exact)) = orientation(matrix)
    {
        turn = found;
        if !exact {
            warnings.push("the rotation of the video is no quarter turn; the nearest one is used".to_owned());
        }
    }
    let positive = |r: ffmpeg::Rational| (r.numerator() > 0 && r.denominator() > 0).then(|| f64::from(r));
    let average = positive(stream.avg_frame_rate()).filter(|r| (0.01..=10000.0).contains(r));
    let rate = average.or_else(|| positive(stream.rate())).filter(|r| (0.01..=10000.0).contains(r)).unwrap_or(25.0);
    let rational = if average.is_some() { stream.avg_frame_rate() } else { stream.rate() };
    let rational = if positive(rational).is_some() { rational } else { ffmpeg::Rational(25, 1) };
    let known = |t: i64, unit: f64| (t != ffi::AV_NOPTS_VALUE && t > 0).then_some(t as f64 * unit);
    let duration = known(stream.duration(), f64::from(stream.time_base()))
        .or_else(|| known(input.duration(), 1.0 / f64::from(ffi::AV_TIME_BASE)));
    let frames =
        u64::try_from(stream.frames()).ok().filter(|&n| n > 0).or_else(|| duration.map(|d| (d * rate).round() as u64));
    // SAFETY: reads numbers of a live frame.
    let (interlaced, top_field_first) = unsafe { version::fields(first.as_ptr()) };
    if interlaced {
        warnings.push("the video is interlaced; meshes are drawn on whole frames".to_owned());
    }
    let aspect = if sample_aspect.num > 0 && sample_aspect.den > 0 {
        (f64::from(sample_aspect.num) / f64::from(sample_aspect.den)).clamp(0.05, 20.0)
    } else {
        1.0
    };
    let time_base = stream.time_base();
    let info = VideoInfo {
        path: path.to_owned(),
        source_start: 0.0,
        container,
        codec: context.id().name().to_owned(),
        pixel_format: convert::name(pixel),
        geometry: Geometry::new(coded, aspect, turn),
        orientation: turn,
        layout,
        color: convert::color(tags, coded[1]),
        frame_rate: rate,
        frames,
        duration,
        audio_streams,
        subtitle_streams,
        interlaced,
        warnings,
        source: Source {
            stream: index,
            time_base: time_base.into(),
            frame_rate: rational.into(),
            sample_aspect,
            tags,
            pixel,
            pictures: None,
            top_field_first,
            begins_undated: first.timestamp().is_none(),
            side_data,
            shift,
        },
    };
    Ok((info, converter))
}

/// Side data that belongs to the whole stream, from the container or else from the first frame: the codec may tell it there.
fn whole_stream_side_data(stream: &ffmpeg::Stream<'_>, first: &Video) -> Vec<SideData> {
    use ffi::AVFrameSideDataType::*;
    use ffi::AVPacketSideDataType::*;
    let of_frame = |kind: ffi::AVFrameSideDataType| {
        // SAFETY: null or side data of a live frame; its bytes are copied.
        unsafe {
            let found = ffi::av_frame_get_side_data(first.as_ptr(), kind).as_ref()?;
            Some(std::slice::from_raw_parts(found.data, found.size).to_vec())
        }
    };
    [
        (AV_PKT_DATA_DISPLAYMATRIX, AV_FRAME_DATA_DISPLAYMATRIX),
        (AV_PKT_DATA_MASTERING_DISPLAY_METADATA, AV_FRAME_DATA_MASTERING_DISPLAY_METADATA),
        (AV_PKT_DATA_CONTENT_LIGHT_LEVEL, AV_FRAME_DATA_CONTENT_LIGHT_LEVEL),
        (AV_PKT_DATA_STEREO3D, AV_FRAME_DATA_STEREO3D),
        (AV_PKT_DATA_SPHERICAL, AV_FRAME_DATA_SPHERICAL),
    ]
    .into_iter()
    .filter_map(|(kind, in_frame)| Some((kind, av::stream_side_data(stream, kind).or_else(|| of_frame(in_frame))?)))
    .collect()
}

/// What of the video no encoder here writes, in sentences.
fn what_is_lost(stream: &ffmpeg::Stream<'_>, first: &Video) -> Vec<String> {
    use ffi::AVFrameSideDataType::*;
    // SAFETY: looks into a live frame.
    let has = |kind| unsafe { !ffi::av_frame_get_side_data(first.as_ptr(), kind).is_null() };
    let mut lost = Vec::new();
    if let Some(configuration) = av::stream_side_data(stream, ffi::AVPacketSideDataType::AV_PKT_DATA_DOVI_CONF) {
        // Versions, then the profile (libavutil/dovi_meta.h). Of profile 5 the picture alone has colours of its own kind.
        let what = match configuration.get(2) {
            Some(5) => {
                "the Dolby Vision layer is lost, and without it this video's colours (profile 5) are shown wrong"
            }
            _ => "the Dolby Vision layer is lost; the picture below it is kept",
        };
        lost.push(what.to_owned());
    } else if has(AV_FRAME_DATA_DOVI_METADATA) {
        lost.push("the Dolby Vision layer is lost; the picture below it is kept".to_owned());
    }
    if has(AV_FRAME_DATA_DYNAMIC_HDR_PLUS) {
        lost.push("the HDR10+ light of single scenes is lost; that of the whole video is kept".to_owned());
    }
    lost
}
