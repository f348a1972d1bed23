//! The connection to the server.

use hubbub::address::Address;
use hubbub::os_error;
use socket2::{SockRef, TcpKeepalive};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long one address may take to answer.
const ANSWER: Duration = Duration::from_secs(20);
/// A server that vanished is found out after two minutes of silence: the first question comes after one,
/// and three more that far apart.
const KEEPALIVE: Duration = Duration::from_secs(60);
const BETWEEN: Duration = Duration::from_secs(20);
const QUESTIONS: u32 = 3;

/// A stream of bytes to the server that never blocks.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Connects, before `deadline` where there is one.
    ///
    /// # Errors
    /// One line that says to what it cannot be connected, and why not.
    pub(crate) fn connect(address: &Address, deadline: Option<Instant>) -> Result<Self, String> {
        Self::try_to_connect(address, deadline)
            .map_err(|error| format!("cannot connect to {address}: {}", os_error::text(&error)))
    }

    fn try_to_connect(address: &Address, deadline: Option<Instant>) -> io::Result<Self> {
        let (host, port) = match address {
            Address::Tcp { host, port } => (host.as_str(), *port),
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                return Ok(Self::Unix(stream));
            }
        };
        let mut last = io::Error::other("the name has no address");
        for address in (host, port).to_socket_addrs()? {
            let left = deadline.map_or(ANSWER, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(io::Error::from(ErrorKind::TimedOut));
            }
            match TcpStream::connect_timeout(&address, left.min(ANSWER)) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(BETWEEN);
                    SockRef::from(&stream).set_tcp_keepalive(&keepalive.with_retries(QUESTIONS))?;
                    stream.set_nonblocking(true)?;
                    return Ok(Self::Tcp(stream));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Ends what is said, so that the server sees it out; what it says is still heard.
    pub(crate) fn end(&self) {
        // It fails where the connection is broken, which the next read tells.
        _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}
