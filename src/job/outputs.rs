//! What the results of a job are called, and whether these names are free.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::spec::path_bytes;
use super::{JobSettings, PAGE, View};
use crate::export::{self, Format};
use crate::media::{CONTAINERS, Sharing};

/// What the results of a job are called: a folder, and a stem that all of them share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputNames {
    /// The folder.
    #[serde(with = "path_bytes")]
    pub folder: PathBuf,
    /// What comes before the endings.
    #[serde(with = "path_bytes")]
    pub stem: OsString,
    /// Ending of the video, which names its container.
    pub container: String,
}

impl OutputNames {
    /// Results called `stem` in `folder`.
    pub fn new(folder: &Path, stem: &OsStr, container: &str) -> Self {
        Self { folder: folder.to_owned(), stem: stem.to_owned(), container: container.to_owned() }
    }

    /// The folder as the system takes it: that of a name without one is the current one.
    pub fn place(&self) -> &Path {
        if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder }
    }

    /// The video with the meshes.
    pub fn video(&self) -> PathBuf {
        self.file(&self.container)
    }

    /// The motion as JSON lines.
    pub fn motion(&self) -> PathBuf {
        self.file("motion.jsonl")
    }

    /// What was done, and how long it took.
    pub fn report(&self) -> PathBuf {
        self.file("report.json")
    }

    /// Another file of the job with this ending.
    pub fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(with(&self.stem, &format!(".{ending}")))
    }

    /// The name of that file, for people.
    pub fn name(&self, ending: &str) -> String {
        with(&self.stem, &format!(".{ending}")).to_string_lossy().into_owned()
    }

    /// Report, motion and video, in the order in which they are put in place.
    pub fn all(&self) -> [PathBuf; 3] {
        [self.report(), self.motion(), self.video()]
    }

    /// The first name for a source's results, cut where it is too long for its endings, that is not taken: its stem, its whole file name, or that with a number.
    pub fn free(source: &Path, folder: &Path, container: &str, is_taken: impl Fn(&Self) -> bool) -> Self {
        let [stem, whole] =
            [source.file_stem(), source.file_name()].map(|name| cut(name.unwrap_or(OsStr::new("video"))));
        let numbered = (2..).map(|number| with(&whole, &format!("-{number}")));
        let mut names = [stem, whole.clone()].into_iter().chain(numbered);
        let paths = names.find_map(|name| Some(Self::new(folder, &name, container)).filter(|paths| !is_taken(paths)));
        paths.unwrap_or_else(|| Self::new(folder, &whole, container))
    }

    /// Names results in `folder` after each source's stem; where two sources share one, after their whole file names.
    pub fn for_sources(sources: &[PathBuf], folder: &Path, container: &str) -> Vec<Self> {
        let stem = |source: &PathBuf| source.file_stem().map(OsStr::to_owned);
        let mut paths: Vec<Self> = Vec::new();
        for source in sources {
            let is_shared = sources.iter().filter(|other| stem(other) == stem(source)).count() > 1;
            let plain = Self::new(folder, &cut(&stem(source).unwrap_or_default()), container);
            let is_taken = |candidate: &Self| paths.contains(candidate) || (is_shared && *candidate == plain);
            paths.push(Self::free(source, folder, container, is_taken));
        }
        paths
    }

    /// What keeps results of `source` from having these names: something is there that meshreel did not make from the same
    /// video. Nothing of it is followed or opened but a report. `overwrite`: only a folder is in the way.
    pub fn in_the_way(&self, source: &Path, overwrite: bool) -> Option<PathBuf> {
        let there = [self.video(), self.motion(), self.report()].map(|path| (kind(&path), path));
        let first =
            |is_meant: fn(Kind) -> bool| there.iter().find(|(kind, _)| is_meant(*kind)).map(|(_, path)| path.clone());
        if overwrite {
            return first(|kind| kind == Kind::Folder);
        }
        first(|kind| matches!(kind, Kind::Folder | Kind::Other)).or_else(|| match self.made_from(source) {
            None => first(|kind| kind == Kind::File),
            Some(said) if is_same(&said.output, &self.video()) => None,
            // The earlier result has another ending; motion and report are its own all the same.
            Some(_) => first(|kind| kind == Kind::File).filter(|path| *path == self.video()),
        })
    }

    /// What is there under a name that a job with these settings may give to an export.
    pub fn exports_there(&self, settings: &JobSettings) -> Vec<PathBuf> {
        let begin = with(&self.stem, ".");
        let path = |name: OsString| {
            let ending = std::str::from_utf8(name.as_bytes().strip_prefix(begin.as_bytes())?).ok()?;
            settings.makes(ending, &self.container).then(|| self.file(ending))
        };
        let names = std::fs::read_dir(self.place()).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.filter_map(path).collect()
    }

    /// Which of these keeps an export of `source` from having its name. A folder is replaced by a folder only, and a file by a file.
    pub fn exports_in_the_way(&self, source: &Path, overwrite: bool, mut paths: Vec<PathBuf>) -> Option<PathBuf> {
        paths.sort();
        let earlier: Vec<PathBuf> = self.earlier_exports(source).iter().map(|ending| self.file(ending)).collect();
        paths.into_iter().find(|path| match kind(path) {
            Kind::Nothing => false,
            Kind::File => export::is_folder(path) || !overwrite && !earlier.contains(path),
            Kind::Folder => !export::is_folder(path) || !overwrite && !earlier.contains(path),
            Kind::Other => export::is_folder(path) || !overwrite,
        })
    }

    /// Endings of the exports that an earlier job left for `source` under this name, by its report.
    pub fn earlier_exports(&self, source: &Path) -> Vec<String> {
        let said = self.made_from(source).map(|said| said.exports).unwrap_or_default();
        let begin = format!("{}.", self.stem.to_string_lossy());
        // A report may have been written by anybody: only names that a job gives.
        let ending = |name: &String| Some(name.strip_prefix(&begin)?.to_owned()).filter(|ending| is_of_export(ending));
        said.iter().filter_map(ending).collect()
    }

    /// Which of report, motion and video are there.
    pub fn there(&self) -> Vec<PathBuf> {
        self.all().into_iter().filter(|path| kind(path) != Kind::Nothing).collect()
    }

    /// What the report says which lies there, if its video was made from `source` and has this name, whatever its ending.
    fn made_from(&self, source: &Path) -> Option<Said> {
        // A pipe would never open.
        let report = self.report();
        let report = (kind(&report) == Kind::File).then(|| File::open(&report).ok()).flatten()?;
        let mut text = Vec::new();
        report.take(LONGEST_REPORT).read_to_end(&mut text).ok()?;
        let said: Said = serde_json::from_slice(&text).ok().filter(|said: &Said| said.meshreel == 1)?;
        let name = |video: &Path| video.with_extension("");
        let has_name = is_same(&name(Path::new(&said.output)).to_string_lossy(), &name(&self.video()));
        (has_name && is_same(&said.source, source)).then_some(said)
    }
}

/// The part of a report that tells whose results lie beside it.
#[derive(Deserialize)]
struct Said {
    meshreel: u32,
    source: String,
    output: String,
    #[serde(default)]
    exports: Vec<String>,
}

/// A longer file is no report.
const LONGEST_REPORT: u64 = 1 << 24;

/// Whether some job may give an export this ending.
fn is_of_export(ending: &str) -> bool {
    let is_view = |view: &View| {
        let container = ending.strip_prefix(view.word()).and_then(|rest| rest.strip_prefix('.'));
        container.is_some_and(|container| CONTAINERS.contains(&container) || ["png", "jpg"].contains(&container))
    };
    Format::ALL.iter().any(|format| format.makes(ending))
        || Sharing::value_variants().iter().any(|sharing| ending == sharing.ending())
        || View::value_variants().iter().any(is_view)
        || ending == PAGE
}

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
pub fn whole(path: &Path) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_collide() {
        let sources = ["x/a.mov", "y/a.mp4", "z/a.mp4", "b.avi", "-c"].map(PathBuf::from);
        let videos: Vec<_> = OutputNames::for_sources(&sources, Path::new("out"), "mp4")
            .into_iter()
            .map(|p| p.video().to_string_lossy().into_owned())
            .collect();
        assert_eq!(videos, ["out/a.mov.mp4", "out/a.mp4.mp4", "out/a.mp4-2.mp4", "out/b.mp4", "out/-c.mp4"]);
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let sources = ["ä".repeat(125) + "b.mp4", "ä".repeat(125) + "c.mp4", "\u{9}".repeat(250)].map(PathBuf::from);
        let paths = OutputNames::for_sources(&sources, Path::new(""), "mp4");
        for paths in &paths {
            let name = paths.motion();
            let name = name.to_str().unwrap();
            assert!((200..=255).contains(&name.len()), "{name}");
        }
        assert_ne!(paths[0], paths[1]);
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
        let paths = OutputNames::new(folder.path(), OsStr::new("clip"), "mp4");
        let in_the_way = |overwrite: bool| paths.in_the_way(&source, overwrite);
        assert_eq!(in_the_way(false), None, "nothing is there");

        // Any of the three, with no report or one that speaks of something else.
        for path in paths.all() {
            std::fs::write(&path, "mine").unwrap();
            assert_eq!(in_the_way(false).as_ref(), Some(&path));
            assert_eq!(in_the_way(true), None);
            std::fs::remove_file(&path).unwrap();
        }
        std::fs::write(paths.video(), "a video").unwrap();
        let other = report(&at("in/other.mov"), &paths.video());
        let elsewhere = report(&source, &at("in/clip.mp4"));
        let later = report(&source, &paths.video()).replace(":1", ":2");
        for text in ["", "{}", "[1]", "{\"meshreel\": 1}", &other[..], &elsewhere, &later] {
            std::fs::write(paths.report(), text).unwrap();
            assert_eq!(in_the_way(false), Some(paths.video()), "{text}");
        }
        std::fs::write(paths.report(), report(&source, &paths.video())).unwrap();
        assert_eq!(in_the_way(false), None, "its own");
        // With another ending, its motion and report are its own, and a video is not.
        let other = OutputNames::new(folder.path(), OsStr::new("clip"), "mkv");
        assert_eq!(other.in_the_way(&source, false), None);
        std::fs::write(other.video(), "mine").unwrap();
        assert_eq!(other.in_the_way(&source, false), Some(other.video()));
        std::fs::remove_file(other.video()).unwrap();
        // By another way to the same folder; not for a video of the same name in another one.
        std::os::unix::fs::symlink(at("in"), at("link")).unwrap();
        assert_eq!(paths.in_the_way(&at("link/clip.mov"), false), None);
        assert_eq!(paths.in_the_way(&at("in/../in/clip.mov"), false), None);
        assert!(paths.in_the_way(&at("clip.mov"), false).is_some());
        // Links are not followed, and folders never replaced.
        std::fs::remove_file(paths.video()).unwrap();
        std::os::unix::fs::symlink(at("nowhere"), paths.video()).unwrap();
        assert_eq!((in_the_way(false), in_the_way(true)), (Some(paths.video()), None));
        std::fs::remove_file(paths.video()).unwrap();
        std::fs::create_dir(paths.video()).unwrap();
        assert_eq!([in_the_way(false), in_the_way(true)], [Some(paths.video()), Some(paths.video())]);
        std::fs::remove_dir(paths.video()).unwrap();
        std::fs::rename(paths.report(), at("moved.json")).unwrap();
        std::os::unix::fs::symlink(at("moved.json"), paths.report()).unwrap();
        assert_eq!(in_the_way(false), Some(paths.report()), "a report behind a link says nothing");
    }
}
