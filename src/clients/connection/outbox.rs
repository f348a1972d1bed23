//! What one client receives: lines of the feed, and text for it alone.

use super::{Connection, State};
use crate::broadcast::feed::{Cursor, Feed, IoSlices, Offset};
use crate::clients::close_reason::CloseReason;
use crate::net::transport::{Transport, retry};
use crate::util::buffer::Buffer;
use std::io::{self, ErrorKind};

/// Above this size, in bytes, no reply is added and the client is not read.
const OUTBOX_LIMIT: usize = 4096;

/// Text for one client alone, and when it may be written.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    text: Buffer,
    /// Bytes that may be written now, at the next line end.
    ready_bytes: usize,
    /// The remaining bytes must wait until the cursor has passed this offset.
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

    /// Drops the bytes that were written. A line that was begun waits for nothing.
    fn consume(&mut self, ready: usize, after: usize) {
        self.text.drop_first(ready + after);
        self.ready_bytes = if after > 0 { self.text.len() } else { self.ready_bytes - ready };
    }
}

/// Bytes of one write, in their order: of the feed and of the outbox in turn.
#[derive(Default)]
struct Parts {
    rest_of_line: usize,
    ready: usize,
    before: usize,
    after: usize,
}

impl<S: Transport> Connection<S> {
    /// Whether so much text waits that no reply is added and the client is not read.
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

    /// Adds text for this client alone that follows all lines that are in the feed now.
    pub fn queue_text_after_feed(&mut self, text: &[u8], feed: &Feed) {
        if self.can_write() && !text.is_empty() {
            self.buffers.get_or_insert_default().outbox.add_after(text, feed.head());
        }
    }

    /// Writes once, everything that is pending; returns the bytes written.
    ///
    /// The outbox is written where the cursor stands at a line's end, before any more lines, except for those
    /// that it has to follow.
    pub fn write(&mut self, feed: &Feed) -> usize {
        let mut slices = IoSlices::default();
        let outbox = self.buffers.as_ref().map(|buffers| &buffers.outbox).filter(|outbox| !outbox.is_empty());
        let parts = pending(&self.cursor, outbox, feed, &mut slices);
        if slices.is_empty() {
            return 0;
        }
        match retry(|| self.socket.write_vectored(slices.as_slices())) {
            Ok(0) => {
                // Neither taken nor refused: to try again would keep the loop busy for nothing.
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

    /// Notes that the first `bytes` of a write were taken; returns how many of them were the outbox's.
    fn advance_outbox(&mut self, bytes: usize, parts: &Parts) -> usize {
        let Some(buffers) = &mut self.buffers else { return 0 };
        let bytes = bytes.saturating_sub(parts.rest_of_line);
        let ready = bytes.min(parts.ready);
        let after = (bytes - ready).saturating_sub(parts.before).min(parts.after);
        buffers.outbox.consume(ready, after);
        self.free_buffers();
        ready + after
    }

    /// A write failed: nothing more is written, but what the peer sent before is still read.
    fn on_write_error(&mut self, error: &io::Error) {
        match self.state {
            State::Open if error.kind() != ErrorKind::Interrupted => {
                if let Some(buffers) = &mut self.buffers {
                    buffers.outbox = Outbox::default();
                }
                self.free_buffers();
                self.state = State::WriteFailed { error: error.kind() };
                self.readable = true;
            }
            _ => self.on_error(error),
        }
    }
}

/// Adds to `slices` everything that is pending, as far as there are places; returns the length of each part.
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
