//! One client: its socket, its unfinished input, its place in the feed, and the text for it alone.

mod input;
mod output;

pub use input::{Most, Permit};
use output::Outbox;

use crate::clock::Moment;
use crate::feed::Cursor;
use crate::framing::Framer;
use crate::goodbye::Goodbye;
use crate::pace::Pace;
use crate::peer::Peer;
use crate::room::{Room, Speaker};
use crate::roster::Key;
use crate::socket::Socket;
use crate::view::View;
use std::io::{self, ErrorKind};

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the room: heard and told.
    Open,
    /// Nothing new is owed; what is, is still written.
    Ending { goodbye: Goodbye, peer_ended: bool },
    /// Nothing can be written any more; what the peer said before is still read.
    Deaf { broken: ErrorKind },
    /// All is written and the peer told; its input is read and dropped so that no reset destroys
    /// what is on its way to it.
    Draining { goodbye: Goodbye },
    /// To be removed.
    Over { goodbye: Goodbye },
}

/// Where a connection waits to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Nowhere.
    Out,
    /// Among those who are read next.
    Ready,
    /// Among those who wait for room.
    Held,
    /// Nowhere until a deadline: it said its lines too fast.
    Resting,
}

/// What a connection's end waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It is not ending.
    Staying,
    /// For what is owed to be written.
    Ending,
    /// For the peer's end of input.
    Draining,
    /// For nothing: it is to be removed.
    Over,
}

/// Why someone cannot stay: for the log, and in words for them.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The reason.
    pub goodbye: Goodbye,
    /// What they are told.
    pub told: String,
}

/// A client of the room.
#[derive(Debug)]
pub struct Connection<S> {
    socket: S,
    view: View,
    cursor: Cursor,
    framer: Framer,
    /// Text for this client alone; boxed, for nearly nobody has any and everybody has the pointer.
    outbox: Option<Box<Outbox>>,
    pace: Pace,
    peer: Peer,
    state: State,
    /// Whether it was admitted, rather than turned away at the door.
    pub is_member: bool,
    /// The system has not said since the last report that there is nothing to read.
    pub readable: bool,
    /// The system has not said since the last report that nothing can be written.
    pub writable: bool,
    /// Where it waits to be read.
    pub line: Line,
}

impl<S: Socket> Connection<S> {
    /// A newcomer who sees the room in that view.
    pub fn new(socket: S, view: View, peer: Peer, room: &Room, now: Moment) -> Self {
        Self {
            socket,
            view,
            cursor: room.feed(view).join(),
            framer: Framer::default(),
            outbox: None,
            pace: Pace::start(now),
            peer,
            state: State::Open,
            is_member: true,
            readable: false,
            // A new socket takes bytes at once.
            writable: true,
            line: Line::Out,
        }
    }

    /// Has joined the room under that key, and is told the welcome.
    pub fn join(&mut self, key: Key, room: &mut Room) {
        let (cursor, told) = room.join(self.speaker(key));
        self.cursor = cursor;
        self.tell(&told);
    }

    /// Turns a newcomer away for whom there is no place, and tells it so.
    pub fn turn_away(&mut self, refusal: &Refusal, room: &Room) {
        self.is_member = false;
        self.refuse(&refusal.told, refusal.goodbye, room);
    }

    /// Who speaks here, under its key.
    pub const fn speaker(&self, key: Key) -> Speaker {
        Speaker { key, view: self.view }
    }

    /// How it sees the room.
    pub const fn view(&self) -> View {
        self.view
    }

    /// Tells the others that it has come.
    pub fn announce(&mut self, key: Key, room: &mut Room) {
        room.announce(self.speaker(key), &mut self.cursor);
    }

    /// The socket, to be watched.
    pub const fn socket(&mut self) -> &mut S {
        &mut self.socket
    }

    /// The peer's address.
    pub const fn peer(&self) -> Peer {
        self.peer
    }

    /// The place in the feed.
    pub const fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Whether it is in the room, heard and told.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// What its ending waits for next, where it is ending.
    pub const fn phase(&self) -> Phase {
        match self.state {
            State::Open | State::Deaf { .. } => Phase::Staying,
            State::Ending { .. } => Phase::Ending,
            State::Draining { .. } => Phase::Draining,
            State::Over { .. } => Phase::Over,
        }
    }

    /// Whether it lacks lines of the feed.
    pub fn is_behind(&mut self, room: &Room) -> bool {
        self.is_told() && room.feed(self.view).is_behind(&mut self.cursor)
    }

    /// Whether anything can still be written to it.
    const fn is_told(&self) -> bool {
        matches!(self.state, State::Open | State::Ending { .. })
    }

    /// Why it ended, once it is to be removed.
    pub const fn goodbye(&self) -> Option<Goodbye> {
        match self.state {
            State::Over { goodbye } => Some(goodbye),
            _ => None,
        }
    }

    /// Bytes held of an unfinished line.
    pub fn unfinished(&self) -> usize {
        self.framer.held()
    }

    /// Whether a line of it has begun and not ended.
    pub const fn is_mid_line(&self) -> bool {
        self.framer.is_mid_line()
    }

    /// Says goodbye on our side: what is owed until now is written, then the connection ends.
    pub fn end(&mut self, goodbye: Goodbye, room: &Room) {
        match self.state {
            State::Open => {
                room.feed(self.view).end_here(&mut self.cursor);
                self.state = State::Ending { goodbye, peer_ended: false };
            }
            State::Deaf { .. } => self.over(goodbye),
            State::Ending { .. } | State::Draining { .. } | State::Over { .. } => {}
        }
    }

    /// Ends it now: what is owed is not written.
    pub const fn over(&mut self, goodbye: Goodbye) {
        if !matches!(self.state, State::Over { .. }) {
            self.state = State::Over { goodbye };
        }
    }

    /// Ends it now, for what it was ending for.
    pub const fn give_up(&mut self) {
        match self.state {
            State::Ending { goodbye: Goodbye::Left, .. } => self.over(Goodbye::NotTaken),
            State::Ending { goodbye, .. } | State::Draining { goodbye } => self.over(goodbye),
            State::Deaf { broken } => self.over(Goodbye::Broken(broken)),
            State::Open | State::Over { .. } => {}
        }
    }

    /// Ends it now, if nothing can be written to it any more.
    pub const fn give_up_deaf(&mut self) {
        if matches!(self.state, State::Deaf { .. }) {
            self.give_up();
        }
    }

    /// Whether it lacks anything that can still be written.
    pub fn is_owed(&mut self, room: &Room) -> bool {
        self.is_told() && (self.outbox.is_some() || room.feed(self.view).is_behind(&mut self.cursor))
    }

    /// Takes the next step of an ending once nothing is owed; whether it drains from now on.
    pub fn settle(&mut self, room: &Room) -> bool {
        let State::Ending { goodbye, peer_ended } = self.state else { return false };
        if self.is_owed(room) {
            return false;
        }
        self.socket.shutdown_write();
        if peer_ended {
            self.over(goodbye);
            return false;
        }
        self.state = State::Draining { goodbye };
        // What arrived before may be all that ever arrives.
        self.readable = true;
        true
    }

    fn broke(&mut self, error: &io::Error) {
        match self.state {
            _ if error.kind() == ErrorKind::Interrupted => self.over(Goodbye::Runaway),
            State::Draining { goodbye } => self.over(goodbye),
            State::Ending { goodbye, .. } if goodbye != Goodbye::Left => self.over(goodbye),
            _ => self.over(Goodbye::Broken(error.kind())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_client_is_small() {
        // Its socket is a descriptor of 4 bytes; a debug build of mio keeps 8 more.
        assert!(size_of::<Connection<i32>>() <= 104, "{}", size_of::<Connection<i32>>());
    }
}
