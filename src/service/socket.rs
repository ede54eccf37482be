//! Where an engine listens: a socket that only its user may open.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::checksum;

/// Bytes that a socket's path may have, by the system.
const LONGEST: usize = 107;

/// Who may wait to be heard.
const BACKLOG: i32 = 128;

/// There is none.
#[derive(Debug, thiserror::Error)]
#[error("there is no place to listen for orders ({}); set XDG_RUNTIME_DIR to a folder of yours that nobody else may open", .0.join("; "))]
pub struct NoPlace(Vec<String>);

/// A place for a socket.
#[derive(Debug)]
pub struct Place {
    /// Folders on the way that nobody else may open; the last one is made where it is missing.
    private: Vec<PathBuf>,
    /// The socket.
    pub socket: PathBuf,
}

/// Begins to listen at the first place that works: the user's runtime folder, the state folder, the folder for temporary
/// files. Others read it in the lock ([`super::lock::socket`]): their environment may be another.
pub fn open(state: &Path) -> Result<(UnixListener, Place), NoPlace> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let mut reasons = Vec::new();
    for place in places(state, runtime, &std::env::temp_dir()) {
        match place.bind() {
            Ok(listener) => return Ok((listener, place)),
            Err(why) => reasons.push(format!("{}: {why}", super::shown(&place.socket))),
        }
    }
    Err(NoPlace(reasons))
}

fn places(state: &Path, runtime: Option<PathBuf>, temporary: &Path) -> Vec<Place> {
    let whole = std::path::absolute(state).unwrap_or_else(|_| state.to_owned());
    let name = checksum::hex(&checksum::of(whole.as_os_str().as_bytes())[..8]) + ".sock";
    let runtime = runtime.filter(|folder| folder.is_absolute()).map(|folder| {
        // It may itself be a link; what is in it may not.
        let folder = folder.canonicalize().unwrap_or(folder);
        let own = folder.join("meshreel");
        Place { socket: own.join(&name), private: vec![folder, own] }
    });
    let here = Place { private: Vec::new(), socket: whole.join("engine.sock") };
    let own = temporary.join(format!("meshreel-{}", rustix::process::geteuid().as_raw()));
    let temporary = Place { socket: own.join(&name), private: vec![own] };
    runtime.into_iter().chain([here, temporary]).collect()
}

impl Place {
    /// Begins to listen here. A socket that lies here is taken for a dead one's: the caller holds the lock of the state folder.
    pub fn bind(&self) -> io::Result<UnixListener> {
        let length = self.socket.as_os_str().as_bytes().len();
        if length > LONGEST {
            return Err(io::Error::other(format!(
                "{length} bytes are too long for a socket, which may have {LONGEST}"
            )));
        }
        if let Some((own, before)) = self.private.split_last() {
            // Those before it are the system's to make.
            before.iter().try_for_each(|folder| check_private(folder))?;
            match std::fs::DirBuilder::new().mode(0o700).create(own) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => check_private(own)?,
            }
        }
        match std::fs::remove_file(&self.socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // Before it has a name, so that there is no moment in which others might open it.
        rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        net::bind(&socket, &SocketAddrUnix::new(&self.socket)?)?;
        net::listen(&socket, BACKLOG)?;
        Ok(UnixListener::from(socket))
    }
}

/// Whether a folder is this user's, and nobody else may open it.
fn check_private(folder: &Path) -> io::Result<()> {
    let metadata = std::fs::symlink_metadata(folder)?;
    let name = super::shown(folder);
    let refuse = |why: &str| Err(io::Error::other(format!("{name} {why}")));
    match metadata {
        _ if !metadata.is_dir() => refuse("is no folder"),
        _ if metadata.uid() != rustix::process::geteuid().as_raw() => refuse("is another user's"),
        _ if metadata.mode() & 0o077 != 0 => refuse("is open to others; `chmod 700` closes it"),
        _ => Ok(()),
    }
}

/// Connects to a socket, and makes sure who listens there: this user, the superuser, or the `owner` of the state folder's lock. In a
/// folder for temporary files anybody might.
pub fn connect(socket: &Path, owner: u32) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    let listener = net::sockopt::socket_peercred(&stream)?.uid;
    match is_trusted(listener.as_raw(), owner) {
        true => Ok(stream),
        false => Err(io::Error::other(format!("another user listens at {}", super::shown(socket)))),
    }
}

fn is_trusted(listener: u32, owner: u32) -> bool {
    [0, owner, rustix::process::geteuid().as_raw()].contains(&listener)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn made(path: PathBuf, mode: u32) -> PathBuf {
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.canonicalize().unwrap()
    }

    /// The socket of the first place that works, or all reasons.
    fn first(state: &Path, runtime: Option<&Path>, temporary: &Path) -> Result<PathBuf, String> {
        let mut reasons = Vec::new();
        for place in places(state, runtime.map(Path::to_owned), temporary) {
            match place.bind() {
                Ok(_) => return Ok(place.socket),
                Err(error) => reasons.push(error.to_string()),
            }
        }
        Err(reasons.join("; "))
    }

    #[test]
    fn an_engine_listens_where_it_can_and_nobody_else_may() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (state, temporary) = (made(at("state"), 0o755), made(at("tmp"), 0o777));
        let runtime = made(at("run"), 0o700);
        assert!(first(&state, Some(&runtime), &temporary).unwrap().starts_with(runtime.join("meshreel")));
        assert!(first(&state, Some(&runtime), &temporary).is_ok(), "again, over the dead one's socket");
        std::os::unix::fs::symlink(&runtime, at("link")).unwrap();
        assert!(first(&state, Some(&at("link")), &temporary).unwrap().starts_with(&runtime));

        // Open to others, a file, not there, no whole path, too long, or with another's folder in it: the state folder.
        let open = made(at("open"), 0o755);
        let odd = made(at("odd"), 0o700);
        std::fs::write(odd.join("meshreel"), "").unwrap();
        let linked = made(at("linked"), 0o700);
        std::os::unix::fs::symlink(&runtime, linked.join("meshreel")).unwrap();
        std::fs::write(at("file"), "").unwrap();
        let long = made(at(&"l".repeat(100)), 0o700);
        for wrong in [&open, &odd, &linked, &at("file"), &at("gone"), Path::new("run"), &long] {
            assert_eq!(first(&state, Some(wrong), &temporary).unwrap(), state.join("engine.sock"), "{wrong:?}");
        }
        assert_eq!(first(&state, None, &temporary).unwrap(), state.join("engine.sock"));

        // A long way to the state folder: the folder for temporary files, which is made for this user alone.
        let far = made(at(&"f".repeat(120)), 0o755);
        let own = temporary.join(format!("meshreel-{}", rustix::process::geteuid().as_raw()));
        assert_eq!(first(&far, None, &temporary).unwrap().parent(), Some(own.as_path()));
        assert_eq!(std::fs::metadata(&own).unwrap().mode() & 0o777, 0o700);
        let socket = std::fs::read_dir(&own).unwrap().next().unwrap().unwrap();
        assert_eq!(socket.metadata().unwrap().mode() & 0o777, 0o600);
        // Not where somebody else could take it away.
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o770)).unwrap();
        assert!(first(&far, None, &temporary).unwrap_err().contains("is open to others"));
        std::fs::remove_dir_all(&own).unwrap();
        std::os::unix::fs::symlink(&runtime, &own).unwrap();
        assert!(first(&far, None, &temporary).unwrap_err().contains("is no folder"));
    }

    #[test]
    fn folders_of_other_users_are_left_alone() {
        if !rustix::process::geteuid().is_root() {
            // Nobody else can give a folder away.
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let (state, runtime) = (made(folder.path().join("state"), 0o755), made(folder.path().join("run"), 0o700));
        std::os::unix::fs::chown(&runtime, Some(12345), None).unwrap();
        assert_eq!(first(&state, Some(&runtime), folder.path()).unwrap(), state.join("engine.sock"));
        assert!(std::fs::read_dir(&runtime).unwrap().next().is_none(), "nothing is made in it");
        assert!(is_trusted(0, 12345) && is_trusted(12345, 12345) && !is_trusted(54321, 12345));
    }
}
