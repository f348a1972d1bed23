//! Opening TCP listeners.

use super::listen_spec::PeerTimeout;
use super::socket_options::{self, RefusedOption};
use crate::util::os_error;
use log::info;
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
/// The size limits one sender over a slow round trip. A paste over a link with a round trip of 20 ms, in seconds:
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

/// The addresses of a host to listen on, each once.
///
/// Without a host these are all interfaces: first as one IPv6 socket for both families, then IPv4 alone. Only a host
/// name other than `localhost` needs the resolver, which may take many seconds: a line in the log says so before.
///
/// # Errors
/// Those of the resolver.
pub(super) fn addresses(host: Option<&str>, port: u16) -> io::Result<Vec<SocketAddr>> {
    let Some(host) = host else {
        return Ok(vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]);
    };
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]);
    }
    // An address with a zone, such as fe80::1%eth0, is left to the resolver. It has a colon, unlike a name.
    if host.parse::<IpAddr>().is_err() && !host.contains(':') {
        info!("looking up the host \"{host}\"");
    }
    let found = (host, port).to_socket_addrs().map_err(|error| {
        io::Error::other(format!("the host \"{host}\" is not found: {}", os_error::text(&error)))
    })?;
    let mut addresses = Vec::new();
    for address in found {
        // An IPv6 socket cannot listen on an IPv4-mapped address: it becomes the IPv4 address.
        let address = match address.ip().to_canonical() {
            IpAddr::V4(ip) => (ip, address.port()).into(),
            IpAddr::V6(_) => address,
        };
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// Whether this machine does not have the address or its family.
pub(super) fn is_not_local(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT))
}

/// Opens a listener. Also returns the socket options that could not be set.
///
/// The unspecified address of IPv6 stands for both families, unless `only_v6`.
///
/// # Errors
/// Those of the system's calls.
pub(super) fn bind(
    address: SocketAddr,
    only_v6: bool,
    peer_timeout: PeerTimeout,
) -> io::Result<(TcpListener, Vec<RefusedOption>)> {
    let mut refused = Vec::new();
    let socket = bound(address, only_v6, &mut refused)?;
    socket.set_nonblocking(true)?;
    refused.extend(set_options(&socket, peer_timeout));
    socket.listen(BACKLOG)?;
    Ok((TcpListener::from_std(socket.into()), refused))
}

/// Whether nothing listens on an IPv6 address.
pub(super) fn is_free_on_v6(address: SocketAddr) -> bool {
    bound(address, true, &mut Vec::new()).is_ok()
}

fn bound(address: SocketAddr, only_v6: bool, refused: &mut Vec<RefusedOption>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        let only_v6 = only_v6 || !address.ip().is_unspecified();
        refused.extend(RefusedOption::check("IPV6_V6ONLY", socket.set_only_v6(only_v6)));
    }
    refused.extend(RefusedOption::check("SO_REUSEADDR", socket.set_reuse_address(true)));
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Sets the options that accepted connections inherit from a listener. Returns those that could not be set.
pub(super) fn set_options(socket: &Socket, peer_timeout: PeerTimeout) -> Vec<RefusedOption> {
    let mut refused = socket_options::set(socket, &peer_timeout.options());
    refused.extend(RefusedOption::check("SO_SNDBUF", socket.set_send_buffer_size(SEND_BUFFER)));
    // Before the connection: the size decides how large a window can be.
    refused.extend(RefusedOption::check("SO_RCVBUF", socket.set_recv_buffer_size(RECEIVE_BUFFER)));
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(host: &str) -> Vec<SocketAddr> {
        addresses(Some(host), 7).expect(host)
    }

    #[test]
    fn a_mapped_address_becomes_ipv4_a_zone_is_kept_and_localhost_is_known() {
        assert_eq!(found("::ffff:127.0.0.1"), [SocketAddr::from(([127, 0, 0, 1], 7))]);
        assert_eq!(found("::1"), [SocketAddr::from((Ipv6Addr::LOCALHOST, 7))]);
        let loopback = [(Ipv4Addr::LOCALHOST, 7).into(), (Ipv6Addr::LOCALHOST, 7).into()];
        assert_eq!(found("LocalHost"), loopback);
        let zoned = found("fe80::1%lo");
        assert!(matches!(zoned[..], [SocketAddr::V6(address)] if address.scope_id() != 0), "{zoned:?}");
    }
}
