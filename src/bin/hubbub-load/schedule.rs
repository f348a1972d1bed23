//! When which line is due.

use std::time::Duration;

/// How many lines there are to say, how fast, and how far ahead of their readers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) lines: u32,
    /// Lines a second; 0 for as fast as they go.
    pub(crate) rate: u32,
    /// The most lines that not all have heard; 0 for no bound.
    pub(crate) window: u32,
}

impl Schedule {
    /// Whether the senders alone decide.
    pub(crate) const fn is_free(&self) -> bool {
        self.rate == 0 && self.window == 0
    }

    /// Lines that may have been said once `passed` has passed, and all have heard `heard` lines.
    pub(crate) fn due(&self, passed: Duration, heard: u32) -> u32 {
        let mut due = u64::from(self.lines);
        if self.rate > 0 {
            let by_time = passed.as_nanos() * u128::from(self.rate) / 1_000_000_000;
            due = due.min(u64::try_from(by_time).unwrap_or(u64::MAX).saturating_add(1));
        }
        if self.window > 0 {
            due = due.min(u64::from(heard) + u64::from(self.window));
        }
        u32::try_from(due).unwrap_or(self.lines)
    }

    /// How long after the start line `number` is due, as far as time decides.
    pub(crate) fn due_at(&self, number: u32) -> Option<Duration> {
        let nanos = 1_000_000_000 * u64::from(number);
        (self.rate > 0).then(|| Duration::from_nanos(nanos.div_ceil(u64::from(self.rate))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Schedule = Schedule { lines: 1000, rate: 0, window: 0 };

    #[test]
    fn without_a_rate_or_a_window_everything_is_due_at_once() {
        assert_eq!(FREE.due(Duration::ZERO, 0), 1000);
        assert_eq!(FREE.due_at(7), None);
        assert!(FREE.is_free());
    }

    #[test]
    fn with_a_rate_each_line_is_due_at_its_time() {
        let paced = Schedule { rate: 300, ..FREE };
        for number in 0..1000 {
            let at = paced.due_at(number).expect("it has a rate");
            assert_eq!(paced.due(at, 0), number + 1, "line {number} at {at:?}");
            if let Some(before) = at.checked_sub(Duration::from_nanos(1)) {
                assert_eq!(paced.due(before, 0), number, "line {number} before {at:?}");
            }
        }
        assert_eq!(paced.due(Duration::from_secs(60), 0), 1000);
    }

    #[test]
    fn with_a_window_so_many_are_due_as_were_heard_by_all_and_a_window_more() {
        let windowed = Schedule { window: 2, ..FREE };
        for (heard, due) in [(0, 2), (1, 3), (2, 4), (997, 999), (998, 1000), (u32::MAX, 1000)] {
            assert_eq!(windowed.due(Duration::ZERO, heard), due);
        }
    }
}
