//! Bytes that are to be sent to the server.

use hubbub::chat::command::Command;
use hubbub::net::client_stream::ClientStream;
use memchr::memrchr;
use std::io::{self, ErrorKind, Write};
use std::time::{Duration, Instant};

/// Sent bytes stay at the front of the buffer up to this size: moving the rest for each write would cost more.
const MAX_SENT: usize = 64 * 1024;
/// A command that leaves and the byte after it: enough of a line to recognise the command.
const QUIT_PREFIX: usize = "/quit ".len();

/// Bytes that the connection has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct SendBuffer {
    bytes: Vec<u8>,
    /// How many of `bytes` the connection has taken.
    sent: usize,
    /// When the connection took bytes last.
    last_sent: Option<Instant>,
    /// The first bytes of the unfinished line, up to [`QUIT_PREFIX`].
    line_start: Vec<u8>,
    /// Whether the last complete line was `/quit` or `/exit`.
    ends_with_quit: bool,
}

/// Returns whether a line is the command `/quit` or `/exit`, which a server obeys in views with names.
pub(crate) fn is_quit(line: &[u8]) -> bool {
    Command::parse(line) == Command::Quit
}

impl SendBuffer {
    /// Appends `bytes`.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // A server also ends a line at CR NUL.
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | 0)) {
            // Blanks before a command are allowed.
            let start = if self.line_start.is_empty() { piece.trim_ascii_start() } else { piece };
            let missing = QUIT_PREFIX - self.line_start.len();
            self.line_start.extend_from_slice(&start[..start.len().min(missing)]);
            if piece.ends_with(b"\n") || piece.ends_with(b"\r\0") {
                self.ends_with_quit = is_quit(&self.line_start);
                self.line_start.clear();
            }
        }
    }

    /// Returns whether everything is sent and the last line was `/quit` or `/exit`: then a close is the server's answer.
    pub(crate) const fn has_sent_quit(&self) -> bool {
        self.ends_with_quit && self.line_start.is_empty() && self.pending() == 0
    }

    /// Returns how many bytes are still to be sent.
    pub(crate) const fn pending(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Sends what `stream` takes now.
    ///
    /// # Errors
    /// The connection is broken.
    pub(crate) fn send(&mut self, stream: &mut ClientStream) -> io::Result<()> {
        while self.pending() > 0 {
            match stream.write(&self.bytes[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    self.sent += bytes;
                    self.last_sent = Some(Instant::now());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        match stream.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        if self.pending() == 0 {
            self.bytes.clear();
            self.sent = 0;
        } else if self.sent >= self.pending().max(MAX_SENT) {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }

    /// Returns whether the connection has taken bytes.
    pub(crate) const fn has_sent(&self) -> bool {
        self.last_sent.is_some()
    }

    /// Returns whether bytes are pending or were sent within the last `time`.
    pub(crate) fn was_used_within(&self, time: Duration) -> bool {
        self.pending() > 0 || self.last_sent.is_some_and(|last| last.elapsed() < time)
    }

    /// Prepares for the next connection: a line that was sent in part is sent again from its start.
    pub(crate) fn rewind_line(&mut self) {
        (self.last_sent, self.ends_with_quit) = (None, false);
        self.sent = memrchr(b'\n', &self.bytes[..self.sent]).map_or(0, |end| end + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_line_that_leaves_is_recognised_however_it_is_cut() {
        for (text, has_quit) in [
            ("/quit\n", true),
            ("hi\n/exit\r\n", true),
            ("  /QUIT now\n", true),
            ("\n/quit\n", true),
            ("/quit", false),
            ("/quits\n", false),
            ("//quit\n", false),
            ("x /quit\n", false),
            ("exit\n", false),
            ("/quit\nhi\n", false),
        ] {
            for size in 1..=text.len() {
                let mut buffer = SendBuffer::default();
                text.as_bytes().chunks(size).for_each(|piece| buffer.push(piece));
                buffer.sent = buffer.bytes.len();
                assert_eq!(buffer.has_sent_quit(), has_quit, "{text:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_line_sent_in_part_is_sent_again_and_a_complete_one_is_not() {
        for (sent, pending) in [(0, "one\ntwo\n"), (2, "one\ntwo\n"), (4, "two\n"), (6, "two\n"), (8, "")] {
            let mut buffer = SendBuffer { sent, ..SendBuffer::default() };
            buffer.push(b"one\ntwo\n");
            buffer.rewind_line();
            assert_eq!(&buffer.bytes[buffer.sent..], pending.as_bytes(), "after {sent} bytes");
        }
    }
}
