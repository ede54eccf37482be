//! Pass 1: decode, find people on keyframes, look at their landmarks on every frame, and make tracks of it all.
//!
//! Threads at work on one job: decode -> this one (follows the camera; the scout on keyframes; asks the detection workers for the frames in
//! between) -> detection workers (of the process). What comes back is put in its place by frame number, so the workers'
//! timing leaves no trace.
//!
//! Now and then, on a keyframe, all that was seen up to it goes into the journal, with the scout and what follows the camera as they are then.

use crate::control::{Control, Stopped, proceed};
use crate::models::Network;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use flume::{Receiver, Sender};
use glam::DVec2;
use serde::{Deserialize, Serialize};

use super::decode::decode;
use super::engine::every_frame;
use super::journal::Journal;
use super::pool::{DetectionPool, Lane};
use super::{Event, Job, JobError, Phase, check_length, join, spawn};
use crate::config::{Limits, Model};
use crate::geometry::Geometry;
use crate::media::{ClockJump, Color, Decoder, Frame};
use crate::pose::{Found, Picture, PoseError, Sight, Work, Worker};
use crate::telemetry::{Stage, Timings};
use crate::text::printable;
use crate::track::{
    Expected, Keyframe, Scout, Seen, Stabilizer, TOLERANCE, Track, Tracked, Trajectory, drop_glitches, link,
    repair_sides, settle,
};

/// Frames decoded ahead. The frames between two keyframes (at most twelve) are held by this stage; more need not wait.
const DECODED: usize = 2;

/// What pass 1 knows of a clip.
pub struct Observed {
    /// Seconds of every frame.
    pub times: Vec<f64>,
    /// Frames that are corrupt, since frames they build on are missing.
    pub corrupt: BTreeSet<u64>,
    /// The people.
    pub tracks: Vec<Track>,
    /// What could not be decoded.
    pub lost: Vec<String>,
    /// Where the clock of the file jumped.
    pub jumps: Vec<ClockJump>,
}

/// A stretch of the clip that was seen, as the journal keeps it.
#[derive(Serialize, Deserialize)]
struct Segment {
    times: Vec<f64>,
    places: Vec<DVec2>,
    seen: Vec<(u64, Vec<Seen>)>,
    corrupt: Vec<u64>,
    after: After,
}

/// What follows on a segment.
#[derive(Serialize, Deserialize)]
enum After {
    /// More frames.
    Frames(Box<State>),
    /// Nothing; what could not be decoded, and where the clock of the file jumped.
    End { lost: Vec<String>, jumps: Vec<ClockJump> },
}

/// What the observing pass is in the middle of, after a keyframe.
#[derive(Serialize, Deserialize)]
struct State {
    scout: Scout,
    keyframe: Keyframe,
    stabilizer: Stabilizer,
}

/// Finds everybody in a video, from where the journal ends.
pub fn observe(
    job: &Job,
    decoder: Decoder,
    limits: &Limits,
    pool: &DetectionPool,
    timings: &Arc<Timings>,
    journal: &Journal,
) -> Result<Observed, JobError> {
    let info = decoder.info().clone();
    let network = every_frame(job.settings.model);
    let mut scout = Scout::new(info.frame_rate, info.geometry.display, network, job.settings.model == Model::Auto);
    let (mut times, mut places, mut seen, mut before, mut end) = (Vec::new(), Vec::new(), BTreeMap::new(), None, None);
    let (mut stabilizer, mut corrupt) = (Stabilizer::default(), BTreeSet::new());
    for segment in journal.observed::<Segment>()? {
        times.extend(segment.times);
        places.extend(segment.places);
        seen.extend(segment.seen);
        corrupt.extend(segment.corrupt);
        match segment.after {
            After::Frames(state) => {
                (scout, before, stabilizer) = (state.scout, Some(state.keyframe), state.stabilizer);
            }
            After::End { lost, jumps } => end = Some((lost, jumps)),
        }
    }
    if !times.is_empty() {
        tracing::info!("{}: {} frames were watched before", printable(&job.source.to_string_lossy()), times.len());
    }
    let (looked, looks) = flume::unbounded();
    let mut observing = Observing {
        job,
        limits,
        pool,
        timings,
        geometry: info.geometry,
        color: info.color,
        total: info.frames,
        network,
        scout,
        recorded: times.len() as u64,
        times,
        stabilizer,
        trajectory: Trajectory::of(places),
        seen,
        corrupt,
        looked: Some(looked),
        looks,
        asked: BTreeSet::new(),
        journal,
        segment: job.settings.encode.segment_frames(info.frame_rate),
        ripe: None,
    };
    let (lost, jumps) = match end {
        Some(end) => end,
        None => observing.all(decoder, before)?,
    };
    let Observing { times, trajectory, seen, corrupt, .. } = observing;
    // Frame by frame, so that what was seen is not in memory twice.
    let seen = seen.into_values().flatten();
    let go_on = || proceed(job.course);
    let mut tracks = link(seen, &corrupt, info.frame_rate, info.geometry.display, &trajectory, &go_on)
        .map_err(|Stopped| JobError::Stopped)?;
    tracks.iter_mut().for_each(|track| {
        repair_sides(track);
        drop_glitches(track);
    });
    Ok(Observed { times, corrupt, tracks, lost, jumps })
}

/// What the workers give back of a frame.
enum Back {
    /// What was found where tracklets were expected between keyframes.
    Looks(Vec<(Expected, Option<Sight>)>),
    /// What the heavy network says of tracklets on a keyframe.
    Opinions(Vec<(u32, Option<Sight>)>),
}

/// A frame's number and what came back; the error of a worker.
type Reply = Result<(u64, Back), PoseError>;

struct Observing<'a> {
    job: &'a Job<'a>,
    limits: &'a Limits,
    pool: &'a DetectionPool,
    timings: &'a Arc<Timings>,
    geometry: Geometry,
    color: Color,
    total: Option<u64>,
    network: Network,
    scout: Scout,
    times: Vec<f64>,
    stabilizer: Stabilizer,
    trajectory: Trajectory,
    /// What was seen, by frame.
    seen: BTreeMap<u64, Vec<Seen>>,
    /// Frames in which nobody is looked for, since they are corrupt.
    corrupt: BTreeSet<u64>,
    /// Given to workers with each frame; let go of at the end so that the receiver ends too.
    looked: Option<Sender<Reply>>,
    looks: Receiver<Reply>,
    /// Frames that workers have and did not give back.
    asked: BTreeSet<u64>,
    journal: &'a Journal,
    /// Frames that are recorded.
    recorded: u64,
    /// Frames after which a segment is recorded, at the next keyframe.
    segment: u64,
    /// What comes after the next segment to record: it waits for the workers to give back its frames.
    ripe: Option<Box<State>>,
}

impl Observing<'_> {
    /// Everything from the end of what is known on. Gives what could not be decoded, and where the clock of the file jumped.
    fn all(&mut self, decoder: Decoder, before: Option<Keyframe>) -> Result<(Vec<String>, Vec<ClockJump>), JobError> {
        let (course, timings, from) = (self.job.course, self.timings, self.recorded);
        let _in_use = self.pool.in_use();
        let decoder = std::thread::scope(|scope| {
            let (decoded, frames) = flume::bounded(DECODED);
            let decoding = spawn(scope, "decode", move || decode(decoder, from, decoded, course, timings))?;
            let result = self.run(frames, before);
            let decoder = join(decoding);
            result?;
            decoder
        })?;
        self.collect_all()?;
        if course() == Control::Stop {
            return Err(JobError::Stopped);
        }
        let (lost, jumps) = (decoder.losses().sentences(), decoder.clock_jumps().to_vec());
        self.record(self.times.len() as u64, After::End { lost: lost.clone(), jumps: jumps.clone() })?;
        Ok((lost, jumps))
    }

    fn run(&mut self, frames: Receiver<Frame>, mut before: Option<Keyframe>) -> Result<(), JobError> {
        let mut between: Vec<Arc<Frame>> = Vec::new();
        for frame in frames {
            check_length(self.limits, frame.time)?;
            self.times.push(frame.time);
            if frame.is_corrupt {
                self.corrupt.insert(frame.index);
            }
            self.timings.live().frame(self.timings.job());
            let picture = Picture { frame: &frame, geometry: &self.geometry, color: self.color };
            // A corrupt picture does not tell where the scene is.
            let before_it = self.trajectory.places().last().copied().unwrap_or_default();
            self.trajectory.push(if frame.is_corrupt { before_it } else { self.stabilizer.follow(&picture) });
            let frame = Arc::new(frame);
            if frame.is_corrupt {
                // What was before it is closed as at the end of the clip; after it the search begins anew.
                if let Some(last) = between.pop() {
                    before = Some(self.keyframe(before, &mut between, &last)?);
                }
                self.scout.begin_anew();
                (self.job.events)(Event::Progress {
                    phase: Phase::Observe,
                    done: frame.index + 1,
                    total: self.total,
                    people: 0,
                });
                continue;
            }
            if frame.index < self.scout.next_keyframe() {
                between.push(frame);
                continue;
            }
            let keyframe = self.keyframe(before, &mut between, &frame)?;
            if self.ripe.is_none() && keyframe.index + 1 - self.recorded >= self.segment {
                self.ripe = Some(Box::new(State {
                    scout: self.scout.clone(),
                    keyframe: keyframe.clone(),
                    stabilizer: self.stabilizer.clone(),
                }));
            }
            before = Some(keyframe);
            self.collect_ready()?;
            self.record_what_is_ripe()?;
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
        let keyframe = self.scout.keyframe(frame.index, &self.trajectory, &mut |work| {
            let alike = work.chunk_by(Work::is_batched_with).flat_map(|alike| alike.chunks(pool.batch()));
            let batches = alike.map(|batch| {
                let (frame, timings, batch) = (frame.clone(), timings.clone(), batch.to_vec());
                move |worker: &mut Worker| {
                    let questions: Vec<_> = batch.into_iter().map(|work| (&*frame, work)).collect();
                    perform(worker, &questions, geometry, color, &timings)
                }
            });
            let found: Result<Vec<_>, PoseError> = pool.run_all(timings, batches.collect())?.into_iter().collect();
            Ok::<_, JobError>(found?.into_iter().flatten().collect())
        })?;
        if let Some(before) = &before {
            let (mut frames, mut regions) = (Vec::new(), 0);
            for frame in between.drain(..) {
                let expected = self.scout.expected(before, &keyframe, frame.index, &self.trajectory);
                if expected.is_empty() {
                    continue;
                }
                regions += expected.len();
                frames.push((frame, expected));
                if regions >= pool.batch() {
                    self.look(std::mem::take(&mut frames))?;
                    regions = 0;
                }
            }
            self.look(frames)?;
        }
        let seen = keyframe.people.iter().map(|person| Seen {
            tracklet: person.tracklet,
            frame: keyframe.index,
            sight: person.sight.clone(),
            second_opinion: None,
            figure: person.figure,
        });
        self.seen.insert(keyframe.index, seen.collect());
        self.ask_opinions(frame, &keyframe)?;
        tracing::debug!("frame {}: keyframe, {} people", keyframe.index, keyframe.people.len());
        (self.job.events)(Event::Progress {
            phase: Phase::Observe,
            done: frame.index + 1,
            total: self.total,
            people: keyframe.people.len(),
        });
        Ok(keyframe)
    }

    /// Asks a worker to look at regions of some frames.
    fn look(&mut self, frames: Vec<(Arc<Frame>, Vec<Expected>)>) -> Result<(), JobError> {
        let Some(reply) = self.looked.clone() else { return Ok(()) };
        if frames.is_empty() {
            return Ok(());
        }
        self.asked.extend(frames.iter().map(|(frame, _)| frame.index));
        let (geometry, color, network, timings) = (self.geometry, self.color, self.network, self.timings.clone());
        self.pool.submit(Lane::Ordinary, self.timings, move |worker| {
            let question = |e: &Expected| Work::Look { spot: e.spot, network, tolerance: TOLERANCE };
            let questions: Vec<_> =
                frames.iter().flat_map(|(frame, all)| all.iter().map(|e| (&**frame, question(e)))).collect();
            let found = perform(worker, &questions, geometry, color, &timings);
            // A job that failed no longer listens.
            match found.map(sights) {
                Ok(mut sights) => {
                    for (frame, expected) in frames {
                        let looks = expected.into_iter().zip(&mut sights).collect();
                        drop(reply.send(Ok((frame.index, Back::Looks(looks)))));
                    }
                }
                Err(error) => drop(reply.send(Err(error))),
            }
        })?;
        Ok(())
    }

    /// Asks a worker for second opinions on a keyframe; nobody waits for them.
    fn ask_opinions(&mut self, frame: &Arc<Frame>, keyframe: &Keyframe) -> Result<(), JobError> {
        let Some(reply) = self.looked.clone() else { return Ok(()) };
        let people = keyframe.people.iter().filter(|person| person.is_in_doubt);
        let (tracklets, questions): (Vec<u32>, Vec<Work>) = people.map(|p| (p.tracklet, p.question())).unzip();
        if questions.is_empty() {
            return Ok(());
        }
        self.asked.insert(frame.index);
        let (geometry, color, timings, frame) = (self.geometry, self.color, self.timings.clone(), frame.clone());
        self.pool.submit(Lane::Ordinary, self.timings, move |worker| {
            let questions: Vec<_> = questions.into_iter().map(|work| (&*frame, work)).collect();
            let found = perform(worker, &questions, geometry, color, &timings);
            let opinions = found.map(|found| Back::Opinions(tracklets.into_iter().zip(sights(found)).collect()));
            drop(reply.send(opinions.map(|opinions| (frame.index, opinions))));
        })?;
        Ok(())
    }

    fn collect_ready(&mut self) -> Result<(), JobError> {
        while let Ok(back) = self.looks.try_recv() {
            self.collect(back?);
        }
        Ok(())
    }

    fn collect_all(&mut self) -> Result<(), JobError> {
        self.looked = None;
        while let Ok(back) = self.looks.recv() {
            self.collect(back?);
        }
        Ok(())
    }

    fn collect(&mut self, (frame, back): (u64, Back)) {
        self.asked.remove(&frame);
        match back {
            Back::Looks(looks) => {
                let people = settle(self.geometry.display, looks);
                let seen = |(tracklet, sight)| Seen { tracklet, frame, sight, second_opinion: None, figure: None };
                self.seen.insert(frame, people.into_iter().map(seen).collect());
            }
            Back::Opinions(opinions) => {
                let seen = self.seen.entry(frame).or_default();
                for (tracklet, answer) in opinions {
                    if let Some(person) = seen.iter_mut().find(|seen| seen.tracklet == tracklet) {
                        person.second_opinion = Tracked::opinion(&person.sight.landmarks, answer);
                    }
                }
            }
        }
    }

    fn record_what_is_ripe(&mut self) -> Result<(), JobError> {
        match self.ripe.take() {
            Some(state) if self.asked.first().is_none_or(|&first| first > state.keyframe.index) => {
                self.record(state.keyframe.index + 1, After::Frames(state))
            }
            later => {
                self.ripe = later;
                Ok(())
            }
        }
    }

    /// Puts into the journal what was seen since the last time, up to frame number `end`.
    fn record(&mut self, end: u64, after: After) -> Result<(), JobError> {
        let start = std::mem::replace(&mut self.recorded, end);
        let times = self.times[start as usize..end as usize].to_vec();
        let places = self.trajectory.places()[start as usize..end as usize].to_vec();
        let seen = self.seen.range(start..end).map(|(&frame, seen)| (frame, seen.clone())).collect();
        let corrupt = self.corrupt.range(start..end).copied().collect();
        self.journal.add_observed(end, &Segment { times, places, seen, corrupt, after })?;
        tracing::debug!("frames {start} to {end}: watched and written down");
        Ok(())
    }
}

/// The answers to looks.
fn sights(found: Vec<Found>) -> impl Iterator<Item = Option<Sight>> {
    found.into_iter().map(|found| match found {
        Found::Person(sight) => sight,
        Found::Figures(_) | Found::People(_) => None,
    })
}

/// Answers questions of one kind and records their time.
fn perform(
    worker: &mut Worker,
    questions: &[(&Frame, Work)],
    geometry: Geometry,
    color: Color,
    timings: &Timings,
) -> Result<Vec<Found>, PoseError> {
    let start = Instant::now();
    let pictures: Vec<_> =
        questions.iter().map(|&(frame, work)| (Picture { frame, geometry: &geometry, color }, work)).collect();
    let found = worker.perform(&pictures);
    let each = start.elapsed() / questions.len().max(1) as u32;
    for (frame, work) in questions {
        let stage = match work {
            Work::Find(_) | Work::Detect(_) => Stage::Detect,
            Work::Look { .. } => Stage::Landmarks,
        };
        timings.record(stage, frame.index, each);
    }
    found
}
