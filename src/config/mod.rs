//! The configuration file: every setting with its default, and errors that name file, line and the nearest valid name.

mod error;
mod folders;
mod paths;
mod slurm;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use error::ConfigError;
pub use folders::{Originals, Preset, Watch};
pub use slurm::Slurm;

use crate::clock::{self, Hours};
use crate::export::Formats;
use crate::job::range::ranged;
use crate::job::{Backend, Encode, JobSettings, with_overrides};
use crate::pose::Device;
use crate::thread;
use crate::toml_text;
use paths::{absolute, default_state, home, user_folder};

/// Processor cores that one video keeps busy.
const CORES_A_JOB: usize = 4;
/// Gigabytes of memory that one video of 4K needs with all that it shares.
const GIGABYTES_A_JOB: usize = 2;
/// Videos at a time where nobody says how many.
const MOST_JOBS: usize = 8;

with_overrides! {
/// All settings.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder for what meshreel remembers between runs.
    pub state: PathBuf,
    /// Detection worker threads; 0 is one per processor core.
    #[serde(deserialize_with = "workers")]
    pub workers: usize,
    /// Where the networks run.
    pub device: Device,
    /// Who works on jobs, unless a watched folder says otherwise.
    pub executor: Backend,
    /// The cluster, where that does.
    pub slurm: Slurm,
    /// How the output video is written.
    pub encode: Encode,
    /// What is written beside the video.
    pub output: Output,
    /// Where the networks, the body and the runtime library are.
    pub models: Folder,
    /// The inference library.
    pub onnxruntime: OnnxRuntime,
    /// How the queue is worked through.
    pub jobs: Jobs,
    /// What a video may be at most.
    pub limits: Limits,
    /// Programs that are told what became of a video.
    pub hooks: Hooks,
    /// The files that `meshreel run` writes its log to.
    pub log: Log,
    /// What the dashboard looks like.
    pub dashboard: Dashboard,
    /// Other keys for what the dashboard can do, by the names of the actions.
    pub keys: BTreeMap<String, Vec<String>>,
    /// Folders that `meshreel` takes videos from.
    pub watch: Vec<Watch>,
}
}

/// `[output]`: what is written beside the video, unless a watched folder or the command line says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Output {
    /// What the motion is exported to.
    pub formats: Formats,
    /// Whether a page to look at is made.
    pub report: bool,
}

/// `[models]`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Folder {
    /// Empty: looked for beside the program.
    pub folder: PathBuf,
}

/// `[onnxruntime]`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OnnxRuntime {
    /// `libonnxruntime.so`; empty: the one in the models folder.
    pub library: PathBuf,
}

/// `[jobs]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Jobs {
    /// Videos at a time; 0 is as many as the machine is good for ([`Config::concurrent_jobs`]).
    #[serde(deserialize_with = "concurrent")]
    pub concurrent: usize,
    /// Stretches of one video that are worked on at a time; 0 is as many as the machine is good for.
    #[serde(deserialize_with = "stretches")]
    pub stretches: usize,
    /// Seconds for which a dropped file's size and time must not change before it is taken.
    #[serde(deserialize_with = "settle")]
    pub settle: f64,
    /// How often a job is tried when something fails that may pass.
    #[serde(deserialize_with = "attempts")]
    pub attempts: u32,
    /// Megabytes that must be free where results and state go for a job to begin; it waits for them.
    pub room: u64,
    /// Hours of the day in which jobs are worked on; always when not given.
    #[serde(deserialize_with = "clock::hours")]
    pub hours: Option<Hours>,
    /// Days for which finished jobs are kept in the history; 0 is for ever.
    pub history_days: u32,
}

/// `[limits]`: what is refused.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Seconds of a video; 0 is no limit.
    #[serde(deserialize_with = "seconds")]
    pub seconds: f64,
    /// Pixels of a frame; 0 is no limit but that of 16384 pixels a side.
    pub pixels: u64,
    /// Megabytes of a file; 0 is no limit.
    pub megabytes: u64,
}

/// `[hooks]`: programs and their arguments, run without a shell, with the job as JSON on standard input.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hooks {
    /// After results are in place.
    pub done: Vec<String>,
    /// After a video was given up or refused.
    pub failed: Vec<String>,
    /// Seconds after which a hook is ended.
    #[serde(deserialize_with = "timeout")]
    pub timeout: f64,
}

/// `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// How lines look, in the files and with `--headless`.
    pub format: LogFormat,
    /// Days, a file each, that are kept; 0 writes no files.
    pub days: u16,
}

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

/// `[dashboard]`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dashboard {
    /// How often it is drawn at most, times a second.
    #[serde(deserialize_with = "fps")]
    pub fps: f64,
    /// Whether the mouse selects and scrolls.
    pub mouse: Switch,
    /// Whether pictures are shown from the start.
    pub preview: Switch,
}

/// Whether something is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
    /// It is, but not over SSH.
    Auto,
}

impl Switch {
    /// What that is in this terminal.
    pub fn is_on(self) -> bool {
        match self {
            Self::On => true,
            Self::Off => false,
            Self::Auto => std::env::var_os("SSH_CONNECTION").is_none(),
        }
    }
}

impl Default for Dashboard {
    fn default() -> Self {
        Self { fps: 10.0, mouse: Switch::Auto, preview: Switch::Auto }
    }
}

impl Default for Hooks {
    fn default() -> Self {
        Self { done: Vec::new(), failed: Vec::new(), timeout: 60.0 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, days: 14 }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state: default_state(),
            workers: 0,
            device: Device::Auto,
            executor: Backend::Local,
            slurm: Slurm::default(),
            encode: Encode::default(),
            output: Output::default(),
            models: Folder::default(),
            onnxruntime: OnnxRuntime::default(),
            jobs: Jobs::default(),
            limits: Limits::default(),
            hooks: Hooks::default(),
            log: Log::default(),
            dashboard: Dashboard::default(),
            keys: BTreeMap::new(),
            watch: Vec::new(),
            model: None,
            detector: None,
            body: None,
            style: None,
            views: None,
            layout: None,
            opacity: None,
            dim: None,
            labels: None,
            also: None,
            stature: None,
            hands: None,
            formats: None,
            report: None,
        }
    }
}

impl Default for Jobs {
    fn default() -> Self {
        Self { concurrent: 0, stretches: 0, settle: 5.0, attempts: 4, room: 200, hours: None, history_days: 0 }
    }
}

impl Config {
    /// Reads `file`, or the user's own configuration file where there is one, or takes the defaults.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let own = user_folder("XDG_CONFIG_HOME", ".config").join("config.toml");
        let path = match file {
            Some(path) => path,
            None if own.exists() => &own,
            None => return Ok(Self::default()),
        };
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut config = Self::parse(&text, path)?;
        config.resolve_paths(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// Parses the text of a configuration; `path` is for messages alone.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Ok(toml_text::parse(text, path)?)
    }

    /// How jobs are done where nothing else is said.
    pub fn job_settings(&self) -> JobSettings {
        let Output { formats, report } = self.output;
        JobSettings { encode: self.encode.clone(), formats, report, ..JobSettings::default() }.with(&self.overrides())
    }

    /// Detection worker threads with 0 replaced by the number of cores.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => thread::cores(),
            n => n,
        }
    }

    /// Who works on what is dropped into a watched folder.
    pub fn backend(&self, watch: &Watch) -> Backend {
        watch.executor.unwrap_or(self.executor)
    }

    /// Who works on a video: as the innermost watched folder says that it lies in, or, of one from elsewhere, the first.
    pub fn backend_of(&self, source: &Path) -> Backend {
        let holds = |watch: &&Watch| match watch.recursive {
            true => source.starts_with(&watch.path),
            false => source.parent() == Some(&*watch.path),
        };
        let watch = self.watch.iter().rev().filter(holds).max_by_key(|watch| watch.path.components().count());
        watch.or(self.watch.first()).map_or(self.executor, |watch| self.backend(watch))
    }

    /// All who work on what is dropped into watched folders.
    pub fn backends(&self) -> Vec<Backend> {
        Backend::ALL.into_iter().filter(|backend| self.watch.iter().any(|w| self.backend(w) == *backend)).collect()
    }

    /// Videos that a back end has at a time.
    pub fn places(&self, backend: Backend) -> usize {
        match backend {
            Backend::Local => self.concurrent_jobs(),
            Backend::Slurm => self.slurm.at_once,
        }
    }

    /// Videos at a time on this machine. Where that is left to the machine: one for every four processor cores and every two gigabytes of memory, at least
    /// one. A single video keeps four cores busy; of more it leaves some idle while it waits for a keyframe.
    pub fn concurrent_jobs(&self) -> usize {
        if self.jobs.concurrent > 0 {
            return self.jobs.concurrent;
        }
        let cores = thread::cores();
        let memory = rustix::system::sysinfo();
        let gigabytes = (memory.totalram as u64).saturating_mul(memory.mem_unit.into()) / 1_000_000_000;
        (cores / CORES_A_JOB).min(gigabytes as usize / GIGABYTES_A_JOB).clamp(1, MOST_JOBS)
    }

    /// Relative paths are relative to the configuration file; `~/` is the home folder.
    fn resolve_paths(&mut self, base: &Path) {
        let resolve = |path: &mut PathBuf| {
            if path.as_os_str().is_empty() {
                return;
            }
            let joined = match path.strip_prefix("~") {
                Ok(rest) => home().join(rest),
                Err(_) => base.join(&*path),
            };
            *path = absolute(&joined);
        };
        resolve(&mut self.state);
        resolve(&mut self.models.folder);
        resolve(&mut self.onnxruntime.library);
        resolve(&mut self.slurm.folder);
        resolve(&mut self.slurm.program);
        for watch in &mut self.watch {
            resolve(&mut watch.path);
            resolve(&mut watch.output);
            resolve(&mut watch.originals_folder);
        }
    }
}

ranged! {
    workers: usize = 0..=256;
    concurrent: usize = 0..=64;
    stretches: usize = 0..=64;
    settle: f64 = 0.0..=86_400.0;
    attempts: u32 = 1..=1000;
    seconds: f64 = 0.0..=1e9;
    fps: f64 = 0.1..=60.0;
    timeout: f64 = 0.1..=86_400.0;
}
