//! How long the room waits for readers that are slow.

use crate::common::scripted::*;
use crate::{block, lines};
use hubbub::chat::room::{Room, RoomConfig};
use hubbub::clients::ClientLimits;
use hubbub::wire::line_decoder::LineRules;
use hubbub::wire::view::View;
use std::time::Duration;

#[test]
fn b9_a_stuck_reader_is_disconnected_only_after_senders_waited_for_the_stall_timeout() {
    let (mut server, [stuck, bulk, reader]) = ScriptedServer::with_clients(FEED);
    stuck.accepts([], Accept::WouldBlock);
    let flood = lines(4 * FEED);
    server.send(&bulk, &flood[..FEED / 4]);
    server.advance(Duration::from_secs(3600));
    assert!(!stuck.is_removed(), "nobody waits for it");
    server.send(&bulk, &flood[FEED / 4..]);
    let relayed = reader.received().len();
    assert!(bulk.unread() > 0, "the bulk sender waits");
    server.advance(STALL_TIMEOUT - MILLISECOND);
    assert!(!stuck.is_removed());
    assert_eq!(server.clients.next_deadline(), Some(server.now.after(MILLISECOND)), "this wakes the loop");
    assert_eq!(reader.received().len(), relayed, "the room waits for it");
    server.advance(MILLISECOND);
    assert!(stuck.is_removed());
    assert_eq!(server.stalled(), 1);
    reader.expect_received(&flood);
    assert_eq!(server.clients.next_deadline(), None);
}

#[test]
fn b9_two_stuck_readers_that_send_in_turn_do_not_hold_up_the_room() {
    let (mut server, [one, two, sender, reader]) = ScriptedServer::with_clients(4096);
    one.accepts([], Accept::WouldBlock);
    two.accepts([], Accept::WouldBlock);
    for _ in 0..200 {
        server.send(&one, "1\n");
        server.send(&two, "2\n");
    }
    server.send(&sender, "hello\n");
    for _ in 0..4 {
        server.advance(STALL_TIMEOUT);
    }
    let received = String::from_utf8(reader.received()).unwrap();
    assert!(received.contains("hello\n"), "after 4 stall timeouts a line is not relayed");
}

#[test]
fn b9_a_stuck_reader_that_is_refused_no_longer_holds_up_the_room() {
    let (mut server, [stuck, bulk, reader]) = ScriptedServer::with_clients(FEED);
    let flood = block(&mut server, &stuck, &bulk);
    server.send(&stuck, "GET / HTTP/1.1\n");
    assert_eq!(bulk.unread(), 0, "no more lines are pending for the stuck reader");
    reader.expect_received(flood);
}

#[test]
fn b10_a_reader_that_reads_less_than_half_a_feed_per_stall_timeout_is_disconnected() {
    let (mut server, [slow, bulk, reader]) = ScriptedServer::with_clients(FEED);
    let flood = block(&mut server, &slow, &bulk);
    for _ in 0..10 {
        assert!(!slow.is_removed());
        server.accept_bytes(&slow, FEED / 20 - 20);
        server.advance(STALL_TIMEOUT / 10);
    }
    assert!(slow.is_removed());
    assert_eq!(server.stalled(), 1);
    reader.expect_received(&flood);
    assert!(flood.starts_with(&slow.received()));
}

#[test]
fn b11_a_reader_that_reads_half_a_feed_per_stall_timeout_stays_and_receives_everything() {
    let flood = lines(20 * FEED);
    // In ten steps, and all at the last moment.
    for steps in [10, 1] {
        let (mut server, [slow, bulk, reader]) = ScriptedServer::with_clients(FEED);
        slow.accepts([], Accept::WouldBlock);
        server.send(&bulk, &flood);
        let mut waited = 0;
        while slow.received().len() < flood.len() {
            waited += usize::from(bulk.unread() > 0);
            server.now = server.now.after(STALL_TIMEOUT / steps);
            server.accept_bytes(&slow, FEED / 2 / steps as usize);
            assert!(!slow.is_removed(), "disconnected after {} bytes", slow.received().len());
            assert!(server.clients.next_deadline().is_none_or(|at| at > server.now));
        }
        assert!(waited > 10 * steps as usize, "the bulk sender waited only {waited} times");
        slow.expect_received(&flood);
        reader.expect_received(&flood);
    }
}

#[test]
fn b12_the_stall_timeout_starts_again_after_a_reader_has_caught_up() {
    let (mut server, [slow, bulk, reader]) = ScriptedServer::with_clients(FEED);
    let burst = lines(2 * FEED);
    for _ in 0..3 {
        slow.accepts([], Accept::WouldBlock);
        server.send(&bulk, &burst);
        assert!(bulk.unread() > 0, "the bulk sender waits");
        server.advance(STALL_TIMEOUT - MILLISECOND);
        assert!(!slow.is_removed());
        server.accept_all(&slow);
        assert_eq!(bulk.unread(), 0);
    }
    slow.expect_received(burst.repeat(3));
    slow.accepts([], Accept::WouldBlock);
    server.send(&bulk, &burst);
    server.advance(STALL_TIMEOUT);
    assert!(slow.is_removed());
    reader.expect_received(burst.repeat(4));
}

#[test]
fn c17_a_fast_paste_waits_for_a_slow_reader_that_is_never_disconnected() {
    const PASTE: usize = 24_000_000;
    let (mut server, [sender, slow, fast]) = ScriptedServer::with_clients(1 << 20);
    let paste = lines(PASTE);
    slow.accepts([], Accept::WouldBlock);
    paste.chunks(64_000).for_each(|chunk| sender.queue_input(chunk));
    server.report_readable(&sender);
    // 3 MB per second.
    let step = Duration::from_millis(10);
    for steps in 1.. {
        server.accept_bytes(&slow, 30_000);
        if slow.received().len() >= PASTE {
            assert!(steps <= 801, "{steps} steps: the sender waits for more than the reader");
            break;
        }
        assert!(steps < 1000, "{} bytes received", slow.received().len());
        server.advance(step);
    }
    assert!(slow.received() == paste && fast.received() == paste);
    assert_eq!(server.stalled(), 0);
}

#[test]
fn the_longest_line_waits_for_a_stuck_reader_of_any_view_at_most_the_stall_timeout() {
    for (view, raw) in [(View::Named, false), (View::Json, false), (View::Named, true), (View::Json, true)] {
        for feed in [4096, 128 * 1024] {
            let rules = LineRules { max_line: feed / Room::LINES_PER_FEED, raw };
            let views = vec![View::Plain, view];
            let mut server = ScriptedServer::new(RoomConfig { views, rules, ..config(feed) }, limits());
            let (stuck, reader) = (server.join_in_view(view), server.join());
            server.run_until_idle();
            stuck.accepts([], Accept::WouldBlock);
            let line = [vec![1; rules.max_line], b"\n".to_vec()].concat();
            for sent in 1..40 {
                let sender = server.join();
                server.send(&sender, &line);
                if server.pending_input(&sender) > 0 {
                    server.advance(STALL_TIMEOUT);
                    server.advance(MILLISECOND);
                }
                assert_eq!(reader.lines(), sent, "{view:?}, raw: {raw}, a feed of {feed}");
            }
            assert_eq!(server.stalled(), 1);
        }
    }
}

#[test]
fn an_unfinished_line_without_space_waits_for_a_stuck_reader_at_most_the_stall_timeout() {
    let flush_after = Duration::from_millis(300);
    let limits = ClientLimits { flush_after: Some(flush_after), ..limits() };
    let (mut server, [stuck, sender, typist, reader]) =
        ScriptedServer::new(config(FEED), limits).and_clients();
    stuck.accepts([], Accept::WouldBlock);
    server.send(&typist, vec![b'-'; FEED / 16]);
    server.send(&sender, lines(FEED / 4 * 3));
    assert_eq!(server.pending_input(&sender), 0, "no other sender waits");
    server.advance(flush_after);
    assert!(!reader.received().ends_with(b"-\n"));
    server.advance(STALL_TIMEOUT);
    assert!(stuck.is_removed());
    server.advance(flush_after);
    assert!(reader.received().ends_with(b"-\n"));
}
