//! The file, terminal, pipe or socket that the log goes to. It may be slow, full or gone; the chat goes on.
//!
//! Writing never blocks and never fails. Lines that cannot be written are counted, and the count is written as
//! soon as lines can be written again.

use crate::util::{clock, os_error};
use crate::wire::escape;
use log::LevelFilter;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SendFlags;
use simplelog::{ConfigBuilder, WriteLogger};
use std::fmt;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Longer lines are cut. A pipe takes up to this many bytes as a whole or not at all (`PIPE_BUF`, pipe(7)).
const MAX_LINE: usize = 4096;
const CUT: &[u8] = b" [cut]\n";
const NOT_WAITING: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The log's destination, shared by the logger and the server.
#[derive(Debug, Clone)]
pub struct LogFile(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    destination: Destination,
    /// The log file; `None` = standard error.
    path: Option<PathBuf>,
    /// The line that the logger is writing.
    line: Vec<u8>,
    /// The rest of a line that was written in part.
    rest: Vec<u8>,
    /// Lines that could not be written, since the last report of them.
    lost: u64,
    /// Whether the current line is only an attempt to write again: it does not count as lost.
    is_retry: bool,
}

#[derive(Debug)]
enum Destination {
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

/// The log file cannot be opened.
#[derive(Debug)]
pub struct LogError {
    path: PathBuf,
    why: io::Error,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot open the log file \"{}\": {}", self.path.display(), os_error::text(&self.why))
    }
}

impl LogFile {
    /// Opens the file at `path` to append to it, or standard error if there is no path.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: Option<&Path>) -> Result<Self, LogError> {
        let destination = match path {
            Some(path) => Destination::open(path)?,
            None => Destination::standard_error(),
        };
        Ok(Self(Arc::new(Mutex::new(Inner {
            destination,
            path: path.map(Path::to_owned),
            line: Vec::new(),
            rest: Vec::new(),
            lost: 0,
            is_retry: false,
        }))))
    }

    /// Reopens the log file, for example after logrotate has moved it. Returns false if the log is standard error.
    ///
    /// # Errors
    /// The file cannot be opened. The old file stays in use.
    pub fn reopen(&self) -> Result<bool, LogError> {
        let mut inner = self.inner();
        let Some(path) = &inner.path else { return Ok(false) };
        inner.destination = Destination::open(path)?;
        inner.rest.clear();
        Ok(true)
    }

    /// Whether lines were lost and not reported yet, or the last line is not complete yet.
    pub fn is_stuck(&self) -> bool {
        let inner = self.inner();
        inner.lost > 0 || !inner.rest.is_empty()
    }

    /// Tries to write again, and to report the lost lines.
    pub fn retry(&self) {
        if !self.is_stuck() {
            return;
        }
        self.inner().is_retry = true;
        log::warn!("the log works again");
        self.inner().is_retry = false;
    }

    /// Whether the log goes to the systemd journal, which gives each line a time of its own.
    fn is_journal(&self) -> bool {
        self.inner().path.is_none() && is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Collects the pieces in which the logger writes a line.
impl Write for LogFile {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let mut inner = self.inner();
        for part in piece.split_inclusive(|&byte| byte == b'\n') {
            match part.strip_suffix(b"\n") {
                None => inner.line.extend_from_slice(part),
                Some(end) => {
                    inner.line.extend_from_slice(end);
                    inner.end_line();
                }
            }
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Inner {
    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let mut line = escape::escape_separators(escape::escape(&line)).into_owned();
        line.push(b'\n');
        if line.len() > MAX_LINE {
            let most = MAX_LINE - CUT.len();
            let end = (0..=most).rev().find(|&end| !is_inside_character(line[end]));
            line.truncate(end.unwrap_or(most));
            line.extend_from_slice(CUT);
        }
        let is_written = self.put_rest() && self.put_lost(&line) && self.put(&line);
        if !is_written && !self.is_retry {
            self.lost += 1;
        }
    }

    /// Writes the rest of an incomplete line. Returns whether no rest is left.
    fn put_rest(&mut self) -> bool {
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() && !self.put(&rest) {
            self.rest = rest;
        }
        self.rest.is_empty()
    }

    /// Writes how many lines were lost before `line`, with the time of `line` if it has one. Returns whether that
    /// was written.
    fn put_lost(&mut self, line: &[u8]) -> bool {
        if self.lost == 0 {
            return true;
        }
        // The time, if there is one, stands before the level in brackets.
        let time = line.split(|&byte| byte == b'[').next().unwrap_or_default();
        let report = format!("{}[WARN] log lines lost: {}\n", String::from_utf8_lossy(time), self.lost);
        if !self.put(report.as_bytes()) {
            return false;
        }
        self.lost = 0;
        self.rest.is_empty()
    }

    /// Writes `line`, and keeps what was not written as the rest. Returns whether any byte was written.
    fn put(&mut self, line: &[u8]) -> bool {
        match self.destination.write(line) {
            Ok(bytes) => {
                self.rest = line.get(bytes..).unwrap_or_default().to_vec();
                bytes > 0
            }
            Err(_) => false,
        }
    }
}

impl Destination {
    fn open(path: &Path) -> Result<Self, LogError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
        open(path, flags).map(Self::Own).map_err(|why| LogError { path: path.to_owned(), why: why.into() })
    }

    /// Standard error. Other processes may share it, and O_NONBLOCK would apply to them too: a pipe or a terminal
    /// is opened a second time instead.
    fn standard_error() -> Self {
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

    fn write(&self, line: &[u8]) -> rustix::io::Result<usize> {
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

/// Whether a byte of UTF-8 continues a character.
const fn is_inside_character(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

fn open(path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let safely = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags | safely, Mode::from_raw_mode(0o644))
}

fn standard_error() -> BorrowedFd<'static> {
    // The descriptor is always open: Rust opens /dev/null for one that is closed at the start.
    static STANDARD_ERROR: std::sync::LazyLock<io::Stderr> = std::sync::LazyLock::new(io::stderr);
    STANDARD_ERROR.as_fd()
}

/// Whether standard error is the stream that `JOURNAL_STREAM` names as `device:inode`, both in decimal
/// (systemd.exec(5)). The variable alone is not enough: a process may inherit it without the stream.
fn is_journal(journal_stream: Option<&str>) -> bool {
    let Some((device, inode)) = journal_stream.and_then(|stream| stream.split_once(':')) else {
        return false;
    };
    rustix::fs::fstat(standard_error())
        .is_ok_and(|stat| device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino))
}

/// Sends events of `level` and above to `log`, one line each: time in UTC, level, text.
///
/// The time is left out if the log goes to the systemd journal. A second call in a process has no effect.
pub fn start(log: &LogFile, level: LevelFilter) {
    let config = ConfigBuilder::new()
        .set_time_format_custom(clock::TIME_FORMAT)
        .set_time_level(if log.is_journal() { LevelFilter::Off } else { LevelFilter::Error })
        .set_thread_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        // Events of libraries are left out.
        .add_filter_allow_str("hubbub")
        .build();
    _ = WriteLogger::init(level, config, log.clone());
}
