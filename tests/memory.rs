//! The server's memory: its maximum, and that it returns after a burst.
//!
//! These are debug builds, whose code takes more memory than that of a release build. So each test bounds
//! the growth of resident memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::texts::DISCONNECTED;
use common::{Client, Server, eventually, has_descriptors};
use std::io::{ErrorKind, Read};
use std::thread;

/// Pages that the server touches for the first time, such as its read buffer of 64 KiB.
const SOME_PAGES_KB: u64 = 256;

/// The server's memory maximum, as hubbub(7) states it.
const CEILING: &str = "4 MB + each view's feed + clients × (512 bytes + 6 × longest line + 84 KiB)";

/// Appends to `received` what has arrived, without blocking, and returns how many bytes that is.
fn drain(client: &Client, received: &mut Vec<u8>) -> usize {
    let mut stream = client.stream();
    let before = received.len();
    stream.set_nonblocking(true).unwrap();
    match stream.read_to_end(received) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        other => panic!("the connection ended: {other:?}"),
    }
    stream.set_nonblocking(false).unwrap();
    received.len() - before
}

/// Waits until the server has read `bytes`, by its own count.
#[track_caller]
fn wait_until_read(server: &mut Server, bytes: usize) {
    eventually("the server has read everything", || {
        let counters = server.counters();
        let part = counters.split(", ").find_map(|part| part.strip_suffix(" bytes in"));
        (part.map_or(0, |count| count.parse().unwrap()) >= bytes).then_some(())
    });
}

/// Waits until resident memory is at most a tenth above `before`.
#[track_caller]
fn expect_memory_returns(server: &Server, before: u64) {
    eventually(&format!("memory is back to {before} kB"), || {
        let now = server.status_kb("VmRSS");
        (now <= before + before / 10).then_some(())
    });
}

/// Starts a server with two clients that have exchanged a line, and returns its resident memory. There is no welcome
/// line, for which each client would wait some milliseconds.
#[track_caller]
fn start_with_two(options: &[&str]) -> (Server, Client, Client, u64) {
    let server = Server::start(&[&["--report-every", "0", "--welcome", ""], options].concat());
    let [mut two, mut one] = [(); 2].map(|()| Client::connect(server.address()));
    one.send("hello\n");
    two.expect_line("hello");
    let resident = server.status_kb("VmRSS");
    (server, one, two, resident)
}

/// Connects `count` clients, and waits until the server has accepted them.
#[track_caller]
fn connect_many(server: &Server, count: usize) -> Vec<Client> {
    let descriptors = server.descriptors();
    let clients = (0..count).map(|_| Client::connect(server.address())).collect::<Vec<_>>();
    server.wait_for_descriptors(descriptors + count);
    clients
}

#[test]
fn c7_the_memory_maximum_of_all_clients_is_what_the_formula_says() {
    const CLIENTS: usize = 200;
    const MAX_LINE: usize = 8192;
    let mut server = Server::start(&["-m", "200", "--report-every", "0"]);
    let before = server.status_kb("VmRSS");
    let clients = Client::join_many_with_buffer(&server, CLIENTS, 4096);
    let half_line = vec![b'x'; MAX_LINE];
    // IAC DO TIMING-MARK, which the server answers every time. The clients read no answers.
    let requests = [255, 253, 6].repeat(400_000);
    let sent = clients.iter().map(|client| client.send_without_blocking(&half_line)).sum::<usize>();
    wait_until_read(&mut server, sent);
    thread::scope(|scope| {
        for clients in clients.chunks(CLIENTS / 4) {
            let requests = &requests;
            scope.spawn(move || {
                for client in clients {
                    let (mut sent, mut blocked) = (0, 0);
                    eventually("the answers fill all buffers", || {
                        let count = client.send_without_blocking(&requests[sent..]);
                        sent += count;
                        blocked = if count == 0 { blocked + 1 } else { 0 };
                        (blocked > 20).then_some(())
                    });
                }
            });
        }
    });
    let after = server.status_kb("VmRSS");
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/man/hubbub.7")).unwrap();
    let words = page.replace("\\(mu", "×").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(CEILING), "hubbub(7) states another memory maximum");
    let each = 512 + 6 * MAX_LINE + 84 * 1024;
    // The feed, and 1 MiB of input that cannot be handled yet.
    let shared = 2 * 1024;
    // `before` stands for the other 3 MB, those of a release build.
    let most = before + SOME_PAGES_KB + shared + (CLIENTS * each / 1024) as u64;
    assert!(after <= most, "{after} kB, not at most {most}");
    // The test is void if the clients do not come near the maximum.
    assert!(after >= before + (CLIENTS * (MAX_LINE + 4096) / 1024) as u64, "{after} kB after {before}");
    drop(clients);
    expect_memory_returns(&server, before);
}

#[test]
fn c8_a_thousand_stuck_readers_cost_less_than_a_mebibyte() {
    if !has_descriptors(4000) {
        return;
    }
    let peak = |stuck: usize| {
        let mut server = Server::start(&["--stall-timeout", "100", "--report-every", "0"]);
        let stuck = Client::join_many_with_buffer(&server, stuck, 4096);
        let (healthy, flooder) = (Client::join(&server), Client::join(&server));
        let flood = (0..60_000).flat_map(|n| format!("line {n:44}\n").into_bytes()).collect::<Vec<_>>();
        let (mut sent, mut received, mut idle) = (0, Vec::new(), 0);
        // Until all lines are received or, with stuck readers, the server blocks the flood.
        eventually("the flood has passed or is blocked", || {
            let written = flooder.send_without_blocking(&flood[sent..]);
            let read = drain(&healthy, &mut received);
            sent += written;
            idle = if written + read == 0 { idle + 1 } else { 0 };
            let is_blocked = !stuck.is_empty() && idle > 50 && received.len() > 900_000;
            (received.len() == flood.len() || is_blocked).then_some(())
        });
        assert!(received == flood[..received.len()]);
        server.assert_not_logged(DISCONNECTED);
        server.status_kb("VmHWM")
    };
    // The first stuck reader fills the feed, which all share; each further one takes a slot.
    let (thousand, one, none) = (peak(1000), peak(1), peak(0));
    assert!(thousand <= one + 1000 * 128 / 1024 + SOME_PAGES_KB, "{thousand} kB with 1000, {one} with one");
    assert!(one <= none + 1024 + SOME_PAGES_KB, "{one} kB with one, {none} without");
}

#[test]
fn c15_unfinished_lines_cost_their_bytes_and_their_memory_returns() {
    if !has_descriptors(4000) {
        return;
    }
    const SENDERS: usize = 1000;
    const UNFINISHED: usize = 8000;
    let (mut server, _one, mut two, empty) = start_with_two(&[]);
    let mut senders = connect_many(&server, SENDERS);
    let before = server.status_kb("VmRSS");
    senders.iter_mut().for_each(|sender| sender.send(vec![b'x'; UNFINISHED]));
    wait_until_read(&mut server, SENDERS * UNFINISHED);
    let after = server.status_kb("VmRSS");
    // A twentieth more for malloc itself.
    let most = before + (SENDERS * UNFINISHED / 1024 * 21 / 20) as u64 + SOME_PAGES_KB;
    assert!(after <= most, "{after} kB, not at most {most}");
    assert!(after >= before + (SENDERS * UNFINISHED / 1024) as u64, "{after} kB after {before}");
    // Most senders reset; 20 finish their line, whose copies fit into the socket buffers of all clients.
    senders.split_off(20).into_iter().for_each(Client::reset);
    for sender in &mut senders {
        sender.send("\n");
        two.expect_line(vec![b'x'; UNFINISHED]);
    }
    drop(senders);
    expect_memory_returns(&server, empty);
}

#[test]
fn c15_after_a_flood_memory_returns() {
    let (mut server, mut one, mut two, before) = start_with_two(&[]);
    let flood = (0..200_000).flat_map(|n| format!("line {n:44}\n").into_bytes()).collect::<Vec<_>>();
    thread::scope(|scope| {
        let reader = scope.spawn(|| assert!(two.read_bytes(flood.len()) == flood));
        one.send(&flood);
        reader.join().unwrap();
    });
    expect_memory_returns(&server, before);
    server.assert_not_logged(DISCONNECTED);
}

#[test]
fn c15_after_8000_clients_have_left_memory_returns_with_and_without_limits() {
    if !has_descriptors(12_000) {
        return;
    }
    for (options, each) in
        [(&[][..], 140), (&["--idle-timeout", "600", "--max-per-ip", "9000", "--rate", "9"], 280)]
    {
        let (server, _one, _two, before) = start_with_two(options);
        let clients = connect_many(&server, 8000);
        let after = server.status_kb("VmRSS");
        assert!(after <= before + 8000 * each / 1024 + SOME_PAGES_KB, "{after} kB after {before}");
        drop(clients);
        expect_memory_returns(&server, before);
    }
}
