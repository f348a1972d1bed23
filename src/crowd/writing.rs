//! The step of a turn in which readers are given what they lack.

use super::{Crowd, Due, Limits, Timer};
use crate::clock::Moment;
use crate::connection::{Connection, Line, Phase};
use crate::room::Room;
use crate::roster::Key;
use crate::socket::Socket;
use crate::timers::Timers;
use log::trace;
use std::collections::VecDeque;
use std::time::Duration;

/// How long a connection that we ended may take to end its side.
const LINGER: Duration = Duration::from_secs(2);

impl<S: Socket> Crowd<S> {
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
        for place in self.roster.places(self.rounds) {
            let Some((key, connection)) = self.roster.at(place) else { continue };
            self.counters.written += after.write(key, connection, &self.room, &self.limits, now);
            if connection.is_behind(&self.room) {
                self.behind.push(key);
            }
        }
        self.room.all_were_served();
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
            let Some(connection) = self.roster.get_mut(key) else { continue };
            let was_behind = connection.is_behind(&self.room);
            let written = after.write(key, connection, &self.room, &self.limits, now);
            self.counters.written += written;
            let left = connection.phase() != Phase::Staying;
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
        self.behind.retain(|&key| self.roster.get_mut(key).is_some_and(|c| c.is_behind(room)));
        let before = room.room();
        let slowest = self.behind.iter().filter_map(|&key| self.roster.get(key));
        self.room.release(slowest.map(|connection| (connection.view(), connection.cursor())));
        if self.room.room() > before && self.room.has_room_for_a_flood() {
            self.let_held_go();
        }
    }

    /// Senders who waited are read again, before those who were read last: else these would take the
    /// room each time.
    pub(super) fn let_held_go(&mut self) {
        for key in self.held.drain(..).rev() {
            if let Some(connection) = self.roster.get_mut(key) {
                connection.line = Line::Ready;
                self.ready.push_front(key);
            }
        }
    }
}

/// Where a write's consequences are noted.
struct After<'a> {
    due: &'a mut Vec<Key>,
    ready: &'a mut VecDeque<Key>,
    over: &'a mut Vec<Key>,
    timers: &'a mut Timers<Timer>,
}

impl After<'_> {
    /// Writes to one connection if it lacks anything, and takes the next step of its ending; returns
    /// the bytes written.
    fn write<S: Socket>(
        &mut self,
        key: Key,
        connection: &mut Connection<S>,
        room: &Room,
        limits: &Limits,
        now: Moment,
    ) -> u64 {
        let mut written = 0;
        if connection.writable && connection.is_owed(room) {
            written = connection.write(room);
            trace!("{}: {written} bytes written", connection.peer());
            if connection.writable && connection.is_owed(room) {
                self.due.push(key);
            }
        }
        if connection.phase() == Phase::Ending {
            self.timers.set_if_none(Timer::Connection(key, Due::End), now.after(limits.farewell));
            if connection.settle(room) {
                self.timers.set(Timer::Connection(key, Due::End), now.after(LINGER));
            }
        }
        if connection.line == Line::Resting {
            // Who cannot be told anything any more is not heard at its rate for hours either.
            connection.give_up_deaf();
        }
        if connection.phase() == Phase::Over {
            self.over.push(key);
        } else if connection.readable && connection.line == Line::Out {
            connection.line = Line::Ready;
            self.ready.push_back(key);
        }
        written as u64
    }
}
