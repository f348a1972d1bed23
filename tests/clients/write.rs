//! The write step: partial writes, failed writes, and what each client receives in which order.

use crate::common::scripted::*;
use crate::lines;
use hubbub::chat::room::RoomConfig;
use hubbub::clients::close_reason::CloseReason;
use hubbub::wire::view::View;
use std::io::ErrorKind;

#[test]
fn e3_a_client_whose_write_fails_is_removed_after_the_others_have_the_line() {
    let (mut server, [sender, before, broken, after]) = ScriptedServer::with_clients(FEED);
    broken.accepts([], Accept::Fail(ErrorKind::Interrupted));
    sender.queue_input("hello\n");
    server.report_readable(&sender);
    server.clients.read(server.now);
    server.write();
    assert_eq!(server.clients.online(), 4, "the write step removes nobody");
    before.expect_received("hello\n");
    after.expect_received("hello\n");
    server.clients.sweep(server.now);
    assert!(broken.is_removed());
    assert_eq!(server.clients.online(), 3);
    server.run_until_idle();
    server.send(&sender, "again\n");
    after.expect_received("hello\nagain\n");
}

#[test]
fn e4_after_a_failed_write_the_others_lose_nothing_and_earlier_input_of_its_client_is_relayed() {
    for broken in 1..5 {
        let (mut server, clients) = ScriptedServer::with_clients::<5>(FEED);
        clients[broken].accepts([], Accept::Fail(ErrorKind::ConnectionReset));
        clients[broken].queue_input("last ");
        clients[broken].queue_input("words\nunfinished");
        clients[broken].queue_error(ErrorKind::ConnectionReset);
        server.send(&clients[0], "hello\n");
        clients[0].expect_received("last words\n");
        for (number, client) in clients.iter().enumerate().skip(1).filter(|&(number, _)| number != broken) {
            client.expect_received("hello\nlast words\n");
            assert!(!client.is_removed(), "{number}");
        }
        assert!(clients[broken].is_removed());
        assert_eq!(clients[broken].script().writes, 1, "a failed write is not tried again");
        assert_eq!((server.lost(), server.clients.stats.torn, server.clients.online()), (1, 1, 4));
    }
}

#[test]
fn e4_a_failed_write_removes_the_client_even_if_it_sends_nothing_more() {
    let (mut server, [sender, broken, other]) = ScriptedServer::with_clients(FEED);
    broken.accepts([], Accept::Fail(ErrorKind::ConnectionReset));
    server.send(&sender, "hello\n");
    other.expect_received("hello\n");
    server.advance(STALL_TIMEOUT);
    assert!(broken.is_removed());
    assert_eq!((server.lost(), server.clients.online()), (1, 2));
}

#[test]
fn e5_a_line_reaches_the_others_even_if_the_write_to_its_sender_fails_in_the_same_turn() {
    for error in [ErrorKind::BrokenPipe, ErrorKind::Interrupted] {
        let (mut server, [other, sender, reader]) = ScriptedServer::with_clients(FEED);
        sender.accepts([], Accept::Fail(error));
        sender.queue_input("of the sender\n");
        other.queue_input("of the other\n");
        server.report_readable(&sender);
        server.report_readable(&other);
        server.turn();
        other.expect_received("of the sender\n");
        reader.expect_received("of the sender\nof the other\n");
        sender.queue_end();
        server.run_until_idle();
        assert!(sender.is_removed());
        sender.expect_received("");
        server.send(&other, "more\n");
        reader.expect_received("of the sender\nof the other\nmore\n");
        other.expect_received("of the sender\n");
    }
}

#[test]
fn e7_writes_cut_at_any_two_bytes_lose_and_repeat_nothing_and_mix_no_lines() {
    let expected = "welcome\nfirst\nsecond\nthird\nfourth\n";
    let reply = b"\xFF\xFC\x01";
    for first in 1..=expected.len() {
        for second in 1..=expected.len() {
            let mut server = ScriptedServer::with_welcome(4096, "welcome");
            let (reader, sender) = (server.join(), server.join());
            reader.accepts([Accept::Bytes(first)], Accept::WouldBlock);
            server.send(&sender, "first\nsecond\n");
            server.send(&reader, b"mine\n\xFF\xFD\x01");
            server.send(&sender, "third\n");
            server.send(&reader, "mine too\n");
            server.send(&sender, "fourth\n");
            server.accept_bytes(&reader, second);
            server.accept_all(&reader);
            sender.expect_received("welcome\nmine\nmine too\n");
            let mut received = reader.received();
            let at = received.windows(3).position(|bytes| bytes == reply).unwrap();
            assert!(at == 0 || received[at - 1] == b'\n', "cut at {first} and {second}: a reply in a line");
            received.drain(at..at + 3);
            assert_eq!(String::from_utf8_lossy(&received), expected, "cut at {first} and {second}");
        }
    }
}

#[test]
fn e7_writes_of_any_length_deliver_the_exact_bytes_around_the_ring() {
    let sent =
        (0..150).flat_map(|n| format!("{n} {}\n", "x".repeat(n % 25)).into_bytes()).collect::<Vec<_>>();
    for length in 1..=100 {
        let (mut server, [reader, sender]) = ScriptedServer::with_clients(512);
        reader.accepts([], Accept::WouldBlock);
        server.send(&sender, &sent);
        assert!(sender.unread() > 512, "the ring is passed more than once");
        let mut own = Vec::new();
        for step in 0..sent.len() {
            if reader.received().len() == sent.len() {
                break;
            }
            if step % 7 == 0 && own.len() < 300 {
                own.extend_from_slice(format!("own {step}\n").as_bytes());
                reader.queue_input(format!("own {step}\n"));
                server.report_readable(&reader);
            }
            server.accept_bytes(&reader, length);
        }
        reader.expect_received(&sent);
        sender.expect_received(&own);
    }
}

#[test]
fn e8_a_partial_write_goes_on_when_the_socket_is_writable_and_not_before() {
    let (mut server, [sender, reader]) = ScriptedServer::with_clients(FEED);
    reader.accepts([Accept::Bytes(3)], Accept::WouldBlock);
    server.send(&sender, "hello\n");
    reader.expect_received("hel");
    let writes = reader.script().writes;
    server.send(&sender, "again\n");
    assert_eq!(reader.script().writes, writes, "no write before the event");
    server.accept_all(&reader);
    reader.expect_received("hello\nagain\n");
}

#[test]
fn e8_a_short_write_goes_on_without_an_event() {
    let (mut server, [sender, reader]) = ScriptedServer::with_clients(FEED);
    reader.accepts([Accept::Bytes(3), Accept::Bytes(2)], Accept::All);
    server.send(&sender, "hello, all of you\n");
    reader.expect_received("hello, all of you\n");
    assert_eq!(reader.script().writes, 3);
}

#[test]
fn e8_a_writable_event_with_nothing_pending_is_remembered() {
    let (mut server, [sender, reader]) = ScriptedServer::with_clients(FEED);
    reader.accepts([Accept::WouldBlock], Accept::All);
    server.send(&sender, "one\n");
    for _ in 0..2 {
        server.report_writable(&reader);
        server.run_until_idle();
    }
    server.send(&sender, "two\n");
    server.send(&sender, "three\n");
    reader.expect_received("one\ntwo\nthree\n");
}

#[test]
fn e9_a_writable_event_with_nothing_pending_writes_nothing_and_leaves_no_work() {
    let (mut server, [sender, reader]) = ScriptedServer::with_clients(FEED);
    server.send(&sender, "hello\n");
    assert_eq!((reader.script().writes, sender.script().writes), (1, 0));
    for _ in 0..10 {
        server.report_writable(&reader);
        server.report_writable(&sender);
        server.turn();
        assert!(!server.clients.has_work());
    }
    assert_eq!((reader.script().writes, sender.script().writes), (1, 0));
}

/// Sets what the socket of a client does.
type Script<'a> = &'a dyn Fn(&ScriptedClient);

#[test]
fn e14_a_socket_that_makes_no_progress_is_closed_and_the_others_are_served() {
    let never_reads = |client: &ScriptedClient| {
        client.script_mut().read_always_fails = Some(ErrorKind::Interrupted);
    };
    let never_writes = |client: &ScriptedClient| client.accepts([], Accept::Fail(ErrorKind::Interrupted));
    let writes_nothing = |client: &ScriptedClient| client.accepts([], Accept::Bytes(0));
    let cases: [(Script<'_>, _); 3] =
        [(&never_reads, 2..=10_001), (&never_writes, 2..=10_001), (&writes_nothing, 1..=1)];
    for (case, (script, tries)) in cases.into_iter().enumerate() {
        let (mut server, [broken, sender, reader]) = ScriptedServer::with_clients(FEED);
        script(&broken);
        server.report_readable(&broken);
        server.send(&sender, "hello\n");
        reader.expect_received("hello\n");
        assert!(broken.is_removed(), "case {case}");
        let tried = if case == 0 { broken.script().reads } else { broken.script().writes };
        assert!(tries.contains(&tried), "case {case}: {tried} tries");
        assert_eq!(server.closed(CloseReason::NoProgress), 1);
        server.send(&reader, "we are fine\n");
        sender.expect_received("we are fine\n");
    }
}

#[test]
fn e14_a_call_that_is_interrupted_fifty_times_is_repeated() {
    let (mut server, [sender, reader]) = ScriptedServer::with_clients(FEED);
    for _ in 0..50 {
        sender.queue_error(ErrorKind::Interrupted);
    }
    reader.accepts([Accept::Fail(ErrorKind::Interrupted); 50], Accept::All);
    server.send(&sender, "hello\n");
    reader.expect_received("hello\n");
}

#[test]
fn e18_a_line_that_only_its_sender_could_read_is_no_error_and_no_echo() {
    let mut server = ScriptedServer::with_welcome(FEED, "welcome");
    server.turn();
    assert!(server.clients.is_empty() && !server.clients.has_work());
    let alone = server.join();
    server.run_until_idle();
    server.send(&alone, "anybody here?\n");
    server.send(&alone, lines(20 * FEED));
    alone.expect_received("welcome\n");
    assert_eq!((alone.script().writes, alone.unread()), (1, 0));
    let late = server.join();
    server.send(&alone, "at last\n");
    late.expect_received("welcome\nat last\n");
    alone.expect_received("welcome\n");
}

#[test]
fn the_end_of_the_history_comes_between_the_old_lines_and_the_new_ones_however_slow_its_reader_reads() {
    for step in [1, 7, 1000] {
        let config = RoomConfig { views: vec![View::Named], history: 2, ..config(FEED) };
        let mut server = ScriptedServer::new(config, limits());
        let sender = server.join_in_view(View::Named);
        server.send(&sender, "zero\none\ntwo\n");
        let reader = server.join_in_view(View::Named);
        reader.accepts([], Accept::WouldBlock);
        server.run_until_idle();
        server.send(&sender, "three\n/msg anon2 four\nfive\n");
        server.send(&reader, "/who\n");
        let expected = "* the last 2 lines:\n<anon1> one\n<anon1> two\n* end of history\n<anon1> three\n\
            * private from anon1: four\n* 2 here: anon1, anon2\n<anon1> five\n";
        (0..expected.len()).for_each(|_| server.accept_bytes(&reader, step));
        reader.expect_received(expected);
    }
}

#[test]
fn a_private_message_follows_the_earlier_messages_to_everyone_however_slow_its_recipient_reads() {
    for step in [1, 7, 1000] {
        let mut server = ScriptedServer::with_views(FEED, &[View::Named]);
        let [reader, sender] = [(); 2].map(|()| server.join_in_view(View::Named));
        server.run_until_idle();
        reader.accepts([], Accept::WouldBlock);
        server.send(&sender, "one\n/msg anon1 two\nthree\n/nick bob\n/msg anon1 four\nfive\n");
        server.send(&reader, "/msg anon1 to myself\nsix\n");
        server.send(&sender, "seven\n/msg anon1 eight\n");
        let public = "<anon2> one\n<anon2> three\n* anon2 joined (2 here)\n* anon2 is now bob\n<bob> five\n<bob> seven\n";
        let private = "* private from anon2: two\n* private from bob: four\n* private from anon1: to myself\n\
            * private to anon1: to myself\n* private from bob: eight\n";
        while reader.received().len() < public.len() + private.len() {
            server.accept_bytes(&reader, step);
        }
        let received = String::from_utf8(reader.received()).unwrap();
        let lines_of = |is_private| {
            let lines = received.split_inclusive('\n');
            lines.filter(|line| line.starts_with("* private") == is_private).collect::<String>()
        };
        assert_eq!((lines_of(false).as_str(), lines_of(true).as_str()), (public, private));
        let place = |line| received.find(line).unwrap();
        for (public, private) in [("one", "two"), ("is now bob", "bob: four"), ("seven", "eight")] {
            assert!(place(public) < place(private), "{received}");
        }
    }
}
