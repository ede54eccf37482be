//! The one render thread of the process: owns the OpenGL context and draws what every job asks for, in the order asked.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flume::RecvTimeoutError;

use super::context::{Context, Description};
use super::mesh::Scene;
use super::painter::Painter;
use super::{Overlay, RenderError};

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
    Draw(Request),
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
}

impl Renderer {
    /// Asks for a scene to be drawn; blocks while the queue is full.
    pub fn request(&self, scene: Scene) -> Result<Pending, RenderError> {
        let (sender, reply) = flume::bounded(1);
        let request = Request { scene, asked: Instant::now(), reply: sender };
        self.requests.send(Message::Draw(request)).map_err(|_| RenderError::Stopped)?;
        Ok(Pending { requests: self.requests.clone(), reply })
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
        let (ready, started) = flume::bounded(1);
        let thread = std::thread::Builder::new()
            .name("render".into())
            .spawn(move || {
                let made = Context::new().map_err(RenderError::from).and_then(|context| {
                    let painter = Painter::new(context.gl.clone())?;
                    Ok((context, painter))
                });
                match made {
                    Ok((context, painter)) => {
                        let told = ready.send(Ok(context.description().clone()));
                        if told.is_ok() {
                            serve(&context, painter, &queue);
                        }
                    }
                    // The requester has the error; a send that fails means nobody waits for it.
                    Err(e) => drop(ready.send(Err(e))),
                }
            })
            .map_err(|e| RenderError::Thread(e.to_string()))?;
        let description = started.recv().unwrap_or(Err(RenderError::Stopped))?;
        Ok(Self { renderer: Renderer { requests }, description, thread: Some(thread) })
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

fn serve(context: &Context, painter: Painter, queue: &flume::Receiver<Message>) {
    let mut painter = Ok(painter);
    while let Ok(Message::Draw(Request { scene, asked, reply })) = queue.recv() {
        let started = Instant::now();
        let drawn = match &mut painter {
            Ok(p) => catch_unwind(AssertUnwindSafe(|| p.draw(&scene))).unwrap_or(Err(RenderError::Panicked)),
            Err(e) => Err(RenderError::clone(e)),
        };
        let failed = drawn.is_err();
        let [_, vertices, faces] = scene.counts();
        let (waited, rendering) = (started - asked, started.elapsed());
        let rendered = drawn.map(|overlay| Rendered { overlay, waited, rendering, vertices, faces });
        // A job that was stopped no longer listens.
        drop(reply.send(rendered));
        if failed {
            // Whatever state a failed frame left behind is thrown away.
            drop(std::mem::replace(&mut painter, Err(RenderError::Stopped)));
            painter = Painter::new(context.gl.clone());
        }
    }
}
