//! Small animated pictures of a video, for sharing.

use std::ffi::{CStr, CString};
use std::path::Path;
use std::ptr;

use ffmpeg::ffi;
use ffmpeg::format::Pixel;
use ffmpeg::format::context::Output;
use ffmpeg::frame::Video;
use ffmpeg::packet::Mut as _;
use ffmpeg_next as ffmpeg;
use serde::{Deserialize, Serialize};

use super::av::{Options, check, file_url};
use super::convert::Converter;
use super::palette::Colors;
use super::{Color, Decoder, Matrix, MediaError, Range, Thumbnail};
use crate::control::Stopped;

/// Widest picture, pixels.
const WIDEST: f64 = 480.0;
/// Most pictures a second.
const RATE: f64 = 15.0;
/// Seconds of the video that are shown.
const LENGTH: f64 = 20.0;
/// Times are counted in these, of which a second has so many: GIF knows no others.
const TICKS: i32 = 100;
/// Quality of WebP, of 100.
const QUALITY: &CStr = c"70";

/// Kinds of small animated pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// 256 colours, shown everywhere.
    Gif,
    /// All colours, and smaller.
    Webp,
}

impl Sharing {
    /// Ending of the file, which is FFmpeg's name of its format as well.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Gif => "gif",
            Self::Webp => "webp",
        }
    }

    fn codec(self) -> &'static str {
        match self {
            Self::Gif => "gif",
            Self::Webp => "libwebp_anim",
        }
    }
}

/// Whether this FFmpeg can make them.
///
/// # Errors
/// [`MediaError::UnknownEncoder`] when it cannot.
pub fn check_sharing(sharing: Sharing) -> Result<(), MediaError> {
    let unknown = || MediaError::UnknownEncoder { name: sharing.codec().to_owned() };
    ffmpeg::encoder::find_by_name(sharing.codec()).map(drop).ok_or_else(unknown)
}

/// Why there is no small animated picture.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The video cannot be read, or the picture not be written.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// It is to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Makes a small animated picture of a video (`pictures`: as [`Decoder::open_also_pictures`] takes them) into the file `to`.
///
/// # Errors
/// Those of reading, compressing and writing; and when `go_on`, which is called for each frame, says so.
pub fn share(
    video: &Path,
    pictures: Option<f64>,
    to: &Path,
    sharing: Sharing,
    go_on: &dyn Fn() -> Result<(), Stopped>,
) -> Result<(), ShareError> {
    let mut palette = None;
    if sharing == Sharing::Gif {
        let mut colors = Colors::default();
        each_picture(video, pictures, &EXCERPT, go_on, &mut |_, small| {
            colors.add(&small.rgb);
            Ok(())
        })?;
        palette = Some(colors.palette());
    }
    let mut converter: Option<Converter> = None;
    let mut begun: Option<Writer> = None;
    each_picture(video, pictures, &EXCERPT, go_on, &mut |time, small| {
        let size = [small.width, small.height];
        let mut picture = match &palette {
            Some(palette) => palette.picture(small),
            None => {
                let converter = converter.get_or_insert_with(|| Converter::new(Pixel::YUV420P, size[0], size[1]));
                let full = Color { matrix: Matrix::Bt601, range: Range::Full };
                let limited = Color { range: Range::Limited, ..full };
                converter.run(&rgb(small), full, limited).map_err(|e| MediaError::encode(to, e))?
            }
        };
        picture.set_pts(Some((time * f64::from(TICKS)).round() as i64));
        let writer = match &mut begun {
            Some(writer) => writer,
            None => begun.insert(Writer::create(to, &sharing.compression(), size)?),
        };
        writer.write(Some(&picture))
    })?;
    let Some(mut writer) = begun else { return Err(MediaError::NoFrames { path: video.to_owned() }.into()) };
    writer.write(None)?;
    Ok(writer.finish()?)
}

/// Which pictures of a video are shown in a small one.
pub(super) struct Excerpt {
    /// Widest picture, pixels.
    pub widest: f64,
    /// Highest picture, pixels.
    pub highest: f64,
    /// Most pictures a second.
    pub rate: f64,
    /// Seconds of the video that are shown.
    pub seconds: f64,
}

const EXCERPT: Excerpt = Excerpt { widest: WIDEST, highest: f64::INFINITY, rate: RATE, seconds: LENGTH };

/// Shows `take` these pictures of a video, and when each is shown, seconds.
pub(super) fn each_picture(
    video: &Path,
    pictures: Option<f64>,
    excerpt: &Excerpt,
    go_on: &dyn Fn() -> Result<(), Stopped>,
    take: &mut dyn FnMut(f64, &Thumbnail) -> Result<(), MediaError>,
) -> Result<(), ShareError> {
    let mut decoder = Decoder::open_also_pictures(video, 0, pictures)?;
    let [width, height] = decoder.info().geometry.display.map(f64::from);
    let scale = (excerpt.widest / width).min(excerpt.highest / height).min(1.0);
    let longest = scale * width.max(height);
    let step = 1.0 / excerpt.rate;
    let mut due = 0.0;
    while let Some(frame) = decoder.next()? {
        go_on()?;
        if frame.time >= excerpt.seconds {
            break;
        }
        // A little early is no reason to wait for the next frame.
        if frame.time + 0.1 * step >= due {
            // After a pause the clock begins anew, so that no two pictures are nearer than 0.4 steps.
            due = (due + step).max(frame.time + 0.5 * step);
            let small = Thumbnail::new(&frame, decoder.info(), longest.round() as u32)?;
            take(frame.time, &small)?;
        }
    }
    Ok(())
}

pub(super) fn rgb(small: &Thumbnail) -> Video {
    let mut picture = Video::new(Pixel::RGB24, small.width, small.height);
    let stride = picture.stride(0);
    let row = 3 * small.width as usize;
    for (line, from) in picture.data_mut(0).chunks_mut(stride).zip(small.rgb.chunks(row)) {
        line[..row].copy_from_slice(from);
    }
    picture
}

/// How small pictures are compressed.
pub(super) struct Compression {
    /// FFmpeg's name of the encoder.
    pub codec: &'static str,
    /// FFmpeg's name of the file's format.
    pub format: &'static CStr,
    /// What the pictures are.
    pub pixels: ffi::AVPixelFormat,
    /// Times are counted in these, of which a second has so many.
    pub ticks: i32,
    /// Options of the encoder.
    pub encoder: Vec<(&'static CStr, CString)>,
    /// Options of the file.
    pub file: &'static [(&'static CStr, &'static CStr)],
    /// Most bits a second; 0: no limit.
    pub bit_rate: i64,
    /// Pictures from one that stands alone to the next; 0: as the encoder likes.
    pub interval: i32,
}

impl Sharing {
    fn compression(self) -> Compression {
        Compression {
            codec: self.codec(),
            format: if self == Self::Gif { c"gif" } else { c"webp" },
            pixels: match self {
                Self::Gif => ffi::AVPixelFormat::AV_PIX_FMT_PAL8,
                Self::Webp => ffi::AVPixelFormat::AV_PIX_FMT_YUV420P,
            },
            ticks: TICKS,
            encoder: if self == Self::Webp { vec![(c"quality", QUALITY.into())] } else { Vec::new() },
            file: &[(c"loop", c"0")],
            bit_rate: 0,
            interval: 0,
        }
    }
}

/// Compresses small pictures into a file.
pub(super) struct Writer<'p> {
    path: &'p Path,
    context: ffmpeg::codec::Context,
    output: Output,
}

impl<'p> Writer<'p> {
    pub fn create(path: &'p Path, how: &Compression, [width, height]: [u32; 2]) -> Result<Self, MediaError> {
        let fail = |e| MediaError::encode(path, e);
        let unknown = || MediaError::UnknownEncoder { name: how.codec.to_owned() };
        let codec = ffmpeg::encoder::find_by_name(how.codec).ok_or_else(unknown)?;
        let mut context = ffmpeg::codec::Context::new_with_codec(codec);
        let url = file_url(path).ok_or_else(|| MediaError::UnknownContainer { path: path.to_owned() })?;
        let mut raw = ptr::null_mut();
        // SAFETY: a new context of our own and plain fields of it; `raw` is null, so FFmpeg allocates it, and `Output` closes and frees
        // it; the new stream belongs to the output.
        unsafe {
            let c = &mut *context.as_mut_ptr();
            (c.width, c.height) = (width as i32, height as i32);
            c.pix_fmt = how.pixels;
            c.time_base = ffi::AVRational { num: 1, den: how.ticks };
            if how.bit_rate > 0 {
                c.bit_rate = how.bit_rate;
                c.rc_max_rate = how.bit_rate;
                c.rc_buffer_size = i32::try_from(how.bit_rate * 2).unwrap_or(i32::MAX);
            }
            if how.interval > 0 {
                c.gop_size = how.interval;
            }
            let code = ffi::avformat_alloc_output_context2(&mut raw, ptr::null(), how.format.as_ptr(), url.as_ptr());
            check(code).map_err(fail)?;
            let mut output = Output::wrap(raw);
            if (*(*raw).oformat).flags & ffi::AVFMT_GLOBALHEADER != 0 {
                c.flags |= ffi::AV_CODEC_FLAG_GLOBAL_HEADER as i32;
            }
            let mut options = Options::new();
            how.encoder.iter().for_each(|(key, value)| options.set(key, value));
            check(ffi::avcodec_open2(c, codec.as_ptr(), &mut options.0)).map_err(fail)?;
            let code = ffi::avio_open(&mut (*raw).pb, url.as_ptr(), ffi::AVIO_FLAG_WRITE);
            check(code).map_err(|e| MediaError::mux(path, e))?;
            let stream = ffi::avformat_new_stream(output.as_mut_ptr(), ptr::null());
            if stream.is_null() {
                return Err(fail(ffmpeg::Error::from(ffi::AVERROR(ffi::ENOMEM))));
            }
            check(ffi::avcodec_parameters_from_context((*stream).codecpar, c)).map_err(fail)?;
            (*stream).time_base = c.time_base;
            let mut options = Options::new();
            how.file.iter().for_each(|(key, value)| options.set(key, value));
            check(ffi::avformat_write_header(output.as_mut_ptr(), &mut options.0)).map_err(fail)?;
            Ok(Self { path, context, output })
        }
    }

    /// Takes the next picture, or that there are no more.
    pub fn write(&mut self, picture: Option<&Video>) -> Result<(), MediaError> {
        let fail = |e| MediaError::encode(self.path, e);
        let mut packet = ffmpeg::Packet::empty();
        // SAFETY: an open encoder, a live picture or null, a packet of our own, an output whose header was written.
        unsafe {
            let context = self.context.as_mut_ptr();
            let picture = picture.map_or(ptr::null(), |picture| picture.as_ptr());
            check(ffi::avcodec_send_frame(context, picture)).map_err(fail)?;
            loop {
                match ffi::avcodec_receive_packet(context, packet.as_mut_ptr()) {
                    ffi::AVERROR_EOF => return Ok(()),
                    code if code == ffi::AVERROR(ffi::EAGAIN) => return Ok(()),
                    code => check(code).map_err(fail)?,
                };
                let output = self.output.as_mut_ptr();
                let stream = *(*output).streams;
                (*packet.as_mut_ptr()).stream_index = 0;
                ffi::av_packet_rescale_ts(packet.as_mut_ptr(), (*context).time_base, (*stream).time_base);
                let code = ffi::av_interleaved_write_frame(output, packet.as_mut_ptr());
                check(code).map_err(|e| MediaError::mux(self.path, e))?;
            }
        }
    }

    pub fn finish(mut self) -> Result<(), MediaError> {
        // SAFETY: the header was written; the trailer is written once.
        let code = unsafe { ffi::av_write_trailer(self.output.as_mut_ptr()) };
        check(code).map(drop).map_err(|e| MediaError::mux(self.path, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_in_a_fast_video_gives_no_two_pictures_at_one_time() {
        let folder = tempfile::tempdir().unwrap();
        let [video, gif] = ["clip.mkv", "clip.gif"].map(|name| folder.path().join(name));
        let made = std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=240:d=1"])
            .args(["-vf", "setpts=PTS+if(gte(N\\,60)\\,1/TB\\,0)", "-vsync", "passthrough", "-c:v", "ffv1"])
            .arg(&video)
            .status()
            .unwrap();
        assert!(made.success());
        let mut stamps = Vec::new();
        each_picture(&video, None, &EXCERPT, &|| Ok(()), &mut |time, _| {
            stamps.push((time * f64::from(TICKS)).round() as i64);
            Ok(())
        })
        .unwrap();
        assert!(stamps.windows(2).all(|two| two[0] + 2 <= two[1]), "{stamps:?}");
        assert!(stamps.len() > 10 && stamps.iter().any(|&stamp| stamp > 140), "{stamps:?}");
        share(&video, None, &gif, Sharing::Gif, &|| Ok(())).unwrap();
    }
}
