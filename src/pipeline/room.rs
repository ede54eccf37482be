//! How many stretches of videos are worked on at the same time: one of each job, and some more over all jobs.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::media::VideoInfo;
use crate::{memory, thread};

/// Processor cores for each stretch.
const CORES: usize = 2;
/// Most stretches where nobody says how many.
const MOST: usize = 16;
/// Pictures that a decoder and an encoder hold together, with those between them. While a stretch is observed it holds fewer.
const PICTURES: u64 = 100;
/// The part of the memory that all these pictures may take.
const SHARE: u64 = 4;

/// What is left of the machine for further stretches.
pub struct Room {
    free: AtomicUsize,
    /// Bytes, where the number of stretches is left to the machine.
    memory: Option<u64>,
}

/// Some of it, given back when dropped.
pub struct Taken<'r> {
    room: &'r Room,
    further: usize,
}

impl Room {
    /// For so many stretches at the same time; 0: as many as cores and memory are good for.
    pub fn new(stretches: usize) -> Self {
        let count = if stretches == 0 { (thread::cores() / CORES).clamp(1, MOST) } else { stretches };
        Self { free: AtomicUsize::new(count - 1), memory: (stretches == 0).then(memory::limit) }
    }

    /// As much as there is for a video.
    pub fn take(&self, info: &VideoInfo) -> Taken<'_> {
        let [width, height] = info.geometry.coded.map(u64::from);
        let picture = 3 * width * height * info.layout.bytes_per_sample() as u64;
        let good_for = self.memory.map_or(u64::MAX, |memory| memory / SHARE / (PICTURES * picture).max(1));
        let most = usize::try_from(good_for).unwrap_or(usize::MAX).saturating_sub(1);
        let mut further = 0;
        // The closure never refuses.
        let _ = self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| {
            further = free.min(most);
            Some(free - further)
        });
        Taken { room: self, further }
    }
}

impl Taken<'_> {
    /// Stretches that may be worked on at the same time.
    pub fn at_once(&self) -> usize {
        1 + self.further
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.room.free.fetch_add(self.further, Ordering::AcqRel);
    }
}
