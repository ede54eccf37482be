//! Sound and text subtitles whose codec the output's container does not take: decoded and encoded again, packet by
//! packet, in one the container does take.

use std::ffi::CStr;
use std::ptr;

use ffmpeg::ffi;
use ffmpeg::format::context::Output;
use ffmpeg::packet::Mut as _;
use ffmpeg_next as ffmpeg;

use super::admit::is_without_stamps;
use super::av::{Options, check};
use super::encode::MICROSECONDS;
use super::version;

/// Bits a second for each channel of sound.
const BIT_RATE: i64 = 96_000;
/// Samples a second that every container with sound takes.
const COMMON_RATE: i32 = 44_100;
/// Samples a packet for encoders that take any number.
const FRAME_SIZE: i32 = 1024;
/// Most bytes of one encoded subtitle.
const SUBTITLE_BYTES: usize = 1 << 20;
/// Text subtitle codecs, the container's own first.
const SUBTITLES: [ffi::AVCodecID; 3] =
    [ffi::AVCodecID::AV_CODEC_ID_MOV_TEXT, ffi::AVCodecID::AV_CODEC_ID_SUBRIP, ffi::AVCodecID::AV_CODEC_ID_WEBVTT];

/// Takes the packets that come out.
pub(super) type Write<'a> = &'a mut dyn FnMut(&mut ffmpeg::Packet) -> Result<(), ffmpeg::Error>;

/// Turns one stream of the source into one stream of the output.
pub(super) struct Transcoder {
    decoder: Codec,
    encoder: Codec,
    packet: ffmpeg::Packet,
    sound: Option<Sound>,
    /// Pieces that the encoder did not take.
    failed: u64,
}

/// What sound is converted to.
#[derive(Clone, Copy)]
pub(super) struct SoundForm {
    codec: ffi::AVCodecID,
    /// Samples a second; `None`: as many as there are, or the nearest that the encoder takes.
    rate: Option<i32>,
    /// Whether it begins at zero: with silence, where the source's begins later.
    from_zero: bool,
}

impl Default for SoundForm {
    fn default() -> Self {
        Self { codec: ffi::AVCodecID::AV_CODEC_ID_NONE, rate: None, from_zero: false }
    }
}

impl SoundForm {
    /// The forms that the output's container may take, the best first, for sound of so many channels.
    pub fn of(output: &Output, channels: i32) -> Vec<Self> {
        let plain = Self::default();
        if is_without_stamps(output) {
            // No time stamps and no way to say that a codec needs some packets before the first sound: samples are exact.
            return vec![Self { codec: ffi::AVCodecID::AV_CODEC_ID_PCM_S16LE, from_zero: true, ..plain }];
        }
        // SAFETY: a container's description lives for ever.
        let codec = unsafe { (*(*output.as_ptr()).oformat).audio_codec };
        let usual = [Self { codec, ..plain }, Self { codec, rate: Some(COMMON_RATE), ..plain }];
        // The older codecs that some containers prefer have two channels at most.
        let aac = Self { codec: ffi::AVCodecID::AV_CODEC_ID_AAC, ..plain };
        (channels > 2).then_some(aac).into_iter().chain(usual).collect()
    }
}

/// What sound needs beside its decoder and encoder.
struct Sound {
    resampler: *mut ffi::SwrContext,
    samples: *mut ffi::AVAudioFifo,
    frame_size: i32,
    /// Rate, sample format and channels that the resampler was made for.
    form: [i32; 3],
    /// Stamp of the next sample that leaves, in samples; none before the first.
    next: Option<i64>,
}

impl Drop for Sound {
    fn drop(&mut self) {
        // SAFETY: both are null or owned by this value.
        unsafe {
            ffi::swr_free(&mut self.resampler);
            ffi::av_audio_fifo_free(self.samples);
        }
    }
}

/// A decoder or encoder that is freed when dropped.
struct Codec(*mut ffi::AVCodecContext);

impl Codec {
    fn new(codec: *const ffi::AVCodec) -> Result<Self, ffmpeg::Error> {
        if codec.is_null() {
            return Err(ffmpeg::Error::EncoderNotFound);
        }
        // SAFETY: a codec, which lives for ever.
        let context = unsafe { ffi::avcodec_alloc_context3(codec) };
        if context.is_null() { Err(ffmpeg::Error::from(ffi::AVERROR(ffi::ENOMEM))) } else { Ok(Self(context)) }
    }

    /// The open decoder of a stream.
    ///
    /// # Safety
    /// `stream` must be alive.
    unsafe fn decoder(stream: *const ffi::AVStream) -> Result<Self, ffmpeg::Error> {
        // SAFETY: the caller's promise; parameters are copied.
        unsafe {
            let codec = ffi::avcodec_find_decoder((*(*stream).codecpar).codec_id);
            if codec.is_null() {
                return Err(ffmpeg::Error::DecoderNotFound);
            }
            let decoder = Self::new(codec)?;
            check(ffi::avcodec_parameters_to_context(decoder.0, (*stream).codecpar))?;
            (*decoder.0).pkt_timebase = (*stream).time_base;
            check(ffi::avcodec_open2(decoder.0, codec, ptr::null_mut()))?;
            Ok(decoder)
        }
    }
}

impl Drop for Codec {
    fn drop(&mut self) {
        // SAFETY: owned by this value.
        unsafe { ffi::avcodec_free_context(&mut self.0) };
    }
}

// SAFETY: nothing in it is tied to a thread, and all of it is used through `&mut self` only.
unsafe impl Send for Transcoder {}

impl Transcoder {
    /// For the source's `stream`: sound into `form`, or text subtitles into what the container of `output` prefers.
    ///
    /// # Safety
    /// `stream` must be a stream of an open input.
    pub unsafe fn open(stream: *const ffi::AVStream, output: &Output, form: &SoundForm) -> Result<Self, ffmpeg::Error> {
        // SAFETY: the caller's promise.
        unsafe {
            let decoder = Codec::decoder(stream)?;
            let (encoder, sound) = match (*decoder.0).codec_type {
                ffi::AVMediaType::AVMEDIA_TYPE_AUDIO => {
                    let (encoder, sound) = open_sound(&decoder, output, form)?;
                    (encoder, Some(sound))
                }
                _ => (open_subtitles(&decoder, output)?, None),
            };
            Ok(Self { decoder, encoder, packet: ffmpeg::Packet::empty(), sound, failed: 0 })
        }
    }

    /// Writes what a muxer must know of the new stream.
    ///
    /// # Safety
    /// `parameters` must be live.
    pub unsafe fn describe(&self, parameters: *mut ffi::AVCodecParameters) -> Result<(), ffmpeg::Error> {
        // SAFETY: the caller's promise; the encoder is open.
        check(unsafe { ffi::avcodec_parameters_from_context(parameters, self.encoder.0) }).map(drop)
    }

    /// Unit of the new stream's time stamps, seconds.
    pub fn time_base(&self) -> ffi::AVRational {
        // SAFETY: a field of an open encoder.
        unsafe { (*self.encoder.0).time_base }
    }

    /// Pieces of sound or text that the encoder did not take.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Channels of the new sound; 0 for subtitles.
    pub fn channels(&self) -> i32 {
        // SAFETY: a field of an open encoder.
        unsafe { (*self.encoder.0).ch_layout.nb_channels }
    }

    /// FFmpeg's name of the new codec.
    pub fn codec(&self) -> String {
        // SAFETY: the name of an open encoder's codec lives for ever.
        unsafe { CStr::from_ptr(ffi::avcodec_get_name((*self.encoder.0).codec_id)) }.to_string_lossy().into_owned()
    }

    /// Takes a packet of the source (its stamps in the source's time base) and gives `write` what comes of it, stamps in
    /// [`Transcoder::time_base`]; damaged packets are skipped, as players do. `None` at the end gives what is held back.
    pub fn feed(&mut self, packet: Option<&mut ffmpeg::Packet>, write: Write<'_>) -> Result<(), ffmpeg::Error> {
        let packet = packet.map_or(ptr::null_mut(), |p| p.as_mut_ptr());
        match self.sound.take() {
            Some(mut sound) => {
                let result = self.feed_sound(&mut sound, packet, write);
                self.sound = Some(sound);
                result
            }
            None if packet.is_null() => Ok(()),
            None => self.feed_subtitle(packet, write),
        }
    }

    fn feed_sound(
        &mut self,
        sound: &mut Sound,
        packet: *mut ffi::AVPacket,
        write: Write<'_>,
    ) -> Result<(), ffmpeg::Error> {
        let at_end = packet.is_null();
        // SAFETY: open contexts of our own; frames are valid for their calls.
        unsafe {
            ffi::avcodec_send_packet(self.decoder.0, packet);
            let mut frame = ffmpeg::frame::Audio::empty();
            while ffi::avcodec_receive_frame(self.decoder.0, frame.as_mut_ptr()) == 0 {
                if sound.form != form(frame.as_ptr()) {
                    // Files may change the form half-way. What is left in the old one's queue is heard before.
                    self.resample(sound, ptr::null_mut())?;
                    self.change_form(sound, frame.as_ptr())?;
                }
                self.resample(sound, frame.as_mut_ptr())?;
                self.encode_sound(sound, false, write)?;
            }
            if at_end {
                self.resample(sound, ptr::null_mut())?;
                self.encode_sound(sound, true, write)?;
                // An encoder that has nothing to say at the end loses nothing.
                ffi::avcodec_send_frame(self.encoder.0, ptr::null());
                self.drain(write)?;
            }
            Ok(())
        }
    }

    /// Puts a decoded frame (null at the end) into the queue of samples in the encoder's form. Gaps become silence.
    ///
    /// # Safety
    /// `frame` must be null or a decoded frame.
    unsafe fn resample(&mut self, sound: &mut Sound, frame: *mut ffi::AVFrame) -> Result<(), ffmpeg::Error> {
        // SAFETY: the caller's promise; the converted frame is ours and as large as the resampler says.
        unsafe {
            let rate = i64::from((*self.encoder.0).sample_rate);
            if !frame.is_null() {
                let from_rate = i64::from(sound.form[0]);
                let stamp = (*frame).best_effort_timestamp;
                if stamp != ffi::AV_NOPTS_VALUE {
                    let base = (*self.decoder.0).pkt_timebase;
                    // In units of 1 / (input rate x output rate) seconds, as the resampler wants it.
                    let units = i64::from(base.num) * from_rate * rate;
                    let next =
                        ffi::swr_next_pts(sound.resampler, ffi::av_rescale(stamp, units, i64::from(base.den.max(1))));
                    sound.next.get_or_insert(next / from_rate);
                }
                sound.next.get_or_insert(0);
            }
            let count = if frame.is_null() { 0 } else { (*frame).nb_samples };
            let room = ffi::swr_get_out_samples(sound.resampler, count);
            check(room)?;
            if room == 0 {
                return Ok(());
            }
            let mut converted = ffmpeg::frame::Audio::empty();
            let c = converted.as_mut_ptr();
            (*c).nb_samples = room;
            (*c).format = (*self.encoder.0).sample_fmt as i32;
            (*c).sample_rate = (*self.encoder.0).sample_rate;
            check(ffi::av_channel_layout_copy(&mut (*c).ch_layout, &(*self.encoder.0).ch_layout))?;
            check(ffi::av_frame_get_buffer(c, 0))?;
            let data = if frame.is_null() { ptr::null_mut() } else { (*frame).extended_data.cast() };
            let got = check(ffi::swr_convert(sound.resampler, (*c).extended_data, room, data, count))?;
            check(ffi::av_audio_fifo_write(sound.samples, (*c).extended_data.cast(), got))?;
            Ok(())
        }
    }

    /// Has the resampler take frames like this one from now on; they go on where those before ended.
    ///
    /// # Safety
    /// `frame` must be a decoded frame.
    unsafe fn change_form(&mut self, sound: &mut Sound, frame: *const ffi::AVFrame) -> Result<(), ffmpeg::Error> {
        // SAFETY: the caller's promise; the encoder is open, and its layout is copied by the call.
        unsafe {
            let e = self.encoder.0;
            let from = (&(*frame).ch_layout, sample_format((*frame).format), (*frame).sample_rate);
            sound.resampler = {
                ffi::swr_free(&mut sound.resampler);
                resampler(e, from, false)?
            };
            sound.form = form(frame);
            // The new one's clock begins where the samples that are queued end.
            let queued = i64::from(ffi::av_audio_fifo_size(sound.samples));
            let next = sound.next.unwrap_or(0).saturating_add(queued);
            ffi::swr_next_pts(sound.resampler, next.saturating_mul(i64::from(from.2)));
            Ok(())
        }
    }

    /// Encodes whole packets of the queue; with `all`, the rest as well.
    fn encode_sound(&mut self, sound: &mut Sound, all: bool, write: Write<'_>) -> Result<(), ffmpeg::Error> {
        // SAFETY: open contexts of our own; the frame has room for the samples that are read into it.
        unsafe {
            loop {
                let queued = ffi::av_audio_fifo_size(sound.samples);
                if queued == 0 || (queued < sound.frame_size && !all) {
                    return Ok(());
                }
                let mut frame = ffmpeg::frame::Audio::empty();
                let f = frame.as_mut_ptr();
                (*f).nb_samples = queued.min(sound.frame_size);
                (*f).format = (*self.encoder.0).sample_fmt as i32;
                (*f).sample_rate = (*self.encoder.0).sample_rate;
                check(ffi::av_channel_layout_copy(&mut (*f).ch_layout, &(*self.encoder.0).ch_layout))?;
                check(ffi::av_frame_get_buffer(f, 0))?;
                let read = check(ffi::av_audio_fifo_read(sound.samples, (*f).extended_data.cast(), (*f).nb_samples))?;
                let stamp = sound.next.get_or_insert(0);
                (*f).pts = *stamp;
                *stamp += i64::from(read);
                // Samples that are no numbers, say. The next piece may be whole.
                self.failed += u64::from(ffi::avcodec_send_frame(self.encoder.0, f) < 0);
                self.drain(write)?;
            }
        }
    }

    /// Gives the sound packets that are ready.
    fn drain(&mut self, write: Write<'_>) -> Result<(), ffmpeg::Error> {
        // SAFETY: an open encoder and a packet of our own, which the muxer empties.
        unsafe {
            let p = self.packet.as_mut_ptr();
            loop {
                let code = ffi::avcodec_receive_packet(self.encoder.0, p);
                if code < 0 {
                    self.failed += u64::from(code != ffi::AVERROR(ffi::EAGAIN) && code != ffi::AVERROR_EOF);
                    return Ok(());
                }
                write(&mut self.packet)?;
            }
        }
    }

    fn feed_subtitle(&mut self, packet: *mut ffi::AVPacket, write: Write<'_>) -> Result<(), ffmpeg::Error> {
        // SAFETY: open contexts of our own; the subtitle is zeroed before and freed after; the buffer has the size told.
        unsafe {
            let mut subtitle: ffi::AVSubtitle = std::mem::zeroed();
            let mut got = 0;
            let code = ffi::avcodec_decode_subtitle2(self.decoder.0, &mut subtitle, &mut got, packet);
            if code < 0 || got == 0 {
                return Ok(());
            }
            let millisecond = ffi::AVRational { num: 1, den: 1000 };
            let begin = i64::from(subtitle.start_display_time);
            let pts = subtitle.pts.saturating_add(ffi::av_rescale_q(begin, millisecond, MICROSECONDS));
            let length = i64::from(subtitle.end_display_time) - begin;
            (subtitle.pts, subtitle.start_display_time, subtitle.end_display_time) = (pts, 0, length.max(0) as u32);
            let mut bytes = vec![0u8; SUBTITLE_BYTES];
            let size = match subtitle.num_rects {
                0 => 0,
                _ => ffi::avcodec_encode_subtitle(self.encoder.0, bytes.as_mut_ptr(), bytes.len() as i32, &subtitle),
            };
            ffi::avsubtitle_free(&mut subtitle);
            if size <= 0 {
                self.failed += u64::from(size < 0);
                return Ok(());
            }
            self.packet = ffmpeg::Packet::copy(&bytes[..size as usize]);
            let p = self.packet.as_mut_ptr();
            ((*p).pts, (*p).dts) = (pts, pts);
            (*p).duration = ffi::av_rescale_q(length.max(0), millisecond, MICROSECONDS);
        }
        write(&mut self.packet)
    }
}

/// The encoder that the container prefers for sound, and what brings the decoder's samples into its form.
///
/// # Safety
/// The output must be alive.
unsafe fn open_sound(decoder: &Codec, output: &Output, form: &SoundForm) -> Result<(Codec, Sound), ffmpeg::Error> {
    // SAFETY: the caller's promise, and that of `try_sound`.
    unsafe {
        let mut layout = (*decoder.0).ch_layout;
        if layout.nb_channels < 1 {
            return Err(ffmpeg::Error::InvalidData);
        }
        if layout.order == ffi::AVChannelOrder::AV_CHANNEL_ORDER_UNSPEC {
            ffi::av_channel_layout_default(&mut (*decoder.0).ch_layout, layout.nb_channels);
            layout = (*decoder.0).ch_layout;
        }
        // Encoders that do not know an arrangement of many speakers know two.
        try_sound(decoder, output, form, &layout).or_else(|_| {
            let mut stereo: ffi::AVChannelLayout = std::mem::zeroed();
            ffi::av_channel_layout_default(&mut stereo, layout.nb_channels.min(2));
            try_sound(decoder, output, form, &stereo)
        })
    }
}

/// # Safety
/// The output must be alive, and `layout` valid.
unsafe fn try_sound(
    decoder: &Codec,
    output: &Output,
    wanted: &SoundForm,
    layout: &ffi::AVChannelLayout,
) -> Result<(Codec, Sound), ffmpeg::Error> {
    // SAFETY: the caller's promise; contexts are our own; the codec's lists end with the values told.
    unsafe {
        let codec = ffi::avcodec_find_encoder(wanted.codec);
        let encoder = Codec::new(codec)?;
        let (d, e) = (decoder.0, encoder.0);
        (*e).sample_rate = nearest_rate(version::sample_rates(codec), wanted.rate.unwrap_or((*d).sample_rate));
        (*e).sample_fmt = version::sample_formats(codec).as_ref().copied().unwrap_or((*d).sample_fmt);
        check(ffi::av_channel_layout_copy(&mut (*e).ch_layout, layout))?;
        (*e).bit_rate = BIT_RATE * i64::from(layout.nb_channels);
        (*e).time_base = ffi::AVRational { num: 1, den: (*e).sample_rate };
        if (*(*output.as_ptr()).oformat).flags & ffi::AVFMT_GLOBALHEADER != 0 {
            (*e).flags |= ffi::AV_CODEC_FLAG_GLOBAL_HEADER as i32;
        }
        let mut options = Options::new();
        check(ffi::avcodec_open2(e, codec, &mut options.0))?;
        let frame_size = if (*e).frame_size > 0 { (*e).frame_size } else { FRAME_SIZE };
        let samples = ffi::av_audio_fifo_alloc((*e).sample_fmt, (*e).ch_layout.nb_channels, frame_size);
        let form = [(*d).sample_rate, (*d).sample_fmt as i32, (*d).ch_layout.nb_channels];
        let mut sound = Sound { resampler: ptr::null_mut(), samples, frame_size, form, next: None };
        sound.resampler = resampler(e, (&(*d).ch_layout, (*d).sample_fmt, (*d).sample_rate), wanted.from_zero)?;
        if samples.is_null() {
            return Err(ffmpeg::Error::from(ffi::AVERROR(ffi::ENOMEM)));
        }
        Ok((encoder, sound))
    }
}

/// What brings samples of a layout, format and rate into the form that an encoder takes, if asked with silence from zero on.
///
/// # Safety
/// The encoder must be alive.
unsafe fn resampler(
    encoder: *mut ffi::AVCodecContext,
    (layout, format, rate): (&ffi::AVChannelLayout, ffi::AVSampleFormat, i32),
    from_zero: bool,
) -> Result<*mut ffi::SwrContext, ffmpeg::Error> {
    // SAFETY: the caller's promise; a new resampler, freed where it cannot be used.
    unsafe {
        let mut swr = ptr::null_mut();
        let mut start = || {
            check(ffi::swr_alloc_set_opts2(
                &mut swr,
                &mut (*encoder).ch_layout,
                (*encoder).sample_fmt,
                (*encoder).sample_rate,
                ptr::from_ref(layout).cast_mut(),
                format,
                rate,
                0,
                ptr::null_mut(),
            ))?;
            // Fill gaps and cut overlaps, without stretching.
            check(ffi::av_opt_set_double(swr.cast(), c"async".as_ptr(), 1.0, 0))?;
            if from_zero {
                check(ffi::av_opt_set_int(swr.cast(), c"first_pts".as_ptr(), 0, 0))?;
            }
            check(ffi::swr_init(swr))
        };
        let started = start();
        started.map(|_| swr).inspect_err(|_| ffi::swr_free(&mut swr))
    }
}

/// Rate, sample format and channels of a decoded frame.
///
/// # Safety
/// `frame` must be alive.
unsafe fn form(frame: *const ffi::AVFrame) -> [i32; 3] {
    // SAFETY: the caller's promise.
    unsafe { [(*frame).sample_rate, (*frame).format, (*frame).ch_layout.nb_channels] }
}

/// A sample format from its number.
fn sample_format(number: i32) -> ffi::AVSampleFormat {
    use ffi::AVSampleFormat::*;
    const ALL: [ffi::AVSampleFormat; 12] = [
        AV_SAMPLE_FMT_U8,
        AV_SAMPLE_FMT_S16,
        AV_SAMPLE_FMT_S32,
        AV_SAMPLE_FMT_FLT,
        AV_SAMPLE_FMT_DBL,
        AV_SAMPLE_FMT_U8P,
        AV_SAMPLE_FMT_S16P,
        AV_SAMPLE_FMT_S32P,
        AV_SAMPLE_FMT_FLTP,
        AV_SAMPLE_FMT_DBLP,
        AV_SAMPLE_FMT_S64,
        AV_SAMPLE_FMT_S64P,
    ];
    ALL.into_iter().find(|format| *format as i32 == number).unwrap_or(AV_SAMPLE_FMT_NONE)
}

/// The least rate of a list (ended by 0; null: any) that is not below `rate`, else its largest.
///
/// # Safety
/// `list` must be null or end with 0.
unsafe fn nearest_rate(mut list: *const i32, rate: i32) -> i32 {
    if list.is_null() {
        return rate;
    }
    let (mut above, mut largest) = (i32::MAX, 0);
    // SAFETY: the caller's promise.
    unsafe {
        while *list != 0 {
            largest = largest.max(*list);
            if *list >= rate {
                above = above.min(*list);
            }
            list = list.add(1);
        }
    }
    if above < i32::MAX { above } else { largest }
}

/// An encoder for text that the container takes.
///
/// # Safety
/// The output must be alive.
unsafe fn open_subtitles(decoder: &Codec, output: &Output) -> Result<Codec, ffmpeg::Error> {
    // SAFETY: the caller's promise; the header is copied into memory that the context frees.
    unsafe {
        let descriptor = ffi::avcodec_descriptor_get((*decoder.0).codec_id);
        if descriptor.is_null() || (*descriptor).props & ffi::AV_CODEC_PROP_TEXT_SUB == 0 {
            // Pictures cannot be made text.
            return Err(ffmpeg::Error::EncoderNotFound);
        }
        let format = (*output.as_ptr()).oformat;
        let id = SUBTITLES.into_iter().find(|&id| ffi::avformat_query_codec(format, id, 0) == 1);
        let codec = ffi::avcodec_find_encoder(id.ok_or(ffmpeg::Error::EncoderNotFound)?);
        let encoder = Codec::new(codec)?;
        let (d, e) = (decoder.0, encoder.0);
        (*e).time_base = MICROSECONDS;
        let size = (*d).subtitle_header_size;
        if size > 0 && !(*d).subtitle_header.is_null() {
            let copy = ffi::av_mallocz(size as usize + 1).cast::<u8>();
            if copy.is_null() {
                return Err(ffmpeg::Error::from(ffi::AVERROR(ffi::ENOMEM)));
            }
            ptr::copy_nonoverlapping((*d).subtitle_header, copy, size as usize);
            ((*e).subtitle_header, (*e).subtitle_header_size) = (copy, size);
        }
        check(ffi::avcodec_open2(e, codec, ptr::null_mut()))?;
        Ok(encoder)
    }
}
