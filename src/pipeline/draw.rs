//! Pass 2: decode again, draw the bodies, blend them in, compress; in the end put all into a file.
//!
//! Threads at work on one job: decode -> this one (poses the bodies, asks for drawings) -> render (of the process) ->
//! encode (blends first). Each segment has an encoder of its own, and is in the checkpoint as a whole or not at all.

use std::path::Path;
use std::time::Duration;

use flume::{Receiver, Sender};

use super::checkpoint::Checkpoint;
use super::decode::decode;
use super::fitted_people::FittedPeople;
use super::picture::{Composition, Cost, Picture, Pictures};
use super::{Job, JobError, join, spawn};
use crate::body::World;
use crate::job::{Event, Phase};
use crate::media::{ClockJump, Decoder, Encoder, Frame, LeftOut, MediaError, Muxer, Thumbnail, VideoInfo, Written};
use crate::render::Renderer;
use crate::telemetry::{Buffer, Preview, Stage, Timings};

/// Frames decoded ahead of the drawing.
const DECODED: usize = 1;
/// Frames whose drawing was asked for and that the encoder has not taken yet: one being drawn, one waiting.
const DRAWN: usize = 2;
/// The log sums up this many frames at a time.
const BATCH: u64 = 100;

/// A frame on its way to the encoder.
struct Asked {
    frame: Frame,
    picture: Picture,
}

/// What is drawn: the people of a clip of so many frames, in the world that they live in.
pub struct Clip<'a> {
    /// Everybody in it.
    pub people: &'a FittedPeople<'a>,
    /// Up and the floor.
    pub world: World,
    /// How its pictures are put together.
    pub composition: &'a Composition<'a>,
    /// Frames of the video.
    pub frames: u64,
    /// What the drawing is called.
    pub phase: Phase,
}

/// What was seen of a video while it was drawn.
pub struct Seen {
    /// Its frames.
    pub frames: u64,
    /// Where its clock jumped.
    pub jumps: Vec<ClockJump>,
    /// What could not be decoded, in sentences.
    pub lost: Vec<String>,
}

/// Draws a clip's people into its frames, from where the checkpoint ends, and compresses them. `path`: where the video will be. Gives what
/// was seen, unless all was drawn before.
pub fn draw(
    job: &Job,
    clip: &Clip<'_>,
    renderer: &Renderer,
    timings: &Timings,
    checkpoint: &mut Checkpoint,
    path: &Path,
) -> Result<Option<Seen>, JobError> {
    let Clip { people, composition, frames, phase, .. } = *clip;
    let from = checkpoint.drawn()?;
    if from > 0 {
        tracing::info!("{}: {from} frames were drawn before", job.name());
    }
    if from == frames {
        return Ok(None);
    }
    let decoder = Decoder::open_also_pictures(job.source(), 0, job.settings().pictures)?;
    let info = decoder.info().clone();
    std::thread::scope(|scope| {
        let (decoded, to_draw) = flume::bounded(DECODED);
        let (asked, to_encode) = flume::bounded(DRAWN);
        let decoding = spawn(scope, "decode", move || decode(decoder, from, decoded, job, timings))?;
        let encoding = spawn(scope, "encode", move || {
            Encoding {
                job,
                composition,
                timings,
                phase,
                total: frames,
                people: people.len(),
                path,
                checkpoint,
                renderer,
            }
            .run(from, &to_encode)
        })?;
        let pictures = Pictures::new(composition, people, &clip.world, &info);
        let asking = ask(pictures, renderer, timings, &to_draw, asked);
        // Let go of the decoder's channel: if this stage ended early the decoder must not wait for it.
        drop(to_draw);
        let decoded = join(decoding);
        let encoded = join(encoding);
        asking?;
        let decoder = decoded?;
        encoded?;
        let (jumps, lost) = (decoder.clock_jumps().to_vec(), decoder.losses().sentences());
        Ok(Some(Seen { frames: decoder.frames(), jumps, lost }))
    })
}

/// Makes a file of what was drawn. Sound and the like that turns out not to go into it is left out: it is no reason to lose
/// the pictures.
pub fn mux(
    job: &Job,
    info: &VideoInfo,
    checkpoint: &Checkpoint,
    jumps: &[ClockJump],
    path: &Path,
) -> Result<Written, JobError> {
    let (settings, stamps) = (job.settings().encode.settings(), checkpoint.stamps()?);
    let attempt = |left_out: &LeftOut| -> Result<Written, JobError> {
        let mut muxer = Muxer::create(path, info, &settings, &stamps, jumps, left_out)?;
        checkpoint.each_packet(|packet| {
            job.context.proceed()?;
            Ok::<_, JobError>(muxer.write(&packet)?)
        })?;
        Ok(muxer.finish()?)
    };
    let streams = match attempt(&LeftOut::new()) {
        Err(JobError::Media(MediaError::SideStream { streams, source, .. })) => {
            let name = job.name();
            tracing::info!("{name}: a stream beside the video cannot be written ({source}); each is tried now");
            streams
        }
        other => return other,
    };
    // Without any, then with each that does no harm.
    let mut left_out: LeftOut = streams.iter().copied().collect();
    let mut written = attempt(&left_out)?;
    let mut is_stale = false;
    for stream in streams {
        left_out.remove(&stream);
        match attempt(&left_out) {
            Ok(better) => (written, is_stale) = (better, false),
            Err(JobError::Media(MediaError::SideStream { .. })) => {
                left_out.insert(stream);
                is_stale = true;
            }
            Err(error) => return Err(error),
        }
    }
    if is_stale { attempt(&left_out) } else { Ok(written) }
}

/// Poses the bodies of each frame and asks for their drawing.
fn ask(
    mut pictures: Pictures<'_>,
    renderer: &Renderer,
    timings: &Timings,
    frames: &Receiver<Frame>,
    asked: Sender<Asked>,
) -> Result<(), JobError> {
    for frame in frames {
        let picture = pictures.ask(frame.index, frame.time, renderer)?;
        timings.live().fill(Buffer::Render, renderer.queued(), renderer.capacity());
        timings.live().fill(Buffer::Encode, asked.len(), DRAWN);
        if asked.send(Asked { frame, picture }).is_err() {
            // The encoder failed and tells why itself.
            break;
        }
    }
    Ok(())
}

/// The encode thread's surroundings.
struct Encoding<'a> {
    job: &'a Job<'a>,
    composition: &'a Composition<'a>,
    timings: &'a Timings,
    phase: Phase,
    total: u64,
    people: usize,
    path: &'a Path,
    checkpoint: &'a mut Checkpoint,
    renderer: &'a Renderer,
}

impl Encoding<'_> {
    /// Takes the frames from number `from` on.
    fn run(mut self, from: u64, frames: &Receiver<Asked>) -> Result<(), JobError> {
        let segment = self.job.settings().encode.segment_frames(self.composition.info().frame_rate);
        let mut done = from;
        let mut begun: Option<Encoder> = None;
        let mut batch = Batch::default();
        for Asked { frame, picture } in frames {
            let index = frame.index;
            let drawn = picture.wait()?;
            if let Some(cost) = drawn.cost() {
                self.timings.record(Stage::RenderWait, index, cost.waited);
                self.timings.record(Stage::Render, index, cost.rendering);
                batch.add(index, cost);
            }
            let frame = self.timings.time(Stage::Blend, index, || self.composition.compose(frame, &drawn))?;
            drawn.take_back(self.renderer);
            self.show(&frame);
            let mut encoder = match begun.take() {
                Some(encoder) => encoder,
                None => Encoder::open(self.path, self.composition.info(), &self.job.settings().encode.settings())?,
            };
            let packets = self.timings.time(Stage::Encode, index, || encoder.write(frame))?;
            self.checkpoint.add_packets(&packets)?;
            done = index + 1;
            match done % segment {
                0 => self.complete(encoder, done)?,
                _ => begun = Some(encoder),
            }
            self.timings.live().frame(self.timings.job());
            self.job.tell(Event::Progress { phase: self.phase, done, total: Some(self.total), people: self.people });
        }
        batch.tell();
        if self.job.is_stopped() {
            return Err(JobError::Stopped);
        }
        // If frames stop early, the decode thread tells why. If there are more than in pass 1, the caller sees from their number that
        // the video changed.
        match begun {
            Some(encoder) if done >= self.total => self.complete(encoder, done),
            _ => Ok(()),
        }
    }

    /// Records a segment that ends after `done` frames of the video.
    fn complete(&mut self, encoder: Encoder, done: u64) -> Result<(), JobError> {
        let packets = self.timings.time(Stage::Encode, done.saturating_sub(1), || encoder.finish())?;
        self.checkpoint.add_packets(&packets)?;
        self.checkpoint.complete_drawn(done)?;
        tracing::debug!("frames to {done}: drawn and written down");
        Ok(())
    }

    /// For who looks at the job just now.
    fn show(&self, frame: &Frame) {
        let (preview, job) = (self.timings.live().preview(), self.timings.job());
        if !preview.is_due(job) {
            return;
        }
        match Thumbnail::new(frame, self.composition.info(), Preview::LONGEST) {
            Ok(picture) => preview.make(job, frame.index, picture),
            Err(error) => tracing::debug!("no preview: {error}"),
        }
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
    fn add(&mut self, index: u64, cost: Cost) {
        let Cost { waited, rendering, vertices, faces } = cost;
        tracing::debug!("frame {index}: render start, {vertices} vertices {faces} faces, waited {:.1} ms", ms(waited));
        tracing::debug!("frame {index}: rendered in {:.1} ms", ms(rendering));
        if self.count == 0 {
            self.first = index;
        }
        self.count += 1;
        self.waited += waited;
        self.rendering += rendering;
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
