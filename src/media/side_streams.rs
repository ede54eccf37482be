//! Sound, subtitles and what else a source has beside its video: read a second time and copied (or converted, where the
//! container does not take them), as far as the video is written, so that nothing piles up in memory.

use std::path::PathBuf;

use ffmpeg::ffi;
use ffmpeg::format::context::{Input, Output};
use ffmpeg::packet::Mut as _;
use ffmpeg_next as ffmpeg;

use super::av::{check, check_reads, copy_metadata, describe, open_input};
use super::encode::{MICROSECONDS, copy_stream_description};
use super::transcode::Transcoder;
use super::{MediaError, VideoInfo};

/// Seconds that other streams may run ahead of the video: enough for the muxer to interleave them.
const AHEAD: f64 = 0.5;

/// What transport streams carry under a name that players know; FFmpeg has no list of it.
const TRANSPORTED: [&str; 10] =
    ["aac", "mp2", "mp3", "ac3", "eac3", "dts", "truehd", "opus", "dvb_subtitle", "dvb_teletext"];

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
}

/// What becomes of a stream's packets.
enum Route {
    /// Left out.
    Nowhere,
    /// Into the output's stream of this index, as they are.
    Copy(usize),
    /// Into another codec.
    Convert(Box<Transcoder>),
}

/// Which of the other streams are asked to go into a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    All,
    /// The first sound: FLV has room for no more.
    OneSound,
    Nothing,
}

impl SideStreams {
    /// Adds the source's other streams to `output`, as far as they are to be kept.
    pub fn open(
        source: &VideoInfo,
        output: &mut Output,
        keep: Keep,
        warnings: &mut Vec<String>,
    ) -> Result<Self, MediaError> {
        let mut input = open_input(&source.path)?;
        let video = source.source.stream;
        let mut routes = Vec::new();
        for index in 0..input.nb_streams() as usize {
            let is_kept = match keep {
                Keep::All => true,
                Keep::OneSound => Some(index) == first_sound(&input),
                Keep::Nothing => false,
            };
            let route = match is_kept && index != video {
                true => add_stream(&mut input, index, output, warnings),
                false => Route::Nowhere,
            };
            if matches!(route, Route::Nowhere) {
                // SAFETY: a stream of the open input; the demuxer then skips its packets.
                unsafe { (**(*input.as_mut_ptr()).streams.add(index)).discard = ffi::AVDiscard::AVDISCARD_ALL };
            }
            routes.push(route);
        }
        // SAFETY: both streams exist: the source's video and the output's first.
        unsafe {
            let from = *(*input.as_ptr()).streams.add(video);
            copy_stream_description(*(*output.as_ptr()).streams, from);
        }
        let done = routes.iter().all(|route| matches!(route, Route::Nowhere));
        let packet = ffmpeg::Packet::empty();
        let path = source.path.clone();
        Ok(Self { path, input, routes, packet, held: false, done, shift: source.source.shift })
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
            .map(|c| (c.id(), c.time_base(), c.start(), c.end(), c.metadata().get("title").unwrap_or("").to_owned()))
            .collect();
        for (id, time_base, start, end, title) in chapters {
            // A container without chapters loses them; players do the same.
            let _ = output.add_chapter(id, time_base, start, end, &title);
        }
    }

    /// Whether all could be read that was written.
    ///
    /// # Errors
    /// [`MediaError::Read`] when the end came too soon.
    pub fn check(&self) -> Result<(), MediaError> {
        check_reads(&self.path, &self.input)
    }

    /// Writes all packets up to a time of the source's clock (seconds).
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
                    return self.routes.iter_mut().try_for_each(|route| match route {
                        Route::Convert(transcoder) => transcoder.feed(None, output),
                        _ => Ok(()),
                    });
                }
            }
            let index = self.packet.stream();
            let Some(route @ (Route::Copy(_) | Route::Convert(_))) = self.routes.get_mut(index) else {
                self.held = false;
                continue;
            };
            // SAFETY: streams of the open contexts; the packet is ours and emptied by the muxer.
            unsafe {
                let from = (**(*self.input.as_ptr()).streams.add(index)).time_base;
                let p = self.packet.as_mut_ptr();
                let at = if (*p).dts == ffi::AV_NOPTS_VALUE { (*p).pts } else { (*p).dts };
                let shift = ffi::av_rescale_q(self.shift, MICROSECONDS, from);
                let time = (at.saturating_add(shift)) as f64 * f64::from(from.num) / f64::from(from.den);
                if at != ffi::AV_NOPTS_VALUE && time > seconds + AHEAD {
                    self.held = true;
                    return Ok(());
                }
                self.held = false;
                for stamp in [&mut (*p).pts, &mut (*p).dts] {
                    if *stamp != ffi::AV_NOPTS_VALUE {
                        *stamp = stamp.saturating_add(shift);
                    }
                }
                match route {
                    Route::Nowhere => {}
                    Route::Convert(transcoder) => transcoder.feed(Some(&mut self.packet), output)?,
                    Route::Copy(target) => {
                        let to = (**(*output.as_ptr()).streams.add(*target)).time_base;
                        ffi::av_packet_rescale_ts(p, from, to);
                        (*p).stream_index = *target as i32;
                        (*p).pos = -1;
                        check(ffi::av_interleaved_write_frame(output.as_mut_ptr(), p))?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn first_sound(input: &Input) -> Option<usize> {
    input.streams().find(|s| s.parameters().medium() == ffmpeg::media::Type::Audio).map(|s| s.index())
}

/// Adds a stream to the output: as it is if its container takes it, else converted if it can be.
fn add_stream(input: &mut Input, index: usize, output: &mut Output, warnings: &mut Vec<String>) -> Route {
    let Some(stream) = input.stream(index) else { return Route::Nowhere };
    let (medium, what) = (stream.parameters().medium(), describe(&stream));
    let kind = match medium {
        ffmpeg::media::Type::Audio => "sound",
        ffmpeg::media::Type::Subtitle => "subtitles",
        ffmpeg::media::Type::Video => "picture",
        _ => return Route::Nowhere,
    };
    // SAFETY: streams and contexts live; parameters are copied.
    unsafe {
        let from = *(*input.as_mut_ptr()).streams.add(index);
        let format = (*output.as_ptr()).oformat;
        let container = std::ffi::CStr::from_ptr((*format).name).to_string_lossy();
        let id = (*(*from).codecpar).codec_id;
        // FFmpeg writes PCM into MP4 from version 6.1 on. Few players read it, and channels without places are refused.
        let is_odd = container == "mp4" && ffmpeg::codec::Id::from(id).name().starts_with("pcm_");
        let is_taken = match ffi::avformat_query_codec(format, id, 0) {
            0 => false,
            1 => true,
            _ => container == "mpegts" && TRANSPORTED.contains(&ffmpeg::codec::Id::from(id).name()),
        };
        let route = if !is_odd && is_taken {
            let to = ffi::avformat_new_stream(output.as_mut_ptr(), std::ptr::null());
            if to.is_null() || ffi::avcodec_parameters_copy((*to).codecpar, (*from).codecpar) < 0 {
                return Route::Nowhere;
            }
            (*(*to).codecpar).codec_tag = 0;
            (*to).time_base = (*from).time_base;
            Route::Copy((*to).index as usize)
        } else {
            let converted = match medium {
                ffmpeg::media::Type::Video => Err(ffmpeg::Error::EncoderNotFound),
                _ => Transcoder::open(from, output),
            };
            match converted {
                Ok(transcoder) => {
                    let codec = transcoder.codec();
                    warnings.push(format!("{container} does not take the {kind} ({what}); converted to {codec}"));
                    Route::Convert(Box::new(transcoder))
                }
                Err(_) => {
                    warnings.push(format!("the {kind} ({what}) cannot be kept in {container} and was left out"));
                    return Route::Nowhere;
                }
            }
        };
        let target = match &route {
            Route::Nowhere => return route,
            Route::Copy(target) => *target,
            Route::Convert(transcoder) => transcoder.target(),
        };
        copy_stream_description(*(*output.as_ptr()).streams.add(target), from);
        route
    }
}
