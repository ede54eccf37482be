//! The detection workers: a fixed set of threads, each with its own network sessions, shared by all jobs.
//!
//! Work is a closure over a worker's [`Worker`]. There are two bounded lanes: keyframes hold up everything behind
//! them, so they overtake the frames in between. While no job observes a video ([`DetectionPool::in_use`]) the networks are closed.

use std::panic::AssertUnwindSafe;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flume::{Receiver, RecvTimeoutError, Sender};

use crate::pose::Worker;
use crate::telemetry::{Buffer, Live, Queue, Timings};
use crate::thread;

/// How soon an idle worker notices that its networks are not needed.
const IDLE: Duration = Duration::from_millis(100);
/// The same of a worker that has had no work yet: its networks were opened a moment ago to see whether they can be, and the first video is
/// on its way. A large one takes seconds to open.
const IDLE_AT_FIRST: Duration = Duration::from_secs(10);

type Work = (i64, Box<dyn FnOnce(&mut Worker) + Send>);

/// Which lane work waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Others wait for this (keyframes).
    Urgent,
    /// Frames between keyframes.
    Ordinary,
}

/// The worker threads. Dropping it lets them finish what is queued and joins them.
pub struct DetectionPool {
    queues: Option<Queues>,
    threads: Vec<JoinHandle<()>>,
    users: Arc<AtomicUsize>,
    batch: usize,
}

/// While it lives, workers keep their networks open: they take a few tenths of a second to open, and hold more memory
/// than all else.
pub struct InUse<'a>(&'a AtomicUsize);

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where work is put: in its lane, and then a ticket for it. Workers wait for tickets only: waiting for two lanes at
/// once (flume's selector) can miss that both were closed.
struct Queues {
    lanes: [Sender<Work>; 2],
    tickets: Sender<()>,
    /// For those who watch.
    _measured: [Queue; 2],
}

/// The pool has shut down, or the worker that had this work died of it.
#[derive(Debug, thiserror::Error)]
#[error("a detection worker failed; the log has its last words")]
pub struct WorkerLost;

impl DetectionPool {
    /// Starts one thread for each worker.
    pub fn start(workers: Vec<Worker>, live: &Arc<Live>) -> std::io::Result<Self> {
        // Urgent work comes in small batches whose sender waits for them: room for a sweep of the picture. Ordinary work holds
        // the frames between two keyframes alive: one a worker keeps it busy while the next is submitted, and bounds the memory.
        let (urgent, urgent_work) = flume::bounded(64);
        let (ordinary, ordinary_work) = flume::bounded(workers.len());
        // No more tickets than work.
        let (tickets, drawn) = flume::unbounded();
        let users = Arc::new(AtomicUsize::new(0));
        let batch = workers.iter().map(Worker::batch).min().unwrap_or(1);
        let mut threads = Vec::new();
        for (index, worker) in workers.into_iter().enumerate() {
            let (drawn, lanes) = (drawn.clone(), [urgent_work.clone(), ordinary_work.clone()]);
            let (live, users) = (live.clone(), users.clone());
            threads.push(thread::spawn(&format!("detect-{index}"), move || {
                serve(worker, &drawn, &lanes, &users, index, &live)
            })?);
        }
        let measured = [(Buffer::Urgent, &urgent), (Buffer::Ordinary, &ordinary)].map(|(buffer, lane)| {
            let waiting = lane.clone();
            live.queue(buffer, lane.capacity().unwrap_or(0), move || waiting.len())
        });
        let queues = Queues { lanes: [urgent, ordinary], tickets, _measured: measured };
        Ok(Self { queues: Some(queues), threads, users, batch })
    }

    /// To be held while a video is watched.
    pub fn in_use(&self) -> InUse<'_> {
        self.users.fetch_add(1, Ordering::Relaxed);
        InUse(&self.users)
    }

    /// Questions that a worker is best asked at once ([`Worker::batch`]).
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Queues work for the job of these timings; waits while its lane is full.
    pub fn submit(
        &self,
        lane: Lane,
        timings: &Timings,
        work: impl FnOnce(&mut Worker) + Send + 'static,
    ) -> Result<(), WorkerLost> {
        let Queues { lanes, tickets, .. } = self.queues.as_ref().ok_or(WorkerLost)?;
        let queue = &lanes[lane as usize];
        queue.send((timings.job(), Box::new(work))).map_err(|_| WorkerLost)?;
        tickets.send(()).map_err(|_| WorkerLost)
    }

    /// Runs a batch in the urgent lane and waits for its results, in the order of the batch.
    pub fn run_all<T, F>(&self, timings: &Timings, batch: Vec<F>) -> Result<Vec<T>, WorkerLost>
    where
        T: Send + 'static,
        F: FnOnce(&mut Worker) -> T + Send + 'static,
    {
        let (reply, replies) = flume::unbounded();
        let count = batch.len();
        for (index, item) in batch.into_iter().enumerate() {
            let reply = reply.clone();
            // The batch's owner may have given up (a failed job): then nobody wants the result.
            self.submit(Lane::Urgent, timings, move |worker| drop(reply.send((index, item(worker)))))?;
        }
        drop(reply);
        let mut results: Vec<(usize, T)> = replies.iter().collect();
        if results.len() != count {
            return Err(WorkerLost);
        }
        results.sort_by_key(|(index, _)| *index);
        Ok(results.into_iter().map(|(_, result)| result).collect())
    }
}

impl Drop for DetectionPool {
    fn drop(&mut self) {
        self.queues = None;
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its work, so joining cannot fail for a reason worth telling.
            let _ = thread.join();
        }
    }
}

/// Waits for a ticket; a worker that was `idle` for so long while nobody watches a video lets go of its networks. Whether there will be
/// another ticket.
fn wait(tickets: &Receiver<()>, worker: &mut Worker, users: &AtomicUsize, idle: Duration) -> bool {
    while worker.is_worth_closing() {
        match tickets.recv_timeout(idle) {
            Ok(()) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) if users.load(Ordering::Relaxed) == 0 => worker.close(),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    tickets.recv().is_ok()
}

fn serve(
    mut worker: Worker,
    tickets: &Receiver<()>,
    lanes: &[Receiver<Work>; 2],
    users: &AtomicUsize,
    index: usize,
    live: &Live,
) {
    let mut idle = IDLE_AT_FIRST;
    while wait(tickets, &mut worker, users, idle) {
        idle = IDLE;
        // There is work for each ticket; which one it was drawn for does not matter, urgent work goes first.
        let Some((job, work)) = lanes.iter().find_map(|lane| lane.try_recv().ok()) else { continue };
        live.begin_work(index, job);
        let begun = Instant::now();
        // The panic's message was printed by the hook; the job that sent the work sees its reply channel closed.
        let _ = std::panic::catch_unwind(AssertUnwindSafe(|| work(&mut worker)));
        live.end_work(index, begun.elapsed());
    }
}
