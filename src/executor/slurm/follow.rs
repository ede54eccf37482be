//! One job on the cluster, followed from here: submitted, waited for, held, given up; found again when this program was away.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::commands::{self, Listed, Trouble};
use super::folder::{
    CONTROL, Folder, FolderError, HELPERS, HELPERS_SCRIPT, Outcome, RESULT, SCRIPT, SPEC, TASK, Task, Wish, Work,
};
use super::relay::Relay;
use super::{Slurm, script};
use crate::control::Control;
use crate::job::{Event, Failure, FailureKind, JobContext, JobSpec, Placement, Report};
use crate::telemetry::{Buffer, Depth};

/// How often it is looked whether the job is to go on, while it is at work and while it waits.
const NAP: Duration = Duration::from_millis(100);
const LONG_NAP: Duration = Duration::from_millis(500);
/// How often a job's files are read, while it is at work and while it waits.
const AT_WORK: Duration = Duration::from_secs(1);
const WAITING: Duration = Duration::from_secs(2);
/// A worker that was told to end and is still there after this is ended by Slurm.
const PATIENCE: Duration = Duration::from_secs(60);
/// Tasks in a row that may end without a result and without a single frame more, when nobody is to blame for their end.
const ROUNDS: u32 = 3;
/// Ends of a task that are no fault of its own. (One that came to its end without a result was told to leave, or came too late.)
const INNOCENT: [&str; 6] = ["TIMEOUT", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REVOKED", "COMPLETED"];
/// Reasons to wait that are usual.
const USUAL: [&str; 7] = ["None", "Resources", "Priority", "BeginTime", "Cleaning", "Prolog", "JobHeldUser"];

/// A job that is followed.
pub struct Following<'a> {
    slurm: &'a Slurm,
    context: &'a JobContext<'a>,
    folder: Folder,
    name: String,
    relay: Relay,
    task: Option<Followed>,
    /// There may be a task that is not written down: it is looked for by its name.
    may_be_there: bool,
    /// No list that is older than this says whether it is.
    since: Instant,
    /// When the worker was told to end.
    told_to_end: Option<Instant>,
    rounds: u32,
    frames: f64,
    /// How often Slurm could not begin it.
    stranded: u32,
    /// Its task waits for a node, as the last list says.
    is_waiting: bool,
    /// What was said of waiting, so that it is said once.
    waits_for: String,
    /// What was said of where it is.
    placement: Option<Placement>,
}

/// Its task.
#[derive(Clone, Copy)]
struct Followed {
    id: u64,
    /// Since when Slurm must know of it.
    since: Instant,
    /// When it was first seen that Slurm lists it no more.
    gone: Option<Instant>,
}

fn stopped() -> Failure {
    Failure { reason: "stopped".into(), kind: FailureKind::Stopped }
}

fn passing(reason: String) -> Failure {
    Failure { reason, kind: FailureKind::Passing }
}

impl<'a> Following<'a> {
    /// Begins to follow a job: takes up what is there of it, or begins anew.
    pub fn begin(slurm: &'a Slurm, spec: &JobSpec, context: &'a JobContext<'a>) -> Result<Self, Failure> {
        let job = context.timings.job();
        let folder = slurm.folder(job);
        let earlier = folder.read::<Work>(SPEC)?;
        let earlier = match earlier {
            // The same number of another queue, or of another version.
            Some(work) if work.spec != *spec => {
                Slurm::end_helpers(&folder, &work.name);
                if let Some(Task { id }) = folder.read(TASK)? {
                    // A task whose folder is gone ends by itself.
                    drop(commands::cancel(id, &work.name));
                }
                Slurm::remove(&folder);
                None
            }
            other => other,
        };
        folder.make()?;
        let may_be_there = earlier.is_some();
        let name = earlier.map_or_else(|| format!("meshreel-{job}-{}", super::random()), |work| work.name);
        folder.write(SPEC, &slurm.work_for(job, &name, spec))?;
        let now = Instant::now();
        let task = folder.read::<Task>(TASK)?.map(|Task { id }| Followed { id, since: now, gone: None });
        let is_told_to_end = folder.read(CONTROL)? == Some(Wish::Stop);
        if let Some(task) = task {
            (context.events)(Event::Note(format!("found again as Slurm task {}", task.id)));
        }
        Ok(Self {
            slurm,
            context,
            relay: Relay::open(&folder)?,
            folder,
            name,
            task,
            may_be_there,
            since: now,
            told_to_end: is_told_to_end.then_some(now),
            rounds: 0,
            stranded: 0,
            frames: 0.0,
            is_waiting: false,
            waits_for: String::new(),
            placement: None,
        })
    }

    /// Follows it until it has a result, or is to be left alone.
    pub fn follow(mut self) -> Result<Report, Failure> {
        loop {
            let control = (self.context.control)();
            match control {
                Control::Leave => return Err(stopped()),
                Control::Stop => {
                    self.give_up();
                    return Err(stopped());
                }
                Control::Go | Control::Hold => {}
            }
            self.listen();
            if let Some(outcome) = self.folder.read::<Outcome>(RESULT)? {
                self.listen();
                // The last list of tasks may be older than its work.
                self.is_waiting = false;
                self.tell_place();
                return self.conclude(outcome);
            }
            if control == Control::Go {
                self.ask_for_help();
            }
            match (control, self.task) {
                (Control::Hold, None) if !self.may_be_there => {}
                (Control::Hold, _) => self.give_back()?,
                (_, None) => self.submit()?,
                (_, Some(task)) => self.watch(task)?,
            }
            self.tell_place();
            self.nap(control);
        }
    }

    /// Waits until it is time to look again, or the job is to do something else.
    fn nap(&self, control: Control) {
        let begun = Instant::now();
        let (length, nap) = if self.is_waiting { (WAITING, LONG_NAP) } else { (AT_WORK, NAP) };
        while begun.elapsed() < length && (self.context.control)() == control {
            std::thread::sleep(nap);
        }
    }

    fn note(&self, text: String) {
        (self.context.events)(Event::Note(text));
    }

    /// Tells where it is, if that is news.
    fn tell_place(&mut self) {
        let worker = &self.relay.latest;
        let placement = self.task.map(|Followed { id, .. }| {
            let is_at_work = !self.is_waiting && worker.task == Some(id) && worker.left.is_none();
            Placement {
                task: id,
                node: is_at_work.then(|| worker.node.clone()),
                gpus: if is_at_work { worker.gpus.clone() } else { String::new() },
                waits: self.waits_for.clone(),
            }
        });
        if placement != self.placement {
            self.placement.clone_from(&placement);
            (self.context.events)(Event::Placed(placement));
        }
    }

    fn listen(&mut self) {
        let job = self.context.timings.job();
        let depths = |depths: [Depth; Buffer::ALL.len()]| self.slurm.fill(job, Some(depths));
        self.relay.pass_on(self.context, &depths);
    }

    /// The job has a result.
    fn conclude(&self, outcome: Outcome) -> Result<Report, Failure> {
        match outcome {
            // The folder stays until the queue knows: see `Slurm::tidy`.
            Outcome::Done(report) => Ok(*report),
            Outcome::Failed(failure) => {
                Slurm::end_helpers(&self.folder, &self.name);
                self.folder.forget(TASK)?;
                self.folder.forget(RESULT)?;
                Err(failure)
            }
        }
    }

    /// The task of this job's name, where it is not known whether there is one: `Err(())` while the controller has not said.
    fn find(&mut self) -> Result<Option<Followed>, ()> {
        let list = self.slurm.tasks.after(self.since).ok_or(())?;
        let found = list.iter().find(|(_, task)| task.name == self.name).map(|(id, _)| *id);
        self.may_be_there = false;
        Ok(found.map(|id| Followed { id, since: Instant::now(), gone: None }))
    }

    fn take_up(&mut self, task: Followed) -> Result<(), FolderError> {
        self.folder.write(TASK, &Task { id: task.id })?;
        self.task = Some(task);
        Ok(())
    }

    /// Has Slurm begin it.
    fn submit(&mut self) -> Result<(), Failure> {
        if self.may_be_there {
            match self.find() {
                Ok(None) => {}
                Ok(Some(task)) => return Ok(self.take_up(task)?),
                Err(()) => return Ok(()),
            }
        }
        if !self.slurm.tasks.is_answered() {
            return Ok(());
        }
        self.folder.write(CONTROL, &Wish::Go)?;
        self.told_to_end = None;
        self.frames = self.relay.latest.frames;
        let command = script::work(&self.slurm.program, &self.folder);
        let text = script::script(&self.slurm.settings, &command, &self.folder, &self.name, self.context.priority);
        self.folder.write_text(SCRIPT, text.as_bytes())?;
        let asked = Instant::now();
        match commands::submit(&self.folder.file(SCRIPT)) {
            Ok(id) => {
                self.take_up(Followed { id, since: Instant::now(), gone: None })?;
                self.note(format!("submitted as Slurm task {id}"));
                (self.is_waiting, self.waits_for) = (false, String::new());
                // The queue knows its number before it can begin.
                self.tell_place();
                // One that stays held is released when it is seen in the list.
                drop(commands::release(id));
                Ok(())
            }
            Err(Trouble::Refused(why)) => {
                Slurm::end_helpers(&self.folder, &self.name);
                Err(passing(format!("Slurm does not take it: {why}")))
            }
            Err(trouble) => {
                // It may have been taken all the same.
                (self.may_be_there, self.since) = (true, asked);
                self.waits(&trouble.to_string());
                Ok(())
            }
        }
    }

    /// Submits helpers, where the clip has stretches for them.
    fn ask_for_help(&self) {
        let worker = &self.relay.latest;
        let is_at_work = !self.is_waiting && self.task.is_some_and(|task| worker.task == Some(task.id));
        let count = self.slurm.settings.per_job.min(worker.stretches).saturating_sub(1);
        if count == 0 || !is_at_work || worker.left.is_some() || self.folder.file(HELPERS).exists() {
            return;
        }
        // Before they are submitted: what is submitted twice would be too much, and without any the job is done, too.
        if let Err(error) = self.folder.write(HELPERS, &count) {
            tracing::debug!("job {}: nobody is asked for help: {error}", self.context.timings.job());
            return;
        }
        match self.submit_helpers(count) {
            Ok(()) => self.note(format!("{count} further Slurm tasks may help")),
            Err(why) => self.note(format!("no other tasks help: {why}")),
        }
    }

    fn submit_helpers(&self, count: usize) -> Result<(), String> {
        let (command, name) = (script::help(&self.slurm.program, &self.folder), script::of_helpers(&self.name));
        let (settings, priority) = (&self.slurm.settings, self.context.priority);
        let text = script::helpers(settings, &command, &self.folder, &name, priority, count);
        self.folder.write_text(HELPERS_SCRIPT, text.as_bytes()).map_err(|error| error.to_string())?;
        let submitted = commands::submit(&self.folder.file(HELPERS_SCRIPT)).and_then(commands::release);
        submitted.map_err(|why| why.to_string())
    }

    /// Says once what it waits for.
    fn waits(&mut self, why: &str) {
        if self.waits_for != why {
            why.clone_into(&mut self.waits_for);
            if !USUAL.contains(&why) {
                self.note(format!("waits for the cluster: {why}"));
            }
        }
    }

    /// Its task in a list. One of another name has got its number since the controller lost its state.
    fn listed<'l>(&self, list: &'l BTreeMap<u64, Listed>, task: Followed) -> Option<&'l Listed> {
        list.get(&task.id).filter(|listed| listed.name == self.name)
    }

    /// Something was done with its task: only a later list tells what has come of it.
    fn acted(&mut self, task: Followed) {
        self.task = Some(Followed { since: Instant::now(), gone: None, ..task });
        self.is_waiting = false;
    }

    /// Sees what has become of its task.
    fn watch(&mut self, task: Followed) -> Result<(), Failure> {
        let Some(list) = self.slurm.tasks.after(task.gone.unwrap_or(task.since)) else { return Ok(()) };
        let listed = self.listed(&list, task);
        self.is_waiting = listed.is_some_and(Listed::is_waiting);
        if self.is_waiting {
            // It was given up by its node. Its helpers may have the only nodes that it could get, and would wait for it there.
            Slurm::end_helpers(&self.folder, &self.name);
        }
        match listed {
            Some(listed) if listed.is_stranded() && self.stranded < ROUNDS => {
                self.stranded += 1;
                self.note(format!("Slurm could not begin task {} on a node, and held it; it is released", task.id));
                drop(commands::release(task.id));
                self.acted(task);
            }
            Some(listed) if listed.is_held() => {
                // Submitted, or found, or held for a pause that is over.
                if self.told_to_end.take().is_some() {
                    self.folder.write(CONTROL, &Wish::Go)?;
                }
                drop(commands::release(task.id));
                self.acted(task);
                self.waits("JobHeldUser");
            }
            Some(listed) if listed.is_waiting() => {
                if self.told_to_end.take().is_some() {
                    self.folder.write(CONTROL, &Wish::Go)?;
                }
                self.waits(&listed.reason);
            }
            Some(_) => self.waits_for.clear(),
            None if task.gone.is_none() => {
                // What it wrote last may become visible a little later.
                self.task = Some(Followed { gone: Some(Instant::now()), ..task });
            }
            None => return self.ended(task.id),
        }
        Ok(())
    }

    /// Its task is gone, and there is no result.
    fn ended(&mut self, id: u64) -> Result<(), Failure> {
        Slurm::end_helpers(&self.folder, &self.name);
        if self.told_to_end.is_none() {
            let (state, what) = match commands::ended(id, &self.name) {
                Ok(Some(said)) => commands::state_of(&said),
                Ok(None) => ("REVOKED".to_owned(), "Slurm has forgotten it".to_owned()),
                // The controller went away in this moment.
                Err(_) => return Ok(()),
            };
            let is_further = self.relay.latest.frames > self.frames;
            self.rounds = if is_further { 0 } else { self.rounds + 1 };
            let is_innocent = INNOCENT.contains(&&*state) || self.relay.latest.left.is_some();
            if state == "CANCELLED" {
                self.folder.forget(TASK)?;
                let reason = format!("its Slurm task {id} was cancelled there; `meshreel retry` goes on with it");
                return Err(Failure { reason, kind: FailureKind::Permanent });
            }
            if !is_innocent || self.rounds >= ROUNDS {
                self.folder.forget(TASK)?;
                let why = why(&what, self.folder.last_output());
                return Err(passing(format!("its Slurm task {id} ended without a result: {why}")));
            }
            self.note(format!("Slurm task {id} ended ({what}); the job goes on in another"));
        }
        self.folder.forget(TASK)?;
        (self.task, self.is_waiting) = (None, false);
        self.slurm.fill(self.context.timings.job(), None);
        Ok(())
    }

    /// The job waits: its node is for others.
    fn give_back(&mut self) -> Result<(), Failure> {
        let since = match self.told_to_end {
            Some(since) => since,
            None => {
                self.folder.write(CONTROL, &Wish::Stop)?;
                Slurm::end_helpers(&self.folder, &self.name);
                *self.told_to_end.insert(Instant::now())
            }
        };
        let Some(task) = self.task else {
            if let Ok(Some(task)) = self.find() {
                self.take_up(task)?;
            }
            return Ok(());
        };
        let Some(list) = self.slurm.tasks.after(task.gone.unwrap_or(task.since)) else { return Ok(()) };
        let listed = self.listed(&list, task);
        self.is_waiting = listed.is_some_and(Listed::is_waiting);
        match listed {
            Some(listed) if listed.is_held() => {}
            // One that has begun meanwhile sees that it is to end.
            Some(listed) if listed.is_waiting() => {
                drop(commands::hold(task.id));
                self.acted(task);
            }
            Some(_) if since.elapsed() > PATIENCE => {
                drop(commands::cancel(task.id, &self.name));
                self.acted(task);
            }
            Some(_) => {}
            None if task.gone.is_none() => self.task = Some(Followed { gone: Some(Instant::now()), ..task }),
            None => return self.ended(task.id),
        }
        Ok(())
    }

    /// Nobody wants its results any more: ends its task, and leaves nothing. What cannot be done now, [`Slurm::tidy`] does.
    fn give_up(&mut self) {
        drop(self.folder.write(CONTROL, &Wish::Stop));
        let is_without_help = Slurm::end_helpers(&self.folder, &self.name);
        let begun = Instant::now();
        let mut cancelled = None;
        while begun.elapsed() < PATIENCE && (self.context.control)() == Control::Stop {
            if self.task.is_none() {
                match self.may_be_there.then(|| self.find()) {
                    None | Some(Ok(None)) => break,
                    Some(Ok(found)) => self.task = found,
                    Some(Err(())) => {}
                }
            }
            match (self.task, cancelled) {
                (Some(task), None) => cancelled = commands::cancel(task.id, &self.name).is_ok().then(Instant::now),
                // The worker removes what it has begun before it ends.
                (Some(task), Some(since)) => {
                    if self.slurm.tasks.after(since).is_some_and(|list| self.listed(&list, task).is_none()) {
                        break;
                    }
                }
                (None, _) => {}
            }
            std::thread::sleep(NAP);
        }
        if is_without_help && (self.task.is_none() || cancelled.is_some()) {
            Slurm::remove(&self.folder);
        }
    }
}

/// Why a task ended, by what Slurm says and the last line of the task's output, and what to do where that is known.
fn why(what: &str, said: Option<String>) -> String {
    let lacks_memory = |text: &str| ["OUT_OF_MEMORY", "memory limit"].iter().any(|word| text.contains(word));
    let fix = match lacks_memory(what) || said.as_deref().is_some_and(lacks_memory) {
        true => "; give tasks more memory (slurm.memory)",
        false => "",
    };
    let said = said.map_or(String::new(), |line| format!("; it said last: {line}"));
    format!("{what}{said}{fix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_about_a_tasks_end_is_said_where_it_is_known() {
        let said = why("OUT_OF_MEMORY, OutOfMemory, node n1", None);
        assert_eq!(said, "OUT_OF_MEMORY, OutOfMemory, node n1; give tasks more memory (slurm.memory)");
        let said = why("FAILED, signal 9", Some("slurmstepd-n1: error: Exceeded job memory limit".into()));
        assert!(said.contains("; it said last: slurmstepd-n1") && said.ends_with("(slurm.memory)"), "{said}");
        assert_eq!(why("FAILED, exit code 127", Some("no".into())), "FAILED, exit code 127; it said last: no");
    }
}
