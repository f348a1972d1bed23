//! How many lines about comings and goings are logged: enough for members, and no more for a port scan.

use crate::util::clock::Moment;
use std::time::Duration;

/// A line for each of so much time, in the long run.
const INTERVAL: Duration = Duration::from_millis(10);
/// Lines that may come at once, in time: a thousand, for a room that fills after a restart.
const BURST: Duration = Duration::from_secs(10);

/// The budget, and what went over it.
#[derive(Debug, Default)]
pub struct BurstLimit {
    /// When all that was logged would have been paid for, line by line.
    paid_until: Moment,
    unlogged: u64,
}

impl BurstLimit {
    /// Whether one more line may be logged; counts it where not.
    pub fn allows(&mut self, now: Moment) -> bool {
        let from = self.paid_until.max(now);
        let is_allowed = from.since(now) < BURST;
        if is_allowed {
            self.paid_until = from.after(INTERVAL);
        } else {
            self.unlogged += 1;
        }
        is_allowed
    }

    /// Takes the count of lines that went over the budget, where there were any.
    pub fn take_unlogged(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.unlogged)).filter(|&unlogged| unlogged > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn a_burst_is_logged_and_then_a_line_for_each_interval() {
        let mut budget = BurstLimit::default();
        assert_eq!((0..5000).filter(|_| budget.allows(at(1))).count(), 1000);
        assert_eq!(budget.take_unlogged(), Some(4000));
        assert_eq!(budget.take_unlogged(), None);
        assert_eq!((0..5000).filter(|_| budget.allows(at(2))).count(), 100);
        assert_eq!((0..5000).filter(|_| budget.allows(at(60))).count(), 1000);
    }
}
