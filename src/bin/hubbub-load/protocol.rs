//! How a line is sent and received: as it is, or in the protocol of a message broker.

use memchr::memchr;

/// The protocol of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Lines that end in LF, as in hubbub.
    Lines,
    /// The client protocol of NATS, on one subject:
    /// <https://docs.nats.io/reference/reference-protocols/nats-protocol>.
    Nats,
    /// Redis publish and subscribe, on one channel; RESP3 lets one connection do both:
    /// <https://redis.io/docs/latest/develop/reference/protocol-spec/>.
    Redis,
}

/// One message from the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received<'a> {
    /// A line, without its line end.
    Line(&'a [u8]),
    /// The subscription is active: the client receives from now on.
    Joined,
    /// A ping that needs this reply.
    Ping(&'static [u8]),
    /// An error message.
    Error(&'a [u8]),
    /// A message without meaning for the load.
    Other,
}

/// Nesting levels of a RESP3 reply: no reply to the commands sent here needs more.
const MAX_DEPTH: usize = 8;

impl Protocol {
    pub(crate) const ALL: [Self; 3] = [Self::Lines, Self::Nats, Self::Redis];

    /// Returns the name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Nats => "nats",
            Self::Redis => "redis",
        }
    }

    /// Returns what a client sends first, to receive every line.
    pub(crate) const fn handshake(self) -> &'static [u8] {
        match self {
            Self::Lines => b"",
            Self::Nats => {
                b"CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false}\r\nSUB room 1\r\nPING\r\n"
            }
            Self::Redis => b"HELLO 3\r\nSUBSCRIBE room\r\n",
        }
    }

    /// Whether TLS begins after the first line of the server, and not at once.
    pub(crate) const fn has_line_before_tls(self) -> bool {
        matches!(self, Self::Nats)
    }

    /// Whether the server always sends a client its own lines back.
    pub(crate) const fn echoes(self) -> bool {
        matches!(self, Self::Redis)
    }

    /// Appends the message that sends a line. `write` appends the line itself: `length` bytes, no line end.
    pub(crate) fn encode(self, length: usize, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let end: &[u8] = match self {
            Self::Lines => b"\n",
            Self::Nats => {
                out.extend_from_slice(format!("PUB room {length}\r\n").as_bytes());
                b"\r\n"
            }
            Self::Redis => {
                let head = format!("*3\r\n$7\r\nPUBLISH\r\n$4\r\nroom\r\n${length}\r\n");
                out.extend_from_slice(head.as_bytes());
                b"\r\n"
            }
        };
        write(out);
        out.extend_from_slice(end);
    }

    /// Takes the next message off `input`; none if it is not complete yet.
    pub(crate) fn decode<'a>(self, input: &mut &'a [u8]) -> Option<Received<'a>> {
        let (message, length) = match self {
            Self::Lines => {
                let line = lf_line(input)?;
                (Received::Line(line), line.len() + 1)
            }
            Self::Nats => decode_nats(input)?,
            Self::Redis => decode_redis(input)?,
        };
        *input = &input[length..];
        Some(message)
    }
}

/// Returns the bytes before the first LF.
fn lf_line(input: &[u8]) -> Option<&[u8]> {
    memchr(b'\n', input).map(|end| &input[..end])
}

/// Returns the bytes before the first CR LF, and their length with the CR LF.
fn crlf_line(input: &[u8]) -> Option<(&[u8], usize)> {
    let line = lf_line(input)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), line.len() + 1))
}

fn parse_number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn decode_nats(input: &[u8]) -> Option<(Received<'_>, usize)> {
    let (line, length) = crlf_line(input)?;
    if line.starts_with(b"MSG ") {
        let Some(size) = line.rsplit(|&byte| byte == b' ').next().and_then(parse_number) else {
            return Some((Received::Error(line), length));
        };
        let end = length.checked_add(size)?;
        let payload = input.get(length..end)?;
        return (input.len() >= end + 2).then_some((Received::Line(payload), end + 2));
    }
    let message = match line {
        b"PING" => Received::Ping(b"PONG\r\n"),
        b"PONG" => Received::Joined,
        _ if line.starts_with(b"-ERR") => Received::Error(line),
        _ => Received::Other,
    };
    Some((message, length))
}

fn decode_redis(input: &[u8]) -> Option<(Received<'_>, usize)> {
    let (head, length) = crlf_line(input)?;
    match head.split_first() {
        Some((b'-', _)) => Some((Received::Error(head), length)),
        Some((b'>', _)) => {
            let end = element_end(input, MAX_DEPTH)?;
            Some((decode_push(&input[length..end]).unwrap_or(Received::Other), end))
        }
        _ => Some((Received::Other, element_end(input, MAX_DEPTH)?)),
    }
}

/// Decodes the elements of a push message; none if they are not strings.
fn decode_push(elements: &[u8]) -> Option<Received<'_>> {
    let (kind, rest) = bulk_string(elements)?;
    match kind {
        b"message" => {
            let (_channel, rest) = bulk_string(rest)?;
            bulk_string(rest).map(|(payload, _)| Received::Line(payload))
        }
        b"subscribe" => Some(Received::Joined),
        _ => None,
    }
}

/// Splits off a bulk string, which has its length in front; returns it and the rest.
fn bulk_string(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, start) = crlf_line(input)?;
    let end = start.checked_add(parse_number(head.strip_prefix(b"$")?)?)?;
    Some((input.get(start..end)?, input.get(end.checked_add(2)?..)?))
}

/// Returns where the element at the start of `input` ends; none if it is not complete yet.
fn element_end(input: &[u8], depth: usize) -> Option<usize> {
    let (head, mut end) = crlf_line(input)?;
    let (kind, digits) = head.split_first()?;
    // Without a length, or with that of a null, the element is this line alone.
    let count = parse_number(digits).unwrap_or(0);
    let elements = match kind {
        b'$' | b'=' | b'!' if digits != b"-1" => {
            let end = end.checked_add(count)?.checked_add(2)?;
            return (input.len() >= end).then_some(end);
        }
        b'*' | b'~' | b'>' => count,
        b'%' => count.checked_mul(2)?,
        _ => 0,
    };
    if elements > 0 && depth == 0 {
        return Some(end);
    }
    for _ in 0..elements {
        end += element_end(input.get(end..)?, depth - 1)?;
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `input` whole, then byte by byte, and checks that both give the same messages.
    fn decode_all(protocol: Protocol, input: &[u8]) -> Vec<Received<'_>> {
        let mut rest = input;
        let whole = std::iter::from_fn(|| protocol.decode(&mut rest)).collect::<Vec<_>>();
        assert!(rest.is_empty(), "{:?} remains", String::from_utf8_lossy(rest));
        let mut start = 0;
        let mut count = 0;
        for end in 0..=input.len() {
            let mut rest = &input[start..end];
            while let Some(message) = protocol.decode(&mut rest) {
                assert_eq!(message, whole[count]);
                count += 1;
            }
            start = end - rest.len();
        }
        assert_eq!(count, whole.len());
        whole
    }

    #[test]
    fn lines_are_separated_by_line_ends() {
        let lines = decode_all(Protocol::Lines, b"one\n\nthree\n");
        assert_eq!(lines, [Received::Line(b"one"), Received::Line(b""), Received::Line(b"three")]);
    }

    #[test]
    fn nats_messages_have_a_length_and_pings_need_a_reply() {
        let input =
            b"INFO {\"server_id\":\"x\"}\r\nPONG\r\nMSG room 1 5\r\na\r\nb!\r\nPING\r\n-ERR 'slow'\r\n";
        let all = decode_all(Protocol::Nats, input);
        assert_eq!(
            all,
            [
                Received::Other,
                Received::Joined,
                Received::Line(b"a\r\nb!"),
                Received::Ping(b"PONG\r\n"),
                Received::Error(b"-ERR 'slow'"),
            ]
        );
    }

    #[test]
    fn redis_pushes_and_replies_of_any_form_are_decoded() {
        let input = b"%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nmodules\r\n*0\r\n\
            >3\r\n$9\r\nsubscribe\r\n$4\r\nroom\r\n:1\r\n\
            >3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$4\r\na\r\nb\r\n:1000\r\n_\r\n-ERR no\r\n";
        let all = decode_all(Protocol::Redis, input);
        assert_eq!(
            all,
            [
                Received::Other,
                Received::Joined,
                Received::Line(b"a\r\nb"),
                Received::Other,
                Received::Other,
                Received::Error(b"-ERR no"),
            ]
        );
    }

    #[test]
    fn an_unknown_push_message_is_skipped() {
        for push in [">0\r\n", ">1\r\n+x\r\n", ">1\r\n$7\r\nmessage\r\n", ">2\r\n$4\r\nnews\r\n:1\r\n"] {
            assert_eq!(decode_all(Protocol::Redis, push.as_bytes()), [Received::Other], "{push:?}");
        }
        // The string's end has not arrived yet.
        let mut input = &b">0\r\n$7\r\nmessage"[..];
        assert_eq!(Protocol::Redis.decode(&mut input), Some(Received::Other));
        assert_eq!(Protocol::Redis.decode(&mut input), None);
    }

    #[test]
    fn each_protocol_encodes_a_line_in_its_form() {
        for (protocol, encoded) in [
            (Protocol::Lines, "hi\n"),
            (Protocol::Nats, "PUB room 2\r\nhi\r\n"),
            (Protocol::Redis, "*3\r\n$7\r\nPUBLISH\r\n$4\r\nroom\r\n$2\r\nhi\r\n"),
        ] {
            let mut out = Vec::new();
            protocol.encode(2, &mut out, |out| out.extend_from_slice(b"hi"));
            assert_eq!(String::from_utf8_lossy(&out), encoded);
        }
    }
}
