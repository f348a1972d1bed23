//! Connections that are not admitted to the room yet: a table with a deadline for each, a limit on their input and a
//! limit on their number. Nothing of them shows in names, counts or `/who`.
//!
//! A connection takes these steps as far as its listener and its peer need them: PROXY header, TLS handshake,
//! password. A connection that needs none of them is admitted at once.

mod newcomer;
pub mod password_step;
pub mod rules;

use crate::chat::text::NOT_ALLOWED;
use crate::clients::Clients;
use crate::clients::close_reason::CloseReason;
use crate::clients::refusal::Refusal;
use crate::net::bans::Bans;
use crate::net::peer::Peer;
use crate::net::stream::Stream;
use crate::net::transport::PlainStream;
use crate::util::clock::Moment;
use crate::util::id_slab::ClientId;
use crate::util::timers::Timers;
use crate::wire::view::View;
use mio::event::Source;
use mio::{Interest, Registry, Token};
use newcomer::{Newcomer, Next};
use rules::EntryRules;
use slab::Slab;
use std::collections::VecDeque;
use std::time::Duration;

/// How long the steps may take together.
const DEADLINE: Duration = Duration::from_secs(10);
/// The most TLS handshakes that go on in one turn. A step of one takes about a millisecond (an RSA signature of 2,048
/// bits), so a turn takes less than 20 ms longer.
const HANDSHAKES_PER_TURN: usize = 16;
const INTERESTS: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// What the steps need of the server.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The rules.
    pub rules: &'a mut EntryRules,
    /// The addresses that an operator has banned.
    pub bans: &'a Bans,
    /// The room.
    pub clients: &'a mut Clients<Stream>,
    /// The poll.
    pub registry: &'a Registry,
}

impl Entry<'_> {
    /// Why a peer is refused because of its address, if it is.
    fn refusal(&self, peer: Peer, now: Moment) -> Option<Refusal> {
        let is_banned = peer.address().is_some_and(|address| self.bans.contains(address, now));
        if is_banned {
            let text = format!("{NOT_ALLOWED}your address is banned");
            return Some(Refusal::new(CloseReason::AddressBanned, text));
        }
        self.rules.refusal(peer)
    }

    /// Refuses a connection that took the spare file descriptor, and closes it at once.
    pub fn refuse_without_descriptor(&mut self, arrival: Arrival, now: Moment) {
        let Arrival { socket, view, tls, peer } = arrival;
        let newcomer = Newcomer::new(socket.into(), view, peer, false, tls);
        if let Next::Refuse(refusal) = newcomer.refusal(Refusal::no_descriptor())
            && let Some(stream) = newcomer.into_stream()
        {
            self.clients.refuse_at_once(stream, view, peer, &refusal, now);
        }
    }

    /// Ends the time of a connection before its admission, as `next` says.
    fn finish(&mut self, mut newcomer: Newcomer, next: Next, now: Moment) {
        newcomer.unreserve(self.clients);
        let Newcomer { view, peer, is_registered, .. } = newcomer;
        let registry = self.registry;
        let register = |stream: &mut Stream, id: ClientId| {
            let token = Token(id.number());
            // What is pending on a registered socket causes an event again.
            if is_registered {
                stream.reregister(registry, token, INTERESTS)
            } else {
                stream.register(registry, token, INTERESTS)
            }
        };
        match (next, newcomer.into_stream()) {
            (Next::Admit(input), Some(stream)) => {
                if let Some(id) = self.clients.admit(stream, view, peer, now, register)
                    && is_registered
                {
                    self.clients.hand_over(id, &input, now);
                }
            }
            (Next::Refuse(refusal), Some(stream)) => {
                self.clients.refuse_new(stream, view, peer, &refusal, now, register);
            }
            (Next::Close(reason, details), _) => {
                self.clients.count_unadmitted(peer, reason, &details, now);
            }
            (Next::Wait(_) | Next::Again | Next::Admit(_) | Next::Refuse(_), _) => {}
        }
    }
}

/// A new connection.
#[derive(Debug)]
pub struct Arrival {
    /// Its socket.
    pub socket: PlainStream,
    /// How it will see the room.
    pub view: View,
    /// Whether it is encrypted.
    pub tls: bool,
    /// Its peer.
    pub peer: Peer,
}

/// Connections that are not admitted yet.
#[derive(Debug)]
pub struct Pending {
    slots: Slab<Newcomer>,
    max: usize,
    first_token: usize,
    /// Connections that may go on.
    queue: VecDeque<usize>,
    timers: Timers<(usize, Timer)>,
    /// How many have come; it orders them by age.
    entered: u64,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    /// The end of its time.
    Deadline,
    /// The prompt for the password, which is held: see [`GREET_AFTER`](crate::clients::ClientLimits::GREET_AFTER).
    Prompt,
    /// Nothing followed its first bytes, which may be those of another protocol.
    Opening,
    /// The refusal after a wrong password.
    Refusal,
}

impl Timer {
    const ALL: [Self; 4] = [Self::Deadline, Self::Prompt, Self::Opening, Self::Refusal];
}

impl Pending {
    /// The most connections in the table. More may be handled in one turn, but rarely are.
    pub const MAX: usize = 1024;
    /// An empty table for at most `max` connections, at most [`MAX`](Self::MAX). Their poll tokens are `first_token`
    /// and those after it.
    pub fn new(max: usize, first_token: usize) -> Self {
        Self {
            first_token,
            slots: Slab::new(),
            max: max.min(Self::MAX),
            queue: VecDeque::new(),
            timers: Timers::new(),
            entered: 0,
        }
    }

    /// The number of connections.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether the next turn has work even without an event or a deadline.
    pub fn has_work(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The next deadline.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.timers.next()
    }

    /// Closes all connections.
    pub fn close(&mut self) {
        *self = Self::new(0, self.first_token);
    }

    /// Marks the connection in that slot as ready.
    pub fn mark_ready(&mut self, slot: usize) {
        self.enqueue(slot);
    }

    fn enqueue(&mut self, slot: usize) {
        if let Some(newcomer) = self.slots.get_mut(slot)
            && !newcomer.is_queued
        {
            newcomer.is_queued = true;
            self.queue.push_back(slot);
        }
    }

    /// Takes a new connection: it is admitted or refused at once, or enters the table.
    pub fn enter(&mut self, arrival: Arrival, entry: &mut Entry<'_>, now: Moment) {
        let Arrival { socket, view, tls, peer } = arrival;
        let is_proxy = entry.rules.is_proxy(peer);
        let has_steps = is_proxy || tls || entry.rules.password.is_some();
        let mut newcomer = Newcomer::new(socket.into(), view, peer, is_proxy, tls);
        // For a proxy this comes after its header: the address that it tells counts.
        let mut refusal = if is_proxy { None } else { entry.refusal(peer, now) };
        if refusal.is_none() && has_steps && !is_proxy {
            refusal = newcomer.reserve(entry.clients).err();
        }
        if let Some(refusal) = refusal {
            let next = newcomer.refusal(refusal);
            return entry.finish(newcomer, next, now);
        }
        if !has_steps {
            return entry.finish(newcomer, Next::Admit(Vec::new()), now);
        }
        if self.slots.len() >= self.max {
            self.evict(peer, entry, now);
        }
        self.entered += 1;
        newcomer.number = self.entered;
        let slot = self.slots.insert(newcomer);
        let token = Token(self.first_token + slot);
        let registered = self.slots[slot].register(entry.registry, token);
        if let Err(error) = registered {
            let reason = CloseReason::RegisterFailed(error.kind());
            return self.apply(slot, Next::Close(reason, String::new()), entry, now);
        }
        self.timers.set((slot, Timer::Deadline), now.after(DEADLINE));
        self.enqueue(slot);
    }

    /// Makes room for a connection of `peer`: refuses the oldest of its network, or if there is none the oldest of
    /// all. So one network cannot keep the others out.
    fn evict(&mut self, peer: Peer, entry: &mut Entry<'_>, now: Moment) {
        let network = peer.network();
        let age = |&(_, newcomer): &(usize, &Newcomer)| (newcomer.peer.network() != network, newcomer.number);
        if let Some((slot, newcomer)) = self.slots.iter().min_by_key(age) {
            let refusal = Refusal::for_now(CloseReason::TooManyNewcomers, "too many newcomers");
            let next = newcomer.refusal(refusal);
            self.apply(slot, next, entry, now);
        }
    }

    /// Takes the steps that are possible now.
    pub fn run(&mut self, entry: &mut Entry<'_>, now: Moment) {
        while let Some((slot, timer)) = self.timers.pop(now) {
            if let Some(newcomer) = self.slots.get_mut(slot) {
                let next = newcomer.on_timer(timer, entry, now);
                self.apply(slot, next, entry, now);
            }
        }
        let mut handshakes = HANDSHAKES_PER_TURN;
        for _ in 0..self.queue.len() {
            if handshakes == 0 {
                break;
            }
            let Some(slot) = self.queue.pop_front() else { break };
            let Some(newcomer) = self.slots.get_mut(slot) else { continue };
            newcomer.is_queued = false;
            let next = newcomer.advance(entry, &mut handshakes, now);
            self.apply(slot, next, entry, now);
        }
    }

    fn apply(&mut self, slot: usize, next: Next, entry: &mut Entry<'_>, now: Moment) {
        match next {
            Next::Wait(None) => {}
            Next::Wait(Some((timer, delay))) => self.timers.set_if_none((slot, timer), now.after(delay)),
            Next::Again => self.enqueue(slot),
            Next::Admit(_) | Next::Refuse(_) | Next::Close(..) => {
                for timer in Timer::ALL {
                    self.timers.cancel((slot, timer));
                }
                if let Some(newcomer) = self.slots.try_remove(slot) {
                    entry.finish(newcomer, next, now);
                }
            }
        }
    }
}
