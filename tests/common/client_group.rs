//! Many nonblocking clients that one thread drives.

use super::client::JOINING;
use super::time_limit;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

/// A nonblocking client that sends `input`.
pub struct Member {
    stream: TcpStream,
    pub input: Vec<u8>,
    pub sent: usize,
}

impl Member {
    /// Sends as much as the socket takes.
    #[track_caller]
    pub fn write(&mut self) {
        while self.sent < self.input.len() {
            match self.stream.write(&self.input[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("a sender was disconnected: {error}"),
            }
        }
    }

    /// Passes what has arrived to `receive`.
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8], mut receive: impl FnMut(&[u8])) {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => panic!("a reader was disconnected"),
                Ok(bytes) => receive(&buffer[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("a reader was disconnected: {error}"),
            }
        }
    }
}

/// Clients that share one poll.
pub struct ClientGroup {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    pub members: Vec<Member>,
}

impl ClientGroup {
    pub fn new() -> Self {
        let (poll, events) = (Poll::new().unwrap(), Events::with_capacity(1024));
        Self { poll, events, buffer: vec![0; 256 * 1024], members: Vec::new() }
    }

    /// Connects a client that sends `input`, and reads `greeting` bytes.
    #[track_caller]
    pub fn join(&mut self, address: SocketAddr, greeting: usize, input: Vec<u8>) {
        self.join_all(greeting, vec![(address, input)]);
    }

    /// Does the same for many clients, which wait for their greetings at the same time.
    #[track_caller]
    pub fn join_all(&mut self, greeting: usize, clients: Vec<(SocketAddr, Vec<u8>)>) {
        for joining in clients.chunks(JOINING) {
            let connect =
                |(address, _): &_| std::net::TcpStream::connect_timeout(address, time_limit()).unwrap();
            let streams = joining.iter().map(connect).collect::<Vec<_>>();
            for (stream, (_, input)) in streams.into_iter().zip(joining) {
                self.add(stream, greeting, input.clone());
            }
        }
    }

    #[track_caller]
    fn add(&mut self, mut stream: std::net::TcpStream, greeting: usize, input: Vec<u8>) {
        stream.set_read_timeout(Some(time_limit())).unwrap();
        stream.read_exact(&mut vec![0; greeting]).unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut stream = TcpStream::from_std(stream);
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(self.members.len()), both).unwrap();
        self.members.push(Member { stream, input, sent: 0 });
    }

    /// Waits for events, at most for `time`, and lets the ready clients send and receive. `receive` gets
    /// a client's index and its bytes. Returns whether a client was ready.
    #[track_caller]
    pub fn turn(&mut self, time: Duration, mut receive: impl FnMut(usize, &[u8])) -> bool {
        self.poll.poll(&mut self.events, Some(time)).unwrap();
        for event in &self.events {
            let Token(index) = event.token();
            self.members[index].write();
            self.members[index].read(&mut self.buffer, |bytes| receive(index, bytes));
        }
        !self.events.is_empty()
    }
}
