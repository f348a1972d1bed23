//! Connections to the server, from as many source addresses as it takes.

use hubbub::cli::address::Address;
use hubbub::net::transport::PlainStream;
use hubbub::util::os_error;
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

/// Where Linux says which ports it gives to those who ask for none.
const PORT_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// How many it gives where it does not say: those of IANA.
const PORTS: usize = 16_384;
/// Source addresses that are tried in a row where ports are used up.
const SOURCES_TRIED: usize = 16;
/// Bytes that the kernel is asked to keep for a reader, and which Linux doubles. Half of it made the reading
/// a third slower. Left to itself it keeps megabytes, and a fast server is done when all is there: 837 MB for
/// 1,000 clients and 1.3 MB each, more than any machine would keep for readers that are elsewhere.
const RECEIVE_BUFFER: usize = 128 * 1024;
/// How long an address may take to answer, where a name has several.
const ANSWER: Duration = Duration::from_secs(3);

/// Has every change of `stream` reported under `token`.
pub(crate) fn watch(stream: &mut PlainStream, registry: &Registry, token: Token) -> io::Result<()> {
    registry.register(stream, token, Interest::READABLE | Interest::WRITABLE)
}

/// Why it could not be connected, or broke.
pub(crate) fn take_error(stream: &PlainStream) -> io::Result<Option<io::Error>> {
    SockRef::from(stream).take_error()
}

/// The server's address, and the next source to connect from.
#[derive(Debug)]
pub(crate) struct Target {
    place: Place,
    /// How many may still come from the present source.
    left: usize,
    /// The present source: 0 is the one that the kernel picks, the others are of 127.0.0.0/8.
    source: u32,
    each: usize,
}

#[derive(Debug)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Target {
    /// Looks `address` up.
    ///
    /// # Errors
    /// What to tell and the exit status, where it has none, or where it is not on this machine and
    /// `anywhere` is not allowed.
    pub(crate) fn find(address: &Address, anywhere: bool) -> Result<Self, (String, u8)> {
        let place = match address {
            Address::Unix(path) => Place::Unix(path.clone()),
            Address::Tcp { host, port } => {
                let found = (host.as_str(), *port)
                    .to_socket_addrs()
                    .map_err(|error| {
                        (format!("cannot look up {host}: {}", os_error::text(&error)), crate::WENT_WRONG)
                    })?
                    .collect::<Vec<_>>();
                if !anywhere && !found.iter().all(|address| address.ip().to_canonical().is_loopback()) {
                    let why = format!(
                        "{address} is not a loopback address: load goes to this machine only, \
                         unless --i-own-this-host is given"
                    );
                    return Err((why, crate::WRONG_COMMAND_LINE));
                }
                let none = || (format!("{host} has no address"), crate::WENT_WRONG);
                Place::Tcp(first_that_answers(&found).ok_or_else(none)?)
            }
        };
        let each = ports_of_one_source();
        Ok(Self { place, left: each, source: 0, each })
    }

    /// Begins one more connection.
    pub(crate) fn connect(&mut self) -> io::Result<PlainStream> {
        self.connect_with(RECEIVE_BUFFER)
    }

    /// The same, where the kernel is asked to keep no more than `receive_buffer` bytes for it.
    pub(crate) fn connect_with(&mut self, receive_buffer: usize) -> io::Result<PlainStream> {
        let address = match &self.place {
            Place::Unix(path) => return mio::net::UnixStream::connect(path).map(PlainStream::new),
            Place::Tcp(address) => *address,
        };
        let can_spread = matches!(address.ip(), IpAddr::V4(ip) if ip.is_loopback());
        for _ in 0..SOURCES_TRIED {
            if self.left == 0 && can_spread {
                self.next_source();
            }
            match connect(address, self.source, receive_buffer) {
                Ok(stream) => {
                    self.left = self.left.saturating_sub(1);
                    return Ok(stream);
                }
                Err(error) if is_out_of_ports(&error) && can_spread => self.next_source(),
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("all ports of many source addresses are in use"))
    }

    const fn next_source(&mut self) {
        self.source += 1;
        self.left = self.each;
    }
}

/// A name may stand for addresses of which only one is listened at.
fn first_that_answers(found: &[SocketAddr]) -> Option<SocketAddr> {
    match found {
        [] | [_] => found.first().copied(),
        [first, ..] => {
            let answers = |address: &&SocketAddr| TcpStream::connect_timeout(address, ANSWER).is_ok();
            found.iter().find(answers).or(Some(first)).copied()
        }
    }
}

fn connect(address: SocketAddr, source: u32, receive_buffer: usize) -> io::Result<PlainStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    // Before connecting: it decides what the server may send unread.
    socket.set_recv_buffer_size(receive_buffer)?;
    if source > 0 {
        let ip = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + source);
        socket.bind(&SocketAddr::from((ip, 0)).into())?;
    }
    match socket.connect(&SockAddr::from(address)) {
        Err(error) if !is_on_its_way(&error) => Err(error),
        _ => Ok(PlainStream::new(socket)),
    }
}

fn is_on_its_way(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::INPROGRESS)
}

fn is_out_of_ports(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse)
}

/// Half of what the kernel has: it searches long for the last ones, and others use some.
fn ports_of_one_source() -> usize {
    let range = std::fs::read_to_string(PORT_RANGE).unwrap_or_default();
    let ends = range.split_whitespace().map_while(|port| port.parse::<usize>().ok()).collect::<Vec<_>>();
    match ends[..] {
        [first, last] if last > first => (last - first).div_ceil(2),
        _ => PORTS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn who_needs_more_ports_than_one_source_has_comes_from_the_next_too() {
        let door = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let place = Place::Tcp(door.local_addr().expect("its address"));
        let mut target = Target { place, left: 2, source: 0, each: 2 };
        let came = [(); 5].map(|()| {
            let _stream = target.connect().expect("it listens");
            door.accept().expect("it connected").1.ip().to_string()
        });
        assert_eq!(came, ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.3"]);
    }
}
