//! How long to wait before connecting again.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_secs(1);
/// Often enough for a person, and seldom enough for a server that thousands want back.
const LONGEST: Duration = Duration::from_secs(30);

/// Pauses that grow while connecting does not help.
#[derive(Debug)]
pub(crate) struct Pause(Duration);

impl Pause {
    pub(crate) const fn new() -> Self {
        Self(SHORTEST)
    }

    /// The next pause, after a connection that `lasted` so long or was never made.
    pub(crate) fn next(&mut self, lasted: Duration) -> Duration {
        // Who is turned away at once was connected too: that alone does not make it shorter.
        let pause = if lasted >= LONGEST { SHORTEST } else { self.0 };
        self.0 = (pause * 2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_half_a_minute_and_begin_anew_after_a_connection_that_lasted() {
        let mut pause = Pause::new();
        let seconds = [(); 7].map(|()| pause.next(Duration::ZERO).as_secs());
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(pause.next(LONGEST).as_secs(), 1);
        assert_eq!(pause.next(Duration::from_secs(1)).as_secs(), 2);
    }
}
