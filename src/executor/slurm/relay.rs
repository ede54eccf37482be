//! What a worker says of its work, a line for each thing in a file of its own, and how it gets from there to whoever waits for the job.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::folder::{Folder, FolderError};
use crate::job::{Event, JobContext, Phase};
use crate::telemetry::{Buffer, Depth, Taken};

/// How far the lines were passed on, for an engine that is started again.
const PASSED_ON: &str = "passed-on.json";
/// Most bytes of lines that are read at once.
const MOST: u64 = 16 << 20;

/// A worker that has said nothing for so long is not counted any more.
const SILENT: Duration = Duration::from_secs(10);

/// The file of a worker with this random name.
pub fn file_of(owner: &str) -> String {
    format!("events.{owner}.jsonl")
}

/// The name of the worker that a file is of.
pub fn owner_of(file: &str) -> Option<&str> {
    file.strip_prefix("events.")?.strip_suffix(".jsonl")
}

/// A line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// A worker begins.
    Began {
        /// Its node.
        node: String,
        /// Slurm's number of the task.
        task: Option<u64>,
        /// How often Slurm has begun the task before.
        restarts: u32,
        /// Its process.
        process: u32,
        /// Cores that it may use.
        cores: usize,
        /// GPUs that it was given, as CUDA calls them; empty: none.
        gpus: String,
        /// It helps the worker that the job belongs to.
        #[serde(default)]
        is_helper: bool,
    },
    /// All is loaded, and it is at work.
    Ready {
        /// Where the networks run.
        inference: String,
        /// What draws.
        renderer: String,
    },
    /// Something happened to the job.
    Event(Event),
    /// What was done since the last such line.
    Figures {
        /// Times of stages.
        times: Taken,
        /// How full each [`Buffer`] is, in order.
        depths: [Depth; Buffer::ALL.len()],
    },
    /// The worker ends, and the job goes on later.
    Left {
        /// Why.
        why: String,
    },
}

/// Reads what the workers of a job say.
pub struct Relay {
    folder: Folder,
    /// How far each file was read.
    read: BTreeMap<String, u64>,
    /// How far each file was passed on by an engine before.
    passed_on: BTreeMap<String, u64>,
    /// Files that were there when it began: what is in them may be long ago.
    old: Vec<String>,
    /// The node of each file's worker.
    nodes: BTreeMap<String, String>,
    /// Files of workers who help.
    helpers: BTreeSet<String>,
    /// How full the queues of each file's worker are.
    depths: BTreeMap<String, ([Depth; Buffer::ALL.len()], Instant)>,
    /// Of the latest worker.
    pub latest: Latest,
    /// The last progress of the latest worker.
    progress: Option<(Phase, u64)>,
}

/// What is known of the latest worker.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Latest {
    /// Its file; empty: nobody began yet.
    file: String,
    /// Its node.
    pub node: String,
    /// Its task, if Slurm told it.
    pub task: Option<u64>,
    /// GPUs that it was given; empty: none.
    pub gpus: String,
    /// Frames that are done, half of one in each pass.
    pub frames: f64,
    /// Why it left, if it did.
    pub left: Option<String>,
    /// Stretches of the clip; 0: not known yet.
    pub stretches: usize,
}

impl Relay {
    /// Begins where the last engine has ended.
    pub fn open(folder: &Folder) -> Result<Self, FolderError> {
        let passed_on: BTreeMap<String, u64> = folder.read(PASSED_ON)?.unwrap_or_default();
        Ok(Self {
            folder: folder.clone(),
            read: BTreeMap::new(),
            passed_on,
            old: folder.names(),
            nodes: BTreeMap::new(),
            helpers: BTreeSet::new(),
            depths: BTreeMap::new(),
            latest: Latest::default(),
            progress: None,
        })
    }

    /// Passes on what is new. `depths` hears how full queues are. What cannot be read now is read the next time.
    pub fn pass_on(&mut self, context: &JobContext<'_>, depths: &dyn Fn([Depth; Buffer::ALL.len()])) {
        let mut is_told = false;
        let names = self.folder.names();
        for name in names.into_iter().filter(|name| owner_of(name).is_some()) {
            let from = self.read.get(&name).copied().unwrap_or(0);
            let Ok(text) = self.text(&name, from) else { continue };
            let is_past = from == 0 && self.old.contains(&name);
            let mut at = from;
            for line in text.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n")) {
                at += line.len() as u64;
                let is_known = at <= self.passed_on.get(&name).copied().unwrap_or(0);
                // A line that a machine's end has damaged is left out.
                let Ok(said) = serde_json::from_slice(line) else { continue };
                is_told |= self.take(&name, said, context, depths, is_past, is_known);
            }
            self.read.insert(name, at);
        }
        if is_told {
            self.passed_on.clone_from(&self.read);
            // Without it an engine that is started again repeats some lines of the job's log.
            drop(self.folder.write(PASSED_ON, &self.passed_on));
        }
    }

    /// `is_past`: it may be long ago; `is_known`: it was passed on by an engine before. Whether it went into the job's log.
    fn take(
        &mut self,
        name: &str,
        said: Said,
        context: &JobContext<'_>,
        depths: &dyn Fn([Depth; Buffer::ALL.len()]),
        is_past: bool,
        is_known: bool,
    ) -> bool {
        let tell = |text: String| {
            if !is_known {
                (context.events)(Event::Note(text));
            }
            !is_known
        };
        match said {
            Said::Began { node, task, cores, is_helper: true, .. } => {
                let of = task.map_or(String::new(), |id| format!(", Slurm task {id}"));
                let unit = if cores == 1 { "core" } else { "cores" };
                let told = tell(format!("node {node}{of} helps: {cores} {unit}"));
                self.nodes.insert(name.to_owned(), node);
                self.helpers.insert(name.to_owned());
                told
            }
            // Whoever the job belongs to says that, too.
            Said::Event(_) if self.helpers.contains(name) => false,
            Said::Event(Event::Stretches(count)) => {
                self.latest.stretches = count;
                false
            }
            Said::Began { node, task, restarts, cores, gpus, .. } => {
                let of = task.map_or(String::new(), |id| format!(", Slurm task {id}"));
                let again = if restarts > 0 { format!(", begun {} times", restarts + 1) } else { String::new() };
                let with = if gpus.is_empty() { String::new() } else { format!(", GPU {gpus}") };
                let unit = if cores == 1 { "core" } else { "cores" };
                let told = tell(format!("on node {node}{of}{again}: {cores} {unit}{with}"));
                self.nodes.insert(name.to_owned(), node.clone());
                let (file, frames) = (name.to_owned(), self.latest.frames);
                self.latest = Latest { file, node, task, gpus, frames, left: None, stretches: 0 };
                self.depths.clear();
                self.progress = None;
                told
            }
            Said::Ready { inference, renderer } => {
                tell(format!("on node {}: networks on {inference}, drawn by {renderer}", self.node(name)))
            }
            Said::Event(event @ Event::Progress { phase, done, total, .. }) => {
                if let Some((before, count)) = self.progress
                    && before == phase
                    && !is_past
                {
                    (count..done).for_each(|_| context.timings.live().frame(context.timings.job()));
                }
                self.progress = Some((phase, done));
                self.latest.frames = self.latest.frames.max(phase.frames_done(done, total));
                (context.events)(event);
                false
            }
            Said::Event(event) => {
                if !is_known {
                    (context.events)(event);
                }
                !is_known
            }
            Said::Figures { times, depths: found } => {
                for (stage, times) in times {
                    for (frame, micros) in times {
                        let time = Duration::from_micros(micros.into());
                        match is_past {
                            true => context.timings.record_past(stage, frame, time),
                            false => context.timings.record(stage, frame, time),
                        }
                    }
                }
                if !is_past {
                    let now = Instant::now();
                    self.depths.insert(name.to_owned(), (found, now));
                    self.depths.retain(|_, (_, told)| now - *told < SILENT);
                    depths(summed(self.depths.values().map(|(depths, _)| depths)));
                }
                false
            }
            Said::Left { why } => {
                self.depths.remove(name);
                let told = tell(format!("node {} is given back: {why}", self.node(name)));
                // One that came too late says nothing of the one that the job belongs to.
                if self.latest.file == name {
                    self.latest.left = Some(why);
                }
                told
            }
        }
    }

    fn node(&self, name: &str) -> &str {
        self.nodes.get(name).map_or("", String::as_str)
    }

    fn text(&self, name: &str, from: u64) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.folder.file(name))?;
        file.seek(SeekFrom::Start(from))?;
        let mut text = Vec::new();
        file.take(MOST).read_to_end(&mut text)?;
        Ok(text)
    }
}

/// How full the queues of several workers are together.
pub fn summed<'d>(all: impl Iterator<Item = &'d [Depth; Buffer::ALL.len()]>) -> [Depth; Buffer::ALL.len()] {
    all.fold(Default::default(), |mut sum: [Depth; Buffer::ALL.len()], depths| {
        for (sum, depth) in sum.iter_mut().zip(depths) {
            *sum = *sum + *depth;
        }
        sum
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::control::Control;
    use crate::telemetry::{Live, Stage, Timings};

    fn line(file: &mut File, said: &Said) {
        let mut text = serde_json::to_vec(said).unwrap();
        text.push(b'\n');
        file.write_all(&text).unwrap();
    }

    fn began(node: &str) -> Said {
        let (node, gpus) = (node.to_owned(), String::new());
        Said::Began { node, task: Some(4), restarts: 0, process: 1, cores: 2, gpus, is_helper: false }
    }

    #[test]
    fn lines_are_passed_on_once_and_figures_count() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::of(root.path(), 1);
        folder.make().unwrap();
        let heard = Mutex::new(Vec::new());
        let timings = Arc::new(Timings::new(1, Arc::new(Live::new(0))));
        let events = |event: Event| heard.lock().unwrap().push(event);
        let context = JobContext {
            checkpoint: None,
            share: crate::job::Share::All,
            timings: timings.clone(),
            priority: 0,
            control: &|| Control::Go,
            events: &events,
        };
        let count = || std::mem::take(&mut *heard.lock().unwrap()).len();

        let mut file = File::create(folder.file(&file_of("a"))).unwrap();
        line(&mut file, &began("n1"));
        file.write_all(b"{\"event\":{\"warning\":\"half").unwrap();
        let mut relay = Relay::open(&folder).unwrap();
        relay.pass_on(&context, &|_| ());
        assert_eq!((count(), relay.node(&file_of("a"))), (1, "n1"));
        file.write_all(b"\"}}\n").unwrap();
        let progress = |done| Said::Event(Event::Progress { phase: Phase::Observe, done, total: Some(10), people: 1 });
        line(&mut file, &progress(2));
        let times = Taken::from([(Stage::Decode, vec![(0, 5000), (1, 7000)])]);
        line(&mut file, &Said::Figures { times, depths: Default::default() });
        relay.pass_on(&context, &|_| ());
        assert_eq!((count(), timings.summary(Stage::Decode).count, relay.latest.frames), (2, 2, 1.0));
        relay.pass_on(&context, &|_| ());
        assert_eq!(count(), 0);

        // Another engine says again what is at the moment, and nothing of the log.
        let mut other = Relay::open(&folder).unwrap();
        line(&mut file, &Said::Left { why: "SIGTERM".into() });
        other.pass_on(&context, &|_| ());
        let heard = std::mem::take(&mut *heard.lock().unwrap());
        assert!(matches!(&heard[..], [Event::Progress { done: 2, .. }, Event::Note(text)] if text.contains("SIGTERM")));
        assert_eq!(other.latest.left.as_deref(), Some("SIGTERM"));
    }
}
