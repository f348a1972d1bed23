//! The limit on log lines about joins and leaves, so that a port scan does not fill the log.

use crate::util::clock::Moment;
use std::time::Duration;

/// The long-term rate: one line per interval.
const INTERVAL: Duration = Duration::from_millis(10);
/// The burst, in time at that rate: 1,000 lines, for a full room that reconnects after a restart.
const BURST: Duration = Duration::from_secs(10);

/// A limit on log lines, and the count of lines over the limit.
#[derive(Debug, Default)]
pub struct BurstLimit {
    /// When the long-term rate would have allowed all lines logged so far.
    paid_until: Moment,
    suppressed: u64,
}

impl BurstLimit {
    /// Whether one more line may be logged. Counts the line if not.
    pub fn allows(&mut self, now: Moment) -> bool {
        let from = self.paid_until.max(now);
        let is_allowed = from.since(now) < BURST;
        if is_allowed {
            self.paid_until = from.after(INTERVAL);
        } else {
            self.suppressed += 1;
        }
        is_allowed
    }

    /// Takes the count of lines over the limit; `None` if there were none.
    pub fn take_suppressed(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.suppressed)).filter(|&suppressed| suppressed > 0)
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
        let mut limit = BurstLimit::default();
        assert_eq!((0..5000).filter(|_| limit.allows(at(1))).count(), 1000);
        assert_eq!(limit.take_suppressed(), Some(4000));
        assert_eq!(limit.take_suppressed(), None);
        assert_eq!((0..5000).filter(|_| limit.allows(at(2))).count(), 100);
        assert_eq!((0..5000).filter(|_| limit.allows(at(60))).count(), 1000);
    }
}
