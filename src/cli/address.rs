//! Addresses on a command line: what to connect to, and the part that listening shares.

use crate::cli::args::parse_digits;
use crate::net::unix_addr::UnixAddr;
use std::fmt;
use std::net::Ipv6Addr;

/// The host of the default listeners.
const HOST: &str = "127.0.0.1";
/// The port of the default listener in the plain view.
pub const PLAIN_PORT: u16 = 9090;
/// The port of the default listener in the named view.
pub const NAMED_PORT: u16 = 9091;

/// An address to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A TCP port.
    Tcp {
        /// A host name or an IP address, IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A unix socket.
    Unix(UnixAddr),
}

impl Default for Address {
    fn default() -> Self {
        Self::Tcp { host: HOST.to_owned(), port: PLAIN_PORT }
    }
}

impl Address {
    /// Returns the address of the default listener in the named view, 127.0.0.1:9091.
    pub fn default_named() -> Self {
        Self::Tcp { host: HOST.to_owned(), port: NAMED_PORT }
    }

    /// Reads `HOST:PORT`, `HOST`, `[IPV6]:PORT`, `[IPV6]`, `PORT`, `:PORT`, `unix:PATH` or, on Linux,
    /// `unix:@NAME`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("must not be empty".to_owned());
        }
        if let Some(address) = text.strip_prefix("unix:") {
            return UnixAddr::parse(address).map(Self::Unix);
        }
        let is_host_alone = match text.strip_prefix('[') {
            Some(rest) => rest.ends_with(']'),
            None => !text.contains(':') && !text.bytes().all(|byte| byte.is_ascii_digit()),
        };
        let (host, port) = if is_host_alone {
            host_and_port(&format!("{text}:{PLAIN_PORT}"))?
        } else {
            host_and_port(text)?
        };
        Ok(Self::Tcp { host: host.unwrap_or_else(|| HOST.to_owned()), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(address) => address.fmt(f),
        }
    }
}

/// Reads `PORT`, `:PORT`, `HOST:PORT` or `[IPV6]:PORT`. The first two have no host.
///
/// # Errors
/// What is wrong with the text.
pub fn host_and_port(text: &str) -> Result<(Option<String>, u16), String> {
    let (host, port) = match text.rsplit_once(':') {
        None => (None, text),
        Some(("", port)) => (None, port),
        Some((host, port)) => (Some(host), port),
    };
    let port = parse_digits(port)
        .and_then(|port| u16::try_from(port).ok())
        .ok_or("the port must be a number from 0 to 65535")?;
    let host = match host {
        Some(host) if host.starts_with('[') => {
            let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            Some(inside.ok_or("a bracket has no counterpart")?.to_owned())
        }
        Some(host) if host.contains(':') => return Err(brackets_are_missing(text, host, port)),
        host => host.map(str::to_owned),
    };
    match host {
        Some(host) if !is_host(&host) => Err("the host must be a host name or an IP address".to_owned()),
        host => Ok((host, port)),
    }
}

/// Whether a text can be a host name or an IP address, if only by its characters: names may be of any script, and
/// underscores are common in local names.
pub(super) fn is_host(text: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.' | ':' | '%');
    !text.is_empty() && !text.starts_with('-') && text.chars().all(is_part)
}

/// The error for several colons without brackets: suggests brackets around what is an IPv6 address.
fn brackets_are_missing(text: &str, host: &str, port: u16) -> String {
    let is_address = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    match (is_address(host), is_address(text)) {
        (true, false) => format!("write an IPv6 address in brackets: [{host}]:{port}"),
        (false, true) => format!("write an IPv6 address in brackets: [{text}]:PORT"),
        (true, true) => format!("write an IPv6 address in brackets: [{host}]:{port} or [{text}]:PORT"),
        (false, false) => "there is more than one colon, but no IPv6 address in brackets".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_a_port_both_or_a_unix_socket() {
        for (text, shown) in [
            ("localhost", "localhost:9090"),
            ("localhost:7", "localhost:7"),
            ("7", "127.0.0.1:7"),
            (":7", "127.0.0.1:7"),
            ("[::1]", "[::1]:9090"),
            ("[::1]:7", "[::1]:7"),
            ("unix:/run/room", "unix:/run/room"),
            ("unix:@room", "unix:@room"),
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
    fn the_error_of_a_wrong_address_says_what_is_wrong() {
        for (text, why) in [
            ("", "empty"),
            ("host:", "port"),
            ("host:65536", "port"),
            ("::1", "in brackets: [::1]:PORT"),
            ("fe80::9", "in brackets: [fe80::9]:PORT"),
            ("1:2:3:4:5:6:7:8:9090", "in brackets: [1:2:3:4:5:6:7:8]:9090"),
            ("::1:9090", "in brackets: [::1]:9090 or [::1:9090]:PORT"),
            ("named:127.0.0.1:9090", "more than one colon"),
            ("[::1", "bracket"),
            ("[::1:7", "bracket"),
            ("unix:", "path"),
            ("unix:@", "name"),
            ("[]:7", "the host must be"),
            ("*:7", "the host must be"),
            ("a b:7", "the host must be"),
            ("user@host:7", "the host must be"),
            ("host,other:7", "the host must be"),
            ("-n:7", "the host must be"),
        ] {
            let error = Address::parse(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
