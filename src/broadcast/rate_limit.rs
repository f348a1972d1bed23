//! `--rate`: how many lines per second one client may send.

use crate::util::clock::Moment;
use std::time::Duration;

/// How many lines per second one client may send on average. Ten seconds' worth may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// In ticks of 10 ns, so that even the highest rate is exact to a thousandth.
    ticks_per_line: u32,
}

impl RateLimit {
    /// The highest limit, in lines per second.
    pub const MAX: usize = 100_000;
    const TICKS_PER_SECOND: u32 = 100_000_000;
    const BURST: Duration = Duration::from_secs(10);
    /// The minimum pause of a rate-limited client; without it the loop would wake once per line.
    const MIN_PAUSE: Duration = Duration::from_millis(20);

    /// A limit of `lines` per second; `None` for 0, which is no limit.
    pub fn new(lines: usize) -> Option<Self> {
        let lines = u32::try_from(lines.min(Self::MAX)).unwrap_or(u32::MAX);
        Some(Self { ticks_per_line: Self::TICKS_PER_SECOND.checked_div(lines)? })
    }

    const fn line_interval(self) -> Duration {
        ticks_to_duration(self.ticks_per_line)
    }
}

const fn ticks_to_duration(ticks: u32) -> Duration {
    Duration::from_nanos(ticks as u64 * 10)
}

fn duration_to_ticks(span: Duration) -> u32 {
    u32::try_from(span.as_nanos() / 10).unwrap_or(u32::MAX)
}

/// How far one client is ahead of its rate limit.
#[derive(Debug, Clone, Copy)]
pub struct RateUsage {
    /// How far the client was ahead of the limit at `at`, in ticks of 10 ns.
    ahead: u32,
    /// When lines were counted last, in milliseconds that wrap after 49 days.
    at: u32,
}

impl RateUsage {
    /// The usage of a client that has sent nothing.
    pub const fn new(now: Moment) -> Self {
        Self { ahead: 0, at: now.wrapping_millis() }
    }

    /// Counts `lines` that were just sent.
    pub fn count_lines(&mut self, limit: RateLimit, lines: usize, now: Moment) {
        let lines = u32::try_from(lines).unwrap_or(u32::MAX);
        self.ahead =
            duration_to_ticks(self.ahead(now)).saturating_add(limit.ticks_per_line.saturating_mul(lines));
        self.at = now.wrapping_millis();
    }

    /// How many lines the client may send now.
    pub fn lines_left(&self, limit: RateLimit, now: Moment) -> usize {
        let left = duration_to_ticks(RateLimit::BURST.saturating_sub(self.ahead(now)));
        (left / limit.ticks_per_line) as usize
    }

    /// When a client that may send no line now may send the next.
    pub fn next_line_at(&self, limit: RateLimit, now: Moment) -> Moment {
        let wait = (self.ahead(now) + limit.line_interval()).saturating_sub(RateLimit::BURST);
        // Moments are whole milliseconds: this rounds up.
        now.after(wait.max(RateLimit::MIN_PAUSE) + Duration::from_millis(1))
    }

    fn ahead(&self, now: Moment) -> Duration {
        let elapsed = now.wrapping_millis().wrapping_sub(self.at);
        ticks_to_duration(self.ahead).saturating_sub(Duration::from_millis(u64::from(elapsed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::default().after(Duration::from_millis(millis))
    }

    #[test]
    fn c9_ten_seconds_of_lines_may_come_at_once_and_then_the_rate_holds() {
        for lines in [1, 3, 10, 700, 66_667, 90_910, RateLimit::MAX] {
            let limit = RateLimit::new(lines).expect("a limit");
            let mut usage = RateUsage::new(at(0));
            let burst = 1_000_000_000 / (100_000_000 / lines);
            assert_eq!(usage.lines_left(limit, at(0)), burst, "{lines} a second");
            usage.count_lines(limit, burst, at(0));
            assert_eq!(usage.lines_left(limit, at(0)), 0, "{lines} a second");
            let next = usage.next_line_at(limit, at(0));
            let pause = next.since(at(0));
            assert!(pause >= RateLimit::MIN_PAUSE && pause >= limit.line_interval(), "{lines}: {pause:?}");
            assert!(usage.lines_left(limit, next) > 0, "{lines} a second: {pause:?}");
            let in_a_second = usage.lines_left(limit, at(1000));
            assert!((lines..=lines + lines / 50).contains(&in_a_second), "{in_a_second}, not {lines}");
            let after_a_day = usage.lines_left(limit, at(24 * 3600 * 1000));
            assert_eq!(
                after_a_day,
                usage.lines_left(limit, at(10_000)),
                "never more than ten seconds' worth"
            );
        }
        assert_eq!(RateLimit::new(0), None);
    }

    #[test]
    fn c9_a_client_within_its_rate_never_waits() {
        let limit = RateLimit::new(10).expect("a limit");
        let mut usage = RateUsage::new(at(0));
        for tenth in 0..1000 {
            assert!(usage.lines_left(limit, at(tenth * 100)) >= 99, "after {tenth} tenths of a second");
            usage.count_lines(limit, 1, at(tenth * 100));
        }
    }
}
