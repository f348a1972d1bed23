//! Connects to the server.

use crate::poll;
use hubbub::cli::address::Address;
use hubbub::net::client_stream::ClientStream;
use hubbub::net::connect::connect_to_first;
use hubbub::net::socket_options::{self, VanishedPeer};
use hubbub::net::tls_client::TlsConnector;
use hubbub::net::transport::PlainStream;
use hubbub::net::unix_addr::UnixAddr;
use hubbub::util::os_error;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Timeout for one IP address; a host name may have several.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// After this time, a user is told that the client is still connecting.
pub(crate) const QUIET_CONNECT: Duration = Duration::from_secs(1);
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
    /// Encrypts the connection, if it is to be encrypted.
    pub(crate) tls: Option<TlsConnector>,
}

/// The connection, or why there is none.
pub(crate) type Connected = Result<ClientStream, ConnectError>;

/// Why there is no connection, in one line.
#[derive(Debug)]
pub(crate) struct ConnectError {
    why: String,
    /// Whether it is certain that a server is there.
    is_reached: bool,
}

impl Target {
    /// Connects, before `deadline` if there is one. If it takes longer than [`QUIET_CONNECT`], `tell` is called
    /// with a note for the user.
    pub(crate) fn connect(&self, deadline: Option<Instant>, tell: impl FnOnce(&str)) -> Connected {
        let connected = self.start(deadline, || ()).map_err(ConnectError::unreached)?;
        let left = |end: Instant| end.saturating_duration_since(Instant::now());
        let quiet = deadline.map_or(QUIET_CONNECT, |end| left(end).min(QUIET_CONNECT));
        let mut result = connected.recv_timeout(quiet);
        if matches!(result, Err(RecvTimeoutError::Timeout)) {
            tell(&self.connecting());
            result = match deadline {
                Some(end) => connected.recv_timeout(left(end)),
                None => connected.recv().map_err(RecvTimeoutError::from),
            };
        }
        let timed_out = || ConnectError::unreached(self.connect_error(&Errno::TIMEDOUT.into()));
        result.unwrap_or_else(|_| Err(timed_out()))
    }

    /// Returns the note for a user who waits for the connection.
    pub(crate) fn connecting(&self) -> String {
        format!("connecting to \"{}\"", self.address)
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
            let result = target.connect_now(deadline);
            // Fails if the caller no longer waits.
            _ = sender.send(result);
            done();
        };
        thread::Builder::new().spawn(connect).map_err(|error| self.connect_error(&error))?;
        Ok(connected)
    }

    fn connect_now(&self, deadline: Option<Instant>) -> Connected {
        let socket = try_connect(self, deadline);
        let socket = socket.map_err(|error| ConnectError::unreached(self.connect_error(&error)))?;
        match (&self.tls, &self.address) {
            (Some(tls), Address::Tcp { host, .. }) => {
                let timeout = Instant::now() + CONNECT_TIMEOUT;
                let end = deadline.map_or(timeout, |deadline| deadline.min(timeout));
                let why = |why| format!("cannot connect to \"{}\" with TLS: {why}", self.address);
                start_tls(tls, socket, host, end)
                    .map_err(|error| ConnectError { why: why(error), is_reached: true })
            }
            _ => Ok(ClientStream::Plain(socket)),
        }
    }

    fn connect_error(&self, error: &io::Error) -> String {
        let why = match &self.address {
            Address::Unix(UnixAddr::Path(path)) if is_no_socket(path) => "it is not a socket".to_owned(),
            _ => os_error::text(error),
        };
        format!("cannot connect to \"{}\": {why}", self.address)
    }
}

impl ConnectError {
    pub(crate) const fn unreached(why: String) -> Self {
        Self { why, is_reached: false }
    }

    /// Returns the error with what the user can do about it.
    pub(crate) fn with_advice(&self) -> String {
        match self.is_reached {
            true => self.why.clone(),
            false => format!("{}; check the address and whether the server runs", self.why),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
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
    let addresses = (host, port).to_socket_addrs()?.collect::<Vec<_>>();
    if addresses.is_empty() {
        return Err(io::Error::other("the host name has no address"));
    }
    configure(connect_to_first(&addresses, CONNECT_TIMEOUT, deadline)?, target.sends_input)
}

/// Starts TLS on a connection to `host`; the handshake has time until `end`.
///
/// # Errors
/// Why TLS does not work with this server.
fn start_tls(
    tls: &TlsConnector,
    socket: PlainStream,
    host: &str,
    end: Instant,
) -> Result<ClientStream, String> {
    let mut stream = ClientStream::Tls(Box::new(tls.start(socket, host)?));
    while !stream.handshake().map_err(|error| os_error::text(&error))? {
        let mut interest = PollFlags::IN;
        interest.set(PollFlags::OUT, stream.has_unsent());
        if !poll::wait(&mut [PollFd::new(&stream, interest)], Some(end))? {
            return Err("the server did not complete the TLS handshake in time".to_owned());
        }
    }
    Ok(stream)
}

/// Whether something else than a socket is at `path`. The system's error for it is that of a stopped server.
fn is_no_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| !metadata.file_type().is_socket())
}

fn configure(stream: TcpStream, sends_input: bool) -> io::Result<PlainStream> {
    let vanished = match sends_input {
        true => VanishedPeer { unacknowledged: None, ..VANISHED_SERVER },
        false => VANISHED_SERVER,
    };
    // Without an option that the system lacks, the connection still works.
    _ = socket_options::set(&stream, &vanished);
    Ok(PlainStream::new(stream))
}
