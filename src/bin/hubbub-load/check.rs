//! Whether every reader hears every line once, in its sender's order, and all in one order.
//!
//! Line `n` of all is sender `n % senders`' line `n / senders`. The order that all have to agree on is
//! the one in which the witness hears, a client that says nothing and so hears everything.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Range;

/// The place of a line that the witness has not heard; others count from 1.
const UNKNOWN: u32 = 0;

/// What became of a line at one reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It came, and after all earlier ones of its sender.
    InOrder,
    /// It came, but after a later one of its sender.
    Late,
    /// It had come before.
    Again,
}

/// What each of all readers has heard.
#[derive(Debug)]
pub(crate) struct Check {
    senders: usize,
    witness: usize,
    /// Each reader's next line of each sender.
    next: Vec<u32>,
    /// Where in the witness's order each line stands, from 1; memory only where one was heard.
    places: Vec<u32>,
    heard_by_witness: u32,
    readers: Vec<Reader>,
}

#[derive(Debug, Default, Clone)]
struct Reader {
    /// Lines of a sender that were skipped, and may still come.
    skipped: Vec<(usize, Range<u32>)>,
    /// Heard, but not yet by the witness.
    ahead: VecDeque<u32>,
    /// The place of the last line in the witness's order.
    reached: u32,
    /// Lines that came after one which the witness heard later.
    disagreed: u64,
}

impl Check {
    /// Of `readers`, the first `senders` of which say `lines` lines in all; `witness` says none.
    pub(crate) fn new(readers: usize, senders: usize, lines: usize, witness: usize) -> Self {
        Self {
            senders,
            witness,
            next: vec![0; readers * senders],
            places: vec![0; lines],
            heard_by_witness: 0,
            readers: vec![Reader::default(); readers],
        }
    }

    /// Notes that `reader` heard line `number`.
    pub(crate) fn hear(&mut self, reader: usize, number: u32) -> Verdict {
        let sender = number as usize % self.senders;
        let turn = number / self.senders as u32;
        let next = &mut self.next[reader * self.senders + sender];
        let verdict = match turn.cmp(next) {
            Ordering::Equal => {
                *next += 1;
                Verdict::InOrder
            }
            Ordering::Greater => {
                self.readers[reader].skipped.push((sender, *next..turn));
                *next = turn + 1;
                Verdict::InOrder
            }
            Ordering::Less if self.readers[reader].take_skipped(sender, turn) => Verdict::Late,
            Ordering::Less => return Verdict::Again,
        };
        if reader == self.witness {
            self.heard_by_witness += 1;
            self.places[number as usize] = self.heard_by_witness;
        } else if verdict == Verdict::InOrder {
            // What is late is known to be out of order already.
            self.readers[reader].place(number, &self.places);
        }
        verdict
    }

    /// Lines that came to somebody in another order than to the witness.
    pub(crate) fn disagreed(&mut self) -> u64 {
        for reader in &mut self.readers {
            // What the witness never heard has no place to compare.
            reader.ahead.retain(|&number| self.places[number as usize] != UNKNOWN);
            reader.catch_up(&self.places);
        }
        self.readers.iter().map(|reader| reader.disagreed).sum()
    }
}

impl Reader {
    /// Whether the line was skipped and is so no longer.
    fn take_skipped(&mut self, sender: usize, turn: u32) -> bool {
        let is_it = |(by, turns): &(usize, Range<u32>)| *by == sender && turns.contains(&turn);
        let Some(found) = self.skipped.iter().rposition(is_it) else { return false };
        let (_, turns) = self.skipped.swap_remove(found);
        let around = [turns.start..turn, turn + 1..turns.end];
        self.skipped.extend(around.into_iter().filter(|part| !part.is_empty()).map(|part| (sender, part)));
        true
    }

    fn place(&mut self, number: u32, places: &[u32]) {
        self.ahead.push_back(number);
        self.catch_up(places);
    }

    fn catch_up(&mut self, places: &[u32]) {
        while let Some(place) = self.ahead.front().map(|&number| places[number as usize]) {
            if place == UNKNOWN {
                return;
            }
            self.ahead.pop_front();
            if place < self.reached {
                self.disagreed += 1;
            } else {
                self.reached = place;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two senders, clients 0 and 1, say ten lines; clients 2 and 3 only listen, and 3 is the witness.
    fn check() -> Check {
        Check::new(4, 2, 10, 3)
    }

    fn hear_all(check: &mut Check, reader: usize, numbers: &[u32]) -> Vec<Verdict> {
        numbers.iter().map(|&number| check.hear(reader, number)).collect()
    }

    #[test]
    fn what_comes_once_and_in_one_order_is_fine_also_for_those_who_do_not_hear_themselves() {
        let mut check = check();
        let (all, of_0, of_1) = ([0, 1, 3, 2, 4], [0, 2, 4], [1, 3]);
        for (reader, heard) in [(2, &all[..]), (0, &of_1), (3, &all), (1, &of_0)] {
            let verdicts = hear_all(&mut check, reader, heard);
            assert!(verdicts.iter().all(|&verdict| verdict == Verdict::InOrder), "{reader}: {verdicts:?}");
        }
        assert_eq!(check.disagreed(), 0);
    }

    #[test]
    fn a_line_that_comes_twice_is_told_from_one_that_comes_late() {
        let mut check = check();
        use Verdict::{Again, InOrder, Late};
        assert_eq!(
            hear_all(&mut check, 2, &[0, 6, 4, 4, 6, 2, 2, 0, 8]),
            [InOrder, InOrder, Late, Again, Again, Late, Again, Again, InOrder]
        );
    }

    #[test]
    fn another_order_of_two_senders_lines_is_noticed_whoever_hears_first() {
        for readers in [[2, 3], [3, 2]] {
            let mut check = check();
            hear_all(&mut check, readers[0], &[0, 1, 2]);
            hear_all(&mut check, readers[1], &[1, 0, 2]);
            assert_eq!(check.disagreed(), 1);
        }
    }

    #[test]
    fn lines_that_one_of_two_never_hears_do_not_make_another_order() {
        let mut check = check();
        hear_all(&mut check, 2, &[0, 1, 2, 4]);
        hear_all(&mut check, 3, &[1, 2, 3, 4]);
        assert_eq!(check.disagreed(), 0);
    }
}
