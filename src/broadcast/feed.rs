//! One bounded ring of lines that all readers share.
//!
//! A broadcast is one append. A reader owns no copy of what is pending for it: it owns a [`Cursor`],
//! an offset into the feed that may stand in the middle of a line. Only this module knows what an offset is.
//!
//! ```text
//!          tail: all readers are past it             head: the next append
//!            │                                         │
//!   ─────────┼─────────────────────────────────────────┼───────►  offsets, counting up for ever
//!                 ▲                      ▲
//!               cursor                 cursor
//! ```
//!
//! The ring does not store who sent a line. A sender does not receive its own line: if it is up to date, its
//! cursor moves past the line at once; if it is behind, its cursor records the range and skips it later.

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

/// Bytes of the ring whose memory is always kept: enough while people type.
const MIN_RETAINED: usize = 16 * 1024;

/// A bounded ring of lines and its offsets; see the module documentation.
#[derive(Debug)]
pub struct Feed {
    ring: MmapMut,
    /// The high-water mark of the ring: bytes from its start that were written to, and so are resident.
    high_water: usize,
    /// What is kept for readers that join with history; `None` without history.
    history: Option<History>,
    /// The offset at the start of the ring: at most `tail`, and less than one ring size before `tail`.
    origin: u64,
    /// All readers have received everything before this offset.
    tail: u64,
    /// The head at the last write to all readers.
    written_to_all: u64,
    head: u64,
}

/// An offset into the feed. The default is the beginning of the feed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Offset(u64);

/// The feed has no space for a line; nothing of it was appended.
#[derive(Debug, PartialEq, Eq)]
pub struct FeedFull;

impl Feed {
    /// A feed of `size` bytes, at least 1. Memory is resident only where lines were written.
    ///
    /// # Errors
    /// The system does not have that much memory.
    pub fn new(size: usize) -> io::Result<Self> {
        let ring = MmapMut::map_anon(size.max(1))?;
        Ok(Self { ring, high_water: 0, history: None, origin: 0, tail: 0, written_to_all: 0, head: 0 })
    }

    /// Whether all readers are up to date, and the ring keeps much memory of an earlier burst.
    pub fn has_slack(&self) -> bool {
        let is_outgrown = |history: &History| history.is_outgrown(self.high_water, self.head);
        self.tail == self.head
            && self.high_water > MIN_RETAINED
            && self.history.as_ref().is_none_or(is_outgrown)
    }

    /// Bytes of memory that were written to, and so are resident.
    pub const fn resident(&self) -> usize {
        self.high_water
    }

    /// Returns memory of a burst to the system, except for the last `lines` lines if the feed has history.
    pub fn trim(&mut self, lines: usize) {
        if !self.has_slack() {
            return;
        }
        // If the system has no memory for a new mapping, the old one stays.
        let Ok(mut ring) = MmapMut::map_anon(self.size()) else { return };
        // The line end before these lines is kept too: it shows where the first line begins.
        let origin = match self.history {
            Some(_) => self.find_lines_back(lines).at.saturating_sub(1),
            None => self.head,
        };
        let mut kept = IoSlices::default();
        self.push(origin, self.head, &mut kept);
        let mut end = 0;
        for slice in kept.as_slices() {
            ring[end..end + slice.len()].copy_from_slice(slice);
            end += slice.len();
        }
        (self.ring, self.origin, self.high_water) = (ring, origin, end);
        if let Some(history) = &mut self.history {
            *history = History::kept(origin, self.head);
        }
    }

    /// The size of the ring, in bytes.
    pub fn size(&self) -> usize {
        self.ring.len()
    }

    /// Bytes that can be appended now, line ends included.
    pub fn space(&self) -> usize {
        self.size() - distance(self.tail, self.head)
    }

    /// The cursor of a reader that receives only what is appended from now on.
    pub const fn join(&self) -> Cursor {
        Cursor { at: self.head, skip_ranges: None, remaining: NO_END, mid_line: false }
    }

    /// Appends `line` and a line end for every reader except its author, if the author reads this feed.
    ///
    /// # Errors
    /// [`FeedFull`] if the line and its end take more than [`space`](Self::space).
    pub fn append(&mut self, author: Option<&mut Cursor>, line: &[u8]) -> Result<(), FeedFull> {
        if line.len() >= self.space() {
            return Err(FeedFull);
        }
        if self.tail == self.head && self.history.is_none() {
            // All readers are up to date: start again at the beginning of the ring, whose memory is resident.
            self.origin = self.head;
        }
        let start = self.head;
        self.write(line);
        self.write(b"\n");
        match author {
            Some(author) if author.at == start => author.at = self.head,
            Some(author) => author.skip(start..self.head),
            None => {}
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) {
        let at = self.place(self.head);
        let first = bytes.len().min(self.size() - at);
        self.ring[at..at + first].copy_from_slice(&bytes[..first]);
        self.ring[..bytes.len() - first].copy_from_slice(&bytes[first..]);
        self.high_water = if first < bytes.len() { self.size() } else { self.high_water.max(at + first) };
        self.head += bytes.len() as u64;
    }

    /// Adds what is pending for `cursor` to `slices`, without the reader's own lines, until `slices` is full.
    pub fn pending<'a>(&'a self, cursor: &Cursor, slices: &mut IoSlices<'a>) {
        self.pending_until(cursor, self.head(), slices);
    }

    /// Like [`pending`](Self::pending), up to `mark`, which is the end of a line.
    pub fn pending_until<'a>(&'a self, cursor: &Cursor, mark: Offset, slices: &mut IoSlices<'a>) {
        let end = cursor.end(self.head).min(mark.0);
        let mut at = cursor.at;
        let mut skip_ranges = cursor.skip_ranges.iter().flat_map(|skip_ranges| skip_ranges.iter());
        while at < end {
            let next = skip_ranges.next();
            let stop = next.map_or(end, |lines| lines.start.min(end));
            if at < stop && !self.push(at, stop, slices) {
                return;
            }
            at = next.map_or(stop, |lines| lines.end);
        }
    }

    /// If `cursor` is in the middle of a line, adds the rest of that line to `slices`.
    pub fn rest_of_line<'a>(&'a self, cursor: &Cursor, slices: &mut IoSlices<'a>) {
        if cursor.mid_line {
            self.push(cursor.at, self.end_of_line(cursor.at), slices);
        }
    }

    /// Advances `cursor` by `bytes` that its reader received, and past its own lines that follow.
    pub fn advance(&self, cursor: &mut Cursor, mut bytes: usize) {
        cursor.skip_own();
        while bytes > 0 {
            let stop = cursor.next_skip().map_or(self.head, |lines| lines.start);
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

    /// Whether anything is pending for `cursor`. Moves it past its own lines first.
    pub fn is_behind(&self, cursor: &mut Cursor) -> bool {
        cursor.skip_own();
        cursor.at < cursor.end(self.head)
    }

    /// Bytes between `cursor` and the head.
    pub fn behind(&self, cursor: &Cursor) -> usize {
        distance(cursor.at, self.head)
    }

    /// Stops `cursor` at the head: it receives nothing that is appended from now on.
    pub fn stop_at_head(&self, cursor: &mut Cursor) {
        cursor.end_at(self.head);
    }

    /// Stops `cursor` where it is or, if it is in the middle of a line, at the end of that line.
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

    /// Frees the lines that all readers have received. `readers` must contain every reader that was still behind
    /// after the [last write to all](Self::mark_all_written). Lines that were appended after it are kept.
    pub fn reclaim<'a>(&mut self, readers: impl Iterator<Item = &'a Cursor>) {
        let slowest = readers.map(|cursor| cursor.at).fold(self.written_to_all, u64::min);
        self.tail = self.tail.max(slowest);
        if self.tail >= self.origin + self.size() as u64 {
            self.origin += self.size() as u64;
        }
    }

    /// The end of the newest line.
    pub const fn head(&self) -> Offset {
        Offset(self.head)
    }

    /// Whether `cursor` has received everything before `mark`. Moves it past its own lines first.
    pub fn has_passed(&self, cursor: &mut Cursor, mark: Offset) -> bool {
        cursor.skip_own();
        cursor.at >= mark.0.min(cursor.end(self.head))
    }

    /// The offset that the slowest reader reaches when it has read another half of the feed.
    pub fn stall_mark(&self) -> Offset {
        Offset(self.tail + self.size() as u64 / 2)
    }

    /// Whether the slowest reader has reached `mark`.
    pub const fn tail_reached(&self, mark: Offset) -> bool {
        self.tail >= mark.0
    }

    /// Whether no reader is more than half a feed behind.
    pub fn is_half_free(&self) -> bool {
        distance(self.tail, self.head) <= self.size() / 2
    }

    /// Whether `cursor` is before `mark` and more than half a feed behind.
    pub fn is_stalled(&self, cursor: &Cursor, mark: Offset) -> bool {
        cursor.at < mark.0 && self.behind(cursor) > self.size() / 2
    }

    /// Adds the one or two slices of the ring from `at` to `end`; returns whether they fit.
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

    /// The index in the ring of an offset, which is at most one ring size before `head`.
    fn place(&self, offset: u64) -> usize {
        let origin = if offset < self.origin { self.origin - self.size() as u64 } else { self.origin };
        let place = distance(origin, offset);
        if place >= self.size() { place - self.size() } else { place }
    }
}

/// Bytes from one offset to a later one: at most two ring sizes, so the number fits.
#[expect(clippy::cast_possible_truncation, reason = "offsets in use span at most two rings in memory")]
const fn distance(from: u64, to: u64) -> usize {
    to.saturating_sub(from) as usize
}
