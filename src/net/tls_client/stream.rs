//! A client's connection over TLS.

use super::explain::{CLOSED_EARLY, CLOSED_WITHOUT_END, explain};
use crate::net::transport::PlainStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Bytes of one read of the socket: two records of TLS, which have 16 KiB at most. rustls itself reads 4 KiB.
const READ_SIZE: usize = 32 * 1024;
/// Bytes of one write: one record of TLS. The next one is taken when this one is sent.
const WRITE_SIZE: usize = 16 * 1024;

/// A non-blocking connection over TLS. The handshake is part of the first reads and writes.
#[derive(Debug)]
pub struct TlsStream {
    socket: BufReader<PlainStream>,
    tls: ClientConnection,
    has_unread: bool,
    output: Output,
    /// Why the connection cannot be read any more.
    error: Option<(ErrorKind, String)>,
}

/// How far the end of the output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Open,
    /// The socket is shut down when everything is sent.
    Ending,
    ShutDown,
}

impl TlsStream {
    pub(super) fn new(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        socket: PlainStream,
    ) -> Result<Self, String> {
        let tls = ClientConnection::new(config, name).map_err(|error| format!("cannot use TLS: {error}"))?;
        let socket = BufReader::with_capacity(READ_SIZE, socket);
        Ok(Self { socket, tls, has_unread: false, output: Output::Open, error: None })
    }

    /// Returns whether the handshake is not complete.
    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Returns whether bytes wait inside for [`flush`](Write::flush).
    pub fn has_unsent(&self) -> bool {
        self.tls.wants_write()
    }

    /// Returns whether another read finds something without a further event of the socket.
    pub const fn has_unread(&self) -> bool {
        self.has_unread
    }

    /// Takes part in the handshake as far as possible now, without reading what follows it; returns whether it is
    /// complete.
    ///
    /// # Errors
    /// Why the handshake failed.
    pub fn handshake(&mut self) -> io::Result<bool> {
        loop {
            match self.flush() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                flushed => flushed?,
            }
            if !self.tls.is_handshaking() {
                return Ok(true);
            }
            match self.receive() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                received => received?,
            }
        }
    }

    /// Ends the output: sends `close_notify`, and then ends the output of the socket.
    pub fn shutdown_write(&mut self) {
        if self.output == Output::Open {
            self.tls.send_close_notify();
            self.output = Output::Ending;
        }
        // If the peer has closed the connection, the next read tells.
        _ = self.flush();
    }

    pub(crate) fn socket_mut(&mut self) -> &mut PlainStream {
        self.socket.get_mut()
    }

    /// Reads the socket once, and decrypts what is complete.
    fn receive(&mut self) -> io::Result<()> {
        if let Some((kind, why)) = &self.error {
            return Err(io::Error::new(*kind, why.clone()));
        }
        let is_handshaking = self.tls.is_handshaking();
        let error = match self.tls.read_tls(&mut self.socket) {
            Ok(bytes) => match self.tls.process_new_packets() {
                Ok(state) if bytes > 0 || state.peer_has_closed() => None,
                Ok(_) => {
                    let why = if is_handshaking { CLOSED_EARLY } else { CLOSED_WITHOUT_END };
                    Some((ErrorKind::UnexpectedEof, why.to_owned()))
                }
                Err(error) => Some((ErrorKind::InvalidData, explain(&error, is_handshaking))),
            },
            Err(error) if error.kind() == ErrorKind::Interrupted => None,
            Err(error) => return Err(error),
        };
        // A reply of TLS itself, such as an alert. If it cannot be sent, the next read or write tells why.
        _ = self.flush();
        match error {
            None => Ok(()),
            Some((kind, why)) => {
                self.error = Some((kind, why.clone()));
                Err(io::Error::new(kind, why))
            }
        }
    }

    /// Fills `buffer` as far as possible; returns the number of bytes, and how the reading ended if `buffer` is not
    /// full.
    fn fill(&mut self, buffer: &mut [u8]) -> (usize, io::Result<()>) {
        let mut filled = 0;
        while filled < buffer.len() {
            let result = match self.tls.reader().read(&mut buffer[filled..]) {
                // The peer has ended its output.
                Ok(0) => return (filled, Ok(())),
                Ok(bytes) => {
                    filled += bytes;
                    Ok(())
                }
                // Without bytes: why there are none, the next receive tells.
                Err(_) => self.receive(),
            };
            if result.is_err() {
                return (filled, result);
            }
        }
        (filled, Ok(()))
    }
}

impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (filled, end) = self.fill(buffer);
        let is_blocked = end.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        // The end comes with the next read.
        self.has_unread = filled > 0 && !is_blocked;
        if filled == 0 { end.map(|()| 0) } else { Ok(filled) }
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        if self.tls.is_handshaking() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let taken = self.tls.writer().write(&bytes[..bytes.len().min(WRITE_SIZE)])?;
        match self.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Sends what waits inside. `WouldBlock` if the socket does not take all of it.
    fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(self.socket.get_mut()) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        if self.output == Output::Ending {
            self.socket.get_mut().shutdown_write();
            self.output = Output::ShutDown;
        }
        Ok(())
    }
}

impl AsFd for TlsStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().as_fd()
    }
}
