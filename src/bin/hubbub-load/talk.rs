//! What the senders have yet to say, and how long they rest.

use crate::schedule::Schedule;
use std::time::Duration;

/// The loop turns at least so often, to see whether anything is still moving.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// What the senders have yet to say.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) schedule: Schedule,
    pub(crate) started: Option<Duration>,
    /// Lines said so far, where they are said in turn.
    pub(crate) said: u32,
    /// Each sender's next line.
    pub(crate) next: Vec<u32>,
    /// Senders that can take more at once.
    pub(crate) eager: Vec<usize>,
    /// Whose turn it is has not yet sent what it said before.
    pub(crate) is_clogged: bool,
}

impl Talk {
    /// Nothing said yet by `senders`.
    pub(crate) fn new(schedule: Schedule, senders: usize) -> Self {
        Self {
            schedule,
            started: None,
            said: 0,
            next: (0..senders as u32).collect(),
            eager: Vec::new(),
            is_clogged: false,
        }
    }

    /// The talk begins `now`.
    pub(crate) fn start(&mut self, now: Duration) {
        self.started = Some(now);
        if self.schedule.is_free() {
            self.eager = (0..self.next.len()).collect();
        }
    }

    /// How long nothing is to be said, `passed` after the start and once all have heard `heard` lines.
    pub(crate) fn rest(&self, passed: Duration, heard: u32) -> Duration {
        if self.is_clogged {
            // That its socket takes more is reported.
            return TICK;
        }
        let is_due = |heard| self.said < self.schedule.due(passed, heard);
        if !self.eager.is_empty() || !self.schedule.is_free() && is_due(heard) {
            return Duration::ZERO;
        }
        match self.schedule.due_at(self.said) {
            Some(due) if self.said < self.schedule.lines && !is_due(u32::MAX) => due.saturating_sub(passed),
            // What it waits for instead is reported: that a socket takes more, or that a line was heard.
            _ => TICK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_line_is_waited_for_until_it_is_due_and_no_longer() {
        let talk = |rate, window, said| Talk { said, ..Talk::new(Schedule { lines: 10, rate, window }, 0) };
        let ms = Duration::from_millis;
        // At 100 a second, line 3 is due after 30 ms.
        for (passed, rest) in [(0, 30), (29, 1), (30, 0), (31, 0), (500, 0)] {
            assert_eq!(talk(100, 0, 3).rest(ms(passed), 0), ms(rest), "after {passed} ms");
        }
        // The first is due at once.
        assert_eq!([talk(100, 0, 0).rest(ms(0), 0), talk(0, 1, 0).rest(ms(0), 0)], [ms(0); 2]);
        // With a window of one it is due when all have heard the three before it, too.
        for (passed, heard, rest) in [(10, 3, ms(20)), (40, 3, ms(0)), (10, 2, ms(20)), (40, 2, TICK)] {
            assert_eq!(talk(100, 1, 3).rest(ms(passed), heard), rest, "{heard} after {passed} ms");
        }
        assert_eq!([talk(0, 1, 3).rest(ms(9), 2), talk(0, 1, 3).rest(ms(9), 3)], [TICK, ms(0)]);
        assert_eq!(Talk { is_clogged: true, ..talk(100, 0, 3) }.rest(ms(40), 0), TICK);
        // All is said, or the senders' sockets are full.
        assert_eq!(
            [talk(100, 0, 10), talk(0, 1, 10), talk(0, 0, 3)].map(|talk| talk.rest(ms(9), 99)),
            [TICK; 3]
        );
    }
}
