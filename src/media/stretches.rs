//! Stretches of a clip: where in a file a decoder may begin and gives the very frames that it gives there when it began at the first.
//!
//! All packets are read for that, and none is decoded. A place to begin is a packet of which both the container and the packet itself say
//! that nothing after it builds on what is before it, in a file whose packets are in order throughout. Where anything is odd, a clip is
//! one stretch. What only decoding shows, damage above all, is for the caller to look at: see [`Decoder::is_sound`](super::Decoder::is_sound).

use std::collections::VecDeque;
use std::path::Path;

use ffmpeg::codec::Id;
use ffmpeg::ffi;
use ffmpeg::format::context::Input;
use ffmpeg::packet::{Mut as _, Ref as _};
use ffmpeg_next as ffmpeg;

use super::av;
use super::key_packet::Syntax;
use super::pictures;
use super::probe::VideoInfo;
use super::reader::best_video;
use super::stamps::is_sane;
use super::still_result;
use crate::control::Stopped;

/// Seconds of a stretch, the last one apart; stretches end where the next place to begin is.
const SECONDS: f64 = 20.0;
/// Longest time in seconds from one frame to the next in a file whose clock is in order.
const LONGEST_PAUSE: f64 = 10.0;
/// Packets that are looked back at for how far frames are out of order; no codec here lets them be further.
const MOST_REORDERED: usize = 64;
/// Packets that are read before it is asked again whether to go on.
const BATCH: usize = 100;

/// A packet at which a decoder can begin, and the frames from there on.
#[derive(Debug, Clone, PartialEq)]
pub struct Begin {
    /// Number of the frame in the packet; all before it in the file's time are before it in number.
    pub frame: u64,
    /// Seconds since the first frame of the video.
    pub time: f64,
    /// Time stamp of the video's first frame.
    pub(super) first: i64,
    pub(super) packet: Mark,
}

/// By what a packet is known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// When it is shown, and how long it lasts, in the stream's time base.
    pub stamp: i64,
    pub duration: i64,
    /// By which time the container lists it: when it is decoded in MP4, when it is shown in Matroska.
    pub listed: i64,
    /// Bytes.
    pub size: i32,
}

impl Mark {
    /// # Safety
    /// `packet` must be alive.
    pub unsafe fn of(packet: *const ffi::AVPacket) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Self { stamp: (*packet).pts, duration: (*packet).duration, listed: (*packet).dts, size: (*packet).size }
        }
    }
}

/// The places of a clip where a decoder may begin.
#[derive(Debug, Clone, PartialEq)]
pub struct Stretches {
    begins: Vec<Begin>,
    /// Seconds of all frames since the first.
    times: Vec<f64>,
    why_one: Option<&'static str>,
}

impl Stretches {
    /// Of the video in a file that was opened before. Reads all of it; `go_on` is asked now and then.
    ///
    /// # Errors
    /// When `go_on` says so.
    pub fn find(info: &VideoInfo, go_on: &dyn Fn() -> Result<(), Stopped>) -> Result<Self, Stopped> {
        let found = match Packets::open(info) {
            Ok(packets) => packets.read(go_on)?.and_then(|packets| packets.begins()),
            Err(why) => Err(why),
        };
        Ok(match found {
            Ok((begins, times)) => Self { begins, times, why_one: None },
            Err(why) => Self::one(why),
        })
    }

    /// One stretch, in a sentence why.
    pub fn one(why: &'static str) -> Self {
        Self { begins: Vec::new(), times: Vec::new(), why_one: Some(why) }
    }

    /// Why a decoder can begin nowhere but at the first frame, in a sentence, where that is so.
    pub fn why_one(&self) -> Option<&'static str> {
        self.why_one
    }

    /// Seconds of all frames since the first one, as the packets have them; empty where a decoder can begin nowhere but there.
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// The last place to begin at or before a frame.
    pub fn before(&self, frame: u64) -> Option<&Begin> {
        self.begins[..self.begins.partition_point(|begin| begin.frame <= frame)].last()
    }

    /// First frames of the stretches but for the first one: about twenty seconds each, and none at the end that is shorter than half of
    /// that. `end`: seconds of the whole clip.
    pub fn cuts(&self, end: f64) -> Vec<u64> {
        let mut due = SECONDS;
        let mut cuts = Vec::new();
        for begin in &self.begins {
            if begin.time >= due && end - begin.time >= SECONDS / 2.0 {
                due = begin.time + SECONDS;
                cuts.push(begin.frame);
            }
        }
        cuts
    }

    /// Whether a clip of so many seconds is one stretch, whatever its file is like.
    pub fn is_one(seconds: f64) -> bool {
        seconds < SECONDS * 1.5
    }
}

/// A packet of the video.
struct Packet {
    mark: Mark,
    is_begin: bool,
}

/// All packets of a video.
struct Packets {
    input: Input,
    stream: usize,
    syntax: Syntax,
    per_second: f64,
    /// Packets that the container lists, if it has to list all.
    listed: Option<usize>,
    /// Frames that the decoder holds back at most, if it goes by a guess.
    held_back: Option<usize>,
    /// Packets in the order of the file.
    all: Vec<Packet>,
}

type Found<T> = Result<T, &'static str>;

impl Packets {
    fn open(info: &VideoInfo) -> Found<Self> {
        let path: &Path = &info.path;
        if info.source.pictures.is_some() && (path.is_dir() || still_result(path).is_some()) {
            return Err("pictures are no video file");
        }
        let Ok((mut input, _)) = pictures::open(path, None) else { return Err("the file cannot be opened again") };
        let is_mov = match input.format().name() {
            "mov,mp4,m4a,3gp,3g2,mj2" => true,
            "matroska,webm" => false,
            _ => return Err("files of this container may have no reliable list of their packets"),
        };
        let Some(stream) = best_video(&input) else { return Err("the file changed") };
        let (index, codec) = (stream.index(), stream.parameters().id());
        if index != info.source.stream {
            return Err("the file changed");
        }
        // SAFETY: a live stream, its parameters and their bytes, which are copied.
        let (description, listed, held_back) = unsafe {
            let parameters = (*stream.as_ptr()).codecpar;
            let (bytes, size) = ((*parameters).extradata, usize::try_from((*parameters).extradata_size).unwrap_or(0));
            let description =
                if bytes.is_null() { Vec::new() } else { std::slice::from_raw_parts(bytes, size).to_vec() };
            let listed = ffi::avformat_index_get_entries_count(stream.as_ptr());
            (description, usize::try_from(listed).unwrap_or(0), usize::try_from((*parameters).video_delay).unwrap_or(0))
        };
        let time_base = stream.time_base();
        let per_second = f64::from(time_base.denominator()) / f64::from(time_base.numerator()).max(1.0);
        let Some(syntax) = Syntax::of(codec, &description) else {
            return Err("it is not known of this codec where a decoder may begin");
        };
        // SAFETY: streams of an input of our own. What is not wanted is not read.
        unsafe {
            let input = input.as_mut_ptr();
            for other in (0..(*input).nb_streams as usize).filter(|other| *other != index) {
                (**(*input).streams.add(other)).discard = ffi::AVDiscard::AVDISCARD_ALL;
            }
        }
        let (listed, held_back) = (is_mov.then_some(listed), (codec == Id::H264).then_some(held_back));
        Ok(Self { input, stream: index, syntax, per_second, listed, held_back, all: Vec::new() })
    }

    /// Reads them, and looks at each by itself.
    fn read(mut self, go_on: &dyn Fn() -> Result<(), Stopped>) -> Result<Found<Self>, Stopped> {
        let mut packet = ffmpeg::Packet::empty();
        let mut parameters: Option<Vec<u8>> = None;
        loop {
            if self.all.len().is_multiple_of(BATCH) {
                go_on()?;
            }
            // SAFETY: an open input, and a packet of our own that reading fills anew.
            let code = unsafe {
                ffi::av_packet_unref(packet.as_mut_ptr());
                ffi::av_read_frame(self.input.as_mut_ptr(), packet.as_mut_ptr())
            };
            match code {
                ffi::AVERROR_EOF => break,
                code if code < 0 => return Ok(Err("the file cannot be read to its end")),
                _ if packet.stream() != self.stream => continue,
                _ => {}
            }
            // SAFETY: the packet was just read.
            let (mut mark, flags, changes) = unsafe {
                let p = packet.as_ptr();
                let mut sides =
                    (0..usize::try_from((*p).side_data_elems).unwrap_or(0)).map(|at| (*(*p).side_data.add(at)).type_);
                use ffi::AVPacketSideDataType::{AV_PKT_DATA_NEW_EXTRADATA, AV_PKT_DATA_PARAM_CHANGE};
                let changes = |kind| kind == AV_PKT_DATA_NEW_EXTRADATA || kind == AV_PKT_DATA_PARAM_CHANGE;
                (Mark::of(p), (*p).flags, sides.any(changes))
            };
            if flags & (ffi::AV_PKT_FLAG_CORRUPT | ffi::AV_PKT_FLAG_DISCARD) != 0 {
                return Ok(Err("some of its packets are damaged or not shown"));
            }
            if changes {
                return Ok(Err("the parameters of the video change"));
            }
            if self.listed.is_none() {
                mark.listed = mark.stamp;
            }
            if [mark.stamp, mark.listed].iter().any(|&stamp| !is_sane(stamp, self.per_second)) || mark.size < 1 {
                return Ok(Err("some of its packets have no usable time stamps"));
            }
            let Some(opening) = self.syntax.open(packet.data().unwrap_or_default()) else {
                return Ok(Err("some of its packets cannot be understood"));
            };
            // The same at each place to begin, or nowhere: then who begins there knows what who came by knows.
            let known = parameters.get_or_insert_with(|| opening.parameters.clone());
            if !opening.parameters.is_empty() && opening.parameters != *known {
                return Ok(Err("the parameters of the video change"));
            }
            let is_begin = packet.is_key() && opening.is_begin && opening.parameters == *known;
            self.all.push(Packet { mark, is_begin });
        }
        let could_be_read = av::check_reads(Path::new(""), &self.input).is_ok();
        Ok(if could_be_read { Ok(self) } else { Err("the file cannot be read to its end") })
    }

    /// Looks at all of them together, and gives the places to begin, and the time of every frame.
    fn begins(&self) -> Found<(Vec<Begin>, Vec<f64>)> {
        if self.listed.is_some_and(|listed| listed != self.all.len()) {
            return Err("the file has no list of all its packets");
        }
        let mut stamps: Vec<i64> = self.all.iter().map(|packet| packet.mark.stamp).collect();
        stamps.sort_unstable();
        let Some(&first) = stamps.first() else { return Err("it has no packets") };
        if stamps.windows(2).any(|two| two[0] == two[1]) {
            return Err("some of its frames have the same time stamp");
        }
        if stamps.windows(2).any(|two| (two[1] - two[0]) as f64 > LONGEST_PAUSE * self.per_second) {
            return Err("its clock leaps");
        }
        if self.listed.is_some() && self.all.windows(2).any(|two| two[0].mark.listed >= two[1].mark.listed) {
            return Err("its packets are not in the order of their time");
        }
        if !self.all.first().is_some_and(|packet| packet.is_begin && packet.mark.stamp == first) {
            return Err("it does not begin with a frame that stands alone");
        }
        // A decoder that has to guess how long frames wait for others must never have to learn.
        if self.held_back.is_some_and(|held_back| self.most_reordered() > held_back) {
            return Err("its frames are further out of order than the file says");
        }
        let time = |stamp: i64| (stamp - first) as f64 / self.per_second;
        let mut latest = i64::MIN;
        let mut begins = Vec::new();
        for Packet { mark, is_begin } in &self.all {
            if *is_begin && mark.stamp > latest {
                let frame = stamps.partition_point(|&stamp| stamp < mark.stamp) as u64;
                begins.push(Begin { frame, time: time(mark.stamp), first, packet: *mark });
            }
            latest = latest.max(mark.stamp);
        }
        Ok((begins, stamps.into_iter().map(time).collect()))
    }

    /// Frames at most that come before another one in the file and are shown after it.
    fn most_reordered(&self) -> usize {
        let mut before: VecDeque<i64> = VecDeque::new();
        let mut most = 0;
        for Packet { mark, .. } in &self.all {
            most = most.max(before.iter().filter(|&&stamp| stamp > mark.stamp).count());
            before.push_back(mark.stamp);
            if before.len() > MOST_REORDERED {
                before.pop_front();
            }
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum;
    use crate::media::Decoder;

    /// Made files: name, what FFmpeg's program is told, and how many places to begin they have at least, or a part of the sentence why
    /// there is one only. All have 100 frames.
    const FILES: [(&str, &str, Result<usize, &str>); 25] = [
        ("h264.mp4", "-c:v libx264 -g 20", Ok(5)),
        ("h264-deep.mp4", "-c:v libx264 -g 20 -bf 5 -x264-params b-pyramid=normal:ref=4:bframes=5:b-adapt=0", Ok(5)),
        ("h264-fast.mp4", "-c:v libx264 -g 10 -tune zerolatency", Ok(10)),
        ("h264.mkv", "-c:v libx264 -g 20 -bf 3", Ok(5)),
        ("h264-10.mov", "-c:v libx264 -g 20 -pix_fmt yuv422p10le", Ok(5)),
        ("h264-fields.mp4", "-c:v libx264 -g 20 -flags +ildct+ilme -x264-params tff=1", Ok(5)),
        ("h264-open.mp4", "-c:v libx264 -g 20 -x264-params open-gop=1:b-adapt=0:bframes=3", Ok(1)),
        ("h264-refresh.mp4", "-c:v libx264 -g 20 -x264-params intra-refresh=1", Ok(1)),
        ("h264-uneven.mp4", "-vf setpts=(N+mod(N\\,3)*0.3)/25/TB -fps_mode vfr -c:v libx264 -g 20", Ok(5)),
        ("h264-late.mp4", "-output_ts_offset 3 -c:v libx264 -g 20", Ok(5)),
        ("h264-sound.mp4", "-f lavfi -i sine=d=4 -shortest -c:v libx264 -g 20", Ok(5)),
        ("hevc.mp4", "-c:v libx265 -x265-params log-level=none:keyint=20:min-keyint=20:open-gop=0", Ok(5)),
        (
            "hevc-open.mp4",
            "-c:v libx265 -x265-params log-level=none:keyint=20:min-keyint=20:bframes=4:b-adapt=0",
            Ok(5),
        ),
        (
            "hevc-open-10.mkv",
            "-c:v libx265 -pix_fmt yuv420p10le -x265-params log-level=none:keyint=20:bframes=4",
            Ok(5),
        ),
        (
            "hevc-radl.mp4",
            "-c:v libx265 -x265-params log-level=none:keyint=20:open-gop=0:radl=2:b-adapt=0:bframes=3",
            Ok(5),
        ),
        ("vp9.webm", "-c:v libvpx-vp9 -g 20 -auto-alt-ref 1 -lag-in-frames 16 -cpu-used 8", Ok(5)),
        ("vp9.mp4", "-c:v libvpx-vp9 -g 20 -cpu-used 8", Ok(5)),
        ("av1.mkv", "-c:v libsvtav1 -g 20 -preset 12", Ok(5)),
        ("av1.mp4", "-c:v libaom-av1 -g 20 -cpu-used 8 -usage realtime", Ok(5)),
        ("prores.mov", "-c:v prores_ks", Ok(100)),
        ("mpeg4.mp4", "-c:v mpeg4 -g 20", Err("codec")),
        ("h264.ts", "-c:v libx264 -g 20", Err("container")),
        ("h264.avi", "-c:v libx264 -g 20 -bf 0", Err("container")),
        ("pieces.mp4", "-c:v libx264 -g 20 -movflags frag_keyframe+empty_moov", Ok(5)),
        ("cut.mp4", "-ss 0.3 -i H264 -c copy", Err("not shown")),
    ];

    /// Number, time, samples, stamp, duration and whether it is corrupt: all of a frame.
    type All = (u64, u64, u32, Option<i64>, i64, bool);

    fn all_of(decoder: &mut Decoder) -> Vec<All> {
        let mut frames = Vec::new();
        while let Some(frame) = decoder.next().unwrap() {
            let planes = (0..3).flat_map(|plane| {
                let plane = frame.plane(plane);
                let bytes = plane.width * frame.layout().bytes_per_sample();
                (0..plane.height).flat_map(move |row| plane.data[row * plane.stride..][..bytes].to_vec())
            });
            let sum = checksum::hex(&checksum::of(&planes.collect::<Vec<u8>>()));
            let sum = u32::from_str_radix(&sum[..8], 16).unwrap();
            frames.push((
                frame.index,
                frame.time.to_bits(),
                sum,
                frame.picture.pts(),
                frame.duration,
                frame.is_corrupt,
            ));
        }
        frames
    }

    fn find(path: &Path) -> Stretches {
        let info = Decoder::open(path, 1).unwrap().info().clone();
        Stretches::find(&info, &|| Ok(())).unwrap()
    }

    #[test]
    fn who_begins_in_between_gets_what_who_came_by_gets() {
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("h264.mp4").to_string_lossy().into_owned();
        for (name, arguments, expected) in FILES {
            let path = folder.path().join(name);
            let mut command = std::process::Command::new("ffmpeg");
            command.args(["-v", "error", "-y"]);
            if !arguments.contains("H264") {
                command.args(["-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=4"]);
            }
            let arguments = arguments.replace("H264", &whole);
            assert!(command.args(arguments.split(' ')).arg(&path).status().unwrap().success(), "{name}");
            let stretches = find(&path);
            match expected {
                Ok(count) => assert!(stretches.begins.len() >= count, "{name}: {stretches:?}"),
                Err(why) => {
                    assert!(stretches.why_one.is_some_and(|found| found.contains(why)), "{name}: {stretches:?}")
                }
            }
            let mut decoder = Decoder::open(&path, 2).unwrap();
            let frames = all_of(&mut decoder);
            assert!(decoder.is_sound() || expected.is_err(), "{name}");
            if expected.is_ok() {
                let times: Vec<u64> = frames.iter().map(|frame| frame.1).collect();
                assert_eq!(stretches.times.iter().map(|time| time.to_bits()).collect::<Vec<_>>(), times, "{name}");
            }
            for begin in &stretches.begins {
                let mut decoder = Decoder::open(&path, 2).unwrap().begin_at(begin).unwrap();
                assert!(decoder.is_inside(), "{name}: {begin:?}");
                assert!(all_of(&mut decoder) == frames[begin.frame as usize..], "{name}: {begin:?}");
                assert!(decoder.is_sound(), "{name}: {begin:?}");
                assert_eq!(begin.time.to_bits(), frames[begin.frame as usize].1, "{name}: {begin:?}");
            }
        }
    }
}
