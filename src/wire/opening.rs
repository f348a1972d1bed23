//! The first bytes of a client, where a line end alone does not show whether they are chat.
//!
//! Other protocols may begin with binary data, with empty lines, or with a line that only together with the next one is
//! certain. [`examine`] looks at all bytes so far.

use super::first_line::{self, Form, IRC_AFTER_NICK, IRC_AFTER_USER, IRC_NICK, IRC_USER, LONG_BYTES, Word};
use super::other_protocol::OtherProtocol;
use super::proxy;
use super::telnet::IAC;
use std::ops::RangeInclusive;

/// The most bytes that are held while the protocol is uncertain. Each client may hold as many; openings are shorter.
pub const MAX_OPENING: usize = 128;

/// What the first bytes of a client are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The bytes so far may be those of another protocol.
    Undecided,
    /// They are lines, of which the first may still be that of another protocol.
    Lines,
    /// They are those of another protocol.
    Other(OtherProtocol),
}

/// A byte of a signature.
type Bytes = RangeInclusive<u8>;

const fn one(byte: u8) -> Bytes {
    byte..=byte
}

/// A byte of a length. 255 is left out: it begins telnet commands.
const ANY: Bytes = 0..=254;

/// The first bytes of binary protocols. No text begins so.
static SIGNATURES: [(OtherProtocol, &[Bytes]); 13] = [
    // A handshake record (RFC 8446, section 5.1).
    (OtherProtocol::Tls, &[one(22), one(3), 0..=4]),
    // A hello in the form of SSL 2.0: its length, its type, and the version that the client wants.
    (OtherProtocol::Tls, &[one(0x80), 28..=254, one(1), one(3), 0..=3]),
    (OtherProtocol::Tls, &[one(0x80), 28..=254, one(1), one(0), one(2)]),
    // CONNECT or BIND.
    (OtherProtocol::Socks, &[one(4), 1..=2]),
    // The number of methods, and the first of them (RFC 1928).
    (OtherProtocol::Socks, &[one(5), 1..=9, 0..=9]),
    // A TPKT header, and an X.224 connection request.
    (OtherProtocol::Rdp, &[one(3), one(0), one(0), 11..=254, 6..=249, one(0xE0)]),
    // A binding request, its length, and the magic cookie (RFC 8489).
    (OtherProtocol::Stun, &[one(0), one(1), 0..=8, ANY, one(0x21), one(0x12), one(0xA4), one(0x42)]),
    // A startup message of version 3, or a request for encryption: a length before each.
    (OtherProtocol::Postgres, &[one(0), one(0), 0..=8, ANY, one(0), one(3), one(0)]),
    (OtherProtocol::Postgres, &[one(0), one(0), one(0), one(8), one(4), one(0xD2), one(0x16)]),
    // CONNECT: its length in one byte or in two, and the protocol's name.
    (OtherProtocol::Mqtt, &[one(16), 12..=127, one(0), 4..=6, one(b'M'), one(b'Q')]),
    (OtherProtocol::Mqtt, &[one(16), 128..=254, 1..=127, one(0), 4..=6, one(b'M'), one(b'Q')]),
    (OtherProtocol::Amqp, &[one(b'A'), one(b'M'), one(b'Q'), one(b'P'), 0..=3]),
    (OtherProtocol::BitTorrent, &[one(19), one(b'B'), one(b'i'), one(b't'), one(b'T')]),
];

/// A first line that is chat unless one of certain lines follows.
struct Pair {
    protocol: OtherProtocol,
    first: Form,
    next: &'static [Form],
}

static PAIRS: [Pair; 3] = [
    Pair { protocol: OtherProtocol::Irc, first: IRC_NICK, next: &IRC_AFTER_NICK },
    Pair { protocol: OtherProtocol::Irc, first: IRC_USER, next: &IRC_AFTER_USER },
    // The number of words of a command, and the length of the first.
    Pair {
        protocol: OtherProtocol::Redis,
        first: Form(&[Word::Count(b'*')]),
        next: &[Form(&[Word::Count(b'$')])],
    },
];

/// Looks at the first bytes of a client. `is_all`: no more will come soon. A `raw` room refuses HTTP only.
///
/// Each byte may be decisive, so this is to be called after each, until the verdict is not
/// [`Undecided`](Verdict::Undecided).
pub fn examine(bytes: &[u8], is_all: bool, raw: bool) -> Verdict {
    let is_all = is_all || bytes.len() >= MAX_OPENING;
    if !raw {
        if bytes.last() == Some(&IAC) {
            return Verdict::Lines;
        }
        match find_signature(bytes) {
            Verdict::Undecided if is_all => {}
            Verdict::Lines => {}
            verdict => return verdict,
        }
    }
    let text = skip_empty_lines(bytes);
    if matches!(text, b"" | b"\r") {
        return if is_all { Verdict::Lines } else { Verdict::Undecided };
    }
    let is_first = text.len() == bytes.len();
    let (line, rest) = split_line(text);
    match rest {
        Some(next) => examine_lines(line, next, is_all, raw),
        None if !is_all => {
            let may_be_other = !is_first && first_line::may_begin(line, raw);
            let may_be_first = !raw && PAIRS.iter().any(|pair| pair.first.may_begin_with(line));
            if may_be_other || may_be_first { Verdict::Undecided } else { Verdict::Lines }
        }
        // A line without an empty one before it is recognized when it ends.
        None if is_first => Verdict::Lines,
        None if bytes.len() < MAX_OPENING => verdict(first_line::recognize(line, raw)),
        None => verdict(first_line::recognize_long(&line[..line.len().min(LONG_BYTES)], raw)),
    }
}

fn verdict(protocol: Option<OtherProtocol>) -> Verdict {
    protocol.map_or(Verdict::Lines, Verdict::Other)
}

fn find_signature(bytes: &[u8]) -> Verdict {
    if bytes.starts_with(proxy::SIGNATURE) {
        return Verdict::Other(OtherProtocol::Proxy);
    }
    let mut may_follow = proxy::SIGNATURE.starts_with(bytes);
    for &(protocol, signature) in &SIGNATURES {
        if bytes.iter().zip(signature).all(|(byte, expected)| expected.contains(byte)) {
            if bytes.len() >= signature.len() {
                return Verdict::Other(protocol);
            }
            may_follow = true;
        }
    }
    if may_follow { Verdict::Undecided } else { Verdict::Lines }
}

/// A whole first line and the bytes after it.
fn examine_lines(line: &[u8], next: &[u8], is_all: bool, raw: bool) -> Verdict {
    if let Some(protocol) = first_line::recognize(line, raw) {
        return Verdict::Other(protocol);
    }
    let Some(pair) = PAIRS.iter().find(|pair| !raw && pair.first.matches(line)) else {
        return Verdict::Lines;
    };
    let (line, rest) = split_line(next);
    let is_whole = rest.is_some() || is_all;
    let is_form = |form: &Form| if is_whole { form.matches(line) } else { form.may_begin_with(line) };
    match pair.next.iter().any(is_form) {
        true if is_whole => Verdict::Other(pair.protocol),
        true => Verdict::Undecided,
        false => Verdict::Lines,
    }
}

/// The bytes after the empty lines. Some HTTP clients send one before a request (RFC 9112, section 2.2).
fn skip_empty_lines(mut bytes: &[u8]) -> &[u8] {
    while let [b'\n', rest @ ..] | [b'\r', b'\n' | 0, rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// The first line, and the bytes after its line end if it has one.
fn split_line(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    let is_end = |at: &usize| bytes[*at] == b'\n' || bytes[*at] == 0 && *at > 0 && bytes[*at - 1] == b'\r';
    let end = (0..bytes.len()).find(is_end);
    let line = &bytes[..end.unwrap_or(bytes.len())];
    (line.strip_suffix(b"\r").unwrap_or(line), end.map(|end| &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use OtherProtocol::{
        Amqp, BitTorrent, Http, Irc, Mqtt, Postgres, Proxy, Rdp, Redis, Smtp, Socks, Stun, Tls,
    };

    /// The verdict after the last byte, if it is undecided before.
    #[track_caller]
    fn decide(bytes: &[u8], raw: bool) -> Verdict {
        for end in 1..bytes.len() {
            match examine(&bytes[..end], false, raw) {
                Verdict::Undecided => {}
                verdict => return verdict,
            }
        }
        examine(bytes, false, raw)
    }

    #[test]
    fn binary_protocols_are_recognized_by_their_first_bytes() {
        for (protocol, bytes) in [
            (Tls, &b"\x16\x03\x01\x02\0"[..]),
            (Tls, b"\x80\x2E\x01\x03\x01\0\x15"),
            (Tls, b"\x80\x2E\x01\0\x02\0\x15"),
            (Socks, b"\x04\x01\0\x50\x0A\0\0\x01\0"),
            (Socks, b"\x05\x01\0"),
            (Socks, b"\x05\x03\0\x01\x02"),
            (Rdp, b"\x03\0\0\x13\x0E\xE0\0\0\0\0\0\x01\0\x08\0\x0B\0\0\0"),
            (Rdp, b"\x03\0\0\x0F\x0A\xE0"),
            (Stun, b"\0\x01\0\0\x21\x12\xA4\x42aaaaaaaaaaaa"),
            (Postgres, b"\0\0\0\x08\x04\xD2\x16\x2F"),
            (Postgres, b"\0\0\0\x0A\0\x03\0\0user\0me\0\0"),
            (Mqtt, b"\x10\x0D\0\x04MQTT\x04\x02\0\x3C\0\x01x"),
            (Mqtt, b"\x10\x80\x01\0\x06MQIsdp"),
            (Amqp, b"AMQP\0\0\x09\x01"),
            (BitTorrent, b"\x13BitTorrent protocol"),
            (Proxy, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C"),
        ] {
            assert_eq!(decide(bytes, false), Verdict::Other(protocol), "{protocol:?}");
        }
    }

    #[test]
    fn openings_of_several_lines_are_recognized() {
        for (protocol, text) in [
            (Http, "\r\nGET / HTTP/1.1\r\n"),
            (Http, "\n\n\r\nPOST /x HTTP/1.0\n"),
            (Smtp, "\nEHLO x\n"),
            (Irc, "NICK bob\r\nUSER bob 0 * :Bob\r\n"),
            (Irc, "NICK bob\nUSER bob host server :Bob B.\n"),
            (Irc, "NICK bob\r\nCAP LS 302\r\n"),
            (Irc, "NICK bob\r\nPASS x\r\n"),
            (Irc, "USER bob 0 * :Bob\r\n"),
            (Irc, "USER bob bob server :Bob B.\r\nNICK bob\r\n"),
            (Irc, "\nNICK bob\nUSER bob 0 * bob\n"),
            (Redis, "*2\r\n$7\r\nCOMMAND\r\n"),
        ] {
            assert_eq!(decide(text.as_bytes(), false), Verdict::Other(protocol), "{text:?}");
            let raw = if protocol == Http { Verdict::Other(Http) } else { Verdict::Lines };
            assert_eq!(decide(text.as_bytes(), true), raw, "{text:?}, raw");
        }
    }

    #[test]
    fn a_request_after_an_empty_line_is_recognized_also_if_it_is_long_or_unfinished() {
        let long = format!("\nGET /{} HTTP/1.1\n", "x".repeat(1000));
        assert_eq!(decide(long.as_bytes(), false), Verdict::Other(Http));
        let long = format!("\nGET out of here, {}\n", "x".repeat(1000));
        assert_eq!(decide(long.as_bytes(), false), Verdict::Lines);
        let unfinished = b"\nGET / HTTP/1.1";
        assert_eq!(decide(unfinished, false), Verdict::Undecided);
        assert_eq!(examine(unfinished, true, false), Verdict::Other(Http));
    }

    #[test]
    fn what_a_person_types_first_is_lines() {
        for text in [
            &b"hi"[..],
            b"\nhi",
            b"\n\nGET out\n",
            b"\nGET out of",
            b"NICK bob\nhi",
            b"NICK bob\nUSER\n",
            b"NICK bob\nUSER me\n",
            b"NICK bob\nNICK rob\n",
            b"NICK of time, that was\n",
            b"NICK bob\n\n",
            b"USER interface is great :)\nNICE",
            b"Nice",
            b"*1\nwell",
            b"* well",
            b"**",
            b"AMQP is",
            b"\x16\n",
            b"\x05\n",
            b"\x03\0\0\n",
            b"\x80 5\n",
            b"\r\n\r\n\0\r\nQUIT it",
            b"\rx",
            b"\xFF\xFD\x03",
            b"\n\xFF",
        ] {
            assert_eq!(decide(text, false), Verdict::Lines, "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn what_may_still_be_another_protocol_is_lines_if_nothing_follows() {
        for text in
            [&b"\n"[..], b"\r\n\r\n\0", b"\x16\x03", b"NICK bob\n", b"NICK bob\nUS", b"*1\n", b"A", b"\nGE"]
        {
            let shown = String::from_utf8_lossy(text);
            assert_eq!(decide(text, false), Verdict::Undecided, "{shown:?}");
            assert_eq!(examine(text, true, false), Verdict::Lines, "{shown:?}");
        }
    }

    #[test]
    fn no_more_bytes_are_held_than_the_limit() {
        for byte in [b'\n', b'\0', b'N'] {
            let bytes = vec![byte; MAX_OPENING];
            assert_ne!(decide(&bytes, false), Verdict::Undecided);
        }
        let line = format!("USER {}", "x".repeat(MAX_OPENING));
        assert_eq!(decide(line.as_bytes(), false), Verdict::Lines);
    }
}
