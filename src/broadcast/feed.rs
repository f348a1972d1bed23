//! One bounded ring of lines that all readers share.
//!
//! Broadcast is one append. A reader owns no copy of what it has yet to receive: it owns a
//! [`Cursor`], an offset into the feed that may stand in the middle of a line. Only this module knows
//! what an offset is.
//!
//! ```text
//!          tail: nobody lacks anything before        head: the next append
//!            │                                         │
//!   ─────────┼─────────────────────────────────────────┼───────►  offsets, counting up for ever
//!                 ▲                      ▲
//!               cursor                 cursor
//! ```
//!
//! Whose a line is, its author alone knows: it passes what it says as it says it, or, where it is
//! behind, remembers where its own lines stand and skips them when it comes to them. So a place in the
//! ring costs nothing but its bytes, and nobody can be taken for the author of someone else's line.

mod cursor;
mod history;
mod io_slices;

pub use cursor::Cursor;
use cursor::NO_END;
use history::History;
pub use io_slices::IoSlices;

use memchr::memchr;
use memmap2::MmapMut;
use std::io;

/// Bytes of the ring that are kept when nobody lacks anything: room for the talk of members.
const KEPT: usize = 16 * 1024;

/// The feed: see the module's text.
#[derive(Debug)]
pub struct Feed {
    ring: MmapMut,
    /// Bytes from the ring's start on that were ever written to, and so are resident.
    used: usize,
    /// What is kept for those who join some lines back, if anything is.
    history: Option<History>,
    /// The offset whose byte stands first in the ring; at most `head`, and at most a ring behind it and `tail`.
    origin: u64,
    tail: u64,
    /// Where the feed ended when every reader was last written to.
    written_to_all: u64,
    head: u64,
}

/// A place that readers are expected to reach; by default, the feed's beginning.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Offset(u64);

/// The feed has no room for a line: nothing of it was appended.
#[derive(Debug, PartialEq, Eq)]
pub struct FeedFull;

impl Feed {
    /// A feed of `size` bytes, at least 1. Memory that no line ever reached is not resident.
    ///
    /// # Errors
    /// The system has not so much memory.
    pub fn new(size: usize) -> io::Result<Self> {
        let ring = MmapMut::map_anon(size.max(1))?;
        Ok(Self { ring, used: 0, history: None, origin: 0, tail: 0, written_to_all: 0, head: 0 })
    }

    /// Whether nobody lacks anything, and much memory is kept that a burst once took.
    pub fn has_slack(&self) -> bool {
        let is_outgrown = |history: &History| history.is_outgrown(self.used, self.head);
        self.tail == self.head && self.used > KEPT && self.history.as_ref().is_none_or(is_outgrown)
    }

    /// Bytes of memory that were ever written to, and so are resident.
    pub const fn resident(&self) -> usize {
        self.used
    }

    /// Gives the memory that a burst took back to the system, but for the last `lines` lines of a feed that can
    /// be joined so far back.
    pub fn trim_memory(&mut self, lines: usize) {
        if !self.has_slack() {
            return;
        }
        // Where there is none to take instead, what is there is kept.
        let Ok(mut ring) = MmapMut::map_anon(self.size()) else { return };
        // With the line end before, which tells where the first of them begins.
        let origin = match self.history {
            Some(_) => self.find_lines_back(lines).saturating_sub(1),
            None => self.head,
        };
        let mut kept = IoSlices::default();
        self.push(origin, self.head, &mut kept);
        let mut end = 0;
        for slice in kept.as_slices() {
            ring[end..end + slice.len()].copy_from_slice(slice);
            end += slice.len();
        }
        (self.ring, self.origin, self.used) = (ring, origin, end);
        if let Some(history) = &mut self.history {
            *history = History::kept(origin, self.head);
        }
    }

    /// Bytes of the ring.
    pub fn size(&self) -> usize {
        self.ring.len()
    }

    /// Bytes that can be appended now, each line's end included.
    pub fn room(&self) -> usize {
        self.size() - distance(self.tail, self.head)
    }

    /// A reader that lacks nothing of what was said before it came.
    pub const fn join(&self) -> Cursor {
        Cursor { at: self.head, own: None, left: NO_END, mid_line: false }
    }

    /// Appends `line` and a line end for everyone but its author, where that reads here.
    ///
    /// # Errors
    /// [`FeedFull`] where [`room`](Self::room) is too small for the line and its end.
    pub fn append(&mut self, author: Option<&mut Cursor>, line: &[u8]) -> Result<(), FeedFull> {
        if line.len() >= self.room() {
            return Err(FeedFull);
        }
        if self.tail == self.head && self.history.is_none() {
            // Nobody lacks anything: begin anew where memory is warm, and use no more of it than needed.
            self.origin = self.head;
        }
        let start = self.head;
        self.write(line);
        self.write(b"\n");
        match author {
            Some(author) if author.at == start => author.at = self.head,
            Some(author) => author.remember(start..self.head),
            None => {}
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) {
        let at = self.place(self.head);
        let first = bytes.len().min(self.size() - at);
        self.ring[at..at + first].copy_from_slice(&bytes[..first]);
        self.ring[..bytes.len() - first].copy_from_slice(&bytes[first..]);
        self.used = if first < bytes.len() { self.size() } else { self.used.max(at + first) };
        self.head += bytes.len() as u64;
    }

    /// Adds to `slices` what `cursor` lacks, its own lines left out, as far as there are places.
    pub fn pending<'a>(&'a self, cursor: &Cursor, slices: &mut IoSlices<'a>) {
        self.pending_until(cursor, self.head(), slices);
    }

    /// The same, up to `mark`, which is where a line ended once.
    pub fn pending_until<'a>(&'a self, cursor: &Cursor, mark: Offset, slices: &mut IoSlices<'a>) {
        let end = cursor.end(self.head).min(mark.0);
        let mut at = cursor.at;
        let mut own = cursor.own.iter().flat_map(|own| own.iter());
        while at < end {
            let next = own.next();
            let stop = next.map_or(end, |lines| lines.start.min(end));
            if at < stop && !self.push(at, stop, slices) {
                return;
            }
            at = next.map_or(stop, |lines| lines.end);
        }
    }

    /// Adds to `slices` the rest of the line in whose middle `cursor` stands, or nothing.
    pub fn rest_of_line<'a>(&'a self, cursor: &Cursor, slices: &mut IoSlices<'a>) {
        if cursor.mid_line {
            self.push(cursor.at, self.end_of_line(cursor.at), slices);
        }
    }

    /// `cursor` was given `bytes` more of what it is owed; it also passes its own lines that follow.
    pub fn advance(&self, cursor: &mut Cursor, mut bytes: usize) {
        cursor.skip_own();
        while bytes > 0 {
            let stop = cursor.next_own().map_or(self.head, |lines| lines.start);
            let step = bytes.min(distance(cursor.at, stop));
            if step == 0 {
                break;
            }
            bytes -= step;
            cursor.move_to(cursor.at + step as u64);
            cursor.mid_line = self.ring[self.place(cursor.at - 1)] != b'\n';
            cursor.skip_own();
        }
    }

    /// Whether `cursor` is owed anything; it first passes its own lines that come next.
    pub fn is_behind(&self, cursor: &mut Cursor) -> bool {
        cursor.skip_own();
        cursor.at < cursor.end(self.head)
    }

    /// Bytes between `cursor` and the newest line's end.
    pub fn behind(&self, cursor: &Cursor) -> usize {
        distance(cursor.at, self.head)
    }

    /// From now on `cursor` is owed what was said until now, and nothing more.
    pub fn stop_at_head(&self, cursor: &mut Cursor) {
        cursor.end_at(self.head);
    }

    /// From now on `cursor` is owed the rest of the line that it stands in, and nothing more.
    pub fn stop_at_line_end(&self, cursor: &mut Cursor) {
        let end = if cursor.mid_line { self.end_of_line(cursor.at) } else { cursor.at };
        cursor.end_at(end);
    }

    /// Whether anything was appended since every reader was written to.
    pub const fn has_unwritten(&self) -> bool {
        self.written_to_all < self.head
    }

    /// Notes that every reader was written to.
    pub const fn mark_all_written(&mut self) {
        self.written_to_all = self.head;
    }

    /// Forgets what none of `readers` lacks: give it every reader that was behind when
    /// [all were served](Self::mark_all_written). What was said since is kept, for everyone may lack it.
    pub fn release<'a>(&mut self, readers: impl Iterator<Item = &'a Cursor>) {
        let slowest = readers.map(|cursor| cursor.at).fold(self.written_to_all, u64::min);
        self.tail = self.tail.max(slowest);
        if self.tail >= self.origin + self.size() as u64 {
            self.origin += self.size() as u64;
        }
    }

    /// Where the newest line ends.
    pub const fn head(&self) -> Offset {
        Offset(self.head)
    }

    /// Whether `cursor` was given all that it is owed of what stands before `mark`; it first passes its own
    /// lines that come next.
    pub fn has_passed(&self, cursor: &mut Cursor, mark: Offset) -> bool {
        cursor.skip_own();
        cursor.at >= mark.0.min(cursor.end(self.head))
    }

    /// Where the slowest reader stands once it has taken half a feed more.
    pub fn stall_mark(&self) -> Offset {
        Offset(self.tail + self.size() as u64 / 2)
    }

    /// Whether the slowest reader has reached `mark`.
    pub const fn tail_reached(&self, mark: Offset) -> bool {
        self.tail >= mark.0
    }

    /// Whether no reader is more than half a feed behind the newest line.
    pub fn is_half_free(&self) -> bool {
        distance(self.tail, self.head) <= self.size() / 2
    }

    /// Whether `cursor` has neither reached `mark` nor come within half a feed of the newest line.
    pub fn is_stalled(&self, cursor: &Cursor, mark: Offset) -> bool {
        cursor.at < mark.0 && self.behind(cursor) > self.size() / 2
    }

    /// Adds the ring's one or two slices from `at` to `end`.
    fn push<'a>(&'a self, at: u64, end: u64, slices: &mut IoSlices<'a>) -> bool {
        let (start, length) = (self.place(at), distance(at, end));
        let first = length.min(self.size() - start);
        slices.push(&self.ring[start..start + first]) && slices.push(&self.ring[..length - first])
    }

    /// The offset after the line end that follows `at`.
    fn end_of_line(&self, at: u64) -> u64 {
        let mut slices = IoSlices::default();
        self.push(at, self.head, &mut slices);
        let mut end = at;
        for slice in slices.as_slices() {
            match memchr(b'\n', slice) {
                Some(found) => return end + found as u64 + 1,
                None => end += slice.len() as u64,
            }
        }
        end
    }

    /// Where in the ring the byte of an offset stands that is no more than a ring before `head`.
    fn place(&self, offset: u64) -> usize {
        let origin = if offset < self.origin { self.origin - self.size() as u64 } else { self.origin };
        let place = distance(origin, offset);
        if place >= self.size() { place - self.size() } else { place }
    }
}

/// Bytes from one offset to a later one: never more than two rings, so it fits.
#[expect(clippy::cast_possible_truncation, reason = "offsets in use span at most two rings in memory")]
const fn distance(from: u64, to: u64) -> usize {
    to.saturating_sub(from) as usize
}
