//! The accept step: a new connection joins the room, or is refused with a reason.

use super::close_reason::CloseReason;
use super::connection::{Connection, ReadState};
use super::refusal::{Answer, Refusal};
use super::{ClientTimer, Clients};
use crate::net::peer::Peer;
use crate::net::transport::Transport;
use crate::util::clock::Moment;
use crate::util::id_slab::ClientId;
use crate::wire::view::View;
use log::{Level, info};
use std::borrow::Cow;
use std::io;
use std::time::Duration;

/// The join of a client is announced after this time. If it has left by then, neither is announced.
const ANNOUNCE_AFTER: Duration = Duration::from_secs(2);

impl<S: Transport> Clients<S> {
    /// Admits a new connection, or refuses it with a reason. `register` registers its socket under its id.
    /// Returns `None` if the connection was closed at once.
    pub fn admit(
        &mut self,
        socket: S,
        view: View,
        peer: Peer,
        now: Moment,
        register: impl FnOnce(&mut S, ClientId) -> io::Result<()>,
    ) -> Option<ClientId> {
        if let Some(refusal) = self.refusal(peer) {
            return self.refuse_new(socket, view, peer, &refusal, now, register);
        }
        let id = self.insert(self.connect(socket, view, peer, now), now, register)?;
        self.join(id, peer, now);
        Some(id)
    }

    /// Refuses a new connection: it is told why, and closed when it has received that. `register` registers its
    /// socket under its id. Returns `None` if the connection was closed at once.
    pub fn refuse_new(
        &mut self,
        socket: S,
        view: View,
        peer: Peer,
        refusal: &Refusal,
        now: Moment,
        register: impl FnOnce(&mut S, ClientId) -> io::Result<()>,
    ) -> Option<ClientId> {
        let mut connection = self.connect(socket, view, peer, now);
        self.refuse(&mut connection, refusal);
        if self.refusals >= self.limits.connections.refusals {
            self.stats.accepted += 1;
            self.refuse_inline(connection, refusal.reason, now);
            return None;
        }
        let id = self.insert(connection, now, register)?;
        self.refusals += 1;
        Some(id)
    }

    /// Puts a connection into the table and registers its socket; `None` if that failed.
    fn insert(
        &mut self,
        connection: Connection<S>,
        now: Moment,
        register: impl FnOnce(&mut S, ClientId) -> io::Result<()>,
    ) -> Option<ClientId> {
        self.stats.accepted += 1;
        let id = self.slots.insert(connection);
        if let Some(connection) = self.slots.get_mut(id)
            && let Err(error) = register(connection.socket(), id)
        {
            let reason = CloseReason::RegisterFailed(error.kind());
            if let Some(mut connection) = self.slots.remove(id) {
                self.refuse(&mut connection, &Refusal::for_now(reason, "the server cannot accept you"));
                self.refuse_inline(connection, reason, now);
            }
            return None;
        }
        self.due.push(id);
        self.queue_input(id, now);
        Some(id)
    }

    /// Counts a connection that was closed before it was admitted, without an answer, and logs it with `details`.
    pub fn count_unadmitted(&mut self, peer: Peer, reason: CloseReason, details: &str, now: Moment) {
        self.stats.accepted += 1;
        self.count_close(peer, reason, details, now);
    }

    /// Counts a connection that is not in the room yet as one from its network.
    ///
    /// # Errors
    /// The refusal, if its network has too many.
    pub fn reserve(&mut self, peer: Peer) -> Result<(), Refusal> {
        match self.refusal_of_network(peer) {
            Some(refusal) => Err(refusal),
            None => {
                self.per_network.add(peer);
                Ok(())
            }
        }
    }

    /// Takes back [`reserve`](Self::reserve).
    pub fn unreserve(&mut self, peer: Peer) {
        self.per_network.remove(peer);
    }

    /// Gives a new client the input that was read before its admission and not handled.
    pub fn hand_over(&mut self, id: ClientId, input: &[u8], now: Moment) {
        if let Some(connection) = self.slots.get_mut(id).filter(|connection| connection.is_active()) {
            connection.keep_unparsed(input);
            self.unparsed += input.len();
        }
        self.queue_input(id, now);
    }

    /// Queues a client with input for which its socket may cause no event.
    fn queue_input(&mut self, id: ClientId, now: Moment) {
        if let Some(connection) = self.slots.get_mut(id)
            && connection.has_input()
            && connection.read_state == ReadState::Idle
        {
            self.queue.push(id, connection, &self.room, now);
        }
    }

    fn connect(&self, socket: S, view: View, peer: Peer, now: Moment) -> Connection<S> {
        let cursor = self.room.feed(view).join();
        Connection::new(socket, view, peer, cursor, self.room.admission().new_client(now), now)
    }

    fn join(&mut self, id: ClientId, peer: Peer, now: Moment) {
        if let Some(connection) = self.slots.get_mut(id) {
            let greeting = self.room.join(connection.sender(id));
            let feed = self.room.feed(connection.view());
            connection.cursor = greeting.cursor;
            connection.is_muted = peer.address().is_some_and(|address| self.mutes.contains(address, now));
            if let Some(usage) = self.network_rates.take_start(peer, now) {
                connection.rate.set_usage(usage);
            }
            connection.queue_text(&greeting.before);
            connection.queue_text_after_history(&greeting.after, feed);
            if connection.outbox_len() > 0 && !self.limits.greet_after.is_zero() {
                connection.hold_greeting(true);
                self.greetings.push_back((now.after(self.limits.greet_after), id));
            }
            if connection.is_behind(feed) {
                // The history is pending for it.
                self.behind.push(id);
            }
        }
        if self.room.has_names() {
            self.timers.set((id, ClientTimer::AnnounceJoin), now.after(ANNOUNCE_AFTER));
        }
        self.per_network.add(peer);
        if let Some(idle_timeout) = self.limits.idle_timeout {
            self.timers.set((id, ClientTimer::Idle), now.after(idle_timeout));
        }
        if self.take_log_budget(Level::Info, now) {
            info!("{peer} joined, {} online", self.online());
        }
    }

    /// Why a connection from this peer is refused, if it is.
    fn refusal(&self, peer: Peer) -> Option<Refusal> {
        let clients = self.limits.connections.clients;
        if self.online() >= clients {
            let text = format!("the room is full ({clients} clients)");
            return Some(Refusal::for_now(CloseReason::RoomFull, &text));
        }
        self.refusal_of_network(peer)
    }

    fn refusal_of_network(&self, peer: Peer) -> Option<Refusal> {
        let here = self.per_network.full(peer)?;
        let text = format!("too many connections from your address ({here})");
        Some(Refusal::for_now(CloseReason::PerAddressLimit, &text))
    }

    /// Refuses a connection that took the spare file descriptor, and closes it at once.
    pub fn refuse_at_once(&mut self, socket: S, view: View, peer: Peer, refusal: &Refusal, now: Moment) {
        self.stats.accepted += 1;
        let mut connection = self.connect(socket, view, peer, now);
        self.refuse(&mut connection, refusal);
        self.refuse_inline(connection, refusal.reason, now);
    }

    fn refuse(&self, connection: &mut Connection<S>, refusal: &Refusal) {
        connection.line_source = None;
        let answer = self.render_refusal(connection.view(), refusal);
        connection.refuse(&answer, refusal.reason, self.room.feed(connection.view()));
    }

    /// What a refused client of this view receives.
    pub(super) fn render_refusal<'a>(&self, view: View, refusal: &'a Refusal) -> Cow<'a, [u8]> {
        match &refusal.answer {
            Answer::Error(text) => Cow::Owned(self.room.error(view, text)),
            Answer::Bytes(bytes) => Cow::Borrowed(bytes),
        }
    }

    /// Sends the refusal to a connection that gets no slot, and closes it. What its socket does not take at once
    /// is dropped.
    fn refuse_inline(&mut self, mut connection: Connection<S>, reason: CloseReason, now: Moment) {
        let feed = self.room.feed(connection.view());
        self.stats.written += connection.write(feed) as u64;
        connection.advance_close(feed);
        self.stats.read += connection.drain(&mut self.buffer) as u64;
        self.log_close(&connection, reason, now);
    }
}
