//! A simulation of a room with several views: clients connect, send, change names, send private messages and
//! commands, read as much as they like, lose their connection and leave, over scripted sockets and with a clock
//! that the test sets. A naive parser of each view reads what each client receives. One observer of each view,
//! which is connected from the start and reads everything, sees the order of which every other client of that
//! view receives a part.
//!
//! A seed decides a run. `HUBBUB_SEED=17 cargo test --test simulation_views` repeats one, and
//! `HUBBUB_SEEDS=2000 cargo test --release --test simulation_views` runs more.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "that is how a test fails")]
#![allow(clippy::print_stderr, reason = "a failure prints its seed")]

#[path = "simulation_views/client.rs"]
mod client;
mod common;
#[path = "simulation_views/ending.rs"]
mod ending;
#[path = "simulation_views/input.rs"]
mod input;
#[path = "simulation_views/model.rs"]
mod model;
#[path = "simulation/network.rs"]
mod network;
#[path = "simulation_views/order.rs"]
mod order;
#[path = "simulation_views/private.rs"]
mod private;
#[path = "simulation_views/received.rs"]
mod received;
#[path = "simulation/world.rs"]
mod world;

use client::ClientModel;
use common::random::{Random, seeds};
use common::scripted::*;
use hubbub::broadcast::rate_limit::RateLimit;
use hubbub::chat::room::{Room, RoomConfig};
use hubbub::clients::close_reason::CloseReason;
use hubbub::clients::{ClientLimits, ClientTimer};
use hubbub::net::fd_limit::ConnectionBudget;
use hubbub::net::peer::Peer;
use hubbub::util::id_slab::ClientId;
use hubbub::wire::line_decoder::LineRules;
use hubbub::wire::view::View;
use input::Sender;
use model::Model;
use order::Order;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use world::{TimerRun, World};

/// Seeds of the ordinary run, and steps with each: about three seconds without optimisation.
const SEEDS: u64 = 20;
const STEPS: usize = 400;
const WELCOME: &str = "welcome";
/// The most connections at a time, refused ones included.
const MAX_CLIENTS: usize = 14;
/// A client is announced after this time; a connection that closes may take as long.
const ANNOUNCE_AFTER: Duration = Duration::from_secs(2);
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// What the runs have to contain, in the order of [`KINDS`].
type Counts = [u64; KINDS.len()];
const KINDS: [&str; 7] = [
    "a notice without space",
    "a private message to a client that does not read",
    "a private message to a client that leaves",
    "a stalled reader",
    "a client that left",
    "an idle client",
    "a client that the full room refused",
];

/// A run: the table of clients, its model, and the random numbers that decide what happens.
struct Simulation {
    world: World,
    model: Model,
    /// Whether most clients read little, so that there is often no space.
    reads_little: bool,
}

/// Returns the settings of a run: at least two views, and each limit in some runs.
fn config(random: &mut Random) -> (RoomConfig, ClientLimits) {
    let feed = random.pick(&[4096, 4096, 4096, 16_000, 16_000, 65_536]);
    let rules = LineRules { max_line: feed / Room::LINES_PER_FEED, raw: random.one_in(5) };
    let without = random.within(0..=5);
    let views = View::ALL.into_iter().filter(|view| view.index() != without).collect();
    let history = if random.one_in(3) { random.pick(&[1, 5, 100]) } else { 0 };
    let welcome = random.pick(&["", WELCOME]).to_owned();
    let rate = random.one_in(4).then(|| random.pick(&[5, 50])).and_then(RateLimit::new);
    let config = RoomConfig { rules, views, history, welcome, rate, ..common::scripted::config(feed) };
    let connections =
        ConnectionBudget { clients: random.pick(&[7, 11, 40, 40]), refusals: random.below(3), pending: 0 };
    let mut some = |span| random.one_in(3).then_some(span);
    let limits = ClientLimits {
        connections,
        idle_timeout: some(IDLE_TIMEOUT),
        flush_after: some(Duration::from_millis(300)),
        per_network: some(Duration::ZERO).map(|_| 3),
        ..limits()
    };
    (config, limits)
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let (config, limits) = config(&mut random);
        let reads_little = random.one_in(2);
        let world = World::new(seed, random, ScriptedServer::new(config.clone(), limits));
        let model = Model::new(config, limits, world.trace.clone());
        let mut simulation = Self { world, model, reads_little };
        simulation.connect_observers();
        simulation
    }

    /// Connects one client of each view that reads everything, sends nothing to others, and stays to the end.
    fn connect_observers(&mut self) {
        let views = self.model.config.views.clone();
        let orders = views.iter().enumerate().map(|(index, &view)| Order::new(view, index + 1));
        self.model.orders = orders.collect();
        for view in views {
            let mut observer = self.new_client(view);
            observer.address = IpAddr::from([10, 0, 1, view.index() as u8]);
            self.connect(observer);
        }
        self.advance(ANNOUNCE_AFTER);
        self.settle_all();
    }

    /// Returns how often the run contained each of [`KINDS`].
    fn run(mut self) -> Counts {
        for _ in 0..STEPS {
            self.world.step += 1;
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
        self.end_run();
        self.counts()
    }

    fn counts(&self) -> Counts {
        let (model, ended) = (&self.model, |close_reason| self.world.server.closed(close_reason));
        [
            model.missed_notices(),
            model.was_rejected("they do not read"),
            model.was_rejected("they are leaving"),
            ended(CloseReason::StalledReader),
            ended(CloseReason::ClosedByPeer),
            ended(CloseReason::IdleTimeout),
            ended(CloseReason::RoomFull),
        ]
    }

    fn random_action(&mut self) {
        match self.world.random.below(40) {
            0..3 => self.client_connects(),
            3..5 => self.time_jumps(),
            5 => self.advance(MILLISECOND),
            6..20 => self.client_sends(),
            20..36 if !self.reads_little || self.world.random.one_in(6) => self.client_reads(),
            36 => self.client_breaks(),
            37 => self.client_ends_input(),
            _ => {}
        }
    }

    /// Returns one of the clients that are no observers, refused ones included.
    fn any_client(&mut self) -> Option<usize> {
        let observers = self.model.orders.len();
        let others = self.model.clients.keys().copied().filter(|&number| number > observers);
        let others = others.collect::<Vec<_>>();
        (!others.is_empty()).then(|| self.world.random.pick(&others))
    }

    fn client(&mut self, number: usize) -> &mut ClientModel {
        self.model.clients.get_mut(&number).unwrap()
    }

    fn new_client(&mut self, view: View) -> ClientModel {
        let mut endpoint = self.world.new_endpoint();
        endpoint.events.0 = true;
        endpoint.accepts_all = true;
        ClientModel::new(endpoint, view, self.model.config.rules)
    }

    fn client_connects(&mut self) {
        if self.model.clients.len() >= MAX_CLIENTS {
            return;
        }
        let view = self.world.random.pick(&self.model.config.views);
        let mut client = self.new_client(view);
        client.address = IpAddr::from([10, 0, 0, self.world.random.within(1..=4) as u8]);
        client.accepts_all = self.world.random.one_in(3);
        if self.world.random.one_in(8) {
            client.scripted.queue_input("/nick early\nsaid already\n/who\n/msg ann and more");
        }
        self.connect(client);
    }

    fn connect(&mut self, client: ClientModel) {
        let (number, view) = (client.number, client.view);
        let socket = client.scripted.socket.clone();
        let peer = Peer::from(SocketAddr::from((client.address, 1)));
        let is_refusal_limit_reached = self.model.is_refusal_limit_reached();
        self.model.connect(client);
        let (server, register) = (&mut self.world.server, |_: &mut ScriptedSocket, _: ClientId| Ok(()));
        let id = server.clients.admit(socket, view, peer, server.now, register);
        let client = self.client(number);
        match id {
            Some(id) => client.scripted.id = id,
            None => {
                assert!(
                    !client.is_member && is_refusal_limit_reached,
                    "{number} was closed without a reason"
                );
                self.model.apply_calls();
                self.model.all_read();
                self.model.removed(&[(number, CloseReason::RoomFull)].into());
            }
        }
    }

    fn client_sends(&mut self) {
        let Some(number) = self.any_client() else { return };
        let names = self.model.names().into_iter().map(str::to_owned).collect::<Vec<_>>();
        let RoomConfig { feed, rules, .. } = self.model.config;
        let client = self.model.clients.get_mut(&number).unwrap();
        if client.has_ended_input || client.scripted.unread() > 3 * feed {
            return;
        }
        let (random, lines) = (&mut self.world.random, &mut client.lines);
        let LineRules { max_line, raw } = rules;
        let sent = Sender { random, number, lines, max_line, feed, raw, names: &names }.input();
        for piece in network::split(&mut self.world.random, &sent) {
            client.scripted.queue_input(piece);
        }
        client.events.0 = true;
    }

    /// A client reads: some bytes, everything from now on, or nothing.
    fn client_reads(&mut self) {
        let Some(number) = self.any_client() else { return };
        let client = self.model.clients.get_mut(&number).unwrap();
        if !client.accepts_all && !client.may_break() {
            self.world.let_read(client);
        }
    }

    /// A connection is lost, in one direction.
    fn client_breaks(&mut self) {
        let Some(number) = self.any_client() else { return };
        let kind = network::failure(&mut self.world.random);
        let is_reading = self.world.random.one_in(2);
        let client = self.client(number);
        if client.accepts_all {
            return;
        }
        if is_reading {
            client.scripted.queue_error(kind);
            client.has_ended_input = true;
        } else {
            client.scripted.script_mut().then_accepts = Accept::Fail(kind);
        }
        client.events = (true, true);
    }

    fn client_ends_input(&mut self) {
        if let Some(number) = self.any_client() {
            self.end_input(number);
        }
    }

    fn end_input(&mut self, number: usize) {
        if let Some(client) = self.model.clients.get_mut(&number) {
            client.queue_end();
        }
    }

    fn time_jumps(&mut self) {
        let span = self.world.random_span();
        self.advance(span);
    }

    /// With an idle timeout the observers send a blank line, which is no message in views with commands.
    fn advance(&mut self, span: Duration) {
        self.world.server.now = self.world.server.now.after(span);
        let observers = self.model.orders.len();
        for (_, observer) in self.model.clients.range_mut(..=observers) {
            let is_idle = observer.scripted.unread() == 0 && !observer.has_ended_input;
            if is_idle && self.model.limits.idle_timeout.is_some() && span > MILLISECOND {
                // An empty first line would be held for a while.
                observer.scripted.queue_input(" \n");
                observer.events.0 = true;
            }
        }
    }

    /// The system reports what has changed since its last event, or nothing yet.
    fn deliver_events(&mut self) {
        self.world.deliver_some_events(self.model.endpoints_mut());
    }

    /// Runs the steps of one turn in the order of the server; then the model reads what every client received.
    fn turn(&mut self) {
        let now = self.world.server.now;
        while self.next_deadline() {}
        let mut turn = self.world.server.clients.start_read();
        while let Some(id) = self.world.server.clients.read_next(&mut turn, now) {
            self.model.after_read(id, &self.world.server.clients);
        }
        self.model.apply_calls();
        self.world.server.write();
        self.model.apply_calls();
        self.world.server.clients.disconnect_stalled(now);
        self.model.all_written();
        let closed = self.world.closed(self.model.endpoints());
        self.world.server.clients.sweep(now);
        self.model.removed(&closed);
    }

    /// Runs one timer. The model learns from outside what it did.
    fn next_deadline(&mut self) -> bool {
        let Some(run) = self.world.run_next_timer(self.model.endpoints()) else { return false };
        let TimerRun { number, timer, before, after } = run;
        match (timer, before, after) {
            (ClientTimer::Flush, Some((true, true, _)), Some((is_open, is_mid_line, _)))
                if !(is_open && is_mid_line) =>
            {
                self.model.flush(number);
            }
            (ClientTimer::Opening, Some((.., true)), Some((.., false))) => self.model.decide_opening(number),
            (ClientTimer::Idle, Some((true, ..)), Some((false, ..))) => self.model.disconnect_idle(number),
            (ClientTimer::AnnounceJoin, Some((true, ..)), _) => self.model.is_announced(number),
            _ => {}
        }
        self.model.apply_calls();
        true
    }

    /// Runs turns until all work that is left waits for an event or a deadline. Then fast readers have received
    /// everything.
    fn run_until_idle(&mut self) {
        for _ in 0..MAX_TURNS {
            if !self.world.server.clients.has_work() {
                return self.model.check_fast_readers();
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
}

#[test]
fn every_client_receives_the_order_of_its_view_and_the_lines_for_it_alone() {
    let seeds = seeds(SEEDS);
    let is_ordinary = seeds.end - seeds.start >= SEEDS;
    let mut all = Counts::default();
    for seed in seeds {
        let seen = Simulation::new(seed).run();
        (0..all.len()).for_each(|kind| all[kind] += seen[kind]);
    }
    for (kind, count) in KINDS.iter().zip(all) {
        assert!(count > 0 || !is_ordinary, "no run had {kind}: {all:?}");
    }
}
