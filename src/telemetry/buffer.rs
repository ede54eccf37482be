//! How full the bounded queues between the stages are, and how many there are.

use std::collections::VecDeque;
use std::ops::Add;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::SPAN;
use crate::thread::locked;

/// A bounded queue between two stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buffer {
    /// Frames decoded ahead. There is one for each decode thread.
    Decoded,
    /// Questions of keyframes for detection workers.
    Urgent,
    /// Frames between keyframes for detection workers.
    Ordinary,
    /// Requests to the render thread.
    Render,
    /// Frames whose drawing was asked for, on their way to the encoder. There is one for each encode thread.
    Encode,
}

impl Buffer {
    /// All of them, in the order of the data flow.
    pub const ALL: [Buffer; 5] = [Buffer::Decoded, Buffer::Urgent, Buffer::Ordinary, Buffer::Render, Buffer::Encode];
}

/// How full the queues of one kind ([`Buffer`]) are together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Depth {
    /// What waits.
    pub used: u32,
    /// What can wait.
    pub capacity: u32,
    /// The most queues that there were at the same time in the last [`SPAN`].
    pub queues: u32,
}

impl Add for Depth {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            used: self.used + other.used,
            capacity: self.capacity + other.capacity,
            queues: self.queues + other.queues,
        }
    }
}

/// The queues of one kind in a process.
#[derive(Default)]
pub struct Queues(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    queues: Vec<Measured>,
    /// Number of the next queue.
    next: u64,
    /// How many there were, and until when; of the last [`SPAN`].
    before: VecDeque<(Instant, u32)>,
}

struct Measured {
    number: u64,
    capacity: u32,
    used: Box<dyn Fn() -> usize + Send>,
}

impl Open {
    fn change(&mut self, change: impl FnOnce(&mut Vec<Measured>)) {
        self.before.push_back((Instant::now(), self.queues.len() as u32));
        change(&mut self.queues);
        self.forget_old();
    }

    fn forget_old(&mut self) {
        self.before.retain(|(until, _)| until.elapsed() <= SPAN);
    }
}

impl Queues {
    /// One more: what it can hold, and what tells how much is in it.
    pub fn open(&self, capacity: usize, used: impl Fn() -> usize + Send + 'static) -> Queue {
        let mut open = locked(&self.0);
        let number = open.next;
        open.next += 1;
        open.change(|queues| queues.push(Measured { number, capacity: capacity as u32, used: Box::new(used) }));
        Queue { number, all: self.0.clone() }
    }

    /// How full they are.
    pub fn depth(&self) -> Depth {
        let mut open = locked(&self.0);
        open.forget_old();
        let now =
            open.queues.iter().map(|queue| Depth { used: (queue.used)() as u32, capacity: queue.capacity, queues: 1 });
        let now = now.fold(Depth::default(), Add::add);
        Depth { queues: open.before.iter().map(|(_, count)| *count).fold(now.queues, u32::max), ..now }
    }
}

/// A queue that is in use: it counts until this is dropped.
#[must_use]
pub struct Queue {
    number: u64,
    all: Arc<Mutex<Open>>,
}

impl Drop for Queue {
    fn drop(&mut self) {
        locked(&self.all).change(|queues| queues.retain(|queue| queue.number != self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_of_several_stretches_count_together() {
        let queues = Queues::default();
        assert_eq!(queues.depth(), Depth::default());
        let (one, _to) = flume::bounded(2);
        one.send(()).unwrap();
        let _one = queues.open(2, move || one.len());
        let other = queues.open(4, || 3);
        assert_eq!(queues.depth(), Depth { used: 4, capacity: 6, queues: 2 });
        drop(other);
        // There were two within the last seconds.
        assert_eq!(queues.depth(), Depth { used: 1, capacity: 2, queues: 2 });
    }
}
