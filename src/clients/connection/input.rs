//! Input of one client: reading it, and keeping what cannot be handled yet.

use super::{Connection, State};
use crate::broadcast::feed::Feed;
use crate::clients::close_reason::CloseReason;
use crate::net::transport::{Transport, retry};
use crate::util::buffer::Buffer;
use std::io::ErrorKind;

/// The most reads of a connection that is refused and closed at once: a new client cannot have sent more.
const MAX_DRAIN_READS: usize = 8;

/// What one read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// This many bytes.
    Bytes(usize),
    /// The end of input.
    End {
        /// Whether the socket ended before TLS did: a part of the last line may be missing.
        is_cut: bool,
    },
    /// No bytes until the next event; or an error, which has closed the connection.
    Nothing,
}

/// Input that was read and cannot be handled yet: at most one read.
#[derive(Debug, Default)]
pub struct Unparsed {
    bytes: Buffer,
    start: usize,
}

impl Unparsed {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// Drops the first `handled` bytes.
    pub const fn consume(&mut self, handled: usize) {
        self.start += handled;
    }
}

impl<S: Transport> Connection<S> {
    /// Whether there may be input: in the socket, unparsed, or lines that were held.
    pub fn has_input(&self) -> bool {
        self.readable || self.unparsed_len() > 0 || self.has_held_lines()
    }

    /// Whether there are lines that were held as an opening and are not handled yet.
    pub const fn has_held_lines(&self) -> bool {
        self.decoder.has_held_lines() && self.is_active()
    }

    /// Bytes of input that was read and not handled yet.
    pub fn unparsed_len(&self) -> usize {
        self.unparsed().len()
    }

    /// The input that was read and not handled.
    pub fn unparsed(&self) -> &[u8] {
        self.buffers.as_ref().map_or(&[], |buffers| buffers.unparsed.bytes())
    }

    /// Takes the unparsed input, if there is any.
    pub fn take_unparsed(&mut self) -> Option<Unparsed> {
        let unparsed = std::mem::take(&mut self.buffers.as_mut()?.unparsed);
        Some(unparsed).filter(|unparsed| !unparsed.is_empty())
    }

    /// Puts back the rest of the unparsed input.
    pub fn put_back_unparsed(&mut self, unparsed: Unparsed) {
        if !unparsed.is_empty() {
            self.buffers.get_or_insert_default().unparsed = unparsed;
        }
        self.free_buffers();
    }

    /// Keeps input that cannot be handled yet. The socket is not read again until this input is handled.
    pub fn keep_unparsed(&mut self, input: &[u8]) {
        if !input.is_empty() {
            let mut bytes = Buffer::default();
            bytes.extend_from_slice(input);
            self.buffers.get_or_insert_default().unparsed = Unparsed { bytes, start: 0 };
        }
    }

    /// Reads once into `buffer`.
    pub fn read(&mut self, buffer: &mut [u8]) -> Input {
        match retry(|| self.socket.read(buffer)) {
            Ok(0) => {
                self.readable = false;
                Input::End { is_cut: false }
            }
            Ok(bytes) => Input::Bytes(bytes),
            // Such a peer may still read: ncat --ssl ends its input so.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                self.readable = false;
                Input::End { is_cut: true }
            }
            Err(error) => {
                let is_pending = error.kind() == ErrorKind::WouldBlock;
                self.readable = is_pending && self.socket.may_have_input();
                if !is_pending {
                    self.on_error(&error);
                } else if let State::WriteFailed { error } = self.state {
                    // All input is read, and nothing can be written.
                    self.close_now(CloseReason::ConnectionLost(error));
                }
                Input::Nothing
            }
        }
    }

    /// Reads and drops what has arrived, so that the close does not reset the connection; returns the bytes read.
    pub fn drain(&mut self, buffer: &mut [u8]) -> usize {
        let reads = (0..MAX_DRAIN_READS).map_while(|_| retry(|| self.socket.read(buffer)).ok());
        reads.take_while(|&bytes| bytes > 0).sum()
    }

    /// Whether the end of input is orderly. If so, an unfinished line is a message.
    pub fn has_ended_cleanly(&self) -> bool {
        match self.state {
            State::Open { .. } => true,
            // EPIPE (unlike ECONNRESET) means that the peer had closed its sending side first.
            State::WriteFailed { error } => error == ErrorKind::BrokenPipe,
            State::Closing { .. } | State::Draining { .. } | State::Closed { .. } => false,
        }
    }

    /// Lets the next read return the end of input again: the system does so each time.
    pub const fn read_end_again(&mut self) {
        self.readable = true;
    }

    /// Notes the end of input.
    pub fn end_input(&mut self, is_cut: bool, feed: &Feed) {
        let is_clean = !is_cut && self.has_ended_cleanly();
        match self.state {
            State::Open { .. } => {
                feed.stop_at_head(&mut self.cursor);
                let reason = match is_cut {
                    true => CloseReason::ConnectionLost(ErrorKind::UnexpectedEof),
                    false => CloseReason::ClosedByPeer,
                };
                self.state = State::Closing { reason, peer_closed: true };
            }
            State::Closing { reason, .. } => self.state = State::Closing { reason, peer_closed: true },
            State::WriteFailed { .. } if is_clean => self.close_now(CloseReason::ClosedByPeer),
            State::WriteFailed { error } => self.close_now(CloseReason::ConnectionLost(error)),
            State::Draining { reason } => self.close_now(reason),
            State::Closed { .. } => {}
        }
    }
}
