//! A range of addresses: one address, or all addresses with the same prefix.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// A range of addresses in CIDR notation (RFC 4632, RFC 4291), such as `192.0.2.0/24`, `2001:db8::/32` or `::1`.
/// An IPv4-mapped address counts as the IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

/// In an IPv4-mapped address, the bits before those of the IPv4 address (RFC 4291, 2.5.5.2).
const MAPPED_BITS: u8 = 96;

impl Cidr {
    /// Reads an address, or an address and the length of its prefix: `ADDRESS[/N]`.
    ///
    /// # Errors
    /// What is wrong and what to write, without the text itself.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| {
            "must be an address or a network, for example 192.0.2.0/24, 2001:db8::/32 or ::1".to_owned()
        })?;
        let most = if written.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(digits) => {
                let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                let number = is_number.then(|| digits.parse().ok()).flatten();
                number
                    .filter(|&prefix| prefix <= most)
                    .ok_or_else(|| format!("the number after / must be from 0 to {most}"))?
            }
        };
        let cidr = Self::covering(written, prefix);
        let is_mapped_whole = written.to_canonical() != written && prefix < MAPPED_BITS;
        if cidr.network != written.to_canonical() || is_mapped_whole {
            return Err(format!("the address has bits after the first {prefix}: write {cidr}"));
        }
        Ok(cidr)
    }

    /// The range of all addresses that have the first `prefix` bits of this one.
    pub fn covering(address: IpAddr, prefix: u8) -> Self {
        let canonical = address.to_canonical();
        match canonical {
            IpAddr::V4(v4) => {
                let prefix =
                    if address.is_ipv4() { prefix } else { prefix.saturating_sub(MAPPED_BITS) }.min(32);
                let mask = u32::MAX.checked_shl(u32::from(32 - prefix)).unwrap_or(0);
                Self { network: IpAddr::V4((v4.to_bits() & mask).into()), prefix }
            }
            IpAddr::V6(v6) => {
                let prefix = prefix.min(128);
                let mask = u128::MAX.checked_shl(u32::from(128 - prefix)).unwrap_or(0);
                Self { network: IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask)), prefix }
            }
        }
    }

    /// Whether the address is in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4()
            && Self::covering(address, self.prefix).network == self.network
    }

    /// Whether any address is in both ranges.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.network) || other.contains(self.network)
    }

    /// The first address of the range.
    pub const fn network(&self) -> IpAddr {
        self.network
    }

    /// The number of bits that all addresses of the range share.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }
}

impl fmt::Display for Cidr {
    /// `ADDRESS` if the range is one address, otherwise `ADDRESS/N`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network.fmt(f)?;
        match (self.network, self.prefix) {
            (IpAddr::V4(_), 32) | (IpAddr::V6(_), 128) => Ok(()),
            (_, prefix) => write!(f, "/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_the_addresses_with_its_prefix_and_mapped_addresses_match_ipv4() {
        for (range, address, is_inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "::ffff:10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.7", "10.0.0.7", true),
            ("10.0.0.7/32", "10.0.0.6", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "ffff::1", true),
            ("::/0", "10.0.0.7", false),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("::ffff:10.0.0.7", "10.0.0.7", true),
            ("2001:db8::/33", "2001:db8:7fff::", true),
            ("2001:db8::/33", "2001:db8:8000::", false),
            ("::1", "::1", true),
            ("::1", "::2", false),
        ] {
            let cidr = Cidr::parse(range).expect(range);
            assert_eq!(cidr.contains(address.parse().expect(address)), is_inside, "{range} and {address}");
        }
    }

    #[test]
    fn a_wrong_range_is_refused_and_the_error_says_what_to_write() {
        for (text, error) in [
            ("", "must be an address or a network"),
            ("localhost", "must be an address or a network"),
            ("10.0.0", "must be an address or a network"),
            ("fe80::1%eth0", "must be an address or a network"),
            (" 10.0.0.0/8", "must be an address or a network"),
            ("10.0.0.0/", "from 0 to 32"),
            ("10.0.0.0/33", "from 0 to 32"),
            ("10.0.0.0/+8", "from 0 to 32"),
            ("10.0.0.0/256", "from 0 to 32"),
            ("10.0.0.0/8/8", "from 0 to 32"),
            ("::/129", "from 0 to 128"),
            ("10.0.0.1/8", "bits after the first 8: write 10.0.0.0/8"),
            ("2001:db8::1/32", "bits after the first 32: write 2001:db8::/32"),
            ("::ffff:10.0.0.0/8", "bits after the first 8"),
        ] {
            let refusal = Cidr::parse(text).expect_err(text);
            assert!(refusal.contains(error), "{text}: {refusal}");
        }
    }

    #[test]
    fn two_ranges_overlap_if_one_is_inside_the_other() {
        for (one, other, overlap) in [
            ("127.0.0.0/8", "127.0.0.1", true),
            ("127.0.0.1", "0.0.0.0/0", true),
            ("10.0.0.0/8", "11.0.0.0/8", false),
            ("10.0.0.7", "10.0.0.7", true),
            ("::/64", "::1", true),
            ("::/0", "10.0.0.7", false),
        ] {
            let [one, other] = [one, other].map(|text| Cidr::parse(text).expect(text));
            assert_eq!((one.overlaps(&other), other.overlaps(&one)), (overlap, overlap), "{one} and {other}");
        }
    }

    #[test]
    fn it_is_shown_as_it_is_written() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.0.0.7/32", "10.0.0.7"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ] {
            assert_eq!(Cidr::parse(text).expect(text).to_string(), shown);
        }
    }
}
