//! Opening TCP listeners.

use super::listen_spec::PeerTimeout;
use super::socket_options;
use mio::net::TcpListener;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// Connections that may wait to be accepted: enough for a full room that reconnects after a restart. The system
/// reduces it to `net.core.somaxconn`.
pub(super) const BACKLOG: i32 = 4096;
/// Send buffer of a client, in bytes, before the kernel doubles it. With a smaller one each write waits for
/// the peer's delayed acknowledgement; a larger one is memory for clients that do not read. With 1,000
/// saturated clients a delivery cost 6.9 ns of CPU time with 64 KiB, 4.9 with 128 KiB, 4.8 with 256 KiB.
///
/// `TCP_NOTSENT_LOWAT` is not set: limits of 16 and 64 KiB raised that to 9.1 and 7.4 ns.
const SEND_BUFFER: usize = 128 * 1024;
/// Receive buffer of a client, in bytes, before the kernel doubles it: what the kernel holds of a client that the
/// server does not read. Without it the kernel lets the buffer of a fast sender grow, to 6 MB by default.
///
/// The size limits one sender over a long way. A paste over a link with a round trip of 20 ms, in seconds:
///
/// | buffer | 300 KB | 1 MB | 8 MB |
/// |---|---|---|---|
/// | 64 KiB | 0.11 | 0.29 | 2.1 |
/// | 128 KiB | 0.09 | 0.18 | 1.1 |
/// | 256 KiB | 0.09 | 0.14 | 0.6 |
/// | 512 KiB | 0.09 | 0.13 | 0.4 |
/// | not set | 0.09 | 0.13 | 0.2 |
///
/// On one machine no size made a difference. Linux allows 208 KiB at most (`net.core.rmem_max`) by default.
const RECEIVE_BUFFER: usize = 128 * 1024;

/// Resolves a host to the addresses to listen on, each once.
///
/// Without a host these are all interfaces: first as one IPv6 socket for both families, then IPv4 alone.
///
/// # Errors
/// Those of the resolver.
pub(super) fn addresses(host: Option<&str>, port: u16) -> io::Result<Vec<SocketAddr>> {
    let Some(host) = host else {
        return Ok(vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]);
    };
    let found = (host, port).to_socket_addrs()?;
    // An IPv6 socket cannot listen on an IPv4-mapped address: it becomes the IPv4 address.
    let mut addresses = found
        .map(|address| match address.ip().to_canonical() {
            IpAddr::V4(ip) => (ip, address.port()).into(),
            IpAddr::V6(_) => address,
        })
        .collect::<Vec<_>>();
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

/// Whether this machine does not have the address or its family.
pub(super) fn is_not_local(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT))
}

/// Opens a listener.
///
/// # Errors
/// Those of the system's calls.
pub(super) fn bind(address: SocketAddr, peer_timeout: PeerTimeout) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    set_options(&socket, peer_timeout)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Sets the options that accepted connections inherit from a listener.
///
/// # Errors
/// Those of setsockopt(2).
pub(super) fn set_options(socket: &Socket, peer_timeout: PeerTimeout) -> io::Result<()> {
    socket.set_send_buffer_size(SEND_BUFFER)?;
    // Before the connection: the size decides how large a window can be.
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket_options::set(socket, &peer_timeout.options())
}

/// The machine's host name and its address.
#[derive(Debug)]
pub(super) struct HostName {
    name: String,
    address: Option<IpAddr>,
}

impl HostName {
    /// Asks the system, and its resolver for the address. May take as long as the resolver's timeout.
    pub(super) fn find() -> Self {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let address = (name.as_str(), 0).to_socket_addrs().ok().and_then(|mut found| found.next());
        Self { name, address: address.map(|address| address.ip()) }
    }

    /// A sentence for the log, with the address of `port`.
    pub(super) fn describe(&self, port: u16) -> String {
        let name = &self.name;
        match self.address {
            Some(address) => {
                format!("the host name is \"{name}\", its address {}", SocketAddr::new(address, port))
            }
            None => format!("the host name is \"{name}\", which has no address"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(host: &str) -> Vec<SocketAddr> {
        addresses(Some(host), 7).expect(host)
    }

    #[test]
    fn a_mapped_address_becomes_ipv4_and_a_zone_is_kept() {
        assert_eq!(found("::ffff:127.0.0.1"), [SocketAddr::from(([127, 0, 0, 1], 7))]);
        assert_eq!(found("::1"), [SocketAddr::from((Ipv6Addr::LOCALHOST, 7))]);
        let zoned = found("fe80::1%lo");
        assert!(matches!(zoned[..], [SocketAddr::V6(address)] if address.scope_id() != 0), "{zoned:?}");
    }
}
