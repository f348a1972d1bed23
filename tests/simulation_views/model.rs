//! What clients send, in the order in which it is handled: which client has which name, what everyone receives,
//! and what each client receives alone.

mod commands;

use crate::WELCOME;
use crate::client::{ClientModel, Expected};
use crate::common::scripted::{Call, ScriptedSocket, Trace};
use crate::common::twin::Yielded;
use crate::order::{Event, Order};
use crate::private::PrivateMessage;
use crate::received::{Public, Received};
use crate::world::Endpoint;
use hubbub::chat::room::RoomConfig;
use hubbub::clients::close_reason::CloseReason;
use hubbub::clients::{ClientLimits, Clients};
use hubbub::util::id_slab::ClientId;
use hubbub::wire::view::View;
use std::collections::BTreeMap;
use std::io::ErrorKind;

pub(crate) struct Model {
    pub(crate) config: RoomConfig,
    pub(crate) limits: ClientLimits,
    /// The clients in the table, by their numbers in the trace.
    pub(crate) clients: BTreeMap<usize, ClientModel>,
    /// The order as each view shows it.
    pub(crate) orders: Vec<Order>,
    private_messages: Vec<PrivateMessage>,
    /// The number of events for everyone so far.
    sequence: u64,
    /// How many members there were, each with the number of events since when.
    presence: Vec<(u64, usize)>,
    /// How many clients have joined so far.
    joined: usize,
    trace: Trace,
    /// Clients whose sockets the table dropped, in that order.
    dropped: Vec<usize>,
}

impl Model {
    pub(crate) fn new(config: RoomConfig, limits: ClientLimits, trace: Trace) -> Self {
        Self {
            config,
            limits,
            clients: BTreeMap::new(),
            orders: Vec::new(),
            private_messages: Vec::new(),
            sequence: 0,
            presence: Vec::new(),
            joined: 0,
            trace,
            dropped: Vec::new(),
        }
    }

    pub(crate) fn order(&self, view: View) -> &Order {
        self.orders.iter().find(|order| order.view == view).expect("each view has an observer")
    }

    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.clients.values().map(|client| &**client)
    }

    pub(crate) fn endpoints_mut(&mut self) -> impl Iterator<Item = &mut Endpoint> {
        self.clients.values_mut().map(|client| &mut **client)
    }

    /// Clients that were admitted.
    fn members(&self) -> impl Iterator<Item = &ClientModel> {
        self.clients.values().filter(|client| client.is_member)
    }

    /// Members: clients with a name.
    fn present(&self) -> impl Iterator<Item = &ClientModel> {
        self.members().filter(|client| !client.has_left)
    }

    /// A client connects: it is admitted, or refused with a reason.
    pub(crate) fn connect(&mut self, mut client: ClientModel) {
        let here = self.members().count();
        let near = self.members().filter(|other| other.address == client.address).count();
        if here >= self.limits.connections.clients {
            client.expect_refusal("the room is full");
        } else if self.limits.per_network.is_some_and(|most| near >= most) {
            client.expect_refusal("too many connections from your address");
        } else {
            self.admit(&mut client);
        }
        client.is_member = client.expected.iter().all(|shown| !matches!(shown, Expected::Refusal { .. }));
        if !client.is_member {
            client.ended = Some(self.sequence);
        }
        self.clients.insert(client.number, client);
        self.note_presence();
    }

    fn note_presence(&mut self) {
        let here = self.present().count();
        if self.presence.last().is_none_or(|&(_, last)| last != here) {
            self.presence.push((self.sequence, here));
        }
    }

    fn admit(&mut self, client: &mut ClientModel) {
        let here = self.present().count() + 1;
        self.joined += 1;
        client.name = format!("anon{}", self.joined);
        client.join(self.sequence, self.order(client.view).events.len(), self.config.history);
        if self.config.welcome.is_empty() {
            return;
        }
        if client.view != View::Json {
            client.expect(Expected::Exactly(Received::Welcome(WELCOME.to_owned())));
        }
        if client.view.has_names() {
            let names = self.names();
            let others =
                names[..commands::fitting(&names, here)].iter().map(|&name| name.to_owned()).collect();
            client.expect(Expected::Exactly(Received::Name { name: client.name.clone(), here, others }));
        }
    }

    /// Whether as many refused connections are open as may be.
    pub(crate) fn is_refusal_limit_reached(&self) -> bool {
        self.clients.len() - self.members().count() >= self.limits.connections.refusals
    }

    /// Something happens that everyone receives.
    fn event(&mut self, about: usize, shown: &Public) {
        self.event_at(about, shown, self.sequence);
        self.sequence += 1;
    }

    fn event_at(&mut self, about: usize, shown: &Public, sequence: u64) {
        for order in &mut self.orders {
            order.expect(Event { shown: shown.clone(), about, sequence, is_missed: false });
        }
    }

    /// Announces a client that has stayed, unless the others know it.
    pub(crate) fn is_announced(&mut self, number: usize) {
        let here = self.present().count();
        let client = self.clients.get_mut(&number).unwrap();
        if !std::mem::replace(&mut client.is_announced, true) {
            let name = client.name.clone();
            self.event(number, &Public::Joined { name, here });
        }
    }

    /// Applies the calls since the last one.
    pub(crate) fn apply_calls(&mut self) {
        let calls = std::mem::take(&mut *self.trace.borrow_mut());
        calls.into_iter().for_each(|(number, call)| self.apply_call(number, call));
    }

    fn apply_call(&mut self, number: usize, call: Call) {
        let sequence = self.sequence;
        let Some(client) = self.clients.get_mut(&number) else {
            panic!("{number} was removed and still has {call:?}");
        };
        match call {
            Call::Read(bytes) if bytes.is_empty() => self.input_ended(number),
            Call::Read(bytes) => client.read(bytes),
            Call::ReadFailed(kind) if kind != ErrorKind::WouldBlock || client.write_error.is_some() => {
                client.ended.get_or_insert(sequence);
            }
            Call::WriteFailed(kind) if kind != ErrorKind::WouldBlock => {
                client.write_error.get_or_insert(kind);
            }
            Call::Dropped => self.dropped.push(number),
            Call::ReadFailed(_) | Call::WriteFailed(_) | Call::Wrote(_) | Call::ShutDown => {}
        }
    }

    /// The client of `id` had its turn in the read step: some of its input, in order, was handled.
    pub(crate) fn after_read(&mut self, id: ClientId, table: &Clients<ScriptedSocket>) {
        let mut calls = std::mem::take(&mut *self.trace.borrow_mut()).into_iter().peekable();
        // The read comes first: while its input is handled, private messages are written to others.
        while let Some((number, read)) = calls.next_if(|(_, call)| matches!(call, Call::Read(_))) {
            self.apply_call(number, read);
        }
        self.handle(id, table);
        calls.for_each(|(number, call)| self.apply_call(number, call));
    }

    fn handle(&mut self, id: ClientId, table: &Clients<ScriptedSocket>) {
        let Some(client) = self.clients.values_mut().find(|client| client.scripted.id == id) else { return };
        let (number, bytes) = (client.number, client.take_handled(table));
        if client.is_active() {
            bytes.iter().for_each(|&byte| client.twin.byte(byte));
            if let Some(connection) = table.connection(id) {
                client.twin.release_to(connection.decoder().held());
            }
            self.handle_lines(number);
            if !self.clients[&number].is_active() {
                self.leave(number);
            }
        }
    }

    fn input_ended(&mut self, number: usize) {
        let client = self.clients.get_mut(&number).unwrap();
        if !client.is_active() {
            return;
        }
        client.twin.settle();
        self.handle_lines(number);
        let client = self.clients.get_mut(&number).unwrap();
        if client.is_active() && client.twin.is_releasing() {
            // The end is read again after the lines of the opening.
            return;
        }
        if client.is_active() && client.write_error.is_none_or(|kind| kind == ErrorKind::BrokenPipe) {
            client.twin.finish();
            self.handle_lines(number);
        }
        self.close(number);
        self.leave(number);
    }

    /// A client that starts to close, and can still be written to, leaves the room at once.
    fn leave(&mut self, number: usize) {
        let client = self.clients.get_mut(&number).unwrap();
        if client.write_error.is_none() {
            client.has_left = true;
            let left = client.is_announced.then(|| client.name.clone());
            self.note_presence();
            if let Some(name) = left {
                self.event(number, &Public::Left { name });
            }
        }
    }

    /// A flush ended the unfinished line of `number`.
    pub(crate) fn flush(&mut self, number: usize) {
        let client = self.clients.get_mut(&number).unwrap();
        let was_dropping = client.twin.is_dropping();
        client.twin.flush();
        let flushed = self.handle_lines(number);
        let client = self.clients.get_mut(&number).unwrap();
        if client.view.has_names()
            && flushed.map_or(was_dropping, |line| commands::may_go_on_in_private(&line))
        {
            client.twin.discard_rest();
        }
        if !self.clients[&number].is_active() {
            self.leave(number);
        }
    }

    /// Nothing followed the opening of `number` for a while.
    pub(crate) fn decide_opening(&mut self, number: usize) {
        self.clients.get_mut(&number).unwrap().twin.settle();
        self.handle_lines(number);
        if !self.clients[&number].is_active() {
            self.leave(number);
        }
    }

    /// The idle timeout of `number` has passed.
    pub(crate) fn disconnect_idle(&mut self, number: usize) {
        self.clients.get_mut(&number).unwrap().expect_refusal("disconnected: nothing sent for");
        self.close(number);
        self.leave(number);
    }

    /// From now on nothing that `number` sends is relayed, and it receives no new events.
    fn close(&mut self, number: usize) {
        self.clients.get_mut(&number).unwrap().ended.get_or_insert(self.sequence);
    }

    /// Handles what the client sent; returns the last line.
    fn handle_lines(&mut self, number: usize) -> Option<Vec<u8>> {
        let mut last = None;
        let client = self.clients.get_mut(&number).unwrap();
        for sent in client.twin.take() {
            let client = self.clients.get_mut(&number).unwrap();
            if !client.is_active() {
                break;
            }
            if let Yielded::Line(line) = &sent {
                last = Some(line.clone());
            }
            match sent {
                Yielded::Line(line) if client.view.has_names() => self.handle_command(number, &line),
                Yielded::Line(line) => self.broadcast(number, &line, false),
                Yielded::TooLong => {
                    let may_be_left_out = !client.accepts_all;
                    let has = "line too long: nothing was sent".to_owned();
                    client.expect(Expected::Refusal { has, may_be_left_out });
                }
                Yielded::Discarded => {
                    let may_be_left_out = !client.accepts_all;
                    let has = "the rest of a line that may be private was not sent".to_owned();
                    client.expect(Expected::Refusal { has, may_be_left_out });
                }
                Yielded::OtherProtocol(_) => {
                    client.expect_refusal("this is a chat room");
                    self.close(number);
                }
                Yielded::TelnetReply(_) => panic!("no client sends telnet here"),
            }
        }
        last
    }

    /// Reads what every client received, first the observers.
    pub(crate) fn all_read(&mut self) {
        for order in &mut self.orders {
            let Some(observer) = self.clients.get_mut(&order.observer) else { continue };
            for received in observer.new_lines() {
                match &received {
                    Received::Public(shown) => {
                        order.observe(shown, &self.presence);
                        observer.receive_public(shown, order);
                    }
                    Received::HistoryBegins { .. } | Received::HistoryEnds => {
                        panic!("an observer joined before all events and received {received:?}");
                    }
                    _ => observer.receive_private(&received, &mut self.private_messages, order),
                }
            }
        }
        for client in self.clients.values_mut() {
            let order = self.orders.iter().find(|order| order.view == client.view).unwrap();
            for received in client.new_lines() {
                match &received {
                    Received::Public(shown) => client.receive_public(shown, order),
                    Received::HistoryBegins { lines } => client.receive_history(*lines, self.config.history),
                    Received::HistoryEnds => client.end_history(order),
                    _ => client.receive_private(&received, &mut self.private_messages, order),
                }
            }
        }
    }

    /// The table removed these clients, for these reasons.
    pub(crate) fn removed(&mut self, closed: &BTreeMap<usize, CloseReason>) {
        self.apply_calls();
        let dropped = std::mem::take(&mut self.dropped);
        assert_eq!(dropped.len(), closed.len(), "the closed clients are removed, and no others");
        for number in dropped {
            let mut client = self.clients.remove(&number).unwrap();
            self.note_presence();
            let Some(order) = self.orders.iter().find(|order| order.view == client.view) else { continue };
            client.check_removed(closed[&number], order, &mut self.private_messages);
            if client.is_announced && !client.has_left {
                self.event(number, &Public::Left { name: client.name });
            }
        }
    }

    /// Every client was written to, and the model reads what it received.
    pub(crate) fn all_written(&mut self) {
        self.all_read();
        self.orders.iter_mut().for_each(Order::mark_all_written);
    }

    /// Returns how many notices found no space, in all views together.
    pub(crate) fn missed_notices(&self) -> u64 {
        let missed = |event: &Event| match event.shown {
            Public::Missed { count, .. } => count as u64,
            _ => 0,
        };
        self.orders.iter().flat_map(|order| &order.events).map(missed).sum()
    }

    /// Returns how many private messages were rejected for that reason.
    pub(crate) fn was_rejected(&self, why: &str) -> u64 {
        self.private_messages.iter().filter(|message| message.was_rejected(why)).count() as u64
    }

    /// Fast readers have received everything once there is no work left.
    pub(crate) fn check_fast_readers(&mut self) {
        for client in self.clients.values_mut().filter(|client| client.accepts_all && client.is_open()) {
            let order = self.orders.iter().find(|order| order.view == client.view).unwrap();
            client.check_has_events(order);
            client.check_has_replies(&mut self.private_messages);
        }
    }
}
