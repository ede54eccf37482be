//! What is done of the jobs that are not at their end, a folder for each in the state folder.

use std::io;
use std::path::{Path, PathBuf};

use crate::queue::{Queue, QueueError};

fn folder(state: &Path) -> PathBuf {
    state.join("jobs")
}

/// Makes the folder.
pub fn prepare(state: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder(state))
}

/// The folder of one job.
pub fn path(state: &Path, id: i64) -> PathBuf {
    folder(state).join(format!("{id}.checkpoint"))
}

/// Removes those of jobs that are at their end, and that no runner has in hand.
pub fn clean(state: &Path, queue: &mut Queue, is_in_hand: impl Fn(i64) -> bool) -> Result<(), QueueError> {
    for entry in std::fs::read_dir(folder(state)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_suffix(".checkpoint")?.parse().ok());
        let is_needed = match id {
            Some(id) if is_in_hand(id) => true,
            Some(id) => queue.state(id)?.is_some_and(|state| !state.is_over()),
            None => false,
        };
        if !is_needed {
            // What cannot be removed now is no reason to stop; it is tried again after the next job.
            drop(match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                true => std::fs::remove_dir_all(entry.path()),
                false => std::fs::remove_file(entry.path()),
            });
        }
    }
    Ok(())
}
