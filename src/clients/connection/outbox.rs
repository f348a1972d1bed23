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
    /// This many bytes at its start may be written as soon as the cursor is at a line end.
    ready_bytes: usize,
    /// The other bytes must wait until the cursor has passed this offset.
    not_before: Offset,
}

impl Outbox {
    /// Whether there is no text.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    fn add(&mut self, text: &[u8]) {
        let must_wait = self.ready_bytes < self.text.len();
        self.text.extend_from_slice(text);
        if !must_wait {
            self.ready_bytes = self.text.len();
        }
    }

    fn add_after(&mut self, text: &[u8], offset: Offset) {
        self.text.extend_from_slice(text);
        self.not_before = offset;
    }

    /// Drops the bytes that were written: `ready` and `after` as in [`Parts`]. If text that had to wait was written
    /// in part, the rest need not wait.
    fn consume(&mut self, ready: usize, after: usize) {
        self.text.drop_first(ready + after);
        self.ready_bytes = if after > 0 { self.text.len() } else { self.ready_bytes - ready };
    }
}

/// Numbers of bytes in one write, in the order in which they are written.
#[derive(Default)]
struct Parts {
    /// Feed: the rest of a partly written line.
    rest_of_line: usize,
    /// Outbox: text that need not wait.
    ready: usize,
    /// Feed: lines before the offset for which the other text waits.
    before: usize,
    /// Outbox: the other text.
    after: usize,
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
            self.buffers.get_or_insert_default().outbox.add_after(text, feed.head());
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
            return 0;
        }
        let mut slices = IoSlices::default();
        let outbox = self.buffers.as_ref().map(|buffers| &buffers.outbox).filter(|outbox| !outbox.is_empty());
        let parts = pending(&self.cursor, outbox, feed, &mut slices);
        if slices.is_empty() {
            return 0;
        }
        match retry(|| self.socket.write_vectored(slices.as_slices())) {
            Ok(0) => {
                // The system took no byte and returned no error: more attempts would only keep the loop busy.
                self.close_now(CloseReason::NoProgress);
                0
            }
            Ok(bytes) => {
                let from_outbox = self.advance_outbox(bytes, &parts);
                feed.advance(&mut self.cursor, bytes - from_outbox);
                bytes
            }
            Err(error) => {
                self.writable = false;
                if error.kind() != ErrorKind::WouldBlock {
                    self.on_write_error(&error);
                }
                0
            }
        }
    }

    /// Notes that the first `bytes` of a write were written; returns how many of them came from the outbox.
    fn advance_outbox(&mut self, bytes: usize, parts: &Parts) -> usize {
        let Some(buffers) = &mut self.buffers else { return 0 };
        let bytes = bytes.saturating_sub(parts.rest_of_line);
        let ready = bytes.min(parts.ready);
        let after = (bytes - ready).saturating_sub(parts.before).min(parts.after);
        buffers.outbox.consume(ready, after);
        self.free_buffers();
        ready + after
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
) -> Parts {
    let mut parts = Parts::default();
    let Some(outbox) = outbox else {
        feed.pending(cursor, slices);
        return parts;
    };
    let (ready, after) = outbox.text.split_at(outbox.ready_bytes);
    let mut at = cursor.clone();
    feed.rest_of_line(&at, slices);
    parts.rest_of_line = slices.len();
    feed.advance(&mut at, parts.rest_of_line);
    if slices.push(ready) {
        parts.ready = ready.len();
    }
    let so_far = slices.len();
    feed.pending_until(&at, outbox.not_before, slices);
    parts.before = slices.len() - so_far;
    feed.advance(&mut at, parts.before);
    if feed.has_passed(&mut at, outbox.not_before) && slices.push(after) {
        parts.after = after.len();
        feed.pending(&at, slices);
    }
    parts
}
