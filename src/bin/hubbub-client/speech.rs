//! What is said: bytes on their way to the server.

use hubbub::net::transport::PlainStream;
use memchr::memrchr;
use std::io::{self, ErrorKind, Write};
use std::time::{Duration, Instant};

/// So much may be sent and still be kept.
const KEPT: usize = 64 * 1024;

/// Bytes that the server has not taken.
#[derive(Debug, Default)]
pub(crate) struct Speech {
    bytes: Vec<u8>,
    sent: usize,
    /// When this connection took something last.
    last: Option<Instant>,
    /// The first bytes of the line that is being said: enough to know `/quit` by.
    line: Vec<u8>,
    /// Whether the last whole line was that.
    has_quit: bool,
}

/// Whether a line asks a server whose view has names to let one go.
pub(crate) fn is_quit(line: &[u8]) -> bool {
    let rest = line.strip_prefix(b"/quit");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b' ' | b'\t' | b'\r' | b'\n')))
}

impl Speech {
    /// Appends `bytes`.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // A line also ends at CR NUL.
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | 0)) {
            let missing = "/quit ".len() - self.line.len();
            self.line.extend_from_slice(&piece[..piece.len().min(missing)]);
            if piece.ends_with(b"\n") || piece.ends_with(b"\r\0") {
                self.has_quit = is_quit(&self.line);
                self.line.clear();
            }
        }
    }

    /// Whether `/quit` was the last that was said, so that an end of the connection is the answer.
    pub(crate) const fn has_quit(&self) -> bool {
        self.has_quit && self.line.is_empty() && self.owed() == 0
    }

    /// How many bytes are to be sent.
    pub(crate) const fn owed(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Sends what `stream` takes now.
    ///
    /// # Errors
    /// The connection is broken.
    pub(crate) fn send(&mut self, stream: &mut PlainStream) -> io::Result<()> {
        while self.owed() > 0 {
            match stream.write(&self.bytes[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    self.sent += bytes;
                    self.last = Some(Instant::now());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if self.owed() == 0 {
            self.bytes.clear();
            self.sent = 0;
        } else if self.sent >= self.owed().max(KEPT) {
            // It moves what is left.
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }

    /// Whether something is to be sent, or was sent so short a time ago.
    pub(crate) fn was_said_within(&self, time: Duration) -> bool {
        self.owed() > 0 || self.last.is_some_and(|last| last.elapsed() < time)
    }

    /// The connection broke: a line of which the server has a part is sent from its beginning next time.
    pub(crate) fn begin_line_again(&mut self) {
        (self.last, self.has_quit) = (None, false);
        self.sent = memrchr(b'\n', &self.bytes[..self.sent]).map_or(0, |end| end + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_begins_again_and_a_whole_one_does_not() {
        for (sent, owed) in [(0, "one\ntwo\n"), (2, "one\ntwo\n"), (4, "two\n"), (6, "two\n"), (8, "")] {
            let mut speech = Speech { sent, ..Speech::default() };
            speech.say(b"one\ntwo\n");
            speech.begin_line_again();
            assert_eq!(&speech.bytes[speech.sent..], owed.as_bytes(), "after {sent}");
        }
    }
}
