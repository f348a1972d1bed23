//! What a line asks for, in a view that has commands.

use memchr::memchr2;

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// A message to everyone.
    Say(&'a [u8]),
    /// `/me TEXT`: what the sender does.
    Action(&'a [u8]),
    /// `/nick NAME`.
    Nick(&'a [u8]),
    /// `/who`.
    Who,
    /// `/msg NAME TEXT`.
    Private {
        /// The recipient.
        to: &'a [u8],
        /// The text.
        text: &'a [u8],
    },
    /// `/help`.
    Help,
    /// `/quit`.
    Quit,
    /// A blank line: nothing is sent.
    Blank,
}

impl Command<'_> {
    /// What `/help` answers: the number of commands, then one per line.
    pub const HELP: [&'static str; 7] = [
        "6 commands; to send a line that begins with /, write // instead:",
        "/nick NAME      change your name",
        "/who            list who is here",
        "/msg NAME TEXT  send TEXT to NAME alone",
        "/me TEXT        say what you do: /me waves shows <alice> * waves",
        "/help           show this list",
        "/quit           leave",
    ];
}

impl<'a> Command<'a> {
    /// Parses a line: a command stands alone or before a blank; any other line is a message.
    pub fn parse(line: &'a [u8]) -> Self {
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

/// The first word of a line, and what follows the blank after it.
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

/// Whether the text has blanks only.
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
    fn a_command_stands_alone_or_before_a_blank_and_any_other_line_is_a_message() {
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
            assert_eq!(Command::parse(line.as_bytes()), command, "{line:?}");
        }
    }
}
