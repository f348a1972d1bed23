//! Connections from their first packet to their last, whatever their peers do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::{Client, time_limit, Server, WELCOME, eventually};
use std::io::{ErrorKind, Read, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

/// A receive buffer too small to matter beside the server's own.
const SMALL: usize = 16 * 1024;
/// Lines of a flood: more than a feed of 1 MiB and the socket buffers behind it hold.
const FLOOD: usize = 4000;

/// Line `number` of a flood, 1000 bytes long with its line end.
fn flood_line(number: usize) -> String {
    format!("{number:06} {}", "~".repeat(992))
}

/// Says the lines of `range` as fast as the server takes them.
fn floods(mut client: Client, range: Range<usize>) -> JoinHandle<Client> {
    spawn(move || {
        for number in range {
            client.send(flood_line(number) + "\n");
        }
        client
    })
}

/// Hears the lines of `range`, each complete, in order, and none between them.
fn hears_flood(mut client: Client, range: Range<usize>) -> JoinHandle<Client> {
    spawn(move || {
        for number in range {
            client.expect_line(flood_line(number));
        }
        client
    })
}

/// Hears the lines of a flood from `next` on until `end`; the number after the last.
fn hears_flood_until(mut client: Client, mut next: usize, end: &'static str) -> JoinHandle<usize> {
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

/// Reads once, at most `bytes`; how many came.
#[track_caller]
fn reads_at_most(client: &Client, bytes: usize) -> usize {
    let mut stream = client.stream();
    stream.set_read_timeout(Some(time_limit())).unwrap();
    stream.read(&mut vec![0; bytes]).unwrap()
}

/// How many bytes the log's line on a slow reader says it was behind.
#[track_caller]
fn bytes_behind(log_line: &str) -> usize {
    let before = log_line.split_once(" bytes behind").expect(log_line).0;
    before.rsplit(' ').next().and_then(|count| count.parse().ok()).expect(log_line)
}

/// The counters, as the log gives them on a signal.
#[track_caller]
fn counters(server: &mut Server) -> String {
    server.signal("USR1");
    server.wait_for_log(" accepted, ")
}

#[test]
fn b1_a_client_that_reset_before_it_was_accepted_ends_nobody_else() {
    let mut server = Server::start(&[]);
    let mut listener = Client::join(&server);
    server.pause();
    let silent = Client::connect(server.address());
    let mut hasty = Client::connect(server.address());
    hasty.send("said before the reset\ntorn");
    let names = [silent.address(), hasty.address()];
    silent.reset();
    hasty.reset();
    server.resume();
    listener.expect_line("said before the reset");
    let log = (0..2).map(|_| server.wait_for_log("connection lost")).collect::<Vec<_>>();
    for name in names {
        assert!(log.iter().any(|line| line.contains(&name)), "no {name} in {log:?}");
    }
    Client::join(&server).send("still here\n");
    listener.expect_line("still here");
}

#[test]
fn b2_who_comes_and_goes_without_a_word_is_not_noticed_and_leaves_nothing() {
    let server = Server::start(&[]);
    let mut listener = Client::join(&server);
    let mut talker = Client::join(&server);
    let before = server.descriptors();
    for _ in 0..50 {
        drop(Client::connect(server.address()));
        drop(Client::join(&server));
    }
    eventually("all descriptors are back", || (server.descriptors() == before).then_some(()));
    talker.send("marker\n");
    listener.expect_line("marker");
}

const SCAN: usize = 10_000;

#[test]
fn b3_after_a_port_scan_memory_and_descriptors_are_as_before() {
    let mut server = Server::start(&[]);
    let mut listener = Client::join(&server);
    let mut talker = Client::join(&server);
    let before = (server.descriptors(), server.status_kb("VmRSS"));
    for _ in 0..SCAN {
        drop(Client::connect(server.address()));
    }
    // Whoever comes last is accepted last.
    drop(Client::join(&server));
    eventually("all descriptors are back", || (server.descriptors() == before.0).then_some(()));
    let resident = server.status_kb("VmRSS");
    assert!(resident <= before.1 + 1024, "{} kB before, {resident} kB after", before.1);
    let counters = counters(&mut server);
    assert!(counters.contains(" 2 online, "), "{counters}");
    assert!(counters.contains(&format!(" {} accepted, ", SCAN + 3)), "{counters}");
    talker.send("marker\n");
    listener.expect_line("marker");
}

#[test]
fn b3_a_port_scan_does_not_flood_the_log() {
    let mut server = Server::start(&[]);
    for _ in 0..SCAN {
        drop(Client::connect(server.address()));
    }
    drop(Client::join(&server));
    counters(&mut server);
    let lines = server.log_so_far().len();
    assert!(lines < SCAN, "{lines} lines for {SCAN} connections that came and went");
}

#[test]
fn b4_a_line_and_the_end_of_input_is_relayed_answered_and_closed() {
    // Nothing but the end of input itself ends the connection before the test's own deadline.
    let mut server = Server::start(&["--stall-timeout", "3600"]);
    let mut listener = Client::join(&server);
    for round in 0..20 {
        let mut sender = Client::connect(server.address());
        sender.send(format!("line {round}\nunfinished {round}"));
        sender.end_input();
        listener.expect_line(format!("line {round}"));
        listener.expect_line(format!("unfinished {round}"));
        sender.expect_line(WELCOME);
        sender.expect_end();
        server.wait_for_log(&format!("{} left", sender.address()));
    }
}

#[test]
fn b5_a_half_closed_reader_is_given_what_was_said_until_then_and_nothing_more() {
    let server = Server::start(&["--stall-timeout", "3600"]);
    let mut listener = Client::join(&server);
    let mut reader = Client::join_with_buffer(&server, 4 * SMALL);
    // 800 kB fit into the feed, and not into the sockets' buffers on the way to the reader.
    let mut sender = floods(Client::join(&server), 0..800).join().unwrap();
    listener = hears_flood(listener, 0..800).join().unwrap();
    reader.send("goodbye");
    reader.end_input();
    // Without its line end it is a message only once the end of input was seen.
    listener.expect_line("goodbye");
    sender.expect_line("goodbye");
    sender.send("after the end\n");
    listener.expect_line("after the end");
    let mut reader = hears_flood(reader, 0..800).join().unwrap();
    reader.expect_end();
}

#[test]
fn b5_a_half_closed_reader_that_does_not_take_what_it_is_owed_is_cut_after_the_stall_timeout() {
    let mut server = Server::start(&["--stall-timeout", "1"]);
    let mut listener = Client::join(&server);
    let mut reader = Client::join_with_buffer(&server, SMALL);
    let descriptors = server.descriptors();
    let mut sender = floods(Client::join(&server), 0..800).join().unwrap();
    listener = hears_flood(listener, 0..800).join().unwrap();
    reader.end_input();
    let log = server.wait_for_log("did not take the rest in time");
    assert!(log.contains(&reader.address()), "{log}");
    // One came, the sender, and one went.
    eventually("its descriptor is back", || (server.descriptors() == descriptors).then_some(()));
    sender.send("marker\n");
    listener.expect_line("marker");
}

#[test]
fn b6_a_silent_listener_outlives_every_timeout_of_others() {
    let mut server = Server::start(&["--stall-timeout", "1", "--flush-after", "1", "--report-every", "1"]);
    let mut listener = Client::join(&server);
    // The longest timeout of all: a stranger that ignores our end of input.
    let mut stranger = Client::join(&server);
    stranger.send("GET / HTTP/1.1\r\n");
    server.wait_for_log("spoke HTTP");
    let mut talker = Client::join(&server);
    talker.send("marker\n");
    listener.expect_line("marker");
    talker.end_input();
    talker.expect_end();
    assert!(!server.log_so_far().iter().any(|line| line.contains(&format!("{} left", listener.address()))));
}

#[test]
fn b7_a_listener_that_ends_its_input_at_once_gets_its_welcome_and_the_end() {
    let mut server = Server::start(&[]);
    let mut listener = Client::connect(server.address());
    listener.end_input();
    listener.expect_line(WELCOME);
    listener.expect_end();
    server.wait_for_log(&format!("{} left", listener.address()));
}

#[test]
fn b8_a_client_that_closes_while_it_is_written_to_ends_alone() {
    let mut server = Server::start(&["--stall-timeout", "3600"]);
    let listener = Client::join(&server);
    let quitter = Client::join_with_buffer(&server, SMALL);
    let sender = floods(Client::join(&server), 0..FLOOD);
    // The whole flood is heard only if the room does not wait for the one that closed.
    let listener = hears_flood(listener, 0..FLOOD);
    let name = quitter.address();
    // The rest of the line is left unread, so that closing is a reset.
    assert_eq!(reads_at_most(&quitter, 1), 1);
    drop(quitter);
    server.wait_for_log(&format!("{name} connection lost"));
    let (mut sender, mut listener) = (sender.join().unwrap(), listener.join().unwrap());
    sender.send("marker\n");
    listener.expect_line("marker");
    let ignored = u64::from_str_radix(&server.status("SigIgn"), 16).unwrap();
    assert_ne!(ignored & (1 << (13 - 1)), 0, "SIGPIPE (13) is ignored");
}

/// A flood that is always ahead of the server: as much of it is sent as there is place for.
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

    #[track_caller]
    fn goes_on(&mut self) {
        let mut stream = self.client.stream();
        stream.set_nonblocking(true).unwrap();
        while self.sent < self.bytes.len() {
            match stream.write(&self.bytes[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error} after {} bytes of the flood", self.sent),
            }
        }
    }

    /// Types until the flood waits; how many lines of it were heard. It waits when nothing but what is
    /// typed is heard ten times in a row, though there is always some of the flood to be read.
    #[track_caller]
    fn waits_while_typing(&mut self, person: &mut Client, listener: &mut Client) -> usize {
        let (mut heard, mut typed_in_a_row) = (0, 0);
        while typed_in_a_row < 10 {
            self.goes_on();
            person.send(".\n");
            typed_in_a_row += 1;
            loop {
                let line = listener.read_line();
                if line == b"." {
                    break;
                }
                assert_eq!(String::from_utf8_lossy(&line), flood_line(heard));
                (heard, typed_in_a_row) = (heard + 1, 0);
            }
        }
        assert!(heard < FLOOD, "the flood never waited");
        heard
    }

    /// Says the rest as fast as the server takes it.
    fn ends(mut self) -> JoinHandle<Client> {
        spawn(move || {
            self.client.stream().set_nonblocking(false).unwrap();
            self.client.send(&self.bytes[self.sent..]);
            self.client
        })
    }
}

#[test]
fn b9_while_a_flood_waits_for_a_stuck_reader_a_person_gets_through() {
    let mut server = Server::start(&["--stall-timeout", "3600"]);
    let stuck = Client::join_with_buffer(&server, SMALL);
    let (mut listener, mut person) = (Client::join(&server), Client::join(&server));
    let reads = hears_flood(Client::from_stream(person.stream().try_clone().unwrap()), 0..FLOOD);
    let mut flood = Flood::join(&server);
    let heard = flood.waits_while_typing(&mut person, &mut listener);
    assert!(!server.log_so_far().iter().any(|line| line.contains(" cut: ")), "{:?}", server.log_so_far());
    // Gone by itself, it holds up nobody any more: the flood was delayed, not lost.
    stuck.reset();
    let ends = flood.end_input();
    hears_flood(listener, heard..FLOOD).join().unwrap();
    reads.join().unwrap();
    ends.join().unwrap();
}

#[test]
fn b9_a_stuck_reader_is_cut_and_the_others_lose_nothing() {
    let mut server = Server::start(&["--feed", "256k", "--stall-timeout", "1"]);
    let stuck = Client::join_with_buffer(&server, SMALL);
    let listeners = [Client::join(&server), Client::join(&server)].map(|it| hears_flood(it, 0..FLOOD));
    let flooder = floods(Client::join(&server), 0..FLOOD);
    let log = server.wait_for_log(&format!("{} cut: read too slowly", stuck.address()));
    let behind = bytes_behind(&log);
    assert!((128 * 1024..=256 * 1024).contains(&behind), "{log}");
    flooder.join().unwrap();
    for listener in listeners {
        listener.join().unwrap();
    }
    let cut = server.log_so_far().iter().filter(|line| line.contains(" cut: ")).count();
    assert_eq!(cut, 1, "{:?}", server.log_so_far());
}

#[test]
fn b9_a_cut_is_logged_however_many_come_and_go() {
    let mut server = Server::start(&["--feed", "256k", "--stall-timeout", "1"]);
    for _ in 0..1500 {
        drop(Client::connect(server.address()));
    }
    let stuck = Client::join_with_buffer(&server, SMALL);
    let flooder = floods(Client::join(&server), 0..FLOOD);
    server.wait_for_log(&format!("{} cut: read too slowly", stuck.address()));
    flooder.join().unwrap();
}

#[test]
fn b10_a_reader_of_one_byte_at_a_time_is_cut_like_a_stuck_one() {
    let mut server = Server::start(&["--feed", "256k", "--stall-timeout", "1"]);
    let trickler = Client::join_with_buffer(&server, SMALL);
    let listeners = [Client::join(&server), Client::join(&server)].map(|it| hears_flood(it, 0..FLOOD));
    let flooder = floods(Client::join(&server), 0..FLOOD);
    let reason = format!("{} cut: read too slowly", trickler.address());
    let log = eventually("the trickling reader is cut", || {
        reads_at_most(&trickler, 1);
        server.log_so_far().iter().find(|line| line.contains(&reason)).cloned()
    });
    assert!(bytes_behind(&log) >= 128 * 1024, "{log}");
    flooder.join().unwrap();
    for listener in listeners {
        listener.join().unwrap();
    }
}

#[test]
fn b11_a_reader_that_is_slow_but_fast_enough_is_never_cut_and_sets_the_pace() {
    let mut server = Server::start(&["--feed", "256k", "--stall-timeout", "1"]);
    let slow = Client::join_with_buffer(&server, SMALL);
    slow.stream().set_read_timeout(Some(time_limit())).unwrap();
    let listener = hears_flood_until(Client::join(&server), 0, "the end");
    let said = Arc::new(AtomicUsize::new(0));
    let enough = Arc::new(AtomicBool::new(false));
    let flooder = spawn({
        let (mut client, said, enough) = (Client::join(&server), Arc::clone(&said), Arc::clone(&enough));
        move || {
            while !enough.load(Relaxed) {
                client.send(flood_line(said.load(Relaxed)) + "\n");
                said.fetch_add(1, Relaxed);
            }
            client.send("the end\n");
        }
    });
    // Three times as long as the room waits, and at most eight times as fast as it has to be.
    let start = Instant::now();
    let mut heard = 0;
    eventually("the stall timeout has passed three times", || {
        let mut line = [0; 1000];
        slow.stream().read_exact(&mut line).unwrap();
        assert_eq!(line.to_vec(), (flood_line(heard) + "\n").into_bytes());
        heard += 1;
        (start.elapsed() >= Duration::from_secs(3)).then_some(())
    });
    let ahead = said.load(Relaxed) - heard;
    assert!(ahead > 256, "the flood was no more than {ahead} kB ahead: it did not wait");
    enough.store(true, Relaxed);
    let slow = hears_flood_until(slow, heard, "the end");
    flooder.join().unwrap();
    assert_eq!(slow.join().unwrap(), said.load(Relaxed));
    assert_eq!(listener.join().unwrap(), said.load(Relaxed));
    assert!(!server.log_so_far().iter().any(|line| line.contains(" cut: ")), "{:?}", server.log_so_far());
}

#[test]
fn b12_a_reader_that_caught_up_between_two_bursts_has_the_whole_stall_timeout_again() {
    let mut server = Server::start(&["--feed", "256k", "--stall-timeout", "3"]);
    let mut reader = Client::join_with_buffer(&server, SMALL);
    let (mut listener, mut flooder) = (Client::join(&server), Client::join(&server));
    for burst in [0..FLOOD, FLOOD..2 * FLOOD] {
        let floods = floods(flooder, burst.clone());
        let hears = hears_flood(listener, burst.clone());
        // More than half of the stall timeout: two such waits in one would be too long.
        let start = Instant::now();
        eventually("the flood has waited for a while", || {
            (start.elapsed() >= Duration::from_millis(1800)).then_some(())
        });
        assert!(!hears.is_finished(), "the flood did not wait");
        reader = hears_flood(reader, burst).join().unwrap();
        (flooder, listener) = (floods.join().unwrap(), hears.join().unwrap());
    }
    assert!(!server.log_so_far().iter().any(|line| line.contains(" cut: ")), "{:?}", server.log_so_far());
}

#[test]
fn b13_a_listener_that_never_says_anything_hears_everything() {
    let server = Server::start(&[]);
    let listener = Client::join(&server);
    let flooder = floods(Client::join(&server), 0..FLOOD);
    hears_flood(listener, 0..FLOOD).join().unwrap();
    flooder.join().unwrap();
}

#[test]
fn b14_those_who_never_finish_a_line_cost_that_line_and_hold_up_nobody() {
    const LORISES: u64 = 100;
    let server = Server::start(&[]);
    let mut listener = Client::join(&server);
    let mut talker = Client::join(&server);
    let before = server.status_kb("VmRSS");
    let mut lorises = (0..LORISES).map(|_| Client::join(&server)).collect::<Vec<_>>();
    for piece in 0..8 {
        for loris in &mut lorises {
            loris.send([b'a' + piece; 1000]);
        }
        talker.send(format!("line {piece}\n"));
        listener.expect_line(format!("line {piece}"));
    }
    let whole = (b'a'..b'i').flat_map(|byte| [byte; 1000]).collect::<Vec<_>>();
    for loris in &mut lorises {
        loris.send("\n");
        listener.expect_line(&whole);
    }
    // 8 KiB is the longest line, and half as much again what its growing may take.
    let grown = server.status_kb("VmHWM") - before;
    assert!(grown < LORISES * 12 + 1024, "{grown} kB for {LORISES} unfinished lines");
}

#[test]
fn b17_when_both_sides_end_at_once_the_connection_ends_once() {
    let mut server = Server::start(&[]);
    let mut strangers = (0..10).map(|_| Client::join(&server)).collect::<Vec<_>>();
    let mut leavers = (0..10).map(|_| Client::join(&server)).collect::<Vec<_>>();
    server.pause();
    for stranger in &mut strangers {
        stranger.send("GET / HTTP/1.1\r\n");
        stranger.end_input();
    }
    server.resume();
    for stranger in &mut strangers {
        assert!(stranger.read_line().starts_with(b"* this is a chat room"));
        stranger.expect_end();
    }
    server.wait_for_log(" 10 online");
    server.pause();
    // Held, it finds the ends of input and the order to stop at the same time.
    server.signal("TERM");
    for leaver in &mut leavers {
        leaver.end_input();
    }
    server.resume();
    for leaver in &mut leavers {
        leaver.expect_end();
    }
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0));
    for client in strangers.iter().chain(&leavers) {
        let name = format!(" {} ", client.address());
        let lines = log.iter().filter(|line| line.contains(&name)).collect::<Vec<_>>();
        assert_eq!(lines.len(), 2, "one line that it joined, one that it ended: {lines:?}");
    }
    let last = log.last().unwrap();
    let count = |kind: &str| {
        last.split(", ").find_map(|part| part.strip_suffix(kind)?.trim().parse::<u32>().ok()).unwrap_or(0)
    };
    assert_eq!((count("accepted"), count("of another protocol")), (20, 10), "{last}");
    assert_eq!(count("left") + count("stopping"), 10, "{last}");
}

#[test]
fn b18_a_refused_client_reads_why_though_it_sent_much_that_nobody_reads() {
    let server = Server::start(&[]);
    let mut listener = Client::join(&server);
    let mut talker = Client::join(&server);
    let mut stranger = Client::join(&server);
    stranger.send("POST /upload HTTP/1.1\r\n");
    stranger.send(vec![b'x'; 1_000_000]);
    stranger.send("\nGET / HTTP/1.1\r\n\r\n");
    assert!(stranger.read_line().starts_with(b"* this is a chat room"));
    // In order: a reset would be an error here.
    stranger.expect_end();
    talker.send("marker\n");
    listener.expect_line("marker");
}

#[test]
fn b19_a_storm_of_newcomers_is_let_in_while_those_inside_are_served() {
    // More than the backlog of 1024 that is usual.
    const STORM: usize = 1500;
    const LINES: usize = 300;
    let mut server = Server::start(&["--verbose"]);
    let listener = Client::join(&server);
    let talker = Client::join(&server);
    // The kernel goes on sending while this process may not run.
    socket2::SockRef::from(talker.stream()).set_send_buffer_size(1 << 20).unwrap();
    let inside = talker.address();
    server.pause();
    let mut storm = (0..STORM).map(|_| Client::connect(server.address())).collect::<Vec<_>>();
    let talker = floods(talker, 0..LINES);
    server.resume();
    let listener = hears_flood(listener, 0..LINES);
    for newcomer in &mut storm {
        newcomer.expect_line(WELCOME);
    }
    let (mut talker, mut listener) = (talker.join().unwrap(), listener.join().unwrap());
    let last = storm.last_mut().unwrap();
    last.send("hello from the storm\n");
    listener.expect_line("hello from the storm");
    talker.expect_line("hello from the storm");
    let said = format!(" {inside}: ");
    let log = server.log_so_far();
    let first = log.iter().position(|line| line.contains(&storm[0].address())).unwrap();
    let last = log.iter().rposition(|line| line.contains(" joined, ")).unwrap();
    let between = log[first..last].iter().filter(|line| line.contains(&said)).count();
    assert!(between > 0, "nobody inside was heard while {STORM} were let in");
}

#[test]
fn b20_the_last_line_of_who_leaves_right_after_it_reaches_all() {
    let server = Server::start(&[]);
    let mut listeners = [Client::join(&server), Client::join(&server)];
    for round in 0..50 {
        let line = format!("goodbye {round}");
        let mut leaver = Client::join(&server);
        leaver.send(format!("{line}\n"));
        drop(leaver);
        for listener in &mut listeners {
            listener.expect_line(&line);
        }
    }
}

#[test]
fn b20_the_last_line_reaches_all_though_a_reset_follows_it() {
    let server = Server::start(&[]);
    let mut listeners = [Client::join(&server), Client::join(&server)];
    for round in 0..50 {
        let line = format!("goodbye {round}");
        let mut leaver = Client::join(&server);
        server.pause();
        leaver.send(format!("{line}\ntorn"));
        leaver.reset();
        server.resume();
        for listener in &mut listeners {
            listener.expect_line(&line);
        }
    }
}

#[test]
fn b21_a_refused_client_that_ignores_our_end_is_closed_by_force() {
    let mut server = Server::start(&[]);
    let mut listener = Client::join(&server);
    let before = server.descriptors();
    let mut stranger = Client::join(&server);
    stranger.send("GET / HTTP/1.1\r\n");
    assert!(stranger.read_line().starts_with(b"* this is a chat room"));
    stranger.expect_end();
    let log = server.wait_for_log("refused: spoke HTTP");
    assert!(log.contains(&stranger.address()), "{log}");
    eventually("its descriptor is back", || (server.descriptors() == before).then_some(()));
    eventually("it cannot write any more", || stranger.stream().write(b"hello?\n").err());
    Client::join(&server).send("marker\n");
    listener.expect_line("marker");
}

#[test]
fn b21_a_refused_client_that_never_stops_sending_is_closed_by_force() {
    let mut server = Server::start(&[]);
    let _listener = Client::join(&server);
    let before = server.descriptors();
    let mut stranger = Client::join(&server);
    stranger.send("GET / HTTP/1.1\r\n");
    let start = Instant::now();
    while stranger.stream().write(&[b'x'; 1000]).is_ok() {
        assert!(start.elapsed() < time_limit(), "it can still write");
    }
    server.wait_for_log("refused: spoke HTTP");
    eventually("its descriptor is back", || (server.descriptors() == before).then_some(()));
}
