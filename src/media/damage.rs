//! Which frames are corrupt: delivered, but built on something that is missing, so that nothing in them can be relied on.

use std::path::Path;

use ffmpeg::codec::Id;
use ffmpeg_next as ffmpeg;

use super::Frame;
use super::continuity::Continuity;
use super::reader::Reader;

/// Seconds after which pictures are taken for whole though none that stands alone has come: some are refreshed part by part.
const HEALED: f64 = 10.0;

/// What is known of the frames that those to come build on.
pub(super) struct Damage {
    codec: Id,
    /// Frames in [`HEALED`] seconds.
    healed: u64,
    /// Since which frame something is missing, if anything is.
    since: Option<u64>,
    /// Where the last frame begins in the file that is damaged itself, bytes.
    hole: Option<i64>,
    /// Whether the last frame that stands alone was gray, so that a gray one after it is no sign of damage.
    may_be_gray: bool,
    /// Packets of the video that could not be decoded so far.
    corrupt_packets: u64,
    continuity: Option<Continuity>,
}

/// What the decoder tells with a frame.
pub(super) struct Seen {
    /// Whether it builds on no other frame.
    pub stands_alone: bool,
    /// Whether the decoder knows it for corrupt.
    pub is_corrupt: bool,
    /// Where in the file its packet begins, bytes; negative where that is not known.
    pub position: i64,
    /// Packets that could not be decoded so far.
    pub corrupt_packets: u64,
}

impl Damage {
    /// For the video of this rate (frames a second) in a file whose first frame was decoded.
    pub fn new(path: &Path, reader: &Reader, frame_rate: f64) -> Self {
        let codec = reader.context.id();
        let pid = reader.input.stream(reader.stream).map_or(-1, |stream| stream.id());
        let is_transported = reader.input.format().name() == "mpegts" && (is_silent(codec) || codec == Id::H264);
        // The key frame may be hidden by an edit list: then it is decoded, and not delivered.
        let begins_whole = reader.begins_whole.unwrap_or(true) || !is_silent(codec);
        Self {
            codec,
            healed: (HEALED * frame_rate) as u64,
            since: (!begins_whole).then_some(0),
            hole: None,
            may_be_gray: false,
            corrupt_packets: 0,
            continuity: is_transported.then(|| Continuity::open(path, pid)).flatten(),
        }
    }

    /// For who goes to another place of the file: where packets are missing is not looked for.
    pub fn forget_places(&mut self) {
        self.continuity = None;
    }

    /// Whether a frame is corrupt.
    pub fn is_in(&mut self, frame: &Frame, seen: &Seen) -> bool {
        let Seen { stands_alone, is_corrupt, position, corrupt_packets } = *seen;
        let missing = self.continuity.as_mut().and_then(|continuity| continuity.damage_until(position));
        let is_damaged = corrupt_packets > std::mem::replace(&mut self.corrupt_packets, corrupt_packets);
        self.hole = missing.or(self.hole);
        if missing.is_some() || (is_damaged && is_silent(self.codec)) {
            self.since = Some(frame.index);
        }
        // A frame that stands alone heals, unless it is the damaged one: those that are shown before it may come after it in the file.
        let heals = stands_alone && self.hole.is_none_or(|hole| position > hole || position < 0);
        if heals || self.since.is_some_and(|at| frame.index > at + self.healed) {
            self.since = None;
        }
        if self.codec == Id::HEVC {
            let is_gray = is_mostly_gray(frame);
            if stands_alone {
                self.may_be_gray = is_gray;
            }
            if is_gray && !self.may_be_gray {
                return true;
            }
        }
        is_corrupt || self.since.is_some()
    }
}

/// Whether a decoder gives frames that build on missing ones without saying so. H.264's says so.
fn is_silent(codec: Id) -> bool {
    matches!(
        codec,
        Id::HEVC
            | Id::MPEG1VIDEO
            | Id::MPEG2VIDEO
            | Id::MPEG4
            | Id::H263
            | Id::VC1
            | Id::WMV3
            | Id::WMV2
            | Id::WMV1
            | Id::VP8
            | Id::VP9
            | Id::AV1
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
