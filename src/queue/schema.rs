//! The tables of the queue, and how those of earlier versions become them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::store::{Sql, bytes, path};
use crate::job::JobSettings;

/// One step from a version of the schema to the next.
enum Step {
    /// Statements.
    Sql(&'static str),
    /// What they cannot do.
    Code(fn(&Transaction<'_>) -> Sql<()>),
}

/// The version that this program writes.
pub(super) const VERSION: usize = MIGRATIONS.len();

/// The schema, one step for each version; `user_version` says how many were taken. Steps that were released never change.
const MIGRATIONS: [Step; 10] = [
    Step::Sql(
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
    ),
    Step::Sql(
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
    ),
    Step::Sql(
        "
    ALTER TABLE jobs ADD COLUMN kills INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN reached INTEGER NOT NULL DEFAULT 0;
",
    ),
    Step::Sql(
        "
    UPDATE jobs SET settings = json_set(settings, '$.stature', 1.7);
",
    ),
    Step::Sql(
        "
    UPDATE jobs SET settings = json_set(settings, '$.encode.pixel_format', '');
",
    ),
    Step::Sql(
        "
    CREATE INDEX IF NOT EXISTS jobs_by_motion ON jobs (motion);
",
    ),
    Step::Code(name_by_folder_and_stem),
    Step::Code(restate_settings),
    Step::Sql(
        "
    ALTER TABLE jobs ADD COLUMN backend TEXT NOT NULL DEFAULT 'local';
    ALTER TABLE jobs ADD COLUMN placement TEXT;
",
    ),
    Step::Code(restate_settings),
];

/// Settings get what is new in them (exports, views, labels, ...) as it is where nothing is said, in today's order: they are compared to the letter with
/// those of what is dropped. What cannot be read fails when its turn comes.
fn restate_settings(t: &Transaction<'_>) -> Sql<()> {
    let mut all = t.prepare("SELECT DISTINCT settings FROM jobs")?;
    let texts = all.query_map([], |row| row.get::<_, String>(0))?.collect::<Sql<Vec<_>>>()?;
    for text in texts {
        let today = serde_json::from_str::<JobSettings>(&text).and_then(|settings| serde_json::to_string(&settings));
        if let Ok(today) = today {
            t.execute("UPDATE jobs SET settings = ?2 WHERE settings = ?1", params![text, today])?;
        }
    }
    Ok(())
}

/// Results are named by a folder, a stem and the video's container, in place of three paths.
fn name_by_folder_and_stem(t: &Transaction<'_>) -> Sql<()> {
    t.execute_batch(
        "
        ALTER TABLE jobs ADD COLUMN folder BLOB NOT NULL DEFAULT x'';
        ALTER TABLE jobs ADD COLUMN stem BLOB NOT NULL DEFAULT x'';
        ALTER TABLE jobs ADD COLUMN container TEXT NOT NULL DEFAULT '';
        ",
    )?;
    let mut all = t.prepare("SELECT id, video FROM jobs WHERE video <> x''")?;
    let videos = all.query_map([], |row| Ok((row.get::<_, i64>(0)?, path(row.get(1)?))))?;
    for video in videos.collect::<Sql<Vec<_>>>()? {
        let (id, video) = video;
        let folder = video.parent().unwrap_or(Path::new(""));
        let stem = video.file_stem().unwrap_or(OsStr::new("video")).as_bytes();
        let container = video.extension().unwrap_or_default().to_string_lossy();
        let values = params![id, bytes(folder), stem, container];
        t.execute("UPDATE jobs SET folder = ?2, stem = ?3, container = ?4 WHERE id = ?1", values)?;
    }
    t.execute_batch(
        "
        DROP INDEX jobs_by_video;
        DROP INDEX jobs_by_motion;
        ALTER TABLE jobs DROP COLUMN video;
        ALTER TABLE jobs DROP COLUMN motion;
        ALTER TABLE jobs DROP COLUMN report_file;
        CREATE INDEX jobs_by_name ON jobs (folder, stem);
        ",
    )
}

/// Settings of the connection.
pub(super) fn connect(db: &Connection) -> Sql<()> {
    db.busy_timeout(std::time::Duration::from_secs(10))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")
}

/// Settings of the connection, and the steps of the schema that are missing. Gives the version found after that.
pub(super) fn prepare(db: &mut Connection) -> Sql<usize> {
    connect(db)?;
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: usize = transaction.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? as usize;
    for step in MIGRATIONS.iter().skip(version) {
        match step {
            Step::Sql(sql) => transaction.execute_batch(sql)?,
            Step::Code(change) => change(&transaction)?,
        }
    }
    let version = version.max(VERSION);
    if version == VERSION {
        transaction.pragma_update(None, "user_version", version as i64)?;
    }
    transaction.commit()?;
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::super::{Queue, file};
    use super::*;
    use crate::job::Backend;

    #[test]
    fn jobs_of_an_earlier_meshreel_are_as_those_of_today() {
        let folder = tempfile::tempdir().unwrap();
        let mut db = Connection::open(file(folder.path())).unwrap();
        let transaction = db.transaction().unwrap();
        for step in MIGRATIONS.iter().take(3) {
            let Step::Sql(sql) = step else { panic!("the first steps are statements") };
            transaction.execute_batch(sql).unwrap();
        }
        let today = serde_json::to_string(&JobSettings::default()).unwrap();
        transaction
            .execute(
                "INSERT INTO jobs (source, size, modified, video, motion, report_file, settings, priority, position, state, added)
                 VALUES (x'2f61', 1, 1, CAST('/out/a.b.mkv' AS BLOB), x'01', x'02',
                         json_remove(?1, '$.stature', '$.encode.pixel_format', '$.formats', '$.views', '$.labels', '$.hands'), 0, 1, 'queued', 0)",
                [&today],
            )
            .unwrap();
        transaction.pragma_update(None, "user_version", 3).unwrap();
        transaction.commit().unwrap();
        drop(db);

        // Who only looks changes nothing: an engine of that version may be at work.
        let error = Queue::open_to_look(folder.path()).err().unwrap().to_string();
        assert!(error.contains("earlier meshreel"), "{error}");
        let claim = Queue::open(folder.path()).unwrap().claim(Backend::Local, 1, 1).unwrap().unwrap();
        assert!(Queue::open_to_look(folder.path()).is_ok());
        assert_eq!(claim.spec.settings, JobSettings::default());
        assert_eq!(claim.spec.outputs.video(), Path::new("/out/a.b.mkv"));
        assert_eq!(claim.spec.outputs.motion(), Path::new("/out/a.b.motion.jsonl"));
        // To the letter: it is compared with the settings of what is dropped.
        let db = Connection::open(file(folder.path())).unwrap();
        let text: String = db.query_row("SELECT settings FROM jobs", [], |row| row.get(0)).unwrap();
        assert_eq!(text, today);
        // What this version does not take fails alone.
        let sql = "UPDATE jobs SET state = 'queued', settings = json_set(settings, '$.encode.container', 'mpg')";
        db.execute(sql, []).unwrap();
        drop(db);
        let mut queue = Queue::open(folder.path()).unwrap();
        assert_eq!(queue.claim(Backend::Local, 1, 1).unwrap(), None);
        let row = queue.row(1).unwrap().unwrap();
        assert!(row.error.is_some_and(|error| error.contains("container is \"mpg\"")));
    }
}
