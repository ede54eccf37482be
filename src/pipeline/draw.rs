//! Pass 2: decode again, draw the bodies, blend them in, compress; in the end put all into a file.
//!
//! Threads at work on one job: decode -> draw (poses the bodies, asks for drawings) -> render (of the process) ->
//! encode (blends first). Each segment has an encoder of its own, and is in the checkpoint as a whole or not at all. So several stretches of a
//! clip may be drawn at the same time, each with its own three threads, and the result is the same.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use flume::{Receiver, Sender};

use super::checkpoint::{self, Checkpoint};
use super::decode::{Passage, WHOLE, decode, forward};
use super::fitted_people::FittedPeople;
use super::picture::{Composition, Cost, Picture, Pictures};
use super::{Job, JobError, join, spawn};
use crate::body::World;
use crate::job::{Event, Phase, Share};
use crate::media::{
    ClockJump, Decoder, Encoder, Frame, LeftOut, MediaError, Muxer, Stretches, Thumbnail, VideoInfo, Written,
};
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
    /// Seconds of all frames, where all of them are known to be whole and in order, and where decoders may begin then.
    pub known: Option<(&'a [f64], &'a Stretches)>,
    /// Stretches that may be drawn at the same time.
    pub at_once: usize,
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

/// Draws a clip's people into its frames, but for what the checkpoint has, and compresses them. `path`: where the video will be. Gives what
/// was seen, unless all was drawn before.
pub fn draw(
    job: &Job,
    clip: &Clip<'_>,
    renderer: &Renderer,
    timings: &Timings,
    checkpoint: &Checkpoint,
    path: &Path,
) -> Result<Option<Seen>, JobError> {
    let known = checkpoint.drawn_segments()?;
    let before = known.iter().map(|segment| segment.end - segment.start).sum();
    if before > 0 {
        tracing::info!("{}: {before} frames were drawn before", job.name());
    }
    let end = clip.known.and_then(|(times, _)| times.last()).copied().unwrap_or(0.0);
    let at_once = if Stretches::is_one(end) { 1 } else { clip.at_once.max(1) };
    let segment = job.settings().encode.segment_frames(clip.composition.info().frame_rate);
    if pieces(&known, clip.frames, &[], segment).is_empty() {
        return Ok(None);
    }
    let cores = crate::thread::cores();
    let threads = if at_once > 1 { cores.div_ceil(at_once) } else { 0 };
    let first = Decoder::open_also_pictures(job.source(), threads, job.settings().pictures)?;
    let info = first.info().clone();
    let by_stretches = at_once > 1 || job.context.share.is_shared();
    let cuts = clip.known.filter(|_| by_stretches).map_or(Vec::new(), |(_, stretches)| stretches.cuts(end));
    // A clip that is one stretch is drawn by one.
    let share = match (job.context.share, cuts.is_empty()) {
        (Share::Helper { .. }, true) => return Ok(None),
        (Share::First, true) => Share::All,
        (share, _) => share,
    };
    // Whoever shares a clip cuts it like all others.
    let pieces = pieces(if share.is_shared() { &[] } else { &known }, clip.frames, &cuts, segment);
    let drawing = Drawing {
        job,
        clip,
        renderer,
        timings,
        path,
        info,
        threads,
        segment,
        share,
        order: share.order(pieces.len()),
        pieces,
        begun: AtomicUsize::new(0),
        has_failed: AtomicBool::new(false),
        done: AtomicU64::new(before),
        checkpoint,
    };
    std::thread::scope(|scope| {
        let others = (1..at_once.min(drawing.pieces.len()))
            .map(|_| spawn(scope, "draw", || drawing.take_pieces(None)))
            .collect::<Result<Vec<_>, _>>();
        let mut seen = drawing.take_pieces(Some(first));
        for other in others? {
            let further = join(other);
            seen = seen.and_then(|seen| Ok(further?.or(seen)));
        }
        seen
    })
}

/// What is left to draw of a clip of so many frames, in pieces of whole segments: frames that follow each other, cut where `cuts` says, or at
/// the next segment.
fn pieces(drawn: &[Range<u64>], frames: u64, cuts: &[u64], segment: u64) -> Vec<Range<u64>> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for gap_end in drawn.iter().map(|segment| segment.start).chain([frames]) {
        let cuts = cuts.iter().map(|cut| cut.next_multiple_of(segment)).filter(|&cut| cut < gap_end).chain([gap_end]);
        for cut in cuts {
            if cut > from {
                pieces.push(from..cut);
                from = cut;
            }
        }
        from = drawn.iter().find(|segment| segment.start == gap_end).map_or(from, |segment| segment.end);
    }
    pieces
}

/// A clip that is being drawn, for all threads that take part.
struct Drawing<'a> {
    job: &'a Job<'a>,
    clip: &'a Clip<'a>,
    renderer: &'a Renderer,
    timings: &'a Timings,
    path: &'a Path,
    info: VideoInfo,
    /// Of each decoder.
    threads: usize,
    /// Frames in a segment.
    segment: u64,
    /// Who draws it.
    share: Share,
    /// What is to be drawn, in which order, and how many of them were begun.
    pieces: Vec<Range<u64>>,
    order: Vec<usize>,
    begun: AtomicUsize,
    has_failed: AtomicBool,
    /// Frames that are drawn.
    done: AtomicU64,
    checkpoint: &'a Checkpoint,
}

impl Drawing<'_> {
    /// Draws one piece after the other until none is left. Gives what was seen of the video if its end was reached.
    fn take_pieces(&self, mut decoder: Option<Decoder>) -> Result<Option<Seen>, JobError> {
        let mut seen = None;
        while !self.has_failed.load(Ordering::Acquire) {
            let Some(&number) = self.order.get(self.begun.fetch_add(1, Ordering::AcqRel)) else { break };
            let drawn = self.take_piece(&self.pieces[number], &mut decoder);
            self.has_failed.fetch_or(drawn.is_err(), Ordering::AcqRel);
            seen = drawn?.or(seen);
        }
        Ok(seen)
    }

    /// Draws a piece. Gives what was seen of the video if its end was reached.
    fn take_piece(&self, piece: &Range<u64>, decoder: &mut Option<Decoder>) -> Result<Option<Seen>, JobError> {
        let mut seen = None;
        let mut rest = self.rest(piece)?;
        while let Some(part) = rest {
            let decoder = match decoder.take() {
                Some(decoder) => decoder,
                None => Decoder::open_also_pictures(self.job.source(), self.threads, self.job.settings().pictures)?,
            };
            let drawn = self.draw(&part, decoder)?;
            if self.has_failed.load(Ordering::Acquire) {
                // Another thread tells why.
                return Ok(seen);
            }
            if self.share.is_shared() && !self.checkpoint.is_drawn(part.start)? {
                // It has fewer frames than before.
                return Err(JobError::Changed);
            }
            seen = if part.end == self.clip.frames { Some(drawn) } else { seen };
            rest = if self.share.is_shared() { self.rest(piece)? } else { None };
        }
        Ok(seen)
    }

    /// What is to be drawn next of a piece. Where nobody else draws the clip, or nothing of the piece is drawn yet, that is all of it. Where
    /// something is, another process may be drawing on from there: then it is the second half of what is left.
    fn rest(&self, piece: &Range<u64>) -> Result<Option<Range<u64>>, JobError> {
        if !self.share.is_shared() {
            return Ok(Some(piece.clone()));
        }
        let drawn = self.checkpoint.drawn_segments()?;
        let next = drawn.iter().find(|segment| segment.end > piece.start);
        if next.is_none_or(|next| next.start >= piece.end) {
            return Ok(Some(piece.clone()));
        }
        let is_left = |first: &u64| !drawn.iter().any(|segment| segment.contains(first));
        let left: Vec<u64> = piece.clone().step_by(self.segment as usize).filter(is_left).collect();
        let Some(&from) = left.get(left.len() / 2) else { return Ok(None) };
        let end = drawn.iter().map(|segment| segment.start).find(|&start| start > from).unwrap_or(piece.end);
        Ok(Some(from..end.min(piece.end)))
    }

    /// Draws a piece. The one at the clip's end goes on to the end of the file.
    fn draw(&self, piece: &Range<u64>, decoder: Decoder) -> Result<Seen, JobError> {
        let Self { job, clip, renderer, timings, .. } = *self;
        let times = clip.known.map_or(&[][..], |(times, _)| times);
        let decoder = match clip.known {
            Some((times, stretches)) => forward(decoder, stretches, piece.start, times)?,
            None => decoder,
        };
        let end = if piece.end == clip.frames { u64::MAX } else { piece.end };
        let damaged_from = AtomicU64::new(WHOLE);
        let (damaged_from, is_over) = (&damaged_from, &self.has_failed);
        let passage = Passage { frames: piece.start..end, times, damaged_from, goes_on: false, is_over };
        std::thread::scope(|scope| {
            let (decoded, to_draw) = flume::bounded(DECODED);
            let (asked, to_encode) = flume::bounded(DRAWN);
            let decoding = spawn(scope, "decode", move || decode(decoder, passage, decoded, job, timings))?;
            let encoding = spawn(scope, "encode", move || self.encode(&to_encode))?;
            let pictures = Pictures::new(clip.composition, clip.people, &clip.world, &self.info);
            let asking = ask(pictures, renderer, timings, &to_draw, asked);
            // Let go of the decoder's channel: if this stage ended early the decoder must not wait for it.
            drop(to_draw);
            let decoded = join(decoding);
            let encoded = join(encoding);
            asking?;
            let decoder = decoded?;
            encoded?;
            let (jumps, lost) = (decoder.clock_jumps().to_vec(), decoder.losses().sentences());
            Ok(Seen { frames: decoder.frames(), jumps, lost })
        })
    }
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
    let ahead = asked.clone();
    let _queue = timings.live().queue(Buffer::Encode, DRAWN, move || ahead.len());
    for frame in frames {
        let picture = pictures.ask(frame.index, frame.time, renderer)?;
        if asked.send(Asked { frame, picture }).is_err() {
            // The encoder failed and tells why itself.
            break;
        }
    }
    Ok(())
}

/// A segment that is being compressed.
struct Segment {
    encoder: Encoder,
    file: checkpoint::Segment,
}

/// What the encode thread of a piece does.
impl Drawing<'_> {
    fn encode(&self, frames: &Receiver<Asked>) -> Result<(), JobError> {
        let Self { job, clip, timings, segment, .. } = *self;
        let (phase, total, people) = (clip.phase, clip.frames, clip.people.len());
        let mut next = 0;
        let mut begun: Option<Segment> = None;
        let mut batch = Batch::default();
        for Asked { frame, picture } in frames {
            let index = frame.index;
            let drawn = picture.wait()?;
            if let Some(cost) = drawn.cost() {
                timings.record(Stage::RenderWait, index, cost.waited);
                timings.record(Stage::Render, index, cost.rendering);
                batch.add(index, cost);
            }
            let frame = timings.time(Stage::Blend, index, || clip.composition.compose(frame, &drawn))?;
            drawn.take_back(self.renderer);
            self.show(&frame);
            let mut current = match begun.take() {
                Some(current) => current,
                // Somebody else has come as far; the rest of the piece is looked at again.
                None if self.share.is_shared() && self.checkpoint.is_drawn(index)? => break,
                None => {
                    let settings = job.settings().encode.settings();
                    let encoder = Encoder::open(self.path, clip.composition.info(), &settings)?;
                    Segment { encoder, file: self.checkpoint.begin_drawn(index)? }
                }
            };
            let packets = timings.time(Stage::Encode, index, || current.encoder.write(frame))?;
            current.file.add(&packets)?;
            next = index + 1;
            match next % segment {
                0 => self.complete(current, next)?,
                _ => begun = Some(current),
            }
            timings.live().frame(timings.job());
            let done = self.done.fetch_add(1, Ordering::AcqRel) + 1;
            job.tell(Event::Progress { phase, done, total: Some(total), people });
        }
        batch.tell();
        if job.is_stopped() {
            return Err(JobError::Stopped);
        }
        // If frames stop early, the decode thread tells why. If there are more than in pass 1, the caller sees from their number that
        // the video changed.
        match begun {
            Some(current) if next >= total => self.complete(current, next),
            _ => Ok(()),
        }
    }

    /// Records a segment; the next one begins at frame `next`.
    fn complete(&self, Segment { encoder, mut file }: Segment, next: u64) -> Result<(), JobError> {
        let packets = self.timings.time(Stage::Encode, next.saturating_sub(1), || encoder.finish())?;
        file.add(&packets)?;
        let frames = file.complete(next)?;
        if self.share.is_shared() {
            let all = self.checkpoint.drawn_segments()?.iter().map(|segment| segment.end - segment.start).sum();
            self.done.fetch_max(all, Ordering::AcqRel);
        }
        tracing::debug!("frames {} to {}: drawn and written down", frames.start, frames.end);
        Ok(())
    }

    /// For who looks at the job just now.
    fn show(&self, frame: &Frame) {
        let (preview, job) = (self.timings.live().preview(), self.timings.job());
        if !preview.is_due(job) {
            return;
        }
        match Thumbnail::new(frame, self.clip.composition.info(), Preview::LONGEST) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::single_range_in_vec_init)] // ranges are what is meant
    fn what_is_left_is_cut_into_whole_segments() {
        assert_eq!(pieces(&[], 23, &[], 5), [0..23]);
        assert_eq!(pieces(&[], 23, &[7, 9, 12, 22], 5), [0..10, 10..15, 15..23]);
        // Some was drawn before.
        assert_eq!(pieces(&[0..5, 5..10, 15..20], 23, &[7, 12], 5), [10..15, 20..23]);
        assert_eq!(pieces(&[5..10], 23, &[17], 5), [0..5, 10..20, 20..23]);
        assert_eq!(pieces(&[0..5, 5..8], 8, &[6], 5), [0..0; 0]);
    }
}
