//! Ranges of addresses that an operator has banned or muted, each with its end.

use crate::net::cidr::Cidr;
use crate::util::clock::Moment;
use std::net::IpAddr;
use std::time::Duration;

/// The ranges, in the order of their addresses. It is searched only when a connection is accepted, so a linear search
/// is fast enough.
#[derive(Debug, Default)]
pub struct Bans(Vec<Ban>);

#[derive(Debug, Clone, Copy)]
struct Ban {
    range: Cidr,
    /// `None` = it has no end.
    until: Option<Moment>,
}

impl Ban {
    fn is_over(&self, now: Moment) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// There are as many ranges as fit: [`Bans::MOST`].
#[derive(Debug, PartialEq, Eq)]
pub struct TooManyBans;

impl Bans {
    /// The most ranges.
    pub const MOST: usize = 4096;

    /// Adds a range until `until`; `None` = without an end. If the range is there already, the new end counts.
    /// Ranges that include each other are independent.
    ///
    /// # Errors
    /// [`TooManyBans`]; nothing was added.
    pub fn add(&mut self, range: Cidr, until: Option<Moment>, now: Moment) -> Result<(), TooManyBans> {
        self.0.retain(|ban| !ban.is_over(now));
        match self.position(range) {
            Ok(at) => self.0[at].until = until,
            Err(_) if self.0.len() >= Self::MOST => return Err(TooManyBans),
            Err(at) => self.0.insert(at, Ban { range, until }),
        }
        Ok(())
    }

    /// Removes a range; returns whether it was there. Ranges that it includes stay.
    pub fn remove(&mut self, range: Cidr, now: Moment) -> bool {
        self.position(range).is_ok_and(|at| !self.0.remove(at).is_over(now))
    }

    /// Whether an address is in one of the ranges.
    pub fn contains(&self, address: IpAddr, now: Moment) -> bool {
        self.0.iter().any(|ban| ban.range.contains(address) && !ban.is_over(now))
    }

    /// The ranges in the order of their addresses, each with the time that is left; `None` = it has no end.
    pub fn iter(&self, now: Moment) -> impl Iterator<Item = (Cidr, Option<Duration>)> {
        let current = self.0.iter().filter(move |ban| !ban.is_over(now));
        current.map(move |ban| (ban.range, ban.until.map(|until| until.since(now))))
    }

    /// The number of ranges.
    pub fn count(&self, now: Moment) -> usize {
        self.iter(now).count()
    }

    fn position(&self, range: Cidr) -> Result<usize, usize> {
        let key = |range: Cidr| (range.network(), range.prefix());
        self.0.binary_search_by_key(&key(range), |ban| key(ban.range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::default().after(Duration::from_secs(seconds))
    }

    fn range(text: &str) -> Cidr {
        Cidr::parse(text).expect(text)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn a_ban_holds_for_its_range_until_its_end() {
        let mut bans = Bans::default();
        bans.add(range("10.0.0.0/8"), Some(at(60)), at(0)).expect("space");
        bans.add(range("2001:db8::/64"), None, at(0)).expect("space");
        for (address, seconds, is_banned) in [
            ("10.1.2.3", 0, true),
            ("::ffff:10.1.2.3", 59, true),
            ("10.1.2.3", 60, false),
            ("11.0.0.0", 0, false),
            ("2001:db8::7", 0, true),
            ("2001:db8::7", 1_000_000, true),
            ("2001:db8:0:1::7", 0, false),
        ] {
            assert_eq!(bans.contains(ip(address), at(seconds)), is_banned, "{address} after {seconds} s");
        }
        assert_eq!([0, 59, 60].map(|seconds| bans.count(at(seconds))), [2, 2, 1]);
        assert!(!bans.remove(range("10.0.0.0/8"), at(60)), "it is over");
    }

    #[test]
    fn the_last_end_of_a_range_counts_and_ranges_that_include_it_stay_apart() {
        let mut bans = Bans::default();
        for (text, seconds) in [("10.0.0.7", 60), ("10.0.0.0/8", 10), ("10.0.0.7", 30)] {
            bans.add(range(text), Some(at(seconds)), at(0)).expect("space");
        }
        let listed = bans.iter(at(1)).map(|(range, left)| (range.to_string(), left)).collect::<Vec<_>>();
        let left = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(listed, [("10.0.0.0/8".to_owned(), left(9)), ("10.0.0.7".to_owned(), left(29))]);
        assert!(!bans.remove(range("10.0.0.0/9"), at(1)), "no such range");
        assert!(bans.remove(range("10.0.0.7"), at(1)));
        assert!(bans.contains(ip("10.0.0.7"), at(1)), "the wider range is still there");
        assert!(!bans.contains(ip("10.0.0.7"), at(10)));
    }

    #[test]
    fn the_number_of_bans_has_a_limit_and_those_that_are_over_do_not_count() {
        let mut bans = Bans::default();
        let host = |number: usize| range(&format!("10.0.{}.{}", number / 256, number % 256));
        for number in 0..Bans::MOST {
            let until = Some(at(if number == 7 { 5 } else { 60 }));
            bans.add(host(number), until, at(0)).expect("space");
        }
        assert_eq!(bans.add(host(Bans::MOST), None, at(4)), Err(TooManyBans));
        assert_eq!(bans.add(host(1), None, at(4)), Ok(()), "a ban that exists is renewed");
        assert_eq!(bans.add(host(Bans::MOST), None, at(5)), Ok(()), "one is over");
        assert_eq!(bans.count(at(5)), Bans::MOST);
    }
}
