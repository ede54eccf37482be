//! What all jobs share: the detection workers, the render thread and the bodies; and the course of one job.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::bodies::LoadedBody;
use super::checkpoint::Checkpoint;
use super::course::{Course, MadeBy, Outcome, stamp};
use super::draw::{Clip, draw};
use super::fit::{fit, joined, pieces};
use super::fitted_people::FittedPeople;
use super::link::link_people;
use super::motion::{header, write_motion};
use super::observe::{Observed, observe};
use super::own_networks::Descriptions;
use super::picture::Composition;
use super::pool::DetectionPool;
use super::room::Room;
use super::studio::{StartError, Studio, sums};
use super::{Job, JobError, check_limits, join, spawn};
use crate::body::{Camera, FitOptions, FittedTrack};
use crate::config::{Config, Limits};
use crate::export::{Clock, Header};
use crate::job::{JobContext, JobSpec, Model, Phase, Report, Share, Stamp};
use crate::media::{self, ClockJump, Decoder, Stretches, VideoInfo};
use crate::models::{Models, Network, Purpose};
use crate::pose::{Device, Runtime, Worker};
use crate::render::Description;
use crate::telemetry::Live;
use crate::thread;

/// How often somebody who helps looks whether there is more to do.
const LOOK: Duration = Duration::from_millis(500);

/// Networks, bodies and threads that all jobs of this process share; works on one job for each caller.
pub struct Pipeline {
    pool: DetectionPool,
    studio: Studio,
    room: Room,
    limits: Limits,
    inference: String,
    /// SHA-256 of each network, by the file's name.
    models: BTreeMap<String, String>,
    models_folder: Models,
    runtime: Runtime,
    live: Arc<Live>,
}

impl Pipeline {
    /// Loads the models and starts the shared threads.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        let models = Models::find(&config.models.folder);
        // What draws takes as long to load as the networks do.
        let own = Descriptions::load(&models, &config.job_settings())?;
        let live = Arc::new(Live::new(config.worker_count()));
        let (for_drawing, body, to_show) = (models.clone(), own.body(&config.job_settings())?, live.clone());
        let drawing = thread::spawn("start", move || -> Result<_, StartError> {
            Ok((Studio::open(&for_drawing, body, &to_show)?, sums(&for_drawing.networks())))
        })?;
        let runtime = Runtime::load(&runtime_library(config, &models), config.device)?;
        let mut workers = Vec::new();
        for index in 0..config.worker_count() {
            let mut worker = Worker::new(runtime.clone(), models.clone());
            if index == 0 {
                // A missing or broken network is told before any video is touched.
                worker.open(every_frame(config.job_settings().model))?;
                for own in own.of_people.iter().chain(&own.detector) {
                    worker.open_own(own)?;
                }
            }
            workers.push(worker);
        }
        let (studio, sums) = drawing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let pool = DetectionPool::start(workers, &live)?;
        Ok(Self {
            pool,
            studio,
            room: Room::new(config.jobs.stretches),
            limits: config.limits,
            inference: format!("{:?}", runtime.device()).to_lowercase(),
            models: sums,
            models_folder: models,
            runtime,
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
        self.studio.renderer()
    }

    /// Processes one video.
    ///
    /// # Errors
    /// Why there are no results.
    pub fn process(&self, spec: &JobSpec, context: &JobContext<'_>) -> Result<Report, JobError> {
        let job = &Job { spec, context };
        let (course, decoder) = Course::begin(job, &self.limits)?;
        let own = Descriptions::load(&self.models_folder, job.settings())?;
        let body = self.studio.bodies.get(own.body(job.settings())?)?;
        let identity = self.identity(job, course.stamp, &body.sum, &own)?;
        let outcome = course
            .with_checkpoint(&identity, |checkpoint| self.carry_out(job, decoder, &course, &own, &body, checkpoint))?;
        let made_by = MadeBy {
            model: job.settings().model.to_string(),
            networks: own.used(),
            inference: self.inference.clone(),
            renderer: self.studio.renderer().renderer.clone(),
            body: body.body.name.clone(),
            body_licence: body.body.licence.clone(),
        };
        course.finish(outcome, made_by)
    }

    /// From the open video to a file that was verified, by way of the checkpoint.
    fn carry_out(
        &self,
        job: &Job<'_>,
        decoder: Decoder,
        course: &Course<'_>,
        own: &Descriptions,
        body: &LoadedBody,
        checkpoint: &Checkpoint,
    ) -> Result<Outcome, JobError> {
        let timings = &job.context.timings;
        let (info, partial) = (&course.info, &course.partial);
        let room = self.room.take(info);
        let solved = self.solve(job, decoder, own, body, checkpoint, room.at_once())?;
        if solved.times.is_empty() {
            // A frame was decoded when the file was opened, so the checkpoint lacks some.
            checkpoint.forget()?;
            return Err(JobError::Changed);
        }
        let (people, mut header) = solved.people(job, info, body)?;
        let clip = solved.clip(&people, &header, &course.composition, room.at_once());
        let renderer = self.studio.render.renderer();
        let counts = std::thread::scope(|scope| {
            let write = || write_motion(job, &header, &people, &solved.times, partial.motion());
            let motion = spawn(scope, "motion", write)?;
            let drawn = draw(job, &clip, &renderer, timings, checkpoint, partial.video());
            let counts = join(motion);
            drawn.and(counts)
        })?;
        if checkpoint.drawn()? != clip.frames {
            // The passes saw different videos, and who knows which was right.
            checkpoint.forget()?;
            return Err(JobError::Changed);
        }
        let assembled = course.assemble(checkpoint, &solved.jumps)?;
        let views = course.draw_views(&clip, &renderer, &solved.jumps)?;
        drop(room);
        // Some containers move the whole clock, since their time cannot be negative.
        header.clock = Clock::new(assembled.verified.start, info.source_start);
        let unwritable = |source| JobError::Output { path: job.spec.outputs.motion(), source };
        header.rewrite(partial.motion()).map_err(unwritable)?;
        let Solved { fitted, lost, warnings, .. } = solved;
        Ok(Outcome { assembled, counts, people: fitted.len(), lost, warnings, views })
    }

    /// Helps with a job that another process works on: observes and draws stretches of its clip that nobody else has come to, until all are
    /// done. The job's checkpoint says what there is to do, and keeps what was done. Gives whether there was anything to help with.
    ///
    /// # Errors
    /// Why it cannot go on. Whoever makes the results does without it.
    pub fn help(&self, spec: &JobSpec, context: &JobContext<'_>) -> Result<bool, JobError> {
        let job = &Job { spec, context };
        let stamp = stamp(job.source())?;
        let decoder = Decoder::open_also_pictures(job.source(), 0, job.settings().pictures)?;
        let info = decoder.info().clone();
        check_limits(&self.limits, &info)?;
        let own = Descriptions::load(&self.models_folder, job.settings())?;
        let body = self.studio.bodies.get(own.body(job.settings())?)?;
        let identity = self.identity(job, stamp, &body.sum, &own)?;
        let Some(folder) = context.checkpoint else { return Ok(false) };
        let Some(checkpoint) = Checkpoint::join(folder, &identity)? else { return Ok(false) };
        let room = self.room.take(&info);
        let solved = self.solve(job, decoder, &own, &body, &checkpoint, room.at_once())?;
        if !solved.is_sound || solved.times.is_empty() {
            return Ok(true);
        }
        let (people, header) = solved.people(job, &info, &body)?;
        let composition = Composition::new(job.settings(), &info);
        let clip = solved.clip(&people, &header, &composition, room.at_once());
        let renderer = self.studio.render.renderer();
        draw(job, &clip, &renderer, &context.timings, &checkpoint, &spec.outputs.video())?;
        Ok(true)
    }

    /// From the open video to the bodies of its people, as far as they are not in the checkpoint.
    fn solve(
        &self,
        job: &Job<'_>,
        decoder: Decoder,
        own: &Descriptions,
        body: &LoadedBody,
        checkpoint: &Checkpoint,
        at_once: usize,
    ) -> Result<Solved, JobError> {
        let info = decoder.info().clone();
        let camera = Camera::guess(info.geometry.display);
        let networks = own.ready(&self.studio.bodies, camera)?;
        let Observed { times, corrupt, sightings, is_sound, lost, jumps, stretches } =
            observe(job, decoder, &self.limits, &self.pool, networks.clone(), checkpoint, at_once)?;
        let is_helper = matches!(job.context.share, Share::Helper { .. });
        let warnings = networks.of_people.iter().flat_map(|own| own.warnings()).collect();
        let usual = FitOptions { stature: job.settings().stature, ..FitOptions::default() };
        let options = match own.of_people.as_ref().filter(|own| own.purpose() == Purpose::Body) {
            Some(own) => FitOptions { smoothing: own.smoothing, refine: own.refine, ..usual },
            None => usual,
        };
        // The first one fits bodies, while helpers wait. What a damaged file gives depends on all before it: there they do not help.
        if is_helper && is_sound {
            while !checkpoint.is_fitted()? {
                job.context.proceed()?;
                std::thread::sleep(LOOK);
            }
        }
        let fitted = match checkpoint.fitted()? {
            _ if is_helper && !is_sound => Vec::new(),
            Some(pieces) => {
                // As large as all of the fitted people.
                drop(sightings);
                joined(pieces)
            }
            None => {
                let tracks = link_people(job, &info, sightings, &corrupt)?;
                let fitted = fit(job, &body.body, &camera, &times, tracks, options)?;
                checkpoint.add_fitted(pieces(&fitted))?;
                fitted
            }
        };
        Ok(Solved { times, corrupt, is_sound, lost, jumps, stretches, warnings, camera, fitted })
    }

    /// Everything that the results depend on. A checkpoint with another identity is not used.
    fn identity(&self, job: &Job<'_>, source: Stamp, body: &str, own: &Descriptions) -> Result<String, JobError> {
        let identity = serde_json::json!({
            "meshreel": env!("CARGO_PKG_VERSION"),
            "source": job.source().as_os_str().as_encoded_bytes(),
            "stamp": source,
            "settings": job.settings(),
            "models": self.models,
            "own": own.identity()?,
            "body": body,
            "runtime": self.runtime.version(),
            "device": self.inference,
            "ffmpeg": media::version(),
        });
        serde_json::to_string(&identity).map_err(|e| JobError::Internal(e.to_string()))
    }
}

/// A clip of which everything is known but its pictures.
struct Solved {
    /// Seconds of its frames.
    times: Vec<f64>,
    /// Frames that are corrupt.
    corrupt: BTreeSet<u64>,
    /// Whether all of it is whole and in order.
    is_sound: bool,
    /// What could not be decoded.
    lost: Vec<String>,
    /// Where the clock of the file jumped.
    jumps: Vec<ClockJump>,
    /// Where decoders may begin.
    stretches: Stretches,
    /// What the user should know of the networks of their own.
    warnings: Vec<String>,
    camera: Camera,
    fitted: Vec<FittedTrack>,
}

impl Solved {
    /// Its people as they are drawn, and the first line of the motion file.
    fn people<'s>(
        &'s self,
        job: &Job<'_>,
        info: &VideoInfo,
        body: &'s LoadedBody,
    ) -> Result<(FittedPeople<'s>, Header), JobError> {
        let people = FittedPeople::new(&body.body, &body.mesh, self.camera, &self.fitted, self.corrupt.clone());
        let source = job.source().to_string_lossy();
        let header = header(&source, info, &people, &self.times).map_err(|e| JobError::Internal(e.to_string()))?;
        let people = match job.settings().views.is_empty() {
            true => people,
            false => people.on_the_floor(&header.world, &self.times),
        };
        Ok((people, header))
    }

    /// What is drawn.
    fn clip<'s>(
        &'s self,
        people: &'s FittedPeople<'s>,
        header: &Header,
        composition: &'s Composition<'s>,
        at_once: usize,
    ) -> Clip<'s> {
        Clip {
            people,
            world: header.world,
            composition,
            frames: self.times.len() as u64,
            known: self.is_sound.then_some((&self.times, &self.stretches)),
            at_once,
            phase: Phase::Draw,
        }
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
        Model::Full | Model::Auto | Model::Own(_) => Network::Full,
        Model::Heavy => Network::Heavy,
    }
}
