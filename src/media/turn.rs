//! Pictures turned as a player would, for containers that cannot tell a player to.

use std::path::Path;
use std::ptr;

use ffmpeg::ffi;
use ffmpeg::format::Pixel;
use ffmpeg::frame::Video;
use ffmpeg_next as ffmpeg;

use super::av::check;
use super::container::{container, is_quicktime};
use super::convert::{self, Converter};
use super::version;
use super::{Color, Layout, MediaError, VideoInfo};
use crate::geometry::Orientation;

/// Side of the squares that are turned one by one, in samples: they fit the processor's cache.
const SQUARE: usize = 32;

/// Turns pictures.
pub(super) struct Turning {
    orientation: Orientation,
    /// Into a format that can be turned, where the source's cannot: chroma that is halved both ways or not at all can.
    converter: Option<Converter>,
    color: Color,
    pixel: Pixel,
    layout: Layout,
}

impl Turning {
    /// For a video that goes into a file at `path`; `None` where nothing needs to be turned.
    ///
    /// # Errors
    /// When the container is not known.
    pub fn needed(path: &Path, source: &VideoInfo) -> Result<Option<Self>, MediaError> {
        // SAFETY: a container's description lives for ever.
        let has_matrix = unsafe { is_quicktime(container(path)?) };
        let orientation = source.orientation;
        if has_matrix || orientation == Orientation::default() {
            return Ok(None);
        }
        let (mut pixel, mut layout, mut converter) = (source.source.pixel, source.layout, None);
        if layout.chroma_shift_x != layout.chroma_shift_y && orientation.quarter_turns % 2 == 1 {
            pixel = convert::without_subsampling(layout.depth);
            layout = Layout { chroma_shift_x: 0, chroma_shift_y: 0, ..layout };
            converter = Some(Converter::new(pixel, source.geometry.coded[0], source.geometry.coded[1]));
        }
        Ok(Some(Self { orientation, converter, color: source.color, pixel, layout }))
    }

    /// The pixel format that comes out.
    pub fn pixel(&self) -> Pixel {
        self.pixel
    }

    /// How its samples are stored.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Whether width and height are exchanged.
    pub fn is_sideways(&self) -> bool {
        self.orientation.quarter_turns % 2 == 1
    }

    /// Whether the first row comes last.
    pub fn is_upside_down(&self) -> bool {
        self.orientation.quarter_turns % 4 == 2
    }

    /// What comes out of a width and a height.
    pub fn size(&self, [width, height]: [u32; 2]) -> [u32; 2] {
        if self.is_sideways() { [height, width] } else { [width, height] }
    }

    /// A turned copy.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn run(&mut self, picture: &Video) -> Result<Video, ffmpeg::Error> {
        let converted = match &mut self.converter {
            Some(converter) => Some(converter.run(picture, self.color, self.color)?),
            None => None,
        };
        let picture = converted.as_ref().unwrap_or(picture);
        let coded = [picture.width(), picture.height()];
        let size = self.size(coded);
        let mut out = Video::empty();
        // SAFETY: a fresh frame; its buffers are allocated by FFmpeg for the format and size set here.
        unsafe {
            let f = out.as_mut_ptr();
            (*f).width = size[0] as i32;
            (*f).height = size[1] as i32;
            (*f).format = (*picture.as_ptr()).format;
            check(ffi::av_frame_get_buffer(f, 0))?;
            check(ffi::av_frame_copy_props(f, picture.as_ptr()))?;
            if self.is_upside_down() && coded[1].is_multiple_of(2) {
                // The last row of the bottom field is the first one now.
                version::exchange_fields(f);
            }
            // It is as it is shown now.
            ffi::av_frame_remove_side_data(f, ffi::AVFrameSideDataType::AV_FRAME_DATA_DISPLAYMATRIX);
        }
        for plane in 0..3 {
            let from = self.layout.plane_size(coded, plane);
            let to = self.layout.plane_size(size, plane);
            // SAFETY: both planes have as many rows and samples as told, their line sizes apart (which may be negative in the
            // source); where a sample comes from is inside, since the sizes are the turned ones of each other.
            unsafe {
                let (a, b) = (picture.as_ptr(), out.as_mut_ptr());
                let source = ((*a).data[plane].cast_const(), (*a).linesize[plane] as isize);
                let target = ((*b).data[plane], (*b).linesize[plane] as isize);
                match self.layout.bytes_per_sample() {
                    1 => turn_plane::<1>(self.orientation, source, from, target, to),
                    _ => turn_plane::<2>(self.orientation, source, from, target, to),
                }
            }
        }
        Ok(out)
    }
}

/// Fills a plane (`to` samples wide and high) with the turned samples of another, of `BYTES` bytes each.
///
/// # Safety
/// Both must be planes of these sizes, given by their first sample and the bytes from one row to the next.
unsafe fn turn_plane<const BYTES: usize>(
    orientation: Orientation,
    (source, source_line): (*const u8, isize),
    [from_width, from_height]: [usize; 2],
    (target, target_line): (*mut u8, isize),
    [width, height]: [usize; 2],
) {
    // Where the sample at (x, y) of the displayed picture comes from: turned back, then mirrored back.
    let origin = |x: usize, y: usize| {
        let (x, y) = match orientation.quarter_turns % 4 {
            0 => (x, y),
            1 => (y, from_height - 1 - x),
            2 => (from_width - 1 - x, from_height - 1 - y),
            _ => (from_width - 1 - y, x),
        };
        (if orientation.mirrored { from_width - 1 - x } else { x }, y)
    };
    for top in (0..height).step_by(SQUARE) {
        for left in (0..width).step_by(SQUARE) {
            for y in top..height.min(top + SQUARE) {
                for x in left..width.min(left + SQUARE) {
                    let (from_x, from_y) = origin(x, y);
                    // SAFETY: both samples are inside their planes.
                    unsafe {
                        let from = source.offset(from_y as isize * source_line).add(from_x * BYTES);
                        let to = target.offset(y as isize * target_line).add(x * BYTES);
                        ptr::copy_nonoverlapping(from, to, BYTES);
                    }
                }
            }
        }
    }
}
