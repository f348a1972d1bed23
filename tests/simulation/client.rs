//! One client in the model: what it sent, what it is to receive, to the byte, and why it has to close.

use crate::common::twin::Twin;
use crate::model::{CLOSE_TIMEOUT, LINGER, Line, MAX_REPLY, OUTBOX_LIMIT, SHUTDOWN_GRACE};
use crate::world::Endpoint;
use hubbub::clients::close_reason::CloseReason;
use hubbub::util::clock::Moment;
use hubbub::wire::line_decoder::LineRules;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Stage {
    Open,
    /// What was pending then is still written, and its input is no chat any more.
    Closing(CloseReason),
    /// A write failed: nothing more is written, but what it sent before is relayed.
    WriteFailed(ErrorKind),
    /// All output was written, and the peer knows.
    Draining(CloseReason),
    Closed(CloseReason),
}

pub(crate) struct ClientModel {
    endpoint: Endpoint,
    pub(crate) address: IpAddr,
    pub(crate) is_member: bool,
    pub(crate) twin: Twin,
    pub(crate) stage: Stage,
    /// The line that it receives next, and how many of its bytes it has received.
    next: usize,
    received: usize,
    /// Its input was read to its end.
    has_ended: bool,
    /// It receives no lines from this one on.
    end: Option<usize>,
    /// Text for it alone.
    pub(crate) outbox: VecDeque<u8>,
    pub(crate) joined_at: Moment,
    pub(crate) handled_at: Moment,
    pub(crate) read_at: Moment,
    pub(crate) closing_since: Moment,
    /// Lines that count for its rate limit.
    pub(crate) lines: u64,
    /// Its positions in the feed, each with the time since when.
    positions: Vec<(Moment, u64)>,
    /// Whether its socket may have been interrupted for ever, or may have written nothing.
    pub(crate) may_make_no_progress: bool,
}

impl Deref for ClientModel {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl DerefMut for ClientModel {
    fn deref_mut(&mut self) -> &mut Endpoint {
        &mut self.endpoint
    }
}

impl ClientModel {
    pub(crate) fn new(
        endpoint: Endpoint,
        address: IpAddr,
        rules: LineRules,
        order: &[Line],
        now: Moment,
    ) -> Self {
        Self {
            endpoint,
            address,
            is_member: true,
            twin: Twin::new(rules),
            stage: Stage::Open,
            next: order.len(),
            received: 0,
            has_ended: false,
            end: None,
            outbox: VecDeque::new(),
            joined_at: now,
            handled_at: now,
            read_at: now,
            closing_since: now,
            lines: 0,
            positions: Vec::new(),
            may_make_no_progress: false,
        }
    }

    /// Whether anything can still be written to it.
    pub(crate) fn can_write(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::Closing(_))
    }

    /// Whether what it sends is chat.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::WriteFailed(_))
    }

    pub(crate) fn queue_text(&mut self, text: &[u8]) {
        if self.can_write() {
            self.outbox.extend(text);
        }
    }

    /// While the outbox is over its limit no input is handled, so it exceeds it by one reply at most.
    pub(crate) fn check_outbox(&self) {
        let most = OUTBOX_LIMIT + MAX_REPLY;
        assert!(self.outbox.len() <= most, "{} bytes in the outbox", self.outbox.len());
    }

    /// Whether it has sent anything that is not handled yet.
    pub(crate) fn has_input(&self) -> bool {
        self.is_active() && (self.pending_input() > 0 || self.twin.is_releasing())
    }

    fn skip_own(&mut self, number: usize, order: &[Line]) {
        while self.received == 0 && order.get(self.next).is_some_and(|line| line.author == number) {
            self.next += 1;
        }
    }

    /// Returns the next byte that it is to receive: text for it alone at a line's end, otherwise the next line of
    /// another client.
    fn next_byte(&mut self, number: usize, order: &[Line]) -> Option<u8> {
        if self.received == 0
            && let Some(byte) = self.outbox.pop_front()
        {
            return Some(byte);
        }
        self.skip_own(number, order);
        if self.end.is_some_and(|end| self.next >= end) {
            return None;
        }
        let text = &order.get(self.next)?.text;
        let byte = text[self.received];
        self.received += 1;
        if self.received == text.len() {
            (self.next, self.received) = (self.next + 1, 0);
        }
        Some(byte)
    }

    /// It received `bytes`: exactly the next that it is to receive.
    pub(crate) fn receive(&mut self, number: usize, bytes: &[u8], order: &[Line]) {
        assert!(self.can_write(), "{number} receives more in {:?}", self.stage);
        for (index, &byte) in bytes.iter().enumerate() {
            let expected = self.next_byte(number, order);
            assert!(
                expected == Some(byte),
                "{number} was to receive {:?} after {:?} and received {:?}",
                expected.map(char::from),
                String::from_utf8_lossy(&bytes[index.saturating_sub(40)..index]),
                String::from_utf8_lossy(&bytes[index..bytes.len().min(index + 40)]),
            );
        }
    }

    pub(crate) fn has_pending_output(&mut self, number: usize, order: &[Line]) -> bool {
        self.can_write() && (!self.outbox.is_empty() || self.is_behind(number, order))
    }

    /// Whether it has still to receive lines.
    pub(crate) fn is_behind(&mut self, number: usize, order: &[Line]) -> bool {
        self.skip_own(number, order);
        self.can_write() && self.next < self.end.unwrap_or(order.len())
    }

    /// Its position, in bytes of all lines.
    pub(crate) fn position(&self, order: &[Line], head: u64) -> u64 {
        order.get(self.next).map_or(head, |line| line.start) + self.received as u64
    }

    pub(crate) fn record_position(&mut self, position: u64, now: Moment) {
        if self.positions.last().is_none_or(|&(_, last)| last != position) {
            self.positions.push((now, position));
        }
    }

    /// Its position so long ago; `None` if it was not connected then.
    pub(crate) fn position_before(&self, span: Duration, now: Moment) -> Option<u64> {
        self.positions.iter().rev().find(|(at, _)| now.since(*at) >= span).map(|&(_, position)| position)
    }

    /// It starts to close, and still receives the lines before `end`.
    pub(crate) fn begin_close(&mut self, close_reason: CloseReason, end: usize, now: Moment) {
        match self.stage {
            Stage::Open => {
                self.stage = Stage::Closing(close_reason);
                self.end = Some(end);
                self.closing_since = now;
            }
            Stage::WriteFailed(_) => self.stage = Stage::Closed(close_reason),
            _ => {}
        }
    }

    /// It is refused: `text` follows the line that it is in the middle of, and nothing else.
    pub(crate) fn refuse(&mut self, text: &str, close_reason: CloseReason, now: Moment) {
        self.refuse_with(format!("* {text}\n").as_bytes(), close_reason, now);
    }

    /// The same with any bytes.
    pub(crate) fn refuse_with(&mut self, reply: &[u8], close_reason: CloseReason, now: Moment) {
        self.queue_text(reply);
        let end = self.next + usize::from(self.received > 0);
        self.begin_close(close_reason, end, now);
    }

    /// The end of its input was read, and its unfinished line was handled.
    pub(crate) fn end_input(&mut self, head: usize, now: Moment) {
        self.has_ended = true;
        match self.stage {
            Stage::Open => self.begin_close(CloseReason::ClosedByPeer, head, now),
            // The unfinished line showed another protocol.
            Stage::Closing(CloseReason::OtherProtocol(_)) => {}
            Stage::WriteFailed(ErrorKind::BrokenPipe) => {
                self.stage = Stage::Closed(CloseReason::ClosedByPeer)
            }
            Stage::WriteFailed(kind) => self.stage = Stage::Closed(CloseReason::ConnectionLost(kind)),
            Stage::Draining(close_reason) => self.stage = Stage::Closed(close_reason),
            // The same, for a client that nothing can be written to.
            Stage::Closed(CloseReason::OtherProtocol(_)) => {}
            Stage::Closing(_) | Stage::Closed(_) => panic!("read in {:?}", self.stage),
        }
    }

    pub(crate) fn read_failed(&mut self, kind: ErrorKind) {
        match (self.stage, kind) {
            (Stage::WriteFailed(error), ErrorKind::WouldBlock) => {
                self.stage = Stage::Closed(CloseReason::ConnectionLost(error))
            }
            (_, ErrorKind::WouldBlock) => {}
            _ => self.on_error(kind),
        }
    }

    pub(crate) fn write_failed(&mut self, kind: ErrorKind) {
        match (self.stage, kind) {
            (_, ErrorKind::WouldBlock) => {}
            (Stage::Open, _) => {
                self.outbox.clear();
                self.stage = Stage::WriteFailed(kind);
            }
            _ => self.on_error(kind),
        }
    }

    /// A client that was refused keeps that reason, however its socket fails then.
    fn on_error(&mut self, kind: ErrorKind) {
        self.stage = Stage::Closed(match self.stage {
            Stage::Draining(close_reason) => close_reason,
            Stage::Closing(close_reason) if close_reason != CloseReason::ClosedByPeer => close_reason,
            _ => CloseReason::ConnectionLost(kind),
        });
    }

    /// The server has ended its side.
    pub(crate) fn is_shut_down(&mut self, number: usize, order: &[Line]) {
        assert!(!self.has_pending_output(number, order), "{number} is shut down with output pending");
        self.stage = match self.stage {
            Stage::Closing(close_reason) if self.has_ended => Stage::Closed(close_reason),
            Stage::Closing(close_reason) => Stage::Draining(close_reason),
            stage => panic!("{number} is shut down in {stage:?}"),
        };
    }

    /// The table is about to remove it, for a reason that has to be true.
    pub(crate) fn check_close(
        &mut self,
        number: usize,
        close_reason: CloseReason,
        stopped: Option<Moment>,
        now: Moment,
    ) {
        let waited = now.since(self.closing_since);
        let is_grace_over = stopped.is_some_and(|at| now.since(at) >= SHUTDOWN_GRACE);
        let is_true = match (self.stage, close_reason) {
            (_, CloseReason::NoProgress) => self.may_make_no_progress,
            (Stage::Closed(known), close_reason) => known == close_reason,
            (Stage::Closing(CloseReason::ClosedByPeer), CloseReason::CloseTimeout) => {
                waited >= CLOSE_TIMEOUT || is_grace_over
            }
            (Stage::Closing(known), close_reason) if known != CloseReason::ClosedByPeer => {
                known == close_reason && (waited >= CLOSE_TIMEOUT || is_grace_over)
            }
            (Stage::Draining(known), close_reason) => known == close_reason && waited >= LINGER,
            _ => false,
        };
        assert!(is_true, "{number} closed as {close_reason:?} in {:?} after {waited:?}", self.stage);
        assert!(
            !self.accepts_all || close_reason != CloseReason::CloseTimeout,
            "{number} accepts everything"
        );
    }
}
