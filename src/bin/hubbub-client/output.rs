//! Standard output, which may be slow, full or closed.

use hubbub::util::os_error;
use rustix::io::Errno;
use std::io::{self, Stdout};

/// Bytes per write: a pipe that is ready takes `PIPE_BUF` bytes (pipe(7)); a larger write could block.
const WRITE_SIZE: usize = 4096;

/// Written bytes stay at the front of the buffer up to this size, and its capacity does too.
const MAX_WRITTEN: usize = 256 * 1024;

/// Bytes that are to be written to standard output.
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

    /// Returns the descriptor to poll before [`write`](Self::write).
    pub(crate) const fn descriptor(&self) -> &Stdout {
        &self.stdout
    }

    /// Returns the buffer to append to.
    pub(crate) const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Returns how many bytes are still to be written.
    pub(crate) const fn pending(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Writes once, past the buffer of the standard library; returns false if the reader has closed the pipe.
    ///
    /// # Errors
    /// One line that says why standard output cannot be written.
    pub(crate) fn write(&mut self) -> Result<bool, String> {
        let piece = &self.bytes[self.written..];
        if piece.is_empty() {
            // Poll reports a descriptor with nothing to write only if its reader is gone.
            return Ok(false);
        }
        match rustix::io::write(&self.stdout, &piece[..piece.len().min(WRITE_SIZE)]) {
            Ok(bytes) => self.written += bytes,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::PIPE) => return Ok(false),
            Err(error) => {
                let why = os_error::text(&io::Error::from(error));
                return Err(format!("cannot write to standard output: {why}"));
            }
        }
        // Drops written bytes only if they are more than the rest, which drain moves.
        if self.pending() == 0 || self.written >= self.pending().max(MAX_WRITTEN) {
            self.bytes.drain(..self.written);
            self.bytes.shrink_to(MAX_WRITTEN);
            self.written = 0;
        }
        Ok(true)
    }
}
