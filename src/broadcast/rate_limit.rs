//! `--rate`: how many lines per second one client may send.
//!
//! Each client earns lines while it is connected. A network, or another origin of clients, has an account too. A new
//! client starts with what is in that account ([`RateUsage::take_start`]), and a client that leaves pays back what it
//! has not used ([`RateUsage::give_back`]). Lines that a client leaves behind are taken from the account of its
//! network. So all clients that a network connects and disconnects, one after the other or many at once, send no more
//! than the rate, and what each earns while it is connected.

use crate::util::clock::Moment;
use std::time::Duration;

/// How many lines per second one client may send on average. Up to ten seconds' worth may come at once.
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
    /// What a new client starts with at most, and the most in the account of a network.
    const START: Duration = Duration::from_secs(2);
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

/// How far one client, or one network, is ahead of its rate limit.
#[derive(Debug, Default, Clone, Copy)]
pub struct RateUsage {
    /// How far it was ahead of the limit at `at`, in ticks of 10 ns.
    ahead: u32,
    /// When lines were counted last, in milliseconds that wrap after 49 days.
    at: u32,
}

impl RateUsage {
    /// The usage of a client that has earned nothing yet.
    pub fn new(now: Moment) -> Self {
        Self { ahead: duration_to_ticks(RateLimit::BURST), at: now.wrapping_millis() }
    }

    /// The same account with at most two seconds' worth in it: the account of a network never has more.
    #[must_use]
    pub fn capped(self, now: Moment) -> Self {
        let ahead = self.ahead(now).max(RateLimit::BURST.saturating_sub(RateLimit::START));
        Self { ahead: duration_to_ticks(ahead), at: now.wrapping_millis() }
    }

    /// Takes what is in the account of a network; returns it as the usage of a new client.
    #[must_use]
    pub fn take_start(&mut self, now: Moment) -> Self {
        let start = self.capped(now);
        if start.ahead(now) > RateLimit::BURST {
            // The account is in debt: see `give_back`.
            return Self::new(now);
        }
        *self = Self::new(now);
        start
    }

    /// Pays what a client has left, or owes, into the account of its network.
    pub fn give_back(&mut self, client: Self, now: Moment) {
        let ahead = self.capped(now).ahead(now).saturating_add(client.ahead(now));
        let paid = Self {
            ahead: duration_to_ticks(ahead.saturating_sub(RateLimit::BURST)),
            at: now.wrapping_millis(),
        };
        *self = paid.capped(now);
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

    /// What the first client of a network starts with at the moment 0.
    fn first_client() -> RateUsage {
        RateUsage::default().take_start(at(0))
    }

    #[test]
    fn c9_two_seconds_of_lines_may_come_at_once_and_then_the_rate_holds() {
        for lines in [1, 3, 10, 700, 66_667, 90_910, RateLimit::MAX] {
            let limit = RateLimit::new(lines).expect("a limit");
            let mut usage = first_client();
            let burst = 200_000_000 / (100_000_000 / lines);
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
            let in_ten_seconds = usage.lines_left(limit, at(10_000));
            assert_eq!(after_a_day, in_ten_seconds, "never more than ten seconds' worth");
            assert_eq!(in_ten_seconds, 1_000_000_000 / (100_000_000 / lines));
        }
        assert_eq!(RateLimit::new(0), None);
    }

    #[test]
    fn c9_a_client_within_its_rate_never_waits() {
        let limit = RateLimit::new(10).expect("a limit");
        let mut usage = first_client();
        for tenth in 0..1000 {
            assert!(usage.lines_left(limit, at(tenth * 100)) >= 19, "after {tenth} tenths of a second");
            usage.count_lines(limit, 1, at(tenth * 100));
        }
    }

    #[test]
    fn c9_new_clients_share_the_account_of_their_network_and_leave_in_it_what_they_do_not_use() {
        let limit = RateLimit::new(1).expect("a limit");
        let mut network = RateUsage::default();
        let lines = |usage: RateUsage, millis| usage.lines_left(limit, at(millis));
        let first = network.take_start(at(0));
        assert_eq!((lines(first, 0), lines(network.take_start(at(0)), 0)), (2, 0), "the first gets all");
        network.give_back(first, at(0));
        let mut second = network.take_start(at(0));
        assert_eq!(lines(second, 0), 2, "the first sent nothing");
        second.count_lines(limit, 1, at(0));
        network.give_back(second, at(0));
        assert_eq!(lines(network.take_start(at(0)), 0), 1, "the second sent one line");
        assert_eq!(lines(network.take_start(at(1_000)), 1_000), 1, "a second later");
        network.give_back(RateUsage::default(), at(1_000));
        assert_eq!(lines(network.take_start(at(1_000)), 1_000), 2, "never more than two seconds' worth");
        let mut in_debt = RateUsage::new(at(1_000));
        in_debt.count_lines(limit, 1, at(1_000));
        network.give_back(in_debt, at(1_000));
        assert_eq!(lines(network.take_start(at(1_500)), 1_500), 0);
        assert_eq!(lines(network.take_start(at(3_000)), 3_000), 1, "the debt is paid first");
    }
}
