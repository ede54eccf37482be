//! What comes into the queue: files to be processed, and files that were looked at and are not.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension, Transaction, params};

use super::store::{Sql, as_json, bytes, end, note, path, size};
use super::{Queue, QueueError};
use crate::checksum::Sum;
use crate::clock::Millis;
use crate::job::{Backend, JobSettings, JobState, OutputNames, Stamp};

/// A file to be processed.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// The video.
    pub source: PathBuf,
    /// What it looked like.
    pub stamp: Stamp,
    /// What is in it.
    pub content: Sum,
    /// Folder for the results.
    pub output: PathBuf,
    /// How to process it.
    pub settings: JobSettings,
    /// Higher comes first.
    pub priority: i64,
    /// Who works on it.
    pub backend: Backend,
}

impl Queue {
    /// Whether this state of this file was dealt with before.
    ///
    /// # Errors
    /// When the database fails; so do all methods below.
    pub fn has_seen(&mut self, source: &Path, stamp: Stamp) -> Result<bool, QueueError> {
        self.read(|t| {
            let known = t.query_row(
                "SELECT size = ?2 AND modified = ?3 FROM seen WHERE source = ?1",
                params![bytes(source), size(stamp), stamp.modified],
                |row| row.get(0),
            );
            Ok(known.optional()?.unwrap_or(false))
        })
    }

    /// Remembers a state of a file without making a job of it.
    pub fn remember(&mut self, source: &Path, stamp: Stamp) -> Result<(), QueueError> {
        self.write(|t| remember(t, source, stamp))
    }

    /// Queues a file. `None` when its contents were processed into that folder before, or will be.
    pub fn add(&mut self, job: &NewJob, now: Millis) -> Result<Option<i64>, QueueError> {
        self.write(|t| {
            remember(t, &job.source, job.stamp)?;
            supersede(t, &job.source, now)?;
            let mut same = t.prepare_cached(
                "SELECT folder FROM jobs WHERE content = ?1 AND settings = ?2 AND state IN ('queued', 'running', 'paused', 'done')",
            )?;
            let settings = as_json(&job.settings)?;
            let folders = same.query_map(params![job.content, settings], |row| Ok(path(row.get(0)?)))?;
            if folders.collect::<Sql<Vec<PathBuf>>>()?.contains(&job.output) {
                return Ok(None);
            }
            // A file that changed is processed again into the same results; nobody else gets their names.
            t.execute(
                "UPDATE jobs SET state = 'cancelled', ended = ?2, error = 'the file changed before its turn'
                 WHERE source = ?1 AND state IN ('queued', 'paused')",
                params![bytes(&job.source), now],
            )?;
            // Nor is anything replaced that is there and was not made from this file.
            let trouble = std::cell::OnceCell::new();
            let is_taken = |outputs: &OutputNames| {
                let query = "SELECT EXISTS (SELECT 1 FROM jobs WHERE folder = ?1 AND stem = ?2 AND source <> ?3)";
                let values = params![bytes(&outputs.folder), outputs.stem.as_bytes(), bytes(&job.source)];
                match t.query_row(query, values, |row| row.get(0)) {
                    Ok(is_named) => {
                        let exports = || outputs.exports_there(&job.settings);
                        is_named
                            || outputs.in_the_way(&job.source, false).is_some()
                            || outputs.exports_in_the_way(&job.source, false, exports()).is_some()
                    }
                    // It would fail for every other name as well.
                    Err(error) => trouble.set(error).is_err(),
                }
            };
            let outputs = OutputNames::free(&job.source, &job.output, &job.settings.encode.container, is_taken);
            if let Some(error) = trouble.into_inner() {
                return Err(error);
            }
            t.execute(
                "INSERT INTO jobs (source, size, modified, content, folder, stem, container, settings, priority,
                                   position, state, added, backend)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, (SELECT COALESCE(MAX(position), 0) + 1 FROM jobs), 'queued', ?10, ?11)",
                params![
                    bytes(&job.source),
                    size(job.stamp),
                    job.stamp.modified,
                    job.content,
                    bytes(&outputs.folder),
                    outputs.stem.as_bytes(),
                    outputs.container,
                    settings,
                    job.priority,
                    now,
                    job.backend.name()
                ],
            )?;
            let id = t.last_insert_rowid();
            note(t, id, now, "queued")?;
            Ok(Some(id))
        })
    }

    /// Lists a file that is not processed, with the reason.
    pub fn refuse(&mut self, job: &NewJob, reason: &str, now: Millis) -> Result<i64, QueueError> {
        let settings = as_json(&job.settings);
        self.write(|t| {
            remember(t, &job.source, job.stamp)?;
            supersede(t, &job.source, now)?;
            t.execute(
                "INSERT INTO jobs (source, size, modified, settings, priority, position, state, added, ended, error)
                 VALUES (?1, ?2, ?3, ?4, ?5, 0, 'failed', ?6, ?6, ?7)",
                params![bytes(&job.source), size(job.stamp), job.stamp.modified, settings?, job.priority, now, reason],
            )?;
            let id = t.last_insert_rowid();
            note(t, id, now, &format!("not taken: {reason}"))?;
            Ok(id)
        })
    }
}

fn remember(t: &Transaction<'_>, source: &Path, stamp: Stamp) -> Sql<()> {
    t.execute(
        "INSERT INTO seen VALUES (?1, ?2, ?3)
         ON CONFLICT (source) DO UPDATE SET size = excluded.size, modified = excluded.modified",
        params![bytes(source), size(stamp), stamp.modified],
    )
    .map(drop)
}

/// A file that is taken or refused again is another one than that which failed: who looks for failures finds the state of
/// the file as it is. A job that was begun stays in the history, a refusal does not.
fn supersede(t: &Transaction<'_>, source: &Path, now: Millis) -> Sql<()> {
    const FAILED: &str = "FROM jobs WHERE source = ?1 AND state = 'failed'";
    let refused = format!("{FAILED} AND stem = x''");
    t.execute(&format!("DELETE FROM log WHERE job IN (SELECT id {refused})"), [bytes(source)])?;
    t.execute(&format!("DELETE {refused}"), [bytes(source)])?;
    let mut failed = t.prepare_cached(&format!("SELECT id {FAILED}"))?;
    for id in failed.query_map([bytes(source)], |row| row.get(0))?.collect::<Sql<Vec<i64>>>()? {
        end(t, id, JobState::Cancelled, Some("it failed, and the file was replaced"), None, now)?;
    }
    Ok(())
}
