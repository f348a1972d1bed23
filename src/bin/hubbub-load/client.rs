//! One connection to the server: its incomplete input and its unsent output.

use crate::protocol::{Protocol, Received};
use hubbub::net::transport::PlainStream;
use std::io::{ErrorKind, Read, Write};

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The server has not accepted the connection yet.
    Connecting,
    /// Connected, but not yet known to receive lines.
    Connected,
    /// Receives the lines of the others.
    Joined,
    /// Closed or broken.
    Closed,
}

/// The result of one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadResult {
    /// The buffer holds this many bytes to decode; the flag says whether another read may find more.
    Bytes(usize, bool),
    /// No bytes until the next event.
    Nothing,
}

/// A client of the server.
#[derive(Debug)]
pub(crate) struct Client {
    stream: PlainStream,
    pub(crate) state: State,
    partial: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
}

impl Client {
    /// Creates a client that sends `handshake` as soon as it is connected.
    pub(crate) fn new(stream: PlainStream, handshake: &[u8]) -> Self {
        Self { stream, state: State::Connecting, partial: Vec::new(), output: handshake.to_vec(), sent: 0 }
    }

    /// Returns the stream.
    pub(crate) const fn stream(&mut self) -> &mut PlainStream {
        &mut self.stream
    }

    /// Whether the client is connected.
    pub(crate) const fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected | State::Joined)
    }

    /// Returns the pending output, to append to.
    pub(crate) const fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Whether output is still to be sent.
    pub(crate) const fn has_output(&self) -> bool {
        self.is_connected() && !self.output.is_empty()
    }

    /// Sends as much output as the socket takes; returns whether all is sent.
    pub(crate) fn flush(&mut self) -> bool {
        while self.is_connected() && self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                // Input that arrived earlier can still be read.
                Err(_) => break,
            }
        }
        self.output.clear();
        self.sent = 0;
        true
    }

    /// Reads once into `buffer`, behind the incomplete message of the last read.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> ReadResult {
        let kept = self.partial.len();
        buffer[..kept].copy_from_slice(&self.partial);
        match self.stream.read(&mut buffer[kept..]) {
            Ok(0) => self.state = State::Closed,
            Ok(bytes) => return ReadResult::Bytes(kept + bytes, kept + bytes == buffer.len()),
            Err(error) if error.kind() == ErrorKind::Interrupted => return ReadResult::Bytes(kept, true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.state = State::Closed,
        }
        ReadResult::Nothing
    }

    /// Passes each message in `input` to `on_message`, replies to pings, and keeps an incomplete message.
    ///
    /// An incomplete message of `capacity` bytes or more is dropped: the load sends no message that long. While so much
    /// output is pending, pings get no reply: the server does not read.
    pub(crate) fn decode(
        &mut self,
        mut input: &[u8],
        protocol: Protocol,
        capacity: usize,
        mut on_message: impl FnMut(Received<'_>),
    ) {
        while let Some(message) = protocol.decode(&mut input) {
            if let Received::Ping(reply) = message
                && self.output.len() < capacity
            {
                self.output.extend_from_slice(reply);
            }
            on_message(message);
        }
        self.partial.clear();
        if input.len() < capacity {
            self.partial.extend_from_slice(input);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_of_a_server_that_does_not_read_get_replies_up_to_a_limit() {
        let (stream, _server) = mio::net::UnixStream::pair().expect("a pair of sockets");
        let mut client = Client::new(PlainStream::new(stream), b"");
        client.state = State::Joined;
        let (pings, mut pings_seen) = (b"PING\r\n".repeat(100), 0);
        for _ in 0..1000 {
            client.decode(&pings, Protocol::Nats, 6000, |_| pings_seen += 1);
        }
        assert_eq!((pings_seen, client.output().len()), (100_000, 6000));
    }
}
