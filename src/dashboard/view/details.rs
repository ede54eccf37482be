//! All that is known of a job.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::draw_popup;
use crate::clock;
use crate::dashboard::app::App;
use crate::text::{people, printable};

/// Draws it over the panes.
pub fn draw(frame: &mut Frame, body: Rect, app: &App, id: i64, scrolled: usize) {
    let theme = app.theme;
    let detail =
        app.snapshot.as_ref().and_then(|snapshot| snapshot.detail.as_ref()).filter(|detail| detail.row.id == id);
    let Some(detail) = detail else {
        draw_popup(frame, body, app, &format!("Job {id}"), vec![Line::from("loading")], 0);
        return;
    };
    let row = &detail.row;
    let mut lines = Vec::new();
    let mut fact = |name: &str, value: String| {
        lines.push(Line::from(vec![Span::styled(format!("{name:<10}"), theme.faint()), Span::raw(printable(&value))]));
    };
    fact("video", row.source.to_string_lossy().into_owned());
    fact("result", row.video.to_string_lossy().into_owned());
    fact("state", format!("{}, priority {}, attempt {}", row.state.name(), row.priority, row.attempts));
    if let Some(placement) = row.placement.as_ref().filter(|placement| !row.state.is_over() || placement.node.is_some())
    {
        fact("cluster", placement.to_string());
    }
    fact("queued", clock::local(row.added));
    for (name, time) in [("started", row.started), ("ended", row.ended), ("resumes", row.resume)] {
        if let Some(time) = time {
            fact(name, clock::local(time));
        }
    }
    if let Some(report) = &detail.report {
        let number = |key: &str| report[key].as_f64().unwrap_or(0.0);
        fact(
            "report",
            format!(
                "{} frames, {}, {:.1} s, {:.1} fps",
                number("frames"),
                people(number("people") as usize),
                number("seconds"),
                number("fps")
            ),
        );
        let exports: Vec<&str> =
            report["exports"].as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect();
        if !exports.is_empty() {
            fact("exports", exports.join(", "));
        }
        for key in ["lost", "warnings"] {
            for text in report[key].as_array().into_iter().flatten().filter_map(|text| text.as_str()) {
                fact(key, text.to_owned());
            }
        }
    }
    if let Some(error) = &row.error {
        lines.push(Line::from(vec![
            Span::styled(format!("{:<10}", "reason"), theme.faint()),
            Span::styled(printable(error), theme.bad()),
        ]));
    }
    lines.push(Line::from(""));
    for entry in &detail.log {
        lines.push(Line::from(vec![
            Span::styled(format!("{}  ", clock::local(entry.time)), theme.faint()),
            Span::raw(printable(&entry.text)),
        ]));
    }
    draw_popup(frame, body, app, &format!("Job {id}"), lines, scrolled);
}
