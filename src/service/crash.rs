//! Which jobs were at work when the program crashed: hostile or odd media may bring down a decoder or a driver, and must
//! not do so for ever. Being killed from outside is no crash.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::IntoRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};

/// The file in the state folder.
const NAME: &str = "crash";
/// Jobs that can be in hand at a time: `jobs.concurrent` is at most 64, and some more wait.
const MOST: usize = 128;
const SIGNALS: [libc::c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT];

/// Where the handler writes; open from the start, because a crashing process can open nothing.
static FILE: AtomicI32 = AtomicI32::new(-1);
/// Numbers of the jobs in hand; negative while one waits where it is, 0 where there is none.
static AT_WORK: [AtomicI64; MOST] = [const { AtomicI64::new(0) }; MOST];

/// The jobs that were at work when the last run crashed.
pub fn blamed(state: &Path) -> io::Result<Vec<i64>> {
    match std::fs::read(state.join(NAME)) {
        Ok(bytes) => Ok(bytes.as_chunks().0.iter().map(|&id| i64::from_ne_bytes(id)).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Forgets the last run's, and notes them for this one from now on.
pub fn watch(state: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(state.join(NAME))?;
    FILE.store(file.into_raw_fd(), Ordering::SeqCst);
    // SAFETY: the handler makes only calls that are allowed in one; the structure is zeroed, then filled as documented.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = note as extern "C" fn(libc::c_int) as usize;
        // Once: the handler raises the signal again, which then ends the process as it would have.
        action.sa_flags = libc::SA_RESETHAND | libc::SA_ONSTACK;
        for signal in SIGNALS {
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
    Ok(())
}

/// Asking whether a file has a writer may raise `SIGIO` ([`crate::watch::is_open_for_writing`]), which would end the process.
pub fn ignore_lease_breaks() {
    // SAFETY: a plain call; nothing else here uses the signal.
    unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
}

extern "C" fn note(signal: libc::c_int) {
    let file = FILE.load(Ordering::SeqCst);
    for job in &AT_WORK {
        let id = job.load(Ordering::SeqCst);
        if id > 0 {
            let bytes = id.to_ne_bytes();
            // SAFETY: `write` may be called in a handler; the bytes live until it returns.
            unsafe { libc::write(file, bytes.as_ptr().cast(), bytes.len()) };
        }
    }
    // SAFETY: `raise` may be called in a handler; the signal waits until it returns.
    unsafe { libc::raise(signal) };
}

/// Says whether a job that is in hand waits where it is: then it is not to blame.
pub fn hold(id: i64, is_held: bool) {
    let (before, after) = if is_held { (id, -id) } else { (-id, id) };
    for slot in &AT_WORK {
        // Where it is another job's, or was told before, nothing changes.
        let _ = slot.compare_exchange(before, after, Ordering::SeqCst, Ordering::SeqCst);
    }
}

/// Says that a job is at work, until it is dropped.
pub struct AtWork(Option<usize>);

impl AtWork {
    /// For the job with this number.
    pub fn new(id: i64) -> Self {
        let free = |slot: &AtomicI64| slot.compare_exchange(0, id, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        Self(AT_WORK.iter().position(free))
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            AT_WORK[slot].store(0, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_where_it_is_is_not_to_blame() {
        // Numbers that no other test of this process has.
        let [going, held] = [9_000_001, 9_000_002];
        let blamed =
            || AT_WORK.iter().map(|job| job.load(Ordering::SeqCst)).filter(|id| *id > 9_000_000).collect::<Vec<_>>();
        let (_one, other) = (AtWork::new(going), AtWork::new(held));
        hold(held, true);
        hold(going, false);
        assert_eq!(blamed(), [going]);
        hold(held, false);
        assert_eq!(blamed(), [going, held]);
        hold(held, true);
        drop(other);
        hold(held, false);
        assert_eq!(blamed(), [going]);
    }
}
