//! Sound, subtitles and what else a source has beside its video: read a second time and copied (or converted, where the
//! container does not take them), as far as the video is written, so that nothing piles up in memory.
//!
//! Each stream is judged alone, before the work begins: it is copied if the container takes it beside those before it, else
//! converted if that is possible, else left out, with a warning that names it. What a container says of a stream shows only
//! when its header is written; so a header is written for trial, to memory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::ptr;

use ffmpeg::ffi;
use ffmpeg::format::context::{Input, Output};
use ffmpeg::media::Type;
use ffmpeg::packet::{Mut as _, Ref as _};
use ffmpeg_next as ffmpeg;

use super::av::{Options, check, check_reads, copy_metadata, file_url, open_input, tag};
use super::decode::{ClockJump, SANE_JUMP};
use super::encode::{MICROSECONDS, container, copy_stream_description};
use super::transcode::Transcoder;
use super::{MediaError, VideoInfo};

/// Seconds that other streams may run ahead of the video: enough for the muxer to interleave them.
const AHEAD: f64 = 0.5;
/// Seconds by which a stream goes back where the clock of the file jumped; less is a slip of single packets.
const JUMP: f64 = 0.1;
/// Seconds by which the first packets of other streams after a jump of the clock may be away from the first frame after it.
const NEAR: f64 = 5.0;
/// Longest time in seconds that a packet lasts; more says that its length is not known.
const LONGEST: f64 = 86_400.0;

/// What transport streams carry under a name that players know; FFmpeg has no list of it.
const TRANSPORTED: [&str; 12] =
    ["aac", "mp2", "mp3", "ac3", "eac3", "dts", "truehd", "opus", "dvb_subtitle", "dvb_teletext", "klv", "timed_id3"];

/// Streams of the source that are not asked to go into the output, by their index: writing them has failed.
pub type LeftOut = BTreeSet<usize>;

pub(super) struct SideStreams {
    path: PathBuf,
    input: Input,
    /// For each stream of the source where its packets go.
    routes: Vec<Route>,
    packet: ffmpeg::Packet,
    /// Whether `packet` holds one that was too early to write.
    held: bool,
    done: bool,
    /// Added to every stamp, microseconds.
    shift: i64,
    /// Whether the video begins with frames that have no time stamps.
    begins_undated: bool,
    /// Where the clock of the video jumped.
    jumps: Vec<ClockJump>,
}

/// What becomes of a stream.
struct Route {
    to: Target,
    /// For messages: what it is.
    name: String,
    clock: PacketClock,
}

/// Where a stream's packets go.
enum Target {
    /// Nowhere: it is left out.
    Nowhere,
    /// Into the output's stream of this index, as they are.
    Copy(usize),
    /// Into the output's stream of this index, by another codec.
    Convert(usize, Box<Transcoder>),
}

/// The time stamps of one stream: as the source has them, and as they are written.
#[derive(Default)]
struct PacketClock {
    /// How many jumps of the clock it is past.
    jumped: usize,
    /// When the packet before is decoded, in seconds of the source's clock.
    read: Option<f64>,
    /// The same as it was written, in the output's time base, and how long that packet lasts.
    written: Option<(i64, i64)>,
    /// When the sound that was read so far ends, in seconds of the output's clock.
    heard: Option<f64>,
    /// Whether sound goes on after a jump of the clock, and may overlap with what was before it.
    joins: bool,
    /// Packets that had to be moved because their stamps were missing, repeated or went back.
    moved: u64,
    /// Packets of sound that have no place: at the beginning without a time, or over others where recordings are joined.
    out_of_place: u64,
}

impl SideStreams {
    /// Adds the source's other streams to `output`, which has the video, as far as the container for `path` takes them.
    pub fn open(
        path: &Path,
        source: &VideoInfo,
        output: &mut Output,
        jumps: &[ClockJump],
        left_out: &LeftOut,
        warnings: &mut Vec<String>,
    ) -> Result<Self, MediaError> {
        let mut input = open_input(&source.path)?;
        let video = source.source.stream;
        // SAFETY: both streams exist: the source's video and the output's first.
        unsafe {
            let from = *(*input.as_ptr()).streams.add(video);
            copy_stream_description(*(*output.as_ptr()).streams, from);
        }
        let mut routes = Vec::new();
        for index in 0..input.nb_streams() as usize {
            let name = name(&input, index);
            let to = match name {
                Some(_) if index == video => Target::Nowhere,
                Some(ref name) if left_out.contains(&index) => {
                    warnings.push(format!("{name} was left out: it could not be written; the other streams are kept"));
                    Target::Nowhere
                }
                Some(ref name) => add_stream(path, &mut input, index, name, output, warnings)?,
                None => Target::Nowhere,
            };
            if matches!(to, Target::Nowhere) {
                // SAFETY: a stream of the open input; the demuxer then skips its packets.
                unsafe { (**(*input.as_mut_ptr()).streams.add(index)).discard = ffi::AVDiscard::AVDISCARD_ALL };
            }
            routes.push(Route { to, name: name.unwrap_or_default(), clock: PacketClock::default() });
        }
        Ok(Self {
            path: source.path.clone(),
            input,
            done: routes.iter().all(|route| matches!(route.to, Target::Nowhere)),
            routes,
            packet: ffmpeg::Packet::empty(),
            held: false,
            shift: source.source.shift,
            begins_undated: source.source.begins_undated,
            jumps: jumps.to_vec(),
        })
    }

    /// Title, creation time, chapters: what belongs to the file as a whole.
    pub fn copy_file_metadata(&mut self, output: &mut Output) {
        // SAFETY: both contexts live; strings are copied.
        unsafe {
            let from = self.input.as_ptr();
            let skip = |key: &str| matches!(key, "encoder" | "major_brand" | "minor_version" | "compatible_brands");
            copy_metadata(&mut (*output.as_mut_ptr()).metadata, (*from).metadata, skip);
        }
        let chapters: Vec<_> = self
            .input
            .chapters()
            .map(|c| {
                // SAFETY: the metadata of a live chapter.
                let title = unsafe { tag((*c.as_ptr()).metadata, c"title") }.unwrap_or_default();
                (c.id(), c.time_base(), c.start(), c.end(), title)
            })
            .collect();
        for (id, time_base, start, end, title) in chapters {
            // A container without chapters loses them; players do the same.
            let _ = output.add_chapter(id, time_base, start, end, &title);
        }
    }

    /// Which streams of the source go into the output.
    pub fn kept(&self) -> Vec<usize> {
        let is_kept = |index: &usize| !matches!(self.routes[*index].to, Target::Nowhere);
        (0..self.routes.len()).filter(is_kept).collect()
    }

    /// What had to be changed while packets were written, in sentences.
    ///
    /// # Errors
    /// [`MediaError::Read`] when the end came too soon.
    pub fn finish(&self) -> Result<Vec<String>, MediaError> {
        check_reads(&self.path, &self.input)?;
        let mut changes = Vec::new();
        for Route { to, name, clock } in &self.routes {
            if clock.moved > 0 {
                let packets = if clock.moved == 1 { "packet" } else { "packets" };
                changes.push(format!(
                    "{name}: {} {packets} with missing, repeated or backward time stamps got others",
                    clock.moved
                ));
            }
            if clock.out_of_place > 0 {
                let packets = if clock.out_of_place == 1 { "packet was" } else { "packets were" };
                changes.push(format!(
                    "{name}: {} {packets} left out that had no time, or overlapped where recordings are joined",
                    clock.out_of_place
                ));
            }
            if let Target::Convert(_, transcoder) = to
                && transcoder.failed() > 0
            {
                changes.push(format!("{name}: {} pieces could not be converted and are missing", transcoder.failed()));
            }
        }
        Ok(changes)
    }

    /// Writes all packets up to a time of the output's clock (seconds).
    pub fn write_until(&mut self, seconds: f64, output: &mut Output) -> Result<(), ffmpeg::Error> {
        while !self.done {
            if !self.held {
                // SAFETY: an open input and a packet of our own.
                let code = unsafe {
                    ffi::av_packet_unref(self.packet.as_mut_ptr());
                    ffi::av_read_frame(self.input.as_mut_ptr(), self.packet.as_mut_ptr())
                };
                if code == ffi::AVERROR(ffi::EAGAIN) {
                    continue;
                }
                // The end, or damage that the decoder reports.
                if code < 0 {
                    self.done = true;
                    return self.finish_conversions(output);
                }
            }
            let index = self.packet.stream();
            let Some(route) = self.routes.get_mut(index).filter(|route| !matches!(route.to, Target::Nowhere)) else {
                self.held = false;
                continue;
            };
            // SAFETY: a stream of the open input; the packet is ours.
            let (from, is_left_out) = unsafe {
                let stream = *(*self.input.as_ptr()).streams.add(index);
                let p = self.packet.as_mut_ptr();
                let mut is_left_out = false;
                if !self.held {
                    let is_sparse = (*(*stream).codecpar).codec_type != ffi::AVMediaType::AVMEDIA_TYPE_AUDIO;
                    let is_copied = matches!(route.to, Target::Copy(_));
                    let shift = route.clock.shift(p, (*stream).time_base, is_sparse, is_copied, &self.jumps);
                    let shift = ffi::av_rescale_q(self.shift.saturating_add(shift), MICROSECONDS, (*stream).time_base);
                    for stamp in [&mut (*p).pts, &mut (*p).dts] {
                        if *stamp != ffi::AV_NOPTS_VALUE {
                            *stamp = stamp.saturating_add(shift);
                        }
                    }
                    if !is_copied && !is_sparse {
                        route.clock.let_decoder_count(p, (*stream).time_base);
                    }
                    is_left_out =
                        !is_sparse && route.clock.is_out_of_place(p, (*stream).time_base, self.begins_undated);
                }
                ((*stream).time_base, is_left_out)
            };
            // SAFETY: the packet is ours.
            let at = unsafe {
                let p = self.packet.as_ptr();
                if (*p).dts == ffi::AV_NOPTS_VALUE { (*p).pts } else { (*p).dts }
            };
            if is_left_out {
                continue;
            }
            self.held = at != ffi::AV_NOPTS_VALUE && in_seconds(at, from) > seconds + AHEAD;
            if self.held {
                return Ok(());
            }
            let clock = &mut route.clock;
            match &mut route.to {
                Target::Nowhere => {}
                Target::Copy(target) => write(output, *target, clock, from, &mut self.packet)?,
                Target::Convert(target, transcoder) => {
                    let from = transcoder.time_base();
                    let packet = Some(&mut self.packet);
                    transcoder.feed(packet, &mut |packet| write(output, *target, clock, from, packet))?;
                }
            }
        }
        Ok(())
    }

    fn finish_conversions(&mut self, output: &mut Output) -> Result<(), ffmpeg::Error> {
        for route in &mut self.routes {
            if let Target::Convert(target, transcoder) = &mut route.to {
                let from = transcoder.time_base();
                transcoder.feed(None, &mut |packet| write(output, *target, &mut route.clock, from, packet))?;
            }
        }
        Ok(())
    }
}

/// Hands a packet, its stamps in the unit `from`, to the muxer for the output's stream `target`.
fn write(
    output: &mut Output,
    target: usize,
    clock: &mut PacketClock,
    from: ffi::AVRational,
    packet: &mut ffmpeg::Packet,
) -> Result<(), ffmpeg::Error> {
    // SAFETY: an open output that has the stream; the packet is ours and emptied by the muxer.
    unsafe {
        let p = packet.as_mut_ptr();
        let stream = *(*output.as_ptr()).streams.add(target);
        if in_seconds((*p).duration, from) > LONGEST {
            (*p).duration = 0;
        }
        ffi::av_packet_rescale_ts(p, from, (*stream).time_base);
        let may_repeat = (*(*output.as_ptr()).oformat).flags & ffi::AVFMT_TS_NONSTRICT != 0;
        clock.repair(p, may_repeat);
        (*p).stream_index = target as i32;
        (*p).pos = -1;
        check(ffi::av_interleaved_write_frame(output.as_mut_ptr(), p)).map(drop)
    }
}

impl PacketClock {
    /// Microseconds to add to a packet's stamps, since the clock of the file jumped before it.
    ///
    /// # Safety
    /// `packet` must be a live packet.
    unsafe fn shift(
        &mut self,
        packet: *const ffi::AVPacket,
        time_base: ffi::AVRational,
        is_sparse: bool,
        is_copied: bool,
        jumps: &[ClockJump],
    ) -> i64 {
        // SAFETY: the caller's promise.
        let (pts, dts) = unsafe { ((*packet).pts, (*packet).dts) };
        let at = if dts == ffi::AV_NOPTS_VALUE { pts } else { dts };
        if at != ffi::AV_NOPTS_VALUE {
            let at = in_seconds(at, time_base);
            let by = self.read.map(|before| at - before);
            let before = self.jumped;
            // SAFETY: the caller's promise.
            let position = unsafe { (*packet).pos };
            while jumps.get(self.jumped).is_some_and(|jump| is_past(jump, position, at, by)) {
                self.jumped += 1;
            }
            if self.jumped > before {
                self.joins = true;
            } else if by.is_some_and(|by| by < -JUMP) && is_copied && !is_sparse {
                // The picture goes on: what is heard a second time has no place.
                self.joins = true;
            }
            self.read = Some(at);
        }
        let shift = self.jumped.checked_sub(1).map_or(0.0, |last| jumps[last].shift);
        (shift * 1e6).round() as i64
    }

    /// Takes the stamps away of a packet of sound that is to be decoded, its stamps in the output's clock, where they go back or are
    /// repeated: what is decoded then follows what was before, and nothing of it is cut off.
    ///
    /// # Safety
    /// `packet` must be a live packet.
    unsafe fn let_decoder_count(&mut self, packet: *mut ffi::AVPacket, time_base: ffi::AVRational) {
        // SAFETY: the caller's promise.
        let p = unsafe { &mut *packet };
        let known = [p.pts, p.dts].into_iter().find(|&stamp| stamp != ffi::AV_NOPTS_VALUE);
        let (Some(begin), Some(end)) = (known.map(|stamp| in_seconds(stamp, time_base)), self.heard) else { return };
        let long = in_seconds(p.duration, time_base);
        if !self.joins && end - begin > (long / 2.0).max(2.0 * in_seconds(1, time_base)) {
            (p.pts, p.dts) = (ffi::AV_NOPTS_VALUE, ffi::AV_NOPTS_VALUE);
            self.moved += 1;
        }
    }

    /// Whether a packet of sound, its stamps in the output's clock, is better left out: those around it would be heard late
    /// by as much as it lasts. `begins_undated`: packets without stamps at the beginning are from before the clock's zero.
    ///
    /// # Safety
    /// `packet` must be a live packet.
    unsafe fn is_out_of_place(
        &mut self,
        packet: *const ffi::AVPacket,
        time_base: ffi::AVRational,
        begins_undated: bool,
    ) -> bool {
        // SAFETY: the caller's promise.
        let (pts, dts, duration) = unsafe { ((*packet).pts, (*packet).dts, in_seconds((*packet).duration, time_base)) };
        let known = [pts, dts].into_iter().find(|&stamp| stamp != ffi::AV_NOPTS_VALUE);
        let begin = known.map(|stamp| in_seconds(stamp, time_base)).or(self.heard);
        let is_out = match (begin, self.heard) {
            (Some(begin), Some(end)) => self.joins && end - begin > duration / 2.0,
            (None, _) => begins_undated,
            _ => false,
        };
        if is_out {
            self.out_of_place += 1;
        } else {
            (self.joins, self.heard) = (false, Some(begin.unwrap_or(0.0) + duration));
        }
        is_out
    }

    /// Gives a packet stamps that muxers take: none is missing, and each is later than the one before (or, where the container
    /// allows it, as late). The same as FFmpeg's own program does.
    ///
    /// # Safety
    /// `packet` must be a live packet, its stamps in the time base of the output.
    unsafe fn repair(&mut self, packet: *mut ffi::AVPacket, may_repeat: bool) {
        // SAFETY: the caller's promise.
        let p = unsafe { &mut *packet };
        let next = self.written.map(|(at, duration)| at.saturating_add(duration.max(1)));
        p.dts = match (p.dts, p.pts) {
            (ffi::AV_NOPTS_VALUE, ffi::AV_NOPTS_VALUE) => next.unwrap_or(0),
            (ffi::AV_NOPTS_VALUE, pts) => pts,
            (dts, ffi::AV_NOPTS_VALUE) => dts,
            (dts, pts) => dts.min(pts),
        };
        if let Some((before, _)) = self.written {
            // Where packets are shorter than the unit of time, several have the same stamp; the next unit is no move then.
            let is_move = p.dts < before || (p.dts == before && p.duration > 1 && !may_repeat);
            self.moved += u64::from(is_move);
            p.dts = p.dts.max(before.saturating_add(i64::from(!may_repeat)));
        }
        p.pts = if p.pts == ffi::AV_NOPTS_VALUE { p.dts } else { p.pts.max(p.dts) };
        self.written = Some((p.dts, p.duration));
    }
}

/// Whether a packet is of the time after a jump of the clock: by where it begins in the file; between the last frame before the jump
/// and the first one after it, by going back itself, or for a stream's first packet by which clock it is nearer to. `at`: its stamp in
/// seconds, which is `by` later than that of the stream's packet before, if there is one.
fn is_past(jump: &ClockJump, position: i64, at: f64, by: Option<f64>) -> bool {
    let [before, after] = jump.positions;
    let goes_back = by.is_some_and(|by| !(-JUMP..=SANE_JUMP).contains(&by)) && (jump.at - at).abs() < NEAR;
    match (position, by) {
        _ if position < 0 || after < 0 => goes_back,
        _ if position >= after => true,
        _ if position <= before => false,
        (_, None) => before >= 0 && (at - jump.at).abs() < (at - jump.before).abs(),
        (_, Some(_)) => goes_back,
    }
}

fn in_seconds(stamp: i64, time_base: ffi::AVRational) -> f64 {
    stamp as f64 * f64::from(time_base.num) / f64::from(time_base.den)
}

/// What a stream of the source is called in messages: its kind, its number among those of its kind, codec and language.
/// None for what is written anew by the muxer and so is not lost: the time code of QuickTime files, and text that is chapters.
fn name(input: &Input, index: usize) -> Option<String> {
    let stream = input.stream(index)?;
    let medium = |stream: &ffmpeg::Stream<'_>| stream.parameters().medium();
    let kind = match medium(&stream) {
        Type::Audio => "sound",
        Type::Subtitle => "subtitles",
        Type::Video => "picture",
        Type::Attachment => "attachment",
        _ => "data",
    };
    // SAFETY: reads numbers of a live stream.
    let (name_of_codec, is_skipped) = unsafe {
        let s = &*stream.as_ptr();
        ((*s.codecpar).codec_tag.to_le_bytes(), s.discard == ffi::AVDiscard::AVDISCARD_ALL)
    };
    if kind == "data" && (name_of_codec == *b"tmcd" || is_skipped) {
        return None;
    }
    let number = input.streams().take(index + 1).filter(|s| medium(s) == medium(&stream)).count();
    let codec = stream.parameters().id();
    let codec = match codec {
        ffmpeg::codec::Id::None | ffmpeg::codec::Id::BIN_DATA if name_of_codec.iter().all(u8::is_ascii_graphic) => {
            String::from_utf8_lossy(&name_of_codec).into_owned()
        }
        ffmpeg::codec::Id::None => "of an unknown kind".to_owned(),
        _ => codec.name().to_owned(),
    };
    // SAFETY: the metadata of a live stream.
    let told = |key: &std::ffi::CStr| unsafe { tag((*stream.as_ptr()).metadata, key) };
    let more = [c"language", c"filename"].into_iter().filter_map(told).filter(|text| text != "und");
    let more = more.map(|text| format!(", {text}"));
    Some(format!("{kind} {number} ({codec}{})", more.collect::<String>()))
}

/// Adds a stream to the output: as it is if its container takes it, else converted if it can be.
fn add_stream(
    path: &Path,
    input: &mut Input,
    index: usize,
    name: &str,
    output: &mut Output,
    warnings: &mut Vec<String>,
) -> Result<Target, MediaError> {
    // SAFETY: a stream of the open input.
    let from = unsafe { *(*input.as_mut_ptr()).streams.add(index) };
    // SAFETY: as above; the output lives.
    let (medium, id, container) = unsafe {
        let parameters = &*(*from).codecpar;
        let container = std::ffi::CStr::from_ptr((*(*output.as_ptr()).oformat).name).to_string_lossy();
        (Type::from(parameters.codec_type), ffmpeg::codec::Id::from(parameters.codec_id), container)
    };
    let proposed = Parameters::new()?;
    // SAFETY: both live; what is copied belongs to the copy.
    unsafe {
        check(ffi::avcodec_parameters_copy(proposed.0, (*from).codecpar)).map_err(|e| MediaError::encode(path, e))?;
        // The container's own name for the codec; data has no other.
        if medium != Type::Data {
            (*proposed.0).codec_tag = 0;
        }
    }
    // SAFETY: streams and contexts live.
    let target = unsafe {
        if is_known(&container, medium, id, output) && is_taken(path, output, &proposed, from)? {
            proposed.add_to(output, from, (*from).time_base).map(Target::Copy)
        } else if !matches!(medium, Type::Audio | Type::Subtitle) {
            None
        } else if let Ok(transcoder) = Transcoder::open(from, output) {
            transcoder.describe(proposed.0).map_err(|e| MediaError::encode(path, e))?;
            match is_taken(path, output, &proposed, from)? {
                true => proposed.add_to(output, from, transcoder.time_base()).map(|target| {
                    warnings.push(format!(
                        "{name} was converted to {}: '{container}' files do not take it as it is",
                        transcoder.codec()
                    ));
                    Target::Convert(target, Box::new(transcoder))
                }),
                false => None,
            }
        } else {
            None
        }
    };
    Ok(target.unwrap_or_else(|| {
        warnings.push(format!("{name} was left out: '{container}' files do not take it; the other streams are kept"));
        Target::Nowhere
    }))
}

/// Whether a container has a name for a codec that players know.
fn is_known(container: &str, medium: Type, id: ffmpeg::codec::Id, output: &Output) -> bool {
    // FFmpeg writes PCM into MP4 from version 6.1 on. Few players read it, and channels without places are refused.
    if container == "mp4" && id.name().starts_with("pcm_") {
        return false;
    }
    if container == "mpegts" {
        return TRANSPORTED.contains(&id.name());
    }
    // SAFETY: the output lives.
    let answer = unsafe { ffi::avformat_query_codec((*output.as_ptr()).oformat, id.into(), 0) };
    match medium {
        // Muxers do not tell of these; the trial shows what they take. WebM's takes attachments, and drops them.
        Type::Data => true,
        Type::Attachment => container == "matroska",
        _ => answer == 1,
    }
}

/// Whether a container takes one more stream beside those that `output` has: whether its header can be written, to memory.
///
/// # Safety
/// `from`, which describes the stream, must be alive.
unsafe fn is_taken(
    path: &Path,
    output: &Output,
    proposed: &Parameters,
    from: *const ffi::AVStream,
) -> Result<bool, MediaError> {
    let fail = |e| MediaError::encode(path, e);
    let url = file_url(path).ok_or_else(|| MediaError::UnknownContainer { path: path.to_owned() })?;
    let mut raw = ptr::null_mut();
    // SAFETY: `raw` is null, so FFmpeg allocates it; all of it is freed below; the streams copied from live.
    unsafe {
        check(ffi::avformat_alloc_output_context2(&mut raw, container(path)?, ptr::null(), url.as_ptr()))
            .map_err(fail)?;
        let template = output.as_ptr();
        (*raw).strict_std_compliance = (*template).strict_std_compliance;
        let mut is_described = true;
        // Attachments stand beside anything, and fonts are large: they are tried with the video alone.
        let is_attachment = (*proposed.0).codec_type == ffi::AVMediaType::AVMEDIA_TYPE_ATTACHMENT;
        let is_asked = |parameters: *const ffi::AVCodecParameters| match (*parameters).codec_type {
            ffi::AVMediaType::AVMEDIA_TYPE_VIDEO => true,
            ffi::AVMediaType::AVMEDIA_TYPE_ATTACHMENT => false,
            _ => !is_attachment,
        };
        let known = (0..(*template).nb_streams as usize)
            .map(|at| *(*template).streams.add(at))
            .filter(|stream| is_asked((**stream).codecpar));
        for (parameters, described) in known.map(|s| ((*s).codecpar, s.cast_const())).chain([(proposed.0, from)]) {
            let stream = ffi::avformat_new_stream(raw, ptr::null());
            is_described &= !stream.is_null() && ffi::avcodec_parameters_copy((*stream).codecpar, parameters) >= 0;
            if is_described {
                (*stream).time_base = (*described).time_base;
                (*stream).avg_frame_rate = (*described).avg_frame_rate;
                copy_stream_description(stream, described);
            }
        }
        let is_taken = is_described && ffi::avio_open_dyn_buf(&mut (*raw).pb) >= 0 && {
            let mut options = Options::new();
            let code = ffi::avformat_write_header(raw, &mut options.0);
            let mut bytes = ptr::null_mut();
            ffi::avio_close_dyn_buf((*raw).pb, &mut bytes);
            (*raw).pb = ptr::null_mut();
            ffi::av_free(bytes.cast());
            code >= 0
        };
        ffi::avformat_free_context(raw);
        Ok(is_taken)
    }
}

/// What a muxer must know of a stream; freed when dropped.
struct Parameters(*mut ffi::AVCodecParameters);

impl Parameters {
    fn new() -> Result<Self, MediaError> {
        // SAFETY: a fresh structure, checked below.
        let parameters = unsafe { ffi::avcodec_parameters_alloc() };
        match parameters.is_null() {
            true => Err(MediaError::encode(Path::new(""), ffmpeg::Error::from(ffi::AVERROR(ffi::ENOMEM)))),
            false => Ok(Self(parameters)),
        }
    }

    /// Makes a stream of the output; gives its index.
    ///
    /// # Safety
    /// `from`, which describes the stream, must be alive.
    unsafe fn add_to(
        &self,
        output: &mut Output,
        from: *const ffi::AVStream,
        time_base: ffi::AVRational,
    ) -> Option<usize> {
        // SAFETY: the caller's promise; the new stream belongs to the output.
        unsafe {
            let to = ffi::avformat_new_stream(output.as_mut_ptr(), ptr::null());
            if to.is_null() || ffi::avcodec_parameters_copy((*to).codecpar, self.0) < 0 {
                return None;
            }
            (*to).time_base = time_base;
            copy_stream_description(to, from);
            Some((*to).index as usize)
        }
    }
}

impl Drop for Parameters {
    fn drop(&mut self) {
        // SAFETY: owned by this value.
        unsafe { ffi::avcodec_parameters_free(&mut self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: ffi::AVRational = ffi::AVRational { num: 1, den: 1000 };

    /// What becomes of packets of 20 ms of sound with these decoding stamps: when they are heard, `None` where one is left out; and
    /// how many were moved.
    fn written(stamps: &[Option<i64>], jumps: &[ClockJump], begins_undated: bool) -> (Vec<Option<i64>>, u64) {
        let mut state = PacketClock::default();
        let write = |stamp: &Option<i64>| {
            let mut packet = ffmpeg::Packet::empty();
            // SAFETY: a packet of our own.
            unsafe {
                let p = packet.as_mut_ptr();
                let stamp = stamp.unwrap_or(ffi::AV_NOPTS_VALUE);
                ((*p).pts, (*p).dts, (*p).duration) = (stamp, stamp, 20);
                let shift = state.shift(p, MILLISECOND, false, true, jumps) / 1000;
                if stamp != ffi::AV_NOPTS_VALUE {
                    ((*p).pts, (*p).dts) = (stamp + shift, stamp + shift);
                }
                (!state.is_out_of_place(p, MILLISECOND, begins_undated)).then(|| {
                    state.repair(p, false);
                    (*p).pts
                })
            }
        };
        let times = stamps.iter().map(write).collect();
        (times, state.moved)
    }

    #[test]
    fn sound_gets_stamps_that_rise_and_stays_in_place() {
        let some = |stamps: &[i64]| stamps.iter().copied().map(Some).collect::<Vec<_>>();
        assert_eq!(written(&some(&[0, 20, 40]), &[], false), (some(&[0, 20, 40]), 0));
        // Repeated, and backward: the next ones are where they were.
        assert_eq!(written(&some(&[0, 20, 20, 60]), &[], false), (some(&[0, 20, 21, 60]), 1));
        assert_eq!(written(&some(&[0, 20, 5, 60]), &[], false), (some(&[0, 20, 21, 60]), 1));
        // Back for longer, though the picture goes on: what is heard a second time is left out.
        let back = [0, 20, 40, 60, 80, 100, 120, 140, 20, 40, 60, 80, 100, 120, 140, 160];
        let kept = back.iter().take(8).map(|&t| Some(t)).chain([None; 7]).chain([Some(160)]).collect::<Vec<_>>();
        assert_eq!(written(&some(&back), &[], false), (kept, 0));
        // Missing: after the one before, or from the beginning.
        assert_eq!(written(&[None, None, Some(40)], &[], false), (some(&[0, 20, 40]), 0));
        assert_eq!(written(&[None, None, Some(10)], &[], true), (vec![None, None, Some(10)], 0));
        // Two recordings: the sound moves with the picture, and what would overlap is left out.
        let jump = [ClockJump { before: 0.44, at: 0.2, shift: 0.05, positions: [-1; 2] }];
        assert_eq!(
            written(&some(&[400, 420, 440, 190, 210, 230]), &[ClockJump { shift: 0.25, ..jump[0] }], false),
            (vec![Some(400), Some(420), Some(440), None, Some(460), Some(480)], 0)
        );
    }

    #[test]
    fn a_jump_of_the_clock_is_found_by_the_place_in_the_file() {
        let jump = ClockJump { before: 3.4, at: 1.4, shift: 2.0, positions: [1000, 2000] };
        // Before and after, wherever the stream was; in between by going back, or by the nearer clock.
        assert!(!is_past(&jump, 900, 1.5, None) && is_past(&jump, 2000, 1.5, Some(0.02)));
        assert!(is_past(&jump, 1500, 1.5, Some(-1.9)) && !is_past(&jump, 1500, 1.5, Some(0.02)));
        assert!(is_past(&jump, 1500, 1.5, None) && !is_past(&jump, 1500, 3.3, None));
        // Where no place is known, by going back to where the picture does.
        let nowhere = ClockJump { positions: [-1; 2], ..jump };
        for (jump, position) in [(&jump, -1), (&nowhere, 1500)] {
            assert!(is_past(jump, position, 1.5, Some(-1.9)) && !is_past(jump, position, 1.5, Some(0.02)));
            assert!(!is_past(jump, position, 9.0, Some(-1.9)) && !is_past(jump, position, 1.5, None));
        }
    }
}
