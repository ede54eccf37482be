//! Frames of a video file in order, each with its time.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use ffmpeg::ffi;
use ffmpeg::format::context::Input;
use ffmpeg::frame::Video;
use ffmpeg_next as ffmpeg;

use super::av::{self, ColorTags};
use super::convert::{self, Converter};
use super::damage::{Damage, Seen};
use super::describe::describe;
use super::losses::Losses;
use super::pictures::{check_second, still_result};
use super::probe::VideoInfo;
use super::reader::Reader;
use super::stamps::{ClockJump, SANE_SECONDS, Stamps, date_back, usable};
use super::stretches::Begin;
use super::{Frame, MediaError, version};

/// Seconds of missing picture at the end from which a file counts as cut off.
const CUT_OFF: f64 = 0.5;
/// Frames without a time stamp that a file may begin with for those to be known from the first that has one.
const MOST_UNDATED: usize = 16;
/// Frames that may come after one at which a decoder begins, and are shown before it.
const MOST_LEADING: usize = 64;

/// Reads a video file.
pub struct Decoder {
    path: PathBuf,
    reader: Reader,
    info: VideoInfo,
    converter: Option<Converter>,
    /// The first frames, decoded when the file was opened.
    ready: VecDeque<Video>,
    damage: Damage,
    stamps: Stamps,
    start: Option<i64>,
    index: u64,
    /// Whether there is one frame only, whatever else is in the file.
    is_still: bool,
    /// Whether it began elsewhere than at the first frame.
    is_inside: bool,
    losses: Losses,
    /// What was lost of the frames that another decoder gave, which began in the middle and after which this one begins at the first frame.
    lost_before: Losses,
    /// End of the last delivered frame, in seconds of the file's clock.
    end: f64,
}

impl Decoder {
    /// Opens a file and decodes its first frame. `threads` is for frame threading; 0 lets FFmpeg choose.
    pub fn open(path: impl AsRef<Path>, threads: usize) -> Result<Self, MediaError> {
        Self::open_also_pictures(path, threads, None)
    }

    /// The same; where `pictures` is given, also of a picture, or of a folder of numbered ones that are shown so many a second.
    pub fn open_also_pictures(
        path: impl AsRef<Path>,
        threads: usize,
        pictures: Option<f64>,
    ) -> Result<Self, MediaError> {
        let path = path.as_ref();
        let mut reader = Reader::open(path, threads, pictures)?;
        let first = reader.receive()?.ok_or_else(|| MediaError::NoFrames { path: path.to_owned() })?;
        let mut ready = VecDeque::from([first]);
        let is_still = pictures.is_some() && still_result(path).is_some();
        if is_still {
            check_second(path, reader.receive()?.is_some())?;
        } else if is_of_pictures(&reader.input) {
            match reader.receive()? {
                Some(second) => ready.push_back(second),
                None => return Err(MediaError::StillPicture { path: path.to_owned() }),
            }
        }
        while !is_still && ready.len() < MOST_UNDATED && ready.iter().all(|frame| frame.timestamp().is_none()) {
            match reader.receive()? {
                Some(next) => ready.push_back(next),
                None => break,
            }
        }
        let (mut info, converter) = describe(path, &mut reader.input, reader.stream, &reader.context, &ready[0])?;
        info.source.pictures = pictures;
        let time_base = info.source.time_base;
        let per_second = f64::from(time_base.den) / f64::from(time_base.num).max(1.0);
        let usual = (per_second / info.frame_rate).round().max(1.0) as i64;
        let stamps = Stamps::new(usual, per_second, reader.has_any_clock());
        date_back(&mut ready, usual, per_second);
        let source_start = ready[0].timestamp().map_or(0.0, |stamp| stamp as f64 / per_second);
        info.source_start = if source_start.abs() < SANE_SECONDS { source_start } else { 0.0 };
        // Players leave out what comes before the clock's zero: the first frames, where they are damaged and the sound begins later.
        info.source.shift = info.source.shift.max((-info.source_start * 1e6).round() as i64);
        let damage = Damage::new(path, &reader, info.frame_rate);
        Ok(Self {
            path: path.to_owned(),
            reader,
            info,
            converter,
            ready,
            damage,
            stamps,
            start: None,
            index: 0,
            is_still,
            is_inside: false,
            losses: Losses::default(),
            lost_before: Losses::default(),
            end: 0.0,
        })
    }

    /// What the file holds.
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// What was lost so far; complete once [`Decoder::next`] gave `None`.
    pub fn losses(&self) -> Losses {
        self.losses.or_more(&self.lost_before)
    }

    /// Where the clock of the file jumped so far; complete once [`Decoder::next`] gave `None`.
    pub fn clock_jumps(&self) -> &[ClockJump] {
        &self.stamps.jumps
    }

    /// Number of the next frame.
    pub fn frames(&self) -> u64 {
        self.index
    }

    /// Whether it began elsewhere than at the first frame.
    pub fn is_inside(&self) -> bool {
        self.is_inside
    }

    /// Whether all that was read so far is whole and in order. Then the frames that are still to come are the same for who began to
    /// decode at a [`Begin`] in between. A file may be cut off at its end all the same.
    pub fn is_sound(&self) -> bool {
        let corrupt_packets = self.reader.corrupt_packets;
        Losses { truncated: None, corrupt_packets, ..self.losses() }.is_empty()
    }

    /// Begins anew at another place of the file, of which it then gives the frames as if it had given those before it. Where that turns out
    /// not to be possible, at the first frame.
    pub fn begin_at(mut self, begin: &Begin) -> Result<Self, MediaError> {
        if self.go_to(begin)? { Ok(self) } else { self.begin_again() }
    }

    /// Begins anew at the first frame. What was lost so far stays known: whether FFmpeg tells of damage in a frame depends on how its threads
    /// happen to run, and this time it may not.
    pub fn begin_again(self) -> Result<Self, MediaError> {
        let lost_before = self.losses();
        let again = Self::open_also_pictures(&self.path, self.reader.threads, self.info.source.pictures)?;
        Ok(Self { lost_before, ..again })
    }

    fn go_to(&mut self, begin: &Begin) -> Result<bool, MediaError> {
        let is_at_first = self.index == 0 && !self.is_still;
        let first = self.ready.front().and_then(|frame| frame.timestamp());
        if !is_at_first || first != Some(begin.first) || !self.reader.begin_at(begin.packet)? {
            return Ok(false);
        }
        self.ready.clear();
        for _ in 0..MOST_LEADING {
            let Some(frame) = self.reader.receive()? else { return Ok(false) };
            match frame.timestamp() {
                Some(stamp) if stamp < begin.packet.stamp => {}
                stamp => {
                    self.damage = Damage::new(&self.path, &self.reader, self.info.frame_rate);
                    self.ready.push_back(frame);
                    (self.start, self.index, self.is_inside) = (Some(begin.first), begin.frame, true);
                    return Ok(stamp == Some(begin.packet.stamp) && self.reader.corrupt_packets == 0);
                }
            }
        }
        Ok(false)
    }

    /// The next frame, or `None` at the end. Damage is counted in [`Decoder::losses`], it is not an error.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Frame>, MediaError> {
        let picture = match self.ready.pop_front() {
            Some(ready) => Some(ready),
            None if self.is_still => None,
            None => self.reader.receive()?,
        };
        match picture {
            Some(picture) => {
                let picture = self.without_leap(picture)?;
                self.deliver(picture).map(Some)
            }
            None => {
                self.note_end();
                Ok(None)
            }
        }
    }

    /// Goes to the keyframe before the middle, for who wants to see one picture only: what follows is numbered as if nothing had
    /// been before it. Stays where it is if the file's length is not known or it cannot be gone through.
    pub fn skip_to_middle(&mut self) {
        // SAFETY: reads two numbers of a file this struct owns.
        let [start, duration] = unsafe {
            let input = self.reader.input.as_ptr();
            [(*input).start_time, (*input).duration]
        };
        let middle = start.max(0).saturating_add(duration / 2);
        if duration > 0 && self.reader.seek(middle) {
            self.ready.clear();
            self.damage.forget_places();
        }
    }

    /// Takes a frame's time stamp away that is far ahead if the next one's is not: it is damage, and no break in the recording.
    fn without_leap(&mut self, mut picture: Video) -> Result<Video, MediaError> {
        let Some(stamp) = picture.timestamp().filter(|&stamp| self.stamps.leaps(stamp)) else { return Ok(picture) };
        if self.ready.is_empty() {
            let next = self.reader.receive()?;
            self.ready.extend(next);
        }
        if self.ready.front().and_then(|next| next.timestamp()).is_some_and(|next| next < stamp) {
            // SAFETY: a frame of our own.
            unsafe { (*picture.as_mut_ptr()).best_effort_timestamp = ffi::AV_NOPTS_VALUE };
        }
        Ok(picture)
    }

    fn deliver(&mut self, picture: Video) -> Result<Frame, MediaError> {
        let has_errors = picture.has_decode_errors();
        // SAFETY: a number of a live frame.
        let position = unsafe { version::position(picture.as_ptr()) };
        let duration = usable(picture.packet().duration, self.stamps.usual, self.stamps.per_second);
        let (stamp, repaired) = self.stamps.next(picture.timestamp(), duration, position);
        self.losses.clock_jumps = self.stamps.jumps.len() as u64;
        self.losses.repaired_stamps += u64::from(repaired);
        let start = *self.start.get_or_insert(stamp);
        let time = (stamp - start) as f64 / self.stamps.per_second;
        self.end = (stamp + duration) as f64 / self.stamps.per_second;
        let index = self.index;
        self.index += 1;
        let [is_key, is_corrupt] =
            [picture.is_key() || picture.kind() == ffmpeg::picture::Type::I, picture.is_corrupt()];
        let mut picture = self.in_first_shape(picture)?;
        self.info.source.tags.write_frame(&mut picture);
        picture.set_pts(Some(stamp));
        // SAFETY: a frame this function owns. The encoder chooses its own picture types.
        unsafe { (*picture.as_mut_ptr()).pict_type = ffi::AVPictureType::AV_PICTURE_TYPE_NONE };
        let mut frame = Frame::new(picture, self.info.layout, index, time, duration);
        let seen = Seen { stands_alone: is_key, is_corrupt, position, corrupt_packets: self.reader.corrupt_packets };
        frame.is_corrupt = self.damage.is_in(&frame, &seen);
        self.losses.corrupt_packets = self.reader.corrupt_packets;
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

    fn note_end(&mut self) {
        self.losses.corrupt_packets = self.reader.corrupt_packets;
        self.losses.truncated = self.reader.stopped.clone().or_else(|| {
            let promised = self.reader.promised_end().filter(|_| self.stamps.jumps.is_empty())?;
            let missing = promised - self.end;
            (missing > CUT_OFF.max(2.5 / self.info.frame_rate))
                .then(|| format!("the file ends early: the last {missing:.1} of {promised:.1} seconds are missing"))
        });
    }
}

/// Whether a file is of a kind that holds one picture as often as a video.
fn is_of_pictures(input: &Input) -> bool {
    // SAFETY: the metadata of an open input.
    let brand = unsafe { av::tag((*input.as_ptr()).metadata, c"major_brand") };
    ["gif", "apng"].contains(&input.format().name())
        || brand.is_some_and(|brand| av::is_brand_of_pictures(brand.trim().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
                        (*(*decoder.reader.input.as_mut_ptr()).pb).error = ffi::AVERROR(libc::ENOTCONN);
                        (*(*decoder.reader.input.as_mut_ptr()).pb).eof_reached = 1;
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
