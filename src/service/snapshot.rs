//! What a dashboard is shown: the engine as it is at one moment. Who looks asks for it, so that nobody who looks away slows
//! the work.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use nvml_wrapper::{Nvml, error::NvmlError};
use serde::{Deserialize, Serialize};
use sysinfo::System;

use super::album::{self, Album};
use super::{Shared, free_megabytes, locked};
use crate::clock::{Millis, now};
use crate::executor::Executor;
use crate::job::JobState;
use crate::job::Phase;
use crate::log::{self, Line};
use crate::media::Thumbnail;
use crate::queue::{Entry, QueueError, QueueMode, Row};
use crate::telemetry::{Buffer, Chart, Depth, Figures, Live, Preview, Stage, Timings, WorkerFigures};

/// Finished jobs whose times are kept for charts.
const REMEMBERED: usize = 16;
/// Rows of jobs that are sent at most, of those that wait and of those that ended.
const ROWS: usize = 400;
/// The load of the machine is measured this often.
const MEASURED: Duration = Duration::from_secs(1);

/// What somebody wants to see.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SnapshotRequest {
    /// Version of the list of jobs that is known already.
    pub jobs_seen: Option<u64>,
    /// Only jobs whose name has this in it.
    pub filter: String,
    /// Number of the last line of the log that is known.
    pub log_seen: u64,
    /// Times of the frames of a job.
    pub chart: Option<ChartOf>,
    /// The log and report of a job.
    pub detail: Option<i64>,
    /// The latest picture of a job, and which of its pictures is known already.
    pub preview: Option<(i64, Option<Shown>)>,
}

/// Which frames' times, and how many columns of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChartOf {
    /// Number of the job.
    pub job: i64,
    /// First frame.
    pub from: u64,
    /// Frames.
    pub count: u64,
    /// Columns at most.
    pub columns: usize,
}

/// The engine at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The engine's time.
    pub now: Millis,
    /// When it was started.
    pub since: Millis,
    /// Its process.
    pub pid: u32,
    /// Watched folders, and whether they can be read.
    pub folders: Vec<(String, bool)>,
    /// Whether the queue is worked through.
    pub mode: QueueMode,
    /// The engine ends after what is at work.
    pub is_draining: bool,
    /// Whether it is within the hours of work.
    pub is_open: bool,
    /// How many jobs there are in each state.
    pub counts: Vec<(JobState, u64)>,
    /// The machine.
    pub machine: Machine,
    /// Where the networks run.
    pub inference: String,
    /// What draws.
    pub renderer: String,
    /// Frames a second in the last 10 s.
    pub fps: f32,
    /// Frames a second in the last hour, or since the start.
    pub fps_hour: f32,
    /// Figures of each [`Stage`], in order.
    pub stages: Vec<Figures>,
    /// How full each [`Buffer`] is, in order.
    pub depths: [Depth; Buffer::ALL.len()],
    /// The detection workers.
    pub workers: Vec<WorkerFigures>,
    /// Each job's share of the render thread's time.
    pub render_shares: Vec<(i64, f32)>,
    /// Jobs that are in hand.
    pub at_work: Vec<AtWork>,
    /// Jobs that nodes of a cluster are at work on.
    pub nodes: usize,
    /// The list of jobs and its version, if that is not known yet.
    pub jobs: Option<(u64, Vec<Row>)>,
    /// New lines of the log.
    pub log: Vec<Line>,
    /// What was asked for.
    pub chart: Option<Chart>,
    /// What was asked for.
    pub detail: Option<Detail>,
    /// What was asked for, when it is new.
    pub preview: Option<Picture>,
}

impl Snapshot {
    /// The figures of a stage.
    pub fn stage(&self, stage: Stage) -> Figures {
        self.stages.get(stage as usize).cloned().unwrap_or_default()
    }

    /// How full a queue is.
    pub fn depth(&self, buffer: Buffer) -> Depth {
        self.depths[buffer as usize]
    }
}

/// What a picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shown {
    /// The frame of this number, just drawn.
    Frame(u64),
    /// Some frame of the finished video.
    Result,
}

/// A small picture of a job's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// The job.
    pub job: i64,
    /// What it shows.
    pub shown: Shown,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// R, G, B of each pixel, as base64.
    pub rgb: String,
}

/// A job in hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AtWork {
    /// Its number.
    pub id: i64,
    /// Which pass it is in.
    pub phase: Phase,
    /// Frames through this pass.
    pub done: u64,
    /// Frames of the video, as far as known.
    pub total: Option<u64>,
    /// People found.
    pub people: usize,
    /// Frames a second in the last 10 s.
    pub fps: f32,
}

/// All that is known of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detail {
    /// The job.
    pub row: Row,
    /// Its log.
    pub log: Vec<Entry>,
    /// Its report, when it is done.
    pub report: Option<serde_json::Value>,
}

/// The machine's load.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Of all cores, 0..=1.
    pub cpu: f32,
    /// How many there are.
    pub cores: usize,
    /// Megabytes in use.
    pub memory: u64,
    /// Megabytes there are.
    pub memory_of: u64,
    /// Megabytes that the engine uses.
    pub engine_memory: u64,
    /// Megabytes free where results go; unknown while that folder is away.
    pub disk_free: Option<u64>,
    /// The first NVIDIA GPU, where there is one.
    pub gpu: Option<Gpu>,
}

/// A GPU's load.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Gpu {
    /// Share of the time in which it had something to do, 0..=1.
    pub busy: f32,
    /// Megabytes in use.
    pub memory: u64,
    /// Megabytes there are.
    pub memory_of: u64,
}

impl Gpu {
    fn of(nvml: &Nvml) -> Result<Self, NvmlError> {
        let device = nvml.device_by_index(0)?;
        let (load, memory) = (device.utilization_rates()?, device.memory_info()?);
        Ok(Self { busy: load.gpu as f32 / 100.0, memory: memory.used / 1_000_000, memory_of: memory.total / 1_000_000 })
    }
}

/// What the engine remembers of jobs for those who wanted.
#[derive(Default)]
pub struct RecentJobs {
    jobs: VecDeque<RecentJob>,
    machine: Option<(Instant, System, Machine)>,
    album: Arc<Album>,
    /// NVIDIA's management library, once it was looked for.
    nvml: Option<Option<Nvml>>,
}

struct RecentJob {
    timings: Arc<Timings>,
    is_at_work: bool,
    phase: Phase,
    done: u64,
    total: Option<u64>,
    people: usize,
    /// A node of a cluster is at work on it.
    has_node: bool,
}

impl RecentJobs {
    /// A job begins.
    pub fn begin(&mut self, timings: &Arc<Timings>) {
        self.jobs.retain(|job| job.timings.job() != timings.job());
        while self.jobs.len() >= REMEMBERED && self.jobs.iter().any(|job| !job.is_at_work) {
            let oldest = self.jobs.iter().position(|job| !job.is_at_work).unwrap_or(0);
            self.jobs.remove(oldest);
        }
        let timings = timings.clone();
        self.jobs.push_back(RecentJob {
            timings,
            is_at_work: true,
            phase: Phase::Observe,
            done: 0,
            total: None,
            people: 0,
            has_node: false,
        });
    }

    /// It is at this frame.
    pub fn progress(&mut self, id: i64, phase: Phase, done: u64, total: Option<u64>, people: usize) {
        if let Some(job) = self.jobs.iter_mut().find(|job| job.timings.job() == id) {
            (job.phase, job.done, job.total, job.people) = (phase, done, total, people);
        }
    }

    /// A node of a cluster is at work on it, or none.
    pub fn place(&mut self, id: i64, has_node: bool) {
        self.jobs.iter_mut().filter(|job| job.timings.job() == id).for_each(|job| job.has_node = has_node);
    }

    /// It is no longer at work.
    pub fn end(&mut self, id: i64) {
        self.jobs.iter_mut().filter(|job| job.timings.job() == id).for_each(|job| job.is_at_work = false);
    }

    fn timings(&self, id: i64) -> Option<Arc<Timings>> {
        self.jobs.iter().find(|job| job.timings.job() == id).map(|job| job.timings.clone())
    }

    fn machine(&mut self, output: Option<&PathBuf>) -> Machine {
        if let Some((when, _, machine)) = &self.machine
            && when.elapsed() < MEASURED
        {
            return *machine;
        }
        let mut system = self.machine.take().map_or_else(System::new, |(_, system, _)| system);
        system.refresh_cpu_usage();
        system.refresh_memory();
        let own = sysinfo::Pid::from_u32(std::process::id());
        system.refresh_processes(sysinfo::ProcessesToUpdate::Some(&[own]), false);
        let megabytes = |bytes: u64| bytes / 1_000_000;
        // The driver brings the library under this name; the one without a number comes with development files only.
        let nvml = self.nvml.get_or_insert_with(|| Nvml::builder().lib_path("libnvidia-ml.so.1".as_ref()).init().ok());
        let machine = Machine {
            cpu: system.global_cpu_usage() / 100.0,
            cores: system.cpus().len(),
            memory: megabytes(system.used_memory()),
            memory_of: megabytes(system.total_memory()),
            engine_memory: system.process(own).map_or(0, |process| megabytes(process.memory())),
            disk_free: output.and_then(|folder| free_megabytes(folder)),
            gpu: nvml.as_ref().and_then(|nvml| Gpu::of(nvml).ok()),
        };
        self.machine = Some((Instant::now(), system, machine));
        machine
    }
}

/// What there is to see of a job, if that is another thing than `known`; `result`: the job as it is done.
fn picture(live: &Live, album: &Album, job: i64, known: Option<Shown>, result: Option<Row>) -> Option<Picture> {
    let (shown, thumbnail) = match (result, known) {
        // What was drawn last shows a finished job as well as its result does.
        (Some(_), Some(_)) => None,
        (Some(row), None) => {
            let made = album.picture((job, row.ended), album::of_video(row.video, Preview::LONGEST));
            made.map(|thumbnail| (Shown::Result, thumbnail))
        }
        (None, known) => {
            let known = if let Some(Shown::Frame(frame)) = known { Some(frame) } else { None };
            let (frame, thumbnail) = live.preview().look(job, known)?;
            Some((Shown::Frame(frame), thumbnail))
        }
    }?;
    let Thumbnail { width, height, rgb } = thumbnail;
    Some(Picture { job, shown, width, height, rgb: base64::engine::general_purpose::STANDARD.encode(rgb) })
}

/// Looks at the engine.
pub(super) fn take(shared: &Shared<'_>, wanted: &SnapshotRequest) -> Result<Snapshot, QueueError> {
    let live = &shared.live;
    let version = shared.version();
    let (mode, counts, jobs, detail, result) = {
        let mut queue = shared.queue();
        let counts = queue.counts()?;
        let jobs = match wanted.jobs_seen == Some(version) {
            true => None,
            false => Some((version, queue.list(&wanted.filter, ROWS)?)),
        };
        let detail = match wanted.detail {
            Some(id) => match queue.row(id)? {
                Some(row) => Some(Detail { row, log: queue.log(Some(id), 200)?, report: queue.report(id)? }),
                None => None,
            },
            None => None,
        };
        let pictured = wanted.preview.map_or(Ok(None), |(id, _)| queue.row(id))?;
        let result = pictured.filter(|row| row.state == JobState::Done);
        (queue.mode(now())?, counts, jobs, detail, result)
    };
    let album = locked(&shared.recent).album.clone();
    let preview = wanted.preview.and_then(|(job, known)| picture(live, &album, job, known, result));
    let (at_work, nodes, machine, charted) = {
        let mut known = locked(&shared.recent);
        let at_work = known.jobs.iter().filter(|job| job.is_at_work).map(|job| AtWork {
            id: job.timings.job(),
            phase: job.phase,
            done: job.done,
            total: job.total,
            people: job.people,
            fps: live.frames_per_second(Some(job.timings.job())),
        });
        let at_work = at_work.collect();
        let nodes = known.jobs.iter().filter(|job| job.is_at_work && job.has_node).count();
        let output = shared.config.watch.first().map(|watch| &watch.output);
        (at_work, nodes, known.machine(output), wanted.chart.and_then(|of| Some((of, known.timings(of.job)?))))
    };
    let all = |what: fn(&dyn Executor) -> &str| {
        shared.executors.iter().map(|(_, executor)| what(&**executor)).collect::<Vec<_>>().join(" and ")
    };
    Ok(Snapshot {
        now: now(),
        since: shared.since,
        pid: std::process::id(),
        folders: locked(&shared.folders).clone(),
        mode,
        is_draining: shared.is_draining.load(std::sync::atomic::Ordering::SeqCst),
        is_open: shared.is_open(),
        counts,
        machine,
        inference: all(|executor| executor.inference()),
        renderer: all(|executor| executor.renderer()),
        fps: live.frames_per_second(None),
        fps_hour: live.frames_per_second_in_hour(),
        stages: Stage::ALL.into_iter().map(|stage| live.stage(stage)).collect(),
        depths: Buffer::ALL.map(|buffer| live.depth(buffer)),
        workers: live.workers(),
        render_shares: live.shares(Stage::Render),
        at_work,
        nodes,
        jobs,
        log: log::recent(wanted.log_seen),
        chart: charted.map(|(of, timings)| timings.chart(of.from, of.count, of.columns.min(1000), 20)),
        detail,
        preview,
    })
}
