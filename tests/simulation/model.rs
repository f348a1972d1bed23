//! The naive model of the room: one list of lines, and how much of it each client has received.

use crate::client::{ClientModel, Stage};
use crate::common::scripted::{Call, ScriptedSocket, Trace, limits};
use crate::common::twin::{Yielded, escape_one_by_one};
use crate::world::Endpoint;
use hubbub::chat::room::RoomConfig;
use hubbub::clients::close_reason::CloseReason;
use hubbub::clients::stats::Stats;
use hubbub::clients::{ClientLimits, Clients};
use hubbub::util::clock::Moment;
use hubbub::util::id_slab::ClientId;
use hubbub::wire::http;
use hubbub::wire::opening::MAX_OPENING;
use hubbub::wire::other_protocol::OtherProtocol;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::Duration;

/// A client with more bytes in its outbox is not read, as the README says.
pub(crate) const OUTBOX_LIMIT: usize = 4096;
/// The longest reply that may exceed the limit: a welcome, or the reason of a refusal.
pub(crate) const MAX_REPLY: usize = 200;
/// How long the table waits for a client that closes.
pub(crate) const CLOSE_TIMEOUT: Duration = limits().close_timeout;
pub(crate) const LINGER: Duration = Duration::from_secs(2);
/// How long lines are held that may open another protocol.
const OPENING_TIMEOUT: Duration = Duration::from_secs(2);
pub(crate) const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

pub(crate) struct Line {
    pub(crate) author: usize,
    /// Escaped, with its line end.
    pub(crate) text: Vec<u8>,
    /// Bytes of all lines before it.
    pub(crate) start: u64,
}

pub(crate) struct Model {
    pub(crate) config: RoomConfig,
    /// Lines per second that one client may send, if there is a limit.
    rate: Option<usize>,
    pub(crate) limits: ClientLimits,
    /// The lines of all clients, in the order in which they were handled.
    pub(crate) order: Vec<Line>,
    /// Bytes of all lines.
    head: u64,
    too_long: u64,
    /// The clients in the table, by their numbers in the trace.
    pub(crate) clients: BTreeMap<usize, ClientModel>,
    pub(crate) stats: Stats,
    pub(crate) stopped: Option<Moment>,
    trace: Trace,
}

impl Model {
    pub(crate) fn new(config: RoomConfig, rate: Option<usize>, limits: ClientLimits, trace: Trace) -> Self {
        Self {
            config,
            rate,
            limits,
            order: Vec::new(),
            head: 0,
            too_long: 0,
            clients: BTreeMap::new(),
            stats: Stats::default(),
            stopped: None,
            trace,
        }
    }

    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.clients.values().map(|client| &**client)
    }

    pub(crate) fn endpoints_mut(&mut self) -> impl Iterator<Item = &mut Endpoint> {
        self.clients.values_mut().map(|client| &mut **client)
    }

    /// A client connects: it is admitted, or refused with a reason.
    pub(crate) fn connect(&mut self, number: usize, mut client: ClientModel, now: Moment) {
        self.stats.accepted += 1;
        let online = self.clients.values().filter(|other| other.is_member).count();
        let here = self.clients.values().filter(|other| other.is_member && other.address == client.address);
        let here = here.count();
        let clients = self.limits.connections.clients;
        if online >= clients {
            let text = format!("the room is full ({clients} clients): try again later");
            client.refuse(&text, CloseReason::RoomFull, now);
        } else if self.limits.per_network.is_some_and(|most| here >= most) {
            let text = format!("too many connections from your address ({here}): try again later");
            client.refuse(&text, CloseReason::PerAddressLimit, now);
        } else if !self.config.welcome.is_empty() {
            client.queue_text(format!("{}\n", self.config.welcome).as_bytes());
        }
        client.is_member = client.stage == Stage::Open;
        self.clients.insert(number, client);
    }

    /// Whether as many refused connections are open as may be.
    pub(crate) fn is_refusal_limit_reached(&self) -> bool {
        let refusals = self.clients.values().filter(|client| !client.is_member).count();
        refusals >= self.limits.connections.refusals
    }

    /// Applies the calls since the last one.
    pub(crate) fn apply_calls(&mut self, now: Moment) {
        let calls = std::mem::take(&mut *self.trace.borrow_mut());
        for (number, call) in calls {
            if matches!(call, Call::Dropped) {
                continue;
            }
            let Some(client) = self.clients.get_mut(&number) else {
                panic!("{number} was removed and still has {call:?}");
            };
            match call {
                Call::Read(bytes) if bytes.is_empty() => self.input_ended(number, now),
                Call::Read(bytes) => self.read(number, bytes, now),
                Call::ReadFailed(kind) => client.read_failed(kind),
                Call::Wrote(bytes) => {
                    client.may_make_no_progress |= bytes.is_empty();
                    client.receive(number, &bytes, &self.order);
                    self.stats.written += bytes.len() as u64;
                }
                Call::WriteFailed(kind) => client.write_failed(kind),
                Call::ShutDown => client.is_shut_down(number, &self.order),
                Call::Dropped => {}
            }
        }
    }

    fn read(&mut self, number: usize, bytes: Vec<u8>, now: Moment) {
        self.stats.read += bytes.len() as u64;
        let Some(client) = self.clients.get_mut(&number) else { return };
        if client.is_active() {
            assert!(client.outbox.len() <= OUTBOX_LIMIT, "{number} is read and does not take its replies");
            client.read_at = now;
        } else {
            assert!(matches!(client.stage, Stage::Draining(_)), "{number} is read in {:?}", client.stage);
        }
        client.read(bytes);
    }

    /// The client of `id` had its turn in the read step: some of its input, in order, was handled.
    pub(crate) fn after_read(&mut self, id: ClientId, table: &Clients<ScriptedSocket>, now: Moment) {
        self.apply_calls(now);
        let number = self.clients.iter().find(|(_, client)| client.scripted.id == id);
        let Some((&number, _)) = number else { return };
        let Some(client) = self.clients.get_mut(&number) else { return };
        let bytes = client.take_handled(table);
        if !client.is_active() {
            return;
        }
        if !bytes.is_empty() {
            client.handled_at = now;
        }
        self.decode(number, &bytes, table, now);
        self.clients[&number].check_outbox();
    }

    /// Decodes `bytes`, and the lines of the opening that the server has decoded.
    fn decode(&mut self, number: usize, bytes: &[u8], table: &Clients<ScriptedSocket>, now: Moment) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        bytes.iter().for_each(|&byte| client.twin.byte(byte));
        if let Some(connection) = table.connection(client.scripted.id) {
            client.twin.release_to(connection.decoder().held());
        }
        self.handle_lines(number, now);
    }

    /// Nothing followed the opening of `number` for a while.
    pub(crate) fn decide_opening(&mut self, number: usize, now: Moment) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        assert!(now.since(client.joined_at) >= OPENING_TIMEOUT, "{number} was settled too early");
        client.twin.settle();
        self.handle_lines(number, now);
    }

    fn input_ended(&mut self, number: usize, now: Moment) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        if client.is_active() {
            client.twin.settle();
            self.handle_lines(number, now);
        }
        let Some(client) = self.clients.get_mut(&number) else { return };
        if client.is_active() && client.twin.is_releasing() {
            // The end is read again after the lines of the opening.
            return;
        }
        if matches!(client.stage, Stage::Open | Stage::WriteFailed(ErrorKind::BrokenPipe)) {
            client.twin.finish();
            self.handle_lines(number, now);
        }
        let head = self.order.len();
        if let Some(client) = self.clients.get_mut(&number) {
            client.end_input(head, now);
        }
    }

    /// A flush ended the unfinished line of `number`.
    pub(crate) fn flush(&mut self, number: usize, now: Moment) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        let after = self.limits.flush_after.expect("no flush without --flush-after");
        assert!(now.since(client.read_at) >= after, "{number} was flushed too early");
        client.twin.flush();
        self.handle_lines(number, now);
    }

    /// Lines go into the order, and replies to their sender.
    fn handle_lines(&mut self, number: usize, now: Moment) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        for sent in client.twin.take() {
            client.lines += u64::from(matches!(sent, Yielded::Line(_) | Yielded::TooLong));
            match sent {
                Yielded::Line(line) => {
                    let mut text =
                        if self.config.rules.raw { line } else { escape_one_by_one(&line).into_bytes() };
                    text.push(b'\n');
                    let length = text.len() as u64;
                    self.order.push(Line { author: number, text, start: self.head });
                    self.head += length;
                }
                Yielded::Discarded => panic!("in the plain view nothing is private"),
                Yielded::TelnetReply(bytes) => client.queue_text(&bytes),
                Yielded::TooLong => {
                    self.too_long += 1;
                    let most = self.config.rules.max_line;
                    let text = format!("* line too long: nothing was sent; the limit is {most} bytes\n");
                    if client.outbox.len() <= OUTBOX_LIMIT {
                        client.queue_text(text.as_bytes());
                    }
                }
                Yielded::OtherProtocol(protocol) => {
                    let reason = CloseReason::OtherProtocol(protocol);
                    match protocol {
                        OtherProtocol::Http => {
                            client.refuse_with(&http::bad_request(&protocol.refusal()), reason, now);
                        }
                        _ => client.refuse(&protocol.refusal(), reason, now),
                    }
                }
            }
        }
    }

    /// A client that sent nothing for too long receives the reason.
    pub(crate) fn disconnect_idle(&mut self, number: usize, now: Moment) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        let most = self.limits.idle_timeout.expect("no idle timeout without the option");
        assert!(now.since(client.handled_at) >= most, "{number} was disconnected too early");
        let span = most.as_secs_f64();
        let text = format!("disconnected: nothing sent for {span} s");
        client.refuse(&text, CloseReason::IdleTimeout, now);
    }

    /// The server relayed what it had read, if there was space, in the order of its slots. Then it began to close
    /// each connection.
    pub(crate) fn shut_down(&mut self, table: &Clients<ScriptedSocket>, now: Moment) {
        self.stopped = Some(now);
        let slot = |client: &ClientModel| client.scripted.id.number() & u32::MAX as usize;
        let mut active = self.clients.iter().filter(|(_, client)| client.is_active()).collect::<Vec<_>>();
        active.sort_by_key(|(_, client)| slot(client));
        for number in active.into_iter().map(|(&number, _)| number).collect::<Vec<_>>() {
            let Some(client) = self.clients.get_mut(&number) else { continue };
            client.twin.settle();
            let bytes = client.take_handled(table);
            self.decode(number, &bytes, table, now);
        }
        let head = self.order.len();
        for client in self.clients.values_mut() {
            client.begin_close(CloseReason::ShuttingDown, head, now);
        }
    }

    /// Whether the server no longer waits for clients that do not read.
    pub(crate) fn is_grace_over(&self, now: Moment) -> bool {
        self.stopped.is_some_and(|at| now.since(at) >= SHUTDOWN_GRACE)
    }

    /// The table removes `number`.
    pub(crate) fn closed(&mut self, number: usize, close_reason: CloseReason, now: Moment) {
        let Some(mut client) = self.clients.remove(&number) else { return };
        match close_reason {
            CloseReason::StalledReader => self.check_stalled(number, &mut client, now),
            // After a failed write a rate-limited client is not read to its end.
            CloseReason::ConnectionLost(kind)
                if self.config.rate.is_some() && client.stage == Stage::WriteFailed(kind) => {}
            _ => client.check_close(number, close_reason, self.stopped, now),
        }
        self.stats.closed[close_reason.index()] += 1;
        self.stats.torn += u64::from(client.twin.unfinished() > 0);
    }

    /// A stalled reader has read less than half a feed within the stall timeout, and is more than half a feed
    /// behind.
    fn check_stalled(&self, number: usize, client: &mut ClientModel, now: Moment) {
        assert!(client.is_behind(number, &self.order), "{number} is not behind");
        let half = self.config.feed as u64 / 2;
        let position = client.position(&self.order, self.head);
        assert!(self.head - position > half, "{number} is only {} bytes behind", self.head - position);
        let before = client.position_before(self.config.stall_timeout, now);
        assert!(
            before.is_some_and(|before| position < before + half),
            "{number} read fast enough: from {before:?} to {position} of {}",
            self.head
        );
    }

    /// Compares the table with the model after a turn.
    pub(crate) fn check(&mut self, table: &Clients<ScriptedSocket>, now: Moment) {
        let relayed = table.room().stats();
        assert_eq!(
            (relayed.lines, relayed.bytes, relayed.too_long),
            (self.order.len() as u64, self.head, self.too_long),
            "lines, bytes and refusals"
        );
        assert_eq!(table.stats, self.stats);
        let ended = table.stats.closed.iter().sum::<u64>();
        assert_eq!(
            table.stats.accepted,
            self.clients.len() as u64 + ended,
            "each is connected or was counted"
        );
        let online = self.clients.values().filter(|client| client.is_member).count();
        assert_eq!((table.online(), table.is_empty()), (online, self.clients.is_empty()));
        let unparsed = self.clients.values().map(|client| client.unparsed_len()).sum::<usize>();
        assert_eq!(table.unparsed(), unparsed, "unparsed input of all clients");
        let mut slowest = self.head;
        for (&number, client) in &mut self.clients {
            let position = client.position(&self.order, self.head);
            if client.is_behind(number, &self.order) {
                slowest = slowest.min(client.position(&self.order, self.head));
            }
            client.record_position(position, now);
            check_client(number, client, table, &self.config);
            if let Some(lines_per_second) = self.rate {
                check_rate(number, client, lines_per_second, now);
            }
        }
        let (size, held) = (self.config.feed, (self.head - slowest) as usize);
        assert!(held <= size, "the feed holds {held} bytes");
        assert_eq!(
            table.room().space(),
            size - held,
            "the feed keeps what a reader has still to receive, and no more"
        );
    }
}

fn check_client(number: usize, client: &ClientModel, table: &Clients<ScriptedSocket>, config: &RoomConfig) {
    let connection = table.connection(client.scripted.id).unwrap();
    assert!(!client.scripted.is_removed(), "{number} was removed without a reason");
    assert_eq!(connection.close_reason(), None, "{number} is to be removed");
    if client.can_write() {
        assert_eq!(connection.outbox_len(), client.outbox.len(), "{number} outbox");
    }
    assert_eq!(connection.unparsed_len(), client.unparsed_len(), "{number} unparsed input");
    let unfinished = connection.decoder().held();
    assert!(
        unfinished <= MAX_OPENING.max(config.rules.max_line + 1),
        "{number} holds {unfinished} bytes of a line"
    );
    if client.is_active() {
        assert_eq!(unfinished, client.twin.unfinished(), "{number} unfinished line");
    }
}

/// Ten seconds' worth of lines at once, then as many as the rate allows; one more for a flush or the end of
/// input, and one that is unfinished.
fn check_rate(number: usize, client: &ClientModel, lines_per_second: usize, now: Moment) {
    let millis = 10_000 + now.since(client.joined_at).as_millis();
    let most = millis * lines_per_second as u128 / 1000 + 2;
    assert!(u128::from(client.lines) <= most, "{number} sent {} lines and not {most}", client.lines);
}
