//! The files a job leaves, never half-written under their final names, and never over what somebody else put there.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use super::JobError;
use crate::export::{self, Content, Made, PREFIX, is_being_written, publish};
use crate::job::OutputNames;

/// Removes what a run that was killed left half-written in a folder, but not what another process `is_writing` there.
pub fn remove_leftovers(folder: &Path, is_writing: impl Fn(&Path) -> bool) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        let Some(kind) = entry.file_type().ok().filter(|_| is_ours && !is_writing(&entry.path())) else { continue };
        // What cannot be removed now is no reason to stop; the next start tries again.
        if kind.is_file() {
            drop(std::fs::remove_file(entry.path()));
        } else if kind.is_dir() && !is_being_written(&entry.path()) {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

/// Results while they are written: dot files beside the final ones, removed unless [`PartialOutputs::publish`]ed.
pub struct PartialOutputs {
    paths: OutputNames,
    source: PathBuf,
    overwrite: bool,
    /// Which of its names somebody had when it began.
    were_there: Vec<PathBuf>,
    /// Whether earlier exports stay that are not made again.
    keeps_exports: bool,
    video: TempPath,
    motion: NamedTempFile,
    checkpoint: TempPath,
}

impl PartialOutputs {
    /// Makes the output folder and the temporary files in it, for results of `source` that replace its earlier ones;
    /// `overwrite`: whatever lies there, of exports these.
    pub fn create(paths: OutputNames, source: &Path, overwrite: bool, exports: Vec<PathBuf>) -> io::Result<Self> {
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
        let were_there = paths.there().into_iter().chain(exports).collect();
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
        if self.keeps_exports { self.earlier_exports() } else { Vec::new() }
    }

    /// Names of exports that an earlier job left.
    pub fn earlier_exports(&self) -> Vec<String> {
        let name = |path: PathBuf| Some(path.file_name()?.to_string_lossy().into_owned());
        let earlier = self.paths.earlier_exports(&self.source).into_iter();
        earlier.filter(|path| path.symlink_metadata().is_ok()).filter_map(name).collect()
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
    /// `exports`, the video last: who sees it may rely on the others. All of them are on disk before. Earlier exports of this video that are
    /// not made any more are removed while the earlier report still names them.
    ///
    /// # Errors
    /// [`JobError::Taken`] when somebody else put a file there meanwhile; nothing is left then.
    pub fn publish(self, report: &str, exports: Vec<Made>) -> Result<(), JobError> {
        let Self { paths, source, overwrite, were_there, keeps_exports, video, motion, checkpoint: _checkpoint } = self;
        let failed = |source| JobError::Output { path: paths.video(), source };
        let folder = if paths.folder.as_os_str().is_empty() { Path::new(".") } else { &paths.folder };
        let file = |path: TempPath, name: PathBuf| (Content::File(path), name);
        let report = written(folder, report).map_err(failed)?;
        let first = [file(report, paths.report()), file(motion.into_temp_path(), paths.motion())];
        let last = file(video, paths.video());
        let exports: Vec<(Content, PathBuf)> =
            exports.into_iter().map(|Made { ending, content }| (content, paths.file(&ending))).collect();
        let names: Vec<PathBuf> = exports.iter().map(|(_, name)| name.clone()).collect();
        let all: Vec<(Content, PathBuf)> = first.into_iter().chain(exports).chain([last]).collect();
        for (content, name) in &all {
            content.sync().map_err(|source| JobError::Output { path: name.clone(), source })?;
        }

        let folder_file = File::open(folder).map_err(failed)?;
        // One after the other: else two runs of one video could each remove what the other has put there. A file system without
        // locks does without.
        drop(folder_file.lock());
        // Looked up before the checks below: what is there now and passes them is an earlier result of this video, and may be
        // replaced. With `overwrite` only what was there when the job began is replaced.
        let earlier = paths.earlier_exports(&source);
        let replaced = if overwrite { were_there } else { [paths.there(), earlier.clone()].concat() };
        refuse_over_source(&source, all.iter().map(|(_, name)| name))?;
        let in_the_way = paths.in_the_way(&source, overwrite);
        if let Some(path) = in_the_way.or_else(|| paths.exports_in_the_way(&source, overwrite, names.clone())) {
            return Err(JobError::Taken { path, overwrite });
        }
        if !keeps_exports {
            earlier.iter().filter(|path| !names.contains(path)).for_each(|path| remove(path));
        }
        let mut new: Vec<PathBuf> = Vec::new();
        for (content, name) in all {
            let replaces = replaced.contains(&name);
            if let Err(source) = publish(content, &name, replaces) {
                // They were made a moment ago; what cannot be removed now cannot be removed at all.
                new.iter().for_each(|name| remove(name));
                return Err(match source.kind() {
                    io::ErrorKind::AlreadyExists => JobError::Taken { path: name, overwrite },
                    _ => JobError::Output { path: name, source },
                });
            }
            if !replaces {
                new.push(name);
            }
        }
        folder_file.sync_all().map_err(failed)
    }
}

/// Results may replace earlier results, never the source (or another source that happens to have the name).
pub fn refuse_over_source<'p>(source: &Path, mut names: impl Iterator<Item = &'p PathBuf>) -> Result<(), JobError> {
    let source = source.canonicalize();
    let is_same = |path: &PathBuf| matches!((path.canonicalize(), &source), (Ok(a), Ok(b)) if a == *b);
    if names.any(is_same) { Err(JobError::OverSource) } else { Ok(()) }
}

/// Removes a result, or as much of it as can be removed and is a result.
fn remove(path: &Path) {
    let is_folder = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    match is_folder {
        true if export::is_folder(path) => drop(export::remove_folder(path)),
        true => {}
        false => drop(std::fs::remove_file(path)),
    }
}

/// A report on disk, under a name for now.
fn written(folder: &Path, report: &str) -> io::Result<TempPath> {
    let mut file = temporary(folder, OsStr::new(".report.json"))?;
    io::Write::write_all(&mut file, report.as_bytes())?;
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
        let partial = PartialOutputs::create(paths.clone(), Path::new("a.mp4"), false, Vec::new()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
        drop(partial);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

        let partial = PartialOutputs::create(paths, Path::new("a.mp4"), false, Vec::new()).unwrap();
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
                let partial = PartialOutputs::create(paths.clone(), source, overwrite, Vec::new()).unwrap();
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
        let partial = PartialOutputs::create(paths.clone(), Path::new("/in/clip.mov"), true, Vec::new()).unwrap();
        std::fs::write(partial.video(), "v").unwrap();
        partial.publish("{}", Vec::new()).unwrap();
        assert_eq!([precious.clone(), paths.video()].map(|path| std::fs::read_to_string(path).unwrap()), ["p", "v"]);
    }

    #[test]
    fn a_report_that_anybody_wrote_removes_nothing_but_exports() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let source = Path::new("/in/clip.mov");
        let paths = OutputNames::new(folder.path(), OsStr::new("clip"), "mp4");
        let mut said: serde_json::Value = serde_json::from_str(&report(source, &paths.video())).unwrap();
        let named =
            ["clip.doc", "clip.", "clip.p1.bvh", "clip.p1.f7.bvh", "clip.p1.f.bvh", "clip.side.mkv", "clip.side.txt"];
        said["exports"] = named.into();
        std::fs::write(paths.report(), said.to_string()).unwrap();
        named.iter().for_each(|name| std::fs::write(at(name), "x").unwrap());
        std::fs::create_dir(at("clip.npz")).unwrap();
        let partial = PartialOutputs::create(paths.clone(), source, false, Vec::new()).unwrap();
        partial.publish(&report(source, &paths.video()), Vec::new()).unwrap();
        let left =
            ["clip.", "clip.doc", "clip.motion.jsonl", "clip.mp4", "clip.npz", "clip.p1.f.bvh", "clip.report.json"];
        assert_eq!(names(folder.path()), [&left[..], &["clip.side.txt"]].concat());
    }

    #[test]
    fn a_folder_that_is_being_written_is_no_leftover() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join(".meshreel-left.openpose");
        let written = folder.path().join(".meshreel-new.openpose");
        [&left, &written].into_iter().for_each(|path| std::fs::create_dir(path).unwrap());
        let lock = File::open(&written).unwrap();
        lock.lock().unwrap();
        remove_leftovers(folder.path(), |_| false);
        assert_eq!([left.is_dir(), written.is_dir()], [false, true]);
        drop(lock);
        remove_leftovers(folder.path(), |_| false);
        assert!(!written.is_dir());
    }
}
