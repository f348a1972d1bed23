//! What was said and heard, and when.

use crate::check::{Check, Verdict};
use crate::line::{Kind, Text};
use crate::protocol::Protocol;
use crate::slowest::Slowest;
use hdrhistogram::Histogram;
use std::time::Duration;

/// The longest latency that is told apart.
const LONGEST: Duration = Duration::from_secs(3600);
/// Digits of a latency that are kept.
const DIGITS: u8 = 3;

/// Who takes part, and how much is said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cast {
    /// Clients that hear everything; the first of them speak.
    pub(crate) readers: usize,
    pub(crate) senders: usize,
    pub(crate) lines: u32,
    pub(crate) bytes: usize,
    pub(crate) verify: bool,
    /// Whether people who are not of this run may talk in the room.
    pub(crate) others: bool,
    pub(crate) protocol: Protocol,
}

impl Cast {
    /// Lines that a reader has to hear: all but its own.
    fn expects(&self, reader: usize) -> u32 {
        self.lines - self.says(reader)
    }

    /// Lines that a client says.
    fn says(&self, client: usize) -> u32 {
        let senders = self.senders as u32;
        let lines = (self.lines + senders).saturating_sub(1 + client as u32) / senders;
        if client < self.senders { lines } else { 0 }
    }

    /// How often the lines of a client are to be heard.
    fn deliveries_of(&self, client: usize) -> u64 {
        u64::from(self.says(client)) * (self.readers as u64 - 1)
    }
}

/// Counts of what went wrong.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) out_of_order: u64,
    pub(crate) doubled: u64,
    pub(crate) altered: u64,
    /// Lines that came back to who said them.
    pub(crate) returned: u64,
    /// Lines of nobody in this run, beyond a welcome, where nobody else may talk.
    pub(crate) strange: u64,
}

/// The record of one run.
#[derive(Debug)]
pub(crate) struct Ledger {
    cast: Cast,
    text: Text,
    check: Option<Check>,
    /// When each line was said, in nanoseconds since the start.
    said_at: Vec<u64>,
    /// Lines that each reader still has to hear.
    missing: Vec<u32>,
    /// Readers that still have to hear something.
    waiting: usize,
    slowest: Slowest,
    /// Deliveries of each sender's lines.
    of_sender: Vec<u64>,
    evenness: Option<f64>,
    faults: Faults,
    foreign: u64,
    /// Who was told something by the server that may be a welcome.
    welcomed: Vec<bool>,
    /// The first line that a server of our kind said itself.
    notice: Option<Vec<u8>>,
    deliveries: u64,
    latency: Histogram<u64>,
    is_closed: bool,
}

impl Ledger {
    /// Nothing said yet.
    ///
    /// # Errors
    /// There is no memory for what is noted of so many lines.
    pub(crate) fn new(cast: Cast, run: u16) -> Result<Self, String> {
        let lines = cast.lines as usize;
        let missing = (0..cast.readers).map(|reader| cast.expects(reader)).collect::<Vec<_>>();
        let longest = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
        Ok(Self {
            text: Text::new(run, cast.bytes),
            check: cast.verify.then(|| Check::new(cast.readers, cast.senders, lines, cast.senders)),
            said_at: zeros(lines)?,
            waiting: missing.iter().filter(|&&missing| missing > 0).count(),
            missing,
            slowest: Slowest::of(cast.readers),
            of_sender: vec![0; cast.senders],
            evenness: None,
            faults: Faults::default(),
            foreign: 0,
            welcomed: vec![false; cast.readers],
            notice: None,
            deliveries: 0,
            latency: Histogram::new_with_max(longest, DIGITS).map_err(|error| error.to_string())?,
            is_closed: false,
            cast,
        })
    }

    /// Appends what says line `number`, which was due so long after the start.
    pub(crate) fn say(&mut self, number: u32, due: Duration, out: &mut Vec<u8>) {
        self.said_at[number as usize] = nanos(due);
        let sender = (number as usize % self.cast.senders) as u16;
        self.slowest.hears(usize::from(sender));
        let length = self.cast.bytes - 1;
        self.cast.protocol.say(length, out, |out| self.text.write(sender, number, out));
    }

    /// What asks who hears.
    pub(crate) fn probe(&self) -> Vec<u8> {
        let probe = self.text.probe();
        let mut out = Vec::new();
        self.cast.protocol.say(probe.len(), &mut out, |out| out.extend_from_slice(&probe));
        out
    }

    /// Notes that `reader` heard `line`, `now` after the start.
    pub(crate) fn hear(&mut self, reader: usize, line: &[u8], now: Duration) {
        if self.is_closed {
            return;
        }
        let (sender, number) = match self.text.read(line) {
            Kind::Probe => return,
            Kind::Foreign => {
                self.foreign += 1;
                let is_welcome = !std::mem::replace(&mut self.welcomed[reader], true);
                self.faults.strange += u64::from(self.cast.verify && !self.cast.others && !is_welcome);
                if is_notice(line) && self.notice.is_none() {
                    self.notice = Some(line.to_vec());
                }
                return;
            }
            Kind::Ours { sender, number } => (sender, number),
        };
        if number >= self.cast.lines || number as usize % self.cast.senders != usize::from(sender) {
            self.faults.altered += 1;
            return;
        }
        if usize::from(sender) == reader {
            self.faults.returned += u64::from(!self.cast.protocol.echoes());
            return;
        }
        if let Some(check) = &mut self.check {
            if !self.text.is_intact(sender, number, line) {
                self.faults.altered += 1;
                return;
            }
            match check.hear(reader, number) {
                Verdict::InOrder => {}
                Verdict::Late => self.faults.out_of_order += 1,
                Verdict::Again => return self.faults.doubled += 1,
            }
        }
        let Some(missing) = self.missing[reader].checked_sub(1) else {
            return self.faults.doubled += 1;
        };
        self.missing[reader] = missing;
        self.waiting -= usize::from(missing == 0);
        self.deliveries += 1;
        self.slowest.hears(reader);
        self.note_share(usize::from(sender));
        self.latency.saturating_record(nanos(now).saturating_sub(self.said_at[number as usize]));
    }

    /// One more line of `sender` was heard; the first whose lines all are tells how far the last is.
    fn note_share(&mut self, sender: usize) {
        self.of_sender[sender] += 1;
        if self.evenness.is_none() && self.of_sender[sender] == self.cast.deliveries_of(sender) {
            let share = |(other, &heard): (usize, &u64)| heard as f64 / self.cast.deliveries_of(other) as f64;
            self.evenness = Some(self.of_sender.iter().enumerate().map(share).fold(1.0, f64::min));
        }
    }

    /// What part of its lines the slowest of several senders had said when the first had said all.
    pub(crate) fn evenness(&self) -> Option<f64> {
        self.evenness.filter(|_| self.cast.senders > 1)
    }

    /// Lines that everyone who is there has heard or said.
    pub(crate) const fn heard_by_all(&self) -> u32 {
        self.slowest.heard()
    }

    /// Deliveries so far.
    pub(crate) const fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// Deliveries that there have to be.
    pub(crate) fn expected(&self) -> u64 {
        (0..self.cast.readers).map(|reader| u64::from(self.cast.expects(reader))).sum()
    }

    /// What has not come by now is lost, even if it should come.
    pub(crate) const fn close(&mut self) {
        self.is_closed = true;
    }

    /// `reader` is gone: nobody waits for what it lacks.
    pub(crate) fn lose(&mut self, reader: usize) {
        self.waiting -= usize::from(self.missing[reader] > 0);
        self.slowest.goes(reader);
        self.faults.lost += u64::from(std::mem::take(&mut self.missing[reader]));
    }

    /// Whether everyone who is there has heard everything.
    pub(crate) const fn is_complete(&self) -> bool {
        self.waiting == 0
    }

    /// What went wrong, once nothing more is to come.
    pub(crate) fn faults(&mut self) -> Faults {
        let missing = self.missing.iter().map(|&missing| u64::from(missing)).sum::<u64>();
        let disagreed = self.check.as_mut().map_or(0, Check::disagreed);
        Faults {
            lost: self.faults.lost + missing,
            out_of_order: self.faults.out_of_order + disagreed,
            ..self.faults
        }
    }

    /// Lines of others, as a welcome.
    pub(crate) const fn foreign(&self) -> u64 {
        self.foreign
    }

    /// What the server said first itself, if it did.
    pub(crate) fn notice(&self) -> Option<&[u8]> {
        self.notice.as_deref()
    }

    /// How long the lines took, in nanoseconds.
    pub(crate) const fn latency(&self) -> &Histogram<u64> {
        &self.latency
    }
}

/// Whether a line is one that a server of our kind says itself, such as a refusal.
pub(crate) fn is_notice(line: &[u8]) -> bool {
    line.starts_with(b"* ")
}

/// So many zeros, which take memory only as they are written to.
fn zeros(count: usize) -> Result<Vec<u64>, String> {
    // The one way to learn in time that there is no memory for them.
    Vec::<u64>::new()
        .try_reserve_exact(count)
        .map_err(|_| format!("there is no memory to note when each of {count} lines was said"))?;
    Ok(vec![0; count])
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(verify: bool) -> Ledger {
        let protocol = Protocol::Lines;
        Ledger::new(Cast { readers: 3, senders: 2, lines: 5, bytes: 64, verify, others: false, protocol }, 7)
            .expect("a ledger")
    }

    fn said(ledger: &mut Ledger) -> Vec<Vec<u8>> {
        (0..5)
            .map(|number| {
                let mut line = Vec::new();
                ledger.say(number, Duration::from_millis(1), &mut line);
                assert_eq!((line.len(), line.pop()), (64, Some(b'\n')));
                line
            })
            .collect()
    }

    #[test]
    fn all_is_well_when_each_heard_what_the_others_said() {
        for verify in [false, true] {
            let mut ledger = ledger(verify);
            let lines = said(&mut ledger);
            assert_eq!(ledger.expected(), 2 + 3 + 5);
            for (reader, heard) in [(2, &[0, 1, 2, 3, 4][..]), (0, &[1, 3]), (1, &[0, 2, 4])] {
                assert!(!ledger.is_complete());
                heard
                    .iter()
                    .for_each(|&number| ledger.hear(reader, &lines[number], Duration::from_millis(3)));
            }
            assert!(ledger.is_complete());
            assert_eq!(ledger.heard_by_all(), 5);
            // When all of the second's had been heard, one of two had heard the first's three.
            assert_eq!(ledger.evenness(), Some(0.5));
            assert_eq!((ledger.deliveries(), ledger.faults()), (10, Faults::default()));
            let median = ledger.latency().value_at_quantile(0.5);
            assert!((1_998_000..2_002_000).contains(&median), "{median}");
        }
    }

    #[test]
    fn each_thing_that_goes_wrong_is_counted_as_what_it_is() {
        let mut ledger = ledger(true);
        let lines = said(&mut ledger);
        let mut altered = lines[1].clone();
        altered[40] ^= 1;
        let strange = [&b"Welcome"[..], &altered, &lines[2], &lines[2], &lines[0], &lines[4]];
        for line in strange {
            ledger.hear(2, line, Duration::from_millis(3));
        }
        ledger.hear(1, &lines[1], Duration::from_millis(3));
        ledger.lose(0);
        assert_eq!(ledger.foreign(), 1, "which is a welcome");
        // Missing: one and three at the witness, all of reader 1's three; reader 0 is gone with two.
        let wrong =
            Faults { lost: 2 + 3 + 2, out_of_order: 1, doubled: 1, altered: 1, returned: 1, strange: 0 };
        assert_eq!(ledger.faults(), wrong);
        assert!(!ledger.is_complete());
    }

    #[test]
    fn what_is_nobodys_line_is_strange_beyond_a_welcome_unless_others_may_talk() {
        for (others, strange) in [(false, 2), (true, 0)] {
            let mut ledger = ledger(true);
            ledger.cast.others = others;
            for line in [&b"Welcome"[..], b"who is this?", b"* a notice"] {
                ledger.hear(2, line, Duration::from_millis(3));
            }
            assert_eq!((ledger.foreign(), ledger.faults().strange), (3, strange));
        }
    }
}
