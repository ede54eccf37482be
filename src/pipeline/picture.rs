//! What one picture of the result is made of: the looks, as the settings say, of the people in a frame.

use super::fitted_people::{FittedPeople, Scenes, Shot};
use super::{Job, JobError};
use crate::geometry::Rect;
use crate::job::{JobSettings, Style};
use crate::media::{Frame, VideoInfo};
use crate::render::{self, Overlay, Pending, RenderError, Rendered, Renderer, Scene, Sketch};

/// R'G'B' behind shaded bodies where no video is.
const BACKGROUND: [f32; 3] = [0.15, 0.16, 0.18];
const BLACK: [f32; 3] = [0.0; 3];

/// Drawings of a frame that were asked for.
pub struct Picture {
    /// `None` when there is nothing to draw.
    drawing: Option<Pending>,
}

/// Makes the pictures of a clip, frame after frame.
pub struct Pictures<'c> {
    people: &'c FittedPeople<'c>,
    scenes: Scenes<'c>,
    settings: &'c JobSettings,
    shot: Shot,
}

impl<'c> Pictures<'c> {
    /// Of a video with these people in it.
    pub fn new(job: &'c Job<'_>, people: &'c FittedPeople<'c>, info: &VideoInfo) -> Self {
        let shot = Shot::original(people.camera(), info.geometry);
        Self { people, scenes: Scenes::new(people), settings: job.settings(), shot }
    }

    /// Asks for what is drawn in a frame.
    pub fn ask(&mut self, index: u64, renderer: &Renderer) -> Result<Picture, JobError> {
        let scene = self.scene(index)?;
        let rect = scene.rect();
        if rect.width == 0 || rect.height == 0 {
            return Ok(Picture { drawing: None });
        }
        let [_, vertices, faces] = scene.counts();
        tracing::trace!("frame {index}: asking for {vertices} vertices {faces} faces");
        Ok(Picture { drawing: Some(renderer.request(scene)?) })
    }

    fn scene(&mut self, index: u64) -> Result<Scene, JobError> {
        let looks = self.settings.style;
        let style = match looks.bodies() {
            Some(Style::Mask) => render::Style::Mask,
            Some(Style::Depth) => render::Style::Depth,
            Some(Style::Normals) => render::Style::Normals,
            Some(Style::Overlay | Style::Mesh | Style::Skeleton) | None => render::Style::Overlay,
        };
        let scene = match looks.bodies() {
            Some(_) => self.scenes.make(index, &self.shot, style).map_err(|e| JobError::Internal(e.to_string()))?,
            None => Scene::empty(&self.shot.geometry, style),
        };
        let mut over = Sketch::default();
        if looks.skeleton() {
            let [width, height] = self.shot.geometry.display;
            for figure in self.people.figures(index, &self.shot) {
                figure.draw(&self.shot.camera, width.min(height), &mut over);
            }
        }
        let opacity = if looks.bodies() == Some(Style::Overlay) { self.settings.opacity } else { 1.0 };
        Ok(scene.with_opacity(opacity).with_over(&over))
    }
}

impl Picture {
    /// Waits until it is drawn.
    pub fn wait(self) -> Result<Option<Rendered>, RenderError> {
        self.drawing.map(Pending::wait).transpose()
    }
}

/// Puts what was drawn into its frame.
pub fn compose(frame: &mut Frame, drawn: Option<&Overlay>, info: &VideoInfo, settings: &JobSettings) {
    let [width, height] = info.geometry.coded;
    let whole = Rect { x: 0, y: 0, width, height };
    match settings.style.bodies() {
        Some(Style::Mesh) => render::fill(frame, whole, BACKGROUND, info.color),
        Some(Style::Mask | Style::Depth | Style::Normals) => render::fill(frame, whole, BLACK, info.color),
        Some(Style::Overlay | Style::Skeleton) | None => {}
    }
    if let Some(overlay) = drawn {
        render::blend(frame, overlay, info.color);
    }
}
