//! Time as deadlines see it: milliseconds that the process could have used.
//!
//! The wall clock is asked for the time of day that is shown, and for nothing else. Time in which the process was stopped (SIGSTOP, a frozen container)
//! does not count, so that nobody is disconnected for what happened while we could not serve them.

use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// How far a turn may overrun what it asked of poll before it counts as one in which the process was
/// stopped.
const SLACK: Duration = Duration::from_secs(1);
/// What a turn with a stop in it counts: too little to bring on a deadline that everyone could have met,
/// and enough that deadlines come even where each turn is as slow as that.
const STOPPED_TURN: Duration = Duration::from_millis(100);

/// A point in time: milliseconds since the clock started.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The moment `span` later.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time since `earlier`, or zero where that is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Milliseconds since the clock started, in 32 bits that wrap after 49 days.
    #[expect(clippy::cast_possible_truncation, reason = "wraps, as its users expect")]
    pub const fn wrapping_millis(self) -> u32 {
        self.0 as u32
    }
}

/// The time of day in UTC, to the millisecond, as RFC 3339 has it: for people to read, and for no deadline.
pub fn time_of_day() -> String {
    const FORMAT: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::now_utc().format(FORMAT).unwrap_or_default()
}

/// Counts the time of the process.
#[derive(Debug)]
pub struct Clock {
    last: Instant,
    running: Duration,
}

impl Clock {
    /// A clock that stands at the default [`Moment`].
    pub const fn start(now: Instant) -> Self {
        Self { last: now, running: Duration::ZERO }
    }

    /// The clock goes on to `now`, after a turn that was to sleep no longer than `asked`; `None` is a
    /// sleep without a deadline. In a turn that was resumed, by SIGCONT, or that overran, the process
    /// was stopped.
    pub fn turn(&mut self, now: Instant, asked: Option<Duration>, resumed: bool) -> Moment {
        let passed = now.saturating_duration_since(self.last);
        self.last = now;
        let overran = asked.is_some_and(|asked| passed > asked.saturating_add(SLACK));
        self.running += if resumed || overran { passed.min(STOPPED_TURN) } else { passed };
        self.now()
    }

    /// Whether so much has passed since the last turn that the process may have been stopped.
    pub fn is_long_since(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) > STOPPED_TURN
    }

    /// The moment of the last turn.
    pub fn now(&self) -> Moment {
        Moment::default().after(self.running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d5_time_in_which_the_process_was_stopped_does_not_count() {
        let start = Instant::now();
        let mut clock = Clock::start(start);
        let asked = Duration::from_secs(5);
        let before = clock.turn(start + Duration::from_secs(2), Some(asked), false);
        assert_eq!(before.since(Moment::default()), Duration::from_secs(2));
        let after = clock.turn(start + Duration::from_secs(3602), Some(asked), false);
        assert_eq!(after.since(before), STOPPED_TURN, "it overran");
        let resumed = clock.turn(start + Duration::from_secs(3605), Some(asked), true);
        assert_eq!(resumed.since(after), STOPPED_TURN, "a signal said so");
    }

    #[test]
    fn the_time_of_day_is_told_in_utc_to_the_millisecond() {
        let told = time_of_day();
        let form = told.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
        assert_eq!(String::from_utf8(form.collect()).as_deref(), Ok("0000-00-00T00:00:00.000Z"), "{told}");
    }

    #[test]
    fn a_sleep_without_a_deadline_counts_whole() {
        let start = Instant::now();
        let mut clock = Clock::start(start);
        let later = clock.turn(start + Duration::from_secs(3600), None, false);
        assert_eq!(later.since(Moment::default()), Duration::from_secs(3600));
    }
}
