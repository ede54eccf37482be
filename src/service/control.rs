//! Orders from other processes of the same user, over a Unix socket: one JSON object a line each way.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::origin::Origin;
use super::snapshot::{self, Snapshot, SnapshotRequest};
use super::socket::{self, Place};
use super::{ServiceError, Shared, lock, locked, shown};
use crate::clock;
use crate::clock::now;
use crate::config::Config;
use crate::queue::{Order, Queue, QueueError, QueueMode};
use crate::text::printable;
use crate::thread::spawn_scoped;

/// Version of what is said on the socket.
const VERSION: u32 = 4;
/// Most bytes of a request or an answer.
const LONGEST: u64 = 1 << 23;
/// How long the listener waits after it could not listen.
const NAP: Duration = Duration::from_millis(20);
/// A partner that says nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(2);

/// What can be asked of an engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Something with jobs.
    Order {
        /// What.
        order: Order,
        /// Their numbers.
        jobs: Vec<i64>,
    },
    /// How the queue as a whole is worked through.
    Mode(QueueMode),
    /// Process a file that lies elsewhere, as if it had been dropped into the first watched folder.
    Add {
        /// Where, from the root on.
        path: String,
    },
    /// See the engine as it is.
    Snapshot(SnapshotRequest),
    /// End: at once, or after what is at work.
    Stop {
        /// After what is at work.
        drain: bool,
    },
}

/// What became of it, a line for each job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Answer {
    /// What was done.
    pub done: Vec<String>,
    /// What was not, and why.
    pub refused: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    meshreel: u32,
    #[serde(flatten)]
    what: T,
}

#[derive(Serialize, Deserialize)]
struct Asked {
    request: Request,
    /// Who asks; who only looks need not say.
    by: Option<Origin>,
}

/// Why an order was not given.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody to end.
    #[error("no engine runs with the state folder {}", state.display())]
    NotRunning {
        /// The folder.
        state: PathBuf,
    },
    /// The engine does not answer.
    #[error("the engine does not answer: {0}")]
    Socket(#[from] io::Error),
    /// The engine says something else.
    #[error("the engine is of another version of meshreel: {0}")]
    Version(String),
    /// Without an engine the queue is changed directly, and that failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// The engine's end of the socket.
pub struct Listener {
    listener: Mutex<Arc<UnixListener>>,
    place: Place,
}

impl Listener {
    /// Begins to listen, and notes where in the lock of the state folder. That it is held says that a socket that lies there is
    /// a dead one's.
    pub fn open(state: &Path, lock: &mut File) -> Result<Self, ServiceError> {
        let (listener, place) = socket::open(state)?;
        lock::note_socket(lock, &place.socket)
            .map_err(|source| ServiceError::StateFolder { path: state.to_owned(), source })?;
        Ok(Self { listener: Mutex::new(Arc::new(listener)), place })
    }

    /// Answers until `is_over`, and [`Listener::wake`] is called after that.
    pub(super) fn serve(&self, shared: &Shared<'_>, is_over: &AtomicBool) {
        // A partner that says nothing keeps nobody waiting but itself.
        std::thread::scope(|scope| {
            while !is_over.load(Ordering::SeqCst) {
                let listener = locked(&self.listener).clone();
                match listener.accept() {
                    Ok((stream, _)) => {
                        let answering = move || {
                            if let Err(error) = answer(shared, &stream) {
                                tracing::debug!("an order was not understood: {error}");
                            }
                        };
                        // Whoever asked sees the connection closed, and may ask again.
                        if let Err(error) = spawn_scoped(scope, "answer", answering) {
                            tracing::warn!("an order was not heard: {error}");
                        }
                    }
                    // It was made anew, or it is over; want of descriptors passes.
                    Err(_) => std::thread::sleep(NAP),
                }
            }
        });
    }

    /// Lets [`Listener::serve`] see that it is over, or that the socket is another one.
    ///
    /// Not by knocking: the file may be gone.
    pub(super) fn wake(&self) {
        wake(&locked(&self.listener));
    }

    /// Makes the socket again if its file is gone: the runtime folder goes when its user has logged out.
    pub(super) fn restore(&self) {
        if self.place.socket.exists() {
            return;
        }
        // While there is no runtime folder it cannot be made; the next second tries again.
        if let Ok(listener) = self.place.bind() {
            let before = std::mem::replace(&mut *locked(&self.listener), Arc::new(listener));
            wake(&before);
            tracing::info!("the socket {} was gone; it is there again", shown(&self.place.socket));
        }
    }
}

fn wake(listener: &UnixListener) {
    // Whoever waits for a partner gets an error. One that was shut down before needs no second time.
    let _ = rustix::net::shutdown(listener, rustix::net::Shutdown::Both);
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.place.socket));
    }
}

fn answer(shared: &Shared<'_>, stream: &UnixStream) -> io::Result<()> {
    let asked: Versioned<serde_json::Value> = receive(stream)?;
    let answer = match serde_json::from_value::<Asked>(asked.what) {
        _ if asked.meshreel != VERSION => Err(format!("this engine speaks version {VERSION}, not {}", asked.meshreel)),
        Ok(Asked { request: Request::Snapshot(wanted), .. }) => match snapshot::take(shared, &wanted) {
            Ok(snapshot) => return send(stream, &Versioned { meshreel: VERSION, what: snapshot }),
            Err(error) => Err(error.to_string()),
        },
        Ok(Asked { by: None, .. }) => Err("the order does not say where it comes from".into()),
        Ok(Asked { request, by: Some(by) }) => carry_out(shared, request, &by),
        Err(error) => Err(format!("this engine does not know that order: {error}")),
    };
    let answer = answer.unwrap_or_else(|reason| Answer { refused: vec![reason], ..Answer::default() });
    send(stream, &Versioned { meshreel: VERSION, what: answer })
}

fn carry_out(shared: &Shared<'_>, request: Request, by: &Origin) -> Result<Answer, String> {
    let result = match request {
        Request::Order { order, jobs } => {
            let mut queue = shared.queue();
            let in_hand = shared.in_hand();
            apply(&mut queue, order, &jobs, by, |id| in_hand.contains(&id))
        }
        Request::Mode(mode) => set_mode(&mut shared.queue(), mode, by),
        Request::Add { path } => add(shared, &path, by),
        // Answered before it comes here.
        Request::Snapshot(_) => Ok(Answer::default()),
        Request::Stop { drain } => {
            tracing::info!("stop{}: by {by}", if drain { " after what is at work" } else { "" });
            match drain {
                true => shared.is_draining.store(true, Ordering::SeqCst),
                false => shared.stop.store(true, Ordering::SeqCst),
            }
            let done = if drain { "the engine ends after what is at work" } else { "the engine ends" };
            Ok(Answer { done: vec![done.into()], refused: Vec::new() })
        }
    };
    let answer = result.map_err(|error| error.to_string());
    shared.reschedule().and_then(|()| shared.clean()).map_err(|error| error.to_string())?;
    answer
}

fn add(shared: &Shared<'_>, path: &str, by: &Origin) -> Result<Answer, QueueError> {
    let named = PathBuf::from(path);
    let refused = match std::fs::metadata(&named) {
        Err(error) => Some(error.to_string()),
        Ok(metadata) if !metadata.is_file() => Some("it is no file".into()),
        Ok(_) if !named.is_absolute() => Some("it is no whole path".into()),
        Ok(_) => None,
    };
    let said = format!("add {}", printable(path));
    if let Some(why) = refused {
        tracing::info!("{}", told(&said, Some(&why), by));
        return Ok(Answer { refused: vec![format!("{path}: {why}")], ..Answer::default() });
    }
    tracing::info!("{}", told(&said, None, by));
    locked(&shared.added).push(named);
    shared.has_more.store(true, Ordering::SeqCst);
    Ok(Answer { done: vec![format!("{path}: taken when it is complete")], ..Answer::default() })
}

/// For the log: what was ordered, whether it was refused, and by whom.
fn told(what: &str, refused: Option<&str>, by: &Origin) -> String {
    match refused {
        Some(why) => format!("{what}: refused ({why}): by {by}"),
        None => format!("{what}: by {by}"),
    }
}

fn apply(
    queue: &mut Queue,
    order: Order,
    jobs: &[i64],
    by: &Origin,
    is_in_hand: impl Fn(i64) -> bool,
) -> Result<Answer, QueueError> {
    let mut answer = Answer::default();
    for &id in jobs {
        let result = queue.order(id, order, &by.to_string(), is_in_hand(id), now())?;
        tracing::info!("{}", told(&order.said_of(id), result.as_ref().err().map(String::as_str), by));
        match result {
            Ok(state) => answer.done.push(match order {
                Order::Priority(value) => format!("job {id} has priority {value}"),
                Order::Pause { until: Some(until) } => format!("job {id} is paused until {}", clock::local(until)),
                Order::Move(_) => format!("job {id} was moved"),
                _ => format!("job {id} is {}", state.name()),
            }),
            Err(reason) => answer.refused.push(reason),
        }
    }
    Ok(answer)
}

fn set_mode(queue: &mut Queue, mode: QueueMode, by: &Origin) -> Result<Answer, QueueError> {
    queue.set_mode(mode)?;
    let (said, done) = match mode {
        QueueMode::Go => ("resume everything".into(), "everything that was not paused by itself goes on".to_owned()),
        QueueMode::Drain => {
            ("pause everything, draining".into(), "what is at work is finished, and nothing is begun".to_owned())
        }
        QueueMode::Pause { until: None } => ("pause everything".into(), "everything is paused".to_owned()),
        QueueMode::Pause { until: Some(until) } => {
            let until = clock::local(until);
            (format!("pause everything until {until}"), format!("everything is paused until {until}"))
        }
    };
    tracing::info!("{}", told(&said, None, by));
    Ok(Answer { done: vec![done], refused: Vec::new() })
}

/// Looks at the engine of a state folder.
///
/// # Errors
/// When there is none, or it is of another version.
pub fn snapshot(config: &Config, wanted: &SnapshotRequest) -> Result<Snapshot, ControlError> {
    tell(&connect(config)?, &Request::Snapshot(wanted.clone()), None)
}

fn connect(config: &Config) -> Result<UnixStream, ControlError> {
    let not_running = || ControlError::NotRunning { state: config.state.clone() };
    let (socket, owner) = lock::socket(&config.state).ok_or_else(not_running)?;
    socket::connect(&socket, owner).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => not_running(),
        _ => error.into(),
    })
}

fn tell<T: for<'de> Deserialize<'de>>(
    stream: &UnixStream,
    request: &Request,
    by: Option<&Origin>,
) -> Result<T, ControlError> {
    let what = Asked { request: request.clone(), by: by.cloned() };
    send(stream, &Versioned { meshreel: VERSION, what })?;
    let answer: Versioned<serde_json::Value> = receive(stream)?;
    if answer.meshreel != VERSION {
        return Err(ControlError::Version(format!("it speaks version {}, not {VERSION}", answer.meshreel)));
    }
    serde_json::from_value(answer.what).map_err(|error| ControlError::Version(error.to_string()))
}

/// Asks the engine of a state folder; where none runs, changes its queue, which the next one will find.
pub fn ask(config: &Config, request: &Request, by: &Origin) -> Result<Answer, ControlError> {
    let not_running = match connect(config) {
        Ok(stream) => return tell(&stream, request, Some(by)),
        Err(error @ ControlError::NotRunning { .. }) => error,
        Err(error) => return Err(error),
    };
    if !crate::queue::file(&config.state).exists() {
        return Err(not_running);
    }
    let mut queue = Queue::open(&config.state)?;
    match request {
        Request::Order { order, jobs } => Ok(apply(&mut queue, *order, jobs, by, |_| false)?),
        Request::Mode(mode) => Ok(set_mode(&mut queue, *mode, by)?),
        Request::Stop { .. } | Request::Snapshot(_) | Request::Add { .. } => Err(not_running),
    }
}

fn send<T: Serialize>(mut stream: &UnixStream, what: &T) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn receive<T: for<'de> Deserialize<'de>>(stream: &UnixStream) -> io::Result<T> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}
