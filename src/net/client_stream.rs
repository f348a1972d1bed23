//! The connection of a client program, plain or encrypted.

use crate::net::tls_client::TlsStream;
use crate::net::transport::PlainStream;
use mio::event::Source;
use mio::{Interest, Registry, Token};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// A non-blocking connection to a server.
///
/// With TLS, bytes may wait inside it in both directions, and no poll tells of them. So a caller polls for output also
/// while [`has_unsent`](Self::has_unsent) is true, and reads again at once while [`has_unread`](Self::has_unread) is.
#[derive(Debug)]
pub enum ClientStream {
    /// Not encrypted.
    Plain(PlainStream),
    /// Encrypted.
    Tls(Box<TlsStream>),
}

impl ClientStream {
    /// Returns whether bytes that were written wait inside for [`flush`](Write::flush).
    pub fn has_unsent(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.has_unsent(),
        }
    }

    /// Returns whether another read finds something without a further event of the socket.
    pub const fn has_unread(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.has_unread(),
        }
    }

    /// Takes part in the TLS handshake as far as possible now, without reading what follows it; returns whether it is
    /// complete.
    ///
    /// # Errors
    /// Why the handshake failed.
    pub fn handshake(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(stream) => stream.handshake(),
        }
    }

    /// Ends the output. It is no error if the peer has closed the connection.
    pub fn shutdown_write(&mut self) {
        match self {
            Self::Plain(stream) => stream.shutdown_write(),
            Self::Tls(stream) => stream.shutdown_write(),
        }
    }

    fn socket_mut(&mut self) -> &mut PlainStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.socket_mut(),
        }
    }
}

impl Read for ClientStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => Read::read(stream, buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for ClientStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl AsFd for ClientStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.as_fd(),
        }
    }
}

impl Source for ClientStream {
    fn register(&mut self, registry: &Registry, token: Token, changes: Interest) -> io::Result<()> {
        self.socket_mut().register(registry, token, changes)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, changes: Interest) -> io::Result<()> {
        self.socket_mut().reregister(registry, token, changes)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.socket_mut().deregister(registry)
    }
}
