//! Exported files while they are written, and how they get their names.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::{NamedTempFile, TempDir, TempPath};

use super::error::ExportError;
use super::openpose;
use crate::control::Proceed;

/// Begins the names of results that are not complete.
pub const PREFIX: &str = ".meshreel-";
/// What comes after it in names that this process gives.
static OWNER: OnceLock<String> = OnceLock::new();

/// Has this process begin the names of incomplete results with [`prefix_of`] this word, so that others know whose they were when it is
/// gone. The first word counts; it is to be said before anything is written.
pub fn sign(owner: &str) {
    let _ = OWNER.set(owner.to_owned());
}

/// Begins the names of incomplete results of who has [signed](sign) with this word.
pub fn prefix_of(owner: &str) -> String {
    format!("{PREFIX}{owner}-")
}

/// Whether an incomplete result of this name is one of somebody who has [signed](sign).
pub fn is_signed(name: &OsStr) -> bool {
    let rest = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).unwrap_or_default();
    // The random letters of a name without one have no dash.
    rest.split('.').next().is_some_and(|word| word.contains('-'))
}

/// Begins the names of incomplete results that this process writes.
pub fn own_prefix() -> String {
    OWNER.get().map_or_else(|| PREFIX.to_owned(), |owner| prefix_of(owner))
}

/// A file or folder that was written, under a name for now.
pub struct Made {
    /// What comes after the stem and a dot in its name.
    pub ending: String,
    /// What it is.
    pub content: Content,
}

/// What was written.
pub enum Content {
    /// A file.
    File(TempPath),
    /// A folder of files.
    Folder(LockedFolder),
}

/// A folder that is being written: nobody removes it as what a killed run left, as long as it is locked.
pub struct LockedFolder {
    folder: TempDir,
    _lock: Option<File>,
}

impl LockedFolder {
    /// Makes one in a folder, whose name has this ending. It goes with what is in it when this is dropped.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new(place: &Path, ending: &str) -> io::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(&own_prefix())
            .suffix(&format!(".{ending}"))
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .tempdir_in(place)?;
        // A file system without locks does without.
        let lock = File::open(folder.path()).ok().filter(|file| file.lock().is_ok());
        Ok(Self { folder, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Whether another process is writing a folder.
pub fn is_being_written(folder: &Path) -> bool {
    File::open(folder).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

impl Content {
    /// Waits until it is on disk.
    ///
    /// # Errors
    /// Those of the system.
    pub fn sync(&self) -> io::Result<()> {
        match self {
            Self::File(file) => File::open(file)?.sync_all(),
            Self::Folder(LockedFolder { folder, .. }) => {
                for entry in std::fs::read_dir(folder)? {
                    File::open(entry?.path())?.sync_all()?;
                }
                File::open(folder)?.sync_all()
            }
        }
    }
}

/// Where exports go while they are written.
pub(super) struct Output<'a> {
    folder: &'a Path,
    stem: &'a OsStr,
    proceed: Proceed<'a>,
    made: Vec<Made>,
}

impl<'a> Output<'a> {
    pub fn new(folder: &'a Path, stem: &'a OsStr, proceed: Proceed<'a>) -> Self {
        Self { folder, stem, proceed, made: Vec::new() }
    }

    pub fn made(self) -> Vec<Made> {
        self.made
    }

    /// What results are called, for the files that say so themselves.
    pub fn stem(&self) -> String {
        self.stem.to_string_lossy().into_owned()
    }

    /// Whether the work goes on.
    pub fn proceed(&self) -> Result<(), ExportError> {
        Ok((self.proceed)()?)
    }

    /// Writes a file.
    pub fn file(
        &mut self,
        ending: &str,
        write: impl FnOnce(&Self, &mut BufWriter<File>) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let file = self.temporary(ending)?;
        let open = || -> Result<(), ExportError> {
            let mut out = BufWriter::with_capacity(1 << 16, file.reopen()?);
            write(self, &mut out)?;
            Ok(out.flush()?)
        };
        open().map_err(|error| error.of(&self.folder.join(self.name(ending))))?;
        self.made.push(Made { ending: ending.to_owned(), content: Content::File(file.into_temp_path()) });
        Ok(())
    }

    /// Writes a folder of files.
    pub fn folder(
        &mut self,
        ending: &str,
        write: impl FnOnce(&Self, &Path) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let name = self.folder.join(self.name(ending));
        let folder = LockedFolder::new(self.folder, ending)
            .map_err(|source| ExportError::Write { path: name.clone(), source })?;
        write(self, folder.path()).map_err(|error| error.of(&name))?;
        self.made.push(Made { ending: ending.to_owned(), content: Content::Folder(folder) });
        Ok(())
    }

    fn name(&self, ending: &str) -> OsString {
        let mut name = self.stem.to_owned();
        name.push(format!(".{ending}"));
        name
    }

    fn temporary(&self, ending: &str) -> Result<NamedTempFile, ExportError> {
        tempfile::Builder::new()
            .prefix(&own_prefix())
            .suffix(&format!(".{ending}"))
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .tempfile_in(self.folder)
            .map_err(|source| ExportError::Write { path: self.folder.join(self.name(ending)), source })
    }
}

impl ExportError {
    /// Names the file in an error of writing.
    fn of(self, name: &Path) -> Self {
        match self {
            Self::Write { path, source } if path.as_os_str().is_empty() => {
                Self::Write { path: name.to_owned(), source }
            }
            other => other,
        }
    }
}

/// The file is named afterwards, by whoever wrote it.
impl From<io::Error> for ExportError {
    fn from(source: io::Error) -> Self {
        Self::Write { path: PathBuf::new(), source }
    }
}

/// Gives something that was made its final name. Unless `replaces`, nobody may have it. A folder replaces files of its kind in a folder, not
/// what else lies there.
///
/// # Errors
/// Those of the system; [`io::ErrorKind::AlreadyExists`] when somebody has the name.
pub fn publish(content: Content, name: &Path, replaces: bool) -> io::Result<()> {
    match content {
        Content::File(file) => put(file, name, replaces),
        Content::Folder(LockedFolder { folder, .. }) => {
            let there = std::fs::symlink_metadata(name).ok();
            if replaces && there.as_ref().is_some_and(std::fs::Metadata::is_dir) {
                openpose::move_files(folder.path(), name)?;
                return File::open(name)?.sync_all();
            }
            // An empty folder would be replaced without a word.
            if there.is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            std::fs::rename(folder.path(), name)?;
            // It has moved: nothing is left to be removed.
            drop(folder.keep());
            Ok(())
        }
    }
}

fn put(file: TempPath, name: &Path, replaces: bool) -> io::Result<()> {
    if replaces {
        return file.persist(name).map_err(|e| e.error);
    }
    let refused = match file.persist_noclobber(name) {
        Ok(()) => return Ok(()),
        Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => return Err(refused.error),
        Err(refused) => refused,
    };
    // A file system that knows no such way to give a name: an empty file takes it, and the result that file's place.
    match OpenOptions::new().write(true).create_new(true).open(name) {
        Ok(_) => refused.path.persist(name).map_err(|e| {
            drop(std::fs::remove_file(name));
            e.error
        }),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        Err(_) => Err(refused.error),
    }
}

/// Numbers that are written one beside the other at several places of a file.
pub(super) struct Strip {
    file: File,
    at: u64,
    bytes: Vec<u8>,
}

impl Strip {
    /// From byte `at` of the file on.
    pub fn new(file: &File, at: u64) -> io::Result<Self> {
        Ok(Self { file: file.try_clone()?, at, bytes: Vec::with_capacity(1 << 14) })
    }

    pub fn write(&mut self, numbers: &[f32]) -> io::Result<()> {
        self.bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        if self.bytes.len() >= 1 << 14 { self.flush() } else { Ok(()) }
    }

    pub fn flush(&mut self) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.file, &self.bytes, self.at)?;
        self.at += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(())
    }
}
