//! What draws, without what finds people: all that it takes to draw a motion file again.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::course::{Course, MadeBy, Outcome};
use super::draw::{Clip, Seen, draw};
use super::fitted_people::FittedPeople;
use super::motion::Counts;
use super::recorded::{Recorded, RecordedError};
use super::{Job, JobError};
use crate::body::{Body, BodyError};
use crate::checksum;
use crate::config::{Config, Limits};
use crate::job::{JobContext, JobSpec, Phase, Report, Stamp};
use crate::media;
use crate::models::Models;
use crate::pose::PoseError;
use crate::render::{Description, Mesh, MeshData, MeshError, RenderError, RenderThread};
use crate::telemetry::Live;

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

/// The render thread, and the body that it draws.
pub struct Studio {
    pub(super) render: RenderThread,
    pub(super) body: Body,
    pub(super) mesh: Mesh,
}

impl Studio {
    /// Loads the body and starts the render thread.
    pub(super) fn open(models: &Models) -> Result<Self, StartError> {
        let render = RenderThread::start()?;
        let body = Body::load(&models.body())?;
        let mesh = Mesh::new(MeshData::from(&body))?;
        Ok(Self { render, body, mesh })
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
    /// SHA-256 of the body, by the file's name.
    models: BTreeMap<String, String>,
    live: Arc<Live>,
}

impl Redrawing {
    /// Loads the body and starts the render thread.
    ///
    /// # Errors
    /// When nothing can be drawn.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        let models = Models::find(&config.models.folder);
        let studio = Studio::open(&models)?;
        let live = Arc::new(Live::new(0));
        Ok(Self { studio, limits: config.limits, models: sums(&[models.body()]), live })
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
        let unreadable = |source| RecordedError::Read { path: motion.to_owned(), source };
        let stamped = || std::fs::metadata(motion).map(|metadata| Stamp::of(&metadata)).map_err(unreadable);
        let motion_stamp = stamped()?;
        // Of a motion file that is not of this video is told before anything is made.
        let recorded = Recorded::read(motion, &self.studio.body, &|| context.proceed())?;
        let (course, decoder) = Course::begin(job, &self.limits)?;
        drop(decoder);
        let course = course.of_motion(motion);
        let [width, height] = course.info.geometry.display;
        if recorded.size != [width, height] {
            let [w, h] = recorded.size;
            let reason = format!("its pictures have {w}x{h} pixels, those of the video {width}x{height}");
            return Err(RecordedError::OfAnother { path: motion.to_owned(), reason }.into());
        }
        let identity = serde_json::json!({
            "meshreel": env!("CARGO_PKG_VERSION"),
            "source": job.source().as_os_str().as_encoded_bytes(),
            "stamp": course.stamp,
            "motion": [motion_stamp],
            "settings": job.settings(),
            "models": self.models,
            "ffmpeg": media::version(),
        });
        let outcome = course.with_checkpoint(&identity.to_string(), |checkpoint| {
            let [bodies, uncertain_frames] = recorded.counts();
            let Studio { render, body, mesh } = &self.studio;
            let Recorded { camera, world, frames, .. } = recorded;
            let people = FittedPeople::new(body, mesh, camera, &recorded.people, recorded.corrupt.clone())
                .without(recorded.absent.clone());
            let people = match job.settings().views.is_empty() {
                true => people,
                false => people.on_the_floor(&world, &recorded.times),
            };
            let clip = Clip { people: &people, world, composition: &course.composition, frames, phase: Phase::Redraw };
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
            copy(motion, course.partial.motion(), assembled.verified.start).map_err(unwritable)?;
            if stamped()? != motion_stamp {
                return Err(JobError::Changed);
            }
            Ok(Outcome { assembled, counts: Counts { bodies, uncertain_frames }, people: people.len(), lost, views })
        })?;
        let made_by = MadeBy {
            model: "none".into(),
            inference: "none".into(),
            renderer: self.studio.renderer().renderer.clone(),
        };
        course.finish(outcome, made_by)
    }
}

/// Copies a motion file; its clock is that of a video which begins at `start` (seconds).
fn copy(from: &Path, mut to: &std::fs::File, start: f64) -> io::Result<()> {
    io::copy(&mut std::fs::File::open(from)?, &mut to)?;
    let text = std::fs::File::open(from)?;
    let mut line = Vec::new();
    io::BufRead::read_until(&mut io::BufReader::new(text), b'\n', &mut line)?;
    if let Some(line) = with_start(&line, start) {
        to.write_all_at(&line, 0)?;
    }
    Ok(())
}

/// The first line of a motion file with another start of the video in it, as long as before: the line ends with blanks. `None` where there
/// is no room, or nothing to change.
fn with_start(line: &[u8], start: f64) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(line).ok()?;
    let key = "\"video_start\":";
    let from = text.find(key)? + key.len();
    let length = text[from..].find([',', '}'])?;
    let number = serde_json::to_string(&((start * 1e6).round() / 1e6 + 0.0)).ok()?;
    let changed = format!("{}{number}{}", &text[..from], &text[from + length..]);
    let mut line = changed.trim_end().to_owned();
    let blanks = text.len().checked_sub(line.len() + 1)?;
    line.extend(std::iter::repeat_n(' ', blanks));
    line.push('\n');
    (line != text).then(|| line.into_bytes())
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
    use super::with_start;

    #[test]
    fn a_start_is_changed_in_its_place() {
        let line = b"{\"clock\":{\"video_start\":0.0,\"zero\":1}}      \n";
        let changed = with_start(line, 0.023).unwrap();
        assert_eq!(changed, b"{\"clock\":{\"video_start\":0.023,\"zero\":1}}    \n");
        assert_eq!(with_start(&changed, 0.0).unwrap(), line);
        assert_eq!((with_start(line, 0.0), with_start(b"{}\n", 1.0)), (None, None));
    }
}
