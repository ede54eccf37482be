//! What is known of one job on a disk that the nodes see, too: plain files, each written whole and renamed into place, or, of lines,
//! appended to by one process alone. Nobody locks anything there.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::Limits;
use crate::job::{Failure, FailureKind, JobSpec, Report};
use crate::pose::Device;

/// The work, for the worker: [`Work`].
pub const SPEC: &str = "spec.json";
/// The task that was submitted for it: [`Task`].
pub const TASK: &str = "task.json";
/// What the worker is to do: [`Wish`].
pub const CONTROL: &str = "control";
/// The batch script of helpers.
pub const HELPERS_SCRIPT: &str = "helpers.sh";
/// There once helpers were submitted.
pub const HELPERS: &str = "helpers";
/// The worker that the job belongs to, by a random name.
pub const OWNER: &str = "owner";
/// What became of the job: [`Outcome`].
pub const RESULT: &str = "result.json";
/// The batch script.
pub const SCRIPT: &str = "script.sh";
/// What the worker, and what ran it, has written to its standard output and error.
pub const OUTPUT: &str = "output.txt";
/// What is done of the job.
pub const CHECKPOINT: &str = "checkpoint";

/// What a worker needs: the job, and what it follows of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// What Slurm calls the job: its number, and a random part.
    pub name: String,
    /// Its number in the queue.
    pub job: i64,
    /// The job.
    pub spec: JobSpec,
    /// Where the networks run.
    pub device: Device,
    /// Detection worker threads; 0: one per core of the task.
    pub workers: usize,
    /// Folder of the networks; empty: beside the program.
    pub models: PathBuf,
    /// The inference library; empty: in that folder.
    pub library: PathBuf,
    /// What a video may be at most.
    pub limits: Limits,
    /// Stretches at the same time; 0: as many as the task is good for.
    pub stretches: usize,
    /// Whether helpers may come.
    pub is_shared: bool,
}

/// What was submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Slurm's number of it.
    pub id: u64,
}

/// What a worker is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wish {
    /// Go on.
    Go,
    /// End, with the checkpoint kept.
    Stop,
}

/// What became of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Results are in place.
    Done(Box<Report>),
    /// There are none.
    Failed(Failure),
}

/// Why such a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct FolderError {
    /// The file.
    path: PathBuf,
    /// What the system said.
    source: io::Error,
}

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Self {
        let kind = match error.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FailureKind::CheckpointFull,
            _ => FailureKind::Passing,
        };
        Self { reason: error.to_string(), kind }
    }
}

/// The folder of one job.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// That of a job, below the one that all jobs share.
    pub fn of(root: &Path, job: i64) -> Self {
        Self(root.join(job.to_string()))
    }

    /// One of another name.
    pub fn named(root: &Path, name: &str) -> Self {
        Self(root.join(name))
    }

    /// The one that a specification lies in.
    pub fn around(spec: &Path) -> Self {
        Self(spec.parent().unwrap_or(Path::new("")).to_owned())
    }

    /// Jobs that have one.
    pub fn jobs(root: &Path) -> Vec<i64> {
        let names = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.filter_map(|name| name.to_str()?.parse().ok()).collect()
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes it.
    pub fn make(&self) -> Result<(), FolderError> {
        at(&self.0, std::fs::create_dir_all(&self.0))
    }

    /// Names of the files in it. Listing a folder is also what makes a network file system look for names that were not there
    /// a moment ago.
    pub fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.filter_map(|name| name.into_string().ok()).collect()
    }

    /// Removes it with all that is in it.
    pub fn remove(&self) -> Result<(), FolderError> {
        match std::fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => at(&self.0, Err(error)),
            _ => Ok(()),
        }
    }

    /// What a file says; `None` where there is none, or where it is of another version.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, FolderError> {
        let path = self.file(name);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(FolderError { path, source }),
        }
    }

    /// Writes a file.
    pub fn write<T: Serialize>(&self, name: &str, what: &T) -> Result<(), FolderError> {
        let path = self.file(name);
        let mut text = at(&path, serde_json::to_vec(what).map_err(io::Error::from))?;
        text.push(b'\n');
        self.write_text(name, &text)
    }

    /// The same with a text.
    pub fn write_text(&self, name: &str, text: &[u8]) -> Result<(), FolderError> {
        let write = || {
            let mut file = tempfile::Builder::new().prefix(".").tempfile_in(&self.0)?;
            file.write_all(text)?;
            file.as_file().sync_all()?;
            file.persist(self.file(name)).map_err(|error| error.error)?;
            // So that the name, too, outlives the machine.
            File::open(&self.0)?.sync_all()
        };
        at(&self.file(name), write())
    }

    /// Removes a file, if it is there.
    pub fn forget(&self, name: &str) -> Result<(), FolderError> {
        let path = self.file(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => at(&path, Err(error)),
            _ => Ok(()),
        }
    }

    /// The last line that was written to the worker's standard output or error, if any.
    pub fn last_output(&self) -> Option<String> {
        let text = std::fs::read(self.file(OUTPUT)).ok()?;
        let end = String::from_utf8_lossy(&text[text.len().saturating_sub(4096)..]).into_owned();
        end.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(|line| line.chars().take(300).collect())
    }
}

/// Names the file in an error.
fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, FolderError> {
    result.map_err(|source| FolderError { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_there_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::of(root.path(), 12);
        folder.make().unwrap();
        assert_eq!(folder.read::<Task>(TASK).unwrap(), None);
        folder.write(TASK, &Task { id: 7 }).unwrap();
        folder.write(TASK, &Task { id: 8 }).unwrap();
        assert_eq!(folder.read::<Task>(TASK).unwrap(), Some(Task { id: 8 }));
        assert_eq!((folder.names(), Folder::jobs(root.path())), (vec![TASK.to_owned()], vec![12]));
        folder.write(CONTROL, &Wish::Stop).unwrap();
        assert_eq!(std::fs::read_to_string(folder.file(CONTROL)).unwrap(), "\"stop\"\n");
        folder.forget(TASK).unwrap();
        folder.forget(TASK).unwrap();
        assert_eq!(folder.read::<Task>(TASK).unwrap(), None);
        std::fs::write(folder.file(OUTPUT), "one\ntwo \n\n").unwrap();
        assert_eq!(folder.last_output().as_deref(), Some("two"));
        folder.remove().unwrap();
        folder.remove().unwrap();
        assert!(folder.write(CONTROL, &Wish::Go).unwrap_err().to_string().contains("12/control"));
    }
}
