//! What draws, without what finds people: all that it takes to draw a motion file again.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bodies::Bodies;
use super::course::{Course, MadeBy, Outcome};
use super::draw::{Clip, Seen, draw};
use super::fitted_people::FittedPeople;
use super::recorded::{Recorded, RecordedError};
use super::{Job, JobError};
use crate::body::BodyError;
use crate::checksum;
use crate::config::{Config, Limits};
use crate::export::{Clock, ExportError, Header};
use crate::job::{JobContext, JobSpec, Phase, Report, Stamp};
use crate::media;
use crate::models::{DescriptionError, ModelName, Models};
use crate::pose::PoseError;
use crate::render::{Description, RenderError, RenderThread};
use crate::telemetry::{Buffer, Live, Queue};

/// Why no job can run at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The networks cannot be run.
    #[error(transparent)]
    Pose(#[from] PoseError),
    /// There is no body to draw.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A network of the user's own cannot be used.
    #[error(transparent)]
    Network(#[from] DescriptionError),
    /// Nothing can be drawn.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The system gives no threads.
    #[error(transparent)]
    Threads(#[from] std::io::Error),
}

/// The render thread, and the bodies that it draws.
pub struct Studio {
    pub(super) render: RenderThread,
    pub(super) bodies: Bodies,
    /// For those who watch.
    _queue: Queue,
}

impl Studio {
    /// Loads a body, so that a missing one is told of before any video is touched, and starts the render thread.
    pub(super) fn open(models: &Models, body: ModelName, live: &Live) -> Result<Self, StartError> {
        let render = RenderThread::start()?;
        let renderer = render.renderer();
        let queue = live.queue(Buffer::Render, renderer.capacity(), move || renderer.queued());
        let bodies = Bodies::new(models);
        bodies.get(body)?;
        Ok(Self { render, bodies, _queue: queue })
    }

    /// What draws.
    pub fn renderer(&self) -> &Description {
        self.render.description()
    }
}

/// Draws motion files over their videos.
pub struct Redrawing {
    studio: Studio,
    limits: Limits,
    live: Arc<Live>,
}

impl Redrawing {
    /// Starts the render thread.
    ///
    /// # Errors
    /// When nothing can be drawn.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        let models = Models::find(&config.models.folder);
        let live = Arc::new(Live::new(0));
        let studio = Studio::open(&models, ModelName::default(), &live)?;
        Ok(Self { studio, limits: config.limits, live })
    }

    /// What its threads did in the last seconds.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Draws the motion in a file over the video that it was found in.
    ///
    /// # Errors
    /// Why there are no results.
    pub fn render(&self, spec: &JobSpec, motion: &Path, context: &JobContext<'_>) -> Result<Report, JobError> {
        let job = &Job { spec, context };
        let unreadable = |source| ExportError::Read { path: motion.to_owned(), source };
        let stamped = || std::fs::metadata(motion).map(|metadata| Stamp::of(&metadata)).map_err(unreadable);
        let motion_stamp = stamped()?;
        // Of a motion file that is not of this video is told before anything is made.
        let recorded = Recorded::read(motion, &self.studio.bodies, &|| context.proceed())?;
        let video = &recorded.header.video;
        let (course, decoder) = Course::begin(job, &self.limits)?;
        drop(decoder);
        let course = course.of_motion(motion);
        let [width, height] = course.info.geometry.display;
        if [video.width, video.height] != [width, height] {
            let [w, h] = [video.width, video.height];
            let reason = format!("its pictures have {w}x{h} pixels, those of the video {width}x{height}");
            return Err(RecordedError::OfAnother { path: motion.to_owned(), reason }.into());
        }
        let identity = serde_json::json!({
            "meshreel": env!("CARGO_PKG_VERSION"),
            "source": job.source().as_os_str().as_encoded_bytes(),
            "stamp": course.stamp,
            "motion": [motion_stamp],
            "settings": job.settings(),
            "body": recorded.body.sum,
            "ffmpeg": media::version(),
        });
        let outcome = course.with_checkpoint(&identity.to_string(), |checkpoint| {
            let counts = recorded.counts();
            let render = &self.studio.render;
            let (world, frames) = (recorded.header.world, video.frames);
            let people = FittedPeople::new(
                &recorded.body.body,
                &recorded.body.mesh,
                recorded.header.camera.into(),
                &recorded.people,
                recorded.corrupt.clone(),
            )
            .without(recorded.absent.clone());
            let people = match job.settings().views.is_empty() {
                true => people,
                false => people.on_the_floor(&world, &recorded.times),
            };
            // Whether the video is whole and in order is not known before it is decoded: one stretch.
            let clip = Clip {
                people: &people,
                world,
                composition: &course.composition,
                frames,
                known: None,
                at_once: 1,
                phase: Phase::Redraw,
            };
            let (timings, path) = (&context.timings, course.partial.video());
            let Some(Seen { jumps, lost, frames: found }) =
                draw(job, &clip, &render.renderer(), timings, checkpoint, path)?
            else {
                // All was drawn before, and what was seen of the video is not written down.
                checkpoint.forget()?;
                return Err(JobError::Changed);
            };
            if found != frames {
                let reason = format!("it has {frames} frames, the video {found}");
                return Err(RecordedError::OfAnother { path: motion.to_owned(), reason }.into());
            }
            let assembled = course.assemble(checkpoint, &jumps)?;
            let views = course.draw_views(&clip, &render.renderer(), &jumps)?;
            let unwritable = |source| JobError::Output { path: spec.outputs.motion(), source };
            copy(motion, course.partial.motion(), &recorded.header, assembled.verified.start).map_err(unwritable)?;
            if stamped()? != motion_stamp {
                return Err(JobError::Changed);
            }
            Ok(Outcome { assembled, counts, people: people.len(), lost, warnings: Vec::new(), views })
        })?;
        let made_by = MadeBy {
            model: "none".into(),
            networks: Vec::new(),
            inference: "none".into(),
            renderer: self.studio.renderer().renderer.clone(),
            body: recorded.body.body.name.clone(),
            body_licence: recorded.body.body.licence.clone(),
        };
        course.finish(outcome, made_by)
    }
}

/// Copies a motion file with this header; its clock is that of a video which begins at `start` (seconds). All lines but the first stay as they
/// are, byte by byte.
fn copy(from: &Path, mut to: &std::fs::File, header: &Header, start: f64) -> io::Result<()> {
    let mut lines = io::BufReader::new(std::fs::File::open(from)?);
    lines.skip_until(b'\n')?;
    let clock = Clock::new(start, header.clock.source_start);
    Header { clock, ..header.clone() }.rewrite(to)?;
    to.seek(io::SeekFrom::End(0))?;
    io::copy(&mut lines, &mut to)?;
    Ok(())
}

/// SHA-256 of those of the files that are there, by their names.
pub(super) fn sums(files: &[PathBuf]) -> BTreeMap<String, String> {
    let sum = |path: &PathBuf| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some((name, checksum::hex(&checksum::of_file(path).ok()?)))
    };
    files.iter().filter_map(sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_motion_file_is_copied_with_another_start() {
        let header = serde_json::json!({
            "meshreel": 1, "video": {"path": "a", "width": 1, "height": 1, "fps": 25.0, "frames": 1},
            "clock": {"zero": "first frame", "video_start": 0.0, "source_start": -0.1},
            "body": {"name": "b", "licence": "c", "joints": [], "parents": []},
            "camera": {"fx": 0.1, "fy": 1.0, "cx": 0.0, "cy": 0.0}, "keypoints": "coco17", "extra_keypoints": [],
            "world": {"up": [0.0, -1.0, 0.0], "floor": null, "source": "none", "sigma_deg": null}, "people": [],
            "mesh": {"vertices": 0, "faces": "", "skin_indices": "", "skin_weights": "", "mean": "", "directions": []},
        });
        let mut known: Header = serde_json::from_value(header.clone()).unwrap();
        let row = "{ \"frame\": 0, \"time\": 0.00, \"people\": [] }\n";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{header}\n{row}")).unwrap();
        for start in [0.023, 0.0, -1234.5] {
            let copied = tempfile::NamedTempFile::new().unwrap();
            copy(file.path(), copied.as_file(), &known, start).unwrap();
            let text = std::fs::read_to_string(copied.path()).unwrap();
            let (first, rest) = text.split_once('\n').unwrap();
            known.clock.video_start = start;
            assert_eq!((serde_json::from_str::<Header>(first).unwrap(), rest), (known.clone(), row));
        }
    }
}
