//! Connects to the server.

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

/// Timeout for one IP address; a host name may have several.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// TCP keepalive: a vanished server is detected after 60 s of silence and 3 probes 20 s apart, 2 minutes in all.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_PROBES: u32 = 3;
/// The same limit for data that the server does not acknowledge. Keepalive is off while such data is pending,
/// and Linux would retransmit it for about 15 minutes.
const USER_TIMEOUT: Duration = Duration::from_secs(120);

/// The server to connect to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: Address,
    /// Whether standard input is sent. A large file can fill the server's buffers for longer than
    /// [`USER_TIMEOUT`] although the server is alive, so no user timeout is set then.
    pub(crate) sends_input: bool,
}

/// The connection, or one line that says why there is none.
pub(crate) type Connected = Result<PlainStream, String>;

impl Target {
    /// Connects, before `deadline` if there is one.
    pub(crate) fn connect(&self, deadline: Option<Instant>) -> Connected {
        let connected = self.start(deadline, || ())?;
        let timed_out = || Err(self.connect_error(&Errno::TIMEDOUT.into()));
        match deadline {
            Some(end) => connected
                .recv_timeout(end.saturating_duration_since(Instant::now()))
                .unwrap_or_else(|_| timed_out()),
            None => connected.recv().unwrap_or_else(|_| timed_out()),
        }
    }

    /// Starts to connect on a thread of its own, and calls `done` when the result is there.
    ///
    /// A thread, because a name lookup and the queue of a unix socket have no timeout.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start(
        &self,
        deadline: Option<Instant>,
        done: impl FnOnce() + Send + 'static,
    ) -> Result<Receiver<Connected>, String> {
        let (sender, connected) = channel();
        let target = self.clone();
        let connect = move || {
            let result = try_connect(&target, deadline).map_err(|error| target.connect_error(&error));
            // Fails if the caller no longer waits.
            _ = sender.send(result);
            done();
        };
        thread::Builder::new().spawn(connect).map_err(|error| self.connect_error(&error))?;
        Ok(connected)
    }

    fn connect_error(&self, error: &io::Error) -> String {
        format!("cannot connect to \"{}\": {}", self.address, os_error::text(error))
    }
}

/// Adds to the error of a failed connect what the user can do about it.
pub(crate) fn with_advice(error: &str) -> String {
    format!("{error}; check the address and whether the server runs")
}

fn try_connect(target: &Target, deadline: Option<Instant>) -> io::Result<PlainStream> {
    let (host, port) = match &target.address {
        Address::Tcp { host, port } => (host.as_str(), *port),
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
                // The standard library's text for it names a C constant.
                ErrorKind::InvalidInput => io::Error::other("the path is too long for a unix socket"),
                _ => error,
            })?;
            stream.set_nonblocking(true)?;
            return Ok(PlainStream::new(stream));
        }
    };
    let mut last_error = io::Error::other("the host name has no address");
    for address in (host, port).to_socket_addrs()? {
        let left = deadline.map_or(CONNECT_TIMEOUT, |end| end.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Err(io::Error::from(ErrorKind::TimedOut));
        }
        match TcpStream::connect_timeout(&address, left.min(CONNECT_TIMEOUT)) {
            Ok(stream) => return configure(stream, target.sends_input),
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

fn configure(stream: TcpStream, sends_input: bool) -> io::Result<PlainStream> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_PROBES))?;
    if !sends_input {
        set_user_timeout(&SockRef::from(&stream), USER_TIMEOUT)?;
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
