//! What of a video could not be delivered as it was meant.

/// Jumps of the clock from which it is not recordings that are joined.
const MANY_JUMPS: u64 = 20;

/// What could not be delivered as it was meant, counted while decoding.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Losses {
    /// Packets that could not be decoded at all.
    pub corrupt_packets: u64,
    /// Frames that were delivered though parts of them were damaged.
    pub damaged_frames: u64,
    /// Frames that were delivered though what they build on is missing: nothing in them can be relied on.
    pub corrupt_frames: u64,
    /// Other frames whose time stamp was missing or not after the one before.
    pub repaired_stamps: u64,
    /// Places where the time stamps began anew or went back.
    pub clock_jumps: u64,
    /// Frames of another size or format, brought to the first one's.
    pub changed_frames: u64,
    /// What is missing at the end of the file, if anything.
    pub truncated: Option<String>,
}

impl Losses {
    /// Whether the file was sound.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Of each kind what is lost here or there, whichever is more: there some of the same frames were decoded.
    #[must_use]
    pub fn or_more(&self, there: &Self) -> Self {
        Self {
            corrupt_packets: self.corrupt_packets.max(there.corrupt_packets),
            damaged_frames: self.damaged_frames.max(there.damaged_frames),
            corrupt_frames: self.corrupt_frames.max(there.corrupt_frames),
            repaired_stamps: self.repaired_stamps.max(there.repaired_stamps),
            clock_jumps: self.clock_jumps.max(there.clock_jumps),
            changed_frames: self.changed_frames.max(there.changed_frames),
            truncated: self.truncated.clone().or_else(|| there.truncated.clone()),
        }
    }

    /// What was lost, a sentence each.
    pub fn sentences(&self) -> Vec<String> {
        let count = |n: u64, one: &str, many: &str| match n {
            0 => None,
            1 => Some(format!("1 {one}")),
            n => Some(format!("{n} {many}")),
        };
        [
            count(self.corrupt_packets, "packet could not be decoded", "packets could not be decoded"),
            count(self.damaged_frames, "frame is damaged in part", "frames are damaged in part"),
            count(
                self.corrupt_frames,
                "frame is corrupt, since what it builds on is missing; no bodies are drawn in it",
                "frames are corrupt, since what they build on is missing; no bodies are drawn in them",
            ),
            (self.clock_jumps > MANY_JUMPS).then(|| {
                format!("the video's clock jumps {} times; its time stamps cannot be relied on", self.clock_jumps)
            }),
            count(
                if self.clock_jumps > MANY_JUMPS { 0 } else { self.clock_jumps },
                "jump of the video's clock was taken out: two recordings are joined there, perhaps",
                "jumps of the video's clock were taken out: several recordings are joined there, perhaps",
            ),
            count(
                self.repaired_stamps,
                "frame had no usable time stamp and got one",
                "frames had no usable time stamps and got some",
            ),
            count(
                self.changed_frames,
                "frame of another size or format was scaled to that of the first",
                "frames of another size or format were scaled to that of the first",
            ),
            self.truncated.clone(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
