//! The stream of one connection: plain, TLS, or TLS that begins after the first line of the server, as with NATS.

use hubbub::net::client_stream::ClientStream;
use hubbub::net::connect::is_to_itself;
use memchr::{memchr, memmem};
use mio::{Interest, Registry, Token};
use rustix::net::{RecvFlags, recv};
use socket2::SockRef;
use std::io::{self, ErrorKind, Read, Write};

/// The most bytes of the line that comes before TLS. That of NATS has some hundred.
const MAX_FIRST_LINE: usize = 8 * 1024;
/// What the first line of a NATS server with TLS contains:
/// <https://docs.nats.io/reference/reference-protocols/nats-protocol#info>.
const HAS_TLS: [&[u8]; 2] = [b"\"tls_required\":true", b"\"tls_available\":true"];

/// A non-blocking connection to the server.
#[derive(Debug)]
pub(crate) struct Stream {
    inner: ClientStream,
    /// Whether the server's first line is to come, and TLS begins after it.
    awaits_line: bool,
}

impl Stream {
    /// Wraps a connection; with `line_first`, TLS begins after the first line of the server.
    pub(crate) const fn new(inner: ClientStream, line_first: bool) -> Self {
        Self { awaits_line: line_first && matches!(inner, ClientStream::Tls(_)), inner }
    }

    /// Registers the stream for all its events under `token`.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.inner, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Returns why the connection failed, if it did.
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        // Without a server, a connection to a port of this machine may reach itself.
        let refused = is_to_itself(&self.inner).then(|| rustix::io::Errno::CONNREFUSED.into());
        Ok(SockRef::from(&self.inner).take_error()?.or(refused))
    }

    /// Returns whether bytes that were written wait inside for [`flush`](Write::flush).
    pub(crate) fn has_unsent(&self) -> bool {
        self.inner.has_unsent()
    }

    /// Returns whether another read finds something without a further event of the socket.
    pub(crate) const fn has_unread(&self) -> bool {
        self.inner.has_unread()
    }

    /// Takes part in the TLS handshake as far as possible now, without reading what follows it; returns whether it is
    /// complete.
    ///
    /// # Errors
    /// Why the handshake failed.
    pub(crate) fn handshake(&mut self) -> io::Result<bool> {
        match self.take_first_line() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            taken => taken.and_then(|()| self.inner.handshake()),
        }
    }

    /// Reads the line that comes before TLS, if it was not read yet, and not one byte more.
    fn take_first_line(&mut self) -> io::Result<()> {
        if !self.awaits_line {
            return Ok(());
        }
        let mut buffer = [0; MAX_FIRST_LINE];
        let (arrived, _) = recv(&self.inner, &mut buffer, RecvFlags::PEEK)?;
        let Some(end) = memchr(b'\n', &buffer[..arrived]) else {
            return Err(match arrived {
                0 => io::Error::new(
                    ErrorKind::UnexpectedEof,
                    "the server closed the connection before its first line",
                ),
                MAX_FIRST_LINE => invalid(format!(
                    "the server's first line has more than {MAX_FIRST_LINE} bytes: it is no NATS server"
                )),
                _ => ErrorKind::WouldBlock.into(),
            });
        };
        let (bytes, _) = recv(&self.inner, &mut buffer[..=end], RecvFlags::empty())?;
        if !HAS_TLS.iter().any(|member| memmem::find(&buffer[..bytes], member).is_some()) {
            return Err(invalid("the server does not speak TLS on this port: leave out --tls".to_owned()));
        }
        self.awaits_line = false;
        Ok(())
    }
}

fn invalid(why: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.take_first_line()?;
        self.inner.read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take_first_line()?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.take_first_line()?;
        self.inner.flush()
    }
}

#[cfg(all(test, feature = "tls"))]
#[allow(clippy::expect_used, reason = "that is how a test fails")]
mod tests {
    use super::*;
    use hubbub::net::tls_client::{TlsConnector, Trust};
    use hubbub::net::transport::PlainStream;
    use mio::net::UnixStream;

    fn is_blocked<T>(result: io::Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Returns a connection on which TLS begins after the first line, and the server's socket.
    fn pair() -> (Stream, UnixStream) {
        let (socket, server) = UnixStream::pair().expect("a pair of sockets");
        let connector = TlsConnector::new(&Trust::Any).expect("a connector");
        let tls = connector.start(PlainStream::new(socket), "localhost").expect("a connection");
        (Stream::new(ClientStream::Tls(Box::new(tls)), true), server)
    }

    #[test]
    fn nothing_is_sent_before_the_first_line_is_complete_and_tls_after_it() {
        let (mut stream, mut server) = pair();
        let mut buffer = [0; 1024];
        for part in ["", "INFO {\"tls_required\"", ":true}\r"] {
            server.write_all(part.as_bytes()).expect("a part of the line");
            assert!(is_blocked(stream.flush()) && is_blocked(stream.write(b"CONNECT")), "{part}");
            assert!(is_blocked(stream.read(&mut buffer)) && !stream.handshake().expect("no error"), "{part}");
            assert!(is_blocked(server.read(&mut buffer)), "{part}");
        }
        server.write_all(b"\n").expect("the rest of the line");
        stream.flush().expect("the line is complete");
        // The header of a TLS handshake.
        assert!(server.read(&mut buffer).expect("a hello") > 100);
        assert_eq!(buffer[..2], [0x16, 0x03]);
    }

    #[test]
    fn what_follows_the_first_line_belongs_to_tls() {
        let (mut stream, mut server) = pair();
        server.write_all(b"INFO {\"tls_available\":true}\r\n\x15\x03\x03\x00\x02\x02\x28").expect("an alert");
        let error = stream.handshake().expect_err("the server refuses");
        assert!(error.to_string().contains("HandshakeFailure"), "{error}");
    }
}
