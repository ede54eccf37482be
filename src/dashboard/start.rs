//! Starting the engine as a process of its own, that outlives the terminal.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::service::{ControlError, SnapshotRequest, is_held, snapshot};

/// How long an engine may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);
const NAP: Duration = Duration::from_millis(50);

/// Why no engine runs.
#[derive(Debug, thiserror::Error)]
pub enum StartEngineError {
    /// There is one that does not answer.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// It cannot be started.
    #[error("the engine cannot be started: {0}")]
    Start(#[from] std::io::Error),
    /// It ended at once.
    #[error("the engine ended at once: {said}")]
    Ended {
        /// Its last words.
        said: String,
        /// Whether it blamed the configuration.
        is_usage: bool,
    },
    /// It says nothing.
    #[error("the engine was started and does not answer; its log is in {}", log.display())]
    Silent {
        /// The folder.
        log: std::path::PathBuf,
    },
}

/// Starts the engine of a state folder, unless it runs. Says whether it was started.
///
/// # Errors
/// When it does not come to life, with its own words.
pub fn start_engine(config: &Config, file: Option<&Path>, is_verbose: bool) -> Result<bool, StartEngineError> {
    match snapshot(config, &SnapshotRequest::default()) {
        Ok(_) => return Ok(false),
        Err(ControlError::NotRunning { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    std::fs::create_dir_all(&config.state)?;
    let words = config.state.join("engine.err");
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["run", "--headless"]);
    if let Some(file) = file {
        command.arg("--config").arg(std::path::absolute(file)?);
    }
    if is_verbose {
        command.arg("-v");
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&words)?);
    // SAFETY: the call is allowed between fork and exec: it only asks the system.
    unsafe {
        // A session of its own: the terminal's end is not its end.
        command.pre_exec(|| rustix::process::setsid().map(drop).map_err(std::io::Error::from));
    }
    let mut child = command.spawn()?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        // One that was started at the same time may have come first; then that one is waited for.
        if let Some(status) = child.try_wait()?.filter(|_| !is_held(&config.state)) {
            let mut said = String::new();
            File::open(&words)?.take(10_000).read_to_string(&mut said)?;
            let said = said.lines().last().unwrap_or("it said nothing").trim_start_matches("meshreel: ").to_owned();
            return Err(StartEngineError::Ended { said, is_usage: status.code() == Some(2) });
        }
        if snapshot(config, &SnapshotRequest::default()).is_ok() {
            return Ok(true);
        }
        std::thread::sleep(NAP);
    }
    Err(StartEngineError::Silent { log: config.state.join("log") })
}
