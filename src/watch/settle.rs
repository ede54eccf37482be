//! When a file is complete: nobody has it open for writing, and it has not changed for a while.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::scan::Entry;
use crate::job::Stamp;

/// Files that are not known to be complete yet.
#[derive(Debug, Default)]
pub struct Settling {
    since: HashMap<PathBuf, (Stamp, Instant)>,
}

impl Settling {
    /// Takes what looking found in all folders that could be read, and gives those files that are at rest. Files that are gone,
    /// unless `is_unknown` says that their folder could not be read, are forgotten.
    pub fn observe(
        &mut self,
        now: Instant,
        rest: Duration,
        entries: Vec<Entry>,
        is_unknown: impl Fn(&Path) -> bool,
    ) -> Vec<Entry> {
        let mut next = HashMap::with_capacity(entries.len());
        let mut at_rest = Vec::new();
        for entry in entries {
            let since = match self.since.get(&entry.path) {
                Some((stamp, since)) if *stamp == entry.stamp => *since,
                _ => now,
            };
            next.insert(entry.path.clone(), (entry.stamp, since));
            if now.duration_since(since) >= rest || entry.refused.is_some() {
                at_rest.push(entry);
            }
        }
        let unknown = self.since.drain().filter(|(path, _)| is_unknown(path));
        for (path, state) in unknown {
            next.entry(path).or_insert(state);
        }
        self.since = next;
        at_rest
    }

    /// No longer of interest: it was taken.
    pub fn forget(&mut self, path: &Path) {
        self.since.remove(path);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.since.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.since.is_empty()
    }
}

/// Whether some process has the file open for writing, as far as the system says: a slow copy may pause for minutes. Asks
/// for a read lease, which is refused while there is a writer (Linux, local file systems, one's own files); where it
/// cannot be asked, false.
///
/// The process must ignore `SIGIO`: a writer who comes while the lease is held, for an instant, raises it.
pub fn is_open_for_writing(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    // SAFETY: plain calls on a descriptor that is open for their whole duration.
    unsafe {
        if libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) == 0 {
            libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK);
            return false;
        }
    }
    std::io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, size: u64) -> Entry {
        Entry { path: name.into(), stamp: Stamp { size, modified: 0 }, refused: None }
    }

    #[test]
    fn a_file_is_at_rest_when_it_did_not_change_for_a_while() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let rest = Duration::from_secs(5);
        let mut settling = Settling::default();
        let mut look = |time: u64, entries: Vec<Entry>, unknown: bool| {
            let found = settling.observe(at(time), rest, entries, |_| unknown);
            found.into_iter().map(|e| e.path.to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        assert!(look(0, vec![entry("a", 1), entry("b", 1)], false).is_empty());
        assert!(look(3, vec![entry("a", 2), entry("b", 1)], false).is_empty());
        assert_eq!(look(5, vec![entry("a", 2), entry("b", 1)], false), ["b"]);
        assert_eq!(look(8, vec![entry("a", 2)], false), ["a"]);
        // Gone and back: as new. Unless its folder could not be read meanwhile.
        assert!(look(9, vec![], false).is_empty());
        assert!(look(20, vec![entry("a", 2)], false).is_empty());
        assert!(look(22, vec![], true).is_empty());
        assert_eq!(look(25, vec![entry("a", 2)], false), ["a"]);
    }

    #[test]
    fn a_writer_is_noticed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(is_open_for_writing(file.path()));
        let path = file.into_temp_path();
        assert!(!is_open_for_writing(&path));
    }
}
