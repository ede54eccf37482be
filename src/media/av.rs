//! The few FFmpeg calls that need care: opening a file that is not trusted, colour tags, side data, dictionaries.

use std::ffi::{CStr, CString};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::Once;

use ffmpeg::ffi;
use ffmpeg::format::context::Input;
use ffmpeg_next as ffmpeg;

use super::{MediaError, moving};

/// Largest side of a picture, in pixels; the largest area is its square.
pub(super) const MAX_SIDE: i64 = 16384;

/// Containers that hold their own data. Everything that can name other files or addresses (playlists, image
/// sequences, session descriptions, scripts) is left out; sound-only files are in so that the error says what is wrong.
const FORMATS: &CStr =
    c"mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpegtsraw,mpeg,mpegvideo,m4v,h264,hevc,vc1,vc1test,obu,ivf,av1,\
flv,live_flv,kux,asf,ogg,mxf,gxf,nut,dv,rm,wtv,mjpeg,mjpeg_2000,yuv4mpegpipe,gif,apng,cavsvideo,dirac,dnxhd,h261,h263,\
nsv,nuv,swf,ty,lxf,bink,roq,smk,film_cpk,amv,4xm,avs,\
mp3,wav,flac,aac,aiff,caf,w64,ac3,eac3,amr,ape,tta,wv,dts,au,mp2";

/// Prepares FFmpeg; may be called any number of times.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Registration of error texts is all that can happen here; it cannot fail.
        let _ = ffmpeg::init();
        ffmpeg::log::set_level(ffmpeg::log::Level::Quiet);
    });
}

/// A status code of FFmpeg as a result.
pub(super) fn check(code: i32) -> Result<i32, ffmpeg::Error> {
    if code < 0 { Err(ffmpeg::Error::from(code)) } else { Ok(code) }
}

/// `file:PATH` for FFmpeg, so that no name is taken for an address.
pub(super) fn file_url(path: &Path) -> Option<CString> {
    CString::new([b"file:", path.as_os_str().as_bytes()].concat()).ok()
}

/// Key and value pairs that are freed when dropped.
pub(super) struct Options(pub *mut ffi::AVDictionary);

impl Options {
    pub fn new() -> Self {
        Self(ptr::null_mut())
    }

    pub fn set(&mut self, key: &CStr, value: &CStr) {
        // SAFETY: both strings are copied; the pointer is null or a dictionary this value owns.
        unsafe { ffi::av_dict_set(&mut self.0, key.as_ptr(), value.as_ptr(), 0) };
    }

    pub fn get(&self, key: &CStr) -> Option<String> {
        // SAFETY: a dictionary this value owns.
        unsafe { tag(self.0, key) }
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: null or a dictionary this value owns.
        unsafe { ffi::av_dict_free(&mut self.0) };
    }
}

/// What a dictionary has under a key. Files may hold any bytes; what is no text becomes replacement characters.
///
/// # Safety
/// `dictionary` must be null or alive.
pub(super) unsafe fn tag(dictionary: *const ffi::AVDictionary, key: &CStr) -> Option<String> {
    // SAFETY: the caller's promise; the text is copied while the dictionary is not changed.
    unsafe {
        let entry = ffi::av_dict_get(dictionary, key.as_ptr(), ptr::null(), 0).as_ref()?;
        Some(CStr::from_ptr(entry.value).to_string_lossy().into_owned())
    }
}

/// Opens a local file for demuxing, with limits on what it may be.
pub(super) fn open_input(path: &Path) -> Result<Input, MediaError> {
    check_file(path)?;
    open_listed(path, path, FORMATS, ptr::null(), Options::new())
}

/// Whether there is a file with anything in it.
pub(super) fn check_file(path: &Path) -> Result<(), MediaError> {
    let owned = || path.to_owned();
    let meta = std::fs::metadata(path).map_err(|source| MediaError::Open { path: owned(), source })?;
    if !meta.is_file() {
        return Err(MediaError::NotAFile { path: owned() });
    }
    if meta.len() == 0 {
        return Err(MediaError::Empty { path: owned() });
    }
    std::fs::File::open(path).map(drop).map_err(|source| MediaError::Open { path: owned(), source })
}

/// Opens what is at `name` for demuxing as one of the listed formats, or as `format`, with further options; messages speak of `path`.
pub(super) fn open_listed(
    path: &Path,
    name: &Path,
    formats: &CStr,
    format: *const ffi::AVInputFormat,
    mut options: Options,
) -> Result<Input, MediaError> {
    init();
    let owned = || path.to_owned();
    let url = file_url(name).ok_or_else(|| MediaError::NotAFile { path: owned() })?;
    options.set(c"protocol_whitelist", c"file");
    options.set(c"format_whitelist", formats);
    options.set(c"probesize", c"50000000");
    options.set(c"analyzeduration", c"20000000");
    // Transport streams may have streams that begin later: in the second of two recordings, say.
    options.set(c"scan_all_pmts", c"1");
    let mut context = ptr::null_mut();
    // SAFETY: `context` is null, so FFmpeg allocates it and frees it on failure; strings outlive the call.
    let code = unsafe { ffi::avformat_open_input(&mut context, url.as_ptr(), format, &mut options.0) };
    match check(code) {
        Ok(_) => {}
        // The answer to a format that is not in the list.
        Err(_) if is_picture(path) => return Err(moving::refused(path)),
        Err(ffmpeg::Error::Other { errno: ffmpeg::error::EINVAL }) => {
            return Err(MediaError::Refused { path: owned() });
        }
        Err(source) => {
            // Where the file cannot be read, demuxers may say that its contents are wrong.
            read_ends(path).map_err(|source| MediaError::Read { path: owned(), source })?;
            return Err(MediaError::NotMedia { path: owned(), source });
        }
    }
    // SAFETY: opened above; `Input` closes it.
    let mut input = unsafe { Input::wrap(context) };
    let count = input.nb_streams() as usize;
    let mut per_stream: Vec<Options> = (0..count).map(|_| Options::new()).collect();
    let mut pointers: Vec<*mut ffi::AVDictionary> = per_stream
        .iter_mut()
        .map(|o| {
            o.set(c"max_pixels", c"268435456");
            std::mem::replace(&mut o.0, ptr::null_mut())
        })
        .collect();
    let table = if count == 0 { ptr::null_mut() } else { pointers.as_mut_ptr() };
    // SAFETY: the table has one dictionary per stream that exists now, which is what FFmpeg reads.
    let code = unsafe { ffi::avformat_find_stream_info(input.as_mut_ptr(), table) };
    for (owner, pointer) in per_stream.iter_mut().zip(pointers) {
        owner.0 = pointer;
    }
    check_reads(path, &input)?;
    check(code).map_err(|source| MediaError::NotMedia { path: owned(), source })?;
    Ok(input)
}

/// Whether a file begins as pictures of the usual kinds do, those of telephones (HEIF) included.
fn is_picture(path: &Path) -> bool {
    let mut begin = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(32).read_to_end(&mut begin));
    let is_heif = begin.get(4..8) == Some(b"ftyp") && begin.get(8..12).is_some_and(is_brand_of_pictures);
    read.is_ok() && (is_heif || image::guess_format(&begin).is_ok())
}

/// Whether the brand of a file of the MP4 family is one of pictures: HEIF and AVIF.
pub(super) fn is_brand_of_pictures(brand: &[u8]) -> bool {
    const BRANDS: [&[u8]; 8] = [b"avif", b"avis", b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1"];
    BRANDS.contains(&brand)
}

/// Whether all that was read of a file so far could be read. Demuxers take what cannot be read for the end of the file.
///
/// # Errors
/// [`MediaError::Read`] when not.
pub(super) fn check_reads(path: &Path, input: &Input) -> Result<(), MediaError> {
    // SAFETY: reads a number of a live context, if the demuxer reads through one.
    let code = unsafe { (*input.as_ptr()).pb.as_ref() }.map_or(0, |bytes| bytes.error);
    match ffmpeg::Error::from(code) {
        ffmpeg::Error::Other { errno } if code < 0 => {
            Err(MediaError::Read { path: path.to_owned(), source: std::io::Error::from_raw_os_error(errno) })
        }
        _ => Ok(()),
    }
}

/// Reads the first byte of a file and the last.
fn read_ends(path: &Path) -> std::io::Result<()> {
    let mut file = std::fs::File::open(path)?;
    file.read_exact(&mut [0])?;
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut [0])
}

/// Colour description as FFmpeg's numbers. Kept as integers since files may hold values that no enum has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ColorTags {
    pub space: i32,
    pub range: i32,
    pub primaries: i32,
    pub transfer: i32,
    pub location: i32,
}

/// Reads or writes an enum field through an integer pointer.
macro_rules! as_int {
    ($pointer:expr, $field:ident) => {
        (*(&raw mut (*$pointer).$field).cast::<i32>())
    };
}

impl ColorTags {
    pub const UNSPECIFIED: i32 = 2;
    pub const SPACE_RGB: i32 = 0;
    pub const SPACE_BT709: i32 = 1;
    pub const LIMITED: i32 = 1;
    pub const FULL: i32 = 2;

    /// Tags of a frame; what it leaves open is taken from the stream's parameters.
    pub fn read(frame: &ffmpeg::frame::Video, parameters: *mut ffi::AVCodecParameters) -> Self {
        // SAFETY: both point to live structures; the fields are `int`-sized enums, read as integers.
        unsafe {
            let f = frame.as_ptr().cast_mut();
            let p = parameters;
            let or = |a: i32, b: i32, open: i32| if a == open { b } else { a };
            Self {
                space: or(as_int!(f, colorspace), as_int!(p, color_space), Self::UNSPECIFIED),
                range: or(as_int!(f, color_range), as_int!(p, color_range), 0),
                primaries: or(as_int!(f, color_primaries), as_int!(p, color_primaries), Self::UNSPECIFIED),
                transfer: or(as_int!(f, color_trc), as_int!(p, color_trc), Self::UNSPECIFIED),
                location: or(as_int!(f, chroma_location), as_int!(p, chroma_location), 0),
            }
        }
    }

    /// Whether the transfer function is one of high dynamic range: PQ (SMPTE ST 2084) or hybrid log-gamma (ARIB STD-B67).
    pub fn is_hdr(self) -> bool {
        matches!(self.transfer, 16 | 18)
    }

    /// Sets the tags of a picture.
    pub fn write_frame(self, frame: &mut ffmpeg::frame::Video) {
        // SAFETY: as in `read`; FFmpeg takes any integer here.
        unsafe {
            let f = frame.as_mut_ptr();
            as_int!(f, colorspace) = self.space;
            as_int!(f, color_range) = self.range;
            as_int!(f, color_primaries) = self.primaries;
            as_int!(f, color_trc) = self.transfer;
            as_int!(f, chroma_location) = self.location;
        }
    }

    /// Sets the tags of an encoder.
    pub fn write_context(self, context: &mut ffi::AVCodecContext) {
        let c: *mut ffi::AVCodecContext = context;
        // SAFETY: as in `read`.
        unsafe {
            as_int!(c, colorspace) = self.space;
            as_int!(c, color_range) = self.range;
            as_int!(c, color_primaries) = self.primaries;
            as_int!(c, color_trc) = self.transfer;
            as_int!(c, chroma_sample_location) = self.location;
        }
    }
}

/// Side data of a stream by kind.
pub(super) fn stream_side_data(stream: &ffmpeg::Stream<'_>, kind: ffi::AVPacketSideDataType) -> Option<Vec<u8>> {
    stream
        .side_data()
        // SAFETY: the entry lives as long as the stream it was taken from.
        .find(|d| unsafe { (*d.as_ptr()).type_ == kind })
        .map(|d| d.data().to_vec())
}

/// Shows `see` every key of a dictionary with its value.
///
/// # Safety
/// `dictionary` must be null or alive, and is not to be changed meanwhile.
pub(super) unsafe fn each_entry(dictionary: *const ffi::AVDictionary, mut see: impl FnMut(&CStr, &CStr)) {
    let mut entry: *mut ffi::AVDictionaryEntry = ptr::null_mut();
    loop {
        // SAFETY: the caller's promise; `entry` is null or the last entry given.
        unsafe {
            entry = ffi::av_dict_get(dictionary, c"".as_ptr(), entry, ffi::AV_DICT_IGNORE_SUFFIX);
            if entry.is_null() {
                return;
            }
            see(CStr::from_ptr((*entry).key), CStr::from_ptr((*entry).value));
        }
    }
}

/// Copies all metadata but the keys that `skip` names (lower case).
///
/// # Safety
/// `to` must point to a dictionary pointer that FFmpeg allocated or null; `from` to another dictionary or null.
pub(super) unsafe fn copy_metadata(
    to: *mut *mut ffi::AVDictionary,
    from: *const ffi::AVDictionary,
    skip: impl Fn(&str) -> bool,
) {
    // SAFETY: the caller's promise; strings are copied by `av_dict_set`.
    unsafe {
        each_entry(from, |key, value| {
            if !skip(&key.to_string_lossy().to_lowercase()) {
                ffi::av_dict_set(to, key.as_ptr(), value.as_ptr(), 0);
            }
        });
    }
}

/// FFmpeg's version as it names itself.
pub fn version() -> String {
    // SAFETY: a static string.
    unsafe { CStr::from_ptr(ffi::av_version_info()) }.to_string_lossy().into_owned()
}
