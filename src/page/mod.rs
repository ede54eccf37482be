//! The page to look at: one file with the video, the bodies in three dimensions, and the curves of the joint angles.
//!
//! ```text
//! motion file -> Selection -> curves, who was there when (data.rs) ---\
//!                          -> a small glb (body.rs) -------------------> page.html, style.css, viewer.js -> NAME.report.html
//! result video -> a small copy (media::make_proxy) -------------------/
//! ```
//!
//! What it shows is kept small: of a long clip the video and the bodies of the first minutes, and for the whole of it the curves, by the least and
//! greatest value of every few frames. Nothing of it is fetched from anywhere: a browser is told to refuse that.

mod body;
mod data;
mod embed;
mod index;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

pub use index::{Entry, is_index, write_index};

use crate::control::{Proceed, Stopped};
use crate::export::{Clip, Detail, ExportError, Frame, Heading, Placement, Selection, own_prefix, small_glb};
use crate::job::{JobSettings, Report};
use crate::media::{self, MediaError, Proxy, ShareError};
use data::Notes;
use embed::{Part, Template};

/// Seconds of a clip of which video and bodies are in the page.
const LONGEST: f64 = 300.0;
/// Widest and highest picture of the video, pixels: of a short and of a long one.
const PICTURE: [u32; 2] = [640, 480];
/// Seconds from which on a video is a long one.
const LONG: f64 = 120.0;
/// Most pictures, and poses, a second.
const RATE: f64 = 30.0;
/// Most bits a second of a video.
const BIT_RATE: f64 = 1_200_000.0;
/// Bytes of a video of a minute at most, and of each further second.
const MINUTE: f64 = 4_200_000.0;
const SECOND: f64 = 18_000.0;

/// What runs in the page, in parts that build on each other.
const SCRIPT: &str = concat!(
    include_str!("motion.js"),
    include_str!("view.js"),
    include_str!("base.js"),
    include_str!("curves.js"),
    include_str!("viewer.js")
);

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The motion cannot be read.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The page cannot be written.
    #[error("the page cannot be written: {0}")]
    Write(#[from] io::Error),
    /// There is no room for the small copy of the video.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// It is to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// What a page is made of.
pub struct Subject<'a> {
    /// What it is called.
    pub name: &'a str,
    /// The motion file.
    pub motion: &'a Path,
    /// The result.
    pub video: &'a Path,
    /// As [`media::Decoder::open_also_pictures`] takes them.
    pub pictures: Option<f64>,
    /// What was done.
    pub report: &'a Report,
    /// How it was done.
    pub settings: &'a JobSettings,
    /// Where temporary files go.
    pub folder: &'a Path,
}

/// Writes a page.
///
/// # Errors
/// When something cannot be read or written, or `proceed` says that the work ends. A video that cannot be made small is no error: the page says
/// why it is missing.
pub fn write_page(subject: &Subject<'_>, to: &File, proceed: Proceed<'_>) -> Result<(), PageError> {
    let mut progress = |_, _| Ok(proceed()?);
    let clip = Clip::read(subject.motion, subject.folder, &mut progress)?;
    let (frame, heading, placement) = (Frame::default(), Heading::default(), Placement::default());
    let selection = Selection::new(&clip, &[], frame, heading, placement, proceed)?;
    let frame_rate = clip.header.video.fps;
    let duration = clip.times.last().map_or(0.0, |last| last + 1.0 / frame_rate);
    let shown = duration.min(LONGEST);
    let mut notes = Notes::new(duration, shown);

    let video = tempfile::Builder::new().prefix(&own_prefix()).suffix(".mp4").tempfile_in(subject.folder)?;
    let has_video = match make_video(subject, video.path(), frame_rate, shown, proceed) {
        Ok(()) => true,
        Err(reason) => {
            notes.without_video(reason?);
            false
        }
    };
    let keys = body::keys(&selection, shown);
    let poses_rate = frame_rate / keys.stride as f64;
    if poses_rate < frame_rate {
        notes.poses(poses_rate);
    }
    let surface = body::surface(&selection);
    let glb = match selection.people.is_empty() {
        true => None,
        false => {
            let detail = Detail { surface: surface.as_ref(), rows: Some(&keys.rows) };
            match small_glb(&selection, &detail, subject.folder, proceed) {
                // A crowd that no browser could show.
                Err(ExportError::TooLarge { .. }) => None,
                made => made?,
            }
        }
    };
    let data = data::collect(subject, &selection, [duration, shown], poses_rate, has_video, notes, proceed)?;

    let template = Template { page: include_str!("page.html"), style: include_str!("style.css"), script: SCRIPT };
    let mut out = BufWriter::with_capacity(1 << 16, to);
    template.write(&mut out, subject.name, &mut |part, out| match part {
        Part::Data => embed::json(&data, out),
        Part::Motion => glb.as_ref().map_or(Ok(()), |glb| embed::base64_of(glb, out)),
        Part::Video if has_video => embed::base64_of(video.path(), out),
        Part::Video => Ok(()),
    })?;
    out.flush()?;
    Ok(())
}

/// Makes the small copy of the video. An error is the reason why there is none, or what ends the work.
fn make_video(
    subject: &Subject<'_>,
    to: &Path,
    frame_rate: f64,
    shown: f64,
    proceed: Proceed<'_>,
) -> Result<(), Result<String, PageError>> {
    if !media::can_make_proxy() {
        return Err(Ok("this FFmpeg has no encoder of H.264 (libx264 or libopenh264)".into()));
    }
    let bytes = MINUTE + (shown - 60.0).max(0.0) * SECOND;
    let bit_rate = (bytes * 8.0 / shown.max(1.0)).min(BIT_RATE);
    // Every picture, or every second, or every third.
    let rate = frame_rate / (frame_rate / RATE - 0.01).ceil().max(1.0);
    let proxy = Proxy { longest: PICTURE[usize::from(shown > LONG)], rate, seconds: shown, bit_rate: bit_rate as u32 };
    match media::make_proxy(subject.video, subject.pictures, to, &proxy, proceed) {
        Ok(()) => Ok(()),
        Err(ShareError::Stopped(stopped)) => Err(Err(stopped.into())),
        Err(ShareError::Media(error)) if error.is_disk_full() => Err(Err(error.into())),
        Err(ShareError::Media(error)) => Err(Ok(error.to_string())),
    }
}
