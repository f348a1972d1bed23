//! The lines that are sent: each tells which it is, and what it has to look like to the last byte.

/// Digits that tell the run, the sender and the number: 4, 4 and 8 of base 16.
const HEADER: usize = 16;
/// The sender that stands in a probe.
const NOBODY: u16 = u16::MAX;

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One of this run.
    Ours {
        /// Which client said it.
        sender: u16,
        /// Which of all lines it is, from 0.
        number: u32,
    },
    /// Said by this run before it began, to see who hears.
    Probe,
    /// Somebody else's.
    Foreign,
}

/// How the lines of one run look: a header, a blank and letters up to a given length, without an end.
#[derive(Debug)]
pub(crate) struct Text {
    run: u16,
    length: usize,
    /// Letters to cut the rest of each line from.
    letters: Vec<u8>,
}

impl Text {
    /// Bytes of the shortest line, its end included.
    pub(crate) const SHORTEST: usize = HEADER + 1;
    /// Places in the alphabet at which the rest of a line begins.
    const STARTS: usize = 61;

    /// Lines of `bytes` bytes, ends included, that differ from those of any other `run`.
    pub(crate) fn new(run: u16, bytes: usize) -> Self {
        let length = bytes.max(Self::SHORTEST) - 1;
        let letters = (b'a'..=b'z').chain(b'A'..=b'Z').cycle().take(length + Self::STARTS).collect();
        Self { run, length, letters }
    }

    /// Appends a line, without its end.
    pub(crate) fn write(&self, sender: u16, number: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header(sender, number));
        if self.length > HEADER {
            out.push(b' ');
            out.extend_from_slice(self.rest(sender, number));
        }
    }

    /// A line that asks who hears it.
    pub(crate) fn probe(&self) -> Vec<u8> {
        self.header(NOBODY, 0).to_vec()
    }

    /// What `line`, without its end, is.
    pub(crate) fn read(&self, line: &[u8]) -> Kind {
        let Some(header) = line.first_chunk::<HEADER>() else { return Kind::Foreign };
        let Some(header) = header.iter().try_fold(0, |sum, &byte| Some(sum << 4 | digit(byte)?)) else {
            return Kind::Foreign;
        };
        let bytes: [u8; 8] = u64::to_be_bytes(header);
        let [run_high, run_low, sender_high, sender_low, number @ ..] = bytes;
        if u16::from_be_bytes([run_high, run_low]) != self.run {
            return Kind::Foreign;
        }
        match u16::from_be_bytes([sender_high, sender_low]) {
            NOBODY => Kind::Probe,
            sender => Kind::Ours { sender, number: u32::from_be_bytes(number) },
        }
    }

    /// Whether a line that reads as that one is it to the last byte.
    pub(crate) fn is_intact(&self, sender: u16, number: u32, line: &[u8]) -> bool {
        match line.get(HEADER..) {
            Some([]) => self.length == HEADER,
            Some([b' ', rest @ ..]) => self.length > HEADER && rest == self.rest(sender, number),
            _ => false,
        }
    }

    fn header(&self, sender: u16, number: u32) -> [u8; HEADER] {
        let all = u64::from(self.run) << 48 | u64::from(sender) << 32 | u64::from(number);
        std::array::from_fn(|place| b"0123456789abcdef"[(all >> (60 - 4 * place)) as usize & 15])
    }

    fn rest(&self, sender: u16, number: u32) -> &[u8] {
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
    fn a_line_has_the_length_asked_for_and_is_known_again() {
        for bytes in [17, 18, 19, 64, 8192] {
            let text = Text::new(0xbeef, bytes);
            let mut line = Vec::new();
            text.write(12, 0x0123_4567, &mut line);
            assert_eq!(line.len() + 1, bytes, "with its end");
            assert_eq!(text.read(&line), Kind::Ours { sender: 12, number: 0x0123_4567 });
            assert!(text.is_intact(12, 0x0123_4567, &line));
        }
    }

    #[test]
    fn a_line_changed_in_any_byte_is_not_taken_for_what_it_was() {
        let text = Text::new(7, 40);
        let mut line = Vec::new();
        text.write(3, 9, &mut line);
        for place in 0..line.len() {
            let mut changed = line.clone();
            changed[place] ^= 1;
            match text.read(&changed) {
                Kind::Ours { sender: 3, number: 9 } => {
                    assert!(!text.is_intact(3, 9, &changed), "byte {place}")
                }
                Kind::Ours { .. } | Kind::Probe | Kind::Foreign => {}
            }
        }
        for length in 0..line.len() {
            assert!(!text.is_intact(3, 9, &line[..length]), "{length} bytes");
        }
        let longer = [&line[..], b"x"].concat();
        assert!(!text.is_intact(3, 9, &longer));
    }

    #[test]
    fn other_peoples_lines_and_other_runs_are_foreign_and_probes_are_probes() {
        let (text, other) = (Text::new(1, 64), Text::new(2, 64));
        let mut line = Vec::new();
        other.write(0, 0, &mut line);
        for foreign in [&line[..], b"", b"Welcome to the anonymous chat room.", b"* no", &other.probe()] {
            assert_eq!(text.read(foreign), Kind::Foreign);
        }
        assert_eq!(text.read(&text.probe()), Kind::Probe);
    }
}
