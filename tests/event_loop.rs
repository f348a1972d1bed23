//! The event loop: churn, idleness, and a poll that fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::texts::{CANNOT_REGISTER, REGISTER_FAILED};
use common::{Client, Folder, Server, WELCOME, eventually, traced, with_failing_call};
use std::io::{ErrorKind, Write};
use std::thread;

/// The calls that wait for events, as strace names them; the system may lack one of them.
const WAIT_CALLS: &str = "?epoll_wait,?epoll_pwait";

/// Returns which of the server's registrations with the poll is that of its first client.
#[track_caller]
fn first_clients_registration() -> usize {
    let folder = Folder::new("count");
    let server = traced(&folder, &["-e", "trace=epoll_ctl"], &[]);
    let client = Client::join(&server);
    server.signal("TERM");
    drop(client);
    assert!(server.wait().0.success());
    let trace = std::fs::read_to_string(folder.path("trace")).unwrap();
    trace.matches("EPOLL_CTL_ADD").count()
}

/// Two clients send `lines` lines each in turn; asserts that the other receives each.
#[track_caller]
fn exchange(one: &mut Client, two: &mut Client, lines: usize) {
    for number in 0..lines {
        one.send(format!("{number}?\n"));
        two.expect_line(format!("{number}?"));
        two.send(format!("{number}!\n"));
        one.expect_line(format!("{number}!"));
    }
}

#[test]
fn e1_new_clients_in_the_slots_of_reset_ones_receive_their_own_lines_and_no_others() {
    let server = Server::start(&[]);
    let (mut sender, mut receiver) = (Client::join(&server), Client::join(&server));
    let mut expected = Vec::new();
    for round in 0..40 {
        let mut leaving = (0..10).map(|_| Client::join(&server)).collect::<Vec<_>>();
        let mut staying = (0..10).map(|_| Client::join(&server)).collect::<Vec<_>>();
        let lines = ["for all", "not for those that leave", "for all new clients"];
        let [all, in_between, last] = lines.map(|line| format!("{line} in round {round}"));
        sender.send(format!("{all}\n"));
        leaving[0].expect_line(&all);
        sender.send(format!("{in_between}\n"));
        // Half of them have sent a part of a line, which no client may receive.
        leaving.iter_mut().step_by(2).for_each(|client| client.send("torn"));
        leaving.into_iter().for_each(Client::reset);
        let mut new_clients = (0..10).map(|_| Client::connect(server.address())).collect::<Vec<_>>();
        new_clients.iter_mut().for_each(|client| client.expect_line(WELCOME));
        sender.send(format!("{last}\n"));
        for client in &mut staying {
            client.expect_line(&all);
            client.expect_line(&in_between);
            client.expect_line(&last);
        }
        for client in &mut new_clients {
            let line = client.read_text();
            if line == in_between {
                client.expect_line(&last);
            } else {
                assert_eq!(line, last);
            }
        }
        expected.extend([all, in_between, last]);
    }
    for line in expected {
        receiver.expect_line(line);
    }
    receiver.send("and back\n");
    sender.expect_line("and back");
}

#[test]
fn e10_a_sender_blocked_by_a_reader_that_pauses_is_read_again_when_the_reader_goes_on() {
    const LINES: usize = 100_000;
    let server = Server::start(&["--feed", "64k"]);
    let (mut reader, flooder) = (Client::join(&server), Client::join(&server));
    socket2::SockRef::from(flooder.stream()).set_send_buffer_size(64 * 1024).unwrap();
    let flood = (0..LINES).flat_map(|n| format!("this is line {n:50}\n").into_bytes()).collect::<Vec<_>>();
    let mut stream = flooder.stream();
    stream.set_nonblocking(true).unwrap();
    let (mut sent, mut blocked) = (0, 0);
    eventually("the flooder is blocked", || {
        match stream.write(&flood[sent..]) {
            Ok(bytes) => (sent, blocked) = (sent + bytes, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => blocked += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(sent < flood.len(), "the flooder was never blocked");
        (blocked > 100).then_some(())
    });
    stream.set_nonblocking(false).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| stream.write_all(&flood[sent..]).unwrap());
        let received = reader.read_bytes(flood.len());
        assert!(received == flood, "bytes are lost, doubled or out of order");
    });
}

#[test]
fn e13_an_idle_server_with_clients_never_wakes_up() {
    let mut idle = Server::start(&["--report-every", "1"]);
    let mut clients = [Client::join(&idle), Client::join(&idle), Client::join(&idle)];
    idle.wait_for_log("3 online, 0 lines relayed since the last report");
    // The reports of a second server, each one second after a change, show that time passes.
    let mut clock = Server::start(&["--report-every", "1"]);
    let _first = Client::join(&clock);
    clock.wait_for_log("1 online, 0 lines relayed since the last report");
    let _second = Client::join(&clock);
    clock.wait_for_log("2 online, 0 lines relayed since the last report");
    let before = idle.status("voluntary_ctxt_switches");
    let _third = Client::join(&clock);
    clock.wait_for_log("3 online, 0 lines relayed since the last report");
    assert_eq!(idle.status("voluntary_ctxt_switches"), before, "the server woke up without a reason");
    let [one, two, _] = &mut clients;
    exchange(one, two, 1);
    // A line does change the count, so the count is that of wake-ups.
    eventually("a line wakes the server up", || {
        (idle.status("voluntary_ctxt_switches") != before).then_some(())
    });
}

#[test]
fn e15_five_failures_of_poll_in_a_row_stop_the_server_with_the_reason() {
    let folder = Folder::new("poll-fails");
    let server = with_failing_call(&folder, WAIT_CALLS, "EBADF", "20+");
    let client = Client::join(&server);
    let mut stream = client.stream();
    eventually("the server exits", || stream.write_all(b"hello\n").is_err().then_some(()));
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(1), "{log:#?}");
    assert_eq!(log.iter().filter(|line| line.contains("poll failed: Bad file descriptor")).count(), 5);
    assert_eq!(log.last().unwrap(), "hubbub: cannot wait for events: Bad file descriptor");
    assert!(!log.iter().any(|line| line.contains("panicked")), "{log:#?}");
}

#[test]
fn e15_fewer_than_five_failures_of_poll_in_a_row_stop_nothing() {
    for (name, when) in [("four", "6..9"), ("every-other", "6+2")] {
        let folder = Folder::new(name);
        let mut server = with_failing_call(&folder, WAIT_CALLS, "ENOMEM", when);
        let (mut one, mut two) = (Client::join(&server), Client::join(&server));
        exchange(&mut one, &mut two, 20);
        let log = server.log_so_far();
        let failures = log.iter().filter(|line| line.contains("poll failed: ")).count();
        match name {
            "four" => assert_eq!(failures, 4, "{log:#?}"),
            _ => assert!(failures > 5, "{log:#?}"),
        }
        server.signal("TERM");
        one.expect_end();
        two.expect_end();
        drop((one, two));
        assert!(server.wait().0.success());
    }
}

#[test]
fn e16_many_new_connections_and_connected_clients_are_served_side_by_side() {
    let server = Server::start(&[]);
    let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
    socket2::SockRef::from(alice.stream()).set_send_buffer_size(1 << 20).unwrap();
    // The paused server then has more to accept and to read than fits into one turn.
    server.pause();
    let mut new_clients = (0..600).map(|_| Client::connect(server.address())).collect::<Vec<_>>();
    let sent = (0..20).map(|number| format!("{number:8000}")).collect::<Vec<_>>();
    alice.send(sent.join("\n") + "\n");
    server.resume();
    sent.iter().for_each(|line| bob.expect_line(line));
    exchange(&mut alice, &mut bob, 20);
    new_clients.iter_mut().for_each(|client| client.expect_line(WELCOME));
    alice.send("the end\n");
    let received = new_clients.iter_mut().map(|client| {
        let lines = std::iter::repeat_with(|| client.read_text());
        lines.take_while(|line| line != "the end").collect::<Vec<_>>()
    });
    let received = received.collect::<Vec<_>>();
    assert!(received[0].contains(&sent[19]), "the server accepted only after it had read all input");
    assert!(!received[599].contains(&sent[0]), "the server read only after it had accepted all connections");
}

#[test]
fn e17_a_connection_that_cannot_be_registered_is_refused_and_the_server_lives() {
    let first = first_clients_registration();
    for error in ["ENOSPC", "ENOMEM"] {
        let folder = Folder::new(error);
        let mut server = with_failing_call(&folder, "epoll_ctl", error, &(first + 1).to_string());
        let mut one = Client::join(&server);
        let mut refused = Client::connect(server.address());
        refused.read_to_end();
        server.wait_for_log(CANNOT_REGISTER);
        let mut two = Client::join(&server);
        exchange(&mut one, &mut two, 10);
        server.signal("USR1");
        let counters = server.wait_for_log("2 online, 20 lines");
        assert!(counters.contains(&format!("3 accepted connections, 1 {REGISTER_FAILED}")), "{counters}");
    }
}
