//! The one render thread of the process: owns the OpenGL context and draws what every job asks for, in the order asked.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flume::RecvTimeoutError;

use super::context::{Context, Description};
use super::painter::{Drawing, Painter, UNDER_WAY};
use super::scene::Scene;
use super::{Overlay, RenderError};
use crate::thread;

/// Requests that may wait: enough that the thread never idles between two jobs, few enough that memory stays small (a
/// request holds about half a megabyte a person).
const QUEUE: usize = 4;

/// A drawn frame and what it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// The pixels.
    pub overlay: Overlay,
    /// From the request to the moment the thread started on it ("render-lock wait").
    pub waited: Duration,
    /// From there until the pixels were read back.
    pub rendering: Duration,
    /// Vertices of the bodies in the picture.
    pub vertices: usize,
    /// Triangles of the bodies in the picture.
    pub faces: usize,
}

struct Request {
    scene: Scene,
    asked: Instant,
    reply: flume::Sender<Result<Rendered, RenderError>>,
}

enum Message {
    Draw(Box<Request>),
    Stop,
}

/// A frame that was asked for.
#[must_use]
pub struct Pending {
    requests: flume::Sender<Message>,
    reply: flume::Receiver<Result<Rendered, RenderError>>,
}

impl Pending {
    /// Waits until it is drawn. A render thread that has died is an error here, never a hang.
    pub fn wait(self) -> Result<Rendered, RenderError> {
        loop {
            match self.reply.recv_timeout(Duration::from_millis(100)) {
                Ok(rendered) => return rendered,
                Err(RecvTimeoutError::Disconnected) => return Err(RenderError::Stopped),
                // A request left in the queue of a thread that has ended keeps its reply channel open: look for that.
                Err(RecvTimeoutError::Timeout) if self.requests.is_disconnected() => {
                    return self.reply.try_recv().unwrap_or(Err(RenderError::Stopped));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

/// Sends requests to the render thread; cheap to clone, one for each job.
#[derive(Clone)]
pub struct Renderer {
    requests: flume::Sender<Message>,
    /// Memory of pixels that were used, for the next ones: fresh pages cost more than drawing on used ones.
    spares: flume::Sender<Vec<u8>>,
}

impl Renderer {
    /// Asks for a scene to be drawn; blocks while the queue is full.
    pub fn request(&self, scene: Scene) -> Result<Pending, RenderError> {
        let (sender, reply) = flume::bounded(1);
        let request = Request { scene, asked: Instant::now(), reply: sender };
        self.requests.send(Message::Draw(Box::new(request))).map_err(|_| RenderError::Stopped)?;
        Ok(Pending { requests: self.requests.clone(), reply })
    }

    /// Takes pixels back that are no longer needed.
    pub fn take_back(&self, overlay: Overlay) {
        // Full, or the thread has ended: then they are freed.
        drop(self.spares.try_send(overlay.rgba));
    }

    /// Requests waiting now.
    pub fn queued(&self) -> usize {
        self.requests.len()
    }

    /// Requests that can wait.
    pub fn capacity(&self) -> usize {
        QUEUE
    }
}

/// The thread itself. Dropping it draws what is queued, then ends the thread; a [`Renderer`] that is left over gets
/// [`RenderError::Stopped`].
pub struct RenderThread {
    renderer: Renderer,
    description: Description,
    thread: Option<JoinHandle<()>>,
}

impl RenderThread {
    /// Starts the thread and its context. Call once a process.
    pub fn start() -> Result<Self, RenderError> {
        let (requests, queue) = flume::bounded(QUEUE);
        let (spares, used) = flume::bounded(UNDER_WAY);
        let (ready, started) = flume::bounded(1);
        let serving = move || {
            let device = Device::open(&used);
            let description = device.as_ref().map(|device| device.context.description().clone());
            // Without a device, whoever started the thread has the error and asks for nothing.
            if ready.send(description.map_err(RenderError::clone)).is_ok() && device.is_ok() {
                serve(device, &queue, &used);
            }
        };
        let thread = thread::spawn("render", serving).map_err(|e| RenderError::Thread(e.to_string()))?;
        let description = started.recv().unwrap_or(Err(RenderError::Stopped))?;
        Ok(Self { renderer: Renderer { requests, spares }, description, thread: Some(thread) })
    }

    /// A handle for a job.
    pub fn renderer(&self) -> Renderer {
        self.renderer.clone()
    }

    /// Devices and driver, for `meshreel doctor`.
    pub fn description(&self) -> &Description {
        &self.description
    }
}

impl Drop for RenderThread {
    fn drop(&mut self) {
        // An error means that the thread has ended already.
        drop(self.renderer.requests.send(Message::Stop));
        if let Some(thread) = self.thread.take() {
            // A panic was reported to whoever asked for that frame.
            drop(thread.join());
        }
    }
}

/// What draws.
struct Device {
    // Dropped before the context, which it needs for that.
    painter: Painter,
    context: Context,
}

impl Device {
    fn open(spares: &flume::Receiver<Vec<u8>>) -> Result<Self, RenderError> {
        let context = Context::new()?;
        let painter = Painter::new(context.gl.clone(), context.description().software, spares.clone())?;
        Ok(Self { painter, context })
    }

    /// Scenes it has under way at once.
    fn most(&self) -> usize {
        if self.context.description().software { 1 } else { UNDER_WAY }
    }
}

/// A request that is being drawn.
struct UnderWay {
    drawing: Drawing,
    /// `[people, vertices, faces]`.
    counts: [usize; 3],
    asked: Instant,
    started: Instant,
    reply: flume::Sender<Result<Rendered, RenderError>>,
}

fn serve(mut device: Result<Device, RenderError>, queue: &flume::Receiver<Message>, spares: &flume::Receiver<Vec<u8>>) {
    let mut under_way = VecDeque::with_capacity(UNDER_WAY);
    loop {
        // The thread waits for a drawing only where nothing else is to be begun.
        let message = match under_way.len() {
            0 => queue.recv().ok().or(Some(Message::Stop)),
            n if n >= device.as_ref().map_or(1, Device::most) => None,
            _ => queue.try_recv().ok(),
        };
        let is_well = match message {
            Some(Message::Draw(request)) => begin(&mut device, *request, &mut under_way),
            Some(Message::Stop) => break,
            None => under_way.pop_front().is_none_or(|oldest| finish(&mut device, oldest)),
        };
        if !is_well {
            // Whatever state a failed frame left behind is thrown away, after what was begun before it, and the context
            // with it: a GPU that was reset or taken away gives none of its contexts back.
            while let Some(oldest) = under_way.pop_front() {
                finish(&mut device, oldest);
            }
            drop(std::mem::replace(&mut device, Err(RenderError::Stopped)));
            device = Device::open(spares);
            match &device {
                Ok(device) => tracing::warn!("drawing failed; begun anew on {}", device.context.description().renderer),
                Err(error) => tracing::warn!("drawing failed, and cannot begin anew yet: {error}"),
            }
        }
    }
    while let Some(oldest) = under_way.pop_front() {
        finish(&mut device, oldest);
    }
}

/// Whether that went well.
fn begin(
    device: &mut Result<Device, RenderError>,
    Request { scene, asked, reply }: Request,
    under_way: &mut VecDeque<UnderWay>,
) -> bool {
    let started = Instant::now();
    match with(device, |painter| painter.begin(&scene)) {
        Ok(drawing) => {
            under_way.push_back(UnderWay { drawing, counts: scene.counts(), asked, started, reply });
            true
        }
        Err(error) => {
            // A picture that is too large says nothing against the device.
            let is_well = matches!(error, RenderError::TooLarge { .. });
            // A job that was stopped no longer listens.
            drop(reply.send(Err(error)));
            is_well
        }
    }
}

/// Whether that went well.
fn finish(
    device: &mut Result<Device, RenderError>,
    UnderWay { drawing, counts: [_, vertices, faces], asked, started, reply }: UnderWay,
) -> bool {
    let drawn = with(device, |painter| painter.finish(drawing));
    let is_well = drawn.is_ok();
    let (waited, rendering) = (started - asked, started.elapsed());
    // A job that was stopped no longer listens.
    drop(reply.send(drawn.map(|overlay| Rendered { overlay, waited, rendering, vertices, faces })));
    is_well
}

/// Panics of the drawing code are errors of the frame.
fn with<T>(
    device: &mut Result<Device, RenderError>,
    act: impl FnOnce(&mut Painter) -> Result<T, RenderError>,
) -> Result<T, RenderError> {
    let device = device.as_mut().map_err(|error| error.clone())?;
    catch_unwind(AssertUnwindSafe(|| act(&mut device.painter))).unwrap_or(Err(RenderError::Panicked))
}
