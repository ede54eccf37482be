//! Pictures of a file as its decoder gives them.

use std::path::{Path, PathBuf};

use ffmpeg::codec::Context;
use ffmpeg::ffi;
use ffmpeg::format::context::Input;
use ffmpeg::frame::Video;
use ffmpeg::packet::{Mut as _, Ref as _};
use ffmpeg_next as ffmpeg;

use super::MediaError;
use super::av::{self, MAX_SIDE, check};
use super::pictures::{self, Links};
use super::stretches::Mark;
use super::version;

/// Reads packets of a file's video and decodes them.
pub(super) struct Reader {
    path: PathBuf,
    pub input: Input,
    /// Removed after the input is closed.
    _links: Links,
    pub context: Context,
    /// Index of the video among the file's streams.
    pub stream: usize,
    /// Packets that could not be decoded at all.
    pub corrupt_packets: u64,
    /// Whether the first packet of the video stands alone; `None` before it was read.
    pub begins_whole: Option<bool>,
    /// Why reading ended before the end, if it did.
    pub stopped: Option<String>,
    pub threads: usize,
    packet: ffmpeg::Packet,
    /// Whether the packet was read and the decoder does not have it yet.
    is_waiting: bool,
    /// Whether no packets are left.
    drained: bool,
}

impl Reader {
    /// Opens the video of a file, or of pictures where their rate is given. `threads` is for frame threading; 0 lets FFmpeg choose.
    pub fn open(path: &Path, threads: usize, pictures: Option<f64>) -> Result<Self, MediaError> {
        let (input, links) = pictures::open(path, pictures)?;
        let stream = best_video(&input).ok_or_else(|| MediaError::NoVideo { path: path.to_owned() })?;
        let context = open_codec(path, &stream, threads)?;
        let stream = stream.index();
        let packet = ffmpeg::Packet::empty();
        Ok(Self {
            path: path.to_owned(),
            input,
            _links: links,
            context,
            stream,
            corrupt_packets: 0,
            begins_whole: None,
            stopped: None,
            threads,
            packet,
            is_waiting: false,
            drained: false,
        })
    }

    /// Whether the container's clock may begin anywhere, and be another one after a while.
    pub fn has_any_clock(&self) -> bool {
        // SAFETY: a container's description lives for ever.
        unsafe { (*(*self.input.as_ptr()).iformat).flags & ffi::AVFMT_TS_DISCONT != 0 }
    }

    /// Seconds of the file's clock at which the video ends by the container's word.
    pub fn promised_end(&self) -> Option<f64> {
        // These have no header that could promise something.
        match self.input.format().name() {
            "mpegts" | "mpeg" => None,
            _ => promised_end(&self.input, &self.input.stream(self.stream)?),
        }
    }

    /// Goes to the key frame before a time in microseconds; gives whether the file can be gone through.
    pub fn seek(&mut self, time: i64) -> bool {
        let is_there = self.input.seek(time, ..time).is_ok();
        if is_there {
            // SAFETY: the decoder is open.
            unsafe { ffi::avcodec_flush_buffers(self.context.as_mut_ptr()) };
            self.drained = false;
        }
        is_there
    }

    /// Goes to a packet at which a decoder can begin, with a new one; gives whether it was found.
    pub fn begin_at(&mut self, begin: Mark) -> Result<bool, MediaError> {
        let Some(stream) = self.input.stream(self.stream) else { return Ok(false) };
        self.context = open_codec(&self.path, &stream, self.threads)?;
        (self.corrupt_packets, self.begins_whole, self.stopped, self.drained) = (0, Some(true), None, false);
        // A list of packets may have gaps: then those before it are passed by.
        // SAFETY: an open input.
        let code = unsafe {
            let stream = i32::try_from(self.stream).unwrap_or(-1);
            ffi::av_seek_frame(self.input.as_mut_ptr(), stream, begin.listed, ffi::AVSEEK_FLAG_BACKWARD)
        };
        if code < 0 {
            return Ok(false);
        }
        loop {
            // SAFETY: the packet is ours; reading fills it anew.
            let (code, mark) = unsafe {
                ffi::av_packet_unref(self.packet.as_mut_ptr());
                let code = ffi::av_read_frame(self.input.as_mut_ptr(), self.packet.as_mut_ptr());
                (code, Mark::of(self.packet.as_ptr()))
            };
            if code < 0 {
                return Ok(false);
            }
            if self.packet.stream() == self.stream && mark.stamp >= begin.stamp {
                self.is_waiting = self.packet.is_key() && Mark { listed: begin.listed, ..mark } == begin;
                return Ok(self.is_waiting);
            }
        }
    }

    /// The next picture of the decoder, which is fed as it asks for packets; `None` at the end.
    pub fn receive(&mut self) -> Result<Option<Video>, MediaError> {
        let Self {
            path,
            input,
            context,
            stream,
            corrupt_packets,
            begins_whole,
            stopped,
            packet,
            is_waiting,
            drained,
            ..
        } = self;
        let again = ffi::AVERROR(ffi::EAGAIN);
        loop {
            let mut picture = Video::empty();
            // SAFETY: an open decoder and a frame of our own.
            let code = unsafe { ffi::avcodec_receive_frame(context.as_mut_ptr(), picture.as_mut_ptr()) };
            match code {
                0 => {
                    let [width, height] = [picture.width(), picture.height()].map(i64::from);
                    if width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE {
                        return Err(MediaError::TooLarge { path: path.clone(), width, height, limit: MAX_SIDE });
                    }
                    return Ok(Some(picture));
                }
                ffi::AVERROR_EOF => return Ok(None),
                code if code == again && *drained => return Ok(None),
                code if code == again => {}
                code if code == ffi::AVERROR(ffi::ENOMEM) => {
                    return Err(MediaError::Decode { path: path.clone(), source: ffmpeg::Error::from(code) });
                }
                // Damage: counted, and the next packet tried.
                _ => *corrupt_packets += 1,
            }
            if *drained {
                continue;
            }
            if !std::mem::take(is_waiting) {
                // SAFETY: the packet is ours; reading fills it anew.
                let code = unsafe {
                    ffi::av_packet_unref(packet.as_mut_ptr());
                    ffi::av_read_frame(input.as_mut_ptr(), packet.as_mut_ptr())
                };
                if code == again {
                    continue;
                }
                if code < 0 {
                    av::check_reads(path, input)?;
                    if code != ffi::AVERROR_EOF && stopped.is_none() {
                        *stopped = Some(format!("reading stopped before the end: {}", ffmpeg::Error::from(code)));
                    }
                    *drained = true;
                    // SAFETY: a null packet asks for the frames that are held back.
                    unsafe { ffi::avcodec_send_packet(context.as_mut_ptr(), std::ptr::null()) };
                    continue;
                }
                if packet.stream() != *stream {
                    continue;
                }
            }
            begins_whole.get_or_insert(packet.is_key());
            // SAFETY: an open decoder that has just said that it takes a packet, which is ours.
            let code = unsafe {
                version::note_position(packet.as_mut_ptr());
                ffi::avcodec_send_packet(context.as_mut_ptr(), packet.as_ptr())
            };
            if code < 0 && code != again {
                *corrupt_packets += 1;
            }
        }
    }
}

/// The main video stream; cover art is none.
pub(super) fn best_video(input: &Input) -> Option<ffmpeg::Stream<'_>> {
    let is_video = |s: &ffmpeg::Stream<'_>| {
        s.parameters().medium() == ffmpeg::media::Type::Video
            // SAFETY: reads a number of a live stream.
            && unsafe { (*s.as_ptr()).disposition } & ffi::AV_DISPOSITION_ATTACHED_PIC == 0
    };
    input.streams().best(ffmpeg::media::Type::Video).filter(is_video).or_else(|| input.streams().find(is_video))
}

fn open_codec(path: &Path, stream: &ffmpeg::Stream<'_>, threads: usize) -> Result<Context, MediaError> {
    let id = stream.parameters().id();
    let fail = |reason: String| MediaError::Undecodable {
        path: path.to_owned(),
        what: format!("{} video", id.name()),
        reason,
    };
    let codec = ffmpeg::decoder::find(id).ok_or_else(|| fail("this FFmpeg has no decoder for it".to_owned()))?;
    let mut context = Context::new_with_codec(codec);
    // SAFETY: the context is new; parameters are copied; the codec lives for ever.
    unsafe {
        let c = context.as_mut_ptr();
        check(ffi::avcodec_parameters_to_context(c, stream.parameters().as_ptr())).map_err(|e| fail(e.to_string()))?;
        (*c).pkt_timebase = stream.time_base().into();
        (*c).thread_count = i32::try_from(threads).unwrap_or(0);
        (*c).max_pixels = MAX_SIDE * MAX_SIDE;
        // Damaged frames are shown as players show them; dropping them would lose their time.
        (*c).flags |= ffi::AV_CODEC_FLAG_OUTPUT_CORRUPT as i32;
        version::keep_positions(c);
        check(ffi::avcodec_open2(c, codec.as_ptr(), std::ptr::null_mut())).map_err(|e| fail(e.to_string()))?;
    }
    Ok(context)
}

/// Seconds of the file's clock at which the video ends by the container's word.
fn promised_end(input: &Input, stream: &ffmpeg::Stream<'_>) -> Option<f64> {
    let known = |t: i64| (t != ffi::AV_NOPTS_VALUE).then_some(t as f64);
    let seconds = f64::from(stream.time_base());
    // Matroska keeps a stream's end as a tag. What FFmpeg gives as the video's duration is the whole file's there.
    // SAFETY: the metadata of a live stream.
    let tag = unsafe { av::tag((*stream.as_ptr()).metadata, c"DURATION") }.and_then(|text| {
        let mut parts = text.split(':').map(|p| p.trim().parse::<f64>().ok());
        Some(parts.next()?? * 3600.0 + parts.next()?? * 60.0 + parts.next()??)
    });
    if tag.is_some() {
        return tag;
    }
    if let Some(duration) = known(stream.duration()).filter(|&d| d > 0.0) {
        return Some((known(stream.start_time()).unwrap_or(0.0) + duration) * seconds);
    }
    // The whole file's length tells the video's only when there is nothing else in it.
    let alone = input.nb_streams() == 1;
    // SAFETY: reads a live context.
    let start = unsafe { (*input.as_ptr()).start_time };
    let duration = known(input.duration())? / f64::from(ffi::AV_TIME_BASE);
    alone.then_some(known(start).unwrap_or(0.0) / f64::from(ffi::AV_TIME_BASE) + duration)
}
