//! Pixel formats: which are planar YUV, which is nearest to one that is not, and the conversion by swscale.

use std::ffi::CString;
use std::ptr;

use ffmpeg::ffi;
use ffmpeg::format::Pixel;
use ffmpeg::frame::Video;
use ffmpeg_next as ffmpeg;

use super::av::{ColorTags, check};
use super::{Color, Layout, Matrix, Range};

/// The layout of a format if it is planar YUV without alpha in native byte order, as [`super::Frame`] needs.
pub(super) fn planar_layout(pixel: Pixel) -> Option<Layout> {
    // SAFETY: the descriptor is null or lives for ever.
    let d = unsafe { ffi::av_pix_fmt_desc_get(pixel.into()).as_ref() }?;
    let other = ffi::AV_PIX_FMT_FLAG_RGB
        | ffi::AV_PIX_FMT_FLAG_PAL
        | ffi::AV_PIX_FMT_FLAG_HWACCEL
        | ffi::AV_PIX_FMT_FLAG_BITSTREAM
        | ffi::AV_PIX_FMT_FLAG_BAYER
        | ffi::AV_PIX_FMT_FLAG_FLOAT
        | ffi::AV_PIX_FMT_FLAG_ALPHA
        | if cfg!(target_endian = "little") { ffi::AV_PIX_FMT_FLAG_BE } else { 0 };
    let planar = d.flags & ffi::AV_PIX_FMT_FLAG_PLANAR as u64 != 0 && d.flags & other as u64 == 0;
    let depth = d.comp[0].depth;
    let bytes = if depth > 8 { 2 } else { 1 };
    let plain = (0..3).all(|i| {
        let c = &d.comp[i];
        c.plane == i as i32 && c.step == bytes && c.shift == 0 && c.offset == 0 && c.depth == depth
    });
    (planar && d.nb_components == 3 && plain && (8..=16).contains(&depth)).then_some(Layout {
        depth: depth as u8,
        chroma_shift_x: d.log2_chroma_w,
        chroma_shift_y: d.log2_chroma_h,
    })
}

/// Name of a format for messages.
pub(super) fn name(pixel: Pixel) -> String {
    pixel.descriptor().map_or_else(|| "unknown".to_owned(), |d| d.name().to_owned())
}

/// The format that has all of chroma at a bit depth.
pub(super) fn without_subsampling(depth: u8) -> Pixel {
    let name = if depth > 8 { format!("yuv444p{depth}le") } else { "yuv444p".to_owned() };
    by_name(&name).unwrap_or(Pixel::YUV444P)
}

/// Bits of a sample.
pub(super) fn depth(pixel: Pixel) -> i32 {
    // SAFETY: the descriptor is null or lives for ever.
    unsafe { ffi::av_pix_fmt_desc_get(pixel.into()).as_ref() }.map_or(8, |d| d.comp[0].depth)
}

/// A format by its name, if there is one.
pub(super) fn by_name(name: &str) -> Option<Pixel> {
    let name = CString::new(name).ok()?;
    // SAFETY: a terminated string.
    let format = unsafe { ffi::av_get_pix_fmt(name.as_ptr()) };
    (format != ffi::AVPixelFormat::AV_PIX_FMT_NONE).then(|| Pixel::from(format))
}

/// Whether a format stands for pictures in a graphics card's memory.
pub(super) fn is_of_hardware(pixel: Pixel) -> bool {
    // SAFETY: the descriptor is null or lives for ever.
    unsafe { ffi::av_pix_fmt_desc_get(pixel.into()).as_ref() }
        .is_some_and(|d| d.flags & ffi::AV_PIX_FMT_FLAG_HWACCEL as u64 != 0)
}

/// `yuvj420p` and its like are `yuv420p` of full range under a name of their own.
pub(super) fn without_j(pixel: Pixel) -> Option<Pixel> {
    let name = name(pixel);
    name.strip_prefix("yuvj").and_then(|rest| by_name(&format!("yuv{rest}")))
}

/// The planar YUV format that keeps most of a format that is none.
pub(super) fn nearest_planar(pixel: Pixel) -> Pixel {
    // SAFETY: the descriptor is null or lives for ever.
    let Some(d) = (unsafe { ffi::av_pix_fmt_desc_get(pixel.into()).as_ref() }) else { return Pixel::YUV420P };
    let rgb = d.flags & (ffi::AV_PIX_FMT_FLAG_RGB | ffi::AV_PIX_FMT_FLAG_PAL | ffi::AV_PIX_FMT_FLAG_BAYER) as u64 != 0;
    let gray = d.nb_components < 3 && !rgb;
    let sampling = match (d.log2_chroma_w, d.log2_chroma_h) {
        _ if rgb => "444",
        _ if gray => "420",
        (0, 0) => "444",
        (1, 0) => "422",
        (2, 0) => "411",
        (0, 1) => "440",
        _ => "420",
    };
    let depth = match d.comp[0].depth {
        ..=8 => "",
        9..=10 => "10le",
        11..=12 => "12le",
        _ if rgb => "12le",
        _ => "16le",
    };
    by_name(&format!("yuv{sampling}p{depth}")).unwrap_or(Pixel::YUV444P)
}

/// What the numbers of a picture mean; tags that are open are guessed as players do, by the height.
pub(super) fn color(tags: ColorTags, height: u32) -> Color {
    let matrix = match tags.space {
        1 | 7 => Matrix::Bt709,
        4..=6 => Matrix::Bt601,
        9 | 10 => Matrix::Bt2020,
        _ if height >= 720 => Matrix::Bt709,
        _ => Matrix::Bt601,
    };
    let range = if tags.range == ColorTags::FULL { Range::Full } else { Range::Limited };
    Color { matrix, range }
}

type Shape = (Pixel, u32, u32);

fn shape(picture: &Video) -> Shape {
    (picture.format(), picture.width(), picture.height())
}

/// Converts pictures to one format and size.
pub(super) struct Converter {
    context: *mut ffi::SwsContext,
    from: Option<Shape>,
    to: Shape,
}

// SAFETY: the context has no tie to a thread and is only used through `&mut self`.
unsafe impl Send for Converter {}

impl Drop for Converter {
    fn drop(&mut self) {
        // SAFETY: null or a context this value owns.
        unsafe { ffi::sws_freeContext(self.context) };
    }
}

impl Converter {
    pub fn new(pixel: Pixel, width: u32, height: u32) -> Self {
        Self { context: ptr::null_mut(), from: None, to: (pixel, width, height) }
    }

    /// A converted copy; `from` and `to` say what the numbers mean on both sides.
    pub fn run(&mut self, picture: &Video, from: Color, to: Color) -> Result<Video, ffmpeg::Error> {
        let (pixel, width, height) = self.to;
        let mut out = Video::empty();
        // SAFETY: a fresh frame; its buffers are allocated by FFmpeg for the format and size set here.
        unsafe {
            let f = out.as_mut_ptr();
            (*f).width = width as i32;
            (*f).height = height as i32;
            (*f).format = ffi::AVPixelFormat::from(pixel) as i32;
            check(ffi::av_frame_get_buffer(f, 0))?;
            check(ffi::av_frame_copy_props(f, picture.as_ptr()))?;
        }
        if shape(picture) == (picture.format(), width, height) && is_same_gray(picture.format(), pixel) {
            gray_to_planar(picture, &mut out);
            return Ok(out);
        }
        if self.from != Some(shape(picture)) {
            self.prepare(picture, from, to)?;
        }
        // SAFETY: both frames have the shapes that the context was made for.
        unsafe {
            let (a, b) = (picture.as_ptr(), out.as_mut_ptr());
            check(ffi::sws_scale(
                self.context,
                (*a).data.as_ptr().cast(),
                (*a).linesize.as_ptr(),
                0,
                (*a).height,
                (*b).data.as_ptr(),
                (*b).linesize.as_ptr(),
            ))?;
        }
        Ok(out)
    }

    fn prepare(&mut self, picture: &Video, from: Color, to: Color) -> Result<(), ffmpeg::Error> {
        let (pixel, width, height) = self.to;
        use super::version::scale::{ACCURATE_ROUNDING, BICUBIC, FULL_CHROMA_INPUT, FULL_CHROMA_INTERPOLATED};
        let flags = BICUBIC | ACCURATE_ROUNDING | FULL_CHROMA_INTERPOLATED | FULL_CHROMA_INPUT;
        // SAFETY: the old context is ours; the new one is null on failure, which is checked. Tables live for ever.
        unsafe {
            ffi::sws_freeContext(self.context);
            self.from = None;
            self.context = ffi::sws_getContext(
                picture.width() as i32,
                picture.height() as i32,
                picture.format().into(),
                width as i32,
                height as i32,
                pixel.into(),
                flags,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null(),
            );
            if self.context.is_null() {
                return Err(ffmpeg::Error::PatchWelcome);
            }
            let table = |c: Color| {
                ffi::sws_getCoefficients(match c.matrix {
                    Matrix::Bt709 => 1,
                    Matrix::Bt601 => 5,
                    Matrix::Bt2020 => 9,
                })
            };
            let full = |c: Color| i32::from(c.range == Range::Full);
            // Not every pair of formats has a colour conversion to set up; a negative answer only says so.
            ffi::sws_setColorspaceDetails(
                self.context,
                table(from),
                full(from),
                table(to),
                full(to),
                0,
                1 << 16,
                1 << 16,
            );
        }
        self.from = Some(shape(picture));
        Ok(())
    }
}

/// Whether a format holds red, green and blue.
pub(super) fn is_rgb(pixel: Pixel) -> bool {
    // SAFETY: the descriptor is null or lives for ever.
    unsafe { ffi::av_pix_fmt_desc_get(pixel.into()).as_ref() }.is_some_and(|d| {
        let flags = ffi::AV_PIX_FMT_FLAG_RGB | ffi::AV_PIX_FMT_FLAG_PAL | ffi::AV_PIX_FMT_FLAG_BAYER;
        d.flags & flags as u64 != 0
    })
}

/// Whether a format holds luma only.
pub(super) fn is_gray(pixel: Pixel) -> bool {
    // SAFETY: the descriptor is null or lives for ever.
    let components = unsafe { ffi::av_pix_fmt_desc_get(pixel.into()).as_ref() }.map_or(0, |d| d.nb_components);
    components < 3 && !is_rgb(pixel)
}

/// Whether a picture has only luma that the target stores alike.
fn is_same_gray(from: Pixel, to: Pixel) -> bool {
    match from {
        Pixel::GRAY8 => to == Pixel::YUV420P,
        Pixel::GRAY10LE => to == Pixel::YUV420P10LE,
        Pixel::GRAY12LE => to == Pixel::YUV420P12LE,
        Pixel::GRAY16LE => to == Pixel::YUV420P16LE,
        _ => false,
    }
}

/// Copies luma and fills chroma with its middle: swscale would change the range.
fn gray_to_planar(gray: &Video, out: &mut Video) {
    let Some(layout) = planar_layout(out.format()) else { return };
    let (width, height) = (gray.width() as usize, gray.height() as usize);
    let row = width * layout.bytes_per_sample();
    // SAFETY: both pictures have `height` rows of at least `row` bytes at their line sizes (which may be negative in
    // the source), and the chroma planes half as many, rounded up.
    unsafe {
        let (a, b) = (gray.as_ptr(), out.as_mut_ptr());
        for y in 0..height {
            let from = (*a).data[0].offset(y as isize * (*a).linesize[0] as isize);
            let to = (*b).data[0].offset(y as isize * (*b).linesize[0] as isize);
            ptr::copy_nonoverlapping(from, to, row);
        }
        let middle = 1u16 << (layout.depth - 1);
        for plane in 1..3 {
            for y in 0..height.div_ceil(2) {
                let to = (*b).data[plane].offset(y as isize * (*b).linesize[plane] as isize);
                match layout.bytes_per_sample() {
                    1 => ptr::write_bytes(to, middle as u8, width.div_ceil(2)),
                    _ => std::slice::from_raw_parts_mut(to.cast::<u16>(), width.div_ceil(2)).fill(middle),
                }
            }
        }
    }
}
