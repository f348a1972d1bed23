//! Clients that reach their rate limit.

use crate::common::scripted::*;
use crate::lines;
use hubbub::broadcast::rate_limit::RateLimit;
use hubbub::chat::room::RoomConfig;
use hubbub::clients::ClientLimits;
use hubbub::clients::close_reason::CloseReason;
use hubbub::net::peer::Peer;
use hubbub::wire::view::View;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A room in which each client may send `lines` lines per second. Its clients have waited long enough to send ten
/// seconds' worth at once.
fn with_rate<const N: usize>(lines: usize) -> (ScriptedServer, [ScriptedClient; N]) {
    let (mut server, clients) = with_new_clients(lines);
    server.advance(10 * SECOND);
    (server, clients)
}

/// The same with new clients.
fn with_new_clients<const N: usize>(lines: usize) -> (ScriptedServer, [ScriptedClient; N]) {
    ScriptedServer::new(RoomConfig { rate: RateLimit::new(lines), ..config(FEED) }, limits()).and_clients()
}

/// A room with one silent reader, which is on another network than those that `address` returns.
fn with_reader(lines: usize) -> (ScriptedServer, ScriptedClient) {
    let (server, [reader]) = with_new_clients(lines);
    (server, reader)
}

/// An address of network `number`.
fn address(number: u8) -> IpAddr {
    [10, 0, 0, number].into()
}

/// A client connects from `peer`, sends `bytes` and ends its input at once.
fn send_and_leave(server: &mut ScriptedServer, peer: Peer, bytes: &[u8]) -> ScriptedClient {
    let client = server.join_as_peer(View::Plain, peer);
    client.queue_input(bytes);
    client.queue_end();
    server.report_end(&client);
    client
}

/// A peer on network `number`.
fn tcp(number: u8) -> Peer {
    Peer::from(SocketAddr::from((address(number), 1)))
}

#[test]
fn c9_a_new_client_may_send_two_seconds_worth_at_once_and_ten_after_ten_seconds() {
    let (mut server, reader) = with_reader(10);
    let sender = server.join_from(address(1));
    server.send(&sender, lines(20 * 21));
    assert_eq!(reader.lines(), 20);
    server.advance(SECOND);
    server.advance(10 * SECOND);
    server.send(&sender, lines(20 * 200));
    assert_eq!(reader.lines(), 21 + 100);
}

#[test]
fn c9_clients_that_connect_again_and_again_send_no_more_than_the_rate_and_one_start() {
    let unix = Peer::Unix { pid: 1, uid: 1000 };
    // One after the other, and many at once.
    for (peer, at_once) in [(tcp(1), 1), (tcp(1), 9), (unix, 1), (unix, 9), (Peer::UnknownUnix, 1)] {
        let (mut server, reader) = with_reader(10);
        for tenth in 1..=100 {
            for _ in 0..at_once {
                send_and_leave(&mut server, peer, &lines(20 * 40));
            }
            server.run_until_idle();
            server.advance(SECOND / 10);
            let relayed = reader.lines();
            assert!(relayed <= 20 + tenth, "{relayed} lines after {tenth} tenths of a second");
            assert!(relayed + 1 >= 20 + tenth, "{relayed} lines after {tenth} tenths of a second");
        }
    }
}

#[test]
fn c9_connections_that_are_opened_and_closed_in_turn_send_no_more_than_those_that_stay() {
    const OPEN: usize = 5;
    let (mut server, reader) = with_reader(10);
    let mut open = std::collections::VecDeque::new();
    for tenth in 1..=300 {
        let client = server.join_from(address(1));
        client.queue_input(lines(20 * 10));
        server.report_readable(&client);
        open.push_back(client);
        if open.len() > OPEN {
            let oldest = open.pop_front().unwrap();
            oldest.queue_error(ErrorKind::ConnectionReset);
            server.report_readable(&oldest);
            server.clients.mark_reset(oldest.id);
        }
        server.advance(SECOND / 10);
        // Each open connection earns ten lines a second, and so does the network.
        let most = 20 + tenth * (OPEN + 2);
        assert!(reader.lines() <= most, "{} lines, not {most}, after {tenth} tenths", reader.lines());
    }
}

#[test]
fn c9_a_new_client_behind_the_address_of_a_flooder_soon_has_its_own_rate() {
    let (mut server, reader) = with_reader(10);
    for _ in 0..100 {
        send_and_leave(&mut server, tcp(1), &lines(20 * 10));
        server.advance(SECOND / 10);
    }
    let pupil = server.join_from(address(1));
    // Its first line waits for one tenth of a second at most, and then it earns ten lines a second.
    server.send(&pupil, "hello\n");
    server.advance(SECOND / 10 + MILLISECOND);
    let received = reader.received();
    assert!(received.split(|&byte| byte == b'\n').any(|line| line == b"hello"));
    server.advance(5 * SECOND);
    let before = reader.lines();
    server.send(&pupil, "again\n".repeat(100));
    assert!(reader.lines() - before >= 50, "{} lines", reader.lines() - before);
}

#[test]
fn c9_clients_of_other_networks_start_with_two_seconds_worth_of_their_own() {
    let (mut server, reader) = with_reader(10);
    // Some of them may share an account, because accounts are chosen by a hash; no two pairs of ten do.
    for number in 0..10 {
        send_and_leave(&mut server, tcp(number), &lines(20 * 20));
    }
    server.run_until_idle();
    assert!(reader.lines() >= 20 * 9, "{} lines", reader.lines());
}

#[test]
fn c9_a_client_that_is_refused_takes_nothing_from_the_account_of_its_network() {
    let rate = RateLimit::new(10);
    let limits = ClientLimits { per_network: Some(1), ..limits() };
    let mut server = ScriptedServer::new(RoomConfig { rate, ..config(FEED) }, limits);
    let reader = server.join();
    let first = server.join_from(address(1));
    for _ in 0..3 {
        server.join_from(address(1));
    }
    server.send(&first, lines(20 * 20));
    server.end(&first);
    assert_eq!(reader.lines(), 20);
    server.advance(2 * SECOND);
    let second = server.join_from(address(1));
    server.join_from(address(1));
    server.send(&second, lines(20 * 20));
    assert_eq!(reader.lines(), 40);
}

#[test]
fn c9_a_flood_is_relayed_at_the_rate_limit_and_loses_nothing() {
    let (mut server, [sender, reader]) = with_rate(10);
    let flood = lines(20 * 250);
    sender.queue_input(&flood);
    sender.queue_end();
    server.report_readable(&sender);
    server.run_until_idle();
    assert_eq!(reader.lines(), 100, "ten seconds' worth at once");
    assert_eq!(server.pending_input(&sender), flood.len() - 100 * 20);
    for second in 1..=15 {
        for _ in 0..100 {
            server.advance(Duration::from_millis(10));
        }
        let relayed = reader.lines();
        assert!(relayed.abs_diff(100 + 10 * second) <= 1, "{relayed} lines after {second} s");
    }
    server.advance(SECOND);
    reader.expect_received(&flood);
    assert!(sender.is_removed(), "its end is read too");
    assert_eq!(server.closed(CloseReason::ClosedByPeer), 1);
}

#[test]
fn c9_a_rate_limited_client_is_no_work_and_its_new_input_causes_no_reads() {
    let (mut server, [sender, reader]) = with_rate(1);
    server.send(&sender, lines(20 * 11));
    assert_eq!(reader.lines(), 10);
    let reads = sender.script().reads;
    for _ in 0..5 {
        server.report_readable(&sender);
        assert!(!server.clients.has_work());
    }
    assert_eq!(sender.script().reads, reads);
    server.advance(2 * SECOND);
    assert_eq!(reader.lines(), 11);
}

#[test]
fn c9_a_rate_limited_client_does_not_delay_the_others() {
    let (mut server, [sender, reader, other]) = with_rate(2);
    server.send(&sender, lines(20 * 100));
    server.send(&other, "hello\n");
    assert!(reader.received().ends_with(b"hello\n"));
}

#[test]
fn c9_each_line_end_counts_and_so_does_a_line_that_is_too_long() {
    let (mut server, [terminal, other]) = with_rate(1);
    server.send(&terminal, b"x\r\0".repeat(12));
    assert_eq!(other.lines(), 10);
    let (mut server, [sender, reader]) = with_rate(1);
    let too_long = [&[b'x'; FEED][..], b"\n"].concat();
    server.send(&sender, [&too_long[..], b"a\r\0b\r\nc\n", &too_long, b"d\ne\nf\ng\nh\ni\n"].concat());
    reader.expect_received("a\nb\nc\nd\ne\nf\ng\nh\n");
    server.advance(2 * SECOND);
    reader.expect_received("a\nb\nc\nd\ne\nf\ng\nh\ni\n");
}

#[test]
fn c9_a_rate_limited_client_is_drained_at_shutdown() {
    let (mut server, [sender, reader]) = with_rate(1);
    server.send(&sender, lines(20 * 100));
    sender.queue_end();
    server.shut_down();
    server.run_until_idle();
    assert_eq!(server.pending_input(&sender), 0);
    assert_eq!(reader.lines(), 10, "what was not handled is not relayed");
    assert!(sender.script().is_shut_down && reader.script().is_shut_down);
}

#[test]
fn c9_a_rate_limited_client_whose_connection_is_lost_is_removed_at_once() {
    for is_reported in [true, false] {
        let (mut server, [sender, reader, other]) = with_rate(1);
        server.send(&sender, lines(20 * 12));
        if is_reported {
            server.clients.mark_reset(sender.id);
        }
        sender.accepts([], Accept::Fail(ErrorKind::BrokenPipe));
        server.send(&other, "are you there?\n");
        assert_eq!(reader.lines(), 11);
        assert!(sender.is_removed());
        assert_eq!((server.lost(), server.clients.unparsed()), (1, 0));
    }
}

#[test]
fn a13_an_unfinished_line_before_a_reset_is_dropped_with_a_rate_limit_too() {
    for lines_before in [0, 5, 12] {
        let (mut server, [sender, reader]) = with_rate(1);
        sender.queue_input([&lines(20 * lines_before)[..], b"unfinished"].concat());
        sender.queue_error(ErrorKind::ConnectionReset);
        server.report_readable(&sender);
        server.run_until_idle();
        for _ in 0..5 {
            server.advance(SECOND);
        }
        reader.expect_received(lines(20 * lines_before));
        assert!(sender.is_removed());
        assert_eq!((server.lost(), server.clients.stats.torn), (1, 1), "{lines_before}");
    }
}
