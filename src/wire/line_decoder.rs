//! Decodes bytes into lines. The bytes may arrive in any pieces.
//!
//! A line ends at LF, CR LF or CR NUL. Telnet commands are removed, a line over the limit is refused whole
//! and never stored, and the first bytes of other protocols are recognized: see [`opening`](super::opening).

mod opening;

use super::first_line::{self, LONG_BYTES};
pub use super::other_protocol::OtherProtocol;
use super::telnet::{IAC, Negotiation, Telnet, TelnetStep};
use crate::util::buffer::Buffer;
use memchr::{memchr, memchr3};
use opening::Held;
use std::ops::ControlFlow;

/// The rules for the lines of every client.
#[derive(Debug, Clone, Copy)]
pub struct LineRules {
    /// The longest line accepted, in bytes as sent, without its line end.
    pub max_line: usize,
    /// Relay bytes unchanged: a line ends at LF only, and nothing else is recognized but HTTP.
    pub raw: bool,
}

/// What was decoded.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A whole line without its line end and without telnet commands, not yet escaped.
    Line(&'a [u8]),
    /// A line over the limit; reported once, when it passes the limit. Its bytes are dropped.
    TooLong,
    /// Text of a line whose rest is [discarded](LineDecoder::discard_rest); reported once until the next flush.
    Discarded,
    /// A telnet reply to send.
    TelnetReply([u8; 3]),
    /// The first bytes of another protocol. What follows is no chat.
    OtherProtocol(OtherProtocol),
}

/// The next line is longer than the caller has space for now; it stays in the input.
#[derive(Debug, PartialEq, Eq)]
pub struct LineOverLimit {
    /// Its length, in bytes.
    pub len: usize,
}

/// The decoder of one client: its unfinished line, and its state.
///
/// An idle client owns no memory besides this struct.
#[derive(Debug, Default)]
pub struct LineDecoder {
    /// The unfinished line, or in some stages the opening. Boxed: every client has the pointer, but few have an
    /// unfinished line.
    partial: Option<Box<Buffer>>,
    telnet: Telnet,
    negotiation: Option<Box<Negotiation>>,
    stage: Stage,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The first bytes, as long as they may be those of another protocol. `partial` has all of them.
    #[default]
    Opening,
    /// The opening was not that of another protocol. `partial` has what is left of it: whole lines and a rest.
    Held,
    /// The first line, which may be that of another protocol.
    First,
    /// A later line.
    Later,
    /// The rest of a line that was refused as too long.
    Skipping { after_cr: bool },
    /// The rest of a line that is not to be sent, whatever pauses come in between.
    Discarding { after_cr: bool, is_reported: bool },
    /// After a line that [`flush`](LineDecoder::flush) ended. If a line end comes next, it belongs to that line,
    /// and is not an empty line.
    Flushed { after_cr: bool },
}

impl LineDecoder {
    /// A decoder of lines from a server: they are never those of another protocol.
    pub fn of_server() -> Self {
        Self { stage: Stage::Later, ..Self::default() }
    }

    /// Decodes the next item and removes its bytes from `input`; `None` when `input` is empty.
    ///
    /// `line` is scratch space, for a line that did not arrive in one piece.
    pub fn next<'a, 'input: 'a>(
        &mut self,
        rules: &LineRules,
        input: &mut &'input [u8],
        line: &'a mut Buffer,
    ) -> Option<Decoded<'a>> {
        self.next_within(rules, usize::MAX, input, line).unwrap_or(None)
    }

    /// Like [`next`](Self::next), but only for lines of at most `longest` bytes.
    ///
    /// # Errors
    /// [`LineOverLimit`] if the next line is longer; it stays in the input.
    pub fn next_within<'a, 'input: 'a>(
        &mut self,
        rules: &LineRules,
        longest: usize,
        input: &mut &'input [u8],
        line: &'a mut Buffer,
    ) -> Result<Option<Decoded<'a>>, LineOverLimit> {
        loop {
            if self.stage == Stage::Opening
                && let ControlFlow::Break(event) = self.read_opening(rules, input)
            {
                return Ok(event);
            }
            if self.stage == Stage::Held {
                match self.next_held(rules, longest, line)? {
                    Held::Line => return Ok(Some(Decoded::Line(line))),
                    Held::TooLong => return Ok(Some(Decoded::TooLong)),
                    Held::Rest(None) => {}
                    Held::Rest(event) => return Ok(event),
                }
            }
            if let ControlFlow::Break(event) = self.read_to_text(rules, input) {
                return Ok(event);
            }
            match find_stop(input, rules.raw, self.is_after_cr()) {
                Stop::LineEnd(at) if let Some(len) = self.line_over(&input[..at], longest, rules) => {
                    return Err(LineOverLimit { len });
                }
                Stop::LineEnd(at) => {
                    let text = take_to(input, at);
                    match self.stage {
                        Stage::Skipping { .. } => self.stage = Stage::Later,
                        Stage::Discarding { .. } => {
                            let event = self.hold(text, rules);
                            self.stage = Stage::Later;
                            if event.is_some() {
                                return Ok(event);
                            }
                        }
                        Stage::Flushed { .. } if self.is_blank(text, rules) => {
                            self.partial = None;
                            self.stage = Stage::Later;
                        }
                        _ => return Ok(Some(self.end_line(text, rules, line))),
                    }
                }
                Stop::Iac(at) => {
                    let text = take_to(input, at);
                    self.telnet.open();
                    if let Some(event) = self.hold(text, rules) {
                        return Ok(Some(event));
                    }
                }
                Stop::None => {
                    let text = std::mem::take(input);
                    return Ok(self.hold(text, rules));
                }
            }
        }
    }

    /// The length of the line that ends after `text`, if it is more than `longest`. Also `None` if the line is
    /// refused as too long.
    fn line_over(&self, text: &[u8], longest: usize, rules: &LineRules) -> Option<usize> {
        // A CR is a part of the line end.
        let has_cr = !rules.raw && (text.last() == Some(&b'\r') || text.is_empty() && self.is_after_cr());
        let len = (self.held() + text.len()).saturating_sub(usize::from(has_cr));
        let is_refused = self.is_dropping() || len > rules.max_line;
        (len > longest && !is_refused).then_some(len)
    }

    /// Decodes the telnet commands that may come before text.
    ///
    /// Continues if text comes next. Breaks with an item, or with `None` if `input` is empty.
    fn read_to_text(
        &mut self,
        rules: &LineRules,
        input: &mut &[u8],
    ) -> ControlFlow<Option<Decoded<'static>>> {
        while self.telnet.is_open() {
            if input.is_empty() {
                return ControlFlow::Break(None);
            }
            let event = match self.telnet.step(&mut self.negotiation, input, rules.max_line) {
                TelnetStep::Silent => None,
                TelnetStep::Reply(bytes) => Some(Decoded::TelnetReply(bytes)),
                TelnetStep::Escaped | TelnetStep::NotACommand => self.hold(&[IAC], rules),
                TelnetStep::TooLong => self.refuse(&[], false, rules),
            };
            if event.is_some() {
                return ControlFlow::Break(event);
            }
        }
        ControlFlow::Continue(())
    }

    /// After an orderly end of input: decodes the unfinished line. To be called until it returns `None`, because the
    /// opening may have several lines.
    pub fn finish<'a>(&mut self, rules: &LineRules, line: &'a mut Buffer) -> Option<Decoded<'a>> {
        if let Some(event) = self.decide_opening(rules) {
            return Some(event);
        }
        if self.stage == Stage::Held {
            match self.next_held(rules, usize::MAX, line) {
                Ok(Held::Line) => return Some(Decoded::Line(line)),
                Ok(Held::TooLong) => return Some(Decoded::TooLong),
                Ok(Held::Rest(None)) | Err(_) => {}
                Ok(Held::Rest(event)) => return event,
            }
        }
        if self.telnet.close()
            && let Some(event) = self.hold(&[IAC], rules)
        {
            return Some(event);
        }
        *line = *self.partial.take()?;
        Some(self.check_line(line, rules))
    }

    /// After a pause of the client: decodes the unfinished line, or ends a line that was refused as too long. A first
    /// line that may be that of another protocol waits for its end.
    pub fn flush<'a>(&mut self, rules: &LineRules, line: &'a mut Buffer) -> Option<Decoded<'a>> {
        let may_be_other = |partial: &Buffer| first_line::may_begin(partial, rules.raw);
        match &mut self.stage {
            Stage::Opening | Stage::Held => return None,
            Stage::First if self.partial.as_deref().is_some_and(may_be_other) => return None,
            Stage::Skipping { after_cr } => {
                self.stage = Stage::Flushed { after_cr: *after_cr };
                return None;
            }
            Stage::Discarding { is_reported, .. } => {
                *is_reported = false;
                return None;
            }
            _ => {}
        }
        let was_flushed = matches!(self.stage, Stage::Flushed { .. });
        *line = *self.partial.take()?;
        let after_cr = !rules.raw && line.pop_if(b'\r').is_some();
        let event = (!(was_flushed && line.is_empty())).then(|| self.check_line(line, rules));
        self.stage = Stage::Flushed { after_cr };
        event
    }

    /// After a [flush](Self::flush): discards the rest of the line that it has ended, up to its line end.
    pub const fn discard_rest(&mut self) {
        if let Stage::Flushed { after_cr } = self.stage {
            self.stage = Stage::Discarding { after_cr, is_reported: false };
        }
    }

    /// Whether the rest of a line is dropped.
    pub const fn is_dropping(&self) -> bool {
        matches!(self.stage, Stage::Skipping { .. } | Stage::Discarding { .. })
    }

    /// Whether nothing is held of a next line, so that the end of input makes no line.
    pub fn is_between_lines(&self) -> bool {
        self.partial.is_none() && !self.telnet.is_open()
    }

    /// Whether text of a line has arrived, since the last flush, and the line has not ended yet.
    pub const fn is_mid_line(&self) -> bool {
        self.partial.is_some()
            || matches!(self.stage, Stage::Skipping { .. } | Stage::Discarding { is_reported: true, .. })
    }

    /// Bytes of the unfinished line, at most the longest line and a CR, or of the opening, at most
    /// [`MAX_OPENING`](super::opening::MAX_OPENING).
    pub fn held(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.len())
    }

    /// Whether the last byte of the line so far is CR, so that a NUL would end it.
    pub fn is_after_cr(&self) -> bool {
        match self.stage {
            Stage::Skipping { after_cr } | Stage::Discarding { after_cr, .. } => after_cr,
            Stage::Flushed { after_cr: true } if self.partial.is_none() => true,
            _ => self.partial.as_ref().is_some_and(|partial| partial.last() == Some(&b'\r')),
        }
    }

    /// Keeps text whose line end has not arrived yet.
    fn hold(&mut self, text: &[u8], rules: &LineRules) -> Option<Decoded<'static>> {
        let &last = text.last()?;
        match &mut self.stage {
            Stage::Skipping { after_cr } => {
                *after_cr = last == b'\r';
                return None;
            }
            Stage::Discarding { after_cr, is_reported } => {
                let is_line_end = text == b"\r" && !*after_cr && !rules.raw;
                *after_cr = last == b'\r';
                return (!is_line_end && !std::mem::replace(is_reported, true)).then_some(Decoded::Discarded);
            }
            _ => {}
        }
        if matches!(self.stage, Stage::Flushed { .. }) && !self.is_blank(text, rules) {
            self.stage = Stage::Later;
        }
        // A CR may be part of the line end.
        let ends_in_cr = !rules.raw && last == b'\r';
        if self.held() + text.len() - usize::from(ends_in_cr) > rules.max_line {
            return self.refuse(text, ends_in_cr, rules);
        }
        let partial = self.partial.get_or_insert_default();
        partial.extend_from_slice(text);
        None
    }

    /// Whether the line so far and `text` are empty, or only the CR of a line end.
    fn is_blank(&self, text: &[u8], rules: &LineRules) -> bool {
        let held = self.partial.as_ref().map_or(&[][..], |partial| partial);
        match (held, text) {
            ([], []) => true,
            ([], [b'\r']) | ([b'\r'], []) => !rules.raw,
            _ => false,
        }
    }

    /// Drops the line so far, of which `text` is the last piece, and skips its rest. Returns an item once per line.
    fn refuse(&mut self, text: &[u8], after_cr: bool, rules: &LineRules) -> Option<Decoded<'static>> {
        let mut line = self.partial.take().map_or_else(Buffer::default, |held| *held);
        match std::mem::replace(&mut self.stage, Stage::Skipping { after_cr }) {
            Stage::Skipping { .. } => None,
            Stage::Discarding { is_reported, .. } => {
                self.stage = Stage::Discarding { after_cr, is_reported: true };
                (!is_reported).then_some(Decoded::Discarded)
            }
            Stage::First => {
                line.extend_from_slice(&text[..text.len().min(LONG_BYTES)]);
                Some(check_long(&line, rules))
            }
            _ => Some(Decoded::TooLong),
        }
    }

    /// Completes a line, of which `text` is the last piece.
    fn end_line<'a>(&mut self, text: &'a [u8], rules: &LineRules, line: &'a mut Buffer) -> Decoded<'a> {
        let whole = match self.partial.take() {
            None => text,
            Some(held) => {
                *line = *held;
                line.extend_from_slice(text);
                line
            }
        };
        self.check_line(without_cr(whole, rules), rules)
    }

    /// Checks a whole line: too long, another protocol, or a line.
    fn check_line<'a>(&mut self, line: &'a [u8], rules: &LineRules) -> Decoded<'a> {
        let stage = std::mem::replace(&mut self.stage, Stage::Later);
        let is_first = stage == Stage::First;
        if line.len() > rules.max_line {
            if is_first { check_long(line, rules) } else { Decoded::TooLong }
        } else if let Some(protocol) = is_first.then(|| first_line::recognize(line, rules.raw)).flatten() {
            Decoded::OtherProtocol(protocol)
        } else {
            Decoded::Line(line)
        }
    }
}

/// Checks the beginning of a first line over the limit: another protocol, or too long.
fn check_long(line: &[u8], rules: &LineRules) -> Decoded<'static> {
    let beginning = &line[..line.len().min(rules.max_line).min(LONG_BYTES)];
    first_line::recognize_long(beginning, rules.raw).map_or(Decoded::TooLong, Decoded::OtherProtocol)
}

/// A line without the CR of its line end.
fn without_cr<'a>(line: &'a [u8], rules: &LineRules) -> &'a [u8] {
    if rules.raw { line } else { line.strip_suffix(b"\r").unwrap_or(line) }
}

/// Removes the bytes up to and including the one at `at`; returns those before it.
fn take_to<'input>(input: &mut &'input [u8], at: usize) -> &'input [u8] {
    let text = &input[..at];
    *input = &input[at + 1..];
    text
}

enum Stop {
    LineEnd(usize),
    Iac(usize),
    None,
}

/// Finds the first byte that ends the line or opens a telnet sequence. Each byte is looked at once, however
/// many NUL bytes there are.
fn find_stop(input: &[u8], raw: bool, after_cr: bool) -> Stop {
    if raw {
        return memchr(b'\n', input).map_or(Stop::None, Stop::LineEnd);
    }
    let mut searched = 0;
    while let Some(at) = memchr3(b'\n', 0, IAC, &input[searched..]).map(|found| found + searched) {
        let preceded_by_cr = if at == 0 { after_cr } else { input[at - 1] == b'\r' };
        match input[at] {
            b'\n' => return Stop::LineEnd(at),
            IAC => return Stop::Iac(at),
            _ if preceded_by_cr => return Stop::LineEnd(at),
            _ => searched = at + 1,
        }
    }
    Stop::None
}
