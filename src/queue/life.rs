//! The life of a job from its turn to its end.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension, Row as SqlRow, params};

use super::store::{Sql, as_json, bytes, end, names, note, path, state_of};
use super::{Queue, QueueError};
use crate::clock::Millis;
use crate::job::{Backend, JobSpec, JobState, Phase, Placement, Report, Stamp};

/// Times a job may have been at work when the program crashed.
const CRASHES: u32 = 2;
/// Times in a row that it may have been at work, and got no further, when the program was killed: who is killed cannot say
/// why, and for want of memory a video may kill the program at each start. Many times: a machine whose power fails again and
/// again is not the fault of the video.
const KILLS: u32 = 20;
/// Wait before a job is tried again, doubled with each attempt.
const FIRST_WAIT: Millis = 5_000;
const LONGEST_WAIT: Millis = 10 * 60_000;

/// A job taken from the queue to be worked on.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Its number.
    pub id: i64,
    /// What the video looked like when it was queued.
    pub stamp: Stamp,
    /// What to do.
    pub spec: JobSpec,
    /// Tries, this one included.
    pub attempts: u32,
    /// Higher comes first.
    pub priority: i64,
}

impl Queue {
    /// Takes a back end's first job whose turn it is ([`Queue::turns`]) and that is not at work yet.
    pub fn claim(&mut self, backend: Backend, places: usize, now: Millis) -> Result<Option<Claim>, QueueError> {
        let turns = self.turns(backend, places, false, now)?;
        self.write(|t| {
            for id in turns {
                let next = t.query_row(
                    "SELECT id, source, size, modified, folder, stem, container, settings, attempts + 1, priority FROM jobs
                     WHERE id = ?1 AND state = 'queued'",
                    [id],
                    claim_from,
                );
                let claim = match next.optional() {
                    Ok(Some(claim)) => claim,
                    Ok(None) => continue,
                    Err(rusqlite::Error::FromSqlConversionFailure(_, _, why)) => {
                        // Of an earlier version, whose settings this one does not take: no reason to stop all others.
                        let reason = format!("its settings cannot be read: {why}; drop the video again");
                        end(t, id, JobState::Failed, Some(&reason), None, now)?;
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                t.execute(
                    "UPDATE jobs SET state = 'running', started = ?2, ended = NULL, attempts = ?3, frames = 0, placement = NULL
                     WHERE id = ?1",
                    params![claim.id, now, claim.attempts],
                )?;
                note(t, claim.id, now, &format!("begins or goes on, try {}", claim.attempts))?;
                return Ok(Some(claim));
            }
            Ok(None)
        })
    }

    /// What a job is at; `None` when there is none of that number.
    pub fn state(&mut self, id: i64) -> Result<Option<JobState>, QueueError> {
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

    /// What many jobs are at; those that there are.
    pub fn states(&mut self, ids: &[i64]) -> Result<HashMap<i64, JobState>, QueueError> {
        self.read(|t| {
            let mut one = t.prepare_cached("SELECT state FROM jobs WHERE id = ?1")?;
            let mut states = HashMap::new();
            for &id in ids {
                let name: Option<String> = one.query_row([id], |row| row.get(0)).optional()?;
                states.extend(name.and_then(|name| JobState::from_name(&name)).map(|state| (id, state)));
            }
            Ok(states)
        })
    }

    /// What a job of this back end is at; `None` when there is none of that number.
    pub fn state_with(&mut self, id: i64, backend: Backend) -> Result<Option<JobState>, QueueError> {
        self.read(|t| {
            let is_its = "SELECT EXISTS (SELECT 1 FROM jobs WHERE id = ?1 AND backend = ?2)";
            match t.query_row(is_its, params![id, backend.name()], |row| row.get(0))? {
                true => state_of(t, id),
                false => Ok(None),
            }
        })
    }

    /// Notes which task of a cluster works on a job, `None` for none. On disk before this returns, and so before the task may begin.
    pub fn placed(&mut self, id: i64, placement: Option<&Placement>) -> Result<(), QueueError> {
        let text = placement.map(as_json).transpose();
        self.write(|t| t.execute("UPDATE jobs SET placement = ?2 WHERE id = ?1", params![id, text?]).map(drop))
    }

    /// At start: jobs that are not at their end are for whom the configuration says now, by the names of their videos.
    pub fn assign(&mut self, backend_of: impl Fn(&Path) -> Backend) -> Result<(), QueueError> {
        self.write(|t| {
            let sql = "SELECT id, source, backend FROM jobs WHERE state IN ('queued', 'running', 'paused')";
            let mut all = t.prepare(sql)?;
            let all = all.query_map([], |row| Ok((row.get(0)?, path(row.get(1)?), row.get(2)?)))?;
            for (id, source, before) in all.collect::<Sql<Vec<(i64, PathBuf, String)>>>()? {
                let backend = backend_of(&source).name();
                if backend != before {
                    t.execute("UPDATE jobs SET backend = ?2 WHERE id = ?1", params![id, backend])?;
                }
            }
            Ok(())
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
            end(t, id, JobState::Done, None, Some(&report?), now)
        })
    }

    /// There will be no results. What the user gave up meanwhile stays given up.
    pub fn failed(&mut self, id: i64, reason: &str, now: Millis) -> Result<(), QueueError> {
        self.write(|t| match state_of(t, id)? {
            Some(JobState::Cancelled) => Ok(()),
            _ => end(t, id, JobState::Failed, Some(reason), None, now),
        })
    }

    /// The file is gone, so there will be no results. If it comes back it is taken as if it had never been there.
    pub fn removed(&mut self, claim: &Claim, now: Millis) -> Result<(), QueueError> {
        self.write(|t| {
            t.execute("DELETE FROM seen WHERE source = ?1", [bytes(&claim.spec.source)])?;
            end(t, claim.id, JobState::Cancelled, Some("the file was removed before its turn"), None, now)
        })
    }

    /// There will be no results, though nothing failed.
    pub fn cancelled(&mut self, id: i64, reason: &str, now: Millis) -> Result<(), QueueError> {
        self.write(|t| end(t, id, JobState::Cancelled, Some(reason), None, now))
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
    /// aside, and so are those that got no further in many tries (`reached`: frames written down of a job). Those on a cluster went on
    /// meanwhile, and are not what ended the program. Gives all folders of results, where leftovers may lie.
    pub fn recover(
        &mut self,
        blamed: &[i64],
        reached: impl Fn(i64) -> u64,
        now: Millis,
    ) -> Result<BTreeSet<PathBuf>, QueueError> {
        self.write(|t| {
            t.execute(
                "UPDATE jobs SET state = 'queued', attempts = attempts - 1 WHERE state = 'running' AND backend <> 'local'",
                [],
            )?;
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
            let mut folders = t.prepare("SELECT DISTINCT folder FROM jobs")?;
            let folders = folders.query_map([], |row| Ok(path(row.get(0)?)))?.collect::<Sql<BTreeSet<PathBuf>>>()?;
            Ok(folders.into_iter().filter(|folder| folder.is_absolute()).collect())
        })
    }

    /// When a back end's next job may begin; `None` when there is none.
    pub fn next_ready(&mut self, backend: Backend) -> Result<Option<Millis>, QueueError> {
        let sql = "SELECT MIN(ready) FROM jobs WHERE state = 'queued' AND backend = ?1";
        self.read(|t| t.query_row(sql, [backend.name()], |row| row.get(0)))
    }
}

fn claim_from(row: &SqlRow<'_>) -> Sql<Claim> {
    let stamp = Stamp { size: row.get::<_, i64>(2)? as u64, modified: row.get(3)? };
    let (source, outputs) = (path(row.get(1)?), names(row, [4, 5, 6])?);
    let settings: String = row.get(7)?;
    let settings = serde_json::from_str(&settings)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(7, rusqlite::types::Type::Text, Box::new(error)))?;
    let spec = JobSpec { source, outputs, overwrite: false, settings };
    Ok(Claim { id: row.get(0)?, stamp, spec, attempts: row.get(8)?, priority: row.get(9)? })
}
