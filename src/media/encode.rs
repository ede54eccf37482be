//! Frames back into a video file, with everything else that the source had.

use std::collections::VecDeque;
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::ptr;

use ffmpeg::ffi;
use ffmpeg::format::Pixel;
use ffmpeg::format::context::Output;
use ffmpeg_next as ffmpeg;

use super::av::{Options, check, copy_metadata, file_url};
use super::convert::Converter;
use super::side_streams::SideStreams;
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

/// A finished file.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Frames of video.
    pub frames: u64,
    /// Seconds from the first frame to the end of the last.
    pub duration: f64,
    /// What could not be kept as it was, in sentences.
    pub warnings: Vec<String>,
}

/// Writes one video file.
pub struct Encoder {
    path: PathBuf,
    output: Output,
    context: ffmpeg::codec::Context,
    /// Of the frames that come in.
    time_base: ffi::AVRational,
    /// Added to their stamps, in `time_base`.
    shift: i64,
    side: SideStreams,
    /// Stamp and duration of frames inside the encoder.
    inside: VecDeque<(i64, i64)>,
    /// Of the frames that come in.
    pixel: Pixel,
    /// Into the format that the encoder takes, where it does not take that of the frames.
    converter: Option<Converter>,
    color: Color,
    size: [u32; 2],
    frames: u64,
    start: Option<i64>,
    end: i64,
    warnings: Vec<String>,
}

/// Index of the video in the output; the other streams follow in the source's order.
const VIDEO: usize = 0;

impl Encoder {
    /// Starts a file at `path` (its extension names the container) for the frames of `source`, with the source's other
    /// streams.
    pub fn create(path: &Path, source: &VideoInfo, settings: &EncodeSettings) -> Result<Self, MediaError> {
        let fail = |e| MediaError::encode(path, e);
        let url = file_url(path).ok_or_else(|| MediaError::write(path, "the name has a zero byte"))?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: `raw` is null, so FFmpeg allocates it; the container is guessed from the name.
        let code = unsafe {
            ffi::avformat_alloc_output_context2(&mut raw, std::ptr::null_mut(), std::ptr::null(), url.as_ptr())
        };
        if code < 0 || raw.is_null() {
            return Err(MediaError::UnknownContainer { path: path.to_owned() });
        }
        // SAFETY: allocated above; `Output` closes the file and frees the context.
        let mut output = unsafe {
            let code = ffi::avio_open(&mut (*raw).pb, url.as_ptr(), ffi::AVIO_FLAG_WRITE);
            let output = Output::wrap(raw);
            check(code).map_err(|e| MediaError::write(path, e))?;
            output
        };

        let mut warnings = Vec::new();
        let pixel = source.source.pixel;
        let (mut context, encoded) = open_encoder(path, source, settings, &output, &mut warnings)?;
        let [width, height] = source.geometry.coded;
        let converter = (encoded != pixel).then(|| Converter::new(encoded, width, height));
        // SAFETY: the output and the encoder live; the new stream belongs to the output.
        unsafe {
            let stream = ffi::avformat_new_stream(output.as_mut_ptr(), std::ptr::null());
            if stream.is_null() {
                return Err(fail(ffmpeg::Error::from(ffi::AVERROR(ffi::ENOMEM))));
            }
            check(ffi::avcodec_parameters_from_context((*stream).codecpar, context.as_mut_ptr())).map_err(fail)?;
            (*stream).time_base = (*context.as_mut_ptr()).time_base;
            (*stream).avg_frame_rate = source.source.frame_rate;
            (*stream).sample_aspect_ratio = source.source.sample_aspect;
            for (kind, bytes) in &source.source.side_data {
                let to = ffi::av_stream_new_side_data(stream, *kind, bytes.len() as _);
                if !to.is_null() {
                    std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
                }
            }
        }
        let mut side = SideStreams::open(source, &mut output, &mut warnings)?;
        side.copy_file_metadata(&mut output);
        // SAFETY: the header is written once, after all streams were added.
        unsafe {
            let mut options = Options::new();
            check(ffi::avformat_write_header(output.as_mut_ptr(), &mut options.0))
                .map_err(|e| MediaError::write(path, e))?;
        }
        let time_base = source.source.time_base;
        // SAFETY: plain arithmetic.
        let shift = unsafe { ffi::av_rescale_q(source.source.shift, MICROSECONDS, time_base) };
        Ok(Self {
            path: path.to_owned(),
            output,
            context,
            time_base,
            shift,
            side,
            inside: VecDeque::new(),
            pixel,
            converter,
            color: source.color,
            size: source.geometry.coded,
            frames: 0,
            start: None,
            end: 0,
            warnings,
        })
    }

    /// Takes the next frame.
    pub fn write(&mut self, frame: Frame) -> Result<(), MediaError> {
        let mut picture = frame.picture;
        if picture.format() != self.pixel || [picture.width(), picture.height()] != self.size {
            return Err(MediaError::WrongFrame { path: self.path.clone() });
        }
        if let Some(converter) = &mut self.converter {
            picture = converter.run(&picture, self.color, self.color).map_err(|e| MediaError::encode(&self.path, e))?;
        }
        let stamp = picture.pts().unwrap_or(0) + self.shift;
        picture.set_pts(Some(stamp));
        self.start.get_or_insert(stamp);
        self.end = stamp + frame.duration;
        self.frames += 1;
        self.inside.push_back((stamp, frame.duration));
        // SAFETY: an open encoder and a frame of our own.
        let code = unsafe { ffi::avcodec_send_frame(self.context.as_mut_ptr(), picture.as_ptr()) };
        check(code).map_err(|e| MediaError::encode(&self.path, e))?;
        self.drain()?;
        self.side.write_until(self.seconds(stamp), &mut self.output).map_err(|e| MediaError::write(&self.path, e))
    }

    /// Writes what is held back and closes the file; it is on disk when this returns.
    pub fn finish(mut self) -> Result<Written, MediaError> {
        // SAFETY: a null frame asks an open encoder for what it holds back.
        let code = unsafe { ffi::avcodec_send_frame(self.context.as_mut_ptr(), std::ptr::null()) };
        check(code).map_err(|e| MediaError::encode(&self.path, e))?;
        self.drain()?;
        self.side.write_until(f64::INFINITY, &mut self.output).map_err(|e| MediaError::write(&self.path, e))?;
        // SAFETY: the header was written; the trailer is written once.
        let code = unsafe { ffi::av_write_trailer(self.output.as_mut_ptr()) };
        check(code).map_err(|e| MediaError::write(&self.path, e))?;
        let duration = self.seconds(self.end) - self.seconds(self.start.unwrap_or(0));
        let Self { path, output, frames, warnings, .. } = self;
        drop(output);
        let file = std::fs::File::open(&path).map_err(|e| MediaError::write(&path, e))?;
        file.sync_all().map_err(|e| MediaError::write(&path, e))?;
        Ok(Written { frames, duration, warnings })
    }

    fn seconds(&self, stamp: i64) -> f64 {
        stamp as f64 * f64::from(self.time_base.num) / f64::from(self.time_base.den)
    }

    /// Writes the packets that are ready.
    fn drain(&mut self) -> Result<(), MediaError> {
        let mut packet = ffmpeg::Packet::empty();
        loop {
            use ffmpeg::packet::Mut as _;
            // SAFETY: an open encoder and a packet of our own, which the muxer empties.
            unsafe {
                let p = packet.as_mut_ptr();
                let code = ffi::avcodec_receive_packet(self.context.as_mut_ptr(), p);
                if code == ffi::AVERROR(ffi::EAGAIN) || code == ffi::AVERROR_EOF {
                    return Ok(());
                }
                check(code).map_err(|e| MediaError::encode(&self.path, e))?;
                // Encoders leave durations out, and muxers then shorten the last frame.
                let at = self.inside.iter().position(|(stamp, _)| *stamp == (*p).pts);
                if let Some((_, duration)) = at.and_then(|at| self.inside.remove(at)) {
                    (*p).duration = duration;
                }
                (*p).stream_index = VIDEO as i32;
                let stream = *(*self.output.as_ptr()).streams.add(VIDEO);
                ffi::av_packet_rescale_ts(p, self.time_base, (*stream).time_base);
                let code = ffi::av_interleaved_write_frame(self.output.as_mut_ptr(), p);
                check(code).map_err(|e| MediaError::write(&self.path, e))?;
            }
        }
    }
}

pub(super) const MICROSECONDS: ffi::AVRational = ffi::AVRational { num: 1, den: 1_000_000 };

/// An open encoder and the pixel format of its frames: the source's, or the nearest one that the encoder takes.
fn open_encoder(
    path: &Path,
    source: &VideoInfo,
    settings: &EncodeSettings,
    output: &Output,
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
        if (*(*output.as_ptr()).oformat).flags & ffi::AVFMT_GLOBALHEADER != 0 {
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
