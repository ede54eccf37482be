//! The queue and its history.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table, TableState, Wrap};

use super::pane;
use crate::clock;
use crate::clock::Millis;
use crate::dashboard::app::{App, name};
use crate::dashboard::keys::Pane;
use crate::job::{JobState, Placement};
use crate::queue::Row;
use crate::text::printable;

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
            (_, false) => "No job has that text in its name.",
            (_, true) => "No jobs yet. Drop videos into the watched folder, or press a to add a file.",
        };
        frame.render_widget(Paragraph::new(text).style(app.theme.faint()).wrap(Wrap { trim: true }), inside);
        return;
    }
    let columns = columns(inside.width, app.rows.iter().any(|row| placement(row).is_some()));
    let widths = columns.iter().map(|column| match column.width() {
        0 => Constraint::Fill(1),
        width => Constraint::Length(width),
    });
    let names: Vec<&str> = columns.iter().map(|column| column.title()).collect();
    let selected = app.rows.iter().position(|row| Some(row.id) == app.selected);
    let now = app.snapshot.as_ref().map_or(0, |snapshot| snapshot.now);
    // Only what is seen is made: the history may be long.
    let height = usize::from(inside.height.saturating_sub(1)).max(1);
    let first = first_row(app.first_row, selected.unwrap_or(0), height, app.rows.len());
    app.first_row = first;
    let shown = app.rows.iter().skip(first).take(height);
    let rows: Vec<TableRow> = shown.map(|row| line(app, row, now, &columns)).collect();
    let header = TableRow::new(names).style(app.theme.faint());
    let table = Table::new(rows, widths).header(header).column_spacing(1).row_highlight_style(app.theme.selected());
    let mut state = TableState::new().with_selected(selected.and_then(|at| at.checked_sub(first)));
    frame.render_stateful_widget(table, inside, &mut state);
    let said = app.row().and_then(|row| reason_line(app, row));
    if let Some(said) = said {
        // What is wrong with the selected job, or where it is, in one line under the list.
        let y = place.y + place.height - 1;
        let width = place.width.saturating_sub(4);
        frame.render_widget(said, Rect { x: place.x + 2, y, width, height: 1 });
    }
}

/// A column of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Mark,
    Job,
    Name,
    JobState,
    Node,
    Priority,
    /// A bar of so many cells, if any, and the share in percent.
    Progress(u16),
    Fps,
    Left,
    People,
    Age,
}

impl Column {
    /// Cells; 0 is what the others leave.
    fn width(self) -> u16 {
        match self {
            Column::Name => 0,
            Column::Mark => 1,
            Column::People => 3,
            Column::Priority => 4,
            Column::Job | Column::Fps | Column::Age => 5,
            Column::Left => 7,
            Column::Node => 8,
            Column::JobState => 9,
            Column::Progress(0) => 4,
            Column::Progress(bar) => bar + 5,
        }
    }

    fn replaces(self, other: Column) -> bool {
        matches!((self, other), (Column::Progress(_), Column::Progress(_)))
    }

    fn title(self) -> &'static str {
        match self {
            Column::Mark => "",
            Column::Job => "  JOB",
            Column::Name => "NAME",
            Column::JobState => "STATE",
            Column::Node => "NODE",
            Column::Priority => "PRIO",
            Column::Progress(0) => "   %",
            Column::Progress(_) => "PROGRESS",
            Column::Fps => "  FPS",
            Column::Left => "   LEFT",
            Column::People => "PPL",
            Column::Age => "  AGE",
        }
    }
}

/// The columns that have room, from left to right: number and name always, then the state, then what is missed the most. Nodes are shown
/// where jobs are on some.
fn columns(width: u16, has_nodes: bool) -> Vec<Column> {
    use Column::*;
    /// Cells that a name has at least before anything but state and percent is shown.
    const NAME: u16 = 20;
    let mut columns = vec![Mark, Job, Name];
    // What is left for the name, which has a space before it.
    let name = |columns: &[Column]| {
        let others: u16 = columns.iter().filter(|column| **column != Name).map(|column| column.width() + 1).sum();
        width.saturating_sub(others)
    };
    let wanted = [(JobState, 8), (Progress(0), 14), (Node, 14), (Left, NAME), (Fps, NAME), (Priority, NAME)];
    let more = [(People, NAME), (Progress(8), NAME), (Age, NAME + 15), (Progress(16), NAME + 15)];
    for (column, least) in wanted.into_iter().chain(more).filter(|(column, _)| has_nodes || *column != Node) {
        let mut more: Vec<Column> = columns.iter().copied().filter(|other| !column.replaces(*other)).collect();
        more.push(column);
        if name(&more) < least {
            break;
        }
        columns = more;
    }
    let order =
        [Mark, Job, Name, JobState, Node, Priority, Progress(16), Progress(8), Progress(0), Fps, Left, People, Age];
    order.into_iter().filter(|column| columns.contains(column)).collect()
}

/// The first row on a screen of `height` rows so that the selected one is on it.
fn first_row(before: usize, selected: usize, height: usize, count: usize) -> usize {
    before.clamp((selected + 1).saturating_sub(height), selected).min(count.saturating_sub(height))
}

fn reason_line(app: &App, row: &Row) -> Option<Line<'static>> {
    let (text, style) = match (&row.error, placement(row)) {
        (Some(error), _) if row.state == JobState::Failed => (error.clone(), app.theme.bad()),
        (_, Some(placement)) => (placement.to_string(), app.theme.faint()),
        (Some(error), None) => (error.clone(), app.theme.warning()),
        (None, None) => return None,
    };
    Some(Line::from(Span::styled(format!(" {} ", printable(&text)), style)))
}

/// The task of the cluster that has a job.
fn placement(row: &Row) -> Option<&Placement> {
    row.placement.as_ref().filter(|_| row.state == JobState::Running)
}

fn line(app: &App, row: &Row, now: Millis, columns: &[Column]) -> TableRow<'static> {
    let style = if row.state == JobState::Cancelled { app.theme.faint() } else { Style::new() };
    TableRow::new(columns.iter().map(|column| cell(app, row, now, *column)).collect::<Vec<_>>()).style(style)
}

fn cell(app: &App, row: &Row, now: Millis, column: Column) -> Cell<'static> {
    let theme = app.theme;
    let at_work = app.at_work(row.id);
    let moves = at_work.filter(|_| row.state == JobState::Running);
    let right = |text: String| Cell::from(format!("{text:>0$}", usize::from(column.width())));
    match column {
        Column::Mark => {
            let mark = if app.marked.contains(&row.id) { theme.sign("▸", ">") } else { "" };
            Cell::from(Span::styled(mark, theme.accent()))
        }
        Column::Job => right(row.id.to_string()),
        Column::Name => Cell::from(Text::from(Line::from(title(app, row)))),
        Column::JobState => {
            let state = match (row.state, at_work) {
                (JobState::Running, Some(job)) if job.fps > 0.0 => job.phase.verb(),
                (state, _) => state.name(),
            };
            Cell::from(Span::styled(state, theme.state(row.state)))
        }
        Column::Node => {
            let node = placement(row).map(|placement| match &placement.node {
                Some(node) => Span::raw(printable(node)),
                None => Span::styled("waits", theme.faint()),
            });
            Cell::from(node.unwrap_or_default())
        }
        Column::Priority => right(row.priority.to_string()),
        Column::Progress(bar) => Cell::from(progress(app, row, now, usize::from(bar))),
        Column::Fps => right(moves.map(|job| format!("{:.1}", job.fps)).unwrap_or_default()),
        Column::Left => {
            let left = moves.and_then(|job| {
                let frames = job.total? as f64 - job.phase.frames_done(job.done, job.total);
                (job.fps > 0.0).then(|| clock::span(frames.max(0.0) / f64::from(job.fps)))
            });
            right(left.unwrap_or_default())
        }
        Column::People => match at_work.map_or(row.people, |job| job.people) {
            0 => Cell::from(""),
            people => right(people.to_string()),
        },
        Column::Age => right(age(now - row.added)),
    }
}

/// How far a job is, with a bar of so many cells, if any.
fn progress(app: &App, row: &Row, now: Millis, bar: usize) -> String {
    let share = match (row.state, app.at_work(row.id)) {
        (JobState::Done, _) => Some(1.0),
        (_, Some(job)) => Some(job.phase.share(job.done, job.total)),
        (JobState::Queued | JobState::Paused, None) if row.frames > 0 => {
            row.phase.map(|phase| phase.share(row.frames, row.total))
        }
        _ => None,
    };
    match (row.state, share) {
        (JobState::Failed | JobState::Cancelled, _) => String::new(),
        (JobState::Queued, None) if row.ready > now && bar > 0 => format!("in {} s", (row.ready - now) / 1000),
        (_, Some(share)) if bar == 0 => format!("{:3.0}%", 100.0 * share),
        (_, Some(share)) => format!("{} {:3.0}%", app.theme.bar(share as f32, bar), 100.0 * share),
        (_, None) => String::new(),
    }
}

/// A job's name, and why it failed.
fn title(app: &App, row: &Row) -> Vec<Span<'static>> {
    let mut spans = vec![Span::raw(name(row))];
    if let (JobState::Failed, Some(error)) = (row.state, &row.error) {
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
        let titles =
            |width: u16| columns(width, false).iter().map(|column| column.title().trim()).collect::<Vec<_>>().join(" ");
        assert_eq!(titles(20).trim(), "JOB NAME");
        assert_eq!(titles(38).trim(), "JOB NAME STATE %");
        assert_eq!(titles(58).trim(), "JOB NAME STATE % FPS LEFT");
        assert_eq!(titles(78).trim(), "JOB NAME STATE PRIO PROGRESS FPS LEFT PPL");
        assert_eq!(titles(108).trim(), "JOB NAME STATE PRIO PROGRESS FPS LEFT PPL AGE");
        assert_eq!([age(5_000), age(120_000), age(7_200_000), age(864_000_000)], ["5s", "2m", "2h", "10d"]);
    }
}
