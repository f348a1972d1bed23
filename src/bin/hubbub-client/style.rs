//! How a line is shown.

use hubbub::chat::name::{MAX_CHARS, is_name};
use hubbub::wire::escape;
use jiff::ZonedDateTime;
use memchr::memchr;
use std::ffi::OsString;

/// SGR foreground colours that are readable on dark and on light backgrounds.
const COLOURS: [u8; 5] = [32, 33, 34, 35, 36];

/// How lines are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// Shows bytes unchanged, control characters included.
    pub(crate) raw: bool,
    /// Starts each line with the local time of day.
    pub(crate) timestamps: bool,
    /// Shows names and notices in colour.
    pub(crate) colour: bool,
}

impl Style {
    /// Appends `line` in this style, with a line end, to `output`.
    pub(crate) fn write(self, line: &[u8], output: &mut Vec<u8>) {
        if self.timestamps {
            output.extend_from_slice(time_of_day().as_bytes());
        }
        if self.raw {
            output.extend_from_slice(line);
        } else {
            // Other servers may end lines with CR LF.
            let line = escape::escape(line.strip_suffix(b"\r").unwrap_or(line));
            match self.colour {
                true => write_coloured(&line, output),
                false => output.extend_from_slice(&line),
            }
        }
        output.push(b'\n');
    }
}

/// The local time of day and a blank.
pub(crate) fn time_of_day() -> String {
    ZonedDateTime::now().strftime("%H:%M:%S ").to_string()
}

/// Returns whether to use colour on a terminal, given the values of `NO_COLOR` and `TERM`.
pub(crate) fn wants_colour(no_color: Option<OsString>, term: Option<OsString>) -> bool {
    no_color.is_none_or(|value| value.is_empty())
        && term.is_some_and(|term| term != "dumb" && !term.is_empty())
}

/// Appends a notice dimmed, a line `<name> text` with the name in its colour, and any other line unchanged.
fn write_coloured(line: &[u8], output: &mut Vec<u8>) {
    let (start, coloured, rest) = match sender_name(line) {
        Some(name) => {
            (format!("\x1b[1;{}m", colour_of(name)), &line[..name.len() + 2], &line[name.len() + 2..])
        }
        None if line.starts_with(b"* ") => ("\x1b[2m".to_owned(), line, &line[..0]),
        None => {
            output.extend_from_slice(line);
            return;
        }
    };
    for part in [start.as_bytes(), coloured, b"\x1b[0m", rest] {
        output.extend_from_slice(part);
    }
}

/// Returns the name in a line that begins with `<name> `.
pub(crate) fn sender_name(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_prefix(b"<")?;
    // A character has at most 4 bytes in UTF-8.
    let end = memchr(b'>', &line[..line.len().min(4 * MAX_CHARS + 1)])?;
    let name = std::str::from_utf8(&line[..end]).ok()?;
    let is_followed_by_text = matches!(line.get(end + 1), Some(b' ') | None);
    (is_followed_by_text && is_name(name)).then_some(name.as_bytes())
}

/// Returns the colour of a name: always the same for the same name.
fn colour_of(name: &[u8]) -> u8 {
    let sum = name.iter().fold(0usize, |sum, &byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
    COLOURS[sum % COLOURS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(style: Style, line: &str, expected: &str) {
        let mut output = Vec::new();
        style.write(line.as_bytes(), &mut output);
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }

    const PLAIN: Style = Style { raw: false, timestamps: false, colour: false };
    const COLOURED: Style = Style { colour: true, ..PLAIN };

    #[test]
    fn control_characters_are_escaped_unless_raw() {
        check(PLAIN, "a\x1b[2Jb\r", "a\\x1B[2Jb\n");
        check(COLOURED, "* \x1b]0;title\x07", "\x1b[2m* \\x1B]0;title\\x07\x1b[0m\n");
        check(Style { raw: true, ..PLAIN }, "a\x1b[2Jb\r", "a\x1b[2Jb\r\n");
    }

    #[test]
    fn only_names_and_notices_have_colour() {
        check(COLOURED, "* alice joined (2 here)", "\x1b[2m* alice joined (2 here)\x1b[0m\n");
        let colour = colour_of("名前".as_bytes());
        check(COLOURED, "<名前> hi <bob>", &format!("\x1b[1;{colour}m<名前>\x1b[0m hi <bob>\n"));
        for line in ["", "<", "<>", "<> x", "<a b> x", "<alice>x", "hi <alice> there", "*not", "<\\x1B> x"] {
            check(COLOURED, line, &format!("{line}\n"));
        }
        let long = "n".repeat(MAX_CHARS + 1);
        check(COLOURED, &format!("<{long}> hi"), &format!("<{long}> hi\n"));
        check(PLAIN, "<alice> hi", "<alice> hi\n");
    }

    #[test]
    fn a_terminal_has_colour_unless_its_environment_forbids_it() {
        let some = |text: &str| Some(OsString::from(text));
        assert!(wants_colour(None, some("xterm")) && wants_colour(some(""), some("xterm")));
        for (no_color, term) in [(some("1"), some("xterm")), (None, some("dumb")), (None, None)] {
            assert!(!wants_colour(no_color, term));
        }
    }
}
