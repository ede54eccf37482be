//! Pictures of results for those who look: made once, beside the answers, and remembered. A large video takes longer to be read than
//! a dashboard waits.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::clock::Millis;
use crate::media::{MediaError, Thumbnail};
use crate::thread::locked;

/// Pictures that are remembered: about 300 kB each.
const REMEMBERED: usize = 32;

/// Which result: the job, and when it ended. One that is made again is another.
type Key = (i64, Option<Millis>);

/// Pictures of results.
#[derive(Default)]
pub struct Album(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    /// The oldest first; none of a video that cannot be read.
    made: VecDeque<(Key, Option<Thumbnail>)>,
    is_busy: bool,
}

impl Album {
    /// The picture of a result, if there is one by now. The first who asks has it made, by one thread for all; who asks while that is
    /// busy asks again.
    pub fn picture(
        &self,
        result: Key,
        make: impl FnOnce() -> Result<Thumbnail, MediaError> + Send + 'static,
    ) -> Option<Thumbnail> {
        let mut pages = locked(&self.0);
        if let Some((_, picture)) = pages.made.iter().find(|(of, _)| *of == result) {
            return picture.clone();
        }
        if pages.is_busy {
            return None;
        }
        let shared = self.0.clone();
        let work = move || {
            // A defect that one video brings to light is no reason to make no picture any more.
            let picture = std::panic::catch_unwind(std::panic::AssertUnwindSafe(make)).unwrap_or_else(|_| {
                Err(MediaError::Undecodable {
                    path: PathBuf::new(),
                    what: "it".into(),
                    reason: "a defect of meshreel".into(),
                })
            });
            if let Err(error) = &picture {
                tracing::debug!("no picture of the result of job {}: {error}", result.0);
            }
            let mut pages = locked(&shared);
            if pages.made.len() == REMEMBERED {
                pages.made.pop_front();
            }
            pages.made.push_back((result, picture.ok()));
            pages.is_busy = false;
        };
        // Where no thread can be had now, the next who asks tries again.
        pages.is_busy = crate::thread::spawn("album", work).is_ok();
        None
    }
}

/// How a picture of a finished video is made.
pub fn of_video(video: PathBuf, longest: u32) -> impl FnOnce() -> Result<Thumbnail, MediaError> + Send + 'static {
    move || Thumbnail::of_file(&video, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits until the thread has nothing to do.
    fn rest(album: &Album) {
        while locked(&album.0).is_busy {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_picture_is_made_once_while_nobody_waits_and_so_is_a_failure() {
        let album = Album::default();
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let made = Thumbnail { width: 1, height: 1, rgb: vec![1, 2, 3] };
        let never = || -> Result<Thumbnail, MediaError> { unreachable!("it is made once") };
        let slow = {
            let made = made.clone();
            move || {
                gate.recv().unwrap();
                Ok(made)
            }
        };
        let result = (7, Some(1));
        // All are answered while the first is still being made.
        assert_eq!(album.picture(result, slow), None);
        assert_eq!(album.picture(result, never), None);
        assert_eq!(album.picture((8, Some(1)), never), None);
        open.send(()).unwrap();
        rest(&album);
        assert_eq!(album.picture(result, never), Some(made.clone()));

        let failed = || Err(MediaError::NoFrames { path: "gone.mp4".into() });
        assert_eq!(album.picture((8, Some(1)), failed), None);
        rest(&album);
        assert_eq!(album.picture((8, Some(1)), never), None);
        assert!(!locked(&album.0).is_busy, "a failure is not tried again");
        // The job was done again: that is another result.
        let again = made.clone();
        assert_eq!(album.picture((8, Some(2)), move || Ok(again)), None);
        rest(&album);
        assert_eq!(album.picture((8, Some(2)), never), Some(made));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let album = Album::default();
        for job in 0..2 * REMEMBERED as i64 {
            album.picture((job, None), || Ok(Thumbnail::default()));
            rest(&album);
        }
        assert_eq!(locked(&album.0).made.len(), REMEMBERED);
    }
}
