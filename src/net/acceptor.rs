//! All listeners: accepting connections from each in turn.

use super::interfaces;
use super::listen_spec::{ListenError, ListenSpec, ListenerConfig};
use super::listener::{InheritedSocket, LocalAddr};
use super::open::{self, OpenListener};
use super::peer::Peer;
use super::service::Service;
use super::transport::PlainStream;
use crate::util::clock::Moment;
use crate::util::os_error;
use crate::wire::view::View;
use log::{info, warn};
use mio::{Registry, Token};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// The file that the spare file descriptor refers to.
const SPARE_FD: &str = "/dev/null";
/// The pause after accept(2) has failed because the system lacks a resource. It doubles with each failure.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The same warning is logged at most once in this time.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// All listeners, and their common pause when the system lacks a resource.
#[derive(Debug)]
pub struct Acceptor {
    listeners: Vec<OpenListener>,
    /// Index of the listener to accept from next.
    next: usize,
    pause: Duration,
    paused: bool,
    /// A spare file descriptor. When no other is free, the server closes it. Then there is one for a new client, which
    /// is accepted, and refused with a reason.
    spare_fd: Option<File>,
    last_warning: Option<Moment>,
}

/// The result of accept(2).
#[derive(Debug)]
pub enum Accepted {
    /// A connection, what its listener serves, and the peer.
    Client(PlainStream, Service, Peer),
    /// A connection that took the spare file descriptor. The caller must refuse and close it before the next
    /// accept.
    NoDescriptor(PlainStream, Service, Peer),
    /// One connection failed before it was accepted; others may be pending.
    Aborted,
    /// No connection is pending on any listener.
    WouldBlock,
    /// The system lacks a resource. Nothing is accepted until [`retry`](Acceptor::retry) is called.
    Backoff {
        /// When to call it at the latest; it may be called earlier, if a connection was closed.
        retry_at: Moment,
    },
}

impl Acceptor {
    /// Connections accepted in one turn of the loop. The limit keeps turns short for connected clients.
    pub const ACCEPTS: usize = 256;

    /// Opens a listener for each of `specs`, and takes over the inherited sockets.
    ///
    /// # Errors
    /// Names the first listener that cannot be opened.
    pub fn open(
        inherited: Vec<InheritedSocket>,
        specs: &[ListenSpec],
        config: ListenerConfig,
    ) -> Result<Self, ListenError> {
        Ok(Self {
            listeners: open::open(inherited, specs, config)?,
            next: 0,
            pause: FIRST_PAUSE,
            paused: false,
            spare_fd: File::open(SPARE_FD).ok(),
            last_warning: None,
        })
    }

    /// Logs the address and service of each listener, and what other machines can use to connect to it.
    pub fn announce(&self) {
        for listener in &self.listeners {
            info!("listening on {} ({})", listener.address, listener.service);
        }
        for listener in &self.listeners {
            if let LocalAddr::Tcp(address) = listener.address
                && address.ip().is_unspecified()
                && let Some(found) = interfaces::reachable()
                && let Some(places) =
                    interfaces::describe(&found, address, listener.listener.accepts_both_families())
            {
                info!("{places}");
            }
        }
    }

    /// The view of each listener.
    pub fn views(&self) -> Vec<View> {
        self.listeners.iter().filter_map(|listener| listener.service.view()).collect()
    }

    /// What the listeners serve.
    pub fn services(&self) -> impl Iterator<Item = Service> {
        self.listeners.iter().map(|listener| listener.service)
    }

    /// The address of a listener of the room that other machines can reach and that does not encrypt.
    pub fn unencrypted(&self) -> Option<SocketAddr> {
        let plain = self.listeners.iter().filter(|it| matches!(it.service, Service::Room { tls: false, .. }));
        let mut addresses = plain.filter_map(|listener| match listener.address {
            LocalAddr::Tcp(address) => Some(address),
            _ => None,
        });
        addresses.find(|address| !address.ip().to_canonical().is_loopback())
    }

    /// Whether a listener serves the admin view.
    pub fn has_admin(&self) -> bool {
        self.listeners.iter().any(|listener| listener.service == Service::Admin)
    }

    /// The number of listeners.
    pub const fn count(&self) -> usize {
        self.listeners.len()
    }

    /// Registers every listener with the poll.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn register(&mut self, registry: &Registry) -> io::Result<()> {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            listener.listener.register(registry, token(index))?;
        }
        Ok(())
    }

    /// Marks the listener of that token as ready.
    pub fn mark_ready(&mut self, at: Token) {
        let mut listeners = self.listeners.iter_mut().enumerate();
        if let Some((_, listener)) = listeners.find(|(index, _)| token(*index) == at) {
            listener.ready = true;
        }
    }

    /// Whether a connection may be pending that can be accepted now.
    pub fn has_pending(&self) -> bool {
        !self.paused && self.listeners.iter().any(|listener| listener.ready)
    }

    /// Ends a pause.
    pub const fn retry(&mut self) {
        self.paused = false;
    }

    /// Closes all listeners.
    pub fn close(&mut self) {
        self.listeners.clear();
    }

    /// Accepts one connection. Successive calls take the ready listeners in turn.
    pub fn accept(&mut self, now: Moment) -> Accepted {
        while !self.paused {
            let count = self.listeners.len();
            let first = self.next;
            let Some(index) =
                (0..count).map(|step| (first + step) % count).find(|&i| self.listeners[i].ready)
            else {
                return Accepted::WouldBlock;
            };
            self.next = index + 1;
            match self.accept_at(index) {
                Ok((socket, peer)) => {
                    self.pause = FIRST_PAUSE;
                    self.restore_spare_fd();
                    return Accepted::Client(socket, self.listeners[index].service, peer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.listeners[index].ready = false
                }
                Err(error) if concerns_one_connection(&error) => return Accepted::Aborted,
                Err(error) if is_out_of_descriptors(&error) => match self.accept_with_spare_fd(index) {
                    Ok((socket, peer)) => {
                        self.warn_limited(&error, now);
                        return Accepted::NoDescriptor(socket, self.listeners[index].service, peer);
                    }
                    // Without a free descriptor accept(2) fails even if no connection is pending.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.listeners[index].ready = false
                    }
                    Err(error) => return self.back_off(&error, now),
                },
                Err(error) => return self.back_off(&error, now),
            }
        }
        Accepted::WouldBlock
    }

    fn accept_at(&self, index: usize) -> io::Result<(PlainStream, Peer)> {
        self.listeners[index].listener.accept()
    }

    /// Closes the spare file descriptor and accepts; opens it again if that fails.
    fn accept_with_spare_fd(&mut self, index: usize) -> io::Result<(PlainStream, Peer)> {
        self.spare_fd = None;
        let accepted = self.accept_at(index);
        if accepted.is_err() {
            self.restore_spare_fd();
        }
        accepted
    }

    /// Reopens the spare file descriptor after it was used to refuse a client.
    pub fn restore_spare_fd(&mut self) {
        if self.spare_fd.is_none() {
            self.spare_fd = File::open(SPARE_FD).ok();
        }
    }

    fn warn_limited(&mut self, error: &io::Error, now: Moment) {
        if self.last_warning.is_none_or(|last| now.since(last) >= WARN_EVERY) {
            self.last_warning = Some(now);
            let advice = match Errno::from_io_error(error) {
                Some(Errno::MFILE) => "; raise the limit with ulimit -n",
                _ => "",
            };
            warn!("cannot accept connections for now: {}{advice}", os_error::text(error));
        }
    }

    fn back_off(&mut self, error: &io::Error, now: Moment) -> Accepted {
        self.warn_limited(error, now);
        let retry_at = now.after(self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.paused = true;
        Accepted::Backoff { retry_at }
    }
}

const fn token(index: usize) -> Token {
    Token(usize::MAX - 1 - index)
}

/// Whether an error of accept(2) concerns one connection or its network, and not the listener.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::CONNABORTED
                | Errno::INTR
                | Errno::PROTO
                | Errno::NETDOWN
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
                | Errno::PERM
                | Errno::TIMEDOUT
        )
    )
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
