//! What is known of a video's light (HDR10: the display it was mastered on, its brightest pixel and frame) in each encoder's own
//! words, so that it is in the compressed video itself: not all players look for it in the container.

use std::ffi::{CStr, CString};

use ffmpeg::ffi;
use ffmpeg_next as ffmpeg;

use super::av::Options;
use super::probe::SideData;

/// Steps of a chromaticity coordinate in SEI messages (ITU-T H.265, D.3.28): 0.00002.
const CHROMATICITY: f64 = 50_000.0;
/// Steps of a luminance there: 0.0001 candela per square metre.
const LUMINANCE: f64 = 10_000.0;

/// FFmpeg's `AVMasteringDisplayMetadata` (libavutil/mastering_display_metadata.h), which the bindings leave out.
#[repr(C)]
#[derive(Clone, Copy)]
struct MasteringMetadata {
    primaries: [[ffi::AVRational; 2]; 3],
    white: [ffi::AVRational; 2],
    darkest: ffi::AVRational,
    brightest: ffi::AVRational,
    has_primaries: i32,
    has_luminance: i32,
}

/// FFmpeg's `AVContentLightMetadata`, in the same place.
#[repr(C)]
#[derive(Clone, Copy)]
struct LightMetadata {
    max_content: u32,
    max_frame_average: u32,
}

/// The display a video was mastered on.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Mastering {
    /// x and y of red, green and blue, and of white (CIE 1931).
    primaries: [[f64; 2]; 4],
    /// Brightest and darkest, candela per square metre.
    luminance: [f64; 2],
}

impl Mastering {
    fn of(side_data: &[SideData]) -> Option<Self> {
        let data: MasteringMetadata =
            read(side_data, ffi::AVPacketSideDataType::AV_PKT_DATA_MASTERING_DISPLAY_METADATA)?;
        let number = |q: ffi::AVRational| if q.den == 0 { 0.0 } else { f64::from(q.num) / f64::from(q.den) };
        if data.has_primaries == 0 || data.has_luminance == 0 {
            return None;
        }
        let [r, g, b] = data.primaries.map(|point| point.map(number));
        let luminance = [data.brightest, data.darkest].map(number);
        Some(Self { primaries: [r, g, b, data.white.map(number)], luminance })
    }

    /// As x264, x265 and SVT-AV1 read it; their units differ.
    fn written(&self, show: impl Fn(f64, bool) -> String) -> String {
        let point = |[x, y]: [f64; 2]| format!("({},{})", show(x, false), show(y, false));
        let [r, g, b, white] = self.primaries.map(point);
        let [brightest, darkest] = self.luminance.map(|l| show(l, true));
        format!("G{g}B{b}R{r}WP{white}L({brightest},{darkest})")
    }
}

/// Whether an encoder of this name can be told of the light.
pub(super) fn is_written_by(encoder: &str) -> bool {
    ["libx264", "libx265", "libsvtav1"].contains(&encoder)
}

/// Tells an encoder of the light, if it can be told: by the options with which it is opened.
///
/// # Safety
/// `context` must be one made for `codec` that is not open yet.
pub(super) unsafe fn write(
    codec: *const ffi::AVCodec,
    context: *mut ffi::AVCodecContext,
    side_data: &[SideData],
    options: &mut Options,
) {
    // SAFETY: a codec and its name live for ever; a plain field of a live context.
    let (name, is_bottom_first) =
        unsafe { (CStr::from_ptr((*codec).name), (*context).field_order == ffi::AVFieldOrder::AV_FIELD_BB) };
    let mastering = Mastering::of(side_data);
    let light: Option<LightMetadata> = read(side_data, ffi::AVPacketSideDataType::AV_PKT_DATA_CONTENT_LIGHT_LEVEL);
    let in_steps =
        |value: f64, is_light: bool| (value * if is_light { LUMINANCE } else { CHROMATICITY }).round().to_string();
    let plainly = |value: f64, _: bool| format!("{value:.4}");
    let (key, display, display_words, level) = match name.to_bytes() {
        b"libx264" => (c"x264-params", "mastering-display", mastering.map(|m| m.written(in_steps)), "cll"),
        b"libx265" => (c"x265-params", "master-display", mastering.map(|m| m.written(in_steps)), "max-cll"),
        b"libsvtav1" => (c"svtav1-params", "mastering-display", mastering.map(|m| m.written(plainly)), "content-light"),
        _ => return,
    };
    let mut parts: Vec<String> = options.get(key).into_iter().collect();
    parts.extend(display_words.map(|words| format!("{display}={words}")));
    parts.extend(light.map(|light| format!("{level}={},{}", light.max_content, light.max_frame_average)));
    if is_bottom_first && name == c"libx264" {
        // Else it takes the first frame's word for it, too late for what it has written by then.
        parts.push("bff=1".into());
    }
    if let Ok(value) = CString::new(parts.join(":"))
        && !parts.is_empty()
    {
        options.set(key, &value);
    }
}

/// FFmpeg's structure of that kind, if there is one.
fn read<T: Copy>(side_data: &[SideData], kind: ffi::AVPacketSideDataType) -> Option<T> {
    let (_, bytes) = side_data.iter().find(|(found, _)| *found == kind)?;
    // SAFETY: FFmpeg's side data of a kind is its structure, which is plain numbers; it may be longer in later versions.
    (bytes.len() >= size_of::<T>()).then(|| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}
