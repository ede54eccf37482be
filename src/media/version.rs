//! What FFmpeg 8 does otherwise than FFmpeg 5 to 7: fields and functions that are gone there, and what took their places.

use std::ptr;

use ffmpeg::ffi;
use ffmpeg_next as ffmpeg;

/// Filters and flags of swscale, which are macros in one version and an enumeration in the other (`libswscale/swscale.h`).
pub(super) mod scale {
    pub const BICUBIC: i32 = 4;
    pub const FULL_CHROMA_INTERPOLATED: i32 = 0x2000;
    pub const FULL_CHROMA_INPUT: i32 = 0x4000;
    pub const ACCURATE_ROUNDING: i32 = 0x40000;
}

/// Prepares a decoder whose frames are asked for their place in the file.
///
/// # Safety
/// `context` must be alive, and not open yet.
pub(super) unsafe fn keep_positions(context: *mut ffi::AVCodecContext) {
    #[cfg(ffmpeg_8)]
    // SAFETY: the caller's promise.
    unsafe {
        (*context).flags |= ffi::AV_CODEC_FLAG_COPY_OPAQUE as i32;
    }
    #[cfg(not(ffmpeg_8))]
    let _ = context;
}

/// Prepares a packet for such a decoder.
///
/// # Safety
/// `packet` must be alive.
pub(super) unsafe fn note_position(packet: *mut ffi::AVPacket) {
    #[cfg(ffmpeg_8)]
    // SAFETY: the caller's promise; the pointer is a number, and nobody follows it.
    unsafe {
        (*packet).opaque = ptr::without_provenance_mut((*packet).pos as usize);
    }
    #[cfg(not(ffmpeg_8))]
    let _ = packet;
}

/// Where in the file the packet of a frame begins, bytes; negative where that is not known.
///
/// # Safety
/// `frame` must be alive.
pub(super) unsafe fn position(frame: *const ffi::AVFrame) -> i64 {
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(ffmpeg_8)]
        return (*frame).opaque.addr() as i64;
        #[cfg(not(ffmpeg_8))]
        (*frame).pkt_pos
    }
}

/// Whether a frame is made of two fields, and whether the top one comes first.
///
/// # Safety
/// `frame` must be alive.
pub(super) unsafe fn fields(frame: *const ffi::AVFrame) -> (bool, bool) {
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(ffmpeg_8)]
        return {
            let has = |flag: u32| (*frame).flags & flag as i32 != 0;
            (has(ffi::AV_FRAME_FLAG_INTERLACED as u32), has(ffi::AV_FRAME_FLAG_TOP_FIELD_FIRST as u32))
        };
        #[cfg(not(ffmpeg_8))]
        ((*frame).interlaced_frame != 0, (*frame).top_field_first != 0)
    }
}

/// Says that the other field comes first.
///
/// # Safety
/// `frame` must be alive.
pub(super) unsafe fn exchange_fields(frame: *mut ffi::AVFrame) {
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(ffmpeg_8)]
        {
            (*frame).flags ^= ffi::AV_FRAME_FLAG_TOP_FIELD_FIRST as i32;
        }
        #[cfg(not(ffmpeg_8))]
        {
            (*frame).top_field_first = i32::from((*frame).top_field_first == 0);
        }
    }
}

/// Gives a stream of an output side data.
///
/// # Safety
/// `stream` must be one of a live output whose header was not written.
pub(super) unsafe fn add_side_data(stream: *mut ffi::AVStream, kind: ffi::AVPacketSideDataType, bytes: &[u8]) {
    // SAFETY: the caller's promise; what is allocated belongs to the stream.
    unsafe {
        #[cfg(ffmpeg_8)]
        let to = {
            let parameters = (*stream).codecpar;
            let (all, count) = (&mut (*parameters).coded_side_data, &mut (*parameters).nb_coded_side_data);
            ffi::av_packet_side_data_new(all, count, kind, bytes.len(), 0)
                .as_ref()
                .map_or(ptr::null_mut(), |data| data.data)
        };
        #[cfg(not(ffmpeg_8))]
        let to = ffi::av_stream_new_side_data(stream, kind, bytes.len() as _);
        if !to.is_null() {
            ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
    }
}

/// What an encoder takes of something, a list that ends as FFmpeg ends it; null: anything.
macro_rules! supported {
    ($name:ident, $type:ty, $field:ident, $config:ident, $about:literal) => {
        #[doc = $about]
        ///
        /// # Safety
        /// `codec` must be a codec.
        pub(super) unsafe fn $name(codec: *const ffi::AVCodec) -> *const $type {
            #[cfg(ffmpeg_8)]
            {
                let mut list = ptr::null();
                let all = ffi::AVCodecConfig::$config;
                // SAFETY: the caller's promise; the list belongs to the codec.
                let code = unsafe {
                    ffi::avcodec_get_supported_config(ptr::null(), codec, all, 0, &mut list, ptr::null_mut())
                };
                if code < 0 { ptr::null() } else { list.cast() }
            }
            // SAFETY: the caller's promise.
            #[cfg(not(ffmpeg_8))]
            unsafe {
                (*codec).$field
            }
        }
    };
}

supported!(
    pixel_formats,
    ffi::AVPixelFormat,
    pix_fmts,
    AV_CODEC_CONFIG_PIX_FORMAT,
    "Pixel formats that an encoder takes."
);
supported!(
    frame_rates,
    ffi::AVRational,
    supported_framerates,
    AV_CODEC_CONFIG_FRAME_RATE,
    "Frame rates that it can name."
);
supported!(sample_rates, i32, supported_samplerates, AV_CODEC_CONFIG_SAMPLE_RATE, "Samples a second that it takes.");
supported!(
    sample_formats,
    ffi::AVSampleFormat,
    sample_fmts,
    AV_CODEC_CONFIG_SAMPLE_FORMAT,
    "Formats of samples that it takes."
);
