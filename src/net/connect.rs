//! Connects to the first of several addresses that answers (RFC 8305, "Happy Eyeballs").

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// After this time without an answer, the next address is tried too: the Connection Attempt Delay of RFC 8305.
const NEXT_AFTER: Duration = Duration::from_millis(250);

/// Connects to the first of `addresses` that answers; the others are given up.
///
/// Each address has `timeout` to answer, and all of them have until `deadline`, if there is one. The connection
/// is non-blocking.
///
/// # Errors
/// The error of the address that failed last.
pub fn connect_to_first(
    addresses: &[SocketAddr],
    timeout: Duration,
    deadline: Option<Instant>,
) -> io::Result<TcpStream> {
    let mut attempts = Attempts { open: Vec::new(), last_error: ErrorKind::TimedOut.into() };
    let mut addresses = addresses.iter();
    let mut next_at = Instant::now();
    while deadline.is_none_or(|end| Instant::now() < end) {
        if (attempts.open.is_empty() || Instant::now() >= next_at)
            && let Some(&address) = addresses.next()
        {
            attempts.start(address, timeout);
            next_at = Instant::now() + NEXT_AFTER;
        }
        if attempts.open.is_empty() {
            if addresses.len() == 0 {
                return Err(attempts.last_error);
            }
            continue;
        }
        let next_at = (addresses.len() > 0).then_some(next_at);
        if let Some(stream) = attempts.wait(next_at.into_iter().chain(deadline).min())? {
            return Ok(stream);
        }
    }
    Err(ErrorKind::TimedOut.into())
}

/// Returns whether both ends of a TCP connection are the same socket.
///
/// Connecting to a port of this machine at which nobody listens succeeds if the kernel happens to choose the
/// same port for the near end ("simultaneous open", RFC 9293, 3.5). Such a connection also keeps a server from
/// its port.
pub fn is_to_itself(socket: &impl AsFd) -> bool {
    let socket = SockRef::from(socket);
    let address = |end: io::Result<socket2::SockAddr>| end.ok().and_then(|end| end.as_socket());
    let near = address(socket.local_addr());
    near.is_some() && near == address(socket.peer_addr())
}

/// Connections that are being opened.
struct Attempts {
    /// With the time at which each is given up.
    open: Vec<(TcpStream, Instant)>,
    last_error: io::Error,
}

impl Attempts {
    fn start(&mut self, address: SocketAddr, timeout: Duration) {
        match start(address) {
            Ok(stream) => self.open.push((stream, Instant::now() + timeout)),
            Err(error) => self.last_error = error,
        }
    }

    /// Waits until one connection is open, one has failed, or `until`.
    fn wait(&mut self, until: Option<Instant>) -> io::Result<Option<TcpStream>> {
        let until = self.open.iter().map(|(_, end)| *end).chain(until).min();
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        // Fails only for more than 2^63 seconds.
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let mut descriptors =
            self.open.iter().map(|(stream, _)| PollFd::new(stream, PollFlags::OUT)).collect::<Vec<_>>();
        match poll(&mut descriptors, left.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let is_ready = descriptors.iter().map(|entry| !entry.revents().is_empty()).collect::<Vec<_>>();
        for (index, is_ready) in is_ready.into_iter().enumerate().rev() {
            let is_late = Instant::now() >= self.open[index].1;
            if is_ready || is_late {
                let (stream, _) = self.open.remove(index);
                match outcome(&stream) {
                    _ if !is_ready => self.last_error = ErrorKind::TimedOut.into(),
                    Ok(()) => return Ok(Some(stream)),
                    Err(error) => self.last_error = error,
                }
            }
        }
        Ok(None)
    }
}

fn start(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error) if Errno::from_io_error(&error) != Some(Errno::INPROGRESS) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// Returns why a connection that is ready is not open, if so.
fn outcome(stream: &TcpStream) -> io::Result<()> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    if is_to_itself(stream) {
        // Closes it at once, without a wait that would keep the port in use.
        _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        return Err(Errno::CONNREFUSED.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// More than the time that the answer of a local socket takes, and less than [`TIMEOUT`].
    fn deadline() -> Option<Instant> {
        Some(Instant::now() + Duration::from_secs(20))
    }

    const TIMEOUT: Duration = Duration::from_secs(600);

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("its address");
        (listener, address)
    }

    /// A listener that answers no more, because its queue is full.
    fn silent_listener() -> (Vec<Socket>, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("loopback");
        socket.listen(0).expect("a listener");
        let address = socket.local_addr().expect("its address").as_socket().expect("IPv4");
        // The queue holds one connection more than its length, which is 0.
        let queued = [(); 3].map(|()| start(address).expect("a connection").into());
        ([socket].into_iter().chain(queued).collect(), address)
    }

    /// A port at which nobody listens, for as long as the socket is open.
    fn refusing_port() -> (Socket, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("loopback");
        let address = socket.local_addr().expect("its address").as_socket().expect("IPv4");
        (socket, address)
    }

    #[test]
    fn an_address_that_does_not_answer_or_refuses_does_not_keep_the_next_one_from_being_tried() {
        let (_silent, silent) = silent_listener();
        let (_refusing, refusing) = refusing_port();
        let (_listener, good) = listener();
        for addresses in [
            &[good][..],
            &[silent, good],
            &[silent, silent, refusing, silent, good],
            &[refusing, good],
            &[good, silent],
        ] {
            let stream = connect_to_first(addresses, TIMEOUT, deadline()).expect("a connection");
            assert_eq!(stream.peer_addr().expect("its peer"), good, "{addresses:?}");
        }
    }

    #[test]
    fn if_no_address_answers_the_error_is_that_of_the_one_that_failed_last() {
        let (_silent, silent) = silent_listener();
        let (_refusing, refusing) = refusing_port();
        let brief = Duration::from_millis(10);
        for (addresses, timeout, deadline, kind) in [
            (&[refusing][..], TIMEOUT, None, ErrorKind::ConnectionRefused),
            (&[silent, refusing], brief, None, ErrorKind::ConnectionRefused),
            (&[refusing, silent], brief, None, ErrorKind::TimedOut),
            (&[silent, silent], TIMEOUT, Some(Instant::now() + brief), ErrorKind::TimedOut),
            (&[refusing], TIMEOUT, Some(Instant::now()), ErrorKind::TimedOut),
        ] {
            let error = connect_to_first(addresses, timeout, deadline).expect_err("no connection");
            assert_eq!(error.kind(), kind, "{addresses:?}");
        }
    }

    #[test]
    fn a_connection_of_a_port_to_itself_is_refused() {
        let (socket, address) = refusing_port();
        socket.connect(&address.into()).expect("a connection to itself");
        let stream = TcpStream::from(socket);
        assert!(is_to_itself(&stream));
        let error = outcome(&stream).expect_err("no server");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        drop(stream);
        let (_listener, good) = listener();
        assert!(!is_to_itself(&TcpStream::connect(good).expect("a connection")));
    }
}
