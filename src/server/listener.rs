//! One listening socket, of whichever kind.

use super::listen::{BACKLOG, DeadAfter, set_options};
use crate::framing::text;
use crate::peer::Peer;
use crate::socket::Stream;
use crate::view::View;
use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{SockRef, Socket};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A socket at which newcomers arrive.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A socket that listens already, and was handed over at the start.
#[derive(Debug)]
pub struct Inherited {
    /// How the room is shown there.
    pub view: View,
    /// The socket itself.
    pub socket: Socket,
}

/// Where a listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Where {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Where {
    /// The port, where it is all interfaces' of the network.
    pub(super) fn port_everywhere(&self) -> Option<u16> {
        match self {
            Self::Tcp(address) if address.ip().is_unspecified() => Some(address.port()),
            _ => None,
        }
    }
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Listener {
    /// Takes over a socket that listens, with the options that one of our own would have; where it is.
    ///
    /// # Errors
    /// Those of the system's calls.
    pub(super) fn adopt(socket: Socket, dead_after: DeadAfter) -> io::Result<(Self, Where)> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        // Whoever made it may have asked for less.
        socket.listen(BACKLOG)?;
        if let Some(address) = address.as_socket() {
            set_options(&SockRef::from(&socket), dead_after)?;
            return Ok((Self::Tcp(TcpListener::from_std(socket.into())), Where::Tcp(address)));
        }
        let path = match (address.as_pathname(), address.as_abstract_namespace()) {
            (Some(path), _) => path.to_owned(),
            // As systemd writes it.
            (None, Some(name)) => PathBuf::from(format!("@{}", String::from_utf8_lossy(&text::safe(name)))),
            (None, None) => PathBuf::new(),
        };
        Ok((Self::Unix(UnixListener::from_std(socket.into())), Where::Unix(path)))
    }

    /// Takes the next newcomer.
    ///
    /// # Errors
    /// Those of accept(2).
    pub(super) fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                Ok((Stream::new(stream), Peer::from(address)))
            }
            Self::Unix(listener) => {
                // Its send buffer is the system's, some 208 KiB (net.core.wmem_default): a unix socket
                // inherits nothing from the one that listens.
                let stream = Stream::new(listener.accept()?.0);
                let peer = peer_of(&stream);
                Ok((stream, peer))
            }
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let source: &mut dyn Source = match self {
            Self::Tcp(listener) => listener,
            Self::Unix(listener) => listener,
        };
        registry.register(source, token, Interest::READABLE)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn peer_of(stream: &Stream) -> Peer {
    let local = |found: rustix::net::UCred| Peer::Local {
        pid: found.pid.as_raw_nonzero().get().unsigned_abs(),
        uid: found.uid.as_raw(),
    };
    rustix::net::sockopt::socket_peercred(stream).map_or(Peer::Unknown, local)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn peer_of(_: &Stream) -> Peer {
    Peer::Unknown
}
