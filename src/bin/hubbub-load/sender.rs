//! Sends the lines that are due, and says how long the senders can wait.

use crate::client::Client;
use crate::recorder::Recorder;
use crate::schedule::Schedule;
use std::time::{Duration, Instant};

/// The longest wait of the loop, so that it notices when nothing moves any more.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// Pending output of a sender from which no more lines are added, in bytes.
const MAX_PENDING: usize = 64 * 1024;
/// Writes of one unlimited sender in a row, so that the other senders and all readers get their turn.
const MAX_WRITES: usize = 8;

/// What the senders still have to send.
#[derive(Debug)]
pub(crate) struct SendPlan {
    schedule: Schedule,
    /// Time of the start; none before it.
    started: Option<Duration>,
    /// Lines sent so far.
    sent: u32,
    /// For each sender, its next line. Used without a rate and a window only.
    next: Vec<u32>,
    /// Unlimited senders that can send more at once.
    ready: Vec<usize>,
    /// Whether the sender whose turn it is still has unsent output.
    is_blocked: bool,
}

impl SendPlan {
    /// Creates a plan for `senders` senders that have sent nothing.
    pub(crate) fn new(schedule: Schedule, senders: usize) -> Self {
        Self {
            schedule,
            started: None,
            sent: 0,
            next: (0..senders as u32).collect(),
            ready: Vec::new(),
            is_blocked: false,
        }
    }

    /// Starts sending at `now`.
    pub(crate) fn start(&mut self, now: Duration) {
        self.started = Some(now);
        if self.schedule.is_unlimited() {
            self.ready = (0..self.next.len()).collect();
        }
    }

    /// Returns the time of the start; none before it.
    pub(crate) const fn started(&self) -> Option<Duration> {
        self.started
    }

    /// Returns how many lines were sent.
    pub(crate) const fn sent(&self) -> u32 {
        self.sent
    }

    /// Sends no more lines.
    pub(crate) const fn stop(&mut self) {
        self.schedule.lines = 0;
    }

    /// Whether all lines were sent, or sending was stopped.
    pub(crate) const fn is_complete(&self) -> bool {
        self.sent >= self.schedule.lines
    }

    /// Notes that `client` has no pending output: an unlimited sender can go on.
    pub(crate) fn on_flushed(&mut self, client: usize) {
        let is_sender = self.started.is_some() && client < self.next.len();
        if is_sender && self.schedule.is_unlimited() && !self.ready.contains(&client) {
            self.ready.push(client);
        }
    }

    /// Returns how long nothing is due, `elapsed` after the start, if every reader has `received` lines.
    pub(crate) fn wait(&self, elapsed: Duration, received: u32) -> Duration {
        if self.is_blocked {
            // An event comes when its socket takes more.
            return TICK;
        }
        let is_due = |received| self.sent < self.schedule.due(elapsed, received);
        if !self.ready.is_empty() || !self.schedule.is_unlimited() && is_due(received) {
            return Duration::ZERO;
        }
        match self.schedule.due_at(self.sent) {
            Some(due) if self.sent < self.schedule.lines && !is_due(u32::MAX) => due.saturating_sub(elapsed),
            // An event ends any other wait: a socket takes more, or a line was received.
            _ => TICK,
        }
    }

    /// Sends the lines that are due. Times count from `epoch`.
    pub(crate) fn send_due(&mut self, clients: &mut [Client], recorder: &mut Recorder, epoch: Instant) {
        let Some(started) = self.started else { return };
        if self.schedule.is_unlimited() {
            for index in std::mem::take(&mut self.ready) {
                self.send_many(index, &mut clients[index], recorder, epoch);
            }
        } else {
            self.send_in_turn(started, clients, recorder, epoch.elapsed());
        }
    }

    /// Sends line after line, each by the sender whose turn it is.
    fn send_in_turn(
        &mut self,
        started: Duration,
        clients: &mut [Client],
        recorder: &mut Recorder,
        now: Duration,
    ) {
        let due = self.schedule.due(now.saturating_sub(started), recorder.received_by_all());
        let (first, senders) = (self.sent, self.next.len());
        self.is_blocked = false;
        while self.sent < due && !self.is_blocked {
            let number = self.sent;
            let output = clients[number as usize % senders].output();
            self.is_blocked = output.len() >= MAX_PENDING;
            if !self.is_blocked {
                // The latency of a line that is sent late counts from its due time.
                let due_at = self.schedule.due_at(number).map_or(now, |due_at| started + due_at);
                recorder.write_line(number, due_at, output);
                self.sent += 1;
            }
        }
        for number in (first..self.sent).take(senders) {
            clients[number as usize % senders].flush();
        }
    }

    /// Sends as much of one sender's lines as its socket takes, in at most [`MAX_WRITES`] writes.
    fn send_many(&mut self, index: usize, client: &mut Client, recorder: &mut Recorder, epoch: Instant) {
        let (lines, senders) = (self.schedule.lines, self.next.len() as u32);
        let next = &mut self.next[index];
        for _ in 0..MAX_WRITES {
            let now = epoch.elapsed();
            while *next < lines && client.output().len() < MAX_PENDING {
                recorder.write_line(*next, now, client.output());
                *next += senders;
                self.sent += 1;
            }
            if !client.is_connected() || !client.flush() || *next >= lines {
                return;
            }
        }
        self.ready.push(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_for_the_next_line_ends_when_the_line_is_due() {
        let plan = |rate, window, sent| {
            let schedule = Schedule { lines: 10, rate, window };
            SendPlan { sent, ..SendPlan::new(schedule, 0) }
        };
        let ms = Duration::from_millis;
        // At 100 lines per second, line 3 is due after 30 ms.
        for (elapsed, wait) in [(0, 30), (29, 1), (30, 0), (31, 0), (500, 0)] {
            assert_eq!(plan(100, 0, 3).wait(ms(elapsed), 0), ms(wait), "after {elapsed} ms");
        }
        // The first line is due at once.
        assert_eq!([plan(100, 0, 0).wait(ms(0), 0), plan(0, 1, 0).wait(ms(0), 0)], [ms(0); 2]);
        // With a window of 1, every reader must also have received the three lines before it.
        for (elapsed, received, wait) in [(10, 3, ms(20)), (40, 3, ms(0)), (10, 2, ms(20)), (40, 2, TICK)] {
            assert_eq!(plan(100, 1, 3).wait(ms(elapsed), received), wait, "{received} after {elapsed} ms");
        }
        assert_eq!([plan(0, 1, 3).wait(ms(9), 2), plan(0, 1, 3).wait(ms(9), 3)], [TICK, ms(0)]);
        assert_eq!(SendPlan { is_blocked: true, ..plan(100, 0, 3) }.wait(ms(40), 0), TICK);
        // All lines are sent, or the senders' sockets are full.
        assert_eq!(
            [plan(100, 0, 10), plan(0, 1, 10), plan(0, 0, 3)].map(|plan| plan.wait(ms(9), 99)),
            [TICK; 3]
        );
    }
}
