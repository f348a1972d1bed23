//! TLS over a socket, by rustls.

mod config;

pub use config::TlsConfig;

use super::stream::Handshake;
use super::transport::{PlainStream, Transport, retry};
use config::{error_of, invalid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::ServerConnection;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// The most bytes of text in one record, and so the most that is held encrypted for one client: as much as TLS allows.
/// With 1,000 saturated clients a delivery cost about 50 ns of CPU time with 16 KiB, and 75 ns with 8 KiB.
const RECORD: usize = 16 * 1024;
/// The same while the socket is nearly full: a reader that never reads holds such a record for good. It takes 18 kB of
/// memory in all, and 26 kB with 16 KiB.
const RECORD_IF_FULL: usize = 8 * 1024;
/// The most reads of the socket in one call. Each takes up to 4 KiB, so a whole record fits, and a peer that sends
/// records without text cannot keep the loop busy.
const MAX_READS: usize = 5;
/// The most bytes of input of a handshake. A client sends about 2 KiB, and twice as much if it guessed wrong which key
/// exchange the server wants.
const MAX_HANDSHAKE: usize = 8 * 1024;

/// A non-blocking socket with TLS; this side is the server.
#[derive(Debug)]
pub struct TlsStream(Box<Tls>);

#[derive(Debug)]
struct Tls {
    socket: PlainStream,
    session: ServerConnection,
    /// Bytes of input while the handshake was not complete.
    handshake_input: usize,
    /// The socket has not returned `WouldBlock` since its last input.
    may_have_input: bool,
    /// The peer broke the protocol: the socket is not read any more.
    has_failed: bool,
}

impl TlsStream {
    /// Expects a handshake on a connected socket of which no byte of TLS was read.
    ///
    /// # Errors
    /// If the configuration cannot be used for a session; no peer can cause it.
    pub fn accept(socket: PlainStream, config: &TlsConfig) -> io::Result<Self> {
        let session = ServerConnection::new(Arc::clone(&config.0));
        let mut session = session.map_err(|error| error_of(&error))?;
        session.set_buffer_limit(Some(RECORD));
        Ok(Self(Box::new(Tls {
            socket,
            session,
            handshake_input: 0,
            may_have_input: true,
            has_failed: false,
        })))
    }

    /// Goes on with the handshake as far as the socket allows, within a limit on the reads of one call. If it fails,
    /// the peer is told with an alert as far as the socket takes it.
    ///
    /// # Errors
    /// A few words for the log: the peer has left, speaks no TLS, has sent more than 8 KiB, or nothing in common is
    /// found. The stream is of no use then.
    pub fn handshake(&mut self) -> io::Result<Handshake> {
        match retry(|| self.0.handshake()) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Handshake::Waiting),
            result => result,
        }
    }
}

impl Tls {
    fn handshake(&mut self) -> io::Result<Handshake> {
        for _ in 0..MAX_READS {
            if !self.session.is_handshaking() {
                // What is left to write is written with the first output.
                return Ok(Handshake::Done);
            }
            self.flush()?;
            if self.handshake_input > MAX_HANDSHAKE {
                return Err(invalid(format!(
                    "more than {MAX_HANDSHAKE} bytes before the end of the handshake"
                )));
            }
            let bytes = self.receive()?;
            self.handshake_input += bytes;
            if self.has_failed {
                return Err(self.failure());
            }
            if bytes == 0 {
                return Err(io::Error::new(
                    ErrorKind::UnexpectedEof,
                    "the peer left during the TLS handshake",
                ));
            }
        }
        Ok(Handshake::Again)
    }

    /// Reads the socket once and decrypts what is complete; returns the encrypted bytes.
    fn receive(&mut self) -> io::Result<usize> {
        let read = self.session.read_tls(&mut self.socket);
        if let Err(error) = &read
            && error.kind() == ErrorKind::WouldBlock
        {
            self.may_have_input = false;
        }
        let bytes = read?;
        self.may_have_input = true;
        if self.session.process_new_packets().is_err() {
            self.has_failed = true;
            // The alert that tells the peer; the error counts.
            _ = self.send();
        }
        Ok(bytes)
    }

    /// Why [`receive`](Self::receive) has failed: rustls returns its error again.
    fn failure(&mut self) -> io::Error {
        match self.session.process_new_packets() {
            Err(error) => error_of(&error),
            Ok(_) => invalid("TLS failed".to_owned()),
        }
    }

    /// Writes pending records to the socket once; returns how many bytes were pending before.
    fn send(&mut self) -> io::Result<usize> {
        let mut output = Output { socket: &mut self.socket, offered: 0 };
        let written = self.session.write_tls(&mut output);
        let offered = output.offered;
        match written {
            Ok(0) if offered > 0 => Err(ErrorKind::WriteZero.into()),
            result => result.map(|_| offered),
        }
    }

    /// Limits the next record, which is to hold up to `len` bytes of text.
    fn limit_record(&mut self, len: usize) {
        if len <= RECORD_IF_FULL {
            return;
        }
        // One more system call, but only for a large record.
        let mut socket = [PollFd::new(&self.socket, PollFlags::OUT)];
        let is_nearly_full = matches!(poll(&mut socket, Some(&Timespec::default())), Ok(0));
        self.session.set_buffer_limit(Some(if is_nearly_full { RECORD_IF_FULL } else { RECORD }));
    }

    /// Writes pending records until none is left or the socket takes no more.
    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.send()?;
        }
        Ok(())
    }
}

impl Transport for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let tls = &mut *self.0;
        for reads in 0..=MAX_READS {
            match io::Read::read(&mut tls.session.reader(), buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return result,
            }
            if tls.has_failed {
                return Err(tls.failure());
            }
            if reads < MAX_READS {
                tls.receive()?;
            }
        }
        Err(ErrorKind::WouldBlock.into())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let tls = &mut *self.0;
        tls.flush()?;
        tls.limit_record(slices.iter().map(|slice| slice.len()).sum());
        // Takes at most one record, because nothing is pending.
        let taken = tls.session.writer().write_vectored(slices)?;
        match tls.send() {
            // TLS 1.2 allows a certain number of records. After that, rustls encrypts no more.
            Ok(pending) if pending < taken => Err(io::Error::new(
                ErrorKind::ConnectionAborted,
                "too many records for one session of TLS 1.2",
            )),
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                Err(error)
            }
            // The rest is pending.
            _ => Ok(taken),
        }
    }

    fn shutdown_write(&mut self) -> bool {
        self.0.session.send_close_notify();
        match retry(|| self.0.flush()) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            _ => Transport::shutdown_write(&mut self.0.socket),
        }
    }

    fn may_have_input(&self) -> bool {
        self.0.may_have_input
    }

    fn has_pending_output(&self) -> bool {
        self.0.session.wants_write()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl AsFd for TlsStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.socket.as_fd()
    }
}

/// Writes to the socket, and counts what it was offered.
struct Output<'a> {
    socket: &'a mut PlainStream,
    offered: usize,
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.offered = slices.iter().map(|slice| slice.len()).sum();
        Transport::write_vectored(self.socket, slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
