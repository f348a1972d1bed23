//! The time that deadlines count: milliseconds in which the process could run.
//!
//! Time in which the process was stopped (SIGSTOP, a frozen container) does not count: the server did not serve
//! its clients, so no timeout of theirs may pass. The wall clock is used only for the time of day that is shown.

use std::time::{Duration, Instant};
use time::{Month, OffsetDateTime};

/// A turn that is longer than its poll timeout by more than this counts as one in which the process was stopped.
const SLACK: Duration = Duration::from_secs(1);
/// A turn in which the process was stopped counts as this long. It is short, so that no deadline passes because
/// of the stop, and not zero, so that deadlines still pass if every turn is that slow.
const STOPPED_TURN: Duration = Duration::from_millis(100);

/// A point in time: milliseconds since the clock started.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The moment `span` later, in whole milliseconds.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time since `earlier`; zero if that is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Whole seconds since the clock started; the most that fits is 136 years.
    #[expect(clippy::cast_possible_truncation, reason = "not reached")]
    pub const fn seconds(self) -> u32 {
        (self.0 / 1000) as u32
    }

    /// Milliseconds since the clock started, in 32 bits that wrap after 49 days.
    #[expect(clippy::cast_possible_truncation, reason = "wraps, as the name says")]
    pub const fn wrapping_millis(self) -> u32 {
        self.0 as u32
    }
}

/// The time of day as text of RFC 3339, in UTC, to the millisecond: always 24 characters. Not for deadlines: the wall
/// clock can be set.
pub fn time_of_day() -> String {
    let now = OffsetDateTime::now_utc();
    text_of(now.to_calendar_date(), now.to_hms_milli())
}

/// The text of year, month, day and of hour, minute, second, millisecond. The formatter of `time` is not used, because
/// it adds the code of all formats to the program.
fn text_of((year, month, day): (i32, Month, u8), (hour, minute, second, milli): (u8, u8, u8, u16)) -> String {
    let mut text = String::with_capacity("0000-00-00T00:00:00.000Z".len());
    for (number, digits, end) in [
        (year.unsigned_abs(), 4, '-'),
        (u8::from(month).into(), 2, '-'),
        (day.into(), 2, 'T'),
        (hour.into(), 2, ':'),
        (minute.into(), 2, ':'),
        (second.into(), 2, '.'),
        (milli.into(), 3, 'Z'),
    ] {
        for place in (0..digits).rev() {
            text.extend(char::from_digit(number / 10_u32.pow(place) % 10, 10));
        }
        text.push(end);
    }
    text
}

/// Counts the time in which the process could run.
#[derive(Debug)]
pub struct Clock {
    last: Instant,
    running: Duration,
}

impl Clock {
    /// Starts a clock at the default [`Moment`].
    pub const fn start(now: Instant) -> Self {
        Self { last: now, running: Duration::ZERO }
    }

    /// Advances the clock to `now`, after a poll with that timeout; `None` = no timeout.
    ///
    /// The process was stopped if it got SIGCONT (`continued`), or if the turn took much longer than the timeout.
    pub fn turn(&mut self, now: Instant, timeout: Option<Duration>, continued: bool) -> Moment {
        let passed = now.saturating_duration_since(self.last);
        self.last = now;
        let overran = timeout.is_some_and(|timeout| passed > timeout.saturating_add(SLACK));
        self.running += if continued || overran { passed.min(STOPPED_TURN) } else { passed };
        self.now()
    }

    /// Whether the process may have been stopped since the last turn: much time has passed.
    pub fn may_have_stopped(&self, now: Instant) -> bool {
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
        let timeout = Duration::from_secs(5);
        let before = clock.turn(start + Duration::from_secs(2), Some(timeout), false);
        assert_eq!(before.since(Moment::default()), Duration::from_secs(2));
        let after = clock.turn(start + Duration::from_secs(3602), Some(timeout), false);
        assert_eq!(after.since(before), STOPPED_TURN, "it overran");
        let continued = clock.turn(start + Duration::from_secs(3605), Some(timeout), true);
        assert_eq!(continued.since(after), STOPPED_TURN, "SIGCONT");
    }

    #[test]
    fn a_time_is_shown_with_all_digits_of_each_field() {
        for (date, time, text) in [
            ((2026, Month::January, 2), (3, 4, 5, 6), "2026-01-02T03:04:05.006Z"),
            ((1970, Month::October, 31), (23, 59, 59, 999), "1970-10-31T23:59:59.999Z"),
            ((7, Month::December, 10), (0, 0, 0, 0), "0007-12-10T00:00:00.000Z"),
        ] {
            assert_eq!(text_of(date, time), text);
        }
    }

    #[test]
    fn the_time_of_day_is_in_utc_to_the_millisecond() {
        let time = time_of_day();
        let form = time.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
        assert_eq!(String::from_utf8(form.collect()).as_deref(), Ok("0000-00-00T00:00:00.000Z"), "{time}");
    }

    #[test]
    fn a_poll_without_a_timeout_counts_whole() {
        let start = Instant::now();
        let mut clock = Clock::start(start);
        let later = clock.turn(start + Duration::from_secs(3600), None, false);
        assert_eq!(later.since(Moment::default()), Duration::from_secs(3600));
    }
}
