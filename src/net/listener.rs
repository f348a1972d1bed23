//! One listening socket, TCP or unix.

use super::bind::{BACKLOG, set_options};
use super::listen_spec::PeerTimeout;
use super::socket_options::RefusedOption;
use super::unix_addr::UnixAddr;
use crate::net::peer::Peer;
use crate::net::service::Service;
use crate::net::transport::PlainStream;
use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{SockRef, Socket};
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// A socket that accepts connections.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A listening socket that the server got from the process that started it.
#[derive(Debug)]
pub struct InheritedSocket {
    /// What its clients get.
    pub service: Service,
    /// The socket.
    pub socket: Socket,
}

/// The address of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LocalAddr {
    Tcp(SocketAddr),
    Unix(UnixAddr),
}

impl fmt::Display for LocalAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(address) => address.fmt(f),
        }
    }
}

impl Listener {
    /// Takes over a listening socket and sets the options of the server's own listeners. Also returns those that
    /// could not be set.
    ///
    /// # Errors
    /// Those of the system's calls.
    pub(super) fn adopt(
        socket: Socket,
        peer_timeout: PeerTimeout,
    ) -> io::Result<(Self, LocalAddr, Vec<RefusedOption>)> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        // Raises the backlog, which the starting process may have set lower.
        socket.listen(BACKLOG)?;
        Ok(match address.as_socket() {
            Some(address) => {
                let refused = set_options(&socket, peer_timeout);
                (Self::Tcp(TcpListener::from_std(socket.into())), LocalAddr::Tcp(address), refused)
            }
            None => {
                let address = LocalAddr::Unix(UnixAddr::from(&address));
                (Self::Unix(UnixListener::from_std(socket.into())), address, Vec::new())
            }
        })
    }

    /// Accepts the next connection.
    ///
    /// # Errors
    /// Those of accept(2).
    pub(super) fn accept(&self) -> io::Result<(PlainStream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                Ok((PlainStream::new(stream), Peer::from(address)))
            }
            Self::Unix(listener) => {
                // Its send buffer is the system's, about 208 KiB (net.core.wmem_default): unlike TCP, a unix
                // socket inherits no options from its listener.
                let stream = PlainStream::new(listener.accept()?.0);
                let peer = peer_of(&stream);
                Ok((stream, peer))
            }
        }
    }

    /// Whether a listener on an IPv6 address also accepts IPv4 connections.
    pub(super) fn accepts_both_families(&self) -> bool {
        match self {
            Self::Tcp(listener) => {
                let is_ipv6 = listener.local_addr().is_ok_and(|address| address.is_ipv6());
                is_ipv6 && SockRef::from(listener).only_v6().is_ok_and(|only_v6| !only_v6)
            }
            Self::Unix(_) => false,
        }
    }

    /// Registers the listener with the poll.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let source: &mut dyn Source = match self {
            Self::Tcp(listener) => listener,
            Self::Unix(listener) => listener,
        };
        registry.register(source, token, Interest::READABLE)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn peer_of(stream: &PlainStream) -> Peer {
    let local = |found: rustix::net::UCred| Peer::Unix {
        pid: found.pid.as_raw_nonzero().get().unsigned_abs(),
        uid: found.uid.as_raw(),
    };
    rustix::net::sockopt::socket_peercred(stream).map_or(Peer::UnknownUnix, local)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn peer_of(_: &PlainStream) -> Peer {
    Peer::UnknownUnix
}
