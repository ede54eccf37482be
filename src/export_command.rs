//! `meshreel export`: a motion file in the formats of other programs.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::Export;
use crate::control::Stopped;
use crate::export::{
    Clip, Content, ExportError, Format, Formats, Made, Options, Placement, Selection, export as write, is_folder,
    publish, skinning_note,
};
use crate::terminal;
use crate::text::{people, printable};

/// What a motion file's name ends with.
const MOTION: &str = ".motion.jsonl";

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportCommandError {
    /// The motion cannot be read or written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// There is something in the place of a result.
    #[error("{} is there already; {}name another file or folder with -o", path.display(), if *may_be_replaced { "replace it with --overwrite, or " } else { "" })]
    Taken {
        /// The file.
        path: PathBuf,
        /// Whether `--overwrite` would replace it.
        may_be_replaced: bool,
    },
    /// The motion file would be replaced.
    #[error("the result would overwrite the motion file itself; name another file or folder with -o")]
    OverMotion,
    /// A file was named that is none of the format.
    #[error("-o {} names no {format} file; end it in .{ending}, or name a folder, with / at its end", path.display())]
    Ending {
        /// What was named.
        path: PathBuf,
        /// The format.
        format: &'static str,
        /// How its files end.
        ending: &'static str,
    },
    /// Something was named that is no file and no folder.
    #[error("-o {} is neither a file nor a folder; exports are files, so name where they go", path.display())]
    NoPlace {
        /// What was named.
        path: PathBuf,
    },
    /// A file was named for what makes more than one.
    #[error("-o {} names one file, but {several}; name a folder", path.display())]
    Several {
        /// What was named.
        path: PathBuf,
        /// Why there are several.
        several: String,
    },
    /// The folder cannot be made.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ExportCommandError {
    /// Whether the command was typed wrongly.
    pub fn is_usage(&self) -> bool {
        let is_usage =
            |error: &Self| matches!(error, Self::Several { .. } | Self::Ending { .. } | Self::NoPlace { .. });
        is_usage(self) || matches!(self, Self::Export(ExportError::NoPerson { .. }))
    }
}

/// Where results go.
struct Target {
    folder: PathBuf,
    stem: OsString,
    /// The name of the first result, where it was typed.
    first: Option<PathBuf>,
}

/// Exports, until `stop` is set, and says what was written, a line each.
///
/// # Errors
/// Why nothing was written.
pub fn export(arguments: &Export, stop: &AtomicBool) -> Result<Vec<String>, ExportCommandError> {
    let formats: Formats = arguments.format.iter().copied().collect();
    let target = target(arguments, formats)?;
    let is_new = !target.folder.is_dir();
    std::fs::create_dir_all(&target.folder)
        .map_err(|source| ExportCommandError::Folder { path: target.folder.clone(), source })?;
    let lines = export_to(&target, arguments, formats, stop);
    if lines.is_err() && is_new {
        // Nothing is in it; and if there is, it stays.
        drop(std::fs::remove_dir(&target.folder));
    }
    lines
}

fn export_to(
    target: &Target,
    arguments: &Export,
    formats: Formats,
    stop: &AtomicBool,
) -> Result<Vec<String>, ExportCommandError> {
    let known = formats.iter().flat_map(Format::endings).map(|ending| (*ending).to_owned());
    check(target, known, arguments)?;

    let bar = bar();
    let proceed = || if stop.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) };
    let mut read = |read: u64, all: u64| {
        bar.set_message(format!("reading {}%", read * 100 / all.max(1)));
        Ok(proceed()?)
    };
    let clip = Clip::read(&arguments.motion, &target.folder, &mut read)?;
    let placement = Placement { pitch: arguments.camera_pitch, roll: arguments.camera_roll, floor: arguments.floor };
    let selection = Selection::new(&clip, &arguments.person, arguments.frame, arguments.heading, placement, &proceed)?;
    let count = selection.people.len();
    if target.first.is_some() && count > 1 && formats.iter().any(Format::is_by_person) {
        let path = arguments.output.clone().unwrap_or_default();
        let several = format!("there are {}, each with a file of their own (choose one with --person)", people(count));
        return Err(ExportCommandError::Several { path, several });
    }
    let place = |format: Format| formats.iter().take_while(|other| *other != format).count() + 1;
    let begins = |format: Format| {
        bar.set_message(format!("writing {} ({} of {})", format.name(), place(format), formats.iter().count()));
    };
    let options = options(arguments);
    let made = write(&selection, formats, &options, &target.folder, &target.stem, &begins, &proceed)?;
    bar.finish_and_clear();
    check(target, made.iter().map(|made| made.ending.clone()), arguments)?;
    let mut lines = put(target, made, arguments.overwrite)?;
    lines.extend(notes(&selection, formats));
    Ok(lines)
}

fn options(arguments: &Export) -> Options {
    Options {
        markers: arguments.markers,
        names: arguments.names,
        scale: arguments.scale,
        rest: arguments.rest,
        full_length: arguments.full_length,
        facing: arguments.facing,
    }
}

/// What the user should know of the results.
fn notes(selection: &Selection<'_>, formats: Formats) -> Vec<String> {
    let mut notes = Vec::new();
    let axes = &selection.axes;
    let is_3d = |format: Format| !matches!(format, Format::Coco | Format::Openpose);
    if formats.iter().any(is_3d) && axes.frame_name() == "camera" && axes.source_name() == "none" {
        notes.push(
            "up and the floor could not be found in this video, so that points are in the camera's axes; --camera-pitch and --floor say where they are"
                .into(),
        );
    }
    notes.extend(skinning_note(&selection.clip.header, formats).map(Into::into));
    if selection.people.is_empty() {
        let without: Vec<&str> = formats.iter().filter(|format| format.is_by_person()).map(Format::name).collect();
        if !without.is_empty() {
            notes.push(format!("nobody is in the video: there is nothing for {}", without.join(", ")));
        }
    }
    notes
}

/// Where the results go: a file only where one format is asked for and its name ends so.
fn target(arguments: &Export, formats: Formats) -> Result<Target, ExportCommandError> {
    let motion = &arguments.motion;
    let name = motion.file_name().unwrap_or(OsStr::new("motion"));
    let stem = match name.as_bytes().strip_suffix(MOTION.as_bytes()) {
        Some(stem) => OsStr::from_bytes(stem).to_owned(),
        None => motion.file_stem().unwrap_or(OsStr::new("motion")).to_owned(),
    };
    let beside = || motion.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let Some(output) = &arguments.output else { return Ok(Target { folder: beside(), stem, first: None }) };
    let is_special = std::fs::metadata(output).is_ok_and(|there| !there.is_file() && !there.is_dir());
    if is_special || output == Path::new("-") {
        return Err(ExportCommandError::NoPlace { path: output.clone() });
    }
    let ending = output.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
    let is_known = Format::ALL.iter().any(|format| ending == format.name());
    let looks_like_a_file =
        is_known || (2..=5).contains(&ending.len()) && ending.bytes().all(|b| b.is_ascii_alphabetic());
    let is_folder = output.is_dir() || output.as_os_str().as_bytes().ends_with(b"/");
    if is_folder || !(output.is_file() || looks_like_a_file) {
        return Ok(Target { folder: output.clone(), stem, first: None });
    }
    let path = output.clone();
    let mut formats = formats.iter();
    match (formats.next(), formats.next()) {
        (Some(Format::Openpose), None) => {
            let several = "openpose has a file for each frame".into();
            Err(ExportCommandError::Several { path, several })
        }
        (Some(format), None) => {
            let own = if format == Format::Coco { "json" } else { format.name() };
            if ending != own {
                return Err(ExportCommandError::Ending { path, format: format.name(), ending: own });
            }
            let folder = output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
            let name = output.file_name().unwrap_or_default().as_bytes();
            // `a.coco.json` stands for `a` as much as `a.json` does.
            let stem =
                format.endings().first().and_then(|ending| name.strip_suffix(ending.as_bytes())?.strip_suffix(b"."));
            let stem = stem.map_or_else(|| output.file_stem().unwrap_or_default(), OsStr::from_bytes).to_owned();
            Ok(Target { folder, stem, first: Some(path) })
        }
        _ => Err(ExportCommandError::Several { path, several: "there are several formats".into() }),
    }
}

impl Target {
    /// The name of the result at this place of all.
    fn path(&self, index: usize, ending: &str) -> PathBuf {
        match &self.first {
            Some(first) if index == 0 => first.clone(),
            _ => {
                let mut name = self.stem.clone();
                name.push(format!(".{ending}"));
                self.folder.join(name)
            }
        }
    }
}

/// Whether the names are free.
fn check(target: &Target, endings: impl Iterator<Item = String>, arguments: &Export) -> Result<(), ExportCommandError> {
    let motion = arguments.motion.canonicalize().ok();
    for (index, ending) in endings.enumerate() {
        let path = target.path(index, &ending);
        let Ok(there) = std::fs::symlink_metadata(&path) else { continue };
        if motion.is_some() && path.canonicalize().ok() == motion {
            return Err(ExportCommandError::OverMotion);
        }
        // A file is replaced by a file only, and a folder by a folder.
        let may_be_replaced = there.is_dir() == is_folder(&path);
        if !(arguments.overwrite && may_be_replaced) {
            return Err(ExportCommandError::Taken { path, may_be_replaced });
        }
    }
    Ok(())
}

/// Gives the results their names, and says which.
fn put(target: &Target, made: Vec<Made>, overwrite: bool) -> Result<Vec<String>, ExportCommandError> {
    let mut lines = Vec::new();
    let named = |(index, made): (usize, Made)| (target.path(index, &made.ending), made.content);
    let made: Vec<(PathBuf, Content)> = made.into_iter().enumerate().map(named).collect();
    for (path, content) in &made {
        content.sync().map_err(|source| ExportError::Write { path: path.clone(), source })?;
    }
    for (path, content) in made {
        publish(content, &path, overwrite).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => ExportCommandError::Taken { path: path.clone(), may_be_replaced: true },
            _ => ExportError::Write { path: path.clone(), source }.into(),
        })?;
        lines.push(printable(&path.to_string_lossy()));
    }
    Ok(lines)
}

/// Shows how far the work is, where somebody looks.
fn bar() -> ProgressBar {
    if !io::stderr().is_terminal() || terminal::why_plain().is_some() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{elapsed}]") {
        bar.set_style(style);
    }
    bar
}
