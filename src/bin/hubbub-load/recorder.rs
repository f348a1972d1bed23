//! Records what was sent and received, and when.

use crate::check::{OrderCheck, Verdict};
use crate::evenness::Evenness;
use crate::greeting;
use crate::line::{LineKind, LineTemplate};
use crate::per_line::PerLine;
use crate::protocol::Protocol;
use crate::slowest_reader::SlowestReader;
use hdrhistogram::Histogram;
use hubbub::wire::view::View;
use std::time::Duration;

/// The limit of the histogram: a longer latency counts as this long.
const MAX_LATENCY: Duration = Duration::from_secs(3600);
/// Significant decimal digits of a latency.
const LATENCY_DIGITS: u8 = 3;

/// The clients of a run, and what they send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    /// Clients that receive every line. The first `senders` of them also send.
    pub(crate) readers: usize,
    pub(crate) senders: usize,
    /// The most lines to send.
    pub(crate) lines: u32,
    pub(crate) bytes: usize,
    pub(crate) verify: bool,
    /// Whether lines from outside this run are allowed.
    pub(crate) others: bool,
    pub(crate) protocol: Protocol,
}

impl Workload {
    /// Returns how many lines `reader` has to receive if all are sent: all but its own.
    fn expected_by(&self, reader: usize) -> u32 {
        self.lines - self.planned_by(reader)
    }

    /// Returns how many lines `client` has to send.
    fn planned_by(&self, client: usize) -> u32 {
        let senders = self.senders as u32;
        let lines = (self.lines + senders).saturating_sub(1 + client as u32) / senders;
        if client < self.senders { lines } else { 0 }
    }

    /// Returns how many deliveries the lines of `client` need.
    fn deliveries_of(&self, client: usize) -> u64 {
        u64::from(self.planned_by(client)) * (self.readers as u64 - 1)
    }
}

/// Counts of wrong deliveries.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) out_of_order: u64,
    pub(crate) duplicated: u64,
    pub(crate) corrupted: u64,
    /// Lines that their own sender received.
    pub(crate) returned: u64,
    /// Lines from outside this run that are not allowed. The first such line of each client is allowed: its greeting.
    pub(crate) unexpected: u64,
}

/// The record of one run.
#[derive(Debug)]
pub(crate) struct Recorder {
    workload: Workload,
    template: LineTemplate,
    check: Option<OrderCheck>,
    /// When each line was sent, in nanoseconds since the start.
    sent_at: PerLine<u64>,
    /// Lines that each sender has sent.
    sent_by: Vec<u32>,
    is_sending_stopped: bool,
    /// Deliveries that there have to be.
    expected: u64,
    /// Lines that each reader still has to receive.
    missing: Vec<u32>,
    /// Connected readers that still have to receive a line.
    incomplete: usize,
    /// Readers that were disconnected.
    gone: Vec<bool>,
    slowest_reader: SlowestReader,
    evenness: Evenness,
    faults: Faults,
    foreign: u64,
    /// Lines from outside this run that each reader has received.
    foreign_lines: Vec<usize>,
    /// The view of the listener, if it is not the plain view.
    wrong_view: Option<View>,
    /// The first notice of the server.
    notice: Option<Vec<u8>>,
    deliveries: u64,
    /// Deliveries that nobody waits for any more, because the run was interrupted.
    in_flight: u64,
    latency: Histogram<u64>,
    is_stopped: bool,
}

impl Recorder {
    /// Creates an empty record of the run with number `run`.
    ///
    /// # Errors
    /// A histogram cannot be created.
    pub(crate) fn new(workload: Workload, run: u16) -> Result<Self, String> {
        let Workload { readers, senders, bytes, verify, .. } = workload;
        let missing = (0..readers).map(|reader| workload.expected_by(reader)).collect::<Vec<_>>();
        let max_latency = u64::try_from(MAX_LATENCY.as_nanos()).unwrap_or(u64::MAX);
        Ok(Self {
            template: LineTemplate::new(run, bytes),
            check: verify.then(|| OrderCheck::new(readers, senders, senders)),
            sent_at: PerLine::new(),
            sent_by: vec![0; senders],
            is_sending_stopped: false,
            expected: missing.iter().copied().map(u64::from).sum(),
            incomplete: missing.iter().filter(|&&missing| missing > 0).count(),
            missing,
            gone: vec![false; readers],
            slowest_reader: SlowestReader::new(readers),
            evenness: Evenness::new((0..senders).map(|sender| workload.deliveries_of(sender))),
            faults: Faults::default(),
            foreign: 0,
            foreign_lines: vec![0; readers],
            wrong_view: None,
            notice: None,
            deliveries: 0,
            in_flight: 0,
            latency: Histogram::new_with_max(max_latency, LATENCY_DIGITS)
                .map_err(|error| error.to_string())?,
            is_stopped: false,
            workload,
        })
    }

    /// Returns the workload.
    pub(crate) const fn workload(&self) -> &Workload {
        &self.workload
    }

    /// Appends the message that sends line `number`, and records that it was due at `due` after the start.
    pub(crate) fn write_line(&mut self, number: u32, due: Duration, out: &mut Vec<u8>) {
        self.sent_at.set(number, nanos(due));
        let sender = (number as usize % self.workload.senders) as u16;
        self.sent_by[usize::from(sender)] += 1;
        self.slowest_reader.advance(usize::from(sender));
        let length = self.workload.bytes - 1;
        self.workload.protocol.encode(length, out, |out| self.template.write(sender, number, out));
    }

    /// Returns the message that sends a probe.
    pub(crate) fn probe(&self) -> Vec<u8> {
        let probe = self.template.probe();
        let mut out = Vec::new();
        self.workload.protocol.encode(probe.len(), &mut out, |out| out.extend_from_slice(&probe));
        out
    }

    /// Records that `reader` received `line` at `now` after the start.
    pub(crate) fn receive(&mut self, reader: usize, line: &[u8], now: Duration) {
        if self.is_stopped {
            return;
        }
        let (sender, number) = match self.template.parse(line) {
            LineKind::Probe => return,
            LineKind::Foreign => return self.receive_foreign(reader, line),
            LineKind::Ours { sender, number } => (sender, number),
        };
        if !self.was_sent(sender, number) {
            self.faults.corrupted += 1;
            return;
        }
        if usize::from(sender) == reader {
            self.faults.returned += u64::from(!self.workload.protocol.echoes());
            return;
        }
        if let Some(check) = &mut self.check {
            if !self.template.is_intact(sender, number, line) {
                self.faults.corrupted += 1;
                return;
            }
            match check.record(reader, number) {
                Verdict::InOrder => {}
                Verdict::Late => self.faults.out_of_order += 1,
                Verdict::Duplicate => return self.faults.duplicated += 1,
            }
        }
        let Some(missing) = self.missing[reader].checked_sub(1) else {
            return self.faults.duplicated += 1;
        };
        self.missing[reader] = missing;
        self.incomplete -= usize::from(missing == 0);
        self.deliveries += 1;
        self.slowest_reader.advance(reader);
        self.evenness.record(usize::from(sender));
        self.latency.saturating_record(nanos(now).saturating_sub(self.sent_at.get(number)));
    }

    /// Whether `sender` has sent line `number`: sender n of N sends the lines n, n + N, n + 2 N and so on.
    fn was_sent(&self, sender: u16, number: u32) -> bool {
        let (sender, number, senders) = (usize::from(sender), number as usize, self.workload.senders);
        number % senders == sender && number / senders < self.sent_by[sender] as usize
    }

    fn receive_foreign(&mut self, reader: usize, line: &[u8]) {
        self.foreign += 1;
        let position = self.foreign_lines[reader];
        self.foreign_lines[reader] += 1;
        if self.workload.protocol == Protocol::Lines && self.wrong_view.is_none() {
            self.wrong_view =
                greeting::view(line, position, |text| self.template.parse(text) != LineKind::Foreign);
        }
        let is_greeting = position == 0;
        let is_allowed = !self.workload.verify || self.workload.others || is_greeting;
        self.faults.unexpected += u64::from(!is_allowed);
        if is_notice(line) && self.notice.is_none() {
            self.notice = Some(line.to_vec());
        }
    }

    /// Stops waiting for `reader`: the lines it has not received are lost.
    pub(crate) fn disconnect(&mut self, reader: usize) {
        self.incomplete -= usize::from(self.missing[reader] > 0);
        self.slowest_reader.remove(reader);
        self.gone[reader] = true;
    }

    /// Ends sending early: only the lines that were sent have to arrive.
    pub(crate) fn stop_sending(&mut self) {
        self.is_sending_stopped = true;
        let sent = self.sent_by.iter().sum::<u32>();
        for (reader, missing) in self.missing.iter_mut().enumerate() {
            let expected = sent - self.sent_by.get(reader).unwrap_or(&0);
            let received = self.workload.expected_by(reader) - *missing;
            *missing = expected.saturating_sub(received);
            // Without the check of the order, a duplicate counted as a line that was still to come.
            self.faults.duplicated += u64::from(received.saturating_sub(expected));
        }
        let incomplete = |&(&missing, &is_gone): &(&u32, &bool)| missing > 0 && !is_gone;
        self.incomplete = self.missing.iter().zip(&self.gone).filter(incomplete).count();
        // Each line has to arrive at all readers but its sender.
        self.expected = u64::from(sent) * (self.workload.readers as u64 - 1);
        self.evenness.stop();
    }

    /// Stops waiting for the lines that may still arrive. With the check of the order, a line is lost if a later one of
    /// the same sender has arrived.
    pub(crate) fn give_up(&mut self) {
        for (reader, missing) in self.missing.iter_mut().enumerate() {
            if !self.gone[reader] {
                let skipped = self.check.as_ref().map_or(0, |check| check.skipped(reader));
                self.in_flight += u64::from(*missing - skipped.min(*missing));
                *missing = skipped.min(*missing);
            }
        }
    }

    /// Returns how many deliveries were still possible when the run was interrupted.
    pub(crate) const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Stops recording: a line that arrives later counts as lost.
    pub(crate) const fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// Whether every connected reader has received every line.
    pub(crate) const fn is_complete(&self) -> bool {
        self.incomplete == 0
    }

    /// Returns how many lines every connected reader has received or sent.
    pub(crate) const fn received_by_all(&self) -> u32 {
        self.slowest_reader.received()
    }

    /// Returns the deliveries so far.
    pub(crate) const fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// Returns how many deliveries there have to be.
    pub(crate) const fn expected(&self) -> u64 {
        self.expected
    }

    /// Returns the share, 0 to 1, that the slowest of several senders had when the first was complete.
    pub(crate) fn evenness(&self) -> Option<f64> {
        self.evenness.result()
    }

    /// Returns the wrong deliveries, once no more lines can arrive.
    pub(crate) fn faults(&mut self) -> Faults {
        let misplaced = self.check.as_mut().map_or(0, OrderCheck::misplaced);
        Faults {
            lost: self.missing.iter().copied().map(u64::from).sum(),
            out_of_order: self.faults.out_of_order + misplaced,
            ..self.faults
        }
    }

    /// Returns how many of the lost deliveries are explained by readers that were disconnected: deliveries to them, and
    /// deliveries of lines that they had sent and the server had not read.
    pub(crate) fn lost_by_gone(&self) -> u64 {
        let (mut to_gone, mut to_others, mut from_gone) = (0, 0, 0);
        for (reader, &is_gone) in self.gone.iter().enumerate() {
            let missing = u64::from(self.missing[reader]);
            *(if is_gone { &mut to_gone } else { &mut to_others }) += missing;
            if is_gone && reader < self.workload.senders {
                // Without the check of the order, duplicates count as deliveries.
                from_gone += self.deliveries_of(reader).saturating_sub(self.evenness.delivered(reader));
            }
        }
        to_gone + to_others.min(from_gone)
    }

    /// Returns how many deliveries the lines of `sender` need.
    fn deliveries_of(&self, sender: usize) -> u64 {
        let sent = self.sent_by[sender];
        let lines = if self.is_sending_stopped { sent } else { self.workload.planned_by(sender) };
        u64::from(lines) * (self.workload.readers as u64 - 1)
    }

    /// Returns the view of the listener, if it is not the plain view.
    pub(crate) const fn wrong_view(&self) -> Option<View> {
        self.wrong_view
    }

    /// Returns how many lines came from outside this run, greetings included.
    pub(crate) const fn foreign(&self) -> u64 {
        self.foreign
    }

    /// Returns the first notice of the server.
    pub(crate) fn notice(&self) -> Option<&[u8]> {
        self.notice.as_deref()
    }

    /// Returns the latencies of all deliveries, in nanoseconds.
    pub(crate) const fn latency(&self) -> &Histogram<u64> {
        &self.latency
    }
}

/// Whether a line is a notice that hubbub sends itself, such as a refusal.
pub(crate) fn is_notice(line: &[u8]) -> bool {
    line.starts_with(b"* ")
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVED_AT: Duration = Duration::from_millis(3);

    fn recorder(verify: bool) -> Recorder {
        let protocol = Protocol::Lines;
        let workload =
            Workload { readers: 3, senders: 2, lines: 5, bytes: 64, verify, others: false, protocol };
        Recorder::new(workload, 7).expect("a recorder")
    }

    fn send_all(recorder: &mut Recorder) -> Vec<Vec<u8>> {
        (0..5)
            .map(|number| {
                let mut line = Vec::new();
                recorder.write_line(number, Duration::from_millis(1), &mut line);
                assert_eq!((line.len(), line.pop()), (64, Some(b'\n')));
                line
            })
            .collect()
    }

    #[test]
    fn a_run_is_fine_when_each_reader_received_the_lines_of_the_others() {
        for verify in [false, true] {
            let mut recorder = recorder(verify);
            let lines = send_all(&mut recorder);
            assert_eq!(recorder.expected(), 2 + 3 + 5);
            for (reader, numbers) in [(2, &[0, 1, 2, 3, 4][..]), (0, &[1, 3]), (1, &[0, 2, 4])] {
                assert!(!recorder.is_complete());
                for &number in numbers {
                    recorder.receive(reader, &lines[number], RECEIVED_AT);
                }
            }
            assert!(recorder.is_complete());
            assert_eq!(recorder.received_by_all(), 5);
            // Sender 1 is complete when one of two readers has received the three lines of sender 0.
            assert_eq!(recorder.evenness(), Some(0.5));
            assert_eq!((recorder.deliveries(), recorder.faults()), (10, Faults::default()));
            let median = recorder.latency().value_at_quantile(0.5);
            assert!((1_998_000..2_002_000).contains(&median), "{median}");
        }
    }

    #[test]
    fn each_kind_of_fault_has_its_own_count() {
        let mut recorder = recorder(true);
        let lines = send_all(&mut recorder);
        let mut corrupted = lines[1].clone();
        corrupted[40] ^= 1;
        for line in [&b"Welcome"[..], &corrupted, &lines[2], &lines[2], &lines[0], &lines[4]] {
            recorder.receive(2, line, RECEIVED_AT);
        }
        recorder.receive(1, &lines[1], RECEIVED_AT);
        recorder.disconnect(0);
        assert_eq!(recorder.foreign(), 1, "the greeting");
        // Missing: two lines at reader 2, three at reader 1, and two at reader 0, which is disconnected.
        let none = Faults::default();
        let faults =
            Faults { lost: 2 + 3 + 2, out_of_order: 1, duplicated: 1, corrupted: 1, returned: 1, ..none };
        // Sender 0 is disconnected: two lines to it, and three deliveries of its own lines.
        assert_eq!((recorder.faults(), recorder.lost_by_gone()), (faults, 2 + 3));
        assert!(!recorder.is_complete());
    }

    #[test]
    fn when_sending_ends_early_only_the_lines_that_were_sent_have_to_arrive() {
        let mut recorder = recorder(false);
        let mut line = Vec::new();
        // Two of the three lines of sender 0, and none of sender 1.
        let lines = [0, 2].map(|number| {
            line.clear();
            recorder.write_line(number, Duration::ZERO, &mut line);
            line[..63].to_vec()
        });
        for (reader, number) in [(1, 0), (1, 1), (2, 0), (2, 0), (2, 1)] {
            recorder.receive(reader, &lines[number], RECEIVED_AT);
        }
        recorder.disconnect(0);
        assert!(!recorder.is_complete());
        recorder.stop_sending();
        assert!(recorder.is_complete());
        assert_eq!((recorder.expected(), recorder.lost_by_gone()), (4, 0));
        assert_eq!(recorder.faults(), Faults { duplicated: 1, ..Faults::default() });
    }

    #[test]
    fn a_line_that_was_not_sent_yet_is_corrupted() {
        let (mut recorder, mut other) = (recorder(true), recorder(true));
        let lines = send_all(&mut other);
        recorder.receive(2, &lines[3], RECEIVED_AT);
        assert_eq!(recorder.faults().corrupted, 1);
    }

    #[test]
    fn a_foreign_line_after_the_greeting_is_unexpected_unless_others_may_talk() {
        for (others, unexpected) in [(false, 2), (true, 0)] {
            let mut recorder = recorder(true);
            recorder.workload.others = others;
            for line in [&b"Welcome"[..], b"a line of somebody else", b"* a notice"] {
                recorder.receive(2, line, RECEIVED_AT);
            }
            assert_eq!((recorder.foreign(), recorder.faults().unexpected), (3, unexpected));
        }
    }
}
