//! What the log is written to: a file, or standard error, which may be anything.

use crate::util::terminal::stops_writers;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SendFlags;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

const NOT_WAITING: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

#[derive(Debug)]
pub(super) enum Destination {
    /// A file that the server opened, non-blocking.
    Own(OwnedFd),
    /// Standard error that could not be reopened and is not a terminal: polled before each line.
    Shared,
    /// Standard error on a terminal that could not be reopened, such as another user's. Polling is not enough: a
    /// terminal that has space for a part of a line still blocks. It is made non-blocking for each write; other
    /// processes that share it may notice that.
    Terminal,
    /// Standard error on a socket, as under systemd.
    Socket,
}

impl Destination {
    /// Opens a file to append to it.
    ///
    /// # Errors
    /// Those of open(2).
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
        Ok(open(path, flags).map(Self::Own)?)
    }

    /// Standard error. Other processes may share it, and O_NONBLOCK would apply to them too: a pipe or a terminal
    /// is opened a second time instead.
    pub(super) fn standard_error() -> Self {
        let kind = rustix::fs::fstat(standard_error()).map(|stat| FileType::from_raw_mode(stat.st_mode));
        match kind {
            Ok(FileType::Socket) => Self::Socket,
            Ok(FileType::Fifo) => Self::reopen_standard_error().unwrap_or(Self::Shared),
            Ok(FileType::CharacterDevice) => Self::reopen_standard_error().unwrap_or(Self::Terminal),
            _ => Self::Shared,
        }
    }

    fn reopen_standard_error() -> Option<Self> {
        open(Path::new("/proc/self/fd/2"), OFlags::WRONLY).map(Self::Own).ok()
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        match self {
            Self::Own(file) => file.as_fd(),
            Self::Shared | Self::Terminal | Self::Socket => standard_error(),
        }
    }

    /// The size of a regular file.
    pub(super) fn file_size(&self) -> Option<u64> {
        let stat = rustix::fs::fstat(self.descriptor()).ok()?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        is_file.then(|| u64::try_from(stat.st_size).unwrap_or_default())
    }

    /// Whether both are one file.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        let identity = |file: &Self| {
            let stat = rustix::fs::fstat(file.descriptor()).ok()?;
            Some((stat.st_dev, stat.st_ino))
        };
        identity(self).is_some_and(|file| Some(file) == identity(other))
    }

    /// Writes bytes without waiting, and returns how many were written.
    ///
    /// # Errors
    /// Those of write(2); `EAGAIN` if no byte can be written now.
    pub(super) fn write(&self, line: &[u8]) -> rustix::io::Result<usize> {
        if stops_writers(self.descriptor()) {
            return Err(Errno::AGAIN);
        }
        rustix::io::retry_on_intr(|| match self {
            Self::Own(file) => rustix::io::write(file, line),
            Self::Socket => {
                rustix::net::send(standard_error(), line, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
            }
            Self::Shared => {
                let error = standard_error();
                let mut ready = [PollFd::from_borrowed_fd(error, PollFlags::OUT)];
                match rustix::event::poll(&mut ready, Some(&NOT_WAITING))? {
                    0 => Err(Errno::AGAIN),
                    _ => rustix::io::write(error, line),
                }
            }
            Self::Terminal => {
                let error = standard_error();
                let flags = rustix::fs::fcntl_getfl(error)?;
                rustix::fs::fcntl_setfl(error, flags | OFlags::NONBLOCK)?;
                let written = rustix::io::write(error, line);
                rustix::fs::fcntl_setfl(error, flags)?;
                written
            }
        })
    }
}

fn open(path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let safely = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags | safely, Mode::from_raw_mode(0o644))
}

/// Standard error.
pub(super) fn standard_error() -> BorrowedFd<'static> {
    // The descriptor is always open: Rust opens /dev/null for one that is closed at the start.
    static STANDARD_ERROR: std::sync::LazyLock<io::Stderr> = std::sync::LazyLock::new(io::stderr);
    STANDARD_ERROR.as_fd()
}
