//! The three files a job leaves, never half-written under their final names.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

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
    video: TempPath,
    motion: NamedTempFile,
    journal: TempPath,
}

impl PartialOutputs {
    /// Makes the output folder and the temporary files in it.
    pub fn create(paths: OutputPaths) -> io::Result<Self> {
        let folder = paths.video.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let extension = with(OsStr::new("."), &paths.video.extension().unwrap_or_default().to_string_lossy());
        let video = temporary(folder, &extension)?.into_temp_path();
        let motion = temporary(folder, OsStr::new(".motion.jsonl"))?;
        let journal = temporary(folder, OsStr::new(".journal"))?.into_temp_path();
        Ok(Self { paths, video, motion, journal })
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

    /// Gives the files their final names, the video last: who sees it may rely on the others. Each is on disk before.
    pub fn publish(self, report: &str) -> io::Result<()> {
        let folder = self.paths.video.parent().unwrap_or(Path::new(".")).to_owned();
        let mut report_file = temporary(&folder, OsStr::new(".report.json"))?;
        io::Write::write_all(&mut report_file, report.as_bytes())?;
        for (file, name) in [(self.motion, &self.paths.motion), (report_file, &self.paths.report)] {
            file.as_file().sync_all()?;
            file.persist(name).map_err(|e| e.error)?;
        }
        self.video.persist(&self.paths.video).map_err(|e| e.error)?;
        File::open(folder)?.sync_all()
    }
}

fn temporary(folder: &Path, ending: &OsStr) -> io::Result<NamedTempFile> {
    // As a file made by any other program: the umask decides.
    let permissions = Permissions::from_mode(0o666);
    tempfile::Builder::new().prefix(PREFIX).suffix(ending).permissions(permissions).tempfile_in(folder)
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
        let partial = PartialOutputs::create(paths.clone()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
        drop(partial);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

        let partial = PartialOutputs::create(paths).unwrap();
        std::fs::write(partial.video(), "v").unwrap();
        partial.publish("{}").unwrap();
        let mut names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["a.mkv", "a.motion.jsonl", "a.report.json"]);
    }
}
