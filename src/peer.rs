//! Who is at the other end, as the log shows it.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};

/// An address and port of a peer, in less space than the standard one; IPv4 as its mapped IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    address: [u8; 16],
    port: u16,
}

impl From<SocketAddr> for Peer {
    fn from(peer: SocketAddr) -> Self {
        let address = match peer.ip() {
            std::net::IpAddr::V4(address) => address.to_ipv6_mapped(),
            std::net::IpAddr::V6(address) => address,
        };
        Self { address: address.octets(), port: peer.port() }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(Ipv6Addr::from(self.address).to_canonical(), self.port).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
