//! The dashboard's side of the socket: one thread that looks and asks, so that a slow engine never stops the keys.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flume::{Receiver, RecvTimeoutError, Sender};

use crate::config::Config;
use crate::service::{self, Answer, ControlError, Look, Origin, Request, Snapshot};

/// What comes from the engine.
pub enum News {
    /// It was seen.
    Seen(Box<Snapshot>),
    /// It cannot be seen, and why.
    Lost(String),
    /// It answered to what was asked.
    Answered(Result<Answer, String>),
}

/// What to look at, and what to ask.
#[derive(Clone)]
pub struct Client {
    look: Arc<Mutex<Option<Look>>>,
    requests: Sender<Request>,
}

impl Client {
    /// Starts the thread; it looks every `interval`, and tells what it sees.
    pub fn start(config: &Config, interval: Duration, tell: impl Fn(News) -> bool + Send + 'static) -> Self {
        let (requests, asked) = flume::unbounded();
        let look = Arc::new(Mutex::new(Some(Look::default())));
        let (config, wanted) = (config.clone(), look.clone());
        std::thread::spawn(move || serve(&config, interval, &wanted, &asked, &tell));
        Self { look, requests }
    }

    /// What to look at from now on; nothing, when the view is frozen.
    pub fn look(&self, look: Option<Look>) {
        *self.look.lock().unwrap_or_else(PoisonError::into_inner) = look;
    }

    /// Asks for something.
    pub fn ask(&self, request: Request) {
        // The thread ends with the program only.
        drop(self.requests.send(request));
    }
}

fn serve(
    config: &Config,
    interval: Duration,
    wanted: &Mutex<Option<Look>>,
    asked: &Receiver<Request>,
    tell: &(impl Fn(News) -> bool + Send + 'static),
) {
    let by = Origin::dashboard();
    loop {
        match asked.recv_timeout(interval) {
            Ok(request) => {
                if !tell(News::Answered(service::ask(config, &request, &by).map_err(|error| error.to_string()))) {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let look = wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(look) = look else { continue };
        let news = match service::look_at(config, &look) {
            Ok(snapshot) => News::Seen(Box::new(snapshot)),
            Err(ControlError::NotRunning { .. }) => {
                News::Lost("the engine does not run; `meshreel run` starts it".into())
            }
            Err(error) => News::Lost(error.to_string()),
        };
        if !tell(news) {
            return;
        }
    }
}
