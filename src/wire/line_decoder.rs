//! Bytes in, lines out: what a message is, whatever pieces it arrives in.
//!
//! A line ends at LF, CR LF or CR NUL. Telnet commands are taken out, a line longer than the limit is
//! refused whole and never stored, and a stranger's first bytes are recognised. Nothing here knows a
//! socket, a clock or the log.

pub use super::other_protocol::OtherProtocol;
use super::other_protocol::{self, SNIFF_BYTES, TlsSniff};
use super::telnet::{IAC, Negotiation, Telnet, TelnetStep};
use crate::util::buffer::Buffer;
use memchr::{memchr, memchr3};
use std::ops::ControlFlow;

/// What holds for every sender of a room.
#[derive(Debug, Clone, Copy)]
pub struct LineRules {
    /// The longest line accepted, in bytes as sent, without its line end.
    pub max_line: usize,
    /// Relay bytes as they come: a line ends at LF alone and is not looked into.
    pub raw: bool,
}

/// What a sender's bytes came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A whole line, without its line end, telnet taken out, not yet made safe to show.
    Line(&'a [u8]),
    /// A line over the limit: said once, when it passes the limit; its bytes are dropped.
    TooLong,
    /// Telnet bytes to send back.
    TelnetReply([u8; 3]),
    /// This is no chat client. What follows is not to be read as chat.
    OtherProtocol(OtherProtocol),
}

/// The next line is longer than is allowed now: it stays in the input.
#[derive(Debug, PartialEq, Eq)]
pub struct LineOverLimit;

/// One sender's place in its stream of bytes: the unfinished line and what it is in the middle of.
///
/// An idle sender owns nothing beyond this struct.
#[derive(Debug, Default)]
pub struct LineDecoder {
    /// The unfinished line; boxed, for nearly nobody has one and everybody has the pointer.
    partial: Option<Box<Buffer>>,
    telnet: Telnet,
    negotiation: Option<Box<Negotiation>>,
    stage: Stage,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// At the first bytes, which may be a TLS hello.
    #[default]
    Opening,
    /// In the first line, which may be an HTTP request or an SSH banner.
    First,
    /// In any later line.
    Later,
    /// In a line that was refused as too long; whether its last byte was CR.
    Skipping { after_cr: bool },
    /// After a line that silence ended: a line end that comes next is its own, and is no empty line.
    /// Whether its last byte was CR.
    Flushed { after_cr: bool },
}

impl LineDecoder {
    /// The next event in `input`, of which it takes what it read; `None` when all is read.
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

    /// Like [`next`](Self::next), as long as no line has more than `longest` bytes.
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
            if let ControlFlow::Break(event) = self.read_to_text(rules, input) {
                return Ok(event);
            }
            match find_stop(input, rules.raw, self.is_after_cr()) {
                Stop::LineEnd(at) if self.is_line_over(&input[..at], longest, rules) => {
                    return Err(LineOverLimit);
                }
                Stop::LineEnd(at) => {
                    let text = take_to(input, at);
                    match self.stage {
                        Stage::Skipping { .. } => self.stage = Stage::Later,
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

    /// Whether the line that ends after `text` is longer than `longest`, and is not dropped anyway.
    fn is_line_over(&self, text: &[u8], longest: usize, rules: &LineRules) -> bool {
        // A CR is a part of the line end.
        let has_cr = !rules.raw && (text.last() == Some(&b'\r') || text.is_empty() && self.is_after_cr());
        let len = self.held() + text.len();
        !matches!(self.stage, Stage::Skipping { .. }) && len > longest.saturating_add(usize::from(has_cr))
    }

    /// Reads what is not text of a line: first bytes and telnet.
    ///
    /// Goes on where text comes next; breaks with an event, or with `None` where all is read.
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
        match self.stage {
            Stage::Opening => self.read_opening(rules, input),
            _ => ControlFlow::Continue(()),
        }
    }

    /// The sender's input ended cleanly: what is left unfinished is a line too.
    pub fn finish<'a>(&mut self, rules: &LineRules, line: &'a mut Buffer) -> Option<Decoded<'a>> {
        if self.telnet.close()
            && let Some(event) = self.hold(&[IAC], rules)
        {
            return Some(event);
        }
        *line = *self.partial.take()?;
        Some(self.pass(line, rules))
    }

    /// The sender is silent: takes the unfinished line, if there is one, as a message now, and a
    /// refused line as ended.
    pub fn flush<'a>(&mut self, rules: &LineRules, line: &'a mut Buffer) -> Option<Decoded<'a>> {
        if let Stage::Skipping { after_cr } = self.stage {
            self.stage = Stage::Flushed { after_cr };
            return None;
        }
        let was_flushed = matches!(self.stage, Stage::Flushed { .. });
        *line = *self.partial.take()?;
        let after_cr = !rules.raw && line.pop_if(b'\r').is_some();
        let event = (!(was_flushed && line.is_empty())).then(|| self.pass(line, rules));
        self.stage = Stage::Flushed { after_cr };
        event
    }

    /// Whether a line has begun and not ended.
    pub const fn is_mid_line(&self) -> bool {
        self.partial.is_some() || matches!(self.stage, Stage::Skipping { .. })
    }

    /// Bytes held of the unfinished line, at most the longest line and a CR.
    pub fn held(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.len())
    }

    /// Decides whether the first bytes open a TLS handshake; holds them while they may.
    fn read_opening(
        &mut self,
        rules: &LineRules,
        input: &mut &[u8],
    ) -> ControlFlow<Option<Decoded<'static>>> {
        if rules.raw {
            self.stage = Stage::Later;
            return ControlFlow::Continue(());
        }
        let mut first_bytes = self.partial.as_ref().map_or_else(Vec::new, |held| held.to_vec());
        while let Some((&byte, rest)) = input.split_first() {
            first_bytes.push(byte);
            match other_protocol::sniff_tls(&first_bytes) {
                TlsSniff::Tls => return ControlFlow::Break(Some(Decoded::OtherProtocol(OtherProtocol::Tls))),
                TlsSniff::NeedMore => {
                    *input = rest;
                    self.partial.get_or_insert_default().extend_from_slice(&[byte]);
                }
                TlsSniff::Other => {
                    self.stage = Stage::First;
                    // Two bytes are held unasked, and the longest line may be one.
                    return match (self.held() > rules.max_line).then(|| self.refuse(&[], false, rules)) {
                        Some(event) => ControlFlow::Break(event),
                        None => ControlFlow::Continue(()),
                    };
                }
            }
        }
        ControlFlow::Break(None)
    }

    /// Whether the last byte of the line so far was CR, so that a NUL would end it.
    pub fn is_after_cr(&self) -> bool {
        match self.stage {
            Stage::Skipping { after_cr } => after_cr,
            Stage::Flushed { after_cr: true } if self.partial.is_none() => true,
            _ => self.partial.as_ref().is_some_and(|partial| partial.last() == Some(&b'\r')),
        }
    }

    /// Keeps text whose line end has not come yet.
    fn hold(&mut self, text: &[u8], rules: &LineRules) -> Option<Decoded<'static>> {
        let &last = text.last()?;
        if let Stage::Skipping { after_cr } = &mut self.stage {
            *after_cr = last == b'\r';
            return None;
        }
        if matches!(self.stage, Stage::Flushed { .. }) && !self.is_blank(text, rules) {
            self.stage = Stage::Later;
        }
        // A CR may yet turn out to be a part of the line end.
        let ends_in_cr = !rules.raw && last == b'\r';
        if self.held() + text.len() - usize::from(ends_in_cr) > rules.max_line {
            return self.refuse(text, ends_in_cr, rules);
        }
        let partial = self.partial.get_or_insert_default();
        partial.extend_from_slice(text);
        None
    }

    /// Whether the line so far and `text` are nothing, or the CR of a line end.
    fn is_blank(&self, text: &[u8], rules: &LineRules) -> bool {
        let held = self.partial.as_ref().map_or(&[][..], |partial| partial);
        match (held, text) {
            ([], []) => true,
            ([], [b'\r']) | ([b'\r'], []) => !rules.raw,
            _ => false,
        }
    }

    /// Drops the line so far, of which `text` is the last piece, and skips the rest of it; says so once.
    fn refuse(&mut self, text: &[u8], after_cr: bool, rules: &LineRules) -> Option<Decoded<'static>> {
        let mut line = self.partial.take().map_or_else(Buffer::default, |held| *held);
        match std::mem::replace(&mut self.stage, Stage::Skipping { after_cr }) {
            Stage::Skipping { .. } => None,
            Stage::Opening | Stage::First => {
                line.extend_from_slice(&text[..text.len().min(SNIFF_BYTES)]);
                Some(judge_long(&line, rules))
            }
            Stage::Later | Stage::Flushed { .. } => Some(Decoded::TooLong),
        }
    }

    /// The line end was found: `text` is the last piece of its line.
    fn end_line<'a>(&mut self, text: &'a [u8], rules: &LineRules, line: &'a mut Buffer) -> Decoded<'a> {
        let whole = match self.partial.take() {
            None => text,
            Some(held) => {
                *line = *held;
                line.extend_from_slice(text);
                line
            }
        };
        let whole = if rules.raw { whole } else { whole.strip_suffix(b"\r").unwrap_or(whole) };
        self.pass(whole, rules)
    }

    /// A whole line, unless it is too long, or a first line that shows a stranger.
    fn pass<'a>(&mut self, line: &'a [u8], rules: &LineRules) -> Decoded<'a> {
        let stage = std::mem::replace(&mut self.stage, Stage::Later);
        let is_first = matches!(stage, Stage::Opening | Stage::First);
        if line.len() > rules.max_line {
            if is_first { judge_long(line, rules) } else { Decoded::TooLong }
        } else if let Some(stranger) = is_first.then(|| other_protocol::sniff_line(line)).flatten() {
            Decoded::OtherProtocol(stranger)
        } else {
            Decoded::Line(line)
        }
    }
}

/// A first line over the limit: too long, or a stranger's, by what came before the limit.
fn judge_long(line: &[u8], rules: &LineRules) -> Decoded<'static> {
    let beginning = &line[..line.len().min(rules.max_line).min(SNIFF_BYTES)];
    other_protocol::sniff_beginning(beginning).map_or(Decoded::TooLong, Decoded::OtherProtocol)
}

/// Takes what stands before the byte at `at`, and that byte too; returns what stood before it.
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

/// The first byte that ends the line or opens a telnet sequence. Each byte is looked at once, however
/// many NUL there are: what comes before a stop is never searched again.
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
