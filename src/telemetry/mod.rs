//! Timings of the stages of a job: recorded by whichever thread runs the stage, read by the report and the progress.

mod buffer;
mod frames;
mod live;
mod preview;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use buffer::{Buffer, Depth, Queue};
pub use frames::{Chart, FrameTimes};
pub use live::{Figures, Live, SPAN, WorkerFigures};
pub use preview::Preview;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::thread::locked;

/// A stage of the data flow, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Compressed packets to a picture, in both passes.
    Decode,
    /// One query to the person detector or the region detector.
    Detect,
    /// One run of a landmark network.
    Landmarks,
    /// Fitting the body of one person, shared out over their frames.
    Fit,
    /// From a frame's request until the render thread begins it ("render-lock wait", as the service that meshreel replaces called it).
    RenderWait,
    /// Drawing and reading back all people of a frame.
    Render,
    /// Mixing the drawing into the frame's own samples.
    Blend,
    /// Handing the frame to the encoder and writing what comes out.
    Encode,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Stage; 8] = [
        Stage::Decode,
        Stage::Detect,
        Stage::Landmarks,
        Stage::Fit,
        Stage::RenderWait,
        Stage::Render,
        Stage::Blend,
        Stage::Encode,
    ];
}

/// What the report says of one stage. Times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Times recorded.
    pub count: u64,
    /// Arithmetic mean.
    pub mean_ms: f64,
    /// Median.
    pub p50_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Longest.
    pub max_ms: f64,
}

/// Timings of one job.
pub struct Timings {
    job: i64,
    /// Made when the first time comes: they are large, and many jobs may wait elsewhere.
    stages: [Mutex<Option<Histogram<u64>>>; Stage::ALL.len()],
    frames: Mutex<FrameTimes>,
    live: Arc<Live>,
    /// What was recorded and not taken yet, for who sends it elsewhere.
    taken: Option<Mutex<Taken>>,
}

/// Times of stages: frame and microseconds of each.
pub type Taken = BTreeMap<Stage, Vec<(u64, u32)>>;

/// Microseconds up to an hour at 3 significant digits.
fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3)
        .unwrap_or_else(|_| unreachable!("the bounds are constants that fit"))
}

impl Timings {
    /// For the job of this number, in a process with these live figures.
    pub fn new(job: i64, live: Arc<Live>) -> Self {
        Self { job, stages: Default::default(), frames: Mutex::default(), live, taken: None }
    }

    /// The same, and all that is recorded can be [taken](Self::take) as well.
    pub fn to_be_taken(job: i64, live: Arc<Live>) -> Self {
        Self { taken: Some(Mutex::default()), ..Self::new(job, live) }
    }

    /// What was recorded since the last time.
    pub fn take(&self) -> Taken {
        self.taken.as_ref().map_or_else(Taken::new, |taken| std::mem::take(&mut *locked(taken)))
    }

    /// Number of the job.
    pub fn job(&self) -> i64 {
        self.job
    }

    /// The last seconds of the process.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Adds one time of a stage, spent on a frame.
    pub fn record(&self, stage: Stage, frame: u64, time: Duration) {
        self.record_past(stage, frame, time);
        self.live.add(stage, time, self.job);
    }

    /// The same for a time that is not of the last seconds.
    pub fn record_past(&self, stage: Stage, frame: u64, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        // For `scripts/simulate_stretches.py`.
        tracing::trace!("work: {stage:?} of frame {frame}: {micros} us");
        if let Some(taken) = &self.taken {
            let micros = u32::try_from(micros).unwrap_or(u32::MAX);
            locked(taken).entry(stage).or_default().push((frame, micros));
        }
        self.lock(stage).get_or_insert_with(new_histogram).saturating_record(micros);
        locked(&self.frames).add(frame, stage, time);
    }

    /// Runs `work` and records how long it took.
    pub fn time<T>(&self, stage: Stage, frame: u64, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let value = work();
        self.record(stage, frame, start.elapsed());
        value
    }

    /// Times of the clip's frames ([`FrameTimes::chart`]).
    pub fn chart(&self, from: u64, count: u64, columns: usize, slowest: usize) -> Chart {
        locked(&self.frames).chart(from, count, columns, slowest)
    }

    /// The figures of a stage so far.
    pub fn summary(&self, stage: Stage) -> Summary {
        let h = self.lock(stage);
        let Some(h) = &*h else { return Summary::default() };
        let ms = |micros: u64| micros as f64 / 1000.0;
        Summary {
            count: h.len(),
            mean_ms: (h.mean()).round() / 1000.0,
            p50_ms: ms(h.value_at_quantile(0.5)),
            p95_ms: ms(h.value_at_quantile(0.95)),
            p99_ms: ms(h.value_at_quantile(0.99)),
            max_ms: ms(h.max()),
        }
    }

    /// Sum of all recorded times of a stage.
    pub fn total(&self, stage: Stage) -> Duration {
        self.lock(stage).as_ref().map_or(Duration::ZERO, |h| Duration::from_secs_f64(h.mean() * h.len() as f64 / 1e6))
    }

    fn lock(&self, stage: Stage) -> std::sync::MutexGuard<'_, Option<Histogram<u64>>> {
        locked(&self.stages[stage as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_of_known_times() {
        let t = Timings::new(1, Arc::new(Live::new(0)));
        for ms in 1..=100 {
            t.record(Stage::Render, ms, Duration::from_millis(ms));
        }
        let s = t.summary(Stage::Render);
        assert_eq!(s.count, 100);
        assert!((s.mean_ms - 50.5).abs() < 0.1 && (s.p50_ms - 50.0).abs() < 0.1, "{s:?}");
        assert!((s.p99_ms - 99.0).abs() < 0.1 && (s.max_ms - 100.0).abs() < 0.1, "{s:?}");
        assert_eq!(t.summary(Stage::Decode).count, 0);
    }
}
