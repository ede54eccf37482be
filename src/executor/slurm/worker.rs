//! `meshreel work`: works on one job on a node of the cluster, and says what happens in files.
//!
//! A batch script may outlive its node's daemon, and the job be begun elsewhere meanwhile. So a job belongs to the worker whose random name is
//! in the file `owner`, the last one that began. Any other ends as soon as it sees that, and puts nothing in place.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};

use super::folder::{CHECKPOINT, CONTROL, Folder, FolderError, OWNER, Outcome, RESULT, SPEC, Wish, Work};
use super::relay::{Said, file_of};
use super::{locked, random};
use crate::config::Config;
use crate::control::Control;
use crate::executor::{Executor, Local};
use crate::export;
use crate::job::{Event, Failure, FailureKind, JobContext, Overrides, Share};
use crate::telemetry::{Buffer, Timings};
use crate::thread::{self, spawn_scoped};

/// How often it is looked whether the job is to go on.
const LOOK: Duration = Duration::from_millis(500);
/// How often progress and figures are written.
const TELL: Duration = Duration::from_secs(1);
/// How long a helper waits for a checkpoint that it can go on from.
const UNSEEN: Duration = Duration::from_secs(30);
/// How long a new owner gives the one before to see that it is none any more.
const HANDOVER: Duration = Duration::from_secs(2);

/// Why a worker does nothing.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// There is no such job any more.
    #[error("{}: there is no such job, or none of this version of meshreel; it may have been cancelled or done elsewhere", path.display())]
    NoJob {
        /// Its specification.
        path: PathBuf,
    },
    /// Its files.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// What it says cannot be written.
    #[error("{}: {source}", path.display())]
    Events {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system gives no thread, or no signals.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

/// Works on the job of this specification until it has a result, is told to end, or belongs to somebody else. `is_helper`: it only helps the
/// worker that the job belongs to.
///
/// # Errors
/// When it cannot begin, or the result cannot be written.
pub fn work(spec: &Path, is_helper: bool) -> Result<(), WorkerError> {
    let folder = Folder::around(spec);
    let no_job = || WorkerError::NoJob { path: spec.to_owned() };
    let work: Work = folder.read(SPEC)?.ok_or_else(no_job)?;
    if folder.file(RESULT).exists() {
        return Ok(());
    }
    let signalled = Signals::watch()?;
    cores_of_task();
    let before: Option<String> = folder.read(OWNER)?;
    let owner = random();
    if !is_helper {
        folder.write(OWNER, &owner)?;
    }
    export::sign(&owner);
    let voice = Voice::open(&folder, &owner)?;
    voice.say(&Said::Began {
        node: node(),
        task: number("SLURM_JOB_ID").map(|id| id as u64),
        restarts: number("SLURM_RESTART_COUNT").unwrap_or(0) as u32,
        process: std::process::id(),
        cores: thread::cores(),
        gpus: std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default(),
        is_helper,
    });
    let share = match is_helper {
        false if !work.is_shared => Share::All,
        false => Share::First,
        // Slurm counts them from 1.
        true => Share::Helper {
            number: number("SLURM_ARRAY_TASK_ID").unwrap_or(1).saturating_sub(1),
            of: number("SLURM_ARRAY_TASK_COUNT").unwrap_or(1),
        },
    };
    let (why, is_told) = (Mutex::default(), AtomicBool::new(false));
    let worker = Worker { folder, name: work.name.clone(), owner, share, voice, signalled, why, is_told };
    if before.is_some() && !is_helper {
        // Two writers of a checkpoint would be one too many.
        std::thread::sleep(HANDOVER);
    }
    worker.look();
    let outcome = match worker.is_told.load(Ordering::SeqCst) {
        true => None,
        false => worker.carry_out(&work)?,
    };
    worker.look();
    match outcome {
        Some(outcome) if !is_helper && worker.is_wanted() => worker.folder.write(RESULT, &outcome)?,
        _ => worker.voice.say(&Said::Left { why: locked(&worker.why).clone() }),
    }
    Ok(())
}

struct Worker {
    folder: Folder,
    /// What Slurm calls the job.
    name: String,
    /// Its random name.
    owner: String,
    share: Share,
    voice: Voice,
    signalled: Signals,
    /// Why it ends.
    why: Mutex<String>,
    /// It is to end.
    is_told: AtomicBool,
}

impl Worker {
    /// What became of the job; `None` when it was told to end.
    fn carry_out(&self, work: &Work) -> Result<Option<Outcome>, WorkerError> {
        let mut config = Config {
            device: work.device,
            workers: work.workers,
            encode: work.spec.settings.encode.clone(),
            limits: work.limits,
            ..Config::default()
        };
        config.jobs.stretches = work.stretches;
        config.models.folder.clone_from(&work.models);
        config.onnxruntime.library.clone_from(&work.library);
        let settings = &work.spec.settings;
        config.set_overrides(Overrides {
            model: Some(settings.model),
            detector: Some(settings.detector),
            body: Some(settings.body),
            ..Overrides::default()
        });
        let (is_over, latest) = (AtomicBool::new(false), Mutex::new(None));
        std::thread::scope(|scope| {
            let executor = match Local::start(&config) {
                Ok(executor) => executor,
                Err(error) => {
                    let reason = format!("on node {}: {error}", node());
                    locked(&self.why).clone_from(&reason);
                    return Ok(Some(Outcome::Failed(Failure { reason, kind: FailureKind::Passing })));
                }
            };
            self.voice.say(&Said::Ready {
                inference: executor.inference().to_owned(),
                renderer: executor.renderer().to_owned(),
            });
            let timings = Arc::new(Timings::to_be_taken(work.job, executor.live().clone()));
            let (shared, latest, is_over) = (timings.clone(), &latest, &is_over);
            let reporter = spawn_scoped(scope, "report", move || self.report(&shared, latest, is_over))?;
            let checkpoint = self.folder.file(CHECKPOINT);
            let context = JobContext {
                checkpoint: Some(&checkpoint),
                share: self.share,
                timings,
                priority: 0,
                control: &|| if self.is_told.load(Ordering::SeqCst) { Control::Leave } else { Control::Go },
                events: &|event| match event {
                    Event::Progress { .. } => *locked(latest) = Some(event),
                    other => self.voice.say(&Said::Event(other)),
                },
            };
            let result = match self.share {
                Share::Helper { .. } => self.help(&executor, work, &context).map(|()| None),
                _ => executor.work(&work.spec, &context).map(Some),
            };
            is_over.store(true, Ordering::SeqCst);
            reporter.thread().unpark();
            drop(reporter.join());
            Ok(match result {
                Ok(report) => report.map(|report| Outcome::Done(Box::new(report))),
                Err(Failure { kind: FailureKind::Stopped, .. }) => None,
                Err(failure) => Some(Outcome::Failed(failure)),
            })
        })
    }

    /// Helps with the job, once it has begun.
    fn help(&self, executor: &Local, work: &Work, context: &JobContext<'_>) -> Result<(), Failure> {
        let begun = Instant::now();
        while !self.is_told.load(Ordering::SeqCst) {
            let reason = match executor.help(&work.spec, context) {
                // It may become visible here a little later.
                Ok(false) if begun.elapsed() < UNSEEN => {
                    std::thread::sleep(LOOK);
                    continue;
                }
                Ok(false) => "the job was begun on a node of another kind, or with another meshreel".to_owned(),
                Ok(true) => "nothing is left to help with".to_owned(),
                Err(Failure { kind: FailureKind::Stopped, .. }) => break,
                Err(failure) => failure.reason,
            };
            *locked(&self.why) = reason;
            break;
        }
        Ok(())
    }

    /// Looks and tells, now and then, until `is_over`.
    fn report(&self, timings: &Timings, latest: &Mutex<Option<Event>>, is_over: &AtomicBool) {
        let mut told = Instant::now();
        loop {
            let is_last = is_over.load(Ordering::SeqCst);
            self.look();
            if told.elapsed() >= TELL || is_last {
                told = Instant::now();
                let times = timings.take();
                if !times.is_empty() {
                    self.voice
                        .say(&Said::Figures { times, depths: Buffer::ALL.map(|buffer| timings.live().depth(buffer)) });
                }
                if let Some(event) = locked(latest).take() {
                    self.voice.say(&Said::Event(event));
                }
            }
            if is_last {
                return;
            }
            std::thread::park_timeout(LOOK);
        }
    }

    /// Looks whether it is to end.
    fn look(&self) {
        let why = if let Some(signal) = self.signalled.which() {
            signal.to_owned()
        } else if !self.is_wanted() {
            "the job is done or cancelled, or belongs to another worker".to_owned()
        } else if self.folder.read(CONTROL).ok().flatten() == Some(Wish::Stop) {
            "told so".to_owned()
        } else {
            return;
        };
        if !self.is_told.swap(true, Ordering::SeqCst) {
            *locked(&self.why) = why;
        }
    }

    /// A file that cannot be read now says nothing.
    fn is_wanted(&self) -> bool {
        match self.share {
            Share::Helper { .. } => {
                let job = self.folder.read::<Work>(SPEC);
                job.map_or(true, |job| job.is_some_and(|job| job.name == self.name))
                    && !self.folder.file(RESULT).exists()
            }
            _ => self.folder.read::<String>(OWNER).map_or(true, |owner| owner.as_ref() == Some(&self.owner)),
        }
    }
}

/// The file of what it says.
struct Voice(Mutex<File>);

impl Voice {
    fn open(folder: &Folder, owner: &str) -> Result<Self, WorkerError> {
        let path = folder.file(&file_of(owner));
        let file = OpenOptions::new().append(true).create(true).open(&path);
        file.map(|file| Self(Mutex::new(file))).map_err(|source| WorkerError::Events { path, source })
    }

    /// A line that cannot be written is no reason to stop the work.
    fn say(&self, said: &Said) {
        if let Ok(mut line) = serde_json::to_vec(said) {
            line.push(b'\n');
            drop(locked(&self.0).write_all(&line));
        }
    }
}

/// Signals that tell a worker to end.
struct Signals([(&'static str, Arc<AtomicBool>); 3]);

impl Signals {
    fn watch() -> std::io::Result<Self> {
        let watched = [("SIGUSR1", SIGUSR1), ("SIGTERM", SIGTERM), ("SIGINT", SIGINT)];
        let all = watched.map(|(name, signal)| (name, signal, Arc::new(AtomicBool::new(false))));
        for (_, signal, flag) in &all {
            signal_hook::flag::register(*signal, flag.clone())?;
        }
        Ok(Self(all.map(|(name, _, flag)| (name, flag))))
    }

    fn which(&self) -> Option<&'static str> {
        self.0.iter().find(|(_, flag)| flag.load(Ordering::SeqCst)).map(|(name, _)| *name)
    }
}

/// Cores of this task: those that it may run on, and no more than Slurm says where it does not bind tasks to cores.
pub fn cores_of_task() -> usize {
    if let Some(cores) = number("SLURM_CPUS_ON_NODE") {
        thread::borrow(cores);
    }
    thread::cores()
}

/// A number that Slurm tells its tasks.
fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.parse().ok()
}

/// This machine, as Slurm calls it.
pub fn node() -> String {
    let own = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    std::env::var("SLURMD_NODENAME").unwrap_or_else(|_| own())
}
