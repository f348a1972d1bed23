//! The addresses of this machine that other machines can reach, as the kernel lists them. No name server is asked.

use std::net::{IpAddr, SocketAddr};

/// The most addresses in one line of the log; routers and hosts of containers have many.
const MAX_LISTED: usize = 8;

/// An address of a network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InterfaceAddr {
    pub(super) address: IpAddr,
    /// The name of the interface, such as `eth0`.
    pub(super) interface: String,
}

/// A sentence for the log: where other machines find the listener at `address`, which stands for all interfaces of
/// its family, or of both. `None` if there is no such place.
pub(super) fn describe(
    found: &[InterfaceAddr],
    address: SocketAddr,
    has_both_families: bool,
) -> Option<String> {
    let is_served =
        |found: &&InterfaceAddr| has_both_families || found.address.is_ipv4() == address.is_ipv4();
    let served = found
        .iter()
        .filter(is_served)
        .map(|found| format!("{} ({})", SocketAddr::new(found.address, address.port()), found.interface));
    let mut served = served.collect::<Vec<_>>();
    if served.is_empty() {
        return None;
    }
    let more = served.len().saturating_sub(MAX_LISTED);
    served.truncate(MAX_LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("other machines can use {}{more}", served.join(", ")))
}

/// The kernel's list is read on Linux only.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn reachable() -> Option<Vec<InterfaceAddr>> {
    None
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use linux::reachable;

/// The route protocol of netlink(7), of which rtnetlink(7) describes the messages. Numbers are in the byte order of
/// the machine.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use super::InterfaceAddr;
    use rustix::io::Result;
    use rustix::net::sockopt::{Timeout, set_socket_timeout};
    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
    };
    use std::net::IpAddr;
    use std::time::Duration;

    /// The kernel sends at most this much at once.
    const BUFFER: usize = 32 * 1024;
    /// The kernel answers at once. The limit is for sandboxes that do not answer.
    const TIMEOUT: Duration = Duration::from_secs(1);
    /// Answers to one request; more than a machine with thousands of addresses needs.
    const MAX_ANSWERS: usize = 1000;

    const MESSAGE_HEADER: usize = 16;
    const ERROR: u16 = 2;
    const DONE: u16 = 3;
    const LINK: u16 = 16;
    const GET_LINK: u16 = 18;
    const ADDRESS: u16 = 20;
    const GET_ADDRESS: u16 = 22;
    /// `NLM_F_REQUEST | NLM_F_DUMP`.
    const LIST: u16 = 0x301;

    const LINK_HEADER: usize = 16;
    const LINK_NAME: u16 = 3;
    const IS_UP: u32 = 1;
    const IS_LOOPBACK: u32 = 8;
    /// The interface has a carrier, such as a cable.
    const IS_RUNNING: u32 = 0x40;

    const ADDRESS_HEADER: usize = 8;
    /// The address of the interface; on a point-to-point interface it differs from `PEER`.
    const LOCAL: u16 = 2;
    const PEER: u16 = 1;
    const SCOPE_GLOBAL: u8 = 0;
    /// Temporary (for privacy), failed, deprecated, tentative: addresses that change soon or do not work.
    const NOT_FOR_LONG: u8 = 0x01 | 0x08 | 0x20 | 0x40;

    /// The addresses of global scope of all interfaces that work, without loopback. `None` if the kernel does not
    /// list them, for example in a sandbox.
    pub(in super::super) fn reachable() -> Option<Vec<InterfaceAddr>> {
        let names = list(GET_LINK).ok()?.iter().filter_map(|message| link(message)).collect::<Vec<_>>();
        let of_working = |message: &Vec<u8>| {
            let (index, address) = address(message)?;
            let (_, name) = names.iter().find(|(of, _)| *of == index)?;
            Some(InterfaceAddr { address, interface: name.clone() })
        };
        Some(list(GET_ADDRESS).ok()?.iter().filter_map(of_working).collect())
    }

    /// Asks for a list and returns its messages, each with its header.
    fn list(request: u16) -> Result<Vec<Vec<u8>>> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(TIMEOUT))?;
        let mut bytes = [0; MESSAGE_HEADER + LINK_HEADER];
        let length = bytes.len() as u32;
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes[4..6].copy_from_slice(&request.to_ne_bytes());
        bytes[6..8].copy_from_slice(&LIST.to_ne_bytes());
        send(&socket, &bytes, SendFlags::empty())?;
        let mut buffer = vec![0; BUFFER];
        let mut messages = Vec::new();
        for _ in 0..MAX_ANSWERS {
            let length = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?.0;
            for message in Chunks::of_messages(&buffer[..length]) {
                match u16_at(message, 4) {
                    Some(DONE | ERROR) | None => return Ok(messages),
                    Some(_) => messages.push(message.to_vec()),
                }
            }
        }
        Ok(messages)
    }

    /// The index and name of an interface that is up, has a carrier and is not the loopback interface.
    fn link(message: &[u8]) -> Option<(u32, String)> {
        let flags = u32_at(message, MESSAGE_HEADER + 8)?;
        let works = flags & IS_UP != 0 && flags & IS_RUNNING != 0 && flags & IS_LOOPBACK == 0;
        if u16_at(message, 4)? != LINK || !works {
            return None;
        }
        let name = attribute(message.get(MESSAGE_HEADER + LINK_HEADER..)?, LINK_NAME)?;
        let name = String::from_utf8_lossy(name.strip_suffix(b"\0").unwrap_or(name)).into_owned();
        Some((u32_at(message, MESSAGE_HEADER + 4)?, name))
    }

    /// The index of an interface, and an address of it that other machines can use.
    fn address(message: &[u8]) -> Option<(u32, IpAddr)> {
        let [_, _, flags, scope] = *message.get(MESSAGE_HEADER..)?.first_chunk()?;
        if u16_at(message, 4)? != ADDRESS || scope != SCOPE_GLOBAL || flags & NOT_FOR_LONG != 0 {
            return None;
        }
        let attributes = message.get(MESSAGE_HEADER + ADDRESS_HEADER..)?;
        let octets = attribute(attributes, LOCAL).or_else(|| attribute(attributes, PEER))?;
        let address = match octets.len() {
            4 => IpAddr::from(*octets.first_chunk::<4>()?),
            _ => IpAddr::from(*octets.first_chunk::<16>()?),
        };
        // A loopback address can be on any interface.
        (!address.is_loopback()).then_some((u32_at(message, MESSAGE_HEADER + 4)?, address))
    }

    fn attribute(attributes: &[u8], kind: u16) -> Option<&[u8]> {
        let found = Chunks::of_attributes(attributes).find(|chunk| u16_at(chunk, 2) == Some(kind))?;
        found.get(4..)
    }

    /// Messages or attributes one after the other. Each begins with its length, and is padded to 4 bytes.
    struct Chunks<'a> {
        rest: &'a [u8],
        length: fn(&[u8]) -> Option<usize>,
    }

    impl<'a> Chunks<'a> {
        fn of_messages(rest: &'a [u8]) -> Self {
            Self { rest, length: |bytes| usize::try_from(u32_at(bytes, 0)?).ok() }
        }

        fn of_attributes(rest: &'a [u8]) -> Self {
            Self { rest, length: |bytes| u16_at(bytes, 0).map(usize::from) }
        }
    }

    impl<'a> Iterator for Chunks<'a> {
        type Item = &'a [u8];

        fn next(&mut self) -> Option<&'a [u8]> {
            let length = (self.length)(self.rest).filter(|&length| length >= 4)?;
            let chunk = self.rest.get(..length)?;
            self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            Some(chunk)
        }
    }

    fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
        Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
    }

    fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_chunk_whose_length_is_wrong_ends_the_list() {
            let lengths = |bytes: &[u8]| Chunks::of_attributes(bytes).map(<[u8]>::len).collect::<Vec<_>>();
            let attribute = |length: u16, value: &[u8]| [&length.to_ne_bytes()[..], &[0, 0], value].concat();
            let two = [attribute(5, &[1, 0, 0, 0]), attribute(6, &[1, 2])].concat();
            assert_eq!(lengths(&two), [5, 6]);
            for wrong in [attribute(0, &[]), attribute(3, &[]), attribute(9, &[1, 2, 3, 4]), vec![5]] {
                assert_eq!(lengths(&wrong), [0; 0], "{wrong:?}");
            }
        }

        #[test]
        fn no_loopback_address_is_listed() {
            let found = reachable().expect("the kernel's list");
            assert!(
                found.iter().all(|found| !found.address.is_loopback() && found.interface != "lo"),
                "{found:?}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut_and_a_listener_of_one_family_has_the_addresses_of_that_family() {
        let found = |address: String| InterfaceAddr {
            address: address.parse().expect("an address"),
            interface: "lan".to_owned(),
        };
        let mut all = (0..9).map(|last| found(format!("10.0.0.{last}"))).collect::<Vec<_>>();
        all.push(found("fd00::7".to_owned()));
        let describe = |all: &[_], address: &str, both| describe(all, address.parse().expect(address), both);
        let shown = |address, both| describe(&all, address, both).expect("addresses");
        assert_eq!(describe(&all[..9], "[::]:9", false), None);
        assert_eq!(shown("[::]:9", false), "other machines can use [fd00::7]:9 (lan)");
        for (address, both, end) in [
            ("0.0.0.0:9", false, "10.0.0.7:9 (lan) and 1 more"),
            ("[::]:9", true, "10.0.0.7:9 (lan) and 2 more"),
        ] {
            let shown = shown(address, both);
            assert!(shown.starts_with("other machines can use 10.0.0.0:9 (lan), "), "{shown}");
            assert!(shown.ends_with(end), "{shown}");
        }
    }
}
