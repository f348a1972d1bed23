//! Clients that reach their rate limit.

use crate::common::scripted::*;
use crate::lines;
use hubbub::broadcast::rate_limit::RateLimit;
use hubbub::chat::room::RoomConfig;
use hubbub::clients::close_reason::CloseReason;
use std::io::ErrorKind;
use std::time::Duration;

/// A room in which each client may send `lines` lines per second.
fn with_rate<const N: usize>(lines: usize) -> (ScriptedServer, [ScriptedClient; N]) {
    ScriptedServer::new(RoomConfig { rate: RateLimit::new(lines), ..config(FEED) }, limits()).and_clients()
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
