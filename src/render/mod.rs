//! Drawing bodies: one thread of the process owns the one headless OpenGL context; everyone else sends it requests.
//!
//! ```text
//! job's thread: scene (skin a mesh, project, outline) -> Scene -> [queue] -> render thread: OpenGL, read back -> Overlay -> blend
//! ```

mod blend;
mod context;
mod cuda;
mod letters;
mod mesh;
mod painter;
mod scene;
mod sketch;
mod thread;
mod tone;

use thiserror::Error;

use crate::geometry::Rect;

pub use blend::{blend, dim, fill};
pub use context::{ContextError, Description, DeviceInfo};
pub use letters::{text_width, write_text};
pub use mesh::{Mesh, MeshData, MeshError, PartialSurface, Shape};
pub use scene::{Person, Scene};
pub use sketch::{Paint, Sketch};
pub use thread::{Pending, RenderThread, Rendered, Renderer};

/// A rendered rectangle of the displayed picture's coded raster.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Overlay {
    /// Where it belongs, in coded pixels; empty when nobody is in the picture.
    pub rect: Rect,
    /// `rect.width * rect.height` times premultiplied R, G, B, A, top row first.
    pub rgba: Vec<u8>,
}

/// How bodies are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// Shaded, in each person's colour; segments not seen are paler.
    #[default]
    Overlay,
    /// White silhouettes.
    Mask,
    /// Grey, [`METRES_PER_GREY`] darker for each step of 255 away from the camera.
    Depth,
    /// Where the surface faces: to the right red, up green, towards the camera blue; each from 0 (the opposite) over 0.5 to 1.
    Normals,
}

/// Metres of distance that make one step of grey (of 255) in [`Style::Depth`]: white is at the camera, and the darkest grey, of step
/// [`DARKEST_GREY`], is everything beyond 24 metres.
pub const METRES_PER_GREY: f32 = 0.1;
/// The grey of what is far away: not black, which is where nobody is.
pub const DARKEST_GREY: u8 = 15;

/// Why a frame could not be drawn.
#[derive(Debug, Clone, Error)]
pub enum RenderError {
    /// No usable OpenGL.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// OpenGL reported an error.
    #[error("OpenGL failed: {0}")]
    Gl(String),
    /// The device went away, or its driver threw everything away. May come back.
    #[error("the graphics device was lost: {0} (the system's log says more: dmesg)")]
    Lost(&'static str),
    /// The picture is larger than the device can draw.
    #[error("bodies cover {} x {} pixels, but this device draws at most {largest} in each direction", size[0], size[1])]
    TooLarge {
        /// Width and height asked for.
        size: [u32; 2],
        /// Largest width and height.
        largest: u32,
    },
    /// The system gave no thread.
    #[error("{0}")]
    Thread(String),
    /// A bug: the drawing code panicked.
    #[error("the render thread panicked while drawing this frame; please report it")]
    Panicked,
    /// The thread is gone.
    #[error("the render thread has stopped")]
    Stopped,
}

/// Draws a triangle and looks at it: whether this machine's OpenGL really works. For `meshreel doctor`.
pub fn self_test(renderer: &Renderer) -> Result<Rendered, RenderError> {
    use crate::body::Camera;
    use crate::geometry::{Geometry, Orientation};
    let check = |e: MeshError| RenderError::Gl(format!("self-test: {e}"));
    let vertices = vec![[-1.0, -1.0, 2.0], [1.0, -1.0, 2.0], [-1.0, 1.0, 2.0]];
    let data = MeshData {
        vertices: vertices.clone(),
        faces: vec![[0, 2, 1]],
        skin_indices: vec![[0; 4]; 3],
        skin_weights: vec![[1.0, 0.0, 0.0, 0.0]; 3],
        ..MeshData::default()
    };
    let mesh = Mesh::new(data).map_err(check)?;
    let shape = Shape::new(&mesh, &vertices).map_err(check)?;
    let joints = [[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]];
    let person = Person { shape: &shape, bend: None, joints: &joints, confidence: &[1.0], color: [1.0; 3] };
    let size = [64, 64];
    let geometry = Geometry::new(size, 1.0, Orientation::default());
    let scene = Scene::build(&mesh, &[person], &Camera::guess(size), &geometry, Style::Mask).map_err(check)?;
    let rendered = renderer.request(scene)?.wait()?;
    let Rect { x, y, width, .. } = rendered.overlay.rect;
    let alpha = |px: u32, py: u32| {
        let at = px.checked_sub(x).zip(py.checked_sub(y)).map(|(dx, dy)| ((dy * width + dx) * 4 + 3) as usize);
        at.and_then(|at| rendered.overlay.rgba.get(at)).copied().unwrap_or(0)
    };
    if alpha(20, 20) != 255 || alpha(45, 45) != 0 {
        return Err(RenderError::Gl("self-test: the triangle that was drawn did not come back".into()));
    }
    Ok(rendered)
}
