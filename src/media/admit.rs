//! Whether a stream beside the video goes into the output: copied, converted, or not at all.
//!
//! What a container says of a stream shows only when its header is written; so a header is written for trial, to memory.

use std::path::Path;
use std::ptr;

use ffmpeg::ffi;
use ffmpeg::format::context::{Input, Output};
use ffmpeg::media::Type;
use ffmpeg_next as ffmpeg;

use super::MediaError;
use super::av::{Options, check, file_url, tag};
use super::container::container;
use super::encode::copy_stream_description;
use super::side_streams::Target;
use super::transcode::{SoundForm, Transcoder};

/// Samples a second that FLV has for sound that is not compressed; others would be played at one of these.
const FLV_RATES: [i32; 3] = [11_025, 22_050, 44_100];

/// What transport streams carry under a name that players know; FFmpeg has no list of it.
const TRANSPORTED: [&str; 12] =
    ["aac", "mp2", "mp3", "ac3", "eac3", "dts", "truehd", "opus", "dvb_subtitle", "dvb_teletext", "klv", "timed_id3"];

/// What a stream of the source is called in messages: its kind, its number among those of its kind, codec and language.
/// None for what is written anew by the muxer and so is not lost: the time code of QuickTime files, and text that is chapters.
pub(super) fn name(input: &Input, index: usize) -> Option<String> {
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
pub(super) fn add_stream(
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
    let (medium, id, container, rate) = unsafe {
        let parameters = &*(*from).codecpar;
        let container = std::ffi::CStr::from_ptr((*(*output.as_ptr()).oformat).name).to_string_lossy();
        (
            Type::from(parameters.codec_type),
            ffmpeg::codec::Id::from(parameters.codec_id),
            container,
            parameters.sample_rate,
        )
    };
    // SAFETY: a number of a stream of the open input.
    let is_cover = unsafe { (*from).disposition } & ffi::AV_DISPOSITION_ATTACHED_PIC != 0;
    // SAFETY: streams and contexts live.
    if is_cover && container == "matroska" && unsafe { attach_cover(output, from) } {
        return Ok(Target::Header);
    }
    let proposed = Parameters::new()?;
    // SAFETY: both live; what is copied belongs to the copy.
    unsafe {
        check(ffi::avcodec_parameters_copy(proposed.0, (*from).codecpar)).map_err(|e| MediaError::encode(path, e))?;
        // The container's own name for the codec; data has no other.
        if medium != Type::Data {
            (*proposed.0).codec_tag = 0;
        }
    }
    // Without stamps nothing can be silent for a while. Sound that had none before is as it was.
    let loses_time = medium == Type::Audio && is_without_stamps(output) && input.format().name() != "avi";
    let can_be_copied = is_known(&container, medium, id, output)
        && (!is_cover || container == "mp4")
        && (container != "flv" || !id.name().starts_with("pcm_") || FLV_RATES.contains(&rate))
        && !loses_time;
    let mut reason = format!("'{container}' files do not take it");
    // SAFETY: streams and contexts live.
    unsafe {
        if can_be_copied {
            match is_taken(path, output, &proposed, from, false)? {
                true => {
                    let to = proposed.add_to(output, from, (*from).time_base);
                    return Ok(to.map_or(Target::Nowhere, Target::Copy));
                }
                false if is_taken(path, output, &proposed, from, true)? => {
                    reason = format!("'{container}' files take no more streams like it");
                }
                false => {}
            }
        }
        let forms = match medium {
            Type::Audio => SoundForm::of(output, channels(from)),
            Type::Subtitle => vec![SoundForm::default()],
            _ => Vec::new(),
        };
        for form in forms {
            let Ok(transcoder) = Transcoder::open(from, output, &form) else { continue };
            transcoder.describe(proposed.0).map_err(|e| MediaError::encode(path, e))?;
            if !is_taken(path, output, &proposed, from, false)? {
                if is_taken(path, output, &proposed, from, true)? {
                    reason = format!("'{container}' files take no more streams like it");
                }
                continue;
            }
            let Some(to) = proposed.add_to(output, from, transcoder.time_base()) else { break };
            let why = if loses_time { "cannot say when sound is silent" } else { "do not take it as it is" };
            let fewer = match (channels(from), transcoder.channels()) {
                (had, has) if has > 0 && had > has => format!(" with {has} channels instead of {had}"),
                _ => String::new(),
            };
            warnings.push(format!("{name} was converted to {}{fewer}: '{container}' files {why}", transcoder.codec()));
            return Ok(Target::Convert(to, Box::new(transcoder)));
        }
    }
    warnings.push(format!("{name} was left out: {reason}; the other streams are kept"));
    Ok(Target::Nowhere)
}

/// Whether files of the output's kind have no time stamps: each packet of a stream lasts as long as all others, and the first is shown
/// at zero.
pub(super) fn is_without_stamps(output: &Output) -> bool {
    // SAFETY: a container's description lives for ever.
    unsafe { std::ffi::CStr::from_ptr((*(*output.as_ptr()).oformat).name) == c"avi" }
}

/// Channels of a stream of sound.
///
/// # Safety
/// `stream` must be alive.
unsafe fn channels(stream: *const ffi::AVStream) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { (*(*stream).codecpar).ch_layout.nb_channels }
}

/// Attaches a cover picture to a Matroska file, which is how its players know one; gives whether it can be.
///
/// # Safety
/// `from` must be a live stream with an attached picture.
unsafe fn attach_cover(output: &mut Output, from: *const ffi::AVStream) -> bool {
    // SAFETY: the caller's promise; the new stream belongs to the output, and so does what is allocated for it.
    unsafe {
        let picture = &(*from).attached_pic;
        let (name, kind) = match (*(*from).codecpar).codec_id {
            ffi::AVCodecID::AV_CODEC_ID_MJPEG => (c"cover.jpg", c"image/jpeg"),
            ffi::AVCodecID::AV_CODEC_ID_PNG => (c"cover.png", c"image/png"),
            _ => return false,
        };
        let copy =
            ffi::av_mallocz(picture.size.max(0) as usize + ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize).cast::<u8>();
        if picture.size <= 0 || copy.is_null() {
            ffi::av_free(copy.cast());
            return false;
        }
        ptr::copy_nonoverlapping(picture.data, copy, picture.size as usize);
        let to = ffi::avformat_new_stream(output.as_mut_ptr(), ptr::null());
        if to.is_null() {
            ffi::av_free(copy.cast());
            return false;
        }
        let parameters = (*to).codecpar;
        (*parameters).codec_type = ffi::AVMediaType::AVMEDIA_TYPE_ATTACHMENT;
        (*parameters).codec_id = (*(*from).codecpar).codec_id;
        ((*parameters).extradata, (*parameters).extradata_size) = (copy, picture.size);
        ffi::av_dict_set(&mut (*to).metadata, c"filename".as_ptr(), name.as_ptr(), 0);
        ffi::av_dict_set(&mut (*to).metadata, c"mimetype".as_ptr(), kind.as_ptr(), 0);
        true
    }
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

/// Whether a container takes one more stream beside those that `output` has (or, `alone`, beside the video): whether its header can
/// be written, to memory.
///
/// # Safety
/// `from`, which describes the stream, must be alive.
unsafe fn is_taken(
    path: &Path,
    output: &Output,
    proposed: &Parameters,
    from: *const ffi::AVStream,
    alone: bool,
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
        let alone = alone || (*proposed.0).codec_type == ffi::AVMediaType::AVMEDIA_TYPE_ATTACHMENT;
        let is_asked = |parameters: *const ffi::AVCodecParameters| match (*parameters).codec_type {
            ffi::AVMediaType::AVMEDIA_TYPE_VIDEO => true,
            ffi::AVMediaType::AVMEDIA_TYPE_ATTACHMENT => false,
            _ => !alone,
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
