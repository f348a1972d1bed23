//! How a line is sent and heard: as it is, or in the words of a message broker.

use memchr::memchr;

/// What servers are spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Lines that end at LF: hubbub and what is like it.
    Lines,
    /// The client protocol of NATS, on one subject:
    /// <https://docs.nats.io/reference/reference-protocols/nats-protocol>.
    Nats,
    /// Redis publish and subscribe, on one channel, in RESP3, which lets one connection do both:
    /// <https://redis.io/docs/latest/develop/reference/protocol-spec/>.
    Redis,
}

/// What a server told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told<'a> {
    /// A line, without its end.
    Line(&'a [u8]),
    /// That we hear from now on.
    Joined,
    /// Something to be answered with this.
    Asked(&'static [u8]),
    /// That something is wrong.
    Refused(&'a [u8]),
    /// Nothing that matters here.
    Other,
}

/// How deep a broker's answer may nest: more is no answer to what was asked.
const DEEPEST: usize = 8;

impl Protocol {
    pub(crate) const ALL: [Self; 3] = [Self::Lines, Self::Nats, Self::Redis];

    /// The name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Nats => "nats",
            Self::Redis => "redis",
        }
    }

    /// What is sent first, to hear everything.
    pub(crate) const fn hello(self) -> &'static [u8] {
        match self {
            Self::Lines => b"",
            Self::Nats => {
                b"CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false}\r\nSUB room 1\r\nPING\r\n"
            }
            Self::Redis => b"HELLO 3\r\nSUBSCRIBE room\r\n",
        }
    }

    /// Whether the server tells a sender its own lines, and cannot be asked not to.
    pub(crate) const fn echoes(self) -> bool {
        matches!(self, Self::Redis)
    }

    /// Appends what says a line, which `write` appends without its end, `length` bytes.
    pub(crate) fn say(self, length: usize, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
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

    /// Takes what was told next off `input`, or nothing where that is not all there yet.
    pub(crate) fn next<'a>(self, input: &mut &'a [u8]) -> Option<Told<'a>> {
        let (told, length) = match self {
            Self::Lines => {
                let line = line(input)?;
                (Told::Line(line), line.len() + 1)
            }
            Self::Nats => nats(input)?,
            Self::Redis => redis(input)?,
        };
        *input = &input[length..];
        Some(told)
    }
}

/// What stands before the first LF.
fn line(input: &[u8]) -> Option<&[u8]> {
    memchr(b'\n', input).map(|end| &input[..end])
}

/// What stands before the first CR LF, and its length with them.
fn control_line(input: &[u8]) -> Option<(&[u8], usize)> {
    let line = line(input)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), line.len() + 1))
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn nats(input: &[u8]) -> Option<(Told<'_>, usize)> {
    let (line, length) = control_line(input)?;
    if line.starts_with(b"MSG ") {
        let Some(size) = line.rsplit(|&byte| byte == b' ').next().and_then(number) else {
            return Some((Told::Refused(line), length));
        };
        let end = length.checked_add(size)?;
        let payload = input.get(length..end)?;
        return (input.len() >= end + 2).then_some((Told::Line(payload), end + 2));
    }
    let told = match line {
        b"PING" => Told::Asked(b"PONG\r\n"),
        b"PONG" => Told::Joined,
        _ if line.starts_with(b"-ERR") => Told::Refused(line),
        _ => Told::Other,
    };
    Some((told, length))
}

fn redis(input: &[u8]) -> Option<(Told<'_>, usize)> {
    let (head, length) = control_line(input)?;
    match head.split_first() {
        Some((b'-', _)) => Some((Told::Refused(head), length)),
        Some((b'>', _)) => {
            let end = element_end(input, DEEPEST)?;
            Some((pushed(&input[length..end]).unwrap_or(Told::Other), end))
        }
        _ => Some((Told::Other, element_end(input, DEEPEST)?)),
    }
}

/// What the elements of a push tell, where they are strings as they should be.
fn pushed(elements: &[u8]) -> Option<Told<'_>> {
    let (kind, rest) = bulk(elements)?;
    match kind {
        b"message" => {
            let (_channel, rest) = bulk(rest)?;
            bulk(rest).map(|(payload, _)| Told::Line(payload))
        }
        b"subscribe" => Some(Told::Joined),
        _ => None,
    }
}

/// A string with its length before it, and what follows.
fn bulk(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, start) = control_line(input)?;
    let end = start.checked_add(number(head.strip_prefix(b"$")?)?)?;
    Some((input.get(start..end)?, input.get(end.checked_add(2)?..)?))
}

/// Where the element at the start of `input` ends, if all of it is there.
fn element_end(input: &[u8], depth: usize) -> Option<usize> {
    let (head, mut end) = control_line(input)?;
    let (kind, digits) = head.split_first()?;
    // No length, or a null's: the line is all of it.
    let count = number(digits).unwrap_or(0);
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

    /// All that is told by `input`, when it arrives whole and when it arrives byte by byte.
    fn told(protocol: Protocol, input: &[u8]) -> Vec<Told<'_>> {
        let mut rest = input;
        let whole = std::iter::from_fn(|| protocol.next(&mut rest)).collect::<Vec<_>>();
        assert!(rest.is_empty(), "{:?} is left", String::from_utf8_lossy(rest));
        let mut start = 0;
        let mut pieces = 0;
        for end in 0..=input.len() {
            let mut rest = &input[start..end];
            while let Some(told) = protocol.next(&mut rest) {
                assert_eq!(told, whole[pieces]);
                pieces += 1;
            }
            start = end - rest.len();
        }
        assert_eq!(pieces, whole.len());
        whole
    }

    #[test]
    fn lines_are_what_stands_between_line_ends() {
        let lines = told(Protocol::Lines, b"one\n\nthree\n");
        assert_eq!(lines, [Told::Line(b"one"), Told::Line(b""), Told::Line(b"three")]);
    }

    #[test]
    fn nats_tells_messages_of_a_given_length_and_asks_whether_we_are_there() {
        let input =
            b"INFO {\"server_id\":\"x\"}\r\nPONG\r\nMSG room 1 5\r\na\r\nb!\r\nPING\r\n-ERR 'slow'\r\n";
        let all = told(Protocol::Nats, input);
        assert_eq!(
            all,
            [
                Told::Other,
                Told::Joined,
                Told::Line(b"a\r\nb!"),
                Told::Asked(b"PONG\r\n"),
                Told::Refused(b"-ERR 'slow'"),
            ]
        );
    }

    #[test]
    fn redis_tells_pushes_and_answers_of_any_shape() {
        let input = b"%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nmodules\r\n*0\r\n\
            >3\r\n$9\r\nsubscribe\r\n$4\r\nroom\r\n:1\r\n\
            >3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$4\r\na\r\nb\r\n:1000\r\n_\r\n-ERR no\r\n";
        let all = told(Protocol::Redis, input);
        assert_eq!(
            all,
            [
                Told::Other,
                Told::Joined,
                Told::Line(b"a\r\nb"),
                Told::Other,
                Told::Other,
                Told::Refused(b"-ERR no"),
            ]
        );
    }

    #[test]
    fn a_push_that_is_none_of_ours_is_passed_over() {
        for push in [">0\r\n", ">1\r\n+x\r\n", ">1\r\n$7\r\nmessage\r\n", ">2\r\n$4\r\nnews\r\n:1\r\n"] {
            assert_eq!(told(Protocol::Redis, push.as_bytes()), [Told::Other], "{push:?}");
        }
        // What would be a string goes on beyond the end of what is there.
        let mut input = &b">0\r\n$7\r\nmessage"[..];
        assert_eq!(Protocol::Redis.next(&mut input), Some(Told::Other));
        assert_eq!(Protocol::Redis.next(&mut input), None);
    }

    #[test]
    fn a_line_is_said_in_the_words_of_each() {
        for (protocol, said) in [
            (Protocol::Lines, "hi\n"),
            (Protocol::Nats, "PUB room 2\r\nhi\r\n"),
            (Protocol::Redis, "*3\r\n$7\r\nPUBLISH\r\n$4\r\nroom\r\n$2\r\nhi\r\n"),
        ] {
            let mut out = Vec::new();
            protocol.say(2, &mut out, |out| out.extend_from_slice(b"hi"));
            assert_eq!(String::from_utf8_lossy(&out), said);
        }
    }
}
