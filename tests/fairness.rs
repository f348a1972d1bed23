//! Typed lines pass, in order, while other clients send as fast as they can or many short lines.
//!
//! No test asserts a time. Each typed line must arrive before the next event that could free space, such as
//! a read of a slow reader.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::client_group::ClientGroup;
use common::texts::DISCONNECTED;
use common::{Client, Folder, Server, WELCOME, time_limit};
use hubbub::wire::view::View;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Pause between two typed lines.
const PAUSE: Duration = Duration::from_millis(100);

/// Two clients in the plain view: one sends typed lines, the other must receive each.
struct Typing {
    typist: Client,
    receiver: Client,
    lines: usize,
}

impl Typing {
    #[track_caller]
    fn join(address: SocketAddr) -> Self {
        let [typist, receiver] = std::array::from_fn(|_| {
            let mut client = Client::connect(address);
            client.expect_line(WELCOME);
            client
        });
        // The typist must read too, or it becomes a slow reader itself.
        let mut typist_reads = typist.stream().try_clone().unwrap();
        typist_reads.set_read_timeout(None).unwrap();
        thread::spawn(move || while typist_reads.read(&mut [0; 65536]).is_ok_and(|bytes| bytes > 0) {});
        Self { typist, receiver, lines: 0 }
    }

    /// Sends `count` lines, and waits for each before the next.
    #[track_caller]
    fn exchange(&mut self, count: usize) {
        for _ in 0..count {
            let next = Instant::now() + PAUSE;
            let line = format!("typed {}", self.lines);
            self.typist.send(format!("{line}\n"));
            self.lines += 1;
            let deadline = Instant::now() + time_limit();
            loop {
                let received = self.receiver.read_text();
                if received.starts_with("typed ") {
                    assert_eq!(received, line);
                    break;
                }
                // Lines of the others keep arriving, so that the time limit of one line does not apply.
                assert!(Instant::now() < deadline, "{line:?} did not arrive");
            }
            // The load goes on between two lines.
            while Instant::now() < next {
                thread::park_timeout(next.saturating_duration_since(Instant::now()));
            }
        }
    }
}

/// Runs `load` on a thread while `test` runs.
fn beside<Result>(mut load: impl FnMut() + Send, test: impl FnOnce() -> Result) -> Result {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                load();
            }
        });
        // A failed test must stop the load too.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test));
        stop.store(true, Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Asserts that typed lines pass although a slow json reader blocks a bulk sender and `chatters` clients
/// that send 1,000 one-letter lines a second each.
#[track_caller]
fn expect_typed_lines_beside_chatters(chatters: usize) {
    /// Bytes that the slow reader reads between two pauses: a little more than half a feed of 1 MiB.
    const SLOW_READ: usize = 560 * 1024;
    const TICK: Duration = Duration::from_millis(10);
    // Over TCP the kernel's window probes would pass some bytes to a reader that pauses.
    let folder = Folder::new(&format!("fairness-{chatters}"));
    let socket = folder.path("json");
    let listener = format!("json:unix:{}", socket.display());
    // The stall timeout is longer than the time limit: a line that has to wait for it does not arrive.
    let mut server = Server::start(&["-l", &listener, "--stall-timeout", "3600", "--report-every", "0"]);
    let plain = server.address();
    server.wait_for_log("(json)");
    let mut slow_reader = Client::connect_to_path(&socket);
    let mut typing = Typing::join(plain);
    let mut group = ClientGroup::new();
    for _ in 0..chatters {
        group.join(plain, WELCOME.len() + 1, Vec::new());
    }
    group.join(plain, WELCOME.len() + 1, format!("{}\n", "b".repeat(99)).repeat(2500).into_bytes());
    let mut next_tick = Instant::now();
    let load = || {
        group.turn(next_tick.saturating_duration_since(Instant::now()), |_, _| {});
        if Instant::now() < next_tick {
            return;
        }
        next_tick += TICK;
        let (bulk, chatters) = group.members.split_last_mut().unwrap();
        for chatter in chatters {
            // Like a program that sends at a fixed rate, it keeps what the socket does not take, up to one second.
            chatter.input.drain(..std::mem::take(&mut chatter.sent));
            if chatter.input.len() < 2000 {
                chatter.input.extend_from_slice(&b"c\n".repeat(10));
            }
            chatter.write();
        }
        if bulk.sent == bulk.input.len() {
            bulk.sent = 0;
        }
        bulk.write();
    };
    beside(load, || {
        for _ in 0..2 {
            // The slow reader pauses, so that no space comes free while these lines are sent.
            typing.exchange(18);
            slow_reader.read_bytes(SLOW_READ);
        }
    });
    server.assert_not_logged(DISCONNECTED);
    server.assert_not_logged("connection lost");
}

#[test]
fn typed_lines_pass_beside_a_bulk_sender_a_slow_json_reader_and_five_chatters() {
    expect_typed_lines_beside_chatters(5);
}

#[test]
fn typed_lines_pass_beside_a_bulk_sender_a_slow_json_reader_and_twenty_chatters() {
    expect_typed_lines_beside_chatters(20);
}

#[test]
fn typed_lines_pass_beside_a_bulk_sender_a_slow_json_reader_and_sixty_chatters() {
    expect_typed_lines_beside_chatters(60);
}

/// Asserts that typed lines pass while 400 clients in `view` send their `input` as fast as they can.
#[track_caller]
fn expect_typed_lines_beside_flooders<Bytes: Into<Vec<u8>>>(view: View, input: impl Fn(usize) -> Bytes) {
    const FLOODERS: usize = 400;
    let (mut server, addresses) = Server::start_in_views(&["--stall-timeout", "60", "--report-every", "0"]);
    let mut typing = Typing::join(addresses[View::Plain.index()]);
    let mut group = ClientGroup::new();
    for number in 0..FLOODERS {
        group.join(addresses[view.index()], 1, input(number).into());
    }
    beside(
        || {
            group.turn(Duration::from_millis(10), |_, _| {});
        },
        || typing.exchange(10),
    );
    // The rest of the flood.
    let deadline = Instant::now() + time_limit();
    while group.members.iter().any(|member| member.sent < member.input.len()) {
        group.turn(Duration::from_millis(10), |_, _| {});
        assert!(Instant::now() < deadline, "the server does not read the whole flood");
    }
    let counters = server.counters();
    assert!(counters.contains(&format!("{} online", FLOODERS + 2)), "{counters}");
    server.assert_not_logged(DISCONNECTED);
}

#[test]
fn typed_lines_pass_beside_four_hundred_clients_that_send_telnet_nops() {
    expect_typed_lines_beside_flooders(View::Plain, |_| [255, 241].repeat(16 * 1024));
}

#[test]
fn typed_lines_pass_beside_four_hundred_clients_that_change_their_names() {
    expect_typed_lines_beside_flooders(View::Named, |number| {
        format!("/nick n{number}a\n/nick n{number}b\n").repeat(50)
    });
}

#[test]
fn typed_lines_pass_beside_four_hundred_clients_that_send_lines() {
    expect_typed_lines_beside_flooders(View::Plain, |number| format!("line of {number:20}\n").repeat(200));
}
