//! The first bytes of a client, which are held until it is known whether they are those of another protocol.

use super::{Decoded, LineDecoder, LineOverLimit, LineRules, Stage, Stop, find_stop, without_cr};
use crate::util::buffer::Buffer;
use crate::wire::opening::{Verdict, examine};
use std::ops::ControlFlow;

/// What is left of the opening.
pub(super) enum Held {
    Line,
    TooLong,
    /// No whole line. The rest is the beginning of the next line, or it was too long.
    Rest(Option<Decoded<'static>>),
}

impl LineDecoder {
    /// If no more bytes come for a while, or at all: decides about the opening.
    ///
    /// Returns another protocol, or a line that is too long. See [`has_held_lines`](Self::has_held_lines) for lines.
    #[cold]
    pub fn decide_opening(&mut self, rules: &LineRules) -> Option<Decoded<'static>> {
        if self.stage != Stage::Opening {
            return None;
        }
        let bytes = *self.partial.take()?;
        match examine(&bytes, true, rules.raw) {
            Verdict::Other(protocol) => Some(Decoded::OtherProtocol(protocol)),
            Verdict::Lines | Verdict::Undecided => self.end_opening(bytes, rules),
        }
    }

    /// Whether whole lines are held that may be the opening of another protocol. If nothing follows them, they are
    /// lines: see [`decide_opening`](Self::decide_opening).
    pub fn is_holding_lines(&self) -> bool {
        self.stage == Stage::Opening
            && self
                .partial
                .as_ref()
                .is_some_and(|bytes| matches!(find_stop(bytes, false, false), Stop::LineEnd(_)))
    }

    /// Whether there are lines that were held and are not decoded yet. They need no input.
    pub const fn has_held_lines(&self) -> bool {
        matches!(self.stage, Stage::Held)
    }

    /// Holds the first bytes until it is known whether they are those of another protocol. Removes them from `input`,
    /// except the byte that shows that they are not.
    #[cold]
    pub(super) fn read_opening(
        &mut self,
        rules: &LineRules,
        input: &mut &[u8],
    ) -> ControlFlow<Option<Decoded<'static>>> {
        let mut bytes = self.partial.take().map_or_else(Buffer::default, |held| *held);
        while let Some((&byte, rest)) = input.split_first() {
            bytes.extend_from_slice(&[byte]);
            match examine(&bytes, false, rules.raw) {
                Verdict::Other(protocol) => {
                    return ControlFlow::Break(Some(Decoded::OtherProtocol(protocol)));
                }
                Verdict::Undecided => *input = rest,
                Verdict::Lines => {
                    bytes.pop_if(byte);
                    return match self.end_opening(bytes, rules) {
                        None => ControlFlow::Continue(()),
                        event => ControlFlow::Break(event),
                    };
                }
            }
        }
        if !bytes.is_empty() {
            self.partial = Some(Box::new(bytes));
        }
        ControlFlow::Break(None)
    }

    /// The opening is not that of another protocol. An unfinished line becomes the first line.
    #[cold]
    fn end_opening(&mut self, bytes: Buffer, rules: &LineRules) -> Option<Decoded<'static>> {
        if let Stop::LineEnd(_) = find_stop(&bytes, rules.raw, false) {
            self.partial = Some(Box::new(bytes));
            self.stage = Stage::Held;
            return None;
        }
        self.stage = Stage::First;
        self.hold(&bytes, rules)
    }

    /// Takes the next line of the opening into `line`. It has no telnet commands: the first byte of one ends it.
    #[cold]
    pub(super) fn next_held(
        &mut self,
        rules: &LineRules,
        longest: usize,
        line: &mut Buffer,
    ) -> Result<Held, LineOverLimit> {
        let Some(mut bytes) = self.partial.take() else {
            self.stage = Stage::Later;
            return Ok(Held::Rest(None));
        };
        let Stop::LineEnd(at) = find_stop(&bytes, rules.raw, false) else {
            self.stage = Stage::Later;
            return Ok(Held::Rest(self.hold(&bytes, rules)));
        };
        let text = without_cr(&bytes[..at], rules);
        let len = text.len();
        if len > longest && len <= rules.max_line {
            self.partial = Some(bytes);
            return Err(LineOverLimit { len });
        }
        *line = Buffer::default();
        line.extend_from_slice(text);
        bytes.drop_first(at + 1);
        self.partial = Some(bytes).filter(|rest| !rest.is_empty());
        if self.partial.is_none() {
            self.stage = Stage::Later;
        }
        Ok(if len > rules.max_line { Held::TooLong } else { Held::Line })
    }
}
