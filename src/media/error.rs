//! What can go wrong with a video file, in sentences for the user.
//!
//! Whoever tells of a video says which it is; so a sentence about the video itself does not name it again, and one about the
//! output does.

use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;

/// Failures of reading, decoding, encoding and writing.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The file cannot be reached.
    #[error("it cannot be opened: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A folder, device, pipe or the like.
    #[error("it is not a regular file; only files on disk are opened")]
    NotAFile {
        /// What was given.
        path: PathBuf,
    },
    /// Zero bytes.
    #[error("the file is empty")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A kind of file that is refused: playlists, image lists and all that could name other files or addresses.
    #[error("it is not a video container that is opened here (playlists, image lists and the like are refused)")]
    Refused {
        /// The file.
        path: PathBuf,
    },
    /// Contents that no demuxer understands.
    #[error("it is not a readable video: {source}; it may be incomplete or of another kind")]
    NotMedia {
        /// The file.
        path: PathBuf,
        /// FFmpeg's reason.
        source: ffmpeg::Error,
    },
    /// One picture in a file that could hold more.
    #[error(
        "it is a still picture, not a video; `meshreel process` draws into PNG, JPEG, WebP, BMP and TIFF files that are named"
    )]
    StillPicture {
        /// The file.
        path: PathBuf,
    },
    /// Several pictures where one was to be.
    #[error(
        "it is a picture with more than one frame, which is not drawn into; name it by what it is (a series of JPEGs: .mjpeg), or make a video of it first"
    )]
    ManyPictures {
        /// The file.
        path: PathBuf,
    },
    /// A moving picture that FFmpeg has no decoder for.
    #[error("it is an animated WebP, which FFmpeg cannot decode; make a video, a GIF or an APNG of it first")]
    AnimatedWebp {
        /// The file.
        path: PathBuf,
    },
    /// A folder without numbered pictures.
    #[error(
        "there are no numbered pictures in this folder (such as img_0001.png); name a video, a picture, or a folder of pictures whose names end in numbers"
    )]
    NoPictures {
        /// The folder.
        path: PathBuf,
    },
    /// Sound or pictures only.
    #[error("it has no video stream")]
    NoVideo {
        /// The file.
        path: PathBuf,
    },
    /// A codec or pixel format that cannot be decoded here.
    #[error("cannot decode {what}: {reason}")]
    Undecodable {
        /// The file.
        path: PathBuf,
        /// Codec or pixel format.
        what: String,
        /// Why.
        reason: String,
    },
    /// Not one frame could be decoded.
    #[error("no frame of the video could be decoded; the file is damaged or incomplete")]
    NoFrames {
        /// The file.
        path: PathBuf,
    },
    /// Frames above the limit.
    #[error("frames of {width}x{height} are larger than the limit of {limit} pixels a side")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Width in pixels.
        width: i64,
        /// Height in pixels.
        height: i64,
        /// Limit in pixels for either side.
        limit: i64,
    },
    /// Reading stopped for a reason that is not damage of the file: a failing disk, a server that is gone.
    #[error("it cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Decoding stopped for a reason that is not damage of the file.
    #[error("decoding failed: {source}")]
    Decode {
        /// The file.
        path: PathBuf,
        /// FFmpeg's reason.
        source: ffmpeg::Error,
    },
    /// No encoder of that name.
    #[error("the video encoder '{name}' is not in this FFmpeg; `ffmpeg -encoders` lists those that are")]
    UnknownEncoder {
        /// The name asked for.
        name: String,
    },
    /// No pixel format of that name.
    #[error(
        "there is no pixel format '{name}' (encode.pixel_format); `ffmpeg -pix_fmts` lists those there are, yuv420p is what all players show"
    )]
    UnknownPixelFormat {
        /// The name asked for.
        name: String,
    },
    /// The encoder does not start.
    #[error("the video encoder '{name}' does not start ({what}): {source}; {}", needs(name))]
    EncoderRefused {
        /// The encoder.
        name: String,
        /// Size and pixel format.
        what: String,
        /// FFmpeg's reason.
        source: ffmpeg::Error,
    },
    /// The encoder takes pictures from a graphics card's memory only.
    #[error(
        "the video encoder '{name}' takes pictures in a graphics card's memory only, where they are not; choose another, such as libx264 or h264_nvenc"
    )]
    EncoderOfHardware {
        /// The encoder.
        name: String,
    },
    /// The file name's extension is no container that can be written.
    #[error("{}: no video container is known for this file name; use mp4, mkv, mov or webm", path.display())]
    UnknownContainer {
        /// The output.
        path: PathBuf,
    },
    /// The container does not take the codec, or not this video by it.
    #[error(
        "'{container}' files do not take this video by '{codec}'; set `encode.container` to another (mkv takes most, mov ProRes) or `encode.codec`"
    )]
    WrongContainer {
        /// The file name extension.
        container: String,
        /// The encoder.
        codec: String,
    },
    /// Encoding stopped.
    #[error("{}: encoding failed: {source}", path.display())]
    Encode {
        /// The output.
        path: PathBuf,
        /// FFmpeg's reason.
        source: ffmpeg::Error,
    },
    /// A frame that does not fit the stream being encoded.
    #[error("{}: a frame differs in size or format from the video that the encoder was made for", path.display())]
    WrongFrame {
        /// The output.
        path: PathBuf,
    },
    /// Writing stopped: disk full, folder gone, no permission.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The output.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// One of the streams beside the video cannot be written, or so it seems.
    #[error("cannot write {}: a stream beside the video does not go into it: {source}", path.display())]
    SideStream {
        /// The output.
        path: PathBuf,
        /// Their indexes in the source.
        streams: Vec<usize>,
        /// FFmpeg's reason.
        source: ffmpeg::Error,
    },
    /// The finished file is not what was written.
    #[error("{} is not a sound video: {reason}", path.display())]
    Verify {
        /// The output.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
}

/// What an encoder needs to start.
fn needs(encoder: &str) -> String {
    match encoder.rsplit('_').next() {
        Some("nvenc") => "it needs an NVIDIA GPU that has an encoder, and its driver".to_owned(),
        Some("qsv") => "it needs an Intel GPU and its driver".to_owned(),
        _ => format!("`ffmpeg -h encoder={encoder}` tells what it takes"),
    }
}

impl MediaError {
    /// Whether trying the same file again is pointless. Failures of the system (disk full, mount gone) pass.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Open { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
            Self::Read { .. } | Self::Write { .. } | Self::Verify { .. } | Self::Empty { .. } => false,
            Self::NotMedia { source, .. } | Self::Decode { source, .. } | Self::Encode { source, .. } => {
                !matches!(source, ffmpeg::Error::Other { errno } if *errno != ffmpeg::error::EINVAL)
            }
            _ => true,
        }
    }

    /// Whether the file has nothing in it yet.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty { .. })
    }

    /// Whether there is no room for the output.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Write { source, .. } if source.kind() == std::io::ErrorKind::StorageFull)
    }

    pub(super) fn encode(path: &Path, source: ffmpeg::Error) -> Self {
        Self::Encode { path: path.to_owned(), source }
    }

    pub(super) fn write(path: &Path, source: std::io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }

    /// For what FFmpeg's muxers say of the beginning: whether they take the streams, or what the system said.
    pub(super) fn header(path: &Path, codec: &str, source: ffmpeg::Error) -> Self {
        match source {
            ffmpeg::Error::Other { errno } if errno != ffmpeg::error::EINVAL => Self::mux(path, source),
            _ => Self::wrong_container(path, codec),
        }
    }

    pub(super) fn wrong_container(path: &Path, codec: &str) -> Self {
        let container = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        Self::WrongContainer { container, codec: codec.to_owned() }
    }

    /// For what FFmpeg's muxers say, which is mostly what the system said to them.
    pub(super) fn mux(path: &Path, source: ffmpeg::Error) -> Self {
        Self::write(
            path,
            match source {
                ffmpeg::Error::Other { errno } => std::io::Error::from_raw_os_error(errno),
                other => std::io::Error::other(other),
            },
        )
    }
}
