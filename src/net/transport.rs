//! The byte stream under a connection, and the plain socket. [`TlsStream`](super::tls::TlsStream) is the other one.

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Attempts of one call that signals interrupt. A socket that is interrupted more often is closed.
const MAX_ATTEMPTS: usize = 10_000;

/// A non-blocking stream of bytes in both directions.
pub trait Transport {
    /// Reads into `buffer` and returns the number of bytes; 0 = the peer ended its input.
    ///
    /// # Errors
    /// `WouldBlock` if no bytes have arrived, or if [`may_have_input`](Self::may_have_input) says that the next call
    /// may find some; any other error ends the stream.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes `slices` with one call and returns the number of bytes written. A transport that encrypts may keep the
    /// last ones: see [`has_pending_output`](Self::has_pending_output).
    ///
    /// # Errors
    /// `WouldBlock` if no byte could be written; any other error ends the stream.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Ends the output; returns whether it has ended. If not, the call must be repeated once the socket is writable.
    /// It is no error if the peer has closed the connection.
    fn shutdown_write(&mut self) -> bool;

    /// Whether a read may find input although the last one returned `WouldBlock` or the socket has caused no event.
    fn may_have_input(&self) -> bool {
        false
    }

    /// Whether bytes that were counted as written are still to be written to the socket.
    fn has_pending_output(&self) -> bool {
        false
    }

    /// Writes such bytes once.
    ///
    /// # Errors
    /// `WouldBlock` if some are left; any other error ends the stream.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A non-blocking TCP or unix socket.
#[derive(Debug)]
pub struct PlainStream(OwnedFd);

impl PlainStream {
    /// Wraps a non-blocking socket that is connected or connecting.
    pub fn new(descriptor: impl Into<OwnedFd>) -> Self {
        Self(descriptor.into())
    }

    /// Like a read, but the bytes stay in the socket.
    ///
    /// # Errors
    /// `WouldBlock` if no bytes have arrived; any other error ends the stream.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(&self.0, buffer, RecvFlags::PEEK)?.0)
    }

    /// Ends the output. It is no error if the peer has closed the connection.
    pub fn shutdown_write(&self) {
        _ = shutdown(&self.0, Shutdown::Write);
    }
}

impl Transport for PlainStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(&self.0, buffer, RecvFlags::empty())?.0)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(match slices {
            // send(2) is cheaper than writev(2), and nearly every write has one slice.
            [slice] => send(&self.0, slice, SendFlags::NOSIGNAL)?,
            _ => rustix::io::writev(&self.0, slices)?,
        })
    }

    fn shutdown_write(&mut self) -> bool {
        Self::shutdown_write(self);
        true
    }
}

impl Read for PlainStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Transport::read(self, buffer)
    }
}

impl Write for PlainStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Transport::write_vectored(self, &[IoSlice::new(bytes)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for PlainStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Source for PlainStream {
    fn register(&mut self, registry: &Registry, token: Token, changes: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).register(registry, token, changes)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, changes: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).reregister(registry, token, changes)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).deregister(registry)
    }
}

/// Repeats a call that a signal interrupted, at most [`MAX_ATTEMPTS`] times.
pub(crate) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..MAX_ATTEMPTS {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
    call()
}
