//! The deadlines of one client, and what happens when they have passed.

use super::Clients;
use super::close_reason::CloseReason;
use super::connection::ReadState;
use crate::broadcast::admission::ReadPermit;
use crate::chat::command::Command;
use crate::chat::text::DISCONNECTED;
use crate::net::transport::Transport;
use crate::util::buffer::Buffer;
use crate::util::clock::Moment;
use crate::util::id_slab::ClientId;
use crate::util::seconds::Seconds;
use crate::wire::line_decoder::Decoded;
use std::time::Duration;

/// What a deadline of one client is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientTimer {
    /// Its unfinished line becomes a message.
    Flush,
    /// Its connection is closed at once: an orderly close takes too long.
    Close,
    /// It may be read again after it reached its rate limit.
    RateLimit,
    /// It has sent nothing for too long.
    Idle,
    /// Its join is announced to the others.
    AnnounceJoin,
    /// Its first lines, which may be the opening of another protocol, become messages.
    Opening,
}

impl ClientTimer {
    /// All of them.
    pub(super) const ALL: [Self; 6] =
        [Self::Flush, Self::Close, Self::RateLimit, Self::Idle, Self::AnnounceJoin, Self::Opening];
}

impl<S: Transport> Clients<S> {
    /// Handles the deadlines that have passed, except those of the stall timers: see
    /// [`disconnect_stalled`](Self::disconnect_stalled).
    pub fn run_timers(&mut self, now: Moment) {
        self.queue_held_greetings(now);
        while self.run_next_timer(now).is_some() {}
    }

    /// Handles the next deadline if it has passed; returns its client and its kind.
    pub fn run_next_timer(&mut self, now: Moment) -> Option<(ClientId, ClientTimer)> {
        let (id, timer) = self.timers.pop(now)?;
        match timer {
            ClientTimer::Flush => self.flush(id, now),
            ClientTimer::Close => self.abort_close(id),
            ClientTimer::RateLimit => self.resume_rate_limited(id, now),
            ClientTimer::Idle => self.check_idle(id, now),
            ClientTimer::AnnounceJoin => self.announce_join(id),
            ClientTimer::Opening => self.end_opening(id, now),
        }
        Some((id, timer))
    }

    fn abort_close(&mut self, id: ClientId) {
        if let Some(connection) = self.slots.get_mut(id) {
            connection.abort();
            self.closed.push(id);
        }
    }

    /// Announces a client's join to the others.
    fn announce_join(&mut self, id: ClientId) {
        if let Some(connection) = self.slots.get_mut(id)
            && connection.is_open()
        {
            let client = connection.sender(id);
            self.room.announce(client, &mut connection.cursor);
        }
    }

    /// Lets a client be read again whose pause for the rate limit is over.
    fn resume_rate_limited(&mut self, id: ClientId, now: Moment) {
        if let Some(connection) = self.slots.get_mut(id)
            && connection.read_state == ReadState::RateLimited
        {
            self.queue.push(id, connection, &self.room, now);
        }
    }

    /// Disconnects a client that has sent nothing for the idle timeout.
    fn check_idle(&mut self, id: ClientId, now: Moment) {
        let Some(idle_timeout) = self.limits.idle_timeout else { return };
        let Some(connection) = self.slots.get_mut(id).filter(|connection| connection.is_open()) else {
            return;
        };
        // A client whose input the server has not read yet is not idle, unless the reason is that the client does
        // not read its replies.
        let permit = connection.read_permit(&self.room, 0, now);
        let is_waiting = connection.has_input() && permit != ReadPermit::AfterWrite;
        let idle_time = if is_waiting { Duration::ZERO } else { connection.rate.idle_time(now) };
        let left = idle_timeout.saturating_sub(idle_time);
        if !left.is_zero() {
            return self.timers.set((id, ClientTimer::Idle), now.after(left));
        }
        let text = format!("{DISCONNECTED}nothing sent for {} s", Seconds(idle_timeout));
        let error = self.room.error(connection.view(), &text);
        let feed = self.room.feed(connection.view());
        connection.refuse(&error, CloseReason::IdleTimeout, feed);
        self.timers.cancel((id, ClientTimer::Flush));
        self.due.push(id);
        self.leave_if_closing(id);
    }

    /// Lets the greetings be written that were held long enough. Those that were held half as long go with them, so that
    /// many new clients do not cause a turn each.
    fn queue_held_greetings(&mut self, now: Moment) {
        if self.greetings.front().is_none_or(|&(at, _)| at > now) {
            return;
        }
        let soon = now.after(self.limits.greet_after / 2);
        while let Some((_, id)) = self.greetings.pop_front_if(|&mut (at, _)| at <= soon) {
            if let Some(connection) = self.slots.get_mut(id) {
                connection.hold_greeting(false);
                self.due.push(id);
            }
        }
    }

    /// Nothing followed the first lines of a client.
    fn end_opening(&mut self, id: ClientId, now: Moment) {
        // If something follows, the timer is set again when it is read.
        if self.slots.get(id).is_some_and(|connection| !connection.has_input()) {
            self.decide_opening(id, now);
            self.after_read(id, now);
        }
    }

    /// Handles a client's unfinished line, after `--flush-after` without input. If the line may be private, its rest
    /// is not sent: it could reach everyone.
    fn flush(&mut self, id: ClientId, now: Moment) {
        let Some(flush_after) = self.limits.flush_after else { return };
        let Some(connection) = self.slots.get_mut(id).filter(|connection| connection.is_open()) else {
            return;
        };
        if connection.has_input() {
            // The client is not silent. When its input is read, the timer is set again.
            return;
        }
        let held = connection.decoder.held();
        if !self.room.has_space_for(held) {
            if connection.read_state == ReadState::Idle {
                // So that the stall timers run.
                self.block(id, held, now);
            }
            return self.timers.set((id, ClientTimer::Flush), now.after(flush_after));
        }
        let rules = *self.room.rules();
        let mut scratch = Buffer::default();
        let was_dropping = connection.decoder.is_dropping();
        let decoded = connection.decoder.flush(&rules, &mut scratch);
        let may_be_private = match decoded {
            Some(Decoded::Line(line)) => Command::may_go_on_in_private(line),
            _ => was_dropping,
        };
        if may_be_private && connection.view().has_names() {
            connection.decoder.discard_rest();
        }
        if let Some(decoded) = decoded {
            self.handle_unfinished(id, decoded, now);
        }
        self.due.push(id);
        self.leave_if_closing(id);
    }
}
