//! Everyone who is connected, and the poll loop that serves them.

use crate::client::{Client, Received, State};
use crate::extras::Extras;
use crate::ledger::{self, Ledger};
use crate::protocol::{Protocol, Told};
use crate::schedule::Schedule;
use crate::talk::{TICK, Talk};
use crate::target::{self, Target};
use hubbub::util::os_error;
use hubbub::wire::escape;
use mio::event::Event;
use mio::{Events, Poll, Token};
use std::io::ErrorKind;
use std::time::{Duration, Instant};

/// Clients that connect and are not yet known to be in the room, at a time: where the server greets, and
/// where it does not, which also may have the shortest of backlogs.
const MOST_ARRIVING: (usize, usize) = (100, 8);
/// Bytes of one read, at least.
const READ: usize = 256 * 1024;
/// Reads of one client in a row: others, and the clock, have their turn also where a server floods.
const MOST_READS: usize = 8;
/// A sender is given so much to send at a time, and one who has no pace so often in a row.
const POUR: (usize, usize) = (64 * 1024, 8);
/// Bytes of what a server says itself that are shown.
const MOST_SHOWN: usize = 200;
/// How long nobody must have been heard to join before those who are silent are asked, at first and once
/// it is known that the server does not greet.
const ASK_AFTER: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(10));

/// The clients, what they heard, and the poll that they are registered with.
#[derive(Debug)]
pub(crate) struct Swarm {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    started: Instant,
    target: Target,
    protocol: Protocol,
    clients: Vec<Client>,
    connecting: usize,
    joined: usize,
    /// Whether clients are heard to join without being asked, once that is known.
    greets: Option<bool>,
    cut: usize,
    extras: Extras,
    pub(crate) ledger: Ledger,
    refusal: Option<String>,
    /// Clients for whom there may be more to read at once.
    unfinished: Vec<usize>,
    talk: Talk,
}

impl Swarm {
    /// Nobody yet but the nuisances, who have to be there first: `(stuck, slow, churn)`.
    pub(crate) fn new(
        mut target: Target,
        protocol: Protocol,
        ledger: Ledger,
        (senders, schedule): (usize, Schedule),
        bytes: usize,
        nuisances: (usize, Option<usize>, u32),
        clients: usize,
    ) -> Result<Self, String> {
        let poll = Poll::new().map_err(|error| system(&error))?;
        let extras = Extras::connect(&mut target, poll.registry(), protocol.hello(), clients, nuisances)
            .map_err(|error| os_error::text(&error))?;
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            buffer: vec![0; READ.max(4 * bytes)],
            started: Instant::now(),
            target,
            protocol,
            clients: Vec::with_capacity(clients),
            connecting: 0,
            joined: 0,
            greets: None,
            cut: 0,
            extras,
            ledger,
            refusal: None,
            unfinished: Vec::new(),
            talk: Talk::new(schedule, senders),
        })
    }

    /// Time since it was made.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Clients that hear what is said.
    pub(crate) const fn joined(&self) -> usize {
        self.joined
    }

    /// Whether `clients` are connected, in the room or not.
    pub(crate) const fn has_all(&self, clients: usize) -> bool {
        self.connecting == 0 && self.clients.len() == clients
    }

    /// Whether there are any who do not read, or slowly.
    pub(crate) const fn has_nuisances(&self) -> bool {
        self.extras.has_any()
    }

    /// Clients that the server ended or lost.
    pub(crate) const fn cut(&self) -> usize {
        self.cut
    }

    /// Whether there is anyone left whom the server has not cut.
    pub(crate) const fn is_anyone_there(&self) -> bool {
        self.cut < self.clients.len()
    }

    /// The nuisances.
    pub(crate) const fn extras(&self) -> &Extras {
        &self.extras
    }

    /// What the server said first to tell that something is wrong.
    pub(crate) fn refusal(&self) -> Option<String> {
        let notice = || self.ledger.notice().map(shown);
        self.refusal.clone().or_else(notice)
    }

    /// Begins as many connections as may be under way, up to `clients` in all.
    pub(crate) fn connect(&mut self, clients: usize) -> Result<(), String> {
        let most = if self.greets == Some(true) { MOST_ARRIVING.0 } else { MOST_ARRIVING.1 };
        while self.clients.len() < clients && self.clients.len() - self.joined < most {
            let mut stream = match self.target.connect() {
                Ok(stream) => stream,
                // A unix socket's backlog is full.
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(os_error::text(&error)),
            };
            let token = Token(self.clients.len());
            target::watch(&mut stream, self.poll.registry(), token).map_err(|error| system(&error))?;
            self.clients.push(Client::new(stream, self.protocol.hello()));
            self.connecting += 1;
        }
        Ok(())
    }

    /// Asks who hears, where everyone is connected who may be, and nobody was heard to join since
    /// `last_news`: the first client asks the others, and the second asks the first. Whether it asked.
    pub(crate) fn ask(&mut self, last_news: Duration) -> bool {
        let after = if self.greets == Some(false) { ASK_AFTER.1 } else { ASK_AFTER.0 };
        if self.connecting > 0 || self.now().saturating_sub(last_news) < after {
            return false;
        }
        self.greets.get_or_insert(false);
        let probe = self.ledger.probe();
        for client in self.clients.iter_mut().take(2) {
            client.out().extend_from_slice(&probe);
            client.send();
        }
        true
    }

    /// From now on the senders speak.
    pub(crate) fn start(&mut self) {
        self.talk.start(self.now());
    }

    /// One turn of the loop, `wait` long at most: serves those who are reported, and says what is due.
    pub(crate) fn turn(&mut self, wait: Duration) -> Result<(), String> {
        // The poll counts whole milliseconds and rounds up: the last part of one is spent polling.
        let wait = Duration::from_millis(self.sleep().min(wait).as_millis() as u64);
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            result => result.map_err(|error| system(&error))?,
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let served = events.iter().try_for_each(|event| match event.token() {
            Token(index) if index < self.clients.len() => self.serve(index, event),
            Token(other) => {
                // A broker greets when it is asked to, which those who come and go do not.
                let greets = self.protocol == Protocol::Lines && self.greets == Some(true);
                self.extras.note(other, greets);
                Ok(())
            }
        });
        self.events = events;
        served?;
        for index in std::mem::take(&mut self.unfinished) {
            if self.clients[index].is_up() {
                self.hear(index, true);
            }
        }
        self.speak();
        if let Some(started) = self.talk.started {
            let passed = self.now().saturating_sub(started);
            let (target, registry) = (&mut self.target, self.poll.registry());
            self.extras.act(passed, target, registry, &mut self.buffer).map_err(|error| system(&error))?;
        }
        Ok(())
    }

    fn sleep(&self) -> Duration {
        if !self.unfinished.is_empty() {
            return Duration::ZERO;
        }
        let Some(started) = self.talk.started else { return TICK };
        let rest = self.talk.rest(self.now().saturating_sub(started), self.ledger.heard_by_all());
        rest.min(self.extras.rest().unwrap_or(TICK)).min(TICK)
    }

    fn serve(&mut self, index: usize, event: &Event) -> Result<(), String> {
        let client = &mut self.clients[index];
        if client.state == State::Connecting {
            self.connecting -= 1;
            if let Ok(Some(error)) = target::take_error(client.stream()) {
                return Err(os_error::text(&error));
            }
            client.state = State::Connected;
        }
        // An end in order may be followed by a reset, and is one end all the same.
        if client.is_up() && (event.is_readable() || event.is_read_closed() || event.is_error()) {
            self.hear(index, event.is_read_closed() || event.is_error());
        }
        let client = &mut self.clients[index];
        let all_sent = client.send();
        let is_sender = self.talk.started.is_some() && index < self.talk.next.len();
        if all_sent && is_sender && self.talk.schedule.is_free() && !self.talk.eager.contains(&index) {
            self.talk.eager.push(index);
        }
        Ok(())
    }

    /// Reads all that is there for a client.
    fn hear(&mut self, index: usize, is_closed: bool) {
        let client = &mut self.clients[index];
        let mut is_in = false;
        for reads in 1.. {
            if !client.is_up() {
                break;
            }
            let Received::Bytes(bytes, may_be_more) = client.receive(&mut self.buffer) else { break };
            let now = self.started.elapsed();
            let room = self.buffer.len();
            client.tell(&self.buffer[..bytes], self.protocol, room, |told| match told {
                Told::Line(line) => {
                    // Who is told something by the server itself may be told to leave.
                    is_in |= !ledger::is_notice(line);
                    self.ledger.hear(index, line, now);
                }
                Told::Joined => is_in = true,
                Told::Refused(why) => _ = self.refusal.get_or_insert_with(|| shown(why)),
                Told::Asked(_) | Told::Other => {}
            });
            // A read that fills less than the buffer took all there was; only an end needs one more.
            if !may_be_more && !is_closed {
                break;
            }
            if reads == MOST_READS {
                self.unfinished.push(index);
                break;
            }
        }
        match client.state {
            State::Connected if is_in => {
                client.state = State::In;
                self.joined += 1;
                self.greets.get_or_insert(true);
            }
            State::Gone => {
                self.cut += 1;
                self.ledger.lose(index);
            }
            State::Connecting | State::Connected | State::In => {}
        }
    }

    fn speak(&mut self) {
        let Some(started) = self.talk.started else { return };
        for index in std::mem::take(&mut self.talk.eager) {
            self.pour(index);
        }
        if self.talk.schedule.is_free() {
            return;
        }
        let now = self.now();
        let due = self.talk.schedule.due(now.saturating_sub(started), self.ledger.heard_by_all());
        let (first, senders) = (self.talk.said, self.talk.next.len());
        self.talk.is_clogged = false;
        while self.talk.said < due && !self.talk.is_clogged {
            let number = self.talk.said;
            let out = self.clients[number as usize % senders].out();
            self.talk.is_clogged = out.len() >= POUR.0;
            if !self.talk.is_clogged {
                // What is late is late for those who hear it, whoever held it up.
                let due_at = self.talk.schedule.due_at(number).map_or(now, |due_at| started + due_at);
                self.ledger.say(number, due_at, out);
                self.talk.said += 1;
            }
        }
        for number in (first..self.talk.said).take(senders) {
            self.clients[number as usize % senders].send();
        }
    }

    /// Has a sender say as much as its socket takes, within bounds.
    fn pour(&mut self, index: usize) {
        let (lines, senders) = (self.talk.schedule.lines, self.talk.next.len() as u32);
        let client = &mut self.clients[index];
        for _ in 0..POUR.1 {
            let next = &mut self.talk.next[index];
            let now = self.started.elapsed();
            while *next < lines && client.out().len() < POUR.0 {
                self.ledger.say(*next, now, client.out());
                *next += senders;
                self.talk.said += 1;
            }
            if !client.is_up() || !client.send() || *next >= lines {
                return;
            }
        }
        self.talk.eager.push(index);
    }

    /// Lines said so far.
    pub(crate) const fn said(&self) -> u32 {
        self.talk.said
    }

    /// Those who never read read now, to see whether they were cut; whether anything came.
    pub(crate) fn drain_extras(&mut self) -> bool {
        self.extras.drain(&mut self.buffer)
    }
}

fn system(error: &std::io::Error) -> String {
    format!("the system says: {}", os_error::text(error))
}

/// The beginning of what a server said, fit to be shown.
fn shown(bytes: &[u8]) -> String {
    let (beginning, more) = match bytes.get(..MOST_SHOWN) {
        Some(beginning) => (beginning, "…"),
        None => (bytes, ""),
    };
    format!("{}{more}", String::from_utf8_lossy(&escape::escape(beginning)))
}
