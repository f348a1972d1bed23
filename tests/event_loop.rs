//! The event loop of the running server: churn, idleness, and a system whose poll fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::{Client, Folder, Server, WELCOME, eventually, traced};
use std::io::{ErrorKind, Write};
use std::thread;

/// Which of the server's registrations with the poll is its first client's.
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

/// `server` relays between two who are in it.
#[track_caller]
fn talk(one: &mut Client, two: &mut Client, lines: usize) {
    for number in 0..lines {
        one.send(format!("{number}?\n"));
        two.expect_line(format!("{number}?"));
        two.send(format!("{number}!\n"));
        one.expect_line(format!("{number}!"));
    }
}

#[test]
fn e1_newcomers_in_the_places_of_those_who_reset_hear_what_is_theirs_and_nothing_else() {
    let server = Server::start(&[]);
    let (mut speaker, mut listener) = (Client::join(&server), Client::join(&server));
    let mut expected = Vec::new();
    for round in 0..40 {
        let mut goers = (0..10).map(|_| Client::join(&server)).collect::<Vec<_>>();
        let mut stayers = (0..10).map(|_| Client::join(&server)).collect::<Vec<_>>();
        let lines = ["all hear this", "who goes may miss this", "newcomers hear this"];
        let [all, in_between, last] = lines.map(|line| format!("{line} in round {round}"));
        speaker.send(format!("{all}\n"));
        goers[0].expect_line(&all);
        speaker.send(format!("{in_between}\n"));
        // Half of them have said a part of a line, which nobody is to hear.
        goers.iter_mut().step_by(2).for_each(|goer| goer.send("torn"));
        goers.into_iter().for_each(Client::reset);
        let mut newcomers = (0..10).map(|_| Client::connect(server.address())).collect::<Vec<_>>();
        newcomers.iter_mut().for_each(|newcomer| newcomer.expect_line(WELCOME));
        speaker.send(format!("{last}\n"));
        for stayer in &mut stayers {
            stayer.expect_line(&all);
            stayer.expect_line(&in_between);
            stayer.expect_line(&last);
        }
        for newcomer in &mut newcomers {
            let heard = newcomer.read_line();
            if heard == in_between.as_bytes() {
                newcomer.expect_line(&last);
            } else {
                assert_eq!(String::from_utf8(heard).unwrap(), last);
            }
        }
        expected.extend([all, in_between, last]);
    }
    for line in expected {
        listener.expect_line(line);
    }
    listener.send("and back\n");
    speaker.expect_line("and back");
}

#[test]
fn e10_a_sender_held_back_by_a_reader_that_pauses_goes_on_when_it_reads_again() {
    const LINES: usize = 100_000;
    let server = Server::start(&["--feed", "64k"]);
    let (mut reader, flooder) = (Client::join(&server), Client::join(&server));
    socket2::SockRef::from(flooder.stream()).set_send_buffer_size(64 * 1024).unwrap();
    let flood = (0..LINES).flat_map(|n| format!("this is line {n:50}\n").into_bytes()).collect::<Vec<_>>();
    let mut stream = flooder.stream();
    stream.set_nonblocking(true).unwrap();
    let (mut sent, mut refused) = (0, 0);
    eventually("the flooder is held back", || {
        match stream.write(&flood[sent..]) {
            Ok(bytes) => (sent, refused) = (sent + bytes, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => refused += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(sent < flood.len(), "nothing held it back");
        (refused > 100).then_some(())
    });
    stream.set_nonblocking(false).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| stream.write_all(&flood[sent..]).unwrap());
        let heard = reader.read_bytes(flood.len());
        assert!(heard == flood, "something is lost, doubled or out of order");
    });
}

#[test]
fn e13_an_idle_server_with_clients_is_never_woken() {
    let mut idle = Server::start(&["--report-every", "1"]);
    let mut clients = [Client::join(&idle), Client::join(&idle), Client::join(&idle)];
    idle.wait_for_log("3 online, 0 lines relayed since the last report");
    // Another server's reports, each a second after a change, tell that time passes.
    let mut clock = Server::start(&["--report-every", "1"]);
    let _first = Client::join(&clock);
    clock.wait_for_log("1 online, 0 lines relayed since the last report");
    let _second = Client::join(&clock);
    clock.wait_for_log("2 online, 0 lines relayed since the last report");
    let before = idle.status("voluntary_ctxt_switches");
    let _third = Client::join(&clock);
    clock.wait_for_log("3 online, 0 lines relayed since the last report");
    assert_eq!(idle.status("voluntary_ctxt_switches"), before, "it was woken for nothing");
    let [one, two, _] = &mut clients;
    talk(one, two, 1);
    // What was counted are its wake-ups, for this is one.
    eventually("talk wakes it", || (idle.status("voluntary_ctxt_switches") != before).then_some(()));
}

#[test]
fn e15_five_failures_of_poll_in_a_row_end_the_server_with_the_reason() {
    let folder = Folder::new("poll-fails");
    let server = traced(
        &folder,
        &[
            "-e",
            "trace=?epoll_wait,?epoll_pwait",
            "-e",
            "inject=?epoll_wait,?epoll_pwait:error=EBADF:when=20+",
        ],
        &[],
    );
    let client = Client::join(&server);
    let mut stream = client.stream();
    eventually("the server ends", || stream.write_all(b"hello\n").is_err().then_some(()));
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(1), "{log:#?}");
    assert_eq!(log.iter().filter(|line| line.contains("poll failed: Bad file descriptor")).count(), 5);
    assert_eq!(log.last().unwrap(), "hubbub: cannot wait for events: Bad file descriptor");
    assert!(!log.iter().any(|line| line.contains("panicked")), "{log:#?}");
}

#[test]
fn e15_fewer_failures_of_poll_in_a_row_end_nothing() {
    for (name, when) in [("four", "when=6..9"), ("every-other", "when=6+2")] {
        let folder = Folder::new(name);
        let inject = format!("inject=?epoll_wait,?epoll_pwait:error=ENOMEM:{when}");
        let mut server = traced(&folder, &["-e", "trace=?epoll_wait,?epoll_pwait", "-e", &inject], &[]);
        let (mut one, mut two) = (Client::join(&server), Client::join(&server));
        talk(&mut one, &mut two, 20);
        let logged = server.log_so_far();
        let failures = logged.iter().filter(|line| line.contains("poll failed: ")).count();
        match name {
            "four" => assert_eq!(failures, 4, "{logged:#?}"),
            _ => assert!(failures > 5, "{logged:#?}"),
        }
        server.signal("TERM");
        one.expect_end();
        two.expect_end();
        drop((one, two));
        assert!(server.wait().0.success());
    }
}

#[test]
fn e16_a_storm_of_newcomers_and_those_who_talk_are_served_side_by_side() {
    let server = Server::start(&[]);
    let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
    socket2::SockRef::from(alice.stream()).set_send_buffer_size(1 << 20).unwrap();
    // While the server stands still, all of it comes together: more to accept and to read than a turn's.
    server.signal("STOP");
    eventually("the server stands still", || server.status("State").starts_with('T').then_some(()));
    let mut storm = (0..600).map(|_| Client::connect(server.address())).collect::<Vec<_>>();
    let said = (0..20).map(|number| format!("{number:8000}")).collect::<Vec<_>>();
    alice.send(said.join("\n") + "\n");
    server.signal("CONT");
    said.iter().for_each(|line| bob.expect_line(line));
    talk(&mut alice, &mut bob, 20);
    storm.iter_mut().for_each(|newcomer| newcomer.expect_line(WELCOME));
    alice.send("everybody here?\n");
    let heard = storm.iter_mut().map(|newcomer| {
        let lines = std::iter::repeat_with(|| newcomer.read_line());
        lines.take_while(|line| line != b"everybody here?").collect::<Vec<_>>()
    });
    let heard = heard.collect::<Vec<_>>();
    let has_heard =
        |newcomer: usize, line: &str| heard[newcomer].iter().any(|heard| heard == line.as_bytes());
    assert!(has_heard(0, &said[19]), "newcomers wait until those who talk are done");
    assert!(!has_heard(599, &said[0]), "those who talk wait until all newcomers are in");
}

#[test]
fn e17_a_connection_that_cannot_be_watched_is_refused_and_the_server_lives() {
    let first = first_clients_registration();
    for error in ["ENOSPC", "ENOMEM"] {
        let folder = Folder::new(error);
        let inject = format!("inject=epoll_ctl:error={error}:when={}", first + 1);
        let mut server = traced(&folder, &["-e", "trace=epoll_ctl", "-e", &inject], &[]);
        let mut one = Client::join(&server);
        let mut refused = Client::connect(server.address());
        refused.read_to_end();
        server.wait_for_log("refused: its socket cannot be watched");
        let mut two = Client::join(&server);
        talk(&mut one, &mut two, 10);
        server.signal("USR1");
        let counted = server.wait_for_log("2 online, 20 lines");
        assert!(counted.contains("3 accepted, 1 unwatched"), "{counted}");
    }
}
