//! The write step: each client with pending output is written to once per turn.

use super::connection::{Connection, ReadState};
use super::read_queue::ReadQueue;
use super::{ClientTimer, Clients};
use crate::chat::room::Room;
use crate::net::transport::Transport;
use crate::util::clock::Moment;
use crate::util::id_slab::ClientId;
use crate::util::timers::Timers;
use log::trace;
use std::time::Duration;

/// How long a peer may take to end its output after the server has ended its own.
const LINGER: Duration = Duration::from_secs(2);

impl<S: Transport> Clients<S> {
    /// Writes once to each client that has pending output and whose socket is writable. After a broadcast this
    /// looks at all clients, otherwise only at those that are due. If it frees space, blocked clients are resumed.
    pub fn write(&mut self, now: Moment) {
        if self.room.has_unwritten() {
            self.write_to_all(now);
        } else if !self.due.is_empty() {
            self.write_to_due(now);
        }
    }

    fn write_to_all(&mut self, now: Moment) {
        self.due.clear();
        self.behind.clear();
        // Each time another client is first and another is last.
        self.rotation = self.rotation.wrapping_add(1);
        let Self { room, limits, slots, timers, queue, due, behind, closed, rotation, stats, .. } = self;
        let close_timeout = limits.close_timeout;
        let mut step = WriteStep { room, queue, due, closed, timers, close_timeout, now };
        for index in slots.iter_rotated(*rotation) {
            let Some((id, connection)) = slots.at(index) else { continue };
            stats.written += step.write(id, connection);
            if connection.is_behind(step.room.feed(connection.view())) {
                behind.push(id);
            }
        }
        self.room.mark_all_written();
        self.reclaim_feeds(now);
    }

    fn write_to_due(&mut self, now: Moment) {
        let mut due = std::mem::take(&mut self.due);
        // A client that is due for several reasons is still written to only once.
        due.sort_unstable();
        due.dedup();
        let mut progress = false;
        let Self { room, limits, slots, timers, queue, due: next_due, closed, stats, .. } = self;
        let close_timeout = limits.close_timeout;
        let mut step = WriteStep { room, queue, due: next_due, closed, timers, close_timeout, now };
        for &id in &due {
            let Some(connection) = slots.get_mut(id) else { continue };
            let feed = step.room.feed(connection.view());
            let was_behind = connection.is_behind(feed);
            let written = step.write(id, connection);
            stats.written += written;
            let is_behind = connection.is_behind(feed);
            progress |= !connection.is_active() || was_behind && (written > 0 || !is_behind);
        }
        // Keep the older allocation: it sits low in the heap, so the memory above it can be returned.
        due.clear();
        due.append(&mut self.due);
        self.due = due;
        if progress {
            self.reclaim_feeds(now);
        }
    }
}

/// What a write may change besides its connection.
struct WriteStep<'a> {
    room: &'a Room,
    queue: &'a mut ReadQueue,
    due: &'a mut Vec<ClientId>,
    closed: &'a mut Vec<ClientId>,
    timers: &'a mut Timers<(ClientId, ClientTimer)>,
    close_timeout: Duration,
    now: Moment,
}

impl WriteStep<'_> {
    /// Writes to one client if anything is pending, and takes the next step of its close; returns the bytes
    /// written.
    fn write<S: Transport>(&mut self, id: ClientId, connection: &mut Connection<S>) -> u64 {
        let feed = self.room.feed(connection.view());
        let mut written = 0;
        if connection.writable && connection.has_pending_output(feed) {
            written = connection.write(feed);
            trace!("{}: {written} bytes written", connection.peer());
            if connection.writable && connection.has_pending_output(feed) {
                self.due.push(id);
            }
        }
        if connection.is_closing() {
            self.timers.set_if_none((id, ClientTimer::Close), self.now.after(self.close_timeout));
            if connection.advance_close(feed) {
                self.timers.set((id, ClientTimer::Close), self.now.after(LINGER));
            }
        }
        if connection.read_state == ReadState::RateLimited {
            // If a write to a rate-limited client has failed, close it now: its input would be read at the rate
            // limit, for hours.
            connection.abort_write_failed();
        }
        if connection.close_reason().is_some() {
            self.closed.push(id);
        } else if connection.has_input() && connection.read_state == ReadState::Idle {
            self.queue.push(id, connection, self.room, self.now);
        }
        written as u64
    }
}
