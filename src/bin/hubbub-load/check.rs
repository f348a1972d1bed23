//! Checks that each reader receives each line once, in the sender's order, and all readers in one order.
//!
//! Line `n` of the run is line `n / senders` of sender `n % senders`. The order to agree on is that of the
//! reference reader, a client that sends nothing and so receives every line.

use crate::per_line::PerLine;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Range;

/// The position of a line that the reference reader has not received; others count from 1.
const UNKNOWN: u32 = 0;

/// How a line arrived at one reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// After all earlier lines of its sender.
    InOrder,
    /// After a later line of its sender.
    Late,
    /// A second time.
    Duplicate,
}

/// What each reader has received.
#[derive(Debug)]
pub(crate) struct OrderCheck {
    senders: usize,
    reference: usize,
    /// For each reader, the next line of each sender.
    next: Vec<u32>,
    /// The position of each line in the reference order.
    positions: PerLine<u32>,
    reference_count: u32,
    readers: Vec<Reader>,
}

#[derive(Debug, Default, Clone)]
struct Reader {
    /// Lines of a sender that were skipped and may still arrive.
    skipped: Vec<(usize, Range<u32>)>,
    /// Received here, but not yet by the reference reader.
    ahead: VecDeque<u32>,
    /// The position of the last compared line in the reference order.
    reached: u32,
    /// Lines that arrived after a line that follows them in the reference order.
    misplaced: u64,
}

impl OrderCheck {
    /// Starts a check: the first `senders` of `readers` send lines, `reference` sends none.
    pub(crate) fn new(readers: usize, senders: usize, reference: usize) -> Self {
        Self {
            senders,
            reference,
            next: vec![0; readers * senders],
            positions: PerLine::new(),
            reference_count: 0,
            readers: vec![Reader::default(); readers],
        }
    }

    /// Records that `reader` received line `number`.
    pub(crate) fn record(&mut self, reader: usize, number: u32) -> Verdict {
        let sender = number as usize % self.senders;
        let index = number / self.senders as u32;
        let next = &mut self.next[reader * self.senders + sender];
        let verdict = match index.cmp(next) {
            Ordering::Equal => {
                *next += 1;
                Verdict::InOrder
            }
            Ordering::Greater => {
                self.readers[reader].skipped.push((sender, *next..index));
                *next = index + 1;
                Verdict::InOrder
            }
            Ordering::Less if self.readers[reader].take_skipped(sender, index) => Verdict::Late,
            Ordering::Less => return Verdict::Duplicate,
        };
        if reader == self.reference {
            self.reference_count += 1;
            self.positions.set(number, self.reference_count);
        } else if verdict == Verdict::InOrder {
            // A late line is already counted as out of order.
            self.readers[reader].compare(number, &self.positions);
        }
        verdict
    }

    /// Returns how many lines `reader` has not received although a later line of the same sender has arrived.
    pub(crate) fn skipped(&self, reader: usize) -> u32 {
        self.readers[reader].skipped.iter().map(|(_, range)| range.end - range.start).sum()
    }

    /// Returns how many lines arrived at a reader in another order than at the reference reader.
    pub(crate) fn misplaced(&mut self) -> u64 {
        for reader in &mut self.readers {
            // A line that the reference reader never received has no position to compare.
            reader.ahead.retain(|&number| self.positions.get(number) != UNKNOWN);
            reader.catch_up(&self.positions);
        }
        self.readers.iter().map(|reader| reader.misplaced).sum()
    }
}

impl Reader {
    /// Returns whether the line had been skipped, and removes it from the skipped lines.
    fn take_skipped(&mut self, sender: usize, index: u32) -> bool {
        let contains = |(by, range): &(usize, Range<u32>)| *by == sender && range.contains(&index);
        let Some(found) = self.skipped.iter().rposition(contains) else { return false };
        let (_, range) = self.skipped.swap_remove(found);
        let parts = [range.start..index, index + 1..range.end];
        self.skipped.extend(parts.into_iter().filter(|part| !part.is_empty()).map(|part| (sender, part)));
        true
    }

    fn compare(&mut self, number: u32, positions: &PerLine<u32>) {
        self.ahead.push_back(number);
        self.catch_up(positions);
    }

    fn catch_up(&mut self, positions: &PerLine<u32>) {
        while let Some(position) = self.ahead.front().map(|&number| positions.get(number)) {
            if position == UNKNOWN {
                return;
            }
            self.ahead.pop_front();
            if position < self.reached {
                self.misplaced += 1;
            } else {
                self.reached = position;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two senders, clients 0 and 1, send; clients 2 and 3 only receive, and 3 is the reference.
    fn check() -> OrderCheck {
        OrderCheck::new(4, 2, 3)
    }

    fn record_all(check: &mut OrderCheck, reader: usize, numbers: &[u32]) -> Vec<Verdict> {
        numbers.iter().map(|&number| check.record(reader, number)).collect()
    }

    #[test]
    fn lines_that_arrive_once_and_in_one_order_are_fine_also_at_readers_that_send() {
        let mut check = check();
        let (all, of_0, of_1) = ([0, 1, 3, 2, 4], [0, 2, 4], [1, 3]);
        for (reader, received) in [(2, &all[..]), (0, &of_1), (3, &all), (1, &of_0)] {
            let verdicts = record_all(&mut check, reader, received);
            assert!(verdicts.iter().all(|&verdict| verdict == Verdict::InOrder), "{reader}: {verdicts:?}");
        }
        assert_eq!(check.misplaced(), 0);
    }

    #[test]
    fn a_duplicate_line_is_distinguished_from_a_late_line() {
        let mut check = check();
        use Verdict::{Duplicate, InOrder, Late};
        assert_eq!(
            record_all(&mut check, 2, &[0, 6, 4, 4, 6, 2, 2, 0, 8]),
            [InOrder, InOrder, Late, Duplicate, Duplicate, Late, Duplicate, Duplicate, InOrder]
        );
    }

    #[test]
    fn lines_of_two_senders_in_another_order_are_counted_whichever_reader_is_first() {
        for readers in [[2, 3], [3, 2]] {
            let mut check = check();
            record_all(&mut check, readers[0], &[0, 1, 2]);
            record_all(&mut check, readers[1], &[1, 0, 2]);
            assert_eq!(check.misplaced(), 1);
        }
    }

    #[test]
    fn lines_that_only_one_of_two_readers_receives_do_not_change_the_order() {
        let mut check = check();
        record_all(&mut check, 2, &[0, 1, 2, 4]);
        record_all(&mut check, 3, &[1, 2, 3, 4]);
        assert_eq!(check.misplaced(), 0);
    }
}
