//! Frames back into compressed video.

use std::collections::VecDeque;
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::ptr;

use ffmpeg::ffi;
use ffmpeg::format::Pixel;
use ffmpeg_next as ffmpeg;

use super::av::{Options, check, copy_metadata, file_url};
use super::convert::Converter;
use super::{Color, Frame, MediaError, VideoInfo, convert};

/// How the video is compressed.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodeSettings {
    /// An FFmpeg encoder by name.
    pub codec: String,
    /// Its speed preset, where it has one.
    pub preset: String,
    /// Its constant rate factor, where it has one: lower is better and larger.
    pub crf: u32,
    /// Threads; 0 lets the encoder choose.
    pub threads: usize,
}

/// A piece of compressed video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Compressed bytes.
    pub data: Vec<u8>,
    /// When it is shown, in the source's time base, moved to where the output's clock begins.
    pub stamp: i64,
    /// For how long, in the same unit.
    pub duration: i64,
    /// FFmpeg's flags: whether one can begin here, and the like.
    pub flags: i32,
}

/// Compresses frames. What one encoder gives stands alone: the next one's follows without a seam, so that a video can be
/// made in segments.
pub struct Encoder {
    path: PathBuf,
    context: ffmpeg::codec::Context,
    /// Added to the stamps of the frames that come in.
    shift: i64,
    /// Stamp and duration of frames inside the encoder.
    inside: VecDeque<(i64, i64)>,
    /// Of the frames that come in.
    pixel: Pixel,
    /// Into the format that the encoder takes, where it does not take that of the frames.
    converter: Option<Converter>,
    color: Color,
    size: [u32; 2],
    warnings: Vec<String>,
}

impl Encoder {
    /// Starts an encoder for frames of `source` that go into a file at `path`: its extension names the container, and
    /// messages speak of it.
    pub fn open(path: &Path, source: &VideoInfo, settings: &EncodeSettings) -> Result<Self, MediaError> {
        let mut warnings = Vec::new();
        let pixel = source.source.pixel;
        let (context, encoded) = open_encoder(path, source, settings, &mut warnings)?;
        let [width, height] = source.geometry.coded;
        let converter = (encoded != pixel).then(|| Converter::new(encoded, width, height));
        // SAFETY: plain arithmetic.
        let shift = unsafe { ffi::av_rescale_q(source.source.shift, MICROSECONDS, source.source.time_base) };
        Ok(Self {
            path: path.to_owned(),
            context,
            shift,
            inside: VecDeque::new(),
            pixel,
            converter,
            color: source.color,
            size: source.geometry.coded,
            warnings,
        })
    }

    /// Takes the next frame, and gives the packets that are ready.
    pub fn write(&mut self, frame: Frame) -> Result<Vec<Packet>, MediaError> {
        let mut picture = frame.picture;
        if picture.format() != self.pixel || [picture.width(), picture.height()] != self.size {
            return Err(MediaError::WrongFrame { path: self.path.clone() });
        }
        if let Some(converter) = &mut self.converter {
            picture = converter.run(&picture, self.color, self.color).map_err(|e| MediaError::encode(&self.path, e))?;
        }
        let stamp = picture.pts().unwrap_or(0) + self.shift;
        picture.set_pts(Some(stamp));
        self.inside.push_back((stamp, frame.duration));
        // SAFETY: an open encoder and a frame of our own.
        let code = unsafe { ffi::avcodec_send_frame(self.context.as_mut_ptr(), picture.as_ptr()) };
        check(code).map_err(|e| MediaError::encode(&self.path, e))?;
        self.drain()
    }

    /// Gives what is held back.
    pub fn finish(mut self) -> Result<Vec<Packet>, MediaError> {
        // SAFETY: a null frame asks an open encoder for what it holds back.
        let code = unsafe { ffi::avcodec_send_frame(self.context.as_mut_ptr(), std::ptr::null()) };
        check(code).map_err(|e| MediaError::encode(&self.path, e))?;
        self.drain()
    }

    /// What could not be kept as it was, in sentences.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// For the muxer, which copies the parameters.
    pub(super) fn context(&mut self) -> *mut ffi::AVCodecContext {
        // SAFETY: gives the pointer; what is done with it is the caller's business.
        unsafe { self.context.as_mut_ptr() }
    }

    fn drain(&mut self) -> Result<Vec<Packet>, MediaError> {
        let mut packets = Vec::new();
        let mut packet = ffmpeg::Packet::empty();
        loop {
            use ffmpeg::packet::Mut as _;
            // SAFETY: an open encoder and a packet of our own, emptied by the next call.
            let (stamp, mut duration, flags) = unsafe {
                let p = packet.as_mut_ptr();
                let code = ffi::avcodec_receive_packet(self.context.as_mut_ptr(), p);
                if code == ffi::AVERROR(ffi::EAGAIN) || code == ffi::AVERROR_EOF {
                    return Ok(packets);
                }
                check(code).map_err(|e| MediaError::encode(&self.path, e))?;
                ((*p).pts, (*p).duration, (*p).flags)
            };
            // Encoders leave durations out, and muxers then shorten the last frame.
            let at = self.inside.iter().position(|(inside, _)| *inside == stamp);
            if let Some((_, known)) = at.and_then(|at| self.inside.remove(at)) {
                duration = known;
            }
            packets.push(Packet { data: packet.data().unwrap_or_default().to_vec(), stamp, duration, flags });
        }
    }
}

pub(super) const MICROSECONDS: ffi::AVRational = ffi::AVRational { num: 1, den: 1_000_000 };

/// An open encoder and the pixel format of its frames: the source's, or the nearest one that the encoder takes.
fn open_encoder(
    path: &Path,
    source: &VideoInfo,
    settings: &EncodeSettings,
    warnings: &mut Vec<String>,
) -> Result<(ffmpeg::codec::Context, Pixel), MediaError> {
    let name = &settings.codec;
    let codec = ffmpeg::encoder::find_by_name(name)
        .filter(|codec| codec.medium() == ffmpeg::media::Type::Video)
        .ok_or_else(|| MediaError::UnknownEncoder { name: name.clone() })?;
    // SAFETY: the codec lives for ever.
    let pixel = unsafe { nearest_taken(codec.as_ptr(), source.source.pixel) };
    if pixel != source.source.pixel {
        let (from, to) = (convert::name(source.source.pixel), convert::name(pixel));
        warnings.push(format!("{name} does not take {from}; frames are converted to {to}"));
    }
    let [width, height] = source.geometry.coded;
    let refused = |e| MediaError::EncoderRefused {
        name: name.clone(),
        what: format!("{width}x{height} {}", convert::name(pixel)),
        source: e,
    };
    let mut context = ffmpeg::codec::Context::new_with_codec(codec);
    source.source.tags.write_context(&mut context);
    let mut options = Options::new();
    let mut set = |key: &str, value: &str| {
        if let (Ok(key), Ok(value)) = (CString::new(key), CString::new(value)) {
            options.set(&key, &value);
        }
    };
    set("preset", &settings.preset);
    set("crf", &settings.crf.to_string());
    // SAFETY: a new context of our own; plain fields; the codec lives for ever.
    unsafe {
        let c = context.as_mut_ptr();
        (*c).width = width as i32;
        (*c).height = height as i32;
        (*c).pix_fmt = pixel.into();
        (*c).time_base = source.source.time_base;
        (*c).framerate = source.source.frame_rate;
        (*c).sample_aspect_ratio = source.source.sample_aspect;
        (*c).thread_count = i32::try_from(settings.threads).unwrap_or(0);
        if (*container(path)?).flags & ffi::AVFMT_GLOBALHEADER != 0 {
            (*c).flags |= ffi::AV_CODEC_FLAG_GLOBAL_HEADER as i32;
        }
        if source.interlaced {
            (*c).flags |= (ffi::AV_CODEC_FLAG_INTERLACED_DCT | ffi::AV_CODEC_FLAG_INTERLACED_ME) as i32;
            (*c).field_order = match source.source.top_field_first {
                true => ffi::AVFieldOrder::AV_FIELD_TT,
                false => ffi::AVFieldOrder::AV_FIELD_BB,
            };
        }
        check(ffi::avcodec_open2(c, codec.as_ptr(), &mut options.0)).map_err(refused)?;
        // What is left in the dictionary is unknown to this encoder.
        let left = ffi::av_dict_count(options.0);
        if left > 0 && (name == "libx264" || name == "libx265") {
            warnings.push(format!("{}: {name} does not take all of preset and crf", path.display()));
        }
    }
    Ok((context, pixel))
}

/// FFmpeg's description of the container that a file name asks for.
pub(super) fn container(path: &Path) -> Result<*const ffi::AVOutputFormat, MediaError> {
    let unknown = || MediaError::UnknownContainer { path: path.to_owned() };
    let url = file_url(path).ok_or_else(unknown)?;
    // SAFETY: only the name is given; what comes back lives for ever.
    let format = unsafe { ffi::av_guess_format(ptr::null(), url.as_ptr(), ptr::null()) };
    if format.is_null() { Err(unknown()) } else { Ok(format) }
}

/// The pixel format of those an encoder takes that loses least of `pixel`.
///
/// # Safety
/// `codec` must be a codec.
unsafe fn nearest_taken(codec: *const ffi::AVCodec, pixel: Pixel) -> Pixel {
    let wanted = ffi::AVPixelFormat::from(pixel);
    // SAFETY: the list is null or ends with "none".
    unsafe {
        let list = (*codec).pix_fmts;
        if list.is_null() {
            return pixel;
        }
        let best = ffi::avcodec_find_best_pix_fmt_of_list(list, wanted, 0, ptr::null_mut());
        if best == ffi::AVPixelFormat::AV_PIX_FMT_NONE { pixel } else { Pixel::from(best) }
    }
}

/// Copies what describes a stream: title, language and the like; what it is for.
///
/// # Safety
/// Both must point to live streams.
pub(super) unsafe fn copy_stream_description(to: *mut ffi::AVStream, from: *const ffi::AVStream) {
    // SAFETY: the caller's promise.
    unsafe {
        (*to).disposition = (*from).disposition;
        copy_metadata(&mut (*to).metadata, (*from).metadata, |key| {
            key == "encoder" || key == "duration" || key == "rotate"
        });
    }
}
