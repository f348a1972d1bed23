//! What was said before, for those who join some lines back: it stands in the ring until its place is needed.

use super::{Cursor, Feed, IoSlices, KEPT, distance};
use memchr::memrchr_iter;
use std::io;

/// What a feed keeps of what nobody lacks.
#[derive(Debug, Default)]
pub(super) struct History {
    /// What was said before was given back with its memory.
    begins: u64,
    /// Where the feed ended then.
    given_back: u64,
    /// How far back so many lines begin, as of a head: newcomers come again and again while nobody speaks.
    lines_back: Option<(u64, usize, u64)>,
}

impl History {
    /// Of what was said until `head`, what stands from `begins` on was kept when memory was given back.
    pub(super) const fn kept(begins: u64, head: u64) -> Self {
        Self { begins, given_back: head, lines_back: None }
    }

    /// Whether the last lines take much less than `used` bytes, now that the feed ends at `head`: so much has
    /// come since, or so much was said that shorter lines may have taken longer ones' place.
    pub(super) const fn is_outgrown(&self, used: usize, head: u64) -> bool {
        let kept = distance(self.begins, self.given_back);
        used > 2 * kept || distance(self.given_back, head) > kept / 8 + KEPT
    }
}

impl Feed {
    /// A feed like [`new`](Self::new), which can also be joined some lines back.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn with_history(size: usize) -> io::Result<Self> {
        Ok(Self { history: Some(History::default()), ..Self::new(size)? })
    }

    /// A reader that is owed the last `lines` lines too, as far as they are remembered, and as half a feed
    /// holds them: a newcomer does not hold up those who speak. To be counted among those who are behind.
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

    /// The offset at which the last `lines` lines begin, or those of them that can be had.
    pub(super) fn find_lines_back(&self, lines: usize) -> u64 {
        let begins = self.history.as_ref().map_or(0, |history| history.begins);
        let oldest = self.head.saturating_sub(self.size() as u64 / 2);
        // The byte before tells whether a line begins there.
        let from = oldest.saturating_sub(1).max(begins);
        let mut slices = IoSlices::default();
        self.push(from, self.head, &mut slices);
        let (mut end, mut start, mut left) = (self.head, self.head, lines);
        for slice in slices.as_slices().iter().rev() {
            end -= slice.len() as u64;
            for line_end in memrchr_iter(b'\n', slice) {
                start = end + line_end as u64 + 1;
                if left == 0 {
                    return start;
                }
                left -= 1;
            }
        }
        if oldest.max(begins) == 0 { 0 } else { start }
    }
}
