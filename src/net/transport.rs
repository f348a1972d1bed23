//! All that a connection needs of its socket: the one place to add another kind.

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Tries of one interrupted call: a socket that is interrupted for ever is ended instead.
const MOST_TRIES: usize = 10_000;

/// A non-blocking stream of bytes in both directions.
pub trait Transport {
    /// Reads into `buffer`; 0 is the end of the peer's input.
    ///
    /// # Errors
    /// `WouldBlock` where nothing is there yet; any other error ends the stream.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// The same, and leaves the bytes to be read again.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes from `slices` in one call; returns the bytes taken.
    ///
    /// # Errors
    /// `WouldBlock` where nothing could be taken; any other error ends the stream.
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Tells the peer that nothing more comes. A peer that is gone already is no error.
    fn shutdown_write(&mut self);
}

/// A connected socket of the system, TCP or unix, which never blocks.
#[derive(Debug)]
pub struct PlainStream(OwnedFd);

impl PlainStream {
    /// The socket of `descriptor`, connected or about to be, and not blocking.
    pub fn new(descriptor: impl Into<OwnedFd>) -> Self {
        Self(descriptor.into())
    }

    /// Tells the peer that nothing more comes. A peer that is gone already is no error.
    pub fn shutdown_write(&self) {
        _ = shutdown(&self.0, Shutdown::Write);
    }
}

impl Transport for PlainStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(&self.0, buffer, RecvFlags::empty())?.0)
    }

    fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(&self.0, buffer, RecvFlags::PEEK)?.0)
    }

    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(match slices {
            // A plain send is the cheaper call, and nearly every write is one slice.
            [slice] => send(&self.0, slice, SendFlags::NOSIGNAL)?,
            _ => rustix::io::writev(&self.0, slices)?,
        })
    }

    fn shutdown_write(&mut self) {
        Self::shutdown_write(self);
    }
}

impl Read for PlainStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Transport::read(self, buffer)
    }
}

impl Write for PlainStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Transport::write(self, &[IoSlice::new(bytes)])
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

/// Makes a call again while it is interrupted, within bounds.
pub(crate) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..MOST_TRIES {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
    call()
}
