//! The room and its options in the plain view.

mod common;

use common::texts::room_full;
use common::{Client, Server, WELCOME, address_in, has_ipv6, stop_at_once};
use std::process::Command;

#[test]
fn a_line_goes_to_every_other_client_and_not_to_its_sender() {
    let server = Server::start(&[]);
    let [mut alice, mut bob, mut carol] = std::array::from_fn(|_| Client::join(&server));
    alice.send("hello\n");
    bob.expect_line("hello");
    carol.expect_line("hello");
    bob.send("hi alice\r\n");
    alice.expect_line("hi alice");
    carol.expect_line("hi alice");
    alice.end_input();
    alice.expect_end();
}

#[test]
fn a_new_client_receives_the_welcome_and_no_earlier_line() {
    let server = Server::start(&["-w", "Grüß Gott"]);
    let mut early = Client::connect(server.address());
    early.expect_line("Grüß Gott");
    let mut sender = Client::connect(server.address());
    sender.expect_line("Grüß Gott");
    sender.send("too early\n");
    early.expect_line("too early");
    let mut late = Client::connect(server.address());
    late.expect_line("Grüß Gott");
    sender.send("in time\n");
    late.expect_line("in time");
}

#[test]
fn an_empty_welcome_sends_no_welcome() {
    let mut server = Server::start(&["--welcome", ""]);
    let (mut one, mut other) = (Client::connect(server.address()), Client::connect(server.address()));
    server.wait_for_log("joined, 2 online");
    one.send("question\n");
    other.expect_line("question");
    other.send("answer\n");
    one.expect_line("answer");
}

#[test]
fn c4_a_full_room_refuses_with_the_reason_and_accepts_again_after_a_leave() {
    let mut server = Server::start(&["-m", "2"]);
    for _ in 0..3 {
        let (mut one, mut other) = (Client::join(&server), Client::join(&server));
        for _ in 0..3 {
            let mut third = Client::connect(server.address());
            third.expect_line(format!("* {}", room_full(2)));
            third.expect_end();
            drop(third);
            server.wait_for_log("refused: the room is full");
        }
        one.send("for the other\n");
        other.expect_line("for the other");
        for mut client in [one, other] {
            client.end_input();
            client.expect_end();
            server.wait_for_log(" left, ");
        }
    }
}

#[test]
fn with_flush_after_a_client_without_line_ends_can_send() {
    let server = Server::start(&["--flush-after", "50"]);
    let (mut one, mut other) = (Client::join(&server), Client::join(&server));
    one.send("no line end");
    other.expect_line("no line end");
    other.send("none here");
    one.expect_line("none here");
    one.send("a whole line\n");
    other.expect_line("a whole line");
    one.send("split after CR\r");
    other.expect_line("split after CR");
    one.send("\nnext\n");
    other.expect_line("next");
}

#[test]
fn several_listeners_lead_to_the_same_room() {
    if !has_ipv6() {
        return;
    }
    let mut server = Server::start(&["-l", "[::1]:0", "-l", "plain:127.0.0.1:0"]);
    let mut clients = vec![Client::join(&server)];
    for place in ["listening on [::1]:", "listening on 127.0.0.1:"] {
        let line = server.wait_for_log(place);
        assert!(line.ends_with(" (plain)"), "{line}");
        let mut client = Client::connect(address_in(&line));
        client.expect_line(WELCOME);
        clients.push(client);
    }
    clients[1].send("from IPv6\n");
    clients[0].expect_line("from IPv6");
    clients[2].expect_line("from IPv6");
}

#[test]
fn the_log_shows_joins_leaves_and_counts_and_no_message() {
    let mut server = Server::start(&["--report-every", "0.05"]);
    let mut one = Client::join(&server);
    let address = one.address();
    server.wait_for_log(&format!("{address} joined, 1 online"));
    let mut other = Client::join(&server);
    server.wait_for_log("joined, 2 online");
    one.send("a secret\nanother\n");
    other.expect_line("a secret");
    server.wait_for_log("2 online, 2 lines relayed since the last report");
    one.end_input();
    one.expect_end();
    server.wait_for_log(&format!("{address} left, 1 online"));
    server.wait_for_log("1 online, 0 lines relayed since the last report");
    server.signal("USR1");
    server.wait_for_log("1 online, 2 lines (17 bytes) relayed, 2 accepted connections, 1 left, 17 bytes in");
    server.assert_not_logged("secret");
}

#[test]
fn quiet_logs_no_events_and_verbose_logs_messages() {
    let mut verbose = Server::start(&["-v"]);
    let mut client = Client::join(&verbose);
    client.send("not secret\n");
    verbose.wait_for_log(&format!("{}: not secret", client.address()));

    let mut command = Command::new(env!("CARGO_BIN_EXE_hubbub"));
    command.args(["-q", "-l", "127.0.0.1:0"]);
    let output = stop_at_once(command);
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn the_server_has_one_thread() {
    let server = Server::start(&[]);
    let _client = Client::join(&server);
    assert_eq!(server.status("Threads"), "1");
}
