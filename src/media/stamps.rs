//! Time stamps of frames: strictly increasing, whatever the file says, and the places where the file's clock jumps.

use std::collections::VecDeque;

use ffmpeg::frame::Video;
use ffmpeg_next as ffmpeg;
use serde::{Deserialize, Serialize};

/// Stamps beyond this many seconds are damage and not time.
pub(super) const SANE_SECONDS: f64 = 3e9;
/// Longest time in seconds that a frame may last.
const LONGEST_FRAME: f64 = 86_400.0;
/// Longest time in seconds between two frames of a recording whose clock begins anywhere; more is another recording's clock. The
/// same as FFmpeg's own program has.
pub(super) const LONGEST_PAUSE: f64 = 10.0;
/// The same for files whose clock begins at zero.
const LONGEST_PAUSE_FROM_ZERO: f64 = 86_400.0;
/// The largest stamp in ticks: so large that sums of a few do not overflow.
const MOST_TICKS: u64 = 1 << 60;
/// Seconds by which a stamp has to be ahead for the next one to be asked whether it is damage.
const LEAP: f64 = 1.0;
/// Seconds by which a single frame may be too early without the clock having jumped.
const SLIP: f64 = 0.1;

/// A place where the clock of a file does not go on: two recordings that were joined, say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClockJump {
    /// Time stamp of the last frame before it as the file has it, seconds.
    pub before: f64,
    /// The same of the first frame after it.
    pub at: f64,
    /// Where in the file the packets of these two frames begin, bytes; negative where that is not known.
    pub positions: [i64; 2],
    /// What has to be added to the file's time stamps from there on, so that time goes on; seconds.
    pub shift: f64,
}

/// Makes time stamps strictly increasing.
pub(super) struct Stamps {
    last: Option<i64>,
    /// The last one that the file has, and where its packet begins.
    read: i64,
    position: i64,
    /// Added to what the file says after its clock jumped.
    shift: i64,
    /// Whether the last stamp was moved by itself, without a jump of the clock.
    was_moved: bool,
    /// What `shift` was before the last frame, if the clock jumped at it.
    before: Option<i64>,
    /// Where the clock jumped.
    pub jumps: Vec<ClockJump>,
    /// Ticks of one frame at the average rate.
    pub usual: i64,
    pub per_second: f64,
    /// Longest time between two frames, seconds.
    longest_pause: f64,
    /// Duration of the frame before.
    step: i64,
}

impl Stamps {
    /// For frames of `usual` ticks on average, of which a second has so many. `is_of_any_clock`: whether the file's clock may
    /// begin anywhere, and be another one after a while.
    pub fn new(usual: i64, per_second: f64, is_of_any_clock: bool) -> Self {
        Self {
            last: None,
            read: 0,
            position: -1,
            shift: 0,
            was_moved: false,
            before: None,
            jumps: Vec::new(),
            usual,
            per_second,
            longest_pause: if is_of_any_clock { LONGEST_PAUSE } else { LONGEST_PAUSE_FROM_ZERO },
            step: usual,
        }
    }

    /// Whether a stamp is so far ahead that the one after it has to be known as well.
    pub fn leaps(&self, raw: i64) -> bool {
        let ahead = |last: i64| raw.saturating_add(self.shift).saturating_sub(last) as f64 > LEAP * self.per_second;
        self.last.is_some_and(ahead)
    }

    /// The stamp of the next frame, which lasts so long and whose packet begins there in the file, and whether it was repaired.
    ///
    /// Where all was in order before, a single frame whose stamp is a little too early is moved behind the one before, and time goes on as the file says,
    /// so that the sound stays where it belongs. If the next one is too early as well, or one is by much, the clock has jumped;
    /// unless the next one is back where it would have been without the jump.
    pub fn next(&mut self, raw: Option<i64>, duration: i64, position: i64) -> (i64, bool) {
        let raw = raw.filter(|&t| is_sane(t, self.per_second));
        let (mut moved, mut jumped_from) = (false, None);
        let is_in_order = !self.was_moved && self.before.is_none();
        if let (Some(t), Some(last), Some(before)) = (raw, self.last, self.before)
            && t + before > last
            && (t + before).abs_diff(last + self.step) < (t + self.shift).abs_diff(last + self.step)
        {
            self.shift = before;
            self.jumps.pop();
        }
        let (stamp, repaired) = match (raw, self.last) {
            (None, None) => (0, true),
            (Some(t), None) => (t, false),
            (None, Some(last)) => (last + self.step, true),
            (Some(t), Some(last)) => {
                let late = last - (t + self.shift);
                if late < 0 && -late as f64 <= self.longest_pause * self.per_second {
                    (t + self.shift, false)
                } else if (0..=self.step.max((SLIP * self.per_second) as i64)).contains(&late) && is_in_order {
                    moved = true;
                    (last + (self.step.min(self.usual) / 2).max(1), true)
                } else {
                    jumped_from = Some(std::mem::replace(&mut self.shift, last + self.step - t));
                    self.jumps.push(ClockJump {
                        before: self.read as f64 / self.per_second,
                        at: t as f64 / self.per_second,
                        positions: [self.position, position],
                        shift: self.shift as f64 / self.per_second,
                    });
                    (last + self.step, false)
                }
            }
        };
        (self.was_moved, self.before) = (moved, jumped_from);
        (self.read, self.position) = (raw.unwrap_or(self.read), position);
        self.last = Some(stamp);
        self.step = duration;
        (stamp, repaired)
    }
}

/// Whether a time stamp can be one: ticks, and how many of them a second has.
pub(super) fn is_sane(stamp: i64, per_second: f64) -> bool {
    (stamp as f64 / per_second).abs() < SANE_SECONDS && stamp.unsigned_abs() < MOST_TICKS
}

/// How long a frame lasts in ticks, by the file's word if it can be believed.
pub(super) fn usable(duration: i64, usual: i64, per_second: f64) -> i64 {
    let is_believed = duration > 0 && duration as f64 <= LONGEST_FRAME * per_second && is_sane(duration, per_second);
    if is_believed { duration } else { usual }
}

/// Gives frames before the first that has a time stamp theirs, by their durations: those of other streams are as the file says.
pub(super) fn date_back(frames: &mut VecDeque<Video>, usual: i64, per_second: f64) {
    let known = |frame: &Video| frame.timestamp().filter(|&stamp| is_sane(stamp, per_second));
    let Some(first) = frames.iter().position(|frame| known(frame).is_some()) else { return };
    for at in (0..first).rev() {
        let next = known(&frames[at + 1]).unwrap_or(0);
        let stamp = next - usable(frames[at].packet().duration, usual, per_second);
        // SAFETY: a frame of our own.
        unsafe { (*frames[at].as_mut_ptr()).best_effort_timestamp = stamp };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stamps of frames that are 10 ticks of a millisecond apart, and where the clock jumped: the first stamp after it, and the shift.
    fn repaired(raw: &[i64]) -> (Vec<i64>, Vec<(i64, i64)>) {
        let mut stamps = Stamps::new(10, 1000.0, false);
        let times = raw.iter().map(|&t| stamps.next((t >= 0).then_some(t), 10, -1).0).collect();
        let millis = |seconds: f64| (seconds * 1000.0).round() as i64;
        (times, stamps.jumps.iter().map(|jump| (millis(jump.at), millis(jump.shift))).collect())
    }

    #[test]
    fn one_early_stamp_moves_one_frame_and_a_jump_moves_all_after_it() {
        assert_eq!(repaired(&[0, 10, 20, 30]), (vec![0, 10, 20, 30], vec![]));
        // Repeated, once: the next frame is where it was.
        assert_eq!(repaired(&[0, 10, 10, 30]), (vec![0, 10, 15, 30], vec![]));
        // No stamps at all, or always the same one: a frame after another.
        assert_eq!(repaired(&[-1, -1, -1, -1]).0, [0, 10, 20, 30]);
        assert_eq!(repaired(&[5, 5, 5, 5, 5]).0, [5, 10, 20, 30, 40]);
        // Two recordings in one file.
        assert_eq!(repaired(&[500, 510, 520, 100, 110]), (vec![500, 510, 520, 530, 540], vec![(100, 430)]));
        // Stamps and durations that are damage.
        assert_eq!(repaired(&[i64::MAX, 1 << 61, 20, i64::MAX, 40]).0, [0, 10, 20, 30, 40]);
        assert_eq!([usable(1 << 61, 10, 1000.0), usable(0, 10, 1000.0), usable(7, 10, 1000.0)], [10, 10, 7]);
        // One frame with a stamp from anywhere.
        assert_eq!(repaired(&[500, 510, 100, 530, 540]), (vec![500, 510, 520, 530, 540], vec![]));
    }
}
