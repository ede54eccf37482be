//! Looks at a file before it becomes a job: what is in it, and its checksum. In a process of its own, since a file may bring down whoever
//! looks at it: that costs this file, and not the service at each of its starts.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flume::RecvTimeoutError;
use serde::{Deserialize, Serialize};

use crate::checksum::{self, Sum};
use crate::config::Limits;
use crate::media;
use crate::pipeline::check_limits;
use crate::thread;

/// The one argument that the other process is started with.
pub const ARGUMENT: &str = "--inspect-a-file-for-the-service";
/// Longest time that it may take to see what is in a file; its checksum takes as long as it takes to read it.
const PATIENCE: Duration = Duration::from_secs(120);
/// How soon a stop is noticed.
const NAP: Duration = Duration::from_millis(100);

/// What is asked.
#[derive(Serialize, Deserialize)]
struct Question {
    /// Bytes of the file's path.
    path: Vec<u8>,
    limits: Limits,
}

/// What is answered: first what is in the file, and if it is a video, then its checksum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Answer {
    /// It is a video that may be processed.
    Video,
    /// Its SHA-256.
    Content(Sum),
    /// It is none, or is larger than the configuration allows.
    Refused(String),
    /// It cannot be read as it is: it is empty, or the disk fails.
    Unreadable(String),
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Inspection {
    /// A video that may be processed, and its SHA-256.
    Video(Sum),
    /// No video, or one that is not to be processed, and why.
    Refused(String),
    /// It could not be read as it is, and why.
    Unreadable(String),
    /// It brought down the process that looked at it, and how.
    Crashed(String),
    /// There was no time to look: everything ends.
    Stopped,
}

/// Has another process look at a file, until `is_stopped`.
///
/// # Errors
/// When no process can be started.
pub fn inspect(path: &Path, limits: &Limits, is_stopped: impl Fn() -> bool) -> io::Result<Inspection> {
    // Also where the program's file was replaced since it was started.
    let mut child = Command::new("/proc/self/exe")
        .arg(ARGUMENT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // Ctrl-C is for the service, which ends this itself.
        .process_group(0)
        .spawn()?;
    let found = ask(&mut child, path, limits, &is_stopped);
    // One that has ended already cannot be ended.
    let _ = child.kill();
    let status = child.wait()?;
    let crashed = |how: String| {
        Ok(Inspection::Crashed(format!(
            "looking at it brought a process of meshreel down ({how}); it is set aside. Please report it, with the video if you can share it"
        )))
    };
    match found {
        Ok(Some(found)) => Ok(found),
        Ok(None) if is_stopped() => Ok(Inspection::Stopped),
        Ok(None) => match (status.signal(), status.code()) {
            (Some(signal), _) if CRASHES.contains(&signal) => crashed(format!("signal {signal}")),
            // Ended from outside, for want of memory perhaps: that may pass.
            (Some(signal), _) => {
                Ok(Inspection::Unreadable(format!("the process that looked at it was ended (signal {signal})")))
            }
            (None, Some(PANICKED)) => crashed("it panicked".into()),
            (None, _) => Err(io::Error::other(format!("the process that looks at files failed ({status})"))),
        },
        Err(error) => Err(error),
    }
}

/// Exit code of a process that panicked.
const PANICKED: i32 = 101;
/// Signals of a process that made a mistake.
const CRASHES: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT];

/// Asks a process; `None` where it ends without an answer.
fn ask(
    child: &mut Child,
    path: &Path,
    limits: &Limits,
    is_stopped: &impl Fn() -> bool,
) -> io::Result<Option<Inspection>> {
    let (Some(mut to), Some(from)) = (child.stdin.take(), child.stdout.take()) else { return Ok(None) };
    let question = Question { path: path.as_os_str().as_encoded_bytes().to_vec(), limits: *limits };
    // One that has ended already says so by its exit.
    drop(serde_json::to_writer(&mut to, &question));
    drop(to);
    let (sender, answers) = flume::unbounded();
    let reading = thread::spawn("inspect", move || {
        for line in BufReader::new(from).lines() {
            let answer = line.and_then(|line| Ok(serde_json::from_str::<Answer>(&line)?));
            if sender.send(answer).is_err() {
                return;
            }
        }
    })?;
    let begun = Instant::now();
    let mut is_video = false;
    let found = loop {
        match answers.recv_timeout(NAP) {
            Ok(Ok(Answer::Video)) => is_video = true,
            Ok(Ok(Answer::Content(sum))) => break Ok(Some(Inspection::Video(sum))),
            Ok(Ok(Answer::Refused(why))) => break Ok(Some(Inspection::Refused(why))),
            Ok(Ok(Answer::Unreadable(why))) => break Ok(Some(Inspection::Unreadable(why))),
            Ok(Err(error)) => break Err(error),
            Err(RecvTimeoutError::Disconnected) => break Ok(None),
            Err(RecvTimeoutError::Timeout) if is_stopped() => break Ok(Some(Inspection::Stopped)),
            Err(RecvTimeoutError::Timeout) if !is_video && begun.elapsed() > PATIENCE => {
                // The disk may be slow just now: it is looked at again.
                let why = format!("what is in it could not be found out in {} s", PATIENCE.as_secs());
                break Ok(Some(Inspection::Unreadable(why)));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    };
    if !matches!(found, Ok(None)) {
        // It ends with the process, whose end of the pipe is closed by that.
        let _ = child.kill();
    }
    // It has nothing to tell but that its pipe was closed.
    drop(reading.join());
    found
}

/// The other process: reads what is asked, and answers.
///
/// # Errors
/// When nobody reads the answers.
pub fn serve(input: impl io::Read, mut output: impl Write) -> io::Result<()> {
    let Question { path, limits } = serde_json::from_reader(input)?;
    let path = PathBuf::from(OsString::from_vec(path));
    let mut answer = |answer: &Answer| {
        serde_json::to_writer(&mut output, answer)?;
        output.write_all(b"\n")?;
        output.flush()
    };
    let found = match media::probe(&path) {
        Ok(info) => match check_limits(&limits, &info) {
            Ok(()) => Answer::Video,
            Err(error) => Answer::Refused(error.to_string()),
        },
        // Demuxers also blame the system for what is in a file: it is to blame if nobody can read that.
        Err(error) if error.is_empty() || (!error.is_permanent() && checksum::of_file(&path).is_err()) => {
            Answer::Unreadable(error.to_string())
        }
        Err(error) => Answer::Refused(error.to_string()),
    };
    answer(&found)?;
    if found != Answer::Video {
        return Ok(());
    }
    answer(&match checksum::of_file(&path) {
        Ok(sum) => Answer::Content(sum),
        Err(error) => Answer::Unreadable(error.to_string()),
    })
}
