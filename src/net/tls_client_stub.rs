//! TLS of the client programs without the feature `tls`: there is none.

use crate::net::transport::PlainStream;
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

/// Which certificates of servers are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those that an authority of the system has signed.
    System,
    /// Those in this PEM file, and those that they have signed.
    File(PathBuf),
    /// Any certificate.
    Any,
}

/// Encrypts connections to servers: there is no value.
#[derive(Debug, Clone)]
pub struct TlsConnector(Infallible);

/// A connection over TLS: there is no value.
#[derive(Debug)]
pub struct TlsStream(Infallible);

impl TlsConnector {
    /// Fails.
    ///
    /// # Errors
    /// Always: the program cannot encrypt.
    pub fn new(_: &Trust) -> Result<Self, String> {
        Err("this program was built without TLS: build it with the feature \"tls\"".to_owned())
    }

    /// Cannot be called.
    ///
    /// # Errors
    /// None.
    pub const fn start(&self, _: PlainStream, _: &str) -> Result<TlsStream, String> {
        match self.0 {}
    }
}

impl TlsStream {
    /// Cannot be called.
    pub const fn has_unsent(&self) -> bool {
        match self.0 {}
    }

    /// Cannot be called.
    pub const fn has_unread(&self) -> bool {
        match self.0 {}
    }

    /// Cannot be called.
    ///
    /// # Errors
    /// None.
    pub const fn handshake(&mut self) -> io::Result<bool> {
        match self.0 {}
    }

    /// Cannot be called.
    pub const fn shutdown_write(&mut self) {
        match self.0 {}
    }

    pub(crate) const fn socket_mut(&mut self) -> &mut PlainStream {
        match self.0 {}
    }
}

impl Read for TlsStream {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }
}

impl Write for TlsStream {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}

impl AsFd for TlsStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self.0 {}
    }
}
