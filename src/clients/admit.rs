//! The step of a turn in which newcomers are taken in, or told why not.

use super::{ClientTimer, Clients, Timer};
use crate::clients::close_reason::CloseReason;
use crate::clients::connection::{Connection, Refusal};
use crate::net::peer::Peer;
use crate::net::transport::Transport;
use crate::util::clock::Moment;
use crate::util::id_slab::ClientId;
use crate::util::timers::Timers;
use crate::wire::view::View;
use log::{Level, info};
use std::io;
use std::time::Duration;

/// The others are not told of those who come and go within so much time.
const UNANNOUNCED: Duration = Duration::from_secs(2);

impl<S: Transport> Clients<S> {
    /// Takes in a newcomer whose socket `watch` registers under its key, or tells it why not; `None`
    /// where it was closed at once.
    pub fn admit(
        &mut self,
        socket: S,
        view: View,
        peer: Peer,
        timers: &mut Timers<Timer>,
        now: Moment,
        watch: impl FnOnce(&mut S, ClientId) -> io::Result<()>,
    ) -> Option<ClientId> {
        self.stats.accepted += 1;
        let refusal = self.refusal(peer);
        let mut newcomer = Connection::new(socket, view, peer, &self.room, now);
        if let Some(refusal) = &refusal {
            newcomer.refuse_and_close(refusal, &self.room);
            if self.refusals >= self.limits.places.refusals {
                self.refuse_inline(newcomer, refusal.close_reason, now);
                return None;
            }
        }
        let key = self.slots.insert(newcomer);
        if let Some(newcomer) = self.slots.get_mut(key)
            && let Err(error) = watch(newcomer.socket(), key)
        {
            let close_reason = CloseReason::RegisterFailed(error.kind());
            newcomer.refuse("the server cannot take you in: try again later", close_reason, &self.room);
            if let Some(newcomer) = self.slots.remove(key) {
                self.refuse_inline(newcomer, close_reason, now);
            }
            return None;
        }
        self.due.push(key);
        if refusal.is_some() {
            self.refusals += 1;
            return Some(key);
        }
        if let Some(newcomer) = self.slots.get_mut(key) {
            newcomer.join(key, &mut self.room);
            if newcomer.is_behind(&self.room) {
                // By what was said before it came.
                self.behind.push(key);
            }
        }
        if self.room.has_names() {
            timers.set(Timer::Client(key, ClientTimer::AnnounceJoin), now.after(UNANNOUNCED));
        }
        self.per_network_counts.add(peer);
        if let Some(idle_timeout) = self.limits.idle_timeout {
            timers.set(Timer::Client(key, ClientTimer::Idle), now.after(idle_timeout));
        }
        if self.take_log_budget(Level::Info, now) {
            info!("{peer} joined, {} online", self.online());
        }
        Some(key)
    }

    /// Why there is no place for one more from there, if there is none.
    fn refusal(&self, peer: Peer) -> Option<Refusal> {
        let clients = self.limits.places.clients;
        if self.online() >= clients {
            let told = format!("the room is full, with {clients} in it: try again later");
            return Some(Refusal { close_reason: CloseReason::RoomFull, told });
        }
        let here = self.per_network_counts.full(peer)?;
        let told = format!("too many from your address, with {here} here: try again later");
        Some(Refusal { close_reason: CloseReason::PerAddressLimit, told })
    }

    /// Tells someone why not for whom there is not even a descriptor to keep, and closes at once.
    pub fn refuse_without_fd(&mut self, socket: S, view: View, peer: Peer, now: Moment) {
        self.stats.accepted += 1;
        let told = "the server is full, for it can open no more connections: try again later".to_owned();
        let refusal = Refusal { close_reason: CloseReason::NoDescriptor, told };
        let mut newcomer = Connection::new(socket, view, peer, &self.room, now);
        newcomer.refuse_and_close(&refusal, &self.room);
        self.refuse_inline(newcomer, refusal.close_reason, now);
    }

    /// Tells someone who is not in the roster what it is owed, as far as that goes at once.
    fn refuse_inline(&mut self, mut newcomer: Connection<S>, close_reason: CloseReason, now: Moment) {
        self.stats.written += newcomer.write(&self.room) as u64;
        newcomer.settle(&self.room);
        self.stats.read += newcomer.drain(&mut self.buffer) as u64;
        self.log_close(&newcomer, close_reason, now);
    }
}
