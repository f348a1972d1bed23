//! One client as the model knows it: what it said, what it is owed to the byte, and why it has to go.

use crate::common::scripted::{ScriptedClient, ScriptedServer};
use crate::common::twin::Twin;
use crate::model::{FAREWELL, LINGER, Line, NOTICE_SPACE, OUTBOX_LIMIT, SHUTDOWN_GRACE};
use hubbub::clients::close_reason::CloseReason;
use hubbub::util::clock::Moment;
use hubbub::wire::line_decoder::LineRules;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

/// How far a client has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Stage {
    Open,
    /// It is owed what it was owed until then, and says nothing that is heard.
    Ending(CloseReason),
    /// A write failed: it is told nothing, but what it said before is heard.
    Deaf(ErrorKind),
    /// It was told all, and the peer knows.
    Draining(CloseReason),
    Over(CloseReason),
}

pub(crate) struct Person {
    pub(crate) client: ScriptedClient,
    pub(crate) address: IpAddr,
    pub(crate) is_member: bool,
    pub(crate) twin: Twin,
    pub(crate) stage: Stage,
    /// The line of the one order that it hears next, and how much of it it has.
    next: usize,
    taken: usize,
    /// What was read of it and not handled yet.
    pub(crate) unparsed: VecDeque<u8>,
    /// Its input was read to its end.
    has_ended: bool,
    /// From this line on it is owed nothing.
    end: Option<usize>,
    /// Text for it alone.
    pub(crate) outbox_len: VecDeque<u8>,
    pub(crate) joined: Moment,
    pub(crate) said_at: Moment,
    pub(crate) read_at: Moment,
    pub(crate) ended_at: Moment,
    /// Lines that count for the rate.
    pub(crate) lines: u64,
    /// Where it stood in the feed, each time that this changed.
    places: Vec<(Moment, u64)>,
    /// Whether its socket may have been interrupted for ever, or taken nothing.
    pub(crate) may_run_away: bool,
    /// What the system has yet to report of its socket.
    pub(crate) reports: (bool, bool),
    /// It takes all and never breaks.
    pub(crate) is_healthy: bool,
    /// Nothing more comes from it.
    pub(crate) is_silent: bool,
}

impl Person {
    pub(crate) fn new(
        client: ScriptedClient,
        address: IpAddr,
        rules: LineRules,
        order: &[Line],
        now: Moment,
    ) -> Self {
        Self {
            client,
            address,
            is_member: true,
            twin: Twin::new(rules),
            stage: Stage::Open,
            next: order.len(),
            taken: 0,
            unparsed: VecDeque::new(),
            has_ended: false,
            end: None,
            outbox_len: VecDeque::new(),
            joined: now,
            said_at: now,
            read_at: now,
            ended_at: now,
            lines: 0,
            places: Vec::new(),
            may_run_away: false,
            reports: (false, false),
            is_healthy: false,
            is_silent: false,
        }
    }

    /// The system reports what changed since its last report.
    pub(crate) fn is_reported(&mut self, server: &mut ScriptedServer) {
        let (readable, writable) = std::mem::take(&mut self.reports);
        assert!(server.clients.mark_ready(self.client.id, readable, writable, server.now));
    }

    /// Whether anything can still be written to it.
    pub(crate) fn can_write(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::Ending(_))
    }

    /// Whether what it says is chat.
    pub(crate) fn is_heard(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::Deaf(_))
    }

    pub(crate) fn tell(&mut self, text: &[u8]) {
        if self.can_write() {
            self.outbox_len.extend(text);
        }
    }

    /// Its text for it alone is bounded: one answer more than where it is not handled any more.
    pub(crate) fn check_untold(&self) {
        let most = OUTBOX_LIMIT + NOTICE_SPACE;
        assert!(self.outbox_len.len() <= most, "{} bytes for one alone", self.outbox_len.len());
    }

    /// Whether it has said what was not handled yet.
    pub(crate) fn waits(&self) -> bool {
        self.is_heard() && self.client.unread() + self.unparsed.len() > 0
    }

    fn skip_own(&mut self, number: usize, order: &[Line]) {
        while self.taken == 0 && order.get(self.next).is_some_and(|line| line.author == number) {
            self.next += 1;
        }
    }

    /// The next byte that it is owed: text for it alone at a line's end, else the next line of others.
    fn next_byte(&mut self, number: usize, order: &[Line]) -> Option<u8> {
        if self.taken == 0
            && let Some(byte) = self.outbox_len.pop_front()
        {
            return Some(byte);
        }
        self.skip_own(number, order);
        if self.end.is_some_and(|end| self.next >= end) {
            return None;
        }
        let text = &order.get(self.next)?.text;
        let byte = text[self.taken];
        self.taken += 1;
        if self.taken == text.len() {
            (self.next, self.taken) = (self.next + 1, 0);
        }
        Some(byte)
    }

    /// It was told `bytes`: the very next that it is owed.
    pub(crate) fn takes(&mut self, number: usize, bytes: &[u8], order: &[Line]) {
        assert!(self.can_write(), "{number} is told more in {:?}", self.stage);
        for (index, &byte) in bytes.iter().enumerate() {
            let expected = self.next_byte(number, order);
            assert!(
                expected == Some(byte),
                "{number} was to hear {:?} after {:?} and heard {:?}",
                expected.map(char::from),
                String::from_utf8_lossy(&bytes[index.saturating_sub(40)..index]),
                String::from_utf8_lossy(&bytes[index..bytes.len().min(index + 40)]),
            );
        }
    }

    pub(crate) fn has_pending_output(&mut self, number: usize, order: &[Line]) -> bool {
        self.can_write() && (!self.outbox_len.is_empty() || self.is_behind(number, order))
    }

    /// Whether it lacks lines of others.
    pub(crate) fn is_behind(&mut self, number: usize, order: &[Line]) -> bool {
        self.skip_own(number, order);
        self.can_write() && self.next < self.end.unwrap_or(order.len())
    }

    /// Where it stands, in bytes of all lines.
    pub(crate) fn place(&self, order: &[Line], head: u64) -> u64 {
        order.get(self.next).map_or(head, |line| line.start) + self.taken as u64
    }

    pub(crate) fn note_place(&mut self, place: u64, now: Moment) {
        if self.places.last().is_none_or(|&(_, last)| last != place) {
            self.places.push((now, place));
        }
    }

    /// Where it stood so long ago; `None` where it was not there yet.
    pub(crate) fn place_before(&self, span: Duration, now: Moment) -> Option<u64> {
        self.places.iter().rev().find(|(at, _)| now.since(*at) >= span).map(|&(_, place)| place)
    }

    /// Its close_reason is said on one side, and it is owed the lines before `end`.
    pub(crate) fn ends(&mut self, close_reason: CloseReason, end: usize, now: Moment) {
        match self.stage {
            Stage::Open => {
                self.stage = Stage::Ending(close_reason);
                self.end = Some(end);
                self.ended_at = now;
            }
            Stage::Deaf(_) => self.stage = Stage::Over(close_reason),
            _ => {}
        }
    }

    /// It is refused: `told`, and then the rest of the line that it is in the middle of.
    pub(crate) fn is_refused(&mut self, told: &str, close_reason: CloseReason, now: Moment) {
        self.tell(format!("* {told}\n").as_bytes());
        let end = self.next + usize::from(self.taken > 0);
        self.ends(close_reason, end, now);
    }

    /// Its input came to an end, and what was unfinished was heard.
    pub(crate) fn input_ended(&mut self, said: usize, now: Moment) {
        self.has_ended = true;
        match self.stage {
            Stage::Open => self.ends(CloseReason::ClosedByPeer, said, now),
            // What was unfinished showed a stranger.
            Stage::Ending(CloseReason::OtherProtocol(_)) => {}
            Stage::Deaf(ErrorKind::BrokenPipe) => self.stage = Stage::Over(CloseReason::ClosedByPeer),
            Stage::Deaf(kind) => self.stage = Stage::Over(CloseReason::ConnectionLost(kind)),
            Stage::Draining(close_reason) => self.stage = Stage::Over(close_reason),
            // The same, of one who cannot be told.
            Stage::Over(CloseReason::OtherProtocol(_)) => {}
            Stage::Ending(_) | Stage::Over(_) => panic!("read in {:?}", self.stage),
        }
    }

    pub(crate) fn read_failed(&mut self, kind: ErrorKind) {
        match (self.stage, kind) {
            (Stage::Deaf(broken), ErrorKind::WouldBlock) => {
                self.stage = Stage::Over(CloseReason::ConnectionLost(broken))
            }
            (_, ErrorKind::WouldBlock) => {}
            _ => self.broke(kind),
        }
    }

    pub(crate) fn write_failed(&mut self, kind: ErrorKind) {
        match (self.stage, kind) {
            (_, ErrorKind::WouldBlock) => {}
            (Stage::Open, _) => {
                self.outbox_len.clear();
                self.stage = Stage::Deaf(kind);
            }
            _ => self.broke(kind),
        }
    }

    /// Who was told to go goes for that reason, however its socket breaks then.
    fn broke(&mut self, kind: ErrorKind) {
        self.stage = Stage::Over(match self.stage {
            Stage::Draining(close_reason) => close_reason,
            Stage::Ending(close_reason) if close_reason != CloseReason::ClosedByPeer => close_reason,
            _ => CloseReason::ConnectionLost(kind),
        });
    }

    /// The peer is told that nothing more comes.
    pub(crate) fn is_shut_down(&mut self, number: usize, order: &[Line]) {
        assert!(!self.has_pending_output(number, order), "{number} is shut and lacks something");
        self.stage = match self.stage {
            Stage::Ending(close_reason) if self.has_ended => Stage::Over(close_reason),
            Stage::Ending(close_reason) => Stage::Draining(close_reason),
            stage => panic!("{number} is shut in {stage:?}"),
        };
    }

    /// The crowd is done with it, for a reason that has to be true.
    pub(crate) fn check_goodbye(
        &mut self,
        number: usize,
        close_reason: CloseReason,
        stopped: Option<Moment>,
        now: Moment,
    ) {
        let waited = now.since(self.ended_at);
        let gave_up = stopped.is_some_and(|at| now.since(at) >= SHUTDOWN_GRACE);
        let is_true = match (self.stage, close_reason) {
            (_, CloseReason::NoProgress) => self.may_run_away,
            (Stage::Over(known), close_reason) => known == close_reason,
            (Stage::Ending(CloseReason::ClosedByPeer), CloseReason::CloseTimeout) => {
                waited >= FAREWELL || gave_up
            }
            (Stage::Ending(known), close_reason) if known != CloseReason::ClosedByPeer => {
                known == close_reason && (waited >= FAREWELL || gave_up)
            }
            (Stage::Draining(known), close_reason) => known == close_reason && waited >= LINGER,
            _ => false,
        };
        assert!(is_true, "{number} goes as {close_reason:?} in {:?} after {waited:?}", self.stage);
        assert!(!self.is_healthy || close_reason != CloseReason::CloseTimeout, "{number} took all");
    }
}
