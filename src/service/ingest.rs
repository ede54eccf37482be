//! Looks at the watched folders and queues what is complete.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::inspect::{Inspection, inspect};
use super::{ServiceError, Shared, locked, shown};
use crate::checksum::Sum;
use crate::clock::now;
use crate::config::{ConfigError, Preset, Watch};
use crate::job::Overrides;
use crate::job::Stamp;
use crate::queue::NewJob;
use crate::text::printable;
use crate::watch::{Changes, Entry, Settling, is_on_network, is_open_for_writing, scan};

/// Look again after this long although nothing was reported: network folders report nothing, and events get lost.
const SELDOM: Duration = Duration::from_secs(30);
/// The same for folders that are away: nothing is reported of their coming back.
const AWAY: Duration = Duration::from_secs(2);
/// The same for folders on network drives.
const NETWORK: Duration = Duration::from_secs(5);
/// While files may become complete.
const OFTEN: Duration = Duration::from_millis(500);
/// How soon a stop is noticed.
const NAP: Duration = Duration::from_millis(200);
/// Endings of videos: such a file that does not open is worth a word, any other one is nobody's concern.
const VIDEOS: [&str; 20] = [
    "mp4", "mov", "m4v", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "mts", "m2ts", "wmv", "flv", "3gp", "ogv", "mxf",
    "vob", "asf", "qt", "dv",
];

/// Keeps watch until the run is stopped, or with `once` until everything that is there is queued. Gives how many files and
/// folders could not be read then.
pub fn keep(shared: &Shared<'_>, once: bool) -> Result<u64, ServiceError> {
    let mut ingest = Ingest::new(shared);
    while !ingest.is_over() {
        let is_waiting = ingest.look()?;
        if once && !is_waiting {
            let away = ingest.folders.iter().filter(|folder| **folder == Folder::Away).count();
            return Ok((ingest.stuck.len() + away) as u64);
        }
        ingest.wait(if is_waiting { OFTEN } else { ingest.interval() });
    }
    Ok(0)
}

/// What became of a file at rest.
enum Handled {
    /// It was queued, refused or remembered: it is not asked about again.
    Settled,
    /// Somebody is at it.
    Later,
    /// It cannot be read as it is, and why: it is empty, or the disk fails.
    WhenChanged(String),
}

struct Ingest<'a> {
    shared: &'a Shared<'a>,
    changes: Changes,
    settling: Settling,
    /// Files that were dealt with, as they looked then: what the queue knows, without asking it each time.
    known: HashMap<PathBuf, Stamp>,
    /// Files at rest that are not taken unless somebody changes something, and why.
    stuck: HashMap<PathBuf, String>,
    /// What each watched folder was when last looked at.
    folders: Vec<Folder>,
}

/// A watched folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Folder {
    /// Not looked at yet.
    Unknown,
    /// It cannot be read: that says nothing about what is in it.
    Away,
    /// It can; its device and number. One that was removed and made again is another one, whose changes are not reported yet.
    There(u64, u64),
}

impl<'a> Ingest<'a> {
    fn new(shared: &'a Shared<'a>) -> Self {
        let watches = &shared.config.watch;
        Self {
            shared,
            changes: Changes::listen(),
            settling: Settling::default(),
            known: HashMap::new(),
            stuck: HashMap::new(),
            folders: vec![Folder::Unknown; watches.len()],
        }
    }

    /// Looks at every folder once, and deals with what is at rest. Says whether some file may become complete by the passing
    /// of time.
    fn look(&mut self) -> Result<bool, ServiceError> {
        let config = self.shared.config;
        let candidates = self.candidates()?;
        let of: HashMap<PathBuf, usize> = candidates.iter().map(|(path, (i, _))| (path.clone(), *i)).collect();
        let entries = candidates.into_values().map(|(_, entry)| entry).collect();
        let rest = Duration::from_secs_f64(config.jobs.settle);
        let watched = config.watch.iter().zip(&self.folders);
        let away: Vec<&Path> =
            watched.filter(|(_, folder)| **folder == Folder::Away).map(|(watch, _)| watch.path.as_path()).collect();
        let is_unknown = |path: &Path| away.iter().any(|folder| path.starts_with(folder));
        let at_rest = self.settling.observe(Instant::now(), rest, entries, is_unknown);
        let mut stuck = HashMap::new();
        for entry in at_rest {
            if self.is_over() {
                break;
            }
            match self.take(&config.watch[of[&entry.path]], &entry)? {
                Handled::Settled => {
                    self.forget_added(&entry.path);
                    self.settling.forget(&entry.path);
                    self.known.insert(entry.path, entry.stamp);
                    self.shared.reschedule()?;
                }
                Handled::Later => {}
                Handled::WhenChanged(why) => {
                    // Each time it is looked at it is so again; once is enough.
                    if self.stuck.get(&entry.path) != Some(&why) {
                        tracing::warn!("{}: not taken: {}", shown(&entry.path), printable(&why));
                    }
                    stuck.insert(entry.path, why);
                }
            }
        }
        self.stuck = stuck;
        Ok(self.settling.len() > self.stuck.len())
    }

    /// Files that were not dealt with, in the watched folders and from elsewhere, each with the number of its folder: the innermost
    /// of those that it lies in.
    fn candidates(&mut self) -> Result<BTreeMap<PathBuf, (usize, Entry)>, ServiceError> {
        let config = self.shared.config;
        let folders = config.watch.iter().flat_map(|watch| [&watch.output, &watch.originals_folder]);
        let outputs: Vec<PathBuf> = folders.filter_map(|folder| folder.canonicalize().ok()).collect();
        let mut found: BTreeMap<PathBuf, (usize, Entry)> = BTreeMap::new();
        let depth = |index: usize| config.watch[index].path.components().count();
        for (index, watch) in config.watch.iter().enumerate() {
            let entries = scan(&watch.path, watch.recursive, &outputs);
            self.tell_whether_available(index, watch, entries.as_ref().err());
            for entry in entries.unwrap_or_default() {
                if found.get(&entry.path).is_none_or(|(other, _)| depth(*other) < depth(index)) {
                    found.insert(entry.path.clone(), (index, entry));
                }
            }
        }
        // What went away is asked for anew when it is back: the queue knows whether it was dealt with.
        let is_away = |path: &Path| {
            let folders = config.watch.iter().zip(&self.folders);
            folders.filter(|(_, folder)| **folder == Folder::Away).any(|(watch, _)| path.starts_with(&watch.path))
        };
        self.known.retain(|path, _| found.contains_key(path) || is_away(path));
        let mut candidates = BTreeMap::new();
        for (path, (index, entry)) in found {
            if !self.is_known(&entry)? {
                candidates.insert(path, (index, entry));
            }
        }
        let watched = config.watch.iter().zip(&self.folders);
        let is_there =
            |(watch, folder): (&Watch, &Folder)| (watch.path.to_string_lossy().into_owned(), *folder != Folder::Away);
        *locked(&self.shared.folders) = watched.map(is_there).collect();
        let added: Vec<PathBuf> = locked(&self.shared.added).clone();
        for path in added {
            let Ok(metadata) = std::fs::metadata(&path) else {
                self.forget_added(&path);
                continue;
            };
            let entry = Entry { path, stamp: Stamp::of(&metadata), refused: None };
            match self.is_known(&entry)? {
                true => self.forget_added(&entry.path),
                false => drop(candidates.entry(entry.path.clone()).or_insert((0, entry))),
            }
        }
        Ok(candidates)
    }

    fn forget_added(&self, path: &Path) {
        locked(&self.shared.added).retain(|added| added != path);
    }

    fn is_known(&mut self, entry: &Entry) -> Result<bool, ServiceError> {
        if self.known.get(&entry.path) == Some(&entry.stamp) {
            return Ok(true);
        }
        let seen = self.shared.queue().has_seen(&entry.path, entry.stamp)?;
        if seen {
            self.known.insert(entry.path.clone(), entry.stamp);
        }
        Ok(seen)
    }

    /// Deals with a file at rest: queues it, or says why not.
    fn take(&mut self, watch: &Watch, entry: &Entry) -> Result<Handled, ServiceError> {
        let path = &entry.path;
        let (priority, overrides) = match said_of(watch, path) {
            Ok(said) => said,
            Err(error) => return Ok(Handled::WhenChanged(error.to_string())),
        };
        let mut job = NewJob {
            source: path.clone(),
            stamp: entry.stamp,
            content: Sum::default(),
            output: folder_for(watch, path),
            settings: self.shared.config.job_settings().with(&overrides),
            priority: priority.unwrap_or(0),
            backend: self.shared.config.backend(watch),
        };
        if let Some(reason) = &entry.refused {
            self.refuse(&job, reason)?;
            return Ok(Handled::Settled);
        }
        if path.file_name().is_some_and(|name| name == Preset::FILE) {
            self.shared.queue().remember(path, entry.stamp)?;
            return Ok(Handled::Settled);
        }
        if is_open_for_writing(path) {
            tracing::debug!("{}: not yet: it is still being written", shown(path));
            return Ok(Handled::Later);
        }
        let is_stopped = || self.is_over();
        match inspect(path, &self.shared.config.limits, is_stopped) {
            Ok(Inspection::Video(content)) => job.content = content,
            Ok(Inspection::Stopped) => return Ok(Handled::Later),
            Ok(Inspection::Unreadable(why)) => return Ok(Handled::WhenChanged(why)),
            Err(error) => return Ok(Handled::WhenChanged(format!("nobody can look at it: {error}"))),
            Ok(Inspection::Crashed(why)) => {
                self.refuse(&job, &why)?;
                return Ok(Handled::Settled);
            }
            Ok(Inspection::Refused(why)) => {
                let is_video = path.extension().is_some_and(|e| VIDEOS.contains(&&*e.to_string_lossy().to_lowercase()));
                if is_video {
                    self.refuse(&job, &why)?;
                } else {
                    self.shared.queue().remember(path, entry.stamp)?;
                    tracing::info!("{}: not taken: {}", shown(path), printable(&why));
                }
                return Ok(Handled::Settled);
            }
        }
        if std::fs::metadata(path).map(|m| Stamp::of(&m)).ok() != Some(entry.stamp) {
            return Ok(Handled::Later);
        }
        match self.shared.queue().add(&job, now())? {
            Some(id) => tracing::info!("{}: queued as job {id}", shown(path)),
            None => tracing::info!("{}: not taken: the same video was processed before", shown(path)),
        }
        Ok(Handled::Settled)
    }

    /// Lists a file as failed, with the reason.
    fn refuse(&self, job: &NewJob, reason: &str) -> Result<(), ServiceError> {
        tracing::warn!("{}: not taken: {}", shown(&job.source), printable(reason));
        let id = self.shared.queue().refuse(job, reason, now())?;
        self.shared.run_hook(id, None)?;
        Ok(())
    }

    fn tell_whether_available(&mut self, index: usize, watch: &Watch, error: Option<&io::Error>) {
        let now = match (error, std::fs::metadata(&watch.path)) {
            (None, Ok(metadata)) => Folder::There(metadata.dev(), metadata.ino()),
            _ => Folder::Away,
        };
        let before = std::mem::replace(&mut self.folders[index], now);
        if now == before {
            return;
        }
        match (now, error) {
            (Folder::There(..), _) => {
                self.changes.add(&watch.path, watch.recursive);
                tracing::info!("watching {}; results go to {}", shown(&watch.path), shown(&watch.output));
            }
            (_, Some(error)) => tracing::warn!("{}: the watched folder is unavailable: {error}", shown(&watch.path)),
            (_, None) => tracing::warn!("{}: the watched folder is unavailable", shown(&watch.path)),
        }
    }

    fn is_over(&self) -> bool {
        self.shared.is_stopped() || self.shared.is_draining.load(Ordering::SeqCst)
    }

    /// How long at most until the folders are looked at again.
    fn interval(&self) -> Duration {
        let of = |(watch, folder): (&Watch, &Folder)| match watch.poll {
            poll if poll > 0.0 => Duration::from_secs_f64(poll),
            _ if *folder == Folder::Away => AWAY,
            _ if is_on_network(&watch.path) => NETWORK,
            _ => SELDOM,
        };
        self.shared.config.watch.iter().zip(&self.folders).map(of).min().unwrap_or(SELDOM)
    }

    /// Waits until something changed, at most so long.
    fn wait(&self, longest: Duration) {
        let end = Instant::now() + longest;
        while !self.is_over() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.changes.wait(left.min(NAP)) || self.shared.has_more.swap(false, Ordering::SeqCst)
            {
                break;
            }
        }
    }
}

/// Results keep the place that their source has below the watched folder.
fn folder_for(watch: &Watch, path: &Path) -> PathBuf {
    let below = path.parent().and_then(|parent| parent.strip_prefix(&watch.path).ok());
    below.map_or_else(|| watch.output.clone(), |below| watch.output.join(below).components().collect())
}

/// Priority and settings that the files [`Preset::FILE`] say in the watched folder and those below it on the way to a video, the nearest
/// first, and then the watched folder's own.
fn said_of(watch: &Watch, path: &Path) -> Result<(Option<i64>, Overrides), ConfigError> {
    let folders: Vec<&Path> = path.ancestors().skip(1).take_while(|folder| folder.starts_with(&watch.path)).collect();
    let mut said = (watch.priority, watch.overrides());
    // From the outermost on, so that the nearest has the last word.
    for folder in folders.into_iter().rev() {
        said = Preset::of(folder)?.or(said);
    }
    Ok(said)
}
