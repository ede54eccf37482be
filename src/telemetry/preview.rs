//! The latest picture of a job, made only while somebody looks at it.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::media::Thumbnail;
use crate::thread::locked;

/// Who asked so long ago has looked away.
const PATIENCE: Duration = Duration::from_secs(15);
/// One picture in this time.
const INTERVAL: Duration = Duration::from_millis(700);

/// Pictures for those who look.
#[derive(Default)]
pub struct Preview(Mutex<State>);

#[derive(Default)]
struct State {
    wanted: Option<(i64, Instant)>,
    made: Option<(i64, u64, Instant, Thumbnail)>,
}

impl Preview {
    /// Pixels of the longer side of a picture.
    pub const LONGEST: u32 = 400;

    /// Somebody looks at this job. Gives its latest picture and the number of its frame, if that is another than `known`.
    pub fn look(&self, job: i64, known: Option<u64>) -> Option<(u64, Thumbnail)> {
        let mut state = self.lock();
        state.wanted = Some((job, Instant::now()));
        let (of, frame, _, picture) = state.made.as_ref()?;
        (*of == job && Some(*frame) != known).then(|| (*frame, picture.clone()))
    }

    /// Whether a picture of this job is due.
    pub fn is_due(&self, job: i64) -> bool {
        let state = self.lock();
        let is_wanted = state.wanted.is_some_and(|(wanted, when)| wanted == job && when.elapsed() < PATIENCE);
        is_wanted && state.made.as_ref().is_none_or(|(of, _, when, _)| *of != job || when.elapsed() >= INTERVAL)
    }

    /// Here it is.
    pub fn make(&self, job: i64, frame: u64, picture: Thumbnail) {
        self.lock().made = Some((job, frame, Instant::now(), picture));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.0)
    }
}
