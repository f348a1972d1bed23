//! When each line is due.

use std::time::Duration;

/// How many lines to send, how fast, and how far ahead of the readers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) lines: u32,
    /// Lines per second; 0 = as fast as possible.
    pub(crate) rate: u32,
    /// The most lines that not every reader has received yet; 0 = no limit.
    pub(crate) window: u32,
}

impl Schedule {
    /// Whether neither a rate nor a window limits the senders.
    pub(crate) const fn is_unlimited(&self) -> bool {
        self.rate == 0 && self.window == 0
    }

    /// Returns how many lines are due `elapsed` after the start, if every reader has `received` lines.
    pub(crate) fn due(&self, elapsed: Duration, received: u32) -> u32 {
        let mut due = u64::from(self.lines);
        if self.rate > 0 {
            let by_time = elapsed.as_nanos() * u128::from(self.rate) / 1_000_000_000;
            due = due.min(u64::try_from(by_time).unwrap_or(u64::MAX).saturating_add(1));
        }
        if self.window > 0 {
            due = due.min(u64::from(received) + u64::from(self.window));
        }
        u32::try_from(due).unwrap_or(self.lines)
    }

    /// Returns the time from the start at which line `number` is due; none without a rate.
    pub(crate) fn due_at(&self, number: u32) -> Option<Duration> {
        let nanos = 1_000_000_000 * u64::from(number);
        (self.rate > 0).then(|| Duration::from_nanos(nanos.div_ceil(u64::from(self.rate))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNLIMITED: Schedule = Schedule { lines: 1000, rate: 0, window: 0 };

    #[test]
    fn without_a_rate_or_a_window_all_lines_are_due_at_once() {
        assert_eq!(UNLIMITED.due(Duration::ZERO, 0), 1000);
        assert_eq!(UNLIMITED.due_at(7), None);
        assert!(UNLIMITED.is_unlimited());
    }

    #[test]
    fn with_a_rate_each_line_is_due_at_its_time() {
        let paced = Schedule { rate: 300, ..UNLIMITED };
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
    fn a_window_limits_how_far_the_senders_are_ahead_of_the_slowest_reader() {
        let windowed = Schedule { window: 2, ..UNLIMITED };
        for (received, due) in [(0, 2), (1, 3), (2, 4), (997, 999), (998, 1000), (u32::MAX, 1000)] {
            assert_eq!(windowed.due(Duration::ZERO, received), due);
        }
    }
}
