//! What is in a folder.

use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::job::Stamp;

/// Endings of files that are still being downloaded or copied.
const PARTIAL: [&str; 9] = [".part", ".partial", ".crdownload", ".download", ".filepart", ".tmp", ".temp", ".!ut", "~"];

/// Something in a watched folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where.
    pub path: PathBuf,
    /// What it looks like.
    pub stamp: Stamp,
    /// Why it is not taken, if it is not.
    pub refused: Option<String>,
}

/// Files in `folder`, and in those below when `recursive`; not those in the folders `except`, without links in their paths
/// (results may go to a folder within).
/// Dot files and partial downloads are left out; links that leave the folder, devices, pipes and the like are refused.
///
/// # Errors
/// When the folder itself cannot be read: then nothing is known of what is in it.
pub fn scan(folder: &Path, recursive: bool, except: &[PathBuf]) -> io::Result<Vec<Entry>> {
    let root = folder.canonicalize()?;
    std::fs::read_dir(folder)?;
    let depth = if recursive { usize::MAX } else { 1 };
    let walk = WalkDir::new(folder).min_depth(1).max_depth(depth).into_iter().filter_entry(|entry| {
        let name = entry.file_name().as_bytes();
        let is_hidden = entry.depth() > 0 && name.starts_with(b".");
        let is_excepted = || entry.path().canonicalize().is_ok_and(|path| except.contains(&path));
        let is_below = entry.depth() > 0 && entry.file_type().is_dir();
        !(is_hidden || is_below && is_excepted())
    });
    let mut entries = Vec::new();
    for entry in walk {
        let entry = match entry {
            Ok(entry) => entry,
            // What vanishes while we look hides nothing else, and a folder that may not be read is told of.
            Err(error) => {
                entries.extend(closed(&error));
                continue;
            }
        };
        let name = entry.file_name().to_string_lossy().to_lowercase();
        let kind = entry.file_type();
        if kind.is_dir() || PARTIAL.iter().any(|ending| name.ends_with(ending)) {
            continue;
        }
        let Ok(metadata) = entry.metadata() else { continue };
        let refused = if kind.is_symlink() {
            match entry.path().canonicalize() {
                // The file itself is found as well.
                Ok(target) if target.starts_with(&root) => continue,
                Ok(_) => Some("it is a link to a file outside the watched folder"),
                Err(_) => Some("it is a link to nothing"),
            }
        } else if !kind.is_file() {
            Some("it is no file but a device, pipe or socket")
        } else {
            unreadable(&metadata, entry.path())
        };
        let refused = refused.map(str::to_owned);
        entries.push(Entry { path: entry.into_path(), stamp: Stamp::of(&metadata), refused });
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// The folder that may not be read, if that is what the error is about.
fn closed(error: &walkdir::Error) -> Option<Entry> {
    let is_denied = error.io_error().is_some_and(|e| e.kind() == io::ErrorKind::PermissionDenied);
    let path = error.path().filter(|_| is_denied)?.to_owned();
    let stamp = Stamp::of(&path.metadata().ok()?);
    Some(Entry { path, stamp, refused: Some("meshreel may not read this folder".to_owned()) })
}

fn unreadable(metadata: &Metadata, path: &Path) -> Option<&'static str> {
    use std::os::unix::fs::PermissionsExt;
    // Opening is left to those that need it, but for files that nobody may read.
    let suspicious = metadata.permissions().mode() & 0o444 != 0o444;
    let denied = |e: io::Error| e.kind() == io::ErrorKind::PermissionDenied;
    (suspicious && std::fs::File::open(path).is_err_and(denied)).then_some("meshreel may not read it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_and_what_is_none_is_refused_or_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("sub/out")).unwrap();
        for name in ["a.mp4", ".hidden.mp4", "b.mp4.part", "c.CRDOWNLOAD", "sub/d.mp4", "sub/out/e.mp4"] {
            std::fs::write(at(name), name).unwrap();
        }
        std::os::unix::fs::symlink("/etc/hostname", at("leaves.mp4")).unwrap();
        std::os::unix::fs::symlink("a.mp4", at("stays.mp4")).unwrap();
        std::os::unix::fs::symlink("nowhere", at("dangling.mp4")).unwrap();
        std::os::unix::net::UnixListener::bind(at("socket.mp4")).unwrap();
        let found = |recursive: bool| -> Vec<(String, bool)> {
            let entries = scan(folder.path(), recursive, &[at("sub/out").canonicalize().unwrap()]).unwrap();
            let name = |e: &Entry| e.path.strip_prefix(folder.path()).unwrap().to_string_lossy().into_owned();
            entries.iter().map(|e| (name(e), e.refused.is_none())).collect()
        };
        let flat = [("a.mp4", true), ("dangling.mp4", false), ("leaves.mp4", false), ("socket.mp4", false)];
        assert_eq!(found(false), flat.map(|(n, ok)| (n.to_owned(), ok)));
        assert_eq!(found(true)[4..], [("sub/d.mp4".to_owned(), true)]);
        assert!(scan(&at("missing"), true, &[]).is_err());
    }
}
