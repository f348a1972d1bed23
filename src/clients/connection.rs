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
use crate::util::clock::Moment;
use crate::util::id_slab::ClientId;
use crate::wire::line_decoder::LineDecoder;
use crate::wire::view::View;
use std::io::{self, ErrorKind};

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Input is read and output is written. While the greeting is held nothing is written: the client's first bytes
    /// may be an HTTP request.
    Open { holds_greeting: bool },
    /// Pending output is still written; nothing is added to it.
    Closing { reason: CloseReason, peer_closed: bool },
    /// A write failed. Input that the peer sent before is still read.
    WriteFailed { error: ErrorKind },
    /// All output is written and the sending side is shut down. Input is read and dropped: closing a socket with
    /// unread input would reset the connection, and the peer could lose output that is on its way.
    Draining { reason: CloseReason },
    /// The sweep at the end of the turn removes it.
    Closed { reason: CloseReason },
}

/// What must happen before a client is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadState {
    /// Its socket becomes readable.
    Idle,
    /// Its turn in the queue comes.
    Queued,
    /// The feeds have space for its lines.
    Blocked,
    /// Its turn in the queue comes, after it was blocked.
    Resumed,
    /// Its pause ends: it has reached its rate limit.
    RateLimited,
}

/// Where a client gets the lines that the rate limit allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineSource {
    /// The client earns them.
    Own,
    /// Its input has ended: only what it has earned is left.
    OwnUntilSpent,
    /// The account of its network: it has left, and its last lines are still to be relayed.
    Network,
}

/// Pending bytes of one client.
#[derive(Debug, Default)]
struct Buffers {
    /// Output for this client alone.
    outbox: Outbox,
    /// Input that was read and not handled yet.
    unparsed: Unparsed,
}

/// A client and its connection.
#[derive(Debug)]
pub struct Connection<S> {
    socket: S,
    view: View,
    pub(super) cursor: Cursor,
    pub(super) decoder: LineDecoder,
    /// Boxed: every client has the pointer, but few have buffers.
    buffers: Option<Box<Buffers>>,
    pub(super) rate: SendRate,
    peer: Peer,
    state: State,
    /// Where its lines come from; `None` if it was not admitted to the room.
    pub(super) line_source: Option<LineSource>,
    /// There may be input: no read has returned `WouldBlock` since the last event.
    pub(super) readable: bool,
    /// The socket may take output: no write has returned `WouldBlock` since the last event.
    pub(super) writable: bool,
    /// What must happen before it is read.
    pub(super) read_state: ReadState,
    /// Whether an operator has muted it: nothing that it sends reaches others.
    pub(super) is_muted: bool,
    /// When it connected, in whole seconds since the server started.
    connected_at: u32,
    /// Lines that it has sent, commands and refused lines included.
    pub(super) lines: u32,
}

impl<S: Transport> Connection<S> {
    /// A new connection whose reader starts at `cursor`.
    pub fn new(socket: S, view: View, peer: Peer, cursor: Cursor, rate: SendRate, now: Moment) -> Self {
        Self {
            readable: socket.may_have_input(),
            socket,
            view,
            cursor,
            decoder: LineDecoder::default(),
            buffers: None,
            rate,
            peer,
            state: State::Open { holds_greeting: false },
            line_source: Some(LineSource::Own),
            // A new socket takes bytes at once.
            writable: true,
            read_state: ReadState::Idle,
            is_muted: false,
            connected_at: now.seconds(),
            lines: 0,
        }
    }

    /// How long the client has been connected, in whole seconds.
    pub const fn connected_seconds(&self, now: Moment) -> u32 {
        now.seconds().saturating_sub(self.connected_at)
    }

    /// Lines that the client has sent, commands and refused lines included.
    pub const fn lines(&self) -> u32 {
        self.lines
    }

    /// Whether an operator has muted the client.
    pub const fn is_muted(&self) -> bool {
        self.is_muted
    }

    /// The client as a sender in the room.
    pub const fn sender(&self, id: ClientId) -> Sender {
        Sender { id, view: self.view }
    }

    /// The view in which the client sees the room.
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

    /// The decoder of its input, which holds its unfinished line.
    pub const fn decoder(&self) -> &LineDecoder {
        &self.decoder
    }

    /// Whether it is blocked, or was until now and waits for its turn to be read: its credit is paused.
    pub const fn is_paused(&self) -> bool {
        matches!(self.read_state, ReadState::Blocked | ReadState::Resumed)
    }

    /// Whether the client is read and written to.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Whether the client's lines are still handled: its connection has not begun to close.
    pub const fn is_active(&self) -> bool {
        matches!(self.state, State::Open { .. } | State::WriteFailed { .. })
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
        matches!(self.state, State::Open { .. } | State::Closing { .. })
    }

    /// Whether the greeting is held, and all other output with it.
    const fn holds_greeting(&self) -> bool {
        matches!(self.state, State::Open { holds_greeting: true })
    }

    /// Holds the greeting, or lets it be written.
    pub const fn hold_greeting(&mut self, is_held: bool) {
        if let State::Open { holds_greeting } = &mut self.state {
            *holds_greeting = is_held;
        }
    }

    /// Whether lines of the feed are pending for the client, its own lines not counted.
    pub fn is_behind(&mut self, feed: &Feed) -> bool {
        self.can_write() && feed.is_behind(&mut self.cursor)
    }

    /// Whether lines of the feed or text of the outbox are pending for the client, and may be written, or bytes are
    /// pending in its socket.
    pub fn has_pending_output(&mut self, feed: &Feed) -> bool {
        self.can_write()
            && (self.socket.has_pending_output()
                || !self.holds_greeting() && (self.outbox_len() > 0 || feed.is_behind(&mut self.cursor)))
    }

    /// Frees the buffers if they are empty.
    fn free_buffers(&mut self) {
        self.buffers.take_if(|buffers| buffers.outbox.is_empty() && buffers.unparsed.is_empty());
    }

    /// Starts to close: output that is pending now is still written.
    pub fn begin_close(&mut self, reason: CloseReason, feed: &Feed) {
        match self.state {
            State::Open { .. } => {
                feed.stop_at_head(&mut self.cursor);
                self.state = State::Closing { reason, peer_closed: false };
            }
            State::WriteFailed { .. } => self.close_now(reason),
            State::Closing { .. } | State::Draining { .. } | State::Closed { .. } => {}
        }
    }

    /// Starts to close with an error for the client. The rest of a partly written line is written before it; no
    /// other lines of the feed are written.
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

    /// Closes the connection at once if it has begun to close; pending output is dropped. The reason stays, but
    /// [`CloseReason::ClosedByPeer`] becomes [`CloseReason::CloseTimeout`].
    pub const fn abort(&mut self) {
        match self.state {
            State::Closing { reason: CloseReason::ClosedByPeer, .. } => {
                self.close_now(CloseReason::CloseTimeout)
            }
            State::Closing { reason, .. } | State::Draining { reason } => self.close_now(reason),
            State::WriteFailed { error } => self.close_now(CloseReason::ConnectionLost(error)),
            State::Open { .. } | State::Closed { .. } => {}
        }
    }

    /// Closes at once if a write has failed.
    pub const fn abort_write_failed(&mut self) {
        if matches!(self.state, State::WriteFailed { .. }) {
            self.abort();
        }
    }

    /// If no output is pending, takes the next step of the close; returns whether the connection now drains.
    pub fn advance_close(&mut self, feed: &Feed) -> bool {
        let State::Closing { reason, peer_closed } = self.state else { return false };
        if self.has_pending_output(feed) {
            return false;
        }
        if !self.socket.shutdown_write() {
            self.writable = false;
            return false;
        }
        if peer_closed {
            self.close_now(reason);
            return false;
        }
        self.state = State::Draining { reason };
        // Input that has already arrived causes no further event.
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
    use crate::net::stream::Stream;

    #[test]
    fn an_idle_client_is_small() {
        // Its stream is a file descriptor or a pointer, and which of them: 16 bytes.
        assert!(size_of::<Connection<Stream>>() <= 128, "{}", size_of::<Connection<Stream>>());
    }
}
