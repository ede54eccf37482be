//! Programs of the user's that are told what became of a video.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::locked;
use crate::config::Hooks;
use crate::thread;

/// How often it is looked whether a hook has ended.
const NAP: Duration = Duration::from_millis(20);
/// What a hook has left when the service ends.
const LAST: Duration = Duration::from_secs(2);

/// The hooks that are at work.
#[derive(Default)]
pub struct Running {
    threads: Mutex<Vec<JoinHandle<()>>>,
    is_over: Arc<AtomicBool>,
}

impl Running {
    /// Runs the hook for a job that is done or else failed, if there is one, and does not wait for it.
    pub fn start(&self, hooks: &Hooks, is_done: bool, job: &serde_json::Value) {
        let command = if is_done { &hooks.done } else { &hooks.failed };
        let Some((program, arguments)) = command.split_first() else { return };
        let (program, arguments) = (program.clone(), arguments.to_vec());
        let timeout = Duration::from_secs_f64(hooks.timeout);
        let text = format!("{job}\n");
        let is_over = self.is_over.clone();
        let started = thread::spawn("hook", move || match run(&program, &arguments, text, timeout, &is_over) {
            Ok(None) => {}
            Ok(Some(trouble)) => tracing::warn!("the hook {program} {trouble}"),
            Err(error) => tracing::warn!("the hook {program} cannot be run: {error}"),
        });
        let mut running = locked(&self.threads);
        running.retain(|thread| !thread.is_finished());
        match started {
            Ok(thread) => running.push(thread),
            Err(error) => tracing::warn!("the hook was not run: {error}"),
        }
    }

    /// Waits for all of them; each has its time limit, a short one when the service was stopped.
    pub fn finish(&self, is_stopped: bool) {
        self.is_over.store(is_stopped, Ordering::SeqCst);
        let running: Vec<_> = locked(&self.threads).drain(..).collect();
        // Its panic is in the log.
        running.into_iter().for_each(|thread| drop(thread.join()));
    }
}

/// Runs a program to its end. Gives what went wrong, if anything did.
fn run(
    program: &str,
    arguments: &[String],
    input: String,
    timeout: Duration,
    is_over: &AtomicBool,
) -> std::io::Result<Option<String>> {
    // A process group of its own, so that what it started ends with it.
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let begun = Instant::now();
    if let Some(mut stdin) = child.stdin.take() {
        // Beside: what is longer than a pipe holds waits for a reader. One that does not read it need not.
        thread::spawn("hook-input", move || drop(stdin.write_all(input.as_bytes())))?;
    }
    let mut over: Option<Instant> = None;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((!status.success()).then(|| format!("failed ({status})")));
        }
        if is_over.load(Ordering::SeqCst) {
            over.get_or_insert_with(Instant::now);
        }
        if begun.elapsed() > timeout || over.is_some_and(|over| over.elapsed() > LAST) {
            end(&mut child);
            return Ok(Some(format!("did not end in {:.0} s, and was ended", begun.elapsed().as_secs_f64())));
        }
        std::thread::sleep(NAP);
    }
}

fn end(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        // One that is gone already cannot be ended.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    drop(child.wait());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, timeout: u64) -> Option<String> {
        let arguments = ["-c".to_owned(), script.to_owned()];
        run("/bin/sh", &arguments, "x".repeat(1 << 20), Duration::from_secs(timeout), &AtomicBool::new(false)).unwrap()
    }

    #[test]
    fn hooks_that_fail_or_hang_are_told_and_ended() {
        assert_eq!(shell("cat > /dev/null", 60), None);
        assert_eq!(shell("true", 60), None, "one that reads nothing");
        assert!(shell("exit 3", 60).unwrap().contains("exit status: 3"));
        assert!(shell("sleep 1000 & sleep 1000", 0).unwrap().contains("was ended"));
        assert!(run("/no/such/program", &[], String::new(), Duration::ZERO, &AtomicBool::new(false)).is_err());
    }
}
