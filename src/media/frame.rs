//! One decoded picture, planar YUV in its own bit depth, exactly as the decoder gave it.

use ffmpeg_next as ffmpeg;

/// How the samples of a planar YUV picture lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Bits per sample: 8 (one byte) or 9..=16 (two bytes, native endian, low bits used).
    pub depth: u8,
    /// log2 of the horizontal chroma subsampling: 1 for 4:2:0 and 4:2:2, 0 for 4:4:4.
    pub chroma_shift_x: u8,
    /// log2 of the vertical chroma subsampling: 1 for 4:2:0.
    pub chroma_shift_y: u8,
}

impl Layout {
    /// 1 or 2.
    pub fn bytes_per_sample(self) -> usize {
        if self.depth > 8 { 2 } else { 1 }
    }

    /// Samples in a row and rows of plane 0 (Y), 1 (U) or 2 (V) of a picture of `size` pixels.
    pub(super) fn plane_size(self, size: [u32; 2], plane: usize) -> [usize; 2] {
        let [w, h] = size.map(|side| side as usize);
        match plane {
            0 => [w, h],
            _ => [w.div_ceil(1 << self.chroma_shift_x), h.div_ceil(1 << self.chroma_shift_y)],
        }
    }
}

/// Read access to one plane.
#[derive(Clone, Copy)]
pub struct Plane<'a> {
    /// `height` rows of `stride` bytes (the last may be shorter, but holds `width` samples).
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Samples in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// Write access to one plane; fields as in [`Plane`].
pub struct PlaneMut<'a> {
    /// See [`Plane::data`].
    pub data: &'a mut [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Samples in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// One decoded picture: three planes (Y, U, V).
pub struct Frame {
    /// Position in the decoder's output, from 0.
    pub index: u64,
    /// Seconds since the first frame of the video.
    pub time: f64,
    /// Whether frames that it builds on are missing, so that nothing in it can be relied on.
    pub is_corrupt: bool,
    /// The samples; its `pts` is the repaired time stamp in the stream's time base.
    pub(super) picture: ffmpeg::frame::Video,
    /// How long the frame is shown, in the stream's time base.
    pub(super) duration: i64,
    layout: Layout,
}

impl Frame {
    /// Takes over a decoded picture whose format is planar YUV of the given layout.
    pub(super) fn new(picture: ffmpeg::frame::Video, layout: Layout, index: u64, time: f64, duration: i64) -> Self {
        Self { index, time, is_corrupt: false, picture, duration, layout }
    }

    /// A picture from raw samples: the rows of Y, then U, then V, packed without padding. `None` when `data` is not
    /// exactly as long as that, or no pixel format has this layout.
    pub fn from_planes(size: [u32; 2], layout: Layout, data: &[u8], index: u64, time: f64) -> Option<Self> {
        use ffmpeg::format::Pixel;
        let format = match (layout.depth, layout.chroma_shift_x, layout.chroma_shift_y) {
            (8, 1, 1) => Pixel::YUV420P,
            (8, 1, 0) => Pixel::YUV422P,
            (8, 0, 0) => Pixel::YUV444P,
            (8, 2, 0) => Pixel::YUV411P,
            (8, 0, 1) => Pixel::YUV440P,
            (10, 1, 1) => Pixel::YUV420P10,
            (10, 1, 0) => Pixel::YUV422P10,
            (10, 0, 0) => Pixel::YUV444P10,
            (12, 1, 1) => Pixel::YUV420P12,
            (12, 1, 0) => Pixel::YUV422P12,
            (12, 0, 0) => Pixel::YUV444P12,
            (16, 1, 1) => Pixel::YUV420P16,
            (16, 0, 0) => Pixel::YUV444P16,
            _ => return None,
        };
        let mut frame = Self::new(ffmpeg::frame::Video::new(format, size[0], size[1]), layout, index, time, 0);
        let mut rest = data;
        for plane in 0..3 {
            let target = frame.plane_mut(plane);
            let bytes = target.width * layout.bytes_per_sample();
            for row in 0..target.height {
                target.data[row * target.stride..][..bytes].copy_from_slice(rest.get(..bytes)?);
                rest = &rest[bytes..];
            }
        }
        rest.is_empty().then_some(frame)
    }

    /// How samples are stored.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Width and height of the luma plane.
    pub fn size(&self) -> [u32; 2] {
        [self.picture.width(), self.picture.height()]
    }

    fn plane_bytes(&self, stride: usize, width: usize, height: usize) -> usize {
        stride * height.saturating_sub(1) + width * self.layout.bytes_per_sample()
    }

    /// Plane 0 (Y), 1 (U) or 2 (V).
    pub fn plane(&self, plane: usize) -> Plane<'_> {
        let [width, height] = self.layout.plane_size(self.size(), plane);
        let stride = self.picture.stride(plane);
        let length = self.plane_bytes(stride, width, height);
        // SAFETY: a plane has `height` rows `stride` apart, the last of at least `width` samples; the slice ends there,
        // since cropping may have moved its start. The frame is borrowed as long as the slice.
        let data = unsafe { std::slice::from_raw_parts((*self.picture.as_ptr()).data[plane], length) };
        Plane { data, stride, width, height }
    }

    /// Copies the samples first if the decoder still refers to them.
    pub fn make_writable(&mut self) {
        // SAFETY: the pointer is a valid frame with reference-counted buffers; on failure (out of memory) the frame is
        // left as it was, which `plane_mut` would then share: abort as any failed allocation does.
        let code = unsafe { ffmpeg::ffi::av_frame_make_writable(self.picture.as_mut_ptr()) };
        assert!(code >= 0, "out of memory for a frame");
    }

    /// Plane 0 (Y), 1 (U) or 2 (V), for drawing. Call [`Frame::make_writable`] once before.
    pub fn plane_mut(&mut self, plane: usize) -> PlaneMut<'_> {
        let [width, height] = self.layout.plane_size(self.size(), plane);
        let stride = self.picture.stride(plane);
        let length = self.plane_bytes(stride, width, height);
        // SAFETY: as in `plane`; the frame is borrowed mutably.
        let data = unsafe { std::slice::from_raw_parts_mut((*self.picture.as_mut_ptr()).data[plane], length) };
        PlaneMut { data, stride, width, height }
    }
}
