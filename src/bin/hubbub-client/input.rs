//! Standard input, which is sent to the server.

use crate::entered::Entered;
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
    /// A terminal yields one line per read, so a line that leaves can be recognised.
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
    /// A user on a terminal can also end the input with `exit` or `quit`, and sends nothing empty.
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
        if self.is_terminal
            && !self.is_mid_line
            && let Some(line) = bytes.strip_suffix(b"\n")
            && let Ok(line) = std::str::from_utf8(line)
        {
            let entered = Entered::parse(line);
            for line in entered.lines {
                buffer.push(line.as_bytes());
                buffer.push(b"\n");
            }
            return Ok(!entered.leaves);
        }
        buffer.push(bytes);
        if let Some(last) = bytes.last() {
            self.is_mid_line = *last != b'\n';
            return Ok(true);
        }
        if self.is_mid_line {
            buffer.push(b"\n");
        }
        Ok(false)
    }
}
