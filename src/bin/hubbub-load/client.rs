//! One connection to the server: what has come in part, and what is still to be sent.

use crate::protocol::{Protocol, Told};
use hubbub::net::transport::PlainStream;
use std::io::{ErrorKind, Read, Write};

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The server has not answered.
    Connecting,
    /// Connected, and not known to be in the room.
    Connected,
    /// It hears what others say.
    In,
    /// It was ended or broken.
    Gone,
}

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// So many bytes of the buffer are to be told; whether there may be more right now.
    Bytes(usize, bool),
    /// Nothing until the next report.
    Nothing,
}

/// A client of the server.
#[derive(Debug)]
pub(crate) struct Client {
    stream: PlainStream,
    pub(crate) state: State,
    partial: Vec<u8>,
    out: Vec<u8>,
    sent: usize,
}

impl Client {
    /// A client that says `hello` as soon as it is connected.
    pub(crate) fn new(stream: PlainStream, hello: &[u8]) -> Self {
        Self { stream, state: State::Connecting, partial: Vec::new(), out: hello.to_vec(), sent: 0 }
    }

    /// Its stream.
    pub(crate) const fn stream(&mut self) -> &mut PlainStream {
        &mut self.stream
    }

    /// Whether it is connected.
    pub(crate) const fn is_up(&self) -> bool {
        matches!(self.state, State::Connected | State::In)
    }

    /// What it is to send next is appended here.
    pub(crate) const fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Sends what it can; whether all is sent.
    pub(crate) fn send(&mut self) -> bool {
        while self.is_up() && self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                // What was said to it before is still to be read.
                Err(_) => break,
            }
        }
        self.out.clear();
        self.sent = 0;
        true
    }

    /// Reads once into `buffer`, after what is there in part.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Received {
        let kept = self.partial.len();
        buffer[..kept].copy_from_slice(&self.partial);
        match self.stream.read(&mut buffer[kept..]) {
            Ok(0) => self.state = State::Gone,
            Ok(bytes) => return Received::Bytes(kept + bytes, kept + bytes == buffer.len()),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Received::Bytes(kept, true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.state = State::Gone,
        }
        Received::Nothing
    }

    /// Hands on all that `input` tells, and keeps what is there in part.
    pub(crate) fn tell(
        &mut self,
        mut input: &[u8],
        protocol: Protocol,
        room: usize,
        mut hear: impl FnMut(Told<'_>),
    ) {
        while let Some(told) = protocol.next(&mut input) {
            if let Told::Asked(answer) = told {
                self.out.extend_from_slice(answer);
            }
            hear(told);
        }
        self.partial.clear();
        // What does not end within the buffer is nothing of ours.
        if input.len() < room {
            self.partial.extend_from_slice(input);
        }
    }
}
