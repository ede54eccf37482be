//! `meshreel process`: some videos, one after the other; and `meshreel render`: one of them once more.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::{Process, Render};
use crate::config::Config;
use crate::control::Control;
use crate::executor::{Executor as _, Local};
use crate::export::Formats;
use crate::job::{Event, Failure, FailureKind, JobContext, JobSettings, JobSpec, OutputNames, Share};
use crate::media;
use crate::pipeline::{Redrawing, StartError};
use crate::progress::FileProgress;
use crate::telemetry::Timings;
use crate::terminal::tell;
use crate::text::printable;

/// What became of the videos.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All have their results.
    Done,
    /// Some have none; each was told.
    SomeFailed,
    /// The user ended it.
    Stopped,
}

/// Processes the videos that were named, until `stop` is set.
///
/// # Errors
/// When none of them could be processed.
pub fn process(arguments: &Process, config: &Config, verbose: bool, stop: &AtomicBool) -> Result<Outcome, StartError> {
    let executor = Local::start(config)?;
    let control = || if stop.load(Ordering::Relaxed) { Control::Stop } else { Control::Go };
    // A file that is given twice, by whatever names, is one.
    let mut known = HashSet::new();
    let is_new = |clip: &&PathBuf| known.insert(clip.canonicalize().unwrap_or_else(|_| clip.to_path_buf()));
    let clips: Vec<PathBuf> = arguments.clips.iter().filter(is_new).cloned().collect();
    let settings = config.job_settings();
    let outputs = OutputNames::for_sources(&clips, &arguments.output, &settings.encode.container);
    let mut failed = Vec::new();
    for (source, mut outputs) in clips.iter().zip(outputs) {
        let settings = settings_for(source, &settings, arguments.fps);
        outputs.container.clone_from(&settings.encode.container);
        let progress = FileProgress::new(&source.to_string_lossy(), arguments.progress, verbose);
        let spec = JobSpec { source: source.clone(), outputs, overwrite: arguments.overwrite, settings };
        let context = JobContext {
            checkpoint: None,
            share: Share::All,
            timings: Arc::new(Timings::new(0, executor.live().clone())),
            priority: 0,
            control: &control,
            events: &|event| progress.event(&event),
        };
        match executor.work(&spec, &context) {
            Ok(report) => progress.event(&Event::Done(Box::new(report))),
            Err(_) if stop.load(Ordering::Relaxed) => {
                progress.event(&Event::Failed("stopped; nothing was written".into()));
                return Ok(Outcome::Stopped);
            }
            Err(failure) => {
                progress.event(&Event::Failed(failure.reason));
                failed.push(source);
            }
        }
    }
    if failed.is_empty() {
        return Ok(Outcome::Done);
    }
    if clips.len() > 1 {
        tell(format_args!("{} of {} files failed: {}", failed.len(), clips.len(), names(&failed)));
    }
    Ok(Outcome::SomeFailed)
}

/// Pictures and folders of them are taken here alone, where the user named them.
fn settings_for(source: &Path, settings: &JobSettings, fps: f64) -> JobSettings {
    let settings = settings.clone();
    match media::still_result(source) {
        Some(result) => settings.for_still(result),
        None if source.is_dir() => settings.for_folder(fps),
        None => settings,
    }
}

/// Draws a motion file over its video, until `stop` is set.
///
/// # Errors
/// When nothing can be drawn at all.
pub fn render(arguments: &Render, config: &Config, verbose: bool, stop: &AtomicBool) -> Result<Outcome, StartError> {
    let drawing = Redrawing::start(config)?;
    let Render { clip, motion, output, overwrite, progress, .. } = arguments;
    let progress = FileProgress::new(&clip.to_string_lossy(), *progress, verbose);
    // The motion is what it was, and so is what was exported of it.
    let settings = JobSettings { formats: Formats::NONE, ..config.job_settings() };
    let settings = settings_for(clip, &settings, arguments.fps);
    let outputs = OutputNames::for_sources(std::slice::from_ref(clip), output, &settings.encode.container).remove(0);
    let spec = JobSpec { source: clip.clone(), outputs, overwrite: *overwrite, settings };
    let context = JobContext {
        checkpoint: None,
        share: Share::All,
        timings: Arc::new(Timings::new(0, drawing.live().clone())),
        priority: 0,
        control: &|| if stop.load(Ordering::Relaxed) { Control::Stop } else { Control::Go },
        events: &|event| progress.event(&event),
    };
    match drawing.render(&spec, motion, &context).map_err(Failure::from) {
        Ok(report) => {
            progress.event(&Event::Done(Box::new(report)));
            Ok(Outcome::Done)
        }
        Err(Failure { kind: FailureKind::Stopped, .. }) => {
            progress.event(&Event::Failed("stopped; nothing was written".into()));
            Ok(Outcome::Stopped)
        }
        Err(failure) => {
            progress.event(&Event::Failed(failure.reason));
            Ok(Outcome::SomeFailed)
        }
    }
}

fn names(paths: &[&PathBuf]) -> String {
    let name = |path: &&PathBuf| printable(&Path::new(path).to_string_lossy());
    paths.iter().map(name).collect::<Vec<_>>().join(", ")
}
