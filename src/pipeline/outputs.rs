//! The files a job leaves, never half-written under their final names, and never over what somebody else put there.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use super::JobError;
use crate::export::{
    self, Content, Format, LockedFolder, Made, PREFIX, is_being_written, own_prefix, prefix_of, publish,
};
use crate::job::OutputNames;

/// Removes what a run that was killed left half-written in a folder, but not what another process `is_writing` there.
pub fn remove_leftovers(folder: &Path, is_writing: impl Fn(&Path) -> bool) {
    remove_incomplete(folder, PREFIX, is_writing);
}

/// Removes what a process that has [signed](export::sign) with this word, and is gone, left half-written in a folder.
pub fn remove_leftovers_of(folder: &Path, owner: &str) {
    remove_incomplete(folder, &prefix_of(owner), |_| false);
}

fn remove_incomplete(folder: &Path, prefix: &str, is_writing: impl Fn(&Path) -> bool) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes());
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
    /// Whether what an earlier job exported of the motion stays where it is not made again.
    keeps_motion_exports: bool,
    video: TempPath,
    motion: NamedTempFile,
}

impl PartialOutputs {
    /// Makes the output folder and the temporary files in it, for results of `source` that replace its earlier ones;
    /// `overwrite`: whatever lies there, of exports these.
    pub fn create(paths: OutputNames, source: &Path, overwrite: bool, exports: Vec<PathBuf>) -> io::Result<Self> {
        let folder = paths.place();
        std::fs::create_dir_all(folder).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                io::Error::other(format!("{} is to be a folder, and is none", folder.display()))
            }
            _ => error,
        })?;
        let extension = OsString::from(format!(".{}", paths.container));
        let video = temporary(folder, &extension)?.into_temp_path();
        let motion = temporary(folder, OsStr::new(".motion.jsonl"))?;
        let were_there = paths.there().into_iter().chain(exports).collect();
        Ok(Self { paths, source: source.to_owned(), overwrite, were_there, keeps_motion_exports: false, video, motion })
    }

    /// With the motion of the earlier result: what was exported of it stays. What was made of the earlier video does not.
    #[must_use]
    pub fn keeping_motion_exports(self) -> Self {
        Self { keeps_motion_exports: true, ..self }
    }

    /// Of the exports that an earlier job left and that are not made anew (`made`: their endings), the names of those that stay, and of
    /// those that go.
    pub fn earlier_exports(&self, made: &[&str]) -> [Vec<String>; 2] {
        let earlier = self.paths.earlier_exports(&self.source).into_iter();
        let is_left =
            |ending: &String| !made.contains(&&ending[..]) && self.paths.file(ending).symlink_metadata().is_ok();
        let (stay, go): (Vec<_>, Vec<_>) = earlier.filter(is_left).partition(|ending| self.stays(ending));
        [stay, go].map(|endings| endings.iter().map(|ending| self.paths.name(ending)).collect())
    }

    fn stays(&self, ending: &str) -> bool {
        self.keeps_motion_exports && Format::ALL.iter().any(|format| format.makes(ending))
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
        self.paths.place()
    }

    /// A file beside the results that will have this ending.
    pub fn temporary(&self, ending: &str) -> io::Result<NamedTempFile> {
        temporary(self.folder(), OsStr::new(&format!(".{ending}")))
    }

    /// A folder beside the results with this ending, until it is dropped.
    pub fn temporary_folder(&self, ending: &str) -> io::Result<LockedFolder> {
        LockedFolder::new(self.folder(), ending)
    }

    /// Where the motion lies for now.
    pub fn motion_path(&self) -> &Path {
        self.motion.path()
    }

    /// Gives the files their final names: first a report that names earlier exports as well, so that who is killed in between knows its own
    /// results again; then motion and `exports`, and the video: who sees it may rely on the others. All of them are on disk before. Earlier
    /// exports that are not made any more are removed last, and the report no longer names them.
    ///
    /// # Errors
    /// [`JobError::Taken`] when somebody else put a file there meanwhile. Nothing new is left then, and the earlier report is back.
    pub fn publish(self, report: &str, exports: Vec<Made>) -> Result<(), JobError> {
        let (paths, source, overwrite) = (&self.paths, &self.source, self.overwrite);
        let failed = |source| JobError::Output { path: paths.video(), source };
        for Made { ending, content } in &exports {
            content.sync().map_err(|source| JobError::Output { path: paths.file(ending), source })?;
        }
        self.motion.as_file().sync_all().and_then(|()| File::open(&self.video)?.sync_all()).map_err(failed)?;
        let folder = self.folder().to_owned();
        let folder_file = File::open(&folder).map_err(failed)?;
        // One after the other: else two runs of one video could each remove what the other has put there. A file system without
        // locks does without.
        drop(folder_file.lock());
        let earlier = paths.earlier_exports(source);
        let is_stale = |ending: &&String| exports.iter().all(|made| made.ending != **ending) && !self.stays(ending);
        let stale: Vec<String> = earlier.iter().filter(is_stale).cloned().collect();
        let names: Vec<PathBuf> = exports.iter().map(|made| paths.file(&made.ending)).collect();
        let stale_names = stale.iter().map(|ending| paths.name(ending));
        let interim = if stale.is_empty() { None } else { naming_also(report, stale_names) };
        let interim = written(&folder, interim.as_deref().unwrap_or(report)).map_err(failed)?;
        let last = written(&folder, report).map_err(failed)?;
        // Looked up before the checks below: what is there now and passes them is an earlier result of this video, and may be
        // replaced. With `overwrite` only what was there when the job began is replaced.
        let replaced = match overwrite {
            true => self.were_there.clone(),
            false => paths.there().into_iter().chain(earlier.iter().map(|ending| paths.file(ending))).collect(),
        };
        refuse_over_source(source, paths.all().iter().chain(&names))?;
        let in_the_way = paths.in_the_way(source, overwrite);
        if let Some(path) = in_the_way.or_else(|| paths.exports_in_the_way(source, overwrite, names.clone())) {
            return Err(JobError::Taken { path, overwrite });
        }
        let is_file = std::fs::symlink_metadata(paths.report()).is_ok_and(|there| there.is_file());
        let report_before = if is_file { std::fs::read(paths.report()).ok() } else { None };

        let file = |path: TempPath, name: PathBuf| (Content::File(path), name);
        let first = [file(interim, paths.report()), file(self.motion.into_temp_path(), paths.motion())];
        let contents = exports.into_iter().map(|made| made.content);
        let all = first.into_iter().chain(contents.zip(names)).chain([file(self.video, paths.video())]);
        let mut new: Vec<PathBuf> = Vec::new();
        for (content, name) in all {
            let replaces = replaced.contains(&name);
            if let Err(source) = publish(content, &name, replaces) {
                // They were made a moment ago; what cannot be removed now cannot be removed at all.
                new.iter().for_each(|name| remove(name));
                if let Some(before) = report_before {
                    drop(written(&folder, before).and_then(|file| Ok(file.persist(paths.report())?)));
                }
                return Err(match source.kind() {
                    io::ErrorKind::AlreadyExists => JobError::Taken { path: name, overwrite },
                    _ => JobError::Output { path: name, source },
                });
            }
            if !replaces {
                new.push(name);
            }
        }
        if !stale.is_empty() {
            stale.iter().for_each(|ending| remove(&paths.file(ending)));
            publish(Content::File(last), &paths.report(), true).map_err(failed)?;
        }
        folder_file.sync_all().map_err(failed)
    }
}

/// A report that names further exports.
fn naming_also(report: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let mut report: serde_json::Value = serde_json::from_str(report).ok()?;
    report.get_mut("exports")?.as_array_mut()?.extend(names.map(Into::into));
    serde_json::to_string_pretty(&report).ok()
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
fn written(folder: &Path, report: impl AsRef<[u8]>) -> io::Result<TempPath> {
    let mut file = temporary(folder, OsStr::new(".report.json"))?;
    io::Write::write_all(&mut file, report.as_ref())?;
    file.as_file().sync_all()?;
    Ok(file.into_temp_path())
}

fn temporary(folder: &Path, ending: &OsStr) -> io::Result<NamedTempFile> {
    // As a file made by any other program: the umask decides.
    let permissions = Permissions::from_mode(0o666);
    let made =
        tempfile::Builder::new().prefix(&own_prefix()).suffix(ending).permissions(permissions).tempfile_in(folder);
    // Of the system's reason alone: the name that the file would have had for a while means nothing to the user.
    made.map_err(|error| {
        let inner =
            error.get_ref().and_then(|inner| inner.source()).and_then(|cause| cause.downcast_ref::<io::Error>());
        let code = inner.and_then(io::Error::raw_os_error);
        code.map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
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
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
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
        assert!(export::is_signed(OsStr::new(".meshreel-0123456789abcdef-aB3dEf.mp4")));
        assert!(!export::is_signed(OsStr::new(".meshreel-aB3dEf.a-b.mp4")));
        drop(lock);
        remove_leftovers(folder.path(), |_| false);
        assert!(!written.is_dir());
    }

    #[test]
    fn what_cannot_be_put_in_place_leaves_the_earlier_results_their_report() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let source = Path::new("/in/clip.mov");
        let paths = OutputNames::new(folder.path(), OsStr::new("clip"), "mp4");
        let make = |endings: &[&str]| {
            let partial = PartialOutputs::create(paths.clone(), source, false, Vec::new()).unwrap();
            let made = |ending: &&str| {
                let content = match *ending {
                    "openpose" => {
                        let made = partial.temporary_folder(ending).unwrap();
                        std::fs::write(made.path().join("clip_000000000000_keypoints.json"), "new").unwrap();
                        Content::Folder(made)
                    }
                    _ => Content::File(partial.temporary(ending).unwrap().into_temp_path()),
                };
                Made { ending: (*ending).to_owned(), content }
            };
            let exports = endings.iter().map(made).collect();
            let mut said: serde_json::Value = serde_json::from_str(&report(source, &paths.video())).unwrap();
            said["exports"] = endings.iter().map(|ending| paths.name(ending)).collect();
            (partial.publish(&said.to_string(), exports), said.to_string())
        };
        let (done, first) = make(&["csv", "openpose"]);
        done.unwrap();
        // A folder where a frame's file is to be.
        let frame = at("clip.openpose/clip_000000000000_keypoints.json");
        std::fs::remove_file(&frame).unwrap();
        std::fs::create_dir(&frame).unwrap();
        std::fs::write(at("clip.openpose/clip_000000000001_keypoints.json"), "old").unwrap();
        let (failed, _) = make(&["npz", "openpose"]);
        assert!(matches!(failed, Err(JobError::Taken { .. })));
        assert_eq!(std::fs::read_to_string(paths.report()).unwrap(), first);
        assert!(at("clip.csv").is_file() && !at("clip.npz").exists());
        assert!(at("clip.openpose/clip_000000000001_keypoints.json").is_file());
        std::fs::remove_dir(&frame).unwrap();
        let (done, last) = make(&["npz", "openpose"]);
        done.unwrap();
        assert_eq!(std::fs::read_to_string(paths.report()).unwrap(), last);
        assert!(!at("clip.csv").exists() && at("clip.npz").is_file());
        assert_eq!(names(&at("clip.openpose")), ["clip_000000000000_keypoints.json"]);
    }
}
