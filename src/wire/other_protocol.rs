//! Detection of clients that speak another protocol, by their first bytes.

/// A protocol that the server refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherProtocol {
    /// A TLS handshake record.
    Tls,
    /// An HTTP request line, such as `GET / HTTP/1.1`.
    Http,
    /// An SSH identification string, such as `SSH-2.0-OpenSSH_9.2`.
    Ssh,
}

impl OtherProtocol {
    /// The protocol's name, for the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls => "TLS",
            Self::Http => "HTTP",
            Self::Ssh => "SSH",
        }
    }

    /// The reply that refuses the client, without `* ` and the line end.
    pub const fn refusal(self) -> &'static str {
        match self {
            Self::Tls => "this is a chat room without TLS: connect with nc or telnet",
            Self::Http => "this is a chat room, not a web server: connect with nc or telnet",
            Self::Ssh => "this is a chat room, not an SSH server: connect with nc or telnet",
        }
    }
}

/// Whether the first bytes start a TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TlsSniff {
    /// They do.
    Tls,
    /// More bytes are needed to decide.
    NeedMore,
    /// They do not.
    Other,
}

/// Looks for a TLS record: type 22 (handshake), version 3.x (RFC 8446, section 5.1).
///
/// A TLS hello may have no line end, so the server does not wait for a line.
pub(super) fn sniff_tls(first_bytes: &[u8]) -> TlsSniff {
    match first_bytes {
        [0x16, 0x03, 0x00..=0x04, ..] => TlsSniff::Tls,
        [] | [0x16] | [0x16, 0x03] => TlsSniff::NeedMore,
        _ => TlsSniff::Other,
    }
}

/// The methods of RFC 9110, and PATCH. If only the beginning of a line is known, any other word may be chat.
const METHODS: [&[u8]; 9] =
    [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"];

/// Bytes of a line that [`sniff_beginning`] looks at.
pub(super) const SNIFF_BYTES: usize = 64;

/// Looks at the first [`SNIFF_BYTES`] of a first line that is too long to be stored.
pub(super) fn sniff_beginning(line: &[u8]) -> Option<OtherProtocol> {
    if is_identification(line) {
        return Some(OtherProtocol::Ssh);
    }
    let (method, target) = line.split_at(line.iter().position(|&byte| byte == b' ')?);
    let is_address = [&b" /"[..], b" http://", b" https://"].iter().any(|form| target.starts_with(form));
    (METHODS.contains(&method) && is_address).then_some(OtherProtocol::Http)
}

/// Looks at a complete first line.
pub(super) fn sniff_line(line: &[u8]) -> Option<OtherProtocol> {
    if is_request_line(line) {
        Some(OtherProtocol::Http)
    } else if is_identification(line) {
        Some(OtherProtocol::Ssh)
    } else {
        None
    }
}

/// `METHOD SP TARGET SP HTTP/DIGIT…` (RFC 9112, section 3). Methods are upper-case, as all registered ones.
fn is_request_line(line: &[u8]) -> bool {
    let mut words = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return false;
    };
    is_method(method)
        && !target.is_empty()
        && version.strip_prefix(b"HTTP/").is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit))
}

fn is_method(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'-')
}

/// `SSH-DIGITS.DIGITS-…` (RFC 4253, section 4.2).
fn is_identification(line: &[u8]) -> bool {
    let Some(version) = line.strip_prefix(b"SSH-") else { return false };
    let digits = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    let Some(dash) = version.iter().position(|&byte| byte == b'-') else { return false };
    let mut numbers = version[..dash].split(|&byte| byte == b'.');
    numbers.next().is_some_and(digits) && numbers.next().is_some_and(digits) && numbers.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_line_is_http_and_get_out_is_chat() {
        for line in ["GET / HTTP/1.1", "POST /x?y HTTP/1.0", "PRI * HTTP/2.0", "M-SEARCH * HTTP/1.1"] {
            assert_eq!(sniff_line(line.as_bytes()), Some(OtherProtocol::Http), "{line}");
        }
        for line in
            ["GET out", "GET", "get / HTTP/1.1", "GET / HTTP/", "GET  HTTP/1.1", "GET / HTTP/1.1 x", ""]
        {
            assert_eq!(sniff_line(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn an_identification_string_is_ssh_and_a_word_is_chat() {
        for line in ["SSH-2.0-OpenSSH_9.2p1", "SSH-1.99-x"] {
            assert_eq!(sniff_line(line.as_bytes()), Some(OtherProtocol::Ssh), "{line}");
        }
        for line in ["SSH-keys are lost", "SSH-2.0", "SSH-2-x", "SSH-2.0.1-x", "ssh-2.0-x"] {
            assert_eq!(sniff_line(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_long_first_line_is_recognised_by_its_beginning() {
        for (line, protocol) in [
            ("GET /aaaaaaaaaaaaaaaa", Some(OtherProtocol::Http)),
            ("POST http://example.org/aaa", Some(OtherProtocol::Http)),
            ("SSH-2.0-OpenSSH_9.2", Some(OtherProtocol::Ssh)),
            ("GET out of here, all of you who", None),
            ("TODO /aaaaaaaaaaaaaaaa", None),
            ("get /aaaaaaaaaa", None),
            ("SSH-keys are long", None),
            ("aaaaaaaaaaaaaa", None),
            ("", None),
        ] {
            assert_eq!(sniff_beginning(line.as_bytes()), protocol, "{line}");
        }
    }

    #[test]
    fn tls_is_recognised_by_three_bytes() {
        assert_eq!(sniff_tls(b"\x16\x03\x01\x02\x00"), TlsSniff::Tls);
        assert_eq!(sniff_tls(b"\x16\x03"), TlsSniff::NeedMore);
        assert_eq!(sniff_tls(b""), TlsSniff::NeedMore);
        assert_eq!(sniff_tls(b"\x16\x03\x09"), TlsSniff::Other);
        assert_eq!(sniff_tls(b"hello"), TlsSniff::Other);
    }
}
