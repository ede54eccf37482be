//! What all jobs share: the detection workers, the render thread and the body; and the course of one job.

use crate::models::Network;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::draw::{draw, mux};
use super::fitted_people::FittedPeople;
use super::journal::Journal;
use super::link::link_people;
use super::motion::{Counts, header, write_motion};
use super::observe::{Observed, observe};
use super::outputs::{PartialOutputs, whole};
use super::pool::DetectionPool;
use super::solve::solve;
use super::{Event, Job, JobError, check_limits, join, spawn};
use crate::body::{Body, BodyError, Camera, FitOptions};
use crate::config::{Config, Limits, Model};
use crate::export::{Report, stages};
use crate::media::{self, Decoder, LeftOut, MediaError, Muxer};
use crate::models::Models;
use crate::pose::{Device, PoseError, Runtime, Worker};
use crate::render::{Description, Mesh, MeshData, MeshError, RenderError, RenderThread};
use crate::telemetry::Live;

/// Everything jobs share.
pub struct Engine {
    pool: DetectionPool,
    render: RenderThread,
    body: Body,
    mesh: Mesh,
    limits: Limits,
    inference: String,
    live: Arc<Live>,
}

/// Why no job can run at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The networks cannot be run.
    #[error(transparent)]
    Pose(#[from] PoseError),
    /// There is no body to draw.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The body's surface makes no sense.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// Nothing can be drawn.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The system gives no threads.
    #[error("cannot start the detection workers: {0}")]
    Threads(#[from] std::io::Error),
}

impl Engine {
    /// Loads the models and starts the shared threads.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        let models = Models::find(&config.models.folder);
        // What draws takes as long to load as the networks do.
        let body_path = models.body();
        let drawing = std::thread::Builder::new().name("start".into()).spawn(move || -> Result<_, StartError> {
            let render = RenderThread::start()?;
            let body = Body::load(&body_path)?;
            let mesh = Mesh::new(MeshData::from(&body))?;
            Ok((render, body, mesh))
        })?;
        let runtime = Runtime::load(&runtime_library(config, &models), config.device)?;
        let mut workers = Vec::new();
        for index in 0..config.worker_count() {
            let mut worker = Worker::new(runtime.clone(), models.clone());
            if index == 0 {
                // A missing or broken network is told before any video is touched.
                worker.open(every_frame(config.model))?;
            }
            workers.push(worker);
        }
        let (render, body, mesh) = drawing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let live = Arc::new(Live::new(workers.len()));
        let pool = DetectionPool::start(workers, &live)?;
        Ok(Self {
            pool,
            render,
            body,
            mesh,
            limits: config.limits,
            inference: format!("{:?}", runtime.device()).to_lowercase(),
            live,
        })
    }

    /// What its threads did in the last seconds.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Where the networks run.
    pub fn inference(&self) -> &str {
        &self.inference
    }

    /// What draws.
    pub fn renderer(&self) -> &Description {
        self.render.description()
    }

    /// Processes one video.
    pub fn process(&self, job: &Job) -> Result<Report, JobError> {
        let started = Instant::now();
        let timings = &job.timings;
        let warn = |text: String| (job.events)(Event::Warning(text));
        let before = identify(job.source)?;
        refuse_over_source(job)?;
        if let Some(path) = job.outputs.in_the_way(job.source, job.overwrite) {
            return Err(JobError::Taken { path: path.to_owned() });
        }

        let decoder = Decoder::open(job.source, 0)?;
        let info = decoder.info().clone();
        check_limits(&self.limits, &info)?;
        let output_error = |source| JobError::Output { path: job.outputs.video.clone(), source };
        let partial = PartialOutputs::create(job.outputs.clone(), job.source, job.overwrite).map_err(output_error)?;
        // What cannot be compressed or put together as the settings say is told before the long work.
        drop(Muxer::create(partial.video(), &info, &job.settings.encode.settings(), &[], &[], &LeftOut::new())?);
        let mut journal = Journal::open(job.journal.unwrap_or(partial.journal()), &describe(job, &before)?)?;

        let Observed { times, corrupt, sightings, mut lost, jumps } =
            observe(job, decoder, &self.limits, &self.pool, timings, &journal)?;
        let tracks = link_people(job, &info, sightings, &corrupt)?;
        let mut warnings = info.warnings.clone();
        let camera = Camera::guess(info.geometry.display);
        let options = FitOptions { stature: job.settings.stature, ..FitOptions::default() };
        let fitted = solve(job, &self.body, &camera, &times, tracks, options)?;
        if fitted.is_empty() {
            warnings.push("nobody was found in this video; it comes out without a mesh".into());
        }
        let people = FittedPeople::new(&self.body, &self.mesh, camera, &fitted, corrupt);
        let frames = times.len() as u64;
        let source = job.source.to_string_lossy();
        let mut header = header(&source, &info, &self.body, &people, &times);
        let counts = std::thread::scope(|scope| {
            let motion = spawn(scope, "motion", || write_motion(job, &header, &people, &times, partial.motion()))?;
            let renderer = self.render.renderer();
            let drawn = draw(job, &people, frames, &renderer, timings, &mut journal, partial.video());
            let counts = join(motion);
            drawn.and(counts)
        })?;
        if journal.drawn()? != frames {
            // The passes saw different videos, and who knows which was right.
            journal.forget()?;
            return Err(JobError::Changed);
        }
        let written = mux(job, &info, &journal, &jumps, partial.video())?;
        let verified = media::verify(partial.video(), &info, &job.settings.encode.settings(), &written)?;
        // Some containers move the whole clock, since their time cannot be negative.
        header.video_start = verified.start;
        header
            .rewrite(partial.motion())
            .map_err(|source| JobError::Output { path: job.outputs.motion.clone(), source })?;
        if identify(job.source)? != before {
            return Err(JobError::Changed);
        }
        let Counts { bodies, uncertain_frames } = counts;
        warnings.extend(written.warnings);
        warnings.extend(verified.lost);
        if uncertain_frames > 0 {
            warnings.push(format!("people may have been mixed up in {uncertain_frames} frames (marked uncertain)"));
        }
        lost.dedup();
        lost.iter().chain(&warnings).cloned().for_each(warn);

        let seconds = started.elapsed().as_secs_f64();
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        let report = Report {
            meshreel: 1,
            source: whole(job.source),
            output: whole(&job.outputs.video),
            frames: written.frames,
            people: fitted.len(),
            bodies,
            uncertain_frames,
            seconds: round(seconds),
            fps: round(written.frames as f64 / seconds),
            model: format!("{:?}", job.settings.model).to_lowercase(),
            inference: self.inference.clone(),
            renderer: self.render.description().renderer.clone(),
            lost,
            warnings,
            stages: stages(timings),
        };
        let text = serde_json::to_string_pretty(&report).map_err(|e| JobError::Internal(e.to_string()))?;
        partial.publish(&(text + "\n"))?;
        Ok(report)
    }
}

/// The inference library that the configuration asks for.
pub fn runtime_library(config: &Config, models: &Models) -> PathBuf {
    if !config.onnxruntime.library.as_os_str().is_empty() {
        return config.onnxruntime.library.clone();
    }
    let for_gpu = if config.device == Device::Cpu { None } else { models.gpu_runtime() };
    for_gpu.unwrap_or_else(|| models.runtime())
}

/// The network that looks at every frame.
pub fn every_frame(model: Model) -> Network {
    match model {
        Model::Lite => Network::Lite,
        Model::Full | Model::Auto => Network::Full,
        Model::Heavy => Network::Heavy,
    }
}

/// What the results follow from: where all of it is the same, so are they.
fn describe(job: &Job, source: &impl std::fmt::Debug) -> Result<String, JobError> {
    let settings = serde_json::to_string(&job.settings).map_err(|e| JobError::Internal(e.to_string()))?;
    Ok(format!("{} {:?} {source:?} {settings}", env!("CARGO_PKG_VERSION"), job.source))
}

/// Size and time: enough to notice a file that is still being written.
fn identify(source: &Path) -> Result<(u64, Option<std::time::SystemTime>), JobError> {
    let metadata = |m: Metadata| (m.len(), m.modified().ok());
    let failed = |error| MediaError::Read { path: source.to_owned(), source: error };
    Ok(std::fs::metadata(source).map(metadata).map_err(failed)?)
}

/// Results may replace earlier results, never the source (or another source that happens to have the name).
fn refuse_over_source(job: &Job) -> Result<(), JobError> {
    let same = |path: &Path| match (path.canonicalize(), job.source.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    };
    let outputs = &job.outputs;
    match [&outputs.video, &outputs.motion, &outputs.report].into_iter().any(|path| same(path)) {
        true => Err(JobError::OverSource),
        false => Ok(()),
    }
}
