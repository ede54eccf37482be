//! What one picture of the result is made of: the people of a frame in the looks that the settings ask for, over the video or on a plain
//! background, and beside it further views of them.

use std::time::Duration;

use super::JobError;
use super::fitted_people::{FittedPeople, Scenes};
use super::shot::{Extent, Shot};
use crate::body::World;
use crate::geometry::Rect;
use crate::job::{JobSettings, Labels, Layout, Style, View};
use crate::media::{Beside, Frame, Panel, VideoInfo};
use crate::render::{self, Overlay, Pending, RenderError, Rendered, Renderer, Scene, Sketch};

/// R'G'B' behind shaded bodies where no video is.
const BACKGROUND: [f32; 3] = [0.15, 0.16, 0.18];
const BLACK: [f32; 3] = [0.0; 3];
/// Coded pixels of black round a further view.
const EDGE: u32 = 2;
/// Width of a further view over its height; none is wider than the video.
const PANEL: f64 = 0.75;

/// How pictures are put together; known before anybody is found.
pub struct Composition<'j> {
    settings: &'j JobSettings,
    beside: Beside,
    /// The only thing that is shown, in place of the video.
    alone: Option<View>,
}

/// Makes the pictures of a clip, frame after frame.
pub struct Pictures<'c> {
    people: &'c FittedPeople<'c>,
    scenes: Scenes<'c>,
    composition: &'c Composition<'c>,
    original: Shot,
    extent: Option<Extent>,
}

/// Drawings of a frame that were asked for: as it was filmed, then each further view. `None` where there is nothing to draw.
pub struct Picture(Vec<Option<Pending>>);

/// What was drawn of a [`Picture`].
pub struct Drawn(Vec<Option<Rendered>>);

/// What drawing a picture took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Until the render thread had time.
    pub waited: Duration,
    /// Drawing.
    pub rendering: Duration,
    /// Vertices of bodies.
    pub vertices: usize,
    /// Triangles of bodies.
    pub faces: usize,
}

impl<'j> Composition<'j> {
    /// Of the pictures of a video.
    pub fn new(settings: &'j JobSettings, info: &VideoInfo) -> Self {
        let [width, height] = info.geometry.display;
        let panel = (f64::from(height) * PANEL).min(f64::from(width)).round() as u32;
        let beside = if settings.layout == Layout::Beside { settings.views.len() } else { 0 };
        Self { settings, beside: Beside::new(info, beside, panel), alone: None }
    }

    /// Of pictures of one view, as large as the video.
    pub fn of_view(settings: &'j JobSettings, info: &VideoInfo, view: View) -> Self {
        Self { settings, beside: Beside::new(info, 0, 0), alone: Some(view) }
    }

    /// Views that have files of their own.
    pub fn views_in_files(settings: &JobSettings) -> impl Iterator<Item = View> + Clone + use<> {
        let is_in_files = settings.layout == Layout::Files;
        settings.views.iter().filter(move |_| is_in_files)
    }

    /// What is compressed.
    pub fn info(&self) -> &VideoInfo {
        self.beside.info()
    }

    fn panels(&self) -> impl Iterator<Item = (View, &Panel)> {
        self.settings.views.iter().zip(self.beside.panels())
    }

    /// How bodies are drawn, if they are.
    fn style(&self) -> Option<render::Style> {
        Some(match self.settings.style.bodies()? {
            Style::Mask => render::Style::Mask,
            Style::Depth => render::Style::Depth,
            Style::Normals => render::Style::Normals,
            Style::Overlay | Style::Mesh | Style::Skeleton => render::Style::Overlay,
        })
    }

    /// R'G'B' where nothing is.
    fn background(&self) -> [f32; 3] {
        match self.settings.style.bodies() {
            Some(Style::Mask | Style::Depth | Style::Normals) => BLACK,
            _ => BACKGROUND,
        }
    }

    /// Makes a picture of a frame and what was drawn of it.
    pub fn compose(&self, frame: Frame, drawn: &Drawn) -> Result<Frame, JobError> {
        let color = self.info().color;
        let mut frame = self.beside.widen(frame)?;
        let (video, behind) = (self.beside.video(), self.beside.video_and_gap());
        if self.alone.is_some() || !self.settings.style.shows_video() {
            render::fill(&mut frame, behind, self.background(), color);
        }
        if self.alone.is_none() && self.settings.style.shows_video() {
            render::dim(&mut frame, behind, self.settings.dim, color);
        }
        for (_, panel) in self.panels() {
            render::fill(&mut frame, panel.rect, BLACK, color);
            render::fill(&mut frame, inside(panel.rect), self.background(), color);
        }
        let places = std::iter::once(video).chain(self.panels().map(|(_, panel)| panel.rect));
        for (overlay, place) in drawn.overlays().zip(places) {
            if let Some(overlay) = overlay {
                render::blend(&mut frame, overlay, [place.x, place.y], color);
            }
        }
        Ok(frame)
    }
}

impl<'c> Pictures<'c> {
    /// Of the people in a video, who live in a world.
    pub fn new(
        composition: &'c Composition<'c>,
        people: &'c FittedPeople<'c>,
        world: &World,
        info: &VideoInfo,
    ) -> Self {
        let has_views = composition.alone.is_some() || composition.panels().next().is_some();
        Self {
            people,
            scenes: Scenes::new(people),
            composition,
            original: Shot::original(people.camera(), info.geometry),
            extent: has_views.then(|| Extent::new(&people.sampled_points(), world)),
        }
    }

    /// Asks for what is drawn in a frame at some time (seconds).
    pub fn ask(&mut self, index: u64, time: f64, renderer: &Renderer) -> Result<Picture, JobError> {
        let original = self.original.clone();
        if let (Some(view), Some(extent)) = (self.composition.alone, self.extent) {
            let shot = extent.shot(view, time, original.geometry);
            let scene = self.scene(index, &shot)?.with_under(&extent.grid(&shot));
            return Ok(Picture(vec![request(scene, index, renderer)?]));
        }
        let opacity = match self.composition.settings.style.bodies() {
            Some(Style::Overlay) => self.composition.settings.opacity,
            _ => 1.0,
        };
        let scene = self.scene(index, &original)?.with_opacity(opacity);
        let mut pending = vec![request(scene, index, renderer)?];
        if let Some(extent) = self.extent {
            for (view, panel) in self.composition.panels() {
                let shot = extent.shot(view, time, panel.geometry);
                let scene = self.scene(index, &shot)?.with_under(&extent.grid(&shot));
                pending.push(request(scene, index, renderer)?);
            }
        }
        Ok(Picture(pending))
    }

    fn scene(&mut self, index: u64, shot: &Shot) -> Result<Scene, JobError> {
        let scene = match self.composition.style() {
            Some(style) => self.scenes.make(index, shot, style).map_err(|e| JobError::Internal(e.to_string()))?,
            None => Scene::empty(&shot.geometry, render::Style::Overlay),
        };
        let (has_skeletons, labels) = (self.composition.settings.style.skeleton(), self.composition.settings.labels);
        if !has_skeletons && labels == Labels::None {
            return Ok(scene);
        }
        let mut over = Sketch::default();
        let [width, height] = shot.geometry.display;
        let shorter = width.min(height);
        let figures = self.people.figures(index, shot);
        if has_skeletons {
            figures.iter().for_each(|figure| figure.draw(&shot.camera, shorter, &mut over));
        }
        figures.iter().for_each(|figure| figure.label(&shot.camera, shorter, labels, &mut over));
        Ok(scene.with_over(&over))
    }
}

/// A panel without its edge, which tells it from its neighbours.
fn inside(Rect { x, y, width, height }: Rect) -> Rect {
    Rect { x: x + EDGE, y: y + EDGE, width: width.saturating_sub(2 * EDGE), height: height.saturating_sub(2 * EDGE) }
}

/// Asks for a scene, unless it is empty.
fn request(scene: Scene, index: u64, renderer: &Renderer) -> Result<Option<Pending>, RenderError> {
    let rect: Rect = scene.rect();
    if rect.width == 0 || rect.height == 0 {
        return Ok(None);
    }
    let [_, vertices, faces] = scene.counts();
    tracing::trace!("frame {index}: asking for {vertices} vertices {faces} faces");
    renderer.request(scene).map(Some)
}

impl Picture {
    /// Waits until it is drawn.
    pub fn wait(self) -> Result<Drawn, RenderError> {
        self.0.into_iter().map(|drawing| drawing.map(Pending::wait).transpose()).collect::<Result<_, _>>().map(Drawn)
    }
}

impl Drawn {
    /// What it took; `None` where there was nothing to draw.
    pub fn cost(&self) -> Option<Cost> {
        let add = |sum: Cost, one: &Rendered| Cost {
            waited: sum.waited + one.waited,
            rendering: sum.rendering + one.rendering,
            vertices: sum.vertices + one.vertices,
            faces: sum.faces + one.faces,
        };
        let mut drawn = self.0.iter().flatten().peekable();
        drawn.peek()?;
        Some(drawn.fold(Cost::default(), add))
    }

    fn overlays(&self) -> impl Iterator<Item = Option<&Overlay>> {
        self.0.iter().map(|drawn| drawn.as_ref().map(|drawn| &drawn.overlay))
    }

    /// Gives memory back that is no longer needed.
    pub fn take_back(self, renderer: &Renderer) {
        self.0.into_iter().flatten().for_each(|drawn| renderer.take_back(drawn.overlay));
    }
}
