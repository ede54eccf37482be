//! Watched folders, and the files in them that say how their videos are done.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;
use super::seconds;
use crate::job::{Backend, Overrides, with_overrides};
use crate::toml_text;

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

with_overrides! {
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
    /// Who works on what is dropped here; none: as for all folders.
    pub executor: Option<Backend>,
}
}

with_overrides! {
/// What videos in one folder differ in from the settings of the folders above: the file [`Preset::FILE`] in it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preset {
    /// Higher comes first.
    pub priority: Option<i64>,
}
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
        Ok(toml_text::parse(text, path)?)
    }

    /// The folder's words, and where there are none, those of `other`: its priority and settings.
    pub fn or(&self, (priority, overrides): (Option<i64>, Overrides)) -> (Option<i64>, Overrides) {
        (self.priority.or(priority), self.overrides().or(overrides))
    }
}
