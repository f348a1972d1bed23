//! The room and its options, as those who talk in it see them.

mod common;

use common::{Client, Server, WELCOME, stop_at_once};
use std::process::Command;

#[test]
fn a_line_goes_to_everyone_else_and_not_back() {
    let server = Server::start(&[]);
    let (mut alice, mut bob, mut carol) =
        (Client::join(&server), Client::join(&server), Client::join(&server));
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
fn a_newcomer_hears_the_welcome_and_nothing_that_was_said_before() {
    let server = Server::start(&["-w", "Grüß Gott"]);
    let mut early = Client::connect(server.address());
    early.expect_line("Grüß Gott");
    let mut speaker = Client::connect(server.address());
    speaker.expect_line("Grüß Gott");
    speaker.send("too early\n");
    early.expect_line("too early");
    let mut late = Client::connect(server.address());
    late.expect_line("Grüß Gott");
    speaker.send("in time\n");
    late.expect_line("in time");
}

#[test]
fn an_empty_welcome_is_none() {
    let mut server = Server::start(&["--welcome", ""]);
    let (mut one, mut other) = (Client::connect(server.address()), Client::connect(server.address()));
    server.wait_for_log("joined, 2 online");
    one.send("are you there?\n");
    other.expect_line("are you there?");
    other.send("yes\n");
    one.expect_line("yes");
}

#[test]
fn c4_a_room_for_two_tells_the_third_and_takes_the_next_when_one_has_left() {
    let mut server = Server::start(&["-m", "2"]);
    for _ in 0..3 {
        let (mut one, mut other) = (Client::join(&server), Client::join(&server));
        for _ in 0..3 {
            let mut third = Client::connect(server.address());
            third.expect_line("* the room is full, with 2 in it: try again later");
            third.expect_end();
            drop(third);
            server.wait_for_log("refused: the room is full");
        }
        one.send("between us\n");
        other.expect_line("between us");
        for mut client in [one, other] {
            client.end_input();
            client.expect_end();
            server.wait_for_log(" left, ");
        }
    }
}

#[test]
fn a_client_without_line_ends_is_heard_with_flush_after() {
    let server = Server::start(&["--flush-after", "50"]);
    let (mut one, mut other) = (Client::join(&server), Client::join(&server));
    one.send("no line end");
    other.expect_line("no line end");
    other.send("nor here");
    one.expect_line("nor here");
    one.send("a whole line\n");
    other.expect_line("a whole line");
    one.send("cut after CR\r");
    other.expect_line("cut after CR");
    one.send("\nnext\n");
    other.expect_line("next");
}

#[test]
fn one_room_has_several_listeners() {
    let mut server = Server::start(&["-l", "[::1]:0", "-l", "plain:127.0.0.1:0"]);
    let mut clients = vec![Client::join(&server)];
    for place in ["listening on [::1]:", "listening on 127.0.0.1:"] {
        let line = server.wait_for_log(place);
        assert!(line.ends_with(" (plain)"), "{line}");
        let address = line.split(' ').find_map(|word| word.parse().ok()).unwrap();
        let mut client = Client::connect(address);
        client.expect_line(WELCOME);
        clients.push(client);
    }
    clients[1].send("from IPv6\n");
    clients[0].expect_line("from IPv6");
    clients[2].expect_line("from IPv6");
}

#[test]
fn the_log_tells_who_comes_and_goes_and_what_was_relayed_and_not_what_was_said() {
    let mut server = Server::start(&["--report-every", "0.05"]);
    let mut one = Client::join(&server);
    let address = one.stream().local_addr().unwrap();
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
    server.wait_for_log("1 online, 2 lines (17 bytes) relayed, 2 accepted, 1 left, 17 bytes in");
    assert!(server.log_so_far().iter().all(|line| !line.contains("secret")));
}

#[test]
fn quiet_logs_no_events_and_verbose_logs_messages() {
    let mut verbose = Server::start(&["-v"]);
    let mut client = Client::join(&verbose);
    client.send("said aloud\n");
    let address = client.stream().local_addr().unwrap();
    verbose.wait_for_log(&format!("{address}: said aloud"));

    let mut command = Command::new(env!("CARGO_BIN_EXE_hubbub"));
    command.args(["-q", "-l", "127.0.0.1:0"]);
    let output = stop_at_once(command);
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn a_server_has_one_thread() {
    let server = Server::start(&[]);
    let _client = Client::join(&server);
    assert_eq!(server.status("Threads"), "1");
}
