//! The end of the server: what was read is relayed, clients are told, and all connections are closed.

use super::close_reason::CloseReason;
use super::connection::ReadState;
use super::{ClientTimer, Clients};
use crate::broadcast::admission::ReadBudget;
use crate::net::transport::Transport;
use crate::util::clock::Moment;
use crate::wire::view::View;

impl<S: Transport> Clients<S> {
    /// Starts to shut down: what was read is relayed if there is space, pending output is still written, and nothing
    /// is read any more.
    pub fn shut_down(&mut self, now: Moment) {
        self.relay_earlier_input(now);
        let notices = View::ALL.map(|view| self.room.stop_notice(view));
        for (id, connection) in self.slots.iter_mut() {
            if connection.is_active() {
                for timer in ClientTimer::ALL {
                    self.timers.cancel((id, timer));
                }
                let feed = self.room.feed(connection.view());
                connection.queue_text_after_feed(&notices[connection.view().index()], feed);
                connection.begin_close(CloseReason::ShuttingDown, feed);
            }
            if connection.read_state == ReadState::RateLimited {
                connection.read_state = ReadState::Idle;
            }
            if connection.close_reason().is_some() {
                self.closed.push(id);
            } else {
                self.due.push(id);
            }
        }
        // The unread input of blocked senders is drained, and not relayed.
        self.resume_blocked_senders();
    }

    /// Relays the whole lines that were read and not handled yet, as far as the feeds have space now and rate limits
    /// allow.
    #[cold]
    fn relay_earlier_input(&mut self, now: Moment) {
        let active = self.slots.iter_mut().filter(|(_, connection)| connection.is_active());
        for id in active.map(|(id, _)| id).collect::<Vec<_>>() {
            self.decide_opening(id, now);
            let Some(connection) = self.slots.get(id) else { continue };
            let lines = self.room.admission().lines_left(&connection.rate, now);
            self.handle_earlier_input(id, ReadBudget { space: self.room.smallest_space(), lines }, now);
        }
    }

    /// Closes at once each connection with pending output.
    pub fn abort_pending_writes(&mut self) {
        for (id, connection) in self.slots.iter_mut() {
            if !connection.is_draining() {
                connection.abort();
                self.closed.push(id);
            }
        }
    }
}
