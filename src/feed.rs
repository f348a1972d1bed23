//! One bounded ring of lines that all readers share.
//!
//! Broadcast is one append. A reader owns no copy of what it has yet to receive: it owns a
//! [`Cursor`], an offset into the feed that may stand in the middle of a line. Only this file knows
//! what an offset is.
//!
//! ```text
//!          tail: nobody lacks anything before        head: the next append
//!            │                                         │
//!   ─────────┼──────── run ──┼─ run ─┼────── run ──────┼───────►  offsets, counting up for ever
//!                 ▲                      ▲
//!               cursor                 cursor
//! ```
//!
//! An author who lacks nothing passes its own line as it is said. For one who is behind, consecutive
//! lines are remembered as a *run*, and those of its runs that it has yet to pass are linked, so that
//! skipping its own lines costs a reader nothing for the lines of others.

use memchr::memchr;
use std::collections::VecDeque;
use std::io::IoSlice;

/// Bytes of the feed for each run that may be remembered: a run takes 32 bytes beside the ring, so
/// that one-byte lines of ever-changing authors add at most half of the ring to memory.
const BYTES_PER_RUN: usize = 64;
/// Runs that are remembered in the smallest feed.
const FEWEST_RUNS: usize = 64;
/// Slices of one vectored write. A reader lacks one or two; who speaks between the lines of others
/// lacks one more for each time it spoke. What does not fit goes with the next write.
const SLICES: usize = 32;

/// The feed: see the module's text.
#[derive(Debug)]
pub struct Feed {
    ring: Box<[u8]>,
    /// The offset whose byte stands first in the ring; at most `tail`.
    origin: u64,
    tail: u64,
    head: u64,
    runs: VecDeque<Run>,
    /// The number of the first run in `runs`; numbers wrap.
    first_run: u32,
}

/// Consecutive lines of one author, said while it was behind.
#[derive(Debug)]
struct Run {
    start: u64,
    end: u64,
    /// The number of the author's next run.
    next: Option<u32>,
}

/// A reader's place in the feed, and the way past its own lines: they are known by the reader alone, so
/// that nobody who comes after it can be taken for their author.
#[derive(Debug, Clone)]
pub struct Cursor {
    at: u64,
    /// Nothing from here on is owed to this reader.
    until: u64,
    /// First and last of its own runs that it has not passed.
    own: Option<(u32, u32)>,
    mid_line: bool,
}

impl Cursor {
    /// Whether the reader has been given a part of a line, and nothing else may come before the rest.
    pub const fn is_mid_line(&self) -> bool {
        self.mid_line
    }
}

/// A place that readers are expected to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(u64);

/// The feed has no room for a line: nothing of it was appended.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// What is owed to one reader, in order, as slices of memory that others own.
#[derive(Debug)]
pub struct Slices<'a> {
    slices: [IoSlice<'a>; SLICES],
    count: usize,
    bytes: usize,
}

impl Default for Slices<'_> {
    fn default() -> Self {
        Self { slices: [IoSlice::new(&[]); SLICES], count: 0, bytes: 0 }
    }
}

impl<'a> Slices<'a> {
    /// The slices, none of them empty.
    pub fn as_slices(&self) -> &[IoSlice<'a>] {
        &self.slices[..self.count]
    }

    /// Bytes in all slices.
    pub const fn len(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is owed.
    pub const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Adds `slice` at the end; whether there was a place for it.
    pub fn push(&mut self, slice: &'a [u8]) -> bool {
        if slice.is_empty() {
            return true;
        }
        let Some(place) = self.slices.get_mut(self.count) else { return false };
        *place = IoSlice::new(slice);
        self.count += 1;
        self.bytes += slice.len();
        true
    }
}

impl Feed {
    /// A feed of `size` bytes, at least 1. Memory that no line ever reached is not resident.
    pub fn new(size: usize) -> Self {
        Self {
            ring: vec![0; size.max(1)].into_boxed_slice(),
            origin: 0,
            tail: 0,
            head: 0,
            runs: VecDeque::new(),
            first_run: 0,
        }
    }

    /// Bytes of the ring.
    pub const fn size(&self) -> usize {
        self.ring.len()
    }

    /// Bytes that can be appended now, each line's end included.
    pub fn room(&self) -> usize {
        let most_runs = (self.size() / BYTES_PER_RUN).max(FEWEST_RUNS);
        if self.runs.len() >= most_runs { 0 } else { self.size() - distance(self.tail, self.head) }
    }

    /// A reader that lacks nothing of what was said before it came.
    pub const fn join(&self) -> Cursor {
        Cursor { at: self.head, until: u64::MAX, own: None, mid_line: false }
    }

    /// Appends `line` and a line end for everyone but its author.
    ///
    /// # Errors
    /// [`Full`] where [`room`](Self::room) is too small for the line and its end.
    pub fn append(&mut self, author: &mut Cursor, line: &[u8]) -> Result<(), Full> {
        if line.len() >= self.room() {
            return Err(Full);
        }
        if self.tail == self.head {
            // Nobody lacks anything: begin anew where memory is warm, and use no more of it than needed.
            self.origin = self.head;
        }
        let start = self.head;
        self.write(line);
        self.write(b"\n");
        if author.at == start {
            author.at = self.head;
        } else {
            self.remember(author, start);
        }
        Ok(())
    }

    /// What was appended from `start` on is `author`'s, who has yet to pass it.
    fn remember(&mut self, author: &mut Cursor, start: u64) {
        let end = self.head;
        if let Some((_, last)) = author.own
            && let Some(run) = self.run_mut(last)
            && run.end == start
        {
            run.end = end;
            return;
        }
        let number = self.first_run.wrapping_add(run_number(self.runs.len()));
        self.runs.push_back(Run { start, end, next: None });
        let first = match author.own {
            None => number,
            Some((first, last)) => {
                if let Some(run) = self.run_mut(last) {
                    run.next = Some(number);
                }
                first
            }
        };
        author.own = Some((first, number));
    }

    fn write(&mut self, bytes: &[u8]) {
        let at = self.place(self.head);
        let first = bytes.len().min(self.size() - at);
        self.ring[at..at + first].copy_from_slice(&bytes[..first]);
        self.ring[..bytes.len() - first].copy_from_slice(&bytes[first..]);
        self.head += bytes.len() as u64;
    }

    /// Adds to `slices` what `cursor` lacks, its own lines left out, as far as there are places.
    pub fn owed<'a>(&'a self, cursor: &Cursor, slices: &mut Slices<'a>) {
        let end = self.head.min(cursor.until);
        let mut at = cursor.at;
        let mut own = cursor.own.map(|(first, _)| first);
        while at < end {
            let run = own.and_then(|number| self.run(number));
            let stop = run.map_or(end, |run| run.start.min(end));
            if at < stop && !self.push(at, stop, slices) {
                return;
            }
            at = run.map_or(stop, |run| run.end);
            own = run.and_then(|run| run.next);
        }
    }

    /// Adds to `slices` the rest of the line in whose middle `cursor` stands, or nothing.
    pub fn rest_of_line<'a>(&'a self, cursor: &Cursor, slices: &mut Slices<'a>) {
        if cursor.mid_line {
            self.push(cursor.at, self.end_of_line(cursor.at), slices);
        }
    }

    /// `cursor` was given `bytes` more of what it is owed; it also passes its own lines that follow.
    pub fn advance(&self, cursor: &mut Cursor, mut bytes: usize) {
        self.pass_own(cursor);
        while bytes > 0 {
            let stop = cursor.own.and_then(|(first, _)| self.run(first)).map_or(self.head, |run| run.start);
            let step = bytes.min(distance(cursor.at, stop));
            if step == 0 {
                break;
            }
            bytes -= step;
            cursor.at += step as u64;
            cursor.mid_line = self.ring[self.place(cursor.at - 1)] != b'\n';
            self.pass_own(cursor);
        }
    }

    fn pass_own(&self, cursor: &mut Cursor) {
        while let Some((first, last)) = cursor.own {
            let Some(run) = self.run(first).filter(|run| run.start == cursor.at) else { return };
            cursor.at = run.end;
            cursor.own = run.next.map(|next| (next, last));
        }
    }

    /// Whether `cursor` is owed anything; it first passes its own lines that come next.
    pub fn is_behind(&self, cursor: &mut Cursor) -> bool {
        self.pass_own(cursor);
        cursor.at < self.head.min(cursor.until)
    }

    /// Bytes between `cursor` and the newest line's end.
    pub fn behind(&self, cursor: &Cursor) -> usize {
        distance(cursor.at, self.head)
    }

    /// From now on `cursor` is owed what was said until now, and nothing more.
    pub fn end_here(&self, cursor: &mut Cursor) {
        cursor.until = cursor.until.min(self.head);
    }

    /// From now on `cursor` is owed the rest of the line that it stands in, and nothing more.
    pub fn end_at_line(&self, cursor: &mut Cursor) {
        let end = if cursor.mid_line { self.end_of_line(cursor.at) } else { cursor.at };
        cursor.until = cursor.until.min(end);
    }

    /// Forgets what none of `readers` lacks: give it every reader that is behind.
    pub fn release<'a>(&mut self, readers: impl Iterator<Item = &'a Cursor>) {
        let slowest = readers.map(|cursor| cursor.at).fold(self.head, u64::min);
        self.tail = self.tail.max(slowest);
        if self.tail - self.origin >= self.size() as u64 {
            self.origin += self.size() as u64;
        }
        while self.runs.front().is_some_and(|run| run.end <= self.tail) {
            self.runs.pop_front();
            self.first_run = self.first_run.wrapping_add(1);
        }
    }

    /// Where the slowest reader stands once it has taken half a feed more.
    pub const fn half_a_feed_on(&self) -> Mark {
        Mark(self.tail + self.size() as u64 / 2)
    }

    /// Whether the slowest reader has reached `mark`.
    pub const fn has_reached(&self, mark: Mark) -> bool {
        self.tail >= mark.0
    }

    /// Whether `cursor` has neither reached `mark` nor come within half a feed of the newest line.
    pub fn lags(&self, cursor: &Cursor, mark: Mark) -> bool {
        cursor.at < mark.0 && self.behind(cursor) > self.size() / 2
    }

    /// Adds the ring's one or two slices from `at` to `end`.
    fn push<'a>(&'a self, at: u64, end: u64, slices: &mut Slices<'a>) -> bool {
        let (start, length) = (self.place(at), distance(at, end));
        let first = length.min(self.size() - start);
        slices.push(&self.ring[start..start + first]) && slices.push(&self.ring[..length - first])
    }

    /// The offset after the line end that follows `at`.
    fn end_of_line(&self, at: u64) -> u64 {
        let mut slices = Slices::default();
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

    /// Where in the ring the byte of an offset between `tail` and `head` stands.
    const fn place(&self, offset: u64) -> usize {
        let place = distance(self.origin, offset);
        if place >= self.size() { place - self.size() } else { place }
    }

    /// `None` where every reader has passed it.
    fn run(&self, number: u32) -> Option<&Run> {
        self.runs.get(number.wrapping_sub(self.first_run) as usize)
    }

    fn run_mut(&mut self, number: u32) -> Option<&mut Run> {
        self.runs.get_mut(number.wrapping_sub(self.first_run) as usize)
    }
}

/// Bytes from one offset to a later one: never more than two rings, so it fits.
#[expect(clippy::cast_possible_truncation, reason = "offsets in use span at most two rings in memory")]
const fn distance(from: u64, to: u64) -> usize {
    to.saturating_sub(from) as usize
}

/// Runs are counted in 32 bits: far fewer than that are remembered at a time.
#[expect(clippy::cast_possible_truncation, reason = "bounded by the size of the ring over BYTES_PER_RUN")]
const fn run_number(index: usize) -> u32 {
    index as u32
}
