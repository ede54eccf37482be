//! Pass 2: decode again, draw the bodies, blend them in, encode; write the motion rows beside.
//!
//! Threads at work on one job: decode -> this one (poses the bodies, asks for drawings) -> render (of the process) ->
//! encode (blends first).

use std::io::BufWriter;
use std::time::Duration;

use flume::{Receiver, Sender};

use super::cast::Cast;
use super::decode::decode;
use super::outputs::PartialOutputs;
use super::{Course, Event, Job, JobError, Phase, join, spawn};
use crate::body::Body;
use crate::config::Style;
use crate::export::{Header, MotionWriter, Person};
use crate::media::{Decoder, Encoder, Frame, VideoInfo, Written};
use crate::render::{self, Overlay, Pending, Rendered, Renderer};
use crate::telemetry::{Stage, Timings};

/// Frames decoded ahead of the drawing.
const DECODED: usize = 1;
/// Frames whose drawing was asked for and that the encoder has not taken yet: one being drawn, one waiting.
const DRAWN: usize = 2;
/// The log sums up this many frames at a time.
const BATCH: u64 = 100;

/// What pass 2 has to tell.
pub struct Drawn {
    /// What the encoder wrote.
    pub written: Written,
    /// Meshes drawn, over all frames.
    pub bodies: u64,
    /// Frames in which an identity is uncertain.
    pub uncertain_frames: u64,
}

/// A frame on its way to the encoder.
struct Asked {
    frame: Frame,
    /// `None` when nobody is in the picture.
    drawing: Option<Pending>,
    people: Vec<Person>,
}

/// Draws `cast` into the video and writes video and motion to `partial`.
pub fn draw(
    job: &Job,
    body: &Body,
    cast: &Cast,
    frames: u64,
    renderer: &Renderer,
    timings: &Timings,
    partial: &mut PartialOutputs,
) -> Result<Drawn, JobError> {
    let decoder = Decoder::open(job.source, 0)?;
    let info = decoder.info().clone();
    let encoder = Encoder::create(partial.video(), &info, &job.settings.encode.settings())?;
    let header = Header {
        path: &job.source.to_string_lossy(),
        display: info.geometry.display,
        fps: info.frame_rate,
        frames,
        body: &body.name,
        joints: &body.joint_names,
        parents: body.parents.iter().map(|p| p.map_or(-1, |p| p as i64)).collect(),
        camera: cast.camera(),
    };
    let motion_path = job.outputs.motion.clone();
    let unwritable = |source| JobError::Output { path: motion_path.clone(), source };
    let motion = MotionWriter::new(BufWriter::new(partial.motion()), &header).map_err(unwritable)?;

    std::thread::scope(|scope| {
        let (decoded, to_draw) = flume::bounded(DECODED);
        let (asked, to_encode) = flume::bounded(DRAWN);
        let decoding = spawn(scope, "decode", move || decode(decoder, decoded, job.course, timings))?;
        let info = &info;
        let encoding = spawn(scope, "encode", move || {
            let encoding = Encoding { job, info, timings, total: frames, people: cast.len() };
            encoding.run(encoder, motion, &to_encode)
        })?;
        let asking = ask(job, cast, info, renderer, &to_draw, asked);
        // Let go of the decoder's channel: if this stage ended early the decoder must not wait for it.
        drop(to_draw);
        let decoded = join(decoding);
        let encoded = join(encoding);
        asking?;
        decoded?;
        encoded
    })
}

/// Poses the bodies of each frame and asks for their drawing.
fn ask(
    job: &Job,
    cast: &Cast,
    info: &VideoInfo,
    renderer: &Renderer,
    frames: &Receiver<Frame>,
    asked: Sender<Asked>,
) -> Result<(), JobError> {
    let style = match job.settings.style {
        Style::Overlay => render::Style::Overlay,
        Style::Mask => render::Style::Mask,
    };
    for frame in frames {
        let (scene, people) =
            cast.frame(frame.index, &info.geometry, style).map_err(|e| JobError::Internal(e.to_string()))?;
        let drawing = match scene.rect() {
            rect if rect.width == 0 || rect.height == 0 => None,
            _ => {
                let [_, vertices, faces] = scene.counts();
                tracing::trace!("frame {}: asking for {vertices} vertices {faces} faces", frame.index);
                Some(renderer.request(scene)?)
            }
        };
        if asked.send(Asked { frame, drawing, people }).is_err() {
            // The encoder failed and tells why itself.
            break;
        }
    }
    Ok(())
}

/// The encode thread's surroundings.
struct Encoding<'a> {
    job: &'a Job<'a>,
    info: &'a VideoInfo,
    timings: &'a Timings,
    total: u64,
    people: usize,
}

impl Encoding<'_> {
    fn run<W: std::io::Write>(
        self,
        mut encoder: Encoder,
        mut motion: MotionWriter<W>,
        frames: &Receiver<Asked>,
    ) -> Result<Drawn, JobError> {
        let unwritable = |source| JobError::Output { path: self.job.outputs.motion.clone(), source };
        let (mut bodies, mut uncertain_frames) = (0, 0);
        let mut batch = Batch::default();
        for Asked { mut frame, drawing, people } in frames {
            let (index, time) = (frame.index, frame.time);
            let rendered = drawing.map(Pending::wait).transpose()?;
            if let Some(rendered) = &rendered {
                self.timings.record(Stage::RenderWait, rendered.waited);
                self.timings.record(Stage::Render, rendered.rendering);
                batch.add(index, rendered);
            }
            self.blend(&mut frame, rendered.as_ref());
            self.timings.time(Stage::Encode, || encoder.write(frame))?;
            motion.write(time, &people).map_err(unwritable)?;
            bodies += people.len() as u64;
            uncertain_frames += u64::from(people.iter().any(|p| p.uncertain));
            (self.job.events)(Event::Progress {
                phase: Phase::Draw,
                done: index + 1,
                total: Some(self.total),
                people: self.people,
            });
        }
        batch.tell();
        motion.flush().map_err(unwritable)?;
        if (self.job.course)() == Course::Stop {
            return Err(JobError::Stopped);
        }
        Ok(Drawn { written: encoder.finish()?, bodies, uncertain_frames })
    }

    fn blend(&self, frame: &mut Frame, rendered: Option<&Rendered>) {
        let settings = &self.job.settings;
        let overlay = rendered.map(|r| &r.overlay);
        self.timings.time(Stage::Blend, || match (settings.style, overlay) {
            (Style::Overlay, Some(overlay)) => render::blend(frame, overlay, self.info.color, settings.opacity),
            (Style::Overlay, None) => {}
            (Style::Mask, Some(overlay)) => render::paint_mask(frame, overlay, self.info.color),
            (Style::Mask, None) => render::paint_mask(frame, &Overlay::default(), self.info.color),
        });
    }
}

/// The log of the render thread's work, frame by frame and summed up by the batch.
#[derive(Default)]
struct Batch {
    first: u64,
    count: u64,
    waited: Duration,
    rendering: Duration,
}

impl Batch {
    fn add(&mut self, index: u64, rendered: &Rendered) {
        let Rendered { waited, rendering, vertices, faces, .. } = rendered;
        tracing::debug!("frame {index}: render start, {vertices} vertices {faces} faces, waited {:.1} ms", ms(*waited));
        tracing::debug!("frame {index}: rendered in {:.1} ms", ms(*rendering));
        if self.count == 0 {
            self.first = index;
        }
        self.count += 1;
        self.waited += *waited;
        self.rendering += *rendering;
        if self.count == BATCH {
            self.tell();
        }
    }

    fn tell(&mut self) {
        if self.count > 0 {
            tracing::debug!(
                "batch from frame {}: {} frames rendered in {:.1} ms, waited {:.1} ms",
                self.first,
                self.count,
                ms(self.rendering),
                ms(self.waited)
            );
        }
        *self = Self::default();
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
