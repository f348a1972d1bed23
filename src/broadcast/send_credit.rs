//! How much one client has sent lately, as credit: it distinguishes a person who types from a bulk sender.
//!
//! A client earns credit all the time, up to a limit, and spends it by sending. The unit is the bytes that a line
//! takes in the most expensive view.

use crate::util::clock::Moment;
use std::time::Duration;

/// How much credit a client can have; the same for all clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreditRules {
    /// What a client earns per second.
    per_second: i32,
}

impl CreditRules {
    /// What a client earns per second if the reserve is large, in bytes. A fast typist needs some 60 bytes a
    /// second, a test that sends ten short lines a second some 1,500.
    const PER_SECOND: usize = 2048;
    /// A client earns at most 1/16 of the reserve per second.
    const SHARE: usize = 16;

    /// The rules for a reserve of `reserve` bytes of each feed.
    pub fn new(reserve: usize) -> Self {
        let per_second = Self::PER_SECOND.min(reserve / Self::SHARE).max(4);
        Self { per_second: i32::try_from(per_second).unwrap_or(i32::MAX) }
    }

    /// The most credit of a client, what it earns in 4 s: enough to paste some 40 lines.
    const fn max(self) -> i32 {
        self.per_second * 4
    }

    /// The credit of a new client: a line or two.
    const fn start(self) -> i32 {
        self.per_second / 4
    }

    /// High credit: at most a line or two was spent lately. A new client has it after 3.5 s.
    pub const fn high(self) -> i32 {
        self.max() - self.start()
    }

    /// The lowest balance: after 2 s of silence every client has credit again.
    const fn min(self) -> i32 {
        self.per_second * -2
    }
}

/// The credit of one client.
#[derive(Debug, Clone, Copy)]
pub struct SendCredit {
    /// The balance at time `at`; negative if the client has spent more than it had.
    balance: i32,
    /// The client has earned since this time, in milliseconds that wrap after 49 days.
    at: u32,
}

impl SendCredit {
    /// A blocked client that sends nothing for this long counts as silent.
    const SILENCE: Duration = Duration::from_secs(1);

    /// The credit of a client that connects now.
    pub const fn new(rules: CreditRules, now: Moment) -> Self {
        Self { balance: rules.start(), at: now.wrapping_millis() }
    }

    /// What the client may spend now.
    pub fn balance(&self, rules: CreditRules, now: Moment) -> i32 {
        let earned = self.idle_time(now).as_millis() * u128::from(rules.per_second.unsigned_abs()) / 1000;
        self.balance.saturating_add(i32::try_from(earned).unwrap_or(i32::MAX)).min(rules.max())
    }

    /// Whether the client has sent little lately.
    pub fn is_interactive(&self, rules: CreditRules, now: Moment) -> bool {
        self.balance(rules, now) > 0
    }

    /// Notes that the client sent something that took `bytes`.
    pub fn spend(&mut self, bytes: usize, rules: CreditRules, now: Moment) {
        let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        let balance = self.balance(rules, now).saturating_sub(bytes);
        self.balance = balance.max(rules.min());
        self.at = now.wrapping_millis();
    }

    /// Notes that the client is blocked: from `now` on it earns only by silence.
    pub fn pause(&mut self, rules: CreditRules, now: Moment) {
        self.spend(0, rules, now);
    }

    /// Notes that a blocked client sent more: it earns for the time since its last input only if it was silent
    /// for a second. Otherwise it has more to send than may be handled, and is no person who types.
    pub fn note_input(&mut self, rules: CreditRules, now: Moment) {
        if self.idle_time(now) >= Self::SILENCE {
            self.spend(0, rules, now);
        } else {
            self.resume(now);
        }
    }

    /// What a blocked client may spend.
    pub const fn paused_balance(&self) -> i32 {
        self.balance
    }

    /// Ends a pause: the client earns again from `now` on, and nothing for the time since its last input.
    pub const fn resume(&mut self, now: Moment) {
        self.at = now.wrapping_millis();
    }

    /// The time since the client sent something, at most 49 days.
    pub fn idle_time(&self, now: Moment) -> Duration {
        Duration::from_millis(u64::from(now.wrapping_millis().wrapping_sub(self.at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: CreditRules = CreditRules { per_second: 2048 };

    fn at(millis: u64) -> Moment {
        Moment::default().after(Duration::from_millis(millis))
    }

    #[test]
    fn a_person_who_types_keeps_credit_and_a_bulk_sender_does_not() {
        let mut credit = SendCredit::new(RULES, at(0));
        for second in 0..100 {
            credit.spend(200, RULES, at(second * 1000));
            assert!(credit.is_interactive(RULES, at(second * 1000)), "after {second} s");
        }
        credit.spend(65_536, RULES, at(100_000));
        assert!(!credit.is_interactive(RULES, at(101_000)), "a second after 64 KiB");
    }

    #[test]
    fn small_lines_spend_credit_as_fast_as_large_ones_if_they_take_as_much() {
        let mut credit = SendCredit::new(RULES, at(10_000));
        for line in 0..80 {
            credit.spend(77, RULES, at(10_000 + line));
        }
        assert!(!credit.is_interactive(RULES, at(10_080)), "80 one-letter lines in the json view");
    }

    #[test]
    fn silence_after_a_flood_brings_credit_back_within_two_seconds() {
        let mut credit = SendCredit::new(RULES, at(0));
        for _ in 0..1000 {
            credit.spend(65_536, RULES, at(5));
        }
        assert!(!credit.is_interactive(RULES, at(1_900)));
        assert!(credit.is_interactive(RULES, at(2_100)));
        assert_eq!(credit.balance(RULES, at(3_600_000)), 8192, "never more than the most");
    }

    #[test]
    fn a_new_client_has_a_little_credit_and_high_credit_after_three_and_a_half_seconds() {
        let credit = SendCredit::new(RULES, at(0));
        assert!(credit.is_interactive(RULES, at(0)));
        assert!(credit.balance(RULES, at(3499)) < RULES.high());
        assert!(credit.balance(RULES, at(3500)) >= RULES.high());
    }

    #[test]
    fn a_blocked_client_earns_nothing_until_it_is_silent_for_a_second() {
        let mut credit = SendCredit::new(RULES, at(10_000));
        credit.spend(600, RULES, at(10_000));
        credit.pause(RULES, at(10_010));
        for tick in 0..1000 {
            credit.note_input(RULES, at(10_010 + 10 * tick));
        }
        assert!(!credit.is_interactive(RULES, at(20_000)));
        credit.note_input(RULES, at(21_000));
        assert!(credit.is_interactive(RULES, at(21_000)));
        credit.pause(RULES, at(21_000));
        let before = credit.balance(RULES, at(21_000));
        credit.resume(at(30_000));
        assert_eq!(credit.balance(RULES, at(30_000)), before);
    }

    #[test]
    fn a_small_reserve_makes_credit_small() {
        assert_eq!(CreditRules::new(128 * 1024).max(), 8192);
        assert_eq!(CreditRules::new(512).max(), 128);
        assert_eq!(CreditRules::new(0).max(), 16);
    }
}
