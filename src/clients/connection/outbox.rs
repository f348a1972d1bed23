//! What one client is told: the lines it lacks, and text for it alone.

use super::{Connection, State};
use crate::broadcast::feed::{Cursor, Feed, IoSlices, Offset};
use crate::chat::room::Room;
use crate::clients::close_reason::CloseReason;
use crate::net::transport::{Transport, retry};
use crate::util::buffer::Buffer;
use std::io::{self, ErrorKind};

/// Text for one connection alone is not added, and its sender not read, beyond this many bytes. One
/// read more may add its telnet answers, no longer than what was read.
const OUTBOX_LIMIT: usize = 4096;

/// Text for one connection alone, and when it is to be told.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    text: Buffer,
    /// So many bytes of it are told as soon as can be.
    free: usize,
    /// The others are not told before it was told what all were told until then.
    after: Offset,
}

impl Outbox {
    fn add(&mut self, text: &[u8]) {
        let waits = self.free < self.text.len();
        self.text.extend_from_slice(text);
        if !waits {
            self.free = self.text.len();
        }
    }

    fn add_after(&mut self, text: &[u8], mark: Offset) {
        self.text.extend_from_slice(text);
        self.after = mark;
    }

    /// The first bytes of it were told; a line that was begun waits for nothing.
    fn told(&mut self, free: usize, after: usize) {
        self.text.drop_first(free + after);
        self.free = if after > 0 { self.text.len() } else { self.free - free };
    }
}

/// Bytes of one write, in their order: of lines and of the outbox by turns.
#[derive(Default)]
struct Parts {
    rest_of_line: usize,
    free: usize,
    before: usize,
    after: usize,
}

impl<S: Transport> Connection<S> {
    /// Whether it has so much text for it alone to take that no more is added but what it has to be told.
    pub fn is_outbox_full(&self) -> bool {
        self.outbox_len() > OUTBOX_LIMIT
    }

    /// Bytes of text for this client alone that it was not told yet.
    pub fn outbox_len(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.text.len())
    }

    /// Adds text for this client alone, if it still hears any.
    pub fn tell(&mut self, text: &[u8]) {
        if self.can_write() && !text.is_empty() {
            self.outbox.get_or_insert_default().add(text);
        }
    }

    /// The same, after all that was said to everyone until now.
    pub fn queue_text_after_feed(&mut self, text: &[u8], room: &Room) {
        if self.can_write() && !text.is_empty() {
            let newest = room.feed(self.view).newest();
            self.outbox.get_or_insert_default().add_after(text, newest);
        }
    }

    /// Writes once, all that it lacks; returns the bytes written.
    ///
    /// The text for it alone goes where its cursor stands at a line's end, before any more lines, but for
    /// those that it has to come after.
    pub fn write(&mut self, room: &Room) -> usize {
        let feed = room.feed(self.view);
        let mut slices = IoSlices::default();
        let parts = owed(&self.cursor, self.outbox.as_deref(), feed, &mut slices);
        if slices.is_empty() {
            return 0;
        }
        match retry(|| self.socket.write_vectored(slices.as_slices())) {
            Ok(0) => {
                // Neither taken nor refused: to try again would keep the loop busy for nothing.
                self.over(CloseReason::NoProgress);
                0
            }
            Ok(bytes) => {
                let told = self.told(bytes, &parts);
                feed.advance(&mut self.cursor, bytes - told);
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

    /// The first `bytes` of a write were taken; how many of them were the outbox's.
    fn told(&mut self, bytes: usize, parts: &Parts) -> usize {
        let Some(outbox) = &mut self.outbox else { return 0 };
        let bytes = bytes.saturating_sub(parts.rest_of_line);
        let free = bytes.min(parts.free);
        let after = (bytes - free).saturating_sub(parts.before).min(parts.after);
        outbox.told(free, after);
        self.outbox.take_if(|outbox| outbox.text.is_empty());
        free + after
    }

    /// A write failed: nobody hears, but what was said before is still to be read.
    fn on_write_error(&mut self, error: &io::Error) {
        match self.state {
            State::Open if error.kind() != ErrorKind::Interrupted => {
                self.outbox = None;
                self.state = State::WriteFailed { broken: error.kind() };
                self.readable = true;
            }
            _ => self.broke(error),
        }
    }
}

/// Adds to `slices` all that one lacks, as far as there are places; what is of the outbox.
fn owed<'a>(cursor: &Cursor, outbox: Option<&'a Outbox>, feed: &'a Feed, slices: &mut IoSlices<'a>) -> Parts {
    let mut parts = Parts::default();
    let Some(outbox) = outbox else {
        feed.owed(cursor, slices);
        return parts;
    };
    let (free, after) = outbox.text.split_at(outbox.free);
    let mut at = cursor.clone();
    feed.rest_of_line(&at, slices);
    parts.rest_of_line = slices.len();
    feed.advance(&mut at, parts.rest_of_line);
    if slices.push(free) {
        parts.free = free.len();
    }
    let so_far = slices.len();
    feed.pending_until(&at, outbox.after, slices);
    parts.before = slices.len() - so_far;
    feed.advance(&mut at, parts.before);
    if feed.has_passed(&mut at, outbox.after) && slices.push(after) {
        parts.after = after.len();
        feed.owed(&at, slices);
    }
    parts
}
