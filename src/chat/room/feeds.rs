//! The room's feeds: what readers have still to receive, and what senders may append.

use super::{Room, missed_notices};
use crate::broadcast::admission::{ReadPermit, SendRate};
use crate::broadcast::channel::Channel;
use crate::broadcast::feed::{Cursor, Feed, Offset};
use crate::util::clock::Moment;
use crate::wire::view::View;

impl Room {
    /// The lines of a view, for its readers.
    pub fn feed(&self, view: View) -> &Feed {
        self.channels[self.index(view)].feed()
    }

    /// Whether anything was appended since every reader was written to.
    pub fn has_unwritten(&self) -> bool {
        self.channels.iter().any(|channel| channel.feed().has_unwritten())
    }

    /// Notes that every reader was written to.
    pub fn mark_all_written(&mut self) {
        self.channels.iter_mut().for_each(Channel::mark_all_written);
    }

    /// Whether a client that holds an unfinished line of `held` bytes may be read.
    pub fn read_permit(&self, sender: &SendRate, held: usize, now: Moment) -> ReadPermit {
        self.admission.permit(&self.channels, sender, held, now)
    }

    /// Whether bulk senders that wait for space may be read again.
    pub fn has_bulk_space(&self) -> bool {
        self.admission.has_bulk_space(&self.channels)
    }

    /// Whether an unfinished line of `held` bytes is sure to find space.
    pub fn has_space_for(&self, held: usize) -> bool {
        self.channels.iter().all(|channel| channel.feed().space() > channel.cost().of(held))
    }

    /// Bytes that can be appended now, in all feeds together.
    pub fn space(&self) -> usize {
        self.channels.iter().map(|channel| channel.feed().space()).sum()
    }

    /// Frees what none of `readers` has still to receive: every reader that was behind when all were written
    /// to, with its view. Then appends the number of notices that had found no space.
    pub fn reclaim<'a>(&mut self, readers: impl Iterator<Item = (View, &'a Cursor)> + Clone) {
        let (at, here) = (self.time_of_day(), self.here());
        for (channel, &view) in self.channels.iter_mut().zip(&self.views) {
            channel.reclaim(readers.clone().filter(|(of, _)| *of == view).map(|(_, cursor)| cursor));
            channel.append_missed(|count| missed_notices(view, count, here, &at));
        }
    }

    /// Starts, continues or pauses the stall timers; returns the next deadline while anything waits.
    pub fn update_stall_timers(&mut self, senders_wait: bool, now: Moment) -> Option<Moment> {
        self.admission.update_stall_timers(&mut self.channels, senders_wait, self.config.stall_timeout, now)
    }

    /// The offsets that the readers of a view had to reach, for each view whose readers were waited for long
    /// enough.
    pub fn take_expired_stalls(&mut self, now: Moment) -> Vec<(View, Offset)> {
        let timeout = self.config.stall_timeout;
        let channels = self.channels.iter_mut().zip(&self.views);
        channels
            .filter_map(|(channel, &view)| Some((view, channel.take_expired_stall(timeout, now)?)))
            .collect()
    }
}
