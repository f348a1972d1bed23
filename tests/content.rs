//! What one client sends: the other clients receive whole and harmless lines.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::texts::{HTTP_REFUSAL, LINE_TOO_LONG, OTHER_PROTOCOL, line_too_long, lines};
use common::twin::{DO, DONT, IAC, SB, SE, WILL, WONT};
use common::{Client, Server, eventually};
use socket2::SockRef;

/// The longest line by default.
const MAX_LINE: usize = 8192;

/// Alice sends the bytes under test, bob sends lines meanwhile, and carol only receives.
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

    /// Alice sends `sent` and a line end; the next line that carol receives is `expected`.
    #[track_caller]
    fn expect_shown(&mut self, sent: impl AsRef<[u8]>, expected: &str) {
        self.alice.send([sent.as_ref(), b"\n"].concat());
        self.carol.expect_line(expected);
    }

    /// Does the same for each row of a table.
    #[track_caller]
    fn expect_all_shown(&mut self, rows: &[(&[u8], &str)]) {
        for (sent, expected) in rows {
            self.expect_shown(sent, expected);
        }
    }

    /// Bob sends `line`, and it is the next line that carol receives. By then the server has read what
    /// alice sent before.
    #[track_caller]
    fn bob_sends(&mut self, line: &str) {
        self.bob.send(format!("{line}\n"));
        self.carol.expect_line(line);
    }

    /// Alice sends `pieces`. The server reads each by itself, because bob's line passes between them.
    #[track_caller]
    fn alice_sends_in_pieces<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>) {
        for piece in pieces {
            self.alice.send(piece);
            self.bob_sends("between");
            self.alice.expect_line("between");
        }
    }

    /// Alice sends `opening` and then 8 MiB without a line end: she receives one error, bob's lines pass
    /// meanwhile, and the server's memory does not grow.
    #[track_caller]
    fn expect_endless_data_is_not_stored(&mut self, opening: &[u8]) {
        const MEGABYTES: usize = 8;
        self.expect_shown("first", "first");
        let before = self.server.status_kb("VmHWM");
        self.alice.send(opening);
        for megabyte in 1..=MEGABYTES {
            self.alice.send(vec![b'x'; 1 << 20]);
            self.bob_sends(&format!("during megabyte {megabyte}"));
        }
        self.expect_shown("\nlast", "last");
        let growth = self.server.status_kb("VmHWM") - before;
        assert!(growth < 1024, "peak resident memory grew by {growth} kB");
        expect_error(&mut self.alice, LINE_TOO_LONG);
        for megabyte in 1..=MEGABYTES {
            self.alice.expect_line(format!("during megabyte {megabyte}"));
        }
    }
}

/// The next line comes from the server itself and contains `part`.
#[track_caller]
fn expect_error(client: &mut Client, part: &str) {
    let line = client.read_text();
    assert!(line.starts_with("* ") && line.contains(part), "{line}");
}

#[test]
fn a1_a_line_in_pieces_of_one_byte_is_the_same_line() {
    let line = "hello,\twörld \u{1F642}!";
    let mut room = Room::with(&[]);
    room.alice_sends_in_pieces(line.as_bytes().chunks(1));
    room.expect_shown("", line);
    room.bob_sends("after");
}

#[test]
fn a1_a_line_split_at_any_byte_is_the_same_line() {
    let line = b"hello";
    let mut room = Room::with(&[]);
    for at in 1..line.len() {
        room.alice_sends_in_pieces([&line[..at]]);
        room.expect_shown(&line[at..], "hello");
    }
}

#[test]
fn a2_ten_thousand_lines_in_one_segment_arrive_in_order_together_with_a_typed_line() {
    let lines = (0..10_000).map(|number| format!("{number}\n")).collect::<String>();
    assert!(lines.len() < 64 * 1024);
    let mut room = Room::with(&[]);
    room.alice.send(&lines);
    room.bob.send("typed\n");
    let received = String::from_utf8(room.carol.read_bytes(lines.len() + "typed\n".len())).unwrap();
    assert_eq!(received.matches("typed\n").count(), 1);
    assert!(received.replace("typed\n", "") == lines, "lines were lost or changed");
    // Alice receives none of her own lines.
    room.alice.expect_line("typed");
}

#[test]
fn a3_the_cr_of_cr_lf_is_not_part_of_the_line() {
    let mut room = Room::with(&[]);
    room.alice.send("one\r\ntwo\r\n");
    room.carol.expect_line("one");
    room.carol.expect_line("two");
    room.bob_sends("after");
}

#[test]
fn a4_cr_and_lf_in_different_reads_end_one_line() {
    let mut room = Room::with(&[]);
    room.alice_sends_in_pieces([&b"hi\r"[..]]);
    room.expect_shown("", "hi");
    room.bob_sends("after");
}

#[test]
fn a5_a_lone_cr_is_shown_and_does_not_end_the_line() {
    let mut room = Room::with(&[]);
    room.expect_shown("one\rtwo", "one\\x0Dtwo");
    room.expect_shown("\rone\r\r", "\\x0Done\\x0D");
    room.alice_sends_in_pieces([&b"one\r"[..]]);
    room.expect_shown("two", "one\\x0Dtwo");
}

#[test]
fn a6_cr_nul_ends_a_line_in_one_read_and_in_two() {
    let mut room = Room::with(&[]);
    room.alice.send("hi\r\0there\r\0");
    room.carol.expect_line("hi");
    room.carol.expect_line("there");
    room.alice_sends_in_pieces([&b"h"[..], b"i", b"\r"]);
    room.alice.send("\0");
    room.carol.expect_line("hi");
    room.bob_sends("after");
}

#[test]
fn a7_nul_bytes_are_shown_and_do_not_cut_the_line() {
    let mut room = Room::with(&[]);
    room.expect_shown("a\0b\0\0c", "a\\x00b\\x00\\x00c");
    room.expect_shown("\0", "\\x00");
    room.expect_shown("a\r\n\0b", "a");
    room.carol.expect_line("\\x00b");
}

#[test]
fn a8_empty_lines_are_relayed_in_the_plain_view() {
    let mut room = Room::with(&[]);
    room.alice.send("\n\r\n\r\0  \n");
    for line in ["", "", "", "  "] {
        room.carol.expect_line(line);
    }
    room.bob_sends("after");
}

#[test]
fn a9_a_line_at_the_limit_is_accepted_and_a_line_one_byte_longer_is_refused() {
    let mut room = Room::with(&[]);
    for end in ["\n", "\r\n", "\r\0"] {
        let at_limit = "x".repeat(MAX_LINE);
        room.alice.send(format!("{at_limit}{end}"));
        room.carol.expect_line(&at_limit);
        room.alice.send(format!("{at_limit}x{end}"));
        expect_error(&mut room.alice, &line_too_long(MAX_LINE));
        room.bob_sends("after");
        room.alice.expect_line("after");
    }
}

#[test]
fn a9_the_limit_is_the_same_for_a_line_in_pieces() {
    let mut room = Room::with(&["--max-line", "10"]);
    for end in [&b"\n"[..], b"\r\n", b"\r\0"] {
        for at in 1..10 + end.len() {
            let at_limit = [b"0123456789", end].concat();
            room.alice_sends_in_pieces([&at_limit[..at]]);
            room.alice.send(&at_limit[at..]);
            room.carol.expect_line("0123456789");
            let over = [b"0123456789x", end].concat();
            room.alice.send(&over[..at]);
            room.bob_sends("between");
            room.alice.send(&over[at..]);
            let mut received = [room.alice.read_text(), room.alice.read_text()];
            received.sort();
            let [error, between] = received;
            assert!(error.starts_with("* ") && error.contains(&line_too_long(10)), "{error}");
            assert_eq!(between, "between");
        }
    }
    room.bob_sends("after");
}

#[test]
fn a10_a_line_over_the_limit_is_refused_once_and_the_next_line_passes() {
    let mut room = Room::with(&[]);
    room.alice.send([&[b'x'; 100_000][..], b"\r\nnext\n"].concat());
    room.carol.expect_line("next");
    expect_error(&mut room.alice, LINE_TOO_LONG);
    room.alice.send([b'x'; MAX_LINE + 1]);
    expect_error(&mut room.alice, LINE_TOO_LONG);
    room.alice_sends_in_pieces([&b"rest of it"[..], b"and more"]);
    room.expect_shown("\nnext", "next");
    room.bob_sends("after");
    room.alice.expect_line("after");
}

#[test]
fn a11_data_without_a_line_end_is_refused_once_and_not_stored_and_other_lines_pass() {
    Room::with(&[]).expect_endless_data_is_not_stored(b"");
}

#[test]
fn a12_an_unfinished_line_at_the_end_of_input_is_relayed_and_counted() {
    let mut room = Room::with(&[]);
    room.alice.send("hi");
    room.alice.end_input();
    room.carol.expect_line("hi");
    room.alice.expect_end();
    let counters = room.server.counters();
    assert!(counters.contains(" 1 line (3 bytes) relayed"), "{counters}");
    room.bob_sends("after");
}

#[test]
fn a12_an_unfinished_line_over_the_limit_is_refused_with_an_error_at_the_end_of_input() {
    let mut room = Room::with(&["--max-line", "10"]);
    room.alice.send("0123456789\r");
    room.alice.end_input();
    expect_error(&mut room.alice, LINE_TOO_LONG);
    room.alice.expect_end();
    room.bob_sends("after");
}

#[test]
fn a13_an_unfinished_line_before_a_reset_is_dropped_and_counted() {
    let mut room = Room::with(&[]);
    room.alice.send("whole\ntorn");
    room.carol.expect_line("whole");
    room.bob_sends("between");
    room.alice.reset();
    room.server.wait_for_log("connection lost");
    room.bob.send("after\n");
    room.carol.expect_line("after");
    let counters = room.server.counters();
    assert!(counters.contains(" 1 dropped unfinished line"), "{counters}");
}

#[test]
fn a14_each_byte_that_is_not_utf8_is_shown_and_the_rest_stays() {
    Room::with(&[]).expect_all_shown(&[
        (b"a\xC0\x80b", "a\\xC0\\x80b"),
        (b"a\xFF b\xFEc", "a\\xFF b\\xFEc"),
        (b"\x80", "\\x80"),
        ("żó\u{142}w".as_bytes(), "żółw"),
        (b"\xE2\x82\xAC ok \xE2\x82", "€ ok \\xE2\\x82"),
        (b"\xE2\x82\xE2\x82\xAC", "\\xE2\\x82€"),
    ]);
}

#[test]
fn a15_a_character_in_pieces_is_the_same_character() {
    let mut room = Room::with(&[]);
    for character in ["ż", "漢", "🙂"] {
        room.alice_sends_in_pieces(character.as_bytes().chunks(1));
        room.expect_shown("", character);
    }
}

#[test]
fn a16_overlong_forms_surrogates_and_code_points_beyond_unicode_are_shown_byte_by_byte() {
    Room::with(&[]).expect_all_shown(&[
        (b"a\xED\xA0\x80b", "a\\xED\\xA0\\x80b"),
        (b"\xE0\x80\xAF", "\\xE0\\x80\\xAF"),
        (b"\xC1\xBF", "\\xC1\\xBF"),
        (b"\xF0\x80\x80\x9B", "\\xF0\\x80\\x80\\x9B"),
        (b"\xF4\x90\x80\x80", "\\xF4\\x90\\x80\\x80"),
    ]);
}

#[test]
fn a17_escape_sequences_are_shown_and_reach_no_terminal() {
    Room::with(&[]).expect_all_shown(&[
        (b"\x1B[2J", "\\x1B[2J"),
        (b"\x1B]0;title\x07", "\\x1B]0;title\\x07"),
        (b"\x1B]52;c;aGk=\x1B\\", "\\x1B]52;c;aGk=\\x1B\\"),
        ("\u{9B}2J".as_bytes(), "\\x9B2J"),
        (b"\x9B2J", "\\x9B2J"),
        ("\u{9D}0;title\u{9C}".as_bytes(), "\\x9D0;title\\x9C"),
    ]);
}

#[test]
fn a18_control_characters_are_shown_and_tab_passes() {
    let mut room = Room::with(&[]);
    for control in (1..0x20).chain([0x7F]).filter(|control| !b"\t\n".contains(control)) {
        room.expect_shown([b'a', control, b'b'], &format!("a\\x{control:02X}b"));
    }
    room.expect_shown("a\tb", "a\tb");
}

#[test]
fn a19_text_and_marks_of_any_script_pass_unchanged() {
    let mut room = Room::with(&[]);
    for text in [
        "\u{5E9}\u{5DC}\u{5D5}\u{5DD} \u{202E}abc\u{202C} \u{200F}",
        "e\u{301}\u{323} \u{E19}\u{E49}\u{E33}",
        "\u{1F469}\u{200D}\u{1F4BB} \u{1F3F3}\u{FE0F} 🙂",
        "\u{FEFF}text",
        "\u{A0}\u{2028}\u{FFFD}\u{10FFFF}",
    ] {
        room.expect_shown(text, text);
    }
}

#[test]
fn a20_the_plain_view_relays_verbatim_text_that_looks_like_the_server_or_another_sender() {
    let mut room = Room::with(&[]);
    for text in ["* error", "<bob> hi", "/quit", "/nick bob", r"\x1B"] {
        room.expect_shown(text, text);
    }
}

#[test]
fn a21_ctrl_c_of_telnet_is_removed_and_its_timing_mark_is_answered_each_time() {
    let ctrl_c = b"\xFF\xF4\xFF\xFD\x06";
    let mut room = Room::with(&[]);
    for _ in 0..3 {
        room.alice.send(ctrl_c);
        assert_eq!(room.alice.read_bytes(3), [IAC, WONT, 6]);
    }
    room.alice.send([b"he", &ctrl_c[..], b"llo"].concat());
    assert_eq!(room.alice.read_bytes(3), [IAC, WONT, 6]);
    room.expect_shown("", "hello");
    room.bob_sends("after");
    room.alice.expect_line("after");
}

#[test]
fn a22_each_telnet_option_is_refused_once() {
    let mut room = Room::with(&[]);
    let asked = [b"he", &[IAC, DO, 1, IAC, WILL, 31, IAC, DO, 1, IAC, WILL, 31][..], b"llo"].concat();
    room.alice.send(asked);
    assert_eq!(room.alice.read_bytes(6), [IAC, WONT, 1, IAC, DONT, 31]);
    room.alice.send([IAC, WILL, 31, IAC, DO, 1, IAC, WILL, 1, IAC, DONT, 3, IAC, WONT, 3]);
    assert_eq!(room.alice.read_bytes(3), [IAC, DONT, 1]);
    room.expect_shown("", "hello");
    room.bob_sends("after");
    room.alice.expect_line("after");
}

#[test]
fn a22_telnet_commands_in_pieces_are_removed_from_the_line() {
    let mut room = Room::with(&[]);
    let sub = [b"he", &[IAC, SB, 24, 0, b'\n', b'\r', IAC, IAC, b'x', IAC, SE][..], b"llo"].concat();
    room.alice_sends_in_pieces(sub.chunks(1));
    room.expect_shown("", "hello");
    room.alice_sends_in_pieces([&[b'h', IAC][..], &[241, b'i', IAC], &[DONT], &[1]]);
    room.expect_shown("", "hi");
    room.alice_sends_in_pieces([&[b'h', IAC][..]]);
    room.alice.send([DO]);
    room.bob_sends("between");
    room.alice.expect_line("between");
    room.alice.send([1]);
    assert_eq!(room.alice.read_bytes(3), [IAC, WONT, 1]);
    room.expect_shown("i", "hi");
}

#[test]
fn a22_a_doubled_iac_is_one_byte_of_text() {
    let mut room = Room::with(&[]);
    room.expect_shown([b'a', IAC, IAC, b'b'], "a\\xFFb");
    room.alice_sends_in_pieces([&[b'a', IAC][..]]);
    room.expect_shown([IAC, b'b'], "a\\xFFb");
}

#[test]
fn a22_a_subnegotiation_without_an_end_is_refused_at_the_limit_and_not_stored() {
    Room::with(&[]).expect_endless_data_is_not_stored(&[b'h', b'i', IAC, SB, 24]);
}

#[test]
fn a22_a_subnegotiation_over_the_limit_does_not_remove_the_lines_after_it() {
    let mut room = Room::with(&["--max-line", "100"]);
    // The subnegotiation has no end, and the server reads all of this at once.
    room.alice.send([&[b'h', b'i', IAC, SB][..], &[b'x'; 200], b"\nnext\n"].concat());
    expect_error(&mut room.alice, LINE_TOO_LONG);
    room.alice.send("last\n");
    room.carol.expect_line("next");
    room.carol.expect_line("last");
}

#[test]
fn a23_an_urgent_byte_leaves_the_server_alive_and_idle_and_the_text_around_it_arrives() {
    let mut room = Room::with(&[]);
    for _ in 0..3 {
        room.alice.send("before, ");
        assert_eq!(SockRef::from(room.alice.stream()).send_out_of_band(b"!").unwrap(), 1);
        room.bob_sends("between");
        // A server that spins would not sleep.
        eventually("the server sleeps", || room.server.status("State").starts_with('S').then_some(()));
        room.expect_shown("after", "before, after");
    }
    SockRef::from(room.alice.stream()).send_out_of_band(b"!").unwrap();
    room.alice.end_input();
    room.server.wait_for_log(" left, 2 online");
    room.bob_sends("at last");
}

/// The first record of a TLS 1.3 handshake, as far as the server looks. It contains line ends.
fn client_hello() -> Vec<u8> {
    let head = [0x16, 0x03, 0x01, 0x00, 0x2F, 0x01, 0x00, 0x00, 0x2B, 0x03, 0x03];
    let random = *b"\nGET / HTTP/1.1\r\nhello, hello!!!\n";
    let tail = [0x00, 0x00, 0x04, 0x13, 0x01, 0x13, 0x02, 0x01, 0x00];
    [&head[..], &random, &tail].concat()
}

/// Alice sends `pieces` to a server with `arguments`. She receives the reason, the log gets one line, and the other
/// clients receive nothing.
#[track_caller]
fn expect_refusal(arguments: &[&str], pieces: &[&[u8]], protocol: &str) {
    let mut room = Room::with(arguments);
    let address = room.alice.address();
    let (last, first) = pieces.split_last().unwrap();
    room.alice_sends_in_pieces(first.iter().copied());
    room.alice.send(last);
    let refusal = String::from_utf8(room.alice.read_to_end()).unwrap();
    if protocol == "HTTP" {
        assert_eq!(refusal, HTTP_REFUSAL);
    } else {
        assert!(refusal.starts_with(&format!("* {OTHER_PROTOCOL}")) && refusal.ends_with('\n'), "{refusal}");
        assert_eq!(refusal.lines().count(), 1, "{refusal}");
    }
    drop(room.alice);
    room.server.wait_for_log(&format!("{address} refused: spoke {protocol},"));
    room.bob.send("after\n");
    room.carol.expect_line("after");
    let counters = room.server.counters();
    let of_bob = format!(" {} (", lines(first.len() as u64 + 1));
    assert!(counters.contains(" relayed, 3 accepted"), "{counters}");
    assert!(counters.contains(&of_bob), "the server relayed more than bob's lines: {counters}");
    let log = room.server.log_so_far();
    let of_alice = log.iter().filter(|line| line.contains(&address)).collect::<Vec<_>>();
    assert_eq!(of_alice.len(), 2, "one line for the join and one for the refusal: {of_alice:#?}");
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n";

#[test]
fn a24_a_client_of_another_protocol_is_refused_and_nothing_of_it_is_relayed() {
    let hello = client_hello();
    let openings: &[(&str, &[u8])] = &[
        ("TLS", &hello),
        ("HTTP", GET),
        ("HTTP", b"POST /x HTTP/1.0\r\nContent-Length: 3\r\n\r\nhi\n"),
        ("HTTP", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0"),
        ("SSH", b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
        ("PROXY", b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 9090\r\nhi\n"),
        ("PROXY", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C\xC0\0\x02\x01\xC0\0\x02\x02\x9C\x40\x23\x82hi\n"),
        ("IRC", b"CAP LS 302\r\nNICK bob\r\nUSER bob 0 * :Bob\r\n"),
        ("IRC", b"PASS x\r\nNICK bob\r\n"),
        ("SMTP", b"EHLO x\r\n"),
        ("RTSP", b"OPTIONS rtsp://127.0.0.1/ RTSP/1.0\r\nCSeq: 1\r\n\r\n"),
        ("SIP", b"INVITE sip:bob@127.0.0.1 SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\n"),
        ("SOCKS", b"\x04\x01\0\x50\x7F\0\0\x01\0"),
        ("SOCKS", b"\x05\x02\0\x02"),
        ("RDP", b"\x03\0\0\x13\x0E\xE0\0\0\0\0\0\x01\0\x08\0\x0B\0\0\0"),
        ("STUN", b"\0\x01\0\0\x21\x12\xA4\x42hello,\nhello"),
        ("TLS", b"\x80\x2E\x01\x03\x01\0\x15\0\0\0\x10\n"),
        ("PostgreSQL", b"\0\0\0\x08\x04\xD2\x16\x2F"),
        ("Redis", b"*1\r\n$4\r\nPING\r\n"),
        ("MQTT", b"\x10\x0E\0\x04MQTT\x04\x02\0\x3C\0\x02me"),
        ("AMQP", b"AMQP\0\0\x09\x01"),
        ("BitTorrent", b"\x13BitTorrent protocol\0\0"),
    ];
    for (protocol, opening) in openings {
        expect_refusal(&[], &[opening], protocol);
    }
}

#[test]
fn a24_an_opening_of_several_lines_is_refused_whole() {
    for (protocol, opening) in [
        ("IRC", "NICK bob\r\nUSER bob 0 * :Bob\r\n"),
        ("IRC", "NICK bob\nUSER bob bob 127.0.0.1 :Bob B.\n"),
        ("IRC", "USER bob 0 * :Bob\r\nNICK bob\r\n"),
        ("IRC", "USER bob bob 127.0.0.1 :Bob B.\r\nNICK bob\r\n"),
        ("HTTP", "\r\nGET / HTTP/1.1\r\n\r\n"),
        ("HTTP", "\n\n\r\nGET / HTTP/1.1\r\n\r\n"),
    ] {
        expect_refusal(&[], &[opening.as_bytes()], protocol);
    }
}

#[test]
fn a24_an_opening_in_pieces_is_refused_and_none_of_its_pieces_is_flushed() {
    let hello = client_hello();
    let banner = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n";
    let irc = b"NICK bob\r\nUSER bob 0 * :Bob\r\n";
    let proxy = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C";
    // Each piece is older than the flush time when the next one comes: bob's lines are slower.
    for arguments in [&[][..], &["--flush-after", "1"]] {
        expect_refusal(arguments, &[&hello[..1], &hello[1..2], &hello[2..]], "TLS");
        expect_refusal(arguments, &[&GET[..3], &GET[3..14], &GET[14..15], &GET[15..]], "HTTP");
        expect_refusal(arguments, &[b"\r", b"\n", GET], "HTTP");
        expect_refusal(arguments, &[b"\r\n", &GET[..8], &GET[8..]], "HTTP");
        expect_refusal(arguments, &[&banner[..4], &banner[4..31], &banner[31..]], "SSH");
        expect_refusal(arguments, &[&irc[..4], &irc[4..10], &irc[10..13], &irc[13..]], "IRC");
        expect_refusal(arguments, &[&proxy[..2], &proxy[2..5], &proxy[5..8], &proxy[8..]], "PROXY");
    }
}

#[test]
fn a24_the_flush_of_a_first_line_waits_while_it_may_be_another_protocol() {
    let mut room = Room::with(&["--flush-after", "50"]);
    room.alice.send("GET / HT");
    // It would be flushed before this, which is sent later.
    room.bob.send("typed");
    room.carol.expect_line("typed");
    room.alice.send("ML, please");
    room.carol.expect_line("GET / HTML, please");
    room.alice.send("GET / HT");
    room.carol.expect_line("GET / HT");
}

#[test]
fn a24_an_http_client_that_sends_at_once_receives_nothing_but_the_response() {
    for arguments in [&[][..], &["--raw"], &["--history", "5"]] {
        let (server, addresses) = Server::start_in_views(arguments);
        for address in addresses {
            // So that the request is there when the server accepts the connection.
            server.pause();
            let mut client = Client::connect(address);
            client.send(GET);
            server.resume();
            assert_eq!(String::from_utf8(client.read_to_end()).unwrap(), HTTP_REFUSAL);
        }
    }
}

#[test]
fn a24_an_unfinished_request_line_at_the_end_of_input_is_refused() {
    for request in ["GET / HTTP/1.1", "\r\nGET / HTTP/1.1"] {
        let mut room = Room::with(&[]);
        room.alice.send(request);
        room.alice.end_input();
        assert_eq!(String::from_utf8(room.alice.read_to_end()).unwrap(), HTTP_REFUSAL);
        room.bob_sends("after");
    }
}

#[test]
fn a24_nick_alone_is_a_message_when_another_line_or_the_end_of_input_follows_or_nothing() {
    let mut room = Room::with(&[]);
    room.expect_shown("NICK bob\nhi", "NICK bob");
    room.carol.expect_line("hi");
    room.expect_shown("NICK bob\nUSER bob 0 * :Bob", "NICK bob");
    room.carol.expect_line("USER bob 0 * :Bob");
    for ending in ["NICK bob\r\n", "NICK bob"] {
        let mut dave = Client::join(&room.server);
        dave.send(ending);
        dave.end_input();
        room.carol.expect_line("NICK bob");
        dave.expect_end();
    }
    // The server waits for a moment, and this client sends nothing more.
    let mut erin = Client::join(&room.server);
    erin.send("NICK erin\n");
    room.carol.expect_line("NICK erin");
    erin.send("hi\n");
    room.carol.expect_line("hi");
}

#[test]
fn a8_an_empty_first_line_is_relayed_when_nothing_follows() {
    let mut room = Room::with(&[]);
    room.expect_shown("", "");
    room.expect_shown("hi", "hi");
}

#[test]
fn a24_a_first_line_that_only_resembles_another_protocol_and_any_later_line_are_chat() {
    for line in [
        "GET out",
        "GET",
        "I like HTTP/2",
        "SSH-keys are lost",
        "HTTP/1.1 is old",
        "get / HTTP/1.1",
        "PASS the salt",
        "CAP",
        "EHLO",
        "USER interface is great :)",
        "PROXY settings are wrong",
        "AMQP",
        "*1",
    ] {
        let mut room = Room::with(&[]);
        room.expect_shown(format!("{line}\nGET / HTTP/1.1"), line);
        room.carol.expect_line("GET / HTTP/1.1");
        room.expect_shown("PASS x", "PASS x");
        room.expect_shown("SSH-2.0-OpenSSH_9.2", "SSH-2.0-OpenSSH_9.2");
        room.expect_shown("\x16\x03\x01", "\\x16\\x03\\x01");
    }
}

#[test]
fn a24_raw_refuses_http_alone_and_relays_all_other_bytes_unchanged() {
    expect_refusal(&["--raw"], &[GET], "HTTP");
    expect_refusal(&["--raw"], &[b"POST /room HTTP/1.1\r\n\r\n/nick x\n"], "HTTP");
    expect_refusal(&["--raw"], &[b"\r\nGET / HT", b"TP/1.1\r\n\r\n"], "HTTP");
    let hello = [&client_hello()[..], b"\n"].concat();
    for bytes in [
        &hello[..],
        b"GET out\r\nGET / HTTP/1.1\r\n",
        b"SSH-2.0-x\r\n",
        b"CAP LS\r\nEHLO x\r\n",
        b"\r\n\r\n\0\r\nQUIT\n",
        b"\xFF\xFD\x06\0\r\0\x1B[2J\n",
    ] {
        let mut room = Room::with(&["--raw"]);
        room.alice.send(bytes);
        assert_eq!(room.carol.read_bytes(bytes.len()), bytes);
        room.bob_sends("after");
        room.alice.expect_line("after");
    }
}

#[test]
fn a25_a_line_of_escapes_grows_fourfold_and_stays_one_line() {
    const LINES: usize = 16;
    let mut room = Room::with(&[]);
    let line = [&[0x1B; MAX_LINE][..], b"\n"].concat();
    let shown = "\\x1B".repeat(MAX_LINE);
    let send = |client: &mut Client, line: &[u8]| client.send(line.repeat(LINES));
    std::thread::scope(|scope| {
        scope.spawn(|| send(&mut room.alice, &line));
        scope.spawn(|| send(&mut room.bob, b"meanwhile\n"));
        let received = std::iter::repeat_with(|| room.carol.read_line()).take(2 * LINES).collect::<Vec<_>>();
        assert_eq!(received.iter().filter(|line| **line == shown.as_bytes()).count(), LINES);
        assert_eq!(received.iter().filter(|line| *line == b"meanwhile").count(), LINES);
    });
    room.bob_sends("after");
}
