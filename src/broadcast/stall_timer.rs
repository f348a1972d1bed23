//! How long senders have waited for the slowest reader of one channel.

use super::feed::{Feed, Offset};
use crate::util::clock::Moment;
use std::time::Duration;

/// A stopwatch that runs while senders wait for readers. It is reset when the slowest reader has read half a feed.
#[derive(Debug, Default)]
pub struct StallTimer(Option<Wait>);

#[derive(Debug)]
struct Wait {
    /// The offset that the slowest reader must reach.
    mark: Offset,
    /// Time that senders waited before `since`.
    waited: Duration,
    /// When the stopwatch was started last; `None` = paused.
    since: Option<Moment>,
}

impl StallTimer {
    /// Runs the timer while senders wait, otherwise pauses it; returns its deadline while it runs.
    pub fn update(
        &mut self,
        feed: &Feed,
        is_waiting: bool,
        timeout: Duration,
        now: Moment,
    ) -> Option<Moment> {
        self.0.take_if(|wait| feed.tail_reached(wait.mark));
        if is_waiting {
            let mark = feed.stall_mark();
            let wait = self.0.get_or_insert(Wait { mark, waited: Duration::ZERO, since: None });
            let since = *wait.since.get_or_insert(now);
            return Some(since.after(timeout.saturating_sub(wait.waited)));
        }
        if let Some(wait) = &mut self.0
            && let Some(since) = wait.since.take()
        {
            wait.waited += now.since(since);
        }
        None
    }

    /// Stops the timer if it has run for `timeout`; returns the offset that readers had to reach.
    pub fn take_expired(&mut self, timeout: Duration, now: Moment) -> Option<Offset> {
        let is_over = |since: Moment, waited: Duration| waited + now.since(since) >= timeout;
        self.0
            .take_if(|wait| wait.since.is_some_and(|since| is_over(since, wait.waited)))
            .map(|wait| wait.mark)
    }
}
