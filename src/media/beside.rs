//! Room beside the video in its own picture: to the right of it, as it is displayed.
//!
//! Frames are not turned for this: where a player turns them, the room is at that edge of the coded picture which is displayed on the
//! right.

use std::ptr;

use ffmpeg::ffi;
use ffmpeg::frame::Video;
use ffmpeg_next as ffmpeg;

use super::av::check;
use super::probe::SideData;
use super::{Frame, MediaError, VideoInfo};
use crate::geometry::{Geometry, Rect};

/// Widths of panels are multiples of this, coded pixels: chroma is not shared between them, whatever its subsampling.
const GRAIN: f64 = 16.0;

/// A video with room beside it.
pub struct Beside {
    info: VideoInfo,
    /// Where the video is, in coded pixels.
    video: Rect,
    /// Columns and rows between the video and the room, which repeat the video's last: chroma is not shared there either.
    gap: [usize; 2],
    panels: Vec<Panel>,
}

/// A part of the room.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Panel {
    /// Where it is, in coded pixels.
    pub rect: Rect,
    /// Of the panel as a picture by itself.
    pub geometry: Geometry,
}

impl Beside {
    /// Room for so many panels, each about `width` displayed pixels wide and as high as the video.
    pub fn new(info: &VideoInfo, count: usize, width: u32) -> Self {
        let geometry = info.geometry;
        let map = geometry.to_coded.matrix2;
        // How coded pixels change along the displayed picture's width.
        let (axis, along) = match map.x_axis.x.abs() > map.x_axis.y.abs() {
            true => (0, map.x_axis.x),
            false => (1, map.x_axis.y),
        };
        let size = ((f64::from(width) * along.abs() / GRAIN).round().max(1.0) * GRAIN) as u32;
        let all = size * count as u32;
        let coded = geometry.coded;
        let is_first = along < 0.0;
        // Where the room begins: after the video where its chroma ends, or at zero.
        let shift = if axis == 0 { info.layout.chroma_shift_x } else { info.layout.chroma_shift_y };
        let video_end = coded[axis].next_multiple_of(1 << shift);
        let video_at = if is_first { all } else { 0 };
        let mut wide = coded;
        wide[axis] = if is_first { coded[axis] + all } else { video_end + all };
        let rect = |at: u32, long: u32| {
            let (mut from, mut size) = ([0; 2], coded);
            (from[axis], size[axis]) = (at, long);
            Rect { x: from[0], y: from[1], width: size[0], height: size[1] }
        };
        let aspect = match axis {
            0 => f64::from(geometry.display[0]) / f64::from(coded[0]),
            _ => f64::from(geometry.display[1]) / f64::from(coded[0]),
        };
        let panel = |index: usize| {
            let index = index as u32;
            let at = if is_first { all - (index + 1) * size } else { video_end + index * size };
            let rect = rect(at, size);
            Panel { rect, geometry: Geometry::new([rect.width, rect.height], aspect, info.orientation) }
        };
        let mut info = info.clone();
        if count > 0 {
            info.geometry = Geometry::new(wide, aspect, info.orientation);
            info.source.side_data.iter_mut().for_each(|data| place_display_matrix(data, wide));
        }
        let mut gap = [0; 2];
        gap[axis] = if is_first || count == 0 { 0 } else { (video_end - coded[axis]) as usize };
        Self { panels: (0..count).map(panel).collect(), video: rect(video_at, coded[axis]), gap, info }
    }

    /// Of the video with its room: what is compressed.
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// Where the video is, in coded pixels.
    pub fn video(&self) -> Rect {
        self.video
    }

    /// The video with the columns or rows behind it that repeat its last.
    pub fn video_and_gap(&self) -> Rect {
        let [width, height] = self.gap.map(|gap| gap as u32);
        Rect { width: self.video.width + width, height: self.video.height + height, ..self.video }
    }

    /// From the video on.
    pub fn panels(&self) -> &[Panel] {
        &self.panels
    }

    /// A frame of the video with its room, which holds whatever was in memory.
    pub fn widen(&self, frame: Frame) -> Result<Frame, MediaError> {
        if self.panels.is_empty() {
            return Ok(frame);
        }
        let layout = frame.layout();
        let [width, height] = self.info.geometry.coded;
        let mut wide = Video::empty();
        // SAFETY: a fresh frame; its buffers are allocated by FFmpeg for the format and size set here.
        let made = unsafe {
            let f = wide.as_mut_ptr();
            (*f).width = width as i32;
            (*f).height = height as i32;
            (*f).format = (*frame.picture.as_ptr()).format;
            check(ffi::av_frame_get_buffer(f, 0))
                .and_then(|_| check(ffi::av_frame_copy_props(f, frame.picture.as_ptr())))
        };
        made.map_err(|e| MediaError::encode(&self.info.path, e))?;
        let mut out = Frame::new(wide, layout, frame.index, frame.time, frame.duration);
        out.is_corrupt = frame.is_corrupt;
        for index in 0..3 {
            let shifts = if index == 0 { [0, 0] } else { [layout.chroma_shift_x, layout.chroma_shift_y] };
            let from = frame.plane(index);
            let to = out.plane_mut(index);
            let bytes = layout.bytes_per_sample();
            let [left, top] = [self.video.x >> shifts[0], self.video.y >> shifts[1]].map(|v| v as usize);
            let gap = if index == 0 { self.gap } else { [0; 2] };
            let lines = to.data.chunks_mut(to.stride.max(1)).skip(top).take(from.height + gap[1]);
            for (y, line) in lines.enumerate() {
                let row = &from.data[y.min(from.height.saturating_sub(1)) * from.stride..][..from.width * bytes];
                let target = &mut line[left * bytes..][..row.len() + gap[0] * bytes];
                let (copy, beyond) = target.split_at_mut(row.len());
                copy.copy_from_slice(row);
                beyond.chunks_exact_mut(bytes).for_each(|sample| sample.copy_from_slice(&row[row.len() - bytes..]));
            }
        }
        Ok(out)
    }
}

/// A display matrix that says where the turned picture's corner is, is made to say it of a larger picture.
fn place_display_matrix((kind, bytes): &mut SideData, coded: [u32; 2]) {
    if *kind != ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX || bytes.len() < 36 {
        return;
    }
    let mut matrix = [0i32; 9];
    // SAFETY: as many bytes are there, and any bytes are numbers.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), matrix.as_mut_ptr().cast::<u8>(), 36) };
    if matrix[6] == 0 && matrix[7] == 0 {
        return;
    }
    // Row vectors: the picture's axes become rows 0 and 1; what is left of or above zero is brought to zero.
    let sides = coded.map(i64::from);
    for column in 0..2 {
        let reach = |row: usize| (i64::from(matrix[3 * row + column]) * sides[row]).min(0);
        matrix[6 + column] = (-reach(0) - reach(1)) as i32;
    }
    let placed = matrix.iter().flat_map(|number| number.to_ne_bytes());
    bytes.iter_mut().zip(placed).for_each(|(byte, new)| *byte = new);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corner_of_a_turned_picture_moves_with_its_size() {
        let one = 1 << 16;
        let bytes = |m: [i32; 9]| m.iter().flat_map(|v| v.to_ne_bytes()).collect::<Vec<u8>>();
        let turned = |corner: [i32; 2]| bytes([0, one, 0, -one, 0, 0, corner[0] * one, corner[1] * one, 1 << 30]);
        let kind = ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX;
        let mut data = (kind, turned([1080, 0]));
        place_display_matrix(&mut data, [1920, 1080 + 320]);
        assert_eq!(data.1, turned([1400, 0]));
        let mut data = (kind, turned([0, 0]));
        place_display_matrix(&mut data, [1920, 1400]);
        assert_eq!(data.1, turned([0, 0]));
    }
}
