//! A simulation of the room: people come, talk, read as they like, break and leave, over scripted sockets
//! and with a clock set by hand. After each step the crowd is compared with a naive model, which knows the
//! one order of lines and, to the byte, what each is to hear next.
//!
//! A run is decided by its seed. To see one again, or to try more of them:
//! `HUBBUB_SEED=17 cargo test --test simulation`, `HUBBUB_SEEDS=10000 cargo test --release --test simulation`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "that is how a test fails")]
#![allow(clippy::print_stderr, reason = "whoever reads of a failure wants its seed")]

mod common;
#[path = "simulation/model.rs"]
mod model;
#[path = "simulation/network.rs"]
mod network;
#[path = "simulation/person.rs"]
mod person;
#[path = "simulation/speech.rs"]
mod speech;

use common::random::{Random, seeds};
use common::scripted::*;
use hubbub::broadcast::rate_limit::RateLimit;
use hubbub::chat::room::{Room, RoomConfig};
use hubbub::clients::close_reason::CloseReason;
use hubbub::clients::stats::Stats;
use hubbub::clients::{ClientLimits, ClientTimer};
use hubbub::net::fd_limit::ConnectionBudget;
use hubbub::net::peer::Peer;
use hubbub::util::clock::Moment;
use hubbub::util::id_slab::ClientId;
use hubbub::wire::line_decoder::LineRules;
use hubbub::wire::view::View;
use model::{LINGER, Model};
use person::{Person, Stage};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Seeds of the ordinary run, and steps with each: about three seconds without optimisation.
const SEEDS: u64 = 20;
const STEPS: usize = 2500;
/// Connections that there are at most at a time, those lingering included: few enough to meet the limits.
const MOST_PEOPLE: usize = 14;
/// After so many rounds of so long everyone was heard, even at a line a second.
const MOST_ROUNDS: usize = 2000;
const ROUND: Duration = STALL_TIMEOUT;

/// A run: the clients, the model of it, and what happens next.
struct Simulation {
    random: Random,
    server: ScriptedServer,
    model: Model,
    trace: Trace,
    /// Members so far.
    number: usize,
    seed: u64,
    step: usize,
    /// The step in which the server stops, if it does.
    stops_in: Option<usize>,
}

impl Drop for Simulation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, step, .. } = self;
            eprintln!("with seed {seed} in step {step}: HUBBUB_SEED={seed} shows it again");
        }
    }
}

/// What holds in this run: small feeds, so that they are full often, and each limit in some runs.
fn config(random: &mut Random) -> (RoomConfig, Option<usize>, ClientLimits) {
    let feed = random.pick(&[512, 1000, 4096, 16_000]);
    let rules = LineRules { max_line: feed / Room::LINES_PER_FEED, raw: random.one_in(6) };
    let welcome = random.pick(&["", "welcome"]).to_owned();
    let rate = random.one_in(4).then(|| random.pick(&[1, 5, 50]));
    let limit = rate.and_then(RateLimit::new);
    let config = RoomConfig { rules, feed, welcome, rate: limit, ..common::scripted::config(feed) };
    let connections = ConnectionBudget { clients: random.within(4..=12), refusals: random.below(3) };
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
        let trace = Trace::default();
        let server = ScriptedServer::new(config.clone(), limits);
        let model = Model::new(config, rate, limits, trace.clone());
        // Late, for nobody comes any more.
        let stops_in = random.one_in(2).then(|| STEPS - random.pick(&[0, 2, STEPS / 10]));
        Self { random, server, model, trace, number: 0, seed, step: 0, stops_in }
    }

    /// What was counted in all.
    fn run(mut self) -> Stats {
        for _ in 0..STEPS {
            self.step += 1;
            if self.stops_in == Some(self.step) {
                self.stop();
            }
            for _ in 0..self.random.within(1..=3) {
                self.something_happens();
            }
            self.deliver_reports();
            for _ in 0..self.random.within(1..=3) {
                self.turn();
            }
            if self.random.one_in(4) {
                self.settle();
            }
        }
        self.step += 1;
        self.the_stuck_hold_nobody_up();
        self.all_hear_all();
        self.everyone_leaves();
        self.server.clients.stats.clone()
    }

    fn something_happens(&mut self) {
        match self.random.below(40) {
            0..2 => self.someone_comes(),
            2 if self.random.one_in(4) => self.someone_is_sent_away(),
            3 => self.time_passes(),
            4 => self.pass(MILLISECOND),
            5..20 => self.someone_speaks(),
            20..36 => self.someone_takes(),
            36 => self.someone_breaks(),
            37 => self.someone_ends(),
            38 => self.something_stale_is_reported(),
            _ => {}
        }
    }

    /// One of those who are here, or were turned away and linger.
    fn someone(&mut self) -> Option<usize> {
        let numbers = self.model.members.keys().copied().collect::<Vec<_>>();
        (!numbers.is_empty()).then(|| self.random.pick(&numbers))
    }

    fn person(&mut self, number: usize) -> &mut Person {
        self.model.members.get_mut(&number).unwrap()
    }

    fn newcomer(&mut self) -> (usize, ScriptedSocket, Peer, Person) {
        self.number += 1;
        let client = ScriptedClient::traced(self.number, &self.trace);
        let address = IpAddr::from([10, 0, 0, self.random.within(1..=4) as u8]);
        let (rules, now) = (self.model.config.rules, self.server.now);
        let socket = client.socket.clone();
        let mut person = Person::new(client, address, rules, &self.model.order, now);
        person.is_healthy = self.random.one_in(3);
        (self.number, socket, Peer::from(SocketAddr::from((address, 1))), person)
    }

    fn someone_comes(&mut self) {
        if self.model.members.len() >= MOST_PEOPLE || self.model.stopped.is_some() {
            return;
        }
        let (number, socket, peer, person) = self.newcomer();
        if self.random.one_in(8) {
            person.client.queue_input("said already\nand more");
        }
        let (is_porch_full, now) = (self.model.is_porch_full(), self.server.now);
        self.model.comes(number, person, now);
        let is_refused = !self.person(number).is_member;
        let is_unwatched = !(is_refused && is_porch_full) && self.random.one_in(20);
        let watch = |_: &mut ScriptedSocket, _: ClientId| match is_unwatched {
            true => Err(ErrorKind::OutOfMemory.into()),
            false => Ok(()),
        };
        let key = self.server.clients.admit(socket, View::Plain, peer, now, watch);
        if let Some(key) = key {
            let person = self.person(number);
            person.client.id = key;
            person.reports.0 = true;
            return;
        }
        if is_unwatched {
            let told = "the server cannot accept you: try again later";
            let close_reason = CloseReason::RegisterFailed(ErrorKind::OutOfMemory);
            if !is_refused {
                // It never joined, and is not welcomed.
                self.person(number).outbox_len.clear();
            }
            self.person(number).tell(format!("* {told}\n").as_bytes());
            self.person(number).stage = Stage::Ending(close_reason);
        }
        assert!(is_unwatched || is_refused && is_porch_full, "{number} was closed for no reason");
        self.was_sent_off(number);
    }

    fn someone_is_sent_away(&mut self) {
        let (number, socket, peer, mut person) = self.newcomer();
        person.is_member = false;
        let told = "the server has no free file descriptor: try again later";
        person.is_refused(told, CloseReason::NoDescriptor, self.server.now);
        self.model.stats.accepted += 1;
        self.model.members.insert(number, person);
        self.server.clients.refuse_without_fd(socket, View::Plain, peer, self.server.now);
        self.was_sent_off(number);
    }

    /// Someone was told what goes at once, and is gone.
    fn was_sent_off(&mut self, number: usize) {
        let now = self.server.now;
        self.model.catch_up(now);
        let person = self.person(number);
        let Stage::Draining(close_reason) = person.stage else {
            panic!("{number} was to hear why: {:?}", person.stage)
        };
        person.stage = Stage::Over(close_reason);
        assert!(person.client.is_removed(), "{number} was not let go");
        self.model.is_over(number, close_reason, now);
    }

    fn someone_speaks(&mut self) {
        let Some(number) = self.someone() else { return };
        let RoomConfig { feed, rules, .. } = self.model.config;
        let person = self.model.members.get_mut(&number).unwrap();
        if person.is_silent || person.client.unread() > 3 * feed {
            return;
        }
        let said = speech::speech(&mut self.random, rules.max_line, feed);
        for piece in network::pieces(&mut self.random, &said) {
            person.client.queue_input(piece);
        }
        if self.random.one_in(10) {
            person.client.queue_error(ErrorKind::Interrupted);
        }
        person.reports.0 = true;
    }

    /// Someone reads: a few bytes, or all from now on, or nothing.
    fn someone_takes(&mut self) {
        let Some(number) = self.someone() else { return };
        let random = &mut self.random;
        let person = self.model.members.get_mut(&number).unwrap();
        if person.is_healthy || matches!(person.client.script().then_accepts, Accept::Fail(_)) {
            return;
        }
        let most = random.pick(&[1, 10, 100, 10_000]);
        let mut takes =
            (0..random.below(5)).map(|_| Accept::Bytes(random.within(1..=most))).collect::<Vec<_>>();
        if random.one_in(20) {
            takes.push(Accept::Fail(ErrorKind::Interrupted));
            takes.push(Accept::Bytes(1));
        }
        let mut script = person.client.script_mut();
        script.accepts = takes.into();
        script.then_accepts = if random.one_in(5) { Accept::All } else { Accept::WouldBlock };
        person.reports.1 = true;
    }

    /// The connection of someone breaks, in one direction or both.
    fn someone_breaks(&mut self) {
        let Some(number) = self.someone() else { return };
        let random = &mut self.random;
        let person = self.model.members.get_mut(&number).unwrap();
        if person.is_healthy {
            return;
        }
        let kind = network::failure(random);
        let mut script = person.client.script_mut();
        match random.below(8) {
            0..3 => script.input.push_back(Err(kind)),
            3..5 => script.then_accepts = Accept::Fail(kind),
            5 => script.accepts = [Accept::Bytes(0)].into(),
            6 => script.then_accepts = Accept::Fail(ErrorKind::Interrupted),
            _ => script.read_always_fails = Some(ErrorKind::Interrupted),
        }
        person.may_run_away |=
            script.then_accepts == Accept::Fail(ErrorKind::Interrupted) || script.read_always_fails.is_some();
        person.is_silent |= script.input.back() == Some(&Err(kind));
        drop(script);
        person.reports = (true, true);
    }

    fn someone_ends(&mut self) {
        let Some(number) = self.someone() else { return };
        self.ends(number);
    }

    fn ends(&mut self, number: usize) {
        let person = self.person(number);
        if !std::mem::replace(&mut person.is_silent, true) {
            person.client.queue_end();
            person.reports.0 = true;
        }
    }

    fn something_stale_is_reported(&mut self) {
        let key = ClientId::from_number(self.random.number() as usize);
        if self.server.clients.connection(key).is_none() {
            assert!(!self.server.clients.mark_ready(key, true, true, self.server.now));
            self.model.stats.stale += 1;
        }
    }

    fn time_passes(&mut self) {
        let millis = self.random.pick(&[10, 300, 1000, 3000, 6000]);
        let millis = self.random.within(1..=millis);
        self.pass(Duration::from_millis(millis as u64));
    }

    fn pass(&mut self, span: Duration) {
        self.server.now = self.server.now.after(span);
    }

    fn stop(&mut self) {
        self.model.stops(self.server.now);
        self.server.shut_down();
    }

    /// The system reports what changed since its last report, and nothing else, or has not come to it yet.
    fn deliver_reports(&mut self) {
        for person in self.model.members.values_mut().filter(|person| person.reports != (false, false)) {
            if !self.random.one_in(4) {
                person.is_reported(&mut self.server);
            }
        }
    }

    /// The steps of one turn of the server, in its order, each compared with the model.
    fn turn(&mut self) {
        let now = self.server.now;
        while self.next_deadline(now) {}
        if self.model.is_grace_over(now) {
            self.server.clients.abort_pending_writes();
        }
        let mut turn = self.server.clients.start_read();
        while let Some(key) = self.server.clients.read_next(&mut turn, now) {
            self.model.was_read(key, &self.server.clients, now);
        }
        self.model.catch_up(now);
        self.server.write();
        self.model.catch_up(now);
        self.server.clients.disconnect_stalled(now);
        self.note_goodbyes();
        self.server.clients.sweep(now);
        self.model.check(&self.server.clients, now);
    }

    /// What a deadline decided is seen from outside, and has to be right.
    fn next_deadline(&mut self, now: Moment) -> bool {
        let state = |server: &ScriptedServer, key| {
            let connection = server.clients.connection(key);
            connection.map(|it| (it.is_open(), it.decoder().is_mid_line()))
        };
        let keys = self.model.members.iter().map(|(&number, it)| (number, it.client.id));
        let before = keys.map(|(number, key)| (number, key, state(&self.server, key))).collect::<Vec<_>>();
        let Some((key, due)) = self.server.clients.run_next_timer(now) else { return false };
        let Some(&(number, _, before)) = before.iter().find(|(_, other, _)| *other == key) else {
            panic!("{key:?} is nobody's and has a deadline");
        };
        match (due, before, state(&self.server, key)) {
            (ClientTimer::Flush, Some((true, true)), Some((true, false))) => self.model.flushes(number, now),
            (ClientTimer::Idle, Some((true, _)), Some((false, _))) => self.model.is_silent(number, now),
            (_, Some((was_open, was_mid_line)), Some((is_open, is_mid_line))) => {
                assert_eq!((was_open, was_mid_line), (is_open, is_mid_line), "{number} after {due:?}");
            }
            _ => panic!("{number} was removed by a deadline"),
        }
        true
    }

    /// Those who are over are about to be removed, for a reason that the model agrees with.
    fn note_goodbyes(&mut self) {
        let over = |person: &Person| self.server.clients.connection(person.client.id)?.close_reason();
        let over = self.model.members.iter().filter_map(|(&number, it)| Some((number, over(it)?)));
        for (number, close_reason) in over.collect::<Vec<_>>() {
            self.model.is_over(number, close_reason, self.server.now);
        }
    }

    /// Turns until there is no work that waits for no report.
    fn settle(&mut self) {
        for _ in 0..MAX_TURNS {
            if !self.server.clients.has_work() {
                return;
            }
            self.turn();
        }
        panic!("after {MAX_TURNS} turns there is still work");
    }

    /// All reports come, and all that follows from them is done.
    fn settle_all(&mut self) {
        for person in self.model.members.values_mut() {
            person.is_reported(&mut self.server);
        }
        self.turn();
        self.settle();
    }

    /// Whoever takes nothing is left behind: what the others said is read all the same, in time.
    fn the_stuck_hold_nobody_up(&mut self) {
        let waits = |person: &Person| person.is_healthy && person.waits();
        for _ in 0..MOST_ROUNDS {
            self.settle_all();
            if !self.model.members.values().any(waits) {
                return;
            }
            self.pass(ROUND);
        }
        panic!("after {MOST_ROUNDS} times {ROUND:?} somebody is not heard");
    }

    /// Everyone takes all, and has then heard exactly what it was to hear.
    fn all_hear_all(&mut self) {
        for person in self.model.members.values_mut() {
            let mut script = person.client.script_mut();
            if !matches!(script.then_accepts, Accept::Fail(_)) {
                script.accepts.clear();
                script.then_accepts = Accept::All;
            }
            drop(script);
            person.reports.1 = true;
        }
        for _ in 0..MOST_ROUNDS {
            self.settle_all();
            let waits = |person: &Person| person.waits();
            if !self.model.members.values().any(waits) {
                break;
            }
            self.pass(ROUND);
        }
        let Model { members, order, .. } = &mut self.model;
        for (&number, person) in members {
            assert!(!person.has_pending_output(number, order), "{number} takes all and was not given all");
            // Of those who were told to go, what they still say is dropped, lest a reset take what they are told.
            assert_eq!(
                person.client.unread() + person.unparsed.len(),
                0,
                "{number} is not read in {:?}",
                person.stage
            );
            assert!(!matches!(person.stage, Stage::Ending(_) | Stage::Over(_)), "{number} should have gone");
        }
    }

    /// Silence ends what it ends; then everyone ends their input, and nobody is left.
    fn everyone_leaves(&mut self) {
        for _ in 0..3 {
            self.pass(self.model.limits.flush_after.unwrap_or(LINGER).max(LINGER));
            self.settle_all();
        }
        if self.model.limits.flush_after.is_some() {
            for (number, person) in &self.model.members {
                let connection = self.server.clients.connection(person.client.id).unwrap();
                assert!(
                    !(connection.is_open() && connection.decoder().is_mid_line()),
                    "{number} waits for a line's end"
                );
            }
        }
        if let Some(idle_timeout) = self.model.limits.idle_timeout {
            for _ in 0..3 {
                self.pass(idle_timeout);
                self.settle_all();
            }
            let stays = |person: &&Person| person.stage == Stage::Open;
            assert_eq!(self.model.members.values().filter(stays).count(), 0, "those who were silent stay");
        }
        for number in self.model.members.keys().copied().collect::<Vec<_>>() {
            self.ends(number);
        }
        self.settle_all();
        self.pass(LINGER);
        self.settle_all();
        assert!(self.server.clients.is_empty(), "{:?}", self.model.members.keys());
        assert_eq!(self.server.clients.next_deadline(), None, "nobody is left to wait for");
    }
}

#[test]
fn whatever_people_and_sockets_do_each_hears_the_one_order_whole_or_is_gone_for_a_reason() {
    let seeds = seeds(SEEDS);
    let is_ordinary = seeds.end - seeds.start >= SEEDS;
    let mut ended = [0; CloseReason::COUNT];
    for seed in seeds {
        let stats = Simulation::new(seed).run();
        (0..ended.len()).for_each(|kind| ended[kind] += stats.closed[kind]);
    }
    for (kind, count) in CloseReason::labels().zip(ended) {
        assert!(count > 0 || !is_ordinary, "nobody was ever {kind}: {ended:?}");
    }
}
