//! Connecting to the server.

use hubbub::address::Address;
use hubbub::os_error;
use hubbub::socket::Stream;
use socket2::{SockRef, TcpKeepalive};
use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long one address may take to answer.
const ANSWER: Duration = Duration::from_secs(20);
/// A server that vanished is found out after two minutes of silence: the first question comes after one,
/// and three more that far apart.
const KEEPALIVE: Duration = Duration::from_secs(60);
const BETWEEN: Duration = Duration::from_secs(20);
const QUESTIONS: u32 = 3;

/// Connects, before `deadline` where there is one.
///
/// # Errors
/// One line that says to what it cannot be connected, and why not.
pub(crate) fn connect(address: &Address, deadline: Option<Instant>) -> Result<Stream, String> {
    try_to_connect(address, deadline)
        .map_err(|error| format!("cannot connect to {address}: {}", os_error::text(&error)))
}

fn try_to_connect(address: &Address, deadline: Option<Instant>) -> io::Result<Stream> {
    let (host, port) = match address {
        Address::Tcp { host, port } => (host.as_str(), *port),
        Address::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_nonblocking(true)?;
            return Ok(Stream::new(stream));
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
                return Ok(Stream::new(stream));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
