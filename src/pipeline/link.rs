//! Between the passes: from the observations of a whole clip to one track a person.

use std::collections::BTreeSet;

use super::{Job, JobError};
use crate::media::VideoInfo;
use crate::track::{Sightings, Track, link};

/// Links the tracklets of one person. Nobody is observed in frames that are `corrupt`.
///
/// # Errors
/// [`JobError::Stopped`] when the job is to stop.
pub fn link_people(
    job: &Job,
    info: &VideoInfo,
    sightings: Sightings,
    corrupt: &BTreeSet<u64>,
) -> Result<Vec<Track>, JobError> {
    let Sightings { observations, trajectory, .. } = sightings;
    let go_on = || job.context.proceed();
    // Frame by frame, so that no observation is in memory twice.
    let observations = observations.into_values().flatten();
    Ok(link(observations, corrupt, info.frame_rate, info.geometry.display, &trajectory, &go_on)?)
}
