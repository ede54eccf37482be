//! What is said of each video at work: a bar on a terminal, lines otherwise, JSON for programs.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle as BarStyle};

use crate::cli::ProgressStyle;
use crate::clock;
use crate::pipeline::{Event, Phase};
use crate::terminal::{self, fit, tell};

/// At most this often, a line or a JSON object about a file at work.
const EVERY: Duration = Duration::from_secs(2);
const EVERY_JSON: Duration = Duration::from_millis(200);

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
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
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
                let before = if *phase == Phase::Draw { total.unwrap_or(0) } else { 0 };
                bar.set_position(before + done);
                let fps = frames_per_second(*phase, *done, *total, state.started);
                let eta = eta(*phase, *done, *total, state.started).map_or(String::new(), |s| format!(", {s} left"));
                bar.set_message(format!(
                    "{} {done}/{} frames, {fps:.1} fps, {}{eta}",
                    phase.verb(),
                    total.map_or("?".into(), |t| t.to_string()),
                    self::people(*people)
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
                    self::people(*people),
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
            Event::Progress { .. } | Event::Done(_) => {}
        }
    }

    fn done(&self, report: &crate::export::Report) -> String {
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

/// So many people, in words.
pub fn people(count: usize) -> String {
    match count {
        0 => "nobody".into(),
        1 => "1 person".into(),
        n => format!("{n} people"),
    }
}

/// Names and messages come from files: control characters (escape sequences, line breaks) are shown, not obeyed.
pub fn printable(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if hidden(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\nc\u{202e}d\u{9b}e"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}e");
        assert_eq!(printable("été 人.mp4"), "été 人.mp4");
    }
}
