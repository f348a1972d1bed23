//! How many lines the slowest reader has received: the window counts from there.

/// The count of a reader that is disconnected and no longer waited for.
const GONE: u32 = u32::MAX;

/// Lines received by each reader, and the smallest of these counts.
#[derive(Debug)]
pub(crate) struct SlowestReader {
    received: Vec<u32>,
    /// The smallest count of a connected reader.
    least: u32,
    /// How many readers have this count.
    at_least: usize,
}

impl SlowestReader {
    /// Starts with `readers` readers that have received nothing.
    pub(crate) fn new(readers: usize) -> Self {
        Self { received: vec![0; readers], least: if readers == 0 { GONE } else { 0 }, at_least: readers }
    }

    /// Counts one more line that `reader` received, or sent.
    pub(crate) fn advance(&mut self, reader: usize) {
        let received = self.received[reader];
        if received != GONE {
            self.received[reader] = received + 1;
            self.leave(received);
        }
    }

    /// Stops waiting for `reader`.
    pub(crate) fn remove(&mut self, reader: usize) {
        let received = std::mem::replace(&mut self.received[reader], GONE);
        if received != GONE {
            self.leave(received);
        }
    }

    /// Returns how many lines every connected reader has received; [`u32::MAX`] if no reader is connected.
    pub(crate) const fn received(&self) -> u32 {
        self.least
    }

    /// A reader has left the count `received`. All readers are searched once per line, not once per delivery.
    fn leave(&mut self, received: u32) {
        if received != self.least {
            return;
        }
        self.at_least -= 1;
        if self.at_least == 0 {
            self.least = self.received.iter().copied().min().unwrap_or(GONE);
            self.at_least = self.received.iter().filter(|&&received| received == self.least).count();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_counts_when_the_last_connected_reader_has_received_it() {
        let mut slowest = SlowestReader::new(3);
        for (reader, received) in [(0, 0), (1, 0), (1, 0), (2, 1), (2, 1), (0, 2), (0, 2)] {
            slowest.advance(reader);
            assert_eq!(slowest.received(), received, "after {reader}");
        }
        // First the slowest reader disconnects, then the others.
        for (reader, received) in [(1, 2), (2, 3), (2, 3), (0, GONE)] {
            slowest.remove(reader);
            assert_eq!(slowest.received(), received, "without {reader}");
        }
        slowest.advance(0);
        assert_eq!(slowest.received(), GONE, "a disconnected reader does not count");
        assert_eq!(SlowestReader::new(0).received(), GONE);
    }
}
