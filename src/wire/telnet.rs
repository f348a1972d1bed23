//! Telnet's in-band commands, taken out of the text and answered no more than they must be.
//!
//! Numbers and rules are those of RFC 854 (commands), 855 (options), 1143 (answer a request once) and
//! 860 (TIMING-MARK).

use memchr::memchr;

/// Interpret As Command: opens every telnet sequence.
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
/// A telnet user's Ctrl-C sends `DO TIMING-MARK` and shows nothing more until it is answered.
const TIMING_MARK: u8 = 6;

/// Where in a sequence one sender's bytes stand.
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
    /// DONT or WONT: what they name is off already.
    Off,
}

/// What a sender who negotiates has been refused already.
#[derive(Debug, Default)]
pub(super) struct Negotiation {
    /// Bytes of the open subnegotiation so far.
    sub_length: usize,
    /// One bit an option, so that each DO is refused once.
    refused_to_do: [u64; 4],
    /// The same for each WILL.
    refused_to_let: [u64; 4],
}

/// The negotiation of one sender: nearly nobody has one, and everybody has the pointer.
pub(super) type Talks = Option<Box<Negotiation>>;

/// What a byte or a run of bytes of a sequence came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing to say or to show.
    Silent,
    /// A doubled IAC: one byte 255 of text.
    Escaped,
    /// No command after all: the IAC was text, and the byte after it is still to be read.
    NotACommand,
    /// To be sent back.
    Answer([u8; 3]),
    /// A subnegotiation longer than a line may be.
    TooLong,
}

impl Telnet {
    /// An IAC was read from the text.
    pub(super) fn open(&mut self) {
        self.0 = State::Iac;
    }

    /// Whether the next bytes belong to a sequence.
    pub(super) fn is_open(&self) -> bool {
        self.0 != State::Text
    }

    /// Ends an open sequence with the input; whether it was a lone IAC, which is text.
    pub(super) fn close(&mut self) -> bool {
        std::mem::take(&mut self.0) == State::Iac
    }

    /// Reads on in the open sequence; takes what it read from `input`, which is not empty.
    pub(super) fn step(&mut self, talks: &mut Talks, input: &mut &[u8], longest: usize) -> Step {
        let Some((&byte, rest)) = input.split_first() else { return Step::Silent };
        match self.0 {
            State::Sub => {
                // What is over the limit is no part of it, however much arrived at once.
                let so_far = talks.as_ref().map_or(0, |talks| talks.sub_length);
                let most = input.len().min(longest.saturating_sub(so_far).saturating_add(1));
                let end = memchr(IAC, &input[..most]);
                let length = end.unwrap_or(most);
                if end.is_some() {
                    self.0 = State::SubIac;
                }
                *input = &input[length + usize::from(end.is_some())..];
                return self.grow(talks, length, longest);
            }
            State::Iac if byte < LOWEST_COMMAND => {
                self.0 = State::Text;
                return Step::NotACommand;
            }
            _ => *input = rest,
        }
        let (state, step) = match (self.0, byte) {
            (State::Iac, IAC) => (State::Text, Step::Escaped),
            (State::Iac, SB) => {
                talks.get_or_insert_default().sub_length = 0;
                (State::Sub, Step::Silent)
            }
            (State::Iac, DO) => (State::Verb(Verb::Do), Step::Silent),
            (State::Iac, WILL) => (State::Verb(Verb::Will), Step::Silent),
            (State::Iac, DONT | WONT) => (State::Verb(Verb::Off), Step::Silent),
            (State::Verb(verb), option) => (State::Text, refuse(talks, verb, option)),
            (State::SubIac, byte) if byte != SE => {
                self.0 = State::Sub;
                return self.grow(talks, 2, longest);
            }
            _ => (State::Text, Step::Silent),
        };
        self.0 = state;
        step
    }

    fn grow(&mut self, talks: &mut Talks, bytes: usize, longest: usize) -> Step {
        let length = &mut talks.get_or_insert_default().sub_length;
        *length = length.saturating_add(bytes);
        if *length <= longest {
            return Step::Silent;
        }
        self.0 = State::Text;
        Step::TooLong
    }
}

fn refuse(talks: &mut Talks, verb: Verb, option: u8) -> Step {
    let refused = match verb {
        Verb::Off => return Step::Silent,
        Verb::Do if option == TIMING_MARK => return Step::Answer([IAC, WONT, option]),
        Verb::Do => &mut talks.get_or_insert_default().refused_to_do,
        Verb::Will => &mut talks.get_or_insert_default().refused_to_let,
    };
    let (word, bit) = (&mut refused[usize::from(option / 64)], 1 << (option % 64));
    if *word & bit != 0 {
        return Step::Silent;
    }
    *word |= bit;
    Step::Answer([IAC, if verb == Verb::Do { WONT } else { DONT }, option])
}
