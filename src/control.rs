//! Whether work goes on, waits or ends: asked by everything that takes long.

use std::time::Duration;

/// Whether a job goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// It does.
    Go,
    /// It waits where it is, with what it holds.
    Hold,
    /// It ends, and leaves nothing but its checkpoint: nobody wants its results any more.
    Stop,
    /// Whoever asks ends, and the job goes on later. Where others work on it, they go on meanwhile.
    Leave,
}

/// The work was told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped")]
pub struct Stopped;

/// Called now and then by work that takes long: waits while the job is held, and is an error once it is to stop.
pub type Proceed<'a> = &'a (dyn Fn() -> Result<(), Stopped> + Sync);

/// How soon a job that is held notices that it may go on.
const NAP: Duration = Duration::from_millis(50);

/// Waits while `control` says so.
///
/// # Errors
/// [`Stopped`] once the job is to stop.
pub fn proceed(control: impl Fn() -> Control) -> Result<(), Stopped> {
    loop {
        match control() {
            Control::Go => return Ok(()),
            Control::Hold => std::thread::sleep(NAP),
            Control::Stop | Control::Leave => return Err(Stopped),
        }
    }
}

/// For work that nobody stops.
pub fn never_stopped() -> Result<(), Stopped> {
    Ok(())
}
