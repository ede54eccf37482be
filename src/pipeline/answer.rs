//! What a job asks the detection workers about its frames, and what they reply.
//!
//! A keyframe is asked about in the urgent lane, and its asker waits ([`Asker::ask`]). Everything else is a [`Request`]: a worker takes it
//! when it has time, and its [`Reply`] comes back through a channel. Frames are put in their place by their number, so which worker
//! answered when leaves no trace in the results.

use std::sync::Arc;
use std::time::Instant;

use flume::Sender;

use super::JobError;
use super::pool::{DetectionPool, Lane};
use crate::geometry::Geometry;
use crate::media::{Color, Frame};
use crate::models::Network;
use crate::pose::{Answer, Observation, Picture, PoseError, Query, Worker};
use crate::telemetry::{Stage, Timings};
use crate::track::{Keyframe, PredictedRegion};

/// What nobody waits for.
pub enum Request {
    /// To observe, in some frames between keyframes, those who are predicted there.
    Between(Vec<(Arc<Frame>, Vec<PredictedRegion>)>),
    /// To ask the heavy network about some people, by their tracklets, on a keyframe.
    Heavy(Arc<Frame>, Vec<(u32, Query)>),
}

/// The answers about one frame.
pub enum Reply {
    /// What was found where tracklets were predicted.
    Between {
        /// Index of the frame.
        frame: u64,
        /// In the order of the request.
        found: Vec<(PredictedRegion, Option<Observation>)>,
    },
    /// What the heavy network says.
    Heavy {
        /// Index of the frame.
        frame: u64,
        /// By tracklet, in the order of the request.
        found: Vec<(u32, Option<Observation>)>,
    },
}

impl Reply {
    /// Index of the frame.
    pub fn frame(&self) -> u64 {
        match self {
            Self::Between { frame, .. } | Self::Heavy { frame, .. } => *frame,
        }
    }
}

impl Request {
    /// For a keyframe, about all who need the heavy network; `None` if nobody does.
    pub fn heavy(frame: &Arc<Frame>, keyframe: &Keyframe) -> Option<Self> {
        let needing = keyframe.people.iter().filter(|person| person.needs_heavy);
        let people: Vec<(u32, Query)> = needing.map(|person| (person.tracklet, person.heavy_query())).collect();
        (!people.is_empty()).then(|| Self::Heavy(frame.clone(), people))
    }

    /// The frames that there will be replies for.
    pub fn frames(&self) -> Vec<u64> {
        match self {
            Self::Between(frames) => frames.iter().map(|(frame, _)| frame.index).collect(),
            Self::Heavy(frame, _) => vec![frame.index],
        }
    }
}

/// How the frames of a job are looked at.
#[derive(Clone, Copy)]
struct View {
    geometry: Geometry,
    color: Color,
    /// The landmark network for frames between keyframes.
    network: Network,
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
        let pictures: Vec<_> = queries.iter().map(|&(frame, query)| (picture(frame), query)).collect();
        let answers = worker.answer(&pictures);
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
                let mut found = observations(self.answer(worker, &queries, timings)?);
                let reply = |(frame, regions): (Arc<Frame>, Vec<PredictedRegion>)| {
                    let found = regions.into_iter().zip(&mut found).collect();
                    Reply::Between { frame: frame.index, found }
                };
                Ok(frames.into_iter().map(reply).collect())
            }
            Request::Heavy(frame, people) => {
                let queries: Vec<(&Frame, Query)> = people.iter().map(|(_, query)| (&*frame, *query)).collect();
                let found = observations(self.answer(worker, &queries, timings)?);
                let found = people.into_iter().map(|(tracklet, _)| tracklet).zip(found).collect();
                Ok(vec![Reply::Heavy { frame: frame.index, found }])
            }
        }
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
    /// For a job whose pictures have this geometry and colour; `network` looks at frames between keyframes, and replies go to `replies`.
    pub fn new(
        pool: &'a DetectionPool,
        timings: &'a Arc<Timings>,
        geometry: Geometry,
        color: Color,
        network: Network,
        replies: Sender<Result<Reply, PoseError>>,
    ) -> Self {
        Self { pool, timings, view: View { geometry, color, network }, replies: Some(replies) }
    }

    /// How many regions a worker is best asked about at once.
    pub fn batch(&self) -> usize {
        self.pool.batch()
    }

    /// Asks about one frame and waits for the answers, which are in the order of the queries.
    pub fn ask(&self, frame: &Arc<Frame>, queries: &[Query]) -> Result<Vec<Answer>, JobError> {
        let alike = queries.chunk_by(Query::is_batched_with).flat_map(|alike| alike.chunks(self.batch()));
        let batches = alike.map(|batch| {
            let (frame, timings, view) = (frame.clone(), self.timings.clone(), self.view);
            let queries = batch.to_vec();
            move |worker: &mut Worker| {
                let queries: Vec<_> = queries.iter().map(|query| (&*frame, *query)).collect();
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
        let (timings, view) = (self.timings.clone(), self.view);
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
