//! One listening socket, TCP or unix.

use super::bind::{BACKLOG, set_options};
use super::listen_spec::PeerTimeout;
use crate::net::peer::Peer;
use crate::net::transport::PlainStream;
use crate::wire::escape;
use crate::wire::view::View;
use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::Socket;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A socket that accepts connections.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A listening socket that the server got from the process that started it.
#[derive(Debug)]
pub struct InheritedSocket {
    /// The view in which its clients see the room.
    pub view: View,
    /// The socket.
    pub socket: Socket,
}

/// The address of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LocalAddr {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl LocalAddr {
    /// The port, if the address stands for all interfaces.
    pub(super) fn port_on_all_interfaces(&self) -> Option<u16> {
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
    /// Takes over a listening socket and sets the options of the server's own listeners.
    ///
    /// # Errors
    /// Those of the system's calls.
    pub(super) fn adopt(socket: Socket, peer_timeout: PeerTimeout) -> io::Result<(Self, LocalAddr)> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        // Raises the backlog, which the starting process may have set lower.
        socket.listen(BACKLOG)?;
        if let Some(address) = address.as_socket() {
            set_options(&socket, peer_timeout)?;
            return Ok((Self::Tcp(TcpListener::from_std(socket.into())), LocalAddr::Tcp(address)));
        }
        let path = match (address.as_pathname(), address.as_abstract_namespace()) {
            (Some(path), _) => path.to_owned(),
            // An abstract name, in the form that systemd uses.
            (None, Some(name)) => {
                PathBuf::from(format!("@{}", String::from_utf8_lossy(&escape::escape(name))))
            }
            (None, None) => PathBuf::new(),
        };
        Ok((Self::Unix(UnixListener::from_std(socket.into())), LocalAddr::Unix(path)))
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
