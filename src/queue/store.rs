//! The queue in SQLite (write-ahead log): every change is on disk before the call returns.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, Transaction, TransactionBehavior, params};

use super::schema;
use crate::clock::Millis;
use crate::job::{JobState, OutputNames, Stamp};

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
    /// From an earlier meshreel, whose engine may be at work.
    #[error(
        "the queue {} was written by an earlier meshreel; end its engine if it runs (`meshreel stop` of that version), and start this one: that brings it up to date",
        path.display()
    )]
    TooOld {
        /// The file.
        path: PathBuf,
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
        let version = schema::prepare(&mut db).map_err(database)?;
        match version > schema::VERSION {
            true => Err(QueueError::TooNew { path, found: version, known: schema::VERSION }),
            false => Ok(Self { path, db }),
        }
    }

    /// Opens the queue of a state folder for who only looks: nothing is made or brought up to date, since an engine of an earlier
    /// version may be at work with it.
    ///
    /// # Errors
    /// When the file cannot be opened or is another version's.
    pub fn open_to_look(state: &Path) -> Result<Self, QueueError> {
        let path = super::file(state);
        let open = || {
            let db = Connection::open(&path)?;
            schema::connect(&db)?;
            let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
            Ok((db, version as usize))
        };
        let (db, version) = open().map_err(|source| QueueError::Database { path: path.clone(), source })?;
        match version {
            _ if version > schema::VERSION => Err(QueueError::TooNew { path, found: version, known: schema::VERSION }),
            _ if version < schema::VERSION => Err(QueueError::TooOld { path }),
            _ => Ok(Self { path, db }),
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
}

pub(super) fn state_of(t: &Transaction<'_>, id: i64) -> Sql<Option<JobState>> {
    let name = t.query_row("SELECT state FROM jobs WHERE id = ?1", [id], |row| row.get::<_, String>(0));
    Ok(name.optional()?.and_then(|name| JobState::from_name(&name)))
}

pub(super) fn end(
    t: &Transaction<'_>,
    id: i64,
    state: JobState,
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

pub(super) fn as_json<T: serde::Serialize>(value: &T) -> Sql<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// Paths are bytes: a file name need not be text.
pub(super) fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

pub(super) fn path(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(&bytes))
}

pub(super) fn size(stamp: Stamp) -> i64 {
    i64::try_from(stamp.size).unwrap_or(i64::MAX)
}

/// What the results of a job are called, from the columns of folder, stem and container.
pub(super) fn names(row: &SqlRow<'_>, [folder, stem, container]: [usize; 3]) -> Sql<OutputNames> {
    let stem: Vec<u8> = row.get(stem)?;
    Ok(OutputNames { folder: path(row.get(folder)?), stem: OsString::from_vec(stem), container: row.get(container)? })
}
