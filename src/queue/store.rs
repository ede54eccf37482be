//! The queue in SQLite (write-ahead log): every change is on disk before the call returns.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, Transaction, TransactionBehavior, params};

use super::{Stamp, State};
use crate::checksum::Sum;
use crate::clock::Millis;
use crate::export::Report;
use crate::pipeline::{JobSettings, OutputPaths, Phase};

/// The schema, one step for each version; `user_version` says how many were taken. Steps that were released never change.
const MIGRATIONS: [&str; 6] = [
    "
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        source BLOB NOT NULL,
        size INTEGER NOT NULL,
        modified INTEGER NOT NULL,
        content BLOB,
        video BLOB NOT NULL,
        motion BLOB NOT NULL,
        report_file BLOB NOT NULL,
        settings TEXT NOT NULL,
        priority INTEGER NOT NULL,
        position INTEGER NOT NULL,
        state TEXT NOT NULL,
        ready INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        crashes INTEGER NOT NULL DEFAULT 0,
        added INTEGER NOT NULL,
        started INTEGER,
        ended INTEGER,
        phase TEXT,
        frames INTEGER NOT NULL DEFAULT 0,
        total INTEGER,
        people INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        report TEXT
    ) STRICT;
    CREATE INDEX jobs_by_turn ON jobs (state, priority DESC, position);
    CREATE INDEX jobs_by_source ON jobs (source);
    CREATE INDEX jobs_by_content ON jobs (content);
    CREATE INDEX jobs_by_video ON jobs (video);
    CREATE TABLE seen (
        source BLOB PRIMARY KEY,
        size INTEGER NOT NULL,
        modified INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE settings (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    ALTER TABLE jobs ADD COLUMN resume INTEGER;
    DELETE FROM settings WHERE name = 'paused';
    CREATE TABLE log (
        id INTEGER PRIMARY KEY,
        job INTEGER NOT NULL,
        time INTEGER NOT NULL,
        text TEXT NOT NULL
    ) STRICT;
    CREATE INDEX log_by_job ON log (job, id);
",
    "
    ALTER TABLE jobs ADD COLUMN kills INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN reached INTEGER NOT NULL DEFAULT 0;
",
    "
    UPDATE jobs SET settings = json_set(settings, '$.stature', 1.7);
",
    "
    UPDATE jobs SET settings = json_set(settings, '$.encode.pixel_format', '');
",
    "
    CREATE INDEX IF NOT EXISTS jobs_by_motion ON jobs (motion);
",
];

/// Times a job may have been at work when the program crashed.
const CRASHES: u32 = 2;
/// Times in a row that it may have been at work, and got no further, when the program was killed: who is killed cannot say
/// why, and for want of memory a video may kill the program at each start. Many times: a machine whose power fails again and
/// again is not the fault of the video.
const KILLS: u32 = 20;
/// Wait before a job is tried again, doubled with each attempt.
const FIRST_WAIT: Millis = 5_000;
const LONGEST_WAIT: Millis = 10 * 60_000;

/// Why the queue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// SQLite or the disk.
    #[error("the queue {}: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: rusqlite::Error,
    },
    /// From a later meshreel.
    #[error("the queue {} was written by a later meshreel (schema {found}, this one knows {known}); use that one", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Version of the file.
        found: usize,
        /// Version of this program.
        known: usize,
    },
}

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
}

/// A job taken from the queue to be worked on.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Its number.
    pub id: i64,
    /// The video.
    pub source: PathBuf,
    /// What it looked like when it was queued.
    pub stamp: Stamp,
    /// Where the results go.
    pub outputs: OutputPaths,
    /// How to process it.
    pub settings: JobSettings,
    /// Tries, this one included.
    pub attempts: u32,
}

/// All jobs there are and were.
pub struct Queue {
    path: PathBuf,
    db: Connection,
}

pub(super) type Sql<T> = rusqlite::Result<T>;

impl Queue {
    /// Opens the queue of a state folder, and makes or brings up to date what is missing.
    ///
    /// # Errors
    /// When the file cannot be opened or is a later version's.
    pub fn open(state: &Path) -> Result<Self, QueueError> {
        let path = super::file(state);
        let database = |source| QueueError::Database { path: path.clone(), source };
        let mut db = Connection::open(&path).map_err(database)?;
        let version = prepare(&mut db).map_err(database)?;
        match version > MIGRATIONS.len() {
            true => Err(QueueError::TooNew { path, found: version, known: MIGRATIONS.len() }),
            false => Ok(Self { path, db }),
        }
    }

    /// Reads, without waiting for those who write.
    pub(super) fn read<T>(&mut self, work: impl FnOnce(&Transaction<'_>) -> Sql<T>) -> Result<T, QueueError> {
        self.transact(TransactionBehavior::Deferred, work)
    }

    /// Changes something, on disk before this returns.
    pub(super) fn write<T>(&mut self, work: impl FnOnce(&Transaction<'_>) -> Sql<T>) -> Result<T, QueueError> {
        self.transact(TransactionBehavior::Immediate, work)
    }

    fn transact<T>(
        &mut self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Transaction<'_>) -> Sql<T>,
    ) -> Result<T, QueueError> {
        let whole = || {
            let transaction = self.db.transaction_with_behavior(behavior)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        whole().map_err(|source| QueueError::Database { path: self.path.clone(), source })
    }

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
                "SELECT video FROM jobs WHERE content = ?1 AND settings = ?2 AND state IN ('queued', 'running', 'paused', 'done')",
            )?;
            let settings = as_json(&job.settings)?;
            let videos = same.query_map(params![job.content, settings], |row| Ok(path(row.get(0)?)))?;
            if videos.collect::<Sql<Vec<PathBuf>>>()?.iter().any(|video| video.parent() == Some(&job.output)) {
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
            let is_taken = |outputs: &OutputPaths| {
                let query = "SELECT EXISTS (SELECT 1 FROM jobs WHERE motion = ?1 AND source <> ?2)";
                let values = params![bytes(&outputs.motion), bytes(&job.source)];
                match t.query_row(query, values, |row| row.get(0)) {
                    Ok(is_named) => is_named || outputs.in_the_way(&job.source, false).is_some(),
                    // It would fail for every other name as well.
                    Err(error) => trouble.set(error).is_err(),
                }
            };
            let outputs = OutputPaths::free(&job.source, &job.output, &job.settings.encode.container, is_taken);
            if let Some(error) = trouble.into_inner() {
                return Err(error);
            }
            t.execute(
                "INSERT INTO jobs (source, size, modified, content, video, motion, report_file, settings, priority,
                                   position, state, added)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, (SELECT COALESCE(MAX(position), 0) + 1 FROM jobs), 'queued', ?10)",
                params![
                    bytes(&job.source),
                    size(job.stamp),
                    job.stamp.modified,
                    job.content,
                    bytes(&outputs.video),
                    bytes(&outputs.motion),
                    bytes(&outputs.report),
                    settings,
                    job.priority,
                    now
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
                "INSERT INTO jobs (source, size, modified, video, motion, report_file, settings, priority, position, state,
                                   added, ended, error)
                 VALUES (?1, ?2, ?3, x'', x'', x'', ?4, ?5, 0, 'failed', ?6, ?6, ?7)",
                params![bytes(&job.source), size(job.stamp), job.stamp.modified, settings?, job.priority, now, reason],
            )?;
            let id = t.last_insert_rowid();
            note(t, id, now, &format!("not taken: {reason}"))?;
            Ok(id)
        })
    }

    /// Takes the first job whose turn it is ([`Queue::turns`]) and that is not at work yet.
    pub fn claim(&mut self, places: usize, now: Millis) -> Result<Option<Claim>, QueueError> {
        let turns = self.turns(places, false, now)?;
        self.write(|t| {
            for id in turns {
                let next = t.query_row(
                    "SELECT id, source, size, modified, video, motion, report_file, settings, attempts + 1 FROM jobs
                     WHERE id = ?1 AND state = 'queued'",
                    [id],
                    claim_from,
                );
                let Some(claim) = next.optional()? else { continue };
                t.execute(
                    "UPDATE jobs SET state = 'running', started = ?2, ended = NULL, attempts = ?3, frames = 0 WHERE id = ?1",
                    params![claim.id, now, claim.attempts],
                )?;
                note(t, claim.id, now, &format!("begins or goes on, try {}", claim.attempts))?;
                return Ok(Some(claim));
            }
            Ok(None)
        })
    }

    /// What a job is at; `None` when there is none of that number.
    pub fn state(&mut self, id: i64) -> Result<Option<State>, QueueError> {
        self.read(|t| state_of(t, id))
    }

    /// Notes how far a job is.
    pub fn progress(
        &mut self,
        id: i64,
        phase: Phase,
        frames: u64,
        total: Option<u64>,
        people: usize,
    ) -> Result<(), QueueError> {
        self.write(|t| {
            t.execute(
                "UPDATE jobs SET phase = ?2, frames = ?3, total = ?4, people = ?5 WHERE id = ?1 AND state = 'running'",
                params![id, phase.name(), frames as i64, total.map(|n| n as i64), people as i64],
            )
            .map(drop)
        })
    }

    /// The results are in place.
    pub fn done(&mut self, id: i64, report: &Report, now: Millis) -> Result<(), QueueError> {
        let (frames, people, report) = (report.frames as i64, report.people as i64, as_json(report));
        self.write(|t| {
            // Progress is told now and then only.
            t.execute(
                "UPDATE jobs SET frames = ?2, total = ?2, people = ?3 WHERE id = ?1",
                params![id, frames, people],
            )?;
            end(t, id, State::Done, None, Some(&report?), now)
        })
    }

    /// There will be no results. What the user gave up meanwhile stays given up.
    pub fn failed(&mut self, id: i64, reason: &str, now: Millis) -> Result<(), QueueError> {
        self.write(|t| match state_of(t, id)? {
            Some(State::Cancelled) => Ok(()),
            _ => end(t, id, State::Failed, Some(reason), None, now),
        })
    }

    /// The file is gone, so there will be no results. If it comes back it is taken as if it had never been there.
    pub fn removed(&mut self, claim: &Claim, now: Millis) -> Result<(), QueueError> {
        self.write(|t| {
            t.execute("DELETE FROM seen WHERE source = ?1", [bytes(&claim.source)])?;
            end(t, claim.id, State::Cancelled, Some("the file was removed before its turn"), None, now)
        })
    }

    /// There will be no results, though nothing failed.
    pub fn cancelled(&mut self, id: i64, reason: &str, now: Millis) -> Result<(), QueueError> {
        self.write(|t| end(t, id, State::Cancelled, Some(reason), None, now))
    }

    /// Something failed that may pass: tries again later, longer each time, unless the user paused the job or gave it up. Says when.
    pub fn try_later(&mut self, claim: &Claim, reason: &str, now: Millis) -> Result<Millis, QueueError> {
        let wait = FIRST_WAIT.saturating_mul(1 << claim.attempts.saturating_sub(1).min(16)).min(LONGEST_WAIT);
        self.write(|t| {
            t.execute(
                "UPDATE jobs SET state = CASE state WHEN 'running' THEN 'queued' ELSE state END, ready = ?2, error = ?3
                 WHERE id = ?1 AND state IN ('running', 'paused')",
                params![claim.id, now + wait, reason],
            )?;
            note(t, claim.id, now, &format!("{reason}; tried again in {} s", wait / 1000))?;
            Ok(now + wait)
        })
    }

    /// Ended through no fault of the job's: the try does not count. It waits for its turn again, unless the user paused
    /// it or gave it up.
    pub fn put_back(&mut self, id: i64, now: Millis) -> Result<(), QueueError> {
        self.write(|t| {
            t.execute(
                "UPDATE jobs SET attempts = attempts - 1, state = CASE state WHEN 'running' THEN 'queued' ELSE state END
                 WHERE id = ?1",
                [id],
            )?;
            note(t, id, now, "stopped")
        })
    }

    /// Nobody has the job in hand any more: if it should be at work, it waits for its turn.
    pub fn release(&mut self, id: i64) -> Result<(), QueueError> {
        self.write(|t| {
            t.execute("UPDATE jobs SET state = 'queued' WHERE id = ?1 AND state = 'running'", [id]).map(drop)
        })
    }

    /// There is no room for the results: the job waits until `ready`, and the try does not count.
    /// Says whether that is news.
    pub fn wait_for_room(&mut self, id: i64, reason: &str, ready: Millis, now: Millis) -> Result<bool, QueueError> {
        self.write(|t| {
            let known: Option<String> = t.query_row("SELECT error FROM jobs WHERE id = ?1", [id], |row| row.get(0))?;
            t.execute(
                "UPDATE jobs SET attempts = attempts - 1, ready = ?2, error = ?3,
                                 state = CASE state WHEN 'running' THEN 'queued' ELSE state END
                 WHERE id = ?1 AND state IN ('running', 'paused')",
                params![id, ready, reason],
            )?;
            let is_news = known.as_deref() != Some(reason);
            if is_news {
                note(t, id, now, reason)?;
            }
            Ok(is_news)
        })
    }

    /// At start: jobs that were at work when the program ended go on. Those `blamed` for its end for the second time are set
    /// aside, and so are those that got no further in many tries (`reached`: frames written down of a job). Gives all folders
    /// of results, where leftovers may lie.
    pub fn recover(
        &mut self,
        blamed: &[i64],
        reached: impl Fn(i64) -> u64,
        now: Millis,
    ) -> Result<BTreeSet<PathBuf>, QueueError> {
        self.write(|t| {
            let mut running = t.prepare("SELECT id FROM jobs WHERE state = 'running'")?;
            for id in running.query_map([], |row| row.get(0))? {
                let id: i64 = id?;
                let crash = i64::from(blamed.contains(&id));
                t.execute(
                    "UPDATE jobs SET state = 'queued', attempts = attempts - 1, crashes = crashes + ?2,
                                     kills = CASE WHEN reached <> ?3 THEN 1 ELSE kills + 1 END, reached = ?3
                     WHERE id = ?1",
                    params![id, crash, reached(id) as i64],
                )?;
                note(t, id, now, if crash == 1 { "meshreel crashed at this video" } else { "meshreel was killed" })?;
            }
            t.execute(
                "UPDATE jobs SET state = 'failed', ended = ?1, error = 'processing this video brought meshreel down ' ||
                 crashes || ' times; it is set aside. Please report it, with the video if you can share it'
                 WHERE state = 'queued' AND crashes >= ?2",
                params![now, CRASHES],
            )?;
            t.execute(
                "UPDATE jobs SET state = 'failed', ended = ?1, error = 'meshreel was killed ' || kills || ' times while ' ||
                 'at work on this video, which got no further; it is set aside. Perhaps it needs more memory than there is'
                 WHERE state = 'queued' AND kills >= ?2",
                params![now, KILLS],
            )?;
            let mut videos = t.prepare("SELECT video FROM jobs")?;
            let mut folders = BTreeSet::new();
            for video in videos.query_map([], |row| Ok(path(row.get(0)?)))? {
                folders.extend(video?.parent().filter(|folder| folder.is_absolute()).map(Path::to_owned));
            }
            Ok(folders)
        })
    }

    /// When the next job may begin; `None` when there is none.
    pub fn next_ready(&mut self) -> Result<Option<Millis>, QueueError> {
        self.read(|t| t.query_row("SELECT MIN(ready) FROM jobs WHERE state = 'queued'", [], |row| row.get(0)))
    }
}

/// Settings of the connection, and the steps of the schema that are missing. Gives the version found after that.
fn prepare(db: &mut Connection) -> Sql<usize> {
    db.busy_timeout(std::time::Duration::from_secs(10))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: usize = transaction.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? as usize;
    for step in MIGRATIONS.iter().skip(version) {
        transaction.execute_batch(step)?;
    }
    let version = version.max(MIGRATIONS.len());
    if version == MIGRATIONS.len() {
        transaction.pragma_update(None, "user_version", version as i64)?;
    }
    transaction.commit()?;
    Ok(version)
}

pub(super) fn state_of(t: &Transaction<'_>, id: i64) -> Sql<Option<State>> {
    let name = t.query_row("SELECT state FROM jobs WHERE id = ?1", [id], |row| row.get::<_, String>(0));
    Ok(name.optional()?.and_then(|name| State::from_name(&name)))
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
    let refused = format!("{FAILED} AND video = x''");
    t.execute(&format!("DELETE FROM log WHERE job IN (SELECT id {refused})"), [bytes(source)])?;
    t.execute(&format!("DELETE {refused}"), [bytes(source)])?;
    let mut failed = t.prepare_cached(&format!("SELECT id {FAILED}"))?;
    for id in failed.query_map([bytes(source)], |row| row.get(0))?.collect::<Sql<Vec<i64>>>()? {
        end(t, id, State::Cancelled, Some("it failed, and the file was replaced"), None, now)?;
    }
    Ok(())
}

pub(super) fn end(
    t: &Transaction<'_>,
    id: i64,
    state: State,
    error: Option<&str>,
    report: Option<&str>,
    now: Millis,
) -> Sql<()> {
    t.execute(
        "UPDATE jobs SET state = ?2, ended = ?3, error = ?4, report = ?5, resume = NULL WHERE id = ?1",
        params![id, state.name(), now, error, report],
    )?;
    match error {
        Some(reason) if reason.starts_with(state.name()) => note(t, id, now, reason),
        Some(reason) => note(t, id, now, &format!("{}: {reason}", state.name())),
        None => note(t, id, now, state.name()),
    }
}

/// Adds a line to a job's log.
pub(super) fn note(t: &Transaction<'_>, id: i64, now: Millis, text: &str) -> Sql<()> {
    t.execute("INSERT INTO log (job, time, text) VALUES (?1, ?2, ?3)", params![id, now, text]).map(drop)
}

fn claim_from(row: &SqlRow<'_>) -> Sql<Claim> {
    let stamp = Stamp { size: row.get::<_, i64>(2)? as u64, modified: row.get(3)? };
    let outputs = OutputPaths { video: path(row.get(4)?), motion: path(row.get(5)?), report: path(row.get(6)?) };
    let settings: String = row.get(7)?;
    let settings = serde_json::from_str(&settings)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(7, rusqlite::types::Type::Text, Box::new(error)))?;
    Ok(Claim { id: row.get(0)?, source: path(row.get(1)?), stamp, outputs, settings, attempts: row.get(8)? })
}

fn as_json<T: serde::Serialize>(value: &T) -> Sql<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// Paths are bytes: a file name need not be text.
fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

pub(super) fn path(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(&bytes))
}

fn size(stamp: Stamp) -> i64 {
    i64::try_from(stamp.size).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::{Flow, Order, Place};
    use super::*;
    use crate::config::{Encode, Model, Style};

    fn settings() -> JobSettings {
        let (model, style, encode) = (Model::Auto, Style::Overlay, Encode::default());
        JobSettings { model, style, opacity: 0.8, encode, stature: 1.7 }
    }

    fn job(source: &str, content: u8, priority: i64) -> NewJob {
        NewJob {
            source: source.into(),
            stamp: Stamp { size: 10, modified: content.into() },
            content: [content; 32],
            output: "/out".into(),
            settings: settings(),
            priority,
        }
    }

    fn queue() -> (tempfile::TempDir, Queue) {
        let folder = tempfile::tempdir().unwrap();
        let queue = Queue::open(folder.path()).unwrap();
        (folder, queue)
    }

    fn claimed(id: i64) -> Claim {
        Claim {
            id,
            source: "/a".into(),
            stamp: Stamp { size: 10, modified: 1 },
            outputs: OutputPaths::named(Path::new("/out"), OsStr::new("a"), "mp4"),
            settings: settings(),
            attempts: 1,
        }
    }

    #[test]
    fn the_highest_priority_comes_first_then_the_oldest() {
        let (_folder, mut queue) = queue();
        for (name, content, priority) in [("/a", 1, 0), ("/b", 2, 5), ("/c", 3, 0), ("/d", 4, 5)] {
            queue.add(&job(name, content, priority), 0).unwrap().unwrap();
        }
        let mut order = Vec::new();
        while let Some(claim) = queue.claim(99, 1).unwrap() {
            order.push(claim.source.to_string_lossy().into_owned());
        }
        assert_eq!(order, ["/b", "/d", "/a", "/c"]);
        assert!(queue.counts().unwrap().contains(&(State::Running, 4)));
    }

    #[test]
    fn a_higher_priority_takes_the_turn_of_what_is_at_work() {
        let (_folder, mut queue) = queue();
        let add = |queue: &mut Queue, name: &str, content: u8, priority: i64| {
            queue.add(&job(name, content, priority), 0).unwrap().unwrap()
        };
        let (a, b) = (add(&mut queue, "/a", 1, 0), add(&mut queue, "/b", 2, 0));
        assert_eq!(queue.claim(1, 1).unwrap().unwrap().id, a);
        assert_eq!(queue.claim(1, 1).unwrap(), None, "one at a time");
        let c = add(&mut queue, "/c", 3, 5);
        assert_eq!(queue.turns(1, false, 1).unwrap(), [c]);
        assert_eq!(queue.claim(1, 1).unwrap().unwrap().id, c);
        queue.failed(c, "broken", 2).unwrap();
        assert_eq!(queue.turns(1, false, 2).unwrap(), [a], "goes on where it was");
        // Of equals, the one at work.
        queue.order(b, Order::Priority(0), "a test", false, 2).unwrap().unwrap();
        assert_eq!(queue.turns(1, false, 2).unwrap(), [a]);
        queue.set_flow(Flow::Drain).unwrap();
        assert_eq!(queue.turns(9, false, 2).unwrap(), [a]);
        queue.set_flow(Flow::Pause { until: Some(7) }).unwrap();
        assert_eq!((queue.turns(1, false, 2).unwrap(), queue.next_moment(2).unwrap()), (vec![], Some(7)));
        assert_eq!(queue.turns(9, false, 7).unwrap(), [a, b]);
    }

    #[test]
    fn jobs_are_moved_among_their_equals_and_pauses_end() {
        let (_folder, mut queue) = queue();
        let mut add =
            |name: &str, content: u8, priority: i64| queue.add(&job(name, content, priority), 0).unwrap().unwrap();
        let [a, b, c, d] = [add("/a", 1, 0), add("/b", 2, 0), add("/c", 3, 0), add("/d", 4, 9)];
        let mut after = |id: i64, place: Place| {
            queue.order(id, Order::Move(place), "a test", false, 1).unwrap().unwrap();
            queue.turns(9, false, 1).unwrap()
        };
        assert_eq!(after(c, Place::Up), [d, a, c, b]);
        assert_eq!(after(c, Place::First), [d, c, a, b]);
        assert_eq!(after(c, Place::First), [d, c, a, b], "not before those of a higher priority");
        assert_eq!(after(c, Place::Last), [d, a, b, c]);
        assert_eq!(after(a, Place::Down), [d, b, a, c]);
        assert_eq!(after(a, Place::Up), [d, a, b, c]);

        queue.order(a, Order::Pause { until: Some(5) }, "a test", false, 2).unwrap().unwrap();
        queue.order(b, Order::Pause { until: None }, "a test", false, 2).unwrap().unwrap();
        assert_eq!((queue.next_moment(2).unwrap(), queue.resume_due(|_| false, 4).unwrap()), (Some(5), vec![]));
        assert_eq!(
            (queue.resume_due(|_| false, 5).unwrap(), queue.turns(9, false, 5).unwrap()),
            (vec![a], vec![d, a, c])
        );
        let said: Vec<String> = queue.log(Some(a), 9).unwrap().into_iter().map(|entry| entry.text).collect();
        let told = ["queued", "moved down, by a test", "moved up, by a test", "paused by a test", "the pause is over"];
        assert_eq!(said, told);
    }

    #[test]
    fn orders_do_what_they_say_or_say_why_not() {
        let (_folder, mut queue) = queue();
        let a = queue.add(&job("/a", 1, 0), 0).unwrap().unwrap();
        let mut order = |order: Order, is_live: bool| queue.order(a, order, "a test", is_live, 1).unwrap();
        assert_eq!(order(Order::Resume, false), Err(format!("job {a} is queued")));
        assert_eq!(order(Order::Pause { until: None }, false), Ok(State::Paused));
        assert_eq!(order(Order::Resume, true), Ok(State::Running));
        assert_eq!(order(Order::Pause { until: None }, true), Ok(State::Paused));
        assert_eq!(order(Order::Resume, false), Ok(State::Queued));
        assert_eq!(order(Order::Cancel, false), Ok(State::Cancelled));
        assert!(order(Order::Retry, true).is_err(), "still ending");
        queue.failed(a, "disk full", 1).unwrap();
        let claim = claimed(a);
        queue.try_later(&claim, "disk full", 1).unwrap();
        queue.put_back(a, 1).unwrap();
        assert_eq!(queue.state(a).unwrap(), Some(State::Cancelled), "what the user said stands");
        let mut order = |order: Order, is_live: bool| queue.order(a, order, "a test", is_live, 1).unwrap();
        assert_eq!(order(Order::Retry, false), Ok(State::Queued));
        assert!(
            queue
                .order(99, Order::Pause { until: None }, "a test", false, 1)
                .unwrap()
                .unwrap_err()
                .contains("no job 99")
        );
        let refused = queue.refuse(&job("/b", 2, 0), "a pipe", 1).unwrap();
        assert!(queue.order(refused, Order::Retry, "a test", false, 1).unwrap().is_err());
    }

    #[test]
    fn the_same_contents_are_processed_once_and_changed_ones_again() {
        let (_folder, mut queue) = queue();
        let first = job("/in/a.mp4", 1, 0);
        assert!(!queue.has_seen(&first.source, first.stamp).unwrap());
        queue.add(&first, 0).unwrap().unwrap();
        assert!(queue.has_seen(&first.source, first.stamp).unwrap());
        assert_eq!(queue.add(&job("/in/copy.mp4", 1, 0), 0).unwrap(), None, "a copy");
        queue.order(1, Order::Pause { until: None }, "a test", false, 0).unwrap().unwrap();
        assert_eq!(queue.add(&job("/in/copy.mp4", 1, 0), 0).unwrap(), None, "a copy of what is paused");
        queue.order(1, Order::Resume, "a test", false, 0).unwrap().unwrap();
        let elsewhere = NewJob { output: "/other".into(), ..job("/in/copy.mp4", 1, 0) };
        assert!(queue.add(&elsewhere, 0).unwrap().is_some(), "another folder of results");

        let claim = queue.claim(99, 1).unwrap().unwrap();
        queue.failed(claim.id, "broken", 2).unwrap();
        assert!(queue.add(&job("/in/copy2.mp4", 1, 0), 3).unwrap().is_some(), "the first one failed");
        assert!(queue.add(&job("/in/a.mp4", 9, 0), 3).unwrap().is_some(), "changed");
    }

    #[test]
    fn a_file_that_changes_before_its_turn_is_processed_once() {
        let (_folder, mut queue) = queue();
        queue.add(&job("/in/a.mp4", 1, 0), 0).unwrap();
        queue.add(&job("/in/a.mp4", 2, 0), 1).unwrap();
        let claim = queue.claim(99, 2).unwrap().unwrap();
        assert_eq!(claim.stamp.modified, 2);
        assert_eq!(queue.claim(99, 2).unwrap(), None);
    }

    #[test]
    fn results_of_different_sources_never_share_a_name() {
        let (_folder, mut queue) = queue();
        for (source, content) in [("/in/a.mov", 1), ("/in/a.mp4", 2), ("/in/x/a.mp4", 3), ("/in/a.mov", 4)] {
            queue.add(&job(source, content, 0), 0).unwrap().unwrap();
        }
        let mut videos: Vec<_> = std::iter::from_fn(|| queue.claim(99, 1).unwrap()).map(|c| c.outputs.video).collect();
        videos.sort();
        assert_eq!(videos, ["/out/a.mp4", "/out/a.mp4-2.mp4", "/out/a.mp4.mp4"].map(PathBuf::from));
    }

    #[test]
    fn what_may_pass_is_tried_again_later_and_later() {
        let (_folder, mut queue) = queue();
        queue.add(&job("/a", 1, 0), 0).unwrap();
        let claim = queue.claim(99, 0).unwrap().unwrap();
        let first = queue.try_later(&claim, "disk full", 1000).unwrap();
        assert!(first > 1000 && queue.claim(99, first - 1).unwrap().is_none());
        assert_eq!(queue.next_ready().unwrap(), Some(first));
        let again = queue.claim(99, first).unwrap().unwrap();
        assert_eq!(again.attempts, 2);
        let second = queue.try_later(&again, "disk full", first).unwrap();
        assert!(second - first > first - 1000);
    }

    #[test]
    fn everything_outlives_the_program_and_a_video_that_crashes_it_twice_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Queue::open(folder.path()).unwrap();
        let mut queue = open();
        let bad = queue.add(&job("/in/bad", 1, 1), 0).unwrap().unwrap();
        queue.add(&job("/in/good", 2, 0), 0).unwrap();
        for round in 0..2 {
            assert_eq!(queue.claim(99, 1).unwrap().unwrap().id, bad, "round {round}");
            drop(queue);
            queue = open();
            assert_eq!(queue.recover(&[bad], |_| 0, 2).unwrap(), BTreeSet::from([PathBuf::from("/out")]));
        }
        let rows = queue.rows(10).unwrap();
        assert_eq!((rows[0].source.as_path(), rows[0].state), (Path::new("/in/good"), State::Queued));
        assert_eq!((rows[1].id, rows[1].state), (bad, State::Failed));
        assert!(rows[1].error.as_ref().unwrap().contains("2 times"), "{rows:?}");
        // Killed from outside any number of times, a job goes on.
        for _ in 0..5 {
            let claim = queue.claim(99, 3).unwrap().unwrap();
            assert_eq!((claim.source.as_path(), claim.attempts), (Path::new("/in/good"), 1));
            queue.recover(&[], |_| 0, 3).unwrap();
        }
        // As long as it gets further; what never does is set aside.
        for (kills, reached) in (1..30).map(|frames| (frames, frames)).chain((1..20).map(|kill| (30 + kill, 30))) {
            assert!(queue.claim(99, 3).unwrap().is_some(), "after {kills}");
            queue.recover(&[], |_| reached, 3).unwrap();
        }
        assert!(queue.claim(99, 3).unwrap().is_some());
        queue.recover(&[], |_| 30, 3).unwrap();
        assert_eq!(queue.state(rows[0].id).unwrap(), Some(State::Failed));
        queue.order(rows[0].id, Order::Retry, "a test", false, 3).unwrap().unwrap();
        assert!(queue.claim(99, 3).unwrap().is_some());
    }

    #[test]
    fn after_a_crash_those_at_work_go_on_alone_until_the_guilty_one_is_known() {
        let (_folder, mut queue) = queue();
        let ids: Vec<i64> =
            (0..4).map(|i| queue.add(&job(&format!("/in/{i}"), i + 1, 0), 0).unwrap().unwrap()).collect();
        let begin = |queue: &mut Queue, places: usize| {
            while queue.claim(places, 1).unwrap().is_some() {}
            queue.turns(places, false, 1).unwrap()
        };
        assert_eq!(begin(&mut queue, 3), ids[..3]);
        queue.recover(&ids[..3], |_| 0, 2).unwrap();
        // The first does nothing wrong, the second does.
        assert_eq!(begin(&mut queue, 3), ids[..1]);
        queue.cancelled(ids[0], "over", 3).unwrap();
        assert_eq!(begin(&mut queue, 3), ids[1..2]);
        queue.recover(&ids[1..2], |_| 0, 4).unwrap();
        assert_eq!(queue.state(ids[1]).unwrap(), Some(State::Failed));
        assert_eq!(begin(&mut queue, 3), ids[2..3]);
        queue.cancelled(ids[2], "over", 5).unwrap();
        let more = queue.add(&job("/in/more", 9, 0), 6).unwrap().unwrap();
        assert_eq!(begin(&mut queue, 3), [ids[3], more]);
        // Whoever is suspected later waits for those at work, and nobody is begun before.
        queue.recover(&[more], |_| 0, 7).unwrap();
        let last = queue.add(&job("/in/last", 10, 0), 8).unwrap().unwrap();
        assert_eq!(begin(&mut queue, 3), [ids[3]]);
        queue.cancelled(ids[3], "over", 9).unwrap();
        assert_eq!(begin(&mut queue, 3), [more]);
        queue.cancelled(more, "over", 10).unwrap();
        assert_eq!(begin(&mut queue, 3), [last]);
    }

    #[test]
    fn jobs_of_an_earlier_meshreel_have_the_settings_that_came_since() {
        let (folder, mut queue) = queue();
        let of =
            |queue: &Queue| queue.db.query_row("SELECT settings FROM jobs", [], |row| row.get::<_, String>(0)).unwrap();
        queue.add(&job("/a", 1, 0), 0).unwrap();
        let today = of(&queue);
        queue
            .db
            .execute("UPDATE jobs SET settings = json_remove(settings, '$.stature', '$.encode.pixel_format')", [])
            .unwrap();
        queue.db.pragma_update(None, "user_version", 3).unwrap();
        drop(queue);
        let mut queue = Queue::open(folder.path()).unwrap();
        // To the letter: it is compared with the settings of what is dropped.
        assert_eq!(of(&queue), today);
        assert!(queue.claim(99, 3).unwrap().is_some());
    }

    #[test]
    fn a_later_schema_is_left_alone_and_history_is_pruned() {
        let (folder, mut queue) = queue();
        queue.add(&job("/a", 1, 0), 0).unwrap();
        let id = queue.claim(99, 0).unwrap().unwrap().id;
        queue.failed(id, "broken", 100).unwrap();
        assert_eq!((queue.prune(100).unwrap(), queue.prune(101).unwrap()), (0, 1));
        queue.db.pragma_update(None, "user_version", 99).unwrap();
        drop(queue);
        let error = Queue::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains("later meshreel"), "{error}");
    }
}
