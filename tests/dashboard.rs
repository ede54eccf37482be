//! The dashboard in a real terminal, on a real engine: what keys do is seen on the screen and in the queue.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::num::NonZero;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use common::{ffmpeg, meshreel, run, sample, signal};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use serde_json::{Value, json};

/// What does not come in this time never comes.
const LONGEST: Duration = Duration::from_secs(120);

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).unwrap()
}

/// A folder with a configuration, and the engine that is started in it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("in")).unwrap();
        let text = "state = \"state\"\nmodel = \"lite\"\nworkers = 2\n[encode]\npreset = \"ultrafast\"\n\
                    [jobs]\nsettle = 0.1\n[[watch]]\npath = \"in\"\noutput = \"out\"\n";
        std::fs::write(folder.path().join("config.toml"), text).unwrap();
        Self { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn drop_clip(&self, name: &str, start: f64, seconds: f64) {
        let arguments =
            format!("-ss {start} -i {{}} -t {seconds} -vf scale=480:-2 -an -c:v libx264 -preset ultrafast {{}}");
        ffmpeg(&arguments, &[&sample(), &self.at(name)]);
    }

    fn meshreel(&self, arguments: &[&str]) -> String {
        let output = run(meshreel(self.folder.path()).args(arguments).args(["--config", "config.toml"]));
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    fn rows(&self) -> Vec<Value> {
        self.meshreel(&["status", "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.meshreel(&["stop"]);
    }
}

/// A dashboard in a terminal.
struct Terminal {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    screen: Arc<(Mutex<Screen>, Condvar)>,
}

struct Screen {
    parser: vt100::Parser,
    bytes: usize,
    is_over: bool,
    /// Nothing is read of what the dashboard writes.
    is_stalled: bool,
}

impl Terminal {
    fn open(folder: &Path, arguments: &[&str], rows: u16, cols: u16) -> Self {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_meshreel"));
        command.args(arguments);
        command.args(["--config", "config.toml"]);
        Self::with(command, folder, rows, cols)
    }

    fn with(mut command: CommandBuilder, folder: &Path, rows: u16, cols: u16) -> Self {
        let pair = native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        command.cwd(folder);
        for (name, value) in [("HOME", folder.to_str().unwrap()), ("LANG", "C.UTF-8"), ("TERM", "xterm-256color")] {
            command.env(name, value);
        }
        command.env_remove("LC_ALL");
        command.env_remove("XDG_RUNTIME_DIR");
        let child = pair.slave.spawn_command(command).unwrap();
        let mut output = pair.master.try_clone_reader().unwrap();
        let parser = vt100::Parser::new(cells(rows), cells(cols), 0);
        let screen =
            Arc::new((Mutex::new(Screen { parser, bytes: 0, is_over: false, is_stalled: false }), Condvar::new()));
        let filled = screen.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                let count = output.read(&mut bytes).unwrap_or(0);
                let mut screen = filled.0.lock().unwrap();
                screen.parser.process(&bytes[..count]);
                screen.bytes += count;
                screen.is_over = count == 0;
                filled.1.notify_all();
                if count == 0 {
                    return;
                }
                drop(filled.1.wait_while(screen, |screen| screen.is_stalled).unwrap());
            }
        });
        let keys = pair.master.take_writer().unwrap();
        Self { master: pair.master, keys, child, screen }
    }

    /// As a terminal that was asked to tells that text is pasted.
    fn paste(&mut self, text: &str) {
        self.press(&format!("\x1b[200~{text}\x1b[201~"));
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Stops reading what is written, or goes on.
    fn stall(&self, is_stalled: bool) {
        self.screen.0.lock().unwrap().is_stalled = is_stalled;
        self.screen.1.notify_all();
    }

    /// Waits until the text on the screen is so.
    fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        self.until_screen(what, |screen| is_so(&screen.contents()))
    }

    /// Waits until the screen is so.
    fn until_screen(&self, what: &str, is_so: impl Fn(&vt100::Screen) -> bool) -> String {
        let begun = Instant::now();
        let mut screen = self.screen.0.lock().unwrap();
        loop {
            let text = screen.parser.screen().contents();
            if is_so(screen.parser.screen()) {
                return text;
            }
            assert!(begun.elapsed() < LONGEST && !screen.is_over, "never {what}:\n{text}");
            screen = self.screen.1.wait_timeout(screen, Duration::from_secs(1)).unwrap().0;
        }
    }

    fn shows(&self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }

    fn ends(mut self) -> u32 {
        let code = self.child.wait().unwrap().exit_code();
        let begun = Instant::now();
        let mut screen = self.screen.0.lock().unwrap();
        // What was said last, after the dashboard gave the screen back.
        while !screen.is_over && begun.elapsed() < Duration::from_secs(10) {
            screen = self.screen.1.wait_timeout(screen, Duration::from_secs(1)).unwrap().0;
            if screen.parser.screen().contents().contains("The engine keeps running") {
                break;
            }
        }
        let is_restored = !screen.parser.screen().alternate_screen() && !screen.parser.screen().hide_cursor();
        assert!(is_restored, "the terminal was not restored");
        code
    }
}

#[test]
fn keys_steer_the_engine_which_goes_on_without_the_dashboard() {
    let place = Place::new();
    place.drop_clip("in/first.mp4", 2.0, 8.0);
    // `run` starts the engine and shows it.
    let mut terminal = Terminal::open(place.folder.path(), &["run"], 30, 100);
    terminal.shows("1 Jobs");
    terminal.until("at work", |screen| screen.contains("first.mp4") && screen.contains("analysing"));
    // Pausing is seen on the screen and in the queue, and can be undone.
    terminal.press(" ");
    terminal.until("paused", |screen| screen.contains("job 1 is paused") && screen.contains("1 paused"));
    assert_eq!(place.rows()[0]["state"], "paused");
    terminal.press("u");
    terminal.shows("job 1 is running");
    terminal.press("+");
    terminal.shows("job 1 has priority 1");
    assert_eq!(place.rows()[0]["priority"], 1);
    terminal.press("P");
    terminal.shows("PAUSED");
    // What is pasted is no key, and no answer.
    terminal.until_screen("asked to tell", |screen| screen.bracketed_paste());
    terminal.paste("c\ny\n");
    terminal.until("ignored", |screen| screen.contains("pasted text is ignored") && !screen.contains("Cancel job"));
    terminal.press("c");
    terminal.shows("Cancel job");
    terminal.paste("y\n");
    terminal.until("not answered", |screen| screen.contains("pasted text is ignored") && screen.contains("Cancel job"));
    terminal.press("n");
    terminal.until("answered", |screen| !screen.contains("Cancel job"));
    assert_eq!(place.rows()[0]["state"], "running");
    // A file from elsewhere, its path completed.
    place.drop_clip("other.mp4", 1.0, 0.5);
    let path = place.at("oth");
    terminal.press("a");
    terminal.shows("Add a file");
    terminal.paste(&format!("{}\n", path.display()));
    terminal.shows("oth");
    terminal.press("\t\r");
    terminal.shows("taken when it is complete");
    terminal.until("in the list", |screen| screen.contains("1 queued") && screen.contains("other.mp4"));
    // Every pane has something to show.
    for (key, text) in
        [("2", "landmarks"), ("3", "render and read"), ("4", "Frames"), ("5", "queued as job 1"), ("1", "PRIO")]
    {
        terminal.press(key);
        terminal.shows(text);
    }
    terminal.press("?");
    terminal.shows("pause or resume the job");
    terminal.press("\x1b");
    // Not both at once: crossterm forgets a key that comes with a new size until the next key.
    terminal.until("no help", |screen| !screen.contains("pause or resume the job"));
    // Resized, it fills the screen again.
    // (The emulator first, or it might get what is drawn for the new size while it has the old one.)
    terminal.screen.0.lock().unwrap().parser.screen_mut().set_size(cells(60), cells(200));
    terminal.master.resize(PtySize { rows: 60, cols: 200, pixel_width: 0, pixel_height: 0 }).unwrap();
    terminal.until("all panes", |screen| {
        ["1 Jobs", "2 Pipeline", "3 Render lock", "4 Frames", "5 Log"].iter().all(|p| screen.contains(p))
    });
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);

    // The engine keeps running; an onlooker sees it and changes nothing.
    assert_eq!(place.rows().len(), 2);
    let mut onlooker = Terminal::open(place.folder.path(), &["attach", "--read-only"], 24, 80);
    onlooker.until("the same", |screen| screen.contains("PAUSED") && screen.contains("other.mp4"));
    onlooker.press("P");
    onlooker.shows("is read-only");
    let mut terminal = Terminal::open(place.folder.path(), &[], 24, 80);
    terminal.shows("PAUSED");
    terminal.press("5");
    terminal.shows("pause everything: by the dashboard, process");
    terminal.press("1P");
    terminal.shows("everything that was not paused by itself goes on");
    // Both see it end, and that there is no engine any more.
    terminal.until("done", |screen| screen.contains("2 done"));
    onlooker.until("done", |screen| screen.contains("2 done"));
    // What was done can be seen, from the file itself.
    let mut later = Terminal::open(place.folder.path(), &["attach"], 24, 80);
    later.shows("1 Jobs");
    later.press("6");
    later.until("a picture", |screen| screen.contains("its result") && screen.contains('▀'));
    later.press("q");
    assert_eq!(later.ends(), 0);
    terminal.press("S");
    terminal.shows("Stop the engine?");
    terminal.press("y");
    terminal.shows("NO ENGINE");
    onlooker.shows("NO ENGINE");
    onlooker.press("q");
    assert_eq!(onlooker.ends(), 0);
    // A signal ends it as a key does.
    assert!(signal("-TERM", terminal.child.process_id().unwrap()));
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn a_stopped_terminal_holds_nobody_up_and_the_mouse_works() {
    let place = Place::new();
    let mut settings = std::fs::read_to_string(place.at("config.toml")).unwrap();
    settings.push_str("[dashboard]\nmouse = \"on\"\n");
    std::fs::write(place.at("config.toml"), settings).unwrap();
    place.drop_clip("in/first.mp4", 2.0, 0.5);
    let mut terminal = Terminal::open(place.folder.path(), &["run"], 30, 100);
    terminal.shows("1 done");
    let process = terminal.child.process_id().unwrap();

    // Whoever stops it, the engine does not wait.
    assert!(signal("-STOP", process));
    place.drop_clip("in/second.mp4", 3.0, 0.5);
    let begun = Instant::now();
    while place.rows().iter().filter(|row| row["state"] == "done").count() < 2 {
        assert!(begun.elapsed() < LONGEST, "{:?}", place.rows());
    }
    assert!(signal("-CONT", process));
    terminal.shows("2 done");

    // A click selects, and what is shown of it is its own.
    let screen = terminal.shows("first.mp4");
    let line = screen.lines().position(|line| line.contains("first.mp4")).unwrap() + 1;
    terminal.press(&format!("\x1b[<0;30;{line}M\x1b[<0;30;{line}m\r"));
    terminal.until("details", |screen| screen.contains("in/first.mp4") && !screen.contains("in/second.mp4"));
    // Escape and what follows at once would be one key.
    terminal.press("\x1b");
    terminal.until("the list", |screen| !screen.contains("in/first.mp4") && screen.contains("second.mp4"));
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);

    // In a shell Ctrl-Z gives the terminal back, and `fg` takes it again.
    let mut shell = CommandBuilder::new("bash");
    shell.args(["--norc", "--noprofile", "-i"]);
    shell.env("PS1", "ready> ");
    let mut terminal = Terminal::with(shell, place.folder.path(), 30, 100);
    // What the shell asks of the terminal for itself is not to be taken for the dashboard's.
    terminal.press("bind 'set enable-bracketed-paste off'\r");
    terminal.press(&format!("{} attach --config config.toml\r", env!("CARGO_BIN_EXE_meshreel")));
    terminal.until_screen("shown", |screen| screen.alternate_screen() && screen.contents().contains("2 done"));
    terminal.press("\x1a");
    terminal.until_screen("given back", |screen| {
        let is_plain = !screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste();
        is_plain
            && screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
            && screen.contents().contains("Stopped")
    });
    terminal.press("fg\r");
    terminal.until_screen("taken again", |screen| {
        screen.alternate_screen() && screen.bracketed_paste() && screen.contents().contains("2 done")
    });
    terminal.press("?");
    terminal.shows("pause or resume the job");
    terminal.press("\x1b");
    terminal.until("the list", |screen| !screen.contains("pause or resume the job"));
    terminal.press("q");
    terminal.until_screen("left", |s| !s.alternate_screen() && s.contents().trim_end().ends_with("ready>"));
    terminal.press("exit\r");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn terminals_that_can_show_little_get_lines_or_ascii() {
    let place = Place::new();
    place.drop_clip("in/été.mp4", 2.0, 0.5);
    let open = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = CommandBuilder::new("env");
        variables.iter().for_each(|(name, value)| command.arg(format!("{name}={value}")));
        command.arg(env!("CARGO_BIN_EXE_meshreel"));
        command.args(arguments);
        command.args(["--config", "config.toml"]);
        Terminal::with(command, place.folder.path(), 24, 80)
    };
    // Lines of progress, as without a terminal, and a word why.
    let dumb = open(&["run"], &[("TERM", "dumb")]);
    dumb.until_screen("lines", |screen| {
        let text = screen.contents();
        text.contains("TERM is \"dumb\", so there is no dashboard") && text.contains("été.mp4: done")
    });
    let screen = open(&["attach"], &[("TERM", "")]);
    screen.shows("TERM is not set; `meshreel status` shows");
    assert_eq!(screen.ends(), 2);
    // In ASCII only.
    let mut ascii = open(&["attach"], &[("LC_ALL", "C")]);
    ascii.until("a name", |screen| screen.contains("?t?.mp4") && screen.contains("1 done") && screen.is_ascii());
    ascii.press("5");
    ascii.until("the log", |screen| screen.contains("?t?.mp4: queued as job 1") && screen.is_ascii());
    ascii.press("q");
    assert_eq!(ascii.ends(), 0);
    assert!(place.meshreel(&["stop"]).contains("the engine ends"));
    assert_eq!(dumb.ends(), 0);
    let plain = open(&["process", "in/été.mp4", "-o", "again"], &[("LC_ALL", "C"), ("LC_CTYPE", "C.UTF-8")]);
    plain.until("in ASCII", |screen| screen.contains("?t?.mp4: done, ") && screen.is_ascii());
    assert_eq!(plain.ends(), 0);
}

#[test]
fn what_cannot_be_shown_is_told() {
    let place = Place::new();
    assert!(place.meshreel(&["attach"]).contains("no engine runs"));
    // An engine that ends at once says why.
    std::fs::write(place.at("config.toml"), "state = \"state\"\n").unwrap();
    let terminal = Terminal::open(place.folder.path(), &["run"], 24, 80);
    terminal.shows("no folder is watched");
    std::fs::write(place.at("config.toml"), "[keys]\nquit = [\"x\"]\n").unwrap();
    let output = run(meshreel(place.folder.path()).args(["run", "--once", "--config", "config.toml"]));
    assert!(output.status.code() == Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Stands between a dashboard and an engine, and has the engine say far more than it does.
struct Talker {
    state: PathBuf,
    looks: Receiver<u64>,
}

/// Lines that are in each answer.
const LINES: u64 = 200;

impl Talker {
    /// Listens for the state folder `state`, in front of the engine of the state folder `engine`.
    fn start(engine: &Path, state: PathBuf) -> Self {
        std::fs::create_dir(&state).unwrap();
        let lock = std::fs::read_to_string(engine.join("engine.lock")).unwrap();
        let behind = PathBuf::from(lock.lines().nth(1).unwrap());
        let socket = state.join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        std::fs::write(state.join("engine.lock"), format!("{}\n{}\n", std::process::id(), socket.display())).unwrap();
        let (told, looks) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for number in 1.. {
                let (mut dashboard, _) = listener.accept().unwrap();
                let mut line = String::new();
                BufReader::new(&dashboard).read_line(&mut line).unwrap();
                let mut engine = UnixStream::connect(&behind).unwrap();
                engine.write_all(line.as_bytes()).unwrap();
                line.clear();
                BufReader::new(engine).read_line(&mut line).unwrap();
                let mut answer: Value = serde_json::from_str(&line).unwrap();
                // Other letters each time, so that all of it is written to the terminal.
                let letter = char::from(b'a' + (number % 26) as u8).to_string().repeat(180);
                let line = |at| {
                    let number = LINES * number + at;
                    json!({"number": number, "time": 0, "level": 3, "job": null, "text": format!("line {number} {letter}")})
                };
                answer["log"] = (0..LINES).map(line).collect();
                // Who has left does not listen.
                let _ = dashboard.write_all(format!("{answer}\n").as_bytes());
                if told.send(number).is_err() {
                    return;
                }
            }
        });
        Self { state, looks }
    }
}

#[test]
fn nothing_piles_up_for_a_terminal_that_takes_nothing() {
    let place = Place::new();
    drop(Terminal::open(place.folder.path(), &["run"], 24, 80).shows("1 Jobs"));
    let talker = Talker::start(&place.at("state"), place.at("talker"));
    let settings = format!("state = {:?}\n[dashboard]\nfps = 60\n", talker.state);
    std::fs::write(place.at("talker.toml"), settings).unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_meshreel"));
    command.args(["attach", "--config", "talker.toml"]);
    let mut terminal = Terminal::with(command, place.folder.path(), 60, 200);
    terminal.press("5");
    terminal.shows("info  line ");

    // Ten times a second it looked while it could write. Once the terminal is full, it looks no more.
    let stall = || {
        terminal.stall(true);
        let begun = Instant::now();
        let mut last = 0;
        while let Ok(number) = talker.looks.recv_timeout(Duration::from_secs(3)) {
            last = number;
            assert!(begun.elapsed() < LONGEST, "it still looks, for the {number}th time");
        }
        last
    };
    let last = stall();
    // What it knows then is what it saw last: the lines on the screen go on, and there they end.
    terminal.stall(false);
    terminal.shows(&format!("line {}", LINES * (last + 1) - 1));
    assert!(talker.looks.recv_timeout(LONGEST).is_ok(), "it looks again");
    // It can be ended even so: the second signal does not wait for the terminal.
    stall();
    let process = terminal.child.process_id().unwrap();
    let begun = Instant::now();
    let mut ended = None;
    while ended.is_none() {
        assert!(signal("-TERM", process) && begun.elapsed() < LONGEST, "it does not end");
        ended = terminal.child.try_wait().unwrap();
    }
    assert_eq!(ended.unwrap().exit_code(), 130);
}
