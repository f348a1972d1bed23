//! Too many clients, too few descriptors, a system without resources, and much work at once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::texts::{
    CONNECTION_LOST, LIMIT_TOO_LOW, NO_DESCRIPTOR, NO_MEMORY_FOR_FEED, limit_allows, too_many_from_address,
};
use common::{
    Client, Folder, Server, WELCOME, eventually, expect_little_held, has_descriptors, has_ipv6, run_to_end,
    with_failing_call,
};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Sets the descriptor limit of a running server.
#[track_caller]
fn limit_descriptors(server: &Server, most: usize) {
    // prlimit(1) is a part of util-linux. The soft limit alone can be raised again.
    let mut command = Command::new("prlimit");
    command.arg("--pid").arg(server.pid().to_string()).arg(format!("--nofile={most}:"));
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// Returns a shell command that runs `first` and then becomes the server with `arguments`.
fn after(first: &str, arguments: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("{first} && exec \"$0\" {arguments}"), env!("CARGO_BIN_EXE_hubbub")]);
    command.stdin(Stdio::null());
    command
}

/// Returns how many calls of accept have failed.
#[track_caller]
fn failed_accepts(server: &mut Server) -> usize {
    let counters = server.counters();
    let words = counters.split(", ").find_map(|part| part.split_once(" failed accept"));
    words.map_or(0, |(count, _)| count.parse().unwrap())
}

/// Returns how many log lines say that the server cannot accept.
fn accept_warnings(server: &mut Server) -> usize {
    server.log_so_far().iter().filter(|line| line.contains("cannot accept connections for now")).count()
}

/// Asserts that two new clients can join and that the server relays between them.
#[track_caller]
fn expect_relay(server: &Server) {
    let (mut one, mut two) = (Client::join(server), Client::join(server));
    one.send("hello\n");
    two.expect_line("hello");
}

#[test]
fn c1_without_a_free_descriptor_the_spare_one_lets_the_server_refuse_with_a_reason() {
    let mut server = Server::start(&[]);
    let (mut one, mut two) = (Client::join(&server), Client::join(&server));
    let mut others = Vec::new();
    // Fills the free numbers below the highest, which the kernel assigns first.
    while server.highest_descriptor() >= server.descriptors() {
        others.push(Client::join(&server));
    }
    limit_descriptors(&server, server.descriptors());
    for _ in 0..20 {
        let mut refused = Client::connect(server.address());
        refused.send("GET / HTTP/1.1\n");
        refused.expect_line(format!("* {NO_DESCRIPTOR}"));
        refused.expect_end();
    }
    one.send("still here\n");
    two.expect_line("still here");
    assert_eq!(failed_accepts(&mut server), 20);
    assert_eq!(accept_warnings(&mut server), 1);
    limit_descriptors(&server, server.descriptors() + 10);
    expect_relay(&server);
}

#[test]
fn c1_without_even_a_spare_descriptor_clients_wait_and_join_once_one_is_free() {
    let mut server = Server::start(&[]);
    let (mut one, mut two) = (Client::join(&server), Client::join(&server));
    // The limit is below the open descriptors: none can be opened, even after one of them is closed.
    limit_descriptors(&server, 4);
    let before = server.cpu_ticks();
    let mut waiting = (0..5).map(|_| Client::connect(server.address())).collect::<Vec<_>>();
    server.wait_for_log("cannot accept connections for now: Too many open files");
    for number in 0..50 {
        one.send(format!("{number}\n"));
        two.expect_line(number.to_string());
    }
    let failures =
        eventually("the server has retried", || Some(failed_accepts(&mut server)).filter(|&count| count > 3));
    assert!(failures < 20, "{failures} retries, although each pause is twice the last");
    let after = server.cpu_ticks();
    assert!(after.0 + after.1 - before.0 - before.1 < 10, "the server spins");
    limit_descriptors(&server, 100);
    // No further client connects, so a timer must make the server accept.
    waiting.iter_mut().for_each(|client| client.expect_line(WELCOME));
    assert_eq!(accept_warnings(&mut server), 1);
}

#[test]
fn c1_with_forty_descriptors_and_seventy_clients_each_client_is_accepted_or_refused() {
    let mut server = Server::spawn(after("ulimit -n 40", "-l 127.0.0.1:0"));
    let mut clients = (0..70).map(|_| Client::connect(server.address())).collect::<Vec<_>>();
    let first_lines = clients.iter_mut().map(Client::read_text).collect::<Vec<_>>();
    let is_accepted = |line: &String| line == WELCOME;
    let is_refused = |line: &String| line.starts_with("* the room is full");
    let accepted = first_lines.iter().filter(|line| is_accepted(line)).count();
    assert!(first_lines.iter().all(|line| is_accepted(line) || is_refused(line)), "{first_lines:?}");
    assert!(accepted >= 16, "only {accepted} are accepted");
    drop(clients);
    eventually("all clients have left", || {
        server.signal("USR1");
        server.wait_for_log(" online, ").contains(" 0 online, ").then_some(())
    });
    expect_relay(&server);
}

#[test]
fn c2_when_the_system_has_no_resources_the_server_accepts_again_after_a_pause() {
    for (error, words) in [
        ("ENFILE", "Too many open files in system"),
        ("ENOBUFS", "No buffer space available"),
        ("ENOMEM", "Cannot allocate memory"),
    ] {
        let folder = Folder::new(error);
        let mut server = with_failing_call(&folder, "accept4", error, "1..6");
        let mut client = Client::connect(server.address());
        server.wait_for_log(&format!("cannot accept connections for now: {words}"));
        client.expect_line(WELCOME);
        assert!(failed_accepts(&mut server) >= 3);
        assert_eq!(accept_warnings(&mut server), 1);
        expect_relay(&server);
    }
}

#[test]
fn c3_an_accept_error_of_one_client_or_its_network_costs_the_others_nothing() {
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
        // More failures than the server retries in one turn.
        let mut server = with_failing_call(&folder, "accept4", error, "1..300");
        expect_relay(&server);
        assert_eq!((failed_accepts(&mut server), accept_warnings(&mut server)), (0, 0), "{error}");
    }
}

#[test]
fn c5_too_low_a_descriptor_limit_is_raised_or_reported() {
    // The server raises the soft limit to the hard limit.
    let mut server = Server::spawn(after("ulimit -Sn 20 && ulimit -Hn 200", "-l 127.0.0.1:0 -m 100"));
    let mut clients = Client::join_many(&server, 100);
    clients[0].send("hello\n");
    clients[99].expect_line("hello");
    server.assert_not_logged("limit of open files");
    // If that is not enough, it lowers --max-clients and says so.
    let mut server = Server::spawn(after("ulimit -n 60", "-l 127.0.0.1:0 -m 1000"));
    let warning = limit_allows(42, 1000);
    assert!(server.log_so_far().iter().any(|line| line.ends_with(&warning)), "{:?}", server.log_so_far());
    // It does not start for fewer than 16 clients, unless --max-clients asks for fewer.
    let (status, output, errors) = run_to_end(after("ulimit -n 20", "-l 127.0.0.1:0"));
    assert_eq!((status, &output[..], &errors[..]), (Some(1), "", LIMIT_TOO_LOW));
    let server = Server::spawn(after("ulimit -n 20", "-l 127.0.0.1:0 -m 2"));
    expect_relay(&server);
}

#[test]
fn c6_the_limit_per_address_counts_ipv4_clients_of_an_ipv6_listener_as_ipv4() {
    if !has_ipv6() {
        return;
    }
    let server = Server::spawn(after("true", "-l :0 --max-per-ip 1"));
    let port = server.address().port();
    let mut ipv4 = Client::connect(([127, 0, 0, 1], port).into());
    ipv4.expect_line(WELCOME);
    let mut refused = Client::connect(([127, 0, 0, 1], port).into());
    refused.expect_line(format!("* {}", too_many_from_address(1)));
    refused.expect_end();
    let mut ipv6 = Client::connect(format!("[::1]:{port}").parse().unwrap());
    ipv6.expect_line(WELCOME);
    ipv4.send("hello\n");
    ipv6.expect_line("hello");
}

#[test]
fn c7_the_kernel_holds_at_most_256_kib_of_a_sender_that_the_server_does_not_read() {
    let server = Server::start(&[]);
    let (mut sender, mut reader) = (Client::join(&server), Client::join(&server));
    expect_little_held(&server, &mut sender, &mut reader);
}

#[test]
fn c9_lines_beyond_the_rate_limit_arrive_late_and_complete() {
    let server = Server::start(&["--rate", "1000"]);
    let (mut flooder, mut receiver) = (Client::join(&server), Client::join(&server));
    let flood = (0..3_000).map(|number| format!("line {number}\n")).collect::<String>();
    flooder.send(&flood);
    flooder.end_input();
    assert!(receiver.read_bytes(flood.len()) == flood.as_bytes());
    flooder.expect_end();
}

#[test]
fn c9_a_flooder_that_connects_again_and_again_sends_hardly_more_than_the_rate() {
    let mut server = Server::start(&["--rate", "1"]);
    let start = Instant::now();
    // Some leave with a reset, because they have not read the welcome line.
    for number in 0..300 {
        let mut flooder =
            if number % 2 == 0 { Client::join(&server) } else { Client::connect(server.address()) };
        flooder.send("a line\n".repeat(20));
    }
    let counters = server.counters();
    let relayed = counters.split_once(" online, ").unwrap().1.split(' ').next().unwrap();
    // Two seconds' worth, one line a second of the network, and one of the connection that is open.
    let most = 2 + 2 * (start.elapsed().as_secs() + 1);
    assert!(relayed.parse::<u64>().unwrap() <= most, "{counters}");
}

#[test]
fn c13_more_ready_clients_than_one_poll_reports_are_all_read() {
    if !has_descriptors(2000) {
        return;
    }
    const SENDERS: usize = 1500;
    let server = Server::start(&[]);
    let mut receiver = Client::join(&server);
    let mut senders = Client::join_many(&server, SENDERS);
    server.pause();
    for (number, sender) in senders.iter_mut().enumerate() {
        sender.send(format!("{number}\n"));
    }
    server.resume();
    let mut received =
        (0..SENDERS).map(|_| receiver.read_text().parse::<usize>().unwrap()).collect::<Vec<_>>();
    received.sort_unstable();
    assert!(received.into_iter().eq(0..SENDERS));
}

#[test]
fn c14_a_feed_that_does_not_fit_into_memory_is_an_error_at_start() {
    let (status, output, errors) = run_to_end(after("ulimit -v 500000", "-l 127.0.0.1:0 --feed 1024M"));
    assert_eq!((status, &output[..], &errors[..]), (Some(1), "", NO_MEMORY_FOR_FEED));
}

#[test]
fn c16_the_backlog_is_4096_or_what_the_system_allows() {
    let server = Server::start(&[]);
    let port = server.address().port();
    // For a listener the third column of ss(8) is the backlog.
    let output = Command::new("ss").args(["-Hltn", &format!("sport = :{port}")]).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    let backlog = table.split_whitespace().nth(2).and_then(|backlog| backlog.parse::<u32>().ok());
    let system = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    assert_eq!(backlog, Some(system.trim().parse::<u32>().unwrap().min(4096)), "{table}");
}

#[test]
fn an_error_of_one_read_or_write_closes_that_connection_alone() {
    for (call, error) in
        [("recvfrom", "ENOMEM"), ("recvfrom", "ETIMEDOUT"), ("sendto", "ENOBUFS"), ("sendto", "EHOSTUNREACH")]
    {
        let folder = Folder::new(call);
        // After the calls of the three joins.
        let mut server = with_failing_call(&folder, call, error, "12");
        let clients = [(); 3].map(|()| Client::join(&server));
        server.signal("USR1");
        server.wait_for_log("3 online");
        eventually("a connection is lost", || {
            for client in &clients {
                // The client of the lost connection cannot send any more.
                _ = client.stream().write_all(b"hello\n");
            }
            server.log_so_far().iter().any(|line| line.contains("connection lost")).then_some(())
        });
        server.signal("USR1");
        let counters = server.wait_for_log("2 online");
        assert!(counters.contains(&format!(" 1 {CONNECTION_LOST}")), "{counters}");
        expect_relay(&server);
        drop(clients);
        server.signal("TERM");
        assert!(server.wait().0.success());
    }
}
