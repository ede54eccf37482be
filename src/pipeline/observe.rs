//! Pass 1: decode, find people on keyframes, look at their landmarks on every frame, and make tracks of it all.
//!
//! Threads at work on one job: decode -> this one (the scout on keyframes; asks the detection workers for the frames in
//! between) -> detection workers (of the process). What comes back is put in its place by frame number, so the workers'
//! timing leaves no trace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use flume::{Receiver, Sender};

use super::decode::decode;
use super::engine::every_frame;
use super::pool::{DetectionPool, Lane};
use super::{Course, Event, Job, JobError, Phase, join, spawn};
use crate::config::Model;
use crate::geometry::Geometry;
use crate::media::{Color, Decoder, Frame, VideoInfo};
use crate::pose::{Found, Network, Picture, PoseError, Sight, Work, Worker};
use crate::telemetry::{Stage, Timings};
use crate::track::{
    Expected, Keyframe, Scout, Seen, TOLERANCE, Track, drop_glitches, link, regions_between, repair_sides, settle,
};

/// Frames decoded ahead. The frames between two keyframes (at most twelve) are held by this stage; more need not wait.
const DECODED: usize = 2;

/// What pass 1 knows of a clip.
pub struct Observed {
    /// The video.
    pub info: VideoInfo,
    /// Seconds of every frame.
    pub times: Vec<f64>,
    /// The people.
    pub tracks: Vec<Track>,
    /// What could not be decoded.
    pub lost: Vec<String>,
    /// What else the user should know.
    pub warnings: Vec<String>,
}

/// Finds everybody in a video.
pub fn observe(job: &Job, pool: &DetectionPool, timings: &Arc<Timings>) -> Result<Observed, JobError> {
    let decoder = Decoder::open(job.source, 0)?;
    let info = decoder.info().clone();
    let network = every_frame(job.settings.model);
    let scout = Scout::new(info.frame_rate, info.geometry.display, network, job.settings.model == Model::Auto);
    let (looked, looks) = flume::unbounded();
    let mut observing = Observing {
        job,
        pool,
        timings,
        geometry: info.geometry,
        color: info.color,
        total: info.frames,
        network,
        scout,
        times: Vec::new(),
        seen: BTreeMap::new(),
        looked: Some(looked),
        looks,
    };
    let decoder = std::thread::scope(|scope| {
        let (decoded, frames) = flume::bounded(DECODED);
        let decoding = spawn(scope, "decode", move || decode(decoder, decoded, job.course, timings))?;
        let result = observing.run(frames);
        let decoder = join(decoding);
        result?;
        decoder
    })?;
    observing.collect_all()?;
    if (job.course)() == Course::Stop {
        return Err(JobError::Stopped);
    }
    let Observing { times, seen, .. } = observing;
    let seen = seen.into_values().flatten().collect();
    let mut tracks = link(seen, info.frame_rate, info.geometry.display);
    tracks.iter_mut().for_each(|track| {
        repair_sides(track);
        drop_glitches(track);
    });
    Ok(Observed { warnings: info.warnings.clone(), lost: decoder.losses().sentences(), info, times, tracks })
}

/// What was found where a tracklet was expected.
type Looked = (Expected, Option<Sight>);

/// A frame between keyframes, after the workers looked at it.
struct FrameLooks {
    frame: u64,
    result: Result<Vec<Looked>, PoseError>,
}

struct Observing<'a> {
    job: &'a Job<'a>,
    pool: &'a DetectionPool,
    timings: &'a Arc<Timings>,
    geometry: Geometry,
    color: Color,
    total: Option<u64>,
    network: Network,
    scout: Scout,
    times: Vec<f64>,
    /// What was seen, by frame.
    seen: BTreeMap<u64, Vec<Seen>>,
    /// Given to workers with each frame; let go of at the end so that the receiver ends too.
    looked: Option<Sender<FrameLooks>>,
    looks: Receiver<FrameLooks>,
}

impl Observing<'_> {
    fn run(&mut self, frames: Receiver<Frame>) -> Result<(), JobError> {
        let mut before: Option<Keyframe> = None;
        let mut between: Vec<Arc<Frame>> = Vec::new();
        for frame in frames {
            self.times.push(frame.time);
            let frame = Arc::new(frame);
            if frame.index != self.scout.next_keyframe() {
                between.push(frame);
                continue;
            }
            before = Some(self.keyframe(before, &mut between, &frame)?);
            self.collect_ready()?;
        }
        // The last frame closes the clip as a keyframe, so that nobody is extrapolated at its end.
        if let Some(last) = between.pop() {
            self.keyframe(before, &mut between, &last)?;
        }
        Ok(())
    }

    /// Scouts a keyframe and sends off the frames since the one before.
    fn keyframe(
        &mut self,
        before: Option<Keyframe>,
        between: &mut Vec<Arc<Frame>>,
        frame: &Arc<Frame>,
    ) -> Result<Keyframe, JobError> {
        let (pool, timings, geometry, color) = (self.pool, self.timings, self.geometry, self.color);
        let keyframe = self.scout.keyframe(frame.index, &mut |work| {
            let batch: Vec<_> = work
                .into_iter()
                .map(|work| {
                    let (frame, timings) = (frame.clone(), timings.clone());
                    move |worker: &mut Worker| perform(worker, &frame, geometry, color, &work, &timings)
                })
                .collect();
            let found: Result<Vec<Found>, PoseError> = pool.run_all(batch)?.into_iter().collect();
            Ok::<_, JobError>(found?)
        })?;
        if let Some(before) = &before {
            for frame in between.drain(..) {
                let regions = regions_between(before, Some(&keyframe), frame.index);
                self.look(frame, regions)?;
            }
        }
        let seen = keyframe.people.iter().map(|person| Seen {
            tracklet: person.tracklet,
            frame: keyframe.index,
            sight: person.sight.clone(),
            second_opinion: person.second_opinion.clone(),
        });
        self.seen.insert(keyframe.index, seen.collect());
        (self.job.events)(Event::Progress {
            phase: Phase::Observe,
            done: frame.index + 1,
            total: self.total,
            people: keyframe.people.len(),
        });
        Ok(keyframe)
    }

    /// Asks the workers to look at a frame's regions.
    fn look(&self, frame: Arc<Frame>, regions: Vec<Expected>) -> Result<(), JobError> {
        if regions.is_empty() {
            return Ok(());
        }
        let Some(reply) = self.looked.clone() else { return Ok(()) };
        let (geometry, color, network, timings) = (self.geometry, self.color, self.network, self.timings.clone());
        self.pool.submit(Lane::Ordinary, move |worker| {
            let one = |expected: Expected| {
                let work = Work::Look { region: expected.region, network, tolerance: TOLERANCE };
                match perform(worker, &frame, geometry, color, &work, &timings)? {
                    Found::Person(sight) => Ok((expected, sight)),
                    Found::People(_) => Ok((expected, None)),
                }
            };
            let result = regions.into_iter().map(one).collect();
            // A job that failed no longer listens.
            drop(reply.send(FrameLooks { frame: frame.index, result }));
        })?;
        Ok(())
    }

    fn collect_ready(&mut self) -> Result<(), JobError> {
        while let Ok(looks) = self.looks.try_recv() {
            self.collect(looks)?;
        }
        Ok(())
    }

    fn collect_all(&mut self) -> Result<(), JobError> {
        self.looked = None;
        while let Ok(looks) = self.looks.recv() {
            self.collect(looks)?;
        }
        Ok(())
    }

    fn collect(&mut self, FrameLooks { frame, result }: FrameLooks) -> Result<(), JobError> {
        let people = settle(self.geometry.display, result?);
        let seen = |(tracklet, sight)| Seen { tracklet, frame, sight, second_opinion: None };
        self.seen.insert(frame, people.into_iter().map(seen).collect());
        Ok(())
    }
}

/// Does one piece of work and records its time.
fn perform(
    worker: &mut Worker,
    frame: &Frame,
    geometry: Geometry,
    color: Color,
    work: &Work,
    timings: &Timings,
) -> Result<Found, PoseError> {
    let stage = match work {
        Work::Detect(_) => Stage::Detect,
        Work::Look { .. } => Stage::Landmarks,
    };
    let start = Instant::now();
    let found = worker.perform(&Picture { frame, geometry: &geometry, color }, work);
    timings.record(stage, start.elapsed());
    found
}
