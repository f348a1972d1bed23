//! A naive twin of the line decoder: the same rules, applied to one byte at a time without any shortcut.

use hubbub::wire::first_line;
use hubbub::wire::line_decoder::{Decoded, LineRules, OtherProtocol};
use hubbub::wire::opening::{Verdict, examine};
use std::collections::HashSet;

pub const IAC: u8 = 255;
pub const DONT: u8 = 254;
pub const DO: u8 = 253;
pub const WONT: u8 = 252;
pub const WILL: u8 = 251;
pub const SB: u8 = 250;
pub const SE: u8 = 240;
pub const NOP: u8 = 241;
pub const TIMING_MARK: u8 = 6;

/// What the line decoder yields, with a copy of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Yielded {
    Line(Vec<u8>),
    TooLong,
    Discarded,
    TelnetReply([u8; 3]),
    OtherProtocol(OtherProtocol),
}

impl From<Decoded<'_>> for Yielded {
    fn from(decoded: Decoded<'_>) -> Self {
        match decoded {
            Decoded::Line(line) => Self::Line(line.to_vec()),
            Decoded::TooLong => Self::TooLong,
            Decoded::Discarded => Self::Discarded,
            Decoded::TelnetReply(bytes) => Self::TelnetReply(bytes),
            Decoded::OtherProtocol(protocol) => Self::OtherProtocol(protocol),
        }
    }
}

/// A line decoder for the bytes of one client.
pub struct Twin {
    rules: LineRules,
    /// The first bytes, until it is certain that they are not those of another protocol.
    opening: Option<Vec<u8>>,
    /// The opening is certain, but some of its lines are still in `opening`.
    is_releasing: bool,
    telnet: Telnet,
    refused_options: HashSet<(u8, u8)>,
    /// The line so far, even if it is refused.
    line: Vec<u8>,
    is_refused: bool,
    /// The rest of the line is not to be sent. The value is whether that was reported.
    discards: Option<bool>,
    is_first_line: bool,
    /// A flush has ended a line whose line end may still follow. The value is whether the line ended in CR.
    flushed_at_cr: Option<bool>,
    yielded: Vec<Yielded>,
    /// The client speaks another protocol: the rest of its input is dropped.
    is_over: bool,
}

#[derive(Clone, Copy)]
enum Telnet {
    Text,
    Iac,
    Verb(u8),
    /// In a subnegotiation; the number counts its bytes.
    Sub(usize),
    SubIac(usize),
}

impl Twin {
    /// Returns a twin for a client that has sent nothing yet.
    pub fn new(rules: LineRules) -> Self {
        Self {
            rules,
            opening: Some(Vec::new()),
            is_releasing: false,
            telnet: Telnet::Text,
            refused_options: HashSet::new(),
            line: Vec::new(),
            is_refused: false,
            discards: None,
            is_first_line: true,
            flushed_at_cr: None,
            yielded: Vec::new(),
            is_over: false,
        }
    }

    /// Returns what was yielded since the last call. Nothing follows another protocol.
    pub fn take(&mut self) -> Vec<Yielded> {
        let mut yielded = std::mem::take(&mut self.yielded);
        if let Some(at) = yielded.iter().position(|item| matches!(item, Yielded::OtherProtocol(_))) {
            yielded.truncate(at + 1);
            self.is_over = true;
        }
        yielded
    }

    /// Returns how many bytes of an unfinished line are stored.
    pub fn unfinished(&self) -> usize {
        if self.is_over {
            return 0;
        }
        let line = if self.is_dropping() { 0 } else { self.line.len() };
        line + self.opening.as_ref().map_or(0, Vec::len)
    }

    /// Whether the rest of a line is dropped.
    pub fn is_dropping(&self) -> bool {
        self.is_refused || self.discards.is_some()
    }

    /// Discards the rest of the line that a flush has ended.
    pub fn discard_rest(&mut self) {
        if self.flushed_at_cr.is_some() {
            self.discards = Some(false);
        }
    }

    /// Decodes one byte.
    pub fn byte(&mut self, byte: u8) {
        if self.is_releasing {
            self.pass_opening_on();
        }
        let Some(opening) = &mut self.opening else { return self.telnet_or_text(byte) };
        opening.push(byte);
        match examine(opening, false, self.rules.raw) {
            Verdict::Undecided => {}
            Verdict::Other(protocol) => self.yielded.push(Yielded::OtherProtocol(protocol)),
            Verdict::Lines => self.pass_opening_on(),
        }
    }

    /// Whether its unfinished first line is not flushed, because it may be that of another protocol.
    pub fn waits_for_line_end(&self) -> bool {
        self.opening.is_some() || self.is_first_line && first_line::may_begin(&self.line, self.rules.raw)
    }

    /// Whether lines of the opening are certain and not decoded yet.
    pub const fn is_releasing(&self) -> bool {
        self.is_releasing
    }

    /// Whether the opening has a whole line.
    pub fn holds_lines(&self) -> bool {
        let is_end = |pair: &[u8]| pair[1] == b'\n' || !self.rules.raw && pair == b"\r\0";
        let opening = self.opening.as_deref().unwrap_or_default();
        opening.first() == Some(&b'\n') || opening.windows(2).any(is_end)
    }

    /// Decides about the opening, because nothing follows it. Its lines are still held.
    pub fn settle(&mut self) {
        let Some(opening) = self.opening.as_ref().filter(|opening| !opening.is_empty()) else { return };
        if self.is_releasing {
            return;
        }
        match examine(opening, true, self.rules.raw) {
            Verdict::Other(protocol) => self.yielded.push(Yielded::OtherProtocol(protocol)),
            _ if self.holds_lines() => self.is_releasing = true,
            _ => self.pass_opening_on(),
        }
    }

    /// The decoder has as many bytes left: passes on the lines of the opening that it has decoded.
    pub fn release_to(&mut self, left: usize) {
        while self.unfinished() > left && self.holds_lines() {
            self.is_releasing = true;
            let Some(opening) = &mut self.opening else { return };
            let ends = (0..opening.len()).find(|&at| {
                opening[at] == b'\n' || !self.rules.raw && at > 0 && opening[at - 1..=at] == *b"\r\0"
            });
            let rest = opening.split_off(ends.unwrap() + 1);
            let line = std::mem::replace(opening, rest);
            line.iter().for_each(|&byte| self.telnet_or_text(byte));
            self.is_first_line = false;
        }
        if self.is_releasing && !self.holds_lines() {
            self.pass_opening_on();
        }
    }

    fn pass_opening_on(&mut self) {
        let lines = self.holds_lines();
        self.is_releasing = false;
        for byte in self.opening.take().unwrap_or_default() {
            self.telnet_or_text(byte);
        }
        // The opening was examined with its first line.
        self.is_first_line &= !lines;
    }

    fn telnet_or_text(&mut self, byte: u8) {
        if self.rules.raw {
            return self.text(byte);
        }
        self.telnet = match (self.telnet, byte) {
            (Telnet::Text, IAC) => Telnet::Iac,
            (Telnet::Text, byte) => {
                self.text(byte);
                Telnet::Text
            }
            (Telnet::Iac, IAC) => {
                self.text(IAC);
                Telnet::Text
            }
            (Telnet::Iac, DO | DONT | WILL | WONT) => Telnet::Verb(byte),
            (Telnet::Iac, SB) => Telnet::Sub(0),
            (Telnet::Iac, 236..) => Telnet::Text,
            (Telnet::Iac, no_command) => {
                self.text(IAC);
                self.text(no_command);
                Telnet::Text
            }
            (Telnet::Verb(verb), option) => {
                self.answer(verb, option);
                Telnet::Text
            }
            (Telnet::Sub(length), IAC) => Telnet::SubIac(length),
            (Telnet::Sub(length), _) => self.sub(length + 1),
            (Telnet::SubIac(_), SE) => Telnet::Text,
            (Telnet::SubIac(length), _) => self.sub(length + 2),
        }
    }

    /// Counts a byte of a subnegotiation. Beyond the limit it ends and its line is refused.
    fn sub(&mut self, length: usize) -> Telnet {
        if length <= self.rules.max_line {
            return Telnet::Sub(length);
        }
        self.refuse();
        self.line.clear();
        self.flushed_at_cr = None;
        Telnet::Text
    }

    fn answer(&mut self, verb: u8, option: u8) {
        let word = match verb {
            DO => WONT,
            WILL => DONT,
            _ => return,
        };
        let is_new = self.refused_options.insert((verb, option));
        if is_new || (verb, option) == (DO, TIMING_MARK) {
            self.yielded.push(Yielded::TelnetReply([IAC, word, option]));
        }
    }

    fn text(&mut self, byte: u8) {
        let flushed_at_cr = self.flushed_at_cr == Some(true) && self.line.is_empty();
        let is_after_cr = !self.rules.raw && (self.line.ends_with(b"\r") || flushed_at_cr);
        match byte {
            b'\n' | 0 if is_after_cr => {
                self.line.pop();
                self.end_line();
            }
            b'\n' => self.end_line(),
            byte => {
                self.line.push(byte);
                if self.discards.is_some()
                    && (self.rules.raw || self.line != b"\r" || self.flushed_at_cr == Some(true))
                {
                    self.refuse();
                }
                if self.rules.raw || self.line != b"\r" {
                    self.flushed_at_cr = None;
                }
                // A CR may belong to the line end.
                let may_be_the_end = !self.rules.raw && byte == b'\r';
                if self.line.len() - usize::from(may_be_the_end) > self.rules.max_line {
                    self.refuse();
                }
            }
        }
    }

    fn refuse(&mut self) {
        if let Some(is_reported) = &mut self.discards {
            if !std::mem::replace(is_reported, true) {
                self.yielded.push(Yielded::Discarded);
            }
            return;
        }
        if !std::mem::replace(&mut self.is_refused, true) {
            let limit = self.line.len().min(self.rules.max_line).min(64);
            let protocol =
                self.is_first_line.then(|| first_line::recognize_long(&self.line[..limit], self.rules.raw));
            self.yielded.push(protocol.flatten().map_or(Yielded::TooLong, Yielded::OtherProtocol));
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if self.discards.take().is_some() {
            self.flushed_at_cr = None;
            return;
        }
        if self.flushed_at_cr.take().is_some() && line.is_empty() {
            return;
        }
        let is_first_line = std::mem::replace(&mut self.is_first_line, false);
        if std::mem::replace(&mut self.is_refused, false) {
            return;
        }
        let protocol = is_first_line.then(|| first_line::recognize(&line, self.rules.raw)).flatten();
        self.yielded.push(protocol.map_or(Yielded::Line(line), Yielded::OtherProtocol));
    }

    /// Ends the line, as after the flush time.
    pub fn flush(&mut self) {
        if self.waits_for_line_end() && !self.is_refused {
            return;
        }
        let at_cr = !self.rules.raw && self.line.ends_with(b"\r");
        if self.discards.is_some() {
            let at_cr = at_cr || self.line.is_empty() && self.flushed_at_cr == Some(true);
            self.line.clear();
            (self.discards, self.flushed_at_cr) = (Some(false), Some(at_cr));
            return;
        }
        if self.line.is_empty() && !self.is_refused {
            return;
        }
        if at_cr {
            self.line.pop();
        }
        self.end_line();
        self.flushed_at_cr = Some(at_cr);
    }

    /// Ends the input.
    pub fn finish(&mut self) {
        self.settle();
        self.pass_opening_on();
        if matches!(self.telnet, Telnet::Iac) {
            self.text(IAC);
        }
        if self.line.len() > self.rules.max_line {
            self.refuse();
        }
        if !self.line.is_empty() && !self.is_refused {
            self.end_line();
        }
    }
}

/// Escapes `line`, one character at a time.
pub fn escape_one_by_one(mut line: &[u8]) -> String {
    let mut shown = String::new();
    while let Some(&byte) = line.first() {
        let lengths = 1..=line.len().min(4);
        let found = lengths.filter_map(|length| std::str::from_utf8(&line[..length]).ok()).next();
        let character = found.and_then(|text| text.chars().next());
        match character {
            Some('\t' | ' '..='~' | '\u{A0}'..) => shown.push_str(found.unwrap()),
            Some(control) => shown.push_str(&format!("\\x{:02X}", u32::from(control))),
            None => shown.push_str(&format!("\\x{byte:02X}")),
        }
        line = &line[found.map_or(1, str::len)..];
    }
    shown
}
