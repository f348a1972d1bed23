//! The protocols of systemd: socket activation (sd_listen_fds(3)), and notification of readiness, status and
//! watchdog (sd_notify(3)). Other supervisors use them too.

use crate::net::listen_spec::ADMIN_MODE;
use crate::net::listener::InheritedSocket;
use crate::net::service::Service;
use crate::net::transport::retry;
use crate::util::os_error;
use crate::wire::view::View;
use listenfd::ListenFd;
use log::warn;
use sd_notify::NotifyState;
use socket2::Socket;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Names that systemd may give to a socket if its unit has no `FileDescriptorName=`. Another is the name of the
/// unit, which ends in `.socket`.
const DEFAULT_NAMES: [&str; 3] = ["", "unknown", "stored"];
const UNIT_SUFFIX: &str = ".socket";
/// How long sending `READY=1` may block.
const READY_TIMEOUT: Duration = Duration::from_secs(5);
/// The shortest interval between two watchdog messages.
const MIN_WATCHDOG_INTERVAL: Duration = Duration::from_millis(1);

/// Takes the listening sockets that systemd passed to the process. Variables that are for another process, such as
/// the parent, are ignored.
///
/// Call it once, before the process opens a file: if `LISTEN_FDS` promises more sockets than were passed, a file
/// could get the number of one of them.
///
/// # Errors
/// One line that names the file descriptor and says why it cannot be used.
pub fn inherited() -> Result<Vec<InheritedSocket>, String> {
    // Without this check, names for another process would have to fit its number of sockets.
    let is_for_us = std::env::var("LISTEN_PID").is_ok_and(|pid| pid.parse() == Ok(std::process::id()));
    if !is_for_us {
        return Ok(Vec::new());
    }
    let cannot =
        |error: io::Error| format!("cannot take over the sockets of LISTEN_FDS: {}", os_error::text(&error));
    let named = sd_notify::listen_fds_with_names().map_err(cannot)?;
    let mut sockets = if named.len() == 0 { ListenFd::empty() } else { ListenFd::from_env() };
    let mut inherited = Vec::new();
    for (index, (number, name)) in named.enumerate() {
        let cannot =
            |why: String| format!("cannot listen on file descriptor {number}, named \"{name}\": {why}");
        let socket = take(&mut sockets, index).map_err(cannot)?;
        let service = service(&name).map_err(cannot)?;
        if service == Service::Admin {
            check_admin(&socket).map_err(cannot)?;
        }
        inherited.push(InheritedSocket { service, socket });
    }
    Ok(inherited)
}

fn take(sockets: &mut ListenFd, index: usize) -> Result<Socket, String> {
    let tcp = sockets.take_tcp_listener(index).ok().flatten().map(OwnedFd::from);
    let found = match tcp {
        Some(tcp) => Some(tcp),
        None => sockets.take_unix_listener(index).ok().flatten().map(OwnedFd::from),
    };
    let socket = found.map(Socket::from).ok_or("it is not a stream socket of TCP or unix")?;
    // With Accept=yes systemd passes a connected socket.
    match socket.is_listener() {
        Ok(true) => Ok(socket),
        Ok(false) => Err("it is not a listening socket: set Accept=no in the socket unit".to_owned()),
        Err(error) => Err(os_error::text(&error)),
    }
}

/// The service that `FileDescriptorName=` selects; the plain view by default.
fn service(name: &str) -> Result<Service, String> {
    if DEFAULT_NAMES.contains(&name) || name.ends_with(UNIT_SUFFIX) {
        return Ok(Service::Room { view: View::Plain, tls: false });
    }
    Service::by_name(name).ok_or_else(|| format!("FileDescriptorName= must be {}", Service::NAMES))
}

/// Checks that only the owner of a socket's file can connect: its permissions are all that protects the admin view.
fn check_admin(socket: &Socket) -> Result<(), String> {
    let address = socket.local_addr().map_err(|error| os_error::text(&error))?;
    let path = address.as_pathname().ok_or("the admin view needs a unix socket with a path")?;
    let found = fs::symlink_metadata(path).map_err(|error| os_error::text(&error))?;
    let mode = found.mode() & 0o777;
    if mode & !ADMIN_MODE != 0 {
        return Err(format!(
            "the permissions of \"{}\" are {mode:04o}: set SocketMode={ADMIN_MODE:04o} in the socket unit",
            path.display()
        ));
    }
    Ok(())
}

/// Sends notifications to the supervisor, such as systemd, if there is one.
#[derive(Debug)]
pub struct Notifier {
    /// Non-blocking after `READY=1`. `sd_notify::notify` is not used: it can block, and it opens a socket for each
    /// message, which fails if there is no free file descriptor.
    socket: Option<UnixDatagram>,
    address: OsString,
    /// Whether `READY=1` was sent.
    is_ready: bool,
    /// The time without a watchdog message after which the supervisor restarts the server.
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Connects to the supervisor that `NOTIFY_SOCKET` names. Logs a warning if that fails.
    pub fn find() -> Self {
        let address = std::env::var_os("NOTIFY_SOCKET").unwrap_or_default();
        let watchdog = sd_notify::watchdog_enabled().filter(|watchdog| !watchdog.is_zero());
        if address.is_empty() {
            return Self { socket: None, address, is_ready: false, watchdog };
        }
        let socket = connect(&address).inspect_err(|error| {
            warn!("cannot notify the supervisor at \"{}\": {}", address.display(), os_error::text(error))
        });
        Self { socket: socket.ok(), address, is_ready: false, watchdog }
    }

    /// Whether there is a supervisor.
    pub const fn exists(&self) -> bool {
        self.socket.is_some()
    }

    /// The interval of watchdog messages: half of what the supervisor allows. `None` = no watchdog.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.exists()).map(|watchdog| (watchdog / 2).max(MIN_WATCHDOG_INTERVAL))
    }

    /// Sends `READY=1`: the server listens.
    pub fn ready(&mut self) {
        self.send(&NotifyState::Ready);
        self.is_ready = true;
        if let Some(socket) = &self.socket {
            _ = socket.set_nonblocking(true);
        }
    }

    /// Sends a line that `systemctl status` shows.
    pub fn status(&mut self, status: &str) {
        self.send(&NotifyState::Status(status));
    }

    /// Sends a watchdog message: the event loop runs.
    pub fn alive(&mut self) {
        self.send(&NotifyState::Watchdog);
    }

    /// Sends `STOPPING=1`.
    pub fn stopping(&mut self) {
        self.send(&NotifyState::Stopping);
    }

    fn send(&mut self, state: &NotifyState<'_>) {
        let Some(socket) = &mut self.socket else { return };
        let state = state.to_string();
        // `WouldBlock`: the supervisor does not read. The message is dropped.
        if let Err(error) = retry(|| socket.send(state.as_bytes()))
            && error.kind() != ErrorKind::WouldBlock
            && let Ok(new) = connect(&self.address)
            && new.set_nonblocking(true).is_ok()
        {
            // The supervisor was restarted, and has a new socket at the same address.
            *socket = new;
            if self.is_ready {
                _ = socket.send(NotifyState::Ready.to_string().as_bytes());
            }
            _ = socket.send(state.as_bytes());
        }
    }
}

fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let address = match address.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    // The first message, READY=1, may block for this time: without it systemd would stop the server.
    socket.set_write_timeout(Some(READY_TIMEOUT))?;
    socket.connect_addr(&address)?;
    Ok(socket)
}
