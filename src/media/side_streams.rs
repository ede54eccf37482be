//! Sound, subtitles and what else a source has beside its video: read a second time and copied (or converted, where the
//! container does not take them), as far as the video is written, so that nothing piles up in memory.
//!
//! Each stream is judged alone, before the work begins: it is copied if the container takes it beside those before it, else
//! converted if that is possible, else left out, with a warning that names it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ffmpeg::ffi;
use ffmpeg::format::context::{Input, Output};
use ffmpeg::packet::{Mut as _, Ref as _};
use ffmpeg_next as ffmpeg;

use super::admit::{add_stream, is_without_stamps, name};
use super::av::{check, check_reads, copy_metadata, tag};
use super::description::Description;
use super::encode::{MICROSECONDS, copy_stream_description};
use super::packet_clock::{PacketClock, in_seconds};
use super::stamps::ClockJump;
use super::transcode::Transcoder;
use super::{MediaError, VideoInfo, pictures};

/// Seconds that other streams may run ahead of the video: enough for the muxer to interleave them.
const AHEAD: f64 = 0.5;
/// Longest time in seconds that a packet lasts; more says that its length is not known.
const LONGEST: f64 = 86_400.0;

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
    /// Whether the output has no time stamps: its first packets are shown at zero.
    begins_at_zero: bool,
    /// What the source says of itself; of its streams, when they are shown in the output.
    described: Description,
}

/// What becomes of a stream.
struct Route {
    to: Target,
    /// For messages: what it is.
    name: String,
    clock: PacketClock,
}

impl Route {
    fn takes_packets(&self) -> bool {
        matches!(self.to, Target::Copy(_) | Target::Convert(..))
    }
}

/// Where a stream's packets go.
pub(super) enum Target {
    /// Nowhere: it is left out.
    Nowhere,
    /// Nowhere: the output's header has it.
    Header,
    /// Into the output's stream of this index, as they are.
    Copy(usize),
    /// Into the output's stream of this index, by another codec.
    Convert(usize, Box<Transcoder>),
}

impl SideStreams {
    /// Adds the source's other streams to `output`, which has the video, as far as the container for `path` takes them. `moved`: by
    /// how much the video begins later there than its stamps say, microseconds.
    pub fn open(
        path: &Path,
        source: &VideoInfo,
        output: &mut Output,
        (moved, jumps): (i64, &[ClockJump]),
        left_out: &LeftOut,
        warnings: &mut Vec<String>,
    ) -> Result<Self, MediaError> {
        let shift = source.source.shift.saturating_add(moved);
        let mut input = pictures::open_beside(&source.path, source.source.pictures)?;
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
            let route = Route { to, name: name.unwrap_or_default(), clock: PacketClock::default() };
            if !route.takes_packets() {
                // SAFETY: a stream of the open input; the demuxer then skips its packets.
                unsafe { (**(*input.as_mut_ptr()).streams.add(index)).discard = ffi::AVDiscard::AVDISCARD_ALL };
            }
            routes.push(route);
        }
        Ok(Self {
            path: source.path.clone(),
            described: Description::of(&input, video),
            input,
            done: !routes.iter().any(Route::takes_packets),
            routes,
            packet: ffmpeg::Packet::empty(),
            held: false,
            shift,
            begins_undated: source.source.begins_undated,
            jumps: jumps.to_vec(),
            begins_at_zero: is_without_stamps(output),
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

    /// What the source says of itself and of the streams that were kept, with their times in the output.
    pub fn described(&self) -> Description {
        let streams = self.kept().into_iter().map(|index| {
            let mut stream = self.described.streams[index].clone();
            stream.name.clone_from(&self.routes[index].name);
            stream.span = self.routes[index].clock.span;
            stream
        });
        let streams = streams.collect();
        let mut described = self.described.clone();
        described.streams = streams;
        described
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
            let Some(route) = self.routes.get_mut(index).filter(|route| route.takes_packets()) else {
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
                    // What has no time stamp follows what came before it, so it is not hidden.
                    let begin = if (*p).pts == ffi::AV_NOPTS_VALUE { (*p).dts } else { (*p).pts };
                    let end = match begin {
                        ffi::AV_NOPTS_VALUE => f64::INFINITY,
                        begin => in_seconds(begin.saturating_add((*p).duration), (*stream).time_base),
                    };
                    let half = in_seconds((*p).duration, (*stream).time_base) / 2.0;
                    // Of what an edit list hides decoders need the last packet.
                    let is_hidden = ((*p).flags & ffi::AV_PKT_FLAG_DISCARD != 0 && end < -half)
                        // What is first where there are no time stamps is heard first.
                        || (is_copied && self.begins_at_zero && end < half);
                    is_left_out = !is_sparse
                        && (is_hidden || route.clock.is_out_of_place(p, (*stream).time_base, self.begins_undated));
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
                Target::Nowhere | Target::Header => {}
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
        let [begin, end] =
            [(*p).pts, (*p).pts.saturating_add((*p).duration)].map(|t| in_seconds(t, (*stream).time_base));
        let [first, last] = clock.span.unwrap_or([begin, end]);
        clock.span = Some([first.min(begin), last.max(end)]);
        (*p).stream_index = target as i32;
        (*p).pos = -1;
        check(ffi::av_interleaved_write_frame(output.as_mut_ptr(), p)).map(drop)
    }
}
