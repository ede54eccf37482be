//! The configuration file: every setting with its default, and errors that name file, line and the nearest valid name.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use crate::body::STATURE;
use crate::clock::{self, Hours};
use crate::media::{EncodeSettings, has_container};
pub use crate::pose::Device;

/// Which landmark networks look at a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// Fastest, least accurate.
    Lite,
    /// The standard network on every frame.
    Full,
    /// The most accurate network on every frame, about four times the cost of full.
    Heavy,
    /// Full on every frame, heavy on some and wherever left and right are in doubt.
    Auto,
}

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// A shaded body over the video.
    Overlay,
    /// White silhouettes on black.
    Mask,
}

/// All settings.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder for what meshreel remembers between runs.
    pub state: PathBuf,
    /// Detection worker threads; 0 is one per processor core.
    #[serde(deserialize_with = "workers")]
    pub workers: usize,
    /// Which landmark networks.
    pub model: Model,
    /// Where they run.
    pub device: Device,
    /// What is drawn.
    pub style: Style,
    /// Opacity of the mesh, 0 (invisible) to 1.
    #[serde(deserialize_with = "opacity")]
    pub opacity: f32,
    /// How tall people are taken to be, metres.
    #[serde(deserialize_with = "stature")]
    pub stature: f64,
    /// How the output video is written.
    pub encode: Encode,
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

/// `[encode]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Encode {
    /// An FFmpeg video encoder by name.
    pub codec: String,
    /// The encoder's speed preset.
    pub preset: String,
    /// Constant rate factor: lower is better and larger.
    #[serde(deserialize_with = "crf")]
    pub crf: u8,
    /// Container, as the extension of the output file.
    #[serde(deserialize_with = "container")]
    pub container: String,
    /// Seconds of video that are finished and kept together; what is lost when the process dies is less.
    #[serde(deserialize_with = "segment")]
    pub segment: f64,
    /// FFmpeg's name of the pixel format of the result, such as `yuv420p`, which every player shows; empty: as the source.
    pub pixel_format: String,
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
    /// Videos at a time.
    #[serde(deserialize_with = "concurrent")]
    pub concurrent: usize,
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
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
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

/// What happens to a video after its results are in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Originals {
    /// It stays where it is.
    #[default]
    Keep,
    /// It goes to another folder.
    Move,
    /// It is removed.
    Delete,
}

/// `[[watch]]`: a folder, and what differs from the settings above for what is dropped in it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Folder where videos are dropped.
    pub path: PathBuf,
    /// Folder where results go.
    pub output: PathBuf,
    /// Whether folders in it are watched as well.
    #[serde(default)]
    pub recursive: bool,
    /// Seconds between two looks at the folder when the system reports no change; 0 is 30, or 5 on network drives,
    /// which report nothing.
    #[serde(default, deserialize_with = "seconds")]
    pub poll: f64,
    /// What happens to videos after their results are in place.
    #[serde(default)]
    pub originals: Originals,
    /// Where they go if they are moved.
    #[serde(default)]
    pub originals_folder: PathBuf,
    /// Higher comes first.
    pub priority: Option<i64>,
    /// Which landmark networks.
    pub model: Option<Model>,
    /// What is drawn.
    pub style: Option<Style>,
    /// Opacity of the mesh.
    #[serde(default, deserialize_with = "some_opacity")]
    pub opacity: Option<f32>,
    /// How tall people are taken to be.
    #[serde(default, deserialize_with = "some_stature")]
    pub stature: Option<f64>,
}

/// What videos in one folder differ in from the settings of the folders above: the file [`Preset::FILE`] in it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preset {
    /// Higher comes first.
    pub priority: Option<i64>,
    /// Which landmark networks.
    pub model: Option<Model>,
    /// What is drawn.
    pub style: Option<Style>,
    /// Opacity of the mesh.
    #[serde(deserialize_with = "some_opacity")]
    pub opacity: Option<f32>,
    /// How tall people are taken to be.
    #[serde(deserialize_with = "some_stature")]
    pub stature: Option<f64>,
}

impl Preset {
    /// Name of the file.
    pub const FILE: &str = "meshreel.toml";
    /// Most bytes of one: anybody who may drop videos may drop one.
    const LONGEST: u64 = 1 << 16;

    /// What a folder's own file says; nothing where there is none.
    pub fn of(folder: &Path) -> Result<Self, ConfigError> {
        let path = folder.join(Self::FILE);
        let read = || {
            let file = std::fs::File::open(&path)?;
            if !file.metadata()?.is_file() {
                return Err(std::io::Error::other("it is no file"));
            }
            std::io::read_to_string(file.take(Self::LONGEST))
        };
        match std::fs::symlink_metadata(&path).map(|metadata| metadata.is_symlink()) {
            Ok(false) => {}
            // A link could show others' files to whoever reads the error.
            Ok(true) => return Err(ConfigError::Read { path, source: std::io::Error::other("it is a link") }),
            Err(_) => return Ok(Self::default()),
        }
        let text = read().map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        Self::parse(&text, &path)
    }

    /// Parses its text; `path` is for messages alone.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        parse(text, path)
    }

    /// These settings where they are given, else the others.
    #[must_use]
    pub fn over(self, other: Self) -> Self {
        Self {
            priority: self.priority.or(other.priority),
            model: self.model.or(other.model),
            style: self.style.or(other.style),
            opacity: self.opacity.or(other.opacity),
            stature: self.stature.or(other.stature),
        }
    }
}

impl Watch {
    /// What all its videos differ in from the general settings.
    pub fn preset(&self) -> Preset {
        let Self { priority, model, style, opacity, stature, .. } = *self;
        Preset { priority, model, style, opacity, stature }
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
            model: Model::Auto,
            device: Device::Auto,
            style: Style::Overlay,
            opacity: 0.8,
            stature: STATURE,
            encode: Encode::default(),
            models: Folder::default(),
            onnxruntime: OnnxRuntime::default(),
            jobs: Jobs::default(),
            limits: Limits::default(),
            hooks: Hooks::default(),
            log: Log::default(),
            dashboard: Dashboard::default(),
            keys: BTreeMap::new(),
            watch: Vec::new(),
        }
    }
}

impl Default for Encode {
    fn default() -> Self {
        Self {
            codec: "libx264".into(),
            preset: "veryfast".into(),
            crf: 20,
            container: "mp4".into(),
            segment: 5.0,
            pixel_format: String::new(),
        }
    }
}

impl Default for Jobs {
    fn default() -> Self {
        Self { concurrent: 1, settle: 5.0, attempts: 4, room: 200, hours: None, history_days: 0 }
    }
}

impl Encode {
    /// Frames in a segment of a video.
    pub fn segment_frames(&self, frame_rate: f64) -> u64 {
        ((self.segment * frame_rate).round() as u64).clamp(1, 100_000)
    }

    /// As the encoder takes them.
    pub fn settings(&self) -> EncodeSettings {
        // Frames that are compressed at the same time wait for each other: with half as many threads more, x264 keeps the cores busy.
        let threads = std::thread::available_parallelism().map_or(0, |n| n.get() + n.get().div_ceil(2));
        EncodeSettings {
            codec: self.codec.clone(),
            preset: self.preset.clone(),
            crf: self.crf.into(),
            pixel_format: Some(self.pixel_format.clone()).filter(|name| !name.is_empty()),
            threads,
        }
    }
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read at all.
    #[error("{}: cannot read the configuration: {source}", path.display())]
    Read {
        /// The configuration file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It says something wrong.
    #[error("{}:{line}: {message}", path.display())]
    Wrong {
        /// The configuration file.
        path: PathBuf,
        /// Line of the mistake, from 1.
        line: usize,
        /// What is wrong and what would be right.
        message: String,
    },
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
        parse(text, path)
    }

    /// Detection worker threads with 0 replaced by the number of cores.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        }
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
        for watch in &mut self.watch {
            resolve(&mut watch.path);
            resolve(&mut watch.output);
            resolve(&mut watch.originals_folder);
        }
    }
}

fn parse<T: serde::de::DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.get(..at).unwrap_or(text);
        let line = before.lines().count().max(1) + usize::from(at > 0 && before.ends_with('\n'));
        ConfigError::Wrong { path: path.to_owned(), line, message: with_nearest_name(error.message()) }
    })
}

/// The path from the root on without `.` and `..`: what is remembered must not depend on where the program is started. Links
/// are left as they are, so that the same folder is called the same while a drive is away.
fn absolute(path: &Path) -> PathBuf {
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

fn home() -> PathBuf {
    std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from)
}

/// A folder of ours by the XDG base directory specification.
fn user_folder(variable: &str, fallback: &str) -> PathBuf {
    let base = std::env::var_os(variable).map(PathBuf::from).filter(|p| p.is_absolute());
    base.unwrap_or_else(|| home().join(fallback)).join("meshreel")
}

fn default_state() -> PathBuf {
    user_folder("XDG_STATE_HOME", ".local/state")
}

fn workers<'de, D: Deserializer<'de>>(input: D) -> Result<usize, D::Error> {
    in_range(input, 0, 256, "workers").map(|n: u16| n.into())
}

fn opacity<'de, D: Deserializer<'de>>(input: D) -> Result<f32, D::Error> {
    in_range(input, 0.0, 1.0, "opacity")
}

fn some_opacity<'de, D: Deserializer<'de>>(input: D) -> Result<Option<f32>, D::Error> {
    opacity(input).map(Some)
}

/// Heights that can be asked for, metres.
pub const STATURES: RangeInclusive<f64> = 0.3..=3.0;

fn stature<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    in_range(input, *STATURES.start(), *STATURES.end(), "stature")
}

fn some_stature<'de, D: Deserializer<'de>>(input: D) -> Result<Option<f64>, D::Error> {
    stature(input).map(Some)
}

fn concurrent<'de, D: Deserializer<'de>>(input: D) -> Result<usize, D::Error> {
    in_range(input, 1, 64, "concurrent").map(|n: u16| n.into())
}

fn settle<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    in_range(input, 0.0, 86_400.0, "settle")
}

fn attempts<'de, D: Deserializer<'de>>(input: D) -> Result<u32, D::Error> {
    in_range(input, 1, 1000, "attempts")
}

fn crf<'de, D: Deserializer<'de>>(input: D) -> Result<u8, D::Error> {
    in_range(input, 0, 63, "crf").map(|n: i64| n as u8)
}

fn container<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let name = String::deserialize(input)?;
    match has_container(&name) {
        true => Ok(name),
        false => Err(serde::de::Error::custom(format!(
            "container is \"{name}\"; it must be the ending of a kind of video file that FFmpeg writes, such as mp4, mov or mkv"
        ))),
    }
}

fn segment<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    in_range(input, 0.1, 3600.0, "segment")
}

fn seconds<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    in_range(input, 0.0, 1e9, "seconds")
}

fn fps<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    in_range(input, 0.1, 60.0, "fps")
}

fn timeout<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    in_range(input, 0.1, 86_400.0, "timeout")
}

fn in_range<'de, D, T>(input: D, low: T, high: T, name: &str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + PartialOrd + std::fmt::Display,
{
    let value = T::deserialize(input)?;
    if value >= low && value <= high {
        return Ok(value);
    }
    Err(serde::de::Error::custom(format!("{name} is {value}; it must be from {low} to {high}")))
}

/// Turns the parser's "unknown field `a`, expected one of `b`, `c`" into a suggestion.
fn with_nearest_name(message: &str) -> String {
    let message = message.trim();
    let mut names = message.split('`').skip(1).step_by(2);
    let is_unknown = message.starts_with("unknown field") || message.starts_with("unknown variant");
    let Some(wrong) = names.next().filter(|_| is_unknown) else {
        return message.to_owned();
    };
    let what = if message.starts_with("unknown field") { "setting" } else { "value" };
    let valid: Vec<&str> = names.collect();
    let nearest = valid.iter().max_by(|a, b| strsim::jaro_winkler(wrong, a).total_cmp(&strsim::jaro_winkler(wrong, b)));
    match nearest {
        Some(name) => format!("unknown {what} `{wrong}`; did you mean `{name}`? (valid: {})", valid.join(", ")),
        None => format!("unknown {what} `{wrong}`"),
    }
}
