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
use super::pool::{DetectionPool, Lane};
use crate::geometry::Geometry;
use crate::job::Hands;
use crate::media::{Color, Frame};
use crate::models::Network;
use crate::pose::{Answer, Landmarks, Observation, Picture, PoseError, Query, SeenHands, Worker, first_regions};
use crate::telemetry::{Stage, Timings};
use crate::track::{Keyframe, PredictedRegion};

/// How often a second the hands of a person are looked at by themselves. Fingers between are interpolated, and measured no worse (docs/accuracy.md).
const HANDS_RATE: f64 = 15.0;

/// What nobody waits for.
pub enum Request {
    /// To observe, in some frames between keyframes, those who are predicted there.
    Between(Vec<(Arc<Frame>, Vec<PredictedRegion>)>),
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

/// The answers about one frame.
pub enum Reply {
    /// What was found where tracklets were predicted.
    Between {
        /// Index of the frame.
        frame: u64,
        /// In the order of the request.
        found: Vec<(PredictedRegion, Option<Observation>)>,
        /// What the network of the user's own says, by tracklet.
        own: Vec<(u32, Said)>,
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
    /// Index of the frame.
    pub fn frame(&self) -> u64 {
        match self {
            Self::Between { frame, .. } | Self::Keyframe { frame, .. } => *frame,
        }
    }
}

impl Request {
    /// For a keyframe, about all who need the heavy network, all of them for a network of the user's own, and those whose hands are looked
    /// at; `None` if nobody is asked about.
    pub fn keyframe(frame: &Arc<Frame>, keyframe: &Keyframe, view: &View) -> Option<Self> {
        let needing = keyframe.people.iter().filter(|person| person.needs_heavy);
        let heavy: Vec<(u32, Query)> =
            needing.map(|person| (person.tracklet, keyframe.heavy_query(person, view.geometry.display))).collect();
        let found = |is_asked: &dyn Fn(&Landmarks) -> bool| -> Vec<(u32, Landmarks)> {
            let people = keyframe.people.iter().map(|person| (person.tracklet, &person.observation.landmarks));
            people.filter(|(_, landmarks)| is_asked(landmarks)).map(|(id, landmarks)| (id, landmarks.clone())).collect()
        };
        let own = found(&|_| view.own.of_people.is_some());
        let hands = found(&|landmarks| view.has_hands(frame, landmarks));
        let is_needed = !heavy.is_empty() || !own.is_empty() || !hands.is_empty();
        is_needed.then(|| Self::Keyframe { frame: frame.clone(), heavy, own, hands })
    }

    /// The frames that there will be replies for.
    pub fn frames(&self) -> Vec<u64> {
        match self {
            Self::Between(frames) => frames.iter().map(|(frame, _)| frame.index).collect(),
            Self::Keyframe { frame, .. } => vec![frame.index],
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

    /// Has a worker do what a request asks for. There is one reply for each of its frames.
    fn fulfil(&self, worker: &mut Worker, request: Request, timings: &Timings) -> Result<Vec<Reply>, PoseError> {
        match request {
            Request::Between(frames) => {
                let mut queries: Vec<(&Frame, Query)> = Vec::new();
                for (frame, regions) in &frames {
                    queries.extend(regions.iter().map(|region| (&**frame, region.query(self.network))));
                }
                let mut found: Vec<Option<Observation>> =
                    observations(self.answer(worker, &queries, timings)?).collect();
                self.add_hands(worker, &queries, &mut found, timings)?;
                let said = self.ask_own_between(worker, &queries, &found, timings)?;
                let mut found = found.into_iter().zip(said);
                let reply = |(frame, regions): (Arc<Frame>, Vec<PredictedRegion>)| {
                    let (mut all, mut own) = (Vec::with_capacity(regions.len()), Vec::new());
                    for (region, (observation, said)) in regions.into_iter().zip(&mut found) {
                        own.extend(said.map(|said| (region.tracklet, said)));
                        all.push((region, observation));
                    }
                    Reply::Between { frame: frame.index, found: all, own }
                };
                Ok(frames.into_iter().map(reply).collect())
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
                Ok(vec![Reply::Keyframe { frame: frame.index, heavy, own, hands }])
            }
        }
    }

    /// Whether any hand of somebody is looked at in a frame.
    fn has_hands(&self, frame: &Frame, landmarks: &Landmarks) -> bool {
        let regions = || first_regions(landmarks, self.geometry.display, self.hands == Hands::Auto);
        self.is_turn_of_hands(frame) && regions().iter().any(Option::is_some)
    }

    /// Whether hands are looked at in a frame at all.
    fn is_turn_of_hands(&self, frame: &Frame) -> bool {
        match self.hands {
            Hands::Off => false,
            Hands::Auto => frame.index.is_multiple_of(((self.frame_rate / HANDS_RATE).round() as u64).max(1)),
            Hands::On => true,
        }
    }

    /// Looks at the hands of those who were `found` (as many as `queries`).
    fn add_hands(
        &self,
        worker: &mut Worker,
        queries: &[(&Frame, Query)],
        found: &mut [Option<Observation>],
        timings: &Timings,
    ) -> Result<(), PoseError> {
        let all = queries.iter().zip(&*found);
        let people: Vec<_> = all.filter_map(|((frame, _), found)| Some((*frame, &found.as_ref()?.landmarks))).collect();
        let seen = self.see_hands(worker, &people, timings)?;
        found.iter_mut().flatten().zip(seen).for_each(|(observation, hands)| observation.landmarks.hands = hands);
        Ok(())
    }

    /// What is seen of the hands of people, of each, whether they are looked at in their frame or not. Records the time that it took.
    fn see_hands(
        &self,
        worker: &mut Worker,
        people: &[(&Frame, &Landmarks)],
        timings: &Timings,
    ) -> Result<Vec<SeenHands>, PoseError> {
        let their_turn = || people.iter().filter(|(frame, _)| self.is_turn_of_hands(frame));
        if their_turn().next().is_none() {
            return Ok(people.iter().map(|_| [None, None]).collect());
        }
        let start = Instant::now();
        let picture = |frame| Picture { frame, geometry: &self.geometry, color: self.color };
        let shown: Vec<_> = their_turn().map(|&(frame, landmarks)| (picture(frame), landmarks)).collect();
        let mut seen = worker.hands(&shown, self.hands == Hands::Auto)?.into_iter();
        let each = start.elapsed() / shown.len() as u32;
        their_turn().for_each(|(frame, _)| timings.record(Stage::Landmarks, frame.index, each));
        let of = |(frame, _): &(&Frame, &Landmarks)| self.is_turn_of_hands(frame).then(|| seen.next()).flatten();
        Ok(people.iter().map(of).map(Option::unwrap_or_default).collect())
    }

    /// Asks the network of the user's own, if it looks at frames between keyframes, about those who were `found` (as many as `queries`).
    fn ask_own_between(
        &self,
        worker: &mut Worker,
        queries: &[(&Frame, Query)],
        found: &[Option<Observation>],
        timings: &Timings,
    ) -> Result<Vec<Option<Said>>, PoseError> {
        if !self.own.looks_between() {
            return Ok(found.iter().map(|_| None).collect());
        }
        let people: Vec<_> = queries
            .iter()
            .zip(found)
            .filter_map(|((frame, _), found)| Some((*frame, &found.as_ref()?.landmarks)))
            .collect();
        let mut said = self.ask_own(worker, &people, timings)?.into_iter();
        Ok(found.iter().map(|found| found.as_ref().and_then(|_| said.next())).collect())
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
    replies: Option<Sender<Result<Reply, PoseError>>>,
}

impl<'a> Asker<'a> {
    /// For a job whose pictures are looked at in this way; replies go to `replies`.
    pub fn new(
        pool: &'a DetectionPool,
        timings: &'a Arc<Timings>,
        view: View,
        replies: Sender<Result<Reply, PoseError>>,
    ) -> Self {
        Self { pool, timings, view, replies: Some(replies) }
    }

    /// How many regions a worker is best asked about at once, on a keyframe.
    fn batch(&self) -> usize {
        self.pool.batch()
    }

    /// How many on the frames between keyframes, which may be shown to a network of the user's own as well.
    pub fn batch_between(&self) -> usize {
        self.pool.batch().max(self.view.own.batch_between())
    }

    /// How the frames are looked at.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Asks about one frame and waits for the answers, which are in the order of the queries.
    pub fn ask(&self, frame: &Arc<Frame>, queries: &[Query]) -> Result<Vec<Answer>, JobError> {
        let alike = queries.chunk_by(Query::is_batched_with).flat_map(|alike| alike.chunks(self.batch()));
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
        self.pool.submit(Lane::Ordinary, self.timings, move |worker| {
            // A job that failed no longer listens.
            match view.fulfil(worker, request, &timings) {
                Ok(all) => all.into_iter().for_each(|reply| drop(replies.send(Ok(reply)))),
                Err(error) => drop(replies.send(Err(error))),
            }
        })?;
        Ok(())
    }

    /// There will be no more requests.
    pub fn close(&mut self) {
        self.replies = None;
    }
}
