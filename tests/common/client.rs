//! A client that sends bytes and waits for lines until a deadline.

use super::{Server, WELCOME, eventually, time_limit};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Clients that connect before the first of them reads its welcome line. With more at a time the server needs more
/// memory at once, and its allocator keeps a part of it.
pub const JOINING: usize = 50;

/// A client of the server under test. Each method that waits fails the test after the time limit.
pub struct Client {
    stream: TcpStream,
    /// Bytes that were received and not yet returned.
    received: Vec<u8>,
}

impl Client {
    /// Connects, and reads the welcome line.
    #[track_caller]
    pub fn join(server: &Server) -> Self {
        let mut client = Self::connect(server.address());
        client.expect_line(WELCOME);
        client
    }

    /// Connects `count` clients, and reads their welcome lines. Many wait for these at the same time, because the
    /// server sends each some milliseconds late.
    #[track_caller]
    pub fn join_many(server: &Server, count: usize) -> Vec<Self> {
        Self::join_many_as(count, || Self::connect(server.address()))
    }

    /// Does the same with a receive buffer of about `bytes`.
    #[track_caller]
    pub fn join_many_with_buffer(server: &Server, count: usize, bytes: usize) -> Vec<Self> {
        Self::join_many_as(count, || Self::connect_with_buffer(server.address(), bytes))
    }

    #[track_caller]
    fn join_many_as(count: usize, connect: impl Fn() -> Self) -> Vec<Self> {
        let mut clients = Vec::with_capacity(count);
        while clients.len() < count {
            let joined = clients.len();
            clients.extend((joined..count).take(JOINING).map(|_| connect()));
            clients[joined..].iter_mut().for_each(|client| client.expect_line(WELCOME));
        }
        clients
    }

    /// Connects, and reads nothing.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, time_limit()).unwrap();
        Self::from_stream(stream)
    }

    /// Connects with a receive buffer of about `bytes`, so that unread data soon stays in the server.
    /// Reads the welcome line.
    #[track_caller]
    pub fn join_with_buffer(server: &Server, bytes: usize) -> Self {
        let mut client = Self::connect_with_buffer(server.address(), bytes);
        client.expect_line(WELCOME);
        client
    }

    /// Connects with a receive buffer of about `bytes`, and reads nothing.
    #[track_caller]
    pub fn connect_with_buffer(address: SocketAddr, bytes: usize) -> Self {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
        // Set before connecting, because the size decides the first receive window.
        socket.set_recv_buffer_size(bytes).unwrap();
        socket.connect_timeout(&address.into(), time_limit()).unwrap();
        Self::from_stream(socket.into())
    }

    /// Returns a client on a connection that exists.
    #[track_caller]
    pub fn from_stream(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(time_limit())).unwrap();
        Self { stream, received: Vec::new() }
    }

    /// Connects to a unix socket, and reads nothing.
    #[track_caller]
    pub fn connect_to_path(path: &Path) -> Self {
        Self::from_unix_stream(UnixStream::connect(path).unwrap())
    }

    /// Returns a client on a unix socket that is connected.
    #[track_caller]
    pub fn from_unix_stream(stream: UnixStream) -> Self {
        stream.set_write_timeout(Some(time_limit())).unwrap();
        // A TcpStream can hold a unix socket: read, write and shutdown are the same system calls.
        Self { stream: OwnedFd::from(stream).into(), received: Vec::new() }
    }

    /// Returns the connection itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Returns the client's own address, which is its name in the log.
    #[track_caller]
    pub fn address(&self) -> String {
        self.stream.local_addr().unwrap().to_string()
    }

    /// Sends all of `bytes`.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends as much of `bytes` as the socket takes without blocking, and returns how much that is.
    #[track_caller]
    pub fn send_without_blocking(&self, bytes: &[u8]) -> usize {
        let mut stream = &self.stream;
        stream.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while sent < bytes.len() {
            match stream.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error} after {sent} bytes"),
            }
        }
        stream.set_nonblocking(false).unwrap();
        sent
    }

    /// Sends until the kernel has taken nothing in many attempts, and returns how much it took. The server must be
    /// paused.
    #[track_caller]
    pub fn send_until_full(&self) -> usize {
        let lines = format!("{}\n", "x".repeat(999)).repeat(64);
        let (mut sent, mut refused) = (0, 0);
        eventually("the kernel takes no more", || {
            let count = self.send_without_blocking(lines.as_bytes());
            sent += count;
            refused = if count == 0 { refused + 1 } else { 0 };
            (refused == 50).then_some(sent)
        })
    }

    /// Asserts that the next line, without its LF, is `line`.
    #[track_caller]
    pub fn expect_line(&mut self, line: impl AsRef<[u8]>) {
        let received = self.read_line();
        let (received, line) = (String::from_utf8_lossy(&received), String::from_utf8_lossy(line.as_ref()));
        assert_eq!(received, line);
    }

    /// Returns the next line without its LF.
    #[track_caller]
    pub fn read_line(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + time_limit();
        loop {
            if let Some(end) = self.received.iter().position(|&byte| byte == b'\n') {
                let rest = self.received.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.received, rest);
                line.pop();
                return line;
            }
            self.read_more(deadline, "a line");
        }
    }

    /// Returns the next line, which must be UTF-8, without its LF.
    #[track_caller]
    pub fn read_text(&mut self) -> String {
        String::from_utf8(self.read_line()).unwrap()
    }

    /// Returns the next `count` bytes.
    #[track_caller]
    pub fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        let deadline = Instant::now() + time_limit();
        while self.received.len() < count {
            self.read_more(deadline, &format!("{count} bytes"));
        }
        let rest = self.received.split_off(count);
        std::mem::replace(&mut self.received, rest)
    }

    /// Returns all bytes until the server closes the connection without a reset.
    #[track_caller]
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + time_limit();
        loop {
            match self.read_once(deadline) {
                Some(0) => return std::mem::take(&mut self.received),
                Some(_) => {}
                None => panic!("the connection is still open after {}", excerpt(&self.received)),
            }
        }
    }

    /// Asserts that the server closes the connection without a reset and sends nothing before.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let rest = self.read_to_end();
        assert!(rest.is_empty(), "received before the end of the connection: {}", excerpt(&rest));
    }

    /// Reads once, and fails the test if nothing arrives.
    #[track_caller]
    fn read_more(&mut self, deadline: Instant, expected: &str) {
        match self.read_once(deadline) {
            Some(0) => panic!("the server closed the connection after {}", excerpt(&self.received)),
            Some(_) => {}
            None => panic!("{expected} did not arrive, only {}", excerpt(&self.received)),
        }
    }

    /// Reads once and returns the number of bytes, or `None` after the deadline.
    #[track_caller]
    fn read_once(&mut self, deadline: Instant) -> Option<usize> {
        let mut buffer = [0; 65536];
        let left = deadline.saturating_duration_since(Instant::now());
        self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1)))).unwrap();
        match self.stream.read(&mut buffer) {
            Ok(bytes) => {
                self.received.extend_from_slice(&buffer[..bytes]);
                Some(bytes)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            // The test process was stopped and continued.
            Err(error) if error.kind() == ErrorKind::Interrupted => self.read_once(deadline),
            Err(error) => panic!("{error} after {}", excerpt(&self.received)),
        }
    }

    /// Shuts down the sending side. The client can still receive.
    #[track_caller]
    pub fn end_input(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes the connection with a reset.
    #[track_caller]
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// The end of `bytes`, for a failure message.
fn excerpt(bytes: &[u8]) -> String {
    let rest = bytes.len().saturating_sub(500);
    let before = if rest > 0 { format!("{rest} bytes and ") } else { String::new() };
    format!("{before}{:?}", String::from_utf8_lossy(&bytes[rest..]))
}
