//! What is heard: the server's bytes, cut into lines.

use crate::look::Look;
use hubbub::util::buffer::Buffer;
use hubbub::wire::line_decoder::{Decoded, LineDecoder, LineRules};
use memchr::memmem;

/// The longest line that is shown: 500 times what a server accepts by default, each byte of it shown as
/// `\xNN`. Whatever a server sends, a line takes no more memory than some ten times that.
const LONGEST: usize = 16 * 1024 * 1024;
/// What is told of a line that is longer.
pub(crate) const TOO_LONG: &str = "a line of more than 16 MiB is not shown";
/// Lines end at LF and are not looked into: telnet is for the other side.
const RULES: LineRules = LineRules { max_line: LONGEST, raw: true };

/// One connection's lines.
#[derive(Debug)]
pub(crate) struct Hearing {
    framer: LineDecoder,
    look: Look,
    /// How many more lines are wanted, where that has an end.
    wanted: Option<usize>,
    welcome: Welcome,
    /// Whether a server told one's name, as it does where there are commands.
    has_name: bool,
    /// Lines that were too long and are not told of.
    too_long: usize,
}

/// What came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Welcome {
    /// Nothing yet.
    Awaited,
    /// Words by which a server of ours turns somebody away, and nothing after them.
    Refused,
    /// Anything else, or more.
    Given,
}

impl Hearing {
    /// Shows lines by `look`, and at most as many as are `wanted`.
    pub(crate) fn new(look: Look, wanted: Option<usize>) -> Self {
        Self {
            framer: LineDecoder::default(),
            look,
            wanted,
            welcome: Welcome::Awaited,
            has_name: false,
            too_long: 0,
        }
    }

    /// How many more lines are wanted, where that has an end.
    pub(crate) const fn wanted(&self) -> Option<usize> {
        self.wanted
    }

    /// Whether all that was heard are words by which a server of ours turns somebody away: nothing was heard
    /// of what was said to it.
    pub(crate) const fn was_turned_away(&self) -> bool {
        matches!(self.welcome, Welcome::Refused)
    }

    /// Whether the server told one's name: where it does, `/quit` is a command, and else it is chat.
    pub(crate) const fn has_name(&self) -> bool {
        self.has_name
    }

    /// How many lines were too long to be shown, since it was asked last.
    pub(crate) const fn too_long(&mut self) -> usize {
        std::mem::replace(&mut self.too_long, 0)
    }

    /// Appends the lines that `bytes` bring to an end to `shown`.
    pub(crate) fn hear(&mut self, mut bytes: &[u8], shown: &mut Vec<u8>) {
        let mut line = Buffer::default();
        while let Some(event) = self.framer.next(&RULES, &mut bytes, &mut line) {
            self.welcome = self.welcome.after(&event);
            match event {
                Decoded::Line(line) => {
                    self.has_name |= tells_name(line);
                    take(line, self.look, &mut self.wanted, shown);
                }
                Decoded::TooLong => self.too_long += 1,
                // Not with these rules.
                Decoded::TelnetReply(_) | Decoded::OtherProtocol(_) => {}
            }
        }
    }

    /// The connection ended: what is unfinished is a line too.
    pub(crate) fn finish(&mut self, shown: &mut Vec<u8>) {
        let mut line = Buffer::default();
        if let Some(event) = self.framer.finish(&RULES, &mut line) {
            self.welcome = self.welcome.after(&event);
            if let Decoded::Line(line) = event {
                take(line, self.look, &mut self.wanted, shown);
            }
        }
    }
}

impl Welcome {
    fn after(self, event: &Decoded<'_>) -> Self {
        match (self, event) {
            (Self::Awaited, Decoded::Line(line)) if is_refusal(line) => Self::Refused,
            _ => Self::Given,
        }
    }
}

/// Whether `line` is how a server of ours turns somebody away, in whichever view. A notice alone is not: it
/// may answer what was asked.
fn is_refusal(line: &[u8]) -> bool {
    const WORDS: &[u8] = b": try again later";
    (line.starts_with(b"* ") && line.ends_with(WORDS))
        || (line.starts_with(br#"{"type":"error","#) && memmem::find(line, WORDS).is_some())
}

/// Whether `line` is how a server of ours tells a newcomer's name, in whichever view has names.
fn tells_name(line: &[u8]) -> bool {
    line.starts_with(b"* you are ")
        || (line.starts_with(br#"{"type":"notice","#) && memmem::find(line, br#","name":""#).is_some())
}

fn take(line: &[u8], look: Look, wanted: &mut Option<usize>, shown: &mut Vec<u8>) {
    match wanted {
        Some(0) => {}
        Some(left) => {
            *left -= 1;
            look.show(line, shown);
        }
        None => look.show(line, shown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: Look = Look { raw: false, timestamps: false, colour: false };

    #[test]
    fn lines_are_the_same_however_they_are_cut() {
        for piece in 1..9 {
            let mut hearing = Hearing::new(BARE, None);
            let mut shown = Vec::new();
            for bytes in "one\n\ntwo é\r\nGET / HTTP/1.1\nrest".as_bytes().chunks(piece) {
                hearing.hear(bytes, &mut shown);
            }
            hearing.finish(&mut shown);
            let shown = String::from_utf8(shown).unwrap();
            assert_eq!(shown, "one\n\ntwo é\nGET / HTTP/1.1\nrest\n", "in pieces of {piece}");
        }
    }

    #[test]
    fn no_more_lines_are_shown_than_are_wanted() {
        let mut hearing = Hearing::new(BARE, Some(2));
        let mut shown = Vec::new();
        hearing.hear(b"one\ntw", &mut shown);
        assert_eq!(hearing.wanted(), Some(1));
        hearing.hear(b"o\nthree\nfour", &mut shown);
        hearing.finish(&mut shown);
        assert_eq!((&shown[..], hearing.wanted()), (&b"one\ntwo\n"[..], Some(0)));
    }
}
