//! The line decoder with its input whole, byte by byte and in random pieces, against a naive twin.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::twin::*;
use hubbub::util::buffer::Buffer;
use hubbub::wire::escape;
use hubbub::wire::line_decoder::{LineDecoder, LineOverLimit, LineRules, OtherProtocol};
use hubbub::wire::opening::MAX_OPENING;
use proptest::prelude::*;
use std::borrow::Cow;

fn line(text: impl AsRef<[u8]>) -> Yielded {
    Yielded::Line(text.as_ref().to_vec())
}

/// A step of a client's input.
#[derive(Debug, Clone)]
enum Step {
    /// The server reads these bytes at once.
    Read(Vec<u8>),
    /// The flush time has passed, so that an unfinished line becomes a message.
    Flush,
    /// The same, and the rest of the line is not to be sent.
    FlushAndDiscard,
    /// The input ends without a reset.
    Finish,
}

/// Returns what the line decoder yields for `steps`. Nothing follows another protocol.
#[track_caller]
fn decode(rules: LineRules, steps: &[Step]) -> Vec<Yielded> {
    let (mut decoder, mut yielded, mut scratch) = (LineDecoder::default(), Vec::new(), Buffer::default());
    let most = MAX_OPENING.max(rules.max_line + 1);
    for step in steps {
        match step {
            Step::Flush | Step::FlushAndDiscard => {
                yielded.extend(decoder.flush(&rules, &mut scratch).map(Yielded::from));
                if matches!(step, Step::FlushAndDiscard) {
                    decoder.discard_rest();
                }
            }
            Step::Finish => {
                while let Some(item) = decoder.finish(&rules, &mut scratch) {
                    yielded.push(item.into());
                }
            }
            Step::Read(bytes) => {
                let mut input = bytes.as_slice();
                while let Some(item) = decoder.next(&rules, &mut input, &mut scratch) {
                    yielded.push(item.into());
                    assert!(decoder.held() <= most, "{} bytes stored", decoder.held());
                    if matches!(yielded.last(), Some(Yielded::OtherProtocol(_))) {
                        return yielded;
                    }
                }
                assert!(input.is_empty(), "{} bytes of the input remain", input.len());
            }
        }
        if matches!(yielded.last(), Some(Yielded::OtherProtocol(_))) {
            return yielded;
        }
        assert!(decoder.held() <= most, "{} bytes stored", decoder.held());
    }
    yielded
}

/// Returns what the twin yields for `steps`. Nothing follows another protocol.
fn decode_by_twin(rules: LineRules, steps: &[Step]) -> Vec<Yielded> {
    let (mut twin, mut yielded) = (Twin::new(rules), Vec::new());
    for step in steps {
        match step {
            Step::Flush => twin.flush(),
            Step::FlushAndDiscard => {
                twin.flush();
                twin.discard_rest();
            }
            Step::Finish => twin.finish(),
            Step::Read(bytes) => bytes.iter().for_each(|&byte| twin.byte(byte)),
        }
        yielded.extend(twin.take());
        if matches!(yielded.last(), Some(Yielded::OtherProtocol(_))) {
            break;
        }
    }
    yielded
}

const fn rules(max_line: usize) -> LineRules {
    LineRules { max_line, raw: false }
}

const RAW: LineRules = LineRules { max_line: 8, raw: true };

/// Asserts that `input` and its end yield `expected`: whole, byte by byte, split at any byte, and for the twin.
#[track_caller]
fn expect_decoded(rules: LineRules, input: &[u8], expected: &[Yielded]) {
    let split_at = |at: usize| [read(&input[..at]), read(&input[at..]), Step::Finish];
    let byte_by_byte = input.chunks(1).map(read).chain([Step::Finish]).collect::<Vec<_>>();
    assert_eq!(decode_by_twin(rules, &split_at(0)), expected, "the twin");
    assert_eq!(decode(rules, &byte_by_byte), expected, "byte by byte");
    for at in 0..=input.len() {
        assert_eq!(decode(rules, &split_at(at)), expected, "split after {at} of {} bytes", input.len());
    }
}

fn read(bytes: &[u8]) -> Step {
    Step::Read(bytes.to_vec())
}

#[test]
fn a_line_ends_at_lf_cr_lf_or_cr_nul_and_a_lone_cr_or_nul_is_text() {
    expect_decoded(rules(8), b"one\ntwo\r\nthree\r\0", &[line("one"), line("two"), line("three")]);
    expect_decoded(rules(8), b"\n\r\n\r\0", &[line(""), line(""), line("")]);
    expect_decoded(rules(8), b"a\rb\r\r\n\0c\0\n", &[line("a\rb\r"), line("\0c\0")]);
    expect_decoded(rules(8), b"a\n\0b\n", &[line("a"), line("\0b")]);
}

#[test]
fn an_unfinished_line_at_the_end_of_input_is_a_line_unless_it_is_empty() {
    expect_decoded(rules(8), b"", &[]);
    expect_decoded(rules(8), b"hi\n", &[line("hi")]);
    expect_decoded(rules(8), b"hi\nyou", &[line("hi"), line("you")]);
    expect_decoded(rules(8), b"hi\xFF", &[line(b"hi\xFF")]);
    expect_decoded(rules(8), b"hi\r", &[line("hi\r")]);
    expect_decoded(rules(8), b"hi\xFF\xFA\x18", &[line("hi")]);
}

#[test]
fn an_unfinished_line_over_the_limit_is_refused_at_the_end_of_input_even_if_it_ends_in_cr() {
    expect_decoded(rules(8), b"12345678", &[line("12345678")]);
    expect_decoded(rules(8), b"1234567\r", &[line("1234567\r")]);
    expect_decoded(rules(8), b"123456789", &[Yielded::TooLong]);
    expect_decoded(rules(8), b"12345678\r", &[Yielded::TooLong]);
    expect_decoded(rules(8), b"12345678\xFF", &[Yielded::TooLong]);
    expect_decoded(rules(1), b"\x16\x03", &[Yielded::TooLong]);
}

#[test]
fn a_line_at_the_limit_is_accepted_and_one_byte_more_is_refused_with_each_line_end() {
    for limit in [1, 2, 8, 63, 64, 65] {
        for end in [&b"\n"[..], b"\r\n", b"\r\0"] {
            for next in [&b""[..], b"n", b"next"] {
                let at_limit = [&vec![b'x'; limit], end, next].concat();
                let over = [&vec![b'x'; limit + 1], end, next].concat();
                let next = match next.len() {
                    0 => None,
                    length if length > limit => Some(Yielded::TooLong),
                    _ => Some(line(next)),
                };
                let with_next = |first: Yielded| [first].into_iter().chain(next.clone()).collect::<Vec<_>>();
                expect_decoded(rules(limit), &at_limit, &with_next(line(vec![b'x'; limit])));
                expect_decoded(rules(limit), &over, &with_next(Yielded::TooLong));
            }
        }
    }
}

#[test]
fn a_cr_counts_as_a_byte_of_the_line_unless_it_ends_the_line() {
    expect_decoded(rules(4), b"123\r\r\nx\n", &[line("123\r"), line("x")]);
    expect_decoded(rules(4), b"1234\r\r\nx\n", &[Yielded::TooLong, line("x")]);
    expect_decoded(rules(4), b"1234\rx\nx\n", &[Yielded::TooLong, line("x")]);
    expect_decoded(rules(4), b"1234\r\xFF\xF1\nx\n", &[line("1234"), line("x")]);
}

#[test]
fn a_line_far_over_the_limit_is_refused_once_and_skipped_to_its_line_end() {
    for end in [&b"\n"[..], b"\r\n", b"\r\0"] {
        let input = [&[b'x'; 100][..], b"\0\rxx\xFF\xFF", end, b"next\n"].concat();
        expect_decoded(rules(8), &input, &[Yielded::TooLong, line("next")]);
    }
    expect_decoded(rules(2), b"xxx\nyyy\nz\n", &[Yielded::TooLong, Yielded::TooLong, line("z")]);
}

#[test]
fn telnet_commands_are_removed_from_the_middle_and_the_end_of_a_line() {
    expect_decoded(rules(8), &[b'a', IAC, NOP, b'b', b'\n'], &[line("ab")]);
    expect_decoded(
        rules(8),
        &[b'a', b'\r', IAC, NOP, b'\n', b'b', b'\r', IAC, NOP, 0],
        &[line("a"), line("b")],
    );
    expect_decoded(rules(8), &[IAC, DONT, 1, IAC, WONT, 10, b'a', b'\n'], &[line("a")]);
    expect_decoded(rules(8), &[IAC, SB, 24, 0, b'\n', IAC, IAC, b'\r', IAC, SE, b'a', b'\n'], &[line("a")]);
    expect_decoded(rules(8), &[IAC, SE, b'a', b'\n'], &[line("a")]);
}

#[test]
fn a_doubled_iac_and_an_iac_without_a_command_are_text() {
    expect_decoded(rules(8), b"a\xFF\xFFb\n", &[line(b"a\xFFb")]);
    expect_decoded(rules(8), b"a\xFFb\n", &[line(b"a\xFFb")]);
    expect_decoded(rules(8), b"\xFF\n\xFF\r\n", &[line(b"\xFF"), line(b"\xFF")]);
    expect_decoded(rules(8), &[IAC, 235, IAC, 236, b'\n'], &[line([IAC, 235])]);
    expect_decoded(rules(1), b"\xFF\xFF\nx\xFF\xFF\n", &[line(b"\xFF"), Yielded::TooLong]);
}

#[test]
fn each_option_is_refused_once_and_a_timing_mark_every_time() {
    let mut asked = vec![b'a'];
    let mut expected = Vec::new();
    for option in 0..=255 {
        asked.extend([IAC, DO, option, IAC, WILL, option]);
        expected
            .extend([Yielded::TelnetReply([IAC, WONT, option]), Yielded::TelnetReply([IAC, DONT, option])]);
    }
    for option in 0..=255 {
        asked.extend([IAC, WILL, option, IAC, DO, option]);
    }
    expected.extend([Yielded::TelnetReply([IAC, WONT, TIMING_MARK]), line("a")]);
    asked.push(b'\n');
    let steps = [read(&asked), Step::Finish];
    assert_eq!(decode(rules(8), &steps), expected);
    assert_eq!(decode_by_twin(rules(8), &steps), expected);
}

#[test]
fn a_subnegotiation_over_the_limit_refuses_its_line_and_ends_there_however_it_arrives() {
    let at_limit = [b"a", &[IAC, SB][..], b"1234567\n", &[IAC, SE], b"b\n"].concat();
    expect_decoded(rules(8), &at_limit, &[line("ab")]);
    let over = [b"a", &[IAC, SB][..], b"123456789\nnext\n"].concat();
    expect_decoded(rules(8), &over, &[Yielded::TooLong, line("next")]);
    let over = [&[IAC, SB][..], b"123456789", &[IAC, DO, 1], b"rest\nnext\n"].concat();
    expect_decoded(rules(8), &over, &[Yielded::TooLong, Yielded::TelnetReply([IAC, WONT, 1]), line("next")]);
    let doubled = [&[IAC, SB][..], b"1234567", &[IAC, IAC], b"rest\nnext\n"].concat();
    expect_decoded(rules(8), &doubled, &[Yielded::TooLong, line("next")]);
    let in_a_refused_line = [b"123456789", &[IAC, SB][..], b"1234567890\nnext\n"].concat();
    expect_decoded(rules(8), &in_a_refused_line, &[Yielded::TooLong, line("next")]);
}

#[test]
fn another_protocol_is_detected_by_the_first_bytes_or_the_first_line_and_never_later() {
    for version in 0..=4 {
        expect_decoded(
            rules(8),
            &[0x16, 3, version, 1, 0, b'\n'],
            &[Yielded::OtherProtocol(OtherProtocol::Tls)],
        );
    }
    expect_decoded(rules(1), b"\x16\x03\x01", &[Yielded::OtherProtocol(OtherProtocol::Tls)]);
    expect_decoded(rules(8), b"\x16\x03\x05\n", &[line(b"\x16\x03\x05")]);
    expect_decoded(rules(8), b"\x16\n\x16\x03\x01\n", &[line(b"\x16"), line(b"\x16\x03\x01")]);
    expect_decoded(
        rules(64),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[Yielded::OtherProtocol(OtherProtocol::Http)],
    );
    expect_decoded(rules(64), b"GET / HTTP/1.1", &[Yielded::OtherProtocol(OtherProtocol::Http)]);
    expect_decoded(rules(64), b"SSH-2.0-OpenSSH_9.2\r\n", &[Yielded::OtherProtocol(OtherProtocol::Ssh)]);
    expect_decoded(rules(64), b"hi\nGET / HTTP/1.1\n", &[line("hi"), line("GET / HTTP/1.1")]);
    expect_decoded(rules(64), b"GET out\n", &[line("GET out")]);
    expect_decoded(
        rules(8),
        b"GET /aaaaaaaa HTTP/1.1\r\nHost: x\r\n",
        &[Yielded::OtherProtocol(OtherProtocol::Http)],
    );
    expect_decoded(rules(9), b"SSH-2.0-OpenSSH_9.2\r\nmore\n", &[Yielded::OtherProtocol(OtherProtocol::Ssh)]);
    expect_decoded(rules(8), b"GET out of here\nnext\n", &[Yielded::TooLong, line("next")]);
    expect_decoded(rules(8), b"hi\nGET /aaaaaaaa HTTP/1.1\n", &[line("hi"), Yielded::TooLong]);
}

#[test]
fn raw_ends_lines_at_lf_alone_and_detects_http_alone() {
    expect_decoded(RAW, b"a\r\n\r\0\n\xFF\xFD\x06\n", &[line("a\r"), line("\r\0"), line(b"\xFF\xFD\x06")]);
    expect_decoded(RAW, b"\x16\x03\x01\nGET", &[line(b"\x16\x03\x01"), line("GET")]);
    expect_decoded(RAW, b"1234567\r\n12345678\r\nx\r", &[line("1234567\r"), Yielded::TooLong, line("x\r")]);
    let long = LineRules { max_line: 64, raw: true };
    let http = [Yielded::OtherProtocol(OtherProtocol::Http)];
    expect_decoded(long, b"GET / HTTP/1.1\r\nHost: x\r\n", &http);
    expect_decoded(long, b"\r\nGET / HTTP/1.1\r\n", &http);
    expect_decoded(RAW, b"GET /aaaaaaaa HTTP/1.1\r\n", &http);
    expect_decoded(long, b"\r\nGET out\r\n", &[line("\r"), line("GET out\r")]);
    for text in ["SSH-2.0-x", "PASS x", "EHLO x", "NICK x\nUSER x 0 * :x", "\r\n\r\n\0\r\nQUIT", "\x05\x01\0"]
    {
        let lines = text.split('\n').map(line).collect::<Vec<_>>();
        expect_decoded(long, text.as_bytes(), &lines);
    }
}

#[test]
fn an_opening_of_several_lines_is_refused_whole_and_its_lines_are_lines_if_something_else_follows() {
    let rules = rules(64);
    let refused = |protocol| [Yielded::OtherProtocol(protocol)];
    expect_decoded(rules, b"NICK bob\r\nUSER bob 0 * :Bob\r\n", &refused(OtherProtocol::Irc));
    expect_decoded(rules, b"NICK bob\r\nUSER bob 0 * :Bob", &refused(OtherProtocol::Irc));
    expect_decoded(rules, b"USER a b c :d e\nNICK bob\n", &refused(OtherProtocol::Irc));
    expect_decoded(rules, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C\n", &refused(OtherProtocol::Proxy));
    expect_decoded(rules, b"\r\n\nGET / HTTP/1.1\r\n", &refused(OtherProtocol::Http));
    expect_decoded(rules, b"\nGET / HTTP/1.1", &refused(OtherProtocol::Http));
    expect_decoded(rules, b"NICK bob\n", &[line("NICK bob")]);
    expect_decoded(rules, b"NICK bob\r\nhi\r\n", &[line("NICK bob"), line("hi")]);
    expect_decoded(rules, b"NICK bob\nNICK rob\n", &[line("NICK bob"), line("NICK rob")]);
    expect_decoded(rules, b"NICK bob\nUSERS here\n", &[line("NICK bob"), line("USERS here")]);
    expect_decoded(rules, b"\r\n\r\n\0\r\nQUIT it\n", &[line(""), line(""), line("\0"), line("QUIT it")]);
    expect_decoded(rules, b"\n\r\nGET out\n", &[line(""), line(""), line("GET out")]);
    expect_decoded(rules, b"\n\xFF\xF1hi\n", &[line(""), line("hi")]);
    expect_decoded(rules, b"\n\n", &[line(""), line("")]);
    // Only the first lines.
    expect_decoded(
        rules,
        b"hi\nNICK a\nUSER a 0 * :a\n",
        &[line("hi"), line("NICK a"), line("USER a 0 * :a")],
    );
    expect_decoded(rules, b"\nhi\nEHLO x\n", &[line(""), line("hi"), line("EHLO x")]);
}

#[test]
fn the_lines_of_an_opening_obey_the_limit_of_a_line() {
    expect_decoded(rules(6), b"NICK bob\nhi\n", &[Yielded::TooLong, line("hi")]);
    expect_decoded(rules(8), b"NICK bob\r\nhi\n", &[line("NICK bob"), line("hi")]);
    expect_decoded(rules(3), b"\nGET out\nhi\n", &[line(""), Yielded::TooLong, line("hi")]);
    expect_decoded(rules(3), b"NICKY", &[Yielded::TooLong]);
}

#[test]
fn a_line_of_an_opening_waits_for_space_and_keeps_its_place() {
    let (mut decoder, mut scratch) = (LineDecoder::default(), Buffer::default());
    let mut input = &b"\nNICK bob\nhi\n"[..];
    let mut next = |longest, input: &mut &[u8]| {
        decoder.next_within(&rules(64), longest, input, &mut scratch).map(|item| item.map(Yielded::from))
    };
    assert_eq!(next(5, &mut input), Ok(Some(line(""))));
    assert_eq!(next(7, &mut input), Err(LineOverLimit { len: 8 }));
    assert_eq!(next(8, &mut input), Ok(Some(line("NICK bob"))));
    assert_eq!(next(8, &mut input), Ok(Some(line("hi"))));
    assert_eq!(next(8, &mut input), Ok(None));
}

/// Asserts that `steps` yield `expected`, for the twin too.
#[track_caller]
fn expect_flushed(rules: LineRules, steps: &[Step], expected: &[Yielded]) {
    assert_eq!(decode_by_twin(rules, steps), expected, "the twin");
    assert_eq!(decode(rules, steps), expected);
}

#[test]
fn a_flush_makes_an_unfinished_line_a_message_unless_it_is_empty() {
    expect_flushed(rules(8), &[Step::Flush], &[]);
    expect_flushed(rules(8), &[read(b"hi\n"), Step::Flush, Step::Flush], &[line("hi")]);
    expect_flushed(rules(8), &[read(b"hi"), Step::Flush, read(b" you\n")], &[line("hi"), line(" you")]);
    expect_flushed(rules(8), &[read(b"hi"), Step::Flush, read(b"\n")], &[line("hi")]);
    expect_flushed(
        rules(8),
        &[read(b"hi"), Step::Flush, read(b"\r"), read(b"\nyou\n")],
        &[line("hi"), line("you")],
    );
    expect_flushed(rules(8), &[read(b"hi"), Step::Flush, read(b"\n\n")], &[line("hi"), line("")]);
    expect_flushed(rules(8), &[read(b"hi\xFF"), Step::Flush, read(b"\xF1!\n")], &[line("hi"), line("!")]);
    expect_flushed(RAW, &[read(b"hi\r"), Step::Flush, read(b"\n")], &[line("hi\r")]);
}

#[test]
fn a_flush_does_not_end_a_first_line_that_may_be_that_of_another_protocol() {
    for (first, rest, protocol) in [
        (&b"GE"[..], &b"T / HTTP/1.1\n"[..], OtherProtocol::Http),
        (b"GET / HT", b"TP/1.1\n", OtherProtocol::Http),
        (b"\r\nGET / HT", b"TP/1.1\n", OtherProtocol::Http),
        (b"\x16", b"\x03\x01", OtherProtocol::Tls),
        (b"SSH-2", b".0-x\n", OtherProtocol::Ssh),
        (b"NICK bob\nUS", b"ER bob 0 * :Bob\n", OtherProtocol::Irc),
        (b"EHLO", b" x\n", OtherProtocol::Smtp),
    ] {
        expect_flushed(
            rules(64),
            &[read(first), Step::Flush, Step::Flush, read(rest)],
            &[Yielded::OtherProtocol(protocol)],
        );
    }
    expect_flushed(rules(64), &[read(b"GE"), Step::Flush, read(b"orge"), Step::Flush], &[line("GEorge")]);
    expect_flushed(rules(64), &[read(b"GE"), Step::Flush, Step::Finish], &[line("GE")]);
    expect_flushed(rules(64), &[read(b"GET out of"), Step::Flush], &[line("GET out of")]);
    let steps = [read(b"hi\nGE"), Step::Flush, read(b"T")];
    expect_flushed(rules(64), &steps, &[line("hi"), line("GE")]);
}

#[test]
fn after_a_flush_at_a_cr_the_lf_or_nul_makes_no_empty_line() {
    for end in [b"\n", b"\0"] {
        let rest = [&end[..], b"you\n"].concat();
        expect_flushed(rules(8), &[read(b"hi\r"), Step::Flush, read(&rest)], &[line("hi"), line("you")]);
        let steps = [read(b"hi\r"), Step::Flush, Step::Flush, read(end), Step::Flush, read(b"\n")];
        expect_flushed(rules(8), &steps, &[line("hi"), line("")]);
    }
    let steps = [read(b"hi\r"), Step::Flush, read(b"you\n\n")];
    expect_flushed(rules(8), &steps, &[line("hi"), line("you"), line("")]);
    expect_flushed(rules(8), &[read(b"hi\r"), Step::Flush, Step::Finish], &[line("hi")]);
    expect_flushed(rules(2), &[read(b"hi\r"), Step::Flush, read(b"\nyo\n")], &[line("hi"), line("yo")]);
}

#[test]
fn telnet_between_a_flushed_cr_and_its_lf_makes_no_empty_line() {
    let steps = [read(b"hi\r"), Step::Flush, read(&[IAC, NOP]), read(b"\nyou\n")];
    expect_flushed(rules(8), &steps, &[line("hi"), line("you")]);
}

#[test]
fn a_flush_ends_a_refused_line() {
    let steps = [read(b"123456789"), Step::Flush, read(b"next\n")];
    expect_flushed(rules(8), &steps, &[Yielded::TooLong, line("next")]);
    let steps = [read(b"123456789"), Step::Flush, read(b"\nnext\n")];
    expect_flushed(rules(8), &steps, &[Yielded::TooLong, line("next")]);
}

#[test]
fn after_a_flush_the_rest_of_a_line_can_be_discarded_up_to_its_line_end() {
    let (flush, hi) = (|| Step::FlushAndDiscard, || read(b"hi"));
    let (discarded, you) = (Yielded::Discarded, || read(b"you\n"));
    for end in [&b"\n"[..], b"\r\n", b"\r\0"] {
        let rest = read(&[b" all", end].concat());
        expect_flushed(
            rules(8),
            &[hi(), flush(), rest, you()],
            &[line("hi"), discarded.clone(), line("you")],
        );
        expect_flushed(rules(8), &[hi(), flush(), read(end), you()], &[line("hi"), line("you")]);
    }
    // A pause does not end it, and each piece after a pause is reported.
    let steps = [hi(), flush(), read(b" a"), read(b"ll"), Step::Flush, Step::Flush, read(b"of it\n"), you()];
    expect_flushed(rules(8), &steps, &[line("hi"), discarded.clone(), discarded.clone(), line("you")]);
    // Nothing of it is refused as too long, and the end of input makes no line of it.
    let steps = [hi(), flush(), read(b"123456789"), Step::Finish];
    expect_flushed(rules(8), &steps, &[line("hi"), discarded.clone()]);
    let steps = [read(b"123456789"), flush(), read(b"next"), Step::Flush, read(b"\nyou\n")];
    expect_flushed(rules(8), &steps, &[Yielded::TooLong, discarded, line("you")]);
    expect_flushed(rules(8), &[read(b"hi\n"), flush(), you()], &[line("hi"), line("you")]);
}

/// Returns bytes that often mean something to the line decoder.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let option = || prop_oneof![Just(TIMING_MARK), 0..4u8, any::<u8>()];
    let verb = prop_oneof![Just(DO), Just(WILL), Just(DONT), Just(WONT)];
    let piece = prop_oneof![
        8 => prop::sample::select(vec![b"\n".to_vec(), b"\r\n".to_vec(), b"\r\0".to_vec()]),
        6 => prop::sample::select(vec![b'\r', b'\n', 0, IAC, SB, SE, DO, 0x16, 0x03, 0x01]).prop_map(|b| vec![b]),
        2 => (verb, option()).prop_map(|(verb, option)| vec![IAC, verb, option]),
        1 => Just(vec![IAC, IAC]),
        1 => Just(vec![IAC, SB]),
        1 => Just(vec![IAC, SE]),
        2 => prop::collection::vec(any::<u8>(), 0..4),
        4 => (0..30usize).prop_map(|length| vec![b'x'; length]),
        2 => "[a-zż漢🙂]{0,4}".prop_map(String::into_bytes),
    ];
    let opening = prop::sample::select(vec![
        &b""[..],
        b"\x16",
        b"\x16\x03",
        b"\x16\x03\x01",
        b"GET / HTTP/1.1",
        b"\nGET / HTTP/1.1",
        b"GET / HT",
        b"SSH-2.0-OpenSSH_9.2",
        b"NICK bob\nUSER bob 0 * :Bob",
        b"NICK bob\r\n",
        b"\r\n\r\n\0\r\n",
        b"\r\n\r\n\0\r\nQUIT\n",
        b"\n\r\n",
        b"\x10\x0D\0",
        b"*1\n$4\n",
        b"USER a b c :d",
    ]);
    let opening = prop_oneof![2 => Just(&b""[..]), 1 => opening];
    (opening, prop::collection::vec(piece, 0..40)).prop_map(|(opening, pieces)| {
        let mut input = opening.to_vec();
        pieces.iter().for_each(|piece| input.extend(piece));
        input
    })
}

fn any_rules() -> impl Strategy<Value = LineRules> {
    (prop_oneof![1..24usize, Just(64)], prop::bool::weighted(0.1))
        .prop_map(|(max_line, raw)| LineRules { max_line, raw })
}

/// Splits `input` into reads whose lengths repeat `lengths`, with a step `between` them.
fn split(mut input: &[u8], lengths: &[usize], between: impl Fn(usize) -> Option<Step>) -> Vec<Step> {
    let mut steps = Vec::new();
    for (number, &length) in lengths.iter().cycle().enumerate() {
        let (next, rest) = input.split_at(length.min(input.len()));
        steps.push(read(next));
        steps.extend(between(number));
        input = rest;
        if input.is_empty() {
            break;
        }
    }
    steps.push(Step::Finish);
    steps
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1..3usize, 1..12usize, 1..200usize], 1..12)
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_decoder_yields_what_its_twin_yields_whole_byte_by_byte_and_in_any_pieces(
        rules in any_rules(), input in input(), lengths in lengths()
    ) {
        let whole = [read(&input), Step::Finish];
        let expected = decode_by_twin(rules, &whole);
        prop_assert_eq!(decode(rules, &whole), &expected[..]);
        prop_assert_eq!(decode(rules, &split(&input, &[1], |_| None)), &expected[..]);
        prop_assert_eq!(decode(rules, &split(&input, &lengths, |_| None)), &expected[..]);
    }

    #[test]
    fn the_decoder_yields_what_its_twin_yields_with_flushes_between_the_pieces(
        rules in any_rules(), input in input(), lengths in lengths(),
        flushes in prop::collection::vec(0..4, 1..12)
    ) {
        let flush = |number: usize| match flushes[number % flushes.len()] {
            0 => Some(Step::Flush),
            1 => Some(Step::FlushAndDiscard),
            _ => None,
        };
        let steps = split(&input, &lengths, flush);
        prop_assert_eq!(decode(rules, &steps), decode_by_twin(rules, &steps));
    }

    #[test]
    fn raw_lines_are_the_bytes_between_two_lf(input in input(), lengths in lengths()) {
        let rules = LineRules { max_line: usize::MAX / 2, raw: true };
        // Not HTTP.
        let input = [b"x", &input[..]].concat();
        let mut expected = input.split(|&byte| byte == b'\n').map(line).collect::<Vec<_>>();
        expected.pop_if(|last| *last == line(""));
        prop_assert_eq!(decode(rules, &split(&input, &lengths, |_| None)), expected);
    }

    #[test]
    fn escaped_text_is_what_the_twin_escapes_one_character_at_a_time(line in text_line()) {
        let shown = escape::escape(&line);
        let expected = escape_one_by_one(&line);
        prop_assert_eq!(String::from_utf8_lossy(&shown), expected);
        prop_assert_eq!(matches!(shown, Cow::Borrowed(_)), *shown == line[..]);
        prop_assert!(shown.len() <= escape::EXPANSION * line.len());
        let shown = std::str::from_utf8(&shown).unwrap();
        prop_assert!(!shown.contains(|c: char| c.is_control() && c != '\t'));
    }
}

/// Returns text, control characters, and bytes that are nearly UTF-8.
fn text_line() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => any::<char>().prop_map(|character| character.to_string().into_bytes()),
        4 => (0..0xA2u32).prop_map(|code| char::from_u32(code).unwrap().to_string().into_bytes()),
        2 => prop::collection::vec(any::<u8>(), 0..4),
        2 => prop::collection::vec(0x7F..0xC3u8, 0..4),
        1 => Just("🙂".as_bytes()[..3].to_vec()),
        1 => Just(b"\xED\xA0\x80".to_vec()),
        2 => "[ -~]{0,80}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}
