//! What there is in the queue and what was, to be shown.

use std::collections::HashMap;
use std::path::PathBuf;

use rusqlite::{OptionalExtension, Row as SqlRow, params};
use serde::{Deserialize, Serialize};

use super::store::{Sql, names, note, path};
use super::{Queue, QueueError};
use crate::clock::Millis;
use crate::job::{JobState, Phase, Placement};

/// A job as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its number.
    pub id: i64,
    /// The video.
    #[serde(with = "lossy")]
    pub source: PathBuf,
    /// The result.
    #[serde(with = "lossy")]
    pub video: PathBuf,
    /// What it is at.
    pub state: JobState,
    /// Higher comes first.
    pub priority: i64,
    /// Tries so far.
    pub attempts: u32,
    /// When it may be tried again; in the past or 0: at once.
    pub ready: Millis,
    /// When it was queued.
    pub added: Millis,
    /// When it was last begun.
    pub started: Option<Millis>,
    /// When it ended.
    pub ended: Option<Millis>,
    /// Which pass it is in.
    pub phase: Option<Phase>,
    /// Frames through that pass.
    pub frames: u64,
    /// Frames of the video, as far as known.
    pub total: Option<u64>,
    /// People found.
    pub people: usize,
    /// The last thing that went wrong.
    pub error: Option<String>,
    /// When its pause ends, if by itself.
    pub resume: Option<Millis>,
    /// The task of a cluster that works on it, or did last.
    pub placement: Option<Placement>,
}

/// A line of a job's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The job.
    pub job: i64,
    /// When.
    pub time: Millis,
    /// What happened.
    pub text: String,
}

impl Queue {
    /// How many jobs there are in each state.
    pub fn counts(&mut self) -> Result<Vec<(JobState, u64)>, QueueError> {
        self.read(|t| {
            let mut all = t.prepare_cached("SELECT state, COUNT(*) FROM jobs GROUP BY state")?;
            let counts = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let counts = counts.collect::<Sql<HashMap<String, i64>>>()?;
            let of = |state: JobState| counts.get(state.name()).map_or(0, |count| count.unsigned_abs());
            Ok(JobState::ALL.map(|state| (state, of(state))).to_vec())
        })
    }

    /// How many jobs came to this end since a time.
    pub fn ended(&mut self, state: JobState, since: Millis) -> Result<u64, QueueError> {
        self.read(|t| {
            let sql = "SELECT COUNT(*) FROM jobs WHERE state = ?1 AND ended >= ?2";
            t.query_row(sql, params![state.name(), since], |row| row.get::<_, i64>(0))
        })
        .map(|count| count as u64)
    }

    /// Jobs in the order in which they are worked on, then the finished ones, latest first; at most `limit`.
    pub fn rows(&mut self, limit: usize) -> Result<Vec<Row>, QueueError> {
        self.read(|t| {
            let sql = format!(
                "SELECT {COLUMNS} FROM jobs
                 ORDER BY CASE state WHEN 'running' THEN 0 WHEN 'queued' THEN 1 WHEN 'paused' THEN 2 ELSE 3 END,
                          CASE WHEN state IN ('running', 'queued', 'paused') THEN -priority ELSE -ended END, position, id LIMIT ?1"
            );
            let mut rows = t.prepare_cached(&sql)?;
            rows.query_map([limit as i64], row_from)?.collect()
        })
    }

    /// Jobs whose source has `filter` in its name: those that are not at their end in the order of their turns, then the
    /// others, latest first; at most `limit` of each.
    pub fn list(&mut self, filter: &str, limit: usize) -> Result<Vec<Row>, QueueError> {
        let like = format!("%{}%", filter.replace(['%', '_'], "_"));
        let part = |states: &str, order: &str| {
            format!(
                "SELECT {COLUMNS} FROM jobs WHERE state IN ({states}) AND (?1 = '%%' OR CAST(source AS TEXT) LIKE ?1)
                 ORDER BY {order} LIMIT ?2"
            )
        };
        let active = part("'running', 'queued', 'paused'", "priority DESC, state = 'running' DESC, position");
        let ended = part("'done', 'failed', 'cancelled'", "id DESC");
        self.read(|t| {
            let mut rows = Vec::new();
            for sql in [&active, &ended] {
                let mut some = t.prepare_cached(sql)?;
                rows.extend(some.query_map(params![like, limit as i64], row_from)?.collect::<Sql<Vec<Row>>>()?);
            }
            Ok(rows)
        })
    }

    /// The report of a job that is done.
    pub fn report(&mut self, id: i64) -> Result<Option<serde_json::Value>, QueueError> {
        self.read(|t| {
            let text =
                t.query_row("SELECT report FROM jobs WHERE id = ?1", [id], |row| row.get::<_, Option<String>>(0));
            Ok(text.optional()?.flatten().and_then(|text| serde_json::from_str(&text).ok()))
        })
    }

    /// One job.
    pub fn row(&mut self, id: i64) -> Result<Option<Row>, QueueError> {
        self.read(|t| {
            let sql = format!("SELECT {COLUMNS} FROM jobs WHERE id = ?1");
            t.prepare_cached(&sql)?.query_row([id], row_from).optional()
        })
    }

    /// Forgets finished jobs that ended before a time. What was seen stays known.
    pub fn prune(&mut self, before: Millis) -> Result<usize, QueueError> {
        self.write(|t| {
            let sql = "DELETE FROM jobs WHERE state IN ('done', 'failed', 'cancelled') AND ended < ?1";
            let count = t.execute(sql, [before])?;
            t.execute("DELETE FROM log WHERE job NOT IN (SELECT id FROM jobs)", [])?;
            Ok(count)
        })
    }

    /// Adds a line to a job's log.
    pub fn note(&mut self, id: i64, text: &str, now: Millis) -> Result<(), QueueError> {
        self.write(|t| note(t, id, now, text))
    }

    /// The log of a job, or of all; the last `limit` lines in order.
    pub fn log(&mut self, job: Option<i64>, limit: usize) -> Result<Vec<Entry>, QueueError> {
        self.read(|t| {
            let sql = "SELECT job, time, text FROM log WHERE ?1 IS NULL OR job = ?1 ORDER BY id DESC LIMIT ?2";
            let mut lines = t.prepare_cached(sql)?;
            let entry = |row: &SqlRow<'_>| Ok(Entry { job: row.get(0)?, time: row.get(1)?, text: row.get(2)? });
            let lines: Sql<Vec<Entry>> = lines.query_map(params![job, limit as i64], entry)?.collect();
            Ok(lines?.into_iter().rev().collect())
        })
    }
}

/// Names of files need not be text; what is shown of them is.
mod lossy {
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&path.to_string_lossy())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        String::deserialize(from).map(PathBuf::from)
    }
}

/// What [`row_from`] reads.
const COLUMNS: &str =
    "id, source, folder, state, priority, attempts, ready, added, started, ended, phase, frames, total, people,
    error, resume, stem, container, placement";

fn row_from(row: &SqlRow<'_>) -> Sql<Row> {
    let state: String = row.get(3)?;
    Ok(Row {
        id: row.get(0)?,
        source: path(row.get(1)?),
        video: names(row, [2, 16, 17])?.video(),
        state: JobState::from_name(&state).unwrap_or(JobState::Failed),
        priority: row.get(4)?,
        attempts: row.get(5)?,
        ready: row.get(6)?,
        added: row.get(7)?,
        started: row.get(8)?,
        ended: row.get(9)?,
        phase: row.get::<_, Option<String>>(10)?.and_then(|name| Phase::from_name(&name)),
        frames: row.get::<_, i64>(11)? as u64,
        total: row.get::<_, Option<i64>>(12)?.map(|n| n as u64),
        people: row.get::<_, i64>(13)? as usize,
        error: row.get(14)?,
        resume: row.get(15)?,
        placement: row.get::<_, Option<String>>(18)?.and_then(|text| serde_json::from_str(&text).ok()),
    })
}
