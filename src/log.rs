//! Where the log goes: to standard error, and from a service to a file a day in the state folder.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use tracing_appender::rolling::{InitError, RollingFileAppender, Rotation};
use tracing_subscriber::fmt::{self, MakeWriter, format, time::FormatTime};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::clock;
use crate::clock::{Millis, now};
use crate::config::{Config, LogFormat};
use crate::terminal;
use crate::thread::locked;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the log in {}: {source}", folder.display())]
pub struct LogError {
    /// The folder.
    folder: PathBuf,
    /// Why.
    source: InitError,
}

/// Where the log speaks of jobs: with bars or lines of progress on the terminal, it is silent there.
pub const JOBS: &str = "meshreel::jobs";

/// Who writes a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// A command that ends soon: warnings on the terminal.
    Command,
    /// The service: files, too.
    Service,
    /// The service where nothing but the log is shown.
    HeadlessService,
}

/// Starts it.
///
/// # Errors
/// When the files cannot be written.
pub fn start(config: &Config, writer: Writer, is_verbose: bool) -> Result<(), LogError> {
    let is_service = writer != Writer::Command;
    let level = match is_service {
        _ if is_verbose => "meshreel=debug,warn",
        true => "meshreel=info,warn",
        false => "warn",
    };
    let is_headless = writer == Writer::HeadlessService;
    let terminal = if is_headless { level.to_owned() } else { format!("{level},{JOBS}=off") };
    let filter = |level: &str| EnvFilter::try_from_env("MESHREEL_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let mut layers: Layers = Vec::new();
    if is_service && config.log.days > 0 {
        let files = files(&config.state, config.log.days)?;
        layers.push(timed(config.log.format, files, false).with_filter(filter(level)).boxed());
    }
    layers.push(match is_headless {
        true => timed(config.log.format, terminal::stderr, is_colored()).with_filter(filter(&terminal)).boxed(),
        false => {
            let plain =
                fmt::layer().with_writer(terminal::stderr).with_ansi(is_colored()).without_time().with_target(false);
            plain.with_filter(filter(&terminal)).boxed()
        }
    });
    if is_service {
        layers.push(Ring.with_filter(filter(level)).boxed());
    }
    tracing_subscriber::registry().with(layers).init();
    Ok(())
}

type Layers = Vec<Box<dyn Layer<Registry> + Send + Sync>>;

fn is_colored() -> bool {
    io::stderr().is_terminal() && terminal::why_plain().is_none() && std::env::var_os("NO_COLOR").is_none()
}

/// A file a day, the oldest of more than `days` removed.
fn files(state: &Path, days: u16) -> Result<RollingFileAppender, LogError> {
    let folder = state.join("log");
    // The appender would complain on standard error. If this fails, so does what follows, with the reason.
    drop(std::fs::create_dir_all(&folder));
    RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("meshreel")
        .filename_suffix("log")
        .max_log_files(days.into())
        .build(&folder)
        .map_err(|source| LogError { folder, source })
}

/// Lines with their time.
fn timed<W>(format: LogFormat, writer: W, is_colored: bool) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer).with_ansi(is_colored).with_target(false);
    match format {
        LogFormat::Text => layer.with_timer(LocalTime).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    }
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Counts the lines of a run from 1.
    pub number: u64,
    /// When.
    pub time: Millis,
    /// How bad: 1 is an error, 2 a warning, 3 information, 4 and 5 are for who looks for a fault.
    pub level: u8,
    /// Which job it is about, if it says so.
    pub job: Option<i64>,
    /// What.
    pub text: String,
}

/// Lines kept for those who look.
const KEPT: usize = 1000;
static RECENT: Mutex<(u64, VecDeque<Line>)> = Mutex::new((0, VecDeque::new()));

/// The last lines after the one of this number.
pub fn recent(after: u64) -> Vec<Line> {
    let recent = locked(&RECENT);
    recent.1.iter().filter(|line| line.number > after).cloned().collect()
}

/// Keeps the last lines in memory.
struct Ring;

impl<S: tracing::Subscriber> Layer<S> for Ring {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => 1,
            tracing::Level::WARN => 2,
            tracing::Level::INFO => 3,
            tracing::Level::DEBUG => 4,
            tracing::Level::TRACE => 5,
        };
        let mut recent = locked(&RECENT);
        let (count, lines) = &mut *recent;
        *count += 1;
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(Line { number: *count, time: now(), level, job: said.job, text: said.text });
    }
}

/// The message of an event, and its job.
#[derive(Default)]
struct Said {
    text: String,
    job: Option<i64>,
}

impl tracing::field::Visit for Said {
    fn record_i64(&mut self, field: &tracing::field::Field, value: i64) {
        if field.name() == "job" {
            self.job = Some(value);
        }
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.text = format!("{value:?}");
        }
    }
}

/// The time of the place where the machine is.
struct LocalTime;

impl FormatTime for LocalTime {
    fn format_time(&self, writer: &mut format::Writer<'_>) -> std::fmt::Result {
        write!(writer, "{}", clock::local(now()))
    }
}
