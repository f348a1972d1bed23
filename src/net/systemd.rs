//! What systemd, or who keeps its protocols, hands to the server and is told by it: listening sockets
//! (sd_listen_fds(3)), readiness, state and signs of life (sd_notify(3)).

use crate::net::listener::InheritedSocket;
use crate::net::transport::retry;
use crate::util::os_error;
use crate::wire::view::View;
use listenfd::ListenFd;
use log::warn;
use sd_notify::NotifyState;
use socket2::Socket;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Names of those sockets for which no name was given: the unit's, and two of the manager's own.
const NAMELESS: [&str; 3] = ["", "unknown", "stored"];
const UNIT: &str = ".socket";
/// How long the supervisor may take to hear that the room is open.
const READY_TIMEOUT: Duration = Duration::from_secs(5);
/// Signs of life come no faster, whatever the supervisor wants.
const MIN_WATCHDOG_INTERVAL: Duration = Duration::from_millis(1);

/// Takes the listening sockets that were handed over: to be called once, before anything is opened, for
/// sockets that were not handed over have the same numbers.
///
/// # Errors
/// One line that says which cannot be used, and why.
pub fn inherited() -> Result<Vec<InheritedSocket>, String> {
    let cannot = |error: io::Error| format!("cannot take over LISTEN_FDS: {}", os_error::text(&error));
    let named = sd_notify::listen_fds_with_names().map_err(cannot)?;
    let mut sockets = if named.len() == 0 { ListenFd::empty() } else { ListenFd::from_env() };
    let mut inherited = Vec::new();
    for (index, (number, name)) in named.enumerate() {
        let cannot = |why: String| format!("cannot listen on descriptor {number}, named '{name}': {why}");
        let socket = take(&mut sockets, index).map_err(cannot)?;
        inherited.push(InheritedSocket { view: view(&name).map_err(cannot)?, socket });
    }
    Ok(inherited)
}

fn take(sockets: &mut ListenFd, index: usize) -> Result<Socket, String> {
    let tcp = sockets.take_tcp_listener(index).ok().flatten().map(OwnedFd::from);
    let found = match tcp {
        Some(tcp) => Some(tcp),
        None => sockets.take_unix_listener(index).ok().flatten().map(OwnedFd::from),
    };
    let socket = found.map(Socket::from).ok_or("it is no stream socket of TCP or the file system")?;
    // With Accept=yes it would be one that is connected.
    match socket.is_listener() {
        Ok(true) => Ok(socket),
        Ok(false) => Err("it does not listen: the socket unit needs Accept=no".to_owned()),
        Err(error) => Err(os_error::text(&error)),
    }
}

/// The view that `FileDescriptorName=` picks.
fn view(name: &str) -> Result<View, String> {
    if NAMELESS.contains(&name) || name.ends_with(UNIT) {
        return Ok(View::Plain);
    }
    View::by_name(name).ok_or_else(|| "FileDescriptorName= has to be plain, named or json".to_owned())
}

/// Who started the server, and wants to be told how it is.
#[derive(Debug)]
pub struct Notifier {
    /// Never waits once the room is open. What `sd_notify` has of its own would, where nobody reads, and the room with it; and
    /// it would need a descriptor each time, which a full room has not.
    socket: Option<UnixDatagram>,
    place: OsString,
    /// Whether it was told that the room is open.
    is_ready: bool,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// The supervisor that the environment names, if it names one that can be told anything.
    pub fn find() -> Self {
        let place = std::env::var_os("NOTIFY_SOCKET").unwrap_or_default();
        let watchdog = sd_notify::watchdog_enabled().filter(|watchdog| !watchdog.is_zero());
        if place.is_empty() {
            return Self { socket: None, place, is_ready: false, watchdog };
        }
        let socket = connect(&place)
            .inspect_err(|error| warn!("cannot notify {}: {}", place.display(), os_error::text(error)));
        Self { socket: socket.ok(), place, is_ready: false, watchdog }
    }

    /// Whether anybody wants to be told.
    pub const fn exists(&self) -> bool {
        self.socket.is_some()
    }

    /// How often it wants a sign of life: twice as often as it gives up for want of one.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.exists()).map(|watchdog| (watchdog / 2).max(MIN_WATCHDOG_INTERVAL))
    }

    /// The room is open.
    pub fn ready(&mut self) {
        self.tell(&NotifyState::Ready);
        self.is_ready = true;
        if let Some(socket) = &self.socket {
            _ = socket.set_nonblocking(true);
        }
    }

    /// One line about the room.
    pub fn status(&mut self, status: &str) {
        self.tell(&NotifyState::Status(status));
    }

    /// The loop goes round.
    pub fn alive(&mut self) {
        self.tell(&NotifyState::Watchdog);
    }

    /// The server stops.
    pub fn stopping(&mut self) {
        self.tell(&NotifyState::Stopping);
    }

    fn tell(&mut self, state: &NotifyState<'_>) {
        let Some(socket) = &mut self.socket else { return };
        let state = state.to_string();
        // Who does not read it cannot be told that either.
        if let Err(error) = retry(|| socket.send(state.as_bytes()))
            && error.kind() != ErrorKind::WouldBlock
            && let Ok(anew) = connect(&self.place)
            && anew.set_nonblocking(true).is_ok()
        {
            // Whoever was there is gone, and somebody else has come.
            *socket = anew;
            if self.is_ready {
                _ = socket.send(NotifyState::Ready.to_string().as_bytes());
            }
            _ = socket.send(state.as_bytes());
        }
    }
}

fn connect(place: &OsStr) -> io::Result<UnixDatagram> {
    let address = match place.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(place)?,
    };
    let socket = UnixDatagram::unbound()?;
    // Without the first word the server would be given up.
    socket.set_write_timeout(Some(READY_TIMEOUT))?;
    socket.connect_addr(&address)?;
    Ok(socket)
}
