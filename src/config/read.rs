//! The text of a configuration: what is wrong with it, and in which line.

use std::path::{Path, PathBuf};

use crate::toml_text::{self, Mistake};

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

/// Parses the text of a configuration; `path` is for messages alone.
pub(super) fn parse<T: serde::de::DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    toml_text::parse(text).map_err(|Mistake { line, message }| ConfigError::Wrong {
        path: path.to_owned(),
        line,
        message,
    })
}
