//! Opens connections to the server, from several source addresses if one has not enough ports.

use crate::options::Options;
use crate::stream::Stream;
use hubbub::cli::address::Address;
use hubbub::net::client_stream::ClientStream;
use hubbub::net::connect::connect_to_first;
use hubbub::net::tls_client::{TlsConnector, Trust};
use hubbub::net::transport::PlainStream;
use hubbub::net::unix_addr::UnixAddr;
use hubbub::util::os_error;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Where Linux publishes the range of its automatic ports.
const PORT_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// The number of automatic ports if the range is unknown: the range of IANA.
const PORTS: usize = 16_384;
/// Source addresses to try in a row if their ports are in use.
const MAX_SOURCES: usize = 16;
/// Receive buffer of a client in bytes; Linux doubles it. Half of it made reading a third slower. The system's
/// default grows to megabytes (measured: 837 MB for 1,000 clients with 1.3 MB of lines each), and a fast server
/// then finishes before the clients have read the lines, unlike over a network.
const RECEIVE_BUFFER: usize = 128 * 1024;
/// Time to wait for each address if a name has several.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The server's address, and the source address of the next connection.
#[derive(Debug)]
pub(crate) struct Target {
    endpoint: Endpoint,
    /// Encrypts each connection, if that is asked for. Any certificate is accepted.
    tls: Option<TlsConnector>,
    /// Whether TLS begins after the first line of the server.
    line_first: bool,
    /// Connections that the current source address can still open.
    ports_left: usize,
    /// The current source address: 0 = chosen by the kernel, n = 127.0.0.1 + n.
    source: u32,
    ports_per_source: usize,
}

#[derive(Debug)]
enum Endpoint {
    Tcp(SocketAddr),
    Unix(UnixAddr),
}

impl Target {
    /// Resolves the address.
    ///
    /// # Errors
    /// The message and the exit status, if the address cannot be resolved or is not on this machine without
    /// `--i-own-this-host`. With `--tls` it must be on this machine, because no certificate is checked.
    pub(crate) fn resolve(options: &Options) -> Result<Self, (String, u8)> {
        let Options { address, allow_remote, tls: uses_tls, protocol, .. } = options;
        let tls = uses_tls.then(|| TlsConnector::new(&Trust::Any)).transpose();
        let tls = tls.map_err(|why| (format!("--tls: {why}"), crate::FAILED))?;
        let endpoint = match address {
            Address::Unix(address) if *uses_tls => {
                let why =
                    format!("--tls cannot be used with \"{address}\": a unix socket needs no encryption");
                return Err((why, crate::WRONG_COMMAND_LINE));
            }
            Address::Unix(address) => Endpoint::Unix(address.clone()),
            Address::Tcp { host, port } => {
                let found = (host.as_str(), *port)
                    .to_socket_addrs()
                    .map_err(|error| {
                        (format!("cannot resolve \"{host}\": {}", os_error::text(&error)), crate::FAILED)
                    })?
                    .collect::<Vec<_>>();
                let is_local = found.iter().all(|address| address.ip().to_canonical().is_loopback());
                if *uses_tls && !is_local {
                    let why = format!(
                        "--tls is for this machine only, and \"{address}\" is not a loopback address"
                    );
                    return Err((why, crate::WRONG_COMMAND_LINE));
                }
                if !allow_remote && !is_local {
                    let why = format!(
                        "\"{address}\" is not a loopback address: \
                         add --i-own-this-host if you may put load on that host"
                    );
                    return Err((why, crate::WRONG_COMMAND_LINE));
                }
                let none = || (format!("\"{host}\" has no IP address"), crate::FAILED);
                Endpoint::Tcp(first_reachable(&found).ok_or_else(none)?)
            }
        };
        let ports_per_source = ports_per_source();
        let line_first = protocol.has_line_before_tls();
        Ok(Self { endpoint, tls, line_first, ports_left: ports_per_source, source: 0, ports_per_source })
    }

    /// Starts a connection.
    pub(crate) fn connect(&mut self) -> io::Result<Stream> {
        self.connect_with(RECEIVE_BUFFER)
    }

    /// Starts a connection with a receive buffer of `receive_buffer` bytes.
    pub(crate) fn connect_with(&mut self, receive_buffer: usize) -> io::Result<Stream> {
        let socket = self.connect_socket(receive_buffer)?;
        let stream = match &self.tls {
            Some(tls) => {
                ClientStream::Tls(Box::new(tls.start(socket, "localhost").map_err(io::Error::other)?))
            }
            None => ClientStream::Plain(socket),
        };
        Ok(Stream::new(stream, self.line_first))
    }

    fn connect_socket(&mut self, receive_buffer: usize) -> io::Result<PlainStream> {
        let address = match &self.endpoint {
            Endpoint::Unix(address) => return address.connect(true).map(PlainStream::new),
            Endpoint::Tcp(address) => *address,
        };
        let can_spread = matches!(address.ip(), IpAddr::V4(ip) if ip.is_loopback());
        for _ in 0..MAX_SOURCES {
            if self.ports_left == 0 && can_spread {
                self.next_source();
            }
            match connect(address, self.source, receive_buffer) {
                Ok(stream) => {
                    self.ports_left = self.ports_left.saturating_sub(1);
                    return Ok(stream);
                }
                Err(error) if is_out_of_ports(&error) && can_spread => self.next_source(),
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(format!("the ports of {MAX_SOURCES} source addresses are in use")))
    }

    const fn next_source(&mut self) {
        self.source += 1;
        self.ports_left = self.ports_per_source;
    }
}

/// Returns the first address that accepts a connection: a name may have others where nothing listens.
fn first_reachable(found: &[SocketAddr]) -> Option<SocketAddr> {
    match found {
        [] | [_] => found.first().copied(),
        [first, ..] => {
            let reached =
                connect_to_first(found, CONNECT_TIMEOUT, None).and_then(|stream| stream.peer_addr());
            Some(reached.unwrap_or(*first))
        }
    }
}

fn connect(address: SocketAddr, source: u32, receive_buffer: usize) -> io::Result<PlainStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    // Before connecting: the size decides how much the server may send unread.
    socket.set_recv_buffer_size(receive_buffer)?;
    if source > 0 {
        let ip = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + source);
        socket.bind(&SocketAddr::from((ip, 0)).into())?;
    }
    match socket.connect(&SockAddr::from(address)) {
        Err(error) if !is_in_progress(&error) => Err(error),
        _ => Ok(PlainStream::new(socket)),
    }
}

fn is_in_progress(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::INPROGRESS)
}

fn is_out_of_ports(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse)
}

/// Returns half of the automatic ports: finding the last free ones is slow, and other programs use some.
fn ports_per_source() -> usize {
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
    fn when_the_ports_of_one_source_address_are_used_up_the_next_one_is_used() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = Endpoint::Tcp(listener.local_addr().expect("its address"));
        let mut target =
            Target { endpoint, tls: None, line_first: false, ports_left: 2, source: 0, ports_per_source: 2 };
        let sources = [(); 5].map(|()| {
            let _stream = target.connect().expect("a listener");
            listener.accept().expect("a connection").1.ip().to_string()
        });
        assert_eq!(sources, ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.3"]);
    }
}
