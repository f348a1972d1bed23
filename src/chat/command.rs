//! What a line asks for, in a view that has commands.
//!
//! What looks like a command and is none is [`Unknown`](Command::Unknown), and is not sent: in `/mgs bob secret` the
//! text is meant for one client alone.

use super::blank::{Chars, is_all_blank, is_blank, skip_while, split_word, trimmed};
use super::name::{fold_case, normalize};
use unicode_normalization::char::is_combining_mark;

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
    /// The word after the `/` looks like a command and is none: nothing is sent.
    Unknown(&'a [u8]),
    /// A blank line: nothing is sent.
    Blank,
}

impl Command<'_> {
    /// The words of all commands. An alias follows the word that it stands for.
    pub const WORDS: [&'static str; 10] =
        ["/nick", "/who", "/names", "/msg", "/w", "/me", "/help", "/?", "/quit", "/exit"];

    /// What `/help` answers: the number of commands, then one per line.
    pub const HELP: [&'static str; 7] = [
        "6 commands; to send a line that begins with /, write // instead:",
        "/nick NAME      change your name",
        "/who            list who is here; also /names",
        "/msg NAME TEXT  send TEXT to NAME alone; also /w",
        "/me TEXT        say what you do: /me waves shows <alice> * waves",
        "/help           show this list; also /?",
        "/quit           leave; also /exit",
    ];
}

impl<'a> Command<'a> {
    /// Parses a line. A command is a word in any case, after blanks or none, alone or before a blank.
    pub fn parse(line: &'a [u8]) -> Self {
        if is_all_blank(line) {
            return Self::Blank;
        }
        let start = without_start(line);
        let Some(command) = after_slash(start) else { return Self::Say(line) };
        if after_slash(command).is_some() {
            // An indented `// comment` arrives as it is.
            return Self::Say(if start.len() == line.len() { command } else { line });
        }
        let (word, rest) = split_word(command);
        match Word::of(word) {
            Word::Nick => Self::Nick(trimmed(rest)),
            Word::Who => Self::Who,
            Word::Msg => {
                let (to, text) = split_word(skip_while(rest, is_blank));
                Self::Private { to, text }
            }
            Word::Me => Self::Action(rest),
            Word::Help => Self::Help,
            Word::Quit => Self::Quit,
            Word::Unknown => Self::Unknown(word),
            Word::None => Self::Say(line),
        }
    }

    /// Whether other clients notice the command: it is a message, or changes a name.
    pub const fn reaches_others(&self) -> bool {
        match self {
            Self::Say(_) | Self::Action(_) | Self::Nick(_) | Self::Private { .. } => true,
            Self::Who | Self::Help | Self::Quit | Self::Unknown(_) | Self::Blank => false,
        }
    }

    /// Whether the rest of a line that begins like this must not be sent to everyone.
    pub fn may_go_on_in_private(beginning: &[u8]) -> bool {
        match Command::parse(beginning) {
            Command::Private { .. } | Command::Unknown(_) => true,
            // `/m` and `sg bob secret`, and `/` and `msg bob secret`, may arrive in two pieces.
            Command::Nick(text) | Command::Action(text) => is_all_blank(text),
            Command::Say(_) => after_slash(without_start(beginning)).is_some_and(<[u8]>::is_empty),
            Command::Who | Command::Help | Command::Quit | Command::Blank => false,
        }
    }
}

/// The line without what may come before a command: blanks, controls, and what keys such as an arrow send.
fn without_start(line: &[u8]) -> &[u8] {
    let is_skipped = |character: char| is_blank(character) || character.is_control();
    let mut rest = skip_while(line, is_skipped);
    while line[..line.len() - rest.len()].ends_with(b"\x1B")
        && let Some(after) = after_key(rest)
    {
        rest = skip_while(after, is_skipped);
    }
    rest
}

/// The text after what a key sends besides ESC: `[A`, `[1;5C` or `OP`. Pasted text may have `[200~` before it.
fn after_key(text: &[u8]) -> Option<&[u8]> {
    let code = text.strip_prefix(b"[").or_else(|| text.strip_prefix(b"O"))?;
    let end = code.iter().position(|byte| !matches!(byte, b'0'..=b'?'))?;
    matches!(code[end], b'@'..=b'~').then(|| &code[end + 1..])
}

/// The text after a slash, also after the wide one that keyboards for Chinese and Japanese type.
fn after_slash(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b"/").or_else(|| text.strip_prefix("／".as_bytes()))
}

/// The word after a slash.
enum Word {
    Nick,
    Who,
    Msg,
    Me,
    Help,
    Quit,
    /// It looks like a command.
    Unknown,
    /// It is ordinary text, such as a path.
    None,
}

impl Word {
    /// Characters of the longest command, without its slash.
    const LONGEST: usize = 5;

    fn of(word: &[u8]) -> Self {
        let beginning = Chars::of(word).take(Self::LONGEST + 1).collect::<String>();
        let folded = normalize(&beginning).map(|word| fold_case(&word)).unwrap_or_default();
        match Self::known(&folded) {
            Some(known) => known,
            None if has_letters_only(word) || is_followed_by_sign(&folded) => Self::Unknown,
            None => Self::None,
        }
    }

    fn known(folded: &str) -> Option<Self> {
        Some(match folded {
            "nick" => Self::Nick,
            "who" | "names" => Self::Who,
            "msg" | "w" => Self::Msg,
            "me" => Self::Me,
            "help" | "?" => Self::Help,
            "quit" | "exit" => Self::Quit,
            _ => return None,
        })
    }
}

/// Whether a word has letters, and besides them only what nobody types on purpose: controls, which a backspace may
/// leave behind, and bytes that are not UTF-8.
fn has_letters_only(word: &[u8]) -> bool {
    let is_odd = |character: char| character.is_control() || character == char::REPLACEMENT_CHARACTER;
    let is_letter = |character: char| character.is_alphabetic() || is_combining_mark(character);
    Chars::of(word).any(is_letter)
        && Chars::of(word).all(|character| is_letter(character) || is_odd(character))
}

/// Whether a word begins with a command and goes on with a sign or a digit, as in `/msg:bob`. With a slash it is a
/// path.
fn is_followed_by_sign(folded: &str) -> bool {
    let end = folded.find(|character: char| !character.is_alphabetic());
    end.map(|end| folded.split_at(end))
        .is_some_and(|(word, sign)| Word::known(word).is_some() && !sign.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, command: Command<'_>) {
        assert_eq!(Command::parse(line.as_bytes()), command, "{line:?}");
    }

    const fn to_bob(text: &[u8]) -> Command<'_> {
        Command::Private { to: b"bob", text }
    }

    #[test]
    fn a_command_stands_alone_or_before_a_blank_in_any_case() {
        for (line, command) in [
            ("/nick bob", Command::Nick(b"bob")),
            ("/nick\t bob ", Command::Nick(b"bob")),
            ("/nick\u{A0}bob\u{3000}", Command::Nick(b"bob")),
            ("/nick", Command::Nick(b"")),
            ("/NICK bob", Command::Nick(b"bob")),
            ("/who", Command::Who),
            ("/who ", Command::Who),
            ("/who\r", Command::Who),
            ("/Names", Command::Who),
            ("/msg bob hi  there", to_bob(b"hi  there")),
            ("/msg  bob hi ", to_bob(b"hi ")),
            ("/msg\u{A0}bob\u{A0}hi", to_bob(b"hi")),
            ("/msg bob\u{2028}hi", to_bob(b"hi")),
            ("/MSG bob hi", to_bob(b"hi")),
            ("/w bob hi", to_bob(b"hi")),
            ("／ｍｓｇ　bob　hi", to_bob(b"hi")),
            ("／Msg bob hi", to_bob(b"hi")),
            ("/msg bob", to_bob(b"")),
            ("/msg", Command::Private { to: b"", text: b"" }),
            ("/me waves", Command::Action(b"waves")),
            ("/Me", Command::Action(b"")),
            ("/help", Command::Help),
            ("/?", Command::Help),
            ("／？", Command::Help),
            ("/quit now", Command::Quit),
            ("/eXit", Command::Quit),
            ("", Command::Blank),
            (" \t\u{A0}\u{FEFF}", Command::Blank),
        ] {
            check(line, command);
        }
    }

    #[test]
    fn blanks_and_controls_before_a_command_do_not_matter() {
        for before in
            [" ", "\t ", "\u{A0}", "\u{3000}", "\u{FEFF}", "\u{200B}", "\u{202A}", "\u{8}", "\r", "\u{85}"]
        {
            check(&format!("{before}/msg bob secret"), to_bob(b"secret"));
            check(&format!("{before}/mgs bob secret"), Command::Unknown(b"mgs"));
        }
    }

    #[test]
    fn keys_that_were_pressed_before_a_command_do_not_make_it_a_message() {
        for before in
            ["\u{1B}[A", "\u{1B}[A\u{1B}[B ", "\u{1B}OA", "\u{1B}[1;5C", "\u{1B}[200~", " \u{1B}[3~\u{8}"]
        {
            check(&format!("{before}/msg bob secret"), to_bob(b"secret"));
            check(&format!("{before}/mgs bob secret"), Command::Unknown(b"mgs"));
        }
        for line in ["\u{1B}[", "\u{1B}[31", "\u{1B}[Ahi", "[A/msg bob hi", "\u{1B}O"] {
            check(line, Command::Say(line.as_bytes()));
        }
        check("\u{1B}[/msg", Command::Say(b"\x1B[/msg"));
    }

    #[test]
    fn what_looks_like_a_command_and_is_none_is_not_sent() {
        for word in [
            "mgs",
            "foo",
            "MGS",
            "nickel",
            "msgbob",
            "m",
            "сообщение",
            "ｍｇｓ",
            "नमस्ते",
            "msg:bob",
            "w,",
            "who?",
            "MSG2",
            "msg=bob",
            "ｍｓｇ：bob",
            "mg\u{7F}sg",
            "\u{1B}msg",
            "msg.bob",
            "me-too",
        ] {
            for slash in ["/", "／"] {
                check(&format!("{slash}{word} bob secret"), Command::Unknown(word.as_bytes()));
                check(&format!("{slash}{word}"), Command::Unknown(word.as_bytes()));
            }
        }
        assert_eq!(Command::parse(b"/gr\xFC\xDFe bob"), Command::Unknown(b"gr\xFC\xDFe"));
    }

    #[test]
    fn any_other_line_is_a_message_and_arrives_as_it_is() {
        for line in [
            "hi",
            " hi",
            "\u{A0}hi",
            "/",
            "/ x",
            " / x",
            "/etc/passwd",
            "/home: 0 errors",
            "/1",
            "/r2d2",
            "/msg/bob",
            "/w/",
            "/_x",
            "／(^o^)＼",
            "／",
            "\\msg bob",
            "a /msg bob",
            "  // comment",
            "\u{1B}[A",
        ] {
            check(line, Command::Say(line.as_bytes()));
        }
        for (line, text) in [("//nick x", "/nick x"), ("//", "/"), ("///", "//"), ("／／nick", "／nick")] {
            check(line, Command::Say(text.as_bytes()));
        }
    }

    #[test]
    fn each_word_of_the_list_is_a_command_and_help_names_it() {
        let help = Command::HELP.join("\n");
        for word in Command::WORDS {
            let command = Command::parse(word.as_bytes());
            assert!(!matches!(command, Command::Say(_) | Command::Unknown(_)), "{word}: {command:?}");
            assert!(help.contains(word), "{word}");
            assert!(word.len() <= Word::LONGEST + "/".len(), "{word}");
        }
    }

    #[test]
    fn the_rest_of_a_line_may_be_private_after_the_beginning_of_a_command() {
        for line in [
            "/",
            " /",
            "／",
            "/m",
            "/msg",
            "/msg bo",
            "/msg bob hi",
            "/w",
            "/mgs bob",
            " /M",
            "/me ",
            "/nick",
        ] {
            assert!(Command::may_go_on_in_private(line.as_bytes()), "{line}");
        }
        for line in
            ["hi", "/nick bob", "/me waves", "/who", "/help", "/etc/passwd", " ", "//", "//msg bob", "/quit"]
        {
            assert!(!Command::may_go_on_in_private(line.as_bytes()), "{line}");
        }
    }
}
