//! One engine for each state folder.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::ServiceError;

/// The file: the number of the process that holds it, and where that listens.
const NAME: &str = "engine.lock";

/// Takes the lock of a state folder; it is let go of when the file is dropped, and when the process ends in whatever way.
pub fn hold(state: &Path) -> Result<File, ServiceError> {
    let failed = |source| ServiceError::StateFolder { path: state.to_owned(), source };
    let path = state.join(NAME);
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(source)) => return Err(failed(source)),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            drop(file.read_to_string(&mut holder));
            let number = holder.lines().next().unwrap_or_default().parse::<u32>();
            let holder = number.map_or("process unknown".to_owned(), |pid| format!("process {pid}"));
            return Err(ServiceError::Locked { state: state.to_owned(), holder });
        }
    }
    let mut write = || {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write().map_err(failed)?;
    Ok(file)
}

/// Whether some process holds the lock of a state folder.
pub fn is_held(state: &Path) -> bool {
    let file = File::open(state.join(NAME));
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Notes in a lock that is held where its holder listens.
pub fn note_socket(lock: &mut File, socket: &Path) -> io::Result<()> {
    let mut line = socket.as_os_str().as_bytes().to_vec();
    line.push(b'\n');
    lock.write_all(&line)
}

/// Where the last holder of a state folder's lock listens, or did, and the number of the user whom the lock belongs to.
pub fn socket(state: &Path) -> Option<(PathBuf, u32)> {
    let path = state.join(NAME);
    let contents = std::fs::read(&path).ok()?;
    let socket = contents.split(|byte| *byte == b'\n').nth(1).filter(|line| !line.is_empty())?;
    let socket = PathBuf::from(OsStr::from_bytes(socket));
    let owner = std::fs::metadata(path).ok()?.uid();
    Some((socket, owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_held(folder.path()));
        let first = hold(folder.path()).unwrap();
        assert!(is_held(folder.path()));
        let error = hold(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        assert!(!is_held(folder.path()));
        hold(folder.path()).unwrap();
    }
}
