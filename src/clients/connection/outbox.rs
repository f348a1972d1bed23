//! Output of one client: lines of the feed, and text for this client alone.

use super::{Connection, State};
use crate::broadcast::feed::{Cursor, Feed, IoSlices, Offset};
use crate::clients::close_reason::CloseReason;
use crate::net::transport::{Transport, retry};
use crate::util::buffer::Buffer;
use std::io::{self, ErrorKind};

/// While the outbox has more bytes than this, the client is not read, and no reply is added.
const OUTBOX_LIMIT: usize = 4096;

/// Text for one client alone, and when it may be written.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    text: Buffer,
    /// The parts of the text, in order; any of them may be empty.
    parts: [Part; PARTS],
}

/// A part of the text.
#[derive(Debug, Default, Clone, Copy)]
struct Part {
    bytes: usize,
    /// It waits until the cursor has passed this offset. At the default it is written at the next line end.
    not_before: Offset,
}

const PARTS: usize = 3;
/// The part that does not wait.
const READY: usize = 0;
/// The part that follows the history of a new client.
const AFTER_HISTORY: usize = 1;
/// The part that follows later lines.
const AFTER_LINES: usize = 2;

impl Outbox {
    /// Whether there is no text.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Adds text after all other text.
    fn add(&mut self, text: &[u8]) {
        let last = self.parts.iter().rposition(|part| part.bytes > 0).unwrap_or(READY);
        self.text.extend_from_slice(text);
        self.parts[last].bytes += text.len();
    }

    /// Adds text that waits for an offset, to a part after which there is no other text.
    fn add_after(&mut self, part: usize, text: &[u8], offset: Offset) {
        self.text.extend_from_slice(text);
        let bytes = self.parts[part].bytes + text.len();
        self.parts[part] = Part { bytes, not_before: offset };
    }

    /// Drops the bytes that were written of each part. If a part that had to wait was written in part, the rest need
    /// not wait.
    fn consume(&mut self, written: [usize; PARTS]) {
        self.text.drop_first(written.iter().sum());
        for (part, written) in written.into_iter().enumerate().filter(|&(_, written)| written > 0) {
            let rest = self.parts[part].bytes - written;
            self.parts[part].bytes = 0;
            // The parts before it are written.
            self.parts[READY].bytes = rest;
        }
    }
}

/// Numbers of bytes in one write, in the order in which they are written.
#[derive(Default)]
struct Pending {
    /// Feed: the rest of a partly written line.
    rest_of_line: usize,
    /// Feed: the lines before each part of the outbox.
    before: [usize; PARTS],
    /// Outbox: each part.
    parts: [usize; PARTS],
}

impl<S: Transport> Connection<S> {
    /// Whether the outbox is over its limit, so that the client is not read and no reply is added.
    pub fn is_outbox_full(&self) -> bool {
        self.outbox_len() > OUTBOX_LIMIT
    }

    /// Bytes of text for this client alone that are not written yet.
    pub fn outbox_len(&self) -> usize {
        self.buffers.as_ref().map_or(0, |buffers| buffers.outbox.text.len())
    }

    /// Adds text for this client alone, if it can still be written.
    pub fn queue_text(&mut self, text: &[u8]) {
        if self.can_write() && !text.is_empty() {
            self.buffers.get_or_insert_default().outbox.add(text);
        }
    }

    /// Adds text for this client alone. It is written after all lines that are in the feed now.
    pub fn queue_text_after_feed(&mut self, text: &[u8], feed: &Feed) {
        if self.can_write() && !text.is_empty() {
            self.buffers.get_or_insert_default().outbox.add_after(AFTER_LINES, text, feed.head());
        }
    }

    /// Like [`queue_text_after_feed`](Self::queue_text_after_feed), for a new client whose history is in the feed now.
    /// Later text cannot delay it.
    pub fn queue_text_after_history(&mut self, text: &[u8], feed: &Feed) {
        if self.can_write() && !text.is_empty() {
            self.buffers.get_or_insert_default().outbox.add_after(AFTER_HISTORY, text, feed.head());
        }
    }

    /// Drops the greeting if it was not written yet.
    pub fn drop_held_greeting(&mut self) {
        if self.holds_greeting() {
            self.drop_outbox();
        }
    }

    fn drop_outbox(&mut self) {
        if let Some(buffers) = &mut self.buffers {
            buffers.outbox = Outbox::default();
        }
        self.free_buffers();
    }

    /// Writes everything that is pending, in one call; returns the bytes written.
    ///
    /// The outbox is written as soon as the cursor is at a line end. Text that must follow certain lines of the
    /// feed waits for them.
    pub fn write(&mut self, feed: &Feed) -> usize {
        if self.holds_greeting() {
            return self.flush();
        }
        let mut slices = IoSlices::default();
        let outbox = self.buffers.as_ref().map(|buffers| &buffers.outbox).filter(|outbox| !outbox.is_empty());
        let pending = pending(&self.cursor, outbox, feed, &mut slices);
        if slices.is_empty() {
            return self.flush();
        }
        match retry(|| self.socket.write_vectored(slices.as_slices())) {
            Ok(0) => {
                // The system took no byte and returned no error: more attempts would only keep the loop busy.
                self.close_now(CloseReason::NoProgress);
                0
            }
            Ok(bytes) => {
                let from_outbox = self.advance_outbox(bytes, &pending);
                feed.advance(&mut self.cursor, bytes - from_outbox);
                bytes
            }
            Err(error) => self.end_write(&error),
        }
    }

    /// Writes what is pending in the socket; returns 0, because it is counted already.
    fn flush(&mut self) -> usize {
        if self.socket.has_pending_output()
            && let Err(error) = retry(|| self.socket.flush())
        {
            self.end_write(&error);
        }
        0
    }

    /// Notes why a write has written nothing; returns 0.
    fn end_write(&mut self, error: &io::Error) -> usize {
        self.writable = false;
        if error.kind() != ErrorKind::WouldBlock {
            self.on_write_error(error);
        }
        0
    }

    /// Notes that the first `bytes` of a write were written; returns how many of them came from the outbox.
    fn advance_outbox(&mut self, bytes: usize, pending: &Pending) -> usize {
        let Some(buffers) = &mut self.buffers else { return 0 };
        let mut left = bytes.saturating_sub(pending.rest_of_line);
        let mut written = [0; PARTS];
        for (written, (before, part)) in written.iter_mut().zip(pending.before.iter().zip(pending.parts)) {
            left = left.saturating_sub(*before);
            *written = left.min(part);
            left -= *written;
        }
        buffers.outbox.consume(written);
        self.free_buffers();
        written.iter().sum()
    }

    /// A write failed: nothing more is written, but input that the peer sent before is still read.
    fn on_write_error(&mut self, error: &io::Error) {
        match self.state {
            State::Open { .. } if error.kind() != ErrorKind::Interrupted => {
                self.drop_outbox();
                self.state = State::WriteFailed { error: error.kind() };
                self.readable = true;
            }
            _ => self.on_error(error),
        }
    }
}

/// Adds everything that is pending to `slices`, until these are full; returns the length of each part.
fn pending<'a>(
    cursor: &Cursor,
    outbox: Option<&'a Outbox>,
    feed: &'a Feed,
    slices: &mut IoSlices<'a>,
) -> Pending {
    let mut pending = Pending::default();
    let Some(outbox) = outbox else {
        feed.pending(cursor, slices);
        return pending;
    };
    let mut at = cursor.clone();
    feed.rest_of_line(&at, slices);
    pending.rest_of_line = slices.len();
    feed.advance(&mut at, pending.rest_of_line);
    let mut text = &outbox.text[..];
    for (number, part) in outbox.parts.iter().enumerate().filter(|(_, part)| part.bytes > 0) {
        let so_far = slices.len();
        feed.pending_until(&at, part.not_before, slices);
        pending.before[number] = slices.len() - so_far;
        feed.advance(&mut at, pending.before[number]);
        let (this, rest) = text.split_at(part.bytes);
        if !feed.has_passed(&mut at, part.not_before) || !slices.push(this) {
            return pending;
        }
        pending.parts[number] = part.bytes;
        text = rest;
    }
    feed.pending(&at, slices);
    pending
}
