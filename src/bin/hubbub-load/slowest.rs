//! How many lines the slowest reader has heard: what bounds the lines under way.

/// What stands for a reader who is gone, and whom nobody waits for.
const GONE: u32 = u32::MAX;

/// Lines heard by each reader, and by all.
#[derive(Debug)]
pub(crate) struct Slowest {
    heard: Vec<u32>,
    /// The least that anyone has heard who is not gone.
    least: u32,
    /// How many have heard no more than that.
    at_least: usize,
}

impl Slowest {
    /// None of `readers` has heard anything.
    pub(crate) fn of(readers: usize) -> Self {
        Self { heard: vec![0; readers], least: if readers == 0 { GONE } else { 0 }, at_least: readers }
    }

    /// `reader` has heard one line more, or said it.
    pub(crate) fn hears(&mut self, reader: usize) {
        let heard = self.heard[reader];
        if heard != GONE {
            self.heard[reader] = heard + 1;
            self.leaves(heard);
        }
    }

    /// Nobody waits for `reader` any more.
    pub(crate) fn goes(&mut self, reader: usize) {
        let heard = std::mem::replace(&mut self.heard[reader], GONE);
        if heard != GONE {
            self.leaves(heard);
        }
    }

    /// Lines that all have heard; [`u32::MAX`] where nobody is left to wait for.
    pub(crate) const fn heard(&self) -> u32 {
        self.least
    }

    /// Somebody who had heard so many has not any more. All are looked at once a line, not once a delivery.
    fn leaves(&mut self, heard: u32) {
        if heard != self.least {
            return;
        }
        self.at_least -= 1;
        if self.at_least == 0 {
            self.least = self.heard.iter().copied().min().unwrap_or(GONE);
            self.at_least = self.heard.iter().filter(|&&heard| heard == self.least).count();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_heard_by_all_when_the_last_who_is_there_has_heard_it() {
        let mut slowest = Slowest::of(3);
        for (reader, heard) in [(0, 0), (1, 0), (1, 0), (2, 1), (2, 1), (0, 2), (0, 2)] {
            slowest.hears(reader);
            assert_eq!(slowest.heard(), heard, "after {reader}");
        }
        // Who has heard least goes, and then those who have heard more.
        for (reader, heard) in [(1, 2), (2, 3), (2, 3), (0, GONE)] {
            slowest.goes(reader);
            assert_eq!(slowest.heard(), heard, "without {reader}");
        }
        slowest.hears(0);
        assert_eq!(slowest.heard(), GONE, "who is gone hears nothing");
        assert_eq!(Slowest::of(0).heard(), GONE);
    }
}
