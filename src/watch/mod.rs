//! Watched folders: which files are there, and when one is complete.
//!
//! A change that the system reports only says when to look; what there is, is always what looking finds. So nothing is missed
//! when events are lost, when the program was off, or on network folders that report nothing.

mod network;
mod scan;
mod settle;

use std::path::Path;
use std::time::Duration;

use flume::{Receiver, RecvTimeoutError};
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

pub use network::is_on_network;
pub use scan::{Entry, scan};
pub use settle::{Settling, is_open_for_writing};

fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// Hears that something changed in some folders.
pub struct Changes {
    watcher: Option<RecommendedWatcher>,
    changed: Receiver<()>,
}

impl Changes {
    /// Listens for changes from now on. Where the system offers no such thing, looking now and then remains.
    pub fn listen() -> Self {
        // One is enough: it says to look, not at what.
        let (sender, changed) = flume::bounded(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Reading is no change, and looking reads: it would wake itself for ever. Full: somebody will look anyway.
            if event.map_or(true, |event| is_change(event.kind)) {
                let _ = sender.try_send(());
            }
        });
        if let Err(error) = &watcher {
            tracing::warn!(
                "changes in folders are not reported by the system ({error}); they are looked at now and then"
            );
        }
        Self { watcher: watcher.ok(), changed }
    }

    /// Adds a folder; again after it was gone.
    pub fn add(&mut self, folder: &Path, recursive: bool) {
        let mode = if recursive { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        if let Some(Err(error)) = self.watcher.as_mut().map(|watcher| watcher.watch(folder, mode)) {
            tracing::debug!("{}: changes are not reported: {error}", folder.display());
        }
    }

    /// Waits until something changed or the time is over. Says whether something did.
    pub fn wait(&self, longest: Duration) -> bool {
        match self.changed.recv_timeout(longest) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(longest);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_wakes_and_looking_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut changes = Changes::listen();
        changes.add(folder.path(), false);
        std::fs::write(folder.path().join("a"), "a").unwrap();
        assert!(changes.wait(Duration::from_secs(10)));
        // What else the writing said.
        while changes.wait(Duration::from_millis(200)) {}
        assert_eq!(scan(folder.path(), false, &[]).unwrap().len(), 1);
        std::fs::read(folder.path().join("a")).unwrap();
        assert!(!changes.wait(Duration::from_millis(200)));
    }
}
