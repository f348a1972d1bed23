//! A reader's place in the feed, and the way past its own lines.

use super::distance;
use std::collections::VecDeque;
use std::ops::Range;

/// Stretches of its own lines that one reader remembers, 16 bytes each: who has said so much between
/// the lines of others without reading them is not read either.
const MAX_SKIP_RANGES: usize = 256;

/// Where a reader stands, and what it skips.
#[derive(Debug, Clone)]
pub struct Cursor {
    pub(super) at: u64,
    /// Its own lines ahead, in order and apart; boxed, for nearly nobody has any and everybody has
    /// the pointer.
    #[expect(clippy::box_collection, reason = "8 bytes an idle reader instead of 32")]
    pub(super) own: Option<Box<VecDeque<Range<u64>>>>,
    /// Bytes from `at` on that it can be owed at most; [`NO_END`] for a reader who stays.
    pub(super) left: u32,
    pub(super) mid_line: bool,
}

/// More than any feed holds.
pub(super) const NO_END: u32 = u32::MAX;

impl Cursor {
    /// Whether it can remember one more stretch of its own lines: else it has to read first.
    pub fn has_skip_capacity(&self) -> bool {
        self.own.as_ref().is_none_or(|own| own.len() < MAX_SKIP_RANGES)
    }

    /// The offset from which on nothing is owed to it, in a feed that ends at `head`.
    pub(super) fn end(&self, head: u64) -> u64 {
        if self.left == NO_END { head } else { head.min(self.at + u64::from(self.left)) }
    }

    /// From now on nothing from `end` on is owed to it.
    pub(super) fn end_at(&mut self, end: u64) {
        let left = u32::try_from(distance(self.at, end)).unwrap_or(NO_END);
        self.left = self.left.min(left);
    }

    pub(super) fn move_to(&mut self, at: u64) {
        if self.left != NO_END {
            let passed = u32::try_from(distance(self.at, at)).unwrap_or(NO_END);
            self.left = self.left.saturating_sub(passed);
        }
        self.at = at;
    }

    /// The stretch of its own lines that it comes to next.
    pub(super) fn next_own(&self) -> Option<&Range<u64>> {
        self.own.as_ref()?.front()
    }

    /// What it said last, and is behind, stands in `lines`.
    pub(super) fn remember(&mut self, lines: Range<u64>) {
        let own = self.own.get_or_insert_default();
        match own.back_mut() {
            Some(last) if last.end == lines.start => last.end = lines.end,
            _ => own.push_back(lines),
        }
    }

    /// Skips its own lines where it has come to them.
    pub(super) fn skip_own(&mut self) {
        while let Some(end) = self.next_own().filter(|own| own.start == self.at).map(|own| own.end) {
            self.move_to(end);
            if let Some(own) = &mut self.own {
                own.pop_front();
            }
        }
        self.own.take_if(|own| own.is_empty());
    }

    /// Whether the reader has been given a part of a line, and nothing else may come before the rest.
    pub const fn is_mid_line(&self) -> bool {
        self.mid_line
    }
}
