//! Jobs worked on by the nodes of a Slurm cluster: each is a task of its own, whose worker this program is, too. What they say to each
//! other goes through files on a disk that both see; nodes need not be reachable from here, nor here from there. `docs/cluster.md`.

mod commands;
mod doctor;
mod folder;
mod follow;
pub mod probe;
mod relay;
mod script;
mod worker;

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use doctor::{Health, examine};
pub use worker::{WorkerError, cores_of_task, node, work};

use super::Executor;
use crate::config::{self, Config, Limits};
use crate::job::{Failure, JobContext, JobSpec, JobState, Report};
use crate::pipeline::remove_leftovers_of;
use crate::pose::Device;
use crate::telemetry::{Buffer, Depth, Live};
use crate::thread::locked;
use commands::Tasks;
use folder::{CONTROL, Folder, HELPERS, RESULT, SPEC, TASK, Task, Wish, Work};
use follow::Following;

/// Why no job can be sent to the cluster.
#[derive(Debug, thiserror::Error)]
pub enum SlurmError {
    /// The folder that the nodes see.
    #[error("{}: {source}; name another one with slurm.folder", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its jobs would be taken for those of another queue.
    #[error("{} is used by the engine with the state folder {state}; name another one with slurm.folder", path.display())]
    OfAnother {
        /// The folder.
        path: PathBuf,
        /// The other state folder.
        state: String,
    },
}

/// The file in the folder of jobs that says whose they are.
const STATE: &str = "state";

/// A Slurm cluster.
pub struct Slurm {
    root: PathBuf,
    program: PathBuf,
    settings: config::Slurm,
    device: Device,
    workers: usize,
    models: PathBuf,
    library: PathBuf,
    limits: Limits,
    stretches: usize,
    tasks: Tasks,
    live: Arc<Live>,
    /// How full the queues of each job's worker are.
    depths: Mutex<HashMap<i64, [Depth; Buffer::ALL.len()]>>,
    /// Jobs that are followed.
    followed: Mutex<BTreeSet<i64>>,
}

/// Where the folders of jobs are.
fn root(config: &Config) -> PathBuf {
    match config.slurm.folder.as_os_str().is_empty() {
        true => config.state.join("cluster"),
        false => config.slurm.folder.clone(),
    }
}

/// The program as the nodes see it.
fn program(config: &Config) -> PathBuf {
    match config.slurm.program.as_os_str().is_empty() {
        true => std::env::current_exe().unwrap_or_else(|_| PathBuf::from("meshreel")),
        false => config.slurm.program.clone(),
    }
}

/// A random word. (The keys of hash maps are the system's random numbers.)
fn random() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

/// Whether the cluster has jobs, by what is in the folder.
pub fn has_jobs(config: &Config) -> bool {
    !Folder::jobs(&root(config)).is_empty()
}

/// The batch script of a job, as it was or would be submitted.
pub fn batch_script(config: &Config, job: i64, priority: i64) -> String {
    let folder = Folder::of(&root(config), job);
    let name = folder.read::<Work>(SPEC).ok().flatten().map(|work| work.name);
    let name = name.unwrap_or_else(|| format!("meshreel-{job}-{}", random()));
    script::script(&config.slurm, &script::work(&program(config), &folder), &folder, &name, priority)
}

impl Slurm {
    /// Makes the folder that the nodes see; what they do goes into `live`. Whether there is a controller is asked when there is a job.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn start(config: &Config, live: Arc<Live>) -> Result<Self, SlurmError> {
        let root = root(config);
        let failed = |source| SlurmError::Folder { path: root.clone(), source };
        std::fs::create_dir_all(&root).map_err(failed)?;
        let state = config.state.to_string_lossy();
        match std::fs::read_to_string(root.join(STATE)) {
            Ok(other) if other != state => return Err(SlurmError::OfAnother { path: root, state: other }),
            Ok(_) => {}
            Err(_) => std::fs::write(root.join(STATE), state.as_bytes()).map_err(failed)?,
        }
        Ok(Self {
            root,
            program: program(config),
            settings: config.slurm.clone(),
            device: config.device,
            workers: config.workers,
            models: config.models.folder.clone(),
            library: config.onnxruntime.library.clone(),
            limits: config.limits,
            stretches: config.jobs.stretches,
            tasks: Tasks::new(Duration::from_secs_f64(config.slurm.poll)),
            live,
            depths: Mutex::default(),
            followed: Mutex::default(),
        })
    }

    fn folder(&self, job: i64) -> Folder {
        Folder::of(&self.root, job)
    }

    fn work_for(&self, job: i64, name: &str, spec: &JobSpec) -> Work {
        Work {
            name: name.to_owned(),
            job,
            spec: spec.clone(),
            device: self.device,
            workers: self.workers,
            models: self.models.clone(),
            library: self.library.clone(),
            limits: self.limits,
            stretches: self.stretches,
            is_shared: self.settings.per_job > 1,
        }
    }

    /// Notes how full the queues of a job's worker are, `None` when it has none, and shows those of all together.
    fn fill(&self, job: i64, depths: Option<[Depth; Buffer::ALL.len()]>) {
        let mut all = locked(&self.depths);
        match depths {
            Some(depths) => drop(all.insert(job, depths)),
            None => drop(all.remove(&job)),
        }
        self.live.note_elsewhere(relay::summed(all.values()));
    }

    /// Removes the folder of a job that is over, and what workers that were killed left among its results.
    fn remove(folder: &Folder) {
        if let Ok(Some(Work { spec, .. })) = folder.read(SPEC) {
            for owner in folder.names().iter().filter_map(|name| relay::owner_of(name)) {
                remove_leftovers_of(spec.outputs.place(), owner);
            }
        }
        // What cannot be removed now is removed the next time.
        drop(folder.remove());
    }

    /// Ends tasks that help with the job of this name. Whether it is known to have none now.
    fn end_helpers(folder: &Folder, name: &str) -> bool {
        if !folder.file(HELPERS).exists() {
            return true;
        }
        match commands::cancel_all(&script::of_helpers(name)) {
            Ok(()) | Err(commands::Trouble::Refused(_)) => folder.forget(HELPERS).is_ok(),
            Err(_) => false,
        }
    }

    /// Ends the tasks of a job that nobody follows. Whether it is known to have none now.
    fn end(folder: &Folder) -> bool {
        // Without one nothing was submitted.
        let Ok(Some(Work { name, .. })) = folder.read(SPEC) else { return true };
        let is_without_help = Self::end_helpers(folder, &name);
        if folder.file(RESULT).exists() {
            return is_without_help;
        }
        drop(folder.write(CONTROL, &Wish::Stop));
        match folder.read::<Task>(TASK) {
            Ok(Some(Task { id })) => match commands::cancel(id, &name) {
                // What Slurm does not know of any more has ended.
                Ok(()) | Err(commands::Trouble::Refused(_)) => folder.forget(TASK).is_ok() && is_without_help,
                Err(_) => false,
            },
            Ok(None) => is_without_help,
            Err(_) => false,
        }
    }
}

impl Executor for Slurm {
    fn work(&self, spec: &JobSpec, context: &JobContext<'_>) -> Result<Report, Failure> {
        let job = context.timings.job();
        locked(&self.followed).insert(job);
        let result = Following::begin(self, spec, context).and_then(Following::follow);
        self.fill(job, None);
        locked(&self.followed).remove(&job);
        result
    }

    fn is_here(&self) -> bool {
        false
    }

    fn tidy(&self, state: &dyn Fn(i64) -> Option<JobState>) {
        for job in Folder::jobs(&self.root) {
            // Whoever begins to follow it meanwhile waits for this.
            let followed = locked(&self.followed);
            if followed.contains(&job) {
                continue;
            }
            let folder = self.folder(job);
            match state(job) {
                Some(JobState::Queued | JobState::Running) => {}
                // Paused while no engine ran: the checkpoint stays.
                Some(JobState::Paused) => {
                    if folder.file(TASK).exists() || folder.file(HELPERS).exists() {
                        Self::end(&folder);
                    }
                }
                Some(JobState::Done | JobState::Failed | JobState::Cancelled) | None => {
                    if Self::end(&folder) {
                        Self::remove(&folder);
                    }
                }
            }
        }
    }

    fn live(&self) -> &Arc<Live> {
        &self.live
    }

    fn inference(&self) -> &str {
        "nodes of the cluster"
    }

    fn renderer(&self) -> &str {
        "nodes of the cluster"
    }
}

/// Whether a file is there that can be run.
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
