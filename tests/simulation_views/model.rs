//! What people do, in the order in which they are heard: who has which name, what all are told, and what
//! each is told alone.

use crate::WELCOME;
use crate::common::scripted::{Call, ScriptedSocket, Trace};
use crate::common::twin::{Said, shown_one_by_one};
use crate::heard::{Heard, Public, Text};
use crate::letter::PrivateMessage;
use crate::order::{Event, Order, folded};
use crate::person::{Expected, Person};
use hubbub::chat::command::Command;
use hubbub::chat::room::RoomConfig;
use hubbub::clients::close_reason::CloseReason;
use hubbub::clients::{ClientLimits, Clients};
use hubbub::util::id_slab::ClientId;
use hubbub::wire::view::View;
use std::collections::BTreeMap;
use std::io::ErrorKind;

/// Characters.
const LONGEST_NAME: usize = 24;
/// Bytes up to which a list names everyone, and what stands before the last of them.
const LONGEST_LIST: usize = 2048 + ", ".len();

pub(crate) struct Model {
    pub(crate) config: RoomConfig,
    pub(crate) limits: ClientLimits,
    /// Those whom the crowd still has, by their numbers in the trace.
    pub(crate) members: BTreeMap<usize, Person>,
    /// The one order as each view shows it.
    pub(crate) orders: Vec<Order>,
    letters: Vec<PrivateMessage>,
    /// How much has happened of which all are told.
    issued: u64,
    /// How many were here since when, counted in things that had happened.
    presence: Vec<(u64, usize)>,
    /// How many ever came in.
    joined: usize,
    trace: Trace,
    /// Those of whom the server let go, in that order.
    dropped: Vec<usize>,
}

impl Model {
    pub(crate) fn new(config: RoomConfig, limits: ClientLimits, trace: Trace) -> Self {
        Self {
            config,
            limits,
            members: BTreeMap::new(),
            orders: Vec::new(),
            letters: Vec::new(),
            issued: 0,
            presence: Vec::new(),
            joined: 0,
            trace,
            dropped: Vec::new(),
        }
    }

    pub(crate) fn order(&self, view: View) -> &Order {
        self.orders.iter().find(|order| order.view == view).expect("each view has an observer")
    }

    /// Those who have a place.
    fn members(&self) -> impl Iterator<Item = &Person> {
        self.members.values().filter(|person| person.is_member)
    }

    /// Those who have a name.
    fn present(&self) -> impl Iterator<Item = &Person> {
        self.members().filter(|person| !person.has_left)
    }

    /// Someone knocks: they are let in, or told why not.
    pub(crate) fn comes(&mut self, mut person: Person) {
        let here = self.members().count();
        let near = self.members().filter(|other| other.address == person.address).count();
        if here >= self.limits.connections.clients {
            person.expect_refusal("the room is full");
        } else if self.limits.per_network.is_some_and(|most| near >= most) {
            person.expect_refusal("too many connections from your address");
        } else {
            self.is_let_in(&mut person);
        }
        person.is_member = person.expected.iter().all(|told| !matches!(told, Expected::Refusal { .. }));
        if !person.is_member {
            person.ended = Some(self.issued);
        }
        self.members.insert(person.number, person);
        self.note_presence();
    }

    fn note_presence(&mut self) {
        let here = self.present().count();
        if self.presence.last().is_none_or(|&(_, last)| last != here) {
            self.presence.push((self.issued, here));
        }
    }

    fn is_let_in(&mut self, person: &mut Person) {
        let here = self.present().count() + 1;
        self.joined += 1;
        person.name = format!("anon{}", self.joined);
        person.comes(self.issued, self.order(person.view).events.len(), self.config.history);
        if self.config.welcome.is_empty() {
            return;
        }
        if person.view != View::Json {
            person.expect(Expected::Exactly(Heard::Welcome(WELCOME.to_owned())));
        }
        if person.view.has_names() {
            person.expect(Expected::Exactly(Heard::Name { name: person.name.clone(), here }));
        }
    }

    /// Whether as many linger who were turned away as may.
    pub(crate) fn is_porch_full(&self) -> bool {
        self.members.len() - self.members().count() >= self.limits.connections.refusals
    }

    /// All are told of it.
    fn happens(&mut self, whose: usize, told: &Public) {
        self.happens_at(whose, told, self.issued);
        self.issued += 1;
    }

    fn happens_at(&mut self, whose: usize, told: &Public, issued: u64) {
        for order in &mut self.orders {
            order.expect(Event { told: told.clone(), whose, issued, is_missed: false });
        }
    }

    /// The others are told of one who has stayed, unless they know.
    pub(crate) fn is_announced(&mut self, number: usize) {
        let here = self.present().count();
        let person = self.members.get_mut(&number).unwrap();
        if !std::mem::replace(&mut person.is_announced, true) {
            let name = person.name.clone();
            self.happens(number, &Public::Joined { name, here });
        }
    }

    /// Does what the trace tells of since the last call.
    pub(crate) fn catch_up(&mut self) {
        let done = std::mem::take(&mut *self.trace.borrow_mut());
        done.into_iter().for_each(|(number, done)| self.notes(number, done));
    }

    fn notes(&mut self, number: usize, done: Call) {
        let issued = self.issued;
        let Some(person) = self.members.get_mut(&number) else {
            panic!("{number} is gone and still {done:?}");
        };
        match done {
            Call::Read(bytes) if bytes.is_empty() => self.input_ended(number),
            Call::Read(bytes) => {
                assert!(person.unparsed.is_empty(), "{number} is read and was not handled");
                person.unparsed.extend(bytes);
            }
            Call::ReadFailed(kind) if kind != ErrorKind::WouldBlock || person.deaf.is_some() => {
                person.ended.get_or_insert(issued);
            }
            Call::WriteFailed(kind) if kind != ErrorKind::WouldBlock => {
                person.deaf.get_or_insert(kind);
            }
            Call::Dropped => self.dropped.push(number),
            Call::ReadFailed(_) | Call::WriteFailed(_) | Call::Wrote(_) | Call::ShutDown => {}
        }
    }

    /// `key` had its turn to be read: a part of what it said, in its order, was handled.
    pub(crate) fn was_read(&mut self, key: ClientId, clients: &Clients<ScriptedSocket>) {
        let mut done = std::mem::take(&mut *self.trace.borrow_mut()).into_iter().peekable();
        // What was read comes first, for others may be written to while it is handled.
        while let Some((number, read)) = done.next_if(|(_, done)| matches!(done, Call::Read(_))) {
            self.notes(number, read);
        }
        self.handles(key, clients);
        done.for_each(|(number, done)| self.notes(number, done));
    }

    fn handles(&mut self, key: ClientId, clients: &Clients<ScriptedSocket>) {
        let Some(person) = self.members.values_mut().find(|person| person.client.id == key) else { return };
        let (number, has) = (person.number, person.unparsed.len());
        let left = clients.connection(key).map_or(0, |connection| connection.unparsed_len());
        let Some(handled) = has.checked_sub(left) else {
            panic!("{number} has {left} bytes unparsed of {has}")
        };
        let bytes = person.unparsed.drain(..handled).collect::<Vec<_>>();
        if person.is_heard() {
            bytes.iter().for_each(|&byte| person.twin.byte(byte));
            self.hears(number);
            if !self.members[&number].is_heard() {
                self.takes_leave(number);
            }
        }
    }

    fn input_ended(&mut self, number: usize) {
        let person = self.members.get_mut(&number).unwrap();
        if !person.is_heard() {
            return;
        }
        if person.deaf.is_none_or(|kind| kind == ErrorKind::BrokenPipe) {
            person.twin.finish();
            self.hears(number);
        }
        self.ends(number);
        self.takes_leave(number);
    }

    /// Who says close_reason, and can still be told things, has left at once.
    fn takes_leave(&mut self, number: usize) {
        let person = self.members.get_mut(&number).unwrap();
        if person.deaf.is_none() {
            person.has_left = true;
            let left = person.is_announced.then(|| person.name.clone());
            self.note_presence();
            if let Some(name) = left {
                self.happens(number, &Public::Left { name });
            }
        }
    }

    /// Silence ended the unfinished line of `number`.
    pub(crate) fn flushes(&mut self, number: usize) {
        self.members.get_mut(&number).unwrap().twin.flush();
        self.hears(number);
        if !self.members[&number].is_heard() {
            self.takes_leave(number);
        }
    }

    /// Silence ends the stay of `number`.
    pub(crate) fn is_silent(&mut self, number: usize) {
        self.members.get_mut(&number).unwrap().expect_refusal("disconnected: nothing sent for");
        self.ends(number);
        self.takes_leave(number);
    }

    /// What `number` says from now on is not heard, and what happens from now on it does not hear.
    fn ends(&mut self, number: usize) {
        self.members.get_mut(&number).unwrap().ended.get_or_insert(self.issued);
    }

    fn hears(&mut self, number: usize) {
        let person = self.members.get_mut(&number).unwrap();
        for said in person.twin.take() {
            let person = self.members.get_mut(&number).unwrap();
            if !person.is_heard() {
                return;
            }
            match said {
                Said::Line(line) if person.view.has_names() => self.asks(number, &line),
                Said::Line(line) => self.says(number, &line, false),
                Said::TooLong => {
                    let may_be_spared = !person.is_healthy;
                    let has = "line too long: nothing was sent".to_owned();
                    person.expect(Expected::Refusal { has, may_be_spared });
                }
                Said::OtherProtocol(_) => {
                    person.expect_refusal("this is a chat room");
                    self.ends(number);
                }
                Said::TelnetReply(_) => panic!("nobody speaks telnet here"),
            }
        }
    }

    fn shown(&self, text: &[u8]) -> Text {
        Text(if self.config.rules.raw { text.to_vec() } else { shown_one_by_one(text).into_bytes() })
    }

    fn says(&mut self, number: usize, text: &[u8], is_action: bool) {
        let text = self.shown(text);
        let person = self.members.get_mut(&number).unwrap();
        person.has_spoken = true;
        let from = person.name.clone();
        self.happens(number, &Public::Message { from, text, is_action });
    }

    /// A line where there are commands.
    fn asks(&mut self, number: usize, line: &[u8]) {
        if trimmed(line).is_empty() {
            return;
        }
        if line.starts_with(b"//") {
            return self.says(number, &line[1..], false);
        }
        let (word, rest) = first_word(line);
        match word {
            b"/me" if trimmed(rest).is_empty() => self.refuses(number, "/me needs a text"),
            b"/me" => self.says(number, rest, true),
            b"/nick" => self.is_called(number, &shown_one_by_one(trimmed(rest))),
            b"/who" => self.tells_who(number),
            b"/msg" => self.says_to_one(number, rest),
            b"/help" => Command::HELP.iter().for_each(|line| self.answers(number, (*line).to_owned())),
            b"/quit" => self.ends(number),
            _ => self.says(number, line, false),
        }
    }

    fn refuses(&mut self, number: usize, has: impl Into<String>) {
        self.members.get_mut(&number).unwrap().expect_refusal(has);
    }

    fn answers(&mut self, number: usize, text: String) {
        let person = self.members.get_mut(&number).unwrap();
        person.expect(Expected::Exactly(Heard::answer(person.view, text)));
    }

    /// The names of those who are here, whether announced or not.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names = self.present().map(|person| person.name.as_str()).collect::<Vec<_>>();
        names.sort_unstable_by_key(|name| folded(name));
        names
    }

    fn tells_who(&mut self, number: usize) {
        let names = self.names();
        let list = |named: usize| format!("{} here: {}", names.len(), names[..named].join(", "));
        let named = (1..=names.len()).rev().find(|&named| list(named).len() <= LONGEST_LIST).unwrap();
        let more = match names.len() - named {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let told = list(named) + &more;
        self.answers(number, told);
    }

    fn is_called(&mut self, number: usize, name: &str) {
        let old = self.members[&number].name.clone();
        let is_part = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
        let letters = name.chars().count();
        if !(1..=LONGEST_NAME).contains(&letters) || !name.chars().all(is_part) {
            return self.refuses(number, "invalid name");
        }
        if self.who_is(name).is_some_and(|other| other != number) {
            return self.refuses(number, "is taken");
        }
        let number_of = folded(name).replace(['_', '-', '.'], "").strip_prefix("anon").map(str::to_owned);
        let is_given = number_of.is_some_and(|number| number.chars().all(char::is_numeric));
        if is_given && folded(&old) != folded(name) {
            return self.refuses(number, "is reserved");
        }
        if self.members[&number].has_spoken && old != name {
            // Who that is has to be known, once the name was seen.
            self.is_announced(number);
        }
        let person = self.members.get_mut(&number).unwrap();
        name.clone_into(&mut person.name);
        if person.is_announced && old != name {
            self.happens(number, &Public::Renamed { old, new: name.to_owned() });
        }
        self.answers(number, format!("you are {name} now"));
    }

    fn who_is(&self, name: &str) -> Option<usize> {
        self.present().find(|person| folded(&person.name) == folded(name)).map(|person| person.number)
    }

    fn says_to_one(&mut self, number: usize, rest: &[u8]) {
        let blanks = rest.iter().take_while(|&&byte| is_blank(byte)).count();
        let (to, text) = first_word(&rest[blanks..]);
        if to.is_empty() || trimmed(text).is_empty() {
            return self.refuses(number, "/msg needs a name and a text");
        }
        let name = shown_one_by_one(to);
        let Some(reader) = self.who_is(&name) else {
            return self.refuses(number, format!("nobody here is named \"{}\"", shortened(&name)));
        };
        let text = self.shown(text);
        let speaker = self.members.get_mut(&number).unwrap();
        speaker.has_spoken = true;
        let from = speaker.name.clone();
        let to = self.members.get_mut(&reader).unwrap();
        let mut letter = PrivateMessage::new(from, to.name.clone(), text, self.issued);
        letter.may_be_told = to.is_open();
        letter.may_come_too_late = to.may_break() || !to.is_open();
        letter.may_find_no_room = !to.is_healthy;
        if !to.view.has_names() {
            let name = to.name.clone();
            return self
                .refuses(number, format!("{name} did not get your message: they are in the plain view"));
        }
        to.letters.push_back(self.letters.len());
        let receipt = Expected::Receipt(self.letters.len());
        self.letters.push(letter);
        self.members.get_mut(&number).unwrap().expect(receipt);
    }

    /// Everyone reads what they were told, first those who see the one order.
    pub(crate) fn all_read(&mut self) {
        for order in &mut self.orders {
            let Some(observer) = self.members.get_mut(&order.observer) else { continue };
            for heard in observer.new_lines() {
                match &heard {
                    Heard::Public(told) => {
                        order.sees(told, &self.presence);
                        observer.hears(told, order);
                    }
                    _ => observer.can_write(&heard, &mut self.letters, order),
                }
            }
        }
        for person in self.members.values_mut() {
            let order = self.orders.iter().find(|order| order.view == person.view).unwrap();
            for heard in person.new_lines() {
                match &heard {
                    Heard::Public(told) => person.hears(told, order),
                    _ => person.can_write(&heard, &mut self.letters, order),
                }
            }
        }
    }

    /// The crowd is done with some, for these reasons.
    pub(crate) fn are_gone(&mut self, gone: &BTreeMap<usize, CloseReason>) {
        self.catch_up();
        let dropped = std::mem::take(&mut self.dropped);
        assert_eq!(dropped.len(), gone.len(), "all who are over are gone, and nobody else");
        for number in dropped {
            let mut person = self.members.remove(&number).unwrap();
            self.note_presence();
            let Some(order) = self.orders.iter().find(|order| order.view == person.view) else { continue };
            person.is_gone(gone[&number], order, &mut self.letters);
            if person.is_announced && !person.has_left {
                self.happens(number, &Public::Left { name: person.name });
            }
        }
    }

    /// Everyone was written to, and read it.
    pub(crate) fn all_written(&mut self) {
        self.all_read();
        self.orders.iter_mut().for_each(Order::mark_all_written);
    }

    /// How many notices found no space, in all views together.
    pub(crate) fn missed_notices(&self) -> u64 {
        let missed = |event: &Event| match event.told {
            Public::Missed { count, .. } => count as u64,
            _ => 0,
        };
        self.orders.iter().flat_map(|order| &order.events).map(missed).sum()
    }

    /// How many letters came back for that reason.
    pub(crate) fn came_back(&self, why: &str) -> u64 {
        self.letters.iter().filter(|letter| letter.came_back(why)).count() as u64
    }

    /// Whoever takes all lacks nothing, once there is no work left.
    pub(crate) fn check_the_healthy(&mut self) {
        for person in self.members.values_mut().filter(|person| person.is_healthy && person.is_open()) {
            let order = self.orders.iter().find(|order| order.view == person.view).unwrap();
            person.check_has_all(order);
            person.check_was_told(&mut self.letters);
        }
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn first_word(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|&byte| is_blank(byte));
    end.map_or((line, &[]), |end| (&line[..end], &line[end + 1..]))
}

fn trimmed(text: &[u8]) -> &[u8] {
    let Some(start) = text.iter().position(|&byte| !is_blank(byte)) else { return &[] };
    let end = text.iter().rposition(|&byte| !is_blank(byte)).map_or(0, |at| at + 1);
    &text[start..end]
}

/// As much of what is no name as an answer repeats.
fn shortened(name: &str) -> String {
    name.chars().take(40).collect()
}
