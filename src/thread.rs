//! Threads are started here: each has a name, and one that cannot be started is an error and no panic.

use std::io;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

/// Cores that somebody lent to this process, where the system does not know of it.
static LENT: OnceLock<usize> = OnceLock::new();

/// How many cores there are for this process: those that it may run on (affinity, control group), and no more than were [lent](borrow).
pub fn cores() -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    LENT.get().map_or(allowed, |&lent| allowed.min(lent.max(1)))
}

/// Says how many cores this process is lent. The first word counts; it is to be said before anything is started.
pub fn borrow(cores: usize) {
    let _ = LENT.set(cores);
}

/// Locks what threads share. One that panicked while it held the lock left nothing half done: whoever uses this sees to that.
pub fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a thread.
///
/// # Errors
/// When the system gives none.
pub fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.into()).spawn(work).map_err(|error| named(name, &error))
}

/// Starts a thread that ends before its scope does.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_scoped<'scope, 'env, T: Send + 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    Builder::new().name(name.into()).spawn_scoped(scope, work).map_err(|error| named(name, &error))
}

fn named(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the system gives no thread for '{name}': {error}"))
}
