//! Pictures of every pane in the main situations at five sizes.

use std::path::PathBuf;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::draw;
use crate::dashboard::app::{App, Popup, Typing};
use crate::dashboard::keys::{Keys, Pane};
use crate::dashboard::theme::Theme;
use crate::job::{JobState, Phase, Placement};
use crate::log::Line;
use crate::queue::{QueueMode, Row};
use crate::service::{AtWork, Detail, Gpu, Machine, Snapshot};
use crate::telemetry::{Chart, Depth, Figures, Stage, WorkerFigures};

const NOW: i64 = 1_800_000_000_000;

fn row(id: i64, name: &str, state: JobState) -> Row {
    Row {
        id,
        source: PathBuf::from("/in").join(name),
        video: "/out/a.mp4".into(),
        state,
        priority: if id == 2 { 5 } else { 0 },
        attempts: 1,
        ready: 0,
        added: NOW - id * 60_000,
        started: None,
        ended: None,
        phase: None,
        frames: 0,
        total: None,
        people: if state == JobState::Done { 2 } else { 0 },
        error: None,
        resume: None,
        placement: None,
    }
}

fn figures(ms: f32, busy: f32) -> Figures {
    let course = (0..20).map(|part| ms * (1.0 + 0.3 * (part as f32).sin())).collect();
    Figures { count: 100, p50: ms, p95: 2.0 * ms, max: 3.0 * ms, busy, course }
}

/// An engine without work.
pub fn idle() -> Snapshot {
    Snapshot {
        now: NOW,
        since: NOW - 3_600_000,
        pid: 7,
        folders: vec![("/in".into(), true)],
        mode: QueueMode::Go,
        is_draining: false,
        is_open: true,
        counts: JobState::ALL.into_iter().map(|state| (state, 0)).collect(),
        machine: Machine {
            cpu: 0.02,
            cores: 2,
            memory: 3_100,
            memory_of: 25_300,
            engine_memory: 410,
            disk_free: Some(70_200),
            gpu: None,
        },
        inference: "cpu".into(),
        renderer: "llvmpipe (LLVM 15.0.6, 256 bits)".into(),
        fps: 0.0,
        fps_hour: 0.0,
        stages: Stage::ALL.iter().map(|_| Figures::default()).collect(),
        depths: [Depth { used: 0, capacity: 4, queues: 1 }; 5],
        workers: vec![WorkerFigures::default(); 2],
        render_shares: Vec::new(),
        at_work: Vec::new(),
        nodes: 0,
        jobs: Some((1, Vec::new())),
        log: Vec::new(),
        chart: None,
        detail: None,
        preview: None,
    }
}

fn busy() -> Snapshot {
    let failed = Row {
        error: Some("it is not a readable video: Invalid data found when processing input".into()),
        ..row(4, "broken.mp4", JobState::Failed)
    };
    let rows = vec![
        row(1, "serve left \u{1b}[2J.mp4", JobState::Running),
        row(2, "長い名前のビデオ 人.mp4", JobState::Running),
        row(3, "قفزة عالية.mov", JobState::Queued),
        Row { resume: Some(NOW + 60_000), ..row(5, "waits.mkv", JobState::Paused) },
        row(6, "a name that is far too long for the column of a terminal that is not wide.mp4", JobState::Done),
        failed,
    ];
    let mut snapshot = Snapshot {
        fps: 11.5,
        fps_hour: 10.25,
        machine: Machine { cpu: 0.99, ..idle().machine },
        counts: vec![
            (JobState::Running, 2),
            (JobState::Queued, 1),
            (JobState::Paused, 1),
            (JobState::Done, 1),
            (JobState::Failed, 1),
        ],
        stages: [5.2, 15.5, 14.25, 0.8, 0.4, 14.0, 2.5, 26.0]
            .into_iter()
            .zip([0.1, 0.5, 1.4, 0.02, 0.0, 0.3, 0.05, 0.5])
            .map(|(ms, busy)| figures(ms, busy))
            .collect(),
        depths: [(1, 2, 2), (6, 64, 1), (4, 4, 1), (1, 4, 1), (2, 2, 2)].map(|(used, capacity, queues)| Depth {
            used,
            capacity,
            queues,
        }),
        workers: vec![
            WorkerFigures { figures: figures(15.0, 0.97), job: 1 },
            WorkerFigures { figures: figures(16.0, 0.95), job: 2 },
        ],
        render_shares: vec![(1, 0.75), (2, 0.25)],
        at_work: vec![
            AtWork { id: 1, phase: Phase::Draw, done: 120, total: Some(240), people: 2, fps: 8.0 },
            AtWork { id: 2, phase: Phase::Observe, done: 30, total: Some(9000), people: 11, fps: 3.5 },
        ],
        jobs: Some((1, rows)),
        chart: Some(Chart {
            frames: 240,
            from: 0,
            per_column: 4,
            columns: (0..60)
                .map(|at| [6.0, if at % 6 == 0 { 120.0 } else { 0.0 }, 28.0, 1.0, 0.5, 14.0, 2.0, 26.0])
                .collect(),
            slowest: vec![(0, 197.5), (24, 197.5), (48, 197.5)],
        }),
        ..idle()
    };
    snapshot.log = [(3, "/in/serve.mp4: queued as job 1"), (2, "/in/broken.mp4: not taken"), (1, "the disk is full")]
        .into_iter()
        .zip(1..)
        .map(|((level, text), number)| Line { number, time: NOW, level, job: None, text: text.into() })
        .collect();
    snapshot
}

fn app(snapshot: Snapshot) -> App {
    let mut app = App::new(Theme { colors: true, unicode: true }, Keys::default(), false);
    app.see(snapshot);
    app
}

/// What is on the screen; times of the day depend on the place and are blotted out.
fn picture(app: &mut App, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, app)).unwrap();
    let text = terminal.backend().to_string();
    let letters: Vec<char> = text.chars().collect();
    let is_time = |at: usize| {
        letters.get(at..at + 8).is_some_and(|part| {
            part.iter().enumerate().all(|(i, c)| if i % 3 == 2 { *c == ':' } else { c.is_ascii_digit() })
        })
    };
    let is_day = |at: usize| {
        letters.get(at..at + 10).is_some_and(|part| {
            part.iter().enumerate().all(|(i, c)| if i == 4 || i == 7 { *c == '-' } else { c.is_ascii_digit() })
        })
    };
    let hidden = |at: usize| (at.saturating_sub(7)..=at).any(is_time) || (at.saturating_sub(9)..=at).any(is_day);
    letters.iter().enumerate().map(|(at, c)| if c.is_ascii_digit() && hidden(at) { '0' } else { *c }).collect()
}

fn press(app: &mut App, keys: &str) {
    for letter in keys.chars() {
        let code = if letter == '\n' { KeyCode::Enter } else { KeyCode::Char(letter) };
        app.press(KeyEvent::new(code, KeyModifiers::NONE));
    }
}

#[test]
fn main_situations_at_five_sizes() {
    let mut paused = busy();
    paused.mode = QueueMode::Pause { until: None };
    paused.at_work.clear();
    paused.folders[0].1 = false;
    for (name, snapshot) in [("empty", idle()), ("busy", busy()), ("paused", paused)] {
        for (width, height) in [(40, 12), (60, 20), (80, 24), (120, 40), (200, 60)] {
            let mut app = app(snapshot.clone());
            insta::assert_snapshot!(format!("{name}_{width}x{height}"), picture(&mut app, width, height));
        }
    }
}

#[test]
fn jobs_on_a_cluster_show_where_they_are() {
    let mut snapshot = busy();
    (snapshot.nodes, snapshot.workers) = (1, Vec::new());
    (snapshot.inference, snapshot.renderer) = ("nodes of the cluster".into(), "nodes of the cluster".into());
    let rows = &mut snapshot.jobs.as_mut().unwrap().1;
    let placement = Placement { task: 1234, node: Some("node07".into()), gpus: "2".into(), waits: String::new() };
    rows[0].placement = Some(placement.clone());
    rows[1].placement = Some(Placement { node: None, gpus: String::new(), waits: "Resources".into(), ..placement });
    for (width, height) in [(60, 20), (80, 24), (200, 60)] {
        let mut app = app(snapshot.clone());
        insta::assert_snapshot!(format!("cluster_{width}x{height}"), picture(&mut app, width, height));
    }
}

#[test]
fn every_pane_and_popup_on_a_small_screen() {
    for (name, keys) in [
        ("pipeline", "2"),
        ("render", "3"),
        ("frames", "4"),
        ("log", "5"),
        ("preview", "6"),
        ("help", "?"),
        ("cancel", "c"),
        ("filter", "/clip"),
        ("marked", "vvs"),
    ] {
        let mut app = app(busy());
        press(&mut app, keys);
        insta::assert_snapshot!(name, picture(&mut app, 80, 24));
    }
    let mut plain = app(busy());
    plain.theme = Theme { colors: false, unicode: false };
    insta::assert_snapshot!("without_unicode", picture(&mut plain, 80, 24));
    let mut lost = app(busy());
    lost.lose("the engine does not run".into());
    insta::assert_snapshot!("lost", picture(&mut lost, 80, 24));
    let mut failed = busy();
    let rows = failed.jobs.as_ref().unwrap().1.clone();
    failed.detail = Some(Detail { row: rows[5].clone(), log: Vec::new(), report: None });
    let mut app = app(failed);
    press(&mut app, "G\n");
    insta::assert_snapshot!("details", picture(&mut app, 80, 24));
}

#[test]
fn nothing_but_ascii_is_drawn_where_nothing_else_can_be_shown() {
    let mut snapshot = busy();
    snapshot.folders = vec![("/in/été".into(), true)];
    let rows = snapshot.jobs.as_ref().unwrap().1.clone();
    snapshot.detail = Some(Detail { row: rows[1].clone(), log: Vec::new(), report: None });
    snapshot.log[0].text = "/in/長い.mp4: queued as job 1".into();
    for keys in ["", "1", "2", "3", "4", "5", "6", "?", "jc", "/長", "j\n", "o"] {
        for (width, height) in [(40, 12), (80, 24), (200, 60)] {
            let mut app = app(snapshot.clone());
            app.theme = Theme { colors: false, unicode: false };
            app.filter = "長".into();
            press(&mut app, keys);
            let text = picture(&mut app, width, height);
            assert!(text.is_ascii(), "{keys:?}:\n{text}");
        }
    }
}

#[test]
fn what_is_pasted_is_typed_or_nothing() {
    let cancels = |app: &App| matches!(app.popup, Some(Popup::Confirm(..)));
    // No key anywhere, and no answer to a question.
    for keys in ["", "5", "?", "c"] {
        let mut app = app(busy());
        press(&mut app, keys);
        let before = app.popup.clone();
        app.paste("c\ny\nS\n");
        assert_eq!(app.popup, before, "{keys}");
        assert!(app.message.as_ref().is_some_and(|(text, _)| text.contains("pasted")), "{keys}");
    }
    let mut filtered = app(busy());
    press(&mut filtered, "/a");
    filtered.paste("\u{1b}[2Jb é\r\n");
    assert_eq!(filtered.popup, Some(Popup::Typing(Typing::Filter, "a[2Jb é".into())));
    assert_eq!(filtered.filter, "a[2Jb é");
    filtered.press(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE));
    assert_eq!((filtered.popup, filtered.filter.as_str()), (None, ""), "escape removes it");
    let mut added = app(busy());
    press(&mut added, "a");
    added.paste("/in/a b.mp4\n/in/c.mp4\n");
    assert_eq!(added.popup, Some(Popup::Typing(Typing::Add, "/in/a b.mp4".into())), "the first line, not sent yet");
    assert!(!cancels(&added));
}

#[test]
fn a_long_history_is_scrolled_through() {
    let mut snapshot = idle();
    let rows = (1..=10_000).map(|id| row(id, &format!("clip {id}.mp4"), JobState::Done)).collect();
    snapshot.jobs = Some((1, rows));
    let mut app = app(snapshot);
    press(&mut app, "G");
    let text = picture(&mut app, 80, 24);
    assert!(text.contains("clip 10000.mp4") && !text.contains("clip 9000.mp4"), "{text}");
    press(&mut app, "gj");
    let text = picture(&mut app, 80, 24);
    assert!(text.contains("clip 2.mp4") && app.selected == Some(2), "{text}");
}

#[test]
fn what_is_at_work_is_selected_until_the_user_selects() {
    let with = |states: [JobState; 2]| {
        let mut snapshot = idle();
        snapshot.jobs = Some((1, vec![row(1, "a.mp4", states[0]), row(2, "b.mp4", states[1])]));
        snapshot
    };
    let mut app = app(with([JobState::Done, JobState::Done]));
    assert_eq!(app.selected, Some(1));
    app.see(with([JobState::Done, JobState::Running]));
    assert_eq!(app.selected, Some(2));
    app.see(with([JobState::Running, JobState::Queued]));
    assert_eq!(app.selected, Some(2), "what waits is not passed over");
    press(&mut app, "G");
    app.see(with([JobState::Running, JobState::Done]));
    assert_eq!(app.selected, Some(2), "it was chosen");
}

#[test]
fn a_gpu_is_shown_where_there_is_one() {
    let machine = Machine { gpu: Some(Gpu { busy: 0.37, memory: 2_150, memory_of: 150_700 }), ..idle().machine };
    let mut app = app(Snapshot { machine, ..idle() });
    let text = picture(&mut app, 200, 60);
    assert!(text.contains(" 37%, 2.1 of 151 GB"), "{text}");
}

#[test]
fn by_fps_the_fastest_at_work_come_first() {
    let mut snapshot = busy();
    (snapshot.at_work[0].fps, snapshot.at_work[1].fps) = (4.0, 9.0);
    let mut app = app(snapshot.clone());
    press(&mut app, "ssss");
    let order = |app: &App| app.rows.iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!((app.sort.name(), &order(&app)[..3]), ("fps", &[2, 1, 3][..]));
    snapshot.at_work[0].fps = 12.0;
    snapshot.jobs = None;
    app.see(snapshot);
    assert_eq!(order(&app)[..3], [1, 2, 3], "it follows their speed");
    press(&mut app, "s");
    assert_eq!(app.sort.name(), "queue order");
}

#[test]
fn the_mouse_selects_rows_and_panes_and_scrolls() {
    let mut app = app(busy());
    let at = |app: &mut App, text: &str| {
        let lines: Vec<String> = picture(app, 120, 40).lines().map(str::to_owned).collect();
        let row = lines.iter().position(|line| line.contains(text)).unwrap();
        (lines[row].chars().position(|c| c == text.chars().next().unwrap()).unwrap() as u16, row as u16)
    };
    let point =
        |app: &mut App, kind, (column, row)| app.point(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE });
    let place = at(&mut app, "broken.mp4");
    point(&mut app, MouseEventKind::Down(MouseButton::Left), place);
    assert_eq!((app.selected, app.pane), (Some(4), Pane::Jobs));
    point(&mut app, MouseEventKind::ScrollUp, place);
    let third_above = app.rows.iter().position(|row| Some(row.id) == app.selected).unwrap() + 3;
    assert_eq!(app.rows[third_above].id, 4);
    let place = at(&mut app, "2 Pipeline");
    point(&mut app, MouseEventKind::Down(MouseButton::Left), place);
    assert_eq!(app.pane, Pane::Pipeline);
    point(&mut app, MouseEventKind::Down(MouseButton::Left), (119, 0));
    assert_eq!(app.pane, Pane::Pipeline, "the header is no pane");
}

#[test]
fn any_size_can_be_drawn() {
    for width in (1..90).step_by(7) {
        for height in 1..30 {
            for keys in ["", "2", "3", "4", "5", "6", "?", "c"] {
                let mut app = app(busy());
                press(&mut app, keys);
                picture(&mut app, width, height);
            }
        }
    }
}
