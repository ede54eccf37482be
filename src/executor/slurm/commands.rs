//! Slurm's own commands, and what they say.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::thread::locked;

/// A command that takes longer is ended; Slurm's own patience is mostly shorter.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether a command has ended.
const NAP: Duration = Duration::from_millis(10);
/// Commands about single tasks that run at a time, so that hundreds of jobs do not come to the controller all at once.
const AT_ONCE: usize = 4;
static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// A place among those commands, until it is dropped.
struct Turn;

impl Turn {
    fn wait() -> Self {
        let running = ENDED.wait_while(locked(&RUNNING), |running| *running >= AT_ONCE);
        *running.unwrap_or_else(PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *locked(&RUNNING) -= 1;
        ENDED.notify_one();
    }
}

/// Why a command did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The controller does not answer. It may have done what it was asked for.
    #[error("the controller does not answer: {0}")]
    Away(String),
    /// It says no, and may say yes later: a limit is reached.
    #[error("{0}")]
    Later(String),
    /// It says no.
    #[error("{0}")]
    Refused(String),
}

/// A task as Slurm lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its state: `PENDING`, `RUNNING`, ...
    pub state: String,
    /// Why it waits.
    pub reason: String,
    /// Where it is.
    pub nodes: String,
    /// Its name.
    pub name: String,
}

impl Listed {
    /// Whether it waits.
    pub fn is_waiting(&self) -> bool {
        self.state == "PENDING"
    }

    /// Whether Slurm could not begin it on the node that it had chosen, and holds it.
    pub fn is_stranded(&self) -> bool {
        self.is_waiting() && self.reason.starts_with("launch failed")
    }

    /// Whether it waits because we said so.
    pub fn is_held(&self) -> bool {
        self.is_waiting() && self.reason == "JobHeldUser"
    }
}

/// Submits a batch script, held: nothing is begun before its number is known here. Gives the number.
pub fn submit(script: &Path) -> Result<u64, Trouble> {
    let _turn = Turn::wait();
    let said = run(Command::new("sbatch").args(["--parsable", "--hold"]).arg(script))?;
    // `1234` or `1234;cluster`.
    let id = said.trim().split(';').next().and_then(|id| id.parse().ok());
    id.ok_or_else(|| Trouble::Refused(format!("sbatch says {:?}, which is no number", said.trim())))
}

/// Lets a held task begin.
pub fn release(id: u64) -> Result<(), Trouble> {
    let _turn = Turn::wait();
    run(Command::new("scontrol").args(["release", &id.to_string()])).map(drop)
}

/// Keeps a task that waits from beginning.
pub fn hold(id: u64) -> Result<(), Trouble> {
    let _turn = Turn::wait();
    run(Command::new("scontrol").args(["uhold", &id.to_string()])).map(drop)
}

/// Ends the task of this number and name, whatever it is at. A controller that has lost its state gives numbers again.
pub fn cancel(id: u64, name: &str) -> Result<(), Trouble> {
    let _turn = Turn::wait();
    run(Command::new("scancel").args(["--name", name, &id.to_string()])).map(drop)
}

/// Ends all of our tasks of this name.
pub fn cancel_all(name: &str) -> Result<(), Trouble> {
    let _turn = Turn::wait();
    run(Command::new("scancel").args(["--me", "--name", name])).map(drop)
}

/// What Slurm says of a task that it may list no more; `None`: nothing any more.
pub fn ended(id: u64, name: &str) -> Result<Option<String>, Trouble> {
    let _turn = Turn::wait();
    match run(Command::new("scontrol").args(["show", "job", "--oneliner", &id.to_string()])) {
        Ok(said) => Ok(Some(said).filter(|said| field(said, "JobName") == Some(name))),
        Err(Trouble::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A field of what [`ended`] gives.
pub fn field<'a>(said: &'a str, name: &str) -> Option<&'a str> {
    said.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// State of a task that has ended, and all of it in words.
pub fn state_of(said: &str) -> (String, String) {
    let field = |name: &str| field(said, name).filter(|text| !["None", "(null)", "0:0"].contains(text));
    let state = field("JobState").unwrap_or("unknown").to_owned();
    let mut what = state.clone();
    if let Some(reason) = field("Reason") {
        what += &format!(", {reason}");
    }
    if let Some((code, signal)) = field("ExitCode").and_then(|text| text.split_once(':')) {
        what += &if signal == "0" { format!(", exit code {code}") } else { format!(", signal {signal}") };
    }
    if let Some(node) = field("NodeList") {
        what += &format!(", node {node}");
    }
    (state, what)
}

/// Partitions that there are, with the number of their nodes.
pub fn partitions() -> Result<BTreeMap<String, String>, Trouble> {
    let said = run(Command::new("sinfo").args(["-h", "-o", "%R|%D"]))?;
    Ok(said.lines().filter_map(|line| line.split_once('|')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect())
}

/// Version of a command.
pub fn version(program: &str) -> Result<String, Trouble> {
    Ok(run(Command::new(program).arg("--version"))?.trim().to_owned())
}

/// Our tasks that wait or run.
pub fn list() -> Result<BTreeMap<u64, Listed>, Trouble> {
    let said = run(Command::new("squeue").args(["-h", "--me", "-o", "%A|%T|%r|%N|%j"]))?;
    Ok(said.lines().filter_map(listed).collect())
}

fn listed(line: &str) -> Option<(u64, Listed)> {
    let mut words = line.splitn(5, '|').map(str::to_owned);
    let id = words.next()?.parse().ok()?;
    let mut next = || words.next();
    Some((id, Listed { state: next()?, reason: next()?, nodes: next()?, name: next()? }))
}

fn run(command: &mut Command) -> Result<String, Trouble> {
    let name = command.get_program().to_string_lossy().into_owned();
    // What a task has inherited from the one that it runs in, or a user's defaults for other work, is not meant for ours.
    for (variable, _) in std::env::vars_os() {
        let text = variable.to_string_lossy();
        let is_meant = text == "SLURM_CONF" || text == "SLURM_CLUSTERS";
        if !is_meant && ["SBATCH_", "SCANCEL_", "SLURM_", "SQUEUE_"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&variable);
        }
    }
    command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let failed = |error: std::io::Error| Trouble::Refused(format!("{name} cannot be run: {error}"));
    let mut child = command.spawn().map_err(failed)?;
    let read = |stream: Option<Box<dyn Read + Send>>| {
        std::thread::Builder::new().name("command".into()).spawn(move || {
            let mut text = Vec::new();
            stream.map(|mut stream| stream.read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let output = read(child.stdout.take().map(|stream| Box::new(stream) as _)).map_err(failed)?;
    let errors = read(child.stderr.take().map(|stream| Box::new(stream) as _)).map_err(failed)?;
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break status,
            None if begun.elapsed() > PATIENCE => {
                drop(child.kill());
                drop(child.wait());
                return Err(Trouble::Away(format!("{name} did not end in {} s", PATIENCE.as_secs())));
            }
            None => std::thread::sleep(NAP),
        }
    };
    let (output, errors) = (output.join().unwrap_or_default(), errors.join().unwrap_or_default());
    match status.success() {
        true => Ok(output),
        false => Err(trouble(&name, &errors)),
    }
}

/// What the errors of a command mean.
fn trouble(name: &str, errors: &str) -> Trouble {
    let line = errors.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    let text = if line.is_empty() { format!("{name} failed") } else { line };
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&[
        "contact slurm controller",
        "Unable to contact",
        "Socket timed out",
        "Connection refused",
        "Zero Bytes",
        "ommunication connection failure",
        "Transport endpoint",
        "in standby mode",
        "temporarily",
        "munge",
        "Munge",
    ]) {
        return Trouble::Away(text);
    }
    if has(&["job submit limit", "SubmitJob", "MaxJobCount"]) {
        return Trouble::Later(text);
    }
    Trouble::Refused(text)
}

/// The list of our tasks, asked for once for all jobs.
pub struct Tasks {
    every: Duration,
    latest: Mutex<Latest>,
    /// Held by who asks; nobody waits for them.
    asking: Mutex<()>,
}

#[derive(Default)]
struct Latest {
    /// When it was last asked, be there an answer or not.
    asked: Option<Instant>,
    /// The last answer, and when it was asked for.
    list: Option<(Instant, Arc<BTreeMap<u64, Listed>>)>,
    is_away: bool,
}

impl Tasks {
    /// Asks no more often than this.
    pub fn new(every: Duration) -> Self {
        Self { every, latest: Mutex::default(), asking: Mutex::default() }
    }

    /// The list as it was at some moment after `since`; `None`: not known yet.
    pub fn after(&self, since: Instant) -> Option<Arc<BTreeMap<u64, Listed>>> {
        let known =
            |latest: &Latest| latest.list.as_ref().filter(|(when, _)| *when > since).map(|(_, list)| list.clone());
        let is_due = |latest: &Latest| latest.asked.is_none_or(|asked| asked.elapsed() >= self.every);
        {
            let latest = self.lock();
            if !is_due(&latest) {
                return known(&latest);
            }
        }
        if let Ok(_asking) = self.asking.try_lock()
            && is_due(&self.lock())
        {
            self.ask();
        }
        known(&self.lock())
    }

    /// Whether the controller answered when it was last asked.
    pub fn is_answered(&self) -> bool {
        drop(self.after(Instant::now()));
        let latest = self.lock();
        latest.list.is_some() && !latest.is_away
    }

    fn ask(&self) {
        let when = Instant::now();
        let answer = list();
        let mut latest = self.lock();
        latest.asked = Some(when);
        match answer {
            Ok(list) => {
                latest.list = Some((when, Arc::new(list)));
                if std::mem::take(&mut latest.is_away) {
                    tracing::info!("the cluster's controller answers again");
                }
            }
            // Once, however long it takes.
            Err(error) => {
                if !std::mem::replace(&mut latest.is_away, true) {
                    tracing::warn!(
                        "squeue: {error}; what runs on the cluster goes on, and nothing is lost; it is asked again"
                    );
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Latest> {
        locked(&self.latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_slurm_says_is_understood() {
        let (id, task) = listed("12|PENDING|JobHeldUser||meshreel-3-ab").unwrap();
        assert!(id == 12 && task.is_held() && task.name == "meshreel-3-ab");
        let (_, task) = listed("13|RUNNING|None|n[1-2]|a|b").unwrap();
        assert!(!task.is_waiting() && task.nodes == "n[1-2]" && task.name == "a|b");
        assert_eq!(listed("squeue: error"), None);
        let (_, task) = listed("14|PENDING|launch failed requeued held||a").unwrap();
        assert!(task.is_stranded() && !task.is_held());
        let said =
            "JobId=5 JobName=x JobState=OUT_OF_MEMORY Reason=OutOfMemory Dependency=(null) ExitCode=0:125 NodeList=n1";
        assert_eq!(field(said, "JobState"), Some("OUT_OF_MEMORY"));
        assert_eq!((field(said, "ExitCode"), field(said, "Node")), (Some("0:125"), None));
    }

    #[test]
    fn the_end_of_a_task_is_told_in_words() {
        let said = "JobId=5 JobState=OUT_OF_MEMORY Reason=OutOfMemory ExitCode=0:125 NodeList=n1";
        assert_eq!(state_of(said).1, "OUT_OF_MEMORY, OutOfMemory, signal 125, node n1");
        let said = "JobId=5 JobState=FAILED Reason=NonZeroExitCode ExitCode=127:0 NodeList=(null)";
        assert_eq!(state_of(said), ("FAILED".into(), "FAILED, NonZeroExitCode, exit code 127".into()));
    }

    #[test]
    fn a_controller_that_is_away_is_no_refusal() {
        let away = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)\n";
        assert!(matches!(trouble("sbatch", away), Trouble::Away(_)));
        let limit = "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates \
                     accounting/QOS policy (job submit limit, user's size and/or time limits)";
        assert!(matches!(trouble("sbatch", limit), Trouble::Later(_)));
        let wrong = trouble("sbatch", "sbatch: error: invalid partition specified: x\n");
        assert_eq!(wrong, Trouble::Refused("sbatch: error: invalid partition specified: x".into()));
        assert_eq!(trouble("sbatch", ""), Trouble::Refused("sbatch failed".into()));
    }
}
