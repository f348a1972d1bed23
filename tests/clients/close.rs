//! How connections end: events for removed clients, resets, refusals, timeouts and shutdown.

use crate::common::scripted::*;
use crate::common::texts::{HTTP_REFUSAL, STOPPING};
use crate::{block, lines};
use hubbub::chat::room::RoomConfig;
use hubbub::clients::ClientLimits;
use hubbub::clients::close_reason::CloseReason;
use hubbub::util::id_slab::ClientId;
use hubbub::wire::view::View;
use std::io::ErrorKind;
use std::time::Duration;

/// How long a peer may take to close its side.
const LINGER: Duration = Duration::from_secs(2);

#[test]
fn e1_an_event_for_a_removed_client_does_not_reach_the_client_in_its_slot() {
    let (mut server, [old, other]) = ScriptedServer::with_clients(FEED);
    server.end(&old);
    assert!(old.is_removed());
    let new = server.join();
    server.run_until_idle();
    assert!(!server.clients.mark_ready(old.id, true, true, server.now), "the id is no longer known");
    assert!(!server.clients.has_work());
    assert_eq!(new.script().reads, 0);
    server.send(&other, "hello\n");
    new.expect_received("hello\n");
}

#[test]
fn e2_an_event_for_an_unknown_id_is_counted_and_does_nothing() {
    let (mut server, [client]) = ScriptedServer::with_clients(FEED);
    for number in [client.id.number() + 1, 4711, ClientId::FIRST_FREE, usize::MAX] {
        let stale = server.clients.stats.stale;
        assert!(!server.clients.mark_ready(ClientId::from_number(number), true, true, server.now));
        assert_eq!(server.clients.stats.stale, stale + 1);
        server.clients.mark_reset(ClientId::from_number(number));
    }
    server.run_until_idle();
    assert_eq!(server.clients.online(), 1);
}

#[test]
fn e5_a_line_before_a_reset_in_the_same_turn_is_relayed_and_the_connection_is_lost() {
    let (mut server, [sender, reader]) = ScriptedServer::with_clients(FEED);
    sender.queue_input("goodbye\n");
    sender.queue_error(ErrorKind::ConnectionReset);
    server.report_readable(&sender);
    server.run_until_idle();
    reader.expect_received("goodbye\n");
    assert!(sender.is_removed());
    assert_eq!(server.lost(), 1);
}

#[test]
fn e6_clients_that_end_in_one_turn_in_different_ways_are_removed_and_the_others_lose_nothing() {
    let mut server = ScriptedServer::with_welcome(FEED, "");
    let clients = (0..200).map(|_| server.join()).collect::<Vec<_>>();
    server.run_until_idle();
    let mut expected = String::new();
    for (number, client) in clients.iter().enumerate() {
        match number % 5 {
            0 => continue,
            1 => {
                client.queue_input(format!("{number} leaves\n"));
                client.queue_end();
                expected += &format!("{number} leaves\n");
            }
            2 => client.queue_error(ErrorKind::ConnectionReset),
            3 => {
                client.accepts([], Accept::Fail(ErrorKind::BrokenPipe));
                client.queue_end();
            }
            _ => client.script_mut().read_always_fails = Some(ErrorKind::Interrupted),
        }
        server.report_readable(client);
    }
    let mut turns = 0;
    while server.clients.has_work() {
        server.turn();
        turns += 1;
        assert!(turns < 10, "the clients are still not removed");
    }
    for (number, client) in clients.iter().enumerate() {
        assert_eq!(client.is_removed(), number % 5 != 0, "{number}");
        if number % 5 == 0 {
            client.expect_received(&expected);
        }
    }
    assert_eq!(server.clients.online(), 40);
    assert_eq!(server.clients.stats.closed.iter().sum::<u64>(), 160, "each is counted once");
}

#[test]
fn e12_an_error_event_alone_closes_nothing_and_a_failed_read_closes() {
    let (mut server, [client, other]) = ScriptedServer::with_clients(FEED);
    // The server reports an error and a hang-up as readable and writable.
    assert!(server.clients.mark_ready(client.id, true, true, server.now));
    server.run_until_idle();
    assert!(!client.is_removed());
    server.send(&other, "still there?\n");
    client.expect_received("still there?\n");
    server.send(&client, "yes\n");
    other.expect_received("yes\n");
    client.queue_error(ErrorKind::ConnectionReset);
    assert!(server.clients.mark_ready(client.id, true, true, server.now));
    server.run_until_idle();
    assert!(client.is_removed());
    assert_eq!((server.lost(), server.clients.online()), (1, 1));
}

#[test]
fn d1_a_blocked_sender_is_drained_at_shutdown_before_it_is_closed() {
    let (mut server, [stuck, bulk]) = ScriptedServer::with_clients(FEED);
    block(&mut server, &stuck, &bulk);
    bulk.queue_end();
    server.shut_down();
    server.run_until_idle();
    assert!(bulk.script().is_shut_down);
    assert_eq!(
        server.pending_input(&bulk),
        0,
        "a close with unread input destroys output that is on its way"
    );
    assert!(bulk.is_removed());
}

/// The last line of a client when the server stops; none in the plain view.
fn stop_notice(view: View) -> String {
    match view {
        View::Plain => String::new(),
        View::Named => format!("* {STOPPING}\n"),
        View::Json => {
            format!("{{\"type\":\"notice\",\"text\":\"{STOPPING}\",\"at\":\"2026-01-02T03:04:05.678Z\"}}\n")
        }
    }
}

#[test]
fn d1_clients_with_names_are_told_once_that_the_server_stops_after_all_that_they_are_owed() {
    for view in View::ALL {
        let mut server = ScriptedServer::with_views(FEED, &View::ALL);
        let [reader, slow, sender, closing, gone] = [(); 5].map(|()| server.join_in_view(view));
        server.run_until_idle();
        // More than the outbox may hold waits before the notice, and lines of the feed too.
        slow.accepts([Accept::Bytes(3)], Accept::WouldBlock);
        server.send(&slow, "/help\n".repeat(100));
        closing.accepts([], Accept::WouldBlock);
        server.send(&sender, lines(2000));
        server.end(&closing);
        server.send(&gone, "PASS x\n");
        let gone_before = gone.received();
        server.shut_down();
        server.run_until_idle();
        server.accept_all(&slow);
        server.accept_all(&closing);
        for client in [&reader, &slow, &sender] {
            let received = String::from_utf8(client.received()).unwrap();
            assert!(received.ends_with(&stop_notice(view)), "{view:?}: {received}");
            let notices = received.matches(STOPPING).count();
            assert_eq!(notices, usize::from(view.has_names()), "{view:?}");
            assert!(client.script().is_shut_down);
        }
        for client in [&reader, &slow, &closing] {
            let received = String::from_utf8(client.received()).unwrap();
            assert!(
                client.id == closing.id || received.contains("line number      99"),
                "{view:?}: {received}"
            );
        }
        let closing = String::from_utf8(closing.received()).unwrap();
        assert!(!closing.contains(STOPPING), "it had left: {closing}");
        assert_eq!(gone.received(), gone_before, "it was refused");
    }
}

#[test]
fn d1_lines_that_were_read_are_relayed_before_the_notice_as_far_as_there_is_space() {
    for view in [View::Named, View::Json] {
        let mut server = ScriptedServer::with_views(FEED, &[view]);
        let [sender, reader, stuck] = [(); 3].map(|()| server.join_in_view(view));
        server.run_until_idle();
        stuck.accepts([], Accept::WouldBlock);
        // Short lines take many times as much in the feed.
        server.send(&sender, "/nick abcdefghijklmnopqrstuvwx\n");
        server.send(&sender, (0..2000).map(|number| format!("{number}\n")).collect::<String>());
        let waiting = server.clients.connection(sender.id).unwrap().unparsed().to_vec();
        let waiting = String::from_utf8(waiting).unwrap();
        let before = reader.lines();
        assert!(waiting.lines().count() > 1, "{view:?}: {waiting}");
        server.shut_down();
        server.run_until_idle();
        let received = String::from_utf8(reader.received()).unwrap();
        assert!(received.ends_with(&stop_notice(view)));
        let relayed = received.lines().skip(before).zip(waiting.lines());
        let is_text = |(shown, sent): (&str, &str)| {
            shown.ends_with(&format!("> {sent}")) || shown.contains(&format!("\"text\":\"{sent}\""))
        };
        let count = relayed.take_while(|&pair| is_text(pair)).count();
        assert_eq!(reader.lines(), before + count + 1, "{view:?}: and the notice");
        // A line that certainly has space is relayed, and a line that may have none is dropped.
        let is_all = count == waiting.lines().count();
        let room = server.clients.room();
        let is_full = room.admission().cost().of(1) > room.feed(view).space();
        assert!(count > 0 && (is_all || is_full), "{view:?}: {count} of {}", waiting.lines().count());
    }
}

#[test]
fn d1_first_lines_that_are_held_are_relayed_at_shutdown() {
    let mut server = ScriptedServer::with_views(FEED, &[View::Named]);
    let [sender, other, reader] = [(); 3].map(|()| server.join_in_view(View::Named));
    server.send(&sender, "NICK bob\nUS");
    server.send(&other, "\nGET / HTTP/1.1");
    server.shut_down();
    server.run_until_idle();
    let received = String::from_utf8(reader.received()).unwrap();
    assert!(received.ends_with(&format!("<anon1> NICK bob\n* {STOPPING}\n")), "{received}");
    assert!(other.received().ends_with(HTTP_REFUSAL.as_bytes()));
}

#[test]
fn b5_a_client_that_ended_its_input_and_does_not_read_is_closed_after_the_close_timeout() {
    let (mut server, [sender, reader]) = ScriptedServer::with_clients(FEED);
    reader.accepts([], Accept::WouldBlock);
    server.send(&sender, lines(1000));
    server.end(&reader);
    server.advance(STALL_TIMEOUT - MILLISECOND);
    assert_eq!(server.clients.online(), 2);
    server.advance(MILLISECOND);
    assert_eq!((server.clients.online(), server.closed(CloseReason::CloseTimeout)), (1, 1));
}

#[test]
fn b18_a_refused_client_is_read_to_its_end_before_it_is_closed() {
    let (mut server, [browser]) = ScriptedServer::with_clients(FEED);
    browser.queue_input("GET / HTTP/1.1\n");
    for _ in 0..50 {
        browser.queue_input(lines(1000));
    }
    server.report_readable(&browser);
    server.run_until_idle();
    browser.expect_received(HTTP_REFUSAL);
    assert!(browser.script().is_shut_down);
    assert_eq!((server.clients.online(), server.pending_input(&browser)), (1, 0), "it is read, and stays");
    server.end(&browser);
    assert!(server.clients.is_empty());
}

#[test]
fn b21_a_refused_client_that_does_not_close_is_closed_after_two_seconds() {
    let (mut server, [browser]) = ScriptedServer::with_clients(FEED);
    server.send(&browser, "GET / HTTP/1.1\n");
    server.advance(LINGER - MILLISECOND);
    assert_eq!(server.clients.online(), 1);
    server.advance(MILLISECOND);
    assert!(server.clients.is_empty());
}

/// A server with an idle timeout of one minute, and a stall timeout that does not pass before.
fn with_idle_timeout<const N: usize>() -> (ScriptedServer, [ScriptedClient; N]) {
    let limits = ClientLimits { idle_timeout: Some(60 * SECOND), ..limits() };
    ScriptedServer::new(RoomConfig { stall_timeout: 120 * SECOND, ..config(FEED) }, limits).and_clients()
}

#[test]
fn a_client_that_sends_nothing_for_the_idle_timeout_is_disconnected_with_the_reason() {
    let (mut server, [active, idle, typist]) = with_idle_timeout();
    for _ in 0..59 {
        server.advance(SECOND);
        server.send(&active, "still here\n");
        // A part of a line is input too.
        server.send(&typist, "x");
    }
    assert!(!idle.script().is_shut_down);
    server.advance(SECOND);
    assert!(idle.received().ends_with(b"still here\n* disconnected: nothing sent for 60 s\n"));
    assert!(idle.script().is_shut_down && !active.script().is_shut_down && !typist.script().is_shut_down);
    server.end(&idle);
    assert!(idle.is_removed());
    assert_eq!(server.closed(CloseReason::IdleTimeout), 1);
    for _ in 0..58 {
        server.advance(SECOND);
    }
    assert!(!active.script().is_shut_down, "the timeout starts with the last input");
    server.advance(SECOND);
    assert!(active.script().is_shut_down && typist.script().is_shut_down);
}

#[test]
fn a_client_whose_input_waits_for_space_is_not_idle() {
    let (mut server, [bulk, stuck]) = with_idle_timeout();
    block(&mut server, &stuck, &bulk);
    server.now = server.now.after(61 * SECOND);
    server.clients.run_timers(server.now);
    server.write();
    assert!(bulk.received().is_empty() && !bulk.script().is_shut_down);
    assert!(server.clients.next_deadline().is_some(), "its timeout is checked again later");
}

#[test]
fn b4_a_client_that_ends_its_input_leaves_also_while_a_stuck_reader_holds_up_the_room() {
    let (mut server, [stuck, bulk, reader]) = ScriptedServer::with_clients(FEED);
    let client = server.join();
    block(&mut server, &stuck, &bulk);
    // More than the credit of a new client, so that it is a bulk sender from now on.
    let line = format!("{}\n", "-".repeat(400));
    client.queue_input(&line);
    client.queue_end();
    server.report_readable(&client);
    server.run_until_idle();
    assert!(reader.received().ends_with(line.as_bytes()));
    assert!(client.is_removed());
}
