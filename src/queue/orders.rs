//! What the user wants of the queue, and whose turn it is by that.

use rusqlite::{OptionalExtension, Transaction, params};

use super::store::{Sql, end, note, state_of};
use super::{Order, Place, Queue, QueueError, QueueMode};
use crate::clock::Millis;
use crate::job::{Backend, JobState};

impl Queue {
    /// The jobs of a back end whose turn it is, at most `places`: of those at work and those whose time has come the highest
    /// priority, then those at work, then the oldest. None while everything is paused; only those at work while nothing is
    /// to be begun. One that was at work when the program crashed is at work alone, so that it shows who is to blame.
    pub fn turns(
        &mut self,
        backend: Backend,
        places: usize,
        is_draining: bool,
        now: Millis,
    ) -> Result<Vec<i64>, QueueError> {
        self.read(|t| {
            let begins = match mode(t, now)? {
                QueueMode::Go => !is_draining,
                QueueMode::Drain => false,
                QueueMode::Pause { .. } => return Ok(Vec::new()),
            };
            let mut first = t.prepare_cached(
                "SELECT id, crashes > 0 FROM jobs
                 WHERE backend = ?4 AND (state = 'running' OR (state = 'queued' AND ready <= ?1 AND ?3))
                 ORDER BY priority DESC, state = 'running' DESC, position LIMIT ?2",
            )?;
            let values = params![now, places as i64, begins, backend.name()];
            let first = first.query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?;
            let first: Vec<(i64, bool)> = first.collect::<Sql<_>>()?;
            let alone = match first[..] {
                [(_, true), ..] => 1,
                _ => first.iter().position(|(_, is_suspect)| *is_suspect).unwrap_or(first.len()),
            };
            Ok(first.into_iter().take(alone).map(|(id, _)| id).collect())
        })
    }

    /// Does what the user wants of a job; `by` tells the job's log where the order came from; `is_in_hand`: some runner has it in
    /// hand. Gives what it is at then, or why that cannot be.
    pub fn order(
        &mut self,
        id: i64,
        order: Order,
        by: &str,
        is_in_hand: bool,
        now: Millis,
    ) -> Result<Result<JobState, String>, QueueError> {
        self.write(|t| {
            let Some(state) = state_of(t, id)? else { return Ok(Err(format!("there is no job {id}"))) };
            let set = |state: JobState, resume: Option<Millis>| {
                let values = params![id, state.name(), resume];
                t.execute("UPDATE jobs SET state = ?2, resume = ?3 WHERE id = ?1", values)?;
                let what = if state == JobState::Paused { "paused" } else { "resumed" };
                note(t, id, now, &format!("{what} by {by}"))?;
                Ok(Ok(state))
            };
            let refuse = |why: String| {
                note(t, id, now, &format!("{}: refused ({why}): by {by}", order.said_of(id)))?;
                Ok(Err(why))
            };
            match (order, state) {
                (Order::Pause { until }, JobState::Queued | JobState::Running) => set(JobState::Paused, until),
                (Order::Pause { until }, JobState::Paused) if until.is_some() => set(JobState::Paused, until),
                (Order::Resume, JobState::Paused) => set(if is_in_hand { JobState::Running } else { JobState::Queued }, None),
                (Order::Cancel, JobState::Queued | JobState::Running | JobState::Paused) => {
                    end(t, id, JobState::Cancelled, Some(&format!("cancelled by {by}")), None, now)?;
                    Ok(Ok(JobState::Cancelled))
                }
                (Order::Retry, JobState::Failed | JobState::Cancelled) if is_in_hand => {
                    refuse(format!("job {id} is still ending; try again in a moment"))
                }
                (Order::Retry, JobState::Failed | JobState::Cancelled | JobState::Queued) => {
                    let changed = t.execute(
                        "UPDATE jobs SET state = 'queued', ready = 0, attempts = 0, crashes = 0, kills = 0, error = NULL, ended = NULL
                         WHERE id = ?1 AND stem <> x''",
                        [id],
                    )?;
                    if changed != 1 {
                        return refuse(format!("job {id} was never taken; mend the file, and it is looked at again"));
                    }
                    note(t, id, now, &format!("to be tried again, by {by}"))?;
                    Ok(Ok(JobState::Queued))
                }
                (Order::Priority(value), JobState::Queued | JobState::Running | JobState::Paused) => {
                    t.execute("UPDATE jobs SET priority = ?2 WHERE id = ?1", [id, value])?;
                    note(t, id, now, &format!("priority {value}, by {by}"))?;
                    Ok(Ok(state))
                }
                (Order::Move(place), JobState::Queued | JobState::Running | JobState::Paused) => {
                    shift(t, id, place)?;
                    note(t, id, now, &format!("moved {}, by {by}", place.name()))?;
                    Ok(Ok(state))
                }
                _ => refuse(format!("job {id} is {}", state.name())),
            }
        })
    }

    /// Whether the queue as a whole is worked through.
    pub fn mode(&mut self, now: Millis) -> Result<QueueMode, QueueError> {
        self.read(|t| mode(t, now))
    }

    /// Changes that. Kept over a restart.
    pub fn set_mode(&mut self, mode: QueueMode) -> Result<(), QueueError> {
        self.write(|t| {
            let value = serde_json::to_string(&mode).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
            t.execute("INSERT OR REPLACE INTO settings VALUES (?1, ?2)", [MODE, &value]).map(drop)
        })
    }

    /// Lets those go on whose pause is over; `is_in_hand` as for [`Queue::order`]. Gives them.
    pub fn resume_due(&mut self, is_in_hand: impl Fn(i64) -> bool, now: Millis) -> Result<Vec<i64>, QueueError> {
        self.write(|t| {
            let mut due = t.prepare_cached("SELECT id FROM jobs WHERE state = 'paused' AND resume <= ?1")?;
            let due: Vec<i64> = due.query_map([now], |row| row.get(0))?.collect::<Sql<_>>()?;
            for &id in &due {
                let state = if is_in_hand(id) { JobState::Running } else { JobState::Queued };
                t.execute("UPDATE jobs SET state = ?2, resume = NULL WHERE id = ?1", params![id, state.name()])?;
                note(t, id, now, "the pause is over")?;
            }
            Ok(due)
        })
    }

    /// When the passing of time next changes whose turn it is: a pause ends, or the wait for another try.
    pub fn next_moment(&mut self, now: Millis) -> Result<Option<Millis>, QueueError> {
        self.read(|t| {
            let sql = "SELECT MIN(moment) FROM (
                SELECT MIN(ready) AS moment FROM jobs WHERE state = 'queued' AND ready > ?1
                UNION ALL SELECT MIN(resume) FROM jobs WHERE state = 'paused')";
            let jobs: Option<Millis> = t.query_row(sql, [now], |row| row.get(0))?;
            let all = match mode(t, now)? {
                QueueMode::Pause { until } => until,
                QueueMode::Go | QueueMode::Drain => None,
            };
            Ok([jobs, all].into_iter().flatten().min())
        })
    }
}

/// Name of the setting.
const MODE: &str = "flow";

fn mode(t: &Transaction<'_>, now: Millis) -> Sql<QueueMode> {
    let value = t.query_row("SELECT value FROM settings WHERE name = ?1", [MODE], |row| row.get::<_, String>(0));
    let mode = value.optional()?.and_then(|value| serde_json::from_str(&value).ok()).unwrap_or(QueueMode::Go);
    Ok(match mode {
        QueueMode::Pause { until: Some(until) } if until <= now => QueueMode::Go,
        other => other,
    })
}

/// Moves a job among those of its priority.
fn shift(t: &Transaction<'_>, id: i64, place: Place) -> Sql<()> {
    let own: (i64, i64) =
        t.query_row("SELECT priority, position FROM jobs WHERE id = ?1", [id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (priority, position) = own;
    let mut set = t.prepare_cached("UPDATE jobs SET position = ?2 WHERE id = ?1")?;
    let (order, beyond) = match place {
        Place::First | Place::Up => ("DESC", "<"),
        Place::Last | Place::Down => ("ASC", ">"),
    };
    let neighbours = format!(
        "SELECT id, position FROM jobs WHERE priority = ?1 AND position {beyond} ?2
         AND state IN ('queued', 'running', 'paused') ORDER BY position {order}"
    );
    let neighbours: Vec<(i64, i64)> = t
        .prepare_cached(&neighbours)?
        .query_map([priority, position], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Sql<_>>()?;
    let count = match place {
        Place::First | Place::Last => neighbours.len(),
        Place::Up | Place::Down => 1,
    };
    // Each it passes takes the place before, so that no two have the same.
    let mut free = position;
    for (neighbour, position) in neighbours.into_iter().take(count) {
        set.execute([neighbour, free])?;
        free = position;
    }
    set.execute([id, free]).map(drop)
}
