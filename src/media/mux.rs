//! Compressed video into a file, with everything else that the source had.

use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::ptr;

use ffmpeg::ffi;
use ffmpeg::format::context::Output;
use ffmpeg::packet::Mut as _;
use ffmpeg_next as ffmpeg;

use super::av::{Options, check, file_url};
use super::container::{container, is_quicktime};
use super::description::Description;
use super::encode::{EncodeSettings, Encoder, MICROSECONDS, Packet};
use super::side_streams::{LeftOut, SideStreams};
use super::{ClockJump, MediaError, VideoInfo, version};

/// A finished file.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Frames of video.
    pub frames: u64,
    /// Time stamp of the first frame, seconds.
    pub start: f64,
    /// Seconds from the first frame to the end of the last.
    pub duration: f64,
    /// What could not be kept as it was, in sentences.
    pub warnings: Vec<String>,
    /// What the source says of itself and of the streams that were kept; times are counted from the first frame.
    pub(super) described: Description,
}

/// Index of the video in the output; the other streams follow in the source's order.
const VIDEO: usize = 0;

/// Writes one video file.
pub struct Muxer {
    path: PathBuf,
    output: Output,
    /// Of the packets that come in.
    time_base: ffi::AVRational,
    side: SideStreams,
    /// When each packet is decoded.
    decode_stamps: std::vec::IntoIter<i64>,
    frames: u64,
    start: i64,
    end: i64,
    warnings: Vec<String>,
}

impl Muxer {
    /// Starts a file at `path` (its extension names the container) for packets that encoders of these settings made of
    /// `source`, with the source's other streams but those that are `left_out`. `stamps`: of all packets, in the order in which
    /// they will come. `jumps`: where the source's clock jumped.
    pub fn create(
        path: &Path,
        source: &VideoInfo,
        settings: &EncodeSettings,
        stamps: &[i64],
        jumps: &[ClockJump],
        left_out: &LeftOut,
    ) -> Result<Self, MediaError> {
        let fail = |e| MediaError::encode(path, e);
        // Nothing of it goes into the file: every encoder of these settings describes its stream the same way.
        let mut encoder = Encoder::open(path, source, settings)?;
        let mut warnings = encoder.take_warnings();
        let url = file_url(path).ok_or_else(|| MediaError::UnknownContainer { path: path.to_owned() })?;
        let format = container(path)?;
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` is null, so FFmpeg allocates it; `Output` closes the file and frees the context.
        let mut output = unsafe {
            check(ffi::avformat_alloc_output_context2(&mut raw, format, ptr::null(), url.as_ptr())).map_err(fail)?;
            let code = ffi::avio_open(&mut (*raw).pb, url.as_ptr(), ffi::AVIO_FLAG_WRITE);
            let output = Output::wrap(raw);
            check(code).map_err(|e| MediaError::mux(path, e))?;
            output
        };
        // By how much the first frame is shown later than its stamp says, microseconds.
        let mut moved = 0;
        // SAFETY: the output and the encoder live; the new stream belongs to the output.
        unsafe {
            let stream = ffi::avformat_new_stream(output.as_mut_ptr(), ptr::null());
            if stream.is_null() {
                return Err(fail(ffmpeg::Error::from(ffi::AVERROR(ffi::ENOMEM))));
            }
            let is_turned = encoder.is_turning();
            encoder.describe(stream)?;
            if is_counted(format, source, stamps) {
                let tick = ffi::av_inv_q(source.source.frame_rate);
                (*stream).time_base = tick;
                let (start, time_base) = (stamps.iter().min().copied().unwrap_or(0), source.source.time_base);
                let counted = ffi::av_rescale_q(start, time_base, tick);
                moved =
                    ffi::av_rescale_q(counted, tick, MICROSECONDS) - ffi::av_rescale_q(start, time_base, MICROSECONDS);
            } else {
                (*stream).time_base = source.source.time_base;
            }
            (*stream).avg_frame_rate = source.source.frame_rate;
            let is_matrix = |kind| kind == ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX;
            for (kind, bytes) in source.source.side_data.iter().filter(|(kind, _)| !(is_turned && is_matrix(*kind))) {
                version::add_side_data(stream, *kind, bytes);
            }
        }
        // Boxes for stereo pictures and panoramas, which players know though no standard of MP4 has them.
        // SAFETY: a plain field of a live context.
        unsafe { (*output.as_mut_ptr()).strict_std_compliance = ffi::FF_COMPLIANCE_UNOFFICIAL };
        let mut side = SideStreams::open(path, source, &mut output, (moved, jumps), left_out, &mut warnings)?;
        side.copy_file_metadata(&mut output);
        // SAFETY: the header is written once, after all streams were added.
        unsafe {
            let mut options = Options::new();
            if is_quicktime(format) && has_key(&output, c"com.") {
                // Keys of any name instead of iTunes' few: where a telephone was, which camera it has.
                options.set(c"movflags", c"use_metadata_tags");
            }
            check(ffi::avformat_write_header(output.as_mut_ptr(), &mut options.0))
                .map_err(|e| MediaError::header(path, &settings.codec, e))?;
        }
        Ok(Self {
            path: path.to_owned(),
            output,
            time_base: source.source.time_base,
            side,
            decode_stamps: decode_stamps(stamps).into_iter(),
            frames: 0,
            start: i64::MAX,
            end: i64::MIN,
            warnings,
        })
    }

    /// Takes the next packet.
    ///
    /// # Errors
    /// [`MediaError::SideStream`] when another stream than the video is to blame, or may be: the file can be made without it.
    pub fn write(&mut self, packet: &Packet) -> Result<(), MediaError> {
        let mut out = ffmpeg::Packet::copy(&packet.data);
        // SAFETY: an open output and a packet of our own, which the muxer empties.
        let code = unsafe {
            let p = out.as_mut_ptr();
            (*p).pts = packet.stamp;
            (*p).dts = self.decode_stamps.next().unwrap_or(packet.stamp);
            (*p).duration = packet.duration;
            (*p).flags = packet.flags;
            (*p).stream_index = VIDEO as i32;
            let stream = *(*self.output.as_ptr()).streams.add(VIDEO);
            ffi::av_packet_rescale_ts(p, self.time_base, (*stream).time_base);
            ffi::av_interleaved_write_frame(self.output.as_mut_ptr(), p)
        };
        check(code).map_err(|e| self.blame(e))?;
        self.frames += 1;
        self.start = self.start.min(packet.stamp);
        self.end = self.end.max(packet.stamp.saturating_add(packet.duration));
        let seconds = self.seconds(packet.stamp);
        self.side.write_until(seconds, &mut self.output).map_err(|e| self.blame(e))
    }

    /// Writes what is left of the other streams and closes the file; it is on disk when this returns.
    ///
    /// # Errors
    /// As [`Muxer::write`].
    pub fn finish(mut self) -> Result<Written, MediaError> {
        self.side.write_until(f64::INFINITY, &mut self.output).map_err(|e| self.blame(e))?;
        let changes = self.side.finish()?;
        // SAFETY: the header was written; the trailer is written once.
        let code = unsafe { ffi::av_write_trailer(self.output.as_mut_ptr()) };
        check(code).map_err(|e| self.blame(e))?;
        let duration = if self.frames == 0 { 0.0 } else { self.seconds(self.end) - self.seconds(self.start) };
        let start = if self.frames == 0 { 0.0 } else { self.seconds(self.start) };
        let mut described = self.side.described();
        described.count_from(start);
        let Self { path, output, frames, mut warnings, .. } = self;
        warnings.extend(changes);
        drop(output);
        let file = std::fs::File::open(&path).map_err(|e| MediaError::write(&path, e))?;
        file.sync_all().map_err(|e| MediaError::write(&path, e))?;
        Ok(Written { frames, start, duration, warnings, described })
    }

    /// What an error of writing is: the system's (the disk is full), or that a stream does not go into this container. Which one
    /// is not known: the muxer holds packets back to put those of all streams in order.
    fn blame(&self, error: ffmpeg::Error) -> MediaError {
        use ffmpeg::error::{EDOM, EINVAL, ENOSYS, ERANGE};
        let is_of_system =
            matches!(error, ffmpeg::Error::Other { errno } if ![EINVAL, ERANGE, EDOM, ENOSYS].contains(&errno));
        let streams = self.side.kept();
        match is_of_system || streams.is_empty() {
            true => MediaError::mux(&self.path, error),
            false => MediaError::SideStream { path: self.path.clone(), streams, source: error },
        }
    }

    fn seconds(&self, stamp: i64) -> f64 {
        stamp as f64 * f64::from(self.time_base.num) / f64::from(self.time_base.den)
    }
}

/// Whether the frames of a file are best counted at their rate: AVI has no time stamps, and shows a frame a tick. Not where two
/// frames would have the same tick.
fn is_counted(format: *const ffi::AVOutputFormat, source: &VideoInfo, stamps: &[i64]) -> bool {
    // SAFETY: a container's description lives for ever; the rest is plain arithmetic.
    unsafe {
        let rate = source.source.frame_rate;
        let tick = |stamp: i64| ffi::av_rescale_q(stamp, source.source.time_base, ffi::av_inv_q(rate));
        let ticks: std::collections::HashSet<i64> = stamps.iter().map(|&stamp| tick(stamp)).collect();
        CStr::from_ptr((*format).name) == c"avi" && rate.num > 0 && rate.den > 0 && ticks.len() == stamps.len()
    }
}

/// Whether the file's metadata has a key that begins so.
fn has_key(output: &Output, begin: &CStr) -> bool {
    // SAFETY: the metadata of a live output; null is for the first entry of those that begin with the key.
    unsafe {
        let metadata = (*output.as_ptr()).metadata;
        !ffi::av_dict_get(metadata, begin.as_ptr(), ptr::null(), ffi::AV_DICT_IGNORE_SUFFIX).is_null()
    }
}

/// When packets are decoded, from when they are shown: strictly rising, never after they are shown, also from one encoder's
/// packets to the next one's. The encoders' own would overlap there when the frame rate varies.
fn decode_stamps(shown: &[i64]) -> Vec<i64> {
    let mut sorted = shown.to_vec();
    sorted.sort_unstable();
    // How many packets one comes before its place in the order of showing, at most.
    let early = shown.iter().enumerate().map(|(at, stamp)| at.saturating_sub(sorted.partition_point(|s| s < stamp)));
    let delay = early.max().unwrap_or(0);
    let step = match sorted[..] {
        [first, second, ..] => (second - first).max(1),
        _ => 1,
    };
    let before = |at: usize| sorted[0].saturating_sub(step.saturating_mul((delay - at) as i64));
    (0..shown.len()).map(|at| if at < delay { before(at) } else { sorted[at - delay] }).collect()
}

#[cfg(test)]
mod tests {
    use super::decode_stamps;

    #[test]
    fn what_is_shown_later_is_decoded_in_order() {
        assert_eq!(decode_stamps(&[]), [0i64; 0]);
        assert_eq!(decode_stamps(&[5]), [5]);
        assert_eq!(decode_stamps(&[0, 10, 20]), [0, 10, 20]);
        // Two segments with frames that are decoded after those they refer to; the frame rate varies.
        let shown = [0, 30, 10, 20, 40, 41, 300, 100, 200];
        let decoded = decode_stamps(&shown);
        assert_eq!(decoded, [-10, 0, 10, 20, 30, 40, 41, 100, 200]);
        assert!(decoded.iter().zip(&shown).all(|(decoded, shown)| decoded <= shown));
    }
}
