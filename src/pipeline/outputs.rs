//! The three files a job leaves, never half-written under their final names, and never over what somebody else put there.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tempfile::{NamedTempFile, TempPath};

use super::JobError;

/// Where a job's results go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputPaths {
    /// The video with the meshes.
    pub video: PathBuf,
    /// The motion as JSON lines.
    pub motion: PathBuf,
    /// What was done, and how long it took.
    pub report: PathBuf,
}

impl OutputPaths {
    /// Results called `name` in `folder`.
    pub fn named(folder: &Path, name: &OsStr, container: &str) -> Self {
        Self {
            video: folder.join(with(name, &format!(".{container}"))),
            motion: folder.join(with(name, ".motion.jsonl")),
            report: folder.join(with(name, ".report.json")),
        }
    }

    /// The first name for a source's results, cut where it is too long for its endings, that is not taken: its stem, its whole file name, or that with a number.
    pub fn free(source: &Path, folder: &Path, container: &str, is_taken: impl Fn(&Self) -> bool) -> Self {
        let [stem, whole] =
            [source.file_stem(), source.file_name()].map(|name| cut(name.unwrap_or(OsStr::new("video"))));
        let numbered = (2..).map(|number| with(&whole, &format!("-{number}")));
        let mut names = [stem, whole.clone()].into_iter().chain(numbered);
        let paths = names.find_map(|name| Some(Self::named(folder, &name, container)).filter(|paths| !is_taken(paths)));
        paths.unwrap_or_else(|| Self::named(folder, &whole, container))
    }

    /// Names results in `folder` after each source's stem; where two sources share one, after their whole file names.
    pub fn for_sources(sources: &[PathBuf], folder: &Path, container: &str) -> Vec<Self> {
        let stem = |source: &PathBuf| source.file_stem().map(OsStr::to_owned);
        let mut paths: Vec<Self> = Vec::new();
        for source in sources {
            let is_shared = sources.iter().filter(|other| stem(other) == stem(source)).count() > 1;
            let plain = Self::named(folder, &cut(&stem(source).unwrap_or_default()), container);
            let is_taken = |candidate: &Self| paths.contains(candidate) || (is_shared && *candidate == plain);
            paths.push(Self::free(source, folder, container, is_taken));
        }
        paths
    }

    /// What keeps results of `source` from having these names: something is there that meshreel did not make from the same
    /// video. Nothing of it is followed or opened but a report. `overwrite`: only a folder is in the way.
    pub fn in_the_way(&self, source: &Path, overwrite: bool) -> Option<&Path> {
        let there = [&self.video, &self.motion, &self.report].map(|path| (path, kind(path)));
        let first =
            |is_meant: fn(Kind) -> bool| there.iter().find(|(_, kind)| is_meant(*kind)).map(|(path, _)| path.as_path());
        if overwrite {
            return first(|kind| kind == Kind::Folder);
        }
        first(|kind| matches!(kind, Kind::Folder | Kind::Other)).or_else(|| match self.made_from(source) {
            None => first(|kind| kind == Kind::File),
            Some(video) if is_same(&video, &self.video) => None,
            // The earlier result has another ending; motion and report are its own all the same.
            Some(_) => first(|kind| kind == Kind::File).filter(|path| *path == self.video),
        })
    }

    /// Whether report, motion and video are there.
    fn are_there(&self) -> [bool; 3] {
        [&self.report, &self.motion, &self.video].map(|path| kind(path) != Kind::Nothing)
    }

    /// The video that the report tells of which lies there, if it was made from `source` and has this name, whatever its ending.
    fn made_from(&self, source: &Path) -> Option<String> {
        // A pipe would never open.
        let report = (kind(&self.report) == Kind::File).then(|| File::open(&self.report).ok()).flatten()?;
        let mut text = Vec::new();
        report.take(LONGEST_REPORT).read_to_end(&mut text).ok()?;
        let said: Said = serde_json::from_slice(&text).ok().filter(|said: &Said| said.meshreel == 1)?;
        let name = |video: &Path| video.with_extension("");
        let has_name = is_same(&name(Path::new(&said.output)).to_string_lossy(), &name(&self.video));
        (has_name && is_same(&said.source, source)).then_some(said.output)
    }
}

/// The part of a report that tells whose results lie beside it.
#[derive(Deserialize)]
struct Said {
    meshreel: u32,
    source: String,
    output: String,
}

/// A longer file is no report.
const LONGEST_REPORT: u64 = 1 << 24;

/// What has a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    File,
    Folder,
    /// A link to somewhere else, a pipe, a device.
    Other,
}

fn kind(path: &Path) -> Kind {
    match std::fs::symlink_metadata(path) {
        Err(_) => Kind::Nothing,
        Ok(metadata) if metadata.is_file() => Kind::File,
        Ok(metadata) if metadata.is_dir() => Kind::Folder,
        Ok(_) => Kind::Other,
    }
}

/// A path from the root on, as reports name it.
pub(super) fn whole(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
}

/// Whether a path from a report means this file, by whatever way to its folder. The file itself may be gone.
fn is_same(said: &str, path: &Path) -> bool {
    let by_folder = |path: &Path| {
        let path = std::path::absolute(path).ok()?;
        Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?))
    };
    said == whole(path) || by_folder(Path::new(said)).is_some_and(|said| Some(said) == by_folder(path))
}

/// A name that leaves room for a number and an ending in the 255 bytes that file systems allow.
fn cut(name: &OsStr) -> OsString {
    const LONGEST: usize = 220;
    let bytes = name.as_bytes();
    let is_inside = |byte: &u8| byte & 0xC0 == 0x80;
    // Not inside a character.
    let end = (0..=LONGEST.min(bytes.len())).rev().find(|&end| !bytes.get(end).is_some_and(is_inside));
    OsStr::from_bytes(&bytes[..end.unwrap_or_default()]).to_owned()
}

fn with(name: &OsStr, ending: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(ending);
    name
}

/// Begins the names of results that are not complete.
const PREFIX: &str = ".meshreel-";

/// Removes what a run that was killed left half-written in a folder, but not what another process `is_writing` there.
pub fn remove_leftovers(folder: &Path, is_writing: impl Fn(&Path) -> bool) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        if is_ours && entry.file_type().is_ok_and(|kind| kind.is_file()) && !is_writing(&entry.path()) {
            // What cannot be removed now is no reason to stop; the next start tries again.
            drop(std::fs::remove_file(entry.path()));
        }
    }
}

/// Results while they are written: dot files beside the final ones, removed unless [`PartialOutputs::publish`]ed.
pub struct PartialOutputs {
    paths: OutputPaths,
    source: PathBuf,
    overwrite: bool,
    /// Whether report, motion and video were there before.
    were_there: [bool; 3],
    video: TempPath,
    motion: NamedTempFile,
    journal: TempPath,
}

impl PartialOutputs {
    /// Makes the output folder and the temporary files in it, for results of `source` that replace its earlier ones;
    /// `overwrite`: whatever lies there.
    pub fn create(paths: OutputPaths, source: &Path, overwrite: bool) -> io::Result<Self> {
        let folder = paths.video.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                io::Error::other(format!("{} is to be a folder, and is none", folder.display()))
            }
            _ => error,
        })?;
        let extension = with(OsStr::new("."), &paths.video.extension().unwrap_or_default().to_string_lossy());
        let video = temporary(folder, &extension)?.into_temp_path();
        let motion = temporary(folder, OsStr::new(".motion.jsonl"))?;
        let journal = temporary(folder, OsStr::new(".journal"))?.into_temp_path();
        let were_there = paths.are_there();
        Ok(Self { paths, source: source.to_owned(), overwrite, were_there, video, motion, journal })
    }

    /// Where the video is written for now.
    pub fn video(&self) -> &Path {
        &self.video
    }

    /// Where the motion is written for now.
    pub fn motion(&self) -> &File {
        self.motion.as_file()
    }

    /// For what is done until all is, unless that is written down elsewhere.
    pub fn journal(&self) -> &Path {
        &self.journal
    }

    /// Gives the files their final names: the report first, so that who is killed in between knows its own results again,
    /// the video last: who sees it may rely on the others. Each is on disk before.
    ///
    /// # Errors
    /// [`JobError::Taken`] when somebody else put a file there meanwhile; nothing is left then.
    pub fn publish(self, report: &str) -> Result<(), JobError> {
        let Self { paths, source, overwrite, were_there, video, motion, journal: _journal } = self;
        let failed = |source| JobError::Output { path: paths.video.clone(), source };
        let folder = paths.video.parent().unwrap_or(Path::new("."));
        let folder_file = File::open(folder).map_err(failed)?;
        // One after the other: else two runs of one video could each remove what the other has put there. A file system without
        // locks does without.
        drop(folder_file.lock());
        // Before the check: what is there now and passes it is this video's. Whoever overwrites has seen what was there.
        let replaces = if overwrite { were_there } else { paths.are_there() };
        if let Some(path) = paths.in_the_way(&source, overwrite) {
            return Err(JobError::Taken { path: path.to_owned() });
        }
        let report = written(folder, report).map_err(failed)?;
        motion.as_file().sync_all().map_err(failed)?;
        let files = [(report, &paths.report), (motion.into_temp_path(), &paths.motion), (video, &paths.video)];
        let mut new = Vec::new();
        for ((file, name), replaces) in files.into_iter().zip(replaces) {
            if let Err(error) = put(file, name, replaces) {
                // They were made a moment ago; what cannot be removed now cannot be removed at all.
                new.into_iter().for_each(|name: &PathBuf| drop(std::fs::remove_file(name)));
                return Err(error);
            }
            if !replaces {
                new.push(name);
            }
        }
        folder_file.sync_all().map_err(failed)
    }
}

/// A report on disk, under a name for now.
fn written(folder: &Path, report: &str) -> io::Result<TempPath> {
    let mut file = temporary(folder, OsStr::new(".report.json"))?;
    io::Write::write_all(&mut file, report.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file.into_temp_path())
}

/// Gives a file its final name; unless it `replaces` what has it, nobody may have it.
fn put(file: TempPath, name: &Path, replaces: bool) -> Result<(), JobError> {
    let failed = |source| JobError::Output { path: name.to_owned(), source };
    let taken = || JobError::Taken { path: name.to_owned() };
    if replaces {
        return file.persist(name).map_err(|e| failed(e.error));
    }
    let refused = match file.persist_noclobber(name) {
        Ok(()) => return Ok(()),
        Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => return Err(taken()),
        Err(refused) => refused,
    };
    // A file system that knows no such way to give a name: an empty file takes it, and the result that file's place.
    match OpenOptions::new().write(true).create_new(true).open(name) {
        Ok(_) => refused.path.persist(name).map_err(|e| {
            drop(std::fs::remove_file(name));
            failed(e.error)
        }),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(taken()),
        Err(_) => Err(failed(refused.error)),
    }
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

    #[test]
    fn names_never_collide() {
        let sources = ["x/a.mov", "y/a.mp4", "z/a.mp4", "b.avi", "-c"].map(PathBuf::from);
        let videos: Vec<_> = OutputPaths::for_sources(&sources, Path::new("out"), "mp4")
            .into_iter()
            .map(|p| p.video.to_string_lossy().into_owned())
            .collect();
        assert_eq!(videos, ["out/a.mov.mp4", "out/a.mp4.mp4", "out/a.mp4-2.mp4", "out/b.mp4", "out/-c.mp4"]);
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let sources = ["ä".repeat(125) + "b.mp4", "ä".repeat(125) + "c.mp4", "\u{9}".repeat(250)].map(PathBuf::from);
        let paths = OutputPaths::for_sources(&sources, Path::new(""), "mp4");
        for paths in &paths {
            let name = paths.motion.to_str().unwrap();
            assert!((200..=255).contains(&name.len()), "{name}");
        }
        assert_ne!(paths[0], paths[1]);
    }

    #[test]
    fn nothing_is_left_of_what_was_not_published() {
        let folder = tempfile::tempdir().unwrap();
        let paths = OutputPaths::for_sources(&["a.mp4".into()], folder.path(), "mkv").remove(0);
        let partial = PartialOutputs::create(paths.clone(), Path::new("a.mp4"), false).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
        drop(partial);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

        let partial = PartialOutputs::create(paths, Path::new("a.mp4"), false).unwrap();
        std::fs::write(partial.video(), "v").unwrap();
        partial.publish("{}").unwrap();
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
    fn only_results_of_the_same_video_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("in")).unwrap();
        let source = at("in/clip.mov");
        let paths = OutputPaths::named(folder.path(), OsStr::new("clip"), "mp4");
        let in_the_way = |overwrite: bool| paths.in_the_way(&source, overwrite).map(Path::to_owned);
        assert_eq!(in_the_way(false), None, "nothing is there");

        // Any of the three, with no report or one that speaks of something else.
        for path in [&paths.video, &paths.motion, &paths.report] {
            std::fs::write(path, "mine").unwrap();
            assert_eq!(in_the_way(false).as_ref(), Some(path));
            assert_eq!(in_the_way(true), None);
            std::fs::remove_file(path).unwrap();
        }
        std::fs::write(&paths.video, "a video").unwrap();
        let other = report(&at("in/other.mov"), &paths.video);
        let elsewhere = report(&source, &at("in/clip.mp4"));
        let later = report(&source, &paths.video).replace(":1", ":2");
        for text in ["", "{}", "[1]", "{\"meshreel\": 1}", &other[..], &elsewhere, &later] {
            std::fs::write(&paths.report, text).unwrap();
            assert_eq!(in_the_way(false).as_ref(), Some(&paths.video), "{text}");
        }
        std::fs::write(&paths.report, report(&source, &paths.video)).unwrap();
        assert_eq!(in_the_way(false), None, "its own");
        // With another ending, its motion and report are its own, and a video is not.
        let other = OutputPaths::named(folder.path(), OsStr::new("clip"), "mkv");
        assert_eq!(other.in_the_way(&source, false), None);
        std::fs::write(&other.video, "mine").unwrap();
        assert_eq!(other.in_the_way(&source, false), Some(other.video.as_path()));
        std::fs::remove_file(&other.video).unwrap();
        // By another way to the same folder; not for a video of the same name in another one.
        std::os::unix::fs::symlink(at("in"), at("link")).unwrap();
        assert_eq!(paths.in_the_way(&at("link/clip.mov"), false), None);
        assert_eq!(paths.in_the_way(&at("in/../in/clip.mov"), false), None);
        assert!(paths.in_the_way(&at("clip.mov"), false).is_some());
        // Links are not followed, and folders never replaced.
        std::fs::remove_file(&paths.video).unwrap();
        std::os::unix::fs::symlink(at("nowhere"), &paths.video).unwrap();
        assert_eq!((in_the_way(false).as_ref(), in_the_way(true)), (Some(&paths.video), None));
        std::fs::remove_file(&paths.video).unwrap();
        std::fs::create_dir(&paths.video).unwrap();
        assert_eq!([in_the_way(false), in_the_way(true)], [Some(paths.video.clone()), Some(paths.video.clone())]);
        std::fs::remove_dir(&paths.video).unwrap();
        std::fs::rename(&paths.report, at("moved.json")).unwrap();
        std::os::unix::fs::symlink(at("moved.json"), &paths.report).unwrap();
        assert_eq!(in_the_way(false).as_ref(), Some(&paths.report), "a report behind a link says nothing");
    }

    #[test]
    fn what_is_put_there_meanwhile_stays_and_nothing_is_left() {
        let source = Path::new("/in/clip.mov");
        for put in ["clip.report.json", "clip.motion.jsonl", "clip.mp4"] {
            let folder = tempfile::tempdir().unwrap();
            let paths = OutputPaths::named(folder.path(), OsStr::new("clip"), "mp4");
            let begin = |overwrite: bool| {
                let partial = PartialOutputs::create(paths.clone(), source, overwrite).unwrap();
                std::fs::write(partial.video(), "v").unwrap();
                partial
            };
            let text = report(source, &paths.video);
            for overwrite in [false, true] {
                let partial = begin(overwrite);
                std::fs::write(folder.path().join(put), "mine").unwrap();
                let error = partial.publish(&text).unwrap_err();
                assert!(matches!(error, JobError::Taken { .. }) && error.to_string().contains(put), "{error}");
                assert_eq!(names(folder.path()), [put]);
                assert_eq!(std::fs::read_to_string(folder.path().join(put)).unwrap(), "mine");
                std::fs::remove_file(folder.path().join(put)).unwrap();
            }
            // Killed between two of the names, it goes on with its own.
            std::fs::write(&paths.report, &text).unwrap();
            std::fs::write(&paths.motion, "earlier").unwrap();
            begin(false).publish(&text).unwrap();
            // Two at once make the same.
            let both = [begin(false), begin(false)];
            both.into_iter().for_each(|partial| partial.publish(&text).unwrap());
            assert_eq!(names(folder.path()), ["clip.motion.jsonl", "clip.mp4", "clip.report.json"]);
            assert_eq!(std::fs::read_to_string(&paths.motion).unwrap(), "");
        }
    }

    #[test]
    fn what_a_link_points_to_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let paths = OutputPaths::named(folder.path(), OsStr::new("clip"), "mp4");
        let precious = folder.path().join("precious");
        std::fs::write(&precious, "p").unwrap();
        std::os::unix::fs::symlink(&precious, &paths.video).unwrap();
        let partial = PartialOutputs::create(paths.clone(), Path::new("/in/clip.mov"), true).unwrap();
        std::fs::write(partial.video(), "v").unwrap();
        partial.publish("{}").unwrap();
        assert_eq!([&precious, &paths.video].map(|path| std::fs::read_to_string(path).unwrap()), ["p", "v"]);
    }
}
