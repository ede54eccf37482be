//! Files of pictures that hold more than one: by their bytes, since FFmpeg's demuxers of pictures show the first, or all as one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::MediaError;

/// Whether a PNG is animated: its `acTL` chunk, which comes before the picture, speaks of several frames.
pub(super) fn png(mut file: impl Read + Seek) -> bool {
    let mut frames = || -> io::Result<u32> {
        file.seek(SeekFrom::Start(8))?;
        loop {
            let (mut length, mut kind) = ([0; 4], [0; 4]);
            file.read_exact(&mut length)?;
            file.read_exact(&mut kind)?;
            match &kind {
                b"IDAT" => return Ok(1),
                b"acTL" => {
                    file.read_exact(&mut length)?;
                    return Ok(u32::from_be_bytes(length));
                }
                // What it says, and its checksum.
                _ => file.seek_relative(i64::from(u32::from_be_bytes(length)) + 4)?,
            };
        }
    };
    frames().is_ok_and(|frames| frames > 1)
}

/// Whether another JPEG follows the first of a file, which does not say that it is a part of that (by CIPA DC-007, as previews and the gain
/// maps of telephones are).
pub(super) fn jpeg(mut file: impl BufRead) -> bool {
    follows(&mut file).unwrap_or(false)
}

fn follows(file: &mut impl BufRead) -> io::Result<bool> {
    let byte = |file: &mut dyn BufRead| -> io::Result<u8> {
        let mut byte = [0];
        file.read_exact(&mut byte).map(|()| byte[0])
    };
    let skip = |file: &mut dyn BufRead, bytes: u64| io::copy(&mut file.take(bytes), &mut io::sink());
    skip(file, 2)?;
    loop {
        // Between markers lies compressed data, in which 0xff is followed by 0.
        file.skip_until(0xff)?;
        let mut marker = byte(file)?;
        while marker == 0xff {
            marker = byte(file)?;
        }
        match marker {
            // Restart markers have no length, nor what stands for 0xff.
            0 | 1 | 0xd0..=0xd8 => {}
            0xd9 => break,
            _ => {
                let length = u64::from(u16::from_be_bytes([byte(file)?, byte(file)?])).saturating_sub(2);
                let mut begin = [0; 4];
                let known = length.min(4);
                file.read_exact(&mut begin[..known as usize])?;
                if marker == 0xe2 && begin == *b"MPF\0" {
                    return Ok(false);
                }
                skip(file, length - known)?;
            }
        }
    }
    // Padding, then the begin of the next.
    let mut next = byte(file)?;
    while next == 0 {
        next = byte(file)?;
    }
    while next == 0xff {
        next = byte(file)?;
    }
    Ok(next == 0xd8 && byte(file)? == 0xff)
}

/// Whether a WebP that begins like this is animated.
pub(super) fn webp(begin: &[u8]) -> bool {
    begin.get(8..16) == Some(b"WEBPVP8X") && begin.get(20).is_some_and(|flags| flags & 2 != 0)
}

/// Why a file that begins as a picture is no video that can be opened.
pub(super) fn refused(path: &Path) -> MediaError {
    let path = path.to_owned();
    let Ok(mut file) = File::open(&path).map(BufReader::new) else { return MediaError::StillPicture { path } };
    let begin = file.fill_buf().unwrap_or_default();
    if webp(begin) {
        return MediaError::AnimatedWebp { path };
    }
    match begin.starts_with(&[0xff, 0xd8]) && jpeg(file) {
        true => MediaError::ManyPictures { path },
        false => MediaError::StillPicture { path },
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_series_of_jpegs_is_told_from_one_with_a_thumbnail_and_from_one_with_parts() {
        let scan = [&[0xff, 0xda, 0, 4, 1, 2][..], &[7, 0xff, 0, 0xff, 0xd0, 9], &[0xff, 0xd9]].concat();
        let plain = [&[0xff, 0xd8][..], &scan].concat();
        let thumbnail = [&[0xff, 0xe1, 0, plain.len() as u8 + 2][..], &plain].concat();
        let exif = [&[0xff, 0xd8][..], &thumbnail, &scan].concat();
        let parts = [&[0xff, 0xd8, 0xff, 0xe2, 0, 8][..], b"MPF\0ab", &scan].concat();
        let cut = &plain[..plain.len() - 2];
        for (bytes, expected) in [
            (plain.clone(), false),
            (exif.clone(), false),
            (cut.to_vec(), false),
            ([&plain[..], b"\0\0\0\x18ftypmp42"].concat(), false),
            ([&parts[..], &plain].concat(), false),
            ([&plain[..], &plain].concat(), true),
            ([&exif[..], &[0, 0], &exif].concat(), true),
        ] {
            assert_eq!(jpeg(Cursor::new(&bytes)), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn animated_pngs_and_webps_say_so() {
        let png_of = |chunks: &[(&[u8], &[u8])]| {
            let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
            for (kind, data) in chunks {
                bytes.extend([&(data.len() as u32).to_be_bytes(), *kind, data, &[0; 4]].concat());
            }
            png(Cursor::new(bytes))
        };
        let header: (&[u8], &[u8]) = (b"IHDR", &[0; 13]);
        assert!(png_of(&[header, (b"acTL", &[0, 0, 0, 5, 0, 0, 0, 0]), (b"IDAT", &[1])]));
        assert!(!png_of(&[header, (b"acTL", &[0, 0, 0, 1, 0, 0, 0, 0]), (b"IDAT", &[1])]));
        assert!(!png_of(&[header, (b"IDAT", &[1]), (b"acTL", &[0, 0, 0, 5, 0, 0, 0, 0])]));
        assert!(webp(b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0"));
        assert!(!webp(b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0") && !webp(b"RIFF\0\0\0\0WEBPVP8 "));
    }
}
