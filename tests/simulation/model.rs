//! What the room has to come to, kept in the simplest way: one list of lines, and who has heard how much.

use crate::common::scripted::{Call, ScriptedSocket, Trace, limits};
use crate::common::twin::{Said, shown_one_by_one};
use crate::person::{Person, Stage};
use hubbub::chat::room::RoomConfig;
use hubbub::clients::close_reason::CloseReason;
use hubbub::clients::stats::Stats;
use hubbub::clients::{ClientLimits, Clients};
use hubbub::util::clock::Moment;
use hubbub::util::id_slab::ClientId;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::Duration;

/// Who has more text of its own to take is not read, as the README says.
pub(crate) const OUTBOX_LIMIT: usize = 4096;
/// One notice that is added below that: a welcome, or why a line or a client was refused.
pub(crate) const NOTICE_SPACE: usize = 200;
/// What the crowd allows those who end.
pub(crate) const FAREWELL: Duration = limits().close_timeout;
pub(crate) const LINGER: Duration = Duration::from_secs(2);
pub(crate) const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

pub(crate) struct Line {
    pub(crate) author: usize,
    /// As shown, its end included.
    pub(crate) text: Vec<u8>,
    /// Bytes of all lines before.
    pub(crate) start: u64,
}

pub(crate) struct Model {
    pub(crate) config: RoomConfig,
    /// Lines a second that one may say, if there is a limit.
    rate: Option<usize>,
    pub(crate) limits: ClientLimits,
    /// Everyone's lines in the one order in which they were read.
    pub(crate) order: Vec<Line>,
    /// Bytes of all lines.
    head: u64,
    too_long: u64,
    /// Those whom the crowd still has, by their numbers in the trace.
    pub(crate) members: BTreeMap<usize, Person>,
    pub(crate) stats: Stats,
    pub(crate) stopped: Option<Moment>,
    trace: Trace,
}

impl Model {
    pub(crate) fn new(config: RoomConfig, rate: Option<usize>, limits: ClientLimits, trace: Trace) -> Self {
        Self {
            config,
            rate,
            limits,
            order: Vec::new(),
            head: 0,
            too_long: 0,
            members: BTreeMap::new(),
            stats: Stats::default(),
            stopped: None,
            trace,
        }
    }

    /// Someone knocks: they are let in, or told why not.
    pub(crate) fn comes(&mut self, number: usize, mut person: Person, now: Moment) {
        self.stats.accepted += 1;
        let online = self.members.values().filter(|other| other.is_member).count();
        let here = self.members.values().filter(|other| other.is_member && other.address == person.address);
        let here = here.count();
        let clients = self.limits.connections.clients;
        if online >= clients {
            let told = format!("the room is full ({clients} clients): try again later");
            person.is_refused(&told, CloseReason::RoomFull, now);
        } else if self.limits.per_network.is_some_and(|most| here >= most) {
            let told = format!("too many connections from your address ({here}): try again later");
            person.is_refused(&told, CloseReason::PerAddressLimit, now);
        } else if !self.config.welcome.is_empty() {
            person.tell(format!("{}\n", self.config.welcome).as_bytes());
        }
        person.is_member = person.stage == Stage::Open;
        self.members.insert(number, person);
    }

    /// Whether as many linger who were turned away as may.
    pub(crate) fn is_porch_full(&self) -> bool {
        let refusals = self.members.values().filter(|person| !person.is_member).count();
        refusals >= self.limits.connections.refusals
    }

    /// Does what the trace tells of since the last call.
    pub(crate) fn catch_up(&mut self, now: Moment) {
        let done = std::mem::take(&mut *self.trace.borrow_mut());
        for (number, done) in done {
            if matches!(done, Call::Dropped) {
                continue;
            }
            let Some(person) = self.members.get_mut(&number) else {
                panic!("{number} is gone and still {done:?}");
            };
            match done {
                Call::Read(bytes) if bytes.is_empty() => self.input_ended(number, now),
                Call::Read(bytes) => self.reads(number, &bytes, now),
                Call::ReadFailed(kind) => person.read_failed(kind),
                Call::Wrote(bytes) => {
                    person.may_run_away |= bytes.is_empty();
                    person.takes(number, &bytes, &self.order);
                    self.stats.written += bytes.len() as u64;
                }
                Call::WriteFailed(kind) => person.write_failed(kind),
                Call::ShutDown => person.is_shut_down(number, &self.order),
                Call::Dropped => {}
            }
        }
    }

    fn reads(&mut self, number: usize, bytes: &[u8], now: Moment) {
        self.stats.read += bytes.len() as u64;
        let Some(person) = self.members.get_mut(&number) else { return };
        assert!(person.unparsed.is_empty(), "{number} is read and what it said before was not handled");
        if person.is_heard() {
            assert!(person.outbox_len.len() <= OUTBOX_LIMIT, "{number} is read and does not read");
            person.read_at = now;
        } else {
            assert!(matches!(person.stage, Stage::Draining(_)), "{number} is read in {:?}", person.stage);
        }
        person.unparsed.extend(bytes);
    }

    /// `key` had its turn to be read: a part of what it said, in its order, was handled.
    pub(crate) fn was_read(&mut self, key: ClientId, clients: &Clients<ScriptedSocket>, now: Moment) {
        self.catch_up(now);
        let number = self.members.iter().find(|(_, person)| person.client.id == key);
        let Some((&number, _)) = number else { return };
        let left = clients.connection(key).map_or(0, |connection| connection.unparsed_len());
        let Some(person) = self.members.get_mut(&number) else { return };
        let Some(handled) = person.unparsed.len().checked_sub(left) else {
            panic!("{number} has {left} bytes that were not handled, and said less");
        };
        let bytes = person.unparsed.drain(..handled).collect::<Vec<_>>();
        if !person.is_heard() || bytes.is_empty() {
            return;
        }
        person.said_at = now;
        bytes.iter().for_each(|&byte| person.twin.byte(byte));
        self.hears(number, now);
        self.members[&number].check_untold();
    }

    fn input_ended(&mut self, number: usize, now: Moment) {
        let Some(person) = self.members.get_mut(&number) else { return };
        if matches!(person.stage, Stage::Open | Stage::Deaf(ErrorKind::BrokenPipe)) {
            person.twin.finish();
            self.hears(number, now);
        }
        let said = self.order.len();
        if let Some(person) = self.members.get_mut(&number) {
            person.input_ended(said, now);
        }
    }

    /// Silence ended the unfinished line of `number`.
    pub(crate) fn flushes(&mut self, number: usize, now: Moment) {
        let Some(person) = self.members.get_mut(&number) else { return };
        let after = self.limits.flush_after.expect("nothing is flushed where that is off");
        assert!(now.since(person.read_at) >= after, "{number} was not silent for long enough");
        person.twin.flush();
        self.hears(number, now);
    }

    /// What was said goes into the one order, and answers to who said it.
    fn hears(&mut self, number: usize, now: Moment) {
        let Some(person) = self.members.get_mut(&number) else { return };
        for said in person.twin.take() {
            person.lines += u64::from(matches!(said, Said::Line(_) | Said::TooLong));
            match said {
                Said::Line(line) => {
                    let mut text =
                        if self.config.rules.raw { line } else { shown_one_by_one(&line).into_bytes() };
                    text.push(b'\n');
                    let length = text.len() as u64;
                    self.order.push(Line { author: number, text, start: self.head });
                    self.head += length;
                }
                Said::TelnetReply(bytes) => person.tell(&bytes),
                Said::TooLong => {
                    self.too_long += 1;
                    let most = self.config.rules.max_line;
                    let told = format!("* line too long: nothing was sent; the limit is {most} bytes\n");
                    if person.outbox_len.len() <= OUTBOX_LIMIT {
                        person.tell(told.as_bytes());
                    }
                }
                Said::OtherProtocol(stranger) => {
                    person.is_refused(stranger.refusal(), CloseReason::OtherProtocol(stranger), now);
                }
            }
        }
    }

    /// Who said nothing for too long is told so.
    pub(crate) fn is_silent(&mut self, number: usize, now: Moment) {
        let Some(person) = self.members.get_mut(&number) else { return };
        let most = self.limits.idle_timeout.expect("nobody is sent away for that where it is off");
        assert!(now.since(person.said_at) >= most, "{number} was not silent for long enough");
        let span = most.as_secs_f64();
        let told = format!("disconnected: nothing sent for {span} s");
        person.is_refused(&told, CloseReason::IdleTimeout, now);
    }

    pub(crate) fn stops(&mut self, now: Moment) {
        self.stopped = Some(now);
        let said = self.order.len();
        for person in self.members.values_mut() {
            person.ends(CloseReason::ShuttingDown, said, now);
        }
    }

    /// Whether the server no longer waits for those who take nothing.
    pub(crate) fn is_grace_over(&self, now: Moment) -> bool {
        self.stopped.is_some_and(|at| now.since(at) >= SHUTDOWN_GRACE)
    }

    /// `number` is over, as the crowd sees it, and is counted as gone.
    pub(crate) fn is_over(&mut self, number: usize, close_reason: CloseReason, now: Moment) {
        let Some(mut person) = self.members.remove(&number) else { return };
        match close_reason {
            CloseReason::StalledReader => self.check_stalled(number, &mut person, now),
            // Who hears nothing any more, and is over its rate, is not heard to its end.
            CloseReason::ConnectionLost(kind)
                if self.config.rate.is_some() && person.stage == Stage::Deaf(kind) => {}
            _ => person.check_goodbye(number, close_reason, self.stopped, now),
        }
        self.stats.closed[close_reason.index()] += 1;
        self.stats.torn += u64::from(person.twin.unfinished() > 0);
    }

    /// Who is cut for reading slowly has not taken half a feed for as long as the room waits, and is more
    /// than that behind.
    fn check_stalled(&self, number: usize, person: &mut Person, now: Moment) {
        assert!(person.is_behind(number, &self.order), "{number} lacks nothing");
        let half = self.config.feed as u64 / 2;
        let place = person.place(&self.order, self.head);
        assert!(self.head - place > half, "{number} is only {} bytes behind", self.head - place);
        let before = person.place_before(self.config.stall_timeout, now);
        assert!(
            before.is_some_and(|before| place < before + half),
            "{number} read fast enough: from {before:?} to {place} of {}",
            self.head
        );
    }

    /// The crowd says the same, after a turn.
    pub(crate) fn check(&mut self, clients: &Clients<ScriptedSocket>, now: Moment) {
        let relayed = clients.room().stats();
        assert_eq!(
            (relayed.lines, relayed.bytes, relayed.too_long),
            (self.order.len() as u64, self.head, self.too_long),
            "lines, bytes and refusals"
        );
        assert_eq!(clients.stats, self.stats);
        let ended = clients.stats.closed.iter().sum::<u64>();
        assert_eq!(clients.stats.accepted, self.members.len() as u64 + ended, "each is here or was counted");
        let online = self.members.values().filter(|person| person.is_member).count();
        assert_eq!((clients.online(), clients.is_empty()), (online, self.members.is_empty()));
        let unparsed = self.members.values().map(|person| person.unparsed.len()).sum::<usize>();
        assert_eq!(clients.unparsed(), unparsed, "what is to be handled, of all");
        let mut slowest = self.head;
        for (&number, person) in &mut self.members {
            let place = person.place(&self.order, self.head);
            if person.is_behind(number, &self.order) {
                slowest = slowest.min(person.place(&self.order, self.head));
            }
            person.note_place(place, now);
            check_person(number, person, clients, &self.config);
            if let Some(lines_a_second) = self.rate {
                check_rate(number, person, lines_a_second, now);
            }
        }
        let (size, held) = (self.config.feed, (self.head - slowest) as usize);
        assert!(held <= size, "the feed holds {held} bytes");
        assert_eq!(clients.room().space(), size - held, "the feed keeps what somebody lacks, and no more");
    }
}

fn check_person(number: usize, person: &Person, clients: &Clients<ScriptedSocket>, config: &RoomConfig) {
    let connection = clients.connection(person.client.id).unwrap();
    assert!(!person.client.is_removed(), "{number} is gone without a close_reason");
    assert_eq!(connection.close_reason(), None, "{number} stays too long");
    if person.can_write() {
        assert_eq!(connection.outbox_len(), person.outbox_len.len(), "{number} has so much text of its own");
    }
    assert_eq!(connection.unparsed_len(), person.unparsed.len(), "{number} has so much to be handled");
    let unfinished = connection.decoder().held();
    assert!(unfinished <= config.rules.max_line + 1, "{number} holds {unfinished} bytes of a line");
    if person.is_heard() {
        assert_eq!(unfinished, person.twin.unfinished(), "{number} holds so much of a line");
    }
}

/// Ten seconds' worth of lines at once, then as many as time brings; and one more that silence or the end
/// of the input made, and one whose end is yet to come.
fn check_rate(number: usize, person: &Person, lines_a_second: usize, now: Moment) {
    let millis = 10_000 + now.since(person.joined).as_millis();
    let most = millis * lines_a_second as u128 / 1000 + 2;
    assert!(u128::from(person.lines) <= most, "{number} said {} lines and not {most}", person.lines);
}
