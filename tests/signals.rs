//! Signals: a stop that owes nobody anything, one in haste, one past a stuck reader, and the signals
//! that stop nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::{Client, Folder, Port, Server, eventually, program, tcp_table};
use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// More than the kernel holds for one reader, and less than the room's feed, so that a sender is never
/// held back.
const OWED: usize = 800_000;

/// Lines of `OWED` bytes together, the last of them `last`.
fn lines() -> String {
    let line = format!("{}\n", "x".repeat(199));
    format!("{}last\n", line.repeat(OWED / line.len()))
}

/// A server that waits for nobody's sake longer than it waits when it stops, with someone in it who
/// does not read although all of `lines` is owed; and one who read it.
fn with_a_stuck_reader() -> (Server, Client, Client) {
    let server = Server::start(&["--stall-timeout", "3600"]);
    let (stuck, mut sender, mut reader) =
        (Client::join(&server), Client::join(&server), Client::join(&server));
    sender.says(lines());
    assert_eq!(reader.hears_bytes(lines().len()), lines().as_bytes());
    (server, stuck, reader)
}

/// The number before `what` in a line of counters.
fn count(line: &str, what: &str) -> u64 {
    let number = line.split(what).next().unwrap().trim().rsplit([' ', '(']).next().unwrap();
    number.parse().unwrap_or_else(|_| panic!("no number before {what:?} in {line}"))
}

#[test]
fn d1_who_reads_is_given_all_it_is_owed_and_an_orderly_end() {
    for signal in ["TERM", "INT"] {
        let (mut server, mut late, mut reader) = with_a_stuck_reader();
        server.signal(signal);
        server.wait_for_log("stopping");
        assert_eq!(late.hears_all(), lines().as_bytes(), "after SIG{signal}");
        reader.expects_end();
        drop((late, reader));
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(0), "after SIG{signal}: {log:#?}");
        let last = log.last().unwrap();
        assert!(last.contains("stopped: "), "{last}");
        assert_eq!(count(last, " lines ("), lines().lines().count() as u64, "{last}");
        assert_eq!(count(last, " bytes) relayed"), lines().len() as u64, "{last}");
        assert_eq!(count(last, " accepted"), 3, "{last}");
    }
}

#[test]
fn d1_a_line_sent_before_the_signal_is_relayed() {
    let server = Server::start(&[]);
    let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
    stop(&server);
    alice.says("one\nlast words\n");
    eventually("the line has arrived", || has_nothing_to_send(&alice).then_some(()));
    server.signal("TERM");
    server.signal("CONT");
    bob.expects("one");
    bob.expects("last words");
    bob.expects_end();
    alice.expects_end();
}

#[test]
fn d1_nobody_is_accepted_once_it_stops() {
    let (mut server, _stuck, _reader) = with_a_stuck_reader();
    server.signal("TERM");
    server.wait_for_log("stopping");
    eventually("who comes is refused", || {
        let refusal = TcpStream::connect(server.address()).err()?.kind();
        (refusal == ErrorKind::ConnectionRefused).then_some(())
    });
    // It was the listener that refused, and not the end of the process.
    server.signal("TERM");
    server.wait_for_log("stopping at once");
}

#[test]
fn d2_a_second_signal_ends_it_at_once_although_a_reader_is_stuck() {
    for second in ["TERM", "INT"] {
        let (mut server, _stuck, _reader) = with_a_stuck_reader();
        server.signal("TERM");
        server.wait_for_log("stopping");
        server.signal(second);
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(1), "not all were told what they were owed");
        let [.., haste, last] = log.as_slice() else { panic!("{log:#?}") };
        assert!(haste.contains("stopping at once"), "{log:#?}");
        assert!(last.contains("stopped: "), "{log:#?}");
    }
}

#[test]
fn d3_it_stops_by_itself_past_a_stuck_reader() {
    let (server, stuck, _reader) = with_a_stuck_reader();
    let asked = Instant::now();
    server.signal("TERM");
    let (status, log) = server.wait();
    // 5 s for what is owed; those who were given it all have 2 s from then on.
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    assert_eq!(status.code(), Some(0), "{log:#?}");
    let last = log.last().unwrap();
    let owed_to_two = 2 * lines().len() as u64;
    assert!(count(last, " bytes out") < owed_to_two, "nobody was stuck: {last}");
    drop(stuck);
}

#[test]
fn d4_hangup_opens_the_log_file_anew() {
    let folder = Folder::new("d4");
    let (log, old) = (folder.path("log"), folder.path("log.1"));
    let port = Port::reserve();
    let address = port.address().to_string();
    let command = program(&["-l", &address, "--log-file", log.to_str().unwrap()]);
    let server = Server::spawn_unheard(command, &port);
    let alice = Client::join(&server);
    let joined = |client: &Client| format!("{} joined", client.stream().local_addr().unwrap());
    eventually("it is logged", || fs::read_to_string(&log).unwrap().contains(&joined(&alice)).then_some(()));
    fs::rename(&log, &old).unwrap();
    server.signal("HUP");
    eventually("the log is opened", || fs::read_to_string(&log).ok()?.contains("log reopened").then_some(()));
    let bob = Client::join(&server);
    eventually("it is logged", || fs::read_to_string(&log).unwrap().contains(&joined(&bob)).then_some(()));
    let (old, new) = (fs::read_to_string(&old).unwrap(), fs::read_to_string(&log).unwrap());
    assert!(old.contains("listening on") && old.contains(&joined(&alice)), "{old}");
    assert!(!old.contains("log reopened") && !old.contains(&joined(&bob)), "{old}");
    assert!(!new.contains("listening on") && !new.contains(&joined(&alice)), "{new}");
}

#[test]
fn d4_a_log_file_that_cannot_be_opened_anew_is_kept() {
    let folder = Folder::new("d4-kept");
    let (log, old) = (folder.path("log"), folder.path("log.1"));
    let port = Port::reserve();
    let address = port.address().to_string();
    let command = program(&["-l", &address, "--log-file", log.to_str().unwrap()]);
    let server = Server::spawn_unheard(command, &port);
    fs::rename(&log, &old).unwrap();
    fs::create_dir(&log).unwrap();
    server.signal("HUP");
    let told = format!("cannot log to {}: Is a directory", log.display());
    eventually("it is told", || fs::read_to_string(&old).unwrap().contains(&told).then_some(()));
    Client::join(&server);
}

#[test]
fn d4_without_a_log_file_hangup_is_ignored() {
    let mut server = Server::start(&[]);
    let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
    server.signal("HUP");
    server.signal("USR1");
    server.wait_for_log("2 online");
    alice.says("still here\n");
    bob.expects("still here");
}

#[test]
fn d5_a_pipe_signal_is_ignored() {
    let mut server = Server::start(&[]);
    let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
    server.signal("PIPE");
    server.signal("USR1");
    server.wait_for_log("2 accepted");
    alice.says("still here\n");
    bob.expects("still here");
}

#[test]
fn d5_usr1_logs_the_counters() {
    let mut server = Server::start(&[]);
    let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
    alice.says("hello\n");
    bob.expects("hello");
    let mut carol = Client::join(&server);
    carol.ends();
    carol.expects_end();
    server.wait_for_log(" left, 2 online");
    server.signal("USR1");
    let line = server.wait_for_log("accepted");
    assert!(line.contains("[INFO] 2 online, 1 line (6 bytes) relayed, 3 accepted, 1 left"), "{line}");
    assert!(line.contains("6 bytes in"), "{line}");
}

#[test]
fn d5_after_a_stop_and_a_continue_everyone_still_talks() {
    let mut server = Server::start(&["--stall-timeout", "1"]);
    let mut clients = (0..10).map(|_| Client::join(&server)).collect::<Vec<_>>();
    stop(&server);
    clients[0].says("into the pause\n");
    server.signal("CONT");
    for client in &mut clients[1..] {
        client.expects("into the pause");
    }
    clients[9].says("and after it\n");
    for client in &mut clients[..9] {
        client.expects("and after it");
    }
    server.signal("USR1");
    server.wait_for_log("10 online");
}

#[test]
fn d5_the_time_of_a_stop_is_not_counted_against_who_reads_slowly() {
    let mut server = Server::start(&["--stall-timeout", "4", "--report-every", "0"]);
    let (mut slow, mut sender) = (Client::join(&server), Client::join(&server));
    let flood = format!("{}end\n", lines().repeat(4));
    let expected = flood.clone();
    let talk = thread::spawn(move || {
        sender.says(flood);
        sender
    });
    eventually("the room waits for the slow one", || {
        let before = relayed(&mut server);
        (before > OWED as u64 && before == relayed(&mut server)).then_some(())
    });
    stop(&server);
    // Longer than the room waits, by another server's watch.
    let mut watch = Server::start(&["--report-every", "6"]);
    let _someone = Client::join(&watch);
    watch.wait_for_log("1 online, 0 lines relayed since");
    server.signal("CONT");
    assert_eq!(slow.hears_bytes(expected.len()), expected.as_bytes());
    talk.join().unwrap();
}

/// Bytes relayed so far.
fn relayed(server: &mut Server) -> u64 {
    server.signal("USR1");
    count(&server.wait_for_log(" bytes) relayed, "), " bytes) relayed")
}

#[test]
fn d6_signals_in_the_middle_of_a_talk_disturb_nobody() {
    let mut server = Server::start(&[]);
    let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
    for number in 0..50 {
        server.signal("USR1");
        alice.says(format!("{number}\n"));
        bob.expects(number.to_string());
    }
    server.signal("USR1");
    server.wait_for_log(" 50 lines (");
    let troubles = server.log_so_far().iter().filter(|line| !line.contains("[INFO]")).collect::<Vec<_>>();
    assert!(troubles.is_empty(), "{troubles:#?}");
}

/// Stops the process as a terminal's Ctrl-Z does, and waits until it stands.
fn stop(server: &Server) {
    server.signal("STOP");
    eventually("the process stands", || server.status("State").starts_with('T').then_some(()));
}

/// Whether all that the client sent has arrived.
fn has_nothing_to_send(client: &Client) -> bool {
    let [ours, servers] =
        [client.stream().local_addr(), client.stream().peer_addr()].map(|end| end.unwrap().port());
    let table = tcp_table();
    let line = table.iter().find(|line| line.local_port == ours && line.peer_port == servers);
    line.expect("it is connected").unsent == 0
}
