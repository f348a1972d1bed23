//! Everyone in the room, and what each turn does for them: read, write, say close_reason.
//!
//! Nothing here waits: the server tells which sockets are ready and calls the steps of a turn.

mod admit;
pub mod close_reason;
pub mod connection;
mod private;
mod read;
pub mod stats;
mod write;

use crate::chat::room::Room;
use crate::clients::close_reason::CloseReason;
use crate::clients::connection::{Connection, Phase, ReadState};
use crate::clients::stats::Stats;
use crate::logging::burst_limit::BurstLimit;
use crate::net::fd_limit::ConnectionBudget;
use crate::net::per_network::PerNetwork;
use crate::net::transport::Transport;
use crate::util::clock::Moment;
use crate::util::id_slab::{ClientId, IdSlab};
use crate::util::timers::Timers;
use crate::util::trim::{self, TrimMemory};
use log::{Level, log, log_enabled, warn};
use std::collections::VecDeque;
use std::time::Duration;

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Something that a connection waits for, or the room with it.
    Client(ClientId, ClientTimer),
    /// Memory that a burst took goes back to the system.
    TrimMemory,
    /// The room's patience with its slowest readers ends.
    Stall,
    /// Accepting is tried again.
    RetryAccept,
    /// A line about who is online.
    Report,
    /// The supervisor is told who is online.
    Status,
    /// The supervisor is given a sign of life.
    Watchdog,
    /// The log is tried again.
    RetryLog,
    /// The server stops waiting for those who are still owed something.
    ShutdownDeadline,
}

/// What the deadline of a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientTimer {
    /// Its unfinished line becomes a message, or its ending is given up.
    Close,
    /// It said its lines too fast, and is heard again.
    RateLimit,
    /// It has said nothing for as long as one may.
    Idle,
    /// The others are told that it has come.
    AnnounceJoin,
}

impl ClientTimer {
    const ALL: [Self; 4] = [Self::Close, Self::RateLimit, Self::Idle, Self::AnnounceJoin];
}

/// How many may come, and for how long one may be silent.
#[derive(Debug, Clone, Copy)]
pub struct ClientLimits {
    /// Connections at a time, and those who are being told that there is no place.
    pub places: ConnectionBudget,
    /// Connections at a time from one network, if there is a limit.
    pub per_network: Option<usize>,
    /// Silence after which one has to leave, if there is a limit; less than 49 days.
    pub idle_timeout: Option<Duration>,
    /// Silence after which an unfinished line is taken as a message.
    pub flush_after: Option<Duration>,
    /// How long a connection that ends may take to read what it is owed.
    pub close_timeout: Duration,
}

/// ConnectionBudget that each list of connections has at first, and is given back to after a burst. Else the list
/// that grew last would stand on top of malloc's memory, and all below it would stay resident.
const KEPT: usize = 1024;

/// The room and its connections.
#[derive(Debug)]
pub struct Clients<S> {
    room: Room,
    limits: ClientLimits,
    slots: IdSlab<Connection<S>>,
    /// How many of the roster are lingering after they were turned away.
    refusals: usize,
    /// Where those come from who are online.
    per_network_counts: PerNetwork,
    /// Sockets that may have something to read, in turn.
    ready: VecDeque<ClientId>,
    /// Senders who wait until the feed has room.
    held: Vec<ClientId>,
    /// Connections to be written to, or to be ended, that need not wait for a report.
    due: Vec<ClientId>,
    /// Readers that the last writes to all left behind, or that came behind since.
    behind: Vec<ClientId>,
    over: Vec<ClientId>,
    /// [`Room::told`] when everyone was last written to.
    told: u64,
    /// Times that everyone was written to.
    rounds: usize,
    buffer: Box<[u8]>,
    log_limit: BurstLimit,
    /// Totals since the start.
    pub stats: Stats,
}

impl<S: Transport> Clients<S> {
    /// An empty room.
    pub fn new(room: Room, limits: ClientLimits) -> Self {
        Self {
            room,
            limits,
            slots: IdSlab::new(limits.places.clients.saturating_add(limits.places.refusals)),
            refusals: 0,
            per_network_counts: PerNetwork::new(limits.per_network),
            ready: VecDeque::with_capacity(KEPT),
            held: Vec::with_capacity(KEPT),
            due: Vec::with_capacity(KEPT),
            behind: Vec::with_capacity(KEPT),
            over: Vec::with_capacity(KEPT),
            told: 0,
            rounds: 0,
            buffer: read::buffer(),
            log_limit: BurstLimit::default(),
            stats: Stats::default(),
        }
    }

    /// The room.
    pub const fn room(&self) -> &Room {
        &self.room
    }

    /// Someone who is online or lingers; `None` once they are gone.
    pub fn connection(&self, key: ClientId) -> Option<&Connection<S>> {
        self.slots.get(key)
    }

    /// How many are online.
    pub fn online(&self) -> usize {
        self.slots.len() - self.refusals
    }

    /// Whether nobody is left, not even to linger.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether there is work that waits for no report and no deadline.
    pub fn has_work(&self) -> bool {
        !(self.ready.is_empty() && self.due.is_empty() && self.over.is_empty())
            || self.room.told() != self.told
    }

    /// Waits for slow readers, or ends those for whom the room waited long enough.
    pub fn disconnect_stalled(&mut self, timers: &mut Timers<Timer>, now: Moment) {
        for (view, mark) in self.room.take_expired_stall(now) {
            for &key in &self.behind {
                let Some(connection) = self.slots.get_mut(key) else { continue };
                let is_stalled = self.room.feed(view).is_stalled(connection.cursor(), mark);
                if connection.view() == view && connection.is_behind(&self.room) && is_stalled {
                    connection.over(CloseReason::StalledReader);
                    self.over.push(key);
                }
            }
        }
        match self.room.wait(!self.held.is_empty(), now) {
            Some(deadline) => timers.set(Timer::Stall, deadline),
            None => timers.cancel(Timer::Stall),
        }
    }

    /// Removes those who are over; whether there were any.
    pub fn sweep(&mut self, timers: &mut Timers<Timer>, now: Moment) -> bool {
        let mut removed = false;
        let mut over = std::mem::take(&mut self.over);
        for key in over.drain(..) {
            let Some(connection) = self.slots.remove(key) else { continue };
            for due in ClientTimer::ALL {
                timers.cancel(Timer::Client(key, due));
            }
            if connection.is_member {
                self.room.leave(key);
                self.per_network_counts.remove(connection.peer());
            } else {
                self.refusals -= 1;
            }
            if let Some(close_reason) = connection.close_reason() {
                self.log_close(&connection, close_reason, now);
            }
            removed = true;
        }
        self.over = over;
        if removed {
            self.held.retain(|&key| self.slots.get(key).is_some());
            self.release();
        }
        removed
    }

    /// The server stops: everyone is given what they are owed, and nothing is read any more.
    pub fn stop(&mut self, timers: &mut Timers<Timer>) {
        for (key, connection) in self.slots.iter_mut() {
            if connection.phase() == Phase::Open {
                for due in ClientTimer::ALL {
                    timers.cancel(Timer::Client(key, due));
                }
                connection.end(CloseReason::ShuttingDown, &self.room);
            }
            if connection.line == ReadState::RateLimited {
                connection.line = ReadState::Idle;
            }
            if connection.phase() == Phase::Closed {
                self.over.push(key);
            } else {
                self.due.push(key);
            }
        }
        // What they said and was not read is no longer heard, but drained.
        self.resume_blocked_senders();
    }

    /// Whether much memory is kept that a burst once took.
    pub fn has_slack(&self) -> bool {
        let lists = [&self.held, &self.due, &self.behind, &self.over];
        self.room.has_slack()
            || self.slots.has_slack()
            || self.per_network_counts.has_slack()
            || trim::is_unused(self.ready.len(), self.ready.capacity(), KEPT)
            || lists.iter().any(|list| trim::is_unused(list.len(), list.capacity(), KEPT))
    }

    /// Gives the memory that a burst took back to the system, as far as nobody uses it.
    pub fn trim_memory(&mut self) {
        self.room.trim_memory();
        self.per_network_counts.trim();
        self.slots.trim();
        trim::trim_deque(&mut self.ready, KEPT);
        for list in [&mut self.held, &mut self.due, &mut self.behind, &mut self.over] {
            trim::trim_vec(list, KEPT);
        }
    }

    /// Gives up all who are still owed something.
    pub fn abort_pending_writes(&mut self) {
        for (key, connection) in self.slots.iter_mut() {
            if connection.phase() != Phase::Draining {
                connection.give_up();
                self.over.push(key);
            }
        }
    }

    fn log_close(&mut self, connection: &Connection<S>, close_reason: CloseReason, now: Moment) {
        self.stats.ended[close_reason.index()] += 1;
        if connection.unfinished() > 0 {
            self.stats.torn += 1;
        }
        // A cut or a fault is news however many come and go.
        if close_reason.is_always_logged() || self.take_log_budget(close_reason.level(), now) {
            let behind = match close_reason {
                CloseReason::StalledReader => {
                    format!(
                        ", {} bytes behind",
                        self.room.feed(connection.view()).behind(connection.cursor())
                    )
                }
                _ => String::new(),
            };
            log!(
                close_reason.level(),
                "{} {close_reason}{behind}, {} online",
                connection.peer(),
                self.online()
            );
        }
    }

    /// Whether one more line about someone's coming or going may be logged.
    fn take_log_budget(&mut self, level: Level, now: Moment) -> bool {
        // What is not logged anyway costs nothing.
        let is_allowed = log_enabled!(level) && self.log_limit.allows(now);
        if is_allowed {
            self.log_suppressed();
        }
        is_allowed
    }

    /// Says how many came or went without a line of their own.
    pub fn log_suppressed(&mut self) {
        if let Some(count) = self.log_limit.take_suppressed() {
            warn!("so many came or went too fast to be logged: {count}");
        }
    }
}
