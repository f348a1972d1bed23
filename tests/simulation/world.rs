//! What both simulations share: the scripted server with random numbers, and the part of a client that does
//! not depend on its view.

#![allow(dead_code, reason = "each simulation uses its own part")]

use crate::common::random::Random;
use crate::common::scripted::*;
use hubbub::clients::close_reason::CloseReason;
use hubbub::clients::{ClientTimer, Clients};
use hubbub::util::id_slab::ClientId;
use std::collections::VecDeque;
use std::time::Duration;

/// The server of a run, and what decides what happens next.
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) server: ScriptedServer,
    pub(crate) trace: Trace,
    pub(crate) step: usize,
    seed: u64,
    /// How many clients have connected.
    clients: usize,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, step, .. } = self;
            eprintln!("with seed {seed} in step {step}: HUBBUB_SEED={seed} repeats it");
        }
    }
}

/// Whether a connection is open, in the middle of a line, and holds lines that may open another protocol.
pub(crate) type LineState = (bool, bool, bool);

/// A deadline that has passed, and what it changed.
pub(crate) struct TimerRun {
    pub(crate) number: usize,
    pub(crate) timer: ClientTimer,
    pub(crate) before: Option<LineState>,
    pub(crate) after: Option<LineState>,
}

impl World {
    pub(crate) fn new(seed: u64, random: Random, server: ScriptedServer) -> Self {
        Self { random, server, trace: Trace::default(), step: 0, seed, clients: 0 }
    }

    /// Returns the number of the last client.
    pub(crate) const fn last_number(&self) -> usize {
        self.clients
    }

    /// Returns the endpoint of a new client that is not connected yet.
    pub(crate) fn new_endpoint(&mut self) -> Endpoint {
        self.clients += 1;
        Endpoint {
            number: self.clients,
            scripted: ScriptedClient::traced(self.clients, &self.trace),
            events: (false, false),
            accepts_all: false,
            has_ended_input: false,
            unparsed: VecDeque::new(),
        }
    }

    /// Returns a span from a millisecond to some seconds.
    pub(crate) fn random_span(&mut self) -> Duration {
        let millis = self.random.pick(&[10, 300, 1000, 3000, 6000]);
        Duration::from_millis(self.random.within(1..=millis) as u64)
    }

    /// The system reports what has changed since its last events, or nothing yet.
    pub(crate) fn deliver_some_events<'a>(&mut self, clients: impl Iterator<Item = &'a mut Endpoint>) {
        for client in clients.filter(|client| client.events != (false, false)) {
            if !self.random.one_in(4) {
                client.deliver_events(&mut self.server);
            }
        }
    }

    /// Lets a client read some bytes, everything from now on, or nothing.
    pub(crate) fn let_read(&mut self, client: &mut Endpoint) {
        let random = &mut self.random;
        let most = random.pick(&[1, 10, 100, 10_000]);
        let accepts = (0..random.below(5)).map(|_| Accept::Bytes(random.within(1..=most))).collect();
        let then = if random.one_in(5) { Accept::All } else { Accept::WouldBlock };
        let mut script = client.scripted.script_mut();
        (script.accepts, script.then_accepts) = (accepts, then);
        client.events.1 = true;
    }

    fn line_state(&self, id: ClientId) -> Option<LineState> {
        let connection = self.server.clients.connection(id)?;
        let decoder = connection.decoder();
        Some((connection.is_open(), decoder.is_mid_line(), decoder.is_holding_lines()))
    }

    /// Runs the soonest timer if it is due.
    pub(crate) fn run_next_timer<'a>(
        &mut self,
        clients: impl Iterator<Item = &'a Endpoint>,
    ) -> Option<TimerRun> {
        let ids = clients.map(|client| (client.number, client.scripted.id));
        let before = ids.map(|(number, id)| (number, id, self.line_state(id))).collect::<Vec<_>>();
        let (id, timer) = self.server.clients.run_next_timer(self.server.now)?;
        let Some(&(number, _, before)) = before.iter().find(|(_, other, _)| *other == id) else {
            panic!("{id:?} is not connected and has a deadline");
        };
        Some(TimerRun { number, timer, before, after: self.line_state(id) })
    }

    /// Returns the clients that the table is to remove, with their reasons.
    pub(crate) fn closed<'a, C>(&self, clients: impl Iterator<Item = &'a Endpoint>) -> C
    where
        C: FromIterator<(usize, CloseReason)>,
    {
        let reason = |client: &Endpoint| self.server.clients.connection(client.scripted.id)?.close_reason();
        clients.filter_map(|client| Some((client.number, reason(client)?))).collect()
    }
}

/// The socket of a client, and what it does.
pub(crate) struct Endpoint {
    pub(crate) number: usize,
    pub(crate) scripted: ScriptedClient,
    /// Events that the system has still to report: readable, writable.
    pub(crate) events: (bool, bool),
    /// Its socket accepts everything and never fails.
    pub(crate) accepts_all: bool,
    /// It sends nothing more.
    pub(crate) has_ended_input: bool,
    /// What was read from it and is not handled yet.
    unparsed: VecDeque<u8>,
}

impl Endpoint {
    /// The system reports what has changed since its last events.
    pub(crate) fn deliver_events(&mut self, server: &mut ScriptedServer) {
        let (readable, writable) = std::mem::take(&mut self.events);
        assert!(server.clients.mark_ready(self.scripted.id, readable, writable, server.now));
        if readable && self.has_ended_input {
            server.clients.mark_input_end(self.scripted.id, server.now);
        }
    }

    /// It sends the end of its input, once.
    pub(crate) fn queue_end(&mut self) {
        if !std::mem::replace(&mut self.has_ended_input, true) {
            self.scripted.queue_end();
            self.events.0 = true;
        }
    }

    /// Bytes that it has sent and that are not handled yet.
    pub(crate) fn pending_input(&self) -> usize {
        self.scripted.unread() + self.unparsed.len()
    }

    pub(crate) fn unparsed_len(&self) -> usize {
        self.unparsed.len()
    }

    /// The server read `bytes`.
    pub(crate) fn read(&mut self, bytes: Vec<u8>) {
        assert!(self.unparsed.is_empty(), "{} is read before its earlier input was handled", self.number);
        self.unparsed = bytes.into();
    }

    /// Returns the input that was handled since the last call: the beginning of what was read.
    pub(crate) fn take_handled(&mut self, table: &Clients<ScriptedSocket>) -> Vec<u8> {
        let left = table.connection(self.scripted.id).map_or(0, |connection| connection.unparsed_len());
        let Some(handled) = self.unparsed.len().checked_sub(left) else {
            panic!("{} has {left} bytes of unparsed input, and sent {}", self.number, self.unparsed.len());
        };
        self.unparsed.drain(..handled).collect()
    }
}
