//! One view's feed, its stall timer, and the count of its missed notices.

use super::admission::LineCost;
use super::feed::{Cursor, Feed, FeedFull, Offset};
use super::stall_timer::StallTimer;
use crate::util::clock::Moment;
use std::io;
use std::time::Duration;

/// The lines that all clients in one view receive, rendered already.
#[derive(Debug)]
pub struct Channel {
    feed: Feed,
    cost: LineCost,
    stall: StallTimer,
    /// Number of readers.
    readers: usize,
    has_history: bool,
    /// How many notices found no space. When there is space again, one line gives this number.
    missed: u64,
}

impl Channel {
    /// An empty channel with a feed of `size` bytes, with or without history for new readers.
    ///
    /// # Errors
    /// The system does not have the memory for the feed.
    pub fn new(size: usize, has_history: bool, cost: LineCost) -> io::Result<Self> {
        let feed = if has_history { Feed::with_history(size)? } else { Feed::new(size)? };
        Ok(Self { feed, cost, stall: StallTimer::default(), readers: 0, has_history, missed: 0 })
    }

    /// The feed.
    pub const fn feed(&self) -> &Feed {
        &self.feed
    }

    /// What a line takes here at most.
    pub const fn cost(&self) -> LineCost {
        self.cost
    }

    /// The cursor of a new reader that receives the last `lines` lines, and how many of them are kept.
    pub fn join(&mut self, lines: usize) -> (Cursor, usize) {
        self.readers += 1;
        let cursor = self.feed.join_with_history(lines);
        let kept = self.feed.history_lines(&cursor);
        (cursor, kept)
    }

    /// Notes that a reader was removed.
    pub const fn leave(&mut self) {
        self.readers -= 1;
    }

    /// Whether anyone needs the lines of this channel: it has readers, or keeps history for new ones.
    pub const fn is_used(&self) -> bool {
        self.readers > 0 || self.has_history
    }

    /// Appends a line for every reader except its author, if the author reads this channel.
    ///
    /// # Errors
    /// [`FeedFull`] if the feed has no space for it; nothing was appended.
    pub fn append(&mut self, author: Option<&mut Cursor>, line: &[u8]) -> Result<(), FeedFull> {
        self.feed.append(author, line)
    }

    /// Appends a notice, or counts it if the feed has no space. If earlier notices were counted, the line that
    /// `summary` renders for their number is appended first, so that the order of notices stays.
    pub fn notify(&mut self, author: Option<&mut Cursor>, line: &[u8], summary: impl FnOnce(u64) -> Vec<u8>) {
        self.append_missed(summary);
        if self.missed > 0 || self.feed.append(author, line).is_err() {
            self.missed += 1;
        }
    }

    /// Appends the line for missed notices, if there are any and the feed has space now.
    pub fn append_missed(&mut self, summary: impl FnOnce(u64) -> Vec<u8>) {
        if self.missed > 0 && self.feed.append(None, &summary(self.missed)).is_ok() {
            self.missed = 0;
        }
    }

    /// Whether lines are pending for any reader.
    pub fn is_behind(&self) -> bool {
        self.feed.space() < self.feed.size()
    }

    /// Notes that every reader was written to.
    pub const fn mark_all_written(&mut self) {
        self.feed.mark_all_written();
    }

    /// Frees the lines that all readers have received. `readers` are those that were still behind after the
    /// [last write to all](Self::mark_all_written); lines that were appended since are kept.
    pub fn reclaim<'a>(&mut self, readers: impl Iterator<Item = &'a Cursor>) {
        self.feed.reclaim(readers);
    }

    /// Returns memory of a burst to the system, except that of the last `history` lines.
    pub fn trim(&mut self, history: usize) {
        self.feed.trim(history);
    }

    /// Runs the stall timer while senders or missed notices wait for readers, otherwise pauses it; returns its
    /// deadline while it runs.
    pub fn update_stall_timer(
        &mut self,
        senders_wait: bool,
        timeout: Duration,
        now: Moment,
    ) -> Option<Moment> {
        self.stall.update(&self.feed, senders_wait || self.missed > 0, timeout, now)
    }

    /// Stops the stall timer if it has run for `timeout`; returns the offset that readers had to reach.
    pub fn take_expired_stall(&mut self, timeout: Duration, now: Moment) -> Option<Offset> {
        self.stall.take_expired(timeout, now)
    }
}
