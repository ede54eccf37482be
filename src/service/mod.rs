//! The service: takes what is dropped into the watched folders, and works through the queue.
//!
//! One keeper looks at the folders and fills the queue; as many runners as jobs may run at a time take from it. The queue on disk
//! is the only thing they share, so that a run that is cut short loses nothing.

mod crash;
mod keeper;
mod lock;
mod runner;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::Config;
use crate::pipeline::{Engine, StartError, remove_leftovers};
use crate::progress::printable;
use crate::queue::{Queue, QueueError, State, now};

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Nothing to watch.
    #[error("no folder is watched; add a [[watch]] section with path and output to the configuration")]
    NoFolders,
    /// Results would be taken for new videos.
    #[error("[[watch]] {}: results would be dropped into the watched folder itself; name another output", path.display())]
    OutputIsWatched {
        /// The folder.
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
    State {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The queue cannot be used.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// No job can run.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Jobs whose results are in place.
    pub done: u64,
    /// Jobs that were given up.
    pub failed: u64,
}

/// What keeper and runners share.
struct Shared<'a> {
    config: &'a Config,
    queue: Mutex<Queue>,
    /// Woken when the queue changed.
    changed: Condvar,
    /// No more jobs will come.
    is_complete: AtomicBool,
    stop: &'a AtomicBool,
}

impl Shared<'_> {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change of the queue, at most so long.
    fn wait(&self, longest: Duration) {
        drop(self.changed.wait_timeout(self.queue(), longest));
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Watches and works until `stop` is set; with `once` until all that is there is processed.
///
/// # Errors
/// When it cannot begin, and when the queue fails: what a single video does is in the queue.
pub fn run(config: &Config, once: bool, stop: &AtomicBool) -> Result<Summary, ServiceError> {
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
    }
    let state = &config.state;
    let state_error = |source| ServiceError::State { path: state.clone(), source };
    std::fs::create_dir_all(state).map_err(state_error)?;
    let _lock = lock::hold(state)?;
    let blamed = crash::watch(state).map_err(state_error)?;
    let mut queue = Queue::open(state)?;
    if config.jobs.history_days > 0 {
        queue.prune(now() - i64::from(config.jobs.history_days) * 86_400_000)?;
    }
    let before = counts(&mut queue)?;
    if !blamed.is_empty() {
        tracing::warn!(
            "the last run crashed while at work on {} of the videos; one that does so twice is set aside",
            blamed.len()
        );
    }
    for folder in queue.recover(&blamed, now())? {
        remove_leftovers(&folder);
    }
    let engine = Engine::start(config)?;
    let shared =
        Shared { config, queue: Mutex::new(queue), changed: Condvar::new(), is_complete: AtomicBool::new(false), stop };
    let result = std::thread::scope(|scope| {
        let runners: Vec<_> =
            (0..config.jobs.concurrent).map(|n| (n, scope.spawn(|| runner::work(&shared, &engine)))).collect();
        let kept = keeper::keep(&shared, once);
        // A keeper that failed ends the runners as well.
        shared.is_complete.store(true, Ordering::Relaxed);
        if kept.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        shared.changed.notify_all();
        let mut result = kept;
        for (n, runner) in runners {
            let ended = runner.join().unwrap_or_else(|_| {
                tracing::error!("runner {n} panicked; its job is taken up again at the next start");
                Ok(())
            });
            result = result.and(ended);
        }
        result
    });
    result?;
    let after = counts(&mut shared.queue())?;
    Ok(Summary { done: after.done - before.done, failed: after.failed - before.failed })
}

fn counts(queue: &mut Queue) -> Result<Summary, QueueError> {
    Ok(Summary { done: queue.count(State::Done)?, failed: queue.count(State::Failed)? })
}

/// A path for a message.
fn shown(path: &std::path::Path) -> String {
    printable(&path.to_string_lossy())
}
