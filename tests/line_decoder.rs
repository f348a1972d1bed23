//! The framing tested whole, byte by byte, in random pieces and against a naive twin.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::twin::*;
use hubbub::util::buffer::Buffer;
use hubbub::wire::escape;
use hubbub::wire::line_decoder::{LineDecoder, LineRules, OtherProtocol};
use proptest::prelude::*;
use std::borrow::Cow;

fn line(text: impl AsRef<[u8]>) -> Said {
    Said::Line(text.as_ref().to_vec())
}

/// What happens to a sender.
#[derive(Debug, Clone)]
enum Step {
    /// It is heard to say this, in one read.
    Reads(Vec<u8>),
    /// It has been silent for so long that its unfinished line is taken as it is.
    Flush,
    /// Its input ends cleanly.
    Finish,
}

/// What the framing says to `steps`, up to a stranger: what follows one is not read.
#[track_caller]
fn framed(rules: LineRules, steps: &[Step]) -> Vec<Said> {
    let (mut decoder, mut said, mut scratch) = (LineDecoder::default(), Vec::new(), Buffer::default());
    for step in steps {
        match step {
            Step::Flush => said.extend(decoder.flush(&rules, &mut scratch).map(Said::from)),
            Step::Finish => said.extend(decoder.finish(&rules, &mut scratch).map(Said::from)),
            Step::Reads(bytes) => {
                let mut input = bytes.as_slice();
                while let Some(event) = decoder.next(&rules, &mut input, &mut scratch) {
                    said.push(event.into());
                    assert!(decoder.held() <= rules.max_line + 1, "{} bytes held", decoder.held());
                    if matches!(said.last(), Some(Said::OtherProtocol(_))) {
                        return said;
                    }
                }
                assert!(input.is_empty(), "{} bytes of the input were left", input.len());
            }
        }
        if matches!(said.last(), Some(Said::OtherProtocol(_))) {
            return said;
        }
        assert!(decoder.held() <= rules.max_line + 1, "{} bytes held", decoder.held());
    }
    said
}

/// What the twin says to `steps`, up to a stranger.
fn twin_hears(rules: LineRules, steps: &[Step]) -> Vec<Said> {
    let (mut twin, mut said) = (Twin::new(rules), Vec::new());
    for step in steps {
        match step {
            Step::Flush => twin.flush(),
            Step::Finish => twin.finish(),
            Step::Reads(bytes) => bytes.iter().for_each(|&byte| twin.byte(byte)),
        }
        said.extend(twin.take());
        if matches!(said.last(), Some(Said::OtherProtocol(_))) {
            break;
        }
    }
    said
}

const fn rules(max_line: usize) -> LineRules {
    LineRules { max_line, raw: false }
}

const RAW: LineRules = LineRules { max_line: 8, raw: true };

/// `input` comes to `expected`, whole, byte by byte and cut anywhere; at its clean end too, and for
/// the twin as well.
#[track_caller]
fn comes_to(rules: LineRules, input: &[u8], expected: &[Said]) {
    let cut_at = |at: usize| [reads(&input[..at]), reads(&input[at..]), Step::Finish];
    let byte_by_byte = input.chunks(1).map(reads).chain([Step::Finish]).collect::<Vec<_>>();
    assert_eq!(twin_hears(rules, &cut_at(0)), expected, "the twin");
    assert_eq!(framed(rules, &byte_by_byte), expected, "byte by byte");
    for at in 0..=input.len() {
        assert_eq!(framed(rules, &cut_at(at)), expected, "cut after {at} of {} bytes", input.len());
    }
}

fn reads(bytes: &[u8]) -> Step {
    Step::Reads(bytes.to_vec())
}

#[test]
fn a_line_ends_at_lf_cr_lf_or_cr_nul_and_a_lone_cr_or_nul_stays() {
    comes_to(rules(8), b"one\ntwo\r\nthree\r\0", &[line("one"), line("two"), line("three")]);
    comes_to(rules(8), b"\n\r\n\r\0", &[line(""), line(""), line("")]);
    comes_to(rules(8), b"a\rb\r\r\n\0c\0\n", &[line("a\rb\r"), line("\0c\0")]);
    comes_to(rules(8), b"a\n\0b\n", &[line("a"), line("\0b")]);
}

#[test]
fn an_unfinished_line_at_the_clean_end_is_a_line_and_nothing_is_none() {
    comes_to(rules(8), b"", &[]);
    comes_to(rules(8), b"hi\n", &[line("hi")]);
    comes_to(rules(8), b"hi\nyou", &[line("hi"), line("you")]);
    comes_to(rules(8), b"hi\xFF", &[line(b"hi\xFF")]);
    comes_to(rules(8), b"hi\r", &[line("hi\r")]);
    comes_to(rules(8), b"hi\xFF\xFA\x18", &[line("hi")]);
}

#[test]
fn an_unfinished_line_over_the_limit_is_refused_at_the_clean_end_even_if_its_last_byte_is_cr() {
    comes_to(rules(8), b"12345678", &[line("12345678")]);
    comes_to(rules(8), b"1234567\r", &[line("1234567\r")]);
    comes_to(rules(8), b"123456789", &[Said::TooLong]);
    comes_to(rules(8), b"12345678\r", &[Said::TooLong]);
    comes_to(rules(8), b"12345678\xFF", &[Said::TooLong]);
    comes_to(rules(1), b"\x16\x03", &[Said::TooLong]);
}

#[test]
fn the_limit_itself_is_accepted_and_one_byte_more_is_refused_whatever_the_line_end() {
    for limit in [1, 2, 8, 63, 64, 65] {
        for end in [&b"\n"[..], b"\r\n", b"\r\0"] {
            for next in [&b""[..], b"n", b"next"] {
                let at_limit = [&vec![b'x'; limit], end, next].concat();
                let over = [&vec![b'x'; limit + 1], end, next].concat();
                let next = match next.len() {
                    0 => None,
                    length if length > limit => Some(Said::TooLong),
                    _ => Some(line(next)),
                };
                let with_next = |first: Said| [first].into_iter().chain(next.clone()).collect::<Vec<_>>();
                comes_to(rules(limit), &at_limit, &with_next(line(vec![b'x'; limit])));
                comes_to(rules(limit), &over, &with_next(Said::TooLong));
            }
        }
    }
}

#[test]
fn cr_counts_as_a_byte_of_the_line_unless_it_ends_the_line() {
    comes_to(rules(4), b"123\r\r\nx\n", &[line("123\r"), line("x")]);
    comes_to(rules(4), b"1234\r\r\nx\n", &[Said::TooLong, line("x")]);
    comes_to(rules(4), b"1234\rx\nx\n", &[Said::TooLong, line("x")]);
    comes_to(rules(4), b"1234\r\xFF\xF1\nx\n", &[line("1234"), line("x")]);
}

#[test]
fn a_line_far_over_the_limit_is_refused_once_and_skipped_to_its_line_end() {
    for end in [&b"\n"[..], b"\r\n", b"\r\0"] {
        let input = [&[b'x'; 100][..], b"\0\rxx\xFF\xFF", end, b"next\n"].concat();
        comes_to(rules(8), &input, &[Said::TooLong, line("next")]);
    }
    comes_to(rules(2), b"xxx\nyyy\nz\n", &[Said::TooLong, Said::TooLong, line("z")]);
}

#[test]
fn telnet_is_taken_out_of_the_middle_of_a_line_and_of_its_end() {
    comes_to(rules(8), &[b'a', IAC, NOP, b'b', b'\n'], &[line("ab")]);
    comes_to(rules(8), &[b'a', b'\r', IAC, NOP, b'\n', b'b', b'\r', IAC, NOP, 0], &[line("a"), line("b")]);
    comes_to(rules(8), &[IAC, DONT, 1, IAC, WONT, 10, b'a', b'\n'], &[line("a")]);
    comes_to(rules(8), &[IAC, SB, 24, 0, b'\n', IAC, IAC, b'\r', IAC, SE, b'a', b'\n'], &[line("a")]);
    comes_to(rules(8), &[IAC, SE, b'a', b'\n'], &[line("a")]);
}

#[test]
fn a_doubled_iac_and_an_iac_before_no_command_are_text() {
    comes_to(rules(8), b"a\xFF\xFFb\n", &[line(b"a\xFFb")]);
    comes_to(rules(8), b"a\xFFb\n", &[line(b"a\xFFb")]);
    comes_to(rules(8), b"\xFF\n\xFF\r\n", &[line(b"\xFF"), line(b"\xFF")]);
    comes_to(rules(8), &[IAC, 235, IAC, 236, b'\n'], &[line([IAC, 235])]);
    comes_to(rules(1), b"\xFF\xFF\nx\xFF\xFF\n", &[line(b"\xFF"), Said::TooLong]);
}

#[test]
fn each_option_is_refused_once_and_a_timing_mark_every_time() {
    let mut asked = vec![b'a'];
    let mut expected = Vec::new();
    for option in 0..=255 {
        asked.extend([IAC, DO, option, IAC, WILL, option]);
        expected.extend([Said::TelnetReply([IAC, WONT, option]), Said::TelnetReply([IAC, DONT, option])]);
    }
    for option in 0..=255 {
        asked.extend([IAC, WILL, option, IAC, DO, option]);
    }
    expected.extend([Said::TelnetReply([IAC, WONT, TIMING_MARK]), line("a")]);
    asked.push(b'\n');
    let steps = [reads(&asked), Step::Finish];
    assert_eq!(framed(rules(8), &steps), expected);
    assert_eq!(twin_hears(rules(8), &steps), expected);
}

#[test]
fn a_subnegotiation_over_the_limit_refuses_its_line_and_ends_there_however_it_arrives() {
    let at_limit = [b"a", &[IAC, SB][..], b"1234567\n", &[IAC, SE], b"b\n"].concat();
    comes_to(rules(8), &at_limit, &[line("ab")]);
    let over = [b"a", &[IAC, SB][..], b"123456789\nnext\n"].concat();
    comes_to(rules(8), &over, &[Said::TooLong, line("next")]);
    let over = [&[IAC, SB][..], b"123456789", &[IAC, DO, 1], b"rest\nnext\n"].concat();
    comes_to(rules(8), &over, &[Said::TooLong, Said::TelnetReply([IAC, WONT, 1]), line("next")]);
    let doubled = [&[IAC, SB][..], b"1234567", &[IAC, IAC], b"rest\nnext\n"].concat();
    comes_to(rules(8), &doubled, &[Said::TooLong, line("next")]);
    let in_a_refused_line = [b"123456789", &[IAC, SB][..], b"1234567890\nnext\n"].concat();
    comes_to(rules(8), &in_a_refused_line, &[Said::TooLong, line("next")]);
}

#[test]
fn strangers_are_known_by_their_first_bytes_or_first_line_and_later_by_nothing() {
    for version in 0..=4 {
        comes_to(rules(8), &[0x16, 3, version, 1, 0, b'\n'], &[Said::OtherProtocol(OtherProtocol::Tls)]);
    }
    comes_to(rules(1), b"\x16\x03\x01", &[Said::OtherProtocol(OtherProtocol::Tls)]);
    comes_to(rules(8), b"\x16\x03\x05\n", &[line(b"\x16\x03\x05")]);
    comes_to(rules(8), b"\x16\n\x16\x03\x01\n", &[line(b"\x16"), line(b"\x16\x03\x01")]);
    comes_to(rules(64), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", &[Said::OtherProtocol(OtherProtocol::Http)]);
    comes_to(rules(64), b"GET / HTTP/1.1", &[Said::OtherProtocol(OtherProtocol::Http)]);
    comes_to(rules(64), b"SSH-2.0-OpenSSH_9.2\r\n", &[Said::OtherProtocol(OtherProtocol::Ssh)]);
    comes_to(rules(64), b"hi\nGET / HTTP/1.1\n", &[line("hi"), line("GET / HTTP/1.1")]);
    comes_to(rules(64), b"GET out\n", &[line("GET out")]);
    comes_to(rules(8), b"GET /aaaaaaaa HTTP/1.1\r\nHost: x\r\n", &[Said::OtherProtocol(OtherProtocol::Http)]);
    comes_to(rules(9), b"SSH-2.0-OpenSSH_9.2\r\nmore\n", &[Said::OtherProtocol(OtherProtocol::Ssh)]);
    comes_to(rules(8), b"GET out of here\nnext\n", &[Said::TooLong, line("next")]);
    comes_to(rules(8), b"hi\nGET /aaaaaaaa HTTP/1.1\n", &[line("hi"), Said::TooLong]);
}

#[test]
fn raw_ends_lines_at_lf_alone_and_looks_into_nothing() {
    comes_to(RAW, b"a\r\n\r\0\n\xFF\xFD\x06\n", &[line("a\r"), line("\r\0"), line(b"\xFF\xFD\x06")]);
    comes_to(RAW, b"\x16\x03\x01\nGET", &[line(b"\x16\x03\x01"), line("GET")]);
    comes_to(RAW, b"1234567\r\n12345678\r\nx\r", &[line("1234567\r"), Said::TooLong, line("x\r")]);
    let long = LineRules { max_line: 64, raw: true };
    comes_to(long, b"GET / HTTP/1.1\r\n", &[line("GET / HTTP/1.1\r")]);
}

/// `steps` come to `expected`, for the twin as well.
#[track_caller]
fn flushed(rules: LineRules, steps: &[Step], expected: &[Said]) {
    assert_eq!(twin_hears(rules, steps), expected, "the twin");
    assert_eq!(framed(rules, steps), expected);
}

#[test]
fn a_flush_makes_the_unfinished_line_a_message_and_nothing_of_nothing() {
    flushed(rules(8), &[Step::Flush], &[]);
    flushed(rules(8), &[reads(b"hi\n"), Step::Flush, Step::Flush], &[line("hi")]);
    flushed(rules(8), &[reads(b"hi"), Step::Flush, reads(b" you\n")], &[line("hi"), line(" you")]);
    flushed(rules(8), &[reads(b"hi"), Step::Flush, reads(b"\n")], &[line("hi")]);
    flushed(
        rules(8),
        &[reads(b"hi"), Step::Flush, reads(b"\r"), reads(b"\nyou\n")],
        &[line("hi"), line("you")],
    );
    flushed(rules(8), &[reads(b"hi"), Step::Flush, reads(b"\n\n")], &[line("hi"), line("")]);
    flushed(rules(8), &[reads(b"hi\xFF"), Step::Flush, reads(b"\xF1!\n")], &[line("hi"), line("!")]);
    flushed(RAW, &[reads(b"hi\r"), Step::Flush, reads(b"\n")], &[line("hi\r")]);
}

#[test]
fn a_flush_at_a_cr_ends_the_line_and_its_lf_or_nul_makes_no_empty_one() {
    for end in [b"\n", b"\0"] {
        let rest = [&end[..], b"you\n"].concat();
        flushed(rules(8), &[reads(b"hi\r"), Step::Flush, reads(&rest)], &[line("hi"), line("you")]);
        let steps = [reads(b"hi\r"), Step::Flush, Step::Flush, reads(end), Step::Flush, reads(b"\n")];
        flushed(rules(8), &steps, &[line("hi"), line("")]);
    }
    let steps = [reads(b"hi\r"), Step::Flush, reads(b"you\n\n")];
    flushed(rules(8), &steps, &[line("hi"), line("you"), line("")]);
    flushed(rules(8), &[reads(b"hi\r"), Step::Flush, Step::Finish], &[line("hi")]);
    flushed(rules(2), &[reads(b"hi\r"), Step::Flush, reads(b"\nyo\n")], &[line("hi"), line("yo")]);
}

#[test]
fn telnet_between_a_flushed_cr_and_its_lf_makes_no_empty_line() {
    let steps = [reads(b"hi\r"), Step::Flush, reads(&[IAC, NOP]), reads(b"\nyou\n")];
    flushed(rules(8), &steps, &[line("hi"), line("you")]);
}

#[test]
fn a_flush_ends_a_refused_line() {
    let steps = [reads(b"123456789"), Step::Flush, reads(b"next\n")];
    flushed(rules(8), &steps, &[Said::TooLong, line("next")]);
    let steps = [reads(b"123456789"), Step::Flush, reads(b"\nnext\n")];
    flushed(rules(8), &steps, &[Said::TooLong, line("next")]);
}

/// Bytes with much in them that matters to the framing.
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
        b"SSH-2.0-OpenSSH_9.2",
    ]);
    let opening = prop_oneof![4 => Just(&b""[..]), 1 => opening];
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

/// Cuts `input` into reads of `lengths`, over and over, with a step `between` them.
fn cut(mut input: &[u8], lengths: &[usize], between: impl Fn(usize) -> Option<Step>) -> Vec<Step> {
    let mut steps = Vec::new();
    for (number, &length) in lengths.iter().cycle().enumerate() {
        let (read, rest) = input.split_at(length.min(input.len()));
        steps.push(reads(read));
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
    fn the_framing_says_what_its_twin_says_whole_byte_by_byte_and_in_any_pieces(
        rules in any_rules(), input in input(), lengths in lengths()
    ) {
        let whole = [reads(&input), Step::Finish];
        let expected = twin_hears(rules, &whole);
        prop_assert_eq!(framed(rules, &whole), &expected[..]);
        prop_assert_eq!(framed(rules, &cut(&input, &[1], |_| None)), &expected[..]);
        prop_assert_eq!(framed(rules, &cut(&input, &lengths, |_| None)), &expected[..]);
    }

    #[test]
    fn the_framing_says_what_its_twin_says_with_flushes_between_the_pieces(
        rules in any_rules(), input in input(), lengths in lengths(),
        flushes in prop::collection::vec(any::<bool>(), 1..12)
    ) {
        let flush = |number: usize| flushes[number % flushes.len()].then_some(Step::Flush);
        let steps = cut(&input, &lengths, flush);
        prop_assert_eq!(framed(rules, &steps), twin_hears(rules, &steps));
    }

    #[test]
    fn raw_lines_are_what_stands_between_lf_and_lf(input in input(), lengths in lengths()) {
        let rules = LineRules { max_line: usize::MAX / 2, raw: true };
        let mut expected = input.split(|&byte| byte == b'\n').map(line).collect::<Vec<_>>();
        expected.pop_if(|last| *last == line(""));
        prop_assert_eq!(framed(rules, &cut(&input, &lengths, |_| None)), expected);
    }

    #[test]
    fn safe_text_is_what_its_twin_shows_character_by_character(line in text_line()) {
        let shown = escape::escape(&line);
        let expected = shown_one_by_one(&line);
        prop_assert_eq!(String::from_utf8_lossy(&shown), expected);
        prop_assert_eq!(matches!(shown, Cow::Borrowed(_)), *shown == line[..]);
        prop_assert!(shown.len() <= escape::EXPANSION * line.len());
        let shown = std::str::from_utf8(&shown).unwrap();
        prop_assert!(!shown.contains(|c: char| c.is_control() && c != '\t'));
    }
}

/// Text, controls, and bytes that are nearly text.
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
