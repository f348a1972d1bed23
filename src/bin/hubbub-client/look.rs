//! What a line looks like when it is shown.

use hubbub::wire::escape;
use jiff::ZonedDateTime;
use memchr::memchr;
use std::ffi::OsString;
use std::io::Write;

/// The longest name that is one, in characters; the server allows 24.
const LONGEST_NAME: usize = 24;
/// Foregrounds that can be read on a dark and on a light ground.
const HUES: [u8; 5] = [32, 33, 34, 35, 36];

/// How lines are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// As they come, whatever they contain.
    pub(crate) raw: bool,
    /// With the local time of day before each.
    pub(crate) timestamps: bool,
    /// With colour for names and notices.
    pub(crate) colour: bool,
}

impl Look {
    /// Appends `line` as it is to be shown, with its line end.
    pub(crate) fn show(self, line: &[u8], shown: &mut Vec<u8>) {
        if self.timestamps {
            // A vector takes whatever it is given.
            _ = write!(shown, "{} ", ZonedDateTime::now().strftime("%H:%M:%S"));
        }
        if self.raw {
            shown.extend_from_slice(line);
        } else {
            // Servers that end lines with CR LF are none of ours, and welcome.
            let line = escape::escape(line.strip_suffix(b"\r").unwrap_or(line));
            match self.colour {
                true => paint(&line, shown),
                false => shown.extend_from_slice(&line),
            }
        }
        shown.push(b'\n');
    }
}

/// Whether a terminal wants colour, by the values of `NO_COLOR` and `TERM`.
pub(crate) fn wants_colour(no_color: Option<OsString>, term: Option<OsString>) -> bool {
    no_color.is_none_or(|value| value.is_empty())
        && term.is_some_and(|term| term != "dumb" && !term.is_empty())
}

/// A notice is dim, a name has its own hue.
fn paint(line: &[u8], shown: &mut Vec<u8>) {
    let (start, painted, rest) = match name(line) {
        Some(name) => (format!("\x1b[1;{}m", hue(name)), &line[..name.len() + 2], &line[name.len() + 2..]),
        None if line.starts_with(b"* ") => ("\x1b[2m".to_owned(), line, &line[..0]),
        None => {
            shown.extend_from_slice(line);
            return;
        }
    };
    for part in [start.as_bytes(), painted, b"\x1b[0m", rest] {
        shown.extend_from_slice(part);
    }
}

/// The name in a line that begins with `<name> `.
fn name(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_prefix(b"<")?;
    // A character has at most four bytes.
    let end = memchr(b'>', &line[..line.len().min(4 * LONGEST_NAME + 1)])?;
    let name = std::str::from_utf8(&line[..end]).ok()?;
    let is_name = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
    let ends_well = matches!(line.get(end + 1), Some(b' ') | None);
    (ends_well && !name.is_empty() && name.chars().count() <= LONGEST_NAME && name.chars().all(is_name))
        .then_some(name.as_bytes())
}

/// The same for the same name, wherever it is shown.
fn hue(name: &[u8]) -> u8 {
    let sum = name.iter().fold(0usize, |sum, &byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
    HUES[sum % HUES.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn shows(look: Look, line: &str, expected: &str) {
        let mut shown = Vec::new();
        look.show(line.as_bytes(), &mut shown);
        assert_eq!(String::from_utf8(shown).unwrap(), expected);
    }

    const BARE: Look = Look { raw: false, timestamps: false, colour: false };
    const COLOUR: Look = Look { colour: true, ..BARE };

    #[test]
    fn what_could_drive_a_terminal_is_shown_unless_raw() {
        shows(BARE, "a\x1b[2Jb\r", "a\\x1B[2Jb\n");
        shows(COLOUR, "* \x1b]0;title\x07", "\x1b[2m* \\x1B]0;title\\x07\x1b[0m\n");
        shows(Look { raw: true, ..BARE }, "a\x1b[2Jb\r", "a\x1b[2Jb\r\n");
    }

    #[test]
    fn names_and_notices_have_colour_and_nothing_else_has() {
        shows(COLOUR, "* alice joined (2 here)", "\x1b[2m* alice joined (2 here)\x1b[0m\n");
        let hue = hue("名前".as_bytes());
        shows(COLOUR, "<名前> hi <bob>", &format!("\x1b[1;{hue}m<名前>\x1b[0m hi <bob>\n"));
        for line in ["", "<", "<>", "<> x", "<a b> x", "<alice>x", "hi <alice> there", "*not", "<\\x1B> x"] {
            shows(COLOUR, line, &format!("{line}\n"));
        }
        let long = "n".repeat(25);
        shows(COLOUR, &format!("<{long}> hi"), &format!("<{long}> hi\n"));
        shows(BARE, "<alice> hi", "<alice> hi\n");
    }

    #[test]
    fn a_terminal_wants_colour_unless_it_says_no() {
        let some = |text: &str| Some(OsString::from(text));
        assert!(wants_colour(None, some("xterm")) && wants_colour(some(""), some("xterm")));
        for (no_color, term) in [(some("1"), some("xterm")), (None, some("dumb")), (None, None)] {
            assert!(!wants_colour(no_color, term));
        }
    }
}
