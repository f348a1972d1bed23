//! Where the log goes: a place that may be slow, full or gone, and must never stop the chat.
//!
//! Nothing here blocks and nothing fails: a line that the place does not take is counted, and the
//! count is written as soon as lines are taken again.

use crate::util::os_error;
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

/// Longer lines are cut. A pipe takes so many bytes (`PIPE_BUF`, pipe(7)) as a whole or not at all.
const LONGEST: usize = 4096;
const CUT: &[u8] = b" [cut]\n";
const NOT_WAITING: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The log's place, shared by the logger and the server.
#[derive(Debug, Clone)]
pub struct LogFile(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    place: Place,
    path: Option<PathBuf>,
    /// The line that is being put together.
    line: Vec<u8>,
    /// The rest of a line of which the place took a part.
    rest: Vec<u8>,
    lost: u64,
    /// The line that is being logged only finds out whether the place works again.
    trying: bool,
}

#[derive(Debug)]
enum Place {
    /// Opened by us, and so as not to block.
    Own(OwnedFd),
    /// Standard error where it is no terminal and could not be opened anew: asked first whether it
    /// takes a line.
    Shared,
    /// Standard error where it is somebody else's terminal: one that has room for a part of a line
    /// would still block, so for each line it is made not to, and others who have it too may notice.
    Terminal,
    /// Standard error where it is a socket, as under systemd.
    Socket,
}

/// The log file cannot be opened; says which and why.
#[derive(Debug)]
pub struct LogError {
    path: PathBuf,
    why: io::Error,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot log to {}: {}", self.path.display(), os_error::text(&self.why))
    }
}

impl LogFile {
    /// The file at `path`, appended to, or standard error.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: Option<&Path>) -> Result<Self, LogError> {
        let place = match path {
            Some(path) => Place::open(path)?,
            None => Place::standard_error(),
        };
        Ok(Self(Arc::new(Mutex::new(Inner {
            place,
            path: path.map(Path::to_owned),
            line: Vec::new(),
            rest: Vec::new(),
            lost: 0,
            trying: false,
        }))))
    }

    /// Opens the file anew, after it was moved away; whether there is a file.
    ///
    /// # Errors
    /// It cannot be opened; the old one stays in use.
    pub fn reopen(&self) -> Result<bool, LogError> {
        let mut inner = self.inner();
        let Some(path) = &inner.path else { return Ok(false) };
        inner.place = Place::open(path)?;
        inner.rest.clear();
        Ok(true)
    }

    /// Whether lines were lost that nobody was told of, or a line is not yet whole.
    pub fn is_stuck(&self) -> bool {
        let inner = self.inner();
        inner.lost > 0 || !inner.rest.is_empty()
    }

    /// Finds out whether the place takes lines again, and tells it what was lost.
    pub fn try_again(&self) {
        if !self.is_stuck() {
            return;
        }
        self.inner().trying = true;
        log::warn!("the log works again");
        self.inner().trying = false;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the logger writes to: it hands over pieces of lines.
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
        let mut line = escape::escape(&std::mem::take(&mut self.line)).into_owned();
        line.push(b'\n');
        if line.len() > LONGEST {
            let most = LONGEST - CUT.len();
            let end = (0..=most).rev().find(|&end| !is_inside_character(line[end]));
            line.truncate(end.unwrap_or(most));
            line.extend_from_slice(CUT);
        }
        let taken = self.put_rest() && self.put_lost(&line) && self.put(&line);
        if !taken && !self.trying {
            self.lost += 1;
        }
    }

    /// Whether no line is half written.
    fn put_rest(&mut self) -> bool {
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() && !self.put(&rest) {
            self.rest = rest;
        }
        self.rest.is_empty()
    }

    /// Writes how many lines were lost before `line`, with its time; whether that is known there.
    fn put_lost(&mut self, line: &[u8]) -> bool {
        if self.lost == 0 {
            return true;
        }
        let time = line.split(|&byte| byte == b' ').next().unwrap_or_default();
        let told = format!("{} [WARN] log lines lost: {}\n", String::from_utf8_lossy(time), self.lost);
        if !self.put(told.as_bytes()) {
            return false;
        }
        self.lost = 0;
        self.rest.is_empty()
    }

    /// Writes `line`, of which the place may take a part for now; whether it took any.
    fn put(&mut self, line: &[u8]) -> bool {
        match self.place.write(line) {
            Ok(bytes) => {
                self.rest = line.get(bytes..).unwrap_or_default().to_vec();
                bytes > 0
            }
            Err(_) => false,
        }
    }
}

impl Place {
    fn open(path: &Path) -> Result<Self, LogError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
        open(path, flags).map(Self::Own).map_err(|why| LogError { path: path.to_owned(), why: why.into() })
    }

    /// Others may have standard error too: to set it non-blocking would change it for them. A pipe or
    /// a terminal is opened once more instead.
    fn standard_error() -> Self {
        let kind = rustix::fs::fstat(standard_error()).map(|stat| FileType::from_raw_mode(stat.st_mode));
        match kind {
            Ok(FileType::Socket) => Self::Socket,
            Ok(FileType::Fifo) => Self::open_anew().unwrap_or(Self::Shared),
            Ok(FileType::CharacterDevice) => Self::open_anew().unwrap_or(Self::Terminal),
            _ => Self::Shared,
        }
    }

    fn open_anew() -> Option<Self> {
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
    let quietly = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags | quietly, Mode::from_raw_mode(0o644))
}

fn standard_error() -> BorrowedFd<'static> {
    // Rust opens /dev/null for a standard descriptor that was closed, so there always is one.
    static STANDARD_ERROR: std::sync::LazyLock<io::Stderr> = std::sync::LazyLock::new(io::stderr);
    STANDARD_ERROR.as_fd()
}

/// Sends what is logged at `level` and above to `log`: one line an event, its time in UTC first.
///
/// A second call in one process changes nothing.
pub fn start(log: &LogFile, level: LevelFilter) {
    let config = ConfigBuilder::new()
        .set_time_format_rfc3339()
        .set_thread_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        // Not what its libraries have to say of themselves.
        .add_filter_allow_str("hubbub")
        .build();
    _ = WriteLogger::init(level, config, log.clone());
}
