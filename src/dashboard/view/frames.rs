//! The times of each frame of one job, stacked by stage.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::pane;
use super::pipeline::stage_name;
use crate::dashboard::app::App;
use crate::dashboard::keys::Pane;
use crate::telemetry::{Chart, Stage};

/// Cells before the chart, for the scale.
const SCALE: u16 = 7;

/// Columns of the chart.
pub fn columns(place: Rect) -> usize {
    usize::from(place.width.saturating_sub(2 + SCALE))
}

/// Draws the pane.
pub fn draw(frame: &mut Frame, place: Rect, app: &App) {
    let job = app.charted();
    let chart = app.snapshot.as_ref().and_then(|snapshot| snapshot.chart.as_ref());
    let more = match (job, chart) {
        (Some(job), Some(chart)) if chart.frames > 0 => {
            let last = (chart.from + chart.per_column * chart.columns.len() as u64).min(chart.frames);
            let each = if chart.per_column > 1 {
                format!(", the slowest of each {}", chart.per_column)
            } else {
                String::new()
            };
            format!("of job {job}: {} to {} of {}{each}", chart.from, last.saturating_sub(1), chart.frames)
        }
        _ => "ms per frame, by stage".into(),
    };
    let inside = pane(frame, place, app, Pane::Frames, &more);
    let theme = app.theme;
    let Some(chart) = chart.filter(|chart| !chart.columns.is_empty()) else {
        let text = "There are no frame times for the selected job: it has not run since the engine started, or too many jobs have run since.";
        frame.render_widget(
            ratatui::widgets::Paragraph::new(text).style(theme.faint()).wrap(Default::default()),
            inside,
        );
        return;
    };
    if inside.height < 4 {
        return;
    }
    let plot =
        Rect { x: inside.x + SCALE, width: inside.width.saturating_sub(SCALE), height: inside.height - 2, ..inside };
    draw_columns(frame, plot, app, chart);
    let top = scale(chart);
    for (y, value) in [(plot.y, top), (plot.y + plot.height / 2, top / 2.0)] {
        let text = Line::from(format!("{value:>4.0}ms")).style(theme.faint());
        frame.render_widget(text, Rect { y, width: SCALE, height: 1, ..inside });
    }
    let legend: Vec<Span> = Stage::ALL
        .into_iter()
        .flat_map(|stage| {
            [Span::styled(theme.sign("■", "#"), theme.stage(stage)), Span::raw(format!(" {}  ", stage_name(stage)))]
        })
        .collect();
    frame.render_widget(Line::from(legend), Rect { y: plot.y + plot.height, height: 1, ..inside });
    let mut slowest = vec![Span::styled("slowest: ", theme.faint())];
    for (at, (number, ms)) in chart.slowest.iter().enumerate().take(8) {
        let style = if at == app.frames.pointed { theme.selected() } else { ratatui::style::Style::new() };
        slowest.push(Span::styled(format!("{number} {ms:.0} ms"), style));
        slowest.push(Span::raw("  "));
    }
    frame.render_widget(Line::from(slowest), Rect { y: plot.y + plot.height + 1, height: 1, ..inside });
}

/// The greatest value that is shown, milliseconds. One outlier must not make all others flat: what is higher is cut.
fn scale(chart: &Chart) -> f32 {
    let mut sums: Vec<f32> = chart.columns.iter().map(|stages| stages.iter().sum()).collect();
    sums.sort_by(f32::total_cmp);
    let high = sums.get(sums.len() * 95 / 100).or(sums.last()).copied().unwrap_or(1.0);
    (1.25 * high).max(1.0).min(sums.last().copied().unwrap_or(1.0).max(1.0))
}

fn draw_columns(frame: &mut Frame, plot: Rect, app: &App, chart: &Chart) {
    let theme = app.theme;
    let top = scale(chart);
    let cells = f32::from(plot.height);
    let pointed =
        chart.slowest.get(app.frames.pointed).map(|(frame, _)| (frame - chart.from) / chart.per_column.max(1));
    for (at, stages) in chart.columns.iter().enumerate().take(usize::from(plot.width)) {
        let x = plot.x + at as u16;
        let sum: f32 = stages.iter().sum();
        for cell in 0..plot.height {
            let y = plot.y + plot.height - 1 - cell;
            // Where this cell begins, and how much of it is full.
            let low = f32::from(cell) / cells * top;
            let full = ((sum - low) / (top / cells)).clamp(0.0, 1.0);
            if full <= 0.0 {
                break;
            }
            let middle = low + 0.5 * full * top / cells;
            let mut reached = 0.0;
            let stage = Stage::ALL.into_iter().find(|stage| {
                reached += stages[*stage as usize];
                middle < reached
            });
            let style = theme.stage(stage.unwrap_or(Stage::Encode));
            let eighths = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
            let sign = match theme.unicode {
                true => eighths[((full * 8.0).ceil() as usize).clamp(1, 8) - 1],
                false if full < 0.5 => '.',
                false => '#',
            };
            if let Some(cell) = frame.buffer_mut().cell_mut((x, y)) {
                cell.set_char(sign).set_style(style);
            }
        }
        if pointed == Some(at as u64)
            && let Some(cell) = frame.buffer_mut().cell_mut((x, plot.y))
        {
            let sign = if theme.unicode { '▼' } else { 'v' };
            cell.set_char(sign).set_style(theme.bad());
        }
    }
}
