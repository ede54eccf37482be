//! The files a job leaves, never half-written under their final names, and never over what somebody else put there.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use super::JobError;
use crate::export::{Content, Made, PREFIX, publish};
use crate::job::OutputNames;

/// Removes what a run that was killed left half-written in a folder, but not what another process `is_writing` there.
pub fn remove_leftovers(folder: &Path, is_writing: impl Fn(&Path) -> bool) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        let Some(kind) = entry.file_type().ok().filter(|_| is_ours && !is_writing(&entry.path())) else { continue };
        // What cannot be removed now is no reason to stop; the next start tries again.
        if kind.is_file() {
            drop(std::fs::remove_file(entry.path()));
        } else if kind.is_dir() {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

/// Results while they are written: dot files beside the final ones, removed unless [`PartialOutputs::publish`]ed.
pub struct PartialOutputs {
    paths: OutputNames,
    source: PathBuf,
    overwrite: bool,
    /// Whether report, motion and video were there before.
    were_there: [bool; 3],
    /// Whether earlier exports stay that are not made again.
    keeps_exports: bool,
    video: TempPath,
    motion: NamedTempFile,
    checkpoint: TempPath,
}

impl PartialOutputs {
    /// Makes the output folder and the temporary files in it, for results of `source` that replace its earlier ones;
    /// `overwrite`: whatever lies there.
    pub fn create(paths: OutputNames, source: &Path, overwrite: bool) -> io::Result<Self> {
        // The folder of a name without one is the current one.
        let folder = if paths.folder.as_os_str().is_empty() { Path::new(".") } else { &paths.folder };
        std::fs::create_dir_all(folder).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                io::Error::other(format!("{} is to be a folder, and is none", folder.display()))
            }
            _ => error,
        })?;
        let extension = OsString::from(format!(".{}", paths.container));
        let video = temporary(folder, &extension)?.into_temp_path();
        let motion = temporary(folder, OsStr::new(".motion.jsonl"))?;
        let checkpoint = temporary(folder, OsStr::new(".checkpoint"))?.into_temp_path();
        let were_there = paths.are_there();
        Ok(Self {
            paths,
            source: source.to_owned(),
            overwrite,
            were_there,
            keeps_exports: false,
            video,
            motion,
            checkpoint,
        })
    }

    /// With earlier exports of the same motion, which stay.
    #[must_use]
    pub fn keeping_exports(self) -> Self {
        Self { keeps_exports: true, ..self }
    }

    /// Names of earlier exports that stay.
    pub fn kept(&self) -> Vec<String> {
        let earlier = if self.keeps_exports { self.paths.earlier_exports(&self.source) } else { Vec::new() };
        let name = |path: PathBuf| Some(path.file_name()?.to_string_lossy().into_owned());
        earlier.into_iter().filter(|path| path.symlink_metadata().is_ok()).filter_map(name).collect()
    }

    /// Where the video is written for now.
    pub fn video(&self) -> &Path {
        &self.video
    }

    /// Where the motion is written for now.
    pub fn motion(&self) -> &File {
        self.motion.as_file()
    }

    /// Where temporary files beside the results go.
    pub fn folder(&self) -> &Path {
        if self.paths.folder.as_os_str().is_empty() { Path::new(".") } else { &self.paths.folder }
    }

    /// A file beside the results that will have this ending.
    pub fn temporary(&self, ending: &str) -> io::Result<NamedTempFile> {
        temporary(self.folder(), OsStr::new(&format!(".{ending}")))
    }

    /// Where the motion lies for now.
    pub fn motion_path(&self) -> &Path {
        self.motion.path()
    }

    /// For what is done until all is, unless that is written down elsewhere.
    pub fn checkpoint(&self) -> &Path {
        &self.checkpoint
    }

    /// Gives the files their final names: the report first, so that who is killed in between knows its own results again, then motion and
    /// `exports`, the video last: who sees it may rely on the others. Each is on disk before. Earlier exports of this video that are not made
    /// any more are removed.
    ///
    /// # Errors
    /// [`JobError::Taken`] when somebody else put a file there meanwhile; nothing is left then.
    pub fn publish(self, report: &str, exports: Vec<Made>) -> Result<(), JobError> {
        let Self { paths, source, overwrite, were_there, keeps_exports, video, motion, checkpoint: _checkpoint } = self;
        let failed = |source| JobError::Output { path: paths.video(), source };
        let folder = if paths.folder.as_os_str().is_empty() { Path::new(".") } else { &paths.folder };
        let folder_file = File::open(folder).map_err(failed)?;
        // One after the other: else two runs of one video could each remove what the other has put there. A file system without
        // locks does without.
        drop(folder_file.lock());
        // Looked up before the check below: a file that is there now and passes it is an earlier result of this video, and may be
        // replaced. With `overwrite` only what was there when the job began is replaced.
        let replaces = if overwrite { were_there } else { paths.are_there() };
        let earlier = paths.earlier_exports(&source);
        let endings = || exports.iter().map(|made| &made.ending[..]);
        if let Some(path) =
            paths.in_the_way(&source, overwrite).or_else(|| paths.exports_in_the_way(&source, overwrite, endings()))
        {
            return Err(JobError::Taken { path });
        }
        let stale: Vec<PathBuf> = earlier
            .into_iter()
            .filter(|path| !keeps_exports && endings().all(|ending| paths.file(ending) != *path))
            .collect();
        let report = written(folder, report).map_err(failed)?;
        motion.as_file().sync_all().map_err(failed)?;
        let [report_there, motion_there, video_there] = replaces;
        let [report_name, motion_name, video_name] = paths.all();
        let exports = exports.into_iter().map(|Made { ending, content }| {
            let name = paths.file(&ending);
            let is_there = std::fs::symlink_metadata(&name).is_ok();
            (content, name, is_there)
        });
        let files = [
            (Content::File(report), report_name, report_there),
            (Content::File(motion.into_temp_path()), motion_name, motion_there),
        ];
        let video = (Content::File(video), video_name, video_there);
        let mut new: Vec<PathBuf> = Vec::new();
        for (content, name, replaces) in files.into_iter().chain(exports).chain([video]) {
            if let Err(source) = publish(content, &name, replaces) {
                // They were made a moment ago; what cannot be removed now cannot be removed at all.
                new.iter().for_each(|name| remove(name));
                return Err(match source.kind() {
                    io::ErrorKind::AlreadyExists => JobError::Taken { path: name },
                    _ => JobError::Output { path: name, source },
                });
            }
            if !replaces {
                new.push(name);
            }
        }
        stale.iter().for_each(|path| remove(path));
        folder_file.sync_all().map_err(failed)
    }
}

/// Removes a result, or as much of it as can be removed.
fn remove(path: &Path) {
    let is_folder = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    drop(if is_folder { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) });
}

/// A report on disk, under a name for now.
fn written(folder: &Path, report: &str) -> io::Result<TempPath> {
    let mut file = temporary(folder, OsStr::new(".report.json"))?;
    io::Write::write_all(&mut file, report.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file.into_temp_path())
}

fn temporary(folder: &Path, ending: &OsStr) -> io::Result<NamedTempFile> {
    // As a file made by any other program: the umask decides.
    let permissions = Permissions::from_mode(0o666);
    let made = tempfile::Builder::new().prefix(PREFIX).suffix(ending).permissions(permissions).tempfile_in(folder);
    // Of the system's reason alone: the name that the file would have had for a while means nothing to the user.
    made.map_err(|error| {
        let inner =
            error.get_ref().and_then(|inner| inner.source()).and_then(|cause| cause.downcast_ref::<io::Error>());
        inner.and_then(io::Error::raw_os_error).map_or(error, io::Error::from_raw_os_error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::whole;

    #[test]
    fn nothing_is_left_of_what_was_not_published() {
        let folder = tempfile::tempdir().unwrap();
        let paths = OutputNames::for_sources(&["a.mp4".into()], folder.path(), "mkv").remove(0);
        let partial = PartialOutputs::create(paths.clone(), Path::new("a.mp4"), false).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
        drop(partial);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

        let partial = PartialOutputs::create(paths, Path::new("a.mp4"), false).unwrap();
        std::fs::write(partial.video(), "v").unwrap();
        partial.publish("{}", Vec::new()).unwrap();
        assert_eq!(names(folder.path()), ["a.mkv", "a.motion.jsonl", "a.report.json"]);
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// As the engine writes it, as far as it matters here.
    fn report(source: &Path, output: &Path) -> String {
        serde_json::json!({ "meshreel": 1, "source": whole(source), "output": whole(output) }).to_string()
    }

    #[test]
    fn what_is_put_there_meanwhile_stays_and_nothing_is_left() {
        let source = Path::new("/in/clip.mov");
        for put in ["clip.report.json", "clip.motion.jsonl", "clip.mp4"] {
            let folder = tempfile::tempdir().unwrap();
            let paths = OutputNames::new(folder.path(), OsStr::new("clip"), "mp4");
            let begin = |overwrite: bool| {
                let partial = PartialOutputs::create(paths.clone(), source, overwrite).unwrap();
                std::fs::write(partial.video(), "v").unwrap();
                partial
            };
            let text = report(source, &paths.video());
            for overwrite in [false, true] {
                let partial = begin(overwrite);
                std::fs::write(folder.path().join(put), "mine").unwrap();
                let error = partial.publish(&text, Vec::new()).unwrap_err();
                assert!(matches!(error, JobError::Taken { .. }) && error.to_string().contains(put), "{error}");
                assert_eq!(names(folder.path()), [put]);
                assert_eq!(std::fs::read_to_string(folder.path().join(put)).unwrap(), "mine");
                std::fs::remove_file(folder.path().join(put)).unwrap();
            }
            // Killed between two of the names, it goes on with its own.
            std::fs::write(paths.report(), &text).unwrap();
            std::fs::write(paths.motion(), "earlier").unwrap();
            begin(false).publish(&text, Vec::new()).unwrap();
            // Two at once make the same.
            let both = [begin(false), begin(false)];
            both.into_iter().for_each(|partial| partial.publish(&text, Vec::new()).unwrap());
            assert_eq!(names(folder.path()), ["clip.motion.jsonl", "clip.mp4", "clip.report.json"]);
            assert_eq!(std::fs::read_to_string(paths.motion()).unwrap(), "");
        }
    }

    #[test]
    fn what_a_link_points_to_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let paths = OutputNames::new(folder.path(), OsStr::new("clip"), "mp4");
        let precious = folder.path().join("precious");
        std::fs::write(&precious, "p").unwrap();
        std::os::unix::fs::symlink(&precious, paths.video()).unwrap();
        let partial = PartialOutputs::create(paths.clone(), Path::new("/in/clip.mov"), true).unwrap();
        std::fs::write(partial.video(), "v").unwrap();
        partial.publish("{}", Vec::new()).unwrap();
        assert_eq!([precious.clone(), paths.video()].map(|path| std::fs::read_to_string(path).unwrap()), ["p", "v"]);
    }
}
