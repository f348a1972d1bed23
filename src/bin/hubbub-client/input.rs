//! Standard input that is said.

use crate::speech::Speech;
use hubbub::util::os_error;
use rustix::io::Errno;
use std::io::{self, IsTerminal, Stdin};

/// Bytes read at once.
const READ: usize = 64 * 1024;

/// Standard input, while it is read.
#[derive(Debug)]
pub(crate) struct Input {
    stdin: Stdin,
    /// Whoever types gets a line out of the terminal at a time.
    is_typed: bool,
    /// Whether the last byte read was no line end.
    is_mid_line: bool,
}

impl Input {
    pub(crate) fn new() -> Self {
        let stdin = io::stdin();
        Self { is_typed: stdin.is_terminal(), stdin, is_mid_line: false }
    }

    /// What is to be waited for before [`read`](Self::read).
    pub(crate) const fn descriptor(&self) -> &Stdin {
        &self.stdin
    }

    /// Reads once; whether there may be more.
    ///
    /// # Errors
    /// One line that says why it cannot be read.
    pub(crate) fn read(&mut self, speech: &mut Speech) -> Result<bool, String> {
        let mut buffer = [0; READ];
        let bytes = match rustix::io::read(&self.stdin, &mut buffer) {
            Ok(bytes) => &buffer[..bytes],
            Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
            Err(error) => {
                let why = os_error::text(&io::Error::from(error));
                return Err(format!("cannot read standard input: {why}"));
            }
        };
        let is_farewell = self.is_typed && !self.is_mid_line && matches!(bytes, b"exit\n" | b"/quit\n");
        if !(is_farewell && bytes == b"exit\n") {
            speech.say(bytes);
        }
        if let Some(last) = bytes.last() {
            self.is_mid_line = *last != b'\n';
            return Ok(!is_farewell);
        }
        if self.is_mid_line {
            speech.say(b"\n");
        }
        Ok(false)
    }
}
