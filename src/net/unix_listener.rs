//! Opening unix socket listeners. The server creates the socket file and removes it when it stops.

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

/// How long to wait for the lock of the folder, which another starting server may have, and how often to try.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// The file of a listening socket. Drop removes it, unless another file is at its path by then.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode. No other file gets the same while the socket is open.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // A file that cannot be removed is stale: the next server on this path replaces it.
            _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at `path`. Processes to which the permission bits `mode` give write access can connect.
///
/// Replaces a stale socket file: one that no process has open.
///
/// # Errors
/// Those of the system; `EADDRINUSE` also if the path is a file of another kind.
pub(super) fn bind(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let address = SockAddr::unix(path).map_err(|_| io::Error::other("the path is too long for a socket"))?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // Without the lock, two servers that find the same stale file could each remove the other's new one.
    let lock = lock_folder(path);
    match socket.bind(&address) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::ADDRINUSE) && is_stale(path, &address) => {
            if lock.is_none() {
                return Err(io::Error::other(
                    "a stale socket file is there, and its directory cannot be locked to replace it: remove the file",
                ));
            }
            fs::remove_file(path)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    let file = SocketFile { path: path.to_owned(), identity: identity(path)? };
    // Before listen(2), because clients cannot connect until then.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    drop(lock);
    Ok((UnixListener::from_std(socket.into()), file))
}

/// Whether `path` is a socket file that no process has open.
fn is_stale(path: &Path, address: &SockAddr) -> bool {
    let Ok(found) = fs::symlink_metadata(path) else { return false };
    if !found.file_type().is_socket() {
        return false;
    }
    match connect_error(address) {
        Some(Errno::CONNREFUSED) => true,
        // The mode may deny write access even to the owner. The owner can change the mode: add the access for
        // this attempt.
        Some(Errno::ACCESS) => {
            let mode = found.permissions().mode();
            if fs::set_permissions(path, Permissions::from_mode(mode | 0o200)).is_err() {
                return false;
            }
            let is_stale = connect_error(address) == Some(Errno::CONNREFUSED);
            if !is_stale {
                // Cannot fail: the mode was changed a moment ago.
                _ = fs::set_permissions(path, Permissions::from_mode(mode));
            }
            is_stale
        }
        _ => false,
    }
}

/// Returns the error of a connection attempt.
///
/// The attempt uses a datagram socket, which cannot connect to a stream socket: a server that listens there
/// does not notice it.
fn connect_error(address: &SockAddr) -> Option<Errno> {
    let attempt = Socket::new(Domain::UNIX, Type::DGRAM, None).and_then(|socket| socket.connect(address));
    attempt.err().and_then(|error| Errno::from_io_error(&error))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// Locks the folder of `path` until the result is dropped. `None` if the folder cannot be opened, or another
/// process has the lock for [`LOCK_TIMEOUT`].
fn lock_folder(path: &Path) -> Option<OwnedFd> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty()).ok()?;
    let end = Instant::now() + LOCK_TIMEOUT;
    while flock(&folder, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(LOCK_RETRY);
    }
    Some(folder)
}
