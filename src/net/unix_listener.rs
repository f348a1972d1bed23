//! Opening unix socket listeners. The server creates the socket file and removes it when it stops.

use super::bind::BACKLOG;
use super::unix_addr::UnixAddr;
use log::warn;
use mio::net::UnixListener;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, statat, unlinkat};
use rustix::io::Errno;
use rustix::process::umask;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait for the lock of the folder, which another starting server may have, and how often to try.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// Device and inode. No other file gets the same while the socket is open.
type Identity = (u64, u64);

/// The file of a listening socket. Drop removes it, unless another file is at its path by then.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

impl SocketFile {
    /// Whether this file is at `path`.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|found| identity(&found) == self.identity)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_at(&self.path) {
            // A file that cannot be removed is stale: the next server on this path replaces it.
            _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens on a unix socket. Processes to which the permission bits `mode` give write access to its file can
/// connect. An abstract socket has neither a file nor permissions.
///
/// Replaces a stale socket file: one that no process has open.
///
/// # Errors
/// Those of the system; another one if the path is a file of another kind.
pub(super) fn bind(address: &UnixAddr, mode: u32) -> io::Result<(UnixListener, Option<SocketFile>)> {
    let system_address = address.to_sock_addr()?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let file = match address {
        UnixAddr::Abstract(_) => {
            socket.bind(&system_address)?;
            None
        }
        UnixAddr::Path(path) => Some(bind_file(&socket, path, &system_address, mode)?),
    };
    // The file has its mode by now: clients can connect from here on.
    socket.listen(BACKLOG)?;
    Ok((UnixListener::from_std(socket.into()), file))
}

fn bind_file(socket: &Socket, path: &Path, address: &SockAddr, mode: u32) -> io::Result<SocketFile> {
    // Without the lock, two servers that find the same stale file could each remove the other's new one.
    let lock = lock_folder(path);
    match bind_with_mode(socket, address, mode) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::ADDRINUSE) => {
            remove_stale(path, address, lock.as_ref())?;
            bind_with_mode(socket, address, mode)?;
        }
        bound => bound?,
    }
    let found = fs::symlink_metadata(path)?;
    if !found.file_type().is_socket() {
        return Err(io::Error::other("another file took its place while the server started"));
    }
    let granted = found.mode() & 0o777;
    if granted != mode {
        warn!(
            "the permissions of unix:{} are {granted:04o} and not {mode:04o}: its directory has a default ACL",
            path.display()
        );
    }
    Ok(SocketFile { path: path.to_owned(), identity: identity(&found) })
}

/// Creates the socket file with the permission bits `mode`.
///
/// The umask decides about them at the moment when the file is created. A later chmod(2) would follow the path
/// again, where another user may have put a link to a file of the server's user by then. The umask belongs to the
/// whole process; the server has one thread, so no other file is created meanwhile.
fn bind_with_mode(socket: &Socket, address: &SockAddr, mode: u32) -> io::Result<()> {
    let before = umask(Mode::from_raw_mode(!mode & 0o777));
    let bound = socket.bind(address);
    umask(before);
    bound
}

/// Removes the file at `path` if it is a stale socket.
///
/// # Errors
/// Says why it was not removed.
fn remove_stale(path: &Path, address: &SockAddr, folder: Option<&OwnedFd>) -> io::Result<()> {
    let in_use = || io::Error::from(Errno::ADDRINUSE);
    let found = fs::symlink_metadata(path)?;
    if !found.file_type().is_socket() {
        return Err(io::Error::other("it exists and is not a socket"));
    }
    if !is_stale(path, &found, address) {
        return Err(in_use());
    }
    let (Some(folder), Some(name)) = (folder, path.file_name()) else {
        return Err(io::Error::other(
            "a stale socket file is there, and its directory cannot be locked to replace it: remove the file",
        ));
    };
    // In the directory that is locked, whatever the path leads to by now. Neither call follows a link.
    let current = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if (current.st_dev, current.st_ino) != identity(&found) {
        return Err(in_use());
    }
    Ok(unlinkat(folder, name, AtFlags::empty())?)
}

/// Whether no process has the socket file open.
fn is_stale(path: &Path, found: &Metadata, address: &SockAddr) -> bool {
    let error = match connect_error(address) {
        Some(Errno::ACCESS) => connect_error_with_access(path, found, address),
        error => error,
    };
    error == Some(Errno::CONNREFUSED)
}

/// Tries to connect with write access. The mode may deny it even to the owner, who can change the mode.
///
/// The file is opened first, which gives no access to its content: its mode is changed through the descriptor,
/// whatever is at the path by then.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn connect_error_with_access(path: &Path, found: &Metadata, address: &SockAddr) -> Option<Errno> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    if file.metadata().map(|opened| identity(&opened)).ok()? != identity(found) {
        return None;
    }
    let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mode = found.permissions();
    let mut writable = mode.clone();
    PermissionsExt::set_mode(&mut writable, mode.mode() | 0o200);
    fs::set_permissions(&descriptor, writable).ok()?;
    let error = connect_error(address);
    // Cannot fail: the mode was changed a moment ago. If the file is stale, it is removed next.
    _ = fs::set_permissions(&descriptor, mode);
    error
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn connect_error_with_access(_: &Path, _: &Metadata, _: &SockAddr) -> Option<Errno> {
    None
}

/// Returns the error of a connection attempt.
///
/// The attempt uses a datagram socket, which cannot connect to a stream socket: a server that listens there
/// does not notice it.
fn connect_error(address: &SockAddr) -> Option<Errno> {
    let attempt = Socket::new(Domain::UNIX, Type::DGRAM, None).and_then(|socket| socket.connect(address));
    attempt.err().and_then(|error| Errno::from_io_error(&error))
}

fn identity(file: &Metadata) -> Identity {
    (file.dev(), file.ino())
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
