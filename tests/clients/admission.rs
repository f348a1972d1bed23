//! Which senders are read while a slow reader holds up the room.

use crate::common::scripted::*;
use crate::{block, lines};
use hubbub::wire::view::View;
use std::time::Duration;

#[test]
fn c10_interactive_clients_are_read_from_the_reserve_while_a_bulk_sender_waits() {
    let (mut server, [stuck, bulk, reader]) = ScriptedServer::with_clients(FEED);
    let typists = (0..20).map(|_| server.join()).collect::<Vec<_>>();
    block(&mut server, &stuck, &bulk);
    let unread = bulk.unread();
    for (number, typist) in typists.iter().enumerate() {
        server.send(typist, format!("typist {number}\n"));
        assert!(reader.received().ends_with(format!("typist {number}\n").as_bytes()));
    }
    assert_eq!(bulk.unread(), unread, "it still waits");
    server.accept_all(&stuck);
    assert_eq!(stuck.received(), reader.received());
}

#[test]
fn c10_a_client_that_sent_much_is_read_from_the_reserve_again_after_a_silence() {
    for (silence, is_read) in [(Duration::ZERO, false), (Duration::from_millis(2500), true)] {
        let (mut server, [stuck, bulk, sender, reader]) = ScriptedServer::with_clients(FEED);
        server.send(&sender, lines(FEED / 4));
        block(&mut server, &stuck, &bulk);
        let unread = bulk.unread();
        server.advance(silence);
        let received = reader.received().len();
        server.send(&sender, "and again\n");
        assert_eq!(reader.received().len() > received, is_read, "after {silence:?}");
        assert_eq!(bulk.unread(), unread, "a client that waits earns no credit");
    }
}

#[test]
fn c10_a_typed_line_passes_while_a_bulk_sender_waits_also_in_more_than_one_read() {
    for feed in [16 * 1024, 64 * 1024, 1024 * 1024] {
        for length in [100, feed / 128, feed / 64] {
            let (mut server, [stuck, bulk, typist, reader]) = ScriptedServer::with_clients(feed);
            server.advance(STALL_TIMEOUT);
            block(&mut server, &stuck, &bulk);
            let unread = bulk.unread();
            let line = [vec![b'-'; length], vec![b'\n']].concat();
            server.send(&typist, &line);
            assert!(reader.received().ends_with(&line), "{length} bytes, a feed of {feed}");
            assert_eq!(bulk.unread(), unread);
        }
    }
}

#[test]
fn c10_new_clients_that_send_much_leave_half_of_the_reserve() {
    let (mut server, [stuck, bulk, typist, reader]) = ScriptedServer::with_clients(FEED);
    server.advance(STALL_TIMEOUT);
    block(&mut server, &stuck, &bulk);
    for _ in 0..300 {
        let new = server.join();
        server.send(&new, lines(2000));
    }
    server.send(&typist, "a line of an ordinary length, typed while many new clients flood the room\n");
    assert!(reader.received().ends_with(b"typed while many new clients flood the room\n"));
}

#[test]
fn c10_five_clients_that_send_one_letter_lines_cannot_use_up_the_reserve_of_a_slow_json_reader() {
    const FEED: usize = 1 << 20;
    let mut server = ScriptedServer::with_views(FEED, &[View::Plain, View::Json]);
    let (slow, bulk, typist, reader) =
        (server.join_in_view(View::Json), server.join(), server.join(), server.join());
    let senders = [(); 5].map(|()| server.join());
    server.advance(STALL_TIMEOUT);
    block(&mut server, &slow, &bulk);
    // The slow reader reads half a feed in 4.2 s, and nothing before. 2,100 letters take 160 KB in the json view.
    for tick in 1..=42 {
        server.advance(Duration::from_millis(100));
        for sender in &senders {
            server.send(sender, "x\n".repeat(10));
        }
        if tick % 10 == 0 {
            server.send(&typist, format!("typed line {tick}\n"));
            assert!(reader.received().ends_with(format!("typed line {tick}\n").as_bytes()));
        }
    }
    let space = server.clients.room().feed(View::Json).space();
    assert!(space >= FEED / 8 / 2, "only {space} bytes of the reserve are left");
    let letters = reader.received().windows(2).filter(|bytes| bytes == b"\nx").count();
    assert!(letters >= 5 * 4, "each can send a few letters: {letters}");
    assert_eq!(server.stalled(), 0);
    server.accept_all(&slow);
    assert!(senders.iter().all(|sender| server.pending_input(sender) == 0));
}

#[test]
fn c10_bulk_senders_that_wait_for_a_slow_reader_take_turns() {
    let (mut server, bulk) = ScriptedServer::with_clients::<10>(FEED);
    let slow = server.join();
    server.run_until_idle();
    slow.accepts([], Accept::WouldBlock);
    let flood = lines(8 * FEED);
    for sender in &bulk {
        server.send(sender, &flood);
    }
    for _ in 0..100 {
        server.accept_bytes(&slow, FEED / 4);
    }
    let sent = bulk.iter().map(|sender| flood.len() - sender.unread()).collect::<Vec<_>>();
    let (least, most) = (*sent.iter().min().unwrap(), *sent.iter().max().unwrap());
    assert!(most <= 2 * least, "{sent:?}");
}

#[test]
fn c10_a_long_line_is_not_overtaken_for_ever_by_the_short_lines_of_others() {
    // With credit a client may be read from the reserve, which has no space for a long line.
    for silence in [Duration::ZERO, STALL_TIMEOUT] {
        let (mut server, [slow, long, reader]) = ScriptedServer::with_clients(FEED);
        let short = [(); 4].map(|()| server.join());
        server.advance(silence);
        slow.accepts([], Accept::WouldBlock);
        short.iter().for_each(|sender| server.send(sender, lines(20 * FEED)));
        let line = [vec![b'-'; FEED / 16], vec![b'\n']].concat();
        server.send(&long, &line);
        let has_arrived = || reader.received().windows(line.len()).any(|window| window == line);
        assert!(!has_arrived());
        for _ in 0..40 {
            // Enough for short lines, and too little for a long one.
            server.accept_bytes(&slow, FEED / 12);
        }
        assert!(has_arrived(), "after {silence:?}");
    }
}
