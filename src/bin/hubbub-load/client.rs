//! One connection to the server: its incomplete input and its unsent output.

use crate::protocol::{Protocol, Received};
use crate::stream::Stream;
use std::io::{self, ErrorKind, Read, Write};

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
    stream: Stream,
    pub(crate) state: State,
    /// Why TLS failed, if it did.
    failure: Option<String>,
    /// Whether the server has asked for the password and gets it.
    pub(crate) has_password: bool,
    partial: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
}

impl Client {
    /// Creates a client that sends `handshake` as soon as it is connected.
    pub(crate) fn new(stream: Stream, handshake: &[u8]) -> Self {
        Self {
            stream,
            state: State::Connecting,
            failure: None,
            has_password: false,
            partial: Vec::new(),
            output: handshake.to_vec(),
            sent: 0,
        }
    }

    /// Returns the stream.
    pub(crate) const fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// Returns why TLS failed, if it did.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Takes part in a TLS handshake, without reading what follows it.
    pub(crate) fn handshake(&mut self) {
        if self.is_connected()
            && let Err(error) = self.stream.handshake()
        {
            self.close(&error);
        }
    }

    fn close(&mut self, error: &io::Error) {
        self.state = State::Closed;
        // The errors of TLS; the others are those of the system.
        if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) {
            self.failure = Some(error.to_string());
        }
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
    pub(crate) fn has_output(&self) -> bool {
        self.is_connected() && (!self.output.is_empty() || self.stream.has_unsent())
    }

    /// Sends as much output as the socket takes; returns whether all is sent.
    pub(crate) fn flush(&mut self) -> bool {
        if self.is_connected()
            && let Err(error) = self.stream.flush()
            && error.kind() == ErrorKind::WouldBlock
        {
            return false;
        }
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
            Ok(bytes) => {
                let may_be_more = kept + bytes == buffer.len() || self.stream.has_unread();
                return ReadResult::Bytes(kept + bytes, may_be_more);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return ReadResult::Bytes(kept, true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => self.close(&error),
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
    use hubbub::net::client_stream::ClientStream;
    use hubbub::net::transport::PlainStream;

    #[test]
    fn pings_of_a_server_that_does_not_read_get_replies_up_to_a_limit() {
        let (stream, _server) = mio::net::UnixStream::pair().expect("a pair of sockets");
        let mut client = Client::new(Stream::new(ClientStream::Plain(PlainStream::new(stream)), false), b"");
        client.state = State::Joined;
        let (pings, mut pings_seen) = (b"PING\r\n".repeat(100), 0);
        for _ in 0..1000 {
            client.decode(&pings, Protocol::Nats, 6000, |_| pings_seen += 1);
        }
        assert_eq!((pings_seen, client.output().len()), (100_000, 6000));
    }
}
