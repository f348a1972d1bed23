//! The socket of a client: plain or TLS.

use super::tls::TlsStream;
use super::transport::{PlainStream, Transport};
use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// How far a TLS handshake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// The stream can be read and written.
    Done,
    /// The socket must become readable or writable first.
    Waiting,
    /// There may be more input already: call again in the next turn, even without an event.
    Again,
}

/// A non-blocking socket, plain or TLS.
#[derive(Debug)]
pub enum Stream {
    /// Without encryption.
    Plain(PlainStream),
    /// With TLS. It is boxed inside.
    Tls(TlsStream),
}

// Each client has one.
const _: () = assert!(size_of::<Stream>() <= 16);

impl From<PlainStream> for Stream {
    fn from(stream: PlainStream) -> Self {
        Self::Plain(stream)
    }
}

impl From<TlsStream> for Stream {
    fn from(stream: TlsStream) -> Self {
        Self::Tls(stream)
    }
}

impl Transport for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => Transport::read(stream, buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => Transport::write_vectored(stream, slices),
            Self::Tls(stream) => stream.write_vectored(slices),
        }
    }

    fn shutdown_write(&mut self) -> bool {
        match self {
            Self::Plain(stream) => Transport::shutdown_write(stream),
            Self::Tls(stream) => stream.shutdown_write(),
        }
    }

    fn may_have_input(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.may_have_input(),
        }
    }

    fn has_pending_output(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.has_pending_output(),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.as_fd(),
        }
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, changes: Interest) -> io::Result<()> {
        SourceFd(&self.as_fd().as_raw_fd()).register(registry, token, changes)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, changes: Interest) -> io::Result<()> {
        SourceFd(&self.as_fd().as_raw_fd()).reregister(registry, token, changes)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.as_fd().as_raw_fd()).deregister(registry)
    }
}
