//! Who is at the other end, as the log shows it.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};

/// A peer, in less space than the standard address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// An address and port of the network; IPv4 as its mapped IPv6.
    Tcp {
        /// The octets of the address.
        address: [u8; 16],
        /// The port.
        port: u16,
    },
    /// A process of this machine, by its unix socket.
    Unix {
        /// The number of the process that connected.
        pid: u32,
        /// The user as whom it ran.
        uid: u32,
    },
    /// The same, where the system does not tell which.
    UnknownUnix,
}

/// What counts as one address where those who come from one are limited: an IPv4 address, or the first
/// half of an IPv6 address, all of which one customer usually has (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network([u8; 16]);

impl Peer {
    /// The network that it comes from; none where it comes from this machine's file system, whose
    /// permissions limit who comes.
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
            std::net::IpAddr::V4(address) => address.to_ipv6_mapped(),
            std::net::IpAddr::V6(address) => address,
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
            assert_eq!(Peer::from(address).to_string(), shown);
        }
        assert_eq!(Peer::Unix { pid: 7, uid: 1000 }.to_string(), "pid 7 uid 1000");
    }
}
