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
    /// The last result of [`find_lines_back`](Feed::find_lines_back), the head, and the number of lines that were
    /// wanted. Clients may join again and again while nothing is sent.
    lines_back: Option<(u64, usize, LinesBack)>,
}

/// Where the last lines begin, and how many there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinesBack {
    pub(super) at: u64,
    lines: usize,
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
        let found = match history.lines_back {
            Some((head, of, found)) if (head, of) == (self.head, lines) => found,
            _ => self.find_lines_back(lines),
        };
        cursor.at = found.at;
        self.tail = self.tail.min(cursor.at);
        if let Some(history) = &mut self.history {
            history.lines_back = Some((self.head, lines, found));
        }
        cursor
    }

    /// How many lines of history a reader receives that has just joined.
    pub fn history_lines(&self, cursor: &Cursor) -> usize {
        match self.history.as_ref().and_then(|history| history.lines_back) {
            Some((head, _, found)) if (head, found.at) == (self.head, cursor.at) => found.lines,
            _ => 0,
        }
    }

    /// Where the last `lines` lines begin, or as many as are kept.
    pub(super) fn find_lines_back(&self, lines: usize) -> LinesBack {
        let begins = self.history.as_ref().map_or(0, |history| history.begins);
        let oldest = self.head.saturating_sub(self.size() as u64 / 2);
        // The byte before shows whether a line begins there.
        let from = oldest.saturating_sub(1).max(begins);
        let mut slices = IoSlices::default();
        self.push(from, self.head, &mut slices);
        let (mut end, mut start, mut line_ends) = (self.head, self.head, 0);
        for slice in slices.as_slices().iter().rev() {
            end -= slice.len() as u64;
            for line_end in memrchr_iter(b'\n', slice) {
                start = end + line_end as u64 + 1;
                if line_ends == lines {
                    return LinesBack { at: start, lines };
                }
                line_ends += 1;
            }
        }
        // The first line end found is that of an earlier line, unless the feed has every line since its beginning.
        let (at, lines) =
            if oldest.max(begins) == 0 { (0, line_ends) } else { (start, line_ends.saturating_sub(1)) };
        LinesBack { at, lines }
    }
}
