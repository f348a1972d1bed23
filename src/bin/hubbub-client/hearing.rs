//! What is heard: the server's bytes, cut into lines.

use crate::look::Look;
use hubbub::framing::{Event, Framer, Rules};
use hubbub::held::Held;

/// The longest line that a server of ours can be told to accept, and four times that, for it may have to
/// show each byte as `\xNN`. What is longer is none of ours, and would take ever more memory.
const LONGEST: usize = 256 * 1024 * 1024;
/// Lines end at LF and are not looked into: telnet is for the other side.
const RULES: Rules = Rules { max_line: LONGEST, raw: true };

/// One connection's lines.
#[derive(Debug)]
pub(crate) struct Hearing {
    framer: Framer,
    look: Look,
    /// How many more lines are wanted, where that has an end.
    wanted: Option<usize>,
}

impl Hearing {
    /// Shows lines by `look`, and at most as many as are `wanted`.
    pub(crate) fn new(look: Look, wanted: Option<usize>) -> Self {
        Self { framer: Framer::default(), look, wanted }
    }

    /// How many more lines are wanted, where that has an end.
    pub(crate) const fn wanted(&self) -> Option<usize> {
        self.wanted
    }

    /// Appends the lines that `bytes` bring to an end to `shown`.
    pub(crate) fn hear(&mut self, mut bytes: &[u8], shown: &mut Vec<u8>) {
        let mut line = Held::default();
        while let Some(event) = self.framer.next(&RULES, &mut bytes, &mut line) {
            take(&event, self.look, &mut self.wanted, shown);
        }
    }

    /// The connection ended: what is unfinished is a line too.
    pub(crate) fn finish(&mut self, shown: &mut Vec<u8>) {
        let mut line = Held::default();
        if let Some(event) = self.framer.finish(&RULES, &mut line) {
            take(&event, self.look, &mut self.wanted, shown);
        }
    }
}

fn take(event: &Event<'_>, look: Look, wanted: &mut Option<usize>, shown: &mut Vec<u8>) {
    let line = match event {
        Event::Line(line) => line,
        Event::TooLong => &b"hubbub-client: a line was too long to be shown"[..],
        // Not with these rules.
        Event::Answer(_) | Event::Stranger(_) => return,
    };
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
