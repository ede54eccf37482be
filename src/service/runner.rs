//! Takes an executor's jobs from the queue, and has it work on them.

use crate::control::Control;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::crash::AtWork;
use super::{ServiceError, Shared, checkpoints, free_megabytes, locked, originals, shown};
use crate::clock::{Millis, now};
use crate::executor::Executor;
use crate::job::{Backend, Event, Failure, FailureKind, JobContext, JobState, Phase, Report, Stamp};
use crate::log::JOBS;
use crate::progress::{FileProgress, ProgressStyle};
use crate::queue::{Claim, QueueMode};
use crate::telemetry::Timings;
use crate::text::{people, printable};
use crate::thread::spawn_scoped;

/// How long a job waits before it is looked again whether there is room.
const ROOM_WAIT: Millis = 10_000;
/// How often progress is noted in the queue, of all jobs together and of each at most. Each time is a write to the disk.
const NOTED: Duration = Duration::from_millis(60);
const NOTED_OF_ONE: Duration = Duration::from_secs(1);
/// Longest sleep while there is nothing to do.
const NAP: Duration = Duration::from_secs(5);
/// Jobs in hand beyond those that may be at work: they wait where they are, paused or overtaken.
const SPARE: usize = 7;

/// Works on a back end's jobs until the run is stopped, or everything is done and nothing more will come. Each job in hand has a
/// thread, and none waits for a job.
pub fn work(shared: &Shared<'_>, backend: Backend, executor: &dyn Executor) -> Result<(), ServiceError> {
    let in_hand = AtomicUsize::new(0);
    let trouble = Mutex::new(None);
    let result = std::thread::scope(|scope| {
        loop {
            // All before asking, so that a job that is added or ends in between is not missed.
            let is_complete = shared.is_complete.load(Ordering::SeqCst);
            let version = shared.version();
            let count = in_hand.load(Ordering::SeqCst);
            if shared.is_stopped() || shared.is_draining.load(Ordering::SeqCst) {
                return Ok(());
            }
            let (claim, next, mode) = {
                let mut queue = shared.queue();
                let claim = match count < shared.config.places(backend) + SPARE {
                    true => queue.claim(backend, shared.places(backend), now())?,
                    false => None,
                };
                if let Some(claim) = &claim {
                    locked(&shared.controls).insert(claim.id, Control::Go);
                }
                (claim, queue.next_ready(backend)?, queue.mode(now())?)
            };
            match (claim, next) {
                (Some(claim), _) => {
                    shared.reschedule()?;
                    let id = claim.id;
                    in_hand.fetch_add(1, Ordering::SeqCst);
                    let (in_hand, trouble) = (&in_hand, &trouble);
                    let work = move || {
                        let carry_out = AssertUnwindSafe(|| shared.or_stop(carry_out(shared, executor, &claim)));
                        match catch_unwind(carry_out) {
                            Ok(Ok(())) => {}
                            Ok(Err(error)) => drop(locked(trouble).get_or_insert(error)),
                            Err(_) => {
                                tracing::error!("job {id}: its thread panicked; it is taken up at the next start")
                            }
                        }
                        in_hand.fetch_sub(1, Ordering::SeqCst);
                        shared.wake();
                    };
                    if let Err(error) = spawn_scoped(scope, &format!("job-{id}"), work) {
                        in_hand.fetch_sub(1, Ordering::SeqCst);
                        tracing::warn!("job {id} waits: {error}");
                        shared.queue().put_back(id, now())?;
                        shared.let_go(id)?;
                        shared.wait(shared.version(), NAP);
                    }
                }
                // One that is at work may fail, and is tried again then.
                (None, None) if is_complete && count == 0 => return Ok(()),
                (None, Some(_)) if is_complete && mode != QueueMode::Go => {
                    tracing::warn!("everything is paused, so nothing is begun; `meshreel resume --all` lets it go on");
                    return Ok(());
                }
                (None, next) => {
                    // One whose time has come waits for a place rather than for the clock.
                    let until = next.map(|next| next - now()).filter(|&until| until > 0);
                    let until = until.map_or(NAP, |millis| Duration::from_millis(millis.unsigned_abs()));
                    shared.wait(version, until.min(NAP));
                }
            }
        }
    });
    let trouble = trouble.into_inner().unwrap_or_else(PoisonError::into_inner);
    trouble.map_or(result, Err)
}

/// Works on one claimed job, and lets go of it.
fn carry_out(shared: &Shared<'_>, executor: &dyn Executor, claim: &Claim) -> Result<(), ServiceError> {
    let result = run_claim(shared, executor, claim);
    shared.let_go(claim.id)?;
    result?;
    shared.clean()?;
    Ok(shared.reschedule()?)
}

/// Works on one claimed job: checks its source and the room there is, has the executor do it, and writes down what became of it.
fn run_claim(shared: &Shared<'_>, executor: &dyn Executor, claim: &Claim) -> Result<(), ServiceError> {
    match std::fs::metadata(&claim.spec.source) {
        Ok(metadata) if Stamp::of(&metadata) != claim.stamp => {
            // Ingest sees the change too, and queues the file again when it is at rest.
            shared.queue().cancelled(claim.id, "the file changed before its turn", now())?;
            return Ok(());
        }
        Err(error) if is_removed(&claim.spec.source, &error) => {
            shared.queue().removed(claim, now())?;
            return Ok(());
        }
        Err(error) => {
            // The whole folder is away, a network drive perhaps, or the disk fails. That is not the file's fault: a service
            // waits for as long as it takes.
            let reason = format!("it is unavailable: {error}");
            let mut queue = shared.queue();
            match shared.is_complete.load(Ordering::SeqCst) && claim.attempts >= shared.config.jobs.attempts {
                true => queue.failed(claim.id, &reason, now())?,
                false => drop(queue.try_later(claim, &reason, now())?),
            }
            return Ok(());
        }
        Ok(_) => {}
    }
    if let Some(reason) = lack_of_room(shared, claim) {
        return short_of_room(shared, claim, &reason);
    }
    let style = if shared.config.concurrent_jobs() > 1 { ProgressStyle::Plain } else { ProgressStyle::Auto };
    let progress = FileProgress::new(&claim.spec.source.to_string_lossy(), style, false);
    // Without a terminal the log tells it all.
    let show = |event: &Event| {
        if !shared.is_headless {
            progress.event(event);
        }
    };
    let noted = Mutex::new(Instant::now());
    let events = |event: Event| {
        match &event {
            Event::Progress { phase, done, total, people } => {
                locked(&shared.recent).progress(claim.id, *phase, *done, *total, *people);
                note(shared, claim.id, &noted, (*phase, *done, *total, *people));
            }
            Event::Warning(text) => tell(shared, claim, text),
            Event::Note(text) => remark(shared, claim, text),
            Event::Stretches(_) => {}
            Event::Placed(placement) => {
                let node = placement.as_ref().and_then(|placement| placement.node.as_ref());
                locked(&shared.recent).place(claim.id, node.is_some());
                if let Err(error) = shared.queue().placed(claim.id, placement.as_ref()) {
                    tracing::warn!("{error}");
                }
                shared.wake();
            }
            Event::Done(_) | Event::Failed(_) => {}
        }
        show(&event);
    };
    let timings = Arc::new(Timings::new(claim.id, executor.live().clone()));
    let checkpoint = checkpoints::path(&shared.config.state, claim.id);
    let context = JobContext {
        checkpoint: Some(&checkpoint),
        share: crate::job::Share::All,
        timings: timings.clone(),
        priority: claim.priority,
        control: &|| shared.control_of(claim.id),
        events: &events,
    };
    locked(&shared.recent).begin(&timings);
    // Who works elsewhere does not bring this process down.
    let at_work = executor.is_here().then(|| AtWork::new(claim.id));
    let result = executor.work(&claim.spec, &context);
    drop(at_work);
    locked(&shared.recent).end(claim.id);
    conclude(shared, claim, result, &show)
}

/// Whether a file is gone for certain: its folder is there, and does not have it. Any other error says nothing about it.
fn is_removed(source: &std::path::Path, error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound && source.parent().is_some_and(std::path::Path::is_dir)
}

/// Notes the progress unless that was done a moment ago, or somebody else does it.
fn note(shared: &Shared<'_>, id: i64, noted: &Mutex<Instant>, at: (Phase, u64, Option<u64>, usize)) {
    let Ok(mut last) = noted.try_lock() else { return };
    let jobs = u32::try_from(locked(&shared.controls).len()).unwrap_or(u32::MAX);
    if last.elapsed() < NOTED_OF_ONE.max(NOTED * jobs) {
        return;
    }
    *last = Instant::now();
    let (phase, frames, total, people) = at;
    if let Err(error) = shared.queue().progress(id, phase, frames, total, people) {
        tracing::warn!("{error}");
    }
}

/// For those who read the log of the program, or of the job.
fn tell(shared: &Shared<'_>, claim: &Claim, text: &str) {
    tracing::warn!(target: JOBS, job = claim.id, "{}: {}", shown(&claim.spec.source), printable(text));
    if let Err(error) = shared.queue().note(claim.id, text, now()) {
        tracing::warn!("{error}");
    }
}

/// The same where it is no warning.
fn remark(shared: &Shared<'_>, claim: &Claim, text: &str) {
    tracing::info!(target: JOBS, job = claim.id, "{}: {}", shown(&claim.spec.source), printable(text));
    if let Err(error) = shared.queue().note(claim.id, text, now()) {
        tracing::warn!("{error}");
    }
}

/// Why there is too little room for a job to begin, if there is.
fn lack_of_room(shared: &Shared<'_>, claim: &Claim) -> Option<String> {
    let needed = shared.config.jobs.room;
    let folders = [&*claim.spec.outputs.folder, &shared.config.state];
    folders.into_iter().find_map(|folder| {
        // What is not there yet is made where its nearest parent is.
        let there = folder.ancestors().find(|folder| folder.exists())?;
        let folder = shown(folder);
        (free_megabytes(there)? < needed)
            .then(|| format!("the disk of {folder} has less than {needed} MB free; it waits for room (jobs.room)"))
    })
}

/// Lets a job wait for room. A run that is to end does not wait for ever.
fn short_of_room(shared: &Shared<'_>, claim: &Claim, reason: &str) -> Result<(), ServiceError> {
    let mut queue = shared.queue();
    if shared.is_once && claim.attempts >= shared.config.jobs.attempts {
        queue.failed(claim.id, reason, now())?;
    } else if shared.is_once {
        queue.try_later(claim, reason, now())?;
    } else if !queue.wait_for_room(claim.id, reason, now() + ROOM_WAIT, now())? {
        return Ok(());
    }
    tracing::warn!("{}: {}", shown(&claim.spec.source), printable(reason));
    Ok(())
}

/// Writes down what became of a job.
fn conclude(
    shared: &Shared<'_>,
    claim: &Claim,
    result: Result<Report, Failure>,
    show: &dyn Fn(&Event),
) -> Result<(), ServiceError> {
    let name = shown(&claim.spec.source);
    let Failure { reason, kind } = match result {
        Ok(report) => return done(shared, claim, report, show),
        Err(failure) => failure,
    };
    if shared.is_stopped() || kind == FailureKind::Stopped {
        let mut queue = shared.queue();
        queue.put_back(claim.id, now())?;
        show(&Event::Failed(match queue.state(claim.id)? {
            Some(JobState::Queued) => "stopped; it goes on at the next start".into(),
            state => state.map_or("stopped", JobState::name).to_owned(),
        }));
        return Ok(());
    }
    let full = match kind {
        FailureKind::CheckpointFull => Some(&shared.config.state),
        FailureKind::OutputFull => Some(&claim.spec.outputs.folder),
        _ => None,
    };
    if let Some(folder) = full {
        show(&Event::Failed(reason));
        let reason = format!("the disk of {} is full; it goes on when there is room", shown(folder));
        return short_of_room(shared, claim, &reason);
    }
    if kind == FailureKind::Permanent || claim.attempts >= shared.config.jobs.attempts {
        let mut queue = shared.queue();
        queue.failed(claim.id, &reason, now())?;
        tracing::error!(target: JOBS, job = claim.id, "{name}: {}", printable(&reason));
        let is_failed = queue.state(claim.id)? == Some(JobState::Failed);
        drop(queue);
        if is_failed {
            shared.run_hook(claim.id, None)?;
        }
        show(&Event::Failed(reason));
        return Ok(());
    }
    let at = shared.queue().try_later(claim, &reason, now())?;
    let seconds = (at - now()).max(0) / 1000;
    tracing::warn!(target: JOBS, job = claim.id, "{name}: {}; tried again in {seconds} s", printable(&reason));
    show(&Event::Failed(format!("{reason}; tried again in {seconds} s")));
    Ok(())
}

/// Writes down that the results of a job are in place, and does with its video what the folder's settings say.
fn done(shared: &Shared<'_>, claim: &Claim, report: Report, show: &dyn Fn(&Event)) -> Result<(), ServiceError> {
    let name = shown(&claim.spec.source);
    shared.queue().done(claim.id, &report, now())?;
    tracing::info!(
        target: JOBS, job = claim.id, "{name}: done, {} frames, {}, {} s", report.frames, people(report.people),
        report.seconds
    );
    // To another disk this takes as long as a copy does: everybody else needs the queue meanwhile.
    match originals::put_away(shared.config, &claim.spec.source, claim.stamp) {
        Ok(None) => {}
        Ok(Some(what)) => shared.queue().note(claim.id, &what, now())?,
        Err(error) => {
            let trouble = format!("the original stays where it is: {error}");
            tracing::warn!("{name}: {trouble}");
            shared.queue().note(claim.id, &trouble, now())?;
        }
    }
    shared.run_hook(claim.id, Some(&report))?;
    show(&Event::Done(Box::new(report)));
    Ok(())
}
