//! One client: its socket, its unfinished input, its cursor in the feed, and the text for it alone.

mod input;
mod outbox;

pub use input::{Input, Unparsed};
use outbox::Outbox;

use super::close_reason::CloseReason;
use crate::broadcast::admission::SendRate;
use crate::broadcast::feed::{Cursor, Feed};
use crate::chat::room::Sender;
use crate::net::peer::Peer;
use crate::net::transport::Transport;
use crate::util::id_slab::ClientId;
use crate::wire::line_decoder::LineDecoder;
use crate::wire::view::View;
use std::io::{self, ErrorKind};

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is read and written to.
    Open,
    /// Nothing new is sent to it; pending output is still written.
    Closing { reason: CloseReason, peer_closed: bool },
    /// A write failed. What the peer sent before is still read.
    WriteFailed { error: ErrorKind },
    /// All output is written and the sending side is shut down. Input is read and dropped: closing a socket
    /// with unread input resets the connection and destroys output that is on its way.
    Draining { reason: CloseReason },
    /// To be removed.
    Closed { reason: CloseReason },
}

/// Whether a client waits to be read, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadState {
    /// For input.
    Idle,
    /// For its turn.
    Queued,
    /// For space in the feeds.
    Blocked,
    /// For the end of a pause: it has reached its rate limit.
    RateLimited,
}

/// Why a client cannot stay: for the log, and in words for the client.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The reason.
    pub reason: CloseReason,
    /// The text for the client, without `* `.
    pub text: String,
}

/// What waits for one client alone.
#[derive(Debug, Default)]
struct Buffers {
    /// Text to be written.
    outbox: Outbox,
    /// Input to be handled.
    unparsed: Unparsed,
}

/// A client and its connection.
#[derive(Debug)]
pub struct Connection<S> {
    socket: S,
    view: View,
    pub(super) cursor: Cursor,
    pub(super) decoder: LineDecoder,
    /// Boxed, for few clients have any and each has the pointer.
    buffers: Option<Box<Buffers>>,
    pub(super) rate: SendRate,
    peer: Peer,
    state: State,
    /// Whether it was admitted to the room.
    pub(super) is_member: bool,
    /// Since the last event, no read has found the socket empty.
    pub(super) readable: bool,
    /// Since the last event, no write has found the socket full.
    pub(super) writable: bool,
    /// Whether it waits to be read.
    pub(super) read_state: ReadState,
}

impl<S: Transport> Connection<S> {
    /// A new connection whose reader starts at `cursor`.
    pub fn new(socket: S, view: View, peer: Peer, cursor: Cursor, rate: SendRate) -> Self {
        Self {
            socket,
            view,
            cursor,
            decoder: LineDecoder::default(),
            buffers: None,
            rate,
            peer,
            state: State::Open,
            is_member: true,
            readable: false,
            // A new socket takes bytes at once.
            writable: true,
            read_state: ReadState::Idle,
        }
    }

    /// The client as a sender in the room.
    pub const fn sender(&self, id: ClientId) -> Sender {
        Sender { id, view: self.view }
    }

    /// How the client sees the room.
    pub const fn view(&self) -> View {
        self.view
    }

    /// The socket, to register it.
    pub const fn socket(&mut self) -> &mut S {
        &mut self.socket
    }

    /// The peer's address.
    pub const fn peer(&self) -> Peer {
        self.peer
    }

    /// The position in the feed.
    pub const fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The decoder of its lines, which holds its unfinished line.
    pub const fn decoder(&self) -> &LineDecoder {
        &self.decoder
    }

    /// Whether the client is read and written to.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether the client's lines are still handled: until its connection closes.
    pub const fn is_active(&self) -> bool {
        matches!(self.state, State::Open | State::WriteFailed { .. })
    }

    /// Whether pending output is written before the close.
    pub const fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing { .. })
    }

    /// Whether input is read and dropped until the peer closes.
    pub const fn is_draining(&self) -> bool {
        matches!(self.state, State::Draining { .. })
    }

    /// Why the connection closed, once it is to be removed.
    pub const fn close_reason(&self) -> Option<CloseReason> {
        match self.state {
            State::Closed { reason } => Some(reason),
            _ => None,
        }
    }

    /// Whether anything can still be written to the client.
    const fn can_write(&self) -> bool {
        matches!(self.state, State::Open | State::Closing { .. })
    }

    /// Whether the client has still to receive lines of the feed.
    pub fn is_behind(&mut self, feed: &Feed) -> bool {
        self.can_write() && feed.is_behind(&mut self.cursor)
    }

    /// Whether the client has still to receive anything.
    pub fn has_pending_output(&mut self, feed: &Feed) -> bool {
        self.can_write() && (self.outbox_len() > 0 || feed.is_behind(&mut self.cursor))
    }

    /// Frees the buffers if they are empty.
    fn free_buffers(&mut self) {
        self.buffers.take_if(|buffers| buffers.outbox.is_empty() && buffers.unparsed.is_empty());
    }

    /// Starts to close: output that is pending now is still written.
    pub fn begin_close(&mut self, reason: CloseReason, feed: &Feed) {
        match self.state {
            State::Open => {
                feed.stop_at_head(&mut self.cursor);
                self.state = State::Closing { reason, peer_closed: false };
            }
            State::WriteFailed { .. } => self.close_now(reason),
            State::Closing { .. } | State::Draining { .. } | State::Closed { .. } => {}
        }
    }

    /// Sends the client an error and starts to close: after the line that it is in the middle of, nothing
    /// else is written.
    pub fn refuse(&mut self, error: &[u8], reason: CloseReason, feed: &Feed) {
        if !self.can_write() {
            return self.close_now(reason);
        }
        self.queue_text(error);
        feed.stop_at_line_end(&mut self.cursor);
        self.state = State::Closing { reason, peer_closed: false };
    }

    /// Closes at once: pending output is dropped.
    pub const fn close_now(&mut self, reason: CloseReason) {
        if !matches!(self.state, State::Closed { .. }) {
            self.state = State::Closed { reason };
        }
    }

    /// Closes at once a connection that has begun to close, for the reason that it had.
    pub const fn abort(&mut self) {
        match self.state {
            State::Closing { reason: CloseReason::ClosedByPeer, .. } => {
                self.close_now(CloseReason::CloseTimeout)
            }
            State::Closing { reason, .. } | State::Draining { reason } => self.close_now(reason),
            State::WriteFailed { error } => self.close_now(CloseReason::ConnectionLost(error)),
            State::Open | State::Closed { .. } => {}
        }
    }

    /// Closes at once if a write has failed.
    pub const fn abort_write_failed(&mut self) {
        if matches!(self.state, State::WriteFailed { .. }) {
            self.abort();
        }
    }

    /// Takes the next step of a close once no output is pending; returns whether the connection drains from
    /// now on.
    pub fn advance_close(&mut self, feed: &Feed) -> bool {
        let State::Closing { reason, peer_closed } = self.state else { return false };
        if self.has_pending_output(feed) {
            return false;
        }
        self.socket.shutdown_write();
        if peer_closed {
            self.close_now(reason);
            return false;
        }
        self.state = State::Draining { reason };
        // No event may follow for what has arrived already.
        self.readable = true;
        true
    }

    fn on_error(&mut self, error: &io::Error) {
        match self.state {
            _ if error.kind() == ErrorKind::Interrupted => self.close_now(CloseReason::NoProgress),
            State::Draining { reason } => self.close_now(reason),
            State::Closing { reason, .. } if reason != CloseReason::ClosedByPeer => self.close_now(reason),
            _ => self.close_now(CloseReason::ConnectionLost(error.kind())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_client_is_small() {
        // Its socket is a file descriptor of 4 bytes; a debug build of mio adds 8.
        assert!(size_of::<Connection<i32>>() <= 104, "{}", size_of::<Connection<i32>>());
    }
}
