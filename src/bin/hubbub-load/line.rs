//! The lines that are sent: each carries its run, sender and number, and its content is known to the last byte.

/// Hexadecimal digits at the start of a line: 4 for the run, 4 for the sender, 8 for the number.
const HEADER: usize = 16;
/// The sender's number in a probe.
const NO_SENDER: u16 = u16::MAX;

/// What a received line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineKind {
    /// A line of this run.
    Ours {
        /// The client that sent it.
        sender: u16,
        /// Its number among all lines, from 0.
        number: u32,
    },
    /// A line that this run sent before the start, to find out which clients receive.
    Probe,
    /// A line from outside this run.
    Foreign,
}

/// The form of one run's lines: a header, a blank and letters up to a given length, without a line end.
#[derive(Debug)]
pub(crate) struct LineTemplate {
    run: u16,
    length: usize,
    /// The text of each line is a part of these letters.
    letters: Vec<u8>,
}

impl LineTemplate {
    /// Bytes of the shortest line, including its line end.
    pub(crate) const MIN_BYTES: usize = HEADER + 1;
    /// The text of a line starts at one of this many letters.
    const STARTS: usize = 61;

    /// Creates lines of `bytes` bytes, line end included, that differ from the lines of any other `run`.
    pub(crate) fn new(run: u16, bytes: usize) -> Self {
        let length = bytes.max(Self::MIN_BYTES) - 1;
        let letters = (b'a'..=b'z').chain(b'A'..=b'Z').cycle().take(length + Self::STARTS).collect();
        Self { run, length, letters }
    }

    /// Appends a line to `out`, without its line end.
    pub(crate) fn write(&self, sender: u16, number: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header(sender, number));
        if self.length > HEADER {
            out.push(b' ');
            out.extend_from_slice(self.text(sender, number));
        }
    }

    /// Returns a line that shows which clients receive.
    pub(crate) fn probe(&self) -> Vec<u8> {
        self.header(NO_SENDER, 0).to_vec()
    }

    /// Classifies a received line by its header; `line` has no line end.
    pub(crate) fn parse(&self, line: &[u8]) -> LineKind {
        let Some(header) = line.first_chunk::<HEADER>() else { return LineKind::Foreign };
        let Some(header) = header.iter().try_fold(0, |sum, &byte| Some(sum << 4 | digit(byte)?)) else {
            return LineKind::Foreign;
        };
        let bytes: [u8; 8] = u64::to_be_bytes(header);
        let [run_high, run_low, sender_high, sender_low, number @ ..] = bytes;
        if u16::from_be_bytes([run_high, run_low]) != self.run {
            return LineKind::Foreign;
        }
        match u16::from_be_bytes([sender_high, sender_low]) {
            NO_SENDER => LineKind::Probe,
            sender => LineKind::Ours { sender, number: u32::from_be_bytes(number) },
        }
    }

    /// Whether a line with this header also has the right text, to the last byte.
    pub(crate) fn is_intact(&self, sender: u16, number: u32, line: &[u8]) -> bool {
        match line.get(HEADER..) {
            Some([]) => self.length == HEADER,
            Some([b' ', text @ ..]) => self.length > HEADER && text == self.text(sender, number),
            _ => false,
        }
    }

    fn header(&self, sender: u16, number: u32) -> [u8; HEADER] {
        let all = u64::from(self.run) << 48 | u64::from(sender) << 32 | u64::from(number);
        std::array::from_fn(|place| b"0123456789abcdef"[(all >> (60 - 4 * place)) as usize & 15])
    }

    fn text(&self, sender: u16, number: u32) -> &[u8] {
        let start = (usize::from(sender) + number as usize) % Self::STARTS;
        &self.letters[start..start + self.length - HEADER - 1]
    }
}

const fn digit(byte: u8) -> Option<u64> {
    match byte {
        b'0'..=b'9' => Some((byte - b'0') as u64),
        b'a'..=b'f' => Some((byte - b'a') as u64 + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_requested_length_and_is_recognised() {
        for bytes in [17, 18, 19, 64, 8192] {
            let template = LineTemplate::new(0xbeef, bytes);
            let mut line = Vec::new();
            template.write(12, 0x0123_4567, &mut line);
            assert_eq!(line.len() + 1, bytes, "with its line end");
            assert_eq!(template.parse(&line), LineKind::Ours { sender: 12, number: 0x0123_4567 });
            assert!(template.is_intact(12, 0x0123_4567, &line));
        }
    }

    #[test]
    fn a_line_with_any_byte_changed_is_not_accepted_as_the_original() {
        let template = LineTemplate::new(7, 40);
        let mut line = Vec::new();
        template.write(3, 9, &mut line);
        for place in 0..line.len() {
            let mut changed = line.clone();
            changed[place] ^= 1;
            match template.parse(&changed) {
                LineKind::Ours { sender: 3, number: 9 } => {
                    assert!(!template.is_intact(3, 9, &changed), "byte {place}")
                }
                LineKind::Ours { .. } | LineKind::Probe | LineKind::Foreign => {}
            }
        }
        for length in 0..line.len() {
            assert!(!template.is_intact(3, 9, &line[..length]), "{length} bytes");
        }
        let longer = [&line[..], b"x"].concat();
        assert!(!template.is_intact(3, 9, &longer));
    }

    #[test]
    fn lines_from_outside_this_run_are_foreign_and_probes_are_probes() {
        let (template, other) = (LineTemplate::new(1, 64), LineTemplate::new(2, 64));
        let mut line = Vec::new();
        other.write(0, 0, &mut line);
        for foreign in [&line[..], b"", b"Welcome to the anonymous chat room.", b"* no", &other.probe()] {
            assert_eq!(template.parse(foreign), LineKind::Foreign);
        }
        assert_eq!(template.parse(&template.probe()), LineKind::Probe);
    }
}
