//! LocalAddr to listen, and sockets of the network that do.

use crate::util::os_error;
use crate::wire::view::View;
use mio::net::TcpListener;
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

/// Connections that may wait to be accepted: a whole room that reconnects after a restart.
pub(super) const BACKLOG: i32 = 4096;
/// Bytes that the kernel keeps for a reader, before its own doubling. Less makes each write wait for
/// the peer's delayed acknowledgement; more is memory for those who do not read. With 1,000 saturated
/// clients a delivery cost 6.9 ns of CPU time with 64 KiB, 4.9 with 128 KiB and 4.8 with 256 KiB; and 9.1
/// or 7.4 where `TCP_NOTSENT_LOWAT` kept what is not yet sent under 16 or 64 KiB, which is not set therefore.
const SEND_BUFFER: usize = 128 * 1024;

/// How soon a peer that is gone without a word is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerTimeout(u32);

impl PeerTimeout {
    /// Keepalive counts in seconds, and needs one for each of seven parts.
    pub const LEAST: Duration = Duration::from_secs(Self::PARTS as u64);
    /// The most that keepalive can count: its first part may have 32,767 s (`MAX_TCP_KEEPIDLE` of Linux).
    pub const MOST: Duration = Duration::from_secs(57_337);
    /// Of these parts of the time, 4 pass in silence, then 3 before as many probes are given up.
    const PARTS: u32 = 7;
    const SILENT_PARTS: u32 = 4;

    /// After so much silence, or a seventh of it where something was sent to it, which the system then
    /// tries again; `None` where that is less than [`LEAST`](Self::LEAST).
    pub fn new(silence: Duration) -> Option<Self> {
        let seconds = u32::try_from(silence.as_secs()).ok()?;
        (silence >= Self::LEAST).then_some(Self(seconds))
    }

    /// The silence, in seconds.
    pub const fn seconds(self) -> u32 {
        self.0
    }

    fn part(self) -> Duration {
        Duration::from_secs(u64::from(self.0 / Self::PARTS))
    }

    /// For a peer to whom nothing is sent.
    fn keepalive(self) -> TcpKeepalive {
        TcpKeepalive::new()
            .with_time(self.part() * Self::SILENT_PARTS)
            .with_interval(self.part())
            .with_retries(Self::PARTS - Self::SILENT_PARTS)
    }

    /// For a peer to whom something is sent: keepalive does not find those.
    fn user_timeout(self) -> Duration {
        self.part()
    }
}

impl Default for PeerTimeout {
    /// 120 s and three probes 30 s apart; 30 s where something was sent.
    fn default() -> Self {
        Self(210)
    }
}

/// LocalAddr to listen, as given on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSpec {
    /// How the room is shown there.
    pub view: View,
    /// The place itself.
    pub place: ListenAddr,
}

/// A place at which one can listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddr {
    /// A port of the network.
    Tcp {
        /// The host, or none for all interfaces.
        host: Option<String>,
        /// The port; 0 for any.
        port: u16,
    },
    /// A unix socket at a path.
    Unix(PathBuf),
}

impl ListenAddr {
    /// Whether it is all interfaces.
    pub(super) fn is_everywhere(&self) -> bool {
        let Self::Tcp { host, .. } = self else { return false };
        let is_unspecified =
            |host: &String| host.parse().is_ok_and(|address: IpAddr| address.is_unspecified());
        host.as_ref().is_none_or(is_unspecified)
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host: None, port } => write!(f, "[::]:{port}"),
            Self::Tcp { host: Some(host), port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host: Some(host), port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How to listen, at whichever place.
#[derive(Debug, Clone, Copy)]
pub struct ListenerConfig {
    /// When a peer of the network that is gone without a word is found out.
    pub dead_after: PeerTimeout,
    /// Who may connect to unix sockets, as the permission bits of a file.
    pub unix_mode: u32,
}

/// Nobody can listen there; says where and why.
#[derive(Debug)]
pub struct ListenError {
    pub(super) place: String,
    pub(super) why: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.place, os_error::text(&self.why))
    }
}

/// All interfaces are one socket for both families where there is IPv6, else one for IPv4.
pub(super) fn addresses(host: Option<&str>, port: u16) -> io::Result<Vec<SocketAddr>> {
    let Some(host) = host else {
        return Ok(vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]);
    };
    let found = (host, port).to_socket_addrs()?;
    // An IPv4 address in IPv6's clothes is listened at as what it is.
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

pub(super) fn is_not_here(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT))
}

/// A socket that listens there.
pub(super) fn bind(address: SocketAddr, dead_after: PeerTimeout) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    set_options(&SockRef::from(&socket), dead_after)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Sets the options of a listener that all whom it accepts inherit.
pub(super) fn set_options(socket: &SockRef<'_>, dead_after: PeerTimeout) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_tcp_keepalive(&dead_after.keepalive())?;
    set_user_timeout(socket, dead_after.user_timeout())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_user_timeout(socket: &SockRef<'_>, timeout: Duration) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(timeout))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_user_timeout(_: &SockRef<'_>, _: Duration) -> io::Result<()> {
    Ok(())
}

/// The machine's own host name, and its address where it has one.
#[derive(Debug)]
pub(super) struct HostName {
    name: String,
    address: Option<IpAddr>,
}

impl HostName {
    pub(super) fn find() -> Self {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let address = (name.as_str(), 0).to_socket_addrs().ok().and_then(|mut found| found.next());
        Self { name, address: address.map(|address| address.ip()) }
    }

    pub(super) fn at(&self, port: u16) -> String {
        match self.address {
            Some(address) => format!("{}: {}", self.name, SocketAddr::new(address, port)),
            None => format!("{}, a name without an address", self.name),
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
    fn an_address_is_listened_at_as_what_it_is_and_with_its_zone() {
        assert_eq!(found("::ffff:127.0.0.1"), [SocketAddr::from(([127, 0, 0, 1], 7))]);
        assert_eq!(found("::1"), [SocketAddr::from((Ipv6Addr::LOCALHOST, 7))]);
        let zoned = found("fe80::1%lo");
        assert!(matches!(zoned[..], [SocketAddr::V6(address)] if address.scope_id() != 0), "{zoned:?}");
    }
}
