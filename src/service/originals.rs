//! What happens to a video after its results are in place.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{Config, Originals, Watch};
use crate::job::Stamp;

/// The watched folder that a video lies in: the innermost.
pub fn watch_of<'a>(config: &'a Config, source: &Path) -> Option<&'a Watch> {
    let around = config.watch.iter().filter(|watch| source.starts_with(&watch.path));
    around.max_by_key(|watch| watch.path.components().count())
}

/// Keeps, moves or deletes a video that still is what it was (`stamp`). Says what was done.
pub fn put_away(config: &Config, source: &Path, stamp: Stamp) -> io::Result<Option<String>> {
    let Some(watch) = watch_of(config, source) else { return Ok(None) };
    if watch.originals == Originals::Keep {
        return Ok(None);
    }
    let metadata = std::fs::symlink_metadata(source)?;
    if !metadata.is_file() || Stamp::of(&metadata) != stamp {
        return Ok(None);
    }
    match watch.originals {
        Originals::Keep => Ok(None),
        Originals::Delete => {
            std::fs::remove_file(source)?;
            Ok(Some("the original was deleted".into()))
        }
        Originals::Move => {
            let below = source.strip_prefix(&watch.path).unwrap_or(source);
            let to = move_to(source, &watch.originals_folder.join(below))?;
            Ok(Some(format!("the original was moved to {}", to.display())))
        }
    }
}

/// Moves a file, beside what is there already: nothing is overwritten. Gives where it went.
fn move_to(source: &Path, wanted: &Path) -> io::Result<PathBuf> {
    let folder = wanted.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let (stem, extension) = (wanted.file_stem().unwrap_or_default(), wanted.extension());
    for number in 1..10_000 {
        let mut name = stem.to_owned();
        if number > 1 {
            name.push(format!("-{number}"));
        }
        if let Some(extension) = extension {
            name.push(".");
            name.push(extension);
        }
        let target = folder.join(name);
        // Takes the name before anybody else does; the file then takes its place.
        match OpenOptions::new().write(true).create_new(true).open(&target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
            Ok(file) => drop(file),
        }
        let moved = match std::fs::rename(source, &target) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy(source, &target),
            other => other,
        };
        return match moved {
            Ok(()) => Ok(target),
            Err(error) => {
                drop(std::fs::remove_file(&target));
                Err(error)
            }
        };
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "there are too many files of that name"))
}

/// To another disk: the original goes when the copy is there.
fn copy(source: &Path, target: &Path) -> io::Result<()> {
    std::fs::copy(source, target)?;
    let copied = File::options().write(true).open(target)?;
    let times = std::fs::FileTimes::new().set_modified(std::fs::metadata(source)?.modified()?);
    copied.set_times(times)?;
    copied.sync_all()?;
    std::fs::remove_file(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn originals_are_moved_beside_what_is_there_and_only_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let text = format!(
            "[[watch]]\npath = \"{0}/in\"\noutput = \"{0}/out\"\noriginals = \"move\"\noriginals_folder = \"{0}/old\"\n",
            folder.path().display()
        );
        let config = Config::parse(&text, Path::new("test.toml")).unwrap();
        std::fs::create_dir_all(at("in/day")).unwrap();
        let source = at("in/day/a.b.mp4");
        let stamp = || Stamp::of(&std::fs::metadata(&source).unwrap());
        for (contents, moved) in [("one", "old/day/a.b.mp4"), ("two", "old/day/a.b-2.mp4")] {
            std::fs::write(&source, contents).unwrap();
            assert!(put_away(&config, &source, stamp()).unwrap().unwrap().ends_with(moved));
            assert_eq!(std::fs::read_to_string(at(moved)).unwrap(), contents);
            assert!(!source.exists());
        }
        std::fs::write(&source, "three").unwrap();
        let before = stamp();
        std::fs::write(&source, "longer").unwrap();
        assert_eq!(put_away(&config, &source, before).unwrap(), None);
        assert_eq!(put_away(&config, &at("elsewhere.mp4"), before).unwrap(), None);
        assert!(source.exists());
    }
}
