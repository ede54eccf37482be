//! Pictures of odd sizes for encoders that take even ones only: the last rows and columns are repeated until the size fits.

use std::ptr;

use ffmpeg::ffi;
use ffmpeg::frame::Video;
use ffmpeg_next as ffmpeg;

use super::Layout;
use super::av::check;
use crate::geometry::Geometry;

/// Makes pictures larger by repeating their edges.
pub(super) struct Padding {
    /// Width and height that come out.
    size: [u32; 2],
    layout: Layout,
    /// Whether columns are added on the left and rows at the top, so that they are on the right and at the bottom of the
    /// displayed picture: what is at a pixel stays there.
    at_start: [bool; 2],
}

impl Padding {
    /// To `size`, for planar pictures of this layout that are turned as `geometry` says when they are shown.
    pub fn new(geometry: &Geometry, layout: Layout, size: [u32; 2]) -> Self {
        let map = geometry.to_coded.matrix2;
        // How a coded coordinate changes with both displayed ones, one of which is without influence.
        let at_start = [map.x_axis.x + map.y_axis.x < 0.0, map.x_axis.y + map.y_axis.y < 0.0];
        Self { size, layout, at_start }
    }

    /// The same with all rows added at the bottom, so that each stays in its field.
    pub fn keeping_fields(self) -> Self {
        Self { at_start: [self.at_start[0], false], ..self }
    }

    /// The same for pictures that are shown as they are.
    pub fn upright(layout: Layout, size: [u32; 2]) -> Self {
        Self { size, layout, at_start: [false; 2] }
    }

    /// A larger copy.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn run(&self, picture: &Video) -> Result<Video, ffmpeg::Error> {
        let mut out = Video::empty();
        // SAFETY: a fresh frame; its buffers are allocated by FFmpeg for the format and size set here.
        unsafe {
            let f = out.as_mut_ptr();
            (*f).width = self.size[0] as i32;
            (*f).height = self.size[1] as i32;
            (*f).format = (*picture.as_ptr()).format;
            check(ffi::av_frame_get_buffer(f, 0))?;
            check(ffi::av_frame_copy_props(f, picture.as_ptr()))?;
        }
        for plane in 0..3 {
            self.copy_plane(picture, &mut out, plane);
        }
        Ok(out)
    }

    fn copy_plane(&self, picture: &Video, out: &mut Video, plane: usize) {
        let from = self.layout.plane_size([picture.width(), picture.height()], plane);
        let to = self.layout.plane_size(self.size, plane);
        let sample = self.layout.bytes_per_sample();
        // SAFETY: both planes have as many rows and samples as told, their line sizes apart (which may be negative in the
        // source); coordinates are brought inside.
        unsafe {
            let (a, b) = (picture.as_ptr(), out.as_mut_ptr());
            let inside = |at: usize, axis: usize| {
                let added = if self.at_start[axis] { to[axis].saturating_sub(from[axis]) } else { 0 };
                at.saturating_sub(added).min(from[axis] - 1)
            };
            for y in 0..to[1] {
                let row = (*a).data[plane].offset(inside(y, 1) as isize * (*a).linesize[plane] as isize);
                let target = (*b).data[plane].offset(y as isize * (*b).linesize[plane] as isize);
                let begin = if self.at_start[0] { to[0].saturating_sub(from[0]) } else { 0 };
                ptr::copy_nonoverlapping(row, target.add(begin * sample), from[0].min(to[0]) * sample);
                for x in (0..begin).chain(begin + from[0]..to[0]) {
                    ptr::copy_nonoverlapping(row.add(inside(x, 0) * sample), target.add(x * sample), sample);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Orientation;

    #[test]
    fn pixels_are_added_where_the_displayed_picture_ends() {
        let layout = Layout { depth: 8, chroma_shift_x: 1, chroma_shift_y: 1 };
        let bytes = |picture: &Video, plane: usize| -> Vec<Vec<u8>> {
            let [width, height] = layout.plane_size([picture.width(), picture.height()], plane);
            (0..height).map(|y| picture.data(plane)[y * picture.stride(plane)..][..width].to_vec()).collect()
        };
        let mut picture = Video::new(ffmpeg::format::Pixel::YUV420P, 3, 3);
        for plane in 0..3 {
            let stride = picture.stride(plane);
            for y in 0..if plane == 0 { 3 } else { 2 } {
                for x in 0..3 {
                    picture.data_mut(plane)[y * stride + x] = (10 * y + x) as u8;
                }
            }
        }
        for (quarter_turns, luma) in [
            (0, [[0, 1, 2, 2], [10, 11, 12, 12], [20, 21, 22, 22], [20, 21, 22, 22]]),
            // Half a turn: the end of the displayed picture is where the coded one begins.
            (2, [[0, 0, 1, 2], [0, 0, 1, 2], [10, 10, 11, 12], [20, 20, 21, 22]]),
        ] {
            let geometry = Geometry::new([3, 3], 1.0, Orientation { quarter_turns, mirrored: false });
            let out = Padding::new(&geometry, layout, [4, 4]).run(&picture).unwrap();
            assert_eq!(bytes(&out, 0), luma, "{quarter_turns}");
            assert_eq!(bytes(&out, 1), [[0, 1], [10, 11]]);
        }
    }
}
