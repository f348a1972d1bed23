//! Connects to the server.

use hubbub::cli::address::Address;
use hubbub::net::socket_options::{self, VanishedPeer};
use hubbub::net::transport::PlainStream;
use hubbub::util::os_error;
use rustix::io::Errno;
use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Timeout for one IP address; a host name may have several.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// A vanished server is detected after 2 minutes: 60 s of silence and 3 keepalive probes 20 s apart, or 120 s
/// without an acknowledgement.
const VANISHED_SERVER: VanishedPeer = VanishedPeer {
    probe_after: Duration::from_secs(60),
    probe_every: Duration::from_secs(20),
    probes: 3,
    unacknowledged: Some(Duration::from_secs(120)),
};

/// The server to connect to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: Address,
    /// Whether standard input is sent. The server may take longer than 2 minutes to read a large file, so the
    /// time without an acknowledgement is not limited then.
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
        Address::Unix(address) => {
            let socket = address.connect(false)?;
            socket.set_nonblocking(true)?;
            return Ok(PlainStream::new(socket));
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
    let vanished = match sends_input {
        true => VanishedPeer { unacknowledged: None, ..VANISHED_SERVER },
        false => VANISHED_SERVER,
    };
    // Without an option that the system lacks, the connection still works.
    _ = socket_options::set(&stream, &vanished);
    stream.set_nonblocking(true)?;
    Ok(PlainStream::new(stream))
}
