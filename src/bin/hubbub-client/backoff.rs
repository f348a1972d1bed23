//! Pauses between attempts to connect.

use std::time::Duration;

const MIN_PAUSE: Duration = Duration::from_secs(1);
/// Short enough for a user who waits, long enough for a server to which thousands of clients return.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Pauses that double while connecting fails.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self { next: MIN_PAUSE }
    }

    /// Returns the next pause, after a connection that lasted for `lasted`; zero if there was none.
    pub(crate) fn next(&mut self, lasted: Duration) -> Duration {
        // A refused client was connected for a moment too: a short connection does not reset the pause.
        let pause = if lasted >= MAX_PAUSE { MIN_PAUSE } else { self.next };
        self.next = (pause * 2).min(MAX_PAUSE);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_30_s_and_start_again_after_a_long_connection() {
        let mut backoff = Backoff::new();
        let seconds = [(); 7].map(|()| backoff.next(Duration::ZERO).as_secs());
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff.next(MAX_PAUSE).as_secs(), 1);
        assert_eq!(backoff.next(Duration::from_secs(1)).as_secs(), 2);
    }
}
