//! Frames back into compressed video.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::ptr;

use ffmpeg::ffi;
use ffmpeg::format::Pixel;
use ffmpeg::frame::Video;
use ffmpeg_next as ffmpeg;

use super::av::{Options, check, copy_metadata};
use super::container::{container, takes_video};
use super::convert::Converter;
use super::pad::Padding;
use super::probe::SideData;
use super::turn::Turning;
use super::{Color, Frame, Layout, MediaError, VideoInfo, convert, effort, light, version};

/// How the video is compressed.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodeSettings {
    /// An FFmpeg encoder by name.
    pub codec: String,
    /// Its speed preset, as x264 calls them, or in the encoder's own words.
    pub preset: String,
    /// Its quality, as x264's constant rate factor: lower is better and larger. Encoders without one keep their own.
    pub crf: u32,
    /// FFmpeg's name of the pixel format that comes out; `None`: that of the frames, or the nearest that the encoder takes.
    pub pixel_format: Option<String>,
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
    running: Running,
    /// Added to the stamps of the frames that come in.
    shift: i64,
    /// Whether frames are counted instead of timed for the encoder.
    counts: bool,
    /// Frames that were sent.
    sent: i64,
    /// What the encoder takes for the stamp, the stamp, and the duration of frames inside it.
    inside: VecDeque<(i64, i64, i64)>,
    /// Of the frames that come in.
    pixel: Pixel,
    /// Turns frames, where the container does not say how they are shown.
    turning: Option<Turning>,
    /// Makes frames as large as the encoder wants them, where it does not take their size.
    padding: Option<Padding>,
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
        let turning = Turning::needed(path, source)?;
        let shown = Shown::new(source, turning.as_ref());
        let (running, encoded, [width, height]) = open_encoder(path, &shown, settings, &mut warnings)?;
        // SAFETY: a number of a live context.
        let counts = effort::is_of_mpeg_make(unsafe { (*running.context.as_ptr()).codec_id });
        let padding = ([width, height] != shown.size).then(|| match turning {
            Some(_) => Padding::upright(shown.layout, [width, height]),
            None if shown.interlaced => Padding::new(&source.geometry, shown.layout, [width, height]).keeping_fields(),
            None => Padding::new(&source.geometry, shown.layout, [width, height]),
        });
        let converter = (encoded != shown.pixel).then(|| Converter::new(encoded, width, height));
        // SAFETY: plain arithmetic.
        let shift = unsafe { ffi::av_rescale_q(source.source.shift, MICROSECONDS, source.source.time_base) };
        Ok(Self {
            path: path.to_owned(),
            running,
            shift,
            counts,
            sent: 0,
            inside: VecDeque::new(),
            pixel: source.source.pixel,
            turning,
            padding,
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
        if let Some(turning) = &mut self.turning {
            picture = turning.run(&picture).map_err(|e| MediaError::encode(&self.path, e))?;
        }
        if let Some(padding) = &self.padding {
            picture = padding.run(&picture).map_err(|e| MediaError::encode(&self.path, e))?;
        }
        if let Some(converter) = &mut self.converter {
            picture = converter.run(&picture, self.color, self.color).map_err(|e| MediaError::encode(&self.path, e))?;
        }
        let stamp = picture.pts().unwrap_or(0) + self.shift;
        let told = if self.counts { self.sent } else { stamp };
        self.sent += 1;
        picture.set_pts(Some(told));
        self.inside.push_back((told, stamp, frame.duration));
        self.running.send(Some(&picture)).map_err(|e| MediaError::encode(&self.path, e))?;
        self.drain()
    }

    /// Gives what is held back.
    pub fn finish(mut self) -> Result<Vec<Packet>, MediaError> {
        self.running.send(None).map_err(|e| MediaError::encode(&self.path, e))?;
        self.drain()
    }

    /// What could not be kept as it was, in sentences.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Writes what a muxer must know of the stream.
    ///
    /// # Safety
    /// `stream` must be one of a live output.
    pub(super) unsafe fn describe(mut self, stream: *mut ffi::AVStream) -> Result<(), MediaError> {
        // SAFETY: the caller's promise.
        unsafe {
            (*stream).sample_aspect_ratio = (*self.running.context.as_ptr()).sample_aspect_ratio;
            self.running.describe((*stream).codecpar)
        }
        .map_err(|e| MediaError::encode(&self.path, e))
    }

    /// Whether frames are turned, so that the stream is shown as it is.
    pub(super) fn is_turning(&self) -> bool {
        self.turning.is_some()
    }

    fn drain(&mut self) -> Result<Vec<Packet>, MediaError> {
        let mut packets = Vec::new();
        let mut packet = ffmpeg::Packet::empty();
        loop {
            if !self.running.receive(&mut packet).map_err(|e| MediaError::encode(&self.path, e))? {
                return Ok(packets);
            }
            use ffmpeg::packet::Mut as _;
            // SAFETY: a packet of our own.
            let (mut stamp, mut duration, flags) = unsafe {
                let p = packet.as_mut_ptr();
                ((*p).pts, (*p).duration, (*p).flags)
            };
            // Encoders leave durations out, and muxers then shorten the last frame.
            let at = self.inside.iter().position(|(told, ..)| *told == stamp);
            if let Some((_, shown, long)) = at.and_then(|at| self.inside.remove(at)) {
                (stamp, duration) = (shown, long);
            }
            packets.push(Packet { data: packet.data().unwrap_or_default().to_vec(), stamp, duration, flags });
        }
    }
}

/// An encoder that was started.
struct Running {
    context: ffmpeg::codec::Context,
    /// Whether it got a picture, and whether it was told that no more come.
    begun: bool,
    ended: bool,
}

impl Running {
    /// The next picture, or that there are no more.
    fn send(&mut self, picture: Option<&Video>) -> Result<(), ffmpeg::Error> {
        (self.begun, self.ended) = (true, picture.is_none());
        // SAFETY: an open encoder and a live picture; null asks for what is held back.
        let code = unsafe {
            let picture = picture.map_or(ptr::null(), |picture| picture.as_ptr());
            ffi::avcodec_send_frame(self.context.as_mut_ptr(), picture)
        };
        check(code).map(|_| ())
    }

    /// The next packet, if one is ready.
    fn receive(&mut self, packet: &mut ffmpeg::Packet) -> Result<bool, ffmpeg::Error> {
        use ffmpeg::packet::Mut as _;
        // SAFETY: an open encoder and a packet of our own, emptied by the call.
        let code = unsafe { ffi::avcodec_receive_packet(self.context.as_mut_ptr(), packet.as_mut_ptr()) };
        match code {
            ffi::AVERROR_EOF => Ok(false),
            code if code == ffi::AVERROR(ffi::EAGAIN) => Ok(false),
            code => check(code).map(|_| true),
        }
    }

    /// Whether few players show pictures of this format by the codec. Codecs for the cutting room have players of their own.
    fn is_seldom_shown(&self, pixel_format: &str) -> bool {
        use ffi::AVCodecID::*;
        // SAFETY: a number of a live context.
        match unsafe { (*self.context.as_ptr()).codec_id } {
            AV_CODEC_ID_H264 => !["yuv420p", "nv12"].contains(&pixel_format),
            AV_CODEC_ID_HEVC | AV_CODEC_ID_VP9 | AV_CODEC_ID_AV1 => {
                !["yuv420p", "nv12", "yuv420p10le", "p010le"].contains(&pixel_format)
            }
            _ => false,
        }
    }

    fn is_av1(&self) -> bool {
        // SAFETY: a number of a live context.
        unsafe { (*self.context.as_ptr()).codec_id == ffi::AVCodecID::AV_CODEC_ID_AV1 }
    }

    /// Has it end, after a picture of whatever is in memory where it has seen none, and shows `see` the packets.
    fn end(&mut self, mut see: impl FnMut(&mut ffmpeg::Packet)) -> Result<(), ffmpeg::Error> {
        if !self.begun {
            // SAFETY: reads the size of an encoder of our own.
            let (pixel, width, height) = unsafe {
                let c = &*self.context.as_ptr();
                (Pixel::from(c.pix_fmt), c.width as u32, c.height as u32)
            };
            let mut picture = Video::new(pixel, width, height);
            picture.set_pts(Some(0));
            self.send(Some(&picture))?;
        }
        self.send(None)?;
        let mut packet = ffmpeg::Packet::empty();
        while self.receive(&mut packet)? {
            see(&mut packet);
        }
        Ok(())
    }

    /// Writes what a muxer must know of the stream, and ends: some encoders tell all of it with their first packet only.
    ///
    /// # Safety
    /// `parameters` must be those of a live stream.
    unsafe fn describe(&mut self, parameters: *mut ffi::AVCodecParameters) -> Result<(), ffmpeg::Error> {
        use ffmpeg::packet::Mut as _;
        // SAFETY: the context lives, and so do the parameters by the caller's promise; what is allocated belongs to them.
        unsafe {
            check(ffi::avcodec_parameters_from_context(parameters, self.context.as_ptr()))?;
            if (*parameters).extradata_size > 0 || !self.is_av1() {
                return Ok(());
            }
            self.end(|packet| {
                let mut size = 0;
                let kind = ffi::AVPacketSideDataType::AV_PKT_DATA_NEW_EXTRADATA;
                let data = ffi::av_packet_get_side_data(packet.as_mut_ptr(), kind, &mut size);
                if !data.is_null() && (*parameters).extradata.is_null() {
                    let own = ffi::av_mallocz(size + ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize).cast::<u8>();
                    if !own.is_null() {
                        ptr::copy_nonoverlapping(data, own, size);
                        ((*parameters).extradata, (*parameters).extradata_size) = (own, size as i32);
                    }
                }
            })
        }
    }
}

impl Drop for Running {
    /// SVT-AV1 (1.4) waits for ever when it is closed before it has seen a picture and the end.
    fn drop(&mut self) {
        if self.is_av1() && !self.ended {
            let _ = self.end(|_| ());
        }
    }
}

pub(super) const MICROSECONDS: ffi::AVRational = ffi::AVRational { num: 1, den: 1_000_000 };

/// Whether this FFmpeg has a video encoder of that name.
pub fn has_encoder(name: &str) -> bool {
    find(name).is_some()
}

fn find(name: &str) -> Option<ffmpeg::Codec> {
    ffmpeg::encoder::find_by_name(name).filter(|codec| codec.medium() == ffmpeg::media::Type::Video)
}

/// Whether an encoder starts here with these settings, for the usual pixel format and a file of this extension.
pub fn try_encoder(settings: &EncodeSettings, extension: &str) -> Result<(), MediaError> {
    super::init();
    let stream = |c: &mut ffi::AVCodecContext| {
        (c.time_base, c.framerate) = (ffi::AVRational { num: 1, den: 25 }, ffi::AVRational { num: 25, den: 1 });
    };
    let path = Path::new("video").with_extension(extension);
    start(&path, settings, [640, 360], Pixel::YUV420P, &[], &stream).map(|_| ())
}

/// A video as it goes into the encoder, but for what that does not take.
struct Shown<'a> {
    source: &'a VideoInfo,
    /// Width and height in pixels.
    size: [u32; 2],
    pixel: Pixel,
    layout: Layout,
    /// Width of a pixel over its height.
    sample_aspect: ffi::AVRational,
    /// Whether frames are made of two fields.
    interlaced: bool,
    /// Whether the first row is of the field that is shown first.
    top_field_first: bool,
    /// Whether frames are turned before.
    is_turned: bool,
}

impl<'a> Shown<'a> {
    fn new(source: &'a VideoInfo, turning: Option<&Turning>) -> Self {
        let is_sideways = turning.is_some_and(Turning::is_sideways);
        let aspect = source.source.sample_aspect;
        Self {
            source,
            size: turning.map_or(source.geometry.coded, |t| t.size(source.geometry.coded)),
            pixel: turning.map_or(source.source.pixel, Turning::pixel),
            layout: turning.map_or(source.layout, Turning::layout),
            sample_aspect: if is_sideways && aspect.num > 0 {
                ffi::AVRational { num: aspect.den, den: aspect.num }
            } else {
                aspect
            },
            // Rows of two fields become columns.
            interlaced: source.interlaced && !is_sideways,
            top_field_first: source.source.top_field_first
                != (turning.is_some_and(Turning::is_upside_down) && source.geometry.coded[1].is_multiple_of(2)),
            is_turned: turning.is_some(),
        }
    }
}

/// An open encoder, the pixel format of its frames (the source's or the one that is asked for, or the nearest to it that the
/// encoder takes), and their size: that of the source, or the next that the encoder takes.
fn open_encoder(
    path: &Path,
    shown: &Shown<'_>,
    settings: &EncodeSettings,
    warnings: &mut Vec<String>,
) -> Result<(Running, Pixel, [u32; 2]), MediaError> {
    let source = shown.source;
    let stream = |c: &mut ffi::AVCodecContext| {
        source.source.tags.write_context(c);
        c.time_base = source.source.time_base;
        c.framerate = source.source.frame_rate;
        c.sample_aspect_ratio = shown.sample_aspect;
        if shown.interlaced {
            c.flags |= (ffi::AV_CODEC_FLAG_INTERLACED_DCT | ffi::AV_CODEC_FLAG_INTERLACED_ME) as i32;
            c.field_order = match shown.top_field_first {
                true => ffi::AVFieldOrder::AV_FIELD_TT,
                false => ffi::AVFieldOrder::AV_FIELD_BB,
            };
        }
    };
    let mut refused = None;
    for size in sizes(shown.size, shown.interlaced) {
        match start(path, settings, size, shown.pixel, &source.source.side_data, &stream) {
            Ok((running, pixel)) => {
                warnings.extend(what_changes(shown, settings, &running, pixel, size));
                return Ok((running, pixel, size));
            }
            // What the encoder says of the size that the video has is told.
            Err(error @ MediaError::EncoderRefused { .. }) => drop(refused.get_or_insert(error)),
            Err(error) => return Err(error),
        }
    }
    Err(refused.unwrap_or_else(|| MediaError::UnknownEncoder { name: settings.codec.clone() }))
}

/// The sizes that an encoder may take for pictures of this one: itself, even ones, and for those made of two fields such as
/// have an even number of rows in each.
fn sizes([width, height]: [u32; 2], interlaced: bool) -> Vec<[u32; 2]> {
    let (even, rows) = (width.next_multiple_of(2), height.next_multiple_of(2));
    let mut sizes = vec![[width, height], [even, height], [width, rows], [even, rows]];
    if interlaced {
        sizes.push([even, height.next_multiple_of(4)]);
    }
    let mut known = std::collections::HashSet::new();
    sizes.retain(|size| known.insert(*size));
    sizes
}

/// What is not as in the source once it is encoded, and what few players show; in sentences.
fn what_changes(
    shown: &Shown<'_>,
    settings: &EncodeSettings,
    running: &Running,
    pixel: Pixel,
    size: [u32; 2],
) -> Vec<String> {
    let source = shown.source;
    let mut changes = Vec::new();
    if shown.is_turned {
        changes.push(
            "the container does not say how pictures are turned; so the pictures themselves are turned".to_owned(),
        );
    }
    let (from, to) = (convert::name(source.source.pixel), convert::name(pixel));
    match &settings.pixel_format {
        _ if from == to => {}
        // Whoever gives a picture gets one of the same kind.
        None if source.source.pictures.is_some() && settings.codec == "png" => {}
        Some(wanted) if *wanted == to => changes.push(format!("frames are converted from {from} to {to}, as asked")),
        _ => changes.push(format!("{} does not take {from}; frames are converted to {to}", settings.codec)),
    }
    if convert::depth(pixel) < 10 && source.source.tags.is_hdr() {
        changes.push(
            "this is HDR video in 8 bits now: it keeps its colour tags, but smooth surfaces may show bands of colour"
                .into(),
        );
    }
    let added = |axis: usize, one: &str, many: &str| match size[axis] - shown.size[axis] {
        0 => None,
        1 => Some(format!("one {one}")),
        n => Some(format!("{n} {many}")),
    };
    let turned = if shown.is_turned { 0 } else { source.orientation.quarter_turns % 2 };
    let (x, y) = (usize::from(turned), usize::from(1 - turned));
    let parts: Vec<_> = [
        added(x, "column of pixels on the right", "columns of pixels on the right"),
        added(y, "row at the bottom", "rows at the bottom"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !parts.is_empty() {
        changes.push(format!(
            "{} does not take pictures of {}x{} pixels: {} was added, which repeats what is beside it; nothing is shifted",
            settings.codec,
            shown.size[0],
            shown.size[1],
            parts.join(" and ")
        ));
    }
    if running.is_seldom_shown(&to) {
        let like = if from == to { " like the source" } else { "" };
        changes.push(format!(
            "the result is {to}{like}, which many players do not show; set encode.pixel_format = \"yuv420p\" for one that all show"
        ));
    }
    changes
}

/// Starts an encoder for pictures of this size and the nearest pixel format that it takes, with what is known of their light;
/// `stream` writes what else is known.
fn start(
    path: &Path,
    settings: &EncodeSettings,
    [width, height]: [u32; 2],
    pixel: Pixel,
    side_data: &[SideData],
    stream: &dyn Fn(&mut ffi::AVCodecContext),
) -> Result<(Running, Pixel), MediaError> {
    let name = settings.codec.clone();
    let pixel = match &settings.pixel_format {
        None => pixel,
        Some(wanted) => {
            convert::by_name(wanted).ok_or_else(|| MediaError::UnknownPixelFormat { name: wanted.clone() })?
        }
    };
    let Some(codec) = find(&name) else {
        return Err(MediaError::UnknownEncoder { name });
    };
    let format = container(path)?;
    if !takes_video(format, codec.id()) {
        return Err(MediaError::wrong_container(path, &name));
    }
    // SAFETY: codecs live for ever.
    let pixel = unsafe { nearest_taken(codec.as_ptr(), pixel) };
    if convert::is_of_hardware(pixel) {
        return Err(MediaError::EncoderOfHardware { name });
    }
    let mut context = ffmpeg::codec::Context::new_with_codec(codec);
    let mut options = Options::new();
    // SAFETY: a new context of our own; plain fields; the codec lives for ever.
    unsafe {
        let c = &mut *context.as_mut_ptr();
        stream(c);
        c.width = width as i32;
        c.height = height as i32;
        c.pix_fmt = pixel.into();
        if convert::is_rgb(pixel) {
            c.colorspace = ffi::AVColorSpace::AVCOL_SPC_RGB;
        }
        c.thread_count = i32::try_from(settings.threads).unwrap_or(0);
        // Motion JPEG of limited range, and the like.
        c.strict_std_compliance = ffi::FF_COMPLIANCE_UNOFFICIAL;
        if (*format).flags & ffi::AVFMT_GLOBALHEADER != 0 {
            c.flags |= ffi::AV_CODEC_FLAG_GLOBAL_HEADER as i32;
        }
        effort::write(codec.as_ptr(), c, settings, &mut options);
        light::write(codec.as_ptr(), c, side_data, &mut options);
        if effort::is_of_mpeg_make(c.codec_id) {
            c.framerate = nearest_rate(codec.as_ptr(), c.framerate);
            c.time_base = ffi::av_inv_q(c.framerate);
        }
        check(ffi::avcodec_open2(c, codec.as_ptr(), &mut options.0)).map_err(|source| MediaError::EncoderRefused {
            what: format!(
                "{width}x{height} {}, preset {}, crf {}",
                convert::name(pixel),
                settings.preset,
                settings.crf
            ),
            name,
            source,
        })?;
    }
    Ok((Running { context, begun: false, ended: false }, pixel))
}

/// The pixel format of those an encoder takes that loses least of `pixel`.
///
/// # Safety
/// `codec` must be a codec.
unsafe fn nearest_taken(codec: *const ffi::AVCodec, pixel: Pixel) -> Pixel {
    let wanted = ffi::AVPixelFormat::from(pixel);
    // SAFETY: the list is null or ends with "none".
    unsafe {
        let list = version::pixel_formats(codec);
        if list.is_null() {
            return pixel;
        }
        let best = ffi::avcodec_find_best_pix_fmt_of_list(list, wanted, 0, ptr::null_mut());
        if best == ffi::AVPixelFormat::AV_PIX_FMT_NONE { pixel } else { Pixel::from(best) }
    }
}

/// The frame rate of those an encoder can name that is nearest to `rate`.
///
/// # Safety
/// `codec` must be a codec.
unsafe fn nearest_rate(codec: *const ffi::AVCodec, rate: ffi::AVRational) -> ffi::AVRational {
    let rate = if rate.num > 0 && rate.den > 0 { rate } else { ffi::AVRational { num: 25, den: 1 } };
    // SAFETY: the list is null or ends with zeros.
    unsafe {
        let list = version::frame_rates(codec);
        if list.is_null() {
            // What MPEG-4 has room for.
            return ffi::av_d2q(f64::from(rate.num) / f64::from(rate.den), i32::from(u16::MAX));
        }
        *list.add(ffi::av_find_nearest_q_idx(rate, list) as usize)
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
