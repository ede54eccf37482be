//! One stretch of a clip, observed from its first frame to its last.
//!
//! The threads at work on it, in order:
//!
//! 1. `decode` decodes the frames;
//! 2. this thread follows the camera and the people from keyframe to keyframe. It asks the detection workers about each keyframe and waits
//!    (`answer`), and leaves the frames between to them;
//! 3. the detection workers, which belong to the process, reply about those frames; this thread collects the replies by frame number.
//!
//! Now and then, on a keyframe, the tracking state is saved. It goes into the checkpoint, with all observations before it, once the
//! workers have replied about those frames.
//!
//! In the first frames that it shares with the stretch before, people are looked for on keyframes only: whatever else there is to know of them
//! that stretch knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use flume::Receiver;
use glam::DVec2;
use serde::{Deserialize, Serialize};

use super::{Observing, Part, THREADS};
use crate::media::{ClockJump, Decoder, Frame};
use crate::pipeline::answer::{Asker, Reply, Request};
use crate::pipeline::decode::{Passage, decode, forward};
use crate::pipeline::own_networks::Said;
use crate::pipeline::{JobError, check_length, join, spawn};
use crate::pose::Picture;
use crate::track::{
    Between, Keyframe, Sightings, Stabilizer, Tracker, TrackletObservation, Trajectory, heavy_landmarks,
};

/// Frames decoded ahead. Those between two keyframes that may be looked at are held by this stage; more need not wait.
const DECODED: usize = 2;

/// What became of a stretch.
pub(super) struct Outcome {
    /// Seconds of its frames.
    pub times: Vec<f64>,
    /// The people in it.
    pub sightings: Sightings,
    /// Frames that are corrupt.
    pub corrupt: BTreeSet<u64>,
    /// What the decoder said in the end.
    pub end: End,
}

/// What a decoder says in the end.
#[derive(Serialize, Deserialize)]
pub(super) struct End {
    /// What could not be decoded.
    pub lost: Vec<String>,
    /// Where the clock of the file jumped.
    pub jumps: Vec<ClockJump>,
}

/// A part of the stretch that was observed, as the checkpoint keeps it.
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
    /// Nothing.
    End(End),
}

/// What the observing of a stretch is in the middle of, after a keyframe.
#[derive(Serialize, Deserialize)]
struct TrackingState {
    tracker: Tracker,
    /// The last keyframe, and the one before.
    keyframe: Keyframe,
    earlier: Option<Keyframe>,
    stabilizer: Stabilizer,
}

/// A stretch that is being observed.
pub(super) struct Stretch<'a> {
    clip: &'a Observing<'a>,
    /// Its place among the stretches of the clip.
    number: usize,
    part: &'a Part,
    asker: Asker<'a>,
    replies: Receiver<Result<Reply, JobError>>,
    /// The first frames of what workers have not replied about.
    in_flight: Vec<u64>,
    tracker: Tracker,
    stabilizer: Stabilizer,
    /// The last keyframe, and the one before.
    before: Option<Keyframe>,
    earlier: Option<Keyframe>,
    /// The frames since then: they wait for the next keyframe.
    between: Vec<Arc<Frame>>,
    /// Seconds of every frame so far.
    times: Vec<f64>,
    trajectory: Trajectory,
    /// By frame.
    observations: BTreeMap<u64, Vec<TrackletObservation>>,
    /// Frames in which nobody is looked for, since they are corrupt.
    corrupt: BTreeSet<u64>,
    /// The first frame that is not in the checkpoint.
    recorded: u64,
    /// The next checkpoint, while workers have not replied about all frames before it.
    pending_save: Option<Box<TrackingState>>,
    /// Whether somebody else has observed all of it meanwhile.
    is_done_by_others: bool,
}

impl<'a> Stretch<'a> {
    /// A stretch of a clip, of this place among them.
    pub fn new(clip: &'a Observing<'a>, number: usize, part: &'a Part) -> Self {
        let (replying, replies) = flume::unbounded();
        Self {
            clip,
            number,
            part,
            asker: Asker::new(clip.pool, clip.timings, clip.view.clone(), replying),
            replies,
            in_flight: Vec::new(),
            tracker: clip.tracker.clone(),
            stabilizer: Stabilizer::default(),
            before: None,
            earlier: None,
            between: Vec::new(),
            times: Vec::new(),
            trajectory: Trajectory::from(part.begin),
            observations: BTreeMap::new(),
            corrupt: BTreeSet::new(),
            recorded: part.begin,
            pending_save: None,
            is_done_by_others: false,
        }
    }

    /// Observes it, from where the checkpoint ends. `decoder`: one that has given nothing yet, where there is one. Gives nothing where
    /// nobody wants it any more, or somebody else has observed it meanwhile.
    pub fn observe(mut self, decoder: Option<Decoder>) -> Result<Option<Outcome>, JobError> {
        let end = match self.restore()? {
            Some(end) => Some(end),
            None => {
                let _in_use = self.clip.pool.in_use();
                self.observe_rest(decoder)?
            }
        };
        let Self { times, trajectory, observations, corrupt, .. } = self;
        let sightings = Sightings::new(observations, trajectory);
        Ok(end.map(|end| Outcome { times, sightings, corrupt, end }))
    }

    /// Takes over what the checkpoint has of it. Gives the end, if it has all of it.
    fn restore(&mut self) -> Result<Option<End>, JobError> {
        let mut end = None;
        for segment in self.clip.checkpoint.observed::<Segment>(self.part.begin)? {
            self.times.extend(segment.times);
            segment.places.into_iter().for_each(|place| self.trajectory.push(place));
            self.observations.extend(segment.observations);
            self.corrupt.extend(segment.corrupt);
            if segment.is_damaged {
                self.part.damaged_from.store(self.part.begin, Ordering::Release);
                self.note_damage();
            }
            match segment.after {
                After::Frames(state) => {
                    let TrackingState { tracker, keyframe, earlier, stabilizer } = *state;
                    (self.tracker, self.stabilizer) = (tracker, stabilizer);
                    (self.before, self.earlier) = (Some(keyframe), earlier);
                }
                After::End(told) => end = Some(told),
            }
        }
        self.recorded = self.next();
        if self.recorded > self.part.begin {
            let (name, known) = (self.clip.job.name(), self.times.len());
            match self.part.begin {
                0 => tracing::info!("{name}: {known} frames were observed before"),
                begin => tracing::info!("{name}: {known} frames were observed before, from frame {begin} on"),
            }
            self.note_done();
        }
        Ok(end)
    }

    /// The first frame that it has not seen.
    fn next(&self) -> u64 {
        self.part.begin + self.times.len() as u64
    }

    /// Not all is in order: it goes on to the end of the clip, and nobody wants what is behind it.
    fn note_damage(&self) {
        self.part.is_damaged.store(true, Ordering::Release);
        self.clip.end_from(if self.clip.is_left_to_others() { 0 } else { self.number + 1 });
    }

    /// Notes how many of its own frames are through.
    fn note_done(&self) {
        let own = &self.part.own;
        let end = if self.part.is_damaged.load(Ordering::Acquire) { u64::MAX } else { own.end };
        self.part.done.store(self.next().min(end).saturating_sub(own.start), Ordering::Release);
    }

    /// A decoder for the rest.
    fn decoder(&self, decoder: Option<Decoder>) -> Result<Decoder, JobError> {
        let job = self.clip.job;
        let decoder = match decoder {
            Some(decoder) => decoder,
            None => Decoder::open_also_pictures(job.source(), THREADS, job.settings().pictures)?,
        };
        let from = self.next();
        match from == 0 || self.part.is_damaged.load(Ordering::Acquire) {
            true => Ok(decoder),
            false => forward(decoder, self.clip.stretches, from, self.known_times()),
        }
    }

    /// Seconds of the clip's first frames, as far as they are known.
    fn known_times(&self) -> &[f64] {
        if self.clip.times.is_empty() { &self.times } else { self.clip.times }
    }

    /// Observes everything from the end of what is known on. Gives nothing where nobody wants it any more.
    fn observe_rest(&mut self, decoder: Option<Decoder>) -> Result<Option<End>, JobError> {
        let (job, timings, part) = (self.clip.job, self.clip.timings, self.part);
        if self.is_through() {
            return self.end(None);
        }
        let decoder = self.decoder(decoder)?;
        let times = self.known_times().to_vec();
        let frames = self.next()..part.end;
        let decoder = std::thread::scope(|scope| {
            let (decoded, to_follow) = flume::bounded(DECODED);
            let (damaged_from, is_over) = (&part.damaged_from, &part.is_over);
            let passage = Passage { frames, times: &times, damaged_from, goes_on: true, is_over };
            let decoding = spawn(scope, "decode", move || decode(decoder, passage, decoded, job, timings))?;
            let result = self.take_frames(to_follow);
            let decoder = join(decoding);
            result?;
            decoder
        })?;
        self.collect_all()?;
        if job.is_stopped() {
            return Err(JobError::Stopped);
        }
        if self.is_done_by_others {
            return Ok(None);
        }
        // Frames that are missing at the end are not in order either. What the decoder found ahead of this is the next stretch's.
        if !self.is_through() && self.next() >= part.damaged_from.load(Ordering::Acquire) {
            self.note_damage();
        }
        self.end(Some(&decoder))
    }

    /// Writes its end down.
    fn end(&mut self, decoder: Option<&Decoder>) -> Result<Option<End>, JobError> {
        if self.part.is_over.load(Ordering::Acquire) {
            return Ok(None);
        }
        let end = || End {
            lost: decoder.map_or(Vec::new(), |decoder| decoder.losses().sentences()),
            jumps: decoder.map_or(Vec::new(), |decoder| decoder.clock_jumps().to_vec()),
        };
        self.record(self.next(), After::End(end()))?;
        Ok(Some(end()))
    }

    /// After a keyframe: whether the rest may be left to the next stretch.
    fn is_through(&self) -> bool {
        let is_last_keyframe = self.before.as_ref().is_some_and(|keyframe| keyframe.index + 1 == self.next());
        let is_whole = !self.part.is_damaged.load(Ordering::Acquire);
        is_last_keyframe && is_whole && self.next() >= self.part.own.end && self.tracker.is_settled()
    }

    /// Goes through the frames in order.
    fn take_frames(&mut self, frames: Receiver<Frame>) -> Result<(), JobError> {
        for frame in frames {
            check_length(self.clip.limits, frame.time)?;
            if frame.index >= self.part.damaged_from.load(Ordering::Acquire) {
                self.note_damage();
            }
            self.follow_camera(&frame);
            let frame = Arc::new(frame);
            if frame.is_corrupt {
                self.skip_corrupt()?;
            } else if frame.index < self.tracker.next_keyframe() {
                self.hold(frame);
            } else {
                self.let_go();
                self.keyframe(&frame)?;
                self.save_state();
                self.collect_ready()?;
                // Where it has written something down, somebody else may be further.
                if self.record_pending()? && self.clip.is_done(self.part)? {
                    self.is_done_by_others = true;
                    return Ok(());
                }
                if self.is_through() {
                    break;
                }
            }
        }
        self.close_stretch()
    }

    /// Keeps a frame that may be looked at until the next keyframe. The newest frame is kept in any case: it becomes a keyframe if the video ends or is
    /// damaged after it.
    fn hold(&mut self, frame: Arc<Frame>) {
        self.let_go();
        self.between.push(frame);
    }

    /// Lets go of the frame that was the newest, unless it may be looked at.
    fn let_go(&mut self) {
        let stride = if self.asker.view().own.looks_between() { 1 } else { self.tracker.stride() };
        let before = self.before.as_ref().map_or(0, |before| before.index);
        self.between.pop_if(|last| !(last.index - before).is_multiple_of(stride));
    }

    /// Notes a frame's time and where the scene is in it.
    fn follow_camera(&mut self, frame: &Frame) {
        self.times.push(frame.time);
        if frame.is_corrupt {
            self.corrupt.insert(frame.index);
        }
        if self.part.own.contains(&frame.index) {
            self.clip.timings.live().frame(self.clip.timings.job());
        }
        let view = &self.clip.view;
        let picture = Picture { frame, geometry: &view.geometry, color: view.color };
        // A corrupt picture does not tell where the scene is.
        let before = self.trajectory.places().last().copied().unwrap_or_default();
        self.trajectory.push(if frame.is_corrupt { before } else { self.stabilizer.follow(&picture) });
    }

    /// What was before a corrupt frame is closed as at the end of the clip; after it the search starts over.
    fn skip_corrupt(&mut self) -> Result<(), JobError> {
        self.close_stretch()?;
        self.tracker.start_over();
        self.progress(0);
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
        let before = self.before.as_ref().map(|before| before.index);
        self.ask_between(&keyframe)?;
        self.observations.insert(keyframe.index, keyframe.observations());
        if let Some(request) = Request::keyframe(frame, &keyframe, before, self.asker.view())
            && frame.index >= self.part.own.start
        {
            self.request(request)?;
        }
        tracing::debug!("frame {}: keyframe, {} people", keyframe.index, keyframe.people.len());
        self.progress(keyframe.people.len());
        self.before = Some(keyframe);
        Ok(())
    }

    /// Leaves the frames since the last keyframe to a worker.
    fn ask_between(&mut self, after: &Keyframe) -> Result<(), JobError> {
        let own = self.part.own.start;
        let held = std::mem::take(&mut self.between);
        let frames: Vec<_> = held.into_iter().filter(|frame| frame.index >= own).collect();
        let earlier = std::mem::replace(&mut self.earlier, self.before.take());
        let Some(before) = self.earlier.as_ref().filter(|_| !frames.is_empty()) else { return Ok(()) };
        let indices = frames.iter().map(|frame| frame.index);
        let asks_all = self.asker.view().own.looks_between();
        let looks = self.tracker.looks_between(earlier.as_ref(), [before, after], indices, &self.trajectory, asks_all);
        self.request(Request::Between { frames, looks })
    }

    fn request(&mut self, request: Request) -> Result<(), JobError> {
        self.in_flight.push(request.first());
        self.asker.request(request)
    }

    fn progress(&self, people: usize) {
        self.note_done();
        self.clip.progress(people);
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
        Ok(())
    }

    fn collect(&mut self, reply: Reply) {
        if let Some(answered) = self.in_flight.iter().position(|&first| first == reply.first()) {
            self.in_flight.swap_remove(answered);
        }
        match reply {
            Reply::Between { looks, own } => {
                let last = looks.last();
                let Between { observations, skipped } = looks.resolve();
                self.observations.extend(observations);
                for (tracklet, skipped) in skipped {
                    if let Some(one) = self.observed(last, tracklet) {
                        one.skipped = skipped;
                    }
                }
                own.into_iter().for_each(|(frame, tracklet, said)| self.said_of(frame, tracklet, said));
            }
            Reply::Keyframe { frame, heavy, own, hands } => {
                for (tracklet, answer) in heavy {
                    if let Some(one) = self.observed(frame, tracklet) {
                        one.heavy_landmarks = heavy_landmarks(&one.observation.landmarks, answer);
                    }
                }
                for (tracklet, hands) in hands {
                    if let Some(one) = self.observed(frame, tracklet) {
                        one.observation.landmarks.hands = hands;
                    }
                }
                own.into_iter().for_each(|(tracklet, said)| self.said_of(frame, tracklet, said));
            }
        }
    }

    /// What was observed of a tracklet in a frame.
    fn observed(&mut self, frame: u64, tracklet: u32) -> Option<&mut TrackletObservation> {
        self.observations.get_mut(&frame)?.iter_mut().find(|one| one.tracklet == tracklet)
    }

    /// Notes what the network of the user's own says of somebody.
    fn said_of(&mut self, frame: u64, tracklet: u32, Said { points, estimate }: Said) {
        if let Some(one) = self.observed(frame, tracklet) {
            (one.seen_points, one.estimate) = (points.map(Box::new), estimate.map(Box::new));
        }
    }

    /// After a keyframe: whether it is time for a checkpoint.
    fn save_state(&mut self) {
        let Some(keyframe) = &self.before else { return };
        if self.pending_save.is_none() && keyframe.index + 1 - self.recorded >= self.clip.segment {
            self.pending_save = Some(Box::new(TrackingState {
                tracker: self.tracker.clone(),
                keyframe: keyframe.clone(),
                earlier: self.earlier.clone(),
                stabilizer: self.stabilizer.clone(),
            }));
        }
    }

    /// Writes a pending checkpoint down, once there are replies about all frames before it. Whether there was one.
    fn record_pending(&mut self) -> Result<bool, JobError> {
        match self.pending_save.take() {
            Some(state) if self.in_flight.iter().all(|&first| first > state.keyframe.index) => {
                self.record(state.keyframe.index + 1, After::Frames(state))?;
                Ok(true)
            }
            later => {
                self.pending_save = later;
                Ok(false)
            }
        }
    }

    /// Puts into the checkpoint what was observed since the last time, up to frame number `end`.
    fn record(&mut self, end: u64, after: After) -> Result<(), JobError> {
        let start = std::mem::replace(&mut self.recorded, end);
        let [from, to] = [start, end].map(|frame| (frame - self.part.begin) as usize);
        let times = self.times[from..to].to_vec();
        let places = self.trajectory.places()[from..to].to_vec();
        let observations = self.observations.range(start..end).map(|(&frame, all)| (frame, all.clone())).collect();
        let corrupt = self.corrupt.range(start..end).copied().collect();
        let is_damaged = self.part.is_damaged.load(Ordering::Acquire);
        let segment = Segment { times, places, observations, corrupt, is_damaged, after };
        let is_last = matches!(segment.after, After::End(_));
        self.clip.checkpoint.add_observed(self.part.begin, start..end, is_last, &segment)?;
        tracing::debug!("frames {start} to {end}: observed and written down");
        Ok(())
    }
}
