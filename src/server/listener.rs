//! One listening socket, of whichever kind.

use crate::peer::Peer;
use crate::socket::Stream;
use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use std::io;

/// A socket at which newcomers arrive.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
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
