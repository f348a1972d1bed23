//! Want and overload: too many clients, too few descriptors, a system that has nothing left, much at once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::{Client, Folder, Server, WELCOME, eventually, run_to_end, traced};
use std::io::Write;
use std::process::{Command, Stdio};

const SERVER_FULL: &str = "* the server is full, for it can open no more connections: try again later";

/// Sets how many descriptors a running server may have.
#[track_caller]
fn limit_descriptors(server: &Server, most: usize) {
    // A part of util-linux. Only the soft limit, which may be raised again.
    let mut command = Command::new("prlimit");
    command.arg("--pid").arg(server.pid().to_string()).arg(format!("--nofile={most}:"));
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// Runs the program with `arguments` by a shell that first does `first`.
fn after(first: &str, arguments: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("{first} && exec \"$0\" {arguments}"), env!("CARGO_BIN_EXE_hubbub")]);
    command.stdin(Stdio::null());
    command
}

/// Failed accepts by the server's own count.
#[track_caller]
fn failed_accepts(server: &mut Server) -> usize {
    server.signal("USR1");
    let counted = server.wait_for_log(" accepted");
    let words = counted.split(", ").find_map(|part| part.split_once(" failed accept"));
    words.map_or(0, |(count, _)| count.parse().unwrap())
}

fn complaints(server: &mut Server) -> usize {
    server.log_so_far().iter().filter(|line| line.contains("cannot accept for now")).count()
}

/// `server` relays between two who come now, and have room to.
#[track_caller]
fn two_can_talk(server: &Server) {
    let (mut one, mut two) = (Client::join(server), Client::join(server));
    one.send("hello\n");
    two.expect_line("hello");
}

#[test]
fn c1_who_comes_when_no_descriptor_is_left_is_told_so_by_the_one_in_reserve() {
    let mut server = Server::start(&[]);
    let (mut one, mut two) = (Client::join(&server), Client::join(&server));
    let mut others = Vec::new();
    // Numbers below the highest may be free, and are given out first.
    while server.highest_descriptor() >= server.descriptors() {
        others.push(Client::join(&server));
    }
    limit_descriptors(&server, server.descriptors());
    for _ in 0..20 {
        let mut refused = Client::connect(server.address());
        refused.send("GET / HTTP/1.1\n");
        refused.expect_line(SERVER_FULL);
        refused.expect_end();
    }
    one.send("still here\n");
    two.expect_line("still here");
    assert_eq!(failed_accepts(&mut server), 20);
    assert_eq!(complaints(&mut server), 1);
    limit_descriptors(&server, server.descriptors() + 10);
    two_can_talk(&server);
}

#[test]
fn c1_who_waits_while_there_is_not_even_a_reserve_is_in_once_there_is_without_another_coming() {
    let mut server = Server::start(&[]);
    let (mut one, mut two) = (Client::join(&server), Client::join(&server));
    // Below those that are open: none can be opened, and none that is closed makes room for another.
    limit_descriptors(&server, 4);
    let before = server.cpu_ticks();
    let mut waiting = (0..5).map(|_| Client::connect(server.address())).collect::<Vec<_>>();
    server.wait_for_log("cannot accept for now: Too many open files");
    for number in 0..50 {
        one.send(format!("{number}\n"));
        two.expect_line(number.to_string());
    }
    let failures = eventually("it has tried again", || Some(failed_accepts(&mut server)).filter(|&n| n > 3));
    assert!(failures < 20, "{failures} tries, for a pause that doubles");
    let after = server.cpu_ticks();
    assert!(after.0 + after.1 - before.0 - before.1 < 10, "it spins");
    limit_descriptors(&server, 100);
    waiting.iter_mut().for_each(|client| client.expect_line(WELCOME));
    assert_eq!(complaints(&mut server), 1);
}

#[test]
fn c1_with_forty_descriptors_and_seventy_clients_those_who_find_no_place_are_told() {
    let mut server = Server::spawn(after("ulimit -n 40", "-l 127.0.0.1:0"));
    let mut clients = (0..70).map(|_| Client::connect(server.address())).collect::<Vec<_>>();
    let first_lines = clients.iter_mut().map(Client::read_line).collect::<Vec<_>>();
    let is_in = |line: &Vec<u8>| line == WELCOME.as_bytes();
    let is_told = |line: &Vec<u8>| line.starts_with(b"* the room is full, with ");
    let inside = first_lines.iter().filter(|line| is_in(line)).count();
    assert!(first_lines.iter().all(|line| is_in(line) || is_told(line)), "{first_lines:?}");
    assert!(inside >= 16, "{inside} are in");
    drop(clients);
    eventually("all have left", || {
        server.signal("USR1");
        server.wait_for_log(" online, ").contains(" 0 online, ").then_some(())
    });
    two_can_talk(&server);
}

#[test]
fn c2_when_the_system_has_nothing_left_it_is_asked_again_after_a_pause() {
    for (error, words) in [
        ("ENFILE", "Too many open files in system"),
        ("ENOBUFS", "No buffer space available"),
        ("ENOMEM", "Cannot allocate memory"),
    ] {
        let folder = Folder::new(error);
        let inject = format!("inject=accept4:error={error}:when=1..6");
        let mut server = traced(&folder, &["-e", "trace=accept4", "-e", &inject], &[]);
        let mut client = Client::connect(server.address());
        server.wait_for_log(&format!("cannot accept for now: {words}"));
        client.expect_line(WELCOME);
        assert!(failed_accepts(&mut server) >= 3);
        assert_eq!(complaints(&mut server), 1);
        two_can_talk(&server);
    }
}

#[test]
fn c3_an_error_of_one_newcomer_or_its_network_costs_no_other_anything() {
    for error in [
        "ECONNABORTED",
        "EINTR",
        "EPROTO",
        "ENETDOWN",
        "ENOPROTOOPT",
        "EHOSTDOWN",
        "ENONET",
        "EHOSTUNREACH",
        "EOPNOTSUPP",
        "ENETUNREACH",
        "EPERM",
        "ETIMEDOUT",
    ] {
        let folder = Folder::new(error);
        // More than one turn's, so that the bound of a turn is met.
        let inject = format!("inject=accept4:error={error}:when=1..300");
        let mut server = traced(&folder, &["-e", "trace=accept4", "-e", &inject], &[]);
        two_can_talk(&server);
        assert_eq!((failed_accepts(&mut server), complaints(&mut server)), (0, 0), "{error}");
    }
}

#[test]
fn c5_too_low_a_limit_of_descriptors_is_raised_or_told() {
    // The soft limit is raised to the hard one.
    let mut server = Server::spawn(after("ulimit -Sn 20 && ulimit -Hn 200", "-l 127.0.0.1:0 -m 100"));
    let mut clients = (0..100).map(|_| Client::join(&server)).collect::<Vec<_>>();
    clients[0].send("hello\n");
    clients[99].expect_line("hello");
    assert!(!server.log_so_far().iter().any(|line| line.contains("limit of open files")));
    // More than it allows are not promised.
    let mut server = Server::spawn(after("ulimit -n 60", "-l 127.0.0.1:0 -m 1000"));
    let told = "the limit of open files allows 42 clients, not 1000";
    assert!(server.log_so_far().iter().any(|line| line.ends_with(told)), "{:?}", server.log_so_far());
    // And for fewer than 16 it is not worth it, unless no more are wanted.
    let (status, said, errors) = run_to_end(after("ulimit -n 20", "-l 127.0.0.1:0"));
    let told = "hubbub: the limit of 20 open files leaves room for 7 clients: raise it with ulimit -n\n";
    assert_eq!((status, &said[..], &errors[..]), (Some(1), "", told));
    let server = Server::spawn(after("ulimit -n 20", "-l 127.0.0.1:0 -m 2"));
    two_can_talk(&server);
}

#[test]
fn c6_those_who_come_from_one_address_have_so_many_places_whichever_family_they_use() {
    let server = Server::spawn(after("true", "-l :0 --max-per-ip 1"));
    let port = server.address().port();
    let mut four = Client::connect(([127, 0, 0, 1], port).into());
    four.expect_line(WELCOME);
    let mut other = Client::connect(([127, 0, 0, 1], port).into());
    other.expect_line("* too many from your address, with 1 here: try again later");
    other.expect_end();
    let mut six = Client::connect(format!("[::1]:{port}").parse().unwrap());
    six.expect_line(WELCOME);
    four.send("hello\n");
    six.expect_line("hello");
}

#[test]
fn c9_what_is_said_faster_than_the_rate_comes_late_and_whole() {
    let server = Server::start(&["--rate", "1000"]);
    let (mut flooder, mut listener) = (Client::join(&server), Client::join(&server));
    let flood = (0..10_200).map(|number| format!("line {number}\n")).collect::<String>();
    flooder.send(&flood);
    flooder.end_input();
    assert!(listener.read_bytes(flood.len()) == flood.as_bytes());
    flooder.expect_end();
}

#[test]
fn c13_more_that_are_ready_than_one_poll_tells_are_all_served() {
    const SPEAKERS: usize = 1500;
    let server = Server::start(&[]);
    let mut listener = Client::join(&server);
    let mut speakers = (0..SPEAKERS).map(|_| Client::join(&server)).collect::<Vec<_>>();
    server.pause();
    for (number, speaker) in speakers.iter_mut().enumerate() {
        speaker.send(format!("{number}\n"));
    }
    server.resume();
    let mut heard = (0..SPEAKERS)
        .map(|_| String::from_utf8(listener.read_line()).unwrap().parse::<usize>().unwrap())
        .collect::<Vec<_>>();
    heard.sort_unstable();
    assert!(heard.into_iter().eq(0..SPEAKERS));
}

#[test]
fn c14_a_feed_for_which_there_is_no_memory_is_told() {
    let (status, said, errors) = run_to_end(after("ulimit -v 500000", "-l 127.0.0.1:0 --feed 1024M"));
    let told = "hubbub: cannot have a feed of 1073741824 bytes: Cannot allocate memory\n";
    assert_eq!((status, &said[..], &errors[..]), (Some(1), "", told));
}

#[test]
fn c16_as_many_as_the_system_allows_wait_to_be_accepted() {
    let server = Server::start(&[]);
    let port = server.address().port();
    // Of a listener the kernel tells there how many may wait; see ss(8).
    let output = Command::new("ss").args(["-Hltn", &format!("sport = :{port}")]).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    let most = table.split_whitespace().nth(2).and_then(|most| most.parse::<u32>().ok());
    let system = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    assert_eq!(most, Some(system.trim().parse::<u32>().unwrap().min(4096)), "{table}");
}

#[test]
fn an_error_of_one_read_or_write_ends_that_connection_alone() {
    for (call, error) in
        [("recvfrom", "ENOMEM"), ("recvfrom", "ETIMEDOUT"), ("sendto", "ENOBUFS"), ("sendto", "EHOSTUNREACH")]
    {
        let folder = Folder::new(call);
        let trace = format!("trace={call}");
        // Among the first calls are those of the three who join.
        let inject = format!("inject={call}:error={error}:when=12");
        let mut server = traced(&folder, &["-e", &trace, "-e", &inject], &[]);
        let clients = [(); 3].map(|()| Client::join(&server));
        server.signal("USR1");
        server.wait_for_log("3 online");
        eventually("somebody's connection ends", || {
            for client in &clients {
                // Who was ended cannot say anything any more.
                _ = client.stream().write_all(b"hello\n");
            }
            server.log_so_far().iter().any(|line| line.contains("connection lost")).then_some(())
        });
        server.signal("USR1");
        let counted = server.wait_for_log("2 online");
        assert!(counted.contains(" 1 broken"), "{counted}");
        two_can_talk(&server);
        drop(clients);
        server.signal("TERM");
        assert!(server.wait().0.success());
    }
}
