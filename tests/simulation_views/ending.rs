//! How a run ends: more and more come beside those who take nothing; then everyone takes all, what they
//! know is compared, and they leave.

use crate::common::scripted::*;
use crate::order::Order;
use crate::person::Person;
use crate::{A_WHILE, Simulation};
use hubbub::wire::view::View;
use std::net::IpAddr;
use std::time::Duration;

/// After so many rounds of so long everyone was heard, even at a few lines a second.
const MOST_ROUNDS: usize = 2000;
const ROUND: Duration = STALL_TIMEOUT;
/// After so many rounds without anyone speaking whoever takes nothing is no longer waited for.
const ROUNDS_OF_PATIENCE: usize = 10;

/// So often so many come beside those who take nothing, and so many names each takes then.
const MOST_COMINGS: usize = 8;
const MOST_AT_ONCE: u8 = 12;
const MOST_NAMES: usize = 8;
/// With such a part of the feed left nobody who says a little has to wait, and it is soon full when some come.
const LITTLE_ROOM: usize = 3;

impl Simulation {
    pub(crate) fn ends_well(&mut self) {
        self.people_come_and_go();
        self.the_stuck_hold_nobody_up();
        self.all_hear_all();
        self.who_is_here_is_known();
        self.everyone_leaves();
    }

    /// Some take nothing, nobody else speaks, and others come, change their names and go: there is more and
    /// more to tell.
    fn people_come_and_go(&mut self) {
        self.hear_all(|person| person.is_healthy && person.waits());
        for person in self.model.members.values_mut().filter(|person| !person.is_healthy) {
            if !person.may_break() {
                person.client.accepts([], Accept::WouldBlock);
            }
        }
        for view in self.model.config.views.clone() {
            let mut stuck = self.newcomer(view);
            stuck.address = IpAddr::from([10, 0, 3, view.index() as u8]);
            stuck.is_healthy = false;
            stuck.reports.0 = false;
            stuck.client.accepts([], Accept::WouldBlock);
            self.comes(stuck);
        }
        let have_names = self.random.one_in(3);
        for _ in 0..MOST_COMINGS {
            let first = self.number + 1;
            for number in 0..MOST_AT_ONCE {
                let view = self.random.pick(&self.model.config.views);
                let mut person = self.newcomer(view);
                person.address = IpAddr::from([10, 0, 2, number]);
                // Who says nothing at first waits for nobody.
                person.reports.0 = have_names && self.random.one_in(2);
                if person.reports.0 {
                    person.client.queue_input(long_name(self.number, 0));
                }
                self.comes(person);
            }
            self.pass(A_WHILE);
            self.settle_all();
            (0..MOST_NAMES).for_each(|turn| self.names_change(first, turn));
            if !self.is_nearly_full() {
                (first..=self.number).for_each(|number| self.ends(number));
                self.settle_all();
            }
        }
    }

    /// Those who came last take long names, unless there is little room left: that is for those who come.
    fn names_change(&mut self, first: usize, turn: usize) {
        for number in first..=self.number {
            let is_full = self.is_nearly_full();
            if let Some(person) = self.model.members.get_mut(&number).filter(|_| !is_full) {
                person.client.queue_input(long_name(number, turn));
                person.reports.0 = true;
                self.settle_all();
            }
        }
    }

    fn is_nearly_full(&self) -> bool {
        let room = |&view: &View| self.server.clients.room().feed(view).space();
        self.model.config.views.iter().map(room).any(|room| room < self.model.config.feed / LITTLE_ROOM)
    }

    /// Lets time pass until all whom it is asked of were heard.
    fn hear_all(&mut self, waits: impl Fn(&Person) -> bool) {
        for _ in 0..MOST_ROUNDS {
            self.settle_all();
            if !self.model.members.values().any(&waits) {
                return;
            }
            self.pass(ROUND);
        }
        panic!("after {MOST_ROUNDS} times {ROUND:?} somebody is not heard");
    }

    /// Whoever takes nothing is left behind: what the others do is told all the same, in time.
    fn the_stuck_hold_nobody_up(&mut self) {
        self.hear_all(|person| person.is_healthy && person.waits());
        for _ in 0..ROUNDS_OF_PATIENCE {
            self.pass(ROUND);
            self.settle_all();
            if self.model.orders.iter().all(Order::has_all_notices) {
                return;
            }
        }
        let outbox_len = self.model.orders.iter().map(Order::next_untold).collect::<Vec<_>>();
        panic!(
            "after {ROUNDS_OF_PATIENCE} times {ROUND:?} nobody is told, for some take nothing: {outbox_len:?}"
        );
    }

    /// Everyone takes all, and has then heard exactly what it was to hear.
    fn all_hear_all(&mut self) {
        for person in self.model.members.values_mut().filter(|person| !person.may_break()) {
            person.client.accepts([], Accept::All);
            person.reports.1 = true;
        }
        self.hear_all(Person::waits);
        // Some are announced, and some go.
        self.pass(A_WHILE);
        self.settle_all();
        for person in self.model.members.values_mut().filter(|person| !person.may_break()) {
            person.is_healthy = true;
        }
        self.model.check_the_healthy();
        for order in &self.model.orders {
            assert!(order.has_all_notices(), "{:?} is still to tell {:?}", order.view, order.next_untold());
        }
    }

    /// Those who keep a list have the list that the server has.
    fn who_is_here_is_known(&mut self) {
        for index in 0..self.model.orders.len() {
            let Order { view, observer, .. } = self.model.orders[index];
            if !view.has_names() {
                continue;
            }
            let person = self.person(observer);
            person.client.queue_input("/who\n");
            person.reports.0 = true;
            self.settle_all();
            // What the server tells is what the model knows.
            let known = |person: &&Person| person.is_announced && !person.has_left;
            let announced = self.model.members.values().filter(known).count();
            let names = self.model.names();
            assert_eq!(announced, names.len(), "all were announced");
            assert_eq!(self.model.orders[index].names(), names, "{view:?}");
        }
    }

    /// Everyone ends their input, the observers last; nobody is left, and nobody is thought to be.
    fn everyone_leaves(&mut self) {
        let numbers = self.model.members.keys().copied().collect::<Vec<_>>();
        let (observers, others) = numbers.split_at(self.model.orders.len());
        for leaving in [others, observers] {
            leaving.iter().for_each(|&number| self.ends(number));
            self.settle_all();
            self.pass(A_WHILE);
            if leaving == others {
                self.settle_all();
                self.only_observers_are_known();
            }
        }
        self.settle_all();
        assert!(self.server.clients.is_empty(), "{:?}", self.model.members.keys());
        assert_eq!(self.server.clients.next_deadline(), None, "nobody is left to wait for");
    }

    fn only_observers_are_known(&self) {
        let names = self.model.names();
        assert_eq!(names.len(), self.model.orders.len(), "{names:?}");
        for order in self.model.orders.iter().filter(|order| order.view.has_names()) {
            assert_eq!(order.names(), names, "{:?}", order.view);
        }
    }
}

/// Takes a name that takes much room in a notice.
fn long_name(number: usize, turn: usize) -> String {
    format!("/nick {:𐐨<24}\n", format!("{number}-{turn}"))
}
