//! The file, terminal, pipe or socket that the log goes to. It may be slow, full or gone; the chat goes on.
//!
//! Writing never blocks and never fails. Lines that cannot be written are counted, and the count is written as
//! soon as lines can be written again.

use super::destination::{Destination, standard_error};
use crate::util::os_error;
use crate::wire::escape;
use signal_hook::consts::SIGXFSZ;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Longer lines are cut. A pipe takes up to this many bytes as a whole or not at all (`PIPE_BUF`, pipe(7)).
const MAX_LINE: usize = 4096;
const CUT: &[u8] = b" [cut]\n";

/// The log's destination, shared by the logger and the server.
#[derive(Debug, Clone)]
pub struct LogFile(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    destination: Destination,
    /// The log file; `None` = standard error.
    path: Option<PathBuf>,
    /// The rest of a line that was written in part.
    rest: Vec<u8>,
    /// Lines that count as lost if the rest is dropped. The report of lost lines stands for all of them.
    rest_lines: u64,
    /// The size of the log file when the line was written in part.
    torn_at: u64,
    /// Lines that could not be written, since the last report of them.
    lost: u64,
    /// Whether the current line is only an attempt to write again: it does not count as lost.
    is_retry: bool,
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
        ignore_size_limit();
        let destination = match path {
            Some(path) => Destination::open(path).map_err(|why| LogError { path: path.to_owned(), why })?,
            None => Destination::standard_error(),
        };
        let mut inner = Inner {
            destination,
            path: path.map(Path::to_owned),
            rest: Vec::new(),
            rest_lines: 0,
            torn_at: 0,
            lost: 0,
            is_retry: false,
        };
        inner.start_line(path.is_some_and(ends_mid_line));
        Ok(Self(Arc::new(Mutex::new(inner))))
    }

    /// Reopens the log file, for example after logrotate has moved it. Returns false if the log is standard error.
    ///
    /// # Errors
    /// The file cannot be opened. The old file stays in use.
    pub fn reopen(&self) -> Result<bool, LogError> {
        let mut inner = self.inner();
        let Some(path) = &inner.path else { return Ok(false) };
        let destination = Destination::open(path).map_err(|why| LogError { path: path.clone(), why })?;
        let ends_mid_line = ends_mid_line(path);
        let is_same_file = destination.is_same_file(&inner.destination);
        inner.destination = destination;
        if !is_same_file {
            inner.drop_rest();
            inner.start_line(ends_mid_line);
        }
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
    pub(super) fn is_journal(&self) -> bool {
        self.inner().path.is_none() && is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref())
    }

    /// Writes `text`; each line feed in it begins another line.
    pub(super) fn write(&self, text: &str) {
        let mut inner = self.inner();
        text.split('\n').for_each(|line| inner.write_line(line.as_bytes()));
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn write_line(&mut self, line: &[u8]) {
        let mut line = escape::escape_separators(escape::escape(line)).into_owned();
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

    /// Makes the next line begin at the start of a line of the file.
    fn start_line(&mut self, ends_mid_line: bool) {
        if ends_mid_line && !self.put(b"\n") {
            self.rest = b"\n".to_vec();
        }
        self.rest_lines = 0;
    }

    /// Drops the rest of an incomplete line, which counts as lost.
    fn drop_rest(&mut self) {
        self.rest.clear();
        self.lost += std::mem::take(&mut self.rest_lines);
    }

    /// Writes the rest of an incomplete line. Returns whether no rest is left.
    fn put_rest(&mut self) -> bool {
        if !self.rest.is_empty() && self.destination.file_size().is_some_and(|size| size < self.torn_at) {
            // The file was truncated, for example by copytruncate of logrotate: the first half is gone.
            self.drop_rest();
        }
        let (rest, lines) = (std::mem::take(&mut self.rest), self.rest_lines);
        if !rest.is_empty() && !self.put(&rest) {
            self.rest = rest;
        }
        if self.rest.is_empty() {
            return true;
        }
        self.rest_lines = lines;
        false
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
        let lost = std::mem::take(&mut self.lost);
        if self.rest.is_empty() {
            return true;
        }
        self.rest_lines = lost;
        false
    }

    /// Writes `line`, and keeps what was not written as the rest. Returns whether any byte was written.
    fn put(&mut self, line: &[u8]) -> bool {
        match self.destination.write(line) {
            Ok(bytes) => {
                self.rest = line.get(bytes..).unwrap_or_default().to_vec();
                self.rest_lines = 0;
                if !self.rest.is_empty() {
                    self.rest_lines = u64::from(!self.is_retry);
                    self.torn_at = self.destination.file_size().unwrap_or_default();
                }
                bytes > 0
            }
            Err(_) => false,
        }
    }
}

/// Whether a byte of UTF-8 continues a character.
const fn is_inside_character(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

/// Whether a file ends in the middle of a line, for example because the disk was full.
fn ends_mid_line(path: &Path) -> bool {
    let last_byte = || {
        let size = fs::metadata(path).ok().filter(fs::Metadata::is_file)?.len();
        let mut byte = [0];
        File::open(path).ok()?.read_exact_at(&mut byte, size.checked_sub(1)?).ok()?;
        Some(byte[0])
    };
    last_byte().is_some_and(|byte| byte != b'\n')
}

/// A write beyond the limit of file sizes then fails. By default SIGXFSZ would end the process.
fn ignore_size_limit() {
    // Fails only if the system has no such signal.
    _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
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
