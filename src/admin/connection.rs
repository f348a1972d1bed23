//! One connection of an operator: lines in, answers out, one command at a time.

use crate::net::peer::Peer;
use crate::net::transport::{Transport, retry};
use crate::util::clock::Moment;
use crate::wire::escape;
use memchr::memchr;
use std::io::{ErrorKind, IoSlice};
use std::time::Duration;

/// The longest line, in bytes: a command and a text.
pub(super) const MAX_LINE: usize = 4096;
/// Bytes of one read.
const READ_SIZE: usize = 4096;
/// An operator that reads nothing of an answer for this long is disconnected.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection of an operator.
#[derive(Debug)]
pub(super) struct AdminConnection<S> {
    socket: S,
    peer: Peer,
    /// Input that is not handled yet: at most one line that is too long, and one read.
    input: Vec<u8>,
    /// The rest of a line that is too long is dropped.
    is_dropping: bool,
    has_ended: bool,
    /// The answer to the last command.
    output: Vec<u8>,
    /// Bytes of it that are written.
    written: usize,
    /// When the connection is closed if the operator has read nothing until then.
    deadline: Option<Moment>,
    readable: bool,
    writable: bool,
}

/// The next step of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Carry out this line, escaped already, and [answer](AdminConnection::answer).
    Run(String),
    /// [Answer](AdminConnection::answer) that a line was too long.
    TooLong,
    /// Nothing until the next event or deadline.
    Wait,
    /// Call again in the next turn.
    Again,
    /// Close: everything is answered, or the connection was lost.
    Close,
}

impl<S: Transport> AdminConnection<S> {
    pub(super) const fn new(socket: S, peer: Peer) -> Self {
        Self {
            socket,
            peer,
            input: Vec::new(),
            is_dropping: false,
            has_ended: false,
            output: Vec::new(),
            written: 0,
            deadline: None,
            readable: false,
            writable: true,
        }
    }

    pub(super) const fn peer(&self) -> Peer {
        self.peer
    }

    pub(super) const fn deadline(&self) -> Option<Moment> {
        self.deadline
    }

    pub(super) const fn mark_ready(&mut self, readable: bool, writable: bool) {
        self.readable |= readable;
        self.writable |= writable;
    }

    /// Whether there is something to do without an event: an answer to write, a line to handle, or input to read.
    pub(super) fn has_work(&self) -> bool {
        if self.has_output() {
            return self.writable;
        }
        self.readable || self.has_ended || memchr(b'\n', &self.input).is_some()
    }

    /// Does one step of work: writes once, or takes a line, or reads once. The next line is taken when the answer to
    /// the one before is written.
    pub(super) fn step(&mut self, now: Moment) -> Step {
        if self.has_output() {
            return self.write(now);
        }
        if let Some(line) = self.next_line() {
            return line;
        }
        if self.readable {
            return self.read();
        }
        if self.has_ended {
            self.socket.shutdown_write();
            return Step::Close;
        }
        Step::Wait
    }

    /// Sets the answer to the line that [`step`](Self::step) returned.
    pub(super) fn answer(&mut self, answer: String, now: Moment) {
        self.output = answer.into_bytes();
        self.written = 0;
        self.deadline = Some(now.after(READ_TIMEOUT));
    }

    const fn has_output(&self) -> bool {
        self.written < self.output.len()
    }

    /// Writes once; [`Step::Wait`] if the socket takes nothing and the time for that is not over.
    fn write(&mut self, now: Moment) -> Step {
        if !self.writable {
            let is_over = self.deadline.is_some_and(|deadline| deadline <= now);
            return if is_over { Step::Close } else { Step::Wait };
        }
        match retry(|| self.socket.write_vectored(&[IoSlice::new(&self.output[self.written..])])) {
            Ok(0) => Step::Close,
            Ok(bytes) => {
                self.written += bytes;
                self.deadline = self.has_output().then(|| now.after(READ_TIMEOUT));
                if !self.has_output() {
                    // A long answer needs its memory only until it is written.
                    self.output = Vec::new();
                    self.written = 0;
                }
                Step::Again
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.writable = false;
                Step::Wait
            }
            Err(_) => Step::Close,
        }
    }

    fn read(&mut self) -> Step {
        let mut buffer = [0; READ_SIZE];
        match retry(|| self.socket.read(&mut buffer)) {
            Ok(0) => {
                self.readable = false;
                self.has_ended = true;
            }
            Ok(bytes) => self.input.extend_from_slice(&buffer[..bytes]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
            Err(_) => return Step::Close,
        }
        Step::Again
    }

    /// Takes the next line that is not blank. What is unfinished at the end of the input is a line too.
    fn next_line(&mut self) -> Option<Step> {
        loop {
            let end = memchr(b'\n', &self.input);
            let len = end.unwrap_or(self.input.len());
            if len > MAX_LINE && !self.is_dropping {
                self.is_dropping = true;
                return Some(Step::TooLong);
            }
            if end.is_none() && !self.has_ended {
                if self.is_dropping {
                    self.input.clear();
                }
                return None;
            }
            if self.input.is_empty() {
                return None;
            }
            let line = self.input.drain(..(len + 1).min(self.input.len())).collect::<Vec<_>>();
            let text = &line[..len];
            if !std::mem::take(&mut self.is_dropping) && !text.trim_ascii().is_empty() {
                return Some(Step::Run(escaped(text.strip_suffix(b"\r").unwrap_or(text))));
            }
        }
    }
}

/// A line of an operator as it is logged and sent to clients: it can neither control a terminal nor end a line.
fn escaped(line: &[u8]) -> String {
    let escaped = escape::escape_separators(escape::escape(line));
    String::from_utf8_lossy(&escaped).into_owned()
}
