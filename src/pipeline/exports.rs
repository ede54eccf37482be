//! What a job makes of its motion and its video where its settings ask for it: other formats, small animated pictures, the page.

use super::outputs::PartialOutputs;
use super::{Job, JobError};
use crate::export::{
    self, Clip, Content, ExportError, Format, Formats, Frame, Heading, Made, Options, Placement, Selection,
};
use crate::job::{PAGE, Report};
use crate::media;
use crate::page::{self, PageError, Subject};

/// Exports the motion that was written, and says what the user should know: what could not be, and what is not all there.
pub fn export(job: &Job, partial: &PartialOutputs) -> Result<(Vec<Made>, Vec<String>), JobError> {
    let formats = job.settings().formats;
    let (mut all, mut notes) = (Vec::new(), Vec::new());
    if formats.is_empty() {
        return Ok((all, notes));
    }
    let proceed = || job.context.proceed();
    let mut progress = |_, _| Ok(proceed()?);
    let clip = Clip::read(partial.motion_path(), partial.folder(), &mut progress)?;
    let selection = Selection::new(&clip, &[], Frame::default(), Heading::default(), Placement::default(), &proceed)?;
    notes.extend(export::skinning_note(&clip.header, formats).map(str::to_owned));
    for format in formats.iter() {
        let one: Formats = [format].into_iter().collect();
        let (options, stem) = (Options::default(), &job.spec.outputs.stem);
        let begins = |format: Format| tracing::debug!("{}: exporting {}", job.name(), format.name());
        match export::export(&selection, one, &options, partial.folder(), stem, &begins, &proceed) {
            Ok(made) => all.extend(made),
            // The other formats have room for it.
            Err(error @ ExportError::TooLarge { .. }) => notes.push(format!("not exported: {error}")),
            Err(error) => return Err(error.into()),
        }
    }
    Ok((all, notes))
}

/// Makes the small animated pictures that the settings ask for of the video that was written.
pub fn share(job: &Job, partial: &PartialOutputs) -> Result<Vec<Made>, JobError> {
    let mut all = Vec::new();
    for sharing in job.settings().also.iter() {
        let unwritable = |source| JobError::Output { path: job.spec.outputs.file(sharing.ending()), source };
        let file = partial.temporary(sharing.ending()).map_err(unwritable)?.into_temp_path();
        let pictures = job.settings().pictures;
        media::share(partial.video(), pictures, &file, sharing, &|| job.context.proceed())?;
        all.push(Made { ending: sharing.ending().to_owned(), content: Content::File(file) });
    }
    Ok(all)
}

/// Makes the page to look at of what was written.
pub fn page(job: &Job, partial: &PartialOutputs, report: &Report) -> Result<Made, JobError> {
    let unwritable = |source| JobError::Output { path: job.spec.outputs.file(PAGE), source };
    let file = partial.temporary(PAGE).map_err(unwritable)?;
    let subject = Subject {
        name: &job.spec.outputs.stem.to_string_lossy(),
        motion: partial.motion_path(),
        video: partial.video(),
        pictures: job.settings().pictures,
        report,
        settings: job.settings(),
        folder: partial.folder(),
    };
    tracing::debug!("{}: making its page", job.name());
    page::write_page(&subject, file.as_file(), &|| job.context.proceed()).map_err(|error| match error {
        PageError::Write(source) => unwritable(source),
        PageError::Export(error) => error.into(),
        PageError::Media(error) => error.into(),
        PageError::Stopped(stopped) => stopped.into(),
    })?;
    Ok(Made { ending: PAGE.to_owned(), content: Content::File(file.into_temp_path()) })
}
