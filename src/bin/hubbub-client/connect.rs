//! Connecting to the server.

use hubbub::cli::address::Address;
use hubbub::net::transport::PlainStream;
use hubbub::util::os_error;
use rustix::io::Errno;
use socket2::{SockRef, TcpKeepalive};
use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long one address may take to answer.
const ANSWER: Duration = Duration::from_secs(20);
/// A server that vanished is found out after two minutes of silence: the first question comes after one,
/// and three more that far apart.
const KEEPALIVE: Duration = Duration::from_secs(60);
const BETWEEN: Duration = Duration::from_secs(20);
const QUESTIONS: u32 = 3;
/// The same, where something was said: nobody is asked then, and what was said is sent again for a quarter of
/// an hour.
const VANISHED: Duration = Duration::from_secs(120);

/// Where to connect to, and for what.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) address: Address,
    /// Whether so much may be said that the server holds it back: then it takes nothing for longer than
    /// [`VANISHED`], and is there.
    pub(crate) is_fed: bool,
}

/// What came of connecting: the connection, or one line that says to what it cannot be, and why not.
pub(crate) type Connected = Result<PlainStream, String>;

impl Place {
    /// Connects, before `deadline` where there is one.
    pub(crate) fn connect(&self, deadline: Option<Instant>) -> Connected {
        let connected = self.start(deadline, || ())?;
        let late = || Err(self.cannot(&Errno::TIMEDOUT.into()));
        match deadline {
            Some(end) => connected
                .recv_timeout(end.saturating_duration_since(Instant::now()))
                .unwrap_or_else(|_| late()),
            None => connected.recv().unwrap_or_else(|_| late()),
        }
    }

    /// Begins to connect, on a thread of its own: to look up a name and to wait in a unix socket's queue may
    /// take any time. Calls `done` when the outcome is there.
    ///
    /// # Errors
    /// There can be no thread.
    pub(crate) fn start(
        &self,
        deadline: Option<Instant>,
        done: impl FnOnce() + Send + 'static,
    ) -> Result<Receiver<Connected>, String> {
        let (sender, connected) = channel();
        let place = self.clone();
        let connect = move || {
            let tried = try_to_connect(&place, deadline).map_err(|error| place.cannot(&error));
            // Whoever waited may have given up.
            _ = sender.send(tried);
            done();
        };
        thread::Builder::new().spawn(connect).map_err(|error| self.cannot(&error))?;
        Ok(connected)
    }

    fn cannot(&self, error: &io::Error) -> String {
        format!("cannot connect to {}: {}", self.address, os_error::text(error))
    }
}

fn try_to_connect(place: &Place, deadline: Option<Instant>) -> io::Result<PlainStream> {
    let (host, port) = match &place.address {
        Address::Tcp { host, port } => (host.as_str(), *port),
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
                // The standard library names a constant of C.
                ErrorKind::InvalidInput => io::Error::other("the path is too long for a socket"),
                _ => error,
            })?;
            stream.set_nonblocking(true)?;
            return Ok(PlainStream::new(stream));
        }
    };
    let mut last = io::Error::other("the name has no address");
    for address in (host, port).to_socket_addrs()? {
        let left = deadline.map_or(ANSWER, |end| end.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Err(io::Error::from(ErrorKind::TimedOut));
        }
        match TcpStream::connect_timeout(&address, left.min(ANSWER)) {
            Ok(stream) => return prepared(stream, place.is_fed),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn prepared(stream: TcpStream, is_fed: bool) -> io::Result<PlainStream> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(BETWEEN);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive.with_retries(QUESTIONS))?;
    if !is_fed {
        set_user_timeout(&SockRef::from(&stream), VANISHED)?;
    }
    stream.set_nonblocking(true)?;
    Ok(PlainStream::new(stream))
}

#[cfg(target_os = "linux")]
fn set_user_timeout(socket: &SockRef<'_>, timeout: Duration) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(timeout))
}

#[cfg(not(target_os = "linux"))]
fn set_user_timeout(_: &SockRef<'_>, _: Duration) -> io::Result<()> {
    Ok(())
}
