//! Telnet commands: removed from the text, and each option refused once.
//!
//! Numbers and rules are those of RFC 854 (commands), 855 (options), 1143 (answer a request once) and 860
//! (TIMING-MARK).

use memchr::memchr;

/// Interpret As Command: starts every telnet sequence.
pub(super) const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
/// Subnegotiation begins.
const SB: u8 = 250;
/// Subnegotiation ends.
const SE: u8 = 240;
/// The lowest byte that is a command: EOF of RFC 1184.
const LOWEST_COMMAND: u8 = 236;
/// On Ctrl-C a telnet client sends `DO TIMING-MARK`, and shows nothing until the server replies.
const TIMING_MARK: u8 = 6;

/// The position in a telnet sequence, in the input of one client.
#[derive(Debug, Default)]
pub(super) struct Telnet(State);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    Iac,
    Verb(Verb),
    Sub,
    SubIac,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Do,
    Will,
    /// DONT or WONT: needs no reply, because all options are off.
    Off,
}

/// The options that were refused to one client, and the length of its current subnegotiation.
#[derive(Debug, Default)]
pub(super) struct Negotiation {
    /// Bytes of the current subnegotiation so far.
    sub_length: usize,
    /// One bit per option that a DO asked for.
    refused_to_do: [u64; 4],
    /// One bit per option that a WILL offered.
    refused_to_let: [u64; 4],
}

/// The result of one step through a sequence.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TelnetStep {
    /// No text and no reply.
    Silent,
    /// A doubled IAC: one byte 255 of text.
    Escaped,
    /// Not a command: the IAC was text, and the byte after it is not consumed.
    NotACommand,
    /// A reply to send.
    Reply([u8; 3]),
    /// A subnegotiation longer than the longest line.
    TooLong,
}

impl Telnet {
    /// Notes an IAC in the text, which starts a sequence.
    pub(super) fn open(&mut self) {
        self.0 = State::Iac;
    }

    /// Whether the next byte belongs to a sequence.
    pub(super) fn is_open(&self) -> bool {
        self.0 != State::Text
    }

    /// Ends the sequence at the end of the input. Returns whether it was a lone IAC, which is text.
    pub(super) fn close(&mut self) -> bool {
        std::mem::take(&mut self.0) == State::Iac
    }

    /// Reads the next byte of the sequence, or a run of bytes. Removes them from `input`, which is not empty.
    pub(super) fn step(
        &mut self,
        negotiation: &mut Option<Box<Negotiation>>,
        input: &mut &[u8],
        max_line: usize,
    ) -> TelnetStep {
        let Some((&byte, rest)) = input.split_first() else { return TelnetStep::Silent };
        match self.0 {
            State::Sub => {
                // Stops one byte over the limit: the bytes after it are text, however many arrived at once.
                let so_far = negotiation.as_ref().map_or(0, |negotiation| negotiation.sub_length);
                let most = input.len().min(max_line.saturating_sub(so_far).saturating_add(1));
                let end = memchr(IAC, &input[..most]);
                let length = end.unwrap_or(most);
                if end.is_some() {
                    self.0 = State::SubIac;
                }
                *input = &input[length + usize::from(end.is_some())..];
                return self.grow(negotiation, length, max_line);
            }
            State::Iac if byte < LOWEST_COMMAND => {
                self.0 = State::Text;
                return TelnetStep::NotACommand;
            }
            _ => *input = rest,
        }
        let (state, step) = match (self.0, byte) {
            (State::Iac, IAC) => (State::Text, TelnetStep::Escaped),
            (State::Iac, SB) => {
                negotiation.get_or_insert_default().sub_length = 0;
                (State::Sub, TelnetStep::Silent)
            }
            (State::Iac, DO) => (State::Verb(Verb::Do), TelnetStep::Silent),
            (State::Iac, WILL) => (State::Verb(Verb::Will), TelnetStep::Silent),
            (State::Iac, DONT | WONT) => (State::Verb(Verb::Off), TelnetStep::Silent),
            (State::Verb(verb), option) => (State::Text, refuse(negotiation, verb, option)),
            (State::SubIac, byte) if byte != SE => {
                self.0 = State::Sub;
                return self.grow(negotiation, 2, max_line);
            }
            _ => (State::Text, TelnetStep::Silent),
        };
        self.0 = state;
        step
    }

    /// Counts bytes of the subnegotiation; ends it if it is too long.
    fn grow(
        &mut self,
        negotiation: &mut Option<Box<Negotiation>>,
        bytes: usize,
        max_line: usize,
    ) -> TelnetStep {
        let length = &mut negotiation.get_or_insert_default().sub_length;
        *length = length.saturating_add(bytes);
        if *length <= max_line {
            return TelnetStep::Silent;
        }
        self.0 = State::Text;
        TelnetStep::TooLong
    }
}

/// The reply to a verb and its option: a refusal, once per option.
fn refuse(negotiation: &mut Option<Box<Negotiation>>, verb: Verb, option: u8) -> TelnetStep {
    let refused = match verb {
        Verb::Off => return TelnetStep::Silent,
        Verb::Do if option == TIMING_MARK => return TelnetStep::Reply([IAC, WONT, option]),
        Verb::Do => &mut negotiation.get_or_insert_default().refused_to_do,
        Verb::Will => &mut negotiation.get_or_insert_default().refused_to_let,
    };
    let (word, bit) = (&mut refused[usize::from(option / 64)], 1 << (option % 64));
    if *word & bit != 0 {
        return TelnetStep::Silent;
    }
    *word |= bit;
    TelnetStep::Reply([IAC, if verb == Verb::Do { WONT } else { DONT }, option])
}
