//! The detection workers: a fixed set of threads, each with its own network sessions, shared by all jobs.
//!
//! Work is a closure over a worker's [`Worker`]. There are two bounded lanes: keyframes hold up everything behind
//! them, so they overtake the frames in between.

use std::panic::AssertUnwindSafe;
use std::thread::JoinHandle;

use flume::{Receiver, Sender};

use crate::pose::Worker;

type Work = Box<dyn FnOnce(&mut Worker) + Send>;

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
    lanes: Option<[Sender<Work>; 2]>,
    threads: Vec<JoinHandle<()>>,
}

/// The pool has shut down, or the worker that had this work died of it.
#[derive(Debug, thiserror::Error)]
#[error("a detection worker failed; the log has its last words")]
pub struct WorkerLost;

impl DetectionPool {
    /// Starts one thread for each worker.
    pub fn start(workers: Vec<Worker>) -> std::io::Result<Self> {
        // Urgent work comes in small batches whose sender waits for them: room for a sweep of tiles. Ordinary work holds
        // a frame alive each: two a worker keep it busy while the next is submitted, and bound the memory.
        let (urgent, urgent_work) = flume::bounded(64);
        let (ordinary, ordinary_work) = flume::bounded(2 * workers.len());
        let mut threads = Vec::new();
        for (index, worker) in workers.into_iter().enumerate() {
            let (urgent, ordinary) = (urgent_work.clone(), ordinary_work.clone());
            let thread = std::thread::Builder::new().name(format!("detect-{index}"));
            threads.push(thread.spawn(move || serve(worker, &urgent, &ordinary))?);
        }
        Ok(Self { lanes: Some([urgent, ordinary]), threads })
    }

    /// Queues work; waits while its lane is full.
    pub fn submit(&self, lane: Lane, work: impl FnOnce(&mut Worker) + Send + 'static) -> Result<(), WorkerLost> {
        let lanes = self.lanes.as_ref().ok_or(WorkerLost)?;
        lanes[lane as usize].send(Box::new(work)).map_err(|_| WorkerLost)
    }

    /// Runs a batch in the urgent lane and waits for its results, in the order of the batch.
    pub fn run_all<T, F>(&self, batch: Vec<F>) -> Result<Vec<T>, WorkerLost>
    where
        T: Send + 'static,
        F: FnOnce(&mut Worker) -> T + Send + 'static,
    {
        let (reply, replies) = flume::unbounded();
        let count = batch.len();
        for (index, item) in batch.into_iter().enumerate() {
            let reply = reply.clone();
            // The batch's owner may have given up (a failed job): then nobody wants the result.
            self.submit(Lane::Urgent, move |worker| drop(reply.send((index, item(worker)))))?;
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
        self.lanes = None;
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its work, so joining cannot fail for a reason worth telling.
            let _ = thread.join();
        }
    }
}

fn serve(mut worker: Worker, urgent: &Receiver<Work>, ordinary: &Receiver<Work>) {
    while let Some(work) = next(urgent, ordinary) {
        // The panic's message was printed by the hook; the job that sent the work sees its reply channel closed.
        let _ = std::panic::catch_unwind(AssertUnwindSafe(|| work(&mut worker)));
    }
}

/// Urgent work first; `None` when both lanes are closed and empty.
fn next(urgent: &Receiver<Work>, ordinary: &Receiver<Work>) -> Option<Work> {
    if let Ok(work) = urgent.try_recv() {
        return Some(work);
    }
    let received = flume::Selector::new().recv(urgent, |w| w).recv(ordinary, |w| w).wait();
    // Both lanes close together; what is left in either is still done.
    received.ok().or_else(|| urgent.try_recv().ok()).or_else(|| ordinary.try_recv().ok())
}
