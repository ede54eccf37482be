//! The stages as the data flows, the detection workers, and who waits for the render thread.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table, Wrap};

use super::pane;
use crate::dashboard::advice::{advice, bottleneck, threads};
use crate::dashboard::app::App;
use crate::dashboard::keys::Pane;
use crate::service::Snapshot;
use crate::telemetry::{Buffer, Depth, Figures, Stage};

/// What a stage is called here.
pub fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Decode => "decode",
        Stage::Detect => "detect",
        Stage::Landmarks => "landmarks",
        Stage::Fit => "fit",
        Stage::RenderWait => "wait",
        Stage::Render => "render",
        Stage::Blend => "blend",
        Stage::Encode => "encode",
    }
}

/// Draws the pipeline.
pub fn draw(frame: &mut Frame, place: Rect, app: &App) {
    let inside = pane(frame, place, app, Pane::Pipeline, "ms per frame, last 10 s");
    let Some(snapshot) = &app.snapshot else { return };
    let theme = app.theme;
    let spark = usize::from(inside.width.saturating_sub(62)).min(20);
    let limits = bottleneck(snapshot);
    // The stages that have a queue before them, with it.
    let queue = |stage: Stage| match stage {
        Stage::Detect => Some(Buffer::Urgent),
        Stage::Landmarks => Some(Buffer::Ordinary),
        Stage::Render => Some(Buffer::Render),
        Stage::Encode => Some(Buffer::Encode),
        Stage::Decode | Stage::Fit | Stage::RenderWait | Stage::Blend => None,
    };
    // While nothing is encoded there is no queue.
    let depth = |stage| queue(stage).map(|buffer| snapshot.depth(buffer)).filter(|depth| depth.capacity > 0);
    let stages = Stage::ALL.into_iter().filter(|stage| *stage != Stage::RenderWait);
    let mut rows: Vec<TableRow> = stages
        .map(|stage| {
            let figures = snapshot.stage(stage);
            let is_limit = limits == Some(stage);
            let name = format!("{}{}", if is_limit { theme.sign("▶", ">") } else { " " }, stage_name(stage));
            let style = if is_limit { theme.warning().patch(theme.title()) } else { theme.stage(stage) };
            TableRow::new(vec![
                Cell::from(Span::styled(name, style)),
                Cell::from(depth(stage).map(|depth| gauge(app, depth)).unwrap_or_default()),
                Cell::from(load(snapshot, stage, &figures)),
                Cell::from(times(&figures)),
                Cell::from(Span::styled(theme.spark(&figures.course, spark), theme.stage(stage))),
            ])
        })
        .collect();
    rows.push(TableRow::new(vec![Cell::from("")]));
    for (index, worker) in snapshot.workers.iter().enumerate() {
        let job = if worker.job == 0 { "idle".into() } else { format!("job {}", worker.job) };
        rows.push(TableRow::new(vec![
            Cell::from(Span::raw(format!(" worker {}", index + 1))),
            Cell::from(Span::styled(job, theme.faint())),
            Cell::from(format!("{:3.0}%", 100.0 * worker.figures.busy)),
            Cell::from(times(&worker.figures)),
            Cell::from(Span::raw(theme.spark(&worker.figures.course, spark))),
        ]));
    }
    let names = ["", "QUEUE", "BUSY", "   p50     p95     max", ""];
    let widths = [
        Constraint::Length(11),
        Constraint::Length(11),
        Constraint::Length(10),
        Constraint::Length(23),
        Constraint::Fill(1),
    ];
    let header = TableRow::new(names).style(theme.faint());
    let list = Rect { height: inside.height.saturating_sub(2), ..inside };
    frame.render_widget(Table::new(rows, widths).header(header).column_spacing(1), list);
    let below = Rect { y: list.y + list.height, height: inside.height - list.height, ..inside };
    frame.render_widget(Paragraph::new(advice(snapshot)).wrap(Wrap { trim: true }), below);
}

/// A queue's depth over what it holds.
fn gauge(app: &App, depth: Depth) -> String {
    let share = depth.used as f32 / depth.capacity.max(1) as f32;
    format!("{} {}/{}", app.theme.bar(share, 5), depth.used, depth.capacity)
}

/// Threads busy of those there are.
fn load(snapshot: &Snapshot, stage: Stage, figures: &Figures) -> String {
    match threads(snapshot, stage) {
        Some(threads) => format!("{:.1} of {threads}", figures.busy),
        None if stage == Stage::RenderWait => String::new(),
        None => format!("{:.1}", figures.busy),
    }
}

fn times(figures: &Figures) -> String {
    if figures.count == 0 {
        return format!("{:>7} {:>7} {:>7}", "-", "-", "-");
    }
    format!("{:7.1} {:7.1} {:7.1}", figures.p50, figures.p95, figures.max)
}

/// Draws the render thread and who waits for it.
pub fn draw_render(frame: &mut Frame, place: Rect, app: &App) {
    let nodes = app.snapshot.as_ref().map_or(0, |snapshot| snapshot.nodes);
    let title = if nodes > 0 { "one thread a node" } else { "one thread renders for all jobs" };
    let inside = pane(frame, place, app, Pane::Render, title);
    let Some(snapshot) = &app.snapshot else { return };
    let theme = app.theme;
    let (wait, render) = (snapshot.stage(Stage::RenderWait), snapshot.stage(Stage::Render));
    let queue = snapshot.depth(Buffer::Render);
    // That of each node, and the engine's own where it works on jobs, too.
    let threads = nodes + usize::from(nodes == 0 || !snapshot.workers.is_empty());
    let busy = render.busy / threads as f32;
    let width = usize::from(inside.width);
    let spark = width.saturating_sub(46).min(20);
    let figures = |name: &'static str, figures: &Figures, stage: Stage| {
        Line::from(vec![
            Span::styled(format!("{name:<16}"), theme.stage(stage)),
            Span::raw(times(figures)),
            Span::raw("  "),
            Span::styled(theme.spark(&figures.course, spark), theme.stage(stage)),
        ])
    };
    let bar = width.saturating_sub(34).clamp(5, 30);
    let mut lines = vec![
        Line::from(format!("{:<16}{:>7} {:>7} {:>7}", "ms", "p50", "p95", "max")).style(theme.faint()),
        figures("wait for turn", &wait, Stage::RenderWait),
        figures("render and read", &render, Stage::Render),
        Line::from(format!("{:<16}{} {:3.0}% of the time", "thread busy", theme.bar(busy, bar), 100.0 * busy)),
        Line::from(format!(
            "{:<16}{} {} of {} requests",
            "queue",
            theme.bar(queue.used as f32 / queue.capacity.max(1) as f32, bar),
            queue.used,
            queue.capacity
        )),
    ];
    let shares: Vec<String> =
        snapshot.render_shares.iter().take(6).map(|(job, share)| format!("job {job} {:.0}%", 100.0 * share)).collect();
    lines.push(Line::from(format!(
        "{:<16}{}",
        "rendering for",
        if shares.is_empty() { "no job".into() } else { shares.join(", ") }
    )));
    let verdict = match (wait.count, wait.p50) {
        (0, _) => "Nothing was rendered in the last 10 s.".to_owned(),
        (_, wait) if wait < 2.0 && busy < 0.85 => {
            format!("Rendering is not the bottleneck: frames wait {wait:.1} ms for their turn.")
        }
        (_, wait) if busy < 0.85 && (nodes > 0 || snapshot.machine.cpu > 0.85) => {
            format!("Frames wait {wait:.1} ms for it, because all cores are busy.")
        }
        (_, wait) => format!("Rendering is the bottleneck: frames wait {wait:.1} ms for their turn."),
    };
    lines.push(Line::from(""));
    lines.push(Line::from(verdict).style(if wait.p50 < 2.0 { theme.good() } else { theme.warning() }));
    frame.render_widget(Paragraph::new(lines), inside);
}
