//! The accept step: a new connection joins the room, or is refused with a reason.

use super::close_reason::CloseReason;
use super::connection::{Connection, Refusal};
use super::{ClientTimer, Clients};
use crate::chat::text::TRY_AGAIN;
use crate::net::peer::Peer;
use crate::net::transport::Transport;
use crate::util::clock::Moment;
use crate::util::id_slab::ClientId;
use crate::wire::view::View;
use log::{Level, info};
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
        self.stats.accepted += 1;
        let refusal = self.refusal(peer);
        let mut connection = self.connect(socket, view, peer, now);
        if let Some(refusal) = &refusal {
            self.refuse(&mut connection, refusal);
            if self.refusals >= self.limits.connections.refusals {
                self.refuse_inline(connection, refusal.reason, now);
                return None;
            }
        }
        let id = self.slots.insert(connection);
        if let Some(connection) = self.slots.get_mut(id)
            && let Err(error) = register(connection.socket(), id)
        {
            let reason = CloseReason::RegisterFailed(error.kind());
            let text = format!("the server cannot accept you{TRY_AGAIN}");
            if let Some(mut connection) = self.slots.remove(id) {
                self.refuse(&mut connection, &Refusal { reason, text });
                self.refuse_inline(connection, reason, now);
            }
            return None;
        }
        self.due.push(id);
        if refusal.is_some() {
            self.refusals += 1;
        } else {
            self.join(id, peer, now);
        }
        Some(id)
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
            connection.is_muted = peer.ip().is_some_and(|address| self.mutes.contains(address, now));
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
            let text = format!("the room is full ({clients} clients){TRY_AGAIN}");
            return Some(Refusal { reason: CloseReason::RoomFull, text });
        }
        let here = self.per_network.full(peer)?;
        let text = format!("too many connections from your address ({here}){TRY_AGAIN}");
        Some(Refusal { reason: CloseReason::PerAddressLimit, text })
    }

    /// Refuses a connection that took the spare file descriptor, and closes it at once.
    pub fn refuse_without_fd(&mut self, socket: S, view: View, peer: Peer, now: Moment) {
        self.stats.accepted += 1;
        let text = format!("the server has no free file descriptor{TRY_AGAIN}");
        let refusal = Refusal { reason: CloseReason::NoDescriptor, text };
        let mut connection = self.connect(socket, view, peer, now);
        self.refuse(&mut connection, &refusal);
        self.refuse_inline(connection, refusal.reason, now);
    }

    fn refuse(&self, connection: &mut Connection<S>, refusal: &Refusal) {
        connection.line_source = None;
        let error = self.room.error(connection.view(), &refusal.text);
        connection.refuse(&error, refusal.reason, self.room.feed(connection.view()));
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
