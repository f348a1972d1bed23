//! One who sees the room in a view: what it is still to hear, and its place in the one order.

use crate::common::scripted::*;
use crate::common::twin::Twin;
use crate::heard::{self, Heard, Public};
use crate::letter::PrivateMessage;
use crate::order::{Event, Order};
use hubbub::clients::close_reason::CloseReason;
use hubbub::wire::line_decoder::LineRules;
use hubbub::wire::view::View;
use std::collections::VecDeque;
use std::io::ErrorKind;

/// Something for one alone, in the order in which it was asked for.
pub(crate) enum Expected {
    Exactly(Heard),
    /// An answer that has this in it, which may be spared one who does not read.
    Refusal {
        has: String,
        may_be_spared: bool,
    },
    /// Of a letter of that number: that it was sent, or why not.
    Receipt(usize),
}

pub(crate) struct Person {
    pub(crate) number: usize,
    pub(crate) client: ScriptedClient,
    pub(crate) view: View,
    pub(crate) address: std::net::IpAddr,
    /// It was let in and not turned away.
    pub(crate) is_member: bool,
    /// It took leave, and its name is free, whether it has all that it is owed or not.
    pub(crate) has_left: bool,
    pub(crate) name: String,
    pub(crate) is_announced: bool,
    pub(crate) has_spoken: bool,
    pub(crate) twin: Twin,
    /// What was read of it and not handled yet.
    pub(crate) unparsed: VecDeque<u8>,
    /// How much had happened when it came, and when it was last heard.
    pub(crate) came: u64,
    pub(crate) ended: Option<u64>,
    /// A write failed: it hears nothing more, and is still heard.
    pub(crate) deaf: Option<ErrorKind>,
    /// What the system has yet to report of its socket.
    pub(crate) reports: (bool, bool),
    /// It takes all and never breaks.
    pub(crate) is_healthy: bool,
    /// Nothing more comes from it.
    pub(crate) is_silent: bool,
    /// Lines that it said.
    pub(crate) lines: usize,
    pub(crate) expected: VecDeque<Expected>,
    /// What was said to it alone and may reach it, by numbers.
    pub(crate) letters: VecDeque<usize>,
    /// Bytes read so far of what it was told, all of them whole lines.
    read: usize,
    /// The first events that it may hear, and then those that it hears next if it began with these.
    first: (usize, usize),
    places: Option<Vec<usize>>,
}

impl Person {
    pub(crate) fn new(number: usize, client: ScriptedClient, view: View, rules: LineRules) -> Self {
        Self {
            number,
            client,
            view,
            address: [0; 4].into(),
            is_member: true,
            has_left: false,
            name: String::new(),
            is_announced: false,
            has_spoken: false,
            twin: Twin::new(rules),
            unparsed: VecDeque::new(),
            came: 0,
            ended: None,
            deaf: None,
            reports: (true, false),
            is_healthy: true,
            is_silent: false,
            lines: 0,
            expected: VecDeque::new(),
            letters: VecDeque::new(),
            read: 0,
            first: (0, 0),
            places: None,
        }
    }

    /// It comes now, and may be told of so many events that were.
    pub(crate) fn comes(&mut self, issued: u64, seen: usize, history: usize) {
        self.came = issued;
        self.first = (seen.saturating_sub(history), seen);
    }

    /// The system reports what changed since its last report.
    pub(crate) fn is_reported(&mut self, server: &mut ScriptedServer) {
        let (readable, writable) = std::mem::take(&mut self.reports);
        assert!(server.clients.mark_ready(self.client.id, readable, writable, server.now));
    }

    pub(crate) const fn is_heard(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether it is in the room and can be told things.
    pub(crate) const fn is_open(&self) -> bool {
        self.is_member && self.ended.is_none() && self.deaf.is_none()
    }

    /// Whether the next write to it fails, as far as it is up to its socket.
    pub(crate) fn may_break(&self) -> bool {
        matches!(self.client.script().then_accepts, Accept::Fail(_))
    }

    /// Whether it has said what was not read yet.
    pub(crate) fn waits(&self) -> bool {
        self.is_heard() && self.client.unread() + self.unparsed.len() > 0
    }

    pub(crate) fn expect(&mut self, expected: Expected) {
        self.expected.push_back(expected);
    }

    pub(crate) fn expect_refusal(&mut self, has: impl Into<String>) {
        self.expect(Expected::Refusal { has: has.into(), may_be_spared: false });
    }

    /// The lines that it was told since the last call.
    pub(crate) fn new_lines(&mut self) -> Vec<Heard> {
        let script = self.client.script();
        let fresh = &script.received[self.read..];
        let shown = || String::from_utf8_lossy(fresh);
        let (number, view) = (self.number, self.view);
        assert!(!fresh.contains(&0), "{number} in {view:?} hears NUL: {:?}", shown());
        let end = fresh.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        assert!(!self.is_healthy || end == fresh.len(), "{number} takes all and hears {:?}", shown());
        let mut heard = Vec::new();
        for line in fresh[..end].split_inclusive(|&byte| byte == b'\n') {
            let may_be_welcome = self.read == 0 && heard.is_empty();
            let read = heard::read(self.view, &line[..line.len() - 1], may_be_welcome);
            heard.push(read.unwrap_or_else(|why| {
                panic!("{number} in {view:?}: {why}: {:?}", String::from_utf8_lossy(line))
            }));
        }
        let end = self.read + end;
        drop(script);
        self.read = end;
        heard
    }

    /// It is told something alone: the next of what it asked for, or what another said to it.
    pub(crate) fn can_write(&mut self, told: &Heard, letters: &mut [PrivateMessage], order: &Order) {
        if let Heard::Private { is_echo: false, .. } = told {
            return self.gets_letter(told, letters, order);
        }
        loop {
            let next = self.expected.pop_front();
            let (number, view) = (self.number, self.view);
            let Some(next) = next else { panic!("{number} in {view:?} asked for no {told:?}") };
            let (is_it, text) = match &next {
                Expected::Exactly(expected) => (told == expected, format!("{expected:?}")),
                Expected::Refusal { has, .. } => (is_refusal(told, has), has.clone()),
                Expected::Receipt(at) => {
                    let letter = &mut letters[*at];
                    let text = letter.text.clone();
                    (letter.takes_receipt(view, told), format!("what became of {text:?}"))
                }
            };
            if is_it {
                return;
            }
            let is_spared = matches!(next, Expected::Refusal { may_be_spared: true, .. });
            assert!(is_spared, "{number} in {view:?} was to be told {text:?} and was told {told:?}");
        }
    }

    fn gets_letter(&mut self, told: &Heard, letters: &mut [PrivateMessage], order: &Order) {
        let (number, view) = (self.number, self.view);
        loop {
            let Some(next) = self.letters.pop_front() else {
                panic!("{number} in {view:?} is told twice, too early or as another's: {told:?}");
            };
            let letter = &mut letters[next];
            let is_it = *told == Heard::private(view, &letter.from, &letter.to, &letter.text, false);
            letter.is_heard(is_it);
            if is_it {
                assert!(letter.may_be_told, "{number} had left and is told {told:?}");
                return self.check_now_is(letter.issued, told, order);
            }
            let lost = letter.text.clone();
            assert!(
                !letter.is_due(),
                "{number} in {view:?} was told {told:?}, not {lost:?} of {}",
                letter.from
            );
        }
    }

    /// Whoever takes all is told `told` after all that was said to everyone until then, and before the rest.
    fn check_now_is(&self, issued: u64, told: &Heard, order: &Order) {
        let is_missed = |event: &Event| matches!(event.told, Public::Missed { .. });
        let is_now = |place: usize| {
            let (before, after) = order.events.split_at(place);
            let is_early = |event: &Event| event.issued < issued;
            let is_later = |event: &Event| event.whose == self.number || is_missed(event) || !is_early(event);
            before.iter().rfind(|event| !is_missed(event)).is_none_or(is_early) && after.iter().all(is_later)
        };
        let (number, view) = (self.number, self.view);
        let is_in_order = !self.is_healthy || self.places(order).into_iter().any(is_now);
        assert!(is_in_order, "{number} in {view:?} is told {told:?} before or after its time");
    }

    /// It is told what all are told: the next of the one order.
    pub(crate) fn hears(&mut self, told: &Public, order: &Order) {
        let (number, view) = (self.number, self.view);
        let is_welcomed =
            !matches!(self.expected.front(), Some(Expected::Exactly(Heard::Welcome(_) | Heard::Name { .. })));
        assert!(is_welcomed, "{number} in {view:?} is not welcomed and hears {told:?}");
        let before = self.places(order);
        let places = before.iter().filter_map(|&place| self.place_after(told, place, order));
        let places = places.collect::<Vec<_>>();
        if places.is_empty() {
            let next = before.iter().map(|&place| self.skip_own(place, order)).collect::<Vec<_>>();
            let events = next.iter().take(3).map(|&next| order.events.get(next)).collect::<Vec<_>>();
            panic!(
                "{number} in {view:?} hears {told:?}, and was to hear one of {events:?}, {next:?} of {}",
                order.events.len()
            );
        }
        self.places = Some(places);
    }

    /// The events that it may hear next, by numbers: more than one as long as it is not clear where it began.
    fn places(&self, order: &Order) -> Vec<usize> {
        self.places.clone().unwrap_or_else(|| {
            let (first, seen) = self.first;
            let since = order.events[seen..].iter().position(|event| event.issued >= self.came);
            (first..=since.map_or(order.events.len(), |since| seen + since)).collect()
        })
    }

    /// Its place once it was told so at `place`, if it is told so there.
    fn place_after(&self, told: &Public, place: usize, order: &Order) -> Option<usize> {
        let next = self.skip_own(place, order);
        let at = Some(next).filter(|&at| order.events.get(at).is_some_and(|it| it.told == *told))?;
        self.ended.is_none_or(|ended| order.events[at].issued < ended).then_some(at + 1)
    }

    fn skip_own(&self, mut place: usize, order: &Order) -> usize {
        while order.events.get(place).is_some_and(|event| event.whose == self.number) {
            place += 1;
        }
        place
    }

    /// It has heard all that it was to hear, of what there was when it was last heard.
    pub(crate) fn check_has_all(&self, order: &Order) {
        let is_lost = |place: usize| {
            order.events[place..].iter().find(|event| {
                let is_message = matches!(event.told, Public::Message { .. });
                event.whose != self.number
                    && self.ended.is_none_or(|ended| event.issued < ended && is_message)
            })
        };
        let lost = self.places(order).into_iter().map(is_lost).collect::<Vec<_>>();
        let (number, view) = (self.number, self.view);
        assert!(lost.contains(&None), "{number} in {view:?} did not hear {:?}", lost[0]);
    }

    /// It was told all that was for it alone.
    pub(crate) fn check_was_told(&mut self, letters: &mut [PrivateMessage]) {
        let (number, view) = (self.number, self.view);
        assert_eq!(self.read, self.client.script().received.len(), "{number} in {view:?} hears half a line");
        self.expected.retain(|expected| !matches!(expected, Expected::Refusal { may_be_spared: true, .. }));
        let outbox_len = self.expected.front().map(|expected| match expected {
            Expected::Exactly(heard) => format!("{heard:?}"),
            Expected::Refusal { has, .. } => has.clone(),
            Expected::Receipt(at) => {
                format!("what became of {:?}", letters[*at].text)
            }
        });
        assert_eq!(outbox_len, None, "{number} in {view:?} is not answered");
        for at in self.letters.drain(..) {
            let letter = &mut letters[at];
            letter.is_heard(false);
            let text = letter.text.clone();
            assert!(!letter.is_due(), "{number} in {view:?} was not told {text:?} of {}", letter.from);
        }
    }

    /// The crowd is done with it: who was told that nothing more comes has all.
    pub(crate) fn is_gone(
        &mut self,
        close_reason: CloseReason,
        order: &Order,
        letters: &mut [PrivateMessage],
    ) {
        let number = self.number;
        let is_cut = matches!(
            close_reason,
            CloseReason::StalledReader
                | CloseReason::CloseTimeout
                | CloseReason::ConnectionLost(_)
                | CloseReason::NoProgress
        );
        assert!(!self.is_healthy || !is_cut, "{number} takes all and goes as {close_reason:?}");
        let (is_shut_down, is_gone) = (self.client.script().is_shut_down, self.client.is_removed());
        assert!(is_gone, "{number} was not let go");
        if is_shut_down {
            self.check_was_told(letters);
        }
        if is_shut_down && close_reason == CloseReason::ClosedByPeer && self.is_member {
            self.check_has_all(order);
        }
    }
}

fn is_refusal(told: &Heard, has: &str) -> bool {
    matches!(told, Heard::Told { text, is_error } if text.contains(has) && *is_error != Some(false))
}
