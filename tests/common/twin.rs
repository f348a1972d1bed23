//! A naive twin of the framing: its rules one byte at a time, with nothing searched and nothing spared.

use hubbub::wire::line_decoder::{Decoded, LineRules, OtherProtocol};
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

/// An event of the framing, kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Line(Vec<u8>),
    TooLong,
    TelnetReply([u8; 3]),
    OtherProtocol(OtherProtocol),
}

impl From<Decoded<'_>> for Said {
    fn from(event: Decoded<'_>) -> Self {
        match event {
            Decoded::Line(line) => Self::Line(line.to_vec()),
            Decoded::TooLong => Self::TooLong,
            Decoded::TelnetReply(bytes) => Self::TelnetReply(bytes),
            Decoded::OtherProtocol(stranger) => Self::OtherProtocol(stranger),
        }
    }
}

/// What one sender's bytes come to.
pub struct Twin {
    rules: LineRules,
    /// The first bytes, until it is sure that they open no TLS handshake.
    opening: Option<Vec<u8>>,
    telnet: Telnet,
    refused_options: HashSet<(u8, u8)>,
    /// The line so far, even where it was refused.
    line: Vec<u8>,
    is_refused: bool,
    is_first_line: bool,
    /// Silence ended a line, whose line end may follow; whether that line ended in CR.
    flushed_at_cr: Option<bool>,
    said: Vec<Said>,
}

#[derive(Clone, Copy)]
enum Telnet {
    Text,
    Iac,
    Verb(u8),
    /// In a subnegotiation of so many bytes.
    Sub(usize),
    SubIac(usize),
}

impl Twin {
    /// A sender who has said nothing yet.
    pub fn new(rules: LineRules) -> Self {
        Self {
            rules,
            opening: (!rules.raw).then(Vec::new),
            telnet: Telnet::Text,
            refused_options: HashSet::new(),
            line: Vec::new(),
            is_refused: false,
            is_first_line: true,
            flushed_at_cr: None,
            said: Vec::new(),
        }
    }

    /// What was said since the last call, up to a stranger: what follows one is not read.
    pub fn take(&mut self) -> Vec<Said> {
        let mut said = std::mem::take(&mut self.said);
        if let Some(at) = said.iter().position(|said| matches!(said, Said::OtherProtocol(_))) {
            said.truncate(at + 1);
        }
        said
    }

    /// Bytes held of an unfinished line.
    pub fn unfinished(&self) -> usize {
        let line = if self.is_refused { 0 } else { self.line.len() };
        line + self.opening.as_ref().map_or(0, Vec::len)
    }

    /// One byte more.
    pub fn byte(&mut self, byte: u8) {
        let Some(opening) = &mut self.opening else { return self.in_or_out_of_telnet(byte) };
        opening.push(byte);
        match opening.as_slice() {
            [0x16] | [0x16, 0x03] => {}
            [0x16, 0x03, 0..=4] => self.said.push(Said::OtherProtocol(OtherProtocol::Tls)),
            _ => self.is_no_opening(),
        }
    }

    fn is_no_opening(&mut self) {
        for byte in self.opening.take().unwrap_or_default() {
            self.in_or_out_of_telnet(byte);
        }
    }

    fn in_or_out_of_telnet(&mut self, byte: u8) {
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

    /// A subnegotiation over the limit refuses the line that it is in, and is over.
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
            self.said.push(Said::TelnetReply([IAC, word, option]));
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
                if self.rules.raw || self.line != b"\r" {
                    self.flushed_at_cr = None;
                }
                // A CR may be a part of the line end.
                let may_be_the_end = !self.rules.raw && byte == b'\r';
                if self.line.len() - usize::from(may_be_the_end) > self.rules.max_line {
                    self.refuse();
                }
            }
        }
    }

    fn refuse(&mut self) {
        if !std::mem::replace(&mut self.is_refused, true) {
            let limit = self.line.len().min(self.rules.max_line).min(64);
            let stranger =
                (self.is_first_line && !self.rules.raw).then(|| long_stranger(&self.line[..limit]));
            self.said.push(stranger.flatten().map_or(Said::TooLong, Said::OtherProtocol));
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if self.flushed_at_cr.take().is_some() && line.is_empty() {
            return;
        }
        let is_first_line = std::mem::replace(&mut self.is_first_line, false);
        if std::mem::replace(&mut self.is_refused, false) {
            return;
        }
        let stranger = (is_first_line && !self.rules.raw).then(|| stranger(&line)).flatten();
        self.said.push(stranger.map_or(Said::Line(line), Said::OtherProtocol));
    }

    /// Silence ends the line.
    pub fn flush(&mut self) {
        self.is_no_opening();
        let at_cr = !self.rules.raw && self.line.ends_with(b"\r");
        if self.line.is_empty() && !self.is_refused {
            return;
        }
        if at_cr {
            self.line.pop();
        }
        self.end_line();
        self.flushed_at_cr = Some(at_cr);
    }

    /// The input ends.
    pub fn finish(&mut self) {
        self.is_no_opening();
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

/// Whose first line that is: `METHOD TARGET HTTP/1.1` or `SSH-2.0-NAME`.
fn stranger(line: &[u8]) -> Option<OtherProtocol> {
    let is_number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let words = line.split(|&byte| byte == b' ').collect::<Vec<_>>();
    if let [[_, ..], [_, ..], [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', ..]] = words[..]
        && words[0].iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'-'))
    {
        return Some(OtherProtocol::Http);
    }
    let parts = line.splitn(3, |&byte| byte == b'-').collect::<Vec<_>>();
    let [b"SSH", version, _] = parts[..] else { return None };
    let numbers = version.split(|&byte| byte == b'.').collect::<Vec<_>>();
    matches!(numbers[..], [major, minor] if is_number(major) && is_number(minor))
        .then_some(OtherProtocol::Ssh)
}

/// Whose first line begins so, where it is over the limit.
fn long_stranger(line: &[u8]) -> Option<OtherProtocol> {
    let text = String::from_utf8_lossy(line);
    if let Some((method, target)) = text.split_once(' ')
        && "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH".split(' ').any(|real| real == method)
        && ["/", "http://", "https://"].iter().any(|form| target.starts_with(form))
    {
        return Some(OtherProtocol::Http);
    }
    stranger(line).filter(|&stranger| stranger == OtherProtocol::Ssh)
}

/// What of `line` is shown, character by character.
pub fn shown_one_by_one(mut line: &[u8]) -> String {
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
