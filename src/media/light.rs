//! What is known of a video's light (HDR10: the display it was mastered on, its brightest pixel and frame) in each encoder's own
//! words, so that it is in the compressed video itself: not all players look for it in the container.

use std::ffi::{CStr, CString};

use ffmpeg::ffi;
use ffmpeg::ffi::AVPacketSideDataType as Kind;
use ffmpeg_next as ffmpeg;

use super::av::Options;
use super::probe::SideData;

/// Steps of a chromaticity coordinate in SEI messages (ITU-T H.265, D.3.28): 0.00002.
const CHROMATICITY: f64 = 50_000.0;
/// Steps of a luminance there: 0.0001 candela per square metre.
const LUMINANCE: f64 = 10_000.0;

/// Most that SMPTE ST 2084 can show, candela per square metre.
const MOST_LUMINOUS: f64 = 10_000.0;

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
        let data: MasteringMetadata = read(side_data, Kind::AV_PKT_DATA_MASTERING_DISPLAY_METADATA)?;
        let number = |q: ffi::AVRational| if q.den == 0 { 0.0 } else { f64::from(q.num) / f64::from(q.den) };
        if data.has_primaries == 0 || data.has_luminance == 0 {
            return None;
        }
        let [r, g, b] = data.primaries.map(|point| point.map(number));
        let luminance = [data.brightest, data.darkest].map(number);
        let mastering = Self { primaries: [r, g, b, data.white.map(number)], luminance };
        mastering.is_possible().then_some(mastering)
    }

    /// Whether encoders take it: they give up altogether where a number is out of its range.
    fn is_possible(&self) -> bool {
        let [brightest, darkest] = self.luminance;
        self.primaries.as_flattened().iter().all(|part| (0.0..=1.0).contains(part))
            && (0.0..=MOST_LUMINOUS).contains(&brightest)
            && (0.0..brightest).contains(&darkest)
    }

    /// As x264, x265 and SVT-AV1 read it; their units differ.
    fn written(&self, show: impl Fn(f64, bool) -> String) -> String {
        let point = |[x, y]: [f64; 2]| format!("({},{})", show(x, false), show(y, false));
        let [r, g, b, white] = self.primaries.map(point);
        let [brightest, darkest] = self.luminance.map(|l| show(l, true));
        format!("G{g}B{b}R{r}WP{white}L({brightest},{darkest})")
    }
}

/// Whether an encoder of this name is told of all the light that is known of.
pub(super) fn is_written_by(encoder: &str, side_data: &[SideData]) -> bool {
    let has = |kind| side_data.iter().any(|(found, _)| *found == kind);
    ["libx264", "libx265", "libsvtav1"].contains(&encoder)
        && (Mastering::of(side_data).is_some() || !has(Kind::AV_PKT_DATA_MASTERING_DISPLAY_METADATA))
        && (level(side_data).is_some() || !has(Kind::AV_PKT_DATA_CONTENT_LIGHT_LEVEL))
}

/// The brightest pixel and the brightest frame, candela per square metre, where encoders take them.
fn level(side_data: &[SideData]) -> Option<[u32; 2]> {
    let light: LightMetadata = read(side_data, Kind::AV_PKT_DATA_CONTENT_LIGHT_LEVEL)?;
    let level = [light.max_content, light.max_frame_average];
    level.iter().all(|&part| part <= u16::MAX.into()).then_some(level)
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
    let in_steps =
        |value: f64, is_light: bool| (value * if is_light { LUMINANCE } else { CHROMATICITY }).round().to_string();
    let plainly = |value: f64, _: bool| format!("{value:.4}");
    let (key, display, display_words, level_key) = match name.to_bytes() {
        b"libx264" => (c"x264-params", "mastering-display", mastering.map(|m| m.written(in_steps)), "cll"),
        b"libx265" => (c"x265-params", "master-display", mastering.map(|m| m.written(in_steps)), "max-cll"),
        b"libsvtav1" => (c"svtav1-params", "mastering-display", mastering.map(|m| m.written(plainly)), "content-light"),
        _ => return,
    };
    let mut parts: Vec<String> = options.get(key).into_iter().collect();
    parts.extend(display_words.map(|words| format!("{display}={words}")));
    parts.extend(level(side_data).map(|[pixel, frame]| format!("{level_key}={pixel},{frame}")));
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
fn read<T: Copy>(side_data: &[SideData], kind: Kind) -> Option<T> {
    let (_, bytes) = side_data.iter().find(|(found, _)| *found == kind)?;
    // SAFETY: FFmpeg's side data of a kind is its structure, which is plain numbers; it may be longer in later versions.
    (bytes.len() >= size_of::<T>()).then(|| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    fn side_data(mastering: MasteringMetadata, light: LightMetadata) -> Vec<SideData> {
        fn bytes<T>(data: &T) -> Vec<u8> {
            // SAFETY: plain numbers without gaps.
            unsafe { std::slice::from_raw_parts(ptr::from_ref(data).cast::<u8>(), size_of::<T>()) }.to_vec()
        }
        vec![
            (Kind::AV_PKT_DATA_MASTERING_DISPLAY_METADATA, bytes(&mastering)),
            (Kind::AV_PKT_DATA_CONTENT_LIGHT_LEVEL, bytes(&light)),
        ]
    }

    /// The option that `encoder` gets.
    fn told(encoder: &str, option: &CStr, side_data: &[SideData]) -> Option<String> {
        super::super::init();
        let codec = ffmpeg::encoder::find_by_name(encoder)?;
        let mut options = Options::new();
        let mut context = ffmpeg::codec::Context::new_with_codec(codec);
        // SAFETY: a new context for this codec.
        unsafe { write(codec.as_ptr(), context.as_mut_ptr(), side_data, &mut options) };
        options.get(option)
    }

    #[test]
    fn light_is_told_in_steps_and_only_where_it_is_possible() {
        let q = |num: i32, den: i32| ffi::AVRational { num, den };
        let mastering = MasteringMetadata {
            primaries: [[q(34000, 50000), q(16000, 50000)], [q(13250, 50000), q(34500, 50000)], [q(3, 20), q(3, 50)]],
            white: [q(15635, 50000), q(16450, 50000)],
            darkest: q(50, 10000),
            brightest: q(1000, 1),
            has_primaries: 1,
            has_luminance: 1,
        };
        let light = LightMetadata { max_content: 1000, max_frame_average: 400 };
        let good = side_data(mastering, light);
        let display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)";
        assert_eq!(
            told("libx264", c"x264-params", &good).unwrap(),
            format!("mastering-display={display}:cll=1000,400")
        );
        assert!(is_written_by("libx264", &good) && !is_written_by("libvpx-vp9", &good));
        // Numbers at which x264 would not start.
        let bad = side_data(
            MasteringMetadata { brightest: q(5, 1), darkest: q(5, 1), ..mastering },
            LightMetadata { max_content: 100_000, ..light },
        );
        assert_eq!(told("libx264", c"x264-params", &bad), None);
        assert!(!is_written_by("libx264", &bad));
        let partly = side_data(MasteringMetadata { has_luminance: 0, ..mastering }, light);
        assert_eq!(told("libx264", c"x264-params", &partly).unwrap(), "cll=1000,400");
        assert!(!is_written_by("libx264", &partly));
    }
}
