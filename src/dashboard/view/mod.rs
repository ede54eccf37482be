//! Drawing: a pure function of [`App`].

mod details;
mod frames;
mod header;
mod jobs;
mod log;
mod pipeline;
mod preview;
#[cfg(test)]
pub(super) mod tests;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::app::{App, Popup, Tone, Typing};
use super::keys::{Pane, Place, TABLE};

/// Draws everything. Notes in `app` where the panes are.
pub fn draw(frame: &mut Frame, app: &mut App) {
    let whole = frame.area();
    let lines = header::height(whole);
    let [header, body, footer] =
        Layout::vertical([Constraint::Length(lines), Constraint::Fill(1), Constraint::Length(1)]).areas(whole);
    header::draw(frame, header, app);
    let places = arrange(body, app.pane, app.has_preview);
    for &(pane, place) in &places {
        match pane {
            Pane::Jobs => jobs::draw(frame, place, app),
            Pane::Pipeline => pipeline::draw(frame, place, app),
            Pane::Render => pipeline::draw_render(frame, place, app),
            Pane::Frames => frames::draw(frame, place, app),
            Pane::Log => log::draw(frame, place, app),
            Pane::Preview => preview::draw(frame, place, app),
        }
    }
    app.places = places;
    draw_footer(frame, footer, app);
    match app.popup.clone() {
        None => {}
        Some(Popup::Help(at)) => draw_help(frame, body, app, at),
        Some(Popup::Details(id, at)) => details::draw(frame, body, app, id, at),
        Some(Popup::Confirm(text, _)) => {
            let lines = vec![
                Line::from(text),
                Line::from(""),
                Line::from("y or Enter: yes    any other key: no").style(app.theme.faint()),
            ];
            draw_popup(frame, body, app, "Sure?", lines, 0);
        }
        Some(Popup::Typing(what, text)) => {
            let (title, hint) = match what {
                Typing::Filter => ("Filter by name", "Enter keeps the filter, Esc removes it"),
                Typing::Add => ("Add a file", "Tab completes the path, Enter adds the file, Esc cancels"),
            };
            let cursor = app.theme.sign("▏", "_");
            let lines = vec![
                Line::from(vec![Span::raw(crate::text::printable(&text)), Span::raw(cursor)]),
                Line::from(""),
                Line::from(hint).style(app.theme.faint()),
            ];
            draw_popup(frame, body, app, title, lines, 0);
        }
    }
    if !app.theme.unicode {
        // Names may be in any script.
        for cell in &mut frame.buffer_mut().content {
            if !cell.symbol().is_ascii() {
                cell.set_symbol("?");
            }
        }
    }
}

/// How wide the chart of frames is where the panes are in these places; 0 when it is not shown.
pub fn chart_columns(places: &[(Pane, Rect)]) -> usize {
    places.iter().find(|(pane, _)| *pane == Pane::Frames).map_or(0, |(_, place)| frames::columns(*place))
}

/// Which panes are shown, and where: all on a large screen, the focused one on a small one.
fn arrange(body: Rect, focus: Pane, has_preview: bool) -> Vec<(Pane, Rect)> {
    if body.width >= 150 && body.height >= 44 {
        let [left, right] = Layout::horizontal([Constraint::Fill(11), Constraint::Fill(9)]).areas(body);
        let [jobs, frames] = Layout::vertical([Constraint::Fill(3), Constraint::Fill(2)]).areas(left);
        let [pipeline, render, log] =
            Layout::vertical([Constraint::Length(20), Constraint::Length(11), Constraint::Fill(1)]).areas(right);
        let mut places =
            vec![(Pane::Jobs, jobs), (Pane::Frames, frames), (Pane::Pipeline, pipeline), (Pane::Render, render)];
        if has_preview {
            let [log, preview] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(log);
            places.extend([(Pane::Log, log), (Pane::Preview, preview)]);
        } else {
            places.push((Pane::Log, log));
        }
        return places;
    }
    if body.height >= 32 {
        let below = if focus == Pane::Jobs { Pane::Pipeline } else { focus };
        let [jobs, other] = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(body);
        return vec![(Pane::Jobs, jobs), (below, other)];
    }
    vec![(focus, body)]
}

/// A pane's frame with its number and title; gives what is inside.
fn pane(frame: &mut Frame, place: Rect, app: &App, which: Pane, more: &str) -> Rect {
    let has_focus = app.pane == which;
    let number = Pane::ALL.iter().position(|pane| *pane == which).unwrap_or(0) + 1;
    let style = if has_focus { app.theme.title() } else { Style::new() };
    let mut title = vec![Span::styled(format!(" {number} {} ", which.title()), style)];
    if !more.is_empty() {
        title.push(Span::styled(format!("{more} "), app.theme.faint()));
    }
    let block = Block::bordered()
        .border_set(app.theme.lines())
        .border_style(app.theme.border(has_focus))
        .title(Line::from(title));
    let inside = block.inner(place);
    frame.render_widget(block, place);
    inside
}

/// Lines over the middle of the panes.
fn draw_popup(frame: &mut Frame, body: Rect, app: &App, title: &str, lines: Vec<Line>, scrolled: usize) {
    let widest = lines.iter().map(Line::width).max().unwrap_or(0).max(title.len() + 4);
    let width = u16::try_from(widest + 4).unwrap_or(u16::MAX).max(40).min(body.width);
    // Long lines go on below.
    let inside = usize::from(width.saturating_sub(4)).max(1);
    let count: usize = lines.iter().map(|line| line.width().div_ceil(inside).max(1)).sum();
    let height = u16::try_from(count + 2).unwrap_or(u16::MAX).min(body.height);
    let place = Rect { x: body.x + (body.width - width) / 2, y: body.y + (body.height - height) / 2, width, height };
    let block = Block::bordered()
        .border_set(app.theme.lines())
        .border_style(app.theme.accent())
        .title(Span::styled(format!(" {title} "), app.theme.title()))
        .padding(ratatui::widgets::Padding::horizontal(1));
    let most = count.saturating_sub(usize::from(height.saturating_sub(2)));
    let at = u16::try_from(scrolled.min(most)).unwrap_or(u16::MAX);
    frame.render_widget(Clear, place);
    let text = Paragraph::new(lines).block(block).wrap(ratatui::widgets::Wrap { trim: false }).scroll((at, 0));
    frame.render_widget(text, place);
}

/// What the keys do in this place, from the table.
fn draw_help(frame: &mut Frame, body: Rect, app: &App, scrolled: usize) {
    let mut lines = Vec::new();
    let mut section = |title: &str, fits: &dyn Fn(Place) -> bool| {
        let entries: Vec<_> =
            TABLE.iter().filter(|entry| fits(entry.place) && !(entry.changes && app.read_only)).collect();
        if entries.is_empty() {
            return;
        }
        if !lines.is_empty() {
            lines.push(Line::from(""));
        }
        lines.push(Line::from(title.to_owned()).style(app.theme.title()));
        for entry in entries {
            let keys = format!("{:>12}  ", app.keys.of(entry).join(" "));
            lines.push(Line::from(vec![Span::styled(keys, app.theme.accent()), Span::raw(entry.help)]));
        }
    };
    section(app.pane.title(), &|place| place == Place::In(app.pane));
    if matches!(app.pane, Pane::Jobs | Pane::Log | Pane::Frames) {
        section("Lists", &|place| place == Place::Lists);
    }
    section("Anywhere", &|place| place == Place::Anywhere);
    draw_popup(frame, body, app, "Keys (the arrows scroll, other keys close)", lines, scrolled);
}

/// The last message, or the most useful keys.
fn draw_footer(frame: &mut Frame, place: Rect, app: &App) {
    let line = match &app.message {
        Some((text, Tone::Good)) => Line::from(Span::styled(crate::text::printable(text), app.theme.good())),
        Some((text, Tone::Bad)) => Line::from(Span::styled(crate::text::printable(text), app.theme.bad())),
        None => {
            let here = TABLE.iter().filter(|entry| entry.place == Place::In(app.pane));
            let everywhere = TABLE.iter().filter(|entry| entry.place == Place::Anywhere);
            let mut spans = Vec::new();
            let mut left = usize::from(place.width);
            // The way out, and to the rest, always has its place.
            let wanted = ["help", "quit"].into_iter().filter_map(|name| TABLE.iter().find(|entry| entry.name == name));
            for entry in wanted.chain(here).chain(everywhere).filter(|entry| !(entry.changes && app.read_only)) {
                let Some(key) = app.keys.of(entry).first().copied().map(str::to_owned) else { continue };
                let text = format!(" {}   ", entry.name.replace('_', " "));
                let is_there = spans.iter().any(|span: &Span| span.content == text);
                if is_there || left < key.len() + text.len() {
                    continue;
                }
                left -= key.len() + text.len();
                spans.push(Span::styled(key, app.theme.accent()));
                spans.push(Span::styled(text, app.theme.faint()));
            }
            Line::from(spans)
        }
    };
    frame.render_widget(line, place);
}
