//! What the stages did in the last seconds, over all jobs: for who watches the machine work.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::buffer::Queues;
use super::{Buffer, Depth, Preview, Queue, Stage};
use crate::thread::locked;

/// How far back figures go.
pub const SPAN: Duration = Duration::from_secs(10);
/// Parts of [`SPAN`] in [`Figures::course`].
const PARTS: usize = 20;
/// Most times kept of one stage.
const MOST: usize = 20_000;

/// Times of one stage in the last [`SPAN`], milliseconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Figures {
    /// How many there were.
    pub count: usize,
    /// Median.
    pub p50: f32,
    /// 95th percentile.
    pub p95: f32,
    /// Longest.
    pub max: f32,
    /// Their sum over the span: the number of threads that were busy with it, on average.
    pub busy: f32,
    /// Means of 20 equal parts of the span, the latest last; 0 where there was nothing.
    pub course: Vec<f32>,
}

/// What a detection worker does.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct WorkerFigures {
    /// Its pieces of work.
    pub figures: Figures,
    /// The job it is at work on; 0 for none.
    pub job: i64,
}

/// The last seconds of a process.
pub struct Live {
    begun: Instant,
    stages: [Window; Stage::ALL.len()],
    workers: Vec<(Window, AtomicI64)>,
    queues: [Queues; Buffer::ALL.len()],
    /// Those of workers on other machines, all together.
    elsewhere: Mutex<[Depth; Buffer::ALL.len()]>,
    /// Frames that are through; half of it with each pass.
    frames: Window,
    /// Which minute since the start, and how many frames went through a pass in it: those of the last hour.
    minutes: Mutex<VecDeque<(u64, u64)>>,
    preview: Preview,
}

/// Minutes in [`Live::frames_per_second_in_hour`].
const HOUR: u64 = 60;

#[derive(Default)]
struct Window(Mutex<VecDeque<Event>>);

#[derive(Clone, Copy)]
struct Event {
    end: Instant,
    time: Duration,
    job: i64,
}

impl Window {
    fn add(&self, time: Duration, job: i64) {
        let mut events = self.lock();
        let end = Instant::now();
        while events.front().is_some_and(|event| end.duration_since(event.end) > SPAN) || events.len() >= MOST {
            events.pop_front();
        }
        events.push_back(Event { end, time, job });
    }

    fn recent(&self, now: Instant) -> Vec<Event> {
        self.lock().iter().filter(|event| now.duration_since(event.end) <= SPAN).copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Event>> {
        locked(&self.0)
    }
}

fn figures(events: &[Event], now: Instant) -> Figures {
    let ms = |time: Duration| time.as_secs_f32() * 1000.0;
    let mut times: Vec<f32> = events.iter().map(|event| ms(event.time)).collect();
    times.sort_by(f32::total_cmp);
    let at = |share: f32| times.get(((times.len() as f32 * share) as usize).min(times.len().saturating_sub(1)));
    let mut parts = [(0.0, 0u32); PARTS];
    for event in events {
        let age = now.duration_since(event.end).as_secs_f32() / SPAN.as_secs_f32();
        let part = PARTS - 1 - ((age * PARTS as f32) as usize).min(PARTS - 1);
        parts[part].0 += ms(event.time);
        parts[part].1 += 1;
    }
    Figures {
        count: times.len(),
        p50: at(0.5).copied().unwrap_or(0.0),
        p95: at(0.95).copied().unwrap_or(0.0),
        max: times.last().copied().unwrap_or(0.0),
        // Not from -0, which is what nothing adds up to.
        busy: times.iter().fold(0.0, |sum, time| sum + time) / ms(SPAN),
        course: parts.iter().map(|(sum, count)| sum / (*count).max(1) as f32).collect(),
    }
}

impl Live {
    /// For so many detection workers.
    pub fn new(workers: usize) -> Self {
        Self {
            begun: Instant::now(),
            stages: Default::default(),
            workers: (0..workers).map(|_| Default::default()).collect(),
            queues: Default::default(),
            elsewhere: Mutex::default(),
            frames: Window::default(),
            minutes: Mutex::default(),
            preview: Preview::default(),
        }
    }

    /// Adds one time of a stage.
    pub fn add(&self, stage: Stage, time: Duration, job: i64) {
        self.stages[stage as usize].add(time, job);
    }

    /// A worker has begun on something for a job.
    pub fn begin_work(&self, worker: usize, job: i64) {
        if let Some((_, at)) = self.workers.get(worker) {
            at.store(job, Ordering::Relaxed);
        }
    }

    /// A worker has done something.
    pub fn end_work(&self, worker: usize, time: Duration) {
        if let Some((window, at)) = self.workers.get(worker) {
            window.add(time, at.swap(0, Ordering::Relaxed));
        }
    }

    /// Pictures for those who look.
    pub fn preview(&self) -> &Preview {
        &self.preview
    }

    /// A frame is through a pass.
    pub fn frame(&self, job: i64) {
        self.frames.add(Duration::ZERO, job);
        let minute = self.begun.elapsed().as_secs() / 60;
        let mut minutes = locked(&self.minutes);
        match minutes.back_mut() {
            Some((last, count)) if *last == minute => *count += 1,
            _ => minutes.push_back((minute, 1)),
        }
        minutes.retain(|(first, _)| first + HOUR > minute);
    }

    /// Frames a second in the last hour, or since the start. A frame is one when it is through both passes.
    pub fn frames_per_second_in_hour(&self) -> f32 {
        let since = self.begun.elapsed();
        let minutes = locked(&self.minutes);
        let recent = minutes.iter().filter(|(first, _)| first + HOUR > since.as_secs() / 60);
        let count: u64 = recent.map(|(_, count)| count).sum();
        count as f32 / 2.0 / since.as_secs_f32().clamp(1.0, 60.0 * HOUR as f32)
    }

    /// There is a queue that can hold `capacity`, for as long as what this gives; `used` tells how much is in it.
    pub fn queue(&self, buffer: Buffer, capacity: usize, used: impl Fn() -> usize + Send + 'static) -> Queue {
        self.queues[buffer as usize].open(capacity, used)
    }

    /// Notes how full all queues are on other machines.
    pub fn note_elsewhere(&self, depths: [Depth; Buffer::ALL.len()]) {
        *locked(&self.elsewhere) = depths;
    }

    /// How full the queues of a kind are, here and elsewhere.
    pub fn depth(&self, buffer: Buffer) -> Depth {
        self.queues[buffer as usize].depth() + locked(&self.elsewhere)[buffer as usize]
    }

    /// The figures of a stage.
    pub fn stage(&self, stage: Stage) -> Figures {
        let now = Instant::now();
        figures(&self.stages[stage as usize].recent(now), now)
    }

    /// The figures of each worker.
    pub fn workers(&self) -> Vec<WorkerFigures> {
        let now = Instant::now();
        let one = |(window, at): &(Window, AtomicI64)| WorkerFigures {
            figures: figures(&window.recent(now), now),
            job: at.load(Ordering::Relaxed),
        };
        self.workers.iter().map(one).collect()
    }

    /// Each job's share of a stage's time, the largest first.
    pub fn shares(&self, stage: Stage) -> Vec<(i64, f32)> {
        let mut shares: Vec<(i64, f32)> = Vec::new();
        let events = self.stages[stage as usize].recent(Instant::now());
        let all: f32 = events.iter().map(|event| event.time.as_secs_f32()).sum();
        for event in &events {
            let share = event.time.as_secs_f32() / all.max(f32::MIN_POSITIVE);
            match shares.iter_mut().find(|(job, _)| *job == event.job) {
                Some((_, sum)) => *sum += share,
                None => shares.push((event.job, share)),
            }
        }
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        shares
    }

    /// Frames a second, of one job or of all. A frame is one when it is through both passes.
    pub fn frames_per_second(&self, job: Option<i64>) -> f32 {
        let events = self.frames.recent(Instant::now());
        let count = events.iter().filter(|event| job.is_none_or(|job| job == event.job)).count();
        count as f32 / 2.0 / SPAN.as_secs_f32()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_known_times() {
        let live = Live::new(1);
        for (ms, job) in [(10, 1), (20, 1), (30, 2), (40, 2)] {
            live.add(Stage::Render, Duration::from_millis(ms), job);
            live.frame(job);
        }
        let found = live.stage(Stage::Render);
        assert_eq!((found.count, found.p50, found.p95, found.max), (4, 30.0, 40.0, 40.0));
        assert!((found.busy - 0.01).abs() < 1e-6 && found.course.len() == PARTS);
        assert!((found.course.last().unwrap() - 25.0).abs() < 1e-3, "{found:?}");
        let shares = live.shares(Stage::Render);
        assert!(shares[0].0 == 2 && (shares[0].1 - 0.7).abs() < 1e-6, "{shares:?}");
        assert_eq!((live.frames_per_second(None), live.frames_per_second(Some(1))), (0.2, 0.1));
        live.begin_work(0, 7);
        assert_eq!(live.workers()[0].job, 7);
        live.end_work(0, Duration::from_millis(5));
        assert_eq!((live.workers()[0].job, live.workers()[0].figures.max), (0, 5.0));
        assert_eq!(live.stage(Stage::Decode), Figures { course: vec![0.0; PARTS], ..Figures::default() });
    }
}
