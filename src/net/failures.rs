//! Wrong passwords by origin, so that nobody can try many.

use crate::net::peer::Origin;
use crate::util::clock::Moment;
use crate::util::trim::{self, TrimMemory};
use std::collections::HashMap;
use std::time::Duration;

/// Wrong passwords within [`WINDOW`] after which an origin is refused.
pub const MAX_FAILURES: usize = 5;
/// How long a wrong password counts.
pub const WINDOW: Duration = Duration::from_secs(60);
/// The most origins that are remembered, in about 1 MB.
const MAX_ORIGINS: usize = 4096;
/// Origins for which memory is kept after a burst.
const MIN_RETAINED: usize = 64;

/// The recent failures of each origin.
///
/// At most 4,096 origins are remembered. One more replaces the one whose last failure is the oldest, and one that is
/// refused only if all of them are. So a refused origin is forgotten early only after 4,096 other origins
/// had five failures each within a minute, and that takes far more attempts than the five that it gains. An attacker with
/// more origins than that (addresses, and networks of IPv6) is limited only by the number of connections that may wait
/// for admission.
#[derive(Debug, Default)]
pub struct Failures {
    origins: HashMap<Origin, Recent>,
}

/// The last failures of an origin, the oldest first.
#[derive(Debug, Default, Clone, Copy)]
struct Recent([Option<Moment>; MAX_FAILURES]);

impl Recent {
    fn add(&mut self, now: Moment) {
        self.0.rotate_left(1);
        self.0[MAX_FAILURES - 1] = Some(now);
    }

    /// Whether as many failures count as there may be.
    fn is_refused(&self, now: Moment) -> bool {
        self.0[0].is_some_and(|oldest| now.since(oldest) < WINDOW)
    }

    fn last(&self) -> Moment {
        self.0[MAX_FAILURES - 1].unwrap_or_default()
    }

    fn is_over(&self, now: Moment) -> bool {
        now.since(self.last()) >= WINDOW
    }
}

impl Failures {
    /// Counts a wrong password. To be called when it was compared, not when the client is told.
    pub fn record(&mut self, origin: Origin, now: Moment) {
        if self.origins.len() >= MAX_ORIGINS && !self.origins.contains_key(&origin) {
            self.make_space(now);
        }
        self.origins.entry(origin).or_default().add(now);
    }

    /// Whether passwords from there are refused without comparing them: five were wrong within the last 60 s.
    pub fn is_refused(&self, origin: Origin, now: Moment) -> bool {
        self.origins.get(&origin).is_some_and(|recent| recent.is_refused(now))
    }

    /// Whether no failure is remembered.
    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    /// Forgets the origins whose failures count no more. To be called now and then: it walks through all origins.
    pub fn forget_old(&mut self, now: Moment) {
        self.origins.retain(|_, recent| !recent.is_over(now));
    }

    fn make_space(&mut self, now: Moment) {
        // What is over is not refused, and older than all the rest.
        let least = self.origins.iter().min_by_key(|(_, recent)| (recent.is_refused(now), recent.last()));
        match least {
            Some((&origin, recent)) if !recent.is_over(now) => _ = self.origins.remove(&origin),
            _ => self.forget_old(now),
        }
    }
}

impl TrimMemory for Failures {
    fn has_slack(&self) -> bool {
        trim::is_mostly_unused(self.origins.len(), self.origins.capacity(), MIN_RETAINED)
    }

    fn trim(&mut self) {
        trim::rebuild_map(&mut self.origins);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::peer::Peer;
    use std::net::{IpAddr, SocketAddr};

    fn at(seconds: u64) -> Moment {
        Moment::default().after(Duration::from_secs(seconds))
    }

    fn origin(address: &str) -> Origin {
        Peer::from(SocketAddr::new(address.parse().expect(address), 1)).origin()
    }

    /// One of many networks.
    fn nth(number: u32) -> Origin {
        Peer::from(SocketAddr::new(IpAddr::from((0x0A00_0000 + number).to_be_bytes()), 1)).origin()
    }

    fn fail(failures: &mut Failures, origin: Origin, times: usize, now: Moment) {
        for _ in 0..times {
            failures.record(origin, now);
        }
    }

    #[test]
    fn five_failures_within_a_minute_refuse_an_origin_until_one_of_them_is_a_minute_old() {
        let alice = origin("192.0.2.1");
        let mut failures = Failures::default();
        for (second, is_refused) in [(0, false), (10, false), (20, false), (30, false), (59, true)] {
            failures.record(alice, at(second));
            assert_eq!(failures.is_refused(alice, at(second)), is_refused, "after the one at {second} s");
        }
        assert!(failures.is_refused(alice, Moment::default().after(Duration::from_millis(59_999))));
        assert!(!failures.is_refused(alice, at(60)), "the first no longer counts");
        failures.record(alice, at(61));
        assert!(failures.is_refused(alice, at(69)), "10, 20, 30, 59 and 61 s");
        assert!(!failures.is_refused(alice, at(70)));
    }

    #[test]
    fn slow_failures_never_refuse_an_origin() {
        let mut failures = Failures::default();
        for number in 0..100 {
            failures.record(nth(0), at(number * 15));
            assert!(!failures.is_refused(nth(0), at(number * 15)), "{number}");
        }
    }

    #[test]
    fn an_origin_is_an_ipv4_address_the_first_64_bits_of_ipv6_or_a_local_user() {
        let user = |uid| Peer::Unix { pid: 1, uid }.origin();
        for (failing, other, is_refused) in [
            (origin("192.0.2.1"), origin("192.0.2.1"), true),
            (origin("192.0.2.1"), origin("::ffff:192.0.2.1"), true),
            (origin("192.0.2.1"), origin("192.0.2.2"), false),
            (origin("2001:db8::1"), origin("2001:db8::ffff:2"), true),
            (origin("2001:db8::1"), origin("2001:db8:0:1::1"), false),
            (user(1000), Peer::Unix { pid: 2, uid: 1000 }.origin(), true),
            (user(1000), user(0), false),
            (user(1000), Peer::UnknownUnix.origin(), false),
            (Peer::UnknownUnix.origin(), Peer::UnknownUnix.origin(), true),
        ] {
            let mut failures = Failures::default();
            fail(&mut failures, failing, MAX_FAILURES, at(1));
            assert_eq!(failures.is_refused(other, at(1)), is_refused, "{failing:?} and {other:?}");
        }
    }

    #[test]
    fn one_origin_too_many_replaces_the_oldest_and_a_refused_one_only_if_all_are() {
        let most = u32::try_from(MAX_ORIGINS).expect("few");
        let mut failures = Failures::default();
        // Refused, and the oldest.
        fail(&mut failures, nth(0), MAX_FAILURES, at(0));
        for number in 1..most {
            fail(&mut failures, nth(number), MAX_FAILURES - 1, at(1));
        }
        fail(&mut failures, nth(1), 1, at(2));
        fail(&mut failures, nth(2), 1, at(3));
        // Others, with one failure each.
        for number in 1..=100 {
            failures.record(nth(most + number), at(4));
            assert_eq!(failures.origins.len(), MAX_ORIGINS);
        }
        for number in 0..3 {
            assert!(failures.is_refused(nth(number), at(4)), "{number}");
        }
        // As many others that are refused. The last one of them takes the place of the oldest.
        for number in 3..=most {
            fail(&mut failures, nth(number), MAX_FAILURES, at(5));
        }
        let refused = (0..=most).map(|number| failures.is_refused(nth(number), at(5))).collect::<Vec<_>>();
        assert_eq!(failures.origins.len(), MAX_ORIGINS);
        assert_eq!(refused, [&[false][..], &vec![true; MAX_ORIGINS]].concat());
    }

    #[test]
    fn what_no_longer_counts_is_forgotten_first_and_its_memory_is_returned() {
        let most = u32::try_from(MAX_ORIGINS).expect("few");
        let mut failures = Failures::default();
        fail(&mut failures, nth(0), 1, at(30));
        for number in 1..most {
            fail(&mut failures, nth(number), MAX_FAILURES, at(0));
        }
        fail(&mut failures, nth(most), 1, at(60));
        assert_eq!(failures.origins.len(), 2, "of those at 0 s none is left");
        assert!(failures.has_slack());
        failures.trim();
        assert!(!failures.has_slack());
        fail(&mut failures, nth(0), MAX_FAILURES - 1, at(60));
        assert!(failures.is_refused(nth(0), at(60)), "the one at 30 s was kept");
        failures.forget_old(at(119));
        assert_eq!(failures.origins.len(), 2);
        failures.forget_old(at(120));
        assert_eq!(failures.origins.len(), 0);
    }
}
