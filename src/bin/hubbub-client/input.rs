//! Standard input, which is sent to the server.

use crate::send::SendBuffer;
use hubbub::util::os_error;
use rustix::io::Errno;
use std::io::{self, IsTerminal, Stdin};

/// Bytes per read.
const READ_SIZE: usize = 64 * 1024;

/// Standard input while it is open.
#[derive(Debug)]
pub(crate) struct Input {
    stdin: Stdin,
    /// A terminal yields one line per read, so `exit` can be recognised.
    is_terminal: bool,
    /// Whether the last byte read was not a line end.
    is_mid_line: bool,
}

impl Input {
    pub(crate) fn new() -> Self {
        let stdin = io::stdin();
        Self { is_terminal: stdin.is_terminal(), stdin, is_mid_line: false }
    }

    /// Returns the descriptor to poll before [`read`](Self::read).
    pub(crate) const fn descriptor(&self) -> &Stdin {
        &self.stdin
    }

    /// Reads once into `buffer`; returns false at the end of the input.
    ///
    /// `exit` and `/quit` on a terminal end the input too.
    ///
    /// # Errors
    /// One line that says why standard input cannot be read.
    pub(crate) fn read(&mut self, buffer: &mut SendBuffer) -> Result<bool, String> {
        let mut bytes = [0; READ_SIZE];
        let bytes = match rustix::io::read(&self.stdin, &mut bytes) {
            Ok(count) => &bytes[..count],
            Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
            Err(error) => {
                let why = os_error::text(&io::Error::from(error));
                return Err(format!("cannot read standard input: {why}"));
            }
        };
        let leaves = self.is_terminal && !self.is_mid_line && matches!(bytes, b"exit\n" | b"/quit\n");
        if !(leaves && bytes == b"exit\n") {
            buffer.push(bytes);
        }
        if let Some(last) = bytes.last() {
            self.is_mid_line = *last != b'\n';
            return Ok(!leaves);
        }
        if self.is_mid_line {
            buffer.push(b"\n");
        }
        Ok(false)
    }
}
