//! The step of a turn in which newcomers are taken in, or told why not.

use super::{Crowd, Due, Timer};
use crate::clock::Moment;
use crate::connection::{Connection, Refusal};
use crate::goodbye::Goodbye;
use crate::peer::Peer;
use crate::roster::Key;
use crate::socket::Socket;
use crate::timers::Timers;
use crate::view::View;
use log::{Level, info};
use std::io;
use std::time::Duration;

/// The others are not told of those who come and go within so much time.
const UNANNOUNCED: Duration = Duration::from_secs(2);

impl<S: Socket> Crowd<S> {
    /// Takes in a newcomer whose socket `watch` registers under its key, or tells it why not; `None`
    /// where it was closed at once.
    pub fn admit(
        &mut self,
        socket: S,
        view: View,
        peer: Peer,
        timers: &mut Timers<Timer>,
        now: Moment,
        watch: impl FnOnce(&mut S, Key) -> io::Result<()>,
    ) -> Option<Key> {
        self.counters.accepted += 1;
        let refusal = self.refusal(peer);
        let mut newcomer = Connection::new(socket, view, peer, &self.room, now);
        if let Some(refusal) = &refusal {
            newcomer.turn_away(refusal, &self.room);
            if self.turned_away >= self.limits.places.turned_away {
                self.send_off(newcomer, refusal.goodbye, now);
                return None;
            }
        }
        let key = self.roster.insert(newcomer);
        if let Some(newcomer) = self.roster.get_mut(key)
            && let Err(error) = watch(newcomer.socket(), key)
        {
            let goodbye = Goodbye::Unwatched(error.kind());
            newcomer.refuse("the server cannot take you in: try again later", goodbye, &self.room);
            if let Some(newcomer) = self.roster.remove(key) {
                self.send_off(newcomer, goodbye, now);
            }
            return None;
        }
        self.due.push(key);
        if refusal.is_some() {
            self.turned_away += 1;
            return Some(key);
        }
        if let Some(newcomer) = self.roster.get_mut(key) {
            newcomer.join(key, &mut self.room);
            if newcomer.is_behind(&self.room) {
                // By what was said before it came.
                self.behind.push(key);
            }
        }
        if self.room.has_names() {
            timers.set(Timer::Connection(key, Due::Announcement), now.after(UNANNOUNCED));
        }
        self.networks.add(peer);
        if let Some(idle_timeout) = self.limits.idle_timeout {
            timers.set(Timer::Connection(key, Due::Silence), now.after(idle_timeout));
        }
        if self.may_log(Level::Info, now) {
            info!("{peer} joined, {} online", self.online());
        }
        Some(key)
    }

    /// Why there is no place for one more from there, if there is none.
    fn refusal(&self, peer: Peer) -> Option<Refusal> {
        let clients = self.limits.places.clients;
        if self.online() >= clients {
            let told = format!("the room is full, with {clients} in it: try again later");
            return Some(Refusal { goodbye: Goodbye::RoomFull, told });
        }
        let here = self.networks.full(peer)?;
        let told = format!("too many from your address, with {here} here: try again later");
        Some(Refusal { goodbye: Goodbye::NetworkFull, told })
    }

    /// Tells someone why not for whom there is not even a descriptor to keep, and closes at once.
    pub fn send_away(&mut self, socket: S, view: View, peer: Peer, now: Moment) {
        self.counters.accepted += 1;
        let told = "the server is full, for it can open no more connections: try again later".to_owned();
        let refusal = Refusal { goodbye: Goodbye::NoDescriptor, told };
        let mut newcomer = Connection::new(socket, view, peer, &self.room, now);
        newcomer.turn_away(&refusal, &self.room);
        self.send_off(newcomer, refusal.goodbye, now);
    }

    /// Tells someone who is not in the roster what it is owed, as far as that goes at once.
    fn send_off(&mut self, mut newcomer: Connection<S>, goodbye: Goodbye, now: Moment) {
        self.counters.written += newcomer.write(&self.room) as u64;
        newcomer.settle(&self.room);
        self.counters.read += newcomer.drain(&mut self.buffer) as u64;
        self.say_goodbye(&newcomer, goodbye, now);
    }
}
