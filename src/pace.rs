//! How much one sender has said lately: what tells a person from a flood.

use crate::clock::Moment;

/// Bytes said lately, forgotten at a steady rate.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// As of `at`.
    recent: u32,
    /// The last time something was said, in milliseconds that wrap.
    at: u32,
    /// When the sender came, likewise.
    joined: u32,
}

impl Pace {
    /// Seconds of silence after which the worst flooder is quiet again.
    const MEMORY: u32 = 4;
    /// Milliseconds for which a sender is new.
    const NEW: u32 = 1000;

    /// Of a sender who comes now, and has said nothing.
    pub const fn start(now: Moment) -> Self {
        Self { recent: 0, at: now.wrapping_millis(), joined: now.wrapping_millis() }
    }

    /// Whether the sender came just now.
    pub const fn is_new(&self, now: Moment) -> bool {
        now.wrapping_millis().wrapping_sub(self.joined) < Self::NEW
    }

    /// Notes that `bytes` were said, where a quiet sender says `quiet` a second.
    pub fn note(&mut self, bytes: usize, quiet: usize, now: Moment) {
        let most = saturate(quiet).saturating_mul(Self::MEMORY);
        self.recent = self.recent(quiet, now).saturating_add(saturate(bytes)).min(most);
        self.at = now.wrapping_millis();
    }

    /// Whether less was said lately than `quiet`, in bytes and in bytes a second.
    pub fn is_quiet(&self, quiet: usize, now: Moment) -> bool {
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
        let passed = u64::from(now.wrapping_millis().wrapping_sub(self.at));
        let forgotten = passed * u64::from(saturate(quiet)) / 1000;
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
        let mut pace = Pace::start(at(0));
        assert!(pace.is_quiet(2048, at(0)));
        assert!(pace.is_new(at(999)) && !pace.is_new(at(1000)));
        for second in 0..100 {
            pace.note(200, 2048, at(second * 1000));
            assert!(pace.is_quiet(2048, at(second * 1000)));
        }
        pace.note(65536, 2048, at(100_000));
        assert!(!pace.is_quiet(2048, at(101_000)));
    }

    #[test]
    fn who_said_one_long_line_is_told_from_who_said_many_short_ones() {
        let mut pace = Pace::start(at(0));
        pace.note(2048, 2048, at(0));
        assert!(pace.is_one_line(2048, 2048, at(1)), "all of it is the line");
        assert!(!pace.is_one_line(30, 2048, at(1)), "the line is the least of it");
        assert!(!pace.is_one_line(30, 2048, at(5000)), "the line was begun long ago");
        assert!(!pace.is_one_line(0, 2048, at(1)));
    }

    #[test]
    fn a_pause_in_a_long_line_takes_nothing_from_who_says_it() {
        for held in [100, 2048, 5000, 8000, 20_000] {
            let mut pace = Pace::start(at(0));
            pace.note(held, 2048, at(0));
            for pause in 0..5000 {
                let now = at(pause);
                let is_heard = pace.is_one_line(held, 2048, now) || pace.is_quiet(2048, now);
                assert!(is_heard, "{held} bytes after {pause} ms");
            }
        }
    }

    #[test]
    fn after_a_flood_silence_makes_quiet_again() {
        let mut pace = Pace::start(at(0));
        for _ in 0..1000 {
            pace.note(65536, 2048, at(5));
        }
        assert!(!pace.is_quiet(2048, at(3_000)));
        assert!(pace.is_quiet(2048, at(3_100)));
    }
}
