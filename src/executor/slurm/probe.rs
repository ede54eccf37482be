//! One short task that looks around on a node, as `meshreel doctor --cluster` wants it: the question goes there as a file, and the answer
//! comes back as one, through the folder that jobs use, too.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::commands::{self, Trouble};
use super::folder::{Folder, FolderError, SCRIPT};
use super::script::{quoted, script};
use super::{program, random, root};
use crate::config::Config;

/// What the node is asked.
const QUESTION: &str = "question.json";
/// What it says.
const ANSWER: &str = "answer.json";
/// Folders of tasks that look are called so, and a random word.
const FOLDER: &str = "doctor-";
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is looked for, and how often Slurm is asked meanwhile.
const LOOK: Duration = Duration::from_millis(250);
const ASK: Duration = Duration::from_secs(3);
/// Folders of that age were left behind by one that was killed.
const OLD: Duration = Duration::from_secs(3600);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// Files.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Slurm's commands.
    #[error(transparent)]
    Slurm(#[from] Trouble),
    /// The task waits.
    #[error("task {id} did not begin in {} s; Slurm says it waits for: {reason}", PATIENCE.as_secs())]
    Waits {
        /// Its number.
        id: u64,
        /// Why, as Slurm says it.
        reason: String,
    },
    /// It takes too long.
    #[error("task {id} on node {node} said nothing in {} s", PATIENCE.as_secs())]
    Silent {
        /// Its number.
        id: u64,
        /// Where it is.
        node: String,
    },
    /// It ended.
    #[error("task {id} ended without an answer: {what}")]
    Ended {
        /// Its number.
        id: u64,
        /// What Slurm says, and what the task has said last.
        what: String,
    },
}

/// Has a node run `meshreel doctor --node FILE`, with this question in the file, and gives its answer.
///
/// # Errors
/// When there is none.
pub fn ask<Q: Serialize, A: DeserializeOwned>(config: &Config, question: &Q) -> Result<A, NoAnswer> {
    let root = root(config);
    remove_old(&root);
    let word = random();
    let folder = Folder::named(&root, &format!("{FOLDER}{word}"));
    folder.make()?;
    let answer = submit_and_wait(config, &folder, &format!("meshreel-doctor-{word}"), question);
    drop(folder.remove());
    answer
}

/// What a node is asked, by the file that its task was given.
///
/// # Errors
/// When it cannot be read.
pub fn question<Q: DeserializeOwned>(file: &Path) -> Result<Option<Q>, FolderError> {
    Folder::around(file).read(QUESTION)
}

/// Answers it.
///
/// # Errors
/// When the answer cannot be written.
pub fn answer<A: Serialize>(file: &Path, answer: &A) -> Result<(), FolderError> {
    Folder::around(file).write(ANSWER, answer)
}

fn submit_and_wait<Q: Serialize, A: DeserializeOwned>(
    config: &Config,
    folder: &Folder,
    name: &str,
    question: &Q,
) -> Result<A, NoAnswer> {
    folder.write(QUESTION, question)?;
    let command = format!("{} doctor --node {}", quoted(&program(config)), quoted(&folder.file(QUESTION)));
    folder.write_text(SCRIPT, script(&config.slurm, &command, folder, name, 0).as_bytes())?;
    // What was submitted all the same would stay held for ever.
    let id = commands::submit(&folder.file(SCRIPT)).inspect_err(|_| drop(commands::cancel_all(name)))?;
    let begun = Instant::now();
    let answer = commands::release(id).map_err(NoAnswer::from).and_then(|()| wait(folder, name, id, begun));
    if answer.is_err() {
        // One that has ended needs it no more.
        drop(commands::cancel(id, name));
    }
    answer
}

fn wait<A: DeserializeOwned>(folder: &Folder, name: &str, id: u64, begun: Instant) -> Result<A, NoAnswer> {
    let (mut asked, mut gone) = (begun, None);
    loop {
        // A network file system looks for new names when a folder is listed.
        drop(folder.names());
        if let Some(answer) = folder.read(ANSWER)? {
            return Ok(answer);
        }
        if asked.elapsed() >= ASK {
            asked = Instant::now();
            let listed = commands::list()?.remove(&id).filter(|task| task.name == name);
            match (listed, gone) {
                (Some(task), _) if begun.elapsed() < PATIENCE => drop(task),
                (Some(task), _) if task.is_waiting() => return Err(NoAnswer::Waits { id, reason: task.reason }),
                (Some(task), _) => return Err(NoAnswer::Silent { id, node: task.nodes }),
                // What it wrote last may become visible a little later.
                (None, None) => gone = Some(asked),
                (None, Some(_)) => {
                    let said = commands::ended(id, name)?;
                    let mut what =
                        said.map_or_else(|| "Slurm has forgotten it".into(), |said| commands::state_of(&said).1);
                    match folder.last_output() {
                        Some(line) => what += &format!("; it said last: {line}"),
                        None => what += "; it has written nothing here",
                    }
                    return Err(NoAnswer::Ended { id, what });
                }
            }
        }
        std::thread::sleep(LOOK);
    }
}

fn remove_old(root: &Path) {
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let age = || SystemTime::now().duration_since(entry.metadata().ok()?.modified().ok()?).ok();
        if entry.file_name().to_string_lossy().starts_with(FOLDER) && age().is_some_and(|age| age > OLD) {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}
