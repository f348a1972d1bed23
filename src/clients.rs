//! The table of connected clients, and the steps of a turn: read, write, disconnect, remove.
//!
//! Nothing here waits, and nothing knows the poll: the server reports which sockets are ready, calls the
//! steps in their order, and asks for the next deadline.

mod admit;
pub mod close_reason;
pub mod connection;
mod handle;
mod network_rates;
pub mod operator;
mod private;
mod read;
mod read_queue;
pub mod refusal;
mod shutdown;
mod stall;
pub mod stats;
mod timers;
mod write;

pub use timers::ClientTimer;

use crate::chat::room::Room;
use crate::logging::burst_limit::BurstLimit;
use crate::net::bans::Bans;
use crate::net::fd_limit::ConnectionBudget;
use crate::net::peer::Peer;
use crate::net::per_network::PerNetwork;
use crate::net::transport::Transport;
use crate::util::clock::Moment;
use crate::util::id_slab::{ClientId, IdSlab};
use crate::util::timers::Timers;
use crate::util::trim::{TrimMemory, is_unused, trim_deque, trim_vec};
use close_reason::CloseReason;
use connection::{Connection, LineSource};
use log::{Level, log, log_enabled, warn};
use network_rates::NetworkRates;
use read_queue::ReadQueue;
pub use read_queue::ReadTurn;
use stats::Stats;
use std::collections::VecDeque;
use std::time::Duration;

/// How many clients there may be, and their timeouts.
#[derive(Debug, Clone, Copy)]
pub struct ClientLimits {
    /// How many connections fit.
    pub connections: ConnectionBudget,
    /// The most clients from one network; `None` = no limit.
    pub per_network: Option<usize>,
    /// Clients that send nothing for this long are disconnected; `None` = never. Less than 49 days.
    pub idle_timeout: Option<Duration>,
    /// An unfinished line becomes a message after this long without input; `None` = never.
    pub flush_after: Option<Duration>,
    /// How long a client may take to receive what is pending when its connection closes.
    pub close_timeout: Duration,
    /// How long the greeting of a new client is held: see [`GREET_AFTER`](Self::GREET_AFTER).
    pub greet_after: Duration,
}

impl ClientLimits {
    /// An HTTP client shows a response only if nothing comes before it, so the greeting waits for a request. A client
    /// sends it as soon as it is connected: curl within 1 ms on an idle machine.
    pub const GREET_AFTER: Duration = Duration::from_millis(10);
}

/// Each list of clients always keeps memory for this many entries. Otherwise the list that grew last would be at
/// the top of the heap, and malloc could not return the memory below it.
const MIN_RETAINED: usize = 1024;

/// A client that is blocked: it is not read until the feeds have space.
#[derive(Debug, Clone, Copy)]
struct Blocked {
    id: ClientId,
    /// The free space that the client waits for: what the known part of its next line takes at most.
    space: usize,
}

/// The room and its clients.
#[derive(Debug)]
pub struct Clients<S> {
    room: Room,
    limits: ClientLimits,
    slots: IdSlab<Connection<S>>,
    /// How many connections in `slots` were refused. Their input is read and dropped until their peer closes.
    refusals: usize,
    per_network: PerNetwork,
    network_rates: NetworkRates,
    timers: Timers<(ClientId, ClientTimer)>,
    /// New clients whose greeting is held, and until when, the oldest first.
    greetings: VecDeque<(Moment, ClientId)>,
    /// When readers that hold up the room are disconnected.
    stall_deadline: Option<Moment>,
    /// Clients that may have input.
    queue: ReadQueue,
    /// Clients that wait for space in the feeds, the oldest first.
    blocked: Vec<Blocked>,
    /// Clients to write to or to close in the next write step.
    due: Vec<ClientId>,
    /// Readers that were still behind after the last write to all clients, or that joined with history after it.
    behind: Vec<ClientId>,
    /// Clients whose connections are closed. The sweep removes them.
    closed: Vec<ClientId>,
    /// Number of writes to all clients: it decides which client is first.
    rotation: usize,
    /// The buffer of one read; all clients share it.
    buffer: Box<[u8]>,
    /// Bytes of unparsed input of all clients.
    unparsed: usize,
    log_limit: BurstLimit,
    /// Addresses whose clients are muted.
    mutes: Bans,
    /// Totals since the start.
    pub stats: Stats,
}

impl<S: Transport> Clients<S> {
    /// An empty room.
    pub fn new(room: Room, limits: ClientLimits) -> Self {
        Self {
            network_rates: NetworkRates::new(room.admission().rate_limit()),
            room,
            limits,
            slots: IdSlab::new(limits.connections.clients.saturating_add(limits.connections.refusals)),
            refusals: 0,
            per_network: PerNetwork::new(limits.per_network),
            timers: Timers::new(),
            greetings: VecDeque::with_capacity(MIN_RETAINED),
            stall_deadline: None,
            queue: ReadQueue::new(),
            blocked: Vec::with_capacity(MIN_RETAINED),
            due: Vec::with_capacity(MIN_RETAINED),
            behind: Vec::with_capacity(MIN_RETAINED),
            closed: Vec::with_capacity(MIN_RETAINED),
            rotation: 0,
            buffer: read::new_buffer(),
            unparsed: 0,
            log_limit: BurstLimit::default(),
            mutes: Bans::default(),
            stats: Stats::default(),
        }
    }

    /// The room.
    pub const fn room(&self) -> &Room {
        &self.room
    }

    /// The connection of a client; `None` if it was removed.
    pub fn connection(&self, id: ClientId) -> Option<&Connection<S>> {
        self.slots.get(id)
    }

    /// How many clients are in the room.
    pub fn online(&self) -> usize {
        self.slots.len() - self.refusals
    }

    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes of unparsed input of all clients.
    pub const fn unparsed(&self) -> usize {
        self.unparsed
    }

    /// Whether the next turn has work even without an event or a deadline.
    pub fn has_work(&self) -> bool {
        !(self.queue.is_empty() && self.due.is_empty() && self.closed.is_empty()) || self.room.has_unwritten()
    }

    /// The next deadline of any client or of the room.
    pub fn next_deadline(&self) -> Option<Moment> {
        let greeting = self.greetings.front().map(|&(at, _)| at);
        self.timers.next().into_iter().chain(self.stall_deadline).chain(greeting).min()
    }

    /// Removes closed connections; returns whether there were any.
    pub fn sweep(&mut self, now: Moment) -> bool {
        let mut removed = false;
        let mut closed = std::mem::take(&mut self.closed);
        for id in closed.drain(..) {
            let Some(connection) = self.slots.remove(id) else { continue };
            for timer in ClientTimer::ALL {
                self.timers.cancel((id, timer));
            }
            if let Some(line_source) = connection.line_source {
                self.room.leave(id);
                self.room.remove_reader(connection.view());
                self.per_network.remove(connection.peer());
                if line_source != LineSource::Network {
                    self.network_rates.give_back(connection.peer(), connection.rate.usage(), now);
                }
            } else {
                self.refusals -= 1;
            }
            self.unparsed -= connection.unparsed_len();
            if let Some(reason) = connection.close_reason() {
                self.log_close(&connection, reason, now);
            }
            removed = true;
        }
        self.closed = closed;
        if removed {
            self.blocked.retain(|blocked| self.slots.get(blocked.id).is_some());
            self.reclaim_feeds(now);
        }
        removed
    }

    fn log_close(&mut self, connection: &Connection<S>, reason: CloseReason, now: Moment) {
        if connection.decoder.held() > 0 {
            self.stats.torn += 1;
        }
        let behind = match reason {
            CloseReason::StalledReader => {
                let feed = self.room.feed(connection.view());
                format!(", {} bytes behind", feed.behind(connection.cursor()))
            }
            _ => String::new(),
        };
        self.count_close(connection.peer(), reason, &behind, now);
    }

    /// Counts a closed connection and logs it, with `details` after the reason.
    fn count_close(&mut self, peer: Peer, reason: CloseReason, details: &str, now: Moment) {
        self.stats.closed[reason.index()] += 1;
        if reason.is_always_logged() || self.take_log_budget(reason.level(), now) {
            log!(reason.level(), "{peer} {reason}{details}, {} online", self.online());
        }
    }

    /// Whether one more line about a join or a leave may be logged. Counts the line.
    fn take_log_budget(&mut self, level: Level, now: Moment) -> bool {
        // A line below the level of the log does not count.
        let is_allowed = log_enabled!(level) && self.log_limit.allows(now);
        if is_allowed {
            self.log_suppressed();
        }
        is_allowed
    }

    /// Logs how many joins and leaves have no log line of their own.
    pub fn log_suppressed(&mut self) {
        if let Some(count) = self.log_limit.take_suppressed() {
            warn!("{count} joins and leaves were too fast to be logged one by one");
        }
    }
}

impl<S> Clients<S> {
    const fn lists(&self) -> [&Vec<ClientId>; 3] {
        [&self.due, &self.behind, &self.closed]
    }

    fn parts(&mut self) -> [&mut dyn TrimMemory; 5] {
        [&mut self.room, &mut self.per_network, &mut self.slots, &mut self.timers, &mut self.queue]
    }
}

impl<S> TrimMemory for Clients<S> {
    fn has_slack(&self) -> bool {
        let parts: [&dyn TrimMemory; 5] =
            [&self.room, &self.per_network, &self.slots, &self.timers, &self.queue];
        parts.iter().any(|part| part.has_slack())
            || is_unused(self.blocked.len(), self.blocked.capacity(), MIN_RETAINED)
            || is_unused(self.greetings.len(), self.greetings.capacity(), MIN_RETAINED)
            || self.lists().iter().any(|list| is_unused(list.len(), list.capacity(), MIN_RETAINED))
    }

    fn trim(&mut self) {
        self.parts().into_iter().for_each(TrimMemory::trim);
        trim_vec(&mut self.blocked, MIN_RETAINED);
        trim_deque(&mut self.greetings, MIN_RETAINED);
        for list in [&mut self.due, &mut self.behind, &mut self.closed] {
            trim_vec(list, MIN_RETAINED);
        }
    }
}
