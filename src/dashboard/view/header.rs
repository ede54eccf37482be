//! The first lines: what the engine and the machine are at.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::clock;
use crate::dashboard::app::App;
use crate::job::JobState;
use crate::queue::QueueMode;
use crate::service::Snapshot;
use crate::text::printable;

/// Lines it takes.
pub fn height(whole: Rect) -> u16 {
    if whole.height >= 20 { 3 } else { 2 }
}

/// Draws it.
pub fn draw(frame: &mut Frame, place: Rect, app: &App) {
    let theme = app.theme;
    let mut lines = vec![state_line(app)];
    match &app.snapshot {
        None => lines.push(Line::from("")),
        Some(snapshot) => {
            lines.push(counts_line(app, snapshot, place.width));
            if place.height > 2 {
                lines.push(machine_line(app, snapshot, usize::from(place.width)));
            }
        }
    }
    for (line, y) in lines.into_iter().zip(place.y..place.y + place.height) {
        frame.render_widget(line, Rect { y, height: 1, ..place });
    }
    if app.is_frozen {
        let text = Line::from(Span::styled(" FROZEN ", theme.warning().patch(theme.selected()))).right_aligned();
        frame.render_widget(text, Rect { height: 1, ..place });
    }
}

/// Whether it works, what it watches, how fast it is.
fn state_line(app: &App) -> Line<'static> {
    let theme = app.theme;
    let mut spans = vec![Span::styled("meshreel ", theme.title())];
    let loud =
        |text: String, style: ratatui::style::Style| Span::styled(format!(" {text} "), style.patch(theme.selected()));
    if let Some(trouble) = &app.trouble {
        spans.push(loud("NO ENGINE".into(), theme.bad()));
        spans.push(Span::raw(format!(" {}", printable(trouble))));
        return Line::from(spans);
    }
    let Some(snapshot) = &app.snapshot else {
        spans.push(Span::styled("connecting to the engine", theme.faint()));
        return Line::from(spans);
    };
    let at_work = snapshot.at_work.iter().filter(|job| job.fps > 0.0).count();
    spans.push(match snapshot.mode {
        QueueMode::Pause { until: None } => loud("PAUSED".into(), theme.warning()),
        QueueMode::Pause { until: Some(until) } => {
            loud(format!("PAUSED until {}", clock::local(until)), theme.warning())
        }
        _ if !snapshot.is_open => loud("OUTSIDE WORKING HOURS".into(), theme.warning()),
        _ if snapshot.is_draining => loud("STOPS after the running jobs".into(), theme.warning()),
        QueueMode::Drain => loud("DRAINING: starts no new jobs".into(), theme.warning()),
        QueueMode::Go if at_work > 0 => Span::styled(format!("{} working", theme.sign("●", "*")), theme.good()),
        QueueMode::Go => Span::styled(format!("{} waiting for videos", theme.sign("○", "o")), theme.faint()),
    });
    spans.push(Span::raw(format!("   {:.1} fps now, {:.1} in the last hour", snapshot.fps, snapshot.fps_hour)));
    for (folder, is_there) in &snapshot.folders {
        spans.push(Span::raw("   "));
        spans.push(Span::raw(printable(folder)));
        if !is_there {
            spans.push(Span::styled(" unavailable", theme.bad()));
        }
    }
    if app.read_only {
        spans.push(Span::styled("   read-only", theme.faint()));
    }
    Line::from(spans)
}

fn counts_line(app: &App, snapshot: &Snapshot, width: u16) -> Line<'static> {
    let mut spans = Vec::new();
    let is_narrow = width < 80;
    // On a narrow screen only what there is.
    for (state, count) in snapshot.counts.iter().filter(|(_, count)| *count > 0 || !is_narrow) {
        let style = if *count == 0 { app.theme.faint() } else { app.theme.state(*state) };
        let space = if is_narrow { " " } else { "   " };
        spans.push(Span::styled(format!("{count} {}{space}", state.name()), style));
    }
    let has_failed = snapshot.counts.iter().any(|(state, count)| *state == JobState::Failed && *count > 0);
    if has_failed && width >= 110 {
        spans.push(Span::styled("Enter on a failed job shows why", app.theme.faint()));
    }
    Line::from(spans)
}

fn machine_line(app: &App, snapshot: &Snapshot, width: usize) -> Line<'static> {
    let theme = app.theme;
    let machine = snapshot.machine;
    // The line must fit on a screen of 80 columns.
    let gigabytes = |megabytes: u64| {
        let decimals = if megabytes < 10_000 { 1 } else { 0 };
        format!("{:.decimals$}", megabytes as f64 / 1000.0)
    };
    let disk = match machine.disk_free {
        None => Span::raw("disk unavailable"),
        Some(free) if free < 2000 => Span::styled(format!("disk {free} MB free"), theme.bad()),
        Some(free) => Span::raw(format!("disk {} GB free", gigabytes(free))),
    };
    let mut spans = vec![
        Span::raw(format!("cpu {} {:3.0}% of {}", theme.bar(machine.cpu, 8), 100.0 * machine.cpu, machine.cores)),
        Span::raw(format!(
            "   memory {} of {} GB, engine {} GB   ",
            gigabytes(machine.memory),
            gigabytes(machine.memory_of),
            gigabytes(machine.engine_memory)
        )),
        disk,
    ];
    if let Some(gpu) = machine.gpu {
        let [memory, of] = [gpu.memory, gpu.memory_of].map(gigabytes);
        spans.push(Span::raw(format!(
            "   gpu {} {:3.0}%, {memory} of {of} GB",
            theme.bar(gpu.busy, 8),
            100.0 * gpu.busy
        )));
    }
    let used: usize = spans.iter().map(Span::width).sum();
    let what = format!("   networks on {}, rendering on {}", snapshot.inference, printable(&snapshot.renderer));
    let room = width.saturating_sub(used);
    spans.push(Span::styled(what.chars().take(room).collect::<String>(), theme.faint()));
    Line::from(spans)
}
