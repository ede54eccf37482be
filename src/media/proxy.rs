//! A small copy of a video, without sound, for showing it in a page.

use std::ffi::CString;
use std::path::Path;

use ffmpeg::format::Pixel;
use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;

use super::convert::Converter;
use super::share::{Compression, Excerpt, Writer, each_picture, rgb};
use super::{Color, Matrix, MediaError, Range, ShareError};
use crate::control::Stopped;

/// FFmpeg's encoders of H.264, in the order in which they are tried.
const ENCODERS: [&str; 2] = ["libx264", "libopenh264"];
/// Times are counted in these, of which a second has so many.
const TICKS: i32 = 90_000;

/// What a small copy is to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proxy {
    /// Widest and highest picture, pixels.
    pub longest: u32,
    /// Most pictures a second.
    pub rate: f64,
    /// Seconds of the video that are in it.
    pub seconds: f64,
    /// Most bits a second.
    pub bit_rate: u32,
}

/// Whether this FFmpeg can make one.
pub fn can_make_proxy() -> bool {
    encoder().is_some()
}

fn encoder() -> Option<&'static str> {
    ENCODERS.into_iter().find(|name| ffmpeg::encoder::find_by_name(name).is_some())
}

/// Makes a small copy of a video (`pictures`: as [`super::Decoder::open_also_pictures`] takes them) into the file `to`: H.264 in MP4, that
/// begins at 0.
///
/// # Errors
/// Those of reading, compressing and writing; and when `go_on`, which is called for each frame, says so.
pub fn make_proxy(
    video: &Path,
    pictures: Option<f64>,
    to: &Path,
    proxy: &Proxy,
    go_on: &dyn Fn() -> Result<(), Stopped>,
) -> Result<(), ShareError> {
    let codec = encoder().ok_or_else(|| MediaError::UnknownEncoder { name: ENCODERS[0].to_owned() })?;
    let mut encoder = Vec::new();
    if codec == ENCODERS[0] {
        encoder.extend([(c"preset", CString::from(c"veryfast")), (c"crf", CString::from(c"26"))]);
    }
    let how = Compression {
        codec,
        format: c"mp4",
        pixels: ffi::AVPixelFormat::AV_PIX_FMT_YUV420P,
        ticks: TICKS,
        encoder,
        file: &[],
        bit_rate: proxy.bit_rate.into(),
        // Whoever scrubs waits for the pictures since the last one that stands alone.
        interval: proxy.rate.round().clamp(1.0, 60.0) as i32,
    };
    let longest = f64::from(proxy.longest);
    let excerpt = Excerpt { widest: longest, highest: longest, rate: proxy.rate, seconds: proxy.seconds };
    let full = Color { matrix: Matrix::Bt601, range: Range::Full };
    let limited = Color { range: Range::Limited, ..full };
    let mut begun: Option<(Converter, Writer<'_>)> = None;
    each_picture(video, pictures, &excerpt, go_on, &mut |time, small| {
        let (converter, writer) = match &mut begun {
            Some(begun) => begun,
            None => {
                // The colours of two rows and columns are one.
                let size = [small.width, small.height].map(|side| (side & !1).max(2));
                let converter = Converter::new(Pixel::YUV420P, size[0], size[1]);
                begun.insert((converter, Writer::create(to, &how, size)?))
            }
        };
        let mut picture = converter.run(&rgb(small), full, limited).map_err(|e| MediaError::encode(to, e))?;
        picture.set_pts(Some((time * f64::from(TICKS)).round() as i64));
        writer.write(Some(&picture))
    })?;
    let Some((_, mut writer)) = begun else { return Err(MediaError::NoFrames { path: video.to_owned() }.into()) };
    writer.write(None)?;
    Ok(writer.finish()?)
}
