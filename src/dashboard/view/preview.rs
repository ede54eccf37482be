//! The latest picture of a job, as good as the terminal can.

use base64::Engine as _;
use image::{DynamicImage, RgbImage};
use ratatui::Frame;
use ratatui::layout::{Rect, Size};
use ratatui::text::Line;
use ratatui_image::{Image, Resize};

use super::pane;
use crate::dashboard::app::App;
use crate::dashboard::keys::Pane;
use crate::service::{Picture, Shown};

/// Draws the pane.
pub fn draw(frame: &mut Frame, place: Rect, app: &mut App) {
    let job = app.previewed();
    let picture = app.picture.as_ref().filter(|picture| Some(picture.job) == job);
    let more = match picture {
        Some(Picture { job, shown: Shown::Frame(frame), .. }) => format!("job {job}, frame {frame}"),
        Some(Picture { job, shown: Shown::Result, .. }) => format!("job {job}, its result"),
        None => job.map_or(String::new(), |job| format!("job {job}")),
    };
    let inside = pane(frame, place, app, Pane::Preview, &more);
    if !app.theme.unicode {
        let text = "pictures need a terminal that shows UTF-8";
        frame.render_widget(Line::from(text).style(app.theme.faint()), inside);
        return;
    }
    let key = picture.map(|picture| (picture.job, picture.shown, inside));
    let made = match (picture, key) {
        (Some(picture), Some(key)) if app.shown_picture.as_ref().is_none_or(|(shown, _)| *shown != key) => {
            let size = Size::new(inside.width, inside.height);
            let protocol =
                decoded(picture).and_then(|image| app.picker.new_protocol(image, size, Resize::Fit(None)).ok());
            protocol.map(|protocol| (key, protocol))
        }
        _ => None,
    };
    if made.is_some() {
        app.shown_picture = made;
    }
    match (&app.shown_picture, key) {
        (Some((shown, protocol)), Some(key)) if *shown == key => frame.render_widget(Image::new(protocol), inside),
        _ => {
            let is_at_work = |id| app.snapshot.as_ref().is_some_and(|s| s.at_work.iter().any(|job| job.id == id));
            let text = match job {
                Some(id) if is_at_work(id) => "no picture yet: the job is still being analysed",
                Some(_) => "no picture of the result: it is still loading, or cannot be read",
                None => "no job is running",
            };
            frame.render_widget(Line::from(text).style(app.theme.faint()), inside);
        }
    }
}

fn decoded(picture: &Picture) -> Option<DynamicImage> {
    let rgb = base64::engine::general_purpose::STANDARD.decode(&picture.rgb).ok()?;
    RgbImage::from_raw(picture.width, picture.height, rgb).map(DynamicImage::ImageRgb8)
}
