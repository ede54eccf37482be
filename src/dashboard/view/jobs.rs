//! The queue and its history.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell, Row as TableRow, Table, TableState};

use super::pane;
use crate::clock;
use crate::dashboard::app::{App, name};
use crate::dashboard::keys::Pane;
use crate::progress::printable;
use crate::queue::{Millis, Row, State};

/// Draws the pane.
pub fn draw(frame: &mut Frame, place: Rect, app: &mut App) {
    let mut more = format!("by {}", app.sort.name());
    if !app.filter.is_empty() {
        more += &format!(", only \"{}\"", printable(&app.filter));
    }
    if !app.marked.is_empty() {
        more += &format!(", {} marked", app.marked.len());
    }
    let inside = pane(frame, place, app, Pane::Jobs, &more);
    if app.pane == Pane::Jobs {
        app.set_page(usize::from(inside.height.saturating_sub(1)));
    }
    if app.rows.is_empty() {
        let text = match (&app.snapshot, app.filter.is_empty()) {
            (None, _) => "",
            (_, false) => "No job has that in its name.",
            (_, true) => "No jobs yet. Drop videos into the watched folder, or press a to add a file.",
        };
        frame.render_widget(Line::from(text).style(app.theme.faint()), inside);
        return;
    }
    let is_wide = inside.width >= 100;
    let bar = if is_wide { 16 } else { 8 };
    let mut widths = vec![
        Constraint::Length(1),
        Constraint::Length(5),
        Constraint::Length(4),
        Constraint::Fill(1),
        Constraint::Length(9),
        Constraint::Length(bar + 5),
        Constraint::Length(5),
        Constraint::Length(7),
        Constraint::Length(3),
    ];
    let mut names = vec!["", "  JOB", "PRIO", "NAME", "STATE", "PROGRESS", "  FPS", "   LEFT", "PPL"];
    if is_wide {
        widths.push(Constraint::Length(5));
        names.push("  AGE");
    }
    let selected = app.rows.iter().position(|row| Some(row.id) == app.selected);
    let now = app.snapshot.as_ref().map_or(0, |snapshot| snapshot.now);
    // Only what is seen is made: the history may be long.
    let height = usize::from(inside.height.saturating_sub(1)).max(1);
    let first = first_row(app.first_row, selected.unwrap_or(0), height, app.rows.len());
    app.first_row = first;
    let shown = app.rows.iter().skip(first).take(height);
    let rows: Vec<TableRow> = shown.map(|row| line(app, row, now, usize::from(bar), is_wide)).collect();
    let header = TableRow::new(names).style(app.theme.faint());
    let table = Table::new(rows, widths).header(header).column_spacing(1).row_highlight_style(app.theme.selected());
    let mut state = TableState::new().with_selected(selected.and_then(|at| at.checked_sub(first)));
    frame.render_stateful_widget(table, inside, &mut state);
    let trouble = app.row().and_then(|row| reason_line(app, row));
    if let Some(trouble) = trouble {
        // What is wrong with the selected job, in one line under the list.
        let y = place.y + place.height - 1;
        let width = place.width.saturating_sub(4);
        frame.render_widget(trouble, Rect { x: place.x + 2, y, width, height: 1 });
    }
}

/// The first row on a screen of `height` rows so that the selected one is on it.
fn first_row(before: usize, selected: usize, height: usize, count: usize) -> usize {
    before.clamp((selected + 1).saturating_sub(height), selected).min(count.saturating_sub(height))
}

fn reason_line(app: &App, row: &Row) -> Option<Line<'static>> {
    let error = row.error.as_ref()?;
    let style = if row.state == State::Failed { app.theme.bad() } else { app.theme.warning() };
    Some(Line::from(Span::styled(format!(" {} ", printable(error)), style)))
}

fn line(app: &App, row: &Row, now: Millis, bar: usize, is_wide: bool) -> TableRow<'static> {
    let theme = app.theme;
    let at_work = app.at_work(row.id);
    let share = match (row.state, at_work) {
        (State::Done, _) => Some(1.0),
        (_, Some(job)) => Some(job.phase.share(job.done, job.total)),
        (State::Queued | State::Paused, None) if row.frames > 0 => {
            row.phase.map(|phase| phase.share(row.frames, row.total))
        }
        _ => None,
    };
    let progress = match (row.state, share) {
        (State::Failed | State::Cancelled, _) => String::new(),
        (State::Queued, None) if row.ready > now => format!("in {} s", (row.ready - now) / 1000),
        (_, Some(share)) => format!("{} {:3.0}%", theme.bar(share as f32, bar), 100.0 * share),
        (_, None) => String::new(),
    };
    let moves = at_work.filter(|_| row.state == State::Running);
    let fps = moves.map(|job| format!("{:5.1}", job.fps)).unwrap_or_default();
    let left = moves.and_then(|job| {
        let frames = job.total? as f64 - job.phase.frames_done(job.done, job.total);
        (job.fps > 0.0).then(|| clock::span(frames.max(0.0) / f64::from(job.fps)))
    });
    let people = at_work.map_or(row.people, |job| job.people);
    let people = if people > 0 { format!("{people:3}") } else { String::new() };
    let mark = if app.marked.contains(&row.id) { theme.sign("▸", ">") } else { "" };
    let state = match (row.state, at_work) {
        (State::Running, Some(job)) if job.fps > 0.0 => job.phase.verb(),
        (state, _) => state.name(),
    };
    let right = |text: String, width: usize| format!("{text:>width$}");
    let style = if row.state == State::Cancelled { theme.faint() } else { Style::new() };
    let mut cells = vec![
        Cell::from(Span::styled(mark, theme.accent())),
        Cell::from(right(row.id.to_string(), 5)),
        Cell::from(right(row.priority.to_string(), 4)),
        Cell::from(Text::from(Line::from(title(app, row)))),
        Cell::from(Span::styled(state, theme.state(row.state))),
        Cell::from(progress),
        Cell::from(fps),
        Cell::from(right(left.unwrap_or_default(), 7)),
        Cell::from(people),
    ];
    if is_wide {
        cells.push(Cell::from(right(age(now - row.added), 5)));
    }
    TableRow::new(cells).style(style)
}

/// A job's name, and why it failed.
fn title(app: &App, row: &Row) -> Vec<Span<'static>> {
    let mut spans = vec![Span::raw(name(row))];
    if let (State::Failed, Some(error)) = (row.state, &row.error) {
        spans.push(Span::styled(format!("  {}", printable(error)), app.theme.bad()));
    }
    spans
}

fn age(millis: Millis) -> String {
    match millis.max(0) / 1000 {
        s if s < 60 => format!("{s}s"),
        s if s < 3600 => format!("{}m", s / 60),
        s if s < 172_800 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selected_row_is_on_the_screen() {
        assert_eq!(first_row(0, 0, 5, 100), 0);
        assert_eq!(first_row(0, 7, 5, 100), 3);
        assert_eq!(first_row(50, 7, 5, 100), 7);
        assert_eq!(first_row(98, 99, 5, 100), 95);
        assert_eq!(first_row(3, 0, 5, 2), 0);
        assert_eq!([age(5_000), age(120_000), age(7_200_000), age(864_000_000)], ["5s", "2m", "2h", "10d"]);
    }
}
