//! Headers of the PROXY protocol of HAProxy, by which a proxy tells whose connection it forwards.
//!
//! "The specification" is <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>. Only peers that the operator
//! trusts may send a header, and those must send one (its section 2).

use crate::net::peer::Peer;
use crate::wire::proxy::SIGNATURE;
use memchr::memchr2;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header in bytes. Addresses need 232; a certificate or a list of protocols may follow them.
pub const MAX_LENGTH: usize = 8192;

/// How version 1 begins.
const NAME: &[u8] = b"PROXY ";
/// The longest header of version 1 in bytes, with its line end (the specification, 2.1).
const MAX_LINE: usize = 107;
/// The bytes of version 2 before the addresses (the specification, 2.2).
const FIXED: usize = 16;

/// A whole header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its bytes. What follows them is from the client.
    pub length: usize,
    /// The client that it names. `None` if the proxy connects on its own account, or forwards a connection that has
    /// no internet address: the peer of the connection itself counts then.
    pub client: Option<Peer>,
}

/// Why bytes are not the beginning of a valid header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invalid(&'static str);

impl Invalid {
    const MISSING: Self = Self("a PROXY header is missing");
    const MALFORMED: Self = Self("the PROXY header is malformed");
    const TOO_LONG: Self = Self("the PROXY header is too long");
    const TOO_SHORT: Self = Self("the PROXY header is too short for its addresses");
    const VERSION: Self = Self("the PROXY header has an unknown version");
    const COMMAND: Self = Self("the PROXY header has an unknown command");
    const FAMILY: Self = Self("the PROXY header has an unknown address family or protocol");
}

impl fmt::Display for Invalid {
    /// The reason in plain words, for the log and for the peer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Reads the header of version 1 or 2 at the beginning of `input`, the first bytes of a connection. `None` = more bytes
/// are needed.
///
/// The result does not depend on how many bytes after the header there are. An error is found at the first byte that
/// cannot be right, except in the addresses and ports of version 1, which are read when the line is whole.
///
/// # Errors
/// The bytes are no valid header, whatever may follow.
pub fn parse(input: &[u8]) -> Result<Option<Header>, Invalid> {
    if SIGNATURE.starts_with(input) || NAME.starts_with(input) {
        Ok(None)
    } else if input.starts_with(SIGNATURE) {
        parse_binary(input)
    } else if input.starts_with(NAME) {
        parse_line(input)
    } else {
        Err(Invalid::MISSING)
    }
}

/// Version 1: a line such as `PROXY TCP4 192.0.2.1 192.0.2.2 40000 9090`.
fn parse_line(input: &[u8]) -> Result<Option<Header>, Invalid> {
    let end = memchr2(b'\r', b'\n', &input[..input.len().min(MAX_LINE - 1)]);
    let told = &input[NAME.len()..end.unwrap_or(input.len()).min(MAX_LINE - 1)];
    if !may_begin_with(told) {
        return Err(Invalid::MALFORMED);
    }
    let Some(end) = end else {
        return if input.len() < MAX_LINE - 1 { Ok(None) } else { Err(Invalid::TOO_LONG) };
    };
    let client = parse_client(told).ok_or(Invalid::MALFORMED)?;
    match &input[end..] {
        [b'\r'] => Ok(None),
        [b'\r', b'\n', ..] => Ok(Some(Header { length: end + 2, client })),
        _ => Err(Invalid::MALFORMED),
    }
}

/// Whether what follows `PROXY ` may begin so.
fn may_begin_with(told: &[u8]) -> bool {
    let may_be_in_addresses = |byte: &u8| byte.is_ascii_hexdigit() || b".: ".contains(byte);
    let is_tcp = |family: &[u8]| match told.strip_prefix(family) {
        Some(addresses) => addresses.iter().all(may_be_in_addresses),
        None => family.starts_with(told),
    };
    is_tcp(b"TCP4 ") || is_tcp(b"TCP6 ") || b"UNKNOWN".starts_with(told) || told.starts_with(b"UNKNOWN ")
}

/// The client of a whole line, from what follows `PROXY `; the inner `None` = the peer itself.
fn parse_client(told: &[u8]) -> Option<Option<Peer>> {
    let told = std::str::from_utf8(told);
    if told.is_ok_and(|told| told == "UNKNOWN" || told.starts_with("UNKNOWN ")) {
        return Some(None);
    }
    let mut words = told.ok()?.split(' ');
    let family = words.next()?;
    let mut address = || -> Option<IpAddr> {
        match family {
            "TCP4" => words.next()?.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            _ => words.next()?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        }
    };
    let (source, _destination) = (address()?, address()?);
    let (port, _destination) = (parse_port(words.next()?)?, parse_port(words.next()?)?);
    words.next().is_none().then(|| Some(SocketAddr::new(source, port).into()))
}

/// A port without a sign or leading zeros, which the specification does not allow.
fn parse_port(text: &str) -> Option<u16> {
    let is_decimal =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    is_decimal.then(|| text.parse().ok()).flatten()
}

/// Version 2. The additional fields after the addresses are skipped. The checksum among them (`PP2_TYPE_CRC32C`) is not
/// checked: the specification leaves that to the receiver, and TCP has a checksum of its own.
fn parse_binary(input: &[u8]) -> Result<Option<Header>, Invalid> {
    let Some(&version_and_command) = input.get(SIGNATURE.len()) else { return Ok(None) };
    if version_and_command >> 4 != 2 {
        return Err(Invalid::VERSION);
    }
    let is_forwarded = match version_and_command & 0xF {
        0 => false,
        1 => true,
        _ => return Err(Invalid::COMMAND),
    };
    let Some(&family_and_protocol) = input.get(SIGNATURE.len() + 1) else { return Ok(None) };
    let octets = if is_forwarded { address_octets(family_and_protocol)? } else { None };
    let Some(length) = input.get(FIXED - 2..).and_then(|rest| rest.first_chunk()) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes(*length));
    if octets.is_some_and(|octets| length < 2 * (octets + 2)) {
        return Err(Invalid::TOO_SHORT);
    }
    if FIXED + length > MAX_LENGTH {
        return Err(Invalid::TOO_LONG);
    }
    let client = |rest| octets.and_then(|octets| source(rest, octets));
    let rest = input.get(FIXED..FIXED + length);
    Ok(rest.map(|rest| Header { length: FIXED + length, client: client(rest) }))
}

/// The octets of an address; `None` = not an internet address.
///
/// The told protocol may be UDP, for example of a proxy that accepts HTTP/3: the address is the client's all the same.
///
/// # Errors
/// The family or the protocol does not exist.
const fn address_octets(family_and_protocol: u8) -> Result<Option<usize>, Invalid> {
    match (family_and_protocol >> 4, family_and_protocol & 0xF) {
        (1, 1 | 2) => Ok(Some(4)),
        (2, 1 | 2) => Ok(Some(16)),
        (0..=3, 0..=2) => Ok(None),
        _ => Err(Invalid::FAMILY),
    }
}

/// The source of a connection: two addresses of so many octets follow each other, then their ports.
fn source(rest: &[u8], octets: usize) -> Option<Peer> {
    let address = match octets {
        4 => IpAddr::from(*rest.first_chunk::<4>()?),
        _ => IpAddr::from(*rest.first_chunk::<16>()?),
    };
    let port = u16::from_be_bytes(*rest.get(2 * octets..)?.first_chunk()?);
    Some(SocketAddr::new(address, port).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A header of version 2 with that many bytes after the first 16.
    fn binary(version_and_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("16 bits").to_be_bytes();
        [&SIGNATURE[..], &[version_and_command, family], &length, rest].concat()
    }

    const IPV4: &[u8] = &[192, 0, 2, 1, 192, 0, 2, 2, 0x9C, 0x40, 0x23, 0x82];

    fn ipv6() -> Vec<u8> {
        let [source, destination] =
            ["2001:db8::1", "2001:db8::2"].map(|text| text.parse::<Ipv6Addr>().expect(text).octets());
        [&source[..], &destination, &[0x9C, 0x40, 0x23, 0x82]].concat()
    }

    /// Asserts what a header means, given whole, byte by byte, and with bytes of the client after it.
    #[track_caller]
    fn means(header: &[u8], client: &str) {
        let told =
            |found: Header| found.client.map_or_else(|| "the peer".to_owned(), |peer| peer.to_string());
        for end in 0..header.len() {
            assert_eq!(parse(&header[..end]), Ok(None), "after {end} bytes of {}", header.escape_ascii());
        }
        for trailing in [
            &b""[..],
            b"h",
            b"hello\r\n",
            b"\r\n",
            b"\n",
            b" ",
            b"PROXY UNKNOWN\r\n",
            SIGNATURE,
            &[0xFF; 9000],
        ] {
            let input = [header, trailing].concat();
            let found = parse(&input).unwrap_or_else(|why| panic!("{}: {why}", header.escape_ascii()));
            let found = found.map(|found| (found.length, told(found)));
            assert_eq!(found, Some((header.len(), client.to_owned())), "{}", header.escape_ascii());
        }
    }

    /// Asserts that the last byte of `input` makes it invalid, and that nothing after it helps.
    #[track_caller]
    fn is_refused_at_its_end(input: &[u8], why: Invalid) {
        for end in 0..input.len() {
            assert_eq!(parse(&input[..end]), Ok(None), "after {end} bytes of {}", input.escape_ascii());
        }
        for trailing in [&b""[..], b"\r\n", b"x", &[0; 9000]] {
            assert_eq!(parse(&[input, trailing].concat()), Err(why), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn a_line_of_version_1_names_the_client() {
        for (line, client) in [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 40000 9090", "192.0.2.1:40000"),
            ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535", "255.255.255.255:65535"),
            ("PROXY TCP4 0.0.0.0 0.0.0.0 0 0", "0.0.0.0:0"),
            ("PROXY TCP6 2001:db8::1 ::1 40000 9090", "[2001:db8::1]:40000"),
            ("PROXY TCP6 2001:DB8:0:0:0:0:0:1 2001:0db8::2 1 2", "[2001:db8::1]:1"),
            ("PROXY TCP6 ::ffff:10.0.0.7 ::ffff:a00:8 1 2", "10.0.0.7:1"),
            (
                "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
            ),
            ("PROXY UNKNOWN", "the peer"),
            ("PROXY UNKNOWN ", "the peer"),
            ("PROXY UNKNOWN  what\tit likes \0", "the peer"),
            (
                "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
                "the peer",
            ),
        ] {
            means(&[line.as_bytes(), b"\r\n"].concat(), client);
        }
    }

    #[test]
    fn a_header_of_version_2_names_the_client_and_additional_fields_are_skipped() {
        let ipv6 = ipv6();
        let with_fields = |addresses: &[u8], length: usize| {
            let fields = [&b"\x03\0\x04\0\0\0\0\x04"[..], &[0xEE; MAX_LENGTH]].concat();
            [addresses, &fields[..length]].concat()
        };
        for (version_and_command, family, rest, client) in [
            (0x21, 0x11, IPV4.to_vec(), "192.0.2.1:40000"),
            (0x21, 0x12, IPV4.to_vec(), "192.0.2.1:40000"),
            (0x21, 0x21, ipv6.clone(), "[2001:db8::1]:40000"),
            (0x21, 0x22, ipv6.clone(), "[2001:db8::1]:40000"),
            (0x21, 0x11, with_fields(IPV4, 7), "192.0.2.1:40000"),
            (0x21, 0x11, with_fields(IPV4, 1), "192.0.2.1:40000"),
            (0x21, 0x21, with_fields(&ipv6, 500), "[2001:db8::1]:40000"),
            (0x21, 0x11, with_fields(IPV4, MAX_LENGTH - FIXED - IPV4.len()), "192.0.2.1:40000"),
            (0x21, 0x31, vec![b'/'; 216], "the peer"),
            (0x21, 0x32, vec![b'/'; 216], "the peer"),
            (0x21, 0x00, Vec::new(), "the peer"),
            (0x21, 0x01, IPV4.to_vec(), "the peer"),
            (0x21, 0x10, IPV4.to_vec(), "the peer"),
            (0x20, 0x00, Vec::new(), "the peer"),
            (0x20, 0x11, IPV4.to_vec(), "the peer"),
            (0x20, 0x11, Vec::new(), "the peer"),
            (0x20, 0xFF, vec![0xFF; 20], "the peer"),
        ] {
            means(&binary(version_and_command, family, &rest), client);
        }
        let mapped =
            [&Ipv4Addr::new(10, 0, 0, 7).to_ipv6_mapped().octets()[..], &[0; 16], &[0, 1, 0, 2]].concat();
        means(&binary(0x21, 0x21, &mapped), "10.0.0.7:1");
    }

    #[test]
    fn bytes_that_are_no_header_are_refused_at_once() {
        for input in
            ["h", "G", "*", " ", "\0", "\n", "p", "Pr", "PROXy", "PROXY\t", "PROXY\r", "\r\r", "\r\n\r\nG"]
        {
            is_refused_at_its_end(input.as_bytes(), Invalid::MISSING);
        }
        is_refused_at_its_end(b"\x16", Invalid::MISSING);
        is_refused_at_its_end(b"\r\n\r\n\0\r\nQUIT\r", Invalid::MISSING);
    }

    #[test]
    fn a_wrong_header_of_version_2_is_refused_at_the_byte_that_is_wrong() {
        let fixed = |bytes: &[u8]| [&SIGNATURE[..], bytes].concat();
        for (input, why) in [
            (&[0x11][..], Invalid::VERSION),
            (&[0x31], Invalid::VERSION),
            (&[0x01], Invalid::VERSION),
            (&[0x22], Invalid::COMMAND),
            (&[0x2F], Invalid::COMMAND),
            (&[0x21, 0x13], Invalid::FAMILY),
            (&[0x21, 0x41], Invalid::FAMILY),
            (&[0x21, 0x03], Invalid::FAMILY),
            (&[0x21, 0xFF], Invalid::FAMILY),
            (&[0x21, 0x11, 0, 11], Invalid::TOO_SHORT),
            (&[0x21, 0x11, 0, 0], Invalid::TOO_SHORT),
            (&[0x21, 0x21, 0, 35], Invalid::TOO_SHORT),
            (&[0x21, 0x22, 0, 12], Invalid::TOO_SHORT),
            // 8,177 bytes after the first 16.
            (&[0x21, 0x11, 0x1F, 0xF1], Invalid::TOO_LONG),
            (&[0x20, 0x00, 0xFF, 0xFF], Invalid::TOO_LONG),
        ] {
            is_refused_at_its_end(&fixed(input), why);
        }
    }

    #[test]
    fn a_wrong_line_of_version_1_is_refused() {
        for line in [
            "PROXY  ",
            "PROXY TCP5",
            "PROXY t",
            "PROXY TCP4\t",
            "PROXY TCP4\r",
            "PROXY UD",
            "PROXY UNKNOWNS",
            "PROXY UNKNOWN\n",
            "PROXY UNKNOWN\r\r",
            "PROXY UNKNOWN\rx",
            "PROXY UNKNOWN x\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 40000 9090\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 40000 9090\r\r",
            "PROXY TCP4 192.0.2.1 192.0.2.2 -",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +",
            "PROXY TCP4 192.0.2.1 192.0.2.2\t",
            "PROXY TCP4 g",
            "PROXY TCP6 fe80::1%",
            "PROXY TCP6 [",
            "PROXY TCP4  192.0.2.1 192.0.2.2 40000 9090\r",
            "PROXY TCP4 192.0.2.1  192.0.2.2 40000 9090\r",
            "PROXY TCP4 192.0.2.1 192.0.2.2 40000 9090 \r",
            "PROXY TCP4 192.0.2.1 192.0.2.2 40000 9090 1\r",
            "PROXY TCP4 192.0.2.1 192.0.2.2 40000\r",
            "PROXY TCP4 192.0.2.1 192.0.2.2 40000 \r",
            "PROXY TCP4 192.0.2.1\r",
            "PROXY TCP4 \r",
            "PROXY TCP4 192.0.2 192.0.2.2 40000 9090\r",
            "PROXY TCP4 192.0.2.256 192.0.2.2 40000 9090\r",
            "PROXY TCP4 192.0.2.01 192.0.2.2 40000 9090\r",
            "PROXY TCP4 192.0.2.1 192.0.2.256 40000 9090\r",
            "PROXY TCP4 ::1 ::1 40000 9090\r",
            "PROXY TCP4 192.0.2.1 ::1 40000 9090\r",
            "PROXY TCP6 192.0.2.1 192.0.2.2 40000 9090\r",
            "PROXY TCP6 ::1 192.0.2.2 40000 9090\r",
            "PROXY TCP6 1::2::3 ::1 40000 9090\r",
            "PROXY TCP6 12345::1 ::1 40000 9090\r",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 9090\r",
            "PROXY TCP4 192.0.2.1 192.0.2.2 40000 65536\r",
            "PROXY TCP4 192.0.2.1 192.0.2.2 040000 9090\r",
            "PROXY TCP4 192.0.2.1 192.0.2.2 00 9090\r",
            "PROXY TCP4 192.0.2.1 192.0.2.2 a 9090\r",
        ] {
            is_refused_at_its_end(line.as_bytes(), Invalid::MALFORMED);
        }
        // The line end would not be within the first 107 bytes.
        for start in ["PROXY UNKNOWN ", "PROXY TCP6 "] {
            let line = format!("{start}{}", "1".repeat(MAX_LINE - 1 - start.len()));
            is_refused_at_its_end(line.as_bytes(), Invalid::TOO_LONG);
        }
    }

    /// Bytes that are nearly a header: a valid one of which some bytes are changed, and any bytes.
    fn nearly_a_header() -> impl Strategy<Value = Vec<u8>> {
        let valid = prop_oneof![
            Just(b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 9090\r\nhello\n".to_vec()),
            Just(b"PROXY TCP6 2001:db8::1 ::1 40000 9090\r\n".to_vec()),
            Just(b"PROXY UNKNOWN ::1 ::1 1 2\r\nhello\n".to_vec()),
            Just(binary(0x21, 0x11, IPV4)),
            Just(binary(0x21, 0x21, &[&ipv6()[..], b"\x04\0\x02xx"].concat())),
            Just(binary(0x20, 0x00, &[])),
        ];
        let bytes = prop_oneof![any::<u8>(), prop::sample::select(&b"\r\n 019.:fPT"[..])];
        let changes = prop::collection::vec((any::<prop::sample::Index>(), bytes), 0..4);
        let changed = (valid, changes).prop_map(|(mut header, changes)| {
            for (at, byte) in changes {
                let at = at.index(header.len());
                header[at] = byte;
            }
            header
        });
        prop_oneof![4 => changed, 1 => prop::collection::vec(any::<u8>(), 0..200)]
    }

    proptest! {
        #[test]
        fn once_decided_no_further_byte_changes_the_result(input in nearly_a_header(), trailing in any::<[u8; 20]>()) {
            let whole = parse(&input);
            let first = (0..=input.len()).map(|end| (end, parse(&input[..end]))).find(|(_, found)| *found != Ok(None));
            prop_assert_eq!(first.map_or(Ok(None), |(_, found)| found), whole);
            if let Some((end, Ok(Some(header)))) = first {
                prop_assert_eq!(header.length, end, "decided by its last byte");
            }
            if whole != Ok(None) {
                prop_assert_eq!(parse(&[&input[..], &trailing].concat()), whole);
            }
        }

        #[test]
        fn any_address_and_port_is_read_back(address in any::<[u8; 16]>(), is_ipv4 in any::<bool>(), port in any::<u16>()) {
            let ip = match address {
                [a, b, c, d, ..] if is_ipv4 => IpAddr::from([a, b, c, d]),
                _ => IpAddr::from(address),
            };
            let (name, family, octets) =
                if is_ipv4 { ("TCP4", 0x11, &address[..4]) } else { ("TCP6", 0x21, &address[..]) };
            let line = format!("PROXY {name} {ip} {ip} {port} 9090\r\n");
            let rest = [octets, octets, &port.to_be_bytes(), &[0, 0]].concat();
            for header in [line.into_bytes(), binary(0x21, family, &rest)] {
                let client = Some(SocketAddr::new(ip, port).into());
                prop_assert_eq!(parse(&header), Ok(Some(Header { length: header.len(), client })));
            }
        }
    }
}
