//! What a line in a view with names asks for.

use memchr::memchr2;

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// Something to be told to all.
    Say(&'a [u8]),
    /// `/me TEXT`: what the speaker does.
    Action(&'a [u8]),
    /// `/nick NAME`.
    Nick(&'a [u8]),
    /// `/who`.
    Who,
    /// `/msg NAME TEXT`.
    Private {
        /// To whom.
        to: &'a [u8],
        /// What.
        text: &'a [u8],
    },
    /// `/help`.
    Help,
    /// `/quit`.
    Quit,
    /// Nothing: a blank line.
    Blank,
}

impl Command<'_> {
    /// What `/help` answers.
    pub const HELP: &'static str = "6 commands: /nick NAME changes your name; /who tells who is here; /msg NAME TEXT is for \
        one alone; /me TEXT tells what you do; /help; /quit. A line that begins with // begins with /";
}

impl<'a> Command<'a> {
    /// Reads a line: commands stand alone or before a blank, and everything else is said.
    pub fn read(line: &'a [u8]) -> Self {
        if is_all_blank(line) {
            return Self::Blank;
        }
        if let [b'/', rest @ ..] = line
            && rest.first() == Some(&b'/')
        {
            return Self::Say(rest);
        }
        let (word, rest) = split_word(line);
        match word {
            b"/nick" => Self::Nick(trimmed(rest)),
            b"/who" => Self::Who,
            b"/msg" => {
                let (to, text) = split_word(trimmed_start(rest));
                Self::Private { to, text }
            }
            b"/me" => Self::Action(rest),
            b"/help" => Self::Help,
            b"/quit" => Self::Quit,
            _ => Self::Say(line),
        }
    }
}

/// The first word of a line, and what follows its blank.
fn split_word(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr2(b' ', b'\t', line) {
        Some(end) => (&line[..end], &line[end + 1..]),
        None => (line, &[]),
    }
}

fn trimmed_start(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_blank(*first)
    {
        text = rest;
    }
    text
}

fn trimmed(text: &[u8]) -> &[u8] {
    let mut text = trimmed_start(text);
    while let [rest @ .., last] = text
        && is_blank(*last)
    {
        text = rest;
    }
    text
}

/// Whether there is no word in it.
pub fn is_all_blank(text: &[u8]) -> bool {
    text.iter().all(|&byte| is_blank(byte))
}

/// Whether a byte separates words.
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_stands_alone_or_before_a_blank_and_everything_else_is_said() {
        for (line, command) in [
            ("hi", Command::Say(b"hi")),
            ("/nick bob", Command::Nick(b"bob")),
            ("/nick\t bob ", Command::Nick(b"bob")),
            ("/nick", Command::Nick(b"")),
            ("/nickel", Command::Say(b"/nickel")),
            ("/Nick bob", Command::Say(b"/Nick bob")),
            (" /nick bob", Command::Say(b" /nick bob")),
            ("//nick", Command::Say(b"/nick")),
            ("//", Command::Say(b"/")),
            ("/", Command::Say(b"/")),
            ("/etc/passwd", Command::Say(b"/etc/passwd")),
            ("/who", Command::Who),
            ("/who ", Command::Who),
            ("/msg bob hi  there", Command::Private { to: b"bob", text: b"hi  there" }),
            ("/msg  bob hi", Command::Private { to: b"bob", text: b"hi" }),
            ("/msg bob", Command::Private { to: b"bob", text: b"" }),
            ("/msg", Command::Private { to: b"", text: b"" }),
            ("/me waves", Command::Action(b"waves")),
            ("/me", Command::Action(b"")),
            ("/help", Command::Help),
            ("/quit now", Command::Quit),
            ("", Command::Blank),
            (" \t", Command::Blank),
        ] {
            assert_eq!(Command::read(line.as_bytes()), command, "{line:?}");
        }
    }
}
