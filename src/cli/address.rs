//! Where to listen or to connect, as it is written on a command line.

use crate::cli::args::parse_digits;
use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

/// Where a room is by default.
const HOST: &str = "127.0.0.1";
const PORT: u16 = 9090;
/// The port of the default listener in the named view.
const NAMED_PORT: u16 = 9091;

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A port of a host, given by name or number.
    Tcp {
        /// The host, an IPv6 address without its brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

impl Default for Address {
    fn default() -> Self {
        Self::Tcp { host: HOST.to_owned(), port: PORT }
    }
}

impl Address {
    /// Returns the address of the default listener in the named view, 127.0.0.1:9091.
    pub fn default_named() -> Self {
        Self::Tcp { host: HOST.to_owned(), port: NAMED_PORT }
    }

    /// Reads `HOST:PORT`, `HOST`, `[IPV6]:PORT`, `[IPV6]`, `PORT`, `:PORT` or `unix:PATH`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("must not be empty".to_owned());
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err("needs a path".to_owned())
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let is_host_alone = match text.strip_prefix('[') {
            Some(rest) => rest.ends_with(']'),
            None => !text.contains(':') && !text.bytes().all(|byte| byte.is_ascii_digit()),
        };
        let (host, port) =
            if is_host_alone { host_and_port(&format!("{text}:{PORT}"))? } else { host_and_port(text)? };
        Ok(Self::Tcp { host: host.unwrap_or_else(|| HOST.to_owned()), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Reads `PORT`, `:PORT`, `HOST:PORT` or `[IPV6]:PORT`; no host is none in particular.
///
/// # Errors
/// What is wrong with it.
pub fn host_and_port(text: &str) -> Result<(Option<String>, u16), String> {
    let (host, port) = match text.rsplit_once(':') {
        None => (None, text),
        Some(("", port)) => (None, port),
        Some((host, port)) => (Some(host), port),
    };
    let port = parse_digits(port)
        .and_then(|port| u16::try_from(port).ok())
        .ok_or("must end in a port, a number from 0 to 65535")?;
    let host = match host {
        Some(host) if host.starts_with('[') => {
            let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            Some(inside.ok_or("has a bracket without its pair")?.to_owned())
        }
        Some(host) if host.contains(':') => return Err(brackets_are_missing(text, host, port)),
        host => host.map(str::to_owned),
    };
    Ok((host, port))
}

/// What to say of several colons without brackets: as much of it as is an IPv6 address goes into them.
fn brackets_are_missing(text: &str, host: &str, port: u16) -> String {
    let is_address = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    match (is_address(host), is_address(text)) {
        (true, false) => format!("an IPv6 address goes into brackets: [{host}]:{port}"),
        (false, true) => format!("an IPv6 address goes into brackets: [{text}]:PORT"),
        (true, true) => format!("an IPv6 address goes into brackets: [{host}]:{port} or [{text}]:PORT"),
        (false, false) => "has more than one colon, and is no IPv6 address in brackets".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_to_connect_to_is_a_host_a_port_both_or_a_unix_socket() {
        for (text, shown) in [
            ("localhost", "localhost:9090"),
            ("localhost:7", "localhost:7"),
            ("7", "127.0.0.1:7"),
            (":7", "127.0.0.1:7"),
            ("[::1]", "[::1]:9090"),
            ("[::1]:7", "[::1]:7"),
            ("unix:/run/room", "unix:/run/room"),
        ] {
            assert_eq!(
                Address::parse(text).map(|address| address.to_string()),
                Ok(shown.to_owned()),
                "{text}"
            );
        }
        assert_eq!(Address::parse("127.0.0.1:9090"), Ok(Address::default()));
    }

    #[test]
    fn a_wrong_place_to_connect_to_is_told_what_is_wrong_with_it() {
        for (text, why) in [
            ("", "empty"),
            ("host:", "port"),
            ("host:65536", "port"),
            ("::1", "into brackets: [::1]:PORT"),
            ("fe80::9", "into brackets: [fe80::9]:PORT"),
            ("1:2:3:4:5:6:7:8:9090", "into brackets: [1:2:3:4:5:6:7:8]:9090"),
            ("::1:9090", "into brackets: [::1]:9090 or [::1:9090]:PORT"),
            ("named:127.0.0.1:9090", "more than one colon"),
            ("[::1", "bracket"),
            ("[::1:7", "bracket"),
            ("unix:", "path"),
        ] {
            let told = Address::parse(text).expect_err(text);
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
