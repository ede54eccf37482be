//! What is done of a job, on disk segment by segment: a process that dies loses a few seconds of work.
//!
//! An SQLite file for each job. A segment is in it as a whole or not at all, whenever the process or the machine dies. Those of the drawing
//! pass may come in any order. What follows from a segment is made again: whoever goes on from a checkpoint gets the same results, byte for byte, as who never stopped.

use std::ops::Range;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::media::Packet;

/// Version of what is in the file, what the tracker remembers included; a file of another version is replaced.
const FORMAT: u32 = 12;
/// Packets of a segment are numbered from its first frame, shifted left by so many bits.
const NUMBERING: u32 = 24;

const SCHEMA: &str = "
    CREATE TABLE about (job TEXT NOT NULL, is_fitted INTEGER NOT NULL DEFAULT 0) STRICT;
    CREATE TABLE fitted (number INTEGER PRIMARY KEY, piece BLOB NOT NULL) STRICT;
    CREATE TABLE observed (number INTEGER PRIMARY KEY, frames INTEGER NOT NULL, segment BLOB NOT NULL) STRICT;
    CREATE TABLE drawn (first INTEGER PRIMARY KEY, next INTEGER NOT NULL) STRICT;
    CREATE TABLE packets (
        number INTEGER PRIMARY KEY,
        stamp INTEGER NOT NULL,
        duration INTEGER NOT NULL,
        flags INTEGER NOT NULL,
        data BLOB NOT NULL
    ) STRICT;
";

/// Why a checkpoint cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("what is done cannot be written down in {}: {source}", path.display())]
pub struct CheckpointError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub source: Cause,
}

/// What is wrong with a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// SQLite or the disk.
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    /// What a segment holds.
    #[error(transparent)]
    Form(#[from] postcard::Error),
}

impl CheckpointError {
    /// Whether there is no room.
    pub fn is_disk_full(&self) -> bool {
        matches!(&self.source, Cause::Database(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull))
    }
}

/// Names the file in an error.
fn at<T>(path: &Path, result: Result<T, Cause>) -> Result<T, CheckpointError> {
    result.map_err(|source| CheckpointError { path: path.to_owned(), source })
}

/// The checkpoint of one job.
pub struct Checkpoint {
    path: PathBuf,
    db: Connection,
    /// Whether packets were stored since a segment was completed.
    is_open: bool,
}

impl Checkpoint {
    /// Opens the checkpoint of the job with this description, or makes one. A file of another description, or one that cannot be
    /// understood, is replaced.
    ///
    /// # Errors
    /// Those of SQLite and the disk, which may pass; so have all methods below.
    pub fn open(path: &Path, job: &str) -> Result<Self, CheckpointError> {
        let db = match continued(path, job) {
            Ok(Some(db)) => Ok(db),
            Ok(None) => begun(path, job),
            Err(error) if is_damaged(&error) => begun(path, job),
            Err(error) => Err(error.into()),
        };
        Ok(Self { path: path.to_owned(), db: at(path, db)?, is_open: false })
    }

    /// Whether what is in it cannot be understood, by an error of one of the methods below.
    pub fn is_beyond_use(error: &CheckpointError) -> bool {
        match &error.source {
            Cause::Database(error) => is_damaged(error),
            Cause::Form(_) => true,
        }
    }

    /// Writes down the fitted people, piece by piece.
    pub fn add_fitted<T: Serialize>(&mut self, pieces: impl Iterator<Item = T>) -> Result<(), CheckpointError> {
        let write = || {
            let transaction = self.db.transaction()?;
            for piece in pieces {
                let bytes = postcard::to_allocvec(&piece)?;
                transaction.prepare_cached("INSERT INTO fitted (piece) VALUES (?1)")?.execute(params![bytes])?;
            }
            transaction.execute("UPDATE about SET is_fitted = 1", [])?;
            Ok(transaction.commit()?)
        };
        at(&self.path, write())
    }

    /// The pieces of the fitted people, in order; `None` where they are not fitted yet.
    pub fn fitted<T: DeserializeOwned>(&self) -> Result<Option<Vec<T>>, CheckpointError> {
        let read = || {
            if !self.db.query_row("SELECT is_fitted FROM about", [], |row| row.get::<_, bool>(0))? {
                return Ok(None);
            }
            let mut all = self.db.prepare("SELECT piece FROM fitted ORDER BY number")?;
            let pieces = all.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
            pieces.map(|bytes| Ok(postcard::from_bytes(&bytes?)?)).collect::<Result<_, Cause>>().map(Some)
        };
        at(&self.path, read())
    }

    /// Makes the next [`Checkpoint::open`] begin anew. What is drawn of a segment that is not complete goes first: inside its
    /// transaction nothing would be kept of this either.
    pub fn forget(&mut self) -> Result<(), CheckpointError> {
        let mut forget = || {
            if std::mem::replace(&mut self.is_open, false) {
                self.db.execute_batch("ROLLBACK")?;
            }
            Ok(self.db.execute("DELETE FROM about", []).map(drop)?)
        };
        at(&self.path, forget())
    }

    /// The segments of the observing pass so far, in order.
    pub fn observed<T: DeserializeOwned>(&self) -> Result<Vec<T>, CheckpointError> {
        let read = || {
            let mut all = self.db.prepare("SELECT segment FROM observed ORDER BY number")?;
            let segments = all.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
            segments.map(|bytes| Ok(postcard::from_bytes(&bytes?)?)).collect()
        };
        at(&self.path, read())
    }

    /// Adds a segment of the observing pass, which has now seen `frames`.
    pub fn add_observed<T: Serialize>(&self, frames: u64, segment: &T) -> Result<(), CheckpointError> {
        let write = || {
            let bytes = postcard::to_allocvec(segment)?;
            self.db.execute("INSERT INTO observed (frames, segment) VALUES (?1, ?2)", params![frames as i64, bytes])?;
            Ok(())
        };
        at(&self.path, write())
    }

    /// Frames from the first one on that are in the segments of the drawing pass, without a gap.
    pub fn drawn(&self) -> Result<u64, CheckpointError> {
        let drawn = self.drawn_segments()?;
        Ok(drawn.into_iter().fold(0, |end, segment| if segment.start == end { segment.end } else { end }))
    }

    /// The segments of the drawing pass so far: their frames, in order.
    pub fn drawn_segments(&self) -> Result<Vec<Range<u64>>, CheckpointError> {
        let read = || {
            let mut all = self.db.prepare("SELECT first, next FROM drawn ORDER BY first")?;
            let segments = all
                .query_map([], |row| Ok(row.get::<_, i64>(0)?.unsigned_abs()..row.get::<_, i64>(1)?.unsigned_abs()))?;
            Ok(segments.collect::<rusqlite::Result<_>>()?)
        };
        at(&self.path, read())
    }

    /// Adds packets to the segment that is being drawn from this frame on. Several may be at the same time.
    pub fn add_packets(&mut self, first: u64, packets: &[Packet]) -> Result<(), CheckpointError> {
        let mut write = || {
            let number = (first as i64) << NUMBERING;
            for packet in packets {
                if !std::mem::replace(&mut self.is_open, true) {
                    self.db.execute_batch("BEGIN IMMEDIATE")?;
                }
                let sql = "INSERT INTO packets (number, stamp, duration, flags, data)
                    SELECT COALESCE(MAX(number) + 1, ?1), ?3, ?4, ?5, ?6 FROM packets WHERE number BETWEEN ?1 AND ?2";
                let last = number + (1 << NUMBERING) - 1;
                let values = params![number, last, packet.stamp, packet.duration, packet.flags, packet.data];
                self.db.prepare_cached(sql)?.execute(values)?;
            }
            Ok(())
        };
        at(&self.path, write())
    }

    /// Completes the segment that was drawn from frame `first` on: the next one begins at frame `next`.
    pub fn complete_drawn(&mut self, first: u64, next: u64) -> Result<(), CheckpointError> {
        let mut write = || {
            if !std::mem::replace(&mut self.is_open, false) {
                self.db.execute_batch("BEGIN IMMEDIATE")?;
            }
            self.db.execute("INSERT OR REPLACE INTO drawn VALUES (?1, ?2)", params![first as i64, next as i64])?;
            // What there is of other segments goes with it, and is taken away again where they are not completed.
            Ok(self.db.execute_batch("COMMIT")?)
        };
        at(&self.path, write())
    }

    /// Stamps of all packets, in order.
    pub fn stamps(&self) -> Result<Vec<i64>, CheckpointError> {
        let read = || {
            let mut all = self.db.prepare("SELECT stamp FROM packets ORDER BY number")?;
            let stamps = all.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            Ok(stamps)
        };
        at(&self.path, read())
    }

    /// Gives all packets in order.
    pub fn each_packet<E: From<CheckpointError>>(
        &self,
        mut take: impl FnMut(Packet) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = "SELECT stamp, duration, flags, data FROM packets ORDER BY number";
        let mut all = at(&self.path, self.db.prepare(sql).map_err(Cause::from))?;
        let packets = all.query_map([], |row| {
            Ok(Packet { stamp: row.get(0)?, duration: row.get(1)?, flags: row.get(2)?, data: row.get(3)? })
        });
        for packet in at(&self.path, packets.map_err(Cause::from))? {
            take(at(&self.path, packet.map_err(Cause::from))?)?;
        }
        Ok(())
    }
}

/// Frames in the segments of both passes in a checkpoint, whatever job it is of; none when it cannot be read.
pub fn frames_written_down(path: &Path) -> u64 {
    let count = || {
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        db.query_row(
            "SELECT (SELECT COALESCE(MAX(frames), 0) FROM observed) + (SELECT COALESCE(SUM(next - first), 0) FROM drawn)",
            [],
            |row| row.get::<_, i64>(0),
        )
    };
    count().map_or(0, i64::unsigned_abs)
}

/// Whether an error says that a file is no checkpoint, and not that the disk is busy or fails.
fn is_damaged(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, TypeMismatch, Unknown};
    match error {
        // A table or column that is missing is an unknown error to SQLite.
        rusqlite::Error::SqliteFailure(error, _) => {
            matches!(error.code, DatabaseCorrupt | NotADatabase | TypeMismatch | Unknown)
        }
        rusqlite::Error::SqlInputError { .. }
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => true,
        _ => false,
    }
}

fn continued(path: &Path, job: &str) -> rusqlite::Result<Option<Connection>> {
    let db = Connection::open(path)?;
    let format: u32 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if format != FORMAT {
        return Ok(None);
    }
    let known: Option<String> = db.query_row("SELECT job FROM about", [], |row| row.get(0)).optional()?;
    if known.as_deref() != Some(job) {
        return Ok(None);
    }
    // What is left of segments that were not completed.
    db.execute("DELETE FROM packets WHERE number >> ?1 NOT IN (SELECT first FROM drawn)", [NUMBERING])?;
    Ok(Some(db))
}

fn begun(path: &Path, job: &str) -> Result<Connection, Cause> {
    // One that cannot be removed cannot be opened either, and that is told.
    drop(std::fs::remove_file(path));
    let db = Connection::open(path)?;
    db.execute_batch(&format!("BEGIN; {SCHEMA} PRAGMA user_version = {FORMAT};"))?;
    db.execute("INSERT INTO about (job) VALUES (?1)", [job])?;
    db.execute_batch("COMMIT")?;
    Ok(db)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(stamp: i64) -> Packet {
        Packet { data: vec![stamp as u8; 3], stamp, duration: 1, flags: 0 }
    }

    #[test]
    fn what_cannot_be_opened_now_is_not_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.checkpoint");
        Checkpoint::open(&path, "a").unwrap().add_observed(2, &1u8).unwrap();
        // As when a disk is away: nothing can be opened there, and nothing is lost.
        let away = folder.path().join("away");
        std::fs::rename(&path, &away).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(Checkpoint::open(&path, "a").is_err());
        std::fs::remove_dir(&path).unwrap();
        std::fs::rename(&away, &path).unwrap();
        assert_eq!(Checkpoint::open(&path, "a").unwrap().observed::<u8>().unwrap(), [1]);
        // Somebody else writes for longer than anybody waits.
        let other = Connection::open(&path).unwrap();
        other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
        assert!(Checkpoint::open(&path, "b").is_err());
        drop(other);
        assert_eq!(Checkpoint::open(&path, "a").unwrap().observed::<u8>().unwrap(), [1]);
    }

    #[test]
    fn a_segment_that_ends_where_another_does_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::open(&folder.path().join("1.checkpoint"), "a").unwrap();
        checkpoint.add_observed(121, &1u8).unwrap();
        // The end of a clip whose last frame was a keyframe has no frames of its own.
        checkpoint.add_observed(121, &2u8).unwrap();
        assert_eq!(checkpoint.observed::<u8>().unwrap(), [1, 2]);
    }

    #[test]
    fn what_was_solved_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.checkpoint");
        let mut checkpoint = Checkpoint::open(&path, "a").unwrap();
        assert_eq!(checkpoint.fitted::<u8>().unwrap(), None);
        checkpoint.add_fitted([7u8, 8].into_iter()).unwrap();
        drop(checkpoint);
        let checkpoint = Checkpoint::open(&path, "a").unwrap();
        assert_eq!(checkpoint.fitted::<u8>().unwrap(), Some(vec![7, 8]));
        // What is of another kind is no reason to fail for ever.
        let error = checkpoint.fitted::<String>().unwrap_err();
        assert!(Checkpoint::is_beyond_use(&error), "{error}");
        drop(checkpoint);
        assert_eq!(Checkpoint::open(&path, "b").unwrap().fitted::<u8>().unwrap(), None);
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init)] // ranges are what is meant
    fn segments_may_be_drawn_at_the_same_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.checkpoint");
        let mut checkpoint = Checkpoint::open(&path, "a").unwrap();
        // The second of three is completed while the first has a packet; of the third there is one as well.
        checkpoint.add_packets(5, &[packet(5)]).unwrap();
        checkpoint.add_packets(0, &[packet(0)]).unwrap();
        checkpoint.add_packets(10, &[packet(10)]).unwrap();
        checkpoint.add_packets(5, &[packet(6)]).unwrap();
        checkpoint.complete_drawn(5, 10).unwrap();
        assert_eq!((checkpoint.drawn().unwrap(), checkpoint.drawn_segments().unwrap()), (0, vec![5..10]));
        drop(checkpoint);
        let mut checkpoint = Checkpoint::open(&path, "a").unwrap();
        assert_eq!(checkpoint.stamps().unwrap(), [5, 6]);
        checkpoint.add_packets(0, &[packet(0), packet(1)]).unwrap();
        checkpoint.complete_drawn(0, 5).unwrap();
        assert_eq!((checkpoint.drawn().unwrap(), checkpoint.stamps().unwrap()), (10, vec![0, 1, 5, 6]));
        drop(checkpoint);
        assert_eq!(frames_written_down(&path), 10);
    }

    #[test]
    fn only_whole_segments_of_the_same_job_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.checkpoint");
        let mut checkpoint = Checkpoint::open(&path, "a").unwrap();
        checkpoint.add_observed(2, &("first", 1.5f32)).unwrap();
        checkpoint.add_packets(0, &[packet(0), packet(2)]).unwrap();
        checkpoint.complete_drawn(0, 2).unwrap();
        checkpoint.add_packets(2, &[packet(3)]).unwrap();
        drop(checkpoint);

        let checkpoint = Checkpoint::open(&path, "a").unwrap();
        assert_eq!(checkpoint.observed::<(String, f32)>().unwrap(), [("first".to_owned(), 1.5)]);
        assert_eq!(checkpoint.drawn().unwrap(), 2);
        assert_eq!(checkpoint.stamps().unwrap(), [0, 2]);
        let mut packets = Vec::new();
        let take = |packet| {
            packets.push(packet);
            Ok::<_, CheckpointError>(())
        };
        checkpoint.each_packet(take).unwrap();
        assert_eq!(packets, [packet(0), packet(2)]);
        drop(checkpoint);

        assert_eq!((frames_written_down(&path), frames_written_down(&folder.path().join("2.checkpoint"))), (4, 0));
        let mut checkpoint = Checkpoint::open(&path, "b").unwrap();
        assert_eq!((checkpoint.drawn().unwrap(), checkpoint.stamps().unwrap()), (0, Vec::new()));
        checkpoint.add_observed(2, &1).unwrap();
        // In the middle of a segment.
        checkpoint.add_packets(0, &[packet(0)]).unwrap();
        checkpoint.forget().unwrap();
        assert!(checkpoint.stamps().unwrap().is_empty());
        drop(checkpoint);
        assert!(Checkpoint::open(&path, "b").unwrap().observed::<u8>().unwrap().is_empty());
        std::fs::write(&path, "no database").unwrap();
        assert_eq!(Checkpoint::open(&path, "b").unwrap().drawn().unwrap(), 0);
    }
}
