//! Slow readers: when they catch up, feed space is reclaimed; when they do not, they are disconnected.

use super::close_reason::CloseReason;
use super::connection::ReadState;
use super::{Blocked, Clients};
use crate::net::transport::Transport;
use crate::util::clock::Moment;
use crate::util::id_slab::ClientId;

impl<S: Transport> Clients<S> {
    /// Disconnects readers for which others have waited as long as the stall timeout, and updates the stall
    /// timers.
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

    /// Frees the lines that all readers have received, and resumes blocked clients. Lines that were appended after
    /// the last write to all clients are kept: `behind` does not show yet which readers still need them.
    pub(super) fn reclaim_feeds(&mut self, now: Moment) {
        let room = &self.room;
        let is_behind =
            |connection: &mut super::Connection<S>| connection.is_behind(room.feed(connection.view()));
        self.behind.retain(|&id| self.slots.get_mut(id).is_some_and(is_behind));
        let before = room.space();
        let readers = self.behind.iter().filter_map(|&id| self.slots.get(id));
        self.room.reclaim(readers.map(|connection| (connection.view(), connection.cursor())));
        let Some(oldest) = self.blocked.first() else { return };
        if self.room.has_bulk_space(oldest.space) {
            self.resume_blocked_senders();
        } else if self.room.space() > before {
            self.resume_interactive_senders(now);
        }
    }

    /// Puts the blocked clients at the front of the queue. At its end they would be behind the clients that were
    /// just read, and these would use the new space each time.
    pub(super) fn resume_blocked_senders(&mut self) {
        for Blocked { id, .. } in self.blocked.drain(..).rev() {
            if let Some(connection) = self.slots.get_mut(id) {
                connection.read_state = ReadState::Resumed;
                self.queue.push_front(id);
            }
        }
    }

    /// The space that the oldest blocked client claims; 0 if that is `id` itself.
    pub(super) fn claimed_space(&self, id: ClientId) -> usize {
        self.blocked.first().filter(|oldest| oldest.id != id).map_or(0, |oldest| oldest.space)
    }

    /// Queues the blocked clients with credit whose next line fits into the reserve. The others keep their place:
    /// a client that is blocked again would be the last.
    fn resume_interactive_senders(&mut self, now: Moment) {
        let (slots, queue, room) = (&mut self.slots, &mut self.queue, &self.room);
        self.blocked.retain(|&Blocked { id, space }| {
            let Some(connection) = slots.get_mut(id) else { return false };
            // With all space claimed, only the reserve is left.
            let permit = connection.read_permit(room, usize::MAX, now);
            let is_resumed = permit.has_space_for(space);
            if is_resumed {
                queue.push(id, connection, room, now);
            }
            !is_resumed
        });
    }
}
