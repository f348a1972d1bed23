//! The room's feeds: what is pending for readers, and how much senders may append.

use super::{Room, missed_notices};
use crate::broadcast::admission::{ReadPermit, ReadRequest, SendRate, smallest_space};
use crate::broadcast::channel::Channel;
use crate::broadcast::feed::{Cursor, Feed, Offset};
use crate::util::clock::Moment;
use crate::wire::view::View;

impl Room {
    /// The feed of a view.
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

    /// Whether a client may be read.
    pub fn read_permit(&self, sender: &SendRate, request: ReadRequest, now: Moment) -> ReadPermit {
        self.admission.permit(&self.channels, sender, request, now)
    }

    /// Whether bulk senders may be read again, if the oldest blocked client claims so much space.
    pub fn has_bulk_space(&self, claimed: usize) -> bool {
        self.admission.has_bulk_space(&self.channels, claimed)
    }

    /// Whether each feed certainly has space for an unfinished line of `held` bytes.
    pub fn has_space_for(&self, held: usize) -> bool {
        self.channels.iter().all(|channel| channel.feed().space() > channel.cost().of(held))
    }

    /// Bytes that can be appended now, in all feeds together.
    pub fn space(&self) -> usize {
        self.channels.iter().map(|channel| channel.feed().space()).sum()
    }

    /// Bytes that can be appended now to the fullest feed.
    pub fn smallest_space(&self) -> usize {
        smallest_space(&self.channels)
    }

    /// Frees the lines that all readers have received. `readers` are those that were still behind after the last
    /// write to all, each with its view. Then appends the line for missed notices, if there is space.
    pub fn reclaim<'a>(&mut self, readers: impl Iterator<Item = (View, &'a Cursor)> + Clone) {
        let (here, time_of_day) = (self.here(), self.config.time_of_day);
        for (channel, &view) in self.channels.iter_mut().zip(&self.views) {
            channel.reclaim(readers.clone().filter(|(of, _)| *of == view).map(|(_, cursor)| cursor));
            channel.append_missed(|count| missed_notices(view, count, here, time_of_day));
        }
    }

    /// Runs the stall timer of each view for which senders or missed notices wait, and pauses the others; returns
    /// the next deadline.
    pub fn update_stall_timers(&mut self, senders_wait: bool, now: Moment) -> Option<Moment> {
        self.admission.update_stall_timers(&mut self.channels, senders_wait, self.config.stall_timeout, now)
    }

    /// Stops each stall timer that has run for the stall timeout; returns its view, and the offset that readers had
    /// to reach.
    pub fn take_expired_stalls(&mut self, now: Moment) -> Vec<(View, Offset)> {
        let timeout = self.config.stall_timeout;
        let channels = self.channels.iter_mut().zip(&self.views);
        channels
            .filter_map(|(channel, &view)| Some((view, channel.take_expired_stall(timeout, now)?)))
            .collect()
    }
}
