//! How evenly the senders share the server.

/// Deliveries of each sender's lines, until the first sender is complete.
#[derive(Debug)]
pub(crate) struct Evenness {
    /// For each sender: deliveries so far, and deliveries that there have to be.
    deliveries: Vec<(u64, u64)>,
    result: Option<f64>,
}

impl Evenness {
    /// Starts with the number of deliveries that each sender's lines need.
    pub(crate) fn new(expected: impl IntoIterator<Item = u64>) -> Self {
        Self { deliveries: expected.into_iter().map(|expected| (0, expected)).collect(), result: None }
    }

    /// Counts one delivery of a line of `sender`.
    pub(crate) fn record(&mut self, sender: usize) {
        let (delivered, expected) = &mut self.deliveries[sender];
        *delivered += 1;
        if self.result.is_none() && delivered == expected {
            let shares = self.deliveries.iter().map(|&(done, expected)| done as f64 / expected as f64);
            self.result = Some(shares.fold(1.0, f64::min));
        }
    }

    /// Sending ends early: compares the slowest sender with the fastest, if none is complete.
    pub(crate) fn stop(&mut self) {
        let all = || self.deliveries.iter().map(|&(done, _)| done);
        if let (None, Some(least), Some(most @ 1..)) = (self.result, all().min(), all().max()) {
            self.result = Some(least as f64 / most as f64);
        }
    }

    /// Returns how many deliveries of a line of `sender` were counted.
    pub(crate) fn delivered(&self, sender: usize) -> u64 {
        self.deliveries[sender].0
    }

    /// Returns the share, 0 to 1, that the slowest of several senders had when the first was complete, or when
    /// sending ended.
    pub(crate) fn result(&self) -> Option<f64> {
        self.result.filter(|_| self.deliveries.len() > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_complete_sender_fixes_the_share_of_the_slowest_sender() {
        let mut evenness = Evenness::new([4, 2]);
        for (sender, result) in [(0, None), (1, None), (1, Some(0.25)), (0, Some(0.25))] {
            evenness.record(sender);
            assert_eq!(evenness.result(), result);
        }
    }

    #[test]
    fn when_sending_ends_early_the_slowest_sender_is_compared_with_the_fastest() {
        let mut evenness = Evenness::new([4, 4]);
        evenness.stop();
        assert_eq!(evenness.result(), None, "without a delivery");
        for sender in [0, 1, 0, 0] {
            evenness.record(sender);
        }
        evenness.stop();
        assert_eq!(evenness.result(), Some(1.0 / 3.0));
    }

    #[test]
    fn a_single_sender_has_no_evenness() {
        let mut evenness = Evenness::new([1]);
        evenness.record(0);
        assert_eq!(evenness.result(), None);
    }
}
