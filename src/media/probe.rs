//! What a video file holds.

use std::path::{Path, PathBuf};

use ffmpeg::ffi;
use ffmpeg::format::Pixel;
use ffmpeg_next as ffmpeg;

use super::av::ColorTags;
use super::{Color, Decoder, Layout, MediaError};
use crate::geometry::{Geometry, Orientation, quarter_turns};

/// A video stream and its file. Everything is as the first decoded frame shows it, not as the header claims.
#[derive(Debug, Clone)]
pub struct VideoInfo {
    /// The file.
    pub path: PathBuf,
    /// FFmpeg's name of the container, such as `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    /// FFmpeg's name of the codec, such as `h264`.
    pub codec: String,
    /// FFmpeg's name of the pixel format of the frames that are delivered.
    pub pixel_format: String,
    /// Sizes of the coded and of the displayed picture.
    pub geometry: Geometry,
    /// How a player turns the coded picture.
    pub orientation: Orientation,
    /// How samples are stored in the frames that are delivered.
    pub layout: Layout,
    /// What the samples mean.
    pub color: Color,
    /// Time stamp of the first frame in the file, seconds.
    pub source_start: f64,
    /// Average frames a second by the container's word.
    pub frame_rate: f64,
    /// Number of frames by the container's word, or estimated from the duration.
    pub frames: Option<u64>,
    /// Seconds by the container's word.
    pub duration: Option<f64>,
    /// Number of sound streams.
    pub audio_streams: usize,
    /// Number of subtitle streams.
    pub subtitle_streams: usize,
    /// Whether frames are made of two fields.
    pub interlaced: bool,
    /// What is done to the video on the way in, in sentences.
    pub warnings: Vec<String>,
    pub(super) source: Source,
}

impl VideoInfo {
    /// Time stamp that the first frame has in the result, seconds.
    pub fn start(&self) -> f64 {
        self.source_start + self.source.shift as f64 / 1e6
    }
}

/// What the encoder needs to know of the source and nobody else.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Index of the video stream.
    pub stream: usize,
    pub time_base: ffi::AVRational,
    pub frame_rate: ffi::AVRational,
    pub sample_aspect: ffi::AVRational,
    pub tags: ColorTags,
    pub pixel: Pixel,
    pub top_field_first: bool,
    /// Whether it may be a picture, or a folder of numbered ones that are shown so many a second.
    pub pictures: Option<f64>,
    /// Whether the first frames have no time stamps in the file.
    pub begins_undated: bool,
    /// Side data that belongs to the whole stream (display matrix, mastering display).
    pub side_data: Vec<SideData>,
    /// Added to every time stamp of every stream, in microseconds: clocks of broadcasts start anywhere, and no
    /// frame is shown before zero.
    pub shift: i64,
}

/// Side data of a stream: its kind, and FFmpeg's bytes.
pub(super) type SideData = (ffi::AVPacketSideDataType, Vec<u8>);

/// Reads what a file holds; its first frame is decoded.
pub fn probe(path: impl AsRef<Path>) -> Result<VideoInfo, MediaError> {
    Ok(Decoder::open(path, 1)?.info().clone())
}

/// The orientation of a display matrix (as in ISO/IEC 14496-12, 8.3.2: row vectors, 16.16 fixed point), and whether it
/// is one exactly: other angles are taken to the nearest quarter turn.
pub(super) fn orientation(matrix: &[u8]) -> Option<(Orientation, bool)> {
    let at = |i: usize| matrix.get(i * 4..i * 4 + 4)?.try_into().ok().map(i32::from_ne_bytes).map(f64::from);
    let (a, b, c, d) = (at(0)?, at(1)?, at(3)?, at(4)?);
    let determinant = a * d - b * c;
    if determinant == 0.0 {
        return None;
    }
    // The image of the x axis tells the turn once the mirroring, which comes before, is taken back.
    let mirrored = determinant < 0.0;
    let (x, y) = if mirrored { (-a, -b) } else { (a, b) };
    let quarter_turns = quarter_turns(y.atan2(x));
    let exact = (x == 0.0) != (y == 0.0);
    Some((Orientation { quarter_turns, mirrored }, exact))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(a: i32, b: i32, c: i32, d: i32) -> Vec<u8> {
        [a, b, 0, c, d, 0, 0, 0, 1 << 30].iter().flat_map(|v| v.to_ne_bytes()).collect()
    }

    #[test]
    fn the_eight_orientations_of_a_display_matrix() {
        let one = 1 << 16;
        for (m, turns, mirrored) in [
            (matrix(one, 0, 0, one), 0, false),
            (matrix(0, one, -one, 0), 1, false),
            (matrix(-one, 0, 0, -one), 2, false),
            (matrix(0, -one, one, 0), 3, false),
            (matrix(-one, 0, 0, one), 0, true),
            (matrix(one, 0, 0, -one), 2, true),
        ] {
            assert_eq!(orientation(&m), Some((Orientation { quarter_turns: turns, mirrored }, true)));
        }
        assert_eq!(orientation(&matrix(0, 0, 0, 0)), None);
        assert_eq!(orientation(&[1, 2, 3]), None);
        assert_eq!(orientation(&matrix(60000, 9000, -9000, 60000)).map(|o| o.1), Some(false));
    }
}
