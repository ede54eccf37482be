//! Watched folders: which files are there, and when one is complete.
//!
//! A change that the system reports only says when to look; what there is, is always what looking finds. So nothing is missed
//! when events are lost, when the program was off, or on network folders that report nothing.

mod scan;
mod settle;

use std::path::Path;
use std::time::Duration;

use flume::{Receiver, RecvTimeoutError};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

pub use scan::{Entry, scan};
pub use settle::{Settling, is_open_for_writing};

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
        let watcher = notify::recommended_watcher(move |_| {
            // Full: somebody will look anyway.
            let _ = sender.try_send(());
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
