//! Folders of the user, and paths that do not depend on where the program is started.

use std::path::{Component, Path, PathBuf};

/// The path from the root on without `.` and `..`: what is remembered must not depend on where the program is started. Links
/// are left as they are, so that the same folder is called the same while a drive is away.
pub(super) fn absolute(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut clean = PathBuf::new();
    for part in whole.components() {
        match part {
            Component::ParentDir => drop(clean.pop()),
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}

pub(super) fn home() -> PathBuf {
    std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from)
}

/// A folder of ours by the XDG base directory specification.
pub(super) fn user_folder(variable: &str, fallback: &str) -> PathBuf {
    let base = std::env::var_os(variable).map(PathBuf::from).filter(|p| p.is_absolute());
    base.unwrap_or_else(|| home().join(fallback)).join("meshreel")
}

pub(super) fn default_state() -> PathBuf {
    user_folder("XDG_STATE_HOME", ".local/state")
}
