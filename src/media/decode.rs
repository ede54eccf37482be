//! Frames of a video file in order, each with its time.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use ffmpeg::codec::{Context, Id};
use ffmpeg::ffi;
use ffmpeg::format::context::Input;
use ffmpeg::frame::Video;
use ffmpeg::packet::{Mut as _, Ref as _};
use ffmpeg_next as ffmpeg;
use serde::{Deserialize, Serialize};

use super::av::{self, ColorTags, MAX_SIDE, check};
use super::convert::{self, Converter};
use super::probe::{SideData, Source, VideoInfo, orientation};
use super::{Frame, MediaError};
use crate::geometry::{Geometry, Orientation};

/// Seconds of missing picture at the end from which a file counts as cut off.
const CUT_OFF: f64 = 0.5;
/// Stamps beyond this many seconds, or jumps larger than a day, are damage and not time.
const SANE_SECONDS: f64 = 3e9;
pub(super) const SANE_JUMP: f64 = 86400.0;
/// The same in ticks: so many that sums of a few do not overflow.
const MOST_TICKS: u64 = 1 << 60;
/// Frames without a time stamp that a file may begin with for those to be known from the first that has one.
const MOST_UNDATED: usize = 16;
/// Seconds by which a stamp has to be ahead for the next one to be asked whether it is damage.
const LEAP: f64 = 1.0;
/// Seconds after which pictures are taken for whole though none that stands alone has come.
const HEALED: f64 = 10.0;
/// Seconds by which a single frame may be too early without the clock having jumped.
const SLIP: f64 = 0.1;

/// Jumps of the clock from which it is not recordings that are joined.
const MANY_JUMPS: u64 = 20;

/// What could not be delivered as it was meant, counted while decoding.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Losses {
    /// Packets that could not be decoded at all.
    pub corrupt_packets: u64,
    /// Frames that were delivered though parts of them were damaged.
    pub damaged_frames: u64,
    /// Frames that were delivered though what they build on is missing: nothing in them can be relied on.
    pub corrupt_frames: u64,
    /// Other frames whose time stamp was missing or not after the one before.
    pub repaired_stamps: u64,
    /// Places where the time stamps began anew or went back.
    pub clock_jumps: u64,
    /// Frames of another size or format, brought to the first one's.
    pub changed_frames: u64,
    /// What is missing at the end of the file, if anything.
    pub truncated: Option<String>,
}

impl Losses {
    /// Whether the file was sound.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What was lost, a sentence each.
    pub fn sentences(&self) -> Vec<String> {
        let count = |n: u64, one: &str, many: &str| match n {
            0 => None,
            1 => Some(format!("1 {one}")),
            n => Some(format!("{n} {many}")),
        };
        [
            count(self.corrupt_packets, "packet could not be decoded", "packets could not be decoded"),
            count(self.damaged_frames, "frame is damaged in part", "frames are damaged in part"),
            count(
                self.corrupt_frames,
                "frame is corrupt, since what it builds on is missing; no bodies are drawn in it",
                "frames are corrupt, since what they build on is missing; no bodies are drawn in them",
            ),
            (self.clock_jumps > MANY_JUMPS).then(|| {
                format!("the video's clock jumps {} times; its time stamps cannot be relied on", self.clock_jumps)
            }),
            count(
                if self.clock_jumps > MANY_JUMPS { 0 } else { self.clock_jumps },
                "jump of the video's clock was taken out: two recordings are joined there, perhaps",
                "jumps of the video's clock were taken out: several recordings are joined there, perhaps",
            ),
            count(
                self.repaired_stamps,
                "frame had no usable time stamp and got one",
                "frames had no usable time stamps and got some",
            ),
            count(
                self.changed_frames,
                "frame of another size or format was scaled to that of the first",
                "frames of another size or format were scaled to that of the first",
            ),
            self.truncated.clone(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// A place where the clock of a file does not go on: two recordings that were joined, say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClockJump {
    /// Time stamp of the last frame before it as the file has it, seconds.
    pub before: f64,
    /// The same of the first frame after it.
    pub at: f64,
    /// Where in the file the packets of these two frames begin, bytes; negative where that is not known.
    pub positions: [i64; 2],
    /// What has to be added to the file's time stamps from there on, so that time goes on; seconds.
    pub shift: f64,
}

/// Makes time stamps strictly increasing.
struct Stamps {
    last: Option<i64>,
    /// The last one that the file has, and where its packet begins.
    read: i64,
    position: i64,
    /// Added to what the file says after its clock jumped.
    shift: i64,
    /// Whether the last stamp was moved by itself, without a jump of the clock.
    was_moved: bool,
    /// What `shift` was before the last frame, if the clock jumped at it.
    before: Option<i64>,
    /// Where the clock jumped.
    jumps: Vec<ClockJump>,
    /// Ticks of one frame at the average rate.
    usual: i64,
    per_second: f64,
    /// Duration of the frame before.
    step: i64,
}

impl Stamps {
    fn new(usual: i64, per_second: f64) -> Self {
        Self {
            last: None,
            read: 0,
            position: -1,
            shift: 0,
            was_moved: false,
            before: None,
            jumps: Vec::new(),
            usual,
            per_second,
            step: usual,
        }
    }

    /// Whether a stamp is so far ahead that the one after it has to be known as well.
    fn leaps(&self, raw: i64) -> bool {
        let ahead = |last: i64| raw.saturating_add(self.shift).saturating_sub(last) as f64 > LEAP * self.per_second;
        self.last.is_some_and(ahead)
    }

    /// The stamp of the next frame, which lasts so long and whose packet begins there in the file, and whether it was repaired.
    ///
    /// Where all was in order before, a single frame whose stamp is a little too early is moved behind the one before, and time goes on as the file says,
    /// so that the sound stays where it belongs. If the next one is too early as well, or one is by much, the clock has jumped;
    /// unless the next one is back where it would have been without the jump.
    fn next(&mut self, raw: Option<i64>, duration: i64, position: i64) -> (i64, bool) {
        let raw = raw.filter(|&t| is_sane(t, self.per_second));
        let (mut moved, mut jumped_from) = (false, None);
        let is_in_order = !self.was_moved && self.before.is_none();
        if let (Some(t), Some(last), Some(before)) = (raw, self.last, self.before)
            && t + before > last
            && (t + before).abs_diff(last + self.step) < (t + self.shift).abs_diff(last + self.step)
        {
            self.shift = before;
            self.jumps.pop();
        }
        let (stamp, repaired) = match (raw, self.last) {
            (None, None) => (0, true),
            (Some(t), None) => (t, false),
            (None, Some(last)) => (last + self.step, true),
            (Some(t), Some(last)) => {
                let late = last - (t + self.shift);
                if late < 0 && -late as f64 <= SANE_JUMP * self.per_second {
                    (t + self.shift, false)
                } else if (0..=self.step.max((SLIP * self.per_second) as i64)).contains(&late) && is_in_order {
                    moved = true;
                    (last + (self.step.min(self.usual) / 2).max(1), true)
                } else {
                    jumped_from = Some(std::mem::replace(&mut self.shift, last + self.step - t));
                    self.jumps.push(ClockJump {
                        before: self.read as f64 / self.per_second,
                        at: t as f64 / self.per_second,
                        positions: [self.position, position],
                        shift: self.shift as f64 / self.per_second,
                    });
                    (last + self.step, false)
                }
            }
        };
        (self.was_moved, self.before) = (moved, jumped_from);
        (self.read, self.position) = (raw.unwrap_or(self.read), position);
        self.last = Some(stamp);
        self.step = duration;
        (stamp, repaired)
    }
}

/// Reads a video file.
pub struct Decoder {
    path: PathBuf,
    input: Input,
    context: Context,
    packet: ffmpeg::Packet,
    info: VideoInfo,
    converter: Option<Converter>,
    /// The first frames, decoded when the file was opened.
    ready: VecDeque<Video>,
    /// Whether a frame came that stands alone, so that those after it need not be corrupt.
    has_begun: bool,
    /// Whether the last frame that stands alone was gray, so that a gray one after it is no sign of damage.
    may_be_gray: bool,
    stamps: Stamps,
    start: Option<i64>,
    index: u64,
    losses: Losses,
    /// No packets are left.
    drained: bool,
    /// End of the last delivered frame, in seconds of the file's clock.
    end: f64,
    /// Where the file promises to end.
    promised_end: Option<f64>,
}

impl Decoder {
    /// Opens a file and decodes its first frame. `threads` is for frame threading; 0 lets FFmpeg choose.
    pub fn open(path: impl AsRef<Path>, threads: usize) -> Result<Self, MediaError> {
        let path = path.as_ref();
        let input = av::open_input(path)?;
        let stream = best_video(&input).ok_or_else(|| MediaError::NoVideo { path: path.to_owned() })?;
        let mut context = open_codec(path, &stream, threads)?;
        let time_base = stream.time_base();
        let index = stream.index();
        let promised_end = promised_end(&input, &stream);
        let mut losses = Losses::default();
        let mut packet = ffmpeg::Packet::empty();
        let mut drained = false;
        let mut input = input;
        let first = receive(path, &mut input, &mut context, &mut packet, index, &mut drained, &mut losses)?
            .ok_or_else(|| MediaError::NoFrames { path: path.to_owned() })?;
        let mut ready = VecDeque::from([first]);
        if is_of_pictures(&input) {
            match receive(path, &mut input, &mut context, &mut packet, index, &mut drained, &mut losses)? {
                Some(second) => ready.push_back(second),
                None => return Err(MediaError::StillPicture { path: path.to_owned() }),
            }
        }
        while ready.len() < MOST_UNDATED && ready.iter().all(|frame| frame.timestamp().is_none()) {
            match receive(path, &mut input, &mut context, &mut packet, index, &mut drained, &mut losses)? {
                Some(next) => ready.push_back(next),
                None => break,
            }
        }
        let (mut info, converter) = describe(path, &mut input, index, &context, &ready[0])?;
        let per_second = f64::from(time_base.denominator()) / f64::from(time_base.numerator()).max(1.0);
        let usual = (per_second / info.frame_rate).round().max(1.0) as i64;
        let stamps = Stamps::new(usual, per_second);
        date_back(&mut ready, usual, per_second);
        let source_start = ready[0].timestamp().map_or(0.0, |stamp| stamp as f64 / per_second);
        info.source_start = if source_start.abs() < SANE_SECONDS { source_start } else { 0.0 };
        // Players leave out what comes before the clock's zero: the first frames, where they are damaged and the sound begins later.
        info.source.shift = info.source.shift.max((-info.source_start * 1e6).round() as i64);
        Ok(Self {
            path: path.to_owned(),
            input,
            context,
            packet,
            info,
            converter,
            ready,
            has_begun: false,
            may_be_gray: false,
            stamps,
            start: None,
            index: 0,
            losses,
            drained,
            end: 0.0,
            promised_end,
        })
    }

    /// What the file holds.
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// What was lost so far; complete once [`Decoder::next`] gave `None`.
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Where the clock of the file jumped so far; complete once [`Decoder::next`] gave `None`.
    pub fn clock_jumps(&self) -> &[ClockJump] {
        &self.stamps.jumps
    }

    /// The next frame, or `None` at the end. Damage is counted in [`Decoder::losses`], it is not an error.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Frame>, MediaError> {
        let picture = match self.ready.pop_front() {
            Some(ready) => Some(ready),
            None => self.receive()?,
        };
        match picture {
            Some(picture) => {
                let picture = self.without_leap(picture)?;
                self.deliver(picture).map(Some)
            }
            None => {
                self.note_truncation();
                Ok(None)
            }
        }
    }

    /// Goes to the keyframe before the middle, for who wants to see one picture only: what follows is numbered as if nothing had
    /// been before it. Stays where it is if the file's length is not known or it cannot be gone through.
    pub fn skip_to_middle(&mut self) {
        // SAFETY: reads two numbers of a file this struct owns.
        let [start, duration] = unsafe { [(*self.input.as_ptr()).start_time, (*self.input.as_ptr()).duration] };
        let middle = start.max(0).saturating_add(duration / 2);
        if duration > 0 && self.input.seek(middle, ..middle).is_ok() {
            // SAFETY: the decoder is open.
            unsafe { ffi::avcodec_flush_buffers(self.context.as_mut_ptr()) };
            self.ready.clear();
            self.drained = false;
        }
    }

    /// The next picture as the file has it.
    fn receive(&mut self) -> Result<Option<Video>, MediaError> {
        let stream = self.info.source.stream;
        let Self { path, input, context, packet, drained, losses, .. } = self;
        receive(path, input, context, packet, stream, drained, losses)
    }

    /// Takes a frame's time stamp away that is far ahead if the next one's is not: it is damage, and no break in the recording.
    fn without_leap(&mut self, mut picture: Video) -> Result<Video, MediaError> {
        let Some(stamp) = picture.timestamp().filter(|&stamp| self.stamps.leaps(stamp)) else { return Ok(picture) };
        if self.ready.is_empty() {
            let next = self.receive()?;
            self.ready.extend(next);
        }
        if self.ready.front().and_then(|next| next.timestamp()).is_some_and(|next| next < stamp) {
            // SAFETY: a frame of our own.
            unsafe { (*picture.as_mut_ptr()).best_effort_timestamp = ffi::AV_NOPTS_VALUE };
        }
        Ok(picture)
    }

    fn deliver(&mut self, picture: Video) -> Result<Frame, MediaError> {
        let stands_alone = picture.is_key() || picture.kind() == ffmpeg::picture::Type::I;
        self.has_begun |= stands_alone;
        // Pictures that are refreshed part by part heal without one that stands alone.
        self.has_begun |= self.index as f64 > HEALED * self.info.frame_rate;
        let is_told = picture.is_corrupt() || (!self.has_begun && builds_on_others(self.context.id()));
        let has_errors = picture.has_decode_errors();
        // SAFETY: a number of a live frame.
        let position = unsafe { (*picture.as_ptr()).pkt_pos };
        let duration = usable(picture.packet().duration, self.stamps.usual, self.stamps.per_second);
        let (stamp, repaired) = self.stamps.next(picture.timestamp(), duration, position);
        self.losses.clock_jumps = self.stamps.jumps.len() as u64;
        self.losses.repaired_stamps += u64::from(repaired);
        let mut picture = self.in_first_shape(picture)?;
        self.info.source.tags.write_frame(&mut picture);
        picture.set_pts(Some(stamp));
        // SAFETY: a frame this function owns. The encoder chooses its own picture types.
        unsafe { (*picture.as_mut_ptr()).pict_type = ffi::AVPictureType::AV_PICTURE_TYPE_NONE };
        let start = *self.start.get_or_insert(stamp);
        let time = (stamp - start) as f64 / self.stamps.per_second;
        self.end = (stamp + duration) as f64 / self.stamps.per_second;
        let index = self.index;
        self.index += 1;
        let mut frame = Frame::new(picture, self.info.layout, index, time, duration);
        if self.context.id() == Id::HEVC {
            let is_gray = is_mostly_gray(&frame);
            if stands_alone {
                self.may_be_gray = is_gray;
            }
            frame.is_corrupt = is_gray && !self.may_be_gray;
        }
        frame.is_corrupt |= is_told;
        self.losses.corrupt_frames += u64::from(frame.is_corrupt);
        self.losses.damaged_frames += u64::from(has_errors && !frame.is_corrupt);
        Ok(frame)
    }

    /// Renames full-range formats, converts what is no planar YUV and scales what differs from the first frame.
    fn in_first_shape(&mut self, mut picture: Video) -> Result<Video, MediaError> {
        let target = self.info.source.pixel;
        let [width, height] = self.info.geometry.coded;
        if let Some(plain) = convert::without_j(picture.format()) {
            picture.set_format(plain);
            picture.set_color_range(ffmpeg::color::Range::JPEG);
        }
        // SAFETY: reads three numbers of a frame this function owns.
        let upside_down = unsafe { [0, 1, 2].map(|plane| (*picture.as_ptr()).linesize[plane]) }.iter().any(|&l| l < 0);
        let same = picture.format() == target && [picture.width(), picture.height()] == [width, height];
        if same && !upside_down {
            return Ok(picture);
        }
        if self.index > 0
            && self.converter.as_ref().is_none_or(|_| [picture.width(), picture.height()] != [width, height])
        {
            self.losses.changed_frames += 1;
        }
        let tags = ColorTags { range: self.info.source.tags.range, ..self.info.source.tags };
        let rgb = convert::planar_layout(picture.format()).is_none() && convert::is_rgb(picture.format());
        let to = self.info.color;
        let from = if rgb { to } else { convert::color(tags, height) };
        let converter = self.converter.get_or_insert_with(|| Converter::new(target, width, height));
        converter.run(&picture, from, to).map_err(|source| MediaError::Undecodable {
            path: self.path.clone(),
            what: format!("{} frames", convert::name(picture.format())),
            reason: source.to_string(),
        })
    }

    fn note_truncation(&mut self) {
        let Some(promised) = self.promised_end else { return };
        let missing = promised - self.end;
        if missing > CUT_OFF.max(2.5 / self.info.frame_rate) && self.losses.truncated.is_none() {
            self.losses.truncated =
                Some(format!("the file ends early: the last {missing:.1} of {promised:.1} seconds are missing"));
        }
    }
}

/// Whether a time stamp can be one: ticks, and how many of them a second has.
fn is_sane(stamp: i64, per_second: f64) -> bool {
    (stamp as f64 / per_second).abs() < SANE_SECONDS && stamp.unsigned_abs() < MOST_TICKS
}

/// How long a frame lasts in ticks, by the file's word if it can be believed.
fn usable(duration: i64, usual: i64, per_second: f64) -> i64 {
    let is_believed = duration > 0 && duration as f64 <= SANE_JUMP * per_second && is_sane(duration, per_second);
    if is_believed { duration } else { usual }
}

/// Gives frames before the first that has a time stamp theirs, by their durations: those of other streams are as the file says.
fn date_back(frames: &mut VecDeque<Video>, usual: i64, per_second: f64) {
    let known = |frame: &Video| frame.timestamp().filter(|&stamp| is_sane(stamp, per_second));
    let Some(first) = frames.iter().position(|frame| known(frame).is_some()) else { return };
    for at in (0..first).rev() {
        let next = known(&frames[at + 1]).unwrap_or(0);
        let stamp = next - usable(frames[at].packet().duration, usual, per_second);
        // SAFETY: a frame of our own.
        unsafe { (*frames[at].as_mut_ptr()).best_effort_timestamp = stamp };
    }
}

/// Whether a file is of a kind that holds one picture as often as a video.
fn is_of_pictures(input: &Input) -> bool {
    // SAFETY: the metadata of an open input.
    let brand = unsafe { av::tag((*input.as_ptr()).metadata, c"major_brand") };
    ["gif", "apng"].contains(&input.format().name())
        || brand.is_some_and(|brand| av::is_brand_of_pictures(brand.trim().as_bytes()))
}

/// Whether a decoder gives frames that build on missing ones without saying so. H.264's says so; most others give none.
fn builds_on_others(codec: ffmpeg::codec::Id) -> bool {
    matches!(
        codec,
        Id::HEVC | Id::MPEG1VIDEO | Id::MPEG2VIDEO | Id::MPEG4 | Id::H263 | Id::VC1 | Id::WMV3 | Id::WMV2 | Id::WMV1
    )
}

/// Whether most of a picture is exactly in the middle between black and white: what the decoder for HEVC puts in the place of
/// frames that are missing, before FFmpeg 7 without telling of it.
fn is_mostly_gray(frame: &Frame) -> bool {
    /// One sample in so many, both ways.
    const STEP: usize = 8;
    let layout = frame.layout();
    let middle = 1 << (layout.depth - 1);
    (0..3).map(|plane| frame.plane(plane)).all(|plane| {
        let [mut gray, mut all] = [0usize; 2];
        for row in plane.data.chunks(plane.stride.max(1)).step_by(STEP) {
            for sample in row.chunks_exact(layout.bytes_per_sample()).take(plane.width).step_by(STEP) {
                let value = match *sample {
                    [a, b] => i32::from(u16::from_ne_bytes([a, b])),
                    [a] => i32::from(a),
                    _ => continue,
                };
                // What is added to it is mostly nothing, or a step by rounding.
                gray += usize::from((value - middle).abs() <= 1);
                all += 1;
            }
        }
        2 * gray > all
    })
}

/// The main video stream; cover art is none.
fn best_video(input: &Input) -> Option<ffmpeg::Stream<'_>> {
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

/// The next picture of the decoder, feeding it packets as it asks for them.
fn receive(
    path: &Path,
    input: &mut Input,
    context: &mut Context,
    packet: &mut ffmpeg::Packet,
    stream: usize,
    drained: &mut bool,
    losses: &mut Losses,
) -> Result<Option<Video>, MediaError> {
    let again = ffi::AVERROR(ffi::EAGAIN);
    loop {
        let mut picture = Video::empty();
        // SAFETY: an open decoder and a frame of our own.
        let code = unsafe { ffi::avcodec_receive_frame(context.as_mut_ptr(), picture.as_mut_ptr()) };
        match code {
            0 => {
                let [width, height] = [picture.width(), picture.height()].map(i64::from);
                if width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE {
                    return Err(MediaError::TooLarge { path: path.to_owned(), width, height, limit: MAX_SIDE });
                }
                return Ok(Some(picture));
            }
            ffi::AVERROR_EOF => return Ok(None),
            code if code == again && *drained => return Ok(None),
            code if code == again => {}
            code if code == ffi::AVERROR(ffi::ENOMEM) => {
                return Err(MediaError::Decode { path: path.to_owned(), source: ffmpeg::Error::from(code) });
            }
            // Damage: counted, and the next packet tried.
            _ => losses.corrupt_packets += 1,
        }
        if *drained {
            continue;
        }
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
            if code != ffi::AVERROR_EOF && losses.truncated.is_none() {
                losses.truncated = Some(format!("reading stopped before the end: {}", ffmpeg::Error::from(code)));
            }
            *drained = true;
            // SAFETY: a null packet asks for the frames that are held back.
            unsafe { ffi::avcodec_send_packet(context.as_mut_ptr(), std::ptr::null()) };
            continue;
        }
        if packet.stream() != stream {
            continue;
        }
        // SAFETY: an open decoder that has just said that it takes a packet.
        let code = unsafe { ffi::avcodec_send_packet(context.as_mut_ptr(), packet.as_ptr()) };
        if code < 0 && code != again {
            losses.corrupt_packets += 1;
        }
    }
}

/// What the file and its first frame tell, and the converter that all frames need, if any.
fn describe(
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
    let (interlaced, top_field_first) =
        unsafe { ((*first.as_ptr()).interlaced_frame != 0, (*first.as_ptr()).top_field_first != 0) };
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Stamps of frames that are 10 ticks of a millisecond apart, and where the clock jumped: the first stamp after it, and the shift.
    fn repaired(raw: &[i64]) -> (Vec<i64>, Vec<(i64, i64)>) {
        let mut stamps = Stamps::new(10, 1000.0);
        let times = raw.iter().map(|&t| stamps.next((t >= 0).then_some(t), 10, -1).0).collect();
        let millis = |seconds: f64| (seconds * 1000.0).round() as i64;
        (times, stamps.jumps.iter().map(|jump| (millis(jump.at), millis(jump.shift))).collect())
    }

    #[test]
    fn one_early_stamp_moves_one_frame_and_a_jump_moves_all_after_it() {
        assert_eq!(repaired(&[0, 10, 20, 30]), (vec![0, 10, 20, 30], vec![]));
        // Repeated, once: the next frame is where it was.
        assert_eq!(repaired(&[0, 10, 10, 30]), (vec![0, 10, 15, 30], vec![]));
        // No stamps at all, or always the same one: a frame after another.
        assert_eq!(repaired(&[-1, -1, -1, -1]).0, [0, 10, 20, 30]);
        assert_eq!(repaired(&[5, 5, 5, 5, 5]).0, [5, 10, 20, 30, 40]);
        // Two recordings in one file.
        assert_eq!(repaired(&[500, 510, 520, 100, 110]), (vec![500, 510, 520, 530, 540], vec![(100, 430)]));
        // Stamps and durations that are damage.
        assert_eq!(repaired(&[i64::MAX, 1 << 61, 20, i64::MAX, 40]).0, [0, 10, 20, 30, 40]);
        assert_eq!([usable(1 << 61, 10, 1000.0), usable(0, 10, 1000.0), usable(7, 10, 1000.0)], [10, 10, 7]);
        // One frame with a stamp from anywhere.
        assert_eq!(repaired(&[500, 510, 100, 530, 540]), (vec![500, 510, 520, 530, 540], vec![]));
    }

    /// A file that FFmpeg reads in more than one piece.
    fn clip(folder: &Path) -> PathBuf {
        let path = folder.join("clip.avi");
        let made = std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=2", "-c:v", "mjpeg"])
            .arg(&path)
            .status()
            .unwrap();
        assert!(made.success() && std::fs::metadata(&path).unwrap().len() > 200_000);
        path
    }

    #[test]
    fn what_cannot_be_read_is_not_the_end_of_the_video() {
        let folder = tempfile::tempdir().unwrap();
        let path = clip(folder.path());
        let frames = |broken: bool| {
            let mut decoder = Decoder::open(&path, 1).unwrap();
            let mut count = 0;
            loop {
                if broken && count == 10 {
                    // What a server that went away leaves behind.
                    // SAFETY: the reader of a live context.
                    unsafe {
                        (*(*decoder.input.as_mut_ptr()).pb).error = ffi::AVERROR(libc::ENOTCONN);
                        (*(*decoder.input.as_mut_ptr()).pb).eof_reached = 1;
                    }
                }
                match decoder.next() {
                    Ok(Some(_)) => count += 1,
                    Ok(None) => return (count, None),
                    Err(error) => return (count, Some(error)),
                }
            }
        };
        assert!(matches!(frames(false), (50, None)));
        let (_, error) = frames(true);
        let error = error.unwrap();
        assert!(!error.is_permanent() && error.to_string().contains("cannot be read"), "{error}");
    }
}
