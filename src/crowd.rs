//! Everyone in the room, and what each turn does for them: read, write, say goodbye.
//!
//! Nothing here waits: the server tells which sockets are ready and calls the steps of a turn.

mod admitting;
mod letters;
mod reading;
mod writing;

use crate::clock::Moment;
use crate::connection::{Connection, Line, Phase};
use crate::counters::Counters;
use crate::descriptors::Places;
use crate::goodbye::Goodbye;
use crate::logbudget::LogBudget;
use crate::room::Room;
use crate::roster::{Key, Roster};
use crate::socket::Socket;
use crate::tally::Tally;
use crate::timers::Timers;
use log::{Level, log, log_enabled, warn};
use std::collections::VecDeque;
use std::time::Duration;

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Something that a connection waits for, or the room with it.
    Connection(Key, Due),
    /// Memory that a burst took goes back to the system.
    GiveBack,
    /// The room's patience with its slowest readers ends.
    Patience,
    /// Accepting is tried again.
    Accept,
    /// A line about who is online.
    Report,
    /// The supervisor is told who is online.
    Status,
    /// The supervisor is given a sign of life.
    Watchdog,
    /// The log is tried again.
    Log,
    /// The server stops waiting for those who are still owed something.
    Stop,
}

/// What the deadline of a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Due {
    /// Its unfinished line becomes a message, or its ending is given up.
    End,
    /// It said its lines too fast, and is heard again.
    Rest,
    /// It has said nothing for as long as one may.
    Silence,
    /// The others are told that it has come.
    Announcement,
}

impl Due {
    const ALL: [Self; 4] = [Self::End, Self::Rest, Self::Silence, Self::Announcement];
}

/// How many may come, and for how long one may be silent.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time, and those who are being told that there is no place.
    pub places: Places,
    /// Connections at a time from one network, if there is a limit.
    pub per_network: Option<usize>,
    /// Silence after which one has to leave, if there is a limit; less than 49 days.
    pub idle_timeout: Option<Duration>,
    /// Silence after which an unfinished line is taken as a message.
    pub flush_after: Option<Duration>,
    /// How long a connection that ends may take to read what it is owed.
    pub farewell: Duration,
}

/// Places that each list of connections has at first, and is given back to after a burst. Else the list
/// that grew last would stand on top of malloc's memory, and all below it would stay resident.
const KEPT: usize = 1024;

/// The room and its connections.
#[derive(Debug)]
pub struct Crowd<S> {
    room: Room,
    limits: Limits,
    roster: Roster<Connection<S>>,
    /// How many of the roster are lingering after they were turned away.
    turned_away: usize,
    /// Where those come from who are online.
    networks: Tally,
    /// Sockets that may have something to read, in turn.
    ready: VecDeque<Key>,
    /// Senders who wait until the feed has room.
    held: Vec<Key>,
    /// Connections to be written to, or to be ended, that need not wait for a report.
    due: Vec<Key>,
    /// Readers that the last writes to all left behind, or that came behind since.
    behind: Vec<Key>,
    over: Vec<Key>,
    /// [`Room::told`] when everyone was last written to.
    told: u64,
    /// Times that everyone was written to.
    rounds: usize,
    buffer: Box<[u8]>,
    log_budget: LogBudget,
    /// Totals since the start.
    pub counters: Counters,
}

impl<S: Socket> Crowd<S> {
    /// An empty room.
    pub fn new(room: Room, limits: Limits) -> Self {
        Self {
            room,
            limits,
            roster: Roster::new(limits.places.clients.saturating_add(limits.places.turned_away)),
            turned_away: 0,
            networks: Tally::new(limits.per_network),
            ready: VecDeque::with_capacity(KEPT),
            held: Vec::with_capacity(KEPT),
            due: Vec::with_capacity(KEPT),
            behind: Vec::with_capacity(KEPT),
            over: Vec::with_capacity(KEPT),
            told: 0,
            rounds: 0,
            buffer: reading::buffer(),
            log_budget: LogBudget::default(),
            counters: Counters::default(),
        }
    }

    /// The room.
    pub const fn room(&self) -> &Room {
        &self.room
    }

    /// Someone who is online or lingers; `None` once they are gone.
    pub fn connection(&self, key: Key) -> Option<&Connection<S>> {
        self.roster.get(key)
    }

    /// How many are online.
    pub fn online(&self) -> usize {
        self.roster.len() - self.turned_away
    }

    /// Whether nobody is left, not even to linger.
    pub fn is_empty(&self) -> bool {
        self.roster.is_empty()
    }

    /// Whether there is work that waits for no report and no deadline.
    pub fn has_work(&self) -> bool {
        !(self.ready.is_empty() && self.due.is_empty() && self.over.is_empty())
            || self.room.told() != self.told
    }

    /// Waits for slow readers, or ends those for whom the room waited long enough.
    pub fn be_patient(&mut self, timers: &mut Timers<Timer>, now: Moment) {
        for (view, mark) in self.room.patience_ended(now) {
            for &key in &self.behind {
                let Some(connection) = self.roster.get_mut(key) else { continue };
                let lags = self.room.feed(view).lags(connection.cursor(), mark);
                if connection.view() == view && connection.is_behind(&self.room) && lags {
                    connection.over(Goodbye::Stalled);
                    self.over.push(key);
                }
            }
        }
        match self.room.wait(!self.held.is_empty(), now) {
            Some(deadline) => timers.set(Timer::Patience, deadline),
            None => timers.cancel(Timer::Patience),
        }
    }

    /// Removes those who are over; whether there were any.
    pub fn sweep(&mut self, timers: &mut Timers<Timer>, now: Moment) -> bool {
        let mut removed = false;
        let mut over = std::mem::take(&mut self.over);
        for key in over.drain(..) {
            let Some(connection) = self.roster.remove(key) else { continue };
            for due in Due::ALL {
                timers.cancel(Timer::Connection(key, due));
            }
            if connection.is_member {
                self.room.leave(key);
                self.networks.remove(connection.peer());
            } else {
                self.turned_away -= 1;
            }
            if let Some(goodbye) = connection.goodbye() {
                self.say_goodbye(&connection, goodbye, now);
            }
            removed = true;
        }
        self.over = over;
        if removed {
            self.held.retain(|&key| self.roster.get(key).is_some());
            self.release();
        }
        removed
    }

    /// The server stops: everyone is given what they are owed, and nothing is read any more.
    pub fn stop(&mut self, timers: &mut Timers<Timer>) {
        for (key, connection) in self.roster.iter_mut() {
            if connection.phase() == Phase::Staying {
                for due in Due::ALL {
                    timers.cancel(Timer::Connection(key, due));
                }
                connection.end(Goodbye::Stopping, &self.room);
            }
            if connection.line == Line::Resting {
                connection.line = Line::Out;
            }
            if connection.phase() == Phase::Over {
                self.over.push(key);
            } else {
                self.due.push(key);
            }
        }
        // What they said and was not read is no longer heard, but drained.
        self.let_held_go();
    }

    /// Whether much memory is kept that a burst once took.
    pub fn is_swollen(&self) -> bool {
        let lists = [&self.held, &self.due, &self.behind, &self.over];
        self.room.is_swollen()
            || self.roster.is_swollen()
            || self.networks.is_swollen()
            || self.ready.is_empty() && self.ready.capacity() > KEPT
            || lists.iter().any(|list| list.is_empty() && list.capacity() > KEPT)
    }

    /// Gives the memory that a burst took back to the system, as far as nobody uses it.
    pub fn give_back(&mut self) {
        self.room.give_back();
        self.networks.give_back();
        self.roster.give_back();
        if self.ready.is_empty() {
            self.ready = VecDeque::new();
            self.ready.reserve(KEPT);
        }
        for list in [&mut self.held, &mut self.due, &mut self.behind, &mut self.over] {
            if list.is_empty() {
                // Freed first, and so not merely cut short where it stands.
                *list = Vec::new();
                list.reserve(KEPT);
            }
        }
    }

    /// Gives up all who are still owed something.
    pub fn give_up_writing(&mut self) {
        for (key, connection) in self.roster.iter_mut() {
            if connection.phase() != Phase::Draining {
                connection.give_up();
                self.over.push(key);
            }
        }
    }

    fn say_goodbye(&mut self, connection: &Connection<S>, goodbye: Goodbye, now: Moment) {
        self.counters.ended[goodbye.index()] += 1;
        if connection.unfinished() > 0 {
            self.counters.torn += 1;
        }
        // A cut or a fault is news however many come and go.
        if goodbye.is_news() || self.may_log(goodbye.level(), now) {
            let behind = match goodbye {
                Goodbye::Stalled => {
                    format!(
                        ", {} bytes behind",
                        self.room.feed(connection.view()).behind(connection.cursor())
                    )
                }
                _ => String::new(),
            };
            log!(goodbye.level(), "{} {goodbye}{behind}, {} online", connection.peer(), self.online());
        }
    }

    /// Whether one more line about someone's coming or going may be logged.
    fn may_log(&mut self, level: Level, now: Moment) -> bool {
        // What is not logged anyway costs nothing.
        let is_allowed = log_enabled!(level) && self.log_budget.allows(now);
        if is_allowed {
            self.log_what_was_not();
        }
        is_allowed
    }

    /// Says how many came or went without a line of their own.
    pub fn log_what_was_not(&mut self) {
        if let Some(count) = self.log_budget.take_unlogged() {
            warn!("so many came or went too fast to be logged: {count}");
        }
    }
}
