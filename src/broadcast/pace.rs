//! How much one sender has said lately: what tells a person from a flood, and who has to wait.

use crate::util::clock::Moment;
use std::time::Duration;

/// How fast one sender may say lines: so many a second in the long run, and ten seconds' worth at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// In units of 10 ns, so that even the fastest is counted to a thousandth.
    ticks_a_line: u32,
}

impl RateLimit {
    /// The most lines a second that can be told apart from no limit.
    pub const MOST: usize = 100_000;
    /// Units of a second.
    const TICKS: u32 = 100_000_000;
    /// How far ahead of its time one may talk.
    const BURST: Duration = Duration::from_secs(10);
    /// Who said too much waits at least so long, rather than be heard line by line.
    const REST: Duration = Duration::from_millis(20);

    /// So many lines a second; `None` for 0, which is no limit.
    pub fn new(lines: usize) -> Option<Self> {
        let lines = saturate(lines.min(Self::MOST));
        Some(Self { ticks_a_line: Self::TICKS.checked_div(lines)? })
    }

    /// What one line takes.
    const fn line(self) -> Duration {
        Self::span(self.ticks_a_line)
    }

    const fn span(ticks: u32) -> Duration {
        Duration::from_nanos(ticks as u64 * 10)
    }

    fn ticks(span: Duration) -> u32 {
        saturate(usize::try_from(span.as_nanos() / 10).unwrap_or(usize::MAX))
    }
}

/// Bytes said lately, forgotten at a steady rate.
#[derive(Debug, Clone, Copy)]
pub struct SendRate {
    /// As of `at`.
    recent: u32,
    /// Units of [`RateLimit`] by which the lines said lately are ahead of it, as of `at`.
    ahead: u32,
    /// The last time something was said, in milliseconds that wrap.
    at: u32,
    /// When the sender came, likewise.
    joined: u32,
}

impl SendRate {
    /// Seconds of silence after which the worst flooder is quiet again.
    const MEMORY: u32 = 4;
    /// Milliseconds for which a sender is new.
    const NEW: u32 = 1000;

    /// Of a sender who comes now, and has said nothing.
    pub const fn start(now: Moment) -> Self {
        Self { recent: 0, ahead: 0, at: now.wrapping_millis(), joined: now.wrapping_millis() }
    }

    /// Whether the sender came just now.
    pub const fn is_new(&self, now: Moment) -> bool {
        now.wrapping_millis().wrapping_sub(self.joined) < Self::NEW
    }

    /// Notes that `bytes` were said, where a quiet sender says `quiet` a second.
    pub fn note(&mut self, bytes: usize, quiet: usize, now: Moment) {
        let most = saturate(quiet).saturating_mul(Self::MEMORY);
        self.recent = self.recent(quiet, now).saturating_add(saturate(bytes)).min(most);
        self.ahead = RateLimit::ticks(self.ahead(now));
        self.at = now.wrapping_millis();
    }

    /// Notes that a line was said just now, that is since the last [`note`](Self::note).
    pub const fn note_line(&mut self, rate: RateLimit) {
        self.ahead = self.ahead.saturating_add(rate.ticks_a_line);
    }

    /// How many lines the sender may say now.
    pub fn lines_left(&self, rate: RateLimit, now: Moment) -> usize {
        let left = RateLimit::ticks(RateLimit::BURST.saturating_sub(self.ahead(now)));
        (left / rate.ticks_a_line) as usize
    }

    /// When the sender may say a line again, who may say none now.
    pub fn may_go_on_at(&self, rate: RateLimit, now: Moment) -> Moment {
        let wait = (self.ahead(now) + rate.line()).saturating_sub(RateLimit::BURST);
        // A moment is a whole millisecond: rather the next one than too early.
        now.after(wait.max(RateLimit::REST) + Duration::from_millis(1))
    }

    /// How long the sender has said nothing, up to 49 days.
    pub fn silence(&self, now: Moment) -> Duration {
        Duration::from_millis(u64::from(now.wrapping_millis().wrapping_sub(self.at)))
    }

    fn ahead(&self, now: Moment) -> Duration {
        RateLimit::span(self.ahead).saturating_sub(self.silence(now))
    }

    /// Whether less was said lately than `quiet`, in bytes and in bytes a second.
    pub fn is_interactive(&self, quiet: usize, now: Moment) -> bool {
        self.recent(quiet, now) < saturate(quiet)
    }

    /// Whether what was said just now is the unfinished line of `held` bytes and little else, as far as
    /// one read and its booking tell.
    pub fn is_one_line(&self, held: usize, quiet: usize, now: Moment) -> bool {
        let held = saturate(held);
        // Whoever has said less than the lower bound is quiet, or was so long ago that the line is old.
        let least = (held / 2).min(saturate(quiet));
        held > 0 && (least..=held.saturating_mul(2)).contains(&self.recent(quiet, now))
    }

    fn recent(self, quiet: usize, now: Moment) -> u32 {
        let forgotten = self.silence(now).as_millis() * u128::from(saturate(quiet)) / 1000;
        self.recent.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }
}

fn saturate(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(millis: u64) -> Moment {
        Moment::default().after(Duration::from_millis(millis))
    }

    #[test]
    fn who_types_is_quiet_and_who_floods_is_not() {
        let mut pace = SendRate::start(at(0));
        assert!(pace.is_interactive(2048, at(0)));
        assert!(pace.is_new(at(999)) && !pace.is_new(at(1000)));
        for second in 0..100 {
            pace.note(200, 2048, at(second * 1000));
            assert!(pace.is_interactive(2048, at(second * 1000)));
        }
        pace.note(65536, 2048, at(100_000));
        assert!(!pace.is_interactive(2048, at(101_000)));
    }

    #[test]
    fn who_said_one_long_line_is_told_from_who_said_many_short_ones() {
        let mut pace = SendRate::start(at(0));
        pace.note(2048, 2048, at(0));
        assert!(pace.is_one_line(2048, 2048, at(1)), "all of it is the line");
        assert!(!pace.is_one_line(30, 2048, at(1)), "the line is the least of it");
        assert!(!pace.is_one_line(30, 2048, at(5000)), "the line was begun long ago");
        assert!(!pace.is_one_line(0, 2048, at(1)));
    }

    #[test]
    fn a_pause_in_a_long_line_takes_nothing_from_who_says_it() {
        for held in [100, 2048, 5000, 8000, 20_000] {
            let mut pace = SendRate::start(at(0));
            pace.note(held, 2048, at(0));
            for pause in 0..5000 {
                let now = at(pause);
                let is_heard = pace.is_one_line(held, 2048, now) || pace.is_interactive(2048, now);
                assert!(is_heard, "{held} bytes after {pause} ms");
            }
        }
    }

    #[test]
    fn c9_ten_seconds_worth_of_lines_may_be_said_at_once_and_then_as_many_as_time_brings() {
        for lines in [1, 3, 10, 700, 66_667, 90_910, RateLimit::MOST] {
            let rate = RateLimit::new(lines).expect("a limit");
            let mut pace = SendRate::start(at(0));
            assert_eq!(
                pace.lines_left(rate, at(0)),
                1_000_000_000 / (100_000_000 / lines),
                "{lines} a second"
            );
            pace.note(1, 2048, at(0));
            while pace.lines_left(rate, at(0)) > 0 {
                pace.note_line(rate);
            }
            let again = pace.may_go_on_at(rate, at(0));
            let waited = again.since(at(0));
            assert!(waited >= RateLimit::REST && waited >= rate.line(), "{lines} a second: {waited:?}");
            assert!(pace.lines_left(rate, again) > 0, "{lines} a second: {waited:?}");
            let in_a_second = pace.lines_left(rate, at(1000));
            assert!((lines..=lines + lines / 50).contains(&in_a_second), "{in_a_second}, not {lines}");
            let after_a_day = pace.lines_left(rate, at(24 * 3600 * 1000));
            assert_eq!(after_a_day, pace.lines_left(rate, at(10_000)), "no more than ten seconds' worth");
        }
        assert_eq!(RateLimit::new(0), None);
    }

    #[test]
    fn c9_who_keeps_to_the_rate_never_waits() {
        let rate = RateLimit::new(10).expect("a limit");
        let mut pace = SendRate::start(at(0));
        for tenth in 0..1000 {
            assert!(pace.lines_left(rate, at(tenth * 100)) >= 99, "after {tenth} tenths of a second");
            pace.note(30, 2048, at(tenth * 100));
            pace.note_line(rate);
        }
    }

    #[test]
    fn after_a_flood_silence_makes_quiet_again() {
        let mut pace = SendRate::start(at(0));
        for _ in 0..1000 {
            pace.note(65536, 2048, at(5));
        }
        assert!(!pace.is_interactive(2048, at(3_000)));
        assert!(pace.is_interactive(2048, at(3_100)));
    }
}
