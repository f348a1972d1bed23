//! One listening socket, of whichever kind.

use super::bind::{BACKLOG, PeerTimeout, set_options};
use crate::net::peer::Peer;
use crate::net::transport::PlainStream;
use crate::wire::escape;
use crate::wire::view::View;
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
pub struct InheritedSocket {
    /// How the room is shown there.
    pub view: View,
    /// The socket itself.
    pub socket: Socket,
}

/// LocalAddr a listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LocalAddr {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl LocalAddr {
    /// The port, where it is all interfaces' of the network.
    pub(super) fn port_everywhere(&self) -> Option<u16> {
        match self {
            Self::Tcp(address) if address.ip().is_unspecified() => Some(address.port()),
            _ => None,
        }
    }
}

impl fmt::Display for LocalAddr {
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
    pub(super) fn adopt(socket: Socket, dead_after: PeerTimeout) -> io::Result<(Self, LocalAddr)> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        // Whoever made it may have asked for less.
        socket.listen(BACKLOG)?;
        if let Some(address) = address.as_socket() {
            set_options(&SockRef::from(&socket), dead_after)?;
            return Ok((Self::Tcp(TcpListener::from_std(socket.into())), LocalAddr::Tcp(address)));
        }
        let path = match (address.as_pathname(), address.as_abstract_namespace()) {
            (Some(path), _) => path.to_owned(),
            // As systemd writes it.
            (None, Some(name)) => {
                PathBuf::from(format!("@{}", String::from_utf8_lossy(&escape::escape(name))))
            }
            (None, None) => PathBuf::new(),
        };
        Ok((Self::Unix(UnixListener::from_std(socket.into())), LocalAddr::Unix(path)))
    }

    /// Takes the next newcomer.
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
                // Its send buffer is the system's, some 208 KiB (net.core.wmem_default): a unix socket
                // inherits nothing from the one that listens.
                let stream = PlainStream::new(listener.accept()?.0);
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
