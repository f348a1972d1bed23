//! What happens when readers are slow: feeds are reclaimed as they catch up, and those that do not are
//! disconnected.

use super::Clients;
use super::close_reason::CloseReason;
use super::connection::ReadState;
use crate::broadcast::admission::Admission;
use crate::net::transport::Transport;
use crate::util::clock::Moment;

impl<S: Transport> Clients<S> {
    /// Disconnects readers that the room has waited for long enough, and updates the stall timers.
    pub fn disconnect_stalled(&mut self, now: Moment) {
        for (view, mark) in self.room.take_expired_stalls(now) {
            for &id in &self.behind {
                let Some(connection) = self.slots.get_mut(id).filter(|connection| connection.view() == view)
                else {
                    continue;
                };
                let feed = self.room.feed(view);
                if connection.is_behind(feed) && feed.is_stalled(connection.cursor(), mark) {
                    connection.close_now(CloseReason::StalledReader);
                    self.closed.push(id);
                }
            }
        }
        self.stall_deadline = self.room.update_stall_timers(!self.blocked.is_empty(), now);
    }

    /// Frees feed space up to the slowest reader and resumes blocked senders. Lines appended after the last
    /// write to all are kept: `behind` does not cover them yet.
    pub(super) fn reclaim_feeds(&mut self, now: Moment) {
        let room = &self.room;
        let is_behind =
            |connection: &mut super::Connection<S>| connection.is_behind(room.feed(connection.view()));
        self.behind.retain(|&id| self.slots.get_mut(id).is_some_and(is_behind));
        let before = room.space();
        let readers = self.behind.iter().filter_map(|&id| self.slots.get(id));
        self.room.reclaim(readers.map(|connection| (connection.view(), connection.cursor())));
        if self.blocked.is_empty() || self.room.space() <= before {
            return;
        }
        if self.room.has_bulk_space() {
            self.resume_blocked_senders(now);
        } else {
            self.resume_interactive_senders(now);
        }
    }

    /// Queues blocked senders before those that were read last: otherwise these would take the space each
    /// time.
    pub(super) fn resume_blocked_senders(&mut self, now: Moment) {
        for id in self.blocked.drain(..).rev() {
            if let Some(connection) = self.slots.get_mut(id) {
                connection.read_state = ReadState::Queued;
                Admission::resume(&mut connection.rate, now);
                self.queue.push_front(id);
            }
        }
    }

    /// Queues blocked senders that may be read from the reserve: it was used up, and there is space again.
    fn resume_interactive_senders(&mut self, now: Moment) {
        let (slots, queue, room) = (&mut self.slots, &mut self.queue, &self.room);
        self.blocked.retain(|&id| {
            let Some(connection) = slots.get_mut(id) else { return false };
            Admission::resume(&mut connection.rate, now);
            let is_resumed = room.admission().is_interactive(&connection.rate, now);
            if is_resumed {
                queue.push(id, connection, room, now);
            }
            !is_resumed
        });
    }
}
