//! Framing and content: whatever one sender's bytes are, the others hear whole and harmless lines.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::{Client, Server, eventually};
use socket2::SockRef;

const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SB: u8 = 250;
const SE: u8 = 240;

/// The longest line by default.
const MAX_LINE: usize = 8192;

/// Alice sends what the test is about, bob speaks beside her, carol only listens.
struct Room {
    server: Server,
    alice: Client,
    bob: Client,
    carol: Client,
}

impl Room {
    #[track_caller]
    fn with(arguments: &[&str]) -> Self {
        let server = Server::start(arguments);
        let [alice, bob, carol] = std::array::from_fn(|_| Client::join(&server));
        Self { server, alice, bob, carol }
    }

    /// Alice sends `sent`, and carol hears `shown` and nothing else.
    #[track_caller]
    fn shows(&mut self, sent: impl AsRef<[u8]>, shown: &str) {
        self.alice.says([sent.as_ref(), b"\n"].concat());
        self.carol.expects(shown);
    }

    /// Bob says `line`; it is the next that carol hears. What alice sent before has been read then.
    #[track_caller]
    fn bob_is_heard(&mut self, line: &str) {
        self.bob.says(format!("{line}\n"));
        self.carol.expects(line);
    }

    /// Alice sends `pieces`, each in a read of its own: bob is heard between them.
    #[track_caller]
    fn alice_says_in_pieces<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>) {
        for piece in pieces {
            self.alice.says(piece);
            self.bob_is_heard("between");
            self.alice.expects("between");
        }
    }
}

/// The next line is the server's own and has `part` in it.
#[track_caller]
fn expects_error(client: &mut Client, part: &str) {
    let line = String::from_utf8(client.hears_line()).unwrap();
    assert!(line.starts_with("* ") && line.contains(part), "{line}");
}

#[test]
fn a1_a_line_in_pieces_of_one_byte_is_the_same_line() {
    let line = "hello,\twörld \u{1F642}!";
    let mut room = Room::with(&[]);
    room.alice_says_in_pieces(line.as_bytes().chunks(1));
    room.shows("", line);
    room.bob_is_heard("after");
}

#[test]
fn a1_a_line_cut_anywhere_is_the_same_line() {
    let line = b"hello";
    let mut room = Room::with(&[]);
    for at in 1..line.len() {
        room.alice_says_in_pieces([&line[..at]]);
        room.shows(&line[at..], "hello");
    }
}

#[test]
fn a2_ten_thousand_lines_in_one_segment_arrive_in_order_and_a_typed_line_with_them() {
    let lines = (0..10_000).map(|number| format!("{number}\n")).collect::<String>();
    assert!(lines.len() < 64 * 1024);
    let mut room = Room::with(&[]);
    room.alice.says(&lines);
    room.bob.says("typed\n");
    let heard = String::from_utf8(room.carol.hears_bytes(lines.len() + "typed\n".len())).unwrap();
    assert_eq!(heard.matches("typed\n").count(), 1);
    assert!(heard.replace("typed\n", "") == lines, "lines were lost or changed");
    // None of her own lines went back to her.
    room.alice.expects("typed");
}

#[test]
fn a3_the_cr_of_cr_lf_is_no_part_of_the_line() {
    let mut room = Room::with(&[]);
    room.alice.says("one\r\ntwo\r\n");
    room.carol.expects("one");
    room.carol.expects("two");
    room.bob_is_heard("after");
}

#[test]
fn a4_cr_and_lf_in_different_reads_are_one_line_end() {
    let mut room = Room::with(&[]);
    room.alice_says_in_pieces([&b"hi\r"[..]]);
    room.shows("", "hi");
    room.bob_is_heard("after");
}

#[test]
fn a5_a_lone_cr_is_shown_and_ends_no_line() {
    let mut room = Room::with(&[]);
    room.shows("one\rtwo", "one\\x0Dtwo");
    room.shows("\rone\r\r", "\\x0Done\\x0D");
    room.alice_says_in_pieces([&b"one\r"[..]]);
    room.shows("two", "one\\x0Dtwo");
}

#[test]
fn a6_cr_nul_ends_a_line_in_one_read_and_in_two() {
    let mut room = Room::with(&[]);
    room.alice.says("hi\r\0there\r\0");
    room.carol.expects("hi");
    room.carol.expects("there");
    room.alice_says_in_pieces([&b"h"[..], b"i", b"\r"]);
    room.alice.says("\0");
    room.carol.expects("hi");
    room.bob_is_heard("after");
}

#[test]
fn a7_nul_bytes_are_shown_and_cut_no_line() {
    let mut room = Room::with(&[]);
    room.shows("a\0b\0\0c", "a\\x00b\\x00\\x00c");
    room.shows("\0", "\\x00");
    room.shows("a\r\n\0b", "a");
    room.carol.expects("\\x00b");
}

#[test]
fn a8_empty_lines_pass_in_the_plain_view() {
    let mut room = Room::with(&[]);
    room.alice.says("\n\r\n\r\0  \n");
    for line in ["", "", "", "  "] {
        room.carol.expects(line);
    }
    room.bob_is_heard("after");
}

#[test]
fn a9_a_line_at_the_limit_is_accepted_and_one_byte_more_is_refused() {
    let mut room = Room::with(&[]);
    for end in ["\n", "\r\n", "\r\0"] {
        let at_limit = "x".repeat(MAX_LINE);
        room.alice.says(format!("{at_limit}{end}"));
        room.carol.expects(&at_limit);
        room.alice.says(format!("{at_limit}x{end}"));
        expects_error(&mut room.alice, "8192 bytes is the most");
        room.bob_is_heard("after");
        room.alice.expects("after");
    }
}

#[test]
fn a9_the_limit_is_the_same_for_a_line_in_pieces() {
    let mut room = Room::with(&["--max-line", "10"]);
    for end in [&b"\n"[..], b"\r\n", b"\r\0"] {
        for at in 1..10 + end.len() {
            let at_limit = [b"0123456789", end].concat();
            room.alice_says_in_pieces([&at_limit[..at]]);
            room.alice.says(&at_limit[at..]);
            room.carol.expects("0123456789");
            let over = [b"0123456789x", end].concat();
            room.alice.says(&over[..at]);
            room.bob_is_heard("between");
            room.alice.says(&over[at..]);
            let mut heard = [room.alice.hears_line(), room.alice.hears_line()];
            heard.sort();
            let [error, between] = heard.map(|line| String::from_utf8(line).unwrap());
            assert!(error.starts_with("* ") && error.contains("10 bytes is the most"), "{error}");
            assert_eq!(between, "between");
        }
    }
    room.bob_is_heard("after");
}

#[test]
fn a10_a_line_over_the_limit_is_refused_once_and_the_next_one_is_fine() {
    let mut room = Room::with(&[]);
    room.alice.says([&[b'x'; 100_000][..], b"\r\nnext\n"].concat());
    room.carol.expects("next");
    expects_error(&mut room.alice, "too long");
    room.alice.says([b'x'; MAX_LINE + 1]);
    expects_error(&mut room.alice, "too long");
    room.alice_says_in_pieces([&b"rest of it"[..], b"and more"]);
    room.shows("\nnext", "next");
    room.bob_is_heard("after");
    room.alice.expects("after");
}

#[test]
fn a11_data_without_end_is_refused_once_and_stored_nowhere_while_others_are_heard() {
    const MEGABYTES: usize = 8;
    let mut room = Room::with(&[]);
    room.shows("first", "first");
    let before = room.server.status_kb("VmHWM");
    for megabyte in 1..=MEGABYTES {
        room.alice.says(vec![b'x'; 1 << 20]);
        room.bob_is_heard(&format!("beside megabyte {megabyte}"));
    }
    room.shows("\nlast", "last");
    let grown = room.server.status_kb("VmHWM") - before;
    assert!(grown < 1024, "the most resident memory has grown by {grown} kB");
    expects_error(&mut room.alice, "too long");
    for megabyte in 1..=MEGABYTES {
        room.alice.expects(format!("beside megabyte {megabyte}"));
    }
}

#[test]
fn a12_an_unfinished_line_at_the_end_of_the_input_is_a_line_and_counted() {
    let mut room = Room::with(&[]);
    room.alice.says("hi");
    room.alice.ends();
    room.carol.expects("hi");
    room.alice.expects_end();
    room.server.signal("USR1");
    room.server.wait_for_log(" 1 line (3 bytes) relayed");
    room.bob_is_heard("after");
}

#[test]
fn a12_an_unfinished_line_over_the_limit_is_refused_at_the_end_of_the_input_and_its_sender_told() {
    let mut room = Room::with(&["--max-line", "10"]);
    room.alice.says("0123456789\r");
    room.alice.ends();
    expects_error(&mut room.alice, "too long");
    room.alice.expects_end();
    room.bob_is_heard("after");
}

#[test]
fn a13_an_unfinished_line_before_a_reset_is_dropped_and_counted() {
    let mut room = Room::with(&[]);
    room.alice.says("whole\ntorn");
    room.carol.expects("whole");
    room.bob_is_heard("between");
    room.alice.resets();
    room.server.wait_for_log("connection lost");
    room.bob.says("after\n");
    room.carol.expects("after");
    room.server.signal("USR1");
    room.server.wait_for_log(" 1 dropped unfinished line");
}

#[test]
fn a14_each_byte_that_is_not_utf8_is_shown_and_the_rest_is_intact() {
    let mut room = Room::with(&[]);
    room.shows(b"a\xC0\x80b", "a\\xC0\\x80b");
    room.shows(b"a\xFF b\xFEc", "a\\xFF b\\xFEc");
    room.shows(b"\x80", "\\x80");
    room.shows("żó\u{142}w".as_bytes(), "żółw");
    room.shows(b"\xE2\x82\xAC ok \xE2\x82", "€ ok \\xE2\\x82");
    room.shows(b"\xE2\x82\xE2\x82\xAC", "\\xE2\\x82€");
}

#[test]
fn a15_a_character_in_pieces_is_the_same_character() {
    let mut room = Room::with(&[]);
    for character in ["ż", "漢", "🙂"] {
        room.alice_says_in_pieces(character.as_bytes().chunks(1));
        room.shows("", character);
    }
}

#[test]
fn a16_overlong_forms_surrogates_and_what_is_beyond_unicode_are_shown_byte_by_byte() {
    let mut room = Room::with(&[]);
    room.shows(b"a\xED\xA0\x80b", "a\\xED\\xA0\\x80b");
    room.shows(b"\xE0\x80\xAF", "\\xE0\\x80\\xAF");
    room.shows(b"\xC1\xBF", "\\xC1\\xBF");
    room.shows(b"\xF0\x80\x80\x9B", "\\xF0\\x80\\x80\\x9B");
    room.shows(b"\xF4\x90\x80\x80", "\\xF4\\x90\\x80\\x80");
}

#[test]
fn a17_escape_sequences_are_shown_and_reach_no_terminal() {
    let mut room = Room::with(&[]);
    room.shows("\x1B[2J", "\\x1B[2J");
    room.shows("\x1B]0;title\x07", "\\x1B]0;title\\x07");
    room.shows("\x1B]52;c;aGk=\x1B\\", "\\x1B]52;c;aGk=\\x1B\\");
    room.shows("\u{9B}2J", "\\x9B2J");
    room.shows(b"\x9B2J", "\\x9B2J");
    room.shows("\u{9D}0;title\u{9C}", "\\x9D0;title\\x9C");
}

#[test]
fn a18_controls_are_shown_and_tab_passes() {
    let mut room = Room::with(&[]);
    for control in (1..0x20).chain([0x7F]).filter(|control| !b"\t\n".contains(control)) {
        room.shows([b'a', control, b'b'], &format!("a\\x{control:02X}b"));
    }
    room.shows("a\tb", "a\tb");
}

#[test]
fn a19_text_of_any_script_and_its_marks_pass_unchanged() {
    let mut room = Room::with(&[]);
    for text in [
        "\u{5E9}\u{5DC}\u{5D5}\u{5DD} \u{202E}abc\u{202C} \u{200F}",
        "e\u{301}\u{323} \u{E19}\u{E49}\u{E33}",
        "\u{1F469}\u{200D}\u{1F4BB} \u{1F3F3}\u{FE0F} 🙂",
        "\u{FEFF}text",
        "\u{A0}\u{2028}\u{FFFD}\u{10FFFF}",
    ] {
        room.shows(text, text);
    }
}

#[test]
fn a20_the_plain_view_passes_verbatim_what_looks_like_the_server_or_a_sender() {
    let mut room = Room::with(&[]);
    for text in ["* error", "<bob> hi", "/quit", "/nick bob", r"\x1B"] {
        room.shows(text, text);
    }
}

#[test]
fn a21_ctrl_c_of_telnet_is_taken_out_and_its_timing_mark_answered_each_time() {
    let ctrl_c = b"\xFF\xF4\xFF\xFD\x06";
    let mut room = Room::with(&[]);
    for _ in 0..3 {
        room.alice.says(ctrl_c);
        assert_eq!(room.alice.hears_bytes(3), [IAC, WONT, 6]);
    }
    room.alice.says([b"he", &ctrl_c[..], b"llo"].concat());
    assert_eq!(room.alice.hears_bytes(3), [IAC, WONT, 6]);
    room.shows("", "hello");
    room.bob_is_heard("after");
    room.alice.expects("after");
}

#[test]
fn a22_each_option_is_refused_once() {
    let mut room = Room::with(&[]);
    let asked = [b"he", &[IAC, DO, 1, IAC, WILL, 31, IAC, DO, 1, IAC, WILL, 31][..], b"llo"].concat();
    room.alice.says(asked);
    assert_eq!(room.alice.hears_bytes(6), [IAC, WONT, 1, IAC, DONT, 31]);
    room.alice.says([IAC, WILL, 31, IAC, DO, 1, IAC, WILL, 1, IAC, DONT, 3, IAC, WONT, 3]);
    assert_eq!(room.alice.hears_bytes(3), [IAC, DONT, 1]);
    room.shows("", "hello");
    room.bob_is_heard("after");
    room.alice.expects("after");
}

#[test]
fn a22_telnet_in_pieces_is_taken_out_of_the_line() {
    let mut room = Room::with(&[]);
    let sub = [b"he", &[IAC, SB, 24, 0, b'\n', b'\r', IAC, IAC, b'x', IAC, SE][..], b"llo"].concat();
    room.alice_says_in_pieces(sub.chunks(1));
    room.shows("", "hello");
    room.alice_says_in_pieces([&[b'h', IAC][..], &[241, b'i', IAC], &[DONT], &[1]]);
    room.shows("", "hi");
    room.alice_says_in_pieces([&[b'h', IAC][..]]);
    room.alice.says([DO]);
    room.bob_is_heard("between");
    room.alice.expects("between");
    room.alice.says([1]);
    assert_eq!(room.alice.hears_bytes(3), [IAC, WONT, 1]);
    room.shows("i", "hi");
}

#[test]
fn a22_a_doubled_iac_is_one_byte_of_text() {
    let mut room = Room::with(&[]);
    room.shows([b'a', IAC, IAC, b'b'], "a\\xFFb");
    room.alice_says_in_pieces([&[b'a', IAC][..]]);
    room.shows([IAC, b'b'], "a\\xFFb");
}

#[test]
fn a22_a_subnegotiation_that_never_ends_is_refused_at_the_limit_and_stored_nowhere() {
    const MEGABYTES: usize = 8;
    let mut room = Room::with(&[]);
    room.shows("first", "first");
    let before = room.server.status_kb("VmHWM");
    room.alice.says([b'h', b'i', IAC, SB, 24]);
    for megabyte in 1..=MEGABYTES {
        room.alice.says(vec![b'x'; 1 << 20]);
        room.bob_is_heard(&format!("beside megabyte {megabyte}"));
    }
    room.shows("\nlast", "last");
    let grown = room.server.status_kb("VmHWM") - before;
    assert!(grown < 1024, "the most resident memory has grown by {grown} kB");
    expects_error(&mut room.alice, "too long");
    for megabyte in 1..=MEGABYTES {
        room.alice.expects(format!("beside megabyte {megabyte}"));
    }
}

#[test]
fn a22_a_subnegotiation_over_the_limit_takes_no_line_after_it_along() {
    let mut room = Room::with(&["--max-line", "100"]);
    // The end of the subnegotiation never comes, and all is one read.
    room.alice.says([&[b'h', b'i', IAC, SB][..], &[b'x'; 200], b"\nnext\n"].concat());
    expects_error(&mut room.alice, "too long");
    room.alice.says("last\n");
    room.carol.expects("next");
    room.carol.expects("last");
}

#[test]
fn a23_an_urgent_byte_neither_ends_nor_busies_the_server_and_the_text_around_it_arrives() {
    let mut room = Room::with(&[]);
    for _ in 0..3 {
        room.alice.says("before, ");
        assert_eq!(SockRef::from(room.alice.stream()).send_out_of_band(b"!").unwrap(), 1);
        room.bob_is_heard("between");
        // Busy, it would run on; it sleeps.
        eventually("the server sleeps", || room.server.status("State").starts_with('S').then_some(()));
        room.shows("after", "before, after");
    }
    SockRef::from(room.alice.stream()).send_out_of_band(b"!").unwrap();
    room.alice.ends();
    room.server.wait_for_log(" left, 2 online");
    room.bob_is_heard("at last");
}

/// The first record of a TLS 1.3 handshake, as far as it matters; with line ends in it.
fn client_hello() -> Vec<u8> {
    let head = [0x16, 0x03, 0x01, 0x00, 0x2F, 0x01, 0x00, 0x00, 0x2B, 0x03, 0x03];
    let random = *b"\nGET / HTTP/1.1\r\nhello, hello!!!\n";
    let tail = [0x00, 0x00, 0x04, 0x13, 0x01, 0x13, 0x02, 0x01, 0x00];
    [&head[..], &random, &tail].concat()
}

/// Alice sends `pieces`: she is told why and left, one log line says so, and nobody hears a thing.
#[track_caller]
fn is_refused(pieces: &[&[u8]], protocol: &str) {
    let mut room = Room::with(&[]);
    let peer = room.alice.stream().local_addr().unwrap().to_string();
    let (last, first) = pieces.split_last().unwrap();
    room.alice_says_in_pieces(first.iter().copied());
    room.alice.says(last);
    let told = String::from_utf8(room.alice.hears_all()).unwrap();
    assert!(told.starts_with("* this is a chat room") && told.ends_with('\n'), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    drop(room.alice);
    room.server.wait_for_log(&format!("{peer} refused: spoke {protocol}"));
    room.bob.says("after\n");
    room.carol.expects("after");
    room.server.signal("USR1");
    let counts = room.server.wait_for_log(" relayed, 3 accepted");
    let lines = hubbub::clients::stats::count(first.len() as u64 + 1, "line");
    assert!(counts.contains(&format!(" {lines} (")), "not bob's lines alone: {counts}");
    let log = room.server.log_so_far();
    let of_alice = log.iter().filter(|line| line.contains(&peer)).collect::<Vec<_>>();
    assert_eq!(of_alice.len(), 2, "joined and refused, but {of_alice:#?}");
}

#[test]
fn a24_a_tls_hello_is_refused_and_not_relayed() {
    let hello = client_hello();
    is_refused(&[&hello], "TLS");
    is_refused(&[&hello[..1], &hello[1..2], &hello[2..]], "TLS");
}

#[test]
fn a24_an_http_request_is_refused_and_not_relayed() {
    let request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n";
    is_refused(&[request], "HTTP");
    is_refused(&[&request[..3], &request[3..14], &request[14..15], &request[15..]], "HTTP");
    is_refused(&[b"POST /x HTTP/1.0\r\nContent-Length: 3\r\n\r\nhi\n"], "HTTP");
}

#[test]
fn a24_an_ssh_banner_is_refused_and_not_relayed() {
    let banner = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n";
    is_refused(&[banner], "SSH");
    is_refused(&[&banner[..4], &banner[4..31], &banner[31..]], "SSH");
}

#[test]
fn a24_an_unfinished_request_line_at_the_end_of_the_input_is_refused_too() {
    let mut room = Room::with(&[]);
    room.alice.says("GET / HTTP/1.1");
    room.alice.ends();
    expects_error(&mut room.alice, "not a web server");
    room.alice.expects_end();
    room.bob_is_heard("after");
}

#[test]
fn a24_words_that_only_begin_so_are_chat_and_so_is_any_later_line() {
    for line in ["GET out", "GET", "SSH-keys are lost", "HTTP/1.1 is old", "get / HTTP/1.1"] {
        let mut room = Room::with(&[]);
        room.shows(line, line);
        room.shows("GET / HTTP/1.1\r", "GET / HTTP/1.1");
        room.shows("SSH-2.0-OpenSSH_9.2", "SSH-2.0-OpenSSH_9.2");
        room.shows("\x16\x03\x01", "\\x16\\x03\\x01");
    }
}

#[test]
fn a24_raw_refuses_nobody_and_relays_the_very_bytes() {
    let hello = [&client_hello()[..], b"\n"].concat();
    for bytes in
        [&hello[..], b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"SSH-2.0-x\r\n", b"\xFF\xFD\x06\0\r\0\x1B[2J\n"]
    {
        let mut room = Room::with(&["--raw"]);
        room.alice.says(bytes);
        assert_eq!(room.carol.hears_bytes(bytes.len()), bytes);
        room.bob_is_heard("after");
        room.alice.expects("after");
    }
}

#[test]
fn a25_a_line_of_escapes_grows_fourfold_and_stays_one_line() {
    const LINES: usize = 16;
    let mut room = Room::with(&[]);
    let line = [&[0x1B; MAX_LINE][..], b"\n"].concat();
    let shown = "\\x1B".repeat(MAX_LINE);
    let speak = |client: &mut Client, line: &[u8]| client.says(line.repeat(LINES));
    std::thread::scope(|scope| {
        scope.spawn(|| speak(&mut room.alice, &line));
        scope.spawn(|| speak(&mut room.bob, b"beside\n"));
        let heard = std::iter::repeat_with(|| room.carol.hears_line()).take(2 * LINES).collect::<Vec<_>>();
        assert_eq!(heard.iter().filter(|line| **line == shown.as_bytes()).count(), LINES);
        assert_eq!(heard.iter().filter(|line| *line == b"beside").count(), LINES);
    });
    room.bob_is_heard("after");
}
