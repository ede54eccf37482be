//! The dashboard: shows the engine, and steers it from the keyboard. It is a client; the engine is a process of its own and
//! goes on without it.
//!
//! Keys, the engine's news and signals arrive in one channel; `App` says what becomes of them; `view` draws what it then
//! holds, at most so many times a second and only when something changed.

mod advice;
mod app;
mod client;
mod graphics;
mod keys;
mod start;
mod theme;
mod view;

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flume::{Receiver, RecvTimeoutError, Sender};
use ratatui::DefaultTerminal;
use ratatui::crossterm::clipboard::CopyToClipboard;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, Event as Input,
};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate};

use self::app::{App, Effect};
use self::client::{Client, News};
use self::theme::Theme;
use crate::config::Config;
use crate::terminal;

pub use self::keys::Keys;
pub use self::start::{StartEngineError, start_engine};

/// Keys and news that wait to be handled at most; then keys wait in the terminal, and the client does not go on.
const WAITING: usize = 64;
/// The exit code after a second signal.
const INTERRUPTED: i32 = 130;
/// How soon a signal is noticed.
const NAP: Duration = Duration::from_millis(200);

/// Why there is no dashboard.
#[derive(Debug, thiserror::Error)]
pub enum DashboardError {
    /// It cannot be drawn.
    #[error("the terminal: {0}")]
    Terminal(#[from] io::Error),
    /// There is no terminal.
    #[error(
        "standard input and output are no terminal; `meshreel run --headless` needs none, `meshreel status` shows the jobs"
    )]
    NoTerminal,
    /// There is one that can only write line after line.
    #[error(
        "there is no dashboard on this terminal: {0}; `meshreel status` shows the jobs, `meshreel log --all` what happened"
    )]
    Plain(String),
    /// The configuration names keys or actions that do not exist.
    #[error("{0}")]
    Keys(String),
}

/// What happens.
enum Event {
    Input(Input),
    News(News),
}

/// Shows the engine of a state folder until the user leaves.
///
/// # Errors
/// When there is no terminal to draw on.
pub fn run(config: &Config, read_only: bool) -> Result<(), DashboardError> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(DashboardError::NoTerminal);
    }
    if let Some(why) = terminal::why_plain() {
        return Err(DashboardError::Plain(why));
    }
    let keys = Keys::new(config.keys.clone()).map_err(DashboardError::Keys)?;
    let mut app = App::new(Theme::of_terminal(), keys, read_only);
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP, signal_hook::consts::SIGINT] {
        // The second one ends it also where the terminal takes nothing, so that the first is never seen.
        signal_hook::flag::register_conditional_shutdown(signal, INTERRUPTED, ended.clone())?;
        signal_hook::flag::register(signal, ended.clone())?;
    }
    let (sender, events) = flume::bounded(WAITING);
    let news = sender.clone();
    // Per second so many at most; the engine is looked at half as often.
    let least = Duration::from_secs_f64(1.0 / config.dashboard.fps);
    let client = Client::start(config.clone(), 2 * least.max(Duration::from_millis(50)), move |what| {
        news.send(Event::News(what)).is_ok()
    })?;
    // Who selects text with the mouse over SSH would lose that.
    let has_mouse = config.dashboard.mouse.is_on();
    // Restores the terminal in a panic as well.
    let mut screen = ratatui::try_init()?;
    app.has_preview = config.dashboard.preview.is_on();
    app.picker = graphics::picker();
    crate::thread::spawn("input", move || read_input(&sender))?;
    // In a panic as well.
    let _left = Leave;
    let result =
        enter(has_mouse).and_then(|()| show(&mut screen, &mut app, &client, &events, least, &ended, has_mouse));
    Ok(result?)
}

/// Pasted text is told from keys, and the mouse may be used.
fn enter(has_mouse: bool) -> io::Result<()> {
    execute!(io::stdout(), EnableBracketedPaste)?;
    if has_mouse { execute!(io::stdout(), EnableMouseCapture) } else { Ok(()) }
}

/// Gives the terminal back as it was.
struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        // What cannot be restored now cannot be at all.
        drop(execute!(io::stdout(), DisableMouseCapture, DisableBracketedPaste));
        ratatui::restore();
        drop(execute!(io::stdout(), Show));
    }
}

fn read_input(sender: &Sender<Event>) {
    // A terminal that is gone ends the dashboard by a signal.
    while let Ok(input) = event::read() {
        if sender.send(Event::Input(input)).is_err() {
            return;
        }
    }
}

fn show(
    terminal: &mut DefaultTerminal,
    app: &mut App,
    client: &Client,
    events: &Receiver<Event>,
    least: Duration,
    ended: &AtomicBool,
    has_mouse: bool,
) -> io::Result<()> {
    let mut drawn: Option<Instant> = None;
    let mut is_stale = true;
    while !ended.load(Ordering::SeqCst) {
        if is_stale && drawn.is_none_or(|drawn| drawn.elapsed() >= least) {
            draw(terminal, app)?;
            (drawn, is_stale) = (Some(Instant::now()), false);
            // Only now: what the terminal does not take is not asked for.
            client.look((!app.is_frozen).then(|| app.look(view::chart_columns(&app.places))));
        }
        let patience = if is_stale { least } else { NAP };
        let first = match events.recv_timeout(patience) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        for event in std::iter::once(first).chain(events.drain()) {
            let is_input = matches!(event, Event::Input(_));
            if handle(app, client, event, terminal, has_mouse)? {
                return Ok(());
            }
            // Keys are answered at once, news at the pace of drawing.
            if is_input {
                drawn = None;
            }
            is_stale = true;
        }
    }
    Ok(())
}

/// Says whether that was the end.
fn handle(
    app: &mut App,
    client: &Client,
    event: Event,
    terminal: &mut DefaultTerminal,
    has_mouse: bool,
) -> io::Result<bool> {
    let effects = match event {
        Event::News(News::Seen(snapshot)) if app.is_frozen => {
            drop(snapshot);
            Vec::new()
        }
        Event::News(News::Seen(snapshot)) => {
            app.see(*snapshot);
            Vec::new()
        }
        Event::News(News::Lost(why)) => {
            app.lose(why);
            Vec::new()
        }
        Event::News(News::Answered(answer)) => {
            app.answered(answer);
            Vec::new()
        }
        Event::Input(Input::Key(key)) => app.press(key),
        Event::Input(Input::Mouse(mouse)) => {
            app.point(mouse);
            Vec::new()
        }
        Event::Input(Input::Paste(text)) => {
            app.paste(&text);
            Vec::new()
        }
        Event::Input(_) => Vec::new(),
    };
    for effect in effects {
        match effect {
            Effect::Ask(request) => client.ask(request),
            Effect::Quit => return Ok(true),
            // Of the machine that the terminal runs on, also over SSH.
            Effect::Copy(text) => execute!(io::stdout(), CopyToClipboard::to_clipboard_from(text))?,
            Effect::Suspend => {
                drop(Leave);
                // Until the shell's `fg`.
                signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)?;
                *terminal = ratatui::try_init()?;
                enter(has_mouse)?;
                // Not the terminal's own way to clear it: that asks where the cursor is, and the answer goes to who reads keys.
                execute!(io::stdout(), Clear(ClearType::All))?;
            }
        }
    }
    Ok(false)
}

fn draw(terminal: &mut DefaultTerminal, app: &mut App) -> io::Result<()> {
    // Terminals that do not know it ignore it; the others show the whole change at once.
    execute!(io::stdout(), BeginSynchronizedUpdate)?;
    terminal.draw(|frame| view::draw(frame, app))?;
    execute!(io::stdout(), EndSynchronizedUpdate)
}
