//! Why a configuration is refused.

use std::path::PathBuf;

use crate::toml_text::Mistake;

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
    #[error(transparent)]
    Wrong(#[from] Mistake),
}
