//! The last lines, for readers that join with history: they stay in the ring until their space is needed.

use super::{Cursor, Feed, IoSlices, MIN_RETAINED, distance};
use memchr::memrchr_iter;
use std::io;

/// The lines that a feed keeps although all readers have received them.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The offset of the first line that was kept when memory was trimmed.
    begins: u64,
    /// The head when memory was trimmed.
    trimmed_at: u64,
    /// The last result of [`find_lines_back`](Feed::find_lines_back): head, number of lines, offset. Clients may
    /// join again and again while nothing is sent.
    lines_back: Option<(u64, usize, u64)>,
}

impl History {
    /// The history after memory was trimmed at `head`: lines from `begins` on were kept.
    pub(super) const fn kept(begins: u64, head: u64) -> Self {
        Self { begins, trimmed_at: head, lines_back: None }
    }

    /// Whether trimming would free much: either the used area is over twice the kept history, or enough was
    /// appended since the last trim to have replaced it.
    pub(super) const fn is_outgrown(&self, high_water: usize, head: u64) -> bool {
        let kept = distance(self.begins, self.trimmed_at);
        high_water > 2 * kept || distance(self.trimmed_at, head) > kept / 8 + MIN_RETAINED
    }
}

impl Feed {
    /// A feed like [`new`](Self::new) that keeps received lines, so that readers can join with history.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn with_history(size: usize) -> io::Result<Self> {
        Ok(Self { history: Some(History::default()), ..Self::new(size)? })
    }

    /// The cursor of a reader that also receives the last `lines` lines, or those of them that are kept: at most
    /// half a feed, so that a new client does not block senders. The reader is behind: [`reclaim`](Self::reclaim) must
    /// include it.
    pub fn join_with_history(&mut self, lines: usize) -> Cursor {
        let mut cursor = self.join();
        let Some(history) = &self.history else { return cursor };
        cursor.at = match history.lines_back {
            Some((head, of, at)) if (head, of) == (self.head, lines) => at,
            _ => self.find_lines_back(lines),
        };
        self.tail = self.tail.min(cursor.at);
        if let Some(history) = &mut self.history {
            history.lines_back = Some((self.head, lines, cursor.at));
        }
        cursor
    }

    /// The offset at which the last `lines` lines begin, or as many as are kept.
    pub(super) fn find_lines_back(&self, lines: usize) -> u64 {
        let begins = self.history.as_ref().map_or(0, |history| history.begins);
        let oldest = self.head.saturating_sub(self.size() as u64 / 2);
        // The byte before shows whether a line begins there.
        let from = oldest.saturating_sub(1).max(begins);
        let mut slices = IoSlices::default();
        self.push(from, self.head, &mut slices);
        let (mut end, mut start, mut remaining) = (self.head, self.head, lines);
        for slice in slices.as_slices().iter().rev() {
            end -= slice.len() as u64;
            for line_end in memrchr_iter(b'\n', slice) {
                start = end + line_end as u64 + 1;
                if remaining == 0 {
                    return start;
                }
                remaining -= 1;
            }
        }
        if oldest.max(begins) == 0 { 0 } else { start }
    }
}
