//! Notices about members: their order, and their number if they find no space.

use crate::common::scripted::*;
use crate::lines;
use hubbub::chat::room::RoomConfig;
use hubbub::clients::ClientLimits;
use hubbub::net::fd_limit::ConnectionBudget;
use hubbub::wire::view::View;

/// Lets the time pass after which joins are announced.
fn announce(server: &mut ScriptedServer) {
    (0..3).for_each(|_| server.advance(SECOND));
}

/// Returns a line without its line end, of the json view without the time of day.
fn without_time(line: &str) -> &str {
    line.trim_end().strip_suffix(r#","at":"2026-01-02T03:04:05.678Z"}"#).unwrap_or(line.trim_end())
}

#[test]
fn notices_that_find_no_space_become_one_line_with_their_number_in_their_place() {
    type Notice = fn(usize, usize) -> String;
    let cases: [(View, Notice, Notice, Notice); 2] = [
        (
            View::Named,
            |name, here| format!("* anon{name} joined ({here} here)"),
            |name, _| format!("* anon{name} left"),
            |count, _| format!("* {count} people came, left or changed names; /who lists them"),
        ),
        (
            View::Json,
            |name, here| format!(r#"{{"type":"join","from":"anon{name}","here":{here}"#),
            |name, _| format!(r#"{{"type":"leave","from":"anon{name}""#),
            |count, here| {
                let text = format!("{count} people came, left or changed names; /who lists them");
                format!(r#"{{"type":"notice","text":"{text}","here":{here}"#)
            },
        ),
    ];
    for (view, joined, left, missed) in cases {
        let mut server = ScriptedServer::with_views(4096, &[View::Plain, view]);
        let (reader, stuck) = (server.join_in_view(view), server.join_in_view(view));
        announce(&mut server);
        let before = reader.lines();
        stuck.accepts([], Accept::WouldBlock);
        let clients = (0..300).map(|_| server.join()).collect::<Vec<_>>();
        server.advance(2 * SECOND);
        let fitted = reader.lines() - before;
        assert!((20..200).contains(&fitted), "{view:?}: {fitted} notices fit");
        // It leaves although there is no space for the notice, which is counted too.
        server.end(&clients[0]);
        assert!(clients[0].is_removed());
        server.accept_all(&stuck);
        server.end(&clients[1]);
        server.end(&clients[2]);
        let expected = (0..fitted).map(|at| joined(at + 3, 302)).chain([
            missed(301 - fitted, 301),
            left(4, 0),
            left(5, 0),
        ]);
        let expected = expected.collect::<Vec<_>>();
        for client in [&reader, &stuck] {
            let received = String::from_utf8(client.received()).unwrap();
            let notices = received.lines().map(without_time).skip(client.lines() - expected.len());
            assert_eq!(notices.collect::<Vec<_>>(), expected, "{view:?}");
        }
    }
}

#[test]
fn a_short_notice_does_not_overtake_longer_ones_that_found_no_space() {
    // With some of these sizes the last free bytes are enough for the short notice.
    for feed in (4096..4096 + 32).step_by(4) {
        let limits = ClientLimits { idle_timeout: Some(10 * SECOND), ..limits() };
        let views = vec![View::Plain, View::Named];
        let mut server = ScriptedServer::new(RoomConfig { views, ..config(feed) }, limits);
        let (reader, stuck) = (server.join_in_view(View::Named), server.join_in_view(View::Named));
        server.advance(SECOND);
        let _idle = server.join();
        server.advance(4 * SECOND);
        [&reader, &stuck].into_iter().for_each(|client| server.send(client, "\n"));
        let before = reader.lines();
        stuck.accepts([], Accept::WouldBlock);
        let _clients = (0..200).map(|_| server.join()).collect::<Vec<_>>();
        server.advance(2 * SECOND);
        let joined = reader.lines() - before;
        assert!((100..200).contains(&joined), "{joined} notices find space");
        // The idle client leaves.
        server.advance(4 * SECOND);
        server.accept_all(&stuck);
        let received = String::from_utf8(reader.received()).unwrap();
        let notices = received.lines().skip(before + joined).collect::<Vec<_>>();
        let missed = format!("* {} people came, left or changed names; /who lists them", 201 - joined);
        assert_eq!(notices, [missed], "a feed of {feed}");
    }
}

#[test]
fn e6_many_clients_that_leave_in_one_turn_are_announced_in_their_order_to_a_slow_reader() {
    let mut server = ScriptedServer::with_views(4096, &[View::Plain, View::Named]);
    let (slow, reader, bulk) =
        (server.join_in_view(View::Named), server.join_in_view(View::Named), server.join());
    let leaving = (0..100).map(|_| server.join()).collect::<Vec<_>>();
    server.run_until_idle();
    announce(&mut server);
    slow.accepts([], Accept::WouldBlock);
    server.send(&bulk, lines(20 * 500));
    assert!(server.pending_input(&bulk) > 0, "it waits for the slow reader");
    let space = server.clients.room().feed(View::Named).space();
    for client in &leaving {
        client.queue_end();
        server.report_readable(client);
    }
    server.run_until_idle();
    server.accept_all(&slow);
    for client in [&slow, &reader] {
        let received = String::from_utf8(client.received()).unwrap();
        let left = received.lines().filter(|line| line.ends_with(" left")).collect::<Vec<_>>();
        let expected = (4..4 + left.len()).map(|number| format!("* anon{number} left")).collect::<Vec<_>>();
        assert_eq!(left, expected);
        let missed = format!("* {} people came", 100 - left.len());
        let has_missed = received.lines().any(|line| line.starts_with(&missed));
        assert!(has_missed || left.len() == 100, "{space} bytes, {} left", left.len());
    }
}

#[test]
fn a_client_that_leaves_while_others_send_is_announced_between_their_lines_and_tears_none() {
    for history in [0, 5] {
        let views = vec![View::Plain, View::Named];
        let mut server = ScriptedServer::new(RoomConfig { views, history, ..config(FEED) }, limits());
        let (named, sender) = (server.join_in_view(View::Named), server.join());
        let leaving = (0..9).map(|_| server.join()).collect::<Vec<_>>();
        server.run_until_idle();
        announce(&mut server);
        let before = named.received().len();
        let mut expected = String::new();
        for (index, client) in leaving.iter().enumerate() {
            client.queue_end();
            client.queue_end();
            server.clients.mark_ready(client.id, true, true, server.now);
            server.turn();
            // Before the notice is written.
            sender.queue_input(format!("line {index}\n"));
            server.report_readable(&sender);
            server.turn();
            expected += &format!("* anon{} left\n<anon2> line {index}\n", index + 3);
        }
        server.run_until_idle();
        assert_eq!(String::from_utf8_lossy(&named.received()[before..]), expected, "history {history}");
    }
}

#[test]
fn a_stuck_reader_holds_up_notices_for_the_others_at_most_the_stall_timeout() {
    let limits = ClientLimits {
        connections: ConnectionBudget { clients: 6000, refusals: 32, pending: 0 },
        ..limits()
    };
    let views = vec![View::Plain, View::Json];
    let mut server = ScriptedServer::new(RoomConfig { views, ..config(4096) }, limits);
    let (reader, stuck) = (server.join_in_view(View::Json), server.join_in_view(View::Json));
    announce(&mut server);
    stuck.accepts([], Accept::WouldBlock);
    let _clients = (0..5000).map(|_| server.join()).collect::<Vec<_>>();
    server.run_until_idle();
    for _ in 0..8 {
        server.advance(SECOND);
    }
    assert_eq!((server.stalled(), stuck.is_removed()), (1, true));
    let received = String::from_utf8(reader.received()).unwrap();
    let joined = received.lines().filter(|line| line.starts_with(r#"{"type":"join""#)).count();
    let last = received.lines().last().unwrap();
    // The stuck client joined and left too.
    let missed = format!(r#""text":"{} people came, left or"#, 5002 - joined);
    assert!(joined > 0 && last.contains(&missed), "{joined}, {last}");
}
