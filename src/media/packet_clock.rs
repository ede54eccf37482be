//! When packets of copied and converted streams are shown: stamps that muxers take, and that move where the source's clock jumps.

use ffmpeg::ffi;
use ffmpeg_next as ffmpeg;

use super::stamps::{ClockJump, LONGEST_PAUSE};

/// Seconds by which a stream goes back where the clock of the file jumped; less is a slip of single packets.
const JUMP: f64 = 0.1;
/// Seconds by which the first packets of other streams after a jump of the clock may be away from the first frame after it.
const NEAR: f64 = 5.0;

/// The time stamps of one stream: as the source has them, and as they are written.
#[derive(Default)]
pub(super) struct PacketClock {
    /// How many jumps of the clock it is past.
    jumped: usize,
    /// When the packet before is decoded, in seconds of the source's clock.
    read: Option<f64>,
    /// The same as it was written, in the output's time base, and how long that packet lasts.
    written: Option<(i64, i64)>,
    /// When what was written begins and ends, in seconds of the output's clock.
    pub span: Option<[f64; 2]>,
    /// When the sound that was read so far ends, in seconds of the output's clock.
    heard: Option<f64>,
    /// Whether sound goes on after a jump of the clock, and may overlap with what was before it.
    joins: bool,
    /// Packets that had to be moved because their stamps were missing, repeated or went back.
    pub moved: u64,
    /// Packets of sound that have no place: at the beginning without a time, or over others where recordings are joined.
    pub out_of_place: u64,
}

impl PacketClock {
    /// Microseconds to add to a packet's stamps, since the clock of the file jumped before it.
    ///
    /// # Safety
    /// `packet` must be a live packet.
    pub unsafe fn shift(
        &mut self,
        packet: *const ffi::AVPacket,
        time_base: ffi::AVRational,
        is_sparse: bool,
        is_copied: bool,
        jumps: &[ClockJump],
    ) -> i64 {
        // SAFETY: the caller's promise.
        let (pts, dts) = unsafe { ((*packet).pts, (*packet).dts) };
        let at = if dts == ffi::AV_NOPTS_VALUE { pts } else { dts };
        if at != ffi::AV_NOPTS_VALUE {
            let at = in_seconds(at, time_base);
            let by = self.read.map(|before| at - before);
            let before = self.jumped;
            // SAFETY: the caller's promise.
            let position = unsafe { (*packet).pos };
            while jumps.get(self.jumped).is_some_and(|jump| is_past(jump, position, at, by)) {
                self.jumped += 1;
            }
            if self.jumped > before {
                self.joins = true;
            } else if by.is_some_and(|by| by < -JUMP) && is_copied && !is_sparse {
                // The picture goes on: what is heard a second time has no place.
                self.joins = true;
            }
            self.read = Some(at);
        }
        let shift = self.jumped.checked_sub(1).map_or(0.0, |last| jumps[last].shift);
        (shift * 1e6).round() as i64
    }

    /// Takes the stamps away of a packet of sound that is to be decoded, its stamps in the output's clock, where they go back or are
    /// repeated: what is decoded then follows what was before, and nothing of it is cut off.
    ///
    /// # Safety
    /// `packet` must be a live packet.
    pub unsafe fn let_decoder_count(&mut self, packet: *mut ffi::AVPacket, time_base: ffi::AVRational) {
        // SAFETY: the caller's promise.
        let p = unsafe { &mut *packet };
        let known = [p.pts, p.dts].into_iter().find(|&stamp| stamp != ffi::AV_NOPTS_VALUE);
        let (Some(begin), Some(end)) = (known.map(|stamp| in_seconds(stamp, time_base)), self.heard) else { return };
        let long = in_seconds(p.duration, time_base);
        if !self.joins && end - begin > (long / 2.0).max(2.0 * in_seconds(1, time_base)) {
            (p.pts, p.dts) = (ffi::AV_NOPTS_VALUE, ffi::AV_NOPTS_VALUE);
            self.moved += 1;
        }
    }

    /// Whether a packet of sound, its stamps in the output's clock, is better left out: those around it would be heard late
    /// by as much as it lasts. `begins_undated`: packets without stamps at the beginning are from before the clock's zero.
    ///
    /// # Safety
    /// `packet` must be a live packet.
    pub unsafe fn is_out_of_place(
        &mut self,
        packet: *const ffi::AVPacket,
        time_base: ffi::AVRational,
        begins_undated: bool,
    ) -> bool {
        // SAFETY: the caller's promise.
        let (pts, dts, duration) = unsafe { ((*packet).pts, (*packet).dts, in_seconds((*packet).duration, time_base)) };
        let known = [pts, dts].into_iter().find(|&stamp| stamp != ffi::AV_NOPTS_VALUE);
        let begin = known.map(|stamp| in_seconds(stamp, time_base)).or(self.heard);
        let is_out = match (begin, self.heard) {
            (Some(begin), Some(end)) => self.joins && end - begin > duration / 2.0,
            (None, _) => begins_undated,
            _ => false,
        };
        if is_out {
            self.out_of_place += 1;
        } else {
            (self.joins, self.heard) = (false, Some(begin.unwrap_or(0.0) + duration));
        }
        is_out
    }

    /// Gives a packet stamps that muxers take: none is missing, and each is later than the one before (or, where the container
    /// allows it, as late). The same as FFmpeg's own program does.
    ///
    /// # Safety
    /// `packet` must be a live packet, its stamps in the time base of the output.
    pub unsafe fn repair(&mut self, packet: *mut ffi::AVPacket, may_repeat: bool) {
        // SAFETY: the caller's promise.
        let p = unsafe { &mut *packet };
        let next = self.written.map(|(at, duration)| at.saturating_add(duration.max(1)));
        p.dts = match (p.dts, p.pts) {
            (ffi::AV_NOPTS_VALUE, ffi::AV_NOPTS_VALUE) => next.unwrap_or(0),
            (ffi::AV_NOPTS_VALUE, pts) => pts,
            (dts, ffi::AV_NOPTS_VALUE) => dts,
            (dts, pts) => dts.min(pts),
        };
        if let Some((before, _)) = self.written {
            // Where packets are shorter than the unit of time, several have the same stamp; the next unit is no move then.
            let is_move = p.dts < before || (p.dts == before && p.duration > 1 && !may_repeat);
            self.moved += u64::from(is_move);
            p.dts = p.dts.max(before.saturating_add(i64::from(!may_repeat)));
        }
        p.pts = if p.pts == ffi::AV_NOPTS_VALUE { p.dts } else { p.pts.max(p.dts) };
        self.written = Some((p.dts, p.duration));
    }
}

/// Whether a packet is of the time after a jump of the clock: by where it begins in the file; between the last frame before the jump
/// and the first one after it, by going back itself, or for a stream's first packet by which clock it is nearer to. `at`: its stamp in
/// seconds, which is `by` later than that of the stream's packet before, if there is one.
fn is_past(jump: &ClockJump, position: i64, at: f64, by: Option<f64>) -> bool {
    let [before, after] = jump.positions;
    let goes_back = by.is_some_and(|by| !(-JUMP..=LONGEST_PAUSE).contains(&by)) && (jump.at - at).abs() < NEAR;
    match (position, by) {
        _ if position < 0 || after < 0 => goes_back,
        _ if position >= after => true,
        _ if position <= before => false,
        (_, None) => before >= 0 && (at - jump.at).abs() < (at - jump.before).abs(),
        (_, Some(_)) => goes_back,
    }
}

pub(super) fn in_seconds(stamp: i64, time_base: ffi::AVRational) -> f64 {
    stamp as f64 * f64::from(time_base.num) / f64::from(time_base.den)
}

#[cfg(test)]
mod tests {
    use ffmpeg::packet::Mut as _;

    use super::*;

    const MILLISECOND: ffi::AVRational = ffi::AVRational { num: 1, den: 1000 };

    /// What becomes of packets of 20 ms of sound with these decoding stamps: when they are heard, `None` where one is left out; and
    /// how many were moved.
    fn written(stamps: &[Option<i64>], jumps: &[ClockJump], begins_undated: bool) -> (Vec<Option<i64>>, u64) {
        let mut state = PacketClock::default();
        let write = |stamp: &Option<i64>| {
            let mut packet = ffmpeg::Packet::empty();
            // SAFETY: a packet of our own.
            unsafe {
                let p = packet.as_mut_ptr();
                let stamp = stamp.unwrap_or(ffi::AV_NOPTS_VALUE);
                ((*p).pts, (*p).dts, (*p).duration) = (stamp, stamp, 20);
                let shift = state.shift(p, MILLISECOND, false, true, jumps) / 1000;
                if stamp != ffi::AV_NOPTS_VALUE {
                    ((*p).pts, (*p).dts) = (stamp + shift, stamp + shift);
                }
                (!state.is_out_of_place(p, MILLISECOND, begins_undated)).then(|| {
                    state.repair(p, false);
                    (*p).pts
                })
            }
        };
        let times = stamps.iter().map(write).collect();
        (times, state.moved)
    }

    #[test]
    fn sound_gets_stamps_that_rise_and_stays_in_place() {
        let some = |stamps: &[i64]| stamps.iter().copied().map(Some).collect::<Vec<_>>();
        assert_eq!(written(&some(&[0, 20, 40]), &[], false), (some(&[0, 20, 40]), 0));
        // Repeated, and backward: the next ones are where they were.
        assert_eq!(written(&some(&[0, 20, 20, 60]), &[], false), (some(&[0, 20, 21, 60]), 1));
        assert_eq!(written(&some(&[0, 20, 5, 60]), &[], false), (some(&[0, 20, 21, 60]), 1));
        // Back for longer, though the picture goes on: what is heard a second time is left out.
        let back = [0, 20, 40, 60, 80, 100, 120, 140, 20, 40, 60, 80, 100, 120, 140, 160];
        let kept = back.iter().take(8).map(|&t| Some(t)).chain([None; 7]).chain([Some(160)]).collect::<Vec<_>>();
        assert_eq!(written(&some(&back), &[], false), (kept, 0));
        // Missing: after the one before, or from the beginning.
        assert_eq!(written(&[None, None, Some(40)], &[], false), (some(&[0, 20, 40]), 0));
        assert_eq!(written(&[None, None, Some(10)], &[], true), (vec![None, None, Some(10)], 0));
        // Two recordings: the sound moves with the picture, and what would overlap is left out.
        let jump = [ClockJump { before: 0.44, at: 0.2, shift: 0.05, positions: [-1; 2] }];
        assert_eq!(
            written(&some(&[400, 420, 440, 190, 210, 230]), &[ClockJump { shift: 0.25, ..jump[0] }], false),
            (vec![Some(400), Some(420), Some(440), None, Some(460), Some(480)], 0)
        );
    }

    #[test]
    fn a_jump_of_the_clock_is_found_by_the_place_in_the_file() {
        let jump = ClockJump { before: 3.4, at: 1.4, shift: 2.0, positions: [1000, 2000] };
        // Before and after, wherever the stream was; in between by going back, or by the nearer clock.
        assert!(!is_past(&jump, 900, 1.5, None) && is_past(&jump, 2000, 1.5, Some(0.02)));
        assert!(is_past(&jump, 1500, 1.5, Some(-1.9)) && !is_past(&jump, 1500, 1.5, Some(0.02)));
        assert!(is_past(&jump, 1500, 1.5, None) && !is_past(&jump, 1500, 3.3, None));
        // Where no place is known, by going back to where the picture does.
        let nowhere = ClockJump { positions: [-1; 2], ..jump };
        for (jump, position) in [(&jump, -1), (&nowhere, 1500)] {
            assert!(is_past(jump, position, 1.5, Some(-1.9)) && !is_past(jump, position, 1.5, Some(0.02)));
            assert!(!is_past(jump, position, 9.0, Some(-1.9)) && !is_past(jump, position, 1.5, None));
        }
    }
}
