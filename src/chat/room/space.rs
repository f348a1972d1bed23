//! How much may be said while others are slow, how long they are waited for, and the memory of it all.

use super::Room;
use crate::broadcast::channel::{Channel, Space};
use crate::broadcast::feed::{Cursor, Offset};
use crate::broadcast::pace::SendRate;
use crate::chat::members::Members;
use crate::util::clock::Moment;
use crate::wire::view::View;

impl Room {
    /// This part of the feed is kept for people while a flood waits.
    const KEPT_FOR_PEOPLE: usize = 8;
    /// Who said less than this lately is a person, in bytes and in bytes a second: a typed line, however
    /// long. As many as 60 of them fit into what 1 MiB keeps for members.
    const QUIET: usize = 2048;
    /// At least so many of them fit into what a smaller feed keeps.
    const FEWEST_PEOPLE: usize = 8;
    /// While a flood waits, one person's read takes at most such a share of what is left for members, so
    /// that many who turn out to be floods do not use it up; but not less than a typed line.
    const SHARES: usize = 8;
    /// Bytes of a typed line, generously.
    const TYPED: usize = 512;
    /// A flood is not read for less than this part of the feed, 16 KiB of 1 MiB: it waits until there
    /// is room for a read that is worth its call.
    const LEAST_READ: usize = 64;

    /// How much may be read from a sender who has `held` bytes of an unfinished line, so that all of it is
    /// sure to find room in every view; none where the sender has to wait.
    pub fn may_read(&self, pace: &SendRate, held: usize, now: Moment) -> Space {
        let flood = self.bulk_budget(held);
        if flood.is_some() {
            return flood;
        }
        let quiet = self.quiet();
        // Whoever comes anew each time may use half of what is kept, and no more.
        let for_others = if pace.is_new(now) { self.interactive_reserve() / 2 } else { 0 };
        let Space { bytes: left, lines } = self.space(for_others, held);
        let bytes = if pace.is_one_line(held, quiet, now) {
            // The rest of a line that a person began, and its line end.
            left.min((self.config.rules.max_line + 2).saturating_sub(held))
        } else if pace.is_interactive(quiet, now) {
            (left / Self::SHARES).max(left.min(Self::TYPED)).min(quiet)
        } else {
            0
        };
        Space { bytes, lines }
    }

    /// Whether senders who wait for room may try again.
    pub fn has_bulk_space(&self) -> bool {
        self.bulk_budget(0).is_some()
    }

    /// What may be read from a sender however much it says.
    fn bulk_budget(&self, held: usize) -> Space {
        let space = self.space(self.interactive_reserve(), held);
        if space.bytes >= self.least_read() {
            return space;
        }
        // Where no reader is_stalled so far that it could be cut for it, nobody waits: a line finds room.
        let is_half_free = self.channels.iter().all(|hall| hall.feed().is_half_free());
        let line = self.config.rules.max_line + "\r\n".len();
        if is_half_free { Space { bytes: line.saturating_sub(held), lines: 1 } } else { Space::NONE }
    }

    /// Bytes of each feed that a flood leaves to members.
    const fn interactive_reserve(&self) -> usize {
        self.config.feed / Self::KEPT_FOR_PEOPLE
    }

    /// Bytes of the least read of a flood that is worth its call.
    fn least_read(&self) -> usize {
        (self.config.feed / Self::LEAST_READ).max(1)
    }

    fn space(&self, kept: usize, held: usize) -> Space {
        let spaces = self.channels.iter().map(|hall| hall.space(kept, held));
        spaces.fold(Space::ENDLESS, Space::and)
    }

    /// Whether an unfinished line of `held` bytes finds room.
    pub fn has_room_for(&self, held: usize) -> bool {
        self.channels.iter().all(|hall| hall.has_room_for(held))
    }

    /// Bytes a second that a person does not exceed.
    pub fn quiet(&self) -> usize {
        Self::QUIET.min(self.interactive_reserve() / Self::FEWEST_PEOPLE).max(1)
    }

    /// Whether much memory is kept that a burst once took.
    pub fn has_slack(&self) -> bool {
        self.channels.iter().any(|hall| hall.feed().has_slack())
            || self.members.as_ref().is_some_and(Members::has_slack)
    }

    /// Gives the memory that a burst took back to the system.
    pub fn trim_memory(&mut self) {
        self.channels.iter_mut().for_each(|hall| hall.trim_memory(self.config.history));
        if let Some(members) = &mut self.members {
            members.trim_memory();
        }
    }

    /// From now on it is known who lacks anything of what was said until now.
    pub fn mark_all_written(&mut self) {
        self.channels.iter_mut().for_each(Channel::mark_all_written);
    }

    /// Forgets what none of `readers` lacks, each with its view: give it every reader that was behind when
    /// all were served.
    pub fn release<'a>(&mut self, readers: impl Iterator<Item = (View, &'a Cursor)> + Clone) {
        for hall in &mut self.channels {
            let view = hall.view();
            let here = readers.clone().filter(|(of, _)| *of == view).map(|(_, cursor)| cursor);
            self.told += hall.release(here) as u64;
        }
    }

    /// Bytes that can be appended now, in all feeds together.
    pub fn room(&self) -> usize {
        self.channels.iter().map(|hall| hall.feed().room()).sum()
    }

    /// Notes whether senders have to wait for readers; returns when the room's patience ends.
    pub fn wait(&mut self, senders_wait: bool, now: Moment) -> Option<Moment> {
        let (kept, worth) = (self.interactive_reserve(), self.least_read());
        let timeout = self.config.stall_timeout;
        let is_cause = |hall: &Channel| hall.space(kept, 0).bytes < worth;
        // Where none is short of room for whoever says little, some are for one in a long line.
        let any_cause = senders_wait && self.channels.iter().any(is_cause);
        let waits = self.channels.iter_mut().map(|hall| {
            let is_waited_for = senders_wait && hall.is_behind() && (is_cause(hall) || !any_cause);
            hall.wait(is_waited_for, timeout, now)
        });
        waits.flatten().min()
    }

    /// The place that readers of a view had to reach, once the room has waited for it long enough.
    pub fn take_expired_stall(&mut self, now: Moment) -> Vec<(View, Offset)> {
        let timeout = self.config.stall_timeout;
        let ended = |hall: &mut Channel| Some((hall.view(), hall.take_expired_stall(timeout, now)?));
        self.channels.iter_mut().filter_map(ended).collect()
    }
}
