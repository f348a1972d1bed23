//! The addresses of `--listen`, and what the errors suggest to someone who writes them differently.

use super::address::{PLAIN_PORT, host_and_port, is_host};
use super::args::parse_digits;
use crate::net::listen_spec::{ListenAddr, ListenSpec};
use crate::net::service::Service;
use crate::net::unix_addr::UnixAddr;
use crate::util::quoted::quoted;
use crate::wire::view::View;
use std::net::{IpAddr, Ipv6Addr};

/// Options of other programs for the port or address to listen on.
const FOREIGN_OPTIONS: [&str; 7] = ["-p", "--port", "--bind", "--host", "--address", "--addr", "-b"];

/// Reads `[VIEW:]ADDR`. ADDR is `PORT`, `:PORT`, `HOST:PORT`, `[IPV6]:PORT`, `unix:PATH` or, on Linux, `unix:@NAME`.
///
/// # Errors
/// What is wrong, and what to write instead if that can be guessed.
pub(super) fn parse(text: &str) -> Result<ListenSpec, String> {
    let (service, address) = split_service(text)?;
    let address = match address.strip_prefix("unix:") {
        Some(path) if path.contains(char::is_control) => {
            return Err("the path must not have control characters".to_owned());
        }
        Some(path) => ListenAddr::Unix(UnixAddr::parse(path)?),
        None => {
            let before = &text[..text.len() - address.len()];
            let (host, port) = host_and_port(address).map_err(|why| hint(before, address).unwrap_or(why))?;
            ListenAddr::Tcp { host, port }
        }
    };
    match (service, &address) {
        // File permissions are all that protects it.
        (Service::Admin, ListenAddr::Tcp { .. }) => {
            Err("the admin view needs a unix socket: write admin:unix:PATH".to_owned())
        }
        (Service::Admin, ListenAddr::Unix(UnixAddr::Abstract(_))) => {
            Err("an abstract socket has no permissions: write admin:unix:PATH".to_owned())
        }
        _ => Ok(ListenSpec { service, address }),
    }
}

/// The service of an address without a view.
const PLAIN: Service = Service::Room { view: View::Plain, tls: false };

/// Splits off the view; plain if there is none.
fn split_service(text: &str) -> Result<(Service, &str), String> {
    let Some((first, rest)) = text.split_once(':') else { return Ok((PLAIN, text)) };
    if let Some(service) = Service::by_name(first) {
        return Ok((service, rest));
    }
    if first == "admin+tls" {
        return Err("the admin view has no TLS: write admin:unix:PATH".to_owned());
    }
    if first == "unix" {
        return Ok((PLAIN, text));
    }
    if let Some(service) = Service::by_name(&first.to_ascii_lowercase()) {
        return Err(format!("unknown view \"{first}\": write {service}:{rest}"));
    }
    let is_word = first.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && first.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+');
    if is_word && (rest.contains(':') || first.contains('+')) && !text.contains("::") && !text.contains(',') {
        return Err(format!("unknown view \"{first}\": use {}", Service::NAMES));
    }
    Ok((PLAIN, text))
}

/// What to write instead of a wrong `address` that follows the text `before`.
fn hint(before: &str, address: &str) -> Option<String> {
    let whole = format!("{before}{address}");
    if whole.contains(',') {
        let all = whole.split(',').map(|each| format!("-l {}", each.trim())).collect::<Vec<_>>();
        return Some(format!("must be one address: write {}", all.join(" ")));
    }
    if let Some(port) = address.strip_prefix("*:") {
        return Some(format!("write {before}:{port} for all interfaces"));
    }
    if address.starts_with(['/', '.', '~']) {
        return Some(format!("write {before}unix:{address} for a unix socket"));
    }
    if let Some(service) = Service::by_name(address) {
        let place = if service == Service::Admin { "unix:PATH" } else { "PORT" };
        return Some(format!("the address is missing: write {address}:{place}"));
    }
    if address == "unix" {
        return Some(format!("the path is missing: write {before}unix:PATH"));
    }
    let words = address.split_whitespace().collect::<Vec<_>>();
    if let [host, port] = words[..] {
        return with_port(host, port).map(|address| format!("write {before}{address}"));
    }
    // Without brackets, the error about brackets says more.
    let is_in_brackets = address.starts_with('[') && address.ends_with(']');
    let is_host_alone = looks_like_host(address) && !address.contains(':') || is_in_brackets;
    is_host_alone.then(|| format!("the port is missing: write for example {before}{address}:{PLAIN_PORT}"))
}

/// `HOST:PORT`, or `[IPV6]:PORT`; `None` if they are not a host and a port.
fn with_port(host: &str, port: &str) -> Option<String> {
    let port = parse_digits(port).and_then(|port| u16::try_from(port).ok())?;
    if host.parse::<Ipv6Addr>().is_ok() {
        return Some(format!("[{host}]:{port}"));
    }
    (is_host(host) && !host.contains(':')).then(|| format!("{host}:{port}"))
}

/// Whether a word without a port is probably a host.
fn looks_like_host(word: &str) -> bool {
    let is_dotted_name = is_host(word) && word.trim_matches('.').contains('.') && !word.contains(':');
    word == "localhost" || word.parse::<IpAddr>().is_ok() || is_dotted_name
}

/// The error for arguments that are not options. `listen` has the values of `--listen`.
pub(super) fn unexpected(arguments: &[String], listen: &[String]) -> String {
    let names = arguments.iter().map(|argument| quoted(argument)).collect::<Vec<_>>();
    let noun = if names.len() == 1 { "argument" } else { "arguments" };
    let advice = match suggestion(arguments, listen) {
        Some(suggestion) => format!("to listen there, write {suggestion}"),
        None => "hubbub takes options only".to_owned(),
    };
    format!("unexpected {noun} {}: {advice}", names.join(" "))
}

/// The options for someone who writes addresses as `nc` takes them.
fn suggestion(arguments: &[String], listen: &[String]) -> Option<String> {
    // As in nc -l 127.0.0.1 9090: the option has the host, and the port is an argument.
    let host = listen.last().filter(|host| looks_like_host(host));
    let words = host.into_iter().chain(arguments).map(String::as_str).collect::<Vec<_>>();
    if let [host, port] = words[..]
        && let Some(address) = with_port(host, port).filter(|_| parse_digits(host).is_none())
    {
        return Some(format!("-l {address}"));
    }
    let options = words.iter().map(|word| match parse(word) {
        Ok(_) => Some(format!("-l {word}")),
        Err(_) if looks_like_host(word) => Some(format!("-l {}", with_port(word, &PLAIN_PORT.to_string())?)),
        Err(_) => None,
    });
    Some(options.collect::<Option<Vec<_>>>()?.join(" "))
}

/// If an error is about an option of other programs, adds what to write instead.
pub(super) fn with_hint(error: String) -> String {
    let is_foreign = FOREIGN_OPTIONS.iter().any(|option| error == format!("unknown option \"{option}\""));
    if is_foreign { format!("{error}: write -l PORT or -l HOST:PORT to listen there") } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> Result<(Option<String>, u16), String> {
        parse(text).map(|listen| match listen.address {
            ListenAddr::Tcp { host, port } => (host, port),
            ListenAddr::Unix(address) => panic!("{text} was taken as {address}"),
        })
    }

    #[test]
    fn an_address_is_a_port_or_a_host_and_a_port() {
        assert_eq!(tcp("9090"), Ok((None, 9090)));
        assert_eq!(tcp(":0"), Ok((None, 0)));
        assert_eq!(tcp("localhost:1"), Ok((Some("localhost".into()), 1)));
        assert_eq!(tcp("[::1]:7"), Ok((Some("::1".into()), 7)));
        for view in ["plain:9090", "plain::9090", "named:9090", "json::9090"] {
            assert_eq!(tcp(view), Ok((None, 9090)), "{view}");
        }
        assert_eq!(tcp("plain:127.0.0.1:7"), Ok((Some("127.0.0.1".into()), 7)));
        assert_eq!(tcp("plain:[::]:7"), Ok((Some("::".into()), 7)));
    }

    #[test]
    fn the_error_of_a_wrong_address_says_what_is_wrong() {
        for (text, why) in [
            ("", "port"),
            ("nonsense", "port"),
            ("65536", "port"),
            ("host:", "port"),
            ("host:+1", "port"),
            ("::1", "brackets"),
            ("fe80::1:9090", "brackets"),
            ("[::1:9090", "bracket"),
            ("named:", "port"),
            ("json:127.0.0.1", "port"),
            ("loud:127.0.0.1:9090", "unknown view"),
            ("unix:", "path"),
            ("unix:a\nb", "control characters"),
            ("named:unix:", "path"),
            ("loud:unix:/tmp/x", "unknown view"),
            ("loud2:127.0.0.1:9090", "unknown view"),
        ] {
            let error = tcp(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_unix_socket_has_any_path_and_any_view() {
        for (text, view, path) in [
            ("unix:/run/room", View::Plain, "/run/room"),
            ("unix:json:x", View::Plain, "json:x"),
            ("plain:unix:room", View::Plain, "room"),
            ("named:unix:/a:b/c d", View::Named, "/a:b/c d"),
            ("json:unix:unix:", View::Json, "unix:"),
        ] {
            let address = ListenAddr::Unix(UnixAddr::Path(path.into()));
            assert_eq!(
                parse(text),
                Ok(ListenSpec { service: Service::Room { view, tls: false }, address }),
                "{text}"
            );
        }
        let address = ListenAddr::Unix(UnixAddr::Path("/run/a".into()));
        assert_eq!(parse("admin:unix:/run/a"), Ok(ListenSpec { service: Service::Admin, address }));
    }

    #[test]
    fn the_error_of_an_address_in_another_form_suggests_the_right_one() {
        for (text, error) in [
            ("*:9090", "write :9090 for all interfaces"),
            ("named:*:9090", "write named::9090 for all interfaces"),
            ("plain:9090,named:9091", "must be one address: write -l plain:9090 -l named:9091"),
            ("9090, 9091", "must be one address: write -l 9090 -l 9091"),
            (
                "127.0.0.1:9090,named:127.0.0.1:9091",
                "must be one address: write -l 127.0.0.1:9090 -l named:127.0.0.1:9091",
            ),
            ("/run/room", "write unix:/run/room for a unix socket"),
            ("json:./room", "write json:unix:./room for a unix socket"),
            ("named", "the address is missing: write named:PORT"),
            ("admin", "the address is missing: write admin:unix:PATH"),
            ("admin:9090", "the admin view needs a unix socket: write admin:unix:PATH"),
            ("admin:127.0.0.1:9090", "the admin view needs a unix socket: write admin:unix:PATH"),
            ("admin:unix:@x", "an abstract socket has no permissions: write admin:unix:PATH"),
            ("admin+tls:unix:/x", "the admin view has no TLS: write admin:unix:PATH"),
            ("ADMIN:unix:/x", "unknown view \"ADMIN\": write admin:unix:/x"),
            ("unix", "the path is missing: write unix:PATH"),
            ("NAMED:9090", "unknown view \"NAMED\": write named:9090"),
            ("localhost", "the port is missing: write for example localhost:9090"),
            ("[::1]", "the port is missing: write for example [::1]:9090"),
            ("named:10.0.0.1", "the port is missing: write for example named:10.0.0.1:9090"),
            ("localhost 7000", "write localhost:7000"),
            ("a b:7", "the host must be a host name or an IP address"),
            (
                "tcp://localhost:7",
                "unknown view \"tcp\": use plain, named, json or admin, or for example named+tls",
            ),
        ] {
            assert_eq!(parse(text), Err(error.to_owned()), "{text}");
        }
    }

    #[test]
    fn arguments_that_are_an_address_are_suggested_with_the_option() {
        for (listen, arguments, suggested) in [
            (&[][..], &["9090"][..], Some("-l 9090")),
            (&[], &["localhost", "9090"], Some("-l localhost:9090")),
            (&[], &["0.0.0.0:9090"], Some("-l 0.0.0.0:9090")),
            (&[], &["::1", "9090"], Some("-l [::1]:9090")),
            (&[], &["9090", "9091"], Some("-l 9090 -l 9091")),
            (&[], &["named:9091"], Some("-l named:9091")),
            (&[], &["10.0.0.1"], Some("-l 10.0.0.1:9090")),
            (&[], &["unix:/run/room"], Some("-l unix:/run/room")),
            (&["127.0.0.1"], &["9090"], Some("-l 127.0.0.1:9090")),
            (&["-p"], &["9090"], Some("-l 9090")),
            (&[], &["start"], None),
            (&[], &["start", "9090"], Some("-l start:9090")),
            (&[], &["", "99999"], None),
            (&[], &["two\nlines"], None),
        ] {
            let texts = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
            let found = suggestion(&texts(arguments), &texts(listen));
            assert_eq!(found.as_deref(), suggested, "{listen:?} {arguments:?}");
        }
    }
}
