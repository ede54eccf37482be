//! `meshreel report`: one page with a table of many jobs.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use walkdir::WalkDir;

use crate::cli::ReportOf;
use crate::export::{Content, publish};
use crate::job::PAGE;
use crate::job::Report;
use crate::page::{Entry, is_index, write_index};
use crate::text::printable;

/// What the name of a report ends with.
const REPORT: &str = ".report.json";
/// A longer file is no report.
const LONGEST: u64 = 1 << 24;
/// The page in the folder, where no other is named.
const INDEX: &str = "index.html";

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ReportCommandError {
    /// The folder cannot be read, or the page not be written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is another file in its place.
    #[error(
        "{} is there already, and `meshreel report` did not write it; replace it with --overwrite, or name another file with -o",
        path.display()
    )]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing to list.
    #[error("no results of meshreel are in {} or below it (files NAME.report.json)", path.display())]
    Nothing {
        /// The folder.
        path: PathBuf,
    },
}

/// Writes the page, and says which and what was left out, a line each.
///
/// # Errors
/// Why nothing was written.
pub fn report(arguments: &ReportOf) -> Result<Vec<String>, ReportCommandError> {
    let folder = &arguments.folder;
    let target = arguments.output.clone().unwrap_or_else(|| folder.join(INDEX));
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| ReportCommandError::File { path, source }
    };
    let root = folder.canonicalize().map_err(fail(folder))?;
    let beside = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let page_folder = beside.canonicalize().map_err(fail(beside))?;
    let is_there = check(&target, arguments.overwrite)?;

    let (mut entries, mut left_out) = (Vec::new(), Vec::new());
    for found in WalkDir::new(&root).sort_by_file_name() {
        let found = found.map_err(|error| fail(folder)(error.into()))?;
        let stem = found.file_name().as_bytes().strip_suffix(REPORT.as_bytes());
        let Some(stem) = stem.filter(|stem| found.file_type().is_file() && !stem.starts_with(b".")) else { continue };
        match entry(found.path(), OsStr::from_bytes(stem), &root, &page_folder) {
            Ok(entry) => entries.push(entry),
            Err(reason) => {
                left_out.push(format!("left out: {}: {reason}", printable(&found.path().to_string_lossy())));
            }
        }
    }
    if entries.is_empty() {
        return Err(ReportCommandError::Nothing { path: folder.clone() });
    }
    let title = root.file_name().unwrap_or(root.as_os_str()).to_string_lossy().into_owned();
    let mut text = Vec::new();
    write_index(&title, &entries, &mut text).map_err(fail(&target))?;
    let write = || {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::Builder::new()
            .prefix(crate::export::PREFIX)
            .permissions(std::fs::Permissions::from_mode(0o666))
            .tempfile_in(&page_folder)?;
        std::fs::write(file.path(), &text)?;
        publish(Content::File(file.into_temp_path()), &target, is_there)
    };
    write().map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => ReportCommandError::Taken { path: target.clone() },
        _ => fail(&target)(source),
    })?;
    let mut lines = vec![format!("{}: {} listed", target.display(), jobs(entries.len()))];
    lines.extend(left_out);
    Ok(lines)
}

fn jobs(count: usize) -> String {
    if count == 1 { "1 job".into() } else { format!("{count} jobs") }
}

/// Whether a page lies there that may be replaced.
fn check(target: &Path, overwrite: bool) -> Result<bool, ReportCommandError> {
    let taken = || ReportCommandError::Taken { path: target.to_owned() };
    let Ok(there) = std::fs::symlink_metadata(target) else { return Ok(false) };
    if there.is_dir() {
        return Err(taken());
    }
    let is_own = || {
        let mut beginning = Vec::new();
        // A pipe would never open, and a link leads elsewhere.
        let read =
            there.is_file() && File::open(target).is_ok_and(|f| f.take(4096).read_to_end(&mut beginning).is_ok());
        read && is_index(&String::from_utf8_lossy(&beginning))
    };
    if overwrite || is_own() { Ok(true) } else { Err(taken()) }
}

/// What is said of the job whose report this is.
fn entry(report: &Path, stem: &OsStr, root: &Path, page_folder: &Path) -> Result<Entry, String> {
    let file = File::open(report).map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text).map_err(|error| error.to_string())?;
    let said: Report =
        serde_json::from_slice(&text).map_err(|error| format!("it is no report of this version ({error})"))?;
    let folder = report.parent().unwrap_or(root);
    let named = |ending: &str| {
        let mut name = stem.to_owned();
        name.push(ending);
        name
    };
    let video = Path::new(&said.output).file_name().map(OsStr::to_owned).unwrap_or_default();
    let mut files = vec![
        ("video".to_owned(), video),
        ("page".to_owned(), named(&format!(".{PAGE}"))),
        ("motion".to_owned(), named(".motion.jsonl")),
        ("report".to_owned(), named(REPORT)),
    ];
    let begin = format!("{}.", stem.to_string_lossy());
    for name in &said.exports {
        // A report may have been written by anybody: only files beside it that are called as its own.
        if let Some(ending) = name.strip_prefix(&begin).filter(|ending| *ending != PAGE && !ending.contains('/')) {
            files.push((ending.to_owned(), name.into()));
        }
    }
    let is_there = |name: &OsStr| !name.is_empty() && std::fs::symlink_metadata(folder.join(name)).is_ok();
    let links = files.into_iter().filter(|(_, name)| is_there(name));
    Ok(Entry {
        name: stem.to_string_lossy().into_owned(),
        folder: folder.strip_prefix(root).unwrap_or(folder).to_string_lossy().into_owned(),
        source: Path::new(&said.source).file_name().unwrap_or_default().to_string_lossy().into_owned(),
        done: metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .map_or(0.0, |t| t.as_secs_f64()),
        frames: said.frames,
        people: said.people,
        uncertain: said.uncertain_frames,
        seconds: said.seconds,
        warnings: said.lost.into_iter().chain(said.warnings).collect(),
        links: links.map(|(what, name)| (what, address(page_folder, &folder.join(name)))).collect(),
    })
}

/// The address of a file as a page in `from` has it; both from the root on.
fn address(from: &Path, file: &Path) -> String {
    let (mut here, mut there) = (from.components().peekable(), file.components().peekable());
    while here.peek().is_some() && here.peek() == there.peek() {
        here.next();
        there.next();
    }
    let up = here.map(|_| "..".to_owned());
    let down = there.map(|part| match part {
        Component::Normal(name) => percent(name.as_bytes()),
        other => percent(other.as_os_str().as_bytes()),
    });
    // A name with a colon would be taken for a scheme.
    std::iter::once(".".to_owned()).chain(up).chain(down).collect::<Vec<_>>().join("/")
}

/// Bytes as an address has them.
fn percent(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_from_the_page_to_the_file() {
        let address = |from: &str, to: &str| address(Path::new(from), Path::new(to));
        assert_eq!(address("/a/b", "/a/b/c.mp4"), "./c.mp4");
        assert_eq!(address("/a/b", "/a/b/d e/#1?.mp4"), "./d%20e/%231%3F.mp4");
        assert_eq!(address("/a/b/c", "/a/d/javascript:x"), "./../../d/javascript%3Ax");
        assert_eq!(address("/a", "/a/é.mp4"), "./%C3%A9.mp4");
    }

    #[test]
    fn only_its_own_pages_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = |overwrite| ReportOf { folder: folder.path().to_owned(), output: None, overwrite };
        assert!(matches!(report(&arguments(false)), Err(ReportCommandError::Nothing { .. })));
        let said = Report {
            meshreel: 1,
            source: "/in/<b>.mov".into(),
            output: "/out/b.mp4".into(),
            exports: vec!["b.glb".into(), "b.report.html".into(), "b../../x".into()],
            frames: 10,
            people: 1,
            bodies: 9,
            uncertain_frames: 0,
            doubtful_frames: 0,
            seconds: 1.0,
            fps: 10.0,
            model: "auto".into(),
            networks: Vec::new(),
            inference: "cpu".into(),
            renderer: "soft".into(),
            body: "b".into(),
            body_licence: "CC0-1.0".into(),
            lost: Vec::new(),
            warnings: vec!["</script><script>alert(1)</script>".into()],
            stages: std::collections::BTreeMap::new(),
        };
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("sub/b.report.json"), serde_json::to_string(&said).unwrap()).unwrap();
        std::fs::write(at("sub/b.mp4"), "v").unwrap();
        std::fs::write(at("c.report.json"), "{}").unwrap();
        let lines = report(&arguments(false)).unwrap();
        assert!(lines.len() == 2 && lines[0].contains("1 job") && lines[1].contains("c.report.json"), "{lines:?}");
        let text = std::fs::read_to_string(at("index.html")).unwrap();
        assert!(text.contains("./sub/b.mp4") && !text.contains("b.glb"), "only what is there");
        assert!(!text.contains("<script>alert"));
        report(&arguments(false)).unwrap();
        std::fs::write(at("index.html"), "<!doctype html>mine").unwrap();
        assert!(matches!(report(&arguments(false)), Err(ReportCommandError::Taken { .. })));
        report(&arguments(true)).unwrap();
        assert!(is_index(&std::fs::read_to_string(at("index.html")).unwrap()));
    }
}
