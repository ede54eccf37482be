//! Why a motion cannot be exported.

use std::io;
use std::path::{Path, PathBuf};

use crate::control::Stopped;

/// Why a motion cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The motion file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no motion file.
    #[error("{} is no motion file of meshreel ({reason}); name a file that ends in .motion.jsonl", path.display())]
    NoMotion {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// This version of the program does not understand it.
    #[error(
        "{} was written by another version of meshreel ({reason}); process the video again with this one",
        path.display()
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// A line of it makes no sense.
    #[error("{}:{line}: {reason}; the file is damaged or cut short, process the video again", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// Somebody was asked for who is not in the clip.
    #[error("there is no person {id} in the clip; {there}")]
    NoPerson {
        /// Who was asked for.
        id: u32,
        /// Who is there, in words.
        there: String,
    },
    /// A result cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A result is too large for its format.
    #[error("{format} cannot hold {what}; {instead}")]
    TooLarge {
        /// The format.
        format: &'static str,
        /// What is too large.
        what: String,
        /// What to do.
        instead: &'static str,
    },
    /// The user ended it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl ExportError {
    /// Whether the same happens at every try: the motion itself is the trouble.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::NoMotion { .. }
            | Self::OtherVersion { .. }
            | Self::Line { .. }
            | Self::NoPerson { .. }
            | Self::TooLarge { .. } => true,
            Self::Read { .. } | Self::Write { .. } | Self::Stopped(_) => false,
        }
    }

    /// Whether there is no room for the results.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }

    pub(super) fn write(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        move |source| Self::Write { path: path.to_owned(), source }
    }
}
