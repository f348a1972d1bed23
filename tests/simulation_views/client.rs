//! One client of a view in the model: what it is to receive, and its position in the order.

use crate::common::scripted::*;
use crate::common::twin::Twin;
use crate::order::{Event, Order};
use crate::private::PrivateMessage;
use crate::received::{self, Public, Received};
use crate::world::Endpoint;
use hubbub::clients::close_reason::CloseReason;
use hubbub::wire::line_decoder::LineRules;
use hubbub::wire::view::View;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::ops::{Deref, DerefMut};

/// A line for this client alone, in the order of its causes.
pub(crate) enum Expected {
    Exactly(Received),
    /// A reply that contains this text; it may be left out for a client that does not read.
    Refusal {
        has: String,
        may_be_left_out: bool,
    },
    /// What became of the private message of that number: an echo, or an error.
    Receipt(usize),
}

pub(crate) struct ClientModel {
    endpoint: Endpoint,
    pub(crate) view: View,
    pub(crate) address: std::net::IpAddr,
    /// It was admitted, not refused.
    pub(crate) is_member: bool,
    /// It left the room and its name is free, even if it has still to receive something.
    pub(crate) has_left: bool,
    pub(crate) name: String,
    pub(crate) is_announced: bool,
    pub(crate) has_spoken: bool,
    pub(crate) twin: Twin,
    /// How many events there were when it joined, and when it started to close.
    pub(crate) joined: u64,
    pub(crate) ended: Option<u64>,
    /// A write failed: it receives nothing more, but what it sent before is relayed.
    pub(crate) write_error: Option<ErrorKind>,
    /// Lines that it sent.
    pub(crate) lines: usize,
    pub(crate) expected: VecDeque<Expected>,
    /// Private messages to it that it may receive, by number.
    pub(crate) private_messages: VecDeque<usize>,
    /// Bytes of whole lines that the model has read from what it received.
    read: usize,
    /// The first events that it may receive, and the next ones, one for each possible start.
    first: (usize, usize),
    /// How many earlier lines it has still to receive, between the marks.
    history: Option<usize>,
    positions: Option<Vec<usize>>,
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
    pub(crate) fn new(endpoint: Endpoint, view: View, rules: LineRules) -> Self {
        Self {
            endpoint,
            view,
            address: [0; 4].into(),
            is_member: true,
            has_left: false,
            name: String::new(),
            is_announced: false,
            has_spoken: false,
            twin: Twin::new(rules),
            joined: 0,
            ended: None,
            write_error: None,
            lines: 0,
            expected: VecDeque::new(),
            private_messages: VecDeque::new(),
            read: 0,
            first: (0, 0),
            history: None,
            positions: None,
        }
    }

    /// It joins now, and may receive so many earlier events.
    pub(crate) fn join(&mut self, sequence: u64, seen: usize, history: usize) {
        self.joined = sequence;
        self.first = (seen.saturating_sub(history), seen);
    }

    pub(crate) const fn is_active(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether it is in the room and can be written to.
    pub(crate) const fn is_open(&self) -> bool {
        self.is_member && self.ended.is_none() && self.write_error.is_none()
    }

    /// Whether its socket fails the next write.
    pub(crate) fn may_break(&self) -> bool {
        matches!(self.scripted.script().then_accepts, Accept::Fail(_))
    }

    /// Whether it has sent anything that is not handled yet.
    pub(crate) fn has_input(&self) -> bool {
        self.is_active() && (self.pending_input() > 0 || self.twin.is_releasing())
    }

    pub(crate) fn expect(&mut self, expected: Expected) {
        self.expected.push_back(expected);
    }

    pub(crate) fn expect_refusal(&mut self, has: impl Into<String>) {
        self.expect(Expected::Refusal { has: has.into(), may_be_left_out: false });
    }

    /// Returns the lines that it has received since the last call.
    pub(crate) fn new_lines(&mut self) -> Vec<Received> {
        let script = self.scripted.script();
        let fresh = &script.received[self.read..];
        let shown = || String::from_utf8_lossy(fresh);
        let (number, view) = (self.number, self.view);
        assert!(!fresh.contains(&0), "{number} in {view:?} receives NUL: {:?}", shown());
        let end = fresh.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        assert!(
            !self.accepts_all || end == fresh.len(),
            "{number} reads everything and received {:?}",
            shown()
        );
        let mut received = Vec::new();
        for line in fresh[..end].split_inclusive(|&byte| byte == b'\n') {
            if received::is_http_head(line) {
                continue;
            }
            let may_be_welcome = self.read == 0 && received.is_empty();
            let read = received::read(self.view, &line[..line.len() - 1], may_be_welcome);
            received.push(read.unwrap_or_else(|why| {
                panic!("{number} in {view:?}: {why}: {:?}", String::from_utf8_lossy(line))
            }));
        }
        let end = self.read + end;
        drop(script);
        self.read = end;
        received
    }

    /// It received a line for it alone: the next reply, or a private message.
    pub(crate) fn receive_private(
        &mut self,
        shown: &Received,
        private_messages: &mut [PrivateMessage],
        order: &Order,
    ) {
        if let Received::Private { is_echo: false, .. } = shown {
            return self.receive_message(shown, private_messages, order);
        }
        loop {
            let next = self.expected.pop_front();
            let (number, view) = (self.number, self.view);
            let Some(next) = next else { panic!("{number} in {view:?} expects no {shown:?}") };
            let (is_it, text) = match &next {
                Expected::Exactly(expected) => (shown == expected, format!("{expected:?}")),
                Expected::Refusal { has, .. } => (is_refusal(shown, has), has.clone()),
                Expected::Receipt(at) => {
                    let message = &mut private_messages[*at];
                    let text = message.text.clone();
                    (message.matches_receipt(view, shown), format!("what became of {text:?}"))
                }
            };
            if is_it {
                return;
            }
            let is_optional = matches!(next, Expected::Refusal { may_be_left_out: true, .. });
            assert!(is_optional, "{number} in {view:?} expects {text:?} and received {shown:?}");
        }
    }

    fn receive_message(&mut self, shown: &Received, private_messages: &mut [PrivateMessage], order: &Order) {
        let (number, view) = (self.number, self.view);
        loop {
            let Some(next) = self.private_messages.pop_front() else {
                panic!("{number} in {view:?} received twice, too early or for another client: {shown:?}");
            };
            let message = &mut private_messages[next];
            let is_it = *shown == Received::private(view, &message.from, &message.to, &message.text, false);
            message.check_received(is_it);
            if is_it {
                assert!(message.may_be_delivered, "{number} had left and received {shown:?}");
                return self.check_position(message.sequence, shown, order);
            }
            let lost = message.text.clone();
            assert!(
                !message.is_due(),
                "{number} in {view:?} received {shown:?} instead of {lost:?} from {}",
                message.from
            );
        }
    }

    /// A fast reader receives a private message after all earlier events, and before all later ones.
    fn check_position(&self, sequence: u64, shown: &Received, order: &Order) {
        let is_missed = |event: &Event| matches!(event.shown, Public::Missed { .. });
        let is_now = |position: usize| {
            let (before, after) = order.events.split_at(position);
            let is_early = |event: &Event| event.sequence < sequence;
            let is_later = |event: &Event| event.about == self.number || is_missed(event) || !is_early(event);
            before.iter().rfind(|event| !is_missed(event)).is_none_or(is_early) && after.iter().all(is_later)
        };
        let (number, view) = (self.number, self.view);
        let is_in_order = !self.accepts_all || self.positions(order).into_iter().any(is_now);
        assert!(is_in_order, "{number} in {view:?} received {shown:?} too early or too late");
    }

    /// It received the mark before so many earlier lines.
    pub(crate) fn receive_history(&mut self, lines: usize, most: usize) {
        let (number, view) = (self.number, self.view);
        self.check_is_welcomed("the history");
        assert!(self.positions.is_none() && self.history.is_none(), "{number} in {view:?}: a late mark");
        assert!((1..=most).contains(&lines), "{number} in {view:?}: {lines} earlier lines");
        self.history = Some(lines);
    }

    /// It received the mark after the earlier lines: only later ones follow.
    pub(crate) fn end_history(&mut self, order: &Order) {
        let (number, view, left) = (self.number, self.view, self.history.take());
        // A client that is refused receives no more lines.
        assert!(
            left == Some(0) || left.is_some() && self.ended.is_some(),
            "{number} in {view:?}: {left:?} are left"
        );
        let is_later =
            |position: &usize| order.events[*position..].iter().all(|event| !self.is_earlier(event));
        let positions = self.positions(order).into_iter().filter(is_later).collect::<Vec<_>>();
        if self.ended.is_none() {
            assert!(!positions.is_empty(), "{number} in {view:?}: the history is not at its end");
            self.positions = Some(positions);
        }
    }

    /// Whether the event happened before it joined. A count of notices may be older than its place.
    fn is_earlier(&self, event: &Event) -> bool {
        event.sequence < self.joined && !matches!(event.shown, Public::Missed { .. })
    }

    fn check_is_welcomed(&self, before: &str) {
        let (number, view) = (self.number, self.view);
        let next = self.expected.front();
        let is_greeting =
            matches!(next, Some(Expected::Exactly(Received::Welcome(_) | Received::Name { .. })));
        assert!(!is_greeting, "{number} in {view:?} received no welcome before {before}");
    }

    /// It received a line for everyone: the next of the order.
    pub(crate) fn receive_public(&mut self, shown: &Public, order: &Order) {
        let (number, view) = (self.number, self.view);
        self.check_is_welcomed(&format!("{shown:?}"));
        let is_old = self.history.is_some();
        if let Some(left) = &mut self.history {
            let (number, view) = (self.endpoint.number, self.view);
            assert!(*left > 0, "{number} in {view:?} received {shown:?} before the end of the history");
            *left -= 1;
        }
        let before = self.positions(order);
        let positions =
            before.iter().filter_map(|&position| self.position_after(shown, is_old, position, order));
        let positions = positions.collect::<Vec<_>>();
        if positions.is_empty() {
            let next = before.iter().map(|&position| self.skip_own(position, order)).collect::<Vec<_>>();
            let events = next.iter().take(3).map(|&next| order.events.get(next)).collect::<Vec<_>>();
            panic!(
                "{number} in {view:?} received {shown:?} instead of one of {events:?}, {next:?} of {}",
                order.events.len()
            );
        }
        self.positions = Some(positions);
    }

    /// Returns the events that it may receive next: more than one while its start is not certain.
    fn positions(&self, order: &Order) -> Vec<usize> {
        self.positions.clone().unwrap_or_else(|| {
            let (first, seen) = self.first;
            let since = order.events[seen..].iter().position(|event| event.sequence >= self.joined);
            (first..=since.map_or(order.events.len(), |since| seen + since)).collect()
        })
    }

    /// Returns its position after it received `shown` at `position`, if that is possible.
    fn position_after(&self, shown: &Public, is_old: bool, position: usize, order: &Order) -> Option<usize> {
        let next = self.skip_own(position, order);
        let at = Some(next).filter(|&at| order.events.get(at).is_some_and(|it| it.shown == *shown))?;
        let has_marks = self.view.has_names();
        let is_missed = matches!(shown, Public::Missed { .. });
        if has_marks && !is_missed && is_old != self.is_earlier(&order.events[at]) {
            return None;
        }
        self.ended.is_none_or(|ended| order.events[at].sequence < ended).then_some(at + 1)
    }

    fn skip_own(&self, mut position: usize, order: &Order) -> usize {
        while order.events.get(position).is_some_and(|event| event.about == self.number) {
            position += 1;
        }
        position
    }

    /// It has received every event that it is to receive.
    pub(crate) fn check_has_events(&self, order: &Order) {
        let is_lost = |position: usize| {
            order.events[position..].iter().find(|event| {
                let is_message = matches!(event.shown, Public::Message { .. });
                event.about != self.number
                    && self.ended.is_none_or(|ended| event.sequence < ended && is_message)
            })
        };
        let lost = self.positions(order).into_iter().map(is_lost).collect::<Vec<_>>();
        let (number, view) = (self.number, self.view);
        assert!(lost.contains(&None), "{number} in {view:?} did not receive {:?}", lost[0]);
    }

    /// It has received every line for it alone.
    pub(crate) fn check_has_replies(&mut self, private_messages: &mut [PrivateMessage]) {
        let (number, view) = (self.number, self.view);
        assert_eq!(
            self.read,
            self.scripted.script().received.len(),
            "{number} in {view:?} received a part of a line"
        );
        assert!(self.history.is_none(), "{number} in {view:?} received no end of the history");
        self.expected.retain(|expected| !matches!(expected, Expected::Refusal { may_be_left_out: true, .. }));
        let missing = self.expected.front().map(|expected| match expected {
            Expected::Exactly(received) => format!("{received:?}"),
            Expected::Refusal { has, .. } => has.clone(),
            Expected::Receipt(at) => {
                format!("what became of {:?}", private_messages[*at].text)
            }
        });
        assert_eq!(missing, None, "{number} in {view:?} received no reply");
        for at in self.private_messages.drain(..) {
            let message = &mut private_messages[at];
            message.check_received(false);
            let text = message.text.clone();
            assert!(!message.is_due(), "{number} in {view:?} did not receive {text:?} from {}", message.from);
        }
    }

    /// The table removed it. A connection that was shut down in order has received everything.
    pub(crate) fn check_removed(
        &mut self,
        close_reason: CloseReason,
        order: &Order,
        private_messages: &mut [PrivateMessage],
    ) {
        let number = self.number;
        let is_disconnected = matches!(
            close_reason,
            CloseReason::StalledReader
                | CloseReason::CloseTimeout
                | CloseReason::ConnectionLost(_)
                | CloseReason::NoProgress
        );
        assert!(
            !self.accepts_all || !is_disconnected,
            "{number} reads everything and closed as {close_reason:?}"
        );
        let (is_shut_down, is_removed) = (self.scripted.script().is_shut_down, self.scripted.is_removed());
        assert!(is_removed, "{number} is still open");
        if is_shut_down {
            self.check_has_replies(private_messages);
        }
        if is_shut_down && close_reason == CloseReason::ClosedByPeer && self.is_member {
            self.check_has_events(order);
        }
    }
}

fn is_refusal(shown: &Received, has: &str) -> bool {
    matches!(shown, Received::Reply { text, is_error } if text.contains(has) && *is_error != Some(false))
}
