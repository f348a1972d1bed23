//! The step in which a newcomer sends the password: bytes in, a first line out.

use crate::net::password::MAX_LENGTH;
use crate::util::buffer::Buffer;
use crate::wire::line_decoder::{Decoded, LineDecoder, LineRules};
use crate::wire::other_protocol::OtherProtocol;

/// How the first line is decoded: telnet commands are removed also in a raw room, where a password could not be typed
/// otherwise.
const RULES: LineRules = LineRules { max_line: MAX_LENGTH, raw: false };

/// What a newcomer sent instead of, or as, the password.
#[derive(Debug, PartialEq, Eq)]
pub enum FirstLine {
    /// The first line, without its line end.
    Line(Vec<u8>),
    /// More than any password has.
    TooLong,
    /// The opening of another protocol.
    OtherProtocol(OtherProtocol),
}

/// Reads the first line of a newcomer.
#[derive(Debug, Default)]
pub struct PasswordStep {
    decoder: LineDecoder,
}

impl PasswordStep {
    /// Takes bytes up to the end of the first line from `input`, and appends telnet replies to `replies`. Returns
    /// `None` if the line is not complete; then `input` is empty.
    pub fn push(&mut self, input: &mut &[u8], replies: &mut Vec<u8>) -> Option<FirstLine> {
        let mut scratch = Buffer::default();
        while let Some(decoded) = self.decoder.next(&RULES, input, &mut scratch) {
            if let Some(first) = first_line(decoded, replies) {
                return Some(first);
            }
        }
        None
    }

    /// Whether whole lines are held that may be the opening of another protocol.
    pub fn is_holding_lines(&self) -> bool {
        self.decoder.is_holding_lines()
    }

    /// After the end of input, or if nothing follows for a while (`is_end` = false): what has arrived may be a first
    /// line.
    pub fn finish(&mut self, is_end: bool) -> Option<FirstLine> {
        let mut replies = Vec::new();
        if let Some(decoded) = self.decoder.decide_opening(&RULES) {
            return first_line(decoded, &mut replies);
        }
        let mut scratch = Buffer::default();
        if self.decoder.has_held_lines() {
            return self.push(&mut &[][..], &mut replies);
        }
        let decoded = is_end.then(|| self.decoder.finish(&RULES, &mut scratch)).flatten();
        decoded.and_then(|decoded| first_line(decoded, &mut replies))
    }
}

fn first_line(decoded: Decoded<'_>, replies: &mut Vec<u8>) -> Option<FirstLine> {
    match decoded {
        Decoded::Line(line) => Some(FirstLine::Line(line.to_vec())),
        Decoded::TooLong => Some(FirstLine::TooLong),
        Decoded::OtherProtocol(protocol) => Some(FirstLine::OtherProtocol(protocol)),
        Decoded::TelnetReply(reply) => {
            replies.extend_from_slice(&reply);
            None
        }
        Decoded::Discarded => None,
    }
}

/// Whether a newcomer can send this password: as a line it must arrive as it is, and must not be the opening of
/// another protocol.
pub fn can_be_sent(password: &[u8]) -> bool {
    let mut step = PasswordStep::default();
    let line = [password, b"\n"].concat();
    let mut input = &line[..];
    let mut replies = Vec::new();
    step.push(&mut input, &mut replies) == Some(FirstLine::Line(password.to_vec()))
        && input.is_empty()
        && replies.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds `bytes` in pieces of `size`; returns the first line, the replies and what is left.
    fn run(bytes: &[u8], size: usize, has_ended: bool) -> (Option<FirstLine>, Vec<u8>, Vec<u8>) {
        let mut step = PasswordStep::default();
        let mut replies = Vec::new();
        for (index, piece) in bytes.chunks(size).enumerate() {
            let mut input = piece;
            if let Some(first) = step.push(&mut input, &mut replies) {
                let left = [input, &bytes[(index * size + piece.len())..]].concat();
                return (Some(first), replies, left);
            }
            assert_eq!(input, b"", "all of an unfinished line is taken");
        }
        (step.finish(has_ended), replies, Vec::new())
    }

    #[test]
    fn the_first_line_is_the_password_and_what_follows_is_left_wherever_the_bytes_are_cut() {
        let line = |text: &str| Some(FirstLine::Line(text.into()));
        let cases: [(&[u8], Option<FirstLine>, &[u8]); 9] = [
            (b"secret\nhi\nho", line("secret"), b"hi\nho"),
            (b"secret\r\nhi\n", line("secret"), b"hi\n"),
            (b"secret\r\0hi\n", line("secret"), b"hi\n"),
            (b"secret", line("secret"), b""),
            (b"", None, b""),
            (b"se\xff\xfd\x03cret\r\nhi", line("secret"), b"hi"),
            ("pąßwörd ⚿\n".as_bytes(), line("pąßwörd ⚿"), b""),
            (b"\nsecret\n", line(""), b"secret\n"),
            (b"GET / HTTP/1.1\r\n", Some(FirstLine::OtherProtocol(OtherProtocol::Http)), b""),
        ];
        for (bytes, first, left) in cases {
            for size in 1..=bytes.len().max(1) {
                let result = run(bytes, size, true);
                if first == line("") {
                    // The rest may be held with the empty line, which is no password in any case.
                    assert_eq!(result.0, first, "{bytes:?} in pieces of {size}");
                } else {
                    assert_eq!((&result.0, &result.2[..]), (&first, left), "{bytes:?} in pieces of {size}");
                }
            }
        }
    }

    #[test]
    fn telnet_commands_are_answered_and_are_no_part_of_the_password() {
        let (first, replies, _) = run(b"\xff\xfd\x03secret\n", 1, false);
        assert_eq!((first, &replies[..]), (Some(FirstLine::Line(b"secret".into())), &b"\xff\xfc\x03"[..]));
    }

    #[test]
    fn a_first_line_that_is_longer_than_any_password_is_refused_before_its_end() {
        let mut step = PasswordStep::default();
        let long = vec![b'x'; MAX_LENGTH + 2];
        assert_eq!(step.push(&mut &long[..], &mut Vec::new()), Some(FirstLine::TooLong));
    }

    #[test]
    fn a_password_that_could_not_arrive_is_known_beforehand() {
        for (password, can) in [
            ("secret", true),
            ("correct horse battery staple", true),
            ("NICKELODEON", true),
            ("pąßwörd", true),
            ("", false),
            ("PASS x", false),
            ("NICK bob", false),
            ("GET / HTTP/1.1", false),
            ("two\nlines", false),
            ("ends with CR\r", false),
        ] {
            assert_eq!(can_be_sent(password.as_bytes()), can, "{password}");
        }
        assert!(!can_be_sent(b"\xff\xf9"));
        assert!(!can_be_sent(&[b'x'; MAX_LENGTH + 1]));
    }

    proptest! {
        #[test]
        fn any_password_that_can_be_sent_arrives_in_pieces_with_trailing_bytes(
            password in proptest::collection::vec(any::<u8>(), 1..40),
            trailing in proptest::collection::vec(any::<u8>(), 0..20),
            size in 1usize..8,
        ) {
            prop_assume!(can_be_sent(&password));
            let bytes = [&password[..], b"\n", &trailing].concat();
            let (first, _, left) = run(&bytes, size, false);
            prop_assert_eq!(first, Some(FirstLine::Line(password)));
            prop_assert_eq!(left, trailing);
        }

        #[test]
        fn any_bytes_are_taken_whole_or_in_pieces_with_the_same_result(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
            size in 1usize..8,
        ) {
            let whole = run(&bytes, bytes.len().max(1), true);
            let pieces = run(&bytes, size, true);
            prop_assert_eq!(whole.0, pieces.0);
            prop_assert_eq!(whole.1, pieces.1);
        }
    }
}
