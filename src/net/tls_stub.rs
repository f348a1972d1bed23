//! Replaces `tls.rs` in a build without the feature `tls`: no configuration can be read, so there is no stream.

use super::stream::Handshake;
use super::transport::{PlainStream, Transport};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// A certificate and its key; never one in this build.
#[derive(Debug, Clone)]
pub enum TlsConfig {}

impl TlsConfig {
    /// Reads nothing.
    ///
    /// # Errors
    /// Always.
    pub fn read(_: &Path, _: &Path) -> Result<Self, String> {
        Err("cannot encrypt: this server was built without the feature tls".to_owned())
    }
}

/// A TLS stream; never one in this build.
#[derive(Debug)]
pub enum TlsStream {}

impl TlsStream {
    /// Cannot be called: there is no configuration.
    ///
    /// # Errors
    /// None.
    pub fn accept(_: PlainStream, config: &TlsConfig) -> io::Result<Self> {
        match *config {}
    }

    /// Cannot be called: there is no stream.
    ///
    /// # Errors
    /// None.
    pub fn handshake(&mut self) -> io::Result<Handshake> {
        match *self {}
    }
}

impl Transport for TlsStream {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }

    fn write_vectored(&mut self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        match *self {}
    }

    fn shutdown_write(&mut self) -> bool {
        match *self {}
    }
}

impl AsFd for TlsStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }
}
