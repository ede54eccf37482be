//! What a job asks the detection workers about its frames, and what they reply.
//!
//! A keyframe is asked about in the urgent lane, and its asker waits ([`Asker::ask`]). Everything else is a [`Request`]: a worker takes it
//! when it has time, and its [`Reply`] comes back through a channel. Frames are put in their place by their number, so which worker
//! answered when leaves no trace in the results.

use std::sync::Arc;
use std::time::Instant;

use flume::Sender;

use super::JobError;
use super::own_networks::{OwnNetworks, Said};
use super::pool::{DetectionPool, Lane, WorkerLost};
use crate::geometry::Geometry;
use crate::job::Hands;
use crate::media::{Color, Frame};
use crate::models::Network;
use crate::pose::{Answer, Landmarks, Observation, Picture, PoseError, Query, SeenHands, Worker, first_regions};
use crate::telemetry::{Stage, Timings};
use crate::track::{Keyframe, LooksBetween, PredictedRegion};

/// How often a second the hands of a person are looked at by themselves at most. Fingers between are interpolated, and measured no worse (docs/accuracy.md).
const HANDS_RATE: f64 = 15.0;

/// What nobody waits for.
pub enum Request {
    /// To observe people in the frames between two keyframes.
    Between {
        /// The frames that may be looked at, in order.
        frames: Vec<Arc<Frame>>,
        /// Whom to look for where.
        looks: LooksBetween,
    },
    /// What the tracker does not need of those who were found on a keyframe.
    Keyframe {
        /// The frame.
        frame: Arc<Frame>,
        /// Whom to ask the heavy network about, by their tracklets.
        heavy: Vec<(u32, Query)>,
        /// Whom to ask the network of the user's own about, with the landmarks that were found of each.
        own: Vec<(u32, Landmarks)>,
        /// Whose hands to look at, with the landmarks that were found of each.
        hands: Vec<(u32, Landmarks)>,
    },
}

/// The answers to a request.
pub enum Reply {
    /// What was found between two keyframes.
    Between {
        /// All looks are done.
        looks: LooksBetween,
        /// What the network of the user's own says, by frame and tracklet.
        own: Vec<(u64, u32, Said)>,
    },
    /// What was asked about those on a keyframe.
    Keyframe {
        /// Index of the frame.
        frame: u64,
        /// What the heavy network says, by tracklet, in the order of the request.
        heavy: Vec<(u32, Option<Observation>)>,
        /// The same of the network of the user's own.
        own: Vec<(u32, Said)>,
        /// The hands, by tracklet.
        hands: Vec<(u32, SeenHands)>,
    },
}

impl Reply {
    /// Index of the first frame that it may be about: that of the request.
    pub fn first(&self) -> u64 {
        match self {
            Self::Between { looks, .. } => looks.first() + 1,
            Self::Keyframe { frame, .. } => *frame,
        }
    }
}

impl Request {
    /// For a keyframe, about all who need the heavy network, all of them for a network of the user's own, and those whose hands are looked
    /// at; `None` if nobody is asked about. `before`: index of the keyframe before.
    pub fn keyframe(frame: &Arc<Frame>, keyframe: &Keyframe, before: Option<u64>, view: &View) -> Option<Self> {
        let needing = keyframe.people.iter().filter(|person| person.needs_heavy);
        let heavy: Vec<(u32, Query)> =
            needing.map(|person| (person.tracklet, keyframe.heavy_query(person, view.geometry.display))).collect();
        let found = |is_asked: &dyn Fn(&Landmarks) -> bool| -> Vec<(u32, Landmarks)> {
            let people = keyframe.people.iter().map(|person| (person.tracklet, &person.observation.landmarks));
            people.filter(|(_, landmarks)| is_asked(landmarks)).map(|(id, landmarks)| (id, landmarks.clone())).collect()
        };
        let own = found(&|_| view.own.of_people.is_some());
        let hands = found(&|landmarks| view.has_hands(before, frame, landmarks));
        let is_needed = !heavy.is_empty() || !own.is_empty() || !hands.is_empty();
        is_needed.then(|| Self::Keyframe { frame: frame.clone(), heavy, own, hands })
    }

    /// Index of the first frame that the reply may be about.
    pub fn first(&self) -> u64 {
        match self {
            Self::Between { looks, .. } => looks.first() + 1,
            Self::Keyframe { frame, .. } => frame.index,
        }
    }
}

/// How the frames of a job are looked at.
#[derive(Clone)]
pub struct View {
    /// Displayed pixels to samples.
    pub geometry: Geometry,
    /// What the samples mean.
    pub color: Color,
    /// The landmark network for frames between keyframes.
    pub network: Network,
    /// The user's own.
    pub own: OwnNetworks,
    /// Whether hands are looked at.
    pub hands: Hands,
    /// Frames a second.
    pub frame_rate: f64,
}

impl View {
    /// Has a worker answer queries, and records the time that they took.
    fn answer(
        &self,
        worker: &mut Worker,
        queries: &[(&Frame, Query)],
        timings: &Timings,
    ) -> Result<Vec<Answer>, PoseError> {
        let start = Instant::now();
        let picture = |frame| Picture { frame, geometry: &self.geometry, color: self.color };
        let pictures: Vec<_> = queries.iter().map(|(frame, query)| (picture(frame), query.clone())).collect();
        let answers = worker.answer(self.own.detector.as_ref(), &pictures);
        let each = start.elapsed() / queries.len().max(1) as u32;
        for (frame, query) in queries {
            let stage = match query {
                Query::DetectPersons(_) | Query::DetectRegions(_) => Stage::Detect,
                Query::Landmarks { .. } => Stage::Landmarks,
            };
            timings.record(stage, frame.index, each);
        }
        answers
    }

    /// Has a worker do what a request asks for.
    fn fulfil(&self, worker: &mut Worker, request: Request, timings: &Timings) -> Result<Reply, PoseError> {
        match request {
            Request::Between { frames, mut looks } => {
                loop {
                    let next = looks.queries();
                    if next.is_empty() {
                        break;
                    }
                    let query =
                        |(frame, region): &(usize, PredictedRegion)| (&*frames[*frame], region.query(self.network));
                    let queries: Vec<(&Frame, Query)> = next.iter().map(query).collect();
                    looks.answer(observations(self.answer(worker, &queries, timings)?).collect());
                }
                self.add_hands(worker, &frames, &mut looks, timings)?;
                let own = self.ask_own_between(worker, &frames, &mut looks, timings)?;
                Ok(Reply::Between { looks, own })
            }
            Request::Keyframe { frame, heavy, own, hands } => {
                let queries: Vec<(&Frame, Query)> = heavy.iter().map(|(_, query)| (&*frame, query.clone())).collect();
                let found = observations(self.answer(worker, &queries, timings)?);
                let heavy = heavy.into_iter().map(|(tracklet, _)| tracklet).zip(found).collect();
                let people: Vec<_> = own.iter().map(|(_, landmarks)| (&*frame, landmarks)).collect();
                let said = self.ask_own(worker, &people, timings)?;
                let own = own.iter().map(|(tracklet, _)| *tracklet).zip(said).collect();
                let people: Vec<_> = hands.iter().map(|(_, landmarks)| (&*frame, landmarks)).collect();
                let seen = self.see_hands(worker, &people, timings)?;
                let hands = hands.iter().map(|(tracklet, _)| *tracklet).zip(seen).collect();
                Ok(Reply::Keyframe { frame: frame.index, heavy, own, hands })
            }
        }
    }

    /// Whether any hand of somebody is looked at in a frame. `before`: the frame in which they may have been looked at last.
    fn has_hands(&self, before: Option<u64>, frame: &Frame, landmarks: &Landmarks) -> bool {
        let regions = || first_regions(landmarks, self.geometry.display, self.hands == Hands::Auto);
        self.is_turn_of_hands(before, frame.index) && regions().iter().any(Option::is_some)
    }

    /// Whether hands are looked at in a frame at all, where they may have been looked at in another one before.
    fn is_turn_of_hands(&self, before: Option<u64>, frame: u64) -> bool {
        let turn = |frame: u64| (frame as f64 * HANDS_RATE / self.frame_rate) as u64;
        match self.hands {
            Hands::Off => false,
            Hands::Auto => before.is_none_or(|before| turn(before) != turn(frame)),
            Hands::On => true,
        }
    }

    /// Looks at the hands of those who were found between two keyframes.
    fn add_hands(
        &self,
        worker: &mut Worker,
        frames: &[Arc<Frame>],
        looks: &mut LooksBetween,
        timings: &Timings,
    ) -> Result<(), PoseError> {
        let keyframe = looks.first();
        // Whose hands were looked at last, and in which frame.
        let mut last: Option<(u32, u64)> = None;
        let mut turns: Vec<(usize, &mut Observation)> = Vec::new();
        for (frame, tracklet, observation) in looks.found() {
            let before = last.filter(|last| last.0 == tracklet).map_or(keyframe, |last| last.1);
            if self.is_turn_of_hands(Some(before), frames[frame].index) {
                last = Some((tracklet, frames[frame].index));
                turns.push((frame, observation));
            }
        }
        let people: Vec<_> =
            turns.iter().map(|(frame, observation)| (&*frames[*frame], &observation.landmarks)).collect();
        let seen = self.see_hands(worker, &people, timings)?;
        turns.into_iter().zip(seen).for_each(|((_, observation), hands)| observation.landmarks.hands = hands);
        Ok(())
    }

    /// What is seen of the hands of people, of each. Records the time that it took.
    fn see_hands(
        &self,
        worker: &mut Worker,
        people: &[(&Frame, &Landmarks)],
        timings: &Timings,
    ) -> Result<Vec<SeenHands>, PoseError> {
        let start = Instant::now();
        let picture = |frame| Picture { frame, geometry: &self.geometry, color: self.color };
        let shown: Vec<_> = people.iter().map(|&(frame, landmarks)| (picture(frame), landmarks)).collect();
        let seen = worker.hands(&shown, self.hands == Hands::Auto)?;
        let each = start.elapsed() / people.len().max(1) as u32;
        people.iter().for_each(|(frame, _)| timings.record(Stage::Landmarks, frame.index, each));
        Ok(seen)
    }

    /// Asks the network of the user's own, if it looks at frames between keyframes, about those who were found there.
    fn ask_own_between(
        &self,
        worker: &mut Worker,
        frames: &[Arc<Frame>],
        looks: &mut LooksBetween,
        timings: &Timings,
    ) -> Result<Vec<(u64, u32, Said)>, PoseError> {
        if !self.own.looks_between() {
            return Ok(Vec::new());
        }
        let found: Vec<_> = looks.found().map(|(frame, tracklet, found)| (frame, tracklet, &found.landmarks)).collect();
        let people: Vec<_> = found.iter().map(|&(frame, _, landmarks)| (&*frames[frame], landmarks)).collect();
        let said = self.ask_own(worker, &people, timings)?;
        Ok(found.iter().zip(said).map(|(&(frame, tracklet, _), said)| (frames[frame].index, tracklet, said)).collect())
    }

    /// What the network of the user's own says of people, and records the time that it took.
    fn ask_own(
        &self,
        worker: &mut Worker,
        people: &[(&Frame, &Landmarks)],
        timings: &Timings,
    ) -> Result<Vec<Said>, PoseError> {
        let Some(own) = self.own.of_people.as_ref().filter(|_| !people.is_empty()) else { return Ok(Vec::new()) };
        let start = Instant::now();
        let picture = |frame| Picture { frame, geometry: &self.geometry, color: self.color };
        let shown: Vec<_> = people.iter().map(|&(frame, landmarks)| (picture(frame), landmarks)).collect();
        let answers = worker.look(&own.description, &shown)?;
        let each = start.elapsed() / people.len().max(1) as u32;
        people.iter().for_each(|(frame, _)| timings.record(Stage::Landmarks, frame.index, each));
        answers.into_iter().zip(people).map(|(answer, (_, landmarks))| own.said(answer, landmarks)).collect()
    }
}

/// The answers to queries for landmarks.
fn observations(answers: Vec<Answer>) -> impl Iterator<Item = Option<Observation>> {
    answers.into_iter().map(|answer| match answer {
        Answer::Observation(observation) => observation,
        Answer::PersonDetections(_) | Answer::RegionDetections(_) => None,
    })
}

/// Asks the detection workers on behalf of one job.
pub struct Asker<'a> {
    pool: &'a DetectionPool,
    timings: &'a Arc<Timings>,
    view: View,
    /// A copy goes with each request; let go of at the end, so that the receiver ends when all have replied.
    replies: Option<Sender<Result<Reply, JobError>>>,
}

/// A reply that is owed. Where it is never given, because the worker panicked or has ended, the job is told so at once.
struct Promise(Option<Sender<Result<Reply, JobError>>>);

impl Promise {
    fn keep(&mut self, reply: Result<Reply, JobError>) {
        if let Some(replies) = self.0.take() {
            // A job that failed no longer listens.
            drop(replies.send(reply));
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.keep(Err(WorkerLost.into()));
    }
}

impl<'a> Asker<'a> {
    /// For a job whose pictures are looked at in this way; replies go to `replies`.
    pub fn new(
        pool: &'a DetectionPool,
        timings: &'a Arc<Timings>,
        view: View,
        replies: Sender<Result<Reply, JobError>>,
    ) -> Self {
        Self { pool, timings, view, replies: Some(replies) }
    }

    /// How the frames are looked at.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Asks about one frame and waits for the answers, which are in the order of the queries.
    pub fn ask(&self, frame: &Arc<Frame>, queries: &[Query]) -> Result<Vec<Answer>, JobError> {
        let alike = queries.chunk_by(Query::is_batched_with).flat_map(|alike| alike.chunks(self.pool.batch()));
        let batches = alike.map(|batch| {
            let (frame, timings, view) = (frame.clone(), self.timings.clone(), self.view.clone());
            let queries = batch.to_vec();
            move |worker: &mut Worker| {
                let queries: Vec<_> = queries.iter().map(|query| (&*frame, query.clone())).collect();
                view.answer(worker, &queries, &timings)
            }
        });
        let answers: Result<Vec<_>, PoseError> =
            self.pool.run_all(self.timings, batches.collect())?.into_iter().collect();
        Ok(answers?.into_iter().flatten().collect())
    }

    /// Leaves a request to whichever worker has time.
    pub fn request(&self, request: Request) -> Result<(), JobError> {
        let Some(replies) = self.replies.clone() else { return Ok(()) };
        let (timings, view) = (self.timings.clone(), self.view.clone());
        let mut promise = Promise(Some(replies));
        self.pool.submit(Lane::Ordinary, self.timings, move |worker| {
            let reply = view.fulfil(worker, request, &timings);
            promise.keep(reply.map_err(JobError::from));
        })?;
        Ok(())
    }

    /// There will be no more requests.
    pub fn close(&mut self) {
        self.replies = None;
    }
}
