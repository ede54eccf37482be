//! Orders from other processes of the same user, over a Unix socket: one JSON object a line each way.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::look::{self, Look, Snapshot};
use super::{Shared, lock, locked, shown};
use crate::checksum;
use crate::clock;
use crate::config::Config;
use crate::pipeline::Engine;
use crate::queue::{Flow, Order, Queue, QueueError, now};

/// Version of what is said on the socket.
const VERSION: u32 = 1;
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
    Flow(Flow),
    /// Process a file that lies elsewhere, as if it had been dropped into the first watched folder.
    Add {
        /// Where, from the root on.
        path: String,
    },
    /// See the engine as it is.
    Look(Look),
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

/// Where an engine listens: in the runtime folder, where there is one, else in the state folder. Others read it in the lock
/// ([`lock::socket`]): their environment may be another.
pub(super) fn place(state: &Path) -> PathBuf {
    let whole = std::path::absolute(state).unwrap_or_else(|_| state.to_owned());
    let name = checksum::hex(&checksum::of(whole.as_os_str().as_encoded_bytes())[..8]);
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_dir()) {
        Some(folder) => folder.join("meshreel").join(format!("{name}.sock")),
        None => whole.join("engine.sock"),
    }
}

/// The engine's end of the socket.
pub struct Listener {
    listener: Mutex<Arc<UnixListener>>,
    path: PathBuf,
}

impl Listener {
    /// Begins to listen, and notes where in the lock of the state folder. That it is held says that a socket that lies there is
    /// a dead one's.
    pub fn open(state: &Path, lock: &mut File) -> io::Result<Self> {
        let path = place(state);
        let listener = Mutex::new(Arc::new(bind(&path)?));
        lock::note_socket(lock, &path)?;
        Ok(Self { listener, path })
    }

    /// Answers until `is_over`, and [`Listener::wake`] is called after that.
    pub(super) fn serve(&self, shared: &Shared<'_>, engine: &Engine, is_over: &AtomicBool) {
        // A partner that says nothing keeps nobody waiting but itself.
        std::thread::scope(|scope| {
            while !is_over.load(Ordering::SeqCst) {
                let listener = locked(&self.listener).clone();
                match listener.accept() {
                    Ok((stream, _)) => drop(scope.spawn(move || {
                        if let Err(error) = answer(shared, engine, &stream) {
                            tracing::debug!("an order was not understood: {error}");
                        }
                    })),
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
        if self.path.exists() {
            return;
        }
        // While there is no runtime folder it cannot be made; the next second tries again.
        if let Ok(listener) = bind(&self.path) {
            let before = std::mem::replace(&mut *locked(&self.listener), Arc::new(listener));
            wake(&before);
            tracing::info!("the socket {} was gone; it is there again", shown(&self.path));
        }
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        // Not the runtime folder itself: that is the system's to make.
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn wake(listener: &UnixListener) {
    // SAFETY: a plain call on a socket that is open; whoever waits for a partner gets an error.
    unsafe { libc::shutdown(listener.as_raw_fd(), libc::SHUT_RDWR) };
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

fn answer(shared: &Shared<'_>, engine: &Engine, stream: &UnixStream) -> io::Result<()> {
    let asked: Versioned<serde_json::Value> = receive(stream)?;
    let answer = match serde_json::from_value::<Asked>(asked.what) {
        _ if asked.meshreel != VERSION => Err(format!("this engine speaks version {VERSION}, not {}", asked.meshreel)),
        Ok(Asked { request: Request::Look(wanted) }) => match look::look(shared, engine, &wanted) {
            Ok(snapshot) => return send(stream, &Versioned { meshreel: VERSION, what: snapshot }),
            Err(error) => Err(error.to_string()),
        },
        Ok(Asked { request }) => carry_out(shared, request),
        Err(error) => Err(format!("this engine does not know that order: {error}")),
    };
    let answer = answer.unwrap_or_else(|reason| Answer { refused: vec![reason], ..Answer::default() });
    send(stream, &Versioned { meshreel: VERSION, what: answer })
}

fn carry_out(shared: &Shared<'_>, request: Request) -> Result<Answer, String> {
    let result = match request {
        Request::Order { order, jobs } => {
            let mut queue = shared.queue();
            let live = shared.live();
            apply(&mut queue, order, &jobs, |id| live.contains(&id))
        }
        Request::Flow(flow) => set_flow(&mut shared.queue(), flow),
        Request::Add { path } => add(shared, &path),
        // Answered before it comes here.
        Request::Look(_) => Ok(Answer::default()),
        Request::Stop { drain } => {
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

fn add(shared: &Shared<'_>, path: &str) -> Result<Answer, QueueError> {
    let named = PathBuf::from(path);
    let refused = match std::fs::metadata(&named) {
        Err(error) => Some(error.to_string()),
        Ok(metadata) if !metadata.is_file() => Some("it is no file".into()),
        Ok(_) if !named.is_absolute() => Some("it is no whole path".into()),
        Ok(_) => None,
    };
    if let Some(why) = refused {
        return Ok(Answer { refused: vec![format!("{path}: {why}")], ..Answer::default() });
    }
    locked(&shared.added).push(named);
    shared.has_more.store(true, Ordering::SeqCst);
    Ok(Answer { done: vec![format!("{path}: taken when it is complete")], ..Answer::default() })
}

fn apply(queue: &mut Queue, order: Order, jobs: &[i64], is_live: impl Fn(i64) -> bool) -> Result<Answer, QueueError> {
    let mut answer = Answer::default();
    for &id in jobs {
        match queue.order(id, order, is_live(id), now())? {
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

fn set_flow(queue: &mut Queue, flow: Flow) -> Result<Answer, QueueError> {
    queue.set_flow(flow)?;
    let done = match flow {
        Flow::Go => "everything that was not paused by itself goes on".to_owned(),
        Flow::Drain => "what is at work is finished, and nothing is begun".to_owned(),
        Flow::Pause { until: None } => "everything is paused".to_owned(),
        Flow::Pause { until: Some(until) } => format!("everything is paused until {}", clock::local(until)),
    };
    Ok(Answer { done: vec![done], refused: Vec::new() })
}

/// Looks at the engine of a state folder.
///
/// # Errors
/// When there is none, or it is of another version.
pub fn look_at(config: &Config, look: &Look) -> Result<Snapshot, ControlError> {
    tell(&connect(config)?, &Request::Look(look.clone()))
}

fn connect(config: &Config) -> Result<UnixStream, ControlError> {
    let not_running = || ControlError::NotRunning { state: config.state.clone() };
    let socket = lock::socket(&config.state).ok_or_else(not_running)?;
    UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => not_running(),
        _ => error.into(),
    })
}

fn tell<T: for<'de> Deserialize<'de>>(stream: &UnixStream, request: &Request) -> Result<T, ControlError> {
    send(stream, &Versioned { meshreel: VERSION, what: Asked { request: request.clone() } })?;
    let answer: Versioned<serde_json::Value> = receive(stream)?;
    if answer.meshreel != VERSION {
        return Err(ControlError::Version(format!("it speaks version {}, not {VERSION}", answer.meshreel)));
    }
    serde_json::from_value(answer.what).map_err(|error| ControlError::Version(error.to_string()))
}

/// Asks the engine of a state folder; where none runs, changes its queue, which the next one will find.
pub fn ask(config: &Config, request: &Request) -> Result<Answer, ControlError> {
    let not_running = match connect(config) {
        Ok(stream) => return tell(&stream, request),
        Err(error @ ControlError::NotRunning { .. }) => error,
        Err(error) => return Err(error),
    };
    if !crate::queue::file(&config.state).exists() {
        return Err(not_running);
    }
    let mut queue = Queue::open(&config.state)?;
    match request {
        Request::Order { order, jobs } => Ok(apply(&mut queue, *order, jobs, |_| false)?),
        Request::Flow(flow) => Ok(set_flow(&mut queue, *flow)?),
        Request::Stop { .. } | Request::Look(_) | Request::Add { .. } => Err(not_running),
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
