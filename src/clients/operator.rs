//! What an operator sees of the clients, and does with them.

use super::close_reason::CloseReason;
use super::connection::{Connection, ReadState};
use super::{ClientTimer, Clients};
use crate::broadcast::feed::FeedFull;
use crate::chat::text::DISCONNECTED;
use crate::net::bans::TooManyBans;
use crate::net::cidr::Cidr;
use crate::net::peer::Peer;
use crate::net::transport::Transport;
use crate::util::clock::Moment;
use crate::util::id_slab::ClientId;
use crate::wire::view::View;
use std::net::IpAddr;

/// One client, as an operator sees it.
#[derive(Debug, Clone, Copy)]
pub struct ClientInfo<'a> {
    /// Its id.
    pub id: ClientId,
    /// Its name; empty if no view has names.
    pub name: &'a str,
    /// Its view.
    pub view: View,
    /// Its address.
    pub peer: Peer,
    /// How long it has been connected, in whole seconds.
    pub seconds: u32,
    /// Lines that it has sent.
    pub lines: u32,
    /// Bytes of the feed that it has not received yet.
    pub behind: usize,
}

/// Figures of all clients at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gauges {
    /// Clients in the room, by [`View::index`].
    pub online: [usize; View::ALL.len()],
    /// Clients that wait until the feeds have space for their lines.
    pub blocked: usize,
    /// Ranges of addresses that are muted, and clients of unix sockets.
    pub muted: usize,
}

impl<S: Transport> Clients<S> {
    /// The ids of all clients in the room, in the order in which they connected.
    pub fn ids(&self) -> Vec<ClientId> {
        let mut ids = self.in_room().map(|(id, _)| id).collect::<Vec<_>>();
        ids.sort_unstable();
        ids
    }

    /// The ids of the clients in the room whose address is in the range.
    pub fn ids_in(&self, range: Cidr) -> Vec<ClientId> {
        let is_inside = |connection: &Connection<S>| {
            connection.peer().address().is_some_and(|address: IpAddr| range.contains(address))
        };
        self.in_room().filter(|(_, connection)| is_inside(connection)).map(|(id, _)| id).collect()
    }

    /// A client in the room; `None` if it has left.
    pub fn info(&self, id: ClientId, now: Moment) -> Option<ClientInfo<'_>> {
        let connection = self.slots.get(id).filter(|connection| is_in_room(connection))?;
        let view = connection.view();
        Some(ClientInfo {
            id,
            name: self.room.name_of(id),
            view,
            peer: connection.peer(),
            seconds: connection.connected_seconds(now),
            lines: connection.lines(),
            behind: self.room.feed(view).behind(connection.cursor()),
        })
    }

    /// Figures of all clients now.
    pub fn gauges(&self, now: Moment) -> Gauges {
        let mut online = [0; View::ALL.len()];
        for (_, connection) in self.in_room() {
            online[connection.view().index()] += 1;
        }
        Gauges {
            online,
            blocked: self.blocked.len(),
            muted: self.mutes.count(now) + self.muted_local().count(),
        }
    }

    /// Disconnects a client: it is told why, after what is being written to it. Returns whether it was in the room.
    pub fn disconnect(&mut self, id: ClientId, why: &str, reason: CloseReason) -> bool {
        let Some(connection) = self.slots.get_mut(id).filter(|connection| is_in_room(connection)) else {
            return false;
        };
        let error = self.room.error(connection.view(), &format!("{DISCONNECTED}{why}"));
        connection.refuse(&error, reason, self.room.feed(connection.view()));
        match connection.read_state {
            // From here on its input is drained: it waits for nothing.
            ReadState::RateLimited => connection.read_state = ReadState::Idle,
            ReadState::Blocked => {
                connection.read_state = ReadState::Idle;
                self.blocked.retain(|blocked| blocked.id != id);
            }
            ReadState::Idle | ReadState::Queued | ReadState::Resumed => {}
        }
        for timer in [ClientTimer::Flush, ClientTimer::RateLimit, ClientTimer::Idle] {
            self.timers.cancel((id, timer));
        }
        self.due.push(id);
        self.room.leave(id);
        true
    }

    /// Mutes a range of addresses, also for clients that connect later; returns the number of clients in it.
    ///
    /// # Errors
    /// [`TooManyBans`]; nothing was muted.
    pub fn mute(&mut self, range: Cidr, now: Moment) -> Result<usize, TooManyBans> {
        self.mutes.add(range, None, now)?;
        Ok(self.update_muted(range, now))
    }

    /// Ends the mute of a range; returns the number of clients in it, or `None` if that range is not muted.
    pub fn unmute(&mut self, range: Cidr, now: Moment) -> Option<usize> {
        self.mutes.remove(range, now).then(|| self.update_muted(range, now))
    }

    /// Mutes one client of a unix socket, or ends that; returns whether this changed anything.
    pub fn set_muted(&mut self, id: ClientId, is_muted: bool) -> bool {
        let connection = self.slots.get_mut(id).filter(|connection| connection.peer().address().is_none());
        connection.is_some_and(|connection| std::mem::replace(&mut connection.is_muted, is_muted) != is_muted)
    }

    /// The ranges that are muted.
    pub fn muted_ranges(&self, now: Moment) -> impl Iterator<Item = Cidr> {
        self.mutes.iter(now).map(|(range, _)| range)
    }

    /// The muted clients of unix sockets.
    pub fn muted_local(&self) -> impl Iterator<Item = ClientId> {
        let local = self
            .in_room()
            .filter(|(_, connection)| connection.is_muted() && connection.peer().address().is_none());
        local.map(|(id, _)| id)
    }

    /// Sends a notice of the operator to all clients in views with names; returns their number.
    ///
    /// # Errors
    /// [`FeedFull`]; nothing was sent.
    pub fn say(&mut self, text: &str) -> Result<usize, FeedFull> {
        self.room.say(text)?;
        Ok(self.in_room().filter(|(_, connection)| connection.view().has_names()).count())
    }

    fn in_room(&self) -> impl Iterator<Item = (ClientId, &Connection<S>)> {
        self.slots.iter().filter(|(_, connection)| is_in_room(connection))
    }

    /// Updates the clients of a range after its mute has changed; returns their number.
    fn update_muted(&mut self, range: Cidr, now: Moment) -> usize {
        let ids = self.ids_in(range);
        for &id in &ids {
            if let Some(connection) = self.slots.get_mut(id) {
                connection.is_muted =
                    connection.peer().address().is_some_and(|address| self.mutes.contains(address, now));
            }
        }
        ids.len()
    }
}

/// Whether a connection was admitted and has not begun to close.
fn is_in_room<S: Transport>(connection: &Connection<S>) -> bool {
    connection.is_active() && connection.line_source.is_some()
}
