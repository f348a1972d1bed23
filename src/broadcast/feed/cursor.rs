//! A reader's position in the feed, and the ranges of its own lines.

use super::distance;
use std::collections::VecDeque;
use std::ops::Range;

/// The most ranges of own lines that a cursor records, 16 bytes each. A client with this many is not read until
/// it has received lines of the others that are between its own.
const MAX_SKIP_RANGES: usize = 256;

/// An offset into the feed, and the ranges that its reader skips.
#[derive(Debug, Clone)]
pub struct Cursor {
    pub(super) at: u64,
    /// Ranges of its own lines ahead, in order, none adjacent. Boxed: every cursor has the pointer, but
    /// few have ranges.
    #[expect(clippy::box_collection, reason = "8 bytes an idle reader instead of 32")]
    pub(super) skip_ranges: Option<Box<VecDeque<Range<u64>>>>,
    /// The reader receives at most this many bytes from `at` on; [`NO_END`] while its connection is open.
    pub(super) remaining: u32,
    pub(super) mid_line: bool,
}

/// No limit: more bytes than any feed has.
pub(super) const NO_END: u32 = u32::MAX;

impl Cursor {
    /// Whether it can record one more range of its own lines; otherwise its reader has to read first.
    pub fn has_skip_capacity(&self) -> bool {
        self.skip_ranges.as_ref().is_none_or(|skip_ranges| skip_ranges.len() < MAX_SKIP_RANGES)
    }

    /// The offset at which it stops, in a feed that ends at `head`.
    pub(super) fn end(&self, head: u64) -> u64 {
        if self.remaining == NO_END { head } else { head.min(self.at + u64::from(self.remaining)) }
    }

    /// Stops it at `end`.
    pub(super) fn end_at(&mut self, end: u64) {
        let remaining = u32::try_from(distance(self.at, end)).unwrap_or(NO_END);
        self.remaining = self.remaining.min(remaining);
    }

    pub(super) fn move_to(&mut self, at: u64) {
        if self.remaining != NO_END {
            let passed = u32::try_from(distance(self.at, at)).unwrap_or(NO_END);
            self.remaining = self.remaining.saturating_sub(passed);
        }
        self.at = at;
    }

    /// The next range of its own lines.
    pub(super) fn next_skip(&self) -> Option<&Range<u64>> {
        self.skip_ranges.as_ref()?.front()
    }

    /// Records a range of its own lines, for a cursor that is behind.
    pub(super) fn skip(&mut self, lines: Range<u64>) {
        let skip_ranges = self.skip_ranges.get_or_insert_default();
        match skip_ranges.back_mut() {
            Some(last) if last.end == lines.start => last.end = lines.end,
            _ => skip_ranges.push_back(lines),
        }
    }

    /// Moves past its own lines if they come next.
    pub(super) fn skip_own(&mut self) {
        while let Some(end) = self
            .next_skip()
            .filter(|skip_ranges| skip_ranges.start == self.at)
            .map(|skip_ranges| skip_ranges.end)
        {
            self.move_to(end);
            if let Some(skip_ranges) = &mut self.skip_ranges {
                skip_ranges.pop_front();
            }
        }
        self.skip_ranges.take_if(|skip_ranges| skip_ranges.is_empty());
    }

    /// Whether the reader has received a part of a line, so that the rest must come next.
    pub const fn is_mid_line(&self) -> bool {
        self.mid_line
    }
}
