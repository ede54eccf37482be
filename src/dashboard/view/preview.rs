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
use crate::service::Picture;

/// Draws the pane.
pub fn draw(frame: &mut Frame, place: Rect, app: &mut App) {
    let job = app.previewed();
    let picture = app.picture.as_ref().filter(|picture| Some(picture.job) == job);
    let more = picture.map_or(String::new(), |picture| format!("job {}, frame {}", picture.job, picture.frame));
    let inside = pane(frame, place, app, Pane::Preview, &more);
    let key = picture.map(|picture| (picture.job, picture.frame, inside));
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
            let text = if job.is_some() {
                "no picture yet: people are being watched, not drawn"
            } else {
                "nothing is at work"
            };
            frame.render_widget(Line::from(text).style(app.theme.faint()), inside);
        }
    }
}

fn decoded(picture: &Picture) -> Option<DynamicImage> {
    let rgb = base64::engine::general_purpose::STANDARD.decode(&picture.rgb).ok()?;
    RgbImage::from_raw(picture.width, picture.height, rgb).map(DynamicImage::ImageRgb8)
}
