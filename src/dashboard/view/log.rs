//! What the engine says.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::pane;
use crate::clock;
use crate::dashboard::app::App;
use crate::dashboard::keys::Pane;
use crate::text::printable;

/// Draws the pane.
pub fn draw(frame: &mut Frame, place: Rect, app: &mut App) {
    let mut more = if app.log.back > 0 { format!("{} lines below", app.log.back) } else { "following".into() };
    if app.log.only_warnings {
        more += ", warnings only";
    }
    if let (true, Some(job)) = (app.log.one_job, app.selected) {
        more += &format!(", job {job} only");
    }
    let inside = pane(frame, place, app, Pane::Log, &more);
    if app.pane == Pane::Log {
        app.set_page(usize::from(inside.height));
    }
    let theme = app.theme;
    let lines = app.shown_lines();
    let end = lines.len().saturating_sub(app.log.back);
    let shown = &lines[end.saturating_sub(usize::from(inside.height))..end];
    let line = |line: &&crate::log::Line| {
        let (level, style) = match line.level {
            1 => ("error", theme.bad()),
            2 => ("warn ", theme.warning()),
            3 => ("info ", theme.good()),
            _ => ("debug", theme.faint()),
        };
        // The day is known; the time of the day tells.
        let time = clock::local(line.time);
        let time = time.split_once(' ').map_or(time.as_str(), |(_, time)| time).to_owned();
        Line::from(vec![
            Span::styled(format!("{time} "), theme.faint()),
            Span::styled(format!("{level} "), style),
            Span::raw(printable(&line.text)),
        ])
    };
    frame.render_widget(Paragraph::new(shown.iter().map(line).collect::<Vec<_>>()), inside);
}
