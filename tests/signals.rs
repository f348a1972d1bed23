//! Signals: an orderly stop, a forced one, a stop with a stuck reader, and signals that stop nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::texts::{STOPPING, WELCOME};
use common::{Client, Folder, Namespaces, Port, Server, eventually, program, tcp_table};
use rustix::fs::{FileType, Mode};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that exceed the kernel's buffers for one reader, but not the feed: the sender is never blocked.
const PENDING: usize = 800_000;

/// Lines of `PENDING` bytes in total, the last of them `last`.
fn lines() -> String {
    let line = format!("{}\n", "x".repeat(199));
    format!("{}last\n", line.repeat(PENDING / line.len()))
}

/// A server whose stall timeout is longer than its time to stop; a client that does not read the pending `lines`,
/// and one that read them.
fn with_a_stuck_reader() -> (Server, Client, Client) {
    let server = Server::start(&["--stall-timeout", "3600"]);
    let (stuck, mut sender, mut reader) =
        (Client::join(&server), Client::join(&server), Client::join(&server));
    sender.send(lines());
    assert_eq!(reader.read_bytes(lines().len()), lines().as_bytes());
    (server, stuck, reader)
}

/// The number before `what` in a line of counters.
fn count(line: &str, what: &str) -> u64 {
    let number = line.split(what).next().unwrap().trim().rsplit([' ', '(']).next().unwrap();
    number.parse().unwrap_or_else(|_| panic!("no number before {what:?} in {line}"))
}

#[test]
fn d1_a_client_that_reads_gets_all_pending_lines_and_an_orderly_close() {
    for signal in ["TERM", "INT"] {
        let (mut server, mut late, mut reader) = with_a_stuck_reader();
        server.signal(signal);
        server.wait_for_log("stopping");
        assert_eq!(late.read_to_end(), lines().as_bytes(), "after SIG{signal}");
        reader.expect_end();
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
fn d1_clients_of_the_views_with_names_are_told_that_the_server_stops() {
    for signal in ["TERM", "INT"] {
        let (mut server, addresses) = Server::start_in_views(&[]);
        let [mut plain, mut named, mut json] = addresses.map(Client::connect);
        server.wait_for_log(" joined, 3 online");
        server.signal(signal);
        assert_eq!(String::from_utf8(plain.read_to_end()).unwrap(), format!("{WELCOME}\n"));
        let json_notice = format!("{{\"type\":\"notice\",\"text\":\"{STOPPING}\",\"at\":");
        for (client, notice) in [(&mut named, format!("* {STOPPING}")), (&mut json, json_notice)] {
            let received = String::from_utf8(client.read_to_end()).unwrap();
            assert!(received.lines().next_back().unwrap().starts_with(&notice), "{received}");
            assert_eq!(received.matches(STOPPING).count(), 1, "{received}");
        }
        drop((plain, named, json));
        assert_eq!(server.wait().0.code(), Some(0));
    }
}

#[test]
fn d1_a_line_sent_before_the_signal_is_relayed() {
    let server = Server::start(&[]);
    let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
    server.pause();
    alice.send("one\nlast words\n");
    eventually("the line has arrived", || has_nothing_to_send(&alice).then_some(()));
    server.signal("TERM");
    server.resume();
    bob.expect_line("one");
    bob.expect_line("last words");
    bob.expect_end();
    alice.expect_end();
}

#[test]
fn d1_no_connection_is_accepted_after_the_stop() {
    let (mut server, _stuck, _reader) = with_a_stuck_reader();
    server.signal("TERM");
    server.wait_for_log("stopping");
    eventually("a connection is refused", || {
        let refusal = TcpStream::connect(server.address()).err()?.kind();
        (refusal == ErrorKind::ConnectionRefused).then_some(())
    });
    // The process still runs: its listener was closed.
    server.signal("TERM");
    server.wait_for_log("stopping at once");
}

#[test]
fn d2_a_second_signal_stops_it_at_once_despite_a_stuck_reader() {
    for second in ["TERM", "INT"] {
        let (mut server, _stuck, _reader) = with_a_stuck_reader();
        server.signal("TERM");
        server.wait_for_log("stopping");
        server.signal(second);
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(1), "a client did not get its pending lines");
        let [.., forced, last] = log.as_slice() else { panic!("{log:#?}") };
        assert!(forced.contains("stopping at once"), "{log:#?}");
        assert!(last.contains("stopped: "), "{log:#?}");
    }
}

#[test]
fn d3_it_stops_despite_a_stuck_reader() {
    let (server, stuck, _reader) = with_a_stuck_reader();
    let asked = Instant::now();
    server.signal("TERM");
    let (status, log) = server.wait();
    // 5 s for pending lines, then 2 s for clients that got them all.
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    assert_eq!(status.code(), Some(0), "{log:#?}");
    let last = log.last().unwrap();
    let pending_of_two = 2 * lines().len() as u64;
    assert!(count(last, " bytes out") < pending_of_two, "no client was stuck: {last}");
    drop(stuck);
}

#[test]
fn d4_hangup_reopens_the_log_file() {
    let folder = Folder::new("d4");
    let (log, old) = (folder.path("log"), folder.path("log.1"));
    let port = Port::reserve();
    let address = port.address().to_string();
    let command = program(&["-l", &address, "--log-file", log.to_str().unwrap()]);
    let server = Server::spawn_without_log(command, &port);
    let alice = Client::join(&server);
    let joined = |client: &Client| format!("{} joined", client.address());
    eventually("it is logged", || fs::read_to_string(&log).unwrap().contains(&joined(&alice)).then_some(()));
    fs::rename(&log, &old).unwrap();
    server.signal("HUP");
    eventually("the log is reopened", || {
        fs::read_to_string(&log).ok()?.contains("log reopened").then_some(())
    });
    let bob = Client::join(&server);
    eventually("it is logged", || fs::read_to_string(&log).unwrap().contains(&joined(&bob)).then_some(()));
    let (old, new) = (fs::read_to_string(&old).unwrap(), fs::read_to_string(&log).unwrap());
    assert!(old.contains("listening on") && old.contains(&joined(&alice)), "{old}");
    assert!(!old.contains("log reopened") && !old.contains(&joined(&bob)), "{old}");
    assert!(!new.contains("listening on") && !new.contains(&joined(&alice)), "{new}");
}

#[test]
fn d4_a_log_file_that_cannot_be_reopened_stays_in_use() {
    let folder = Folder::new("d4-kept");
    let (log, old) = (folder.path("log"), folder.path("log.1"));
    let port = Port::reserve();
    let address = port.address().to_string();
    let command = program(&["-l", &address, "--log-file", log.to_str().unwrap()]);
    let server = Server::spawn_without_log(command, &port);
    fs::rename(&log, &old).unwrap();
    fs::create_dir(&log).unwrap();
    server.signal("HUP");
    let error = format!("cannot open the log file \"{}\": Is a directory", log.display());
    eventually("it is logged", || fs::read_to_string(&old).unwrap().contains(&error).then_some(()));
    Client::join(&server);
}

#[test]
fn d4_without_a_log_file_hangup_is_ignored() {
    let mut server = Server::start(&[]);
    let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
    server.signal("HUP");
    server.signal("USR1");
    server.wait_for_log("2 online");
    alice.send("still here\n");
    bob.expect_line("still here");
}

#[test]
fn d5_a_pipe_signal_is_ignored() {
    let mut server = Server::start(&[]);
    let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
    server.signal("PIPE");
    server.signal("USR1");
    server.wait_for_log("2 accepted");
    alice.send("still here\n");
    bob.expect_line("still here");
}

#[test]
fn d5_usr1_logs_the_counters() {
    let mut server = Server::start(&[]);
    let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
    alice.send("hello\n");
    bob.expect_line("hello");
    let mut carol = Client::join(&server);
    carol.end_input();
    carol.expect_end();
    server.wait_for_log(" left, 2 online");
    server.signal("USR1");
    let line = server.wait_for_log("accepted");
    assert!(
        line.contains("[INFO] 2 online, 1 line (6 bytes) relayed, 3 accepted connections, 1 left"),
        "{line}"
    );
    assert!(line.contains("6 bytes in"), "{line}");
}

#[test]
fn d5_after_a_stop_and_a_continue_all_clients_still_talk() {
    let mut server = Server::start(&["--stall-timeout", "1"]);
    let mut clients = (0..10).map(|_| Client::join(&server)).collect::<Vec<_>>();
    server.pause();
    clients[0].send("into the pause\n");
    server.resume();
    for client in &mut clients[1..] {
        client.expect_line("into the pause");
    }
    clients[9].send("and after it\n");
    for client in &mut clients[..9] {
        client.expect_line("and after it");
    }
    server.signal("USR1");
    server.wait_for_log("10 online");
}

#[test]
fn d5_the_time_of_a_stop_does_not_count_against_a_slow_reader() {
    let mut server = Server::start(&["--stall-timeout", "4", "--report-every", "0"]);
    let (mut slow, mut sender) = (Client::join(&server), Client::join(&server));
    let flood = format!("{}end\n", lines().repeat(4));
    let expected = flood.clone();
    let talk = thread::spawn(move || {
        sender.send(flood);
        sender
    });
    eventually("the sender is blocked by the slow reader", || {
        let before = relayed(&mut server);
        (before > PENDING as u64 && before == relayed(&mut server)).then_some(())
    });
    server.pause();
    // Longer than the stall timeout, by the clock of another server.
    let mut watch = Server::start(&["--report-every", "6"]);
    let _client = Client::join(&watch);
    watch.wait_for_log("1 online, 0 lines relayed since");
    server.resume();
    assert_eq!(slow.read_bytes(expected.len()), expected.as_bytes());
    talk.join().unwrap();
}

/// Bytes relayed so far.
fn relayed(server: &mut Server) -> u64 {
    server.signal("USR1");
    count(&server.wait_for_log(" bytes) relayed, "), " bytes) relayed")
}

#[test]
fn d6_signals_do_not_disturb_the_chat() {
    let mut server = Server::start(&[]);
    let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
    for number in 0..50 {
        server.signal("USR1");
        alice.send(format!("{number}\n"));
        bob.expect_line(number.to_string());
    }
    server.signal("USR1");
    server.wait_for_log(" 50 lines (");
    let warnings = server.log_so_far().iter().filter(|line| !line.contains("[INFO]")).collect::<Vec<_>>();
    assert!(warnings.is_empty(), "{warnings:#?}");
}

/// The server's command, which `shell` starts as `"$@"` with `arguments`.
fn started_by(shell: &[&str], arguments: &[&str]) -> Command {
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).arg(env!("CARGO_BIN_EXE_hubbub")).args(["-l", "127.0.0.1:0"]).args(arguments);
    command
}

/// Starts the server with all signals blocked, as a program does that blocks them in all of its threads.
const WITH_SIGNALS_BLOCKED: [&str; 2] = ["env", "--block-signal"];

#[test]
fn d5_signals_that_were_blocked_at_the_start_arrive() {
    let folder = Folder::new("blocked");
    let log = folder.path("a log");
    let mut server = Server::spawn(started_by(&WITH_SIGNALS_BLOCKED, &["-w", "a  welcome = this"]));
    server.signal("USR1");
    server.wait_for_log("0 online");
    let mut client = Client::connect(server.address());
    client.expect_line("a  welcome = this");
    server.signal("TERM");
    assert_eq!(server.wait().0.code(), Some(0));
    let port = Port::reserve();
    let arguments = ["-l", &port.address().to_string(), "--log-file", log.to_str().unwrap()];
    let server = Server::spawn_without_log(started_by(&WITH_SIGNALS_BLOCKED, &arguments), &port);
    fs::remove_file(&log).unwrap();
    server.signal("HUP");
    eventually("the log is reopened", || fs::read_to_string(&log).ok()?.contains("reopened").then_some(()));
}

#[test]
fn d5_a_continue_signal_that_was_blocked_at_the_start_arrives() {
    let server = Server::spawn(started_by(&["env", "--block-signal=CONT"], &[]));
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t")).unwrap();
    assert_eq!(u64::from_str_radix(blocked, 16).unwrap(), 0, "{status}");
}

#[test]
fn d5_a_signal_that_was_blocked_at_the_start_arrives_although_the_program_was_removed() {
    let folder = Folder::new("removed");
    let copy = folder.path("hubbub");
    fs::copy(env!("CARGO_BIN_EXE_hubbub"), &copy).unwrap();
    // The shell starts the file that it has open after it removed its name.
    let script = r#"exec 9<"$0"; rm "$0"; exec env --block-signal=TERM /proc/self/fd/9 -l 127.0.0.1:0"#;
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(&copy);
    let server = Server::spawn(command);
    server.signal("TERM");
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn d5_a_blocked_stop_that_was_sent_before_the_start_is_orderly() {
    let script = r#"kill -TERM $$; exec "$@""#;
    let mut server =
        Server::spawn(started_by(&["env", "--block-signal=TERM", "sh", "-c", script, "sh"], &[]));
    server.wait_for_log("stopping");
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn d5_an_interrupt_that_was_ignored_at_the_start_stays_ignored_and_a_hangup_reopens_the_log() {
    // As by nohup(1), and by a shell script for what it starts with `&`.
    let mut server = Server::spawn(started_by(&["sh", "-c", "trap '' INT HUP; exec \"$@\"", "sh"], &[]));
    server.signal("INT");
    server.signal("HUP");
    server.signal("USR1");
    server.wait_for_log("0 online");
    Client::join(&server);
    server.assert_not_logged("stopping");
    server.signal("TERM");
    assert_eq!(server.wait().0.code(), Some(0));
}

/// The process ids of the children of a process.
fn children(pid: u32) -> Vec<u32> {
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The fields after the name in parentheses: the state, then the parent.
        stat.rsplit(") ").next()?.split(' ').nth(1)?.parse::<u32>().ok()
    };
    let processes = fs::read_dir("/proc").unwrap();
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|&child| parent(child) == Some(pid)).collect()
}

#[test]
fn d20_as_the_first_process_of_a_container_it_removes_ended_processes() {
    let Some(namespaces) = Namespaces::try_new(&["--pid", "--fork", "--kill-child"]) else { return };
    let folder = Folder::new("init");
    let pipe = folder.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let mut command = namespaces.unshare();
    // One child ends before the server starts, and one when the test opens the pipe.
    command.args(["sh", "-c", "true & cat \"$0\" & exec \"$@\""]).arg(&pipe);
    command.arg(env!("CARGO_BIN_EXE_hubbub")).args(["-l", "127.0.0.1:0"]);
    let mut server = Server::spawn(command);
    let init = children(server.pid());
    let [init] = init[..] else { panic!("unshare has the children {init:?}") };
    let one_left = || (children(init).len() == 1).then_some(());
    eventually("the child that ended before the start is removed", one_left);
    drop(File::create(&pipe).unwrap());
    eventually("the child that ended later is removed", || children(init).is_empty().then_some(()));
    common::signal(init, "TERM");
    server.wait_for_log("stopped: ");
}

/// Whether all bytes that the client sent have arrived.
fn has_nothing_to_send(client: &Client) -> bool {
    let [ours, servers] =
        [client.stream().local_addr(), client.stream().peer_addr()].map(|end| end.unwrap().port());
    let table = tcp_table();
    let line = table.iter().find(|line| line.local_port == ours && line.peer_port == servers);
    line.expect("it is connected").unsent == 0
}
