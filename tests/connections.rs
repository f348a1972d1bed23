//! Connections from the first packet to the last, and peers that behave badly on the way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::texts::{
    CLIENT_OF_ANOTHER_PROTOCOL, DID_NOT_READ_THE_REST, DISCONNECTED, HTTP_REFUSAL, LEFT, OTHER_PROTOCOL,
    READ_TOO_SLOWLY, SERVER_STOPPING,
};
use common::{Client, Server, WELCOME, eventually, has_descriptors, time_limit};
use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

/// A receive buffer in bytes, small beside the server's send buffer.
const SMALL: usize = 16 * 1024;
/// Lines of a flood: more than a feed of 1 MiB and all socket buffers hold.
const FLOOD: usize = 4000;
/// Options for a test that waits until the server disconnects a stalled reader.
const SMALL_FEED: [&str; 4] = ["--feed", "256k", "--stall-timeout", "1"];
/// Bytes of that feed.
const SMALL_FEED_BYTES: usize = 256 * 1024;

/// Line `number` of a flood, 1000 bytes long with its line end.
fn flood_line(number: usize) -> String {
    format!("{number:06} {}", "~".repeat(992))
}

/// Sends the lines of `range` as fast as the server reads them.
fn send_flood(mut client: Client, range: Range<usize>) -> JoinHandle<Client> {
    spawn(move || {
        for number in range {
            client.send(flood_line(number) + "\n");
        }
        client
    })
}

/// Receives the lines of `range`, each complete, in order, and no other line.
fn expect_flood(mut client: Client, range: Range<usize>) -> JoinHandle<Client> {
    spawn(move || {
        for number in range {
            client.expect_line(flood_line(number));
        }
        client
    })
}

/// Receives the lines of a flood from `next` on until `end`, and returns the number after the last.
fn expect_flood_until(mut client: Client, mut next: usize, end: &'static str) -> JoinHandle<usize> {
    spawn(move || {
        loop {
            let line = client.read_line();
            if line == end.as_bytes() {
                return next;
            }
            assert_eq!(String::from_utf8_lossy(&line), flood_line(next));
            next += 1;
        }
    })
}

/// Reads one byte.
#[track_caller]
fn read_one_byte(client: &Client) {
    let mut stream = client.stream();
    stream.set_read_timeout(Some(time_limit())).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 1);
}

/// How many bytes a disconnected reader was behind, by its log line.
#[track_caller]
fn bytes_behind(log_line: &str) -> usize {
    let before = log_line.split_once(" bytes behind").expect(log_line).0;
    before.rsplit(' ').next().and_then(|count| count.parse().ok()).expect(log_line)
}

/// Asserts that `sender` can send to `receiver`, which has nothing else to receive.
#[track_caller]
fn expect_relay(sender: &mut Client, receiver: &mut Client) {
    sender.send("marker\n");
    receiver.expect_line("marker");
}

/// Asserts that the next line is the refusal of another protocol.
#[track_caller]
fn expect_protocol_refused(client: &mut Client) {
    let line = client.read_text();
    assert!(line.starts_with(&format!("* {OTHER_PROTOCOL}")), "{line}");
}

#[test]
fn b1_a_client_that_resets_before_it_is_accepted_disconnects_no_other_client() {
    let mut server = Server::start(&[]);
    let mut receiver = Client::join(&server);
    server.pause();
    let silent = Client::connect(server.address());
    let mut sender = Client::connect(server.address());
    sender.send("sent before the reset\ntorn");
    let addresses = [silent.address(), sender.address()];
    silent.reset();
    sender.reset();
    server.resume();
    receiver.expect_line("sent before the reset");
    let log = (0..2).map(|_| server.wait_for_log("connection lost")).collect::<Vec<_>>();
    for address in addresses {
        assert!(log.iter().any(|line| line.contains(&address)), "no {address} in {log:?}");
    }
    expect_relay(&mut Client::join(&server), &mut receiver);
}

#[test]
fn b2_a_client_that_connects_and_leaves_without_data_sends_nothing_and_leaks_nothing() {
    let server = Server::start(&[]);
    let (mut receiver, mut sender) = (Client::join(&server), Client::join(&server));
    let before = server.descriptors();
    for _ in 0..50 {
        drop(Client::connect(server.address()));
        drop(Client::join(&server));
    }
    server.wait_for_descriptors(before);
    expect_relay(&mut sender, &mut receiver);
}

/// Connections of a port scan.
const SCAN: usize = 10_000;

#[test]
fn b3_after_a_port_scan_memory_and_descriptors_are_as_before() {
    let mut server = Server::start(&[]);
    let (mut receiver, mut sender) = (Client::join(&server), Client::join(&server));
    let before = (server.descriptors(), server.status_kb("VmRSS"));
    for _ in 0..SCAN {
        drop(Client::connect(server.address()));
    }
    // The server accepts in order, so all others are accepted before this one.
    drop(Client::join(&server));
    server.wait_for_descriptors(before.0);
    let resident = server.status_kb("VmRSS");
    assert!(resident <= before.1 + 1024, "{} kB before, {resident} kB after", before.1);
    let counters = server.counters();
    assert!(counters.contains(" 2 online, "), "{counters}");
    assert!(counters.contains(&format!(" {} accepted connections, ", SCAN + 3)), "{counters}");
    expect_relay(&mut sender, &mut receiver);
}

#[test]
fn b3_a_port_scan_does_not_flood_the_log() {
    let mut server = Server::start(&[]);
    for _ in 0..SCAN {
        drop(Client::connect(server.address()));
    }
    drop(Client::join(&server));
    server.counters();
    let lines = server.log_so_far().len();
    assert!(lines < SCAN, "{lines} log lines for {SCAN} connections");
}

#[test]
fn b4_a_client_that_sends_a_line_and_ends_its_input_is_relayed_and_closed() {
    // With this stall timeout only the end of input can close the connection within the time limit.
    let mut server = Server::start(&["--stall-timeout", "3600"]);
    let mut receiver = Client::join(&server);
    for round in 0..20 {
        let mut sender = Client::connect(server.address());
        sender.send(format!("line {round}\nunfinished {round}"));
        sender.end_input();
        receiver.expect_line(format!("line {round}"));
        receiver.expect_line(format!("unfinished {round}"));
        sender.expect_line(WELCOME);
        sender.expect_end();
        server.wait_for_log(&format!("{} left", sender.address()));
    }
}

#[test]
fn b5_a_half_closed_reader_receives_all_that_was_sent_before_and_nothing_after() {
    let server = Server::start(&["--stall-timeout", "3600"]);
    let mut receiver = Client::join(&server);
    let mut reader = Client::join_with_buffer(&server, 4 * SMALL);
    // 800 kB fit into the feed, but not into the socket buffers between the server and the reader.
    let mut sender = send_flood(Client::join(&server), 0..800).join().unwrap();
    receiver = expect_flood(receiver, 0..800).join().unwrap();
    reader.send("last line");
    reader.end_input();
    // Without a line end it becomes a message only when the server has read the end of input.
    receiver.expect_line("last line");
    sender.expect_line("last line");
    sender.send("after the end\n");
    receiver.expect_line("after the end");
    let mut reader = expect_flood(reader, 0..800).join().unwrap();
    reader.expect_end();
}

#[test]
fn b5_a_half_closed_reader_that_does_not_read_is_disconnected_after_the_stall_timeout() {
    let mut server = Server::start(&["--stall-timeout", "1"]);
    let mut receiver = Client::join(&server);
    let mut reader = Client::join_with_buffer(&server, SMALL);
    let descriptors = server.descriptors();
    let mut sender = send_flood(Client::join(&server), 0..800).join().unwrap();
    receiver = expect_flood(receiver, 0..800).join().unwrap();
    reader.end_input();
    let log = server.wait_for_log(DID_NOT_READ_THE_REST);
    assert!(log.contains(&reader.address()), "{log}");
    // The sender has come and the reader has gone.
    server.wait_for_descriptors(descriptors);
    expect_relay(&mut sender, &mut receiver);
}

#[test]
fn b6_a_client_that_only_receives_is_not_affected_by_any_timeout() {
    let mut server = Server::start(&["--stall-timeout", "1", "--flush-after", "1", "--report-every", "1"]);
    let mut receiver = Client::join(&server);
    // The longest timeout: a refused client that does not close its side.
    let mut refused = Client::join(&server);
    refused.send("GET / HTTP/1.1\r\n");
    server.wait_for_log("spoke HTTP");
    let mut sender = Client::join(&server);
    expect_relay(&mut sender, &mut receiver);
    sender.end_input();
    sender.expect_end();
    server.assert_not_logged(&format!("{} left", receiver.address()));
}

#[test]
fn b7_a_client_that_ends_its_input_at_once_receives_the_welcome_and_is_closed() {
    let mut server = Server::start(&[]);
    let mut client = Client::connect(server.address());
    client.end_input();
    client.expect_line(WELCOME);
    client.expect_end();
    server.wait_for_log(&format!("{} left", client.address()));
}

#[test]
fn b8_a_client_that_closes_while_the_server_writes_to_it_disconnects_no_other_client() {
    let mut server = Server::start(&["--stall-timeout", "3600"]);
    let receiver = Client::join(&server);
    let closing = Client::join_with_buffer(&server, SMALL);
    let sender = send_flood(Client::join(&server), 0..FLOOD);
    // The whole flood can pass only if the server does not wait for the closed client.
    let receiver = expect_flood(receiver, 0..FLOOD);
    let address = closing.address();
    // The rest of the line stays unread, so that closing is a reset.
    read_one_byte(&closing);
    drop(closing);
    server.wait_for_log(&format!("{address} connection lost"));
    let (mut sender, mut receiver) = (sender.join().unwrap(), receiver.join().unwrap());
    expect_relay(&mut sender, &mut receiver);
    let ignored = u64::from_str_radix(&server.status("SigIgn"), 16).unwrap();
    assert_ne!(ignored & (1 << (13 - 1)), 0, "SIGPIPE (13) must be ignored");
}

/// A flood whose socket buffers are always full, so that the server can always read more of it.
struct Flood {
    client: Client,
    bytes: Vec<u8>,
    sent: usize,
}

impl Flood {
    #[track_caller]
    fn join(server: &Server) -> Self {
        let bytes = (0..FLOOD).flat_map(|number| (flood_line(number) + "\n").into_bytes()).collect();
        Self { client: Client::join(server), bytes, sent: 0 }
    }

    /// Sends as much as the socket takes.
    #[track_caller]
    fn refill(&mut self) {
        self.sent += self.client.send_without_blocking(&self.bytes[self.sent..]);
    }

    /// Sends typed lines until the server blocks the flood, and returns how many lines of the flood were
    /// received. The flood is blocked if ten typed lines in a row arrive with no line of it between them.
    #[track_caller]
    fn block_while_typing(&mut self, typist: &mut Client, receiver: &mut Client) -> usize {
        let (mut received, mut typed_in_a_row) = (0, 0);
        while typed_in_a_row < 10 {
            self.refill();
            typist.send(".\n");
            typed_in_a_row += 1;
            loop {
                let line = receiver.read_line();
                if line == b"." {
                    break;
                }
                assert_eq!(String::from_utf8_lossy(&line), flood_line(received));
                (received, typed_in_a_row) = (received + 1, 0);
            }
        }
        assert!(received < FLOOD, "the flood was never blocked");
        received
    }

    /// Sends the rest as fast as the server reads it.
    fn send_rest(mut self) -> JoinHandle<Client> {
        spawn(move || {
            self.client.send(&self.bytes[self.sent..]);
            self.client
        })
    }
}

#[test]
fn b9_while_a_stuck_reader_blocks_a_flood_typed_lines_pass() {
    let mut server = Server::start(&["--stall-timeout", "3600"]);
    let stuck = Client::join_with_buffer(&server, SMALL);
    let (mut receiver, mut typist) = (Client::join(&server), Client::join(&server));
    let typist_reads = expect_flood(Client::from_stream(typist.stream().try_clone().unwrap()), 0..FLOOD);
    let mut flood = Flood::join(&server);
    let received = flood.block_while_typing(&mut typist, &mut receiver);
    server.assert_not_logged(DISCONNECTED);
    // When the stuck reader leaves, the rest of the flood arrives: it was delayed, not lost.
    stuck.reset();
    let rest = flood.send_rest();
    expect_flood(receiver, received..FLOOD).join().unwrap();
    typist_reads.join().unwrap();
    rest.join().unwrap();
}

/// Runs a flood beside `slow`, which `read` reads from. Asserts that two other clients receive the whole
/// flood and that the server disconnects `slow` alone, and returns how many bytes it was behind.
#[track_caller]
fn bytes_behind_when_disconnected(server: &mut Server, slow: &Client, read: impl Fn(&Client)) -> usize {
    let receivers = [Client::join(server), Client::join(server)].map(|client| expect_flood(client, 0..FLOOD));
    let flooder = send_flood(Client::join(server), 0..FLOOD);
    let reason = format!("{} {READ_TOO_SLOWLY}", slow.address());
    let log = eventually("the slow reader is disconnected", || {
        read(slow);
        server.log_so_far().iter().find(|line| line.contains(&reason)).cloned()
    });
    flooder.join().unwrap();
    for receiver in receivers {
        receiver.join().unwrap();
    }
    let disconnected = server.log_so_far().iter().filter(|line| line.contains(DISCONNECTED)).count();
    assert_eq!(disconnected, 1, "{:?}", server.log_so_far());
    bytes_behind(&log)
}

#[test]
fn b9_a_stuck_reader_is_disconnected_and_the_others_lose_nothing() {
    let mut server = Server::start(&SMALL_FEED);
    let stuck = Client::join_with_buffer(&server, SMALL);
    let behind = bytes_behind_when_disconnected(&mut server, &stuck, |_| {});
    assert!((SMALL_FEED_BYTES / 2..=SMALL_FEED_BYTES).contains(&behind), "{behind} bytes behind");
}

#[test]
fn b9_the_disconnection_of_a_stuck_reader_is_logged_after_many_joins_and_leaves() {
    let mut server = Server::start(&SMALL_FEED);
    for _ in 0..1500 {
        drop(Client::connect(server.address()));
    }
    let stuck = Client::join_with_buffer(&server, SMALL);
    let flooder = send_flood(Client::join(&server), 0..FLOOD);
    server.wait_for_log(&format!("{} {READ_TOO_SLOWLY}", stuck.address()));
    flooder.join().unwrap();
}

#[test]
fn b10_a_reader_of_one_byte_at_a_time_is_disconnected_like_a_stuck_reader() {
    let mut server = Server::start(&SMALL_FEED);
    let slow = Client::join_with_buffer(&server, SMALL);
    let behind = bytes_behind_when_disconnected(&mut server, &slow, read_one_byte);
    assert!(behind >= SMALL_FEED_BYTES / 2, "{behind} bytes behind");
}

#[test]
fn b11_a_reader_that_is_just_fast_enough_stays_connected_and_sets_the_pace() {
    let mut server = Server::start(&SMALL_FEED);
    let slow = Client::join_with_buffer(&server, SMALL);
    slow.stream().set_read_timeout(Some(time_limit())).unwrap();
    let receiver = expect_flood_until(Client::join(&server), 0, "the end");
    let sent = Arc::new(AtomicUsize::new(0));
    let enough = Arc::new(AtomicBool::new(false));
    let flooder = spawn({
        let (mut client, sent, enough) = (Client::join(&server), Arc::clone(&sent), Arc::clone(&enough));
        move || {
            while !enough.load(Relaxed) {
                client.send(flood_line(sent.load(Relaxed)) + "\n");
                sent.fetch_add(1, Relaxed);
            }
            client.send("the end\n");
        }
    });
    // Three stall timeouts, at no more than eight times the speed that the stall rule asks for.
    let start = Instant::now();
    let mut received = 0;
    eventually("the stall timeout has passed three times", || {
        let mut line = [0; 1000];
        slow.stream().read_exact(&mut line).unwrap();
        assert_eq!(line.to_vec(), (flood_line(received) + "\n").into_bytes());
        received += 1;
        (start.elapsed() >= Duration::from_secs(3)).then_some(())
    });
    let ahead = sent.load(Relaxed) - received;
    assert!(ahead > 256, "the flood was never blocked: it is only {ahead} kB ahead of the reader");
    enough.store(true, Relaxed);
    let slow = expect_flood_until(slow, received, "the end");
    flooder.join().unwrap();
    assert_eq!(slow.join().unwrap(), sent.load(Relaxed));
    assert_eq!(receiver.join().unwrap(), sent.load(Relaxed));
    server.assert_not_logged(DISCONNECTED);
}

#[test]
fn b12_a_reader_that_catches_up_between_two_bursts_has_the_whole_stall_timeout_again() {
    let mut server = Server::start(&["--feed", "256k", "--stall-timeout", "3"]);
    let mut reader = Client::join_with_buffer(&server, SMALL);
    let (mut receiver, mut flooder) = (Client::join(&server), Client::join(&server));
    for burst in [0..FLOOD, FLOOD..2 * FLOOD] {
        let sending = send_flood(flooder, burst.clone());
        let receiving = expect_flood(receiver, burst.clone());
        // More than half of the stall timeout, so that two such waits together are too long.
        let start = Instant::now();
        eventually("the flood has been blocked for a while", || {
            (start.elapsed() >= Duration::from_millis(1800)).then_some(())
        });
        assert!(!receiving.is_finished(), "the flood was not blocked");
        reader = expect_flood(reader, burst).join().unwrap();
        (flooder, receiver) = (sending.join().unwrap(), receiving.join().unwrap());
    }
    server.assert_not_logged(DISCONNECTED);
}

#[test]
fn b13_a_client_that_never_sends_receives_everything() {
    let server = Server::start(&[]);
    let receiver = Client::join(&server);
    let flooder = send_flood(Client::join(&server), 0..FLOOD);
    expect_flood(receiver, 0..FLOOD).join().unwrap();
    flooder.join().unwrap();
}

#[test]
fn b14_clients_that_never_finish_a_line_cost_that_line_and_delay_no_other_client() {
    const CLIENTS: u64 = 100;
    let server = Server::start(&[]);
    let (mut receiver, mut sender) = (Client::join(&server), Client::join(&server));
    let before = server.status_kb("VmRSS");
    let mut clients = Client::join_many(&server, CLIENTS as usize);
    for piece in 0..8 {
        for client in &mut clients {
            client.send([b'a' + piece; 1000]);
        }
        sender.send(format!("line {piece}\n"));
        receiver.expect_line(format!("line {piece}"));
    }
    let whole = (b'a'..b'i').flat_map(|byte| [byte; 1000]).collect::<Vec<_>>();
    for client in &mut clients {
        client.send("\n");
        receiver.expect_line(&whole);
    }
    // 8 KiB is the longest line, and its buffer may be half as large again while it grows.
    let growth = server.status_kb("VmHWM") - before;
    assert!(growth < CLIENTS * 12 + 1024, "{growth} kB for {CLIENTS} unfinished lines");
}

#[test]
fn b17_when_both_sides_close_at_once_the_connection_is_closed_and_counted_once() {
    let mut server = Server::start(&[]);
    let mut refused = (0..10).map(|_| Client::join(&server)).collect::<Vec<_>>();
    let mut leaving = (0..10).map(|_| Client::join(&server)).collect::<Vec<_>>();
    server.pause();
    for client in &mut refused {
        client.send("SSH-2.0-x\r\n");
        client.end_input();
    }
    server.resume();
    for client in &mut refused {
        expect_protocol_refused(client);
        client.expect_end();
    }
    server.wait_for_log(" 10 online");
    // A paused server finds the ends of input and SIGTERM in the same turn.
    server.pause();
    server.signal("TERM");
    for client in &mut leaving {
        client.end_input();
    }
    server.resume();
    for client in &mut leaving {
        client.expect_end();
    }
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0));
    for client in refused.iter().chain(&leaving) {
        let address = format!(" {} ", client.address());
        let lines = log.iter().filter(|line| line.contains(&address)).collect::<Vec<_>>();
        assert_eq!(lines.len(), 2, "one line for the join and one for the close: {lines:?}");
    }
    let last = log.last().unwrap();
    let count = |kind: &str| {
        last.split(", ").find_map(|part| part.strip_suffix(kind)?.trim().parse::<u32>().ok()).unwrap_or(0)
    };
    assert_eq!((count("accepted connections"), count(CLIENT_OF_ANOTHER_PROTOCOL)), (20, 10), "{last}");
    assert_eq!(count(LEFT) + count(SERVER_STOPPING), 10, "{last}");
}

#[test]
fn b18_a_refused_client_with_much_unread_input_still_receives_the_reason() {
    let server = Server::start(&[]);
    let (mut receiver, mut sender) = (Client::join(&server), Client::join(&server));
    let mut refused = Client::join(&server);
    refused.send("POST /upload HTTP/1.1\r\n");
    refused.send(vec![b'x'; 1_000_000]);
    refused.send("\nGET / HTTP/1.1\r\n\r\n");
    // A reset would fail here.
    assert_eq!(String::from_utf8(refused.read_to_end()).unwrap(), HTTP_REFUSAL);
    expect_relay(&mut sender, &mut receiver);
}

#[test]
fn b19_many_new_connections_are_accepted_while_connected_clients_are_served() {
    if !has_descriptors(2000) {
        return;
    }
    // More than the usual backlog of 1024.
    const NEW: usize = 1500;
    const LINES: usize = 300;
    let mut server = Server::start(&["--verbose"]);
    let (receiver, sender) = (Client::join(&server), Client::join(&server));
    // With this buffer the kernel sends on while the test process does not run.
    socket2::SockRef::from(sender.stream()).set_send_buffer_size(1 << 20).unwrap();
    let address = sender.address();
    server.pause();
    let mut new_clients = (0..NEW).map(|_| Client::connect(server.address())).collect::<Vec<_>>();
    let sender = send_flood(sender, 0..LINES);
    server.resume();
    let receiver = expect_flood(receiver, 0..LINES);
    for client in &mut new_clients {
        client.expect_line(WELCOME);
    }
    let (mut sender, mut receiver) = (sender.join().unwrap(), receiver.join().unwrap());
    let last = new_clients.last_mut().unwrap();
    last.send("hello from a new client\n");
    receiver.expect_line("hello from a new client");
    sender.expect_line("hello from a new client");
    let message = format!(" {address}: ");
    let log = server.log_so_far();
    let first = log.iter().position(|line| line.contains(&new_clients[0].address())).unwrap();
    let last = log.iter().rposition(|line| line.contains(" joined, ")).unwrap();
    let between = log[first..last].iter().filter(|line| line.contains(&message)).count();
    assert!(between > 0, "no connected client was read while the server accepted {NEW} others");
}

/// Repeatedly, a client joins and `send_and_leave` sends a line; asserts that two others receive it.
#[track_caller]
fn expect_last_lines(send_and_leave: impl Fn(&Server, Client, &str)) {
    let server = Server::start(&[]);
    let mut receivers = [Client::join(&server), Client::join(&server)];
    for round in 0..50 {
        let line = format!("last line {round}");
        send_and_leave(&server, Client::join(&server), &line);
        for receiver in &mut receivers {
            receiver.expect_line(&line);
        }
    }
}

#[test]
fn b20_the_last_line_of_a_client_that_closes_right_after_it_reaches_all() {
    expect_last_lines(|_, mut client, line| client.send(format!("{line}\n")));
}

#[test]
fn b20_the_last_line_of_a_client_that_resets_right_after_it_reaches_all() {
    expect_last_lines(|server, mut client, line| {
        server.pause();
        client.send(format!("{line}\ntorn"));
        client.reset();
        server.resume();
    });
}

#[test]
fn b21_a_refused_client_that_does_not_close_its_side_is_closed_by_force() {
    let mut server = Server::start(&[]);
    let mut receiver = Client::join(&server);
    let before = server.descriptors();
    let mut refused = Client::join(&server);
    refused.send("SSH-2.0-x\r\n");
    expect_protocol_refused(&mut refused);
    refused.expect_end();
    let log = server.wait_for_log("refused: spoke SSH");
    assert!(log.contains(&refused.address()), "{log}");
    server.wait_for_descriptors(before);
    eventually("the client cannot write any more", || refused.stream().write(b"hello?\n").err());
    expect_relay(&mut Client::join(&server), &mut receiver);
}

#[test]
fn b21_a_refused_client_that_never_stops_sending_is_closed_by_force() {
    let mut server = Server::start(&[]);
    let _receiver = Client::join(&server);
    let before = server.descriptors();
    let mut refused = Client::join(&server);
    refused.send("GET / HTTP/1.1\r\n");
    let start = Instant::now();
    while refused.stream().write(&[b'x'; 1000]).is_ok() {
        assert!(start.elapsed() < time_limit(), "the client can still write");
    }
    server.wait_for_log("refused: spoke HTTP");
    server.wait_for_descriptors(before);
}
