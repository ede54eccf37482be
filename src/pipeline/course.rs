//! The course that every job takes, however its people are found: checks before the work, and results in place after it.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use super::checkpoint::Checkpoint;
use super::draw::{Clip, draw, mux};
use super::exports::{export, page as make_page, share};
use super::motion::Counts;
use super::outputs::{self, PartialOutputs};
use super::picture::Composition;
use super::{Job, JobError, check_limits};
use crate::config::Limits;
use crate::export::{Content, ExportError, LockedFolder, Made, MotionReader};
use crate::job::{Event, OwnNetwork, PAGE, Phase, Report, Stamp, stages, whole};
use crate::media::{self, ClockJump, Decoder, LeftOut, MediaError, Muxer, Verified, VideoInfo, Written};
use crate::render::Renderer;

/// Percent of the poses that may be guesses without a warning.
const FEW_DOUBTFUL: u64 = 20;

/// A job that has begun.
pub struct Course<'j> {
    job: &'j Job<'j>,
    started: Instant,
    /// Of the video, before it was opened.
    pub stamp: Stamp,
    /// The video.
    pub info: VideoInfo,
    /// How its pictures are put together.
    pub composition: Composition<'j>,
    /// Its results.
    pub partial: PartialOutputs,
}

/// What became of a job but for its report.
pub struct Outcome {
    /// The file with the video.
    pub assembled: Assembled,
    /// What is in the motion file.
    pub counts: Counts,
    /// People with a mesh, over the whole clip.
    pub people: usize,
    /// What could not be decoded, in sentences.
    pub lost: Vec<String>,
    /// What else the user should know.
    pub warnings: Vec<String>,
    /// Views in files of their own.
    pub views: Vec<Made>,
}

/// A file that was put together and looked through.
pub struct Assembled {
    written: Written,
    /// What it holds.
    pub verified: Verified,
}

/// Who found the people, and who drew them: what the report says of it.
pub struct MadeBy {
    /// `--model`, in words.
    pub model: String,
    /// The user's own that were asked.
    pub networks: Vec<OwnNetwork>,
    /// Where the networks ran.
    pub inference: String,
    /// What drew.
    pub renderer: String,
    /// Name of the body.
    pub body: String,
    /// Its licence.
    pub body_licence: String,
}

impl<'j> Course<'j> {
    /// Checks whether the job can have results, and opens its video.
    pub fn begin(job: &'j Job<'j>, limits: &Limits) -> Result<(Self, Decoder), JobError> {
        let (spec, started) = (job.spec, Instant::now());
        let stamp = stamp(job.source())?;
        let outputs = &spec.outputs;
        let exports = outputs.exports_there(&spec.settings);
        outputs::refuse_over_source(job.source(), outputs.all().iter().chain(&exports))?;
        let in_the_way = outputs.in_the_way(job.source(), spec.overwrite);
        if let Some(path) =
            in_the_way.or_else(|| outputs.exports_in_the_way(job.source(), spec.overwrite, exports.clone()))
        {
            return Err(JobError::Taken { path, overwrite: spec.overwrite });
        }
        let decoder = Decoder::open_also_pictures(job.source(), 0, job.settings().pictures)?;
        let info = decoder.info().clone();
        check_limits(limits, &info)?;
        let output_error = |source| JobError::Output { path: spec.outputs.video(), source };
        let partial = PartialOutputs::create(spec.outputs.clone(), job.source(), spec.overwrite, exports)
            .map_err(output_error)?;
        for sharing in spec.settings.also.iter() {
            media::check_sharing(sharing)?;
        }
        let composition = Composition::new(job.settings(), &info);
        // What cannot be compressed or put together as the settings say is told before the long work.
        let settings = job.settings().encode.settings();
        drop(Muxer::create(partial.video(), composition.info(), &settings, &[], &[], &LeftOut::new())?);
        Ok((Self { job, started, stamp, info, composition, partial }, decoder))
    }

    /// A job that draws the motion in a file: what was exported of it before stays, what was exported of another motion does not.
    #[must_use]
    pub fn of_motion(self, motion: &Path) -> Self {
        let earlier = self.job.spec.outputs.motion();
        // Where no earlier motion is there, nothing says that the exports are of another.
        match !earlier.exists() || is_same_motion(&earlier, motion).unwrap_or(false) {
            true => Self { partial: self.partial.keeping_motion_exports(), ..self },
            false => self,
        }
    }

    /// Does the work with the job's checkpoint, which is begun anew next time where what is in it makes no sense.
    pub fn with_checkpoint<T>(
        &self,
        identity: &str,
        work: impl FnOnce(&Checkpoint) -> Result<T, JobError>,
    ) -> Result<T, JobError> {
        let temporary;
        let folder = match self.job.context.checkpoint {
            Some(folder) => folder,
            None => {
                temporary = self.temporary_checkpoint()?;
                temporary.path()
            }
        };
        let checkpoint = Checkpoint::open(folder, identity)?;
        let result = work(&checkpoint);
        if let Err(JobError::Checkpoint(error)) = &result
            && error.is_beyond_use()
        {
            // The next try finds nothing to go on from.
            checkpoint.forget()?;
        }
        result
    }

    /// A folder beside the results for what is done until all is.
    fn temporary_checkpoint(&self) -> Result<LockedFolder, JobError> {
        let folder = self.partial.temporary_folder("checkpoint");
        folder.map_err(|source| JobError::Output { path: self.job.spec.outputs.video(), source })
    }

    /// Makes the file of what was drawn.
    pub fn assemble(&self, checkpoint: &Checkpoint, jumps: &[ClockJump]) -> Result<Assembled, JobError> {
        let (job, info, path) = (self.job, self.composition.info(), self.partial.video());
        let written = mux(job, info, checkpoint, jumps, path)?;
        let verified = media::verify(path, info, &job.settings().encode.settings(), &written)?;
        Ok(Assembled { written, verified })
    }

    /// Draws views into files of their own.
    pub fn draw_views(&self, clip: &Clip<'_>, renderer: &Renderer, jumps: &[ClockJump]) -> Result<Vec<Made>, JobError> {
        let (job, mut all) = (self.job, Vec::new());
        for view in Composition::views_in_files(job.settings()) {
            let ending = view.ending(&job.spec.outputs.container);
            let unwritable = |source| JobError::Output { path: job.spec.outputs.file(&ending), source };
            let file = self.partial.temporary(&ending).map_err(unwritable)?.into_temp_path();
            let notes = self.temporary_checkpoint()?;
            let checkpoint = Checkpoint::open(notes.path(), &ending)?;
            let composition = Composition::of_view(job.settings(), &self.info, view);
            let clip = Clip { composition: &composition, ..*clip };
            draw(job, &clip, renderer, &job.context.timings, &checkpoint, &file)?;
            let written = mux(job, composition.info(), &checkpoint, jumps, &file)?;
            media::verify(&file, composition.info(), &job.settings().encode.settings(), &written)?;
            all.push(Made { ending, content: Content::File(file) });
        }
        Ok(all)
    }

    /// Puts the results in place, and tells what the user should know.
    pub fn finish(self, outcome: Outcome, made_by: MadeBy) -> Result<Report, JobError> {
        let Self { job, started, info, partial, .. } = self;
        let Outcome { assembled: Assembled { written, verified }, counts, people, mut lost, warnings: more, views } =
            outcome;
        if stamp(job.source())? != self.stamp {
            return Err(JobError::Changed);
        }
        let mut warnings = info.warnings;
        if people == 0 {
            warnings.push("nobody was found in this video; it comes out without a mesh".into());
        }
        let Counts { bodies, uncertain_frames, swapped_frames, doubtful_frames, doubtful_poses } = counts;
        warnings.extend(written.warnings);
        warnings.extend(more);
        warnings.extend(verified.lost);
        if swapped_frames > 0 {
            warnings.push(format!("people may have been mixed up in {swapped_frames} frames (marked uncertain)"));
        }
        // A few are marked, but nothing to warn of.
        if 100 * doubtful_poses > FEW_DOUBTFUL * bodies {
            let percent = 100 * doubtful_poses / bodies;
            warnings.push(match bodies {
                1 => "the pose is a guess and may be wrong (marked uncertain)".into(),
                _ => format!("{percent} % of the poses are guesses and may be wrong (marked uncertain)"),
            });
        }
        let (done, total) = (written.frames, Some(written.frames));
        job.tell(Event::Progress { phase: Phase::Export, done, total, people });
        let (mut exports, not_exported) = export(job, &partial)?;
        warnings.extend(not_exported);
        exports.extend(views);
        exports.extend(share(job, &partial)?);
        let endings = exports.iter().map(|made| &made.ending[..]).chain(job.settings().report.then_some(PAGE));
        let endings: Vec<&str> = endings.collect();
        let [stay, go] = partial.earlier_exports(&endings);
        if !go.is_empty() {
            warnings.push(format!("earlier results that are not made any more are removed: {}", go.join(", ")));
        }
        let names = endings.into_iter().map(|ending| job.spec.outputs.name(ending));
        let names: BTreeSet<String> = names.chain(stay).collect();
        lost.dedup();
        lost.iter().chain(&warnings).cloned().for_each(|text| job.tell(Event::Warning(text)));

        let seconds = started.elapsed().as_secs_f64();
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        let MadeBy { model, networks, inference, renderer, body, body_licence } = made_by;
        let report = Report {
            meshreel: 1,
            source: whole(job.source()),
            output: whole(&job.spec.outputs.video()),
            exports: names.into_iter().collect(),
            frames: written.frames,
            people,
            bodies,
            uncertain_frames,
            doubtful_frames,
            seconds: round(seconds),
            fps: round(written.frames as f64 / seconds),
            model,
            networks,
            inference,
            renderer,
            body,
            body_licence,
            lost,
            warnings,
            stages: stages(&job.context.timings),
        };
        if job.settings().report {
            exports.push(make_page(job, &partial, &report)?);
        }
        let text = serde_json::to_string_pretty(&report).map_err(|e| JobError::Internal(e.to_string()))?;
        // Who was told to end while all of this was made does not replace what somebody else may have made meanwhile.
        job.context.proceed()?;
        partial.publish(&(text + "\n"), exports)?;
        Ok(report)
    }
}

/// Whether two files hold the same motion, of which the video may begin at another time.
fn is_same_motion(one: &Path, other: &Path) -> Result<bool, ExportError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        |source| ExportError::Read { path, source }
    };
    let (mut header, mut lines) = MotionReader::open(one)?.into_rest();
    let (other_header, mut other_lines) = MotionReader::open(other)?.into_rest();
    header.clock.video_start = other_header.clock.video_start;
    if header != other_header {
        return Ok(false);
    }
    loop {
        let a = lines.fill_buf().map_err(unreadable(one))?;
        let b = other_lines.fill_buf().map_err(unreadable(other))?;
        let length = a.len().min(b.len());
        if a[..length] != b[..length] || length == 0 {
            return Ok(a.is_empty() && b.is_empty());
        }
        lines.consume(length);
        other_lines.consume(length);
    }
}

/// Size and time: enough to notice a file that is still being written.
pub(super) fn stamp(source: &Path) -> Result<Stamp, JobError> {
    let failed = |error| MediaError::Read { path: source.to_owned(), source: error };
    Ok(std::fs::metadata(source).map(|metadata| Stamp::of(&metadata)).map_err(failed)?)
}
