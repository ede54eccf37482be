//! The dashboard's side of the socket: one thread that looks and asks, so that a slow engine never stops the keys.
//!
//! It looks once for each time that it is told to, which is after each drawing: a terminal that takes nothing (a connection that
//! stalls) then holds up the looking too, and no snapshots pile up.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::service::{self, Answer, ControlError, Origin, Request, Snapshot, SnapshotRequest};
use crate::thread::{self, locked};

/// What comes from the engine.
pub enum News {
    /// It was seen.
    Seen(Box<Snapshot>),
    /// It cannot be seen, and why.
    Lost(String),
    /// It answered to what was asked.
    Answered(Result<Answer, String>),
}

/// An engine that can be looked at and asked.
pub trait Engine: Send + 'static {
    /// Looks at it.
    fn look(&self, look: &SnapshotRequest) -> Result<Snapshot, ControlError>;
    /// Asks it for something.
    fn ask(&self, request: &Request) -> Result<Answer, ControlError>;
}

/// The engine of its state folder.
impl Engine for Config {
    fn look(&self, look: &SnapshotRequest) -> Result<Snapshot, ControlError> {
        service::snapshot(self, look)
    }

    fn ask(&self, request: &Request) -> Result<Answer, ControlError> {
        service::ask(self, request, &Origin::dashboard())
    }
}

/// What the thread is to do.
#[derive(Default)]
struct Wanted {
    look: Option<SnapshotRequest>,
    requests: VecDeque<Request>,
    is_over: bool,
}

#[derive(Default)]
struct Shared {
    wanted: Mutex<Wanted>,
    changed: Condvar,
}

impl Shared {
    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        locked(&self.wanted)
    }
}

/// Where it is said what to look at and what to ask; the thread ends when it is dropped.
pub struct Client(Arc<Shared>);

impl Client {
    /// Starts the thread; it waits for `interval` between two looks, and tells what comes until `tell` says that nobody listens.
    pub fn start(
        engine: impl Engine,
        interval: Duration,
        tell: impl Fn(News) -> bool + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let served = shared.clone();
        thread::spawn("client", move || serve(&engine, interval, &served, &tell))?;
        Ok(Self(shared))
    }

    /// What to look at next, once; nothing, when the view is frozen. What was to be looked at before is not any more.
    pub fn look(&self, look: Option<SnapshotRequest>) {
        self.0.wanted().look = look;
        self.0.changed.notify_one();
    }

    /// Asks for something.
    pub fn ask(&self, request: Request) {
        self.0.wanted().requests.push_back(request);
        self.0.changed.notify_one();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.0.wanted().is_over = true;
        self.0.changed.notify_one();
    }
}

/// What to do next.
enum Task {
    SnapshotRequest(SnapshotRequest),
    Ask(Request),
}

/// Waits until there is something to do, a look not before `earliest`. Nothing, when it is over.
fn next(shared: &Shared, earliest: Instant) -> Option<Task> {
    let mut wanted = shared.wanted();
    loop {
        if wanted.is_over {
            return None;
        }
        if let Some(request) = wanted.requests.pop_front() {
            return Some(Task::Ask(request));
        }
        let left = earliest.saturating_duration_since(Instant::now());
        wanted = match wanted.look.take() {
            Some(look) if left.is_zero() => return Some(Task::SnapshotRequest(look)),
            Some(look) => {
                wanted.look = Some(look);
                shared.changed.wait_timeout(wanted, left).unwrap_or_else(PoisonError::into_inner).0
            }
            None => shared.changed.wait(wanted).unwrap_or_else(PoisonError::into_inner),
        };
    }
}

fn serve(engine: &impl Engine, interval: Duration, shared: &Shared, tell: &impl Fn(News) -> bool) {
    let mut earliest = Instant::now();
    while let Some(task) = next(shared, earliest) {
        let news = match task {
            Task::Ask(request) => {
                // What became of it is to be seen at once.
                earliest = Instant::now();
                News::Answered(engine.ask(&request).map_err(|error| error.to_string()))
            }
            Task::SnapshotRequest(look) => {
                let seen = engine.look(&look);
                earliest = Instant::now() + interval;
                match seen {
                    Ok(snapshot) => News::Seen(Box::new(snapshot)),
                    Err(ControlError::NotRunning { .. }) => {
                        News::Lost("the engine is not running; `meshreel run` starts it".into())
                    }
                    Err(error) => News::Lost(error.to_string()),
                }
            }
        };
        if !tell(news) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use flume::{Receiver, Sender};

    use super::*;
    use crate::dashboard::view::tests::idle;

    /// Tells of each look, and answers it when it is let.
    struct Fake {
        looks: Sender<SnapshotRequest>,
        gate: Receiver<()>,
    }

    impl Engine for Fake {
        fn look(&self, look: &SnapshotRequest) -> Result<Snapshot, ControlError> {
            self.looks.send(look.clone()).unwrap();
            self.gate.recv().unwrap();
            Ok(idle())
        }

        fn ask(&self, _: &Request) -> Result<Answer, ControlError> {
            Ok(Answer::default())
        }
    }

    fn named(filter: &str) -> Option<SnapshotRequest> {
        Some(SnapshotRequest { filter: filter.into(), ..SnapshotRequest::default() })
    }

    #[test]
    fn the_engine_is_looked_at_once_for_each_drawing_and_for_what_was_wanted_last() {
        let (looks, looked) = flume::unbounded();
        let (open, gate) = flume::unbounded();
        let (sender, news) = flume::unbounded();
        let client =
            Client::start(Fake { looks, gate }, Duration::ZERO, move |what| sender.send(what).is_ok()).unwrap();
        client.look(named("first"));
        assert_eq!(Some(looked.recv().unwrap()), named("first"));
        open.send(()).unwrap();
        assert!(matches!(news.recv().unwrap(), News::Seen(_)));

        // The terminal takes nothing, so nothing is drawn: a hundred answers, each of which is time enough, and no look.
        for _ in 0..100 {
            client.ask(Request::Stop { drain: false });
            let what = news.recv_timeout(Duration::from_secs(20)).expect("it looks instead");
            assert!(matches!(what, News::Answered(Ok(_))));
        }
        assert!(looked.is_empty() && news.is_empty());

        // While it looks, the wishes change: the last one counts.
        client.look(named("second"));
        assert_eq!(Some(looked.recv().unwrap()), named("second"));
        client.look(named("third"));
        client.look(named("last"));
        open.send(()).unwrap();
        assert_eq!(Some(looked.recv().unwrap()), named("last"));
        // A frozen view wants nothing.
        client.look(named("never"));
        client.look(None);
        open.send(()).unwrap();
        client.ask(Request::Stop { drain: false });
        let kinds: Vec<bool> = news.iter().take(3).map(|what| matches!(what, News::Seen(_))).collect();
        assert_eq!(kinds, [true, true, false]);
        assert!(looked.is_empty());
        // The thread ends with its owner.
        drop(client);
        assert!(news.recv().is_err());
    }
}
