//! Addresses on a command line: what to connect to, and the part that listening shares.

use crate::cli::args::parse_digits;
use crate::wire::view::View;
use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

/// The host of the default listeners.
const HOST: &str = "127.0.0.1";
/// The port of the default listener in the plain view.
pub const PLAIN_PORT: u16 = 9090;
/// The port of the default listener in the named view.
pub const NAMED_PORT: u16 = 9091;

/// The start of the address of a unix socket.
const UNIX: &str = "unix:";
const PORT_RANGE: &str = "must be a number from 1 to 65535";
const ONE_ADDRESS: &str = "give at most one ADDR, or HOST PORT";

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
    /// A unix socket at a path.
    Unix(PathBuf),
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

    /// Reads the arguments of a command line: none, `ADDR`, or `HOST PORT` as nc(1) takes them. An `ADDR` without
    /// a port gets `default_port`.
    ///
    /// # Errors
    /// One line that names the wrong argument.
    pub fn from_arguments(arguments: &[String], default_port: u16) -> Result<Option<Self>, String> {
        let unexpected =
            |argument: &str, why: &str| Err(format!("unexpected argument \"{argument}\": {why}"));
        match arguments {
            [] => Ok(None),
            [text] => match Self::parse_or(text, default_port) {
                Ok(address) => Ok(Some(address)),
                Err(why) => Err(format!("ADDR \"{text}\": {why}")),
            },
            [host, port] if is_number(host) && !is_number(port) => {
                unexpected(port, &format!("the host comes first: {port} {host}"))
            }
            [_, port] if !is_number(port) => unexpected(port, ONE_ADDRESS),
            [host, port] if host.starts_with(UNIX) => {
                unexpected(port, &format!("\"{host}\" needs no port: it is a unix socket"))
            }
            [host, port] => {
                let port_number = parse_port(port).map_err(|why| format!("PORT \"{port}\": {why}"))?;
                match host_alone(host) {
                    Ok(host) => Ok(Some(Self::Tcp { host, port: port_number })),
                    Err(why) => Err(format!("HOST \"{host}\": {why}")),
                }
            }
            [_, _, extra, ..] => unexpected(extra, ONE_ADDRESS),
        }
    }

    /// Reads `HOST:PORT`, `HOST`, `[IPV6]:PORT`, `[IPV6]`, `PORT`, `:PORT` or `unix:PATH`. Without a port, the
    /// port is [`PLAIN_PORT`].
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_or(text, PLAIN_PORT)
    }

    fn parse_or(text: &str, default_port: u16) -> Result<Self, String> {
        check_text(text)?;
        if let Some(path) = text.strip_prefix(UNIX) {
            return if path.is_empty() {
                Err("the path is missing after unix:".to_owned())
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        if let Some(address) = without_view(text) {
            return Err(format!("must be an address without a view: {address}"));
        }
        let is_host_alone = match text.strip_prefix('[') {
            Some(rest) => rest.ends_with(']'),
            None => !text.contains(':') && !is_number(text),
        };
        let (host, port) = if is_host_alone {
            host_and_port(&format!("{text}:{default_port}"))?
        } else {
            parse_port(text.rsplit(':').next().unwrap_or(text)).map_err(|why| format!("the port {why}"))?;
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
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
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
    Ok((host, port))
}

/// Refuses what no kind of address contains, and shows the address in it.
fn check_text(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if text.starts_with(UNIX) {
        return Ok(());
    }
    if let Some((_, address)) = text.split_once("://") {
        return Err(format!("must be an address without a scheme: {}", address.trim_end_matches('/')));
    }
    if text.contains(char::is_whitespace) {
        return Err("must not contain blanks: HOST PORT are two arguments".to_owned());
    }
    Ok(())
}

/// Reads the host before a separate port: a name, or an IP address with or without brackets.
fn host_alone(text: &str) -> Result<String, String> {
    check_text(text)?;
    let host = match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').unwrap_or(text),
        None => text,
    };
    if host.parse::<Ipv6Addr>().is_ok() || is_scoped(host) {
        return Ok(host.to_owned());
    }
    if is_number(text) || text.contains([':', '[', ']']) {
        return Err("must be a host name or an IP address; the port is given after it".to_owned());
    }
    Ok(host.to_owned())
}

/// Whether the text is an IPv6 address with an interface, such as `fe80::1%eth0`.
fn is_scoped(host: &str) -> bool {
    host.split_once('%').is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok())
}

/// Reads the port of a server.
fn parse_port(text: &str) -> Result<u16, String> {
    let port = parse_digits(text).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    port.ok_or_else(|| PORT_RANGE.to_owned())
}

/// The address in an address to listen on, such as `named:127.0.0.1:9091`. `named:9091` may be a host's name.
fn without_view(text: &str) -> Option<&str> {
    let (view, address) = text.split_once(':')?;
    (View::by_name(view).is_some() && address.contains(':')).then_some(address)
}

/// Whether the text has digits only.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
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
            ("host:0", "the port must be a number from 1 to 65535"),
            ("host:65536", "port"),
            ("tcp://host:9090/", "without a scheme: host:9090"),
            ("host 9090", "two arguments"),
            ("::1", "in brackets: [::1]:PORT"),
            ("fe80::9", "in brackets: [fe80::9]:PORT"),
            ("1:2:3:4:5:6:7:8:9090", "in brackets: [1:2:3:4:5:6:7:8]:9090"),
            ("::1:9090", "in brackets: [::1]:9090 or [::1:9090]:PORT"),
            ("named:127.0.0.1:9090", "without a view: 127.0.0.1:9090"),
            ("other:127.0.0.1:9090", "more than one colon"),
            ("[::1", "bracket"),
            ("[::1:7", "bracket"),
            ("unix:", "path"),
        ] {
            let error = Address::parse(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    fn from_words(words: &[&str]) -> Result<Option<Address>, String> {
        let arguments = words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        Address::from_arguments(&arguments, 5)
    }

    #[test]
    fn a_host_and_a_port_may_be_two_arguments_as_for_nc() {
        for (words, shown) in [
            (&["localhost", "7"][..], Some("localhost:7")),
            (&["10.0.0.1", "07"], Some("10.0.0.1:7")),
            (&["::1", "7"], Some("[::1]:7")),
            (&["[::1]", "7"], Some("[::1]:7")),
            (&["fe80::1%eth0", "7"], Some("[fe80::1%eth0]:7")),
            (&["localhost"], Some("localhost:5")),
            (&["7"], Some("127.0.0.1:7")),
            (&[], None),
        ] {
            let address = from_words(words).map(|address| address.map(|address| address.to_string()));
            assert_eq!(address, Ok(shown.map(str::to_owned)), "{words:?}");
        }
    }

    #[test]
    fn the_error_of_a_wrong_argument_quotes_it_and_says_what_to_do() {
        for (words, error) in [
            (&["host", "0"][..], "PORT \"0\": must be a number from 1 to 65535"),
            (&["host", "65536"], "PORT \"65536\": must be a number from 1 to 65535"),
            (&["host", "hello"], "unexpected argument \"hello\": give at most one ADDR, or HOST PORT"),
            (
                &["host", "99999999999999999999"],
                "PORT \"99999999999999999999\": must be a number from 1 to 65535",
            ),
            (&["9090", "host"], "unexpected argument \"host\": the host comes first: host 9090"),
            (&["host", "1", "2"], "unexpected argument \"2\": give at most one ADDR, or HOST PORT"),
            (
                &["unix:/room", "1"],
                "unexpected argument \"1\": \"unix:/room\" needs no port: it is a unix socket",
            ),
            (
                &["host:1", "2"],
                "HOST \"host:1\": must be a host name or an IP address; the port is given after it",
            ),
            (&["1", "2"], "HOST \"1\": must be a host name or an IP address; the port is given after it"),
            (
                &["[host]", "2"],
                "HOST \"[host]\": must be a host name or an IP address; the port is given after it",
            ),
            (&["", "2"], "HOST \"\": must not be empty"),
            (&["host:"], "ADDR \"host:\": the port must be a number from 1 to 65535"),
        ] {
            assert_eq!(from_words(words), Err(error.to_owned()), "{words:?}");
        }
    }
}
