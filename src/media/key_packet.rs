//! Which packets a decoder can begin at: those after which nothing is shown that builds on what came before them.

use ffmpeg::codec::Id;
use ffmpeg_next as ffmpeg;

/// How the packets of a video are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// H.264, its units after their lengths of so many bytes.
    H264(usize),
    /// HEVC, likewise.
    Hevc(usize),
    /// VP9.
    Vp9,
    /// AV1.
    Av1,
    /// Each frame stands alone.
    Intra,
}

/// What a packet says of itself.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Opening {
    /// Whether a decoder can begin at it.
    pub is_begin: bool,
    /// Parameters of the video that are inside of it and hold from there on.
    pub parameters: Vec<u8>,
}

impl Syntax {
    /// Of a codec whose description (FFmpeg's "extra data") is this; `None` for what is not known here.
    pub fn of(codec: Id, description: &[u8]) -> Option<Self> {
        // Where the description is one of the container's kind, units have lengths (ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1).
        let length = |at: usize| Some(usize::from(description.get(at).filter(|_| description[0] == 1)? & 3) + 1);
        match codec {
            Id::H264 => length(4).map(Self::H264),
            Id::HEVC => length(21).map(Self::Hevc),
            Id::VP9 => Some(Self::Vp9),
            Id::AV1 => Some(Self::Av1),
            Id::PRORES => Some(Self::Intra),
            _ => None,
        }
    }

    /// Looks into a packet; `None` where it cannot be understood.
    pub fn open(self, packet: &[u8]) -> Option<Opening> {
        match self {
            Self::H264(length) => units(packet, length, |unit| match unit[0] & 0x1f {
                // Only after an IDR picture (5) nothing refers to what was before it.
                kind @ 1..=5 => Unit::Picture(kind == 5),
                7 | 8 | 13 | 15 => Unit::Parameters,
                _ => Unit::Other,
            }),
            Self::Hevc(length) => units(packet, length, |unit| match (unit[0] >> 1) & 0x3f {
                // Pictures of further layers are not decoded.
                0..=31 if unit[0] & 1 == 1 || unit.get(1).is_none_or(|byte| byte >> 3 > 0) => Unit::Other,
                // IDR, or CRA: what is shown before a CRA picture and comes after it is left out by who begins there.
                kind @ 0..=31 => Unit::Picture(matches!(kind, 19..=21)),
                32..=34 => Unit::Parameters,
                _ => Unit::Other,
            }),
            Self::Vp9 => vp9(packet),
            Self::Av1 => av1(packet),
            Self::Intra => Some(Opening { is_begin: true, parameters: Vec::new() }),
        }
    }
}

enum Unit {
    /// A picture or a part of it, and whether a decoder can begin there.
    Picture(bool),
    Parameters,
    Other,
}

/// Goes through the units of a packet, each after its length.
fn units(mut packet: &[u8], length: usize, kind: impl Fn(&[u8]) -> Unit) -> Option<Opening> {
    let (mut opening, mut has_picture) = (Opening::default(), false);
    while !packet.is_empty() {
        let (size, rest) = packet.split_at_checked(length)?;
        let size = size.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
        let (unit, rest) = rest.split_at_checked(size)?;
        packet = rest;
        if unit.is_empty() {
            continue;
        }
        match kind(unit) {
            Unit::Picture(is_begin) if !has_picture => (opening.is_begin, has_picture) = (is_begin, true),
            Unit::Parameters if has_picture => return None,
            Unit::Parameters => opening.parameters.extend(unit),
            Unit::Picture(_) | Unit::Other => {}
        }
    }
    has_picture.then_some(opening)
}

/// The first bits of a frame (VP9 Bitstream Specification, 6.2): a key frame that is shown resets all that was before.
fn vp9(packet: &[u8]) -> Option<Opening> {
    let first = *packet.first()?;
    if first >> 6 != 2 {
        return None;
    }
    // After the profile (of which 3 has a bit more): whether a frame is shown again, whether it builds on others, and whether it is shown.
    let bits = first << if first & 0x30 == 0x30 { 5 } else { 4 };
    Some(Opening { is_begin: bits >> 5 == 1, parameters: Vec::new() })
}

/// Goes through the units of a packet (AV1 Bitstream & Decoding Process Specification, 5.3 and 5.9).
fn av1(mut packet: &[u8]) -> Option<Opening> {
    let (mut opening, mut has_picture) = (Opening::default(), false);
    while let Some((&header, rest)) = packet.split_first() {
        let [has_extension, has_size] = [header & 4 != 0, header & 2 != 0];
        let mut rest = rest.get(usize::from(has_extension)..)?;
        let mut size = rest.len();
        if has_size {
            size = 0;
            for at in 0..8 {
                let (&byte, after) = rest.split_first()?;
                rest = after;
                size |= usize::from(byte & 0x7f) << (7 * at);
                if byte & 0x80 == 0 {
                    break;
                }
            }
        }
        let (unit, after) = rest.split_at_checked(size)?;
        packet = after;
        match (header >> 3) & 15 {
            1 => opening.parameters.extend(unit),
            // A frame, or its header: new, a key frame, and shown.
            3 | 6 if !has_picture => (opening.is_begin, has_picture) = (unit.first()? & 0xf0 == 0x10, true),
            _ => {}
        }
    }
    has_picture.then_some(opening)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_that_stand_alone_are_known() {
        let begin = |syntax: Syntax, packet: &[u8]| syntax.open(packet).map(|opening| opening.is_begin);
        let h264 = Syntax::H264(4);
        // Parameters before an IDR picture, and a picture that refers to others.
        let packet = [0, 0, 0, 2, 0x67, 9, 0, 0, 0, 1, 0x65];
        assert_eq!(h264.open(&packet), Some(Opening { is_begin: true, parameters: vec![0x67, 9] }));
        assert_eq!(begin(h264, &[0, 0, 0, 1, 0x41]), Some(false));
        // A unit that is longer than the packet, and none that is a picture.
        assert_eq!((begin(h264, &[0, 0, 0, 9, 0x65]), begin(h264, &[0, 0, 0, 1, 0x06])), (None, None));
        let hevc = Syntax::Hevc(2);
        for (kind, is_begin) in [(1u8, false), (16, false), (19, true), (20, true), (21, true)] {
            assert_eq!(begin(hevc, &[0, 2, kind << 1, 1]), Some(is_begin), "{kind}");
        }
        // Of profile 0 and 3: a key frame, one that is not shown, and one that builds on others.
        assert_eq!([0x82, 0x80, 0x86].map(|byte| begin(Syntax::Vp9, &[byte])), [true, false, false].map(Some));
        assert_eq!([0xb1, 0xb0, 0xb3].map(|byte| begin(Syntax::Vp9, &[byte])), [true, false, false].map(Some));
        assert_eq!(begin(Syntax::Vp9, &[0x10]), None);
        // A sequence header, then a key frame; a frame that builds on others; a key frame that is shown a second time.
        let key = Syntax::Av1.open(&[0x0a, 1, 7, 0x32, 1, 0x10]);
        assert_eq!(key, Some(Opening { is_begin: true, parameters: vec![7] }));
        assert_eq!([0x30, 0x80].map(|byte| begin(Syntax::Av1, &[0x32, 1, byte])), [Some(false); 2]);
        assert_eq!(begin(Syntax::Av1, &[0x32, 5, 0x10]), None);
        assert_eq!(Syntax::of(Id::H264, &[1, 100, 0, 40, 0xff]), Some(Syntax::H264(4)));
        assert_eq!(Syntax::of(Id::H264, &[0, 0, 0, 1, 0x67]), None);
        assert_eq!(Syntax::of(Id::MPEG4, &[]), None);
    }
}
