//! The first lines of a client, which may be the opening of another protocol, and the greeting, which waits for an
//! HTTP request.

use crate::block;
use crate::common::scripted::*;
use crate::common::texts::HTTP_REFUSAL;
use hubbub::broadcast::rate_limit::RateLimit;
use hubbub::chat::room::RoomConfig;
use hubbub::clients::ClientLimits;
use hubbub::clients::close_reason::CloseReason;
use hubbub::wire::other_protocol::OtherProtocol;
use hubbub::wire::view::View;
use std::io::ErrorKind;
use std::time::Duration;

/// How long first lines are held at most.
const OPENING_TIMEOUT: Duration = Duration::from_secs(2);
const GREET_AFTER: Duration = ClientLimits::GREET_AFTER;

#[test]
fn first_lines_are_held_until_something_follows_and_for_two_seconds_at_most() {
    for first in ["NICK bob\n", "\n", "\r\n\r\n", "*1\n"] {
        let shown = first.replace('\r', "");
        let (mut server, [sender, reader]) = ScriptedServer::with_clients(FEED);
        server.send(&sender, first);
        reader.expect_received("");
        server.send(&sender, "hi\n");
        reader.expect_received(format!("{shown}hi\n"));

        let (mut server, [sender, reader]) = ScriptedServer::with_clients(FEED);
        server.send(&sender, first);
        server.advance(OPENING_TIMEOUT - MILLISECOND);
        reader.expect_received("");
        server.advance(MILLISECOND);
        reader.expect_received(&shown);
        server.send(&sender, "NICK rob\n");
        reader.expect_received(format!("{shown}NICK rob\n"));
    }
}

#[test]
fn the_time_of_first_lines_starts_with_the_first_of_them() {
    let (mut server, [sender, reader]) = ScriptedServer::with_clients(FEED);
    server.send(&sender, "\n");
    for _ in 0..3 {
        server.advance(OPENING_TIMEOUT / 4);
        server.send(&sender, "\n");
    }
    reader.expect_received("");
    server.advance(OPENING_TIMEOUT / 4);
    reader.expect_received("\n\n\n\n");
    assert_eq!(server.clients.next_deadline(), None);
}

#[test]
fn a_part_of_a_first_line_that_may_be_another_protocol_is_relayed_when_its_line_ends() {
    let (mut server, [sender, reader]) = ScriptedServer::with_clients(FEED);
    server.send(&sender, "\nNI");
    server.advance(OPENING_TIMEOUT);
    reader.expect_received("\n");
    server.send(&sender, "CE\n");
    reader.expect_received("\nNICE\n");
}

#[test]
fn an_unfinished_opening_is_refused_when_nothing_follows() {
    for (opening, protocol) in
        [("\nGET / HTTP/1.1", OtherProtocol::Http), ("NICK bob\nUSER bob 0 * :B", OtherProtocol::Irc)]
    {
        for is_end in [true, false] {
            let (mut server, [sender, reader]) = ScriptedServer::with_clients(FEED);
            server.send(&sender, opening);
            if !is_end {
                server.advance(OPENING_TIMEOUT);
                assert!(sender.script().is_shut_down, "{protocol:?}");
            }
            server.end(&sender);
            assert_eq!(server.closed(CloseReason::OtherProtocol(protocol)), 1);
            reader.expect_received("");
        }
    }
}

#[test]
fn first_lines_at_the_end_of_input_are_relayed_also_if_they_have_to_wait_for_space() {
    let (mut server, [sender, reader]) = ScriptedServer::with_clients(FEED);
    server.send(&sender, "\n\nNICK bob\n");
    server.end(&sender);
    reader.expect_received("\n\nNICK bob\n");
    assert!(sender.is_removed());

    let (mut server, [sender, stuck, bulk]) = ScriptedServer::with_clients(FEED);
    let reader = server.join();
    server.send(&sender, "\n\nNICK bob\n");
    block(&mut server, &stuck, &bulk);
    let before = reader.lines();
    // Until its credit is used up, one line at a time finds space in the reserve.
    server.end(&sender);
    server.accept_all(&stuck);
    assert_eq!((sender.is_removed(), server.closed(CloseReason::ClosedByPeer)), (true, 1));
    assert!(reader.lines() > before);
    let received = String::from_utf8(reader.received()).unwrap();
    assert!(received.contains("\n\n\nNICK bob\n"), "in order");
}

#[test]
fn first_lines_obey_the_rate_limit() {
    let config = RoomConfig { rate: RateLimit::new(1), ..config(FEED) };
    let (mut server, [sender, reader]) = ScriptedServer::new(config, limits()).and_clients();
    server.send(&sender, "\n".repeat(50));
    server.end(&sender);
    let at_once = reader.lines();
    assert!(at_once < 50 && !sender.is_removed(), "{at_once} lines");
    for _ in 0..50 {
        server.advance(SECOND);
    }
    reader.expect_received("\n".repeat(50));
    assert!(sender.is_removed());
}

#[test]
fn a13_first_lines_before_a_reset_are_dropped_and_counted() {
    let (mut server, [sender, reader]) = ScriptedServer::with_clients(FEED);
    server.send(&sender, "NICK bob\n");
    sender.queue_error(ErrorKind::ConnectionReset);
    server.report_readable(&sender);
    server.run_until_idle();
    reader.expect_received("");
    assert_eq!((server.lost(), server.clients.stats.torn), (1, 1));
}

/// A server whose greeting waits for a request.
fn with_greeting() -> ScriptedServer {
    let config = RoomConfig { welcome: "welcome".to_owned(), views: View::ALL.to_vec(), ..config(FEED) };
    ScriptedServer::new(config, ClientLimits { greet_after: GREET_AFTER, ..limits() })
}

#[test]
fn the_greeting_waits_for_a_moment_and_comes_before_all_other_lines() {
    let mut server = with_greeting();
    let sender = server.join();
    server.advance(GREET_AFTER);
    let client = server.join();
    server.send(&sender, "hi\n");
    server.advance(GREET_AFTER - MILLISECOND);
    client.expect_received("");
    server.advance(MILLISECOND);
    client.expect_received("welcome\nhi\n");
}

#[test]
fn an_http_client_receives_the_response_alone_if_its_request_comes_before_the_greeting() {
    for view in View::ALL {
        let mut server = with_greeting();
        let [early, late] = [(); 2].map(|()| server.join_in_view(view));
        server.send(&early, "GET / HT");
        server.send(&early, "TP/1.1\r\n");
        early.expect_received(HTTP_REFUSAL);
        server.advance(GREET_AFTER);
        early.expect_received(HTTP_REFUSAL);
        let greeting = String::from_utf8(late.received()).unwrap();
        assert!(greeting.contains("welcome"), "{greeting}");
        server.send(&late, "GET / HTTP/1.1\r\n");
        late.expect_received(greeting + HTTP_REFUSAL);
    }
}

#[test]
fn a_client_that_closes_before_the_greeting_receives_it() {
    let mut server = with_greeting();
    let [leaving, refused] = [(); 2].map(|()| server.join());
    server.end(&leaving);
    leaving.expect_received("welcome\n");
    assert!(leaving.is_removed());
    server.send(&refused, "PASS x\n");
    refused.expect_received(format!("welcome\n* {}\n", OtherProtocol::Irc.refusal()));
    let stopped = server.join();
    server.shut_down();
    server.run_until_idle();
    stopped.expect_received("welcome\n");
}

#[test]
fn a_client_that_leaves_before_its_greeting_leaves_no_deadline() {
    let mut server = with_greeting();
    let client = server.join();
    client.queue_error(ErrorKind::ConnectionReset);
    server.report_readable(&client);
    server.run_until_idle();
    assert!(server.clients.is_empty());
    server.advance(GREET_AFTER);
    assert_eq!(server.clients.next_deadline(), None);
}
