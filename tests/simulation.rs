//! A simulation of a room of the plain view: clients connect, send, read as much as they like, lose their
//! connection and leave, over scripted sockets and with a clock that the test sets. After each step the table
//! of clients is compared with a naive model, which knows the order of all lines and, to the byte, what each
//! client is to receive next.
//!
//! A seed decides a run. `HUBBUB_SEED=17 cargo test --test simulation` repeats one, and
//! `HUBBUB_SEEDS=10000 cargo test --release --test simulation` runs more.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "that is how a test fails")]
#![allow(clippy::print_stderr, reason = "a failure prints its seed")]

#[path = "simulation/client.rs"]
mod client;
mod common;
#[path = "simulation/input.rs"]
mod input;
#[path = "simulation/model.rs"]
mod model;
#[path = "simulation/network.rs"]
mod network;
#[path = "simulation/world.rs"]
mod world;

use client::{ClientModel, Stage};
use common::random::{Random, seeds};
use common::scripted::*;
use hubbub::broadcast::rate_limit::RateLimit;
use hubbub::chat::room::{Room, RoomConfig};
use hubbub::clients::close_reason::CloseReason;
use hubbub::clients::refusal::Refusal;
use hubbub::clients::stats::Stats;
use hubbub::clients::{ClientLimits, ClientTimer};
use hubbub::net::fd_limit::ConnectionBudget;
use hubbub::net::peer::Peer;
use hubbub::util::clock::Moment;
use hubbub::util::id_slab::ClientId;
use hubbub::wire::line_decoder::LineRules;
use hubbub::wire::view::View;
use model::{LINGER, Model};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use world::{TimerRun, World};

/// Seeds of the ordinary run, and steps with each: about three seconds without optimisation.
const SEEDS: u64 = 20;
const STEPS: usize = 2500;
/// The most connections at a time, refused ones included: few enough to reach the limits.
const MAX_CLIENTS: usize = 14;
/// After so many rounds of this length all input is handled, even at one line per second.
const MAX_ROUNDS: usize = 2000;
const ROUND: Duration = STALL_TIMEOUT;

/// A run: the table of clients, its model, and the random numbers that decide what happens.
struct Simulation {
    world: World,
    model: Model,
    /// The step in which the server shuts down, if it does.
    stop_step: Option<usize>,
}

/// Returns the settings of a run: small feeds, so that they are full often, and each limit in some runs.
fn config(random: &mut Random) -> (RoomConfig, Option<usize>, ClientLimits) {
    let feed = random.pick(&[512, 1000, 4096, 16_000]);
    let rules = LineRules { max_line: feed / Room::LINES_PER_FEED, raw: random.one_in(6) };
    let welcome = random.pick(&["", "welcome"]).to_owned();
    let rate = random.one_in(4).then(|| random.pick(&[1, 5, 50]));
    let limit = rate.and_then(RateLimit::new);
    let config = RoomConfig { rules, feed, welcome, rate: limit, ..common::scripted::config(feed) };
    let connections =
        ConnectionBudget { clients: random.within(4..=12), refusals: random.below(3), pending: 0 };
    let mut some = |span| random.one_in(3).then_some(span);
    let limits = ClientLimits {
        connections,
        idle_timeout: some(Duration::from_secs(20)),
        flush_after: some(Duration::from_millis(300)),
        per_network: some(Duration::ZERO).map(|_| 3),
        ..limits()
    };
    (config, rate, limits)
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let (config, rate, limits) = config(&mut random);
        // Late, for nobody connects afterwards.
        let stop_step = random.one_in(2).then(|| STEPS - random.pick(&[0, 2, STEPS / 10]));
        let world = World::new(seed, random, ScriptedServer::new(config.clone(), limits));
        let model = Model::new(config, rate, limits, world.trace.clone());
        Self { world, model, stop_step }
    }

    /// Returns the totals of the run.
    fn run(mut self) -> Stats {
        for _ in 0..STEPS {
            self.world.step += 1;
            if self.stop_step == Some(self.world.step) {
                self.stop();
            }
            for _ in 0..self.world.random.within(1..=3) {
                self.random_action();
            }
            self.deliver_events();
            for _ in 0..self.world.random.within(1..=3) {
                self.turn();
            }
            if self.world.random.one_in(4) {
                self.run_until_idle();
            }
        }
        self.world.step += 1;
        self.stuck_readers_hold_up_nobody();
        self.everyone_receives_everything();
        self.everyone_ends();
        self.world.server.clients.stats.clone()
    }

    fn random_action(&mut self) {
        match self.world.random.below(40) {
            0..2 => self.client_connects(),
            2 if self.world.random.one_in(4) => self.client_finds_no_descriptor(),
            3 => self.time_jumps(),
            4 => self.advance(MILLISECOND),
            5..20 => self.client_sends(),
            20..36 => self.client_reads(),
            36 => self.client_breaks(),
            37 => self.client_ends_input(),
            38 => self.stale_event(),
            39 if self.world.random.one_in(4) => self.operator_disconnects(),
            _ => {}
        }
    }

    /// Returns one of the clients, refused ones included.
    fn any_client(&mut self) -> Option<usize> {
        let numbers = self.model.clients.keys().copied().collect::<Vec<_>>();
        (!numbers.is_empty()).then(|| self.world.random.pick(&numbers))
    }

    fn client(&mut self, number: usize) -> &mut ClientModel {
        self.model.clients.get_mut(&number).unwrap()
    }

    fn new_client(&mut self) -> (usize, ScriptedSocket, Peer, ClientModel) {
        let mut endpoint = self.world.new_endpoint();
        endpoint.accepts_all = self.world.random.one_in(3);
        let (number, socket) = (endpoint.number, endpoint.scripted.socket.clone());
        let address = IpAddr::from([10, 0, 0, self.world.random.within(1..=4) as u8]);
        let (rules, now) = (self.model.config.rules, self.world.server.now);
        let client = ClientModel::new(endpoint, address, rules, &self.model.order, now);
        (number, socket, Peer::from(SocketAddr::from((address, 1))), client)
    }

    fn client_connects(&mut self) {
        if self.model.clients.len() >= MAX_CLIENTS || self.model.stopped.is_some() {
            return;
        }
        let (number, socket, peer, client) = self.new_client();
        if self.world.random.one_in(8) {
            client.scripted.queue_input("sent already\nand more");
        }
        let (is_refusal_limit_reached, now) = (self.model.is_refusal_limit_reached(), self.world.server.now);
        self.model.connect(number, client, now);
        let is_refused = !self.client(number).is_member;
        let fails_to_register = !(is_refused && is_refusal_limit_reached) && self.world.random.one_in(20);
        let register = |_: &mut ScriptedSocket, _: ClientId| match fails_to_register {
            true => Err(ErrorKind::OutOfMemory.into()),
            false => Ok(()),
        };
        let id = self.world.server.clients.admit(socket, View::Plain, peer, now, register);
        if let Some(id) = id {
            let client = self.client(number);
            client.scripted.id = id;
            client.events.0 = true;
            return;
        }
        if fails_to_register {
            let text = "the server cannot accept you: try again later";
            let close_reason = CloseReason::RegisterFailed(ErrorKind::OutOfMemory);
            if !is_refused {
                // It was not admitted, so it receives no welcome.
                self.client(number).outbox.clear();
            }
            self.client(number).queue_text(format!("* {text}\n").as_bytes());
            self.client(number).stage = Stage::Closing(close_reason);
        }
        assert!(
            fails_to_register || is_refused && is_refusal_limit_reached,
            "{number} was closed without a reason"
        );
        self.closed_at_once(number);
    }

    fn client_finds_no_descriptor(&mut self) {
        let (number, socket, peer, mut client) = self.new_client();
        client.is_member = false;
        let text = "the server has no free file descriptor: try again later";
        client.refuse(text, CloseReason::NoDescriptor, self.world.server.now);
        self.model.stats.accepted += 1;
        self.model.clients.insert(number, client);
        self.world.server.clients.refuse_at_once(
            socket,
            View::Plain,
            peer,
            &Refusal::no_descriptor(),
            self.world.server.now,
        );
        self.closed_at_once(number);
    }

    /// A connection received its refusal, as far as its socket accepted it at once, and is closed.
    fn closed_at_once(&mut self, number: usize) {
        let now = self.world.server.now;
        self.model.apply_calls(now);
        let client = self.client(number);
        let Stage::Draining(close_reason) = client.stage else {
            panic!("{number} was not refused: {:?}", client.stage)
        };
        client.stage = Stage::Closed(close_reason);
        assert!(client.scripted.is_removed(), "{number} is still open");
        self.model.closed(number, close_reason, now);
    }

    fn client_sends(&mut self) {
        let Some(number) = self.any_client() else { return };
        let RoomConfig { feed, rules, .. } = self.model.config;
        let client = self.model.clients.get_mut(&number).unwrap();
        if client.has_ended_input || client.scripted.unread() > 3 * feed {
            return;
        }
        let sent = input::input(&mut self.world.random, rules.max_line, feed);
        for piece in network::split(&mut self.world.random, &sent) {
            client.scripted.queue_input(piece);
        }
        if self.world.random.one_in(10) {
            client.scripted.queue_error(ErrorKind::Interrupted);
        }
        client.events.0 = true;
    }

    /// A client reads: some bytes, everything from now on, or nothing.
    fn client_reads(&mut self) {
        let Some(number) = self.any_client() else { return };
        let client = self.model.clients.get_mut(&number).unwrap();
        if client.accepts_all || matches!(client.scripted.script().then_accepts, Accept::Fail(_)) {
            return;
        }
        self.world.let_read(client);
        if self.world.random.one_in(20) {
            let mut script = client.scripted.script_mut();
            script.accepts.extend([Accept::Fail(ErrorKind::Interrupted), Accept::Bytes(1)]);
        }
    }

    /// A connection is lost, in one direction or in both.
    fn client_breaks(&mut self) {
        let Some(number) = self.any_client() else { return };
        let random = &mut self.world.random;
        let client = self.model.clients.get_mut(&number).unwrap();
        if client.accepts_all {
            return;
        }
        let kind = network::failure(random);
        let mut script = client.scripted.script_mut();
        match random.below(8) {
            0..3 => script.input.push_back(Err(kind)),
            3..5 => script.then_accepts = Accept::Fail(kind),
            5 => script.accepts = [Accept::Bytes(0)].into(),
            6 => script.then_accepts = Accept::Fail(ErrorKind::Interrupted),
            _ => script.read_always_fails = Some(ErrorKind::Interrupted),
        }
        let may_make_no_progress =
            script.then_accepts == Accept::Fail(ErrorKind::Interrupted) || script.read_always_fails.is_some();
        let has_failed = script.input.back() == Some(&Err(kind));
        drop(script);
        client.may_make_no_progress |= may_make_no_progress;
        client.has_ended_input |= has_failed;
        client.events = (true, true);
    }

    fn client_ends_input(&mut self) {
        let Some(number) = self.any_client() else { return };
        self.end_input(number);
    }

    fn end_input(&mut self, number: usize) {
        self.client(number).queue_end();
    }

    fn operator_disconnects(&mut self) {
        let Some(number) = self.any_client() else { return };
        let reason = self.world.random.pick(&[CloseReason::Kicked, CloseReason::Banned]);
        let now = self.world.server.now;
        let client = self.model.clients.get_mut(&number).unwrap();
        let is_in_room = client.is_member && client.is_active();
        assert_eq!(self.world.server.clients.disconnect(client.scripted.id, "spam", reason), is_in_room);
        if is_in_room {
            client.refuse("disconnected: spam", reason, now);
        }
    }

    fn stale_event(&mut self) {
        let id = ClientId::from_number(self.world.random.number() as usize);
        if self.world.server.clients.connection(id).is_none() {
            assert!(!self.world.server.clients.mark_ready(id, true, true, self.world.server.now));
            self.model.stats.stale += 1;
        }
    }

    fn time_jumps(&mut self) {
        let span = self.world.random_span();
        self.advance(span);
    }

    fn advance(&mut self, span: Duration) {
        self.world.server.now = self.world.server.now.after(span);
    }

    fn stop(&mut self) {
        self.world.server.shut_down();
        self.model.shut_down(&self.world.server.clients, self.world.server.now);
    }

    /// The system reports what has changed since its last event, or nothing yet.
    fn deliver_events(&mut self) {
        self.world.deliver_some_events(self.model.endpoints_mut());
    }

    /// Runs the steps of one turn in the order of the server, and compares each with the model.
    fn turn(&mut self) {
        let now = self.world.server.now;
        while self.next_deadline(now) {}
        if self.model.is_grace_over(now) {
            self.world.server.clients.abort_pending_writes();
        }
        let mut turn = self.world.server.clients.start_read();
        while let Some(id) = self.world.server.clients.read_next(&mut turn, now) {
            self.model.after_read(id, &self.world.server.clients, now);
        }
        self.model.apply_calls(now);
        self.world.server.write();
        self.model.apply_calls(now);
        self.world.server.clients.disconnect_stalled(now);
        self.record_closed();
        self.world.server.clients.sweep(now);
        self.model.check(&self.world.server.clients, now);
    }

    /// Runs one timer. The model checks from outside what it did.
    fn next_deadline(&mut self, now: Moment) -> bool {
        let Some(run) = self.world.run_next_timer(self.model.endpoints()) else { return false };
        let TimerRun { number, timer, before, after } = run;
        match (timer, before, after) {
            (ClientTimer::Flush, Some((true, true, _)), Some((true, false, _))) => {
                self.model.flush(number, now);
            }
            (ClientTimer::Opening, Some((.., true)), Some((.., false))) => {
                self.model.decide_opening(number, now);
            }
            (ClientTimer::Idle, Some((true, ..)), Some((false, ..))) => {
                self.model.disconnect_idle(number, now);
            }
            (_, Some(before), Some(after)) => assert_eq!(before, after, "{number} after {timer:?}"),
            _ => panic!("{number} was removed by a deadline"),
        }
        true
    }

    /// Clients that are to be removed have a reason that the model agrees with.
    fn record_closed(&mut self) {
        for (number, close_reason) in self.world.closed::<Vec<_>>(self.model.endpoints()) {
            self.model.closed(number, close_reason, self.world.server.now);
        }
    }

    /// Runs turns until all work that is left waits for an event or a deadline.
    fn run_until_idle(&mut self) {
        for _ in 0..MAX_TURNS {
            if !self.world.server.clients.has_work() {
                return;
            }
            self.turn();
        }
        panic!("after {MAX_TURNS} turns there is still work");
    }

    /// Delivers all events, and handles all that follows.
    fn settle_all(&mut self) {
        for client in self.model.clients.values_mut() {
            client.deliver_events(&mut self.world.server);
        }
        self.turn();
        self.run_until_idle();
    }

    /// Stuck readers are disconnected in time, so that the input of all others is handled.
    fn stuck_readers_hold_up_nobody(&mut self) {
        let has_input = |client: &ClientModel| client.accepts_all && client.has_input();
        for _ in 0..MAX_ROUNDS {
            self.settle_all();
            if !self.model.clients.values().any(has_input) {
                return;
            }
            self.advance(ROUND);
        }
        panic!("after {MAX_ROUNDS} times {ROUND:?} some input is not handled");
    }

    /// Every socket accepts everything, and every client has then received exactly what it is to receive.
    fn everyone_receives_everything(&mut self) {
        for client in self.model.clients.values_mut() {
            let mut script = client.scripted.script_mut();
            if !matches!(script.then_accepts, Accept::Fail(_)) {
                script.accepts.clear();
                script.then_accepts = Accept::All;
            }
            drop(script);
            client.events.1 = true;
        }
        for _ in 0..MAX_ROUNDS {
            self.settle_all();
            let has_input = |client: &ClientModel| client.has_input();
            if !self.model.clients.values().any(has_input) {
                break;
            }
            self.advance(ROUND);
        }
        let Model { clients, order, .. } = &mut self.model;
        for (&number, client) in clients {
            assert!(
                !client.has_pending_output(number, order),
                "{number} accepts everything and did not receive everything"
            );
            // Input of clients that are to close is read and dropped: a reset would destroy what they are to receive.
            assert_eq!(client.pending_input(), 0, "{number} has pending input in {:?}", client.stage);
            assert!(
                !matches!(client.stage, Stage::Closing(_) | Stage::Closed(_)),
                "{number} is still connected"
            );
        }
    }

    /// Timeouts pass, then every client ends its input, and all are removed.
    fn everyone_ends(&mut self) {
        for _ in 0..3 {
            self.advance(self.model.limits.flush_after.unwrap_or(LINGER).max(LINGER));
            self.settle_all();
        }
        if self.model.limits.flush_after.is_some() {
            for (number, client) in &self.model.clients {
                let connection = self.world.server.clients.connection(client.scripted.id).unwrap();
                let is_mid_line = connection.decoder().is_mid_line() && !client.twin.waits_for_line_end();
                assert!(!(connection.is_open() && is_mid_line), "{number} has an unfinished line");
            }
        }
        if let Some(idle_timeout) = self.model.limits.idle_timeout {
            for _ in 0..3 {
                self.advance(idle_timeout);
                self.settle_all();
            }
            let stays = |client: &&ClientModel| client.stage == Stage::Open;
            assert_eq!(
                self.model.clients.values().filter(stays).count(),
                0,
                "idle clients are still connected"
            );
        }
        for number in self.model.clients.keys().copied().collect::<Vec<_>>() {
            self.end_input(number);
        }
        self.settle_all();
        self.advance(LINGER);
        self.settle_all();
        assert!(self.world.server.clients.is_empty(), "{:?}", self.model.clients.keys());
        assert_eq!(self.world.server.clients.next_deadline(), None, "a deadline without a client");
    }
}

/// Connections that close for these reasons never reach the table of clients.
const BEFORE_ENTRY: [&str; 9] = [
    "not allowed",
    "refused as banned",
    "no proxy header",
    "tls failed",
    "wrong password",
    "password limit",
    "entry timed out",
    "left before entry",
    "too many newcomers",
];

#[test]
fn every_client_receives_the_one_order_of_lines_or_closes_for_a_true_reason() {
    let seeds = seeds(SEEDS);
    let is_ordinary = seeds.end - seeds.start >= SEEDS;
    let mut ended = [0; CloseReason::COUNT];
    for seed in seeds {
        let stats = Simulation::new(seed).run();
        (0..ended.len()).for_each(|kind| ended[kind] += stats.closed[kind]);
    }
    let in_the_table = |&(kind, _): &(&str, u64)| !BEFORE_ENTRY.contains(&kind);
    for (kind, count) in CloseReason::labels().zip(ended).filter(in_the_table) {
        assert!(count > 0 || !is_ordinary, "no connection closed as \"{kind}\": {ended:?}");
    }
}
