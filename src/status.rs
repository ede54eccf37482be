//! `meshreel status` and `meshreel log`: jobs and what happened to them, for people and for programs.

use std::io::{self, Write};

use serde_json::json;

use crate::clock;
use crate::clock::now;
use crate::config::Config;
use crate::executor::slurm;
use crate::job::JobState;
use crate::job::Phase;
use crate::queue::{self, Entry, Queue, QueueError, QueueMode, Row};
use crate::terminal;
use crate::text::printable;

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The queue cannot be read.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// It was never there, or its history is gone.
    #[error("there is no job {id}; `meshreel status` lists those there are")]
    NoJob {
        /// Its number.
        id: i64,
    },
    /// Nobody listens.
    #[error("cannot write the list: {0}")]
    Write(#[from] io::Error),
}

/// Writes the list of at most `limit` jobs to standard output; `is_json`: for programs.
///
/// # Errors
/// When the queue cannot be read or the list not be written.
pub fn show(config: &Config, limit: usize, is_json: bool) -> Result<(), StatusError> {
    let mut rows = Vec::new();
    let mut counts = Vec::new();
    // No queue yet: no jobs. Looking does not make one.
    if queue::file(&config.state).exists() {
        let mut queue = Queue::open_to_look(&config.state)?;
        rows = queue.rows(limit)?;
        counts.extend(queue.counts()?.into_iter().map(|(state, count)| format!("{count} {}", state.name())));
        match queue.mode(now())? {
            QueueMode::Go => {}
            QueueMode::Drain => counts.push("nothing is begun: DRAINING (`meshreel resume --all`)".into()),
            QueueMode::Pause { until: None } => counts.push("everything is PAUSED (`meshreel resume --all`)".into()),
            QueueMode::Pause { until: Some(until) } => {
                counts.push(format!("everything is PAUSED until {} (`meshreel resume --all`)", clock::local(until)));
            }
        }
    }
    let mut out = terminal::stdout();
    let written = match is_json {
        true => rows.iter().try_for_each(|row| writeln!(out, "{}", as_json(row))),
        false => table(&mut out, &rows, &counts),
    };
    told(written)
}

/// Writes the last `limit` lines of a job's log, or of that of all jobs, to standard output.
///
/// # Errors
/// As [`show`], and when there is no such job.
pub fn log(config: &Config, job: Option<i64>, limit: usize, is_json: bool) -> Result<(), StatusError> {
    let mut lines = Vec::new();
    if queue::file(&config.state).exists() {
        let mut queue = Queue::open_to_look(&config.state)?;
        lines = queue.log(job, limit)?;
        if let Some(id) = job
            && lines.is_empty()
            && queue.state(id)?.is_none()
        {
            return Err(StatusError::NoJob { id });
        }
    }
    let mut out = terminal::stdout();
    let line = |Entry { job: of, time, text }: &Entry| match (is_json, job) {
        (true, _) => json!({ "job": of, "time_ms": time, "text": text }).to_string(),
        (false, Some(_)) => format!("{}  {}", clock::local(*time), printable(text)),
        (false, None) => format!("{}  job {of}: {}", clock::local(*time), printable(text)),
    };
    told(lines.iter().try_for_each(|entry| writeln!(out, "{}", line(entry))))
}

/// The batch script of a job.
///
/// # Errors
/// When the queue cannot be read, or there is no such job.
pub fn batch_script(config: &Config, job: i64) -> Result<String, StatusError> {
    let row = match queue::file(&config.state).exists() {
        true => Queue::open_to_look(&config.state)?.row(job)?,
        false => None,
    };
    let row = row.ok_or(StatusError::NoJob { id: job })?;
    Ok(slurm::batch_script(config, job, row.priority))
}

/// `meshreel status | head` is no failure.
fn told(written: io::Result<()>) -> Result<(), StatusError> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

fn table(out: &mut impl Write, rows: &[Row], counts: &[String]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "no jobs");
    }
    writeln!(out, "{:>5} {:>4} {:<9} {:>9}  VIDEO", "JOB", "PRIO", "STATE", "PROGRESS")?;
    for row in rows {
        let progress = match (row.state, &row.phase, row.total) {
            (JobState::Running, Some(phase), Some(_)) => format!("{:.0}%", 100.0 * phase.share(row.frames, row.total)),
            (JobState::Queued, ..) if row.ready > now() => format!("in {} s", (row.ready - now()) / 1000),
            (JobState::Paused, ..) => {
                row.resume.map_or(String::new(), |at| format!("in {} s", (at - now()).max(0) / 1000))
            }
            _ => String::new(),
        };
        let source = printable(&row.source.to_string_lossy());
        writeln!(out, "{:>5} {:>4} {:<9} {progress:>9}  {source}", row.id, row.priority, row.state.name())?;
        // Where it is on the cluster, or what it waits for there.
        let placement = row.placement.as_ref().filter(|_| row.state == JobState::Running);
        for text in row.error.iter().cloned().chain(placement.map(ToString::to_string)) {
            writeln!(out, "{:>32}{}", "", printable(&text))?;
        }
    }
    writeln!(out, "{}", counts.join(", "))
}

/// A job as programs are told of it.
pub fn as_json(row: &Row) -> serde_json::Value {
    json!({
        "id": row.id,
        "source": row.source.to_string_lossy(),
        "output": row.video.to_string_lossy(),
        "state": row.state.name(),
        "priority": row.priority,
        "attempts": row.attempts,
        "ready_ms": row.ready,
        "added_ms": row.added,
        "started_ms": row.started,
        "ended_ms": row.ended,
        "phase": row.phase.map(Phase::name),
        "frames": row.frames,
        "total": row.total,
        "people": row.people,
        "error": row.error,
        "resume_ms": row.resume,
        "placement": row.placement,
    })
}
