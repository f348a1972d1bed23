//! Input that was read and may not be handled yet.

use crate::common::scripted::*;
use crate::lines;
use hubbub::broadcast::rate_limit::RateLimit;
use hubbub::chat::room::RoomConfig;
use hubbub::clients::close_reason::CloseReason;
use hubbub::wire::view::View;
use std::io::ErrorKind;

/// Why input is not handled at once.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cause {
    /// The client does not read its replies.
    FullOutbox,
    RateLimit,
    /// A stuck reader leaves no space in the feed.
    NoSpace,
}

const CAUSES: [Cause; 3] = [Cause::FullOutbox, Cause::RateLimit, Cause::NoSpace];

/// A room in the named view, with a sender whose input waits unparsed.
struct Waiting {
    server: ScriptedServer,
    cause: Cause,
    sender: ScriptedClient,
    reader: ScriptedClient,
    stuck: ScriptedClient,
    name: &'static str,
    /// The messages that the reader receives once all input is handled.
    expected: String,
}

impl Waiting {
    fn new(cause: Cause) -> Self {
        let rate = (cause == Cause::RateLimit).then(|| RateLimit::new(1)).flatten();
        let config = RoomConfig { rate, views: vec![View::Named], ..config(FEED) };
        let mut server = ScriptedServer::new(config, limits());
        let [sender, reader, stuck] = [(); 3].map(|()| server.join_in_view(View::Named));
        server.run_until_idle();
        let blocked = if cause == Cause::FullOutbox { &sender } else { &stuck };
        if cause != Cause::RateLimit {
            blocked.accepts([], Accept::WouldBlock);
        }
        let mut name = "anon1";
        if cause == Cause::NoSpace {
            // A line of one digit takes 14 times as much in the feed.
            name = "abcdefghijklmnopqrstuvwx";
            server.send(&sender, format!("/nick {name}\n"));
        }
        let (command, count) = match cause {
            Cause::FullOutbox => ("/help\n", 30),
            Cause::RateLimit => ("", 15),
            Cause::NoSpace => ("", 1960),
        };
        let input = (0..count).map(|number| format!("{command}{}\n", number % 10));
        server.send(&sender, input.collect::<String>());
        let expected = (0..count).map(|number| format!("<{name}> {}\n", number % 10)).collect();
        let waiting = Self { server, cause, sender, reader, stuck, name, expected };
        assert!(waiting.unparsed() > 0 && waiting.sender.unread() == 0, "{cause:?}");
        waiting
    }

    fn unparsed(&self) -> usize {
        self.server.clients.connection(self.sender.id).unwrap().unparsed_len()
    }

    /// The messages that the reader has received.
    fn messages(&self) -> String {
        let received = String::from_utf8(self.reader.received()).unwrap();
        received.split_inclusive('\n').filter(|line| line.starts_with('<')).collect()
    }

    /// Removes the cause.
    fn release(&mut self) {
        match self.cause {
            Cause::FullOutbox => self.server.accept_all(&self.sender),
            Cause::NoSpace => self.server.accept_all(&self.stuck),
            Cause::RateLimit => (0..30).for_each(|_| self.server.advance(SECOND)),
        }
    }
}

#[test]
fn unparsed_input_is_handled_in_order_and_before_newer_input() {
    for cause in CAUSES {
        let mut waiting = Waiting::new(cause);
        let reads = waiting.sender.script().reads;
        waiting.server.send(&waiting.sender, "newer\n");
        assert_eq!(waiting.sender.script().reads, reads, "{cause:?}: not read while older input is unparsed");
        assert_eq!(waiting.server.clients.unparsed(), waiting.unparsed());
        waiting.release();
        assert_eq!(
            waiting.messages(),
            format!("{}<{}> newer\n", waiting.expected, waiting.name),
            "{cause:?}"
        );
        assert_eq!((waiting.unparsed(), waiting.server.clients.unparsed()), (0, 0), "{cause:?}");
        if cause == Cause::FullOutbox {
            assert_eq!(waiting.sender.lines(), 30 * 7, "each /help has its reply");
        }
    }
}

#[test]
fn the_end_of_input_and_a_reset_behind_unparsed_input_are_seen_after_it() {
    for cause in CAUSES {
        for is_reset in [false, true] {
            let mut waiting = Waiting::new(cause);
            waiting.sender.queue_input("tail");
            if is_reset {
                waiting.sender.queue_error(ErrorKind::ConnectionReset);
            } else {
                waiting.sender.queue_end();
            }
            waiting.server.report_readable(&waiting.sender);
            waiting.server.run_until_idle();
            assert!(
                waiting.unparsed() > 0 && !waiting.sender.is_removed(),
                "{cause:?}: nothing overtakes it"
            );
            waiting.release();
            let tail = if is_reset { String::new() } else { format!("<{}> tail\n", waiting.name) };
            assert_eq!(waiting.messages(), waiting.expected.clone() + &tail, "{cause:?}, reset: {is_reset}");
            assert!(waiting.sender.is_removed());
            let (left, lost) = (waiting.server.closed(CloseReason::ClosedByPeer), waiting.server.lost());
            assert_eq!((left, lost), if is_reset { (0, 1) } else { (1, 0) });
            assert_eq!(waiting.server.clients.stats.torn, u64::from(is_reset));
        }
    }
}

#[test]
fn reads_are_small_while_the_clients_hold_more_than_a_mebibyte_of_unparsed_input() {
    const READ: usize = 60_000;
    const SMALL_READ: usize = 4096;
    let mut server = ScriptedServer::with_views(1 << 20, &[View::Named]);
    let clients: [_; 30] = [(); 30].map(|()| server.join_in_view(View::Named));
    server.run_until_idle();
    let commands = "/help\n".repeat(READ / 6);
    for (number, client) in clients.iter().enumerate() {
        client.accepts([], Accept::WouldBlock);
        let before = server.clients.unparsed();
        server.send(client, &commands);
        let read = if before > 1 << 20 { SMALL_READ } else { READ };
        assert_eq!(client.unread(), READ - read, "client {number}");
        let unparsed = server.clients.unparsed() - before;
        assert!((read - 100..read).contains(&unparsed), "client {number}: {unparsed} of {read}");
    }
    assert!(server.clients.unparsed() < (1 << 20) + READ + 30 * SMALL_READ);
    // Once the first clients are gone, a read is large again.
    clients.iter().take(18).for_each(|client| client.accepts([], Accept::Fail(ErrorKind::ConnectionReset)));
    clients.iter().take(18).for_each(|client| client.queue_error(ErrorKind::ConnectionReset));
    clients.iter().take(18).for_each(|client| server.report_writable(client));
    server.run_until_idle();
    let late = server.join_in_view(View::Named);
    late.accepts([], Accept::WouldBlock);
    server.send(&late, &commands);
    assert_eq!(late.unread(), 0);
}

#[test]
fn with_a_rate_limit_reads_are_small() {
    let config = RoomConfig { rate: RateLimit::new(1), ..config(1 << 20) };
    let (mut server, [client]) = ScriptedServer::new(config, limits()).and_clients();
    server.send(&client, lines(60_000));
    assert!(server.clients.unparsed() <= 4096, "{}", server.clients.unparsed());
}

#[test]
fn a_line_of_the_limit_is_relayed_however_its_line_end_is_cut() {
    let (mut server, [sender, reader]) = ScriptedServer::with_clients(1000);
    let line = [b'x'; 1000 / 16];
    for _ in 0..3 {
        server.send(&sender, line);
        server.send(&sender, "\r");
        server.send(&sender, "\nnext\n");
    }
    reader.expect_received([&line[..], b"\nnext\n"].concat().repeat(3));
}

#[test]
fn an_unparsed_line_that_finds_no_space_waits_for_the_stuck_reader_like_any_other() {
    let (mut server, [stuck, bulk, sender, other]) = ScriptedServer::with_clients(4096);
    server.advance(2 * SECOND);
    stuck.accepts([], Accept::WouldBlock);
    server.send(&bulk, lines(3340));
    // The first line of the sender is handled, and the line of the other takes the space for the second.
    let long = [&[b'y'; 85][..], b"\n"].concat();
    sender.queue_input([b"a\n", &long[..]].concat());
    other.queue_input([&[1; 60][..], b"\n"].concat());
    server.report_readable(&sender);
    server.report_readable(&other);
    server.run_until_idle();
    assert_eq!(server.clients.unparsed(), long.len());
    assert_eq!(server.clients.next_deadline(), Some(server.now.after(STALL_TIMEOUT)), "it waits for space");
    server.advance(STALL_TIMEOUT);
    assert!(stuck.is_removed());
    assert!(other.received().ends_with(&long));
}
