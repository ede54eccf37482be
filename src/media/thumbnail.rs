//! A small picture of a frame, to be looked at.

use std::path::Path;

use ffmpeg_next::format::Pixel;

use super::convert::Converter;
use super::{Color, Decoder, Frame, MediaError, VideoInfo};

/// Frames after a keyframe at which a video is looked at: few, for they are decoded.
const AFTER_KEYFRAME: usize = 25;

/// R, G, B of a small picture, as it is displayed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Thumbnail {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `width * height` times R, G, B, top row first.
    pub rgb: Vec<u8>,
}

impl Thumbnail {
    /// Of a frame near the middle of a video file.
    ///
    /// # Errors
    /// When the file is not there or is no video.
    pub fn of_file(path: &Path, longest: u32) -> Result<Self, MediaError> {
        let mut decoder = Decoder::open(path, 1)?;
        decoder.skip_to_middle();
        let mut latest = None;
        for _ in 0..=AFTER_KEYFRAME {
            match decoder.next()? {
                Some(frame) => latest = Some(frame),
                None => break,
            }
        }
        let frame = latest.ok_or_else(|| MediaError::NoFrames { path: path.to_owned() })?;
        Self::new(&frame, decoder.info(), longest)
    }

    /// Of a frame of a video, its longer side `longest` pixels at most.
    pub fn new(frame: &Frame, info: &VideoInfo, longest: u32) -> Result<Self, MediaError> {
        let [width, height] = info.geometry.display.map(f64::from);
        let scale = (f64::from(longest) / width.max(height)).min(1.0);
        let is_turned = info.orientation.quarter_turns % 2 == 1;
        let shown = [width, height].map(|side| ((side * scale).round() as u32).max(1));
        let [width, height] = if is_turned { [shown[1], shown[0]] } else { shown };
        let to = Color { range: super::Range::Full, ..info.color };
        let small = Converter::new(Pixel::RGB24, width, height)
            .run(&frame.picture, info.color, to)
            .map_err(|e| MediaError::encode(&info.path, e))?;
        let stride = small.stride(0);
        let pixel = |x: u32, y: u32| {
            let at = y as usize * stride + 3 * x as usize;
            small.data(0).get(at..at + 3).unwrap_or(&[0; 3])
        };
        let mut rgb = Vec::with_capacity(3 * (shown[0] * shown[1]) as usize);
        for y in 0..shown[1] {
            for x in 0..shown[0] {
                // Where the shown pixel comes from: turned back, then mirrored back.
                let (x, y) = match info.orientation.quarter_turns % 4 {
                    0 => (x, y),
                    1 => (y, height - 1 - x),
                    2 => (width - 1 - x, height - 1 - y),
                    _ => (width - 1 - y, x),
                };
                let x = if info.orientation.mirrored { width - 1 - x } else { x };
                rgb.extend_from_slice(pixel(x, y));
            }
        }
        Ok(Self { width: shown[0], height: shown[1], rgb })
    }
}
