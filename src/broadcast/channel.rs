//! One view's feed, and what waits for its readers.

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
    /// Notices that found no space: they are summed up in one line once there is some.
    missed: u64,
}

impl Channel {
    /// An empty channel with a feed of `size` bytes, with or without history for new readers.
    ///
    /// # Errors
    /// The system has not as much memory as the feed may take.
    pub fn new(size: usize, has_history: bool, cost: LineCost) -> io::Result<Self> {
        let feed = if has_history { Feed::with_history(size)? } else { Feed::new(size)? };
        Ok(Self { feed, cost, stall: StallTimer::default(), missed: 0 })
    }

    /// The lines, for their readers.
    pub const fn feed(&self) -> &Feed {
        &self.feed
    }

    /// What a line takes here at most.
    pub const fn cost(&self) -> LineCost {
        self.cost
    }

    /// The cursor of a new reader that receives the last `lines` lines.
    pub fn join(&mut self, lines: usize) -> Cursor {
        self.feed.join_with_history(lines)
    }

    /// Appends a line for every reader but its author, if that reads here.
    ///
    /// # Errors
    /// [`FeedFull`] if the feed has no space for it; nothing was appended.
    pub fn append(&mut self, author: Option<&mut Cursor>, line: &[u8]) -> Result<(), FeedFull> {
        self.feed.append(author, line)
    }

    /// Appends a notice, or counts it if the feed has no space. `summary` renders the number of those that
    /// were counted before, which is appended first: the order of notices stays.
    pub fn notify(&mut self, author: Option<&mut Cursor>, line: &[u8], summary: impl FnOnce(u64) -> Vec<u8>) {
        self.append_missed(summary);
        if self.missed > 0 || self.feed.append(author, line).is_err() {
            self.missed += 1;
        }
    }

    /// Appends the number of notices that found no space, if there were any and there is space now.
    pub fn append_missed(&mut self, summary: impl FnOnce(u64) -> Vec<u8>) {
        if self.missed > 0 && self.feed.append(None, &summary(self.missed)).is_ok() {
            self.missed = 0;
        }
    }

    /// Whether any reader has still to receive something.
    pub fn is_behind(&self) -> bool {
        self.feed.space() < self.feed.size()
    }

    /// Notes that every reader was written to.
    pub const fn mark_all_written(&mut self) {
        self.feed.mark_all_written();
    }

    /// Frees what all of `readers` have received: every reader that was behind when
    /// [all were written to](Self::mark_all_written).
    pub fn reclaim<'a>(&mut self, readers: impl Iterator<Item = &'a Cursor>) {
        self.feed.reclaim(readers);
    }

    /// Returns memory of a burst to the system, but for the last `history` lines.
    pub fn trim(&mut self, history: usize) {
        self.feed.trim(history);
    }

    /// Starts, continues or pauses the stall timer; returns its deadline while senders or notices wait.
    pub fn update_stall_timer(
        &mut self,
        senders_wait: bool,
        timeout: Duration,
        now: Moment,
    ) -> Option<Moment> {
        self.stall.update(&self.feed, senders_wait || self.missed > 0, timeout, now)
    }

    /// Takes the offset that readers had to reach, once they were waited for as long as `timeout`.
    pub fn take_expired_stall(&mut self, timeout: Duration, now: Moment) -> Option<Offset> {
        self.stall.take_expired(timeout, now)
    }
}
