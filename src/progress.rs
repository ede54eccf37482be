//! What is said of each video at work: a bar on a terminal, lines otherwise, JSON for programs.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle as BarStyle};

use crate::clock;
use crate::job::{Event, Phase};
use crate::terminal::{self, fit, tell};
use crate::text::{people, printable};
use crate::thread::locked;

/// At most this often, a line or a JSON object about a file at work.
const EVERY: Duration = Duration::from_secs(2);
const EVERY_JSON: Duration = Duration::from_millis(200);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ProgressStyle {
    /// A bar on a terminal, lines otherwise
    #[default]
    Auto,
    /// One bar per file
    Bar,
    /// A line every few seconds
    Plain,
    /// One JSON object per line on standard output, for programs
    Json,
    /// Only warnings and errors
    None,
}

/// Shows the events of one file.
pub struct FileProgress {
    name: String,
    show: Show,
    state: Mutex<State>,
}

enum Show {
    Bar(ProgressBar),
    Plain,
    Json,
    Nothing,
}

struct State {
    started: Instant,
    last: Option<Instant>,
}

impl FileProgress {
    /// `style` as the user asked; `verbose` when log lines share the terminal, which a bar would garble.
    pub fn new(name: &str, style: ProgressStyle, verbose: bool) -> Self {
        let name = printable(name);
        let show = match style {
            ProgressStyle::Bar => Show::Bar(bar(&name)),
            ProgressStyle::Auto if std::io::stderr().is_terminal() && terminal::why_plain().is_none() && !verbose => {
                Show::Bar(bar(&name))
            }
            ProgressStyle::Auto | ProgressStyle::Plain => Show::Plain,
            ProgressStyle::Json => Show::Json,
            ProgressStyle::None => Show::Nothing,
        };
        Self { name, show, state: Mutex::new(State { started: Instant::now(), last: None }) }
    }

    /// Shows what happened.
    pub fn event(&self, event: &Event) {
        let mut state = locked(&self.state);
        match &self.show {
            Show::Bar(bar) => self.on_bar(bar, event, &state),
            Show::Plain => self.in_lines(event, &mut state),
            Show::Json => self.as_json(event, &mut state),
            Show::Nothing => self.problems(event),
        }
    }

    fn on_bar(&self, bar: &ProgressBar, event: &Event, state: &State) {
        match event {
            Event::Progress { phase, done, total, people } => {
                if let Some(total) = total {
                    bar.set_length(2 * total);
                }
                bar.set_position((2.0 * phase.frames_done(*done, *total)) as u64);
                let fps = frames_per_second(*phase, *done, *total, state.started);
                let eta = eta(*phase, *done, *total, state.started).map_or(String::new(), |s| format!(", {s} left"));
                bar.set_message(format!(
                    "{} {done}/{} frames, {fps:.1} fps, {}{eta}",
                    phase.verb(),
                    total.map_or("?".into(), |t| t.to_string()),
                    crate::text::people(*people)
                ));
            }
            Event::Warning(text) => bar.println(fit(&format!("{}: warning: {}", self.name, printable(text)))),
            Event::Done(report) => {
                bar.finish_and_clear();
                tell(format_args!("{}", self.done(report)));
            }
            Event::Failed(reason) => {
                bar.finish_and_clear();
                tell(format_args!("{}: {}", self.name, printable(reason)));
            }
            Event::Note(_) | Event::Placed(_) | Event::Stretches(_) => {}
        }
    }

    fn in_lines(&self, event: &Event, state: &mut State) {
        match event {
            Event::Progress { phase, done, total, people } => {
                if !due(state, EVERY) {
                    return;
                }
                tell(format_args!(
                    "{}: {} {done}/{} frames, {:.1} fps, {}{}",
                    self.name,
                    phase.verb(),
                    total.map_or("?".into(), |t| t.to_string()),
                    frames_per_second(*phase, *done, *total, state.started),
                    crate::text::people(*people),
                    eta(*phase, *done, *total, state.started).map_or(String::new(), |s| format!(", {s} left")),
                ));
            }
            Event::Done(report) => tell(format_args!("{}", self.done(report))),
            other => self.problems(other),
        }
    }

    fn as_json(&self, event: &Event, state: &mut State) {
        let line = match event {
            Event::Progress { phase, done, total, people } => {
                if !due(state, EVERY_JSON) {
                    return;
                }
                serde_json::json!({
                    "event": "progress", "file": self.name, "phase": phase.name(), "frame": done, "frames": total,
                    "people": people, "fps": frames_per_second(*phase, *done, *total, state.started),
                })
            }
            Event::Placed(_) | Event::Stretches(_) => return,
            Event::Note(text) => serde_json::json!({"event": "note", "file": self.name, "message": text}),
            Event::Warning(text) => serde_json::json!({"event": "warning", "file": self.name, "message": text}),
            Event::Done(report) => serde_json::json!({"event": "done", "file": self.name, "report": report}),
            Event::Failed(reason) => serde_json::json!({"event": "failed", "file": self.name, "message": reason}),
        };
        // A reader that went away (a closed pipe) is no reason to stop the work.
        let _ = writeln!(std::io::stdout(), "{line}");
        if let Event::Failed(reason) = event {
            tell(format_args!("{}: {}", self.name, printable(reason)));
        }
    }

    fn problems(&self, event: &Event) {
        match event {
            Event::Warning(text) => tell(format_args!("{}: warning: {}", self.name, printable(text))),
            Event::Failed(reason) => tell(format_args!("{}: {}", self.name, printable(reason))),
            Event::Note(_) | Event::Placed(_) | Event::Stretches(_) | Event::Progress { .. } | Event::Done(_) => {}
        }
    }

    fn done(&self, report: &crate::job::Report) -> String {
        format!(
            "{}: done, {} frames, {}, {:.1} s ({:.1} fps) -> {}",
            self.name,
            report.frames,
            people(report.people),
            report.seconds,
            report.fps,
            printable(&report.output)
        )
    }
}

fn bar(name: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = BarStyle::with_template("{prefix} {bar:24} {msg}") {
        bar.set_style(if terminal::is_unicode() { style } else { style.progress_chars("#>.") });
    }
    bar.set_prefix(fit(name).into_owned());
    bar
}

fn due(state: &mut State, every: Duration) -> bool {
    let due = state.last.is_none_or(|last| last.elapsed() >= every);
    if due {
        state.last = Some(Instant::now());
    }
    due
}

fn frames_per_second(phase: Phase, done: u64, total: Option<u64>, started: Instant) -> f64 {
    let seconds = started.elapsed().as_secs_f64().max(1e-3);
    (phase.frames_done(done, total) / seconds * 10.0).round() / 10.0
}

fn eta(phase: Phase, done: u64, total: Option<u64>, started: Instant) -> Option<String> {
    let elapsed = started.elapsed().as_secs_f64();
    let frames = phase.frames_done(done, total);
    let left = elapsed / frames * (total? as f64 - frames);
    // The first frames wait for the networks and are searched for people of every size.
    (frames >= 5.0 && elapsed > 1.0 && left.is_finite() && left >= 0.0).then(|| clock::span(left))
}
