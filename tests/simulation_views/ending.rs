//! How a run ends: clients join and leave beside readers that are stuck; then every socket accepts everything,
//! what the clients know is compared, and all leave.

use crate::client::ClientModel;
use crate::common::scripted::*;
use crate::order::Order;
use crate::{ANNOUNCE_AFTER, Simulation};
use hubbub::wire::view::View;
use std::net::IpAddr;
use std::time::Duration;

/// After so many rounds of this length all input is handled, even at a few lines per second.
const MAX_ROUNDS: usize = 2000;
const ROUND: Duration = STALL_TIMEOUT;
/// After so many rounds in which no client sends, stuck readers no longer hold up anything.
const MAX_STALL_ROUNDS: usize = 10;

/// How often clients join, how many at once, and how many names each accepts.
const MAX_JOINS: usize = 8;
const JOINS_AT_ONCE: u8 = 12;
const MAX_NAMES: usize = 8;
/// While this part of a feed is free, a client that sends little is read at once, and a few joins fill the rest.
const MIN_SPACE: usize = 3;

impl Simulation {
    pub(crate) fn end_run(&mut self) {
        self.clients_join_and_leave();
        self.stuck_readers_hold_up_nobody();
        self.everyone_receives_everything();
        self.members_are_known();
        self.everyone_ends();
    }

    /// Some clients do not read and the others send nothing but names, join and leave: more and more notices are
    /// pending.
    fn clients_join_and_leave(&mut self) {
        self.wait_while(|client| client.accepts_all && client.has_input());
        for client in self.model.clients.values_mut().filter(|client| !client.accepts_all) {
            if !client.may_break() {
                client.scripted.accepts([], Accept::WouldBlock);
            }
        }
        for view in self.model.config.views.clone() {
            let mut stuck = self.new_client(view);
            stuck.address = IpAddr::from([10, 0, 3, view.index() as u8]);
            stuck.accepts_all = false;
            stuck.events.0 = false;
            stuck.scripted.accepts([], Accept::WouldBlock);
            self.connect(stuck);
        }
        let have_names = self.world.random.one_in(3);
        for _ in 0..MAX_JOINS {
            let first = self.world.last_number() + 1;
            for number in 0..JOINS_AT_ONCE {
                let view = self.world.random.pick(&self.model.config.views);
                let mut client = self.new_client(view);
                client.address = IpAddr::from([10, 0, 2, number]);
                // A client that sends nothing waits for nothing.
                client.events.0 = have_names && self.world.random.one_in(2);
                if client.events.0 {
                    client.scripted.queue_input(long_name(self.world.last_number(), 0));
                }
                self.connect(client);
            }
            self.advance(ANNOUNCE_AFTER);
            self.settle_all();
            (0..MAX_NAMES).for_each(|turn| self.names_change(first, turn));
            if !self.is_nearly_full() {
                (first..=self.world.last_number()).for_each(|number| self.end_input(number));
                self.settle_all();
            }
        }
    }

    /// The newest clients take long names while there is space, which joins are to fill.
    fn names_change(&mut self, first: usize, turn: usize) {
        for number in first..=self.world.last_number() {
            let is_full = self.is_nearly_full();
            if let Some(client) = self.model.clients.get_mut(&number).filter(|_| !is_full) {
                client.scripted.queue_input(long_name(number, turn));
                client.events.0 = true;
                self.settle_all();
            }
        }
    }

    fn is_nearly_full(&self) -> bool {
        let room = |&view: &View| self.world.server.clients.room().feed(view).space();
        self.model.config.views.iter().map(room).any(|room| room < self.model.config.feed / MIN_SPACE)
    }

    /// Lets time pass until the condition is false for every client.
    fn wait_while(&mut self, has_input: impl Fn(&ClientModel) -> bool) {
        for _ in 0..MAX_ROUNDS {
            self.settle_all();
            if !self.model.clients.values().any(&has_input) {
                return;
            }
            self.advance(ROUND);
        }
        panic!("after {MAX_ROUNDS} times {ROUND:?} some input is not handled");
    }

    /// Stuck readers hold up neither input nor notices for long.
    fn stuck_readers_hold_up_nobody(&mut self) {
        self.wait_while(|client| client.accepts_all && client.has_input());
        for _ in 0..MAX_STALL_ROUNDS {
            self.advance(ROUND);
            self.settle_all();
            if self.model.orders.iter().all(Order::has_no_pending_notices) {
                return;
            }
        }
        let pending = self.model.orders.iter().map(Order::next_notice).collect::<Vec<_>>();
        panic!("after {MAX_STALL_ROUNDS} times {ROUND:?} notices are still pending: {pending:?}");
    }

    /// Every socket accepts everything, and every client has then received exactly what it is to receive.
    fn everyone_receives_everything(&mut self) {
        for client in self.model.clients.values_mut().filter(|client| !client.may_break()) {
            client.scripted.accepts([], Accept::All);
            client.events.1 = true;
        }
        self.wait_while(ClientModel::has_input);
        // Some clients are announced, and some connections close.
        self.advance(ANNOUNCE_AFTER);
        self.settle_all();
        for client in self.model.clients.values_mut().filter(|client| !client.may_break()) {
            client.accepts_all = true;
        }
        self.model.check_fast_readers();
        for order in &self.model.orders {
            assert!(
                order.has_no_pending_notices(),
                "{:?} has still to show {:?}",
                order.view,
                order.next_notice()
            );
        }
    }

    /// A client that follows the notices knows the same members as the server.
    fn members_are_known(&mut self) {
        for index in 0..self.model.orders.len() {
            let Order { view, observer, .. } = self.model.orders[index];
            if !view.has_names() {
                continue;
            }
            let client = self.client(observer);
            client.scripted.queue_input("/who\n");
            client.events.0 = true;
            self.settle_all();
            // What the server replies is what the model knows.
            let known = |client: &&ClientModel| client.is_announced && !client.has_left;
            let announced = self.model.clients.values().filter(known).count();
            let names = self.model.names();
            assert_eq!(announced, names.len(), "all were announced");
            assert_eq!(self.model.orders[index].names(), names, "{view:?}");
        }
    }

    /// Every client ends its input, the observers last, and all are removed and announced.
    fn everyone_ends(&mut self) {
        let numbers = self.model.clients.keys().copied().collect::<Vec<_>>();
        let (observers, others) = numbers.split_at(self.model.orders.len());
        for leaving in [others, observers] {
            leaving.iter().for_each(|&number| self.end_input(number));
            self.settle_all();
            self.advance(ANNOUNCE_AFTER);
            if leaving == others {
                self.settle_all();
                self.only_observers_are_known();
            }
        }
        self.settle_all();
        assert!(self.world.server.clients.is_empty(), "{:?}", self.model.clients.keys());
        assert_eq!(self.world.server.clients.next_deadline(), None, "a deadline without a client");
    }

    fn only_observers_are_known(&self) {
        let names = self.model.names();
        assert_eq!(names.len(), self.model.orders.len(), "{names:?}");
        for order in self.model.orders.iter().filter(|order| order.view.has_names()) {
            assert_eq!(order.names(), names, "{:?}", order.view);
        }
    }
}

/// Returns a command for a name that makes notices long.
fn long_name(number: usize, turn: usize) -> String {
    format!("/nick {:𐐨<24}\n", format!("{number}-{turn}"))
}
