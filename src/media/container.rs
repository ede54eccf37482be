//! Kinds of files that results are written as.

use std::ffi::CStr;
use std::path::Path;
use std::ptr;

use ffmpeg::codec::Id;
use ffmpeg::ffi;
use ffmpeg_next as ffmpeg;

use super::MediaError;
use super::av::file_url;

/// Endings of the kinds of files that results may be.
pub const CONTAINERS: [&str; 9] = ["mp4", "m4v", "mov", "mkv", "webm", "avi", "flv", "ts", "m2ts"];

/// Endings of files that hold one picture.
const PICTURES: [&str; 2] = ["png", "jpg"];

/// FFmpeg's description of the container that a file name asks for. That of a picture writes what the encoder gives, and nothing else.
pub(super) fn container(path: &Path) -> Result<*const ffi::AVOutputFormat, MediaError> {
    let unknown = || MediaError::UnknownContainer { path: path.to_owned() };
    let url = file_url(path).ok_or_else(unknown)?;
    let is_picture = path.extension().is_some_and(|ending| PICTURES.iter().any(|picture| ending == *picture));
    // SAFETY: only names are given; what comes back lives for ever.
    let format = unsafe {
        match is_picture {
            true => ffi::av_guess_format(c"image2pipe".as_ptr(), ptr::null(), ptr::null()),
            false => ffi::av_guess_format(ptr::null(), url.as_ptr(), ptr::null()),
        }
    };
    // Those that write several files, or none: playlists, pictures, devices.
    // SAFETY: null or a description that lives for ever.
    let is_one_file = unsafe { format.as_ref() }.is_some_and(|format| format.flags & ffi::AVFMT_NOFILE == 0);
    if is_one_file { Ok(format) } else { Err(unknown()) }
}

/// Whether a container takes video of a codec, so that players know it again.
pub(super) fn takes_video(format: *const ffi::AVOutputFormat, codec: Id) -> bool {
    // SAFETY: descriptions of containers live for ever.
    unsafe {
        // FFmpeg writes any codec into transport streams, and finds no video in most of them.
        if CStr::from_ptr((*format).name) == c"mpegts" {
            return matches!(codec, Id::H264 | Id::HEVC | Id::MPEG1VIDEO | Id::MPEG2VIDEO | Id::MPEG4);
        }
        if CStr::from_ptr((*format).name) == c"image2pipe" {
            return matches!(codec, Id::PNG | Id::MJPEG);
        }
        let answer = ffi::avformat_query_codec(format, codec.into(), ffi::FF_COMPLIANCE_UNOFFICIAL);
        answer != 0 && (*format).flags & ffi::AVFMT_NOTIMESTAMPS == 0
    }
}

/// Whether a container is one of the MP4 and QuickTime family, by FFmpeg's name of it.
///
/// # Safety
/// `format` must be a container's description.
pub(super) unsafe fn is_quicktime(format: *const ffi::AVOutputFormat) -> bool {
    // SAFETY: the caller's promise; names live for ever.
    let name = unsafe { CStr::from_ptr((*format).name) };
    ["mp4", "mov", "3gp", "3g2", "ipod", "psp", "f4v"].iter().any(|known| name.to_bytes() == known.as_bytes())
}
