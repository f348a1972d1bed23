//! The step of a turn in which readers are given what they lack.

use super::{ClientLimits, ClientTimer, Clients, Timer};
use crate::chat::room::Room;
use crate::clients::connection::{Connection, Phase, ReadState};
use crate::net::transport::Transport;
use crate::util::clock::Moment;
use crate::util::id_slab::ClientId;
use crate::util::timers::Timers;
use log::trace;
use std::collections::VecDeque;
use std::time::Duration;

/// How long a connection that we ended may take to end its side.
const LINGER: Duration = Duration::from_secs(2);

impl<S: Transport> Clients<S> {
    /// Writes once to each connection that lacks something and is writable: to all after a broadcast,
    /// else only to those known to be due. Then senders who waited for room may go on.
    pub fn write(&mut self, timers: &mut Timers<Timer>, now: Moment) {
        if self.room.told() == self.told {
            if !self.due.is_empty() {
                self.write_to_due(timers, now);
            }
        } else {
            self.told = self.room.told();
            self.write_to_all(timers, now);
        }
    }

    fn write_to_all(&mut self, timers: &mut Timers<Timer>, now: Moment) {
        self.due.clear();
        self.behind.clear();
        let mut after = After { due: &mut self.due, ready: &mut self.ready, over: &mut self.over, timers };
        // Someone is last in every round, but not always the same.
        self.rounds = self.rounds.wrapping_add(1);
        for place in self.slots.places(self.rounds) {
            let Some((key, connection)) = self.slots.at(place) else { continue };
            self.stats.written += after.write(key, connection, &self.room, &self.limits, now);
            if connection.is_behind(&self.room) {
                self.behind.push(key);
            }
        }
        self.room.mark_all_written();
        self.release();
    }

    fn write_to_due(&mut self, timers: &mut Timers<Timer>, now: Moment) {
        let mut due = std::mem::take(&mut self.due);
        // One write a turn, for however many reasons.
        due.sort_unstable();
        due.dedup();
        let mut progress = false;
        let mut after = After { due: &mut self.due, ready: &mut self.ready, over: &mut self.over, timers };
        for &key in &due {
            let Some(connection) = self.slots.get_mut(key) else { continue };
            let was_behind = connection.is_behind(&self.room);
            let written = after.write(key, connection, &self.room, &self.limits, now);
            self.stats.written += written;
            let left = connection.phase() != Phase::Open;
            progress |= left || was_behind && (written > 0 || !connection.is_behind(&self.room));
        }
        // Keeps what was allocated first, and stands low in malloc's memory.
        due.clear();
        due.append(&mut self.due);
        self.due = due;
        if progress {
            self.release();
        }
    }

    /// Lets the feed forget what nobody lacks, and the senders go on for whom that made room. What was said
    /// since all were served stays: `behind` does not know who lacks it.
    pub(super) fn release(&mut self) {
        let room = &self.room;
        self.behind.retain(|&key| self.slots.get_mut(key).is_some_and(|c| c.is_behind(room)));
        let before = room.room();
        let slowest = self.behind.iter().filter_map(|&key| self.slots.get(key));
        self.room.release(slowest.map(|connection| (connection.view(), connection.cursor())));
        if self.room.room() > before && self.room.has_bulk_space() {
            self.resume_blocked_senders();
        }
    }

    /// Senders who waited are read again, before those who were read last: else these would take the
    /// room each time.
    pub(super) fn resume_blocked_senders(&mut self) {
        for key in self.held.drain(..).rev() {
            if let Some(connection) = self.slots.get_mut(key) {
                connection.line = ReadState::Queued;
                self.ready.push_front(key);
            }
        }
    }
}

/// Where a write's consequences are noted.
struct After<'a> {
    due: &'a mut Vec<ClientId>,
    ready: &'a mut VecDeque<ClientId>,
    over: &'a mut Vec<ClientId>,
    timers: &'a mut Timers<Timer>,
}

impl After<'_> {
    /// Writes to one connection if it lacks anything, and takes the next step of its ending; returns
    /// the bytes written.
    fn write<S: Transport>(
        &mut self,
        key: ClientId,
        connection: &mut Connection<S>,
        room: &Room,
        limits: &ClientLimits,
        now: Moment,
    ) -> u64 {
        let mut written = 0;
        if connection.writable && connection.has_pending_output(room) {
            written = connection.write(room);
            trace!("{}: {written} bytes written", connection.peer());
            if connection.writable && connection.has_pending_output(room) {
                self.due.push(key);
            }
        }
        if connection.phase() == Phase::Closing {
            self.timers.set_if_none(Timer::Client(key, ClientTimer::Close), now.after(limits.close_timeout));
            if connection.settle(room) {
                self.timers.set(Timer::Client(key, ClientTimer::Close), now.after(LINGER));
            }
        }
        if connection.line == ReadState::RateLimited {
            // Who cannot be told anything any more is not heard at its rate for hours either.
            connection.abort_write_failed();
        }
        if connection.phase() == Phase::Closed {
            self.over.push(key);
        } else if connection.readable && connection.line == ReadState::Idle {
            connection.line = ReadState::Queued;
            self.ready.push_back(key);
        }
        written as u64
    }
}
