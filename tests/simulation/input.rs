//! What clients send: chat, telnet, floods and other protocols.

use crate::common::random::Random;

const IAC: u8 = 255;
/// SE, NOP, SB, WILL, WONT, DO, DONT, and IAC once more.
const COMMANDS: [u8; 8] = [240, 241, 250, 251, 252, 253, 254, 255];

/// Returns what a client sends next, with a limit of `max_line` bytes per line.
pub(crate) fn input(random: &mut Random, max_line: usize, feed: usize) -> Vec<u8> {
    match random.below(21) {
        0..8 => line(random, max_line),
        8..11 => half_line(random, max_line),
        11 => random.pick(&[&b"\r"[..], b"\n", b"\r\n", b"\0", b"\r\0", b"\n\n\n"]).to_vec(),
        12 => telnet(random, max_line),
        13 => too_long(random, max_line),
        14 => nearly_too_long(random, max_line),
        15 => not_utf8(random),
        16 => flood(random, max_line, feed),
        17 => burst(random),
        18 => negotiation(random),
        _ => other_protocol(random),
    }
}

/// Returns a line end, of any kind.
fn end(random: &mut Random) -> &'static [u8] {
    random.pick(&[&b"\n"[..], b"\n", b"\r\n", b"\r\0"])
}

fn word(random: &mut Random, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.pick(b"abcdefghij klmnopqrstuvwxyz\t0123456789")).collect()
}

fn line(random: &mut Random, max_line: usize) -> Vec<u8> {
    let length = random.within(0..=max_line.min(40));
    [&word(random, length), end(random)].concat()
}

fn half_line(random: &mut Random, max_line: usize) -> Vec<u8> {
    let length = random.within(1..=max_line.min(30));
    word(random, length)
}

fn telnet(random: &mut Random, max_line: usize) -> Vec<u8> {
    let mut sent = vec![IAC, random.pick(&COMMANDS)];
    if random.one_in(2) {
        let length = random.within(0..=max_line + 8);
        sent.extend(word(random, length));
        sent.extend([IAC, 240]);
    }
    sent.push(random.number() as u8);
    sent
}

/// Many questions with a reply, more than the outbox of one client may hold.
fn negotiation(random: &mut Random) -> Vec<u8> {
    let timing_mark = random.one_in(3);
    let ask = |option| [IAC, 253, if timing_mark { 6 } else { option }];
    let count = if random.one_in(4) { 2000 } else { 20 };
    (0..count).flat_map(|option| ask(option as u8)).collect()
}

fn too_long(random: &mut Random, max_line: usize) -> Vec<u8> {
    let length = max_line + random.within(1..=2 * max_line);
    let mut sent = word(random, length);
    if random.one_in(2) {
        sent.extend_from_slice(end(random));
    }
    sent
}

fn nearly_too_long(random: &mut Random, max_line: usize) -> Vec<u8> {
    let length = max_line - 1 + random.below(3);
    [&word(random, length), end(random)].concat()
}

fn not_utf8(random: &mut Random) -> Vec<u8> {
    let bytes = random.within(1..=12);
    let odd =
        [&b"\xC0\x80"[..], b"\xED\xA0\x80", b"\x9B", b"\xF0\x9F\x99", b"\x1B[2J", "é🙂\u{85}".as_bytes()];
    [&random.bytes(bytes)[..], random.pick(&odd), end(random)].concat()
}

/// More than the feed holds, and many times as much once it is escaped.
fn flood(random: &mut Random, max_line: usize, feed: usize) -> Vec<u8> {
    let mut sent = Vec::new();
    let bytes = random.within(1..=feed * 2);
    let controls = random.one_in(4);
    while sent.len() < bytes {
        if controls {
            sent.extend(vec![0x1B; random.below(max_line + 1)]);
            sent.push(b'\n');
        } else {
            sent.extend(line(random, max_line));
        }
    }
    sent
}

/// Many short lines, as in a paste.
fn burst(random: &mut Random) -> Vec<u8> {
    (0..random.within(2..=30)).flat_map(|number| format!("{number}\n").into_bytes()).collect()
}

/// The opening of another protocol, or what is nearly one. It is one only for a client that has sent nothing yet.
fn other_protocol(random: &mut Random) -> Vec<u8> {
    let openings = [
        &b"GET / HTTP/1.1\r\n"[..],
        b"\r\nGET / HTTP/1.1\r\n",
        b"\nGET / HT",
        b"SSH-2.0-x\r\n",
        b"\x16\x03\x01\x02\x00",
        b"\x16\x03hello\n",
        b"NICK bob\r\nUSER bob 0 * :Bob\r\n",
        b"NICK bob\n",
        b"NICK bob\nUS",
        b"\n\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\n",
        b"\r\n\r\n\0\r\n",
        b"EHLO x\n",
        b"\x10\x0D\0",
        b"*1\n",
    ];
    random.pick(&openings).to_vec()
}
