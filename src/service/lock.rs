//! One engine for each state folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::ServiceError;

/// Takes the lock of a state folder; it is let go of when the file is dropped, and when the process ends in whatever way.
pub fn hold(state: &Path) -> Result<File, ServiceError> {
    let failed = |source| ServiceError::State { path: state.to_owned(), source };
    let path = state.join("engine.lock");
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(source)) => return Err(failed(source)),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            drop(file.read_to_string(&mut holder));
            let number = holder.trim().parse::<u32>();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = hold(folder.path()).unwrap();
        let error = hold(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        hold(folder.path()).unwrap();
    }
}
