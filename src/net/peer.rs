//! The peer of a connection: how the log shows it, and what counts as one address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The peer of a connection. Smaller than the standard `SocketAddr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A TCP peer; an IPv4 address in its IPv6-mapped form.
    Tcp {
        /// The octets of the IPv6 address.
        address: [u8; 16],
        /// The port.
        port: u16,
    },
    /// A local process, over a unix socket.
    Unix {
        /// The process id at the time of connect(2).
        pid: u32,
        /// Its user id.
        uid: u32,
    },
    /// A local process, if the system does not say which.
    UnknownUnix,
}

/// What `--max-per-ip` counts as one address: an IPv4 address, or the first 64 bits of an IPv6 address. One
/// customer usually has a whole IPv6 network of that size or more (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network([u8; 16]);

/// Where a client comes from: all clients of one origin share what `--rate` gives to new clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The network of a TCP peer.
    Network(Network),
    /// The user of a local process, if the system says which.
    User(Option<u32>),
}

impl Peer {
    /// Where the peer comes from.
    pub fn origin(&self) -> Origin {
        match *self {
            Self::Unix { uid, .. } => Origin::User(Some(uid)),
            _ => self.network().map_or(Origin::User(None), Origin::Network),
        }
    }

    /// The address of a TCP peer, an IPv4 address in its own form. `None` for unix sockets.
    pub fn ip(&self) -> Option<IpAddr> {
        let Self::Tcp { address, .. } = *self else { return None };
        Some(Ipv6Addr::from(address).to_canonical())
    }

    /// The network of a TCP peer. `None` for unix sockets, which file permissions protect.
    pub fn network(&self) -> Option<Network> {
        let Self::Tcp { address: mut network, .. } = *self else { return None };
        if Ipv6Addr::from(network).to_ipv4_mapped().is_none() {
            network[8..].fill(0);
        }
        Some(Network(network))
    }
}

impl From<SocketAddr> for Peer {
    fn from(peer: SocketAddr) -> Self {
        let address = match peer.ip() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        Self::Tcp { address: address.octets(), port: peer.port() }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Tcp { address, port } => {
                SocketAddr::new(Ipv6Addr::from(address).to_canonical(), port).fmt(f)
            }
            Self::Unix { pid, uid } => write!(f, "pid {pid} uid {uid}"),
            Self::UnknownUnix => f.write_str("a local process"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c6_one_ipv4_address_is_one_network_in_either_form_and_so_are_the_first_64_bits_of_ipv6() {
        let network = |text: &str| Peer::from(text.parse::<SocketAddr>().expect(text)).network();
        for (one, other, is_same) in [
            ("10.0.0.7:1", "10.0.0.7:2", true),
            ("10.0.0.7:1", "[::ffff:10.0.0.7]:1", true),
            ("10.0.0.7:1", "10.0.0.8:1", false),
            ("[2001:db8:1:2:3::4]:1", "[2001:db8:1:2:ffff::5]:1", true),
            ("[2001:db8:1:2::4]:1", "[2001:db8:1:3::4]:1", false),
            ("[::1]:1", "127.0.0.1:1", false),
        ] {
            assert_eq!(network(one) == network(other), is_same, "{one} and {other}");
        }
    }

    #[test]
    fn a_peer_is_shown_as_its_address_and_ipv4_as_ipv4() {
        for (given, shown) in [
            ("127.0.0.1:9", "127.0.0.1:9"),
            ("[::ffff:10.0.0.7]:9", "10.0.0.7:9"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ] {
            let address = given.parse::<SocketAddr>().expect(given);
            let peer = Peer::from(address);
            assert_eq!(peer.to_string(), shown);
            assert_eq!(peer.ip(), shown.parse::<SocketAddr>().ok().map(|shown| shown.ip()));
        }
        assert_eq!(Peer::UnknownUnix.ip(), None);
        assert_eq!(Peer::Unix { pid: 7, uid: 1000 }.to_string(), "pid 7 uid 1000");
    }
}
