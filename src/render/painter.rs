//! Draws a [`Scene`] with OpenGL and reads the pixels back. Used by the render thread alone.
//!
//! A GPU is read back asynchronously: the pixels go into one of a few buffers of the device while the next scene is drawn, and a
//! fence tells when they are there. A software renderer does not go on by itself: another copy would be all that this gives.

use std::sync::Arc;

use glow::HasContext;

use super::scene::{NEAR, Scene, Vertex};
use super::{DARKEST_GREY, METRES_PER_GREY, Overlay, RenderError, Style};
use crate::geometry::Rect;

/// How the shaders begin; what follows is [`number`] of the style that they draw.
const HEAD: &str = r"#version 330 core
#define SHADED 0
#define MASK 1
#define DEPTH 2
#define NORMALS 3
#define FLAT 4
";

const VERTEX_SHADER: &str = r"
layout(location = 0) in vec3 place;
layout(location = 1) in vec4 normal_seen;
layout(location = 2) in vec4 color;
layout(location = 3) in vec4 tone;
uniform vec4 window; // scale and offset from coded pixels to clip space
uniform float near;
uniform float opacity;
out vec4 surface; // shaded: light times the colour, and the rim's share; flat: colour; normals: the normal
out vec2 cover_seen; // coverage, and how well it was seen; shaded: the opacity
out vec4 fragment_tone;
// Light is computed linearly (gamma 2 stands in for the video's transfer curve): a wrapped key light from the upper left
// front, a sky that is brighter than the ground, and a slight rim. Triangles are a few pixels wide, so that it is enough to do so once a vertex.
const vec3 KEY = vec3(-0.477, -0.668, -0.573);
void main() {
    gl_Position = vec4(place.xy * window.xy + place.z * window.zw, place.z - 2.0 * near, place.z);
    float seen = normal_seen.w;
    cover_seen = vec2(color.a, seen);
    fragment_tone = tone;
#if STYLE == SHADED
    vec3 n = normalize(normal_seen.xyz);
    float key = max((dot(n, KEY) + 0.2) / 1.2, 0.0);
    float sky = 0.5 - 0.5 * n.y;
    float away = 1.0 - clamp(-n.z, 0.0, 1.0);
    float light = 0.14 + 0.24 * sky + 0.72 * key;
    vec3 albedo = color.rgb * color.rgb;
    float grey = dot(albedo, vec3(0.3, 0.6, 0.1));
    albedo = mix(vec3(grey * 0.7 + 0.2), albedo, 0.45 + 0.55 * seen);
    surface = vec4(albedo * light + 0.14 * away * away * away * sky, 1.0);
    cover_seen.y = mix(0.45, 1.0, seen) * opacity;
#elif STYLE == NORMALS
    surface = vec4(normal_seen.xyz, 1.0);
#else
    surface = color;
#endif
}
";

const FRAGMENT_SHADER: &str = r"
in vec4 surface;
in vec2 cover_seen;
in vec4 fragment_tone;
uniform float pixel_slope; // width of a pixel one metre away
uniform vec2 grey; // steps of 1 a metre, and the darkest
layout(location = 0, index = 0) out vec4 pixel;
layout(location = 0, index = 1) out vec4 coverage;
const float REACH = 0.127; // metres of a tone's distance that is 1
// Parts of the light that is thrown back.
const float SEAM = 0.33;
const float BACK = 0.5; // of trunk and head
const float SECOND = 0.8; // of upper arms, thighs, hands and feet
const float RIGHT = 0.88; // of the right arm and leg
float tone() {
    // A seam keeps its 16 millimetres, but is never narrower than 1.3 pixels.
    float pixel = pixel_slope / gl_FragCoord.w;
    float blur = max(0.5 * pixel, 0.001);
    float half_width = max(0.008, 0.65 * pixel);
    float seam = fragment_tone.x * REACH;
    float limb = smoothstep(-blur, blur, -fragment_tone.y * REACH);
    float second = mix(1.0, SECOND, limb * smoothstep(-blur, blur, -seam));
    float right = mix(1.0, RIGHT, limb * clamp(-fragment_tone.w, 0.0, 1.0));
    float back = mix(1.0, BACK, (1.0 - limb) * smoothstep(-0.15, 0.15, fragment_tone.z));
    float line = mix(SEAM, 1.0, smoothstep(half_width - blur, half_width + blur, abs(seam)));
    return min(second * right * back, line);
}
void main() {
    float cover = cover_seen.x;
    coverage = vec4(cover);
#if STYLE == SHADED
    float alpha = cover_seen.y * cover;
    pixel = vec4(sqrt(min(tone() * surface.rgb, vec3(1.0))) * alpha, alpha);
#elif STYLE == FLAT
    coverage = vec4(cover * cover_seen.y);
    pixel = coverage * vec4(surface.rgb, 1.0);
#elif STYLE == MASK
    pixel = vec4(cover);
#elif STYLE == DEPTH
    pixel = cover * vec4(vec3(max(1.0 - grey.x / gl_FragCoord.w, grey.y)), 1.0);
#elif STYLE == NORMALS
    vec3 n = normalize(surface.xyz);
    pixel = cover * vec4(vec3(n.x, -n.yz) * 0.5 + 0.5, 1.0);
#endif
}
";

/// Each style has a program of its own: software renderers run through all branches of a program.
const PROGRAMS: usize = 5;

/// The program of each style.
fn number(style: Style) -> usize {
    match style {
        Style::Overlay => 0,
        Style::Mask => 1,
        Style::Depth => 2,
        Style::Normals => 3,
    }
}
/// That of flat drawings.
const FLAT: usize = 4;

/// Nanoseconds between two looks at a fence.
const PATIENCE: i32 = 100_000_000;
/// Looks at a fence after which a device counts as lost: ten seconds, where a picture takes milliseconds.
const LOOKS: usize = 100;
/// Memory for pixels grows in steps of as many bytes: people who come nearer would otherwise need new memory each frame.
const GRAIN: usize = 1 << 20;
/// Scenes that may be under way at once.
pub(super) const UNDER_WAY: usize = 3;

/// A scene that is being drawn. To be given to [`Painter::finish`], the oldest first.
#[must_use]
pub(super) struct Drawing {
    rect: Rect,
    pixels: Pixels,
}

/// Pixels of a scene.
enum Pixels {
    /// Read back.
    Here(Vec<u8>),
    /// In the next buffer when this fence is reached.
    Coming(glow::Fence),
}

/// Program, buffers and target; made once a context.
pub(super) struct Painter {
    gl: Arc<glow::Context>,
    /// By [`number`]; made when they are first needed.
    programs: [Option<Program>; PROGRAMS],
    vertices: glow::Buffer,
    indices: glow::Buffer,
    target: Target,
    largest: u32,
    /// Used in turn; none where a drawing is read back at once.
    buffers: Vec<glow::Buffer>,
    /// Drawings read into buffers, and out of them.
    begun: usize,
    finished: usize,
    /// Memory to read into.
    spares: flume::Receiver<Vec<u8>>,
}

/// A program and where its uniforms are.
struct Program {
    program: glow::Program,
    window: Option<glow::UniformLocation>,
    pixel_slope: Option<glow::UniformLocation>,
    opacity: Option<glow::UniformLocation>,
}

/// A framebuffer that only grows.
struct Target {
    framebuffer: glow::Framebuffer,
    color: glow::Renderbuffer,
    depth: glow::Renderbuffer,
    size: [u32; 2],
}

impl Painter {
    pub(super) fn new(
        gl: Arc<glow::Context>,
        is_software: bool,
        spares: flume::Receiver<Vec<u8>>,
    ) -> Result<Self, RenderError> {
        // SAFETY: the context is current on this thread, which owns every object made here.
        unsafe {
            let vertices = gl.create_buffer().map_err(RenderError::Gl)?;
            let indices = gl.create_buffer().map_err(RenderError::Gl)?;
            // The only vertex array of the context: it stays bound.
            gl.bind_vertex_array(Some(gl.create_vertex_array().map_err(RenderError::Gl)?));
            gl.bind_buffer(glow::ARRAY_BUFFER, Some(vertices));
            gl.bind_buffer(glow::ELEMENT_ARRAY_BUFFER, Some(indices));
            let stride = size_of::<Vertex>() as i32;
            gl.vertex_attrib_pointer_f32(0, 3, glow::FLOAT, false, stride, 0);
            gl.vertex_attrib_pointer_f32(1, 4, glow::SHORT, true, stride, 12);
            gl.vertex_attrib_pointer_f32(2, 4, glow::UNSIGNED_BYTE, true, stride, 20);
            gl.vertex_attrib_pointer_f32(3, 4, glow::BYTE, true, stride, 24);
            (0..4).for_each(|i| gl.enable_vertex_attrib_array(i));
            gl.enable(glow::DEPTH_TEST);
            gl.depth_func(glow::LEQUAL);
            gl.enable(glow::SCISSOR_TEST);
            gl.disable(glow::DITHER);
            // Result = fringe + (1 - coverage) * what is behind it, whatever the fringe's opacity.
            gl.blend_func(glow::ONE, glow::ONE_MINUS_SRC1_COLOR);
            gl.clear_color(0.0, 0.0, 0.0, 0.0);
            let target = Target {
                framebuffer: gl.create_framebuffer().map_err(RenderError::Gl)?,
                color: gl.create_renderbuffer().map_err(RenderError::Gl)?,
                depth: gl.create_renderbuffer().map_err(RenderError::Gl)?,
                size: [0, 0],
            };
            let buffers = (0..if is_software { 0 } else { UNDER_WAY }).map(|_| gl.create_buffer());
            let buffers = buffers.collect::<Result<_, _>>().map_err(RenderError::Gl)?;
            let largest = [glow::MAX_RENDERBUFFER_SIZE, glow::MAX_TEXTURE_SIZE]
                .map(|name| gl.get_parameter_i32(name).max(0) as u32);
            let largest = largest[0].min(largest[1]);
            Ok(Self {
                gl,
                programs: std::array::from_fn(|_| None),
                vertices,
                indices,
                target,
                largest,
                buffers,
                begun: 0,
                finished: 0,
                spares,
            })
        }
    }

    /// Has a scene drawn. No more than [`UNDER_WAY`] may be unfinished.
    pub(super) fn begin(&mut self, scene: &Scene) -> Result<Drawing, RenderError> {
        let rect = scene.rect();
        let [width, height] = [rect.width, rect.height];
        if width == 0 || height == 0 {
            return Ok(Drawing { rect, pixels: Pixels::Here(Vec::new()) });
        }
        self.fit_target([width, height])?;
        let gl = Arc::clone(&self.gl);
        // SAFETY: the context is current on this thread; indices were built with the vertices they name.
        unsafe {
            gl.viewport(0, 0, width as i32, height as i32);
            gl.scissor(0, 0, width as i32, height as i32);
            gl.disable(glow::BLEND);
            gl.depth_mask(true);
            gl.clear(glow::COLOR_BUFFER_BIT | glow::DEPTH_BUFFER_BIT);
            gl.buffer_data_u8_slice(glow::ARRAY_BUFFER, bytemuck::cast_slice(&scene.vertices), glow::STREAM_DRAW);
            let lists = [&scene.under, &scene.solid, &scene.fringe, &scene.over];
            let bytes = lists.map(|list| bytemuck::cast_slice::<_, u8>(list));
            let total: usize = bytes.iter().map(|list| list.len()).sum();
            gl.buffer_data_size(glow::ELEMENT_ARRAY_BUFFER, total as i32, glow::STREAM_DRAW);
            let mut begins = [0; 4];
            let mut end = 0;
            for (begin, list) in begins.iter_mut().zip(bytes) {
                *begin = end;
                gl.buffer_sub_data_u8_slice(glow::ELEMENT_ARRAY_BUFFER, end, list);
                end += list.len() as i32;
            }
            let draw = |list: usize| {
                gl.draw_elements(glow::TRIANGLES, lists[list].len() as i32 * 3, glow::UNSIGNED_INT, begins[list]);
            };
            gl.depth_mask(false);
            if !scene.under.is_empty() {
                self.prepare_flat(scene)?;
                draw(0);
            }
            self.prepare(number(scene.style), scene)?;
            gl.disable(glow::BLEND);
            gl.enable(glow::DEPTH_TEST);
            gl.depth_mask(true);
            draw(1);
            gl.enable(glow::BLEND);
            gl.depth_mask(false);
            draw(2);
            if !scene.over.is_empty() {
                self.prepare_flat(scene)?;
                draw(3);
            }
            let pixels = self.read(rect)?;
            match self.gl.get_error() {
                glow::NO_ERROR => Ok(Drawing { rect, pixels }),
                code => Err(failure(code, "drawing", rect)),
            }
        }
    }

    /// Flat drawings are blended over whatever is there.
    ///
    /// # Safety
    /// The context must be current on this thread.
    unsafe fn prepare_flat(&mut self, scene: &Scene) -> Result<(), RenderError> {
        // SAFETY: as the caller promises.
        unsafe {
            self.prepare(FLAT, scene)?;
            self.gl.enable(glow::BLEND);
            self.gl.disable(glow::DEPTH_TEST);
        }
        Ok(())
    }

    /// Has a scene drawn by the program of this number from now on.
    ///
    /// # Safety
    /// The context must be current on this thread.
    unsafe fn prepare(&mut self, number: usize, scene: &Scene) -> Result<(), RenderError> {
        let (gl, rect) = (&self.gl, scene.rect());
        let (sx, sy) = (2.0 / rect.width as f32, 2.0 / rect.height as f32);
        // Window y grows with coded y, so that the first row read back is the top one.
        let tx = (0.5 - rect.x as f32) * sx - 1.0;
        let ty = (0.5 - rect.y as f32) * sy - 1.0;
        // SAFETY: as the caller promises.
        unsafe {
            let made = match &mut self.programs[number] {
                Some(made) => made,
                none => none.insert(Program::new(gl, number)?),
            };
            gl.use_program(Some(made.program));
            gl.uniform_4_f32(made.window.as_ref(), sx, sy, tx, ty);
            gl.uniform_1_f32(made.pixel_slope.as_ref(), scene.pixel_slope);
            gl.uniform_1_f32(made.opacity.as_ref(), scene.opacity);
        }
        Ok(())
    }

    /// Reads the pixels back, or has them read.
    ///
    /// # Safety
    /// The context must be current on this thread.
    unsafe fn read(&mut self, rect: Rect) -> Result<Pixels, RenderError> {
        let gl = &self.gl;
        let [width, height] = [rect.width, rect.height].map(|v| v as i32);
        // SAFETY: what is read into holds width x height RGBA pixels, and rows of RGBA are aligned to four bytes.
        unsafe {
            let read = |into| gl.read_pixels(0, 0, width, height, glow::RGBA, glow::UNSIGNED_BYTE, into);
            if self.buffers.is_empty() {
                let mut rgba = self.memory(bytes(rect));
                read(glow::PixelPackData::Slice(Some(&mut rgba)));
                return Ok(Pixels::Here(rgba));
            }
            gl.bind_buffer(glow::PIXEL_PACK_BUFFER, Some(self.buffers[self.begun % UNDER_WAY]));
            gl.buffer_data_size(glow::PIXEL_PACK_BUFFER, bytes(rect) as i32, glow::STREAM_READ);
            read(glow::PixelPackData::BufferOffset(0));
            let fence = gl.fence_sync(glow::SYNC_GPU_COMMANDS_COMPLETE, 0).map_err(RenderError::Gl)?;
            gl.flush();
            self.begun += 1;
            Ok(Pixels::Coming(fence))
        }
    }

    /// Waits until a drawing is done, and gives its pixels.
    pub(super) fn finish(&mut self, Drawing { rect, pixels }: Drawing) -> Result<Overlay, RenderError> {
        let fence = match pixels {
            Pixels::Here(rgba) => return Ok(Overlay { rect, rgba }),
            Pixels::Coming(fence) => fence,
        };
        let from = self.buffers[self.finished % UNDER_WAY];
        self.finished += 1;
        let gl = &self.gl;
        let mut rgba = self.memory(bytes(rect));
        // SAFETY: the context is current on this thread; the buffer was made for the pixels of `rect`, and is mapped while they are
        // copied.
        unsafe {
            let mut looks = (0..LOOKS).map(|_| gl.client_wait_sync(fence, glow::SYNC_FLUSH_COMMANDS_BIT, PATIENCE));
            let is_late = looks.all(|look| look == glow::TIMEOUT_EXPIRED);
            gl.delete_sync(fence);
            if is_late {
                return Err(RenderError::Lost("it does not answer"));
            }
            gl.bind_buffer(glow::PIXEL_PACK_BUFFER, Some(from));
            let mapped = gl.map_buffer_range(glow::PIXEL_PACK_BUFFER, 0, bytes(rect) as i32, glow::MAP_READ_BIT);
            if !mapped.is_null() {
                rgba.copy_from_slice(std::slice::from_raw_parts(mapped, bytes(rect)));
                gl.unmap_buffer(glow::PIXEL_PACK_BUFFER);
            }
            match gl.get_error() {
                glow::NO_ERROR if !mapped.is_null() => Ok(Overlay { rect, rgba }),
                code => Err(failure(code, "reading", rect)),
            }
        }
    }

    /// As many bytes, whatever is in them, used ones where there are.
    fn memory(&self, bytes: usize) -> Vec<u8> {
        let spare = self.spares.try_recv().ok().filter(|spare| spare.capacity() >= bytes);
        let mut memory = spare.unwrap_or_else(|| Vec::with_capacity(bytes.next_multiple_of(GRAIN)));
        memory.resize(bytes, 0);
        memory
    }

    fn fit_target(&mut self, need: [u32; 2]) -> Result<(), RenderError> {
        let have = self.target.size;
        if need[0] <= have[0] && need[1] <= have[1] {
            return Ok(());
        }
        if need.iter().any(|&n| n > self.largest) {
            return Err(RenderError::TooLarge { size: need, largest: self.largest });
        }
        let size = [0, 1].map(|i| need[i].next_multiple_of(64).max(have[i]).min(self.largest));
        let gl = &self.gl;
        let target = &mut self.target;
        // SAFETY: the context is current on this thread, and the objects are this target's.
        unsafe {
            gl.bind_framebuffer(glow::FRAMEBUFFER, Some(target.framebuffer));
            for (buffer, format, attachment) in [
                (target.color, glow::RGBA8, glow::COLOR_ATTACHMENT0),
                (target.depth, glow::DEPTH_COMPONENT24, glow::DEPTH_ATTACHMENT),
            ] {
                gl.bind_renderbuffer(glow::RENDERBUFFER, Some(buffer));
                gl.renderbuffer_storage(glow::RENDERBUFFER, format, size[0] as i32, size[1] as i32);
                gl.framebuffer_renderbuffer(glow::FRAMEBUFFER, attachment, glow::RENDERBUFFER, Some(buffer));
            }
            let status = gl.check_framebuffer_status(glow::FRAMEBUFFER);
            if status != glow::FRAMEBUFFER_COMPLETE {
                target.size = [0, 0];
                return Err(RenderError::Gl(format!("a target of {size:?} pixels is refused ({status:#x})")));
            }
        }
        target.size = size;
        Ok(())
    }
}

impl Drop for Painter {
    fn drop(&mut self) {
        // SAFETY: a painter is dropped on the thread that made it, before its context.
        unsafe {
            self.programs.iter().flatten().for_each(|made| self.gl.delete_program(made.program));
            self.gl.delete_buffer(self.vertices);
            self.gl.delete_buffer(self.indices);
            self.gl.delete_framebuffer(self.target.framebuffer);
            self.gl.delete_renderbuffer(self.target.color);
            self.gl.delete_renderbuffer(self.target.depth);
            self.buffers.iter().for_each(|&buffer| self.gl.delete_buffer(buffer));
        }
    }
}

fn failure(code: u32, doing: &str, rect: Rect) -> RenderError {
    match code {
        glow::CONTEXT_LOST => RenderError::Lost("it was reset or removed"),
        _ => RenderError::Gl(format!("error {code:#x} while {doing} {} x {} pixels", rect.width, rect.height)),
    }
}

/// Bytes of the RGBA pixels of a rectangle.
fn bytes(rect: Rect) -> usize {
    rect.width as usize * rect.height as usize * 4
}

impl Program {
    /// The program of this number.
    ///
    /// # Safety
    /// The context must be current on this thread.
    unsafe fn new(gl: &glow::Context, number: usize) -> Result<Self, RenderError> {
        // SAFETY: as the caller promises.
        unsafe {
            let program = link(gl, number)?;
            gl.use_program(Some(program));
            gl.uniform_1_f32(gl.get_uniform_location(program, "near").as_ref(), NEAR);
            let grey = [1.0 / (METRES_PER_GREY * 255.0), f32::from(DARKEST_GREY) / 255.0];
            gl.uniform_2_f32(gl.get_uniform_location(program, "grey").as_ref(), grey[0], grey[1]);
            let [window, pixel_slope, opacity] =
                ["window", "pixel_slope", "opacity"].map(|name| gl.get_uniform_location(program, name));
            Ok(Self { program, window, pixel_slope, opacity })
        }
    }
}

/// # Safety
/// A context must be current on this thread.
unsafe fn link(gl: &glow::Context, number: usize) -> Result<glow::Program, RenderError> {
    // SAFETY: as the caller promises.
    unsafe {
        let program = gl.create_program().map_err(RenderError::Gl)?;
        for (kind, source) in [(glow::VERTEX_SHADER, VERTEX_SHADER), (glow::FRAGMENT_SHADER, FRAGMENT_SHADER)] {
            let shader = gl.create_shader(kind).map_err(RenderError::Gl)?;
            gl.shader_source(shader, &format!("{HEAD}#define STYLE {number}\n{source}"));
            gl.compile_shader(shader);
            if !gl.get_shader_compile_status(shader) {
                return Err(RenderError::Gl(gl.get_shader_info_log(shader)));
            }
            gl.attach_shader(program, shader);
            gl.delete_shader(shader);
        }
        gl.link_program(program);
        if !gl.get_program_link_status(program) {
            return Err(RenderError::Gl(gl.get_program_info_log(program)));
        }
        Ok(program)
    }
}
