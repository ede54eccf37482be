//! Still pictures, and folders of numbered ones, as videos. They are read where the user named them, and nowhere else: a drop folder has
//! pictures in it that nobody wants a mesh on.

use std::ffi::{CStr, CString, OsString};
use std::io::{BufReader, Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ffmpeg::ffi;
use ffmpeg::format::context::Input;
use ffmpeg_next as ffmpeg;

use super::MediaError;
use super::av::{Options, check_file, open_input, open_listed};
use super::moving;

/// FFmpeg's demuxer of many pictures.
const MANY: &CStr = c"image2";
/// Endings of pictures.
const ENDINGS: [&str; 7] = ["png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff"];
/// Endings of videos whose pictures are JPEGs, one after the other.
const MOTION_JPEG: [&str; 2] = ["mjpeg", "mjpg"];

/// What must lie on disk while pictures are open.
pub(super) type Links = Option<tempfile::TempDir>;

/// Opens a video; where `rate` is given, also a picture, or a folder of numbered ones that are shown so many a second.
pub(super) fn open(path: &Path, rate: Option<f64>) -> Result<(Input, Links), MediaError> {
    match rate {
        Some(rate) if path.is_dir() => open_folder(path, rate),
        Some(_) if demuxer(path).is_some() => Ok((open_one(path)?, None)),
        _ => Ok((open_input(path)?, None)),
    }
}

/// The same for who wants to know what is beside the pictures: of a folder its first one.
pub(super) fn open_beside(path: &Path, rate: Option<f64>) -> Result<Input, MediaError> {
    match rate {
        Some(_) if path.is_dir() => match numbered(path)?.first() {
            Some(first) => open_one(first),
            None => Err(MediaError::NoPictures { path: path.to_owned() }),
        },
        _ => Ok(open(path, rate)?.0),
    }
}

/// What the result of a picture is: the ending of its file and FFmpeg's encoder. `None` where a path is no picture.
pub fn still_result(path: &Path) -> Option<(&'static str, &'static str)> {
    demuxer(path)?;
    Some(if has_ending(path, &["jpg", "jpeg"]) { ("jpg", "mjpeg") } else { ("png", "png") })
}

/// What follows the first frame of a still picture: nothing that is shown.
///
/// # Errors
/// [`MediaError::ManyPictures`] where a further frame would be lost.
pub(super) fn check_second(path: &Path, has_second: bool) -> Result<(), MediaError> {
    // Cameras put previews and gain maps behind a JPEG; a series of them is no still picture in the first place.
    match has_second && demuxer(path) != Some(c"jpeg_pipe") {
        true => Err(MediaError::ManyPictures { path: path.to_owned() }),
        false => Ok(()),
    }
}

/// FFmpeg's demuxer of a picture, by how its file begins; `None` for what is none that can be drawn into, and for pictures that move, which are
/// videos. FFmpeg itself would look at the name first, and take some for patterns.
fn demuxer(path: &Path) -> Option<&'static CStr> {
    let mut begin = Vec::new();
    if !path.is_file() {
        return None;
    }
    let mut file = BufReader::new(std::fs::File::open(path).ok()?);
    file.by_ref().take(32).read_to_end(&mut begin).ok()?;
    let format = image::guess_format(&begin).ok()?;
    file.rewind().ok()?;
    let moves = match format {
        image::ImageFormat::Png => moving::png(file),
        image::ImageFormat::Jpeg => has_ending(path, &MOTION_JPEG) || moving::jpeg(file),
        image::ImageFormat::WebP => moving::webp(&begin),
        _ => false,
    };
    if moves {
        return None;
    }
    Some(match format {
        image::ImageFormat::Png => c"png_pipe",
        image::ImageFormat::Jpeg => c"jpeg_pipe",
        image::ImageFormat::WebP => c"webp_pipe",
        image::ImageFormat::Bmp => c"bmp_pipe",
        image::ImageFormat::Tiff => c"tiff_pipe",
        _ => return None,
    })
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|ending| endings.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

fn open_one(path: &Path) -> Result<Input, MediaError> {
    check_file(path)?;
    let Some(name) = demuxer(path) else { return Err(MediaError::NoVideo { path: path.to_owned() }) };
    // SAFETY: only a name is given; what comes back lives for ever.
    let format = unsafe { ffi::av_find_input_format(name.as_ptr()) };
    open_listed(path, path, name, format, Options::new())
}

/// FFmpeg takes names by a pattern, and stops where a number is missing; so it is shown links whose names leave nothing to guess.
fn open_folder(path: &Path, rate: f64) -> Result<(Input, Links), MediaError> {
    let pictures = numbered(path)?;
    let Some(first) = pictures.first() else { return Err(MediaError::NoPictures { path: path.to_owned() }) };
    let unlinked = |source| MediaError::Open { path: path.to_owned(), source };
    let links = tempfile::tempdir().map_err(unlinked)?;
    let ending = first.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    for (number, picture) in pictures.iter().enumerate() {
        let whole = std::path::absolute(picture).map_err(unlinked)?;
        std::os::unix::fs::symlink(whole, links.path().join(format!("{number:08}.{ending}"))).map_err(unlinked)?;
    }
    let mut options = Options::new();
    if let Ok(rate) = CString::new(rate.to_string()) {
        options.set(c"framerate", &rate);
    }
    options.set(c"pattern_type", c"sequence");
    // SAFETY: only a name is given; what comes back lives for ever.
    let format = unsafe { ffi::av_find_input_format(MANY.as_ptr()) };
    let pattern = links.path().join(format!("%08d.{ending}"));
    let input = open_listed(path, &pattern, MANY, format, options)?;
    Ok((input, Some(links)))
}

/// The pictures of a folder in the order of their numbers: those that share their name but for the number, the most of such if there are
/// several.
fn numbered(folder: &Path) -> Result<Vec<PathBuf>, MediaError> {
    let unread = |source| MediaError::Open { path: folder.to_owned(), source };
    let mut groups: std::collections::BTreeMap<(OsString, String), Vec<(u64, PathBuf)>> = Default::default();
    for entry in std::fs::read_dir(folder).map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let stem = path.file_stem().unwrap_or_default().as_bytes();
        let digits = stem.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let (name, number) = stem.split_at(stem.len() - digits);
        let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
        let is_ours = ENDINGS.contains(&&*ending) && !stem.starts_with(b".");
        if let (Some(number), true) = (number, is_ours && path.is_file()) {
            let name = std::ffi::OsStr::from_bytes(name).to_owned();
            groups.entry((name, ending)).or_default().push((number, path));
        }
    }
    let mut largest = groups.into_values().max_by_key(Vec::len).unwrap_or_default();
    largest.sort();
    Ok(largest.into_iter().map(|(_, path)| path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_come_in_the_order_of_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a 9.png", "a 10.png", "a 100.png", "cover.png", "b1.png", "a 11.txt", ".a 2.png"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let names: Vec<_> =
            numbered(folder.path()).unwrap().iter().map(|p| p.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["a 9.png", "a 10.png", "a 100.png"]);
    }
}
