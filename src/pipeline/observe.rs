//! Pass 1: decode, find people on keyframes, and observe them in every frame.
//!
//! The threads at work on one job, in order:
//!
//! 1. `decode` decodes the frames;
//! 2. this thread follows the camera and the people from keyframe to keyframe. It asks the detection workers about each keyframe and waits
//!    (`answer`), and leaves the frames between to them;
//! 3. the detection workers, which belong to the process, reply about those frames; this thread collects the replies by frame number.
//!
//! Now and then, on a keyframe, the tracking state is saved. It goes into the checkpoint file, with all observations before it, once the
//! workers have replied about those frames.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flume::Receiver;
use glam::DVec2;
use serde::{Deserialize, Serialize};

use super::answer::{Asker, Reply, Request, View};
use super::checkpoint::Checkpoint;
use super::decode::{Passage, decode, forward, stretches};
use super::engine::every_frame;
use super::own_networks::{OwnNetworks, Said};
use super::pool::{DetectionPool, WorkerLost};
use super::{Job, JobError, check_length, join, spawn};
use crate::config::Limits;
use crate::geometry::Geometry;
use crate::job::{Event, Model, Phase};
use crate::media::{ClockJump, Color, Decoder, Frame};
use crate::pose::{Picture, PoseError};
use crate::telemetry::Timings;
use crate::track::{
    Keyframe, PredictedRegion, Stabilizer, Tracker, TrackletObservation, Trajectory, heavy_landmarks, resolve,
};

/// Frames decoded ahead. The frames between two keyframes (at most twelve) are held by this stage; more need not wait.
const DECODED: usize = 2;

/// Everybody who was observed in a clip, and how the camera moved.
pub struct Sightings {
    /// By frame.
    pub observations: BTreeMap<u64, Vec<TrackletObservation>>,
    /// Where the scene is in the picture, for every frame.
    pub trajectory: Trajectory,
}

/// What pass 1 knows of a clip.
pub struct Observed {
    /// Whether all of it is whole and in order.
    pub is_sound: bool,
    /// Seconds of every frame.
    pub times: Vec<f64>,
    /// Frames that are corrupt, since frames they build on are missing.
    pub corrupt: BTreeSet<u64>,
    /// The people.
    pub sightings: Sightings,
    /// What could not be decoded.
    pub lost: Vec<String>,
    /// Where the clock of the file jumped.
    pub jumps: Vec<ClockJump>,
}

/// A stretch of the clip that was observed, as the checkpoint keeps it.
#[derive(Serialize, Deserialize)]
struct Segment {
    times: Vec<f64>,
    places: Vec<DVec2>,
    observations: Vec<(u64, Vec<TrackletObservation>)>,
    corrupt: Vec<u64>,
    /// Whether something was found by then that is not whole or not in order.
    is_damaged: bool,
    after: After,
}

/// What follows on a segment.
#[derive(Serialize, Deserialize)]
enum After {
    /// More frames.
    Frames(Box<TrackingState>),
    /// Nothing; what could not be decoded, and where the clock of the file jumped.
    End { lost: Vec<String>, jumps: Vec<ClockJump> },
}

/// What the observing pass is in the middle of, after a keyframe.
#[derive(Serialize, Deserialize)]
struct TrackingState {
    tracker: Tracker,
    keyframe: Keyframe,
    stabilizer: Stabilizer,
}

/// Observes everybody in a video, from where the checkpoint ends.
pub fn observe(
    job: &Job<'_>,
    decoder: Decoder,
    limits: &Limits,
    pool: &DetectionPool,
    own: OwnNetworks,
    timings: &Arc<Timings>,
    checkpoint: &Checkpoint,
) -> Result<Observed, JobError> {
    let info = decoder.info().clone();
    let network = every_frame(job.settings().model);
    let (replying, replies) = flume::unbounded();
    let view = View { geometry: info.geometry, color: info.color, network, own };
    let mut observing = Observing {
        job,
        limits,
        timings,
        geometry: info.geometry,
        color: info.color,
        total: info.frames,
        asker: Asker::new(pool, timings, view, replying),
        replies,
        in_flight: BTreeSet::new(),
        tracker: Tracker::new(info.frame_rate, info.geometry.display, network, job.settings().model == Model::Auto),
        stabilizer: Stabilizer::default(),
        before: None,
        between: Vec::new(),
        times: Vec::new(),
        trajectory: Trajectory::default(),
        observations: BTreeMap::new(),
        corrupt: BTreeSet::new(),
        is_damaged: Arc::default(),
        checkpoint,
        recorded: 0,
        segment: job.settings().encode.segment_frames(info.frame_rate),
        pending_save: None,
    };
    let end = observing.restore()?;
    let (lost, jumps) = match end {
        Some(end) => end,
        None => {
            let _in_use = pool.in_use();
            observing.observe_rest(decoder)?
        }
    };
    let Observing { times, trajectory, observations, corrupt, .. } = observing;
    Ok(Observed {
        is_sound: lost.is_empty() && jumps.is_empty(),
        times,
        corrupt,
        sightings: Sightings { observations, trajectory },
        lost,
        jumps,
    })
}

/// Notes what the network of the user's own says of people, by their tracklets.
fn said_of(observations: &mut [TrackletObservation], own: Vec<(u32, Said)>) {
    for (tracklet, Said { points, estimate }) in own {
        if let Some(one) = observations.iter_mut().find(|one| one.tracklet == tracklet) {
            (one.seen_points, one.estimate) = (points.map(Box::new), estimate.map(Box::new));
        }
    }
}

/// What could not be decoded, and where the clock of the file jumped.
type End = (Vec<String>, Vec<ClockJump>);

struct Observing<'a> {
    job: &'a Job<'a>,
    limits: &'a Limits,
    timings: &'a Arc<Timings>,
    geometry: Geometry,
    color: Color,
    /// Frames in the video, as far as known.
    total: Option<u64>,
    asker: Asker<'a>,
    replies: Receiver<Result<Reply, PoseError>>,
    /// Frames that workers have not replied about.
    in_flight: BTreeSet<u64>,
    tracker: Tracker,
    stabilizer: Stabilizer,
    /// The last keyframe.
    before: Option<Keyframe>,
    /// The frames since then: they wait for the next keyframe.
    between: Vec<Arc<Frame>>,
    /// Seconds of every frame so far.
    times: Vec<f64>,
    trajectory: Trajectory,
    /// By frame.
    observations: BTreeMap<u64, Vec<TrackletObservation>>,
    /// Frames in which nobody is looked for, since they are corrupt.
    corrupt: BTreeSet<u64>,
    /// Whether something was found that is not whole or not in order.
    is_damaged: Arc<AtomicBool>,
    checkpoint: &'a Checkpoint,
    /// Frames that are in the checkpoint.
    recorded: u64,
    /// Frames after which there is a checkpoint, at the next keyframe.
    segment: u64,
    /// The next checkpoint, while workers have not replied about all frames before it.
    pending_save: Option<Box<TrackingState>>,
}

impl Observing<'_> {
    /// Takes over what the checkpoint has of the clip. Gives the end, if it has all of it.
    fn restore(&mut self) -> Result<Option<End>, JobError> {
        let mut end = None;
        for segment in self.checkpoint.observed::<Segment>(0)? {
            self.times.extend(segment.times);
            segment.places.into_iter().for_each(|place| self.trajectory.push(place));
            self.observations.extend(segment.observations);
            self.corrupt.extend(segment.corrupt);
            self.is_damaged.store(segment.is_damaged, Ordering::Release);
            match segment.after {
                After::Frames(state) => {
                    let TrackingState { tracker, keyframe, stabilizer } = *state;
                    (self.tracker, self.before, self.stabilizer) = (tracker, Some(keyframe), stabilizer);
                }
                After::End { lost, jumps } => end = Some((lost, jumps)),
            }
        }
        self.recorded = self.times.len() as u64;
        if self.recorded > 0 {
            let name = self.job.name();
            tracing::info!("{name}: {} frames were observed before", self.recorded);
        }
        Ok(end)
    }

    /// Observes everything from the end of what is known on.
    fn observe_rest(&mut self, decoder: Decoder) -> Result<End, JobError> {
        let (job, timings, known) = (self.job, self.timings, self.times.clone());
        let is_damaged = self.is_damaged.clone();
        let decoder = match known.is_empty() || is_damaged.load(Ordering::Acquire) {
            true => decoder,
            false => {
                let stretches = stretches(job, decoder.info())?;
                forward(decoder, &stretches, known.len() as u64, &known)?
            }
        };
        let decoder = std::thread::scope(|scope| {
            let (decoded, frames) = flume::bounded(DECODED);
            let passage = Passage { frames: known.len() as u64..u64::MAX, times: &known, is_damaged: &is_damaged };
            let decoding = spawn(scope, "decode", move || decode(decoder, passage, decoded, job, timings))?;
            let result = self.take_frames(frames);
            let decoder = join(decoding);
            result?;
            decoder
        })?;
        self.collect_all()?;
        if job.is_stopped() {
            return Err(JobError::Stopped);
        }
        let (lost, jumps) = (decoder.losses().sentences(), decoder.clock_jumps().to_vec());
        self.record(self.times.len() as u64, After::End { lost: lost.clone(), jumps: jumps.clone() })?;
        Ok((lost, jumps))
    }

    /// Goes through the frames in order.
    fn take_frames(&mut self, frames: Receiver<Frame>) -> Result<(), JobError> {
        for frame in frames {
            check_length(self.limits, frame.time)?;
            self.follow_camera(&frame);
            let frame = Arc::new(frame);
            if frame.is_corrupt {
                self.skip_corrupt(&frame)?;
            } else if frame.index < self.tracker.next_keyframe() {
                self.between.push(frame);
            } else {
                self.keyframe(&frame)?;
                self.save_state();
                self.collect_ready()?;
                self.record_pending()?;
            }
        }
        self.close_stretch()
    }

    /// Notes a frame's time and where the scene is in it.
    fn follow_camera(&mut self, frame: &Frame) {
        self.times.push(frame.time);
        if frame.is_corrupt {
            self.corrupt.insert(frame.index);
        }
        self.timings.live().frame(self.timings.job());
        let picture = Picture { frame, geometry: &self.geometry, color: self.color };
        // A corrupt picture does not tell where the scene is.
        let before = self.trajectory.places().last().copied().unwrap_or_default();
        self.trajectory.push(if frame.is_corrupt { before } else { self.stabilizer.follow(&picture) });
    }

    /// What was before a corrupt frame is closed as at the end of the clip; after it the search starts over.
    fn skip_corrupt(&mut self, frame: &Arc<Frame>) -> Result<(), JobError> {
        self.close_stretch()?;
        self.tracker.start_over();
        self.progress(frame.index, 0);
        Ok(())
    }

    /// The last frame that waits becomes a keyframe, so that nobody is extrapolated at the end.
    fn close_stretch(&mut self) -> Result<(), JobError> {
        match self.between.pop() {
            Some(last) => self.keyframe(&last),
            None => Ok(()),
        }
    }

    /// Finds everybody on a keyframe, and asks about the frames since the one before.
    fn keyframe(&mut self, frame: &Arc<Frame>) -> Result<(), JobError> {
        let mut search = self.tracker.search(frame.index, &self.trajectory);
        while let Some(queries) = search.queries() {
            search.answer(self.asker.ask(frame, &queries)?);
        }
        let candidates = search.finish();
        let keyframe = self.tracker.associate(candidates);
        self.ask_between(&keyframe)?;
        self.observations.insert(keyframe.index, keyframe.observations());
        if let Some(request) = Request::keyframe(frame, &keyframe, self.asker.has_own()) {
            self.request(request)?;
        }
        tracing::debug!("frame {}: keyframe, {} people", keyframe.index, keyframe.people.len());
        self.progress(frame.index, keyframe.people.len());
        self.before = Some(keyframe);
        Ok(())
    }

    /// Leaves the frames since the last keyframe to the workers, as many at a time as have a batch of regions.
    fn ask_between(&mut self, after: &Keyframe) -> Result<(), JobError> {
        let Some(before) = self.before.take() else { return Ok(()) };
        let mut frames: Vec<(Arc<Frame>, Vec<PredictedRegion>)> = Vec::new();
        let mut regions = 0;
        for frame in std::mem::take(&mut self.between) {
            let predicted = self.tracker.regions_between(&before, after, frame.index, &self.trajectory);
            if predicted.is_empty() {
                continue;
            }
            regions += predicted.len();
            frames.push((frame, predicted));
            if regions >= self.asker.batch_between() {
                self.request(Request::Between(std::mem::take(&mut frames)))?;
                regions = 0;
            }
        }
        if frames.is_empty() { Ok(()) } else { self.request(Request::Between(frames)) }
    }

    fn request(&mut self, request: Request) -> Result<(), JobError> {
        self.in_flight.extend(request.frames());
        self.asker.request(request)
    }

    fn progress(&self, frame: u64, people: usize) {
        let (done, total) = (frame + 1, self.total);
        self.job.tell(Event::Progress { phase: Phase::Observe, done, total, people });
    }

    fn collect_ready(&mut self) -> Result<(), JobError> {
        while let Ok(reply) = self.replies.try_recv() {
            self.collect(reply?);
        }
        Ok(())
    }

    /// Waits for all replies.
    fn collect_all(&mut self) -> Result<(), JobError> {
        self.asker.close();
        while let Ok(reply) = self.replies.recv() {
            self.collect(reply?);
        }
        // A worker that panicked has let go of its sender without a reply.
        if self.in_flight.is_empty() { Ok(()) } else { Err(WorkerLost.into()) }
    }

    fn collect(&mut self, reply: Reply) {
        self.in_flight.remove(&reply.frame());
        match reply {
            Reply::Between { frame, found, own } => {
                let mut observations = resolve(self.geometry.display, frame, found);
                said_of(&mut observations, own);
                self.observations.insert(frame, observations);
            }
            Reply::Keyframe { frame, heavy, own } => {
                let observations = self.observations.entry(frame).or_default();
                for (tracklet, answer) in heavy {
                    if let Some(one) = observations.iter_mut().find(|one| one.tracklet == tracklet) {
                        one.heavy_landmarks = heavy_landmarks(&one.observation.landmarks, answer);
                    }
                }
                said_of(observations, own);
            }
        }
    }

    /// After a keyframe: whether it is time for a checkpoint.
    fn save_state(&mut self) {
        let Some(keyframe) = &self.before else { return };
        if self.pending_save.is_none() && keyframe.index + 1 - self.recorded >= self.segment {
            self.pending_save = Some(Box::new(TrackingState {
                tracker: self.tracker.clone(),
                keyframe: keyframe.clone(),
                stabilizer: self.stabilizer.clone(),
            }));
        }
    }

    /// Writes a pending checkpoint down, once there are replies about all frames before it.
    fn record_pending(&mut self) -> Result<(), JobError> {
        match self.pending_save.take() {
            Some(state) if self.in_flight.first().is_none_or(|&first| first > state.keyframe.index) => {
                self.record(state.keyframe.index + 1, After::Frames(state))
            }
            later => {
                self.pending_save = later;
                Ok(())
            }
        }
    }

    /// Puts into the checkpoint what was observed since the last time, up to frame number `end`.
    fn record(&mut self, end: u64, after: After) -> Result<(), JobError> {
        let start = std::mem::replace(&mut self.recorded, end);
        let times = self.times[start as usize..end as usize].to_vec();
        let places = self.trajectory.places()[start as usize..end as usize].to_vec();
        let observations = self.observations.range(start..end).map(|(&frame, all)| (frame, all.clone())).collect();
        let corrupt = self.corrupt.range(start..end).copied().collect();
        let is_damaged = self.is_damaged.load(Ordering::Acquire);
        self.checkpoint.add_observed(
            0,
            start..end,
            &Segment { times, places, observations, corrupt, is_damaged, after },
        )?;
        tracing::debug!("frames {start} to {end}: observed and written down");
        Ok(())
    }
}
