//! The read step: which clients are read, in which order, and when their input ends.

use crate::common::scripted::*;
use crate::{block, lines};
use hubbub::clients::ClientLimits;
use hubbub::clients::close_reason::CloseReason;
use std::io::ErrorKind;
use std::time::Duration;

const FLUSH_AFTER: Duration = Duration::from_millis(50);

#[test]
fn e10_a_blocked_sender_is_read_again_without_an_event_once_the_stuck_reader_reads_or_ends() {
    for is_lost in [false, true] {
        let (mut server, [reader, bulk, other]) = ScriptedServer::with_clients(FEED);
        let flood = block(&mut server, &reader, &bulk);
        let (reads, unread) = (bulk.script().reads, bulk.unread());
        assert!(unread > 2 * FEED, "it waits with {unread} bytes unread");
        server.report_readable(&bulk);
        server.turn();
        assert!(!server.clients.has_work(), "a client that waits is no work");
        assert_eq!(bulk.script().reads, reads);
        if is_lost {
            reader.queue_error(ErrorKind::ConnectionReset);
            server.report_readable(&reader);
            server.run_until_idle();
            assert!(reader.is_removed());
        } else {
            server.accept_all(&reader);
            reader.expect_received(&flood);
        }
        assert_eq!(server.pending_input(&bulk), 0);
        other.expect_received(&flood);
    }
}

#[test]
fn e10_a_client_that_does_not_read_its_replies_is_read_again_once_it_reads_them() {
    let (mut server, [client, other]) = ScriptedServer::with_clients(FEED);
    // Telnet's DO TIMING-MARK, each of which gets a reply.
    let questions = b"\xFF\xFD\x06".repeat(100_000);
    client.accepts([], Accept::WouldBlock);
    server.send(&client, &questions);
    let outbox = server.clients.connection(client.id).unwrap().outbox_len();
    assert!((4096..4096 + 10).contains(&outbox), "{outbox} bytes of replies");
    let pending = server.pending_input(&client);
    assert_eq!(pending, questions.len() - outbox, "what has no reply yet is not handled");
    server.report_readable(&client);
    server.turn();
    assert!(!server.clients.has_work(), "a client that waits is no work");
    server.accept_all(&client);
    assert_eq!((server.pending_input(&client), client.received().len()), (0, questions.len()));
    server.send(&client, "hello\n");
    other.expect_received("hello\n");
}

#[test]
fn e11_the_end_of_input_behind_a_short_read_is_found_with_one_event() {
    for (sent, received) in [("hi\nbye", "hi\nbye\n"), ("bye", "bye\n"), ("bye\n", "bye\n")] {
        let (mut server, [sender, reader]) = ScriptedServer::with_clients(FEED);
        sender.queue_input(sent);
        sender.queue_end();
        server.report_readable(&sender);
        server.run_until_idle();
        reader.expect_received(received);
        assert!(sender.script().is_shut_down && sender.is_removed());
        assert_eq!(server.closed(CloseReason::ClosedByPeer), 1);
    }
}

#[test]
fn e13_the_loop_does_not_sleep_while_there_is_work_and_nothing_wakes_an_idle_room() {
    let (mut server, [sender, reader]) = ScriptedServer::with_clients(FEED);
    assert!(!server.clients.has_work());
    assert_eq!(server.clients.next_deadline(), None);
    sender.queue_input("hello\n");
    server.report_readable(&sender);
    assert!(server.clients.has_work(), "a client is to be read");
    reader.accepts([Accept::Bytes(1), Accept::Bytes(1)], Accept::All);
    server.turn();
    // This turn finds that there is nothing more to read.
    server.turn();
    assert!(server.clients.has_work(), "a client is to be written to");
    server.run_until_idle();
    reader.expect_received("hello\n");
    assert_eq!(server.clients.next_deadline(), None);
}

#[test]
fn a_line_whose_rest_has_arrived_is_not_flushed_as_unfinished() {
    let limits = ClientLimits { flush_after: Some(FLUSH_AFTER), ..limits() };
    let (mut server, [stuck, bulk, reader]) = ScriptedServer::new(config(FEED), limits).and_clients();
    let flood = block(&mut server, &stuck, &bulk);
    server.advance(2 * FLUSH_AFTER);
    server.accept_all(&stuck);
    reader.expect_received(flood);
}

#[test]
fn c11_a_client_that_always_has_more_input_is_read_once_per_turn_and_loses_nothing() {
    let (mut server, [bulk, typist, reader]) = ScriptedServer::with_clients(1 << 20);
    let flood = lines(2 << 20);
    bulk.queue_input(&flood);
    server.report_readable(&bulk);
    for turn in 0..10 {
        typist.queue_input(format!("turn {turn}\n"));
        server.report_readable(&typist);
        let reads = bulk.script().reads;
        server.turn();
        assert_eq!(bulk.script().reads, reads + 1);
        assert!(String::from_utf8(reader.received()).unwrap().contains(&format!("turn {turn}\n")), "{turn}");
    }
    assert!(server.clients.has_work(), "the rest is read without another event");
    server.run_until_idle();
    assert!(typist.received() == flood);
}

#[test]
fn c11_a_turn_reads_about_a_mebibyte_interactive_clients_first_and_the_others_keep_their_place() {
    const BULK: usize = 40;
    let (mut server, [typist]) = ScriptedServer::with_clients(16 << 20);
    let bulk = (0..BULK).map(|_| server.join()).collect::<Vec<_>>();
    let line = [vec![b'x'; 65_535], vec![b'\n']].concat();
    for client in &bulk {
        // This spends all their credit, so that they are bulk senders.
        server.send(client, &line);
    }
    for client in &bulk {
        client.queue_input(&line);
        server.report_readable(client);
    }
    typist.queue_input("typed\n");
    server.report_readable(&typist);
    let before = bulk.iter().map(|client| client.script().reads).collect::<Vec<_>>();
    let read_since = || (0..BULK).filter(|&at| bulk[at].script().reads > before[at]).collect::<Vec<_>>();
    server.clients.read(server.now);
    assert_eq!(typist.unread(), 0, "an interactive client is read first");
    let first = read_since();
    assert!((10..20).contains(&first.len()), "{first:?}");
    assert_eq!(first, (0..first.len()).collect::<Vec<_>>());
    assert!(server.clients.has_work(), "the remaining clients are queued");
    server.clients.read(server.now);
    let second = read_since();
    assert!(second.len() >= 2 * first.len() - 1, "the others are read before the first again: {second:?}");
    assert_eq!(second, (0..second.len()).collect::<Vec<_>>());
    server.run_until_idle();
    assert_eq!(bulk.iter().map(ScriptedClient::unread).sum::<usize>(), 0);
}
