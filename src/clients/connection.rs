//! One client: its socket, its unfinished input, its place in the feed, and the text for it alone.

mod input;
mod outbox;

pub use input::{Most, ReadPermit};
use outbox::Outbox;

use crate::broadcast::feed::Cursor;
use crate::broadcast::pace::SendRate;
use crate::chat::room::{Room, Sender};
use crate::clients::close_reason::CloseReason;
use crate::net::peer::Peer;
use crate::net::transport::Transport;
use crate::util::clock::Moment;
use crate::util::id_slab::ClientId;
use crate::wire::line_decoder::LineDecoder;
use crate::wire::view::View;
use std::io::{self, ErrorKind};

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the room: heard and told.
    Open,
    /// Nothing new is owed; what is, is still written.
    Closing { close_reason: CloseReason, peer_ended: bool },
    /// Nothing can be written any more; what the peer said before is still read.
    WriteFailed { broken: ErrorKind },
    /// All is written and the peer told; its input is read and dropped so that no reset destroys
    /// what is on its way to it.
    Draining { close_reason: CloseReason },
    /// To be removed.
    Closed { close_reason: CloseReason },
}

/// Where a connection waits to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadState {
    /// Nowhere.
    Idle,
    /// Among those who are read next.
    Queued,
    /// Among those who wait for room.
    Blocked,
    /// Nowhere until a deadline: it said its lines too fast.
    RateLimited,
}

/// What a connection's end waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It is not ending.
    Open,
    /// For what is owed to be written.
    Closing,
    /// For the peer's end of input.
    Draining,
    /// For nothing: it is to be removed.
    Closed,
}

/// Why someone cannot stay: for the log, and in words for them.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The reason.
    pub close_reason: CloseReason,
    /// What they are told.
    pub told: String,
}

/// A client of the room.
#[derive(Debug)]
pub struct Connection<S> {
    socket: S,
    view: View,
    cursor: Cursor,
    decoder: LineDecoder,
    /// Text for this client alone; boxed, for nearly nobody has any and everybody has the pointer.
    outbox: Option<Box<Outbox>>,
    pace: SendRate,
    peer: Peer,
    state: State,
    /// Whether it was admitted, rather than turned away at the door.
    pub is_member: bool,
    /// The system has not said since the last report that there is nothing to read.
    pub readable: bool,
    /// The system has not said since the last report that nothing can be written.
    pub writable: bool,
    /// Where it waits to be read.
    pub line: ReadState,
}

impl<S: Transport> Connection<S> {
    /// A newcomer who sees the room in that view.
    pub fn new(socket: S, view: View, peer: Peer, room: &Room, now: Moment) -> Self {
        Self {
            socket,
            view,
            cursor: room.feed(view).join(),
            decoder: LineDecoder::default(),
            outbox: None,
            pace: SendRate::start(now),
            peer,
            state: State::Open,
            is_member: true,
            readable: false,
            // A new socket takes bytes at once.
            writable: true,
            line: ReadState::Idle,
        }
    }

    /// Has joined the room under that key, and is told the welcome.
    pub fn join(&mut self, key: ClientId, room: &mut Room) {
        let (cursor, told) = room.join(self.speaker(key));
        self.cursor = cursor;
        self.tell(&told);
    }

    /// Turns a newcomer away for whom there is no place, and tells it so.
    pub fn refuse_and_close(&mut self, refusal: &Refusal, room: &Room) {
        self.is_member = false;
        self.refuse(&refusal.told, refusal.close_reason, room);
    }

    /// Who speaks here, under its key.
    pub const fn speaker(&self, key: ClientId) -> Sender {
        Sender { key, view: self.view }
    }

    /// How it sees the room.
    pub const fn view(&self) -> View {
        self.view
    }

    /// Tells the others that it has come.
    pub fn announce(&mut self, key: ClientId, room: &mut Room) {
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
            State::Open | State::WriteFailed { .. } => Phase::Open,
            State::Closing { .. } => Phase::Closing,
            State::Draining { .. } => Phase::Draining,
            State::Closed { .. } => Phase::Closed,
        }
    }

    /// Whether it lacks lines of the feed.
    pub fn is_behind(&mut self, room: &Room) -> bool {
        self.can_write() && room.feed(self.view).is_behind(&mut self.cursor)
    }

    /// Whether anything can still be written to it.
    const fn can_write(&self) -> bool {
        matches!(self.state, State::Open | State::Closing { .. })
    }

    /// Why it ended, once it is to be removed.
    pub const fn close_reason(&self) -> Option<CloseReason> {
        match self.state {
            State::Closed { close_reason } => Some(close_reason),
            _ => None,
        }
    }

    /// Bytes held of an unfinished line.
    pub fn unfinished(&self) -> usize {
        self.decoder.held()
    }

    /// Whether a line of it has begun and not ended.
    pub const fn is_mid_line(&self) -> bool {
        self.decoder.is_mid_line()
    }

    /// Says close_reason on our side: what is owed until now is written, then the connection ends.
    pub fn end(&mut self, close_reason: CloseReason, room: &Room) {
        match self.state {
            State::Open => {
                room.feed(self.view).stop_at_head(&mut self.cursor);
                self.state = State::Closing { close_reason, peer_ended: false };
            }
            State::WriteFailed { .. } => self.over(close_reason),
            State::Closing { .. } | State::Draining { .. } | State::Closed { .. } => {}
        }
    }

    /// Ends it now: what is owed is not written.
    pub const fn over(&mut self, close_reason: CloseReason) {
        if !matches!(self.state, State::Closed { .. }) {
            self.state = State::Closed { close_reason };
        }
    }

    /// Ends it now, for what it was ending for.
    pub const fn give_up(&mut self) {
        match self.state {
            State::Closing { close_reason: CloseReason::ClosedByPeer, .. } => {
                self.over(CloseReason::CloseTimeout)
            }
            State::Closing { close_reason, .. } | State::Draining { close_reason } => self.over(close_reason),
            State::WriteFailed { broken } => self.over(CloseReason::ConnectionLost(broken)),
            State::Open | State::Closed { .. } => {}
        }
    }

    /// Ends it now, if nothing can be written to it any more.
    pub const fn abort_write_failed(&mut self) {
        if matches!(self.state, State::WriteFailed { .. }) {
            self.give_up();
        }
    }

    /// Whether it lacks anything that can still be written.
    pub fn has_pending_output(&mut self, room: &Room) -> bool {
        self.can_write() && (self.outbox.is_some() || room.feed(self.view).is_behind(&mut self.cursor))
    }

    /// Takes the next step of an ending once nothing is owed; whether it drains from now on.
    pub fn settle(&mut self, room: &Room) -> bool {
        let State::Closing { close_reason, peer_ended } = self.state else { return false };
        if self.has_pending_output(room) {
            return false;
        }
        self.socket.shutdown_write();
        if peer_ended {
            self.over(close_reason);
            return false;
        }
        self.state = State::Draining { close_reason };
        // What arrived before may be all that ever arrives.
        self.readable = true;
        true
    }

    fn broke(&mut self, error: &io::Error) {
        match self.state {
            _ if error.kind() == ErrorKind::Interrupted => self.over(CloseReason::NoProgress),
            State::Draining { close_reason } => self.over(close_reason),
            State::Closing { close_reason, .. } if close_reason != CloseReason::ClosedByPeer => {
                self.over(close_reason)
            }
            _ => self.over(CloseReason::ConnectionLost(error.kind())),
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
