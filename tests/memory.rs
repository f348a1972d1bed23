//! What the server's memory comes to, at most and after a burst.
//!
//! Resident memory is that of a debug build, whose code takes some more than a release build's: every
//! bound here is one on what was added to it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::{Client, Server, eventually};
use std::io::{ErrorKind, Read, Write};
use std::thread;

/// A page or two for each thing that is touched for the first time, such as the buffer of 64 KiB.
const SOME_PAGES_KB: u64 = 256;

/// The most memory that a server takes, as hubbub(7) says.
const CEILING: &str = "4 MB + each view's feed + clients × (512 bytes + 6 × longest line + 84 KiB)";

/// Says `bytes` as far as they go without waiting.
fn pours(client: &Client, bytes: &[u8]) -> usize {
    let mut stream = client.stream();
    stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    stream.set_nonblocking(false).unwrap();
    sent
}

/// Takes what is there into `heard`; returns how many bytes that were.
fn drains(client: &Client, heard: &mut Vec<u8>) -> usize {
    let mut stream = client.stream();
    let before = heard.len();
    stream.set_nonblocking(true).unwrap();
    match stream.read_to_end(heard) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        other => panic!("the connection ended: {other:?}"),
    }
    stream.set_nonblocking(false).unwrap();
    heard.len() - before
}

/// Bytes that the server has read, by its own count.
#[track_caller]
fn bytes_read(server: &mut Server) -> usize {
    server.signal("USR1");
    let counted = server.wait_for_log(" accepted");
    let part = counted.split(", ").find_map(|part| part.strip_suffix(" bytes in"));
    part.map_or(0, |count| count.parse().unwrap())
}

#[track_caller]
fn wait_until_read(server: &mut Server, bytes: usize) {
    eventually("everything is read", || (bytes_read(server) >= bytes).then_some(()));
}

/// The server's memory comes back to within a tenth of `before`.
#[track_caller]
fn memory_is_back(server: &Server, before: u64) {
    eventually(&format!("memory is back to {before} kB"), || {
        let now = server.status_kb("VmRSS");
        (now <= before + before / 10).then_some(())
    });
}

#[test]
fn c7_the_most_that_clients_can_take_is_what_the_formula_says() {
    const CLIENTS: usize = 200;
    const MAX_LINE: usize = 8192;
    let mut server = Server::start(&["-m", "200", "--report-every", "0"]);
    let before = server.status_kb("VmRSS");
    let clients = (0..CLIENTS).map(|_| Client::join_with_buffer(&server, 4096)).collect::<Vec<_>>();
    let half_line = vec![b'x'; MAX_LINE];
    // IAC DO TIMING-MARK: the one request that is answered each time, and here by nobody read.
    let requests = [255, 253, 6].repeat(400_000);
    let sent = clients.iter().map(|client| pours(client, &half_line)).sum::<usize>();
    wait_until_read(&mut server, sent);
    thread::scope(|scope| {
        for clients in clients.chunks(CLIENTS / 4) {
            let requests = &requests;
            scope.spawn(move || {
                for client in clients {
                    let mut sent = 0;
                    let mut refused = 0;
                    eventually("its answers have filled all there is", || {
                        let poured = pours(client, &requests[sent..]);
                        sent += poured;
                        refused = if poured == 0 { refused + 1 } else { 0 };
                        (refused > 20).then_some(())
                    });
                }
            });
        }
    });
    let after = server.status_kb("VmRSS");
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/man/hubbub.7")).unwrap();
    let words = page.replace("\\(mu", "×").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(CEILING), "hubbub(7) has another formula");
    let each = 512 + 6 * MAX_LINE + 84 * 1024;
    // The feed, and 1 MiB of input that cannot be handled yet.
    let shared = 2 * 1024;
    // `before` takes the place of the first 3 MB, which hold for a release build.
    let most = before + SOME_PAGES_KB + shared + (CLIENTS * each / 1024) as u64;
    assert!(after <= most, "{after} kB, not {most} at most");
    // It is a ceiling that they come near to, and not one in the clouds.
    assert!(after >= before + (CLIENTS * (MAX_LINE + 4096) / 1024) as u64, "{after} kB after {before}");
    drop(clients);
    memory_is_back(&server, before);
}

#[test]
fn c8_a_thousand_stuck_readers_cost_less_than_a_mebibyte() {
    let peak = |stuck: usize| {
        let mut server = Server::start(&["--stall-timeout", "100", "--report-every", "0"]);
        let stuck = (0..stuck).map(|_| Client::join_with_buffer(&server, 4096)).collect::<Vec<_>>();
        let (healthy, flooder) = (Client::join(&server), Client::join(&server));
        let flood = (0..60_000).flat_map(|n| format!("line {n:44}\n").into_bytes()).collect::<Vec<_>>();
        let (mut sent, mut heard, mut rests) = (0, Vec::new(), 0);
        // Until all is heard, or the room waits, which it does for none but the stuck.
        eventually("the flood is over, or waits", || {
            let poured = pours(&flooder, &flood[sent..]);
            let taken = drains(&healthy, &mut heard);
            sent += poured;
            rests = if poured + taken == 0 { rests + 1 } else { 0 };
            let is_full = !stuck.is_empty() && rests > 50 && heard.len() > 900_000;
            (heard.len() == flood.len() || is_full).then_some(())
        });
        assert!(heard == flood[..heard.len()]);
        assert!(!server.log_so_far().iter().any(|line| line.contains("cut")));
        server.status_kb("VmHWM")
    };
    // One already fills the feed, which all share; each further one costs its place.
    let (thousand, one, none) = (peak(1000), peak(1), peak(0));
    assert!(thousand <= one + 1000 * 128 / 1024 + SOME_PAGES_KB, "{thousand} kB with them, {one} with one");
    assert!(one <= none + 1024 + SOME_PAGES_KB, "{one} kB with one, {none} without");
}

#[test]
fn c15_half_lines_cost_what_they_hold_and_are_given_back() {
    const SPEAKERS: usize = 1000;
    const HELD: usize = 8000;
    let mut server = Server::start(&["--report-every", "0"]);
    let (mut one, mut two) = (Client::join(&server), Client::join(&server));
    one.says("hello\n");
    two.expects("hello");
    let empty = server.status_kb("VmRSS");
    let mut speakers = (0..SPEAKERS).map(|_| Client::join(&server)).collect::<Vec<_>>();
    let before = server.status_kb("VmRSS");
    speakers.iter_mut().for_each(|speaker| speaker.says(vec![b'x'; HELD]));
    wait_until_read(&mut server, SPEAKERS * HELD);
    let holding = server.status_kb("VmRSS");
    // A twentieth for what malloc needs of its own.
    let most = before + (SPEAKERS * HELD / 1024 * 21 / 20) as u64 + SOME_PAGES_KB;
    assert!(holding <= most, "{holding} kB, not {most} at most");
    assert!(holding >= before + (SPEAKERS * HELD / 1024) as u64, "{holding} kB after {before}");
    // Most break off, and some end their line; these hear no more than the system keeps for them.
    let breaking = speakers.split_off(20);
    breaking.into_iter().for_each(Client::resets);
    for speaker in &mut speakers {
        speaker.says("\n");
        two.expects(vec![b'x'; HELD]);
    }
    drop(speakers);
    memory_is_back(&server, empty);
}

#[test]
fn c15_after_a_flood_memory_is_given_back() {
    let mut server = Server::start(&["--report-every", "0"]);
    let (mut one, mut two) = (Client::join(&server), Client::join(&server));
    one.says("hello\n");
    two.expects("hello");
    let before = server.status_kb("VmRSS");
    let flood = (0..200_000).flat_map(|n| format!("line {n:44}\n").into_bytes()).collect::<Vec<_>>();
    thread::scope(|scope| {
        let reader = scope.spawn(|| assert!(two.hears_bytes(flood.len()) == flood));
        one.says(&flood);
        reader.join().unwrap();
    });
    memory_is_back(&server, before);
    assert!(!server.log_so_far().iter().any(|line| line.contains("cut")));
}

#[test]
fn c15_after_a_crowd_memory_is_given_back_whatever_was_noted_of_each() {
    for (options, each) in
        [(&[][..], 140), (&["--idle-timeout", "600", "--max-per-ip", "9000", "--rate", "9"], 280)]
    {
        let server = Server::start(&[&["--report-every", "0"], options].concat());
        let (mut one, mut two) = (Client::join(&server), Client::join(&server));
        one.says("hello\n");
        two.expects("hello");
        let before = server.status_kb("VmRSS");
        let crowd = (0..8000).map(|_| Client::join(&server)).collect::<Vec<_>>();
        let crowded = server.status_kb("VmRSS");
        assert!(crowded <= before + 8000 * each / 1024 + SOME_PAGES_KB, "{crowded} kB after {before}");
        drop(crowd);
        memory_is_back(&server, before);
    }
}
