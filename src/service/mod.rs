//! The service: takes what is dropped into the watched folders, and works through the queue.
//!
//! `ingest` looks at the folders and fills the queue; a runner for each executor takes from it, and has a thread for each job in hand:
//! as many as jobs may be at work, and some more that wait; a clock lets them go on and wait when the time for that has come; a listener takes orders, and shows
//! the engine to who looks. What must outlive a run is on disk: the queue, and a checkpoint for each job; what they share in
//! memory is which of the jobs in hand go on, and that follows from the queue.

mod album;
mod checkpoints;
mod control;
mod crash;
mod hooks;

mod ingest;
pub mod inspect;
mod lock;

mod origin;
mod originals;
mod runner;
mod snapshot;
mod socket;

use crate::control::Control;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

pub use control::{Answer, ControlError, Request, ask, snapshot};
pub use lock::is_held;
pub use origin::Origin;
pub use snapshot::{AtWork, ChartOf, Detail, Gpu, Machine, Picture, Shown, Snapshot, SnapshotRequest};

use snapshot::RecentJobs;

use crate::clock::{Millis, now};
use crate::config::{Config, Originals};
use crate::executor::slurm::{self, Slurm, SlurmError};
use crate::executor::{Executor, Local};
use crate::export::is_signed;
use crate::job::{Backend, JobState, Report};
use crate::pipeline::{StartError, frames_written_down, remove_leftovers};
use crate::queue::{Queue, QueueError};
use crate::status;
use crate::telemetry::Live;
use crate::text::printable;
use crate::thread::{locked, spawn_scoped};
use crate::watch::is_open_for_writing;

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Nothing to watch.
    #[error("no folder is watched; add a [[watch]] section with path and output to the configuration")]
    NoFolders,
    /// Results would be taken for new videos.
    #[error("{} is a watched folder: what is dropped there would be taken for new videos; name another folder", path.display())]
    OutputIsWatched {
        /// The folder.
        path: PathBuf,
    },
    /// There is no place for originals.
    #[error("[[watch]] {}: originals are to be moved; name an originals_folder", path.display())]
    NoOriginalsFolder {
        /// The watched folder.
        path: PathBuf,
    },
    /// Another one runs.
    #[error("meshreel is already at work with the state folder {} ({holder}); stop it, or set another `state`", state.display())]
    Locked {
        /// The folder.
        state: PathBuf,
        /// Who holds it.
        holder: String,
    },
    /// The state folder cannot be used.
    #[error("the state folder {}: {source}", path.display())]
    StateFolder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Orders cannot be heard.
    #[error(transparent)]
    Socket(#[from] socket::NoPlace),
    /// The queue cannot be used.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// No job can run.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No job can be sent to the cluster.
    #[error(transparent)]
    Cluster(#[from] SlurmError),
    /// The system gives no thread.
    #[error(transparent)]
    Thread(std::io::Error),
}

/// How the service runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// What is there is processed, and then it ends.
    pub once: bool,
    /// Jobs are told of by the log, and by nothing else.
    pub headless: bool,
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Jobs whose results are in place.
    pub done: u64,
    /// Jobs that were given up, and what could not be read at the end.
    pub failed: u64,
}

/// An executor, and which jobs are its own.
type Station = (Backend, Box<dyn Executor>);

/// How late the beginning or end of the hours of work may be noticed.
const CLOCK: Duration = Duration::from_secs(1);
/// How often what jobs leave is removed that could not be removed at once.
const CLEAN: Duration = Duration::from_secs(60);

/// What ingest, runners and control share.
struct Shared<'a> {
    config: &'a Config,
    executors: &'a [Station],
    /// What all of them did in the last seconds.
    live: Arc<Live>,
    queue: Mutex<Queue>,
    /// Whether each job that a runner has in hand goes on.
    controls: Mutex<HashMap<i64, Control>>,
    /// Counts changes of the queue, and wakes who waits for one.
    changes: Mutex<u64>,
    changed: Condvar,
    /// No more jobs will come.
    is_complete: AtomicBool,
    /// Nothing new is begun.
    is_draining: AtomicBool,
    /// What is there is worked off, at any hour.
    is_once: bool,
    /// The log tells of jobs, and nothing else does.
    is_headless: bool,
    hooks: hooks::Running,
    /// For those who look.
    recent: Mutex<RecentJobs>,
    folders: Mutex<Vec<(String, bool)>>,
    /// Files from elsewhere that are to be processed.
    added: Mutex<Vec<PathBuf>>,
    /// Some of them were not looked at yet.
    has_more: AtomicBool,
    since: Millis,
    stop: &'a AtomicBool,
}

impl Shared<'_> {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        locked(&self.queue)
    }

    /// Jobs that a runner has in hand. Whoever changes the queue by it holds the queue before, so that no runner lets go of
    /// one in between ([`Shared::let_go`]).
    fn in_hand(&self) -> HashSet<i64> {
        locked(&self.controls).keys().copied().collect()
    }

    /// A runner no longer has a job in hand. One that was resumed in its last moment waits for its turn again.
    fn let_go(&self, id: i64) -> Result<(), QueueError> {
        let mut queue = self.queue();
        locked(&self.controls).remove(&id);
        queue.release(id)
    }

    /// Whether a job in hand goes on.
    fn control_of(&self, id: i64) -> Control {
        match self.is_stopped() {
            true => Control::Leave,
            false => locked(&self.controls).get(&id).copied().unwrap_or(Control::Hold),
        }
    }

    /// Tells the jobs in hand whose turn it is, after the queue changed, and wakes who waits for that.
    fn reschedule(&self) -> Result<(), QueueError> {
        let is_draining = self.is_draining.load(Ordering::SeqCst);
        // Both at once, the queue first as everywhere: what is told must not be older than what was told before.
        let (mut queue, mut controls) = (self.queue(), locked(&self.controls));
        let mut turns = HashSet::new();
        for (backend, _) in self.executors {
            turns.extend(queue.turns(*backend, self.places(*backend), is_draining, now())?);
        }
        let ids: Vec<i64> = controls.keys().copied().collect();
        let states = queue.states(&ids)?;
        for (id, control) in controls.iter_mut() {
            *control = match states.get(id) {
                Some(JobState::Running) if turns.contains(id) => Control::Go,
                Some(JobState::Running | JobState::Paused) if !is_draining => Control::Hold,
                Some(state) if !state.is_over() => Control::Leave,
                _ => Control::Stop,
            };
            crash::hold(*id, *control == Control::Hold);
        }
        drop((queue, controls));
        self.wake();
        Ok(())
    }

    /// Whether it is within the hours of work.
    fn is_open(&self) -> bool {
        self.is_once || self.config.jobs.hours.is_none_or(|hours| hours.is_now())
    }

    /// How many jobs of a back end may be at work now.
    fn places(&self, backend: Backend) -> usize {
        if self.is_open() { self.config.places(backend) } else { 0 }
    }

    /// Lets jobs go on, begin and wait when the time for that has come, until `is_over`.
    fn keep_time(&self, listener: &control::Listener, is_over: &AtomicBool) -> Result<(), ServiceError> {
        let mut is_open = self.is_open();
        let (mut planned, mut cleaned) = (None, Instant::now());
        while !is_over.load(Ordering::SeqCst) {
            listener.restore();
            let version = self.version();
            let resumed = {
                let mut queue = self.queue();
                let in_hand = self.in_hand();
                queue.resume_due(|id| in_hand.contains(&id), now())?
            };
            resumed.iter().for_each(|id| tracing::info!("job {id}: the pause is over"));
            let before = std::mem::replace(&mut is_open, self.is_open());
            if before != is_open {
                tracing::info!("the hours of work {}", if is_open { "begin" } else { "are over" });
            }
            if !resumed.is_empty() || before != is_open || planned.is_some_and(|planned| planned <= now()) {
                self.reschedule()?;
            }
            if cleaned.elapsed() >= CLEAN {
                cleaned = Instant::now();
                self.clean()?;
            }
            planned = self.queue().next_moment(now())?;
            let left = planned.map(|planned| Duration::from_millis((planned - now()).max(1).unsigned_abs()));
            self.wait(version, left.map_or(CLOCK, |left| left.min(CLOCK)));
        }
        Ok(())
    }

    /// Tells the user's program what became of a job.
    fn run_hook(&self, id: i64, report: Option<&Report>) -> Result<(), QueueError> {
        let hooks = &self.config.hooks;
        let Some(row) = self.queue().row(id)? else { return Ok(()) };
        let mut job = status::as_json(&row);
        job["event"] = if report.is_some() { "done" } else { "failed" }.into();
        job["report"] = report.map_or(serde_json::Value::Null, |report| serde_json::json!(report));
        self.hooks.start(hooks, report.is_some(), &job);
        Ok(())
    }

    /// Removes what jobs that are at their end leave in the state folder.
    fn clean(&self) -> Result<(), QueueError> {
        for (backend, executor) in self.executors {
            // Of a job that the queue cannot tell of now nothing is removed.
            executor.tidy(&|id| self.queue().state_with(id, *backend).unwrap_or(Some(JobState::Running)));
        }
        let mut queue = self.queue();
        let in_hand = self.in_hand();
        checkpoints::clean(&self.config.state, &mut queue, |id| in_hand.contains(&id))
    }

    /// Without the queue there is no use in going on: one part that fails ends all, and what is at work is begun again.
    fn or_stop<T>(&self, result: Result<T, ServiceError>) -> Result<T, ServiceError> {
        if result.is_err() {
            self.stop.store(true, Ordering::SeqCst);
            self.wake();
        }
        result
    }

    fn wake(&self) {
        *locked(&self.changes) += 1;
        self.changed.notify_all();
    }

    fn version(&self) -> u64 {
        *locked(&self.changes)
    }

    /// Waits for a change since `version`, at most so long.
    fn wait(&self, version: u64, longest: Duration) {
        drop(self.changed.wait_timeout_while(locked(&self.changes), longest, |now| *now == version));
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

/// Watches and works until `stop` is set; with `run.once` until all that is there is processed.
///
/// # Errors
/// When it cannot begin, and when the queue fails: what a single video does is in the queue.
pub fn run(config: &Config, run: RunOptions, stop: &AtomicBool) -> Result<Summary, ServiceError> {
    if config.watch.is_empty() {
        return Err(ServiceError::NoFolders);
    }
    for watch in &config.watch {
        let is_same = |a: &PathBuf, b: &PathBuf| {
            a == b || a.canonicalize().is_ok_and(|a| Ok(a) == b.canonicalize().map_err(drop))
        };
        if config.watch.iter().any(|other| is_same(&other.path, &watch.output)) {
            return Err(ServiceError::OutputIsWatched { path: watch.output.clone() });
        }
        if watch.originals == Originals::Move {
            if watch.originals_folder.as_os_str().is_empty() {
                return Err(ServiceError::NoOriginalsFolder { path: watch.path.clone() });
            }
            if config.watch.iter().any(|other| is_same(&other.path, &watch.originals_folder)) {
                return Err(ServiceError::OutputIsWatched { path: watch.originals_folder.clone() });
            }
        }
    }
    let state = &config.state;
    let state_error = |source| ServiceError::StateFolder { path: state.clone(), source };
    std::fs::create_dir_all(state).map_err(state_error)?;
    let mut lock = lock::hold(state)?;
    crash::ignore_lease_breaks();
    let blamed = crash::blamed(state).map_err(state_error)?;
    let mut queue = Queue::open(state)?;
    if config.jobs.history_days > 0 {
        queue.prune(now() - i64::from(config.jobs.history_days) * 86_400_000)?;
    }
    let since = now();
    if !blamed.is_empty() {
        tracing::warn!(
            "the last run crashed while at work on {} of the videos; one that does so twice is set aside",
            blamed.len()
        );
    }
    queue.assign(|source| config.backend_of(source))?;
    let folders = queue.recover(&blamed, |id| frames_written_down(&checkpoints::path(state, id)), now())?;
    // What workers on other machines write does not show here, but bears their names.
    let has_jobs_elsewhere = slurm::has_jobs(config);
    let is_anothers = |path: &Path| has_jobs_elsewhere && path.file_name().is_some_and(is_signed);
    let is_in_use = |path: &Path| is_anothers(path) || is_open_for_writing(path);
    folders.iter().for_each(|folder| remove_leftovers(folder, is_in_use));
    checkpoints::prepare(state).map_err(state_error)?;
    checkpoints::clean(state, &mut queue, |_| false)?;
    // Only now, when the queue knows: this forgets whom the last run blamed.
    crash::watch(state).map_err(state_error)?;
    let executors = executors(config, has_jobs_elsewhere)?;
    let live = executors.first().map_or_else(|| Arc::new(Live::new(0)), |(_, executor)| executor.live().clone());
    let shared = Shared {
        config,
        executors: &executors,
        live,
        queue: Mutex::new(queue),
        controls: Mutex::default(),
        changes: Mutex::default(),
        changed: Condvar::new(),
        is_complete: AtomicBool::new(false),
        is_draining: AtomicBool::new(false),
        is_once: run.once,
        is_headless: run.headless,
        hooks: hooks::Running::default(),
        recent: Mutex::default(),
        folders: Mutex::default(),
        added: Mutex::default(),
        has_more: AtomicBool::new(false),
        since,
        stop,
    };
    shared.clean()?;
    let listener = control::Listener::open(state, &mut lock)?;
    let is_over = AtomicBool::new(false);
    let end = || {
        is_over.store(true, Ordering::SeqCst);
        listener.wake();
        shared.wake();
    };
    let result = std::thread::scope(|scope| {
        let start = || {
            spawn_scoped(scope, "listen", || listener.serve(&shared, &is_over))?;
            let clock = spawn_scoped(scope, "clock", || shared.or_stop(shared.keep_time(&listener, &is_over)))?;
            let shared = &shared;
            let runners = shared.executors.iter().map(|(backend, executor)| {
                let work = move || shared.or_stop(runner::work(shared, *backend, &**executor));
                spawn_scoped(scope, backend.name(), work)
            });
            let runners = runners.collect::<std::io::Result<Vec<_>>>()?;
            Ok((clock, runners))
        };
        let (clock, runners) = start().map_err(ServiceError::Thread).inspect_err(|_| {
            stop.store(true, Ordering::SeqCst);
            end();
        })?;
        let kept = shared.or_stop(ingest::keep(&shared, run.once));
        shared.is_complete.store(true, Ordering::SeqCst);
        shared.wake();
        let mut result = kept;
        for runner in runners {
            result = runner.join().unwrap_or(Ok(())).and(result);
        }
        end();
        clock.join().unwrap_or(Ok(())).and(result)
    });
    shared.hooks.finish(shared.is_stopped());
    let unread = result?;
    let mut queue = shared.queue();
    Ok(Summary { done: queue.ended(JobState::Done, since)?, failed: queue.ended(JobState::Failed, since)? + unread })
}

/// Whoever works on jobs, this process first. One whose jobs nobody drops any more is there to give up those that it has.
fn executors(config: &Config, has_jobs_elsewhere: bool) -> Result<Vec<Station>, ServiceError> {
    let mut all: Vec<Station> = Vec::new();
    for backend in Backend::ALL {
        let is_wanted = config.backends().contains(&backend) || (backend == Backend::Slurm && has_jobs_elsewhere);
        if !is_wanted {
            continue;
        }
        let live = all.first().map(|(_, executor)| executor.live().clone());
        let executor: Box<dyn Executor> = match backend {
            Backend::Local => Box::new(Local::start(config)?),
            Backend::Slurm => Box::new(Slurm::start(config, live.unwrap_or_else(|| Arc::new(Live::new(0))))?),
        };
        all.push((backend, executor));
    }
    Ok(all)
}

/// What is free on the disk of a folder, for who is no superuser.
fn free_megabytes(folder: &std::path::Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize) / 1_000_000)
}

/// A path for a message.
fn shown(path: &std::path::Path) -> String {
    printable(&path.to_string_lossy())
}
