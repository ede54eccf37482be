//! What all jobs share: the detection workers, the render thread and the body; and the course of one job.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::checkpoint::Checkpoint;
use super::draw::{draw, mux};
use super::exports::{export, name_of};
use super::fit::{fit, joined, pieces};
use super::fitted_people::FittedPeople;
use super::link::link_people;
use super::motion::{Counts, header, write_motion};
use super::observe::{Observed, observe};
use super::outputs::PartialOutputs;
use super::pool::DetectionPool;
use super::{Job, JobError, check_limits, join, spawn};
use crate::body::{Body, BodyError, Camera, FitOptions};
use crate::checksum;
use crate::config::{Config, Limits};
use crate::export::{Clock, Format};
use crate::job::{Event, JobContext, JobSpec, Model, Report, Stamp, stages, whole};
use crate::media::{self, Decoder, LeftOut, MediaError, Muxer, Verified, VideoInfo, Written};
use crate::models::{Models, Network};
use crate::pose::{Device, PoseError, Runtime, Worker};
use crate::render::{Description, Mesh, MeshData, MeshError, RenderError, RenderThread};
use crate::telemetry::Live;
use crate::thread;

/// Networks, body and threads that all jobs of this process share; works on one job for each caller.
pub struct Pipeline {
    pool: DetectionPool,
    render: RenderThread,
    body: Body,
    mesh: Mesh,
    limits: Limits,
    inference: String,
    /// SHA-256 of each network and of the body, by the file's name.
    models: BTreeMap<String, String>,
    /// ONNX Runtime's version.
    runtime: String,
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
    #[error(transparent)]
    Threads(#[from] std::io::Error),
}

impl Pipeline {
    /// Loads the models and starts the shared threads.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        let models = Models::find(&config.models.folder);
        // What draws takes as long to load as the networks do.
        let (body_path, files) = (models.body(), models.all());
        let drawing = thread::spawn("start", move || -> Result<_, StartError> {
            let render = RenderThread::start()?;
            let body = Body::load(&body_path)?;
            let mesh = Mesh::new(MeshData::from(&body))?;
            Ok((render, body, mesh, sums(&files)))
        })?;
        let runtime = Runtime::load(&runtime_library(config, &models), config.device)?;
        let mut workers = Vec::new();
        for index in 0..config.worker_count() {
            let mut worker = Worker::new(runtime.clone(), models.clone());
            if index == 0 {
                // A missing or broken network is told before any video is touched.
                worker.open(every_frame(config.job_settings().model))?;
            }
            workers.push(worker);
        }
        let (render, body, mesh, sums) = drawing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let live = Arc::new(Live::new(workers.len()));
        let pool = DetectionPool::start(workers, &live)?;
        Ok(Self {
            pool,
            render,
            body,
            mesh,
            limits: config.limits,
            inference: format!("{:?}", runtime.device()).to_lowercase(),
            models: sums,
            runtime: runtime.version().to_owned(),
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
    ///
    /// # Errors
    /// Why there are no results.
    pub fn process(&self, spec: &JobSpec, context: &JobContext<'_>) -> Result<Report, JobError> {
        let job = &Job { spec, context };
        let started = Instant::now();
        let before = stamp(job.source())?;
        refuse_over_source(spec)?;
        // Of files that each person has the names are not known yet.
        let endings = || spec.settings.formats.iter().flat_map(Format::endings).copied();
        let outputs = &spec.outputs;
        if let Some(path) = outputs
            .in_the_way(job.source(), spec.overwrite)
            .or_else(|| outputs.exports_in_the_way(job.source(), spec.overwrite, endings()))
        {
            return Err(JobError::Taken { path });
        }
        let decoder = Decoder::open(job.source(), 0)?;
        let info = decoder.info().clone();
        check_limits(&self.limits, &info)?;
        let output_error = |source| JobError::Output { path: spec.outputs.video(), source };
        let partial =
            PartialOutputs::create(spec.outputs.clone(), job.source(), spec.overwrite).map_err(output_error)?;
        // What cannot be compressed or put together as the settings say is told before the long work.
        drop(Muxer::create(partial.video(), &info, &job.settings().encode.settings(), &[], &[], &LeftOut::new())?);
        let path = context.checkpoint.unwrap_or(partial.checkpoint());
        let identity = self.identity(job, before)?;
        let mut checkpoint = Checkpoint::open(path, &identity)?;
        let result = self.carry_out(job, decoder, &info, &partial, &mut checkpoint);
        if let Err(JobError::Checkpoint(error)) = &result
            && Checkpoint::is_beyond_use(error)
        {
            // The next try finds nothing to go on from.
            checkpoint.forget()?;
        }
        let Outcome { written, verified, counts, people, mut lost } = result?;
        if stamp(job.source())? != before {
            return Err(JobError::Changed);
        }
        let mut warnings = info.warnings.clone();
        if people == 0 {
            warnings.push("nobody was found in this video; it comes out without a mesh".into());
        }
        let Counts { bodies, uncertain_frames } = counts;
        warnings.extend(written.warnings);
        warnings.extend(verified.lost);
        if uncertain_frames > 0 {
            warnings.push(format!("people may have been mixed up in {uncertain_frames} frames (marked uncertain)"));
        }
        let (exports, not_exported) = export(job, &partial)?;
        warnings.extend(not_exported);
        lost.dedup();
        lost.iter().chain(&warnings).cloned().for_each(|text| job.tell(Event::Warning(text)));

        let seconds = started.elapsed().as_secs_f64();
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        let report = Report {
            meshreel: 1,
            source: whole(job.source()),
            output: whole(&spec.outputs.video()),
            exports: exports.iter().map(|made| name_of(spec, made)).collect(),
            frames: written.frames,
            people,
            bodies,
            uncertain_frames,
            seconds: round(seconds),
            fps: round(written.frames as f64 / seconds),
            model: format!("{:?}", job.settings().model).to_lowercase(),
            inference: self.inference.clone(),
            renderer: self.render.description().renderer.clone(),
            lost,
            warnings,
            stages: stages(&context.timings),
        };
        let text = serde_json::to_string_pretty(&report).map_err(|e| JobError::Internal(e.to_string()))?;
        partial.publish(&(text + "\n"), exports)?;
        Ok(report)
    }

    /// From the open video to a file that was verified, by way of the checkpoint.
    fn carry_out(
        &self,
        job: &Job<'_>,
        decoder: Decoder,
        info: &VideoInfo,
        partial: &PartialOutputs,
        checkpoint: &mut Checkpoint,
    ) -> Result<Outcome, JobError> {
        let timings = &job.context.timings;
        let Observed { times, corrupt, sightings, lost, jumps } =
            observe(job, decoder, &self.limits, &self.pool, timings, checkpoint)?;
        let camera = Camera::guess(info.geometry.display);
        let options = FitOptions { stature: job.settings().stature, ..FitOptions::default() };
        let fitted = match checkpoint.fitted()? {
            Some(pieces) => {
                // As large as all of the fitted people.
                drop(sightings);
                joined(pieces)
            }
            None => {
                let tracks = link_people(job, info, sightings, &corrupt)?;
                let fitted = fit(job, &self.body, &camera, &times, tracks, options)?;
                checkpoint.add_fitted(pieces(&fitted))?;
                fitted
            }
        };
        let people = FittedPeople::new(&self.body, &self.mesh, camera, &fitted, corrupt);
        let frames = times.len() as u64;
        if frames == 0 {
            // A frame was decoded when the file was opened, so the checkpoint lacks some.
            checkpoint.forget()?;
            return Err(JobError::Changed);
        }
        let source = job.source().to_string_lossy();
        let mut header = header(&source, info, &people, &times).map_err(|e| JobError::Internal(e.to_string()))?;
        let counts = std::thread::scope(|scope| {
            let motion = spawn(scope, "motion", || write_motion(job, &header, &people, &times, partial.motion()))?;
            let renderer = self.render.renderer();
            let drawn = draw(job, &people, frames, &renderer, timings, checkpoint, partial.video());
            let counts = join(motion);
            drawn.and(counts)
        })?;
        if checkpoint.drawn()? != frames {
            // The passes saw different videos, and who knows which was right.
            checkpoint.forget()?;
            return Err(JobError::Changed);
        }
        let written = mux(job, info, checkpoint, &jumps, partial.video())?;
        let verified = media::verify(partial.video(), info, &job.settings().encode.settings(), &written)?;
        // Some containers move the whole clock, since their time cannot be negative.
        header.clock = Clock::new(verified.start, info.source_start);
        let unwritable = |source| JobError::Output { path: job.spec.outputs.motion(), source };
        header.rewrite(partial.motion()).map_err(unwritable)?;
        Ok(Outcome { written, verified, counts, people: fitted.len(), lost })
    }

    /// Everything that the results depend on. A checkpoint with another identity is not used.
    fn identity(&self, job: &Job<'_>, source: Stamp) -> Result<String, JobError> {
        let identity = serde_json::json!({
            "meshreel": env!("CARGO_PKG_VERSION"),
            "source": job.source().as_os_str().as_encoded_bytes(),
            "stamp": source,
            "settings": job.settings(),
            "models": self.models,
            "runtime": self.runtime,
            "device": self.inference,
            "ffmpeg": media::version(),
        });
        serde_json::to_string(&identity).map_err(|e| JobError::Internal(e.to_string()))
    }
}

/// What became of a job but for its report.
struct Outcome {
    written: Written,
    verified: Verified,
    counts: Counts,
    /// People with a mesh, over the whole clip.
    people: usize,
    /// What could not be decoded, in sentences.
    lost: Vec<String>,
}

/// SHA-256 of those of the files that are there, by their names.
fn sums(files: &[PathBuf]) -> BTreeMap<String, String> {
    let sum = |path: &PathBuf| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some((name, checksum::hex(&checksum::of_file(path).ok()?)))
    };
    files.iter().filter_map(sum).collect()
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

/// Size and time: enough to notice a file that is still being written.
fn stamp(source: &Path) -> Result<Stamp, JobError> {
    let failed = |error| MediaError::Read { path: source.to_owned(), source: error };
    Ok(std::fs::metadata(source).map(|metadata| Stamp::of(&metadata)).map_err(failed)?)
}

/// Results may replace earlier results, never the source (or another source that happens to have the name).
fn refuse_over_source(spec: &JobSpec) -> Result<(), JobError> {
    let same = |path: &Path| match (path.canonicalize(), spec.source.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    };
    match spec.outputs.all().iter().any(|path| same(path)) {
        true => Err(JobError::OverSource),
        false => Ok(()),
    }
}
