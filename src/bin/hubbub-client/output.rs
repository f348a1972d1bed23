//! Standard output that may be slow, full or closed.

use hubbub::util::os_error;
use rustix::io::Errno;
use std::io::{self, Stdout};

/// A pipe that takes anything takes so many bytes (`PIPE_BUF`, pipe(7)); more could block.
const AT_ONCE: usize = 4096;

/// So much may be written and still be kept, and room for so much is.
const KEPT: usize = 256 * 1024;

/// Lines on their way to standard output.
#[derive(Debug)]
pub(crate) struct Output {
    stdout: Stdout,
    bytes: Vec<u8>,
    written: usize,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self { stdout: io::stdout(), bytes: Vec::new(), written: 0 }
    }

    /// What is to be waited for before [`write`](Self::write).
    pub(crate) const fn descriptor(&self) -> &Stdout {
        &self.stdout
    }

    /// What is to be written is appended here.
    pub(crate) const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// How many bytes are to be written.
    pub(crate) const fn owed(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Whether anything is to be written.
    pub(crate) const fn is_owed(&self) -> bool {
        self.owed() > 0
    }

    /// Writes a piece at once, past the buffer of the standard library; false where nobody reads it any more.
    ///
    /// # Errors
    /// One line that says why it cannot be written.
    pub(crate) fn write(&mut self) -> Result<bool, String> {
        // It stirs with nothing to write where its reader is gone.
        let piece = &self.bytes[self.written..];
        if piece.is_empty() {
            return Ok(false);
        }
        match rustix::io::write(&self.stdout, &piece[..piece.len().min(AT_ONCE)]) {
            Ok(bytes) => self.written += bytes,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::PIPE) => return Ok(false),
            Err(error) => {
                let why = os_error::text(&io::Error::from(error));
                return Err(format!("cannot write to standard output: {why}"));
            }
        }
        // What is written is dropped when it is more than what is left, which that moves.
        if self.owed() == 0 || self.written >= self.owed().max(KEPT) {
            self.bytes.drain(..self.written);
            self.bytes.shrink_to(KEPT);
            self.written = 0;
        }
        Ok(true)
    }
}
