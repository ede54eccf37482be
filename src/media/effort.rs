//! Speed preset and quality in each encoder's own words: presets are called as x264 calls them, qualities as its constant rate
//! factor, and both mean the like everywhere.

use std::ffi::{CStr, CString, c_void};
use std::ptr;

use ffmpeg::ffi;
use ffmpeg_next as ffmpeg;

use super::EncodeSettings;
use super::av::Options;

/// More than VP8 ever needs, bits a second.
const VP8_BIT_RATE: i64 = 200_000_000;
/// x264's presets, fastest first.
const SPEEDS: [&str; 10] =
    ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"];
/// The like of NVIDIA's encoders, which are fast with any.
const NVENC: [&str; 10] = ["p1", "p2", "p3", "p3", "p4", "p4", "p5", "p6", "p7", "p7"];
/// SVT-AV1's for `ultrafast`; each number below it is slower.
const SVT_FASTEST: usize = 12;
/// The same of libvpx and libaom.
const CPU_USED_FASTEST: usize = 8;

/// Writes preset and quality of `settings` where `codec` looks for them: into the options with which it is opened, or into
/// `context`. An encoder that knows neither (those without loss, and those with profiles) keeps its own.
///
/// # Safety
/// `context` must be one made for `codec` that is not open yet.
pub(super) unsafe fn write(
    codec: *const ffi::AVCodec,
    context: *mut ffi::AVCodecContext,
    settings: &EncodeSettings,
    options: &mut Options,
) {
    let mut set = |key: &CStr, value: &str| {
        if let Ok(value) = CString::new(value) {
            options.set(key, &value);
        }
    };
    // SAFETY: the caller's promise; a codec and its name live for ever.
    let (known, context, name) =
        unsafe { (Known((*codec).priv_class), &mut *context, CStr::from_ptr((*codec).name).to_string_lossy()) };
    if let Some((key, value)) = preset(&known, &settings.preset) {
        set(key, &value);
    }
    let crf = f64::from(settings.crf);
    // Else a bit rate that encoders have by default caps the quality.
    let unbound = |context: &mut ffi::AVCodecContext| (context.bit_rate, context.rc_max_rate) = (0, 0);
    if let Some(option) = known.find(c"crf", None) {
        set(c"crf", &crf.min(option.max).to_string());
        unbound(context);
        if context.codec_id == ffi::AVCodecID::AV_CODEC_ID_VP8 {
            // Zero would be a bit rate there.
            context.bit_rate = VP8_BIT_RATE;
        }
    } else if let Some(option) = known.find(c"cq", None) {
        set(c"rc", "vbr");
        // Zero would leave it to the encoder.
        set(c"cq", &crf.clamp(1.0, option.max).to_string());
        unbound(context);
    } else if name.ends_with("_qsv") {
        context.global_quality = crf.clamp(1.0, 51.0) as i32;
    } else if is_of_mpeg_make(context.codec_id) {
        // 1 to 31, where x264's 20 is about 4.
        let scale = (settings.crf as i32 / 5).clamp(1, 31);
        context.flags |= ffi::AV_CODEC_FLAG_QSCALE as i32;
        context.global_quality = scale * ffi::FF_QP2LAMBDA;
    }
    // It writes to the terminal itself.
    if known.find(c"x265-params", None).is_some() {
        set(c"x265-params", "log-level=none");
    }
    // More threads than columns of blocks, where that has to be asked for.
    if known.find(c"row-mt", None).is_some() {
        set(c"row-mt", "1");
    }
}

/// FFmpeg's own older encoders, all of one make: quality is a scale of the quantizer, and time is counted in frames.
pub(super) fn is_of_mpeg_make(id: ffi::AVCodecID) -> bool {
    use ffi::AVCodecID::*;
    matches!(
        id,
        AV_CODEC_ID_MPEG1VIDEO
            | AV_CODEC_ID_MPEG2VIDEO
            | AV_CODEC_ID_MPEG4
            | AV_CODEC_ID_MJPEG
            | AV_CODEC_ID_MSMPEG4V2
            | AV_CODEC_ID_MSMPEG4V3
            | AV_CODEC_ID_FLV1
            | AV_CODEC_ID_WMV1
            | AV_CODEC_ID_WMV2
    )
}

/// The option that sets an encoder's speed, and its value; names and numbers of the encoder's own are left as they are.
fn preset(known: &Known, wanted: &str) -> Option<(&'static CStr, String)> {
    let speed = SPEEDS.iter().position(|name| *name == wanted);
    let Some(option) = known.find(c"preset", None) else {
        known.find(c"cpu-used", None)?;
        let value = speed.map(|speed| CPU_USED_FASTEST.saturating_sub(speed).to_string());
        return Some((c"cpu-used", value.unwrap_or_else(|| wanted.to_owned())));
    };
    let has = |name: &str| CString::new(name).is_ok_and(|name| known.find(&name, Some(option)).is_some());
    let own = match speed {
        _ if option.type_ == ffi::AVOptionType::AV_OPT_TYPE_STRING => None,
        Some(speed) if has(NVENC[0]) => Some(NVENC[speed].to_owned()),
        Some(_) if has(wanted) => None,
        // Named after x264's, but not all of them.
        Some(speed) if SPEEDS.iter().any(|name| has(name)) => (0..SPEEDS.len())
            .filter(|at| has(SPEEDS[*at]))
            .min_by_key(|at| at.abs_diff(speed))
            .map(|at| SPEEDS[at].to_owned()),
        Some(speed) => Some((SVT_FASTEST - speed).to_string()),
        None => None,
    };
    Some((c"preset", own.unwrap_or_else(|| wanted.to_owned())))
}

/// What options an encoder has of its own.
struct Known(*const ffi::AVClass);

impl Known {
    /// An option by its name, or a name among the values of `of`.
    fn find(&self, name: &CStr, of: Option<&ffi::AVOption>) -> Option<&ffi::AVOption> {
        if self.0.is_null() {
            return None;
        }
        let unit = of.map_or(ptr::null(), |option| option.unit);
        if of.is_some() && unit.is_null() {
            return None;
        }
        let class: *const *const ffi::AVClass = &self.0;
        // SAFETY: asked for a class only, FFmpeg takes a pointer to a pointer to one; options live as long as their class,
        // which is for ever.
        unsafe {
            let object = class.cast_mut().cast::<c_void>();
            ffi::av_opt_find(object, name.as_ptr(), unit, 0, ffi::AV_OPT_SEARCH_FAKE_OBJ).as_ref()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an encoder is asked for, if this FFmpeg has it: the options, and whether it knows each of them and their values.
    fn asked(name: &str, preset: &str, crf: u32) -> Option<Vec<(String, String)>> {
        super::super::init();
        let codec = ffmpeg::encoder::find_by_name(name)?;
        let settings =
            EncodeSettings { codec: name.into(), preset: preset.into(), crf, pixel_format: None, threads: 1 };
        let mut options = Options::new();
        let mut context = ffmpeg::codec::Context::new_with_codec(codec);
        let mut entries = Vec::new();
        // SAFETY: a new context for this codec; entries are read while the dictionary lives.
        unsafe {
            write(codec.as_ptr(), context.as_mut_ptr(), &settings, &mut options);
            let mut entry = ptr::null_mut();
            loop {
                entry = ffi::av_dict_get(options.0, c"".as_ptr(), entry, ffi::AV_DICT_IGNORE_SUFFIX);
                let Some(found) = entry.as_ref() else { break };
                let text = |text| CStr::from_ptr(text).to_string_lossy().into_owned();
                let code = ffi::av_opt_set((*context.as_mut_ptr()).priv_data, found.key, found.value, 0);
                assert!(code >= 0, "{name} does not take {} = {}", text(found.key), text(found.value));
                entries.push((text(found.key), text(found.value)));
            }
        }
        entries.sort();
        // SAFETY: a context of our own.
        let quality = unsafe { (*context.as_ptr()).global_quality };
        if quality != 0 {
            entries.push(("global quality".into(), quality.to_string()));
        }
        Some(entries)
    }

    #[test]
    fn every_encoder_is_asked_in_its_own_words() {
        for (name, preset, crf, expected) in [
            ("libx264", "veryfast", 20, "crf 20, preset veryfast"),
            ("libx265", "slow", 28, "crf 28, preset slow, x265-params log-level=none"),
            ("libsvtav1", "veryfast", 30, "crf 30, preset 10"),
            ("libsvtav1", "4", 63, "crf 63, preset 4"),
            ("libvpx-vp9", "veryfast", 30, "cpu-used 6, crf 30, row-mt 1"),
            ("libvpx-vp9", "3", 30, "cpu-used 3, crf 30, row-mt 1"),
            ("libaom-av1", "placebo", 30, "cpu-used 0, crf 30, row-mt 1"),
            ("h264_nvenc", "veryfast", 20, "cq 20, preset p3, rc vbr"),
            ("hevc_nvenc", "p7", 60, "cq 51, preset p7, rc vbr"),
            ("h264_nvenc", "placebo", 0, "cq 1, preset p7, rc vbr"),
            ("h264_qsv", "ultrafast", 20, "preset veryfast, global quality 20"),
            ("h264_qsv", "medium", 20, "preset medium, global quality 20"),
            ("ffv1", "veryfast", 20, ""),
            ("mpeg4", "veryfast", 20, "global quality 472"),
            ("mpeg4", "veryfast", 1, "global quality 118"),
        ] {
            if let Some(entries) = asked(name, preset, crf) {
                let found: Vec<_> = entries.iter().map(|(key, value)| format!("{key} {value}")).collect();
                assert_eq!(found.join(", "), expected, "{name}");
            }
        }
        // Those that Debian's and Ubuntu's FFmpeg have: else the table would say nothing.
        assert!(
            ["libx264", "libsvtav1", "libvpx-vp9", "h264_nvenc"].iter().all(|name| asked(name, "fast", 20).is_some())
        );
    }
}
