//! Listening at a unix socket: a file that is there for as long as the room is.

use super::bind::BACKLOG;
use mio::net::UnixListener;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait for another who is about to listen in the same folder.
const PATIENCE: Duration = Duration::from_secs(1);
const BETWEEN: Duration = Duration::from_millis(10);

/// The file of a socket that listens: removed when dropped, unless another has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode, which nobody else is given while the socket is open.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // Where it cannot be removed it is a stale one, which the next to listen there replaces.
            _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at `path`, where those may connect whom `mode` lets write.
///
/// A socket that is there already is replaced where nobody has it open, and never otherwise.
///
/// # Errors
/// Those of the system; `EADDRINUSE` also where the path is no socket.
pub(super) fn bind(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let address = SockAddr::unix(path).map_err(|_| io::Error::other("the path is too long for a socket"))?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // Two that find the same stale file would else replace each other.
    let lock = lock_folder(path);
    match socket.bind(&address) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::ADDRINUSE) && is_stale(path, &address) => {
            if lock.is_none() {
                return Err(io::Error::other(
                    "a stale socket is there, and its folder cannot be locked to replace it: remove it",
                ));
            }
            fs::remove_file(path)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    let file = SocketFile { path: path.to_owned(), identity: identity(path)? };
    // Until it listens nobody can connect, whatever the mode.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    drop(lock);
    Ok((UnixListener::from_std(socket.into()), file))
}

/// Whether `path` is a socket that nobody has open.
fn is_stale(path: &Path, address: &SockAddr) -> bool {
    let Ok(found) = fs::symlink_metadata(path) else { return false };
    if !found.file_type().is_socket() {
        return false;
    }
    match why_not(address) {
        Some(Errno::CONNREFUSED) => true,
        // Its mode keeps even whoever made it from asking: only they can change that, and they do so while
        // they ask.
        Some(Errno::ACCESS) => {
            let mode = found.permissions().mode();
            if fs::set_permissions(path, Permissions::from_mode(mode | 0o200)).is_err() {
                return false;
            }
            let is_stale = why_not(address) == Some(Errno::CONNREFUSED);
            if !is_stale {
                // It was its own a moment ago.
                _ = fs::set_permissions(path, Permissions::from_mode(mode));
            }
            is_stale
        }
        _ => false,
    }
}

/// Why nobody can connect there.
///
/// A datagram socket asks: it cannot connect to one of streams, and who listens there does not notice.
fn why_not(address: &SockAddr) -> Option<Errno> {
    let asked = Socket::new(Domain::UNIX, Type::DGRAM, None).and_then(|socket| socket.connect(address));
    asked.err().and_then(|error| Errno::from_io_error(&error))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// Keeps others from replacing files in the folder of `path`, as long as what is returned is kept; none
/// where the folder cannot be opened, or somebody keeps it.
fn lock_folder(path: &Path) -> Option<OwnedFd> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty()).ok()?;
    let end = Instant::now() + PATIENCE;
    while flock(&folder, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(BETWEEN);
    }
    Some(folder)
}
