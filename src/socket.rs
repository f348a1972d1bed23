//! All that a connection needs of its socket: the one place to add another kind.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;

/// Tries of one interrupted call: a socket that is interrupted for ever is ended instead.
const MOST_TRIES: usize = 10_000;

/// A non-blocking stream of bytes in both directions.
pub trait Socket {
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

impl Socket for mio::net::TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Read::read(self, buffer)
    }

    fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Self::peek(self, buffer)
    }

    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            // A plain send is the cheaper call, and nearly every write is one slice.
            [slice] => Write::write(self, slice),
            _ => self.write_vectored(slices),
        }
    }

    fn shutdown_write(&mut self) {
        _ = self.shutdown(Shutdown::Write);
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
